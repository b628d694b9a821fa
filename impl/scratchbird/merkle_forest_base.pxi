# Part of merkle_forest.pyx: flat arrays of records, and how they are put and kept in the order of their places. All of
# it works without the interpreter.

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
    cdef Base base
    try:
        base = Base.__new__(Base)
    except MemoryError:
        PyMem_RawFree(records)
        raise
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
