"""Reads what TLC says, from version 2.15 (2019) to those of today: exit status, figures, what was violated.

Exit status and text must agree. If they do not, or if a figure that belongs to the verdict is not there, the
output is *unreadable*, which is unexpected: an engine that we do not understand has shown nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class End(StrEnum):
    """How TLC ended."""

    OK = "no error"
    INVARIANT = "invariant violated"
    PROPERTY = "property violated"
    DEADLOCK = "deadlock reached"
    ASSUMPTION = "assumption is false"
    ASSERTION = "assertion failed"
    EVALUATION = "evaluation error"
    PARSE = "the module cannot be parsed"
    CONFIG = "the configuration is wrong"
    MEMORY = "out of memory"
    SYSTEM = "system error"
    UNREADABLE = "output not understood"


_STATUS = {
    0: End.OK,
    10: End.ASSUMPTION,
    11: End.DEADLOCK,
    12: End.INVARIANT,
    13: End.PROPERTY,
    14: End.ASSERTION,
    75: End.EVALUATION,
    76: End.EVALUATION,
    77: End.EVALUATION,
    150: End.PARSE,
    151: End.CONFIG,
    152: End.SYSTEM,
    153: End.SYSTEM,
}


@dataclass(frozen=True, slots=True)
class Report:
    """What one run of TLC said."""

    end: End
    name: str = ""
    """The invariant or property that was violated, where TLC names it."""
    generated: int | None = None
    """States generated, those found before included."""
    distinct: int | None = None
    """Distinct states; ``None`` for a simulation."""
    left: int | None = None
    """States that were found but not explored."""
    depth: int | None = None
    version: str = ""
    message: str = ""
    """TLC's own first words about what is wrong."""


_FIGURES = re.compile(
    r"^([\d,]+) states generated(?: \([^)]*\))?, ([\d,]+) distinct states found(?: \([^)]*\))?,"
    r" ([\d,]+) states left on queue",
    re.MULTILINE,
)
_DEPTH = re.compile(r"^The depth of the complete state graph search is ([\d,]+)", re.MULTILINE)
_SIMULATED = re.compile(
    r"^(?:The number of states generated: |Progress: )([\d,]+)(?: states checked.*)?$", re.MULTILINE
)
_INVARIANT = re.compile(r"^Error: Invariant (.+?) is violated", re.MULTILINE)
_ACTION = re.compile(r"^Error: Action property (.+?) is violated", re.MULTILINE)
_TEMPORAL = re.compile(
    r"^Error: (?:Temporal properties were violated|Temporal property (\S+) was violated)", re.MULTILINE
)
_VERSION = re.compile(r"^TLC2 Version (\S+)", re.MULTILINE)
_PROGRESS = re.compile(r"^Progress\((\d+)\).*?([\d,]+) distinct states found")
_DONE = "Model checking completed. No error has been found."
_MEMORY = ("OutOfMemoryError", "Java ran out of memory")


def read(returncode: int, text: str) -> Report:
    """Understand one run's exit status and output."""
    figures = _FIGURES.findall(text)
    generated, distinct, left = (_number(item) for item in figures[-1]) if figures else (None, None, None)
    if not figures and (simulated := _SIMULATED.findall(text)):
        generated = _number(simulated[-1])
    depth = _DEPTH.findall(text)
    version = _VERSION.search(text)
    end, name = _end(returncode, text)
    return Report(
        end=end,
        name=name,
        generated=generated,
        distinct=distinct,
        left=left,
        depth=_number(depth[-1]) if depth else None,
        version=version[1] if version else "",
        message="" if end is End.OK else _message(returncode, text),
    )


def progress(line: str) -> str:
    """A line of output in a few words for the progress display; empty if it says nothing of progress."""
    found = _PROGRESS.match(line)
    return f"{_number(found[2]):,} distinct states, depth {found[1]}" if found else ""


def _end(returncode: int, text: str) -> tuple[End, str]:
    if any(word in text for word in _MEMORY):
        return End.MEMORY, ""
    end = _STATUS.get(returncode, End.UNREADABLE)
    match end:
        case End.OK:
            simulated = "Running Random Simulation" in text and bool(_SIMULATED.search(text))
            fine = (_DONE in text or simulated) and not re.search(r"^Error:", text, re.MULTILINE)
            return (End.OK, "") if fine else (End.UNREADABLE, "")
        case End.INVARIANT:
            found = _INVARIANT.search(text)
            return (End.INVARIANT, found[1]) if found else (End.UNREADABLE, "")
        case End.PROPERTY:
            found = _ACTION.search(text) or _TEMPORAL.search(text)
            return (End.PROPERTY, found[1] or "") if found else (End.UNREADABLE, "")
        case End.DEADLOCK:
            return (end if "Error: Deadlock reached" in text else End.UNREADABLE), ""
        case _:
            if returncode == 255 and "ConfigFileException" in text:
                return End.CONFIG, ""
            return end, ""


def _message(returncode: int, text: str) -> str:
    """The first complaint: the line after a parse error, or the first that begins with ``Error:``."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if line.startswith(("***Parse Error***", "Semantic errors:")):
            return next((item.strip() for item in lines[at + 1 :] if item.strip()), line)
        if line.startswith("Error: ") or "Exception" in line:
            rest = lines[at + 1].strip() if line.rstrip().endswith("configuration file") else ""
            return f"{line.removeprefix('Error: ').strip()} {rest}".strip()
    return lines[-1].strip() if lines else f"no output, exit status {returncode}"


def _number(text: str) -> int:
    return int(text.replace(",", ""))
