"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from scratchbird_check.errors import UsageError


def write_atomically(path: Path, text: str) -> None:
    """Write a text file: readers see the old content or the new one, never half of it.

    A link is followed: its target is replaced, not the link.
    """
    path = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def check_writable_file(path: Path) -> None:
    """Find out before a long run, not after it, that its report cannot be written.

    :raises UsageError: naming the path and what is in the way.
    """
    if path.is_dir():
        raise UsageError(f"cannot write {path}: it is a folder, a file name is expected")
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise UsageError(f"cannot write {path}: it is a device or a pipe, the name of a file is expected")
    if not target.parent.is_dir():
        raise UsageError(f"cannot write {path}: there is no folder {target.parent}; make it first")
    _try(target.parent, path)


def check_writable_folder(path: Path) -> None:
    """The same for a folder, which may not be there yet; only its parent must be.

    :raises UsageError: naming the path and what is in the way.
    """
    if path.is_dir():
        _try(path, path)
    elif path.exists():
        raise UsageError(f"cannot write to {path}: it is a file, a folder is expected")
    elif not path.absolute().parent.is_dir():
        raise UsageError(f"cannot make {path}: there is no folder {path.absolute().parent}; make it first")
    else:
        _try(path.absolute().parent, path)


def _try(folder: Path, path: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {error.strerror or error}; choose another place or change its rights"
        ) from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
