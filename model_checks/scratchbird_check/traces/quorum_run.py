"""Runs of the reference's coordinators and replicas, or of a variant of them, as traces for people.

A run is a list of moves (``quorum_moves.py``) on a stage (``quorum_world.py``). A move that is impossible
under the rules that are played is left out: the message that it delivers was never sent. So one list of moves
tells both how a wrong rule breaks its promise and how the right one keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from enum import Enum
from typing import Any, ClassVar

from scratchbird_check.traces import quorum as json_form
from scratchbird_check.traces import quorum_words as words
from scratchbird_check.traces.model import Arrow, Change, Step, Trace
from scratchbird_check.traces.quorum_judge import Judge
from scratchbird_check.traces.quorum_lines import Heard, Line, returned, value_of
from scratchbird_check.traces.quorum_moves import Act, Move
from scratchbird_check.traces.quorum_world import Client, Stage, World, shown
from scratchbird_check.traces.tla_values import frozen
from scratchbird_check.variants.quorum import Stale, Undo, Variant
from scratchbird_history import operations as history
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff_replica import BelowFloor
from scratchbird_reference.quorum_messages import Held, OldEpoch, Query, Write


class Run:
    """Plays moves, and keeps a step for each; use :func:`play`."""

    PART: ClassVar[str] = "quorum"
    LANES: ClassVar[tuple[str, ...]] = ()
    """Who takes part beside coordinators and replicas."""

    def __init__(self, variant: Variant, stage: Stage) -> None:
        self.world = self.staged(variant, stage)
        self.steps: list[Step] = []
        self.sent_at: dict[int, int] = {}
        """By operation: the step in which its coordinator sent what is to be stored."""
        self.said_at: dict[tuple[int, int], int] = {}
        """By (operation, replica): the step in which the replica stored it."""
        self.told_at: dict[tuple[int, int], int] = {}
        """By (who recovers, who answered it): the step in which it did."""
        self._add(Step(0, None, "Init", "the beginning"))

    def staged(self, variant: Variant, stage: Stage) -> World:
        """Where it is played."""
        return World(variant, stage)

    def acts(self) -> Mapping[Enum, Callable[[Any, Any], Line | None]]:
        """What each act does."""
        return _ACTS

    @property
    def number(self) -> int:
        return len(self.steps)

    def move(self, move: Move) -> bool:
        """Play a move. Returns whether it was possible."""
        before = self._noted()
        line = self.acts()[move.act](self, move)
        if line is None:
            return False
        self._add(
            Step(
                self.number,
                line.lane,
                move.act.value,
                line.label,
                tuple(self._changes(before)),
                tuple(line.arrows),
                mark=line.mark,
                kind=line.kind,
                setup=move.setup,
            )
        )
        return True

    # --- clients ------------------------------------------------------------------------------------------

    def client(self, move: Move) -> Client:
        """Whose operation the move is about; :class:`CallerError` if it did not begin."""
        if move.op not in self.world.clients:
            raise CallerError(f"{move.act.value} of {move.op!r}, which did not begin: read or write first")
        return self.world.clients[move.op]

    def ask(self, move: Move) -> Line:
        if move.clock:
            self.world.clocks[move.at] = move.clock
        if move.slow_disk:
            self.world.slow_disks.add(move.at)
        reads = move.act is Act.READ
        value = None if reads or move.value is None else move.value.encode()
        kind = history.Kind.READ if reads else history.Kind.WRITE
        client = self.world.ask(move.op, move.client, move.at, kind, value, reserve=move.reserve)
        line = Line(move.at, [words.reads() if reads else words.writes(shown(value))], lead=True)
        return self._go_on(line, client, move, new=True)

    def repeat(self, move: Move) -> Line:
        client = self.client(move)
        reserved = client.version
        self.world.repeat(client, move.at)
        line = Line(move.at, [words.repeats(shown(client.value), reserved)], lead=True)
        if reserved:
            self.sent_at[client.number] = self.number
        return self._go_on(line, client, move, new=not reserved)

    def _go_on(self, line: Line, client: Client, move: Move, *, new: bool) -> Line:
        if new and self._writing(client):
            self._sent(line, client, asked=self._queries(client))
        self._hear(line, client, move.hears)
        self._hold(line, client, move.holds)
        if move.setup and client.returned is not None:
            line.parts = [words.has_written(shown(client.value), move.holds)]
            return line
        if new and not move.hears and not move.holds and self._queries(client):
            line.parts.append(words.asks_all())
        return line

    # --- coordinators -------------------------------------------------------------------------------------

    def hear(self, move: Move) -> Line | None:
        client = self.client(move)
        line = Line(client.coordinator)
        return line if self._hear(line, client, move.replicas) else None

    def hold(self, move: Move) -> Line | None:
        client = self.client(move)
        line = Line(client.coordinator)
        return line if self._hold(line, client, move.replicas) else None

    def acknowledged(self, move: Move) -> Line | None:
        client = self.client(move)
        line = Line(client.coordinator)
        return line if self._responses(line, client, move.replicas) else None

    def durable(self, move: Move) -> Line | None:
        client = self.client(move)
        if client.number not in self.world.intents or self.world.operation(client) is None:
            return None
        line = Line(client.coordinator, [words.intent_is_durable()], kind="step")
        replied = client.reply
        self.world.make_durable(client.coordinator, client.number)
        return self._replied(line, client, replied)

    def deadline(self, move: Move) -> Line | None:
        client = self.client(move)
        if self.world.operation(client) is None:
            return None
        line = Line(client.coordinator, [words.gives_up()], kind="refused", lead=True)
        replied = client.reply
        self.world.at_coordinator(client.coordinator, operations.Deadline(client.number))
        return self._replied(line, client, replied)

    def crash(self, move: Move) -> Line | None:
        if self.world.coordinators[move.at].volatile is None:
            return None
        self.world.at_coordinator(move.at, operations.Crash())
        return Line(move.at, [words.crashes()], kind="crash")

    def _hear(self, line: Line, client: Client, replicas: Iterable[int]) -> bool:
        """Queries are delivered, and their answers."""
        asked = [name for name in replicas if self.world.deliver(client, name, Query) is not None]
        return self._responses(line, client, asked, newest=True)

    def _hold(self, line: Line, client: Client, replicas: Iterable[int]) -> bool:
        """Writes are delivered, and what the replicas say to them."""
        sent = [name for name in replicas if self.world.deliver(client, name, Write) is not None]
        return self._responses(line, client, sent, newest=True)

    def _responses(
        self, line: Line, client: Client, replicas: Sequence[int], *, newest: bool = False
    ) -> bool:
        """What these replicas have to say arrives, or the newest of it; what came of it is told."""
        replied, was_writing = client.reply, self._writing(client)
        heard = Heard()
        written = self._written(client)
        for name in replicas:
            for message in self.world.respond(client, name, newest=newest):
                sent_at = self.number if newest else self.said_at.pop((client.number, name), self.number)
                newer = written is not None and self.world.held(name).version > written.version
                line.arrows.append(Arrow(sent_at, words.lane(name), heard.take(name, message, newer=newer)))
        if not heard.any:
            return False
        line.parts += heard.told()
        if heard.stale and client.kind is history.Kind.WRITE and (again := self._written(client)):
            line.parts.append(words.stamps_again(again.version))
            self.sent_at[client.number] = self.number
        elif heard.said and not was_writing and client.kind is history.Kind.WRITE and self._writing(client):
            self._sent(line, client, asked=True)
        self._replied(line, client, replied)
        return True

    def _replied(self, line: Line, client: Client, before: operations.Reply | None) -> Line:
        """What the client is told, or why it is told nothing."""
        reply = client.reply
        if reply is not None and reply is not before:
            if reply.outcome is operations.Outcome.VALUE:
                line.mark = returned(reply.held)
                line.parts.append(words.returns(line.mark))
            else:
                line.parts.append(words.says(reply.outcome.value))
            return line
        operation = self.world.operation(client)
        if reply is not None or operation is None or client.kind is history.Kind.WRITE:
            return line
        if operation.phase is operations.Phase.WRITING and not self.sent_at.get(client.number):
            line.parts.append(words.writes_back())
            self.sent_at[client.number] = self.number
        elif operation.phase is operations.Phase.ASKING:
            line.parts.append(words.asks_on())
        return line

    def _writing(self, client: Client) -> bool:
        operation = self.world.operation(client)
        return operation is not None and operation.phase is operations.Phase.WRITING

    def _written(self, client: Client) -> Held | None:
        operation = self.world.operation(client)
        return None if operation is None else operation.written

    def _queries(self, client: Client) -> bool:
        number = client.number
        return any(
            isinstance(message, Query) and message.operation == number
            for messages in self.world.requests.values()
            for message in messages
        )

    def _sent(self, line: Line, client: Client, *, asked: bool) -> None:
        written = self._written(client)
        assert written is not None
        self.sent_at[client.number] = self.number
        line.parts.append(
            words.sends(written.version, asked=asked, reserved=client.version == written.version)
        )
        line.mark = line.mark or str(written.version)

    # --- replicas -----------------------------------------------------------------------------------------

    def store(self, move: Move) -> Line | None:
        client, (name,) = self.client(move), move.replicas
        before = self.world.held(name)
        epoch = self.world.replicas[name].durable.epoch
        held = self.world.deliver(client, name, Write)
        if held is None:
            return None
        self.said_at[client.number, name] = self.number
        line = Line(words.lane(name), mark=value_of(held))
        if client.number in self.sent_at:
            line.arrows.append(Arrow(self.sent_at[client.number], client.coordinator, value_of(held)))
        last = self.world.responses[client.number, name][-1]
        what = words.held(value_of(held), held.version)
        own = words.held(value_of(before), before.version)
        if isinstance(last, OldEpoch):
            requested = self.world.coordinators[client.coordinator].setting.epoch
            line.parts.append(words.refuses_epoch(requested, epoch))
            line.kind, line.mark = "refused", "refused"
        elif isinstance(last, BelowFloor):
            line.parts.append(words.refuses_below(what, last.closed))
            line.kind, line.mark = "refused", "below"
        elif isinstance(last, Stale):
            line.parts.append(words.refuses_stale(own, what))
            line.kind, line.mark = "refused", "stale"
        elif self.world.held(name) == held:
            line.parts.append(words.stores(what))
        else:
            line.parts.append(words.keeps(own, what))
            line.mark = value_of(before)
        return line

    def undo(self, move: Move) -> Line | None:
        client, (name,) = self.client(move), move.replicas
        held = self.world.deliver(client, name, Undo)
        if held is None:
            return None
        line = Line(words.lane(name), [words.takes_back(value_of(held))], kind="refused")
        given_up = [step.number for step in self.steps if step.action == Act.DEADLINE.value]
        line.arrows += [Arrow(number, client.coordinator, "take back") for number in given_up[-1:]]
        return line

    def lose(self, move: Move) -> Line:
        (name,) = move.replicas
        self.world.lose_disk(name)
        return Line(words.lane(name), [words.loses_disk()], kind="crash")

    def tell(self, move: Move) -> Line | None:
        (name,), (other,) = move.replicas, move.others
        self.world.exchange(name, other)
        if (name, other) not in self.world.exchanged:
            return None
        self.told_at[name, other] = self.number
        return Line(words.lane(other), [words.tells(name)])

    def recover(self, move: Move) -> Line | None:
        (name,) = move.replicas
        for other in move.others:
            if (name, other) not in self.world.exchanged:
                self.world.exchange(name, other)
        held = {other: value_of(self.world.held(other)) for other in move.others}
        heard = self.world.merge(name, move.others)
        if not heard:
            return None
        has_vote = self.world.replicas[name].durable.recovering is None
        line = Line(words.lane(name), [words.recovers(heard, has_vote=has_vote)])
        line.arrows = [
            Arrow(self.told_at.pop((name, other), self.number), words.lane(other), held[other])
            for other in heard
        ]
        return line

    # --- steps --------------------------------------------------------------------------------------------

    def _add(self, step: Step) -> None:
        state = {name: frozen(item) for name, item in self.states().items()}
        self.steps.append(replace(step, state=state, down=self.down()))

    def down(self) -> tuple[str, ...]:
        """The lanes whose process has ended."""
        return tuple(name for name, item in self.world.coordinators.items() if item.volatile is None)

    def states(self) -> dict[str, json_form.Json]:
        """The state of each lane."""
        world = self.world
        return {
            **{name: json_form.coordinator_to_json(item) for name, item in world.coordinators.items()},
            **{words.lane(name): json_form.replica_to_json(item) for name, item in world.replicas.items()},
        }

    def _noted(self) -> dict[str, str]:
        """What changes are told of, by name."""
        noted: dict[str, str] = {}
        for name, state in self.world.replicas.items():
            durable, held = state.durable, self.world.held(name)
            noted[f"holds[{words.lane(name)}]"] = words.held(value_of(held), held.version)
            noted[f"incarnation[{words.lane(name)}]"] = str(durable.incarnation)
            noted[f"has a vote[{words.lane(name)}]"] = "yes" if durable.recovering is None else "no"
        for coordinator in self.world.slow_disks:
            targets = [item.targets for _, item in self.world.coordinators[coordinator].durable.intents]
            noted[f"intent[{coordinator}]"] = "; ".join(words.lanes(item) for item in targets) or "none"
        return noted

    def _changes(self, before: dict[str, str]) -> Iterable[Change]:
        for name, after in self._noted().items():
            if before.get(name, after) != after:
                yield Change(name, before[name], after)


_ACTS: Mapping[Enum, Callable[[Any, Any], Line | None]] = {
    Act.READ: Run.ask,
    Act.WRITE: Run.ask,
    Act.REPEAT: Run.repeat,
    Act.HEAR: Run.hear,
    Act.HOLD: Run.hold,
    Act.ACKNOWLEDGED: Run.acknowledged,
    Act.DURABLE: Run.durable,
    Act.DEADLINE: Run.deadline,
    Act.CRASH: Run.crash,
    Act.STORE: Run.store,
    Act.UNDO: Run.undo,
    Act.LOSE: Run.lose,
    Act.TELL: Run.tell,
    Act.RECOVER: Run.recover,
}


def play(
    moves: Sequence[Move],
    *,
    variant: Variant,
    stage: Stage,
    judge: Judge,
    promise: str,
    lesson: str,
    title: str,
    engine: str = "reference",
    good: str = "",
    kind: type[Run] = Run,
) -> Trace:
    """Play moves until the promise is broken, or to their end.

    :param lesson: what is to be learnt if it is broken; it becomes the end of the verdict.
    :param good: the trace's verdict if nothing is broken.
    :param kind: whose moves they are.
    :raises CallerError: if a move is impossible where it stands, such as a request to a coordinator that is
        down.
    """
    run = kind(variant, stage)
    sentence = ""
    for move in moves:
        if run.move(move) and (sentence := judge(run.world, lesson, promise)):
            break
    steps = run.steps
    if sentence:
        steps = [*steps[:-1], replace(steps[-1], wrong=True)]
    used = {lane for step in steps for lane in (step.lane, *(arrow.from_lane for arrow in step.arrows))}
    every = (*stage.settings, *kind.LANES, *(words.lane(name) for name in stage.replicas))
    return Trace(
        title=title,
        engine=engine,
        part=kind.PART,
        lanes=tuple(name for name in every if name in used or name.startswith("r")),
        steps=tuple(steps),
        verdict=sentence or good,
        promise=promise if sentence else "",
    )
