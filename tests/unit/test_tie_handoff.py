"""The ties between the handoff model and the reference can break: each wrong rule takes other steps."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from scratchbird_check.context import Context
from scratchbird_check.engines import tlc
from scratchbird_check.manifest import Check
from scratchbird_check.ties import handoff_graph, runs
from scratchbird_check.ties.graph import TieBroken, compare, explored, follow
from scratchbird_check.ties.handoff_graph import instance_of, tie_of
from scratchbird_check.ties.handoff_moves import successors
from scratchbird_check.ties.handoff_world import (
    VARIABLES,
    Instance,
    StrangeStep,
    from_model,
    initial,
    to_model,
)
from scratchbird_check.traces.tla_values import format_state, parse_state
from scratchbird_check.variants.handoff import VARIANTS, Variant
from scratchbird_check.verdicts import Verdict
from scratchbird_reference import handoff_catalog as catalogs
from scratchbird_reference.handoff import Rules
from scratchbird_reference.handoff_hints import HintKeeper
from scratchbird_reference.handoff_replica import FlooredReplica

Graph = tuple[dict[str, dict[str, Any]], list[tuple[str, str, str]]]

needs_tlc = pytest.mark.skipif(bool(tlc.missing()), reason=tlc.missing() or "TLC is here")

WITHOUT_FLOOR = {"Close": "NobodyCloses"}
PLACES: dict[str, tuple[str, int, int, str, str, int, int, int, dict[str, str]]] = {
    "given up": ("TwoReplicas", 1, 2, "OneWrite", "{1}", 2, 0, 2, WITHOUT_FLOOR),
    "marks": ("ThreeReplicas", 1, 3, "OneWrite", "{1}", 2, 0, 1, WITHOUT_FLOOR),
    "floor": ("TwoReplicas", 2, 1, "OneDelete", "{1, 3}", 2, 0, 0, {}),
    "loss": ("TwoReplicas", 2, 1, "OneDelete", "{1}", 2, 1, 0, {}),
}


def place(name: str, **machines: Any) -> Instance:
    replicas, write, read, kinds, versions, floor, losses, given_up, more = PLACES[name]
    constants = {
        "Replica": replicas,
        "W": str(write),
        "R": str(read),
        "Operations": kinds,
        "Version": versions,
        "Floor": str(floor),
        "Losses": str(losses),
        "GivenUp": str(given_up),
        **more,
    }
    return instance_of(constants, **machines)


def machines_of(variant: Variant) -> dict[str, Any]:
    return {
        "coordinator": variant.coordinator,
        "replica": variant.floored,
        "keeper": variant.keeper,
        "catalog": variant.catalog,
    }


@cache
def graph(name: str) -> Graph:
    """The state graph of the right rules, as TLC would have dumped it."""
    return explored(tie_of(place(name)))


@pytest.mark.parametrize("name", PLACES)
def test_the_right_rules_take_the_steps_of_the_graph(name: str) -> None:
    tie = tie_of(place(name))
    figures = compare(tie, *graph(name))
    assert figures["states"] > 100
    assert figures["actions"] == len(tie.actions)


# --- wrong rules ------------------------------------------------------------------------------------------

SEEN_IN = {
    "hints_in_memory_only": "given up",
    "removed_on_send": "given up",
    "hint_counts": "given up",
    "hint_overwrites": "floor",
    "stops_without_mark": "given up",
    "cleared_by_one": "marks",
    "cleared_by_an_earlier_exchange": "given up",
    "closes_over_open_writes": "given up",
    "purges_by_time": "floor",
    "takes_below_closed": "floor",
    "pulls_before_all_closed": "floor",
    "merges_only_below": "floor",
    "settles_alone": "floor",
    "absent_is_nothing": "floor",
    "starts_open": "loss",
    "counts_across_a_loss": "loss",
    "backup_is_believed": "loss",
}
"""Wrong rules of the ledger, and an instance in which each takes another step."""


@pytest.mark.parametrize("name", sorted(SEEN_IN))
def test_a_wrong_rule_breaks_the_tie(name: str) -> None:
    with pytest.raises(TieBroken, match=r"only the (reference|model)|target|operation|replica"):
        compare(tie_of(place(SEEN_IN[name], **machines_of(VARIANTS[name]))), *graph(SEEN_IN[name]))


@pytest.mark.parametrize("name", ["settles_alone", "merges_only_below", "takes_below_closed"])
def test_a_rule_that_says_the_same_in_an_instance_keeps_the_tie(name: str) -> None:
    """Without a floor there is nothing to settle at, to close or to tell of."""
    compare(tie_of(place("given up", **machines_of(VARIANTS[name]))), *graph("given up"))


class KeepsNoneAgain(Rules):
    """A write leaves out a target under an open mark, also one that is back."""

    __slots__ = ()

    def is_given_up(self, mark_is_open: bool, is_coming_back: bool) -> bool:
        return False


class NeverPaid(Rules):
    """A hint stays, whatever its target says."""

    __slots__ = ()

    def is_paid(self, held_version: int, hinted_version: int) -> bool:
        return False


class SettlesLate(Rules):
    """It converges and never settles."""

    __slots__ = ()

    def may_settle(self, converged: int, all_converged: int, floor: int) -> bool:
        return False


class DropsWhatIsRefused(HintKeeper):
    """A hint goes when its target says that it is below its floor."""

    __slots__ = ()

    def _refused(self, state: Any, event: Any) -> Any:
        kept = tuple(hint for hint in state.durable.hints if hint.place != event.place)
        return replace(state, durable=replace(state.durable, hints=kept))


class OwesThePast(HintKeeper):
    """A hint stays, also when all have converged above it."""

    __slots__ = ()

    def _erased(self, state: Any, event: Any) -> Any:
        return state


class StaysAtTheLastFloor(catalogs.Catalog):
    """A floor that is void is never followed by another."""

    __slots__ = ()

    def _propose(self, state: Any, floor: int) -> Any:
        return state, ()


class CountsEveryLife(catalogs.Catalog):
    """The catalog counts what a replica said before it lost its disk."""

    __slots__ = ()

    def _lost_disk(self, state: Any, event: Any) -> Any:
        return state, ()


@pytest.mark.parametrize(
    ("name", "machines"),
    [
        ("given up", {"keeper": HintKeeper(NeverPaid())}),
        ("floor", {"keeper": DropsWhatIsRefused()}),
        ("floor", {"replica": FlooredReplica(rules=SettlesLate())}),
        ("floor", {"keeper": OwesThePast()}),
        ("loss", {"catalog": CountsEveryLife()}),
        ("loss", {"catalog": StaysAtTheLastFloor()}),
    ],
)
def test_another_wrong_rule_breaks_it_as_well(name: str, machines: dict[str, Any]) -> None:
    with pytest.raises(TieBroken):
        compare(tie_of(place(name, **machines)), *graph(name))


def test_an_intent_leaves_out_who_is_given_up_and_no_one_else() -> None:
    """Two writes have more states than a test wants: the step alone."""
    constants = {"Replica": "TwoReplicas", "W": "1", "R": "2", "Operations": "WriteDelete"}
    constants |= {"Version": "{1, 2}", "Floor": "3", "Losses": "0", "GivenUp": "1", **WITHOUT_FLOOR}

    def hinted(instance: Instance, owed: str) -> tuple[frozenset[int], ...]:
        values = to_model(instance, initial(instance)) | {
            "phase": ("sending", "done"),
            "version": (2, 1),
            "intended": frozenset({2}),
            "hinted": (frozenset(), frozenset({1, 2})),
            "owed": (owed, "none"),
            "givenUp": 1,
        }
        steps = dict(successors(instance, from_model(instance, values)))
        after = to_model(instance, steps["RecordIntent"])
        return after["hinted"][0], after["leftOut"][0]

    right = instance_of(constants)
    assert hinted(right, "none") == hinted(right, "closed") == ({1, 2}, frozenset())
    assert hinted(right, "open") == ({2}, {1})
    assert hinted(instance_of(constants, keeper=HintKeeper(KeepsNoneAgain())), "open") == (
        {1, 2},
        frozenset(),
    )


# --- the tie itself ---------------------------------------------------------------------------------------


def test_an_edge_that_is_missing_and_one_too_many_are_seen() -> None:
    states, edges = graph("floor")
    tie = tie_of(place("floor"))
    with pytest.raises(TieBroken, match="only the reference: Settle"):
        compare(tie, states, [edge for edge in edges if edge[1] != "Settle"])
    with pytest.raises(TieBroken, match="only the model: Purge"):
        compare(tie, states, [*edges, ("0", "Purge", "0")])
    with pytest.raises(TieBroken, match="does not start where"):
        compare(tie, states, [edge for edge in edges if edge[0] != "0"])


@pytest.mark.parametrize("name", PLACES)
def test_states_survive_being_written_and_read(name: str) -> None:
    instance = place(name)
    for values in list(graph(name)[0].values())[::7]:
        world = from_model(instance, values)
        assert to_model(instance, world) == values
        assert from_model(instance, parse_state(format_state(values))) == world


def test_a_variable_that_the_tie_does_not_know_is_an_error() -> None:
    instance = place("floor")
    values = to_model(instance, initial(instance))
    assert tuple(values) == VARIABLES
    with pytest.raises(ValueError, match="the tie knows"):
        from_model(instance, {**values, "novel": 1})


def test_a_behaviour_with_a_step_of_nobody_is_seen() -> None:
    instance = place("floor")
    tie = tie_of(instance)
    first = to_model(instance, initial(instance))
    begun = next(after for action, after in successors(instance, initial(instance)) if action == "Begin")
    assert follow(tie, [first, first, to_model(instance, begun)]) == {"Begin", ""}
    with pytest.raises(TieBroken, match="step to state 2 is none of the reference's"):
        follow(tie, [first, {**first, "lost": 1}])


def check(name: str, **options: Any) -> Check:
    return Check(
        id=f"tie-test-{name}",
        part="handoff",
        engine="python",
        profiles=("quick",),
        expect=Verdict.CHECKED,
        properties=("HNT-1",),
        timeout_s=120,
        options=MappingProxyType(options),
    )


@needs_tlc
def test_pins_of_the_graph_are_held(tmp_path: Path) -> None:
    options = {"config": "MC_handoff_tie_marks.cfg", "distinct": 1412, "edges": 1}
    found = handoff_graph.replay_graph(check("graph", **options), Context(tmp_path))
    assert (found.verdict, "edges are pinned at 1" in found.detail) == (Verdict.UNEXPECTED, True)


@needs_tlc
def test_a_formula_that_is_cut_out_of_the_model_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = handoff_graph.graph.resources.copy_models

    def cut(folder: Path) -> Path:
        found = copy(folder)
        text = (found / "handoff.tla").read_text(encoding="utf-8")
        left = text.replace('    /\\ owed[r] # "open"\n', "", 1)
        assert left != text
        (found / "handoff.tla").write_text(left, encoding="utf-8")
        return found

    monkeypatch.setattr(handoff_graph.graph.resources, "copy_models", cut)
    options = {"config": "MC_handoff_tie_given_up.cfg", "distinct": 6355, "edges": 0}
    found = handoff_graph.replay_graph(check("cut", **options), Context(tmp_path))
    assert (found.verdict, "only the model: MarkOpen" in found.detail) == (Verdict.UNEXPECTED, True)


@needs_tlc
def test_runs_of_a_wrong_rule_are_no_behaviours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"config": "MC_handoff_tie_given_up.cfg", "runs": 20, "steps": 40}
    (tmp_path / "right").mkdir()
    (tmp_path / "wrong").mkdir()
    right = handoff_graph.check_runs(check("runs", **options), Context(tmp_path / "right", seed=3))
    assert right.verdict is Verdict.CHECKED, right.detail
    keeper = VARIANTS["closes_over_open_writes"].keeper

    def wrong(constants: Any) -> Instance:
        return replace(instance_of(constants), keeper=keeper)

    monkeypatch.setattr(handoff_graph, "instance_of", wrong)
    refused = handoff_graph.check_runs(check("runs", **options), Context(tmp_path / "wrong", seed=3))
    assert (refused.verdict, "is no behaviour: deadlock" in refused.detail) == (Verdict.UNEXPECTED, True)


def test_a_run_at_random_is_the_same_for_the_same_seed() -> None:
    tie = tie_of(place("loss"))
    once, again = (runs.run(tie, 30, random.Random(5)) for _ in range(2))
    assert once == again
    assert len(once[0]) > 10


def test_a_step_that_the_model_has_no_notion_of_says_what() -> None:
    class Mute(HintKeeper):
        __slots__ = ()

        def _owe(self, state: Any, event: Any) -> Any:
            return HintKeeper._owe(self, state, event)[0], ()

    with pytest.raises(StrangeStep, match=r"the intent of operation 1 leads to \(\)"):
        compare(tie_of(place("given up", keeper=Mute())), *graph("given up"))
