# cython: freethreading_compatible=True
"""Handoff in production form: what a coordinator owes, and up to where a shard's past is forgotten.

:class:`HintCore`, :class:`FloorCore`, :class:`FlooredReplicaCore` and :class:`FloorCatalog` are the state machines
of the reference without input or output: events in, effects out, for the node, the simulator and the conformance
kit. The rules themselves are in ``handoff.pxd``; ``spec/handoff.md`` states them. The node makes durable what has
to be, keeps the values of hints, sends what is to be sent, and tells the time.

All may be used from many threads at once: every event is one step, during which no other one is taken.
"""

cimport cython
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from libc.stdint cimport uint64_t

from scratchbird.quorum cimport (
    MAX_REPLICAS_C, NOTHING_HELD, Adopt, Ask, Crash, Incarnations, Start, Steps, accepts_epoch, bound_of,
    check_is, check_number, held_at, incarnation_of, incarnations_to_plain, listed, number_of, operation_number,
    pair_of, read_version, row_pairs, send_to, setting_to_plain, supersedes, told_by,
)
from scratchbird.quorum cimport Answer, Exchange
from scratchbird.uuid8 cimport whole

from bisect import bisect_right, insort

from scratchbird.errors import (
    BugError, CallerError, ConfigurationError, ScratchbirdError, TooManyHintsError, TooManyOperationsError,
)
from scratchbird.quorum import MAX_VERSION
from scratchbird.timestamp import shown

cdef int64_t MAX_NUMBER = 0x7FFFFFFFFFFFFFFF

SECOND_NS = SECOND
CATCH_UP_NS = CATCH_UP

include "handoff_events.pxi"
include "handoff_pending.pxi"
include "handoff_account.pxi"
include "handoff_changes.pxi"
include "handoff_floor.pxi"
include "handoff_replica.pxi"
include "handoff_catalog.pxi"

# For annotations.
HintEvent = (
    Owe | Ended | Acknowledged | Refused | Tick | GiveUp | Drop | KeepAgain | ExchangeBegun | Exchanged | TargetLostDisk
    | MoveBegun | MoveDone | Erased | Unreadable | Adopt | Crash
)
HintEffect = StoreHints | CopyHint | Pay | StoreMark | StoreMove | StoreLeast | Kept | SendHint | MayDrop | Repair
FloorEvent = Propose | AllClosed | Merged | AllConverged | Crash | FloorLost | Recovered
FloorEffect = SayClosed | AskFor | SayConverged | PurgeBelow
ReplicaEvent = Deliver | Crash | Start | Ask | Propose | AllClosed | AllConverged | LostDisk | Merge | Purge
ReplicaEffect = Send | SayClosed | SayConverged | PurgeBelow
CatalogEvent = ProposeFloor | Closed | Converged | ReplicaLostDisk | AskFloor


# --- what the machines share --------------------------------------------------------------------------------


cdef Steps steps_of(core, events):
    """Each event as a step of its own; one that is refused has no effects and does not stop the others."""
    cdef list effects = [], ends = [], refused = []
    cdef Py_ssize_t before_it, index = 0
    for event in listed(events, "events", "the events of this batch"):
        before_it = len(effects)
        try:
            if type(core) is HintCore:
                with cython.critical_section(core):
                    (<HintCore> core).take(event, effects)
            else:
                with cython.critical_section(core):
                    (<FlooredReplicaCore> core).take(event, effects)
        except ScratchbirdError as error:
            del effects[before_it:]
            refused.append((index, error.with_traceback(None)))
        ends.append(len(effects))
        index += 1
    return Steps(effects, ends, refused)


def row_of(item):
    return item[0]


# --- the account as plain values ----------------------------------------------------------------------------


cdef dict account_to_plain(HintCore core):
    """See :meth:`HintCore.state`."""
    return {
        "setting": setting_to_plain(core.setting),
        "hints": [hint_to_plain(hint_of(<Pending *> <size_t> address)) for address in core.table.in_order()],
        "marks": [
            {"place": list(place), "open": mark.is_open, "heard": sorted(mark.heard)}
            for place, mark in sorted(core.marks_by_place.items(), key=row_of)
        ],
        "moves": [
            {"place": list(place), "newcomer": newcomer} for place, newcomer in sorted(core.newcomers.items())
        ],
        "least_write_quorum": core.least_write_quorum,
        "open": [f"{number:x}" for number in sorted(core.writes)],
        "coming_back": [list(place) for place in sorted(core.coming_back)],
        "under_way": [
            {"target": target, "row": f"{row:x}", "version": f"{version:x}"}
            for (target, row, version), _ in core.table.under_way()
        ],
    }


cdef dict hint_to_plain(Hint hint):
    return {
        "target": hint.target,
        "shard": hint.shard,
        "row": f"{hint.row:x}",
        "version": f"{number_of(hint.at):x}",
        "size": hint.size,
        "since_ns": f"{hint.since_ns:x}",
    }


cdef dict progress_of(HintCore core):
    """See :meth:`HintCore.progress`."""
    cdef OpenWrite write
    cdef Pace pace
    return {
        "writes": [
            (number, write.shard, write.row, number_of(write.at), write.targets, write.left_out)
            for number, write in sorted(core.writes.items(), key=row_of)
        ],
        "exchanges": [(place, other, was) for (place, other), was in sorted(core.exchanges.items())],
        "paces": [
            (target, pace.interval, pace.due, pace.shard)
            for target, pace in sorted(core.paces.items(), key=row_of)
        ],
        "closed": sorted(core.closed.items()),
        "under_way": core.table.under_way(),
    }
