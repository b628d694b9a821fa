"""Reads the hints of a target that are not paid, from the disk, in order."""

from __future__ import annotations

import threading
from typing import Protocol

from scratchbird_node.errors import FileMissingError
from scratchbird_node.hint_format import Found, Scanner
from scratchbird_node.hint_segment import Segment
from scratchbird_node.hint_words import Hint


class Log(Protocol):
    """What a reader asks of a log."""

    guard: threading.Lock

    def next_segment(self, number: int) -> Segment | None:
        """The oldest segment that has at least this number."""

    def scanner(self, segment: Segment) -> Scanner:
        """Open a segment."""

    def note(self, segment: Segment, found: Found) -> None:
        """Remember what is bad or lost."""

    def finish(self, segment: Segment, next_index: int) -> None:
        """Note that a closed segment was read to its end."""


class HintReader:
    """Reads the hints of a log that are not paid, in order, a piece at a time. It belongs to one thread at
    a time.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._number = 0
        self._segment: Segment | None = None
        self._scanner: Scanner | None = None

    def take(self, max_hints: int = 1024, max_bytes: int = 1 << 20) -> list[Hint]:
        """The next hints that are durable and not paid, at least one if there is one.

        An empty list means that there is none now. Hints that come later are found by calling again; to see
        those again which were taken and not paid, make a new reader.

        :param max_hints: take no more than this.
        :param max_bytes: stop when the payloads are so large together.
        :raises FileError: if the disk refuses.
        """
        log = self._log
        hints: list[Hint] = []
        while not hints:
            if self._scanner is None:
                self._segment = segment = log.next_segment(self._number)
                if segment is None:
                    break
                self._number = segment.name.number
                try:
                    self._scanner = log.scanner(segment)
                except FileMissingError:
                    if not segment.removed:
                        raise
                    self._number += 1
                    continue
            segment = self._segment
            assert segment is not None
            with log.guard:
                closed, end = segment.closed, segment.end
            found = self._scanner.read(end, max(max_hints, 1), max(max_bytes, 1))
            log.note(segment, found)
            base = segment.name.number << 32
            is_paid = segment.is_paid
            hints = [
                Hint(base | index, version, payload)
                for index, version, payload in found.records
                if not is_paid(index)
            ]
            if not found.records:
                if not closed:
                    break
                log.finish(segment, self._scanner.next_index)
                self.close()
                self._number += 1
        return hints

    def close(self) -> None:
        """Let go of the file. The reader may go on being used, from the segment that follows."""
        scanner, self._scanner = self._scanner, None
        if scanner is not None:
            scanner.close()
