"""The bytes of hint files: headers, records, marks, and how good ones are found again among bad ones.

All numbers are in network byte order. A segment holds the hints of one target:

    header   8 magic, 2 format version, 2 length of the header, 8 target, 8 number, 16 id, 4 CRC-32C
    record   4 marker, 4 CRC-32C, 4 length of the payload, 4 index, 16 version, then the payload
    seal     like a record without payload, its marker inverted, its index the count of records before it

The *id* is drawn at random for each segment and stands in the file's name too. The marker is taken from it,
and every checksum begins with it. So a record is known as one of this very segment: a block that the disk
took from another file is none, nor is a value that happens to hold the bytes of a hint file, or was made to;
and a segment whose header is destroyed still has its records. The indexes count up from 0 without gaps, so
that what is missing after damage can be numbered. Sequence numbers are ``number << 32 | index``: they grow,
and never come again.

Marks stand in a file beside the segment, one for each run of hints that are paid:

    header   as above, with a magic of its own
    mark     4 marker, 4 CRC-32C, 4 first index, 4 last index
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from scratchbird_node.errors import DiskFaultError, FormatError
from scratchbird_node.files import Reading

try:
    import google_crc32c
except ImportError as error:  # pragma: no cover  # where the node's libraries are not installed
    raise ImportError(
        "google-crc32c is missing, which the node's files need: pip install 'scratchbird-replication[node]'",
        name="google_crc32c",
    ) from error

_extend: Callable[[int, bytes], int] = google_crc32c.extend
"""(seed, data) -> CRC-32C; the package does not say its types."""

FORMAT = 1
SEGMENT_MAGIC = b"SBhints\n"
MARKS_MAGIC = b"SBpaid\r\n"
VERSION_BYTES = 16
ID_BYTES = 16
MAX_TARGET = (1 << 64) - 1
MAX_NUMBER = (1 << 31) - 1
MAX_INDEX = (1 << 32) - 2
MAX_PAYLOAD = 64 << 20
"""Bytes. No length that damage invents makes a reader take more into memory."""

HEADER = struct.Struct(">8sHHQQ16sI")
RECORD = struct.Struct(">4sIII16s")
MARK = struct.Struct(">4sIII")
_RECORD_TAIL = struct.Struct(">II16s")
_MARK_TAIL = struct.Struct(">II")
_FROZEN = struct.Struct(">8sHH")
"""The beginning of a header of any version; its last four bytes are its checksum in any version."""

MAX_HEADER = 512
"""No header of any version is longer, in bytes."""

CHUNK = 1 << 20
BLOCK = 4096

_NAME = re.compile(r"([0-9]{1,20})-([0-9]{10})-([0-9a-f]{32})(?:\.([0-9]{10}))?\.(hints|paid)")


def checksum(data: bytes, seed: int = 0) -> int:
    """CRC-32C (Castagnoli, RFC 3720 appendix B.4), going on from ``seed``."""
    return _extend(seed, data)


class Name(NamedTuple):
    """What a segment is, and its file's name says."""

    target: int
    number: int
    id: bytes

    @property
    def stem(self) -> str:
        return f"{self.target}-{self.number:010}-{self.id.hex()}"

    @property
    def segment(self) -> str:
        """The name of the segment's file."""
        return f"{self.stem}.hints"

    def marks(self, generation: int) -> str:
        """The name of a file of its marks."""
        return f"{self.stem}.{generation:010}.paid"

    @property
    def seed(self) -> int:
        return checksum(self.id)

    @property
    def marker(self) -> bytes:
        # Its first byte is in no UTF-8 text, and it is never all zeros, which a disk likes to invent.
        return b"\xf5" + self.id[:3]

    @property
    def seal_marker(self) -> bytes:
        return bytes(byte ^ 0xFF for byte in self.marker)


def parse_name(text: str) -> tuple[Name, int | None] | None:
    """Which segment a file belongs to, and the generation if it holds marks; ``None`` if it is none of
    ours.
    """
    match = _NAME.fullmatch(text)
    if match is None or (match[5] == "hints") == (match[4] is not None):
        return None
    name = Name(int(match[1]), int(match[2]), bytes.fromhex(match[3]))
    generation = None if match[4] is None else int(match[4])
    written = name.segment if generation is None else name.marks(generation)
    if name.target > MAX_TARGET or name.number > MAX_NUMBER or written != text:
        return None
    return name, generation


def encode_header(name: Name, magic: bytes) -> bytes:
    """The first bytes of a file."""
    data = HEADER.pack(magic, FORMAT, HEADER.size, name.target, name.number, name.id, 0)[:-4]
    return data + checksum(data).to_bytes(4, "big")


class Foreign(Exception):
    """A file is undamaged, and not what its name says: it was copied or renamed. Its argument says what it
    is.
    """


def check_header(data: bytes, name: Name, magic: bytes, path: Path) -> bool:
    """Whether a header is undamaged.

    :raises FormatError: if it is, and of a newer version.
    :raises Foreign: if it is, and of another segment.
    """
    if len(data) < _FROZEN.size:
        return False
    found, version, length = _FROZEN.unpack_from(data)
    if found != magic or not _FROZEN.size + 4 <= length <= len(data):
        return False
    if checksum(data[: length - 4]) != int.from_bytes(data[length - 4 : length], "big"):
        return False
    if version != FORMAT:
        raise FormatError(str(path), version, FORMAT)
    if length != HEADER.size:
        return False
    _, _, _, target, number, identity, _ = HEADER.unpack_from(data)
    if (target, number, identity) != name:
        raise Foreign(f"it is segment {number} of target {target}, with the id {identity.hex()}")
    return True


def encode_record(marker: bytes, seed: int, index: int, version: bytes, payload: bytes) -> bytes:
    """One record; ``marker`` and ``seed`` are those of the segment's name."""
    tail = _RECORD_TAIL.pack(len(payload), index, version) + payload
    return marker + checksum(tail, seed).to_bytes(4, "big") + tail


def encode_seal(name: Name, count: int) -> bytes:
    """What a segment ends with that was closed in order."""
    return encode_record(name.seal_marker, name.seed, count, bytes(VERSION_BYTES), b"")


def encode_mark(name: Name, first: int, last: int) -> bytes:
    """A run of hints, both ends included, that are paid."""
    tail = _MARK_TAIL.pack(first, last)
    return name.marker + checksum(tail, name.seed).to_bytes(4, "big") + tail


def sealed_count(file: Reading, name: Name, size: int) -> int | None:
    """How many records a segment holds, if it was closed in order; this reads nothing but its end."""
    if size < HEADER.size + RECORD.size:
        return None
    data = file.read(size - RECORD.size, RECORD.size)
    if len(data) < RECORD.size:
        return None
    count = RECORD.unpack(data)[3]
    return count if data == encode_seal(name, count) else None


class Record(NamedTuple):
    """A hint as it was read."""

    place: int
    """Its index in the segment."""
    version: bytes
    payload: bytes


@dataclass(slots=True)
class Found:
    """What a piece of a segment held."""

    records: list[Record] = field(default_factory=list)
    bad: list[tuple[int, int]] = field(default_factory=list)
    """Offsets in bytes, the second excluded, where no record is."""
    lost: list[tuple[int, int]] = field(default_factory=list)
    """Indexes, both included, whose records are gone, as the records around them show."""


class Scanner:
    """Reads a segment from its beginning, in order, a piece at a time, and goes on after whatever is bad.

    :param file: the open segment, which the scanner closes.
    """

    def __init__(self, file: Reading, name: Name, *, header_is_good: bool = True) -> None:
        self._file = file
        self._seed = name.seed
        self._marker = name.marker
        self._seal_marker = name.seal_marker
        self._at = HEADER.size if header_is_good else 0
        self._buffer = b""
        self._start = self._at  # The offset of the buffer in the file.
        self._bad_since = -1
        self.next_index = 0
        """The index that the next record has if none is lost."""

    def read(self, end: int, max_records: int, max_bytes: int) -> Found:
        """Go on until the offset ``end``, or until so many records or bytes of payload were found.

        ``end`` must not stand within a record that is good. Finding nothing means that ``end`` is reached.
        """
        found = Found()
        records, unpack, extend = found.records, RECORD.unpack_from, _extend
        taken = 0
        while self._at < end and len(records) < max_records and taken < max_bytes:
            if not self._have(RECORD.size, end):
                self._skip(end, found)
                continue
            offset = self._at - self._start
            marker, crc, length, index, version = unpack(self._buffer, offset)
            if marker == self._marker and length <= MAX_PAYLOAD and index >= self.next_index:
                size = RECORD.size + length
                if self._have(size, end):
                    offset = self._at - self._start
                    tail = self._buffer[offset + 8 : offset + size]
                    if extend(self._seed, tail) == crc:
                        self._end_bad(found)
                        if index > self.next_index:
                            found.lost.append((self.next_index, index - 1))
                        self.next_index = index + 1
                        self._at += size
                        taken += length
                        records.append(Record(index, version, tail[24:]))
                        continue
            elif marker == self._seal_marker and self._is_seal(crc, length, index, version):
                self._end_bad(found)
                if index > self.next_index:
                    found.lost.append((self.next_index, index - 1))
                    self.next_index = index
                self._at += RECORD.size
                continue
            self._skip(end, found)
        if self._at >= end:
            self._end_bad(found)
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _is_seal(self, crc: int, length: int, index: int, version: bytes) -> bool:
        tail = _RECORD_TAIL.pack(length, index, version)
        return length == 0 and index >= self.next_index and checksum(tail, self._seed) == crc

    def _have(self, size: int, end: int) -> bool:
        """Whether so many bytes stand before ``end``; they are then in the buffer."""
        if self._at + size > end:
            return False
        if self._at + size > self._start + len(self._buffer):
            length = min(max(CHUNK, size), end - self._at)
            self._buffer = read_what_can_be_read(self._file, self._at, length)
            self._start = self._at
        return self._at + size <= self._start + len(self._buffer)

    def _skip(self, end: int, found: Found) -> None:
        """Go to the next place where a record may begin."""
        if self._bad_since < 0:
            self._bad_since = self._at
        self._at += 1
        while self._at < end:
            if not self._have(min(len(self._marker), end - self._at), end):
                self._at = end  # The file is shorter than it was.
                break
            places = [
                place
                for marker in (self._marker, self._seal_marker)
                if (place := self._buffer.find(marker, self._at - self._start)) >= 0
            ]
            if places:
                self._at = self._start + min(places)
                break
            # A marker may begin at the buffer's end and go on behind it.
            self._at = max(self._at + 1, self._start + len(self._buffer) - len(self._marker) + 1)
        self._at = min(self._at, end)

    def _end_bad(self, found: Found) -> None:
        if self._bad_since >= 0:
            found.bad.append((self._bad_since, self._at))
            self._bad_since = -1


def read_what_can_be_read(file: Reading, offset: int, length: int) -> bytes:
    """Zeros stand for blocks that the medium does not give back, so that the records around them are
    found.
    """
    try:
        return file.read(offset, length)
    except DiskFaultError:
        pieces = []
        at = offset
        while at < offset + length:
            size = min(BLOCK - at % BLOCK, offset + length - at)
            try:
                pieces.append(file.read(at, size))
            except DiskFaultError:
                pieces.append(bytes(size))
            at += size
        return b"".join(pieces)
