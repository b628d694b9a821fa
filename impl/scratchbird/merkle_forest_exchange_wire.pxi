# Part of merkle_forest_exchange.pyx: bytes of messages, written and read. The form stands in the .pxd. What a peer sent
# is judged while it is read, and refused with a :class:`PeerError` that says what is wrong with it and where.

cdef int64_t MAX_NUMBER = 0x7FFFFFFFFFFFFFFF
cdef int64_t MAX_WINDOW = 0xFFFFFFFFFFFF


# --- writing ------------------------------------------------------------------------------------------------


@cython.final
cdef class Writer:
    """Bytes that grow."""

    def __dealloc__(self):
        PyMem_Free(self.room)

    cdef unsigned char *more(self, Py_ssize_t count) except NULL:
        """Where the next ``count`` bytes are to be put."""
        cdef unsigned char *room
        cdef Py_ssize_t size
        if self.size - self.used < count:
            size = max(2 * self.size, self.used + count, 256)
            room = <unsigned char *> PyMem_Realloc(self.room, size)
            if room == NULL:
                raise MemoryError
            self.room, self.size = room, size
        room = self.room + self.used
        self.used += count
        return room

    cdef int byte(self, int value) except -1:
        self.more(1)[0] = value
        return 0

    cdef int raw(self, const void *source, Py_ssize_t count) except -1:
        memcpy(self.more(count), source, count)
        return 0

    cdef int number(self, uint64_t value) except -1:
        while value > 0x7F:
            self.byte(<int> (value & 0x7F) | 0x80)
            value >>= 7
        return self.byte(<int> value)

    cdef int version(self, Version version) except -1:
        cdef unsigned char *room = self.more(16)
        store_word(room, version.high)
        store_word(room + 8, version.low)
        return 0

    cdef bytes done(self):
        return PyBytes_FromStringAndSize(<char *> self.room, self.used)


cdef int put_bytes(Writer writer, bytes value) except -1:
    return writer.raw(PyBytes_AS_STRING(value), PyBytes_GET_SIZE(value))


cdef int put_spot(Writer writer, Spot *spot, int64_t *window) except -1:
    """A node's place; ``window`` is that of the one before, and then this one's."""
    cdef int64_t distance = spot.window - window[0]
    writer.number(<uint64_t> (2 * distance if distance >= 0 else -1 - 2 * distance))
    writer.byte(spot.depth)
    writer.raw(spot.digits, (spot.depth + 1) >> 1)
    window[0] = spot.window
    return 0


cdef int put_inner(Writer writer, tuple children, bint in_full) except -1:
    """Digests of children: as many bytes of each as are told (rule MERKLE_FOREST.R19)."""
    cdef int digit, there = 0
    cdef bytes child
    for digit in range(FAN_OUT):
        child = children[digit]
        if PyBytes_GET_SIZE(child):
            there |= 0x8000 >> digit
    writer.byte(IN_FULL if in_full else INNER)
    writer.byte(there >> 8)
    writer.byte(there & 0xFF)
    for digit in range(FAN_OUT):
        child = children[digit]
        if PyBytes_GET_SIZE(child):
            writer.raw(PyBytes_AS_STRING(child), DIGEST if in_full else SHORT)
    return 0


cdef int put_leaf(Writer writer, int depth, bytes records) except -1:
    """The entries of a leaf that many digits deep, without what they have in common.

    Versions of one window begin alike, and so do their counters and the ids of nodes: some seven bytes of sixteen.
    """
    cdef const unsigned char *record = <const unsigned char *> PyBytes_AS_STRING(records)
    cdef Py_ssize_t count = PyBytes_GET_SIZE(records) // RECORD, index
    cdef int skipped = depth >> 1, common
    writer.number(LEAF + count)
    if count == 0:
        return 0
    common = common_bytes(record, count)
    writer.byte(common >> 8)
    writer.byte(common & 0xFF)
    put_version(writer, record + PLACE, common)
    for index in range(count):
        writer.raw(record + skipped, PLACE - skipped)
        put_version(writer, record + PLACE, ~common)
        writer.raw(record + 2 * PLACE, RECORD - 2 * PLACE)
        record += RECORD
    return 0


cdef int put_version(Writer writer, const unsigned char *version, int which) except -1:
    """Some bytes of a version: those whose bits are set."""
    cdef int byte
    for byte in range(16):
        if which & (0x8000 >> byte):
            writer.byte(version[byte])
    return 0


cdef int common_bytes(const unsigned char *records, Py_ssize_t count) noexcept nogil:
    """Which bytes of their versions these records have in common; the first byte is the highest bit."""
    cdef int common = 0xFFFF, byte
    cdef Py_ssize_t index
    for index in range(1, count):
        for byte in range(16):
            if records[PLACE + byte] != records[index * RECORD + PLACE + byte]:
                common &= ~(0x8000 >> byte)
    return common


cdef int put_value(Writer writer, Row row, int least) except -1:
    """How long the value is, from ``least`` on where there is one; below that it is deleted."""
    if row.held.value is None:
        return writer.number(least - 1)
    return writer.number(least + PyBytes_GET_SIZE(row.held.value))


cdef int put_key_and_value(Writer writer, Row row) except -1:
    writer.number(PyBytes_GET_SIZE(row.key))
    put_bytes(writer, row.key)
    if row.held.value is not None:
        put_bytes(writer, row.held.value)
    return 0


# --- reading ------------------------------------------------------------------------------------------------


cdef object malformed(Reader *reader, str what):
    return PeerError(
        f"byte {reader.at - reader.start} of a message of an exchange: {what}. Drop it; if it goes on, compare the "
        f"versions of both nodes"
    )


cdef int need(Reader *reader, Py_ssize_t count, str what) except -1:
    """Whether so many bytes are left."""
    if count > reader.end - reader.at:
        raise malformed(reader, f"it ends within {what}")
    return 0


cdef const unsigned char *take_raw(Reader *reader, Py_ssize_t count, str what) except NULL:
    cdef const unsigned char *at = reader.at
    need(reader, count, what)
    reader.at += count
    return at


cdef int take_byte(Reader *reader, str what) except -1:
    return take_raw(reader, 1, what)[0]


cdef bint take_flag(Reader *reader, str what) except -1:
    cdef int value = take_byte(reader, what)
    if value > 1:
        raise malformed(reader, f"{what} is {value}, neither 0 nor 1")
    return value


cdef inline bint is_never(const unsigned char *version) noexcept nogil:
    """Whether a version is 0: never written."""
    return (load_word(version) | load_word(version + 8)) == 0


cdef int64_t take_number(Reader *reader, str what) except -1:
    cdef uint64_t value = 0
    cdef int shift, byte
    for shift in range(0, 63, 7):
        byte = take_byte(reader, what)
        value |= <uint64_t> (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise malformed(reader, f"{what} is written in more bytes than it needs")
            return <int64_t> value
    raise malformed(reader, f"{what} is above 2^63")


cdef Version take_version(Reader *reader, str what) except *:
    cdef const unsigned char *at = take_raw(reader, 16, what)
    cdef Version version
    version.high = load_word(at)
    version.low = load_word(at + 8)
    return version


cdef bytes take_bytes(Reader *reader, Py_ssize_t count, str what):
    return PyBytes_FromStringAndSize(<const char *> take_raw(reader, count, what), count)


cdef bytes take_items(Reader *reader, Py_ssize_t size, str what):
    """All that is left, items of one size."""
    if (reader.end - reader.at) % size:
        raise malformed(reader, f"{reader.end - reader.at} bytes are left, and {what} take {size} each")
    return take_bytes(reader, reader.end - reader.at, what)


cdef Reader reader_of(bytes packed) noexcept:
    cdef Reader reader
    reader.start = reader.at = <const unsigned char *> PyBytes_AS_STRING(packed)
    reader.end = reader.at + PyBytes_GET_SIZE(packed)
    return reader


cdef int take_spot(Reader *reader, int64_t *window, Spot *spot) except -1:
    """A node's place; ``window`` is that of the one before, and then this one's."""
    cdef int64_t coded = take_number(reader, "the window of a place")
    spot.window = window[0] + (-1 - (coded >> 1) if coded & 1 else coded >> 1)
    if (coded >> 1) > MAX_WINDOW or spot.window < 0 or spot.window > MAX_WINDOW:
        raise malformed(reader, f"there is no window so far from window {window[0]}")
    window[0] = spot.window
    spot.depth = take_byte(reader, "the digits of a place")
    if spot.depth > DIGITS:
        raise malformed(reader, f"a place has {spot.depth} digits, more than {<int> DIGITS}")
    memset(spot.digits, 0, PLACE)
    memcpy(spot.digits, take_raw(reader, (spot.depth + 1) >> 1, "the digits of a place"), (spot.depth + 1) >> 1)
    if spot.depth & 1 and spot.digits[spot.depth >> 1] & 0xF:
        raise malformed(reader, "the last byte of a place's digits is not filled with 0")
    return 0


cdef int take_children(Reader *reader, bint in_full, const unsigned char **children) except -1:
    """Where the digest of each child is; nowhere if it is empty."""
    cdef int digit, there = take_byte(reader, "which children there are") << 8
    there |= take_byte(reader, "which children there are")
    for digit in range(FAN_OUT):
        children[digit] = NULL
        if there & (0x8000 >> digit):
            children[digit] = take_raw(reader, DIGEST if in_full else SHORT, "the digest of a child")
    return 0


cdef bytes take_leaf(Reader *reader, Spot *spot, int64_t count):
    """The records of a leaf, packed."""
    cdef int skipped = spot.depth >> 1, common, byte
    cdef Py_ssize_t each = RECORD - skipped, index
    cdef unsigned char version[16]
    cdef const unsigned char *source
    cdef unsigned char *record
    cdef bytes records
    if count == 0:
        return b""
    common = take_byte(reader, "what versions have in common") << 8
    common |= take_byte(reader, "what versions have in common")
    for byte in range(16):
        if common & (0x8000 >> byte):
            version[byte] = take_byte(reader, "what versions have in common")
            each -= 1
    if count > (reader.end - reader.at) // each:
        raise malformed(reader, f"it ends within a leaf of {count} entries")
    records = PyBytes_FromStringAndSize(NULL, count * RECORD)
    record = <unsigned char *> PyBytes_AS_STRING(records)
    for index in range(count):
        source = take_raw(reader, each, "an entry")
        memcpy(record, spot.digits, skipped)
        memcpy(record + skipped, source, PLACE - skipped)
        memcpy(record + 2 * PLACE, source + each - (RECORD - 2 * PLACE), RECORD - 2 * PLACE)
        source += PLACE - skipped
        for byte in range(16):
            if common & (0x8000 >> byte):
                record[PLACE + byte] = version[byte]
            else:
                record[PLACE + byte] = source[0]
                source += 1
        if spot.depth & 1 and (record[skipped] ^ spot.digits[skipped]) & 0xF0:
            raise malformed(reader, "an entry is not below the place of its node")
        if index and memcmp(record - RECORD, record, PLACE) >= 0:
            raise malformed(reader, "the entries of a leaf are not in order")
        if is_never(record + PLACE):
            raise malformed(reader, "an entry has version 0, which nobody shows")
        record += RECORD
    if common_bytes(<const unsigned char *> PyBytes_AS_STRING(records), count) != common:
        raise malformed(reader, "the versions of a leaf have other bytes in common")
    return records


cdef int64_t take_node(Reader *reader, int64_t *window, Spot *spot, const unsigned char **children) except -1:
    """A node's place and what it is, INNER, IN_FULL, or LEAF and how many entries, whose reading is left to do."""
    cdef int64_t kind
    take_spot(reader, window, spot)
    kind = take_number(reader, "what a node is")
    if kind < LEAF:
        if spot.depth == DIGITS:
            raise malformed(reader, f"a node {<int> DIGITS} digits deep has children")
        take_children(reader, kind == IN_FULL, children)
    return kind


cdef Row take_row(Reader *reader, bytes place, Version version, int64_t length):
    """A row's key and value, ``length`` being that of the value, or -1 if it is none."""
    cdef int64_t size = take_number(reader, "the length of a key")
    cdef bytes key = take_bytes(reader, size, "a key")
    cdef object value = None if length < 0 else take_bytes(reader, length, "a value")
    return row_of(place, key, held_at(version, value))
