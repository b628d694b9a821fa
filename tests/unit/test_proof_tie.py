"""The tie between formulas and code holds, and a thread that is cut is noticed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import z3

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import compiled, layout, odds, transition
from scratchbird_check.ties.sampling import samples
from scratchbird_check.variants.hlc import VARIANTS, NoCarry
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs import hlc_variants
from scratchbird_proofs.hlc_rules import Rules, ms_of
from scratchbird_proofs.theorem import Term
from scratchbird_reference.hlc import HybridLogicalClock
from scratchbird_reference.uuid8 import UuidV8

a, b, c = z3.Ints("a b c")
p = z3.Bool("p")
numbers = z3.Array("numbers", z3.IntSort(), z3.BoolSort())


@pytest.fixture(autouse=True)
def _compile_anew() -> Iterator[None]:
    transition.judge.cache_clear()
    yield
    transition.judge.cache_clear()


def tie(path: Path, steps: int, seed: int = 1) -> Outcome:
    entry = Check("tie", "hlc", "python", ("quick",), Verdict.CHECKED, ("HLC-1",), options={"steps": steps})
    return transition.run(entry, Context(path, seed=seed))


def test_the_formulas_are_the_steps_of_the_reference(tmp_path: Path) -> None:
    outcome = tie(tmp_path, 12_000)
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert outcome.figures["steps"] == 12_000
    assert all(outcome.figures[f"rejected {name}"] for name in VARIANTS)
    assert int(outcome.figures["compared with Z3"]) > 100


def test_a_case_that_no_step_met_is_unexpected(tmp_path: Path) -> None:
    outcome = tie(tmp_path, 50)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "never met: " in outcome.detail
    assert outcome.log is not None
    assert "never met: variant eager_reserve" in outcome.log.read_text(encoding="utf-8")


def wrong_carry(self: Rules, timestamp: Term) -> Term:
    return z3.If(timestamp % 4096 == 4095, ms_of(timestamp) * 4096, timestamp + 1)


def test_breaking_the_carry_in_the_formulas_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rules, "successor", wrong_carry)
    outcome = tie(tmp_path, 1_500)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "the formulas reject a step of the reference" in outcome.detail


def test_breaking_the_carry_in_the_reference_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HybridLogicalClock, "successor", NoCarry.successor)
    outcome = tie(tmp_path, 1_500)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "the formulas reject a step of the reference" in outcome.detail


def test_formulas_that_say_too_little_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transition, "applies", lambda case, effects, after: case.when)
    outcome = tie(tmp_path, 1_000)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "the formulas accept a step with one value altered" in outcome.detail


def test_a_step_of_a_variant_that_the_formulas_accept_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transition.Tie, "_alter", lambda *_: None)
    monkeypatch.setattr(transition, "applies", lambda case, effects, after: case.when)
    outcome = tie(tmp_path, 1_500)
    assert outcome.log is not None
    assert "the formulas accept a step of " in outcome.log.read_text(encoding="utf-8")


def test_a_variant_whose_formulas_are_not_its_code_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(hlc_variants.VARIANTS, "no_upper_bound", Rules)
    outcome = tie(tmp_path, 1_500)
    assert "the formulas of no_upper_bound reject its own step" in outcome.detail


def test_an_event_that_only_the_reference_refuses_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transition, "enabled", lambda kind, node, event: z3.BoolVal(True))
    outcome = tie(tmp_path, 1_000)
    assert "the reference raises where the formulas allow a step" in outcome.detail


def test_a_compiled_formula_that_is_not_the_formula_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = z3.simplify
    monkeypatch.setattr(z3, "simplify", lambda term: z3.Not(real(term)))
    assert "the compiled formula and Z3 disagree" in tie(tmp_path, 200).detail


def test_the_same_seed_gives_the_same_steps() -> None:
    assert list(samples(5, 300)) == list(samples(5, 300))
    assert list(samples(5, 300)) != list(samples(6, 300))


@pytest.mark.parametrize(
    "formula",
    [
        a + b * c - 2 == 7,
        -a < b,
        z3.And(a <= b, z3.Or(p, b > c)),
        z3.Implies(p, a >= b),
        z3.Not(p) == (a != b),
        z3.If(a > b, a, b) == c,
        (a / 3) * 3 + a % 3 == a,
        a / 3 == b,
        z3.Select(numbers, a),
        z3.Store(numbers, a, z3.BoolVal(False)) == numbers,
        z3.Store(z3.K(z3.IntSort(), z3.BoolVal(False)), a, p) == numbers,
        z3.BoolVal(True),
        z3.BoolVal(False),
    ],
    ids=str,
)
@pytest.mark.parametrize("values", [(3, 2, 3, True, frozenset({3})), (-4, 7, 0, False, frozenset({1}))])
def test_a_compiled_formula_is_the_formula(formula: Any, values: tuple[Any, ...]) -> None:
    judge = compiled.function(["a", "b", "c", "p", "numbers"], [formula])
    pairs = [
        (name, transition._literal(value, name))
        for name, value in zip((a, b, c, p, numbers), values, strict=True)
    ]
    expected = z3.Solver()
    expected.add(z3.substitute(formula, *pairs))
    assert judge(*values) == (0 if expected.check() == z3.sat else -1)


def test_the_first_formula_that_is_true_is_told() -> None:
    judge = compiled.function(["a"], [a < 0, a == 0, a > 0])
    assert [judge(value) for value in (-5, 0, 5)] == [0, 1, 2]


def test_what_can_not_be_compiled_is_named() -> None:
    with pytest.raises(ValueError, match=r"speaks of 'b', which is no argument"):
        compiled.function(["a"], [a < b])
    with pytest.raises(ValueError, match=r"no Python for the operation distinct"):
        compiled.function(["a", "b", "c"], [z3.Distinct(a, b, c)])


def entry(**options: int) -> Check:
    return Check("it", "uuid8", "python", ("quick",), Verdict.CHECKED, ("HLC-7",), options=options)


def test_the_layout_is_the_references(tmp_path: Path) -> None:
    outcome = layout.run(entry(ids=60), Context(tmp_path))
    assert outcome.verdict is Verdict.CHECKED
    assert int(outcome.figures["foreign ids"]) > 10


def test_a_layout_that_is_not_the_references_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UuidV8, "__int__", lambda self: self.random)
    assert layout.run(entry(ids=3), Context(tmp_path)).verdict is Verdict.UNEXPECTED


def test_a_tie_without_foreign_ids_is_none(tmp_path: Path) -> None:
    outcome = layout.run(entry(ids=0), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "sample more" in outcome.detail


def test_the_odds_are_computed(tmp_path: Path) -> None:
    outcome = odds.run(entry(bits=46), Context(tmp_path))
    assert outcome.verdict is Verdict.COMPUTED
    assert outcome.figures["odds of a pair"] == f"1/{2**46}"


def test_other_odds_are_unexpected(tmp_path: Path) -> None:
    outcome = odds.run(entry(bits=34), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "not 1/17179869184" in outcome.detail
