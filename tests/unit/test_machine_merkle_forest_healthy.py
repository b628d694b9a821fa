"""Two healthy replicas that look different under a wrong rule, and do not under ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from scratchbird_check import manifest, resources
from scratchbird_check.context import Context
from scratchbird_check.machines import merkle_forest_costs as costs
from scratchbird_check.machines import merkle_forest_healthy as healthy
from scratchbird_check.manifest import Check
from scratchbird_check.variants.merkle_forest import ComparesAcrossSettings, LeavesAtOnce
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_reference.merkle_forest import Rules, Shape

CHECKS = {check.id: check for check in manifest.parse(resources.manifest_text())}
LEAVES = CHECKS["played-merkle-forest-leaves-at-once"]
SETTINGS = CHECKS["played-merkle-forest-compares-across-settings"]


@dataclass(frozen=True, slots=True)
class OnlyComparable(Rules):
    """The setting is in the digests, and nobody asks for it."""

    def comparable(self, mine: Shape, theirs: Shape) -> bool:
        return True


@pytest.mark.parametrize("count", range(9))
def test_what_is_under_way_is_moved_for_nothing_where_rows_leave_at_once(count: int) -> None:
    wrong = healthy.overwrites_under_way(LeavesAtOnce(), count)
    assert (wrong.windows > 0) == (count > 0)
    assert wrong.moved == count // 2
    assert wrong.moved == costs.ours(costs.forest(500, 9), costs.taken_out(costs.forest(500, 9), count)).rows


@pytest.mark.parametrize("count", [0, 1, 8, 20])
def test_what_is_under_way_is_not_seen_where_the_old_entry_stays(count: int) -> None:
    assert healthy.overwrites_under_way(Rules(), count) == healthy.Played(0, 0)


def test_two_lengths_of_windows_have_no_window_in_common_and_move_every_row_both_ways() -> None:
    _, played = healthy.restarted(ComparesAcrossSettings(), healthy.with_longer_windows)
    assert [item.moved for item in played] == [2 * healthy.ROWS] * 2
    assert not any(item.reason for item in played)


def test_who_only_asks_for_two_settings_finds_that_the_digests_are_of_another_one() -> None:
    _, played = healthy.restarted(OnlyComparable(), healthy.with_longer_windows)
    assert all("build it anew" in item.reason for item in played)


def test_by_our_rule_they_do_not_compare_until_both_have_it() -> None:
    _, played = healthy.restarted(Rules(), healthy.with_longer_windows)
    assert [item.moved for item in played] == [0, 0]
    assert all(item.reason == "setting 0 is not 1: build the older forest anew" for item in played)


def test_another_grace_is_no_difference() -> None:
    _, played = healthy.restarted(Rules(), healthy.with_longer_grace)
    assert played == [healthy.Played(0, 0)] * 2


def run(check: Check, tmp_path: Path, **options: int) -> Outcome:
    """The check, with other options."""
    changed = replace(check, options={**check.options, **options})
    target = healthy.run_leaves if check is LEAVES else healthy.run_settings
    return target(changed, Context(tmp_path))


@pytest.mark.parametrize(
    ("check", "pins"),
    [(LEAVES, ("windows", "rows", "bytes")), (SETTINGS, ("moved", "bytes"))],
    ids=lambda it: "",
)
def test_the_checks_refute_and_notice_another_count(
    check: Check, pins: tuple[str, ...], tmp_path: Path
) -> None:
    outcome = run(check, tmp_path)
    assert outcome.verdict is Verdict.REFUTED, outcome.detail
    assert outcome.counterexample is not None
    assert outcome.counterexample.wrong_step is not None
    assert check.variant in outcome.counterexample.title
    for pin in pins:
        outcome = run(check, tmp_path, **{pin: check.options[pin] + 1})
        assert outcome.verdict is Verdict.UNEXPECTED
        assert "pinned" in outcome.detail


def test_a_variant_that_does_no_harm_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthy, "LeavesAtOnce", Rules)
    assert run(LEAVES, tmp_path).verdict is Verdict.UNEXPECTED
    monkeypatch.setattr(healthy, "ComparesAcrossSettings", Rules)
    assert run(SETTINGS, tmp_path).verdict is Verdict.UNEXPECTED


def test_a_rule_of_ours_that_does_harm_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healthy, "Rules", LeavesAtOnce)
    assert run(LEAVES, tmp_path).verdict is Verdict.UNEXPECTED
    monkeypatch.setattr(healthy, "Rules", OnlyComparable)
    assert run(SETTINGS, tmp_path).verdict is Verdict.UNEXPECTED
