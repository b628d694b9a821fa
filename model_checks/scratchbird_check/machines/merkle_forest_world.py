"""Three replicas with forests under every fault at once: late writes, floors, crashes, lost messages."""

from __future__ import annotations

import random
from collections import Counter

from scratchbird_check.machines.merkle_forest_pair import SETTING, ForestRun, Pair, at
from scratchbird_reference import handoff_catalog as catalogs
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import Rules
from scratchbird_reference.quorum_messages import Held, Send, Write


class ForestWorld:
    """Three replicas, the catalog, late writes, floors, crashes, and exchanges of which messages are lost."""

    def __init__(self, seed: int, rules: Rules | None = None) -> None:
        self.dice = random.Random(seed)
        self.runs = {name: ForestRun(name, rules) for name in SETTING.replicas}
        self.pairs = {
            (one, two): Pair(self.runs[one], self.runs[two])
            for one in SETTING.replicas
            for two in SETTING.replicas
            if one != two
        }
        self.asks: dict[tuple[int, int], exchanges.Ask] = {}
        self.promised: dict[tuple[int, int], list[tuple[int, int]]] = {}
        self.catalog = catalogs.State(SETTING, tuple((name, 1) for name in SETTING.replicas))
        self.post: list[tuple[int, forests.Event]] = []
        self.writes: list[Write] = []
        self.now = 1
        self.counts: Counter[str] = Counter()

    def at(self, name: int, event: forests.Event) -> None:
        for effect in self.runs[name](event):
            match effect:
                case floors.SayClosed(floor):
                    self.register(catalogs.Closed(name, floor))
                case floors.SayConverged(floor):
                    self.register(catalogs.Converged(name, floor, 1))
                case handoff_replica.SendFloor(to, message) if to is not None:
                    assert not isinstance(message, handoff_replica.BelowFloor)
                    self.post.append((to, handoff_replica.Deliver(name, message)))
                case Send():
                    self.counts["acknowledged"] += 1

    def register(self, event: catalogs.Event) -> None:
        self.catalog, told = catalogs.Catalog().step(self.catalog, event)
        self.post.extend((tell.to, tell.what) for tell in told)

    def deliver(self) -> None:
        if self.post:
            self.at(*self.post.pop(0))

    def write(self) -> None:
        self.now += self.dice.randrange(3)
        late = self.dice.randrange(min(self.now, 15)) if self.dice.random() < 0.2 else 0
        number = len(self.writes) + 1
        version, row = at(self.now - late, number), self.dice.randrange(30)
        asked = self.dice.sample(SETTING.replicas, 2)
        if version <= max(self.effective(name, row) for name in asked):
            return
        value = None if self.dice.random() < 0.4 else b"%d" % number
        self.writes.append(Write(number, 0, row, Held(version, value)))
        for name in SETTING.replicas:
            if self.dice.random() < 0.6:
                self.at(name, quorum_replica.Deliver(self.writes[-1]))

    def effective(self, name: int, row: int) -> int:
        return self.runs[name].forests.effective(self.runs[name].state, row).version

    def exchange(self, which: tuple[int, int]) -> None:
        pair = self.pairs[which]
        if pair.driving is None:
            self.told(which, pair.begin())
            return
        ask = self.asks[which]
        reply = pair.answer(ask.question)
        if isinstance(reply, messages.Opened):
            stable = min(reply.stable, pair.one.state.forest.stable)
            self.promised[which] = [
                (row, held.version)
                for run in (pair.one, pair.two)
                for row, held in run.state.replica.rows.durable.rows
                if held.version <= stable
            ]
        if self.dice.random() < 0.2:
            return
        self.told(which, pair.drive(exchanges.Deliver(reply)))

    def told(self, which: tuple[int, int], effect: exchanges.Effect | None) -> None:
        if isinstance(effect, exchanges.Ask):
            self.asks[which] = effect
        elif isinstance(effect, exchanges.Failed):
            self.counts["failed"] += 1
        elif isinstance(effect, exchanges.Succeeded):
            self.counts["succeeded"] += 1
            self.counts["moved"] += effect.moved
            for row, version in self.promised[which]:
                assert min(self.effective(name, row) for name in which) >= version

    def crash(self, name: int) -> None:
        self.at(name, quorum_replica.Crash())
        self.at(name, quorum_replica.Start())
        for (one, two), pair in self.pairs.items():
            if one == name:
                pair.driving = None
            if two == name:
                pair.answering = exchanges.Answering()

    def floor(self) -> None:
        proposed = at(max(1, self.now - self.dice.randrange(8, 20)), 1 << 30)
        is_ready = self.catalog.proposed == self.catalog.all_converged and proposed > self.catalog.proposed
        if is_ready and self.dice.random() < 0.3:
            self.register(catalogs.ProposeFloor(proposed))
        else:
            self.register(catalogs.Ask(self.dice.choice(SETTING.replicas)))

    def step(self) -> None:
        name = self.dice.choice(SETTING.replicas)
        match self.dice.randrange(12):
            case 0 | 1:
                self.write()
            case 2 if self.writes:
                self.at(name, quorum_replica.Deliver(self.dice.choice(self.writes)))
            case 3:
                self.at(name, forests.Advance(at(max(1, self.now - self.dice.randrange(4)))))
            case 4 | 5 | 6 | 7:
                self.exchange(self.dice.choice(sorted(self.pairs)))
            case 8:
                self.floor()
            case 9 | 10:
                for _ in range(4):
                    self.deliver()
            case 11 if self.dice.random() < 0.3:
                self.at(name, handoff_replica.Purge())
            case 11 if self.dice.random() < 0.1:
                self.crash(name)
            case 11:
                self.runs[name].clean()

    def check(self) -> None:
        for name, run in self.runs.items():
            forest, rows = run.state.forest, dict(run.state.replica.rows.durable.rows)
            floor = run.state.replica.floor.durable.floor
            for row, entry in forest.entries:
                assert entry.version <= min(forest.stable, self.effective(name, row))
            for row, held in rows.items():
                if held.version <= forest.stable:
                    purged = held.value is None and held.version <= floor
                    assert run.shown(row) == (0 if purged else held.version)

    def end(self) -> None:
        """No new writes: all settle and purge, and every two exchange."""
        for pair in self.pairs.values():
            if pair.driving is not None:
                pair.drive(exchanges.Stop())
        for _ in range(4):
            for name in SETTING.replicas:
                self.register(catalogs.Ask(name))
            while self.post:
                self.deliver()
        for name in SETTING.replicas:
            self.at(name, handoff_replica.Purge())
            self.at(name, forests.Advance(at(self.now + 50)))
        for _ in range(2):
            for pair in self.pairs.values():
                assert isinstance(pair.exchange(), exchanges.Succeeded)


def run_to_the_end(seed: int, rules: Rules | None = None) -> ForestWorld:
    world = ForestWorld(seed, rules)
    for _ in range(250):
        world.step()
        world.check()
    world.end()
    assert all(pair.same for pair in world.pairs.values())
    return world
