# The rules of the clock over machine words, as functions without Python objects: they run without the GIL.
# ``spec/hlc.md`` states the rules; each function names the rule that it is, as the reference does. Classes
# are in hlc.pyx.
#
# A timestamp is packed into one word, ms << 12 | counter, whose order as a number is the clock's order
# (rule HLC.R1). The highest one is 2**60 - 1 and times are below 2**48, so that no sum here overflows: one
# past the end of the range (rule HLC.R17) is still a number, and is refused as one.
from libc.stdint cimport int64_t, uint64_t

from scratchbird.system cimport Lock, Random
from scratchbird.uuid8 cimport MAX_MS_C, UuidV8

cdef enum:
    COUNTER_BITS = 12
    COUNTERS_PER_MS = 4096


cdef struct Settings:
    int64_t max_drift
    int64_t max_ahead
    int64_t max_skew
    int64_t reserve
    int64_t confirm_quorum


cdef struct ClockState:
    Lock lock
    Settings settings
    # Durable.
    uint64_t node_id
    uint64_t bound
    # Volatile: what a crash drops. Of no meaning while the node is down.
    bint up
    uint64_t last
    int64_t anchor
    bint writing        # whether a bound is promised
    uint64_t promised
    bint suspended
    bint stopping
    # How often the wall clock was trusted anew, for readings that are older: no part of the rules.
    uint64_t trusted


cdef enum Outcome:
    DONE                # issued, merged or stamped (``timestamp``), confirmed, started, ...
    UNCHANGED           # a reservation that is not needed
    WRITE               # make ``bound`` durable
    WRITE_AND_REPEAT    # make ``bound`` durable, then repeat the event, which needs ``timestamp``
    REPEAT              # repeat the event, which needs ``timestamp``, when the write under way is done
    AHEAD
    DRIFT
    EARLY
    SUSPENDED
    UNCONFIRMED
    STOPPING
    EXHAUSTED
    IS_DOWN             # from here on: impossible in this state, which is unchanged
    IS_UP
    NOTHING_WRITTEN
    OWN_VOTE


cdef struct Step:
    Outcome outcome
    uint64_t timestamp
    uint64_t bound
    int64_t retry_after


# --- the rules --------------------------------------------------------------------------------------------


cdef inline int64_t ms_of(uint64_t timestamp) noexcept nogil:
    return <int64_t> (timestamp >> COUNTER_BITS)


cdef inline uint64_t at(int64_t ms) noexcept nogil:
    """The first timestamp of a millisecond."""
    return <uint64_t> ms << COUNTER_BITS


cdef inline uint64_t carry(uint64_t ms, uint64_t counter) noexcept nogil:
    """A counter that is full goes on in the next millisecond (rule HLC.R2)."""
    while counter >= COUNTERS_PER_MS:
        ms += 1
        counter -= COUNTERS_PER_MS
    return ms << COUNTER_BITS | counter


cdef inline uint64_t successor(uint64_t timestamp) noexcept nogil:
    """The least timestamp above this one (rule HLC.R2)."""
    return carry(timestamp >> COUNTER_BITS, (timestamp & (COUNTERS_PER_MS - 1)) + 1)


cdef inline uint64_t nth_successor(uint64_t timestamp, uint64_t n) noexcept nogil:
    """The same as ``n`` times the successor."""
    cdef uint64_t counter = (timestamp & (COUNTERS_PER_MS - 1)) + n % COUNTERS_PER_MS
    return carry((timestamp >> COUNTER_BITS) + n // COUNTERS_PER_MS, counter)


cdef inline uint64_t candidate(uint64_t last, int64_t wall) noexcept nogil:
    """What a tick would issue: above ``last``, and no earlier than the wall clock (rule HLC.R3)."""
    return max(successor(last), at(wall))


cdef inline uint64_t merge(uint64_t last, uint64_t remote) noexcept nogil:
    """The clock after a message: the later of both, counter included (rule HLC.R5)."""
    return max(last, remote)


cdef inline bint too_far_ahead(ClockState *clock, uint64_t timestamp, int64_t wall) noexcept nogil:
    """Whether issuing this would break the own bound (rule HLC.R4)."""
    return ms_of(timestamp) > wall + clock.settings.max_ahead


cdef inline bint too_far_remote(ClockState *clock, uint64_t remote, int64_t believed) noexcept nogil:
    """Whether merging this would break the remote bound (rule HLC.R6)."""
    return ms_of(remote) > believed + clock.settings.max_drift


cdef inline bint too_early(ClockState *clock, uint64_t remote, int64_t present) noexcept nogil:
    """Whether this may be merged, but not yet: a millisecond is left for a full counter (rule HLC.R6)."""
    return ms_of(remote) >= present + clock.settings.max_ahead


cdef inline bint too_far_to_carry(ClockState *clock, int64_t believed) noexcept nogil:
    """Whether a message may not carry our clock yet: peers might refuse it (rule HLC.R7)."""
    return ms_of(clock.last) > believed + clock.settings.max_ahead


cdef inline int64_t believed(ClockState *clock, int64_t wall, int64_t monotonic) noexcept nogil:
    """What we hold the time to be when no id is issued, in ms (rules HLC.R6 and HLC.R7)."""
    cdef int64_t remembered = monotonic + clock.anchor
    return remembered if clock.suspended else max(wall, remembered)


cdef inline int64_t present(ClockState *clock, int64_t wall, int64_t believed) noexcept nogil:
    """The time by which we judge what is early: the wall clock, unless it was set back far (rule HLC.R6)."""
    return believed if clock.suspended or believed - wall > clock.settings.max_skew else wall


cdef inline bint covers(ClockState *clock, uint64_t timestamp) noexcept nogil:
    """Whether the durable bound allows this to be issued or merged (rule HLC.R12)."""
    return timestamp <= clock.bound


cdef inline uint64_t reservation(ClockState *clock, int64_t ms) noexcept nogil:
    """The bound to ask for when ``ms`` is the highest millisecond in sight (rule HLC.R13)."""
    if ms + clock.settings.reserve > MAX_MS_C:
        return at(MAX_MS_C) | (COUNTERS_PER_MS - 1)
    return at(ms + clock.settings.reserve)


cdef inline bint running_low(ClockState *clock, uint64_t timestamp) noexcept nogil:
    """Whether less than half of the reservation is left: time to ask for the next one (rule HLC.R13)."""
    return 2 * (ms_of(clock.bound) - ms_of(timestamp)) < clock.settings.reserve


cdef inline void look_for_jump(ClockState *clock, int64_t wall, int64_t monotonic) noexcept nogil:
    """Every reading looks for a forward jump, whatever it is made for (rule HLC.R10)."""
    if wall - monotonic - clock.anchor > clock.settings.max_drift:
        clock.suspended = True


# --- steps: the caller holds the lock ---------------------------------------------------------------------


cdef inline Step outcome(Outcome what) noexcept nogil:
    return Step(what, 0, 0, 0)


cdef inline Outcome unavailable(ClockState *clock) noexcept nogil:
    """Why this node takes no part at the moment, or DONE if it does."""
    if not clock.up:
        return IS_DOWN
    return STOPPING if clock.stopping else DONE


cdef inline Step start(ClockState *clock, int64_t wall, int64_t monotonic) noexcept nogil:
    """The clock goes on at the durable bound, so that ids go on above it (rule HLC.R14)."""
    if clock.up:
        return outcome(IS_UP)
    clock.up = True
    clock.last = clock.bound
    clock.anchor = wall - monotonic
    clock.trusted += 1
    clock.writing = clock.suspended = clock.stopping = False
    return outcome(DONE)


cdef inline Step why_not(ClockState *clock, uint64_t timestamp, int64_t wall) noexcept nogil:
    """Why this may not be issued now, or DONE (rules HLC.R10, HLC.R17, HLC.R4)."""
    if clock.suspended:
        return outcome(SUSPENDED)
    if ms_of(timestamp) > MAX_MS_C:
        return outcome(EXHAUSTED)
    if too_far_ahead(clock, timestamp, wall):
        return Step(AHEAD, 0, 0, ms_of(timestamp) - clock.settings.max_ahead - wall)
    return outcome(DONE)


cdef inline Step defer(ClockState *clock, uint64_t timestamp) noexcept nogil:
    """At most one write is under way (rule HLC.R13)."""
    if clock.writing:
        return Step(REPEAT, timestamp, 0, 0)
    clock.writing = True
    clock.promised = reservation(clock, ms_of(timestamp))
    return Step(WRITE_AND_REPEAT, timestamp, clock.promised, 0)


cdef inline Step issue(ClockState *clock, int64_t wall, int64_t monotonic, uint64_t count) noexcept nogil:
    """Issue ``count`` timestamps in a row or none: the same as that many ticks at one reading.

    The step's timestamp is the first of them.
    """
    cdef Step step = outcome(unavailable(clock))
    cdef uint64_t first, final
    if step.outcome != DONE:
        return step
    look_for_jump(clock, wall, monotonic)
    first = candidate(clock.last, wall)
    final = first if count == 1 else nth_successor(first, count - 1)
    step = why_not(clock, final, wall)
    if step.outcome != DONE:
        return step
    if not covers(clock, final):
        return defer(clock, final)
    clock.last = final
    step.timestamp = first
    return step


cdef inline Step stamp(ClockState *clock, int64_t wall, int64_t monotonic) noexcept nogil:
    """The clock that a message carries, once healthy peers accept it (rule HLC.R7)."""
    cdef Step step = outcome(unavailable(clock))
    cdef int64_t now
    if step.outcome != DONE:
        return step
    look_for_jump(clock, wall, monotonic)
    now = believed(clock, wall, monotonic)
    if too_far_to_carry(clock, now):
        return Step(AHEAD, 0, 0, ms_of(clock.last) - clock.settings.max_ahead - now)
    step.timestamp = clock.last
    return step


cdef inline Step reserve(ClockState *clock, int64_t wall, int64_t monotonic) noexcept nogil:
    """Ask for a new bound, where a tick would not be refused (rule HLC.R13)."""
    cdef Step step = outcome(unavailable(clock))
    cdef uint64_t timestamp, bound
    if step.outcome != DONE:
        return step
    look_for_jump(clock, wall, monotonic)
    timestamp = candidate(clock.last, wall)
    step = why_not(clock, timestamp, wall)
    if step.outcome != DONE:
        return step
    bound = reservation(clock, ms_of(timestamp))
    if clock.writing or bound <= clock.bound:
        return outcome(UNCHANGED)
    clock.writing = True
    clock.promised = bound
    return Step(WRITE, 0, bound, 0)


cdef inline Step observe(
    ClockState *clock, int64_t wall, int64_t monotonic, uint64_t remote
) noexcept nogil:
    """Merge a peer's clock (rules HLC.R5, HLC.R6, HLC.R12)."""
    cdef Step step = outcome(unavailable(clock))
    cdef int64_t now
    if step.outcome != DONE:
        return step
    look_for_jump(clock, wall, monotonic)
    now = believed(clock, wall, monotonic)
    if too_far_remote(clock, remote, now):
        return Step(DRIFT, 0, 0, ms_of(remote) - clock.settings.max_drift - now)
    now = present(clock, wall, now)
    if too_early(clock, remote, now):
        return Step(EARLY, 0, 0, ms_of(remote) - clock.settings.max_ahead - now + 1)
    if not covers(clock, remote):
        return outcome(SUSPENDED) if clock.suspended else defer(clock, remote)
    clock.last = merge(clock.last, remote)
    step.timestamp = clock.last
    return step


cdef inline Step persisted(ClockState *clock) noexcept nogil:
    if not clock.up:
        return outcome(IS_DOWN)
    if not clock.writing:
        return outcome(NOTHING_WRITTEN)
    clock.bound = clock.promised
    clock.writing = False
    return outcome(DONE)


cdef inline Step confirm(
    ClockState *clock, int64_t wall, int64_t monotonic, bint trusted, int64_t agreeing, bint own_vote
) noexcept nogil:
    """A confirmed wall clock is the new anchor; nothing else changes (rule HLC.R11)."""
    cdef Step step = outcome(unavailable(clock))
    if step.outcome != DONE:
        return step
    if own_vote:
        return outcome(OWN_VOTE)
    look_for_jump(clock, wall, monotonic)
    if not trusted and agreeing < clock.settings.confirm_quorum:
        return outcome(UNCONFIRMED)
    clock.anchor = wall - monotonic
    clock.trusted += 1
    clock.suspended = False
    return step


cdef inline Step stop(ClockState *clock) noexcept nogil:
    """A clean stop stores the exact timestamp: the next start waits for nothing (rule HLC.R15)."""
    cdef Step step = outcome(unavailable(clock))
    if step.outcome != DONE:
        return step
    if clock.writing:  # One write at a time (rule HLC.R13): stop again when it is done.
        return Step(REPEAT, clock.last, 0, 0)
    clock.writing = clock.stopping = True
    clock.promised = clock.last
    return Step(WRITE, 0, clock.last, 0)


cdef inline Step crash(ClockState *clock) noexcept nogil:
    if not clock.up:
        return outcome(IS_DOWN)
    clock.up = False
    return outcome(DONE)


# --- classes ----------------------------------------------------------------------------------------------


cdef class ClockCore:
    cdef ClockState clock
    cdef tuple _retired

    cdef ClockState _copy(self) noexcept
    cdef tuple _effects(self, str event, Step step, int64_t wall, object remote=*, object sender=*)
    cdef Step claim(self, int64_t wall, int64_t monotonic, uint64_t count) noexcept nogil
    cdef Step vote(self, int64_t wall, int64_t monotonic, operator, peers, const uint64_t *trusted) except *


cdef struct Reading:
    int64_t wall
    int64_t monotonic
    uint64_t random     # drawn for the id
    bint low            # whether less than half of the reservation is left
    uint64_t trusted    # which trust in the wall clock the reading is as new as


cdef class Clock:
    cdef readonly ClockCore core
    cdef object _writer
    cdef object _wall
    cdef object _monotonic
    cdef bint _injected
    # The last reading of both clocks, which serves until the kernel's next update (rule HLC.R18).
    cdef int64_t _read_at
    cdef int64_t _wall_read
    cdef int64_t _monotonic_read
    cdef uint64_t _trusted_read
    cdef uint64_t _forks
    cdef Random _random

    cdef int _check_process(self) except -1
    cdef int _read(self, int64_t *wall, int64_t *monotonic) except -1
    cdef int _read_and_acquire(self, int64_t *wall, int64_t *monotonic, int64_t *tick) except -1
    cdef uint64_t _claim(self, uint64_t count) except 0
    cdef int _reserve_if_low(self, int64_t wall, int64_t monotonic, uint64_t trusted) except -1
