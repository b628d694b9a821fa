"""Wrong rules for the forest and its exchanges: what differs from the reference, and nothing else.

Most replace one method of the reference's rules. Where a rule is no method (which windows are compared, what
a crash forgets) a machine is replaced. Two more variants are other trees, and stand where they are counted:
``machines/merkle_forest_shapes.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from scratchbird_check.variants.handoff import SettlesAlone
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference import quorum_replica
from scratchbird_reference.handoff_replica import FlooredReplica
from scratchbird_reference.merkle_forest import Entry, Rules, Shape
from scratchbird_reference.merkle_forest_exchange import Answerer, Driver, Driving
from scratchbird_reference.merkle_forest_messages import Bounds
from scratchbird_reference.merkle_forest_replica import ForestReplica, Meet
from scratchbird_reference.merkle_forest_replica import State as Replica
from scratchbird_reference.quorum_messages import Write

# --- rules that are one method ----------------------------------------------------------------------------


class Immutable(Rules):
    """The digest of a sealed window is computed once (MRK-2)."""

    __slots__ = ()

    def may_amend(self, is_sealed: bool) -> bool:
        return not is_sealed


class ServesStale(Rules):
    """The digest that is there is told, whatever has changed since (MRK-2)."""

    __slots__ = ()

    def may_tell(self, is_dirty: bool) -> bool:
        return True


class OneSided(Rules):
    """Who drives an exchange fetches rows; the other side takes none (MRK-5)."""

    __slots__ = ()

    def takes_part(self, drives: bool) -> bool:
        return drives


class RecordsFailure(Rules):
    """An exchange has succeeded, whatever is left to do (MRK-6)."""

    __slots__ = ()

    def has_succeeded(self, left: int) -> bool:
        return True


class RefreshesNothing(Rules):
    """Who holds a newer version takes over no entry (MRK-7)."""

    __slots__ = ()

    def takes_over(self, floor: int, entry: Entry) -> bool:
        return False


class TakesOverPurged(Rules):
    """Who holds a newer version takes over any entry, also one below its floor (MRK-7)."""

    __slots__ = ()

    def takes_over(self, floor: int, entry: Entry) -> bool:
        return True


class KeepsOvertaken(Rules):
    """Who settles takes out tombstones, and no entry whose row it holds newer (MRK-7)."""

    __slots__ = ()

    def is_taken_out(self, floor: int, entry: Entry, held: int) -> bool:
        return entry.version <= floor and entry.deletes


class BelievesShortDigests(Rules):
    """Subtrees with one short digest are taken for the same, whatever the windows' digests say (MRK-8)."""

    __slots__ = ()

    def is_confirmed(self, told: bytes, found: bytes) -> bool:
        return True


class ComparesAcrossSettings(Rules):
    """The setting is in no digest, and forests are compared whatever it is (MRK-12)."""

    __slots__ = ()

    def comparable(self, mine: Shape, theirs: Shape) -> bool:
        return True

    def window_digest(self, shape: Shape, window: int, tree: bytes) -> bytes:
        return Rules.window_digest(self, Shape(), window, tree)


class LeavesAtOnce(Rules):
    """A row leaves its window when a newer version arrives, also one past the stable time (MRK-7)."""

    __slots__ = ()

    def shows(self, before: Entry | None, now: Entry, stable: int) -> Entry | None:
        return now if now.version <= stable else None


# --- machines ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RefusesForSealed(ForestReplica):
    """A replica takes no row for a window that it has sealed (MRK-11)."""

    def step(self, state: Replica, event: forests.Event) -> tuple[Replica, tuple[forests.Effect, ...]]:
        match event:
            case quorum_replica.Deliver(Write() as write) if self._refuses(state, write.held.version):
                return state, ()
            case Meet(held=held) if held is not None and self._refuses(state, held.version):
                event = replace(event, held=None)
        return ForestReplica.step(self, state, event)

    def _refuses(self, state: Replica, version: int) -> bool:
        return self.is_sealed(state, self.rules.window_of(state.forest.shape, version))


@dataclass(frozen=True, slots=True)
class ForgetsDirt(ForestReplica):
    """Which windows' digests lag behind is in memory only: a crash forgets it (MRK-2)."""

    def step(self, state: Replica, event: forests.Event) -> tuple[Replica, tuple[forests.Effect, ...]]:
        after, effects = ForestReplica.step(self, state, event)
        if isinstance(event, quorum_replica.Crash):
            after = replace(after, forest=replace(after.forest, dirty=frozenset()))
        return after, effects


@dataclass(frozen=True, slots=True)
class SealedOnly(Driver):
    """Windows are compared that this side has sealed (MRK-4)."""

    def compares(self, state: Driving, replica: Replica, window: int) -> bool:
        """Whether a window that differs is gone through."""
        return self.forests.is_sealed(replica, window)

    def _windows(self, state: Driving, replica: Replica, reply: messages.Windows) -> exchanges.Step:
        step = Driver._windows(self, state, replica, reply)
        after = step[0]
        if after is None or not after.windows_done:
            return step
        nodes = tuple(place for place in after.nodes if self.compares(after, replica, place[0]))
        return self._ask(replace(after, nodes=nodes), replica)


@dataclass(frozen=True, slots=True)
class OwnWindowsOnly(SealedOnly):
    """Windows are compared that this side has, sealed or not (MRK-5)."""

    def compares(self, state: Driving, replica: Replica, window: int) -> bool:
        return window in dict(state.snapshot.told)


@dataclass(frozen=True, slots=True)
class SamplesActive(Driver):
    """Of windows that are not sealed every second row is compared: those at even places (MRK-4)."""

    def _leaf(
        self,
        state: Driving,
        replica: Replica,
        mine: tuple[Entry, ...],
        theirs: tuple[Entry, ...],
        held: dict[int, int],
    ) -> tuple[Driving, Replica]:
        ours = tuple(entry for entry in mine if self.compares(replica, entry))
        others = tuple(entry for entry in theirs if self.compares(replica, entry))
        return Driver._leaf(self, state, replica, ours, others, held)

    def compares(self, replica: Replica, entry: Entry) -> bool:
        """Whether the row is in a sealed window, or in the sample."""
        window = self.forests.rules.window_of(replica.forest.shape, entry.version)
        return self.forests.is_sealed(replica, window) or entry.place[-1] & 1 == 0


@dataclass(frozen=True, slots=True)
class ComparesAsItIs(Driver):
    """The side that drives compares what it shows by then (MRK-4)."""

    def step(
        self,
        state: Driving | None,
        replica: Replica,
        event: exchanges.Begin | exchanges.Deliver | exchanges.Again | exchanges.Stop,
    ) -> exchanges.Step:
        if state is not None and state.is_open:
            state = replace(state, snapshot=_as_it_is(state.snapshot, replica))
        return Driver.step(self, state, replica, event)


@dataclass(frozen=True, slots=True)
class AnswersAsItIs(Answerer):
    """And the other side answers with what it shows by then (MRK-4)."""

    def _nodes(
        self, snapshot: exchanges.Snapshot, replica: Replica, question: messages.AskNodes
    ) -> messages.Nodes:
        return Answerer._nodes(self, _as_it_is(snapshot, replica), replica, question)


def _as_it_is(snapshot: exchanges.Snapshot, replica: Replica) -> exchanges.Snapshot:
    """Which windows differed stays; what is in them does not."""
    return replace(snapshot, entries=tuple(entry for _, entry in replica.forest.entries))


# --- what runs --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Variant:
    """What runs at each replica; without arguments: the right rules.

    :ivar forests: the replica with its forest; its rules are those of the exchange as well.
    :ivar driver: the kind of machine that drives an exchange.
    :ivar answerer: the kind of machine that answers.
    """

    forests: ForestReplica = field(default_factory=ForestReplica)
    driver: type[Driver] = Driver
    answerer: type[Answerer] = Answerer

    def drives(self, bounds: Bounds | None = None) -> Driver:
        """The machine that drives an exchange."""
        return self.driver(self.forests, bounds or Bounds())

    def answers(self, bounds: Bounds | None = None) -> Answerer:
        """The machine that answers."""
        return self.answerer(self.forests, bounds=bounds or Bounds())


RIGHT = Variant()


def _ruled(rules: Rules) -> Variant:
    return Variant(ForestReplica(rules=rules))


VARIANTS: Mapping[str, Variant] = {
    "immutable": _ruled(Immutable()),
    "serves_stale": _ruled(ServesStale()),
    "forgets_dirt": Variant(ForgetsDirt()),
    "sealed_only": Variant(driver=SealedOnly),
    "samples_active": Variant(driver=SamplesActive),
    "compares_as_it_is": Variant(driver=ComparesAsItIs, answerer=AnswersAsItIs),
    "one_sided": _ruled(OneSided()),
    "own_windows_only": Variant(driver=OwnWindowsOnly),
    "records_failure": _ruled(RecordsFailure()),
    "purges_by_itself": Variant(ForestReplica(FlooredReplica(rules=SettlesAlone()))),
    "refreshes_nothing": _ruled(RefreshesNothing()),
    "takes_over_purged": _ruled(TakesOverPurged()),
    "keeps_overtaken": _ruled(KeepsOvertaken()),
    "refuses_for_sealed": Variant(RefusesForSealed()),
    "believes_short_digests": _ruled(BelievesShortDigests()),
    "compares_across_settings": _ruled(ComparesAcrossSettings()),
    "leaves_at_once": _ruled(LeavesAtOnce()),
}
"""By name."""
