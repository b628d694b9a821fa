# Part of merkle_forest.pyx: what a window loses when its replica settles (rule MERKLE_FOREST.R8).


cdef bint has_purged(WindowTree tree, Version floor) except -1:
    """Whether a window shows what a replica that settles there takes out."""
    cdef View view
    cdef Range left
    cdef const unsigned char *record
    tree.enter()
    try:
        tree.look(&view)
        with nogil:
            left = view.everything
            record = next_record(&view, &left)
            while record != NULL and not is_purged(floor, record):
                record = next_record(&view, &left)
    finally:
        tree.leave()
    return record != NULL


cdef Py_ssize_t take_out(WindowTree tree, Version floor) except -1:
    """Take out what is purged (rule MERKLE_FOREST.R8): how many entries. Either all of them or, with an
    exception, none."""
    cdef View view
    cdef Range left
    cdef const unsigned char *record
    cdef unsigned char *kept
    cdef unsigned char *into
    cdef Py_ssize_t count = 0
    tree.make_ready()
    tree.look(&view)
    with nogil:
        left = view.everything
        record = next_record(&view, &left)
        while record != NULL:
            count += is_purged(floor, record)
            record = next_record(&view, &left)
    if count == 0:
        return 0
    kept = raw(max(<Py_ssize_t> 1, RECORD * (tree.count - count)))
    into = kept
    with nogil:
        left = view.everything
        record = next_record(&view, &left)
        while record != NULL:
            if is_purged(floor, record):
                tree.touch(record)
            else:
                memcpy(into, record, RECORD)
                into += RECORD
            record = next_record(&view, &left)
    tree.count -= count
    tree.base = owned_base(kept, tree.count)
    tree.amendments = 0
    tree.fit(False)
    return count
