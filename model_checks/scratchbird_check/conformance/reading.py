"""Trace files, line by line: what is read is bounded, and what is wrong is named with its line.

A trace may come from a foreign program, from a file that was cut off, or from no trace at all. Nothing is
believed: a line has a longest length, a file a largest size, and a value that is not what the format demands
ends the reading with the line's number, the value and the remedy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, NoReturn

from scratchbird_check.conformance.drivers import PARTS, Hello, HelloRefusedError, ReferenceDriver
from scratchbird_check.errors import UsageError
from scratchbird_check.traces.hlc import Json

MAX_LINE = 1 << 20
"""Longest line in bytes."""
MAX_BYTES = 1 << 30
"""Largest trace in bytes."""
VERSION = 1

_HEADER_KEYS = {"trace", "version", "part", "name", "about", "config", "seed"}
_STEP_KEYS = {"step", "node", "event", "effects", "error", "digest", "state", "from_step"}


class TraceError(UsageError):
    """A trace file is not what it must be."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line."""

    part: str
    name: str
    about: str
    config: Json
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One step line: what a node (the lane) did, and what the trace says came of it."""

    number: int
    """Of the line in the file, the header being line 1."""
    step: int
    node: int
    event: Json
    effects: tuple[Json, ...] | None
    """``None`` where the trace says that the event was an error."""
    digest: str
    state: Json | None
    from_step: int | None


def read_trace(stream: BinaryIO, source: str) -> Iterator[Header | Line]:
    """The header, then the steps, each as it is read.

    :param source: the file's name, for messages.
    :raises TraceError: at the first line that is wrong; the ones before it have been given out by then.
    """
    size = 0
    number = 0
    steps = 0
    while raw := stream.readline(MAX_LINE + 1):
        number += 1
        where = f"{source}, line {number}"
        size += len(raw)
        if len(raw) > MAX_LINE:
            raise TraceError(f"{where}: longer than {MAX_LINE} bytes: no step of a trace is; is it a trace?")
        if size > MAX_BYTES:
            raise TraceError(f"{where}: the trace is larger than {MAX_BYTES} bytes: split it")
        try:
            value = parse_object(raw)
        except ValueError as error:
            cut = not raw.endswith(b"\n")
            hint = "the file ends here in the middle of a line: it was cut off" if cut else str(error)
            raise TraceError(f"{where}: {_excerpt(raw)} is no JSON object: {hint}") from None
        if number == 1:
            yield _header(value, where)
            continue
        line = _line(value, number, where, steps + 1)
        steps += 1
        yield line
    if number == 0:
        raise TraceError(f"{source} is empty: a trace begins with its header line")


def parse_object(raw: bytes) -> Json:
    """One JSON object, strictly: no key twice, no NaN; ``ValueError`` otherwise."""
    try:
        value = json.loads(raw.decode(), object_pairs_hook=_pairs, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, this is {type(value).__name__}")
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _header(value: Json, where: str) -> Header:
    if value.get("trace") != "scratchbird":
        raise TraceError(
            f'{where}: no header: a trace begins with {{"trace":"scratchbird","version":{VERSION},'
            f'"part":...,"name":...,"about":...,"config":{{...}}}}, this is {_excerpt(value)}'
        )
    if value.get("version") != VERSION:
        raise TraceError(
            f"{where}: version {value.get('version')!r} of the trace format: this program reads version "
            f"{VERSION}; use the release that wrote it"
        )
    _known(value, _HEADER_KEYS, where)
    part = _typed(value, "part", str, where)
    config = _typed(value, "config", dict, where)
    seed = _typed(value, "seed", int, where) if "seed" in value else None
    if part not in PARTS:
        raise TraceError(f"{where}: unknown part {part!r}: expected one of {', '.join(PARTS)}")
    try:
        ReferenceDriver().hello(Hello(part, config))
    except HelloRefusedError as error:
        raise TraceError(f"{where}: config: {error}") from None
    return Header(part, _typed(value, "name", str, where), _typed(value, "about", str, where), config, seed)


def _line(value: Json, number: int, where: str, expected: int) -> Line:
    _known(value, _STEP_KEYS, where)
    step = _typed(value, "step", int, where)
    if step != expected:
        raise TraceError(f"{where}: step {step}, expected {expected}: steps are numbered 1, 2, 3, ...")
    node = _typed(value, "node", int, where)
    if not 1 <= node <= 65535:
        raise TraceError(f"{where}: node {node} is out of range: a node id is from 1 to 65535")
    event = _typed(value, "event", dict, where)
    if ("effects" in value) == ("error" in value):
        raise TraceError(f"{where}: a step has either 'effects' or 'error', and not both")
    effects = None
    if "effects" in value:
        effects = tuple(_typed(value, "effects", list, where))
        if not all(isinstance(effect, dict) for effect in effects):
            raise TraceError(f"{where}: effects {_excerpt(value['effects'])}: expected a list of objects")
    else:
        _typed(value, "error", str, where)
    digest = _typed(value, "digest", str, where)
    if len(digest) != 16 or not set(digest) <= set("0123456789abcdef"):
        raise TraceError(f"{where}: digest {_excerpt(digest)}: expected 16 lower case hexadecimal digits")
    state = _typed(value, "state", dict, where) if "state" in value else None
    from_step = _typed(value, "from_step", int, where) if "from_step" in value else None
    if from_step is not None and not 1 <= from_step < step:
        raise TraceError(f"{where}: from_step {from_step}: a message was sent at a step before {step}")
    return Line(number, step, node, event, effects, digest, state, from_step)


def _known(value: Json, known: set[str], where: str) -> None:
    if surplus := sorted(set(value) - known):
        raise TraceError(f"{where}: unknown key {_excerpt(surplus[0])}: known are {', '.join(sorted(known))}")


def _typed(value: Json, key: str, kind: type, where: str) -> Any:
    if key not in value:
        raise TraceError(f"{where}: {key!r} is missing")
    item = value[key]
    if not isinstance(item, kind) or (kind is int and isinstance(item, bool)):
        names = {str: "a text", int: "a whole number", dict: "an object", list: "a list"}
        raise TraceError(f"{where}: {key} is {_excerpt(item)}: expected {names[kind]}")
    return item


def _excerpt(value: Any) -> str:
    text = repr(value.decode(errors="replace").rstrip("\n") if isinstance(value, bytes) else value)
    return text if len(text) <= 100 else f"{text[:100]}... ({len(text)} characters)"
