"""Hints that are written together: a group for each target, made durable side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from scratchbird.errors import BugError, ScratchbirdError
from scratchbird_node.errors import FileError
from scratchbird_node.files import Files
from scratchbird_node.hint_format import RECORD
from scratchbird_node.hint_log import RECORDS, SEGMENT_NAME, Begun, HintLog

Done = Callable[[int | None, ScratchbirdError | None], None]
"""Is told the sequence number of a hint that is durable, or why it is not."""

_log = logging.getLogger(__name__)


class Group:
    """Hints of one target, and who waits for them.

    They are written in parts, one for each segment: :meth:`begin`, :func:`make_durable`, :meth:`end`, until
    it is done or has a failure.
    """

    def __init__(self, target: int, queue: Sequence[tuple[bytes, bytes, Done]]) -> None:
        self.target = target
        self.failure: ScratchbirdError | None = None
        self.begun: Begun | None = None
        self.outcome: ScratchbirdError | None = None
        """Why the part that was begun is not durable."""
        self._hints = [(version, payload) for version, payload, _ in queue]
        self._waiting = [done for _, _, done in queue]
        self._told = 0

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is to be written any more."""
        return self.failure is not None or self._told == len(self._hints)

    @property
    def size(self) -> int:
        """Bytes of all its records."""
        return sum(RECORD.size + len(payload) for _, payload in self._hints)

    def begin(self, log: HintLog) -> None:
        """Append as much of the rest as a segment takes.

        :raises FileError: if the disk refuses.
        """
        self.outcome = None
        self.begun = log.begin(self._hints, self._told)

    def end(self, log: HintLog) -> None:
        """Acknowledge what was begun, in order, or raise its outcome."""
        begun = self.begun
        assert begun is not None
        if self.outcome is not None:
            log.abandon()
            self.begun = None
            raise self.outcome
        first = log.acknowledge(begun)
        self.begun = None
        for number in range(begun.count):
            done = self._waiting[self._told]
            self._told += 1
            call(done, first + number, None)

    def give_up(self) -> None:
        """Tell those who were not told why they are not."""
        for done in self._waiting[self._told :]:
            call(done, None, self.failure)


def make_durable(files: Files, folder: Path, groups: Sequence[Group]) -> None:
    """Sync what was begun of each group, side by side, and then the names of new segments, all at once.

    How it went is each group's outcome.
    """
    parts = [(group, group.begun) for group in groups if group.begun is not None]
    try:
        outcomes = files.sync_all([begun.file for _, begun in parts], RECORDS)
        for (group, _), outcome in zip(parts, outcomes, strict=True):
            group.outcome = outcome
        new = [part for part in parts if part[0].outcome is None and part[1].segment.name_is_unsynced]
        if not new:
            return
        try:
            files.sync_folder(folder, SEGMENT_NAME)
        except FileError as error:
            for group, _ in new:
                group.outcome = error
        else:
            for _, begun in new:
                begun.segment.name_is_unsynced = False
    except Exception as error:
        _log.exception("hints: a bug")
        for group, _ in parts:
            group.outcome = BugError(f"hints for target {group.target}: {error!r}")


def call(done: Callable[..., None], *arguments: object) -> None:
    """One who waits and fails when told does not keep the others from being told."""
    try:
        done(*arguments)
    except Exception:
        _log.exception("hints: a callback failed")
