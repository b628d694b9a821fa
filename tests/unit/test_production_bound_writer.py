"""Writes of the bound that are interrupted: by the handler of a signal, for want of memory, in any place."""

from __future__ import annotations

import _thread
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from scratchbird import Durable, Timestamp, VolatileBoundStore, bound_writer
from scratchbird.errors import BoundWriteError

NOW = 1_700_000_000_000
LONG = 20.0
"""Seconds after which a test that waits for a thread gives up; no test that passes waits that long."""


class Interrupted(Exception):
    """What the handler of a signal raises."""


class InterruptedRuntimeError(RuntimeError):
    """Likewise, of a kind that Python itself raises where it can start no thread."""


def before_the_thread(error: BaseException) -> Callable[..., int]:
    def start(*_: Any) -> int:
        raise error

    return start


def after_the_thread(error: BaseException) -> Callable[..., int]:
    def start(*arguments: Any) -> int:
        _thread.start_new_thread(*arguments)
        raise error

    return start


ERRORS = [KeyboardInterrupt(), MemoryError(), Interrupted(), InterruptedRuntimeError()]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
@pytest.mark.parametrize("interrupt", [before_the_thread, after_the_thread])
@pytest.mark.parametrize("call", [lambda c: c.tick(), lambda c: c.reserve(), lambda c: c.stop()])
def test_an_interrupted_start_is_told_as_it_is_and_the_next_call_writes(
    call: Any, interrupt: Any, error: BaseException, hands: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = hands.clock(store)
    with monkeypatch.context() as patched:
        patched.setattr(bound_writer, "start_new_thread", interrupt(error))
        with pytest.raises(type(error)) as raised:
            call(clock)
        assert raised.value is error
    call(clock)
    assert len(store.tried) == 1  # A thread that was started for the interrupted one has written nothing.
    assert clock.core.promised is None


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_interrupted_early_write_leaves_the_next_one_free(
    error: BaseException, hands: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = hands.clock(store)
    clock.tick()
    hands.pass_(600)
    with monkeypatch.context() as patched:
        patched.setattr(bound_writer, "start_new_thread", before_the_thread(error))
        with pytest.raises(type(error)):
            clock.tick()
    hands.pass_(600)
    assert clock.tick().timestamp == (NOW + 1200, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_interrupt_of_a_write_without_a_thread_is_no_failure_of_the_disk(
    error: BaseException, hands: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bound_writer, "start_new_thread", before_the_thread(RuntimeError("can't start new thread"))
    )
    store.failures = [OSError(28, "No space left on device"), error]
    clock = hands.clock(store)
    with pytest.raises(type(error)):
        clock.tick()
    with pytest.raises(BoundWriteError, match="No space left"):
        clock.tick()
    assert clock.tick().timestamp == (NOW, 0)


def test_a_call_within_a_write_without_a_thread_does_not_write_below_it(
    hands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handler of a signal may use the clock while the main thread writes."""

    class Nested(VolatileBoundStore):
        tried = 0

        def save(self, durable: Durable) -> None:
            self.tried += 1
            with pytest.raises(BoundWriteError, match="not done after 1 ms"):
                clock.tick()
            super().save(durable)

    monkeypatch.setattr(
        bound_writer, "start_new_thread", before_the_thread(RuntimeError("can't start new thread"))
    )
    store = Nested()
    clock = hands.clock(store, write_timeout_ms=1)
    clock.reserve()
    assert store.tried == 1
    assert store.durable == Durable(7, Timestamp(NOW + 1000, 0), ())


def test_a_thread_that_never_runs_costs_one_deadline(
    hands: Any, store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = hands.clock(store, write_timeout_ms=1)
    with monkeypatch.context() as patched:
        patched.setattr(bound_writer, "start_new_thread", lambda *_: 1)
        with pytest.raises(BoundWriteError, match="not done after 1 ms"):
            clock.tick()
    ids = None
    while ids is None:  # Where the machine is busy, the next write may take longer than its deadline too.
        try:
            ids = clock.tick()
        except BoundWriteError:
            continue
    assert store.durable is not None


def test_all_who_wait_are_told_of_a_failure_and_one_of_them_writes_again(
    hands: Any, store: Any, in_threads: Any
) -> None:
    clock = hands.clock(store)
    store.failures = [OSError(5, "Input/output error")]
    store.open.clear()
    told: list[BaseException] = []

    def tick() -> None:
        try:
            clock.tick()
        except BoundWriteError as error:
            told.append(error)

    in_threads(tick, tick, tick, lambda: (store.busy.wait(LONG), store.open.set()))
    assert len(told) == 1  # Who began the write that failed.
    assert store.durable == Durable(7, Timestamp(NOW + 1000, 0), ())


SIGNALS = """
import random, signal
from scratchbird import Clock, VolatileBoundStore
from scratchbird.errors import ScratchbirdError

class Timeout(Exception):
    pass

def ring(*_):
    raise Timeout

class Hands:
    wall = 1_800_000_000_000

signal.signal(signal.SIGALRM, ring)
dice = random.Random(1)
clock = Clock(
    node_id=7, store=VolatileBoundStore(), wall=lambda: Hands.wall, monotonic=lambda: Hands.wall,
    write_timeout_ms=20_000,
)
rung = 0
for _ in range(4000):
    Hands.wall += 2000  # Past the bound, so that each tick writes.
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, dice.uniform(1e-6, 1.5e-4))
            clock.tick()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Timeout:
        rung += 1
    try:
        clock.tick()  # Without a timer: one that was left stuck would run into its deadline.
    except Timeout:  # The last one came late.
        clock.tick()
assert rung > 100, rung
clock.stop()
print("good")
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no interval timers")
def test_signals_at_any_moment_leave_a_clock_that_goes_on() -> None:
    command = [sys.executable, "-c", SIGNALS]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("good\n", 0), done.stderr
