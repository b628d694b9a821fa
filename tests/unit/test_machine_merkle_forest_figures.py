"""The published figures of a repair and of a forest's weight, counted again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scratchbird_check import manifest, resources
from scratchbird_check.context import Context
from scratchbird_check.machines import merkle_forest_figures as figures
from scratchbird_check.verdicts import Verdict

CHECKS = {check.id: check for check in manifest.parse(resources.manifest_text())}


@pytest.mark.parametrize(
    ("rows", "nodes"),
    [
        (0, None),
        (1, 1),
        (6, 1),
        (95, 1),
        (96, 17),
        (1_535, 17),
        (1_536, 273),
        (24_576, 4_369),
        (1_000_000, 69_905),
    ],
)
def test_a_window_has_its_entries_and_the_digests_of_its_upper_nodes(rows: int, nodes: int | None) -> None:
    assert figures.window_bytes(rows) == (0 if nodes is None else 48 * rows + 32 * nodes)


def test_a_row_is_heaviest_where_a_level_has_just_been_added() -> None:
    assert figures.heaviest_row(1, 10) == 80
    assert figures.heaviest_row(6, 95) == pytest.approx(48 + 32 / 6)
    assert figures.heaviest_row(6, 2_000) == pytest.approx(48 + 32 * 273 / 1_536)


def test_the_repair_is_as_pinned_and_another_count_is_noticed(tmp_path: Path) -> None:
    context, check = Context(tmp_path), CHECKS["computed-merkle-forest-repair"]
    outcome = figures.run_repair(check, context)
    assert outcome.verdict is Verdict.COMPUTED, outcome.detail
    assert outcome.figures["overwritten_rows"] == 1_000
    for case in ("missing", "overwritten"):
        for name in check.options[case]:
            wrong = {**check.options[case], name: check.options[case][name] + 1}
            outcome = figures.run_repair(replace(check, options={**check.options, case: wrong}), context)
            assert outcome.verdict is Verdict.UNEXPECTED
            assert outcome.detail.startswith(f"{case}: counted")


def test_the_weight_is_as_pinned_and_another_one_is_noticed(tmp_path: Path) -> None:
    context, check = Context(tmp_path), CHECKS["computed-merkle-forest-room"]
    assert figures.run_room(check, context).verdict is Verdict.COMPUTED
    for name in ("bytes_a_row_mean_window", "bytes_a_row_one_window", "bytes_a_row_at_most", "bytes_told"):
        wrong = replace(check, options={**check.options, name: check.options[name] + 1})
        outcome = figures.run_room(wrong, context)
        assert outcome.verdict is Verdict.UNEXPECTED
        assert "pinned" in outcome.detail
