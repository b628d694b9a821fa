"""When a theorem counts as proved, and above all when it does not."""

from __future__ import annotations

from typing import Any

import pytest
import z3

from scratchbird_proofs.theorem import Judgement, Obligation, Theorem, judge, lemmas_in_order, prove

x, y = z3.Ints("x y")


def stated(*obligations: Obligation, name: str = "t.it", lemmas: tuple[str, ...] = ()) -> Theorem:
    return Theorem(name, "It is so.", ("HLC-1",), ("HLC.R1",), lambda: obligations, lemmas)


def test_a_true_statement_with_assumptions_that_can_be_met_is_proved() -> None:
    proof = prove(stated(Obligation("sum", {"positive": x > 0, "more": y > x}, y > 0, {"far": y > 100})))
    assert proof.proved
    assert proof.why_not == ""
    assert [item.judgement for item in proof.findings] == [Judgement.PROVED]


def test_a_false_statement_is_refuted_with_values_for_its_names() -> None:
    finding = judge(Obligation("sum", {"positive": x > 0}, x > 1))
    assert finding.judgement is Judgement.REFUTED
    assert finding.model == {"x": "1"}


def test_assumptions_that_contradict_each_other_prove_nothing() -> None:
    finding = judge(Obligation("sum", {"low": x < 0, "high": x > 0}, x == 7))
    assert finding.judgement is Judgement.VACUOUS
    assert finding.why == "these contradict each other: low, high"


def test_a_case_that_can_not_happen_is_no_proof() -> None:
    finding = judge(Obligation("sum", {"positive": x > 0}, x >= 0, {"it is zero": x == 0}))
    assert finding.judgement is Judgement.UNREACHED
    assert finding.why == "it is zero can not happen"


@pytest.mark.parametrize(
    ("answers", "question"),
    [
        ([z3.unknown], "whether the assumptions can be met"),
        ([z3.sat, z3.unknown], "whether it is true"),
        ([z3.sat, z3.unsat, z3.unknown], "whether it is zero can happen"),
    ],
)
def test_unknown_is_never_a_pass(monkeypatch: pytest.MonkeyPatch, answers: list[Any], question: str) -> None:
    left = list(answers)
    monkeypatch.setattr(z3.Solver, "check", lambda *_: left.pop(0))
    monkeypatch.setattr(z3.Solver, "reason_unknown", lambda _: "timeout")
    proof = prove(stated(Obligation("sum", {"positive": x >= 0}, x >= 0, {"it is zero": x == 0})))
    assert not proof.proved
    assert proof.findings[0].judgement is Judgement.UNKNOWN
    assert proof.why_not == f"t.it, sum: unknown: the solver does not know {question} (timeout)"


def test_one_obligation_that_is_not_proved_is_enough() -> None:
    proof = prove(stated(Obligation("right", {}, x == x), Obligation("wrong", {}, x == y)))
    assert not proof.proved
    assert proof.why_not == "t.it, wrong: refuted: there is a counterexample"


def test_a_theorem_without_obligations_is_not_proved() -> None:
    proof = prove(stated())
    assert not proof.proved
    assert proof.why_not == "t.it has no obligations: nothing was shown"


def test_lemmas_come_first() -> None:
    known = [stated(name="t.end", lemmas=("t.middle", "t.start")), stated(name="t.start")]
    known.append(stated(name="t.middle", lemmas=("t.start",)))
    assert lemmas_in_order(known) == ("t.start", "t.middle", "t.end")


def test_a_theorem_may_not_rest_on_itself() -> None:
    known = [stated(name="t.a", lemmas=("t.b",)), stated(name="t.b", lemmas=("t.a",))]
    with pytest.raises(ValueError, match=r"rests on itself: t\.a <- t\.b <- t\.a"):
        lemmas_in_order(known)


def test_a_lemma_must_exist() -> None:
    with pytest.raises(ValueError, match=r"t\.a rests on t\.b, which is no theorem"):
        lemmas_in_order([stated(name="t.a", lemmas=("t.b",))])
