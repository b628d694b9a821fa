"""``scratchbird_check capacity``: what it prints, how it ends, what it refuses, and the published figures."""

from __future__ import annotations

import argparse
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from scratchbird_check import cli
from scratchbird_check.capacity import options, page, published, telling
from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict

THREE_HOURS = ("hints", "--outage", "3h", "--writes", "50000")
WRONG = {
    "small-rows": "too high by a factor of 3",
    "small-bytes-50": "too low by a factor of 4.8",
    "medium-rows": "too high by a factor of 3",
    "medium-bytes-50": "too low by a factor of 4.8",
    "large-rows": "too high by a factor of 3",
    "large-bytes-50": "too low by a factor of 4.8",
    "network-rows": "too low by a factor of 6.4",
    "hint-10": "too low by a factor of 20",
    "hint-50": "too low by a factor of 100",
    "active-tree-busy": "too low by a factor of 210",
    "memory-busy": "too low by a factor of 2.52",
    "hint-log-week-1": "too low by a factor of 75",
}
PINS: dict[str, Any] = {
    "wrong": WRONG,
    "drain_s": [30_000, 540_000, 30_240_000],
    "longest_outage_s": 12_096,
}


def run(*arguments: str) -> int:
    return cli.main(["capacity", *arguments])


# --- hints ------------------------------------------------------------------------------------------------


def test_an_outage_of_three_hours(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*THREE_HOURS) == 0
    assert capsys.readouterr().out.splitlines() == [
        "One target is down for 3 h and misses 50,000 writes/s.",
        "  backlog           540,000,000 hints, 270 GB",
        "  delivered         1,000/s, 500 kB/s",
        "  drained           in 6 d 6 h, if the target takes new writes itself",
        "                    NEVER, if 50,000 writes/s go on becoming hints: only 1,000/s are delivered",
        "  expiry            none of the outage's within 7 d: the oldest is delivered at an age of 6 d 6 h",
        "  anti-entropy      3 h 24 min 2 s for what was missed, at 25 MB/s, 1 min to begin included",
        "  sooner with it    from an outage of 1.228 s on",
        "  hints carry       an outage of up to 3 h 21 min 36 s; past it some are lost",
        "  better            anti-entropy: 3 h 24 min 2 s instead of 6 d 6 h",
    ]


def test_what_expires_is_said_with_the_limit_that_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("hints", "--outage", "7d", "--writes", "50000") == 0
    out = capsys.readouterr().out
    assert "29,635,200,000 hints (98 %) expire after 7 d, before their turn" in out
    assert "  limit needed      50,000/s, if none is to expire" in out
    assert "anti-entropy: hints expire before their turn, so it has to run anyway" in out


def test_the_limit_is_shared_by_coordinators_unless_each_has_its_own(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*THREE_HOURS, "--coordinators", "3") == 0
    out = capsys.readouterr().out
    assert "540,000,000 hints, 270 GB; 180,000,000, 90 GB on each of 3 coordinators" in out
    assert "1,000/s, 500 kB/s by 3 coordinators, 333.3/s each" in out
    assert "in 6 d 6 h" in out
    assert run(*THREE_HOURS, "--coordinators", "3", "--limit-each") == 0
    assert "in 2 d 2 h, if the target" in capsys.readouterr().out


def test_a_divided_limit_that_rounds_to_zero_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*THREE_HOURS, "--shards", "4096") == 0
    assert (
        "one every 4.096 s over 4,096 shards; integer division makes 0/s of it, which never drains"
        in capsys.readouterr().out
    )
    assert run(*THREE_HOURS, "--shards", "300") == 0
    assert "3.333/s over 300 shards; integer division makes 3/s of it\n" in capsys.readouterr().out


def test_a_full_copy_may_be_sooner(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*THREE_HOURS, "--rows", "1e9") == 0
    assert "  full copy         5 h 33 min 20 s for all 1,000,000,000 rows\n" in capsys.readouterr().out
    assert run(*THREE_HOURS, "--rows", "1e6", "--row-bytes", "1kB") == 0
    assert "  full copy         40 s for all 1,000,000 rows, which is sooner\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("--outage", "10s", "--writes", "5", "--ongoing", "0"), "hints: 0.05 s, anti-entropy 1 min"),
        (
            ("--outage", "10s", "--writes", "2000"),
            "hints, if the target takes new writes itself; else anti-entropy",
        ),
        (("--outage", "10s", "--writes", "2000", "--ongoing", "2000"), "anti-entropy: the hints never drain"),
        (("--outage", "10s", "--writes", "5", "--room", "10kB"), "anti-entropy: not all hints have room"),
    ],
)
def test_the_better_way_is_named(
    arguments: tuple[str, ...], advice: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("hints", *arguments) == 0
    assert f"  better            {advice}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (THREE_HOURS, "with 50,000 writes/s that go on becoming hints they never do"),
        ((*THREE_HOURS, "--ongoing", "1000"), "with 1,000 writes/s that go on becoming hints they never do"),
        ((*THREE_HOURS, "--ongoing", "0", "--expiry", "6d"), "expire before their turn"),
        ((*THREE_HOURS, "--ongoing", "0", "--room", "100GB"), "270 GB do not fit into --room"),
    ],
)
def test_what_must_drain_and_does_not_ends_with_status_one(
    arguments: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--must-drain") == 1
    err = capsys.readouterr().err
    assert err.startswith("scratchbird_check: the hints must drain, and do not: ")
    assert why in err


def test_what_must_drain_and_does_ends_well() -> None:
    assert run(*THREE_HOURS, "--ongoing", "0", "--must-drain") == 0
    assert run(*THREE_HOURS, "--ongoing", "999", "--must-drain") == 0
    assert run("hints", "--outage", "10m", "--writes", "400", "--must-drain") == 0


def test_hints_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*THREE_HOURS, "--json", "--shards", "4096") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["asked"]["outage_s"] == 10_800
    answer = found["answer"]
    assert answer["cases"] == [
        {"ongoing_per_s": 0, "drain_s": 540_000},
        {"ongoing_per_s": 50_000, "drain_s": None},
    ]
    assert answer["longest_outage_s"] == 12_096
    assert answer["rounded_share_per_s"] == 0
    assert answer["share_per_s"] == 1_000 / 4_096
    assert answer["drains"] is False


def test_the_largest_numbers_do_not_overflow(capsys: pytest.CaptureFixture[str]) -> None:
    largest = ("hints", "--outage", "36500d", "--writes", "1e15", "--limit", "1", "--bytes", "1000TB")
    assert run(*largest) == 0
    assert run(*largest, "--json", "--coordinators", "1e15", "--limit-each") == 0
    assert (
        run("cluster", "--nodes", "1e15", "--factor", "1e15", "--rows", "1e15", "--row-bytes", "1000TB") == 0
    )


# --- clusters ---------------------------------------------------------------------------------------------


def test_a_cluster_of_nine(capsys: pytest.CaptureFixture[str]) -> None:
    nine = ("cluster", "--nodes", "9", "--factor", "3", "--rows", "1e9", "--row-bytes", "500")
    assert run(*nine) == 0
    assert capsys.readouterr().out.splitlines() == [
        "9 nodes, 3 replicas of 1,000,000,000 rows of 500 bytes.",
        "  row copies        3,000,000,000, 1.5 TB in all",
        "  fullest node      333,333,334 rows, 166.7 GB",
        "  disk of a node    333.3 GB: rows 166.7 GB, 100 % more to compact, no hints (give --writes)",
        "  a node is lost    375 GB on each that is left",
        "  forest in memory  18.67 GB if all rows are resident, at 56 bytes each (16 GB by the published 48)",
    ]
    assert run(*nine, "--shards", "64", "--writes", "50000", "--hint-bytes", "700") == 0
    out = capsys.readouterr().out
    assert "343,750,000 rows in 22 shards" in out
    assert "hints 15.75 GB for one node that is down for 3 h" in out
    assert "if only open windows are (72,187,500 rows at most)" in out


def test_a_cluster_without_a_spare_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cluster", "--nodes", "3", "--factor", "3", "--rows", "10", "--row-bytes", "1") == 0
    assert "its copies have no place: 3 replicas need as many nodes" in capsys.readouterr().out


def test_a_cluster_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("cluster", "--nodes", "9", "--factor", "3", "--rows", "9e8", "--row-bytes", "500", "--json") == 0
    )
    answer = json.loads(capsys.readouterr().out)["answer"]
    assert answer["rows_on_node"] == 300_000_000
    assert answer["shards_on_node"] is None
    assert answer["forest_bytes"] == 300_000_000 * 56 + 720 * 48


def test_more_replicas_than_nodes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cluster", "--nodes", "2", "--factor", "3", "--rows", "1", "--row-bytes", "1") == 2
    assert "3 replicas on 2 nodes: a replica needs a node of its own" in capsys.readouterr().err


# --- the published figures --------------------------------------------------------------------------------


def test_which_published_figures_are_wrong_and_by_how_much() -> None:
    table = published.figures()
    assert {item.id: item.verdict for item in table if not item.agrees} == WRONG
    assert len({item.id for item in table}) == len(table) == 27


def test_each_published_figure_is_computed_from_its_assumptions() -> None:
    found = {item.id: item.computed for item in published.figures()}
    assert [found[f"{size}-copies"] for size in ("small", "medium", "large")] == [
        48 * 10**6,
        192 * 10**6,
        768 * 10**6,
    ]
    assert [found[f"{size}-bytes-10"] for size in ("small", "medium", "large")] == [
        480 * 10**9,
        1_920 * 10**9,
        7_680 * 10**9,
    ]
    assert found["sealed-trees"] == 34_560
    assert found["forest"] == 48_034_560
    assert found["hints-1000"] == 500_000
    assert found["hint-log-week-1"] == 750_000_000
    assert found["active-tree-busy"] == 10_080_000_000
    assert found["network-rows"] == 64 * 10**9


def test_the_table_is_printed_with_the_outages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("published") == 0
    out = capsys.readouterr().out
    assert "small cluster, total storage: too low by a factor of 4.8\n" in out
    assert "    published 500 GB, computed 2.4 TB (16 shards of 50 GB, 3 copies, before compaction)\n" in out
    assert "15 of 27 agree with what they assume, 12 do not." in out
    assert "    10 min  30,000,000 hints, 15 GB\n            drained in 8 h 20 min" in out
    assert "Hints carry an outage of up to 3 h 21 min 36 s" in out
    assert run("published", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["figures"]) == 27
    assert [item["outage_s"] for item in found["outages"]] == [600, 10_800, 604_800]


def test_the_page_has_every_figure() -> None:
    text = page.document()
    for item in published.figures():
        assert f"| {item.what} | " in text
    assert "| 3 h | 540,000,000 | 270 GB | 6 d 6 h | never | none | 3 h 24 min 2 s |" in text
    assert "| 7 d | 30,240,000,000 | 15.12 TB | 350 d | never | 98 % |" in text
    assert "1,000/s over 4,096 shards is 0/s by integer division" in text


# --- as a check -------------------------------------------------------------------------------------------


def check(path: Path, **pins: object) -> Outcome:
    entry = Check(
        "computed-capacity",
        "handoff",
        "python",
        ("quick",),
        Verdict.COMPUTED,
        ("HNT-6",),
        options={**PINS, **pins},
    )
    return published.run(entry, Context(path))


def test_the_check_computes_what_is_pinned(tmp_path: Path) -> None:
    outcome = check(tmp_path)
    assert outcome.verdict is Verdict.COMPUTED
    assert outcome.detail.startswith("15 of 27 published figures agree with what they assume, 12 do not")
    assert outcome.figures["seconds to drain an outage of 10800 s"] == 540_000


@pytest.mark.parametrize(
    ("pins", "why"),
    [
        ({"drain_s": [1, 2, 3]}, "outages drain in [30000, 540000, 30240000] s"),
        ({"longest_outage_s": 1}, "the longest outage is 12096 s"),
        (
            {"wrong": {**WRONG, "hint-10": "too low by a factor of 2"}},
            "hint-10: too low by a factor of 20, pinned is too low by a factor of 2",
        ),
        ({"wrong": {**WRONG, "forest": "too low by a factor of 2"}}, "forest: agrees, pinned is too low"),
    ],
)
def test_another_figure_is_unexpected(tmp_path: Path, pins: dict[str, object], why: str) -> None:
    outcome = check(tmp_path, **pins)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert why in outcome.detail


# --- values -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("3h", 10_800), ("7d", 604_800), ("2w", 1_209_600), ("1.5h", 5_400)],
)
def test_durations_are_read(text: str, seconds: int) -> None:
    assert options.duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "3", "h", "0s", "-3h", "3 h", "3hours", "36501d", "1e999d", "٣h", "nan"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="duration"):
        options.duration(text)


def test_numbers_and_sizes_are_read() -> None:
    assert options.number(1)("1e9") == 10**9
    assert options.number(0)("0") == 0
    assert options.number(1)("2.5e3") == 2_500
    assert (options.size("500"), options.size("10MB"), options.size("1.5GiB")) == (500, 10**7, 3 << 29)


@pytest.mark.parametrize(
    "text", ["0", "-1", "1.5", "1e16", "1e999", "9" * 41, "1e-3", "ten", "inf", "5k", ""]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a whole number from 1 to 1e15 is expected"):
        options.number(1)(text)


@pytest.mark.parametrize("text", ["0", "0MB", "-1", "1.5", "5XB", "1001TB", ""])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a size above zero"):
        options.size(text)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("sizes",),
        ("hints",),
        ("hints", "--outage", "3h", "--writes", "-5"),
        (*THREE_HOURS, "--limit", "0"),
        (*THREE_HOURS, "--limt", "5"),
        ("cluster", "--nodes", "3"),
        ("published", "--rows", "3"),
    ],
)
def test_wrong_use_ends_with_status_two(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (Fraction(2, 5), "0.4 s"),
        (60, "1 min"),
        (Fraction("3599.6"), "1 h"),
        (86_399, "23 h 59 min 59 s"),
        (90_061, "1 d 1 h 1 min"),
        (350 * 86_400, "350 d"),
        (10 * 31_557_600, "10 years"),
    ],
)
def test_times_are_told(seconds: Fraction | int, text: str) -> None:
    assert telling.time(seconds) == text


def test_sizes_are_told() -> None:
    assert [telling.size(count) for count in (0, 999, 1_000, 34_560, 10**9, 15_120 * 10**9)] == [
        "0 bytes",
        "999 bytes",
        "1 kB",
        "34.56 kB",
        "1 GB",
        "15.12 TB",
    ]
    assert telling.size(2 * 10**18) == "2,000 PB"
