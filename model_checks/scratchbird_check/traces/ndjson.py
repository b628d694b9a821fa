"""Traces as NDJSON: one JSON object a line, the first describes the run, each further one is a step.

A run of the reference, or of a variant, becomes the trace form of ``spec/trace.schema.json`` and can be
replayed with ``scratchbird_check trace``: a variant's run then diverges at the step that is wrong. A model's
behaviour has no events of the reference; its steps are written as they are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from scratchbird_check.traces.digest import digest
from scratchbird_check.traces.itf import encode
from scratchbird_check.traces.model import Step, Trace

VERSION = 1


def write(trace: Trace) -> str:
    """The trace as NDJSON, deterministic."""
    lines = _events(trace) if replayable(trace) else _told(trace)
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)


def replayable(trace: Trace) -> bool:
    """Whether the trace holds the events that a replay through the reference needs."""
    return bool(trace.config) and any(step.event is not None for step in trace.steps)


def _events(trace: Trace) -> Iterator[dict[str, Any]]:
    yield {
        "trace": "scratchbird",
        "version": VERSION,
        "part": trace.part,
        "name": _name(trace.title),
        "about": trace.verdict or trace.title,
        "config": dict(trace.config),
    }
    lines: dict[int, int] = {}
    for step in trace.steps:
        if step.event is None or step.lane is None:
            continue
        lines[step.number] = len(lines) + 1
        state = dict(step.state[step.lane])
        line: dict[str, Any] = {
            "step": lines[step.number],
            "node": int(step.lane.removeprefix("n")),
            "event": dict(step.event),
            "effects": [dict(effect) for effect in step.effects],
            "digest": digest(state),
            "state": state,
        }
        if step.arrows and step.arrows[0].from_step in lines:
            line["from_step"] = lines[step.arrows[0].from_step]
        yield line


def _told(trace: Trace) -> Iterator[dict[str, Any]]:
    yield {
        "trace": "scratchbird-model",
        "version": VERSION,
        "part": trace.part,
        "name": _name(trace.title),
        "about": trace.verdict or trace.title,
        "engine": trace.engine,
        "promise": trace.promise,
        "lanes": list(trace.lanes),
        "loop_to": trace.loop_to,
    }
    for step in trace.steps:
        yield _told_step(step)


def _told_step(step: Step) -> dict[str, Any]:
    return {
        "step": step.number,
        "lane": step.lane,
        "action": step.action,
        "label": step.label,
        "changes": [asdict(change) for change in step.changes],
        "arrows": [asdict(arrow) for arrow in step.arrows],
        "wrong": step.wrong,
        "state": {name: encode(value) for name, value in step.state.items()},
    }


def _name(title: str) -> str:
    """A name of lower-case words and underscores, at most 80 characters, whole words where there are any."""
    words = "".join(letter if letter.isalnum() else " " for letter in title.lower()).split()
    while len(words) > 1 and len("_".join(words)) > 80:
        words.pop()
    return "_".join(words)[:80] or "trace"
