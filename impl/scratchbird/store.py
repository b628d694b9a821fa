"""Where a clock keeps what must survive a crash (rule HLC.R12)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from scratchbird.errors import CallerError
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

    Unlike any other store it may be given to a new clock while an old one has it: so tests play a crash.
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


class Claim:
    """The right of one clock to use a store, until it is released or dropped.

    :raises CallerError: if another clock has the store.
    """

    def __init__(self, store: BoundStore) -> None:
        self._store = store  # Kept, so that its id is not given to another object meanwhile.
        self._token = object()
        if isinstance(store, VolatileBoundStore):
            return
        # One call, which is atomic with and without the GIL: no lock that a fork could copy while it is held.
        if _CLAIMED.setdefault(id(store), self._token) is not self._token:
            raise CallerError(
                f"{store!r} is in use by another clock: two clocks with one node id issue equal ids. Stop "
                "that clock first, or use a node id and a store of its own"
            )

    def release(self) -> None:
        """Give the store back. Doing so twice is no error."""
        if _CLAIMED.get(id(self._store)) is self._token:
            del _CLAIMED[id(self._store)]

    def __del__(self) -> None:
        if hasattr(self, "_token"):
            self.release()


_CLAIMED: dict[int, object] = {}
"""Which stores, by their id, have a clock, and its token."""
