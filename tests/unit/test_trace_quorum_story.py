"""Behaviours of the model of quorums, as recorded from TLC, are told: who heard what, and what broke."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scratchbird_check.report.svg import draw
from scratchbird_check.traces import itf, parts, tlc_text
from scratchbird_check.traces.model import Behaviour, Taken, Trace
from scratchbird_check.traces.tla_values import Record

RECORDED = Path(__file__).parent / "recorded"
EXPECTED = {
    "rollback": (
        [
            'write 1: sends "a" to all at version 1',
            "write 1: gives up",
            "read 2: begins to read",
            "read 2: hears nothing from r1",
            'r2: stores "a" at 1',
            'read 2: hears "a" from r2',
            'read 2: finds that "a" is the newest',
            'read 2: returns "a"',
            "read 3: begins to read",
            "read 3: hears nothing from r1",
            'r2: takes "a" back',
        ],
        'read 3 returned nothing after read 2 had returned "a": no order of these operations',
    ),
    "stamp_again_on_stale": (
        ["write 1: hears from r1 that it is stale", 'write 1: hears "b" from r1'],
        'read 4 returned "a" after read 3 had returned "a" and the write of "b" had been acknowledged',
    ),
    "settled_at_hitting_set": (
        ["r1: loses its disk and starts empty", "r1: gets all that r3 holds, and has a vote again"],
        'read 3 returned nothing after read 2 had returned "a"',
    ),
    "one_round": (
        ['write 2: asks nobody; sends "b" to all at version 1', "write 2: has the intent on disk"],
        'read 3 returned "a" after the write of "b" had been acknowledged: no order of these operations',
    ),
    "counts_old_incarnation": (
        [
            "r1: gets all that r3 holds, and has a vote again",
            "read 2: hears nothing from r1",
            "read 2: finds that nothing is the newest",
            "read 2: returns nothing",
        ],
        'read 2 returned nothing after the write of "a" had been acknowledged: no order of these operations',
    ),
    "ack_before_intent": (
        ['r1: stores "a" at 1, and says so', "write 1: says: committed"],
        'r2 lacks "a", which was acknowledged, and no intent names it: nobody will ever repair it',
    ),
    "says_not_applied": (
        ["write 1: gives up", 'r1: stores "a" at 1'],
        'r1 holds "a", of which the client was told that it is not applied and never will be',
    ),
    "old_epoch_served": (
        ["read 3: begins to read, under setting 3"],
        'read 3 returned nothing after the write of "a" had been acknowledged',
    ),
    "ignores_token": (
        ['write 1: asks nobody; sends "a" to all at version 1', "write 1: has the intent on disk"],
        "read 2 came to nothing, behind what its client had seen or written",
    ),
    "retry_with_new_version": (
        ["retry 4: begins to write", 'retry 4: hears "b" from r1', 'retry 4: sends "a" to all at version 3'],
        'read 3 returned "a" after the write of "a" had been acknowledged and the write of "b" had been',
    ),
}


def behaviour(variant: str) -> Behaviour:
    return tlc_text.read((RECORDED / f"tlc-2.15-quorum-{variant}.txt").read_text(), "quorum")


def told(variant: str) -> Trace:
    return parts.tell(behaviour(variant))


def lines(trace: Trace) -> list[str]:
    return [f"{step.lane}: {step.label}" for step in trace.steps[1:]]


@pytest.mark.parametrize("variant", EXPECTED)
def test_a_behaviour_is_told(variant: str) -> None:
    trace = told(variant)
    some, verdict = EXPECTED[variant]
    said = lines(trace)
    start = said.index(some[0])
    assert said[start : start + len(some)] == some
    assert trace.verdict.startswith(verdict)
    assert trace.verdict.endswith(f"({trace.promise}).")
    assert [step.wrong for step in trace.steps].count(True) == 1
    assert trace.steps[-1].wrong


@pytest.mark.parametrize("variant", EXPECTED)
def test_every_step_has_its_place_in_the_drawing(variant: str) -> None:
    trace = told(variant)
    assert all(step.lane in trace.lanes for step in trace.steps[1:])
    assert all(arrow.from_lane in trace.lanes for step in trace.steps for arrow in step.arrows)
    assert all(arrow.from_step <= step.number for step in trace.steps for arrow in step.arrows)
    assert draw(trace).count('class="step"') == len(trace.steps) - 1


def test_an_operation_has_a_lane_when_it_begins() -> None:
    assert told("rollback").lanes == ("write 1", "read 2", "read 3", "r1", "r2")


def test_what_is_stored_comes_from_who_sent_it() -> None:
    trace = told("rollback")
    (stored,) = [step for step in trace.steps if step.label == 'stores "a" at 1']
    (arrow,) = stored.arrows
    assert (arrow.from_lane, trace.steps[arrow.from_step].label) == (
        "write 1",
        'sends "a" to all at version 1',
    )
    assert [(change.name, change.before, change.after) for change in stored.changes] == [
        ("holds[r2]", "nothing", '"a" at 1')
    ]


def test_a_lost_disk_changes_incarnation_and_vote() -> None:
    (lost,) = [step for step in told("settled_at_hitting_set").steps if step.kind == "crash"]
    changed = {change.name: (change.before, change.after) for change in lost.changes}
    assert changed == {
        "holds[r1]": ('"a" at 1', "nothing"),
        "incarnation[r1]": ("1", "2"),
        "has a vote[r1]": ("yes", "no"),
    }


def test_who_was_heard_before_is_not_heard_again() -> None:
    """A replica that is done forgets whom it heard; all hold the same, and nobody learnt anything new."""
    whole = behaviour("counts_old_incarnation")
    number = next(n for n, taken in enumerate(whole.states) if taken.state["heard"][0])
    heard = whole.states[number].state
    done = {**heard, "heard": (frozenset(),) * 3, "recovering": (0, 0, 0)}
    trace = parts.tell(replace(whole, states=(*whole.states[: number + 1], Taken(done)), promise=""))
    assert lines(trace)[-2:] == [
        "r1: gets all that r2 holds, and has no vote yet",
        "r1: gets all that r3 holds, and has a vote again",
    ]


def test_what_is_not_known_is_not_claimed() -> None:
    """An operation that only asks may be a write or a read; a step may change nothing that a story reads."""
    whole = behaviour("rollback")
    short = replace(whole, states=(*whole.states[:3], Taken(whole.states[2].state, "Stutter")), promise="")
    assert lines(parts.tell(short)) == [
        "operation 1: begins to read",
        "operation 1: hears nothing from r1",
        "operation 1: goes on, and nothing comes of it",
    ]
    assert parts.tell(replace(short, states=())).lanes == ()


def test_an_unknown_promise_is_told_as_the_engine_told_it() -> None:
    other = replace(behaviour("rollback"), promise="Other", problem="Invariant Other is violated.")
    assert parts.tell(other).verdict == "Invariant Other is violated."


def test_states_of_another_model_are_refused() -> None:
    other = Behaviour("quorum", "TLC", "", (Taken({"held": (0, 0)}),))
    with pytest.raises(ValueError, match="state 0 has no variable 'epoch': it is no state of the model"):
        parts.tell(other)


def test_the_story_survives_itf() -> None:
    trace = told("rollback")
    assert lines(parts.tell(itf.read(itf.write(trace), "quorum"))) == lines(trace)


def test_functions_may_come_as_maps() -> None:
    """As Apalache writes them: TLC writes a function on 1..n as a sequence."""

    def maps(value: Any) -> Any:
        if isinstance(value, tuple):
            return Record((number, maps(item)) for number, item in enumerate(value, start=1))
        return value

    given = behaviour("settled_at_hitting_set")
    states = tuple(
        Taken({name: maps(value) for name, value in taken.state.items()}, taken.action)
        for taken in given.states
    )
    assert lines(parts.tell(replace(given, states=states))) == lines(parts.tell(given))
