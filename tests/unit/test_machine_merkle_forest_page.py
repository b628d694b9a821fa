"""What is drawn and counted for the page on the forest."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchbird_check.machines import merkle_forest_costs as costs
from scratchbird_check.machines import merkle_forest_page as page
from scratchbird_check.traces.model import Trace

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted among fewer rows: the page itself is held to the full count in tests/repo/test_docs.py."""
    monkeypatch.setattr(page, "IN_TABLE", (1, 7))
    monkeypatch.setattr(costs, "COUNTED", (1, 7))
    whole = costs.costs
    monkeypatch.setattr(costs, "costs", lambda case, shape, differ: whole(case, shape, differ, 500, 9))
    monkeypatch.setattr(page, "curves", page.curves.__wrapped__)


def test_what_stands_between_the_markers_is_written_and_the_rest_is_kept() -> None:
    text = (
        "Before.\n<!-- picture: rank_shaped -->\nold\n<!-- end -->\nBetween.\n"
        "<!-- table: missing -->\n<!-- end -->\nAfter.\n"
    )
    filled = page.filled(text)
    assert filled.startswith("Before.\n<!-- picture: rank_shaped -->\n![one row of 1,000 is missing")
    assert "](merkle-forest-rank-shaped.svg)\n<!-- end -->\nBetween.\n" in filled
    assert "| 7 | " in filled
    assert filled.endswith("<!-- end -->\nAfter.\n")
    assert page.filled(filled) == filled


def test_a_run_that_cannot_be_played_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [check for check in page.checks_of("immutable") if check.engine == "tlc"]
    monkeypatch.setattr(page, "checks_of", lambda variant: found)
    monkeypatch.setattr(page, "counterexample", lambda variant: None)
    monkeypatch.setattr(page, "played", page.played.__wrapped__)
    assert "--only tlc-merkle-forest-immutable --verbose" in page.picture("immutable")


def test_a_run_that_nobody_wrote_down_is_that_of_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "counterexample", lambda variant: None)
    trace = page.played.__wrapped__("rank_shaped")
    assert trace is not None
    assert trace.promise == "MRK-3"


def test_a_variant_that_nobody_refutes_is_an_error() -> None:
    with pytest.raises(ValueError, match="no check of the manifest refutes 'nonsense'"):
        page.picture("nonsense")


def test_brackets_do_not_end_a_picture_s_words(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Trace("a", "reference", "merkle_forest", (), (), "r [1] is lost")
    monkeypatch.setattr(page, "played", lambda variant: trace)
    assert page.picture("immutable") == "![r (1) is lost](merkle-forest-immutable.svg)"


def test_the_page_and_its_pictures_are_written_where_there_is_a_page(tmp_path: Path) -> None:
    assert page.documents(tmp_path) == {}
    (tmp_path / page.PAGE).write_text("<!-- picture: no_domains -->\n<!-- end -->\n", encoding="utf-8")
    made = page.documents(tmp_path)
    names = {path.name for path in made}
    assert names == {page.PAGE, "merkle-forest-no-domains.svg", *page.curves()}
    assert all(text.startswith("<svg") for path, text in made.items() if path.suffix == ".svg")


def test_the_table_has_a_row_for_each_count_and_a_cell_for_each_tree() -> None:
    lines = list(page.table("overwritten"))
    assert [line.count("|") for line in lines] == [2 + len(costs.SHAPES)] * 4
    assert lines[2].startswith("| 1 | ")
    assert ", 1 row |" in lines[2]
    assert ", 7 rows |" in lines[3]


def test_the_page_shows_all_its_pictures_and_no_other_is_left_over() -> None:
    text = (DOCS / page.PAGE).read_text(encoding="utf-8")
    counted = {path.name for path in page.documents(DOCS) if path.suffix == ".svg"}
    assert {path.name for path in DOCS.glob("merkle-forest-*.svg")} == counted | page.MEASURED
    for path in DOCS.glob("merkle-forest-*.svg"):
        assert f"({path.name})" in text
        assert "Before: ." not in path.read_text(encoding="utf-8")
