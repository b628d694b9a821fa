"""Histories of a store on a disk in memory: a process that ends at some moment, a promise that was broken."""

from __future__ import annotations

from collections.abc import Callable

from scratchbird_check.crash_files import CrashFiles, Image


class Killed(BaseException):
    """The process that uses a disk ends here. Whatever it does on its way out has no effect."""


class Broken(BaseException):
    """A promise was not kept. No store takes this for an error of its own."""


def demand(condition: bool, what: str, image: Image) -> None:
    """:class:`Broken` if a condition does not hold of a disk."""
    if not condition:
        raise Broken(f"{what}; on the disk: {image}")


def killed_at(at: int, use: Callable[[CrashFiles], None]) -> CrashFiles:
    """Let ``use`` have an empty disk, and end its process within its ``at``-th change, counted from 1; what
    it leaves. Where it makes fewer changes, it ends after the last.
    """
    changes, left = 0, CrashFiles()

    def after() -> None:
        nonlocal changes, left
        changes += 1
        if changes == at:
            left = files.killed()
            raise Killed

    files = CrashFiles(after=after)
    try:
        use(files)
    except Killed:
        return left
    return files.killed()
