"""What a run of the handoff part's state machine is made of."""

from __future__ import annotations

from dataclasses import dataclass

from scratchbird_check.machines import quorum_parts
from scratchbird_reference.handoff import SECOND_NS, Limits
from scratchbird_reference.quorum_messages import Held

SHARD = 0
"""The shard of every run: each of its rows is in it."""
MS = 1_000_000
LIMITS = (
    Limits(100, 2, 20 * MS, 3, 64, 30 * SECOND_NS),
    Limits(1_000, 3, 5 * MS, 5, 8, 5 * SECOND_NS),
    Limits(20, 1, SECOND_NS, 4, 64, 60 * SECOND_NS),
)
"""Small ones: they are passed soon."""


@dataclass(frozen=True, slots=True)
class Plan(quorum_parts.Plan):
    """What a run is about; also what is kept for a target, and how fast it is delivered."""

    limits: Limits = LIMITS[0]
    coordinators: int = 2


@dataclass(slots=True, eq=False)
class Exchange:
    """An exchange that pays a part of a mark: begun, answered, merged."""

    coordinator: str
    target: int
    other: int
    rows: tuple[tuple[int, Held], ...] | None = None
    """What the other one answered."""


@dataclass(frozen=True, slots=True)
class Committed:
    """A write whose writer was told that it is committed."""

    coordinator: str
    row: int
    held: Held
