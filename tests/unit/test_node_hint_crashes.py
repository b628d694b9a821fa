"""Every disk that a power cut may leave of the hints: what was promised is there; and no sync can be
spared.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scratchbird_check.crash_files import CrashFiles, Image
from scratchbird_check.crash_histories import Broken, demand, killed_at, needed_syncs, play_and_open
from scratchbird_node import hint_aside, hint_format, hint_log, hint_marks, hint_store, owed_marks
from scratchbird_node.hint_format import HEADER, RECORD, parse_name
from scratchbird_node.hint_store import HintStore
from scratchbird_node.hint_words import Hint, Settings
from scratchbird_node.owed_marks import EVERYTHING, HIGHEST, Owed

FOLDER = Path("hints")
TARGET, OTHER = 7, 8
SMALL = Settings(segment_bytes=200, keep_bytes=0, marks_every=1000)
LIMIT = 300
"""Images a moment; where there are more, so many are drawn."""

SYNCS = {
    hint_log.RECORDS: "acknowledged hints",
    hint_log.SEGMENT_NAME: "acknowledged hints in a new segment, and numbers that never come again",
    hint_log.FOUND: "hints that were found after a process died, and counted on",
    hint_store.FOUND_NAMES: "the names of their files",
    hint_marks.MARKS: "payments that were flushed",
    hint_marks.MARKS_NAME: "the same, where their file is new",
    hint_log.REMOVAL: "payments of a segment that went as a whole",
    hint_aside.ASIDE: "bad bytes, when their segment goes",
    hint_aside.ASIDE_NAME: "the same",
    owed_marks.OWED: "repairs owed",
    f"name of {owed_marks.OWED}": "the same",
    owed_marks.CLEARED: "that a repair is owed no more",
    owed_marks.BAD_OWED: "a damaged list of repairs, when another takes its place",
    f"name of {owed_marks.BAD_OWED}": "the same",
}
"""Every sync there is, and what is lost without it."""


_LOCK = "nothing was there but the lock, which is made again where it is missing"
_EMPTY = "the process died before it had written a hint: the segment is empty"
_PAID = "the process died before its flush was answered: these payments were promised to nobody"
_LEFT_OVER = "the process died before the repair was owed: what it left is removed again"

SPARE = {
    ("life", 0): _LOCK,
    ("damaged owed", 2): "the damaged list would be found once more",
    ("damaged owed", 3): "the damaged list would be found once more",
    ("killed at 1", 0): _LOCK,
    ("killed at 3", 0): _EMPTY,
    ("killed at 3", 3): _EMPTY,
    ("killed at 4", 0): _EMPTY,
    ("killed at 4", 1): _EMPTY,
    ("killed at 4", 4): _EMPTY,
    ("killed at 11", 0): _PAID,
    ("killed at 12", 0): _PAID,
    ("killed at 13", 0): _PAID,
    ("killed at 15", 0): _LEFT_OVER,
    ("killed at 16", 0): _LEFT_OVER,
    ("killed at 17", 0): _LEFT_OVER,
}
"""Scripts, and which of their syncs, counted from 0, make nothing durable that was promised, and why."""


class Ids:
    """Random bytes that are the same in every run."""

    def __init__(self, salt: int = 0) -> None:
        self.count = salt << 32

    def __call__(self, length: int) -> bytes:
        self.count += 1
        return hint_format.checksum(self.count.to_bytes(8, "big")).to_bytes(4, "big") + self.count.to_bytes(
            length - 4, "big"
        )


@dataclass
class Promises:
    """What a store has told its caller, and what must therefore be found after a crash."""

    tried: dict[int, bytes] = field(default_factory=dict)
    """Payloads by version: all that were ever handed over."""
    held: dict[tuple[int, int], bytes] = field(default_factory=dict)
    """Payloads by target and sequence: acknowledged, or found and counted on."""
    paid: set[tuple[int, int]] = field(default_factory=set)
    flushed: set[tuple[int, int]] = field(default_factory=set)
    owed: list[list[Owed]] = field(default_factory=lambda: [[]])
    """What the target may be owed: one list, or two while it changes."""
    bytes_kept: bytes = b""
    """Bad bytes that must be in some file."""


def open_store(files: CrashFiles, salt: int = 0) -> HintStore:
    return HintStore(FOLDER, SMALL, files=files, threaded=False, draw=Ids(salt))


def read_hints(store: HintStore, target: int) -> list[Hint]:
    hints: list[Hint] = []
    if target in store._logs:
        reader = store.reader(target)
        while found := reader.take(max_hints=3):
            hints += found
        reader.close()
    return hints


def is_whole(data: bytes, path: str) -> bool:
    """Whether a segment holds nothing but what belongs in it; written without the code that is tried."""
    parsed = parse_name(Path(path).name)
    assert parsed is not None
    name, _ = parsed
    if data[: HEADER.size] != hint_format.encode_header(name, hint_format.SEGMENT_MAGIC):
        return not data
    at = HEADER.size
    while at < len(data):
        if len(data) - at < 32:
            return False
        marker, crc, length, _, _ = struct.unpack_from(">4sIII16s", data, at)
        if marker not in (name.marker, name.seal_marker) or at + 32 + length > len(data):
            return False
        if hint_format.checksum(name.id + data[at + 8 : at + 32 + length]) != crc:
            return False
        at += 32 + length
    return True


def check(image: Image, promises: Promises) -> None:
    """Open what a crash left, and look whether all promises were kept."""
    files = CrashFiles(image)
    store = open_store(files, salt=1)
    everything = b"|".join(image.values())
    demand(promises.bytes_kept in everything, "bad bytes are gone", image)
    for target in (TARGET, OTHER):
        hints = read_hints(store, target)
        sequences = [hint.sequence for hint in hints]
        demand(sequences == sorted(set(sequences)), f"out of order: {sequences}", image)
        demand(
            store.pending(target) == len(hints), f"{store.pending(target)} pending, {len(hints)} read", image
        )
        found = {(target, hint.sequence): hint.payload for hint in hints}
        for key, payload in promises.held.items():
            if key[0] == target and key not in promises.paid:
                demand(found.get(key) == payload, f"{key} is lost", image)
        demand(not found.keys() & promises.flushed, "paid and flushed, and back again", image)
        for hint in hints:
            version = int.from_bytes(hint.version, "big")
            demand(promises.tried.get(version) == hint.payload, f"{hint} was never written", image)
        # It goes on: numbers never come again, and all can be paid.
        told: list[int | None] = []
        store.append(target, bytes(16), b"next", lambda sequence, error, told=told: told.append(sequence))
        store.commit()
        used = [sequence for at, sequence in promises.held if at == target]
        demand(told[0] is not None and told[0] > max([*used, *sequences, 0]), f"{told} after {used}", image)
        store.pay(target, sequences)
    damaged = {Path(each.path).name for each in store.damage}
    for path, data in image.items():
        if path.endswith(".hints") and not is_whole(data, path):
            demand(Path(path).name in damaged, f"{path} is bad, and nobody said so", image)
    demand(store.owed.owed(TARGET) in promises.owed, f"owed: {store.owed.owed(TARGET)}", image)
    failures: list[object] = []
    store.flush(TARGET, failures.append)
    store.commit()
    demand(failures == [None], f"{failures}", image)
    store.close()
    demand(files.open_files == 0, f"{files.open_files} files left open", image)


# --- histories --------------------------------------------------------------------------------------------


class Caller:
    """Uses a store and writes down what it was promised."""

    def __init__(self, store: HintStore, promises: Promises) -> None:
        self.store = store
        self.promises = promises

    def append(self, *hints: tuple[int, int, int]) -> None:
        """Hints, each a target, a version and a length, as one group."""
        for target, version, length in hints:
            payload = bytes([version]) * length
            self.promises.tried[version] = payload

            def done(
                sequence: int | None, error: object, target: int = target, payload: bytes = payload
            ) -> None:
                assert sequence is not None, error
                self.promises.held[target, sequence] = payload

            self.store.append(target, version.to_bytes(16, "big"), payload, done)
        self.store.commit()

    def pay(self, target: int, *places: int) -> None:
        """The hints of the target by their order of acknowledgement."""
        keys = sorted(key for key in self.promises.held if key[0] == target)
        chosen = [keys[place] for place in places]
        self.promises.paid.update(chosen)
        self.store.pay(target, [sequence for _, sequence in chosen])

    def flush(self, target: int) -> None:
        paid = {key for key in self.promises.paid if key[0] == target}

        def done(error: object) -> None:
            assert error is None, error
            self.promises.flushed |= paid

        self.store.flush(target, done)
        self.store.commit()

    def owe(self, name: str, up_to: int, now_ms: int) -> None:
        owed = Owed(name, up_to.to_bytes(16, "big"), now_ms)
        self._change([*(each for each in self.promises.owed[0] if each.range != name), owed])
        self.store.owed.mark(TARGET, name, owed.up_to, now_ms)
        del self.promises.owed[0]

    def clear(self, name: str) -> None:
        self._change([each for each in self.promises.owed[0] if each.range != name])
        assert self.store.owed.clear(TARGET, name, HIGHEST)
        del self.promises.owed[0]

    def _change(self, owed: list[Owed]) -> None:
        self.promises.owed.append(sorted(owed))


Script = Callable[[CrashFiles, Promises], None]
Look = Callable[[CrashFiles, Promises], None]


def life_of_a_log(files: CrashFiles, promises: Promises) -> None:
    """Groups, two targets, rolled segments, payments in part and in whole, removals, repairs owed."""
    caller = Caller(open_store(files), promises)
    caller.append((TARGET, 1, 20), (OTHER, 2, 5), (TARGET, 3, 0))
    caller.append((TARGET, 4, 30))
    caller.pay(TARGET, 0)
    caller.flush(TARGET)
    caller.append((TARGET, 5, 90), (TARGET, 6, 10))  # Rolls: the first segment is full.
    caller.pay(TARGET, 2, 3)
    caller.flush(TARGET)
    caller.pay(TARGET, 1)
    caller.flush(TARGET)  # The first segment goes, which has marks.
    caller.owe("a", 5, 1000)
    caller.owe("b", 6, 2000)
    caller.pay(OTHER, 0)
    caller.flush(OTHER)  # The newest goes, and another takes its place.
    caller.append((OTHER, 7, 3))
    caller.clear("a")
    caller.clear("b")
    caller.pay(TARGET, 4)
    caller.flush(TARGET)
    caller.append((TARGET, 8, 9))
    caller.store.close()


def killed_and_found(at: int) -> Script:
    """A process dies within its ``at``-th change of the disk; the next counts on what it finds, and goes
    on.
    """

    def script(files: CrashFiles, promises: Promises) -> None:
        def first(disk: CrashFiles) -> None:
            caller = Caller(open_store(disk), promises)
            caller.append((TARGET, 1, 20), (TARGET, 2, 20))
            caller.append((TARGET, 3, 20))
            caller.pay(TARGET, 0)
            caller.flush(TARGET)
            caller.owe("a", 5, 1000)

        files.take_over(killed_at(at, first))
        store = open_store(files, salt=2)
        for hint in read_hints(store, TARGET):
            promises.held[TARGET, hint.sequence] = hint.payload
        promises.owed = [store.owed.owed(TARGET)]
        again = Caller(store, promises)
        again.append((TARGET, 9, 4))
        store.close()

    return script


def damaged_segment(files: CrashFiles, promises: Promises) -> None:
    """A segment with bytes that are bad, whose good hints are paid, so that it goes."""
    before = CrashFiles()
    caller = Caller(open_store(before), promises)
    caller.append((TARGET, 1, 20), (TARGET, 2, 20), (TARGET, 3, 20))
    caller.append((TARGET, 4, 100), (TARGET, 5, 20))
    caller.store.close()
    image = before.image()
    path = min(path for path in image if path.endswith(".hints"))
    at = HEADER.size + RECORD.size + 20
    bad = b"these bytes were bad"
    image[path] = image[path][: at + 32] + bad + image[path][at + 52 :]
    promises.bytes_kept = bad
    lost = sorted(promises.held)[1]
    del promises.held[lost]
    files.take_over(CrashFiles(image))
    caller = Caller(open_store(files, salt=2), promises)
    assert [hint.sequence for hint in read_hints(caller.store, TARGET)] == [
        sequence for _, sequence in sorted(promises.held)
    ]
    caller.pay(TARGET, 0, 1)
    caller.flush(TARGET)
    assert path not in files.image()
    caller.store.close()


def damaged_owed(files: CrashFiles, promises: Promises) -> None:
    """A list of repairs owed that can not be read counts as a repair of everything, and is kept."""
    promises.bytes_kept = b"scratchbird repairs owed, version 1 and then nonsense"
    promises.owed = [[Owed(EVERYTHING, HIGHEST, 0)]]
    files.take_over(CrashFiles({str(FOLDER / f"{TARGET}.owed"): promises.bytes_kept}))
    open_store(files).close()


SCRIPTS: dict[str, Script] = {
    "life": life_of_a_log,
    "damaged segment": damaged_segment,
    "damaged owed": damaged_owed,
    **{f"killed at {at}": killed_and_found(at) for at in range(1, 21)},
}


def key(promises: Promises) -> object:
    return (
        tuple(sorted(promises.held)),
        tuple(sorted(promises.paid)),
        tuple(sorted(promises.flushed)),
        tuple(map(tuple, promises.owed)),
    )


def play(script: Script, skip: int | None = None, limit: int = LIMIT) -> tuple[CrashFiles, int]:
    """Play a history, and open each image of each of its moments; how many there were."""
    return play_and_open(script, Promises(), check, key, skip=skip, limit=limit)


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    """Thousands of disks are damaged here, and each is reported."""
    logger = logging.getLogger(hint_store.__name__)
    logger.disabled = True
    yield
    logger.disabled = False


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
