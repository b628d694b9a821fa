"""One clock for each store, one store for each file: claims, links, lost locks, and writes that are late."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scratchbird import Clock, Durable, Timestamp, retire
from scratchbird.errors import (
    BoundFileError,
    BoundLockedError,
    BoundWriteError,
    CallerError,
    ConfigurationError,
)
from scratchbird_node import files
from scratchbird_node.bound_store import FileBoundStore, decode

NOW = 1_700_000_000_000
LONG = 20.0
"""Seconds after which a test that waits for a thread gives up; no test that passes waits that long."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clock.bound"


class OwnStore:
    """A store that somebody wrote for themselves; it has no hash and takes no weak reference."""

    __slots__ = ("durable",)
    __hash__ = None  # type: ignore[assignment]  # As for a dataclass.

    def __init__(self) -> None:
        self.durable: Durable | None = None

    def load(self) -> Durable | None:
        return self.durable

    def save(self, durable: Durable) -> None:
        self.durable = durable

    def close(self) -> None:
        pass


# --- one clock for each store -----------------------------------------------------------------------------


def test_a_second_clock_on_a_store_is_refused_while_the_first_one_lives(path: Path, hands: Any) -> None:
    for store in (FileBoundStore(path), OwnStore()):
        clock = hands.clock(store)
        first = clock.tick()
        for _ in range(2):
            with pytest.raises(CallerError, match="in use by another clock"):
                hands.clock(store)
        with pytest.raises(CallerError, match="in use by another clock"):
            retire(store, 8)
        assert clock.tick() > first
        clock.stop()
    assert hands.clock(store).tick() > first  # Its own store can be opened again.


def test_a_clock_that_was_dropped_gives_its_store_back(hands: Any) -> None:
    store = OwnStore()
    hands.clock(store).tick()
    gc.collect()
    hands.pass_(2000)
    hands.clock(store).tick()


def test_a_clock_that_could_not_be_made_gives_its_store_back(path: Path, hands: Any) -> None:
    def broken() -> int:
        raise ArithmeticError

    store = FileBoundStore(path)
    store.save(Durable(7, Timestamp(NOW, 0), (3,)))
    for node_id in (3, 8):
        with pytest.raises(ConfigurationError):
            hands.clock(store, node_id=node_id)
    with pytest.raises(ArithmeticError):
        Clock(node_id=7, store=store, wall=broken)
    with pytest.raises(CallerError, match="was used here before"):
        retire(store, 7)
    with pytest.raises(ConfigurationError):
        hands.clock(store, max_drift_ms=0)
    with hands.clock(store) as clock:
        clock.tick()


def test_a_store_that_was_dropped_unlocks_its_file(path: Path, hands: Any) -> None:
    with pytest.raises(ConfigurationError):
        hands.clock(FileBoundStore(path), max_drift_ms=0)
    gc.collect()
    FileBoundStore(path).close()


# --- one store for each file ------------------------------------------------------------------------------


def test_a_link_and_its_target_have_one_lock(path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    link, chain, dangling = folder / "link", folder / "chain", folder / "dangling"
    link.symlink_to(path)
    chain.symlink_to("link")
    dangling.symlink_to(tmp_path / "not-yet")
    monkeypatch.chdir(tmp_path)
    names = (path, link, chain, folder / ".." / "clock.bound", Path("clock.bound"))
    for name in names:
        with FileBoundStore(name) as store:
            store.save(Durable(7, Timestamp(NOW, 0), ()))
            for other in names:
                with pytest.raises(BoundLockedError):
                    FileBoundStore(other)
    assert link.is_symlink()
    assert decode(path.read_bytes()).node_id == 7
    with FileBoundStore(dangling), pytest.raises(BoundLockedError):
        FileBoundStore(tmp_path / "not-yet")


def lost(lock: Path) -> None:
    lock.unlink()


def replaced(lock: Path) -> None:
    lock.rename(lock.with_name("old.lock"))
    lock.write_bytes(b"")


@pytest.mark.parametrize("lose", [lost, replaced])
def test_a_store_whose_lock_was_lost_writes_no_more(path: Path, lose: Any, hands: Any) -> None:
    old = Durable(7, Timestamp(NOW, 0), ())
    store = FileBoundStore(path)
    store.save(old)
    lose(path.with_name("clock.bound.lock"))
    with pytest.raises(BoundFileError, match=r"clock\.bound\.lock was deleted or replaced"):
        store.save(Durable(7, Timestamp(NOW + 1, 0), ()))
    with pytest.raises(BoundWriteError, match="deleted or replaced"):
        hands.clock(store).tick()
    assert decode(path.read_bytes()) == old
    with FileBoundStore(path) as another:
        assert another.load() == old
    store.close()


def test_a_lock_that_was_lost_while_the_new_file_is_written_stops_the_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fdatasync

    def fdatasync(descriptor: int) -> None:
        path.with_name("clock.bound.lock").unlink(missing_ok=True)
        real(descriptor)

    store = FileBoundStore(path)
    monkeypatch.setattr(os, "fdatasync", fdatasync)
    with pytest.raises(BoundFileError, match="deleted or replaced"):
        store.save(Durable(7))
    assert list(path.parent.iterdir()) == []
    store.close()


@pytest.mark.parametrize("lose", [lost, replaced])
def test_a_lock_that_is_lost_while_it_is_taken_is_taken_again(
    path: Path, lose: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, times = files.fcntl.flock, [1]

    def flock(descriptor: int, how: int) -> None:
        real(descriptor, how)
        if times:
            times.pop()
            lose(path.with_name("clock.bound.lock"))

    monkeypatch.setattr(files.fcntl, "flock", flock)
    with FileBoundStore(path) as store:
        store.save(Durable(7))
        with pytest.raises(BoundLockedError):
            FileBoundStore(path)
    times[:] = [1] * 100
    with pytest.raises(BoundFileError, match="replaced again and again"):
        FileBoundStore(path)
    times.clear()
    FileBoundStore(path).close()


# --- writes that are late ---------------------------------------------------------------------------------


class Hung:
    """Makes one call of the disk hang in a thread, until the test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self.hangs, self.go_on = threading.Event(), threading.Event()
        self._real = getattr(os, name)
        monkeypatch.setattr(os, name, self._call)

    def _call(self, *arguments: Any, **named: Any) -> Any:
        if threading.current_thread() is not threading.main_thread() and not self.hangs.is_set():
            self.hangs.set()
            assert self.go_on.wait(LONG)
        return self._real(*arguments, **named)


@contextlib.contextmanager
def saving(store: FileBoundStore, durable: Durable, told: list[BaseException]) -> Iterator[None]:
    def save() -> None:
        try:
            store.save(durable)
        except BaseException as error:
            told.append(error)

    thread = threading.Thread(target=save)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("at", ["write", "fdatasync", "stat", "replace"])
def test_a_write_that_hangs_keeps_the_file_until_it_ends_and_then_changes_nothing_late(
    path: Path, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, newer = (Durable(7, Timestamp(NOW + later, 0), ()) for later in (0, 1, 2))
    store = FileBoundStore(path)
    store.save(old)
    hung, told = Hung(monkeypatch, at), list[BaseException]()
    with saving(store, new, told):
        assert hung.hangs.wait(LONG)
        store.close()
        store.close()
        with pytest.raises(BoundLockedError):
            FileBoundStore(path)  # Whoever opened it now would find a bound that is about to change.
        with pytest.raises(CallerError, match="was closed"):
            store.save(newer)
        hung.go_on.set()
    if at == "replace":  # Too late to be stopped, and nobody else had the file.
        assert not told
    else:
        assert "was closed" in str(told[0])
    assert decode(path.read_bytes()) == (new if at == "replace" else old)
    with FileBoundStore(path) as again:
        again.save(newer)
    assert sorted(file.name for file in path.parent.iterdir()) == ["clock.bound", "clock.bound.lock"]


def test_a_store_makes_one_write_at_a_time(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileBoundStore(path)
    hung, told = Hung(monkeypatch, "fsync"), list[BaseException]()
    with saving(store, Durable(7), told):
        assert hung.hangs.wait(LONG)
        with pytest.raises(CallerError, match="one write at a time"):
            store.save(Durable(7))
        hung.go_on.set()
    assert not told
    store.close()


def test_a_clock_whose_disk_hangs_does_not_put_the_bound_of_the_next_one_back(
    path: Path, hands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileBoundStore(path)
    clock = hands.clock(store, write_timeout_ms=1)
    while clock.last == (0, 0):  # A deadline of 1 ms is too short for some disks.
        with contextlib.suppress(BoundWriteError):
            clock.tick()
    hung = Hung(monkeypatch, "write")
    hands.pass_(1100)
    while not hung.hangs.is_set():
        with pytest.raises(BoundWriteError):
            clock.tick()
    for call in (clock.tick, clock.stop):
        with pytest.raises(BoundWriteError, match="not done"):
            call()
    store.close()
    with pytest.raises(BoundLockedError):
        FileBoundStore(path)
    hung.go_on.set()
    again = None
    while again is None:  # Until the write that hung has ended.
        with contextlib.suppress(BoundLockedError):
            again = FileBoundStore(path)
    hands.pass_(5000)
    with hands.clock(again) as new:
        issued = new.tick()
        durable = decode(path.read_bytes())
        assert issued.timestamp <= durable.bound
