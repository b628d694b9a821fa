"""The log of amendments to sealed windows: batches, each durable in one step, in a row of segments.

Why no crash and no damage makes a window look clean that is not (rule MERKLE_FOREST.R10):

- a batch is synced before anybody is told so, and a new segment's header and name before its first batch;
- batches are numbered without gaps, over all segments. A window's file says up to which number they are in
  its entries, and what is above goes on top: so replaying twice, or after a fold that a crash cut off, is
  right. A number is never used again for something else while a file counts on it;
- what a failed write or sync may have left is never appended to again, its numbers are skipped, and the next
  segment's header says that they do not count;
- a batch that is bad is told from one that a crash cut off: those written later say what was durable. Where
  some were lost, the numbers are told, and every window that may have needed them is built anew;
- a segment goes when nobody needs a batch in it, the oldest first, each removal durable before the next.

:class:`AmendmentLog` knows nothing of windows but their numbers. Whoever owns it says which batches are still
needed.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scratchbird_node import forest_format
from scratchbird_node.errors import FileError, FileMissingError, ForestLimitError
from scratchbird_node.files import Appending, Files
from scratchbird_node.forest_format import BATCH, HEADER, Header
from scratchbird_node.forest_replay import Found, replay
from scratchbird_node.forest_words import Amendment, Settings
from scratchbird_node.hint_words import Report

RECORDS = "amendments"
HEADER_SYNC = "header of a segment of amendments"
SEGMENT_NAME = "name of a segment of amendments"
FOUND = "amendments found at the start"
REMOVAL = "removal of folded amendments"

IsNeeded = Callable[[int, int], bool]
"""(window, number of a batch) -> whether what the batch holds of the window is still needed."""


class Group:
    """Batches that are written and synced together, and how that went."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, bytes, frozenset[int]]] = []
        """Each with its number, its amendments, and their windows."""
        self.size = 0
        """Bytes on the disk."""
        self.ended = False
        self.outcome: FileError | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is left to be written."""
        return self.ended or not self.batches


@dataclass(eq=False)
class Segment:
    """One file of the log."""

    path: Path
    size: int
    windows: dict[int, int] = field(default_factory=dict)
    """The windows that it has amendments of, each with the last batch that has one."""


class AmendmentLog:
    """See the module. Opening waits for the disk, and reads all segments.

    :param identity: of the setting; amendments under another are not told, and needed by nobody.
    :param firsts: the segments that are there, by the numbers in their names.
    :param claimed: the last batch that is in the entries of any window's file.
    :param guard: protects what is in memory; the owner's own.
    :param take: is called with each amendment that was found: window, number of the batch, kind, entry.
    :param lost: is called where batches were lost, with the number of the last one; with ``None`` if nobody
        knows it. A window whose file holds that one as well lacks nothing.
    :param failed: is called with the first and last number of a group that failed, with the guard held.
    :raises FileError: if the disk refuses.
    :raises FormatError: if a segment is of a newer version.
    """

    def __init__(
        self,
        files: Files,
        folder: Path,
        identity: bytes,
        firsts: Sequence[int],
        claimed: int,
        settings: Settings,
        guard: threading.RLock,
        *,
        take: Callable[[int, int, int, bytes], None],
        lost: Callable[[int | None], None],
        failed: Callable[[int, int], None],
        report: Report,
        draw: Callable[[int], bytes],
    ) -> None:
        self._files = files
        self._folder = folder
        self._identity = identity
        self._settings = settings
        self._guard = guard
        self._failed = failed
        self._draw = draw
        self._commit = threading.Lock()  # Held by whoever changes the files.
        self._active: Appending | None = None
        self._header = Header(identity, 0, 0, bytes(forest_format.ID_BYTES))
        self._group = Group()
        found = replay(files, folder, identity, sorted(firsts), claimed, take, lost, report)
        self._segments = [Segment(each.path, each.size, each.windows) for each in found]
        self._durable = max([claimed, *(each.next - 1 for each in found)])
        self._next = max([self._durable, *(each.first for each in found)]) + 1
        self._sync_found(found)

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The number of the last batch that was appended, or found; 0 if there was none."""
        return self._next - 1

    @property
    def durable(self) -> int:
        """The number of the last batch that is durable."""
        return self._durable

    @property
    def size(self) -> int:
        """Bytes of all segments."""
        with self._guard:
            return sum(segment.size for segment in self._segments)

    def oldest(self) -> dict[int, int]:
        """The windows of the oldest segment, each with the last batch that amends it."""
        with self._guard:
            return dict(self._segments[0].windows) if self._segments else {}

    # --- batches ------------------------------------------------------------------------------------------

    def append(self, amendments: Sequence[Amendment]) -> tuple[int, Group]:
        """Take a batch, with the guard held; it waits for nothing. Its number, and the group that it is in.

        :raises ForestLimitError: if too much waits to be written; nothing was taken.
        """
        data = forest_format.encode_amendments(amendments)
        group, size = self._group, BATCH.size + len(data)
        if group.size + size > self._settings.max_queued_bytes:
            raise ForestLimitError(
                "max_queued_bytes",
                self._settings.max_queued_bytes,
                "sync what was appended, and try again" if group.batches else "make smaller batches",
            )
        number, self._next = self._next, self._next + 1
        group.batches.append((number, data, frozenset(each.window for each in amendments)))
        group.size += size
        return number, group

    def has_room(self) -> bool:
        """Whether what waits can be written."""
        with self._guard:
            return self.size + self._group.size + HEADER.size <= self._settings.max_log_bytes

    def write(self, group: Group | None = None) -> bool:
        """Make durable what was appended until now, a group included; its outcome says how that went.

        It waits for others who write. Nothing was written if it is false: there is no room.
        """
        with self._commit:
            if group is not None and group.is_done:
                return True
            with self._guard:
                taken = self._group
                if not taken.batches:
                    return True
                if not self.has_room():
                    return False
                self._group = Group()
            try:
                self._write(taken)
            except BaseException as error:
                self._let_go()
                taken.outcome = (
                    error if isinstance(error, FileError) else FileError(str(self._folder), f"{error!r}")
                )
                with self._guard:
                    self._failed(taken.batches[0][0], taken.batches[-1][0])
                if not isinstance(error, FileError):
                    raise
            finally:
                taken.ended = True
            return True

    def roll(self) -> None:
        """Let the next batch begin another segment."""
        with self._commit:
            self._let_go()

    def trim(self, is_needed: IsNeeded) -> None:
        """Remove the oldest segments while nothing in them is needed.

        :raises FileError: if the disk refuses; the next call goes on.
        """
        with self._commit:
            while self._segments:
                oldest = self._segments[0]
                with self._guard:
                    needed = any(is_needed(*each) for each in oldest.windows.items())
                if needed or (self._active is not None and len(self._segments) == 1):
                    return
                with contextlib.suppress(FileMissingError):
                    self._files.remove(oldest.path)
                # One after another: a gap between segments would look like lost amendments.
                self._files.sync_folder(self._folder, REMOVAL)
                with self._guard:
                    del self._segments[0]

    def close(self) -> None:
        """Write what waits, if there is room, and let go of the file."""
        self.write()
        with self._commit:
            if self._active is not None:
                with contextlib.suppress(FileError):  # It is not synced: it only shows damage, where it is.
                    self._active.append(
                        forest_format.encode_batch(self._header, self._next, self._durable, b"")
                    )
            self._let_go()

    # --- files --------------------------------------------------------------------------------------------

    def _write(self, group: Group) -> None:
        first, last = group.batches[0][0], group.batches[-1][0]
        active = self._begin_segment(first) if self._active is None else self._active
        header, durable = self._header, self._durable
        segment = self._segments[-1]
        with self._guard:
            for number, _, windows in group.batches:
                segment.windows.update(dict.fromkeys(windows, number))
        try:
            active.append(
                b"".join(
                    forest_format.encode_batch(header, number, durable, data)
                    for number, data, _ in group.batches
                )
            )
            active.sync(RECORDS)
        finally:
            segment.size = active.size
        self._durable = last
        if segment.size >= self._settings.segment_bytes:
            self._let_go()

    def _begin_segment(self, first: int) -> Appending:
        """Make the next segment; its header and name are durable when this returns."""
        header = Header(self._identity, self._durable, first, self._draw(forest_format.ID_BYTES))
        path = self._folder / forest_format.segment_name(first)
        active = self._files.append_to(path, new=True)
        segment = Segment(path, 0)
        with self._guard:
            self._segments.append(segment)
        self._active, self._header = active, header
        active.append(header.encode())
        # Before any batch: so a header that is bad, with something behind it, was damaged and not cut off.
        active.sync(HEADER_SYNC)
        self._files.sync_folder(self._folder, SEGMENT_NAME)
        segment.size = active.size
        return active

    def _let_go(self) -> None:
        active, self._active = self._active, None
        if active is not None:
            active.close()

    def _sync_found(self, found: Sequence[Found]) -> None:
        """An earlier process may have died before its sync: what was found is counted on from now on."""
        for each in reversed(found):
            file = self._files.append_to(each.path, new=False)
            try:
                file.sync(FOUND)
            finally:
                file.close()
            if each.windows:  # What is older was synced before this one was begun.
                return
