"""The handoff part's state machine: the reference keeps its promises, and what does not is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scratchbird_check.context import Context
from scratchbird_check.machines import handoff, handoff_onlooker
from scratchbird_check.machines.exploring import Exploration, lacking
from scratchbird_check.machines.handoff import explore, focused, right_setup, variant_setup
from scratchbird_check.machines.handoff_onlooker import PROMISES, HandoffOnlooker, shown
from scratchbird_check.machines.handoff_parts import LIMITS, Committed
from scratchbird_check.machines.handoff_rules import HandoffMachine, Setup
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Verdict
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as replicas
from scratchbird_reference import quorum_replica
from scratchbird_reference.handoff_hints import HintKeeper
from scratchbird_reference.quorum_messages import Held, Setting

SEEDS = 4
"""Hypothesis draws constants from the modules that are loaded: a seed is not the same runs everywhere."""
FOUND = {
    "closes_over_open_writes": "account",
    "cleared_by_an_earlier_exchange": "account",
    "stops_without_mark": "account",
    "removed_on_send": "account",
    "leaves_out_while_coming_back": "returns",
    "takes_below_closed": "agree",
    "starts_open": "agree",
    "absent_is_nothing": "seen",
    "purges_by_time": "seen",
}
"""Those that are found soon; the manifest has others, with more runs."""


@pytest.fixture(scope="module")
def exploration() -> Exploration:
    """Explorations of the size that the quick profile has, until everything has happened."""
    setup = Setup()
    for seed in range(SEEDS):
        found = explore(setup, 200, 40, seed)
        if found.problem is not None or not found.missed:
            break
    return found


def check(**options: Any) -> Check:
    variant = options.pop("variant", "")
    filled = {"examples": {"quick": 2000}, "steps": {"quick": 8}, **options}
    return Check(
        "machine", "handoff", "hypothesis", ("quick",), Verdict.CHECKED, ("HNT-1",), variant, options=filled
    )


def test_the_reference_keeps_every_promise(exploration: Exploration) -> None:
    """HNT-1, HNT-2, HNT-3, HNT-4, HNT-5, HNT-6."""
    assert exploration.problem is None, str(exploration.problem)


def test_the_interesting_things_happened(exploration: Exploration) -> None:
    assert exploration.missed == []
    assert exploration.reached["steps"] > 30_000


def test_the_same_seed_is_the_same_exploration() -> None:
    one, two, other = (explore(Setup(), 10, 20, seed).reached for seed in (4, 4, 5))
    assert one == two
    assert one != other


def test_the_machine_has_its_rules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert lacking(HandoffMachine, handoff.RULES) == []
    assert all(set(kept) <= handoff.RULES for kept in handoff.FOCUS.values())
    assert set(handoff.FOCUS) <= set(handoff.VARIANTS)
    monkeypatch.setattr(HandoffMachine, "restore", None)
    outcome = handoff.run(check(), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "restore" in outcome.detail


def test_a_check_in_which_too_little_happens_is_unexpected(tmp_path: Path) -> None:
    outcome = handoff.run(check(examples={"quick": 1}), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail.startswith("not reached: ")


@pytest.mark.parametrize("variant", FOUND)
def test_a_wrong_rule_is_found(variant: str) -> None:
    for seed in range(SEEDS):
        setup = variant_setup(variant, FOUND[variant])
        steps = 25 if variant == "leaves_out_while_coming_back" else 8
        found = explore(setup, 1500, steps, seed, focused(variant), shrink=False)
        if found.problem is not None:
            break
    assert found.problem is not None
    assert found.problem.promise == FOUND[variant]
    assert found.trace is not None
    assert found.trace.steps[-1].wrong


@pytest.mark.parametrize("variant", ["closes_over_open_writes", "takes_below_closed"])
def test_the_right_rule_keeps_the_promise_in_the_same_runs(variant: str) -> None:
    found = explore(right_setup(variant, FOUND[variant]), 150, 8, 0, focused(variant))
    assert found.problem is None, str(found.problem)


def test_a_wrong_rule_is_told_as_a_run(tmp_path: Path) -> None:
    """The smallest run that was found, with what everybody did."""
    outcome = handoff.run_variant(check(variant="removed_on_send", breaks="account"), Context(tmp_path))
    assert outcome.verdict is Verdict.REFUTED, outcome.detail
    assert outcome.detail.startswith("account: r")
    trace = outcome.counterexample
    assert trace is not None
    assert len(trace.steps) < 60
    assert trace.lanes[:2] == ("c1", "h1")
    assert any("committed" in step.label for step in trace.steps)
    assert any("hint" in step.label for step in trace.steps)


def test_a_variant_that_keeps_its_promise_is_unexpected(tmp_path: Path) -> None:
    options = check(variant="removed_on_send", breaks="once", examples={"quick": 20})
    assert handoff.run_variant(options, Context(tmp_path)).verdict is Verdict.UNEXPECTED


# --- breaking the reference on purpose ----------------------------------------------------------------------


def stays_silent(self: HintKeeper, state: account.State) -> tuple[account.State, account.Effects]:
    return state, ()


def test_a_broken_reference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mark that is never closed is still owed in the end."""
    monkeypatch.setattr(HintKeeper, "_close_marks", stays_silent)
    found = explore(Setup(demanded=("drained",)), 50, 20, 0, shrink=False)
    assert found.problem is not None
    assert found.problem.promise == "drained"
    assert "a repair to r" in found.problem.sentence


# --- the onlooker -------------------------------------------------------------------------------------------

SETTING = Setting((1, 2, 3), 2, 2)
PLACE = (3, 0)


def state(name: int, held: Held, floor: int = 0) -> replicas.State:
    rows = ((7, held),) if held.version else ()
    durable = quorum_replica.Durable(name, ((name, 1),), 0, rows)
    past = floors.State(SETTING, floors.Durable(name, floor, floor, floor))
    return replicas.State(quorum_replica.State(durable, quorum_replica.Volatile()), past)


def look(onlooker: HandoffOnlooker, keeper: account.Durable, third: replicas.State) -> None:
    states = {1: state(1, Held(5, b"v")), 2: state(2, Held(5, b"v")), 3: third}
    answers = {(name, 7): shown(one.rows.durable.held(7), one.floor.durable) for name, one in states.items()}
    onlooker.look(SETTING, {"c1": account.State(SETTING, keeper)}, states, answers)


def committed(*demanded: str) -> HandoffOnlooker:
    onlooker = HandoffOnlooker(demanded)
    onlooker.commit(Committed("c1", 7, Held(5, b"v")))
    return onlooker


def test_the_account_is_balanced_by_what_is_held_hinted_marked_or_settled() -> None:
    nothing, old = account.Durable(), state(3, Held(4, b"u"))
    hint = account.Hint(3, 0, 7, Held(5, b"v"), 0)
    older = account.Hint(3, 0, 7, Held(4, b"u"), 0)
    look(committed(), nothing, state(3, Held(6, None)))
    look(committed(), account.Durable((hint,)), old)
    look(committed(), account.Durable((), ((PLACE, account.Mark()),)), old)
    look(committed("account"), nothing, state(3, Held(), 5))
    for owed in (nothing, account.Durable((older,)), account.Durable((), (((2, 0), account.Mark()),))):
        with pytest.raises(PromiseBrokenError, match="account: r3 lacks version 5 of row 7, and c1"):
            look(committed(), owed, old)
    lost = committed()
    lost.lost.add(2)
    look(lost, nothing, old)


def test_a_read_quorum_does_not_miss_what_is_committed() -> None:
    onlooker = committed("seen")
    onlooker.lost.add(3)  # The account is not looked at.
    onlooker.look(SETTING, {}, {}, {(1, 7): Held(4), (2, 7): Held(5)})
    with pytest.raises(PromiseBrokenError, match=r"seen: replicas \[1, 3\] answer older than version 5"):
        onlooker.look(SETTING, {}, {}, {(1, 7): Held(4), (2, 7): Held(5), (3, 7): Held()})


def test_replicas_that_settled_agree_on_the_past() -> None:
    def agree(one: replicas.State, two: replicas.State) -> None:
        HandoffOnlooker(["agree"]).look(SETTING, {}, {1: one, 2: two}, {})

    value = Held(4, b"u")
    agree(state(1, value, 9), state(2, value, 9))
    agree(state(1, Held(3, None), 9), state(2, Held(), 9))
    agree(state(1, value, 9), state(2, Held(12, b"n"), 9))
    agree(state(1, value, 9), state(2, Held(), 8))
    with pytest.raises(PromiseBrokenError, match=r"agree: replicas \[1, 2\] settled at 9 and differ below"):
        agree(state(1, value, 9), state(2, Held(), 9))


def test_more_hints_than_the_limit_allows_are_noticed() -> None:
    limits, hint = LIMITS[0], account.Hint(3, 0, 7, Held(5, b"v"), 0)
    onlooker = HandoffOnlooker()
    onlooker.sends("c1", hint, 0, limits)
    onlooker.sends("c1", hint, 1, limits)
    with pytest.raises(PromiseBrokenError, match="paced: c1 sent r3 3 hints in 2 ns, the limit is 100"):
        onlooker.sends("c1", hint, 2, limits)
    onlooker.begins("c1")
    for row in (7, 8):
        onlooker.sends("c1", account.Hint(3, 0, row, Held(row), 0), 5, limits)
    onlooker.time_jumped()
    with pytest.raises(PromiseBrokenError, match="paced: 3 hints are under way from c1 to r3"):
        onlooker.sends("c1", account.Hint(3, 0, 9, Held(9), 0), 5, limits)


def test_every_promise_is_told() -> None:
    assert set(FOUND.values()) <= set(PROMISES)
    assert all(f"``{promise}``" in (handoff_onlooker.__doc__ or "") for promise in PROMISES)
