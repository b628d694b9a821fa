"""Histories of a store on a disk in memory: a process that ends at some moment, a promise that was broken.

A script uses a store and writes down in its *promises* what the store has told its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from scratchbird_check.crash_files import CrashFiles, Image

P = TypeVar("P")
"""Promises: each store has its own."""


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


def play_and_open(
    script: Callable[[CrashFiles, P], None],
    promises: P,
    check: Callable[[Image, P], None],
    key: Callable[[P], object],
    *,
    skip: int | None,
    limit: int,
) -> tuple[CrashFiles, int]:
    """Play a history, and check each disk that a power cut may leave at each of its moments.

    :param key: what of the promises matters to ``check``: nothing is checked twice.
    :param skip: the number of a sync that is left out.
    :param limit: disks that are checked of a moment: where there are more, so many are drawn; 0 for none.
    :returns: the disk in the end, and how many were checked.
    """
    seen: set[object] = set()

    def look() -> None:
        for image in files.images(limit, seed=len(files.calls)) if limit else ():
            state = (tuple(sorted(image.items())), key(promises))
            if state not in seen:
                seen.add(state)
                check(image, promises)

    files = CrashFiles(after=look, skip=skip)
    script(files, promises)
    look()
    return files, len(seen)


def needed_syncs(
    scripts: Mapping[str, Callable[[CrashFiles, P], None]], promises: Callable[[], P]
) -> Iterator[tuple[str, int, str]]:
    """The scripts, each with the number of each sync that has something to make durable, and its name."""
    for name, script in scripts.items():
        files = CrashFiles()
        script(files, promises())
        for number, sync in enumerate(files.syncs):
            if sync.needed:
                yield name, number, sync.what
