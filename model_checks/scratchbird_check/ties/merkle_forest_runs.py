"""The tie in the other direction: runs of the reference with messages under way are behaviours of the model.

Replicas, drivers and answerers of the reference run at random: versions arrive late and in any order, stable
times rise, a floor is closed, replicas crash, and questions and answers of exchanges are lost, doubled and
overtaken. What happens is written in the variables of ``MC_merkle_forest_apart.tla``, and TLC checks that
each step is one of that module's. One step of the reference may be several of the model's: every event that
an exchange gives to a replica is one, and so is what it notes of its windows and rows; all states between are
written. A step that says nothing new to the model, such as a message that is lost, is none.

Floors are closed by all in one step here, and each converges and settles in one, as in the model;
``handoff.tla`` and its ties take these apart. A replica drives one exchange at a time, and what is on its way
to a replica that crashes is lost: an opening that came twice, and a second time after a crash, would take
another snapshot in the middle of an exchange, which then fails.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc, tlc_config
from scratchbird_check.engines.tlc_output import End
from scratchbird_check.manifest import Check
from scratchbird_check.ties.graph import Tie, TieBroken
from scratchbird_check.ties.merkle_forest_graph import instance_of
from scratchbird_check.ties.merkle_forest_moves import with_rows
from scratchbird_check.ties.merkle_forest_world import (
    Exchange,
    Instance,
    StrangeStep,
    World,
    bare,
    initial,
    number,
    plain,
    shown_by,
    to_model,
)
from scratchbird_check.ties.runs import write_module
from scratchbird_check.traces.tla_values import Record
from scratchbird_check.variants.merkle_forest import RIGHT, Variant
from scratchbird_check.verdicts import Outcome
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as replicas
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import quorum_replica
from scratchbird_reference.merkle_forest_exchange import Answering, Driving, Snapshot
from scratchbird_reference.merkle_forest_replica import Advance, Event, ForestReplica, Meet, Rehash, State
from scratchbird_reference.quorum_messages import Write

MODULE = "MC_merkle_forest_apart"
BOUNDS = messages.Bounds(items=2)
"""So that no exchange fits into one message."""
Given = tuple[int, int, int, int, bool]


class Seen(NamedTuple):
    """A state of ``MC_merkle_forest_apart.tla``."""

    world: World
    offered: tuple[Record, ...]
    through: tuple[int, ...]
    given: frozenset[Given]


@dataclass
class Side:
    """What runs at a replica."""

    state: State
    answering: Answering = field(default_factory=Answering)
    driving: Driving | None = None
    is_open: bool = False
    """Whether the exchange that it drives has begun for the model, and no floor was closed since."""
    asked: messages.Question | None = None


class Run:
    """One run, and the states of the model that it goes through."""

    def __init__(self, instance: Instance, seed: int) -> None:
        self.instance = instance
        self.dice = random.Random(seed)
        self.log: list[tuple[Event, State]] = []
        self.machines = replace(instance.machines, forests=_recorded(instance.machines.forests, self.log))
        world = initial(instance)
        nobody = (_offer(instance),) * len(instance.names)
        self.now = Seen(world, nobody, (0,) * len(instance.names), frozenset())
        self.seen = [self.now]
        self.sides = {r: Side(state) for r, state in zip(instance.names, world.replicas, strict=True)}
        self.post: list[tuple[int, int, messages.Question | messages.Reply]] = []
        """From, to, what."""
        self.theirs: dict[int, Snapshot] = {}
        """By exchange: what the side that answers showed."""
        self.exchanges = 0
        self.counts: Counter[str] = Counter()

    def play(self, moves: int) -> list[Seen]:
        """So many moves at random."""
        for _ in range(moves):
            self._move()
        return self.seen

    def _move(self) -> None:
        r = self.dice.choice(self.instance.names)
        match self.dice.randrange(20):
            case 0 | 1:
                self._write()
            case 2 | 3:
                self._arrive(r)
            case 4:
                self._advance(r)
            case 5:
                self._rehash(r)
            case 6 if self.dice.random() < 0.2:
                self._crash(r)
            case 6 | 7 | 8:
                self._floor(r)
            case 9 | 10 | 11:
                self._begin(r)
            case 12 if self.dice.random() < 0.1 and self.sides[r].driving is not None:
                self._drive(r, exchanges.Stop())
            case 12 if self.sides[r].driving is not None:
                self._drive(r, exchanges.Again())
            case _ if self.post:
                self._deliver()

    # --- what the model sees ------------------------------------------------------------------------------

    def _see(self, action: str, world: World | None = None, **changes: Any) -> None:
        after = self.now._replace(world=world or self.now.world, **changes)
        if after != self.now:
            self.counts[action] += 1
            self.now = after
            self.seen.append(after)

    def _replica(self, action: str, r: int, state: State, **changes: Any) -> None:
        """A replica is this now."""
        self.sides[r].state = state
        world = self.now.world
        states = (*world.replicas[: r - 1], plain(state), *world.replicas[r:])
        self._see(action, world._replace(replicas=states), **changes)

    def _over(self, r: int, exchange: Exchange | None, world: World | None = None) -> World:
        world = world or self.now.world
        return world._replace(exchanges=(*world.exchanges[: r - 1], exchange, *world.exchanges[r:]))

    # --- replicas -----------------------------------------------------------------------------------------

    def _step(self, action: str, r: int, *events: Event) -> None:
        state = self.sides[r].state
        for event in events:
            state, _ = self.machines.forests.step(state, event)
        self._replica(action, r, state)

    def _write(self) -> None:
        world, instance = self.now.world, self.instance
        closed = self.sides[1].state.replica.floor.durable.closed
        left = [v for v in instance.row_of if v not in world.written and not (closed and v < instance.floor)]
        if left:
            # Mostly in their order.
            version = left[min(len(left) - 1, int(self.dice.expovariate(1.0)))]
            self._see("Write", world._replace(written=world.written | {version}))
            self._arrive(self.dice.choice(instance.names), version)

    def _arrive(self, r: int, version: int | None = None) -> None:
        written = sorted(self.now.world.written)
        if written:
            version = version or self.dice.choice(written)
            write = Write(0, 0, self.instance.row_of[version], self.instance.values[version])
            self._step("Arrive", r, quorum_replica.Deliver(write))

    def _advance(self, r: int) -> None:
        newest = max(self.now.world.written, default=0)
        times = [time for time in self.instance.times if 0 < time <= newest + 2]
        if times:
            self._step("Advance", r, Advance(self.instance.of_time(self.dice.choice(times))))

    def _rehash(self, r: int) -> None:
        dirty = sorted(self.sides[r].state.forest.dirty)
        if dirty:
            self._step("Rehash", r, Rehash(self.dice.choice(dirty)))

    def _crash(self, r: int) -> None:
        side = self.sides[r]
        state = side.state
        for event in (quorum_replica.Crash(), quorum_replica.Start()):
            state, _ = self.machines.forests.step(state, event)
        self.sides[r] = Side(state)
        self.post = [item for item in self.post if item[1] != r]
        world = self._over(r, None)
        states = (*world.replicas[: r - 1], plain(state), *world.replicas[r:])
        self._see("Crash", world._replace(replicas=states, crashed=world.crashed + 1))

    # --- the floor ----------------------------------------------------------------------------------------

    def _floor(self, r: int) -> None:
        floor = self.instance.of_time(self.instance.floor)
        at = {q: side.state.replica.floor.durable for q, side in self.sides.items()}
        if not at[r].closed:
            if len(self.now.world.written) > len(self.instance.row_of) // 2 and self.dice.random() < 0.2:
                self._close(floor)
        elif not at[r].converged:
            self._converge(r, floor)
        elif not at[r].floor:
            if all(durable.converged for durable in at.values()):
                self._step("Settle", r, floors.AllConverged(floor))
        else:
            self._purge(r)

    def _close(self, floor: int) -> None:
        world = self.now.world
        for r, side in self.sides.items():
            side.state, _ = self.machines.forests.step(side.state, floors.Propose(floor))
            side.is_open = False
            exchange = world.exchanges[r - 1]
            if exchange is not None and not exchange.has_succeeded:
                world = self._over(r, None, world)
        states = tuple(plain(self.sides[r].state) for r in self.instance.names)
        nobody = (_offer(self.instance),) * len(states)
        self._see("Close", world._replace(replicas=states), offered=nobody, given=frozenset())

    def _converge(self, r: int, floor: int) -> None:
        told: list[Event] = [floors.AllClosed(floor)]
        ask = replicas.AskPast(floor, 1)
        for q in self.dice.sample(self.instance.names, len(self.instance.names)):
            if q != r:
                _, sent = self.machines.forests.step(self.sides[q].state, replicas.Deliver(r, ask))
                told += [
                    replicas.Deliver(q, item.message)
                    for item in sent
                    if isinstance(item, replicas.SendFloor) and isinstance(item.message, replicas.Past)
                ]
        self._step("Converge", r, *told)

    def _purge(self, r: int) -> None:
        before = self.sides[r].state
        after, _ = self.machines.forests.step(before, replicas.Purge())
        left = dict(before.replica.rows.durable.rows)
        for row in sorted(left.keys() - dict(after.replica.rows.durable.rows).keys()):
            del left[row]
            self._replica("Purge", r, with_rows(before, tuple(left.items())))
        if plain(after) != plain(self.sides[r].state):
            raise StrangeStep(f"replica {r} purges, and changes more than rows")
        self.sides[r].state = after

    # --- messages -----------------------------------------------------------------------------------------

    def _begin(self, r: int) -> None:
        if self.sides[r].driving is None:
            self.exchanges += 1
            q = self.dice.choice([q for q in self.instance.names if q != r])
            self._drive(r, exchanges.Begin(self.exchanges, q))

    def _deliver(self) -> None:
        """Any message; most are then gone, and some were lost."""
        place = self.dice.randrange(len(self.post))
        sender, to, message = self.post[place]
        if self.dice.random() < 0.8:
            del self.post[place]
        if self.dice.random() < 0.1:
            return
        if isinstance(message, messages.Question):
            self._answer(to, sender, message)
        else:
            self._drive(to, exchanges.Deliver(message))

    def _answer(self, q: int, r: int, question: messages.Question) -> None:
        """The other side's step: what it did to its replica, event by event."""
        side = self.sides[q]
        self.log.clear()
        side.answering, state, reply = self.machines.answers(BOUNDS).step(
            side.answering, side.state, question
        )
        for event, after in tuple(self.log):
            if isinstance(event, Meet):
                self._replica("TakeGiven", q, after, given=self._arrived(q, event))
            else:
                self._replica(type(event).__name__, q, after)
        if isinstance(question, messages.Give) and isinstance(reply, messages.Took) and not self.log:
            self.counts["taken by nobody"] += 1
        self._same(q, state)
        if isinstance(reply, messages.Opened) and reply.exchange not in self.theirs:
            snapshot = dict(side.answering.snapshots)[reply.exchange]
            self.theirs[reply.exchange] = snapshot
            if self._awaits(r, reply.exchange):
                offer = _offer(self.instance, q, snapshot)
                offered = self.now.offered
                self._see("Offer", offered=(*offered[: r - 1], offer, *offered[r:]))
        self.post.append((q, r, reply))

    def _awaits(self, r: int, exchange: int) -> bool:
        driving = self.sides[r].driving
        return driving is not None and driving.exchange == exchange and not driving.is_open

    def _arrived(self, q: int, met: Meet) -> frozenset[Given]:
        held = 0 if met.held is None else number(self.instance, met.held.version)
        given = (q, met.entry.row, number(self.instance, met.entry.version), held)
        if (*given, False) not in self.now.given:
            raise StrangeStep(f"replica {q} takes what was not given: {given}")
        return self.now.given | {(*given, True)}

    def _same(self, r: int, state: State) -> None:
        if plain(state) != plain(self.sides[r].state):
            raise StrangeStep(f"replica {r} is changed by an exchange, and not by an event")
        self.sides[r].state = state

    def _drive(self, r: int, event: Any) -> None:
        """The driver's step: what it did to its replica, event by event, and what it noted."""
        side = self.sides[r]
        before = side.driving
        self.log.clear()
        side.driving, state, effect = self.machines.drives(BOUNDS).step(before, side.state, event)
        log = tuple(self.log)
        reply = event.reply if isinstance(event, exchanges.Deliver) else None
        if before is None or reply is None or reply.exchange != before.exchange:
            reply = None  # Of an exchange that has ended.
        if isinstance(reply, messages.Opened) and before is not None and not before.is_open:
            self._opened(r, before, reply, log, effect)
        elif (
            side.is_open and isinstance(reply, messages.Nodes) and before is not None and before.windows_done
        ):
            self._compared(r, log)
        elif side.is_open and isinstance(reply, messages.Rows):
            for each, after in log:
                self._met(r, each, after)
        elif side.is_open and isinstance(reply, messages.Took) and before is not None:
            left = {entry.row for entry in side.driving.giving} if side.driving is not None else set()
            for entry in before.giving:
                if entry.row not in left and not isinstance(effect, exchanges.Failed):
                    self._leaves(r, "Dealt", entry.row)
        elif log:
            raise StrangeStep(f"the exchange of replica {r} gives it {log[0][0]} at {event}")
        self._same(r, state)
        self._ends(r, effect)

    def _ends(self, r: int, effect: exchanges.Effect | None) -> None:
        """What is asked next, or how it ended."""
        side = self.sides[r]
        exchange = self.now.world.exchanges[r - 1]
        match effect:
            case exchanges.Ask(other, question):
                if isinstance(question, messages.Give) and side.is_open:  # Else it will be refused.
                    self._gives(other, question)
                self.post.append((r, other, question))
            case exchanges.Succeeded():
                self.counts["moved"] += effect.moved
                if exchange is not None and side.is_open:
                    mine, theirs = (replace(item, closed=0) for item in (exchange.mine, exchange.theirs))
                    done = exchange._replace(mine=mine, theirs=theirs, has_succeeded=True)
                    self._see("Succeed", self._over(r, done))
                side.is_open = False
            case exchanges.Failed():
                if side.is_open:
                    self._see("Fail", self._over(r, None))
                side.is_open = False

    def _gives(self, q: int, question: messages.Give) -> None:
        for entry, held in question.given:
            what = 0 if held is None else number(self.instance, held.version)
            given = (q, entry.row, number(self.instance, entry.version), what, False)
            self._see("GiveRow", given=self.now.given | {given})

    # --- what the driver notes ----------------------------------------------------------------------------

    def _opened(
        self,
        r: int,
        before: Driving,
        reply: messages.Opened,
        log: tuple[tuple[Event, State], ...],
        effect: exchanges.Effect | None,
    ) -> None:
        for event, after in log:
            self._replica(type(event).__name__, r, after)
        driving = self.sides[r].driving
        theirs = self.theirs[reply.exchange]
        mine = exchanges.snapshot_of(self.sides[r].state)
        if isinstance(effect, exchanges.Failed) or theirs.closed != mine.closed:
            return  # Refused; or a floor was closed meanwhile, and the next answer says so.
        told, others = dict(mine.told), dict(theirs.told)
        windows = frozenset(w for w in told.keys() | others.keys() if told.get(w) != others.get(w))
        exchange = Exchange(before.other, windows, frozenset(), bare(mine), bare(theirs))
        world = self._over(r, exchange)
        offered, through = self.now.offered, self.now.through
        self.sides[r].is_open = driving is not None
        self._see(
            "BeginOffered",
            world._replace(begun=world.begun + 1),
            offered=(*offered[: r - 1], _offer(self.instance), *offered[r:]),
            through=(*through[: r - 1], number(self.instance, reply.stable), *through[r:]),
        )

    def _compared(self, r: int, log: tuple[tuple[Event, State], ...]) -> None:
        """A window is compared when a row of it is dealt with, or all its nodes were told."""
        driving = self.sides[r].driving
        for event, after in log:
            if isinstance(event, Meet):
                self._compare(r, self.instance.window_of[number(self.instance, event.entry.version)])
            self._met(r, event, after)
        left = set() if driving is None else {window for window, _ in (*driving.nodes, *driving.in_full)}
        exchange = self.now.world.exchanges[r - 1]
        assert exchange is not None
        for window in sorted(exchange.windows - left):
            self._compare(r, window)
        exchange = self.now.world.exchanges[r - 1]
        assert exchange is not None
        if driving is None or not (driving.nodes or driving.in_full):
            rows = set() if driving is None else {e.row for e in (*driving.wanted, *driving.giving)}
            for row in sorted(exchange.rows - rows):
                self._leaves(r, "MeetTold", row)  # It was dealt with before its other window was compared.
            if rows - exchange.rows:
                raise StrangeStep(f"replica {r} deals with rows that do not differ: {rows}, {exchange.rows}")

    def _compare(self, r: int, window: int) -> None:
        exchange = self.now.world.exchanges[r - 1]
        assert exchange is not None
        if window not in exchange.windows:
            return
        mine, theirs = ({e.row: e for e in side.entries} for side in (exchange.mine, exchange.theirs))
        at = self.instance.window_of
        rows = {
            row
            for row in mine.keys() | theirs.keys()
            if mine.get(row) != theirs.get(row)
            and window
            in {at[number(self.instance, e.version)] for e in (mine.get(row), theirs.get(row)) if e}
        }
        after = exchange._replace(windows=exchange.windows - {window}, rows=exchange.rows | rows)
        self._see("Compare", self._over(r, after))

    def _met(self, r: int, event: Event, after: State) -> None:
        """A row that the other side shows is dealt with; where this side shows it newer, nothing is."""
        exchange = self.now.world.exchanges[r - 1]
        if not isinstance(event, Meet) or exchange is None:
            raise StrangeStep(f"the exchange of replica {r} gives it {event}")
        row = event.entry.row
        ours = {entry.row: entry for entry in exchange.mine.entries}.get(row)
        if ours is not None and ours.version > event.entry.version:
            self._same(r, after)
            return
        self.sides[r].state = after
        world = self._over(r, exchange._replace(rows=exchange.rows - {row}))
        states = (*world.replicas[: r - 1], plain(after), *world.replicas[r:])
        self._see("MeetTold", world._replace(replicas=states))

    def _leaves(self, r: int, action: str, row: int) -> None:
        exchange = self.now.world.exchanges[r - 1]
        assert exchange is not None
        self._see(action, self._over(r, exchange._replace(rows=exchange.rows - {row})))


def _recorded(forests: ForestReplica, log: list[tuple[Event, State]]) -> Any:
    """The same machine, which writes down what it was given and what it became."""
    kind: Any = type(forests)

    def step(self: Any, state: State, event: Event) -> Any:
        after, effects = kind.step(self, state, event)
        log.append((event, after))
        return after, effects

    return type("Recorded", (kind,), {"step": step, "__slots__": ()})(forests.replica, forests.rules)


def _offer(instance: Instance, by: int = 0, snapshot: Snapshot | None = None) -> Record:
    """What a replica showed that answered; of nobody nothing."""
    snapshot = snapshot or Snapshot()
    told = dict(snapshot.told)
    return Record(
        {
            "by": by,
            "entries": shown_by(instance, snapshot.entries),
            "told": tuple(instance.contents[w, told.get(w, b"")] for w in instance.windows),
            "at": number(instance, snapshot.stable),
            "past": snapshot.floor > 0,
        }
    )


def seen_by_model(instance: Instance, seen: Seen) -> dict[str, Any]:
    """The variables of ``MC_merkle_forest_apart.tla``."""
    mine = {"offered": seen.offered, "through": seen.through, "given": seen.given}
    return {**to_model(instance, seen.world), **mine}


# --- the check --------------------------------------------------------------------------------------------


def written(folder: Any, name: str, config: str, instance: Instance, runs: list[list[Seen]]) -> None:
    """Runs, as a module for TLC."""
    tie: Tie[Seen] = Tie(
        lambda values: runs[0][0], partial(seen_by_model, instance), lambda seen: (), runs[0][0], frozenset()
    )
    write_module(folder, name, MODULE, tie, runs, config)


def played(instance: Instance, runs: int, moves: int, seed: int) -> tuple[list[list[Seen]], Counter[str]]:
    """So many runs, and how often each action was taken in them."""
    counts: Counter[str] = Counter()
    found = []
    for number_of_run in range(runs):
        run = Run(instance, seed * 1_000 + number_of_run)
        found.append(run.play(moves))
        counts += run.counts
    return found, counts


def machines_of(constants: Mapping[str, str], machines: Variant = RIGHT) -> Instance:
    """The reference under the constants of the configuration."""
    return instance_of(constants, machines)


def check_runs(check: Check, context: Context) -> Outcome:
    """Runs of the reference, checked by TLC to be behaviours of the model."""
    folder = resources.copy_models(context.workdir / "models")
    config = (folder / check.options["config"]).read_text(encoding="utf-8")
    instance = machines_of(tlc_config.parse(config).constants)
    try:
        runs, counts = played(instance, check.options["runs"], check.options["moves"], context.seed)
    except TieBroken as error:
        return tlc.unexpected(check, f"a run of the reference is no behaviour: {error}")
    least = check.options["least"]
    if lacking := {name: counts[name] for name, number_of in least.items() if counts[name] < number_of}:
        return tlc.unexpected(check, f"too few of some actions: {lacking}, at least {dict(least)} are wanted")
    name = f"{MODULE}_runs"
    written(folder, name, config, instance, runs)
    ended, report = tlc.execute(context, folder, module=name, config=f"{name}.cfg", timeout_s=check.timeout_s)
    if why := ended.why():
        return tlc.unexpected(check, f"TLC: {why}", ended.log)
    if report.end is not End.OK:
        why = f"a run of the reference is no behaviour: {report.end.value}: see the log"
        return tlc.unexpected(check, why, ended.log)
    states = sum(map(len, runs))
    if report.distinct != states:
        return tlc.unexpected(check, f"{states} states were written, TLC saw {report.distinct}", ended.log)
    detail = f"{len(runs):,} runs of the reference, {states - len(runs):,} steps, all of them the model's"
    figures = {"runs": len(runs), "steps": states - len(runs)}
    figures |= {f"steps of {action}": counts[action] for action in sorted(counts)}
    return Outcome(check.id, check.expect, detail, check.properties, ended.seconds, figures)
