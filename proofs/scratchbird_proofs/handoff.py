"""What is owed and what may be forgotten, for any number of replicas and steps.

Two things are proved. A repair is paid by exchanges with N - W others, and by no fewer (HANDOFF.R6): counting
with the lemmas of :mod:`quorum_counting`. And below a floor all replicas end with the same past, and nothing
comes back (HANDOFF.R9 to R11): an inductive invariant over one row, from the moment at which all have closed
the floor. ``join`` is the newest version at or below the floor that any replica held then, ``holder`` one of
those that held it; disks are not lost here (the model explores that). What a replica tells another may be
late, and arrive again; a read that finds the row deleted at the floor may write that back (HANDOFF.R12).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import z3

from scratchbird_proofs.quorum_counting import BOTH, A, B, overlap, replicas, within, write
from scratchbird_proofs.quorum_system import NUMBERS, RELATION, YES, at, constants, put
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

# --- what is owed -----------------------------------------------------------------------------------------

one = z3.Int("one")


def _paid(rules: Rules) -> Sequence[Obligation]:
    """Among the N - 1 others W hold what was acknowledged, and N - W were heard."""
    others = replicas - 1
    given = {
        "the overlap is counted": overlap(others),
        "W of the others hold it": A.upto(others) >= write,
        "N - W of them were heard": rules.pays(B.upto(others)),
        "sizes": z3.And(write >= 1, write < replicas),
    }
    few = {"one is enough": write == others, "one is not": write < others}
    return (Obligation("one of them holds it", given, BOTH.upto(others) >= 1, few),)


def _not_paid() -> Sequence[Obligation]:
    """The first W of the others hold it; the last N - W - 1 of them were heard."""
    others, heard = replicas - 1, replicas - write - 1
    given = {"sizes": z3.And(write >= 1, write < replicas), "one fewer": heard >= 0}
    apart = z3.Not(z3.And(within(one, z3.IntVal(0), write), within(one, others - heard, others)))
    return (Obligation("none of them holds it", given, apart, {"some were heard": heard >= 1}),)


# --- the floor --------------------------------------------------------------------------------------------

floor, join, holder = z3.Ints("floor join holder")
deleted = z3.Bool("the_join_is_a_tombstone")
"""Or nothing at all, if nobody held anything below the floor."""


@dataclass(frozen=True, slots=True)
class Past:
    """One row at all replicas, since all have closed the floor."""

    held: Term
    """Replica -> the version that it holds, 0 if the row is absent."""
    merged: Term
    """Replicas that have merged what ``holder`` holds."""
    converged: Term
    settled: Term
    all_converged: Term
    """The catalog said so."""
    told: Term
    """Replica -> what it ever told others that it holds, since all had closed."""


_SORTS = {"held": NUMBERS, "all_converged": z3.BoolSort(), "told": RELATION}


def any_past() -> Past:
    """Any state whatever."""
    return Past(**constants(Past, _SORTS))


def invariant(s: Past, r: Term) -> Mapping[str, Formula]:
    """What holds of every replica, clause by clause."""
    held, settled = at(s.held, r), at(s.settled, r)
    knows = z3.Or(r == holder, at(s.merged, r), at(s.converged, r))
    gone = z3.And(z3.Or(held == 0, held == floor), deleted)
    return {
        "nothing has entered below": _below(held),
        "who knows of the join holds it": z3.Implies(z3.And(knows, z3.Not(settled)), held >= join),
        "none settles before all have converged": z3.Implies(settled, s.all_converged),
        "all have converged": z3.Implies(s.all_converged, at(s.converged, r)),
        "who has settled holds the join": z3.Implies(
            z3.And(settled, held <= floor), z3.Or(held == join, gone)
        ),
    }


def _below(held: Term) -> Formula:
    """It is above the floor, or no newer than the join; or the floor itself, where that is a delete too."""
    return z3.Implies(held <= floor, z3.Or(held <= join, z3.And(held == floor, deleted)))


def messages(s: Past, other: Term, version: Term) -> Mapping[str, Formula]:
    """What holds of everything that was told."""
    told = at(s.told, other, version)
    early = z3.And(told, other == holder, z3.Not(s.all_converged))
    return {
        "nothing else is told": z3.Implies(told, z3.And(_below(version), version >= 0)),
        "the holder tells the join": z3.Implies(early, version >= join),
    }


@dataclass(frozen=True, slots=True)
class Step:
    """When something can happen to replica ``r`` (with another, or a version), and what it does."""

    possible: Formula
    after: Past


def effective(s: Past, r: Term) -> Term:
    """As which version it compares (HANDOFF.R11)."""
    return z3.If(z3.And(at(s.held, r) == 0, at(s.settled, r)), floor, at(s.held, r))


class Rules:
    """The rules as they stand; a wrong rule overrides one of them."""

    def pays(self, heard: Term) -> Formula:
        """HANDOFF.R6: the target merged all that so many others hold."""
        return heard >= replicas - write

    def takes(self, s: Past, r: Term, version: Term) -> Formula:
        """HANDOFF.R9: what is below is not taken."""
        return version > floor

    def takes_floor(self, s: Past, r: Term) -> Formula:
        """HANDOFF.R12: who has converged and holds no value takes the floor itself, deleted."""
        held = at(s.held, r)
        return z3.And(at(s.converged, r), z3.Or(held == 0, z3.And(held == join, deleted)))

    def may_settle(self, s: Past, r: Term) -> Formula:
        """HANDOFF.R11: all have converged, itself included."""
        return z3.And(at(s.converged, r), s.all_converged)

    def step(self, kind: str, s: Past, r: Term, other: Term, version: Term) -> Step:
        """What a step of this kind does."""
        return _STEPS[kind](self, s, r, other, version)


def _take(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    newer = z3.And(version > at(s.held, r), version > effective(s, r), rules.takes(s, r, version))
    return Step(newer, replace(s, held=put(s.held, version, r)))


def _merges(s: Past, r: Term, other: Term, theirs: Term) -> Step:
    newest = z3.If(theirs > effective(s, r), theirs, at(s.held, r))
    merged = z3.If(other == holder, put(s.merged, YES, r), s.merged)
    possible = z3.And(z3.Not(at(s.converged, r)), other != r)
    return Step(possible, replace(s, held=put(s.held, newest, r), merged=merged))


def _merge(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    return _merges(s, r, other, at(s.held, other))


def _merge_late(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    """What the other one told some time ago."""
    step = _merges(s, r, other, version)
    return Step(z3.And(step.possible, at(s.told, other, version)), step.after)


def _exchange(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    """For a repair that is owed, at any time (HANDOFF.R6)."""
    step = _merges(s, r, other, at(s.held, other))
    return Step(other != r, replace(s, held=step.after.held))


def _exchange_late(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    step = _merges(s, r, other, version)
    return Step(z3.And(other != r, at(s.told, other, version)), replace(s, held=step.after.held))


def _tell(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    return Step(at(s.held, r) == version, replace(s, told=put(s.told, YES, r, version)))


def _write_back(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    """A read found the row deleted at the floor, and writes that back."""
    possible = z3.And(at(s.held, r) < floor, rules.takes_floor(s, r))
    return Step(possible, replace(s, held=put(s.held, floor, r)))


def _converge(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    """It has merged all others, the holder of the join among them, unless it is that one itself."""
    everybody = z3.Or(r == holder, at(s.merged, r))
    return Step(everybody, replace(s, converged=put(s.converged, YES, r)))


def _settle(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    possible = z3.And(z3.Not(at(s.settled, r)), rules.may_settle(s, r))
    return Step(possible, replace(s, settled=put(s.settled, YES, r)))


def _purge(rules: Rules, s: Past, r: Term, other: Term, version: Term) -> Step:
    held = at(s.held, r)
    tombstone = z3.And(z3.Or(held == join, held == floor), deleted)
    possible = z3.And(at(s.settled, r), held <= floor, tombstone)
    return Step(possible, replace(s, held=put(s.held, z3.IntVal(0), r)))


_STEPS: dict[str, Callable[[Rules, Past, Term, Term, Term], Step]] = {
    "take": _take,
    "merge": _merge,
    "merge_late": _merge_late,
    "exchange": _exchange,
    "exchange_late": _exchange_late,
    "tell": _tell,
    "write_back": _write_back,
    "converge": _converge,
    "settle": _settle,
    "purge": _purge,
}
KINDS = tuple(_STEPS)


def noted(s: Past) -> Past:
    """The catalog says that all have converged."""
    return replace(s, all_converged=YES)


r, other, x, y, version, sent = z3.Ints("r other x y version sent")
_SIZES = z3.And(join >= 0, join < floor, z3.Implies(join == 0, deleted))


def _known(s: Past, *of: Term) -> dict[str, Formula]:
    """The invariant of these replicas, and of the holder."""
    found: dict[str, Formula] = {"the join is below the floor": _SIZES}
    for name, item in zip(("r", "other", "x", "y", "holder"), (*of, holder), strict=False):
        found |= {f"{clause} ({name}: {item})": formula for clause, formula in invariant(s, item).items()}
        found[f"versions are not negative ({item})"] = at(s.held, item) >= 0
    return found


def _at_first() -> Sequence[Obligation]:
    s = any_past()
    nobody = z3.Or(
        *(at(item, x) for item in (s.merged, s.converged, s.settled)), s.all_converged, at(s.told, x, version)
    )
    given = {
        "the join is below the floor": _SIZES,
        "it is the newest below": z3.Implies(at(s.held, x) <= floor, at(s.held, x) <= join),
        "its holder holds it": at(s.held, holder) >= join,
        "nobody has begun": z3.Not(nobody),
    }
    clauses = {**invariant(s, x), **messages(s, x, version)}
    return tuple(Obligation(name, given, clause) for name, clause in clauses.items())


def _kept(rules: Rules) -> Sequence[Obligation]:
    s = any_past()
    found = []
    for kind in KINDS:
        step = rules.step(kind, s, r, other, version)
        given = {**_known(s, r, other, x), f"a step: {kind}": step.possible}
        given["versions are not negative"] = version >= 0
        given |= messages(s, other, version)
        for name, clause in invariant(step.after, x).items():
            found.append(Obligation(f"{kind}: {name}", given, clause, {"its own step": x == r}))
        given |= {f"{name} (x)": clause for name, clause in messages(s, x, sent).items()}
        for name, clause in messages(step.after, x, sent).items():
            found.append(Obligation(f"{kind}: {name}", given, clause, {"its own step": x == r}))
    given = {**_known(s, x), **messages(s, x, sent), "it has converged": at(s.converged, x)}
    clauses = {**invariant(noted(s), x), **messages(noted(s), x, sent)}
    found += [Obligation(f"note: {name}", given, clause) for name, clause in clauses.items()]
    return tuple(found)


def _agree() -> Sequence[Obligation]:
    s = any_past()

    def past(item: Term) -> Term:
        return z3.If(deleted, 0, at(s.held, item))

    below = z3.And(*(z3.And(at(s.settled, item), at(s.held, item) <= floor) for item in (x, y)))
    given = {**_known(s, x, y), "both have settled, and hold nothing newer": below}
    live = {"a value": z3.Not(deleted), "one has purged": z3.And(deleted, at(s.held, x) == 0, join > 0)}
    return (Obligation("the same value, or deleted at both", given, past(x) == past(y), live),)


def _stays_out(rules: Rules) -> Sequence[Obligation]:
    """A late write, hint, retry or write-back at or below the floor."""
    s = any_past()
    step = rules.step("take", s, r, other, version)
    given = {**_known(s, r), "it comes late": z3.And(version >= 0, version <= floor)}
    purged = {"by a purged one": at(s.held, r) == 0}
    return (Obligation("it is not taken", given, z3.Not(step.possible), purged),)


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """All of this part, of the rules as they stand or of others."""
    given = rules or Rules()
    kept = ("handoff.past_holds_at_first", "handoff.past_is_kept")
    return (
        Theorem(
            "handoff.a_repair_is_paid_by_so_many_others",
            "A version that W of the N - 1 others hold is held by one of any N - W of them.",
            ("HNT-4",),
            ("HANDOFF.R6",),
            lambda: _paid(given),
            ("quorum.two_sets_overlap", "quorum.what_counts_has_a_member"),
        ),
        Theorem(
            "handoff.one_other_fewer_does_not_pay",
            "N - W - 1 of the others can all be without it.",
            ("HNT-4",),
            ("HANDOFF.R6",),
            _not_paid,
        ),
        Theorem(
            "handoff.past_holds_at_first",
            "When all have closed the floor, the invariant of the past holds.",
            ("HNT-5",),
            ("HANDOFF.R10",),
            _at_first,
        ),
        Theorem(
            "handoff.past_is_kept",
            "Every write that arrives, every exchange, and whoever converges, settles or purges, keeps it.",
            ("HNT-5",),
            ("HANDOFF.R9", "HANDOFF.R10", "HANDOFF.R11", "HANDOFF.R12"),
            lambda: _kept(given),
        ),
        Theorem(
            "handoff.settled_replicas_agree",
            "Two that have settled and hold nothing newer than the floor hold the same value, or none.",
            ("HNT-5",),
            ("HANDOFF.R11",),
            _agree,
            kept,
        ),
        Theorem(
            "handoff.nothing_comes_back",
            "What is at or below the floor is taken by nobody any more, from whomever it comes.",
            ("HNT-5",),
            ("HANDOFF.R9",),
            lambda: _stays_out(given),
            kept,
        ),
    )
