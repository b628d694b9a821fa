# cython: freethreading_compatible=True
"""Quorums in production form: what replicas hold, and how coordinators read and write them.

:class:`ReplicaCore` and :class:`CoordinatorCore` are the two state machines of the reference without input or
output: events in, effects out, for the node, the simulator and the conformance kit. The rules themselves are
in ``quorum.pxd``; ``spec/quorum.md`` states them. The node makes durable what has to be, sends what is to be
sent, asks the clock (:mod:`scratchbird.hlc`) for versions, and tells the time by sending deadlines.

Both may be used from many threads at once: every event is one step, during which no other one is taken.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free

from scratchbird.uuid8 cimport UuidV8, store_word, whole

from itertools import product

from scratchbird.errors import (
    BugError, CallerError, ConfigurationError, ScratchbirdError, TooManyIntentsError, TooManyOperationsError,
    TooManyRowsError,
)
from scratchbird.quorum_words import Mode, Outcome
from scratchbird.timestamp import shown

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object value, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLongMask(object value) except? <unsigned long long> -1

cdef int64_t MAX_NUMBER = 0x7FFFFFFFFFFFFFFF

MAX_VERSION = (1 << 128) - 1
MAX_ROW = MAX_NUMBER
MAX_REPLICAS = MAX_REPLICAS_C

include "quorum_messages.pxi"
include "quorum_events.pxi"
include "quorum_replica.pxi"
include "quorum_operations.pxi"
include "quorum_coordinator.pxi"

# For annotations.
Message = Query | Answer | Write | Acknowledgement | OldEpoch | Exchange | Exchanged
ReplicaEvent = Deliver | Crash | Start | StartEmpty | Ask
CoordinatorEvent = (
    Read | Reserve | PutValue | LookUp | Stamped | StampRefused | IntentStored | Deadline | Deliver | Adopt | Crash
    | Start
)
Effect = Send | Stamp | StoreIntent | Reply


# --- settings side by side ----------------------------------------------------------------------------------


def always_meet(Setting write not None, Setting read not None):
    """Whether every write quorum of one setting meets every read quorum of the other (rule QUORUM.R15).

    The replica sets may differ. Quorums that avoid each other as far as they can take the replicas that only
    one of the settings has; what is left must be more than the replicas that both have.
    """
    cdef int common = len(write.members & read.members)
    cdef int write_in_common = max(0, write.write_quorum - (write.size - common))
    cdef int read_in_common = max(0, read.read_quorum - (read.size - common))
    return write_in_common + read_in_common > common


def compatible(settings):
    """Whether coordinators may use these settings side by side, in any mixture (rule QUORUM.R15)."""
    kept = listed(settings, "settings", "the settings to compare")
    return all([always_meet(write, read) for write, read in product(kept, kept)])


def joint(Setting old not None, Setting new not None):
    """The setting between two that may not be used side by side (rule QUORUM.R16).

    Its read quorum meets every write quorum of the old setting, and its write quorum every read quorum of the
    new one. It is linearizable whatever the table's mode, so that a read in it writes back what it finds.

    :raises ConfigurationError: if the replicas differ, or there is no epoch between the two.
    """
    if old.members != new.members:
        raise ConfigurationError(
            f"replicas {old.replicas} and {new.replicas} differ: change the replicas in a step of its own"
        )
    if new.epoch - 2 < old.epoch:
        raise ConfigurationError(
            f"epoch {new.epoch} leaves none for the joint setting: after {old.epoch} use {<object> old.epoch + 2} "
            f"or more"
        )
    return Setting(
        replicas=old.replicas,
        write_quorum=max(old.write_quorum, new.write_quorum, new.size - new.read_quorum + 1),
        read_quorum=max(old.read_quorum, new.read_quorum, old.size - old.write_quorum + 1),
        mode=Mode.LINEARIZABLE,
        epoch=old.epoch + 1,
    )


# --- what both machines share -------------------------------------------------------------------------------


cdef Steps steps_of(core, events):
    """Each event as a step of its own; one that is refused has no effects and does not stop the others."""
    cdef list effects = [], ends = [], refused = []
    cdef Py_ssize_t before, index = 0
    for event in listed(events, "events", "the events of this batch"):
        before = len(effects)
        try:
            if type(core) is ReplicaCore:
                with cython.critical_section(core):
                    (<ReplicaCore> core).take(event, effects)
            else:
                with cython.critical_section(core):
                    (<CoordinatorCore> core).take(event, effects)
        except ScratchbirdError as error:
            del effects[before:]
            refused.append((index, error.with_traceback(None)))
        ends.append(len(effects))
        index += 1
    return Steps(effects, ends, refused)


cdef Py_ssize_t bound_of(str name, value) except -1:
    return check_number(name, value, 1, MAX_NUMBER)


cdef dict setting_to_plain(Setting setting):
    return {
        "replicas": list(setting.replicas),
        "write_quorum": setting.write_quorum,
        "read_quorum": setting.read_quorum,
        "mode": setting.mode.value,
        "epoch": setting.epoch,
    }


cdef dict held_to_plain(Held held):
    return {
        "version": f"{number_of(held.at):x}",
        "value": None if held.value is None else held.value.hex(),
    }


cdef list incarnations_to_plain(Incarnations known):
    return [list(pair) for pair in known.pairs]
