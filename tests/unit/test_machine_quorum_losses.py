"""The adversary that loses disks: it finds every wrong rule, and says so where too little happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchbird_check.context import Context
from scratchbird_check.machines import quorum_losses
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Verdict


def check(variant: str = "", runs: int = 3000) -> Check:
    expect = Verdict.REFUTED if variant else Verdict.CHECKED
    return Check(
        "losses", "quorum", "python", ("quick",), expect, ("QRM-14",), variant, options={"runs": runs}
    )


def test_the_right_rules_hold_and_much_happens(tmp_path: Path) -> None:
    outcome = quorum_losses.holds(check(runs=300), Context(tmp_path))
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert outcome.figures["runs"] == 1800
    assert float(outcome.figures["committed"]) > 900
    assert float(outcome.figures["lost_disks"]) > 3000


@pytest.mark.parametrize("variant", quorum_losses.VARIANTS)
def test_each_wrong_rule_is_found_at_every_setting(variant: str, tmp_path: Path) -> None:
    outcome = quorum_losses.refutes(check(variant), Context(tmp_path))
    assert outcome.verdict is Verdict.REFUTED, outcome.detail
    assert outcome.figures["settings"] == (4 if variant == "too_few_others" else 6)
    assert "the write is acknowledged, and replicas" in outcome.detail


def test_a_wrong_rule_that_is_not_found_is_unexpected(tmp_path: Path) -> None:
    outcome = quorum_losses.refutes(check("own_incarnation_only", runs=2), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "own_incarnation_only was not refuted at N, W, R = (3, 2, 2)" in outcome.detail


def test_a_violation_of_the_right_rules_would_be_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quorum_losses, "Rules", quorum_losses.CountsOldIncarnation)
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
