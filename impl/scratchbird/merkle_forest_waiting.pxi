# Part of merkle_forest.pyx: the rows that are held in a version which is not shown yet. They are found by their places
# in a table, and by the version that is held in a heap: what the stable time reaches costs what moves, and no more.


@cython.final
@cython.no_gc
cdef class WaitingTable:
    """Rows that wait (rule MERKLE_FOREST.R1)."""

    def __cinit__(self):
        # Each process mixes places in its own way, as it hashes texts in its own way: nobody can choose keys whose
        # places meet in the table.
        self.secret = <uint64_t> <Py_ssize_t> hash("scratchbird.merkle_forest") | 1

    def __dealloc__(self):
        PyMem_RawFree(self.slots)
        PyMem_RawFree(self.heap)
        PyMem_RawFree(self.index)

    cdef uint32_t seek(self, const unsigned char *place) noexcept:
        """Where in the index a place is, or would be. Half of the index is empty."""
        cdef uint64_t mixed = (load_word(place) ^ self.secret) * <uint64_t> 0x9E3779B97F4A7C15
        cdef uint32_t mask = 2 * self.room - 1, at
        mixed = (mixed ^ mixed >> 32 ^ load_word(place + 8)) * self.secret
        at = <uint32_t> (mixed >> 32) & mask
        while self.index[at] and compare_places(self.slots[self.index[at] - 1].newer, place) != 0:
            at = (at + 1) & mask
        return at

    cdef Waiting *find(self, const unsigned char *place) noexcept:
        """The row of a place, or NULL."""
        cdef uint32_t at
        if self.count == 0:
            return NULL
        at = self.seek(place)
        return &self.slots[self.index[at] - 1] if self.index[at] else NULL

    cdef Waiting *first(self) noexcept:
        """The one whose version is the lowest, or NULL."""
        return &self.slots[self.heap[0]] if self.count else NULL

    cdef int add(self, const unsigned char *newer, Version older) except -1:
        """A row that is not there."""
        cdef Waiting *slot
        if self.count == self.room:
            self.grow()
        slot = &self.slots[self.count]
        self.index[self.seek(newer)] = self.count + 1
        memcpy(slot.newer, newer, RECORD)
        slot.older = older
        slot.position = self.count
        self.heap[self.count] = self.count
        self.count += 1
        self.rise(slot.position)
        return 0

    cdef void renew(self, Waiting *slot, const unsigned char *newer) noexcept:
        """Its row is held in a version now that is not lower."""
        memcpy(slot.newer, newer, RECORD)
        self.sink(slot.position)

    cdef void remove(self, Waiting *slot) noexcept:
        """It waits no more. Pointers to others are no longer good: the last one takes its slot."""
        cdef uint32_t number = <uint32_t> (slot - self.slots), last = self.count - 1, position = slot.position
        cdef uint32_t mask = 2 * self.room - 1, hole = self.seek(self.slots[number].newer), at, wanted, kept
        # Those after it in the index move up, so that no search ends before it finds them.
        self.index[hole] = 0
        at = (hole + 1) & mask
        while self.index[at]:
            kept = self.index[at]
            self.index[at] = 0
            wanted = self.seek(self.slots[kept - 1].newer)
            self.index[wanted] = kept
            at = (at + 1) & mask
        self.count = last
        if position != last:
            self.heap[position] = self.heap[last]
            self.slots[self.heap[position]].position = position
            self.rise(position)  # It comes from another branch: it may be below what is above it now.
            self.sink(position)
        if number != last:
            self.index[self.seek(self.slots[last].newer)] = number + 1
            self.slots[number] = self.slots[last]
            self.heap[self.slots[number].position] = number

    cdef int grow(self) except -1:
        """Twice the room."""
        cdef uint32_t room = max(<uint32_t> 16, 2 * self.room), number
        cdef void *slots
        cdef void *heap
        cdef uint32_t *index = <uint32_t *> PyMem_RawCalloc(2 * <size_t> room, sizeof(uint32_t))
        if index == NULL:
            raise MemoryError
        slots = PyMem_RawRealloc(self.slots, room * sizeof(Waiting))
        if slots != NULL:
            self.slots = <Waiting *> slots
        heap = PyMem_RawRealloc(self.heap, room * sizeof(uint32_t))
        if heap != NULL:
            self.heap = <uint32_t *> heap
        if slots == NULL or heap == NULL:
            PyMem_RawFree(index)
            raise MemoryError
        PyMem_RawFree(self.index)
        self.index = index
        self.room = room
        for number in range(self.count):
            self.index[self.seek(self.slots[number].newer)] = number + 1
        return 0

    cdef bint comes_first(self, uint32_t one, uint32_t other) noexcept:
        return below(version_at(self.slots[self.heap[one]].newer), version_at(self.slots[self.heap[other]].newer))

    cdef void swap(self, uint32_t one, uint32_t other) noexcept:
        cdef uint32_t slot = self.heap[one]
        self.heap[one] = self.heap[other]
        self.heap[other] = slot
        self.slots[self.heap[one]].position = one
        self.slots[self.heap[other]].position = other

    cdef void rise(self, uint32_t position) noexcept:
        while position and self.comes_first(position, (position - 1) // 2):
            self.swap(position, (position - 1) // 2)
            position = (position - 1) // 2

    cdef void sink(self, uint32_t position) noexcept:
        cdef uint32_t child = 2 * position + 1
        while child < self.count:
            if child + 1 < self.count and self.comes_first(child + 1, child):
                child += 1
            if not self.comes_first(child, position):
                return
            self.swap(position, child)
            position = child
            child = 2 * position + 1
