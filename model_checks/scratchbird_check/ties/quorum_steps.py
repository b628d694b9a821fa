"""The tie between proof and code: what the reference does is steps of the system that is proved right.

``scratchbird_proofs.quorum_system`` has one kind of step for each thing that can happen. Here coordinators
and replicas of the reference run at random, linearizable, with messages that are lost, doubled and overtaken,
crashes, deadlines, reserved versions and look-ups; and whatever one of them does is played as steps of the
system, of which each must be possible, and lead to what the reference holds and says. The formulas are
evaluated by Z3 on the values of the run; W and R are counts there. A wrong rule must be caught at a step that
is impossible, and every kind of step must be met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any

import z3

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties.graph import TieBroken
from scratchbird_check.ties.steps import judged, runs_until_caught
from scratchbird_check.variants.quorum import RIGHT, VARIANTS, Variant
from scratchbird_check.verdicts import Outcome
from scratchbird_proofs.quorum_system import (
    KINDS,
    NUMBER,
    Event,
    Quorums,
    Rules,
    State,
    any_state,
    at,
)
from scratchbird_proofs.theorem import Formula, Term
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum_messages import Acknowledgement, Answer, Query, Send, Setting, Write

ROW = 0
SETTINGS = ((1, 1, 1), (2, 1, 2), (2, 2, 1), (3, 2, 2), (3, 1, 3), (3, 3, 1), (3, 3, 2))
OPERATIONS = 4
MOVES = 60
"""Of one run, at most."""
CAUGHT = ("asynchronous_repair", "one_round", "write_back_when_answers_disagree")
"""Wrong rules whose steps the system has none for."""


# --- the system, on values --------------------------------------------------------------------------------


def counting(setting: Setting) -> Quorums:
    """Quorums by numbers, as the reference counts them."""

    def at_least(members: Term, least: int) -> Formula:
        return z3.Sum([z3.If(z3.Select(members, r), 1, 0) for r in setting.replicas]) >= least

    return Quorums(
        lambda members: at_least(members, setting.read_quorum),
        lambda members: at_least(members, setting.write_quorum),
    )


def beginning(writes: frozenset[int]) -> State:
    """Nothing was invoked; these operations are writes."""

    def empty(sort: z3.SortRef) -> Term:
        if sort == NUMBER:
            return z3.IntVal(0)
        if sort == z3.BoolSort():
            return z3.BoolVal(False)
        return z3.K(sort.domain(), empty(sort.range()))

    values = {item.name: empty(getattr(any_state(), item.name).sort()) for item in fields(State)}
    for o in writes:
        values["writes"] = z3.Store(values["writes"], o, z3.BoolVal(True))
    return State(**values)


@dataclass
class System:
    """A state of the system, moved along with the reference."""

    rules: Rules
    state: State
    met: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str, op: int = 0, replica: int = 0, version: int = 0) -> None:
        """One step.

        :raises TieBroken: if it is not possible.
        """
        event = Event(*(z3.IntVal(value) for value in (op, replica, version)))
        step = self.rules.step(kind, self.state, event)
        if not z3.is_true(z3.simplify(step.possible)):
            raise TieBroken(f"{kind} of operation {op}, replica {replica}, version {version} is impossible")
        changed = {
            item.name: z3.simplify(getattr(step.after, item.name))
            for item in fields(State)
            if not getattr(step.after, item.name).eq(getattr(self.state, item.name))
        }
        self.state = State(
            **{item.name: changed.get(item.name, getattr(self.state, item.name)) for item in fields(State)}
        )
        self.met[kind] += 1

    def value(self, array: Term, *path: int) -> Any:
        """What an array has at this place: a number or a truth value."""
        found = z3.simplify(at(array, *(z3.IntVal(place) for place in path)))
        return found.as_long() if z3.is_int_value(found) else z3.is_true(found)


# --- the reference, beside it -----------------------------------------------------------------------------


@dataclass
class Client:
    """One operation of the system: what a client asked for, at whichever coordinator.

    :ivar number: of the request that is under way at the coordinator; a repetition has a new one.
    """

    op: int
    kind: str
    number: int = 0
    reserved: int = 0
    coordinator: operations.State | None = None
    replied: bool = False


class Run:
    """Plays at random."""

    def __init__(self, dice: Random, setting: Setting, variant: Variant) -> None:
        self.dice = dice
        self.setting = setting
        self.variant = variant
        kinds = ["write", "reserved", "read", "look"]
        self.clients = [Client(o, dice.choice(kinds)) for o in range(1, OPERATIONS + 1)]
        writes = frozenset(item.op for item in self.clients if item.kind in ("write", "reserved"))
        self.system = System(Rules(counting(setting)), beginning(writes))
        self.replicas = {r: replicas.first_state(r) for r in setting.replicas}
        self.requests: list[tuple[Client, int, Query | Write]] = []
        self.responses: list[tuple[Client, int, int, Answer | Acknowledgement]] = []
        self.stamped: set[int] = {0}
        self.numbers = 0

    def play(self) -> None:
        """One run, compared after every move."""
        for _ in range(MOVES):
            moves = list(self._moves())
            if not moves:
                return
            move, *arguments = self.dice.choice(moves)
            move(*arguments)
            self._compare()

    def _moves(self) -> Iterator[tuple[Any, ...]]:
        for client in self.clients:
            if client.coordinator is None:
                if client.kind != "look" or self._written():
                    yield self._begin, client
            elif not client.replied and self.dice.random() < 0.1:
                yield self._time_is_up, client
        yield from ((self._arrives, number) for number in range(len(self.requests)))
        yield from ((self._answers, number) for number in range(len(self.responses)))

    def _written(self) -> list[int]:
        return sorted(self.stamped - {0})

    def _begin(self, client: Client) -> None:
        self.system.take("begin", client.op)
        self._ask(client)

    def _ask(self, client: Client) -> None:
        self.numbers += 1
        client.number = self.numbers
        client.coordinator = operations.State(self.setting)
        value = str(client.op).encode()
        request: operations.Request
        if client.reserved:
            request = operations.PutValue(client.number, ROW, value, reserved=client.reserved)
        elif client.kind == "write":
            request = operations.PutValue(client.number, ROW, value)
        elif client.kind == "reserved":
            request = operations.Reserve(client.number, ROW)
        elif client.kind == "look":
            request = operations.LookUp(client.number, ROW, self.dice.choice(self._written()))
        else:
            request = operations.Read(client.number, ROW)
        self._take(client, request)

    def _take(self, client: Client, event: operations.Event) -> None:
        assert client.coordinator is not None
        client.coordinator, effects = self.variant.coordinator.step(client.coordinator, event)
        for effect in effects:
            match effect:
                case Send(to, message) if to is not None and isinstance(message, Query | Write):
                    self.requests.append((client, to, message))
                case operations.Stamp(above=above):
                    version = above + self.dice.randint(1, 3)
                    while version in self.stamped:
                        version += 1
                    self.stamped.add(version)
                    self.system.take("stamp", client.op, version=version)
                    self._take(client, operations.Stamped(client.number, version))
                case operations.StoreIntent(operation=number, intent=intent):
                    self._take(client, operations.IntentStored(number, intent))
                case operations.Reply():
                    self._reply(client, effect)

    def _reply(self, client: Client, reply: operations.Reply) -> None:
        match reply.outcome:
            case operations.Outcome.RESERVED:
                client.reserved = reply.held.version
                self._ask(client)
            case operations.Outcome.VALUE | operations.Outcome.COMMITTED | operations.Outcome.SUPERSEDED:
                self._count(client)
                self.system.take("reply", client.op)
                client.replied = True
            case operations.Outcome.NOT_AT_A_QUORUM:
                client.replied = True

    def _arrives(self, number: int) -> None:
        client, r, message = self.requests[number]
        if self.dice.random() < 0.7:  # Otherwise it arrives again.
            del self.requests[number]
        if self.dice.random() < 0.1:
            return  # Lost.
        state, sends = self.variant.replica.step(self.replicas[r], replicas.Deliver(message))
        self.replicas[r] = state
        for send in sends:
            if isinstance(send.message, Answer):
                self.system.take("answer", client.op, r)
                self.responses.append((client, client.number, r, send.message))
            elif isinstance(send.message, Acknowledgement):
                self.system.take("apply", replica=r, version=send.message.version)
                self.responses.append((client, client.number, r, send.message))

    def _answers(self, number: int) -> None:
        client, _, r, message = self.responses[number]
        if self.dice.random() < 0.7:
            del self.responses[number]
        if client.coordinator is None or client.coordinator.volatile is None:
            return
        operation = self._operation(client)
        if (
            operation is not None
            and message.operation == client.number
            and operation.phase is operations.Phase.ASKING
            and isinstance(message, Answer)
            and r not in [item[0] for item in operation.answers]
        ):
            self.system.take("hear", client.op, r, message.held.version)
        self._take(client, operations.Deliver(r, message))
        if not client.replied:
            self._count(client)

    def _count(self, client: Client) -> None:
        """Whoever the reference counts as a holder was told of by an answer or an acknowledgement."""
        operation = self._operation(client)
        if operation is None or operation.written is None:
            return
        if operation.kind in _READS and not self.system.value(self.system.state.chosen, client.op):
            self.system.take("find", client.op)
        version = operation.written.version
        for r, held, _ in operation.answers:
            if held.rank() >= operation.written.rank():
                self._counted(client, r, held.version)
        for r, _ in operation.acknowledged:
            self._counted(client, r, version)

    def _counted(self, client: Client, r: int, version: int) -> None:
        if not self.system.value(self.system.state.held, client.op, r):
            self.system.take("count", client.op, r, version)

    def _time_is_up(self, client: Client) -> None:
        """The deadline, or a crash; a write with a reserved version goes on at another coordinator."""
        self.system.take("forget", client.op)
        event = operations.Deadline(client.number) if self.dice.random() < 0.5 else operations.Crash()
        self._take(client, event)
        if client.reserved:
            self._ask(client)
        else:
            client.replied = True

    def _operation(self, client: Client) -> operations.Operation | None:
        if client.coordinator is None or client.coordinator.volatile is None:
            return None
        return dict(client.coordinator.volatile.operations).get(client.number)

    # --- comparison ---------------------------------------------------------------------------------------

    def _compare(self) -> None:
        """What the reference holds is what the system holds.

        :raises TieBroken: naming what differs.
        """
        system, s = self.system, self.system.state
        for r, state in self.replicas.items():
            self._same(f"what replica {r} holds", system.value(s.durable, r), state.durable.held(ROW).version)
        for client in self.clients:
            operation = self._operation(client)
            if operation is None:
                continue
            o = client.op
            if operation.phase is operations.Phase.ASKING:
                heard = {r for r in self.setting.replicas if system.value(s.heard, o, r)}
                self._same(f"whom operation {o} heard", heard, {item[0] for item in operation.answers})
                newest = max((item[1].version for item in operation.answers), default=0)
                self._same(f"the newest that operation {o} heard of", system.value(s.top, o), newest)
            if operation.written is not None:
                version = operation.written.version
                self._same(f"the version of operation {o}", system.value(s.version, o), version)
                self._same(f"whether version {version} was sent", system.value(s.sent, version), True)
            if operation.phase is operations.Phase.WRITING:
                held = {r for r in self.setting.replicas if system.value(s.held, o, r)}
                self._same(f"who holds what operation {o} sent", held, set(self._holders(operation)))

    def _holders(self, operation: operations.Operation) -> Iterator[int]:
        assert operation.written is not None
        yield from (r for r, held, _ in operation.answers if held.rank() >= operation.written.rank())
        yield from (r for r, _ in operation.acknowledged)

    @staticmethod
    def _same(what: str, system: Any, reference: Any) -> None:
        if system != reference:
            raise TieBroken(f"{what}: {system} in the system, {reference} in the reference")


_READS = (operations.Kind.READ, operations.Kind.LOOK_UP)


# --- the check --------------------------------------------------------------------------------------------


def _met(dice: Random, variant: Variant) -> Counter[str]:
    size, write, read = dice.choice(SETTINGS)
    run = Run(dice, Setting(tuple(range(1, size + 1)), write, read), variant)
    run.play()
    return run.system.met


def run(check: Check, context: Context) -> Outcome:
    """Runs of the reference until so many steps were taken; and each wrong rule until it is caught."""
    return judged(check, context.seed, lambda dice: _met(dice, RIGHT), KINDS, CAUGHT, caught_after)


MOST_RUNS = 400


def caught_after(variant: str, seed: int) -> int:
    """How many runs it takes until a wrong rule does what is no step; 0 if it never does."""
    return runs_until_caught(lambda dice: _met(dice, VARIANTS[variant]), seed, MOST_RUNS)
