"""The production's exchange, beside the reference's: the same questions and answers, step by step."""

from __future__ import annotations

import random
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from scratchbird import handoff, quorum
from scratchbird import merkle_forest_exchange as production
from scratchbird.errors import CallerError, ConfigurationError
from scratchbird.merkle_forest import ForestCore, Inner, Leaf, Shape, entry_of, place_of
from scratchbird.merkle_forest_exchange import Bounds, ExchangeAnswerer, ExchangeDriver, Message, Row
from scratchbird_check.machines.merkle_forest_pair import GRACE_MS, SETTING, SHAPE, ForestRun, at
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica, quorum_messages, quorum_replica
from scratchbird_reference import merkle_forest as reference
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.quorum_messages import Held, Write

OURS = Shape(SHAPE.number, SHAPE.window_ms, SHAPE.most_in_leaf, SHAPE.encoding)


def number(row: int) -> bytes:
    return row.to_bytes(8, "big")


def some_places(seed: int, count: int) -> tuple[bytes, ...]:
    """Places of rows 0, 1, 2 and so on, ascending: production goes by places, the reference by rows.

    Many have long beginnings in common with others, as hashes never have.
    """
    dice = random.Random(seed)
    found: set[bytes] = set()
    while len(found) < count:
        place = dice.randbytes(16)
        if found and dice.random() < 0.6:
            digits, like = dice.randrange(33), dice.choice(sorted(found)).hex()
            place = bytes.fromhex(like[:digits] + place.hex()[digits:])
        found.add(place)
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class WithPlaces(reference.Rules):
    """Rows are where the test says."""

    places: tuple[bytes, ...] = ()

    def place_of(self, row: int) -> bytes:
        return self.places[row]


class Store:
    """A production replica as the node has it: its rows, its floor and its forest."""

    def __init__(self, replica: int, places: tuple[bytes, ...], *, with_keys: bool) -> None:
        lives = [(other, 1) for other in SETTING.replicas]
        self.core = handoff.FlooredReplicaCore(
            quorum.Setting(SETTING.replicas, 2, 2), replica, incarnations=lives
        )
        self.core.step(quorum.Start())
        self.forest = ForestCore(OURS, grace_ms=GRACE_MS)
        self.places = places
        self.with_keys = with_keys

    def row_at(self, place: bytes) -> int:
        row = bisect_left(self.places, place)
        assert self.places[row] == place
        return row

    def record(self, row: int, held: quorum.Held) -> bytes:
        return self.places[row] + entry_of(number(row), held.version, held.value)[16:]

    def __call__(self, event: handoff.ReplicaEvent, rows: Iterable[int] = ()) -> set[int]:
        """The replica takes a step, of which these rows are all that it may change; the forest follows."""
        before = {row: self.core.held(row) for row in rows}
        floor = self.core.floor
        self.core.step(event)
        dirty: set[int] = set()
        if self.core.floor > floor:
            dirty.update(self.forest.settle(self.core.floor))
        for row, held in before.items():
            now = self.core.held(row)
            if now != held and now.version:
                dirty.update(self.forest.follow(self.record(row, now), held.version))
        return dirty

    # What an exchange asks of it.

    @property
    def closed(self) -> int:
        return self.core.closed

    def versions(self, places: bytes) -> bytes:
        return b"".join(
            self.core.held(self.row_at(places[start : start + 16])).version.to_bytes(16, "big")
            for start in range(0, len(places), 16)
        )

    def held(self, places: bytes) -> list[Row | None]:
        found: list[Row | None] = []
        for start in range(0, len(places), 16):
            place = places[start : start + 16]
            held = self.core.held(self.row_at(place))
            key = number(self.row_at(place)) if self.with_keys else b""
            found.append(Row(place, key, held) if held.version else None)
        return found

    def merge(self, rows: list[Row]) -> set[int]:
        assert rows
        dirty: set[int] = set()
        for row in rows:
            assert row.held.version, "nobody holds it"
            at_row = self.row_at(row.place)
            dirty |= self(handoff.Merge(((at_row, row.held),)), (at_row,))
        return dirty


class Twin:
    """One replica in both libraries."""

    def __init__(self, replica: int, places: tuple[bytes, ...], *, with_keys: bool = False) -> None:
        self.replica = replica
        self.run = ForestRun(replica, WithPlaces(places))
        self.store = Store(replica, places, with_keys=with_keys)

    def write(self, row: int, version: int, value: bytes | None = b"v") -> None:
        self.run(quorum_replica.Deliver(Write(1, 0, row, Held(version, value))))
        self.store(quorum.Deliver(quorum.Write(1, 0, row, quorum.Held(version, value))), (row,))

    def advance(self, stable: int) -> None:
        self.run(forests.Advance(stable))
        self.store.forest.advance(stable)

    def close(self, floor: int) -> None:
        self.run(floors.Propose(floor))
        self.store(handoff.Propose(floor))

    def settle(self, floor: int) -> None:
        """All others are empty."""
        others = [other for other in SETTING.replicas if other != self.replica]
        self.run.settle(floor)
        self.store(handoff.Propose(floor))
        self.store(handoff.AllClosed(floor))
        for other in others:
            self.store(quorum.Deliver(handoff.Past(floor, 1, ()), other))
        self.store(handoff.AllConverged(floor))

    def purge(self) -> None:
        self.run(handoff_replica.Purge())
        self.store(handoff.Purge())

    def check(self) -> None:
        """Rows, entries and digests are the same in both libraries."""
        state, store = self.run.state, self.store
        assert (store.core.closed, store.core.floor) == (
            state.replica.floor.durable.closed,
            state.replica.floor.durable.floor,
        )
        assert store.forest.floor == store.core.floor
        for row, held in state.replica.rows.durable.rows:
            ours = store.core.held(row)
            assert (ours.version, ours.value) == (held.version, held.value)
        assert len(store.core) == len(state.replica.rows.durable.rows)
        assert sorted(store_records(store.forest)) == sorted(
            entry.record for _, entry in state.forest.entries
        )
        assert store.forest.stable == state.forest.stable
        assert set(store.forest.dirty) == state.forest.dirty
        assert windows_in(store.forest.told()) == state.forest.told


def store_records(forest: ForestCore) -> list[bytes]:
    found: list[bytes] = []
    for window in forest.windows:
        tree = forest.tree(window)
        packed = b"" if tree is None else tree.under()
        found.extend(packed[start : start + 48] for start in range(0, len(packed), 48))
    return found


def windows_in(packed: bytes) -> tuple[tuple[int, bytes], ...]:
    return tuple(
        (int.from_bytes(packed[start : start + 8], "big"), packed[start + 8 : start + 40])
        for start in range(0, len(packed), 40)
    )


# --- one library's messages in the other's words ------------------------------------------------------------


def translated(message: Any, places: tuple[bytes, ...], *, with_keys: bool) -> Message:
    def row_of(row: int, held: quorum_messages.Held) -> Row:
        key = number(row) if with_keys and held.version else b""
        return Row(places[row], key, quorum.Held(held.version, held.value))

    match message:
        case messages.Open(exchange, shape, stable, floor):
            ours = Shape(shape.number, shape.window_ms, shape.most_in_leaf, shape.encoding)
            return production.Open(exchange, ours, stable, floor)
        case messages.Nodes(exchange, nodes, held):
            return production.Nodes(
                exchange,
                [(place, translated_node(node)) for place, node in nodes],
                [(places[row], version) for row, version in held],
            )
        case messages.AskRows(exchange, rows):
            return production.AskRows(exchange, [places[row] for row in rows])
        case messages.Took(exchange, rows):
            return production.Took(exchange, [places[row] for row in rows])
        case messages.Rows(exchange, rows):
            return production.Rows(exchange, [row_of(row, held) for row, held in rows])
        case messages.Give(exchange, given):
            return production.Give(
                exchange,
                [(entry.record, None if held is None else row_of(entry.row, held)) for entry, held in given],
            )
        case _:
            parts = [getattr(message, name) for name in message.__match_args__]
            made: Message = getattr(production, type(message).__name__)(*parts)
            return made


def translated_node(node: reference.Node) -> Leaf | Inner:
    if isinstance(node, reference.Inner):
        return Inner(node.children)
    return Leaf(b"".join(entry.record for entry in node.entries))


# --- two replicas, twice ------------------------------------------------------------------------------------


@dataclass
class Exchange:
    """Two replicas in both libraries; the first one drives. Each step is taken by both, and is the same."""

    one: Twin
    two: Twin
    items: int = 64
    size: int = 1 << 20
    number: int = 0
    asked: list[str] = field(default_factory=list)
    driving: exchanges.Driving | None = None
    answering: exchanges.Answering = field(default_factory=exchanges.Answering)

    def __post_init__(self) -> None:
        bounds = Bounds(self.items, self.size)
        self.bounds = messages.Bounds(self.items, self.size)
        self.driver = ExchangeDriver(self.one.store.forest, self.one.store, bounds)
        self.answerer = ExchangeAnswerer(self.two.store.forest, self.two.store, bounds)

    def says(self, ours: Message, theirs: Any) -> Message:
        """Both say the same; what goes on is what was read from bytes."""
        store = self.one.store
        assert ours == translated(theirs, store.places, with_keys=store.with_keys)
        read = Message.from_bytes(ours.to_bytes())
        assert read == ours
        return read

    def drive(self, event: Any, ours: Any = None) -> tuple[Any, Any] | None:
        """The question, in both libraries; the end; or nothing."""
        driver = exchanges.Driver(self.one.run.forests, self.bounds)
        self.driving, self.one.run.state, effect = driver.step(self.driving, self.one.run.state, event)
        effects: tuple[Any, ...] = self.driver.step(ours)
        assert all(
            isinstance(each, production.Amended | production.Hashed)
            for each in effects[: -1 if effect is not None else None]
        )
        self.one.check()
        assert self.driver.exchange == (None if self.driving is None else self.driving.exchange)
        assert self.driver.left == (0 if self.driving is None else self.driving.left)
        if effect is None:
            return None
        if isinstance(effect, exchanges.Ask):
            assert effects[-1].other == effect.other
            self.asked.append(type(effect.question).__name__)
            return effect.question, self.says(effects[-1].question, effect.question)
        assert type(effects[-1]).__name__ == type(effect).__name__
        names = [name for name in effect.__slots__ if name != "__weakref__"]
        assert [getattr(effects[-1], name) for name in names] == [getattr(effect, name) for name in names]
        return effect, effects[-1]

    def begin(self) -> tuple[Any, Any] | None:
        self.number += 1
        return self.drive(exchanges.Begin(self.number, 2), production.Begin(self.number, 2))

    def again(self) -> tuple[Any, Any] | None:
        return self.drive(exchanges.Again(), production.Again())

    def stop(self) -> tuple[Any, Any] | None:
        return self.drive(exchanges.Stop(), production.Stop())

    def deliver(self, said: tuple[Any, Any]) -> tuple[Any, Any] | None:
        return self.drive(exchanges.Deliver(said[0]), production.Deliver(said[1]))

    def answer(self, said: tuple[Any, Any]) -> tuple[Any, Any]:
        answerer = exchanges.Answerer(self.two.run.forests, bounds=self.bounds)
        self.answering, self.two.run.state, reply = answerer.step(self.answering, self.two.run.state, said[0])
        effects: tuple[Any, ...] = self.answerer.step(said[1])
        self.two.check()
        assert self.answerer.open_exchanges == tuple(number for number, _ in self.answering.snapshots)
        return reply, self.says(effects[-1].reply, reply)

    def finish(self, said: tuple[Any, Any] | None) -> Any:
        """To the end, which is returned as production says it."""
        while said is not None and is_question(said):
            said = self.deliver(self.answer(said))
        assert said is not None
        return said[1]

    def exchange(self) -> Any:
        return self.finish(self.begin())

    def crash_one(self) -> None:
        self.driving = None
        self.driver.crash()

    def crash_two(self) -> None:
        self.answering = exchanges.Answering()
        self.answerer.crash()

    @property
    def same(self) -> bool:
        one, two = self.one.store, self.two.store
        rows = [one.core.held(row) == two.core.held(row) for row in range(len(one.places))]
        return all(rows) and sorted(store_records(one.forest)) == sorted(store_records(two.forest))


def is_question(said: tuple[Any, Any]) -> bool:
    return not isinstance(said[0], exchanges.Succeeded | exchanges.Failed)


PLACES = some_places(1, 300)


def pair(
    stable_ms: int = 100,
    *,
    items: int = 64,
    size: int = 1 << 20,
    places: tuple[bytes, ...] = PLACES,
    with_keys: bool = False,
) -> Exchange:
    both = Exchange(
        Twin(1, places, with_keys=with_keys), Twin(2, places, with_keys=with_keys), items=items, size=size
    )
    both.one.advance(at(stable_ms))
    return both


# --- by hand ------------------------------------------------------------------------------------------------


def test_rows_go_both_ways_whatever_windows_they_are_in() -> None:
    both = pair(with_keys=True)
    both.one.write(1, at(3))
    both.two.write(2, at(55))
    both.one.write(3, at(4))
    both.two.write(3, at(30))
    result = both.exchange()
    assert result == production.Succeeded(1, 2, at(100), 0, 3)
    assert both.same
    assert both.exchange() == production.Succeeded(2, 2, at(100), 0, 0)


def test_equal_forests_cost_a_question_for_windows_and_no_more() -> None:
    both = pair()
    for row in range(5):
        for twin in (both.one, both.two):
            twin.write(row, at(row))
    both.exchange()
    assert both.asked == ["Open", "AskWindows"]


@pytest.mark.parametrize(("items", "size"), [(1000, 1), (1, 1000), (5, 200), (64, 1 << 20)])
def test_an_exchange_comes_to_the_same_whatever_its_messages_hold(items: int, size: int) -> None:
    both = pair(5_000, items=items, size=size)
    for row in range(60):
        both.one.write(row, at(1 + row % 3, row + 1))
    for row in range(30, 90):
        both.two.write(row, at(10 + row, row + 1), b"v" * row)
    assert isinstance(both.exchange(), production.Succeeded)
    assert both.same


def test_a_write_under_way_is_no_difference_and_one_that_was_missed_is() -> None:
    both = pair(50)
    both.two.advance(at(50))
    for twin in (both.one, both.two):
        twin.write(1, at(5))
    both.one.write(1, at(60))
    assert both.exchange() == production.Succeeded(1, 2, at(50), 0, 0)
    both.one.advance(at(70))
    assert both.exchange() == production.Succeeded(2, 2, at(70), 0, 1)
    assert both.same


@pytest.mark.parametrize("swapped", [False, True])
def test_who_holds_something_newer_already_takes_over_the_entry(swapped: bool) -> None:
    both = pair(50)
    ahead, behind = (both.two, both.one) if swapped else (both.one, both.two)
    both.two.advance(at(50))
    ahead.write(1, at(5))
    ahead.write(1, at(60))
    behind.write(1, at(60))
    assert len(ahead.store.forest) == 1
    assert len(behind.store.forest) == 0
    result = both.exchange()
    assert result == production.Succeeded(1, 2, at(50), 0, 0 if swapped else 1)
    assert len(behind.store.forest) == 1
    assert both.exchange() == production.Succeeded(2, 2, at(50), 0, 0)


def test_two_values_of_one_version_are_found_and_one_wins() -> None:
    both = pair()
    both.one.write(1, at(5), b"a")
    both.two.write(1, at(5), b"b")
    assert isinstance(both.exchange(), production.Succeeded)
    assert both.same
    assert both.one.store.core.held(1).value == b"b"


def reshape(twin: Twin) -> None:
    twin.run(forests.Reshape(replace(SHAPE, number=1)))
    twin.store.forest.reshape(Shape(1, SHAPE.window_ms, SHAPE.most_in_leaf, SHAPE.encoding))


def test_forests_of_different_settings_are_not_compared() -> None:
    both = pair()
    reshape(both.two)
    assert both.exchange() == production.Failed(1, 2, "setting 0 is not 1: build the older forest anew")


def test_forests_of_different_floors_are_not_compared() -> None:
    both = pair()
    both.one.settle(at(20))
    assert both.exchange() == production.Failed(1, 2, f"floor {at(20)} is not 0: settle first")
    both = pair()
    both.two.settle(at(20))
    reason = f"the other side has settled at {at(20)}, this one at 0: settle first"
    assert both.exchange() == production.Failed(1, 2, reason)


def begun(both: Exchange) -> tuple[Any, Any]:
    """Windows are told, and what differs is to be asked for."""
    said = both.begin()
    for _ in range(2):
        assert said is not None
        said = both.deliver(both.answer(said))
    assert said is not None
    assert is_question(said)
    return said


def test_a_row_that_is_overwritten_meanwhile_is_not_missed() -> None:
    both = pair()
    both.one.write(1, at(5))
    said = begun(both)
    both.one.write(1, at(40))
    assert isinstance(both.finish(said), production.Succeeded)
    assert both.two.store.core.held(1).version == at(40)


@pytest.mark.parametrize("side", ["one", "two"])
def test_a_row_that_is_purged_meanwhile_is_not_sent(side: str) -> None:
    """What its keeper says of it then is no row to be merged."""
    both = pair()
    twin = getattr(both, side)
    both.one.write(2, at(26))
    both.two.write(3, at(26))
    twin.write(1, at(5), None)
    twin.close(at(20))
    said: tuple[Any, Any] | None = begun(both)
    while said is not None and is_question(said):
        if isinstance(said[0], messages.AskRows | messages.Give):
            twin.settle(at(20))
            twin.purge()
        said = both.deliver(both.answer(said))
    assert said is not None
    assert isinstance(said[1], production.Succeeded)
    assert [len(each.store.core) for each in (both.one, both.two)] == [2, 2]


@pytest.mark.parametrize("side", ["one", "two"])
def test_an_exchange_during_which_the_setting_changes_is_begun_again(side: str) -> None:
    both = pair()
    both.one.write(1, at(5))
    both.two.write(2, at(6))
    said = begun(both)
    reshape(getattr(both, side))
    assert both.finish(said) == production.Failed(1, 2, production.RESHAPED_SINCE)


@pytest.mark.parametrize("side", ["one", "two"])
def test_an_exchange_during_which_a_floor_is_closed_is_begun_again(side: str) -> None:
    both = pair()
    both.one.write(1, at(5))
    both.two.write(2, at(6))
    said = begun(both)
    getattr(both, side).close(at(20))
    result = both.finish(said)
    assert result == production.Failed(1, 2, "a floor was closed since it began: begin again")
    assert isinstance(both.exchange(), production.Succeeded)
    assert both.same


def test_an_exchange_that_was_stopped_or_forgotten_did_not_succeed() -> None:
    both = pair()
    both.one.write(1, at(5))
    both.begin()
    assert both.stop() is not None
    said = both.begin()
    assert said is not None
    reply = both.answer(said)
    said = both.deliver(reply)
    both.crash_two()
    result = both.finish(said)
    reason = "exchange 2 is not open here: it was too long ago, or before a restart"
    assert result == production.Failed(2, 2, reason)
    assert both.deliver(reply) is None


def test_only_so_many_snapshots_are_kept() -> None:
    both = pair()
    for exchange in range(6):
        both.answer((messages.Open(exchange, SHAPE, at(1), 0), production.Open(exchange, OURS, at(1), 0)))
    assert both.answerer.open_exchanges == (2, 3, 4, 5)


def test_an_answer_holds_what_it_may_whatever_is_asked() -> None:
    both = pair(items=2)
    for row in range(9):
        for twin in (both.one, both.two):
            twin.write(row, at(row))
    opening = (messages.Open(1, SHAPE, at(100), 0), production.Open(1, OURS, at(100), 0))
    both.answer(opening)
    entries = tuple(both.one.run.entry(row, at(row + 10)) for row in range(5))
    asked: list[Any] = [
        messages.AskNodes(1, tuple((0, (digit,)) for digit in range(5))),
        messages.AskRows(1, tuple(range(5))),
        messages.Give(1, tuple((entry, Held(entry.version, b"v")) for entry in entries)),
    ]
    for question in asked:
        reply, ours = both.answer(retold(both, question))
        told = reply.nodes if isinstance(reply, messages.Nodes) else reply.rows
        assert len(told) == 2
        assert ours.exchange == 1


def test_events_that_can_not_be_are_refused() -> None:
    both = pair()
    driver, answerer = both.driver, both.answerer
    with pytest.raises(CallerError, match="Again where no exchange is under way"):
        driver.step(production.Again())
    driver.step(production.Begin(1, 2))
    with pytest.raises(CallerError, match="exchange 1 is under way: end it before another begins"):
        driver.step(production.Begin(2, 2))
    assert driver.step(production.Deliver(production.Refused(7, "of another"))) == ()
    with pytest.raises(CallerError, match="is no event of an exchange"):
        driver.step(production.AskWindows(1, 2))  # type: ignore[arg-type]  # What a caller may pass.
    with pytest.raises(CallerError, match="is no question of an exchange"):
        answerer.step(production.Refused(7, ""))  # type: ignore[arg-type]  # What a caller may pass.
    with pytest.raises(CallerError, match="is no answer of an exchange"):
        production.Deliver(production.AskWindows(1, 2))
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(ConfigurationError, match=f"size {wrong}"):
            Bounds(size=wrong)  # type: ignore[arg-type]  # What a configuration file may hold.
        with pytest.raises(ConfigurationError, match=f"most_exchanges {wrong}"):
            ExchangeAnswerer(both.one.store.forest, both.one.store, most_exchanges=wrong)  # type: ignore[arg-type]


# --- what short digests hide, and what is damaged -----------------------------------------------------------


def hiding(exchange: Exchange, reply: tuple[Any, Any], dice: random.Random) -> tuple[Any, Any]:
    """A child's digest is told as the other side's own: as if two had one short digest."""
    nodes, driving = [], exchange.driving
    assert driving is not None
    run = exchange.one.run
    for (window, prefix), node in reply[0].nodes:
        told = node
        if isinstance(node, reference.Inner):
            tree = exchanges.tree_of(run.forests, run.state.forest.shape, driving.snapshot, window)
            digit = dice.choice([digit for digit in range(16) if node.children[digit]])
            mine = tree.digest((*prefix, digit))[: len(node.children[digit])]
            told = reference.Inner((*node.children[:digit], mine, *node.children[digit + 1 :]))
        nodes.append(((window, prefix), told))
    return retold(exchange, replace(reply[0], nodes=tuple(nodes)))


def damaged(exchange: Exchange, reply: tuple[Any, Any], dice: random.Random) -> tuple[Any, Any]:
    """A window's digest is told that is not its own."""
    windows = [(window, dice.randbytes(32)) for window, _ in reply[0].windows]
    return retold(exchange, replace(reply[0], windows=tuple(windows)))


def retold(exchange: Exchange, reply: Any) -> tuple[Any, Any]:
    store = exchange.one.store
    return reply, translated(reply, store.places, with_keys=store.with_keys)


def test_what_short_digests_hide_is_found_with_whole_ones() -> None:
    both = pair()
    for row in range(200):
        version = at(15 if row % 2 else 85)
        both.one.write(row, version)
        both.two.write(row, version, b"w" if row % 25 == 0 else b"v")
    said: tuple[Any, Any] | None = begun(both)
    in_full = []
    dice = random.Random(1)
    while said is not None and is_question(said):
        reply = both.answer(said)
        if isinstance(said[0], messages.AskNodes):
            in_full.append(said[0].in_full)
            if not said[0].in_full:
                reply = hiding(both, reply, dice)
        said = both.deliver(reply)
    assert said is not None
    assert isinstance(said[1], production.Succeeded)
    assert True in in_full
    assert both.same


def test_what_is_looked_at_a_second_time_is_as_it_was_seen_first() -> None:
    """A row is to be given that the other side gets in a newer version before it shows the node in full."""
    both = pair()
    for row in range(60):
        both.one.write(row, at(15))
        if row % 10:
            both.two.write(row, at(15), b"w" if row % 10 == 5 else b"v")
        else:
            both.two.write(row, at(12))
    said: tuple[Any, Any] | None = begun(both)
    given: list[Any] = []
    dice = random.Random(1)
    while said is not None and is_question(said):
        if isinstance(said[0], messages.Give):
            given.extend(said[0].given)
        if isinstance(said[0], messages.AskNodes) and said[0].in_full:
            for row in range(0, 60, 10):
                both.two.write(row, at(70))
        reply = both.answer(said)
        if isinstance(said[0], messages.AskNodes) and not said[0].in_full:
            reply = hiding(both, reply, dice)
        said = both.deliver(reply)
    held = [held is not None for entry, held in given if entry.row % 10 == 0]
    assert True in held
    assert isinstance(said, tuple)
    assert isinstance(said[1], production.Succeeded)


@pytest.mark.parametrize("items", [1, 64])
@pytest.mark.parametrize("where", [1, 8])
def test_of_two_entries_of_a_row_the_newer_one_counts(where: int, items: int) -> None:
    """Nobody shows two; but what is given must not depend on which of them was told first."""
    both = pair(items=items)
    both.one.write(8, at(85))
    both.one.write(1, at(25))
    both.one.write(1, at(150))  # So that neither of the two is asked for.
    both.one.write(7, at(15))
    both.two.write(1, at(45))
    both.two.write(9, at(15))
    older = both.one.run.entry(1, at(15))
    said: tuple[Any, Any] | None = begun(both)
    given: list[int] = []
    while said is not None and is_question(said):
        reply = both.answer(said)
        if isinstance(said[0], messages.Give):
            given.extend(entry.row for entry, _ in said[0].given)
        if isinstance(reply[0], messages.Nodes):
            nodes = [
                (place, reference.Leaf(tuple(sorted((*node.entries, older)))))
                if place[0] == where and isinstance(node, reference.Leaf)
                else (place, node)
                for place, node in reply[0].nodes
            ]
            reply = retold(both, replace(reply[0], nodes=tuple(nodes)))
        said = both.deliver(reply)
    assert given == [7, 8]
    assert isinstance(said, tuple)
    assert isinstance(said[1], production.Failed)


def test_a_window_whose_digest_is_not_its_own_is_damaged_and_said_so() -> None:
    both = pair()
    for row in range(3):
        both.one.write(row, at(15))
        both.two.write(row, at((15, 85, 95)[row]))
    said = both.begin()
    assert said is not None
    said = both.deliver(both.answer(said))
    assert said is not None
    result = both.finish(both.deliver(damaged(both, both.answer(said), random.Random(1))))
    reason = (
        "window 1 of replica 2 has not the digest that is told of it, and 2 more: build it anew from its rows"
    )
    assert result == production.Failed(1, 2, reason)


# --- everything at once -------------------------------------------------------------------------------------


class World:
    """Two replicas that are written to, and exchange both ways with messages lost, repeated and overtaken."""

    def __init__(self, seed: int) -> None:
        self.dice = dice = random.Random(seed)
        self.rows = dice.choice((8, 40, 120))
        places = some_places(seed, self.rows)
        small = dice.random() < 0.5
        items, size = (dice.choice((1, 3, 10)), dice.choice((1, 100, 700))) if small else (64, 1 << 20)
        self.twins = [Twin(name, places, with_keys=not small) for name in (1, 2)]
        self.exchanges = [Exchange(one, two, items, size) for one, two in (self.twins, reversed(self.twins))]
        self.questions: list[tuple[Exchange, tuple[Any, Any]]] = []
        self.replies: list[tuple[Exchange, tuple[Any, Any]]] = []
        self.now = 1
        self.written = 0
        self.floors = 0
        self.ended: list[str] = []
        self.with_floors = dice.random() < 0.5

    def went(self, exchange: Exchange, said: tuple[Any, Any] | None) -> None:
        if said is None:
            return
        if is_question(said):
            self.questions.append((exchange, said))
        else:
            reason = getattr(said[1], "reason", "")
            self.ended.append(type(said[1]).__name__ + (": " + reason.split()[0] if reason else ""))

    def write(self) -> None:
        dice = self.dice
        self.now += dice.randrange(3)
        self.written += 1
        version = at(max(1, self.now - dice.choice((0, 0, 0, dice.randrange(40)))), self.written)
        row = dice.randrange(self.rows)
        value = None if dice.random() < 0.2 else b"%d" % self.written
        for twin in self.twins if dice.random() < 0.4 else [dice.choice(self.twins)]:
            wrong = dice.random() < 0.03 and value is not None
            twin.write(row, version, b"other" if wrong else value)

    def exchange_step(self) -> None:
        dice, exchange = self.dice, self.dice.choice(self.exchanges)
        if exchange.driving is None:
            self.went(exchange, exchange.begin())
        elif dice.random() < 0.03:
            self.went(exchange, exchange.stop())
        elif dice.random() < 0.3 or not self.questions:
            self.went(exchange, exchange.again())

    def post_step(self) -> None:
        """A question is answered or an answer delivered: one of the first ones, perhaps not the last time."""
        dice = self.dice
        for post in (self.questions, self.replies):
            if not post:
                continue
            index = min(dice.choice((0, 0, 0, 1, 5)), len(post) - 1)
            exchange, said = post[index] if dice.random() < 0.15 else post.pop(index)
            if dice.random() < 0.05:
                continue
            if post is self.questions:
                self.replies.append((exchange, self.told(exchange, exchange.answer(said))))
            else:
                self.went(exchange, exchange.deliver(said))

    def told(self, exchange: Exchange, reply: tuple[Any, Any]) -> tuple[Any, Any]:
        """Now and then it is not what it should be."""
        if exchange.driving is not None and self.dice.random() < 0.05:
            if isinstance(reply[0], messages.Nodes):
                return hiding(exchange, reply, self.dice)
            if isinstance(reply[0], messages.Windows):
                return damaged(exchange, reply, self.dice)
        return reply

    def disturb(self) -> None:
        dice = self.dice
        twin, exchange = dice.choice(self.twins), dice.choice(self.exchanges)
        match dice.randrange(8):
            case 0:
                exchange.crash_one()
            case 1:
                exchange.crash_two()
            case 2 if self.with_floors:
                self.floors = max(self.floors, at(max(1, self.now - dice.randrange(30))))
                twin.close(self.floors)
            case 3 if self.with_floors and self.floors:
                for each in self.twins if dice.random() < 0.7 else [twin]:
                    each.settle(self.floors)
            case 4:
                twin.purge()
            case _:
                twin.advance(at(max(1, self.now - dice.randrange(20))))

    def step(self) -> None:
        chance = self.dice.random()
        if chance < 0.25:
            self.write()
        elif chance < 0.45:
            self.exchange_step()
        elif chance < 0.96:
            self.post_step()
        else:
            self.disturb()
        for twin in self.twins:
            twin.check()


def test_all_ends_are_reached() -> None:
    """What the next test stands on: no way to end is missing from its runs."""
    ended: set[str] = set()
    for seed in range(20):
        world = World(seed)
        for _ in range(400):
            world.step()
        ended.update(world.ended)
    assert ended == {
        "Succeeded",
        *(f"Failed: {word}" for word in ("it", "the", "a", "floor", "exchange", "window")),
    }


@pytest.mark.parametrize("seed", range(40))
def test_both_libraries_say_the_same_whatever_happens(seed: int) -> None:
    world = World(seed)
    for _ in range(400):
        world.step()
    if world.with_floors:
        return
    # When all is quiet, exchanges either way end, and both hold the same.
    for twin in world.twins:
        twin.advance(at(world.now + 1))
    for exchange in world.exchanges:
        exchange.crash_one()
        assert isinstance(exchange.exchange(), production.Succeeded)
    assert world.exchanges[0].same
    assert world.exchanges[0].exchange().moved == 0


# --- production alone, with many rows -----------------------------------------------------------------------


class Rows:
    """Rows by their places, and the forest beside them."""

    closed = 0

    def __init__(self, shape: Shape) -> None:
        self.forest = ForestCore(shape)
        self.rows: dict[bytes, Row] = {}

    def write(self, key: bytes, version: int, value: bytes | None) -> None:
        record = entry_of(key, version, value)
        self.take(Row(record[:16], key, quorum.Held(version, value)), record)

    def take(self, row: Row, record: bytes) -> tuple[int, ...]:
        before = self.rows.get(row.place)
        version = 0 if before is None else before.held.version
        if row.held.version <= version:
            return ()
        self.rows[row.place] = row
        return self.forest.follow(record, version)

    def versions(self, places: bytes) -> bytes:
        rows = [self.rows.get(places[start : start + 16]) for start in range(0, len(places), 16)]
        return b"".join((0 if row is None else row.held.version).to_bytes(16, "big") for row in rows)

    def held(self, places: bytes) -> list[Row | None]:
        return [self.rows.get(places[start : start + 16]) for start in range(0, len(places), 16)]

    def merge(self, rows: list[Row]) -> set[int]:
        dirty: set[int] = set()
        for row in rows:
            dirty.update(self.take(row, entry_of(row.key, row.held.version, row.held.value)))
        return dirty


def exchanged(one: Rows, two: Rows, bounds: Bounds, meanwhile: Any = None) -> tuple[Any, list[Message]]:
    """How an exchange ends, and all that was said."""
    driver, answerer = ExchangeDriver(one.forest, one, bounds), ExchangeAnswerer(two.forest, two, bounds)
    said: list[Message] = []
    effect: Any = driver.step(production.Begin(1, 2))[-1]
    while isinstance(effect, production.Ask):
        said.append(Message.from_bytes(effect.question.to_bytes()))
        reply: Any = answerer.step(said[-1])[-1]  # type: ignore[arg-type]  # A driver asks questions only.
        said.append(Message.from_bytes(reply.reply.to_bytes()))
        if meanwhile is not None:
            meanwhile()
        effect = driver.step(production.Deliver(said[-1]))[-1]
    return effect, said


def two_of(dice: random.Random, rows: int) -> tuple[Rows, Rows]:
    """Most rows are the same at both; some are at one alone, in one of two versions, or deleted."""
    one, two = (Rows(Shape(window_ms=1_000)) for _ in range(2))
    for row in range(rows):
        key, version = b"row %d" % row, at(dice.randrange(20_000), row + 1)
        kind = dice.random()
        newer = version + (dice.randrange(1, 9_000) << 80)
        for store in (one, two):
            if kind < 0.8 or (kind < 0.9 and dice.random() < 0.5):
                store.write(key, version, b"%d" % version)
        if kind > 0.88:
            dice.choice((one, two)).write(key, newer, None if kind > 0.97 else b"%d" % newer)
    for store in (one, two):
        store.forest.advance(at(30_000))
    return one, two


@pytest.mark.parametrize("seed", range(4))
def test_both_sides_end_with_what_either_had(seed: int) -> None:
    dice = random.Random(seed)
    one, two = two_of(dice, 4_000)
    wanted = {
        place: max(row.held.version for row in (one.rows.get(place), two.rows.get(place)) if row is not None)
        for place in one.rows.keys() | two.rows.keys()
    }
    differ = sum(one.rows.get(place) != two.rows.get(place) for place in wanted)
    result, said = exchanged(one, two, dice.choice((Bounds(), Bounds(7, 1 << 20), Bounds(1_000, 900))))
    assert result == production.Succeeded(1, 2, at(30_000), 0, differ)
    assert one.rows == two.rows
    assert {place: row.held.version for place, row in one.rows.items()} == wanted
    assert one.forest.snapshot().told() == two.forest.snapshot().told()
    for first, second in ((one, two), (two, one)):
        result, said = exchanged(first, second, Bounds())
        assert result.moved == 0
        assert len(said) == 4


@pytest.mark.parametrize("seed", range(4))
def test_writes_that_go_on_meanwhile_are_not_in_the_way(seed: int) -> None:
    """What either side showed when it began, both hold in that version or a newer one (MERKLE_FOREST.R17)."""
    dice = random.Random(seed)
    one, two = two_of(dice, 2_000)
    shown = [{place: row.held.version for place, row in store.rows.items()} for store in (one, two)]
    keys = [row.key for row in (one.rows | two.rows).values()]
    written = 0

    def meanwhile() -> None:
        nonlocal written
        for _ in range(40):
            written += 1
            version = at(dice.choice((29_990, 30_010)), written)
            key = dice.choice(keys)
            for store in dice.choice(((one,), (two,), (one, two))):
                store.write(key, version, b"%d" % version)
        if dice.random() < 0.3:
            one.forest.advance(at(30_000 + written // 40))

    result, said = exchanged(one, two, Bounds(50, 1 << 20), meanwhile)
    assert isinstance(result, production.Succeeded)
    assert len(said) > 20
    for before in shown:
        for place, version in before.items():
            assert one.rows[place].held.version >= version
            assert two.rows[place].held.version >= version
    for store in (one, two):
        store.forest.advance(at(40_000))
    assert exchanged(one, two, Bounds())[0].moved > 0
    assert exchanged(two, one, Bounds())[0].moved == 0
    assert one.rows == two.rows


def test_what_must_be_durable_is_said_before_what_needs_it() -> None:
    one, two = (Rows(Shape(window_ms=1_000)) for _ in range(2))
    one.forest.advance(at(9_000))
    one.write(b"a", at(5), b"mine")
    two.write(b"b", at(6_005), b"theirs")
    driver, answerer = ExchangeDriver(one.forest, one), ExchangeAnswerer(two.forest, two)
    ask: tuple[Any, ...] = driver.step(production.Begin(1, 2))
    told: list[Any]
    effects: list[Any] = []
    kinds: list[list[str]] = []
    while isinstance(ask[-1], production.Ask):
        told = [*answerer.step(ask[-1].question)]
        ask = driver.step(production.Deliver(told[-1].reply))
        for step in (told, ask):
            effects.extend(step)
            kinds.append([type(effect).__name__ for effect in step])
    assert kinds == [
        ["Amended", "Hashed", "Tell"],  # The stable time rises, and with it what is shown.
        ["Hashed", "Ask"],
        ["Tell"],
        ["Ask"],
        ["Tell"],
        ["Ask"],
        ["Tell"],
        ["Amended", "Ask"],  # A row came.
        ["Amended", "Tell"],  # A row was given.
        ["Succeeded"],
    ]
    amended = [effect.windows for effect in effects if isinstance(effect, production.Amended)]
    assert amended == [(6,), (6,), (0,)]
    hashed = [dict(effect.digests).keys() for effect in effects if isinstance(effect, production.Hashed)]
    assert hashed == [{6}, {0}]
    # A row comes into a window that is dirty already: no window becomes so, and it must be durable all the
    # same.
    late = quorum.Held(at(8), b"late")
    record = entry_of(b"d", at(8), b"late")
    given = production.Give(1, [(record, Row(record[:16], b"d", late))])
    assert answerer.step(given) == (
        production.Amended(()),
        production.Tell(production.Took(1, [record[:16]])),
    )
    # Nothing but the stable time changes.
    driver = ExchangeDriver(one.forest, one)
    one.forest.advance(at(10_000))
    driver.step(production.Begin(2, 2))
    assert answerer.step(production.Open(2, one.forest.shape, at(10_000), 0))[0] == production.Amended(())
    # An entry alone is taken over.
    one.write(b"c", at(7_000), b"old")
    one.write(b"c", at(11_000), b"new")
    two.write(b"c", at(11_000), b"new")
    for store in (one, two):
        store.forest.clean()
    record = entry_of(b"c", at(7_000), b"old")
    answerer.step(production.Open(3, one.forest.shape, at(10_000), 0))
    effects = list(answerer.step(production.Give(3, [(record, None)])))
    assert effects == [production.Amended((7,)), production.Tell(production.Took(3, [record[:16]]))]
    assert two.forest.entry(record[:16], at(11_000)) == record


def test_who_holds_the_rows_is_asked_of_those_alone_that_changed() -> None:
    """A leaf tells entries that are the same at both sides; their rows are held as they are shown."""
    one, two = two_of(random.Random(9), 2_000)
    asked: list[int] = []
    versions = two.versions

    def counted(places: bytes) -> bytes:
        asked.append(len(places) // 16)
        return versions(places)

    two.versions = counted  # type: ignore[method-assign]  # It only listens.
    result, _ = exchanged(one, two, Bounds())
    assert 0 < sum(asked) <= result.moved


def test_a_message_keeps_its_bound() -> None:
    dice = random.Random(3)
    one, two = two_of(dice, 3_000)
    _, said = exchanged(one, two, Bounds(10_000, 4_000))
    assert (
        max(len(message.to_bytes()) for message in said if not isinstance(message, production.AskRows))
        < 6_000
    )
    assert len(said) > 40


@pytest.mark.parametrize("swapped", [False, True])
def test_keys_and_values_count_for_the_bound(swapped: bool) -> None:
    stores = [Rows(Shape(window_ms=1_000)) for _ in range(2)]
    for row in range(30):
        stores[swapped].write(b"%900d" % row, at(5, row + 1), None)
        stores[swapped].write(b"%d" % row, at(5, row + 50), b"v" * 900)
    stores[swapped].forest.advance(at(100))
    _, said = exchanged(stores[0], stores[1], Bounds(10_000, 4_000))
    many = [
        len(message.rows if isinstance(message, production.Rows) else message.given)
        for message in said
        if isinstance(message, production.Rows | production.Give)
    ]
    assert many == [4] * 15
    assert stores[0].rows == stores[1].rows


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("name", "wrong", "reason"),
    [
        ("versions", lambda _: b"x", r"rows.versions\(\) must give 16 bytes for each place"),
        ("versions", lambda _: None, r"rows.versions\(\) must give 16 bytes for each place"),
        ("held", lambda _: [], r"rows.held\(\) must give one, or None, for each place"),
        ("held", lambda places: [b"x"] * (len(places) // 16), "is no Row"),
    ],
)
def test_a_store_that_answers_wrongly_is_told_so(which: int, name: str, wrong: Any, reason: str) -> None:
    stores = two_of(random.Random(5), 300)
    setattr(stores[which], name, wrong)
    with pytest.raises(CallerError, match=reason):
        exchanged(*stores, Bounds())


class Unlucky(Rows):
    """Its disk gives nothing back once, when it is asked for rows."""

    is_broken = False

    def held(self, places: bytes) -> list[Row | None]:
        if self.is_broken:
            self.is_broken = False
            raise OSError("the disk does not answer")
        return super().held(places)


def test_what_was_amended_before_a_step_failed_is_told_by_the_next_one() -> None:
    """Otherwise an exchange would end well with rows that nobody was told to make durable."""
    one, two = Unlucky(Shape(window_ms=1_000)), Rows(Shape(window_ms=1_000))
    one.write(b"here", at(500), b"h")
    two.write(b"there", at(700), b"t")
    for store in (one, two):
        store.forest.advance(at(30_000))
    driver, answerer = ExchangeDriver(one.forest, one), ExchangeAnswerer(two.forest, two)
    effect: Any = driver.step(production.Begin(1, 2))[-1]
    while not isinstance(effect.question, production.AskRows):
        reply: Any = answerer.step(effect.question)[-1]
        effect = driver.step(production.Deliver(reply.reply))[-1]
    reply = answerer.step(effect.question)[-1]
    one.is_broken = True
    with pytest.raises(OSError, match="does not answer"):
        driver.step(production.Deliver(reply.reply))  # The row is taken, and then one is to be given.
    assert place_of(b"there") in one.rows
    with pytest.raises(CallerError, match="is no event of an exchange"):
        driver.step(None)  # type: ignore[arg-type]  # It fails as well.
    first, second = driver.step(production.Again())
    assert first == production.Amended((0,))
    assert isinstance(second, production.Ask)
    reply = answerer.step(second.question)[-1]
    assert driver.step(production.Deliver(reply.reply)) == (production.Succeeded(1, 2, at(30_000), 0, 2),)


def test_what_an_answerer_amended_before_a_step_failed_is_told_by_the_next_one() -> None:
    store = Rows(Shape(window_ms=1_000))
    store.forest.advance(at(30_000))
    answerer = ExchangeAnswerer(store.forest, store)
    answerer.step(production.Open(1, store.forest.shape, at(30_000), 0))
    record = entry_of(b"a", at(700), b"v")
    row = Row(record[:16], b"a", quorum.Held(at(700), b"v"))
    taken: Any = store.merge

    def breaks(rows: list[Row]) -> set[int]:
        taken(rows)
        raise OSError("the disk does not answer")

    store.merge = breaks  # type: ignore[method-assign]  # A disk may do so.
    for question in (production.AskWindows(1, -1), production.AskRows(2, [record[:16]])):
        with pytest.raises(OSError, match="does not answer"):
            answerer.step(production.Give(1, [(record, row)]))
        first, second = answerer.step(question)
        assert first == production.Amended(())
        assert isinstance(second, production.Tell)
    with pytest.raises(OSError, match="does not answer"):
        answerer.step(production.Give(1, [(record, row)]))
    answerer.crash()
    (only,) = answerer.step(production.AskWindows(1, -1))
    assert isinstance(only, production.Tell)


def test_rows_are_written_by_others_while_entries_of_theirs_are_met(in_threads: Callable[..., None]) -> None:
    """The entry of a row that waits is taken over, though the row is overwritten meanwhile."""
    store = Rows(Shape(window_ms=1_000))
    store.forest.advance(at(30_000))
    keys = [b"%d" % number for number in range(100)]
    for key in keys:
        store.write(key, at(40_000), b"v")
    answerer = ExchangeAnswerer(store.forest, store)
    answerer.step(production.Open(1, store.forest.shape, at(30_000), 0))
    done = threading.Event()

    def write() -> None:
        count = 0
        while not done.is_set():
            count += 1
            store.write(keys[count % 100], at(40_000, count), b"w")

    def hash_all(who: int) -> None:
        count = 0
        while not done.is_set():
            for _ in range(200):
                count += 1
                store.forest.follow(entry_of(b"%d, %d" % (who, count), at(5_000), b"x"))
            store.forest.snapshot()  # Whoever else comes waits meanwhile.

    def meet() -> None:
        try:
            for count in range(400):
                met = [(entry_of(key, at(1_000 + count), b"o"), None) for key in keys]
                assert isinstance(answerer.step(production.Give(1, met))[-1], production.Tell)
        finally:
            done.set()

    in_threads(write, lambda: hash_all(1), lambda: hash_all(2), meet)
    for key in keys:
        place = entry_of(key, 1, None)[:16]
        assert store.forest.entry(place, store.rows[place].held.version) == entry_of(key, at(1_399), b"o")


def test_a_step_within_a_step_is_refused() -> None:
    one, two = two_of(random.Random(5), 300)
    driver, answerer = ExchangeDriver(one.forest, one), ExchangeAnswerer(two.forest, two)
    reasons: list[str] = []

    def meanwhile(places: bytes) -> bytes:
        for call in (lambda: driver.step(production.Again()), driver.crash):
            with pytest.raises(CallerError) as caught:
                call()
            reasons.append(str(caught.value))
        return Rows.versions(one, places)

    one.versions = meanwhile  # type: ignore[method-assign]  # Another thread could do so.
    effect: Any = driver.step(production.Begin(1, 2))[-1]
    while isinstance(effect, production.Ask):
        reply: Any = answerer.step(effect.question)[-1]
        effect = driver.step(production.Deliver(reply.reply))[-1]
    assert isinstance(effect, production.Succeeded)
    assert set(reasons) == {"a step of this exchange is under way: take one after the other"}
    answerer.crash()
    assert answerer.open_exchanges == ()


def test_what_can_not_be_beside_an_exchange_is_refused() -> None:
    one, _ = two_of(random.Random(5), 30)
    driver = ExchangeDriver(one.forest, one)
    driver.step(production.Begin(1, 2))
    one.closed = -1
    with pytest.raises(CallerError, match="closed -1 is out of range"):
        driver.step(production.Deliver(production.Opened(1, at(30_000), 0)))
    one.closed = 0
    assert driver.step(production.Deliver(production.Opened(1, at(30_000), 0)))
    with pytest.raises(CallerError, match="is no ForestCore"):
        ExchangeDriver(one, one)  # type: ignore[arg-type]  # What a caller may pass.
