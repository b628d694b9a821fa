"""The ties between the model of the forest and the reference can break: each wrong rule takes other steps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from scratchbird_check import resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc, tlc_config
from scratchbird_check.manifest import Check
from scratchbird_check.ties import merkle_forest_graph
from scratchbird_check.ties.graph import TieBroken, compare, explored, read_graph
from scratchbird_check.ties.merkle_forest_graph import instance_of, tie_of
from scratchbird_check.ties.merkle_forest_moves import successors
from scratchbird_check.ties.merkle_forest_world import (
    VARIABLES,
    Instance,
    StrangeStep,
    from_model,
    initial,
    number,
    to_model,
)
from scratchbird_check.traces.tla_values import format_state, parse_state
from scratchbird_check.variants.merkle_forest import VARIANTS, Variant
from scratchbird_check.verdicts import Verdict
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference.merkle_forest import Entry, Rules
from scratchbird_reference.merkle_forest_exchange import Answerer, Driver, Driving
from scratchbird_reference.merkle_forest_replica import ForestReplica, State

Graph = tuple[dict[str, dict[str, Any]], list[tuple[str, str, str]]]

needs_tlc = pytest.mark.skipif(bool(tlc.missing()), reason=tlc.missing() or "TLC is here")

PLACES = ("floor", "newer", "rows", "moved", "crash")


def place(name: str, machines: Variant | None = None) -> Instance:
    text = (resources.models() / f"MC_merkle_forest_tie_{name}.cfg").read_text(encoding="utf-8")
    return instance_of(tlc_config.parse(text).constants, machines or Variant())


@cache
def graph(name: str) -> Graph:
    """The state graph of the right rules, as TLC would have dumped it."""
    return explored(tie_of(place(name)))


@pytest.mark.parametrize("name", PLACES)
def test_each_action_is_taken_in_each_instance(name: str) -> None:
    tie = tie_of(place(name))
    states, edges = graph(name)
    assert len(states) > 1_000
    assert {action for _, action, _ in edges} == tie.actions


# --- wrong rules ------------------------------------------------------------------------------------------

SEEN_IN = {
    "immutable": "crash",
    "serves_stale": "crash",
    "forgets_dirt": "crash",
    "one_sided": "crash",
    "own_windows_only": "crash",
    "records_failure": "crash",
    "refuses_for_sealed": "crash",
    "compares_as_it_is": "crash",
    "sealed_only": "floor",
    "purges_by_itself": "floor",
    "refreshes_nothing": "moved",
    "takes_over_purged": "newer",
    "keeps_overtaken": "newer",
    "leaves_at_once": "moved",
}
"""Wrong rules, and an instance in which each takes another step. Two subtrees with one short digest, and two
settings, are in no instance; and of a few rows all may be in a sample."""


def test_the_rules_that_no_instance_shows_are_these() -> None:
    unseen = {"believes_short_digests", "compares_across_settings", "samples_active"}
    assert set(SEEN_IN) | unseen == set(VARIANTS)


@pytest.mark.parametrize("name", sorted(SEEN_IN))
def test_a_wrong_rule_breaks_the_tie(name: str) -> None:
    with pytest.raises(TieBroken, match=r"only the (reference|model)|replica"):
        compare(tie_of(place(SEEN_IN[name], VARIANTS[name])), *graph(SEEN_IN[name]))


@pytest.mark.parametrize("name", ["takes_over_purged", "purges_by_itself", "compares_across_settings"])
def test_a_rule_that_says_the_same_in_an_instance_keeps_the_tie(name: str) -> None:
    """Without a floor nothing is below it, and there is one setting."""
    compare(tie_of(place("crash", VARIANTS[name])), *graph("crash"))


class TakesOlder(ForestReplica):
    """What is sent in a newer version than the entry is not taken by who holds the entry itself."""

    def _meet(self, state: State, event: Any) -> State:
        if event.held is not None and self.effective(state, event.entry.row).version == event.entry.version:
            event = replace(event, held=None)
        return ForestReplica._meet(self, state, event)


class TellsTheFloor(Answerer):
    """A row that was purged is sent as what a query would be told of it: deleted, at the floor."""

    def _rows(self, replica: State, question: messages.AskRows) -> messages.Rows:
        held = ((row, self.forests.effective(replica, row)) for row in question.rows)
        return messages.Rows(question.exchange, tuple(held))


class ForgetsARow(Driver):
    """Of a leaf the last row is left out."""

    def _leaf(
        self, state: Driving, replica: State, mine: Any, theirs: tuple[Entry, ...], held: Any
    ) -> tuple[Driving, State]:
        return Driver._leaf(self, state, replica, mine, theirs[:-1], held)


class GoesOn(Driver):
    """An exchange goes on when a floor is closed."""

    def step(self, state: Driving | None, replica: State, event: Any) -> Any:
        if state is not None:
            closed = replica.replica.floor.durable.closed
            state = replace(state, snapshot=replace(state.snapshot, closed=closed))
        return Driver.step(self, state, replica, event)


class MovesMore(Driver):
    """What it has given it gives once more."""

    def _took(self, state: Driving, replica: State, reply: messages.Took) -> Any:
        if state.moved:
            return Driver._took(self, state, replica, reply)
        return self._ask(replace(state, moved=1), replica)


class ShowsTombstones(Rules):
    """Tombstones below the floor are shown."""

    __slots__ = ()

    def is_purged(self, floor: int, entry: Entry) -> bool:
        return False


@pytest.mark.parametrize(
    ("name", "machines", "why"),
    [
        ("newer", Variant(TakesOlder()), "only the model: Meet"),
        ("floor", Variant(answerer=TellsTheFloor), "only the reference: Meet|is none of the model's"),
        ("rows", Variant(driver=ForgetsARow), "Compare|looks into window"),
        ("floor", Variant(driver=GoesOn), "only the reference: Close"),
        ("rows", Variant(driver=MovesMore), "deals with a row in"),
        ("floor", Variant(ForestReplica(rules=ShowsTombstones())), "only the model"),
    ],
)
def test_another_wrong_rule_breaks_it_as_well(name: str, machines: Variant, why: str) -> None:
    with pytest.raises(TieBroken, match=why):
        compare(tie_of(place(name, machines)), *graph(name))


# --- the tie itself ---------------------------------------------------------------------------------------


def test_an_edge_that_is_missing_and_one_too_many_are_seen() -> None:
    states, edges = graph("floor")
    tie = tie_of(place("floor"))
    with pytest.raises(TieBroken, match="only the reference: Settle"):
        compare(tie, states, [edge for edge in edges if edge[1] != "Settle"])
    with pytest.raises(TieBroken, match="only the model: Purge"):
        compare(tie, states, [*edges, ("0", "Purge", "0")])


@pytest.mark.parametrize("name", PLACES)
def test_states_survive_being_written_and_read(name: str) -> None:
    instance = place(name)
    for values in list(graph(name)[0].values())[::37]:
        world = from_model(instance, values)
        assert to_model(instance, world) == values
        assert from_model(instance, parse_state(format_state(values))) == world


def test_numbers_of_the_model_and_versions_of_the_reference_are_in_one_order() -> None:
    instance = place("newer")
    numbers = sorted(instance.number_of.values())
    assert sorted(instance.number_of) == [instance.of_time(each) for each in numbers]
    assert [number(instance, instance.of_time(each)) for each in numbers] == numbers
    with pytest.raises(StrangeStep, match="is none of the model's"):
        number(instance, 7)


def test_an_instance_whose_windows_are_not_where_the_reference_has_them_is_refused() -> None:
    instance = place("newer")
    with pytest.raises(ValueError, match="version 5: model and reference have it in different windows"):
        replace(instance, sealed_at={1: 4, 2: 4})
    with pytest.raises(ValueError, match="window 1 at time 6: model and reference seal it differently"):
        replace(place("moved"), sealed_at={1: 9, 2: 6})


def test_a_variable_that_the_tie_does_not_know_is_an_error() -> None:
    instance = place("floor")
    values = to_model(instance, initial(instance))
    assert tuple(values) == VARIABLES
    with pytest.raises(ValueError, match="the tie knows"):
        from_model(instance, {**values, "novel": 1})


def test_three_replicas_converge_in_the_order_in_which_the_others_are_merged() -> None:
    """What one other holds is shown where what the next one holds lies past the stable time."""
    constants = {"Replica": "ThreeReplicas", "RowOf": "OneRow", "Tombstones": "{3}", "Times": "{0, 4}"}
    constants |= {"WindowOf": "FirstThenLater", "SealedAt": "Seals", "Floor": "4"}
    instance = instance_of({**constants, "Crashes": "0", "Exchanges": "0"})
    values = to_model(instance, initial(instance)) | {
        "written": frozenset({1, 3, 5}),
        "held": ((0,), (3,), (5,)),
        "entry": ((0,), (3,), (0,)),
        "stable": (4, 4, 4),
        "closed": True,
    }
    world = from_model(instance, values)
    after = [
        to_model(instance, state) for action, state in successors(instance, world) if action == "Converge"
    ]
    assert {(state["held"][0], state["entry"][0]) for state in after if 1 in state["converged"]} == {
        ((5,), (0,)),
        ((5,), (3,)),
    }


def check(name: str, **options: Any) -> Check:
    return Check(
        id=f"tie-test-{name}",
        part="merkle_forest",
        engine="python",
        profiles=("quick",),
        expect=Verdict.CHECKED,
        properties=("MRK-6",),
        timeout_s=120,
        options=MappingProxyType(options),
    )


@needs_tlc
def test_pins_of_the_graph_are_held(tmp_path: Path) -> None:
    options = {"config": "MC_merkle_forest_tie_crash.cfg", "distinct": 1438}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    found = merkle_forest_graph.replay_graph(check("graph", **options, edges=1), Context(tmp_path / "one"))
    assert (found.verdict, "edges are pinned at 1" in found.detail) == (Verdict.UNEXPECTED, True)
    options |= {"edges": 6655, "actions": {"Meet": 1}}
    found = merkle_forest_graph.replay_graph(check("graph", **options), Context(tmp_path / "two"))
    assert (found.verdict, "edges of each action: pinned" in found.detail) == (Verdict.UNEXPECTED, True)


@needs_tlc
@pytest.mark.parametrize(
    ("formula", "instead", "why"),
    [
        ("Effective(b, row) <= e /\\ e <= h", "Effective(b, row) < e /\\ e <= h", "only the model: Meet"),
        (
            "    /\\ Drop(Replica \\ succeeded)\n",
            "    /\\ UNCHANGED <<with, windows, rows, snapshot, succeeded>>\n",
            "only the model: Close",
        ),
    ],
)
def test_a_formula_that_is_cut_out_of_the_model_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, formula: str, instead: str, why: str
) -> None:
    """How many states it has then is another matter, and so is not looked at."""
    copy = resources.copy_models

    def cut(folder: Path) -> Path:
        found = copy(folder)
        text = (found / "merkle_forest.tla").read_text(encoding="utf-8")
        left = text.replace(formula, instead, 1)
        assert left != text
        (found / "merkle_forest.tla").write_text(left, encoding="utf-8")
        return found

    monkeypatch.setattr(resources, "copy_models", cut)
    config = "MC_merkle_forest_tie_newer.cfg"
    arguments = ["-deadlock", "-dump", "dot,actionlabels", str(tmp_path / "graph.dot")]
    folder = resources.copy_models(tmp_path / "models")
    tlc.execute(
        Context(tmp_path),
        folder,
        module="MC_merkle_forest",
        config=config,
        timeout_s=120,
        arguments=arguments,
    )
    with pytest.raises(TieBroken, match=why):
        compare(tie_of(place("newer")), *read_graph(tmp_path / "graph.dot"))
