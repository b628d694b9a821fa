"""What Z3 finds against the rules of quorums is played by the code, whichever run the solver chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import z3

from scratchbird_check.counterexamples import quorum_solved, solved
from scratchbird_check.counterexamples.solved import NotPlayedError, played
from scratchbird_check.traces.quorum_moves import Act
from scratchbird_check.variants import quorum as variants
from scratchbird_proofs.quorum import refutations
from scratchbird_proofs.quorum_loss_runs import FoundLoss
from scratchbird_proofs.quorum_refutations import FoundStep, FoundStory
from scratchbird_proofs.refutation import Found, Refutation

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


@pytest.mark.parametrize("seed", range(1, 6), indirect=True)
@pytest.mark.parametrize("variant", REFUTATIONS)
def test_any_run_that_is_found_is_played(variant: str, seed: int) -> None:
    trace = played(*found(variant))
    assert trace.promise == REFUTATIONS[variant].promise
    assert trace.steps[-1].wrong


@pytest.mark.parametrize(
    "variant", [name for name in REFUTATIONS if name not in ("disjoint_quorums", "online_change")]
)
def test_code_that_keeps_the_promise_is_noticed(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(variants.VARIANTS, variant, variants.RIGHT)
    with pytest.raises(
        NotPlayedError, match=f"the code of {variant} breaks nothing in a run that should break"
    ):
        played(*found(variant))


@pytest.mark.parametrize("variant", ["disjoint_quorums", "online_change"])
def test_a_wrong_setting_is_what_is_wrong(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refutation, run = found(variant)
    assert isinstance(run, FoundStory)
    whole = quorum_solved.of_story(variant, run)
    assert whole.wrong.settings != whole.right.settings
    monkeypatch.setattr(quorum_solved, "of_story", lambda *_: replace(whole, wrong=whole.right))
    with pytest.raises(NotPlayedError, match="breaks nothing"):
        played(refutation, run)


def test_right_rules_that_break_something_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(variants, "RIGHT", variants.VARIANTS["one_round"])
    with pytest.raises(
        NotPlayedError, match="the right rules break QRM-2 in the run found against one_round"
    ):
        played(*found("one_round"))


def test_a_run_that_the_code_can_not_take_is_noticed() -> None:
    run = FoundStory((3, 2, 2), (2, 2), (FoundStep("apply", 0, 0, 1),), 1, 0)
    with pytest.raises(
        NotPlayedError, match="the code of one_round can not take this run: Store of 'operation 0'"
    ):
        played(REFUTATIONS["one_round"], run)


def test_steps_that_the_code_does_not_know_are_errors() -> None:
    with pytest.raises(ValueError, match="step 'forget' is none that the code knows"):
        quorum_solved.of_story(
            "one_round", FoundStory((3, 2, 2), (2, 2), (FoundStep("forget", 0, 0, 0),), 1, 0)
        )
    with pytest.raises(
        ValueError, match="step 'learn' is none that the code knows: ack, lose, tell or recover"
    ):
        quorum_solved.of_loss(FoundLoss((3, 2, 2), (("learn", 0, 1),), 0))


def test_what_nobody_can_play_is_an_error() -> None:
    class Other(Found):
        """A kind of run that nobody knows."""

    with pytest.raises(
        TypeError, match=f"quorum.one_round found a Other: teach {solved.__name__} to play it"
    ):
        played(REFUTATIONS["one_round"], Other())


def test_steps_that_belong_together_are_one_line() -> None:
    _, run = found("disjoint_quorums")
    assert isinstance(run, FoundStory)
    moves = quorum_solved.of_story("disjoint_quorums", run).moves
    assert [move.act for move in moves] == [Act.WRITE, Act.HOLD, Act.READ, Act.HOLD]
    assert [len(move.hears) for move in moves] == [2, 0, 2, 0]
    assert len(moves[1].replicas) == 2
