"""The amendments of each window that are not in its file, as bytes: what the log holds of it, in order."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from scratchbird_node.forest_words import PLACE_BYTES

RECORD = struct.Struct(">QB48s")
"""Number of the batch, kind, entry."""


class Pending:
    """57 bytes for each amendment. It is not safe from several threads."""

    def __init__(self) -> None:
        self._records: dict[int, bytearray] = {}

    def add(self, window: int, number: int, kind_and_entry: bytes) -> None:
        """Note an amendment, of a batch that is not older than the last one."""
        self._records.setdefault(window, bytearray()).extend(number.to_bytes(8, "big") + kind_and_entry)

    def count(self, window: int, last: int | None = None) -> int:
        """How many there are of a window, up to a batch if one is given."""
        records = self._records.get(window, b"")
        return (len(records) if last is None else self._after(records, last)) // RECORD.size

    def counts(self) -> Iterator[tuple[int, int]]:
        """How many there are, and of which window."""
        return ((len(records) // RECORD.size, window) for window, records in self._records.items())

    def latest(self, window: int, folded: int) -> dict[bytes, bytes | None]:
        """By place, what the last amendment after a batch says."""
        latest: dict[bytes, bytes | None] = {}
        for number, kind, entry in RECORD.iter_unpack(bytes(self._records.get(window, b""))):
            if number > folded:
                latest[entry[:PLACE_BYTES]] = entry if kind else None
        return latest

    def drop(self, window: int, last: int | None = None) -> None:
        """Forget those of a window, up to a batch if one is given."""
        records = self._records.get(window)
        if records is None:
            return
        del records[: len(records) if last is None else self._after(records, last)]
        if not records:
            del self._records[window]

    def remove(self, first: int, last: int) -> None:
        """Forget those of some batches, both included."""
        for window, records in list(self._records.items()):
            del records[self._after(records, first - 1) : self._after(records, last)]
            if not records:
                del self._records[window]

    @staticmethod
    def _after(records: bytes | bytearray, number: int) -> int:
        """Where those after a batch begin."""
        low, high = 0, len(records) // RECORD.size
        while low < high:
            middle = (low + high) // 2
            at = middle * RECORD.size
            if int.from_bytes(records[at : at + 8], "big") <= number:
                low = middle + 1
            else:
                high = middle
        return low * RECORD.size
