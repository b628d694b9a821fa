"""A replica whose past has a floor: the replica of the quorum part, with what it may take and how it answers.

``FlooredReplica(quorum_rules, rules).step(state, event)`` takes the events of
:mod:`scratchbird_reference.quorum_replica` and of :mod:`scratchbird_reference.handoff_floor`, and the
messages by which replicas merge each other's past. It holds the rows of one shard. What changed in the
durable halves must be durable before an effect is carried out; a row that was merged and the step that counts
it as merged may become durable together, or the row first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import quorum, quorum_replica
from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff import Rules
from scratchbird_reference.quorum_messages import (
    NOTHING,
    Answer,
    Exchanged,
    Held,
    Query,
    Send,
    Setting,
    Write,
)


@dataclass(frozen=True, slots=True)
class State:
    """A replica's rows and its floor."""

    rows: quorum_replica.State
    floor: floors.State


def first_state(replica: int, setting: Setting, incarnation: int = 1) -> State:
    """A member of a cluster that is being founded: empty, with a vote, and without a floor."""
    return State(
        quorum_replica.first_state(replica, incarnation),
        floors.State(setting, floors.Durable(replica)),
    )


# --- messages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BelowFloor:
    """The write was not taken: it is at or below a floor that this replica has closed (HANDOFF.R9)."""

    operation: int
    closed: int


@dataclass(frozen=True, slots=True)
class AskPast:
    """A replica asks another one for its past up to a floor that all have closed."""

    floor: int
    incarnation: int
    """Of the replica that asks."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the sender holds, and what has taken the place of something at or below the floor."""

    floor: int
    incarnation: int
    """Of the replica that asked: an answer to an earlier life of it is not counted."""
    rows: tuple[tuple[int, Held], ...]


@dataclass(frozen=True, slots=True)
class RecoveredPast:
    """All rows, for a replica that recovers, and the floor at which the sender has settled (HANDOFF.R13)."""

    rows: Exchanged
    settled: int


@dataclass(frozen=True, slots=True)
class SendFloor:
    """Send a message of this part: to a replica, or to the coordinator of an operation (``None``)."""

    to: int | None
    message: BelowFloor | AskPast | Past | RecoveredPast


# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Deliver:
    """A message of this part arrives from a replica."""

    sender: int
    message: AskPast | Past | RecoveredPast


@dataclass(frozen=True, slots=True)
class LostDisk:
    """It starts on an empty disk, with what the catalog says of both parts."""

    rows: quorum_replica.StartEmpty
    proposed: int
    """The highest floor that was ever proposed, 0 if there is none."""


@dataclass(frozen=True, slots=True)
class Purge:
    """There is time to purge the tombstones at or below the floor."""


@dataclass(frozen=True, slots=True)
class Merge:
    """What another replica holds, as anti-entropy brings it: an exchange that pays a mark (HANDOFF.R6).

    Only what was asked for since this replica closed its floor: whoever asks drops what it asked for before,
    and asks again (HANDOFF.R10), as :mod:`scratchbird_reference.merkle_forest_exchange` does.
    """

    rows: tuple[tuple[int, Held], ...]


Event = (
    quorum_replica.Event
    | floors.Propose
    | floors.AllClosed
    | floors.AllConverged
    | Deliver
    | LostDisk
    | Merge
    | Purge
)
Effect = Send | SendFloor | floors.SayClosed | floors.SayConverged | floors.PurgeBelow


@dataclass(frozen=True, slots=True)
class FlooredReplica:
    """A replica under these rules. It holds no state."""

    quorum_rules: quorum.Rules = field(default_factory=quorum.Rules)
    rules: Rules = field(default_factory=Rules)

    def step(self, state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
        """Take one step.

        :raises CallerError: if the event is impossible in this state, or holds a value that is out of range.
            The state is then unchanged.
        """
        match event:
            case quorum_replica.StartEmpty():
                raise CallerError("StartEmpty without a floor: deliver LostDisk, which says what is proposed")
            case LostDisk():
                return self._lost_disk(state, event)
            case quorum_replica.Crash():
                return self._both(state, event, floors.Crash())
            case quorum_replica.Deliver():
                return self._deliver(state, event)
            case quorum_replica.Start() | quorum_replica.Ask():
                return self._rows(state, event)
        if state.rows.volatile is None:
            raise CallerError(
                f"{type(event).__name__} at replica {state.rows.durable.replica}, which is down: start it"
            )
        match event:
            case Deliver():
                return self._of_this_part(state, event)
            case Merge():
                return self._merged(state, event.rows), ()
            case Purge():
                return self._purge(state), ()
        return self._floor(state, event)

    @property
    def _keeper(self) -> floors.FloorKeeper:
        return floors.FloorKeeper(self.rules)

    def _rows(self, state: State, event: quorum_replica.Event) -> tuple[State, tuple[Effect, ...]]:
        rows, effects = quorum_replica.Replica(self.quorum_rules).step(state.rows, event)
        return replace(state, rows=rows), effects

    def _floor(self, state: State, event: floors.Event) -> tuple[State, tuple[Effect, ...]]:
        """As :class:`floors.FloorKeeper`; what it asks others for becomes messages."""
        floor, effects = self._keeper.step(state.floor, event)
        incarnation = state.rows.durable.incarnation
        return replace(state, floor=floor), tuple(
            SendFloor(effect.other, AskPast(effect.floor, incarnation))
            if isinstance(effect, floors.AskFor)
            else effect
            for effect in effects
        )

    def _both(
        self, state: State, event: quorum_replica.Event, floor_event: floors.Event
    ) -> tuple[State, tuple[Effect, ...]]:
        state, effects = self._rows(state, event)
        state, more = self._floor(state, floor_event)
        return state, (*effects, *more)

    def _lost_disk(self, state: State, event: LostDisk) -> tuple[State, tuple[Effect, ...]]:
        return self._both(state, event.rows, floors.LostDisk(event.proposed))

    # --- beside the rows ----------------------------------------------------------------------------------

    def _deliver(self, state: State, event: quorum_replica.Deliver) -> tuple[State, tuple[Effect, ...]]:
        message, floor = event.message, state.floor.durable
        served = state.rows.volatile is not None
        if served and isinstance(message, Write):
            held = state.rows.durable.held(message.row)
            current = self.quorum_rules.accepts_epoch(state.rows.durable.epoch, message.epoch)
            if current and not self._keeper.admits(floor, held, message.held):
                return state, (SendFloor(None, BelowFloor(message.operation, floor.closed)),)
        if isinstance(message, Exchanged):
            raise CallerError("Exchanged without a floor: deliver RecoveredPast, which says who has settled")
        state, effects = self._rows(state, event)
        if isinstance(message, Query):
            effects = tuple(self._as_answered(floor, effect) for effect in effects)
        return state, tuple(self._with_floor(floor, effect) for effect in effects)

    def _as_answered(self, floor: floors.Durable, effect: Effect) -> Effect:
        """An absent row of a settled replica is deleted at its floor (rule HANDOFF.R11)."""
        if isinstance(effect, Send) and isinstance(effect.message, Answer):
            held = self._keeper.answer(floor, effect.message.held)
            return replace(effect, message=replace(effect.message, held=held))
        return effect

    def _with_floor(self, floor: floors.Durable, effect: Effect) -> Effect:
        if isinstance(effect, Send) and isinstance(effect.message, Exchanged):
            return SendFloor(effect.to, RecoveredPast(effect.message, floor.floor))
        return effect

    # --- one another's past -------------------------------------------------------------------------------

    def _of_this_part(self, state: State, event: Deliver) -> tuple[State, tuple[Effect, ...]]:
        message = event.message
        match message:
            case AskPast():
                return state, self._past(state, event.sender, message)
            case Past():
                return self._merge(state, event.sender, message)
        return self._recover(state, event.sender, message)

    def _past(self, state: State, sender: int, message: AskPast) -> tuple[Effect, ...]:
        """One that recovers knows no past yet."""
        durable = state.rows.durable
        if durable.recovering is not None:
            return ()
        if not self.rules.tells_past(state.floor.durable.closed, message.floor):
            return ()
        rows = tuple(item for item in durable.rows if self.rules.tells_row(message.floor, item[1]))
        return (SendFloor(sender, Past(message.floor, message.incarnation, rows)),)

    def _merge(self, state: State, sender: int, message: Past) -> tuple[State, tuple[Effect, ...]]:
        durable = state.rows.durable
        if message.floor != state.floor.durable.closed or message.incarnation != durable.incarnation:
            return state, ()  # Of an earlier floor, or to an earlier life.
        if durable.recovering is not None:
            return state, ()  # It has no vote yet: what it would say of converging could be too little.
        return self._floor(self._merged(state, message.rows), floors.Merged(sender))

    def _merged(self, state: State, rows: tuple[tuple[int, Held], ...]) -> State:
        """What is newer than what a query would be told is kept (rule HANDOFF.R10)."""
        durable = state.rows.durable
        merged = dict(durable.rows)
        for row, held in rows:
            there = self._keeper.answer(state.floor.durable, merged.get(row, NOTHING))
            if self.quorum_rules.supersedes(held, there):
                merged[row] = held
        durable = replace(durable, rows=tuple(sorted(merged.items(), key=lambda item: item[0])))
        return replace(state, rows=replace(state.rows, durable=durable))

    def _recover(self, state: State, sender: int, message: RecoveredPast) -> tuple[State, tuple[Effect, ...]]:
        """Settled as the others, from the first answer on: what comes after is then above the floor."""
        was = state.rows.durable
        counts = was.recovering is not None and message.rows.incarnation == was.incarnation
        state, effects = self._rows(state, quorum_replica.Deliver(message.rows, sender))
        if not counts:
            return state, effects
        state, more = self._floor(state, floors.Recovered(message.settled))
        return state, (*effects, *more)

    def _purge(self, state: State) -> State:
        floor, durable = state.floor.durable.floor, state.rows.durable
        kept = tuple(item for item in durable.rows if not self.rules.may_purge(floor, item[1]))
        return replace(state, rows=replace(state.rows, durable=replace(durable, rows=kept)))
