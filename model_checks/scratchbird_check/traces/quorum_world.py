"""The stage for runs of the quorum part: real coordinators and replicas, and a network that the script is.

Nothing is delivered by itself. A script says which message reaches whom and when; what it does not deliver is
under way for ever, which is the same as lost. Clients do what ``spec/quorum.md`` asks of them: they carry
tokens where the table is eventual, and repeat a write under its reserved version. What clients see is kept
as a history, in the form that :mod:`scratchbird_history` judges.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from scratchbird_check.variants.quorum import Variant
from scratchbird_history import operations as history
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.handoff_replica import BelowFloor
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Exchange,
    Exchanged,
    Held,
    Message,
    Mode,
    OldEpoch,
    Query,
    Send,
    Setting,
    Write,
)

ROW = 7
"""The one row of every run."""
NEVER_WRITTEN = "nothing"
"""What a history calls the value of a row that was never written."""
Response = Answer | Acknowledgement | OldEpoch | BelowFloor
"""What a replica says to a coordinator; that a write is below the floor is of the handoff part alone."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Who takes part.

    :ivar settings: of each coordinator, by its name (``c1``).
    :ivar in_force: the settings that count when a disk is lost; those of the coordinators if it is empty.
    :ivar clocks: what the clock of a coordinator reads at first, as a version; 1 if it is not named.
    :ivar tokens: whether clients of an eventual table carry their token (rule QUORUM.R7).
    """

    settings: Mapping[str, Setting]
    in_force: tuple[Setting, ...] = ()
    clocks: Mapping[str, int] = field(default_factory=dict)
    tokens: bool = True

    @property
    def replicas(self) -> tuple[int, ...]:
        """All that any setting names."""
        return tuple(sorted({name for setting in self.settings.values() for name in setting.replicas}))


@dataclass(slots=True)
class Client:
    """What one client asked for, once, and how it ended.

    :ivar number: of the operation at its coordinator; of the last attempt, where it was repeated.
    :ivar version: that was reserved, or is known from the reply; 0 if neither.
    """

    name: str
    who: str
    kind: history.Kind
    coordinator: str
    number: int
    value: bytes | None = None
    version: int = 0
    invoked: int = 0
    returned: int | None = None
    reply: operations.Reply | None = None


class World:
    """Coordinators, replicas, what they sent to each other, and what clients saw."""

    def __init__(self, variant: Variant, stage: Stage) -> None:
        self.variant = variant
        self.stage = stage
        self.coordinators = {name: operations.State(setting) for name, setting in stage.settings.items()}
        self.replicas = {name: replicas.first_state(name) for name in stage.replicas}
        self.incarnations = dict.fromkeys(stage.replicas, 1)
        self.clocks = {name: stage.clocks.get(name, 1) for name in stage.settings}
        self.stamped: set[int] = set()
        self.clients: dict[str, Client] = {}
        self.requests: dict[tuple[int, int], list[Message]] = {}
        """By (operation, replica): what a coordinator sent, the oldest first. A message may arrive again."""
        self.responses: dict[tuple[int, int], list[Response]] = {}
        """By (operation, replica): what has not arrived yet."""
        self.exchanges: dict[tuple[int, int], Exchange] = {}
        """By (replica that recovers, the other one)."""
        self.exchanged: dict[tuple[int, int], Exchanged] = {}
        self.intents: dict[int, operations.Intent] = {}
        """By operation: what is not durable yet."""
        self.tokens: dict[str, int] = {}
        self.events = 0
        self.operations = 0
        self.slow_disks: set[str] = set()
        """Coordinators whose disk makes nothing durable unless the script says so."""

    # --- clients ------------------------------------------------------------------------------------------

    def ask(
        self,
        name: str,
        who: str,
        coordinator: str,
        kind: history.Kind,
        value: bytes | None = None,
        *,
        reserve: bool = False,
    ) -> Client:
        """A client asks for something new; with ``reserve`` for a version first (rule QUORUM.R9)."""
        client = Client(name, who, kind, coordinator, self._next(), value, invoked=self.events)
        self.events += 1
        self.clients[name] = client
        eventual = self.coordinators[coordinator].setting.mode is Mode.EVENTUAL
        token = self.tokens.get(who, 0) if eventual and self.stage.tokens else 0
        event: operations.Request
        if kind is history.Kind.READ:
            event = operations.Read(client.number, ROW, token)
        elif reserve and not self.variant.repeats_under_new_version:
            event = operations.Reserve(client.number, ROW, token)
        else:
            event = operations.PutValue(client.number, ROW, value, token)
        self.at_coordinator(coordinator, event)
        return client

    def write_reserved(self, client: Client, coordinator: str) -> None:
        """The write under the version that was reserved: for the first time, or again."""
        client.coordinator, client.number = coordinator, self._next()
        self.at_coordinator(
            coordinator, operations.PutValue(client.number, ROW, client.value, reserved=client.version)
        )

    def repeat(self, client: Client, coordinator: str) -> None:
        """The client asks again, as it has no reply: under the version that it reserved, if it did."""
        if client.version:
            self.write_reserved(client, coordinator)
        else:
            client.coordinator, client.number = coordinator, self._next()
            self.at_coordinator(coordinator, operations.PutValue(client.number, ROW, client.value))

    def _next(self) -> int:
        self.operations += 1
        return self.operations

    # --- coordinators -------------------------------------------------------------------------------------

    def at_coordinator(self, name: str, event: operations.Event) -> None:
        """One event, and what it asks for: messages are under way, clock and disk act at once."""
        state, effects = self.variant.coordinator.step(self.coordinators[name], event)
        self.coordinators[name] = state
        for effect in effects:
            match effect:
                case Send(to, message) if to is not None and not isinstance(message, Exchange | Exchanged):
                    self.requests.setdefault((message.operation, to), []).append(message)
                case operations.Stamp(number, above):
                    self.at_coordinator(name, operations.Stamped(number, self._stamp(name, above)))
                case operations.StoreIntent(number, intent):
                    self.intents[number] = intent
                    if name not in self.slow_disks:
                        self.make_durable(name, number)
                case operations.Reply():
                    self._reply(effect)

    def _stamp(self, name: str, above: int) -> int:
        version = max(self.clocks[name], above + 1)
        while version in self.stamped:
            version += 1
        self.stamped.add(version)
        self.clocks[name] = version + 1
        return version

    def make_durable(self, name: str, number: int) -> None:
        """The disk of a coordinator has the intent of this operation now."""
        self.at_coordinator(name, operations.IntentStored(number, self.intents.pop(number)))

    def _reply(self, reply: operations.Reply) -> None:
        (client,) = (item for item in self.clients.values() if item.number == reply.operation)
        if reply.outcome is operations.Outcome.RESERVED:
            client.version = reply.held.version
            self.write_reserved(client, client.coordinator)
            return
        client.reply, client.returned = reply, self.events
        self.events += 1
        if reply.outcome in (operations.Outcome.VALUE, operations.Outcome.COMMITTED):
            client.version = reply.held.version
            self.tokens[client.who] = max(client.version, self.tokens.get(client.who, 0))

    def operation(self, client: Client) -> operations.Operation | None:
        """What its coordinator knows of it; ``None`` once that has crashed or forgotten it."""
        volatile = self.coordinators[client.coordinator].volatile
        return None if volatile is None else dict(volatile.operations).get(client.number)

    # --- messages -----------------------------------------------------------------------------------------

    def deliver(self, client: Client, replica: int, kind: type[Query] | type[Write]) -> Held | None:
        """The request of this kind that was sent last reaches a replica, which answers.

        :return: what the replica was asked to hold; ``NOTHING`` for a query, ``None`` if nothing was sent.
        """
        sent = [item for item in self.requests.get((client.number, replica), ()) if type(item) is kind]
        if not sent:
            return None
        self.at_replica(replica, replicas.Deliver(sent[-1]))
        return sent[-1].held if isinstance(sent[-1], Write) else Held()

    def at_replica(self, name: int, event: replicas.Event) -> None:
        """One event at a replica, and its messages are under way."""
        state, sends = self.variant.replica.step(self.replicas[name], event)
        self.replicas[name] = state
        for send in sends:
            self._leaves(name, send)

    def _leaves(self, name: int, send: Send) -> None:
        """A replica's message is under way."""
        match send.message:
            case Exchange():
                assert send.to is not None
                self.exchanges[name, send.to] = send.message
            case Exchanged():
                assert send.to is not None
                self.exchanged[send.to, name] = send.message
            case Answer() | Acknowledgement() | OldEpoch():
                self.responses.setdefault((send.message.operation, name), []).append(send.message)

    def respond(self, client: Client, replica: int, *, newest: bool = False) -> list[Response]:
        """What a replica has to say to an operation arrives at its coordinator, the oldest first.

        :param newest: only the message that was sent last; the others stay under way.
        :return: what arrived; nothing if the coordinator is down.
        """
        said = self.responses.pop((client.number, replica), [])
        if newest and said[:-1]:
            self.responses[client.number, replica] = said[:-1]
            said = said[-1:]
        if self.coordinators[client.coordinator].volatile is None:
            return []
        for message in said:
            self.hear(client.coordinator, replica, message)
        return said

    def hear(self, name: str, replica: int, message: Response) -> None:
        """What a replica says arrives. Of *below the floor* no note is taken: it is no acknowledgement."""
        if not isinstance(message, BelowFloor):
            self.at_coordinator(name, operations.Deliver(replica, message))

    # --- disks --------------------------------------------------------------------------------------------

    def lose_disk(self, name: int) -> None:
        """A replica loses its disk and starts on an empty one, with what the catalog says (QUORUM.R13)."""
        in_force = self.stage.in_force or tuple(self.stage.settings.values())
        self.incarnations[name] += 1
        told = self.variant.hands_out(name, self.incarnations)
        self.at_replica(name, replicas.Crash())
        self.at_replica(name, replicas.StartEmpty(self.variant.recovers_by(in_force), told))

    def exchange(self, name: int, other: int) -> None:
        """The other one is asked by a replica that recovers; its answer is under way."""
        if message := self.exchanges.get((name, other)):
            self.at_replica(other, replicas.Deliver(message, name))

    def merge(self, name: int, others: Sequence[int]) -> list[int]:
        """What the others answered arrives. Returns those who had answered."""
        heard = []
        for other in others:
            if message := self.exchanged.pop((name, other), None):
                self.at_replica(name, replicas.Deliver(message, other))
                heard.append(other)
        return heard

    def held(self, name: int) -> Held:
        """What a replica holds of the row."""
        return self.replicas[name].durable.held(ROW)

    # --- what clients saw ---------------------------------------------------------------------------------

    def history(self) -> history.History:
        """Every operation up to now; a write without a reply may take effect at any later time."""
        asked = sorted(self.clients.values(), key=lambda client: client.invoked)
        return history.History(tuple(_operation(client) for client in asked), NEVER_WRITTEN)


def _operation(client: Client) -> history.Operation:
    arguments = () if client.kind is history.Kind.READ else (shown(client.value),)
    open_ = history.Operation(
        client.who,
        "row",
        client.kind,
        arguments,
        None,
        client.invoked,
        None,
        history.Outcome.INDETERMINATE,
    )
    if client.reply is None:
        return open_
    match client.reply.outcome:
        case operations.Outcome.VALUE:
            held = client.reply.held
            result = shown(held.value) if held.version else NEVER_WRITTEN
            return replace(open_, result=result, returned=client.returned, outcome=history.Outcome.OK)
        case operations.Outcome.COMMITTED:
            return replace(open_, returned=client.returned, outcome=history.Outcome.OK)
        case operations.Outcome.NOT_APPLIED:
            return replace(open_, returned=client.returned, outcome=history.Outcome.FAIL)
    return open_


def shown(value: bytes | None) -> str:
    """A value as the history has it: a text in quotes, ``null`` for a delete."""
    return json.dumps(None if value is None else value.decode("utf-8"), ensure_ascii=False)
