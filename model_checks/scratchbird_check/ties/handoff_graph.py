"""The tie between ``spec/handoff.tla`` and the reference: state graphs, behaviours and runs, replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import graph, runs
from scratchbird_check.ties.graph import Tie
from scratchbird_check.ties.handoff_moves import successors
from scratchbird_check.ties.handoff_world import (
    ROOM,
    Instance,
    World,
    from_model,
    initial,
    numbers_in,
    to_model,
)
from scratchbird_check.verdicts import Outcome
from scratchbird_reference.quorum_messages import Setting

MODULE = "MC_handoff"
ACTIONS = frozenset(
    {
        *("Begin", "Answer", "Stamp", "RecordIntent", "Acknowledge", "Reply", "GiveUp", "Crash", "Store"),
        "Exchange",
    }
)
SELDOM = frozenset({"GiveUp", "Crash", "Close", "Restart", "LoseDisk"})
"""They end what is open, keep out what is written below the floor, or let the floor begin anew."""
RARE = frozenset({"PayBelow", "Purge"})
"""They need that all have converged, and a hint or a tombstone that is left below the floor."""
_SIZES = {"TwoReplicas": 2, "ThreeReplicas": 3}
_OPERATIONS = {
    "OneWrite": ("write",),
    "OneDelete": ("delete",),
    "WriteDelete": ("write", "delete"),
    "WriteDeleteWrite": ("write", "delete", "write"),
}
"""The operators of ``MC_handoff.tla`` that ties use. A slip here is a step that one side does not take."""


def instance_of(constants: Mapping[str, str], **machines: Any) -> Instance:
    """The reference under the constants of a configuration."""
    names = tuple(range(1, _SIZES[constants["Replica"]] + 1))
    return Instance(
        Setting(names, int(constants["W"]), int(constants["R"])),
        _OPERATIONS[constants["Operations"]],
        tuple(ROOM * version for version in numbers_in(constants["Version"])),
        ROOM * int(constants["Floor"]),
        int(constants["Losses"]),
        int(constants["GivenUp"]),
        has_floor="Close" not in constants,
        **machines,
    )


def tie_of(instance: Instance) -> Tie[World]:
    """What a step of the reference is in this instance."""
    actions = set(ACTIONS)
    if instance.has_floor:
        actions |= {"Close", "NoteClosed", "Merge", "NoteConverged", "PayBelow", "Settle"}
        if len(instance.names) > 2:
            actions.add("Restart")
        if "delete" in instance.kinds:
            actions.add("Purge")
    if instance.losses:
        actions |= {"LoseDisk", "Recover"}
    if instance.given_up:
        actions |= {"MarkOpen", "DropHints", "KeepAgain"}
    return Tie(
        partial(from_model, instance),
        partial(to_model, instance),
        partial(successors, instance),
        initial(instance),
        frozenset(actions),
        seldom=SELDOM,
        rare=RARE,
    )


def _make(constants: Mapping[str, str], check: Check, states: Sequence[Mapping[str, Any]]) -> Tie[World]:
    return tie_of(instance_of(constants))


def replay_graph(check: Check, context: Context) -> Outcome:
    """Every edge of TLC's state graph is a step of the reference, and the other way round."""
    return graph.replay_graph(check, context, MODULE, _make)


def replay_behaviours(check: Check, context: Context) -> Outcome:
    """Every step of TLC's simulated behaviours is a step of the reference."""
    return graph.replay_behaviours(check, context, MODULE, _make)


def check_runs(check: Check, context: Context) -> Outcome:
    """Runs of the reference, checked by TLC to be behaviours of the model."""
    return runs.check_runs(check, context, MODULE, lambda constants: tie_of(instance_of(constants)))
