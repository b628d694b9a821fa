# Part of quorum.pyx: versions, settings and messages, as immutable values. What a peer sent is checked when its
# value is made, so that the machines need not look again.
#
# None of them can be part of a reference cycle: they hold numbers, bytes and one another. So the garbage
# collector does not know them, which makes them small and quick to make.


cdef class Value:
    """Equal, hashed and shown by its parts, which are the arguments that made it, in their order."""

    __match_args__ = ()

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return _parts(self) == _parts(other)

    def __hash__(self):
        return hash((type(self).__name__, _parts(self)))

    def __repr__(self):
        parts = ", ".join(
            [f"{name}={part!r}" for name, part in zip(self.__match_args__, _parts(self), strict=True)]
        )
        return f"{type(self).__name__}({parts})"

    def __reduce__(self):
        return type(self), _parts(self)


cdef tuple _parts(Value value):
    return tuple([getattr(value, name) for name in value.__match_args__])


# --- checks -------------------------------------------------------------------------------------------------


cdef object operation_number(value):
    """``value`` as the number of an operation, 128 bits; :class:`CallerError` otherwise."""
    cdef Version unused
    number = read_version(value, "operation", 0, &unused)
    return number_of(unused) if number is None else number


cdef object row_number(value):
    whole(value, "row", 0, MAX_ROW)
    return value if type(value) is int else int(value)


cdef int64_t epoch_number(value) except -1:
    return whole(value, "epoch", 0, MAX_NUMBER)


cdef object read_version(value, str name, int least, Version *into):
    """Read a version, an ``int`` or a :class:`UuidV8`; give the ``int`` back if it was one.

    :raises CallerError: if it is none, or not from ``least`` to 2**128 - 1.
    """
    cdef int overflow = 0
    cdef long long small
    if type(value) is UuidV8:
        into.high, into.low = (<UuidV8> value).high, (<UuidV8> value).low
        return None  # Nobody but ``operation_number`` wants the int.
    if not isinstance(value, int) or isinstance(value, bool):
        raise CallerError(
            f"{name} {shown(value)} is no whole number: pass an int from {least} to {MAX_VERSION}"
        )
    small = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow == 0 and small >= least:
        into.high, into.low = 0, <uint64_t> small
    elif overflow <= 0 or value > MAX_VERSION:
        raise CallerError(f"{name} {shown(value)} is out of range: it must be from {least} to {MAX_VERSION}")
    else:
        into.high = PyLong_AsUnsignedLongLongMask(value >> 64)
        into.low = PyLong_AsUnsignedLongLongMask(value)
    return value if type(value) is int else int(value)


cdef object number_of(Version version):
    """A version as its 128-bit number."""
    if version.high == 0:
        return version.low
    return (<object> version.high << 64) | version.low


cdef inline bytes bytes_of(Version version):
    """A version as 16 bytes, whose order is that of versions (rule UUID8.R3)."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, 16)
    store_word(<unsigned char *> PyBytes_AS_STRING(out), version.high)
    store_word(<unsigned char *> PyBytes_AS_STRING(out) + 8, version.low)
    return out


cdef void *allocated(Py_ssize_t count, size_t size) except NULL:
    """Zeroed room for so many things of this size; the owner frees it."""
    cdef void *room = PyMem_Calloc(max(count, 1), size)
    if room == NULL:
        raise MemoryError
    return room


cdef int check_value(value) except -1:
    if value is not None and type(value) is not bytes:
        raise CallerError(f"value {shown(value)} is neither bytes nor None (a delete)")
    return 0


cdef int check_is(value, object kind, str name) except -1:
    if type(value) is not kind:
        raise CallerError(f"{name} {shown(value)} is no {kind.__name__}: pass one")
    return 0


# --- incarnations -------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Incarnations(Value):
    """The incarnation of each replica that somebody knows one of (rule QUORUM.R14).

    ``pairs`` are (replica, incarnation), each replica once; they are kept ascending. Whoever decodes messages
    does well to make equal maps one object: that they are the same is seen at once.

    :raises CallerError: if a number is out of range or a replica is named twice.
    """

    __match_args__ = ("pairs",)

    def __cinit__(self, pairs=()):
        cdef Py_ssize_t position = 0
        cdef list ordered = []
        for pair in listed(pairs, "incarnations", "(replica, incarnation) pairs"):
            replica, incarnation = pair_of(pair, "incarnations", "(replica, incarnation)")
            ordered.append((
                whole(replica, "replica id", 0, MAX_REPLICA_C), whole(incarnation, "incarnation", 0, MAX_NUMBER),
            ))
        ordered.sort()
        self.replicas = <int32_t *> allocated(len(ordered), sizeof(int32_t))
        self.lives = <int64_t *> allocated(len(ordered), sizeof(int64_t))
        for replica, incarnation in ordered:
            if position > 0 and self.replicas[position - 1] == replica:
                raise CallerError(f"incarnations name replica {replica} twice: each has one, name it once")
            self.replicas[position] = replica
            self.lives[position] = incarnation
            position += 1
        self.count = position
        self.pairs = tuple(ordered)

    def __dealloc__(self):
        PyMem_Free(self.replicas)
        PyMem_Free(self.lives)


@cython.no_gc
cdef class Told(Value):
    """What names the incarnations that its maker knows."""

    @property
    def incarnations(self):
        """(replica, incarnation) of each, ascending."""
        return self.told.pairs


cdef Incarnations told_by(value):
    """What a message names, as it was given or as an object."""
    return value if type(value) is Incarnations else Incarnations(value)


cdef Incarnations remembered(Incarnations own, Incarnations told):
    """What a replica or a coordinator knows of incarnations after it was told (rule QUORUM.R14).

    ``own`` itself where ``told`` says nothing new, which is nearly always.
    """
    cdef Py_ssize_t mine = 0, theirs
    cdef bint news = False
    if told is own:
        return own
    for theirs in range(told.count):
        while mine < own.count and own.replicas[mine] < told.replicas[theirs]:
            mine += 1
        if mine == own.count or own.replicas[mine] != told.replicas[theirs] or own.lives[mine] < told.lives[theirs]:
            news = True
            break
    if not news:
        return own
    merged = dict(own.pairs)
    for replica, incarnation in told.pairs:
        merged[replica] = max(incarnation, merged.get(replica, 0))
    return Incarnations(merged.items())


# --- settings and versions ----------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Setting(Value):
    """Who holds a table's rows, and how many of them must answer.

    ``replicas`` are 1 to 255 node ids, 0 to 65535 each, ``epoch`` says which setting is newer (rule
    QUORUM.R15).

    :raises ConfigurationError: if a number is out of range, a replica is named twice, or the mode is
        linearizable and a read quorum could miss a write quorum.
    """

    __match_args__ = ("replicas", "write_quorum", "read_quorum", "mode", "epoch")

    def __cinit__(self, replicas, write_quorum, read_quorum, mode=Mode.LINEARIZABLE, epoch=0):
        cdef int position
        try:
            self.replicas = tuple(replicas)
        except TypeError:
            raise ConfigurationError(f"replicas {shown(replicas)} are no list: pass the replicas' ids") from None
        if not 1 <= len(self.replicas) <= MAX_REPLICAS_C:
            raise ConfigurationError(f"{len(self.replicas)} replicas: name 1 to {MAX_REPLICAS_C}")
        for replica in self.replicas:
            check_number("replica id", replica, 0, MAX_REPLICA_C)
        self.members = frozenset(self.replicas)
        self.size = len(self.replicas)
        if len(self.members) < self.size:
            repeated = min([replica for replica in self.replicas if self.replicas.count(replica) > 1])
            raise ConfigurationError(
                f"replica {repeated} is named {self.replicas.count(repeated)} times: each replica has one vote, "
                f"name it once"
            )
        self.write_quorum = _quorum("write_quorum", write_quorum, self.size)
        self.read_quorum = _quorum("read_quorum", read_quorum, self.size)
        self.epoch = check_number("epoch", epoch, 0, MAX_NUMBER)
        if type(mode) is not Mode:
            raise ConfigurationError(f"mode {shown(mode)} is no Mode: pass Mode.LINEARIZABLE or Mode.EVENTUAL")
        self.mode = mode
        self.linearizable = mode is Mode.LINEARIZABLE
        if self.linearizable and self.write_quorum + self.read_quorum <= self.size:
            raise ConfigurationError(
                f"write_quorum {write_quorum} + read_quorum {read_quorum} is not more than {self.size} replicas: "
                f"a read could miss every replica that holds the last write; raise one of them, or choose the "
                f"mode eventual"
            )
        self.ids = <int32_t *> allocated(self.size, sizeof(int32_t))
        for position in range(self.size):
            self.ids[position] = self.replicas[position]

    def __dealloc__(self):
        PyMem_Free(self.ids)


cdef int _quorum(str name, value, int size) except -1:
    if check_number(name, value, 1, MAX_NUMBER) > size:
        raise ConfigurationError(
            f"{name} is {value} of {size} replicas: no operation could succeed; lower it to at most {size}"
        )
    return value


cdef int64_t check_number(str name, value, int64_t least, int64_t most) except -1:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigurationError(f"{name} {shown(value)}: it must be a whole number, at least {least}")
    if value > most:
        raise ConfigurationError(f"{name} {shown(value)}: it must be at most {most}")
    return value


@cython.final
@cython.no_gc
cdef class Held(Value):
    """A version and its value. ``None`` is a delete: it has a version as every write has.

    ``version`` is an ``int`` of 128 bits or a :class:`UuidV8`; 0 stands for "never written". Versions are
    unique, so the order is that of the versions; should one ever carry two values, see rule QUORUM.R1.

    :raises CallerError: if the version is out of range or the value is neither ``bytes`` nor ``None``.
    """

    __match_args__ = ("version", "value")

    def __init__(self, version=0, value=None):
        read_version(version, "version", 0, &self.at)
        check_value(value)
        self.value = value

    @property
    def version(self):
        """The 128-bit number."""
        return number_of(self.at)


cdef Held held_at(Version version, object value):
    """Made of parts that are known to be right."""
    cdef Held held = Held.__new__(Held)
    held.at = version
    held.value = value
    return held


cdef Held NOTHING_HELD = Held()
NOTHING = NOTHING_HELD


@cython.final
@cython.no_gc
cdef class Intent(Value):
    """What a write set out to do: who is still to hold it (rule QUORUM.R11).

    ``targets`` are the replicas that have not acknowledged it yet, or whose acknowledgement was lost with
    their disk.
    """

    __match_args__ = ("row", "held", "targets")

    def __init__(self, row, held, targets):
        self.row = row_number(row)
        check_is(held, Held, "held")
        self.held = held
        self.targets = frozenset(
            [whole(target, "target", 0, MAX_REPLICA_C) for target in listed(targets, "targets", "replica ids")]
        )


# --- messages -----------------------------------------------------------------------------------------------
# Every :class:`CallerError` of these says which part is out of range, or of which kind it must be.


@cython.final
@cython.no_gc
cdef class Query(Value):
    """A coordinator asks for what a replica holds."""

    __match_args__ = ("operation", "epoch", "row")

    def __init__(self, operation, epoch, row):
        self.operation = operation_number(operation)
        self.epoch = epoch_number(epoch)
        self.row = row_number(row)


@cython.final
@cython.no_gc
cdef class Answer(Told):
    """What a replica held when it answered, and the incarnations that it knows, its own included."""

    __match_args__ = ("operation", "held", "incarnations")

    def __init__(self, operation, held, incarnations):
        self.operation = operation_number(operation)
        check_is(held, Held, "held")
        self.held = held
        self.told = told_by(incarnations)


@cython.final
@cython.no_gc
cdef class Write(Value):
    """Hold this, unless you hold something newer. A write, a write-back and a repair are the same message."""

    __match_args__ = ("operation", "epoch", "row", "held")

    def __init__(self, operation, epoch, row, held):
        self.operation = operation_number(operation)
        self.epoch = epoch_number(epoch)
        self.row = row_number(row)
        check_is(held, Held, "held")
        self.held = held


@cython.final
@cython.no_gc
cdef class Acknowledgement(Told):
    """The sender holds ``version`` or a newer one, and that is durable (rule QUORUM.R1)."""

    __match_args__ = ("operation", "version", "incarnations")

    def __init__(self, operation, version, incarnations):
        self.operation = operation_number(operation)
        read_version(version, "version", 0, &self.at)
        self.told = told_by(incarnations)

    @property
    def version(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class OldEpoch(Value):
    """The request was of an older epoch than the sender's: nothing was done (rule QUORUM.R15)."""

    __match_args__ = ("operation", "epoch")

    def __init__(self, operation, epoch):
        self.operation = operation_number(operation)
        self.epoch = epoch_number(epoch)


@cython.final
@cython.no_gc
cdef class Exchange(Told):
    """A replica that lost its disk asks another one for all that it holds (rule QUORUM.R13)."""

    __match_args__ = ("epoch", "incarnations")

    def __init__(self, epoch, incarnations):
        self.epoch = epoch_number(epoch)
        self.told = told_by(incarnations)


@cython.final
@cython.no_gc
cdef class Exchanged(Told):
    """All that the sender holds, as (row, :class:`Held`) pairs.

    ``incarnation`` is that of the replica that asked: an answer to an earlier life of it is not counted.
    """

    __match_args__ = ("epoch", "incarnation", "rows", "incarnations")

    def __init__(self, epoch, incarnation, rows, incarnations):
        self.epoch = epoch_number(epoch)
        self.incarnation = whole(incarnation, "incarnation", 0, MAX_NUMBER)
        self.rows = row_pairs(rows)
        self.told = told_by(incarnations)


cdef tuple row_pairs(rows):
    cdef list pairs = []
    for pair in listed(rows, "rows", "(row, Held) pairs"):
        row, held = pair_of(pair, "rows", "(row, Held)")
        check_is(held, Held, "held")
        pairs.append((row_number(row), held))
    return tuple(pairs)


cdef tuple listed(value, str name, str what):
    try:
        return tuple(value)
    except TypeError:
        raise CallerError(f"{name} {shown(value)} is no list: pass {what}") from None


cdef tuple pair_of(pair, str name, str what):
    if not isinstance(pair, (tuple, list)) or len(pair) != 2:
        raise CallerError(f"{name}: {shown(pair)} is no pair: pass {what}")
    return tuple(pair)
