"""The clock's state machine: production beside the reference, and that it would notice what is wrong."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from scratchbird_check.conformance.drivers import Hello, ProductionDriver, ReferenceDriver
from scratchbird_check.context import Context
from scratchbird_check.machines import hlc
from scratchbird_check.machines.hlc import Exploration, explore, lost_rules, variant_setup
from scratchbird_check.machines.hlc_rules import ClockMachine, Setup
from scratchbird_check.machines.promises import Message, Onlooker, PromiseBrokenError, Watched
from scratchbird_check.machines.world import DivergenceError
from scratchbird_check.manifest import Check
from scratchbird_check.variants.hlc import NoCarry
from scratchbird_check.verdicts import Verdict
from scratchbird_reference.hlc import Config, HybridLogicalClock

SEED = 1


@pytest.fixture(scope="module")
def exploration() -> Exploration:
    """One exploration, of the size that the quick profile has."""
    return explore(Setup(ProductionDriver), 300, 50, SEED)


def test_production_takes_the_same_steps_and_keeps_every_promise(exploration: Exploration) -> None:
    """HLC-1, HLC-3, HLC-4, HLC-5."""
    assert exploration.problem is None, str(exploration.problem)


def test_the_interesting_states_were_reached(exploration: Exploration) -> None:
    assert exploration.missed == []
    assert exploration.steps > 10_000


def test_the_machine_has_its_rules() -> None:
    assert lost_rules(ClockMachine) == []
    for name in hlc.RULES:
        assert lost_rules(type("Machine", (ClockMachine,), {name: None})) == [name]


@pytest.mark.parametrize(
    ("dropped", "missed"),
    [
        (("fill", "burst", "tick"), "a full counter carried"),
        (("retire",), "started under a new node id"),
        (("stop", "anything"), "stop: persist"),
        (("lose",), "a message was lost"),
        (("send",), "a message delivered twice"),
        (("confirm_by_operator",), "a jump confirmed by an operator"),
        (("restart",), "a crash kept a pending write"),
    ],
)
def test_a_machine_that_has_lost_a_rule_misses_states(dropped: tuple[str, ...], missed: str) -> None:
    machine: type[ClockMachine] = type("Machine", (ClockMachine,), dict.fromkeys(dropped))
    found = explore(Setup(ReferenceDriver), 40, 30, SEED, machine)
    assert found.problem is None
    assert missed in found.missed


def test_a_check_without_a_rule_is_unexpected(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ClockMachine, "retire", None)
    outcome = hlc.run(check(), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "retire" in outcome.detail


def test_a_check_that_misses_a_state_is_unexpected(tmp_path: Path) -> None:
    outcome = hlc.run(check(examples={"quick": 1}), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail.startswith("not reached: a crash kept a pending write, ")


def test_breaking_the_carry_on_one_side_is_a_divergence() -> None:
    """Whether it is the implementation or the reference that does not carry (HLC.R2)."""
    found = explore(Setup(partial(ReferenceDriver, NoCarry)), 100, 40, SEED, shrink=False)
    assert isinstance(found.problem, DivergenceError | PromiseBrokenError)
    assert found.trace is not None
    assert found.trace.steps[-1].wrong
    assert found.trace.steps[-1].event is not None
    assert found.trace.steps[-1].event["event"] == "tick"


def test_breaking_the_carry_in_the_reference_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HybridLogicalClock, "successor", NoCarry.successor)
    found = explore(Setup(ProductionDriver), 100, 40, SEED, shrink=False)
    assert isinstance(found.problem, DivergenceError)
    assert str(found.problem).startswith("tick(wall=")


def test_a_carry_that_is_broken_on_both_sides_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The onlooker does not ask the reference (HLC-1, or HLC-3 if the counter was filled by a merge)."""
    monkeypatch.setattr(HybridLogicalClock, "successor", NoCarry.successor)
    found = explore(Setup(ReferenceDriver), 100, 40, SEED, shrink=False)
    assert isinstance(found.problem, PromiseBrokenError)
    assert found.problem.promise in ("HLC-1", "HLC-3")


@pytest.mark.parametrize(
    ("variant", "broken"),
    [
        ("no_carry", "HLC-1"),
        ("stall_and_reset", "HLC-1"),
        ("merge_resets_counter", "HLC-3"),
        ("no_remote_bound", "HLC-4 remote"),
        ("no_upper_bound", "HLC-5"),
        ("eager_reserve", "HLC-5 bound"),
    ],
)
def test_the_promises_alone_refute_a_wrong_rule(variant: str, broken: str, tmp_path: Path) -> None:
    """The slower ones are in the full profile of the checks."""
    outcome = hlc.run_variant(check(variant=variant, breaks=broken), Context(tmp_path))
    assert outcome.verdict is Verdict.REFUTED, outcome.detail
    assert outcome.detail.startswith(f"{broken}: ")
    assert outcome.counterexample is not None
    assert outcome.counterexample.promise == broken
    assert [step.wrong for step in outcome.counterexample.steps][-1]


def test_a_variant_that_keeps_the_promise_is_unexpected(tmp_path: Path) -> None:
    """A merge that ignores the counter never makes ids of one node go back."""
    outcome = hlc.run_variant(
        check(variant="merge_ignores_counter", breaks="HLC-1", examples={"quick": 20}), Context(tmp_path)
    )
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "kept HLC-1 in 20 runs" in outcome.detail


def test_the_reference_itself_keeps_each_promise() -> None:
    """Under the small bounds and two counters a millisecond, under which the variants are refuted."""
    setup = variant_setup("no_carry", "")
    setup.subject, setup.demanded = ReferenceDriver, ()
    found = explore(setup, 100, 40, SEED)
    assert found.problem is None, str(found.problem)


def test_the_same_seed_gives_the_same_runs() -> None:
    one, two, other = (explore(Setup(ReferenceDriver), 10, 20, seed) for seed in (5, 5, 6))
    assert one.reached == two.reached
    assert one.reached != other.reached


def test_the_graph_of_what_happened_before_what_is_judged_as_a_whole() -> None:
    """HLC-3 along a path over two nodes, found by networkx alone: the greatest id known is not asked."""
    onlooker = Onlooker(Config(), ["HLC-3"])
    a, b = Watched(1), Watched(2)
    a.tail = onlooker._happens(a, issued=(9, 0))
    sent = onlooker._sent(a, (9, 0), True, 1)
    b.tail = onlooker._happens(b, sent.event or 0)
    b.tail = onlooker._happens(b, issued=(8, 5))
    with pytest.raises(PromiseBrokenError, match=r"HLC-3: \(8, 5\) after \(9, 0\), along 3 steps"):
        onlooker.finish()


def test_the_onlooker_names_what_is_broken() -> None:
    """A clock that merges a message from the year 2090 breaks the remote bound, for instance (HLC-4)."""
    onlooker, node = Onlooker(Config()), Watched(1, state=Hello("hlc").state())
    driver = ReferenceDriver()
    driver.hello(Hello("hlc"))
    start = {"event": "start", "wall": 1000, "monotonic": 0}
    onlooker.step(node, start, driver.step(start), 1000, None)
    far = Message((10**12, 0), 2, (10**12, 0), healthy=False, step=None)
    answer = driver.step({"event": "stamp", "wall": 1000, "monotonic": 0})
    merged = type(answer)(({"effect": "merged", "last": [10**12, 0]},), answer.state)
    event = {"event": "observe", "wall": 1000, "monotonic": 0, "remote": [10**12, 0], "sender": 2}
    with pytest.raises(PromiseBrokenError, match=r"HLC-4 remote: .* more than 250 ms ahead"):
        onlooker.step(node, event, merged, 1000, far)


def test_a_burst_of_more_than_a_millisecond_holds() -> None:
    """9,000 ids at one reading: the counter is full twice, production and reference agree (HLC.R2)."""
    drivers = ReferenceDriver(), ProductionDriver()
    events: list[dict[str, Any]] = [{"event": "start", "wall": 5000, "monotonic": 0}]
    events += [{"event": "reserve", "wall": 5000, "monotonic": 0}, {"event": "persisted"}]
    events += [{"event": "tick", "wall": 5000, "monotonic": 0}] * 9_000
    for driver in drivers:
        driver.hello(Hello("hlc"))
    last = ""
    for event in events:
        one, two = (driver.step(event) for driver in drivers)
        assert one == two
        for effect in one.effects:
            if effect["effect"] == "issued":
                assert effect["id"] > last
                last = effect["id"]
    assert one.effects[0]["timestamp"] == [5002, 9_000 - 1 - 2 * 4096]


def check(
    variant: str = "",
    breaks: str = "",
    examples: dict[str, int] | None = None,
    expect: Verdict = Verdict.CHECKED,
) -> Check:
    options = {"examples": examples or {"quick": 1000}, "steps": {"quick": 60}, "breaks": breaks}
    return Check("x", "hlc", "hypothesis", ("quick",), Verdict.CHECKED, ("HLC-1",), variant, options=options)
