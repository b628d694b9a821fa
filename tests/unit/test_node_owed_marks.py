"""The repairs owed to targets: kept, raised, cleared, and never forgotten because a file is damaged."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from scratchbird.errors import CallerError
from scratchbird_check.crash_files import CrashFiles
from scratchbird_node import owed_marks
from scratchbird_node.errors import DiskFaultError, FileError
from scratchbird_node.files import Disk
from scratchbird_node.hint_words import Damage
from scratchbird_node.owed_marks import EVERYTHING, HIGHEST, MAX_RANGES, Owed, OwedMarks, decode, encode

FOLDER = Path("hints")
PATH = str(FOLDER / "7.owed")


def version(number: int) -> bytes:
    return number.to_bytes(16, "big")


class Opened(OwedMarks):
    """Marks on a disk in memory, and the damage they reported."""

    def __init__(self, files: CrashFiles) -> None:
        self.damage: list[Damage] = []
        super().__init__(files, FOLDER, self.damage.append)


def test_what_is_owed_is_there_again_until_it_is_cleared() -> None:
    files = CrashFiles()
    marks = Opened(files)
    marks.mark(7, "b", version(5), 1000)
    marks.mark(7, "a", version(6), 2000)
    marks.mark(8, EVERYTHING, version(7), 3000)
    for each in (marks, Opened(files)):
        assert each.owed(7) == [Owed("a", version(6), 2000), Owed("b", version(5), 1000)]
        assert each.targets() == [7, 8]
    assert marks.clear(7, "b", version(5))
    assert marks.clear(7, "nothing", version(5))
    assert marks.clear(9, "nothing", version(5))
    assert marks.clear(8, EVERYTHING, HIGHEST)
    for each in (marks, Opened(files)):
        assert each.targets() == [7]
        assert each.owed(8) == []
    assert marks.clear(7, "a", HIGHEST)
    assert files.image() == {}


def test_a_mark_is_raised_and_keeps_its_first_time_and_outlives_an_earlier_repair() -> None:
    files = CrashFiles()
    marks = Opened(files)
    marks.mark(7, "a", version(5), 2000)
    marks.mark(7, "a", version(9), 3000)
    syncs = len(files.syncs)
    marks.mark(7, "a", version(4), 4000)  # Known already.
    assert len(files.syncs) == syncs
    assert marks.owed(7) == [Owed("a", version(9), 2000)]
    assert not marks.clear(7, "a", version(8))
    assert Opened(files).owed(7) == [Owed("a", version(9), 2000)]


def test_with_too_many_ranges_everything_is_owed() -> None:
    files = CrashFiles()
    marks = Opened(files)
    for number in range(MAX_RANGES + 1):
        marks.mark(7, f"range {number}", version(number), 5000 - number)
    everything = [Owed(EVERYTHING, version(MAX_RANGES), 5000 - MAX_RANGES)]
    assert marks.owed(7) == everything
    assert Opened(files).owed(7) == everything


def test_the_longest_list_fits_and_a_longer_file_is_refused_and_left_alone() -> None:
    longest = {}
    for number in range(MAX_RANGES):
        name = f"{number:04}".ljust(owed_marks.MAX_RANGE_CHARACTERS, "\N{BIRD}")
        longest[name] = Owed(name, HIGHEST, 1 << 48)
    data = encode(7, longest)
    assert Opened(CrashFiles({PATH: data})).owed(7) == sorted(longest.values())
    files = CrashFiles({PATH: data * 3})
    with pytest.raises(FileError, match="which no list of repairs owed is"):
        Opened(files)
    assert files.image() == {PATH: data * 3}


def test_a_person_can_read_the_file() -> None:
    files = CrashFiles()
    Opened(files).mark(7, "shard 3", version(5), 1000)
    lines = files.image()[PATH].decode().splitlines()
    assert lines[0] == "scratchbird repairs owed, version 1"
    assert lines[1] == '{"target": 7, "owed": [["shard 3", "00000000000000000000000000000005", 1000]]}'


def test_every_damage_means_that_everything_is_owed_and_is_kept_and_reported_once() -> None:
    good = encode(7, {"a": Owed("a", version(5), 1000)})
    assert decode(good, 7) == {"a": Owed("a", version(5), 1000)}
    cases = [good[:length] for length in range(len(good))]
    for position in range(len(good)):
        flipped = bytearray(good)
        flipped[position] ^= 4
        cases.append(bytes(flipped))
    cases += [encode(8, {}), good + b"\n", b"\xff" * 2000]
    for case in cases:
        files = CrashFiles({PATH: case})
        marks = Opened(files)
        assert marks.owed(7) == [Owed(EVERYTHING, HIGHEST, 0)]
        (report,) = marks.damage
        assert report.path == PATH
        assert "owed a repair of everything" in report.detail
        again = Opened(files)
        assert again.damage == []
        assert again.owed(7) == [Owed(EVERYTHING, HIGHEST, 0)]
        assert again.clear(7, EVERYTHING, HIGHEST)
        assert files.image() == {f"{PATH}.bad": case}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('scratchbird repairs owed, version 2\n{"target": 7, "owed": []}\n', "or of a newer version"),
        (
            'scratchbird repairs owed, version 1\n{"target": 8, "owed": []}\n',
            "are no repairs owed to target 7",
        ),
        ('scratchbird repairs owed, version 1\n{"target": 7, "owed": [1]}\n', "are no repairs owed"),
        (
            'scratchbird repairs owed, version 1\n{"target": 7, "owed": [["a", "00", 1]]}\n',
            "are no repairs owed",
        ),
        ("scratchbird repairs owed, version 1\n[]\n", "are no repairs owed"),
        ("scratchbird repairs owed, version 1\n\n", "Expecting value"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, message: str) -> None:
    data = f"{text}sha256 {hashlib.sha256(text.encode()).hexdigest()}\n".encode()
    with pytest.raises(ValueError, match=message):
        decode(data, 7)


@pytest.mark.parametrize("call", ["create", "append", "sync", "rename", "remove"])
def test_a_disk_that_fails_changes_nothing(call: str) -> None:
    files = CrashFiles()
    marks = Opened(files)
    marks.mark(7, "a", version(5), 1000)
    files.fail = lambda made: errno.EIO if made.startswith(call) else None
    with pytest.raises(DiskFaultError):
        marks.clear(7, "a", HIGHEST) if call in ("remove", "sync") else marks.mark(7, "b", version(5), 1000)
    assert marks.owed(7) == [Owed("a", version(5), 1000)]
    files.fail = lambda made: None
    marks.mark(7, "b", version(6), 1000)
    assert marks.clear(7, "b", version(6))
    assert marks.clear(7, "a", version(6))
    for image in files.images(1000, seed=1):
        assert Opened(CrashFiles(image)).owed(7) == []


def test_what_a_crash_left_beside_the_file_is_removed_and_nothing_else() -> None:
    left = str(FOLDER / "7.owed.0123456789abcdef.new")
    others = {
        str(FOLDER / name): b"x" for name in ("a.0123456789abcdef.new", "07.owed", "x.owed", "7.owed.txt")
    }
    files = CrashFiles({left: b"half", **others})
    assert Opened(files).targets() == []
    assert files.image() == others


@pytest.mark.parametrize(
    ("target", "name", "up_to", "message"),
    [
        (-1, "a", HIGHEST, "target -1"),
        (7, "a" * 201, HIGHEST, "is longer than 200 characters"),
        (7, "a", b"5", "has 1 bytes: it must have 16"),
    ],
)
def test_impossible_values_are_refused(target: int, name: str, up_to: bytes, message: str) -> None:
    marks = Opened(CrashFiles())
    with pytest.raises(CallerError, match=message):
        marks.mark(target, name, up_to, 0)
    with pytest.raises(CallerError, match=message):
        marks.clear(target, name, up_to)


def test_on_a_real_disk(tmp_path: Path) -> None:
    marks = OwedMarks(Disk(), tmp_path, print)
    marks.mark(7, "a", version(5), 1000)
    assert OwedMarks(Disk(), tmp_path, print).owed(7) == [Owed("a", version(5), 1000)]
    with pytest.raises(FileError):
        OwedMarks(Disk(), tmp_path / "missing", print)
