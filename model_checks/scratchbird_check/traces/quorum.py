"""The events, effects and states of the quorum part's two machines as JSON values, and back.

``spec/trace.schema.json`` and ``docs/conformance.md`` show every form. Numbers that may be larger than 2**53,
which not every JSON library keeps, are texts: operations, rows and versions (tokens and reserved versions are
versions) are their number in hexadecimal, lower case, without leading zeros, so ``"0"`` is *never written*.
A value is the hexadecimal text of its bytes, ``null`` is a delete. Replicas, epochs and incarnations are
numbers. The words of a reply's reason are free, and do not stand here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from typing import Any

from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replica
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Exchange,
    Exchanged,
    Held,
    Incarnations,
    Message,
    Mode,
    OldEpoch,
    Query,
    Send,
    Setting,
    Write,
)

Json = dict[str, Any]
Reader = Callable[[Any, str], Any]
"""Reads the value of a key, whose name is told to it."""

MESSAGES: dict[str, type[Message]] = {
    "query": Query,
    "answer": Answer,
    "write": Write,
    "acknowledgement": Acknowledgement,
    "old_epoch": OldEpoch,
    "exchange": Exchange,
    "exchanged": Exchanged,
}
REPLICA_EVENTS: dict[str, type[replica.Event]] = {
    "deliver": replica.Deliver,
    "ask": replica.Ask,
    "crash": replica.Crash,
    "start": replica.Start,
    "start_empty": replica.StartEmpty,
}
COORDINATOR_EVENTS: dict[str, type[operations.Event]] = {
    "read": operations.Read,
    "reserve": operations.Reserve,
    "put": operations.PutValue,
    "look_up": operations.LookUp,
    "stamped": operations.Stamped,
    "stamp_refused": operations.StampRefused,
    "intent_stored": operations.IntentStored,
    "deliver": operations.Deliver,
    "deadline": operations.Deadline,
    "adopt": operations.Adopt,
    "crash": operations.Crash,
    "start": operations.Start,
}
EVENTS = tuple({**COORDINATOR_EVENTS, **REPLICA_EVENTS})
"""The events of either machine."""
EFFECTS: dict[str, type[operations.Effect]] = {
    "send": Send,
    "stamp": operations.Stamp,
    "store_intent": operations.StoreIntent,
    "reply": operations.Reply,
}
OUTCOMES = tuple(outcome.value for outcome in operations.Outcome)

_EFFECT_NAMES = {kind: name for name, kind in EFFECTS.items()}
_MESSAGE_NAMES = {kind: name for name, kind in MESSAGES.items()}
_EVENT_NAMES = {kind: name for name, kind in [*COORDINATOR_EVENTS.items(), *REPLICA_EVENTS.items()]}
_NUMBER = re.compile(r"0|[1-9a-f][0-9a-f]{0,31}")
_BYTES = re.compile(r"(?:[0-9a-f]{2})*")


# --- to JSON ----------------------------------------------------------------------------------------------


def event_to_json(event: replica.Event | operations.Event) -> Json:
    """``{"event": "read", "operation": "1", "row": "7", "token": "0"}``"""
    return {"event": _EVENT_NAMES[type(event)], **_fields(event)}


def effect_to_json(effect: operations.Effect) -> Json:
    """``{"effect": "send", "to": 2, "message": {"message": "query", ...}}`` and so on."""
    value = {"effect": _EFFECT_NAMES[type(effect)], **_fields(effect)}
    value.pop("reason", None)
    return value


def effects_to_json(effects: tuple[operations.Effect, ...]) -> tuple[Json, ...]:
    """Each of them, in the order of :func:`in_order`."""
    return in_order(tuple(effect_to_json(effect) for effect in effects))


def in_order(effects: tuple[Json, ...]) -> tuple[Json, ...]:
    """Effects of one step are carried out in any order; they stand in this one, so that they compare."""
    return tuple(sorted(effects, key=_place))


def setting_to_json(setting: Setting) -> Json:
    return {
        "replicas": list(setting.replicas),
        "write_quorum": setting.write_quorum,
        "read_quorum": setting.read_quorum,
        "mode": setting.mode.value,
        "epoch": setting.epoch,
    }


def replica_to_json(state: replica.State) -> Json:
    """The whole state. What is volatile is there only while the replica is up."""
    durable = state.durable
    value: Json = {
        "up": state.volatile is not None,
        "replica": durable.replica,
        "incarnations": plain(durable.incarnations, "incarnations"),
        "epoch": durable.epoch,
        "rows": plain(durable.rows, "rows"),
        "recovering": None if durable.recovering is None else setting_to_json(durable.recovering),
    }
    if state.volatile is not None:
        value["heard"] = sorted(state.volatile.heard)
    return value


def coordinator_to_json(state: operations.State) -> Json:
    """What can be told of any coordinator: how it keeps the answers that it has is its own affair."""
    value: Json = {
        "up": state.volatile is not None,
        "setting": setting_to_json(state.setting),
        "intents": [plain(intent, "intent") for _, intent in sorted(state.durable.intents, key=_first)],
    }
    if state.volatile is not None:
        value["incarnations"] = plain(state.volatile.incarnations, "incarnations")
        value["operations"] = [
            {
                "operation": hexadecimal(number),
                "kind": operation.kind.value,
                "phase": operation.phase.value,
            }
            for number, operation in sorted(state.volatile.operations, key=_first)
        ]
    return value


def _fields(value: Any) -> Json:
    return {item.name: plain(getattr(value, item.name), item.name) for item in fields(value)}


def plain(value: Any, name: str) -> Any:
    """A value that stands under this name, as JSON."""
    match name:
        case "operation" | "row" | "version" | "token" | "reserved" | "above":
            return hexadecimal(value)
        case "value":
            return None if value is None else value.hex()
        case "held" | "intent":
            return _fields(value)
        case "setting":
            return setting_to_json(value)
        case "incarnations":
            return [list(pair) for pair in sorted(value)]
        case "targets":
            return sorted(value)
        case "rows":
            return [[hexadecimal(row), _fields(held)] for row, held in sorted(value, key=_first)]
        case "message":
            return {"message": _message_name(type(value)), **_fields(value)}
    return value.value if isinstance(value, Enum) else value


def _message_name(kind: type[Message]) -> str:
    """Variants have messages of their own, which nobody else understands: these have their class's name."""
    return _MESSAGE_NAMES.get(kind, kind.__name__.lower())


def hexadecimal(number: int) -> str:
    """How a number is written that may be large."""
    return f"{number:x}"


def _first(item: tuple[int, Any]) -> int:
    return item[0]


def _place(effect: Json) -> tuple[int, int, str]:
    to = effect.get("to")
    names = tuple(EFFECTS)
    place = names.index(effect["effect"]) if effect.get("effect") in names else len(names)
    return place, to if isinstance(to, int) else -1, json.dumps(effect, sort_keys=True)


# --- from JSON --------------------------------------------------------------------------------------------


def event_from_json(value: Json, events: Mapping[str, Any]) -> Any:
    """Read an event of a machine that knows these.

    :raises ValueError: naming the unknown event, the missing or surplus key, or the value that is malformed.
    """
    return read_kind(value, "event", events, READERS)


def setting_from_json(value: Any) -> Setting:
    """Read a setting.

    :raises ValueError: naming the key that is missing, surplus or malformed.
    :raises ConfigurationError: where a rule forbids the setting.
    """
    names = [item.name for item in fields(Setting)]
    if not isinstance(value, dict):
        raise ValueError(f"setting {value!r}: expected an object with {', '.join(names)}")
    if surplus := sorted(set(value) - set(names)):
        raise ValueError(f"a setting has no {surplus[0]!r}: it has {', '.join(names)}")
    if missing := [name for name in names[:3] if name not in value]:
        raise ValueError(f"a setting lacks {missing[0]!r}")
    if not isinstance(value["replicas"], list):
        raise ValueError(f"replicas {value['replicas']!r}: expected a list of replica ids")
    modes = {mode.value: mode for mode in Mode}
    mode = value.get("mode", Mode.LINEARIZABLE.value)
    if not isinstance(mode, str) or mode not in modes:
        raise ValueError(f"mode {mode!r}: expected {' or '.join(modes)}")
    return Setting(**{**value, "replicas": tuple(value["replicas"]), "mode": modes[mode]})


def read_kind(value: Any, what: str, kinds: Mapping[str, Any], readers: Mapping[str, Reader]) -> Any:
    """Read an object whose key ``what`` names its kind.

    :param readers: by the name of a key: what reads its value.
    :raises ValueError: naming the unknown kind, the missing or surplus key, or the value that is malformed.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{what} {value!r}: expected an object")
    arguments = dict(value)
    name = arguments.pop(what, None)
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"unknown {what} {name!r}: expected one of {', '.join(kinds)}")
    return read_object(arguments, kind, f"{what} {name!r}", readers)


def read_object(arguments: Any, kind: Any, what: str, readers: Mapping[str, Reader]) -> Any:
    """Read an object of one kind, a dataclass.

    :raises ValueError: naming the missing or surplus key, or the value that is malformed.
    """
    if not isinstance(arguments, dict):
        raise ValueError(f"{what} {arguments!r}: expected an object")
    known = [item.name for item in fields(kind)]
    if surplus := sorted(set(arguments) - set(known)):
        raise ValueError(f"{what} has no {surplus[0]!r}: it has {', '.join(known) or 'no keys'}")
    needed = {
        item.name for item in fields(kind) if item.default is MISSING or kind is Held
    }  # A Held is always whole.
    if missing := [name for name in known if name in needed and name not in arguments]:
        raise ValueError(f"{what} lacks {', '.join(missing)}")
    return kind(**{name: readers[name](item, name) for name, item in arguments.items()})


def number(value: Any, name: str) -> int:
    """A number that may be large."""
    if not isinstance(value, str) or _NUMBER.fullmatch(value) is None:
        raise ValueError(
            f"{name} {value!r}: expected the number in hexadecimal, a text of at most 32 lower case digits "
            "without leading zeros"
        )
    return int(value, 16)


def count(value: Any, name: str) -> int:
    """A number of things."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{name} {value!r}: expected a whole number, at least 0")
    return value


def _sender(value: Any, name: str) -> int | None:
    return None if value is None else count(value, name)


def _value(value: Any, name: str) -> bytes | None:
    if value is None:
        return None
    if not isinstance(value, str) or _BYTES.fullmatch(value) is None:
        raise ValueError(f"{name} {value!r}: expected bytes as lower case hexadecimal digits, or null")
    return bytes.fromhex(value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} {value!r}: expected a text")
    return value


def _list(value: Any, name: str, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} {value!r}: expected a list of {what}")
    return value


def _pairs(value: Any, name: str, what: str) -> list[list[Any]]:
    for pair in _list(value, name, what):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"{name}: {pair!r} is not {what}")
    return list(value)


def _incarnations(value: Any, name: str) -> Incarnations:
    what = "[replica, incarnation]"
    pairs = [(count(one, what), count(two, what)) for one, two in _pairs(value, name, what)]
    if len({one for one, _ in pairs}) != len(pairs):
        raise ValueError(f"{name} {value!r}: a replica has one incarnation, name each once")
    return tuple(sorted(pairs))


def _rows(value: Any, name: str) -> tuple[tuple[int, Held], ...]:
    pairs = _pairs(value, name, "[row, held]")
    return tuple((number(row, "row"), _held(held, "held")) for row, held in pairs)


def _targets(value: Any, name: str) -> frozenset[int]:
    return frozenset(count(item, name) for item in _list(value, name, "replica ids"))


def _held(value: Any, name: str) -> Held:
    held: Held = read_object(value, Held, name, READERS)
    return held


READERS: dict[str, Reader] = {
    **dict.fromkeys(("operation", "row", "version", "token", "reserved"), number),
    **dict.fromkeys(("epoch", "incarnation"), count),
    "sender": _sender,
    "value": _value,
    "reason": _text,
    "held": _held,
    "incarnations": _incarnations,
    "rows": _rows,
    "targets": _targets,
    "intent": lambda value, name: read_object(value, operations.Intent, name, READERS),
    "setting": lambda value, name: setting_from_json(value),
    "message": lambda value, name: read_kind(value, "message", MESSAGES, READERS),
}
"""By the name of a key."""
