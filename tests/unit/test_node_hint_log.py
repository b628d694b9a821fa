"""The log of hints: order, payments, damage of every kind, disks that fail, and bounds. Crashes are tried
apart.
"""

from __future__ import annotations

import errno
import itertools
import logging
import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scratchbird.errors import CallerError, ConfigurationError, ScratchbirdError
from scratchbird_check.crash_files import CrashFiles, Image
from scratchbird_node import hint_format, hint_log, hint_marks, hint_store
from scratchbird_node.errors import (
    DiskFaultError,
    DiskFullError,
    FileError,
    FileLockedError,
    FormatError,
    HintLimitError,
)
from scratchbird_node.hint_format import HEADER, RECORD, Name, parse_name
from scratchbird_node.hint_segment import MAX_BAD, MAX_RUNS, Bits
from scratchbird_node.hint_store import HintStore
from scratchbird_node.hint_words import Hint, Settings

FOLDER = Path("hints")
TARGET = 7
SMALL = Settings(segment_bytes=400, keep_bytes=0)
VERSION = bytes(range(16))


@pytest.fixture(autouse=True)
def _no_log() -> Iterator[None]:
    logger = logging.getLogger(hint_store.__name__)
    logger.disabled = True
    yield
    logger.disabled = False


class User:
    """A store on a disk in memory, and what its callbacks were told."""

    def __init__(self, files: CrashFiles | None = None, settings: Settings = SMALL) -> None:
        self.files = CrashFiles() if files is None else files
        self.store = HintStore(FOLDER, settings, files=self.files, threaded=False)
        self.told: list[int | ScratchbirdError] = []

    def append(self, *payloads: bytes, target: int = TARGET) -> list[int]:
        """Append a group; the sequence numbers of those that are durable."""
        before = len(self.told)
        for payload in payloads:
            self.store.append(target, VERSION, payload, self._told)
        self.store.commit()
        assert len(self.told) == before + len(payloads)
        return [each for each in self.told[before:] if isinstance(each, int)]

    def _told(self, sequence: int | None, error: ScratchbirdError | None) -> None:
        one = sequence if error is None else error
        assert one is not None
        self.told.append(one)

    def flush(self, target: int = TARGET) -> ScratchbirdError | None:
        told: list[ScratchbirdError | None] = []
        self.store.flush(target, told.append)
        self.store.commit()
        return told[0]

    def hints(self, target: int = TARGET) -> list[Hint]:
        reader = self.store.reader(target)
        found: list[Hint] = []
        while some := reader.take(3):
            found += some
        reader.close()
        return found

    def payloads(self, target: int = TARGET) -> list[bytes]:
        return [hint.payload for hint in self.hints(target)]

    def again(self, change: Callable[[Image], None] = lambda image: None) -> User:
        """Stop, change what is on the disk, and open it again."""
        self.store.close()
        image = self.files.image()
        change(image)
        return User(CrashFiles(image), self.store._settings)


def unlocked(image: Image) -> Image:
    """All but the file that is locked."""
    return {path: data for path, data in image.items() if path != str(FOLDER / hint_store.LOCK)}


def segments(image: Image) -> list[str]:
    return sorted(path for path in image if path.endswith(".hints"))


def numbered(count: int, size: int = 20) -> list[bytes]:
    return [number.to_bytes(4, "big") * (size // 4) for number in range(count)]


# --- in order, until paid ---------------------------------------------------------------------------------


def test_what_is_appended_is_read_in_order_and_in_pieces() -> None:
    user = User()
    payloads = numbered(50)
    assert user.append(*payloads) == sorted(user.told)  # type: ignore[type-var]
    assert user.payloads() == payloads
    assert len(segments(user.files.image())) > 3
    assert user.store.pending(TARGET) == 50
    reader = user.store.reader(TARGET)
    assert len(reader.take(max_hints=5)) == 5
    assert len(reader.take(max_hints=100, max_bytes=1)) == 1
    assert {hint.version for hint in user.hints()} == {VERSION}
    again = user.again()
    assert again.payloads() == payloads
    assert again.store.damage == []


def test_a_reader_goes_on_with_what_came_later() -> None:
    user = User()
    user.append(b"one")
    reader = user.store.reader(TARGET)
    assert [hint.payload for hint in reader.take()] == [b"one"]
    assert reader.take() == []
    user.append(b"two", b"x" * 500, b"three")
    found = []
    while some := reader.take():
        found += some
    assert [hint.payload for hint in found] == [b"two", b"x" * 500, b"three"]


def test_a_reader_whose_segment_goes_reads_on() -> None:
    user = User()
    sequences = user.append(*numbered(30))
    reader = user.store.reader(TARGET)
    reader.take(2)
    late = user.store.reader(TARGET)
    user.store.pay(TARGET, sequences[:20])
    assert user.flush() is None
    for each in (reader, late):
        found = []
        while some := each.take(5):
            found += some
        assert [hint.sequence for hint in found] == sequences[20:]


def test_what_is_paid_is_read_no_more_now_and_after_a_restart() -> None:
    user = User()
    sequences = user.append(*numbered(30))
    paid = set(random.Random(1).sample(sequences, 17))
    user.store.pay(TARGET, paid)
    user.store.pay(TARGET, paid)  # Doing so twice is no error.
    left = [sequence for sequence in sequences if sequence not in paid]
    assert [hint.sequence for hint in user.hints()] == left
    assert user.store.pending(TARGET) == len(left)
    again = user.again()
    assert [hint.sequence for hint in again.hints()] == left
    assert again.store.pending(TARGET) == len(left)
    again.store.pay(TARGET, left)
    assert again.flush() is None
    assert again.store.targets() == []
    assert again.again().hints() == []


def test_only_the_newest_segment_stays_when_all_is_paid_and_numbers_go_on() -> None:
    user = User()
    sequences = user.append(*numbered(30))
    user.store.pay(TARGET, sequences)
    assert user.flush() is None
    image = user.files.image()
    assert [len(data) for data in unlocked(image).values()] == [HEADER.size]
    assert user.append(b"more")[0] > sequences[-1]
    assert user.again().append(b"yet more")[0] > sequences[-1]


def test_a_small_newest_segment_stays() -> None:
    user = User(settings=Settings(keep_bytes=1000))
    user.store.pay(TARGET, user.append(b"one"))
    assert user.flush() is None
    assert [path.rsplit(".")[-1] for path in unlocked(user.files.image())] == ["hints", "paid"]


@pytest.mark.parametrize("keep_bytes", [0, 1000])
def test_numbers_never_come_again_though_all_is_paid_and_the_store_is_opened_again(keep_bytes: int) -> None:
    user = User(settings=Settings(keep_bytes=keep_bytes))
    (before,) = user.append(b"one")
    user.store.pay(TARGET, [before])
    for _ in range(3):
        user = user.again()
        assert user.flush() is None
    assert user.append(b"two")[0] > before


def test_enough_payments_are_made_durable_without_being_asked_for() -> None:
    user = User(settings=Settings(marks_every=3))
    sequences = user.append(*numbered(10))
    user.store.pay(TARGET, sequences[:2])
    assert not user.store.commit()
    user.store.pay(TARGET, sequences[2:3])
    assert user.store.commit()
    assert [sync.what for sync in user.files.syncs[-2:]] == [hint_marks.MARKS, hint_marks.MARKS_NAME]


def test_marks_that_grow_are_written_anew_and_the_old_ones_removed() -> None:
    user = User(settings=Settings(marks_every=10**6))
    sequences = user.append(*numbered(3 * MAX_RUNS))
    user.store.pay(TARGET, sequences[:1])
    user.flush()
    user.store.pay(TARGET, sequences[1::2])  # More runs than are remembered one by one.
    user.flush()
    names = [Path(path).name for path in unlocked(user.files.image())]
    assert [parse_name(name) is not None for name in names] == [True, True]
    left = [sequence for place, sequence in enumerate(sequences) if place and place % 2 == 0]
    again = user.again()
    assert [hint.sequence for hint in again.hints()] == left
    for sequence in left[:700]:
        again.store.pay(TARGET, [sequence])
        again.flush()
    marks = [data for path, data in again.files.image().items() if path.endswith(".paid")]
    assert len(marks) == 1
    assert len(marks[0]) < 64 << 10
    assert [hint.sequence for hint in again.again().hints()] == left[700:]


def test_a_payment_of_what_never_was_is_refused() -> None:
    user = User()
    (sequence,) = user.append(b"one")
    for wrong in (sequence + 1, 0, 5 << 32):
        with pytest.raises(CallerError, match=f"no hint of target 7 has the sequence number {wrong}"):
            user.store.pay(TARGET, [wrong])
    with pytest.raises(CallerError, match="there is no hint for target 9"):
        user.store.pay(9, [1])
    with pytest.raises(CallerError, match="there is no hint for target 9"):
        user.store.reader(9)


def test_targets_are_apart() -> None:
    user = User()
    user.append(b"for 8", target=8)
    (sequence,) = user.append(b"for 7")
    assert (user.payloads(8), user.payloads(7)) == ([b"for 8"], [b"for 7"])
    user.store.pay(7, [sequence])
    assert user.store.targets() == [8]
    assert user.again().store.targets() == [8]


def test_sets_of_bits_give_their_runs() -> None:
    chance = random.Random(3)
    for _ in range(200):
        wanted = {chance.randrange(100) for _ in range(chance.randrange(100))}
        bits = Bits()
        for index in chance.sample(sorted(wanted), len(wanted)):
            bits.add(index)
        first = chance.randrange(100)
        last = chance.randrange(first, 100)
        bits.add_run(first, last)
        wanted.update(range(first, last + 1))
        assert bits.count == len(wanted)
        assert [index for first, last in bits.runs() for index in range(first, last + 1)] == sorted(wanted)
        assert all((index in bits) == (index in wanted) for index in range(120))


# --- damage -----------------------------------------------------------------------------------------------


def filled() -> tuple[Image, list[bytes]]:
    """A disk with three segments, and the payloads."""
    user = User(settings=Settings(segment_bytes=200, keep_bytes=0))
    payloads = numbered(8)
    user.append(*payloads)
    return unlocked(user.again().files.image()), payloads


def test_every_flipped_bit_costs_one_hint_at_most_and_is_reported() -> None:
    image, payloads = filled()
    path = segments(image)[0]
    records = [HEADER.size + at * (RECORD.size + 20) for at in range(3)]
    for position, bit in itertools.product(range(len(image[path])), range(8)):
        damaged = bytearray(image[path])
        damaged[position] ^= 1 << bit
        user = User(CrashFiles({**image, path: bytes(damaged)}))
        hit = sum(position >= start for start in records) - 1
        is_record = 0 <= hit < 2 or (hit == 2 and position < records[2] + RECORD.size + 20)
        wanted = [payload for place, payload in enumerate(payloads) if not (is_record and place == hit)]
        assert user.payloads() == wanted, (position, bit)
        assert user.store.pending(TARGET) == len(wanted)
        assert [report.path for report in user.store.damage] == [path]
        (report,) = user.store.damage
        assert report.start <= position < report.end


def test_every_truncation_gives_what_is_before_and_in_the_other_segments() -> None:
    image, payloads = filled()
    first, *rest = segments(image)
    for length in range(len(image[first])):
        user = User(CrashFiles({**image, first: image[first][:length]}))
        whole = max(0, length - HEADER.size) // (RECORD.size + 20)
        assert user.payloads() == payloads[:whole] + payloads[3:]
        user.store.pay(TARGET, [hint.sequence for hint in user.hints()])
        assert user.flush() is None
        assert user.store.targets() == []
    assert rest


def test_random_damage_never_stops_a_start_and_never_makes_a_hint_up() -> None:
    image, payloads = filled()
    chance = random.Random(11)
    for _ in range(1500):
        damaged = dict(image)
        for path in chance.sample(sorted(image), 2):
            data = bytearray(damaged[path])
            match chance.randrange(4):
                case 0:
                    at = chance.randrange(len(data))
                    data[at : at + chance.randrange(60)] = chance.randbytes(chance.randrange(60))
                case 1:
                    del data[chance.randrange(len(data)) :]
                case 2:
                    at = chance.randrange(len(data))
                    data[at:at] = bytes(chance.randrange(60))
                case _:
                    data += chance.randbytes(chance.randrange(60))
            damaged[path] = bytes(data)
        user = User(CrashFiles(damaged))
        found = user.payloads()
        assert [payload for payload in payloads if payload in found] == found
        assert user.store.pending(TARGET) == len(found)
        assert len(found) >= 2  # One segment was left alone.
        if damaged != image:
            user.store.pay(TARGET, [hint.sequence for hint in user.hints()])
        assert user.flush() is None
        user.store.close()
        assert user.files.open_files == 0


def test_bad_bytes_are_kept_when_their_segment_goes() -> None:
    image, _ = filled()
    path = segments(image)[0]
    at = HEADER.size + RECORD.size + 20 + 40
    image[path] = image[path][:at] + b"BAD" + image[path][at + 3 :]
    user = User(CrashFiles(image))
    user.store.pay(TARGET, [hint.sequence for hint in user.hints()])
    assert user.flush() is None
    assert [len(data) for path, data in user.files.image().items() if path.endswith(".hints")] == [48]
    ((kept, data),) = [(name, data) for name, data in user.files.image().items() if name.endswith(".bad")]
    assert data[40:43] == b"BAD"
    assert f".{at - 40}-{at + 12}.bad" in kept
    assert user.store.size == sum(len(data) for data in user.files.image().values())
    assert user.again().store.size == user.store.size + RECORD.size  # The seal of the newest.
    assert user.files.image().keys() & {kept}


def test_a_block_that_can_not_be_read_costs_what_is_in_it() -> None:
    user = User(settings=Settings())
    payloads = numbered(1000)
    user.append(*payloads)
    image = user.again().files.image()

    def fail(call: str) -> int | None:
        """The second block of 4096 bytes."""
        words = call.split()
        is_hit = words[0] == "pread" and int(words[1]) < 8192 and int(words[2]) > 4096
        return errno.EIO if is_hit and call.endswith(".hints") else None

    user = User(CrashFiles(image, fail=fail))
    found = user.payloads()
    lost = 1000 - len(found)
    assert 4096 // 52 <= lost <= 4096 // 52 + 2
    assert found == [payload for payload in payloads if payload in found]
    assert len(user.store.damage) == 1
    user.store.pay(TARGET, [hint.sequence for hint in user.hints()])
    user.store._logs[TARGET]._settings = SMALL  # So that it goes though it is the newest.
    user.append(b"next")
    assert user.flush() is None
    assert any(path.endswith(".hints.bad") for path in user.files.image())  # It can not be copied.


def test_a_segment_with_bad_bytes_all_over_is_kept_as_a_whole() -> None:
    user = User(settings=Settings(keep_bytes=0))
    user.append(*numbered(2 * MAX_BAD + 10))
    image = user.again().files.image()
    (path,) = segments(image)
    data = bytearray(image[path])
    for place in range(0, 2 * MAX_BAD + 10, 2):
        data[HEADER.size + place * 52 + 40] ^= 1
    user = User(CrashFiles({path: bytes(data)}), Settings(keep_bytes=0))
    hints = user.hints()
    assert len(hints) == MAX_BAD + 5
    assert user.store.damage_count <= MAX_BAD + 1
    user.store.pay(TARGET, [hint.sequence for hint in hints])
    assert user.flush() is None
    assert user.files.image()[f"{path}.bad"] == bytes(data)


def test_a_record_that_the_disk_gives_back_twice_is_delivered_once() -> None:
    image, payloads = filled()
    path = segments(image)[0]
    record = image[path][HEADER.size : HEADER.size + RECORD.size + 20]
    user = User(CrashFiles({**image, path: image[path] + record}))
    assert user.payloads() == payloads
    assert user.store.pending(TARGET) == len(payloads)
    (report,) = user.store.damage
    assert (report.start, report.end) == (len(image[path]), len(image[path]) + len(record))


def test_a_payload_that_holds_a_hint_file_makes_no_hint_up() -> None:
    """Whoever writes values must not be able to write hints: not even with the bytes of another log."""
    image, _ = filled()
    user = User(settings=Settings())
    user.append(b"first", image[segments(image)[0]] * 3, b"last")
    image = user.again().files.image()
    (path,) = segments(image)
    data = bytearray(image[path])
    data[HEADER.size + RECORD.size + 5 + 9] ^= 1  # The length of the second.
    user = User(CrashFiles({path: bytes(data)}))
    assert user.payloads() == [b"first", b"last"]


def test_a_segment_of_another_target_is_put_aside() -> None:
    image, payloads = filled()
    path = segments(image)[0]
    other = Name(8, 4, bytes(16))
    data = hint_format.encode_header(other, hint_format.SEGMENT_MAGIC) + image[path][HEADER.size :]
    copied = str(FOLDER / Name(TARGET, 9, bytes(16)).segment)
    user = User(CrashFiles({**image, copied: data}))
    assert user.payloads() == payloads
    assert user.files.image()[f"{copied}.foreign"] == data
    (report,) = user.store.damage
    assert "segment 4 of target 8" in str(report)
    assert f"{copied}.foreign, bytes 0 to {len(data)}" in str(report)
    assert user.append(b"next")[0] >> 32 == 10


def test_a_segment_that_is_there_twice_is_put_aside() -> None:
    image, payloads = filled()
    parsed = parse_name(Path(segments(image)[0]).name)
    assert parsed is not None
    twin = parsed[0]._replace(id=b"\xff" * 16)
    image[str(FOLDER / twin.segment)] = hint_format.encode_header(twin, hint_format.SEGMENT_MAGIC)
    user = User(CrashFiles(image))
    assert user.payloads() == payloads
    assert "is there twice" in str(user.store.damage[0])


@pytest.mark.parametrize(
    "name",
    ["notes.hints", "7-1-00.hints", f"07-0000000001-{'0' * 32}.hints", f"7-0000000001-{'0' * 32}.paid"],
)
def test_a_file_with_a_name_that_is_none_of_ours_is_reported_and_left_alone(name: str) -> None:
    image, payloads = filled()
    user = User(CrashFiles({**image, str(FOLDER / name): b"precious"}))
    assert user.payloads() == payloads
    assert "left alone" in str(user.store.damage[0])
    user.store.close()
    assert user.files.image()[str(FOLDER / name)] == b"precious"


def test_other_files_are_none_of_our_business() -> None:
    image, _ = filled()
    user = User(CrashFiles({**image, str(FOLDER / "README"): b"x", str(FOLDER / "7.owed.txt"): b"y"}))
    assert user.store.damage == []


@pytest.mark.parametrize("magic", [hint_format.SEGMENT_MAGIC, hint_format.MARKS_MAGIC])
def test_a_file_of_a_newer_format_stops_the_start_and_is_left_alone(magic: bytes) -> None:
    image, _ = filled()
    parsed = parse_name(Path(segments(image)[0]).name)
    assert parsed is not None
    name = parsed[0]
    path = str(FOLDER / (name.segment if magic == hint_format.SEGMENT_MAGIC else name.marks(1)))
    for length in (16, 48, 200):
        data = struct.pack(">8sHH", magic, 2, length).ljust(length - 4, b"\x01")
        data += hint_format.checksum(data).to_bytes(4, "big") + b"what nobody knows yet"
        files = CrashFiles({**image, path: data})
        with pytest.raises(FormatError, match="format version 2, and this software knows") as refused:
            User(files)
        assert isinstance(refused.value, ConfigurationError)
        assert refused.value.path == path
        assert files.image()[path] == data
        assert files.open_files == 0


def test_marks_of_another_segment_are_put_aside_and_torn_ones_are_reported() -> None:
    user = User(settings=Settings())
    sequences = user.append(*numbered(10))
    user.store.pay(TARGET, sequences[:2])
    user.flush()
    user.store.pay(TARGET, sequences[4:5])
    image = user.again().files.image()
    (path,) = [path for path in image if path.endswith(".paid")]
    torn = User(CrashFiles({**image, path: image[path][:-1]}))
    assert [hint.sequence for hint in torn.hints()] == sequences[2:]
    assert "delivered once more" in str(torn.store.damage[0])
    torn.store.pay(TARGET, sequences[2:4])
    assert torn.flush() is None
    again = torn.again()
    assert again.store.damage == []  # They were written anew.
    assert [hint.sequence for hint in again.hints()] == sequences[4:]
    no_header = User(CrashFiles({**image, path: b"\x00" * HEADER.size + image[path][HEADER.size :]}))
    assert [hint.sequence for hint in no_header.hints()] == [*sequences[2:4], *sequences[5:]]
    parsed = parse_name(Path(path).name)
    assert parsed is not None
    foreign = hint_format.encode_header(parsed[0]._replace(number=5), hint_format.MARKS_MAGIC)
    other = User(CrashFiles({**image, path: foreign + image[path][HEADER.size :]}))
    assert len(other.hints()) == 10
    assert f"{path}.foreign" in other.files.image()


def test_marks_whose_segment_is_gone_are_removed() -> None:
    image, payloads = filled()
    gone = Name(TARGET, 1, b"\x07" * 16)
    user = User(CrashFiles({**image, str(FOLDER / gone.marks(3)): b"whatever"}))
    assert user.payloads() == payloads
    assert str(FOLDER / gone.marks(3)) not in user.files.image()


# --- disks that fail --------------------------------------------------------------------------------------


class Failing:
    """Fails calls that begin like this, as long as it is on."""

    def __init__(self, begins: str, number: int = errno.EIO) -> None:
        self.begins = begins
        self.number = number
        self.on = False

    def __call__(self, call: str) -> int | None:
        return self.number if self.on and call.startswith(self.begins) else None


@pytest.mark.parametrize(
    ("begins", "number", "kind"),
    [
        ("append", errno.ENOSPC, DiskFullError),
        ("append", errno.EIO, DiskFaultError),
        ("create", errno.ENOSPC, DiskFullError),
        ("create", errno.EMFILE, FileError),
        (f"sync {hint_log.RECORDS}", errno.EIO, DiskFaultError),
        (f"sync {hint_log.RECORDS}", errno.ENOSPC, DiskFullError),
        (f"sync {hint_log.SEGMENT_NAME}", errno.EIO, DiskFaultError),
    ],
)
@pytest.mark.parametrize("room", [0, 1])
def test_nothing_is_acknowledged_that_is_not_durable(
    begins: str, number: int, kind: type[FileError], room: int
) -> None:
    fail = Failing(begins, number)
    user = User(CrashFiles(fail=fail), Settings(segment_bytes=150, keep_bytes=0))
    good = user.append(*numbered(2 - room))
    fail.on = True
    failed = not user.append(b"f" * 20, b"g" * 20)
    assert failed or (room, begins) in ((1, "create"), (1, f"sync {hint_log.SEGMENT_NAME}"))
    if failed:
        assert all(type(each) is kind for each in user.told[-2:])
        assert str(user.told[-1]).startswith("hints")
    fail.on = False
    good += user.append(b"after", b"the failure")
    for image in user.files.images(500, seed=1):
        left = User(CrashFiles(image))
        assert set(good) <= {hint.sequence for hint in left.hints()}
    assert user.again().store.pending(TARGET) >= len(good)


def test_a_segment_is_never_trusted_again_after_a_sync_that_failed() -> None:
    fail = Failing(f"sync {hint_log.RECORDS}")
    user = User(CrashFiles(fail=fail), Settings())
    (first,) = user.append(b"first")
    fail.on = True
    assert user.append(b"second") == []
    fail.on = False
    (third,) = user.append(b"third")
    assert third >> 32 == (first >> 32) + 1
    assert [hint.sequence for hint in user.hints()] == [first, third]
    fail.on = True
    for _ in range(20):
        user.append(b"again")
    fail.on = False
    assert user.flush() is None
    assert len(segments(user.files.image())) <= 4  # What holds nothing goes.


def test_payments_whose_marks_failed_are_written_anew() -> None:
    for begins in (f"sync {hint_marks.MARKS}", f"sync {hint_marks.MARKS_NAME}", "create"):
        fail = Failing(begins)
        user = User(CrashFiles(fail=fail), Settings())
        sequences = user.append(*numbered(6))
        for place in range(3):
            user.store.pay(TARGET, sequences[place : place + 1])
            fail.on = place == 1 or begins == "create"
            if begins != "create" and place == 1:
                user.store._logs[TARGET]._segments[1].needs_new_marks = True
            failure = user.flush()
            assert isinstance(failure, DiskFaultError) == fail.on, (begins, place)
            fail.on = False
        assert user.flush() is None
        for image in user.files.images(300, seed=2):
            assert [hint.sequence for hint in User(CrashFiles(image)).hints()] == sequences[3:]


def test_a_full_disk_does_not_keep_paid_segments_from_going() -> None:
    fail = Failing("create", errno.ENOSPC)
    user = User(CrashFiles(fail=fail))
    sequences = user.append(*numbered(30))
    before = len(segments(user.files.image()))
    user.store.pay(TARGET, sequences[:25])
    fail.on = True
    assert isinstance(user.flush(), DiskFullError)  # The marks of the rest.
    assert len(segments(user.files.image())) < before
    fail.on = False
    assert user.flush() is None


def test_closing_on_a_failing_disk_lets_go_of_all_and_says_so() -> None:
    fail = Failing("sync")
    user = User(CrashFiles(fail=fail))
    sequences = user.append(*numbered(3))
    user.store.pay(TARGET, sequences[:1])
    fail.on = True
    with pytest.raises(DiskFaultError):
        user.store.close()
    user.store.close()
    assert user.files.open_files == 0
    assert HintStore(FOLDER, files=CrashFiles(user.files.image()), threaded=False)


# --- bounds -----------------------------------------------------------------------------------------------


def test_what_waits_is_bounded() -> None:
    user = User(settings=Settings(max_queued_bytes=200))
    for _ in range(2):
        user.store.append(TARGET, VERSION, b"x" * 50, user._told)
    with pytest.raises(HintLimitError, match=r"max_queued_bytes = 200 is reached: .*try again") as refused:
        user.store.append(TARGET, VERSION, b"x" * 50, user._told)
    assert refused.value.limit == 200
    user.store.commit()
    assert user.store.queued_bytes == 0
    user.store.append(TARGET, VERSION, b"x" * 500, user._told)  # One is taken, however large.
    user.store.commit()
    assert len(user.told) == 3


def test_the_disk_that_is_used_is_bounded() -> None:
    user = User(settings=Settings(max_bytes=400, segment_bytes=200, keep_bytes=0))
    sequences = [user.append(b"x" * 20)[0] for _ in range(5)]
    with pytest.raises(HintLimitError, match=r"max_bytes = 400 is reached: start the targets"):
        user.append(b"x" * 20)
    assert user.store.size <= 400
    user.store.pay(TARGET, sequences)
    assert user.flush() is None
    assert user.append(b"x" * 20)


def test_targets_and_open_files_are_bounded() -> None:
    user = User(settings=Settings(max_targets=5, max_open_files=2))
    for round_ in range(3):
        for target in range(5):
            user.append(b"%d" % round_, target=target)
        assert user.files.open_files <= 2 + 1  # The lock is open as well.
    assert [user.payloads(target) for target in range(5)] == [[b"0", b"1", b"2"]] * 5
    with pytest.raises(HintLimitError, match="max_targets = 5 is reached: target 5 is new"):
        user.append(b"", target=5)


@pytest.mark.parametrize(
    ("target", "version", "payload", "message"),
    [
        (-1, VERSION, b"", "target -1: the id of a node is between 0"),
        (1 << 64, VERSION, b"", "target 18446744073709551616"),
        (7, b"short", b"", "has 5 bytes: it must have 16"),
        (7, VERSION, b"x" * 100, "a hint of 100 bytes: max_payload_bytes = 99"),
    ],
)
def test_impossible_values_are_refused(target: int, version: bytes, payload: bytes, message: str) -> None:
    user = User(settings=Settings(max_payload_bytes=99))
    with pytest.raises(CallerError, match=message):
        user.store.append(target, version, payload, user._told)


@pytest.mark.parametrize("name", ["segment_bytes", "max_queued_bytes", "max_open_files", "max_payload_bytes"])
def test_impossible_settings_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} = 0: it must be"):
        Settings(**{name: 0})
    with pytest.raises(ConfigurationError, match="the format has room for"):
        Settings(max_payload_bytes=1 << 30)


def test_a_closed_store_says_so_and_a_folder_is_open_once() -> None:
    user = User()
    with pytest.raises(FileLockedError, match=r"hints\.lock"):
        User(user.files)
    user.append(b"one")
    user.store.close()
    for call in (
        lambda: user.store.append(TARGET, VERSION, b"", user._told),
        lambda: user.store.pay(TARGET, []),
        lambda: user.store.flush(TARGET, print),
        lambda: user.store.reader(TARGET),
    ):
        with pytest.raises(CallerError, match="were closed: open the folder again"):
            call()
    assert User(user.files).payloads() == [b"one"]


def test_a_start_reads_no_segment_that_was_closed_in_order() -> None:
    user = User(settings=Settings(segment_bytes=10_000))
    user.append(*numbered(3000))
    again = user.again()
    assert again.store.pending(TARGET) == 3000
    reads = [call.split() for call in again.files.calls if call.startswith("pread ")]
    assert len(reads) >= 2 * 15
    assert all(int(end) - int(start) <= hint_format.MAX_HEADER for _, start, end, _ in reads)
