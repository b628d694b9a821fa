"""The ties between model and reference can break: each wrong rule takes steps that are not the model's."""

from __future__ import annotations

import random
from collections import deque
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from scratchbird_check.context import Context
from scratchbird_check.engines import tlc
from scratchbird_check.manifest import Check
from scratchbird_check.ties import hlc_graph, runs
from scratchbird_check.ties.graph import Tie, TieBroken, compare, follow
from scratchbird_check.ties.hlc_world import (
    LIMITS,
    VARIABLES,
    Instance,
    World,
    from_model,
    initial,
    successors,
    to_model,
)
from scratchbird_check.traces.tla_values import Record, format_state, parse_state
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_check.verdicts import Verdict
from scratchbird_reference.hlc import Config, HybridLogicalClock

CONFIG = Config(2, 1, 1, 1, 1, 2)
Graph = tuple[dict[str, dict[str, Any]], list[tuple[str, str, str]]]

needs_tlc = pytest.mark.skipif(bool(tlc.missing()), reason=tlc.missing() or "TLC is here")


def instance(
    nodes: tuple[str, ...],
    rules: type[HybridLogicalClock] = HybridLogicalClock,
    offsets: tuple[int, ...] = (-2, 0, 4),
    config: Config = CONFIG,
) -> Instance:
    return Instance(nodes, config, base=3, horizon=0, offsets=offsets, rules=rules)


def tie(place: Instance, limits: tuple[int, ...] = (0,) * len(LIMITS)) -> Tie[World]:
    return hlc_graph.tie_of(place, dict(zip(LIMITS, limits, strict=True)))


@cache
def graph(nodes: tuple[str, ...], limits: tuple[int, ...], offsets: tuple[int, ...]) -> Graph:
    """The state graph of the right rules, as TLC would have dumped it."""
    place = instance(nodes, offsets=offsets)
    names: dict[World, str] = {}
    edges: list[tuple[str, str, str]] = []
    queue = deque([initial(place, dict(zip(LIMITS, limits, strict=True)))])
    names[queue[0]] = "0"
    while queue:
        world = queue.popleft()
        for action, after in successors(place, world):
            if after not in names:
                names[after] = str(len(names))
                queue.append(after)
            edges.append((names[world], action, names[after]))
    return {name: to_model(place, world) for world, name in names.items()}, edges


PLACES = {
    "one": (("n1",), (1, 1, 4, 0, 1, 0), (-2, 0)),
    "crashes": (("n1",), (0, 2, 1, 0, 2, 0), (0,)),
    "pair": (("n1", "n2"), (1, 1, 1, 1, 0, 0), (0, 4)),
    "burst": (("n1", "n2"), (0, 0, 4, 1, 0, 0), (0,)),
    "fast": (("n1", "n2"), (1, 0, 1, 1, 0, 0), (0, 2)),
    "wrong": (("n1", "n2"), (2, 0, 1, 1, 0, 0), (-2, 0, 1)),
    "restart": (("n1",), (1, 1, 1, 1, 0, 0), (-2, 0)),
}
SEEN_IN = {
    "no_carry": "one",
    "stall_and_reset": "one",
    "merge_ignores_counter": "burst",
    "merge_resets_counter": "burst",
    "no_remote_bound": "pair",
    "merges_at_once": "fast",
    "early_by_belief": "burst",
    "one_bound": "one",
    "no_upper_bound": "one",
    "bound_not_merged": "pair",
    "believes_wall": "wrong",
    "eager_reserve": "crashes",
    "carries_unchecked": "restart",
}


@pytest.mark.parametrize("place", PLACES)
def test_the_right_rules_take_the_steps_of_the_graph(place: str) -> None:
    nodes, limits, offsets = PLACES[place]
    figures = compare(tie(instance(nodes, offsets=offsets), limits), *graph(nodes, limits, offsets))
    assert figures["states"] > 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_wrong_rule_breaks_the_tie(variant: str) -> None:
    nodes, limits, offsets = PLACES[SEEN_IN[variant]]
    with pytest.raises(TieBroken, match=r"only the (reference|model)"):
        compare(tie(instance(nodes, VARIANTS[variant], offsets), limits), *graph(nodes, limits, offsets))


def test_an_edge_that_is_missing_and_one_too_many_are_seen() -> None:
    nodes, limits, offsets = PLACES["crashes"]
    states, edges = graph(nodes, limits, offsets)
    with pytest.raises(TieBroken, match="only the reference: Crash"):
        compare(
            tie(instance(nodes, offsets=offsets), limits),
            states,
            [edge for edge in edges if edge[1] != "Crash"],
        )
    with pytest.raises(TieBroken, match="only the model: Tick"):
        compare(tie(instance(nodes, offsets=offsets), limits), states, [*edges, ("0", "Tick", "0")])
    with pytest.raises(TieBroken, match="does not start where"):
        compare(
            tie(instance(nodes, offsets=offsets), limits), states, [edge for edge in edges if edge[0] != "0"]
        )


def test_states_survive_being_written_and_read() -> None:
    nodes, limits, offsets = PLACES["pair"]
    place = instance(nodes, offsets=offsets)
    for values in list(graph(nodes, limits, offsets)[0].values())[:500]:
        world = from_model(place, values)
        assert to_model(place, world) == values
        assert from_model(place, parse_state(format_state(values))) == world


def test_a_variable_that_the_tie_does_not_know_is_an_error() -> None:
    place = instance(("n1",))
    values = to_model(place, initial(place, dict.fromkeys(LIMITS, 0)))
    with pytest.raises(ValueError, match="the tie knows"):
        from_model(place, {**values, "novel": 1})
    with pytest.raises(ValueError, match="the tie knows"):
        from_model(place, {name: values[name] for name in VARIABLES[1:]})


def test_a_behaviour_with_a_step_of_nobody_is_seen() -> None:
    place = instance(("n1",))
    first = to_model(place, initial(place, dict.fromkeys(LIMITS, 1)))
    started = next(
        after for action, after in successors(place, from_model(place, first)) if action == "Start"
    )
    assert follow(tie(place), [first, first, to_model(place, started)]) == {"Start", ""}
    with pytest.raises(TieBroken, match="step to state 2 is none of the reference's"):
        follow(tie(place), [first, {**first, "own": Record({"n1": 9})}])


def check(target: str, **options: Any) -> Check:
    return Check(
        id=f"tie-test-{target}",
        part="hlc",
        engine="python",
        profiles=("quick",),
        expect=Verdict.CHECKED,
        properties=("HLC-1",),
        timeout_s=120,
        options=MappingProxyType(options),
    )


RUNS = {
    "config": "MC_hlc_simulate.cfg",
    "nodes": ["n1", "n2", "n3"],
    "offsets": [-2, 0, 1, 4],
    "limits": [4, 3, 12, 6, 4, 2],
    "runs": 20,
    "steps": 40,
}


@needs_tlc
def test_runs_of_the_reference_are_behaviours_and_those_of_a_wrong_rule_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "right").mkdir()
    (tmp_path / "wrong").mkdir()
    right = hlc_graph.check_runs(check("runs", **RUNS), Context(tmp_path / "right", seed=3))
    assert right.verdict is Verdict.CHECKED, right.detail
    place = hlc_graph.instance_of

    def wrong(*arguments: Any) -> Instance:
        return place(*arguments, rules=VARIANTS["no_upper_bound"])

    monkeypatch.setattr(hlc_graph, "instance_of", wrong)
    refused = hlc_graph.check_runs(check("runs", **RUNS), Context(tmp_path / "wrong", seed=3))
    assert refused.verdict is Verdict.UNEXPECTED
    assert "is no behaviour: deadlock" in refused.detail


@needs_tlc
def test_pins_of_the_graph_are_held(tmp_path: Path) -> None:
    options = {"config": "MC_hlc_tie_one.cfg", "offsets": [-2, 0, 4], "distinct": 5171, "edges": 11584}
    (tmp_path / "edges").mkdir()
    edges = hlc_graph.replay_graph(check("graph", **options), Context(tmp_path / "edges"))
    assert (edges.verdict, "edges are pinned at 11584" in edges.detail) == (Verdict.UNEXPECTED, True)
    (tmp_path / "states").mkdir()
    states = hlc_graph.replay_graph(check("graph", **options | {"distinct": 1}), Context(tmp_path / "states"))
    assert (states.verdict, "5171 distinct states" in states.detail) == (Verdict.UNEXPECTED, True)


def test_a_run_at_random_is_the_same_for_the_same_seed() -> None:
    place = instance(("n1", "n2"))
    limits = (2,) * len(LIMITS)
    once, again = (runs.run(tie(place, limits), 30, random.Random(5)) for _ in range(2))
    assert once == again
    assert len(once[0]) > 10
