"""Apalache: every execution up to a length, or an inductive invariant in three runs, by a solver.

What a check may want of it (``options`` in the manifest):

=============  ============================================================================================
module         the module to check (``MC_hlc``), config: its configuration for the constants
constants      constants and the values that the configuration must give them
init, next     the names of the predicates, by default ``Init`` and ``Next``
inv            the invariant
length         the length of the executions, in steps: all of them must be possible
three_run      true: ``inductive`` names an inductive invariant, and three runs show that it holds initially,
               that every step keeps it, and that it implies ``inv`` -- for executions of any length;
               start: the predicate that chooses any state satisfying it, where that is not its own name
reach          a name, or several: invariants that say "this never happens"; each must be violated
deadlock       true: a state without successor is an error
heap_mb        memory of the Java machine
=============  ============================================================================================
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from scratchbird_check import places, resources
from scratchbird_check.context import Context
from scratchbird_check.engines import java, process, tlc_config
from scratchbird_check.engines.tlc import unexpected
from scratchbird_check.errors import MissingToolError
from scratchbird_check.manifest import Check
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict

_MAIN = "at.forsyte.apalache.tla.Tool"
_GET_IT = "run `scratchbird_check tools install`, or set APALACHE_HOME to an unpacked release"


class End(StrEnum):
    """How Apalache ended."""

    OK = "no error"
    VIOLATION = "invariant violated"
    DEADLOCK = "deadlock reached"
    TOO_SHORT = "no execution is as long as that"
    EVALUATION = "evaluation error"
    TYPES = "type error"
    PARSE = "the module or the configuration cannot be read"
    MEMORY = "out of memory"
    UNREADABLE = "output not understood"


@dataclass(frozen=True, slots=True)
class Report:
    """What one run of Apalache said."""

    end: End
    length: int | None = None
    """Up to which length it found no error."""
    message: str = ""


# --- where it is ------------------------------------------------------------------------------------------


def find_jar(environ: Mapping[str, str] = os.environ) -> Path | None:
    """From ``APALACHE_HOME``, ``APALACHE_JAR``, the ``PATH``, else the newest in the tool cache."""
    if home := environ.get("APALACHE_HOME"):
        return Path(home, "lib", "apalache.jar")
    if named := environ.get("APALACHE_JAR"):
        return Path(named)
    if script := shutil.which("apalache-mc", path=environ.get("PATH", "")):
        jar = Path(script).resolve().parent.parent / "lib" / "apalache.jar"
        if jar.is_file():
            return jar
    cached = places.tools(environ).glob("apalache-[0-9]*/lib/apalache.jar")
    found = sorted(cached, key=lambda path: places.version_key(path.parts[-3]))
    return found[-1] if found else None


def java_needed(jar: Path) -> int:
    """The least Java that this jar runs on: 17 up to version 0.61, 21 from 0.62."""
    return java.needed_by(jar, _MAIN, otherwise=21)


def missing() -> str:
    """Empty if Apalache can be run, else what is missing and how to get it."""
    jar = find_jar()
    if jar is None:
        return f"Apalache is missing: {_GET_IT}"
    if not jar.is_file():
        named = "APALACHE_HOME" if os.environ.get("APALACHE_HOME") else "APALACHE_JAR"
        return f"{named} is {os.environ.get(named)}, but there is no {jar}: correct it, or {_GET_IT}"
    if not java.holds(jar, _MAIN):
        return f"{jar} is no apalache.jar, as {_MAIN} is not in it: correct APALACHE_JAR, or {_GET_IT}"
    return java.missing(java_needed(jar), f"Apalache {java.jar_version(jar)}".strip())


# --- what it says -----------------------------------------------------------------------------------------


def read(returncode: int, text: str) -> Report:
    """Understand one run's exit status and output; both must say the same."""
    outcome = re.search(r"^The outcome is: (\w+)", text, re.MULTILINE)
    length = re.search(r"reports no error up to computation length (\d+)", text)
    steps = int(length[1]) if length else None
    if "OutOfMemoryError" in text:
        return Report(End.MEMORY, message="Java ran out of memory")
    match returncode, outcome[1] if outcome else "":
        case 0, "NoError" if steps is not None:
            return Report(End.OK, steps)
        case 0, "ExecutionsTooShort":
            return Report(End.TOO_SHORT, steps, "all executions are shorter than the length asked for")
        case 12, "Error":
            return Report(End.VIOLATION)
        case 12, "Deadlock":
            return Report(End.DEADLOCK)
        case 75, _:
            return Report(End.EVALUATION, message=_message(returncode, text))
        case 120, _:
            return Report(End.TYPES, message=_message(returncode, text))
        case ((150 | 255), _):
            return Report(End.PARSE, message=_message(returncode, text))
        case _:
            return Report(End.UNREADABLE, message=_message(returncode, text))


def progress(line: str) -> str:
    """A line of output in a few words for the progress display; empty if it says nothing of progress."""
    found = re.match(r"(State|Step) (\d+): (?:Checking|picking)", line)
    return f"{found[1].lower()} {found[2]}" if found else ""


def _message(returncode: int, text: str) -> str:
    """The first line that Apalache marks as an error, without mark and time."""
    lines = text.splitlines()
    for line in lines:
        if found := re.match(r"(.*?)\s*E@\d\d:\d\d:\d\d\.\d+$", line):
            return found[1].strip()
    for line in lines:
        if "Error" in line or "Exception" in line or line.startswith("Failed to parse command"):
            return line.strip()
    return lines[-1].strip() if lines else f"no output, exit status {returncode}"


# --- a check ----------------------------------------------------------------------------------------------


def run(check: Check, context: Context) -> Outcome:
    """Run Apalache as the check's options say, and judge what it found."""
    options = check.options
    folder = resources.copy_models(context.workdir / "models")
    text = ""
    if config := options.get("config"):
        if not (folder / config).is_file():
            return unexpected(check, f"there is no configuration {config}")
        text = (folder / config).read_text(encoding="utf-8")
        if differs := tlc_config.differences(tlc_config.parse(text), {**options, "invariants": ()}):
            return unexpected(check, differs)
    runner = _Runner(check, context, folder, text)
    init = options.get("init", "Init")
    if options.get("three_run"):
        inductive = options["inductive"]
        return _three_runs(runner, init, options.get("start", inductive), inductive, options["inv"])
    if "reach" in options:
        return _reach(runner, init, options["reach"])
    return _bounded(runner, init)


class _Runner:
    """Runs Apalache several times within one check's time limit."""

    def __init__(self, check: Check, context: Context, folder: Path, configuration: str) -> None:
        if problem := missing():
            raise MissingToolError(problem)
        self.check, self.context, self.folder = check, context, folder
        self.configuration = configuration
        self.inv = ""
        self.seconds = 0.0
        self.log: Path | None = None
        self.run_dir = folder

    def __call__(self, name: str, init: str, inv: str, length: int) -> Report:
        """One run. A run that does not end in order is reported as not understood, and says why."""
        jar = find_jar()
        assert jar is not None
        machine = java.find(java_needed(jar))
        assert machine is not None
        options = self.check.options
        scratch = self.context.workdir / f"{name}-scratch"
        (scratch / "tmp").mkdir(parents=True)
        self.run_dir = scratch / "run"
        self.inv = inv
        config = [f"--config={options['config']}"] if "config" in options else []
        ended = process.run(
            [
                str(machine.path),
                f"-Xmx{options.get('heap_mb', self.check.memory_mb)}m",
                *java.SHORT,  # The solver, which is no Java, does the long work.
                *(["--sun-misc-unsafe-memory-access=allow"] if machine.version >= 23 else []),
                # Its parser unpacks the standard modules into the temporary folder: runs must not share it.
                f"-Djava.io.tmpdir={scratch / 'tmp'}",
                "-jar",
                str(jar.resolve()),
                "check",
                f"--out-dir={scratch / 'out'}",
                f"--run-dir={self.run_dir}",
                *config,
                f"--init={init}",
                f"--next={options.get('next', 'Next')}",
                f"--inv={inv}",
                f"--length={length}",
                *([] if options.get("deadlock", False) else ["--no-deadlock"]),
                f"{options['module']}.tla",
            ],
            log=self.context.workdir / f"{name}.log",
            timeout_s=max(1.0, self.check.timeout_s - self.seconds),
            cwd=self.folder,
            on_line=self._tell,
        )
        self.seconds += ended.seconds
        self.log = ended.log
        if why := ended.why():
            return Report(End.UNREADABLE, message=f"Apalache: {why}")
        return read(ended.returncode, ended.text())

    def _tell(self, line: str) -> None:
        if text := progress(line):
            self.context.progress(text)

    def fails(self, report: Report, what: str) -> Outcome:
        """The unexpected outcome, with the counterexample if there is one."""
        words = f"{what}: {report.end.value}{': ' if report.message else ''}{report.message}"
        outcome = unexpected(self.check, words, self.log)
        if report.end in (End.VIOLATION, End.DEADLOCK):
            return replace(outcome, counterexample=self.counterexample()[0])
        return outcome

    def holds(self, detail: str, figures: Mapping[str, int]) -> Outcome:
        return Outcome(
            self.check.id, self.check.expect, detail, self.check.properties, self.seconds, dict(figures)
        )

    def counterexample(self) -> tuple[Trace | None, str]:
        """The execution that the last run found as a trace, or why it cannot be read."""
        from scratchbird_check.traces import itf, parts, tlc_text

        constants = tlc_text.read_constants(self.configuration)
        try:
            file = max(self.run_dir.glob("violation*.itf.json"), key=lambda path: path.name)
            behaviour = itf.read(file.read_text(encoding="utf-8"), self.check.part, self.inv)
            return parts.tell(behaviour, constants), ""
        except ValueError as error:  # Also if there is no such file.
            return None, str(error)


def _bounded(runner: _Runner, init: str) -> Outcome:
    check = runner.check
    inv, length = check.options["inv"], check.options["length"]
    report = runner("apalache", init, inv, length)
    if check.expect is not Verdict.REFUTED:
        if report.end is not End.OK or report.length != length:
            return runner.fails(report, inv)
        return runner.holds(f"every execution of up to {length} steps", {"length": length})
    if report.end is not End.VIOLATION:
        return runner.fails(report, f"{inv} was not refuted")
    trace, problem = runner.counterexample()
    if trace is None:
        return unexpected(check, f"the counterexample cannot be read: {problem}", runner.log)
    detail = f"{inv} violated after {len(trace.steps) - 1} steps"
    return Outcome(check.id, Verdict.REFUTED, detail, check.properties, runner.seconds, {}, trace)


def _three_runs(runner: _Runner, init: str, start: str, inductive: str, inv: str) -> Outcome:
    """An invariant that holds at first, is kept by every step and implies ``inv``: for any length."""
    for name, first, goal, length, what in (
        ("initially", init, inductive, 0, f"{inductive} does not hold initially"),
        ("kept", start, inductive, 1, f"{inductive} is not kept by every step"),
        ("implies", start, inv, 0, f"{inductive} does not imply {inv}"),
    ):
        report = runner(f"apalache-{name}", first, goal, length)
        if report.end is not End.OK or report.length != length:
            return runner.fails(report, what)
    detail = f"{inductive} holds initially, is kept by every step, implies {inv}: executions of any length"
    return runner.holds(detail, {"runs": 3})


def _reach(runner: _Runner, init: str, wanted: str | list[str]) -> Outcome:
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        report = runner(f"apalache-{name}", init, name, runner.check.options["length"])
        if report.end is not End.VIOLATION:
            return runner.fails(report, f"never reached, by {name}")
    detail = f"{len(names)} interesting states reached: {', '.join(names)}"
    return runner.holds(detail, {"reached": len(names)})
