"""Obligations as SMT-LIB 2 text, so that a second solver that shares no code with Z3 judges them again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import z3

from scratchbird_proofs.theorem import Formula, Obligation, Theorem


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a solver, and the answer that the theorem needs."""

    name: str
    text: str
    """A whole SMT-LIB 2 script: logic, declarations, assertions, one ``check-sat``."""
    expected: Literal["sat", "unsat"]


def questions(theorem: Theorem) -> Iterator[Question]:
    """Everything that must be asked of a theorem: is each obligation true, possible, and interesting?"""
    for obligation in theorem.obligations():
        yield from questions_of(obligation, f"{theorem.id}, {obligation.name}")


def questions_of(obligation: Obligation, name: str) -> Iterator[Question]:
    """The questions of one obligation, in the order of :func:`scratchbird_proofs.theorem.judge`."""
    assumptions = tuple(obligation.assumptions.values())
    yield Question(f"{name}: the assumptions can be met", script(*assumptions), "sat")
    yield Question(f"{name}: it is true", script(*assumptions, z3.Not(obligation.conclusion)), "unsat")
    for case, formula in obligation.reaches.items():
        yield Question(f"{name}: {case} can happen", script(*assumptions, formula), "sat")


def script(*assertions: Formula) -> str:
    """A script that asks whether these can be true together. ``ALL``: the logic is left to the solver."""
    solver = z3.Solver()
    solver.add(*assertions)
    body = "\n".join(
        line for line in solver.to_smt2().splitlines() if not line.startswith(("(set-info", ";"))
    )
    return f"(set-logic ALL)\n{body}\n"
