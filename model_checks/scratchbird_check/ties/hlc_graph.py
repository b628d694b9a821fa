"""The tie between ``spec/hlc.tla`` and the reference: state graphs, behaviours and runs, replayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import graph, runs
from scratchbird_check.ties.graph import Tie
from scratchbird_check.ties.hlc_world import (
    LIMITS,
    Instance,
    World,
    from_model,
    initial,
    successors,
    to_model,
)
from scratchbird_check.verdicts import Outcome
from scratchbird_reference.hlc import Config, HybridLogicalClock

MODULE = "MC_hlc"
ACTIONS = frozenset(
    {"Pass", "Shift", "Start", "Crash", "Stop", "Persisted", "Tick", "Reserve", "Confirm", "Send", "Observe"}
)
CARRY = "a tick that carries"


def replay_graph(check: Check, context: Context) -> Outcome:
    """Every edge of TLC's state graph is a step of the reference, and the other way round."""
    return graph.replay_graph(check, context, MODULE, make)


def replay_behaviours(check: Check, context: Context) -> Outcome:
    """Every step of TLC's simulated behaviours is a step of the reference."""
    return graph.replay_behaviours(check, context, MODULE, make, (CARRY,))


def check_runs(check: Check, context: Context) -> Outcome:
    """Runs of the reference, checked by TLC to be behaviours of the model."""
    nodes, offsets = tuple(check.options["nodes"]), tuple(check.options["offsets"])
    limits = dict(zip(LIMITS, check.options["limits"], strict=True))

    def tie(constants: Mapping[str, str]) -> Tie[World]:
        return tie_of(instance_of(constants, nodes, offsets), limits)

    return runs.check_runs(check, context, MODULE, tie)


def make(constants: Mapping[str, str], check: Check, states: Sequence[Mapping[str, Any]]) -> Tie[World]:
    """The tie for a configuration. Who the nodes are, and how much may happen, say the states."""
    first = states[0]
    instance = instance_of(constants, tuple(first["off"]), tuple(check.options["offsets"]))
    return tie_of(instance, {name: first["budget"][name] for name in LIMITS})


def tie_of(instance: Instance, limits: Mapping[str, int]) -> Tie[World]:
    """What a step of the reference is in this instance."""
    return Tie(
        partial(from_model, instance),
        partial(to_model, instance),
        partial(successors, instance),
        initial(instance, limits),
        ACTIONS,
        partial(_noted, instance),
    )


def instance_of(
    constants: Mapping[str, str],
    nodes: tuple[str, ...],
    offsets: tuple[int, ...],
    rules: type[HybridLogicalClock] = HybridLogicalClock,
) -> Instance:
    """The reference under the constants of a configuration."""
    config = Config(
        max_drift_ms=int(constants["MaxDrift"]),
        max_ahead_ms=int(constants["MaxAhead"]),
        max_skew_ms=int(constants["MaxSkew"]),
        reserve_ms=int(constants["ReserveMs"]),
        confirm_quorum=1,
        counters_per_ms=int(constants["C"]),
    )
    return Instance(nodes, config, int(constants["Base"]), int(constants["Horizon"]), offsets, rules)


def _noted(instance: Instance, action: str, world: World, after: World) -> str:
    """Whether a full counter carried past the wall clock in this step."""
    if action != "Tick":
        return ""
    for index, state in enumerate(world.states):
        if state.volatile is not None and after.own[index] != world.own[index]:
            last, issued = state.volatile.last, instance.unpack(after.own[index])
            wall = instance.base + world.now + world.off[index]
            full = last.counter == instance.config.counters_per_ms - 1
            return CARRY if full and issued == (last.ms + 1, 0) and issued.ms > wall else ""
    return ""
