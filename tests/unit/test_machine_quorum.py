"""The quorum part's state machine: the reference keeps its promises, and what does not is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scratchbird_check.context import Context
from scratchbird_check.machines import quorum
from scratchbird_check.machines.exploring import Exploration
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.machines.quorum import (
    explore,
    focused,
    lost_rules,
    right_setup,
    variant_setup,
)
from scratchbird_check.machines.quorum_onlooker import PROMISES, Onlooker
from scratchbird_check.machines.quorum_parts import Asked, Call, Plan
from scratchbird_check.machines.quorum_rules import LINEARIZABLE, QuorumMachine, Setup
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Verdict
from scratchbird_history.operations import Kind
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import Held
from scratchbird_reference.quorum_replica import Replica

SEED = 0
SEEDS = 4
"""Hypothesis draws constants from the modules that are loaded: a seed is not the same runs everywhere."""
FOUND = {
    "one_round": "linearizable",
    "asynchronous_repair": "linearizable",
    "write_back_when_answers_disagree": "linearizable",
    "settled_at_hitting_set": "linearizable",
    "empty_replica_votes": "linearizable",
    "disjoint_quorums": "linearizable",
    "ack_before_intent": "accountable",
    "says_not_applied": "honest",
    "ignores_token": "sessions",
    "stamps_below_token": "sessions",
}
"""Those that are found soon; the manifest has the others, with more runs."""


@pytest.fixture(scope="module")
def exploration() -> Exploration:
    """Explorations of the size that the quick profile has, until everything has happened."""
    setup = Setup()
    for seed in range(SEEDS):
        found = explore(setup, 500, 60, seed)
        if found.problem is not None or not found.missed:
            break
    return found


def check(**options: Any) -> Check:
    variant = options.pop("variant", "")
    filled = {"examples": {"quick": 2000}, "steps": {"quick": 30}, **options}
    return Check(
        "machine", "quorum", "hypothesis", ("quick",), Verdict.CHECKED, ("QRM-13",), variant, options=filled
    )


def test_the_reference_keeps_every_promise(exploration: Exploration) -> None:
    """QRM-3, QRM-4, QRM-5, QRM-10, QRM-13, QRM-14."""
    assert exploration.problem is None, str(exploration.problem)


def test_the_interesting_things_happened(exploration: Exploration) -> None:
    assert exploration.missed == []
    assert exploration.reached["steps"] > 40_000


def test_the_same_seed_is_the_same_exploration() -> None:
    one, two, other = (explore(Setup(), 30, 30, seed).reached for seed in (4, 4, 5))
    assert one == two
    assert one != other


def test_the_machine_has_its_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lost_rules(QuorumMachine) == []
    assert all(set(kept) <= quorum.RULES for kept in quorum.FOCUS.values())
    monkeypatch.setattr(QuorumMachine, "lose_disk", None)
    outcome = quorum.run(check(), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "lose_disk" in outcome.detail


@pytest.mark.parametrize(
    ("dropped", "missed"),
    [
        (("lose_disk", "forget"), "a replica recovered"),
        (("change",), "a barrier was passed"),
        (("crash",), "a coordinator crashed with open operations"),
        (("look_up",), "LookUp: committed"),
        (("repeat",), "a reserved write was repeated"),
    ],
)
def test_a_machine_that_has_lost_a_rule_misses_things(dropped: tuple[str, ...], missed: str) -> None:
    machine: type[QuorumMachine] = type("Machine", (QuorumMachine,), dict.fromkeys(dropped))
    found = explore(Setup(), 60, 30, SEED, machine)
    assert found.problem is None
    assert missed in found.missed


def test_a_check_in_which_too_little_happens_is_unexpected(tmp_path: Path) -> None:
    outcome = quorum.run(check(examples={"quick": 1}), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail.startswith("not reached: LookUp: committed, ")


@pytest.mark.parametrize("variant", FOUND)
def test_a_wrong_rule_is_found(variant: str) -> None:
    for seed in range(SEEDS):
        setup = variant_setup(variant, FOUND[variant])
        found = explore(setup, 1500, 30, seed, focused(variant), shrink=False)
        if found.problem is not None:
            break
    assert found.problem is not None
    assert found.problem.promise == FOUND[variant]
    assert found.trace is not None
    assert found.trace.steps[-1].wrong


@pytest.mark.parametrize("variant", ["settled_at_hitting_set", "online_change", "ignores_token"])
def test_the_right_rule_keeps_the_promise_in_the_same_runs(variant: str) -> None:
    found = explore(right_setup(variant, FOUND.get(variant, "linearizable")), 150, 30, SEED, focused(variant))
    assert found.problem is None, str(found.problem)


def test_a_wrong_rule_is_told_as_a_run(tmp_path: Path) -> None:
    """The smallest run that was found, with what everybody did."""
    outcome = quorum.run_variant(check(variant="ack_before_intent", breaks="accountable"), Context(tmp_path))
    assert outcome.verdict is Verdict.REFUTED, outcome.detail
    assert outcome.detail.startswith("accountable: r")
    trace = outcome.counterexample
    assert trace is not None
    assert len(trace.steps) < 30
    assert trace.steps[-1].wrong
    assert trace.lanes[:3] == ("c1", "c2", "c3")
    assert any("committed" in step.label for step in trace.steps)
    assert any(step.arrows for step in trace.steps)


def test_a_variant_that_keeps_its_promise_is_unexpected(tmp_path: Path) -> None:
    options = check(variant="ack_before_intent", breaks="linearizable", examples={"quick": 20})
    assert quorum.run_variant(options, Context(tmp_path)).verdict is Verdict.UNEXPECTED


# --- breaking the reference on purpose ----------------------------------------------------------------------


def overwritten(self: Replica, durable: replicas.Durable, rows: Any) -> replicas.Durable:
    return replicas.Durable(
        durable.replica,
        durable.incarnations,
        durable.epoch,
        tuple(sorted({**dict(durable.rows), **dict(rows)}.items())),
        durable.recovering,
    )


def forgotten(self: Coordinator, state: operations.State, sender: int, message: Any) -> operations.State:
    return operations.State(state.setting, operations.Durable(), state.volatile)


def no_quorum(self: Rules, setting: Any, holders: int) -> bool:
    return holders >= 1


@pytest.mark.parametrize(
    ("where", "method", "wrong", "promise"),
    [
        (Replica, "_merged", overwritten, "kept"),
        (Coordinator, "_cancel", forgotten, "accountable"),
        (Rules, "enough_holders", no_quorum, "linearizable"),
    ],
)
def test_a_broken_reference_is_found(
    where: type, method: str, wrong: Callable[..., Any], promise: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, method, wrong)
    plans = LINEARIZABLE[:1]
    for seed in range(SEEDS):
        found = explore(Setup(demanded=(promise,), plans=plans), 400, 40, seed, shrink=False)
        if found.problem is not None:
            break
    assert found.problem is not None
    assert found.problem.promise == promise


# --- the onlooker -------------------------------------------------------------------------------------------


def replica(version: int, value: bytes | None = b"v", incarnation: int = 1) -> replicas.State:
    rows = ((7, Held(version, value)),) if version else ()
    return replicas.State(replicas.Durable(1, ((1, incarnation),), 0, rows), replicas.Volatile())


def asked() -> Asked:
    setting = Plan((1, 1, 1)).setting()
    call = Call("p", 7, Kind.WRITE, b"v", 1)
    return Asked(1, "c1", operations.PutValue(1, 7, b"v"), call, setting, {1: 1})


def test_an_operation_ends_once() -> None:
    onlooker = Onlooker()
    onlooker.replied(1)
    with pytest.raises(PromiseBrokenError, match="once: operation 1 ended twice"):
        onlooker.replied(1)


def test_a_replica_does_not_go_back_while_it_keeps_its_disk() -> None:
    onlooker = Onlooker()
    onlooker.kept(1, replica(5).durable, replica(6).durable)
    onlooker.kept(1, replica(5).durable, replica(0, incarnation=2).durable)
    for after in (replica(4), replica(0), replica(5, b"u")):
        with pytest.raises(PromiseBrokenError, match="kept: r1 went from version 5 of row 7"):
            onlooker.kept(1, replica(5).durable, after.durable)


def test_nobody_holds_what_was_not_applied() -> None:
    onlooker = Onlooker()
    onlooker.not_applied(5, None)
    onlooker.not_applied(None, b"w")
    onlooker.kept(1, replica(0).durable, replica(6).durable)
    for after in (replica(5, None), replica(7, b"w")):
        with pytest.raises(PromiseBrokenError, match="honest: r1 holds version"):
            onlooker.kept(1, replica(0).durable, after.durable)


def test_who_was_vouched_for_holds_it_or_lost_its_disk_or_is_named() -> None:
    onlooker = Onlooker()
    setting = Plan((1, 1, 1)).setting()
    nobody = operations.State(setting)
    intent = operations.Intent(7, Held(5, b"v"), frozenset({1}))
    named = operations.State(setting, operations.Durable(((5, intent),)))
    onlooker.vouch(asked(), Held(5, b"v"), [1])
    onlooker.judge([named], {1: replica(0)}, {1: 1})
    onlooker.judge([nobody], {1: replica(6)}, {1: 1})
    onlooker.judge([nobody], {1: replica(0, incarnation=2)}, {1: 2})
    with pytest.raises(PromiseBrokenError, match="accountable: r1 lacks version 5 of row 7"):
        onlooker.judge([nobody], {1: replica(4)}, {1: 1})


def test_only_what_is_demanded_is_judged() -> None:
    onlooker = Onlooker(["kept"])
    onlooker.replied(1)
    onlooker.replied(1)
    assert onlooker.problem is None
    assert set(FOUND.values()) < set(PROMISES)
