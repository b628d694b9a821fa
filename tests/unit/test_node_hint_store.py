"""The hints of a node with real threads, real files and real kills."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from scratchbird.errors import CallerError, ScratchbirdError
from scratchbird_node.errors import FileError, FileLockedError
from scratchbird_node.files import Appending, Disk, DiskAppending
from scratchbird_node.hint_store import HintStore
from scratchbird_node.hint_words import Settings

LONG = 20.0
"""Seconds after which a test that waits for a thread gives up; no test that passes waits that long."""
VERSION = bytes(16)
KILLS = 50


class Wait:
    """Collects what callbacks are told, and waits for so many."""

    def __init__(self, count: int) -> None:
        self.told: list[tuple[int | None, ScratchbirdError | None]] = []
        self._count = count
        self._all = threading.Event()

    def __call__(self, sequence: int | None, error: ScratchbirdError | None) -> None:
        self.told.append((sequence, error))
        if len(self.told) == self._count:
            self._all.set()

    def sequences(self) -> list[int]:
        assert self._all.wait(LONG)
        assert all(error is None for _, error in self.told)
        return [sequence for sequence, _ in self.told if sequence is not None]


class GatedDisk(Disk):
    """A disk whose syncs wait for the test, and which counts them."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.busy = threading.Event()
        self.syncs = 0

    def append_to(self, path: Path, *, new: bool) -> Appending:
        disk = self

        class Gated(DiskAppending):
            def sync(self, what: str) -> None:
                disk.syncs += 1
                disk.busy.set()
                assert disk.open.wait(LONG)
                super().sync(what)

        return Gated(path, new=new)


def read(store: HintStore, target: int) -> list[bytes]:
    reader, found = store.reader(target), []
    while hints := reader.take():
        found += [hint.payload for hint in hints]
    reader.close()
    return found


def test_hints_are_durable_when_it_is_said_and_are_there_again(tmp_path: Path) -> None:
    with HintStore(tmp_path) as store:
        wait = Wait(100)
        for number in range(100):
            store.append(7, VERSION, b"%d" % number, wait)
        sequences = wait.sequences()
        assert sequences == sorted(set(sequences))
        store.pay(7, sequences[:60])
        done = threading.Event()
        store.flush(7, lambda error: done.set())
        assert done.wait(LONG)
    with HintStore(tmp_path) as store:
        assert read(store, 7) == [b"%d" % number for number in range(60, 100)]
        assert store.pending(7) == 40
        assert store.size == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_what_comes_during_a_sync_shares_the_next_one_and_nobody_is_told_before_it(tmp_path: Path) -> None:
    disk = GatedDisk()
    with HintStore(tmp_path, files=disk) as store:
        disk.open.clear()
        first, rest = Wait(1), Wait(500)
        store.append(7, VERSION, b"first", first)
        assert disk.busy.wait(LONG)
        for _ in range(500):
            store.append(7, VERSION, b"rest", rest)
        assert (first.told, rest.told) == ([], [])
        assert store.pending(7) == 0
        disk.open.set()
        rest.sequences()
        assert disk.syncs == 2


def test_writers_in_many_threads_are_all_told(tmp_path: Path, in_threads: Callable[..., None]) -> None:
    settings = Settings(segment_bytes=5000, keep_bytes=0, marks_every=50, max_open_files=2)
    with HintStore(tmp_path, settings) as store:

        def write(target: int) -> None:
            paid: set[int] = set()
            for _ in range(10):
                wait = Wait(30)
                for _ in range(30):
                    store.append(target, VERSION, b"x" * 50, wait)
                sequences = wait.sequences()
                reader = store.reader(target)
                while hints := reader.take():
                    assert not paid & {hint.sequence for hint in hints}
                reader.close()
                store.pay(target, sequences[5:])
                paid.update(sequences[5:])

        in_threads(*(lambda target=target: write(target) for target in (1, 1, 2, 3)))
        assert [store.pending(target) for target in (1, 2, 3)] == [100, 50, 50]
    with HintStore(tmp_path, settings) as store:
        assert [len(read(store, target)) for target in (1, 2, 3)] == [100, 50, 50]


def test_coroutines_wait_for_their_hint(tmp_path: Path) -> None:
    async def main() -> None:
        with HintStore(tmp_path) as store:
            sequences = await asyncio.gather(*(store.write(7, VERSION, b"x") for _ in range(50)))
            assert sequences == sorted(set(sequences))
            task = asyncio.ensure_future(store.write(7, VERSION, b"nobody waits"))
            await asyncio.sleep(0)
            task.cancel()
            await store.write(7, VERSION, b"last")
            with pytest.raises(CallerError, match="the version"):
                await store.write(7, b"", b"")

    asyncio.run(main())


def test_a_coroutine_is_told_of_a_failure(tmp_path: Path) -> None:
    async def main() -> None:
        with HintStore(tmp_path) as store:
            (tmp_path / "hints.lock").unlink()
            with pytest.raises(FileError, match="removed or replaced while the folder was in use"):
                await store.write(7, VERSION, b"x")

    asyncio.run(main())


def test_a_callback_that_fails_harms_nobody_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*_: object) -> None:
        raise ValueError("not my day")

    with HintStore(tmp_path) as store:
        store.append(7, VERSION, b"one", fail)
        wait = Wait(1)
        store.append(7, VERSION, b"two", wait)
        wait.sequences()
    assert "not my day" in caplog.text


def test_what_waits_at_the_close_is_written(tmp_path: Path) -> None:
    disk = GatedDisk()
    store = HintStore(tmp_path, files=disk)
    waits = [Wait(1) for _ in range(20)]
    for wait in waits:
        store.append(7, VERSION, b"x", wait)
    store.close()
    assert all(wait.sequences() for wait in waits)


def test_a_folder_is_open_once(tmp_path: Path) -> None:
    code = "import sys; from scratchbird_node.hint_store import HintStore; HintStore(sys.argv[1])"
    with HintStore(tmp_path):
        with pytest.raises(FileLockedError, match="another process, or this one, uses the folder"):
            HintStore(tmp_path)
        command = [sys.executable, "-c", code, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "FileLockedError" in done.stderr
    HintStore(tmp_path).close()


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="the folder must exist"):
        HintStore(tmp_path / "missing")


def test_damage_is_reported_to_the_log_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with HintStore(tmp_path) as store:
        wait = Wait(1)
        store.append(7, VERSION, b"one", wait)
        wait.sequences()
    (path,) = tmp_path.glob("*.hints")
    path.write_bytes(path.read_bytes() + b"garbage")
    with caplog.at_level(logging.ERROR), HintStore(tmp_path) as store:
        assert str(path) in caplog.text
        assert store.damage_count == 1
        assert read(store, 7) == [b"one"]


WRITE = """
import os, sys, threading
from pathlib import Path
from scratchbird_node.hint_store import HintStore
from scratchbird_node.hint_words import Settings

store = HintStore(Path(sys.argv[1]), Settings(segment_bytes=6000, keep_bytes=0))
start = int(sys.argv[2])

def told(word, number):
    os.write(1, b"%s %d\\n" % (word, number))

reader = store.reader(7) if 7 in store.targets() else None
while reader and (hints := reader.take()):
    for hint in hints:
        told(b"found", int.from_bytes(hint.version, "big"))
told(b"ready", 0)
group, waiting, settled = [], 0, threading.Semaphore(0)
while True:
    word = os.read(0, 1)
    if word == b"":
        sys.exit()
    if word == b"a":
        number = start
        waiting += 1
        start += 1
        payload = number.to_bytes(4, "big") * (number % 97)
        def done(sequence, error, number=number):
            assert error is None, error
            group.append((sequence, number))
            told(b"held", number)
            settled.release()
        store.append(7, number.to_bytes(16, "big"), payload, done)
    if word == b"p":
        for _ in range(waiting):
            settled.acquire()
        waiting = 0
        some, group[:] = group[: len(group) // 2 + 1], group[len(group) // 2 + 1 :]
        for _, number in some:
            told(b"paying", number)
        store.pay(7, [sequence for sequence, _ in some])
        def flushed(error, some=some):
            assert error is None, error
            for _, number in some:
                told(b"paid", number)
        store.flush(7, flushed)
"""


def test_fifty_killed_processes_lose_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Each process is given orders, and killed when it has said a number of things that the seed chose."""
    chance = random.Random(4)
    held: set[int] = set()
    paying: set[int] = set()
    paid: set[int] = set()
    next_number = 1
    for _ in range(KILLS):
        orders = bytes(chance.choice(b"aaaaaaaaap") for _ in range(chance.randrange(10, 400)))
        stop_after = chance.randrange(1, 300)
        command = [sys.executable, "-c", WRITE, str(tmp_path), str(next_number)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            found: list[int] = []
            lines = []
            process.stdin.write(orders)
            process.stdin.flush()
            for line in process.stdout:
                lines.append(line)
                if line == b"ready 0\n":
                    assert found == sorted(set(found))
                    assert held - paying <= set(found)
                    assert not paid & set(found)
                    lines.clear()
                    stop_after = min(stop_after, orders.count(b"a"))
                elif line.startswith(b"found "):
                    found.append(int(line.split()[1]))
                elif sum(line.startswith(b"held") for line in lines) >= stop_after:
                    process.send_signal(signal.SIGKILL)
                    break
            lines += process.stdout.readlines()
        for line in lines:
            word, number = line.split()
            {b"held": held, b"paying": paying, b"paid": paid}[word].add(int(number))
        next_number += len(orders)
        held |= set(found)
    assert len(held) > 20 * KILLS
    assert len(paid) > 5 * KILLS
    with HintStore(tmp_path) as store:
        left = read(store, 7)
        payloads = {number: number.to_bytes(4, "big") * (number % 97) for number in range(1, next_number)}
        assert set(left) >= {payloads[number] for number in held - paying}
        assert set(left) <= set(payloads.values())
        assert all(report.end > report.start for report in store.damage)
    assert os.listdir(tmp_path)
