# Part of merkle_forest.pyx: the forest of a replica whose rows are kept elsewhere.


@cython.final
cdef class ForestCore:
    """A replica's forest, as a state machine without input or output. It follows rows that are kept elsewhere.

    The node says what happens to a row, with the version in which it was held before, and makes durable together: the
    row, and that the windows are dirty that the call names. A call names those that were clean until then. Whatever is
    wrong with a call raises and changes nothing.

    It may be used from many threads at once. Hashing is done without the interpreter's lock, and while one window is
    hashed all others can be changed.

    :param shape: the setting (rule MERKLE_FOREST.R7).
    :param grace_ms: how long after its end a window is sealed, in ms.
    :param stable: the stable time S: versions up to it are shown (rule MERKLE_FOREST.R2).
    :param floor: the floor at which the replica has settled, or 0.
    :param trees: what is shown: a tree for each window that has entries. They belong to the forest from now on.
    :param told: the digest of each window that has one.
    :param dirty: the windows whose digests may lag behind.
    :param amendments: how often each sealed window was changed.
    :param waiting: (record, version) of each row that is held in a version above S: how it is held, and what is shown
        of it meanwhile, 0 if nothing is.
    :param max_waiting: how many rows may wait. Each takes some 90 bytes; with more, a row that would have to wait is
        refused (:class:`TooManyWaitingError`), because the stable time does not follow the clock any more.
    :raises CallerError: if these do not fit together.
    :raises ConfigurationError: if a length of time or a bound is out of range.
    """

    def __cinit__(
        self, shape, *, grace_ms=600_000, stable=0, floor=0, trees=None, told=None, dirty=(), amendments=None,
        waiting=(), max_waiting=1_000_000,
    ):
        cdef Version older
        self.gate = PyThread_allocate_lock()
        if self.gate == NULL:
            raise MemoryError
        check_is(shape, Shape, "shape")
        self.shape = shape
        self.grace_ms = check_number("grace_ms", grace_ms, 0, MAX_NUMBER)
        self.max_waiting = check_number("max_waiting", max_waiting, 1, MOST_WAITING)
        read_version(stable, "stable", 0, &self.stable_at)
        read_version(floor, "floor", 0, &self.floor_at)
        self.trees = dict(trees or {})
        self.digests = dict(told or {})
        self.dirty_windows = set(dirty)
        self.amendment_counts = dict(amendments or {})
        self.waiting_rows = WaitingTable()
        self.fresh = set()
        self.snapshots = []
        self.check_restored()
        for record, version in waiting:
            read_version(version, "version", 0, &older)
            self.restore_waiting(record, older)
        for tree in self.trees.values():
            (<WindowTree> tree).is_owned = True

    def __dealloc__(self):
        if self.gate != NULL:
            PyThread_free_lock(self.gate)

    # Rows.

    def follow(self, bytes record not None, before=0):
        """A row is held in another version now (rule MERKLE_FOREST.R1): the windows that became dirty by it, ascending.

        :param record: how it is held, as :func:`entry_of` makes it.
        :param before: the version in which it was held; 0 if it was not.
        :raises CallerError: if it was not held in that version, as far as the forest knows.
        :raises TooManyWaitingError: if the row would have to wait, and as many do as may.
        """
        cdef const unsigned char *new = record_of(record)
        cdef Version at = version_at(new), was
        cdef Waiting *slot
        cdef set touched = set()
        read_version(before, "before", 0, &was)
        if below(at, was):
            raise CallerError(
                f"a row in version {number_of(at)}, and before that {number_of(was)}: what is held only becomes newer"
            )
        self.enter()
        try:
            slot = self.waiting_as(new, was)
            if slot != NULL:
                self.waiting_rows.renew(slot, new)
                return ()
            if not self.shows(new, was):
                was = NEVER
            if waits(at, self.stable_at):
                if self.waiting_rows.count >= self.max_waiting:
                    raise TooManyWaitingError(self.max_waiting)
                self.waiting_rows.add(new, was)
                return ()
            self.check_new(new, was)
            if is_purged(self.floor_at, new):
                self.change(new, was, NULL, touched)
            else:
                self.change(new, was, new, touched)
            return self.changed(touched)
        finally:
            self.leave()

    def advance(self, stable):
        """The stable time rises (rule MERKLE_FOREST.R2); nothing happens if it is not above the last one.

        It costs what begins to be shown by it. Should memory run out meanwhile, call again.

        :returns: the windows that became dirty by it, ascending.
        :raises CallerError: if it is no version.
        """
        cdef Version at
        cdef Waiting *slot
        cdef const unsigned char *shown_now
        cdef set touched = set()
        read_version(stable, "stable", 1, &at)
        self.enter()
        try:
            if below(at, self.stable_at):
                return ()
            self.stable_at = at
            slot = self.waiting_rows.first()
            while slot != NULL and not waits(version_at(slot.newer), at):
                shown_now = NULL if is_purged(self.floor_at, slot.newer) else slot.newer
                self.change(slot.newer, slot.older, shown_now, touched)
                self.waiting_rows.remove(slot)
                slot = self.waiting_rows.first()
            return self.changed(touched)
        finally:
            self.leave()

    def settle(self, floor):
        """The replica has settled at a floor (rule MERKLE_FOREST.R8); nothing happens if it is not above the last one.

        Tombstones at or below it are taken out, and entries at or below it whose rows are held in newer versions. It
        looks at all windows up to that of the floor, from that of the last one on. Should memory run out meanwhile,
        call again.

        :returns: the windows that became dirty by it, ascending.
        :raises CallerError: if it is no version.
        """
        cdef Version at
        cdef Waiting *slot
        cdef WindowTree tree
        cdef uint32_t number
        cdef int64_t first, last
        cdef set touched = set()
        read_version(floor, "floor", 1, &at)
        self.enter()
        try:
            if not below(self.floor_at, at):
                return ()
            for number in range(self.waiting_rows.count):
                slot = &self.waiting_rows.slots[number]
                if not same(slot.older, NEVER) and is_taken_out(at, slot.older, False, True):
                    self.change(slot.newer, slot.older, NULL, touched)
                    slot.older = NEVER
            first, last = window_of(self.shape, self.floor_at), window_of(self.shape, at)
            for window in sorted(self.trees):
                if first <= window <= last and has_purged(self.trees[window], at):
                    self.note(window, touched)
                    tree = self.writable(window)
                    tree.enter()
                    try:
                        take_out(tree, at)
                    finally:
                        tree.leave()
            self.floor_at = at
            return self.changed(touched)
        finally:
            self.leave()

    def meet_entry(self, bytes record not None, held):
        """Another replica showed this entry of a row of which nothing is missing here (rule MERKLE_FOREST.R14).

        If the row waits, the entry is at most S and above the floor, and newer than what is shown, it is taken over.
        Otherwise nothing happens.

        :param record: the entry.
        :param held: the version in which the row is held here; 0 if it is not.
        :returns: the windows that became dirty by it, ascending.
        :raises CallerError: if the row is not held in that version, as far as the forest knows.
        """
        cdef const unsigned char *new = record_of(record)
        cdef Version at
        read_version(held, "held", 0, &at)
        self.enter()
        try:
            return self.meet(new, self.waiting_as(new, at))
        finally:
            self.leave()

    def entry(self, bytes place not None, held):
        """What is shown of a row: its record; ``None`` if nothing is (rule MERKLE_FOREST.R1).

        :param place: as :func:`place_of` says.
        :param held: the version in which the row is held; 0 if it is not.
        :raises CallerError: if the row is not held in that version, as far as the forest knows.
        """
        cdef const unsigned char *start = place_at(place)
        cdef unsigned char found[RECORD]
        cdef Version at
        cdef Waiting *slot
        read_version(held, "held", 0, &at)
        self.enter()
        try:
            slot = self.waiting_as(start, at)
            if slot != NULL:
                at = slot.older
            elif not self.shows(start, at):
                return None
            return <bytes> found[:RECORD] if self.find_in(start, at, found) else None
        finally:
            self.leave()

    # Digests.

    def rehash(self, window):
        """Hash a window anew if it is dirty: whether it was. The digest is to be made durable."""
        return self.rehash_window(whole(window, "window", 0, MAX_NUMBER))

    def clean(self, threads=1):
        """Hash all dirty windows anew: (window, digest) of each, ascending; nothing for one that is empty now.

        A digest is durable after the rows that the forest follows by now, and not at all if its window was named as
        dirty again before that (rule MERKLE_FOREST.R10).

        :param threads: how many hash at once, different windows: pass what the node may use.
        :raises CallerError: if it is not at least 1.
        """
        cdef list left = sorted(self.dirty_windows, reverse=True), done = []
        whole(threads, "threads", 1, MAX_NUMBER)
        if threads == 1 or len(left) < 2:
            _hash_all(self, left, done)
        else:
            with ThreadPoolExecutor(min(threads, len(left))) as pool:
                for running in [pool.submit(_hash_all, self, left, done) for _ in range(min(threads, len(left)))]:
                    running.result()
        return [(window, self.digests.get(window, b"")) for window in sorted(done)]

    def snapshot(self):
        """What is shown now, each window with its digest: windows that are dirty are hashed, and what would change the
        forest waits for that. So :meth:`clean` it before; what is dirty by then is little.

        See :class:`Snapshot`. Nothing is copied but two lists of windows.
        """
        cdef Snapshot made = Snapshot.__new__(Snapshot)
        self.enter()
        try:
            for window in sorted(self.dirty_windows):
                self.hash_inside(window)
            self.snapshots = [one for one in self.snapshots if one() is not None]
            self.epoch += 1
            made.shape, made.stable_at, made.floor_at = self.shape, self.stable_at, self.floor_at
            made.digests, made.trees, made.epoch = dict(self.digests), dict(self.trees), self.epoch
            self.snapshots.append(ref(made))
            return made
        finally:
            self.leave()

    def reshape(self, shape):
        """The same entries in another setting, all windows anew (rule MERKLE_FOREST.R7): the dirty ones, all of them.

        What was sealed is sealed by the new windows' ends, and its count begins at 0. For a while there are two copies
        of all records. Under another encoding rows have other digests: follow all rows with a new forest then.

        :raises CallerError: if its number is not above the last one: a setting never comes back.
        """
        cdef dict trees
        check_is(shape, Shape, "shape")
        self.enter()
        try:
            if shape.number <= self.shape.number:
                raise CallerError(
                    f"setting {shape.number} is not above {self.shape.number}: a setting never comes back"
                )
            trees = regrouped(self.trees, shape)
            for tree in trees.values():
                (<WindowTree> tree).is_owned = True
                (<WindowTree> tree).epoch = self.epoch
            self.shape, self.trees, self.digests, self.amendment_counts = shape, trees, {}, {}
            self.dirty_windows = set(trees)
            self.fresh.clear()
            return tuple(sorted(trees))
        finally:
            self.leave()

    # Looking at it.

    @property
    def stable(self):
        """The stable time, a 128-bit number."""
        return number_of(self.stable_at)

    @property
    def floor(self):
        """The floor, a 128-bit number."""
        return number_of(self.floor_at)

    @property
    def windows(self):
        """The numbers of the windows that have entries, ascending."""
        return sorted([window for window, tree in list(self.trees.items()) if len(tree)])

    @property
    def dirty(self):
        """The windows whose digests may lag behind their rows (rule MERKLE_FOREST.R10)."""
        return frozenset(self.dirty_windows)

    @property
    def amendments(self):
        """(window, how often it was changed since it was sealed) of each that was, ascending (MERKLE_FOREST.R9)."""
        return tuple(sorted(self.amendment_counts.items()))

    @property
    def waiting(self):
        """How many rows wait: their versions are above the stable time."""
        return self.waiting_rows.count

    def waiting_in_order(self):
        """(record, version) of each row that waits, by place: how it is held, and what is shown of it, or 0."""
        cdef list found = []
        cdef Waiting *slot
        cdef uint32_t number
        self.enter()
        try:
            for number in range(self.waiting_rows.count):
                slot = &self.waiting_rows.slots[number]
                found.append((<bytes> slot.newer[:RECORD], number_of(slot.older)))
        finally:
            self.leave()
        return sorted(found)

    def __len__(self):
        """How many entries are shown."""
        return sum([len(tree) for tree in list(self.trees.values())])

    def tree(self, window):
        """The tree of a window; ``None`` if it has none. It belongs to the forest: look at it only."""
        return self.trees.get(window)

    def told(self):
        """Each window and its digest as it was hashed last, ascending, packed: 8 bytes of the number, 32 of the digest.

        This is what is durable. What may be told to another replica is in a :meth:`snapshot` (MERKLE_FOREST.R10).
        """
        self.enter()
        try:
            return packed_digests(self.digests)
        finally:
            self.leave()

    def is_sealed(self, window):
        """Whether this replica has sealed a window (rule MERKLE_FOREST.R9)."""
        return is_sealed(self.shape, whole(window, "window", 0, MAX_NUMBER), self.stable_at, self.grace_ms)

    # How it is done: each of these is called by who is in.

    cdef int enter(self) except -1:
        return take_gate(self.gate)

    cdef void leave(self) noexcept:
        PyThread_release_lock(self.gate)

    cdef Waiting *waiting_as(self, const unsigned char *place, Version held) except? NULL:
        """The row if it waits, or NULL; CallerError if it is not held in this version.

        A tombstone at or below the floor may be purged while it waits, if the floor is above the stable time: the
        row is absent then, and waits no more.
        """
        cdef Waiting *slot = self.waiting_rows.find(place)
        if slot != NULL and same(held, NEVER) and same(slot.older, NEVER) and is_purged(self.floor_at, slot.newer):
            self.waiting_rows.remove(slot)
            return NULL
        if slot == NULL:
            if waits(held, self.stable_at):
                raise CallerError(
                    f"place {hexadecimal(place)} is said to be held in version {number_of(held)}, above the "
                    f"stable time {self.stable}, and does not wait: the forest was not told of that version"
                )
        elif not same(version_at(slot.newer), held):
            raise CallerError(
                f"place {hexadecimal(place)} is said to be held in version {number_of(held)}, and waits in "
                f"{number_of(version_at(slot.newer))}: pass the version in which the row was held"
            )
        return slot

    cdef tuple meet(self, const unsigned char *new, Waiting *slot):
        """Take an entry over (rule MERKLE_FOREST.R14) of a row that waits, or does not: then it is NULL."""
        cdef unsigned char old[RECORD]
        cdef set touched = set()
        if slot == NULL or waits(version_at(new), self.stable_at) or not takes_over(self.floor_at, new):
            return ()
        if self.find_in(new, slot.older, old) and not is_newer(new, old):
            return ()
        self.change(new, slot.older, new, touched)
        slot.older = version_at(new)
        return self.changed(touched)

    cdef bint find_in(self, const unsigned char *place, Version version, unsigned char *into) except -1:
        """What the window of a version shows of a row, in whatever version: whether it shows any."""
        cdef WindowTree tree
        cdef const unsigned char *found
        if same(version, NEVER):
            return False
        tree = self.trees.get(window_of(self.shape, version))
        if tree is None:
            return False
        tree.enter()
        found = tree.find(place)
        if found != NULL:
            memcpy(into, found, RECORD)  # Where it is now is good only for who is in.
        tree.leave()
        return found != NULL

    cdef bint shows(self, const unsigned char *place, Version version) except -1:
        """Whether this version of a row that does not wait is shown; CallerError if it is not held in this version.

        A tombstone that is purged is not shown, and nothing else at or below the stable time is missing.
        """
        cdef unsigned char found[RECORD]
        if not self.find_in(place, version, found):
            if below(self.floor_at, version):
                raise CallerError(
                    f"place {hexadecimal(place)} is said to be held in version {number_of(version)}, and no entry is "
                    f"shown of it: the forest was not told of that version"
                )
            return False
        if not same(version_at(found), version):
            raise CallerError(
                f"place {hexadecimal(place)} is said to be held in version {number_of(version)}, and shown in "
                f"{number_of(version_at(found))}: pass the version in which the row was held"
            )
        return True

    cdef int check_new(self, const unsigned char *record, Version older) except -1:
        """A window does not show a row already that is said to be shown elsewhere, or nowhere."""
        cdef unsigned char found[RECORD]
        if self.find_in(record, version_at(record), found) and not same(version_at(found), older):
            raise CallerError(
                f"place {hexadecimal(record)} is shown in version {number_of(version_at(found))}, and said not to be: "
                f"pass the version in which the row was held"
            )
        return 0

    cdef WindowTree writable(self, int64_t window):
        """The tree of a window for changes; a snapshot that has it keeps it as it is."""
        cdef WindowTree tree = self.trees.get(window)
        if tree is None:
            tree = tree_of(self.shape, window)
        elif tree.epoch == self.epoch:
            return tree
        elif self.is_kept(tree.epoch):
            tree = tree.clone()
        tree.is_owned = True
        tree.epoch = self.epoch
        self.trees[window] = tree
        return tree

    cdef bint is_kept(self, int64_t epoch) except -1:
        """Whether a snapshot is still there that was made after this one."""
        for one in self.snapshots:
            snapshot = one()
            if snapshot is not None and (<Snapshot> snapshot).epoch > epoch:
                return True
        return False

    cdef int change(
        self, const unsigned char *place, Version older, const unsigned char *record, set touched
    ) except -1:
        """What is shown of a row becomes this record, or nothing; ``older`` is the version that was shown, or 0.

        Either all of it happens or, with an exception, nothing: in one step the row leaves the old window and enters
        the new one (rule MERKLE_FOREST.R3).
        """
        cdef WindowTree out = None, into = None
        cdef int64_t old = NONE if same(older, NEVER) else window_of(self.shape, older)
        cdef int64_t new = NONE if record == NULL else window_of(self.shape, version_at(record))
        cdef unsigned char found[RECORD]
        if new != NONE and self.find_in(record, version_at(record), found) and memcmp(found, record, RECORD) == 0:
            return 0
        if old != NONE:
            self.note(old, touched)
            if old != new:
                out = self.writable(old)
        if new != NONE:
            self.note(new, touched)
            into = self.writable(new)
        # Nobody but who is in here waits for a tree while holding another one.
        if out is not None:
            out.enter()
        try:
            if out is not None:
                out.make_ready()
            if into is not None:
                into.enter()
                try:
                    into.make_ready()
                    into.store(record)
                finally:
                    into.leave()
            if out is not None:
                out.erase(place)
        finally:
            if out is not None:
                out.leave()
        return 0

    cdef int note(self, int64_t window, set touched) except -1:
        """A window is about to change, and is dirty from now on; ``touched`` has those of this step."""
        if window not in self.dirty_windows:
            self.fresh.add(window)
            self.dirty_windows.add(window)
        touched.add(window)
        return 0

    cdef tuple changed(self, set touched):
        """At the end of a step: count amendments (rule MERKLE_FOREST.R9), and say what became dirty by it.

        By it, or by steps before it that failed: nobody has heard of these.
        """
        cdef tuple fresh
        for window in touched:
            if is_sealed(self.shape, window, self.stable_at, self.grace_ms):
                self.amendment_counts[window] = self.amendment_counts.get(window, 0) + 1
        if not self.fresh:
            return ()
        fresh = tuple(sorted(self.fresh))
        self.fresh.clear()
        return fresh

    cdef bint rehash_window(self, int64_t window) except -1:
        """Hash a dirty window while others change; once more, and quickly, if it changed itself meanwhile."""
        cdef WindowTree tree
        self.enter()
        try:
            if window not in self.dirty_windows:
                return False
            tree = self.trees.get(window)
        finally:
            self.leave()
        if tree is not None:
            tree.digest()
        self.enter()
        try:
            self.hash_inside(window)
        finally:
            self.leave()
        return True

    cdef int hash_inside(self, int64_t window) except -1:
        """Its digest is told from now on; nobody changes it meanwhile."""
        cdef WindowTree tree = self.trees.get(window)
        digest = b"" if tree is None else tree.window_digest()
        if digest:
            self.digests[window] = digest
        else:
            self.digests.pop(window, None)
            self.trees.pop(window, None)
        self.dirty_windows.discard(window)
        self.fresh.discard(window)
        return 0

    cdef int restore_waiting(self, record, Version older) except -1:
        cdef const unsigned char *newer
        check_is(record, bytes, "record")
        newer = record_of(record)
        if not waits(version_at(newer), self.stable_at) or waits(older, self.stable_at):
            raise CallerError(
                f"a row waits in version {number_of(version_at(newer))} and is shown in {number_of(older)}, at the "
                f"stable time {self.stable}: one must be above it, and the other not"
            )
        if self.waiting_rows.find(newer) != NULL:
            raise CallerError(f"place {hexadecimal(newer)} waits twice: a row is held once")
        if not same(older, NEVER) and not self.shows(newer, older):
            raise CallerError(f"place {hexadecimal(newer)} waits, and no entry is shown of it: pass 0")
        if self.waiting_rows.count >= self.max_waiting:
            raise TooManyWaitingError(self.max_waiting)
        return self.waiting_rows.add(newer, older)

    cdef int check_restored(self) except -1:
        """Trees, digests and counts are what they must be."""
        for window, tree in self.trees.items():
            check_is(tree, WindowTree, "tree")
            if (<WindowTree> tree).is_owned:
                raise CallerError(f"window {window} belongs to another forest: pass a clone() of it")
            if (<WindowTree> tree).window != window or (<WindowTree> tree).shape != self.shape:
                raise CallerError(
                    f"the tree of window {window} is of window {(<WindowTree> tree).window}, in "
                    f"{(<WindowTree> tree).shape}: both must be the forest's"
                )
        for window, digest in self.digests.items():
            whole(window, "window", 0, MAX_NUMBER)
            if type(digest) is not bytes or len(digest) != DIGEST:
                raise CallerError(f"digest {shown(digest)} of window {window}: it must have {DIGEST} bytes")
        for window in self.dirty_windows:
            whole(window, "window", 0, MAX_NUMBER)
        for window in self.trees.keys() ^ self.digests.keys():
            if window not in self.dirty_windows:
                raise CallerError(f"window {window} has a tree or a digest alone, and is not dirty: name it in dirty")
        for window, count in self.amendment_counts.items():
            whole(window, "window", 0, MAX_NUMBER)
            whole(count, "amendments", 1, MAX_NUMBER)
        return 0
