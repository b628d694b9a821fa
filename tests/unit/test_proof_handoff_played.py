"""What Z3 finds against the rules of handoff is played by the code, whichever run the solver chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import z3

from scratchbird_check.counterexamples import handoff_solved
from scratchbird_check.counterexamples.solved import NotPlayedError, played
from scratchbird_check.traces.quorum_moves import Act
from scratchbird_check.variants import handoff as variants
from scratchbird_proofs.handoff import Rules
from scratchbird_proofs.handoff_refutations import (
    WRONG,
    FoundPast,
    FoundRepair,
    find_repair,
    refutations,
)
from scratchbird_proofs.refutation import Found, Refutation, no_longer_proved

REFUTATIONS = {item.variant: item for item in refutations()}


def found(variant: str) -> tuple[Refutation, Found]:
    refutation = REFUTATIONS[variant]
    run = refutation.find()
    assert run is not None
    return refutation, run


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> Iterator[int]:
    """The solver starts from another place, and finds another run."""
    for name in ("smt.random_seed", "sat.random_seed"):
        z3.set_param(name, request.param)
    yield request.param
    for name in ("smt.random_seed", "sat.random_seed"):
        z3.set_param(name, 0)


@pytest.mark.parametrize("seed", range(5), indirect=True)
@pytest.mark.parametrize("variant", REFUTATIONS)
def test_any_run_that_is_found_is_played(variant: str, seed: int) -> None:
    trace = played(*found(variant))
    assert (trace.promise, trace.part, trace.engine) == (REFUTATIONS[variant].promise, "handoff", "Z3")
    assert trace.steps[-1].wrong


@pytest.mark.parametrize("variant", REFUTATIONS)
def test_a_theorem_no_longer_holds(variant: str) -> None:
    wrong = WRONG[variant]
    assert no_longer_proved(REFUTATIONS[variant]) == f"{wrong.theorem} fails in {wrong.breaks}"


@pytest.mark.parametrize("variant", REFUTATIONS)
def test_nothing_is_found_against_the_right_rules(variant: str) -> None:
    assert WRONG[variant].find(Rules()) is None


@pytest.mark.parametrize("variant", REFUTATIONS)
def test_code_that_keeps_the_promise_is_noticed(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(variants.VARIANTS, variant, variants.RIGHT)
    with pytest.raises(NotPlayedError, match=f"the code of {variant} breaks nothing in a run that should"):
        played(*found(variant))


@pytest.mark.parametrize("variant", REFUTATIONS)
def test_right_rules_that_break_something_are_noticed(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "RIGHT", variants.VARIANTS[variant])
    with pytest.raises(NotPlayedError, match=r"the right rules break HNT-\d in the run found against"):
        played(*found(variant))


def test_a_repair_is_found_where_one_is_not_enough() -> None:
    class OneFewer(Rules):
        """N - W - 1 others pay."""

        def pays(self, heard: z3.ArithRef) -> z3.BoolRef:
            return Rules.pays(self, heard + 1)

    run = find_repair(OneFewer())
    assert isinstance(run, FoundRepair)
    n, w = run.sizes
    assert len(run.heard) == n - w - 1
    assert len(run.holders) >= w
    assert not set(run.heard) & set(run.holders)


def test_a_step_that_the_code_does_not_know_is_an_error() -> None:
    _, run = found("settles_alone")
    assert isinstance(run, FoundPast)
    with pytest.raises(ValueError, match="step 'forget' is none that the code knows"):
        handoff_solved.of_past(replace(run, steps=(("forget", 0, 0),)))


def test_what_replicas_hold_at_first_is_written_in_the_order_of_the_versions() -> None:
    run = FoundPast(9, (4, 2), 4, (("take", 0, 6),))
    moves = handoff_solved.of_past(run).moves
    assert [(move.act, move.op, move.replicas, move.value) for move in moves if move.op] == [
        (Act.WRITE, "2", (), "b"),
        (Act.STORE, "2", (2,), ""),
        (Act.WRITE, "4", (), None),
        (Act.STORE, "4", (1,), ""),
        (Act.WRITE, "6", (), "f"),
        (Act.STORE, "6", (1,), ""),
    ]
