"""What two replicas say to each other in an exchange, and how much goes into one message.

The machines that say it: :mod:`scratchbird_reference.merkle_forest_exchange`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from scratchbird_reference.errors import ConfigurationError
from scratchbird_reference.merkle_forest import Entry, Inner, Node, Prefix, Shape
from scratchbird_reference.quorum_messages import Held
from scratchbird_reference.uuid8 import is_whole, shown

Place = tuple[int, Prefix]
"""A window and the digits below which a node of its tree is."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one message holds at most; at least one item goes into each (rule MERKLE_FOREST.R15).

    :ivar items: windows, nodes or rows that it names or carries.
    :ivar size: bytes of digests, entries and values in it.
    :raises ConfigurationError: if one of them is no whole number of at least 1.
    """

    items: int = 64
    size: int = 1 << 20

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise ConfigurationError(f"{name} {shown(value)}: it must be a whole number, at least 1")

    def fitting(self, sizes: Iterable[int]) -> int:
        """How many of items of these sizes, in bytes, go into one message."""
        count, left = 0, self.size
        for size in islice(sizes, self.items):
            left -= size
            if left < 0 and count:
                break
            count += 1
        return count


# --- messages -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Let us exchange, in this setting, at this stable time and floor (rule MERKLE_FOREST.R12)."""

    exchange: int
    shape: Shape
    stable: int
    floor: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A snapshot is taken, at this stable time and floor."""

    exchange: int
    stable: int
    floor: int


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no such exchange, or there can be none, and why."""

    exchange: int
    reason: str


@dataclass(frozen=True, slots=True)
class AskWindows:
    """Which windows do you show, after this one?"""

    exchange: int
    after: int


@dataclass(frozen=True, slots=True)
class Windows:
    """Some windows and their digests, in order; ``last`` if there are no more."""

    exchange: int
    windows: tuple[tuple[int, bytes], ...]
    last: bool


@dataclass(frozen=True, slots=True)
class AskNodes:
    """What do you show there? Digests of children in full, or as short as they are told."""

    exchange: int
    places: tuple[Place, ...]
    in_full: bool = False


@dataclass(frozen=True, slots=True)
class Nodes:
    """That, of each. With an entry whose row is held in a newer version: that one."""

    exchange: int
    nodes: tuple[tuple[Place, Node], ...]
    held: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class AskRows:
    """How do you hold these rows?"""

    exchange: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """So."""

    exchange: int
    rows: tuple[tuple[int, Held], ...]


@dataclass(frozen=True, slots=True)
class Give:
    """I show these, and hold their rows so; a row that you hold newer is not sent."""

    exchange: int
    given: tuple[tuple[Entry, Held | None], ...]


@dataclass(frozen=True, slots=True)
class Took:
    """All these are dealt with, and durable."""

    exchange: int
    rows: tuple[int, ...]


Question = Open | AskWindows | AskNodes | AskRows | Give
Reply = Opened | Refused | Windows | Nodes | Rows | Took


# --- sizes ----------------------------------------------------------------------------------------------

WINDOW_SIZE = 40
"""Bytes of a window's number and digest."""
ROW_SIZE = 48
"""Bytes of a row's entry."""


def size_of_node(node: Node) -> int:
    """Bytes of a node in a message."""
    if isinstance(node, Inner):
        return sum(len(child) for child in node.children)
    return sum(len(entry.record) for entry in node.entries)


def size_of_row(held: Held | None) -> int:
    """Bytes of a row in a message: its entry or place, and its value."""
    return ROW_SIZE + len(held.value or b"" if held is not None else b"")
