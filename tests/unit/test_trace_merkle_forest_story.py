"""Behaviours of the forest's model, as recorded from TLC, are told: who compared what, what is missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scratchbird_check.report.svg import draw
from scratchbird_check.traces import itf, parts, tlc_text
from scratchbird_check.traces.model import Behaviour, Taken, Trace

RECORDED = Path(__file__).parent / "recorded"
TLA = Path(parts.__file__).parents[1] / "tla"
EXPECTED = {
    "compares_as_it_is": (
        [
            "r1: begins an exchange with r2: window 1 differs",
            "r1: stores a delete at 3",
            "r1: looks into window 1: finds no row that differs",
            "r1: has exchanged with r2: it has succeeded",
        ],
        'The exchange of r1 and r2 has succeeded, and r2 lacks "a" at 1, which r1 held (Through).',
    ),
    "forgets_dirt": (
        ['r1: stores "a" at 1', "r1: lets its stable time rise to 4", "r1: crashes and starts again"],
        'r1 tells digests as if "a" at 1, which it shows, were not there, and nothing says that they lag '
        "behind (ToldIsTrue).",
    ),
    "immutable": (
        ['clients: send "a" at 1: it is under way', "r1: lets its stable time", 'r1: stores "a" at 1'],
        'r1 and r2 tell the same digests, and r2 lacks "a" at 1, which r1 holds: no exchange will find it '
        "(SameIsSame).",
    ),
    "one_sided": (
        [
            "r1: hashes window 1 anew",
            "r2: lets its stable time rise to 4",
            "r1: begins an exchange with r2: window 1 differs",
            'r1: looks into window 1: r1 showed "a" at 1, and r2 nothing',
            'r2: is sent "a" at 1, and takes nothing',
            "r1: has exchanged with r2: it has succeeded",
        ],
        'The exchange of r1 and r2 has succeeded, and r2 lacks "a" at 1, which r1 held (Through).',
    ),
    "own_windows_only": (
        [
            "r2: begins an exchange with r1: window 1 differs, and is left out",
            "r2: has exchanged with r1: it has succeeded",
        ],
        'The exchange of r1 and r2 has succeeded, and r2 lacks "a" at 1, which r1 held (Through).',
    ),
    "purges_by_itself": (
        [
            "catalog: proposes a floor of 4; r1 and r2 close it",
            "r2: merges the past of r1; has converged",
            "r2: settles",
            "r2: purges its tombstone",
            "r1: merges the past of r2; has converged",
            "r1: settles",
        ],
        'r1 and r2 have both settled, and "a" at 1 is at r1 and not at r2: nothing will make them the same '
        "(SettledAgree).",
    ),
    "refreshes_nothing": (
        [
            'r1: looks into window 1: r1 showed "a" at 1, and r2 nothing',
            'r2: takes "b" at 5',
            "r1: has exchanged with r2: it has succeeded",
        ],
        'The exchange has succeeded, and r2 still does not show "a" at 1: the next one finds the same '
        "difference again (Through).",
    ),
    "takes_over_purged": (
        [
            "r1: looks into window 2: r1 showed a delete at 3, and r2 nothing",
            "r1: purges its tombstone",
            "r2: settles",
            "r2: holds something newer, and takes over the entry a delete at 3",
        ],
        "r2 shows a delete at 3, below the floor of 4, and r1, which has settled and holds nothing newer, "
        "holds nothing: what was purged is there again (ShownPastAgrees).",
    ),
    "refuses_for_sealed_live": (
        [
            "r2: begins an exchange with r1: window 1 differs",
            'r2: looks into window 1: r2 showed nothing, and r1 "a" at 1',
            'r2: is sent "a" at 1, and takes nothing',
            "r2: has exchanged with r1: it has succeeded",
            "r2: begins an exchange with r1: window 1 differs",
            'r1: looks into window 1: r1 showed "a" at 1, and r2 nothing',
        ],
        "They exchange again and again, each time with success, and never show the same (EndTheSame).",
    ),
}


def behaviour(variant: str) -> Behaviour:
    return tlc_text.read((RECORDED / f"tlc-2.15-merkle_forest-{variant}.txt").read_text(), "merkle_forest")


def constants(variant: str = "immutable") -> dict[str, Any]:
    config = f"merkle_forest__{variant}"
    if variant.endswith("_live"):
        config = f"merkle_forest_live__{variant.removesuffix('_live')}"
    return tlc_text.read_constants((TLA / f"MC_{config}.cfg").read_text())


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
    assert trace.verdict == verdict
    assert [step.number for step in trace.steps if step.wrong] == [trace.steps[-1].number]


@pytest.mark.parametrize("variant", EXPECTED)
def test_every_step_has_its_place_in_the_drawing(variant: str) -> None:
    trace = told(variant)
    assert all(step.lane in trace.lanes for step in trace.steps[1:])
    assert all(arrow.from_lane in trace.lanes for step in trace.steps for arrow in step.arrows)
    assert all(arrow.from_step <= step.number for step in trace.steps for arrow in step.arrows)
    assert draw(trace).count('class="step"') == len(trace.steps) - 1
    assert "nothing comes of it" not in " ".join(lines(trace))


def test_who_does_nothing_has_no_lane() -> None:
    assert told("purges_by_itself").lanes == ("clients", "catalog", "r1", "r2")
    assert told("one_sided").lanes == ("clients", "r1", "r2")


def test_what_arrives_was_sent_in_an_earlier_step() -> None:
    trace = told("refreshes_nothing")
    (stored,) = [step for step in trace.steps if step.label == 'stores "b" at 5']
    (arrow,) = stored.arrows
    assert trace.steps[arrow.from_step].label == 'send "b" at 5: it is under way'
    (taken,) = [step for step in trace.steps if step.label == 'takes "b" at 5']
    assert [(arrow.from_step, arrow.from_lane, arrow.label) for arrow in taken.arrows] == [
        (taken.number, "r1", '"b"')
    ]


def test_what_changes_stands_with_the_step() -> None:
    trace = told("takes_over_purged")
    assert [(c.name, c.before, c.after) for c in trace.steps[-1].changes] == [
        ("shows[r2]", "nothing", "a delete at 3"),
        ("to be hashed[r2]", "nothing", "window 2"),
    ]
    (hashed,) = [step for step in trace.steps if step.label == "hashes window 2 anew"]
    assert [(c.name, c.before, c.after) for c in hashed.changes] == [
        ("to be hashed[r1]", "window 2", "nothing")
    ]


# --- what no counterexample has ---------------------------------------------------------------------------

BEGUN: dict[str, Any] = {
    "written": frozenset({1, 5}),
    "held": ((1,), (0,)),
    "entry": ((1,), (0,)),
    "stable": (4, 4),
    "shown": ((frozenset({(1, 1)}), frozenset()), (frozenset(), frozenset())),
    "with": (2, 0),
    "windows": (frozenset({1}), frozenset()),
    "snapshot": (((1,), (0,)), ((0,), (0,))),
}
"""r1 shows "a" at 1, r2 nothing, and an exchange has begun."""


def of(*states: Mapping[str, Any], promise: str = "") -> Trace:
    """These states, each as what differs from a state of the recorded behaviours."""
    first = behaviour("immutable").states[0].state
    taken = tuple(Taken({**first, **state}) for state in states)
    return parts.tell(Behaviour("merkle_forest", "TLC", promise, taken, problem="Said by TLC."), constants())


def test_the_other_steps_are_told() -> None:
    compared = {**BEGUN, "windows": (frozenset(), frozenset()), "rows": (frozenset({1}), frozenset())}
    met = {**compared, "rows": (frozenset(), frozenset())}
    failed = {**met, "with": (0, 0), "snapshot": (((0,), (0,)), ((0,), (0,)))}
    for before, after, said in (
        (BEGUN, failed, "r1: ends the exchange with r2: it has failed"),
        (compared, {**met, "held": ((1,), (1,))}, 'r2: takes "a" at 1'),
        ({**compared, "held": ((1,), (5,))}, {**met, "held": ((1,), (5,))}, 'r2: is sent "a" at 1, and has'),
        (failed, {**failed, "with": (0, 1)}, "r2: begins an exchange with r1: window 1 differs, and is left"),
        (met, {**met, "succeeded": frozenset({1})}, "r1: has exchanged with r2: it has succeeded"),
        (failed, {**failed, "crashed": 1}, "r1: crashes and starts again"),
        ({**failed, "dirty": (frozenset(), frozenset({1}))}, failed, "r2: hashes window 1 anew"),
        (failed, failed, "r1: goes on, and nothing comes of it"),
        (failed, {**failed, "closed": True}, "catalog: proposes a floor of 4; r1 and r2 close it"),
    ):
        assert lines(of(before, after))[0].startswith(said)
    again = {**met, "succeeded": frozenset({1})}
    assert lines(of(again, {**met, "windows": (frozenset(), frozenset())})) == [
        "r1: begins an exchange with r2: window 1 differs, and is left out"
    ]


def test_an_exchange_that_ends_because_a_floor_is_closed_is_told_of() -> None:
    after = {
        **BEGUN,
        "closed": True,
        "with": (0, 0),
        "windows": (frozenset(),) * 2,
        "snapshot": (((0,),) * 2,) * 2,
    }
    assert lines(of(BEGUN, after)) == [
        "catalog: proposes a floor of 4; r1 and r2 close it; what r1 had begun to exchange has failed"
    ]


def test_a_digest_that_tells_what_is_gone_is_named() -> None:
    gone = {**BEGUN, "entry": ((0,), (0,))}
    trace = of(gone, promise="ToldIsTrue")
    assert trace.verdict == (
        'r1 tells a digest of window 1 as if "a" at 1 were still there, and nothing says that it lags behind '
        "(ToldIsTrue)."
    )
    dirty = {**gone, "dirty": (frozenset({1}), frozenset())}
    assert of(dirty, promise="ToldIsTrue").verdict == "Said by TLC."


@pytest.mark.parametrize(
    "promise", ["Through", "SameIsSame", "ToldIsTrue", "SettledAgree", "ShownPastAgrees", "Entries"]
)
def test_a_run_that_breaks_nothing_is_not_said_to(promise: str) -> None:
    settled = {"settled": frozenset({1, 2}), "held": ((5,), (5,)), "entry": ((0,), (0,))}
    for state in (BEGUN, {**BEGUN, **settled, "shown": ((frozenset(),) * 2,) * 2}):
        assert of(state, promise=promise).verdict == "Said by TLC."
    assert of(promise=promise).lanes == ()


@pytest.mark.parametrize(("name", "wanted"), [("Floor", "a number"), ("Tombstones", "a set")])
def test_a_constant_that_is_missing_is_named(name: str, wanted: str) -> None:
    left = {key: value for key, value in constants().items() if key != name}
    with pytest.raises(
        ValueError, match=f"the constant '{name}' of the model of the forest is None: name {wanted}"
    ):
        parts.tell(behaviour("immutable"), left)


def test_a_state_of_another_model_is_refused() -> None:
    other = Behaviour("merkle_forest", "TLC", "", (Taken({"holds": (0, 0)}),))
    with pytest.raises(ValueError, match="state 0 has no variable 'written': it is no state of the model of"):
        parts.tell(other, constants())


def test_the_story_survives_itf() -> None:
    trace = told("takes_over_purged")
    again = parts.tell(itf.read(itf.write(trace), "merkle_forest"), constants())
    assert lines(again) == lines(trace)


def test_a_second_row_is_named() -> None:
    trace = told("one_sided")
    states = [
        {
            **taken.state,
            **{name: tuple((0, *each) for each in taken.state[name]) for name in ("held", "entry")},
            "snapshot": tuple(tuple((0, *side) for side in each) for each in taken.state["snapshot"]),
            "rows": tuple(frozenset(row + 1 for row in each) for each in taken.state["rows"]),
        }
        for taken in behaviour("one_sided").states
    ]
    given = replace(behaviour("one_sided"), states=tuple(map(Taken, states)))
    said = lines(parts.tell(given, constants()))
    assert 'r1: looks into window 1: of row 2 r1 showed "a" at 1, and r2 nothing' in said
    assert 'r2: is sent "a" at 1, and takes nothing of row 2' in said
    assert len(said) == len(lines(trace))
