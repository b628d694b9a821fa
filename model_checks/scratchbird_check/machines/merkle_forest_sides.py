"""One replica of the forest's state machine, of the reference or of production, behind one face.

The machine knows rows, versions and messages; what a message is made of is the side's own affair, and all
sides of a run are of one kind. A production side keeps its rows in a dictionary, as a node keeps them in its
store."""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Protocol

from scratchbird_check.machines.merkle_forest_pair import GRACE_MS, SETTING
from scratchbird_check.variants.merkle_forest import Variant
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import Rules, Shape, Tree
from scratchbird_reference.merkle_forest_messages import Bounds
from scratchbird_reference.quorum_messages import Held, Write

Written = tuple[int, bytes | None]
"""A version and its value; ``None`` deletes."""
RULES = Rules()


@cache
def place_of(row: int) -> bytes:
    """Where a row is, by the right rules."""
    return RULES.place_of(row)


@dataclass(frozen=True, slots=True)
class Ended:
    """What an exchange came to."""

    succeeded: bool
    stable: int = 0
    moved: int = 0
    reason: str = ""


class Side(Protocol):
    """A replica with a forest, and both sides of an exchange."""

    name: int

    def write(self, row: int, written: Written) -> None: ...
    def advance(self, stable: int) -> None: ...
    def close(self, floor: int) -> None: ...
    def converge(self, pasts: Mapping[int, Mapping[int, Written]]) -> None: ...
    def settle(self) -> None: ...
    def purge(self) -> None: ...
    def crash(self) -> None: ...
    def rehash(self) -> None: ...
    def reshape(self, shape: Shape) -> None: ...
    def begin(self, number: int, other: int) -> Any: ...
    def again(self) -> Any: ...
    def stop(self) -> None: ...
    def replied(self, reply: Any) -> Any: ...
    def asked(self, question: Any) -> Any: ...
    def rows(self) -> Mapping[int, Written]: ...
    def entries(self) -> dict[bytes, bytes]: ...
    def told(self) -> dict[int, bytes]: ...
    def dirty(self) -> frozenset[int]: ...
    def amendments(self) -> dict[int, int]: ...
    def fresh_digest(self, window: int, records: list[bytes]) -> bytes: ...
    @property
    def stable(self) -> int: ...
    @property
    def floor(self) -> int: ...
    @property
    def closed(self) -> int: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def driving(self) -> int | None: ...


class ReferenceSide:
    """The reference, or a wrong rule."""

    def __init__(self, name: int, shape: Shape, bounds: Bounds, variant: Variant) -> None:
        self.name = name
        self._forests = variant.forests
        self._driver = variant.driver(variant.forests, bounds)
        self._answerer = variant.answerer(variant.forests, bounds=bounds)
        empty = handoff_replica.first_state(name, SETTING)
        self._state = forests.State(empty, forests.Durable(shape, GRACE_MS))
        self._driving: exchanges.Driving | None = None
        self._answering = exchanges.Answering()

    def _take(self, *events: forests.Event) -> None:
        for event in events:
            self._state, _ = self._forests.step(self._state, event)

    def write(self, row: int, written: Written) -> None:
        self._take(quorum_replica.Deliver(Write(1, 0, row, Held(*written))))

    def advance(self, stable: int) -> None:
        self._take(forests.Advance(stable))

    def close(self, floor: int) -> None:
        self._take(floors.Propose(floor))

    def converge(self, pasts: Mapping[int, Mapping[int, Written]]) -> None:
        floor = self.closed
        self._take(floors.AllClosed(floor))
        for other, rows in pasts.items():
            told = tuple((row, Held(*written)) for row, written in sorted(rows.items()))
            self._take(handoff_replica.Deliver(other, handoff_replica.Past(floor, 1, told)))

    def settle(self) -> None:
        self._take(floors.AllConverged(self.closed))

    def purge(self) -> None:
        self._take(handoff_replica.Purge())

    def crash(self) -> None:
        self._take(quorum_replica.Crash(), quorum_replica.Start())
        self._driving, self._answering = None, exchanges.Answering()

    def rehash(self) -> None:
        self._take(*[forests.Rehash(window) for window in sorted(self.dirty())])

    def reshape(self, shape: Shape) -> None:
        self._take(forests.Reshape(shape))

    def _drive(self, event: Any) -> Any:
        self._driving, self._state, effect = self._driver.step(self._driving, self._state, event)
        match effect:
            case exchanges.Ask():
                return effect.question
            case exchanges.Succeeded():
                return Ended(True, effect.stable, effect.moved)
            case exchanges.Failed():
                return Ended(False, reason=effect.reason)
        return None

    def begin(self, number: int, other: int) -> Any:
        return self._drive(exchanges.Begin(number, other))

    def again(self) -> Any:
        return self._drive(exchanges.Again())

    def stop(self) -> None:
        self._drive(exchanges.Stop())

    def replied(self, reply: Any) -> Any:
        return self._drive(exchanges.Deliver(reply))

    def asked(self, question: Any) -> Any:
        self._answering, self._state, reply = self._answerer.step(self._answering, self._state, question)
        return reply

    def rows(self) -> Mapping[int, Written]:
        return {row: (held.version, held.value) for row, held in self._state.replica.rows.durable.rows}

    def entries(self) -> dict[bytes, bytes]:
        return {entry.place: entry.record for _, entry in self._state.forest.entries}

    def told(self) -> dict[int, bytes]:
        return dict(self._state.forest.told)

    def dirty(self) -> frozenset[int]:
        return self._state.forest.dirty

    def amendments(self) -> dict[int, int]:
        return dict(self._state.forest.amendments)

    def fresh_digest(self, window: int, records: list[bytes]) -> bytes:
        """By the slow tree, from entries in another order."""
        chosen = set(records)
        entries = [entry for _, entry in self._state.forest.entries if entry.record in chosen]
        random.Random(window).shuffle(entries)
        tree = Tree(RULES, self.shape, tuple(entries))
        return RULES.window_digest(self.shape, window, tree.digest())

    @property
    def stable(self) -> int:
        return self._state.forest.stable

    @property
    def floor(self) -> int:
        return self._state.replica.floor.durable.floor

    @property
    def closed(self) -> int:
        return self._state.replica.floor.durable.closed

    @property
    def shape(self) -> Shape:
        return self._state.forest.shape

    @property
    def driving(self) -> int | None:
        return None if self._driving is None else self._driving.exchange


class ProductionSide:
    """The production core, and a node around it that keeps rows in a dictionary."""

    def __init__(self, name: int, shape: Shape, bounds: Bounds) -> None:
        self.name = name
        self._core = importlib.import_module("scratchbird.merkle_forest")
        self._exchange = importlib.import_module("scratchbird.merkle_forest_exchange")
        self._held = importlib.import_module("scratchbird.quorum").Held
        self._bounds = self._exchange.Bounds(bounds.items, bounds.size)
        self._rows: dict[int, Written] = {}
        self._by_place: dict[bytes, int] = {}
        self._closed = self._floor = 0
        self.windows_said: set[int] = set()
        """Dirty, as the calls said; what a node makes durable with the rows."""
        self._attach(self._core.ForestCore(self._shape(shape), grace_ms=GRACE_MS))

    def _attach(self, forest: Any) -> None:
        self._forest = forest
        self._driver = self._exchange.ExchangeDriver(forest, self, self._bounds)
        self._answerer = self._exchange.ExchangeAnswerer(forest, self, self._bounds)

    def _shape(self, shape: Shape) -> Any:
        return self._core.Shape(shape.number, shape.window_ms, shape.most_in_leaf, shape.encoding)

    def _said(self, windows: Iterable[int]) -> None:
        self.windows_said |= set(windows)

    # --- rows ---------------------------------------------------------------------------------------------

    def write(self, row: int, written: Written) -> None:
        if written[0] > self._closed:
            self._take(row, written)

    def _take(self, row: int, written: Written) -> set[int]:
        before = self._rows.get(row)
        known = before if before is not None else (self._floor, None)
        if (written[0], written[1] or b"") <= (known[0], known[1] or b""):
            return set()
        key = row.to_bytes(8, "big")
        self._rows[row] = written
        self._by_place[place_of(row)] = row
        record = self._core.entry_of(key, *written)
        dirty = set(self._forest.follow(record, 0 if before is None else before[0]))
        self._said(dirty)
        return dirty

    def advance(self, stable: int) -> None:
        self._said(self._forest.advance(stable))

    def close(self, floor: int) -> None:
        self._closed = max(self._closed, floor)

    def converge(self, pasts: Mapping[int, Mapping[int, Written]]) -> None:
        for rows in pasts.values():
            for row, written in rows.items():
                self._take(row, written)

    def settle(self) -> None:
        self._floor = self._closed
        self._said(self._forest.settle(self._floor))

    def purge(self) -> None:
        for row, (version, value) in list(self._rows.items()):
            if value is None and version <= self._floor:
                del self._rows[row]

    def crash(self) -> None:
        """Another process, from what was durable: rows, records, digests, and what was said of windows."""
        forest = self._forest
        trees = {window: forest.tree(window).clone() for window in forest.windows}
        self._attach(
            self._core.ForestCore(
                forest.shape,
                grace_ms=GRACE_MS,
                stable=forest.stable,
                floor=forest.floor,
                trees=trees,
                told=self.told(),
                dirty=self.windows_said & (set(forest.windows) | set(self.told())),
                amendments=self.amendments(),
                waiting=forest.waiting_in_order(),
            )
        )

    def rehash(self) -> None:
        self._hashed(self._forest.clean())

    def _hashed(self, digests: Iterable[tuple[int, bytes]]) -> None:
        self.windows_said -= {window for window, _ in digests}

    def reshape(self, shape: Shape) -> None:
        self.windows_said = set(self._forest.reshape(self._shape(shape)))

    # --- what an exchange asks of it ------------------------------------------------------------------------

    def versions(self, places: bytes) -> bytes:
        """In which version each row is held."""
        return b"".join(self._at(place)[0].to_bytes(16, "big") for place in _split(places, 16))

    def held(self, places: bytes) -> list[Any]:
        """How each row is held."""
        found = [(place, self._at(place)) for place in _split(places, 16)]
        return [
            self._exchange.Row(place, self._by_place[place].to_bytes(8, "big"), self._held(*written))
            if written[0]
            else None
            for place, written in found
        ]

    def merge(self, rows: list[Any]) -> Iterable[int]:
        """Take rows as an exchange brings them."""
        dirty: set[int] = set()
        for item in rows:
            self._by_place[item.place] = int.from_bytes(item.key, "big")
            dirty |= self._take(self._by_place[item.place], (item.held.version, item.held.value))
        return dirty

    def _at(self, place: bytes) -> Written:
        return self._rows.get(self._by_place.get(place, -1), (0, None))

    # --- exchanges ------------------------------------------------------------------------------------------

    def _effects(self, effects: Iterable[Any]) -> Any:
        said = None
        for effect in effects:
            match type(effect).__name__:
                case "Ask":
                    said = effect.question
                case "Tell":
                    said = effect.reply
                case "Amended":
                    self._said(effect.windows)
                case "Hashed":
                    self._hashed(effect.digests)
                case "Succeeded":
                    said = Ended(True, effect.stable, effect.moved)
                case "Failed":
                    said = Ended(False, reason=effect.reason)
        return said

    def begin(self, number: int, other: int) -> Any:
        return self._effects(self._driver.step(self._exchange.Begin(number, other)))

    def again(self) -> Any:
        return self._effects(self._driver.step(self._exchange.Again()))

    def stop(self) -> None:
        self._effects(self._driver.step(self._exchange.Stop()))

    def replied(self, reply: Any) -> Any:
        reply = self._exchange.Message.from_bytes(reply.to_bytes())
        return self._effects(self._driver.step(self._exchange.Deliver(reply)))

    def asked(self, question: Any) -> Any:
        return self._effects(self._answerer.step(self._exchange.Message.from_bytes(question.to_bytes())))

    # --- looking at it --------------------------------------------------------------------------------------

    def rows(self) -> Mapping[int, Written]:
        return self._rows

    def entries(self) -> dict[bytes, bytes]:
        return {
            record[:16]: record
            for window in self._forest.windows
            for record in _split(self._forest.tree(window).under(), 48)
        }

    def told(self) -> dict[int, bytes]:
        return {int.from_bytes(item[:8], "big"): item[8:] for item in _split(self._forest.told(), 40)}

    def dirty(self) -> frozenset[int]:
        windows: frozenset[int] = self._forest.dirty
        return windows

    def amendments(self) -> dict[int, int]:
        return dict(self._forest.amendments)

    def fresh_digest(self, window: int, records: list[bytes]) -> bytes:
        """By a fresh tree, from entries in another order."""
        mixed = list(records)
        random.Random(window).shuffle(mixed)
        digest: bytes = self._core.WindowTree(self._forest.shape, window, b"".join(mixed)).window_digest()
        return digest

    @property
    def stable(self) -> int:
        stable: int = self._forest.stable
        return stable

    @property
    def floor(self) -> int:
        return self._floor

    @property
    def closed(self) -> int:
        return self._closed

    @property
    def shape(self) -> Shape:
        shape = self._forest.shape
        return Shape(shape.number, shape.window_ms, shape.most_in_leaf, shape.encoding)

    @property
    def driving(self) -> int | None:
        number: int | None = self._driver.exchange
        return number


def with_short_digests(variant: Variant) -> Variant:
    """The same with digests of four bits in messages: many subtrees have one in common."""
    rules = variant.forests.rules
    kind = type(f"Short{type(rules).__name__}", (type(rules),), {"short": _four_bits, "__slots__": ()})
    return replace(variant, forests=replace(variant.forests, rules=kind()))


def _four_bits(_rules: Rules, digest: bytes) -> bytes:
    return bytes(byte & 0xF0 for byte in digest[:1])


def _split(packed: bytes, size: int) -> list[bytes]:
    return [bytes(packed[start : start + size]) for start in range(0, len(packed), size)]
