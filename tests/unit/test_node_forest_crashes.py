"""Every disk that a power cut may leave of sealed windows: none that is served is stale or torn, none that
was saved is lost; and no sync can be spared.

The truth is a row of states, one after each batch of amendments. What a store gives back for all its windows
must be one of them: not older than what was synced, and the same for all, for a batch is one step.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import pytest

from scratchbird_check.crash_files import CrashFiles, Image
from scratchbird_check.crash_histories import Broken, demand, killed_at, needed_syncs, play_and_open
from scratchbird_node import forest_log, forest_store
from scratchbird_node.errors import DamagedWindowError, FileError
from scratchbird_node.forest_format import BATCH, HEADER
from scratchbird_node.forest_store import ForestStore
from scratchbird_node.forest_window import OpenWindow
from scratchbird_node.forest_words import Amendment, Settings

FOLDER = Path("forest")
SHAPE, OTHER_SHAPE = bytes(32), bytes(31) + b"\1"
SMALL = Settings(segment_bytes=250, max_queued_bytes=400, max_log_bytes=920, fold_after=3)
ROOMY = replace(SMALL, max_log_bytes=10_000)
LIMIT = 200
"""Images a moment; where there are more, so many are drawn."""
FEW = 60
"""The same, where a sync is left out: what it costs shows in the first ones."""

SYNCS = {
    forest_store.WINDOW: "a window that was saved",
    f"name of {forest_store.WINDOW}": "the same",
    forest_store.REMOVAL: "that a window was given up: it would be back, without what was amended since",
    forest_store.FOUND_NAMES: "what was found after a process died, and counted on",
    forest_log.RECORDS: "amendments that were acknowledged",
    forest_log.HEADER_SYNC: "all windows: amendments behind a header that is bad look lost",
    forest_log.SEGMENT_NAME: "amendments in a new segment",
    forest_log.FOUND: "amendments that were found after a process died, and counted on",
    forest_log.REMOVAL: "windows: a gap between segments looks like lost amendments",
}
"""Every sync there is, and what is lost without it."""

_LOCK = "nothing was there but the lock, which is made again where it is missing"
_COVERED = "the folder is synced once more before anything in the segment is promised"
_AGAIN = "nothing goes because of it: the file before is right as well, with its amendments"
_LAST = "the segment would be found once more, and go once more"
_FOREIGN = "what is of another setting would be found once more, and go once more"

SPARE = {
    ("life", 0): _LOCK,
    ("life", 16): _COVERED,
    ("life", 19): _AGAIN,
    ("life", 21): _AGAIN,
    ("life", 25): _LAST,
    ("life", 28): _LAST,
    ("full log", 0): _LOCK,
    ("full log", 13): _LAST,
    ("damaged log", 3): _LAST,
    ("damaged log", 8): _AGAIN,
    ("damaged log", 9): _LAST,
    ("other setting", 0): _FOREIGN,
    ("other setting", 2): _FOREIGN,
    ("other setting", 3): _FOREIGN,
    ("killed at 6", 5): _AGAIN,
    ("killed at 13", 7): _LAST,
    ("killed at 16", 7): _LAST,
    ("killed at 24", 8): _LAST,
    ("killed at 31", 2): _LAST,
    ("killed at 31", 7): _AGAIN,
}
"""Scripts, and which of their syncs, counted from 0, make nothing durable that was promised, and why."""

Content = dict[int, int]
"""Of a window: versions by place."""
State = dict[int, Content]
"""The truth about all windows."""


def entry(place: int, version: int) -> bytes:
    return (
        place.to_bytes(16, "big")
        + version.to_bytes(16, "big")
        + sha256(b"%d %d" % (place, version)).digest()[:16]
    )


def amendment(window: int, place: int, version: int | None) -> Amendment:
    value = None if version is None else entry(place, version)
    return Amendment(window, place.to_bytes(16, "big"), value)


def arrays(window: int, content: Content) -> tuple[bytes, bytes, bytes]:
    """Entries, one level of digests that tells them apart, and a digest."""
    records = b"".join(entry(place, content[place]) for place in sorted(content))
    if not records:
        return b"", b"", b""
    return records, sha256(records).digest(), sha256(b"%d " % window + records).digest()


def draw(salt: int) -> Callable[[int], bytes]:
    """Random bytes that are the same in every run."""
    count = salt << 16

    def more(length: int) -> bytes:
        nonlocal count
        count += 1
        return sha256(b"%d" % count).digest()[:length]

    return more


@dataclass
class Promises:
    """What a store has told its caller, and what must therefore be found after a crash."""

    states: list[State] = field(default_factory=lambda: [{1: {1: 1, 2: 1, 3: 1}, 2: {1: 1}, 3: {}}])
    """The truth before the first batch, and after each."""
    synced: int = 0
    """So many batches are durable."""
    saved: set[int] = field(default_factory=set)
    """Windows that must be there."""
    gone: set[int] = field(default_factory=set)
    """Windows that must not."""
    shape: bytes = SHAPE
    settings: Settings = SMALL
    refused: set[int] = field(default_factory=set)
    """States that were to be, and that the disk refused: they never came to be, but may be found."""
    is_damaged: bool = False
    """Whether there is damage in this history, which may be reported."""

    def key(self) -> object:
        return (
            repr(self.states),
            self.synced,
            tuple(sorted(self.saved)),
            tuple(sorted(self.gone)),
            self.shape,
            self.is_damaged,
        )


def open_store(files: CrashFiles, promises: Promises, salt: int = 0) -> ForestStore:
    return ForestStore(FOLDER, promises.shape, promises.settings, files=files, draw=draw(salt))


def contents(store: ForestStore, image: Image) -> State:
    """What a store serves, which must be consistent in itself."""
    found: State = {}
    for window in store.windows:
        with _opened(store, window, image) as opened:
            records = bytes(opened.records)
            told = store.digest(window)
            demand(told == opened.digest, f"window {window} is told in two ways", image)
            base = {
                int.from_bytes(records[at : at + 16], "big"): int.from_bytes(
                    records[at + 16 : at + 32], "big"
                )
                for at in range(0, len(records), 48)
            }
            wanted = arrays(window, base)
            was = (records, bytes(opened.levels), opened.head.digest)
            demand(was == wanted, f"window {window} is torn", image)
            for place, value in opened.amendments.items():
                base.pop(int.from_bytes(place, "big"), None)
                if value is not None:
                    base[int.from_bytes(place, "big")] = int.from_bytes(value[16:32], "big")
                    demand(value == entry(*list(base.items())[-1]), "an entry nobody wrote", image)
            demand(told in (None, arrays(window, base)[2]), f"window {window} is stale, and clean", image)
            found[window] = base
    return found


def _opened(store: ForestStore, window: int, image: Image) -> OpenWindow:
    try:
        return store.open(window)
    except DamagedWindowError as error:
        raise Broken(f"{error}; on the disk: {image}") from error


def agrees(found: State, truth: State) -> bool:
    return all(truth[window] == content for window, content in found.items())


def check(image: Image, promises: Promises) -> None:
    """Open what a crash left, and look whether all promises were kept."""
    files = CrashFiles(image)
    with open_store(files, promises, salt=1) as store:
        found = contents(store, image)
        demand(promises.is_damaged or not store.damage, f"reported: {store.damage}", image)
        lost = promises.saved - found.keys()
        demand(not lost, f"windows {lost} are lost: {store.to_rebuild}", image)
        demand(not promises.gone & found.keys(), f"windows {promises.gone} are back", image)
        possible = [state for state in promises.states[promises.synced :] if agrees(found, state)]
        demand(bool(possible), f"{found} is none of {promises.states[promises.synced :]}", image)
        demand(
            store.log_bytes <= promises.settings.max_log_bytes, f"the log has {store.log_bytes} bytes", image
        )
        # It goes on: one window is built anew, and something becomes durable in all.
        truth = {window: {**content} for window, content in possible[0].items()} | found
        mark = store.mark(1)
        group = store.append([amendment(window, 77, 7) for window in truth])
        save(store, mark, truth[1])
        store.sync(group)
        still = set(store.windows)
        for content in truth.values():
            content[77] = 7
    left = {Path(path).name for path in files.image()}
    demand(not any(name.endswith(".new") for name in left), f"{left} are left over", image)
    with open_store(files, promises, salt=2) as store:
        demand(set(store.windows) == still, f"{store.windows} are there, not {still}", image)
        demand(agrees(contents(store, image), truth), f"{contents(store, image)}, not {truth}", image)
    demand(files.open_files == 0, f"{files.open_files} files left open", image)


def save(store: ForestStore, mark: forest_store.Mark, content: Content) -> bool:
    return store.save(mark, *arrays(mark.window, content))


# --- histories --------------------------------------------------------------------------------------------


class Caller:
    """Uses a store and writes down what it was promised."""

    def __init__(self, files: CrashFiles, promises: Promises, salt: int = 0) -> None:
        self.files = files
        self.promises = promises
        self.store = open_store(files, promises, salt)

    @property
    def truth(self) -> State:
        states = self.promises.states
        return states[max(set(range(len(states))) - self.promises.refused)]

    def append(self, *changes: tuple[int, int, int | None]) -> forest_log.Group:
        """A batch of changes, each a window, a place, and a version or none."""
        state = {window: {**content} for window, content in self.truth.items()}
        for window, place, version in changes:
            state[window].pop(place, None)
            if version is not None:
                state[window][place] = version
        self.promises.states.append(state)
        return self.store.append([amendment(*change) for change in changes])

    def sync(self, group: forest_log.Group) -> None:
        count = len(self.promises.states) - 1
        self.store.sync(group)
        self.promises.synced = count
        self.files.after()  # The promise counts from here on.

    def amend(self, *changes: tuple[int, int, int | None]) -> None:
        self.sync(self.append(*changes))

    def save(self, window: int, *between: tuple[int, int, int | None]) -> None:
        """Save a window; the changes in between are made after its mark."""
        mark, content = self.store.mark(window), {**self.truth[window]}
        group = self.append(*between) if between else None
        self.promises.gone.discard(window)
        assert save(self.store, mark, content)
        self.promises.saved.add(window)
        self.files.after()
        if group is not None:
            self.sync(group)

    def give_up(self, *windows: int) -> None:
        self.promises.saved -= set(windows)
        self.store.give_up(windows)
        self.promises.gone |= set(windows)
        self.files.after()

    def differences(self) -> list[tuple[int, int, int | None]]:
        """The changes that make what is there the truth."""
        found = contents(self.store, self.files.image())
        return [
            (window, place, self.truth[window].get(place))
            for window, content in found.items()
            for place in sorted(content.keys() | self.truth[window].keys())
            if content.get(place) != self.truth[window].get(place)
        ]

    def found(self) -> None:
        """Count on what is there."""
        found = contents(self.store, self.files.image())
        states = self.promises.states
        at = next(at for at in range(len(states) - 1, -1, -1) if agrees(found, states[at]))
        assert at >= self.promises.synced or not found
        del states[at + 1 :]
        self.promises.synced = at
        self.promises.saved |= found.keys()
        self.files.after()


Script = Callable[[CrashFiles, Promises], None]


def life_of_a_forest(files: CrashFiles, promises: Promises) -> None:
    """Windows are saved, amended together, folded and given up; segments are rolled and go; a restart."""
    caller = Caller(files, promises)
    caller.save(1)
    caller.save(2)
    caller.save(3)  # It has no entries.
    caller.amend((1, 2, None), (2, 2, 2))  # A row moves.
    caller.append((1, 5, 3))
    caller.amend((2, 5, 4))  # Two batches in one group.
    caller.amend((1, 6, 5), (3, 6, 5))  # The first segment is full.
    caller.amend((2, 2, 6))
    caller.save(1, (1, 1, 7))
    assert caller.store.due() == [2]
    caller.save(3)
    caller.save(2)  # Now both old segments go, one after the other.
    assert caller.store.due() == []
    caller.amend((1, 3, None))
    caller.give_up(1)
    caller.amend((1, 9, 8), (2, 9, 8))  # Nothing is written of a window that is not there.
    caller.save(1, (1, 9, 9), (2, 9, 9))
    caller.store.close()
    caller = Caller(files, promises, salt=3)
    caller.found()
    caller.amend((1, 1, 10), (2, 1, 10))
    caller.store.close()


def full_log(files: CrashFiles, promises: Promises) -> None:
    """Nobody folds: the windows that hold on to the oldest segment are given up, and no row is refused."""
    caller = Caller(files, promises)
    caller.save(1)
    caller.save(2)
    caller.amend((1, 1, 2))
    caller.amend((1, 1, 3), (1, 2, 3), (1, 3, 3))
    caller.amend((2, 1, 4), (2, 2, 4), (2, 3, 4))
    promises.saved -= {1}
    caller.amend((2, 1, 5), (2, 2, 5), (2, 3, 5))
    assert caller.store.windows == [2]
    promises.gone |= {1}
    caller.amend((1, 1, 7), (2, 5, 7))
    caller.store.close()


def killed_and_found(at: int) -> Script:
    """A process dies within its ``at``-th change of the disk; the next counts on what it finds, and goes
    on.
    """

    def script(files: CrashFiles, promises: Promises) -> None:
        def first(disk: CrashFiles) -> None:
            caller = Caller(disk, promises)
            caller.save(1)
            caller.amend((1, 2, None), (2, 2, 2))
            caller.append((1, 5, 3))
            caller.amend((1, 6, 4))
            caller.amend((1, 7, 5), (1, 8, 5))
            caller.save(1)
            caller.amend((1, 8, 6))
            caller.save(1)

        files.take_over(killed_at(at, first))
        caller = Caller(files, promises, salt=4)
        caller.found()
        if 1 in caller.store.windows:
            caller.amend((1, 8, 7))
        caller.save(1)
        caller.store.close()

    return script


def damaged_log(files: CrashFiles, promises: Promises) -> None:
    """A batch in the middle is bad: no window is used that may have needed it."""
    before = CrashFiles()
    caller = Caller(before, promises)
    caller.save(1)
    caller.amend((1, 2, None))
    caller.amend((1, 3, 2))
    caller.save(2)
    caller.amend((2, 1, 3), (1, 1, 3))
    caller.store.close()
    image = before.image()
    path = next(path for path in image if path.endswith(".amendments"))
    at = HEADER.size + BATCH.size + 57 + BATCH.size + 20
    image[path] = image[path][:at] + b"bad" + image[path][at + 3 :]
    promises.saved.clear()
    promises.is_damaged = True
    promises.synced = len(promises.states) - 1
    files.take_over(CrashFiles(image))
    caller = Caller(files, promises, salt=5)
    caller.found()
    assert caller.store.windows == [2]  # Saved after it: nothing that was lost is missing there.
    promises.gone.add(1)
    caller.amend((2, 1, 4), (1, 1, 4))
    caller.save(2)  # The damaged segment is not needed any more.
    caller.save(1)
    caller.store.close()


def other_setting(files: CrashFiles, promises: Promises) -> None:
    """A forest is built anew under another setting, where there is one."""
    before = CrashFiles()
    caller = Caller(before, promises)
    caller.save(1)
    caller.save(2)
    caller.amend((1, 2, None))
    caller.store.close()
    files.take_over(before.killed())
    promises.shape = OTHER_SHAPE
    promises.saved.clear()
    caller = Caller(files, promises, salt=6)
    assert caller.store.windows == []
    caller.amend((1, 4, 3))
    caller.save(1)
    caller.amend((1, 5, 3))
    caller.store.close()


SCRIPTS: dict[str, Script] = {
    "life": life_of_a_forest,
    "full log": full_log,
    "damaged log": damaged_log,
    "other setting": other_setting,
    **{f"killed at {at}": killed_and_found(at) for at in (6, 13, 16, 24, 31)},
}


def play(script: Script, skip: int | None = None, limit: int = LIMIT) -> tuple[CrashFiles, int]:
    """Play a history, and open each image of each of its moments; how many there were."""
    return play_and_open(script, Promises(), check, Promises.key, skip=skip, limit=limit)


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Thousands of disks are damaged here, and each is reported."""
    logger = logging.getLogger(forest_store.__name__)
    logger.disabled = True
    yield
    logger.disabled = False


@pytest.mark.parametrize("name", SCRIPTS)
def test_whatever_a_crash_leaves_keeps_every_promise(name: str) -> None:
    _, images = play(SCRIPTS[name])
    assert images > (1000 if name == "life" else 1)


@pytest.mark.parametrize("at", [at for at in range(1, 36) if f"killed at {at}" not in SCRIPTS])
def test_a_process_may_die_within_any_of_its_changes(at: int) -> None:
    play(killed_and_found(at))


NEEDED = list(needed_syncs(SCRIPTS, Promises))


def test_every_sync_is_listed_and_every_one_that_is_listed_is_tried() -> None:
    assert {what for _, _, what in NEEDED} == SYNCS.keys()
    assert {what for name, number, what in NEEDED if (name, number) not in SPARE} == SYNCS.keys()
    assert SPARE.keys() <= {(name, number) for name, number, _ in NEEDED}


@pytest.mark.parametrize(("name", "number", "what"), NEEDED, ids=lambda value: str(value).replace(" ", "_"))
def test_no_sync_can_be_spared(name: str, number: int, what: str) -> None:
    if (name, number) in SPARE:
        play(SCRIPTS[name], skip=number, limit=FEW)
    else:
        with pytest.raises(Broken):
            play(SCRIPTS[name], skip=number, limit=FEW)


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

    @property
    def hit_a_read(self) -> bool:
        return self.calls[min(self.at, len(self.calls) - 1)].startswith(("read", "pread", "map"))


def use(files: CrashFiles, refusing: Refusing, promises: Promises, errors: list[FileError]) -> None:
    """Two lives of a forest. What is refused is tried again, and a row whose amendment is refused is not
    written.
    """

    def insist(call: Callable[[], object]) -> None:
        try:
            call()
        except FileError as error:
            errors.append(error)
            call()

    def save_again(caller: Caller, window: int) -> None:
        def attempt() -> None:
            promises.gone.discard(window)
            while not save(caller.store, caller.store.mark(window), caller.truth[window]):
                assert errors
            promises.saved.add(window)
            files.after()

        insist(attempt)

    def amend(caller: Caller, *changes: tuple[int, int, int | None]) -> None:
        group = caller.append(*changes)
        try:
            caller.sync(group)
        except FileError as error:
            errors.append(error)
            promises.refused.add(len(promises.states) - 1)

    def live(salt: int) -> None:
        callers: list[Caller] = []
        insist(lambda: callers.append(Caller(files, promises, salt)))
        caller = callers[0]
        try:
            wrong = caller.differences()  # A batch that was refused may be there.
        except (FileError, Broken):
            assert refusing.hit_a_read
            wrong = caller.differences()
        if wrong:
            amend(caller, *wrong)
        for window in (1, 2):
            if window not in caller.store.windows:
                save_again(caller, window)
        amend(caller, (1, 1, salt), (2, 1, salt))
        amend(caller, (1, 2, salt), (2, 2, salt))
        amend(caller, (1, 3, salt))
        save_again(caller, 1)
        amend(caller, (1, 4, salt), (2, 4, salt))
        save_again(caller, 2)
        promises.saved.discard(1)
        insist(lambda: caller.store.give_up([1]))
        promises.gone.add(1)
        amend(caller, (1, 5, salt), (2, 5, salt))
        caller.store.close()

    live(10)
    if len(promises.states) - 1 in promises.refused:
        # The next process finds what the disk refused to sync, and the system syncs it no more. That it is
        # gone after a power cut is then noticed, and windows are built anew that need not be.
        promises.is_damaged = True
        promises.saved.clear()
    live(20)


def calls_made() -> list[str]:
    refusing = Refusing(-1, 0)
    use(CrashFiles(fail=refusing), refusing, Promises(settings=ROOMY), [])
    return refusing.calls


@pytest.mark.parametrize(
    ("at", "number"),
    [
        (at, number)
        for at, call in enumerate(calls_made())
        for number in (errno.EIO, errno.ENOSPC)
        if number == errno.EIO or call.startswith(("append", "sync", "rename", "remove"))
    ],
)
def test_a_disk_that_refuses_any_call_makes_no_window_stale(at: int, number: int) -> None:
    refusing, promises, errors = Refusing(at, number), Promises(settings=ROOMY), list[FileError]()

    def look() -> None:
        if len(refusing.calls) <= at:  # What comes before is tried above.
            return
        for image in files.images(6, seed=len(files.calls)):
            if refusing.hit_a_read:  # The disk did not give it back: it is built anew.
                check(image, replace(promises, saved=set(), is_damaged=True))
            else:
                check(image, promises)

    files = CrashFiles(after=look, fail=refusing)
    use(files, refusing, promises, errors)
    look()
    assert files.open_files == 0
    assert len(errors) <= 1
    assert all(str(error).startswith(str(FOLDER)) for error in errors)
