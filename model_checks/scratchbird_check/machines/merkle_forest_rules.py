"""The rules of the forest's state machine: three replicas take writes, late ones too, and exchange.

A rule that writes many rows draws them from a seed, so that a run of thousands of rows is a few drawn
numbers."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from scratchbird_check.machines.merkle_forest_onlooker import Onlooker, effective
from scratchbird_check.machines.merkle_forest_pair import GRACE_MS, at
from scratchbird_check.machines.merkle_forest_sides import Ended, Side, Written
from scratchbird_reference.merkle_forest import MS_SHIFT, Shape
from scratchbird_reference.merkle_forest_messages import Bounds

NAMES = (1, 2, 3)
PAIRS = tuple(permutations(NAMES, 2))
ROUND = ((1, 2), (2, 3), (3, 1))
"""Each two once."""
FEW_ROWS = 100
LOOKS = 6
"""With more rows only each of so many looks is taken: what it demands holds across those left out."""
LAST = (1 << MS_SHIFT) - 1
"""The number of a floor within its millisecond: no write has it."""
seeds = st.integers(0, 1 << 30)
names = st.sampled_from(NAMES)
pairs = st.sampled_from(PAIRS)
counts = st.sampled_from((1, 1, 2, 4, 10, 40, 150))
ago = st.sampled_from((0, 0, 1, 3, 12, 30))


@dataclass(slots=True)
class Setup:
    """What a machine drives, and what it found."""

    make: Callable[[int, Shape, Bounds], Side]
    demanded: tuple[str, ...] = ()
    """The promises that are judged; all of them if empty."""
    rows: tuple[int, ...] = (60,)
    """How many a run has: one of these."""
    reached: Counter[str] = field(default_factory=Counter)
    failed: Any = None
    """The run that failed: after shrinking, the smallest one."""


@dataclass(slots=True)
class Exchange:
    """One that is under way, as the world knows it."""

    number: int
    question: Any
    before: tuple[Mapping[int, Written], ...] = ()
    """What both held, and what both showed, when it was opened."""
    healthy: bool = False
    """Whether all had taken all writes then."""
    overwritten: bool = False
    moves: set[str] = field(default_factory=set)


class ForestMachine(RuleBasedStateMachine):
    """Three replicas, what was written, exchanges and an onlooker."""

    setup: ClassVar[Setup]

    @initialize(
        window_ms=st.sampled_from((5, 20, 1000)),
        leaf=st.sampled_from((1, 2, 8)),
        bounds=st.sampled_from((Bounds(), Bounds(), Bounds(7, 600), Bounds(1, 1))),
        rows=st.integers(0, 999),
    )
    def begin(self, window_ms: int, leaf: int, bounds: Bounds, rows: int) -> None:
        self.rows = self.setup.rows[rows % len(self.setup.rows)]
        self.reached = self.setup.reached
        shape = Shape(window_ms=window_ms, most_in_leaf=leaf)
        self.sides = {name: self.setup.make(name, shape, bounds) for name in NAMES}
        self.onlooker = Onlooker(self.setup.demanded, GRACE_MS, self._failed)
        self.exchanges: dict[tuple[int, int], Exchange] = {}
        self.log: list[tuple[str, str]] = []
        self.newest: dict[int, Written] = {}
        """Of each row: the oracle."""
        self.late: list[tuple[int, Written, int]] = []
        """Row, what was written, and who did not take it yet."""
        self.now, self.number, self.floor = 10, 0, 0
        self.converged = set(NAMES)
        """Who has merged what the others hold, for the floor that is closed."""

    # --- writes ---------------------------------------------------------------------------------------------

    @rule(
        seed=seeds, count=counts, takes=st.sampled_from((NAMES, NAMES, (1, 2), (2, 3), (1,), (3,))), old=ago
    )
    def write(self, seed: int, count: int, takes: tuple[int, ...], old: int) -> None:
        """Clients write some rows, by clocks that are a little slow; some replicas take them at once."""
        self._write(seed, count, takes, old)

    @rule(seed=seeds)
    def bulk(self, seed: int) -> None:
        """Every row, at all replicas but for a few rows that one of them misses."""
        dice = random.Random(seed)
        self._write(seed, self.rows, NAMES, 40, every=True)
        missing = dice.choice(NAMES)
        takes = tuple(name for name in NAMES if name != missing)
        self._write(seed + 1, 1 + dice.randrange(5), takes, 0)
        self.reached["every row was written"] += 1

    def _write(self, seed: int, count: int, takes: tuple[int, ...], old: int, *, every: bool = False) -> None:
        dice = random.Random(seed)
        self.now += dice.randrange(4)
        self._said("clients", f"write {count} rows, taken by {takes}")
        for place in range(count):
            row = place if every else dice.randrange(self.rows)
            self.number += 1
            version = at(max(1, self.now - dice.randrange(old + 1) + dice.randrange(2)), self.number)
            held = max(effective(side.rows(), row, side.floor) for side in self.sides.values())
            if version <= max(held, self.newest.get(row, (0, None))[0], self.floor):
                self.reached["a write was too old"] += 1
                continue  # Its clock is behind what its coordinator saw.
            written = version, None if dice.random() < 0.3 else b"%d" % self.number
            self.onlooker.written(row, written)
            if row in self.newest:
                self.reached["a row was overwritten"] += 1
            self.newest[row] = written
            for name in NAMES:
                if name in takes:
                    self._take(name, row, written)
                else:
                    self.late.append((row, written, name))
            for exchange in self.exchanges.values():
                exchange.overwritten = True
        self._looked(*takes)

    def _take(self, name: int, row: int, written: Written) -> None:
        side = self.sides[name]
        amendments = side.amendments() if len(self.late) < 40 else {}
        side.write(row, written)
        if written[0] > side.stable:
            self.reached["a write waited above the stable time"] += 1
        elif amendments and side.amendments() != amendments:
            self.reached["a sealed window was amended"] += 1

    @rule(seed=seeds, count=counts)
    def hints(self, seed: int, count: int) -> None:
        """Hints arrive late, in any order, some of rows that are held newer by now."""
        self._hints(seed, count)

    def _hints(self, seed: int, count: int) -> None:
        dice = random.Random(seed)
        for _ in range(min(count, len(self.late))):
            row, written, name = self.late.pop(dice.randrange(len(self.late)))
            if written[0] > self.sides[name].closed:
                self._take(name, row, written)
                self._said(f"r{name}", "takes a late hint")
                self.reached["a hint arrived late"] += 1
        self._looked(*NAMES)

    # --- time -----------------------------------------------------------------------------------------------

    @rule(name=names, behind=st.sampled_from((0, 1, 5, 20)))
    def advance(self, name: int, behind: int) -> None:
        """A replica's stable time follows its clock."""
        self._advance(name, behind)
        self._looked(name)

    def _advance(self, name: int, behind: int) -> None:
        side = self.sides[name]
        stable = at(max(1, self.now - behind), LAST)
        if stable > side.stable:
            self._said(f"r{name}", f"its stable time is {max(1, self.now - behind)}")
            side.advance(stable)

    @rule(passed=st.sampled_from((1, 8, 30, 400)), who=st.sampled_from((NAMES, NAMES, (1, 2), (3,), ())))
    def time_passes(self, passed: int, who: tuple[int, ...]) -> None:
        """Windows end, and are sealed; the stable times of some follow."""
        self.now += passed
        for name in who:
            self._advance(name, 0)
        self._looked(*who)

    @rule(name=names)
    def rehash(self, name: int) -> None:
        """There is time to hash all dirty windows."""
        side = self.sides[name]
        side.rehash()
        self.onlooker.clean(side)
        for other in self.sides.values():
            if other is not side and not other.dirty():
                self.onlooker.compare(side, other)
                self.reached["two clean forests were compared"] += 1

    @rule(name=names)
    def crash(self, name: int) -> None:
        """A process ends and another begins, with what was durable."""
        self._crash(name)

    def _crash(self, name: int) -> None:
        self._said(f"r{name}", "crashes and starts")
        side = self.sides[name]
        if side.dirty():
            self.reached["a replica crashed with dirty windows"] += 1
        for pair in list(self.exchanges):
            if pair[0] == name:
                del self.exchanges[pair]
                self.reached["the side that drove an exchange crashed"] += 1
            elif pair[1] == name:
                self.reached["the side that answered crashed"] += 1
        side.crash()
        self._looked(name)

    @rule(rarely=st.integers(0, 2))
    def reshape(self, rarely: int) -> None:
        """All forests are built anew in another setting, when no exchange is under way."""
        if rarely != 1:
            return
        for driver, _ in list(self.exchanges):
            self.sides[driver].stop()
        self.exchanges.clear()
        self._reshape(NAMES)
        self.reached["forests were built anew"] += 1

    @rule(name=names, rarely=st.integers(0, 1), follow=st.booleans())
    def reshape_one(self, name: int, rarely: int, follow: bool) -> None:
        """One replica is sooner than the others: until they follow, exchanges are refused."""
        if rarely != 1:
            return
        for driver, other in list(self.exchanges):
            self.sides[driver].stop()
            del self.exchanges[driver, other]
        self._reshape((name,))
        self._exchange((name, name % len(NAMES) + 1))
        if follow:
            for side in self.sides.values():
                if side.shape != self.sides[name].shape:
                    side.reshape(self.sides[name].shape)
            self._looked(*NAMES)

    def _reshape(self, who: tuple[int, ...]) -> None:
        number = 1 + max(side.shape.number for side in self.sides.values())
        for name in who:
            self._said(f"r{name}", f"builds its forest anew: setting {number}")
            self.sides[name].reshape(Shape(number, 3 + 7 * (number % 4), 1 + number % 5))
            self._looked(name)

    # --- floors ---------------------------------------------------------------------------------------------

    @rule(behind=st.sampled_from((3, 10, 40)), who=st.sampled_from((NAMES, NAMES, (1,), (2, 3), ())))
    def close(self, behind: int, who: tuple[int, ...]) -> None:
        """A floor is closed by all, and some converge at it."""
        self._close(behind, who)

    def _close(self, behind: int, who: tuple[int, ...]) -> None:
        floor = at(self.now - behind, LAST) if self.now > behind else 0
        if floor <= self.floor:
            return
        for name in NAMES:  # A floor is far below all stable times, and follows one that is done with.
            self._converge(name)
        for name in NAMES:
            self._settle(name, False)
            self._advance(name, 0)
        self.floor = floor
        self.converged = set()
        self._said("catalog", f"all close the floor {self.now - behind}")
        for side in self.sides.values():
            side.close(floor)
        if self.exchanges:
            self.reached["a floor was closed during an exchange"] += 1
        for name in who:
            self._converge(name)
        self._looked(*NAMES)

    @rule(name=names)
    def converge(self, name: int) -> None:
        """A replica merges what the others hold."""
        self._converge(name)
        self._looked(name)

    def _converge(self, name: int) -> None:
        if name in self.converged:
            return
        others = {other: dict(side.rows()) for other, side in self.sides.items() if other != name}
        self.sides[name].converge(others)
        self.converged.add(name)
        self._said(f"r{name}", "converges")
        self.reached["replicas converged one after another"] += 0 < len(self.converged) < len(NAMES)

    @rule(name=names, purges=st.booleans())
    def settle(self, name: int, purges: bool) -> None:
        """A replica hears that all have converged, and may purge."""
        self._settle(name, purges)

    def _settle(self, name: int, purges: bool) -> None:
        side = self.sides[name]
        if side.floor < self.floor and len(self.converged) == len(NAMES):
            before = len(side.entries())
            side.settle()
            self.onlooker.settled(side)
            self._said(f"r{name}", "settles")
            self.reached["a replica settled"] += 1
            if len(side.entries()) < before:
                self.reached["a floor took entries out"] += 1
        if purges:
            before = len(side.rows())
            side.purge()
            if len(side.rows()) < before:
                self.reached["a tombstone was purged"] += 1
        self._looked(name)

    # --- exchanges ------------------------------------------------------------------------------------------

    @rule(pair=pairs, seed=seeds, lacks=st.sampled_from((0, 0, 1, 3, 12)), old=ago)
    def exchange(self, pair: tuple[int, int], seed: int, lacks: int, old: int) -> None:
        """A whole one, or the rest of one; each side may lack some rows that the other one took."""
        if lacks:
            self._write(seed, lacks, pair[:1], old)
            self._write(seed + 1, lacks, pair[1:], old)
            self._advance(pair[seed % 2], seed % 3)
        self._exchange(pair)

    def _exchange(self, pair: tuple[int, int]) -> None:
        is_whole = pair not in self.exchanges
        self._begin(pair)
        before = self.reached["successes"]
        while pair in self.exchanges:
            self._ask(pair)
        self._looked(*pair)
        if is_whole and self.reached["successes"] > before:
            self.onlooker.quiet(self.sides[pair[0]], self.sides[pair[1]])

    @rule(
        pair=pairs,
        steps=st.sampled_from((1, 1, 2, 2, 3, 4)),
        fault=st.sampled_from((None, None, "lost", "twice", "stop", "stop")),
    )
    def some_messages(self, pair: tuple[int, int], steps: int, fault: str | None) -> None:
        """An exchange begins or goes on for some messages; of the last one a fault may become."""
        self._begin(pair)
        for step in range(steps):
            if pair in self.exchanges:
                self._ask(pair, fault if step == steps - 1 else None)
        self._looked(*pair)

    @rule(
        pair=pairs,
        steps=st.integers(1, 4),
        what=st.sampled_from(
            ("writes", "writes", "one crashes", "other crashes", "closes", "hints", "settles")
        ),
        seed=seeds,
        fault=st.sampled_from((None, None, "lost", "twice")),
    )
    def meanwhile(self, pair: tuple[int, int], steps: int, what: str, seed: int, fault: str | None) -> None:
        """An exchange of two that lack something, in the middle of which something else happens."""
        self._write(seed + 7, 2, pair[:1], 3)
        self._write(seed + 8, 2, pair[1:], 3)
        self._advance(pair[0], 0)
        self._begin(pair)
        for step in range(steps):
            if pair in self.exchanges:
                self._ask(pair, fault if step == steps - 1 else None)
        match what:
            case "writes":
                self._write(seed, 4, NAMES, 2)
            case "hints":
                self._hints(seed, 10)
            case "closes":
                self._close(5, NAMES)
            case "settles":
                self._settle(pair[seed % 2], True)
            case _:
                self._crash(pair[what == "other crashes"])
        while pair in self.exchanges:
            self._ask(pair)
        self._looked(*pair)

    def _begin(self, pair: tuple[int, int]) -> None:
        one, other = self.sides[pair[0]], pair[1]
        if pair in self.exchanges or one.driving is not None:
            return
        self.number += 1
        self._said(f"r{pair[0]}", f"begins exchange {self.number} with r{other}")
        self.exchanges[pair] = Exchange(self.number, one.begin(self.number, other))

    def _ask(self, pair: tuple[int, int], fault: str | None = None) -> None:
        """The question arrives, and the reply; one of them is lost, or they come twice."""
        exchange, (one, other) = self.exchanges[pair], (self.sides[pair[0]], self.sides[pair[1]])
        kind = type(exchange.question).__name__
        self._said(f"r{pair[0]}", f"asks r{pair[1]}: {kind}{', ' + fault if fault else ''}")
        opens = kind == "Open"
        if kind in ("AskRows", "Give"):
            exchange.moves.add(kind)
        if getattr(exchange.question, "in_full", False):
            self.reached["nodes were asked for in full"] += 1
        reply = other.asked(exchange.question)
        if opens and not exchange.before:
            self._opened(exchange, one, other)
        if fault == "twice":
            reply = other.asked(exchange.question)
            self.reached["a question came twice"] += 1
        if fault == "lost":
            self.reached["a message was lost"] += 1
            exchange.question = one.again()
            return
        if fault == "stop":
            one.stop()
            del self.exchanges[pair]
            self.reached["an exchange was stopped"] += 1
            return
        self._replied(pair, one.replied(reply))
        if fault == "twice" and pair in self.exchanges:
            again = one.replied(reply)
            if again is not None:
                self._replied(pair, again)

    def _opened(self, exchange: Exchange, one: Side, other: Side) -> None:
        held = [dict(side.rows()) for side in (one, other)]
        exchange.before = (*held, self._shown(one), self._shown(other))
        newest = max((version for version, _ in held[0].values()), default=0)
        exchange.healthy = not self.late and held[0] == held[1] and newest <= min(one.stable, other.stable)
        exchange.overwritten = False

    def _shown(self, side: Side) -> Mapping[int, Written]:
        return {
            self.onlooker.row_at(place): (int.from_bytes(record[16:32], "big"), None)
            for place, record in side.entries().items()
        }

    def _replied(self, pair: tuple[int, int], said: Any) -> None:
        exchange = self.exchanges[pair]
        if said is None:
            return
        if not isinstance(said, Ended):
            exchange.question = said
            return
        del self.exchanges[pair]
        one, other = (self.sides[name] for name in pair)
        self._said(f"r{pair[0]}", f"exchange {exchange.number}: {said.reason or f'{said.moved} rows moved'}")
        if not said.succeeded:
            self.onlooker.demand("sound", "has not the digest" not in said.reason, said.reason)
            for words in ("setting", "floor", "closed", "not open"):
                if words in said.reason:
                    self.reached[f"an exchange failed: {words}"] += 1
            return
        self.onlooker.through(one, other, exchange.before, said)
        self.reached["successes"] += 1
        self.reached["an exchange moved rows" if said.moved else "an exchange moved nothing"] += 1
        if exchange.moves == {"AskRows", "Give"}:
            self.reached["rows went both ways"] += 1
        if exchange.overwritten:
            self.reached["an exchange succeeded, with writes meanwhile"] += 1
        elif exchange.healthy:
            self.reached["two healthy replicas exchanged"] += 1
            self.onlooker.demand(
                "healthy",
                not said.moved,
                f"r{pair[0]} and r{pair[1]} took the same writes, and moved {said.moved}",
            )

    # --- the end --------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """No new versions: all settle, and every two exchange again and again (R18)."""
        if hasattr(self, "sides") and self.setup.failed is not self:
            self._last_things()

    def _last_things(self) -> None:
        for driver, _ in list(self.exchanges):
            if self.sides[driver].driving is not None:
                self.sides[driver].stop()
        self.exchanges.clear()
        number = 1 + max(side.shape.number for side in self.sides.values())
        if len({side.shape for side in self.sides.values()}) > 1:
            for side in self.sides.values():
                side.reshape(Shape(number, 10, 2))
        for name in NAMES:
            self._converge(name)
        for name, side in self.sides.items():
            self._settle(name, True)
            side.advance(at(self.now + 1000))
        for pair in (*ROUND, *ROUND):
            self._exchange(pair)
        rows = [dict(side.rows()) for side in self.sides.values()]
        entries = [side.entries() for side in self.sides.values()]
        self.onlooker.demand("end", rows[0] == rows[1] == rows[2], "in the end replicas do not hold the same")
        self.onlooker.demand(
            "end", entries[0] == entries[1] == entries[2], "in the end they do not show the same"
        )
        for row, written in self.newest.items():
            lowest = min(
                effective(held, row, side.floor) for held, side in zip(rows, self.sides.values(), strict=True)
            )
            known = any(held.get(row) == written for held in rows) or written[0] <= self.floor
            taken = (row, written) not in {(late, what) for late, what, _ in self.late}
            self.onlooker.demand("end", lowest >= written[0] or not (known or taken), f"row {row} is lost")
        for side in self.sides.values():
            side.rehash()
            self.onlooker.look(side)
            self.onlooker.clean(side)
        before = self.reached["an exchange moved rows"]
        for pair in ROUND:
            self._exchange(pair)
        moved = self.reached["an exchange moved rows"] - before
        self.onlooker.demand("end", not moved, f"all hold the same, and {moved} exchanges moved rows")
        self.reached["all were the same in the end"] += 1
        if self.rows >= 1000 and len(entries[0]) > self.rows // 4:
            self.reached["thousands of rows were the same in the end"] += 1

    def _failed(self) -> None:
        self.setup.failed = self

    def _looked(self, *who: int) -> None:
        self.reached["steps"] += 1
        if self.rows > FEW_ROWS and self.reached["steps"] % LOOKS:
            return
        for name in who:
            self.onlooker.look(self.sides[name])

    def _said(self, lane: str, label: str) -> None:
        self.log.append((lane, label))
