"""The proofs of the forest hold, and each fails for a wrong rule."""

from __future__ import annotations

import pytest
import z3

from scratchbird_proofs import merkle_forest
from scratchbird_proofs.merkle_forest import Met, Rules
from scratchbird_proofs.theorem import Formula, Judgement, Term, prove

THEOREMS = {item.id.removeprefix("merkle_forest."): item for item in merkle_forest.theorems()}


@pytest.mark.parametrize("name", THEOREMS)
def test_it_is_proved(name: str) -> None:
    proof = prove(THEOREMS[name])
    assert proof.proved, proof.why_not


class NoDomains(Rules):
    """A leaf's digest may be an inner node's."""

    def kinds_differ(self) -> bool:
        return False


class LooksNowhere(Rules):
    """One-sided: a subtree that this side lacks is not looked into."""

    def asks_below(self, mine: Term, theirs: Term) -> Formula:
        return z3.And(mine != theirs, mine != merkle_forest.nothing)


class OwnRowsOnly(Rules):
    """One-sided: rows that this side lacks are not dealt with."""

    def compares(self, mine: Term, theirs: Term) -> Formula:
        return z3.And(mine != theirs, mine > 0)


class BelievesShortDigests(Rules):
    """What was heard is believed, whatever digest it makes."""

    def confirms(self, told: Term, found: Term) -> Formula:
        return z3.BoolVal(True)


class MovesAll(Rules):
    """A leaf in which anything differs is moved as a whole."""

    def compares(self, mine: Term, theirs: Term) -> Formula:
        return z3.BoolVal(True)


class NeverALeaf(Rules):
    """The longest prefix is no leaf if it has many entries."""

    def is_leaf(self, count: Term) -> Formula:
        return count <= merkle_forest.MOST_IN_LEAF


class TakesNothing(Rules):
    """Immutable: what is shown is not changed by what is met."""

    def takes(self, s: Met) -> Formula:
        return z3.BoolVal(False)


class TakesOlder(Rules):
    """Whatever is sent is taken, also where something newer is held."""

    def takes(self, s: Met) -> Formula:
        return s.effective != s.met


class RefreshesNothing(Rules):
    """Who holds something newer leaves the entry as it is."""

    def takes_over(self, s: Met) -> Formula:
        return z3.BoolVal(False)


class TakesOverPurged(Rules):
    """An entry below the floor is taken over as any other."""

    def takes_over(self, s: Met) -> Formula:
        return z3.BoolVal(True)


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        (NoDomains, "equal_digests_equal_entries"),
        (LooksNowhere, "the_descent_reaches_what_differs"),
        (OwnRowsOnly, "the_descent_reaches_what_differs"),
        (BelievesShortDigests, "what_is_confirmed_is_all"),
        (OwnRowsOnly, "what_is_confirmed_is_all"),
        (MovesAll, "the_descent_moves_only_what_differs"),
        (NeverALeaf, "the_descent_ends"),
        (TakesNothing, "entries_meet"),
        (TakesOlder, "entries_meet"),
        (RefreshesNothing, "entries_meet"),
        (TakesOverPurged, "entries_meet"),
        (TakesNothing, "nothing_moves_twice"),
        (RefreshesNothing, "nothing_moves_twice"),
    ],
)
def test_a_wrong_rule_is_refuted(rules: type[Rules], name: str) -> None:
    theorem = next(item for item in merkle_forest.theorems(rules()) if item.id.endswith(name))
    proof = prove(theorem)
    assert Judgement.REFUTED in {item.judgement for item in proof.findings}
