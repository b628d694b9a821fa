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
    cdef unsigned char *into
    cdef Base base
    cdef Py_ssize_t count = 0, shown = 0
    tree.make_hashable()
    tree.look(&view)
    with nogil:
        left = view.everything
        record = next_record(&view, &left)
        while record != NULL:
            count += is_purged(floor, record)
            shown += 1
            record = next_record(&view, &left)
    check_shown(&view, shown, tree.count)
    if count == 0:
        return 0
    into = raw(max(<Py_ssize_t> 1, RECORD * (tree.count - count)))
    base = owned_base(into, tree.count - count)
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
    tree.set_base(base)
    tree.fit(False)
    return count
