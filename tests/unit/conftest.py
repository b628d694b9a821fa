"""What the tests of the production clock share: clocks moved by hand, a store with a gate, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from scratchbird import Clock, Durable, VolatileBoundStore

NOW = 1_700_000_000_000
LONG = 20.0
"""Seconds after which a test that waits for a thread gives up; no test that passes waits that long."""


class Hands:
    """The clocks of a machine, moved by the test."""

    def __init__(self, wall: int = NOW, monotonic: int = 5_000) -> None:
        self.wall = wall
        self.monotonic = monotonic

    def pass_(self, ms: int) -> None:
        self.wall += ms
        self.monotonic += ms

    def clock(self, store: Any = None, node_id: int = 7, **settings: Any) -> Clock:
        settings.setdefault("write_timeout_ms", int(LONG * 1000))
        return Clock(
            node_id=node_id,
            store=VolatileBoundStore() if store is None else store,
            wall=lambda: self.wall,
            monotonic=lambda: self.monotonic,
            **settings,
        )


class GatedStore(VolatileBoundStore):
    """A store whose writes wait for the test, and fail when it says so."""

    def __init__(self, durable: Durable | None = None) -> None:
        super().__init__(durable)
        self.open = threading.Event()
        self.open.set()
        self.busy = threading.Event()
        self.failures: list[BaseException] = []
        self.tried: list[Durable] = []
        self.closed = 0

    def save(self, durable: Durable) -> None:
        self.tried.append(durable)
        self.busy.set()
        assert self.open.wait(LONG)
        if self.failures:
            raise self.failures.pop()
        super().save(durable)

    def close(self) -> None:
        self.closed += 1


def run_in_threads(*work: Callable[[], object]) -> None:
    """Run all at once; the first exception of any is raised."""
    gate = threading.Barrier(len(work))
    failures: list[BaseException] = []

    def run(task: Callable[[], object]) -> None:
        try:
            gate.wait(LONG)
            task()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(task,)) for task in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


@pytest.fixture
def hands() -> Hands:
    """A machine whose clocks the test moves."""
    return Hands()


@pytest.fixture
def store() -> GatedStore:
    """A store whose writes wait for the test, and fail when it says so."""
    return GatedStore()


@pytest.fixture
def in_threads() -> Callable[..., None]:
    """Run functions in threads of their own, all at once."""
    return run_in_threads
