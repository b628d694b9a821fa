"""TLC's counterexamples, as recorded from TLC 2.15 and a later one, are read and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchbird_check.traces import parts, tlc_text
from scratchbird_check.traces.tla_values import TlaSyntaxError

RECORDED = Path(__file__).parent / "recorded"

HEAD = (
    "Error: Temporal properties were violated.\n\n"
    "Error: The following behavior constitutes a counter-example:\n"
)
STATES = """
State 1: <Initial predicate>
x = 0

State 2: <Next line 7, col 12 to line 7, col 30 of module Toy>
x = 1

"""


def test_an_invariant_and_its_behaviour() -> None:
    found = tlc_text.read((RECORDED / "tlc-2.15-inv.txt").read_text(), "membership")
    assert found.engine == "TLC"
    assert found.problem == f"Invariant {found.promise} is violated."
    assert [taken.action for taken in found.states[:2]] == ["", "Tick"]
    assert found.states[0].state == {"up": True, "x": 0}


@pytest.mark.parametrize(
    ("name", "promise", "states"),
    [("act", "Grows", 2), ("dead", "Deadlock reached", 2), ("live", "Temporal properties were violated", 2)],
)
def test_other_violations(name: str, promise: str, states: int) -> None:
    found = tlc_text.read((RECORDED / f"tlc-2.15-{name}.txt").read_text(), "membership")
    assert found.promise
    assert promise in found.promise or name == "act"
    assert len(found.states) >= states


def test_stuttering_goes_back_to_its_own_last_state() -> None:
    found = tlc_text.read(HEAD + STATES + "State 3: Stuttering\nFinished", "membership")
    assert found.loop_to == 1


@pytest.mark.parametrize(
    "back",
    ["Back to state 1: <Next line 8, col 12 to line 8, col 26 of module Toy>", "1: Back to state: <Next>"],
)
def test_a_cycle_goes_back_to_the_state_that_is_named(back: str) -> None:
    found = tlc_text.read(HEAD + STATES + back + "\n\nFinished", "membership")
    assert found.loop_to == 0
    assert len(found.states) == 2


def test_the_initial_state_alone() -> None:
    found = tlc_text.read((RECORDED / "tlc-2.15-inv0.txt").read_text(), "membership")
    assert found.promise == "Never"
    assert [taken.state for taken in found.states] == [{"up": True, "x": 0}]


def test_the_tool_form_of_a_later_version_names_the_node() -> None:
    found = tlc_text.read((RECORDED / "tlc-2026-tool-hlc-no_carry.txt").read_text(), "hlc")
    assert found.promise == "HLC1"
    assert {taken.node for taken in found.states[1:]} == {"n1"}
    assert found.states[1].action == "Start"


def test_without_a_behaviour_there_is_a_clear_error() -> None:
    with pytest.raises(tlc_text.NoBehaviourError, match="no line begins with 'State 1:'"):
        tlc_text.read((RECORDED / "tlc-2.15-ok.txt").read_text(), "hlc")


def test_a_state_that_cannot_be_read_is_named() -> None:
    broken = HEAD + STATES.replace("x = 1", "x = {1")
    with pytest.raises(TlaSyntaxError, match="state 2: variable x: expected ',', found the end"):
        tlc_text.read(broken, "membership")


def test_the_constants_of_a_configuration() -> None:
    text = """\\* C = 99 in a comment
CONSTANTS
    Node <- TwoNodes
    C = 2
    Names = {"a", "b"}  \\* another
CONSTANT Base = 3
    Odd = Init /\\ Next
INVARIANTS
    HLC1
"""
    assert tlc_text.read_constants(text) == {"C": 2, "Names": frozenset({"a", "b"}), "Base": 3}


def test_a_part_without_a_story_is_told_variable_by_variable() -> None:
    text = HEAD.replace("Temporal properties were violated.", "Invariant Small is violated.")
    text += STATES.replace("x = 0", "/\\ x = 0\n/\\ f = [a |-> 1, b |-> 2]").replace(
        "x = 1", "/\\ x = 1\n/\\ f = [a |-> 1, b |-> 3]"
    )
    trace = parts.tell(tlc_text.read(text, "membership"))
    assert [(change.name, change.before, change.after) for change in trace.steps[1].changes] == [
        ("x", "0", "1"),
        ("f[b]", "2", "3"),
    ]
    assert trace.steps[1].wrong
    assert trace.verdict == "Invariant Small is violated."
