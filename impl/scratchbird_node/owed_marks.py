"""Which ranges of a target have to be repaired, because hints for it were dropped or no longer written.

A hint log has bounds, and a target that stays away for long enough is no longer written hints for. Before the
first hint is left out, a mark says what it will be owed: a range, and the version up to which. Repair clears
it. The marks of a target are one small file, replaced as a whole, so that a crash leaves the old marks or the
new ones. A file that can not be read any more counts as a mark over everything: too much is repaired, never
too little.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any, NamedTuple

from scratchbird.errors import CallerError
from scratchbird_node.errors import FileError
from scratchbird_node.files import Files, left_over_of, replace
from scratchbird_node.hint_format import MAX_TARGET, VERSION_BYTES
from scratchbird_node.hint_words import Damage, Report

OWED = "repairs owed"
CLEARED = "clearing of repairs owed"
BAD_OWED = "damaged list of repairs owed"

EVERYTHING = ""
"""The range that holds all ranges of a target."""
HIGHEST = b"\xff" * VERSION_BYTES
MAX_RANGES = 1024
"""With more ranges than this, a target is owed everything."""
MAX_RANGE_CHARACTERS = 200
MAX_BYTES = 4 << 20
"""Larger than any file of marks."""

MAGIC = "scratchbird repairs owed, version 1"
_NAME = re.compile(r"([0-9]{1,20})\.owed")


class Owed(NamedTuple):
    """A repair that is owed to a target."""

    range: str
    """The name of a range or shard, or :data:`EVERYTHING`."""
    up_to: bytes
    """The highest version that may be missing, 16 bytes."""
    since_ms: int
    """When it was first owed, in ms of wall time; 0 if that is not known."""


class OwedMarks:
    """The marks of all targets, in one folder, which the caller has locked. Safe from many threads.

    :param report: is told of files that can not be read.
    :raises FileError: if the disk refuses.
    """

    def __init__(self, files: Files, folder: Path, report: Report) -> None:
        self._files = files
        self._folder = folder
        self._report = report
        self._mutex = threading.Lock()
        self._marks: dict[int, dict[str, Owed]] = {}
        for name in files.names(folder):
            if match := _NAME.fullmatch(name):
                target = int(match[1])
                if name == f"{target}.owed" and target <= MAX_TARGET:
                    self._marks[target] = self._load(name)
            elif (left_over_of(name) or "").endswith(".owed"):
                files.remove(folder / name)

    def targets(self) -> list[int]:
        """The targets that are owed something, in order."""
        with self._mutex:
            return sorted(target for target, marks in self._marks.items() if marks)

    def owed(self, target: int) -> list[Owed]:
        """What a target is owed, in the order of the ranges."""
        with self._mutex:
            return sorted(self._marks.get(target, {}).values())

    def mark(self, target: int, range_name: str, up_to: bytes, now_ms: int) -> None:
        """Note that a range is owed up to a version. When this returns, it survives a power cut.

        A range that is owed already stays owed since then, up to the higher version.

        :param range_name: a range or shard, or :data:`EVERYTHING`.
        :param now_ms: wall time.
        :raises FileError: if the disk refuses; go on writing hints then. What was owed before still is.
        :raises CallerError: if a value is impossible.
        """
        _check(target, range_name, up_to)
        with self._mutex:
            before = self._marks.get(target, {})
            owed = before.get(range_name, Owed(range_name, up_to, now_ms))
            owed = Owed(range_name, max(owed.up_to, up_to), min(owed.since_ms, now_ms))
            if before.get(range_name) == owed:
                return
            marks = {**before, range_name: owed}
            if len(marks) > MAX_RANGES:
                marks = {
                    EVERYTHING: Owed(
                        EVERYTHING,
                        max(each.up_to for each in marks.values()),
                        min(each.since_ms for each in marks.values()),
                    )
                }
            replace(self._files, self._path(target), encode(target, marks), OWED)
            self._marks[target] = marks

    def clear(self, target: int, range_name: str, up_to: bytes) -> bool:
        """Note that a range was repaired up to a version; whether nothing of it is owed any more.

        A mark that was raised above ``up_to`` meanwhile stays. When this returns true, it survives a power
        cut.

        :raises FileError: if the disk refuses; the repair is then still owed.
        :raises CallerError: if a value is impossible.
        """
        _check(target, range_name, up_to)
        with self._mutex:
            marks = dict(self._marks.get(target, {}))
            owed = marks.pop(range_name, None)
            if owed is None:
                return True
            if owed.up_to > up_to:
                return False
            if marks:
                replace(self._files, self._path(target), encode(target, marks), OWED)
            else:
                self._files.remove(self._path(target))
                self._files.sync_folder(self._folder, CLEARED)
            self._marks[target] = marks
            return True

    def _path(self, target: int) -> Path:
        return self._folder / f"{target}.owed"

    def _load(self, name: str) -> dict[str, Owed]:
        path = self._folder / name
        target = int(name.removesuffix(".owed"))
        file = self._files.read_from(path)
        try:
            data = file.read(0, MAX_BYTES + 1)
        finally:
            file.close()
        if len(data) > MAX_BYTES:
            raise FileError(
                str(path),
                f"it is longer than {MAX_BYTES} bytes, which no list of repairs owed is: move it away, start "
                f"again, and repair all ranges of target {target}",
            )
        try:
            return decode(data, target)
        except ValueError as error:
            self._report(
                Damage(str(path), 0, len(data), f"{error}. The target is owed a repair of everything")
            )
        marks = {EVERYTHING: Owed(EVERYTHING, HIGHEST, 0)}
        replace(self._files, path.with_name(f"{name}.bad"), data, BAD_OWED)
        replace(self._files, path, encode(target, marks), OWED)
        return marks


def encode(target: int, marks: dict[str, Owed]) -> bytes:
    """The bytes of a target's file."""
    value = {
        "target": target,
        "owed": [[owed.range, owed.up_to.hex(), owed.since_ms] for owed in sorted(marks.values())],
    }
    text = f"{MAGIC}\n{json.dumps(value)}\n"
    return f"{text}sha256 {hashlib.sha256(text.encode()).hexdigest()}\n".encode()


def decode(data: bytes, target: int) -> dict[str, Owed]:
    """The marks that a target's file holds; :class:`ValueError` that says what is wrong with it."""
    text, _, checksum = data.rpartition(b"sha256 ")
    if checksum != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise ValueError("the file is damaged: its checksum does not fit")
    magic, _, value = text.decode().partition("\n")
    if magic != MAGIC:
        raise ValueError(f"no list of repairs owed, or of a newer version: it begins with {magic[:60]!r}")
    marks = _marks(json.loads(value), target)
    if marks is None:
        raise ValueError(f"{value.strip()[:60]!r} are no repairs owed to target {target}")
    return marks


def _marks(value: Any, target: int) -> dict[str, Owed] | None:
    match value:
        case {"target": int(found), "owed": [*rows]} if found == target:
            marks = {}
            for row in rows:
                match row:
                    case [str(name), str(up_to), int(since_ms)] if len(up_to) == 2 * VERSION_BYTES:
                        marks[name] = Owed(name, bytes.fromhex(up_to), since_ms)
                    case _:
                        return None
            return marks
    return None


def _check(target: int, range_name: str, up_to: bytes) -> None:
    if not 0 <= target <= MAX_TARGET:
        raise CallerError(f"target {target}: the id of a node is between 0 and {MAX_TARGET}")
    if len(range_name) > MAX_RANGE_CHARACTERS:
        raise CallerError(f"the range {range_name[:40]!r}… is longer than {MAX_RANGE_CHARACTERS} characters")
    if len(up_to) != VERSION_BYTES:
        raise CallerError(f"the version {up_to.hex()} has {len(up_to)} bytes: it must have {VERSION_BYTES}")
