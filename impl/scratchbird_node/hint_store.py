"""All hints of a node: a log for each target, group commit, and the repairs owed, in one locked folder.

Whoever writes a hint is told when it is durable. Meanwhile others come; all that have come are written and
synced together, off the event loop, in a thread of the store's own, the files of several targets side by
side. So the disk sets how long a hint takes, and not how many there are. What waits to be written is bounded
in bytes, and more is refused at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

from scratchbird.errors import BugError, CallerError, ScratchbirdError
from scratchbird_node.errors import FileError, HintLimitError
from scratchbird_node.files import Disk, Files
from scratchbird_node.hint_format import MAX_TARGET, RECORD, VERSION_BYTES, parse_name
from scratchbird_node.hint_group import Done, Group, call, make_durable
from scratchbird_node.hint_log import HintLog
from scratchbird_node.hint_reader import HintReader
from scratchbird_node.hint_words import Damage, Settings
from scratchbird_node.owed_marks import OwedMarks

FOUND_NAMES = "names found at the start"
LOCK = "hints.lock"

Flushed = Callable[[ScratchbirdError | None], None]
"""Is told that all that was paid is durable, or why it is not."""

_OURS = re.compile(r"([0-9]{1,20})-.*\.(hints|paid|bad|foreign)")
_log = logging.getLogger(__name__)


class HintStore:
    """The hints of a node. Its methods may be called from any thread, and those that wait for the disk say
    so.

    Opening waits for the disk: it reads the ends of each segment, and what a crash has left open.

    :param folder: for these files alone, there already, on a local disk.
    :param threaded: whether a thread writes what comes. Without one, :meth:`commit` must be called.
    :param draw: makes random bytes, for the ids of segments.
    :raises FileLockedError: if another process has the folder open.
    :raises FileError: if the disk refuses.
    :raises FormatError: if a file is of a newer version of this software.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        *,
        files: Files | None = None,
        threaded: bool = True,
        draw: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._folder = Path(folder)
        self._settings = Settings() if settings is None else settings
        self._files: Files = Disk() if files is None else files
        self._draw = draw
        self._guard = threading.Condition()  # For all that follows; never held while the disk is waited for.
        self._logs: dict[int, HintLog] = {}
        self._hints: dict[int, list[tuple[bytes, bytes, Done]]] = {}
        self._flushes: dict[int, list[Flushed]] = {}
        self._queued_bytes = 0
        self._size = 0
        self._sizes: dict[int, int] = {}  # Of each log, as of its last change.
        self._closing = False
        self._damage: deque[Damage] = deque(maxlen=self._settings.max_reports)
        self._damage_count = 0
        self._commit_guard = threading.Lock()  # Held by whoever writes.
        self._used: dict[int, None] = {}  # Targets whose logs hold a file open, the one used last at the end.
        self._thread: threading.Thread | None = None
        self._lock = self._files.lock(self._folder / LOCK)
        try:
            self._open()
        except BaseException:
            self._lock.close()
            raise
        if threaded:
            self._thread = threading.Thread(target=self._run, name="hints", daemon=True)
            self._thread.start()

    # --- what is there ------------------------------------------------------------------------------------

    owed: OwedMarks
    """The repairs owed to targets. Its methods wait for the disk."""

    def targets(self) -> list[int]:
        """The targets for which hints are pending, in order."""
        with self._guard:
            logs = list(self._logs.values())
        return sorted(log.target for log in logs if log.pending)

    def pending(self, target: int) -> int:
        """How many durable hints of a target are not paid."""
        with self._guard:
            log = self._logs.get(target)
        return 0 if log is None else log.pending

    @property
    def size(self) -> int:
        """Bytes on the disk, as of the last commit."""
        return self._size

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait to be written."""
        return self._queued_bytes

    @property
    def damage(self) -> list[Damage]:
        """What was found damaged since the store was opened, the newest last; only so many are kept."""
        with self._guard:
            return list(self._damage)

    @property
    def damage_count(self) -> int:
        """How often damage was found since the store was opened."""
        return self._damage_count

    # --- hints --------------------------------------------------------------------------------------------

    def append(self, target: int, version: bytes, payload: bytes, done: Done) -> None:
        """Take a hint; it waits for nothing.

        :param target: the node that the hint is for.
        :param version: 16 bytes.
        :param payload: whatever the target will be told, at most ``max_payload_bytes``.
        :param done: is called once, in the thread that writes, in the order of the hints of a target. After a
            :class:`FileError` the hint may be there all the same, at the next start.
        :raises HintLimitError: if a bound is reached; the hint was not taken.
        :raises CallerError: if a value is impossible, or the store was closed.
        """
        size = RECORD.size + len(payload)
        self._check(target, version, payload)
        settings = self._settings
        with self._guard:
            self._check_open()
            if self._queued_bytes + size > settings.max_queued_bytes and self._queued_bytes:
                raise HintLimitError(
                    "max_queued_bytes",
                    settings.max_queued_bytes,
                    "the disk does not keep up: try again when hints that were taken are durable",
                )
            if self._size + self._queued_bytes + size > settings.max_bytes:
                raise HintLimitError(
                    "max_bytes",
                    settings.max_bytes,
                    "start the targets that are down, or mark what they are owed and stop hinting, or give "
                    "hints more room",
                )
            is_new = target not in self._logs and target not in self._hints
            if is_new and len(self._logs.keys() | self._hints.keys()) >= settings.max_targets:
                raise HintLimitError(
                    "max_targets", settings.max_targets, f"target {target} is new: raise the setting"
                )
            queue = self._hints.setdefault(target, [])
            queue.append((version, payload, done))
            self._queued_bytes += size
            if len(queue) == 1:
                self._guard.notify()

    async def write(self, target: int, version: bytes, payload: bytes) -> int:
        """Take a hint, and return its sequence number when it is durable; as :meth:`append` otherwise."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()

        def settle(sequence: int | None, error: ScratchbirdError | None) -> None:
            if future.done():  # Whoever waited was cancelled.
                return
            if error is not None:
                future.set_exception(error)
            elif sequence is not None:
                future.set_result(sequence)

        def done(sequence: int | None, error: ScratchbirdError | None) -> None:
            with contextlib.suppress(RuntimeError):  # The loop was closed.
                loop.call_soon_threadsafe(settle, sequence, error)

        self.append(target, version, payload, done)
        return await future

    def pay(self, target: int, sequences: Iterable[int]) -> None:
        """Note that the target needs no longer be told of hints. It waits for nothing, and may be repeated.

        It becomes durable some time later, or with :meth:`flush`. After a crash before that the hints are
        pending once more.

        :raises CallerError: if a number was never given to a hint of the target.
        """
        with self._guard:
            self._check_open()
            log = self._logs.get(target)
        if log is None:
            raise CallerError(f"there is no hint for target {target}: it can not be paid")
        log.pay(sequences)
        if log.wants_flush:
            with self._guard:
                self._flushes.setdefault(target, [])
                self._guard.notify()

    def flush(self, target: int, done: Flushed) -> None:
        """Make durable what was paid to a target, and remove what is no longer needed; it waits for nothing.

        :param done: is called once, in the thread that writes.
        """
        with self._guard:
            self._check_open()
            self._flushes.setdefault(target, []).append(done)
            self._guard.notify()

    def reader(self, target: int) -> HintReader:
        """Reads the durable hints of a target that are not paid, in order. It waits for the disk."""
        with self._guard:
            self._check_open()
            log = self._logs.get(target)
        if log is None:
            raise CallerError(f"there is no hint for target {target}: ask targets() first")
        return log.reader()

    def commit(self) -> bool:
        """Write all that waits, and tell who waits; whether there was anything. It waits for the disk."""
        with self._commit_guard:
            with self._guard:
                hints, self._hints = self._hints, {}
                flushes, self._flushes = self._flushes, {}
            groups = [Group(target, queue) for target, queue in hints.items()]
            while groups:
                self._write(groups[: self._settings.max_open_files])
                groups = [group for group in groups if not group.is_done]
            for target, waiting in flushes.items():
                self._flush(target, waiting)
            return bool(hints or flushes)

    def close(self) -> None:
        """Write what waits, make durable what was paid, and give the folder up. It waits for the disk.

        Closing twice is no error.

        :raises FileError: if the disk refuses; the folder is given up even so.
        """
        with self._guard:
            if self._closing:
                return
            self._closing = True
            self._guard.notify_all()
        if self._thread is not None:
            self._thread.join()
        failures = []
        try:
            self.commit()
            for log in self._logs.values():
                try:
                    log.close()
                except FileError as error:
                    failures.append(error)
        finally:
            self._lock.close()
        if failures:
            raise failures[0]

    def __enter__(self) -> HintStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- opening ------------------------------------------------------------------------------------------

    def _open(self) -> None:
        targets: dict[int, list[str]] = {}
        for name in self._files.names(self._folder):
            if match := _OURS.fullmatch(name):
                targets.setdefault(int(match[1]), []).append(name)
            if name.endswith((".hints", ".paid")) and parse_name(name) is None:
                path = self._folder / name
                self._report(
                    Damage(str(path), 0, self._files.size(path), "this is no file of hints: it is left alone")
                )
        self._logs = {target: self._new_log(target, names) for target, names in sorted(targets.items())}
        self.owed = OwedMarks(self._files, self._folder, self._report)
        # An earlier process may have died before its sync: what was found here is counted on from now on.
        self._files.sync_folder(self._folder, FOUND_NAMES)
        self._sizes = {target: log.size for target, log in self._logs.items()}
        self._size = sum(self._sizes.values())

    def _new_log(self, target: int, names: list[str]) -> HintLog:
        return HintLog(self._files, self._folder, target, names, self._settings, self._report, self._draw)

    def _report(self, damage: Damage) -> None:
        _log.error("%s", damage)
        with self._guard:
            self._damage.append(damage)
            self._damage_count += 1

    # --- writing ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._guard:
                while not (self._hints or self._flushes or self._closing):
                    self._guard.wait()
                if self._closing:
                    return
            try:
                self.commit()
            except Exception:  # A bug. Those who come later must not wait for ever.
                _log.exception("hints: a commit failed")

    def _write(self, groups: list[Group]) -> None:
        """Write a part of each group, and tell those who wait. Each group's file stays open meanwhile."""
        try:
            for group in groups:
                group.failure = self._change(group.target, group.begin)
            make_durable(self._files, self._folder, groups)
            for group in groups:
                if group.begun is not None:
                    group.failure = self._change(group.target, group.end, goes_on=True)
        except BaseException:  # Whatever was begun and not acknowledged must not be appended to.
            for group in groups:
                if group.begun is not None:
                    self._logs[group.target].abandon()
            raise
        for group in groups:
            if group.is_done:
                with self._guard:
                    self._queued_bytes -= group.size
                group.give_up()

    def _change(
        self, target: int, change: Callable[[HintLog], None], *, goes_on: bool = False
    ) -> ScratchbirdError | None:
        """Do something with a log, or go on with it; why it failed, if it did."""
        try:
            if not goes_on:
                self._lock.check()
            log = self._log_of(target)
            try:
                change(log)
            finally:
                self._keep_few_open(log)
                size = log.size
                with self._guard:
                    self._size += size - self._sizes.get(target, 0)
                    self._sizes[target] = size
        except ScratchbirdError as error:
            return error
        except Exception as error:
            _log.exception("hints for target %d: a bug", target)
            return BugError(f"hints for target {target}: {error!r}")
        return None

    def _log_of(self, target: int) -> HintLog:
        log = self._logs.get(target)
        if log is None:
            log = self._new_log(target, [])
            with self._guard:
                self._logs[target] = log
        return log

    def _keep_few_open(self, log: HintLog) -> None:
        self._used.pop(log.target, None)
        if log.is_open:
            self._used[log.target] = None
        if len(self._used) > self._settings.max_open_files:
            oldest = next(iter(self._used))
            del self._used[oldest]
            self._logs[oldest].let_go_of_file()

    def _flush(self, target: int, waiting: list[Flushed]) -> None:
        failure = self._change(target, HintLog.flush) if target in self._logs else None
        if failure is not None and not waiting:
            _log.error("hints paid to target %d are not durable yet: %s", target, failure)
        for done in waiting:
            call(done, failure)

    # --- checks -------------------------------------------------------------------------------------------

    def _check(self, target: int, version: bytes, payload: bytes) -> None:
        if not 0 <= target <= MAX_TARGET:
            raise CallerError(f"target {target}: the id of a node is between 0 and {MAX_TARGET}")
        if len(version) != VERSION_BYTES:
            raise CallerError(f"the version {version.hex()} has {len(version)} bytes: it must have 16")
        if len(payload) > self._settings.max_payload_bytes:
            raise CallerError(
                f"a hint of {len(payload)} bytes: max_payload_bytes = {self._settings.max_payload_bytes}"
            )

    def _check_open(self) -> None:
        if self._closing:
            raise CallerError(f"the hints in {self._folder} were closed: open the folder again")
