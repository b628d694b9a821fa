"""Runs of exchanges whose messages are under way are behaviours of the forest's model; wrong ones are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc, tlc_config
from scratchbird_check.manifest import Check
from scratchbird_check.ties import merkle_forest_runs
from scratchbird_check.ties.merkle_forest_runs import Run, machines_of, played, seen_by_model
from scratchbird_check.ties.merkle_forest_world import Instance, StrangeStep
from scratchbird_check.variants.merkle_forest import VARIANTS, Variant
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference.merkle_forest_exchange import Answerer, Answering
from scratchbird_reference.merkle_forest_replica import ForestReplica, State

CONFIG = "MC_merkle_forest_apart_runs.cfg"

needs_tlc = pytest.mark.skipif(bool(tlc.missing()), reason=tlc.missing() or "TLC is here")


def instance(machines: Variant | None = None) -> Instance:
    text = (resources.models() / CONFIG).read_text(encoding="utf-8")
    return machines_of(tlc_config.parse(text).constants, machines or Variant())


def tie(folder: Path, runs: int = 4, **least: int) -> Outcome:
    options = MappingProxyType({"config": CONFIG, "runs": runs, "moves": 250, "least": least})
    entry = Check(
        "tie",
        "merkle_forest",
        "python",
        ("quick",),
        Verdict.CHECKED,
        ("MRK-4",),
        timeout_s=120,
        options=options,
    )
    return merkle_forest_runs.check_runs(entry, Context(folder, seed=1))


@needs_tlc
def test_what_the_reference_does_is_steps_of_the_model(tmp_path: Path) -> None:
    outcome = tie(tmp_path, Compare=5, MeetTold=1, Dealt=1)
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert int(outcome.figures["steps"]) > 250


def test_too_few_of_an_action_are_unexpected(tmp_path: Path) -> None:
    outcome = tie(tmp_path, Compare=10_000)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail.startswith("too few of some actions: {'Compare': ")


def test_the_same_seed_is_the_same_run_and_each_action_is_taken() -> None:
    once, again = (Run(instance(), 7).play(200) for _ in range(2))
    assert once == again
    assert set(played(instance(), 12, 250, 1)[1]) >= {
        *("Write", "Arrive", "Advance", "Rehash", "Crash", "Close", "Converge", "Settle", "Purge"),
        *("Offer", "BeginOffered", "Compare", "MeetTold", "GiveRow", "TakeGiven", "Dealt", "Succeed", "Fail"),
    }


def test_each_state_is_written_in_the_variables_of_the_module() -> None:
    run = Run(instance(), 3)
    variables = {tuple(seen_by_model(run.instance, seen)) for seen in run.play(100)}
    assert [names[-3:] for names in variables] == [("offered", "through", "given")]


# --- wrong rules ------------------------------------------------------------------------------------------


class TakesAnotherSnapshot(Answerer):
    """An opening that comes a second time is a new one."""

    def step(self, state: Answering, replica: State, question: messages.Question) -> Any:
        if isinstance(question, messages.Open):
            state = Answering(tuple(item for item in state.snapshots if item[0] != question.exchange))
        return Answerer.step(self, state, replica, question)


class SaysItTook(Answerer):
    """It says that it took what it was given, and takes only what is not deleted."""

    def _give(self, state: Answering, replica: State, question: messages.Give) -> Any:
        kept = tuple(item for item in question.given if not item[0].deletes)
        state, replica, _ = Answerer._give(self, state, replica, replace(question, given=kept))
        rows = tuple(entry.row for entry, _ in question.given)
        return state, replica, messages.Took(question.exchange, rows)


class MergesBlindly(ForestReplica):
    """Who meets an entry shows it, whatever else is held."""

    def _meet(self, state: State, event: Any) -> State:
        state = ForestReplica._meet(self, state, event)
        return self._with(state, {**dict(state.forest.entries), event.entry.row: event.entry})


@pytest.mark.parametrize("machines", [VARIANTS["compares_as_it_is"], Variant(answerer=TakesAnotherSnapshot)])
def test_a_wrong_rule_does_what_the_model_has_no_notion_of(machines: Variant) -> None:
    with pytest.raises(StrangeStep, match="replica"):
        played(instance(machines), 60, 250, 1)


@needs_tlc
@pytest.mark.parametrize(
    "machines",
    [
        *(VARIANTS[name] for name in ("one_sided", "immutable", "serves_stale", "forgets_dirt")),
        *(VARIANTS[name] for name in ("own_windows_only", "records_failure", "leaves_at_once")),
        Variant(answerer=SaysItTook),
        Variant(MergesBlindly()),
    ],
)
def test_runs_of_a_wrong_rule_are_no_behaviours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machines: Variant
) -> None:
    wrong = instance(machines)
    monkeypatch.setattr(merkle_forest_runs, "machines_of", lambda constants: wrong)
    outcome = tie(tmp_path, 12)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "is no behaviour: " in outcome.detail
