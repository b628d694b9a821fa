"""Behaviours of the clock's model are told: who did what, which message arrived, what went wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from scratchbird_check.traces import itf, parts, tlc_text
from scratchbird_check.traces.model import Behaviour, Taken, Trace
from scratchbird_check.traces.tla_values import Record

RECORDED = Path(__file__).parent / "recorded"
CONSTANTS = {"C": 2, "MaxDrift": 2, "MaxAhead": 1, "MaxSkew": 1, "ReserveMs": 1, "Base": 3}


def behaviour(variant: str) -> Behaviour:
    return tlc_text.read((RECORDED / f"tlc-2.15-hlc-{variant}.txt").read_text(), "hlc")


def lines(trace: Trace) -> list[str]:
    return [f"{step.lane}: {step.label}" if step.lane else step.label for step in trace.steps[1:]]


EXPECTED = {
    "stall_and_reset": (
        ["n1: issues 3:1", "n1: has its wall clock set back from 3 to 1", "n1: issues 2:0"],
        "n1 issued 2:0 after it had issued 3:1: ids of one node went back",
    ),
    "blind_hop": (
        ["n3: has the bound 4:0 on disk", "n3: merges 0:0 from n2", "n3: issues 3:0"],
        "n3 issued 3:0 although 3:0 had happened before it",
    ),
    "believes_wall": (
        ["n2: starts at 0:0, wall clock 3", "n2: has its wall clock set back from 3 to 1"],
        "n2 refused 4:0 from n1, whose clock is right, because its own wall clock was set back to 1",
    ),
    "eager_reserve": (
        ["n1: crashes", "n1: starts at 7:0, wall clock 3", "n1: asks for a durable bound of 8:0"],
        "n1 reserves up to 8:0, 4 ms past any healthy clock (4) where 2 are allowed",
    ),
    "no_remote_bound": (
        [
            "n2: asks for a durable bound of 8:0: n1's 7:0 waits for it",
            "n2: has the bound 8:0 on disk",
            "n2: merges 7:0 from n1",
        ],
        "n2 merged 7:0 from n1 when its own clock stood at 3: 4 ms ahead, 2 are allowed",
    ),
    "one_bound": (
        ["n1: sends a message that carries 6:0", "n2: starts at 0:0, wall clock 3"],
        "n2 refused 6:0 from n1, 3 ms past its clock where 2 are allowed, although neither wall clock",
    ),
    "bound_not_merged": (
        ["n2: merges 3:0 from n1", "n2: crashes", "n2: starts at 0:0, wall clock 3"],
        "n2 issued 3:0 after a restart, not above 3:0",
    ),
}


@pytest.mark.parametrize("variant", EXPECTED)
def test_what_tlc_found_is_told(variant: str) -> None:
    trace = parts.tell(behaviour(variant), CONSTANTS)
    told, verdict = EXPECTED[variant]
    assert "\n".join(told) in "\n".join(lines(trace))
    assert trace.verdict.startswith(verdict)
    assert [step.number for step in trace.steps if step.wrong] == [trace.steps[-1].number]
    assert trace.engine == "TLC"


@pytest.mark.parametrize("variant", EXPECTED)
def test_an_engine_that_names_no_action_is_told_in_the_same_words(variant: str) -> None:
    found = behaviour(variant)
    silent = replace(found, states=tuple(Taken(taken.state) for taken in found.states))
    named, guessed = parts.tell(found, CONSTANTS), parts.tell(silent, CONSTANTS)
    assert lines(guessed) == lines(named)
    assert [step.arrows for step in guessed.steps] == [step.arrows for step in named.steps]


@pytest.mark.parametrize("variant", EXPECTED)
def test_a_behaviour_that_comes_as_itf_is_told_in_the_same_words(variant: str) -> None:
    named = parts.tell(behaviour(variant), CONSTANTS)
    read = itf.read(itf.write(named), "hlc", named.promise)
    assert lines(parts.tell(read, CONSTANTS)) == lines(named)


def test_an_arrow_leads_from_the_step_that_sent_the_message() -> None:
    trace = parts.tell(behaviour("blind_hop"), CONSTANTS)
    for step in trace.steps:
        for arrow in step.arrows:
            sent = trace.steps[arrow.from_step]
            assert sent.action == "Send"
            assert sent.lane == arrow.from_lane
            assert arrow.label in sent.label
    assert sum(len(step.arrows) for step in trace.steps) == 2


def test_ghosts_are_no_changes_and_downtime_is_known() -> None:
    trace = parts.tell(behaviour("bound_not_merged"), CONSTANTS)
    shown = {change.name.partition("[")[0] for step in trace.steps for change in step.changes}
    assert not shown & {"own", "past", "before", "sick", "broken", "budget", "messages"}
    crash = next(step for step in trace.steps if step.action == "Crash")
    assert crash.lane in crash.down
    assert crash.kind == "crash"
    assert crash.lane not in trace.steps[crash.number + 1].down


def _state(found: Behaviour, **changes: object) -> dict[str, object]:
    return {**found.states[-1].state, **changes}


def test_steps_that_the_counterexamples_lack() -> None:
    found = behaviour("stall_and_reset")
    last = found.states[-1].state
    base = {**last, "broken": frozenset(), "suspended": {"n1": False}, "promised": {"n1": 0}}
    nodes = {name: dict(last[name]) for name in ("anchor", "bound", "last", "up")}
    steps = [
        Taken(base),
        Taken({**base, "now": base["now"] + 2}),
        Taken({**base, "now": base["now"] + 2, "suspended": {"n1": True}}, "Tick"),
        Taken({**base, "now": base["now"] + 2, "suspended": {"n1": True}}, "Tick"),
        Taken({**base, "now": base["now"] + 2, "anchor": {"n1": 1}}),
        Taken({**base, "now": base["now"] + 2, "bound": nodes["last"], "up": {"n1": False}}, "Stop"),
        Taken({**base, "now": base["now"] + 2, "bound": nodes["last"], "up": {"n1": False}}, "Tick"),
    ]
    trace = parts.tell(replace(found, states=tuple(steps), promise="", problem=""), CONSTANTS)
    assert [step.label for step in trace.steps[1:]] == [
        "2 ms pass",
        "refuses its tick: its wall clock jumped forward and nobody has confirmed it",
        "refuses its tick: its wall clock jumped forward and nobody has confirmed it",
        "has its wall clock confirmed",
        "stops and stores 2:0",
        "somewhere: Tick, and nothing comes of it",
    ]
    assert not any(step.wrong for step in trace.steps)


def test_an_id_too_far_ahead_is_told() -> None:
    found = behaviour("stall_and_reset")
    before, after = found.states[-2].state, found.states[-1].state
    ahead = {**after, "last": {"n1": 10}, "own": {"n1": 10}, "broken": frozenset({"HLC-4 own"})}
    states = (Taken(before), Taken(ahead, "Tick"))
    trace = parts.tell(replace(found, states=states, promise="HLC4Own"), CONSTANTS)
    assert trace.verdict.startswith("n1 issued 5:0 when its wall clock stood at 1: 4 ms ahead, 1 are allowed")
    unknown = {**after, "broken": frozenset({"HLC-99"})}
    trace = parts.tell(replace(found, states=(Taken(before), Taken(unknown, "Tick"))), CONSTANTS)
    assert trace.verdict == "After n1's step HLC-99 is broken."


def test_a_clock_that_is_fast_and_no_more_is_told() -> None:
    found, wide = behaviour("no_remote_bound"), {**CONSTANTS, "MaxDrift": 10}
    merged = parts.tell(found, wide)
    assert merged.verdict == (
        "n2 merged 7:0 from n1, 4 ms past the time it believes in where 1 are allowed: "
        "such a message has to wait (HLC-4)."
    )
    before = found.states[-2].state
    unknown = frozenset(Record({**message, "past": 0}.items()) for message in before["messages"])
    calm = {**before, "messages": unknown}
    waits = {**calm, "suspended": {**calm["suspended"], "n2": True}}
    states = (Taken(calm), Taken(waits, "Observe", "n2"))
    early = parts.tell(replace(found, states=states, promise="", problem=""), wide)
    assert lines(early) == ["n2: lets n1's 7:0 wait for 4 ms"]
    assert not early.steps[-1].wrong
    refused = parts.tell(replace(found, states=states, promise="", problem=""), CONSTANTS)
    assert lines(refused) == ["n2: refuses n1's 7:0: 4 ms past its clock"]


@pytest.mark.parametrize(("off", "wait"), [(0, 4), (-1, 5), (-2, 4)])
def test_what_is_early_is_judged_by_the_wall_clock_unless_that_is_set_back_far(off: int, wait: int) -> None:
    found, wide = behaviour("no_remote_bound"), {**CONSTANTS, "MaxDrift": 10}
    before = found.states[-2].state
    unknown = frozenset(Record({**message, "past": 0}.items()) for message in before["messages"])
    calm = {**before, "messages": unknown, "off": {**before["off"], "n2": off}}
    states = (Taken(calm), Taken(calm, "Observe", "n2"))
    early = parts.tell(replace(found, states=states, promise="", problem=""), wide)
    assert lines(early) == [f"n2: lets n1's 7:0 wait for {wait} ms"]


def test_a_node_that_is_silenced_is_told() -> None:
    found = behaviour("no_remote_bound")
    before, after = found.states[-2].state, found.states[-1].state
    both = {**after, "broken": frozenset({"HLC-4 remote", "HLC-4 silenced"})}
    told = replace(found, states=(Taken(before), Taken(both)))
    silenced = parts.tell(replace(told, promise="HLC4Silenced"), CONSTANTS)
    assert silenced.verdict == (
        "n2 merged 7:0 from n1: its next tick would be 7:1, which is refused at wall clock 3: "
        "a peer silences it (HLC-4)."
    )
    assert silenced.steps[-1].wrong
    assert parts.tell(replace(told, promise="HLC4Remote"), CONSTANTS).verdict.startswith(
        "n2 merged 7:0 from n1 when its own clock stood at 3"
    )


def test_what_is_missing_is_named() -> None:
    found = behaviour("stall_and_reset")
    with pytest.raises(ValueError, match="constant Base of the model is missing"):
        parts.tell(found, {"C": 2})
    with pytest.raises(ValueError, match="state 0 has no variable 'now'"):
        parts.tell(replace(found, states=(Taken({"x": 1}),)), CONSTANTS)
