"""One replica and one shard: up to where its past is forgotten, as a state machine without input or output.

``FloorKeeper(rules).step(state, event)`` returns the next state and the effects. It stands beside the replica
of :mod:`scratchbird_reference.quorum_replica` and sees to it what that may take (:meth:`FloorKeeper.admits`)
and how it answers for a row that it does not hold (:meth:`FloorKeeper.answer`). What changed in
``state.durable`` must be durable before an effect is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff import Rules
from scratchbird_reference.quorum_messages import Held, Setting, check_version


@dataclass(frozen=True, slots=True)
class Durable:
    """What survives a crash, and goes when the disk is lost."""

    replica: int
    closed: int = 0
    """The highest floor below which nothing enters any more; 0 if there is none."""
    converged: int = 0
    """The highest floor at which it holds what all hold."""
    floor: int = 0
    """The floor at which it has settled: what is absent is deleted at this version."""


@dataclass(frozen=True, slots=True)
class Volatile:
    """What a crash drops."""

    all_closed: int = 0
    """The highest floor of which the catalog said that all replicas have closed it."""
    all_converged: int = 0
    merged: frozenset[int] = frozenset()
    """The others whose past up to the closed floor was merged since all had closed it."""


@dataclass(frozen=True, slots=True)
class State:
    """One replica's part of a shard. A crash drops the volatile half."""

    setting: Setting
    durable: Durable
    volatile: Volatile = field(default_factory=Volatile)


# --- events and effects -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Propose:
    """The catalog proposes a floor: a version that no write takes (rule HANDOFF.R9)."""

    floor: int


@dataclass(frozen=True, slots=True)
class AllClosed:
    """The catalog has heard from all replicas that they have closed this floor."""

    floor: int


@dataclass(frozen=True, slots=True)
class Merged:
    """The past of this other replica up to the closed floor is merged, and durable."""

    other: int


@dataclass(frozen=True, slots=True)
class AllConverged:
    """The catalog has heard from all replicas, in their present incarnations, that they have converged."""

    floor: int


@dataclass(frozen=True, slots=True)
class Crash:
    """The process ends and starts again."""


@dataclass(frozen=True, slots=True)
class LostDisk:
    """It starts on an empty disk; ``proposed`` is the highest floor that was ever proposed (HANDOFF.R13)."""

    proposed: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """It has merged what enough others hold (QUORUM.R13); the highest floor at which one of them settled."""

    settled: int


Event = Propose | AllClosed | Merged | AllConverged | Crash | LostDisk | Recovered


@dataclass(frozen=True, slots=True)
class SayClosed:
    """Tell the catalog that this floor is closed here."""

    floor: int


@dataclass(frozen=True, slots=True)
class AskFor:
    """Ask this replica for its past up to the floor."""

    other: int
    floor: int


@dataclass(frozen=True, slots=True)
class SayConverged:
    """Tell the catalog, with the present incarnation, that this replica has converged at the floor."""

    floor: int


@dataclass(frozen=True, slots=True)
class PurgeBelow:
    """Tombstones at or below the floor may go, whenever there is time (rule HANDOFF.R11)."""

    floor: int


Effect = SayClosed | AskFor | SayConverged | PurgeBelow
Effects = tuple[Effect, ...]


@dataclass(frozen=True, slots=True)
class FloorKeeper:
    """A replica's floor under these rules. It holds no state."""

    rules: Rules = field(default_factory=Rules)

    # --- beside the replica -------------------------------------------------------------------------------

    def admits(self, durable: Durable, held: Held, sent: Held) -> bool:
        """Whether a write, write-back or hint is taken and acknowledged; else it is *below the floor*.

        ``held`` is what is there, and not what a query is told: an absent row at a settled replica vouches
        for nothing, or a write would be acknowledged that nobody will ever read.
        """
        return self.rules.takes(durable.closed, durable.converged, held, sent)

    def answer(self, durable: Durable, held: Held) -> Held:
        """What a query is told of a row of which this is held (rule HANDOFF.R11)."""
        return held if held.version else self.rules.absent_as(durable.floor)

    def admits_backup(self, durable: Durable, others: Held, held: Held) -> bool:
        """Whether a backup's row is merged, when ``others`` is the newest that anybody else holds."""
        return self.rules.believes_backup(durable.closed, held) or held == others

    # --- steps --------------------------------------------------------------------------------------------

    def step(self, state: State, event: Event) -> tuple[State, Effects]:
        """Take one step.

        :raises CallerError: if a floor is no version, or a replica is named that is none of the others. The
            state is then unchanged.
        """
        match event:
            case Propose():
                return self._close(state, event.floor)
            case AllClosed():
                return self._all_closed(state, event.floor)
            case Merged():
                return self._merged(state, event.other)
            case AllConverged():
                check_version(event.floor)
                highest = max(event.floor, state.volatile.all_converged)
                volatile = replace(state.volatile, all_converged=highest)
                return self._settle(replace(state, volatile=volatile))
            case Crash():
                return replace(state, volatile=Volatile()), ()
            case LostDisk():
                return self._lost(state, event.proposed)
        return self._recovered(state, event.settled)

    def _close(self, state: State, floor: int) -> tuple[State, Effects]:
        check_version(floor)
        if floor <= state.durable.closed:
            return state, (SayClosed(state.durable.closed),)  # It may not have been heard.
        durable = replace(state.durable, closed=floor)
        volatile = replace(state.volatile, merged=frozenset())
        return replace(state, durable=durable, volatile=volatile), (SayClosed(floor),)

    def _all_closed(self, state: State, floor: int) -> tuple[State, Effects]:
        check_version(floor)
        durable, volatile = state.durable, state.volatile
        volatile = replace(volatile, all_closed=max(floor, volatile.all_closed))
        state = replace(state, volatile=volatile)
        if durable.converged == durable.closed != 0:
            return state, (SayConverged(durable.converged),)  # It may not have been heard.
        if not durable.closed or not self.rules.may_converge(volatile.all_closed, durable.closed):
            return state, ()
        left = self._others(state) - volatile.merged
        return state, tuple(AskFor(other, durable.closed) for other in sorted(left))

    def _merged(self, state: State, other: int) -> tuple[State, Effects]:
        if other not in self._others(state):
            raise CallerError(f"replica {other} is none of the others: {sorted(self._others(state))}")
        durable, volatile = state.durable, state.volatile
        if durable.converged == durable.closed:
            return state, ()
        if not self.rules.may_converge(volatile.all_closed, durable.closed):
            return state, ()  # What was merged before all had closed is not the whole past (HANDOFF.R10).
        merged = volatile.merged | {other}
        if not self.rules.has_converged(state.setting, merged):
            return replace(state, volatile=replace(volatile, merged=merged)), ()
        durable = replace(durable, converged=durable.closed)
        volatile = replace(volatile, merged=frozenset())
        state, purge = self._settle(replace(state, durable=durable, volatile=volatile))
        return state, (SayConverged(durable.converged), *purge)

    def _settle(self, state: State) -> tuple[State, Effects]:
        durable, volatile = state.durable, state.volatile
        may = self.rules.may_settle(durable.converged, volatile.all_converged, durable.closed)
        if not may or durable.floor >= durable.closed:
            return state, ()
        durable = replace(durable, floor=durable.closed)
        return replace(state, durable=durable), (PurgeBelow(durable.floor),)

    def _lost(self, state: State, proposed: int) -> tuple[State, Effects]:
        if proposed < state.durable.closed:
            raise CallerError(
                f"floor {proposed} is below {state.durable.closed}, which replica {state.durable.replica} "
                f"had closed: the catalog names the highest that was ever proposed"
            )
        closed = self.rules.closed_at_start(proposed)
        durable = Durable(state.durable.replica, closed=closed)
        return State(state.setting, durable), (SayClosed(closed),) if closed else ()

    def _recovered(self, state: State, settled: int) -> tuple[State, Effects]:
        if not settled:
            return state, ()
        check_version(settled)
        durable = replace(
            state.durable,
            closed=max(settled, state.durable.closed),
            converged=max(settled, state.durable.converged),
            floor=max(settled, state.durable.floor),
        )
        return replace(state, durable=durable), ()

    def _others(self, state: State) -> frozenset[int]:
        return frozenset(state.setting.replicas) - {state.durable.replica}
