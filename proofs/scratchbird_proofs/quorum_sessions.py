"""What one client sees of a row: its own writes, and reads that do not go back, for any N, W and R.

These are the guarantees of tables in eventual mode, where linearizability is not one of them. Each is a
sentence about versions, and each names what it needs: a token (QUORUM.R7), one coordinator, W + R > N, or
that all replicas answer. The client's order of a row is then that of the versions (Terry et al., "Session
Guarantees for Weakly Consistent Replicated Data", PDIS 1994).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import z3

from scratchbird_proofs.quorum_counting import WELL_FORMED, A, B, induction, one, read, replicas, write
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

ALWAYS = z3.BoolVal(True)
QUORUMS_MEET = write + read > replicas
READS_ASK_ALL = read == replicas
ALL_ASK_ALL = z3.And(write == replicas, read == replicas)
"""What a theorem of this page asks of N, W and R: the guarantees table puts numbers into these formulas."""

member = z3.Int("member")
"""A replica in the sets at hand, whichever it is."""
acknowledged, winner, token, other = z3.Ints("acknowledged winner token other")
at_reply, at_answer = z3.Ints("held_at_the_reply held_at_the_answer")
"""What the member held when the earlier operation replied, and when the later read asked it."""


def _seen() -> dict[str, Formula]:
    """A write was acknowledged, and afterwards a read asks: what is known of a replica that is in both."""
    both = z3.And(A.has(member), B.has(member))
    return {
        "quorums that are large enough share a replica": z3.Implies(QUORUMS_MEET, both),
        "W + R > N": QUORUMS_MEET,
        "who acknowledged holds it or a newer one": z3.Implies(A.has(member), at_reply >= acknowledged),
        "the version of a replica never goes down": at_answer >= at_reply,
        "the winner is the newest answer": z3.Implies(B.has(member), winner >= at_answer),
        "sizes": WELL_FORMED,
    }


def _no_older() -> Sequence[Obligation]:
    newer = {"newer than what the client wrote": winner > acknowledged, "the same": winner == acknowledged}
    return (Obligation("the winner", _seen(), winner >= acknowledged, newer),)


def _one_coordinator() -> Sequence[Obligation]:
    """Its clock stamps both writes (HLC-1)."""
    versions = z3.Function("stamped", z3.IntSort(), z3.IntSort())
    first, second = z3.Ints("first second")
    clock = z3.Implies(first < second, versions(first) < versions(second))
    given = {"one clock makes both": clock, "one is later": first < second}
    own = {**_seen(), "it is its own write": acknowledged == versions(first)}
    return (
        Obligation("its writes are in its order", given, versions(first) < versions(second)),
        Obligation("it reads its own write or a newer one", own, winner >= versions(first)),
    )


def _regular() -> Sequence[Obligation]:
    """Writes of one writer are numbered as it wrote them; ``last`` replied last before the read began."""
    versions = z3.Function("version_of", z3.IntSort(), z3.IntSort())
    replied = z3.Function("replied_before", z3.IntSort(), z3.BoolSort())
    last, found = z3.Ints("last found")
    given = {
        **_seen(),
        "versions go up with the writes": z3.And(
            z3.Implies(found < last, versions(found) < versions(last)),
            z3.Implies(found > last, versions(found) > versions(last)),
        ),
        "the last write that replied before": z3.And(replied(last), acknowledged == versions(last)),
        "none after it replied before": z3.Implies(found > last, z3.Not(replied(found))),
        "what is read was written": winner == versions(found),
    }
    concurrent = z3.And(found > last, z3.Not(replied(found)))
    cases = {"the last one": found == last, "one under way": concurrent}
    return (Obligation("the last write or one under way", given, z3.Or(found == last, concurrent), cases),)


def _tokens() -> Sequence[Obligation]:
    """By induction over the operations of one client: its token is at least every version before."""
    version, earlier, after = z3.Ints("version earlier token_after")
    writes = z3.Bool("it_writes")
    step: Mapping[str, Formula] = {
        "the token covers what came before": token >= earlier,
        "QUORUM.R7": z3.If(writes, version > token, version >= token),
        "the client keeps the higher one": after == z3.If(version > token, version, token),
    }
    covered = z3.And(after >= earlier, after >= version)
    cases = {"a read of the same": z3.And(z3.Not(writes), version == earlier), "a write": writes}
    return (
        Obligation("it still covers them", step, covered, cases),
        Obligation("a read does not go back", step, version >= earlier, cases),
        Obligation("a write is above them", {**step, "it writes": writes}, version > earlier),
    )


def _everybody() -> Sequence[Obligation]:
    """A set that counts N has every replica in it."""

    def claim(number: Term) -> Formula:
        whole = z3.And(B.upto(number) == number, member >= 0, member < number)
        return z3.And(B.upto(number) <= number, z3.Implies(whole, B.has(member)))

    def each(number: Term) -> Formula:
        return z3.Implies(number == member, B.has(member) == B.has(number))

    all_of_it = {
        "all are counted": claim(replicas),
        "it is a read quorum": B.upto(replicas) >= read,
        "R = N": READS_ASK_ALL,
        "a replica": z3.And(member >= 0, member < replicas),
    }
    return (
        *induction("everybody", (B,), each, claim, z3.BoolVal(True), {"one without": z3.Not(B.has(one))}),
        Obligation("R = N leaves nobody out", all_of_it, B.has(member)),
    )


def _reads_of_all() -> Sequence[Obligation]:
    """``member`` is the replica of which the first winner came; the second read asks it again."""
    earlier = {
        "R = N": READS_ASK_ALL,
        "then every replica is asked": z3.Implies(READS_ASK_ALL, B.has(member)),
        "the first winner came from it": at_reply == other,
        "the version of a replica never goes down": at_answer >= at_reply,
        "the winner is the newest answer": z3.Implies(B.has(member), winner >= at_answer),
        "sizes": WELL_FORMED,
    }
    return (Obligation("the second is no older", earlier, winner >= other, {"newer": winner > other}),)


def _hidden() -> Sequence[Obligation]:
    """All hold a version; a lower one that is sent afterwards is taken by nobody, so nobody reads it."""
    lower, after = z3.Ints("lower held_after")
    takes = lower > at_answer
    given = {
        "W = R = N": ALL_ASK_ALL,
        "then every replica acknowledged": z3.Implies(ALL_ASK_ALL, at_reply >= acknowledged),
        "the version of a replica never goes down": at_answer >= at_reply,
        "a lower one is sent": lower < acknowledged,
        "it takes what is newer (QUORUM.R1)": after == z3.If(takes, lower, at_answer),
    }
    return (
        Obligation("nobody takes it", given, z3.Not(takes), {"just lower": lower == acknowledged - 1}),
        Obligation("and none goes below", given, after >= acknowledged),
    )


def _join() -> Sequence[Obligation]:
    """What a replica holds after what it was told, in ranks (QUORUM.R1): the greatest, in whatever order."""
    a, b, c = z3.Ints("rank_a rank_b rank_c")

    def told(held: Term, new: Term) -> Term:
        return z3.If(new > held, new, held)

    given = {"there are three": z3.And(a >= 0, b >= 0, c >= 0)}
    return (
        Obligation("in any order", given, told(told(a, b), c) == told(told(a, c), b), {"two differ": b != c}),
        Obligation("as often as one likes", given, told(told(a, b), b) == told(a, b)),
        Obligation("through others", given, told(a, told(b, c)) == told(told(a, b), c), {"c wins": c > b}),
    )


def theorems() -> tuple[Theorem, ...]:
    """All of this module."""
    meets = "quorum.write_quorum_meets_read_quorum"
    no_older = "quorum.a_read_is_no_older_than_what_was_acknowledged"
    everybody = "quorum.a_quorum_of_all_leaves_nobody_out"
    return (
        Theorem(
            no_older,
            "If W + R > N, a read that begins when a write was acknowledged returns its version or a higher.",
            ("QRM-6",),
            ("QUORUM.R3",),
            _no_older,
            (meets, "quorum.what_counts_has_a_member"),
        ),
        Theorem(
            "quorum.one_coordinator_keeps_own_writes",
            "If W + R > N, a client that stays at one coordinator reads what it wrote or what is newer.",
            ("QRM-6",),
            ("QUORUM.R3",),
            _one_coordinator,
            (no_older,),
        ),
        Theorem(
            "quorum.one_writer_is_regular",
            "If W + R > N and the versions of a row go up with its writes, a read returns the last write "
            "that was acknowledged before it, or one that was under way.",
            ("QRM-6",),
            ("QUORUM.R3",),
            _regular,
            (no_older,),
        ),
        Theorem(
            "quorum.a_token_keeps_the_session",
            "A client that carries its token reads its own writes and never goes back, and its writes are "
            "above what it saw, whatever N, W and R are.",
            ("QRM-6",),
            ("QUORUM.R7",),
            _tokens,
        ),
        Theorem(
            everybody,
            "A read quorum of R = N replicas has every replica in it.",
            ("QRM-6",),
            ("QUORUM.R3",),
            _everybody,
        ),
        Theorem(
            "quorum.reads_of_all_never_go_back",
            "If R = N and no disk is lost, a later read returns no lower version.",
            ("QRM-6",),
            ("QUORUM.R6",),
            _reads_of_all,
            (everybody,),
        ),
        Theorem(
            "quorum.what_all_hold_hides_lower_versions",
            "If W = R = N and no disk is lost, nobody reads a write below what was acknowledged before it.",
            ("QRM-6",),
            ("QUORUM.R1",),
            _hidden,
            (everybody,),
        ),
        Theorem(
            "quorum.replicas_that_were_told_the_same_agree",
            "What a replica holds depends on what it was told, not on the order, nor how often or by whom.",
            ("QRM-6",),
            ("QUORUM.R1",),
            _join,
        ),
    )
