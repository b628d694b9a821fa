"""The clock that programs use: bursts, clocks that are set, peers, forks."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from scratchbird import Clock, Timestamp, UuidV8, VolatileBoundStore
from scratchbird.errors import (
    BoundWriteError,
    CallerError,
    ClockAheadError,
    ClockExhaustedError,
    ClockStoppedError,
    ClockSuspendedError,
    ClockUnconfirmedError,
    RemoteDriftError,
    RemoteEarlyError,
    ScratchbirdError,
)
from scratchbird.timestamp import MAX_COUNTER, MAX_MS

NOW = 1_700_000_000_000


# --- the clock that programs use --------------------------------------------------------------------------


def test_ids_of_real_clocks_increase_and_are_close_to_the_wall_clock() -> None:
    with Clock(node_id=513, store=VolatileBoundStore()) as clock:
        ids = [clock.tick() for _ in range(5000)]
        assert all(a < b for a, b in itertools.pairwise(ids))
        assert {mine.node_id for mine in ids} == {513}
        wall, monotonic = clock.read_clocks()
        assert monotonic > 0
        assert abs(clock.last.ms - wall) < 60_000
        assert len({mine.random for mine in ids}) > 4990


def test_a_reading_is_not_used_for_ever() -> None:
    """A tick may reuse a reading until the kernel's next timer interrupt, and no longer."""
    clock = Clock(node_id=7, store=VolatileBoundStore())
    first = clock.tick()
    started, _ = clock.read_clocks()
    while clock.read_clocks()[0] < started + 100:
        pass
    assert clock.tick().ms > first.ms
    clock.stop()


def test_random_bits_differ_between_clocks() -> None:
    drawn = {Clock(node_id=7, store=VolatileBoundStore()).tick().random for _ in range(50)}
    assert len(drawn) == 50


@pytest.mark.parametrize("count", [1, 2, 4095, 4096, 4097, 10_000])
def test_many_is_the_same_as_one_after_the_other(count: int, hands: Any) -> None:
    one, many = hands.clock(), hands.clock()
    for step in range(3):
        singles = [one.tick().timestamp for _ in range(count)]
        batch = many.tick_many(count)
        assert type(batch) is bytes
        ids = [UuidV8.from_bytes(batch[at : at + 16]) for at in range(0, len(batch), 16)]
        assert [mine.timestamp for mine in ids] == singles
        assert {mine.node_id for mine in ids} == {7}
        assert len({mine.random for mine in ids}) == count
        assert many.last == one.last
        hands.pass_(step)


def test_many_is_all_or_nothing(hands: Any) -> None:
    clock = hands.clock()
    clock.tick_many(200 * 4096)
    before = clock.last
    with pytest.raises(ClockAheadError) as refused:
        clock.tick_many(100 * 4096)
    assert clock.last == before
    assert refused.value.retry_after_ms == 49
    clock.tick_many(50 * 4096)


def test_many_names_the_most_that_can_be_asked_for(hands: Any) -> None:
    assert len(hands.clock().tick_many(250 * 4096)) == 250 * 4096 * 16
    for count in (0, -1, 250 * 4096 + 1, 1 << 80, 1.0, None, True):
        with pytest.raises(CallerError, match="count of ids at once"):
            hands.clock().tick_many(count)  # type: ignore[arg-type]  # Bad input.


def test_a_burst_is_refused_at_the_own_bound_and_goes_on_when_time_has_passed(hands: Any) -> None:
    clock = hands.clock()
    clock.tick_many(250 * 4096)
    for _ in range(4096):
        clock.tick()
    before = clock.state()
    with pytest.raises(ClockAheadError) as refused:
        clock.tick()
    assert (refused.value.retry_after_ms, refused.value.wall) == (1, NOW)
    assert clock.state() == before
    hands.pass_(1)
    assert clock.tick().timestamp == (NOW + 251, 0)


def test_a_wall_clock_set_back_stops_ticks_and_nothing_else(hands: Any) -> None:
    clock = hands.clock()
    clock.tick()
    hands.wall -= 250
    assert clock.tick().timestamp == (NOW, 1)
    hands.wall -= 1
    with pytest.raises(ClockAheadError) as refused:
        clock.tick()
    assert refused.value.retry_after_ms == 1
    hands.wall -= 3_600_000
    assert clock.observe((NOW + 249, 9), sender=2) == (NOW + 249, 9)  # By what the monotonic clock remembers.
    assert clock.stamp() == (NOW + 249, 9)


def test_a_wall_clock_that_went_back_a_little_is_not_silenced_by_a_fast_peer(hands: Any) -> None:
    """Rule HLC.R6: what is early is judged by the clock by which ticks are judged."""
    clock = hands.clock()
    clock.tick()
    hands.wall -= 250
    with pytest.raises(RemoteEarlyError) as early:
        clock.observe((NOW, 0), sender=2)
    assert early.value.retry_after_ms == 1
    assert clock.observe((NOW - 1, MAX_COUNTER), sender=2) == (NOW, 0)
    hands.pass_(1)
    assert clock.observe((NOW, MAX_COUNTER), sender=2) == (NOW, MAX_COUNTER)
    assert clock.tick().timestamp == (NOW + 1, 0)


def test_after_a_crash_a_stamp_waits_until_peers_accept_it(hands: Any) -> None:
    store = VolatileBoundStore()
    hands.clock(store).tick()
    clock = hands.clock(store)
    with pytest.raises(ClockAheadError) as refused:
        clock.stamp()
    assert refused.value.retry_after_ms == 750
    hands.pass_(750)
    assert clock.stamp() == (NOW + 1000, 0)


def test_a_fast_peer_waits_and_does_not_silence_us(hands: Any) -> None:
    """Rule HLC.R6: merged at once, its clock would be where our own ticks are refused."""
    clock = hands.clock()
    before = clock.last
    with pytest.raises(RemoteEarlyError) as early:
        clock.observe((NOW + 400, 3), sender=2)
    assert (early.value.sender, early.value.remote, early.value.wall) == (2, (NOW + 400, 3), NOW)
    assert early.value.retry_after_ms == 151
    assert "deliver it again in 151 ms" in str(early.value)
    assert clock.last == before
    assert clock.tick().timestamp == (NOW, 0)
    assert clock.stamp() == (NOW, 0)
    hands.pass_(150)
    with pytest.raises(RemoteEarlyError):
        clock.observe((NOW + 400, 3), sender=2)
    hands.pass_(1)
    assert clock.observe((NOW + 400, 3), sender=2) == (NOW + 400, 3)


def test_a_jump_suspends_until_it_is_confirmed(hands: Any) -> None:
    clock = hands.clock()
    clock.tick()
    hands.wall += 501
    for call in (clock.tick, lambda: clock.tick_many(5), clock.reserve):
        with pytest.raises(ClockSuspendedError) as refused:
            call()
        assert refused.value.wall == hands.wall
    assert clock.suspended
    assert clock.observe((NOW + 3, 0), sender=2) == (NOW + 3, 0)
    with pytest.raises(RemoteDriftError):
        clock.observe((NOW + 501, 0), sender=2)
    with pytest.raises(ClockUnconfirmedError):
        clock.confirm(peers=[(2, hands.wall), (3, hands.wall - 251)])
    with pytest.raises(ClockUnconfirmedError):
        clock.confirm()
    clock.confirm(peers=[(2, hands.wall), (3, hands.wall - 250)])
    assert not clock.suspended
    assert clock.tick().timestamp == (NOW + 501, 0)
    hands.wall += 1000
    with pytest.raises(ClockSuspendedError):
        clock.tick()
    clock.confirm(operator=True)
    assert clock.tick().ms == NOW + 1501


def test_a_jump_of_the_drift_bound_exactly_and_a_suspend_are_no_jumps(hands: Any) -> None:
    clock = hands.clock()
    hands.wall += 500
    clock.tick()
    hands.pass_(8 * 3_600_000)
    clock.tick()
    assert not clock.suspended


def test_suspended_and_beyond_the_bound_is_refused(hands: Any) -> None:
    clock = hands.clock()
    hands.wall += 501
    with pytest.raises(ClockSuspendedError):
        clock.observe((NOW, 0), sender=2)


def test_a_remote_clock_too_far_ahead_names_the_sender_and_both_clocks(hands: Any) -> None:
    clock = hands.clock()
    before = clock.last
    with pytest.raises(RemoteEarlyError):
        clock.observe((NOW + 500, MAX_COUNTER), sender=2)
    with pytest.raises(RemoteDriftError) as refused:
        clock.observe((NOW + 501, 0), sender=2)
    error = refused.value
    assert (error.sender, error.remote, error.wall, error.retry_after_ms) == (2, (NOW + 501, 0), NOW, 1)
    for part in ("node 2", str(NOW + 501), str(NOW)):
        assert part in str(error)
    assert clock.last == before


def test_observes_ids_in_every_form(hands: Any) -> None:
    clock = hands.clock()
    remote = UuidV8((NOW + 1, 5), 9, 1)
    assert clock.observe(remote, sender=9) == (NOW + 1, 5)
    assert clock.observe(UuidV8((NOW + 2, 5), 9, 1).to_uuid(), sender=9) == (NOW + 2, 5)
    assert clock.observe(Timestamp(NOW + 3, 5), sender=9) == (NOW + 3, 5)
    assert clock.observe((NOW + 3, 6), sender=9) == (NOW + 3, 6)
    assert type(clock.observe(remote, sender=9)) is Timestamp


@pytest.mark.parametrize("value", [None, 5, "x", uuid.uuid4(), (1, 2, 3), (NOW, 4096), (-1, 0), b"0" * 16])
def test_observes_nothing_else(value: Any, hands: Any) -> None:
    clock = hands.clock()
    clock.tick()
    before = clock.state()
    with pytest.raises(CallerError):
        clock.observe(value, sender=2)
    for sender in (0, 65536, None):
        with pytest.raises(CallerError):
            clock.observe((NOW, 0), sender=sender)  # type: ignore[arg-type]  # Bad input.
    assert clock.state() == before


def test_the_end_of_the_range_is_an_error_of_the_clock(hands: Any) -> None:
    hands.wall = MAX_MS
    clock = hands.clock()
    assert len(clock.tick_many(4096)) == 4096 * 16
    with pytest.raises(ClockExhaustedError, match="retire its node id"):
        clock.tick()


@pytest.mark.parametrize("wall", [-1, MAX_MS + 1, None, 1.5])
def test_a_wall_clock_out_of_range_is_refused(wall: Any, hands: Any) -> None:
    clock = hands.clock()
    clock.tick()
    hands.wall = wall
    with pytest.raises(CallerError, match="wall clock"):
        clock.tick()


# --- reading the clocks (rule HLC.R18) --------------------------------------------------------------------


def readings(monotonic: list[int], wall: list[int]) -> tuple[Clock, Iterator[int], Iterator[int]]:
    left, right = iter(monotonic), iter(wall)
    clock = Clock(
        node_id=7, store=VolatileBoundStore(), wall=lambda: next(right), monotonic=lambda: next(left)
    )
    return clock, left, right


def test_readings_that_are_apart_are_repeated() -> None:
    clock, left, right = readings([0, 600, 601, 603, 99], [NOW, NOW + 602, 99])
    assert clock.state()["anchor"] == NOW + 602 - 603
    assert (list(left), list(right)) == ([99], [99])


def test_a_monotonic_clock_that_runs_backwards_is_read_again() -> None:
    clock, left, _ = readings([600, 0, 1, 1], [NOW, NOW + 1])
    assert clock.state()["anchor"] == NOW
    assert list(left) == []


def test_readings_are_repeated_a_bounded_number_of_times_and_the_closest_is_taken() -> None:
    apart = [30, 20, 10, 9, 8, 7, 5, 6]
    monotonic = [value for attempt, gap in enumerate(apart) for value in (attempt * 100, attempt * 100 + gap)]
    clock, left, right = readings([*monotonic, 99], [NOW + attempt * 100 for attempt in range(8)] + [99])
    assert clock.state()["anchor"] == NOW + 600 - 605
    assert (list(left), list(right)) == ([99], [99])


def test_a_tick_that_was_refused_for_an_old_reading_is_tried_with_a_new_one() -> None:
    """A thread that was paused between reading and claiming must not be told to wait."""
    clock, *_ = readings([0] * 7 + [400] * 3, [NOW, NOW, NOW + 1, NOW - 51, NOW + 400])
    clock.observe((NOW + 249, 4095), sender=2)
    assert clock.tick().timestamp == (NOW + 400, 0)


def paused_at_the_wall_clock(hands: Any, meanwhile: Callable[[Clock], None]) -> Clock:
    """A clock; after its next reading of the wall clock, ``meanwhile`` runs, as if the thread was paused."""
    waiting: list[Callable[[Clock], None]] = []

    def wall() -> int:
        value: int = hands.wall
        if waiting:
            waiting.pop()(clock)
        return value

    clock = Clock(node_id=7, store=VolatileBoundStore(), wall=wall, monotonic=lambda: hands.monotonic)
    clock.tick()
    waiting.append(meanwhile)
    return clock


CALLS: list[Callable[[Clock], object]] = [
    lambda c: c.tick(),
    lambda c: c.tick_many(3),
    lambda c: c.observe((NOW, 0), sender=2),
    lambda c: c.stamp(),
    lambda c: c.reserve(),
    lambda c: c.confirm(operator=True),
    lambda c: c.confirm(peers=iter([(2, NOW), (3, NOW)])),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_reading_from_before_a_confirmation_does_not_suspend_the_clock_again(call: Any, hands: Any) -> None:
    def set_right(clock: Clock) -> None:
        hands.wall = NOW
        clock.confirm(operator=True)

    clock = paused_at_the_wall_clock(hands, set_right)
    hands.wall += 3_600_000  # What the paused call reads.
    call(clock)
    assert not clock.suspended
    assert clock.state()["anchor"] == NOW - hands.monotonic


def test_readings_are_repeated_a_bounded_number_of_times_where_each_is_confirmed(hands: Any) -> None:
    nested = [True]
    readings: list[int] = []

    def wall() -> int:
        value: int = hands.wall
        if not nested:
            readings.append(value)
            nested.append(True)
            clock.confirm(operator=True)
            nested.clear()
        return value

    clock = Clock(node_id=7, store=VolatileBoundStore(), wall=wall, monotonic=lambda: hands.monotonic)
    clock.tick()
    nested.clear()
    assert clock.stamp() == (NOW, 0)
    assert len(readings) == 8


def test_an_early_reservation_of_before_a_confirmation_is_left_out(hands: Any) -> None:
    clock = hands.clock()
    clock.tick()
    core = clock.core
    core._reserve_early(NOW + 3_600_000, hands.monotonic, 0)
    assert not core.suspended
    core._reserve_early(NOW + 600, hands.monotonic + 600, 1)
    assert core.promised == (NOW + 1600, 0)


# --- forks ------------------------------------------------------------------------------------------------

FORK = """
import os, sys
from scratchbird import Clock, VolatileBoundStore
from scratchbird.errors import ClockForkedError
clock = Clock(node_id=7, store=VolatileBoundStore())
before = clock.tick()
child = os.fork()
if child == 0:
    calls = [clock.tick, lambda: clock.tick_many(2), lambda: clock.observe((1, 0), 2), clock.reserve,
             clock.stamp, lambda: clock.confirm(operator=True), clock.stop]
    for call in calls:
        try:
            call()
        except ClockForkedError as error:
            assert "belongs to the parent process" in str(error)
        else:
            os._exit(1)
    with clock:
        pass
    own = Clock(node_id=8, store=VolatileBoundStore())
    own.tick()
    own.stop()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert clock.tick() > before
clock.stop()
print("good")
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no fork")
def test_a_forked_child_issues_nothing_and_its_parent_goes_on() -> None:
    # In a process of its own: a test runner with threads can not be forked safely.
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr


# --- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        ClockAheadError(3, NOW),
        ClockSuspendedError(NOW),
        ClockUnconfirmedError(NOW),
        ClockExhaustedError(NOW),
        ClockStoppedError(),
        RemoteDriftError(2, Timestamp(NOW, 3), NOW - 600, 100),
        RemoteEarlyError(2, Timestamp(NOW, 3), NOW - 300, 50),
        BoundWriteError(Timestamp(NOW, 0), "the disk is full"),
    ],
)
def test_errors_keep_their_facts_across_processes(error: ScratchbirdError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
