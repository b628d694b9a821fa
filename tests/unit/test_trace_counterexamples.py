"""Every wrong rule breaks its promise in its run, the right rules keep every promise on the same events."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scratchbird_check.counterexamples import COUNTEREXAMPLES, Counterexample, counterexample
from scratchbird_check.counterexamples import hlc as clock_runs
from scratchbird_check.counterexamples import uuid8 as id_runs
from scratchbird_check.counterexamples.model import NotRefutedError
from scratchbird_check.traces import hlc as json_form
from scratchbird_check.traces import ndjson
from scratchbird_check.traces.digest import digest
from scratchbird_check.traces.hlc_effects import tell as tell_step
from scratchbird_check.traces.model import Trace
from scratchbird_check.traces.reference_run import Move, play
from scratchbird_check.variants import handoff as handoff_variants
from scratchbird_check.variants import hlc as clock_variants
from scratchbird_check.variants import merkle_forest as forest_variants
from scratchbird_check.variants import quorum as quorum_variants
from scratchbird_check.variants import uuid8 as id_variants
from scratchbird_reference import hlc
from scratchbird_reference.uuid8 import Timestamp, UuidV8


def played(variant: str) -> Counterexample:
    found = counterexample(variant)
    assert found is not None
    return found


def test_every_variant_has_its_run() -> None:
    parts = (clock_variants, id_variants, quorum_variants, handoff_variants, forest_variants)
    variants = {name for part in parts for name in part.VARIANTS}
    assert set(COUNTEREXAMPLES) == {*variants, "blind_hop", "no_domains"}
    assert counterexample("no_such_variant") is None


@pytest.mark.parametrize("variant", COUNTEREXAMPLES)
def test_the_variant_breaks_its_promise_and_the_right_rule_does_not(variant: str) -> None:
    found = played(variant)
    assert found.refuted.promise == found.promise
    assert found.refuted.wrong_step == found.refuted.steps[-1]
    assert found.promise.split()[0] in found.refuted.verdict
    assert found.corrected.promise == ""
    assert found.corrected.wrong_step is None
    assert found.corrected.verdict
    assert variant in found.refuted.title


@pytest.mark.parametrize("variant", COUNTEREXAMPLES)
def test_the_runs_are_short_enough_to_be_drawn(variant: str) -> None:
    for trace in (played(variant).refuted, played(variant).corrected):
        assert len([step for step in trace.steps if not step.setup]) <= 18
        assert [step.number for step in trace.steps] == list(range(len(trace.steps)))


@pytest.mark.parametrize("variant", clock_runs.SCRIPTS)
def test_a_variant_that_kept_its_promise_would_be_noticed(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = dict.fromkeys(clock_runs.SCRIPTS, hlc.HybridLogicalClock)
    monkeypatch.setattr(clock_runs, "_RULES", rules)
    with pytest.raises(NotRefutedError, match=f"{variant!r} keeps {clock_runs.SCRIPTS[variant].promise}"):
        clock_runs.counterexample(variant)


def test_a_right_rule_that_broke_a_promise_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_runs, "HybridLogicalClock", clock_variants.NoCarry)
    with pytest.raises(NotRefutedError, match="the right rule breaks HLC-1"):
        clock_runs.counterexample("no_carry")


def test_a_layout_that_kept_the_order_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def right(timestamp: Timestamp, node_id: int, random: int) -> bytes:
        return bytes(UuidV8(timestamp, node_id, random))

    monkeypatch.setattr(id_runs, "layout_b", right)
    monkeypatch.setattr(id_runs, "version_7", right)
    with pytest.raises(NotRefutedError, match="'layout_b' keeps the order"):
        id_runs.layout_b_counterexample()
    with pytest.raises(NotRefutedError, match="'v7_beside_v8' keeps the order"):
        id_runs.v7_beside_v8_counterexample()


# --- the exports ------------------------------------------------------------------------------------------


def divergence(trace: Trace) -> int | None:
    """The line at which the reference does otherwise, when it replays the exported run."""
    header, *lines = [json.loads(line) for line in ndjson.write(trace).splitlines()]
    rules = hlc.HybridLogicalClock(json_form.config_from_json(header["config"]))
    states: dict[int, hlc.State] = {}
    for line in lines:
        state = states.get(line["node"], hlc.State(hlc.Durable(line["node"])))
        state, effects = rules.step(state, json_form.event_from_json(line["event"]))
        states[line["node"]] = state
        said = [json_form.effect_to_json(effect) for effect in effects]
        if digest(json_form.state_to_json(state)) != line["digest"] or said != line["effects"]:
            return int(line["step"])
    return None


@pytest.mark.parametrize("variant", clock_runs.SCRIPTS)
def test_the_exported_run_replays_up_to_the_wrong_rule(variant: str) -> None:
    found = played(variant)
    assert divergence(found.corrected) is None
    assert divergence(found.refuted) is not None


def test_the_exported_run_links_what_was_received_to_what_was_sent() -> None:
    lines = [json.loads(line) for line in ndjson.write(played("blind_hop").refuted).splitlines()]
    assert lines[0]["trace"] == "scratchbird"
    assert lines[0]["part"] == "hlc"
    assert [line["step"] for line in lines[1:]] == list(range(1, len(lines)))
    received = [line for line in lines[1:] if "from_step" in line]
    assert len(received) == 2
    for line in received:
        sent = lines[line["from_step"]]
        assert sent["event"]["event"] == "stamp"
        assert sent["node"] == line["event"]["sender"]
        assert sent["effects"][0]["clock"] == line["event"]["remote"]


def test_a_run_without_events_is_exported_as_it_is_told() -> None:
    trace = played("layout_b").refuted
    head, *steps = [json.loads(line) for line in ndjson.write(trace).splitlines()]
    assert head["trace"] == "scratchbird-model"
    assert head["promise"] == "HLC-7"
    assert [step["label"] for step in steps] == [step.label for step in trace.steps]
    assert [step["wrong"] for step in steps] == [False, False, False, True]


# --- runs of the reference --------------------------------------------------------------------------------

CONFIG = replace(clock_runs.CONFIG, confirm_quorum=1)


def tell(*moves: Move) -> list[str]:
    trace = play(
        moves,
        config=CONFIG,
        rules=lambda _: hlc.HybridLogicalClock(CONFIG),
        base=10,
        title="a run",
        good="ok",
    )
    assert trace.verdict == "ok"
    return [f"{step.lane or 'time'}: {step.label}" for step in trace.steps[1:]]


def test_every_kind_of_step_is_told_in_words() -> None:
    told = tell(
        Move(1, hlc.Start(10, 0)),
        Move(1, hlc.Tick(10, 0)),
        Move(1, hlc.Reserve(10, 0)),
        Move(1, hlc.Tick(30, 0)),
        Move(1, hlc.Observe(30, 0, Timestamp(16, 0), 2)),
        Move(1, hlc.Observe(30, 0, Timestamp(14, 0), 2)),
        Move(1, hlc.Confirm(30, 0)),
        Move(1, hlc.Confirm(10, 0, operator=True)),
        Move(1, hlc.Reserve(11, 1)),
        Move(1, hlc.Stamp(11, 1), sends="m"),
        Move(1, hlc.Stop()),
        Move(1, hlc.Tick(11, 1)),
        Move(1, hlc.Crash()),
        Move(1, hlc.Retire(3)),
        Move(1, hlc.Observe(11, 1, Timestamp(0, 0), 2), receives="never sent"),
    )
    assert told == [
        "n1: starts at 0:0, wall clock 10",
        "n1: asks for a durable bound of 14:0: its tick of 10:0 waits for it",
        "n1: has the bound 14:0 on disk",
        "n1: issues 10:0",
        "n1: needs no further bound",
        "n1: has its wall clock set forward from 10 to 30",
        "n1: refuses its tick: its wall clock jumped forward and nobody has confirmed it",
        "n1: refuses n2's 16:0: 6 ms past its clock",
        "n1: lets n2's 14:0 wait for 3 ms",
        "n1: is not confirmed: too few peers agree with its wall clock",
        "n1: has its wall clock set back from 30 to 10",
        "n1: has its wall clock confirmed",
        "time: 1 ms passes",
        "n1: asks for a durable bound of 15:0",
        "n1: has the bound 15:0 on disk",
        "n1: sends a message that carries 10:0",
        "n1: asks for a durable bound of 10:0",
        "n1: has the bound 10:0 on disk",
        "n1: refuses: it is stopping",
        "n1: ends",
        "n1: gives up node id 1 for 3",
    ]


def test_an_event_that_waits_for_a_write_under_way_is_told() -> None:
    state = hlc.State(hlc.Durable(1), hlc.Volatile(Timestamp(0, 0), 10, Timestamp(14, 0)))
    waits = (hlc.Deferred(Timestamp(10, 0)),)
    assert words_of(hlc.Tick(10, 0), state, waits) == "lets its tick of 10:0 wait: a bound is being written"
    full = (hlc.Refused(hlc.Reason.EXHAUSTED),)
    assert words_of(hlc.Tick(10, 0), state, full) == "refuses a tick: the 48-bit milliseconds are used up"


def words_of(event: hlc.Event, state: hlc.State, effects: hlc.Effects) -> str:
    return tell_step(CONFIG, event, state, state, effects).label


def test_all_promises_are_judged_when_none_is_named() -> None:
    moves = (
        Move(1, hlc.Start(10, 0)),
        Move(1, hlc.Reserve(10, 0)),
        *(Move(1, hlc.Tick(10, 0)) for _ in range(3)),
    )
    rules = clock_variants.NoCarry(CONFIG)
    trace = play(moves, config=CONFIG, rules=lambda _: rules, base=10, title="a run")
    assert trace.promise == "HLC-1"
    other = play(moves, config=CONFIG, rules=lambda _: rules, base=10, title="a run", promise="HLC-3")
    assert other.promise == ""
