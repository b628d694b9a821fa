"""Reads a log of amendments: every batch that counts, in order, and which were lost.

Three things look alike in a file: what a crash cut off, which was acknowledged to nobody; what a failed write
left, which was refused; and what was durable, and is damaged. The first two end the segment, silently. They
are told apart by what was written later: the header of the next segment says which batches before it count,
each batch says up to which number all was durable when it was written, and so does each window's file.

What can not be seen is damage to the very last group of a log that no later batch speaks of. A log that was
closed in order ends with a batch of nothing, which does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scratchbird_node import forest_format
from scratchbird_node.errors import DiskFaultError
from scratchbird_node.files import Files
from scratchbird_node.forest_format import BLOCK, HEADER, Bad, Batch, Header
from scratchbird_node.hint_format import read_what_can_be_read
from scratchbird_node.hint_words import Damage, Report


@dataclass(eq=False)
class Found:
    """A segment that was read."""

    path: Path
    first: int
    """The number that it begins with, as its name says."""
    size: int
    header: Header | None
    """``None`` if it is damaged, or cut off."""
    detail: str = ""
    """What is wrong with the header."""
    next: int = 1
    """The number after the last batch that counts, of this segment and those before."""
    windows: dict[int, int] = field(default_factory=dict)
    """The windows that it has amendments of, each with the last batch that has one."""


def replay(
    files: Files,
    folder: Path,
    identity: bytes,
    firsts: Sequence[int],
    claimed: int,
    take: Callable[[int, int, int, bytes], None],
    lost: Callable[[int | None], None],
    report: Report,
) -> list[Found]:
    """Read all segments, in the order of their numbers; see :class:`AmendmentLog` for what it calls.

    :raises FileError: if the disk refuses.
    :raises FormatError: if a segment is of a newer version.
    """
    found = [_look(files, folder / forest_format.segment_name(first), first) for first in firsts]
    return _Replay(files, identity, found, take, lost, report).run(claimed)


def _look(files: Files, path: Path, first: int) -> Found:
    file = files.read_from(path)
    try:
        data = read_what_can_be_read(file, 0, 512)
    finally:
        file.close()
    size = files.size(path)
    try:
        header = forest_format.decode_header(data, path)
    except Bad as error:
        return Found(path, first, size, None, str(error))
    if header.first != first:
        return Found(path, first, size, None, f"it is the segment that begins with {header.first}")
    return Found(path, first, size, header)


def _read_all(files: Files, each: Found) -> tuple[bytes, bool]:
    """The bytes of a segment, with zeros for what the medium does not give back; and whether it gave all."""
    file = files.read_from(each.path)
    try:
        pieces, is_whole = [], True
        for at in range(0, each.size, BLOCK):
            try:
                pieces.append(file.read(at, BLOCK))
            except DiskFaultError:
                pieces.append(bytes(min(BLOCK, each.size - at)))
                is_whole = False
        return b"".join(pieces), is_whole
    finally:
        file.close()


class _Replay:
    def __init__(
        self,
        files: Files,
        identity: bytes,
        found: Sequence[Found],
        take: Callable[[int, int, int, bytes], None],
        lost: Callable[[int | None], None],
        report: Report,
    ) -> None:
        self._files = files
        self._identity = identity
        self._found = list(found)
        self._take = take
        self._tell_lost = lost
        self._report = report
        self._next = found[0].first if found else 1

    def run(self, claimed: int) -> list[Found]:
        limits: list[int | None] = []  # By segment: the last batch up to it that counts.
        limit: int | None = None
        for each in reversed(self._found):
            limits.append(limit)
            limit = limit if each.header is None else each.header.previous
        for each, limit in zip(self._found, reversed(limits), strict=True):
            if each.header is None:
                self._unreadable(each, is_last=limit is None)
            else:
                self._lose(each.header.previous, each.path, 0, 0)
                self._next = each.first
                self._read(each, each.header, limit)
            each.next = self._next
        if self._found:  # A window is saved when what is in its entries is durable.
            self._lose(claimed, self._found[-1].path, 0, self._found[-1].size)
        return self._found

    def _unreadable(self, each: Found, *, is_last: bool) -> None:
        """Nothing was ever behind a header that was cut off; of a damaged one, nobody knows."""
        if each.size <= HEADER.size:
            return
        self._report(Damage(str(each.path), 0, each.size, f"{each.detail}: its amendments are lost"))
        if is_last:
            self._tell_lost(None)

    def _lose(self, last: int, path: Path, start: int, end: int) -> None:
        """All batches up to ``last`` were durable: those that were not found are lost."""
        if last >= self._next:
            detail = f"batches {self._next} to {last} of amendments are lost"
            self._report(Damage(str(path), start, end, detail))
            self._tell_lost(last)
            self._next = last + 1

    def _read(self, each: Found, header: Header, limit: int | None) -> None:
        data, is_whole = _read_all(self._files, each)
        at = HEADER.size
        while (good := forest_format.next_batch(data, at, header)) is not None:
            batch, start, end = good
            if limit is not None and batch.number > limit:
                return  # It was refused, and so was what follows.
            self._lose(min(batch.durable, batch.number - 1), each.path, at, start)
            if batch.number == self._next and batch.amendments:
                self._next += 1
                self._accept(each, batch, mine=header.identity == self._identity)
            at = end
        if limit is None and not is_whole:  # Nobody knows what was there.
            self._report(Damage(str(each.path), at, each.size, "the disk does not give all of it back"))
            self._tell_lost(None)

    def _accept(self, each: Found, batch: Batch, *, mine: bool) -> None:
        if not mine:
            return
        for window, kind, entry in batch.each():
            each.windows[window] = batch.number
            self._take(window, batch.number, kind, entry)
