"""The forest's machines behind the kit's one face: JSON events in, JSON effects and state out.

A lane of a trace answers questions about encodings if the configuration names it under ``encoding``, and
about digests if it names it under ``digests``: these have no state. Every other lane is the replica with the
lane's number, a founding member in incarnation 1 without a floor, whose forest is empty, and with it both
sides of an exchange: it drives at most one, and answers those of others. What it keeps of exchanges is
volatile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchbird_check.conformance.quorum_machine import MAJORITY, lanes
from scratchbird_check.traces import merkle_forest as json_form
from scratchbird_check.traces import quorum
from scratchbird_check.traces.quorum import Json, setting_from_json
from scratchbird_check.variants.merkle_forest import RIGHT, Variant
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import Rules, Shape, Tree
from scratchbird_reference.merkle_forest_messages import Bounds
from scratchbird_reference.merkle_forest_rows import Encoding
from scratchbird_reference.quorum_messages import Setting

DIGESTS, ENCODING = 31, 41
"""The lanes that answer questions, if the configuration names no others."""
KEYS = ("setting", "shape", "grace_ms", "bounds", "most_exchanges", "digests", "encoding")


@dataclass(frozen=True, slots=True)
class Config:
    """What all replicas of a run have in common, and which lanes are none."""

    setting: Setting
    shape: Shape
    grace_ms: int
    bounds: Bounds
    most_exchanges: int
    digests: int
    encoding: int

    def machine(self, node_id: int) -> str:
        """What this lane is."""
        if node_id == self.encoding:
            return "encoding"
        return "digests" if node_id == self.digests else "replica"


def config_from_json(value: Mapping[str, Any]) -> Config:
    """Read a configuration; what is left out is as the reference has it, for a majority of 3.

    :raises ValueError: naming the key, the setting, the shape or the bound that is wrong.
    """
    if surplus := sorted(set(value) - set(KEYS)):
        raise ValueError(f"unknown setting {surplus[0]!r}: part merkle_forest has {', '.join(KEYS)}")
    most = quorum.count(value.get("most_exchanges", 4), "most_exchanges")
    if not most:
        raise ValueError("most_exchanges 0: it must be at least 1, or no exchange can be answered")
    digests, encoding = lanes([value.get("digests", DIGESTS), value.get("encoding", ENCODING)], "lanes")
    return Config(
        setting_from_json(value.get("setting", MAJORITY)),
        json_form.shape_from_json(value.get("shape", {})),
        quorum.count(value.get("grace_ms", 600_000), "grace_ms"),
        json_form.bounds_from_json(value.get("bounds", {})),
        most,
        digests,
        encoding,
    )


class MerkleForestMachine:
    """One lane.

    :raises ValueError: if the configuration is wrong.
    """

    def __init__(self, config: Mapping[str, Any], node_id: int, variant: Variant = RIGHT) -> None:
        read = config_from_json(config)
        self._kind = read.machine(node_id)
        self._variant = variant
        self._driver = variant.driver(variant.forests, read.bounds)
        self._answerer = variant.answerer(variant.forests, read.most_exchanges, read.bounds)
        empty = handoff_replica.first_state(node_id, read.setting)
        self._replica = forests.State(empty, forests.Durable(read.shape, read.grace_ms))
        self._driving: exchanges.Driving | None = None
        self._answering = exchanges.Answering()

    def step(self, event: Json) -> tuple[Json, ...]:
        """Take one step.

        :raises ValueError: if the event is malformed, or impossible in this state, which is then unchanged.
        """
        read = json_form.event_from_json(event, EVENTS[self._kind])
        if self._kind == "encoding":
            return (encoded(read),)
        if self._kind == "digests":
            return (answered(self._variant.forests.rules, read),)
        if isinstance(read, EXCHANGE_EVENTS):
            return json_form.effects_to_json(self._exchange(read))
        self._replica, effects = self._variant.forests.step(self._replica, read)
        if isinstance(read, quorum_replica.Crash):
            self._driving, self._answering = None, exchanges.Answering()
        return json_form.effects_to_json(effects)

    def _exchange(self, event: Any) -> tuple[Any, ...]:
        if self._replica.replica.rows.volatile is None:
            raise ValueError(f"{type(event).__name__} at a replica that is down: start it")
        if isinstance(event, json_form.Asked):
            self._answering, self._replica, reply = self._answerer.step(
                self._answering, self._replica, event.question
            )
            return (reply,)
        self._driving, self._replica, effect = self._driver.step(self._driving, self._replica, event)
        return () if effect is None else (effect,)

    def state(self) -> Json:
        """The state, in the form of ``spec/trace.schema.json``; none of a lane that answers questions."""
        if self._kind != "replica":
            return {}
        return json_form.replica_to_json(self._replica, self._driving, self._answering)


EXCHANGE_EVENTS = tuple(json_form.EXCHANGE_EVENTS.values())
EVENTS = {
    "encoding": json_form.ENCODING_EVENTS,
    "digests": json_form.DIGEST_EVENTS,
    "replica": json_form.REPLICA_EVENTS,
}


def encoded(event: json_form.EncodeKey | json_form.EncodeRow) -> Json:
    """The answer to a question about encodings (rule MERKLE_FOREST.R6)."""
    code = Encoding()
    if isinstance(event, json_form.EncodeKey):
        made = code.key_bytes(event.values)
    else:
        made = code.row_bytes(event.schema, event.columns)
    return {"effect": "encoded", "bytes": made.hex()}


def answered(rules: Rules, event: Any) -> Json:
    """The answer to a question about entries, digests and windows."""
    match event:
        case json_form.EntryOf():
            return {
                "effect": "entry",
                "entry": json_form.entry_to_json(rules.entry_of(event.row, event.held)),
            }
        case json_form.WindowOf():
            tree = tree_of(rules, event)
            digest = rules.window_digest(event.shape, event.window, tree.digest())
            return {"effect": "digest", "digest": digest.hex()}
        case json_form.TreeOf():
            tree = tree_of(rules, event)
            top = json_form.node_to_json(tree.node(event.prefix))
            return {"effect": "top", "digest": tree.digest(event.prefix).hex(), **top}
    window = rules.window_of(event.shape, event.version)
    is_sealed = rules.is_sealed(event.shape, window, event.stable, event.grace_ms)
    return {"effect": "window", "window": window, "sealed": is_sealed}


def tree_of(rules: Rules, event: json_form.TreeOf | json_form.WindowOf) -> Tree:
    """The tree of a window.

    :raises ValueError: if an entry is of another window, or two are of one place.
    """
    for entry in event.entries:
        if rules.window_of(event.shape, entry.version) != event.window:
            raise ValueError(f"version {entry.version} is not of window {event.window}")
    if len({entry.place for entry in event.entries}) < len(event.entries):
        raise ValueError("two entries have one place: a row has one entry in a forest")
    return Tree(rules, event.shape, event.entries)


# --- a hello ----------------------------------------------------------------------------------------------

OF_REPLICAS = ("setting", "shape", "grace_ms", "bounds", "most_exchanges")


def machine_to_hello(config: Mapping[str, Any], node_id: int) -> Json:
    """What one lane is told to be; a configuration that is wrong goes out as it is, to be refused."""
    machine = "replica"
    try:
        read = config_from_json(config)
    except ValueError:
        known = {"setting": MAJORITY, **{name: config[name] for name in OF_REPLICAS if name in config}}
    else:
        machine = read.machine(node_id)
        known = {
            "setting": quorum.setting_to_json(read.setting),
            "shape": json_form.shape_to_json(read.shape),
            "grace_ms": read.grace_ms,
            "bounds": {"items": read.bounds.items, "size": read.bounds.size},
            "most_exchanges": read.most_exchanges,
        }
    return {"machine": machine, "node_id": node_id, **(known if machine == "replica" else {})}


def machine_from_hello(value: Json, node_id: int) -> Json:
    """A hello as a configuration in which the lane is that.

    :raises ValueError: if it names no machine.
    """
    machine = value.get("machine")
    if machine not in EVENTS:
        raise ValueError(f"hello {value!r}: expected machine {', '.join(EVENTS)}")
    config = {name: value[name] for name in OF_REPLICAS if name in value}
    others = {"digests": 0, "encoding": 0}
    return {**config, **others, **({} if machine == "replica" else {machine: node_id})}
