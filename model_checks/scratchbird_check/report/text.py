"""A trace on a terminal: step by step, what changed, and which step is the wrong one."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Sequence

from scratchbird_check.traces.hlc_words import listed
from scratchbird_check.traces.model import Change, Step, Trace

NARROWEST = 40
_RED, _GREY, _BOLD, _PLAIN = "\x1b[31m", "\x1b[90m", "\x1b[1m", "\x1b[0m"
_Paint = Callable[[str, str], str]


def terminal_width() -> int:
    """The columns of the terminal; 80 if there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def unbroken(text: str) -> list[str]:
    """The lines of a text, each made whole: one that ends within a sentence goes on in the next."""
    lines: list[str] = []
    whole = ""
    for line in text.strip().splitlines():
        whole = f"{whole} {line.strip()}".strip()
        if not line.strip() or whole.endswith((".", ":", "?", "!")):
            lines += [whole] if whole or not lines or lines[-1] else []
            whole = ""
    return [*lines, whole] if whole else lines


def shown_number(trace: Trace, number: int) -> int:
    """The number under which a reader sees a step: set-up steps are folded away and not counted."""
    return number - sum(step.setup for step in trace.steps if step.number < number)


def setup_sentence(trace: Trace) -> str:
    """What the folded steps amount to; empty if there are none."""
    folded = [step for step in trace.steps if step.setup]
    if not folded:
        return ""
    done = [
        f"{lane} {_last_words([step for step in folded if step.lane == lane])}"
        for lane in trace.lanes
        if any(step.lane == lane for step in folded)
    ]
    return f"Before: {'; '.join(done)}." if done else ""


def _last_words(steps: Sequence[Step]) -> str:
    labels = [step.label for step in steps if not step.label.startswith("asks for")]
    return ", ".join(labels)


def shown_steps(trace: Trace) -> tuple[Step, ...]:
    """The steps that a reader sees one by one: neither the beginning nor what only sets the scene."""
    return tuple(step for step in trace.steps if step.number and not step.setup)


def render(trace: Trace, width: int | None = None, color: bool = False) -> str:
    """The trace as lines of text; no line is wider than ``width`` but for words that are.

    :param width: columns; the terminal's if it is not given, never fewer than 40.
    :param color: whether to mark with ANSI colours what is marked with words anyway.
    """
    columns = max(NARROWEST, width if width is not None else terminal_width())

    def paint(text: str, style: str) -> str:
        return f"{style}{text}{_PLAIN}" if color else text

    lines = [paint(line, _BOLD) for line in _wrap(f"{trace.title} [{trace.engine}]", columns)]
    if setup := setup_sentence(trace):
        lines += [paint(line, _GREY) for line in _wrap(setup, columns)]
    steps = shown_steps(trace)
    digits = len(str(shown_number(trace, steps[-1].number))) if steps else 1
    lane_width = max((len(lane) for lane in trace.lanes), default=0)
    for step in steps:
        lines += _step(trace, step, columns, digits, lane_width, paint)
    if trace.loop_to is not None and steps:
        lines += _wrap(_loop(trace), columns)
    if trace.verdict:
        bad = any(step.wrong for step in trace.steps)
        heading = "WRONG: " if bad else "So: "
        lines.append("")
        lines += [paint(line, _RED if bad else _BOLD) for line in _wrap(heading + trace.verdict, columns)]
    return "\n".join(lines) + "\n"


def _step(trace: Trace, step: Step, columns: int, digits: int, lane_width: int, paint: _Paint) -> list[str]:
    head = f"{'>' if step.wrong else ' '} {shown_number(trace, step.number):>{digits}}  "
    lane = f"{step.lane or '':<{lane_width}}  " if lane_width else ""
    hang = " " * (len(head) + len(lane))
    text = step.label + _sent(trace, step)
    lines = _wrap(text, columns, head + lane, hang)
    if step.wrong:
        lines = [paint(line, _RED) for line in lines]
        lines += [paint(line, _RED) for line in _wrap("^ this step is wrong", columns, hang, hang)]
    for change in step.changes:
        lines += [paint(line, _GREY) for line in _wrap(_change(change), columns, hang + "  ", hang + "    ")]
    return lines


def _sent(trace: Trace, step: Step) -> str:
    from_others = sorted({arrow.from_step for arrow in step.arrows} - {step.number})
    numbers = [str(shown_number(trace, number)) for number in from_others]
    if not numbers:
        return ""
    return f"  <- sent in step{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def _change(change: Change) -> str:
    return f"{change.name}: {change.before} -> {change.after}"


def _loop(trace: Trace) -> str:
    if trace.loop_to == trace.steps[-1].number:
        return "... and nothing happens any more."
    return f"... and so on for ever, from step {shown_number(trace, trace.loop_to or 0)} again."


def _wrap(text: str, columns: int, first: str = "", further: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        columns,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [first.rstrip()]
