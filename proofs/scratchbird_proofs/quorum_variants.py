"""The wrong rules of linearizable mode, each as what it changes in the right ones."""

from __future__ import annotations

from dataclasses import dataclass, replace

import z3

from scratchbird_proofs.quorum_system import INITIAL, KINDS, YES, Event, Quorums, Rules, State, Step, at, put
from scratchbird_proofs.theorem import Formula, Term


class OneRound(Rules):
    """A write takes whatever its clock says, and asks nobody."""

    def may_stamp(self, s: State, e: Event) -> Formula:
        """Always."""
        return YES


class AsynchronousRepair(Rules):
    """A read replies as soon as it has its R answers, and repairs the others afterwards."""

    def may_reply(self, s: State, e: Event) -> Formula:
        """A read: always."""
        return z3.Or(z3.Not(at(s.writes, e.op)), Rules.may_reply(self, s, e))


class WritesBackOnlyWhenAnswersDisagree(Rules):
    """A read replies when R replicas answered the same version: nothing is written back."""

    def may_reply(self, s: State, e: Event) -> Formula:
        """A read: when all that answered, a read quorum, hold the winner."""
        held = at(s.held, e.op)
        agreed = z3.And(self.quorums.reads(held), z3.IsSubset(at(s.heard, e.op), held))
        return z3.Or(z3.And(z3.Not(at(s.writes, e.op)), agreed), Rules.may_reply(self, s, e))


class DisjointQuorums(Rules):
    """W + R = N: nothing says that two quorums meet."""

    def meet(self, readers: Term, holders: Term) -> Formula:
        """Nothing is known."""
        return YES


@dataclass(frozen=True, slots=True)
class OnlineChange(Rules):
    """Operations 2 and above use another W and R, each sound for itself, while the others go on."""

    later: Quorums

    def may_choose(self, s: State, e: Event) -> Formula:
        """By the setting of the operation."""
        heard = at(s.heard, e.op)
        return z3.If(e.op >= 2, self.later.reads(heard), self.quorums.reads(heard))

    def may_reply(self, s: State, e: Event) -> Formula:
        """By the setting of the operation."""
        held = at(s.held, e.op)
        return z3.If(e.op >= 2, self.later.holds(held), self.quorums.holds(held))


class EmptyReplicaVotes(Rules):
    """A replica that lost its disk goes on as if it never held anything."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """One more: a disk is lost."""
        return (*KINDS, "lose")

    def step(self, kind: str, s: State, e: Event) -> Step:
        """A lost disk is an empty one."""
        if kind == "lose":
            return Step(YES, replace(s, durable=put(s.durable, INITIAL, e.replica)))
        return Rules.step(self, kind, s, e)


class Rollback(Rules):
    """A write that did not reach its quorum is undone where it was applied."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """One more: a replica undoes a write."""
        return (*KINDS, "undo")

    def step(self, kind: str, s: State, e: Event) -> Step:
        """The write has not replied, and this replica holds its version."""
        if kind == "undo":
            mine = z3.And(at(s.writes, e.op), at(s.chosen, e.op), z3.Not(at(s.done, e.op)))
            applied = at(s.durable, e.replica) == at(s.version, e.op)
            return Step(z3.And(mine, applied), replace(s, durable=put(s.durable, INITIAL, e.replica)))
        return Rules.step(self, kind, s, e)


@dataclass(frozen=True, slots=True)
class SettledAtHittingSet(Rules):
    """A read replies when N - R + 1 replicas hold its winner, though a replica that lost its disk may have
    its vote back from N - W + 1 others: where W = N, from one."""

    seen_by_every_read: Quorums

    @property
    def kinds(self) -> tuple[str, ...]:
        """One more: a disk is lost, and its replica recovers from another one."""
        return (*KINDS, "recover")

    def may_reply(self, s: State, e: Event) -> Formula:
        """A read: when every read quorum has a replica that holds the winner."""
        seen = z3.And(z3.Not(at(s.writes, e.op)), self.seen_by_every_read.holds(at(s.held, e.op)))
        return z3.Or(seen, Rules.may_reply(self, s, e))

    def step(self, kind: str, s: State, e: Event) -> Step:
        """The other one has the number of the event's version."""
        if kind == "recover":
            told = at(s.durable, e.version)
            return Step(e.version != e.replica, replace(s, durable=put(s.durable, told, e.replica)))
        return Rules.step(self, kind, s, e)
