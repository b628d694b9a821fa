"""What a coordinator keeps of what it owes: state, the events that it takes, the effects that it asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

from scratchbird_reference.handoff import Limits
from scratchbird_reference.quorum_messages import Held, Setting
from scratchbird_reference.quorum_operations import Intent

Place = tuple[int, int]
"""A target and a shard: what is given up, marked and repaired is one replica's part of one shard."""
Key = tuple[int, int, int]
"""What tells a hint from all others: its target, its row and its version."""


@dataclass(frozen=True, slots=True)
class Hint:
    """A version that a target is owed (rule HANDOFF.R2)."""

    target: int
    shard: int
    row: int
    held: Held
    since_ns: int
    """When it was made, in ns of wall time: it has to be known after a restart as well. A clock that jumps
    ahead makes targets be given up early, which costs a repair and loses nothing."""

    @property
    def place(self) -> Place:
        """Its target and shard."""
        return self.target, self.shard

    @property
    def key(self) -> Key:
        """Its target, row and version."""
        return self.target, self.row, self.held.version

    @property
    def size(self) -> int:
        """Bytes of its value."""
        return len(self.held.value or b"")


@dataclass(frozen=True, slots=True)
class Mark:
    """A repair that is owed (rules HANDOFF.R5 and HANDOFF.R6)."""

    is_open: bool = True
    heard: frozenset[int] = frozenset()
    """The others of which the target has merged all, since the mark was closed."""


@dataclass(frozen=True, slots=True)
class Open:
    """A write that has not ended, as far as the account is concerned with it."""

    shard: int
    row: int
    held: Held
    since_ns: int
    targets: frozenset[int]
    left_out: frozenset[int] = frozenset()
    """The targets that it has no hint for because a mark covers it: an open one that stays open for it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a target is sent hints (rule HANDOFF.R4)."""

    interval_ns: int
    due_ns: int
    """The next delivery is due at this time, in ns of wall time."""
    shard: int = -1
    """Whose turn it was last."""


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash. A coordinator's disk that is lost is a coordinator that is gone for good."""

    hints: tuple[Hint, ...] = ()
    """The oldest first."""
    marks: tuple[tuple[Place, Mark], ...] = ()
    moves: tuple[tuple[Place, int], ...] = ()
    """Targets whose place a newcomer takes, and which one."""
    least_write_quorum: int = 0
    """Of the writes that a target may lack; 0 if nothing is owed (rule HANDOFF.R6)."""


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a crash drops."""

    writes: tuple[tuple[int, Open], ...] = ()
    """By operation."""
    coming_back: frozenset[Place] = frozenset()
    """Under an open mark, and hints are kept again."""
    exchanges: tuple[tuple[Place, int, bool], ...] = ()
    """(place, the other one, whether the mark was closed when it began), of exchanges that are under way."""
    paces: tuple[tuple[int, Pace], ...] = ()
    """By target."""
    closed: tuple[tuple[Place, int], ...] = ()
    """The highest floor that a target was heard to have closed: below it nothing is sent, and all is kept."""
    under_way: tuple[tuple[Key, int], ...] = ()
    """What was sent and not answered, and when, in ns."""


@dataclass(frozen=True, slots=True)
class State:
    """The account of one coordinator."""

    setting: Setting
    durable: Durable = field(default_factory=Durable)
    volatile: Volatile = field(default_factory=Volatile)
    limits: Limits = field(default_factory=Limits)


# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owe:
    """A write's intent is to be made durable (QUORUM.R11). A time is in ns of wall time, here and below."""

    operation: int
    shard: int
    intent: Intent
    now_ns: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A write's client has its reply, or its time is up: from now on it is not acknowledged any more."""

    operation: int


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A target said, in its present incarnation, that it holds this version of a row or a newer one."""

    target: int
    row: int
    version: int


@dataclass(frozen=True, slots=True)
class Refused:
    """A target said that it takes nothing at or below a floor that it has closed (rule HANDOFF.R9)."""

    place: Place
    closed: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: look who is silent, who is owed too much, and what may be sent."""

    now_ns: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """An operator removes what is kept for a target (rule HANDOFF.R5)."""

    target: int


@dataclass(frozen=True, slots=True)
class Drop:
    """The answer to :class:`MayDrop`: its mark is durable, the hints may go."""

    place: Place


@dataclass(frozen=True, slots=True)
class KeepAgain:
    """The target is back: its writes get hints again, and its mark is closed as soon as that is right."""

    place: Place


@dataclass(frozen=True, slots=True)
class ExchangeBegun:
    """The target of this place has asked another replica for all that it holds of the shard."""

    place: Place
    other: int


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What the other one answered is merged, and durable at the target."""

    place: Place
    other: int


@dataclass(frozen=True, slots=True)
class TargetLostDisk:
    """What it merged is gone. What it held comes back by QUORUM.R13, what it is owed by the account."""

    target: int


@dataclass(frozen=True, slots=True)
class MoveBegun:
    """A newcomer takes a target's place: it is owed all that the target is (rule HANDOFF.R7, step 1)."""

    place: Place
    newcomer: int


@dataclass(frozen=True, slots=True)
class MoveDone:
    """The newcomer is an owner, the target is none: it is owed nothing any more (rule HANDOFF.R7, step 4)."""

    place: Place


@dataclass(frozen=True, slots=True)
class Erased:
    """A shard's rows at or below a version were dropped or truncated (rule HANDOFF.R7), or their past is the
    same everywhere: all replicas have converged at this floor (rule HANDOFF.R11)."""

    shard: int
    version: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes of the log were destroyed: whatever hints they held, a repair is owed instead (HANDOFF.R7)."""

    place: Place


@dataclass(frozen=True, slots=True)
class Adopt:
    """The catalog has a newer setting (rule QUORUM.R15)."""

    setting: Setting


@dataclass(frozen=True, slots=True)
class Crash:
    """The process ends and starts again: open writes are gone, and their clients have no reply."""


Event = (
    Owe
    | Ended
    | Acknowledged
    | Refused
    | Tick
    | GiveUp
    | Drop
    | KeepAgain
    | ExchangeBegun
    | Exchanged
    | TargetLostDisk
    | MoveBegun
    | MoveDone
    | Erased
    | Unreadable
    | Adopt
    | Crash
)


# --- effects ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """The intent of this write is durable: the coordinator may be told (``IntentStored``)."""

    operation: int


@dataclass(frozen=True, slots=True)
class SendHint:
    """Send this to its target, as the write that it is (rule HANDOFF.R3)."""

    hint: Hint


@dataclass(frozen=True, slots=True)
class MayDrop:
    """The mark of this place is durable: deliver :class:`Drop`."""

    place: Place


@dataclass(frozen=True, slots=True)
class Repair:
    """The mark is closed: have the target merge all that the others hold, beginning from now on."""

    place: Place


Effect = Kept | SendHint | MayDrop | Repair
Effects = tuple[Effect, ...]
