"""The reference clock, rule by rule (``spec/hlc.md``)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchbird_reference.errors import CallerError, ConfigurationError, ReferenceLibraryError
from scratchbird_reference.hlc import (
    ZERO,
    Config,
    Confirm,
    Confirmed,
    Crash,
    Deferred,
    Durable,
    Effect,
    Effects,
    Event,
    HybridLogicalClock,
    Issued,
    Merged,
    Observe,
    Persist,
    Persisted,
    Reason,
    Refused,
    Reserve,
    Retire,
    Stamp,
    Stamped,
    Start,
    State,
    Stop,
    Tick,
    Volatile,
)
from scratchbird_reference.uuid8 import MAX_COUNTER, MAX_MS, MAX_RANDOM, Timestamp, UuidV8

T = 10_000_000
BEGIN = Timestamp(T, 0)
FULL = MAX_COUNTER
timestamps = st.builds(Timestamp, st.integers(0, MAX_MS), st.integers(0, MAX_COUNTER))


class Clock:
    """A clock under test: the state is kept here, the rules are the reference's."""

    def __init__(self, last: Timestamp = BEGIN, **config: int) -> None:
        """A node that is up since wall clock ``T``, monotonic clock 0, with its bound at ``T + 1000``."""
        self.rules = HybridLogicalClock(Config(**config))
        bound = self.rules.reservation(T)
        self.state = State(Durable(1, max(bound, last)), Volatile(last, anchor=T))

    def take(self, event: Event) -> Effects:
        self.state, effects = self.rules.step(self.state, event)
        return effects

    def one(self, event: Event) -> Effect:
        (effect,) = self.take(event)
        return effect

    def tick(self, wall: int = T, monotonic: int | None = None) -> Timestamp | Effect:
        """The timestamp that is issued, or the effect where none is."""
        effect = self.one(Tick(wall, wall - T if monotonic is None else monotonic))
        return effect.id.timestamp if isinstance(effect, Issued) else effect

    @property
    def volatile(self) -> Volatile:
        assert self.state.volatile is not None
        return self.state.volatile


def refusal(effect: object) -> Reason:
    assert isinstance(effect, Refused)
    return effect.reason


# --- order, carry, tick -----------------------------------------------------------------------------------


@given(timestamps, timestamps)
@settings(derandomize=True, database=None)
def test_r1_timestamps_are_ordered_by_millisecond_then_counter(a: Timestamp, b: Timestamp) -> None:
    """HLC.R1"""
    assert (a < b) == (a.ms < b.ms or (a.ms == b.ms and a.counter < b.counter))


def test_r2_the_successor_counts_and_carries() -> None:
    """HLC.R2"""
    rules = HybridLogicalClock()
    assert rules.successor(Timestamp(5, 0)) == (5, 1)
    assert rules.successor(Timestamp(5, FULL - 1)) == (5, FULL)
    assert rules.successor(Timestamp(5, FULL)) == (6, 0)


@given(timestamps, st.sampled_from([1, 2, 3, 4096]))
@settings(derandomize=True, database=None)
def test_r2_nothing_lies_between_a_timestamp_and_its_successor(timestamp: Timestamp, counters: int) -> None:
    """HLC.R2: also where a remote counter is past a small configured one."""
    rules = HybridLogicalClock(Config(counters_per_ms=counters))
    after = rules.successor(timestamp)
    assert after > timestamp
    assert after.counter < counters
    if timestamp.counter < counters:
        assert after.ms * counters + after.counter == timestamp.ms * counters + timestamp.counter + 1


def test_r3_a_tick_is_above_the_last_one_and_no_earlier_than_the_wall_clock() -> None:
    """HLC.R3"""
    clock = Clock()
    assert clock.tick(T) == (T, 1)
    assert clock.tick(T + 5) == (T + 5, 0)
    assert clock.tick(T + 4) == (T + 5, 1)
    assert clock.volatile.last == (T + 5, 1)


def test_r3_an_id_holds_the_timestamp_the_node_and_the_random_bits() -> None:
    """HLC.R3"""
    effect = Clock().one(Tick(T, 0, MAX_RANDOM))
    assert effect == Issued(UuidV8(Timestamp(T, 1), 1, MAX_RANDOM))


def test_r3_a_burst_carries_and_loses_nothing() -> None:
    """HLC.R2, HLC.R3: 9,000 ids at one reading of the clock."""
    clock = Clock()
    issued = [clock.tick(T) for _ in range(9_000)]
    assert issued == [Timestamp(T + n // 4096, n % 4096) for n in range(1, 9_001)]


# --- the two bounds ---------------------------------------------------------------------------------------


def test_r4_a_tick_past_the_own_bound_is_refused_and_changes_nothing() -> None:
    """HLC.R4"""
    clock = Clock(Timestamp(T + 250, FULL - 1))
    assert clock.tick(T) == (T + 250, FULL)
    before = clock.state
    assert clock.one(Tick(T, 0)) == Refused(Reason.AHEAD, 1, T)
    assert clock.state == before


@pytest.mark.parametrize("behind", [0, 1, 7, 250, 10_000])
def test_r4_the_refusal_says_after_how_long_to_try_again(behind: int) -> None:
    """HLC.R4: after so many milliseconds a tick is not refused, and after one less it is."""
    clock = Clock(Timestamp(T + 250, FULL))
    wall = T - behind
    effect = clock.one(Tick(wall, 0))
    assert effect == Refused(Reason.AHEAD, behind + 1, wall)
    assert isinstance(effect, Refused)
    assert effect.retry_after_ms is not None
    assert refusal(clock.tick(wall + effect.retry_after_ms - 1, 0)) is Reason.AHEAD
    assert clock.tick(wall + effect.retry_after_ms, 0) == (T + 251, 0)


def test_r5_a_merge_takes_the_later_timestamp_counter_included() -> None:
    """HLC.R5"""
    clock = Clock(Timestamp(T, 5))
    for remote, last in (
        (Timestamp(T, 4), Timestamp(T, 5)),
        (Timestamp(T, 5), Timestamp(T, 5)),
        (Timestamp(T, 9), Timestamp(T, 9)),
        (Timestamp(T - 1, FULL), Timestamp(T, 9)),
        (Timestamp(T + 1, 0), Timestamp(T + 1, 0)),
    ):
        assert clock.one(Observe(T, 0, remote, 2)) == Merged(last)
        assert clock.volatile.last == last
    assert clock.tick(T) == (T + 1, 1)


def test_r6_a_clock_past_the_remote_bound_is_refused_and_changes_nothing() -> None:
    """HLC.R6: the refusal names the sender and both clocks, and says when it would be merged."""
    clock = Clock()
    before = clock.state
    assert clock.one(Observe(T, 0, Timestamp(T + 501, 7), 3)) == Refused(
        Reason.DRIFT, 1, T, Timestamp(T + 501, 7), 3
    )
    assert refusal(clock.one(Observe(T, 0, Timestamp(MAX_MS, FULL), 3))) is Reason.DRIFT
    assert clock.state == before
    assert refusal(clock.one(Observe(T, 0, Timestamp(T + 500, FULL), 3))) is Reason.EARLY


def test_r6_an_early_message_waits_and_keeps_nobody_from_issuing_or_sending() -> None:
    """HLC.R6: a peer that is fast by less than the remote bound does not silence those that hear it."""
    clock = Clock()
    before = clock.state
    remote = Timestamp(T + 400, 7)
    assert clock.one(Observe(T, 0, remote, 3)) == Refused(Reason.EARLY, 151, T, remote, 3)
    assert clock.state == before
    assert clock.one(Stamp(T, 0)) == Stamped(clock.volatile.last)
    assert clock.tick(T, 0) == Timestamp(T, 1)
    assert refusal(clock.one(Observe(T + 150, 150, remote, 3))) is Reason.EARLY
    assert clock.one(Observe(T + 151, 151, remote, 3)) == Merged(remote)


def test_r6_what_is_merged_leaves_room_for_a_tick_even_with_a_full_counter() -> None:
    """HLC.R6: by the wall clock, by which ticks are judged, though a later time is believed in."""
    clock = Clock()
    remote = Timestamp(T - 250 + 249, FULL)  # The wall clock went back by as much as healthy ones differ.
    assert refusal(clock.one(Observe(T - 250, 0, Timestamp(T, 0), 3))) is Reason.EARLY
    assert isinstance(clock.one(Observe(T - 250, 0, remote, 3)), Merged)
    assert clock.tick(T - 250, 0) is not None
    back = Clock()  # Further back, ticks are refused anyhow, and merging goes on by what is believed.
    assert clock.tick(T - 250, 0) is not None
    assert back.one(Observe(T - 251, 0, Timestamp(T + 249, 0), 3)) == Merged(Timestamp(T + 249, 0))


def test_r6_a_wall_clock_set_back_does_not_make_the_node_refuse_its_peers() -> None:
    """HLC.R6, HLC.R9: the monotonic clock remembers."""
    clock = Clock()
    assert clock.one(Observe(T - 3_600_000, 100, Timestamp(T + 349, 0), 2)) == Merged(Timestamp(T + 349, 0))
    assert refusal(clock.one(Observe(T - 3_600_000, 100, Timestamp(T + 350, 0), 2))) is Reason.EARLY
    effect = clock.one(Observe(T - 3_600_000, 100, Timestamp(T + 601, 0), 2))
    assert effect == Refused(Reason.DRIFT, 1, T - 3_600_000, Timestamp(T + 601, 0), 2)


def test_r6_a_wall_clock_that_is_suspended_is_not_believed() -> None:
    """HLC.R6, HLC.R10"""
    clock = Clock()
    hour = T + 3_600_000
    assert refusal(clock.tick(hour, 0)) is Reason.SUSPENDED
    assert refusal(clock.one(Observe(hour, 0, Timestamp(T + 501, 0), 2))) is Reason.DRIFT
    assert refusal(clock.one(Observe(hour, 0, Timestamp(T + 500, 0), 2))) is Reason.EARLY
    assert isinstance(clock.one(Observe(hour, 0, Timestamp(T + 249, 0), 2)), Merged)


def test_r7_a_message_carries_the_last_timestamp() -> None:
    """HLC.R7"""
    clock = Clock(Timestamp(T + 250, 7))
    before = clock.state
    assert clock.one(Stamp(T, 0)) == Stamped(Timestamp(T + 250, 7))
    assert clock.state == before


def test_r7_a_message_waits_until_healthy_peers_accept_its_clock() -> None:
    """HLC.R7: after a crash the clock stands at the bound, further ahead than peers take."""
    clock = Clock()
    clock.take(Crash())
    clock.take(Start(T, 0))
    assert clock.one(Stamp(T, 0)) == Refused(Reason.AHEAD, 750, T)
    assert clock.one(Stamp(T + 749, 749)) == Refused(Reason.AHEAD, 1, T + 749)
    assert clock.one(Stamp(T + 750, 750)) == Stamped(Timestamp(T + 1000, 0))


def test_r7_a_message_is_judged_by_what_is_believed() -> None:
    """HLC.R7, HLC.R9: a node whose wall clock was set back goes on sending."""
    clock = Clock(Timestamp(T + 250, 0))
    assert isinstance(clock.one(Stamp(0, 0)), Stamped)


# --- configuration ----------------------------------------------------------------------------------------


def test_r8_the_defaults_are_the_documented_ones_and_do_not_contradict_each_other() -> None:
    """HLC.R8"""
    assert Config() == Config(500, 250, 250, 1000, 2, 4096)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_drift_ms": 0}, "max_drift_ms is 0: it must be a whole number, at least 1"),
        ({"max_ahead_ms": 0}, "max_ahead_ms is 0"),
        ({"max_skew_ms": 0}, "max_skew_ms is 0"),
        ({"reserve_ms": 0}, "reserve_ms is 0"),
        ({"confirm_quorum": 0}, "confirm_quorum is 0"),
        ({"max_drift_ms": -1}, "max_drift_ms is -1"),
        ({"max_drift_ms": MAX_MS + 1}, "max_drift_ms is 281474976710656"),
        ({"max_drift_ms": 500.0}, "max_drift_ms is 500.0: it must be a whole number"),
        ({"reserve_ms": "1000"}, "reserve_ms is '1000'"),
        ({"confirm_quorum": True}, "confirm_quorum is True"),
        ({"counters_per_ms": 0}, "counters_per_ms is 0: it must be a whole number from 1 to 4096"),
        ({"counters_per_ms": 4097}, "counters_per_ms is 4097"),
        ({"counters_per_ms": 2.0}, "counters_per_ms is 2.0"),
        ({"max_drift_ms": 499}, "raise max_drift_ms to at least 500 or lower one of the others"),
        ({"max_ahead_ms": 251}, "raise max_drift_ms to at least 501"),
        ({"max_skew_ms": 300}, "peers would refuse a healthy node in a burst"),
    ],
)
def test_r8_contradictory_settings_are_named_with_the_remedy(settings: dict[str, Any], message: str) -> None:
    """HLC.R8"""
    with pytest.raises(ConfigurationError) as caught:
        Config(**settings)
    assert message in str(caught.value)
    assert isinstance(caught.value, ReferenceLibraryError | ValueError)


@given(st.integers(1, 999), st.integers(1, 999), st.integers(0, 999), st.data())
@settings(derandomize=True, database=None)
def test_r8_healthy_nodes_are_never_refused_by_each_other(
    ahead: int, skew: int, slack: int, data: st.DataObject
) -> None:
    """HLC.R8: the furthest that a node issues is the furthest that a peer within the skew accepts."""
    config = {"max_ahead_ms": ahead, "max_skew_ms": skew, "max_drift_ms": ahead + skew + slack}
    sender = Clock(Timestamp(T + ahead, data.draw(st.integers(0, FULL - 1))), **config)
    sent = sender.tick(T)
    assert isinstance(sent, Timestamp)
    slow = T - data.draw(st.integers(0, skew))
    receiver = Clock(Timestamp(slow, 0), **config)
    receiver.state = State(receiver.state.durable, Volatile(Timestamp(slow, 0), anchor=slow))
    assert not receiver.rules.too_far_remote(sent, receiver.rules.believed(receiver.volatile, slow, 0))


# --- clocks that step -------------------------------------------------------------------------------------


def test_r9_a_wall_clock_set_back_stops_ticks_and_nothing_else() -> None:
    """HLC.R9"""
    clock = Clock()
    assert clock.tick(T - 250, 0) == (T, 1)
    assert clock.tick(T - 251, 0) == Refused(Reason.AHEAD, 1, T - 251)
    assert isinstance(clock.one(Stamp(T - 251, 0)), Stamped)
    assert isinstance(clock.one(Observe(T - 251, 0, Timestamp(T, 9), 2)), Merged)
    assert not clock.volatile.suspended
    assert clock.tick(T, 0) == (T, 10)


@pytest.mark.parametrize(
    "event",
    [
        Tick(T + 501, 0),
        Stamp(T + 501, 0),
        Reserve(T + 501, 0),
        Observe(T + 501, 0, Timestamp(T, 0), 2),
        Observe(T + 501, 0, Timestamp(MAX_MS, 0), 2),
        Confirm(T + 501, 0),
    ],
)
def test_r10_every_reading_looks_for_a_jump(event: Event) -> None:
    """HLC.R10"""
    clock = Clock()
    clock.take(event)
    assert clock.volatile.suspended
    assert clock.one(Tick(T, 0)) == Refused(Reason.SUSPENDED, None, T)
    assert clock.one(Reserve(T + 501, 0)) == Refused(Reason.SUSPENDED, None, T + 501)


def test_r10_the_edge_of_a_jump() -> None:
    """HLC.R10: as much as max_drift_ms is none, and neither is time that both clocks saw pass."""
    clock = Clock()
    assert clock.tick(T + 500, 0) == (T + 500, 0)
    assert not clock.volatile.suspended
    pause = Clock()
    assert isinstance(pause.take(Tick(T + 10**9, 10**9))[0], Persist)
    assert not pause.volatile.suspended


def test_r10_a_merge_that_needs_a_new_bound_is_refused_while_suspended() -> None:
    """HLC.R10, HLC.R12"""
    clock = Clock(max_drift_ms=5000, max_ahead_ms=2000)
    clock.take(Stamp(T + 5001, 0))
    remote = Timestamp(T + 1001, 0)
    assert clock.one(Observe(T + 5001, 0, remote, 2)) == Refused(Reason.SUSPENDED, None, T + 5001, remote, 2)
    assert clock.volatile.promised is None


def test_r10_a_pause_at_start_up_is_no_jump() -> None:
    """HLC.R10: what was before the start is not remembered."""
    clock = Clock()
    clock.take(Crash())
    clock.take(Start(T + 10**9, 3))
    assert not clock.volatile.suspended
    assert clock.volatile.anchor == T + 10**9 - 3


def test_r11_an_operator_confirms() -> None:
    """HLC.R11: a confirmed wall clock is the new anchor, and nothing else changes."""
    clock = Clock()
    hour = T + 3_600_000
    clock.take(Stamp(hour, 0))
    before = clock.volatile
    assert clock.one(Confirm(hour, 0, operator=True)) == Confirmed()
    assert clock.volatile == Volatile(before.last, anchor=hour)
    assert isinstance(clock.take(Tick(hour, 0))[0], Persist)


@pytest.mark.parametrize(
    ("walls", "confirmed"),
    [
        ((), False),
        ((0,), False),
        ((0, 0), True),
        ((250, -250), True),
        ((251, 0), False),
        ((-251, 251, 0), False),
        ((-251, 251, 0, 1), True),
    ],
)
def test_r11_peers_within_the_skew_confirm(walls: tuple[int, ...], confirmed: bool) -> None:
    """HLC.R11: as many as confirm_quorum."""
    clock = Clock()
    hour = T + 3_600_000
    clock.take(Stamp(hour, 0))
    before = clock.state
    peers = tuple((index, hour + wall) for index, wall in enumerate(walls, start=2))
    effect = clock.one(Confirm(hour, 0, peers=peers))
    if confirmed:
        assert effect == Confirmed()
    else:
        assert effect == Refused(Reason.UNCONFIRMED, None, hour)
        assert clock.state == before


def test_r11_a_node_can_not_confirm_itself() -> None:
    """HLC.R11"""
    clock = Clock()
    before = clock.state
    with pytest.raises(CallerError, match="node 1 can not confirm its own clock: ask other nodes"):
        clock.take(Confirm(T, 0, peers=((2, T), (1, T))))
    assert clock.state == before


# --- the durable bound ------------------------------------------------------------------------------------


def test_r12_nothing_above_the_bound_is_issued_or_merged() -> None:
    """HLC.R12: the bound itself is covered."""
    clock = Clock(Timestamp(T + 999, FULL))
    assert clock.tick(T + 1000) == (T + 1000, 0)
    for event in (Tick(T + 1000, 1000), Observe(T + 1000, 1000, Timestamp(T + 1000, 1), 2)):
        fresh = Clock(Timestamp(T + 1000, 0))
        assert fresh.take(event) == (Persist(Timestamp(T + 2000, 0)), Deferred(Timestamp(T + 1000, 1)))
        assert fresh.volatile.last == (T + 1000, 0)
        assert fresh.take(event) == (Deferred(Timestamp(T + 1000, 1)),)
        assert fresh.take(Persisted()) == ()
        assert fresh.state.durable.bound == (T + 2000, 0)
        assert isinstance(fresh.one(event), Issued | Merged)
    assert clock.one(Observe(T + 1000, 1000, Timestamp(T + 1000, 0), 2)) == Merged(Timestamp(T + 1000, 0))


def test_r13_a_reservation_reaches_past_the_highest_in_sight() -> None:
    """HLC.R13: past the next id, and past what is merged."""
    clock = Clock(reserve_ms=1200)
    assert clock.one(Reserve(T + 600, 600)) == Persist(Timestamp(T + 1800, 0))
    merging = Clock()
    assert merging.take(Observe(T + 900, 900, Timestamp(T + 1100, 0), 2))[0] == Persist(
        Timestamp(T + 2100, 0)
    )
    late = Clock()  # Listening alone does not move the bound by our own wall clock, which may be wrong.
    assert late.take(Observe(T + 5000, 5000, Timestamp(T + 1100, 0), 2))[0] == Persist(Timestamp(T + 2100, 0))


def test_r13_one_write_at_a_time_and_none_that_is_not_needed() -> None:
    """HLC.R13"""
    clock = Clock()
    assert clock.take(Reserve(T, 0)) == ()
    clock.take(Reserve(T + 1, 1))
    before = clock.state
    assert clock.volatile.promised == (T + 1001, 0)
    assert clock.take(Reserve(T + 2, 2)) == ()
    assert clock.state == before
    clock.take(Persisted())
    assert clock.take(Reserve(T + 1, 1)) == ()


def test_r13_a_reservation_is_refused_where_a_tick_would_be() -> None:
    """HLC.R13: so that a crash loop does not push the bound away."""
    clock = Clock()
    for boot in range(5):
        clock.take(Crash())
        clock.take(Start(T + boot, 0))
        assert clock.one(Reserve(T + boot, 0)) == Refused(Reason.AHEAD, 750 - boot, T + boot)
    assert clock.state.durable.bound == (T + 1000, 0)


def test_r14_after_a_start_ids_go_on_above_the_bound() -> None:
    """HLC.R14, also with the wall clock set back while the node was down."""
    clock = Clock()
    clock.take(Crash())
    assert clock.state.volatile is None
    clock.take(Start(T - 5000, 0))
    assert clock.volatile == Volatile(Timestamp(T + 1000, 0), anchor=T - 5000)
    assert clock.tick(T - 5000, 0) == Refused(Reason.AHEAD, 5750, T - 5000)
    assert clock.take(Tick(T + 750, 5750))[-1] == Deferred(Timestamp(T + 1000, 1))


def test_r14_the_first_id_of_all_waits_for_a_bound() -> None:
    """HLC.R14, HLC.R12"""
    rules = HybridLogicalClock()
    state, effects = rules.step(State(Durable(1)), Start(T, 0))
    assert effects == ()
    assert state.volatile == Volatile(ZERO, anchor=T)
    state, effects = rules.step(state, Tick(T, 0))
    assert effects == (Persist(Timestamp(T + 1000, 0)), Deferred(Timestamp(T, 0)))


def test_r15_a_clean_stop_stores_the_exact_timestamp() -> None:
    """HLC.R15"""
    clock = Clock(Timestamp(T + 3, 9))
    assert clock.one(Stop()) == Persist(Timestamp(T + 3, 9))
    clock.take(Persisted())
    clock.take(Crash())
    assert clock.state == State(Durable(1, Timestamp(T + 3, 9)))
    clock.take(Start(T + 3, 0))
    assert clock.take(Tick(T + 3, 0))[-1] == Deferred(Timestamp(T + 3, 10))


def test_r15_a_stop_waits_for_the_write_under_way() -> None:
    """HLC.R15, HLC.R13"""
    clock = Clock()
    clock.take(Reserve(T + 900, 900))
    before = clock.state
    assert clock.one(Stop()) == Deferred(Timestamp(T, 0))
    assert clock.state == before
    clock.take(Persisted())
    assert clock.one(Stop()) == Persist(Timestamp(T, 0))


@pytest.mark.parametrize(
    "event",
    [
        Tick(T, 0),
        Stamp(T, 0),
        Reserve(T, 0),
        Observe(T, 0, Timestamp(T, 0), 2),
        Confirm(T, 0, operator=True),
        Stop(),
    ],
)
def test_r15_a_clock_that_stops_takes_part_in_nothing(event: Event) -> None:
    """HLC.R15"""
    clock = Clock()
    clock.take(Stop())
    before = clock.state
    assert clock.one(event) == Refused(Reason.STOPPING)
    assert clock.state == before


def test_r15_a_crash_during_a_stop_leaves_the_old_bound() -> None:
    """HLC.R15: which is safe, for it is the higher one."""
    clock = Clock()
    clock.take(Stop())
    clock.take(Crash())
    assert clock.state.durable.bound == (T + 1000, 0)


def test_r16_a_node_id_is_retired_and_never_comes_back() -> None:
    """HLC.R16"""
    clock = Clock()
    with pytest.raises(CallerError, match="Retire at node 1, which is up: stop it first"):
        clock.take(Retire(2))
    clock.take(Crash())
    assert clock.take(Retire(2)) == ()
    assert clock.state == State(Durable(2, ZERO, (1,)))
    clock.take(Retire(3))
    assert clock.state.durable.retired == (1, 2)
    for used in (1, 2, 3):
        with pytest.raises(CallerError, match=f"node id {used} was used here before"):
            clock.take(Retire(used))


def test_r17_past_the_end_of_the_range_nothing_is_issued() -> None:
    """HLC.R17"""
    rules = HybridLogicalClock()
    volatile = Volatile(Timestamp(MAX_MS, FULL - 1), anchor=MAX_MS - 5)
    state = State(Durable(1, Timestamp(MAX_MS, FULL)), volatile)
    state, effects = rules.step(state, Tick(MAX_MS, 5))
    assert isinstance(effects[0], Issued)
    for event in (Tick(MAX_MS, 5), Reserve(MAX_MS, 5)):
        assert rules.step(state, event) == (state, (Refused(Reason.EXHAUSTED, None, MAX_MS),))


def test_r17_the_last_bound_is_the_last_timestamp() -> None:
    """HLC.R17, HLC.R13"""
    rules = HybridLogicalClock()
    assert rules.reservation(MAX_MS - 1000) == (MAX_MS, 0)
    assert rules.reservation(MAX_MS - 999) == (MAX_MS, FULL)
    assert rules.reservation(MAX_MS) == (MAX_MS, FULL)


# --- impossible events and bad values ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    [
        Tick(T, 0),
        Stamp(T, 0),
        Reserve(T, 0),
        Observe(T, 0, Timestamp(T, 0), 2),
        Confirm(T, 0, operator=True),
        Persisted(),
        Stop(),
        Crash(),
    ],
)
def test_a_node_that_is_down_can_only_be_started_or_retired(event: Event) -> None:
    name = type(event).__name__
    with pytest.raises(CallerError, match=f"{name} at node 1, which is down: start it"):
        HybridLogicalClock().step(State(Durable(1)), event)


def test_a_node_that_is_up_can_not_be_started() -> None:
    with pytest.raises(CallerError, match="Start at node 1, which is up: deliver Crash first"):
        Clock().take(Start(T, 0))


def test_a_write_that_nobody_asked_for_can_not_be_done() -> None:
    with pytest.raises(CallerError, match="Persisted although no write is under way"):
        Clock().take(Persisted())


@pytest.mark.parametrize("value", [-1, MAX_MS + 1, 0.5, "5", None, True])
@pytest.mark.parametrize("which", ["wall", "monotonic"])
@pytest.mark.parametrize(
    ("kind", "more"),
    [
        (Start, {}),
        (Tick, {}),
        (Stamp, {}),
        (Reserve, {}),
        (Confirm, {}),
        (Observe, {"remote": Timestamp(T, 0), "sender": 2}),
    ],
)
def test_clocks_out_of_range_are_named(kind: Any, more: dict[str, Any], which: str, value: Any) -> None:
    event = kind(**{"wall": T, "monotonic": 0, which: value, **more})
    clock = Clock()
    before = clock.state
    with pytest.raises(CallerError, match=f"{which} clock in ms "):
        clock.take(event)
    assert clock.state == before


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Tick(T, 0, -1), "random -1"),
        (Tick(T, 0, MAX_RANDOM + 1), "random 70368744177664"),
        (Observe(T, 0, Timestamp(MAX_MS + 1, 0), 2), "milliseconds 281474976710656"),
        (Observe(T, 0, Timestamp(T, FULL + 1), 2), "counter 4096"),
        (Observe(T, 0, Timestamp(T, 0), 0), "node id 0"),
        (Observe(T, 0, Timestamp(T, 0), 65536), "node id 65536"),
        (Retire(0), "node id 0"),
        (Retire(65536), "node id 65536"),
        (Confirm(T, 0, peers=((0, T),)), "node id 0"),
        (Confirm(T, 0, peers=((2, -1),)), "wall clock in ms of node 2 -1 is out of range"),
        (Confirm(T, 0, peers=((2, T), (2, T))), "name a node twice: each peer has one vote"),
    ],
)
def test_other_values_out_of_range_are_named(event: Event, message: str) -> None:
    clock = Clock()
    before = clock.state
    with pytest.raises(CallerError) as caught:
        clock.take(event)
    assert message in str(caught.value)
    assert clock.state == before


@pytest.mark.parametrize("node", [0, 65536, -1])
def test_a_durable_state_out_of_range_is_refused(node: int) -> None:
    with pytest.raises(CallerError, match=f"node id {node}"):
        Durable(node)
    with pytest.raises(CallerError, match="counter 4096"):
        Durable(1, Timestamp(0, 4096))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Observe(T, 0, (T, 0), 2),  # type: ignore[arg-type]  # Bad input.
        lambda: Confirm(T, 0, operator="no"),  # type: ignore[arg-type]  # Bad input.
        lambda: Confirm(T, 0, peers=((2, T, 3),)),  # type: ignore[arg-type]  # Bad input.
        lambda: Tick(1 << 20_000, 0),
    ],
)
def test_values_of_a_wrong_shape_are_named(make: Any) -> None:
    clock = Clock()
    with pytest.raises(CallerError, match=r"no timestamp|neither True nor False|no peer|20001 bits"):
        clock.take(make())


@pytest.mark.parametrize("retired", [(0,), (65536,), (7,)])
def test_r16_a_durable_state_with_impossible_retired_ids_is_refused(retired: tuple[int, ...]) -> None:
    with pytest.raises(CallerError, match=r"out of range|never comes back"):
        Durable(7, retired=retired)
