"""Outcomes and traces as JSON and back: what a worker hands to the runner, and what reports are made of.

A trace's states may hold sets, tuples and functions whose keys are no strings, which JSON lacks. They are
written as in the ITF format: ``{"#set": [...]}``, ``{"#tup": [...]}``, ``{"#map": [[key, value], ...]}``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchbird_check.traces.model import Arrow, Change, Step, Trace
from scratchbird_check.verdicts import Outcome, Verdict

Json = dict[str, Any]


def outcome_to_json(outcome: Outcome) -> Json:
    """Every field of the outcome; those that are empty are left out."""
    value: Json = {
        "check": outcome.check,
        "verdict": outcome.verdict.value,
        "detail": outcome.detail,
        "properties": list(outcome.properties),
        "seconds": round(outcome.seconds, 3),
        "figures": dict(outcome.figures),
    }
    if outcome.counterexample is not None:
        value["counterexample"] = trace_to_json(outcome.counterexample)
    if outcome.log is not None:
        value["log"] = str(outcome.log)
    if outcome.remedy:
        value["remedy"] = outcome.remedy
    return value


def outcome_from_json(value: Mapping[str, Any]) -> Outcome:
    """Read an outcome.

    :raises ValueError: if it is none; the message says what is wrong.
    """
    try:
        trace = value.get("counterexample")
        log = value.get("log")
        return Outcome(
            check=value["check"],
            verdict=Verdict(value["verdict"]),
            detail=value["detail"],
            properties=tuple(value["properties"]),
            seconds=float(value["seconds"]),
            figures=dict(value["figures"]),
            counterexample=None if trace is None else trace_from_json(trace),
            log=None if log is None else Path(log),
            remedy=value.get("remedy", ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no outcome of a check: {error!r}") from None


def trace_to_json(trace: Trace) -> Json:
    return {
        "title": trace.title,
        "engine": trace.engine,
        "part": trace.part,
        "lanes": list(trace.lanes),
        "verdict": trace.verdict,
        "steps": [_step_to_json(step) for step in trace.steps],
    }


def trace_from_json(value: Mapping[str, Any]) -> Trace:
    return Trace(
        title=value["title"],
        engine=value["engine"],
        part=value["part"],
        lanes=tuple(value["lanes"]),
        steps=tuple(_step_from_json(step) for step in value["steps"]),
        verdict=value["verdict"],
    )


def _step_to_json(step: Step) -> Json:
    return {
        "number": step.number,
        "lane": step.lane,
        "action": step.action,
        "label": step.label,
        "changes": [[item.name, item.before, item.after] for item in step.changes],
        "arrows": [[item.from_step, item.from_lane, item.label] for item in step.arrows],
        "state": {str(name): plain_to_json(item) for name, item in step.state.items()},
        "wrong": step.wrong,
    }


def _step_from_json(value: Mapping[str, Any]) -> Step:
    return Step(
        number=value["number"],
        lane=value["lane"],
        action=value["action"],
        label=value["label"],
        changes=tuple(Change(*item) for item in value["changes"]),
        arrows=tuple(Arrow(*item) for item in value["arrows"]),
        state={name: plain_from_json(item) for name, item in value["state"].items()},
        wrong=value["wrong"],
    )


def plain_to_json(value: Any) -> Any:
    """A value of a state; anything that is not known is written as its text."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)
        case list():
            return [plain_to_json(item) for item in value]
        case tuple():
            return {"#tup": [plain_to_json(item) for item in value]}
        case set() | frozenset():
            return {"#set": sorted((plain_to_json(item) for item in value), key=repr)}
        case Mapping() if all(isinstance(key, str) and not key.startswith("#") for key in value):
            return {str(key): plain_to_json(item) for key, item in value.items()}
        case Mapping():
            return {"#map": [[plain_to_json(key), plain_to_json(item)] for key, item in value.items()]}
        case _:
            return str(value)


def plain_from_json(value: Any) -> Any:
    """The value again; what must have a hash (an element of a set, a key) is made of tuples."""
    match value:
        case list():
            return [plain_from_json(item) for item in value]
        case {"#tup": items}:
            return tuple(plain_from_json(item) for item in items)
        case {"#set": items}:
            return frozenset(_hashable(plain_from_json(item)) for item in items)
        case {"#map": items}:
            return {_hashable(plain_from_json(key)): plain_from_json(item) for key, item in items}
        case dict():
            return {key: plain_from_json(item) for key, item in value.items()}
        case _:
            return value


def _hashable(value: Any) -> Any:
    match value:
        case list() | tuple():
            return tuple(_hashable(item) for item in value)
        case dict():
            return tuple(sorted((key, _hashable(item)) for key, item in value.items()))
        case _:
            return value
