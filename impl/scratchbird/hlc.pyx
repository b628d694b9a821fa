# cython: freethreading_compatible=True
"""The hybrid logical clock of one node, in production form.

:class:`ClockCore` is the state machine of the reference with times and random bits as arguments: for the
checks, the simulator and the conformance kit. :class:`Clock` is the same with real clocks, a store for the
durable bound and exceptions instead of effects: for programs. The rules themselves are in ``hlc.pxd``.

Both may be used from many threads at once, with or without the GIL: every step holds a lock of its own for
some nanoseconds, and never while Python code runs.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize

from scratchbird.system cimport acquire, forks, kernel_tick, monotonic_ms, next_random, release, wall_ms, watch_forks
from scratchbird.uuid8 cimport high_word, low_word, make, pack, packed_of, store_word, unpack, whole

import os
import uuid

from scratchbird.bound_writer import BoundWriter
from scratchbird.effects import Confirmed, Deferred, Issued, Merged, Persist, Reason, Refused, Stamped
from scratchbird.errors import (
    BugError, CallerError, ClockAheadError, ClockExhaustedError, ClockForkedError, ClockStoppedError,
    ClockSuspendedError, ClockUnconfirmedError, ConfigurationError, RemoteDriftError, RemoteEarlyError,
)
from scratchbird.store import Claim, Durable
from scratchbird.timestamp import MAX_MS, shown

if watch_forks() != 0:
    raise MemoryError("the system has no memory left to watch for forks")

cdef enum:
    CLOSE_MS = 2        # two readings this close together count as simultaneous (rule HLC.R18)
    READ_ATTEMPTS = 8

cdef dict REASONS = {
    AHEAD: Reason.AHEAD, DRIFT: Reason.DRIFT, EARLY: Reason.EARLY, SUSPENDED: Reason.SUSPENDED, UNCONFIRMED: Reason.UNCONFIRMED,
    STOPPING: Reason.STOPPING, EXHAUSTED: Reason.EXHAUSTED,
}


# --- the state machine --------------------------------------------------------------------------------------


@cython.final
cdef class ClockCore:
    """The clock of one node as a state machine; all times in milliseconds.

    It starts down. Every method that takes a step returns a tuple of effects (:mod:`scratchbird.effects`).

    :raises CallerError: from any method, if the step is impossible in this state (a tick of a node that is
        down) or a value is out of range. The state is then unchanged.
    :raises ConfigurationError: if the settings contradict each other (rule HLC.R8).
    """

    def __cinit__(self, node_id, *, max_drift_ms=500, max_ahead_ms=250, max_skew_ms=250, reserve_ms=1000,
                  confirm_quorum=2, bound=(0, 0), retired=()):
        cdef Settings *settings = &self.clock.settings
        self.clock.node_id = whole(node_id, "node id", 1, 0xFFFF)
        self.clock.bound = pack(bound)
        self._retired = tuple(
            [whole(used, "retired node id", 1, 0xFFFF) for used in _listed(retired, "retired", "node ids")]
        )
        if node_id in self._retired:
            raise _used_before(node_id)
        settings.max_drift = _setting("max_drift_ms", max_drift_ms)
        settings.max_ahead = _setting("max_ahead_ms", max_ahead_ms)
        settings.max_skew = _setting("max_skew_ms", max_skew_ms)
        settings.reserve = _setting("reserve_ms", reserve_ms)
        settings.confirm_quorum = _setting("confirm_quorum", confirm_quorum)
        if settings.max_ahead + settings.max_skew > settings.max_drift:
            raise ConfigurationError(
                f"max_ahead_ms {max_ahead_ms} + max_skew_ms {max_skew_ms} is more than max_drift_ms "
                f"{max_drift_ms}: peers would refuse a healthy node in a burst; raise max_drift_ms to at least "
                f"{max_ahead_ms + max_skew_ms} or lower one of the others"
            )

    def start(self, wall, monotonic):
        """The process starts and reads both clocks. The monotonic clock must count suspend."""
        cdef int64_t w = _wall(wall), m = _monotonic(monotonic)
        acquire(&self.clock.lock)
        cdef Step step = start(&self.clock, w, m)
        release(&self.clock.lock)
        return self._effects("Start", step, w)

    def tick(self, wall, monotonic, random=0):
        """Somebody wants an id. ``random`` is 46 bits."""
        cdef int64_t w = _wall(wall), m = _monotonic(monotonic)
        cdef uint64_t bits = whole(random, "random", 0, (<int64_t> 1 << 46) - 1)
        cdef Step step = self.claim(w, m, 1)
        if step.outcome == DONE:
            return (Issued(make(high_word(step.timestamp), low_word(self.clock.node_id, bits))),)
        return self._effects("Tick", step, w)

    def observe(self, wall, monotonic, remote, sender):
        """A message from ``sender`` carries its clock; to be merged before the message is handled."""
        cdef int64_t w = _wall(wall), m = _monotonic(monotonic)
        cdef uint64_t packed = pack(remote)
        whole(sender, "node id", 1, 0xFFFF)
        acquire(&self.clock.lock)
        cdef Step step = observe(&self.clock, w, m, packed)
        release(&self.clock.lock)
        if step.outcome == DONE:
            return (Merged(unpack(step.timestamp)),)
        return self._effects("Observe", step, w, unpack(packed), sender)

    def stamp(self, wall, monotonic):
        """A message is about to be sent, an acknowledgement or a read as well: which clock does it carry?"""
        cdef int64_t w = _wall(wall), m = _monotonic(monotonic)
        acquire(&self.clock.lock)
        cdef Step step = stamp(&self.clock, w, m)
        release(&self.clock.lock)
        return (Stamped(unpack(step.timestamp)),) if step.outcome == DONE else self._effects("Stamp", step, w)

    def reserve(self, wall, monotonic):
        """Ask for a new bound before the old one is used up, so that no tick has to wait for the disk."""
        cdef int64_t w = _wall(wall), m = _monotonic(monotonic)
        acquire(&self.clock.lock)
        cdef Step step = reserve(&self.clock, w, m)
        release(&self.clock.lock)
        return self._effects("Reserve", step, w)

    def persisted(self):
        """The bound that a ``Persist`` effect asked for is durable. A write that failed is no event."""
        acquire(&self.clock.lock)
        cdef Step step = persisted(&self.clock)
        release(&self.clock.lock)
        return self._effects("Persisted", step, 0)

    def confirm(self, wall, monotonic, operator=False, peers=()):
        """Evidence that our wall clock is right: an operator's word, or what peers' wall clocks show.

        ``peers`` holds (node id, that node's wall clock at this reading), each peer once.
        """
        cdef int64_t w = _wall(wall), m = _monotonic(monotonic)
        peers = _listed(peers, "peers", "(node id, that node's wall clock in ms) of each")
        cdef Step step = self.vote(w, m, operator, peers, NULL)
        return (Confirmed(),) if step.outcome == DONE else self._effects("Confirm", step, w)

    def stop(self):
        """A clean stop begins. When the write that it asks for is durable, the process may end."""
        acquire(&self.clock.lock)
        cdef Step step = stop(&self.clock)
        release(&self.clock.lock)
        return self._effects("Stop", step, 0)

    def crash(self):
        """The process ends, in whatever state it is: what is not durable is lost."""
        acquire(&self.clock.lock)
        cdef Step step = crash(&self.clock)
        release(&self.clock.lock)
        return self._effects("Crash", step, 0)

    def retire(self, new_node_id):
        """Give up a poisoned identity for a new one (rule HLC.R16). The node must be down."""
        cdef uint64_t fresh = whole(new_node_id, "node id", 1, 0xFFFF)
        cdef bint up, reused
        with cython.critical_section(self):
            old = self.clock.node_id
            used = (*self._retired, old)
            reused = fresh in used
            acquire(&self.clock.lock)
            up = self.clock.up
            if not up and not reused:
                self.clock.node_id = fresh
                self.clock.bound = 0
            release(&self.clock.lock)
            if up:
                raise CallerError(f"Retire at node {old}, which is up: stop it first")
            if reused:
                raise _used_before(new_node_id)
            self._retired = used
        return ()

    # Looking at it.

    @property
    def node_id(self):
        """Whose clock this is."""
        return self.clock.node_id

    @property
    def retired(self):
        """Node ids that were given up."""
        return self._retired

    @property
    def bound(self):
        """The durable bound: nothing above it was ever issued or merged (rule HLC.R12)."""
        return unpack(self._copy().bound)

    @property
    def promised(self):
        """The bound that is being written, or ``None``."""
        cdef ClockState now = self._copy()
        return unpack(now.promised) if now.up and now.writing else None

    @property
    def last(self):
        """The greatest timestamp issued or merged, or ``None`` while the node is down."""
        cdef ClockState now = self._copy()
        return unpack(now.last) if now.up else None

    @property
    def suspended(self):
        """Whether the wall clock jumped forward and nobody has confirmed it yet (rule HLC.R10)."""
        cdef ClockState now = self._copy()
        return bool(now.up and now.suspended)

    def state(self):
        """The whole state as plain values, in the form that traces use."""
        cdef ClockState now = self._copy()
        cdef dict value = {
            "up": bool(now.up),
            "node_id": now.node_id,
            "bound": list(unpack(now.bound)),
            "retired": list(self._retired),
        }
        if now.up:
            value["last"] = list(unpack(now.last))
            value["anchor"] = now.anchor
            value["promised"] = list(unpack(now.promised)) if now.writing else None
            value["suspended"] = bool(now.suspended)
            value["stopping"] = bool(now.stopping)
        return value

    cdef ClockState _copy(self) noexcept:
        acquire(&self.clock.lock)
        cdef ClockState copy = self.clock
        release(&self.clock.lock)
        return copy

    # Steps.

    cdef Step claim(self, int64_t wall, int64_t monotonic, uint64_t count) noexcept nogil:
        acquire(&self.clock.lock)
        cdef Step step = issue(&self.clock, wall, monotonic, count)
        release(&self.clock.lock)
        return step

    cdef Step vote(self, int64_t wall, int64_t monotonic, operator, peers, const uint64_t *trusted) except *:
        """A confirmation; REPEAT where the wall clock was trusted anew since the reading, if that matters."""
        cdef int64_t theirs, agreeing = 0
        if not isinstance(operator, bool):
            raise CallerError(f"operator {shown(operator)} is neither True nor False")
        cdef bint by_operator = operator
        cdef set voters = set()
        for peer in peers:
            node, clock = _pair(peer)
            whole(node, "node id", 1, 0xFFFF)
            theirs = whole(clock, f"wall clock in ms of node {node}", 0, MAX_MS_C)
            if node in voters:
                raise CallerError(f"peers {shown(peers)} name node {node} twice: each peer has one vote")
            voters.add(node)
            agreeing += -self.clock.settings.max_skew <= theirs - wall <= self.clock.settings.max_skew
        cdef bint own_vote = self.node_id in voters
        cdef Step step = outcome(REPEAT)
        acquire(&self.clock.lock)
        if trusted == NULL or trusted[0] == self.clock.trusted:
            step = confirm(&self.clock, wall, monotonic, by_operator, agreeing, own_vote)
        release(&self.clock.lock)
        return step

    def _reserve_early(self, wall, monotonic, trusted):
        """For the clock that programs use: ``reserve``, unless the wall clock was trusted anew meanwhile."""
        cdef int64_t w = _wall(wall), m = _monotonic(monotonic)
        cdef uint64_t since = trusted
        acquire(&self.clock.lock)
        if since == self.clock.trusted:
            reserve(&self.clock, w, m)
        release(&self.clock.lock)

    cdef tuple _effects(self, str event, Step step, int64_t wall, object remote=None, object sender=None):
        """What a step says, as effects, or :class:`CallerError` where it was impossible."""
        cdef Outcome outcome = step.outcome
        if outcome == DONE or outcome == UNCHANGED:
            return ()
        if outcome == WRITE:
            return (Persist(unpack(step.bound)),)
        if outcome == WRITE_AND_REPEAT:
            return (Persist(unpack(step.bound)), Deferred(unpack(step.timestamp)))
        if outcome == REPEAT:
            return (Deferred(unpack(step.timestamp)),)
        if outcome == STOPPING:
            return (Refused(Reason.STOPPING),)
        if outcome == AHEAD or outcome == DRIFT or outcome == EARLY:
            return (Refused(REASONS[outcome], step.retry_after, wall, remote, sender),)
        if outcome == SUSPENDED or outcome == UNCONFIRMED or outcome == EXHAUSTED:
            return (Refused(REASONS[outcome], None, wall, remote, sender),)
        if outcome == IS_DOWN:
            raise CallerError(f"{event} at node {self.node_id}, which is down: start it")
        if outcome == IS_UP:
            raise CallerError(f"{event} at node {self.node_id}, which is up: call crash() first")
        if outcome == NOTHING_WRITTEN:
            raise CallerError(f"{event} although no write is under way: deliver it once for each Persist")
        if outcome == OWN_VOTE:
            raise CallerError(f"node {self.node_id} can not confirm its own clock: ask other nodes")
        raise BugError(f"{event} ended in the unknown outcome {<int> outcome}")


cdef int64_t _setting(name, value) except? -1:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_MS:
        raise ConfigurationError(
            f"{name} is {shown(value)}: it must be a whole number, at least 1 and at most {MAX_MS}"
        )
    return value


cdef int64_t _wall(value) except? -1:
    return whole(value, "wall clock in ms", 0, MAX_MS_C)


cdef int64_t _monotonic(value) except? -1:
    return whole(value, "monotonic clock in ms", 0, MAX_MS_C)


cdef tuple _listed(value, str name, str what):
    try:
        return tuple(value)
    except TypeError:
        raise CallerError(f"{name} {shown(value)} is no list: pass {what}") from None


cdef tuple _pair(peer):
    if not isinstance(peer, (tuple, list)) or len(peer) != 2:
        raise CallerError(f"peer {shown(peer)} is no vote: pass (node id, that node's wall clock in ms)")
    return tuple(peer)


cdef object _used_before(node_id):
    return CallerError(f"node id {node_id} was used here before: a retired id never comes back")


def _contend(ClockCore core, wall, monotonic, count):
    """For tests: ``count`` ticks in a row without the GIL; their packed timestamps as native 64-bit words.

    Timestamps that were refused are 0. Several Python threads in here at once contend for the clock's lock.
    """
    cdef int64_t w = _wall(wall), m = _monotonic(monotonic), position
    cdef int64_t many = whole(count, "count", 1, 1 << 30)
    cdef object out = PyBytes_FromStringAndSize(NULL, many * 8)
    cdef uint64_t *words = <uint64_t *> PyBytes_AS_STRING(out)
    cdef Step step
    with nogil:
        for position in range(many):
            step = core.claim(w, m, 1)
            words[position] = step.timestamp if step.outcome == DONE else 0
    return out


include "hlc_clock.pxi"
