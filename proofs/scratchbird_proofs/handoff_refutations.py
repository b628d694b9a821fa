"""The wrong rules of handoff, refuted by the theorem that they break and by a run of a few replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import z3

from scratchbird_proofs import handoff
from scratchbird_proofs.handoff import Past, Rules, any_past, deleted, floor, holder, join
from scratchbird_proofs.quorum_counting import replicas, write
from scratchbird_proofs.quorum_refutations import MOST, number_in
from scratchbird_proofs.quorum_system import YES, at
from scratchbird_proofs.refutation import Found, Refutation, only
from scratchbird_proofs.theorem import TIMEOUT_MS, Formula, Term, Theorem

# --- wrong rules ------------------------------------------------------------------------------------------


class ClearedByOne(Rules):
    """A mark is paid when its target has merged what one other replica holds."""

    def pays(self, heard: Term) -> Formula:
        """One is enough."""
        return heard >= 1


class TakesWhatComes(Rules):
    """A closed replica takes what is below the floor."""

    def takes(self, s: Past, r: Term, version: Term) -> Formula:
        """Always."""
        return YES


class SettlesAlone(Rules):
    """A replica settles when it has converged itself."""

    def may_settle(self, s: Past, r: Term) -> Formula:
        """Whatever the others have done."""
        return at(s.converged, r)


# --- repairs ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FoundRepair(Found):
    """A repair that counts as paid, and its target lacks what was acknowledged."""

    sizes: tuple[int, int]
    """(N, W); the target is the last replica."""
    holders: tuple[int, ...]
    """The others that hold what was acknowledged."""
    heard: tuple[int, ...]
    """The others of which the target merged all."""


def find_repair(rules: Rules) -> FoundRepair | None:
    """A repair of at most five replicas that goes wrong, or ``None``."""
    holds, heard = (z3.Array(name, z3.IntSort(), z3.BoolSort()) for name in ("holds", "heard"))
    others = range(MOST - 1)

    def count(members: Term) -> Term:
        return z3.Sum([z3.If(z3.And(at(members, z3.IntVal(x)), x < replicas - 1), 1, 0) for x in others])

    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(replicas <= MOST, write >= 1, write < replicas)
    solver.add(count(holds) >= write, rules.pays(count(heard)), z3.Not(rules.pays(count(heard) - 1)))
    solver.add(*(z3.Not(z3.And(at(holds, z3.IntVal(x)), at(heard, z3.IntVal(x)))) for x in others))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    sizes = (number_in(model, replicas), number_in(model, write))

    def members(of: Term) -> tuple[int, ...]:
        return tuple(x for x in range(sizes[0] - 1) if _is_so(model, at(of, z3.IntVal(x))))

    return FoundRepair(sizes, members(holds), members(heard))


def _is_so(model: z3.ModelRef, formula: Formula) -> bool:
    return bool(z3.is_true(model.eval(formula, model_completion=True)))


# --- the floor --------------------------------------------------------------------------------------------

TWO = tuple(z3.IntVal(number) for number in range(2))


@dataclass(frozen=True, slots=True)
class FoundPast(Found):
    """A run of two replicas that have closed a floor, after which both have settled and do not agree."""

    floor: int
    held: tuple[int, ...]
    """What each holds at first."""
    tombstone: int
    """The version among these that is a delete; 0 if none is."""
    steps: tuple[tuple[str, int, int], ...]
    """What happens, to which replica, and the version that it takes."""


def find_past(plan: Sequence[str], rules: Rules) -> FoundPast | None:
    """A run of these steps that goes wrong, or ``None``: ``merge 0``, from the other one, ``note``."""
    steps = [(kind, int(r or 0)) for kind, _, r in (step.partition(" ") for step in plan)]
    s = first = any_past()
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(join >= 0, join < floor, floor <= 2 * MOST, z3.Implies(join == 0, deleted))
    solver.add(z3.Or(*(holder == r for r in TWO)), at(s.held, holder) == join, z3.Not(s.all_converged))
    for r in TWO:
        held = at(s.held, r)
        solver.add(held >= 0, held <= join, *(z3.Not(at(of, r)) for of in (s.merged, s.converged, s.settled)))
    versions: list[Any] = []
    for number, (kind, r) in enumerate(steps):
        version = z3.Int(f"version_{number}")
        solver.add(version > join, version < floor)
        versions.append(version)
        if kind == "note":
            solver.add(*(at(s.converged, each) for each in TWO))
            s = handoff.noted(s)
            continue
        step = rules.step(kind, s, TWO[r], TWO[1 - r], version)
        solver.add(step.possible)
        s = step.after
    solver.add(*(at(s.settled, r) for r in TWO), _value(s, TWO[0]) != _value(s, TWO[1]))
    if solver.check() != z3.sat:
        return None
    number_of = partial(number_in, solver.model())
    return FoundPast(
        number_of(floor),
        tuple(number_of(at(first.held, r)) for r in TWO),
        number_of(join) if _is_so(solver.model(), deleted) else 0,
        tuple((kind, r, number_of(taken)) for (kind, r), taken in zip(steps, versions, strict=True)),
    )


def _value(s: Past, r: Term) -> Term:
    """The version of the value that a replica holds at or below the floor, 0 if it holds none."""
    held = at(s.held, r)
    return z3.If(z3.And(deleted, held == join), 0, held)


# --- all of them ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WrongRule:
    """A wrong rule of handoff."""

    statement: str
    """What goes wrong, in one sentence."""
    promise: str
    theorem: str
    """The theorem that fails."""
    breaks: str
    """Its obligation that fails."""
    rules: Rules
    find: Callable[[Rules], Found | None]

    def fails(self) -> Theorem:
        """The obligation that holds of the right rules, stated of the wrong one."""
        return only(self.theorem, self.breaks, handoff.theorems(self.rules))


_CONVERGE = ("merge 0", "converge 0", "merge 1", "converge 1", "note")
LATE = (*_CONVERGE, "take 0", "settle 0", "settle 1")
"""Both converge, and a write arrives late."""
ALONE = ("merge 0", "converge 0", "settle 0", "purge 0", "merge 1", "converge 1", "note", "settle 1")
"""One purges before the other has merged what it held."""

WRONG: Mapping[str, WrongRule] = {
    "cleared_by_one": WrongRule(
        "A target merges what one other replica holds, and still lacks what was acknowledged.",
        "HNT-4",
        "handoff.a_repair_is_paid_by_so_many_others",
        "one of them holds it",
        ClearedByOne(),
        find_repair,
    ),
    "takes_below_closed": WrongRule(
        "A replica takes a write below the floor when the other one has merged all already.",
        "HNT-5",
        "handoff.past_is_kept",
        "take: nothing has entered below",
        TakesWhatComes(),
        partial(find_past, LATE),
    ),
    "settles_alone": WrongRule(
        "A replica purges a tombstone that the other one has not merged yet.",
        "HNT-5",
        "handoff.past_is_kept",
        "settle: none settles before all have converged",
        SettlesAlone(),
        partial(find_past, ALONE),
    ),
}
"""By the name of the variant."""


def refutations() -> tuple[Refutation, ...]:
    """One for each wrong rule."""
    return tuple(
        Refutation(
            f"handoff.{name}",
            name,
            it.statement,
            it.promise,
            (it.promise,),
            it.fails,
            partial(it.find, it.rules),
        )
        for name, it in WRONG.items()
    )
