"""No amendment is lost: what a replica tells of a window is the digest of what the window holds.

It is about one window at one replica, any of them, with any number of rows: ``holds`` is all that the window
shows, and nothing is said of it but that it may become anything else in any step. That a digest is of one
such set only is a theorem of :mod:`scratchbird_proofs.merkle_forest`, and an assumption here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import z3

from scratchbird_proofs.merkle_forest import DIGEST
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

ENTRIES = z3.DeclareSort("Entries")
"""All that a window shows."""

digest_of = z3.Function("digest_of", ENTRIES, DIGEST)
holds_back = z3.Function("holds_back", DIGEST, ENTRIES)
"""A digest has the entries back that it is of."""


@dataclass(frozen=True, slots=True)
class Window:
    """One window at one replica."""

    holds: Term
    """What it shows. Durable."""
    told: Term
    """The digest that is served of it. Durable."""
    dirty: Term
    """Whether the digest may lag behind. Durable with the rows."""
    sealed: Term
    """Whether it takes amendments only."""
    amendments: Term
    """How often it was changed since it was sealed."""


def any_window(name: str = "window") -> Window:
    """Any state whatever."""
    return Window(
        z3.Const(f"{name}_holds", ENTRIES),
        z3.Const(f"{name}_told", DIGEST),
        z3.Bool(f"{name}_dirty"),
        z3.Bool(f"{name}_sealed"),
        z3.Int(f"{name}_amendments"),
    )


def invariant(s: Window) -> Mapping[str, Formula]:
    """What holds in every state."""
    return {
        "what is not dirty tells its digest": z3.Or(s.dirty, s.told == digest_of(s.holds)),
        "amendments are counted": s.amendments >= 0,
    }


class Rules:
    """The rules as they stand; a wrong rule overrides one of them."""

    def dirties(self, s: Window) -> Formula:
        """MERKLE_FOREST.R9 and R10: whether a window that changes becomes dirty, sealed or not."""
        return z3.BoolVal(True)

    def survives(self, s: Window) -> Formula:
        """MERKLE_FOREST.R10: what is left of the dirt after a crash."""
        return s.dirty

    def may_tell(self, s: Window) -> Formula:
        """MERKLE_FOREST.R10: whether the digest is told to anybody."""
        return z3.Not(s.dirty)

    def counts(self, s: Window) -> Formula:
        """MERKLE_FOREST.R9: whether a change of a window is counted."""
        return s.sealed


becomes = z3.Const("becomes", ENTRIES)
"""What the window shows after a row entered or left it: anything."""


def _changes(rules: Rules, s: Window) -> Window:
    dirty = z3.Or(s.dirty, rules.dirties(s))
    return replace(
        s, holds=becomes, dirty=dirty, amendments=z3.If(rules.counts(s), s.amendments + 1, s.amendments)
    )


def _is_hashed(rules: Rules, s: Window) -> Window:
    return replace(s, told=digest_of(s.holds), dirty=z3.BoolVal(False))


def _crashes(rules: Rules, s: Window) -> Window:
    return replace(s, dirty=rules.survives(s))


def _is_sealed(rules: Rules, s: Window) -> Window:
    return replace(s, sealed=z3.BoolVal(True))


AMENDS = "a row enters or leaves it"

STEPS: Mapping[str, Callable[[Rules, Window], Window]] = {
    AMENDS: _changes,
    "it is hashed anew": _is_hashed,
    "its replica crashes and starts again": _crashes,
    "its replica's stable time passes its end and the grace": _is_sealed,
}


def _keeps(rules: Rules) -> Sequence[Obligation]:
    """Of an empty window, and in every step; then what is told is true."""
    empty = any_window("empty")
    start = {
        "a window that shows nothing": z3.And(empty.told == digest_of(empty.holds), empty.amendments == 0)
    }
    s = any_window()
    found = [Obligation(f"at first: {name}", start, clause) for name, clause in invariant(empty).items()]
    cases = {"it is dirty": s.dirty, "it is sealed and clean": z3.And(s.sealed, z3.Not(s.dirty))}
    for step, becomes_after in STEPS.items():
        then = invariant(becomes_after(rules, s))
        found += [Obligation(f"{step}: {name}", invariant(s), clause, cases) for name, clause in then.items()]
    tells = {**invariant(s), "the digest is told": rules.may_tell(s)}
    found.append(
        Obligation("what is told is true", tells, s.told == digest_of(s.holds), {"sealed": s.sealed})
    )
    return tuple(found)


def _shows(rules: Rules) -> Sequence[Obligation]:
    """Two replicas that tell the same of a window show the same in it, sealed or not, amended or not."""
    one, two = any_window("one"), any_window("two")
    given = {
        **{f"one: {name}": clause for name, clause in invariant(one).items()},
        **{f"two: {name}": clause for name, clause in invariant(two).items()},
        "a digest has its entries back": z3.And(
            *(holds_back(digest_of(each.holds)) == each.holds for each in (one, two))
        ),
        "both tell": z3.And(rules.may_tell(one), rules.may_tell(two)),
        "the same": one.told == two.told,
    }
    cases = {
        "one has sealed it, the other has not": z3.And(one.sealed, z3.Not(two.sealed)),
        "one has amended it more often": one.amendments > two.amendments,
    }
    return (Obligation("they show the same", given, one.holds == two.holds, cases),)


def _counted(rules: Rules) -> Sequence[Obligation]:
    """A sealed window that changes is counted; one that does not, or is not sealed, is not."""
    s = any_window()
    found = []
    for step, becomes_after in STEPS.items():
        more = becomes_after(rules, s).amendments - s.amendments
        amends = s.sealed if step == AMENDS else z3.BoolVal(False)
        found.append(Obligation(step, invariant(s), more == z3.If(amends, 1, 0), {"sealed": s.sealed}))
    return tuple(found)


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """All of this module, of the rules as they stand or of others."""
    given = rules or Rules()
    return (
        Theorem(
            "merkle_forest.no_amendment_is_lost",
            "What a replica tells of a window is the digest of what it shows, after any changes and crashes.",
            ("MRK-2",),
            ("MERKLE_FOREST.R9", "MERKLE_FOREST.R10"),
            lambda: _keeps(given),
        ),
        Theorem(
            "merkle_forest.same_told_same_shown",
            "Two replicas that tell the same of a window show the same, whatever either holds for sealed.",
            ("MRK-2", "MRK-11"),
            ("MERKLE_FOREST.R10", "MERKLE_FOREST.R11"),
            lambda: _shows(given),
            ("merkle_forest.no_amendment_is_lost", "merkle_forest.equal_digests_equal_entries"),
        ),
        Theorem(
            "merkle_forest.amendments_are_counted",
            "Each change of a sealed window is counted once, and nothing else is.",
            ("MRK-2",),
            ("MERKLE_FOREST.R9",),
            lambda: _counted(given),
        ),
    )
