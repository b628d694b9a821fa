# Part of handoff.pyx: what a coordinator's account talks about, the events that it takes and the effects that it
# asks for. What a client or a peer sent is checked when its event is made.

cdef int64_t MAX_TIME = <int64_t> 1 << 62


cdef int32_t target_number(value, str name) except -1:
    return <int32_t> whole(value, name, 0, 0xFFFF)


cdef int64_t shard_number(value) except -1:
    return whole(value, "shard", 0, MAX_NUMBER)


cdef int64_t time_number(value, str name) except -1:
    return whole(value, name, 0, MAX_TIME)


cdef tuple place_pair(value):
    """``value`` as (target, shard); :class:`CallerError` otherwise."""
    target, shard = pair_of(value, "place", "(target, shard)")
    return target_number(target, "target"), shard_number(shard)


cdef frozenset replica_set(value, str name):
    return frozenset([target_number(item, "replica id") for item in listed(value, name, "replica ids")])


# --- limits, hints and marks --------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Limits(Value):
    """What is kept for one target, and how fast it is delivered.

    ``per_second`` hints a second are sent to a target at most, and ``most_under_way`` that it has not answered
    (rule HANDOFF.R4); an answer that takes longer than ``answer_within_ns`` is late. ``most_hints``,
    ``most_bytes`` of values and ``most_age_ns`` of the oldest one are kept for a target and a shard (rule
    HANDOFF.R5).

    :raises ConfigurationError: if one is no whole number above 0, or ``per_second`` is above 10^9.
    """

    __match_args__ = (
        "per_second", "most_under_way", "answer_within_ns", "most_hints", "most_bytes", "most_age_ns",
    )

    def __cinit__(
        self,
        per_second=1_000,
        most_under_way=256,
        answer_within_ns=SECOND_NS,
        most_hints=1_000_000,
        most_bytes=1 << 30,
        most_age_ns=7 * 24 * 3_600 * SECOND_NS,
    ):
        self.per_second = check_number("per_second", per_second, 1, MAX_NUMBER)
        self.most_under_way = check_number("most_under_way", most_under_way, 1, MAX_NUMBER)
        self.answer_within_ns = check_number("answer_within_ns", answer_within_ns, 1, MAX_NUMBER)
        self.most_hints = check_number("most_hints", most_hints, 1, MAX_NUMBER)
        self.most_bytes = check_number("most_bytes", most_bytes, 1, MAX_NUMBER)
        self.most_age_ns = check_number("most_age_ns", most_age_ns, 1, MAX_NUMBER)
        if self.per_second > SECOND:
            raise ConfigurationError(f"per_second {per_second}: at most one hint in a nanosecond")


@cython.final
@cython.no_gc
cdef class Hint(Value):
    """A version that a target is owed (rule HANDOFF.R2): all but the value itself.

    ``size`` is that of the value in bytes, ``since_ns`` when it was made, ``sequence`` where the node keeps it
    among the target's hints, from 0 to 2^63 - 1, or ``None`` if it has not said so.

    :raises CallerError: if a number is out of range.
    """

    __match_args__ = ("target", "shard", "row", "version", "size", "since_ns", "sequence")

    def __init__(self, target, shard, row, version, size, since_ns, sequence=None):
        self.target = target_number(target, "target")
        self.shard = shard_number(shard)
        self.row = whole(row, "row", 0, MAX_NUMBER)
        read_version(version, "version", 1, &self.at)
        self.size = whole(size, "size", 0, MAX_NUMBER)
        self.since_ns = time_number(since_ns, "since_ns")
        self.number = UNKNOWN if sequence is None else whole(sequence, "sequence", 0, MAX_NUMBER)

    @property
    def version(self):
        """The 128-bit number."""
        return number_of(self.at)

    @property
    def sequence(self):
        """Where the node keeps it, or ``None``."""
        return None if self.number == UNKNOWN else self.number

    @property
    def place(self):
        """Its target and shard."""
        return self.target, self.shard


cdef Hint hint_of(Pending *node):
    cdef Hint made = Hint.__new__(Hint)
    made.target = node.target
    made.shard = (<Place> node.place).shard
    made.row = node.row
    made.at = node.at
    made.size = node.size
    made.since_ns = node.since_ns
    made.number = node.number
    return made


@cython.final
@cython.no_gc
cdef class Mark(Value):
    """A repair that is owed (rules HANDOFF.R5 and HANDOFF.R6).

    ``heard`` are the others of which the target has merged all since the mark was closed.
    """

    __match_args__ = ("is_open", "heard")

    def __init__(self, is_open=True, heard=()):
        check_is(is_open, bool, "is_open")
        self.is_open = is_open
        self.heard = replica_set(heard, "heard")


# --- events -------------------------------------------------------------------------------------------------
# Times are in ns of wall time, 0 to 2**62. Every :class:`CallerError` of these says which part is out of range.


@cython.final
@cython.no_gc
cdef class Owe(Value):
    """A write's intent is to be made durable (QUORUM.R11)."""

    __match_args__ = ("operation", "shard", "intent", "now_ns")

    def __init__(self, operation, shard, intent, now_ns):
        self.operation = operation_number(operation)
        self.shard = shard_number(shard)
        check_is(intent, Intent, "intent")
        self.intent = intent
        if not is_version(self.intent.held.at):
            raise CallerError(f"version 0 is out of range: it must be from 1 to {MAX_VERSION}")
        self.now_ns = time_number(now_ns, "now_ns")


@cython.final
@cython.no_gc
cdef class Ended(Value):
    """A write's client has its reply, or its time is up: from now on it is not acknowledged any more."""

    __match_args__ = ("operation",)

    def __init__(self, operation):
        self.operation = operation_number(operation)


@cython.final
@cython.no_gc
cdef class Acknowledged(Value):
    """A target said, in its present incarnation, that it holds this version of a row or a newer one."""

    __match_args__ = ("target", "row", "version")

    def __init__(self, target, row, version):
        self.target = target_number(target, "target")
        self.row = whole(row, "row", 0, MAX_NUMBER)
        read_version(version, "version", 0, &self.at)

    @property
    def version(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class Tick(Value):
    """Time has passed: look who is silent, who is owed too much, and what may be sent."""

    __match_args__ = ("now_ns",)

    def __init__(self, now_ns):
        self.now_ns = time_number(now_ns, "now_ns")


@cython.final
@cython.no_gc
cdef class GiveUp(Value):
    """An operator removes what is kept for a target (rule HANDOFF.R5)."""

    __match_args__ = ("target",)

    def __init__(self, target):
        self.target = target_number(target, "target")


@cython.no_gc
cdef class OfPlace(Value):
    """What is about a target and a shard: what is given up, marked and repaired is one replica's part of one
    shard. ``place`` is (target, shard).
    """

    __match_args__ = ("place",)

    def __init__(self, place):
        self.place = place_pair(place)


@cython.final
@cython.no_gc
cdef class Refused(OfPlace):
    """A target said that it takes nothing at or below a floor that it has closed (rule HANDOFF.R9)."""

    __match_args__ = ("place", "closed")

    def __init__(self, place, closed):
        self.place = place_pair(place)
        read_version(closed, "version", 1, &self.at)

    @property
    def closed(self):
        """The 128-bit number of the floor."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class Drop(OfPlace):
    """The answer to :class:`MayDrop`: its mark is durable, the hints may go."""


@cython.final
@cython.no_gc
cdef class KeepAgain(OfPlace):
    """The target is back: its writes get hints again, and its mark is closed as soon as that is right."""


@cython.no_gc
cdef class WithOther(OfPlace):
    """What is about an exchange between the target of a place and another replica."""

    __match_args__ = ("place", "other")

    def __init__(self, place, other):
        self.place = place_pair(place)
        self.other = target_number(other, "replica id")


@cython.final
@cython.no_gc
cdef class ExchangeBegun(WithOther):
    """The target of this place has asked another replica for all that it holds of the shard."""


@cython.final
@cython.no_gc
cdef class Exchanged(WithOther):
    """What the other one answered is merged, and durable at the target."""


@cython.final
@cython.no_gc
cdef class TargetLostDisk(Value):
    """What it merged is gone. What it held comes back by QUORUM.R13, what it is owed by the account."""

    __match_args__ = ("target",)

    def __init__(self, target):
        self.target = target_number(target, "target")


@cython.final
@cython.no_gc
cdef class MoveBegun(OfPlace):
    """A newcomer takes a target's place: it is owed all that the target is (rule HANDOFF.R7, step 1)."""

    __match_args__ = ("place", "newcomer")

    def __init__(self, place, newcomer):
        self.place = place_pair(place)
        self.newcomer = target_number(newcomer, "newcomer")


@cython.final
@cython.no_gc
cdef class MoveDone(OfPlace):
    """The newcomer is an owner, the target is none: it is owed nothing any more (rule HANDOFF.R7, step 4)."""


@cython.final
@cython.no_gc
cdef class Erased(Value):
    """A shard's rows at or below a version were dropped or truncated (rule HANDOFF.R7), or their past is the same
    everywhere: all replicas have converged at this floor (rule HANDOFF.R11)."""

    __match_args__ = ("shard", "version")

    def __init__(self, shard, version):
        self.shard = shard_number(shard)
        read_version(version, "version", 1, &self.at)

    @property
    def version(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class Unreadable(OfPlace):
    """Bytes of the log were destroyed: whatever hints they held, a repair is owed instead (HANDOFF.R7)."""


# --- effects: what changed in what is durable ---------------------------------------------------------------
# The node makes it durable in the order in which it is told, over all steps. An effect further down is carried
# out when what was told before it is durable; :class:`Pay` alone need not be waited for.


@cython.final
@cython.no_gc
cdef class StoreHints(Value):
    """Keep the intent of this operation's :class:`Owe`, which has not ended, for each of these targets, ascending.
    Then tell :meth:`HintCore.located` where."""

    __match_args__ = ("operation", "targets")

    def __init__(self, operation, targets):
        self.operation = operation_number(operation)
        self.targets = tuple([target_number(item, "target") for item in listed(targets, "targets", "replica ids")])


@cython.final
@cython.no_gc
cdef class CopyHint(Value):
    """Keep what is kept as this hint for this target as well. Then tell :meth:`HintCore.located` where."""

    __match_args__ = ("hint", "target")

    def __init__(self, hint, target):
        check_is(hint, Hint, "hint")
        self.hint = hint
        self.target = target_number(target, "target")


@cython.final
@cython.no_gc
cdef class Pay(Value):
    """Hints of this target need not be kept any more. One whose payment a crash forgets is delivered again.

    Those that the node has not located yet are not named: :meth:`HintCore.located` then says so.
    """

    __match_args__ = ("target", "sequences")

    def __init__(self, target, sequences):
        self.target = target_number(target, "target")
        self.sequences = listed(sequences, "sequences", "sequence numbers")


@cython.final
@cython.no_gc
cdef class StoreMark(OfPlace):
    """This is the mark of the place from now on; ``None`` if nothing is owed there."""

    __match_args__ = ("place", "mark")

    def __init__(self, place, mark):
        self.place = place_pair(place)
        if mark is not None:
            check_is(mark, Mark, "mark")
        self.mark = mark


@cython.final
@cython.no_gc
cdef class StoreMove(OfPlace):
    """This newcomer takes the place of its target from now on; ``None`` if that is done.

    Here also payments that were told before have to be durable first: nobody would ever take what is kept for a
    target that has left.
    """

    __match_args__ = ("place", "newcomer")

    def __init__(self, place, newcomer):
        self.place = place_pair(place)
        self.newcomer = None if newcomer is None else target_number(newcomer, "newcomer")


@cython.final
@cython.no_gc
cdef class StoreLeast(Value):
    """This is the least write quorum of the writes that a target may lack; 0 if nothing is owed (HANDOFF.R6)."""

    __match_args__ = ("write_quorum",)

    def __init__(self, write_quorum):
        self.write_quorum = whole(write_quorum, "write_quorum", 0, MAX_REPLICAS_C)


# --- effects: what is to be done ----------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Kept(Value):
    """The intent of this write is durable: the coordinator may be told (``IntentStored``)."""

    __match_args__ = ("operation",)

    def __init__(self, operation):
        self.operation = operation_number(operation)


@cython.final
@cython.no_gc
cdef class SendHint(Value):
    """Send this to its target, as the write that it is (rule HANDOFF.R3)."""

    __match_args__ = ("hint",)

    def __init__(self, hint):
        check_is(hint, Hint, "hint")
        self.hint = hint


@cython.final
@cython.no_gc
cdef class MayDrop(OfPlace):
    """The mark of this place is durable: deliver :class:`Drop`."""


@cython.final
@cython.no_gc
cdef class Repair(OfPlace):
    """The mark is closed: have the target merge all that the others hold, beginning from now on."""


cdef inline OfPlace about(OfPlace made, tuple place):
    made.place = place
    return made


cdef inline int least_of(int so_far, int write_quorum) noexcept nogil:
    return min(so_far, write_quorum) if so_far else write_quorum


cdef int pay(int32_t target, list paid, list out) except -1:
    cdef Pay made
    if paid:
        made = Pay.__new__(Pay)
        made.target = target
        made.sequences = tuple(paid)
        out.append(made)
    return 0


cdef inline StoreHints store_hints(object operation, tuple targets):
    cdef StoreHints made = StoreHints.__new__(StoreHints)
    made.operation = operation
    made.targets = targets
    return made


cdef inline CopyHint copy_hint(Hint hint, int32_t target):
    cdef CopyHint made = CopyHint.__new__(CopyHint)
    made.hint = hint
    made.target = target
    return made


cdef inline Kept kept(object operation):
    cdef Kept made = Kept.__new__(Kept)
    made.operation = operation
    return made


cdef inline SendHint send_hint(Pending *node):
    cdef SendHint made = SendHint.__new__(SendHint)
    made.hint = hint_of(node)
    return made
