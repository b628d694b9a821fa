# Part of merkle_forest.pyx: the tree of one window. Most records are in a base that trees share and nobody changes;
# what came and went since is a short sorted list of amendments, which are merged into a new base when they are too
# many. Where a base is so large that this would be dear, they are merged into a middle layer first, which trees share
# and nobody changes either; only when that has become too large, all are merged into a new base. So a late row moves
# some kilobytes, and the memory of a row is little more than its record.
#
# The digests of all subtrees down to a level at which they have some six to a hundred entries are kept in an array
# without pointers; below that they are hashed when they are asked for. A bit of each node of that level says whether
# something changed below it.


@cython.final
@cython.no_gc
cdef class WindowTree:
    """The tree of the entries of one window (rules MERKLE_FOREST.R3 to MERKLE_FOREST.R5).

    It may be used from many threads at once; who comes while another one changes or hashes it waits. Hashing, sorting
    and merging is done without the interpreter's lock.

    :param shape: of its tree.
    :param window: its number.
    :param records: entries in any order, 48 bytes each in one buffer. Each place once.
    :raises CallerError: if they are not 48 bytes each, a place is there twice, or a version is not of this window.
    """

    def __cinit__(self, Shape shape not None, window, records=None):
        self.gate = PyThread_allocate_lock()
        if self.gate == NULL:
            raise MemoryError
        self.shape = shape
        self.window = whole(window, "window", 0, MAX_MS_C // shape.window_ms)
        self.base = owned_base(NULL, 0)
        if records is not None:
            self.take(sorted_base(self, records))

    def __dealloc__(self):
        if self.gate != NULL:
            PyThread_free_lock(self.gate)
        if self.borrowed_nodes is None:
            PyMem_RawFree(self.nodes)
        PyMem_RawFree(self.dirty)
        PyMem_RawFree(self.amended)
        PyMem_RawFree(self.kinds)

    @staticmethod
    def from_buffers(Shape shape not None, window, entries, nodes=None):
        """A tree over what somebody else holds: nothing is copied until it is amended.

        Neither may change while the tree is there. What they hold is believed: who reads them from a disk checks
        their sums before. Entries out of order have a wrong digest, or a step is refused with CallerError.

        :param entries: records in the order of their places.
        :param nodes: the digests of the dense levels, as :meth:`nodes_buffer` gives them; ``None`` to hash anew.
        :raises CallerError: if there are not as many bytes as there must be.
        """
        cdef WindowTree tree = tree_of(shape, whole(window, "window", 0, MAX_MS_C // shape.window_ms))
        cdef Base base = borrowed_base(entries, "entries", RECORD)
        cdef Base digests
        cdef size_t expected
        if nodes is None:
            tree.take(base)
            return tree
        digests = borrowed_base(nodes, "nodes", DIGEST)
        expected = nodes_above(depth_for(base.rows) + 1) if base.rows else 0
        if <size_t> digests.rows != expected:
            raise CallerError(
                f"nodes of {digests.rows} digests: {base.rows} entries have {expected}; pass what nodes_buffer() gave "
                f"for them, or None"
            )
        tree.set_base(base)
        if expected:
            tree.depth = depth_for(base.rows)
            tree.borrowed_nodes = digests
            tree.nodes = <unsigned char *> digests.records
        return tree

    # Changing it.

    def put(self, bytes record not None):
        """Insert an entry, or put it in the place of the one of the same place: whether anything changed.

        :raises CallerError: if it is no record of this window, or the tree belongs to a forest.
        """
        cdef const unsigned char *start = record_of(record)
        if window_of(self.shape, version_at(start)) != self.window:
            raise CallerError(
                f"version {number_of(version_at(start))} is of window {window_of(self.shape, version_at(start))}, and "
                f"not of {self.window}: put it there"
            )
        self.enter()
        try:
            self.check_free()
            self.make_ready()
            return self.store(start)
        finally:
            self.leave()

    def remove(self, bytes place not None):
        """Take the entry of a place out: whether there was one.

        :raises CallerError: if it is no place, or the tree belongs to a forest.
        """
        cdef const unsigned char *start = place_at(place)
        self.enter()
        try:
            self.check_free()
            self.make_ready()
            return self.erase(start)
        finally:
            self.leave()

    def rebuild(self, records):
        """These entries in the place of all that are there, as when a tree is made.

        :raises CallerError: as when a tree is made, or if the tree belongs to a forest. It is then unchanged.
        """
        cdef Base base = sorted_base(self, records)
        self.enter()
        try:
            self.check_free()
            self.take(base)
        finally:
            self.leave()

    # Looking at it.

    def __len__(self):
        return self.count

    def get(self, bytes place not None):
        """The record of a place; ``None`` if there is none.

        :raises CallerError: if it is no place.
        """
        cdef const unsigned char *start = place_at(place)
        cdef const unsigned char *found
        self.enter()
        try:
            found = self.find(start)
            return None if found == NULL else <bytes> found[:RECORD]
        finally:
            self.leave()

    def digest(self, prefix=b""):
        """The digest of the subtree below some digits, 32 bytes; nothing if there is no entry (MERKLE_FOREST.R5).

        Only what changed since is hashed, and what is below the dense levels.

        :param prefix: digits from 0 to 15, as ``bytes`` or a tuple of numbers.
        :raises CallerError: if these are no digits.
        """
        cdef uint8_t path[DIGITS]
        cdef int level = path_of(prefix, path)
        self.enter()
        try:
            self.rehash()
            return self.digest_below(path, level)
        finally:
            self.leave()

    def window_digest(self):
        """The digest of the window, 32 bytes; nothing if there is no entry (rule MERKLE_FOREST.R7)."""
        return window_digest(self.shape, self.window, self.digest())

    def node(self, prefix=b""):
        """The top of the subtree below some digits: a :class:`Leaf`, or an :class:`Inner`.

        :raises CallerError: if these are no digits.
        """
        cdef uint8_t path[DIGITS]
        cdef int level = path_of(prefix, path), digit
        cdef unsigned char children[FAN_OUT * DIGEST]
        cdef View view
        cdef Range range_
        self.enter()
        try:
            self.look(&view)
            range_ = range_below(&view, path, level)
            if is_small(&view, &range_, level):
                return leaf_with(records_in(&view, range_))
            self.rehash()
            self.children_below(path, level, children)
        finally:
            self.leave()
        return inner_with(tuple([
            b"" if is_nothing(children + DIGEST * digit) else <bytes> children[DIGEST * digit:DIGEST * (digit + 1)]
            for digit in range(FAN_OUT)
        ]))

    def child_digests(self, prefix=b""):
        """The digests of the 16 subtrees below some digits, packed: 32 bytes each, zeros for one that is empty.

        :raises CallerError: if these are no digits, or as many as a place has.
        """
        cdef uint8_t path[DIGITS]
        cdef int level = path_of(prefix, path)
        cdef unsigned char children[FAN_OUT * DIGEST]
        if level == DIGITS:
            raise CallerError(f"prefix {shown(prefix)}: nothing is below {level} digits")
        self.enter()
        try:
            self.rehash()
            self.children_below(path, level, children)
        finally:
            self.leave()
        return <bytes> children[:FAN_OUT * DIGEST]

    def under(self, prefix=b""):
        """The records whose places begin with some digits, in order, packed.

        :raises CallerError: if these are no digits.
        """
        cdef uint8_t path[DIGITS]
        cdef int level = path_of(prefix, path)
        cdef View view
        self.enter()
        try:
            self.look(&view)
            return records_in(&view, range_below(&view, path, level))
        finally:
            self.leave()

    def clone(self):
        """The same entries as a tree of its own. Its base and its middle are shared; some amendments, at most 4,096,
        and the digests are copied."""
        self.enter()
        try:
            return self.copy()
        finally:
            self.leave()

    # Keeping it.

    def compact(self):
        """Merge the amendments and give back all room that is not needed: what is kept longer takes least so."""
        self.enter()
        try:
            self.compact_now()
        finally:
            self.leave()

    def entries_buffer(self):
        """The records in the order of their places, without a copy; what happens to the tree later changes it not."""
        self.enter()
        try:
            self.compact_now()
            return memoryview(self.base)
        finally:
            self.leave()

    def nodes_buffer(self):
        """The digests of the dense levels: level d, of 16**d, after the one above it; a copy.

        The deepest is the greatest d with 16**d <= n / 6, at least 0. Each is of the subtree below that prefix, zeros
        if that is empty. Without entries there is no level.
        """
        self.enter()
        try:
            self.compact_now()
            self.rehash()
            return <bytes> self.nodes[:DIGEST * nodes_above(self.depth + 1)] if self.count else b""
        finally:
            self.leave()

    @property
    def is_clean(self):
        """Whether every digest that it keeps is up to date."""
        return self.dirty == NULL

    @property
    def resident(self):
        """Bytes of memory of its own, the base included if it is not borrowed, and the middle. A base or a middle that
        trees share is counted by each of them."""
        cdef size_t size = RECORD * self.base.rows * (not self.base.is_borrowed)
        if self.nodes != NULL and self.borrowed_nodes is None:
            size += DIGEST * nodes_above(self.depth + 1)
        if self.dirty != NULL:
            size += 8 * dirty_words(self.depth)
        if self.middle is not None:
            size += self.middle.size
        return size + (RECORD + 1) * self.room

    # How it is done: each of these is called by who is in.

    cdef int enter(self) except -1:
        return take_gate(self.gate)

    cdef void leave(self) noexcept:
        PyThread_release_lock(self.gate)

    cdef int check_free(self) except -1:
        """Whether anybody may change it: a forest would not notice."""
        if self.is_owned:
            raise CallerError(f"window {self.window} belongs to a forest: change the forest, or a clone() of it")
        return 0

    cdef void look(self, View *view) noexcept:
        cdef int each
        view.layers[BASE] = Layer(self.base.records, NULL, self.base.rows)
        view.layers[MIDDLE] = Layer(NULL, NULL, 0) if self.middle is None else self.middle.layer
        view.layers[AMENDED] = Layer(self.amended, self.kinds, self.amendments)
        for each in range(LAYERS):
            view.everything.low[each] = 0
            view.everything.high[each] = view.layers[each].rows
        view.nodes = self.nodes
        view.dirty = self.dirty
        view.depth = self.depth
        view.most_in_leaf = self.shape.most_in_leaf

    cdef const unsigned char *find(self, const unsigned char *place) noexcept:
        """The record of a place, or NULL."""
        cdef bint is_amended
        cdef Py_ssize_t at
        return self.seek(place, &at, &is_amended)

    cdef const unsigned char *seek(self, const unsigned char *place, Py_ssize_t *at, bint *is_amended) noexcept:
        """The record of a place, or NULL; ``at`` is where its amendment is or, if there is none, would be."""
        cdef View view
        at[0] = search(self.amended, self.amendments, place)
        is_amended[0] = at[0] < self.amendments and compare_places(self.amended + RECORD * at[0], place) == 0
        if is_amended[0]:
            return NULL if self.kinds[at[0]] == REMOVED else self.amended + RECORD * at[0]
        self.look(&view)
        return shown_by(&view, AMENDED, place)

    cdef int make_ready(self) except -1:
        """Room for one change: from here on it can not fail."""
        cdef Py_ssize_t room
        cdef void *grown
        if self.amendments >= most_amendments(self.base.rows):
            self.push_down()
        if self.amendments == self.room:
            room = max(<Py_ssize_t> 8, 2 * self.room)
            grown = PyMem_RawRealloc(self.amended, RECORD * room)
            if grown == NULL:
                raise MemoryError
            self.amended = <unsigned char *> grown
            grown = PyMem_RawRealloc(self.kinds, room)
            if grown == NULL:
                raise MemoryError
            self.kinds = <uint8_t *> grown
            self.room = room
        return self.make_hashable()

    cdef int make_hashable(self) except -1:
        """Nodes of its own, and bits for which of them are dirty."""
        cdef size_t size = DIGEST * nodes_above(self.depth + 1)
        cdef unsigned char *own
        if self.nodes == NULL or self.borrowed_nodes is not None:
            own = raw(size)
            if self.nodes == NULL:
                memset(own, 0, size)
            else:
                memcpy(own, self.nodes, size)
            self.nodes = own
            self.borrowed_nodes = None
        if self.dirty == NULL:
            self.dirty = <uint64_t *> PyMem_RawCalloc(dirty_words(self.depth), 8)
            if self.dirty == NULL:
                raise MemoryError
        return 0

    cdef bint store(self, const unsigned char *record) noexcept:
        cdef bint is_amended
        cdef Py_ssize_t at
        cdef const unsigned char *found = self.seek(record, &at, &is_amended)
        cdef int kind = ADDED if found == NULL else CHANGED
        if found != NULL and memcmp(found, record, RECORD) == 0:
            return False
        self.count += kind == ADDED
        if is_amended:
            self.kinds[at] = composed(self.kinds[at], kind)
            memcpy(self.amended + RECORD * at, record, RECORD)
        else:
            self.insert(at, record, kind)
        self.touch(record)
        return True

    cdef bint erase(self, const unsigned char *place) noexcept:
        cdef bint is_amended
        cdef Py_ssize_t at
        cdef unsigned char removed[RECORD]
        if self.seek(place, &at, &is_amended) == NULL:
            return False
        self.count -= 1
        self.touch(place)  # Before anything moves: the place may be this record's.
        if not is_amended:
            memset(removed, 0, RECORD)
            memcpy(removed, place, PLACE)
            self.insert(at, removed, REMOVED)
        elif composed(self.kinds[at], REMOVED) == REMOVED:
            self.kinds[at] = REMOVED
        else:
            self.amendments -= 1
            memmove(self.amended + RECORD * at, self.amended + RECORD * (at + 1), RECORD * (self.amendments - at))
            memmove(self.kinds + at, self.kinds + at + 1, self.amendments - at)
        return True

    cdef void insert(self, Py_ssize_t at, const unsigned char *record, int kind) noexcept:
        """An amendment; there is room."""
        cdef unsigned char *there = self.amended + RECORD * at
        memmove(there + RECORD, there, RECORD * (self.amendments - at))
        memmove(self.kinds + at + 1, self.kinds + at, self.amendments - at)
        memcpy(there, record, RECORD)
        self.kinds[at] = kind
        self.amendments += 1

    cdef void touch(self, const unsigned char *place) noexcept nogil:
        """Something changed here."""
        cdef uint64_t node = load_word(place) >> (64 - 4 * self.depth) if self.depth else 0
        self.dirty[node >> 6] |= <uint64_t> 1 << (node & 63)
        self.changes += 1

    cdef int push_down(self) except -1:
        """The amendments become part of a new middle or, if that would be too large, of a new base."""
        cdef View view
        self.look(&view)
        if <Py_ssize_t> view.layers[MIDDLE].rows + self.amendments > most_in_middle(self.base.rows):
            return self.merge()
        self.middle = folded(&view.layers[MIDDLE], &view.layers[AMENDED])
        self.amendments = 0
        return 0

    cdef int merge(self) except -1:
        """All that is above the base becomes part of a new one. No digest changes by that."""
        cdef View view
        if self.amendments == 0 and self.middle is None:
            return 0
        self.look(&view)
        self.set_base(merged(&view, self.count))
        return self.fit(False)

    cdef void set_base(self, Base base) noexcept:
        self.base = base
        self.middle = None
        self.amendments = 0
        self.count = base.rows

    cdef int fit(self, bint exactly) except -1:
        """As many dense levels as the base is to have.

        A tree that loses a few rows and gets some others is not to hash a level anew each time: one is given up when it
        is clearly too many, or when it is to be so ``exactly``. Unless it is, it stays as it was if there is no memory
        for anything else: what it is to follow has happened already.
        """
        cdef int depth = depth_for(self.base.rows)
        cdef size_t size = DIGEST * nodes_above(depth + 1)
        cdef uint64_t *dirty = NULL
        cdef unsigned char *nodes
        if depth == self.depth or self.nodes == NULL:
            self.depth = depth
            return 0
        if depth < self.depth and not exactly and <size_t> self.base.rows >= TOO_FEW * width(self.depth):
            return 0
        nodes = <unsigned char *> PyMem_RawMalloc(size)
        if depth > self.depth or self.dirty != NULL:
            dirty = <uint64_t *> PyMem_RawCalloc(dirty_words(depth), 8)
        if nodes == NULL or (dirty == NULL and (depth > self.depth or self.dirty != NULL)):
            PyMem_RawFree(nodes)
            PyMem_RawFree(dirty)
            if exactly:
                raise MemoryError
            return 0
        if depth > self.depth:
            memset(nodes, 0, size)
            memset(dirty, 0xFF, 8 * dirty_words(depth))
        else:
            memcpy(nodes, self.nodes, size)
            if dirty != NULL:
                copy_dirty(self.dirty, self.depth, dirty, depth)
        self.set_nodes(nodes, dirty, depth)
        return 0

    cdef void set_nodes(self, unsigned char *nodes, uint64_t *dirty, int depth) noexcept:
        if self.borrowed_nodes is None:
            PyMem_RawFree(self.nodes)
        PyMem_RawFree(self.dirty)
        self.borrowed_nodes = None
        self.nodes = nodes
        self.dirty = dirty
        self.depth = depth

    cdef int take(self, Base base) except -1:
        """This base instead of all that is there."""
        cdef int depth = depth_for(base.rows)
        cdef unsigned char *nodes = raw(DIGEST * nodes_above(depth + 1))
        cdef uint64_t *dirty = <uint64_t *> PyMem_RawCalloc(dirty_words(depth), 8)
        if dirty == NULL:
            PyMem_RawFree(nodes)
            raise MemoryError
        memset(nodes, 0, DIGEST * nodes_above(depth + 1))
        memset(dirty, 0xFF, 8 * dirty_words(depth))
        self.set_nodes(nodes, dirty, depth)
        self.set_base(base)
        self.changes += 1
        return 0

    cdef int rehash(self) except -1:
        """Hash all that is dirty."""
        cdef View view
        cdef bint is_dirty
        if self.dirty == NULL:
            return 0
        self.look(&view)
        view.hasher.done = 0
        with nogil:
            is_dirty = any_dirty(view.dirty, 0, width(view.depth))
            if is_dirty:
                open_hasher(&view.hasher)
                if not view.hasher.failed:
                    hash_dirty(&view, &view.everything, 0, 0)
        if is_dirty:
            check_hashed(&view.hasher)
        self.hashes += view.hasher.done
        PyMem_RawFree(self.dirty)
        self.dirty = NULL
        return 0

    cdef bytes digest_below(self, const uint8_t *path, int level):
        """Of a clean tree."""
        cdef unsigned char into[DIGEST]
        cdef View view
        cdef Range range_
        if self.nodes == NULL:
            return b""
        self.look(&view)
        if level <= self.depth:
            memcpy(into, self.nodes + DIGEST * node_at(path, level), DIGEST)
        else:
            with nogil:
                open_hasher(&view.hasher)
                if not view.hasher.failed:
                    range_ = range_below(&view, path, level)
                    subtree_digest(&view, &range_, level, into)
            check_hashed(&view.hasher)
            self.hashes += view.hasher.done
        return b"" if is_nothing(into) else <bytes> into[:DIGEST]

    cdef int children_below(self, const uint8_t *path, int level, unsigned char *children) except -1:
        """Of a clean tree."""
        cdef View view
        cdef Range range_
        if self.nodes == NULL:
            memset(children, 0, FAN_OUT * DIGEST)
            return 0
        if level < self.depth:
            memcpy(children, self.nodes + DIGEST * (FAN_OUT * node_at(path, level) + 1), FAN_OUT * DIGEST)
            return 0
        self.look(&view)
        with nogil:
            open_hasher(&view.hasher)
            if not view.hasher.failed:
                range_ = range_below(&view, path, level)
                children_digests(&view, &range_, level, children)
        check_hashed(&view.hasher)
        self.hashes += view.hasher.done
        return 0

    cdef int compact_now(self) except -1:
        self.merge()
        self.fit(True)
        PyMem_RawFree(self.amended)
        PyMem_RawFree(self.kinds)
        self.amended = NULL
        self.kinds = NULL
        self.room = 0
        return 0

    cdef WindowTree copy(self):
        cdef WindowTree made = tree_of(self.shape, self.window)
        cdef size_t size = DIGEST * nodes_above(self.depth + 1)
        if self.amendments:
            made.amended = raw(RECORD * self.amendments)
            made.kinds = <uint8_t *> raw(self.amendments)
            memcpy(made.amended, self.amended, RECORD * self.amendments)
            memcpy(made.kinds, self.kinds, self.amendments)
            made.amendments = made.room = self.amendments
        if self.borrowed_nodes is not None:
            made.borrowed_nodes = self.borrowed_nodes
            made.nodes = self.nodes
        elif self.nodes != NULL:
            made.nodes = raw(size)
            memcpy(made.nodes, self.nodes, size)
        made.depth = self.depth
        if self.dirty != NULL:
            made.dirty = <uint64_t *> raw(8 * dirty_words(self.depth))
            memcpy(made.dirty, self.dirty, 8 * dirty_words(self.depth))
        made.base = self.base
        made.middle = self.middle
        made.count = self.count
        made.hashes = self.hashes
        made.changes = self.changes
        return made
