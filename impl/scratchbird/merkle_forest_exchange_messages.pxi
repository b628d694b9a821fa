# Part of merkle_forest_exchange.pyx: the messages, as immutable values. They have the names and the meaning of the
# reference's; a row is named by its place. What is many is kept packed, and shown as plain values on demand.

cdef int MOST_REASON = 1000


@cython.no_gc
cdef class Message(Value):
    """A question or an answer of an exchange, named by its number, which nobody uses for another one."""

    def to_bytes(self):
        """As it is sent; the form stands in ``merkle_forest_exchange.pxd``."""
        cdef Writer writer = Writer.__new__(Writer)
        cdef Version number
        read_version(self.exchange, "exchange", 0, &number)
        writer.byte(FORMAT)
        writer.byte(kind_of(self))
        writer.version(number)
        self.body(writer)
        return writer.done()

    cdef int body(self, Writer writer) except -1:
        raise NotImplementedError

    @staticmethod
    def from_bytes(packed):
        """Read any message that another node sent.

        :param packed: ``bytes``; whoever received them has bounded how many.
        :raises PeerError: if they are none of the format's; nothing is kept of them.
        """
        return message_from(packed)


@cython.final
@cython.no_gc
cdef class Row(Value):
    """How somebody holds a row: by its place, 16 bytes, and its key. What is deleted has a key or none.

    :raises CallerError: if the place or the key is no ``bytes``, or of another length.
    """

    __match_args__ = ("place", "key", "held")

    def __init__(self, place, key, held):
        self.place = place_bytes(place)
        self.key = some_bytes(key, "key")
        check_is(held, Held, "held")
        self.held = held


cdef Row row_of(bytes place, bytes key, Held held):
    """Made of parts that are known to be right."""
    cdef Row row = Row.__new__(Row)
    row.place = place
    row.key = key
    row.held = held
    return row


# --- messages -----------------------------------------------------------------------------------------------
# Every :class:`CallerError` of these says which part is out of range, or of which kind it must be.


@cython.final
@cython.no_gc
cdef class Open(Message):
    """Let us exchange, in this setting, at this stable time and floor (rule MERKLE_FOREST.R12)."""

    __match_args__ = ("exchange", "shape", "stable", "floor")

    def __init__(self, exchange, shape, stable, floor):
        self.exchange = operation_number(exchange)
        check_is(shape, Shape, "shape")
        self.shape = shape
        read_version(stable, "stable", 0, &self.stable_at)
        read_version(floor, "floor", 0, &self.floor_at)

    @property
    def stable(self):
        """The 128-bit number."""
        return number_of(self.stable_at)

    @property
    def floor(self):
        """The 128-bit number."""
        return number_of(self.floor_at)

    cdef int body(self, Writer writer) except -1:
        writer.number(self.shape.number)
        writer.number(self.shape.window_ms)
        writer.number(self.shape.most_in_leaf)
        writer.number(self.shape.encoding)
        writer.version(self.stable_at)
        return writer.version(self.floor_at)


@cython.final
@cython.no_gc
cdef class Opened(Message):
    """A snapshot is taken, at this stable time and floor."""

    __match_args__ = ("exchange", "stable", "floor")

    def __init__(self, exchange, stable, floor):
        self.exchange = operation_number(exchange)
        read_version(stable, "stable", 0, &self.stable_at)
        read_version(floor, "floor", 0, &self.floor_at)

    @property
    def stable(self):
        """The 128-bit number."""
        return number_of(self.stable_at)

    @property
    def floor(self):
        """The 128-bit number."""
        return number_of(self.floor_at)

    cdef int body(self, Writer writer) except -1:
        writer.version(self.stable_at)
        return writer.version(self.floor_at)


@cython.final
@cython.no_gc
cdef class Refused(Message):
    """There is no such exchange, or there can be none, and why."""

    __match_args__ = ("exchange", "reason")

    def __init__(self, exchange, reason):
        self.exchange = operation_number(exchange)
        if type(reason) is not str or len(reason) > MOST_REASON:
            raise CallerError(f"reason {shown(reason)} is no text of at most {MOST_REASON} characters")
        self.reason = reason

    cdef int body(self, Writer writer) except -1:
        return put_bytes(writer, self.reason.encode("utf-8", "replace"))


@cython.final
@cython.no_gc
cdef class AskWindows(Message):
    """Which windows do you show, after this one? -1 is before all."""

    __match_args__ = ("exchange", "after")

    def __init__(self, exchange, after):
        self.exchange = operation_number(exchange)
        self.after = whole(after, "after", -1, MAX_WINDOW)

    cdef int body(self, Writer writer) except -1:
        return writer.number(<uint64_t> (self.after + 1))


@cython.final
@cython.no_gc
cdef class Windows(Message):
    """Some windows and their digests, 32 bytes each, ascending; ``last`` if there are no more."""

    __match_args__ = ("exchange", "windows", "last")

    def __init__(self, exchange, windows, last):
        cdef Writer writer = Writer.__new__(Writer)
        cdef int64_t before_it = -1, window
        cdef unsigned char word[8]
        self.exchange = operation_number(exchange)
        for pair in listed(windows, "windows", "(window, digest) pairs"):
            number, digest = pair_of(pair, "windows", "(window, digest)")
            window = whole(number, "window", 0, MAX_WINDOW)
            if window <= before_it:
                raise CallerError(f"window {window} follows window {before_it}: name each once, ascending")
            if type(digest) is not bytes or len(digest) != DIGEST:
                raise CallerError(f"digest {shown(digest)} of window {window} is no {<int> DIGEST} bytes")
            before_it = window
            store_word(word, window)
            writer.raw(word, 8)
            put_bytes(writer, digest)
        self.packed = writer.done()
        check_is(last, bool, "last")
        self.last = last

    @property
    def windows(self):
        """(window, digest) of each."""
        cdef const unsigned char *at = <const unsigned char *> PyBytes_AS_STRING(self.packed)
        cdef Py_ssize_t index
        return tuple([
            (load_word(at + WINDOW * index), at[WINDOW * index + 8:WINDOW * (index + 1)])
            for index in range(PyBytes_GET_SIZE(self.packed) // WINDOW)
        ])

    cdef int body(self, Writer writer) except -1:
        writer.byte(self.last)
        return put_bytes(writer, self.packed)


cdef Windows windows_of(object exchange, bytes packed, bint last):
    cdef Windows made = Windows.__new__(Windows)
    made.exchange = exchange
    made.packed = packed
    made.last = last
    return made


@cython.final
@cython.no_gc
cdef class AskNodes(Message):
    """What do you show there? Digests of children in full, or as short as they are told.

    ``places`` are (window, digits) pairs: a node's window and the digits, 0 to 15 each, below which it is.
    """

    __match_args__ = ("exchange", "places", "in_full")

    def __init__(self, exchange, places, in_full=False):
        cdef Writer writer = Writer.__new__(Writer)
        cdef Spot spot
        cdef int64_t window = 0
        self.exchange = operation_number(exchange)
        for pair in listed(places, "places", "(window, digits) pairs"):
            read_spot(pair, &spot)
            put_spot(writer, &spot, &window)
        self.packed = writer.done()
        check_is(in_full, bool, "in_full")
        self.in_full = in_full

    @property
    def places(self):
        """(window, digits) of each."""
        cdef Reader reader = reader_of(self.packed)
        cdef Spot spot
        cdef int64_t window = 0
        cdef list out = []
        while reader.at < reader.end:
            take_spot(&reader, &window, &spot)
            out.append(pair_of_spot(&spot))
        return tuple(out)

    cdef int body(self, Writer writer) except -1:
        writer.byte(self.in_full)
        return put_bytes(writer, self.packed)


cdef AskNodes ask_nodes(object exchange, bytes packed, bint in_full):
    cdef AskNodes made = AskNodes.__new__(AskNodes)
    made.exchange = exchange
    made.packed = packed
    made.in_full = in_full
    return made


@cython.final
@cython.no_gc
cdef class Nodes(Message):
    """That, of each. With an entry whose row is held in a newer version: that one.

    ``nodes`` are (place, node) pairs, a node being an :class:`Inner`, whose children's digests have 6 bytes each or
    32, or a :class:`Leaf`; ``held`` are (place of a row, version) pairs.
    """

    __match_args__ = ("exchange", "nodes", "held")

    def __init__(self, exchange, nodes, held):
        cdef Writer writer = Writer.__new__(Writer)
        cdef Spot spot
        cdef Version version
        cdef int64_t window = 0
        cdef bytes before_it = b""
        self.exchange = operation_number(exchange)
        for pair in listed(nodes, "nodes", "(place, node) pairs"):
            where, node = pair_of(pair, "nodes", "(place, node)")
            read_spot(where, &spot)
            put_spot(writer, &spot, &window)
            put_node(writer, &spot, node)
            self.count += 1
        self.packed = writer.done()
        writer = Writer.__new__(Writer)
        for pair in listed(held, "held", "(place, version) pairs"):
            place, number = pair_of(pair, "held", "(place, version)")
            read_version(number, "version", 1, &version)
            if place_bytes(place) <= before_it:
                raise CallerError(f"place {place.hex()} follows {before_it.hex()}: name each once, ascending")
            before_it = place
            put_bytes(writer, place)
            writer.version(version)
        self.newer = writer.done()

    @property
    def nodes(self):
        """(place, node) of each."""
        cdef Reader reader = reader_of(self.packed)
        cdef const unsigned char *children[FAN_OUT]
        cdef Spot spot
        cdef int64_t window = 0, kind
        cdef int digit, size
        cdef list out = []
        while reader.at < reader.end:
            kind = take_node(&reader, &window, &spot, children)
            if kind >= LEAF:
                node = Leaf(take_leaf(&reader, &spot, kind - LEAF))
            else:
                size = DIGEST if kind == IN_FULL else SHORT
                node = Inner(tuple([
                    b"" if children[digit] == NULL else children[digit][:size] for digit in range(FAN_OUT)
                ]))
            out.append((pair_of_spot(&spot), node))
        return tuple(out)

    @property
    def held(self):
        """(place of a row, version) of each, ascending."""
        cdef Reader reader = reader_of(self.newer)
        cdef list out = []
        while reader.at < reader.end:
            place = take_bytes(&reader, PLACE, "a place")
            out.append((place, number_of(take_version(&reader, "a version"))))
        return tuple(out)

    cdef int body(self, Writer writer) except -1:
        writer.number(self.count)
        put_bytes(writer, self.packed)
        return put_bytes(writer, self.newer)


cdef Nodes nodes_of(object exchange, Py_ssize_t count, bytes packed, bytes newer):
    cdef Nodes made = Nodes.__new__(Nodes)
    made.exchange = exchange
    made.count = count
    made.packed = packed
    made.newer = newer
    return made


@cython.final
@cython.no_gc
cdef class AskRows(Message):
    """How do you hold the rows of these places?"""

    __match_args__ = ("exchange", "rows")

    def __init__(self, exchange, rows):
        self.exchange = operation_number(exchange)
        self.packed = packed_places(rows)

    @property
    def rows(self):
        """The places."""
        return places_in(self.packed)

    cdef int body(self, Writer writer) except -1:
        return put_bytes(writer, self.packed)


cdef AskRows ask_rows(object exchange, bytes packed):
    cdef AskRows made = AskRows.__new__(AskRows)
    made.exchange = exchange
    made.packed = packed
    return made


@cython.final
@cython.no_gc
cdef class Rows(Message):
    """So: a :class:`Row` of each."""

    __match_args__ = ("exchange", "rows")

    def __init__(self, exchange, rows):
        self.exchange = operation_number(exchange)
        self.rows = listed(rows, "rows", "a Row of each")
        for row in self.rows:
            check_is(row, Row, "row")

    cdef int body(self, Writer writer) except -1:
        cdef Row row
        for row in self.rows:
            put_bytes(writer, row.place)
            writer.version(row.held.at)
            put_value(writer, row, 1)
            put_key_and_value(writer, row)
        return 0


@cython.final
@cython.no_gc
cdef class Give(Message):
    """I show these, and hold their rows so; a row that you hold newer is not sent.

    ``given`` are (record, :class:`Row`) pairs, a record being an entry of 48 bytes; ``None`` for a row that is not sent.
    """

    __match_args__ = ("exchange", "given")

    def __init__(self, exchange, given):
        cdef list pairs = []
        self.exchange = operation_number(exchange)
        for pair in listed(given, "given", "(record, Row) pairs"):
            record, row = pair_of(pair, "given", "(record, Row)")
            if type(record) is not bytes or len(record) != RECORD:
                raise CallerError(f"record {shown(record)} is no {<int> RECORD} bytes")
            if is_never(<const unsigned char *> PyBytes_AS_STRING(record) + PLACE):
                raise CallerError("a record has version 0, which nobody shows")
            if row is not None:
                check_is(row, Row, "row")
                if not (<Row> row).held.at.high | (<Row> row).held.at.low:
                    raise CallerError(f"the row at {row.place.hex()} has version 0: pass None for one that is not held")
                if row.place != record[:PLACE]:
                    raise CallerError(f"the row at {row.place.hex()} is not that of the record {record.hex()}")
            pairs.append((record, row))
        self.given = tuple(pairs)

    cdef int body(self, Writer writer) except -1:
        cdef bytes record
        cdef Row row
        for record, row in self.given:
            put_bytes(writer, record)
            if row is None:
                writer.number(0)
                continue
            put_value(writer, row, 2)
            writer.version(row.held.at)
            put_key_and_value(writer, row)
        return 0


@cython.final
@cython.no_gc
cdef class Took(Message):
    """The rows of all these places are dealt with, and durable."""

    __match_args__ = ("exchange", "rows")

    def __init__(self, exchange, rows):
        self.exchange = operation_number(exchange)
        self.packed = packed_places(rows)

    @property
    def rows(self):
        """The places."""
        return places_in(self.packed)

    cdef int body(self, Writer writer) except -1:
        return put_bytes(writer, self.packed)


cdef Took took_of(object exchange, bytes packed):
    cdef Took made = Took.__new__(Took)
    made.exchange = exchange
    made.packed = packed
    return made
