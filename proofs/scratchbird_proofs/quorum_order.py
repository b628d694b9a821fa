"""From the invariant to linearizability: one order of all operations, which extends real time and is legal.

The reduction. Take every operation that has a version: all that replied, and those of which a version was
sent. Order them by version; of one version, the write first, then the reads as they were invoked. If that
is a total order, if whatever replied before another operation was invoked comes before it, and if each read
returns what the last write before it wrote, then the history is linearizable (Herlihy and Wing, TOPLAS
1990). What a write without a reply wrote is in the order from when its version was stamped; the others took
no effect and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import z3

from scratchbird_proofs.quorum_invariant import ANY, Things, instances
from scratchbird_proofs.quorum_system import (
    INITIAL,
    KINDS,
    Rules,
    State,
    any_event,
    any_quorums,
    any_state,
    at,
)
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem


def comes_first(s: State, a: Term, b: Term) -> Formula:
    """The order: by version, a write before its reads, reads as they were invoked."""
    same = at(s.version, a) == at(s.version, b)
    kinds = z3.And(at(s.writes, a), z3.Not(at(s.writes, b)))
    invoked = z3.And(at(s.writes, a) == at(s.writes, b), at(s.order, a) < at(s.order, b))
    return z3.Or(at(s.version, a) < at(s.version, b), z3.And(same, z3.Or(kinds, invoked)))


def _final(rules: Rules) -> Sequence[Obligation]:
    """What the order speaks of is never changed again."""
    s, e = any_state(), any_event("now")
    o, v = ANY.op, ANY.version

    def kept(kind: str) -> Obligation:
        step = rules.step(kind, s, e)
        after = step.after
        invoked = z3.And(
            at(after.began, o),
            at(after.before, o) == at(s.before, o),
            at(after.start, o) == at(s.start, o),
            at(after.order, o) == at(s.order, o),
        )
        chosen = z3.And(at(after.chosen, o), at(after.version, o) == at(s.version, o))
        issued = z3.And(at(after.issued, v), at(after.writer, v) == at(s.writer, v))
        final = z3.And(
            z3.Implies(at(s.began, o), invoked),
            z3.Implies(at(s.chosen, o), chosen),
            z3.Implies(at(s.done, o), at(after.done, o)),
            z3.Implies(at(s.issued, v), issued),
            at(after.writes, o) == at(s.writes, o),
        )
        mine = {"it is its own step": z3.And(e.op == o, at(s.done, o))}
        return Obligation(kind, {f"a step: {kind}": step.possible}, final, mine if kind in _LATE else {})

    begin = rules.step("begin", s, e)
    told = at(begin.after.before, e.op, o) == at(s.done, o)
    return (*map(kept, KINDS), Obligation("whoever replied is before", {"it begins": begin.possible}, told))


_LATE = ("answer", "apply", "count", "reply", "forget")


def _facts(rules: Rules, s: State, *ops: Term) -> dict[str, Formula]:
    a, b = ops[0], ops[-1]
    things = [Things(op, other, ANY.replica, at(s.version, op)) for op, other in ((a, b), (b, a))]
    held = instances(rules.quorums, s, things)
    return {**held, "they have versions": z3.And(*(at(s.chosen, op) for op in ops))}


def _real_time(rules: Rules) -> Sequence[Obligation]:
    s, a, b = any_state(), ANY.op, ANY.other
    held = _facts(rules, s, a, b)
    given = {**held, "one replied before the other began": at(s.before, b, a)}
    below = z3.And(
        at(s.version, a) <= at(s.version, b),
        z3.Implies(at(s.writes, b), at(s.version, a) < at(s.version, b)),
    )
    kinds = {
        f"a {one} after a {two}": z3.And(later, sooner)
        for one, later in (("write", at(s.writes, b)), ("read", z3.Not(at(s.writes, b))))
        for two, sooner in (("write", at(s.writes, a)), ("read", z3.Not(at(s.writes, a))))
    }
    same = {"of the same version": at(s.version, a) == at(s.version, b)}
    return (
        Obligation("versions", given, below, kinds),
        Obligation("the order", given, comes_first(s, a, b), same),
    )


def _total(rules: Rules) -> Sequence[Obligation]:
    s, a, b, c = any_state(), ANY.op, ANY.other, z3.Int("third_op")
    held = {**_facts(rules, s, a, b), "they are two": a != b}
    writes = z3.And(at(s.writes, a), at(s.writes, b))
    distinct = z3.Implies(writes, at(s.version, a) != at(s.version, b))
    one_way = z3.Xor(comes_first(s, a, b), comes_first(s, b, a))
    chain = {"a chain": z3.And(comes_first(s, a, b), comes_first(s, b, c))}
    shared = {"of the same version": at(s.version, a) == at(s.version, b)}
    return (
        Obligation("writes have versions of their own", held, distinct, {"two writes": writes}),
        Obligation("one of two is first", held, one_way, shared),
        Obligation("transitive", chain, comes_first(s, a, c)),
        Obligation("nobody is before himself", {"it exists": at(s.chosen, a)}, z3.Not(comes_first(s, a, a))),
    )


def _legal(rules: Rules) -> Sequence[Obligation]:
    s, read, other = any_state(), ANY.op, ANY.other
    found = at(s.version, read)
    writer = at(s.writer, found)
    held = {**_facts(rules, s, read, other), "one is a read": z3.Not(at(s.writes, read))}
    of_writer = z3.And(at(s.chosen, writer), at(s.writes, writer), at(s.version, writer) == found)
    between = z3.And(at(s.writes, other), comes_first(s, writer, other), comes_first(s, other, read))
    wrote = {**held, "somebody wrote": found != INITIAL}
    nobody = {**held, "nobody wrote": found == INITIAL, "the other is a write": at(s.writes, other)}
    pending = {"the write has not replied": z3.Not(at(s.done, writer))}
    later = {"a later one": comes_first(s, read, other)}
    return (
        Obligation("its write exists", wrote, of_writer, pending),
        Obligation("and comes first", wrote, comes_first(s, writer, read)),
        Obligation("no other write is between", wrote, z3.Not(between), later),
        Obligation("no write is before a read of nothing", nobody, z3.Not(comes_first(s, other, read))),
    )


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """All of this module, of the rules as they stand or of others."""
    given = rules or Rules(any_quorums())
    kept = ("quorum.invariant_holds_at_first", "quorum.invariant_is_kept")
    return (
        Theorem(
            "quorum.history_is_final",
            "Who replied before an operation, and which version it has, is never changed again.",
            ("QRM-13",),
            ("QUORUM.R8",),
            lambda: _final(given),
        ),
        Theorem(
            "quorum.versions_extend_real_time",
            "Whatever replied before an operation was invoked has no higher version, and a lower one than a "
            "write; the order by version, write, invocation puts it first.",
            ("QRM-13",),
            ("QUORUM.R5", "QUORUM.R6"),
            lambda: _real_time(given),
            (*kept, "quorum.history_is_final"),
        ),
        Theorem(
            "quorum.operations_have_one_order",
            "Writes have versions of their own, and of two operations exactly one is first.",
            ("QRM-13",),
            ("QUORUM.R1", "QUORUM.R5"),
            lambda: _total(given),
            kept,
        ),
        Theorem(
            "quorum.reads_return_the_last_write",
            "A read returns what some write stamped, and no other write lies between the two; or nobody "
            "wrote, and then no write comes before it.",
            ("QRM-13",),
            ("QUORUM.R6",),
            lambda: _legal(given),
            kept,
        ),
    )
