"""The words of hints: what a hint is, what damage is reported as, and the bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

from scratchbird.errors import ConfigurationError
from scratchbird_node.hint_format import HEADER, MAX_PAYLOAD, RECORD


@dataclass(frozen=True, slots=True)
class Settings:
    """The bounds of the hints of a node. Sizes are in bytes."""

    segment_bytes: int = 64 << 20
    """A segment that is as large as this is closed, and another begun."""
    max_payload_bytes: int = 16 << 20
    """The longest payload of a hint."""
    max_queued_bytes: int = 64 << 20
    """What may wait to be written, over all targets."""
    max_bytes: int = 64 << 30
    """What the files of all targets may take on the disk, bad bytes kept aside included."""
    max_targets: int = 1024
    max_open_files: int = 256
    """How many segments are held open to be appended to."""
    marks_every: int = 4096
    """So many hints of a target are paid, before this is made durable without being asked for."""
    keep_bytes: int = 1 << 20
    """A newest segment smaller than this stays when all in it is paid: making the next one costs more."""
    max_reports: int = 1024
    """So many reports of damage are kept."""

    def __post_init__(self) -> None:
        least = {"segment_bytes": HEADER.size + RECORD.size, "keep_bytes": 0, "max_reports": 0}
        for each in fields(self):
            value, bound = getattr(self, each.name), least.get(each.name, 1)
            if value < bound:
                raise ConfigurationError(f"{each.name} = {value}: it must be {bound} or more")
        if self.max_payload_bytes > MAX_PAYLOAD:
            raise ConfigurationError(
                f"max_payload_bytes = {self.max_payload_bytes}: the format has room for {MAX_PAYLOAD}"
            )


class Damage(NamedTuple):
    """Bytes that are not what was written."""

    path: str
    start: int
    """The offset of the first bad byte."""
    end: int
    """The offset after the last one."""
    detail: str

    def __str__(self) -> str:
        return f"{self.path}, bytes {self.start} to {self.end}: {self.detail}"


Report = Callable[[Damage], None]


class Hint(NamedTuple):
    """A hint that is not paid."""

    sequence: int
    """Its place in the order of its target; it grows, with gaps, and never comes again."""
    version: bytes
    payload: bytes
