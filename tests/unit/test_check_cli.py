"""The command: exit statuses, errors that name the value, reports, and what is shown."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scratchbird_check import cli, ledger, manifest, places, resources, running, worker
from scratchbird_check.engines import hypothesis

LEDGER = """
[[property]]
id = "HLC-1"
part = "hlc"
claim = "Ids increase."
verdict = "checked"
rule = "HLC.R3"
explain = "Ids of one node increase."

[[property]]
id = "HLC-2"
part = "hlc"
claim = "A full counter sleeps, then takes the wall clock."
verdict = "refuted"
rule = "HLC.R2"
instead = "Ids go back."
corrected = "A full counter carries."
variants = ["stall_and_reset"]
explain = "A clock that was set back breaks it."

[[property]]
id = "UUID8-1"
part = "uuid8"
claim = "Bytes are in order."
verdict = "checked"
rule = "UUID8.R3"
explain = "Byte order is clock order."
"""

MANIFEST = """
[[check]]
id = "python-hlc-model"
part = "hlc"
engine = "python"
profiles = ["quick", "full"]
expect = "checked"
properties = ["HLC-1", "HLC-2"]
options.target = "cli_targets:fine"

[[check]]
id = "python-hlc-stall"
part = "hlc"
engine = "python"
profiles = ["quick"]
expect = "refuted as expected"
variant = "stall_and_reset"
properties = ["HLC-2"]
options.target = "cli_targets:refutes"

[[check]]
id = "hypothesis-hlc-machine"
part = "hlc"
engine = "hypothesis"
profiles = ["full"]
expect = "checked"
properties = ["HLC-1"]
options.target = "cli_targets:fine"
options.production = false

[[check]]
id = "python-uuid8-order"
part = "uuid8"
engine = "python"
profiles = ["quick"]
expect = "checked"
properties = ["UUID8-1"]
options.target = "cli_targets:{uuid8}"
"""

TARGETS = """
from scratchbird_check.traces.model import Step, Trace
from scratchbird_check.verdicts import Outcome, Verdict

def fine(check, context):
    return Outcome(check.id, check.expect, "12 states", figures={"distinct": 12})

def fails(check, context):
    print("the engine's own words")
    return Outcome(check.id, Verdict.UNEXPECTED, "it does not hold")

def lacks(check, context):
    return Outcome(check.id, Verdict.NOT_RUN, "no core", remedy="build the core")

def refutes(check, context):
    steps = (Step(0, None, "", "the beginning"), Step(1, "n1", "Tick", "issues 5:1"),
             Step(2, "n1", "Tick", "issues 4:0", wrong=True))
    trace = Trace("stalls", "reference", "hlc", ("n1",), steps, "The id went back.")
    return Outcome(check.id, Verdict.REFUTED, "went back after 2 steps", counterexample=trace)
"""


class Command:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.out = self.err = ""
        self.manifest = folder / "manifest.toml"
        self.uuid8("fine")

    def uuid8(self, target: str) -> None:
        self.manifest.write_text(MANIFEST.format(uuid8=target))

    def __call__(self, *argv: str | Path) -> int:
        try:
            status = cli.main([str(item) for item in argv])
        except SystemExit as error:
            status = int(error.code or 0)
        self.out, self.err = self.capsys.readouterr()
        return status

    def run(self, *argv: str | Path) -> int:
        return self("run", "--manifest", self.manifest, *argv)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    (tmp_path / "cli_targets.py").write_text(TARGETS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(resources, "ledger_text", lambda: LEDGER)
    return Command(tmp_path, capsys)


# --- run --------------------------------------------------------------------------------------------------


def test_a_run_that_is_as_expected_ends_with_0_and_shows_the_verdicts(command: Command) -> None:
    assert command.run() == 0
    lines = command.out.splitlines()
    assert sum(line.startswith("[") for line in lines) == 3
    assert any(line.startswith("HLC-1     Ids increase.") and "checked" in line for line in lines)
    assert any(line.startswith("HLC-2") and "refuted as expected" in line for line in lines)
    at = lines.index("HLC-2: A full counter sleeps, then takes the wall clock.")
    assert lines[at + 1 : at + 6] == [
        "  Ids go back.",
        "    1  n1  issues 5:1",
        "    2  n1  issues 4:0  <-- wrong",
        "       The id went back.",
        "  We build HLC.R2: A full counter carries.",
    ]
    assert "scratchbird_check explain HLC-2" in command.out
    assert lines[-2] == "3 properties: 2 checked, 1 refuted as expected."
    assert lines[-1].endswith("3 as expected, 0 unexpected, 0 not run.")
    assert "\x1b" not in command.out


def test_something_unexpected_ends_with_1_and_names_the_log(command: Command) -> None:
    command.uuid8("fails")
    assert command.run() == 1
    assert "unexpected: python-uuid8-order (UUID8-1): it does not hold" in command.out
    log = Path(next(line.removeprefix("  log: ") for line in command.out.splitlines() if "log: " in line))
    assert "the engine's own words" in log.read_text()


def test_not_run_never_counts_as_passed_and_a_run_of_nothing_ends_with_3(command: Command) -> None:
    command.uuid8("lacks")
    report = command.folder / "run.json"
    assert command.run("--json", report, "--part", "uuid8") == 3
    assert "not run: build the core" in command.out
    assert "1 property: 1 not run." in command.out
    assert command.out.rstrip().endswith("0 as expected, 0 unexpected, 1 not run.")
    value = json.loads(report.read_text())
    assert value["not_run"] == ["python-uuid8-order"]
    assert value["properties"][0]["verdict"] == "not run"
    assert not value["properties"][0]["as_expected"]


def test_not_run_by_a_required_engine_ends_with_3(command: Command) -> None:
    command.uuid8("lacks")
    assert command.run("--require", "python") == 3


def test_a_required_engine_that_is_missing_ends_with_3_before_anything_is_run(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hypothesis, "missing", lambda: "Hypothesis is missing: pip install it")
    report = command.folder / "run.json"
    assert command.run("--require", "hypothesis", "--json", report) == 3
    assert "a required engine is missing: Hypothesis is missing: pip install it" in command.err
    assert command.out == ""
    assert not report.exists()


def test_the_profile_ci_requires_every_engine(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command.manifest.write_text(command.manifest.read_text().replace('"full"', '"ci"'))
    monkeypatch.setattr(worker, "missing", lambda name: f"no {name}")
    from scratchbird_check import running

    monkeypatch.setattr(running, "missing", lambda name: f"no {name}")
    assert command.run("--profile", "ci") == 3
    for name in ("z3", "cvc5", "tlc", "apalache", "hypothesis"):
        assert f"a required engine is missing: no {name}\n" in command.err


def test_unexpected_comes_before_not_run(command: Command) -> None:
    command.manifest.write_text(
        command.manifest.read_text().replace('"cli_targets:refutes"', '"cli_targets:fails"')
    )
    command.uuid8 = lambda target: None  # type: ignore[method-assign]  # the manifest is as wanted
    assert command.run("--require", "python") == 1


@pytest.mark.parametrize(
    ("argv", "checks"),
    [
        (("--part", "uuid8"), {"python-uuid8-order"}),
        (("--only", "HLC-2"), {"python-hlc-model", "python-hlc-stall"}),
        (
            ("--only", "hlc-2", "--only", "UUID8-1"),
            {"python-hlc-model", "python-hlc-stall", "python-uuid8-order"},
        ),
        (("--only", "python-hlc-stall"), {"python-hlc-stall"}),
        (("--profile", "full", "--engine", "hypothesis"), {"hypothesis-hlc-machine"}),
        (("--part", "hlc", "--part", "uuid8", "--engine", "python", "--only", "HLC-1"), {"python-hlc-model"}),
    ],
)
def test_checks_are_chosen(command: Command, argv: tuple[str, ...], checks: set[str]) -> None:
    report = command.folder / "run.json"
    assert command.run("--json", report, *argv) == 0
    assert {item["check"] for item in json.loads(report.read_text())["checks"]} == checks


def test_a_part_that_was_run_whole_shows_what_has_no_check_in_the_profile(command: Command) -> None:
    assert command.run("--profile", "full") == 0
    assert "HLC-2" in command.out
    assert "no variant of it was tried in this run" in " ".join(command.out.split())


def test_verbose_shows_every_variant(command: Command) -> None:
    assert command.run("--verbose", "--part", "hlc") == 0
    assert "python-hlc-stall: went back after 2 steps\n    1  n1  issues 5:1\n" in command.out


def test_logs_are_kept_where_asked(command: Command) -> None:
    assert command.run("--keep", command.folder / "logs", "--part", "uuid8") == 0
    assert (command.folder / "logs" / "python-uuid8-order" / "worker.log").is_file()


# --- wrong use --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("rnu",), "unknown command 'rnu': did you mean 'run'?"),
        (("run", "--jsn", "x"), "unknown argument '--jsn': did you mean '--json'"),
        (("run", "--part", "hcl"), "unknown part 'hcl': did you mean 'hlc'?"),
        (("run", "--engine", "tcl"), "unknown engine 'tcl': did you mean 'tlc'?"),
        (("run", "--require", "z33"), "unknown engine 'z33': did you mean 'z3'?"),
        (("run", "--profile", "fast"), "unknown profile 'fast': known are ci, full, quick"),
        (("run", "--jobs", "0"), "'0': a whole number of at least 1 is expected"),
        (("run", "--seed", "-1"), "a whole number of at least 0 is expected"),
        (("run", "--jobs"), "expected one argument"),
        (("explain",), "ID"),
        (("explain", "HLC-22"), "unknown property 'HLC-22': did you mean 'HLC-2'"),
        (("list", "--part", "x"), "unknown part 'x'"),
        (("tools", "instal"), "unknown action 'instal': did you mean 'install'"),
        (("conform",), "--command"),
        (
            ("conform", "--command", "x", "--part", "shard_map"),
            "unknown part 'shard_map': known are handoff, hlc, merkle_forest, quorum, uuid8",
        ),
        (("trace", "/no/such/file"), "/no/such/file"),
        (("trace",), "FILE"),
    ],
)
def test_wrong_use_ends_with_2_and_names_the_value(
    command: Command, argv: tuple[str, ...], words: str
) -> None:
    assert command(*argv) == 2
    assert words in command.err
    assert command.out == ""


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--only", "HLC-22"), "--only 'HLC-22' is no promise and no check: did you mean 'HLC-2'"),
        (("--only", "hypothesis-hlc-machine"), "is not in the profile 'quick': add --profile full"),
        (("--part", "quorum"), "no check is left"),
        (("--json", "/no/such/folder/x.json"), "cannot write /no/such/folder/x.json: there is no folder"),
        (("--junit", "/"), "cannot write /: it is a folder"),
        (("--html", "/no/such/folder/x"), "cannot make /no/such/folder/x: there is no folder"),
        (("--html", "/dev/null"), "cannot write to /dev/null: it is a file"),
        (("--keep", "/dev/null"), "cannot write to /dev/null: it is a file"),
        (("--json", "x", "--junit", "./x"), "--json and --junit both name x: give each a place of its own"),
        (("--html", "x", "--keep", "y/../x"), "--html and --keep both name y/../x"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_run(
    command: Command, argv: tuple[str, ...], words: str
) -> None:
    assert command.run(*argv) == 2
    assert words in command.err
    assert command.out == ""


def test_a_manifest_that_is_wrong_is_named(command: Command) -> None:
    command.manifest.write_text(MANIFEST.format(uuid8="fine").replace('"UUID8-1"', '"UUID8-7"'))
    assert command.run() == 2
    assert "check 'python-uuid8-order': unknown property 'UUID8-7': did you mean 'UUID8-1'" in command.err
    command.manifest.write_text("[[check]]\n")
    assert command.run() == 2
    assert f"{command.manifest}: check 'number 1': 'id' is missing" in command.err
    assert command("run", "--manifest", command.folder / "none.toml") == 2
    assert "none.toml: No such file or directory; give the path of a TOML file" in command.err


EXAMPLES = [
    line.strip()
    for text in (cli.EPILOG, cli.RUN_EPILOG)
    for line in text.splitlines()
    if line.startswith("  scratchbird_check ")
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_of_the_help_can_be_run(example: str) -> None:
    """As far as can be told without running it: the options exist, and so do the checks and promises."""
    words = shlex.split(example.partition("   ")[0])[1:]
    options = cli.build_parser().parse_args(words)
    properties = ledger.parse(resources.ledger_text())
    if options.command == "run":
        request = running.Request(
            options.profile, tuple(options.part), tuple(options.only), tuple(options.engine)
        )
        assert running.select(manifest.parse(resources.manifest_text()), properties, request)
    if options.command == "explain":
        assert ledger.find(properties, options.property)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full needs Linux")
def test_output_that_cannot_be_written_is_said_in_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "scratchbird_check", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == os.EX_IOERR
    assert ended.stderr == "scratchbird_check: [Errno 28] No space left on device\n"


def test_without_a_command_the_help_is_shown(command: Command) -> None:
    assert command() == 2
    assert "examples:" in command.out


def test_the_version_is_told(command: Command) -> None:
    assert command("--version") == 0
    assert command.out.startswith("scratchbird_check ")


# --- reports ----------------------------------------------------------------------------------------------


def test_reports_are_written(command: Command) -> None:
    command.uuid8("lacks")
    report, junit = command.folder / "run.json", command.folder / "junit.xml"
    assert command.run("--json", report, "--junit", junit, "--seed", "7") == 0
    value = json.loads(report.read_text())
    assert (value["profile"], value["seed"], value["passed"]) == ("quick", 7, True)
    assert value["properties"][1]["verdict"] == "refuted as expected"
    assert value["checks"][1]["counterexample"]["states"]
    root = ET.parse(junit).getroot()
    assert root.attrib | {"time": ""} == {
        "name": "scratchbird_check",
        "time": "",
        "tests": "3",
        "failures": "0",
        "errors": "0",
        "skipped": "1",
    }
    skipped = root.find("testsuite[@name='uuid8']/testcase/skipped")
    assert skipped is not None
    assert skipped.get("message") == "build the core"


def test_a_failure_is_one_in_junit_too(command: Command) -> None:
    command.uuid8("fails")
    junit = command.folder / "junit.xml"
    assert command.run("--junit", junit, "--keep", command.folder / "logs") == 1
    failure = ET.parse(junit).getroot().find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == "it does not hold"
    assert f"log: {command.folder}/logs/python-uuid8-order/worker.log" in (failure.text or "")


def test_the_last_run_is_remembered(command: Command) -> None:
    assert command.run("--part", "hlc") == 0
    value = json.loads(places.last_run().read_text())
    assert [item["check"] for item in value["checks"]] == ["python-hlc-model", "python-hlc-stall"]


def test_a_cache_that_cannot_be_written_is_no_error(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")
    assert command.run("--part", "uuid8") == 0


# --- the others -------------------------------------------------------------------------------------------


def test_promises_and_checks_are_listed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "manifest_text", lambda: MANIFEST.format(uuid8="fine"))
    assert command("list") == 0
    assert command.out.startswith("HLC-1  Ids increase.\n    expected: checked; rule HLC.R3\n")
    assert (
        "    python-hlc-stall  refuted as expected of the variant stall_and_reset  [quick]\n" in command.out
    )
    assert command("list", "--part", "uuid8") == 0
    assert command.out.startswith("UUID8-1")
    assert command("list", "--part", "quorum") == 0
    assert command.out == "No promise of the part quorum is in the ledger yet.\n"


def test_tools_are_reported(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hypothesis, "missing", lambda: "Hypothesis is missing: pip install it")
    assert command("tools") == 0
    assert "hypothesis  missing: Hypothesis is missing: pip install it\n" in command.out
    assert f"Tool cache: {command.folder}/cache/scratchbird/tools\n" in command.out
