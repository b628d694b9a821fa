"""Hints of several targets in one commit: synced side by side, told in order, and failing each for itself."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from scratchbird.errors import BugError, ScratchbirdError
from scratchbird_check.crash_files import CrashFiles
from scratchbird_node import files as files_module
from scratchbird_node import hint_log
from scratchbird_node.errors import DiskFaultError, FileError
from scratchbird_node.files import Appending, Disk, DiskAppending
from scratchbird_node.hint_store import HintStore
from scratchbird_node.hint_words import Settings

FOLDER = Path("hints")
LONG = 20.0
"""Seconds after which a test that waits for a thread gives up; no test that passes waits that long."""
VERSION = bytes(16)


class Meeting(Disk):
    """A disk each of whose syncs ends when so many are under way."""

    def __init__(self, parties: int) -> None:
        self._barrier = threading.Barrier(parties)

    def append_to(self, path: Path, *, new: bool) -> Appending:
        barrier = self._barrier

        class Waiting(DiskAppending):
            def sync(self, what: str) -> None:
                barrier.wait(LONG)
                super().sync(what)

        return Waiting(path, new=new)


class Caller:
    """Appends hints to a store that no thread writes, and notes what it is told."""

    def __init__(self, files: Any, folder: Path = FOLDER, **settings: Any) -> None:
        self.store = HintStore(folder, Settings(keep_bytes=0, **settings), files=files, threaded=False)
        self.told: dict[int, list[tuple[bytes, int | ScratchbirdError]]] = {}

    def append(self, *hints: tuple[int, bytes]) -> None:
        for target, payload in hints:
            self.store.append(target, VERSION, payload, self._note(target, payload))
        self.store.commit()

    def _note(self, target: int, payload: bytes) -> Callable[[int | None, ScratchbirdError | None], None]:
        def done(sequence: int | None, error: ScratchbirdError | None) -> None:
            told = error if sequence is None else sequence
            assert told is not None
            self.told.setdefault(target, []).append((payload, told))

        return done

    def payloads(self, target: int) -> list[bytes]:
        return list(read(self.store, target).values())


def read(store: HintStore, target: int) -> dict[int, bytes]:
    """The payloads of all hints of a target, by their sequence number."""
    reader, found = store.reader(target), {}
    while hints := reader.take():
        found.update({hint.sequence: hint.payload for hint in hints})
    reader.close()
    return found


@pytest.fixture
def opened() -> Iterator[list[Appending]]:
    files: list[Appending] = []
    yield files
    for file in files:
        file.close()


def refusing_sync(path: Path) -> DiskAppending:
    class Refusing(DiskAppending):
        def sync(self, what: str) -> None:
            raise FileError(str(path), what)

    return Refusing(path, new=True)


# --- the disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_syncs", [1, 2, 8])
def test_each_sync_that_fails_is_told_in_its_place(
    tmp_path: Path, opened: list[Appending], max_syncs: int
) -> None:
    disk = Disk()
    disk.max_syncs = max_syncs
    for name in "abcde":
        path = tmp_path / name
        opened.append(refusing_sync(path) if name in "bd" else disk.append_to(path, new=True))
    outcomes = disk.sync_all(opened, "words")
    assert [None if each is None else each.path for each in outcomes] == [
        None,
        str(tmp_path / "b"),
        None,
        str(tmp_path / "d"),
        None,
    ]
    assert disk.sync_all(opened[:1], "words") == [None]
    assert disk.sync_all([], "words") == []


def test_syncs_are_under_way_side_by_side(tmp_path: Path, opened: list[Appending]) -> None:
    disk = Meeting(5)
    opened += [disk.append_to(tmp_path / name, new=True) for name in "abcde"]
    assert disk.sync_all(opened, "words") == [None] * 5


def test_where_no_thread_can_be_had_all_is_synced_all_the_same(
    tmp_path: Path, opened: list[Appending], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    disk = Disk()
    opened += [disk.append_to(tmp_path / "a", new=True), refusing_sync(tmp_path / "b")]
    opened.append(disk.append_to(tmp_path / "c", new=True))
    first, second, third = disk.sync_all(opened, "words")
    assert (first, third) == (None, None)
    assert second is not None


def test_a_forked_child_has_threads_of_its_own(tmp_path: Path, opened: list[Appending]) -> None:
    disk = Disk()
    opened += [disk.append_to(tmp_path / name, new=True) for name in "ab"]
    assert disk.sync_all(opened, "words") == [None, None]
    parents = disk._pool
    files_module._close_in_child()  # What a fork calls in the child.
    assert disk.sync_all(opened, "words") == [None, None]
    assert disk._pool is not parents


# --- the store --------------------------------------------------------------------------------------------


def test_the_targets_of_a_commit_are_synced_side_by_side_and_each_is_told_in_order(tmp_path: Path) -> None:
    caller = Caller(Meeting(3), tmp_path)
    for turn in range(3):
        caller.append(*((target, b"%d-%d" % (turn, place)) for place in range(4) for target in (1, 2, 3)))
    for target in (1, 2, 3):
        payloads, sequences = zip(*caller.told[target], strict=True)
        assert list(payloads) == [b"%d-%d" % (turn, place) for turn in range(3) for place in range(4)]
        assert list(sequences) == sorted(set(sequences))
        assert caller.payloads(target) == list(payloads)
    caller.store.close()


def test_the_names_of_all_new_segments_are_synced_at_once() -> None:
    files = CrashFiles()
    caller = Caller(files)
    caller.append((1, b"a"), (2, b"b"), (3, b"c"))
    made = [sync.what for sync in files.syncs[1:]]
    assert made == [hint_log.RECORDS] * 3 + [hint_log.SEGMENT_NAME]
    caller.append((1, b"a"), (2, b"b"))
    assert [sync.what for sync in files.syncs[5:]] == [hint_log.RECORDS] * 2


def test_groups_that_fill_segments_are_written_in_parts() -> None:
    caller = Caller(CrashFiles(), segment_bytes=200)
    hints = [(target, b"%02d" % place * 20) for place in range(10) for target in (1, 2)]
    caller.append(*hints, (3, b"short"))
    for target in (1, 2):
        assert caller.payloads(target) == [payload for at, payload in hints if at == target]
        assert [payload for payload, _ in caller.told[target]] == caller.payloads(target)
    assert caller.payloads(3) == [b"short"]
    assert caller.store.queued_bytes == 0


def test_no_more_files_are_open_than_may_be() -> None:
    files = CrashFiles()
    most = 0

    def after() -> None:
        nonlocal most
        most = max(most, files.open_files)

    files.after = after
    caller = Caller(files, max_open_files=2)
    for _ in range(2):
        caller.append(*((target, b"x") for target in range(5)))
    assert [caller.payloads(target) for target in range(5)] == [[b"x", b"x"]] * 5
    assert most <= 2 + 2  # The lock, and the one that is being opened before another is closed.


@pytest.mark.parametrize("call", ["append", "sync"])
def test_a_target_whose_file_fails_fails_alone(call: str) -> None:
    calls: list[str] = []

    def fail(made: str) -> int | None:
        if made == f"sync {hint_log.RECORDS}" or (made.startswith("append") and made.endswith(".hints")):
            calls.append(made.split()[0])
        else:
            return None
        # Of the second commit the one for the second target.
        return errno.EIO if made.startswith(call) and calls.count(call) == failing else None

    failing = {"append": 3 * 2 + 2, "sync": 3 + 2}[call]  # A new segment has its header appended first.
    files = CrashFiles(fail=fail)
    caller = Caller(files)
    caller.append((1, b"a"), (2, b"b"), (3, b"c"))
    caller.append((1, b"aa"), (2, b"bb"), (3, b"cc"))
    assert isinstance(caller.told[2].pop()[1], DiskFaultError)
    caller.append((2, b"bbb"))
    assert all(isinstance(told, int) for target in (1, 2, 3) for _, told in caller.told[target])
    assert [caller.payloads(target) for target in (1, 3)] == [[b"a", b"aa"], [b"c", b"cc"]]
    assert caller.payloads(2)[0] == b"b"
    assert caller.payloads(2)[-1] == b"bbb"
    for image in files.images(300, seed=3):
        store = HintStore(FOLDER, files=CrashFiles(image), threaded=False)
        for target, told in caller.told.items():
            assert read(store, target).items() >= {(sequence, payload) for payload, sequence in told}


def test_new_segments_whose_names_are_not_durable_acknowledge_nothing() -> None:
    def fail(made: str) -> int | None:
        return errno.EIO if made == f"sync {hint_log.SEGMENT_NAME}" and len(syncs) == 1 else None

    syncs: list[int] = [1]
    caller = Caller(CrashFiles(fail=fail))
    caller.append((1, b"a"), (2, b"b"))
    assert all(isinstance(told, DiskFaultError) for target in (1, 2) for _, told in caller.told[target])
    syncs.clear()
    caller.append((1, b"aa"), (2, b"bb"))
    assert all(isinstance(caller.told[target][1][1], int) for target in (1, 2))
    assert caller.store.queued_bytes == 0


class Interrupted(BaseException):
    """Somebody pressed Ctrl-C."""


@pytest.mark.parametrize("error", [Interrupted(), ZeroDivisionError()])
def test_whatever_interrupts_a_commit_no_number_comes_twice(error: BaseException) -> None:
    def fail(made: str) -> int | None:
        if armed and made == f"sync {hint_log.RECORDS}":
            armed.pop()
            raise error
        return None

    armed: list[int] = []
    caller = Caller(CrashFiles(fail=fail))
    caller.append((1, b"a"), (2, b"b"))
    armed.append(1)
    if isinstance(error, Exception):  # A bug: those who wait are told.
        caller.append((1, b"aa"), (2, b"bb"))
        assert all(isinstance(caller.told[target].pop()[1], BugError) for target in (1, 2))
    else:
        with pytest.raises(Interrupted):
            caller.append((1, b"aa"), (2, b"bb"))
    caller.append((1, b"aaa"), (2, b"bbb"))
    for target in (1, 2):
        told = {(sequence, payload) for payload, sequence in caller.told[target]}
        assert read(caller.store, target).items() >= told
        assert len(caller.told[target]) == 2
