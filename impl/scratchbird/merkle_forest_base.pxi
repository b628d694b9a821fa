# Part of merkle_forest.pyx: flat arrays of records, sorted by their places, and what is read from one together with
# the amendments to it. All of it works without the interpreter.

cdef extern from "stdlib.h":
    void qsort(
        void *base, size_t count, size_t size, int (*compare)(const void *, const void *) noexcept nogil
    ) noexcept nogil

cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif

    /* Where records are written all over much memory, most time goes into finding their pages: there are fewer of 2 MiB.
       It is a wish: what is refused stays as it was. No page is asked for that is not all of this memory. */
    static inline void sb_wish_large_pages(void *start, size_t size) {
    #if defined(MADV_HUGEPAGE)
        const uintptr_t large = (uintptr_t)1 << 21;
        uintptr_t first = ((uintptr_t)start + large - 1) & ~(large - 1), end = ((uintptr_t)start + size) & ~(large - 1);
        if (first < end) madvise((void *)first, end - first, MADV_HUGEPAGE);
    #else
        (void)start, (void)size;
    #endif
    }
    """
    void wish_large_pages "sb_wish_large_pages"(void *start, size_t size) noexcept nogil


cdef enum:
    SMALL = 32              # so many records are sorted by insertion
    MOST_BUCKET_BITS = 20
    UNAMENDED = 256         # so few records, of which none is amended, are told apart one by one
    AHEAD = 16              # where the record after so many others goes is fetched already


@cython.final
@cython.no_gc
cdef class Base:
    """Records in the order of their places, as a buffer that can only be read."""

    def __dealloc__(self):
        if self.is_borrowed:
            PyBuffer_Release(&self.borrowed)
        else:
            PyMem_RawFree(<void *> self.records)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        # Nothing is written through it: it says that it can only be read.
        cdef void *start = <void *> self.records if self.rows else <void *> <const char *> b""
        PyBuffer_FillInfo(buffer, self, start, self.rows * RECORD, True, flags)


cdef Base borrowed_base(object buffer, str name, Py_ssize_t size):
    """What another object holds, for as long as this one is there; ``rows`` counts things of this size."""
    cdef Base base = Base.__new__(Base)
    try:
        PyObject_GetBuffer(buffer, &base.borrowed, PyBUF_SIMPLE)
    except (TypeError, BufferError):
        raise CallerError(f"{name} {shown(buffer)} has no bytes in one piece: pass bytes, a memoryview or an mmap")
    base.is_borrowed = True
    base.records = <const unsigned char *> base.borrowed.buf
    base.rows = base.borrowed.len // size
    if base.borrowed.len % size:
        raise CallerError(f"{name} of {base.borrowed.len} bytes: they must be {size} for each")
    return base


cdef Base owned_base(unsigned char *records, Py_ssize_t rows):
    """Takes over memory that was allocated raw; NULL if there are none."""
    cdef Base base = Base.__new__(Base)
    base.records = records
    base.rows = rows
    return base


cdef unsigned char *raw(size_t size) except NULL:
    """Memory that can be freed without the interpreter."""
    cdef void *room = PyMem_RawMalloc(size)
    if room == NULL:
        raise MemoryError
    wish_large_pages(room, size)
    return <unsigned char *> room


# --- order --------------------------------------------------------------------------------------------------


cdef inline int compare_places(const unsigned char *one, const unsigned char *other) noexcept nogil:
    cdef uint64_t mine = load_word(one), theirs = load_word(other)
    if mine == theirs:
        mine = load_word(one + 8)
        theirs = load_word(other + 8)
    return (mine > theirs) - (mine < theirs)


cdef int compare_records(const void *one, const void *other) noexcept nogil:
    return compare_places(<const unsigned char *> one, <const unsigned char *> other)


cdef size_t ascending(const unsigned char *records, size_t rows) noexcept nogil:
    """How many, from the first one on, have places each above the one before it."""
    cdef size_t row
    for row in range(1, rows):
        if compare_places(records + RECORD * row - RECORD, records + RECORD * row) >= 0:
            return row
    return rows


cdef size_t within(const unsigned char *records, size_t rows, uint64_t first_ms, uint64_t last_ms) noexcept nogil:
    """How many, from the first one on, have versions of these milliseconds."""
    cdef size_t row
    cdef uint64_t ms
    for row in range(rows):
        ms = load_word(records + RECORD * row + PLACE) >> 16
        if ms < first_ms or ms > last_ms:
            return row
    return rows


cdef void sort_small(unsigned char *records, size_t rows) noexcept nogil:
    cdef unsigned char kept[RECORD]
    cdef size_t row, to
    for row in range(1, rows):
        to = row
        while to > 0 and compare_places(records + RECORD * to - RECORD, records + RECORD * row) > 0:
            to -= 1
        if to < row:
            memcpy(kept, records + RECORD * row, RECORD)
            memmove(records + RECORD * to + RECORD, records + RECORD * to, RECORD * (row - to))
            memcpy(records + RECORD * to, kept, RECORD)


cdef const unsigned char *sort_records(
    const unsigned char *records, size_t rows, uint64_t first_ms, uint64_t last_ms, unsigned char *into, size_t *inside
) noexcept nogil:
    """A sorted copy, if all have versions of these milliseconds; ``inside`` is how many have, from the first one on.
    NULL or, if there is not one of each place, the second one of a place.

    Places are hashes, so that buckets by their first bits are small and of much the same size; where they are not,
    because somebody made them so, a bucket is sorted by comparing. Without memory for buckets there is one.
    Should somebody change the records meanwhile, which nobody may, nothing outside of the copy is written.
    """
    cdef int bits = 0
    cdef size_t row, buckets, bucket, start, end
    cdef uint64_t ms
    cdef const unsigned char *twice = NULL
    cdef size_t *ends
    inside[0] = rows
    while bits < MOST_BUCKET_BITS and rows >> (bits + 3):
        bits += 1
    buckets = <size_t> 1 << bits
    ends = NULL if bits == 0 else <size_t *> PyMem_RawCalloc(buckets + 1, sizeof(size_t))
    if ends == NULL:
        inside[0] = within(records, rows, first_ms, last_ms)
        memcpy(into, records, RECORD * rows)
        return sort_bucket(into, rows)
    for row in range(rows):
        ms = load_word(records + RECORD * row + PLACE) >> 16
        if ms < first_ms or ms > last_ms:
            inside[0] = row
            PyMem_RawFree(ends)
            return NULL
        ends[(load_word(records + RECORD * row) >> (64 - bits)) + 1] += 1
    for bucket in range(buckets):
        ends[bucket + 1] += ends[bucket]
    # From now on ``ends`` says of each bucket where its next record goes; in the end, where it ends.
    for row in range(rows):
        if row + AHEAD < rows:
            bucket = load_word(records + RECORD * (row + AHEAD)) >> (64 - bits)
            prefetch_to_write(into + RECORD * ends[bucket])
        bucket = load_word(records + RECORD * row) >> (64 - bits)
        if ends[bucket] < rows:
            memcpy(into + RECORD * ends[bucket], records + RECORD * row, RECORD)
            ends[bucket] += 1
    start = 0
    for bucket in range(buckets):
        end = max(start, ends[bucket])
        if twice == NULL:
            twice = sort_bucket(into + RECORD * start, end - start)
        start = end
    PyMem_RawFree(ends)
    return twice


cdef inline const unsigned char *sort_bucket(unsigned char *records, size_t rows) noexcept nogil:
    """NULL, or the second one of a place."""
    cdef size_t unique
    if rows <= SMALL:
        sort_small(records, rows)
    else:
        qsort(records, rows, RECORD, compare_records)
    unique = ascending(records, rows)
    return NULL if unique == rows else records + RECORD * unique


cdef inline size_t search(const unsigned char *records, size_t rows, const unsigned char *place) noexcept nogil:
    """The first record that is not before this place."""
    cdef size_t low = 0, high = rows, middle
    while low < high:
        middle = low + (high - low) // 2
        if compare_places(records + RECORD * middle, place) < 0:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline size_t edge(const unsigned char *records, size_t low, size_t high, int level, int digit) noexcept nogil:
    """Where the records with this digit begin, among some that differ at this level first."""
    cdef size_t middle
    while high - low > 32:
        middle = low + (high - low) // 2
        if digit_at(records + RECORD * middle, level) < digit:
            low = middle + 1
        else:
            high = middle
    while low < high and digit_at(records + RECORD * low, level) < digit:
        low += 1
    return low


# --- a base and its amendments ------------------------------------------------------------------------------


cdef inline Range child_of(View *view, Range parent, Range *left, int level, int digit) noexcept nogil:
    """The part of a range with this digit. ``left`` is what is left of the range, and loses all up to there: the
    digits are asked for in their order."""
    cdef Range child
    if left.low < left.high and digit_at(view.base + RECORD * left.low, level) < digit:
        left.low = edge(view.base, left.low, parent.high, level, digit)
    child.low = left.low
    if left.low < left.high:
        left.low = edge(view.base, left.low, parent.high, level, digit + 1)
    child.high = left.low
    if left.first < left.end:
        left.first = edge(view.amended, left.first, parent.end, level, digit)
    child.first = left.first
    if left.first < left.end:
        left.first = edge(view.amended, left.first, parent.end, level, digit + 1)
    child.end = left.first
    return child


cdef Range range_below(View *view, const uint8_t *path, int level) noexcept nogil:
    """The range of the subtree below these digits."""
    cdef Range found = view.everything, left
    cdef int depth
    for depth in range(level):
        left = found
        found = child_of(view, found, &left, depth, path[depth])
    return found


cdef int64_t entries_in(View *view, Range range_) noexcept nogil:
    """How many a range has."""
    cdef int64_t count = range_.high - range_.low
    cdef size_t each
    for each in range(range_.first, range_.end):
        count += (view.kinds[each] == ADDED) - (view.kinds[each] == REMOVED)
    return count


cdef inline bint is_small(View *view, Range range_, int depth) noexcept nogil:
    """Whether a subtree is one leaf (rule MERKLE_FOREST.R4). Mostly it is plain without counting that it is not."""
    cdef int64_t least = <int64_t> (range_.high - range_.low) - <int64_t> (range_.end - range_.first)
    if range_.first == range_.end:
        return is_leaf(view.most_in_leaf, least, depth)
    if depth < DIGITS and least > view.most_in_leaf:
        return False
    return is_leaf(view.most_in_leaf, entries_in(view, range_), depth)


cdef inline const unsigned char *next_record(View *view, Range *left) noexcept nogil:
    """The next record of a range in the order of places, which is left out of it; NULL if there is none."""
    cdef const unsigned char *base
    cdef const unsigned char *amended
    cdef int order
    while left.first < left.end:
        amended = view.amended + RECORD * left.first
        if left.low < left.high:
            base = view.base + RECORD * left.low
            order = compare_places(base, amended)
            if order < 0:
                left.low += 1
                return base
            if order == 0:
                left.low += 1
        left.first += 1
        if view.kinds[left.first - 1] != REMOVED:
            return amended
    if left.low < left.high:
        left.low += 1
        return view.base + RECORD * (left.low - 1)
    return NULL


cdef void merge_records(View *view, unsigned char *into) noexcept nogil:
    """All records, one after the other: what is between two amendments in one piece."""
    cdef Range left = view.everything
    cdef const unsigned char *amended
    cdef size_t until
    while left.first < left.end:
        amended = view.amended + RECORD * left.first
        until = left.low + search(view.base + RECORD * left.low, left.high - left.low, amended)
        if until > left.low:
            memcpy(into, view.base + RECORD * left.low, RECORD * (until - left.low))
            into += RECORD * (until - left.low)
        left.low = until + (view.kinds[left.first] != ADDED)
        if view.kinds[left.first] != REMOVED:
            memcpy(into, amended, RECORD)
            into += RECORD
        left.first += 1
    if left.low < left.high:
        memcpy(into, view.base + RECORD * left.low, RECORD * (left.high - left.low))


cdef bytes records_in(View *view, Range range_):
    """The records of a range, packed."""
    cdef Py_ssize_t count = entries_in(view, range_)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, count * RECORD)
    cdef unsigned char *into = <unsigned char *> PyBytes_AS_STRING(out)
    cdef const unsigned char *record = next_record(view, &range_)
    while record != NULL:
        memcpy(into, record, RECORD)
        into += RECORD
        record = next_record(view, &range_)
    return out


# --- digests ------------------------------------------------------------------------------------------------


cdef void leaf_digest(View *view, Range range_, int64_t entries, unsigned char *into) noexcept nogil:
    """The digest of a leaf: of its entries, in their order (rule MERKLE_FOREST.R5)."""
    cdef Message message
    cdef const unsigned char *record
    begin(&message, &view.hasher, b"leaf", 4, entries)
    if range_.first == range_.end:
        record = view.base + RECORD * range_.low
        while range_.low < range_.high:
            add_part(&message, record, RECORD)
            record += RECORD
            range_.low += 1
        end(&message, into)
        return
    record = next_record(view, &range_)
    while record != NULL:
        add_part(&message, record, RECORD)
        record = next_record(view, &range_)
    end(&message, into)


cdef void subtree_digest(View *view, Range range_, int level, unsigned char *into) noexcept nogil:
    """The digest of a subtree, from its entries; all zeros if there are none. Nothing is remembered."""
    cdef unsigned char children[FAN_OUT * DIGEST]
    cdef int64_t entries
    if is_small(view, range_, level):
        entries = entries_in(view, range_)
        if entries == 0:
            memset(into, 0, DIGEST)
        else:
            leaf_digest(view, range_, entries, into)
        return
    children_digests(view, range_, level, children)
    inner_digest(&view.hasher, children, into)


cdef void children_digests(View *view, Range range_, int level, unsigned char *children) noexcept nogil:
    """Of 16 subtrees."""
    cdef Range left = range_, child
    cdef int digit
    memset(children, 0, FAN_OUT * DIGEST)
    if range_.first == range_.end and range_.high - range_.low <= UNAMENDED:
        child = range_
        while child.low < range_.high:
            digit = digit_at(view.base + RECORD * child.low, level)
            child.high = child.low + 1
            while child.high < range_.high and digit_at(view.base + RECORD * child.high, level) == digit:
                child.high += 1
            subtree_digest(view, child, level + 1, children + DIGEST * digit)
            child.low = child.high
        return
    while left.low < range_.high or left.first < range_.end:
        digit = FAN_OUT
        if left.low < range_.high:
            digit = digit_at(view.base + RECORD * left.low, level)
        if left.first < range_.end:
            digit = min(digit, digit_at(view.amended + RECORD * left.first, level))
        child = child_of(view, range_, &left, level, digit)
        subtree_digest(view, child, level + 1, children + DIGEST * digit)


cdef inline size_t width(int level) noexcept nogil:
    """How many nodes a dense level has."""
    return <size_t> 1 << (4 * level)


cdef inline size_t nodes_above(int level) noexcept nogil:
    """How many nodes the dense levels above this one have, so where it begins."""
    return (width(level) - 1) // (FAN_OUT - 1)


cdef inline int depth_for(size_t rows) noexcept nogil:
    """The deepest dense level of so many rows: the nodes of it are at most a sixth as many."""
    cdef int depth = 0
    while width(depth + 1) <= rows // TO_A_NODE:
        depth += 1
    return depth


cdef inline size_t dirty_words(int depth) noexcept nogil:
    return (width(depth) + 63) // 64


cdef inline bint any_dirty(const uint64_t *dirty, size_t start, size_t count) noexcept nogil:
    """Whether any of these nodes is; there are 16**k of them, and ``start`` is a multiple of that."""
    cdef size_t word
    if count < 64:
        return (dirty[start >> 6] >> (start & 63)) & ((<uint64_t> 1 << count) - 1) != 0
    for word in range(start >> 6, (start + count) >> 6):
        if dirty[word]:
            return True
    return False


cdef void hash_dirty(View *view, Range range_, int level, size_t index) noexcept nogil:
    """Hash a node of a dense level and, before it, all that is dirty below it."""
    cdef unsigned char *node = view.nodes + DIGEST * (nodes_above(level) + index)
    cdef size_t below_each, child
    cdef Range left = range_
    cdef int digit
    if level == view.depth:
        subtree_digest(view, range_, level, node)
        return
    below_each = width(view.depth - level - 1)
    for digit in range(FAN_OUT):
        child = index * FAN_OUT + digit
        if any_dirty(view.dirty, child * below_each, below_each):
            hash_dirty(view, child_of(view, range_, &left, level, digit), level + 1, child)
    if is_small(view, range_, level):
        subtree_digest(view, range_, level, node)
    else:
        inner_digest(&view.hasher, view.nodes + DIGEST * (nodes_above(level + 1) + index * FAN_OUT), node)
