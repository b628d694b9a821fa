"""Every disk that a power cut may leave of the clock's bound: what was promised is there; and no sync can be
spared.

A store promises to give back what was saved last and acknowledged, or what somebody tried to save after that,
so that no bound is lower than one that a clock counts on; that what it has found stays; and, once a bound was
acknowledged or found, that a file which somebody deletes is no fresh start.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from scratchbird import Durable, Timestamp
from scratchbird.errors import BoundFileError
from scratchbird_check.crash_files import CrashFiles, Image
from scratchbird_check.crash_histories import Broken, demand, killed_at, needed_syncs, play_and_open
from scratchbird_node import bound_store
from scratchbird_node.bound_store import FileBoundStore, encode

FILE = Path("clock/clock.bound")
LIMIT = 1000
"""Images a moment; where there are more, so many are drawn."""

SYNCS = {
    bound_store.BOUND: "the bound: its file would be torn",
    f"name of {bound_store.BOUND}": "the bound: the one before would be back",
    bound_store.FOUND_NAME: "a bound that was found after a process died, and counted on",
    bound_store.USED: "that a file which is gone was deleted",
}
"""Every sync there is, and what is lost without it."""

_LEFT_OVER = "the process died before its bound took its place: what it left is removed again"

SPARE = {
    ("killed at 10", 0): _LEFT_OVER,
    ("killed at 11", 0): _LEFT_OVER,
    ("killed at 12", 0): _LEFT_OVER,
}
"""Scripts, and which of their syncs, counted from 0, make nothing durable that was promised, and why."""


def value(ms: int, node_id: int = 7, retired: tuple[int, ...] = ()) -> Durable:
    return Durable(node_id, Timestamp(1_700_000_000_000 + ms, 5), retired)


@dataclass
class Promises:
    """What a store has told its caller, and what must therefore be found after a crash."""

    kept: Durable | None = None
    """Acknowledged, or found and counted on."""
    tried: list[Durable] = field(default_factory=list)
    """Handed over since then."""
    is_known: bool = False
    """Whether a file that is gone must be noticed."""

    def keep(self, durable: Durable | None) -> None:
        self.kept = durable
        self.tried.clear()
        self.is_known = self.is_known or durable is not None


class Caller:
    """Uses a store and writes down what it was promised."""

    def __init__(self, files: CrashFiles, promises: Promises) -> None:
        self.files = files
        self.store = FileBoundStore(FILE, files=files)
        self.promises = promises

    def load(self) -> None:
        self.promises.keep(self.store.load())
        self.files.after()  # The promise counts from here on.

    def save(self, durable: Durable) -> None:
        self.promises.tried.append(durable)
        self.store.save(durable)
        self.promises.keep(durable)
        self.files.after()


def check(image: Image, promises: Promises) -> None:
    """Open what a crash left, and look whether all promises were kept."""
    files = CrashFiles(image)
    with FileBoundStore(FILE, files=files) as store:
        try:
            found = store.load()
        except BoundFileError as error:
            raise Broken(f"{error}; on the disk: {image}") from error
        allowed = [promises.kept, *promises.tried]
        demand(found in allowed, f"{found} is none of {allowed}", image)
        names = set(files.names(FILE.parent))
        demand(names <= {"clock.bound", "clock.bound.lock"}, f"{names} are left over", image)
        # It goes on.
        before = value(0) if found is None else found
        after = Durable(before.node_id, Timestamp(before.bound.ms + 1, 0), before.retired)
        store.save(after)
    with FileBoundStore(FILE, files=files) as store:
        demand(store.load() == after, f"{after} was not saved", image)
    demand(files.open_files == 0, f"{files.open_files} files left open", image)
    if promises.is_known:
        deleted = {path: data for path, data in image.items() if path != str(FILE)}
        with FileBoundStore(FILE, files=CrashFiles(deleted)) as store:
            try:
                found = store.load()
            except BoundFileError:
                return
            raise Broken(f"the deleted file is not missed, but {found}; on the disk: {image}")


# --- histories --------------------------------------------------------------------------------------------


Script = Callable[[CrashFiles, Promises], None]


def life_of_a_node(files: CrashFiles, promises: Promises) -> None:
    """Bounds that grow, a clean stop that lowers one, a restart, a node id that is retired."""
    caller = Caller(files, promises)
    caller.load()
    caller.save(value(1000))
    caller.save(value(2000))
    caller.save(value(1500))
    caller.store.close()
    caller = Caller(files, promises)
    caller.load()
    caller.save(value(3000))
    caller.store.close()
    caller = Caller(files, promises)
    caller.save(value(0, node_id=8, retired=(7,)))
    caller.load()
    caller.store.close()


def deleted_lock(files: CrashFiles, promises: Promises) -> None:
    """An operator has deleted the lock, and the next process makes it again."""
    promises.kept = value(1000)
    files.take_over(CrashFiles({str(FILE): encode(promises.kept)}))
    caller = Caller(files, promises)
    caller.load()
    caller.store.close()


def killed_and_found(at: int) -> Script:
    """A process dies at the ``at``-th of its changes and promises; the next counts on what it finds, and goes
    on.
    """

    def script(files: CrashFiles, promises: Promises) -> None:
        def first(disk: CrashFiles) -> None:
            caller = Caller(disk, promises)
            caller.save(value(1000))
            caller.save(value(2000))

        files.take_over(killed_at(at, first))
        caller = Caller(files, promises)
        caller.load()
        caller.store.close()
        caller = Caller(files, promises)
        caller.load()
        caller.save(value(3000))
        caller.store.close()

    return script


SCRIPTS: dict[str, Script] = {
    "life": life_of_a_node,
    "deleted lock": deleted_lock,
    **{f"killed at {at}": killed_and_found(at) for at in range(1, 16)},
}


def key(promises: Promises) -> object:
    return promises.kept, tuple(promises.tried), promises.is_known


def play(script: Script, skip: int | None = None, limit: int = LIMIT) -> tuple[CrashFiles, int]:
    """Play a history, and open each image of each of its moments; how many there were."""
    return play_and_open(script, Promises(), check, key, skip=skip, limit=limit)


@pytest.mark.parametrize("name", SCRIPTS)
def test_whatever_a_crash_leaves_keeps_every_promise(name: str) -> None:
    _, images = play(SCRIPTS[name])
    assert images > (1000 if name == "life" else 1)


NEEDED = list(needed_syncs(SCRIPTS, Promises))


def test_every_sync_is_listed_and_every_one_that_is_listed_is_tried() -> None:
    assert {what for _, _, what in NEEDED} == SYNCS.keys()
    assert {what for name, number, what in NEEDED if (name, number) not in SPARE} == SYNCS.keys()
    assert SPARE.keys() <= {(name, number) for name, number, _ in NEEDED}


@pytest.mark.parametrize(("name", "number", "what"), NEEDED, ids=lambda value: str(value).replace(" ", "_"))
def test_no_sync_can_be_spared(name: str, number: int, what: str) -> None:
    if (name, number) in SPARE:
        play(SCRIPTS[name], skip=number)
    else:
        with pytest.raises(Broken):
            play(SCRIPTS[name], skip=number)


# --- disks that refuse ------------------------------------------------------------------------------------


class Refusing:
    """Refuses one call, counted from 0."""

    def __init__(self, at: int, number: int) -> None:
        self.at = at
        self.number = number
        self.calls: list[str] = []

    def __call__(self, call: str) -> int | None:
        self.calls.append(call)
        return self.number if len(self.calls) - 1 == self.at else None


def use(files: CrashFiles, promises: Promises, errors: list[BoundFileError]) -> None:
    """Save three bounds in two lives of a node, each until the disk takes it."""

    def insist(call: Callable[[], None]) -> None:
        try:
            call()
        except BoundFileError as error:
            errors.append(error)
            call()

    def live(*bounds: int) -> None:
        caller = Caller(files, promises)
        for ms in bounds:
            insist(partial(caller.save, value(ms)))
        caller.store.close()

    insist(lambda: live(1000, 2000))
    insist(lambda: live(3000))


def calls_made() -> list[str]:
    refusing = Refusing(-1, 0)
    use(CrashFiles(fail=refusing), Promises(), [])
    return refusing.calls


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("at", range(len(calls_made())))
def test_a_disk_that_refuses_any_call_costs_no_promise(at: int, number: int) -> None:
    refusing, promises, errors = Refusing(at, number), Promises(), list[BoundFileError]()

    def look() -> None:
        for image in files.images(200, seed=len(files.calls)):
            # Not the note in the lock, which a sync that failed may have lost; the bound is written anew.
            check(image, Promises(promises.kept, promises.tried))

    files = CrashFiles(after=look, fail=refusing)
    use(files, promises, errors)
    look()
    assert promises.kept == value(3000)
    assert files.open_files == 0
    assert len(errors) == 1
    assert all(str(error).startswith(str(FILE)) for error in errors)


def test_left_overs_that_can_not_be_removed_keep_no_clock_from_starting() -> None:
    left = FILE.with_name("clock.bound.0123456789abcdef.new")
    files = CrashFiles(
        {str(FILE): encode(value(1000)), str(left): b""},
        fail=lambda call: errno.EACCES if call.startswith("remove") else None,
    )
    with FileBoundStore(FILE, files=files) as store:
        assert store.load() == value(1000)
    assert str(left) in files.image()
