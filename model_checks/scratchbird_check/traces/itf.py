"""Apalache's trace form, ITF, read into a behaviour; and any trace written as ITF.

The form: https://apalache-mc.org/docs/adr/015adr-trace.html. ITF names no actions; what we write puts each
step's telling under the ``#meta`` of its state, where other readers skip it and :func:`read_trace` finds it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from scratchbird_check.traces.model import Arrow, Behaviour, Change, Step, Taken, Trace
from scratchbird_check.traces.tla_values import ModelValue, Record, sort_key

FORMAT = "https://apalache-mc.org/docs/adr/015adr-trace.html"
_EXACT = 1 << 53
"""Whole numbers from here on are written as text: many JSON readers know no larger ones exactly."""
_NULL = "null"


class ItfError(ValueError):
    """The text is no ITF trace; says what is wrong and where."""


# --- values -----------------------------------------------------------------------------------------------


def decode(value: Any, where: str = "value") -> Any:
    """An ITF value as :mod:`tla_values` has them. :raises ItfError: if it is none."""
    match value:
        case bool() | int() | str():
            return value
        case list():
            return tuple(decode(item, f"{where}[{index}]") for index, item in enumerate(value))
        case {"#bigint": str(digits)} if digits.lstrip("-").isdigit():
            return int(digits)
        case {"#tup": list(items)}:
            return decode(items, where)
        case {"#set": list(items)}:
            return frozenset(decode(items, where))
        case {"#map": list(pairs)} if all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            return Record((decode(key, where), decode(item, f"{where}[{key}]")) for key, item in pairs)
        case {"#unserializable": str(text)}:
            return None if text == _NULL else ModelValue(text)
        case dict() if not any(name.startswith("#") for name in value):
            return Record((name, decode(item, f"{where}.{name}")) for name, item in value.items())
    raise ItfError(f"{where}: {json.dumps(value)[:60]} is no ITF value")


def encode(value: Any) -> Any:
    """A value of :mod:`tla_values` as ITF; elements of sets and functions in a fixed order."""
    match value:
        case bool():
            return value
        case int():
            return value if -_EXACT < value < _EXACT else {"#bigint": str(value)}
        case None:
            return {"#unserializable": _NULL}
        case str():
            return value
        case tuple() | list():
            return [encode(item) for item in value]
        case frozenset() | set():
            return {"#set": [encode(item) for item in sorted(value, key=sort_key)]}
        case Mapping():
            keys = sorted(value, key=sort_key)
            if keys and all(type(key) is str and not key.startswith("#") for key in keys):
                return {key: encode(value[key]) for key in keys}
            return {"#map": [[encode(key), encode(value[key])] for key in keys]}
    raise TypeError(f"{value!r} has no form in ITF")


# --- reading ----------------------------------------------------------------------------------------------


def read(text: str, part: str, promise: str = "", problem: str = "") -> Behaviour:
    """The behaviour in an ITF file.

    :param promise: what the file is a counterexample to: ITF does not say it.
    :raises ItfError: if it is no ITF.
    """
    data = _load(text)
    states = []
    for index, entry in enumerate(data["states"]):
        if not isinstance(entry, dict):
            raise ItfError(f"states[{index}] is no object")
        meta = entry.get("#meta", {})
        step = meta.get("step", {}) if isinstance(meta, dict) else {}
        state = {
            name: decode(value, f"states[{index}].{name}") for name, value in entry.items() if name != "#meta"
        }
        states.append(Taken(state, str(step.get("action", "") if index else ""), str(step.get("lane") or "")))
    loop = data.get("loop")
    return Behaviour(
        part, "Apalache", promise, tuple(states), problem, loop if isinstance(loop, int) else None
    )


def _load(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise ItfError(f"no JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ItfError("nested too deeply") from None
    if not isinstance(data, dict) or not isinstance(data.get("states"), list) or not data["states"]:
        raise ItfError("no ITF: an object with a list 'states' of at least one state is expected")
    return data


def read_trace(text: str) -> Trace:
    """A trace that :func:`write` wrote. :raises ItfError: if the file is of another origin."""
    data = _load(text)
    head = data.get("#meta", {}).get("trace")
    if not isinstance(head, dict):
        raise ItfError("not written by us: '#meta' has no 'trace'; read it as a behaviour instead")
    steps = []
    for index, entry in enumerate(data["states"]):
        told = dict(entry["#meta"]["step"])
        told["changes"] = tuple(Change(**item) for item in told["changes"])
        told["arrows"] = tuple(Arrow(**item) for item in told["arrows"])
        told["down"] = tuple(told["down"])
        told["effects"] = tuple(told["effects"])
        state = {
            name: decode(value, f"states[{index}].{name}") for name, value in entry.items() if name != "#meta"
        }
        steps.append(Step(**told, state=state))
    return Trace(**{**head, "lanes": tuple(head["lanes"])}, steps=tuple(steps), loop_to=data.get("loop"))


# --- writing ----------------------------------------------------------------------------------------------


def write(trace: Trace) -> str:
    """The trace as ITF, one state for each step; deterministic."""
    head = {
        "title": trace.title,
        "engine": trace.engine,
        "part": trace.part,
        "lanes": list(trace.lanes),
        "verdict": trace.verdict,
        "promise": trace.promise,
        "config": dict(trace.config),
    }
    variables = sorted({name for step in trace.steps for name in step.state})
    data: dict[str, Any] = {
        "#meta": {"format": "ITF", "format-description": FORMAT, "description": trace.title, "trace": head},
        "vars": variables,
        "states": [_state(index, step) for index, step in enumerate(trace.steps)],
    }
    if trace.loop_to is not None:
        data["loop"] = trace.loop_to
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _state(index: int, step: Step) -> dict[str, Any]:
    told = {name: value for name, value in asdict(step).items() if name != "state"}
    return {
        "#meta": {"index": index, "step": told},
        **{name: encode(value) for name, value in step.state.items()},
    }
