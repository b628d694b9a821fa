"""The tie between a model and its reference: TLC's state graph and its behaviours, replayed.

:func:`replay_graph` compares, for every state of a small instance, the successors that TLC found with those
that the reference gives, action by action. Both must be the same set: an edge that the reference does not
take, or a step of the reference that is no edge, is *unexpected* and shown. :func:`replay_behaviours` does
one direction of that, every step of a behaviour is one of the reference's, for behaviours at random of an
instance whose graph is too large. What a step of the reference is says a :class:`Tie`, one for each part.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc, tlc_config
from scratchbird_check.engines.tlc_output import End
from scratchbird_check.manifest import Check
from scratchbird_check.traces.tla_values import parse_state
from scratchbird_check.verdicts import Outcome

W = TypeVar("W", bound=NamedTuple)
"""A state of the model, as a part's tie writes it."""

States = Mapping[str, Mapping[str, Any]]
Edges = Sequence[tuple[str, str, str]]

OF = "edges of "
"""Begins the name of a figure of an action."""

_DOT_STATE = re.compile(r'^(-?\d+) \[label="(.*?)"(?:,style = filled)?\]')
_DOT_EDGE = re.compile(r'^(-?\d+) -> (-?\d+) \[label="(\w+)"')


class TieBroken(ValueError):
    """Model, proof and reference differ; the message shows the state and the step, or names what differs."""


@dataclass(frozen=True, slots=True)
class Tie(Generic[W]):
    """A part's model around its reference, for the constants of one configuration.

    :ivar successors: every (action, next state) that the model should have, played by the reference.
    :ivar actions: the model's, each of which a set of behaviours has to take.
    :ivar noted: what else a step is an instance of, worth seeing once; empty if nothing.
    :ivar rare: actions that a set of behaviours or runs may lack: the graphs of smaller instances take them.
    :ivar seldom: actions after which little can happen; runs at random mostly take another one.
    """

    from_model: Callable[[Mapping[str, Any]], W]
    to_model: Callable[[W], dict[str, Any]]
    successors: Callable[[W], Iterable[tuple[str, W]]]
    initial: W
    actions: frozenset[str]
    noted: Callable[[str, W, W], str] = lambda action, before, after: ""
    seldom: frozenset[str] = frozenset()
    rare: frozenset[str] = frozenset()


MakeTie = Callable[[Mapping[str, str], Check, Sequence[Mapping[str, Any]]], Tie[W]]
"""From a configuration's constants, the check, and some states of the model, an initial one first."""


def replay_graph(check: Check, context: Context, module: str, make: MakeTie[W]) -> Outcome:
    """Every edge of TLC's state graph is a step of the reference, and the other way round."""
    folder = resources.copy_models(context.workdir / "models")
    graph = context.workdir / "graph.dot"
    config = check.options["config"]
    ended, report = tlc.execute(
        context,
        folder,
        module=module,
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
    try:
        figures = compare(make(constants, check, list(states.values())[:1]), states, edges)
    except TieBroken as error:
        return tlc.unexpected(check, str(error), ended.log)
    if figures["edges"] != check.options["edges"]:
        return tlc.unexpected(
            check, f"edges are pinned at {check.options['edges']}, found {figures['edges']}", ended.log
        )
    taken = {name.removeprefix(OF): number for name, number in figures.items() if name.startswith(OF)}
    if check.options.get("actions", taken) != taken:
        return tlc.unexpected(
            check, f"edges of each action: pinned {check.options['actions']}, found {taken}", ended.log
        )
    detail = f"{figures['states']:,} states and {figures['edges']:,} edges, the same in both"
    return Outcome(check.id, check.expect, detail, check.properties, ended.seconds, figures)


def replay_behaviours(
    check: Check, context: Context, module: str, make: MakeTie[W], wanted: Iterable[str] = ()
) -> Outcome:
    """Every step of TLC's simulated behaviours is a step of the reference.

    :param wanted: what has to be noted in some behaviour, beside that every action is taken.
    """
    folder = resources.copy_models(context.workdir / "models")
    number, depth, config = (check.options[name] for name in ("behaviours", "depth", "config"))
    (context.workdir / "behaviours").mkdir()
    prefix = context.workdir / "behaviours" / "b"
    ended, report = tlc.execute(
        context,
        folder,
        module=module,
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
    lacking = set(wanted)
    steps = behaviours = 0
    for path in sorted(prefix.parent.iterdir()):
        states = list(read_behaviour(path.read_text(encoding="utf-8")))
        try:
            tie = make(constants, check, states)
            if not behaviours:
                lacking |= tie.actions - tie.rare
            lacking -= follow(tie, states)
        except TieBroken as error:
            return tlc.unexpected(check, f"behaviour {path.name}: {error}", ended.log)
        behaviours += 1
        steps += len(states) - 1
    if behaviours < number:
        return tlc.unexpected(check, f"{behaviours} behaviours were written, {number} asked for", ended.log)
    if lacking:
        return tlc.unexpected(check, f"no behaviour takes {', '.join(sorted(lacking))}", ended.log)
    detail = f"{behaviours:,} behaviours, {steps:,} steps, all of them the reference's"
    figures = {"behaviours": behaviours, "steps": steps}
    return Outcome(check.id, check.expect, detail, check.properties, ended.seconds, figures)


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


def compare(tie: Tie[W], states: States, edges: Edges) -> dict[str, int]:
    """The successors of every state, by TLC and by the reference.

    :raises TieBroken: at the first state where they differ.
    """
    worlds = {name: tie.from_model(values) for name, values in states.items()}
    found: dict[W, set[tuple[str, W]]] = defaultdict(set)
    for start, action, end in edges:
        found[worlds[start]].add((action, worlds[end]))
    if tie.initial not in found:
        raise TieBroken("the model does not start where the reference does")
    taken: Counter[str] = Counter()
    for world in worlds.values():
        wanted = set(tie.successors(world))
        if wanted != found[world]:
            raise TieBroken(_difference(tie, world, wanted, found[world]))
        taken.update(action for action, _ in wanted)
    figures = {"states": len(worlds), "edges": taken.total(), "actions": len(taken)}
    return figures | {f"{OF}{action}": taken[action] for action in sorted(taken)}


def explored(tie: Tie[W]) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str, str]]]:
    """The state graph of the reference alone, as :func:`read_graph` reads TLC's."""
    names = {tie.initial: "0"}
    edges: list[tuple[str, str, str]] = []
    queue = deque(names)
    while queue:
        world = queue.popleft()
        for action, after in tie.successors(world):
            if after not in names:
                names[after] = str(len(names))
                queue.append(after)
            edges.append((names[world], action, names[after]))
    return {name: tie.to_model(world) for world, name in names.items()}, edges


def follow(tie: Tie[W], states: Sequence[Mapping[str, Any]]) -> set[str]:
    """Which actions a behaviour takes, and what was noted.

    :raises TieBroken: at the first step that is none of the reference's.
    """
    taken: set[str] = set()
    world = tie.from_model(states[0])
    for number, values in enumerate(states[1:], start=2):
        after = tie.from_model(values)
        actions = {action for action, reached in tie.successors(world) if reached == after}
        if not actions and after != world:
            raise TieBroken(f"step to state {number} is none of the reference's: {world} -> {after}")
        if len(actions) == 1:
            (action,) = actions
            taken |= {action, tie.noted(action, world, after)}
        world = after
    return taken


def _difference(tie: Tie[W], world: W, wanted: set[tuple[str, W]], found: set[tuple[str, W]]) -> str:
    """In the model's variables; what these do not show, in those of the tie."""
    before = tie.to_model(world)
    state = ", ".join(f"{name}: {value}" for name, value in before.items())
    lines = [f"model and reference take different steps from {state}"]
    for who, steps in (("the reference", wanted - found), ("the model", found - wanted)):
        for action, after in sorted(steps, key=repr)[:2]:
            changed = _changed(before, tie.to_model(after)) or _changed(world._asdict(), after._asdict())
            lines.append(f"only {who}: {action} {changed or 'changes nothing'}")
    return "\n".join(lines)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name}: {before[name]} -> {after[name]}" for name in before if before[name] != after[name]
    )
