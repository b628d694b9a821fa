"""The words of a forest on disk: an amendment, the bounds, and why a window has to be built anew."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import Enum
from typing import NamedTuple

from scratchbird.errors import CallerError, ConfigurationError

ENTRY_BYTES = 48
"""Of an entry: place, version, and digest of what was written (rule MERKLE_FOREST.R1)."""
PLACE_BYTES = 16
DIGEST_BYTES = 32
"""Of a node or a window."""
IDENTITY_BYTES = 32
"""Of a setting, as in each digest of a window (rule MERKLE_FOREST.R7)."""
MAX_WINDOW = (1 << 63) - 1
MAX_BATCH = 1 << 16
"""Amendments that become durable in one step."""


class Amendment(NamedTuple):
    """What changed in a window that is sealed (rule MERKLE_FOREST.R9)."""

    window: int
    place: bytes
    """Of the row, 16 bytes."""
    entry: bytes | None
    """What the window shows of the row now, 48 bytes that begin with the place; ``None`` if nothing."""

    def check(self) -> None:
        """:class:`CallerError` if it can not be."""
        if not 0 <= self.window <= MAX_WINDOW:
            raise CallerError(f"window {self.window}: it must be between 0 and {MAX_WINDOW}")
        if len(self.place) != PLACE_BYTES:
            raise CallerError(
                f"the place {self.place.hex()} has {len(self.place)} bytes: it has {PLACE_BYTES}"
            )
        if self.entry is None:
            return
        if len(self.entry) != ENTRY_BYTES or self.entry[:PLACE_BYTES] != self.place:
            raise CallerError(
                f"the entry {self.entry.hex()} is none of the place {self.place.hex()}: it has {ENTRY_BYTES} "
                "bytes and begins with its place"
            )


class Why(Enum):
    """Why a window has to be built anew, from the rows and what is shown of them."""

    MISSING = "its file is not there: it was not saved, was given up, or was deleted"
    DAMAGED = "its file is damaged"
    LOST_AMENDMENTS = "amendments were lost that may have been its own"
    OTHER_SETTING = "it was saved under another setting (rule MERKLE_FOREST.R7)"
    NOT_SAVED = "the disk refused to save it"
    GIVEN_UP = "it was given up"
    LOG_FULL = "it was not folded in time, and the log of amendments was full"


@dataclass(frozen=True, slots=True)
class Settings:
    """The bounds of a forest on disk. Sizes are in bytes."""

    segment_bytes: int = 4 << 20
    """A segment of the log of amendments that is as large as this is closed, and another begun."""
    max_log_bytes: int = 64 << 20
    """What all segments may take. Beyond it the windows that hold on to the oldest are given up."""
    max_queued_bytes: int = 4 << 20
    """Amendments that wait to be written; the largest batch has 3.6 MiB."""
    fold_after: int = 1024
    """A window with so many amendments in the log is due to be saved anew: 57 bytes each, on disk and in
    memory.
    """
    max_open_windows: int = 512
    """How many windows stand in memory at once; each holds a descriptor on some versions of Python."""
    max_reports: int = 1024
    """So many reports of damage are kept."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, least = getattr(self, each.name), 0 if each.name == "max_reports" else 1
            if value < least:
                raise ConfigurationError(f"{each.name} = {value}: it must be {least} or more")
        if self.max_log_bytes < 2 * self.segment_bytes + self.max_queued_bytes:
            raise ConfigurationError(
                f"max_log_bytes = {self.max_log_bytes}: it must have room for two segments and what waits to "
                f"be written, {2 * self.segment_bytes + self.max_queued_bytes}"
            )
