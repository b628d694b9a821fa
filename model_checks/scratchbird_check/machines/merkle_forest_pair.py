"""A replica with a forest, and two of them that exchange: what runs and tests of the forest stand on."""

from __future__ import annotations

from dataclasses import dataclass, field

from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import MS_SHIFT, Entry, Rules, Shape
from scratchbird_reference.quorum_messages import Held, Setting, Write

SETTING = Setting((1, 2, 3), 2, 2)
SHAPE = Shape(window_ms=10, most_in_leaf=2)
GRACE_MS = 5


def at(ms: int, number: int = 0) -> int:
    """A version of this millisecond."""
    return (ms << MS_SHIFT) + number


def empty_forest(replica: int) -> forests.State:
    """A replica that has just been founded."""
    empty = handoff_replica.first_state(replica, SETTING)
    return forests.State(empty, forests.Durable(SHAPE, GRACE_MS))


class ForestRun:
    """A replica with a forest, step after step."""

    def __init__(self, replica: int = 1, rules: Rules | None = None) -> None:
        self.forests = forests.ForestReplica(rules=rules or Rules())
        self.state = empty_forest(replica)

    def __call__(self, *events: forests.Event) -> tuple[forests.Effect, ...]:
        effects: tuple[forests.Effect, ...] = ()
        for event in events:
            self.state, effects = self.forests.step(self.state, event)
        return effects

    def write(self, row: int, version: int, value: bytes | None = b"v") -> None:
        self(quorum_replica.Deliver(Write(1, 0, row, Held(version, value))))

    def settle(self, floor: int) -> None:
        """All others are empty."""
        replica = self.state.replica.rows.durable.replica
        others = [other for other in SETTING.replicas if other != replica]
        past = [handoff_replica.Deliver(other, handoff_replica.Past(floor, 1, ())) for other in others]
        self(floors.Propose(floor), floors.AllClosed(floor), *past, floors.AllConverged(floor))

    def clean(self) -> None:
        self(*[forests.Rehash(window) for window in sorted(self.state.forest.dirty)])

    def shown(self, row: int = 1) -> int:
        entry = self.state.forest.entry(row)
        return 0 if entry is None else entry.version

    def entry(self, row: int, version: int, value: bytes | None = b"v") -> Entry:
        return self.forests.rules.entry_of(row, Held(version, value))


@dataclass
class Pair:
    """Two replicas; the first one drives."""

    one: ForestRun
    two: ForestRun
    answering: exchanges.Answering = field(default_factory=exchanges.Answering)
    driving: exchanges.Driving | None = None
    number: int = 0
    asked: int = 0
    bounds: messages.Bounds = field(default_factory=messages.Bounds)

    def drive(
        self, event: exchanges.Begin | exchanges.Deliver | exchanges.Again | exchanges.Stop
    ) -> exchanges.Effect | None:
        driver = exchanges.Driver(self.one.forests, self.bounds)
        self.driving, self.one.state, effect = driver.step(self.driving, self.one.state, event)
        return effect

    def begin(self) -> exchanges.Effect | None:
        self.number += 1
        return self.drive(exchanges.Begin(self.number, 2))

    def answer(self, question: messages.Question) -> messages.Reply:
        self.asked += 1
        answerer = exchanges.Answerer(self.two.forests, bounds=self.bounds)
        self.answering, self.two.state, reply = answerer.step(self.answering, self.two.state, question)
        return reply

    def finish(self, effect: exchanges.Effect | None) -> exchanges.Succeeded | exchanges.Failed:
        while isinstance(effect, exchanges.Ask):
            effect = self.drive(exchanges.Deliver(self.answer(effect.question)))
        assert effect is not None
        assert self.driving is None
        return effect

    def exchange(self) -> exchanges.Succeeded | exchanges.Failed:
        return self.finish(self.begin())

    @property
    def same(self) -> bool:
        one, two = self.one.state, self.two.state
        rows = one.replica.rows.durable.rows == two.replica.rows.durable.rows
        return rows and one.forest.entries == two.forest.entries


def pair_of(rules: Rules | None = None, stable_ms: int = 100, bounds: messages.Bounds | None = None) -> Pair:
    both = Pair(ForestRun(1, rules), ForestRun(2, rules), bounds=bounds or messages.Bounds())
    both.one(forests.Advance(at(stable_ms)))
    return both
