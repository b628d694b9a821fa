# The rules of quorums over machine words, and what they are about: versions, settings, messages, the two
# machines. ``spec/quorum.md`` states the rules; each function names the rule that it is, as the reference
# does. The classes are in quorum.pyx and the .pxi files that it includes.
#
# A version is 128 bits, two words whose order as a pair is the order of versions (rule QUORUM.R1). Replica
# ids are node ids, 16 bits. Epochs, incarnations and rows are below 2**63.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcmp

cdef enum:
    MAX_REPLICAS_C = 255
    MAX_REPLICA_C = 0xFFFF
    ABSENT = -1         # of an incarnation: this replica has not answered, or not acknowledged


cdef struct Version:
    uint64_t high
    uint64_t low


cdef inline bint below(Version a, Version b) noexcept nogil:
    return a.high < b.high or (a.high == b.high and a.low < b.low)


cdef inline bint same(Version a, Version b) noexcept nogil:
    return a.high == b.high and a.low == b.low


# --- what everything is about -------------------------------------------------------------------------------


cdef class Value:
    pass


cdef class Incarnations(Value):
    cdef readonly tuple pairs
    cdef Py_ssize_t count
    cdef int32_t *replicas      # ascending
    cdef int64_t *lives         # the incarnation of each


cdef class Told(Value):
    cdef Incarnations told


cdef class Setting(Value):
    cdef readonly tuple replicas
    cdef readonly int write_quorum
    cdef readonly int read_quorum
    cdef readonly object mode
    cdef readonly int64_t epoch
    cdef readonly int size
    cdef bint linearizable
    cdef frozenset members
    cdef int32_t *ids           # the replicas, in the setting's order: a position is an index into this


cdef class Held(Value):
    cdef Version at
    cdef readonly object value


cdef class Intent(Value):
    cdef readonly object row
    cdef readonly Held held
    cdef readonly frozenset targets


# --- what is checked, made and shown: for other parts as well -----------------------------------------------


cdef Held NOTHING_HELD

cdef object read_version(value, str name, int least, Version *into)
cdef object number_of(Version version)
cdef bytes bytes_of(Version version)
cdef Held held_at(Version version, object value)
cdef object operation_number(value)
cdef object row_number(value)
cdef int check_is(value, object kind, str name) except -1
cdef int64_t check_number(str name, value, int64_t least, int64_t most) except -1
cdef Py_ssize_t bound_of(str name, value) except -1
cdef tuple listed(value, str name, str what)
cdef tuple pair_of(pair, str name, str what)
cdef tuple row_pairs(rows)
cdef Incarnations told_by(value)
cdef dict setting_to_plain(Setting setting)
cdef list incarnations_to_plain(Incarnations known)


# --- messages -----------------------------------------------------------------------------------------------


cdef class Query(Value):
    cdef readonly object operation
    cdef readonly int64_t epoch
    cdef readonly object row


cdef class Answer(Told):
    cdef readonly object operation
    cdef readonly Held held


cdef class Write(Value):
    cdef readonly object operation
    cdef readonly int64_t epoch
    cdef readonly object row
    cdef readonly Held held


cdef class Acknowledgement(Told):
    cdef readonly object operation
    cdef Version at


cdef class OldEpoch(Value):
    cdef readonly object operation
    cdef readonly int64_t epoch


cdef class Exchange(Told):
    cdef readonly int64_t epoch


cdef class Exchanged(Told):
    cdef readonly int64_t epoch
    cdef readonly int64_t incarnation
    cdef readonly tuple rows


# --- events -------------------------------------------------------------------------------------------------


cdef class Deliver(Value):
    cdef readonly Value message
    cdef readonly object sender
    cdef int32_t replica        # the sender as a number, ABSENT if it is the coordinator of an operation


cdef class Crash(Value):
    pass


cdef class Start(Value):
    pass


cdef class StartEmpty(Told):
    cdef readonly Setting setting
    cdef readonly int64_t epoch


cdef class Ask(Value):
    pass


cdef class Request(Value):
    cdef readonly object operation
    cdef readonly object row


cdef class WithToken(Request):
    cdef Version above


cdef class Read(WithToken):
    pass


cdef class Reserve(WithToken):
    pass


cdef class PutValue(WithToken):
    cdef readonly object value
    cdef Version at             # the version that was reserved; 0 if none was


cdef class LookUp(Request):
    cdef Version at


cdef class Stamped(Value):
    cdef readonly object operation
    cdef Version at


cdef class StampRefused(Value):
    cdef readonly object operation
    cdef readonly str reason


cdef class IntentStored(Value):
    cdef readonly object operation
    cdef readonly Intent intent


cdef class Deadline(Value):
    cdef readonly object operation


cdef class Adopt(Value):
    cdef readonly Setting setting


# --- effects ------------------------------------------------------------------------------------------------


cdef class Send(Value):
    cdef readonly object to
    cdef readonly Value message


cdef Send send_to(object to, Value message)


cdef class Stamp(Value):
    cdef readonly object operation
    cdef Version at


cdef class StoreIntent(Value):
    cdef readonly object operation
    cdef readonly Intent intent


cdef class Reply(Value):
    cdef readonly object operation
    cdef readonly object outcome
    cdef readonly Held held
    cdef readonly str reason


cdef class Steps(Value):
    cdef readonly list effects
    cdef readonly list ends
    cdef readonly list refused


# --- the rules ----------------------------------------------------------------------------------------------


cdef inline bint supersedes(Held new, Held old) noexcept:
    """Whether a replica that holds ``old`` is to hold ``new`` instead (rule QUORUM.R1).

    The version decides; of one version a delete wins, then the greater bytes.
    """
    cdef Py_ssize_t length, other
    cdef int order
    if not same(new.at, old.at):
        return below(old.at, new.at)
    if old.value is None or new.value is None:
        return new.value is None and old.value is not None
    length = PyBytes_GET_SIZE(new.value)
    other = PyBytes_GET_SIZE(old.value)
    order = memcmp(PyBytes_AS_STRING(new.value), PyBytes_AS_STRING(old.value), min(length, other))
    return order > 0 or (order == 0 and length > other)


cdef inline bint looks_first(Setting setting) noexcept:
    """Whether a write asks a read quorum before it takes its version (rule QUORUM.R5)."""
    return setting.linearizable


cdef inline bint enough_answers(Setting setting, int answers) noexcept:
    """Whether a winner may be chosen among so many answers (rule QUORUM.R3)."""
    return answers >= setting.read_quorum


cdef inline bint enough_holders(Setting setting, int holders) noexcept:
    """Whether so many replicas that are known to hold a version are a write quorum (rule QUORUM.R3)."""
    return holders >= setting.write_quorum


cdef inline bint read_may_reply(Setting setting, int holders) noexcept:
    """Whether a read whose winner so many replicas are known to hold may reply (rule QUORUM.R6)."""
    return not setting.linearizable or enough_holders(setting, holders)


cdef inline bint write_may_reply(Setting setting, int holders, bint intent_is_durable) noexcept:
    """Whether a write may be acknowledged (rules QUORUM.R5 and QUORUM.R11)."""
    return enough_holders(setting, holders) and intent_is_durable


cdef inline bint fresh_enough(Held winner, Version token) noexcept:
    """Whether a read may take this winner for a client that carries this token (rule QUORUM.R7)."""
    return not below(winner.at, token)


cdef inline Version stamp_above(list answers, Version token) noexcept:
    """What the version of a write must be above (rules QUORUM.R5 and QUORUM.R7)."""
    cdef Held held
    for held in answers:
        if below(token, held.at):
            token = held.at
    return token


cdef inline bint current(int64_t answered_as, int64_t known) noexcept nogil:
    """Whether what a replica said in one incarnation still binds it, the highest known being the other: it
    has not lost its disk since (rule QUORUM.R14)."""
    return answered_as >= known


cdef inline bint has_vote(bint recovering) noexcept nogil:
    """Whether a replica may answer a query or an exchange (rule QUORUM.R13)."""
    return not recovering


cdef inline bint has_recovered(Setting setting, Py_ssize_t others_heard) noexcept:
    """Whether a replica that lost its disk has heard from enough others (rule QUORUM.R13)."""
    return others_heard >= setting.size - setting.write_quorum + 1


cdef inline bint accepts_epoch(int64_t own, int64_t requested) noexcept nogil:
    """Whether a replica serves a request of this epoch (rule QUORUM.R15)."""
    return requested >= own


cdef Incarnations remembered(Incarnations own, Incarnations told)   # rule QUORUM.R14


cdef inline int64_t incarnation_of(int32_t replica, Incarnations known) noexcept:
    """The incarnation of ``replica`` in this map; 0 if it names none."""
    cdef Py_ssize_t low = 0, high = known.count, middle
    while low < high:
        middle = (low + high) // 2
        if known.replicas[middle] < replica:
            low = middle + 1
        else:
            high = middle
    return known.lives[low] if low < known.count and known.replicas[low] == replica else 0


cdef inline int position_of(int32_t replica, Setting setting) noexcept:
    """Where ``replica`` stands in this setting; ABSENT if it does not. At most 255 numbers are looked at."""
    cdef int position
    for position in range(setting.size):
        if setting.ids[position] == replica:
            return position
    return ABSENT


# --- the machines -------------------------------------------------------------------------------------------


cdef class ReplicaCore:
    # Durable.
    cdef readonly int replica
    cdef Incarnations known         # of every replica, as far as known; its own included
    cdef readonly int64_t epoch
    cdef dict rows                  # Held by row
    cdef readonly Setting recovering
    # Volatile: what a crash drops.
    cdef readonly bint up
    cdef set heard                  # whose rows were merged since the start, while recovering
    # Bounds.
    cdef readonly Py_ssize_t max_rows

    cdef int take(self, object event, list out) except -1
    cdef int deliver(self, Deliver event, list out) except -1
    cdef int check_down(self, Value event) except -1
    cdef int check_start_empty(self, StartEmpty event) except -1
    cdef int start_empty(self, StartEmpty event, list out) except -1
    cdef int ask(self, list out) except -1
    cdef int query(self, Query query, list out) except -1
    cdef int write(self, Write write, list out) except -1
    cdef int exchange(self, Exchange exchange, int32_t sender, list out) except -1
    cdef int exchanged(self, Exchanged answer, int32_t sender, list out) except -1
    cdef int merge(self, object row, Held held) except -1
    cdef int room(self, Py_ssize_t more, object row) except -1
    cdef void saw(self, int64_t epoch) noexcept


cdef enum Kind:
    READ
    WRITE
    RESERVE
    LOOK_UP


cdef enum Phase:
    ASKING              # a query is under way
    STAMPING            # the clock was asked for a version
    WRITING             # a version was sent to all replicas
    DONE                # the client has its reply; late answers are still repaired


cdef struct Vote:
    int64_t answered_as         # the incarnation in which it answered, or ABSENT
    int64_t acknowledged_as     # the same of its acknowledgement of what was written
    bint holds                  # whether it answered what was written or something newer


cdef class Members:
    # A setting as one coordinator sees it: with the incarnation of each replica, by position.
    cdef Setting setting
    cdef Incarnations known     # for which ``lives`` was filled
    cdef int64_t *lives


cdef class Operation:
    cdef object number
    cdef object row
    cdef object value
    cdef Members members
    cdef Kind kind
    cdef Phase phase
    cdef Version token          # see the reference: the client's, the one looked up, or what to stamp above
    cdef Held written           # the write, or the winner that is written back
    cdef bint intent_is_durable
    cdef list answers           # Held, in the order of arrival
    cdef int acknowledged       # how many did
    cdef Vote *votes            # by position
    cdef uint8_t *order         # the positions of ``answers``


cdef class StoredIntent:
    cdef object row
    cdef Held held
    cdef set targets


cdef class CoordinatorCore:
    # Durable.
    cdef dict intents               # StoredIntent by the 16 bytes of its version
    # Volatile: what a crash drops.
    cdef readonly bint up
    cdef dict operations            # Operation by number
    cdef Incarnations known         # the highest that any replica named
    # What the catalog said last.
    cdef readonly Setting setting
    cdef Members members
    # Bounds.
    cdef readonly Py_ssize_t max_operations
    cdef readonly Py_ssize_t max_intents

    cdef list intents_in_order(self)
    cdef int take(self, object event, list out) except -1
    cdef int adopt(self, Setting setting) except -1
    cdef int begin(self, Request event, list out) except -1
    cdef int ask_for_stamp(self, Operation operation, list out) except -1
    cdef int stamped(self, Operation operation, Version version, list out) except -1
    cdef int stamp_refused(self, Operation operation, str reason, list out) except -1
    cdef int write(self, Operation operation, Version version, list out) except -1
    cdef int wrote(self, Operation operation, Held held) except -1
    cdef int deliver(self, Deliver event, list out) except -1
    cdef int answer(self, Operation operation, int position, Answer message, list out) except -1
    cdef int choose(self, Operation operation, list out) except -1
    cdef int acknowledgement(self, Operation operation, int position, Acknowledgement message, list out) except -1
    cdef int intent_stored(self, IntentStored event, Operation operation, list out) except -1
    cdef int keep(self, Intent intent, Operation operation) except -1
    cdef int settle(self, Operation operation, list out) except -1
    cdef int holders(self, Operation operation) except -1
    cdef int64_t *lives_in(self, Members members) noexcept
    cdef int cancel(self, int32_t sender, Acknowledgement message) except -1
    cdef int old_epoch(self, Operation operation, OldEpoch message, list out) except -1
    cdef int deadline(self, Operation operation, list out) except -1
