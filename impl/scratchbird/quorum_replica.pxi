# Part of quorum.pyx: one replica.


@cython.final
cdef class ReplicaCore:
    """One replica as a state machine: it holds rows and answers for them. It starts down.

    What changed in the rows, the epoch, the incarnations and ``recovering`` must be durable before any effect
    of the same step leaves (rule QUORUM.R1): an acknowledgement binds the replica, also after a crash. A
    ``Write`` that is delivered holds all that it can change in a row.

    :param replica: its node id, 0 to 65535.
    :param incarnations: of every replica as far as known, (replica, incarnation); for a member of a cluster
        that is being founded its own, 1.
    :param epoch: the highest that it has seen.
    :param rows: (row, :class:`Held`) of each that it holds.
    :param recovering: the setting under which it lost its disk, until it has a vote again (rule QUORUM.R13).
    :param max_rows: the most rows that it holds.
    :raises CallerError: if a value is out of range.
    :raises ConfigurationError: if ``max_rows`` is no whole number above 0.
    :raises TooManyRowsError: if ``rows`` are more than ``max_rows``.
    """

    def __cinit__(self, replica, *, incarnations=None, epoch=0, rows=(), recovering=None, max_rows=1_000_000):
        self.replica = whole(replica, "replica id", 0, MAX_REPLICA_C)
        self.known = told_by(((self.replica, 1),) if incarnations is None else incarnations)
        self.epoch = epoch_number(epoch)
        if recovering is not None:
            check_is(recovering, Setting, "recovering")
        self.recovering = recovering
        self.max_rows = bound_of("max_rows", max_rows)
        self.rows = {}
        self.heard = set()
        for row, held in row_pairs(rows):
            self.merge(row, held)

    def step(self, event):
        """Take one step: a tuple of effects, each a :class:`Send`.

        :raises CallerError: if the event is impossible in this state (a message to a replica that is down)
            or contradicts what the replica knows.
        :raises TooManyRowsError: if it would hold more than ``max_rows``.

        The state is then unchanged.
        """
        cdef list out = []
        with cython.critical_section(self):
            self.take(event, out)
        return tuple(out)

    def step_many(self, events):
        """Take many steps, in their order: the same as one by one (:class:`Steps`).

        An event that is refused is listed with its exception and does not stop those after it, because the
        effects of those before it must not be lost.
        """
        return steps_of(self, events)

    # Looking at it.

    @property
    def incarnations(self):
        """(replica, incarnation) of each that it knows one of, ascending."""
        return self.known.pairs

    def held(self, row):
        """What it holds of this row; version 0 if it was never written."""
        return self.rows.get(row, NOTHING_HELD)

    def __len__(self):
        """How many rows it holds."""
        return len(self.rows)

    def state(self):
        """The whole state as plain values, in the form that traces use."""
        with cython.critical_section(self):
            value = {
                "up": self.up,
                "replica": self.replica,
                "incarnations": incarnations_to_plain(self.known),
                "epoch": self.epoch,
                "rows": [[f"{row:x}", held_to_plain(held)] for row, held in sorted(self.rows.items(), key=row_of)],
                "recovering": None if self.recovering is None else setting_to_plain(self.recovering),
            }
            if self.up:
                value["heard"] = sorted(self.heard)
        return value

    # Steps.

    cdef int take(self, object event, list out) except -1:
        cdef object kind = type(event)
        if kind is Start or kind is StartEmpty:
            if kind is StartEmpty:
                self.check_start_empty(event)
                return self.start_empty(event, out)
            self.check_down(event)
            self.up = True
            return 0
        if not self.up:
            raise CallerError(f"{kind.__name__} at replica {self.replica}, which is down: start it")
        if kind is Deliver:
            return self.deliver(event, out)
        if kind is Crash:
            self.up = False
            self.heard.clear()
            return 0
        if kind is Ask:
            return self.ask(out)
        raise CallerError(f"{shown(event)} is no event of a replica: pass one of this module's")

    cdef int check_down(self, Value event) except -1:
        if self.up:
            raise CallerError(f"{type(event).__name__} at replica {self.replica}, which is up")
        return 0

    cdef int check_start_empty(self, StartEmpty event) except -1:
        """Refuse what can not be, before anything is changed, here or beside the rows."""
        cdef int64_t raised = incarnation_of(self.replica, event.told)
        cdef int64_t lost = incarnation_of(self.replica, self.known)
        self.check_down(event)
        if raised <= lost:
            raise CallerError(
                f"replica {self.replica} lost its disk in incarnation {lost} and is to start as {raised}: pass a "
                f"higher one, or what it said before still counts as a vote"
            )
        if position_of(self.replica, event.setting) == ABSENT:
            raise CallerError(f"replica {self.replica} is none of {event.setting.replicas}")
        return 0

    cdef int start_empty(self, StartEmpty event, list out) except -1:
        self.known = event.told
        self.epoch = max(event.epoch, event.setting.epoch)
        self.rows = {}
        self.recovering = event.setting
        self.up = True
        return self.ask(out)

    cdef int ask(self, list out) except -1:
        cdef Exchange exchange
        if self.recovering is None:
            return 0
        exchange = Exchange.__new__(Exchange)
        exchange.epoch = self.epoch
        exchange.told = self.known
        for other in self.recovering.replicas:
            if other != self.replica:
                out.append(send_to(other, exchange))
        return 0

    cdef int deliver(self, Deliver event, list out) except -1:
        cdef Value message = event.message
        cdef object kind = type(message)
        if kind is Write:
            return self.write(<Write> message, out)
        if kind is Query:
            return self.query(<Query> message, out)
        if kind is Exchange:
            return self.exchange(<Exchange> message, event.replica, out)
        if kind is Exchanged:
            return self.exchanged(<Exchanged> message, event.replica, out)
        raise CallerError(f"{kind.__name__} is a message to a coordinator, not to a replica")

    cdef int query(self, Query query, list out) except -1:
        cdef Answer answer
        if not accepts_epoch(self.epoch, query.epoch):
            out.append(refused_epoch(query.operation, self.epoch))
            return 0
        self.saw(query.epoch)
        if not has_vote(self.recovering is not None):
            return 0
        answer = Answer.__new__(Answer)
        answer.operation = query.operation
        answer.held = self.rows.get(query.row, NOTHING_HELD)
        answer.told = self.known
        out.append(send_to(None, answer))
        return 0

    cdef int write(self, Write write, list out) except -1:
        """A replica that recovers takes writes as well: it vouches for what it holds from now on."""
        cdef Acknowledgement acknowledgement
        if not accepts_epoch(self.epoch, write.epoch):
            out.append(refused_epoch(write.operation, self.epoch))
            return 0
        self.merge(write.row, write.held)
        self.saw(write.epoch)
        acknowledgement = Acknowledgement.__new__(Acknowledgement)
        acknowledgement.operation = write.operation
        acknowledgement.at = write.held.at
        acknowledgement.told = self.known
        out.append(send_to(None, acknowledgement))
        return 0

    cdef int exchange(self, Exchange exchange, int32_t sender, list out) except -1:
        """Remember who began anew, whether or not we may answer (rule QUORUM.R14)."""
        cdef Exchanged answer
        if sender == ABSENT:
            raise CallerError("Exchange comes from a replica: say from which")
        self.known = remembered(self.known, exchange.told)
        self.saw(exchange.epoch)
        if not has_vote(self.recovering is not None):
            return 0
        answer = Exchanged.__new__(Exchanged)
        answer.epoch = self.epoch
        answer.incarnation = incarnation_of(sender, exchange.told)
        answer.rows = tuple(sorted(self.rows.items(), key=row_of))
        answer.told = self.known
        out.append(send_to(sender, answer))
        return 0

    cdef int exchanged(self, Exchanged answer, int32_t sender, list out) except -1:
        cdef Setting lost_under = self.recovering
        if sender == ABSENT:
            raise CallerError("Exchanged comes from a replica: say from which")
        if lost_under is None or answer.incarnation != incarnation_of(self.replica, self.known):
            self.saw(answer.epoch)
            return 0
        if sender == self.replica or position_of(sender, lost_under) == ABSENT:
            self.saw(answer.epoch)  # None of the others that it needs to hear.
            return 0
        fresh = {row for row, _ in answer.rows if row not in self.rows}
        self.room(len(fresh), min(fresh, default=0))
        for row, held in answer.rows:
            self.merge(row, held)
        self.saw(answer.epoch)
        self.known = remembered(self.known, answer.told)
        self.heard.add(sender)
        if has_recovered(lost_under, len(self.heard)):
            self.recovering = None
            self.heard.clear()
        return 0

    cdef int merge(self, object row, Held held) except -1:
        """Hold what is newer, keep what is held otherwise (rule QUORUM.R1)."""
        cdef Held before = self.rows.get(row, NOTHING_HELD)
        if supersedes(held, before):
            if before is NOTHING_HELD and row not in self.rows:
                self.room(1, row)
            self.rows[row] = held
        return 0

    cdef int room(self, Py_ssize_t more, object row) except -1:
        """Refuse what would go past the bound, before anything is changed."""
        if more > self.max_rows - len(self.rows):
            raise TooManyRowsError(self.max_rows, row)
        return 0

    cdef void saw(self, int64_t epoch) noexcept:
        """The highest epoch seen stays: older requests are refused from here on (rule QUORUM.R15)."""
        if epoch > self.epoch:
            self.epoch = epoch


cdef Send refused_epoch(object operation, int64_t own):
    cdef OldEpoch message = OldEpoch.__new__(OldEpoch)
    message.operation = operation
    message.epoch = own
    return send_to(None, message)


def row_of(item):
    return item[0]
