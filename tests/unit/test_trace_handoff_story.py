"""Behaviours of the model of handoff, as recorded from TLC, are told: who owes what, and what came back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scratchbird_check.report.svg import draw
from scratchbird_check.traces import handoff_story, itf, parts, tlc_text
from scratchbird_check.traces.model import Behaviour, Taken, Trace

RECORDED = Path(__file__).parent / "recorded"
TLA = Path(parts.__file__).parents[1] / "tla"
EXPECTED = {
    "settles_alone": (
        [
            "r2: has converged",
            "r2: settles",
            "r2: purges its tombstone",
            "r1: merges the past of r2",
            "r1: has converged",
            "r1: settles",
        ],
        'r1 and r2 have both settled, and "a" is at r1 and not at r2: nothing will make them the same',
    ),
    "starts_open": (
        [
            "r1: settles",
            "r2: loses its disk and starts empty",
            'r2: stores "a" at 1, and says so',
            "r2: gets all that r1 holds, and has a vote again",
        ],
        'r2 and r1 have both settled, and "a" is at r2 and not at r1',
    ),
    "backup_is_believed": (
        [
            'r2: is given its backup, and takes "a" at 1 from it; gets all that r1 holds, and has a vote',
        ],
        'r2 and r1 have both settled, and "a" is at r2 and not at r1',
    ),
    "pulls_before_all_closed": (
        [
            'write 1: has the intent on disk: it owes "a" at 1 to r1 and r2',
            "r1: closes the floor of 2",
            "r1: merges the past of r2",
            'r2: stores "a" at 1, and says so',
            "write 1: says: committed",
        ],
        'A read that asks r1 and r2 finds the row deleted, and "a" at 1, which was acknowledged, is gone',
    ),
    "purges_by_time": (
        [
            "delete 2: begins to delete",
            "delete 2: hears nothing from r1",
            "delete 2: sends a delete to all at",
        ],
        "A read that asks r1 misses a delete at 1, which was acknowledged",
    ),
    "cleared_by_an_earlier_exchange": (
        [
            "coordinator: marks that r1 is owed a repair",
            'write 1: has the intent on disk: it owes "a" at 1 to r2 and r3',
            "r1: merges all that r2 held; the coordinator goes on owing it a repair",
            'r2: stores "a" at 1, and says so',
            "write 1: says: committed",
            "coordinator: hears that r1 is back: closes its mark",
            "r1: merges all that r3 held; the coordinator owes it nothing more",
        ],
        'r1 lacks "a" at 1, which was acknowledged, and no hint and no mark says that it is owed',
    ),
    "stops_without_mark": (
        ["write 1: says: committed", "coordinator: drops its hints for r2"],
        'r2 lacks "a" at 1, which was acknowledged, and no hint and no mark',
    ),
    "removed_on_send": (
        ["write 1: says: committed", "coordinator: drops its hints for r2"],
        'r2 lacks "a" at 1, which was acknowledged, and no hint and no mark',
    ),
}


def behaviour(variant: str) -> Behaviour:
    return tlc_text.read((RECORDED / f"tlc-2.15-handoff-{variant}.txt").read_text(), "handoff")


def constants(variant: str) -> dict[str, Any]:
    return tlc_text.read_constants((TLA / f"MC_handoff__{variant}.cfg").read_text())


def told(variant: str) -> Trace:
    return parts.tell(behaviour(variant), constants(variant))


def lines(trace: Trace) -> list[str]:
    return [f"{step.lane}: {step.label}" for step in trace.steps[1:]]


@pytest.mark.parametrize("variant", EXPECTED)
def test_a_behaviour_is_told(variant: str) -> None:
    trace = told(variant)
    some, verdict = EXPECTED[variant]
    said = lines(trace)
    start = next(number for number, line in enumerate(said) if line.startswith(some[0]))
    for line, wanted in zip(said[start:], some, strict=False):
        assert line.startswith(wanted)
    assert len(said) >= start + len(some)
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
    assert "nothing comes of it" not in " ".join(lines(trace))


def test_who_does_nothing_has_no_lane() -> None:
    assert told("settles_alone").lanes == ("write 1", "delete 2", "catalog", "r1", "r2")
    assert told("stops_without_mark").lanes == ("write 1", "coordinator", "r1", "r2")


def test_what_changes_stands_with_the_step() -> None:
    (lost,) = [step for step in told("starts_open").steps if step.kind == "crash"]
    assert [(change.name, change.before, change.after) for change in lost.changes] == [
        ("has a vote[r2]", "yes", "no")
    ]
    marked = [step for step in told("cleared_by_an_earlier_exchange").steps if step.lane == "coordinator"]
    assert [(c.name, c.before, c.after) for step in marked for c in step.changes] == [
        ("mark[r1]", "none", "open"),
        ("mark[r1]", "open", "closed"),
    ]


def test_steps_that_no_counterexample_has_are_told() -> None:
    """A write that is given up, a late message, an older one, and a step that changes nothing."""
    first = behaviour("settles_alone").states[0].state
    sent = {**first, "phase": ("sending", "sending"), "version": (1, 2)}
    late = {**sent, "held": (2, 0)}
    older = {**late, "acked": (frozenset({1}), frozenset())}
    again = {**older, "acked": (frozenset({1}), frozenset({1}))}
    failed = {**again, "phase": ("failed", "sending")}
    states = (first, {**first, "phase": ("asking", "idle")}, sent, late, older, again, failed, failed)
    trace = parts.tell(
        replace(behaviour("settles_alone"), states=tuple(map(Taken, states)), promise=""),
        constants("settles_alone"),
    )
    assert lines(trace)[2:] == [
        "r1: stores a delete at 2",
        'r1: keeps a delete at 2, newer than "a" at 1, and says so',
        "r1: holds a delete at 2 already, and says so",
        "write 1: gives up",
        "coordinator: goes on, and nothing comes of it",
    ]


def test_hints_that_are_paid_when_all_have_converged_are_told_from_those_that_are_dropped() -> None:
    first = behaviour("stops_without_mark").states[0].state
    done = {**first, "phase": ("done",), "version": (1,), "allConverged": True}
    owes = {**done, "hinted": (frozenset({1, 2}),)}
    dropped = {**owes, "owed": ("open", "none"), "hinted": (frozenset({2}),)}
    given_up = {**owes, "owed": ("open", "none")}
    for before, after, said in (
        (owes, done, "coordinator: hears that all have converged, and owes nothing at or below 2"),
        (given_up, dropped, "coordinator: drops its hints for r1"),
    ):
        states = (first, before, after)
        trace = parts.tell(
            replace(behaviour("stops_without_mark"), states=tuple(map(Taken, states)), promise=""),
            constants("stops_without_mark"),
        )
        assert lines(trace)[-1] == said


@pytest.mark.parametrize("promise", ["Account", "Seen", "NothingIsLost", "SettledAgree", "Other"])
def test_a_run_that_breaks_nothing_is_not_said_to(promise: str) -> None:
    given = replace(behaviour("settles_alone"), promise=promise, problem="Said by the engine.")
    trace = parts.tell(replace(given, states=given.states[:3]), constants("settles_alone"))
    assert trace.verdict == "Said by the engine."
    assert parts.tell(replace(given, states=()), constants("settles_alone")).lanes == ()


@pytest.mark.parametrize("name", ["Floor", "R"])
def test_a_constant_that_is_missing_is_named(name: str) -> None:
    left = {key: value for key, value in constants("settles_alone").items() if key != name}
    with pytest.raises(ValueError, match=f"the constant '{name}' of the model of handoff is None"):
        parts.tell(behaviour("settles_alone"), left)


def test_another_model_of_the_part_is_told_plainly() -> None:
    other = Behaviour("handoff", "TLC", "", (Taken({"holds": (0, 0)}), Taken({"holds": (1, 0)}, "Write")))
    assert lines(parts.tell(other)) == ["None: Write"]
    with pytest.raises(
        ValueError, match="state 0 has no variable 'held': it is no state of the model of hand"
    ):
        handoff_story.tell_handoff(other, {"Floor": 3, "R": 1})


def test_the_story_survives_itf() -> None:
    trace = told("settles_alone")
    again = parts.tell(itf.read(itf.write(trace), "handoff"), constants("settles_alone"))
    assert lines(again) == lines(trace)
