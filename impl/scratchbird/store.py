"""Where a clock keeps what must survive a crash (rule HLC.R12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scratchbird.timestamp import ZERO, Timestamp


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash: a few bytes."""

    node_id: int
    bound: Timestamp = ZERO
    """No timestamp above this was ever issued or merged under this node id (rule HLC.R12)."""
    retired: tuple[int, ...] = ()
    """Node ids that this node has given up and must not use again (rule HLC.R16)."""


class BoundStore(Protocol):
    """What a clock asks of its store. A clock makes one call at a time."""

    def load(self) -> Durable | None:
        """What was saved last, or ``None`` if nothing ever was; a :class:`DiskError` if nobody can tell."""

    def save(self, durable: Durable) -> None:
        """Replace what is stored, wholly or not at all, and return only when it would survive a power cut.

        Any exception counts as a failed write: the clock then writes the same value again later.
        """

    def close(self) -> None:
        """Let go of the store; called by a clean stop, possibly more than once."""


class VolatileBoundStore:
    """A store in memory, which a crash of the process empties.

    It is safe only with a node id that is never used again once the process has ended: for tests, for
    benchmarks, and for processes that draw a fresh node id at every start. With any other the clock may go
    back after a restart (claim HLC-5).
    """

    def __init__(self, durable: Durable | None = None) -> None:
        self.durable = durable
        """What was saved last."""

    def load(self) -> Durable | None:
        return self.durable

    def save(self, durable: Durable) -> None:
        self.durable = durable

    def close(self) -> None:
        """Nothing is held; what was saved stays, so that a test can start again from it."""
