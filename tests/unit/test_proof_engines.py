"""What the engines make of a proof, a proof that fails, and a name that does not exist."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import z3

from scratchbird_check.context import Context
from scratchbird_check.counterexamples import solved
from scratchbird_check.engines import cvc5 as cvc5_engine
from scratchbird_check.engines import z3 as z3_engine
from scratchbird_check.errors import ManifestError
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs import registry
from scratchbird_proofs.refutation import Refutation
from scratchbird_proofs.registry import find_refutation
from scratchbird_proofs.theorem import Obligation, Theorem
from scratchbird_reference.hlc import HybridLogicalClock

x = z3.Int("x")
FALSE = Theorem(
    "hlc.false", "It is not so.", ("HLC-1",), (), lambda: [Obligation("all", {"any": x > 0}, x > 5)]
)


def check(theorem: Any, expect: Verdict = Verdict.PROVED, variant: str = "") -> Check:
    options = {"theorem": theorem}
    return Check("it", "hlc", "z3", ("quick",), expect, ("HLC-1",), variant, options=options)


def refute(variant: str) -> Check:
    return check(f"hlc.{variant}", Verdict.REFUTED, variant)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path)


@pytest.fixture
def is_false(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "theorems", lambda: (FALSE,))


ENGINES = pytest.mark.parametrize("engine", [z3_engine, cvc5_engine], ids=["z3", "cvc5"])


@ENGINES
def test_a_proof(engine: Any, context: Context) -> None:
    said: list[str] = []
    watched = replace(context, progress=said.append)
    outcome: Outcome = engine.run(check(["hlc.chains_*", "uuid8.ids_are_distinct"]), watched)
    assert outcome.verdict is Verdict.PROVED
    assert outcome.figures["theorems"] == 2
    assert said == ["hlc.chains_keep_the_order", "uuid8.ids_are_distinct"]
    assert outcome.log is None


def test_figures_tell_of_each_theorem(context: Context) -> None:
    outcome = z3_engine.run(check("uuid8.ids_are_distinct"), context)
    assert outcome.detail == "1 theorem, 3 obligations, each shown to be possible"
    assert str(outcome.figures["uuid8.ids_are_distinct"]).startswith("proved, 3 obligations, ")


@ENGINES
@pytest.mark.usefixtures("is_false")
def test_what_is_false_is_unexpected_and_leaves_a_log(engine: Any, context: Context) -> None:
    outcome: Outcome = engine.run(check("hlc.false"), context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "hlc.false, all" in outcome.detail
    assert outcome.log is not None
    text = outcome.log.read_text(encoding="utf-8")
    if engine is z3_engine:
        (finding,) = json.loads(text)
        assert finding["judgement"] == "refuted"
        assert 0 < int(finding["model"]["x"]) <= 5
    else:
        assert text.startswith("(set-logic ALL)")


@pytest.mark.parametrize("answer", ["unknown", "error: out of memory"])
def test_any_other_answer_of_cvc5_is_unexpected(
    answer: str, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cvc5_engine, "ask", lambda text: answer)
    outcome = cvc5_engine.run(check("uuid8.ids_are_distinct"), context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert f"{answer}, not sat" in outcome.detail


@ENGINES
@pytest.mark.parametrize("theorem", ["hlc.nothing", [], [7], 7])
def test_a_theorem_that_does_not_exist_is_an_error(engine: Any, theorem: Any, context: Context) -> None:
    with pytest.raises((ManifestError, TypeError)):
        engine.run(check(theorem), context)


def test_a_refutation(context: Context) -> None:
    outcome = z3_engine.run(refute("no_carry"), context)
    assert outcome.verdict is Verdict.REFUTED
    assert "hlc.ids_of_a_node_increase fails in tick" in outcome.detail
    assert outcome.counterexample is not None
    assert outcome.counterexample.promise == "HLC-1"


def test_a_refutation_of_something_else_is_an_error(context: Context) -> None:
    with pytest.raises(ManifestError, match=r"refutes 'no_carry', not 'one_bound'"):
        z3_engine.run(check("hlc.no_carry", Verdict.REFUTED, "one_bound"), context)
    with pytest.raises(ManifestError, match=r"no refutation is called 'hlc\.nothing'"):
        z3_engine.run(check("hlc.nothing", Verdict.REFUTED, "nothing"), context)


def holds() -> Theorem:
    (theorem,) = registry.find_theorems("hlc.chains_keep_the_order")
    return theorem


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda it: replace(it, fails=holds), "should break has no counterexample"),
        (lambda it: replace(it, find=lambda: None), "no run was found in which no_carry breaks HLC-1"),
        (lambda it: replace(it, promise="HLC-3"), "breaks nothing in a run that should break HLC-3"),
    ],
    ids=["still proved", "no run", "another promise"],
)
def test_a_wrong_rule_that_is_not_refuted_is_unexpected(
    change: Callable[[Refutation], Refutation],
    detail: str,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = change(find_refutation("hlc.no_carry"))
    monkeypatch.setattr(registry, "find_refutation", lambda name: changed)
    outcome = z3_engine.run(refute("no_carry"), context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert detail in outcome.detail


def test_code_that_differs_from_the_formulas_is_unexpected(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(solved._RULES, "no_carry", HybridLogicalClock)
    outcome = z3_engine.run(refute("no_carry"), context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "the code of no_carry breaks nothing" in outcome.detail


@pytest.mark.parametrize("tool", ["z3", "cvc5"])
def test_a_solver_that_is_missing_is_named_with_the_remedy(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = z3_engine if tool == "z3" else cvc5_engine
    assert engine.missing() == ""
    monkeypatch.setattr(
        f"{engine.__name__}.importlib.util.find_spec", lambda name: None if name == tool else object()
    )
    assert f"{tool} is missing: pip install" in engine.missing().lower()
