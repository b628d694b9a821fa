"""Wrong rules for quorums: what differs from the reference, and nothing else.

Most replace one method of the reference's rules. Where a rule is no method (nothing is taken back, a version
is taken once) a machine is replaced; where it is a matter of use (how a client repeats, what the catalog
says) it stands in :class:`Variant`. A wrong setting stands in the run that uses it,
``counterexamples/quorum_scripts.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Held,
    Incarnations,
    Send,
    Setting,
    Write,
)
from scratchbird_reference.quorum_operations import (
    Effects,
    Kind,
    Operation,
    Outcome,
    Phase,
    Reply,
)
from scratchbird_reference.quorum_operations import State as CoordinatorState
from scratchbird_reference.quorum_replica import Replica
from scratchbird_reference.quorum_replica import State as ReplicaState

# --- rules that are one method ----------------------------------------------------------------------------


class OneRound(Rules):
    """A write takes its version from its coordinator's clock, and asks nobody (QRM-2)."""

    __slots__ = ()

    def looks_first(self, setting: Setting) -> bool:
        return False


class NeedsTheSum(Rules):
    """An operation goes on only where W + R replicas answer (QRM-7)."""

    __slots__ = ()

    def enough_answers(self, setting: Setting, answers: int) -> bool:
        return answers >= setting.write_quorum + setting.read_quorum

    def enough_holders(self, setting: Setting, holders: int) -> bool:
        return holders >= setting.write_quorum + setting.read_quorum


class AsynchronousRepair(Rules):
    """A read replies at R answers, and repairs afterwards (QRM-3)."""

    __slots__ = ()

    def read_may_reply(self, setting: Setting, answers: Mapping[int, Held], holders: int) -> bool:
        return True


class WriteBackWhenAnswersDisagree(Rules):
    """A read writes back only where its answers disagree."""

    __slots__ = ()

    def read_may_reply(self, setting: Setting, answers: Mapping[int, Held], holders: int) -> bool:
        agree = len({held.version for held in answers.values()}) == 1
        return agree or Rules.read_may_reply(self, setting, answers, holders)


class SettledAtHittingSet(Rules):
    """A read replies when its winner is held by as many as meet every read quorum, N - R + 1."""

    __slots__ = ()

    def read_may_reply(self, setting: Setting, answers: Mapping[int, Held], holders: int) -> bool:
        seen = holders >= setting.size - setting.read_quorum + 1
        return seen or Rules.read_may_reply(self, setting, answers, holders)


class AckBeforeIntent(Rules):
    """A write is acknowledged before its intent is durable (QRM-5)."""

    __slots__ = ()

    def write_may_reply(self, setting: Setting, holders: int, intent_is_durable: bool) -> bool:
        return self.enough_holders(setting, holders)


class EmptyReplicaVotes(Rules):
    """A replica that lost its disk answers as if it had not (QRM-14)."""

    __slots__ = ()

    def has_vote(self, recovering: bool) -> bool:
        return True


class CountsOldIncarnation(Rules):
    """What a replica said before it lost its disk is counted."""

    __slots__ = ()

    def current(self, replica: int, answered_as: Incarnations, known: Incarnations) -> bool:
        return True


class RecoversFromOne(Rules):
    """A replica that lost its disk has its vote back when one other has told it all."""

    __slots__ = ()

    def has_recovered(self, setting: Setting, others_heard: int) -> bool:
        return others_heard >= 1


class TooFewOthers(Rules):
    """One other fewer than N - W + 1 is heard; where W = N that is the right rule, as none is heard first."""

    __slots__ = ()

    def has_recovered(self, setting: Setting, others_heard: int) -> bool:
        return others_heard >= setting.size - setting.write_quorum


class IgnoresToken(Rules):
    """An eventual read takes what it finds, whatever its client has seen."""

    __slots__ = ()

    def fresh_enough(self, winner: Held, token: int) -> bool:
        return True


class StampsBelowToken(Rules):
    """An eventual write takes a version without regard to what its client has seen."""

    __slots__ = ()

    def stamp_above(self, setting: Setting, answers: Mapping[int, Held], token: int) -> int:
        return max([0, *(held.version for held in answers.values())])


class OldEpochServed(Rules):
    """A replica goes on to serve requests of a setting that was replaced."""

    __slots__ = ()

    def accepts_epoch(self, own: int, requested: int) -> bool:
        return True


# --- machines ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Undo(Write):
    """Take this back, if it is what you hold."""


@dataclass(frozen=True, slots=True)
class RollbackCoordinator(Coordinator):
    """A write that did not reach its quorum in time is taken back (QRM-4)."""

    def _deadline(
        self, state: CoordinatorState, number: int, operation: Operation
    ) -> tuple[CoordinatorState, Effects]:
        state, effects = Coordinator._deadline(self, state, number, operation)
        if operation.kind is not Kind.WRITE or operation.phase is not Phase.WRITING:
            return state, effects
        assert operation.written is not None
        undo = Undo(number, operation.setting.epoch, operation.row, operation.written)
        return state, (*effects, *(Send(replica, undo) for replica in operation.setting.replicas))


@dataclass(frozen=True, slots=True)
class RollbackReplica(Replica):
    """Takes back what it is told to."""

    def _write(self, state: ReplicaState, write: Write) -> tuple[ReplicaState, tuple[Send, ...]]:
        if not isinstance(write, Undo):
            return Replica._write(self, state, write)
        kept = tuple(item for item in state.durable.rows if item != (write.row, write.held))
        return replace(state, durable=replace(state.durable, rows=kept)), ()


@dataclass(frozen=True, slots=True)
class SaysNotApplied(Coordinator):
    """Of a write that did not reach its quorum it says that it was not applied, and never will be."""

    def _ended(self, number: int, operation: Operation, reason: str) -> Reply:
        reply = Coordinator._ended(self, number, operation, reason)
        return replace(reply, outcome=Outcome.NOT_APPLIED) if operation.kind is Kind.WRITE else reply


@dataclass(frozen=True, slots=True)
class Stale(Acknowledgement):
    """The sender holds a newer version, this one; it did not take what it was sent."""


@dataclass(frozen=True, slots=True)
class StampAgainCoordinator(Coordinator):
    """A write that meets a newer version takes a new one, above it, and sends again (QRM-12)."""

    def _acknowledgement(
        self,
        state: CoordinatorState,
        number: int,
        operation: Operation,
        sender: int,
        message: Acknowledgement,
    ) -> tuple[CoordinatorState, Effects]:
        if not isinstance(message, Stale):
            return Coordinator._acknowledgement(self, state, number, operation, sender, message)
        if operation.kind is Kind.WRITE and operation.phase is Phase.WRITING:
            again = replace(
                operation,
                token=max(operation.token, message.version),
                written=None,
                intent_is_durable=False,
                acknowledged=(),
            )
            return self._ask_for_stamp(state, number, again)
        if operation.written is None:
            return state, ()
        newer = Acknowledgement(number, operation.written.version, message.incarnations)
        return Coordinator._acknowledgement(self, state, number, operation, sender, newer)


@dataclass(frozen=True, slots=True)
class StampAgainReplica(Replica):
    """Says STALE of what is older than what it holds."""

    def _write(self, state: ReplicaState, write: Write) -> tuple[ReplicaState, tuple[Send, ...]]:
        held = state.durable.held(write.row)
        if self.rules.supersedes(held, write.held):
            return state, (Send(None, Stale(write.operation, held.version, state.durable.incarnations)),)
        return Replica._write(self, state, write)


@dataclass(frozen=True, slots=True)
class UncheckedSetting(Setting):
    """A setting that nobody checked: linearizable also where W + R <= N (QRM-1)."""

    def __post_init__(self) -> None:
        """Whatever the numbers are."""


# --- how they are used ------------------------------------------------------------------------------------


def least_write_quorum(in_force: Sequence[Setting]) -> Setting:
    """The setting by which a replica that lost its disk recovers (rule QUORUM.R13)."""
    return min(in_force, key=lambda setting: setting.write_quorum)


def newest_setting(in_force: Sequence[Setting]) -> Setting:
    """A wrong choice of it: the newest, whatever else is in force (``recovers_as_newest``)."""
    return max(in_force, key=lambda setting: setting.epoch)


def whole_map(lost: int, incarnations: Mapping[int, int]) -> Incarnations:
    """What the catalog hands to a replica that lost its disk: everybody's incarnation (QUORUM.R14)."""
    return tuple(sorted(incarnations.items()))


def own_only(lost: int, incarnations: Mapping[int, int]) -> Incarnations:
    """A wrong catalog: it names the replica's own incarnation alone (``own_incarnation_only``)."""
    return ((lost, incarnations[lost]),)


@dataclass(frozen=True, slots=True)
class Variant:
    """What runs, and how it is used; without arguments: the right rules."""

    coordinator: Coordinator = field(default_factory=Coordinator)
    replica: Replica = field(default_factory=Replica)
    repeats_under_new_version: bool = False
    """Whether a client that repeats a write has it stamped anew (QRM-11)."""
    recovers_by: Callable[[Sequence[Setting]], Setting] = least_write_quorum
    """By which of the settings in force a replica that lost its disk recovers."""
    hands_out: Callable[[int, Mapping[int, int]], Incarnations] = whole_map
    """Which incarnations the catalog tells a replica that lost its disk."""


RIGHT = Variant()


def _under(rules: Rules) -> Variant:
    return Variant(Coordinator(rules), Replica(rules))


WRONG_SETTINGS = (
    "disjoint_quorums",
    "online_change",
    "strong_by_label",
    "read_only_with_two_down",
    "minority_reads",
)
"""Variants that are wrong by their settings alone, or by what is expected of them."""

VARIANTS: Mapping[str, Variant] = {
    "one_round": _under(OneRound()),
    "asynchronous_repair": _under(AsynchronousRepair()),
    "write_back_when_answers_disagree": _under(WriteBackWhenAnswersDisagree()),
    "settled_at_hitting_set": _under(SettledAtHittingSet()),
    "ack_before_intent": _under(AckBeforeIntent()),
    "empty_replica_votes": _under(EmptyReplicaVotes()),
    "counts_old_incarnation": _under(CountsOldIncarnation()),
    "recovers_from_one": _under(RecoversFromOne()),
    "ignores_token": _under(IgnoresToken()),
    "stamps_below_token": _under(StampsBelowToken()),
    "old_epoch_served": _under(OldEpochServed()),
    "rollback": Variant(RollbackCoordinator(), RollbackReplica()),
    "says_not_applied": Variant(SaysNotApplied()),
    "stamp_again_on_stale": Variant(StampAgainCoordinator(OneRound()), StampAgainReplica()),
    "retry_with_new_version": Variant(repeats_under_new_version=True),
    "recovers_as_newest": Variant(recovers_by=newest_setting),
    "own_incarnation_only": Variant(hands_out=own_only),
    "needs_the_sum": _under(NeedsTheSum()),
    **dict.fromkeys(WRONG_SETTINGS, Variant()),
}
"""By name."""
