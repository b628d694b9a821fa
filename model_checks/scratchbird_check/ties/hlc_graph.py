"""The tie between model and reference: TLC's state graph, and its simulated behaviours, replayed.

:func:`replay_graph` compares, for every state of a small instance, the successors that TLC found with those
that the reference gives (:mod:`scratchbird_check.ties.hlc_world`), action by action. Both must be the same
set: an edge that the reference does not take, or a step of the reference that is no edge, is *unexpected* and
shown. :func:`replay_behaviours` does one direction of that, every step of a behaviour is one of the
reference's, for behaviours at random of an instance whose graph is too large.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc, tlc_config
from scratchbird_check.engines.tlc_output import End
from scratchbird_check.manifest import Check
from scratchbird_check.ties.hlc_world import LIMITS, Instance, World, from_model, initial, successors
from scratchbird_check.traces.tla_values import parse_state
from scratchbird_check.verdicts import Outcome
from scratchbird_reference.hlc import Config, HybridLogicalClock

Edges = dict[World, set[tuple[str, World]]]

_DOT_STATE = re.compile(r'^(-?\d+) \[label="(.*?)"(?:,style = filled)?\]')
_DOT_EDGE = re.compile(r'^(-?\d+) -> (-?\d+) \[label="(\w+)"')


class TieBroken(ValueError):
    """Model and reference differ; the message shows the state and the step."""


def replay_graph(check: Check, context: Context) -> Outcome:
    """Every edge of TLC's state graph is a step of the reference, and the other way round."""
    folder = resources.copy_models(context.workdir / "models")
    graph = context.workdir / "graph.dot"
    config = check.options["config"]
    ended, report = tlc.execute(
        context,
        folder,
        module="MC_hlc",
        config=config,
        timeout_s=check.timeout_s,
        arguments=["-deadlock", "-dump", "dot,actionlabels", str(graph)],
    )
    if why := ended.why():
        return tlc.unexpected(check, f"TLC: {why}", ended.log)
    if report.end is not End.OK or report.distinct != check.options["distinct"]:
        found = f"{report.end.value}, {report.distinct} distinct states, pinned: {check.options['distinct']}"
        return tlc.unexpected(check, found, ended.log)
    states, edges = read_graph(graph)
    graph.unlink()
    constants = tlc_config.parse((folder / config).read_text(encoding="utf-8")).constants
    first = next(iter(states.values()))
    instance = instance_of(constants, tuple(first["off"]), tuple(check.options["offsets"]))
    try:
        figures = compare(instance, states, edges)
    except TieBroken as error:
        return tlc.unexpected(check, str(error), ended.log)
    if figures["edges"] != check.options["edges"]:
        return tlc.unexpected(
            check, f"edges are pinned at {check.options['edges']}, found {figures['edges']}", ended.log
        )
    detail = f"{figures['states']:,} states and {figures['edges']:,} edges, the same in both"
    return Outcome(check.id, check.expect, detail, check.properties, ended.seconds, figures)


def replay_behaviours(check: Check, context: Context) -> Outcome:
    """Every step of TLC's simulated behaviours is a step of the reference."""
    folder = resources.copy_models(context.workdir / "models")
    number, depth, config = (check.options[name] for name in ("behaviours", "depth", "config"))
    (context.workdir / "behaviours").mkdir()
    prefix = context.workdir / "behaviours" / "b"
    ended, report = tlc.execute(
        context,
        folder,
        module="MC_hlc",
        config=config,
        timeout_s=check.timeout_s,
        arguments=[
            *("-deadlock", "-simulate", f"file={prefix},num={number}"),
            *("-depth", str(depth), "-seed", str(context.seed + 1)),
        ],
    )
    if why := ended.why():
        return tlc.unexpected(check, f"TLC: {why}", ended.log)
    if report.end is not End.OK:
        return tlc.unexpected(check, f"{report.end.value}: {report.message}", ended.log)
    constants = tlc_config.parse((folder / config).read_text(encoding="utf-8")).constants
    seen: set[str] = set()
    steps = behaviours = 0
    for path in sorted(prefix.parent.iterdir()):
        states = list(read_behaviour(path.read_text(encoding="utf-8")))
        instance = instance_of(constants, tuple(states[0]["off"]), tuple(check.options["offsets"]))
        try:
            seen |= follow(instance, states)
        except TieBroken as error:
            return tlc.unexpected(check, f"behaviour {path.name}: {error}", ended.log)
        behaviours += 1
        steps += len(states) - 1
    if behaviours < number:
        return tlc.unexpected(check, f"{behaviours} behaviours were written, {number} asked for", ended.log)
    if lacking := sorted((ACTIONS | {CARRY}) - seen):
        return tlc.unexpected(check, f"no behaviour takes {', '.join(lacking)}", ended.log)
    detail = f"{behaviours:,} behaviours, {steps:,} steps, all of them the reference's"
    figures = {"behaviours": behaviours, "steps": steps}
    return Outcome(check.id, check.expect, detail, check.properties, ended.seconds, figures)


ACTIONS = frozenset(
    {"Pass", "Shift", "Start", "Crash", "Stop", "Persisted", "Tick", "Reserve", "Confirm", "Send", "Observe"}
)


CARRY = "a tick that carries"


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


def read_graph(path: Path) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str, str]]]:
    """TLC's ``-dump dot,actionlabels``: states by their fingerprint, and edges (from, action, to)."""
    states: dict[str, dict[str, Any]] = {}
    edges: list[tuple[str, str, str]] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if edge := _DOT_EDGE.match(line):
                edges.append((edge[1], edge[3], edge[2]))
            elif state := _DOT_STATE.match(line):
                states[state[1]] = parse_state(state[2])
    return states, edges


def read_behaviour(text: str) -> Iterator[dict[str, Any]]:
    """The states in a file that TLC's ``-simulate file=`` wrote, in order."""
    for block in re.split(r"^STATE_\d+ ==\s*$", text, flags=re.MULTILINE)[1:]:
        yield parse_state(block.split("====")[0].strip())


def compare(
    instance: Instance, states: Mapping[str, Mapping[str, Any]], edges: list[tuple[str, str, str]]
) -> dict[str, int]:
    """The successors of every state, by TLC and by the reference.

    :raises TieBroken: at the first state where they differ.
    """
    worlds = {name: from_model(instance, values) for name, values in states.items()}
    found: Edges = defaultdict(set)
    for start, action, end in edges:
        found[worlds[start]].add((action, worlds[end]))
    limits = dict(zip(LIMITS, next(iter(worlds.values())).budget, strict=True))
    if initial(instance, limits) not in found:
        raise TieBroken("the model does not start where the reference does")
    taken: set[str] = set()
    total = 0
    for world in worlds.values():
        wanted = set(successors(instance, world))
        if wanted != found[world]:
            raise TieBroken(_difference(world, wanted, found[world]))
        taken |= {action for action, _ in wanted}
        total += len(wanted)
    return {"states": len(worlds), "edges": total, "actions": len(taken)}


def follow(instance: Instance, states: list[dict[str, Any]]) -> set[str]:
    """Which actions a behaviour takes.

    :raises TieBroken: at the first step that is none of the reference's.
    """
    taken: set[str] = set()
    world = from_model(instance, states[0])
    for number, values in enumerate(states[1:], start=2):
        after = from_model(instance, values)
        actions = {action for action, reached in successors(instance, world) if reached == after}
        if not actions and after != world:
            raise TieBroken(f"step to state {number} is none of the reference's: {world} -> {after}")
        if len(actions) == 1:
            taken |= actions
        if actions == {"Tick"} and _carried(instance, world, after):
            taken.add(CARRY)
        world = after
    return taken


def _carried(instance: Instance, world: World, after: World) -> bool:
    """Whether a full counter carried past the wall clock in this step."""
    for index, state in enumerate(world.states):
        if state.volatile is not None and after.own[index] != world.own[index]:
            last, issued = state.volatile.last, instance.unpack(after.own[index])
            wall = instance.base + world.now + world.off[index]
            full = last.counter == instance.config.counters_per_ms - 1
            return full and issued == (last.ms + 1, 0) and issued.ms > wall
    return False


def _difference(world: World, wanted: set[tuple[str, World]], found: set[tuple[str, World]]) -> str:
    lines = [f"model and reference take different steps from {world}"]
    for who, steps in (("the reference", wanted - found), ("the model", found - wanted)):
        for action, after in sorted(steps, key=repr)[:2]:
            changed = ", ".join(
                f"{name}: {old} -> {new}"
                for name, old, new in zip(World._fields, world, after, strict=True)
                if old != new
            )
            lines.append(f"only {who}: {action} {changed or 'changes nothing'}")
    return "\n".join(lines)
