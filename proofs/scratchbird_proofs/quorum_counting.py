"""How many replicas two sets share, for any number of replicas: induction over the replicas counted so far.

A set of replicas is a predicate over their numbers 0, 1, 2, ...; ``upto(n)`` is how many of the first *n*
are in it. Each claim about counts is an invariant of that count: it holds of none, and one more replica
keeps it. That quorums which are large enough overlap is Gifford, "Weighted Voting for Replicated Data"
(SOSP 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import z3

from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

Claim = Callable[[Term], Formula]
"""What is said of a number of replicas, or of the replica with that number."""

replicas, write, read, one = z3.Ints("replicas write read one")
"""N, W and R, and the number of an arbitrary replica."""
WELL_FORMED = z3.And(write >= 1, write <= replicas, read >= 1, read <= replicas)
"""1 <= W <= N and 1 <= R <= N."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A set of replicas and its count."""

    name: str

    def has(self, number: Term) -> Formula:
        """Whether this replica is in it."""
        return z3.Function(self.name, z3.IntSort(), z3.BoolSort())(number)

    def upto(self, number: Term) -> Term:
        """How many of the first so many replicas are in it."""
        return z3.Function(f"{self.name}_upto", z3.IntSort(), z3.IntSort())(number)

    def counts(self, number: Term) -> Formula:
        """What counting one replica does."""
        return self.upto(number + 1) == self.upto(number) + z3.If(self.has(number), 1, 0)


def induction(
    name: str,
    sets: Sequence[Counted],
    each: Claim,
    claim: Claim,
    given: Formula,
    reaches: Mapping[str, Formula] | None = None,
) -> tuple[Obligation, Obligation]:
    """The claim holds of no replicas; and if of the first ``one`` of them, then of one more."""
    empty = {"nothing is counted yet": z3.And(*(item.upto(z3.IntVal(0)) == 0 for item in sets))}
    step = {
        "the claim holds of the replicas counted so far": z3.And(one >= 0, claim(one)),
        "one more is counted": z3.And(*(item.counts(one) for item in sets)),
        "what is known of each replica": each(one),
    }
    known = {"what is given": given}
    return (
        Obligation(f"{name}: of none", {**empty, **known}, claim(z3.IntVal(0))),
        Obligation(f"{name}: of one more", {**step, **known}, claim(one + 1), reaches or {}),
    )


def clipped(value: Term, low: Term, high: Term) -> Term:
    """The value, or the end of the range that it is beyond."""
    return z3.If(value < low, low, z3.If(value > high, high, value))


def positive(value: Term) -> Term:
    """``max(0, value)``"""
    return z3.If(value > 0, value, 0)


# --- overlap ----------------------------------------------------------------------------------------------

A, B, BOTH = Counted("a"), Counted("b"), Counted("both")


def shared(number: Term) -> Formula:
    """What it means for a replica to be in both."""
    return BOTH.has(number) == z3.And(A.has(number), B.has(number))


def overlap(number: Term) -> Formula:
    """Two sets share at least as many as their sizes exceed the number of replicas by."""
    return z3.And(BOTH.upto(number) >= 0, A.upto(number) + B.upto(number) <= number + BOTH.upto(number))


def _overlap() -> Sequence[Obligation]:
    reaches = {
        "a replica in both": BOTH.has(one),
        "a replica in neither": z3.Not(z3.Or(A.has(one), B.has(one))),
    }
    return induction("shared", (A, B, BOTH), shared, overlap, z3.BoolVal(True), reaches)


def _members() -> Sequence[Obligation]:
    none = z3.Function("none_upto", z3.IntSort(), z3.BoolSort())

    def claim(number: Term) -> Formula:
        return z3.Implies(none(number), A.upto(number) == 0)

    def each(number: Term) -> Formula:
        return none(number + 1) == z3.And(none(number), z3.Not(A.has(number)))

    return induction(
        "members", (A,), each, claim, z3.BoolVal(True), {"a first member": z3.And(none(one), A.has(one))}
    )


def _quorums_meet() -> Sequence[Obligation]:
    sizes = {
        "the overlap is counted": overlap(replicas),
        "a write quorum": A.upto(replicas) >= write,
        "a read quorum": B.upto(replicas) >= read,
        "sizes": WELL_FORMED,
    }
    large = {**sizes, "W + R > N": write + read > replicas}
    few = {"writes need not meet writes": 2 * write <= replicas, "exactly one": BOTH.upto(replicas) == 1}
    at_least = BOTH.upto(replicas) >= write + read - replicas
    return (
        Obligation("they share W + R - N", sizes, at_least),
        Obligation("they share one", large, BOTH.upto(replicas) >= 1, few),
    )


# --- witnesses --------------------------------------------------------------------------------------------

low, high = z3.Ints("low high")


def within(number: Term, first: Term, end: Term) -> Formula:
    """Whether a replica is among those from the first to before the end."""
    return z3.And(first <= number, number < end)


def _intervals() -> Sequence[Obligation]:
    """The replicas low, ..., high - 1 are high - low."""

    def claim(number: Term) -> Formula:
        return A.upto(number) == clipped(number - low, z3.IntVal(0), high - low)

    def each(number: Term) -> Formula:
        return A.has(number) == within(number, low, high)

    given = z3.And(low >= 0, low <= high)
    whole = {"all are counted": claim(replicas), "it ends in time": z3.And(given, high <= replicas)}
    return (
        *induction("an interval", (A,), each, claim, given, {"the last of it": one == high - 1}),
        Obligation("all of it", whole, A.upto(replicas) == high - low, {"something in it": low < high}),
    )


def _disjoint() -> Sequence[Obligation]:
    """W + R <= N: the first W replicas and the last R of them."""
    small = {"sizes": WELL_FORMED, "W + R <= N": write + read <= replicas}
    start = replicas - read
    apart = z3.Not(z3.And(within(one, z3.IntVal(0), write), within(one, start, replicas)))
    sizes = z3.And(write - 0 == write, replicas - start == read, start >= 0, write <= replicas)
    exact = {"W + R = N": write + read == replicas}
    return (
        Obligation("no replica is in both", small, apart, exact),
        Obligation("they are quorums", small, sizes),
    )


def _hitting() -> Sequence[Obligation]:
    """A set meets each read quorum if and only if it has N - R + 1 members."""
    enough = {
        "the overlap is counted": overlap(replicas),
        "it has N - R + 1": A.upto(replicas) >= replicas - read + 1,
        "a read quorum": B.upto(replicas) >= read,
    }

    # B: the first R replicas that are not in A.
    def claim(number: Term) -> Formula:
        outside = number - A.upto(number)
        return z3.And(outside >= 0, B.upto(number) == z3.If(outside < read, outside, read))

    def each(number: Term) -> Formula:
        return B.has(number) == z3.And(z3.Not(A.has(number)), B.upto(number) < read)

    missed = {
        "all are counted": claim(replicas),
        "it has N - R or fewer": A.upto(replicas) <= replicas - read,
    }
    missed["sizes"] = WELL_FORMED
    apart = {"B is those outside": each(one), "sizes": WELL_FORMED}
    return (
        Obligation("enough", enough, BOTH.upto(replicas) >= 1, {"just enough": BOTH.upto(replicas) == 1}),
        *induction("those outside", (A, B), each, claim, read >= 0, {"one outside": B.has(one)}),
        Obligation("too few: a read quorum", missed, B.upto(replicas) == read),
        Obligation("too few: not met", apart, z3.Not(z3.And(A.has(one), B.has(one)))),
    )


def theorems() -> tuple[Theorem, ...]:
    """What counting gives."""
    return (
        Theorem(
            "quorum.two_sets_overlap",
            "Two sets of replicas share at least as many as their sizes together exceed N by.",
            ("QRM-1",),
            ("QUORUM.R3",),
            _overlap,
        ),
        Theorem(
            "quorum.what_counts_has_a_member",
            "A set without a member counts 0; so one that counts 1 or more has a member.",
            ("QRM-1",),
            ("QUORUM.R3",),
            _members,
        ),
        Theorem(
            "quorum.write_quorum_meets_read_quorum",
            "If W + R > N, each write quorum shares a replica with each read quorum, for any N; "
            "2W > N is not needed.",
            ("QRM-1", "QRM-13"),
            ("QUORUM.R3",),
            _quorums_meet,
            ("quorum.two_sets_overlap", "quorum.what_counts_has_a_member"),
        ),
        Theorem(
            "quorum.an_interval_counts_its_length",
            "The replicas from one number to before another are as many as the numbers differ by.",
            ("QRM-1",),
            ("QUORUM.R3",),
            _intervals,
        ),
        Theorem(
            "quorum.small_quorums_can_miss_each_other",
            "If W + R <= N, the first W replicas and the last R of them are quorums that share none.",
            ("QRM-1",),
            ("QUORUM.R3",),
            _disjoint,
            ("quorum.an_interval_counts_its_length",),
        ),
        Theorem(
            "quorum.a_set_is_seen_by_every_read_if_and_only_if",
            "A set of replicas meets every read quorum if and only if it has N - R + 1 members or more.",
            ("QRM-1", "QRM-3"),
            ("QUORUM.R3",),
            _hitting,
            ("quorum.two_sets_overlap", "quorum.what_counts_has_a_member"),
        ),
    )
