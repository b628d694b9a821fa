"""Floors: production's replicas and its catalog beside the reference's, step by step, in a bad world.

Three to five replicas of a shard, their rows and their floors, and the catalog. Messages wait in a heap from
which they are taken in any order, again and again, or never. Replicas crash and start, disks are lost, floors
rise, writes come late, with values as with versions of all kinds, and everybody is told what is impossible.
After every step both sides must have asked for the same effects in the same order, refused with the same
words, and hold the same state.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from scratchbird import handoff as production
from scratchbird import quorum
from scratchbird.errors import ScratchbirdError
from scratchbird_check.machines.exploring import run_machine
from scratchbird_check.traces.quorum import replica_to_json
from scratchbird_reference import handoff_catalog, handoff_floor, handoff_replica
from scratchbird_reference import quorum as reference_quorum
from scratchbird_reference import quorum_messages as messages
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.errors import ReferenceLibraryError
from scratchbird_reference.handoff import Rules
from scratchbird_reference.quorum_messages import Held, Setting

SEED = 1
REPLICAS = (1, 2, 3, 4, 65535)
STRANGER = 77
ROWS = (0, 7, messages.MAX_ROW)
VALUES = (None, None, b"", b"v")
FIRST_FLOOR = (1 << 64) - 2
"""Floors rise from here, across the border of a version's two words."""

_MODULES = (handoff_floor, handoff_replica, handoff_catalog, messages, replicas)
_NAMES: dict[Any, Any] = {
    handoff_floor.LostDisk: production.FloorLost,
    handoff_floor.Crash: quorum.Crash,
    handoff_catalog.LostDisk: production.ReplicaLostDisk,
    handoff_catalog.Ask: production.AskFloor,
    handoff_replica.SendFloor: quorum.Send,
    handoff_replica.Deliver: quorum.Deliver,
    messages.Exchanged: quorum.Exchanged,
}
KINDS: dict[Any, Any] = {
    kind: _NAMES.get(kind) or getattr(production, name, None) or getattr(quorum, name, None)
    for module in _MODULES
    for name, kind in vars(module).items()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__
}

REQUIRED = frozenset(
    f"{event}: {came}"
    for event, what in {
        "ProposeFloor": "Tell,error",
        "Closed": "Tell,nothing,error",
        "Converged": "Tell,nothing,error",
        "LostDisk": "nothing,Exchange SayClosed,Exchange,error",
        "Ask": "Tell,nothing,Exchange,error",
        "Propose": "SayClosed,error",
        "AllClosed": "AskPast,SayConverged,nothing,error",
        "AllConverged": "PurgeBelow,nothing,error",
        "Write": "Acknowledgement,BelowFloor,OldEpoch,error",
        "Query": "Answer,OldEpoch,nothing,error",
        "Exchange": "RecoveredPast,nothing,error",
        "Exchanged": "error",
        "StartEmpty": "error",
        "AskPast": "Past,nothing,error",
        "Past": "nothing,SayConverged,error",
        "RecoveredPast": "nothing,error",
        "Merge": "nothing,error",
        "Purge": "nothing,error",
        "Crash": "nothing,error",
        "Start": "nothing,error",
    }.items()
    for came in what.split(",")
) | {
    "a batch of events",
    "a batch with an event that was refused",
    "a floor beside its rows: AskFor",
    "a floor beside its rows: PurgeBelow",
    "a floor beside its rows: error",
    "a purge removed something",
    "a purge left a tombstone above the floor",
    "a query was told of the floor",
    "a replica recovered settled",
    "a replica recovered with a vote",
    "a late write was refused at a settled replica",
    "the floor itself was acknowledged",
    "the catalog told of both floors",
    "a floor was void, and the next one proposed",
    "what a replica said before it lost its disk did not count",
    "3 replicas",
    "4 replicas",
    "5 replicas",
}


def ours(value: Any) -> Any:
    """A value of the reference as production's."""
    if isinstance(value, messages.Mode):
        return quorum.Mode[value.name]
    if isinstance(value, tuple):
        return tuple(ours(item) for item in value)
    if type(value) not in KINDS:
        return value
    fields = {item.name: ours(getattr(value, item.name)) for item in dataclasses.fields(value)}
    return KINDS[type(value)](**fields)


def floor_state(state: handoff_floor.State, up: bool = True) -> dict[str, Any]:
    durable, volatile = state.durable, state.volatile
    value: dict[str, Any] = {name: f"{getattr(durable, name):x}" for name in ("closed", "converged", "floor")}
    if up:
        value["all_closed"] = f"{volatile.all_closed:x}"
        value["all_converged"] = f"{volatile.all_converged:x}"
        value["merged"] = sorted(volatile.merged)
    return value


def named(event: Any) -> str:
    return type(getattr(event, "message", event)).__name__


@dataclasses.dataclass
class Node:
    """A replica, a floor without its rows, or the catalog, on both sides."""

    machine: Any
    state: Any
    core: Any
    reached: Counter[str]
    prefix: str = ""

    def take(self, *events: Any) -> list[Any]:
        """The reference takes them one by one, production all at once if they are several; the effects."""
        if len(events) == 1:
            try:
                came: list[Any] = [self.core.step(ours(events[0]))]
            except ScratchbirdError as error:
                came = [error]
        else:
            result = self.core.step_many([ours(event) for event in events])
            refused = dict(result.refused)
            assert len(result.ends) == len(events)
            came = [refused.get(index, tuple(result.of(index))) for index in range(len(events))]
            self.reached["a batch of events"] += 1
            self.reached["a batch with an event that was refused"] += bool(refused)
        effects: list[Any] = []
        for event, one in zip(events, came, strict=True):
            effects += self.compare(event, one)
        self.same_state()
        return effects

    def compare(self, event: Any, came: Any) -> tuple[Any, ...]:
        name, before = self.prefix + named(event), self.state
        try:
            self.state, theirs = self.machine.step(self.state, event)
        except ReferenceLibraryError as error:
            self.refused(name, error, came)
            return ()
        assert not isinstance(came, Exception), f"{name}: only production says {came}"
        assert came == ours(theirs), name
        kinds = [self.prefix + named(effect) for effect in theirs]
        if self.prefix:
            self.reached.update(kinds)
        short = " ".join(first for first, second in pairwise([*kinds, ""]) if first != second)
        self.reached[f"{name}: {short or 'nothing'}"] += 1
        if isinstance(self.state, handoff_replica.State):
            self.notice(name, event, before, theirs)
        if name == "ProposeFloor":
            self.reached["a floor was void, and the next one proposed"] += before.void
        if name == "Ask":
            told = [effect.what for effect in theirs if isinstance(effect, handoff_catalog.Tell)]
            self.reached["the catalog told of both floors"] += len({what.floor for what in told}) > 1
        if name == "Converged" and event.floor == before.proposed:
            self.reached["what a replica said before it lost its disk did not count"] += (
                event.incarnation != messages.incarnation_of(event.replica, before.incarnations)
            )
        return tuple(theirs)

    def notice(self, name: str, event: Any, before: handoff_replica.State, theirs: tuple[Any, ...]) -> None:
        """What this step showed, for the list of what the runs together must have shown."""
        reached, floor = self.reached, before.floor.durable.floor
        was, now = before.rows.durable, self.state.rows.durable
        if name == "Purge":
            reached["a purge removed something"] += was.rows != now.rows
            reached["a purge left a tombstone above the floor"] += floor > 0 and any(
                held.value is None for _, held in now.rows
            )
        if name == "Query":
            reached["a query was told of the floor"] += any(
                effect.message.held == Held(floor, None) for effect in theirs if "Answer" in named(effect)
            )
        if name == "RecoveredPast" and was.recovering is not None and now.recovering is None:
            reached["a replica recovered with a vote"] += 1
            reached["a replica recovered settled"] += self.state.floor.durable.floor > 0
        if name == "Write" and floor:
            reached["a late write was refused at a settled replica"] += "BelowFloor" in map(named, theirs)
            reached["the floor itself was acknowledged"] += event.message.held == Held(floor, None) and (
                "Acknowledgement" in map(named, theirs)
            )

    def refused(self, name: str, theirs: Exception, came: Any) -> None:
        assert isinstance(came, Exception), f"{name}: only the reference says {theirs}"
        assert f"{type(came).__name__}: {came}" == f"{type(theirs).__name__}: {theirs}", name
        self.reached[f"{name}: error" if not self.prefix else f"{self.prefix}error"] += 1

    def same_state(self) -> None:
        state = self.state
        if isinstance(state, handoff_catalog.State):
            assert self.core.state() == {
                "setting": replica_to_json(replicas.State(replicas.Durable(1, (), recovering=state.setting)))[
                    "recovering"
                ],
                "incarnations": [list(pair) for pair in state.incarnations],
                "proposed": f"{state.proposed:x}",
                "closed": sorted(state.closed),
                "converged": [list(pair) for pair in state.converged],
                "all_converged": f"{state.all_converged:x}",
                "void": state.void,
            }
        elif isinstance(state, handoff_floor.State):
            assert self.core.state() == floor_state(state)
        else:
            up = state.rows.volatile is not None
            assert self.core.up == up
            assert self.core.state() == replica_to_json(state.rows) | floor_state(state.floor, up)
            keeper, durable = handoff_floor.FloorKeeper(), state.floor.durable
            for row in ROWS:
                there = state.rows.durable.held(row)
                assert self.core.held(row) == ours(there)
                assert self.core.answer(row) == ours(keeper.answer(durable, there))


class FloorMachine(RuleBasedStateMachine):
    """The catalog, the replicas and what is between them."""

    reached: ClassVar[Counter[str]]
    floor_rules: ClassVar[Rules]

    def __init__(self) -> None:
        super().__init__()
        self.heap: list[tuple[int | None, int, Any]] = []
        """(to, from, message), or (None, from, effect) for the catalog, or (to, 0, event) from it."""
        self.floor = FIRST_FLOOR
        self.lives: dict[int, int] = {}

    @initialize(size=st.integers(3, 5), write=st.integers(2, 3))
    def begin(self, size: int, write: int) -> None:
        ids = REPLICAS[:size]
        self.setting = Setting(ids, write, size, messages.Mode.EVENTUAL)
        self.lives = dict.fromkeys(ids, 1)
        replica = handoff_replica.FlooredReplica(reference_quorum.Rules(), self.floor_rules)
        self.replicas = {
            name: Node(
                replica,
                handoff_replica.first_state(name, self.setting),
                production.FlooredReplicaCore(ours(self.setting), name),
                self.reached,
            )
            for name in ids
        }
        for node in self.replicas.values():
            node.core.step(quorum.Start())
        keeper = handoff_floor.FloorKeeper(self.floor_rules)
        self.alone = Node(
            keeper,
            handoff_floor.State(self.setting, handoff_floor.Durable(1)),
            production.FloorCore(ours(self.setting), 1),
            self.reached,
            "a floor beside its rows: ",
        )
        incarnations = tuple(self.lives.items())
        self.catalog = Node(
            handoff_catalog.Catalog(self.floor_rules),
            handoff_catalog.State(self.setting, incarnations),
            production.FloorCatalog(ours(self.setting), incarnations),
            self.reached,
        )
        self.reached[f"{size} replicas"] += 1

    # --- carrying out ---------------------------------------------------------------------------------------

    def carry_out(self, name: int, effects: list[Any]) -> None:
        for effect in effects:
            match effect:
                case handoff_catalog.Tell():
                    self.heap.append((effect.to, 0, effect.what))
                case handoff_floor.SayClosed():
                    self.heap.append((None, name, handoff_catalog.Closed(name, effect.floor)))
                case handoff_floor.SayConverged():
                    life = self.life(name)
                    self.heap.append((None, name, handoff_catalog.Converged(name, effect.floor, life)))
                case messages.Send() | handoff_replica.SendFloor() if effect.to is not None:
                    self.heap.append((effect.to, name, effect.message))
        del self.heap[:-60]

    def life(self, name: int) -> int:
        incarnation: int = self.replicas[name].state.rows.durable.incarnation
        return incarnation

    def event_of(self, item: tuple[int | None, int, Any]) -> Any:
        _, sender, what = item
        if not sender:
            return what
        if isinstance(what, handoff_replica.AskPast | handoff_replica.Past | handoff_replica.RecoveredPast):
            return handoff_replica.Deliver(sender, what)
        return replicas.Deliver(what, sender)

    def arrive(self, item: tuple[int | None, int, Any]) -> None:
        to = item[0]
        if to is None:
            self.carry_out(0, self.catalog.take(item[2]))
        elif to in self.replicas:
            self.carry_out(to, self.replicas[to].take(self.event_of(item)))

    def drawn_node(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from(self.setting.replicas))

    # --- what happens ---------------------------------------------------------------------------------------

    @rule(data=st.data(), count=st.integers(1, 12), again=st.booleans())
    def deliver(self, data: st.DataObject, count: int, again: bool) -> None:
        for _ in range(min(count, len(self.heap))):
            at = data.draw(st.integers(0, len(self.heap) - 1))
            self.arrive(self.heap[at] if again else self.heap.pop(at))

    @rule(data=st.data(), again=st.integers(0, 1))
    def deliver_many(self, data: st.DataObject, again: int) -> None:
        """All that waits for one replica, at once; it may be told to start, which it did."""
        name = self.drawn_node(data)
        items = [item for item in self.heap if item[0] == name] + [(name, 0, replicas.Start())] * again
        self.heap = [item for item in self.heap if item[0] != name]
        if items:
            self.carry_out(name, self.replicas[name].take(*map(self.event_of, items)))

    @rule(steps=st.integers(1, 90), rounds=st.integers(1, 3), rise=st.booleans())
    def get_there(self, steps: int, rounds: int, rise: bool) -> None:
        """Most often all converge and settle at a floor, which may be a new one."""
        catalog = self.catalog.state
        if rise and (catalog.void or catalog.proposed == catalog.all_converged):
            self.propose(1, False)
        for _ in range(rounds):
            self.heap.clear()
            self.go_on(steps, True)

    @rule(steps=st.integers(1, 90), first=st.booleans())
    def go_on(self, steps: int, first: bool) -> None:
        """Everybody is up, asks, and hears: a floor gets somewhere."""
        for name, node in self.replicas.items():
            if node.state.rows.volatile is None:
                self.carry_out(name, node.take(replicas.Start()))
            self.carry_out(name, node.take(replicas.Ask()))
            if first:
                self.carry_out(0, self.catalog.take(handoff_catalog.Ask(name)))
        for _ in range(steps):
            if not self.heap:
                break
            self.arrive(self.heap.pop(0))

    @rule(rise=st.sampled_from((1, 1, 3, 1 << 65)), low=st.booleans())
    def propose(self, rise: int, low: bool) -> None:
        floor = self.catalog.state.proposed
        floor = FIRST_FLOOR if not floor else floor + (-1 if low and rise == 3 else rise)
        if floor < 1 << 127:
            self.carry_out(0, self.catalog.take(handoff_catalog.ProposeFloor(floor)))

    def draw_held(self, data: st.DataObject) -> Held:
        floor = self.catalog.state.proposed or FIRST_FLOOR
        version = floor + data.draw(st.sampled_from((-3, -2, -1, -1, 0, 1, 2)))
        return Held(version, data.draw(st.sampled_from(VALUES)))

    @rule(data=st.data(), row=st.sampled_from(ROWS), everywhere=st.booleans(), epoch=st.integers(0, 2))
    def write(self, data: st.DataObject, row: int, everywhere: bool, epoch: int) -> None:
        held = self.draw_held(data)
        names = self.setting.replicas if everywhere else (self.drawn_node(data),)
        for name in names:
            self.replicas[name].take(
                replicas.Deliver(messages.Write(1, 0 if epoch == 2 else epoch, row, held))
            )

    @rule(data=st.data(), row=st.sampled_from(ROWS), epoch=st.integers(0, 1))
    def query(self, data: st.DataObject, row: int, epoch: int) -> None:
        self.replicas[self.drawn_node(data)].take(replicas.Deliver(messages.Query(1, epoch, row)))

    @rule(data=st.data(), late=st.integers(0, 2))
    def purge(self, data: st.DataObject, late: int) -> None:
        """Then something comes late, or the floor itself."""
        node = self.replicas[self.drawn_node(data)]
        node.take(handoff_replica.Purge())
        floor = node.state.floor.durable.floor
        if late and floor:
            held = Held(floor - 1, b"late") if late == 1 else Held(floor, None)
            for row in ROWS:
                node.take(replicas.Deliver(messages.Write(1, 0, row, held)))

    @rule(data=st.data(), rows=st.sets(st.sampled_from(ROWS)))
    def merge(self, data: st.DataObject, rows: set[int]) -> None:
        pairs = tuple((row, self.draw_held(data)) for row in sorted(rows))
        twice = pairs + pairs[:1]
        self.replicas[self.drawn_node(data)].take(handoff_replica.Merge(twice))

    @rule(data=st.data(), back=st.booleans())
    def crash(self, data: st.DataObject, back: bool) -> None:
        node = self.replicas[self.drawn_node(data)]
        node.take(replicas.Crash())
        if back:
            node.take(replicas.Start())
            return
        message = handoff_replica.AskPast(FIRST_FLOOR, 1), handoff_replica.Past(FIRST_FLOOR, 1, ())
        for event in (*(handoff_replica.Deliver(1, one) for one in message), handoff_replica.Merge(())):
            node.take(event)

    @rule(data=st.data(), wrong=st.integers(0, 7))
    def lose_disk(self, data: st.DataObject, wrong: int) -> None:
        """Now and then with what the catalog did not say, or while the process is up."""
        name = self.drawn_node(data)
        node = self.replicas[name]
        if wrong != 1 and node.state.rows.volatile is not None:
            node.take(replicas.Crash())
        life = self.lives[name] = self.lives[name] + (wrong != 2)
        self.catalog.take(handoff_catalog.LostDisk(name, life))
        proposed = self.catalog.state.proposed
        if wrong == 3:
            proposed = max(0, node.state.floor.durable.closed - 1)
        setting = dataclasses.replace(self.setting, replicas=(STRANGER,), write_quorum=1, read_quorum=1)
        start = replicas.StartEmpty(
            setting if wrong == 4 else self.setting, tuple(self.catalog.state.incarnations), wrong // 6
        )
        self.carry_out(name, node.take(handoff_replica.LostDisk(start, proposed)))

    @rule(data=st.data(), what=st.integers(0, 21))
    def foul(self, data: st.DataObject, what: int) -> None:
        """What nobody in this world would do."""
        name, held = self.drawn_node(data), self.draw_held(data)
        other = data.draw(st.sampled_from((*self.setting.replicas, STRANGER)))
        node, floor, life = self.replicas[name], self.catalog.state.proposed, self.life(name)
        closed: int = node.state.floor.durable.closed
        exchanged = messages.Exchanged(0, life, ((7, held),), ((name, life),))
        to_replica: tuple[Any, ...] = (
            replicas.Deliver(exchanged, other),
            replicas.StartEmpty(self.setting, ((name, 9),)),
            handoff_floor.Propose(0),
            handoff_floor.Propose(1 << 128),
            handoff_floor.AllClosed(-1),
            handoff_floor.AllClosed(max(1, closed - 1)),
            handoff_floor.AllConverged(0),
            handoff_replica.Deliver(
                other, handoff_replica.Past(max(1, closed), life, ((7, held), (7, held)))
            ),
            handoff_replica.Deliver(other, handoff_replica.Past(max(1, closed), life + 1, ((7, held),))),
            handoff_replica.Deliver(STRANGER, handoff_replica.Past(max(1, closed), life, ((7, held),))),
            handoff_replica.Deliver(other, handoff_replica.RecoveredPast(exchanged, floor)),
            handoff_replica.Deliver(other, handoff_replica.AskPast(closed + 1, life)),
            replicas.Start(),
            handoff_floor.AllConverged(max(1, closed)),
            replicas.Deliver(messages.Exchange(0, ((other, 3),)), None),
            replicas.Deliver(messages.Write(1, 9, -1, Held(1 << 127))),
            replicas.Deliver(messages.OldEpoch(1, 3), other),
        )
        to_catalog: tuple[Any, ...] = (
            handoff_catalog.Closed(other, floor),
            handoff_catalog.Converged(other, floor, self.lives.get(other, 1)),
            handoff_catalog.Converged(other, floor, self.lives.get(other, 1) - 1),
            handoff_catalog.LostDisk(other, 1),
            handoff_catalog.Ask(other),
        )
        if what in (2, 3, 4, 6, 15) and node.state.rows.volatile is None:
            node.take(replicas.Start())  # One mistake at a time: production sees this one when it is made.
        if what < len(to_replica):
            node.take(to_replica[what])
        else:
            self.catalog.take(to_catalog[what - len(to_replica)])

    @rule(data=st.data(), what=st.lists(st.sampled_from("ppaammmmmmcclrx"), min_size=1, max_size=9))
    def beside(self, data: st.DataObject, what: list[str]) -> None:
        """A floor without its rows takes any event in any order."""
        for kind in what:
            self.take_alone(data, kind)

    def take_alone(self, data: st.DataObject, what: str) -> None:
        durable = self.alone.state.durable
        floor = max(FIRST_FLOOR, durable.closed) + data.draw(st.sampled_from((-1, 0, 0, 0, 0, 1)))
        other = data.draw(st.sampled_from((*self.setting.replicas, STRANGER)))
        event: Any = {
            "p": handoff_floor.Propose(floor),
            "a": handoff_floor.AllClosed(floor),
            "m": handoff_floor.Merged(other),
            "c": handoff_floor.AllConverged(floor),
            "l": handoff_floor.LostDisk(floor),
            "r": handoff_floor.Recovered(data.draw(st.sampled_from((0, floor, -1)))),
            "x": handoff_floor.Crash(),
        }[what]
        self.alone.take(event)
        held, sent, core = self.draw_held(data), self.draw_held(data), self.alone.core
        held = data.draw(st.sampled_from((held, messages.NOTHING, sent)))
        keeper, durable = self.alone.machine, self.alone.state.durable
        for one in (sent, Held(durable.converged, None), Held(durable.closed, b"v")):
            assert core.admits(ours(held), ours(one)) == keeper.admits(durable, held, one)
            assert core.admits_backup(ours(held), ours(one)) == keeper.admits_backup(durable, held, one)
        assert core.answer(ours(held)) == ours(keeper.answer(durable, held))


def explore(examples: int, steps: int, seed: int = SEED, wrong: Rules | None = None) -> Counter[str]:
    """So many runs of so many rules, the same for the same seed; what they reached."""
    reached: Counter[str] = Counter()
    kind = type("FloorMachine", (FloorMachine,), {"reached": reached, "floor_rules": wrong or Rules()})
    run_machine(kind, examples, steps, seed, shrink=False)
    return reached


@pytest.fixture(scope="module")
def reached() -> Counter[str]:
    """Of one seed, and of more where a state was missed, as for quorums."""
    found: Counter[str] = Counter()
    for number in range(SEED, SEED + 12):
        found += explore(200, 50, number)
        if all(found[what] for what in REQUIRED):
            break
    return found


def test_production_takes_the_steps_of_the_reference(reached: Counter[str]) -> None:
    assert sum(count for what, count in reached.items() if ": " in what) > 10_000


def test_the_interesting_states_were_reached(reached: Counter[str]) -> None:
    assert sorted(what for what in REQUIRED if not reached[what]) == []


class TakesBelow(Rules):
    def takes(self, closed: int, converged: int, held: Held, sent: Held) -> bool:
        return sent.version <= held.version or sent.version >= closed


class RefusesTheFloor(Rules):
    def takes(self, closed: int, converged: int, held: Held, sent: Held) -> bool:
        return sent.version <= held.version or sent.version > closed


class AbsentIsNothing(Rules):
    def absent_as(self, floor: int) -> Held:
        return Held()


class MergesEarly(Rules):
    def may_converge(self, all_closed: int, floor: int) -> bool:
        return True


class ConvergesWithFewer(Rules):
    def has_converged(self, setting: Setting, merged: frozenset[int]) -> bool:
        return len(merged) >= setting.size - 2


class SettlesAlone(Rules):
    def may_settle(self, converged: int, all_converged: int, floor: int) -> bool:
        return converged == floor


class PurgesTheFloorNot(Rules):
    def may_purge(self, floor: int, held: Held) -> bool:
        return held.value is None and held.version < floor


class NeverVoid(Rules):
    def is_void(self, proposed: int, all_converged: int) -> bool:
        return False


class PurgesValues(Rules):
    def may_purge(self, floor: int, held: Held) -> bool:
        return held.version <= floor


class BelievesTheFloor(Rules):
    def believes_backup(self, closed: int, held: Held) -> bool:
        return held.version >= closed


WRONG = [
    TakesBelow,
    RefusesTheFloor,
    AbsentIsNothing,
    MergesEarly,
    ConvergesWithFewer,
    SettlesAlone,
    PurgesTheFloorNot,
    NeverVoid,
    PurgesValues,
    BelievesTheFloor,
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda rules: rules.__name__)
def test_a_wrong_rule_on_one_side_is_noticed(wrong: type[Rules]) -> None:
    """So that the same steps on both sides mean something."""
    with pytest.raises(AssertionError):
        explore(600, 50, wrong=wrong())  # It ends at the first difference.


def test_the_same_seed_gives_the_same_runs() -> None:
    one, two, other = (explore(5, 20, seed) for seed in (5, 5, 6))
    assert one == two
    assert one != other
