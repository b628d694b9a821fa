"""The sealed windows of a forest on disk, and what was amended since they were saved, in one locked folder.

A window is saved as one file (:mod:`scratchbird_node.forest_window`), which is mapped and not loaded. What
changes afterwards goes into a log (:mod:`scratchbird_node.forest_log`), and on top of the file when the
window is opened again; it is dirty then, and its digest is not told before it was hashed anew (rules
MERKLE_FOREST.R9 and R10). When it has many amendments, or holds on to an old segment of the log, it is *due*:
whoever owns the trees hashes it and saves it anew.

Nothing here is the only copy of anything. A window whose file is damaged, of another setting, or gone is
named with the reason, never served, and built anew from the rows. Where the log is full although windows are
due, those that hold on to its oldest segment are given up in the same way: sealing is never a reason to
refuse a row. Windows that are not sealed are not here: after a restart they are built from the rows, and so
nothing of them is dirty.

What the caller has to do:

- A change that hits several windows (a row that moves from one to another) is one batch; it is durable
  wholly or not at all.
- A batch is synced before, or together with, the row that it is about; never after it. After a crash the
  last batches may therefore speak of rows that are not there: compare what they say with the rows, and amend
  again.
- The rows that a window shows are durable before it is saved. Nothing is left in the log then of what its
  file holds, and nobody would find after a crash that a row is not there (rule MERKLE_FOREST.R10).
- What a rebuild takes from "the rows" includes the older entries that are shown while a newer version is
  under way (rule MERKLE_FOREST.R1), wherever those are kept.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchbird.errors import CallerError
from scratchbird_node import forest_format
from scratchbird_node.errors import DamagedWindowError, FileError, FileMissingError, ForestLimitError
from scratchbird_node.files import Disk, Files, left_over_of, replace
from scratchbird_node.forest_format import Head
from scratchbird_node.forest_log import AmendmentLog, Group
from scratchbird_node.forest_pending import Pending
from scratchbird_node.forest_window import OpenWindow, load_head, open_window
from scratchbird_node.forest_words import (
    DIGEST_BYTES,
    ENTRY_BYTES,
    IDENTITY_BYTES,
    MAX_BATCH,
    MAX_WINDOW,
    Amendment,
    Settings,
    Why,
)
from scratchbird_node.hint_words import Damage

WINDOW = "sealed window"
REMOVAL = "removal of sealed windows"
FOUND_NAMES = "names of a forest found at the start"
LOCK = "forest.lock"

Buffer = bytes | bytearray | memoryview

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Mark:
    """From here on a window's amendments go on top of what will be saved; see :meth:`ForestStore.mark`."""

    window: int
    number: int
    """The last batch that is in what will be saved."""
    is_valid: bool = True
    """Whether it can still be saved: it was not, nor given up, nor marked again, and no batch in it was
    refused.
    """


@dataclass(eq=False)
class _Kept:
    """A window whose file is there."""

    head: Head
    is_usable: bool = True
    """False where it should be removed, and that failed so far."""


class ForestStore:
    """The sealed windows of one setting. Its methods may be called from any thread, and those that wait for
    the disk say so.

    Opening waits for the disk: it reads the head of each window, and the log of amendments.

    :param folder: for these files alone, there already, on a local disk.
    :param identity: of the setting, 32 bytes (rule MERKLE_FOREST.R7). Windows of another one are removed.
    :param draw: makes random bytes, for the ids of segments.
    :raises FileLockedError: if another process has the folder open.
    :raises FileError: if the disk refuses.
    :raises FormatError: if a file is of a newer version of this software.
    """

    def __init__(
        self,
        folder: Path,
        identity: bytes,
        settings: Settings | None = None,
        *,
        files: Files | None = None,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if len(identity) != IDENTITY_BYTES:
            raise CallerError(
                f"the identity {identity.hex()} has {len(identity)} bytes, not {IDENTITY_BYTES}"
            )
        self._folder = Path(folder)
        self._identity = identity
        self._settings = Settings() if settings is None else settings
        self._files: Files = Disk() if files is None else files
        self._guard = threading.RLock()  # For what is in memory; never held while the disk is waited for.
        self._names = (
            threading.RLock()
        )  # Held by whoever changes files of windows, or opens one; taken first.
        self._kept: dict[int, _Kept] = {}
        self._pending = Pending()
        self._marks: dict[int, Mark] = {}
        self._why: dict[int, Why] = {}
        self._open_count = 0
        self._closed = False
        self._generation = 0
        self._damage: deque[Damage] = deque(maxlen=self._settings.max_reports)
        self._lock = self._files.lock(self._folder / LOCK)
        try:
            self._log = self._open(draw)
        except BaseException:
            self._lock.close()
            raise

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def windows(self) -> list[int]:
        """The windows that can be opened, in order."""
        with self._guard:
            return sorted(window for window, kept in self._kept.items() if kept.is_usable)

    @property
    def to_rebuild(self) -> dict[int, Why]:
        """The windows that can not, as far as their files or the log name them: they are to be built anew
        from the rows, and saved. So is any other sealed window that is not in :attr:`windows`.
        """
        with self._guard:
            return dict(sorted(self._why.items()))

    @property
    def damage(self) -> list[Damage]:
        """What was found damaged or foreign since the store was opened, the newest last."""
        with self._guard:
            return list(self._damage)

    @property
    def log_bytes(self) -> int:
        """What the log of amendments takes on the disk; never more than ``max_log_bytes``."""
        return self._log.size

    def digest(self, window: int) -> bytes | None:
        """The digest of a window, 32 bytes, or none if it has no entries; it waits for nothing.

        ``None`` if there are amendments: it is dirty (rule MERKLE_FOREST.R10).

        :raises CallerError: if the window can not be opened.
        """
        with self._guard:
            head = self._usable(window).head
            return None if self._pending.count(window) else head.digest

    def digests(self) -> dict[int, bytes | None]:
        """By window, all that :meth:`digest` says."""
        with self._guard:
            return {window: self.digest(window) for window in self.windows}

    def amended(self, window: int) -> int:
        """How often a window was amended since it was first saved (rule MERKLE_FOREST.R9).

        :raises CallerError: if the window can not be opened.
        """
        with self._guard:
            return self._usable(window).head.amended + self._pending.count(window)

    def due(self) -> list[int]:
        """The windows that are to be saved anew: those with the most amendments first, then those that keep
        an old segment of the log from going.
        """
        with self._guard:
            due = [
                window
                for count, window in sorted(self._pending.counts(), reverse=True)
                if count >= self._settings.fold_after and window in self._kept
            ]
            if 2 * self._log.size > self._settings.max_log_bytes:
                oldest = self._log.oldest().items()
                due += [each for each, number in oldest if each not in due and self._is_needed(each, number)]
            return due

    def open(self, window: int) -> OpenWindow:
        """Verify a window and have it in memory, with its amendments. It waits for the disk.

        What it says are the amendments is a copy of this moment.

        :raises DamagedWindowError: if its file is damaged. It is then removed, and to be built anew.
        :raises ForestLimitError: if ``max_open_windows`` are open.
        :raises CallerError: if the window can not be opened, or the store was closed.
        :raises FileError: if the disk refuses.
        """
        with self._names:
            with self._guard:
                self._check_open()
                self._usable(window)
                if self._open_count >= self._settings.max_open_windows:
                    raise ForestLimitError(
                        "max_open_windows",
                        self._settings.max_open_windows,
                        f"close another window before you open window {window}",
                    )
            try:
                opened = open_window(
                    self._files, self._path(window), window, self._amendments, self._closed_one
                )
            except (DamagedWindowError, FileMissingError) as error:
                if isinstance(error, DamagedWindowError):
                    self._report(Damage(error.path, error.start, error.end, error.detail))
                with contextlib.suppress(FileError):  # It goes on being of no use, here and after a restart.
                    is_gone = isinstance(error, FileMissingError)
                    self._drop([window], Why.MISSING if is_gone else Why.DAMAGED)
                raise
            with self._guard:
                self._open_count += 1
            return opened

    # --- amendments ---------------------------------------------------------------------------------------

    def append(self, amendments: Iterable[Amendment]) -> Group:
        """Take amendments that become durable in one step; it waits for nothing. Sync what it returns.

        Those of windows that are not here, nor marked, are passed over: such a window is built from the rows.

        :raises ForestLimitError: if too much waits to be written; nothing was taken.
        :raises CallerError: if one is impossible, or the store was closed.
        """
        batch = list(amendments)
        if len(batch) > MAX_BATCH:
            raise CallerError(f"{len(batch)} amendments in one batch: at most {MAX_BATCH} are taken")
        for each in batch:
            each.check()
        with self._guard:
            self._check_open()
            batch = [each for each in batch if each.window in self._kept or each.window in self._marks]
            if not batch:
                return Group()
            number, group = self._log.append(batch)
            for each in batch:
                self._pending.add(each.window, number, forest_format.encode_amendments([each])[8:])
            return group

    def sync(self, group: Group) -> None:
        """Return when what was appended is durable. Whoever comes meanwhile is written together next time.

        :raises FileError: if the disk refuses. What was appended may be there all the same, after a restart.
        """
        while not group.is_done:
            with self._guard:
                self._check_open()
            self._lock.check()
            if not self._log.write(group):
                self._relieve()
        if group.outcome is not None:
            raise group.outcome

    # --- saving -------------------------------------------------------------------------------------------

    def mark(self, window: int) -> Mark:
        """Begin to save a window: what is appended from now on goes on top of it; it waits for nothing.

        What is saved has to hold all that was appended before. An earlier mark of the window is void.

        :raises CallerError: if the window is impossible, or the store was closed.
        """
        if not 0 <= window <= MAX_WINDOW:
            raise CallerError(f"window {window}: it must be between 0 and {MAX_WINDOW}")
        with self._guard:
            self._check_open()
            self._unmark(window)
            mark = self._marks[window] = Mark(window, self._log.last)
            return mark

    def cancel(self, mark: Mark) -> None:
        """Give up saving what was marked. What is on the disk stays."""
        with self._guard:
            if self._marks.get(mark.window) is mark:
                self._unmark(mark.window)

    def save(self, mark: Mark, records: Buffer, levels: Buffer, digest: bytes) -> bool:
        """Write a window's file, wholly or not at all; it is durable when this returns. It waits for the
        disk.

        Its amendments up to the mark are ignored from then on, and segments of the log that nobody needs go.

        :param records: the entries, 48 bytes each, sorted by place. That is not checked.
        :param levels: the node digests of the levels 0 to D, 32 bytes each; nothing if there are no entries.
        :param digest: of the window, which is served as it is; nothing if there are no entries.
        :return: false, and nothing was written, if the mark is void: the window was given up or marked again
            meanwhile, or a batch that is in it was refused by the disk. Mark it again.
        :raises CallerError: if the lengths do not fit together, or the store was closed.
        :raises FileError: if the disk refuses: what was there before is there, or what was to be saved, and
            the amendments with it. Call it again.
        """
        window = mark.window
        entries, levels = memoryview(records).cast("B"), memoryview(levels).cast("B")
        depth = _depth_of(len(levels))
        count, rest = divmod(len(entries), ENTRY_BYTES)
        if rest or depth is None or (count == 0) != (len(levels) == 0):
            raise CallerError(
                f"window {window}: {len(entries)} bytes of entries and {len(levels)} of node digests do not "
                f"fit together: an entry has {ENTRY_BYTES} bytes, and the levels 0 to D have "
                f"{DIGEST_BYTES} * (16**(D+1) - 1) / 15"
            )
        if len(digest) != (DIGEST_BYTES if count else 0):
            raise CallerError(
                f"window {window} has {count} entries, and its digest {len(digest)} bytes: it has "
                f"{DIGEST_BYTES}, or none if there are no entries"
            )
        with self._names:
            with self._guard:
                self._check_open()
            self._lock.check()
            while mark.is_valid and not self._log.write():  # What is in the entries is durable before them.
                self._relieve()
            with self._guard:
                if not mark.is_valid:
                    return False
                folded = min(mark.number, self._log.durable)  # A number that was refused is not claimed.
                kept = self._kept.get(window)
                amended = 0 if kept is None else kept.head.amended + self._pending.count(window, mark.number)
                self._generation += 1
                head = Head(
                    self._identity, window, count, depth, self._generation, folded, amended, bytes(digest)
                )
            data = forest_format.encode_window(head, entries, levels)
            try:
                replace(self._files, self._path(window), data, WINDOW, self._lock.check)
            except BaseException:
                with self._guard:  # It may be there all the same: its amendments are kept, until it is gone.
                    if self._kept.setdefault(window, _Kept(head, is_usable=False)).head is head:
                        self._why[window] = Why.NOT_SAVED
                raise
            with self._guard:
                self._kept[window] = _Kept(head)
                self._pending.drop(window, mark.number)
                self._unmark(window)
                self._why.pop(window, None)
            with contextlib.suppress(FileError):  # It is tried again when the next window is saved.
                self._log.trim(self._is_needed)
            return True

    def give_up(self, windows: Sequence[int]) -> None:
        """Remove the files of windows; they are built anew from the rows. It waits for the disk.

        Marks of theirs are void. It makes room where the disk is full.

        :raises FileError: if the disk refuses: call it again. Meanwhile the windows are of no use.
        """
        with self._names:
            with self._guard:
                self._check_open()
            self._lock.check()
            self._drop(windows, Why.GIVEN_UP)
            self._log.trim(self._is_needed)

    def close(self) -> None:
        """Write what waits, and give the folder up. Windows that are open stay so.

        Closing twice is no error.
        """
        with self._names:
            with self._guard:
                if self._closed:
                    return
                self._closed = True
            try:
                self._log.close()
            finally:
                self._lock.close()

    def __enter__(self) -> ForestStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- opening ------------------------------------------------------------------------------------------

    def _open(self, draw: Callable[[int], bytes]) -> AmendmentLog:
        firsts, bad = [], dict[int, Why]()
        for name in self._files.names(self._folder):
            window, first = forest_format.parse_window_name(name), forest_format.parse_segment_name(name)
            if first is not None:
                firsts.append(first)
            elif window is not None:
                self._load(window, bad)
            elif forest_format.parse_window_name(left_over_of(name) or "") is not None:
                self._files.remove(self._folder / name)
            elif name != LOCK:
                path = self._folder / name
                detail = "this is no file of a forest: it is left alone; move it out of the folder"
                self._report(Damage(str(path), 0, self._files.size(path), detail))
        self._generation = max((each.head.generation for each in self._kept.values()), default=0)

        def lose(last: int | None) -> None:
            for window, kept in self._kept.items():
                if last is None or kept.head.folded < last:
                    bad.setdefault(window, Why.LOST_AMENDMENTS)

        log = AmendmentLog(
            self._files,
            self._folder,
            self._identity,
            firsts,
            max((each.head.folded for each in self._kept.values()), default=0),
            self._settings,
            self._guard,
            take=self._found,
            lost=lose,
            failed=self._failed,
            report=self._report,
            draw=draw,
        )
        # An earlier process may have died before its sync: what was found here is counted on from now on.
        self._files.sync_folder(self._folder, FOUND_NAMES)
        for why in set(bad.values()):
            self._drop([window for window, reason in bad.items() if reason is why], why)
        log.trim(self._is_needed)
        return log

    def _load(self, window: int, bad: dict[int, Why]) -> None:
        path = self._path(window)
        try:
            head = load_head(self._files, path, window)
        except DamagedWindowError as error:
            self._report(Damage(str(path), error.start, error.end, error.detail))
            head = Head(self._identity, window, 0, 0, 0, 0, 0, b"")
            bad[window] = Why.DAMAGED
        if head.identity != self._identity:
            bad[window] = Why.OTHER_SETTING
        self._kept[window] = _Kept(head)

    def _found(self, window: int, number: int, kind: int, entry: bytes) -> None:
        kept = self._kept.get(window)
        if kept is None:
            self._why[window] = Why.MISSING
        elif number > kept.head.folded:
            self._pending.add(window, number, bytes([kind]) + entry)

    # --- what is needed, and what goes --------------------------------------------------------------------

    def _is_needed(self, window: int, number: int) -> bool:
        """Whether what a batch says of a window is not in its entries yet. The guard is held."""
        kept, mark = self._kept.get(window), self._marks.get(window)
        if kept is not None:
            return number > kept.head.folded
        return mark is not None and number > mark.number

    def _relieve(self) -> None:
        """Make room in the log: the windows that hold on to its oldest segment are given up."""
        with self._names:
            if self._log.has_room():
                return  # Somebody else made it.
            oldest = self._log.oldest()
            with self._guard:
                windows = [window for window, number in oldest.items() if self._is_needed(window, number)]
            self._log.roll()
            self._drop(windows, Why.LOG_FULL)
            self._log.trim(self._is_needed)

    def _drop(self, windows: Sequence[int], why: Why) -> None:
        """Remove the files of windows. Until that is durable their amendments go on being kept: a file that
        is there after a crash must not look clean.
        """
        with self._guard:
            for window in windows:
                if window in self._kept or window in self._marks:
                    self._why[window] = why
                self._unmark(window)
            there = [window for window in windows if window in self._kept]
            for window in there:
                self._kept[window].is_usable = False
        for window in there:
            with contextlib.suppress(FileMissingError):
                self._files.remove(self._path(window))
        if there:
            self._files.sync_folder(self._folder, REMOVAL)
        with self._guard:
            for window in windows:
                self._kept.pop(window, None)
                self._unmark(window)

    def _failed(self, first: int, last: int) -> None:
        """Batches were refused by the disk. The guard is held."""
        self._pending.remove(first, last)
        for mark in list(self._marks.values()):
            if mark.number >= first:
                self._unmark(mark.window)

    def _unmark(self, window: int) -> None:
        """Forget a mark, and what was only kept for it. The guard is held."""
        mark = self._marks.pop(window, None)
        if mark is not None:
            mark.is_valid = False
        if window not in self._kept:
            self._pending.drop(window)

    # --- words --------------------------------------------------------------------------------------------

    def _usable(self, window: int) -> _Kept:
        kept = self._kept.get(window)
        if kept is None or not kept.is_usable:
            why = self._why.get(window)
            raise CallerError(
                f"window {window} is not on disk: {'it was not saved' if why is None else why.value}; build "
                "it from the rows and save it"
            )
        return kept

    def _amendments(self, head: Head) -> dict[bytes, bytes | None]:
        with self._guard:
            return self._pending.latest(head.window, head.folded)

    def _closed_one(self) -> None:
        with self._guard:
            self._open_count -= 1

    def _path(self, window: int) -> Path:
        return self._folder / forest_format.window_name(window)

    def _report(self, damage: Damage) -> None:
        _log.error("%s", damage)
        with self._guard:
            self._damage.append(damage)

    def _check_open(self) -> None:
        if self._closed:
            raise CallerError(f"the forest in {self._folder} was closed: open it again")


def _depth_of(size: int) -> int | None:
    """The depth of levels of so many bytes; 0 if there are none, ``None`` if that is no depth's."""
    if not size:
        return 0
    depths = range(forest_format.MAX_DEPTH + 1)
    return next((depth for depth in depths if forest_format.levels_bytes(depth) == size), None)
