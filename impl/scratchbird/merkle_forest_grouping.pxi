# Part of merkle_forest.pyx: entries of many windows, each put where it belongs, without the interpreter.


def trees_of(Shape shape not None, records):
    """The trees of some entries of any windows, in any order: a ``dict`` by window.

    :param records: packed, in one buffer; each place once.
    :raises CallerError: if they are not 48 bytes each, or a place is there twice in a window.
    """
    return grouped(shape, [borrowed_base(records, "records", RECORD)])


cdef dict regrouped(dict trees, Shape shape):
    """The same entries in another setting."""
    return grouped(shape, [base_of(tree) for _, tree in sorted(trees.items())])


cdef Base base_of(WindowTree tree):
    """All that is in a tree."""
    tree.enter()
    try:
        tree.compact_now()
        return tree.base
    finally:
        tree.leave()


cdef dict grouped(Shape shape, list bases):
    """The entries of some bases by window."""
    cdef Base base
    cdef Py_ssize_t rows = sum([(<Base> one).rows for one in bases]), start = 0, end
    cdef Base together = owned_base(raw(max(<Py_ssize_t> 1, RECORD * rows)), rows)
    cdef unsigned char *records = <unsigned char *> together.records
    cdef int64_t window, first = 0, last = NONE
    cdef size_t *ends = NULL
    cdef dict trees = {}
    for base in bases:
        with nogil:
            span_of(shape.window_ms, base.records, base.rows, &first, &last)
    # Where the windows are not far apart they are counted; what is far apart is sorted by its times.
    if 0 <= last - first <= rows + 65_536:
        ends = <size_t *> PyMem_RawCalloc(last - first + 2, sizeof(size_t))
    try:
        if ends != NULL:
            for base in bases:
                with nogil:
                    count_windows(shape.window_ms, base.records, base.rows, first, last, ends)
            for window in range(last - first + 1):
                ends[window + 1] += ends[window]
            for base in bases:
                with nogil:
                    place_by_window(
                        shape.window_ms, base.records, base.rows, first, last, ends, records, rows
                    )
        else:
            for base in bases:
                memcpy(records + RECORD * start, base.records, RECORD * base.rows)
                start += base.rows
            with nogil:
                qsort(records, rows, RECORD, compare_times)
    finally:
        PyMem_RawFree(ends)
    start = 0
    while start < rows:
        window = window_of(shape, version_at(records + RECORD * start))
        end = start + 1
        while end < rows and window_of(shape, version_at(records + RECORD * end)) == window:
            end += 1
        trees[window] = WindowTree(shape, window, memoryview(together)[RECORD * start:RECORD * end])
        start = end
    return trees


cdef void span_of(
    int64_t window_ms, const unsigned char *records, Py_ssize_t rows, int64_t *first, int64_t *last
) noexcept nogil:
    """Extend a span of windows, empty if the last one is NONE, to those of some records."""
    cdef Py_ssize_t row
    cdef uint64_t ms, least = load_word(records + PLACE) >> 16 if rows else 0, most = least
    for row in range(rows):
        ms = load_word(records + RECORD * row + PLACE) >> 16
        least = min(least, ms)
        most = max(most, ms)
    if rows:
        first[0] = <int64_t> least // window_ms if last[0] == NONE else min(first[0], <int64_t> least // window_ms)
        last[0] = max(last[0], <int64_t> most // window_ms)


cdef inline size_t window_from(int64_t window_ms, const unsigned char *record, int64_t first) noexcept nogil:
    return <int64_t> (load_word(record + PLACE) >> 16) // window_ms - first


# Should somebody change the records meanwhile, which nobody may, nothing outside of these arrays is written.


cdef void count_windows(
    int64_t window_ms, const unsigned char *records, Py_ssize_t rows, int64_t first, int64_t last, size_t *ends
) noexcept nogil:
    """How many each window has, counted at the one after it."""
    cdef Py_ssize_t row
    cdef size_t window
    for row in range(rows):
        window = window_from(window_ms, records + RECORD * row, first)
        if window <= <size_t> (last - first):
            ends[window + 1] += 1


cdef void place_by_window(
    int64_t window_ms, const unsigned char *records, Py_ssize_t rows, int64_t first, int64_t last, size_t *ends,
    unsigned char *into, size_t room,
) noexcept nogil:
    """Each record where its window's next one goes."""
    cdef Py_ssize_t row
    cdef size_t window
    for row in range(rows):
        window = window_from(window_ms, records + RECORD * row, first)
        if window <= <size_t> (last - first) and ends[window] < room:
            memcpy(into + RECORD * ends[window], records + RECORD * row, RECORD)
            ends[window] += 1


cdef int compare_times(const void *one, const void *other) noexcept nogil:
    cdef uint64_t mine = load_word(<const unsigned char *> one + PLACE) >> 16
    cdef uint64_t theirs = load_word(<const unsigned char *> other + PLACE) >> 16
    return (mine > theirs) - (mine < theirs)
