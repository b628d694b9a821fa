"""The adversary that loses disks: it finds every wrong rule, and says so where too little happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchbird_check.context import Context
from scratchbird_check.machines import quorum_losses
from scratchbird_check.machines.quorum_losses import attack
from scratchbird_check.manifest import Check
from scratchbird_check.variants.quorum import CountsOldIncarnation, TooFewOthers, own_only, whole_map
from scratchbird_check.verdicts import Verdict
from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_messages import Setting

WRONG = {
    "counts_old_incarnation": (CountsOldIncarnation(), whole_map),
    "own_incarnation_only": (Rules(), own_only),
    "too_few_others": (TooFewOthers(), whole_map),
}


def check(runs: int) -> Check:
    return Check(
        "losses", "quorum", "python", ("quick",), Verdict.CHECKED, ("QRM-14",), options={"runs": runs}
    )


def test_the_right_rules_hold_and_much_happens(tmp_path: Path) -> None:
    outcome = quorum_losses.holds(check(runs=300), Context(tmp_path))
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert outcome.figures["runs"] == 1800
    assert float(outcome.figures["committed"]) > 900
    assert float(outcome.figures["lost_disks"]) > 3000


@pytest.mark.parametrize("numbers", quorum_losses.SETTINGS)
@pytest.mark.parametrize("variant", WRONG)
def test_the_adversary_finds_each_wrong_rule(variant: str, numbers: tuple[int, int, int]) -> None:
    size, write, read = numbers
    if variant == "too_few_others" and write == size:
        return  # There it is the right rule.
    setting = Setting(tuple(range(size)), write, read)
    rules, catalog = WRONG[variant]
    found = next(run for seed in range(3000) if (run := attack(seed, setting, rules, catalog)).missing)
    assert found.committed
    assert len(found.missing) >= read
    assert not attack(found.seed, setting, Rules()).missing


def test_a_violation_of_the_right_rules_would_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quorum_losses, "Rules", CountsOldIncarnation)
    outcome = quorum_losses.holds(check(runs=300), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "have a vote and lack it" in outcome.detail


def test_runs_in_which_nothing_happens_are_no_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quorum_losses, "STEPS", 2)
    outcome = quorum_losses.holds(check(runs=100), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "too little happened" in outcome.detail
