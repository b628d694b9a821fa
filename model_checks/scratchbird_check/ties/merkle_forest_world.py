"""The world of ``spec/merkle_forest.tla`` by the reference: its states in the model's variables, and back.

A replica is one of :mod:`scratchbird_reference.merkle_forest_replica`, and an exchange is what the two sides
showed when it began and what is left to do, from which :mod:`scratchbird_check.ties.merkle_forest_moves`
builds the machines of :mod:`scratchbird_reference.merkle_forest_exchange`. What a step is, that module says.

A digest of the model is what is in a window; the reference's is bytes. As few contents as an instance has are
all hashed once, and so each digest is read back.

Left out of these states, because the model has no notion of it: how often a sealed window was amended, and
what a replica was told by the catalog. Each step hands the reference what it needs of that, and takes it away
again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

from scratchbird_check.ties.graph import TieBroken
from scratchbird_check.traces.tla_values import Record
from scratchbird_check.variants.merkle_forest import Variant
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference.merkle_forest import MS_SHIFT, NOTHING_THERE, Entry, Shape, Tree
from scratchbird_reference.merkle_forest_exchange import Snapshot
from scratchbird_reference.merkle_forest_replica import Durable, State
from scratchbird_reference.quorum_messages import Held, Setting

WINDOW_MS = 1000
GRACE_MS = 400
"""A stable time that is at least this far into the next window has sealed a window."""
SHAPE = Shape(window_ms=WINDOW_MS, most_in_leaf=1)
"""Two rows of a window are two leaves."""
VARIABLES = (
    "written", "held", "entry", "stable", "closed", "converged", "settled", "shown", "dirty",
    "with", "windows", "rows", "snapshot", "succeeded", "crashed", "begun",
)  # fmt: skip

Content = frozenset[tuple[int, int]]
"""Of a window: rows and versions, as the model has them."""


class Exchange(NamedTuple):
    """One exchange at the side that drives it; no side has closed a floor since it began."""

    other: int
    windows: frozenset[int]
    """That differed, and were not compared yet."""
    rows: frozenset[int]
    """That differed, and were not dealt with yet."""
    mine: Snapshot
    theirs: Snapshot
    has_succeeded: bool = False


class World(NamedTuple):
    """A state of the model. Replicas are numbered from 1."""

    written: frozenset[int]
    replicas: tuple[Plain, ...]
    exchanges: tuple[Exchange | None, ...]
    """By the side that drives."""
    crashed: int
    begun: int


@dataclass(frozen=True)
class Instance:
    """The constants of one configuration, and the machines (or wrong ones) that play it."""

    names: tuple[int, ...]
    row_of: Mapping[int, int]
    """By version, as the model has it."""
    tombstones: frozenset[int]
    window_of: Mapping[int, int]
    sealed_at: Mapping[int, int]
    times: tuple[int, ...]
    floor: int
    crashes: int
    exchanges: int
    has_floor: bool = True
    machines: Variant = field(default_factory=Variant)

    def __post_init__(self) -> None:
        rules = self.machines.forests.rules
        for version in self.row_of:
            if rules.window_of(SHAPE, self.of_time(version)) != self.window_of[version]:
                raise ValueError(f"version {version}: model and reference have it in different windows")
        for time, window in product(self.times, self.windows):
            is_sealed = rules.is_sealed(SHAPE, window, self.of_time(time), GRACE_MS)
            if is_sealed != (time >= self.sealed_at[window]):
                raise ValueError(f"window {window} at time {time}: model and reference seal it differently")

    # --- numbers of the model, and of the reference -------------------------------------------------------

    def of_time(self, number: int) -> int:
        """A version, a stable time or a floor of the model, for the reference; they are in the same order."""
        if not number:
            return 0
        begun = [self.window_of[version] for version in self.row_of if version <= number]
        sealed = [window + 1 for window in self.windows if self.sealed_at[window] <= number]
        late = GRACE_MS if sealed and max(sealed) >= max(begun, default=0) else 0
        return max([1, *begun, *sealed]) * WINDOW_MS + late + number << MS_SHIFT

    @cached_property
    def number_of(self) -> Mapping[int, int]:
        """The other way round."""
        return {self.of_time(number): number for number in (0, self.floor, *self.row_of, *self.times)}

    @cached_property
    def rows(self) -> tuple[int, ...]:
        return tuple(sorted(set(self.row_of.values())))

    @cached_property
    def windows(self) -> tuple[int, ...]:
        return tuple(sorted({self.window_of[version] for version in self.row_of}))

    @cached_property
    def setting(self) -> Setting:
        return Setting(self.names, len(self.names), 1)

    @cached_property
    def values(self) -> Mapping[int, Held]:
        """By version of the model: what is held in it."""
        found = {v: Held(self.of_time(v), None if v in self.tombstones else b"%d" % v) for v in self.row_of}
        return {0: Held(), **found}

    @cached_property
    def entries(self) -> Mapping[int, Entry]:
        """By version of the model: how a forest shows it."""
        rules = self.machines.forests.rules
        return {version: rules.entry_of(row, self.values[version]) for version, row in self.row_of.items()}

    # --- digests ------------------------------------------------------------------------------------------

    def digest(self, window: int, content: Content) -> bytes:
        """What a replica tells of a window in which this is."""
        rules = self.machines.forests.rules
        entries = tuple(self.entries[version] for _, version in content)
        return rules.window_digest(SHAPE, window, Tree(rules, SHAPE, entries).digest())

    @cached_property
    def contents(self) -> Mapping[tuple[int, bytes], Content]:
        """By window and digest: all that can be in it."""
        found: dict[tuple[int, bytes], Content] = {}
        for window in self.windows:
            versions = [version for version in self.row_of if self.window_of[version] == window]
            each = [[0, *(v for v in versions if self.row_of[v] == row)] for row in self.rows]
            for chosen in product(*each):
                content = frozenset((self.row_of[version], version) for version in chosen if version)
                found[window, self.digest(window, content)] = content
        return found

    @cached_property
    def digests(self) -> Mapping[tuple[int, Content], bytes]:
        """The other way round."""
        return {(window, content): digest for (window, digest), content in self.contents.items()}

    def told(self, shown: Mapping[int, Content]) -> tuple[tuple[int, bytes], ...]:
        """What a replica tells of windows in which this is; of an empty one nothing."""
        return tuple(
            (window, self.digests[window, shown[window]]) for window in self.windows if shown[window]
        )

    def content(self, entries: Iterable[int]) -> dict[int, Content]:
        """By window: what is in it of these entries, versions of the model."""
        shown = [version for version in entries if version]
        return {
            window: frozenset((self.row_of[v], v) for v in shown if self.window_of[v] == window)
            for window in self.windows
        }


class StrangeStep(TieBroken):
    """The reference does something of which the model has no notion; the message says what."""


def numbers_in(text: str) -> tuple[int, ...]:
    """The numbers of a set as a configuration writes it."""
    return tuple(map(int, re.findall(r"\d+", text)))


# --- one form of each state -------------------------------------------------------------------------------


class Plain(State):
    """A state that remembers its hash: each is looked up many times."""

    __slots__ = ("_hash",)
    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            object.__setattr__(self, "_hash", hash((self.replica, self.forest)))
            return self._hash


def plain(state: State) -> Plain:
    """Without what the model does not know of a replica."""
    replica = state.replica
    return Plain(
        handoff_replica.State(
            quorum_replica.State(replica.rows.durable, quorum_replica.Volatile()),
            replace(replica.floor, volatile=floors.Volatile()),
        ),
        replace(state.forest, amendments=()),
    )


def number(instance: Instance, reference: int) -> int:
    """What the model calls a version, a stable time or a floor of the reference.

    :raises StrangeStep: if it has none such.
    """
    if reference not in instance.number_of:
        raise StrangeStep(f"version {reference >> MS_SHIFT} ms is none of the model's")
    return instance.number_of[reference]


def held_of(instance: Instance, state: State, row: int) -> int:
    """The version in which a replica holds a row, as the model has it; 0 if it is absent."""
    return number(instance, state.replica.rows.durable.held(row).version)


def shown_by(instance: Instance, entries: Iterable[Entry]) -> tuple[int, ...]:
    """By row: the version that entries show, as the model has it."""
    by_row = {entry.row: number(instance, entry.version) for entry in entries}
    return tuple(by_row.get(row, 0) for row in instance.rows)


# --- the model's variables --------------------------------------------------------------------------------


def initial(instance: Instance) -> World:
    """The model's one initial state."""
    states = tuple(
        State(handoff_replica.first_state(r, instance.setting), Durable(SHAPE, GRACE_MS))
        for r in instance.names
    )
    return World(frozenset(), tuple(map(plain, states)), (None,) * len(instance.names), 0, 0)


def from_model(instance: Instance, values: Mapping[str, Any]) -> World:
    """A state of the model, as :func:`scratchbird_check.traces.tla_values.parse_state` reads it.

    :raises ValueError: if a variable is missing or there is one more than this module knows: then the
        model was changed and the tie was not.
    """
    if set(values) != set(VARIABLES):
        raise ValueError(f"the model's variables are {sorted(values)}, the tie knows {sorted(VARIABLES)}")
    return World(
        written=values["written"],
        replicas=tuple(_replica(instance, values, r) for r in instance.names),
        exchanges=tuple(_exchange(instance, values, r) for r in instance.names),
        crashed=values["crashed"],
        begun=values["begun"],
    )


def _replica(instance: Instance, values: Mapping[str, Any], r: int) -> Plain:
    held, entry = values["held"][r - 1], values["entry"][r - 1]
    rows = tuple((row, instance.values[held[row - 1]]) for row in instance.rows if held[row - 1])
    first = handoff_replica.first_state(r, instance.setting)
    floor = instance.of_time(instance.floor)
    durable = floors.Durable(
        r, floor * values["closed"], floor * (r in values["converged"]), floor * (r in values["settled"])
    )
    return Plain(
        handoff_replica.State(
            replace(first.rows, durable=replace(first.rows.durable, rows=rows)),
            replace(first.floor, durable=durable),
        ),
        Durable(
            SHAPE,
            GRACE_MS,
            stable=instance.of_time(values["stable"][r - 1]),
            entries=tuple((row, instance.entries[entry[row - 1]]) for row in instance.rows if entry[row - 1]),
            told=instance.told({w: _at(values["shown"][r - 1], w) for w in instance.windows}),
            dirty=values["dirty"][r - 1],
        ),
    )


def _exchange(instance: Instance, values: Mapping[str, Any], r: int) -> Exchange | None:
    other = values["with"][r - 1]
    if not other:
        return None
    has_succeeded = r in values["succeeded"]
    # An exchange that is under way is of the floor that is closed by now; of one that has ended it does not
    # matter.
    closed = instance.of_time(instance.floor) if values["closed"] and not has_succeeded else 0
    mine, theirs = (snapshot_of(instance, values["snapshot"][r - 1][side - 1], closed) for side in (r, other))
    return Exchange(other, values["windows"][r - 1], values["rows"][r - 1], mine, theirs, has_succeeded)


def bare(snapshot: Snapshot) -> Snapshot:
    """Without when it was taken: of an exchange that is open that does not matter any more."""
    return replace(snapshot, stable=0, floor=0)


def snapshot_of(instance: Instance, entries: Iterable[int], closed: int) -> Snapshot:
    """What a replica showed whose entries were these, when an exchange began."""
    shown = [version for version in entries if version]
    told = instance.told(instance.content(shown))
    return Snapshot(tuple(instance.entries[version] for version in shown), told, closed, shape=SHAPE)


def to_model(instance: Instance, world: World) -> dict[str, Any]:
    """The same state in the model's variables."""
    states, exchanges = world.replicas, world.exchanges
    floors_of = {state.replica.rows.durable.replica: state.replica.floor.durable for state in states}
    nothing = ((0,) * len(instance.rows),) * len(instance.names)

    def snapshot(r: int, exchange: Exchange | None) -> tuple[tuple[int, ...], ...]:
        if exchange is None:
            return nothing
        sides = {r: exchange.mine, exchange.other: exchange.theirs}
        return tuple(
            shown_by(instance, sides[q].entries) if q in sides else nothing[0] for q in instance.names
        )

    return {
        "written": world.written,
        "held": tuple(tuple(held_of(instance, state, row) for row in instance.rows) for state in states),
        "entry": tuple(shown_by(instance, (e for _, e in state.forest.entries)) for state in states),
        "stable": tuple(number(instance, state.forest.stable) for state in states),
        "closed": all(durable.closed for durable in floors_of.values()),
        "converged": frozenset(r for r, durable in floors_of.items() if durable.converged),
        "settled": frozenset(r for r, durable in floors_of.items() if durable.floor),
        "shown": tuple(_contents(instance, state) for state in states),
        "dirty": tuple(state.forest.dirty for state in states),
        "with": tuple(exchange.other if exchange else 0 for exchange in exchanges),
        "windows": tuple(exchange.windows if exchange else frozenset() for exchange in exchanges),
        "rows": tuple(exchange.rows if exchange else frozenset() for exchange in exchanges),
        "snapshot": tuple(map(snapshot, instance.names, exchanges)),
        "succeeded": frozenset(
            r for r, item in zip(instance.names, exchanges, strict=True) if item and item.has_succeeded
        ),
        "crashed": world.crashed,
        "begun": world.begun,
    }


def _contents(instance: Instance, state: State) -> Any:
    """By window; a function on 1..n is a sequence."""
    told = dict(state.forest.told)
    found = {w: instance.contents[w, told.get(w, NOTHING_THERE)] for w in instance.windows}
    is_sequence = instance.windows == tuple(range(1, len(found) + 1))
    return tuple(found.values()) if is_sequence else Record(found)


def _at(function: Any, place: int) -> Any:
    return function[place - 1] if isinstance(function, tuple) else function[place]
