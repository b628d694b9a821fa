"""What a theorem is, and when it counts as proved.

A theorem is a sentence for a person and a list of obligations for the solver. An obligation holds if its
assumptions together with the *negation* of its conclusion have no model. That alone can be worth nothing:
assumptions that contradict each other prove everything. So an obligation counts as proved only if also

* its assumptions can be met together, and
* each case that it calls interesting can be met together with the assumptions.

``unknown`` is never a pass. Nothing here is specific to a part of the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import Any

import z3

# Z3 has no types that a type checker could read. These two names say what is meant.
Formula = Any
"""A Z3 term of sort Bool."""
Term = Any
"""A Z3 term of any sort."""

TIMEOUT_MS = 20_000
"""How long the solver may think about one question; every one here takes a small fraction of a second."""


# --- statements -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Obligation:
    """One thing to be shown for a theorem: one base case, one step of an induction, one kind of event."""

    name: str
    assumptions: Mapping[str, Formula]
    """What is taken for granted, each under a name that a person understands."""
    conclusion: Formula
    reaches: Mapping[str, Formula] = field(default_factory=dict)
    """Interesting cases: each must be possible under the assumptions."""


@dataclass(frozen=True, slots=True)
class Theorem:
    """A statement that holds for every state, and everything that has to be shown for it."""

    id: str
    """``hlc.tick_is_above_last``: the part, then the statement in few words."""
    statement: str
    """One sentence for a person."""
    properties: tuple[str, ...]
    """The ledger's properties that it is evidence for."""
    rules: tuple[str, ...]
    """The rules that it speaks about: ``HLC.R3``."""
    obligations: Callable[[], Sequence[Obligation]]
    """Builds the formulas; they are not built before somebody asks."""
    lemmas: tuple[str, ...] = ()
    """Theorems whose conclusions are among the assumptions here, by id."""


# --- judgement --------------------------------------------------------------------------------------------


class Judgement(StrEnum):
    """What the solver says of one obligation."""

    PROVED = "proved"
    REFUTED = "refuted"
    """The assumptions hold and the conclusion does not: there is a model."""
    VACUOUS = "vacuous"
    """The assumptions contradict each other, so they would prove anything."""
    UNREACHED = "unreached"
    """A case that is called interesting can not happen under the assumptions."""
    UNKNOWN = "unknown"
    """The solver gave up: no pass."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The judgement of one obligation, and why."""

    obligation: str
    judgement: Judgement
    why: str = ""
    model: Mapping[str, str] = field(default_factory=dict)
    """For a refuted obligation: what stands for each of its names."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of a theorem."""

    theorem: str
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def proved(self) -> bool:
        """Whether there is something to prove, and all of it is proved."""
        return bool(self.findings) and all(item.judgement is Judgement.PROVED for item in self.findings)

    @property
    def why_not(self) -> str:
        """The first finding that is no proof, in words; empty if there is none."""
        if not self.findings:
            return f"{self.theorem} has no obligations: nothing was shown"
        for item in self.findings:
            if item.judgement is not Judgement.PROVED:
                return f"{self.theorem}, {item.obligation}: {item.judgement}: {item.why}"
        return ""


def prove(theorem: Theorem, timeout_ms: int = TIMEOUT_MS) -> Proof:
    """Judge each obligation of a theorem. It counts as proved only if every one of them is."""
    start = perf_counter()
    findings = tuple(judge(item, timeout_ms) for item in theorem.obligations())
    return Proof(theorem.id, findings, perf_counter() - start)


def judge(obligation: Obligation, timeout_ms: int = TIMEOUT_MS) -> Finding:
    """Judge one obligation: is it possible at all, is it true, can its interesting cases happen?"""
    solver = z3.Solver()
    solver.set("timeout", timeout_ms)
    solver.add(*obligation.assumptions.values())
    answer = solver.check()
    if answer == z3.unsat:
        names = ", ".join(obligation.assumptions)
        return Finding(obligation.name, Judgement.VACUOUS, f"these contradict each other: {names}")
    if answer == z3.unknown:
        return _unknown(obligation, "whether the assumptions can be met", solver)
    answer = solver.check(z3.Not(obligation.conclusion))
    if answer == z3.unknown:
        return _unknown(obligation, "whether it is true", solver)
    if answer == z3.sat:
        model = {str(name): str(solver.model()[name]) for name in solver.model()}
        return Finding(obligation.name, Judgement.REFUTED, "there is a counterexample", model)
    for name, case in obligation.reaches.items():
        answer = solver.check(case)
        if answer == z3.unsat:
            return Finding(obligation.name, Judgement.UNREACHED, f"{name} can not happen")
        if answer == z3.unknown:
            return _unknown(obligation, f"whether {name} can happen", solver)
    return Finding(obligation.name, Judgement.PROVED)


def _unknown(obligation: Obligation, question: str, solver: Any) -> Finding:
    why = f"the solver does not know {question} ({solver.reason_unknown()})"
    return Finding(obligation.name, Judgement.UNKNOWN, why)


def lemmas_in_order(theorems: Sequence[Theorem]) -> tuple[str, ...]:
    """The ids, each after its lemmas.

    :raises ValueError: if a lemma does not exist, or a theorem rests on itself by some detour.
    """
    known = {item.id: item for item in theorems}
    done: dict[str, None] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise ValueError(f"a theorem rests on itself: {' <- '.join((*path, name))}")
        if name not in known:
            raise ValueError(f"{path[-1]} rests on {name}, which is no theorem")
        if name not in done:
            for lemma in known[name].lemmas:
                visit(lemma, (*path, name))
            done[name] = None

    for item in theorems:
        visit(item.id, ())
    return tuple(done)
