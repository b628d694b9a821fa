"""Runs of several clocks, from the beginning, that the solver completes so that something breaks.

A proof that fails shows a state from which the next step goes wrong, but not that such a state is ever
reached. A run does: it begins with node ids that were never used. A scenario says which nodes take part and
which kinds of steps they may take; the solver finds the clocks, the messages and, where several kinds are
allowed, the steps. What it finds is played again by the reference (``scratchbird_check.engines.z3``), and
that, not the formula, is the counterexample.

The settings are the reference's own: 4096 counters, a drift of 500 ms. Nothing is made small here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import z3

from scratchbird_proofs.hlc_rules import (
    KINDS,
    NONE,
    Effects,
    Event,
    Node,
    Rules,
    Settings,
    any_effects,
    any_event,
    any_node,
    outcome,
    possible,
)
from scratchbird_proofs.hlc_steps import relation
from scratchbird_proofs.refutation import Found
from scratchbird_proofs.theorem import TIMEOUT_MS, Formula, Term
from scratchbird_reference.hlc import Config
from scratchbird_reference.uuid8 import MAX_COUNTER

BASE = 100_000
"""True time, in ms, when the monotonic clocks stand at 0."""
HOUR = 3_600_000
OUTSIDE = 9
"""The node id of a peer that is heard but plays no part."""
CONFIG = Config()
SETTINGS = Settings(
    *(
        z3.IntVal(value)
        for value in (
            CONFIG.max_drift_ms,
            CONFIG.max_ahead_ms,
            CONFIG.max_skew_ms,
            CONFIG.reserve_ms,
            CONFIG.confirm_quorum,
        )
    )
)


# --- what is asked ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a scenario: who takes it, and what it may be."""

    node: int
    kinds: tuple[str, ...]
    healthy: bool = True
    """Whether the wall clock is at true time, or up to ``max_skew`` past it."""
    setup: bool = False
    """Whether it only sets the scene."""


@dataclass(frozen=True, slots=True)
class Taken:
    """One step of a run, as terms."""

    planned: Planned
    kind: Term
    """A position in :data:`scratchbird_proofs.hlc_rules.KINDS`."""
    now: Term
    """Milliseconds of true time since the beginning; the monotonic clock too."""
    event: Event
    effects: Effects
    before: Node
    after: Node
    source: Term
    """For an observed message: the number of the step that sent it."""

    def is_(self, kind: str) -> Formula:
        """Whether this is the kind of the step."""
        return self.kind == KINDS.index(kind)

    def ends_as(self, name: str) -> Formula:
        """Whether this is its outcome."""
        return self.effects.outcome == outcome(name)


Run = Sequence[Taken]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question to the solver: can such a run end wrongly?"""

    plan: tuple[Planned, ...]
    wrong: Callable[[Run], Formula]
    """What its last step must have done."""
    wishes: Callable[[Run], Sequence[Formula]] = lambda run: ()
    """What a reader would like to see; granted in this order as far as possible."""
    free: Planned | None = None
    """A step that is repeated at the end of the plan, as often as is needed ..."""
    most: int = 0
    """... and as often as this at most."""
    wrong_at: tuple[int, ...] = ()
    """The nodes that follow the wrong rules; all of them if empty."""


# --- what is found ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moved:
    """One event of the run that was found, in the JSON form of ``spec/trace.schema.json``."""

    node: int
    event: Mapping[str, Any]
    sends: str = ""
    """A name for the message that carries the clock stamped here."""
    receives: str = ""
    """The name of the message that is observed here; empty if it came from outside."""
    setup: bool = False


@dataclass(frozen=True, slots=True)
class FoundRun(Found):
    """A run that ends wrongly."""

    moves: tuple[Moved, ...]
    """Without the writes of bounds: every bound that is asked for is written at once."""
    chosen: int = 0
    """How many steps the solver chose itself; with fewer, no run ends wrongly."""


def search(scenario: Scenario, right: Rules, wrong: Rules, timeout_ms: int = TIMEOUT_MS) -> FoundRun | None:
    """The shortest run that ends wrongly under the wrong rules, made as plain as possible.

    :returns: ``None`` if there is none within the scenario, or the solver does not know.
    """
    lengths = range(1, scenario.most + 1) if scenario.free is not None else range(1)
    for length in lengths:
        plan = scenario.plan + (scenario.free,) * length if scenario.free is not None else scenario.plan
        run, facts = unroll(plan, lambda node: wrong if node in (scenario.wrong_at or (node,)) else right)
        solver = z3.Solver()
        solver.set("timeout", timeout_ms)
        solver.add(*facts, scenario.wrong(run))
        if solver.check() == z3.sat:
            model = _plain(solver, [*scenario.wishes(run), *_plain_wishes(run)])
            return FoundRun(tuple(_moves(run, model)), length)
    return None


def unroll(plan: Sequence[Planned], rules: Callable[[int], Rules]) -> tuple[Run, list[Formula]]:
    """The terms of a run along a plan, and what must hold for it to be one."""
    nodes = {planned.node: any_node(f"node{planned.node}") for planned in plan}
    facts = [_never_used(node, state) for node, state in nodes.items()]
    run: list[Taken] = []
    now: Term = z3.IntVal(0)
    for number, planned in enumerate(plan):
        step = Taken(
            planned,
            z3.Int(f"kind_{number}"),
            z3.Int(f"now_{number}"),
            any_event(f"event_{number}"),
            any_effects(f"effects_{number}"),
            nodes[planned.node],
            any_node(f"after_{number}"),
            z3.Int(f"source_{number}"),
        )
        facts += [step.now >= now, possible(step.event), _one_of(step, rules(planned.node)), _clocks(step)]
        facts += [z3.Implies(step.is_("observe"), _heard(step, run, len(nodes)))]
        facts += _written_at_once(run, step)
        run.append(step)
        nodes[planned.node], now = step.after, step.now
    return run, facts


def _never_used(node: int, state: Node) -> Formula:
    none = z3.K(z3.IntSort(), z3.BoolVal(False))
    nothing = [state.last == 0, state.anchor == 0, state.promised == 0]
    flags = [z3.Not(flag) for flag in (state.up, state.writing, state.suspended, state.stopping)]
    return z3.And(state.node_id == node, state.retired == none, state.bound == 0, *nothing, *flags)


def _one_of(step: Taken, rules: Rules) -> Formula:
    return z3.Or(
        *(
            z3.And(step.is_(kind), relation(kind, rules, step.before, step.event, step.effects, step.after))
            for kind in step.planned.kinds
        )
    )


def _clocks(step: Taken) -> Formula:
    true = BASE + step.now
    off = z3.And(true <= step.event.wall, step.event.wall <= true + SETTINGS.max_skew)
    return z3.And(step.event.monotonic == step.now, off if step.planned.healthy else z3.BoolVal(True))


def _heard(step: Taken, run: Run, nodes: int) -> Formula:
    """What is observed was sent before, by another node; of one that is alone, by a peer outside."""
    if nodes == 1:
        return z3.And(step.event.sender == OUTSIDE, step.event.remote >= BASE)
    return z3.Or(
        *(
            z3.And(
                earlier.is_("stamp"),
                earlier.ends_as("stamped"),
                step.source == number,
                step.event.remote == earlier.effects.timestamp,
                step.event.sender == earlier.planned.node,
            )
            for number, earlier in enumerate(run)
            if earlier.planned.node != step.planned.node
        )
    )


def _written_at_once(run: Run, step: Taken) -> list[Formula]:
    """A bound that was asked for is written in the next step, and then the event comes again."""
    same_node = [earlier for earlier in run if earlier.planned.node == step.planned.node]
    if not same_node:
        return []
    asked = same_node[-1].effects.asked != NONE
    rules = [step.is_("persisted") == asked]
    if len(same_node) > 1:
        again = z3.And(same_node[-2].ends_as("deferred"), same_node[-2].effects.asked != NONE)
        repeated = z3.And(
            step.kind == same_node[-2].kind,
            step.now == same_node[-2].now,
            *(
                getattr(step.event, name) == getattr(same_node[-2].event, name)
                for name in ("wall", "remote", "sender", "random")
            ),
        )
        rules.append(z3.Implies(again, repeated))
    return rules


# --- making it plain ----------------------------------------------------------------------------------------


def _plain_wishes(run: Run) -> list[Formula]:
    wishes: list[Formula] = []
    now: Term = z3.IntVal(0)
    for step in run:
        wishes += [step.now == now, step.event.wall == BASE + step.now, step.event.random == 0]
        now = step.now
    return wishes


def _plain(solver: Any, wishes: Sequence[Formula]) -> Any:
    """A model in which as many wishes are granted as go together, the earlier ones first."""
    model = solver.model()
    for wish in wishes:
        if z3.is_true(model.eval(wish, model_completion=True)):
            solver.add(wish)
        elif solver.check(wish) == z3.sat:
            model = solver.model()
            solver.add(wish)
    return model


def _moves(run: Run, model: Any) -> list[Moved]:
    values = [_values(step, model) for step in run]
    sources = {value["source"] for value in values if value["kind"] == "observe"}
    moves: list[Moved] = []
    skip: dict[int, int] = {}
    for number, (step, value) in enumerate(zip(run, values, strict=True)):
        node = step.planned.node
        if skip.get(node, 0):
            skip[node] -= 1
            continue
        if value["asked"] != NONE:
            skip[node] = 2 if value["deferred"] else 1
        heard = value["kind"] == "observe" and value["source"] != NONE
        moves.append(
            Moved(
                node,
                _event(value),
                sends=f"m{number}" if number in sources else "",
                receives=f"m{value['source']}" if heard else "",
                setup=step.planned.setup,
            )
        )
    return moves


def _values(step: Taken, model: Any) -> dict[str, Any]:
    def number(term: Term) -> int:
        return int(model.eval(term, model_completion=True).as_long())

    alone = z3.is_true(model.eval(step.event.sender == OUTSIDE, model_completion=True))
    return {
        "kind": KINDS[number(step.kind)],
        "source": NONE if alone else number(step.source),
        "asked": number(step.effects.asked),
        "deferred": number(step.effects.outcome) == outcome("deferred"),
        "wall": number(step.event.wall),
        "monotonic": number(step.event.monotonic),
        "random": number(step.event.random),
        "remote": list(divmod(number(step.event.remote), MAX_COUNTER + 1)),
        "sender": number(step.event.sender),
    }


_FIELDS = {
    "start": ("wall", "monotonic"),
    "tick": ("wall", "monotonic", "random"),
    "observe": ("wall", "monotonic", "remote", "sender"),
    "stamp": ("wall", "monotonic"),
    "reserve": ("wall", "monotonic"),
}


def _event(value: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(value["kind"])
    return {"event": kind, **{name: value[name] for name in _FIELDS.get(kind, ())}}
