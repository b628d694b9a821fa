"""Wrong rules for handoff and deletes: what differs from the reference, and nothing else.

Most replace one method of the reference's rules. Where a rule is no method (a hint goes when it is sent, a
crash forgets it) a machine is replaced; when a tombstone is purged without a floor is a matter of use, and
stands in :class:`Variant`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from scratchbird_check.variants import quorum
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import quorum as quorum_rules
from scratchbird_reference.handoff import Rules
from scratchbird_reference.handoff_account import Effects as HintEffects
from scratchbird_reference.handoff_account import MayDrop, Place
from scratchbird_reference.handoff_account import State as HintState
from scratchbird_reference.handoff_catalog import Catalog
from scratchbird_reference.handoff_hints import HintKeeper
from scratchbird_reference.handoff_replica import FlooredReplica
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import Held, Setting

GRACE_DAYS = 5
"""How old a tombstone gets before a wrong rule purges it."""

# --- rules that are one method ----------------------------------------------------------------------------


class HintCounts(quorum_rules.Rules):
    """What is hinted durably counts as held: together with those that hold it that is everybody (HNT-2)."""

    __slots__ = ()

    def write_may_reply(self, setting: Setting, holders: int, intent_is_durable: bool) -> bool:
        return self.enough_holders(setting, setting.size if intent_is_durable else holders)


class TakesWhatComes(quorum_rules.Rules):
    """A replica keeps what came last, and compares no versions (HNT-3)."""

    __slots__ = ()

    def supersedes(self, new: Held, old: Held) -> bool:
        return True


class ClearedByOne(Rules):
    """A mark is paid when its target has merged what one other replica holds (HNT-4)."""

    __slots__ = ()

    def pays(self, replicas: int, write_quorum: int, others_heard: int) -> bool:
        return others_heard >= 1


class ClearedByAnEarlierExchange(Rules):
    """An exchange that began while the mark was open pays as well (HNT-4)."""

    __slots__ = ()

    def counts_for_a_mark(self, mark_is_closed: bool) -> bool:
        return True


class ClosesOverOpenWrites(Rules):
    """A mark is closed as soon as its target is back, whatever writes are open (HNT-4)."""

    __slots__ = ()

    def may_close(self, open_writes: int) -> bool:
        return True


class DropsWithoutMark(Rules):
    """Hints may go without a mark (HNT-4)."""

    __slots__ = ()

    def may_drop(self, mark_is_open: bool) -> bool:
        return True


class PurgesWithoutFloor(Rules):
    """A tombstone may be purged at any replica, settled or not (HNT-5); :class:`Variant` says when."""

    __slots__ = ()

    def may_purge(self, floor: int, held: Held) -> bool:
        return held.value is None


class TakesBelowClosed(Rules):
    """A replica that has closed a floor takes what is below as before."""

    __slots__ = ()

    def takes(self, closed: int, converged: int, held: Held, sent: Held) -> bool:
        return True


class PullsBeforeAllClosed(Rules):
    """A replica merges for a floor what others hold that have not closed it yet."""

    __slots__ = ()

    def may_converge(self, all_closed: int, floor: int) -> bool:
        return True

    def tells_past(self, closed: int, floor: int) -> bool:
        return True


class MergesOnlyBelow(Rules):
    """A replica tells others of its past only what it holds at or below the floor."""

    __slots__ = ()

    def tells_row(self, floor: int, held: Held) -> bool:
        return held.version <= floor


class SettlesAlone(Rules):
    """A replica settles when it has converged itself."""

    __slots__ = ()

    def may_settle(self, converged: int, all_converged: int, floor: int) -> bool:
        return converged == floor


class AbsentIsNothing(Rules):
    """A row that is absent at a settled replica answers, and compares, as if it had never been written."""

    __slots__ = ()

    def absent_as(self, floor: int) -> Held:
        return Held()


class StartsOpen(Rules):
    """A replica that lost its disk starts without a floor."""

    __slots__ = ()

    def closed_at_start(self, proposed: int) -> int:
        return 0


class CountsAcrossALoss(Rules):
    """A disk that is lost while the floor goes on voids nothing: what others merged from it still counts."""

    __slots__ = ()

    def is_void(self, proposed: int, all_converged: int) -> bool:
        return False


class BackupIsBelieved(Rules):
    """All that a restored backup holds is taken over."""

    __slots__ = ()

    def believes_backup(self, closed: int, held: Held) -> bool:
        return True


# --- machines ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RemovedOnSend(HintKeeper):
    """A hint goes when it is sent (HNT-1)."""

    def _deliver(self, state: HintState, target: int, now_ns: int) -> tuple[HintState, HintEffects]:
        state, sent = HintKeeper._deliver(self, state, target, now_ns)
        hints = tuple(hint for hint in state.durable.hints if hint.key not in dict(state.volatile.under_way))
        return replace(state, durable=replace(state.durable, hints=hints)), sent


@dataclass(frozen=True, slots=True)
class InMemoryOnly(HintKeeper):
    """Hints are in memory only: a crash forgets them (HNT-1)."""

    def _crash(self, state: HintState) -> tuple[HintState, HintEffects]:
        return HintKeeper._crash(self, replace(state, durable=replace(state.durable, hints=())))


@dataclass(frozen=True, slots=True)
class StopsWithoutMark(HintKeeper):
    """What is too old, too much or removed by an operator just goes (HNT-1, HNT-4)."""

    rules: Rules = field(default_factory=DropsWithoutMark)

    def _give_up(self, state: HintState, places: Iterable[Place]) -> tuple[HintState, HintEffects]:
        return state, tuple(map(MayDrop, sorted(places)))


@dataclass(frozen=True, slots=True)
class _AsksAtOnce(floors.FloorKeeper):
    """Asks the others for their past as soon as it has closed itself."""

    def _close(self, state: floors.State, floor: int) -> tuple[floors.State, floors.Effects]:
        state, effects = floors.FloorKeeper._close(self, state, floor)
        others = sorted(set(state.setting.replicas) - {state.durable.replica})
        return state, (*effects, *(floors.AskFor(other, floor) for other in others))


@dataclass(frozen=True, slots=True)
class AsksAtOnce(FlooredReplica):
    """The replica of :class:`PullsBeforeAllClosed`: nobody tells it when to ask."""

    rules: Rules = field(default_factory=PullsBeforeAllClosed)

    @property
    def _keeper(self) -> floors.FloorKeeper:
        return _AsksAtOnce(self.rules)


# --- how they are used ------------------------------------------------------------------------------------


def whenever_there_is_time(age_days: float, all_hold_it: bool) -> bool:
    """When a replica purges what its rules let it purge."""
    return True


def after_a_grace_time(age_days: float, all_hold_it: bool) -> bool:
    """A wrong choice: when the tombstone is old (``purges_by_time``)."""
    return age_days >= GRACE_DAYS


def when_all_hold_it(age_days: float, all_hold_it: bool) -> bool:
    """A wrong choice: when all replicas hold it or something newer, or did (``purges_by_evidence``)."""
    return all_hold_it


@dataclass(frozen=True, slots=True)
class Variant(quorum.Variant):
    """What runs, and how it is used; without arguments: the right rules."""

    keeper: HintKeeper = field(default_factory=HintKeeper)
    floored: FlooredReplica = field(default_factory=FlooredReplica)
    """In the place of ``replica``, which has no floor."""
    catalog: Catalog = field(default_factory=Catalog)
    purges: Callable[[float, bool], bool] = whenever_there_is_time
    """When a replica purges a tombstone of this age, which all hold or not."""


RIGHT = Variant()

_BY_TIME = Variant(floored=FlooredReplica(rules=PurgesWithoutFloor()), purges=after_a_grace_time)
_BY_EVIDENCE = Variant(floored=FlooredReplica(rules=PurgesWithoutFloor()), purges=when_all_hold_it)


def _owing(rules: Rules) -> Variant:
    return Variant(keeper=HintKeeper(rules))


def _forgetting(rules: Rules) -> Variant:
    return Variant(floored=FlooredReplica(rules=rules))


VARIANTS: Mapping[str, Variant] = {
    "hints_in_memory_only": Variant(keeper=InMemoryOnly()),
    "removed_on_send": Variant(keeper=RemovedOnSend()),
    "hint_counts": Variant(Coordinator(HintCounts())),
    "hint_overwrites": Variant(floored=FlooredReplica(TakesWhatComes())),
    "stops_without_mark": Variant(keeper=StopsWithoutMark()),
    "cleared_by_one": _owing(ClearedByOne()),
    "cleared_by_an_earlier_exchange": _owing(ClearedByAnEarlierExchange()),
    "closes_over_open_writes": _owing(ClosesOverOpenWrites()),
    "purges_by_time": _BY_TIME,
    "purges_by_time_kept_hint": _BY_TIME,
    "purges_by_time_dead_replica": _BY_TIME,
    "purges_by_time_backup": _BY_TIME,
    "purges_by_evidence": _BY_EVIDENCE,
    "purges_by_evidence_retry": _BY_EVIDENCE,
    "purges_by_evidence_slow_clock": _BY_EVIDENCE,
    "takes_below_closed": _forgetting(TakesBelowClosed()),
    "pulls_before_all_closed": Variant(floored=AsksAtOnce()),
    "merges_only_below": _forgetting(MergesOnlyBelow()),
    "settles_alone": _forgetting(SettlesAlone()),
    "absent_is_nothing": _forgetting(AbsentIsNothing()),
    "starts_open": _forgetting(StartsOpen()),
    "counts_across_a_loss": Variant(catalog=Catalog(CountsAcrossALoss())),
    "backup_is_believed": _forgetting(BackupIsBelieved()),
}
"""By name; one rule that goes wrong in several ways has a name for each of them."""
