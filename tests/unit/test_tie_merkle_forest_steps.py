"""The tie between the forest's proofs and the reference holds, and a thread that is cut is noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
import z3

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import merkle_forest_steps
from scratchbird_check.ties.graph import TieBroken
from scratchbird_check.ties.merkle_forest_steps import CAUGHT, KINDS, caught_after, formulas, met_in
from scratchbird_check.variants.merkle_forest import RIGHT, Variant
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs import merkle_forest_sealing as sealing
from scratchbird_proofs.merkle_forest import MOST_IN_LEAF, Met, Rules
from scratchbird_proofs.theorem import Formula, Term
from scratchbird_reference import merkle_forest
from scratchbird_reference.merkle_forest import Shape
from scratchbird_reference.merkle_forest_exchange import Driver, Driving
from scratchbird_reference.merkle_forest_replica import ForestReplica, State


def tie(steps: int, seed: int = 1) -> Outcome:
    options = MappingProxyType({"steps": steps})
    entry = Check("tie", "merkle_forest", "python", ("quick",), Verdict.CHECKED, ("MRK-7",), options=options)
    return merkle_forest_steps.run(entry, Context(Path(), seed=seed))


def test_what_the_reference_does_is_steps_of_what_is_proved() -> None:
    outcome = tie(4_000)
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert int(outcome.figures["steps"]) >= 4_000


def test_a_kind_of_step_that_was_never_met_is_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merkle_forest_steps, "KINDS", (*KINDS, "a row is eaten"))
    outcome = tie(10)
    assert (outcome.verdict, "a row is eaten" in outcome.detail) == (Verdict.UNEXPECTED, True)


@pytest.mark.parametrize("name", CAUGHT)
def test_a_wrong_rule_takes_a_step_that_is_none(name: str) -> None:
    assert 0 < caught_after(name, 1) <= 40


def test_a_rule_that_is_never_caught_is_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Different settings are not among what these formulas say."""
    monkeypatch.setattr(merkle_forest_steps, "CAUGHT", ("compares_across_settings",))
    monkeypatch.setattr(merkle_forest_steps, "MOST_RUNS", 2)
    monkeypatch.setattr(merkle_forest_steps, "KINDS", ("a node is a leaf",))
    outcome = tie(20)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail == "all that the wrong rule compares_across_settings does are steps of the system"


def test_the_same_seed_is_the_same_run() -> None:
    once, again = (met_in(Random(3), RIGHT) for _ in range(2))
    assert once == again
    assert set(once) <= set(KINDS)


# --- cut threads ------------------------------------------------------------------------------------------


def first_problem(
    rules: Rules | None = None, windows: sealing.Rules | None = None, variant: Variant = RIGHT, runs: int = 30
) -> str:
    given = formulas(rules or Rules(), windows)
    dice = Random(2)
    for _ in range(runs):
        try:
            met_in(dice, variant, given)
        except TieBroken as error:
            return str(error)
    return ""


class TakesOnlyWhatIsNewer(Rules):
    """Who holds the entry itself by then does not take the row that is newer."""

    def takes(self, s: Met) -> Formula:
        return s.effective < s.met


class TakesNothing(Rules):
    def takes(self, s: Met) -> Formula:
        return z3.BoolVal(False)


class TakesOverAnything(Rules):
    def takes_over(self, s: Met) -> Formula:
        return z3.BoolVal(True)


class SmallerLeaves(Rules):
    def is_leaf(self, count: Term) -> Formula:
        return count < MOST_IN_LEAF - 1


class AsksForAll(Rules):
    def asks_below(self, mine: Term, theirs: Term) -> Formula:
        return z3.BoolVal(True)


class MovesAll(Rules):
    def compares(self, mine: Term, theirs: Term) -> Formula:
        return z3.BoolVal(True)


class MovesTheirs(Rules):
    def compares(self, mine: Term, theirs: Term) -> Formula:
        return z3.And(mine != theirs, mine == 0)


class Believes(Rules):
    def confirms(self, told: Term, found: Term) -> Formula:
        return z3.BoolVal(True)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        (TakesOnlyWhatIsNewer, "is met by"),
        (TakesNothing, "is met by"),
        (TakesOverAnything, "is met by"),
        (SmallerLeaves, "a node of"),
        (AsksForAll, "is asked for, or not, where the proof differs"),
        (MovesAll, "differs, and is not dealt with"),
        (MovesTheirs, "is the same, and is dealt with"),
        (Believes, "what was heard of a window is believed"),
    ],
)
def test_other_formulas_are_not_what_the_reference_does(rules: type[Rules], problem: str) -> None:
    assert problem in first_problem(rules())


class Immutable(sealing.Rules):
    def dirties(self, s: sealing.Window) -> Formula:
        return z3.Not(s.sealed)


class Forgets(sealing.Rules):
    def survives(self, s: sealing.Window) -> Formula:
        return z3.BoolVal(False)


class CountsTwice(sealing.Rules):
    """Windows that are not sealed are counted as well."""

    def counts(self, s: sealing.Window) -> Formula:
        return z3.BoolVal(True)


@pytest.mark.parametrize(
    ("windows", "problem"),
    [
        (Immutable, "is not dirty or not counted"),
        (Forgets, "is not after a crash"),
        (CountsTwice, "is not dirty or not counted"),
    ],
)
def test_other_windows_are_not_what_the_reference_does(windows: type[sealing.Rules], problem: str) -> None:
    assert problem in first_problem(windows=windows())


class TellsTheSame(ForestReplica):
    """A window that is hashed anew tells what it told."""

    def _rehash(self, state: State, window: int) -> State:
        after = ForestReplica._rehash(self, state, window)
        return State(after.replica, replace(after.forest, told=state.forest.told))


class ShowsThePurged(merkle_forest.Rules):
    """Tombstones below the floor are shown when they are met."""

    __slots__ = ()

    def is_purged(self, floor: int, entry: merkle_forest.Entry) -> bool:
        return False


class BiggerLeaves(merkle_forest.Rules):
    """A leaf has one entry more."""

    __slots__ = ()

    def is_leaf(self, shape: Shape, entries: int, depth: int) -> bool:
        return entries <= shape.most_in_leaf + 1


class LeavesOutAChild(Driver):
    """The last child is never asked for."""

    def _inner(self, state: Driving, mine: Any, place: Any, node: Any) -> Driving:
        after = Driver._inner(self, state, mine, place, node)
        return replace(after, nodes=tuple(item for item in after.nodes if item[1][-1:] != (15,)))


@pytest.mark.parametrize(
    ("variant", "problem"),
    [
        (Variant(TellsTheSame()), "is hashed, and tells another digest or is dirty"),
        (Variant(ForestReplica(rules=ShowsThePurged())), "becomes|is shown"),
        (Variant(ForestReplica(rules=BiggerLeaves())), "a node of 9 entries"),
        (Variant(driver=LeavesOutAChild), "is asked for, or not, where the proof differs"),
    ],
)
def test_a_reference_with_another_wrong_rule_is_noticed(
    variant: Variant, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merkle_forest_steps, "MANY_ROWS", 300)  # With fewer a node of just 9 entries is rare.
    found = first_problem(variant=variant)
    assert any(part in found for part in problem.split("|")), found
