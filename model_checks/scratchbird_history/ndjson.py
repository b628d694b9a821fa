"""Histories as NDJSON: one JSON object a line, each an event.

The form is in ``docs/history.md``. A field that is not in there is refused, because a misspelt ``key`` would
put every operation on one register without a word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from scratchbird_history.errors import HistoryError, short
from scratchbird_history.operations import History
from scratchbird_history.pairing import Event, needs_value, pair

FIELDS = ("process", "type", "f", "key", "value", "time", "index", "error", "note")
"""``time``, ``index``, ``error`` and ``note`` are for people: events are in the order of their lines."""


class _FormError(ValueError):
    """What Python's reader of JSON would let pass."""


def read(text: str, initial: str | None = None) -> History:
    """The history in ``text``; ``initial`` is a JSON value (``null`` if not given).

    :raises HistoryError: if a line is not as it must be; it names the line.
    """
    start = "null" if initial is None else value(initial, None)
    return History(tuple(pair(_events(text))), start)


def value(text: str, line: int | None) -> str:
    """The canonical text of a JSON value. :raises HistoryError: if it is none."""
    return _canonical(_parsed(text, line), line)


def _events(text: str) -> Iterator[Event]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield _event(line, number)


def _event(line: str, number: int) -> Event:
    found = _parsed(line, number)
    if not isinstance(found, dict):
        raise HistoryError(f"{short(line.strip())} is no JSON object: each line is one event", number)
    for name in found:
        if name not in FIELDS:
            raise HistoryError(f"unknown field {short(name)!r}: known are {', '.join(FIELDS)}", number)
    for name in ("process", "type", "f"):
        if name not in found:
            raise HistoryError(f"the field {name!r} is missing: every event has one", number)
        if name != "process" and not isinstance(found[name], str):
            raise HistoryError(f"the field {name!r} must be a text, not {short(repr(found[name]))}", number)
    return Event(
        line=number,
        process=_canonical(found["process"], number),
        type=found["type"],
        function=found["f"],
        key=_canonical(found["key"], number) if "key" in found else None,
        values=_values(found, number),
    )


def _values(found: dict[str, Any], number: int) -> tuple[str, ...]:
    if "value" not in found:
        return ()
    given = found["value"]
    # A null says "no value" wherever one is not needed; elsewhere it is a value as any other.
    if given is None and not needs_value(found["type"], found["f"]):
        return ()
    if found["f"] != "cas":
        return (_canonical(given, number),)
    if not isinstance(given, list) or len(given) != 2:
        raise HistoryError(
            "a cas needs two values, the expected and the new one, as [expected, new]; given was"
            f" {short(_canonical(given, number))}",
            number,
        )
    return tuple(_canonical(one, number) for one in given)


def _parsed(text: str, line: int | None) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except RecursionError:
        raise HistoryError("nested too deeply: a value of a register is not that deep", line) from None
    except json.JSONDecodeError as error:
        raise HistoryError(
            f"{short(text.strip())} is no JSON: {error.msg}, column {error.colno}", line
        ) from None
    except _FormError as error:
        raise HistoryError(str(error), line) from None
    except ValueError:  # Python reads no longer ones, as that takes too long.
        raise HistoryError("a number of more than 4300 digits: write it as a text", line) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _FormError(f"the field {short(twice)!r} occurs twice: which one holds?")
    return found


def _constant(name: str) -> Any:
    raise _FormError(f"{name} is no JSON number: write it as a text")


def _canonical(given: Any, line: int | None) -> str:
    try:
        return json.dumps(given, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    except RecursionError:
        raise HistoryError("nested too deeply: a value of a register is not that deep", line) from None
