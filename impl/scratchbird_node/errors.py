"""The exceptions of the node's files, split by whose fault they are.

Their base classes are those of the core, so that one ``except`` clause serves both. Each message names the
file and what to do; facts a program can act on are attributes.

::

    ScratchbirdError
    ├── OverloadError
    │   └── LimitError            a bound of this package is reached: nothing was taken
    │       ├── HintLimitError
    │       └── ForestLimitError
    ├── ConfigurationError
    │   └── FormatError           a file is of a version of this software that this one does not know
    └── DiskError
        └── FileError             a file can not be used
            ├── FileMissingError
            ├── FileExistsAlreadyError
            ├── DiskFullError
            ├── DiskFaultError    the medium failed: what was not yet durable must be taken for lost
            ├── FileLockedError
            └── DamagedWindowError    the file of a sealed window is damaged: it is built anew from the rows
"""

from __future__ import annotations

import errno
from pathlib import Path

from scratchbird.errors import ConfigurationError, DiskError, OverloadError


class FileError(DiskError):
    """A file or folder can not be used."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(path, detail)
        self.path = path
        """The file or folder."""
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


class FileMissingError(FileError):
    """The file, or the folder in which it should be, is not there."""


class FileExistsAlreadyError(FileError):
    """A new file was to be made, and one of that name is there."""


class DiskFullError(FileError):
    """No room is left on the disk, or in the quota of this user."""


class DiskFaultError(FileError):
    """The medium failed to read or write. What was not durable before must be taken for lost."""


class FileLockedError(FileError):
    """Another process, or this one, has the folder open."""


class DamagedWindowError(FileError):
    """The file of a sealed window is not what was written. Nothing of it is served."""

    def __init__(self, path: str, window: int, block: int | None, start: int, end: int, detail: str) -> None:
        super().__init__(path, detail)
        self.args = (path, window, block, start, end, detail)
        self.window = window
        self.block = block
        """Of the body, counted from 0; ``None`` if it is the head, or the whole file."""
        self.start = start
        """The offset of the block in the file, in bytes."""
        self.end = end
        """The offset after it."""

    def __str__(self) -> str:
        where = "" if self.block is None else f" (block {self.block})"
        return (
            f"{self.path}, bytes {self.start} to {self.end}{where}: {self.detail}: build window "
            f"{self.window} anew from the rows and save it; if this comes again, replace the disk"
        )


_DELIVER_HINTS = (
    "start the newer version that wrote it, let it deliver its hints, and then go back; or move the file out "
    "of the folder, and repair the ranges of its target"
)


class FormatError(ConfigurationError):
    """A file is undamaged, but of a format that this software does not know.

    :param remedy: what to do, for this kind of file.
    """

    def __init__(self, path: str, found: int, known: int, remedy: str = _DELIVER_HINTS) -> None:
        super().__init__(path, found, known, remedy)
        self.path = path
        self.found = found
        """The version of the format that the file names."""
        self.known = known
        """The newest version that this software can read."""
        self.remedy = remedy

    def __str__(self) -> str:
        return (
            f"{self.path} has the format version {self.found}, and this software knows version {self.known}: "
            f"{self.remedy}"
        )


class LimitError(OverloadError):
    """A bound of this package is reached. Nothing was taken."""

    def __init__(self, setting: str, limit: int, remedy: str) -> None:
        super().__init__(limit)
        self.args = (setting, limit, remedy)
        self.setting = setting
        """The name of the bound."""
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.setting} = {self.limit} is reached: {self.remedy}"


class HintLimitError(LimitError):
    """A bound of the hints is reached. The hint was not taken."""


class ForestLimitError(LimitError):
    """A bound of the forest's files is reached. Nothing was taken or opened."""


_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_FILES = (errno.EMFILE, errno.ENFILE)


def file_error(error: OSError, path: Path, doing: str) -> FileError:
    """The exception of this package for one of the operating system.

    :param doing: what was tried, as the object of "can not": ``"be read"``.
    """
    why = f"it can not {doing} ({error.strerror or error})"
    number = error.errno
    if number in _FULL:
        return DiskFullError(
            str(path), f"{why}: make room on this disk, or raise the quota; nothing is retried"
        )
    if number == errno.EIO:
        return DiskFaultError(str(path), f"{why}: look into the system's log and replace the disk")
    if number == errno.ENOENT:
        return FileMissingError(
            str(path), f"{why}: the folder must exist, and nobody else may remove files in it"
        )
    if number == errno.EEXIST:
        return FileExistsAlreadyError(
            str(path), f"{why}: somebody else writes here; give the node its own folder"
        )
    if number in _REFUSED:
        return FileError(str(path), f"{why}: allow this user to write there, and mount the disk for writing")
    if number in _NO_FILES:
        return FileError(str(path), f"{why}: raise the limit of open files (ulimit -n) of this process")
    return FileError(str(path), f"{why}: the folder must be on a local disk that this user may write to")
