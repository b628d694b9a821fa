"""A trace, replayed through the reference: the first step on which the two differ, as a diff.

Every lane of the trace is one clock that begins unused and down, with the lane's number as its node id. The
messages between lanes stand in the events themselves, so a replay needs no network, and no order but that of
the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from scratchbird_check.conformance.differences import (
    Difference,
    compare,
    differences,
    event_text,
    printable,
    state_before,
    table,
)
from scratchbird_check.conformance.drivers import Answer, Driver, Hello, ReferenceDriver
from scratchbird_check.conformance.reading import Header, Line, TraceError, read_trace
from scratchbird_check.conformance.rules import in_order, rules_of
from scratchbird_check.errors import UsageError
from scratchbird_check.traces import handoff, hlc, merkle_forest, quorum, uuid8
from scratchbird_check.traces.digest import digest
from scratchbird_check.traces.hlc import Json

EVENTS = {
    "hlc": tuple(hlc.EVENTS),
    "uuid8": tuple(uuid8.EVENTS),
    "quorum": quorum.EVENTS,
    "handoff": handoff.EVENTS,
    "merkle_forest": merkle_forest.EVENTS,
}


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first step on which the reference and the other disagree."""

    line: int
    step: int
    node: int
    event: Json
    before: Json
    """The lane's state before the step, by the reference."""
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What a replay found."""

    header: Header
    steps: int
    lanes: tuple[int, ...]
    divergence: Divergence | None
    by: str = "reference"
    """Which implementation the trace was replayed through."""

    def lines(self) -> list[str]:
        """The report for a person."""
        name = printable(self.header.name)
        if self.divergence is None:
            lanes = ", ".join(map(str, self.lanes)) or "none"
            return [f"{name}: {self.steps} steps of node {lanes} agree with the {self.by}"]
        item = self.divergence
        return [
            f"{name}: step {item.step} (line {item.line}), node {item.node}: {event_text(item.event)}",
            *state_before(item.before),
            *table(item.differences, self.by, "trace"),
            *rules_of(self.header.part, item.event, item.before),
        ]


def replay(stream: BinaryIO, source: str, driver: Callable[[], Driver] = ReferenceDriver) -> Report:
    """Replay a trace through the reference, or through another implementation, until they differ.

    :param source: the file's name, for messages.
    :param driver: makes the implementation of one lane.
    :raises TraceError: if the file is no trace; the message names the line, the value and the remedy.
    """
    header: Header | None = None
    lanes: dict[int, tuple[Driver, Json]] = {}
    steps = 0
    by = "reference"
    try:
        for item in read_trace(stream, source):
            if isinstance(item, Header):
                header = item
                continue
            assert header is not None
            if item.node not in lanes:
                lane = driver()
                by = lane.name
                hello = Hello(header.part, header.config, item.node)
                lane.hello(hello)
                lanes[item.node] = lane, hello.state()
            lane, before = lanes[item.node]
            answer = lane.step(item.event)
            if found := _check(item, answer, header.part, source):
                return Report(
                    header,
                    steps,
                    tuple(lanes),
                    Divergence(item.number, item.step, item.node, item.event, before, tuple(found)),
                    by,
                )
            lanes[item.node] = lane, answer.state
            steps += 1
    finally:
        for lane, _ in lanes.values():
            lane.close()
    assert header is not None  # An empty file is a TraceError.
    if steps == 0:
        raise TraceError(f"{source}: there is no step after the header: nothing was compared")
    return Report(header, steps, tuple(lanes), None, by)


def replay_file(path: Path, driver: Callable[[], Driver] = ReferenceDriver) -> Report:
    """Replay a file, or standard input for the path ``-``.

    :raises UsageError: if it cannot be read.
    """
    try:
        if str(path) == "-":
            return replay(sys.stdin.buffer, "standard input", driver)
        with path.open("rb") as stream:
            return replay(stream, str(path), driver)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; give the path of a trace file") from None


def main(path: Path, out: TextIO | None = None) -> int:
    """``scratchbird_check trace FILE``: 0 if the trace agrees with the reference, 1 if it does not.

    :raises UsageError: if the file cannot be read or is no trace (the command then ends with 2).
    """
    report = replay_file(path)
    for line in report.lines():
        print(line, file=out)
    return 0 if report.divergence is None else 1


def _check(item: Line, answer: Answer, part: str, source: str) -> list[Difference]:
    """Where the trace says something else than the answer."""
    if answer.error and item.effects is not None and item.event.get("event") not in EVENTS[part]:
        raise TraceError(f"{source}, line {item.number}: {answer.error}")
    says_error = "" if item.effects is not None else "the event is an error"
    effects = in_order(part, item.effects or ())
    said = Answer(effects, answer.state if item.state is None else item.state, says_error)
    found = compare(answer, said)
    expected = digest(answer.state)
    if item.digest != expected and not any(entry.field.startswith("state") for entry in found):
        found += differences(expected, item.digest, "digest")
    return found
