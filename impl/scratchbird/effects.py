"""What a step of the clock asks its caller to do, or tells it.

Equal in meaning to the effects of the reference: the same names, the same fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from scratchbird.timestamp import Timestamp

if TYPE_CHECKING:
    from scratchbird.uuid8 import UuidV8


class Reason(Enum):
    """Why an event was refused."""

    AHEAD = "ahead"
    """The tick, or the message's clock, would be more than ``max_ahead_ms`` ahead."""
    DRIFT = "drift"
    """The remote timestamp is more than ``max_drift_ms`` past our clock: the sender's clock is wrong."""
    EARLY = "early"
    """The remote timestamp is ``max_ahead_ms`` or more past our clock: keep the message for later."""
    SUSPENDED = "suspended"
    """Our own wall clock jumped forward; peers or an operator must confirm it."""
    UNCONFIRMED = "unconfirmed"
    """Too few peers agree with our wall clock to confirm it."""
    STOPPING = "stopping"
    """A clean stop has begun."""
    EXHAUSTED = "exhausted"
    """No 48-bit millisecond is left above the last timestamp."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A new id."""

    id: UuidV8


@dataclass(frozen=True, slots=True)
class Merged:
    """The remote clock is merged: the message may be handled."""

    last: Timestamp


@dataclass(frozen=True, slots=True)
class Stamped:
    """The clock that the message carries."""

    clock: Timestamp


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The wall clock is trusted from here on."""


@dataclass(frozen=True, slots=True)
class Persist:
    """Make ``bound`` durable, then call ``persisted()``. At most one such write is under way."""

    bound: Timestamp


@dataclass(frozen=True, slots=True)
class Deferred:
    """The event needs a bound that is not durable yet: repeat it after ``persisted()``."""

    needs: Timestamp


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was changed, but for taking notice of a jump.

    ``retry_after_ms`` is ``None`` where waiting alone is no remedy.
    """

    reason: Reason
    retry_after_ms: int | None = None
    wall: int | None = None
    """Our wall clock in ms, where the refusal is about clocks."""
    remote: Timestamp | None = None
    sender: int | None = None


Effect = Issued | Merged | Stamped | Confirmed | Persist | Deferred | Refused
Effects = tuple[Effect, ...]
