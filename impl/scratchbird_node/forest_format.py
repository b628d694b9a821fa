"""The bytes of a sealed window's file, and of a segment of the log of amendments.

All numbers are in network byte order. A window is one file, which is replaced as a whole:

    head      8 magic, 2 format version, 2 depth D, 4 length of the head, 32 identity of the setting,
              8 window, 8 count of entries n, 8 generation, 8 folded, 8 amended, 32 digest of the window,
              then a CRC-32C for each block of the body, zeros up to a multiple of 64, 4 CRC-32C of the head
    body      n entries of 48 bytes, sorted by place; zeros up to a multiple of 64; and, unless n is 0, the
              node digests of the levels 0 to D, 16**d of 32 bytes each, zeros where nothing is

A block is 64 KiB of the body. Its checksum stands in the head: so a block that the disk took from another
window, generation or place is noticed as well. *Folded* is the number of the last batch of amendments that is
in the entries; *amended* counts those since the window was sealed. The digest is all zeros if n is 0, for the
digest of nothing is nothing.

A segment holds batches, numbered without gaps from its *first* on:

    header    8 magic, 2 format version, 2 length of the header, 32 identity, 8 previous, 8 first, 16 id,
              4 CRC-32C
    batch     4 marker, 4 CRC-32C, 4 count, 8 number, 8 durable, then its amendments
    amendment 8 window, 1 kind (1: an entry, 0: removed), 48 entry (of one that is removed: place and zeros)

*Previous* is the last batch before this segment that counts: what older segments hold beyond it was never
acknowledged. *Durable* is the last batch that was durable when this one was written; so a batch which is bad
was lost to damage if any that is good says that it was durable, and was cut off by a crash if none does. A
batch of no amendments ends a log that was closed in order. The id is drawn at random; the marker is taken
from it, and every checksum begins with it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scratchbird_node.errors import FormatError
from scratchbird_node.forest_words import (
    DIGEST_BYTES,
    ENTRY_BYTES,
    MAX_BATCH,
    MAX_WINDOW,
    PLACE_BYTES,
    Amendment,
)
from scratchbird_node.hint_format import checksum

FORMAT = 1
WINDOW_MAGIC = b"SBwindow"
LOG_MAGIC = b"SBamend\n"
ALIGNMENT = 64
BLOCK = 64 << 10
"""Bytes of a body under one checksum."""
ID_BYTES = 16
MAX_COPY = 1 << 20
"""Bytes of a file that is written in one piece."""
MAX_DEPTH = 12
"""Of the levels of a window: 16**12 digests are more than any disk holds."""

HEAD = struct.Struct(">8sHHI32sQQQQQ32s")
HEADER = struct.Struct(">8sHH32sQQ16sI")
BATCH = struct.Struct(">4sIIQQ")
AMENDMENT = struct.Struct(">QB48s")
_BATCH_TAIL = struct.Struct(">IQQ")
_FROZEN_HEAD = struct.Struct(">8sHHI")
_FROZEN_HEADER = struct.Struct(">8sHH")
"""The beginnings in any version; the last four bytes are the checksum in any version."""

REMEDY = (
    "start the newer version that wrote it; or move the file out of the folder, and the windows will be "
    "built anew from the rows"
)
_REMOVED = bytes(ENTRY_BYTES - PLACE_BYTES)
_WINDOW_NAME = re.compile(r"([0-9]{20})\.window")
_SEGMENT_NAME = re.compile(r"([0-9]{20})\.amendments")


def window_name(window: int) -> str:
    """The name of a window's file."""
    return f"{window:020}.window"


def segment_name(first: int) -> str:
    """The name of the segment that begins with this batch."""
    return f"{first:020}.amendments"


def parse_window_name(text: str) -> int | None:
    """The window of a file; ``None`` if it is none of ours."""
    match = _WINDOW_NAME.fullmatch(text)
    return None if match is None or int(match[1]) > MAX_WINDOW else int(match[1])


def parse_segment_name(text: str) -> int | None:
    """The first batch of a file; ``None`` if it is none of ours."""
    match = _SEGMENT_NAME.fullmatch(text)
    return None if match is None or int(match[1]) > MAX_WINDOW else int(match[1])


def aligned(size: int) -> int:
    """``size`` or the next multiple of 64."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def levels_bytes(depth: int) -> int:
    """The length of the node digests of the levels 0 to ``depth``."""
    return DIGEST_BYTES * (((1 << 4 * (depth + 1)) - 1) // 15)


# --- windows ----------------------------------------------------------------------------------------------


class Head(NamedTuple):
    """What a window's file says of itself."""

    identity: bytes
    window: int
    entries: int
    """How many."""
    depth: int
    """The deepest level of node digests that are kept; 0 if there are no entries."""
    generation: int
    folded: int
    """The last batch of amendments that is in the entries."""
    amended: int
    """Amendments since the window was sealed, those that are in the entries."""
    digest: bytes
    """Of the window, 32 bytes; empty if there are no entries."""

    @property
    def levels_at(self) -> int:
        """Where in the body the node digests begin."""
        return aligned(self.entries * ENTRY_BYTES)

    @property
    def body_bytes(self) -> int:
        return self.levels_at + levels_bytes(self.depth) if self.entries else 0

    @property
    def blocks(self) -> int:
        """Of the body; the last one may be shorter."""
        return -(-self.body_bytes // BLOCK)

    @property
    def size(self) -> int:
        """Bytes of the head."""
        return aligned(HEAD.size + 4 * self.blocks + 4)

    @property
    def file_bytes(self) -> int:
        return self.size + self.body_bytes

    def fixed(self) -> bytes:
        """The head without its checksums."""
        return HEAD.pack(
            WINDOW_MAGIC,
            FORMAT,
            self.depth,
            self.size,
            self.identity,
            self.window,
            self.entries,
            self.generation,
            self.folded,
            self.amended,
            self.digest or bytes(DIGEST_BYTES),
        )


def encode_window(head: Head, records: memoryview, levels: memoryview) -> list[bytes | memoryview]:
    """The whole file, in pieces: a large array is not copied, and a small one not written apart."""
    body = [records, memoryview(bytes(head.levels_at - len(records))), levels]
    crcs = b"".join(checksum(data).to_bytes(4, "big") for data in _blocks(body))
    start = (head.fixed() + crcs).ljust(head.size - 4, b"\0")
    pieces: list[bytes | memoryview] = [start, checksum(start).to_bytes(4, "big"), *body]
    return pieces if head.file_bytes > MAX_COPY else [b"".join(pieces)]


def _blocks(pieces: Sequence[memoryview]) -> Iterator[bytes]:
    """The bytes of some pieces, one after another, cut into blocks."""
    waiting: list[memoryview] = []
    room = BLOCK
    for piece in pieces:
        while len(piece):
            part, piece = piece[:room], piece[room:]
            waiting.append(part)
            room -= len(part)
            if not room:
                yield b"".join(waiting)
                waiting.clear()
                room = BLOCK
    if waiting:
        yield b"".join(waiting)


class Bad(Exception):
    """A head or header can not be believed. Its argument says why."""


def head_size(data: bytes) -> int:
    """How long the head is that begins so; 0 if it is none of any version."""
    if len(data) < _FROZEN_HEAD.size:
        return 0
    magic, _, _, size = _FROZEN_HEAD.unpack_from(data)
    return size if magic == WINDOW_MAGIC and size >= _FROZEN_HEAD.size + 4 else 0


def decode_head(data: bytes, path: Path) -> tuple[Head, tuple[int, ...]]:
    """A head, and the checksums of the blocks; ``data`` is as long as :func:`head_size` says.

    :raises FormatError: if it is undamaged, and of a newer version.
    :raises Bad: if it is damaged.
    """
    size = head_size(data)
    if not size or len(data) < size:
        raise Bad("it does not begin as a window's file does, or is cut off")
    if checksum(data[: size - 4]) != int.from_bytes(data[size - 4 : size], "big"):
        raise Bad("the checksum of its head does not fit")
    _, version, depth, _ = _FROZEN_HEAD.unpack_from(data)
    if version != FORMAT:
        raise FormatError(str(path), version, FORMAT, REMEDY)
    _, _, _, _, identity, window, count, generation, folded, amended, digest = HEAD.unpack_from(data)
    if depth > MAX_DEPTH:
        raise Bad(f"its depth {depth} is impossible")
    head = Head(identity, window, count, depth, generation, folded, amended, digest if count else b"")
    if head.size != size:
        raise Bad(f"its head has {size} bytes, and should have {head.size}")
    return head, struct.unpack_from(f">{head.blocks}I", data, HEAD.size)


# --- the log of amendments --------------------------------------------------------------------------------


class Header(NamedTuple):
    """What a segment says of itself."""

    identity: bytes
    previous: int
    """The last batch of the segments before that counts."""
    first: int
    """The batch that this segment begins with."""
    id: bytes

    @property
    def seed(self) -> int:
        return checksum(self.id)

    @property
    def marker(self) -> bytes:
        return b"\xf6" + self.id[:3]  # Never all zeros, which a disk likes to invent.

    def encode(self) -> bytes:
        data = HEADER.pack(LOG_MAGIC, FORMAT, HEADER.size, *self, 0)[:-4]
        return data + checksum(data).to_bytes(4, "big")


def decode_header(data: bytes, path: Path) -> Header:
    """The header that a segment begins with.

    :raises FormatError: if it is undamaged, and of a newer version.
    :raises Bad: if it is damaged.
    """
    if len(data) < _FROZEN_HEADER.size:
        raise Bad("it is cut off")
    magic, version, size = _FROZEN_HEADER.unpack_from(data)
    if magic != LOG_MAGIC or not _FROZEN_HEADER.size + 4 <= size <= len(data):
        raise Bad("it does not begin as a segment of amendments does, or is cut off")
    if checksum(data[: size - 4]) != int.from_bytes(data[size - 4 : size], "big"):
        raise Bad("the checksum of its header does not fit")
    if version != FORMAT:
        raise FormatError(str(path), version, FORMAT, REMEDY)
    if size != HEADER.size:
        raise Bad(f"its header has {size} bytes, and should have {HEADER.size}")
    _, _, _, identity, previous, first, identifier, _ = HEADER.unpack_from(data)
    return Header(identity, previous, first, identifier)


def encode_amendments(amendments: Sequence[Amendment]) -> bytes:
    """Amendments as they stand in a batch."""
    pack = AMENDMENT.pack
    return b"".join(
        pack(window, 0, place + _REMOVED) if entry is None else pack(window, 1, entry)
        for window, place, entry in amendments
    )


def encode_batch(header: Header, number: int, durable: int, amendments: bytes) -> bytes:
    """A batch of amendments that are encoded already."""
    tail = _BATCH_TAIL.pack(len(amendments) // AMENDMENT.size, number, durable) + amendments
    return header.marker + checksum(tail, header.seed).to_bytes(4, "big") + tail


class Batch(NamedTuple):
    """Amendments that became durable in one step, as they were read."""

    number: int
    durable: int
    amendments: bytes

    def each(self) -> Iterator[tuple[int, int, bytes]]:
        """Of each amendment its window, kind and entry."""
        return AMENDMENT.iter_unpack(self.amendments)


def batch_at(data: bytes, at: int, header: Header) -> tuple[Batch, int] | None:
    """The good batch that stands at an offset, and where the next may; ``None`` if there is none."""
    if at + BATCH.size > len(data):
        return None
    marker, crc, count, number, durable = BATCH.unpack_from(data, at)
    end = at + BATCH.size + count * AMENDMENT.size
    if marker != header.marker or count > MAX_BATCH or end > len(data):
        return None
    if checksum(data[at + 8 : end], header.seed) != crc:
        return None
    return Batch(number, durable, data[at + BATCH.size : end]), end


def next_batch(data: bytes, at: int, header: Header) -> tuple[Batch, int, int] | None:
    """The first good batch from an offset on, where it begins and where it ends."""
    while (at := data.find(header.marker, at)) >= 0:
        found = batch_at(data, at, header)
        if found is not None:
            return found[0], at, found[1]
        at += 1
    return None
