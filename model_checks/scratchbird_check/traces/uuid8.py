"""The events and effects of part ``uuid8`` as JSON values (``spec/trace.schema.json``).

The part has no state: every event is a question, and every answer follows from the question alone.

    {"event": "encode", "ms": 5, "counter": 1, "node_id": 7, "random": 0}
        -> {"effect": "id", "id": "00000000-0005-8001-801c-000000000000", "bytes": "00000000000580..."}
    {"event": "decode", "id": "..."} or {"event": "decode", "bytes": "32 hex digits"}
        -> {"effect": "fields", "ms": 5, "counter": 1, "node_id": 7, "random": 0}
    {"event": "compare", "a": "...", "b": "..."}
        -> {"effect": "order", "order": -1}      -1: a is lower, 0: the same id, 1: a is higher

An id that was not made by this clock is refused, never compared (UUID8.R4, UUID8.R5):
``{"effect": "refused", "reason": "malformed" | "version" | "variant" | "node_id"}``. Where several reasons
hold, the first of that list is given.
"""

from __future__ import annotations

import re
from typing import Any

from scratchbird_check.traces.hlc import Json
from scratchbird_reference.uuid8 import VARIANT, VERSION, Timestamp, UuidV8

EVENTS: dict[str, tuple[frozenset[str], ...]] = {
    "encode": (frozenset({"ms", "counter", "node_id", "random"}),),
    "decode": (frozenset({"id"}), frozenset({"bytes"})),
    "compare": (frozenset({"a", "b"}),),
}
"""The keys that each event has beside ``event``; ``decode`` has one of two."""

MALFORMED = "malformed"

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*")


def step(event: Json, kind: Any = UuidV8) -> Json:
    """The effect of one event, by the reference's ids or by another class with the same face.

    :raises ValueError: naming the unknown event, the missing or surplus key, or the value that is out of
        range.
    """
    name = event.get("event")
    forms = EVENTS.get(name) if isinstance(name, str) else None
    if forms is None:
        raise ValueError(f"unknown event {name!r}: expected one of {', '.join(EVENTS)}")
    keys = frozenset(event) - {"event"}
    if keys not in forms:
        expected = " or ".join(", ".join(sorted(form)) for form in forms)
        raise ValueError(
            f"event {name!r} has the keys {', '.join(sorted(keys)) or 'none'}: it has {expected}"
        )
    match name:
        case "encode":
            timestamp = Timestamp(event["ms"], event["counter"])
            made = kind(timestamp, event["node_id"], event["random"])
            return {"effect": "id", "id": str(made), "bytes": bytes(made).hex()}
        case "decode":
            read = _read_text(event["id"], kind) if "id" in event else _read_hex(event["bytes"], kind)
            return read if isinstance(read, dict) else _fields(read)
        case _:
            a, b = _read_text(event["a"], kind), _read_text(event["b"], kind)
            if isinstance(a, dict):
                return a
            return b if isinstance(b, dict) else {"effect": "order", "order": (a > b) - (a < b)}


def _fields(value: Any) -> Json:
    ms, counter = value.timestamp
    return {
        "effect": "fields",
        "ms": ms,
        "counter": counter,
        "node_id": value.node_id,
        "random": value.random,
    }


def _read_text(text: object, kind: Any) -> Any:
    """The id, or the refusal as an effect."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no id: pass the 36-character text form")
    try:
        return kind.parse(text)
    except ValueError:
        digits = text.replace("-", "")
        well_formed = len(text) == 36 and len(digits) == 32 and _HEX.fullmatch(digits) is not None
        placed = [index for index, letter in enumerate(text) if letter == "-"] == [8, 13, 18, 23]
        return _refused(bytes.fromhex(digits) if well_formed and placed else b"")


def _read_hex(text: object, kind: Any) -> Any:
    """The id, or the refusal as an effect."""
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no hexadecimal text: pass the 16 bytes as 32 hexadecimal digits")
    data = bytes.fromhex(text) if _HEX.fullmatch(text) is not None else b""
    try:
        return kind.from_bytes(data)
    except ValueError:
        return _refused(data)


def _refused(data: bytes) -> Json:
    """Why 16 bytes are no id of ours, the first reason that holds."""
    if len(data) != 16:
        reason = MALFORMED
    elif data[6] >> 4 != VERSION:
        reason = "version"
    elif data[8] >> 6 != VARIANT:
        reason = "variant"
    else:
        reason = "node_id"
    return {"effect": "refused", "reason": reason}
