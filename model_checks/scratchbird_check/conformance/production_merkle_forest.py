"""The production core's forest and both sides of an exchange behind the face of the kit.

The forest follows rows that its node keeps: here :class:`scratchbird.handoff.FlooredReplicaCore` keeps them,
and this module is the node, which says to the forest what became of each row. Rows are numbers in the kit and
keys of 8 bytes here; production knows them by their places. What it says of durability (``Amended``,
``Hashed``) has no counterpart in the reference, where the state is durable by itself.

Encodings of rows are not the core's, and are declined.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

from scratchbird_check.conformance.merkle_forest_machine import EVENTS, EXCHANGE_EVENTS, config_from_json
from scratchbird_check.conformance.production_quorum import classes, known, made
from scratchbird_check.traces import handoff as handoff_form
from scratchbird_check.traces import merkle_forest as json_form
from scratchbird_check.traces.quorum import Json
from scratchbird_reference import (
    handoff_floor,
    handoff_replica,
    quorum_messages,
    quorum_operations,
    quorum_replica,
)
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import PLACE_BYTES, VERSION_BYTES, Entry, Inner, Leaf, Node, Shape
from scratchbird_reference.quorum_messages import Held

RECORD = 48
_EFFECTS = frozenset(kind.__name__ for kind in handoff_form.EFFECTS.values()) | {"SendFloor"}
_REFERENCE = classes(handoff_floor, handoff_replica, quorum_replica, quorum_operations, quorum_messages)
_SIMPLE = {kind.__name__: kind for kind in (messages.Opened, messages.Refused, messages.Windows)}


class ProductionMerkleForest:
    """One lane.

    :param module: ``scratchbird.merkle_forest``.
    :param exchange: ``scratchbird.merkle_forest_exchange``.
    :param handoff: ``scratchbird.handoff``.
    :param quorum: ``scratchbird.quorum``.
    :raises ValueError: if the configuration is wrong.
    """

    def __init__(
        self,
        module: ModuleType,
        exchange: ModuleType,
        handoff: ModuleType,
        quorum: ModuleType,
        config: Json,
        node_id: int,
    ) -> None:
        self._module, self._exchange = module, exchange
        self._handoff, self._quorum = handoff, quorum
        self._config = config_from_json(config)
        self._kind = self._config.machine(node_id)
        self._rows: dict[bytes, int] = {}
        """By place: every row that was ever named here."""
        self._number = node_id
        self._core = handoff.FlooredReplicaCore(self._made(self._config.setting), node_id)
        self._core.step(quorum.Start())
        self._empty(self._shape(self._config.shape))

    def _empty(self, shape: Any) -> None:
        """A forest without rows, and no exchange."""
        bounds = self._exchange.Bounds(self._config.bounds.items, self._config.bounds.size)
        self.forest = self._module.ForestCore(shape, grace_ms=self._config.grace_ms)
        self._driver = self._exchange.ExchangeDriver(self.forest, self, bounds)
        self._answerer = self._exchange.ExchangeAnswerer(
            self.forest, self, bounds, most_exchanges=self._config.most_exchanges
        )

    def step(self, event: Json) -> tuple[Json, ...]:
        """Take one step.

        :raises ValueError: if the event is malformed, or the core refuses it.
        """
        read = json_form.event_from_json(event, EVENTS[self._kind])
        if self._kind == "digests":
            return (self._answered(read),)
        if isinstance(read, EXCHANGE_EVENTS):
            return json_form.effects_to_json(self._exchanged(read))
        match read:
            case forests.Advance():
                self.forest.advance(read.stable)
            case forests.Rehash():
                self.forest.rehash(read.window)
            case forests.Reshape():
                self.forest.reshape(self._shape(read.shape))
            case _:
                return json_form.effects_to_json(self._stepped(read))
        return ()

    # --- rows ---------------------------------------------------------------------------------------------

    def _stepped(self, event: Any) -> tuple[Any, ...]:
        """The replica takes a step, and the forest follows the rows that it may have changed."""
        rows = _rows_of(event)
        before = {row: self._core.held(row).version for row in rows}
        floor = self._core.floor
        effects = self._core.step(self._made(event))
        if isinstance(event, quorum_replica.Crash):
            self._driver.crash()
            self._answerer.crash()
        if isinstance(event, handoff_replica.LostDisk):
            self._empty(self.forest.shape)
        if self._core.floor > floor:
            self.forest.settle(self._core.floor)
        self._follow(before)
        return tuple(known(effect, _REFERENCE) for effect in effects if type(effect).__name__ in _EFFECTS)

    def _follow(self, before: dict[int, int]) -> set[int]:
        """The forest is told of each row that is held in another version, or with another value, now."""
        dirty: set[int] = set()
        for row, version in sorted(before.items()):
            held = self._core.held(row)
            if held.version:
                record = self._module.entry_of(self._key(row), held.version, held.value)
                dirty.update(self.forest.follow(record, version))
        return dirty

    def _key(self, row: int) -> bytes:
        key = row.to_bytes(8, "big")
        self._rows[self._module.place_of(key)] = row
        return key

    def _place(self, row: int) -> bytes:
        place: bytes = self._module.place_of(self._key(row))
        return place

    # What an exchange asks of who keeps the rows.

    @property
    def closed(self) -> int:
        """The floor that the replica has closed."""
        closed: int = self._core.closed
        return closed

    def versions(self, places: bytes) -> bytes:
        """In which version each row is held."""
        return b"".join(
            self._held(place).version.to_bytes(16, "big") for place in _split(places, PLACE_BYTES)
        )

    def held(self, places: bytes) -> list[Any]:
        """How each row is held."""
        found = [(place, self._held(place)) for place in _split(places, PLACE_BYTES)]
        return [self._row(place, held) if held.version else None for place, held in found]

    def merge(self, rows: list[Any]) -> Iterable[int]:
        """Take rows as an exchange brings them."""
        dirty: set[int] = set()
        for item in rows:
            row = self._rows[item.place]
            before = {row: self._core.held(row).version}
            self._core.step(self._handoff.Merge(((row, item.held),)))
            dirty |= self._follow(before)
        return dirty

    def _held(self, place: bytes) -> Any:
        row = self._rows.get(place)
        return self._quorum.Held(0, None) if row is None else self._core.held(row)

    def _row(self, place: bytes, held: Any) -> Any:
        return self._exchange.Row(place, self._rows[place].to_bytes(8, "big") if held.version else b"", held)

    # --- exchanges ----------------------------------------------------------------------------------------

    def _exchanged(self, event: Any) -> tuple[Any, ...]:
        if not self._core.state()["up"]:
            raise ValueError(f"{type(event).__name__} at a replica that is down: start it")
        match event:
            case json_form.Asked():
                effects = self._answerer.step(self._said(event.question))
            case exchanges.Deliver():
                effects = self._driver.step(self._exchange.Deliver(self._said(event.reply)))
            case exchanges.Begin():
                effects = self._driver.step(self._exchange.Begin(event.exchange, event.other))
            case _:
                effects = self._driver.step(getattr(self._exchange, type(event).__name__)())
        return tuple(self._effect(effect) for effect in effects if not isinstance(effect, self._of_disks))

    @property
    def _of_disks(self) -> tuple[Any, Any]:
        return self._exchange.Amended, self._exchange.Hashed

    def _effect(self, effect: Any) -> Any:
        match type(effect).__name__:
            case "Ask":
                return exchanges.Ask(effect.other, self._heard(effect.question))
            case "Tell":
                return self._heard(effect.reply)
            case "Succeeded":
                return exchanges.Succeeded(
                    effect.exchange, effect.other, effect.stable, effect.floor, effect.moved
                )
        return exchanges.Failed(effect.exchange, effect.other, effect.reason)

    def _said(self, message: messages.Question | messages.Reply) -> Any:
        """A message of the reference as production's, through its bytes."""
        kind, number = getattr(self._exchange, type(message).__name__), message.exchange
        match message:
            case messages.Open():
                said = kind(number, self._shape(message.shape), message.stable, message.floor)
            case messages.Nodes():
                nodes = [(place, self._node(node)) for place, node in message.nodes]
                said = kind(number, nodes, [(self._place(row), version) for row, version in message.held])
            case messages.AskRows() | messages.Took():
                said = kind(number, [self._place(row) for row in message.rows])
            case messages.Rows():
                said = kind(number, [self._row_of(row, held) for row, held in message.rows])
            case messages.Give():
                said = kind(number, [self._given(entry, held) for entry, held in message.given])
            case _:
                said = kind(*[getattr(message, name) for name in message.__match_args__])
        return self._exchange.Message.from_bytes(said.to_bytes())

    def _row_of(self, row: int, held: Held) -> Any:
        return self._row(self._place(row), self._quorum.Held(held.version, held.value))

    def _given(self, entry: Entry, held: Held | None) -> tuple[bytes, Any]:
        self._named(entry)
        return entry.record, None if held is None else self._row_of(entry.row, held)

    def _node(self, node: Node) -> Any:
        if isinstance(node, Inner):
            return self._module.Inner(node.children)
        for entry in node.entries:
            self._named(entry)
        return self._module.Leaf(b"".join(entry.record for entry in node.entries))

    def _named(self, entry: Entry) -> None:
        self._rows[entry.place] = entry.row

    def _heard(self, message: Any) -> Any:
        """A message of production as the reference's, through its bytes."""
        message = self._exchange.Message.from_bytes(message.to_bytes())
        name, number = type(message).__name__, message.exchange
        kind = getattr(messages, name)
        match name:
            case "Open":
                return kind(number, self._shape_of(message.shape), message.stable, message.floor)
            case "Nodes":
                nodes = tuple((place, self._node_of(node)) for place, node in message.nodes)
                held = [(self._rows[place], version) for place, version in message.held]
                return kind(number, nodes, tuple(sorted(held)))
            case "AskRows" | "Took":
                return kind(number, tuple(self._rows[place] for place in message.rows))
            case "Rows":
                return kind(number, tuple((self._rows[row.place], _held(row.held)) for row in message.rows))
            case "Give":
                given = [
                    (self._entry(record), None if row is None else _held(row.held))
                    for record, row in message.given
                ]
                return kind(number, tuple(given))
        return kind(*[getattr(message, part) for part in kind.__match_args__])

    def _entry(self, record: bytes) -> Entry:
        place, rest = record[:PLACE_BYTES], record[PLACE_BYTES:]
        version = int.from_bytes(rest[:VERSION_BYTES], "big")
        return Entry(place, self._rows[place], version, rest[VERSION_BYTES:])

    def _entries(self, packed: bytes) -> tuple[Entry, ...]:
        return tuple(self._entry(record) for record in _split(packed, RECORD))

    def _node_of(self, node: Any) -> Node:
        if isinstance(node, self._module.Inner):
            return Inner(node.children)
        return Leaf(self._entries(node.records))

    # --- questions ----------------------------------------------------------------------------------------

    def _answered(self, event: Any) -> Json:
        if isinstance(event, json_form.EntryOf):
            record = self._module.entry_of(self._key(event.row), event.held.version, event.held.value)
            return {"effect": "entry", "entry": json_form.entry_to_json(self._entry(record))}
        shape = self._shape(event.shape)
        if isinstance(event, json_form.Windowed):
            window = shape.window_of(event.version)
            core = self._module.ForestCore(shape, grace_ms=event.grace_ms, stable=event.stable)
            return {"effect": "window", "window": window, "sealed": core.is_sealed(window)}
        for entry in event.entries:
            self._named(entry)
        records = b"".join(entry.record for entry in event.entries)
        tree = self._module.WindowTree(shape, event.window, records)
        if isinstance(event, json_form.WindowOf):
            return {"effect": "digest", "digest": tree.window_digest().hex()}
        top = json_form.node_to_json(self._node_of(tree.node(event.prefix)))
        return {"effect": "top", "digest": tree.digest(event.prefix).hex(), **top}

    # --- state --------------------------------------------------------------------------------------------

    def state(self) -> Json:
        """The state, in the form of ``spec/trace.schema.json``; none of a lane that answers questions."""
        if self._kind != "replica":
            return {}
        forest = self.forest
        entries = [entry for window in forest.windows for entry in self._entries(forest.tree(window).under())]
        durable = forests.Durable(
            self._shape_of(forest.shape),
            forest.grace_ms,
            forest.stable,
            tuple(sorted((entry.row, entry) for entry in entries)),
            tuple((int.from_bytes(told[:8], "big"), told[8:]) for told in _split(forest.told(), 40)),
            frozenset(forest.dirty),
            tuple(forest.amendments),
        )
        value: Json = {**self._core.state(), "forest": json_form.forest_to_json(durable)}
        if value["up"]:
            number = self._driver.exchange
            value["driving"] = None if number is None else f"{number:x}"
            value["answering"] = [f"{one:x}" for one in self._answerer.open_exchanges]
        return value

    # --- classes ------------------------------------------------------------------------------------------

    def _shape(self, shape: Shape) -> Any:
        return self._module.Shape(*[getattr(shape, name) for name in Shape.__match_args__])

    def _shape_of(self, shape: Any) -> Shape:
        return Shape(*[getattr(shape, name) for name in Shape.__match_args__])

    def _made(self, value: Any) -> Any:
        def kind_of(kind: type) -> Any:
            mine = kind.__module__.rpartition(".")[2].startswith("handoff")
            ours = self._handoff if mine and hasattr(self._handoff, kind.__name__) else self._quorum
            return getattr(ours, kind.__name__)

        return made(value, kind_of)


def _rows_of(event: Any) -> set[int]:
    """The rows that an event of a replica may change, but by purging them."""
    message = getattr(event, "message", event)
    if isinstance(message, quorum_messages.Write):
        return {message.row}
    rows = getattr(message, "rows", ())
    if isinstance(rows, quorum_messages.Exchanged):
        rows = rows.rows
    return {row for row, _ in rows} if isinstance(rows, tuple) else set()


def _held(held: Any) -> Held:
    return Held(held.version, held.value)


def _split(packed: bytes, size: int) -> list[bytes]:
    return [bytes(packed[start : start + size]) for start in range(0, len(packed), size)]
