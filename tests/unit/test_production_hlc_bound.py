"""The clock's durable bound: slow and failing stores, crash, restart, clean stop, retirement."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from scratchbird import Clock, Durable, Timestamp, VolatileBoundStore, bound_writer, retire
from scratchbird.errors import (
    BoundWriteError,
    CallerError,
    ClockAheadError,
    ClockStoppedError,
    ConfigurationError,
)
from scratchbird.timestamp import MAX_MS

NOW = 1_700_000_000_000
LONG = 20.0
"""Seconds after which a test that waits for a thread gives up; no test that passes waits that long."""


# --- the durable bound ------------------------------------------------------------------------------------


def test_the_bound_is_durable_before_anything_is_issued_or_merged(hands: Any, store: Any) -> None:
    clock = hands.clock(store)
    assert store.durable is None
    issued_id = clock.tick()
    assert store.durable == Durable(7, Timestamp(NOW + 1000, 0), ())
    assert issued_id.timestamp <= store.durable.bound
    merged = hands.clock(other := VolatileBoundStore()).observe((NOW + 249, 7), sender=2)
    assert other.durable is not None
    assert merged <= other.durable.bound


def test_one_write_serves_a_whole_reservation(hands: Any, store: Any) -> None:
    clock = hands.clock(store)
    for _ in range(50):
        for _ in range(10):
            clock.tick()
        hands.pass_(10)
    assert len(store.tried) == 1


def test_the_next_bound_is_written_early_and_nobody_waits_for_it(hands: Any, store: Any) -> None:
    clock = hands.clock(store)
    clock.tick()
    hands.pass_(500)
    clock.tick()
    assert len(store.tried) == 1
    store.open.clear()
    store.busy.clear()
    hands.pass_(1)
    assert clock.tick().ms == NOW + 501  # The write is under way, and this did not wait.
    assert store.busy.wait(LONG)
    assert clock.core.promised == (NOW + 1501, 0)
    for _ in range(100):
        clock.tick()
    assert len(store.tried) == 2
    store.open.set()
    clock.reserve()
    assert store.durable is not None
    assert store.durable.bound >= (NOW + 1501, 0)
    assert clock.core.bound == store.durable.bound


@pytest.mark.parametrize("call", [lambda c: c.tick(), lambda c: c.tick_many(9), lambda c: c.reserve()])
def test_reserve_spares_the_first_tick_its_wait(
    call: Callable[[Clock], object], hands: Any, store: Any
) -> None:
    clock = hands.clock(store)
    clock.reserve()
    store.open.clear()
    call(clock)
    assert len(store.tried) == 1


def test_a_slow_store_costs_the_caller_its_deadline_and_nothing_else(hands: Any, store: Any) -> None:
    store.open.clear()
    clock = hands.clock(store, write_timeout_ms=1)
    calls = [clock.tick, lambda: clock.tick_many(3), lambda: clock.observe((NOW, 0), 2), clock.reserve]
    for call in calls:
        with pytest.raises(BoundWriteError, match="not done after 1 ms") as refused:
            call()
        assert refused.value.bound == (NOW + 1000, 0)
    assert clock.last == (0, 0)
    assert len(store.tried) == 1
    store.open.set()
    ids = None
    while ids is None:  # The write that was slow is taken when it is done; it is not written again.
        try:
            ids = clock.tick()
        except BoundWriteError:
            continue
    assert ids.timestamp == (NOW, 0)
    assert len(store.tried) == 1


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), ValueError("x"), SystemExit(3)])
def test_a_failed_write_is_told_and_the_next_caller_writes_the_same_bound(
    failure: BaseException, hands: Any, store: Any
) -> None:
    store.failures = [failure]
    clock = hands.clock(store)
    with pytest.raises(BoundWriteError) as refused:
        clock.tick()
    assert refused.value.__cause__ is failure
    assert repr(failure) in str(refused.value)
    assert store.durable is None
    assert clock.last == (0, 0)
    hands.pass_(3)
    assert clock.tick().timestamp == (NOW + 3, 0)
    assert store.tried[0] == store.tried[1] == store.durable


def test_a_write_that_fails_early_is_nobodys_error_until_the_bound_is_used_up(hands: Any, store: Any) -> None:
    clock = hands.clock(store)
    clock.tick()
    store.failures = [OSError(5, "Input/output error")]
    hands.pass_(600)
    clock.tick()
    while store.failures:  # Until the early write has failed.
        clock.tick()
    hands.pass_(401)
    assert clock.tick().timestamp == (NOW + 1001, 0)
    assert store.tried[1] == store.tried[2]


def test_where_no_thread_can_be_started_the_caller_writes_itself(
    monkeypatch: pytest.MonkeyPatch, hands: Any, store: Any
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    clock = hands.clock(store)
    monkeypatch.setattr(bound_writer, "start_new_thread", refuse)
    clock.tick()
    hands.pass_(900)
    clock.tick()
    assert len(store.tried) == 1
    hands.pass_(200)
    clock.tick()
    clock.stop()
    assert store.durable == Durable(7, Timestamp(NOW + 1100, 0), ())


@pytest.mark.parametrize("timeout", [0, -1, None, 1.5, True, 1 << 60])
def test_a_wait_without_a_deadline_can_not_be_configured(timeout: Any) -> None:
    with pytest.raises(ConfigurationError, match="write_timeout_ms"):
        Clock(node_id=7, store=VolatileBoundStore(), write_timeout_ms=timeout)


def test_a_store_that_is_never_fast_enough_ends_at_the_deadline(hands: Any) -> None:
    """Each write is done, but the wall clock has passed its bound by then."""

    class Racing(VolatileBoundStore):
        def save(self, durable: Durable) -> None:
            super().save(durable)
            hands.pass_(20)

    clock = hands.clock(Racing(), reserve_ms=10, write_timeout_ms=30)
    with pytest.raises(BoundWriteError, match="30 ms"):
        clock.tick()


def test_a_store_that_can_not_be_read_stops_the_start() -> None:
    class Broken(VolatileBoundStore):
        def load(self) -> Durable | None:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        Clock(node_id=7, store=Broken())


# --- restart, stop, retire --------------------------------------------------------------------------------


def test_after_a_crash_ids_go_on_above_the_bound_when_the_wall_clock_allows(hands: Any) -> None:
    store = VolatileBoundStore()
    before = hands.clock(store).tick()
    hands.wall -= 300  # Set back while the node was down.
    clock = hands.clock(store)
    with pytest.raises(ClockAheadError) as refused:
        clock.tick()
    hands.pass_(refused.value.retry_after_ms)
    after = clock.tick()
    assert after.timestamp == (NOW + 1000, 1)
    assert after > before


def test_merge_crash_tick_goes_on_above_what_was_merged(hands: Any) -> None:
    store = VolatileBoundStore()
    merged = hands.clock(store).observe((NOW + 249, 3), sender=2)
    hands.pass_(2000)
    assert hands.clock(store).tick().timestamp > merged


def test_a_crash_loop_does_not_push_the_bound_away(hands: Any) -> None:
    store = VolatileBoundStore()
    hands.clock(store).tick()
    for _ in range(20):
        clock = hands.clock(store)
        with pytest.raises(ClockAheadError):
            clock.reserve()
    assert store.durable == Durable(7, Timestamp(NOW + 1000, 0), ())


def test_a_clean_stop_stores_the_exact_timestamp(hands: Any, store: Any) -> None:
    clock = hands.clock(store)
    last = clock.tick()
    clock.stop()
    assert store.durable == Durable(7, last.timestamp, ())
    assert store.closed == 1
    assert hands.clock(store).tick().timestamp == (NOW, 1)


def test_a_stopped_clock_refuses_and_stops_again_without_harm(hands: Any, store: Any) -> None:
    clock = hands.clock(store)
    clock.tick()
    clock.stop()
    writes = len(store.tried)
    for call in (
        clock.tick,
        lambda: clock.tick_many(2),
        lambda: clock.observe((NOW, 0), sender=2),
        clock.reserve,
        clock.stamp,
        lambda: clock.confirm(operator=True),
    ):
        with pytest.raises(ClockStoppedError, match="make a new Clock to go on"):
            call()
    clock.stop()
    assert len(store.tried) == writes


def test_the_end_of_a_with_block_is_a_clean_stop_also_after_an_exception(hands: Any, store: Any) -> None:
    with contextlib.suppress(KeyError), hands.clock(store) as clock:
        clock.tick()
        raise KeyError
    assert store.durable == Durable(7, Timestamp(NOW, 0), ())
    assert store.closed == 1


def test_a_stop_waits_for_the_write_under_way_and_then_writes_its_own(
    hands: Any, store: Any, in_threads: Any
) -> None:
    clock = hands.clock(store)
    clock.tick()
    store.open.clear()
    store.busy.clear()
    hands.pass_(600)
    last = clock.tick()
    assert store.busy.wait(LONG)
    in_threads(clock.stop, store.open.set)
    assert store.durable == Durable(7, last.timestamp, ())


def test_a_stop_that_fails_can_be_repeated(hands: Any, store: Any) -> None:
    clock = hands.clock(store)
    last = clock.tick()
    store.failures = [OSError(28, "No space left on device")]
    with pytest.raises(BoundWriteError):
        clock.stop()
    assert store.closed == 0
    with pytest.raises(ClockStoppedError):
        clock.tick()
    clock.stop()
    assert store.durable == Durable(7, last.timestamp, ())
    assert store.closed == 1


def test_a_store_of_another_node_is_refused() -> None:
    store = VolatileBoundStore(Durable(9))
    with pytest.raises(ConfigurationError, match="belongs to node id 9, not 7"):
        Clock(node_id=7, store=store)


def test_a_poisoned_node_retires_its_id_and_never_takes_it_again(hands: Any) -> None:
    poisoned = Durable(7, Timestamp(MAX_MS - 5, 0), ())
    store = VolatileBoundStore(poisoned)
    with pytest.raises(ClockAheadError):
        hands.clock(store).tick()
    assert retire(store, 8) == Durable(8, Timestamp(0, 0), (7,)) == store.durable
    assert hands.clock(store, node_id=8).tick().timestamp == (NOW, 0)
    with pytest.raises(ConfigurationError, match="node id 7 was retired"):
        hands.clock(store, node_id=7)
    for used in (7, 8):
        with pytest.raises(CallerError, match="was used here before"):
            retire(store, used)
    with pytest.raises(CallerError, match="out of range"):
        retire(store, 0)
    assert retire(store, 9).retired == (7, 8)


def test_an_empty_store_has_nothing_to_retire() -> None:
    with pytest.raises(CallerError, match="nothing was ever stored"):
        retire(VolatileBoundStore(), 8)
