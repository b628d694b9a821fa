"""The runner: what crashes, hangs or lies is unexpected with its log, and no child outlives a run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scratchbird_check import manifest
from scratchbird_check.manifest import Check
from scratchbird_check.runner import Runner
from scratchbird_check.verdicts import Outcome, Verdict

TARGETS = """
import os, signal, subprocess, sys, threading
from pathlib import Path
from scratchbird_check.verdicts import Outcome, Verdict

def fine(check, context):
    context.progress("half way")
    return Outcome(check.id, check.expect, f"seed {context.seed}, profile {context.profile}")

def segfault(check, context):
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)

def leaves(check, context):
    os._exit(0)

def garbage(check, context):
    (context.workdir / "outcome.json").write_text('{"check": ')
    os._exit(0)

def raises(check, context):
    raise RuntimeError("boom")

def hangs(check, context):
    (context.workdir / "engine.log").write_text("last words of the engine")
    threading.Event().wait()

def eats(check, context):
    return bytearray(3 * 2**30)

def lies(check, context):
    return Outcome(check.id, Verdict.PROVED, "all is well")

def refutes(check, context):
    return Outcome(check.id, Verdict.REFUTED, "it is wrong, believe me")

def lacks(check, context):
    raise ModuleNotFoundError("No module named 'z3'", name="z3")

def lacks_own(check, context):
    import scratchbird_check.no_such_module

def no_tool(check, context):
    return Outcome(check.id, Verdict.NOT_RUN, "no core", remedy="build the core")

def no_java(check, context):
    from scratchbird_check.errors import MissingToolError
    raise MissingToolError("there is no Java: install it")

def scratch(check, context):
    (context.workdir / "x-scratch").mkdir()
    (context.workdir / "x-scratch" / "states").touch()
    return fine(check, context)

def _child(check):
    pipe = os.open(check.options["fifo"], os.O_WRONLY)
    code = "import threading; threading.Event().wait()"
    subprocess.Popen([sys.executable, "-c", code], pass_fds=(pipe,))
    os.write(pipe, b"ready")

def hangs_with_child(check, context):
    _child(check)
    threading.Event().wait()

def ends_with_child(check, context):
    _child(check)
    return fine(check, context)
"""

ENTRY = """
[[check]]
id = "{name}"
part = "hlc"
engine = "python"
profiles = ["quick"]
expect = "{expect}"
properties = ["HLC-1"]
timeout_s = {timeout}
memory_mb = 1024
{variant}
options.target = "runner_targets:{target}"
options.fifo = "{fifo}"
{workers}
"""


class Recorder:
    """Remembers what the runner tells."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def started(self, check: Check) -> None:
        self.told.append(("started", check.id))

    def progress(self, check: Check, text: str) -> None:
        self.told.append(("progress", text))

    def ended(self, check: Check, outcome: Outcome) -> None:
        self.told.append(("ended", check.id))

    def refresh(self) -> None:
        pass


class Stage:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "manifest.toml"
        self.manifest.write_text("")
        self.recorder = Recorder()
        self.fifo = folder / "fifo"
        os.mkfifo(self.fifo)
        (folder / "work").mkdir()

    def add(
        self,
        target: str,
        *,
        name: str = "",
        expect: str = "checked",
        timeout: float = 60,
        workers: int = 0,
    ) -> None:
        with self.manifest.open("a") as file:
            file.write(
                ENTRY.format(
                    name=name or f"python-{target.replace('_', '-')}",
                    target=target,
                    expect=expect,
                    timeout=timeout,
                    variant='variant = "v"' if expect == "refuted as expected" else "",
                    fifo=self.fifo,
                    workers=f"options.workers = {workers}" if workers else "",
                )
            )

    def run(self, jobs: int = 2, keep: bool = False) -> tuple[Outcome, ...]:
        return Runner(
            manifest.parse(self.manifest.read_text()),
            self.folder / "work",
            self.recorder,
            seed=5,
            jobs=jobs,
            keep=keep,
            manifest=self.manifest,
        ).run()

    def one(self, target: str, expect: str = "checked", timeout: float = 60) -> Outcome:
        self.add(target, expect=expect, timeout=timeout)
        (outcome,) = self.run()
        return outcome


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    (tmp_path / "runner_targets.py").write_text(TARGETS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Stage(tmp_path)


# --- outcomes ---------------------------------------------------------------------------------------------


def test_an_outcome_comes_back_with_what_the_manifest_says(stage: Stage) -> None:
    outcome = stage.one("fine")
    assert (outcome.check, outcome.verdict) == ("python-fine", Verdict.CHECKED)
    assert outcome.detail == "seed 5, profile quick"
    assert outcome.properties == ("HLC-1",)
    assert outcome.seconds > 0
    assert stage.recorder.told == [
        ("started", "python-fine"),
        ("progress", "half way"),
        ("ended", "python-fine"),
    ]
    assert not list((stage.folder / "work").iterdir())


@pytest.mark.parametrize(
    ("target", "expect", "words"),
    [
        ("segfault", "checked", "the engine python crashed: killed by signal 11"),
        ("leaves", "checked", "ended without an outcome"),
        ("garbage", "checked", "Expecting value"),
        ("raises", "checked", "crashed: RuntimeError: boom"),
        ("eats", "checked", "memory limit of 1024 MiB reached"),
        ("lies", "checked", "checked was expected, proved was found: all is well"),
        ("fine", "refuted as expected", "refuted without a counterexample"),
        ("refutes", "refuted as expected", "refuted without a counterexample: it is wrong"),
        ("lacks_own", "checked", "crashed: No module named 'scratchbird_check.no_such_module'"),
        ("no_such_function", "checked", "has no function 'no_such_function'"),
    ],
)
def test_what_is_not_in_order_is_unexpected_and_its_log_is_kept(
    stage: Stage, target: str, expect: str, words: str
) -> None:
    outcome = stage.one(target, expect)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert words in outcome.detail
    assert outcome.log is not None
    assert outcome.log.read_text()


def test_the_log_of_a_crash_holds_what_was_said_before(stage: Stage) -> None:
    outcome = stage.one("segfault")
    assert outcome.log is not None
    first, second, rest = outcome.log.read_text().split("\n", 2)
    assert first == "python-segfault: python, profile quick, seed 5"
    assert second == "about to crash"
    assert rest.startswith("Fatal Python error: Segmentation fault")


def test_a_time_out_is_unexpected_and_names_the_engines_log(stage: Stage) -> None:
    outcome = stage.one("hangs", timeout=1.5)
    assert (outcome.verdict, outcome.detail) == (Verdict.UNEXPECTED, "time limit of 1.5 s reached")
    assert outcome.log is not None
    assert outcome.log.read_text() == "last words of the engine"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("lacks", "pip install 'scratchbird-replication[check]'"),
        ("no_tool", "build the core"),
        ("no_java", "there is no Java: install it"),
    ],
)
def test_a_missing_tool_is_not_run(stage: Stage, target: str, words: str) -> None:
    outcome = stage.one(target)
    assert outcome.verdict is Verdict.NOT_RUN
    assert words in outcome.remedy


def test_outcomes_are_in_the_order_of_the_manifest_and_the_longest_is_started_first(stage: Stage) -> None:
    for number, timeout in enumerate((10, 30, 20)):
        stage.add("fine", name=f"c-{number}", timeout=timeout)
    assert [outcome.check for outcome in stage.run(jobs=1)] == ["c-0", "c-1", "c-2"]
    assert [name for what, name in stage.recorder.told if what == "started"] == ["c-1", "c-2", "c-0"]


def test_a_check_with_threads_takes_as_many_of_the_jobs(stage: Stage) -> None:
    stage.add("fine", name="wide", timeout=90, workers=8)
    stage.add("fine", name="narrow")
    stage.run(jobs=2)
    told = [item for item in stage.recorder.told if item[0] != "progress"]
    assert told == [("started", "wide"), ("ended", "wide"), ("started", "narrow"), ("ended", "narrow")]


def test_scratch_files_go_unless_they_are_to_be_kept(stage: Stage) -> None:
    stage.add("scratch")
    stage.run(keep=True)
    kept = stage.folder / "work" / "python-scratch"
    assert (kept / "x-scratch" / "states").exists()
    assert (kept / "worker.log").exists()
    stage.run()
    assert not kept.exists()


# --- nothing outlives a run -------------------------------------------------------------------------------

DRIVER = """
import sys
from pathlib import Path
from scratchbird_check import manifest
from scratchbird_check.report.console import PlainProgress
from scratchbird_check.runner import Interrupted, Runner
folder, file = Path(sys.argv[1]), Path(sys.argv[2])
checks = manifest.parse(file.read_text())
try:
    Runner(checks, folder, PlainProgress(1), jobs=2, manifest=file).run()
except Interrupted as interrupted:
    print(interrupted, len(interrupted.outcomes))
    sys.exit(128 + interrupted.number)
"""


class Pipe:
    """The reading end of a pipe that a grandchild holds open as long as it lives."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def read(self, deadline_s: float = 60) -> bytes:
        """What comes next; empty when the last one that held the other end is gone."""
        until = time.monotonic() + deadline_s
        while select.select([self.descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
            try:
                return os.read(self.descriptor, 100)
            except BlockingIOError:
                continue
        raise AssertionError("nothing was heard before the deadline")

    def wait_for_start(self, process: subprocess.Popen[str]) -> None:
        until = time.monotonic() + 60
        # Until the other end is opened, a pipe reads as ended.
        while time.monotonic() < until and process.poll() is None:
            if self.read() == b"ready":
                return
        raise AssertionError("the check was never started")


@pytest.fixture
def pipe(stage: Stage) -> Iterator[Pipe]:
    opened = Pipe(stage.fifo)
    yield opened
    os.close(opened.descriptor)


@pytest.fixture
def hanging(stage: Stage, pipe: Pipe) -> Iterator[subprocess.Popen[str]]:
    """A run in a process of its own, whose only check hangs and has started a child."""
    stage.add("hangs_with_child")
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(stage.folder / "work"), str(stage.manifest)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pipe.wait_for_start(process)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_every_child(
    hanging: subprocess.Popen[str], pipe: Pipe, number: signal.Signals
) -> None:
    hanging.send_signal(number)
    assert pipe.read() == b""
    assert hanging.wait(60) == 128 + number
    assert hanging.stdout is not None
    assert hanging.stdout.read() == f"interrupted by {number.name} 0\n"


def test_a_runner_that_is_killed_takes_every_child_with_it(
    hanging: subprocess.Popen[str], pipe: Pipe
) -> None:
    hanging.kill()
    assert pipe.read() == b""


def test_what_a_check_leaves_behind_is_ended_with_it(stage: Stage, pipe: Pipe) -> None:
    stage.add("ends_with_child")
    (outcome,) = stage.run()
    assert outcome.verdict is Verdict.CHECKED
    assert pipe.read() == b"ready"
    assert pipe.read(deadline_s=0) == b""  # Gone by now: else it could still write into its folder.


def test_a_time_out_ends_the_children_too(stage: Stage, pipe: Pipe) -> None:
    stage.add("hangs_with_child", timeout=3)
    (outcome,) = stage.run()
    assert "time limit" in outcome.detail
    assert pipe.read() == b"ready"
    assert pipe.read() == b""
