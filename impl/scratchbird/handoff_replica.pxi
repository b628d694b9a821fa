# Part of handoff.pyx: a replica whose past has a floor.


# --- messages -----------------------------------------------------------------------------------------------
# They are delivered and sent as those of quorums are: ``quorum.Deliver`` and ``quorum.Send``.


@cython.final
@cython.no_gc
cdef class BelowFloor(Value):
    """The write was not taken: it is at or below a floor that this replica has closed (HANDOFF.R9)."""

    __match_args__ = ("operation", "closed")

    def __init__(self, operation, closed):
        self.operation = operation_number(operation)
        read_version(closed, "closed", 1, &self.at)

    @property
    def closed(self):
        """The 128-bit number of the floor."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class AskPast(AtFloor):
    """A replica, in this incarnation, asks another one for its past up to a floor that all have closed."""

    __match_args__ = ("floor", "incarnation")

    def __init__(self, floor, incarnation):
        read_version(floor, "version", 1, &self.at)
        self.incarnation = whole(incarnation, "incarnation", 0, MAX_NUMBER)


@cython.final
@cython.no_gc
cdef class Past(AtFloor):
    """What the sender holds, and what has taken the place of something at or below the floor, as (row, Held) pairs.

    ``incarnation`` is that of the replica that asked: an answer to an earlier life of it is not counted.
    """

    __match_args__ = ("floor", "incarnation", "rows")

    def __init__(self, floor, incarnation, rows):
        read_version(floor, "version", 1, &self.at)
        self.incarnation = whole(incarnation, "incarnation", 0, MAX_NUMBER)
        self.rows = row_pairs(rows)


@cython.final
@cython.no_gc
cdef class RecoveredPast(Value):
    """All rows, for a replica that recovers, and the floor at which the sender has settled, or 0 (HANDOFF.R13)."""

    __match_args__ = ("rows", "settled")

    def __init__(self, rows, settled):
        check_is(rows, ExchangedRows, "rows")
        self.rows = rows
        settled_floor(settled, &self.at)

    @property
    def settled(self):
        """The 128-bit number of the floor."""
        return number_of(self.at)


# --- events -------------------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class LostDisk(Value):
    """It starts on an empty disk, with what the catalog says of both parts: ``proposed`` is the highest floor
    that was ever proposed, 0 if there is none."""

    __match_args__ = ("rows", "proposed")

    def __init__(self, rows, proposed):
        check_is(rows, StartEmpty, "rows")
        self.rows = rows
        read_version(proposed, "version", 0, &self.at)

    @property
    def proposed(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
cdef class Purge(Value):
    """There is time to purge the tombstones at or below the floor."""


@cython.final
@cython.no_gc
cdef class Merge(Value):
    """What another replica holds, as anti-entropy brings it: an exchange that pays a mark (HANDOFF.R6).

    Only what was asked for since this replica closed its floor: whoever asks drops what it asked for before,
    and asks again (HANDOFF.R10).
    """

    __match_args__ = ("rows",)

    def __init__(self, rows):
        self.rows = row_pairs(rows)


# --- the machine --------------------------------------------------------------------------------------------


@cython.final
cdef class FlooredReplicaCore:
    """One replica of one shard, with its floor: what it may take, and how it answers. It starts down.

    It takes the events of :class:`scratchbird.quorum.ReplicaCore`, those that the catalog causes, and what is in
    this part's. ``StartEmpty`` is :class:`LostDisk` here, and ``Exchanged`` is :class:`RecoveredPast`. What
    changed in the rows and in the floor must be durable before an effect of the same step leaves; a row that was
    merged and the step that counts it as merged may become durable together, or the row first. What a
    :class:`Purge` removes is what :class:`PurgeBelow` named: whether the disk still has it does not matter.

    :param setting: who holds the shard.
    :param closed: as the others, see :class:`FloorCore`; those before them in :class:`quorum.ReplicaCore`.
    :raises CallerError: if a value is out of range.
    :raises ConfigurationError: if ``max_rows`` is no whole number above 0.
    :raises TooManyRowsError: if ``rows`` are more than ``max_rows``.
    """

    def __cinit__(
        self,
        setting,
        replica,
        *,
        incarnations=None,
        epoch=0,
        rows=(),
        recovering=None,
        max_rows=1_000_000,
        closed=0,
        converged=0,
        floor=0,
    ):
        self.floor_core = FloorCore(setting, replica, closed=closed, converged=converged, floor=floor)
        self.rows = ReplicaCore(
            replica, incarnations=incarnations, epoch=epoch, rows=rows, recovering=recovering, max_rows=max_rows
        )

    def step(self, event):
        """Take one step: a tuple of effects.

        :raises CallerError: if the event is impossible in this state.
        :raises TooManyRowsError: if it would hold more than ``max_rows``.

        The state is then unchanged.
        """
        cdef list out = []
        with cython.critical_section(self):
            self.take(event, out)
        return tuple(out)

    def step_many(self, events):
        """Take many steps, in their order: the same as one by one (:class:`scratchbird.quorum.Steps`).

        An event that is refused is listed with its exception and does not stop those after it, because the
        effects of those before it must not be lost.
        """
        return steps_of(self, events)

    # Looking at it.

    @property
    def replica(self):
        """Its node id."""
        return self.rows.replica

    @property
    def setting(self):
        """Who holds the shard."""
        return self.floor_core.setting

    @property
    def up(self):
        """Whether it was started, and has not crashed since."""
        return self.rows.up

    @property
    def incarnations(self):
        """(replica, incarnation) of each that it knows one of, ascending."""
        return self.rows.known.pairs

    @property
    def epoch(self):
        """The highest that it has seen."""
        return self.rows.epoch

    @property
    def recovering(self):
        """The setting under which it lost its disk, until it has a vote again; else ``None``."""
        return self.rows.recovering

    @property
    def max_rows(self):
        """The most rows that it holds."""
        return self.rows.max_rows

    @property
    def closed(self):
        """The highest floor below which nothing enters any more; 0 if there is none."""
        return self.floor_core.closed

    @property
    def converged(self):
        """The highest floor at which it holds what all hold; 0 if there is none."""
        return self.floor_core.converged

    @property
    def floor(self):
        """The floor at which it has settled: what is absent is deleted at this version; 0 if there is none."""
        return self.floor_core.floor

    def held(self, row):
        """What it holds of this row; version 0 if it holds nothing, whatever a query is told."""
        return self.rows.rows.get(row, NOTHING_HELD)

    def answer(self, row):
        """What a query is told of this row (rule HANDOFF.R11)."""
        with cython.critical_section(self):
            return self.floor_core.told(self.rows.rows.get(row, NOTHING_HELD))

    def admits_backup(self, others, held):
        """Whether a backup's row is merged, when ``others`` is the newest that anybody else holds."""
        return self.floor_core.admits_backup(others, held)

    def __len__(self):
        """How many rows it holds."""
        return len(self.rows.rows)

    def state(self):
        """The whole state as plain values, in the form that traces use."""
        state_of_rows = self.rows.state
        with cython.critical_section(self):
            value = {**state_of_rows(), **self.floor_core.durable_to_plain()}
            if self.rows.up:
                value.update(self.floor_core.volatile_to_plain())
        return value

    # Steps.

    cdef int take(self, object event, list out) except -1:
        cdef object kind = type(event)
        if kind is Deliver:
            return self.deliver(event, out)
        if kind is StartEmpty:
            raise CallerError("StartEmpty without a floor: deliver LostDisk, which says what is proposed")
        if kind is LostDisk:
            return self.lost_disk(event, out)
        if kind is Crash:
            self.rows.take(event, out)
            return self.floor_core.crash()
        if kind is Start or kind is Ask:
            return self.rows.take(event, out)
        self.check_up(kind)
        if kind is Propose or kind is AllClosed or kind is AllConverged:
            return self.of_floor(event, out)
        if kind is Merge:
            return self.merge(self.newer((<Merge> event).rows))
        if kind is Purge:
            return self.purge()
        raise CallerError(f"{shown(event)} is no event of a replica with a floor: pass one of this module's")

    cdef int check_up(self, object kind) except -1:
        if not self.rows.up:
            raise CallerError(f"{kind.__name__} at replica {self.rows.replica}, which is down: start it")
        return 0

    cdef int of_floor(self, Value event, list out) except -1:
        """As :class:`FloorCore`; what it asks others for becomes messages."""
        cdef list asked = []
        cdef AskFor ask
        self.floor_core.take(event, asked)
        for effect in asked:
            if type(effect) is AskFor:
                ask = effect
                out.append(send_to(ask.other, self.ask_past(ask.at)))
            else:
                out.append(effect)
        return 0

    cdef AskPast ask_past(self, Version floor):
        cdef AskPast message = AskPast.__new__(AskPast)
        message.at = floor
        message.incarnation = incarnation_of(self.rows.replica, self.rows.known)
        return message

    cdef int lost_disk(self, LostDisk event, list out) except -1:
        self.rows.check_start_empty(event.rows)
        self.floor_core.check_lost(event.at)
        self.rows.start_empty(event.rows, out)
        return self.floor_core.lost(event.at, out)

    # Beside the rows.

    cdef int deliver(self, Deliver event, list out) except -1:
        cdef object kind = type(event.message)
        if kind is AskPast or kind is Past or kind is RecoveredPast:
            return self.of_this_part(event, kind, out)
        if kind is Write and self.rows.up and self.is_refused(event.message, out):
            return 0
        if kind is ExchangedRows:
            raise CallerError("Exchanged without a floor: deliver RecoveredPast, which says who has settled")
        cdef Py_ssize_t begun = len(out)
        self.rows.take(event, out)
        if kind is Query:
            self.with_floor(out, begun)
        elif kind is Exchange:
            self.with_settled(out, begun)
        return 0

    cdef bint is_refused(self, Write message, list out) except -1:
        """Whether it is below the floor, which its coordinator is told then."""
        cdef BelowFloor refusal
        cdef Held held = self.rows.rows.get(message.row, NOTHING_HELD)
        if not accepts_epoch(self.rows.epoch, message.epoch) or self.floor_core.takes(held, message.held):
            return False
        refusal = BelowFloor.__new__(BelowFloor)
        refusal.operation = message.operation
        refusal.at = self.floor_core.closed_at
        out.append(send_to(None, refusal))
        return True

    cdef int with_floor(self, list out, Py_ssize_t begun) except -1:
        """An absent row of a settled replica is deleted at its floor (rule HANDOFF.R11).

        The answer was made in this step, and nobody else has seen it.
        """
        cdef Send sent
        for sent in out[begun:]:
            if type(sent.message) is Answer:
                (<Answer> sent.message).held = self.floor_core.told((<Answer> sent.message).held)
        return 0

    cdef int with_settled(self, list out, Py_ssize_t begun) except -1:
        """All rows leave with the floor at which this replica has settled (rule HANDOFF.R13)."""
        cdef RecoveredPast message
        cdef Send sent
        for sent in out[begun:]:
            message = RecoveredPast.__new__(RecoveredPast)
            message.rows = <ExchangedRows?> sent.message
            message.at = self.floor_core.floor_at
            sent.message = message
        return 0

    # One another's past.

    cdef int of_this_part(self, Deliver event, object kind, list out) except -1:
        self.check_up(Deliver)
        if event.sender is None:
            raise CallerError(f"{kind.__name__} comes from a replica: say from which")
        if kind is AskPast:
            return self.past(event.message, event.sender, out)
        if kind is Past:
            return self.merge_past(event.message, event, out)
        return self.recover(event.message, event, out)

    cdef int past(self, AskPast asked, object sender, list out) except -1:
        """One that recovers knows no past yet."""
        cdef Past message
        if self.rows.recovering is not None or not tells_past(self.floor_core.closed_at, asked.at):
            return 0
        message = Past.__new__(Past)
        message.at = asked.at
        message.incarnation = asked.incarnation
        message.rows = tuple(sorted(self.rows.rows.items(), key=row_of))
        out.append(send_to(sender, message))
        return 0

    cdef int merge_past(self, Past message, Deliver event, list out) except -1:
        cdef dict newer
        if not same(message.at, self.floor_core.closed_at):
            return 0  # Of an earlier floor.
        if message.incarnation != incarnation_of(self.rows.replica, self.rows.known):
            return 0  # To an earlier life.
        if self.rows.recovering is not None:
            return 0  # It has no vote yet: what it would say of converging could be too little.
        self.floor_core.check_merged(event.replica)
        self.merge(self.newer(message.rows))
        return self.floor_core.merged_one(event.replica, out)

    cdef dict newer(self, tuple rows):
        """What of these is newer than what a query would be told, by row (rule HANDOFF.R10)."""
        cdef dict found = {}
        cdef dict there = self.rows.rows
        cdef Held before_it
        cdef Held held
        for row, held in rows:
            before_it = found.get(row)
            if before_it is None:
                before_it = there.get(row, NOTHING_HELD)
            if supersedes(held, self.floor_core.told(before_it)):
                found[row] = held
        return found

    cdef int merge(self, dict newer) except -1:
        """All of these, or none of them if there is no room."""
        fresh = [row for row in newer if row not in self.rows.rows]
        self.rows.room(len(fresh), min(fresh, default=0))
        self.rows.rows.update(newer)
        return 0

    cdef int recover(self, RecoveredPast message, Deliver event, list out) except -1:
        """Settled as the others, from the first answer on: what comes after is then above the floor."""
        cdef bint counts = (
            self.rows.recovering is not None
            and message.rows.incarnation == incarnation_of(self.rows.replica, self.rows.known)
        )
        self.rows.exchanged(message.rows, event.replica, out)
        return self.floor_core.recovered(message.at) if counts else 0

    cdef int purge(self) except -1:
        cdef Held held
        cdef Version floor = self.floor_core.floor_at
        gone = [row for row, held in self.rows.rows.items() if may_purge(floor, held)]
        for row in gone:
            del self.rows.rows[row]
        return 0
