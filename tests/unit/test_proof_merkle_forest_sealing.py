"""No amendment is lost: proved, and refuted for each wrong rule."""

from __future__ import annotations

import pytest
import z3

from scratchbird_proofs import merkle_forest_sealing
from scratchbird_proofs.merkle_forest_sealing import Rules, Window
from scratchbird_proofs.theorem import Formula, Judgement, prove

THEOREMS = {item.id.removeprefix("merkle_forest."): item for item in merkle_forest_sealing.theorems()}


@pytest.mark.parametrize("name", THEOREMS)
def test_it_is_proved(name: str) -> None:
    proof = prove(THEOREMS[name])
    assert proof.proved, proof.why_not


class Immutable(Rules):
    """A sealed window's digest is computed once."""

    def dirties(self, s: Window) -> Formula:
        return z3.Not(s.sealed)


class ForgetsDirt(Rules):
    """That a window is dirty is kept in memory alone."""

    def survives(self, s: Window) -> Formula:
        return z3.BoolVal(False)


class ServesStale(Rules):
    """The digest of a dirty window is told."""

    def may_tell(self, s: Window) -> Formula:
        return z3.BoolVal(True)


class CountsNothing(Rules):
    """Amendments are not counted."""

    def counts(self, s: Window) -> Formula:
        return z3.BoolVal(False)


@pytest.mark.parametrize(
    ("rules", "name"),
    [
        (Immutable, "no_amendment_is_lost"),
        (ForgetsDirt, "no_amendment_is_lost"),
        (ServesStale, "no_amendment_is_lost"),
        (ServesStale, "same_told_same_shown"),
        (CountsNothing, "amendments_are_counted"),
    ],
)
def test_a_wrong_rule_is_refuted(rules: type[Rules], name: str) -> None:
    theorem = next(item for item in merkle_forest_sealing.theorems(rules()) if item.id.endswith(name))
    proof = prove(theorem)
    assert Judgement.REFUTED in {item.judgement for item in proof.findings}
