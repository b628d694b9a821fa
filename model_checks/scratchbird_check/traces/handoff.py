"""The events, effects and states of the handoff part's three machines as JSON values, and back.

``spec/trace.schema.json`` and ``docs/conformance.md`` show every form. What part quorum has as well is
written as there (:mod:`scratchbird_check.traces.quorum`). Floors are versions; times are nanoseconds of wall
time in hexadecimal, because they are larger than 2**53. A place is ``[target, shard]``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from scratchbird_check.traces import quorum
from scratchbird_check.traces.quorum import Json, hexadecimal, read_kind
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as replica
from scratchbird_reference import quorum_replica
from scratchbird_reference.quorum_messages import Exchanged, Held, Incarnations, Send, Setting

# --- the forms of what stands nested in the reference ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _LostDisk:
    setting: Setting
    incarnations: Incarnations
    proposed: int
    epoch: int = 0

    def made(self) -> replica.LostDisk:
        start = quorum_replica.StartEmpty(self.setting, self.incarnations, self.epoch)
        return replica.LostDisk(start, self.proposed)


@dataclass(frozen=True, slots=True)
class _RecoveredPast:
    epoch: int
    incarnation: int
    rows: tuple[tuple[int, Held], ...]
    incarnations: Incarnations
    settled: int

    def made(self) -> replica.RecoveredPast:
        rows = Exchanged(self.epoch, self.incarnation, self.rows, self.incarnations)
        return replica.RecoveredPast(rows, self.settled)


# --- names ------------------------------------------------------------------------------------------------

OF_REPLICAS: dict[str, Any] = {
    "ask_past": replica.AskPast,
    "past": replica.Past,
    "recovered_past": _RecoveredPast,
}
OF_THIS_PART = (replica.AskPast, replica.Past, replica.RecoveredPast)
"""The messages that replicas send each other."""
MESSAGES: dict[str, Any] = {**quorum.MESSAGES, **OF_REPLICAS, "below_floor": replica.BelowFloor}
"""All that is sent; a coordinator is sent *below the floor*, and keeps no account of it."""
TOLD: dict[str, Any] = {
    "propose": floors.Propose,
    "all_closed": floors.AllClosed,
    "all_converged": floors.AllConverged,
}
"""What the catalog tells a replica: effects of the one, events of the other."""
HINTS_EVENTS: dict[str, Any] = {
    "owe": account.Owe,
    "ended": account.Ended,
    "acknowledged": account.Acknowledged,
    "refused": account.Refused,
    "tick": account.Tick,
    "give_up": account.GiveUp,
    "drop": account.Drop,
    "keep_again": account.KeepAgain,
    "exchange_begun": account.ExchangeBegun,
    "exchanged": account.Exchanged,
    "target_lost_disk": account.TargetLostDisk,
    "move_begun": account.MoveBegun,
    "move_done": account.MoveDone,
    "erased": account.Erased,
    "unreadable": account.Unreadable,
    "adopt": account.Adopt,
    "crash": account.Crash,
}
REPLICA_EVENTS: dict[str, Any] = {
    **{name: kind for name, kind in quorum.REPLICA_EVENTS.items() if name != "start_empty"},
    **TOLD,
    "lost_disk": _LostDisk,
    "merge": replica.Merge,
    "purge": replica.Purge,
}
CATALOG_EVENTS: dict[str, Any] = {
    "propose_floor": catalog.ProposeFloor,
    "closed": catalog.Closed,
    "converged": catalog.Converged,
    "lost_disk": catalog.LostDisk,
    "ask": catalog.Ask,
}
EVENTS = tuple({**HINTS_EVENTS, **REPLICA_EVENTS, **CATALOG_EVENTS})
"""The events of any machine."""
EFFECTS: dict[str, Any] = {
    "send": Send,
    "kept": account.Kept,
    "may_drop": account.MayDrop,
    "send_hint": account.SendHint,
    "repair": account.Repair,
    "say_closed": floors.SayClosed,
    "say_converged": floors.SayConverged,
    "purge_below": floors.PurgeBelow,
    "tell": catalog.Tell,
}

_EVENT_NAMES = {
    kind: name for events in (HINTS_EVENTS, REPLICA_EVENTS, CATALOG_EVENTS) for name, kind in events.items()
} | {replica.LostDisk: "lost_disk", replica.Deliver: "deliver"}
_EFFECT_NAMES = {kind: name for name, kind in EFFECTS.items()} | {replica.SendFloor: "send"}
_MESSAGE_NAMES = {kind: name for name, kind in MESSAGES.items()}


# --- to JSON ----------------------------------------------------------------------------------------------


def event_to_json(event: Any) -> Json:
    """``{"event": "owe", "operation": "1", "shard": 0, "intent": {...}, "now_ns": "0"}``"""
    if isinstance(event, replica.LostDisk):
        return {"event": "lost_disk", **_fields(event.rows), "proposed": hexadecimal(event.proposed)}
    return {"event": _EVENT_NAMES[type(event)], **_fields(event)}


def effect_to_json(effect: Any) -> Json:
    """``{"effect": "send_hint", "hint": {...}}`` and so on."""
    return {"effect": _EFFECT_NAMES[type(effect)], **_fields(effect)}


def effects_to_json(effects: tuple[Any, ...]) -> tuple[Json, ...]:
    """Each of them, in the order of :func:`in_order`."""
    return in_order(tuple(effect_to_json(effect) for effect in effects))


def in_order(effects: tuple[Json, ...]) -> tuple[Json, ...]:
    """Effects of one step by their kind and by whom they are for.

    What is sent to one target stays in its order: the oldest hint of a shard first (rule HANDOFF.R4).
    """
    return tuple(sorted(effects, key=_place))


def _place(effect: Json) -> tuple[int, int]:
    names = tuple(EFFECTS)
    place = names.index(effect["effect"]) if effect.get("effect") in names else len(names)
    hint = effect.get("hint")
    to = hint.get("target") if isinstance(hint, dict) else effect.get("to")
    if isinstance(effect.get("place"), list) and effect["place"]:
        to = effect["place"][0]
    return place, to if isinstance(to, int) else -1


def hints_to_json(state: account.State) -> Json:
    """What can be told of any coordinator's account: how it keeps pace is its own affair."""
    durable, volatile = state.durable, state.volatile
    return {
        "setting": quorum.setting_to_json(state.setting),
        "hints": [_fields(hint) for hint in sorted(durable.hints, key=lambda hint: hint.place)],
        "marks": [
            {"place": list(place), "open": mark.is_open, "heard": sorted(mark.heard)}
            for place, mark in sorted(durable.marks, key=lambda item: item[0])
        ],
        "moves": [{"place": list(place), "newcomer": newcomer} for place, newcomer in sorted(durable.moves)],
        "least_write_quorum": durable.least_write_quorum,
        "open": [hexadecimal(number) for number, _ in sorted(volatile.writes, key=lambda item: item[0])],
        "coming_back": [list(place) for place in sorted(volatile.coming_back)],
        "under_way": [
            {"target": target, "row": hexadecimal(row), "version": hexadecimal(version)}
            for (target, row, version), _ in sorted(volatile.under_way)
        ],
    }


def replica_to_json(state: replica.State) -> Json:
    """The rows as part quorum shows them, and the floor. What is volatile is there only while it is up."""
    value = quorum.replica_to_json(state.rows)
    value |= _fields_of(state.floor.durable, "closed", "converged", "floor")
    if state.rows.volatile is not None:
        value |= _fields_of(state.floor.volatile, "all_closed", "all_converged", "merged")
    return value


def catalog_to_json(state: catalog.State) -> Json:
    """Who has closed the floor and converged at it."""
    return {
        "setting": quorum.setting_to_json(state.setting),
        "incarnations": quorum.plain(state.incarnations, "incarnations"),
        "proposed": hexadecimal(state.proposed),
        "closed": sorted(state.closed),
        "converged": quorum.plain(state.converged, "incarnations"),
        "all_converged": hexadecimal(state.all_converged),
        "void": state.void,
    }


def _fields(value: Any) -> Json:
    return _fields_of(value, *(item.name for item in fields(value)))


def _fields_of(value: Any, *names: str) -> Json:
    return {name: _plain(getattr(value, name), name) for name in names}


def _plain(value: Any, name: str) -> Any:
    match name:
        case "floor" | "closed" | "converged" | "proposed" | "settled" | "all_closed" | "all_converged":
            return hexadecimal(value)
        case "now_ns" | "since_ns":
            return hexadecimal(value)
        case "place":
            return list(value)
        case "merged":
            return sorted(value)
        case "hint":
            return _fields(value)
        case "what":
            return event_to_json(value)
        case "message" if isinstance(value, replica.RecoveredPast):
            parts = {**_fields(value.rows), "settled": hexadecimal(value.settled)}
            return {"message": "recovered_past", **parts}
        case "message":
            return {"message": _MESSAGE_NAMES[type(value)], **_fields(value)}
    return quorum.plain(value, name)


# --- from JSON --------------------------------------------------------------------------------------------


def event_from_json(value: Json, events: dict[str, Any]) -> Any:
    """Read an event of a machine that knows these.

    :raises ValueError: naming the unknown event, the missing or surplus key, or the value that is malformed.
    """
    read = read_kind(value, "event", events, _READERS)
    message = getattr(read, "message", None)
    if isinstance(message, OF_THIS_PART):
        if read.sender is None:
            raise ValueError(f"{type(message).__name__} comes from a replica: sender is missing")
        return replica.Deliver(read.sender, message)
    return read.made() if isinstance(read, _LostDisk) else read


def _message(value: Any, name: str) -> Any:
    read = read_kind(value, name, {**quorum.MESSAGES, **OF_REPLICAS}, _READERS)
    return read.made() if isinstance(read, _RecoveredPast) else read


def _pair(value: Any, name: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{name} {value!r}: expected [target, shard]")
    return quorum.count(value[0], "target"), quorum.count(value[1], "shard")


_READERS: dict[str, quorum.Reader] = {
    **quorum.READERS,
    **dict.fromkeys(("floor", "closed", "proposed", "settled", "now_ns"), quorum.number),
    **dict.fromkeys(("shard", "target", "other", "replica", "newcomer"), quorum.count),
    "place": _pair,
    "message": _message,
}
