# Part of merkle_forest.pyx: what callers pass, read and checked; and gates.


cdef WindowTree tree_of(Shape shape, int64_t window):
    """An empty one."""
    return WindowTree(shape, window)


cdef Base sorted_base(WindowTree tree, object records):
    """Records in any order as a base; CallerError if they are none of this window."""
    cdef Base given = borrowed_base(records, "records", RECORD)
    cdef size_t rows = given.rows, inside
    cdef uint64_t first_ms = tree.window * <uint64_t> tree.shape.window_ms
    cdef uint64_t last_ms = first_ms + tree.shape.window_ms - 1
    cdef unsigned char *sorted_ = raw(max(<size_t> 1, RECORD * rows))
    cdef const unsigned char *source = given.records
    cdef Base base = owned_base(sorted_, rows)
    cdef const unsigned char *twice = NULL
    with nogil:
        if ascending(source, rows) == rows:
            inside = within(source, rows, first_ms, last_ms)
            memcpy(sorted_, source, RECORD * rows)
        else:
            twice = sort_records(source, rows, first_ms, last_ms, sorted_, &inside)
    if inside < rows:
        raise CallerError(
            f"record {inside} has version {number_of(version_at(source + RECORD * inside))}, which is not of window "
            f"{tree.window}: put it in its own"
        )
    if twice != NULL:
        raise CallerError(f"place {hexadecimal(twice)} is there twice: a row has one entry")
    return base


cdef const unsigned char *record_of(bytes record) except NULL:
    """The record that these bytes are; CallerError otherwise."""
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(record)
    if PyBytes_GET_SIZE(record) != RECORD:
        raise CallerError(f"a record of {PyBytes_GET_SIZE(record)} bytes: it must be {RECORD}, as entry_of() makes it")
    if not (version_at(start).high | version_at(start).low):
        raise CallerError("a record of version 0: 0 stands for never written, and nothing shows it")
    return start


cdef const unsigned char *place_at(bytes place) except NULL:
    """The place that these bytes are; CallerError otherwise."""
    if PyBytes_GET_SIZE(place) != PLACE:
        raise CallerError(f"a place of {PyBytes_GET_SIZE(place)} bytes: it must be {PLACE}, as place_of() makes it")
    return <const unsigned char *> PyBytes_AS_STRING(place)


cdef int path_of(prefix, uint8_t *path) except -1:
    """Read digits: how many there are."""
    cdef int level = 0
    for digit in prefix:
        if level == DIGITS:  # However long it says that it is.
            raise CallerError(f"prefix of more than {DIGITS} digits: no place has so many")
        if type(digit) is not int or not 0 <= digit < FAN_OUT:
            raise CallerError(f"prefix {shown(prefix)}: its digits must be whole numbers from 0 to {FAN_OUT - 1}")
        path[level] = digit
        level += 1
    return level


cdef inline int take_gate(void *gate) except -1:
    """Wait until nobody else is in; the interpreter's lock is not held meanwhile."""
    if not PyThread_acquire_lock(gate, NOWAIT_LOCK):
        with nogil:
            PyThread_acquire_lock(gate, WAIT_LOCK)
    return 0


cdef str hexadecimal(const unsigned char *place):
    return (<bytes> place[:PLACE]).hex()
