"""What TLC prints when it finds something, read into a behaviour (TLC 2.15 and later, also with ``-tool``).

Error: Invariant HLC1 is violated.
Error: The behavior up to this point is:
State 1: <Initial predicate>
/\\ now = 0
...
State 2: <Tick line 12, col 3 to line 14, col 20 of module hlc>
...
State 3: Stuttering            or: Back to state 2
"""

from __future__ import annotations

import re
from typing import Any

from scratchbird_check.traces.model import Behaviour, Taken
from scratchbird_check.traces.tla_values import TlaSyntaxError, parse_state, parse_value

_PROBLEM = re.compile(
    r"""(?:Error:\s*)?(?:
      Invariant\ (?P<invariant>\S+)\ is\ violated(?:\ by\ the\ initial\ state)?[.:]
    | (?:Action\ property|Property)\ (?P<property>.+?)\ is\ violated(?:\ by\ the\ initial\ state)?[.:]
    | (?P<temporal>Temporal\ properties\ were\ violated)\.
    | (?P<deadlock>Deadlock\ reached)\.
    | Evaluating\ (?:invariant|assumption|action\ property)\ (?P<evaluation>\S+)\ failed\.
    )""",
    re.VERBOSE,
)
_HEADER = re.compile(r"(?:State )?(?P<number>\d+): (?P<rest><.*>|Stuttering\b.*|Back to state.*)?\s*$")
_ACTION = re.compile(r"<(?P<name>\w+)(?:\((?P<arguments>.*?)\))?(?: line \d+.*)?>")
_BACK = re.compile(r"(?:(?P<before>\d+): )?Back to state(?: (?P<after>\d+))?:")
_CONSTANT = re.compile(r"^\s*(?:CONSTANTS?\s+)?(?P<name>[A-Za-z]\w*)\s*=\s*(?P<value>.+?)\s*$", re.MULTILINE)


class NoBehaviourError(ValueError):
    """The text holds no behaviour; says what was looked for."""


def read(text: str, part: str) -> Behaviour:
    """The first behaviour in TLC's output.

    :raises NoBehaviourError: if there is none.
    :raises TlaSyntaxError: if a state cannot be read; it names the state and the position.
    """
    problem = _PROBLEM.search(text)
    promise = ""
    if problem:
        promise = next((value for value in problem.groupdict().values() if value), "")
    states: list[Taken] = []
    loop_to: int | None = None
    lines = [line for line in text[problem.start() if problem else 0 :].splitlines() if line[:3] != "@!@"]
    index = _first_state(lines)
    while index < len(lines):
        header = _HEADER.match(lines[index])
        back = _BACK.match(lines[index])
        if back:
            loop_to = int(back["before"] or back["after"] or 1) - 1
            break
        if header is None:
            break
        rest = header["rest"] or ""
        if rest.startswith("Stuttering"):
            loop_to = len(states) - 1
            break
        body, index = _body(lines, index + 1)
        states.append(_taken(rest, body, int(header["number"]), first=not states))
    if not states:
        states = _initial_alone(lines)
    if not states:
        raise NoBehaviourError("no behaviour in TLC's output: no line begins with 'State 1:'")
    said = problem[0].removeprefix("Error:").strip() if problem else ""
    return Behaviour(part, "TLC", promise, tuple(states), said, loop_to)


def _first_state(lines: list[str]) -> int:
    for index, line in enumerate(lines):
        header = _HEADER.match(line)
        if header and header["number"] == "1" and (header["rest"] or line.startswith("State")):
            return index
    return len(lines)


def _body(lines: list[str], index: int) -> tuple[str, int]:
    """The lines of one state, and where the next begins."""
    start = index
    while index < len(lines) and lines[index].strip():
        index += 1
    end = index
    while index < len(lines) and not lines[index].strip():
        index += 1
    return "\n".join(lines[start:end]), index


def _taken(rest: str, body: str, number: int, *, first: bool) -> Taken:
    action = _ACTION.match(rest)
    name = "" if first or action is None or action["name"] == "Initial" else action["name"]
    arguments = action["arguments"] if action else None
    node = arguments.split(",")[0].strip().strip('"') if arguments else ""
    try:
        return Taken(parse_state(body), name, node)
    except TlaSyntaxError as error:
        raise TlaSyntaxError(f"state {number}: {error.problem}", error.text, error.position) from None


def _initial_alone(lines: list[str]) -> list[Taken]:
    """An invariant that the initial state violates is followed by that state, without a header."""
    for index, line in enumerate(lines[:3]):
        if line.startswith("/\\ "):
            body, _ = _body(lines, index)
            return [_taken("", body, 1, first=True)]
    return []


def read_constants(configuration: str) -> dict[str, Any]:
    """The constants that a TLC configuration gives a plain value, without those that the module defines."""
    found: dict[str, Any] = {}
    for match in _CONSTANT.finditer(re.sub(r"\\\*.*", "", configuration)):
        try:
            found[match["name"]] = parse_value(match["value"])
        except TlaSyntaxError:
            continue
    return found
