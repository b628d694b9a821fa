# Part of merkle_forest_exchange.pyx: what both sides stand beside, and the side that answers.

cdef Py_ssize_t AT_ONCE = 256       # rows are asked of their keeper


@cython.no_gc_clear
cdef class Side:
    """A replica's forest, and what holds its rows."""

    def __cinit__(self, forest, rows, bounds=None, **_):
        check_is(forest, ForestCore, "forest")
        self.forest = forest
        self.rows = rows
        self.bounds = Bounds() if bounds is None else bounds
        self.untold = []

    cdef int enter(self) except -1:
        """A step begins. Whoever holds the rows is asked within it, and other threads may run meanwhile."""
        if self.is_busy:
            raise CallerError("a step of this exchange is under way: take one after the other")
        self.is_busy = True
        return 0

    cdef Version closed(self) except *:
        """The floor that this replica has closed."""
        cdef Version closed
        read_version(self.rows.closed, "closed", 0, &closed)
        return closed

    cdef bytes versions(self, bytes places):
        """The versions in which rows are held, packed; 0 of one that is absent."""
        cdef object versions = self.rows.versions(places)
        if type(versions) is not bytes or len(versions) != len(places):
            raise CallerError(f"versions {shown(versions)}: rows.versions() must give 16 bytes for each place")
        return versions

    cdef list held(self, bytes places):
        """How rows are held: a :class:`Row` each, nothing for one that is absent."""
        cdef list rows = list(self.rows.held(places))
        if len(rows) != len(places) // PLACE:
            raise CallerError(f"{len(rows)} rows: rows.held() must give one, or None, for each place")
        for row in rows:
            if row is not None:
                check_is(row, Row, "row")
        return rows

    cdef Version effective(self, const unsigned char *version) noexcept:
        """As what a query is told of a row: absent is deleted at the floor (rule HANDOFF.R11)."""
        cdef Version held = version_in(version)
        return held if held.high | held.low else self.forest.floor_at

    cdef Snapshot show(self, Version stable, list out):
        """What is shown at that stable time or a later one, no window dirty (MERKLE_FOREST.R10, MERKLE_FOREST.R12)."""
        cdef tuple windows
        cdef list digests
        if below(self.forest.stable_at, stable):
            windows = self.forest.advance(number_of(stable))
            out.append(amended(windows))
        digests = self.forest.clean()
        if digests:
            out.append(Hashed(digests))
        return self.forest.snapshot()

    cdef bint is_still_shown(self, WindowTree tree, const unsigned char *record) except -1:
        """Whether an entry that was shown of a window is shown still, and its row does not wait: then it is held so.

        Most entries are, and who holds the rows need not be asked (rule MERKLE_FOREST.R1).
        """
        cdef unsigned char found[RECORD]
        self.forest.enter()
        try:
            if self.forest.waiting_rows.find(record) != NULL:
                return False
            if self.forest.trees.get(tree.window) is tree:
                return True
            return self.forest.find_in(record, version_at(record), found) and memcmp(found, record, RECORD) == 0
        finally:
            self.forest.leave()

    cdef int meet(self, list entries, list out) except -1:
        """Take each row that is newer than what is here; else take over the entry alone (rule MERKLE_FOREST.R14).

        ``entries`` are (record, Row or None) pairs, in the order in which they are to be met.
        """
        cdef list sent = [pair for pair in entries if pair[1] is not None], taken = []
        cdef bytes versions, record
        cdef const unsigned char *at
        cdef Version shown
        cdef Row row
        cdef set windows = set()
        cdef bint is_met = False
        if sent:
            versions = self.versions(b"".join([pair[0][:PLACE] for pair in sent]))
            at = <const unsigned char *> PyBytes_AS_STRING(versions)
            for record, row in sent:
                shown = version_at(<const unsigned char *> PyBytes_AS_STRING(record))
                if not below(shown, self.effective(at)) and not below(row.held.at, shown):
                    taken.append(row)
                at += 16
        try:
            if taken:
                is_met = True
                windows.update(self.rows.merge(taken))
            for record, row in entries:
                if self.meet_waiting(<const unsigned char *> PyBytes_AS_STRING(record), windows):
                    is_met = True
        finally:
            if is_met:
                out.append(amended(tuple(sorted(windows))))
        return 0

    cdef bint meet_waiting(self, const unsigned char *record, set windows) except -1:
        """Take an entry over if its row waits, in whatever version by now: whether it does."""
        cdef Waiting *slot
        self.forest.enter()
        try:
            slot = self.forest.waiting_rows.find(record)
            windows.update(self.forest.meet(record, slot))
            return slot != NULL
        finally:
            self.forest.leave()


cdef inline Version version_in(const unsigned char *packed) noexcept nogil:
    cdef Version version
    version.high = load_word(packed)
    version.low = load_word(packed + 8)
    return version


cdef Amended amended(tuple windows):
    cdef Amended made = Amended.__new__(Amended)
    made.windows = windows
    return made


cdef inline Py_ssize_t size_of_row(Row row) noexcept:
    """Bytes of a row in a message: its entry or place, its key and its value."""
    if row is None:
        return RECORD
    return RECORD + PyBytes_GET_SIZE(row.key) + (0 if row.held.value is None else PyBytes_GET_SIZE(row.held.value))


cdef inline int64_t size_of_node(object node, bint in_full) except -1:
    """Bytes of a node in a message: its children's digests as they are told, or its entries."""
    cdef int64_t size = 0
    if type(node) is Leaf:
        return PyBytes_GET_SIZE((<Leaf> node).records)
    for child in (<Inner> node).children:
        size += (DIGEST if in_full else SHORT) if child else 0
    return size


cdef Leaf NOTHING_THERE = Leaf(b"")


@cython.final
cdef class Answering:
    """An exchange at the side that answers: what it showed, and the floor that it had closed."""


@cython.final
cdef class ExchangeAnswerer(Side):
    """Answers the questions of other replicas. All that it keeps is volatile: what it showed when each exchange began.

    :param forest: the replica's :class:`scratchbird.merkle_forest.ForestCore`.
    :param rows: what holds its rows, see ``Store`` in the stub of this module.
    :param most_exchanges: whose snapshots are kept; with one more the oldest is forgotten, and refused.
    :param bounds: what one answer holds.
    :raises CallerError: if the forest is none.
    :raises ConfigurationError: if ``most_exchanges`` is no whole number above 0.
    """

    def __cinit__(self, forest, rows, bounds=None, *, most_exchanges=4):
        self.most_exchanges = check_number("most_exchanges", most_exchanges, 1, MAX_NUMBER)
        self.exchanges = {}

    def step(self, question):
        """Answer a question: a tuple of effects, :class:`Tell` being the last of them.

        :raises CallerError: if it is no question, another step is under way, or ``rows`` gave what it must not. Nothing
            is lost by that: what was amended by then is told of by the next step.
        """
        cdef list out
        cdef Message reply
        cdef Tell tell = Tell.__new__(Tell)
        with cython.critical_section(self):
            self.enter()
            out, self.untold = self.untold, []
            try:
                reply = self.answer(question, out)
            except BaseException:
                self.untold = out  # What was amended must be durable before anybody is told so.
                raise
            finally:
                self.is_busy = False
        tell.reply = reply
        out.append(tell)
        return tuple(out)

    def crash(self):
        """Forget what is volatile: all of it."""
        with cython.critical_section(self):
            self.enter()
            self.exchanges.clear()
            self.untold = []
            self.is_busy = False

    @property
    def open_exchanges(self):
        """The numbers of those that are open, the newest last."""
        return tuple(self.exchanges)

    cdef Message answer(self, object question, list out):
        cdef object kind = type(question)
        cdef Answering kept
        if kind not in (Open, AskWindows, AskNodes, AskRows, Give):
            raise CallerError(f"{shown(question)} is no question of an exchange: pass one of this module's")
        kept = self.exchanges.get(question.exchange)
        if kept is None and kind is Open:
            return self.open(question, out)
        if kept is None:
            return refused(
                question, f"exchange {question.exchange} is not open here: it was too long ago, or before a restart"
            )
        if not same(self.closed(), kept.closed_at):
            return refused(question, CLOSED_SINCE)
        if kept.snapshot.shape != self.forest.shape:
            return refused(question, RESHAPED_SINCE)
        if kind is Open:
            return opened(question, kept.snapshot)  # A second time: what is shown stays the same.
        if kind is AskWindows:
            return self.windows(kept.snapshot, question)
        if kind is AskNodes:
            return self.nodes(kept.snapshot, question)
        if kind is AskRows:
            return self.rows_as_held(question)
        return self.give(question, out)

    cdef Message open(self, Open question, list out):
        """Why there can be no exchange, if so (MERKLE_FOREST.R7, MERKLE_FOREST.R8); else what is shown from now on."""
        cdef Answering kept = Answering.__new__(Answering)
        if question.shape != self.forest.shape:
            return refused(
                question,
                f"setting {question.shape.number} is not {self.forest.shape.number}: build the older forest anew",
            )
        if below(self.forest.floor_at, question.floor_at):
            return refused(
                question, f"floor {number_of(question.floor_at)} is not {self.forest.floor}: settle first"
            )
        kept.closed_at = self.closed()
        kept.snapshot = self.show(question.stable_at, out)
        self.exchanges[question.exchange] = kept
        while len(self.exchanges) > self.most_exchanges:
            del self.exchanges[next(iter(self.exchanges))]
        return opened(question, kept.snapshot)

    cdef Windows windows(self, Snapshot snapshot, AskWindows question):
        cdef bytes told = snapshot.told()
        cdef Py_ssize_t first = windows_until(told, question.after), later = len(told) // WINDOW - first
        cdef Py_ssize_t count = min(later, self.bounds.items, max(<int64_t> 1, self.bounds.size // WINDOW))
        return windows_of(question.exchange, told[WINDOW * first:WINDOW * (first + count)], later <= count)

    cdef Nodes nodes(self, Snapshot snapshot, AskNodes question):
        cdef Reader reader = reader_of(question.packed)
        cdef Writer writer = Writer.__new__(Writer)
        cdef Spot spot
        cdef int64_t asked = 0, told = 0, left = self.bounds.size, count = 0
        cdef list changed = []
        cdef WindowTree tree
        cdef object node
        while reader.at < reader.end and count < self.bounds.items:
            take_spot(&reader, &asked, &spot)
            tree = snapshot.tree(spot.window)
            node = NOTHING_THERE if tree is None else tree.node(digits_of(&spot))
            left -= size_of_node(node, question.in_full)
            if left < 0 and count:
                break
            put_spot(writer, &spot, &told)
            if type(node) is Inner:
                put_inner(writer, (<Inner> node).children, question.in_full)
            else:
                put_leaf(writer, spot.depth, (<Leaf> node).records)
                self.add_changed(tree, (<Leaf> node).records, changed)
            count += 1
        return nodes_of(question.exchange, count, writer.done(), self.newer(changed))

    cdef int add_changed(self, WindowTree tree, bytes records, list changed) except -1:
        """Those of these entries whose rows may be held in a newer version."""
        cdef const unsigned char *record = <const unsigned char *> PyBytes_AS_STRING(records)
        cdef Py_ssize_t index
        for index in range(PyBytes_GET_SIZE(records) // RECORD):
            if not self.is_still_shown(tree, record):
                changed.append(<bytes> record[:RECORD])
            record += RECORD
        return 0

    cdef bytes newer(self, list records):
        """Of these entries, those whose rows are held in a newer version: place and that version, by place."""
        cdef bytes versions, record
        cdef const unsigned char *held
        cdef Version version
        cdef dict found = {}
        cdef Writer writer
        if not records:
            return b""
        versions = self.versions(b"".join([record[:PLACE] for record in records]))
        held = <const unsigned char *> PyBytes_AS_STRING(versions)
        for record in records:
            version = self.effective(held)
            if below(version_at(<const unsigned char *> PyBytes_AS_STRING(record)), version):
                writer = Writer.__new__(Writer)
                put_bytes(writer, record[:PLACE])
                writer.version(version)
                found[record[:PLACE]] = writer.done()
            held += 16
        return b"".join([found[place] for place in sorted(found)])

    cdef Rows rows_as_held(self, AskRows question):
        cdef Py_ssize_t start, index = 0, most = min(self.bounds.items, <int64_t> len(question.packed) // PLACE)
        cdef int64_t left = self.bounds.size
        cdef list out = []
        cdef bytes places
        cdef Row row
        cdef Rows rows = Rows.__new__(Rows)
        for start in range(0, most, AT_ONCE):
            places = question.packed[PLACE * start:PLACE * min(start + AT_ONCE, most)]
            index = 0
            for row in self.held(places):
                if row is None:
                    row = row_of(places[PLACE * index:PLACE * (index + 1)], b"", NOTHING_HELD)
                index += 1
                left -= size_of_row(row)
                if left < 0 and out:
                    break
                out.append(row)
            if left < 0:
                break
        rows.exchange = question.exchange
        rows.rows = tuple(out)
        return rows

    cdef Took give(self, Give question, list out):
        cdef list given = list(question.given[:self.bounds.items])
        self.meet(given, out)
        return took_of(question.exchange, b"".join([pair[0][:PLACE] for pair in given]))


cdef Opened opened(Message question, Snapshot snapshot):
    cdef Opened made = Opened.__new__(Opened)
    made.exchange = question.exchange
    made.stable_at, made.floor_at = snapshot.stable_at, snapshot.floor_at
    return made


cdef Refused refused(Message question, str reason):
    cdef Refused made = Refused.__new__(Refused)
    made.exchange = question.exchange
    made.reason = reason
    return made


cdef Py_ssize_t windows_until(bytes told, int64_t after) noexcept:
    """How many of these windows are not after this one."""
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(told)
    cdef Py_ssize_t low = 0, high = PyBytes_GET_SIZE(told) // WINDOW, middle
    while low < high:
        middle = (low + high) // 2
        if <int64_t> load_word(start + WINDOW * middle) <= after:
            low = middle + 1
        else:
            high = middle
    return low


cdef bytes digits_of(Spot *spot):
    """The digits, one to a byte."""
    cdef unsigned char digits[DIGITS]
    cdef int index
    for index in range(spot.depth):
        digits[index] = digit_at(spot.digits, index)
    return digits[:spot.depth]
