"""The reports of a run: the console's table and progress, JUnit, JSON, and the files they are written to."""

from __future__ import annotations

import io
import json
import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from scratchbird_check import codec, files
from scratchbird_check.errors import UsageError
from scratchbird_check.ledger import Property
from scratchbird_check.manifest import Check
from scratchbird_check.report import console, json_report, junit
from scratchbird_check.results import PropertyResult, Run, judge
from scratchbird_check.traces.model import Arrow, Change, Step, Trace
from scratchbird_check.verdicts import Outcome, Verdict

V = Verdict
TRACE = Trace(
    title="Invariant HLC1 is violated.",
    engine="TLC",
    part="hlc",
    lanes=("n1", "n2"),
    steps=(
        Step(0, None, "", "the beginning", state={"up": {"n1": True}}),
        Step(1, "n1", "Start", "starts", setup=True),
        Step(2, "n1", "Tick", "issues 5:1", (Change("own[n1]", "0:0", "5:1"),), mark="5:1"),
        Step(
            3,
            "n2",
            "Observe",
            "merges 5:1",
            arrows=(Arrow(2, "n1", "5:1"),),
            state={"messages": frozenset({(1, "a")}), "last": 7, "up": {"n1": True}},
            wrong=True,
            down=("n1",),
        ),
    ),
    verdict="The id went back.",
    promise="HLC1",
    config={"max_drift_ms": 500},
)
OUTCOMES = (
    Outcome("z3-p", V.PROVED, "3 theorems", ("P-1",), 1.25, {"theorems": 3}),
    Outcome("tlc-p", V.CHECKED, "2,500 states", ("P-1", "P-2"), 2.0, {"distinct": 2500, "depth": 9}),
    Outcome("tlc-v", V.REFUTED, "after 2 steps", ("P-1", "P-2"), 0.5, counterexample=TRACE),
    Outcome("apalache-p", V.NOT_RUN, "missing", ("P-1",), remedy="get <it>"),
    Outcome("cvc5-p", V.UNEXPECTED, "unknown", ("P-3",), 9.0, {}, TRACE, Path("/logs/cvc5.log")),
)
CHECKS = tuple(
    Check(
        outcome.check,
        "hlc",
        outcome.check.partition("-")[0],
        ("quick",),
        V.REFUTED if outcome.check == "tlc-v" else V.PROVED if outcome.check[0] in "zc" else V.CHECKED,
        outcome.properties,
        "v" if outcome.check == "tlc-v" else "",
    )
    for outcome in OUTCOMES
)
PROPERTIES = (
    Property("P-1", "hlc", "It holds for ever.", V.PROVED, "HLC.R1", "...", variants=("v",)),
    Property("P-2", "hlc", "It is so.", V.REFUTED, "HLC.R2", "...", "", "Not.", "Other.", variants=("v",)),
    Property("P-3", "hlc", "It is right.", V.PROVED, "HLC.R3", "..."),
    Property("P-4", "hlc", "Nobody looked.", V.MEASURED, "HLC.R4", "..."),
)
RUN = Run(
    version="0.1.0",
    profile="quick",
    seed=3,
    started="2026-01-02T03:04:05Z",
    seconds=12.5,
    machine="Linux",
    checks=CHECKS,
    outcomes=OUTCOMES,
    properties=tuple(judge(item, OUTCOMES, CHECKS) for item in PROPERTIES),
    tools={"z3": "z3-solver 4"},
)


# --- the console ------------------------------------------------------------------------------------------


def test_the_evidence_of_a_property_in_a_few_words() -> None:
    first, second, third, fourth = RUN.properties
    assert console.evidence(first) == "z3, tlc (2,500 states), variants refuted by tlc; not run: apalache-p"
    assert console.evidence(second) == "HLC.R2 instead: tlc (2,500 states), variants refuted by tlc"
    assert console.evidence(third) == "unexpected: cvc5-p"
    assert console.evidence(fourth) == "no check of the manifest can say 'measured' of it"


@pytest.mark.parametrize("width", [60, 90, 110, 200])
def test_the_table_fits(width: int) -> None:
    lines = console.table(RUN.properties, width)
    assert all(len(line) <= max(width, 92) for line in lines)
    assert [line.split()[0] for line in lines if line.startswith("P-")] == ["P-1", "P-2", "P-3", "P-4"]


def test_the_summary_says_what_is_wrong_and_what_was_not_run() -> None:
    text = console.summary(RUN, width=110)
    assert "unexpected: cvc5-p (P-3): unknown\n    1  n1  issues 5:1\n" in text
    assert "  log: /logs/cvc5.log\n" in text
    assert "unexpected: P-4: no check of the manifest can say 'measured' of it" in text
    assert "not run: get <it>\n  1 check: apalache-p\n" in text
    assert "P-2: It is so.\n  Not.\n" in text
    assert "4 properties: 1 proved, 1 refuted as expected, 2 unexpected." in text
    assert "5 checks in 12 s: 3 as expected, 1 unexpected, 1 not run." in text
    assert text.endswith("Not complete, see the table: P-1.")


def test_long_counterexamples_are_only_named() -> None:
    steps = tuple(Step(number, "n1", "Tick", f"step {number}") for number in range(30))
    outcome = replace(OUTCOMES[2], counterexample=replace(TRACE, steps=steps))
    run = replace(RUN, properties=(judge(PROPERTIES[1], (outcome,), CHECKS),), outcomes=(outcome,))
    assert "step 29" not in console.summary(run)
    assert "scratchbird_check explain P-2" in console.summary(run)
    assert "step 29" in console.summary(run, verbose=True)


def test_colours_mark_what_words_say_too() -> None:
    plain, coloured = console.summary(RUN, width=110), console.summary(RUN, width=110, colour=True)
    assert "\x1b[31;1munexpected" in coloured
    for code in ("32", "33", "31;1", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_and_can_be_switched_off() -> None:
    assert console.colours(Terminal(), {})
    assert not console.colours(io.StringIO(), {})
    assert not console.colours(Terminal(), {"NO_COLOR": "1"})
    assert not console.colours(Terminal(), {"TERM": "dumb"})


def test_plain_lines_where_there_is_no_terminal() -> None:
    with console.progress(2) as progress:
        assert type(progress) is console.PlainProgress
    out = io.StringIO()
    progress = console.PlainProgress(12, out)
    progress.started(CHECKS[1])
    progress.progress(CHECKS[1], "1,000 states")
    progress.ended(CHECKS[1], OUTCOMES[1])
    progress.refresh()
    assert out.getvalue() == "[ 1/12] checked             tlc-p  2,500 states  2.0 s\n"


def test_only_a_terminals_lines_are_cut() -> None:
    long = replace(OUTCOMES[1], detail="words " * 40)
    for out, whole in ((io.StringIO(), True), (Terminal(), False)):
        console.PlainProgress(1, out).ended(CHECKS[1], long)
        assert ("words " * 39 in out.getvalue()) == whole
        assert (" ...  2.0 s" in out.getvalue()) != whole


def test_a_live_display_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Terminal()
    monkeypatch.setattr("sys.stdout", out)
    with console.progress(2, {"TERM": "xterm", "NO_COLOR": "1"}) as progress:
        assert isinstance(progress, console.LiveProgress)
        progress.started(CHECKS[1])
        progress.progress(CHECKS[1], "1,000 states")
        progress.refresh()
        progress.ended(CHECKS[1], OUTCOMES[1])
        progress.refresh()
    assert "tlc-p  0 s  1,000 states" in out.getvalue()
    assert "[1/2] checked             tlc-p  2,500 states  2.0 s" in out.getvalue()
    assert "1 of 2 checks have ended, 0 are running" in out.getvalue()


# --- JUnit ------------------------------------------------------------------------------------------------


def test_junit_has_a_case_for_every_check() -> None:
    text = junit.to_xml(RUN)
    root = ET.fromstring(text)
    suite, ledger = root
    assert (suite.get("name"), ledger.get("name")) == ("hlc", "ledger")
    assert [case.get("name") for case in suite] == [outcome.check for outcome in OUTCOMES]
    for element in (root, suite):
        assert element.get("errors") == "0"
        assert element.get("skipped") == "1"
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("5", "1", "12.750")
    assert (root.get("tests"), root.get("failures")) == ("6", "2")
    skipped = suite.find("testcase[@name='apalache-p']/skipped")
    assert skipped is not None
    assert skipped.get("message") == "get <it>"
    failure = suite.find("testcase[@name='cvc5-p']/failure")
    assert failure is not None
    assert "log: /logs/cvc5.log" in (failure.text or "")
    broken = ledger.find("testcase[@name='P-4']/failure")
    assert broken is not None


def test_what_xml_cannot_hold_is_replaced() -> None:
    outcome = replace(OUTCOMES[4], detail="colour \x1b[31m and \x00 and \ud800")
    text = junit.to_xml(replace(RUN, outcomes=(*OUTCOMES[:4], outcome)))
    failure = ET.fromstring(text.encode()).find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "colour �[31m and � and �"


# --- JSON -------------------------------------------------------------------------------------------------


def test_outcomes_come_back_as_they_were() -> None:
    for outcome in OUTCOMES:
        value = json.loads(json.dumps(codec.outcome_to_json(outcome)))
        assert codec.outcome_from_json(value) == outcome


@pytest.mark.parametrize(
    "value", [{}, [], {"check": "x"}, {**codec.outcome_to_json(OUTCOMES[0]), "verdict": "fine"}]
)
def test_what_is_no_outcome_is_said(value: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"no outcome|not a valid Verdict"):
        codec.outcome_from_json(value)


def test_a_report_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    json_report.write(RUN, path)
    assert json_report.read_outcomes(path) == (RUN.started, RUN.profile, OUTCOMES)
    value = json.loads(path.read_text())
    assert not value["passed"]
    assert value["tools"] == {"z3": "z3-solver 4"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"report": "scratchbird_check", "format": 99}'])
def test_what_is_no_report_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(UsageError, match="cannot read"):
        json_report.read_outcomes(path)
    path.write_text(text)
    with pytest.raises(UsageError, match="is no report"):
        json_report.read_outcomes(path)


def test_the_shortest_counterexample_is_chosen() -> None:
    longer = replace(OUTCOMES[2], check="z3-v", counterexample=replace(TRACE, steps=TRACE.steps * 2))
    found = json_report.shortest_counterexample((longer, *OUTCOMES), "P-2")
    assert found == OUTCOMES[2]
    assert json_report.shortest_counterexample(OUTCOMES, "P-3") is None


# --- files ------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    files.write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        files.write_atomically(path, "new \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_places_that_cannot_be_written_are_found_before(tmp_path: Path) -> None:
    files.check_writable_file(tmp_path / "new.json")
    files.check_writable_folder(tmp_path / "new")
    files.check_writable_folder(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder that nobody can write to")
def test_a_folder_without_the_right_to_write_is_found_before() -> None:
    with pytest.raises(UsageError, match="cannot write /proc/x: "):
        files.check_writable_file(Path("/proc/x"))
    with pytest.raises(UsageError, match="cannot write /proc/x: "):
        files.check_writable_folder(Path("/proc/x"))


def test_a_property_result_knows_its_refutations() -> None:
    result: PropertyResult = RUN.properties[1]
    assert result.refutations == (OUTCOMES[2],)


def test_a_step_of_many_words_is_broken_into_lines_that_stand_further_in() -> None:
    long = Trace("t", "reference", "quorum", ("c1",), (Step(1, "c1", "Read", "hears " + "nothing " * 20),))
    first, *further = console.steps(long, room=60)
    assert first.startswith("    1  c1  hears nothing")
    assert further
    assert all(line.startswith(" " * 13 + "nothing") for line in further)
    assert all(len(line) <= 60 for line in (first, *further))
