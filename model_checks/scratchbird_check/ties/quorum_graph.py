"""The tie between ``spec/quorum.tla`` and the reference: state graphs, behaviours and runs, replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import graph, runs
from scratchbird_check.ties.graph import Tie
from scratchbird_check.ties.quorum_world import Instance, World, from_model, initial, successors, to_model
from scratchbird_check.verdicts import Outcome
from scratchbird_reference.quorum_messages import Mode, Setting

MODULE = "MC_quorum"
ACTIONS = frozenset(
    {"Begin", "Answer", "Stamp", "Choose", "RecordIntent", "Acknowledge", "Reply", "GiveUp", "Store"}
)
_SIZES = {"OneReplica": 1, "TwoReplicas": 2, "ThreeReplicas": 3}
_READ, _WRITE = ("read", 0), ("write", 0)
_OPERATIONS: Mapping[str, tuple[tuple[str, int], ...]] = {
    "WriteRead": (_WRITE, _READ),
    "WriteWrite": (_WRITE, _WRITE),
    "WriteReadRead": (_WRITE, _READ, ("read", 2)),
    "WriteWriteRead": (_WRITE, _WRITE, _READ),
    "WriteReadRetry": (_WRITE, _READ, ("retry", 1)),
    "WriteReadLook": (_WRITE, _READ, ("look", 1)),
}
"""The operators of ``MC_quorum.tla`` that the ties use. A slip here is a step that one side does not take."""


def _quorums(name: str, size: int) -> tuple[tuple[int, int], ...]:
    """W and R, by epoch."""
    known = {
        "Majorities": ((2, 2),),
        "WriteAllReadOne": ((size, 1),),
        "WriteOneReadAll": ((1, size),),
        "WithBarrier": ((1, size), (size, size), (size, 1)),
        "SideBySide": ((2, 2), (2, 3)),
    }
    return known[name]


def instance_of(constants: Mapping[str, str], **machines: Any) -> Instance:
    """The reference under the constants of a configuration."""
    size = _SIZES[constants["Replica"]]
    names = tuple(range(1, size + 1))
    return Instance(
        size,
        _OPERATIONS[constants["Operations"]],
        tuple(
            Setting(names, write, read, Mode.LINEARIZABLE, epoch)
            for epoch, (write, read) in enumerate(_quorums(constants["Settings"], size), start=1)
        ),
        int(constants["MaxVersion"]),
        int(constants["Losses"]),
        **machines,
    )


def tie_of(instance: Instance) -> Tie[World]:
    """What a step of the reference is in this instance."""
    actions = set(ACTIONS)
    if instance.losses:
        actions |= {"LoseDisk", "Exchange"}
        if len(instance.settings) > 1:
            actions.add("HearEpoch")
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


def replay_behaviours(check: Check, context: Context) -> Outcome:
    """Every step of TLC's simulated behaviours is a step of the reference."""
    return graph.replay_behaviours(check, context, MODULE, _make)


def check_runs(check: Check, context: Context) -> Outcome:
    """Runs of the reference, checked by TLC to be behaviours of the model."""
    return runs.check_runs(check, context, MODULE, lambda constants: tie_of(instance_of(constants)))
