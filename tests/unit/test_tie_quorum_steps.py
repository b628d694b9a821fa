"""The tie between the quorum proofs and the reference holds, and a thread that is cut is noticed."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import pytest
import z3

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties import quorum_steps
from scratchbird_check.ties.quorum_steps import CAUGHT, System, TieBroken, beginning, caught_after, counting
from scratchbird_check.variants.quorum import VARIANTS
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs.quorum_system import Event, Rules, State, at
from scratchbird_reference.quorum import Rules as Reference
from scratchbird_reference.quorum_messages import Held, Setting

SETTING = Setting((1, 2, 3), 2, 2)


def tie(steps: int, seed: int = 1) -> Outcome:
    options = MappingProxyType({"steps": steps})
    entry = Check("tie", "quorum", "python", ("quick",), Verdict.CHECKED, ("QRM-13",), options=options)
    return quorum_steps.run(entry, Context(Path(), seed=seed))


def test_what_the_reference_does_is_steps_of_the_system() -> None:
    outcome = tie(600)
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert int(outcome.figures["steps"]) >= 600


def test_a_kind_of_step_that_was_never_met_is_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum_steps, "MOVES", 3)
    outcome = tie(5)
    assert (outcome.verdict, "never met: " in outcome.detail) == (Verdict.UNEXPECTED, True)


@pytest.mark.parametrize("name", CAUGHT)
def test_a_wrong_rule_takes_a_step_that_is_none(name: str) -> None:
    assert 0 < caught_after(name, 1) <= 50


def test_a_rule_that_is_never_caught_is_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quorum_steps, "CAUGHT", ("ack_before_intent",))
    monkeypatch.setattr(quorum_steps, "MOST_RUNS", 3)
    outcome = tie(300)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail == "all that the wrong rule ack_before_intent does are steps of the system"


# --- cut threads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["may_choose", "may_stamp", "may_reply"])
def test_formulas_that_allow_too_little_are_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, name, lambda self, s, e: z3.BoolVal(False))
    outcome = tie(400)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "is impossible" in outcome.detail


def test_formulas_that_allow_too_much_catch_no_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "may_reply", lambda self, s, e: z3.BoolVal(True))
    monkeypatch.setattr(quorum_steps, "MOST_RUNS", 20)
    outcome = tie(300)
    assert "all that the wrong rule asynchronous_repair does" in outcome.detail


def test_a_reference_that_keeps_what_is_old_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def keeps(self: Reference, new: Held, old: Held) -> bool:
        return old == Held() and new != old

    monkeypatch.setattr(Reference, "supersedes", keeps)
    outcome = tie(400)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "impossible" in outcome.detail or "what replica" in outcome.detail


def test_a_reference_that_counts_one_answer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Reference, "enough_answers", lambda self, setting, answers: answers >= 1)
    outcome = tie(400)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "is impossible" in outcome.detail


# --- the pieces -------------------------------------------------------------------------------------------


def test_a_step_that_is_not_possible_says_which() -> None:
    system = System(Rules(counting(SETTING)), beginning(frozenset({1})))
    with pytest.raises(TieBroken, match="reply of operation 1, replica 0, version 0 is impossible"):
        system.take("reply", 1)
    system.take("begin", 1)
    assert system.met == Counter({"begin": 1})
    assert system.value(system.state.began, 1) is True
    assert system.value(system.state.durable, 2) == 0


def test_quorums_are_counted_as_the_reference_counts_them() -> None:
    quorums = counting(Setting((1, 2, 3), 3, 1))
    members: Any = z3.K(z3.IntSort(), z3.BoolVal(False))
    for r, (reads, holds) in enumerate([(False, False), (True, False), (True, False), (True, True)]):
        members = z3.Store(members, r, True)
        found = z3.simplify(quorums.reads(members)), z3.simplify(quorums.holds(members))
        assert tuple(map(z3.is_true, found)) == (reads, holds)


def test_the_same_seed_is_the_same_run() -> None:
    once, again = (quorum_steps._met(Random(3), VARIANTS["rollback"]) for _ in range(2))
    assert once == again


def test_the_state_of_the_system_is_one_that_is_allowed_at_first() -> None:
    state: State = beginning(frozenset({1}))
    event = Event(*map(z3.IntVal, (1, 1, 1)))
    assert z3.is_true(z3.simplify(at(state.writes, event.op)))
    assert z3.is_false(z3.simplify(at(state.answered, event.op, event.replica, event.version)))
