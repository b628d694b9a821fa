"""What a coordinator works on: its state, the events that it takes and the effects that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from scratchbird_reference.quorum_messages import (
    NOTHING,
    Acknowledgement,
    Answer,
    Held,
    Incarnations,
    OldEpoch,
    Send,
    Setting,
)


class Kind(Enum):
    """What a client asked for."""

    READ = "read"
    WRITE = "write"
    RESERVE = "reserve"
    LOOK_UP = "look up"


class Phase(Enum):
    """How far an operation is."""

    ASKING = "asking"
    """A query is under way."""
    STAMPING = "stamping"
    """The clock was asked for a version."""
    WRITING = "writing"
    """A version was sent to all replicas."""
    DONE = "done"
    """The client has its reply; late answers are still repaired."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a write set out to do: who is still to hold it (rule QUORUM.R11)."""

    row: int
    held: Held
    targets: frozenset[int]
    """The replicas that have not acknowledged it yet, or whose acknowledgement was lost with their disk."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that is open. Lost when the coordinator crashes."""

    kind: Kind
    row: int
    setting: Setting
    phase: Phase
    value: bytes | None = None
    token: int = 0
    """The version of this row that the client has seen or written (rule QUORUM.R7); of a look-up, the version
    that is looked up; of a write that waits for its version, what that must be above."""
    written: Held | None = None
    """What was sent to the replicas: the write, or the winner that is written back."""
    intent_is_durable: bool = False
    answers: tuple[tuple[int, Held, Incarnations], ...] = ()
    """(replica, what it held, the incarnations that it named), the first answer of each."""
    acknowledged: tuple[tuple[int, Incarnations], ...] = ()


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash."""

    intents: tuple[tuple[int, Intent], ...] = ()
    """By version. They are the hints of the handoff part."""


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a crash drops."""

    operations: tuple[tuple[int, Operation], ...] = ()
    incarnations: Incarnations = ()
    """The highest that any replica named."""


@dataclass(frozen=True, slots=True)
class State:
    """A coordinator. A crash is: ``volatile`` becomes ``None``."""

    setting: Setting
    durable: Durable = field(default_factory=Durable)
    volatile: Volatile | None = field(default_factory=Volatile)


# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """A client reads. ``operation`` is a number never used before, for this and each event below."""

    operation: int
    row: int
    token: int = 0


@dataclass(frozen=True, slots=True)
class Reserve:
    """A client wants a version before it writes, so that it can repeat the write (rule QUORUM.R9)."""

    operation: int
    row: int
    token: int = 0


@dataclass(frozen=True, slots=True)
class PutValue:
    """A client writes; ``reserved`` is a version from :class:`Reserve`, or 0. ``None`` deletes."""

    operation: int
    row: int
    value: bytes | None
    token: int = 0
    reserved: int = 0


@dataclass(frozen=True, slots=True)
class LookUp:
    """A client asks what became of a version (rule QUORUM.R10)."""

    operation: int
    row: int
    version: int


@dataclass(frozen=True, slots=True)
class Stamped:
    """The clock made a version for this operation."""

    operation: int
    version: int


@dataclass(frozen=True, slots=True)
class StampRefused:
    """The clock made none, and why: nothing was written."""

    operation: int
    reason: str


@dataclass(frozen=True, slots=True)
class IntentStored:
    """This intent is durable now: of an operation that is open, or whose time was up meanwhile."""

    operation: int
    intent: Intent


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message from a replica arrives."""

    sender: int
    message: Answer | Acknowledgement | OldEpoch


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time of this operation is up. Each gets one, also after its reply: it is then forgotten."""

    operation: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """The catalog has a newer setting (rule QUORUM.R15). Open operations go on under theirs."""

    setting: Setting


@dataclass(frozen=True, slots=True)
class Crash:
    """The process ends."""


@dataclass(frozen=True, slots=True)
class Start:
    """The process starts; intents are still there, open operations are gone.

    An intent that the disk has and the state has not (the crash came first) follows as :class:`IntentStored`.
    """


Request = Read | Reserve | PutValue | LookUp
OfAnOperation = Stamped | StampRefused | IntentStored | Deadline
Event = Request | OfAnOperation | Deliver | Adopt | Crash | Start


# --- effects ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stamp:
    """Ask the clock for a version above this one; merge it first."""

    operation: int
    above: int


@dataclass(frozen=True, slots=True)
class StoreIntent:
    """Make this durable, then deliver :class:`IntentStored`. The messages need not wait for it."""

    operation: int
    intent: Intent


class Outcome(Enum):
    """How an operation ended."""

    VALUE = "value"
    """A read: ``held`` is what the row holds, version 0 if it was never written."""
    RESERVED = "reserved"
    """The version is the client's; nothing was written."""
    COMMITTED = "committed"
    """A write quorum holds this version or a newer one."""
    NOT_APPLIED = "not applied"
    """No replica was told of the write, and none will be."""
    INDETERMINATE = "indeterminate"
    """Replicas were told, and too few said that they hold it. It may take effect at any later time."""
    SUPERSEDED = "superseded"
    """A look-up: a write quorum holds a newer version. Nobody will read the old one any more."""
    NOT_AT_A_QUORUM = "not at a quorum"
    """A look-up: it is not committed now, and may still appear."""
    FAILED = "failed"
    """A read or a look-up that did not reach its quorum."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client is told, once."""

    operation: int
    outcome: Outcome
    held: Held = NOTHING
    reason: str = ""


Effect = Send | Stamp | StoreIntent | Reply
Effects = tuple[Effect, ...]
