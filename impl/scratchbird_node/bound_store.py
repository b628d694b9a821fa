"""The file in which a clock keeps its upper bound (rule HLC.R12), so that a crash at any byte is survived.

The file holds three lines: what it is, the value as JSON, and the SHA-256 of the two before. A new value is
written beside it, made durable, and takes its place in one step; so the file is always the old value or the
new one, which are both safe. What can not be told from a damaged disk is refused, never guessed: a clock that
starts at nothing where it had a bound may issue ids twice.

Beside ``clock.bound`` stands ``clock.bound.lock``: it is locked while a store is open, so that two processes
can not run one node id, and it remembers that a bound was ever written, so that a bound file which somebody
deleted is noticed. It is never deleted while a clock runs. Both stand where a symbolic link leads to, so
that a link and the file itself have one lock.

The lock remembers a bound only when the name of the bound's file is durable: otherwise a power cut might
leave the memory without the file, and the node would not start although nothing was lost.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from os import PathLike
from pathlib import Path
from typing import Any

from scratchbird.errors import BoundFileError, BoundLockedError, CallerError
from scratchbird.store import Durable
from scratchbird.timestamp import MAX_COUNTER, MAX_MS, MAX_NODE_ID, Timestamp
from scratchbird_node.errors import FileError, FileLockedError, FileMissingError
from scratchbird_node.files import Disk, Files, Lock, in_forked_child, left_over_of, replace

BOUND = "bound of a clock"
FOUND_NAME = "name of a bound found at the start"
USED = "memory that a bound was written"

MAGIC = "scratchbird clock bound, version 1"
USED_NOTE = b"a bound was written\n"
MAX_BYTES = 1 << 20
"""Larger than a file with every node id retired."""

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

    def __init__(self, path: str | PathLike[str], *, files: Files | None = None) -> None:
        self._path = Path(path)
        self._files: Files = Disk() if files is None else files
        self._file = self._files.real_path(self._path)
        self._lock_path = self._file.with_name(self._file.name + ".lock")
        self._guard = threading.RLock()  # For the next two; never held while the disk is waited for.
        self._closed = False
        self._saving = False
        self._stored: Durable | None = None
        self._use_is_durable = False
        try:
            self._lock: Lock = self._files.lock(self._lock_path)
        except FileLockedError as error:
            raise BoundLockedError(str(self._path)) from error
        except FileError as error:
            raise self._unreachable(error) from error
        in_forked_child(self, FileBoundStore._forget)
        self._remove_left_overs()

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def load(self) -> Durable | None:
        """What was saved last, or ``None`` if nothing ever was. What is found survives a power cut.

        :raises BoundFileError: if the file is damaged, foreign, or gone although a bound was once written, or
            if the disk refuses.
        """
        self._check_open()
        try:
            data = self._contents()
            if data is None:
                return None
            self._stored = self._decode(data)
            # An earlier process may have died before its sync: what was found is counted on from now on.
            self._files.sync_folder(self._file.parent, FOUND_NAME)
            self._mark_used()
        except FileError as error:
            raise self._unreachable(error) from error
        return self._stored

    def save(self, durable: Durable) -> None:
        """Replace the file. When this returns, the new value survives a power cut.

        :raises BoundFileError: if the disk refuses; the old value is then still there, or the new one.
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
            replace(self._files, self._file, encode(durable), BOUND, self._check_still_ours)
            self._mark_used()
            self._stored = durable
        except FileError as error:
            raise self._unreachable(error) from error
        finally:
            with self._guard:
                self._saving = False
                if self._closed:
                    self._lock.close()

    def close(self) -> None:
        """Give up the lock, or let a write that is under way give it up when it ends: it may hang.

        Closing twice is no error. A write that finds the store closed does not take effect.
        """
        with self._guard:
            self._closed = True
            if not self._saving:
                self._lock.close()

    def __del__(self) -> None:
        # A store that was dropped, by a Clock that could not be made for instance, holds its file no longer.
        if hasattr(self, "_lock"):  # Not where the path was no path, or in use.
            self.close()

    def __enter__(self) -> FileBoundStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _forget(self) -> None:
        """In a forked child: no thread of the parent is here, whatever it held or was about to write."""
        self._guard = threading.RLock()
        self._closed = True
        self._lock.close()

    def _check_lock(self) -> None:
        try:
            self._lock.check()
        except FileError as error:
            raise self._error(
                f"{self._lock_path} was deleted or replaced while this store was open, so that another "
                "process may use the file as well: stop every process with this node id, then start one"
            ) from error

    def _check_still_ours(self) -> None:
        self._check_open()  # It may have been closed while the disk hung.
        self._check_lock()

    def _remove_left_overs(self) -> None:
        """What writes that a crash cut off have left; none can be under way, for we hold the lock."""
        with contextlib.suppress(FileError):
            for name in self._files.names(self._file.parent):
                if left_over_of(name) == self._file.name:
                    with contextlib.suppress(FileError):
                        self._files.remove(self._file.with_name(name))

    def _contents(self) -> bytes | None:
        """The bytes of the file; ``None`` if none was ever written."""
        try:
            file = self._files.read_from(self._file)
        except FileMissingError:
            if self._lock.size:
                raise self._error(
                    f"the file is gone, but a bound was once written to it: {_RESTORE}. If no id was ever "
                    f"issued, delete {self._lock_path}"
                ) from None
            return None
        try:
            return file.read(0, MAX_BYTES + 1)
        finally:
            file.close()

    def _mark_used(self) -> None:
        """Let the lock remember that there is a bound, whose name is durable already."""
        if self._use_is_durable:
            return
        if not self._lock.size:
            self._lock.append(USED_NOTE)
        self._lock.sync(USED)  # Even where the note was found: whoever wrote it may have died before this.
        self._use_is_durable = True

    def _decode(self, data: bytes) -> Durable:
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

    def _unreachable(self, error: FileError) -> BoundFileError:
        return self._error(str(error))


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
