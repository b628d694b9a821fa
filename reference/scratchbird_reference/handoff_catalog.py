"""What the catalog knows of a shard's floor: who has closed it, and who has converged at it.

``Catalog().step(state, event)`` returns the next state and what to tell the replicas. The catalog is one
register that all nodes agree on (its own part makes it so); here it is one state machine, and nothing of it
is ever lost. It says the same again whenever it is asked, because a replica may have crashed meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff import Rules
from scratchbird_reference.handoff_floor import AllClosed, AllConverged, Propose
from scratchbird_reference.quorum_messages import Incarnations, Setting, check_version, incarnation_of, newest


@dataclass(frozen=True, slots=True)
class State:
    """One shard. All of it is durable."""

    setting: Setting
    incarnations: Incarnations
    """Of every replica, the present one (rule QUORUM.R14)."""
    proposed: int = 0
    closed: frozenset[int] = frozenset()
    """Who has closed the proposed floor. Who loses its disk starts closed at it (rule HANDOFF.R13)."""
    converged: Incarnations = ()
    """Who has converged at the proposed floor, and in which incarnation."""
    all_converged: int = 0
    """The highest floor at which all have converged: replicas may settle there, whatever happens later."""
    void: bool = False
    """Whether a disk was lost before all had converged at the proposed floor (rule HANDOFF.R13)."""


@dataclass(frozen=True, slots=True)
class ProposeFloor:
    """A node wants a floor, well in the past, that no write takes (rule HANDOFF.R9)."""

    floor: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A replica has closed this floor, durably."""

    replica: int
    floor: int


@dataclass(frozen=True, slots=True)
class Converged:
    """A replica has converged at this floor, in this incarnation."""

    replica: int
    floor: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class LostDisk:
    """A replica starts on an empty disk, in this incarnation, which is above each that it ever had."""

    replica: int
    incarnation: int


@dataclass(frozen=True, slots=True)
class Ask:
    """A replica asks how far the floor is: at its start, and from time to time."""

    replica: int


Event = ProposeFloor | Closed | Converged | LostDisk | Ask


@dataclass(frozen=True, slots=True)
class Tell:
    """Tell this replica so."""

    to: int
    what: Propose | AllClosed | AllConverged


@dataclass(frozen=True, slots=True)
class Catalog:
    """The catalog's part in a floor. It holds no state."""

    rules: Rules = field(default_factory=Rules)

    def step(self, state: State, event: Event) -> tuple[State, tuple[Tell, ...]]:
        """Take one step.

        :raises CallerError: if a floor is no version or does not rise, a replica is none of the setting's, or
            an incarnation is not above the last. The state is then unchanged.
        """
        if isinstance(event, ProposeFloor):
            return self._propose(state, event.floor)
        if event.replica not in state.setting.replicas:
            raise CallerError(f"replica {event.replica} is none of {state.setting.replicas}")
        match event:
            case Closed() | Converged() if state.void:
                return state, ()
            case Closed() if event.floor == state.proposed:
                was_closed = self._all_closed(state)
                state = replace(state, closed=state.closed | {event.replica})
                news = self._all_closed(state) and not was_closed
                return state, self._tell_all(state, AllClosed(state.proposed)) if news else ()
            case Converged() if event.floor == state.proposed:
                return self._converged(state, event)
            case LostDisk():
                return self._lost_disk(state, event)
            case Ask():
                return state, self._answer(state, event.replica)
        return state, ()  # Of an older floor.

    def _propose(self, state: State, floor: int) -> tuple[State, tuple[Tell, ...]]:
        """One floor after the other: the next one when all have converged at this one, or none will.

        A replica that closes the next one has to merge the past anew. So nothing but the end of it depends on
        this: a floor that rises too fast would never be reached.
        """
        check_version(floor)
        if floor <= state.proposed:
            raise CallerError(f"floor {floor} is not above {state.proposed}: floors rise")
        if state.proposed != state.all_converged and not state.void:
            raise CallerError(
                f"floor {floor}: not all replicas have converged at {state.proposed} yet; wait for "
                f"{sorted(set(state.setting.replicas) - {replica for replica, _ in state.converged})}"
            )
        state = replace(state, proposed=floor, closed=frozenset(), converged=(), void=False)
        return state, self._tell_all(state, Propose(floor))

    def _converged(self, state: State, event: Converged) -> tuple[State, tuple[Tell, ...]]:
        """What a replica said before it lost its disk is not counted (rule HANDOFF.R13)."""
        if event.incarnation != incarnation_of(event.replica, state.incarnations):
            return state, ()
        said = newest(state.converged, ((event.replica, event.incarnation),))
        state = replace(state, converged=said)
        if state.all_converged == state.proposed or len(said) < state.setting.size:
            return state, ()
        state = replace(state, all_converged=state.proposed)
        return state, self._tell_all(state, AllConverged(state.proposed))

    def _lost_disk(self, state: State, event: LostDisk) -> tuple[State, tuple[Tell, ...]]:
        before = incarnation_of(event.replica, state.incarnations)
        if event.incarnation <= before:
            raise CallerError(
                f"replica {event.replica} is to start as incarnation {event.incarnation}, and was {before}: "
                f"pass a higher one, or what it said before still counts"
            )
        incarnations = newest(state.incarnations, ((event.replica, event.incarnation),))
        state = replace(state, incarnations=incarnations)
        if self.rules.is_void(state.proposed, state.all_converged):
            return replace(state, closed=frozenset(), converged=(), void=True), ()
        return state, ()

    def _answer(self, state: State, replica: int) -> tuple[Tell, ...]:
        if not state.proposed:
            return ()
        told: list[Propose | AllClosed | AllConverged] = [Propose(state.proposed)]
        if self._all_closed(state):
            told.append(AllClosed(state.proposed))
        if state.all_converged:
            told.append(AllConverged(state.all_converged))
        return tuple(Tell(replica, what) for what in told)

    def _all_closed(self, state: State) -> bool:
        return state.proposed > 0 and len(state.closed) == state.setting.size

    def _tell_all(self, state: State, what: Propose | AllClosed | AllConverged) -> tuple[Tell, ...]:
        return tuple(Tell(replica, what) for replica in state.setting.replicas)
