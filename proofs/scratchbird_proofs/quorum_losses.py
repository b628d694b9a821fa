"""Lost disks: what replied is still seen by every read, however many disks are lost, at whatever time.

One version is fixed, and one set of replicas: those that an operation counts as holders when it replies.
What is said of them is said of any version and any such set. A replica that lost its disk has a new
incarnation, and no vote before a *recovery set* of others, which have one, told it all that they hold. All
that is known of sets: a recovery set meets the counted one (N - W + 1 and W,
``quorum.others_heard_meet_the_holders``), and so does a read quorum. Messages may be late: what was told is
merged when the replica gets its vote back, and the acknowledgement that is counted was sent at any time
before.

The danger is an acknowledgement from before the loss. If a replica acknowledged, lost its disk and
recovered from others before they held the version, one of them acknowledges later. It then carries the new
incarnation, and the coordinator does not count the old acknowledgement (QUORUM.R14). Such a set is called
*doomed* here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import z3

from scratchbird_proofs.quorum_system import (
    NO,
    NOBODY,
    NUMBER,
    NUMBERS,
    RELATION,
    SET,
    YES,
    Quorums,
    any_quorums,
    at,
    common,
    constants,
    meeting,
    nobody,
    put,
)
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

COUNTED = z3.Const("counted_as_holders", SET)
"""The replicas that the operation counts when it replies."""
_KNOWN = z3.ArraySort(NUMBER, NUMBERS)


@dataclass(frozen=True, slots=True)
class Disks:
    """The replicas, as far as one version is concerned."""

    incarnation: Term
    recovering: Term
    """Replicas without a vote."""
    holds: Term
    """Replicas that hold the version or a newer one."""
    knows: Term
    """Replica -> the incarnations that it knows of."""
    told: Term
    """Replica -> the others that told it all they hold, since it lost its disk."""
    merged: Term
    """Replicas that were told the version, or a newer one, since they lost their disks."""
    acked: Term
    """Replicas that sent the acknowledgement which is counted."""
    acked_as: Term
    """Replica -> its incarnation when it sent it."""
    carried: Term
    """Replica -> the incarnations that it carried."""
    doomed: Term
    """Ghost: the acknowledgement of ``old`` is not counted, because of what ``witness`` carries."""
    old: Term
    witness: Term


_SORTS = {
    "incarnation": NUMBERS,
    "acked_as": NUMBERS,
    "knows": _KNOWN,
    "carried": _KNOWN,
    "told": RELATION,
    "doomed": z3.BoolSort(),
    "old": NUMBER,
    "witness": NUMBER,
}


def any_disks() -> Disks:
    """Any state whatever."""
    return Disks(**constants(Disks, _SORTS))


@dataclass(frozen=True, slots=True)
class LossRules:
    """The rules as they stand, given what a recovery set and enough holders are."""

    recovers: Quorums
    """``reads``: whether a replica may have its vote back when these told it; ``holds``: enough holders."""
    reading: Quorums
    """``reads``: a read quorum; ``holds`` as above."""

    def counts(self, s: Disks, replica: Term, other: Term) -> Formula:
        """QUORUM.R14: what another one carries does not make this one's acknowledgement old."""
        return at(s.acked_as, replica) >= at(s.carried, other, replica)

    def may_recover(self, s: Disks, replica: Term) -> Formula:
        """QUORUM.R13: enough others told it."""
        return self.recovers.reads(at(s.told, replica))

    def handed_out(self, incarnation: Term, replica: Term) -> Term:
        """QUORUM.R14: what the catalog tells one that lost its disk, the current incarnation of everybody."""
        return incarnation


def any_loss_rules() -> LossRules:
    """Of any sets whatever."""
    enough = any_quorums()
    return LossRules(Quorums(z3.Function("is_recovery_set", SET, z3.BoolSort()), enough.holds), enough)


@dataclass(frozen=True, slots=True)
class LossStep:
    """When an event is possible, and what the state is afterwards."""

    possible: Formula
    after: Disks


# --- steps ------------------------------------------------------------------------------------------------


def _ack(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
    after = replace(
        s,
        holds=put(s.holds, YES, x),
        acked=put(s.acked, YES, x),
        acked_as=put(s.acked_as, at(s.incarnation, x), x),
        carried=put(s.carried, at(s.knows, x), x),
    )
    return LossStep(z3.Not(at(s.acked, x)), after)


def _apply(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
    return LossStep(YES, replace(s, holds=put(s.holds, YES, x)))


def _lose(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
    """The catalog hands it a new incarnation, and everybody's current one."""
    incarnation = put(s.incarnation, at(s.incarnation, x) + 1, x)
    after = replace(
        s,
        incarnation=incarnation,
        recovering=put(s.recovering, YES, x),
        holds=put(s.holds, NO, x),
        knows=put(s.knows, rules.handed_out(incarnation, x), x),
        told=put(s.told, NOBODY, x),
        merged=put(s.merged, NO, x),
    )
    return LossStep(YES, after)


def _tell(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
    """y, which has a vote, tells x all that it holds, and remembers its incarnation."""
    after = replace(
        s,
        told=put(s.told, YES, x, y),
        merged=put(s.merged, z3.Or(at(s.merged, x), at(s.holds, y)), x),
        knows=put(s.knows, at(s.incarnation, x), y, x),
    )
    return LossStep(z3.And(at(s.recovering, x), z3.Not(at(s.recovering, y))), after)


def _learn(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
    """Late news: y hears of an incarnation of x that is no newer than the one that x has."""
    news = z3.Int("news")
    newer = z3.And(news > at(s.knows, y, x), news <= at(s.incarnation, x))
    return LossStep(newer, replace(s, knows=put(s.knows, news, y, x)))


def _recover(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
    """x merges what it was told and has a vote again."""
    old = z3.And(at(s.acked, x), at(s.acked_as, x) < at(s.incarnation, x), at(COUNTED, x))
    new = z3.And(z3.Not(s.doomed), old, z3.Not(at(s.merged, x)))
    after = replace(
        s,
        recovering=put(s.recovering, NO, x),
        holds=put(s.holds, z3.Or(at(s.holds, x), at(s.merged, x)), x),
        doomed=z3.Or(s.doomed, new),
        old=z3.If(new, x, s.old),
        witness=z3.If(new, common(at(s.told, x), COUNTED), s.witness),
    )
    return LossStep(z3.And(at(s.recovering, x), rules.may_recover(s, x)), after)


LOSS_STEPS: dict[str, Callable[[LossRules, Disks, Term, Term], LossStep]] = {
    "ack": _ack,
    "apply": _apply,
    "lose": _lose,
    "tell": _tell,
    "learn": _learn,
    "recover": _recover,
}


def fresh(s: Disks, x: Term, y: Term) -> Formula:
    """No disk was lost, and nobody acknowledged: what that says of these replicas."""
    nothing = z3.Or(at(s.recovering, x), at(s.told, x, y), at(s.acked, x), at(s.merged, x), s.doomed)
    return z3.And(z3.Not(nothing), at(s.incarnation, x) == 0, at(s.knows, y, x) == 0)


# --- the invariant ----------------------------------------------------------------------------------------


def carries(s: Disks, y: Term, x: Term) -> Term:
    """The incarnation of x that y's acknowledgement carried, or would carry now."""
    return z3.If(at(s.acked, y), at(s.carried, y, x), at(s.knows, y, x))


def _knowledge(s: Disks, x: Term, y: Term) -> Formula:
    remembered = z3.Implies(at(s.told, x, y), at(s.knows, y, x) >= at(s.incarnation, x))
    return z3.And(at(s.knows, y, x) <= at(s.incarnation, x), remembered)


def _acked_is_held(s: Disks, x: Term, y: Term) -> Formula:
    same = z3.Implies(at(s.acked_as, x) == at(s.incarnation, x), at(s.holds, x))
    return z3.Implies(at(s.acked, x), z3.And(at(s.acked_as, x) <= at(s.incarnation, x), same))


def _told_or_known(s: Disks, x: Term, y: Term) -> Formula:
    known = carries(s, y, x) >= at(s.incarnation, x)
    return z3.Implies(z3.And(at(s.told, x, y), at(COUNTED, y)), z3.Or(at(s.merged, x), s.doomed, known))


def _counted_holds(s: Disks, x: Term, y: Term) -> Formula:
    votes = z3.And(at(COUNTED, x), at(s.acked, x), z3.Not(at(s.recovering, x)))
    return z3.Implies(votes, z3.Or(at(s.holds, x), s.doomed))


def _doomed(s: Disks, x: Term, y: Term) -> Formula:
    both = z3.And(at(COUNTED, s.old), at(COUNTED, s.witness), at(s.acked, s.old))
    return z3.Implies(s.doomed, z3.And(both, carries(s, s.witness, s.old) > at(s.acked_as, s.old)))


LOSS_CLAUSES: dict[str, Callable[[Disks, Term, Term], Formula]] = {
    "who told knows the incarnation": _knowledge,
    "who acknowledged and kept his disk holds it": _acked_is_held,
    "who was told, was told of it, or is known as new": _told_or_known,
    "who is counted and has a vote holds it": _counted_holds,
    "or his acknowledgement is known as old": _doomed,
}


def _instances(s: Disks, *replicas: Term) -> dict[str, Formula]:
    pairs = tuple(product(replicas, replicas))
    return {name: z3.And(*(says(s, x, y) for x, y in pairs)) for name, says in LOSS_CLAUSES.items()}


X, Y, ACTOR, PEER = z3.Ints("a_replica another_replica who_acts its_peer")


def keeps_through(rules: LossRules, kind: str) -> tuple[Obligation, ...]:
    """A step of this kind keeps each clause."""
    s = any_disks()
    step = LOSS_STEPS[kind](rules, s, ACTOR, PEER)
    told = at(s.told, ACTOR)
    given = {
        **_instances(s, X, Y, ACTOR, PEER, s.old, s.witness, common(told, COUNTED)),
        "a recovery set meets those counted": meeting(rules.recovers, told, COUNTED),
        "those counted are enough": rules.recovers.holds(COUNTED),
        "nobody": z3.And(nobody(X), nobody(Y)),
        f"a step: {kind}": step.possible,
    }
    reaches: dict[str, Formula] = {}
    if kind == "recover":
        late = z3.And(at(s.acked, ACTOR), at(COUNTED, ACTOR), z3.Not(s.doomed))
        reaches = {
            "it is told the version": z3.And(late, at(s.merged, ACTOR)),
            "its acknowledgement becomes old": z3.And(late, step.after.doomed),
        }
    return tuple(
        Obligation(f"{kind}: {name}", given, says(step.after, X, Y), reaches)
        for name, says in LOSS_CLAUSES.items()
    )


def theorems(rules: LossRules | None = None) -> tuple[Theorem, ...]:
    """All of this module, of the rules as they stand or of others."""
    stated = rules or any_loss_rules()
    s = any_disks()
    readers = z3.Const("readers", SET)

    def begins() -> Sequence[Obligation]:
        given = {"nothing has happened": z3.And(fresh(s, X, Y), fresh(s, Y, X))}
        return tuple(Obligation(name, given, says(s, X, Y)) for name, says in LOSS_CLAUSES.items())

    def every_step() -> Sequence[Obligation]:
        return tuple(item for kind in LOSS_STEPS for item in keeps_through(stated, kind))

    def survives() -> Sequence[Obligation]:
        member = common(readers, COUNTED)
        given = {
            **_instances(s, member, s.old, s.witness),
            "all those counted acknowledged": z3.And(
                *(z3.Implies(at(COUNTED, x), at(s.acked, x)) for x in (member, s.old, s.witness))
            ),
            "no acknowledgement is known as old": stated.counts(s, s.old, s.witness),
            "those counted are enough": stated.reading.holds(COUNTED),
            "a read quorum answers": stated.reading.reads(readers),
            "who answers has a vote": z3.Implies(at(readers, member), z3.Not(at(s.recovering, member))),
            "quorums meet": meeting(stated.reading, readers, COUNTED),
        }
        lost = {"it lost its disk since": at(s.incarnation, member) > at(s.acked_as, member)}
        seen = z3.And(at(readers, member), at(s.holds, member))
        return (Obligation("one who answers holds it", given, seen, lost),)

    return (
        Theorem(
            "quorum.losses_invariant_holds_at_first",
            "Before a disk is lost, the invariant of lost disks holds.",
            ("QRM-14",),
            ("QUORUM.R13",),
            begins,
        ),
        Theorem(
            "quorum.losses_invariant_is_kept",
            "Every loss, exchange, recovery and acknowledgement keeps it, in any order and number.",
            ("QRM-14",),
            ("QUORUM.R13", "QUORUM.R14"),
            every_step,
            ("quorum.others_heard_meet_the_holders",),
        ),
        Theorem(
            "quorum.what_replied_outlives_lost_disks",
            "A read quorum of replicas that have a vote includes one that holds what replied before, "
            "whichever disks were lost at whatever time.",
            ("QRM-14", "QRM-13"),
            ("QUORUM.R13", "QUORUM.R14"),
            survives,
            (
                "quorum.losses_invariant_holds_at_first",
                "quorum.losses_invariant_is_kept",
                "quorum.write_quorum_meets_read_quorum",
            ),
        ),
    )
