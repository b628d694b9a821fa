"""The theorems of the handoff part hold, and each of them can fail."""

from __future__ import annotations

from typing import Any

import pytest
import z3

from scratchbird_check.engines.cvc5 import ask
from scratchbird_proofs import handoff
from scratchbird_proofs.handoff import KINDS, Past, Rules, theorems
from scratchbird_proofs.handoff_refutations import ClearedByOne, SettlesAlone, TakesWhatComes
from scratchbird_proofs.quorum_system import at
from scratchbird_proofs.smtlib import questions
from scratchbird_proofs.theorem import Judgement, Obligation, judge, prove

ALL = {item.id: item for item in theorems()}
KEPT = "handoff.past_is_kept"


@pytest.mark.parametrize("name", ALL)
def test_it_is_proved_and_another_solver_agrees(name: str) -> None:
    assert prove(ALL[name]).why_not == ""
    asked = list(questions(ALL[name]))
    assert [(item.name, ask(item.text)) for item in asked] == [(item.name, item.expected) for item in asked]


def test_every_kind_of_step_is_in_the_induction() -> None:
    names = {item.name.split(":")[0] for item in ALL[KEPT].obligations()}
    assert names == {*KINDS, "note"}


def without(given: Obligation, *parts: str) -> Obligation:
    """Without every assumption whose name begins with one of these."""
    left = {name: item for name, item in given.assumptions.items() if not name.startswith(parts)}
    assert len(left) < len(given.assumptions)
    return Obligation(given.name, left, given.conclusion)


@pytest.mark.parametrize(
    ("theorem", "name", "left_out"),
    [
        ("handoff.a_repair_is_paid_by_so_many_others", "one of them holds it", "N - W of them were heard"),
        ("handoff.a_repair_is_paid_by_so_many_others", "one of them holds it", "W of the others hold it"),
        ("handoff.past_holds_at_first", "nothing has entered below", "it is the newest below"),
        ("handoff.past_holds_at_first", "who knows of the join holds it", "its holder holds it"),
        ("handoff.past_holds_at_first", "none settles before all have converged", "nobody has begun"),
        (KEPT, "merge: nothing has entered below", "nothing has entered below"),
        (KEPT, "merge: who knows of the join holds it", "who knows of the join holds it"),
        (KEPT, "merge: who knows of the join holds it", "all have converged"),
        (KEPT, "merge_late: who knows of the join holds it", "the holder tells the join"),
        (KEPT, "merge_late: nothing has entered below", "nothing else is told"),
        (KEPT, "exchange_late: who has settled holds the join", "nothing else is told"),
        (KEPT, "tell: the holder tells the join", "who knows of the join holds it"),
        (KEPT, "tell: nothing else is told", "nothing has entered below"),
        (KEPT, "converge: who knows of the join holds it", "who knows of the join holds it"),
        (KEPT, "settle: who has settled holds the join", "who knows of the join holds it"),
        (KEPT, "exchange: who has settled holds the join", "nothing has entered below"),
        ("handoff.settled_replicas_agree", "the same value, or deleted at both", "who has settled holds"),
    ],
)
def test_without_what_it_rests_on_there_is_no_proof(theorem: str, name: str, left_out: str) -> None:
    (given,) = [item for item in ALL[theorem].obligations() if item.name == name]
    assert judge(without(given, left_out)).judgement is Judgement.REFUTED


class SettlesAtOnce(Rules):
    """A replica settles when the others have converged."""

    def may_settle(self, s: Past, r: Any) -> Any:
        return z3.BoolVal(True)


class TakesTheFloorAnyhow(Rules):
    """Whoever is sent the floor takes it, also in the place of a value."""

    def takes_floor(self, s: Past, r: Any) -> Any:
        return z3.BoolVal(True)


@pytest.mark.parametrize(
    ("rules", "broken"),
    [
        (ClearedByOne(), {"handoff.a_repair_is_paid_by_so_many_others"}),
        (TakesWhatComes(), {KEPT, "handoff.nothing_comes_back"}),
        (SettlesAlone(), {KEPT}),
        (SettlesAtOnce(), {KEPT}),
        (TakesTheFloorAnyhow(), {KEPT}),
    ],
    ids=["one", "takes", "alone", "at once", "floor"],
)
def test_a_wrong_rule_has_no_proof(rules: Rules, broken: set[str]) -> None:
    assert {item.id for item in theorems(rules) if not prove(item).proved} == broken


def test_the_floor_is_what_an_absent_row_compares_as() -> None:
    s = handoff.any_past()
    absent = z3.And(at(s.held, handoff.r) == 0, at(s.settled, handoff.r))
    solver = z3.Solver()
    solver.add(absent, handoff.effective(s, handoff.r) != handoff.floor)
    assert solver.check() == z3.unsat
