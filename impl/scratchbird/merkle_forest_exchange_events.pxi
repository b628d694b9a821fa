# Part of merkle_forest_exchange.pyx: what one message holds at most, the events and the effects of an exchange.

CLOSED_SINCE = "a floor was closed since it began: begin again"
RESHAPED_SINCE = "the setting was changed since it began: begin again"


@cython.final
@cython.no_gc
cdef class Bounds(Value):
    """What one message holds at most; at least one item goes into each (rule MERKLE_FOREST.R15).

    ``items`` are the windows, nodes or rows that it names or carries, ``size`` the bytes of digests, entries, keys and
    values in it, as they are before a message is packed: 40 of a window, 48 of an entry, 6 or 32 of a child.

    A question names what the answer may have no room for, and it is then named again. So more items than fit into an
    answer cost bytes and spare nothing: 4096 nodes or rows of a few hundred bytes each are about as much as fits.

    :raises ConfigurationError: if one of them is no whole number of at least 1.
    """

    __match_args__ = ("items", "size")

    def __cinit__(self, items=4096, size=1 << 20):
        self.items = check_number("items", items, 1, MAX_NUMBER)
        self.size = check_number("size", size, 1, MAX_NUMBER)


# --- events -------------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Begin(Value):
    """Begin an exchange with a replica, with a number that was never used before: 128 bits, a new id is one."""

    __match_args__ = ("exchange", "other")

    def __init__(self, exchange, other):
        self.exchange = operation_number(exchange)
        self.other = <int32_t> whole(other, "replica id", 0, 0xFFFF)


@cython.final
@cython.no_gc
cdef class Deliver(Value):
    """The other side has answered."""

    __match_args__ = ("reply",)

    def __init__(self, reply):
        if type(reply) not in (Opened, Refused, Windows, Nodes, Rows, Took):
            raise CallerError(f"reply {shown(reply)} is no answer of an exchange: pass one of this module's")
        self.reply = reply


@cython.final
@cython.no_gc
cdef class Again(Value):
    """No answer came in time: ask once more."""


@cython.final
@cython.no_gc
cdef class Stop(Value):
    """It took too long, or the node is to stop: it has not succeeded."""


# --- effects ------------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Amended(Value):
    """The forest was amended, or the rows were: that must be durable before the effects after this one are carried out.

    ``windows`` are those that became dirty by it, ascending. The stable time may be another one as well.
    """

    __match_args__ = ("windows",)

    def __init__(self, windows):
        self.windows = listed(windows, "windows", "numbers of windows")


@cython.final
@cython.no_gc
cdef class Hashed(Value):
    """These windows were hashed anew, (window, digest) of each: that may become durable when there is time.

    But never before the rows that the forest follows by now, nor after a later row that made the window dirty again:
    then this digest is void, and the window stays dirty on the disk (rule MERKLE_FOREST.R10).
    """

    __match_args__ = ("digests",)

    def __init__(self, digests):
        self.digests = listed(digests, "digests", "(window, digest) pairs")


@cython.final
@cython.no_gc
cdef class Ask(Value):
    """Send a replica this question."""

    __match_args__ = ("other", "question")

    def __init__(self, other, question):
        self.other = <int32_t> whole(other, "replica id", 0, 0xFFFF)
        if not isinstance(question, Message):
            raise CallerError(f"question {shown(question)} is no message of an exchange: pass one of this module's")
        self.question = question


@cython.final
@cython.no_gc
cdef class Tell(Value):
    """Send who asked this answer."""

    __match_args__ = ("reply",)

    def __init__(self, reply):
        if not isinstance(reply, Message):
            raise CallerError(f"reply {shown(reply)} is no message of an exchange: pass one of this module's")
        self.reply = reply


@cython.final
@cython.no_gc
cdef class Succeeded(Value):
    """Both sides hold, as it was or newer, whatever either showed up to this stable time (rule MERKLE_FOREST.R17)."""

    __match_args__ = ("exchange", "other", "stable", "floor", "moved")

    def __init__(self, exchange, other, stable, floor, moved):
        self.exchange = operation_number(exchange)
        self.other = <int32_t> whole(other, "replica id", 0, 0xFFFF)
        read_version(stable, "stable", 0, &self.stable_at)
        read_version(floor, "floor", 0, &self.floor_at)
        self.moved = whole(moved, "moved", 0, MAX_NUMBER)

    @property
    def stable(self):
        """The 128-bit number."""
        return number_of(self.stable_at)

    @property
    def floor(self):
        """The 128-bit number."""
        return number_of(self.floor_at)


@cython.final
@cython.no_gc
cdef class Failed(Value):
    """It did not succeed, and nothing is recorded as if it had (rule MERKLE_FOREST.R16)."""

    __match_args__ = ("exchange", "other", "reason")

    def __init__(self, exchange, other, reason):
        self.exchange = operation_number(exchange)
        self.other = <int32_t> whole(other, "replica id", 0, 0xFFFF)
        check_is(reason, str, "reason")
        self.reason = reason
