"""The forest's state machine: production and the reference keep their promises, wrong rules are found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scratchbird import merkle_forest as core
from scratchbird_check.context import Context
from scratchbird_check.machines import merkle_forest as machine
from scratchbird_check.machines.exploring import Exploration, lacking
from scratchbird_check.machines.merkle_forest import (
    FOCUS,
    IN_FULL,
    MANY,
    REQUIRED,
    RULES,
    explore,
    focused,
    production_setup,
    reference_setup,
)
from scratchbird_check.machines.merkle_forest_rules import ForestMachine, Setup
from scratchbird_check.machines.merkle_forest_sides import ProductionSide, ReferenceSide, Side
from scratchbird_check.manifest import Check
from scratchbird_check.variants.merkle_forest import RIGHT, VARIANTS
from scratchbird_check.verdicts import Verdict
from scratchbird_reference.merkle_forest import Shape
from scratchbird_reference.merkle_forest_messages import Bounds

SEEDS = 4
"""Hypothesis draws constants from the modules that are loaded: a seed is not the same runs everywhere."""
FOUND: dict[str, tuple[str, ...]] = {
    "immutable": ("through",),
    "serves_stale": ("through",),
    "forgets_dirt": ("lag",),
    "sealed_only": ("through",),
    "samples_active": ("through",),
    "compares_as_it_is": ("sound",),
    "one_sided": ("through",),
    "own_windows_only": ("through",),
    "records_failure": ("through",),
    "refreshes_nothing": ("again",),
    "keeps_overtaken": ("past",),
    "refuses_for_sealed": ("through",),
    "believes_short_digests": ("through", "again"),
    "compares_across_settings": ("settings", "through"),
    "leaves_at_once": ("stays",),
}
"""By which promises each wrong rule is found, judged by these alone."""
NOT_FOUND = {"purges_by_itself", "takes_over_purged"}
"""They need a row that is overwritten above a stable time between two settlings.

The model and the vectors find them.
"""
FEW = {"refreshes_nothing", "keeps_overtaken"}
"""Those that are sooner found with six rows."""


def found_in(make: Any, examples: int, required: frozenset[str]) -> Exploration:
    """Explorations of the size that the quick profile has, until everything has happened."""
    setup: Setup = make()
    for seed in range(SEEDS):
        found = explore(setup, examples, 30, seed, required=required)
        if found.problem is not None or not found.missed:
            break
    return found


def test_production_keeps_every_promise_with_thousands_of_rows() -> None:
    """MRK-1, MRK-2, MRK-4, MRK-5, MRK-6, MRK-7, MRK-11."""
    found = found_in(lambda: production_setup((2000, 60, 60, 60)), 40, REQUIRED | {MANY})
    assert found.problem is None, str(found.problem)
    assert found.missed == []


def test_the_reference_keeps_every_promise() -> None:
    found = found_in(reference_setup, 40, REQUIRED | {IN_FULL})
    assert found.problem is None, str(found.problem)
    assert found.missed == []


def test_the_same_seed_is_the_same_exploration() -> None:
    def reached(seed: int) -> Any:
        return explore(production_setup((60,)), 8, 15, seed).reached

    assert reached(4) == reached(4) != reached(5)


@pytest.mark.parametrize("variant", FOUND)
def test_a_wrong_rule_is_found(variant: str) -> None:
    for seed in range(SEEDS):
        setup = reference_setup(VARIANTS[variant], FOUND[variant], 6 if variant in FEW else 40)
        found = explore(setup, 150, 30, seed, focused(variant), shrink=False)
        if found.problem is not None:
            break
    assert found.problem is not None
    assert found.problem.promise in FOUND[variant]
    assert found.trace is not None
    assert found.trace.steps[-1].wrong


def test_every_wrong_rule_is_found_or_said_not_to_be() -> None:
    assert FOUND.keys() | NOT_FOUND == VARIANTS.keys()
    assert not FOUND.keys() & NOT_FOUND


@pytest.mark.parametrize("variant", ["keeps_overtaken", "leaves_at_once", "compares_as_it_is"])
def test_the_right_rule_keeps_the_promise_in_the_same_runs(variant: str) -> None:
    found = explore(reference_setup(RIGHT, FOUND[variant], 6), 40, 30, 0, focused(variant))
    assert found.problem is None, str(found.problem)


# --- as checks ----------------------------------------------------------------------------------------------


def check(**options: Any) -> Check:
    variant = options.pop("variant", "")
    filled = {"examples": {"quick": 40}, "steps": {"quick": 30}, "rows": [60], **options}
    return Check(
        "machine",
        "merkle_forest",
        "hypothesis",
        ("quick",),
        Verdict.CHECKED,
        ("MRK-6",),
        variant,
        options=filled,
    )


def test_the_machine_has_its_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lacking(ForestMachine, RULES) == []
    assert all(set(kept) <= RULES for kept in FOCUS.values())
    assert set(FOCUS) <= set(VARIANTS)
    monkeypatch.setattr(ForestMachine, "close", None)
    outcome = machine.run(check(), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "close" in outcome.detail


def test_a_check_in_which_too_little_happens_is_unexpected(tmp_path: Path) -> None:
    outcome = machine.run(check(examples={"quick": 1}, steps={"quick": 2}), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail.startswith("not reached: ")


def test_a_wrong_rule_is_told_as_a_run(tmp_path: Path) -> None:
    outcome = machine.run_variant(check(variant="one_sided", breaks="through"), Context(tmp_path))
    assert outcome.verdict is Verdict.REFUTED, outcome.detail
    trace = outcome.counterexample
    assert trace is not None
    assert any("exchange" in step.label for step in trace.steps)
    assert len(trace.steps) < 60


def test_a_variant_that_keeps_its_promise_is_unexpected(tmp_path: Path) -> None:
    options = check(variant="one_sided", breaks="stays", examples={"quick": 5})
    assert machine.run_variant(options, Context(tmp_path)).verdict is Verdict.UNEXPECTED


# --- breaking production on purpose -------------------------------------------------------------------------


class ForgetsWhatIsDirty(ProductionSide):
    """A node that does not keep what the core said is dirty."""

    def crash(self) -> None:
        self.windows_said.clear()
        super().crash()


class LosesRows(ProductionSide):
    """A node whose store drops what an exchange brings."""

    def merge(self, rows: list[Any]) -> set[int]:
        return set()


class TellsNoFloor(ProductionSide):
    """A node that does not tell its forest that it has settled."""

    def settle(self) -> None:
        self._floor = self._closed


class ForgetsWhatWaits(ProductionSide):
    """A node that starts without the rows that waited."""

    def crash(self) -> None:
        rows = {row: written for row, written in self._rows.items() if written[0] <= self.stable}
        lost = self._rows.keys() - rows.keys()
        super().crash()
        for row in lost:
            del self._rows[row]


@pytest.mark.parametrize(
    ("wrong", "promises"),
    [
        (ForgetsWhatIsDirty, {"lag", "sound", "told"}),
        (LosesRows, {"through", "end", "again"}),
        (TellsNoFloor, {"past", "entries", "through", "end", "again"}),
        (ForgetsWhatWaits, {"kept", "entries", "stays"}),
    ],
)
def test_a_node_that_is_wrong_is_found(wrong: type[ProductionSide], promises: set[str]) -> None:
    found = explore(Setup(wrong), 200, 30, 0, shrink=False)
    assert found.problem is not None
    assert found.problem.promise in promises


def test_both_sides_say_the_same_of_one_row() -> None:
    """The reference beside production, where nothing is left to chance."""
    sides: list[Side] = [
        ProductionSide(1, Shape(0, 10, 2), Bounds()),
        ReferenceSide(1, Shape(0, 10, 2), Bounds(), RIGHT),
    ]
    for side in sides:
        side.advance(30 << 80)
        for row in range(20):
            side.write(row, ((row + 1) << 80, b"v" if row % 3 else None))
        side.rehash()
    one, other = sides
    assert one.entries() == other.entries()
    assert one.told() == other.told() != {}
    assert one.amendments() == other.amendments()
    assert one.rows() == other.rows()
    assert core.RECORD_BYTES == 48
