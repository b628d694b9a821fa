# Part of hlc.pyx: the clock that programs use. One compilation unit, so that a tick is one function.


@cython.final
cdef class Clock:
    """A node's clock with real clocks and a durable bound: issues ids, and merges those of others.

    :param node_id: 1 to 65535. Unique in the cluster, and never given to another store.
    :param store: where the upper bound is kept (:class:`scratchbird.store.BoundStore`); the clock makes all
        calls to it, one at a time, and closes it when it is stopped. A file:
        ``scratchbird_node.bound_store.FileBoundStore``.
    :param wall: the wall clock, for tests: a function that returns ms since the Unix epoch.
    :param monotonic: a clock that is never set and counts the time of suspend, likewise; in ms.
    :param write_timeout_ms: the longest that any call waits for the store.

    The other settings are those of :class:`ClockCore`, in ms.

    **The durable bound** (rule HLC.R13). When less than half of the reservation is left, the next one is
    written by a thread that lives for that one write, so that ticks do not wait for the disk; a call that
    runs out of bound all the same waits for the write, at most ``write_timeout_ms``. The first tick waits for
    one write, unless :meth:`reserve` was called before. A write that failed is tried again, with the same
    bound, by the next call that needs it.

    **Clock readings.** Both clocks are read together (rule HLC.R18). On Linux a reading serves :meth:`tick`
    until the kernel's next timer interrupt, some milliseconds at most on a machine that is not overloaded,
    or until the clock is set; what would be refused is looked at again with a new one. The time in an id may
    lag behind the wall clock by that much. It is never ahead for that reason, so that no bound is touched,
    and its order depends on no reading at all.

    **Forks.** In a child process the clock refuses everything: two processes with one node id would issue
    equal ids.

    **Random bits** are no secret. They come from a fast generator that the operating system's randomness
    seeds once, whose next output can be computed from enough earlier ones; they only make ids of a node id
    that was used twice by mistake differ. Order and uniqueness rest on the timestamp and the node id alone.

    :raises ConfigurationError: if the settings contradict each other, or the store belongs to another node
        id, or ``node_id`` was retired.
    :raises CallerError: if another clock has the store.
    :raises DiskError: if the store can not be read.
    """

    def __cinit__(self, *, node_id, store, wall=None, monotonic=None, write_timeout_ms=2000, **settings):
        cdef int64_t now = 0, since = 0
        cdef int position
        whole(node_id, "node id", 1, 0xFFFF)
        timeout = _setting("write_timeout_ms", write_timeout_ms)
        ClockCore(node_id, **settings)  # Settings that contradict each other are refused before any I/O.
        claim = Claim(store)
        try:
            durable = store.load()
            if durable is None:
                durable = Durable(node_id)
            if node_id in durable.retired:
                raise ConfigurationError(
                    f"node id {node_id} was retired in this store, and never comes back: use {durable.node_id}"
                )
            if durable.node_id != node_id:
                raise ConfigurationError(
                    f"this store belongs to node id {durable.node_id}, not {node_id}: pass the node's own "
                    "store, or retire the old node id first"
                )
            self.core = ClockCore(node_id, bound=durable.bound, retired=durable.retired, **settings)
            self._forks = forks()
            self._wall = wall
            self._monotonic = monotonic
            self._injected = wall is not None or monotonic is not None
            seed = os.urandom(32)
            for position in range(4):
                self._random.word[position] = int.from_bytes(seed[8 * position : 8 * position + 8], "little") | 1
            self._writer = BoundWriter(self.core, store, claim, timeout)
            self._read(&now, &since)
            self.core.start(now, since)
        except BaseException:  # Another clock may try the store.
            claim.release()
            raise

    @cython.binding(False)
    def tick(self):
        """Issue an id, above every one that this clock issued or merged before.

        :raises ClockAheadError: past the own bound; says after how many ms to try again.
        :raises ClockSuspendedError: the wall clock jumped forward and is not confirmed.
        :raises ClockStoppedError: the clock was stopped.
        :raises BoundWriteError: the store failed, or was too slow. The next call tries again.
        """
        cdef Reading reading
        cdef Step step = tick_at_last_reading(self, &reading)
        if step.outcome != DONE:
            step.timestamp = self._claim(1)
        elif reading.low:
            self._writer.reserve_early(reading.wall, reading.monotonic, reading.trusted)
        return make(high_word(step.timestamp), low_word(self.core.clock.node_id, reading.random >> 18))

    def tick_many(self, count):
        """Issue ``count`` ids or none: ``16 * count`` bytes, in order, each 16 in network order.

        The same as ``count`` ticks at one reading of the clocks, and raises the same; at most
        ``4096 * max_ahead_ms`` ids at once.
        """
        cdef ClockState *clock = &self.core.clock
        cdef int64_t most = min(clock.settings.max_ahead, <int64_t> 1 << 20) * COUNTERS_PER_MS
        cdef int64_t many = whole(count, "count of ids at once", 1, most), position
        cdef object out = PyBytes_FromStringAndSize(NULL, many * 16)
        cdef unsigned char *to = <unsigned char *> PyBytes_AS_STRING(out)
        cdef uint64_t timestamp = self._claim(many)
        cdef uint64_t node_id = clock.node_id
        cdef Random random
        acquire(&clock.lock)
        for position in range(4):  # A generator for this batch, so that it needs no lock.
            random.word[position] = next_random(&self._random) | 1
        release(&clock.lock)
        with nogil:
            for position in range(many):
                store_word(to, high_word(timestamp))
                store_word(to + 8, low_word(node_id, next_random(&random) >> 18))
                to += 16
                timestamp = successor(timestamp)
        return out

    def observe(self, id_or_timestamp, sender):
        """Merge the clock that a message carries, before anything of the message is handled (rule HLC.R7).

        :param id_or_timestamp: the sender's ``clock.stamp()``, or an id: a :class:`UuidV8`, a ``uuid.UUID`` or
            a pair (ms, counter).
        :param sender: the node id of the peer that sent the message.
        :return: our clock after the merge, as a pair (ms, counter).
        :raises RemoteDriftError: too far past our clock: refuse the message.
        :raises RemoteEarlyError: not yet: keep the message, and call again after as many ms as it says.
        :raises ClockSuspendedError: the wall clock jumped, and the bound does not cover the timestamp.

        Stopped clocks and failing stores as in :meth:`tick`.
        """
        cdef ClockState *clock = &self.core.clock
        cdef uint64_t remote = _remote(id_or_timestamp), trusted
        cdef int64_t wall = 0, monotonic = 0
        cdef bint repeated = False
        cdef Step step
        whole(sender, "node id", 1, 0xFFFF)
        deadline = None
        while True:
            self._check_process()
            self._read_and_acquire(&wall, &monotonic, NULL)
            step = observe(clock, wall, monotonic, remote)
            trusted = clock.trusted
            release(&clock.lock)
            if step.outcome == DONE:
                self._reserve_if_low(wall, monotonic, trusted)
                return unpack(step.timestamp)
            if step.outcome == REPEAT or step.outcome == WRITE_AND_REPEAT:
                deadline = self._writer.wait(deadline)
            elif (step.outcome == DRIFT or step.outcome == EARLY) and not repeated:
                repeated = True  # This thread may have been paused since the reading: look again.
            else:
                raise _refusal(step, wall, unpack(remote), sender)

    def stamp(self):
        """The clock that a message must carry, an acknowledgement or a read as well (rule HLC.R7).

        :return: a pair (ms, counter), to be given to :meth:`observe` by whoever gets the message.
        :raises ClockAheadError: healthy peers might still refuse it; says after how many ms to try again.
        :raises ClockStoppedError: the clock was stopped.
        """
        cdef int64_t wall = 0, monotonic = 0
        cdef Step step = outcome(AHEAD)
        cdef int attempt
        for attempt in range(2):  # This thread may have been paused since the reading: look again.
            if step.outcome == AHEAD:
                self._check_process()
                self._read_and_acquire(&wall, &monotonic, NULL)
                step = stamp(&self.core.clock, wall, monotonic)
                release(&self.core.clock.lock)
        if step.outcome != DONE:
            raise _refusal(step, wall, None, None)
        return unpack(step.timestamp)

    def reserve(self):
        """Write the next bound now and wait until it is durable, so that later calls need not.

        Raises as :meth:`tick` does, and the same.
        """
        cdef int64_t wall = 0, monotonic = 0
        self._check_process()
        self._read_and_acquire(&wall, &monotonic, NULL)
        cdef Step step = reserve(&self.core.clock, wall, monotonic)
        release(&self.core.clock.lock)
        if step.outcome != WRITE and step.outcome != UNCHANGED:
            raise _refusal(step, wall, None, None)
        self._writer.wait(None)

    def confirm(self, *, operator=False, peers=()):
        """Say that the wall clock is right after a jump (rule HLC.R11).

        :param operator: whether an operator has checked the time.
        :param peers: (node id, that node's wall clock at this moment, in ms), each peer once.
        :raises ClockUnconfirmedError: fewer than ``confirm_quorum`` peers are within ``max_skew_ms``.
        """
        cdef int64_t wall = 0, monotonic = 0
        cdef uint64_t trusted
        cdef Step step = outcome(REPEAT)
        peers = _listed(peers, "peers", "(node id, that node's wall clock in ms) of each")
        while step.outcome == REPEAT:
            self._check_process()
            trusted = self.core._copy().trusted
            self._read(&wall, &monotonic)
            step = self.core.vote(wall, monotonic, operator, peers, &trusted)
        if step.outcome == STOPPING:
            raise ClockStoppedError()
        if step.outcome == UNCONFIRMED:
            raise ClockUnconfirmedError(wall)
        if step.outcome != DONE:
            self.core._effects("Confirm", step, wall)

    def stop(self):
        """Store the exact timestamp, so that the next start waits for nothing, and close the store.

        May be called again: after :class:`BoundWriteError` it tries again, after success it does nothing.
        """
        self._check_process()
        deadline = None
        while True:
            effect, = self.core.stop()
            if isinstance(effect, Refused) and self.core.promised is None:
                return self._writer.close()
            deadline = self._writer.wait(deadline)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if forks() == self._forks:
            self.stop()

    def read_clocks(self):
        """Both clocks as the rules read them: (wall, monotonic), in ms. Peers ask for it to confirm theirs."""
        cdef int64_t wall = 0, monotonic = 0
        self._read(&wall, &monotonic)
        return wall, monotonic

    @property
    def node_id(self):
        """Whose clock this is."""
        return self.core.node_id

    @property
    def last(self):
        """The greatest timestamp issued or merged. What a message carries is :meth:`stamp`."""
        return self.core.last

    @property
    def suspended(self):
        """Whether the wall clock jumped forward and nobody has confirmed it yet (rule HLC.R10)."""
        return self.core.suspended

    def state(self):
        """The state of the core as plain values, in the form that traces use."""
        return self.core.state()

    cdef int _check_process(self) except -1:
        if forks() != self._forks:
            raise ClockForkedError()
        return 0

    cdef int _read(self, int64_t *wall, int64_t *monotonic) except -1:
        """Both clocks at one moment: monotonic, wall, monotonic; again if that took long (rule HLC.R18).

        The later monotonic reading counts: after a pause the wall clock then looks set back, never jumped.
        """
        cdef int64_t before, between, after, took, least = -1
        cdef int attempt
        for attempt in range(READ_ATTEMPTS):
            before = monotonic_ms() if self._monotonic is None else _monotonic(self._monotonic())
            between = wall_ms() if self._wall is None else _wall(self._wall())
            after = monotonic_ms() if self._monotonic is None else _monotonic(self._monotonic())
            if not (0 <= between <= MAX_MS_C and 0 <= after <= MAX_MS_C):
                raise CallerError(
                    f"this machine's wall clock shows {between} ms since 1970, its monotonic clock {after} ms: "
                    f"both must be from 0 to {MAX_MS}; set the time right"
                )
            took = after - before if after >= before else MAX_MS_C
            if least < 0 or took < least:
                least = took
                wall[0] = between
                monotonic[0] = after
            if took <= CLOSE_MS:
                break
        return 0

    cdef int _read_and_acquire(self, int64_t *wall, int64_t *monotonic, int64_t *tick) except -1:
        """Read both clocks and take the lock, which the caller releases.

        Again, a few times at most, where the wall clock was confirmed in between: a reading of before, of a
        thread that was paused, would show a jump that is none any more (rules HLC.R10 and HLC.R11).
        ``tick``: the kernel's last update before the reading, so that one in between makes it stale.
        """
        cdef ClockState *clock = &self.core.clock
        cdef uint64_t trusted
        cdef int attempt
        for attempt in range(READ_ATTEMPTS):
            acquire(&clock.lock)
            trusted = clock.trusted
            release(&clock.lock)
            if tick != NULL:
                tick[0] = kernel_tick()
            self._read(wall, monotonic)
            acquire(&clock.lock)
            if trusted == clock.trusted or attempt == READ_ATTEMPTS - 1:
                break
            release(&clock.lock)
        return 0

    cdef uint64_t _claim(self, uint64_t count) except 0:
        """The first of ``count`` timestamps in a row; waits for the store where it must."""
        cdef ClockState *clock = &self.core.clock
        cdef int64_t wall = 0, monotonic = 0, now = 0
        cdef uint64_t trusted
        cdef bint repeated = False
        cdef Step step
        deadline = None
        while True:
            self._check_process()
            self._read_and_acquire(&wall, &monotonic, &now)
            trusted = clock.trusted
            if not self._injected:
                self._read_at = now
                self._wall_read = wall
                self._monotonic_read = monotonic
                self._trusted_read = trusted
            step = issue(clock, wall, monotonic, count)
            release(&clock.lock)
            if step.outcome == DONE:
                self._reserve_if_low(wall, monotonic, trusted)
                return step.timestamp
            if step.outcome == REPEAT or step.outcome == WRITE_AND_REPEAT:
                deadline = self._writer.wait(deadline)
            elif step.outcome == AHEAD and not repeated:
                repeated = True  # This thread may have been paused since the reading: look again.
            else:
                raise _refusal(step, wall, None, None)

    cdef int _reserve_if_low(self, int64_t wall, int64_t monotonic, uint64_t trusted) except -1:
        cdef ClockState now = self.core._copy()
        if running_low(&now, now.last):
            self._writer.reserve_early(wall, monotonic, trusted)
        return 0


cdef inline Step tick_at_last_reading(Clock self, Reading *reading) noexcept nogil:
    """A tick, where the last reading of the clocks still serves; what it can not do, it does not do."""
    cdef ClockState *clock = &self.core.clock
    cdef int64_t now = kernel_tick()
    cdef Step step = outcome(REPEAT)
    reading.random = 0
    if forks() != self._forks:  # Somebody may have held the lock when the process was forked.
        return step
    acquire(&clock.lock)
    reading.random = next_random(&self._random)
    if now == self._read_at and now != 0 and self._trusted_read == clock.trusted:
        reading.wall = self._wall_read
        reading.monotonic = self._monotonic_read
        reading.trusted = clock.trusted
        step = issue(clock, reading.wall, reading.monotonic, 1)
        reading.low = running_low(clock, clock.last)
    release(&clock.lock)
    return step



cdef uint64_t _remote(value) except? 0:
    if isinstance(value, UuidV8):
        return packed_of((<UuidV8> value).high)
    if isinstance(value, uuid.UUID):
        return packed_of((<UuidV8> UuidV8.from_uuid(value)).high)
    if isinstance(value, tuple):
        return pack(value)
    raise CallerError(f"{shown(value)} is no clock: pass a UuidV8, a uuid.UUID or a pair (ms, counter)")


cdef object _refusal(Step step, int64_t wall, object remote, object sender):
    if step.outcome == AHEAD:
        return ClockAheadError(step.retry_after, wall)
    if step.outcome == DRIFT:
        return RemoteDriftError(sender, remote, wall, step.retry_after)
    if step.outcome == EARLY:
        return RemoteEarlyError(sender, remote, wall, step.retry_after)
    if step.outcome == SUSPENDED:
        return ClockSuspendedError(wall)
    if step.outcome == STOPPING:
        return ClockStoppedError()
    if step.outcome == EXHAUSTED:
        return ClockExhaustedError(wall)
    return BugError(f"a step of the clock ended in the outcome {<int> step.outcome}")


def _contend_ticks(Clock clock, count):
    """For tests: as ``_contend``, but ticks of a :class:`Clock`, without making the ids."""
    cdef int64_t many = whole(count, "count", 1, 1 << 30), position
    cdef object out = PyBytes_FromStringAndSize(NULL, many * 8)
    cdef uint64_t *words = <uint64_t *> PyBytes_AS_STRING(out)
    cdef Reading reading
    cdef Step step
    with nogil:
        for position in range(many):
            step = tick_at_last_reading(clock, &reading)
            if step.outcome != DONE:
                with gil:
                    step.timestamp = clock._claim(1)
            words[position] = step.timestamp
    return out


def retire(store, new_node_id):
    """Give up the node id of a store for a new one: the way back from a poisoned bound (rule HLC.R16).

    The node must be down. The bound of the old node id is never lowered; the new one starts at nothing.

    :return: what is stored from now on.
    :raises CallerError: if the store is empty or in use by a clock, or the new node id was used there before.
    """
    claim = Claim(store)
    try:
        durable = store.load()
        if durable is None:
            raise CallerError("nothing was ever stored here: a new node id needs no retirement of an old one")
        core = ClockCore(durable.node_id, bound=durable.bound, retired=durable.retired)
        core.retire(new_node_id)
        renewed = Durable(core.node_id, core.bound, core.retired)
        store.save(renewed)
    finally:
        claim.release()
    return renewed
