"""Two answers compared field by field, and the difference shown so that a person sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.traces.hlc import Json

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """One field: ``state.last[1]``, what the reference has there, and what was found instead."""

    field: str
    expected: str
    found: str


def differences(expected: Any, found: Any, field: str) -> list[Difference]:
    """Where two JSON values differ, the deepest fields that do. ``1`` and ``true`` are different values."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if any(_kind(expected, name) != _kind(found, name) for name in ("effect", "message")):
            # Two kinds of effects or of messages: nobody wants to see them key by key.
            return [Difference(field, _text(expected), _text(found))]
        return [
            item
            for key in {**expected, **found}
            for item in differences(expected.get(key, _ABSENT), found.get(key, _ABSENT), f"{field}.{key}")
        ]
    if isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        if len(expected) == len(found):
            return [
                item
                for index, pair in enumerate(zip(expected, found, strict=True))
                for item in differences(*pair, f"{field}[{index}]")
            ]
    elif type(expected) is type(found) and expected == found:
        return []
    return [Difference(field, _text(expected), _text(found))]


def _kind(value: dict[str, Any], name: str) -> str:
    kind = value.get(name)
    return kind if isinstance(kind, str) else ""


def compare(expected: Answer, found: Answer) -> list[Difference]:
    """Where two answers differ. That an event is an error must agree, the words need not."""
    result = []
    if bool(expected.error) != bool(found.error):
        result.append(Difference("outcome", _outcome(expected), _outcome(found)))
    else:
        result += differences(expected.effects, found.effects, "effects")
    return result + differences(expected.state, found.state, "state")


def table(items: Sequence[Difference], expected_by: str, found_by: str) -> list[str]:
    """Lines for a person: each field, with what the one says and what the other says."""
    width = max((len(item.field) for item in items), default=0)
    by = max(len(expected_by), len(found_by))
    lines = []
    for item in items:
        lines.append(f"  {item.field:<{width}}  {expected_by:<{by}}  {item.expected}")
        lines.append(f"  {'':<{width}}  {found_by:<{by}}  {item.found}")
    return lines


def printable(text: str) -> str:
    """The text with its control characters as escapes: a terminal would obey them."""
    return "".join(
        letter if letter.isprintable() or letter == "\t" else repr(letter)[1:-1] for letter in text
    )


def state_before(state: Json) -> list[str]:
    """The state before a step, in one line; none for a part without a state."""
    return [f"  state before: {', '.join(f'{key} {_text(value)}' for key, value in state.items())}"] * bool(
        state
    )


def event_text(event: Json) -> str:
    """``tick(wall=5, monotonic=3)``"""
    arguments = ", ".join(f"{key}={_text(value)}" for key, value in event.items() if key != "event")
    return _cut(f"{event.get('event')}({arguments})")


def _outcome(answer: Answer) -> str:
    return _cut(f"error: {answer.error}" if answer.error else f"effects {_text(list(answer.effects))}")


def _text(value: Any) -> str:
    if value is _ABSENT:
        return "(absent)"
    return _cut(json.dumps(value, default=repr))


def _cut(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}... ({len(text)} characters)"
