"""Other trees, counted: what they move for a row, and that ours moves only what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scratchbird_check import manifest, resources
from scratchbird_check.context import Context
from scratchbird_check.machines import merkle_forest_shapes as shapes
from scratchbird_check.verdicts import Verdict

CHECKS = {check.id: check for check in manifest.parse(resources.manifest_text())}
ROWS = shapes.entries_of(range(64))


@pytest.mark.parametrize("missing", [0, 1, 31, 62, 63])
def test_a_rank_shaped_tree_moves_all_that_stand_after_the_missing_row(missing: int) -> None:
    mine = [row for place, row in enumerate(ROWS) if place != missing]
    after = len(ROWS) - missing
    assert shapes.rank_shaped(mine, ROWS).rows == 2 * after - 1
    assert shapes.rank_shaped(ROWS, mine).rows == 2 * after - 1
    assert shapes.ours(mine, ROWS).rows == shapes.ours(ROWS, mine).rows == 1


def test_an_overwritten_row_moves_itself_in_either_tree() -> None:
    mine = [replace(row, digest=b"other" * 4) if place == 5 else row for place, row in enumerate(ROWS)]
    assert shapes.rank_shaped(mine, ROWS).rows == 2
    assert shapes.ours(mine, ROWS).rows == 2


def test_equal_trees_cost_one_digest() -> None:
    assert shapes.rank_shaped(ROWS, ROWS) == shapes.ours(ROWS, ROWS) == shapes.Cost(1, 0)


@pytest.mark.parametrize("rows", range(1, 12))
def test_the_odd_node_is_promoted_at_every_size(rows: int) -> None:
    mine, theirs = ROWS[: rows - 1], ROWS[:rows]
    assert shapes.rank_shaped(mine, theirs).rows == shapes.ours(mine, theirs).rows == 1


def test_the_checks_refute_and_notice_another_count(tmp_path: Path) -> None:
    context = Context(tmp_path)
    rank = CHECKS["count-merkle-forest-rank-shaped"]
    assert shapes.run_rank(rank, context).verdict is Verdict.REFUTED
    wrong = replace(rank, options={**rank.options, "rank_rows": 7})
    assert "pinned" in shapes.run_rank(wrong, context).detail
    domains = CHECKS["collision-merkle-forest-no-domains"]
    assert shapes.run_domains(domains, context).verdict is Verdict.REFUTED


def test_a_hash_that_tells_the_rows_apart_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context(tmp_path)
    monkeypatch.setattr(shapes, "published_row", lambda columns: repr(columns).encode())
    outcome = shapes.run_domains(CHECKS["collision-merkle-forest-no-domains"], context)
    assert outcome.verdict is Verdict.UNEXPECTED
