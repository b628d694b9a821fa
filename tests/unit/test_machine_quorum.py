"""The quorum part's state machine finds nothing under the right rules, and what is wrong under others."""

from __future__ import annotations

import pytest

from scratchbird_check.machines import quorum
from scratchbird_check.machines.quorum import RULES, explore, focused, lost_rules, right_setup, variant_setup
from scratchbird_check.machines.quorum_onlooker import PROMISES
from scratchbird_check.machines.quorum_rules import QuorumMachine, Setup

BROKEN = {
    "one_round": "linearizable",
    "asynchronous_repair": "linearizable",
    "write_back_when_answers_disagree": "linearizable",
    "ack_before_intent": "accountable",
    "says_not_applied": "honest",
    "ignores_token": "sessions",
    "stamps_below_token": "sessions",
}

SEEDS = 4
"""Hypothesis draws constants from the modules that are loaded: a seed is not the same runs everywhere."""


def test_the_right_rules_keep_every_promise() -> None:
    found = explore(Setup(), 60, 50, seed_number=0)
    assert found.problem is None
    assert found.reached["steps"] > 1_000


@pytest.mark.parametrize("variant", BROKEN)
def test_a_wrong_rule_breaks_the_promise_that_is_named(variant: str) -> None:
    for number in range(SEEDS):
        setup = variant_setup(variant, BROKEN[variant])
        found = explore(setup, 300, 50, number, focused(variant), shrink=False)
        if found.problem is not None:
            assert found.trace is not None
            assert found.trace.steps[-1].wrong
            return
    pytest.fail(f"{variant} kept {BROKEN[variant]!r} with the seeds 0 to {SEEDS - 1}")


@pytest.mark.parametrize("variant", BROKEN)
def test_the_right_rules_keep_it_in_the_same_runs(variant: str) -> None:
    setup = right_setup(variant, BROKEN[variant])
    assert explore(setup, 30, 50, 0, focused(variant)).problem is None


def test_the_same_seed_is_the_same_runs() -> None:
    once, again = (explore(Setup(), 15, 30, seed_number=4).reached for _ in range(2))
    assert once == again


def test_a_machine_that_lost_a_rule_is_noticed() -> None:
    assert lost_rules(QuorumMachine) == []
    assert lost_rules(type("Less", (QuorumMachine,), {"lose": None})) == ["lose"]
    assert set(quorum.FOCUS["online_change"]) <= RULES


def test_the_promises_are_those_that_checks_name() -> None:
    assert set(BROKEN.values()) <= set(PROMISES)
