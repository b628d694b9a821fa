"""The tie between the handoff proofs and the reference holds, and a thread that is cut is noticed."""

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
from scratchbird_check.ties import handoff_steps
from scratchbird_check.ties.handoff_steps import CAUGHT, FLOOR, TieBroken, beginning, caught_after, met_in
from scratchbird_check.variants.handoff import RIGHT, VARIANTS, Variant
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs.handoff import KINDS, Rules
from scratchbird_reference.handoff import Rules as Reference
from scratchbird_reference.handoff_replica import FlooredReplica
from scratchbird_reference.quorum_messages import NOTHING, Held

OLD, GONE, NEW = Held(4, b"old"), Held(7, None), Held(12, b"new")


def tie(steps: int, seed: int = 1) -> Outcome:
    options = MappingProxyType({"steps": steps})
    entry = Check("tie", "handoff", "python", ("quick",), Verdict.CHECKED, ("HNT-5",), options=options)
    return handoff_steps.run(entry, Context(Path(), seed=seed))


def test_what_the_reference_does_is_steps_of_the_system() -> None:
    outcome = tie(900)
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert int(outcome.figures["steps"]) >= 900


def test_a_kind_of_step_that_was_never_met_is_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff_steps, "MOVES", 40)
    outcome = tie(5)
    assert (outcome.verdict, "never met: " in outcome.detail) == (Verdict.UNEXPECTED, True)


@pytest.mark.parametrize("name", CAUGHT)
def test_a_wrong_rule_takes_a_step_that_is_none(name: str) -> None:
    assert 0 < caught_after(name, 1) <= 20


def test_a_rule_that_is_never_caught_is_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handoff_steps, "CAUGHT", ("starts_open",))
    monkeypatch.setattr(handoff_steps, "MOST_RUNS", 3)
    monkeypatch.setattr(handoff_steps, "KINDS", ("tell",))
    outcome = tie(20)
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail == "all that the wrong rule starts_open does are steps of the system"


# --- cut threads ------------------------------------------------------------------------------------------


def first_problem(runs: int = 40, rules: Rules | None = None, floored: FlooredReplica | None = None) -> str:
    dice, variant = Random(2), RIGHT if floored is None else Variant(floored=floored)
    for _ in range(runs):
        try:
            met_in(dice, variant, rules)
        except TieBroken as error:
            return str(error)
    return ""


class AllowsNothing(Rules):
    """The formulas of one rule allow nothing."""

    def __init__(self, name: str) -> None:
        setattr(self, name, lambda *of: z3.BoolVal(False))


@pytest.mark.parametrize(
    ("name", "kind"), [("takes", "take"), ("may_settle", "settle"), ("takes_floor", "write_back")]
)
def test_formulas_that_allow_too_little_are_noticed(name: str, kind: str) -> None:
    assert first_problem(rules=AllowsNothing(name)).startswith(f"{kind} of replica ")


class SettlesAtOnce(Rules):
    """Whoever likes settles."""

    def may_settle(self, s: Any, r: Any) -> Any:
        return z3.BoolVal(True)


def test_formulas_that_allow_too_much_let_a_wrong_rule_settle() -> None:
    """What is noticed comes later then: the state is none that the proof knows, or the two differ."""
    assert first_problem(12, SettlesAtOnce(), VARIANTS["settles_alone"].floored).startswith(
        "the invariant is"
    )
    assert first_problem(12, floored=VARIANTS["settles_alone"].floored).startswith("settle of replica")


class ForgetsTheOrder(Reference):
    """A replica purges a value."""

    __slots__ = ()

    def may_purge(self, floor: int, held: Held) -> bool:
        return held.version <= floor


class TakesTheFloorAnyhow(Reference):
    """The floor itself is taken in the place of a value."""

    __slots__ = ()

    def takes(self, closed: int, converged: int, held: Held, sent: Held) -> bool:
        return Reference.takes(self, closed, converged, held, sent) or sent.version == FLOOR


@pytest.mark.parametrize(
    ("rules", "kind"), [(ForgetsTheOrder(), "purge"), (TakesTheFloorAnyhow(), "write_back")]
)
def test_a_reference_with_another_wrong_rule_is_noticed(rules: Reference, kind: str) -> None:
    assert first_problem(60, floored=FlooredReplica(rules=rules)).startswith(f"{kind} of replica ")


# --- the pieces -------------------------------------------------------------------------------------------


def test_a_step_that_is_not_possible_says_which() -> None:
    system = beginning({1: OLD, 2: GONE, 3: NOTHING}, Rules())
    with pytest.raises(TieBroken, match="converge of replica 1, with 0, version 0 is impossible"):
        system.take("converge", 1)
    system.take("merge", 1, 2)
    system.take("converge", 1)
    assert system.met == Counter({"merge": 1, "converge": 1})
    assert system.value(system.state.held, 1) == 7
    with pytest.raises(TieBroken, match=r"all have converged, and \[2, 3\] have not"):
        system.note()


@pytest.mark.parametrize(
    ("held", "join", "holder"),
    [
        ({1: OLD, 2: GONE, 3: NEW}, GONE, 2),
        ({1: OLD, 2: NEW}, OLD, 1),
        ({1: NOTHING, 2: NOTHING}, NOTHING, 1),
        ({1: NEW, 2: NEW}, NOTHING, 1),
    ],
)
def test_the_join_is_the_newest_below_the_floor(held: dict[int, Held], join: Held, holder: int) -> None:
    system = beginning(held, Rules())
    assert (system.join, system.holder) == (join, holder)
    assert system.broken() == []


def test_a_state_that_breaks_the_invariant_says_where() -> None:
    system = beginning({1: OLD, 2: NOTHING}, Rules())
    system.state = handoff_steps.Past(
        **{
            name: z3.Store(getattr(system.state, name), 2, 9)
            if name == "held"
            else getattr(system.state, name)
            for name in system.state.__slots__
        }
    )
    assert system.broken() == ["nothing has entered below (replica 2)"]


def test_the_same_seed_is_the_same_run() -> None:
    once, again = (met_in(Random(3), RIGHT) for _ in range(2))
    assert once == again
    assert set(once) <= set(KINDS)
