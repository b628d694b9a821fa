"""One replica, as a state machine without input or output: it holds rows and answers for them.

``Replica(rules).step(state, event)`` returns the next state and the messages to send. What changed in
``state.durable`` must be durable before any of these messages leaves (rule QUORUM.R1): an acknowledgement
binds the replica, also after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scratchbird_reference.errors import CallerError
from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_messages import (
    NOTHING,
    Acknowledgement,
    Answer,
    Exchange,
    Exchanged,
    Held,
    Incarnations,
    Message,
    OldEpoch,
    Query,
    Send,
    Setting,
    Write,
    check_row,
    incarnation_of,
)


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash, and goes when the disk is lost."""

    replica: int
    incarnations: Incarnations
    """Of every replica, as far as known; its own included."""
    epoch: int = 0
    """The highest that it has seen."""
    rows: tuple[tuple[int, Held], ...] = ()
    recovering: Setting | None = None
    """The setting under which it lost its disk, until it has a vote again (rule QUORUM.R13)."""

    def held(self, row: int) -> Held:
        """What it holds of this row."""
        return dict(self.rows).get(row, NOTHING)

    @property
    def incarnation(self) -> int:
        """Its own."""
        return incarnation_of(self.replica, self.incarnations)


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a crash drops."""

    heard: frozenset[int] = frozenset()
    """The others whose rows it has merged since it started, while it recovers."""


@dataclass(frozen=True, slots=True)
class State:
    """A replica. A crash is: ``volatile`` becomes ``None``."""

    durable: Durable
    volatile: Volatile | None = None


def first_state(replica: int, incarnation: int = 1) -> State:
    """A member of a cluster that is being founded: empty, and with a vote, because nothing was ever lost."""
    return State(Durable(replica, ((replica, incarnation),)), Volatile())


# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message arrives. ``sender`` is a replica, or ``None`` for the coordinator of an operation."""

    message: Message
    sender: int | None = None


@dataclass(frozen=True, slots=True)
class Crash:
    """The process ends, in whatever state it is."""


@dataclass(frozen=True, slots=True)
class Start:
    """The process starts on the disk that it left."""


@dataclass(frozen=True, slots=True)
class StartEmpty:
    """The process starts on an empty disk, with what the catalog says (rule QUORUM.R13).

    ``setting`` is the one with the least W of all that are in force, which need not be the newest; ``epoch``
    is that of the newest one, so that the replica goes on refusing what it refused before. (0 says that
    there is no newer one.) ``incarnations`` names the current incarnation of every replica; the replica's own
    has just been raised above each that it ever had.
    """

    setting: Setting
    incarnations: Incarnations
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """While recovering: ask the others again. The node does so at its start and then from time to time."""


Event = Deliver | Crash | Start | StartEmpty | Ask


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica under these rules. It holds no state: :meth:`step` is a function of state and event."""

    rules: Rules = field(default_factory=Rules)

    def step(self, state: State, event: Event) -> tuple[State, tuple[Send, ...]]:
        """Take one step.

        :raises CallerError: if the event is impossible in this state (a message to a replica that is down)
            or contradicts what the replica knows. The state is then unchanged.
        """
        durable = state.durable
        match event:
            case Start() | StartEmpty() if state.volatile is not None:
                raise CallerError(f"{type(event).__name__} at replica {durable.replica}, which is up")
            case Start():
                return State(durable, Volatile()), ()
            case StartEmpty():
                return self._start_empty(durable, event)
        if state.volatile is None:
            raise CallerError(f"{type(event).__name__} at replica {durable.replica}, which is down: start it")
        match event:
            case Crash():
                return replace(state, volatile=None), ()
            case Ask():
                return state, self._ask(durable)
        return self._deliver(state, state.volatile, event)

    def _start_empty(self, lost: Durable, event: StartEmpty) -> tuple[State, tuple[Send, ...]]:
        raised = incarnation_of(lost.replica, event.incarnations)
        if raised <= lost.incarnation:
            raise CallerError(
                f"replica {lost.replica} lost its disk in incarnation {lost.incarnation} and is to start as "
                f"{raised}: pass a higher one, or what it said before still counts as a vote"
            )
        if lost.replica not in event.setting.replicas:
            raise CallerError(f"replica {lost.replica} is none of {event.setting.replicas}")
        epoch = max(event.epoch, event.setting.epoch)
        durable = Durable(lost.replica, event.incarnations, epoch, (), event.setting)
        return State(durable, Volatile()), self._ask(durable)

    def _ask(self, durable: Durable) -> tuple[Send, ...]:
        if durable.recovering is None:
            return ()
        exchange = Exchange(durable.epoch, durable.incarnations)
        return tuple(
            Send(other, exchange) for other in durable.recovering.replicas if other != durable.replica
        )

    def _deliver(self, state: State, volatile: Volatile, event: Deliver) -> tuple[State, tuple[Send, ...]]:
        durable, message = state.durable, event.message
        match message:
            case Query() | Write() if not self.rules.accepts_epoch(durable.epoch, message.epoch):
                return state, (Send(None, OldEpoch(message.operation, durable.epoch)),)
            case Query():
                return self._query(_seen(state, message.epoch), message)
            case Write():
                return self._write(_seen(state, message.epoch), message)
            case Exchange():
                return self._exchange(_seen(state, message.epoch), event.sender, message)
            case Exchanged():
                return self._exchanged(_seen(state, message.epoch), volatile, event.sender, message)
        raise CallerError(f"{type(message).__name__} is a message to a coordinator, not to a replica")

    def _query(self, state: State, query: Query) -> tuple[State, tuple[Send, ...]]:
        durable = state.durable
        if not self.rules.has_vote(durable.recovering is not None):
            return state, ()
        answer = Answer(query.operation, durable.held(query.row), durable.incarnations)
        return state, (Send(None, answer),)

    def _write(self, state: State, write: Write) -> tuple[State, tuple[Send, ...]]:
        """A replica that recovers takes writes as well: it vouches for what it holds from now on."""
        check_row(write.row)
        durable = self._merged(state.durable, ((write.row, write.held),))
        acknowledgement = Acknowledgement(write.operation, write.held.version, durable.incarnations)
        return replace(state, durable=durable), (Send(None, acknowledgement),)

    def _merged(self, durable: Durable, rows: tuple[tuple[int, Held], ...]) -> Durable:
        merged = dict(durable.rows)
        for row, held in rows:
            if self.rules.supersedes(held, merged.get(row, NOTHING)):
                merged[row] = held
        return replace(durable, rows=tuple(sorted(merged.items(), key=lambda item: item[0])))

    def _exchange(
        self, state: State, sender: int | None, exchange: Exchange
    ) -> tuple[State, tuple[Send, ...]]:
        """Remember who began anew, whether or not we may answer (rule QUORUM.R14)."""
        durable = replace(
            state.durable,
            incarnations=self.rules.remembered(state.durable.incarnations, exchange.incarnations),
        )
        state = replace(state, durable=durable)
        if sender is None:
            raise CallerError("Exchange comes from a replica: say from which")
        if not self.rules.has_vote(durable.recovering is not None):
            return state, ()
        asked_as = incarnation_of(sender, exchange.incarnations)
        answer = Exchanged(durable.epoch, asked_as, durable.rows, durable.incarnations)
        return state, (Send(sender, answer),)

    def _exchanged(
        self, state: State, volatile: Volatile, sender: int | None, answer: Exchanged
    ) -> tuple[State, tuple[Send, ...]]:
        durable, lost_under = state.durable, state.durable.recovering
        if sender is None:
            raise CallerError("Exchanged comes from a replica: say from which")
        if lost_under is None or answer.incarnation != durable.incarnation:
            return state, ()
        if sender == durable.replica or sender not in lost_under.replicas:
            return state, ()  # None of the others that it needs to hear.
        durable = self._merged(durable, answer.rows)
        durable = replace(
            durable, incarnations=self.rules.remembered(durable.incarnations, answer.incarnations)
        )
        heard = volatile.heard | {sender}
        if self.rules.has_recovered(lost_under, len(heard)):
            return State(replace(durable, recovering=None), Volatile()), ()
        return State(durable, Volatile(heard)), ()


def _seen(state: State, epoch: int) -> State:
    """The highest epoch seen stays: older requests are refused from here on (rule QUORUM.R15)."""
    if epoch <= state.durable.epoch:
        return state
    return replace(state, durable=replace(state.durable, epoch=epoch))
