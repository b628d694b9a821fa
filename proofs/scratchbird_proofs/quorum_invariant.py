"""Why linearizable mode is linearizable: an invariant of every step, shown clause by clause.

Each clause is said of arbitrary operations, an arbitrary replica and an arbitrary version. A step is shown
to keep it, taking all clauses before the step for granted of those and of whoever takes part in the step.
No quantifier is needed: what is taken for granted is a finite number of instances, and fewer instances only
make a proof harder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import z3

from scratchbird_proofs.quorum_system import (
    INITIAL,
    Event,
    Quorums,
    Rules,
    State,
    any_event,
    any_quorums,
    any_state,
    at,
    common,
    initial,
    nobody,
)
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem


@dataclass(frozen=True, slots=True)
class Things:
    """What a clause speaks of."""

    op: Term
    other: Term
    replica: Term
    version: Term


ANY = Things(*z3.Ints("an_op another_op a_replica a_version"))


@dataclass(frozen=True, slots=True)
class Clause:
    """One part of the invariant."""

    name: str
    about: str
    """Which of the things it depends on: ``o`` operation, ``a`` another, ``r`` replica, ``v`` version."""
    says: Callable[[Quorums, State, Things], Formula]


def is_known(s: State, version: Term) -> Formula:
    """Whether a write stamped it, or nobody wrote."""
    return z3.Or(version == INITIAL, at(s.issued, version))


def _not_begun(q: Quorums, s: State, t: Things) -> Formula:
    nothing = z3.Or(
        at(s.heard, t.op, t.replica),
        at(s.held, t.op, t.replica),
        at(s.answered, t.op, t.replica, t.version),
        at(s.chosen, t.op),
    )
    return z3.Implies(z3.Not(at(s.began, t.op)), z3.Not(nothing))


def _not_chosen(q: Quorums, s: State, t: Things) -> Formula:
    late = z3.Or(at(s.held, t.op, t.replica), at(s.done, t.op))
    return z3.Implies(z3.Not(at(s.chosen, t.op)), z3.Not(late))


def _fences(q: Quorums, s: State, t: Things) -> Formula:
    return z3.And(q.holds(s.fence), z3.Implies(at(s.began, t.op), q.holds(at(s.fence_of, t.op))))


def _settled_is_held(q: Quorums, s: State, t: Things) -> Formula:
    return z3.Implies(at(s.fence, t.replica), at(s.durable, t.replica) >= s.settled)


def _start_is_held(q: Quorums, s: State, t: Things) -> Formula:
    mine = z3.And(at(s.began, t.op), at(s.fence_of, t.op, t.replica))
    return z3.Implies(mine, at(s.durable, t.replica) >= at(s.start, t.op))


def _answers_tell_the_start(q: Quorums, s: State, t: Things) -> Formula:
    told = z3.And(at(s.answered, t.op, t.replica, t.version), at(s.fence_of, t.op, t.replica))
    return z3.Implies(told, t.version >= at(s.start, t.op))


def _top_is_above_the_start(q: Quorums, s: State, t: Things) -> Formula:
    counted = z3.And(at(s.heard, t.op, t.replica), at(s.fence_of, t.op, t.replica))
    return z3.Implies(counted, at(s.top, t.op) >= at(s.start, t.op))


def _told_is_held(q: Quorums, s: State, t: Things) -> Formula:
    told = z3.Or(at(s.acked, t.replica, t.version), at(s.answered, t.op, t.replica, t.version))
    return z3.Implies(told, at(s.durable, t.replica) >= t.version)


def _holders_hold(q: Quorums, s: State, t: Things) -> Formula:
    return z3.Implies(at(s.held, t.op, t.replica), at(s.durable, t.replica) >= at(s.version, t.op))


def _done_is_settled(q: Quorums, s: State, t: Things) -> Formula:
    return z3.Implies(at(s.done, t.op), at(s.version, t.op) <= s.settled)


def _chosen_is_above_the_start(q: Quorums, s: State, t: Things) -> Formula:
    mine, start = at(s.version, t.op), at(s.start, t.op)
    above = z3.And(mine >= start, z3.Implies(at(s.writes, t.op), mine > start))
    return z3.Implies(at(s.chosen, t.op), above)


def _before_is_below(q: Quorums, s: State, t: Things) -> Formula:
    below = z3.And(at(s.done, t.other), at(s.version, t.other) <= at(s.start, t.op))
    sooner = at(s.order, t.other) < at(s.order, t.op)
    return z3.Implies(z3.And(at(s.began, t.op), at(s.before, t.op, t.other)), z3.And(below, sooner))


def _one_after_another(q: Quorums, s: State, t: Things) -> Formula:
    both = z3.And(at(s.began, t.op), at(s.began, t.other), t.op != t.other)
    past = z3.Implies(at(s.began, t.op), at(s.order, t.op) < s.now)
    return z3.And(past, z3.Implies(both, at(s.order, t.op) != at(s.order, t.other)))


def _versions_are_known(q: Quorums, s: State, t: Things) -> Formula:
    seen = z3.Or(at(s.sent, t.version), at(s.answered, t.op, t.replica, t.version))
    return z3.And(
        is_known(s, at(s.durable, t.replica)),
        z3.Implies(seen, is_known(s, t.version)),
        z3.Implies(at(s.began, t.op), is_known(s, at(s.top, t.op))),
        z3.Implies(at(s.chosen, t.op), is_known(s, at(s.version, t.op))),
    )


def _one_write_each(q: Quorums, s: State, t: Things) -> Formula:
    writer = at(s.writer, t.version)
    stamped = z3.And(at(s.writes, writer), at(s.chosen, writer), at(s.version, writer) == t.version)
    is_write = z3.And(at(s.chosen, t.op), at(s.writes, t.op))
    mine = at(s.version, t.op)
    return z3.And(
        z3.Implies(at(s.issued, t.version), z3.And(t.version > INITIAL, stamped)),
        z3.Implies(is_write, z3.And(at(s.issued, mine), at(s.writer, mine) == t.op)),
    )


CLAUSES = (
    Clause("who has not begun heard nothing", "orv", _not_begun),
    Clause("who has no version counted nobody", "or", _not_chosen),
    Clause("what replied is held by enough", "o", _fences),
    Clause("those hold what is settled", "r", _settled_is_held),
    Clause("they go on holding it", "or", _start_is_held),
    Clause("they answer with it, or more", "orv", _answers_tell_the_start),
    Clause("the highest answer is no lower", "or", _top_is_above_the_start),
    Clause("what was told is held", "orv", _told_is_held),
    Clause("who is counted holds the version", "or", _holders_hold),
    Clause("what replied is settled", "o", _done_is_settled),
    Clause("a version is above what was settled", "o", _chosen_is_above_the_start),
    Clause("what replied before is below", "oa", _before_is_below),
    Clause("invocations have an order", "oa", _one_after_another),
    Clause("every version was stamped", "orv", _versions_are_known),
    Clause("a version is of one write", "ov", _one_write_each),
)


def instances(q: Quorums, s: State, things: Sequence[Things]) -> dict[str, Formula]:
    """The whole invariant, of these things in any combination."""
    ops = {item.get_id(): item for t in things for item in (t.op, t.other)}.values()
    replicas = {item.get_id(): item for t in things for item in (t.replica,)}.values()
    versions = {item.get_id(): item for t in things for item in (t.version,)}.values()
    held = {}
    for clause in CLAUSES:
        combinations = product(
            ops if "o" in clause.about else (ANY.op,),
            ops if "a" in clause.about else (ANY.other,),
            replicas if "r" in clause.about else (ANY.replica,),
            versions if "v" in clause.about else (ANY.version,),
        )
        held[clause.name] = z3.And(*(clause.says(q, s, Things(*each)) for each in combinations))
    return held


def taking_part(s: State, e: Event) -> Things:
    """Those who take part in a step: besides them, the replica in which two quorums meet."""
    meets = common(at(s.heard, e.op), at(s.fence_of, e.op))
    return Things(e.op, e.op, meets, at(s.version, e.op))


STATE, EVENT = any_state(), any_event("now")


def taken_for_granted(rules: Rules) -> dict[str, Formula]:
    """The invariant before a step, and that quorums meet: the same for every kind of step."""
    s, e = STATE, EVENT
    acting = Things(e.op, e.op, e.replica, e.version)
    held = instances(rules.quorums, s, (ANY, acting, taking_part(s, e)))
    meets = rules.meet(at(s.heard, e.op), at(s.fence_of, e.op))
    return {**held, "quorums meet": meets, "nobody": nobody(ANY.replica)}


def keeps(rules: Rules, kind: str, clauses: Sequence[Clause] = CLAUSES) -> tuple[Obligation, ...]:
    """A step of this kind keeps these clauses."""
    step = rules.step(kind, STATE, EVENT)
    given = {**taken_for_granted(rules), f"a step: {kind}": step.possible}

    def kept(clause: Clause) -> Obligation:
        reaches = _REACHES.get((kind, clause.name))
        return Obligation(
            f"{kind}: {clause.name}",
            given,
            clause.says(rules.quorums, step.after, ANY),
            reaches(STATE, EVENT) if reaches else {},
        )

    return tuple(map(kept, clauses))


_REACHES: Mapping[tuple[str, str], Callable[[State, Event], Mapping[str, Formula]]] = {
    ("reply", "those hold what is settled"): lambda s, e: {
        "it settles more": at(s.version, e.op) > s.settled,
        "it settles nothing": at(s.version, e.op) < s.settled,
    },
    ("stamp", "a version is above what was settled"): lambda s, e: {
        "something was settled": at(s.start, e.op) > INITIAL,
        "another write is settled since": s.settled > e.version,
    },
    ("find", "a version is above what was settled"): lambda s, e: {
        "a version that is not settled": at(s.top, e.op) > s.settled,
    },
    ("begin", "what replied before is below"): lambda s, e: {"one replied": at(s.done, ANY.other)},
    ("hear", "the highest answer is no lower"): lambda s, e: {
        "an old answer": z3.And(at(s.durable, e.replica) > e.version, at(s.start, e.op) > INITIAL),
    },
}


def invariant(rules: Rules) -> tuple[Theorem, ...]:
    """It holds at first, and every step keeps it."""
    s = any_state()

    def begins() -> Sequence[Obligation]:
        given = {
            "nothing has happened": initial(s, ANY.op, ANY.replica, ANY.version),
            "nothing was invoked before": z3.Not(at(s.began, ANY.other)),
            "all of them are enough": rules.quorums.holds(s.fence),
        }
        return tuple(Obligation(item.name, given, item.says(rules.quorums, s, ANY)) for item in CLAUSES)

    def every_step() -> Sequence[Obligation]:
        return tuple(item for kind in rules.kinds for item in keeps(rules, kind))

    return (
        Theorem(
            "quorum.invariant_holds_at_first",
            "Before anything is invoked, the invariant of linearizable mode holds.",
            ("QRM-13",),
            ("QUORUM.R1",),
            begins,
        ),
        Theorem(
            "quorum.invariant_is_kept",
            "Every step of a coordinator or a replica, whatever was lost, repeated or overtaken, keeps it.",
            ("QRM-13",),
            ("QUORUM.R1", "QUORUM.R3", "QUORUM.R5", "QUORUM.R6"),
            every_step,
            ("quorum.write_quorum_meets_read_quorum",),
        ),
    )


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """All of this module, of the rules as they stand or of others."""
    return invariant(rules or Rules(any_quorums()))
