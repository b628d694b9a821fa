# Part of quorum.pyx: the events that the two machines take and the effects that they ask for. What a client sent
# is checked when its event is made.


# --- events -------------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Deliver(Value):
    """A message arrives. ``sender`` is a replica, or ``None`` for the coordinator of an operation."""

    __match_args__ = ("message", "sender")

    def __init__(self, message, sender=None):
        if not isinstance(message, Value):
            raise CallerError(f"message {shown(message)} is none of this part's: decode it first")
        self.replica = ABSENT if sender is None else whole(sender, "sender", 0, MAX_REPLICA_C)
        self.message = message
        self.sender = sender


@cython.final
cdef class Crash(Value):
    """The process ends, in whatever state it is."""


@cython.final
cdef class Start(Value):
    """The process starts, on the disk that it left.

    Of a coordinator: intents are still there, open operations are gone. An intent that the disk has and the
    core has not follows as :class:`IntentStored`, each before the first request.
    """


@cython.final
@cython.no_gc
cdef class StartEmpty(Told):
    """The process starts on an empty disk, with what the catalog says (rule QUORUM.R13).

    ``setting`` is the one with the least W of all that are in force, which need not be the newest; ``epoch``
    is that of the newest one, so that the replica goes on refusing what it refused before. (0 says that there
    is no newer one.) ``incarnations`` names the current incarnation of every replica; the replica's own has
    just been raised above each that it ever had.
    """

    __match_args__ = ("setting", "incarnations", "epoch")

    def __init__(self, setting, incarnations, epoch=0):
        check_is(setting, Setting, "setting")
        self.setting = setting
        self.told = told_by(incarnations)
        self.epoch = epoch_number(epoch)


@cython.final
cdef class Ask(Value):
    """While recovering: ask the others again. The node does so at its start and then from time to time."""


@cython.no_gc
cdef class Request(Value):
    """What a client asks a coordinator for. ``operation`` is a number never used before, 0 to 2**128 - 1."""


@cython.no_gc
cdef class WithToken(Request):
    """A request whose client may have seen a version of the row (rule QUORUM.R7)."""

    @property
    def token(self):
        """That version, 128 bits, or 0."""
        return number_of(self.above)


@cython.final
@cython.no_gc
cdef class Read(WithToken):
    """A client reads; ``token`` is the version that it has seen, or 0 (rule QUORUM.R7)."""

    __match_args__ = ("operation", "row", "token")

    def __init__(self, operation, row, token=0):
        self.operation = operation_number(operation)
        self.row = row_number(row)
        read_version(token, "token", 0, &self.above)


@cython.final
@cython.no_gc
cdef class Reserve(WithToken):
    """A client wants a version before it writes, so that it can repeat the write (rule QUORUM.R9)."""

    __match_args__ = ("operation", "row", "token")

    def __init__(self, operation, row, token=0):
        self.operation = operation_number(operation)
        self.row = row_number(row)
        read_version(token, "token", 0, &self.above)


@cython.final
@cython.no_gc
cdef class PutValue(WithToken):
    """A client writes; ``reserved`` is a version from :class:`Reserve`, or 0. ``None`` deletes."""

    __match_args__ = ("operation", "row", "value", "token", "reserved")

    def __init__(self, operation, row, value, token=0, reserved=0):
        self.operation = operation_number(operation)
        self.row = row_number(row)
        read_version(token, "token", 0, &self.above)
        check_value(value)
        self.value = value
        if type(reserved) is UuidV8 or reserved:
            read_version(reserved, "version", 1, &self.at)

    @property
    def reserved(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class LookUp(Request):
    """A client asks what became of a version (rule QUORUM.R10)."""

    __match_args__ = ("operation", "row", "version")

    def __init__(self, operation, row, version):
        self.operation = operation_number(operation)
        self.row = row_number(row)
        read_version(version, "version", 1, &self.at)

    @property
    def version(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class Stamped(Value):
    """The clock made a version for this operation."""

    __match_args__ = ("operation", "version")

    def __init__(self, operation, version):
        self.operation = operation_number(operation)
        read_version(version, "version", 1, &self.at)

    @property
    def version(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class StampRefused(Value):
    """The clock made none, and why: nothing was written."""

    __match_args__ = ("operation", "reason")

    def __init__(self, operation, reason):
        self.operation = operation_number(operation)
        check_is(reason, str, "reason")
        self.reason = reason


@cython.final
@cython.no_gc
cdef class IntentStored(Value):
    """This intent is durable now: of an operation that is open, or whose time was up meanwhile."""

    __match_args__ = ("operation", "intent")

    def __init__(self, operation, intent):
        self.operation = operation_number(operation)
        check_is(intent, Intent, "intent")
        self.intent = intent


@cython.final
@cython.no_gc
cdef class Deadline(Value):
    """The time of this operation is up. Each gets one, also after its reply: it is then forgotten."""

    __match_args__ = ("operation",)

    def __init__(self, operation):
        self.operation = operation_number(operation)


@cython.final
@cython.no_gc
cdef class Adopt(Value):
    """The catalog has a newer setting (rule QUORUM.R15). Open operations go on under theirs."""

    __match_args__ = ("setting",)

    def __init__(self, setting):
        check_is(setting, Setting, "setting")
        self.setting = setting


# --- effects ------------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Send(Value):
    """Send a message to a replica, or to the coordinator of an operation (``to`` is ``None``)."""

    __match_args__ = ("to", "message")

    def __init__(self, to, Value message not None):
        self.to = to
        self.message = message


cdef Send send_to(object to, Value message):
    cdef Send made = Send.__new__(Send)
    made.to = to
    made.message = message
    return made


@cython.final
@cython.no_gc
cdef class Stamp(Value):
    """Ask the clock for a version above this one; merge it first."""

    __match_args__ = ("operation", "above")

    def __init__(self, operation, above):
        self.operation = operation_number(operation)
        read_version(above, "version", 0, &self.at)

    @property
    def above(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class StoreIntent(Value):
    """Make this durable, then deliver :class:`IntentStored`. The messages need not wait for it."""

    __match_args__ = ("operation", "intent")

    def __init__(self, operation, intent):
        self.operation = operation_number(operation)
        check_is(intent, Intent, "intent")
        self.intent = intent


@cython.final
@cython.no_gc
cdef class Reply(Value):
    """What the client is told, once."""

    __match_args__ = ("operation", "outcome", "held", "reason")

    def __init__(self, operation, outcome, held=NOTHING, reason=""):
        self.operation = operation_number(operation)
        check_is(outcome, Outcome, "outcome")
        check_is(held, Held, "held")
        check_is(reason, str, "reason")
        self.outcome = outcome
        self.held = held
        self.reason = reason


cdef inline Reply reply(object number, object outcome, Held held, str reason):
    cdef Reply made = Reply.__new__(Reply)
    made.operation = number
    made.outcome = outcome
    made.held = held
    made.reason = reason
    return made


@cython.final
cdef class Steps(Value):
    """What a batch of events came to.

    ``effects`` are those of all events, in order; those of event ``i`` end before ``ends[i]``, and begin where
    those of the event before it end. ``refused`` lists (``i``, the exception) of each event that was refused:
    it has no effects and changed nothing.
    """

    __match_args__ = ("effects", "ends", "refused")

    def __init__(self, list effects not None, list ends not None, list refused not None):
        self.effects = effects
        self.ends = ends
        self.refused = refused

    def of(self, index):
        """The effects of one event of the batch, counted from 0."""
        at = whole(index, "index", 0, len(self.ends) - 1)
        return self.effects[self.ends[at - 1] if at > 0 else 0 : self.ends[at]]
