"""One coordinator, as a state machine without input or output: it runs the operations of its clients.

``Coordinator(rules).step(state, event)`` returns the next state and the effects to carry out. It need not be
a replica. It reads no clock: it asks for a version with ``Stamp`` and is given one with ``Stamped``, which
the clock part makes (``above`` is merged first, rule HLC.R5). Every operation ends with exactly one
``Reply``, unless the coordinator crashes; the client then knows what ``Reserve`` told it. Events, effects and
state stand in :mod:`scratchbird_reference.quorum_operations`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field, replace

from scratchbird_reference.errors import CallerError
from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_messages import (
    MAX_VERSION,
    Acknowledgement,
    Answer,
    Held,
    Incarnations,
    OldEpoch,
    Query,
    Send,
    Setting,
    Write,
    check_row,
    check_value,
    check_version,
    incarnation_of,
    newest,
)
from scratchbird_reference.quorum_operations import (
    Adopt,
    Crash,
    Deliver,
    Durable,
    Effects,
    Event,
    Intent,
    IntentStored,
    Kind,
    LookUp,
    Operation,
    Outcome,
    Phase,
    PutValue,
    Read,
    Reply,
    Request,
    Reserve,
    Stamp,
    Stamped,
    StampRefused,
    Start,
    State,
    StoreIntent,
    Volatile,
)
from scratchbird_reference.uuid8 import check_range


@dataclass(frozen=True, slots=True)
class Coordinator:
    """A coordinator under these rules. It holds no state: :meth:`step` is a function of state and event."""

    rules: Rules = field(default_factory=Rules)

    def step(self, state: State, event: Event) -> tuple[State, Effects]:
        """Take one step.

        :raises CallerError: if the event is impossible in this state, or holds a value that is out of range.
            The state is then unchanged.
        """
        if isinstance(event, Start):
            if state.volatile is not None:
                raise CallerError("Start at a coordinator that is up: deliver Crash first")
            return replace(state, volatile=Volatile()), ()
        if state.volatile is None:
            raise CallerError(f"{type(event).__name__} at a coordinator that is down: start it")
        match event:
            case Crash():
                return replace(state, volatile=None), ()
            case Adopt():
                return self._adopt(state, event), ()
            case Read() | Reserve() | PutValue() | LookUp():
                return self._begin(state, event)
            case Deliver():
                return self._deliver(state, event)
        operation = _operation(state, event.operation)
        if isinstance(event, IntentStored):
            return self._intent_stored(state, event, operation)
        if operation is None:
            return state, ()  # Its time was up meanwhile.
        match event:
            case Stamped():
                return self._stamped(state, event, operation)
            case StampRefused():
                return self._stamp_refused(state, event, operation)
        return self._deadline(state, event.operation, operation)

    def _adopt(self, state: State, event: Adopt) -> State:
        if event.setting.epoch <= state.setting.epoch:
            raise CallerError(
                f"epoch {event.setting.epoch} is not above {state.setting.epoch}: a setting never comes back"
            )
        return replace(state, setting=event.setting)

    # --- requests -----------------------------------------------------------------------------------------

    def _begin(self, state: State, event: Request) -> tuple[State, Effects]:
        check_range("operation", event.operation, 0, MAX_VERSION)
        check_row(event.row)
        if _operation(state, event.operation) is not None:
            raise CallerError(f"operation {event.operation} is open already: number each of them anew")
        operation = _first(event, state.setting)
        if isinstance(event, PutValue) and event.reserved:
            return self._write(state, event.operation, operation, event.reserved)
        if operation.kind in (Kind.WRITE, Kind.RESERVE) and not self.rules.looks_first(state.setting):
            return self._ask_for_stamp(state, event.operation, operation)
        query = Query(event.operation, state.setting.epoch, event.row)
        state = _put(state, event.operation, operation)
        return state, tuple(Send(replica, query) for replica in state.setting.replicas)

    def _ask_for_stamp(self, state: State, number: int, operation: Operation) -> tuple[State, Effects]:
        """What is asked for now is what is checked then: answers that come meanwhile do not raise it."""
        above = self.rules.stamp_above(operation.setting, _held(operation), operation.token)
        operation = replace(operation, phase=Phase.STAMPING, token=above)
        return _put(state, number, operation), (Stamp(number, above),)

    def _stamped(self, state: State, event: Stamped, operation: Operation) -> tuple[State, Effects]:
        if operation.phase is not Phase.STAMPING:
            return state, ()
        check_version(event.version)
        if event.version <= operation.token:
            raise CallerError(
                f"version {event.version} is not above {operation.token}: merge that into the clock first"
            )
        if operation.kind is Kind.RESERVE:
            reserved = Held(event.version)
            state = _put(state, event.operation, replace(operation, phase=Phase.DONE))
            return state, (Reply(event.operation, Outcome.RESERVED, reserved),)
        return self._write(state, event.operation, operation, event.version)

    def _stamp_refused(
        self, state: State, event: StampRefused, operation: Operation
    ) -> tuple[State, Effects]:
        if operation.phase is not Phase.STAMPING:
            return state, ()
        reply = Reply(event.operation, Outcome.NOT_APPLIED, reason=event.reason)
        return _put(state, event.operation, replace(operation, phase=Phase.DONE)), (reply,)

    def _write(self, state: State, number: int, operation: Operation, version: int) -> tuple[State, Effects]:
        """The intent and the messages leave together (rule QUORUM.R11)."""
        held = Held(version, operation.value)
        operation = replace(operation, phase=Phase.WRITING, written=held)
        intent = Intent(operation.row, held, frozenset(operation.setting.replicas))
        return _put(state, number, operation), (
            StoreIntent(number, intent),
            *self._send(number, operation, operation.setting.replicas),
        )

    def _send(self, number: int, operation: Operation, replicas: tuple[int, ...]) -> Effects:
        assert operation.written is not None
        write = Write(number, operation.setting.epoch, operation.row, operation.written)
        return tuple(Send(replica, write) for replica in replicas)

    # --- answers ------------------------------------------------------------------------------------------

    def _deliver(self, state: State, event: Deliver) -> tuple[State, Effects]:
        message, number = event.message, event.message.operation
        operation = _operation(state, number)
        if isinstance(message, OldEpoch):
            return self._old_epoch(state, number, operation, event.sender, message)
        assert state.volatile is not None
        known = self.rules.remembered(state.volatile.incarnations, message.incarnations)
        state = replace(state, volatile=replace(state.volatile, incarnations=known))
        if isinstance(message, Acknowledgement):
            state = self._cancel(state, event.sender, message)
        if operation is None or event.sender not in operation.setting.replicas:
            return state, ()
        if isinstance(message, Answer):
            return self._answer(state, number, operation, event.sender, message)
        return self._acknowledgement(state, number, operation, event.sender, message)

    def _answer(
        self, state: State, number: int, operation: Operation, sender: int, message: Answer
    ) -> tuple[State, Effects]:
        if any(replica == sender for replica, _, _ in operation.answers):
            return state, ()
        operation = replace(
            operation, answers=(*operation.answers, (sender, message.held, message.incarnations))
        )
        state = _put(state, number, operation)
        written = operation.written
        if operation.phase is Phase.ASKING:
            return self._choose(state, number, operation)
        if written is None or operation.kind not in (Kind.READ, Kind.LOOK_UP):
            return state, ()
        if self.rules.supersedes(written, message.held):  # A late answer still repairs (rule QUORUM.R4).
            return state, self._send(number, operation, (sender,))
        return self._settle(state, number, operation)

    def _choose(self, state: State, number: int, operation: Operation) -> tuple[State, Effects]:
        """Enough answers: what is the newest that they hold?"""
        answers = _held(operation)
        if not self.rules.enough_answers(operation.setting, len(answers)):
            return state, ()
        if operation.kind in (Kind.WRITE, Kind.RESERVE):
            return self._ask_for_stamp(state, number, operation)
        winner = max(answers.values(), key=Held.rank)
        if operation.kind is Kind.LOOK_UP and winner.version < operation.token:
            state = _put(state, number, replace(operation, phase=Phase.DONE))
            return state, (Reply(number, Outcome.NOT_AT_A_QUORUM, winner),)
        if operation.kind is Kind.READ and not self.rules.fresh_enough(winner, operation.token):
            return state, ()  # Another replica may know better: all were asked.
        operation = replace(operation, phase=Phase.WRITING, written=winner)
        state, effects = self._settle(_put(state, number, operation), number, operation)
        if effects:  # It could reply at once: only those are repaired that are known to need it.
            stale = tuple(replica for replica, held in answers.items() if self.rules.supersedes(winner, held))
            return state, (*effects, *self._send(number, operation, stale))
        # Who held it and lost its disk since is asked as well: what it said is not counted (rule QUORUM.R14).
        holders = self._holders(state, operation)
        lacking = tuple(replica for replica in answers if replica not in holders)
        silent = tuple(replica for replica in operation.setting.replicas if replica not in answers)
        return state, self._send(number, operation, (*lacking, *silent))

    def _acknowledgement(
        self, state: State, number: int, operation: Operation, sender: int, message: Acknowledgement
    ) -> tuple[State, Effects]:
        written = operation.written
        if written is None or message.version != written.version:
            return state, ()
        others = tuple(item for item in operation.acknowledged if item[0] != sender)
        before = newest(*(told for replica, told in operation.acknowledged if replica == sender))
        if incarnation_of(sender, message.incarnations) < incarnation_of(sender, before):
            return state, ()  # A message from before its disk was lost, overtaken by a later one.
        operation = replace(operation, acknowledged=(*others, (sender, message.incarnations)))
        return self._settle(_put(state, number, operation), number, operation)

    def _intent_stored(
        self, state: State, event: IntentStored, operation: Operation | None
    ) -> tuple[State, Effects]:
        """An intent that is durable is kept, also when its operation is over (rule QUORUM.R11)."""
        number, intent = event.operation, event.intent
        if operation is None:
            # Who acknowledged is forgotten: all targets are named, and one that holds it will say so again.
            return replace(state, durable=_with(state.durable, intent, frozenset())), ()
        if (
            operation.kind is not Kind.WRITE
            or operation.intent_is_durable
            or (operation.row, operation.written) != (intent.row, intent.held)
        ):
            raise CallerError(f"IntentStored for operation {number}, which is not storing this one")
        said = {replica for replica, told in operation.acknowledged if self._binds(state, replica, told)}
        operation = replace(operation, intent_is_durable=True)
        state = _put(replace(state, durable=_with(state.durable, intent, said)), number, operation)
        return self._settle(state, number, operation)

    def _settle(self, state: State, number: int, operation: Operation) -> tuple[State, Effects]:
        """Reply if enough replicas are known to hold it (rules QUORUM.R5 and QUORUM.R6)."""
        if operation.phase is not Phase.WRITING:
            return state, ()
        held, holders = operation.written, len(self._holders(state, operation))
        assert held is not None
        if operation.kind is Kind.WRITE:
            may = self.rules.write_may_reply(operation.setting, holders, operation.intent_is_durable)
            reply = Reply(number, Outcome.COMMITTED, held)
        elif operation.kind is Kind.READ:
            may = self.rules.read_may_reply(operation.setting, _held(operation), holders)
            reply = Reply(number, Outcome.VALUE, held)
        else:
            may = self.rules.enough_holders(operation.setting, holders)
            same = held.version == operation.token
            reply = Reply(number, Outcome.COMMITTED if same else Outcome.SUPERSEDED, held)
        if not may:
            return state, ()
        return _put(state, number, replace(operation, phase=Phase.DONE)), (reply,)

    def _holders(self, state: State, operation: Operation) -> set[int]:
        """Who is known to hold what was written, or something newer, and has not lost its disk since."""
        assert operation.written is not None
        said = [
            (replica, told)
            for replica, held, told in operation.answers
            if not self.rules.supersedes(operation.written, held)
        ]
        return {
            replica for replica, told in (*said, *operation.acknowledged) if self._binds(state, replica, told)
        }

    def _binds(self, state: State, replica: int, told: Incarnations) -> bool:
        assert state.volatile is not None
        return self.rules.current(replica, told, state.volatile.incarnations)

    def _cancel(self, state: State, sender: int, message: Acknowledgement) -> State:
        """An acknowledgement cancels its part of the intent, and the last one all of it (rule QUORUM.R11)."""
        intents = dict(state.durable.intents)
        intent = intents.get(message.version)
        if intent is None or not self._binds(state, sender, message.incarnations):
            return state
        left = intent.targets - {sender}
        intents[message.version] = replace(intent, targets=left)
        if not left:
            del intents[message.version]
        return replace(state, durable=_durable(intents))

    # --- endings ------------------------------------------------------------------------------------------

    def _old_epoch(
        self, state: State, number: int, operation: Operation | None, sender: int, message: OldEpoch
    ) -> tuple[State, Effects]:
        if operation is None or sender not in operation.setting.replicas:
            return state, ()
        if operation.phase is Phase.DONE or message.epoch <= operation.setting.epoch:
            return state, ()
        reason = f"epoch {message.epoch} is in force, this operation began in {operation.setting.epoch}"
        state = _put(state, number, replace(operation, phase=Phase.DONE))
        return state, (self._ended(number, operation, reason),)

    def _deadline(self, state: State, number: int, operation: Operation) -> tuple[State, Effects]:
        state = _forget(state, number)
        if operation.phase is Phase.DONE:
            return state, ()
        reason = (
            f"{len(operation.answers)} answers and {len(operation.acknowledged)} acknowledgements in time"
        )
        return state, (self._ended(number, operation, reason),)

    def _ended(self, number: int, operation: Operation, reason: str) -> Reply:
        """What is known of an operation that did not reach its quorum (rule QUORUM.R8). Nothing is undone."""
        if operation.kind in (Kind.READ, Kind.LOOK_UP):
            return Reply(number, Outcome.FAILED, reason=reason)
        if operation.written is None:
            return Reply(number, Outcome.NOT_APPLIED, reason=reason)
        return Reply(number, Outcome.INDETERMINATE, operation.written, reason)


def _first(event: Request, setting: Setting) -> Operation:
    """The operation that this request begins; :class:`CallerError` if the request is malformed."""
    if isinstance(event, LookUp):
        check_version(event.version)
        return Operation(Kind.LOOK_UP, event.row, setting, Phase.ASKING, token=event.version)
    check_range("token", event.token, 0, MAX_VERSION)
    if isinstance(event, Read):
        return Operation(Kind.READ, event.row, setting, Phase.ASKING, token=event.token)
    if isinstance(event, Reserve):
        return Operation(Kind.RESERVE, event.row, setting, Phase.ASKING, token=event.token)
    check_value(event.value)
    if event.reserved:
        check_version(event.reserved)
    return Operation(Kind.WRITE, event.row, setting, Phase.ASKING, event.value, event.token)


def _operation(state: State, number: int) -> Operation | None:
    assert state.volatile is not None
    return dict(state.volatile.operations).get(number)


def _put(state: State, number: int, operation: Operation) -> State:
    assert state.volatile is not None
    operations = {**dict(state.volatile.operations), number: operation}
    return replace(state, volatile=replace(state.volatile, operations=tuple(operations.items())))


def _forget(state: State, number: int) -> State:
    assert state.volatile is not None
    kept = tuple(item for item in state.volatile.operations if item[0] != number)
    return replace(state, volatile=replace(state.volatile, operations=kept))


def _durable(intents: dict[int, Intent]) -> Durable:
    return Durable(tuple(sorted(intents.items(), key=lambda item: item[0])))


def _with(durable: Durable, intent: Intent, said: Set[int]) -> Durable:
    """With this intent, without those targets that said that they hold it.

    The write may have been repeated under its version (rule QUORUM.R9), by another setting: then there is one
    intent for both, and it names the targets of both.
    """
    intents = dict(durable.intents)
    version = intent.held.version
    before = intents.get(version, intent)
    targets = (intent.targets | before.targets) - said
    if targets:
        intents[version] = Intent(intent.row, max(intent.held, before.held, key=Held.rank), targets)
    else:
        intents.pop(version, None)
    return _durable(intents)


def _held(operation: Operation) -> dict[int, Held]:
    return {replica: held for replica, held, _ in operation.answers}
