"""The tie between proof and code for the forest: what the reference does is steps of what is proved.

Three replicas of the reference run at random, with late writes, floors, crashes and exchanges of which
messages are lost; one replica with one row meets what it may, so that each case comes soon; and two that
differ in some of many rows exchange, so that the descent goes through inner nodes. Each step is looked at as
the formulas see it: what one row becomes that is met, reached by the stable time, settled or purged; whether
a window is dirty, and how often it was amended; which children of a node are asked for, which rows of a leaf
are dealt with, and whether what was heard of a window is believed. Digests are the real ones, and told as
four bits, so that some are told alike. A wrong rule must be caught, and every kind of step must be met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

import z3

from scratchbird_check.context import Context
from scratchbird_check.machines.merkle_forest_pair import ForestRun, Pair, at
from scratchbird_check.machines.merkle_forest_world import ForestWorld
from scratchbird_check.manifest import Check
from scratchbird_check.ties import compiled
from scratchbird_check.ties.graph import TieBroken
from scratchbird_check.ties.steps import judged, runs_until_caught
from scratchbird_check.variants.merkle_forest import RIGHT, VARIANTS, Variant
from scratchbird_check.verdicts import Outcome
from scratchbird_proofs import merkle_forest as proof
from scratchbird_proofs import merkle_forest_sealing as sealing
from scratchbird_proofs.merkle_forest import Met, Rules
from scratchbird_reference import handoff_replica as replicas
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import quorum_replica
from scratchbird_reference.merkle_forest import Entry, Inner, Leaf, Shape, Tree
from scratchbird_reference.merkle_forest_replica import Advance, Event, ForestReplica, Meet, Rehash, State
from scratchbird_reference.quorum_messages import Held, Write

SHAPE = Shape(window_ms=10, most_in_leaf=proof.MOST_IN_LEAF)
MOVES = 100
"""Of one run of three replicas."""
MANY_ROWS = 90
"""Fewer are in the exchange of two that hold many; at least 40."""
KINDS = (
    *("a row is taken", "an entry is taken over", "nothing is needed", "the stable time rises"),
    *("a replica settles", "a row is purged", "a window changes", "a window is hashed", "a replica crashes"),
    *("a node is a leaf", "a node has children", "a window is confirmed", "a window is gone through again"),
)
CAUGHT = (
    *("refreshes_nothing", "takes_over_purged", "keeps_overtaken", "leaves_at_once", "refuses_for_sealed"),
    *("immutable", "forgets_dirt", "samples_active", "believes_short_digests"),
)
"""Wrong rules whose steps are none of what is proved."""

# --- formulas, as functions of values ---------------------------------------------------------------------

_ROW = proof.met()
_SENT_TOMBSTONE = z3.Bool("sent_tombstone")
_HELD, _ENTRY = z3.Ints("held_then entry_then")
_WINDOW = sealing.any_window()
_DIRTY, _AMENDMENTS = z3.Bool("dirty_then"), z3.Int("amendments_then")
_MINE, _THEIRS = (z3.Const(name, proof.DIGEST) for name in ("digest_mine", "digest_theirs"))


def _function(formula: Any, *names: Any) -> Callable[..., bool]:
    judge = compiled.function([str(name) for name in names], [formula])
    return lambda *values: judge(*values) == 0


_OF_A_ROW = tuple(
    getattr(_ROW, name)
    for name in ("held", "entry", "stable", "floor", "settled", "met", "sent", "tombstone")
)


def _becomes(then: Met) -> Any:
    return z3.And(then.held == _HELD, then.entry == _ENTRY)


@dataclass(frozen=True)
class Formulas:
    """The formulas of these rules, each as a function of values."""

    meets: Callable[..., bool]
    advances: Callable[..., bool]
    settles: Callable[..., bool]
    shown: tuple[tuple[str, Callable[..., bool]], ...]
    changes: Callable[..., bool]
    crashes: Callable[..., bool]
    is_leaf: Callable[..., bool]
    asks: Callable[..., bool]
    compares: Callable[..., bool]
    confirms: Callable[..., bool]


def formulas(rules: Rules, windows: sealing.Rules | None = None) -> Formulas:
    """Those of the proof, or of a wrong one."""
    then = (_HELD, _ENTRY)
    window = (_WINDOW.dirty, _WINDOW.sealed, _WINDOW.amendments)
    count, mine, theirs = z3.Ints("count entry_mine entry_theirs")
    becomes = {
        name: step(windows or sealing.Rules(), _WINDOW)
        for name, step in sealing.STEPS.items()
        if name in (sealing.AMENDS, "its replica crashes and starts again")
    }
    changed, crashed = becomes[sealing.AMENDS], becomes["its replica crashes and starts again"]
    return Formulas(
        _function(_becomes(proof.after(rules, _ROW)), *_OF_A_ROW, _SENT_TOMBSTONE, *then),
        _function(_becomes(proof.reached_by(_ROW)), *_OF_A_ROW, proof.later, *then),
        _function(_becomes(proof.settled_at(_ROW)), *_OF_A_ROW, proof.higher, proof.deletes, *then),
        tuple((name, _function(clause, *_OF_A_ROW)) for name, clause in proof.shown(_ROW).items()),
        _function(
            z3.And(changed.dirty == _DIRTY, changed.amendments <= _AMENDMENTS), *window, _DIRTY, _AMENDMENTS
        ),
        _function(crashed.dirty == _DIRTY, *window, _DIRTY),
        _function(rules.is_leaf(count), count, proof.depth),
        _function(rules.asks_below(_MINE, _THEIRS), _MINE, _THEIRS, proof.nothing),
        _function(rules.compares(mine, theirs), mine, theirs),
        _function(rules.confirms(_MINE, _THEIRS), _MINE, _THEIRS),
    )


@cache
def _right() -> Formulas:
    return formulas(Rules())


# --- one row, as the formulas see it ----------------------------------------------------------------------


def _row(state: State, row: int) -> dict[str, Any]:
    held, entry = state.replica.rows.durable.held(row), state.forest.entry(row)
    floor = state.replica.floor.durable.floor
    return {
        "held": held.version,
        "entry": 0 if entry is None else entry.version,
        "stable": state.forest.stable,
        "floor": floor,
        "settled": floor > 0,
        "met": 1,
        "sent": 0,
        "tombstone": held.version > 0 and held.value is None,
    }


def _rows_of(*states: State) -> set[int]:
    found: set[int] = set()
    for state in states:
        found |= {row for row, _ in (*state.replica.rows.durable.rows, *state.forest.entries)}
    return found


class Watch:
    """Looks at each step of replicas and of exchanges."""

    def __init__(self, given: Formulas) -> None:
        self.given = given
        self.met: Counter[str] = Counter()

    # --- replicas -----------------------------------------------------------------------------------------

    def replica(self, forests: ForestReplica, before: State, event: Event, after: State) -> None:
        """A step of a replica.

        :raises TieBroken: if it is none of the proof's.
        """
        match event:
            case Advance() if after != before:
                self._each(self.given.advances, before, after, after.forest.stable)
                self.met["the stable time rises"] += 1
            case Meet():
                self._meets(before, event, after)
            case replicas.Purge():
                for row in _rows_of(before) - {row for row, _ in after.replica.rows.durable.rows}:
                    if _row(before, row)["held"]:
                        self._same(f"the entry of row {row}, which is purged", before, after, row)
                        self.met["a row is purged"] += 1
            case quorum_replica.Crash():
                self._crashes(before, after)
            case Rehash(window) if after != before:
                told = forests.rules.window_digest(
                    after.forest.shape, window, forests.tree(after, window).digest()
                )
                if dict(after.forest.told).get(window, b"") != told or window in after.forest.dirty:
                    raise TieBroken(f"window {window} is hashed, and tells another digest or is dirty")
                self.met["a window is hashed"] += 1
        if after.replica.floor.durable.floor > before.replica.floor.durable.floor:
            self._settles(before, after)
        self._windows(forests, before, after)
        self._invariant(after)

    def _each(self, formula: Callable[..., bool], before: State, after: State, *more: Any) -> None:
        for row in _rows_of(before, after):
            then = _row(after, row)
            values = (*_row(before, row).values(), *more, then["held"], then["entry"])
            if not formula(*values):
                raise TieBroken(f"row {row} becomes {then}, from {_row(before, row)}")

    def _meets(self, before: State, event: Meet, after: State) -> None:
        row = event.entry.row
        sent = event.held.version if event.held is not None else 0
        was = {**_row(before, row), "met": event.entry.version, "sent": sent}
        then = _row(after, row)
        is_tombstone = event.held is not None and event.held.value is None
        if not self.given.meets(*was.values(), is_tombstone, then["held"], then["entry"]):
            raise TieBroken(f"row {row} is met by {was}, and becomes {then}")
        for other in _rows_of(before, after) - {row}:
            self._same(f"row {other}, while {row} is met", before, after, other)
        kinds = {"a row is taken": then["held"] > was["held"], "an entry is taken over": after != before}
        self.met[next((kind for kind, is_so in kinds.items() if is_so), "nothing is needed")] += 1

    def _settles(self, before: State, after: State) -> None:
        """Rows that came in the same step were merged before, and are left out."""
        floor = after.replica.floor.durable.floor
        for row in _rows_of(before, after):
            was, then, entry = _row(before, row), _row(after, row), before.forest.entry(row)
            if was["held"] != then["held"]:
                continue
            deletes = entry is not None and entry.deletes
            if not self.given.settles(*was.values(), floor, deletes, then["held"], then["entry"]):
                raise TieBroken(f"row {row} becomes {then} when its replica settles at {floor}, from {was}")
        self.met["a replica settles"] += 1

    def _same(self, what: str, before: State, after: State, row: int) -> None:
        if before.forest.entry(row) != after.forest.entry(row):
            raise TieBroken(f"{what}: {before.forest.entry(row)} becomes {after.forest.entry(row)}")

    def _invariant(self, state: State) -> None:
        for row in _rows_of(state):
            values = _row(state, row)
            for name, clause in self.given.shown:
                if not clause(*values.values()):
                    raise TieBroken(f"{name}: not of row {row}, {values}")

    # --- windows ------------------------------------------------------------------------------------------

    def _windows(self, forests: ForestReplica, before: State, after: State) -> None:
        """Windows that change become dirty, and are counted if they are sealed."""
        shape = after.forest.shape
        was, then = dict(before.forest.entries), dict(after.forest.entries)
        changed = {
            forests.rules.window_of(shape, entry.version)
            for row in was.keys() | then.keys()
            if was.get(row) != then.get(row)
            for entry in (was.get(row), then.get(row))
            if entry is not None
        }
        for window in changed:
            if not self.given.changes(
                *self._window(forests, before, after, window),
                window in after.forest.dirty,
                dict(after.forest.amendments).get(window, 0),
            ):
                raise TieBroken(f"window {window} changes, and is not dirty or not counted")
            self.met["a window changes"] += 1

    @staticmethod
    def _window(forests: ForestReplica, before: State, after: State, window: int) -> tuple[bool, bool, int]:
        """Whether it is dirty, whether it is sealed by the time that it changes, and how often it was."""
        dirty, count = window in before.forest.dirty, dict(before.forest.amendments).get(window, 0)
        return dirty, forests.is_sealed(after, window), count

    def _crashes(self, before: State, after: State) -> None:
        for window in before.forest.dirty:
            if not self.given.crashes(True, False, 0, window in after.forest.dirty):
                raise TieBroken(f"window {window} was dirty, and is not after a crash")
            self.met["a replica crashes"] += 1

    # --- exchanges ----------------------------------------------------------------------------------------

    def node(
        self,
        before: exchanges.Driving,
        after: exchanges.Driving,
        place: messages.Place,
        node: Inner | Leaf,
        trees: tuple[Tree, Tree],
    ) -> None:
        """A node of the other side's, and what the driver did about it.

        :raises TieBroken: if that is not what the proof says.
        """
        window, prefix = place
        mine, theirs = trees
        count = len(theirs.under(prefix))
        if self.given.is_leaf(count, len(prefix)) != isinstance(node, Leaf):
            raise TieBroken(f"a node of {count} entries at {place} is {type(node).__name__}")
        if isinstance(node, Leaf):
            self._leaf(before, after, mine.under(prefix), node.entries)
            self.met["a node is a leaf"] += 1
            return
        in_full = place in before.in_full
        asked = after.in_full if in_full else after.nodes
        for digit, told in enumerate(node.children):
            child = (*prefix, digit)
            ours = mine.digest(child) if in_full else mine.rules.short(mine.digest(child))
            whole = theirs.digest(child)
            if told != (whole if in_full else theirs.rules.short(whole)):
                raise TieBroken(f"what is told of {child} in window {window} is not its digest")
            if self.given.asks(ours, told, b"") != ((window, child) in asked):
                raise TieBroken(
                    f"child {child} of window {window} is asked for, or not, where the proof differs"
                )
        self.met["a node has children"] += 1

    def _leaf(
        self,
        before: exchanges.Driving,
        after: exchanges.Driving,
        mine: Sequence[Entry],
        theirs: Sequence[Entry],
    ) -> None:
        ours, others = ({entry.row: entry for entry in side} for side in (mine, theirs))
        noted = {entry.row for entry in (*after.shown, *after.giving, *before.giving)}
        new = {entry.row for entry in after.shown[len(before.shown) :]}
        for row in ours.keys() | others.keys():
            our, their = ours.get(row), others.get(row)
            versions = [0 if entry is None else entry.version for entry in (our, their)]
            if self.given.compares(*versions) and row not in noted:
                raise TieBroken(f"row {row} differs, and is not dealt with: {versions}")
            if row in new and not self.given.compares(*versions):
                raise TieBroken(f"row {row} is the same, and is dealt with: {versions}")

    def confirmed(self, told: bytes, found: bytes, is_confirmed: bool) -> None:
        """What was heard of a window is believed, or is not."""
        if self.given.confirms(told, found) != is_confirmed:
            raise TieBroken(
                f"what was heard of a window is believed: {is_confirmed}; digests {told!r}, {found!r}"
            )
        kind = "a window is confirmed" if is_confirmed else "a window is gone through again"
        self.met[kind] += 1


# --- the reference, watched -------------------------------------------------------------------------------


def watched(variant: Variant, watch: Watch) -> Variant:
    """The same machines; each step of a replica, and each window that is confirmed, is shown to the watch."""
    kind: Any = type(variant.forests)
    rules_kind: Any = type(variant.forests.rules)

    def is_confirmed(self: Any, told: bytes, found: bytes) -> bool:
        answer: bool = rules_kind.is_confirmed(self, told, found)
        watch.confirmed(told, found, answer)
        return answer

    def step(self: Any, state: State, event: Event) -> Any:
        after, effects = kind.step(self, state, event)
        watch.replica(self, state, event, after)
        return after, effects

    told: dict[str, Any] = {"is_confirmed": is_confirmed, "short": lambda _, digest: _four_bits(digest)}
    rules = type("Watched", (rules_kind,), {**told, "__slots__": ()})()
    forests = type("Watched", (kind,), {"step": step, "__slots__": ()})(variant.forests.replica, rules)
    return replace(variant, forests=forests)


def _four_bits(digest: bytes) -> bytes:
    return bytes([digest[0] & 0xF0]) if digest else b""


class WatchedPair(Pair):
    """Two replicas that exchange; each node that the driver is told of is looked at."""

    def __init__(self, one: ForestRun, two: ForestRun, variant: Variant, watch: Watch) -> None:
        super().__init__(one, two)
        self.variant = variant
        self.watch = watch

    def drive(self, event: Any) -> exchanges.Effect | None:
        before = self.driving
        driver = self.variant.drives(self.bounds)
        self.driving, self.one.state, effect = driver.step(before, self.one.state, event)
        reply = event.reply if isinstance(event, exchanges.Deliver) else None
        if isinstance(reply, messages.Nodes) and before is not None and self.driving is not None:
            self._nodes(before, self.driving, reply)
        return effect

    def _nodes(self, before: exchanges.Driving, after: exchanges.Driving, reply: messages.Nodes) -> None:
        theirs = dict(self.answering.snapshots).get(before.exchange)
        if theirs is None or reply.exchange != before.exchange:
            return
        shape = self.one.state.forest.shape
        for place, node in reply.nodes:
            if place in before.nodes or place in before.in_full:
                trees = [
                    exchanges.tree_of(self.variant.forests, shape, side, place[0])
                    for side in (before.snapshot, theirs)
                ]
                self.watch.node(before, after, place, node, (trees[0], trees[1]))

    def answer(self, question: messages.Question) -> messages.Reply:
        self.asked += 1
        answerer = self.variant.answers(self.bounds)
        self.answering, self.two.state, reply = answerer.step(self.answering, self.two.state, question)
        return reply


def _shaped(run: ForestRun, variant: Variant) -> None:
    run.forests = variant.forests
    run.state = replace(run.state, forest=replace(run.state.forest, shape=SHAPE))


def met_in(dice: Random, variant: Variant, given: Formulas | None = None) -> Counter[str]:
    """One run of three replicas, and one exchange of two that hold many rows.

    :raises TieBroken: if the reference does what is no step of the proof's.
    """
    watch = Watch(given or _right())
    machines = watched(variant, watch)
    world = ForestWorld(dice.randrange(1 << 30))
    for run in world.runs.values():
        _shaped(run, machines)
    for one, two in world.pairs:
        world.pairs[one, two] = WatchedPair(world.runs[one], world.runs[two], machines, watch)
    for _ in range(MOVES):
        try:
            world.step()
        except AssertionError:  # A wrong rule breaks a promise: what counts is whether a step was none.
            break
    for _ in range(4):
        _one_row(dice, machines)
    _exchange_of_many(dice, machines, watch)
    return watch.met


def _one_row(dice: Random, machines: Variant) -> None:
    """Any events that can come; every third version deletes."""
    run = ForestRun(1)
    _shaped(run, machines)
    floor = 0
    for _ in range(30):
        version = dice.randrange(1, 30)
        held = Held(at(version), None if version % 3 == 0 else b"%d" % version)
        match dice.randrange(8):
            case 0 | 1:
                run(quorum_replica.Deliver(Write(1, 0, 1, held)))
            case 2:
                run(Advance(at(version)))
            case 3 if floor < version:
                floor = version
                run.settle(at(floor, 1))
            case 3 | 4:
                run(replicas.Purge())
            case 5:
                run(quorum_replica.Crash(), quorum_replica.Start())
            case _:
                newer = dice.choice(
                    (None, held, Held(at(version + 5), b"newer" if version % 3 != 1 else None))
                )
                if newer is not None and newer.version <= at(floor, 1):
                    newer = None  # Who has settled is sent nothing below its floor (HANDOFF.R9).
                run(Meet(machines.forests.rules.entry_of(1, held), newer))


def _exchange_of_many(dice: Random, machines: Variant, watch: Watch) -> None:
    pair = WatchedPair(ForestRun(1), ForestRun(2), machines, watch)
    for run in (pair.one, pair.two):
        _shaped(run, machines)
        run(Advance(at(100)))
    for row in range(dice.randrange(40, MANY_ROWS)):
        version = at(dice.choice((3, 55)), row + 1)
        for run in (pair.one, pair.two):
            if dice.random() < 0.9:
                run.write(row, version)
    pair.exchange()


# --- the check --------------------------------------------------------------------------------------------


def run(check: Check, context: Context) -> Outcome:
    """Runs of the reference until so many steps were taken; and each wrong rule until it is caught."""
    return judged(check, context.seed, lambda dice: met_in(dice, RIGHT), KINDS, CAUGHT, caught_after)


MOST_RUNS = 200


def caught_after(variant: str, seed: int) -> int:
    """How many runs it takes until a wrong rule does what is no step; 0 if it never does."""
    return runs_until_caught(lambda dice: met_in(dice, VARIANTS[variant]), seed, MOST_RUNS)
