"""The hybrid logical clock of one node, as a state machine without input or output.

``HybridLogicalClock(config).step(state, event)`` returns the next state and the effects to carry out. Times
and random bits are part of the event, so that a step is a function: the same code runs under the model
checks, in the conformance kit and beside the production clock. ``spec/hlc.md`` states the rules; each
method below names the rule that it is.

Why it is right, in one paragraph. A timestamp is the pair (millisecond, counter). Every timestamp that a
node issues is above its own last one and above every one that it merged (HLC.R3, HLC.R5), hence ids extend
happens-before as long as every message carries its sender's clock (HLC.R7). The wall clock only ever pushes
the timestamp up; two bounds keep it from being pushed too far, one on what the node issues (HLC.R4) and a
wider one on what it hears (HLC.R6), so that a healthy node in a burst is never refused by its peers. What
must outlive a crash is a single number, the upper bound: it is durable before anything above it is issued or
merged (HLC.R12), and after a crash the clock goes on above it (HLC.R14).

Sources: Kulkarni, Demirbas, Madappa, Avva, Leone, *Logical Physical Clocks*, OPODIS 2014 (figure 5); its
unbounded logical part is replaced by a counter of 12 bits that carries.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum

from scratchbird_reference.errors import CallerError, ConfigurationError
from scratchbird_reference.uuid8 import (
    MAX_COUNTER,
    MAX_MS,
    Timestamp,
    UuidV8,
    check_node_id,
    check_random,
    check_range,
    check_timestamp,
    is_whole,
    shown,
)

ZERO = Timestamp(0, 0)


# --- configuration ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of a clock; all times in milliseconds. Contradictory ones are refused (rule HLC.R8)."""

    max_drift_ms: int = 500
    """The farthest a remote timestamp may lie past our clock; a message from further is refused."""
    max_ahead_ms: int = 250
    """The farthest a timestamp may lie past our clock that we issue or send; what we merge lies nearer."""
    max_skew_ms: int = 250
    """How far the wall clocks of two healthy nodes may differ: a promise of the operator's time service."""
    reserve_ms: int = 1000
    """How far ahead the durable upper bound is reserved."""
    confirm_quorum: int = 2
    """How many peers must agree with our wall clock to confirm it after a jump."""
    counters_per_ms: int = MAX_COUNTER + 1
    """4096 everywhere but in checks, which make the counter small so that it is full soon."""

    def __post_init__(self) -> None:
        for name in ("max_drift_ms", "max_ahead_ms", "max_skew_ms", "reserve_ms", "confirm_quorum"):
            value = getattr(self, name)
            if not is_whole(value) or not 0 < value <= MAX_MS:
                raise ConfigurationError(
                    f"{name} is {shown(value)}: it must be a whole number, at least 1 and at most {MAX_MS}"
                )
        if self.max_ahead_ms + self.max_skew_ms > self.max_drift_ms:
            raise ConfigurationError(
                f"max_ahead_ms {self.max_ahead_ms} + max_skew_ms {self.max_skew_ms} is more than "
                f"max_drift_ms {self.max_drift_ms}: peers would refuse a healthy node in a burst; raise "
                f"max_drift_ms to at least {self.max_ahead_ms + self.max_skew_ms} or lower one of the others"
            )
        if not is_whole(self.counters_per_ms) or not 1 <= self.counters_per_ms <= MAX_COUNTER + 1:
            raise ConfigurationError(
                f"counters_per_ms is {shown(self.counters_per_ms)}: it must be a whole number from 1 to "
                f"{MAX_COUNTER + 1}"
            )


# --- state ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash: a few bytes."""

    node_id: int
    bound: Timestamp = ZERO
    """No timestamp above this was ever issued or merged under this node id (rule HLC.R12)."""
    retired: tuple[int, ...] = ()
    """Node ids that this node has given up and must not use again (rule HLC.R16)."""

    def __post_init__(self) -> None:
        check_node_id(self.node_id)
        check_timestamp(self.bound)
        for node_id in self.retired:
            check_node_id(node_id)
        if self.node_id in self.retired:
            raise CallerError(f"node id {self.node_id} is retired: a retired id never comes back")


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a crash drops."""

    last: Timestamp
    """The greatest timestamp issued or merged; after a start the durable bound."""
    anchor: int
    """Wall clock less monotonic clock, in ms, when the wall clock was last trusted (rule HLC.R10)."""
    promised: Timestamp | None = None
    """The bound that is being written, if one is."""
    suspended: bool = False
    """The wall clock jumped forward and nobody has confirmed it yet (rule HLC.R10)."""
    stopping: bool = False
    """A clean stop has begun (rule HLC.R15)."""


@dataclass(frozen=True, slots=True)
class State:
    """A node's clock. A crash is: ``volatile`` becomes ``None``."""

    durable: Durable
    volatile: Volatile | None = None


# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """The process starts and reads both clocks, in ms. The monotonic clock must count suspend."""

    wall: int
    monotonic: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Somebody wants an id. ``random`` is 46 bits."""

    wall: int
    monotonic: int
    random: int = 0


@dataclass(frozen=True, slots=True)
class Observe:
    """A message from ``sender`` carries its clock; to be merged before anything of the message is stored."""

    wall: int
    monotonic: int
    remote: Timestamp
    sender: int


@dataclass(frozen=True, slots=True)
class Stamp:
    """A message is about to be sent, an acknowledgement or a read as well: which clock does it carry?"""

    wall: int
    monotonic: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """Ask for a new bound before the old one is used up, so that no tick has to wait for the disk."""

    wall: int
    monotonic: int


@dataclass(frozen=True, slots=True)
class Persisted:
    """The bound that a :class:`Persist` effect asked for is durable.

    A write that failed is no event: the caller writes the same bound again. Until it is durable nothing above
    the old bound is issued or merged, and a crash in between leaves either of the two, which are both safe.
    """


@dataclass(frozen=True, slots=True)
class Confirm:
    """Evidence that our wall clock is right: an operator's word, or the clocks that peers reported."""

    wall: int
    monotonic: int
    operator: bool = False
    peers: tuple[tuple[int, int], ...] = ()
    """(node id, that node's wall clock at this reading, in ms), each peer once."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A clean stop begins. When the write that it asks for is durable, the process may end."""


@dataclass(frozen=True, slots=True)
class Crash:
    """The process ends, in whatever state it is."""


@dataclass(frozen=True, slots=True)
class Retire:
    """Give up a poisoned identity for a new one (rule HLC.R16). The node must be down."""

    new_node_id: int


Event = Start | Tick | Observe | Stamp | Reserve | Persisted | Confirm | Stop | Crash | Retire


# --- effects ----------------------------------------------------------------------------------------------


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
    """Make ``bound`` durable, then deliver :class:`Persisted`. At most one such write is under way."""

    bound: Timestamp


@dataclass(frozen=True, slots=True)
class Deferred:
    """The event needs a bound that is not durable yet: deliver it again after :class:`Persisted`."""

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


# --- the rules --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HybridLogicalClock:
    """The rules for one configuration. It holds no state: :meth:`step` is a function of state and event."""

    config: Config = field(default_factory=Config)

    def successor(self, timestamp: Timestamp) -> Timestamp:
        """The least timestamp above this one: a full counter carries (rule HLC.R2)."""
        if timestamp.counter < self.config.counters_per_ms - 1:
            return Timestamp(timestamp.ms, timestamp.counter + 1)
        return Timestamp(timestamp.ms + 1, 0)

    def candidate(self, last: Timestamp, wall: int) -> Timestamp:
        """What a tick would issue: above ``last``, and no earlier than the wall clock (rule HLC.R3)."""
        return max(self.successor(last), Timestamp(wall, 0))

    def merge(self, last: Timestamp, remote: Timestamp) -> Timestamp:
        """The clock after a message: the later of both, counter included (rule HLC.R5)."""
        return max(last, remote)

    def too_far_ahead(self, timestamp: Timestamp, wall: int) -> bool:
        """Whether issuing this would break the own bound (rule HLC.R4)."""
        return timestamp.ms > wall + self.config.max_ahead_ms

    def too_far_remote(self, remote: Timestamp, believed: int) -> bool:
        """Whether merging this would break the remote bound (rule HLC.R6)."""
        return remote.ms > believed + self.config.max_drift_ms

    def too_early(self, remote: Timestamp, present: int) -> bool:
        """Whether this may be merged, but not yet (rule HLC.R6).

        Merged at once, it would put our clock where our own ticks are refused: a node that is fast by less
        than the remote bound would silence every node that hears it. One millisecond is left for the tick
        that follows a full counter.
        """
        return remote.ms >= present + self.config.max_ahead_ms

    def present(self, volatile: Volatile, wall: int, monotonic: int) -> int:
        """The time by which we judge what is early, in ms (rule HLC.R6).

        It is the wall clock, by which our own ticks are judged. But a wall clock that was set back further
        than healthy ones differ stops ticks anyhow, and must not stop merging: then it is what is believed.
        """
        believed = self.believed(volatile, wall, monotonic)
        set_back = believed - wall > self.config.max_skew_ms
        return believed if volatile.suspended or set_back else wall

    def too_far_to_carry(self, last: Timestamp, believed: int) -> bool:
        """Whether a message may not carry this clock yet (rule HLC.R7).

        After a start our own clock may be further ahead than peers accept. Waiting here is what makes a
        healthy node one that is never refused.
        """
        return last.ms > believed + self.config.max_ahead_ms

    def believed(self, volatile: Volatile, wall: int, monotonic: int) -> int:
        """What we hold the time to be when no id is issued, in ms (rules HLC.R6 and HLC.R7).

        A wall clock that was set back does not make us refuse peers whose clocks are right: the monotonic
        clock remembers. One that jumped forward is not believed at all until it is confirmed.
        """
        remembered = monotonic + volatile.anchor
        return remembered if volatile.suspended else max(wall, remembered)

    def covers_issue(self, bound: Timestamp, timestamp: Timestamp) -> bool:
        """Whether the durable bound allows this to be issued (rule HLC.R12)."""
        return timestamp <= bound

    def covers_merge(self, bound: Timestamp, timestamp: Timestamp) -> bool:
        """Whether the durable bound allows this to be merged (rule HLC.R12)."""
        return timestamp <= bound

    def too_far_to_reserve(self, timestamp: Timestamp, wall: int) -> bool:
        """Whether a bound may not be asked for yet: where a tick would be refused (rule HLC.R13).

        Otherwise a node that crashes again and again, and reserves each time it starts, would push its own
        bound away from the wall clock without issuing anything.
        """
        return self.too_far_ahead(timestamp, wall)

    def reservation(self, ms: int) -> Timestamp:
        """The bound to ask for when ``ms`` is the highest millisecond in sight (rule HLC.R13)."""
        if ms + self.config.reserve_ms > MAX_MS:
            return Timestamp(MAX_MS, MAX_COUNTER)
        return Timestamp(ms + self.config.reserve_ms, 0)

    def first_last(self, durable: Durable) -> Timestamp:
        """Where the clock stands after a start: at the bound, so that ids go on above it (rule HLC.R14)."""
        return durable.bound

    # --- steps --------------------------------------------------------------------------------------------

    def step(self, state: State, event: Event) -> tuple[State, Effects]:
        """Take one step.

        :raises CallerError: if the event is impossible in this state (a tick of a node that is down) or
            holds a value that is out of range. The state is then unchanged.
        """
        check_event(event)
        match event:
            case Start():
                return self._start(state, event)
            case Retire():
                return self._retire(state, event)
        if state.volatile is None:
            raise CallerError(
                f"{type(event).__name__} at node {state.durable.node_id}, which is down: start it"
            )
        match event:
            case Crash():
                return replace(state, volatile=None), ()
            case Persisted():
                return self._persisted(state, state.volatile)
            case Stop():
                return self._stop(state, state.volatile)
        if state.volatile.stopping:
            return state, (Refused(Reason.STOPPING),)
        state, volatile = self._read_clocks(state, state.volatile, event.wall, event.monotonic)
        match event:
            case Tick():
                return self._tick(state, volatile, event)
            case Stamp():
                return self._stamp(state, volatile, event)
            case Reserve():
                return self._reserve(state, volatile, event)
            case Observe():
                return self._observe(state, volatile, event)
        return self._confirm(state, volatile, event)

    def _read_clocks(
        self, state: State, volatile: Volatile, wall: int, monotonic: int
    ) -> tuple[State, Volatile]:
        """Every reading looks for a forward jump, whatever it is made for (rule HLC.R10)."""
        if wall - monotonic - volatile.anchor > self.config.max_drift_ms:
            volatile = replace(volatile, suspended=True)
        return _with(state, volatile), volatile

    def _start(self, state: State, event: Start) -> tuple[State, Effects]:
        if state.volatile is not None:
            raise CallerError(f"Start at node {state.durable.node_id}, which is up: deliver Crash first")
        volatile = Volatile(last=self.first_last(state.durable), anchor=event.wall - event.monotonic)
        return _with(state, volatile), ()

    def _tick(self, state: State, volatile: Volatile, event: Tick) -> tuple[State, Effects]:
        timestamp = self.candidate(volatile.last, event.wall)
        refused = self._why_not(volatile, timestamp, event.wall, self.too_far_ahead(timestamp, event.wall))
        if refused is not None:
            return state, (refused,)
        if not self.covers_issue(state.durable.bound, timestamp):
            return self._defer(state, volatile, timestamp)
        issued = Issued(UuidV8(timestamp, state.durable.node_id, event.random))
        return _with(state, replace(volatile, last=timestamp)), (issued,)

    def _stamp(self, state: State, volatile: Volatile, event: Stamp) -> tuple[State, Effects]:
        believed = self.believed(volatile, event.wall, event.monotonic)
        if self.too_far_to_carry(volatile.last, believed):
            wait = volatile.last.ms - self.config.max_ahead_ms - believed
            return state, (Refused(Reason.AHEAD, wait, wall=event.wall),)
        return state, (Stamped(volatile.last),)

    def _reserve(self, state: State, volatile: Volatile, event: Reserve) -> tuple[State, Effects]:
        timestamp = self.candidate(volatile.last, event.wall)
        too_far = self.too_far_to_reserve(timestamp, event.wall)
        refused = self._why_not(volatile, timestamp, event.wall, too_far)
        if refused is not None:
            return state, (refused,)
        bound = self.reservation(timestamp.ms)
        if volatile.promised is not None or bound <= state.durable.bound:
            return state, ()
        return _with(state, replace(volatile, promised=bound)), (Persist(bound),)

    def _why_not(self, volatile: Volatile, timestamp: Timestamp, wall: int, too_far: bool) -> Refused | None:
        if volatile.suspended:
            return Refused(Reason.SUSPENDED, wall=wall)
        if timestamp.ms > MAX_MS:
            return Refused(Reason.EXHAUSTED, wall=wall)
        if too_far:
            return Refused(Reason.AHEAD, timestamp.ms - self.config.max_ahead_ms - wall, wall=wall)
        return None

    def _observe(self, state: State, volatile: Volatile, event: Observe) -> tuple[State, Effects]:
        believed = self.believed(volatile, event.wall, event.monotonic)
        if self.too_far_remote(event.remote, believed):
            wait = event.remote.ms - self.config.max_drift_ms - believed
            return state, (Refused(Reason.DRIFT, wait, event.wall, event.remote, event.sender),)
        present = self.present(volatile, event.wall, event.monotonic)
        if self.too_early(event.remote, present):
            wait = event.remote.ms - self.config.max_ahead_ms - present + 1
            return state, (Refused(Reason.EARLY, wait, event.wall, event.remote, event.sender),)
        if not self.covers_merge(state.durable.bound, event.remote):
            if volatile.suspended:
                return state, (Refused(Reason.SUSPENDED, None, event.wall, event.remote, event.sender),)
            return self._defer(state, volatile, event.remote)
        last = self.merge(volatile.last, event.remote)
        return _with(state, replace(volatile, last=last)), (Merged(last),)

    def _defer(self, state: State, volatile: Volatile, timestamp: Timestamp) -> tuple[State, Effects]:
        if volatile.promised is not None:
            return state, (Deferred(timestamp),)
        bound = self.reservation(timestamp.ms)
        return _with(state, replace(volatile, promised=bound)), (Persist(bound), Deferred(timestamp))

    def _persisted(self, state: State, volatile: Volatile) -> tuple[State, Effects]:
        if volatile.promised is None:
            raise CallerError("Persisted although no write is under way: deliver it once for each Persist")
        return State(replace(state.durable, bound=volatile.promised), replace(volatile, promised=None)), ()

    def _confirm(self, state: State, volatile: Volatile, event: Confirm) -> tuple[State, Effects]:
        """A confirmed wall clock is the new anchor; nothing else changes (rule HLC.R11)."""
        if state.durable.node_id in {node for node, _ in event.peers}:
            raise CallerError(f"node {state.durable.node_id} can not confirm its own clock: ask other nodes")
        agreeing = sum(abs(wall - event.wall) <= self.config.max_skew_ms for _, wall in event.peers)
        if not event.operator and agreeing < self.config.confirm_quorum:
            return state, (Refused(Reason.UNCONFIRMED, wall=event.wall),)
        trusted = replace(volatile, anchor=event.wall - event.monotonic, suspended=False)
        return _with(state, trusted), (Confirmed(),)

    def _stop(self, state: State, volatile: Volatile) -> tuple[State, Effects]:
        """A clean stop stores the exact timestamp: the next start waits for nothing (rule HLC.R15)."""
        if volatile.stopping:
            return state, (Refused(Reason.STOPPING),)
        if volatile.promised is not None:  # One write at a time (rule HLC.R13): stop again when it is done.
            return state, (Deferred(volatile.last),)
        return _with(state, replace(volatile, promised=volatile.last, stopping=True)), (
            Persist(volatile.last),
        )

    def _retire(self, state: State, event: Retire) -> tuple[State, Effects]:
        durable = state.durable
        if state.volatile is not None:
            raise CallerError(f"Retire at node {durable.node_id}, which is up: stop it first")
        used = (*durable.retired, durable.node_id)
        if event.new_node_id in used:
            raise CallerError(
                f"node id {event.new_node_id} was used here before: a retired id never comes back"
            )
        return State(Durable(event.new_node_id, ZERO, used)), ()


def _with(state: State, volatile: Volatile) -> State:
    return State(state.durable, volatile)


def check_event(event: Event) -> None:
    """Raise :class:`CallerError` if the event holds a value that is out of range."""
    match event:
        case Start() | Tick() | Observe() | Stamp() | Reserve() | Confirm():
            check_range("wall clock in ms", event.wall, 0, MAX_MS)
            check_range("monotonic clock in ms", event.monotonic, 0, MAX_MS)
    match event:
        case Tick():
            check_random(event.random)
        case Observe():
            check_timestamp(event.remote)
            check_node_id(event.sender)
        case Retire():
            check_node_id(event.new_node_id)
        case Confirm():
            _check_evidence(event)


def _check_evidence(event: Confirm) -> None:
    if not isinstance(event.operator, bool):
        raise CallerError(f"operator {shown(event.operator)} is neither True nor False")
    nodes: list[int] = []
    for peer in event.peers:
        if not isinstance(peer, tuple) or len(peer) != 2:
            raise CallerError(f"{shown(peer)} is no peer: pass (node id, its wall clock in ms)")
        node, wall = peer
        check_node_id(node)
        check_range(f"wall clock in ms of node {node}", wall, 0, MAX_MS)
        nodes.append(node)
    if len(set(nodes)) != len(nodes):
        raise CallerError(f"peers {event.peers} name a node twice: each peer has one vote")
