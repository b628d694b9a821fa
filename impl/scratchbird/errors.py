"""The exceptions of the production core, split by whose fault they are.

Each message names the value that was refused and the remedy. Where a program can act on a fact (after how
many milliseconds to try again, which peer is meant), the fact is an attribute, in milliseconds.

::

    ScratchbirdError
    ├── CallerError           the program passed, or did, something impossible
    │   ├── ClockStoppedError
    │   └── ClockForkedError
    ├── ConfigurationError    the settings contradict each other, a rule, or what is stored
    ├── ClockError            this machine's own clock can not be used right now
    │   ├── ClockAheadError
    │   ├── ClockSuspendedError
    │   ├── ClockUnconfirmedError
    │   └── ClockExhaustedError
    ├── PeerError             another node sent something impossible
    │   └── RemoteClockError
    │       ├── RemoteDriftError
    │       └── RemoteEarlyError
    ├── OverloadError         a bound of this node is reached: nothing was done
    │   ├── TooManyOperationsError
    │   ├── TooManyIntentsError
    │   ├── TooManyRowsError
    │   ├── TooManyHintsError
    │   └── TooManyWaitingError
    ├── DiskError             the durable bound can not be read or written
    │   ├── BoundWriteError
    │   ├── BoundFileError
    │   └── BoundLockedError
    └── BugError              this package broke a promise of its own
"""

from __future__ import annotations

from scratchbird.timestamp import Timestamp


class ScratchbirdError(Exception):
    """Base of every exception that this package raises."""


class CallerError(ScratchbirdError, ValueError):
    """The caller passed a value that can not be used; the message names the value and what is expected."""


class ConfigurationError(ScratchbirdError, ValueError):
    """A configuration contradicts itself, a rule or a store; the message names the setting and the remedy."""


class ClockError(ScratchbirdError):
    """This machine's own clock can not be used right now. Nothing was issued or merged."""


class PeerError(ScratchbirdError):
    """Another node sent something impossible. Nothing of it was stored."""


class OverloadError(ScratchbirdError):
    """A bound of this node is reached. Nothing was done; the same may succeed later, or elsewhere."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.limit = limit
        """The bound."""


class DiskError(ScratchbirdError):
    """The durable bound can not be read or written."""


class BugError(ScratchbirdError):
    """This package broke a promise of its own: please report it, with the message."""


class ClockStoppedError(CallerError):
    """A clean stop has begun: the clock issues and merges nothing any more (rule HLC.R15)."""

    def __str__(self) -> str:
        return "the clock was stopped: open its store again and make a new Clock to go on"


class ClockForkedError(CallerError):
    """The process was forked after the clock was made, and this is the child."""

    def __str__(self) -> str:
        return (
            "this clock belongs to the parent process: two processes with one node id issue equal ids. Make "
            "a Clock with a node id and a store of its own after the fork"
        )


class ClockAheadError(ClockError):
    """The clock is more than ``max_ahead_ms`` ahead (rules HLC.R4, HLC.R7, HLC.R9 and HLC.R14)."""

    def __init__(self, retry_after_ms: int, wall: int) -> None:
        super().__init__(retry_after_ms, wall)
        self.retry_after_ms = retry_after_ms
        """After this many ms of wall time the same call succeeds, if nothing else is issued."""
        self.wall = wall
        """The wall clock, in ms."""

    def __str__(self) -> str:
        return (
            f"the clock is as far ahead of the wall clock ({self.wall} ms) as it may be: try again in "
            f"{self.retry_after_ms} ms. More than 4096 ids a millisecond were asked for, or the wall clock "
            "was set back, or the node was started again right after a crash"
        )


class ClockSuspendedError(ClockError):
    """The wall clock jumped forward and nobody has confirmed it yet (rule HLC.R10)."""

    def __init__(self, wall: int) -> None:
        super().__init__(wall)
        self.wall = wall
        """The wall clock that is not believed, in ms."""

    def __str__(self) -> str:
        return (
            f"the wall clock jumped forward, to {self.wall} ms: the clock issues nothing until confirm() is "
            "called with the wall clocks of peers, or by an operator who has checked the time"
        )


class ClockUnconfirmedError(ClockError):
    """Too few peers agree with the wall clock to confirm it (rule HLC.R11)."""

    def __init__(self, wall: int) -> None:
        super().__init__(wall)
        self.wall = wall
        """The wall clock that too few agree with, in ms."""

    def __str__(self) -> str:
        return (
            f"too few peers agree with the wall clock ({self.wall} ms) to confirm it: ask more of them, set "
            "the time right, or let an operator confirm it"
        )


class ClockExhaustedError(ClockError):
    """No 48-bit millisecond is left above the last timestamp (rule HLC.R17)."""

    def __init__(self, wall: int) -> None:
        super().__init__(wall)
        self.wall = wall
        """The wall clock, in ms."""

    def __str__(self) -> str:
        return (
            "no timestamp of 48 bits is left above the last one: if the year is not 10889, the clock was "
            "poisoned; stop the node and retire its node id"
        )


class RemoteClockError(PeerError):
    """A peer's timestamp was not merged (rule HLC.R6)."""

    def __init__(self, sender: int, remote: Timestamp, wall: int, retry_after_ms: int) -> None:
        super().__init__(sender, remote, wall, retry_after_ms)
        self.sender = sender
        """The node id of the peer."""
        self.remote = remote
        """What it sent."""
        self.wall = wall
        """Our own wall clock, in ms."""
        self.retry_after_ms = retry_after_ms
        """After this many ms the same message would get further."""


class RemoteDriftError(RemoteClockError):
    """A peer's timestamp is more than ``max_drift_ms`` past our clock: refuse the message."""

    def __str__(self) -> str:
        return (
            f"node {self.sender} sent the timestamp {self.remote.ms}:{self.remote.counter}, too far past our "
            f"wall clock ({self.wall} ms): refuse its message, compare the clocks of both nodes, and try "
            f"again in {self.retry_after_ms} ms at the earliest"
        )


class RemoteEarlyError(RemoteClockError):
    """A peer's timestamp is ``max_ahead_ms`` or more past our clock: keep the message for later."""

    def __str__(self) -> str:
        return (
            f"node {self.sender} sent the timestamp {self.remote.ms}:{self.remote.counter}, ahead of our "
            f"wall clock ({self.wall} ms): keep its message, and deliver it again in {self.retry_after_ms} ms"
        )


class BoundWriteError(DiskError):
    """The bound could not be made durable, or not in time. The clock is unchanged; the next call retries."""

    def __init__(self, bound: Timestamp, detail: str) -> None:
        super().__init__(bound, detail)
        self.bound = bound
        """The bound that was to be written."""
        self.detail = detail

    def __str__(self) -> str:
        return (
            f"the upper bound {self.bound.ms}:{self.bound.counter} is not durable: {self.detail}. Nothing "
            "was issued or merged; set the disk right and call again, which writes the same bound again"
        )


class BoundFileError(DiskError):
    """The file of the bound is damaged, foreign, lost or can not be reached."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(path, detail)
        self.path = path
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


class BoundLockedError(DiskError):
    """Another process, or another store in this one, holds the file of the bound."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"{self.path} is in use: two clocks with one node id would issue equal ids. Stop the other one, "
            "or give this one a node id and a file of its own"
        )


class TooManyOperationsError(OverloadError):
    """A coordinator has as many operations open as it may have. No replica was told of this one."""

    def __str__(self) -> str:
        return (
            f"{self.limit} operations are open, each until its deadline: send this one to another coordinator"
            ", or try it again later; if this goes on, shorten the deadlines or raise max_operations"
        )


class TooManyIntentsError(OverloadError):
    """A coordinator has as many durable intents as it may have. No replica was told of this write."""

    def __str__(self) -> str:
        return (
            f"{self.limit} writes wait for replicas that have not acknowledged them: start the replicas that "
            "are down, so that their intents are delivered, send the write to another coordinator, or raise "
            "max_intents"
        )


class TooManyRowsError(OverloadError):
    """A replica holds as many rows as it may. It took nothing of the message, and acknowledged nothing."""

    def __init__(self, limit: int, row: int) -> None:
        super().__init__(limit)
        self.args = (limit, row)
        self.row = row
        """The first row for which there is no room."""

    def __str__(self) -> str:
        return f"{self.limit} rows are held and row {self.row} is new: raise max_rows, or move rows elsewhere"


class TooManyHintsError(OverloadError):
    """A coordinator keeps as many hints as it may. Nothing was stored, and no write may be acknowledged."""

    def __str__(self) -> str:
        return (
            f"{self.limit} hints wait for targets that have not acknowledged them: start the targets that "
            "are down, give up one that will be away for long, send the write to another coordinator, or "
            "raise max_hints"
        )


class TooManyWaitingError(OverloadError):
    """As many rows wait for the stable time as may. The forest did not follow this one: do not keep it."""

    def __str__(self) -> str:
        return (
            f"{self.limit} rows are held in versions above the stable time: let the stable time follow the "
            "clock again, look whose clock is far ahead, or raise max_waiting"
        )
