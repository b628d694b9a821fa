"""The one door to the disk: every store appends, makes durable, renames and reads through :class:`Files`.

It is small so that a test can stand in its place, record each call, and show a store every disk that a power
cut may leave behind (``scratchbird_check.crash_files``). Nothing is ever written in place: a file grows at
its end, or takes the place of another by a rename. What the disk promises, and what a store may therefore
count on:

- what was appended is durable when :meth:`Appending.sync` has returned. Before that any of it may be lost, in
  any order: a later block may be there, and an earlier one not;
- a name (a new file, a rename, a removal) is durable when :meth:`Files.sync_folder` has returned. Before that
  each may be lost, whatever became of the others, and whatever became of the contents;
- after a sync has failed nobody knows what is on the disk, and syncing again does not tell: the system may
  have dropped what it could not write. The file is then never appended to again.

A sync is given the name of what it makes durable. The name stands in the error if the disk refuses, and the
tests take each of them away, one after the other, and show what is lost.

All paths are absolute or relative to the working directory; sizes and offsets are in bytes. Every method
raises :class:`~scratchbird_node.errors.FileError` or one of its kinds, with the path and what to do.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import secrets
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from scratchbird.errors import CallerError
from scratchbird_node.errors import FileError, FileLockedError, file_error

try:
    import fcntl
except ImportError as error:  # pragma: no cover  # only where there is no flock: Windows
    raise ImportError(
        "scratchbird_node.files needs flock(2), which this system lacks: use Linux, macOS or another POSIX "
        "system"
    ) from error

LOCK_ATTEMPTS = 8

T = TypeVar("T")


class Appending(Protocol):
    """A file that grows."""

    @property
    def size(self) -> int:
        """Its length, what is not durable included."""

    def append(self, data: bytes | memoryview) -> None:
        """Write all of ``data`` at the end. If this raises, any part of it may be there."""

    def sync(self, what: str) -> None:
        """Return when all that was appended survives a power cut. ``what`` names it, in errors and tests."""

    def close(self) -> None:
        """Let go of the file; nothing is made durable by that. Closing twice is no error."""


class Reading(Protocol):
    """A file that is read at any offset. It goes on being readable after the file was removed."""

    def read(self, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; fewer only where the file ends."""

    def close(self) -> None:
        """Let go of the file. Closing twice is no error."""


class Mapped(Protocol):
    """A file of which every byte stands in memory, and is read from the disk when somebody looks at it.

    It goes on being readable after the file was removed or replaced. Nobody may shorten the file: that, and a
    medium that does not give a page back, ends the process that looks (SIGBUS). Whoever maps a file therefore
    reads it first.
    """

    @property
    def view(self) -> memoryview:
        """The bytes, read-only; empty if the file is. On the real disk they begin where a page does."""

    def close(self) -> None:
        """Let go of the bytes. Closing twice is no error.

        :raises CallerError: if somebody still has a part of the view; nothing was let go of then.
        """


class Lock(Appending, Protocol):
    """The right to use a folder or file, until it is closed or the process ends.

    A note may be appended to its file, which stays there for whoever locks it next.
    """

    def check(self) -> None:
        """:class:`FileError` if somebody took the lock file away, so that others may use the folder as
        well.
        """


class Files(Protocol):
    """What a store asks of the disk."""

    def append_to(self, path: Path, *, new: bool) -> Appending:
        """Open a file in order to append: one that is not there yet if ``new``, else one that is."""

    def read_from(self, path: Path) -> Reading:
        """Open a file in order to read."""

    def map(self, path: Path) -> Mapped:
        """Have the bytes of a file in memory without reading them."""

    def size(self, path: Path) -> int:
        """The length of a file."""

    def real_path(self, path: Path) -> Path:
        """The absolute path to which symbolic links lead, whether or not a file is there."""

    def names(self, folder: Path) -> list[str]:
        """What is in a folder, sorted."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in its folder, in one step; what had that name is gone."""

    def remove(self, path: Path) -> None:
        """Remove a file."""

    def sync_all(self, files: Sequence[Appending], what: str) -> list[FileError | None]:
        """Sync several files side by side, and return when all have ended; why each failed, if it did."""

    def sync_folder(self, folder: Path, what: str) -> None:
        """Return when the names in a folder survive a power cut. ``what`` names them, in errors and tests."""

    def lock(self, path: Path) -> Lock:
        """Lock ``path``, a file that stays for ever; :class:`FileLockedError` if somebody has it."""


def replace(
    files: Files,
    path: Path,
    data: bytes | Sequence[bytes | memoryview],
    what: str,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Put ``data`` in the place of a file, wholly or not at all; it is durable when this returns.

    It may come in pieces, which are written one after another, so that large ones are not copied.

    A crash may leave ``PATH.NEW`` behind, with 16 hexadecimal digits for NEW; see :func:`left_over_of`.

    :param check: is called when the disk has taken the data, before they take their place. Whatever it raises
        leaves the old file there.
    """
    # A name of its own for each: one that comes late never writes into what has become the live file.
    new = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    file = files.append_to(new, new=True)
    try:
        try:
            for piece in (data,) if isinstance(data, bytes) else data:
                file.append(piece)
            file.sync(what)
        finally:
            file.close()
        check()
        files.rename(new, path)
    except BaseException:
        with contextlib.suppress(FileError):
            files.remove(new)
        raise
    files.sync_folder(path.parent, f"name of {what}")


def left_over_of(name: str) -> str | None:
    """The name of the file that was to be replaced, where :func:`replace` made the file of this name, and a
    crash kept it from taking its place.
    """
    stem, _, end = name.rpartition(".")
    old, _, token = stem.rpartition(".")
    is_ours = end == "new" and len(token) == 16 and all(digit in "0123456789abcdef" for digit in token)
    return old if is_ours else None


def still_borrowed(path: Path) -> CallerError:
    """What closing a mapped file raises while a part of its view is in use."""
    return CallerError(f"{path}: parts of the mapped file are still in use: drop them, and close it then")


# --- the real disk ----------------------------------------------------------------------------------------


def _sync_data(descriptor: int) -> None:
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:  # macOS: there fsync() leaves the data in the drive's own memory.
        fcntl.fcntl(descriptor, full)
    elif hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        os.fsync(descriptor)


class DiskAppending:
    """An :class:`Appending` of the operating system."""

    def __init__(self, path: Path, *, new: bool) -> None:
        self._path = path
        self._descriptor = -1
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o600)
            self._size = os.fstat(self._descriptor).st_size
        except OSError as error:
            self.close()
            raise file_error(error, path, "be made" if new else "be opened") from error

    @property
    def size(self) -> int:
        return self._size

    def append(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                written = os.write(self._descriptor, view)
                self._size += written
                view = view[written:]
        except OSError as error:
            raise file_error(error, self._path, "be written to") from error

    def sync(self, what: str) -> None:
        try:
            if self._descriptor < 0:  # It was closed; the system's call would take this for a bug.
                raise OSError(errno.EBADF, os.strerror(errno.EBADF))
            _sync_data(self._descriptor)
        except OSError as error:
            raise file_error(error, self._path, f"make the {what} durable") from error

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):  # What was to be durable was synced, with its error, before.
                os.close(descriptor)


class DiskReading:
    """A :class:`Reading` of the operating system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise file_error(error, path, "be opened") from error

    def read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._descriptor, length, offset)
            while 0 < len(data) < length:
                more = os.pread(self._descriptor, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
        except OSError as error:
            raise file_error(error, self._path, f"be read at byte {offset}") from error
        return data

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class DiskMapped:
    """A :class:`Mapped` of the operating system."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._map: mmap.mmap | None = None
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = os.fstat(descriptor).st_size
                if size:  # The system maps no empty file.
                    self._map = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise file_error(error, path, "be mapped into memory") from error
        self._view = memoryview(b"" if self._map is None else self._map)

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        if self._map is None:
            return
        try:
            self._view.release()
            self._map.close()
        except BufferError:
            self._view = memoryview(self._map)
            raise still_borrowed(self._path) from None
        self._map = None


class DiskLock(DiskAppending):
    """A :class:`Lock` of the operating system, which a process loses when it ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        for _ in range(LOCK_ATTEMPTS):
            self._take()
            if self._is_ours():
                break
            self.close()  # Somebody removed or replaced it after we opened it.
        else:
            raise FileError(str(path), "it is replaced again and again: leave it alone")
        in_forked_child(self, DiskLock.close)

    def check(self) -> None:
        if not self._is_ours():
            raise FileError(
                str(self._path),
                "it was removed or replaced while the folder was in use, so that another process may use the "
                "folder as well: stop every process of this node, then start one",
            )

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()

    def _take(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._descriptor = os.open(self._path, flags, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size = os.fstat(self._descriptor).st_size
        except BlockingIOError as error:
            self.close()
            raise FileLockedError(
                str(self._path),
                "another process, or this one, uses the folder: stop it, or give this node its own folder",
            ) from error
        except OSError as error:
            self.close()
            raise file_error(error, self._path, "be locked") from error

    def _is_ours(self) -> bool:
        """Whether the file that we locked is the one that another process would lock."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), os.stat(self._path))
        except OSError:
            return False


_IN_CHILD: weakref.WeakKeyDictionary[object, Callable[[Any], None]] = weakref.WeakKeyDictionary()


def in_forked_child(owner: T, do: Callable[[T], None]) -> None:
    """Call ``do(owner)`` in every forked child, if the owner still lives then; nothing that it raises of the
    operating system is passed on.

    So a child does not keep its parent's lock alive when the parent ends, and writes nothing of its parent's.
    """
    _IN_CHILD[owner] = do


def _close_in_child() -> None:
    for owner, do in list(_IN_CHILD.items()):
        with contextlib.suppress(OSError):
            do(owner)


os.register_at_fork(after_in_child=_close_in_child)


class Disk:
    """The :class:`Files` of the operating system."""

    max_syncs = 8
    """How many files are synced side by side."""

    _pool: ThreadPoolExecutor | None = None
    """Made when it is first needed."""

    def append_to(self, path: Path, *, new: bool) -> Appending:
        return DiskAppending(path, new=new)

    def read_from(self, path: Path) -> Reading:
        return DiskReading(path)

    def map(self, path: Path) -> Mapped:
        return DiskMapped(path)

    def size(self, path: Path) -> int:
        try:
            return os.stat(path).st_size
        except OSError as error:
            raise file_error(error, path, "be looked at") from error

    def real_path(self, path: Path) -> Path:
        return Path(os.path.realpath(path))

    def names(self, folder: Path) -> list[str]:
        try:
            return sorted(os.listdir(folder))
        except OSError as error:
            raise file_error(error, folder, "be listed") from error

    def rename(self, old: Path, new: Path) -> None:
        try:
            os.replace(old, new)
        except OSError as error:
            raise file_error(error, old, f"be renamed to {new.name}") from error

    def remove(self, path: Path) -> None:
        try:
            os.unlink(path)
        except OSError as error:
            raise file_error(error, path, "be removed") from error

    def sync_all(self, files: Sequence[Appending], what: str) -> list[FileError | None]:
        if len(files) < 2 or self.max_syncs < 2:
            return [_try_to_sync(file, what) for file in files]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.max_syncs - 1, thread_name_prefix="sync")
            in_forked_child(self, Disk._forget_pool)
        pending: list[Future[FileError | None]] = []
        with contextlib.suppress(RuntimeError):  # No thread, at the end of the interpreter: what is left is
            for file in files[1:]:  # synced here.
                pending.append(self._pool.submit(_try_to_sync, file, what))
        here = [_try_to_sync(file, what) for file in (files[0], *files[1 + len(pending) :])]
        return [here[0], *(each.result() for each in pending), *here[1:]]

    def sync_folder(self, folder: Path, what: str) -> None:
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise file_error(error, folder, f"make the {what} durable") from error

    def lock(self, path: Path) -> Lock:
        return DiskLock(path)

    def _forget_pool(self) -> None:
        self._pool = None  # Its threads are the parent's.


def _try_to_sync(file: Appending, what: str) -> FileError | None:
    try:
        file.sync(what)
    except FileError as error:
        return error
    return None
