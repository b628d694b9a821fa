"""The file in which a clock keeps its upper bound (rule HLC.R12), so that a crash at any byte is survived.

The file holds three lines: what it is, the value as JSON, and the SHA-256 of the two before. A new value is
written beside it, made durable, and takes its place in one step; so the file is always the old value or the
new one, which are both safe. What can not be told from a damaged disk is refused, never guessed: a clock that
starts at nothing where it had a bound may issue ids twice.

Beside ``clock.bound`` stands ``clock.bound.lock``: it is locked while a store is open, so that two processes
can not run one node id, and it remembers that a bound was ever written, so that a bound file which somebody
deleted is noticed. It is never deleted while a clock runs. Both stand where a symbolic link leads to, so
that a link and the file itself have one lock.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import threading
import weakref
from pathlib import Path
from typing import Any

from scratchbird.errors import BoundFileError, BoundLockedError, CallerError
from scratchbird.store import Durable
from scratchbird.timestamp import MAX_COUNTER, MAX_MS, MAX_NODE_ID, Timestamp

try:
    import fcntl
except ImportError as error:  # pragma: no cover  # only where there is no flock: Windows
    raise ImportError(
        "scratchbird_node.bound_store needs flock(2), which this system lacks: use Linux, macOS or another "
        "POSIX system, or write a store of your own (scratchbird.store.BoundStore)"
    ) from error

MAGIC = "scratchbird clock bound, version 1"
USED = b"a bound was written\n"
MAX_BYTES = 1 << 20
"""Larger than a file with every node id retired."""
LOCK_ATTEMPTS = 8
_LEFT_OVER = re.compile(r"\.[0-9a-f]{16}\.new")

_RESTORE = (
    "restore the file from a backup that is no older than the node's last id, or give the node a new node id "
    "and a new file (rule HLC.R16)"
)


class FileBoundStore:
    """A :class:`scratchbird.store.BoundStore` in one file.

    :param path: the file, in a folder that exists, on a local disk. Where neither the file nor its lock is
        there, the node id is taken to be new.
    :raises BoundLockedError: if another store has the file open, in this process or another.
    :raises BoundFileError: if the file can not be reached.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._file = Path(os.path.realpath(path))
        self._lock_path = self._file.with_name(self._file.name + ".lock")
        self._guard = threading.RLock()  # For the next three; never held while the disk is waited for.
        self._closed = False
        self._saving = False
        self._lock = -1
        self._stored: Durable | None = None
        for _ in range(LOCK_ATTEMPTS):
            self._lock = self._take_lock()
            if self._lock_is_ours():
                break
            os.close(self._lock)  # Somebody deleted or replaced it after we opened it.
            self._lock = -1
        else:
            raise self._error(f"{self._lock_path} is replaced again and again: leave it alone")
        _OPEN.add(self)
        self._remove_left_overs()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def load(self) -> Durable | None:
        """What was saved last, or ``None`` if nothing ever was.

        :raises BoundFileError: if the file is damaged, foreign, or gone although a bound was once written.
        """
        self._check_open()
        try:
            with self._file.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            if self._was_used():
                raise self._error(
                    f"the file is gone, but a bound was once written to it: {_RESTORE}. If no id was ever "
                    f"issued, delete {self._lock_path}"
                ) from None
            return None
        except OSError as error:
            raise self._unreachable(error, self._path) from error
        self._stored = self._read(data)
        self._mark_used()
        return self._stored

    def save(self, durable: Durable) -> None:
        """Replace the file. When this returns, the new value survives a power cut.

        :raises BoundFileError: if the disk refuses; the old value is then still there.
        :raises CallerError: if the value would make the file forget a retired node id or change its owner
            without a retirement.
        """
        with self._guard:
            self._check_open()
            if self._saving:
                raise CallerError(f"{self._path} is being written: a store makes one write at a time")
            self._saving = True
        try:
            self._check_lock()
            self._check_follows(durable)
            self._replace(encode(durable))
            self._mark_used()
            self._stored = durable
        except OSError as error:
            raise self._unreachable(error, self._path) from error
        finally:
            with self._guard:
                self._saving = False
                if self._closed:
                    self._unlock()

    def close(self) -> None:
        """Give up the lock, or let a write that is under way give it up when it ends: it may hang.

        Closing twice is no error. A write that finds the store closed does not take effect.
        """
        with self._guard:
            self._closed = True
            if not self._saving:
                self._unlock()

    def __del__(self) -> None:
        # A store that was dropped, by a Clock that could not be made for instance, holds its file no longer.
        if hasattr(self, "_lock"):  # Not where the path was no path.
            self.close()

    def __enter__(self) -> FileBoundStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_lock(self) -> int:
        try:
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unreachable(error, self._lock_path) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise BoundLockedError(str(self._path)) from error
        except OSError as error:
            os.close(lock)
            raise self._unreachable(error, self._lock_path) from error
        return lock

    def _unlock(self) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _forget(self) -> None:
        """In a forked child: no thread of the parent is here, whatever it held or was about to write."""
        self._guard = threading.RLock()
        self._closed = True
        self._unlock()

    def _lock_is_ours(self) -> bool:
        """Whether the file that we locked is the one that another process would lock."""
        try:
            return os.path.samestat(os.fstat(self._lock), os.stat(self._lock_path))
        except FileNotFoundError:
            return False

    def _check_lock(self) -> None:
        if not self._lock_is_ours():
            raise self._error(
                f"{self._lock_path} was deleted or replaced while this store was open, so that another "
                "process may use the file as well: stop every process with this node id, then start one"
            )

    def _remove_left_overs(self) -> None:
        """What writes that a crash cut off have left; none can be under way, for we hold the lock."""
        with contextlib.suppress(OSError), os.scandir(self._file.parent) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith(self._file.name) and _LEFT_OVER.fullmatch(name, len(self._file.name)):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)

    def _replace(self, data: bytes) -> None:
        # A name of its own for each write: a late one never writes into what has become the live file.
        new = self._file.with_name(f"{self._file.name}.{secrets.token_hex(8)}.new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self._check_open()  # It may have been closed while the disk hung.
            self._check_lock()
            os.replace(new, self._file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(new)
            raise
        self._sync_folder()

    def _sync_folder(self) -> None:
        folder = os.open(self._file.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _was_used(self) -> bool:
        return os.fstat(self._lock).st_size > 0

    def _mark_used(self) -> None:
        if not self._was_used():
            os.pwrite(self._lock, USED, 0)
            os.fsync(self._lock)

    def _read(self, data: bytes) -> Durable:
        try:
            return decode(data)
        except ValueError as error:
            raise self._error(f"{error}: {_RESTORE}") from error

    def _check_follows(self, durable: Durable) -> None:
        before = self._stored if self._stored is not None else self.load()
        if before is None:
            return
        if missing := set(before.retired) - set(durable.retired):
            raise CallerError(
                f"{self._path}: node ids {sorted(missing)} were retired and can not be forgotten"
            )
        if durable.node_id != before.node_id and before.node_id not in durable.retired:
            raise CallerError(
                f"{self._path} belongs to node id {before.node_id}, not {durable.node_id}: retire the old "
                "one first, or use the node's own file"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise CallerError(f"the store of {self._path} was closed: open the file again")

    def _error(self, detail: str) -> BoundFileError:
        return BoundFileError(str(self._path), detail)

    def _unreachable(self, error: OSError, path: Path) -> BoundFileError:
        return self._error(
            f"{path} can not be used ({error.strerror or error}): the folder must exist on a local disk with "
            "room on it, and this user must be allowed to write there"
        )


def encode(durable: Durable) -> bytes:
    """The bytes of the file for a value."""
    value = {"node_id": durable.node_id, "bound": list(durable.bound), "retired": list(durable.retired)}
    text = f"{MAGIC}\n{json.dumps(value)}\n"
    return f"{text}sha256 {hashlib.sha256(text.encode()).hexdigest()}\n".encode()


def decode(data: bytes) -> Durable:
    """The value that the bytes of a file hold; :class:`ValueError` that says what is wrong with them."""
    if not data:
        raise ValueError("the file is empty")
    if not data.startswith(MAGIC.encode() + b"\n"):
        raise ValueError(f"this is no bound of a clock, or of a newer version: it begins with {data[:40]!r}")
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file is longer than {MAX_BYTES} bytes, which no bound is")
    text, _, checksum = data.rpartition(b"sha256 ")
    if checksum != hashlib.sha256(text).hexdigest().encode() + b"\n":
        raise ValueError("the file is damaged: its checksum does not fit")
    return _durable(json.loads(text.removeprefix(MAGIC.encode())))


def _durable(value: Any) -> Durable:
    """The checksum was right, so that anything wrong here was written by something else than this module."""
    match value:
        case {"node_id": int(node_id), "bound": [int(ms), int(counter)], "retired": [*retired]}:
            ids = [node_id, *retired]
            if 0 <= ms <= MAX_MS and 0 <= counter <= MAX_COUNTER and all(map(_is_node_id, ids)):
                return Durable(node_id, Timestamp(ms, counter), tuple(retired))
    raise ValueError(f"the file holds {value!r}, which is no bound")


def _is_node_id(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_NODE_ID


_OPEN: weakref.WeakSet[FileBoundStore] = weakref.WeakSet()


def _close_in_child() -> None:
    """A forked child does not keep its parent's lock alive when the parent ends; its clock issues nothing."""
    for opened in list(_OPEN):
        with contextlib.suppress(OSError):
            opened._forget()


os.register_at_fork(after_in_child=_close_in_child)
