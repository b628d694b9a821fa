"""The tie between ``spec/merkle_forest.tla`` and the reference: its state graphs, replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import graph
from scratchbird_check.ties.graph import Tie
from scratchbird_check.ties.merkle_forest_moves import successors
from scratchbird_check.ties.merkle_forest_world import (
    Instance,
    World,
    from_model,
    initial,
    numbers_in,
    to_model,
)
from scratchbird_check.variants.merkle_forest import RIGHT, Variant
from scratchbird_check.verdicts import Outcome

MODULE = "MC_merkle_forest"
ACTIONS = frozenset({"Write", "Arrive", "Advance", "Rehash"})
EXCHANGES = frozenset({"Begin", "Compare", "Meet", "Succeed", "Fail"})
FLOOR = frozenset({"Close", "Converge", "Settle"})
_SIZES = {"TwoReplicas": 2, "ThreeReplicas": 3}
_ROWS = {
    "OneRow": {1: 1, 3: 1, 5: 1},
    "TwoRows": {1: 1, 2: 2, 3: 1, 5: 1},
    "OldRow": {1: 1, 3: 1},
    "OneVersion": {1: 1},
    "OneDelete": {3: 1},
    "OldThenNew": {1: 1, 5: 1},
    "TwoBeside": {1: 1, 2: 2},
    "FourRows": {v: 1 + v % 4 for v in range(1, 13) if v != 7},
}
_WINDOWS = {
    "FirstThenLater": {1: 1, 2: 1, 3: 2, 5: 2},
    "ThreeWindows": {v: 1 + (v - 1) // 4 for v in range(1, 13)},
}
_SEALS = {"Seals": {1: 4, 2: 6}, "ThreeSeals": {1: 6, 2: 10, 3: 14}}
"""The operators of ``MC_merkle_forest.tla`` and ``MC_merkle_forest_apart.tla`` that ties use. A slip here
is a step that one side does not take."""


def instance_of(constants: Mapping[str, str], machines: Variant = RIGHT) -> Instance:
    """The reference, or a wrong rule, under the constants of a configuration."""
    return Instance(
        tuple(range(1, _SIZES[constants["Replica"]] + 1)),
        _ROWS[constants["RowOf"]],
        frozenset(numbers_in(constants["Tombstones"])),
        _WINDOWS[constants["WindowOf"]],
        _SEALS[constants["SealedAt"]],
        numbers_in(constants["Times"]),
        int(constants["Floor"]),
        int(constants["Crashes"]),
        int(constants["Exchanges"]),
        has_floor="Close" not in constants,
        machines=machines,
    )


def tie_of(instance: Instance) -> Tie[World]:
    """What a step of the reference is in this instance."""
    actions = set(ACTIONS)
    if instance.exchanges:
        actions |= EXCHANGES
    if instance.has_floor:
        actions |= FLOOR
        if instance.tombstones & instance.row_of.keys():
            actions.add("Purge")
    if instance.crashes:
        actions.add("Crash")
    return Tie(
        partial(from_model, instance),
        partial(to_model, instance),
        partial(successors, instance),
        initial(instance),
        frozenset(actions),
    )


def _make(constants: Mapping[str, str], check: Check, states: Sequence[Mapping[str, Any]]) -> Tie[World]:
    return tie_of(instance_of(constants))


def replay_graph(check: Check, context: Context) -> Outcome:
    """Every edge of TLC's state graph is a step of the reference, and the other way round."""
    return graph.replay_graph(check, context, MODULE, _make)
