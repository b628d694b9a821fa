"""The events, effects and states of the forest's machines as JSON values, and back.

``spec/trace.schema.json`` and ``docs/conformance.md`` show every form. Rows, versions and stable times are
written as in part quorum (:mod:`scratchbird_check.traces.quorum`), and so are the numbers of exchanges.
Digests, places and encodings are bytes in hexadecimal; the place of a node is ``[window, digits]``, the
digits in hexadecimal, so that ``[7, ""]`` is the top of window 7. The words of a refusal are free, and do not
stand here. The values of a row's columns: :mod:`scratchbird_check.traces.merkle_forest_values`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scratchbird_check.traces import handoff, quorum
from scratchbird_check.traces.merkle_forest_values import columns_from_json, values_from_json
from scratchbird_check.traces.quorum import Json, hexadecimal, read_kind, read_object
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import DIGITS, FAN_OUT, Entry, Inner, Leaf, Node, Prefix, Shape
from scratchbird_reference.merkle_forest_rows import Value
from scratchbird_reference.quorum_messages import Held

# --- what has no machine: questions -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EncodeKey:
    """The bytes of a key (rule MERKLE_FOREST.R6)."""

    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class EncodeRow:
    """The bytes of a row (rule MERKLE_FOREST.R6)."""

    schema: int
    columns: Mapping[int, Value]


@dataclass(frozen=True, slots=True)
class EntryOf:
    """The entry of a row that is held so (rules MERKLE_FOREST.R1 and MERKLE_FOREST.R5)."""

    row: int
    held: Held


@dataclass(frozen=True, slots=True)
class TreeOf:
    """The top of a subtree and its digest, of these entries in any order (R4 and R5)."""

    shape: Shape
    window: int
    entries: tuple[Entry, ...]
    prefix: Prefix = ()


@dataclass(frozen=True, slots=True)
class WindowOf:
    """The digest of a window of these entries (rules MERKLE_FOREST.R5 and MERKLE_FOREST.R7)."""

    shape: Shape
    window: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Windowed:
    """The window of a version, and whether it is sealed at a stable time (R3 and R9)."""

    shape: Shape
    version: int
    stable: int
    grace_ms: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Another replica asks in an exchange."""

    question: messages.Question


# --- names ------------------------------------------------------------------------------------------------

ENCODING_EVENTS: dict[str, Any] = {"encode_key": EncodeKey, "encode_row": EncodeRow}
DIGEST_EVENTS: dict[str, Any] = {
    "entry": EntryOf,
    "tree": TreeOf,
    "window": WindowOf,
    "place_in_time": Windowed,
}
FOREST_EVENTS: dict[str, Any] = {
    "advance": forests.Advance,
    "rehash": forests.Rehash,
    "reshape": forests.Reshape,
}
EXCHANGE_EVENTS: dict[str, Any] = {
    "begin": exchanges.Begin,
    "replied": exchanges.Deliver,
    "again": exchanges.Again,
    "stop": exchanges.Stop,
    "asked": Asked,
}
REPLICA_EVENTS: dict[str, Any] = {**handoff.REPLICA_EVENTS, **FOREST_EVENTS, **EXCHANGE_EVENTS}
EVENTS = tuple({**ENCODING_EVENTS, **DIGEST_EVENTS, **REPLICA_EVENTS})
"""The events of any machine."""
EXCHANGE_EFFECTS: dict[str, Any] = {
    "ask": exchanges.Ask,
    "succeeded": exchanges.Succeeded,
    "failed": exchanges.Failed,
}
ANSWERS = ("encoded", "entry", "digest", "top", "window")
"""The effects of questions."""
EFFECTS = (*handoff.EFFECTS, *EXCHANGE_EFFECTS, "answer", *ANSWERS)
QUESTIONS: dict[str, Any] = {
    "open": messages.Open,
    "ask_windows": messages.AskWindows,
    "ask_nodes": messages.AskNodes,
    "ask_rows": messages.AskRows,
    "give": messages.Give,
}
REPLIES: dict[str, Any] = {
    "opened": messages.Opened,
    "refused": messages.Refused,
    "windows": messages.Windows,
    "nodes": messages.Nodes,
    "rows": messages.Rows,
    "took": messages.Took,
}
_NAMES = {kind: name for kinds in (QUESTIONS, REPLIES, EXCHANGE_EFFECTS) for name, kind in kinds.items()}

# --- to JSON ----------------------------------------------------------------------------------------------


def shape_to_json(shape: Shape) -> Json:
    return {item.name: getattr(shape, item.name) for item in fields(shape)}


def entry_to_json(entry: Entry) -> Json:
    """``{"row": "7", "place": "…", "version": "5…", "digest": "…"}``"""
    return {
        "row": hexadecimal(entry.row),
        "place": entry.place.hex(),
        "version": hexadecimal(entry.version),
        "digest": entry.digest.hex(),
    }


def node_to_json(node: Node) -> Json:
    """``{"entries": [...]}`` of a leaf, ``{"children": [...]}`` of an inner node: 16 digests."""
    if isinstance(node, Leaf):
        return {"entries": [entry_to_json(entry) for entry in node.entries]}
    return {"children": [child.hex() for child in node.children]}


def effect_to_json(effect: Any) -> Json:
    """``{"effect": "ask", "to": 2, "question": {...}}`` and so on; a reply too is an effect."""
    match effect:
        case exchanges.Ask():
            return {"effect": "ask", "to": effect.other, "question": said_to_json(effect.question)}
        case exchanges.Succeeded():
            times = {"stable": hexadecimal(effect.stable), "floor": hexadecimal(effect.floor)}
            return {"effect": "succeeded", **_of(effect), **times, "moved": effect.moved}
        case exchanges.Failed():
            return {"effect": "failed", **_of(effect)}
    if type(effect) in _NAMES:
        return {"effect": "answer", "reply": said_to_json(effect)}
    return handoff.effect_to_json(effect)


def _of(effect: exchanges.Succeeded | exchanges.Failed) -> Json:
    return {"exchange": hexadecimal(effect.exchange), "other": effect.other}


def effects_to_json(effects: tuple[Any, ...]) -> tuple[Json, ...]:
    """Each of them, in the order in which they compare."""
    return handoff.in_order(tuple(effect_to_json(effect) for effect in effects))


def said_to_json(said: messages.Question | messages.Reply) -> Json:
    """A question or a reply: ``{"question": "ask_windows", "exchange": "1", "after": -1}``"""
    name = _NAMES[type(said)]
    value: Json = {"question" if name in QUESTIONS else "reply": name, "exchange": hexadecimal(said.exchange)}
    match said:
        case messages.Open():
            return {**value, "shape": shape_to_json(said.shape), **_times(said)}
        case messages.Opened():
            return {**value, **_times(said)}
        case messages.AskWindows():
            return {**value, "after": said.after}
        case messages.Windows():
            told = [[window, digest.hex()] for window, digest in said.windows]
            return {**value, "windows": told, "last": said.last}
        case messages.AskNodes():
            return {**value, "places": [_place(place) for place in said.places], "in_full": said.in_full}
        case messages.Nodes():
            nodes = [{"place": _place(place), **node_to_json(node)} for place, node in said.nodes]
            held = [[hexadecimal(row), hexadecimal(version)] for row, version in said.held]
            return {**value, "nodes": nodes, "held": held}
        case messages.AskRows() | messages.Took():
            return {**value, "rows": [hexadecimal(row) for row in said.rows]}
        case messages.Rows():
            return {
                **value,
                "rows": [[hexadecimal(row), quorum.plain(held, "held")] for row, held in said.rows],
            }
        case messages.Give():
            return {**value, "given": [_given(entry, held) for entry, held in said.given]}
    return value


def _times(said: messages.Open | messages.Opened) -> Json:
    return {"stable": hexadecimal(said.stable), "floor": hexadecimal(said.floor)}


def _place(place: messages.Place) -> list[Any]:
    window, prefix = place
    return [window, "".join(f"{digit:x}" for digit in prefix)]


def _given(entry: Entry, held: Held | None) -> Json:
    return {"entry": entry_to_json(entry), "held": None if held is None else quorum.plain(held, "held")}


def forest_to_json(forest: forests.Durable) -> Json:
    """What is durable of a forest: entries by row, the others by window."""
    return {
        "shape": shape_to_json(forest.shape),
        "grace_ms": forest.grace_ms,
        "stable": hexadecimal(forest.stable),
        "entries": [entry_to_json(entry) for _, entry in forest.entries],
        "told": [[window, digest.hex()] for window, digest in forest.told],
        "dirty": sorted(forest.dirty),
        "amendments": [list(item) for item in forest.amendments],
    }


def replica_to_json(
    state: forests.State, driving: exchanges.Driving | None, answering: exchanges.Answering
) -> Json:
    """As part handoff shows a replica, and its forest; of exchanges which ones are under way, while it is up.

    How far each of them is shows in what is asked.
    """
    value = {**handoff.replica_to_json(state.replica), "forest": forest_to_json(state.forest)}
    if state.replica.rows.volatile is not None:
        value["driving"] = None if driving is None else hexadecimal(driving.exchange)
        value["answering"] = [hexadecimal(number) for number, _ in answering.snapshots]
    return value


# --- from JSON --------------------------------------------------------------------------------------------


def event_from_json(value: Json, events: dict[str, Any]) -> Any:
    """Read an event of a machine that knows these.

    :raises ValueError: naming the unknown event, the missing or surplus key, or the value that is malformed.
    """
    name = value.get("event")
    if name in handoff.REPLICA_EVENTS and name in events:
        return handoff.event_from_json(value, handoff.REPLICA_EVENTS)
    return read_kind(value, "event", events, _READERS)


def shape_from_json(value: Any, name: str = "shape") -> Shape:
    """Read the setting of a forest; what is left out has its default.

    :raises ValueError: naming the key or the value that is wrong.
    """
    shape: Shape = _known(value, Shape, name)
    return shape


def bounds_from_json(value: Any) -> messages.Bounds:
    """The same of the bounds of messages."""
    bounds: messages.Bounds = _known(value, messages.Bounds, "bounds")
    return bounds


def _known(value: Any, kind: Any, name: str) -> Any:
    names = [item.name for item in fields(kind)]
    if not isinstance(value, dict) or set(value) - set(names):
        raise ValueError(f"{name} {value!r}: expected an object with some of {', '.join(names)}")
    return kind(**value)


def _bytes(value: Any, name: str) -> bytes:
    read: bytes | None = quorum.READERS["value"](value, name)
    if read is None:
        raise ValueError(f"{name} null: expected bytes as lower case hexadecimal digits")
    return read


def _sized(value: Any, name: str, size: int) -> bytes:
    read = _bytes(value, name)
    if len(read) != size:
        raise ValueError(f"{name} {value!r}: expected {size} bytes, these are {len(read)}")
    return read


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{name} {value!r}: expected a list")
    return value


def _pairs(value: Any, name: str) -> list[list[Any]]:
    for pair in _list(value, name):
        if not isinstance(pair, list) or len(pair) != 2:
            raise ValueError(f"{name}: {pair!r} is no pair")
    return list(value)


def _after(value: Any, name: str) -> int:
    return -1 if value == -1 and not isinstance(value, bool) else quorum.count(value, name)


def _truth(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value!r}: expected true or false")
    return value


def _prefix(value: Any, name: str) -> Prefix:
    if not isinstance(value, str) or len(value) > DIGITS or set(value) - set("0123456789abcdef"):
        raise ValueError(f"{name} {value!r}: expected at most {DIGITS} lower case hexadecimal digits")
    return tuple(int(digit, 16) for digit in value)


def _place_from(value: Any, name: str) -> messages.Place:
    if not isinstance(value, list) or len(value) != 2:
        raise ValueError(f"{name} {value!r}: expected [window, digits]")
    return quorum.count(value[0], "window"), _prefix(value[1], "digits")


def _entry(value: Any, name: str) -> Entry:
    entry: Entry = read_object(value, Entry, name, _OF_ENTRIES)
    return entry


def _entries(value: Any, name: str) -> tuple[Entry, ...]:
    return tuple(_entry(item, "entry") for item in _list(value, name))


def _children(value: Any, name: str) -> tuple[bytes, ...]:
    children = tuple(_bytes(item, "child") for item in _list(value, name))
    if len(children) != FAN_OUT:
        raise ValueError(f"{name}: {len(children)} of them, an inner node has {FAN_OUT}")
    return children


def _node(value: Any) -> tuple[messages.Place, Node]:
    if not isinstance(value, dict) or set(value) not in ({"place", "entries"}, {"place", "children"}):
        raise ValueError(f"node {value!r}: expected an object with place, and entries or children")
    place = _place_from(value["place"], "place")
    if "entries" in value:
        return place, Leaf(_entries(value["entries"], "entries"))
    return place, Inner(_children(value["children"], "children"))


def _given_from(value: Any) -> tuple[Entry, Held | None]:
    if not isinstance(value, dict) or set(value) != {"entry", "held"}:
        raise ValueError(f"given {value!r}: expected an object with entry and held")
    held = value["held"]
    return _entry(value["entry"], "entry"), None if held is None else quorum.READERS["held"](held, "held")


def _question(value: Any, name: str) -> messages.Question:
    asked = value.get("question") if isinstance(value, dict) else None
    readers = {**_OF_MESSAGES, "rows": _row_names} if asked == "ask_rows" else _OF_MESSAGES
    read: messages.Question = read_kind(value, "question", QUESTIONS, readers)
    return read


def _reply(value: Any, name: str) -> messages.Reply:
    said = value.get("reply") if isinstance(value, dict) else None
    if said == "refused":
        value = {"reason": "refused", **value}
    readers = {**_OF_MESSAGES, "rows": _row_names} if said == "took" else _OF_MESSAGES
    read: messages.Reply = read_kind(value, "reply", REPLIES, readers)
    return read


def _row_names(value: Any, name: str) -> tuple[int, ...]:
    return tuple(quorum.number(item, "row") for item in _list(value, name))


_OF_ENTRIES: dict[str, quorum.Reader] = {
    "row": quorum.number,
    "version": quorum.number,
    "place": lambda value, name: _sized(value, name, 16),
    "digest": lambda value, name: _sized(value, name, 16),
}
_OF_MESSAGES: dict[str, quorum.Reader] = {
    **dict.fromkeys(("exchange", "stable", "floor"), quorum.number),
    "shape": shape_from_json,
    "after": _after,
    "last": _truth,
    "in_full": _truth,
    "reason": quorum.READERS["reason"],
    "windows": lambda value, name: tuple(
        (quorum.count(window, "window"), _sized(digest, "digest", 32))
        for window, digest in _pairs(value, name)
    ),
    "places": lambda value, name: tuple(_place_from(item, "place") for item in _list(value, name)),
    "nodes": lambda value, name: tuple(_node(item) for item in _list(value, name)),
    "held": lambda value, name: tuple(
        (quorum.number(row, "row"), quorum.number(version, "version")) for row, version in _pairs(value, name)
    ),
    "rows": quorum.READERS["rows"],
    "given": lambda value, name: tuple(_given_from(item) for item in _list(value, name)),
}
_READERS: dict[str, quorum.Reader] = {
    **dict.fromkeys(("row", "version", "stable", "exchange"), quorum.number),
    **dict.fromkeys(("window", "grace_ms", "other", "schema"), quorum.count),
    "shape": shape_from_json,
    "held": lambda value, name: None if value is None else quorum.READERS["held"](value, name),
    "entries": _entries,
    "prefix": _prefix,
    "values": values_from_json,
    "columns": columns_from_json,
    "question": _question,
    "reply": _reply,
}
"""By the name of a key."""
