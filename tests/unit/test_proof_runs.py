"""The runs by which wrong rules are refuted: found, from the beginning, and never for the right rules."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import z3

from scratchbird_check.counterexamples import solved
from scratchbird_check.counterexamples.solved import NotPlayedError, played
from scratchbird_check.traces.hlc import event_from_json
from scratchbird_check.variants.hlc import MergesAtOnce, NoCarry
from scratchbird_proofs.hlc_refutations import SCENARIOS
from scratchbird_proofs.hlc_rules import Rules
from scratchbird_proofs.hlc_runs import CONFIG, SETTINGS, FoundRun, Moved, search
from scratchbird_proofs.hlc_variants import VARIANTS
from scratchbird_proofs.refutation import FoundPair, no_longer_proved
from scratchbird_proofs.registry import find_refutation, find_theorems, refutations
from scratchbird_proofs.theorem import prove
from scratchbird_reference.hlc import Durable, Reason, Refused, Stamp, State, Tick

NAMES = [item.id for item in refutations()]


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_rule_is_refuted_by_a_run_that_the_code_plays(name: str) -> None:
    refutation = find_refutation(name)
    assert no_longer_proved(refutation)
    found = refutation.find()
    assert found is not None
    trace = played(refutation, found)
    assert trace.engine == "Z3"
    assert trace.steps[-1].wrong
    assert [step.wrong for step in trace.steps].count(True) == 1
    assert trace.verdict


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_right_rules_have_no_such_run(name: str) -> None:
    right = Rules(SETTINGS)
    assert search(SCENARIOS[name], right, right) is None


def test_the_solver_needs_every_step_that_it_chose() -> None:
    scenario, right, wrong = SCENARIOS["no_carry"], Rules(SETTINGS), VARIANTS["no_carry"](SETTINGS)
    # A solver that gives up at 3 would go on to 4: on a busy machine it is given longer than a check is.
    found = search(scenario, right, wrong, timeout_ms=120_000)
    assert found is not None
    assert found.chosen == 3
    assert search(replace(scenario, most=2), right, wrong, timeout_ms=120_000) is None


def test_a_node_that_stalls_and_resets_is_shown_losing_whole_milliseconds() -> None:
    """Else it could not be told from a counter that wraps in place."""
    refutation = find_refutation("hlc.stall_and_reset")
    found = refutation.find()
    assert found is not None
    labels = [step.label for step in played(refutation, found).steps[-2:]]
    before, after = (int(re.findall(r"(\d+):\d+", label)[0]) for label in labels)
    assert after < before


def test_a_solver_that_gives_up_has_found_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(z3.Solver, "check", lambda *_: z3.unknown)
    scenario = SCENARIOS["eager_reserve"]
    assert search(scenario, Rules(SETTINGS), VARIANTS["eager_reserve"](SETTINGS)) is None


def test_a_run_is_written_in_the_words_of_traces() -> None:
    found = find_refutation("hlc.carries_unchecked").find()
    assert isinstance(found, FoundRun)
    kinds = [move.event["event"] for move in found.moves]
    assert kinds[-2:] == ["stamp", "observe"]
    assert "persisted" not in kinds
    assert found.moves[-1].receives == found.moves[-2].sends != ""
    assert "crash" in kinds
    assert found.moves[kinds.index("crash")].event == {"event": "crash"}


def test_a_node_that_merges_at_once_is_silenced() -> None:
    """What the last step of the run that was found leads to: no id, and no message."""
    found = find_refutation("hlc.merges_at_once").find()
    assert isinstance(found, FoundRun)
    trace = played(find_refutation("hlc.merges_at_once"), found)
    assert trace.verdict == (
        "n1 merged 100400:0 from n2: its next tick would be 100400:1, which is refused at wall clock 100000: "
        "a peer silences it (HLC-4)."
    )
    rules, state = MergesAtOnce(CONFIG), State(Durable(1))
    for step in trace.steps:
        if step.lane == "n1" and step.event is not None:
            state, _ = rules.step(state, event_from_json(dict(step.event)))
    wall, monotonic = (found.moves[-1].event[name] for name in ("wall", "monotonic"))
    for event, wait in ((Tick(wall, monotonic), 150), (Stamp(wall, monotonic), 150)):
        _, (refused,) = rules.step(state, event)
        assert refused == Refused(Reason.AHEAD, wait, wall)


def test_a_proof_that_holds_is_no_refutation() -> None:
    (theorem,) = find_theorems("hlc.ids_of_a_node_increase")
    refutation = replace(find_refutation("hlc.no_carry"), fails=lambda: theorem)
    assert prove(theorem).proved
    assert no_longer_proved(refutation) == ""


def test_a_run_in_which_nothing_breaks_is_no_counterexample() -> None:
    refutation = find_refutation("hlc.no_carry")
    found = refutation.find()
    assert isinstance(found, FoundRun)
    with pytest.raises(NotPlayedError, match=r"breaks nothing in a run that should break HLC-1"):
        played(refutation, FoundRun(found.moves[:-1]))


def test_a_run_that_the_code_can_not_take_is_no_counterexample() -> None:
    refutation = find_refutation("hlc.no_carry")
    tick = Moved(1, {"event": "tick", "wall": 5, "monotonic": 0})
    with pytest.raises(NotPlayedError, match="can not take this run"):
        played(refutation, FoundRun((tick,)))


def test_a_run_that_breaks_something_else_is_no_counterexample() -> None:
    refutation = find_refutation("hlc.blind_hop")
    found = refutation.find()
    assert isinstance(found, FoundRun)
    with pytest.raises(NotPlayedError, match=r"breaks nothing in a run that should break HLC-1"):
        played(replace(refutation, promise="HLC-1"), found)


def test_a_run_in_which_the_right_code_breaks_something_is_no_counterexample(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refutation = find_refutation("hlc.no_carry")
    found = refutation.find()
    assert isinstance(found, FoundRun)
    monkeypatch.setattr(solved, "HybridLogicalClock", NoCarry)
    with pytest.raises(NotPlayedError, match=r"the right rules break HLC-1"):
        played(refutation, found)


def test_a_pair_of_ids_in_the_right_order_is_no_counterexample() -> None:
    with pytest.raises(NotPlayedError, match="layout_b"):
        played(find_refutation("uuid8.layout_b"), FoundPair((1000, 1), (1000, 2)))
