"""The clock's events, effects and states as JSON values, and back (``spec/trace.schema.json``).

A timestamp is ``[ms, counter]``. Keys whose value would be null are left out, except ``promised`` of a node
that is up, which is always there.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from scratchbird_reference.hlc import (
    Config,
    Confirm,
    Confirmed,
    Crash,
    Deferred,
    Durable,
    Effect,
    Event,
    Issued,
    Merged,
    Observe,
    Persist,
    Persisted,
    Refused,
    Reserve,
    Retire,
    Stamp,
    Stamped,
    Start,
    State,
    Stop,
    Tick,
    Volatile,
)
from scratchbird_reference.uuid8 import Timestamp

Json = dict[str, Any]

EVENTS: dict[str, type[Event]] = {
    "start": Start,
    "tick": Tick,
    "observe": Observe,
    "stamp": Stamp,
    "reserve": Reserve,
    "persisted": Persisted,
    "confirm": Confirm,
    "stop": Stop,
    "crash": Crash,
    "retire": Retire,
}
_EVENT_NAMES = {kind: name for name, kind in EVENTS.items()}


def config_to_json(config: Config) -> Json:
    return asdict(config)


def config_from_json(value: Json) -> Config:
    return Config(**value)


def event_to_json(event: Event) -> Json:
    """``{"event": "observe", "wall": 5, "monotonic": 3, "remote": [5, 1], "sender": 2}``"""
    value: Json = {"event": _EVENT_NAMES[type(event)]}
    for item in fields(event):
        value[item.name] = _plain(getattr(event, item.name))
    return value


def event_from_json(value: Json) -> Event:
    """Read an event; :class:`ValueError` that names the unknown event or the missing or surplus key."""
    arguments = dict(value)
    name = arguments.pop("event", None)
    kind = EVENTS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown event {name!r}: expected one of {', '.join(EVENTS)}")
    known = {item.name for item in fields(kind)}
    if surplus := sorted(set(arguments) - known):
        raise ValueError(
            f"event {name!r} has no {surplus[0]!r}: it has {', '.join(sorted(known)) or 'no keys'}"
        )
    if "remote" in arguments:
        arguments["remote"] = _timestamp(arguments["remote"])
    if "peers" in arguments:
        arguments["peers"] = _peers(arguments["peers"])
    if not isinstance(arguments.get("operator", False), bool):
        raise ValueError(f"operator {arguments['operator']!r}: expected true or false")
    try:
        return kind(**arguments)
    except TypeError:
        missing = sorted(known - set(arguments))
        raise ValueError(f"event {name!r} lacks {', '.join(missing)}") from None


def effect_to_json(effect: Effect) -> Json:
    """``{"effect": "issued", "id": "...", "timestamp": [5, 1]}`` and so on."""
    match effect:
        case Issued(id=version):
            return {"effect": "issued", "id": str(version), "timestamp": list(version.timestamp)}
        case Merged(last=last):
            return {"effect": "merged", "last": list(last)}
        case Stamped(clock=clock):
            return {"effect": "stamped", "clock": list(clock)}
        case Confirmed():
            return {"effect": "confirmed"}
        case Persist(bound=bound):
            return {"effect": "persist", "bound": list(bound)}
        case Deferred(needs=needs):
            return {"effect": "deferred", "needs": list(needs)}
        case Refused():
            value: Json = {"effect": "refused", "reason": effect.reason.value}
            for name in ("retry_after_ms", "wall", "remote", "sender"):
                if (item := getattr(effect, name)) is not None:
                    value[name] = _plain(item)
            return value


def state_to_json(state: State) -> Json:
    """The whole state. The volatile half is there only while the node is up."""
    value: Json = {
        "up": state.volatile is not None,
        "node_id": state.durable.node_id,
        "bound": list(state.durable.bound),
        "retired": list(state.durable.retired),
    }
    if state.volatile is not None:
        for item in fields(Volatile):
            value[item.name] = _plain(getattr(state.volatile, item.name))
    return value


def state_from_json(value: Json) -> State:
    durable = Durable(value["node_id"], _timestamp(value["bound"]), tuple(value["retired"]))
    if not value["up"]:
        return State(durable)
    promised = value["promised"]
    return State(
        durable,
        Volatile(
            last=_timestamp(value["last"]),
            anchor=value["anchor"],
            promised=None if promised is None else _timestamp(promised),
            suspended=value["suspended"],
            stopping=value["stopping"],
        ),
    )


def _timestamp(value: Any) -> Timestamp:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"{value!r} is no timestamp: expected [milliseconds, counter]")
    return Timestamp(*value)


def _peers(value: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list | tuple) or not all(
        isinstance(peer, list | tuple) and len(peer) == 2 for peer in value
    ):
        raise ValueError(f"peers {value!r}: expected a list of [node id, wall clock in ms]")
    return tuple((node, wall) for node, wall in value)


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
