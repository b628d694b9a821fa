"""What a run shows: progress while it runs, then the verdict table and what to do next.

A live display where standard output is a terminal and ``rich`` is installed, plain lines everywhere else.
``NO_COLOR`` (no-color.org) switches colours off.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TextIO

from scratchbird_check.manifest import Check
from scratchbird_check.report.json_report import shortest_counterexample
from scratchbird_check.report.text import shown_number, shown_steps
from scratchbird_check.results import PropertyResult, Run
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    from rich.live import Live

_COLOURS = {Verdict.UNEXPECTED: "31;1", Verdict.NOT_RUN: "33"}
MAX_STEPS = 14
"""A counterexample with more steps than this is only named, unless all was asked for."""

MAX_DETAIL = 90
"""Characters of a check's detail in its line of progress on a terminal."""


# --- while it runs ----------------------------------------------------------------------------------------


class PlainProgress:
    """One line for each check that has ended."""

    def __init__(self, total: int, out: TextIO | None = None, colour: bool = False) -> None:
        self.total = total
        self.out = out or sys.stdout
        self.colour = colour
        self.count = 0

    def started(self, check: Check) -> None:
        pass

    def progress(self, check: Check, text: str) -> None:
        pass

    def ended(self, check: Check, outcome: Outcome) -> None:
        self.count += 1
        print(self.line(outcome), file=self.out, flush=True)

    def refresh(self) -> None:
        pass

    def line(self, outcome: Outcome) -> str:
        """``[ 3/24] checked             tlc-hlc-two-nodes  41,230 distinct states  4.2 s``"""
        width = len(str(self.total))
        verdict = paint(f"{outcome.verdict.value:<19}", outcome.verdict, self.colour)
        head = f"[{self.count:>{width}}/{self.total}] {verdict} {outcome.check}"
        # A terminal's lines are kept short, but for what was unexpected; a file or a pipe gets everything.
        short = self.out.isatty() and outcome.verdict is not Verdict.UNEXPECTED
        room = MAX_DETAIL if short else len(outcome.detail) + 1
        detail = textwrap.shorten(outcome.detail, room, placeholder=" ...")
        return f"{head}  {detail}  {outcome.seconds:.1f} s"


class LiveProgress(PlainProgress):
    """The same lines, and below them what runs just now."""

    def __init__(self, total: int, live: Live, colour: bool) -> None:
        super().__init__(total, colour=colour)
        self.live = live
        self.running: dict[str, tuple[float, str]] = {}

    def started(self, check: Check) -> None:
        self.running[check.id] = time.monotonic(), ""

    def progress(self, check: Check, text: str) -> None:
        since, _ = self.running[check.id]
        self.running[check.id] = since, text

    def ended(self, check: Check, outcome: Outcome) -> None:
        from rich.text import Text

        self.count += 1
        self.running.pop(check.id, None)
        self.live.console.print(Text.from_ansi(self.line(outcome)), soft_wrap=True)

    def refresh(self) -> None:
        from rich.text import Text

        now = time.monotonic()
        lines = [
            f"  {name}  {now - since:.0f} s  {text}".rstrip() for name, (since, text) in self.running.items()
        ]
        lines.append(f"{self.count} of {self.total} checks have ended, {len(self.running)} are running")
        text = Text("\n".join(lines), style="dim", overflow="ellipsis", no_wrap=True)
        self.live.update(text, refresh=True)


@contextlib.contextmanager
def progress(total: int, environ: Mapping[str, str] = os.environ) -> Iterator[PlainProgress]:
    """The progress display that fits standard output."""
    colour = colours(sys.stdout, environ)
    try:
        from rich.console import Console
        from rich.live import Live
    except ModuleNotFoundError:
        yield PlainProgress(total, colour=colour)
        return
    if not sys.stdout.isatty() or environ.get("TERM") == "dumb":
        yield PlainProgress(total, colour=colour)
        return
    with Live(console=Console(), auto_refresh=False, transient=True) as live:
        yield LiveProgress(total, live, colour)


def colours(out: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether to use colours: on a terminal, unless ``NO_COLOR`` is set to anything."""
    return out.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paint(text: str, verdict: Verdict, colour: bool) -> str:
    return f"\x1b[{_COLOURS.get(verdict, '32')}m{text}\x1b[0m" if colour else text


# --- when it has ended ------------------------------------------------------------------------------------


def summary(run: Run, verbose: bool = False, width: int | None = None, colour: bool = False) -> str:
    """The verdict table, what was unexpected and what was not run, and the counterexamples."""
    room = width or min(shutil.get_terminal_size((110, 24)).columns, 140)
    lines = ["", *table(run.properties, room, colour), ""]
    for outcome in run.unexpected:
        lines += _unexpected(outcome, colour)
    for item in run.properties:
        if item.verdict is Verdict.UNEXPECTED and not any(
            outcome.verdict is Verdict.UNEXPECTED for outcome in item.outcomes
        ):
            lines.append(f"{paint('unexpected', Verdict.UNEXPECTED, colour)}: {item.promise.id}: {item.note}")
    if run.not_run:
        lines += _not_run(run.not_run, colour)
    lines += _counterexamples(run, verbose, room)
    lines.append(_totals(run))
    return "\n".join(lines)


def table(items: Sequence[PropertyResult], room: int, colour: bool = False) -> list[str]:
    """Property, claim in short, verdict, evidence, seconds; two lines or three for each."""
    names = max((len(item.promise.id) for item in items), default=8)
    names, verdicts, seconds = max(names, 8), 19, 7
    claim = max(24, (room - names - verdicts - seconds - 8) // 2)
    proof = max(24, room - names - verdicts - seconds - 8 - claim)
    lines = [
        f"{'property':<{names}}  {'claim':<{claim}}  {'verdict':<{verdicts}}  {'evidence':<{proof}}  "
        f"{'seconds':>{seconds}}",
        "-" * min(room, names + claim + verdicts + proof + seconds + 8),
    ]
    for item in items:
        claims = textwrap.wrap(textwrap.shorten(item.promise.claim, claim * 3, placeholder=" ..."), claim)
        proofs = textwrap.wrap(evidence(item), proof)
        for row in range(max(len(claims), len(proofs), 1)):
            first = row == 0
            verdict = paint(
                f"{item.verdict.value if first else '':<{verdicts}}", item.verdict, colour and first
            )
            line = (
                f"{item.promise.id if first else '':<{names}}  "
                f"{claims[row] if row < len(claims) else '':<{claim}}  {verdict}  "
                f"{proofs[row] if row < len(proofs) else '':<{proof}}  "
                f"{format(item.seconds, '.1f') if first else '':>{seconds}}"
            )
            lines.append(line.rstrip())
    return lines


def evidence(item: PropertyResult) -> str:
    """Which engines said what, with their greatest figures, and what is missing."""
    said: list[str] = []
    held = [outcome for outcome in item.outcomes if outcome.verdict not in (Verdict.REFUTED, *_BAD)]
    by_engine = Counter(engine_of(outcome) for outcome in held)
    for engine, count in by_engine.items():
        mine = [outcome.figures for outcome in held if engine_of(outcome) == engine]
        words = engine if count == 1 else f"{engine} ×{count}"
        for figure, unit in (("distinct", "states"), ("length", "steps"), ("steps", "steps")):
            most = max((int(figures.get(figure, 0)) for figures in mine), default=0)
            if most:
                words += f" ({most:,} {unit})"
                break
        said.append(words)
    if refuted := Counter(engine_of(outcome) for outcome in item.refutations):
        by = [engine if count == 1 else f"{engine} ×{count}" for engine, count in refuted.items()]
        said.append(f"variants refuted by {', '.join(by)}")
    if item.promise.verdict is Verdict.REFUTED and held:
        said.insert(0, f"{item.promise.rule} instead:")
    text = ", ".join(said).replace(":,", ":")
    return f"{text}; {item.note}" if text and item.note else text or item.note


_BAD = (Verdict.UNEXPECTED, Verdict.NOT_RUN)


def engine_of(outcome: Outcome) -> str:
    """The engine, which is the first word of every check's id."""
    return outcome.check.partition("-")[0]


def steps(trace: Trace, room: int = 110) -> list[str]:
    """A counterexample, step by step; steps that only set the scene are left out."""
    shown = shown_steps(trace)
    lanes = max((len(step.lane or "") for step in shown), default=0)
    lines: list[str] = []
    for step in shown:
        mark = "  <-- wrong" if step.wrong else ""
        head = f"  {shown_number(trace, step.number):>3}  {step.lane or '':<{lanes}}  "
        lines += textwrap.wrap(
            step.label + mark,
            max(room, len(head) + 40),
            initial_indent=head,
            subsequent_indent=" " * (len(head) + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines + _wrap(trace.verdict, room, " " * 7) if trace.verdict else lines


def _unexpected(outcome: Outcome, colour: bool) -> list[str]:
    word = paint("unexpected", Verdict.UNEXPECTED, colour)
    lines = [f"{word}: {outcome.check} ({', '.join(outcome.properties)}): {outcome.detail}"]
    if outcome.counterexample is not None:
        lines += steps(outcome.counterexample)
    if outcome.log is not None:
        lines.append(f"  log: {outcome.log}")
    return [*lines, ""]


def _not_run(outcomes: Sequence[Outcome], colour: bool) -> list[str]:
    """Each remedy once, with the checks that want it."""
    word = paint("not run", Verdict.NOT_RUN, colour)
    lines: list[str] = []
    for remedy in dict.fromkeys(outcome.remedy or outcome.detail for outcome in outcomes):
        mine = [outcome.check for outcome in outcomes if (outcome.remedy or outcome.detail) == remedy]
        lines += [f"{word}: {remedy}", f"  {_count(len(mine), 'check', 'checks')}: {', '.join(mine)}", ""]
    return lines


def _counterexamples(run: Run, verbose: bool, room: int) -> list[str]:
    """For each refuted claim the shortest one; all of every variant if ``verbose``."""
    lines: list[str] = []
    if verbose:
        for outcome in run.outcomes:
            if outcome.verdict is Verdict.REFUTED and outcome.counterexample is not None:
                lines += _wrap(f"{outcome.check}: {outcome.detail}", room)
                lines += [*steps(outcome.counterexample, room), ""]
        return lines
    refuted = [item for item in run.properties if item.verdict is Verdict.REFUTED]
    for item in refuted:
        found = shortest_counterexample(item.outcomes, item.promise.id)
        if found is None or found.counterexample is None:
            continue
        lines += _wrap(f"{item.promise.id}: {item.promise.claim}", room)
        lines += _wrap(item.promise.instead, room, "  ")
        if len(shown_steps(found.counterexample)) <= MAX_STEPS:
            lines += steps(found.counterexample, room)
        lines += [*_wrap(f"We build {item.promise.rule}: {item.promise.corrected}", room, "  "), ""]
    if refuted:
        lines.append(f"Follow a counterexample: scratchbird_check explain {refuted[0].promise.id}")
        lines += ["Those of every variant: scratchbird_check run --verbose", ""]
    return lines


def _wrap(text: str, room: int, indent: str = "") -> list[str]:
    """Lines that fit; those after the first stand further in."""
    return textwrap.wrap(
        text,
        max(room, 40),
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _totals(run: Run) -> str:
    found = Counter(item.verdict for item in run.properties)
    parts = ", ".join(f"{found[verdict]} {verdict.value}" for verdict in Verdict if found[verdict])
    good = len(run.outcomes) - len(run.unexpected) - len(run.not_run)
    text = (
        f"{_count(len(run.properties), 'property', 'properties')}: {parts or 'none'}.\n"
        f"{_count(len(run.outcomes), 'check', 'checks')} in {run.seconds:.0f} s: {good} as expected, "
        f"{len(run.unexpected)} unexpected, {len(run.not_run)} not run."
    )
    partly = [item.promise.id for item in run.properties if item.note and item.verdict not in _BAD]
    return f"{text}\nNot complete, see the table: {', '.join(partly)}." if partly else text


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
