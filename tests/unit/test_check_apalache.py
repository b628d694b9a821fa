"""Apalache: recorded outputs of version 0.62.1, and a stand-in for Java that plays them."""

from __future__ import annotations

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import apalache, java
from scratchbird_check.engines.apalache import End, progress, read
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Verdict

RECORDED = Path(__file__).parent / "recorded"
CHECK = Check(
    id="apalache-hlc-test",
    part="membership",
    engine="apalache",
    profiles=("quick",),
    expect=Verdict.CHECKED,
    properties=("HLC-1",),
    options={"module": "Cnt", "config": "Cnt.cfg", "inv": "Fine", "length": 4},
)
REFUTED = replace(CHECK, expect=Verdict.REFUTED, variant="v", options={**CHECK.options, "inv": "Small"})


def recorded(name: str) -> str:
    return (RECORDED / f"apalache-0.62.1-{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "status", "end", "words"),
    [
        ("ok", 0, End.OK, ""),
        ("inv", 12, End.VIOLATION, ""),
        ("dead", 12, End.DEADLOCK, ""),
        ("nodead", 0, End.TOO_SHORT, "shorter"),
        ("type", 120, End.TYPES, "[Typ.tla:19:8-19:14]: An operator with the signature"),
        ("noinv", 255, End.PARSE, "Operator Nope not found (used as an invariant)"),
        ("parse", 255, End.PARSE, "Could not parse module Brk"),
        ("parse", 150, End.PARSE, "Could not parse module Brk"),
        ("noinv", 75, End.EVALUATION, "Operator Nope"),
        ("java17", 1, End.UNREADABLE, "LinkageError"),
        ("usage", 1, End.UNREADABLE, "No option found for --foo"),
    ],
)
def test_every_end_is_understood(name: str, status: int, end: End, words: str) -> None:
    report = read(status, recorded(name))
    assert report.end is end
    assert words in report.message


@pytest.mark.parametrize(("name", "status"), [("ok", 12), ("inv", 0), ("dead", 0), ("ok", 99)])
def test_status_and_text_that_disagree_are_not_understood(name: str, status: int) -> None:
    assert read(status, recorded(name)).end is End.UNREADABLE


def test_an_output_that_was_cut_off_is_not_understood() -> None:
    assert read(0, recorded("ok").partition("Checker reports")[0]).end is End.UNREADABLE
    assert read(3, "").message == "no output, exit status 3"


def test_memory_is_named() -> None:
    text = recorded("ok") + "java.lang.OutOfMemoryError: Java heap space\n"
    assert read(0, text).end is End.MEMORY


def test_progress_is_told() -> None:
    assert progress("State 3: Checking 1 state invariants      I@02:12:28.324") == "state 3"
    assert progress("PASS #0: SanyParser") == ""


# --- where it is ------------------------------------------------------------------------------------------


def test_the_jar_is_looked_for_in_order(tmp_path: Path) -> None:
    def release(folder: Path) -> Path:
        (folder / "lib").mkdir(parents=True)
        (folder / "bin").mkdir()
        (folder / "lib" / "apalache.jar").touch()
        script = folder / "bin" / "apalache-mc"
        script.write_text("#!/bin/sh\n")
        script.chmod(0o755)
        return folder / "lib" / "apalache.jar"

    environ = {"XDG_CACHE_HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    assert apalache.find_jar(environ) is None
    release(tmp_path / "scratchbird" / "tools" / "apalache-0.9.0")
    cached = release(tmp_path / "scratchbird" / "tools" / "apalache-0.62.1")
    assert apalache.find_jar(environ) == cached
    on_path = release(tmp_path / "elsewhere")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apalache-mc").symlink_to(tmp_path / "elsewhere" / "bin" / "apalache-mc")
    assert apalache.find_jar(environ) == on_path
    assert apalache.find_jar({**environ, "APALACHE_JAR": "/a.jar"}) == Path("/a.jar")
    named = {**environ, "APALACHE_JAR": "/a.jar", "APALACHE_HOME": "/home"}
    assert apalache.find_jar(named) == Path("/home/lib/apalache.jar")


def test_what_is_missing_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("APALACHE_JAR", raising=False)
    monkeypatch.setenv("APALACHE_HOME", "/no/where")
    assert "APALACHE_HOME is /no/where, but there is no /no/where/lib/apalache.jar" in apalache.missing()
    monkeypatch.delenv("APALACHE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "/no/where")
    assert "scratchbird_check tools install" in apalache.missing()


# --- a run ------------------------------------------------------------------------------------------------

FAKE_JAVA = """#!{python}
import pathlib, sys
plan = pathlib.Path({plan!r})
argv = sys.argv[1:]
with open(plan / "asked.txt", "a") as asked:
    asked.write(" ".join(argv) + "\\n")
number = len((plan / "asked.txt").read_text().splitlines())
name, status = (plan / f"run{{number}}").read_text().split()
print(pathlib.Path({recorded!r}, f"apalache-0.62.1-{{name}}.txt").read_text())
if int(status) == 12:
    run = pathlib.Path(next(a for a in argv if a.startswith("--run-dir=")).partition("=")[2])
    run.mkdir(parents=True)
    itf = pathlib.Path({recorded!r}, "apalache-0.62.1-inv.itf.json").read_text()
    (run / "violation1.itf.json").write_text(itf)
sys.exit(int(status))
"""


class Stage:
    """A stand-in for Java that plays recorded outputs, one for each run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.context = Context(folder / "work")
        self.context.workdir.mkdir()

    def plays(self, *runs: str) -> None:
        for number, run in enumerate(runs, start=1):
            (self.folder / f"run{number}").write_text(run)

    @property
    def asked(self) -> list[str]:
        return (self.folder / "asked.txt").read_text().splitlines()


def test_a_file_that_is_no_apalache_is_said_plainly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.jar"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("tlc2/TLC.class", b"")
    monkeypatch.delenv("APALACHE_HOME", raising=False)
    for jar in (other, Path(__file__)):
        monkeypatch.setenv("APALACHE_JAR", str(jar))
        assert f"{jar} is no apalache.jar, as at.forsyte.apalache.tla.Tool is not in it" in apalache.missing()


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    program = tmp_path / "java"
    program.write_text(FAKE_JAVA.format(python=sys.executable, plan=str(tmp_path), recorded=str(RECORDED)))
    program.chmod(0o755)
    jar = tmp_path / "apalache.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("at/forsyte/apalache/tla/Tool.class", b"")
    monkeypatch.delenv("APALACHE_HOME", raising=False)
    monkeypatch.setenv("APALACHE_JAR", str(jar))
    monkeypatch.setattr(java, "all_javas", lambda: (java.Java(program, 21, ""),))

    def copy(folder: Path) -> Path:
        folder.mkdir(parents=True)
        (folder / "Cnt.cfg").write_text("CONSTANT K = 3\nINIT Init\nNEXT Next\n")
        return folder

    monkeypatch.setattr(resources, "copy_models", copy)
    return Stage(tmp_path)


def test_a_bounded_check(stage: Stage) -> None:
    stage.plays("ok 0")
    outcome = apalache.run(CHECK, stage.context)
    assert (outcome.verdict, outcome.detail) == (Verdict.CHECKED, "every execution of up to 4 steps")
    (asked,) = stage.asked
    for argument in (
        "--config=Cnt.cfg",
        "--init=Init",
        "--next=Next",
        "--inv=Fine",
        "--length=4",
        "-Xmx2048m",
    ):
        assert f" {argument} " in f" {asked} "
    assert asked.endswith("--no-deadlock Cnt.tla")


def test_another_length_than_asked_for_is_unexpected(stage: Stage) -> None:
    stage.plays("ok 0")
    outcome = apalache.run(replace(CHECK, options={**CHECK.options, "length": 5}), stage.context)
    assert outcome.verdict is Verdict.UNEXPECTED


@pytest.mark.parametrize(
    ("run", "words"), [("nodead 0", "no execution is as long"), ("type 120", "type error")]
)
def test_other_ends_are_unexpected(stage: Stage, run: str, words: str) -> None:
    stage.plays(run)
    outcome = apalache.run(CHECK, stage.context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert words in outcome.detail
    assert outcome.log == stage.context.workdir / "apalache.log"


def test_an_unexpected_violation_has_its_counterexample(stage: Stage) -> None:
    stage.plays("inv 12")
    outcome = apalache.run(CHECK, stage.context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.counterexample is not None


def test_a_variant_is_refuted(stage: Stage) -> None:
    stage.plays("inv 12")
    outcome = apalache.run(REFUTED, stage.context)
    assert (outcome.verdict, outcome.detail) == (Verdict.REFUTED, "Small violated after 2 steps")
    assert outcome.counterexample is not None


def test_a_deadlock_refutes_nothing(stage: Stage) -> None:
    stage.plays("dead 12")
    outcome = apalache.run(REFUTED, stage.context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "Small was not refuted: deadlock reached" in outcome.detail


THREE = replace(
    CHECK,
    options={"module": "Cnt", "config": "Cnt.cfg", "inv": "Fine", "inductive": "Ind", "three_run": True},
)


def test_the_three_runs_of_an_inductive_invariant(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.plays("ok 0", "ok 0", "ok 0")
    monkeypatch.setattr(
        apalache, "read", lambda status, text: apalache.Report(End.OK, [0, 1, 0][len(stage.asked) - 1])
    )
    outcome = apalache.run(THREE, stage.context)
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    wanted = [("Init", "Ind", 0), ("Ind", "Ind", 1), ("Ind", "Fine", 0)]
    assert len(stage.asked) == 3
    for asked, (init, inv, length) in zip(stage.asked, wanted, strict=True):
        assert f"--init={init} --next=Next --inv={inv} --length={length} " in asked


def test_an_invariant_that_is_not_inductive_is_unexpected(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.plays("ok 0", "inv 12")
    ends = [apalache.Report(End.OK, 0), apalache.Report(End.VIOLATION)]
    monkeypatch.setattr(apalache, "read", lambda status, text: ends[len(stage.asked) - 1])
    outcome = apalache.run(THREE, stage.context)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail.startswith("Ind is not kept by every step")
    assert outcome.counterexample is not None


def test_states_are_shown_to_be_reached(stage: Stage) -> None:
    options = {"module": "Cnt", "config": "Cnt.cfg", "reach": ["NeverA", "NeverB"], "length": 4}
    stage.plays("inv 12", "inv 12")
    assert apalache.run(replace(CHECK, options=options), stage.context).verdict is Verdict.CHECKED
    assert "--inv=NeverB" in stage.asked[1]


def test_a_state_that_is_never_reached_is_unexpected(stage: Stage) -> None:
    options = {"module": "Cnt", "config": "Cnt.cfg", "reach": "NeverA", "length": 4}
    stage.plays("ok 0")
    outcome = apalache.run(replace(CHECK, options=options), stage.context)
    assert (outcome.verdict, outcome.detail) == (Verdict.UNEXPECTED, "never reached, by NeverA: no error")


def test_pinned_constants_are_compared(stage: Stage) -> None:
    options = {**CHECK.options, "constants": {"K": 4}}
    outcome = apalache.run(replace(CHECK, options=options), stage.context)
    assert outcome.detail == "the configuration sets K to 3, the manifest pins 4"
