"""The clock's theorems hold, and each of them can fail."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import z3

from scratchbird_proofs import hlc, hlc_behaviour, hlc_limits, hlc_time, hlc_waits
from scratchbird_proofs.hlc_rules import COUNTERS, Rules, counter_of, ms_of, pack, settings
from scratchbird_proofs.hlc_variants import VARIANTS
from scratchbird_proofs.registry import theorems
from scratchbird_proofs.theorem import Judgement, Obligation, Term, Theorem, judge, prove

MODULES = (hlc, hlc_behaviour, hlc_time, hlc_waits, hlc_limits)
ALL = {item.id: item for item in theorems()}


def under(rules: Rules, name: str) -> Theorem:
    """The theorem of that name about other rules."""
    stated: Iterable[Theorem] = (item for module in MODULES for item in module.theorems(rules))
    return next(item for item in stated if item.id == name)


def judgements(theorem: Theorem) -> dict[str, Judgement]:
    return {item.obligation: item.judgement for item in prove(theorem).findings}


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith("hlc.")])
def test_it_is_proved(name: str) -> None:
    assert prove(ALL[name]).why_not == ""


@pytest.mark.parametrize(
    ("variant", "name", "obligation"),
    [
        ("no_carry", "hlc.successor_is_plus_one", "carry"),
        ("no_carry", "hlc.invariant_is_kept", "tick"),
        ("stall_and_reset", "hlc.clock_never_goes_back", "tick"),
        ("merge_ignores_counter", "hlc.invariant_is_kept", "observe"),
        ("merge_resets_counter", "hlc.clock_never_goes_back", "observe"),
        ("no_remote_bound", "hlc.merged_within_remote_bound", "observe"),
        ("no_remote_bound", "hlc.bound_stays_within_reach", "observe"),
        ("merges_at_once", "hlc.merged_within_remote_bound", "observe"),
        ("merges_at_once", "hlc.bound_stays_within_reach", "observe"),
        ("merges_at_once", "hlc.clock_is_near_what_was_believed", "observe"),
        ("merges_at_once", "hlc.a_merge_leaves_room_for_a_tick", "merge and tick"),
        ("merges_at_once", "hlc.fast_peers_silence_nobody", "observe"),
        ("merges_at_once", "hlc.healthy_node_waits_for_max_skew", "observe"),
        ("merges_at_once", "hlc.healthy_node_waits_for_max_skew", "tick, after a merge"),
        ("early_by_belief", "hlc.a_merge_leaves_room_for_a_tick", "merge and tick"),
        ("early_by_belief", "hlc.merged_within_remote_bound", "observe"),
        ("early_by_belief", "hlc.fast_peers_silence_nobody", "observe"),
        ("early_by_belief", "hlc.healthy_node_waits_for_max_skew", "tick, after a merge"),
        ("carries_unchecked", "hlc.healthy_message_waits_for_max_skew", "at a healthy node"),
        ("believes_wall", "hlc.healthy_message_waits_for_max_skew", "where the wall clock is wrong"),
        ("one_bound", "hlc.issued_within_own_bound", "tick"),
        ("one_bound", "hlc.ids_in_a_span_of_time", "tick"),
        ("no_upper_bound", "hlc.invariant_is_kept", "tick"),
        ("bound_not_merged", "hlc.bound_is_durable_first", "observe"),
        ("believes_wall", "hlc.set_back_refuses_only_ticks", "stamp"),
        ("eager_reserve", "hlc.bound_stays_within_reach", "reserve"),
        ("carries_unchecked", "hlc.carried_within_own_bound", "stamp"),
        ("blind_hop", "hlc.invariant_is_kept", "observe"),
    ],
)
def test_a_wrong_rule_breaks_a_proof(variant: str, name: str, obligation: str) -> None:
    assert judgements(under(VARIANTS[variant](settings()), name))[obligation] is Judgement.REFUTED


class CarryForgetsTheCounter(Rules):
    """A full counter carries into the millisecond but stays full: ids are lost, none goes back."""

    def successor(self, timestamp: Term) -> Term:
        full = counter_of(timestamp) >= COUNTERS - 1
        return z3.If(full, pack(ms_of(timestamp) + 1, COUNTERS - 1), timestamp + 1)


def test_a_carry_that_is_wrong_without_going_back_is_caught_too() -> None:
    rules = CarryForgetsTheCounter(settings())
    assert judgements(under(rules, "hlc.successor_is_plus_one"))["carry"] is Judgement.REFUTED
    assert judgements(under(rules, "hlc.burst_limit_is_reached"))["one more"] is Judgement.REFUTED
    # Order alone does not see it: that is why the rate is a property of its own.
    assert judgements(under(rules, "hlc.ids_of_a_node_increase")) == {"tick": Judgement.PROVED}


def test_breaking_the_carry_in_place_fails_the_theorems_of_the_registry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Rules, "successor", lambda self, t: z3.If(counter_of(t) == COUNTERS - 1, t, t + 1))
    broken = {item.id for item in theorems() if item.id.startswith("hlc.") and not prove(item).proved}
    assert {
        "hlc.successor_is_plus_one",
        "hlc.invariant_is_kept",
        "hlc.ids_of_a_node_increase",
        "hlc.id_is_above_its_past",
        "hlc.id_is_above_all_seen",
        "hlc.ids_in_a_span_of_time",
        "hlc.burst_limit_is_reached",
    } <= broken


def tick_obligation() -> Obligation:
    (obligation,) = ALL["hlc.ids_of_a_node_increase"].obligations()
    return obligation


def without(obligation: Obligation, *names: str) -> Obligation:
    kept = {name: item for name, item in obligation.assumptions.items() if name not in names}
    assert len(kept) == len(obligation.assumptions) - len(names)
    return Obligation(obligation.name, kept, obligation.conclusion)


def test_without_the_invariant_there_is_no_proof() -> None:
    weaker = without(tick_obligation(), "the invariant holds at the node that acts")
    assert judge(weaker).judgement is Judgement.REFUTED


def test_without_the_step_there_is_no_proof() -> None:
    assert judge(without(tick_obligation(), "the node takes a step: tick")).judgement is Judgement.REFUTED


def test_an_assumption_too_many_is_noticed() -> None:
    obligation = tick_obligation()
    more = {**obligation.assumptions, "and it is not": z3.Not(z3.And(*obligation.assumptions.values()))}
    finding = judge(Obligation("tick", more, obligation.conclusion))
    assert finding.judgement is Judgement.VACUOUS


def test_an_assumption_that_takes_away_the_interesting_case_is_noticed() -> None:
    theorem = ALL["hlc.healthy_nodes_accept_each_other"]
    (obligation,) = theorem.obligations()
    skew = settings().max_skew
    easy = {**obligation.assumptions, "no skew worth the name": skew + settings().max_ahead < 1}
    assert judge(Obligation("observe", easy, obligation.conclusion)).judgement is Judgement.VACUOUS


def test_without_the_sound_configuration_healthy_nodes_are_refused() -> None:
    (obligation,) = ALL["hlc.healthy_nodes_accept_each_other"].obligations()
    assert judge(without(obligation, "the configuration is sound")).judgement is Judgement.REFUTED


def test_without_a_healthy_sender_there_is_no_promise() -> None:
    (obligation,) = ALL["hlc.healthy_nodes_accept_each_other"].obligations()
    assert judge(without(obligation, "the sender's clocks are healthy")).judgement is Judgement.REFUTED


@pytest.mark.parametrize("name", ["stamp", "stamp, after a merge", "tick", "tick, after a merge"])
def test_without_a_healthy_wall_clock_a_node_waits_longer(name: str) -> None:
    known = {item.name: item for item in ALL["hlc.healthy_node_waits_for_max_skew"].obligations()}
    weaker = without(known[name], "its wall clock is still healthy")
    assert judge(weaker).judgement is Judgement.REFUTED


def test_a_wall_clock_that_goes_back_makes_a_healthy_node_hold_its_messages_back() -> None:
    """Hence "for at most max_skew", and not "never"."""
    known = {item.name: item for item in ALL["hlc.healthy_node_waits_for_max_skew"].obligations()}
    obligation = known["stamp, after a merge"]
    waits = Obligation("waits", {**obligation.assumptions, **obligation.reaches}, obligation.conclusion)
    assert judge(waits).judgement is Judgement.PROVED


@pytest.mark.parametrize(
    ("theorem", "name"),
    [
        ("hlc.a_merge_leaves_room_for_a_tick", "merge and tick"),
        ("hlc.fast_peers_silence_nobody", "observe"),
    ],
)
def test_a_wall_clock_that_is_set_back_far_leaves_no_room(theorem: str, name: str) -> None:
    known = {item.name: item for item in ALL[theorem].obligations()}
    weaker = without(known[name], "it is awake, and set back by no more than max_skew")
    assert judge(weaker).judgement is Judgement.REFUTED


def test_the_first_tick_after_a_crash_can_not_come_earlier() -> None:
    obligation, _ = ALL["hlc.first_tick_waits_no_longer"].obligations()
    assert judge(without(obligation, "its wall clock has come this far")).judgement is Judgement.REFUTED


def test_every_kind_of_step_is_in_the_induction() -> None:
    names = [item.name for item in ALL["hlc.invariant_is_kept"].obligations()]
    expected = ["start", "tick", "observe", "stamp", "reserve", "persisted", "confirm", "stop", "crash"]
    assert names == expected
