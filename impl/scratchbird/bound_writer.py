"""Makes a clock's bound durable without letting anybody wait longer than a deadline (rule HLC.R13).

At most one write is under way, in a thread that lives for that write alone: a disk that hangs then costs
callers their deadline, not their life, and a clock that needs no write has no thread. A write that failed
changes nothing: the core goes on promising the same bound, which the next caller writes again.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from scratchbird.errors import BoundWriteError
from scratchbird.store import BoundStore, Durable
from scratchbird.timestamp import Timestamp

if TYPE_CHECKING:
    from scratchbird.hlc import ClockCore

RETRY_EARLY_S = 0.1
"""After a failure, early reservations (which nobody waits for) leave the disk alone for this long."""


class BoundWriter:
    """Writes what ``core`` promises to ``store``. Safe from many threads."""

    def __init__(self, core: ClockCore, store: BoundStore, timeout_ms: int) -> None:
        self._core = core
        self._store = store
        self._timeout_ms = timeout_ms
        self._condition = threading.Condition()
        self._writing = False
        self._failure: BaseException | None = None
        self._not_early_before = 0.0

    def reserve_early(self, wall: int, monotonic: int) -> None:
        """Start to write the next bound, if none is being written, and do not wait for it."""
        if self._writing:
            return
        with self._condition:
            if self._writing or time.monotonic() < self._not_early_before:
                return
            self._core.reserve(wall, monotonic)
            if self._begin() is not None:  # No thread to be had: leave it to a caller who must wait anyway.
                self._writing = False

    def wait(self, deadline: float | None) -> float:
        """Write what is promised and wait until it is durable.

        Where a write is under way already, that one is waited for; if it fails, this caller makes its own.

        :param deadline: what an earlier call returned, so that repeated waits share one deadline.
        :raises BoundWriteError: if the caller's own write failed, or none is done in time.
        """
        with self._condition:
            if deadline is None:
                deadline = time.monotonic() + self._timeout_ms / 1000
            elif time.monotonic() > deadline:
                raise BoundWriteError(self._core.bound, f"no write kept up within {self._timeout_ms} ms")
            if self._writing and self._outcome(deadline) is None:
                return deadline
            inline = self._begin()
        if inline is not None:
            self._write(inline)
        with self._condition:
            failure = self._outcome(deadline)
            if failure is not None:
                raise BoundWriteError(self._bound(), f"the write failed ({failure!r})") from failure
        return deadline

    def _outcome(self, deadline: float) -> BaseException | None:
        """Wait for the write under way, if one is, and return why it failed, if it did."""
        if not self._condition.wait_for(lambda: not self._writing, deadline - time.monotonic()):
            raise BoundWriteError(self._bound(), f"the write is not done after {self._timeout_ms} ms")
        return self._failure

    def _bound(self) -> Timestamp:
        return self._core.promised or self._core.bound

    def close(self) -> None:
        """Let go of the store. Nothing is being written any more."""
        self._store.close()

    def _begin(self) -> Durable | None:
        """Start to write what is promised, unless that is under way.

        Where no thread can be started (at the end of the interpreter), return what the caller must write.
        """
        promised = self._core.promised
        if self._writing or promised is None:
            return None
        durable = Durable(self._core.node_id, promised, self._core.retired)
        self._writing = True
        self._failure = None
        thread = threading.Thread(target=self._write, args=(durable,), name="scratchbird-bound", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return durable
        return None

    def _write(self, durable: Durable) -> None:
        failure: BaseException | None = None
        try:
            self._store.save(durable)
            self._core.persisted()
        except BaseException as error:  # Whoever waits is told; nobody else could be.
            failure = error
        with self._condition:
            if failure is not None:
                self._not_early_before = time.monotonic() + RETRY_EARLY_S
            self._failure = failure
            self._writing = False
            self._condition.notify_all()
