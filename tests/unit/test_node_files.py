"""The door to the disk: what the real one does and says, and what the one for tests enumerates."""

from __future__ import annotations

import errno
import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scratchbird.errors import CallerError, ConfigurationError, DiskError, OverloadError
from scratchbird_check.crash_files import CrashFiles
from scratchbird_check.crash_histories import killed_at
from scratchbird_node import files as files_module
from scratchbird_node.errors import (
    DiskFaultError,
    DiskFullError,
    FileError,
    FileExistsAlreadyError,
    FileLockedError,
    FileMissingError,
    FormatError,
    HintLimitError,
    file_error,
)
from scratchbird_node.files import Disk, Files, left_over_of, replace

FOLDER = Path("folder")


def both(tmp_path: Path) -> list[tuple[Files, Path]]:
    return [(Disk(), tmp_path), (CrashFiles(), FOLDER)]


def contents(files: Files, path: Path) -> bytes:
    file = files.read_from(path)
    try:
        return file.read(0, 1 << 20)
    finally:
        file.close()


def write(files: Files, path: Path, data: bytes) -> None:
    file = files.append_to(path, new=True)
    file.append(data)
    file.close()


# --- both behave alike ------------------------------------------------------------------------------------


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        path = folder / "a"
        file = files.append_to(path, new=True)
        file.append(b"one")
        file.append(b"")
        file.append(b"two" * 100_000)
        file.sync("words")
        assert file.size == 300_003
        file.close()
        file.close()
        again = files.append_to(path, new=False)
        assert again.size == 300_003
        again.append(b"three")
        again.close()
        reading = files.read_from(path)
        assert reading.read(1, 4) == b"netw"
        assert reading.read(300_003, 100) == b"three"
        assert reading.read(300_008, 100) == b""
        files.remove(path)
        assert reading.read(0, 3) == b"one"  # It goes on being readable.
        reading.close()
        reading.close()
        assert files.names(folder) == []


def test_a_closed_file_is_of_no_use(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        file = files.append_to(folder / "a", new=True)
        reading = files.read_from(folder / "a")
        file.close()
        reading.close()
        calls: list[Callable[[], object]] = [
            lambda file=file: file.append(b"x"),  # type: ignore[misc]
            lambda file=file: file.sync("words"),  # type: ignore[misc]
            lambda reading=reading: reading.read(0, 1),  # type: ignore[misc]
        ]
        for call in calls:
            with pytest.raises(FileError, match="Bad file descriptor"):
                call()


def test_what_is_mapped_is_all_there_and_can_not_be_changed(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        path = folder / "a"
        data = bytes(range(256)) * 1000
        write(files, path, data)
        mapped = files.map(path)
        assert mapped.view == data
        assert mapped.view.readonly
        replace(files, path, b"another", "word")
        files.remove(path)
        assert bytes(mapped.view[-3:]) == b"\xfd\xfe\xff"  # It goes on being readable.
        part = mapped.view[5:7]
        with pytest.raises(CallerError, match="still in use: drop them"):
            mapped.close()
        assert (bytes(part), mapped.view[5]) == (b"\x05\x06", 5)
        part.release()
        mapped.close()
        mapped.close()
        with pytest.raises(ValueError, match="released"):
            mapped.view[0]


def test_an_empty_file_is_mapped_as_nothing_and_a_missing_one_is_refused(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        write(files, folder / "a", b"")
        mapped = files.map(folder / "a")
        assert bytes(mapped.view) == b""
        mapped.close()
        mapped.close()
        with pytest.raises(FileMissingError, match="the folder must exist"):
            files.map(folder / "missing")


def test_names_are_listed_changed_and_removed(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        for name in ("b", "a", "c"):
            write(files, folder / name, name.encode())
        files.rename(folder / "a", folder / "c")
        files.sync_folder(folder, "names")
        assert files.names(folder) == ["b", "c"]
        assert contents(files, folder / "c") == b"a"
        assert files.size(folder / "c") == 1


def test_what_can_not_be_done_is_refused_alike(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        write(files, folder / "there", b"")
        with pytest.raises(FileExistsAlreadyError, match="give the node its own folder"):
            files.append_to(folder / "there", new=True)
        missing = folder / "missing"
        calls: list[Callable[[], object]] = [
            lambda files=files, missing=missing: files.append_to(missing, new=False),  # type: ignore[misc]
            lambda files=files, missing=missing: files.read_from(missing),  # type: ignore[misc]
            lambda files=files, missing=missing: files.size(missing),  # type: ignore[misc]
            lambda files=files, missing=missing: files.remove(missing),  # type: ignore[misc]
            lambda files=files, missing=missing: files.rename(missing, missing),  # type: ignore[misc]
        ]
        for call in calls:
            with pytest.raises(FileMissingError, match="the folder must exist") as refused:
                call()
            assert refused.value.path == str(missing)


def test_a_lock_is_held_once_and_given_up(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        lock = files.lock(folder / "lock")
        lock.check()
        with pytest.raises(FileLockedError):
            files.lock(folder / "lock")
        lock.close()
        again = files.lock(folder / "lock")
        lock.close()  # Twice, which takes nothing from whoever has it now.
        with pytest.raises(FileLockedError):
            files.lock(folder / "lock")
        again.close()


def test_a_lock_that_is_taken_away_is_noticed_and_a_note_in_it_stays(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        path = folder / "lock"
        lock = files.lock(path)
        assert lock.size == 0
        lock.append(b"a note")
        lock.sync("note")
        assert lock.size == 6
        lock.close()
        lock = files.lock(path)
        assert (lock.size, contents(files, path)) == (6, b"a note")
        files.remove(path)
        with pytest.raises(FileError, match="it was removed or replaced"):
            lock.check()
        write(files, path, b"")
        with pytest.raises(FileError, match="it was removed or replaced"):
            lock.check()
        lock.close()


def test_a_file_is_replaced_wholly_and_what_a_crash_leaves_is_known(tmp_path: Path) -> None:
    for files, folder in both(tmp_path):
        replace(files, folder / "a", b"one", "word")
        replace(files, folder / "a", b"two", "word")
        assert contents(files, folder / "a") == b"two"
        replace(files, folder / "a", [b"th", memoryview(b"ree"), b""], "word")
        assert contents(files, folder / "a") == b"three"
        assert files.names(folder) == ["a"]
    assert left_over_of("a.b.0123456789abcdef.new") == "a.b"
    for name in ("a.new", "a.0123456789abcdeX.new", "a", "a.0123456789abcdef.old", "a.b.01234.new"):
        assert left_over_of(name) is None


@pytest.mark.parametrize("call", ["append", "sync word", "rename"])
def test_a_replacement_that_fails_leaves_the_old_file_alone(call: str) -> None:
    files = CrashFiles(
        {"folder/a": b"old"}, fail=lambda made: errno.ENOSPC if made.startswith(call) else None
    )
    with pytest.raises(DiskFullError):
        replace(files, FOLDER / "a", b"new", "word")
    assert files.image() == {"folder/a": b"old"}
    assert files.open_files == 0


def test_a_replacement_that_is_called_off_leaves_the_old_file_alone(tmp_path: Path) -> None:
    def call_off() -> None:
        raise InterruptedError

    for files, folder in both(tmp_path):
        replace(files, folder / "a", b"old", "word")
        with pytest.raises(InterruptedError):
            replace(files, folder / "a", b"new", "word", call_off)
        assert files.names(folder) == ["a"]
        assert contents(files, folder / "a") == b"old"


def test_links_are_followed_to_where_they_lead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("not-yet")
    assert Disk().real_path(Path("link")) == Path(os.path.realpath(tmp_path)) / "not-yet"
    assert CrashFiles().real_path(FOLDER / "a") == FOLDER / "a"


# --- the real one -----------------------------------------------------------------------------------------


def test_a_write_that_the_system_cuts_short_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_write, real_read = os.write, os.pread
    monkeypatch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, bytes(data[:7])))
    monkeypatch.setattr(os, "pread", lambda descriptor, size, at: real_read(descriptor, min(size, 5), at))
    data = bytes(range(100))
    write(Disk(), tmp_path / "a", data)
    assert contents(Disk(), tmp_path / "a") == data


def test_data_and_names_are_synced_by_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: made.append("fdatasync"))
    monkeypatch.setattr(os, "fsync", lambda descriptor: made.append("fsync"))
    file = Disk().append_to(tmp_path / "a", new=True)
    file.sync("words")
    file.close()
    Disk().sync_folder(tmp_path, "names")
    assert made == ["fdatasync", "fsync"]
    monkeypatch.delattr(os, "fdatasync")
    files_module._sync_data(0)
    assert made == ["fdatasync", "fsync", "fsync"]
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, what: made.append(f"fcntl {what}"))
    files_module._sync_data(0)
    assert made[-1] == "fcntl 51"


@pytest.mark.parametrize(
    ("name", "doing"),
    [
        ("write", "can not be written to"),
        ("fdatasync", "can not make the words durable"),
        ("fsync", "can not make the names durable"),
        ("pread", "can not be read at byte 3"),
        ("open", "can not be mapped into memory"),
        ("listdir", "can not be listed"),
        ("unlink", "can not be removed"),
        ("replace", "can not be renamed to b"),
        ("stat", "can not be looked at"),
    ],
)
@pytest.mark.parametrize(
    ("number", "kind", "remedy"),
    [
        (errno.ENOSPC, DiskFullError, "make room on this disk"),
        (errno.EIO, DiskFaultError, "replace the disk"),
        (errno.EACCES, FileError, "allow this user to write there"),
        (errno.EMFILE, FileError, "ulimit -n"),
        (errno.ENODEV, FileError, "must be on a local disk"),
    ],
)
def test_every_failure_names_the_file_and_what_to_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    doing: str,
    number: int,
    kind: type[FileError],
    remedy: str,
) -> None:
    files, path = Disk(), tmp_path / "a"
    file = files.append_to(path, new=True)
    reading = files.read_from(path)

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    calls: dict[str, Callable[[], object]] = {
        "write": lambda: file.append(b"x"),
        "fdatasync": lambda: file.sync("words"),
        "fsync": lambda: files.sync_folder(tmp_path, "names"),
        "pread": lambda: reading.read(3, 1),
        "open": lambda: files.map(path),
        "listdir": lambda: files.names(tmp_path),
        "unlink": lambda: files.remove(path),
        "replace": lambda: files.rename(path, tmp_path / "b"),
        "stat": lambda: files.size(path),
    }
    with monkeypatch.context() as patched:
        patched.setattr(os, name, fail)
        with pytest.raises(kind) as refused:
            calls[name]()
    assert str(refused.value).startswith(str(tmp_path))
    assert doing in str(refused.value)
    assert remedy in str(refused.value)
    assert os.strerror(number) in str(refused.value)
    file.close()
    reading.close()


def test_files_are_for_their_owner_and_links_are_not_followed(tmp_path: Path) -> None:
    write(Disk(), tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(FileError):
        Disk().append_to(tmp_path / "link", new=False)


def test_a_lock_that_is_taken_away_is_noticed(tmp_path: Path) -> None:
    lock = Disk().lock(tmp_path / "lock")
    (tmp_path / "lock").unlink()
    with pytest.raises(FileError, match="stop every process of this node, then start one"):
        lock.check()
    lock.close()
    with pytest.raises(FileMissingError, match="can not be locked"):
        Disk().lock(tmp_path / "missing" / "lock")


def test_a_lock_that_is_replaced_all_the_time_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os.path, "samestat", lambda one, other: False)
    with pytest.raises(FileError, match="replaced again and again"):
        Disk().lock(tmp_path / "lock")


def test_a_forked_child_does_not_hold_the_lock(tmp_path: Path) -> None:
    lock = Disk().lock(tmp_path / "lock")
    files_module._close_in_child()  # What a fork calls in the child.
    Disk().lock(tmp_path / "lock").close()
    lock.close()


@pytest.mark.parametrize(
    "error",
    [
        FileError("/a", "b"),
        DiskFullError("/a", "b"),
        FormatError("/a", 2, 1),
        HintLimitError("max_bytes", 5, "wait"),
        file_error(OSError(errno.EIO, "x"), Path("/a"), "be read"),
    ],
)
def test_errors_keep_their_facts_across_processes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
    assert isinstance(error, DiskError | ConfigurationError | OverloadError)


# --- the one for tests ------------------------------------------------------------------------------------


def images(files: CrashFiles, limit: int = 10_000) -> list[dict[str, bytes]]:
    return list(files.images(limit, seed=1))


def test_of_unsynced_bytes_any_prefix_and_any_blocks_are_there() -> None:
    files = CrashFiles({"folder/a": b"OLD"}, block=4)
    file = files.append_to(FOLDER / "a", new=False)
    file.append(b"abc")
    file.append(b"defg")
    found = {image["folder/a"] for image in images(files)}
    whole = b"OLDabcdefg"
    assert found >= {whole[:length] for length in range(3, 11)}
    assert found >= {b"OLD\0bcde", b"OLDa\0\0\0\0fg", b"OLD\0\0\0\0\0fg", b"OLD\0bcdefg"}
    assert all(data.startswith(b"OLD") for data in found)
    assert len(images(files)) == len(found)
    file.sync("letters")
    assert images(files) == [{"folder/a": whole}]


def test_of_unsynced_names_any_combination_took_effect() -> None:
    files = CrashFiles({"folder/a": b"1", "folder/b": b"2"})
    files.rename(FOLDER / "a", FOLDER / "b")
    files.append_to(FOLDER / "c", new=True)
    files.remove(FOLDER / "b")
    found = [tuple(sorted((path[-1], data) for path, data in image.items())) for image in images(files)]
    assert set(found) == {
        (("a", b"1"), ("b", b"2")),
        (("a", b"1"), ("b", b"2"), ("c", b"")),
        (("b", b"1"),),
        (("b", b"1"), ("c", b"")),
        (),
        (("c", b""),),
    }
    files.sync_folder(FOLDER, "names")
    assert images(files) == [{"folder/c": b""}]


def test_contents_and_names_are_lost_apart() -> None:
    files = CrashFiles()
    file = files.append_to(FOLDER / "a", new=True)
    file.append(b"x")
    file.sync("letters")
    assert images(files) == [{}, {"folder/a": b"x"}]
    file.append(b"y")
    files.sync_folder(FOLDER, "names")
    assert [image["folder/a"] for image in images(files)] == [b"x", b"xy"]


def test_beyond_the_bound_a_sample_is_drawn_that_a_seed_repeats() -> None:
    files = CrashFiles()
    for name in "abcdef":
        files.append_to(FOLDER / name, new=True).append(bytes([1]) * 500)
    some = images(files, limit=200)
    assert 100 < len(some) <= 204
    assert some == images(files, limit=200)
    assert {} in some
    assert files.image() in some


def test_a_sync_that_is_skipped_or_failed_makes_nothing_durable() -> None:
    skipped = CrashFiles(skip=0)
    file = skipped.append_to(FOLDER / "a", new=True)
    skipped.sync_folder(FOLDER, "names")
    assert {} in images(skipped)
    file.append(b"x")
    file.sync("letters")
    failing = CrashFiles({"folder/a": b""}, fail=lambda call: errno.EIO if call == "sync first" else None)
    file = failing.append_to(FOLDER / "a", new=False)
    file.append(b"x")
    with pytest.raises(DiskFaultError):
        file.sync("first")
    file.sync("second")  # It succeeds, as on many systems, and makes nothing durable.
    assert {"folder/a": b""} in images(failing)


def test_a_killed_process_leaves_all_it_wrote_and_nothing_of_it_durable() -> None:
    files = CrashFiles()
    files.append_to(FOLDER / "a", new=True).append(b"x")
    files.lock(FOLDER / "lock")
    files.sync_folder(Path("other"), "nothing")
    after = files.killed()
    assert after.image() == {"folder/a": b"x", "folder/lock": b""}
    assert [image for image in images(after) if "folder/lock" not in image] == [
        {},
        {"folder/a": b""},
        {"folder/a": b"x"},
    ]
    after.lock(FOLDER / "lock")
    after.append_to(FOLDER / "a", new=False).sync("letters")
    assert len(images(after)) == 4
    assert len(images(files)) == 6  # It is a copy.


def test_a_process_is_ended_within_any_of_its_changes_and_does_nothing_afterwards() -> None:
    def use(files: CrashFiles) -> None:
        file = files.append_to(FOLDER / "a", new=True)
        try:
            file.append(b"x")
            file.append(b"y")
        finally:
            files.remove(FOLDER / "a")

    left = [killed_at(at, use).image() for at in range(1, 6)]
    assert left == [{"folder/a": b""}, {"folder/a": b"x"}, {"folder/a": b"xy"}, {}, {}]
