"""Makes a clock's bound durable without letting anybody wait longer than a deadline (rule HLC.R13).

At most one write is under way, in a thread that lives for that write alone: a disk that hangs then costs
callers their deadline, not their life, and a clock that needs no write has no thread. A write that failed
changes nothing: the core goes on promising the same bound, which the next caller writes again.

A signal's handler may raise in the main thread between any two calls, here as well. So a thread writes only
what is still ``_write`` when it runs; what was begun and interrupted is taken back by a single store, with no
call before it; and whoever waits has a lock of its own, so that none is left that is held for ever.
(``threading.Thread``, ``Condition`` and ``Event`` do not promise any of this.)
"""

from __future__ import annotations

import threading
import time
from _thread import start_new_thread
from typing import TYPE_CHECKING

from scratchbird.errors import BoundWriteError
from scratchbird.store import BoundStore, Claim, Durable
from scratchbird.timestamp import Timestamp

if TYPE_CHECKING:
    from scratchbird.hlc import ClockCore

RETRY_EARLY_S = 0.1
"""After a failure, early reservations (which nobody waits for) leave the disk alone for this long."""


class Write:
    """One write: what, and how it went."""

    def __init__(self, durable: Durable) -> None:
        self.durable = durable
        self.begun = False
        self.done = False
        self.failure: BaseException | None = None
        self.bells: list[threading.Lock] = []
        """A held lock of each caller that waits; it is released when the write is done."""


class BoundWriter:
    """Writes what ``core`` promises to ``store``. Safe from many threads, and under signals."""

    def __init__(self, core: ClockCore, store: BoundStore, claim: Claim, timeout_ms: int) -> None:
        self._core = core
        self._store = store
        self._claim = claim
        self._timeout_ms = timeout_ms
        self._mutex = threading.RLock()
        self._write: Write | None = None
        self._not_early_before = 0.0

    def reserve_early(self, wall: int, monotonic: int, trusted: int) -> None:
        """Start to write the next bound, if none is being written, and do not wait for it."""
        if self._write is not None:
            return
        with self._mutex:
            if self._write is not None or time.monotonic() < self._not_early_before:
                return
            self._core._reserve_early(wall, monotonic, trusted)
            try:
                self._begin()
            except RuntimeError as error:  # No thread: leave it to a caller who must wait anyway.
                _raise_unless_no_thread(error)

    def wait(self, deadline: float | None) -> float:
        """Write what is promised and wait until it is durable.

        Where a write is under way already, that one is waited for; if it fails, this caller makes its own.

        :param deadline: what an earlier call returned, so that repeated waits share one deadline.
        :raises BoundWriteError: if the caller's own write failed, or none is done in time.
        """
        if deadline is None:
            deadline = time.monotonic() + self._timeout_ms / 1000
        elif time.monotonic() > deadline:
            raise BoundWriteError(self._core.bound, f"no write kept up within {self._timeout_ms} ms")
        failure: BaseException | None = None
        own = False
        while not own:
            own = failure is not None  # After somebody else's failure, whatever is written next counts.
            with self._mutex:
                write = self._write
                if write is None:
                    own = True
                    try:
                        write = self._begin()
                    except RuntimeError as error:
                        _raise_unless_no_thread(error)
                        self._write_here()
            if write is None:  # Nothing is promised any more, or it was written here.
                return deadline
            failure = self._outcome(write, deadline)
            if failure is None:
                return deadline
        raise BoundWriteError(self._bound(), f"the write failed ({failure!r})") from failure

    def close(self) -> None:
        """Let go of the store. Nothing is being written any more."""
        self._store.close()
        self._claim.release()

    def _outcome(self, write: Write, deadline: float) -> BaseException | None:
        """Wait for a write, and return why it failed, if it did."""
        bell = threading.Lock()
        bell.acquire()
        with self._mutex:
            write.bells.append(bell)
        if not write.done:
            bell.acquire(timeout=min(max(deadline - time.monotonic(), 0), threading.TIMEOUT_MAX))
        if not write.done:
            with self._mutex:
                if self._write is write and not write.begun:  # Its thread may be dead: begin again.
                    self._write = None
            raise BoundWriteError(self._bound(), f"the write is not done after {self._timeout_ms} ms")
        return write.failure

    def _bound(self) -> Timestamp:
        return self._core.promised or self._core.bound

    def _begin(self) -> Write | None:
        """Start to write what is promised, if anything is. The caller holds the mutex."""
        promised = self._core.promised
        if promised is None:
            return None
        write = Write(Durable(self._core.node_id, promised, self._core.retired))
        try:
            self._write = write
            start_new_thread(self._run, (write,))
        except BaseException:
            self._write = None
            raise
        return write

    def _run(self, write: Write) -> None:
        with self._mutex:
            if self._write is not write:  # Whoever started this was interrupted.
                return
            write.begun = True
        try:
            self._store.save(write.durable)
            self._core.persisted()
        except BaseException as error:  # Whoever waits is told; nobody else could be.
            write.failure = error
        with self._mutex:
            if write.failure is not None:
                self._not_early_before = time.monotonic() + RETRY_EARLY_S
            write.done = True
            self._write = None
            for bell in write.bells:
                bell.release()

    def _write_here(self) -> None:
        """Where no thread can be started (at the end of the interpreter), the caller writes.

        It holds the mutex all the time, so that nothing is left behind wherever it is interrupted.
        """
        promised = self._core.promised
        if promised is None:
            return
        write = Write(Durable(self._core.node_id, promised, self._core.retired))
        try:
            self._write = write
            self._store.save(write.durable)
            self._core.persisted()
        except Exception as error:
            raise BoundWriteError(self._bound(), f"the write failed ({error!r})") from error
        finally:
            self._write = None


def _raise_unless_no_thread(error: RuntimeError) -> None:
    """``start_new_thread`` raises errors of Python itself; any other comes from the handler of a signal."""
    if type(error).__module__ != "builtins":
        raise error
