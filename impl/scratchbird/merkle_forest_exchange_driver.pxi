# Part of merkle_forest_exchange.pyx: the side that drives an exchange. It asks, compares and decides.
#
# It ends: each node is asked for once, or once more in full, and below a node that is the same nothing is asked.


@cython.final
cdef class Driving:
    """One exchange, all of it volatile. What is left to do is done from the front."""


@cython.final
cdef class Heard:
    """What an answer brings, before any of it counts."""


@cython.final
cdef class ExchangeDriver(Side):
    """Drives exchanges with other replicas, one at a time. All that it keeps is volatile.

    :param forest: the replica's :class:`scratchbird.merkle_forest.ForestCore`.
    :param rows: what holds its rows, see ``Store`` in the stub of this module.
    :param bounds: what one question holds.
    :raises CallerError: if the forest is none.
    """

    def __cinit__(self, forest, rows, bounds=None):
        pass

    def step(self, event):
        """Take one step: a tuple of effects.

        :raises CallerError: if the event is impossible in this state, another step is under way, or ``rows`` gave what it
            must not. Nothing is lost by that: what was amended by then is told of by the next step, and ``Again``
            goes on.
        """
        cdef list out
        with cython.critical_section(self):
            self.enter()
            out, self.untold = self.untold, []
            try:
                self.take(event, out)
            except BaseException:
                self.untold = out  # What was amended must be durable before anybody is told so.
                raise
            finally:
                self.is_busy = False
        return tuple(out)

    def crash(self):
        """Forget what is volatile: the exchange that is under way has not succeeded."""
        with cython.critical_section(self):
            self.enter()
            self.driving = None
            self.untold = []
            self.is_busy = False

    @property
    def exchange(self):
        """The number of the exchange that is under way, or ``None``."""
        return None if self.driving is None else self.driving.exchange

    @property
    def left(self):
        """How much is known to be left to do: nodes to be asked for, rows to be moved, and the windows if not told."""
        cdef Driving it = self.driving
        if it is None:
            return 0
        return (not it.windows_done) + len(it.nodes) + len(it.in_full) + len(it.wanted) + len(it.giving)

    cdef int take(self, object event, list out) except -1:
        cdef object kind = type(event)
        cdef Driving it = self.driving
        cdef Message reply
        if kind not in (Begin, Deliver, Again, Stop):
            raise CallerError(f"{shown(event)} is no event of an exchange: pass one of this module's")
        if kind is Begin:
            if it is not None:
                raise CallerError(f"exchange {it.exchange} is under way: end it before another begins")
            self.driving = begun(event)
            return self.ask(out)
        if it is None:
            if kind is Deliver:
                return 0  # Of an exchange that has ended.
            raise CallerError(f"{kind.__name__} where no exchange is under way")
        if kind is Stop:
            return self.fail("it was stopped", out)
        if kind is Again:
            return self.ask(out)
        reply = (<Deliver> event).reply
        if reply.exchange != it.exchange:
            return 0
        if it.is_open and not same(self.closed(), it.closed_at):
            return self.fail(CLOSED_SINCE, out)
        if it.is_open and it.snapshot.shape != self.forest.shape:
            return self.fail(RESHAPED_SINCE, out)
        return self.deliver(reply, out)

    # What is to be asked.

    cdef int ask(self, list out) except -1:
        """The next question; the end, if nothing is left."""
        cdef Driving it = self.driving
        cdef Message question = self.question()
        cdef Ask ask
        cdef Succeeded done
        if question is not None:
            ask = Ask.__new__(Ask)
            ask.other = it.other
            ask.question = question
            out.append(ask)
            return 0
        if it.damaged:
            more = f", and {len(it.damaged) - 1} more" if len(it.damaged) > 1 else ""
            return self.fail(
                f"window {it.damaged[0]} of replica {it.other} has not the digest that is told of it{more}: build it "
                f"anew from its rows",
                out,
            )
        done = Succeeded.__new__(Succeeded)
        done.exchange, done.other, done.moved = it.exchange, it.other, it.moved
        done.stable_at, done.floor_at = it.stable_at, it.floor_at
        out.append(done)
        self.driving = None
        return 0

    cdef Message question(self):
        cdef Driving it = self.driving
        cdef AskWindows windows
        cdef Open open
        if not it.is_open:
            open = Open.__new__(Open)
            open.exchange, open.shape = it.exchange, self.forest.shape
            open.stable_at, open.floor_at = self.forest.stable_at, self.forest.floor_at
            return open
        if not it.windows_done:
            windows = AskWindows.__new__(AskWindows)
            windows.exchange, windows.after = it.exchange, it.after
            return windows
        if it.nodes:
            return ask_nodes(it.exchange, packed_spots(it.nodes, self.bounds.items), False)
        if it.in_full:
            return ask_nodes(it.exchange, packed_spots(it.in_full, self.bounds.items), True)
        if it.wanted:
            return ask_rows(it.exchange, b"".join(islice(it.wanted, self.bounds.items)))
        if it.giving:
            return self.give()
        return None

    cdef Give give(self):
        """The rows as they are held by now; without a row that was purged, or is not needed."""
        cdef Driving it = self.driving
        cdef list batch = list(islice(it.giving.items(), self.bounds.items)), out = [], asked
        cdef Py_ssize_t start
        cdef int64_t left = self.bounds.size
        cdef bytes place, record
        cdef dict rows
        cdef Row row
        cdef Give made = Give.__new__(Give)
        for start in range(0, len(batch), AT_ONCE):
            asked = [place for place, _ in batch[start:start + AT_ONCE] if place not in it.sent]
            rows = dict(zip(asked, self.held(b"".join(asked)), strict=True)) if asked else {}
            for place, record in batch[start:start + AT_ONCE]:
                row = rows.get(place)
                left -= size_of_row(row)
                if left < 0 and out:
                    break
                out.append((record, row))
            if left < 0:
                break
        made.exchange = it.exchange
        made.given = tuple(out)
        return made

    cdef int fail(self, str reason, list out) except -1:
        cdef Failed failed = Failed.__new__(Failed)
        failed.exchange, failed.other, failed.reason = self.driving.exchange, self.driving.other, reason
        out.append(failed)
        self.driving = None
        return 0

    # What was answered.

    cdef int deliver(self, Message reply, list out) except -1:
        cdef object kind = type(reply)
        if kind is Refused:
            return self.fail((<Refused> reply).reason, out)
        if kind is Opened and not self.driving.is_open:
            return self.opened(reply, out)
        if kind is Windows and self.driving.is_open and not self.driving.windows_done:
            return self.windows(reply, out)
        if kind is Nodes:
            return self.nodes(reply, out)
        if kind is Rows:
            return self.rows_came(reply, out)
        if kind is Took:
            return self.took(reply, out)
        return 0  # Said a second time.

    cdef int opened(self, Opened reply, list out) except -1:
        cdef Driving it = self.driving
        if not same(self.forest.floor_at, reply.floor_at):
            return self.fail(
                f"the other side has settled at {number_of(reply.floor_at)}, this one at {self.forest.floor}: settle "
                f"first",
                out,
            )
        it.closed_at = self.closed()
        it.snapshot = self.show(reply.stable_at, out)
        it.stable_at, it.floor_at = reply.stable_at, reply.floor_at
        it.is_open = True
        return self.ask(out)

    cdef int windows(self, Windows reply, list out) except -1:
        """When all are told: those that differ, also those that one side alone has (rule MERKLE_FOREST.R13)."""
        cdef Driving it = self.driving
        cdef bytes new = reply.packed[WINDOW * windows_until(reply.packed, it.after):]
        if new:
            it.theirs.append(new)
            it.after = <int64_t> load_word(<const unsigned char *> PyBytes_AS_STRING(new) + len(new) - WINDOW)
        if reply.last:
            it.windows_done = True
            it.told = windows_that_differ(it.snapshot.told(), b"".join(it.theirs))
            for window in it.told:
                self.add_node(it.nodes, top_of(window))
        return self.ask(out)

    cdef int nodes(self, Nodes reply, list out) except -1:
        cdef Driving it = self.driving
        cdef Heard heard = heard_from(reply)
        cdef Reader reader = reader_of(reply.packed)
        cdef const unsigned char *children[FAN_OUT]
        cdef Spot spot
        cdef int64_t window = 0, kind
        cdef WindowTree tree
        cdef bytes key, records
        while reader.at < reader.end:
            kind = take_node(&reader, &window, &spot, children)
            records = take_leaf(&reader, &spot, kind - LEAF) if kind >= LEAF else None
            key = key_of(&spot)
            if key not in it.nodes and key not in it.in_full:
                continue
            tree = it.snapshot.tree(spot.window)
            heard.done.append(key)
            if records is None:
                self.inner(heard, tree, &spot, key, children, kind == IN_FULL)
            else:
                self.leaf(heard, tree, &spot, key, records)
        self.look(heard, out)
        return self.ask(out)

    cdef int inner(
        self, Heard heard, WindowTree tree, Spot *spot, bytes key, const unsigned char **children, bint is_full
    ) except -1:
        """The children that differ are to be asked for, as this one was."""
        cdef Driving it = self.driving
        cdef bytes mine = NO_CHILDREN if tree is None else tree.child_digests(digits_of(spot))
        cdef const unsigned char *ours = <const unsigned char *> PyBytes_AS_STRING(mine)
        cdef bint in_full = key in it.in_full
        cdef int digit
        for digit in range(FAN_OUT):
            if not is_same(ours + DIGEST * digit, children[digit], DIGEST if is_full else SHORT, in_full):
                heard.below.append((child_of(spot, digit), in_full))
        heard.told.append((spot.window, key, mine))
        return 0

    cdef int leaf(self, Heard heard, WindowTree tree, Spot *spot, bytes key, bytes records) except -1:
        """Entry by entry, in the order of their places."""
        cdef bytes mine = b"" if tree is None else tree.under(digits_of(spot))
        cdef const unsigned char *ours = <const unsigned char *> PyBytes_AS_STRING(mine)
        cdef const unsigned char *theirs = <const unsigned char *> PyBytes_AS_STRING(records)
        cdef const unsigned char *our_end = ours + PyBytes_GET_SIZE(mine)
        cdef const unsigned char *their_end = theirs + PyBytes_GET_SIZE(records)
        cdef int order
        while ours < our_end or theirs < their_end:
            order = 1 if ours == our_end else -1 if theirs == their_end else memcmp(ours, theirs, PLACE)
            if order != 0 or memcmp(ours, theirs, RECORD) != 0:
                self.differ(heard, ours if order <= 0 else NULL, theirs if order >= 0 else NULL)
            if order <= 0:
                ours += RECORD
            if order >= 0:
                theirs += RECORD
        heard.told.append((spot.window, key, leaf_digest(records)))
        return 0

    cdef int differ(self, Heard heard, const unsigned char *ours, const unsigned char *theirs) except -1:
        """The newer one is what both are to end with (rule MERKLE_FOREST.R14).

        Should one version have two values, each side is sent the other's, and both keep the same.
        """
        cdef Driving it = self.driving
        cdef bytes place = <bytes> (ours if ours != NULL else theirs)[:PLACE], record, before
        cdef int order = -1 if ours == NULL else 1 if theirs == NULL else memcmp(ours + PLACE, theirs + PLACE, 16)
        if theirs != NULL:
            record = theirs[:RECORD]
            before = heard.shown.get(place, it.shown.get(place))
            if before is None or before < record:
                heard.shown[place] = record
            if it.wanted.get(place) == record:
                return 0  # It is being looked at a second time, in full.
        if ours != NULL and place in it.giving:
            return 0
        if order <= 0:
            heard.newer.append(record)
        if order >= 0:
            heard.giving[place] = <bytes> ours[:RECORD]
            before = heard.held.get(place)
            if before is not None and before > <bytes> ours[PLACE:PLACE + 16]:
                heard.sent.add(place)
        return 0

    cdef int look(self, Heard heard, list out) except -1:
        """What was heard counts: nothing of it does if an exception is raised."""
        cdef Driving it = self.driving
        cdef list met = [], wanted = []
        cdef bytes versions, record
        cdef const unsigned char *at
        if heard.newer:
            versions = self.versions(b"".join([record[:PLACE] for record in heard.newer]))
            at = <const unsigned char *> PyBytes_AS_STRING(versions)
            for record in heard.newer:
                if below(version_at(<const unsigned char *> PyBytes_AS_STRING(record)), self.effective(at)):
                    met.append((record, None))
                else:
                    wanted.append((record[:PLACE], record))
                at += 16
            self.meet(met, out)
        it.shown.update(heard.shown)
        it.wanted.update(wanted)
        it.giving.update(heard.giving)
        it.sent |= heard.sent
        for key, in_full in heard.below:
            self.add_node(it.in_full if in_full else it.nodes, key)
        windows = set()
        for key in heard.done:
            for queue in (it.nodes, it.in_full):
                if queue.pop(key, None) is not None:
                    it.left[window_in(key)] -= 1
            windows.add(window_in(key))
        for window, key, told in heard.told:
            it.heard.setdefault(window, {})[key] = told
        for window in sorted(windows):
            if not it.left[window]:
                self.confirm(window)
        if not it.nodes and not it.in_full:
            self.choose()
        return 0

    cdef int add_node(self, dict queue, bytes key) except -1:
        cdef Driving it = self.driving
        if key not in queue:
            queue[key] = True
            it.left[window_in(key)] = it.left.get(window_in(key), 0) + 1
        return 0

    cdef int confirm(self, int64_t window) except -1:
        """Whether all that differs in a window was found, though digests were short; else once more, in full.

        Rule MERKLE_FOREST.R19.
        """
        cdef Driving it = self.driving
        cdef bytes found = digest_as_heard(it.heard.pop(window), top_of(window))
        if window_digest(it.snapshot.shape, window, found) == it.told[window]:
            return 0
        if window in it.again:
            it.damaged.append(window)
            return 0
        it.again.add(window)
        return self.add_node(it.in_full, top_of(window))

    cdef int choose(self) except -1:
        """Of ours, what the other side does not show in a newer version, in this window or in another one.

        Rule MERKLE_FOREST.R14.
        """
        cdef Driving it = self.driving
        cdef bytes place, record, theirs
        for place, record in list(it.giving.items()):
            theirs = it.shown.get(place)
            if theirs is not None and memcmp(
                PyBytes_AS_STRING(record) + PLACE, PyBytes_AS_STRING(theirs) + PLACE, 16
            ) < 0:
                del it.giving[place]
        return 0

    cdef int rows_came(self, Rows reply, list out) except -1:
        cdef Driving it = self.driving
        cdef dict rows = {}
        cdef Row row
        for row in reply.rows:
            if row.place in it.wanted:
                rows[row.place] = row
        self.meet([(it.wanted[place], row) for place, row in rows.items()], out)
        for place in rows:
            del it.wanted[place]
        it.moved += len(rows)
        return self.ask(out)

    cdef int took(self, Took reply, list out) except -1:
        cdef Driving it = self.driving
        for place in places_in(reply.packed):
            if it.giving.pop(place, None) is not None:
                it.moved += place not in it.sent
        return self.ask(out)


cdef Driving begun(Begin event):
    cdef Driving it = Driving.__new__(Driving)
    it.exchange, it.other = event.exchange, event.other
    it.after = -1
    it.theirs, it.damaged, it.again, it.sent = [], [], set(), set()
    it.told, it.nodes, it.in_full, it.left, it.heard = {}, {}, {}, {}, {}
    it.shown, it.wanted, it.giving = {}, {}, {}
    return it


cdef Heard heard_from(Nodes reply):
    cdef Heard heard = Heard.__new__(Heard)
    cdef Py_ssize_t start
    heard.done, heard.below, heard.told = [], [], []
    heard.shown, heard.newer, heard.giving, heard.sent = {}, [], {}, set()
    heard.held = {
        reply.newer[start:start + PLACE]: reply.newer[start + PLACE:start + NEWER]
        for start in range(0, len(reply.newer), NEWER)
    }
    return heard


# --- places of nodes ----------------------------------------------------------------------------------------
# The key of one is its window, how many digits, and the digits, in 25 bytes.


cdef bytes key_of(Spot *spot):
    cdef unsigned char key[KEY]
    store_word(key, spot.window)
    key[8] = spot.depth
    memcpy(key + 9, spot.digits, PLACE)
    return key[:KEY]


cdef inline int64_t window_in(bytes key) noexcept:
    return <int64_t> load_word(<const unsigned char *> PyBytes_AS_STRING(key))


cdef bytes top_of(int64_t window):
    """The key of the top of a window's tree."""
    cdef Spot spot
    memset(&spot, 0, sizeof(Spot))
    spot.window = window
    return key_of(&spot)


cdef bytes child_of(Spot *spot, int digit):
    cdef Spot child = spot[0]
    child.digits[spot.depth >> 1] |= digit if spot.depth & 1 else digit << 4
    child.depth = spot.depth + 1
    return key_of(&child)


cdef int read_key(bytes key, Spot *spot) except -1:
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(key)
    spot.window = <int64_t> load_word(start)
    spot.depth = start[8]
    memcpy(spot.digits, start + 9, PLACE)
    return 0


cdef bytes packed_spots(dict keys, int64_t most):
    """The first of these, as a question names them."""
    cdef Writer writer = Writer.__new__(Writer)
    cdef Spot spot
    cdef int64_t window = 0
    for key in islice(keys, most):
        read_key(key, &spot)
        put_spot(writer, &spot, &window)
    return writer.done()


# --- comparing ----------------------------------------------------------------------------------------------


cdef bint is_same(const unsigned char *ours, const unsigned char *theirs, int told, bint in_full) noexcept nogil:
    """Whether a child of ours is as it is told: theirs has so many bytes, and is nowhere if it is empty.

    One that is told short says nothing where it was asked for in full.
    """
    cdef bint is_empty = (load_word(ours) | load_word(ours + 8) | load_word(ours + 16) | load_word(ours + 24)) == 0
    if is_empty or theirs == NULL:
        return is_empty and theirs == NULL
    return told == (DIGEST if in_full else SHORT) and memcmp(ours, theirs, told) == 0


cdef dict windows_that_differ(bytes mine, bytes theirs):
    """By window, ascending: the digest that the other side told, nothing if it told none. Both are packed, in order."""
    cdef const unsigned char *our = <const unsigned char *> PyBytes_AS_STRING(mine)
    cdef const unsigned char *their = <const unsigned char *> PyBytes_AS_STRING(theirs)
    cdef const unsigned char *our_end = our + PyBytes_GET_SIZE(mine)
    cdef const unsigned char *their_end = their + PyBytes_GET_SIZE(theirs)
    cdef dict differ = {}
    cdef int order
    if mine == theirs:
        return differ
    while our < our_end or their < their_end:
        order = 1 if our == our_end else -1 if their == their_end else memcmp(our, their, 8)
        if order < 0:
            differ[load_word(our)] = b""
        elif order > 0 or memcmp(our, their, WINDOW) != 0:
            differ[load_word(their)] = <bytes> their[8:WINDOW]
        if order <= 0:
            our += WINDOW
        if order >= 0:
            their += WINDOW
    return differ


cdef bytes digest_as_heard(dict heard, bytes key):
    """The digest of the other side's subtree: of what was heard, and of ours where they are the same."""
    cdef bytes told = heard[key], below
    cdef Spot spot
    cdef int digit
    cdef list children
    if len(told) != FAN_OUT * DIGEST:
        return told
    read_key(key, &spot)
    children = []
    for digit in range(FAN_OUT):
        below = child_of(&spot, digit)
        if below in heard:
            children.append(digest_as_heard(heard, below))
        else:
            below = told[DIGEST * digit:DIGEST * (digit + 1)]
            children.append(b"" if below == NO_DIGEST else below)
    return hashed(b"node", children)


cdef bytes leaf_digest(bytes records):
    """The digest of a leaf, nothing if it has no entries (rule MERKLE_FOREST.R5)."""
    cdef Py_ssize_t start
    if not records:
        return b""
    return hashed(b"leaf", [records[start:start + RECORD] for start in range(0, len(records), RECORD)])


cdef bytes hashed(bytes what, list parts):
    """What is hashed is said to be this, of so many parts (rule MERKLE_FOREST.R5)."""
    cdef Writer writer = Writer.__new__(Writer)
    put_part(writer, what)
    writer.number(len(parts))
    for part in parts:
        put_part(writer, part)
    return sha256(writer.done()).digest()


cdef int put_part(Writer writer, bytes part) except -1:
    writer.number(PyBytes_GET_SIZE(part))
    return put_bytes(writer, part)


cdef bytes NO_DIGEST = bytes(DIGEST)
cdef bytes NO_CHILDREN = bytes(FAN_OUT * DIGEST)
