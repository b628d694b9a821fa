"""The file of the clock's bound: a crash at any byte, damage, loss, locks, and a whole clock on top."""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import pickle
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scratchbird import Clock, Durable, Timestamp, UuidV8, retire
from scratchbird.errors import (
    BoundFileError,
    BoundLockedError,
    BoundWriteError,
    CallerError,
    ClockAheadError,
    ConfigurationError,
    DiskError,
)
from scratchbird_node import bound_store, files
from scratchbird_node.bound_store import FileBoundStore, decode, encode

NOW = 1_700_000_000_000
OLD = Durable(7, Timestamp(NOW, 5), (3, 4))
NEW = Durable(7, Timestamp(NOW + 1000, 0), (3, 4))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clock.bound"


def saved(path: Path, durable: Durable = OLD) -> None:
    with FileBoundStore(path) as store:
        store.save(durable)


def loaded(path: Path) -> Durable | None:
    with FileBoundStore(path) as store:
        return store.load()


# --- what is written is read ------------------------------------------------------------------------------


def test_nothing_is_stored_at_first(path: Path) -> None:
    assert loaded(path) is None
    assert loaded(path) is None


@pytest.mark.parametrize(
    "durable",
    [
        OLD,
        Durable(1),
        Durable(65535, Timestamp((1 << 48) - 1, 4095), tuple(range(1, 65535))),
        Durable(1, Timestamp(0, 4095), (2,)),
    ],
)
def test_a_value_reads_back(path: Path, durable: Durable) -> None:
    saved(path, durable)
    assert loaded(path) == durable
    assert decode(encode(durable)) == durable
    assert len(encode(durable)) < bound_store.MAX_BYTES


def test_a_store_that_was_not_loaded_first_may_save(path: Path) -> None:
    saved(path)
    saved(path, NEW)
    assert loaded(path) == NEW


def test_a_clean_stop_may_lower_the_bound(path: Path) -> None:
    saved(path, NEW)
    saved(path, OLD)
    assert loaded(path) == OLD


def test_a_person_can_read_the_file(path: Path) -> None:
    saved(path)
    lines = path.read_text().splitlines()
    assert lines[0] == "scratchbird clock bound, version 1"
    assert lines[1] == '{"node_id": 7, "bound": [1700000000000, 5], "retired": [3, 4]}'


def test_the_path_may_be_text_and_the_file_is_only_for_its_owner(path: Path) -> None:
    with FileBoundStore(str(path)) as store:
        store.save(OLD)
        assert store.path == path
    assert path.stat().st_mode & 0o777 == 0o600


# --- a crash at any byte ----------------------------------------------------------------------------------


def test_every_truncation_is_noticed(path: Path) -> None:
    saved(path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(BoundFileError) as refused:
            loaded(path)
        assert str(path) in str(refused.value)
        assert "restore the file from a backup" in str(refused.value)


def test_every_flipped_bit_is_noticed(path: Path) -> None:
    whole = encode(OLD)
    for position, bit in itertools.product(range(len(whole)), range(8)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        with pytest.raises(ValueError, match=r"damaged|no bound"):
            decode(bytes(damaged))


def test_a_crash_while_the_new_file_is_written_leaves_the_old_value(path: Path) -> None:
    saved(path)
    left_over = path.with_name("clock.bound.0123456789abcdef.new")
    whole = encode(NEW)
    for length in range(len(whole) + 1):
        left_over.write_bytes(whole[:length])
        assert loaded(path) == OLD
        assert not left_over.exists()  # Removed when the file is opened.
    saved(path, NEW)
    assert loaded(path) == NEW
    assert sorted(file.name for file in path.parent.iterdir()) == ["clock.bound", "clock.bound.lock"]


def test_a_crash_in_the_very_first_write_is_a_fresh_start(path: Path) -> None:
    with FileBoundStore(path):
        pass
    path.with_name("clock.bound.0123456789abcdef.new").write_bytes(encode(NEW)[:20])
    assert loaded(path) is None
    saved(path)
    assert loaded(path) == OLD


def test_a_crash_before_the_lock_remembers_its_use_is_made_good_at_the_next_load(path: Path) -> None:
    saved(path)
    path.with_name("clock.bound.lock").write_bytes(b"")
    assert loaded(path) == OLD
    path.unlink()
    with pytest.raises(BoundFileError, match="the file is gone"):
        loaded(path)


class Power:
    """Records the calls that make a file durable, and cuts the power at one of them."""

    NAMES = ("open", "write", "fdatasync", "replace", "fsync")

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        self.cut_at: int | None = None
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self._wrap(name, getattr(os, name)))

    def _wrap(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.cut_at == len(self.calls):
                raise OSError(errno.EIO, "Input/output error")
            self.calls.append(name)
            return real(*arguments, **named)

        return call


def test_the_file_is_durable_before_it_takes_its_place_and_the_folder_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileBoundStore(path) as store:
        power = Power(monkeypatch)
        store.save(OLD)
        replacing = ["open", "write", "fdatasync", "replace", "open", "fsync"]
        assert power.calls == ["open", *replacing, "write", "fdatasync"]  # It looks for an old one first.
        power.calls.clear()
        store.save(NEW)
        assert power.calls == replacing


@pytest.mark.parametrize("cut_at", range(6))
def test_a_failure_at_any_call_leaves_old_or_new_and_can_be_repeated(
    path: Path, monkeypatch: pytest.MonkeyPatch, cut_at: int
) -> None:
    saved(path)
    with monkeypatch.context() as patched, FileBoundStore(path) as store:
        store.load()
        power = Power(patched)
        power.cut_at = cut_at
        with pytest.raises(BoundFileError, match="Input/output error"):
            store.save(NEW)
        assert decode(path.read_bytes()) == (OLD if cut_at < 4 else NEW)
        power.cut_at = None
        store.save(NEW)
    assert loaded(path) == NEW


# --- damaged, foreign, lost -------------------------------------------------------------------------------


def with_checksum(text: str) -> bytes:
    return f"{text}sha256 {hashlib.sha256(text.encode()).hexdigest()}\n".encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\x00" * 4096, "this is no bound of a clock"),
        (b"SQLite format 3\x00" + b"\xff" * 100, "this is no bound of a clock"),
        (b"scratchbird clock bound, version 2\n{}\n", "or of a newer version"),
        (encode(OLD) + b"\n", "damaged"),
        (encode(OLD) + b" " * bound_store.MAX_BYTES, "longer than"),
        (with_checksum("scratchbird clock bound, version 1\n[]\n"), "which is no bound"),
        (with_checksum("scratchbird clock bound, version 1\n{}\n"), "which is no bound"),
        (with_checksum("scratchbird clock bound, version 1\n\n"), "Expecting value"),
        (with_checksum("scratchbird clock bound, version 1\n"), "Expecting value"),
        *(
            (with_checksum(f"scratchbird clock bound, version 1\n{value}\n"), "which is no bound")
            for value in (
                '{"node_id": 0, "bound": [1, 2], "retired": []}',
                '{"node_id": true, "bound": [1, 2], "retired": []}',
                '{"node_id": 7, "bound": [1, 4096], "retired": []}',
                '{"node_id": 7, "bound": [-1, 0], "retired": []}',
                '{"node_id": 7, "bound": [281474976710656, 0], "retired": []}',
                '{"node_id": 7, "bound": [1], "retired": []}',
                '{"node_id": 7, "bound": [1, 2], "retired": [65536]}',
                '{"node_id": 7, "bound": [1, 2], "retired": ["3"]}',
                '{"node_id": 7, "bound": [1, 2]}',
            )
        ),
    ],
)
def test_a_foreign_file_is_refused_and_left_alone(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(BoundFileError, match=message) as refused:
        loaded(path)
    assert str(refused.value).startswith(str(path))
    with FileBoundStore(path) as store, pytest.raises(BoundFileError):
        store.save(NEW)
    assert path.read_bytes() == data
    with FileBoundStore(path) as store, pytest.raises(DiskError):
        Clock(node_id=7, store=store)


def test_a_lost_file_is_no_fresh_start(path: Path) -> None:
    saved(path)
    path.unlink()
    with pytest.raises(BoundFileError, match=r"the file is gone.*clock\.bound\.lock"):
        loaded(path)
    path.with_name("clock.bound.lock").unlink()  # What the message tells an operator to do who is sure.
    assert loaded(path) is None


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(BoundFileError, match=r"No such file or directory.*the folder must exist"):
        FileBoundStore(tmp_path / "missing" / "clock.bound")


def test_a_file_in_the_place_of_the_folder_is_named(path: Path) -> None:
    path.write_text("")
    with pytest.raises(BoundFileError, match="Not a directory"):
        FileBoundStore(path / "clock.bound")


def test_a_folder_in_the_place_of_the_file_is_named(path: Path) -> None:
    path.mkdir()
    with pytest.raises(BoundFileError, match="Is a directory"):
        loaded(path)


def test_what_is_there_already_is_never_written_into(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "precious"
    target.write_text("precious")
    monkeypatch.setattr(secrets, "token_hex", lambda _: "0" * 16)
    with FileBoundStore(path) as store:
        path.with_name(f"clock.bound.{'0' * 16}.new").symlink_to(target)
        with pytest.raises(BoundFileError, match="exists"):
            store.save(OLD)
    assert target.read_text() == "precious"


def test_only_left_overs_of_this_file_are_removed(path: Path) -> None:
    names = ["clock.bound.new", "clock.bound2.0123456789abcdef.new", "clock.bound.0123456789abcdeX.new"]
    for name in names:
        path.with_name(name).write_text("")
    assert loaded(path) is None
    assert all(path.with_name(name).exists() for name in names)


def test_retired_ids_are_not_forgotten_and_owners_not_swapped(path: Path) -> None:
    saved(path)
    with FileBoundStore(path) as store:
        with pytest.raises(CallerError, match=r"node ids \[4\] were retired"):
            store.save(Durable(7, Timestamp(NOW, 0), (3,)))
        with pytest.raises(CallerError, match="belongs to node id 7, not 8"):
            store.save(Durable(8, Timestamp(NOW, 0), (3, 4)))
        store.save(Durable(8, Timestamp(0, 0), (3, 4, 7)))
    assert loaded(path) == Durable(8, Timestamp(0, 0), (3, 4, 7))


def test_a_closed_store_says_so(path: Path) -> None:
    store = FileBoundStore(path)
    store.close()
    store.close()
    for call in (store.load, lambda: store.save(OLD)):
        with pytest.raises(CallerError, match="was closed: open the file again"):
            call()


@pytest.mark.parametrize("error", [BoundFileError("/a/b", "it is gone"), BoundLockedError("/a/b")])
def test_errors_keep_their_facts_across_processes(error: DiskError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


# --- one process at a time --------------------------------------------------------------------------------


def run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_file_is_open_once_in_a_process(path: Path) -> None:
    with FileBoundStore(path), pytest.raises(BoundLockedError, match="is in use"):
        FileBoundStore(path)
    with FileBoundStore(path):
        pass


def test_a_file_is_open_once_on_a_machine(path: Path) -> None:
    code = "import sys; from scratchbird_node.bound_store import FileBoundStore; FileBoundStore(sys.argv[1])"
    with FileBoundStore(path):
        done = run(code, str(path))
        assert done.returncode == 1
        assert "BoundLockedError" in done.stderr
    assert run(code, str(path)).returncode == 0


FORK = """
import os, sys
from scratchbird_node.bound_store import FileBoundStore
from scratchbird.errors import BoundLockedError
store = FileBoundStore(sys.argv[1])
ready, go = os.pipe(), os.pipe()
if os.fork() == 0:  # The child outlives the parent's store and must not keep its lock.
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    os._exit(0)
os.read(ready[0], 1)
try:
    FileBoundStore(sys.argv[1])
except BoundLockedError:
    print("locked")
store.close()
FileBoundStore(sys.argv[1])
print("free")
os.write(go[1], b"x")
os.wait()
"""


def test_a_forked_child_does_not_hold_the_lock(path: Path) -> None:
    done = run(FORK, str(path))
    assert done.stdout == "locked\nfree\n", done.stderr


def test_a_forked_child_writes_nothing(path: Path) -> None:
    store = FileBoundStore(path)
    files._close_in_child()  # What a fork calls in the child.
    with pytest.raises(CallerError, match="was closed"):
        store.save(OLD)
    assert not path.exists()
    FileBoundStore(path).close()


# --- a whole clock ----------------------------------------------------------------------------------------


def test_a_clock_on_a_file_restarts_above_all_it_issued(path: Path, hands: Any) -> None:
    clock = hands.clock(FileBoundStore(path))
    ids = [clock.tick() for _ in range(5000)]
    clock.stop()
    with hands.clock(FileBoundStore(path)) as again:
        assert again.tick().timestamp == (ids[-1].ms, ids[-1].counter + 1)


def test_the_stop_of_a_clock_unlocks_the_file(path: Path, hands: Any) -> None:
    clock = hands.clock(FileBoundStore(path))
    with pytest.raises(BoundLockedError):
        FileBoundStore(path)
    clock.stop()
    assert loaded(path) == Durable(7, Timestamp(0, 0), ())


def test_a_file_of_another_node_or_a_retired_id_is_refused(path: Path, hands: Any) -> None:
    saved(path, Durable(7, Timestamp(NOW, 0), ()))
    with FileBoundStore(path) as store:
        with pytest.raises(ConfigurationError, match="belongs to node id 7, not 8"):
            hands.clock(store, node_id=8)
        retire(store, 9)
        with pytest.raises(ConfigurationError, match="node id 7 was retired"):
            hands.clock(store, node_id=7)
        hands.clock(store, node_id=9).tick()


def test_a_disk_that_fails_is_told_and_is_used_again_when_it_is_right(
    path: Path, hands: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = hands.clock(FileBoundStore(path))
    with monkeypatch.context() as patched:
        Power(patched).cut_at = 0
        with pytest.raises(BoundWriteError, match="Input/output error") as refused:
            clock.tick()
        assert isinstance(refused.value.__cause__, BoundFileError)
    assert clock.tick().timestamp == (NOW, 0)
    clock.stop()


ISSUE = """
import sys
from scratchbird import Clock
from scratchbird_node.bound_store import FileBoundStore
clock = Clock(node_id=7, store=FileBoundStore(sys.argv[1]))
while True:
    print(clock.tick(), flush=True)
"""


def test_a_killed_process_leaves_a_file_above_all_that_it_issued(path: Path, hands: Any) -> None:
    command = [sys.executable, "-c", ISSUE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2000)]
        process.kill()
        lines += process.stdout.readlines()
    last = UuidV8.parse([line[:-1] for line in lines if line.endswith("\n")][-1]).timestamp
    durable = loaded(path)
    assert durable is not None
    assert last <= durable.bound
    hands.wall = last.ms - 10_000  # The clock was set back while the node was down.
    with FileBoundStore(path) as store:
        clock = hands.clock(store)
        with pytest.raises(ClockAheadError) as refused:
            clock.tick()
        hands.pass_(refused.value.retry_after_ms)
        assert clock.tick().timestamp > last
