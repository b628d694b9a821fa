# The rules of handoff and of deletes over machine words, and what they are about: hints, marks and floors, the
# three machines. ``spec/handoff.md`` states the rules; each function names the rule that it is, as the
# reference does. The classes are in handoff.pyx and the .pxi files that it includes.
#
# Targets are node ids, 16 bits. Shards are below 2**63. Times are nanoseconds of wall time since the Unix epoch,
# from 0 to 2**62: so far that no difference between two of them leaves 64 bits. A floor is a version.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from scratchbird.quorum cimport Deliver, Exchanged as ExchangedRows, Held, Intent, Query, ReplicaCore, Send, Setting
from scratchbird.quorum cimport StartEmpty, Value, Version, Write, below, same

cdef enum:
    SECOND = 1000000000         # in ns
    CATCH_UP = 10000000         # a delivery that is later, in ns, is not caught up with
    UNKNOWN = -1                # of a sequence number: the node has not told it yet


# --- what everything is about -------------------------------------------------------------------------------


cdef class Limits(Value):
    cdef readonly int64_t per_second
    cdef readonly int64_t most_under_way
    cdef readonly int64_t answer_within_ns
    cdef readonly int64_t most_hints
    cdef readonly int64_t most_bytes
    cdef readonly int64_t most_age_ns


cdef class Hint(Value):
    cdef readonly int32_t target
    cdef readonly int64_t shard
    cdef readonly int64_t row
    cdef Version at
    cdef readonly int64_t size      # bytes of the value
    cdef readonly int64_t since_ns
    cdef int64_t number             # where the node keeps it, or UNKNOWN


cdef class Mark(Value):
    cdef readonly bint is_open
    cdef readonly frozenset heard


# --- events of a coordinator's account ----------------------------------------------------------------------


cdef class Owe(Value):
    cdef readonly object operation
    cdef readonly int64_t shard
    cdef readonly Intent intent
    cdef readonly int64_t now_ns


cdef class Ended(Value):
    cdef readonly object operation


cdef class Acknowledged(Value):
    cdef readonly int32_t target
    cdef readonly int64_t row
    cdef Version at


cdef class Tick(Value):
    cdef readonly int64_t now_ns


cdef class GiveUp(Value):
    cdef readonly int32_t target


cdef class OfPlace(Value):
    cdef readonly tuple place       # (target, shard)


cdef class Refused(OfPlace):
    cdef Version at


cdef class Drop(OfPlace):
    pass


cdef class KeepAgain(OfPlace):
    pass


cdef class WithOther(OfPlace):
    cdef readonly int32_t other


cdef class ExchangeBegun(WithOther):
    pass


cdef class Exchanged(WithOther):
    pass


cdef class TargetLostDisk(Value):
    cdef readonly int32_t target


cdef class MoveBegun(OfPlace):
    cdef readonly int32_t newcomer


cdef class MoveDone(OfPlace):
    pass


cdef class Erased(Value):
    cdef readonly int64_t shard
    cdef Version at


cdef class Unreadable(OfPlace):
    pass


# --- effects of a coordinator's account ---------------------------------------------------------------------


cdef class StoreHints(Value):
    cdef readonly object operation
    cdef readonly tuple targets


cdef class CopyHint(Value):
    cdef readonly Hint hint
    cdef readonly int32_t target


cdef class Pay(Value):
    cdef readonly int32_t target
    cdef readonly tuple sequences


cdef class StoreMark(OfPlace):
    cdef readonly Mark mark         # None if it is paid


cdef class StoreMove(OfPlace):
    cdef readonly object newcomer   # None if it is done


cdef class StoreLeast(Value):
    cdef readonly int write_quorum


cdef class Kept(Value):
    cdef readonly object operation


cdef class SendHint(Value):
    cdef readonly Hint hint


cdef class MayDrop(OfPlace):
    pass


cdef class Repair(OfPlace):
    pass


# --- events and effects of a floor --------------------------------------------------------------------------


cdef class AtFloor(Value):
    cdef Version at


cdef class Propose(AtFloor):
    pass


cdef class AllClosed(AtFloor):
    pass


cdef class AllConverged(AtFloor):
    pass


cdef class Merged(Value):
    cdef readonly int32_t other


cdef class FloorLost(Value):
    cdef Version at


cdef class Recovered(Value):
    cdef Version at


cdef class SayClosed(AtFloor):
    pass


cdef class AskFor(AtFloor):
    cdef readonly int32_t other


cdef class SayConverged(AtFloor):
    pass


cdef class PurgeBelow(AtFloor):
    pass


# --- messages and events of a replica with a floor ----------------------------------------------------------


cdef class BelowFloor(Value):
    cdef readonly object operation
    cdef Version at


cdef class AskPast(AtFloor):
    cdef readonly int64_t incarnation


cdef class Past(AtFloor):
    cdef readonly int64_t incarnation
    cdef readonly tuple rows


cdef class RecoveredPast(Value):
    cdef readonly ExchangedRows rows
    cdef Version at


cdef class LostDisk(Value):
    cdef readonly StartEmpty rows
    cdef Version at


cdef class Purge(Value):
    pass


cdef class Merge(Value):
    cdef readonly tuple rows


# --- events and effects of the catalog ----------------------------------------------------------------------


cdef class ProposeFloor(AtFloor):
    pass


cdef class OfReplica(Value):
    cdef readonly int32_t replica


cdef class Closed(OfReplica):
    cdef Version at


cdef class Converged(OfReplica):
    cdef Version at
    cdef readonly int64_t incarnation


cdef class ReplicaLostDisk(OfReplica):
    cdef readonly int64_t incarnation


cdef class AskFloor(OfReplica):
    pass


cdef class Tell(Value):
    cdef readonly int32_t to
    cdef readonly AtFloor what


# --- the rules: what is owed --------------------------------------------------------------------------------


cdef inline int64_t interval_ns(Limits limits) noexcept:
    """Nanoseconds between two deliveries to a target: at least 1, and never without end (HANDOFF.R4)."""
    return max(1, SECOND // limits.per_second)


cdef inline int64_t after_silence(int64_t interval) noexcept nogil:
    """The interval when an answer did not come in time: twice as long, up to a second (HANDOFF.R4)."""
    return min(2 * interval, <int64_t> SECOND)


cdef inline int64_t after_answer(int64_t interval, int64_t least) noexcept nogil:
    """The interval when an answer came in time: an eighth shorter, down to the limit's (HANDOFF.R4)."""
    return max(least, interval - max(<int64_t> 1, interval // 8))


cdef inline int64_t due_from(int64_t due, int64_t now) noexcept nogil:
    """Since when a delivery is due, at most CATCH_UP ago: the pace is kept (HANDOFF.R4). Nor more than a second
    ahead, which only a clock that was set back can say."""
    return min(max(due, now - CATCH_UP), now + SECOND)


cdef inline bint is_paid(Version held, Version hinted) noexcept nogil:
    """Whether a target that says that it holds a version is owed a hint any more (HANDOFF.R3)."""
    return not below(held, hinted)


cdef inline bint waits_below(Version closed, Version hinted) noexcept nogil:
    """Whether a hint waits, because its target has closed this floor (HANDOFF.R4, HANDOFF.R9)."""
    return not below(closed, hinted)


cdef inline bint is_too_much(Limits limits, Py_ssize_t hints, int64_t size, int64_t oldest) noexcept:
    """Whether a target is given up with so many hints, bytes, and an oldest of this age (HANDOFF.R5)."""
    return hints > limits.most_hints or size > limits.most_bytes or oldest > limits.most_age_ns


cdef inline bint may_close(Py_ssize_t open_writes) noexcept nogil:
    """Whether a mark may be closed while so many writes are open that began under it (HANDOFF.R5)."""
    return open_writes == 0


cdef inline bint pays(Setting setting, int write_quorum, Py_ssize_t others_heard) noexcept:
    """Whether a target that merged all that so many others hold is owed nothing more (HANDOFF.R6).

    The write quorum is the least that any write had which the target may lack.
    """
    return others_heard >= setting.size - write_quorum


# --- the rules: what may be forgotten -----------------------------------------------------------------------


cdef inline bint takes(Version closed, Version converged, Held held, Held sent) noexcept:
    """Whether a replica that has closed a floor takes or acknowledges this (HANDOFF.R9, HANDOFF.R12).

    What it holds already, or something newer, it acknowledges. The floor itself, deleted, comes from a replica
    that has settled: one that has converged will say the same, unless it holds a value.
    """
    if not below(held.at, sent.at) or below(closed, sent.at):
        return True
    return sent.value is None and same(sent.at, converged) and same(converged, closed) and held.value is None


cdef inline bint tells_past(Version closed, Version floor) noexcept nogil:
    """Whether a replica that has closed one floor tells others its past up to another (HANDOFF.R10).

    One that has not closed that may still change its past. It tells all of its rows: one that is newer may stand
    where something at or below the floor stood, and an other that is not told of it would have neither.
    """
    return not below(closed, floor)


cdef inline bint is_void(Version proposed, Version all_converged) noexcept nogil:
    """Whether a disk that is lost now voids the proposed floor: what others merged from it may be gone from all
    that it will merge itself (HANDOFF.R13)."""
    return below(all_converged, proposed)


cdef inline bint has_converged(Setting setting, Py_ssize_t merged) noexcept:
    """Whether a replica that merged all of so many others has converged (HANDOFF.R10)."""
    return merged >= setting.size - 1


cdef inline bint may_settle(Version converged, Version all_converged, Version floor) noexcept nogil:
    """Whether a replica may settle at a floor and purge below it (HANDOFF.R11)."""
    return same(converged, floor) and not below(all_converged, floor)


cdef inline bint may_purge(Version floor, Held held) noexcept:
    """Whether what a settled replica holds of a row may go (HANDOFF.R11)."""
    return held.value is None and not below(floor, held.at)


cdef inline bint believes_backup(Version closed, Held held) noexcept:
    """Whether a row of a restored backup is merged without anybody else holding it (HANDOFF.R13)."""
    return below(closed, held.at)


cdef inline bint is_version(Version version) noexcept nogil:
    """Whether it is one, and not 0, which stands for none."""
    return version.high != 0 or version.low != 0


# --- what a coordinator owes --------------------------------------------------------------------------------


cdef enum:
    # Trees: each hint is in two of them. The number is where the links of a tree begin in ``Pending.link``.
    ROWS = 0            # all hints, by row, target and version
    ORDER = 2           # those of a place, the oldest first


cdef struct Pending:
    int64_t row
    Version at
    int64_t since_ns
    int64_t number              # see Hint
    int64_t size
    uint64_t order              # its place in the order of all hints
    int64_t sent_ns             # while it is under way
    int64_t oldest_ns           # the least ``since_ns`` of its part of the tree ORDER
    void *place                 # its Place, which lives as long as it has hints
    Pending *link[4]            # left and right, in each tree
    int32_t target
    uint32_t priority           # above those of all below it, in both trees
    uint8_t is_open             # a write of this row and version is open: it is under way to its targets already
    uint8_t is_under_way        # it was sent, and not answered
    uint8_t is_aside            # its target has closed a floor that is not below it
    uint8_t waits               # whether any of its part of the tree ORDER is none of these


cdef class Place:
    # What is owed to a target of one shard.
    cdef int32_t target
    cdef int64_t shard
    cdef Pending *root          # of its tree ORDER
    cdef Py_ssize_t count
    cdef int64_t size           # bytes of their values
    cdef bint is_listed         # among ``Target.waiting``


cdef class Target:
    cdef dict places            # Place by shard, of those that have hints
    cdef list waiting           # the shards of which a hint may be sent, ascending
    cdef dict under_way         # the address of each hint that is, in the order in which they were sent
    cdef dict rows_sent         # how many hints of a row are under way


cdef class Pace:
    cdef int64_t interval
    cdef int64_t due
    cdef int64_t shard          # whose turn it was last, or -1


cdef class OpenWrite:
    # A write that has not ended.
    cdef int64_t shard
    cdef int64_t row
    cdef Version at
    cdef int64_t size           # bytes of its value
    cdef int64_t since_ns
    cdef frozenset targets
    cdef frozenset left_out     # those without a hint because an open mark covers it


cdef class HintTable:
    cdef Pending *by_row            # the root of the tree ROWS
    cdef Py_ssize_t count           # of hints
    cdef dict targets               # Target by id, of those that have hints
    cdef uint64_t next_order        # of the next hint
    cdef uint64_t dice              # what priorities are drawn from

    cdef Pending *seek(self, int64_t row, int32_t target, Version at) noexcept
    cdef Pending *find(self, int64_t row, int32_t target, Version at) noexcept
    cdef Pending *add(self, Hint hint, bint is_open, bint is_aside) except NULL
    cdef int remove(self, Pending *node, list paid) except -1
    cdef int set_open(self, int64_t row, Version at, bint is_open) except -1
    cdef int sent(self, Pending *node, int64_t now) except -1
    cdef int arrived(self, Pending *node) except -1
    cdef int touch(self, Pending *node) except -1
    cdef int list_place(self, Place place) except -1
    cdef Place place_of(self, tuple place)
    cdef list places(self)
    cdef list in_order(self)
    cdef list under_way(self)


cdef class HintCore:
    # Durable.
    cdef HintTable table
    cdef dict marks_by_place        # Mark by place
    cdef dict newcomers             # who takes a target's place, by place
    cdef readonly int least_write_quorum
    # Volatile: what a crash drops.
    cdef dict writes                # OpenWrite by operation
    cdef dict open_versions         # how many writes of a (row, version) are open
    cdef dict left_out              # how many open writes left a place out
    cdef set coming_back            # places
    cdef dict exchanges             # whether the mark was closed when it began, by (place, other)
    cdef dict paces                 # Pace by target
    cdef dict closed                # the highest floor that a target was heard to have closed, by place
    # What the catalog said last, and the limits.
    cdef readonly Setting setting
    cdef readonly Limits limits
    cdef int64_t least_interval
    # Bounds.
    cdef readonly Py_ssize_t max_hints
    cdef readonly Py_ssize_t max_operations

    cdef int forget(self) except -1
    cdef int room(self, Py_ssize_t more) except -1
    cdef int keep(self, Hint hint) except -1
    cdef int answered(self, int32_t target) except -1
    cdef int take(self, object event, list out) except -1
    cdef int owe(self, Owe event, list out) except -1
    cdef bint is_given_up(self, tuple place) except -1
    cdef int ended(self, object operation, list out) except -1
    cdef int acknowledged(self, Acknowledged event, list out) except -1
    cdef int tick(self, int64_t now, list out) except -1
    cdef int silence(self, Target target, object number, int64_t now) except -1
    cdef int deliver(self, Target target, Pace pace, int64_t now, list out) except -1
    cdef Pace pace_of(self, object target)
    cdef int give_up(self, list places, list out, bint tell) except -1
    cdef int drop(self, tuple place, list out) except -1
    cdef set drop_all(self, tuple place, list out)
    cdef int keep_again(self, tuple place, list out) except -1
    cdef int close_marks(self, list out) except -1
    cdef int owe_repairs(self, list places, list out) except -1
    cdef int begun(self, ExchangeBegun event) except -1
    cdef int exchanged(self, Exchanged event, list out) except -1
    cdef int check_other(self, WithOther event) except -1
    cdef int set_newcomer(self, tuple place, object newcomer, list out) except -1
    cdef int adopt(self, Setting setting, list out) except -1
    cdef int crash(self, list out) except -1
    cdef int settle(self, list out) except -1
    cdef int set_mark(self, tuple place, Mark mark, list out) except -1
    cdef int set_least(self, int write_quorum, list out) except -1
    cdef int forget_exchanges(self, object places) except -1
    cdef int count_left_out(self, OpenWrite write, int change) except -1


# --- up to where a replica has forgotten --------------------------------------------------------------------


cdef class FloorCore:
    # Durable.
    cdef readonly int replica
    cdef Version closed_at
    cdef Version converged_at
    cdef Version floor_at
    # Volatile: what a crash drops.
    cdef Version all_closed_at
    cdef Version all_converged_at
    cdef set merged
    # What the catalog said last.
    cdef readonly Setting setting
    cdef frozenset others

    cdef dict durable_to_plain(self)
    cdef dict volatile_to_plain(self)
    cdef bint takes(self, Held held, Held sent) noexcept
    cdef Held told(self, Held held)
    cdef int take(self, object event, list out) except -1
    cdef int close(self, Version floor, list out) except -1
    cdef int all_closed_now(self, Version floor, list out) except -1
    cdef int check_merged(self, int32_t other) except -1
    cdef int merged_one(self, int32_t other, list out) except -1
    cdef int all_converged_now(self, Version floor, list out) except -1
    cdef int settle(self, list out) except -1
    cdef int check_lost(self, Version proposed) except -1
    cdef int lost(self, Version proposed, list out) except -1
    cdef int recovered(self, Version settled) except -1
    cdef int crash(self) except -1


cdef class FlooredReplicaCore:
    cdef ReplicaCore rows
    cdef FloorCore floor_core

    cdef int take(self, object event, list out) except -1
    cdef int check_up(self, object kind) except -1
    cdef int of_floor(self, Value event, list out) except -1
    cdef AskPast ask_past(self, Version floor)
    cdef int lost_disk(self, LostDisk event, list out) except -1
    cdef int deliver(self, Deliver event, list out) except -1
    cdef bint is_refused(self, Write message, list out) except -1
    cdef int with_floor(self, list out, Py_ssize_t begun) except -1
    cdef int with_settled(self, list out, Py_ssize_t begun) except -1
    cdef int of_this_part(self, Deliver event, object kind, list out) except -1
    cdef int past(self, AskPast asked, object sender, list out) except -1
    cdef int merge_past(self, Past message, Deliver event, list out) except -1
    cdef int recover(self, RecoveredPast message, Deliver event, list out) except -1
    cdef dict newer(self, tuple rows)
    cdef int merge(self, dict newer) except -1
    cdef int purge(self) except -1


cdef class FloorCatalog:
    # All of it is durable.
    cdef readonly Setting setting
    cdef dict lives                 # of every replica, the present incarnation
    cdef Version proposed_at
    cdef set closed_by
    cdef dict converged_as          # the incarnation in which it converged, by replica
    cdef Version all_converged_at
    cdef readonly bint voided       # a disk was lost before all had converged at the proposed floor

    cdef int take(self, object event, list out) except -1
    cdef int propose(self, Version floor, list out) except -1
    cdef int closed_one(self, Closed event, list out) except -1
    cdef int converged_one(self, Converged event, list out) except -1
    cdef int lost_disk(self, ReplicaLostDisk event) except -1
    cdef int answer(self, int32_t replica, list out) except -1
    cdef bint all_closed(self) noexcept
    cdef int tell_all(self, AtFloor what, list out) except -1
