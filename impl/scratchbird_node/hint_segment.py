"""What is remembered of one segment of hints: counters, and a bit for each hint once one of them is paid."""

from __future__ import annotations

from collections.abc import Iterator

from scratchbird_node.hint_format import Name

MAX_RUNS = 1024
"""So many runs of payments are remembered one by one until they are durable."""
MAX_BAD = 1024
"""So many bad places are remembered one by one; with more, the whole segment counts as bad."""
LEAST_MARKS_BYTES = 64 << 10


class Bits:
    """A set of indexes, one bit each."""

    __slots__ = ("_bytes", "count")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.count = 0
        """How many are in the set."""

    def __contains__(self, index: int) -> bool:
        place = index >> 3
        return place < len(self._bytes) and bool(self._bytes[place] >> (index & 7) & 1)

    def add(self, index: int) -> None:
        """Add one that is not in the set yet."""
        place = index >> 3
        if place >= len(self._bytes):
            self._bytes.extend(bytes(place + 1 - len(self._bytes)))
        self._bytes[place] |= 1 << (index & 7)
        self.count += 1

    def add_run(self, first: int, last: int) -> None:
        """Add all from ``first`` to ``last``, whether or not they are in the set already."""
        begin, end = (first + 7) >> 3, (last + 1) >> 3  # The bytes that are filled.
        for index in (*range(first, min(begin << 3, last + 1)), *range(max(end << 3, first), last + 1)):
            if index not in self:
                self.add(index)
        if begin < end:
            self._bytes.extend(bytes(max(0, end - len(self._bytes))))
            before = int.from_bytes(self._bytes[begin:end], "big").bit_count()
            self._bytes[begin:end] = b"\xff" * (end - begin)
            self.count += ((end - begin) << 3) - before

    def runs(self) -> Iterator[tuple[int, int]]:
        """All in the set as runs, both ends included, in order."""
        first = -1
        for place, byte in enumerate(self._bytes):
            if byte == (0xFF if first >= 0 else 0):
                continue
            for bit in range(8):
                if byte >> bit & 1:
                    if first < 0:
                        first = place << 3 | bit
                elif first >= 0:
                    yield first, (place << 3 | bit) - 1
                    first = -1
        if first >= 0:
            yield first, (len(self._bytes) << 3) - 1


class Segment:
    """One file of hints. The log's guard protects what others than the writing thread look at.

    :param end: up to this byte there are records that are durable, or were found.
    :param closed: whether nothing is appended any more.
    """

    __slots__ = (
        "_lost",
        "_paid",
        "_runs",
        "bad",
        "closed",
        "count",
        "end",
        "generation",
        "generations",
        "header_is_good",
        "marks_bytes",
        "marks_limit",
        "name",
        "name_is_unsynced",
        "needs_new_marks",
        "removed",
        "size",
        "unsynced",
        "whole_is_bad",
    )

    def __init__(self, name: Name, *, end: int, closed: bool) -> None:
        self.name = name
        self.end = end
        self.size = end
        """The length of the file: a write that failed may have left something behind the end."""
        self.closed = closed
        self.count = 0
        """Records that were acknowledged, or found: the index of the next one."""
        self.header_is_good = True
        self.name_is_unsynced = False
        self.removed = False
        self._paid = Bits()
        self._lost = Bits()  # Never one that is paid.
        self.bad: dict[tuple[int, int], None] = {}
        """Where no record is: offsets in bytes, the second excluded."""
        self.whole_is_bad = False
        self.generation = 0
        """Of the newest file of marks; 0 if there never was one."""
        self.generations: list[int] = []
        """Of all files of marks that may be there."""
        self.needs_new_marks = True
        """Whether the next marks go into a new file: there is none, or it is another's, too long, or
        failed.
        """
        self.marks_bytes = 0
        """The length of all files of marks."""
        self.marks_limit = LEAST_MARKS_BYTES
        self._runs: list[list[int]] = []
        self.unsynced = 0
        """Payments that are not durable."""

    @property
    def pending(self) -> int:
        """Hints that are neither paid nor known to be lost."""
        return self.count - self._paid.count - self._lost.count

    def is_paid(self, index: int) -> bool:
        """Whether a hint was paid."""
        return index in self._paid

    def pay(self, index: int) -> None:
        """Note that a hint is paid; one that was paid or lost before stays so."""
        if index in self._paid or index in self._lost:
            return
        self._paid.add(index)
        self.unsynced += 1
        if self.needs_new_marks:  # They will be written from the bits.
            return
        if self._runs and self._runs[-1][1] == index - 1:
            self._runs[-1][1] = index
        elif len(self._runs) < MAX_RUNS:
            self._runs.append([index, index])
        else:
            self.needs_new_marks = True

    def pay_run(self, first: int, last: int) -> None:
        """Note what marks say that were found."""
        if self._lost.count == 0:
            self._paid.add_run(first, last)
            return
        for index in range(first, last + 1):
            if index not in self._paid and index not in self._lost:
                self._paid.add(index)

    def lose_run(self, first: int, last: int) -> None:
        """Note that records are gone."""
        for index in range(first, last + 1):
            if index not in self._paid and index not in self._lost:
                self._lost.add(index)

    def note_bad(self, start: int, end: int) -> bool:
        """Note a bad place; whether it is new, and among those that are remembered."""
        if (start, end) in self.bad or self.whole_is_bad:
            return False
        if len(self.bad) >= MAX_BAD:
            self.bad.clear()
            self.whole_is_bad = True
        else:
            self.bad[start, end] = None
        return True

    def take_runs(self) -> list[tuple[int, int]]:
        """The payments to be written next: all of them if the marks go into a new file."""
        runs = list(self._paid.runs()) if self.needs_new_marks else [(run[0], run[1]) for run in self._runs]
        self._runs.clear()
        self.unsynced = 0
        return runs

    def marks_failed(self) -> None:
        """Nobody knows what became of the marks that were being written: write all of them anew."""
        self.needs_new_marks = True
        self.unsynced += 1

    def marks_written(self, size: int, *, fresh: bool) -> None:
        """Marks of so many bytes are durable, in a file that replaces the others if ``fresh``."""
        if fresh:
            self.marks_bytes = 0
            self.marks_limit = max(LEAST_MARKS_BYTES, 2 * size)
        self.marks_bytes += size
        if self.marks_bytes > self.marks_limit:
            self.needs_new_marks = True
