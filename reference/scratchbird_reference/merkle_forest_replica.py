"""A replica's forest, as a state machine without input or output: what it shows of the rows that it holds.

``ForestReplica(...).step(state, event)`` takes the events of :mod:`scratchbird_reference.handoff_replica` and
lets the forest follow whatever they did to the rows, and the events of its own. What changed in the durable
parts of one step becomes durable together: a row, and that its windows are dirty.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from scratchbird_reference import handoff_replica
from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff_replica import FlooredReplica
from scratchbird_reference.merkle_forest import Entry, Rules, Shape, Tree
from scratchbird_reference.quorum_messages import Held, check_version

Entries = tuple[tuple[int, Entry], ...]
"""By row."""


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash, and goes when the disk is lost."""

    shape: Shape
    grace_ms: int = 600_000
    """How long after its end a window is sealed. It is never compared: replicas may differ.

    Rule MERKLE_FOREST.R11.
    """
    stable: int = 0
    """Versions up to this one are shown (rule MERKLE_FOREST.R2)."""
    entries: Entries = ()
    told: tuple[tuple[int, bytes], ...] = ()
    """By window: its digest. What is not named has none."""
    dirty: frozenset[int] = frozenset()
    """Windows whose digest may lag behind their rows (rule MERKLE_FOREST.R10)."""
    amendments: tuple[tuple[int, int], ...] = ()
    """By sealed window: how often it was changed since it was sealed (rule MERKLE_FOREST.R9)."""

    def entry(self, row: int) -> Entry | None:
        """What is shown of this row."""
        return dict(self.entries).get(row)


@dataclass(frozen=True, slots=True)
class State:
    """A replica's rows, its floor and its forest. Nothing of the forest is volatile but what is cached."""

    replica: handoff_replica.State
    forest: Durable


# --- events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advance:
    """The stable time rises to this version: by the replica's own clock, or for an exchange.

    Rule MERKLE_FOREST.R12.
    """

    stable: int


@dataclass(frozen=True, slots=True)
class Rehash:
    """There is time to hash a dirty window anew; the digest is durable after this step."""

    window: int


@dataclass(frozen=True, slots=True)
class Meet:
    """In an exchange another replica showed this entry, of a row that it now holds so (R14).

    ``held`` is ``None`` if the row was not sent, because it is not needed here.
    """

    entry: Entry
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Reshape:
    """The forest is built anew in another setting (rule MERKLE_FOREST.R7)."""

    shape: Shape


Event = handoff_replica.Event | Advance | Rehash | Meet | Reshape
Effect = handoff_replica.Effect


@dataclass(frozen=True, slots=True)
class ForestReplica:
    """A replica with a forest, under these rules. It holds no state."""

    replica: FlooredReplica = field(default_factory=FlooredReplica)
    rules: Rules = field(default_factory=Rules)

    def step(self, state: State, event: Event) -> tuple[State, tuple[Effect, ...]]:
        """Take one step.

        :raises CallerError: if the event is impossible in this state, or holds a value that is out of range.
            The state is then unchanged.
        """
        match event:
            case Advance():
                return self._advance(state, event.stable), ()
            case Rehash():
                return self._rehash(state, event.window), ()
            case Meet():
                return self._meet(state, event), ()
            case Reshape():
                return self._reshape(state, event.shape), ()
        replica, effects = self.replica.step(state.replica, event)
        if isinstance(event, handoff_replica.LostDisk):
            empty = Durable(state.forest.shape, state.forest.grace_ms)
            return self._follow(State(replica, empty), replica.rows.durable.rows), effects
        after = State(replica, state.forest)
        if replica.floor.durable.floor > state.replica.floor.durable.floor:
            after = self._settled(after)
        before = dict(state.replica.rows.durable.rows)
        changed = [item for item in replica.rows.durable.rows if before.get(item[0]) != item[1]]
        return self._follow(after, changed), effects

    # --- what is shown ------------------------------------------------------------------------------------

    def tree(self, state: State, window: int) -> Tree:
        """The tree of a window, as its entries are."""
        forest = state.forest
        return Tree(
            self.rules,
            forest.shape,
            tuple(
                entry
                for _, entry in forest.entries
                if self.rules.window_of(forest.shape, entry.version) == window
            ),
        )

    def is_sealed(self, state: State, window: int) -> bool:
        """Whether this replica has sealed a window (rule MERKLE_FOREST.R9)."""
        forest = state.forest
        return self.rules.is_sealed(forest.shape, window, forest.stable, forest.grace_ms)

    def effective(self, state: State, row: int) -> Held:
        """As what a query is told of a row: absent is deleted at the floor (rule HANDOFF.R11)."""
        held = state.replica.rows.durable.held(row)
        floor = state.replica.floor.durable.floor
        return held if held.version else self.replica.rules.absent_as(floor)

    # --- steps --------------------------------------------------------------------------------------------

    def _advance(self, state: State, stable: int) -> State:
        check_version(stable)
        if stable <= state.forest.stable:
            return state
        state = replace(state, forest=replace(state.forest, stable=stable))
        return self._follow(state, state.replica.rows.durable.rows)

    def _follow(self, state: State, rows: Iterable[tuple[int, Held]]) -> State:
        """The entries of rows that changed, or that the stable time has reached (rule MERKLE_FOREST.R1)."""
        entries = dict(state.forest.entries)
        floor = state.replica.floor.durable.floor
        for row, held in rows:
            entry = self.rules.shows(entries.get(row), self.rules.entry_of(row, held), state.forest.stable)
            if entry is None or self.rules.is_purged(floor, entry):
                entries.pop(row, None)
            else:
                entries[row] = entry
        return self._with(state, entries)

    def _settled(self, state: State) -> State:
        """What is purged is shown by nobody from the same floor on (rule MERKLE_FOREST.R8)."""
        floor = state.replica.floor.durable.floor
        return self._with(
            state,
            {
                row: entry
                for row, entry in state.forest.entries
                if not self.rules.is_taken_out(floor, entry, state.replica.rows.durable.held(row).version)
            },
        )

    def _with(self, state: State, entries: dict[int, Entry]) -> State:
        """Put these entries in the place of those; windows that change are dirty, and counted."""
        forest, shape = state.forest, state.forest.shape
        was, now = dict(forest.entries), entries
        touched = {
            self.rules.window_of(shape, entry.version)
            for row in was.keys() | now.keys()
            if was.get(row) != now.get(row)
            for entry in (was.get(row), now.get(row))
            if entry is not None
        }
        sealed = {window for window in touched if self.is_sealed(state, window)}
        dirty = {window for window in touched if self.rules.may_amend(window in sealed)}
        amendments = dict(forest.amendments)
        for window in sealed & dirty:
            amendments[window] = amendments.get(window, 0) + 1
        return replace(
            state,
            forest=replace(
                forest,
                entries=tuple(sorted(entries.items())),
                dirty=forest.dirty | dirty,
                amendments=tuple(sorted(amendments.items())),
            ),
        )

    def _rehash(self, state: State, window: int) -> State:
        if window not in state.forest.dirty:
            return state
        told = dict(state.forest.told)
        digest = self.rules.window_digest(state.forest.shape, window, self.tree(state, window).digest())
        told.pop(window, None)
        if digest:
            told[window] = digest
        return replace(
            state,
            forest=replace(
                state.forest, told=tuple(sorted(told.items())), dirty=state.forest.dirty - {window}
            ),
        )

    def _meet(self, state: State, event: Meet) -> State:
        """Take the row if it is newer than what is here; else take over the entry alone."""
        entry = event.entry
        here = self.effective(state, entry.row)
        if event.held is not None and here.version <= entry.version <= event.held.version:
            replica, _ = self.replica.step(state.replica, handoff_replica.Merge(((entry.row, event.held),)))
            held = replica.rows.durable.held(entry.row)
            state = self._follow(
                replace(state, replica=replica), ((entry.row, held),) if held.version else ()
            )
        held = state.replica.rows.durable.held(entry.row)
        shown = state.forest.entry(entry.row)
        is_newer = shown is None or entry.rank > shown.rank
        waits = held.version > state.forest.stable >= entry.version
        floor = state.replica.floor.durable.floor
        if waits and is_newer and self.rules.takes_over(floor, entry):
            return self._with(state, {**dict(state.forest.entries), entry.row: entry})
        return state

    def _reshape(self, state: State, shape: Shape) -> State:
        """All windows anew. What was sealed is sealed by the new windows' ends, and its count begins at 0."""
        if shape.number <= state.forest.shape.number:
            raise CallerError(
                f"setting {shape.number} is not above {state.forest.shape.number}: a setting never comes back"
            )
        forest = replace(state.forest, shape=shape, told=(), dirty=frozenset(), amendments=())
        dirty = frozenset(self.rules.window_of(shape, entry.version) for _, entry in forest.entries)
        return replace(state, forest=replace(forest, dirty=dirty))


def first_state(replica: handoff_replica.State, shape: Shape | None = None) -> State:
    """The forest of a replica that is empty."""
    if replica.rows.durable.rows:
        raise CallerError(f"replica {replica.rows.durable.replica} holds rows: its forest comes from them")
    return State(replica, Durable(shape if shape is not None else Shape()))
