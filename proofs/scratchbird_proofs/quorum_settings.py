"""Settings used side by side, and replicas that lost their disks: what else counting gives, for any numbers.

Two settings may have different replicas. ``left`` counts those of the first setting alone, ``common`` those
of both, ``right`` those of the second alone; W belongs to the first and R to the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import z3

from scratchbird_proofs.quorum_counting import (
    BOTH,
    WELL_FORMED,
    A,
    B,
    Counted,
    induction,
    one,
    overlap,
    positive,
    read,
    replicas,
    shared,
    within,
    write,
)
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

left, common, right = z3.Ints("left common right")
lost, threshold, others = z3.Ints("lost threshold others")
"""How many lost their disks at once; T, how many held what was settled; how many others were heard."""

FIRST, SECOND, IN_BOTH = Counted("of_first"), Counted("of_second"), Counted("of_both")
A_OUTSIDE, B_OUTSIDE = Counted("a_outside"), Counted("b_outside")
LOST = Counted("lost_its_disk")


# --- settings side by side --------------------------------------------------------------------------------


def always_meet(w: Term, r: Term, only_first: Term, of_both: Term, only_second: Term) -> Formula:
    """QUORUM.R15: every write quorum of the first setting meets every read quorum of the second."""
    return positive(w - only_first) + positive(r - only_second) > of_both


def _regions(number: Term) -> Formula:
    """A is of the first setting, B of the second; what of each is outside the other setting is counted."""
    in_first, in_second = FIRST.has(number), SECOND.has(number)
    return z3.And(
        shared(number),
        IN_BOTH.has(number) == z3.And(in_first, in_second),
        z3.Implies(A.has(number), in_first),
        z3.Implies(B.has(number), in_second),
        A_OUTSIDE.has(number) == z3.And(A.has(number), z3.Not(in_second)),
        B_OUTSIDE.has(number) == z3.And(B.has(number), z3.Not(in_first)),
    )


def _regions_counted(number: Term) -> Formula:
    inside = A.upto(number) - A_OUTSIDE.upto(number) + B.upto(number) - B_OUTSIDE.upto(number)
    return z3.And(
        A_OUTSIDE.upto(number) <= FIRST.upto(number) - IN_BOTH.upto(number),
        B_OUTSIDE.upto(number) <= SECOND.upto(number) - IN_BOTH.upto(number),
        A_OUTSIDE.upto(number) <= A.upto(number),
        B_OUTSIDE.upto(number) <= B.upto(number),
        inside <= IN_BOTH.upto(number) + BOTH.upto(number),
    )


def _sizes() -> Formula:
    """Both settings are well formed, and this is how many replicas they have."""
    first = z3.And(write >= 1, write <= left + common)
    second = z3.And(read >= 1, read <= common + right)
    return z3.And(left >= 0, common >= 0, right >= 0, first, second)


def _meet() -> Sequence[Obligation]:
    sets = (A, B, BOTH, FIRST, SECOND, IN_BOTH, A_OUTSIDE, B_OUTSIDE)
    counted = {
        "the regions are counted": _regions_counted(replicas),
        "so many are of the first alone": FIRST.upto(replicas) - IN_BOTH.upto(replicas) == left,
        "so many are of both": IN_BOTH.upto(replicas) == common,
        "so many are of the second alone": SECOND.upto(replicas) - IN_BOTH.upto(replicas) == right,
        "sizes": _sizes(),
        "a write quorum of the first": A.upto(replicas) >= write,
        "a read quorum of the second": B.upto(replicas) >= read,
        "the condition": always_meet(write, read, left, common, right),
    }
    differ = {"different replicas": z3.And(left > 0, right > 0), "exactly one": BOTH.upto(replicas) == 1}
    return (
        *induction("regions", sets, _regions, _regions_counted, z3.BoolVal(True), {"in both": BOTH.has(one)}),
        Obligation("they share a replica", counted, BOTH.upto(replicas) >= 1, differ),
    )


def _miss() -> Sequence[Obligation]:
    """Otherwise: the first W of the first setting, and the last R of the second."""
    total = left + common + right
    zero = z3.IntVal(0)
    in_a, in_b = within(one, zero, write), within(one, total - read, total)
    otherwise = {
        "sizes": _sizes(),
        "not the condition": z3.Not(always_meet(write, read, left, common, right)),
    }
    quorums = z3.And(
        z3.Implies(in_a, within(one, zero, left + common)),
        z3.Implies(in_b, within(one, left, total)),
        total - (total - read) == read,
    )
    differ = {
        "a replica too few": positive(write - left) + positive(read - right) == common,
        "common": common > 0,
    }
    return (
        Obligation("no replica is in both", otherwise, z3.Not(z3.And(in_a, in_b)), differ),
        Obligation("they are quorums", otherwise, quorums),
    )


def _same_replicas() -> Sequence[Obligation]:
    """For one set of replicas: W + R > N, of every pair; of many settings, min W + min R > N."""
    w, r, w2, r2 = z3.Ints("w r w2 r2")
    sizes = z3.And(*(z3.And(size >= 1, size <= replicas) for size in (w, r, w2, r2)))
    given = {"one set of replicas": z3.And(left == 0, right == 0, common == replicas), "sizes": sizes}
    pairs = z3.And(*(always_meet(x, y, left, common, right) for x in (w, w2) for y in (r, r2)))
    smallest = z3.If(w < w2, w, w2) + z3.If(r < r2, r, r2) > replicas
    crossed = z3.And(w + r > replicas, w2 + r2 > replicas, z3.Not(smallest))
    return (
        Obligation("two settings", given, pairs == smallest, {"each is sound, but not both": crossed}),
        Obligation("one setting", given, always_meet(w, r, left, common, right) == (w + r > replicas)),
    )


def _joint() -> Sequence[Obligation]:
    """QUORUM.R16: max W and max R."""
    w, r, w2, r2 = z3.Ints("w r w2 r2")
    sizes = z3.And(*(z3.And(size >= 1, size <= replicas) for size in (w, r, w2, r2)))
    given = {"sizes": sizes, "each is sound": z3.And(w + r > replicas, w2 + r2 > replicas)}
    w_joint, r_joint = z3.If(w < w2, w2, w), z3.If(r < r2, r2, r)
    pairs = [(w_joint, r_joint), (w_joint, r), (w, r_joint), (w_joint, r2), (w2, r_joint)]
    meet = z3.And(*(x + y > replicas for x, y in pairs))
    crossed = {"they are not compatible with each other": z3.Or(w + r2 <= replicas, w2 + r <= replicas)}
    return (Obligation("joint", given, z3.And(meet, w_joint <= replicas, r_joint <= replicas), crossed),)


# --- lost disks -------------------------------------------------------------------------------------------


def _lost_one() -> Sequence[Obligation]:
    """A: the holders that are left; B: the others heard. Neither has a replica that lost its disk."""
    sizes = z3.And(threshold >= 1, threshold <= replicas, lost >= 1, lost <= replicas)

    def avoid(number: Term) -> Formula:
        is_lost = LOST.has(number)
        return z3.And(shared(number), z3.Not(z3.And(is_lost, z3.Or(A.has(number), B.has(number)))))

    def counted(number: Term) -> Formula:
        total = A.upto(number) + B.upto(number) + LOST.upto(number)
        return z3.And(BOTH.upto(number) >= 0, total <= number + BOTH.upto(number))

    heard = {
        "they are counted": counted(replicas),
        "sizes": sizes,
        "so many lost their disks": LOST.upto(replicas) == lost,
        "T held it, less those lost": A.upto(replicas) >= threshold - lost,
        "N - T + 1 others were heard": B.upto(replicas) >= replicas - threshold + 1,
    }
    several = {"several are lost at once": lost > 1, "all but one holder are lost": threshold == lost + 1}
    enough = BOTH.upto(replicas) >= 1
    left_over = {"sizes": sizes}
    guarded = (replicas - lost >= replicas - threshold + 1) == (lost <= threshold - 1)
    return (
        *induction(
            "others", (A, B, BOTH, LOST), avoid, counted, z3.BoolVal(True), {"a lost one": LOST.has(one)}
        ),
        Obligation("they meet a holder", heard, enough, several),
        Obligation(
            "with T lost there are not so many others", left_over, guarded, {"T are lost": lost == threshold}
        ),
    )


def _one_fewer() -> Sequence[Obligation]:
    """Replica 0 is lost, the holders are 0, ..., T - 1, and those heard are the last N - T."""
    given = {"sizes": z3.And(threshold >= 1, threshold <= replicas), "heard": others == replicas - threshold}
    heard, holds = within(one, replicas - others, replicas), within(one, z3.IntVal(0), threshold)
    apart = z3.Not(z3.And(heard, holds))
    not_itself = z3.Implies(heard, one != 0)
    return (
        Obligation("none of them holds it", given, z3.And(apart, not_itself), {"someone is heard": heard}),
    )


def _shortcut() -> Sequence[Obligation]:
    """T holders, and a replica that recovers from N - W + 1 others, all of which may be without it."""
    given = {
        "sizes": z3.And(WELL_FORMED, threshold >= 1, threshold <= replicas),
        "one is lost": lost == 1,
        "N - W + 1 others are heard": others == replicas - write + 1,
        "there are so many": others <= replicas - 1,
    }
    zero = z3.IntVal(0)
    heard, holds = within(one, replicas - others, replicas), within(one, zero, threshold)
    missed = threshold + others <= replicas
    apart = z3.Implies(threshold < write, z3.Not(z3.And(heard, holds)))
    hitting = {
        **given,
        "the shortcut": threshold == replicas - read + 1,
        "W + R > N": write + read > replicas,
    }
    fails = {"W + R > N + 1": write + read > replicas + 1}
    return (
        Obligation("T < W: none of those heard need hold it", given, apart, {"T < W": threshold < write}),
        Obligation(
            "T >= W: one of them does", given, missed == (threshold < write), {"T = W": threshold == write}
        ),
        Obligation("the shortcut", hitting, (threshold < write) == (write + read > replicas + 1), fails),
    )


def _settled_at() -> Sequence[Obligation]:
    """Without lost disks: what T replicas are known to hold is seen by every read, or need not be."""
    sizes = z3.And(WELL_FORMED, threshold >= 1, threshold <= replicas)
    counted = {
        "the overlap is counted": overlap(replicas),
        "T replicas hold it": A.upto(replicas) >= threshold,
        "a read quorum": B.upto(replicas) >= read,
        "T + R > N": threshold + read > replicas,
    }
    zero = z3.IntVal(0)
    apart = z3.Not(z3.And(within(one, zero, threshold), within(one, replicas - read, replicas)))
    otherwise = {"sizes": sizes, "T + R <= N": threshold + read <= replicas}
    agree = {"sizes": sizes, "the R that answered agree": threshold == read}
    return (
        Obligation("enough", counted, BOTH.upto(replicas) >= 1, {"just enough": BOTH.upto(replicas) == 1}),
        Obligation("too few", otherwise, apart, {"W + R > N all the same": write + read > replicas}),
        Obligation("T = R", agree, (threshold + read <= replicas) == (2 * read <= replicas)),
    )


def _recovery_side_by_side() -> Sequence[Obligation]:
    """Replica 0 is lost under (W', R'); the first W replicas hold what was settled under (W, R)."""
    w2, r2 = z3.Ints("w2 r2")
    second = z3.And(w2 >= 1, w2 <= replicas, r2 >= 1, r2 <= replicas)
    pairs = [(w, r) for w in (write, w2) for r in (read, r2)]
    meet = z3.And(*(w + r > replicas for w, r in pairs))
    given = {"sizes": z3.And(WELL_FORMED, second), "they may be used side by side": meet}
    heard = within(one, replicas - others, replicas)
    missed = z3.Not(z3.And(heard, within(one, z3.IntVal(0), write)))
    by_larger = {**given, "W' > W": w2 > write, "N - W' + 1 others": others == replicas - w2 + 1}
    joint_read = z3.If(read < r2, r2, read)
    enough = z3.And(*(r >= replicas - w + 1 for w in (write, w2) for r in (read, r2, joint_read)))
    several = {"several are heard": others > 1, "this one is heard": heard}
    return (
        Obligation("N - W' + 1: none of those heard need hold it", by_larger, missed, several),
        Obligation("R' others are N - W + 1, for each W", given, enough, {"W' > W": w2 > write}),
    )


def theorems() -> tuple[Theorem, ...]:
    """What counting gives for several settings, and after a lost disk."""
    counts = "quorum.two_sets_overlap"
    intervals = "quorum.an_interval_counts_its_length"
    return (
        Theorem(
            "quorum.settings_meet_under_the_condition",
            "If max(0, W - |S - S'|) + max(0, R - |S' - S|) > |S & S'|, every write quorum of S meets every "
            "read quorum of S'.",
            ("QRM-10",),
            ("QUORUM.R15",),
            _meet,
            ("quorum.what_counts_has_a_member",),
        ),
        Theorem(
            "quorum.settings_can_miss_each_other_otherwise",
            "If not, the first W replicas of S and the last R of S' are quorums without a common replica.",
            ("QRM-10",),
            ("QUORUM.R15",),
            _miss,
            (intervals,),
        ),
        Theorem(
            "quorum.settings_of_the_same_replicas",
            "Settings of the same N replicas may be used side by side if and only if min W + min R > N.",
            ("QRM-10",),
            ("QUORUM.R15",),
            _same_replicas,
        ),
        Theorem(
            "quorum.joint_setting_is_compatible",
            "The setting with the larger W and the larger R is compatible with both, if the replicas are "
            "the same.",
            ("QRM-10",),
            ("QUORUM.R16",),
            _joint,
        ),
        Theorem(
            "quorum.a_read_is_settled_at_as_many_as_reads_meet",
            "Without lost disks a read may reply at T holders if and only if T + R > N; so it may reply at R "
            "answers that agree if and only if 2R > N.",
            ("QRM-3",),
            ("QUORUM.R6",),
            _settled_at,
            ("quorum.what_counts_has_a_member", intervals),
        ),
        Theorem(
            "quorum.others_heard_meet_the_holders",
            "If T replicas held a version and any of them lost their disks, N - T + 1 others that kept "
            "theirs include one that holds it; and when T or more are lost there are not so many others.",
            ("QRM-14",),
            ("QUORUM.R13",),
            _lost_one,
            ("quorum.what_counts_has_a_member",),
        ),
        Theorem(
            "quorum.one_other_fewer_is_not_enough",
            "N - T others can all be without a version that T replicas held, one of which lost its disk.",
            ("QRM-14",),
            ("QUORUM.R13",),
            _one_fewer,
            (intervals,),
        ),
        Theorem(
            "quorum.recovery_counts_by_the_smallest_write_quorum",
            "Where settings are used side by side, N - W + 1 others are enough to recover from a lost disk "
            "only if W is the smallest; as many others as any of the read quorums are enough.",
            ("QRM-10", "QRM-14"),
            ("QUORUM.R13", "QUORUM.R15"),
            _recovery_side_by_side,
            ("quorum.others_heard_meet_the_holders", intervals),
        ),
        Theorem(
            "quorum.a_read_needs_as_many_holders_as_a_write",
            "Where a replica recovers from N - W + 1 others, a read must be settled at W holders: N - R + 1 "
            "of them are too few if and only if W + R > N + 1.",
            ("QRM-14", "QRM-3"),
            ("QUORUM.R6", "QUORUM.R13"),
            _shortcut,
            (counts, intervals),
        ),
    )
