"""The ties between the quorum model and the reference can break: each wrong rule takes other steps."""

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
from scratchbird_check.ties import quorum_graph, runs
from scratchbird_check.ties.graph import TieBroken, compare, explored, follow
from scratchbird_check.ties.quorum_graph import instance_of, tie_of
from scratchbird_check.ties.quorum_world import (
    VARIABLES,
    Instance,
    StrangeStep,
    from_model,
    initial,
    successors,
    to_model,
)
from scratchbird_check.traces.tla_values import format_state, parse_state
from scratchbird_check.variants.quorum import VARIANTS
from scratchbird_check.verdicts import Verdict
from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import Held, Setting
from scratchbird_reference.quorum_replica import Replica

Graph = tuple[dict[str, dict[str, Any]], list[tuple[str, str, str]]]

needs_tlc = pytest.mark.skipif(bool(tlc.missing()), reason=tlc.missing() or "TLC is here")

PLACES = {
    "pair": ("TwoReplicas", "WriteRead", "WriteOneReadAll", 1, 0),
    "read one": ("TwoReplicas", "WriteRead", "WriteAllReadOne", 1, 0),
    "writes": ("OneReplica", "WriteWriteRead", "WriteOneReadAll", 2, 0),
    "loss": ("TwoReplicas", "WriteRead", "WriteAllReadOne", 1, 1),
    "change": ("TwoReplicas", "WriteRead", "WithBarrier", 1, 0),
    "retry": ("OneReplica", "WriteReadRetry", "WriteOneReadAll", 1, 0),
    "look": ("OneReplica", "WriteReadLook", "WriteOneReadAll", 1, 0),
}


def place(name: str, **machines: Any) -> Instance:
    replicas, kinds, settings, versions, losses = PLACES[name]
    constants = {
        "Replica": replicas,
        "Operations": kinds,
        "Settings": settings,
        "MaxVersion": str(versions),
        "Losses": str(losses),
    }
    return instance_of(constants, **machines)


@cache
def graph(name: str) -> Graph:
    """The state graph of the right rules, as TLC would have dumped it."""
    return explored(tie_of(place(name)))


@pytest.mark.parametrize("name", PLACES)
def test_the_right_rules_take_the_steps_of_the_graph(name: str) -> None:
    figures = compare(tie_of(place(name)), *graph(name))
    assert figures["states"] > 100
    assert figures["actions"] >= 9


# --- wrong rules ------------------------------------------------------------------------------------------


class KeepsOld(Rules):
    """A replica keeps what it has."""

    __slots__ = ()

    def supersedes(self, new: Held, old: Held) -> bool:
        return old == Held() and new != old


class TakesOne(Rules):
    """One answer is a read quorum."""

    __slots__ = ()

    def enough_answers(self, setting: Setting, answers: int) -> bool:
        return answers >= 1


class StampsAnyhow(Rules):
    """A write takes any version."""

    __slots__ = ()

    def stamp_above(self, setting: Setting, answers: Any, token: int) -> int:
        return 0


class ForgetsLives(Rules):
    """Nobody remembers who began anew."""

    __slots__ = ()

    def remembered(self, own: Any, told: Any) -> Any:
        return own


SEEN_IN = {
    "asynchronous_repair": "read one",
    "ack_before_intent": "pair",
    "empty_replica_votes": "loss",
    "counts_old_incarnation": "loss",
    "old_epoch_served": "change",
    "one_round": "writes",
    "write_back_when_answers_disagree": "read one",
    "settled_at_hitting_set": "loss",
}
"""Wrong rules of the ledger, and the smallest instance in which each takes another step.

W = 2 and R = 1 of two: N - R + 1 is W there, so that ``settled_at_hitting_set`` is no wrong rule."""
HARMLESS = {"settled_at_hitting_set"}


@pytest.mark.parametrize("name", sorted(set(SEEN_IN) - HARMLESS))
def test_a_wrong_rule_breaks_the_tie(name: str) -> None:
    variant = VARIANTS[name]
    machines = {"coordinator": variant.coordinator, "replica": variant.replica}
    with pytest.raises((TieBroken, StrangeStep), match=r"only the (reference|model)|operation|replica"):
        compare(tie_of(place(SEEN_IN[name], **machines)), *graph(SEEN_IN[name]))


def test_a_rule_that_says_the_same_in_an_instance_keeps_the_tie() -> None:
    variant = VARIANTS["settled_at_hitting_set"]
    machines = {"coordinator": variant.coordinator, "replica": variant.replica}
    compare(tie_of(place("read one", **machines)), *graph("read one"))


@pytest.mark.parametrize(
    ("rules", "name"),
    [(KeepsOld(), "writes"), (TakesOne(), "pair"), (StampsAnyhow(), "writes"), (ForgetsLives(), "loss")],
    ids=lambda item: type(item).__name__ if isinstance(item, Rules) else item,
)
def test_another_wrong_rule_breaks_it_as_well(rules: Rules, name: str) -> None:
    with pytest.raises((TieBroken, StrangeStep)):
        compare(tie_of(place(name, coordinator=Coordinator(rules), replica=Replica(rules))), *graph(name))


# --- the tie itself ---------------------------------------------------------------------------------------


def test_an_edge_that_is_missing_and_one_too_many_are_seen() -> None:
    states, edges = graph("pair")
    tie = tie_of(place("pair"))
    with pytest.raises(TieBroken, match="only the reference: Reply"):
        compare(tie, states, [edge for edge in edges if edge[1] != "Reply"])
    with pytest.raises(TieBroken, match="only the model: Choose"):
        compare(tie, states, [*edges, ("0", "Choose", "0")])
    with pytest.raises(TieBroken, match="does not start where"):
        compare(tie, states, [edge for edge in edges if edge[0] != "0"])


@pytest.mark.parametrize("name", PLACES)
def test_states_survive_being_written_and_read(name: str) -> None:
    instance = place(name)
    for values in list(graph(name)[0].values())[:300]:
        world = from_model(instance, values)
        assert to_model(instance, world) == values
        assert from_model(instance, parse_state(format_state(values))) == world


def test_a_variable_that_the_tie_does_not_know_is_an_error() -> None:
    instance = place("pair")
    values = to_model(instance, initial(instance))
    assert tuple(values) == VARIABLES
    with pytest.raises(ValueError, match="the tie knows"):
        from_model(instance, {**values, "novel": 1})


def test_a_behaviour_with_a_step_of_nobody_is_seen() -> None:
    instance = place("pair")
    tie = tie_of(instance)
    first = to_model(instance, initial(instance))
    begun = next(after for action, after in successors(instance, initial(instance)) if action == "Begin")
    assert follow(tie, [first, first, to_model(instance, begun)]) == {"Begin", ""}
    with pytest.raises(TieBroken, match="step to state 2 is none of the reference's"):
        follow(tie, [first, {**first, "lost": 1}])


def check(name: str, **options: Any) -> Check:
    return Check(
        id=f"tie-test-{name}",
        part="quorum",
        engine="python",
        profiles=("quick",),
        expect=Verdict.CHECKED,
        properties=("QRM-13",),
        timeout_s=120,
        options=MappingProxyType(options),
    )


@needs_tlc
def test_pins_of_the_graph_are_held(tmp_path: Path) -> None:
    options = {"config": "MC_quorum_tie_writes.cfg", "distinct": 2532, "edges": 1}
    found = quorum_graph.replay_graph(check("graph", **options), Context(tmp_path))
    assert (found.verdict, "edges are pinned at 1" in found.detail) == (Verdict.UNEXPECTED, True)


@needs_tlc
def test_runs_of_a_wrong_rule_are_no_behaviours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"config": "MC_quorum_tie_loss.cfg", "runs": 20, "steps": 40}
    (tmp_path / "right").mkdir()
    (tmp_path / "wrong").mkdir()
    right = quorum_graph.check_runs(check("runs", **options), Context(tmp_path / "right", seed=3))
    assert right.verdict is Verdict.CHECKED, right.detail
    variant = VARIANTS["asynchronous_repair"]

    def wrong(constants: Any) -> Instance:
        return replace(instance_of(constants), coordinator=variant.coordinator, replica=variant.replica)

    monkeypatch.setattr(quorum_graph, "instance_of", wrong)
    refused = quorum_graph.check_runs(check("runs", **options), Context(tmp_path / "wrong", seed=3))
    assert (refused.verdict, "is no behaviour: deadlock" in refused.detail) == (Verdict.UNEXPECTED, True)


def test_a_run_at_random_is_the_same_for_the_same_seed() -> None:
    tie = tie_of(place("loss"))
    once, again = (runs.run(tie, 30, random.Random(5)) for _ in range(2))
    assert once == again
    assert len(once[0]) > 10
