"""Forests at random, with every fault at once: all end the same."""

from __future__ import annotations

import pytest

from scratchbird_check.machines.merkle_forest_world import run_to_the_end
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference.merkle_forest import Rules


@pytest.mark.parametrize("seed", range(5))
def test_all_end_the_same_and_then_nothing_moves_any_more(seed: int) -> None:
    world = run_to_the_end(seed)
    results = [pair.exchange() for pair in world.pairs.values()]
    assert all(isinstance(item, exchanges.Succeeded) and not item.moved for item in results)
    assert world.counts["succeeded"] > 0


@pytest.mark.parametrize(
    "wrong",
    [
        type("OneSided", (Rules,), {"takes_part": lambda _, drives: drives, "__slots__": ()}),
        type("Anyhow", (Rules,), {"has_succeeded": lambda _, left: True, "__slots__": ()}),
        type("Stale", (Rules,), {"may_tell": lambda _, is_dirty: True, "__slots__": ()}),
        type("Shown", (Rules,), {"is_purged": lambda _, floor, entry: False, "__slots__": ()}),
    ],
)
def test_a_wrong_rule_is_noticed(wrong: type[Rules]) -> None:
    with pytest.raises(AssertionError):  # noqa: PT012 - any of the steps.
        for seed in range(30):
            run_to_the_end(seed, wrong())
