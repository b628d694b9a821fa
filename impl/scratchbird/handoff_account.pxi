# Part of handoff.pyx: what a coordinator owes.

cdef Mark OPEN_MARK = Mark()
cdef Mark CLOSED_MARK = Mark(False)


@cython.final
cdef class HintCore:
    """A coordinator's account of what it owes to the targets of its writes, as a state machine.

    It stands beside :class:`scratchbird.quorum.CoordinatorCore`: that one's ``StoreIntent`` becomes
    :class:`Owe`, and :class:`Kept` becomes its ``IntentStored``. It holds no value: a hint is 128 bytes of
    memory, whatever it is a hint of, and the node finds its value by the sequence number that it gave it
    (:meth:`located`). Besides hints it holds the writes that are open, the marks, and for each target that it
    was sent anything a pace.

    To start, make it with the marks, moves and the least write quorum that the disk holds, :meth:`restore` each
    hint, the oldest first, then deliver :class:`Crash`: it is told what may be dropped.

    Times: an :class:`Owe`, :class:`Acknowledged` or :class:`Ended` takes a logarithm of the hints kept for
    each target of the row; a :class:`Tick` looks at each place and at what is under way, and takes a
    logarithm for each hint that it sends. :class:`Drop`, :class:`Erased`, :class:`MoveBegun` and
    :class:`MoveDone` look at the hints of their places and at the writes that are open.

    :param setting: the newest of the catalog.
    :param marks: (place, :class:`Mark`) pairs.
    :param moves: (place, newcomer) pairs.
    :param least_write_quorum: see :class:`StoreLeast`. With marks, at least 1.
    :param max_hints: the most hints with which a further write, or a move, is taken. Those that a start finds
        are kept, however many: none that is durable is dropped without a mark.
    :param max_operations: the most writes that are open at once.
    :raises CallerError: if a mark or the least write quorum is impossible.
    :raises ConfigurationError: if a bound is no whole number above 0.
    """

    def __cinit__(
        self,
        setting,
        limits=None,
        *,
        marks=(),
        moves=(),
        least_write_quorum=0,
        max_hints=1_000_000,
        max_operations=65_536,
    ):
        check_is(setting, Setting, "setting")
        self.setting = setting
        if limits is not None:
            check_is(limits, Limits, "limits")
        self.limits = Limits() if limits is None else limits
        self.least_interval = interval_ns(self.limits)
        self.max_hints = bound_of("max_hints", max_hints)
        self.max_operations = bound_of("max_operations", max_operations)
        self.least_write_quorum = whole(least_write_quorum, "least_write_quorum", 0, MAX_REPLICAS_C)
        self.table = HintTable()
        self.marks_by_place = {}
        for pair in listed(marks, "marks", "(place, Mark) pairs"):
            place, mark = pair_of(pair, "marks", "(place, Mark)")
            check_is(mark, Mark, "mark")
            self.marks_by_place[place_pair(place)] = mark
        self.newcomers = {}
        for pair in listed(moves, "moves", "(place, newcomer) pairs"):
            place, newcomer = pair_of(pair, "moves", "(place, newcomer)")
            self.newcomers[place_pair(place)] = target_number(newcomer, "newcomer")
        if self.marks_by_place and not self.least_write_quorum:
            raise CallerError("marks without a least write quorum: pass the one that was stored with them")
        self.forget()

    cdef int forget(self) except -1:
        """What a crash drops."""
        self.writes = {}
        self.open_versions = {}
        self.left_out = {}
        self.coming_back = set()
        self.exchanges = {}
        self.paces = {}
        self.closed = {}
        return 0

    def step(self, event):
        """Take one step: a tuple of effects. What changed in what is durable comes before what waits for it.

        :raises CallerError: if the event is impossible in this state.
        :raises TooManyHintsError: if it would keep more than ``max_hints``.
        :raises TooManyOperationsError: if ``max_operations`` writes are open and it would open one.

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

    # What the node finds and says beside the events.

    def restore(self, Hint hint not None):
        """A hint that the disk holds, at a start and before the first event, the oldest of a shard first.

        Whether it is kept: ``False`` if one with its target, row and version is there already. Then the node
        may forget this one, as if :class:`Pay` had named it.
        """
        with cython.critical_section(self):
            if self.table.find(hint.row, hint.target, hint.at) != NULL:
                return False
            self.keep(hint)
        return True

    def located(self, target, shard, row, version, sequence):
        """The node keeps a hint at this sequence number among those of its target, 0 to 2**63 - 1.

        Whether it is to keep it: ``False`` if the hint was paid or dropped meanwhile, or has a number already.
        Then the node may forget this one, as if :class:`Pay` had named it.

        :raises CallerError: if a number is out of range.
        """
        cdef Version at
        cdef Pending *node
        cdef int64_t number = whole(sequence, "sequence", 0, MAX_NUMBER)
        cdef int64_t of_row = whole(row, "row", 0, MAX_NUMBER)
        cdef int32_t of_target = target_number(target, "target")
        cdef int64_t of_shard = shard_number(shard)
        read_version(version, "version", 1, &at)
        with cython.critical_section(self):
            node = self.table.find(of_row, of_target, at)
            if node == NULL or node.number != UNKNOWN or (<Place> node.place).shard != of_shard:
                return False
            node.number = number
        return True

    # Looking at it.

    def __len__(self):
        """How many hints are kept."""
        return self.table.count

    @property
    def open_operations(self):
        """How many writes have not ended."""
        return len(self.writes)

    def hints(self, target, shard):
        """The hints of a place, the oldest first."""
        cdef Place place
        cdef list found = []
        with cython.critical_section(self):
            place = self.table.place_of((target, shard))
            if place is not None:
                collect(place.root, ORDER, found)
            return [hint_of(<Pending *> <size_t> address) for address in found]

    def places(self):
        """(target, shard) of each that hints are kept for, ascending."""
        with cython.critical_section(self):
            return self.table.places()

    def marks(self):
        """(place, :class:`Mark`) of each that is owed a repair, by ascending place."""
        with cython.critical_section(self):
            return sorted(self.marks_by_place.items(), key=row_of)

    def moves(self):
        """(place, newcomer) of each target whose place a newcomer takes, by ascending place."""
        with cython.critical_section(self):
            return sorted(self.newcomers.items())

    def state(self):
        """The whole state as plain values, in the form that traces use; of a hint the size of its value
        stands for the value. It leaves out how the pace is kept: see :meth:`progress`."""
        with cython.critical_section(self):
            return account_to_plain(self)

    def progress(self):
        """What only this core need understand, as plain values: the open writes, exchanges and paces.

        ``writes`` are (operation, shard, row, version, targets, left out), ``exchanges`` (place, other, whether
        the mark was closed when it began), ``paces`` (target, interval in ns, due at ns, the last shard or -1),
        ``closed`` (place, the highest floor that its target was heard to have closed),
        ``under_way`` ((target, row, version), sent at ns), each ascending.
        """
        with cython.critical_section(self):
            return progress_of(self)

    # --- events ---------------------------------------------------------------------------------------------

    cdef int take(self, object event, list out) except -1:
        cdef object kind = type(event)
        if kind is Owe:
            return self.owe(event, out)
        if kind is Acknowledged:
            return self.acknowledged(event, out)
        if kind is Ended:
            return self.ended((<Ended> event).operation, out)
        if kind is Tick:
            return self.tick((<Tick> event).now_ns, out)
        if kind is Refused:
            return refused(self, event)
        if kind is GiveUp:
            target = self.table.targets.get((<GiveUp> event).target)
            if target is None:
                return 0
            places = [((<GiveUp> event).target, shard) for shard in (<Target> target).places]
            return self.give_up(places, out, True)
        if kind is Drop:
            return self.drop((<Drop> event).place, out)
        if kind is KeepAgain:
            return self.keep_again((<KeepAgain> event).place, out)
        if kind is ExchangeBegun:
            return self.begun(event)
        if kind is Exchanged:
            return self.exchanged(event, out)
        if kind is TargetLostDisk:
            return lost_disk(self, (<TargetLostDisk> event).target, out)
        if kind is MoveBegun:
            return move_begun(self, event, out)
        if kind is MoveDone:
            return move_done(self, (<MoveDone> event).place, out)
        if kind is Erased:
            return erased(self, event, out)
        if kind is Unreadable:
            return self.owe_repairs([(<Unreadable> event).place], out)
        if kind is Adopt:
            return self.adopt((<Adopt> event).setting, out)
        if kind is Crash:
            return self.crash(out)
        raise CallerError(f"{shown(event)} is no event of an account: pass one of this module's")

    # --- writes ---------------------------------------------------------------------------------------------

    cdef int owe(self, Owe event, list out) except -1:
        """Name all targets but those that are given up, in one durable step (rules HANDOFF.R2, HANDOFF.R5).

        A write that is repeated under its version (QUORUM.R9) may find hints of its own: they stay.
        """
        cdef Intent intent = event.intent
        cdef Version at = intent.held.at
        cdef int64_t row = intent.row
        cdef list left_out = [], fresh = []
        cdef OpenWrite write
        cdef Hint hint
        if event.operation in self.writes:
            raise CallerError(f"operation {event.operation} is open already: number each of them anew")
        if len(self.writes) >= self.max_operations:
            raise TooManyOperationsError(self.max_operations)
        targets = with_newcomers(self, event.shard, intent.targets)
        for target in targets:
            if self.marks_by_place and self.is_given_up((target, event.shard)):
                left_out.append(target)
            elif self.table.find(row, target, at) == NULL:
                fresh.append(target)
        self.room(len(fresh))
        fresh.sort()
        version = (row, number_of(at))
        opened = self.open_versions.get(version, 0)
        if not opened:
            self.table.set_open(row, at, True)
        self.open_versions[version] = opened + 1
        write = OpenWrite.__new__(OpenWrite)
        write.shard = event.shard
        write.row = row
        write.at = at
        write.size = 0 if intent.held.value is None else len(<bytes> intent.held.value)
        write.since_ns = event.now_ns
        write.targets = targets
        write.left_out = frozenset(left_out)
        self.writes[event.operation] = write
        self.count_left_out(write, 1)
        hint = hint_of_write(write)
        for target in fresh:
            hint.target = target
            self.keep(hint)
        if fresh:
            out.append(store_hints(event.operation, tuple(fresh)))
        self.set_least(least_of(self.least_write_quorum, self.setting.write_quorum), out)
        out.append(kept(event.operation))
        return 0

    cdef bint is_given_up(self, tuple place) except -1:
        """Whether a write's intent leaves a target out, because its mark covers the write (HANDOFF.R5)."""
        cdef Mark mark = self.marks_by_place.get(place)
        return mark is not None and mark.is_open and place not in self.coming_back

    cdef int room(self, Py_ssize_t more) except -1:
        """Refuse what would go past the bound, before anything is changed."""
        if more > 0 and more > self.max_hints - self.table.count:
            raise TooManyHintsError(self.max_hints)
        return 0

    cdef int keep(self, Hint hint) except -1:
        """As the newest; it waits while a write of its row and version is open, and below a closed floor."""
        cdef object version = number_of(hint.at)
        cdef bint is_aside = bool(self.closed) and version <= self.closed.get((hint.target, hint.shard), 0)
        self.table.add(hint, (hint.row, version) in self.open_versions, is_aside)
        return 0

    cdef int ended(self, object operation, list out) except -1:
        cdef OpenWrite write = self.writes.pop(operation, None)
        if write is None:
            return 0  # It was open when the process ended, or it never came so far.
        version = (write.row, number_of(write.at))
        still_open = self.open_versions.pop(version) - 1
        if still_open:
            self.open_versions[version] = still_open
        else:
            self.table.set_open(write.row, write.at, False)
        self.count_left_out(write, -1)
        self.settle(out)
        return self.close_marks(out)

    cdef int count_left_out(self, OpenWrite write, int change) except -1:
        """How many open writes each mark waits for."""
        for target in write.left_out:
            place = (target, write.shard)
            left = self.left_out.pop(place, 0) + change
            if left:
                self.left_out[place] = left
        return 0

    cdef int acknowledged(self, Acknowledged event, list out) except -1:
        """Whatever the target is owed of this row up to this version is paid (rule HANDOFF.R3)."""
        cdef Target target = self.table.targets.get(event.target)
        cdef Version first
        cdef Pending *node
        cdef list paid = []
        if target is not None:
            if event.row in target.rows_sent:
                self.answered(event.target)
            first.high = first.low = 0
            while True:
                node = self.table.seek(event.row, event.target, first)
                if node == NULL or node.row != event.row or node.target != event.target:
                    break
                if not is_paid(event.at, node.at):
                    break
                self.table.remove(node, paid)
            pay(event.target, paid, out)
        return self.settle(out)

    cdef int answered(self, int32_t target) except -1:
        """A hint was answered in time (rule HANDOFF.R4)."""
        cdef Pace pace = self.pace_of(target)
        pace.interval = after_answer(pace.interval, self.least_interval)
        return 0

    # --- delivery -------------------------------------------------------------------------------------------

    cdef int tick(self, int64_t now, list out) except -1:
        cdef Place place
        cdef Target target
        cdef list too_much = []
        for one, target in self.table.targets.items():
            if target.under_way:
                self.silence(target, one, now)
            for place in target.places.values():
                if is_too_much(self.limits, place.count, place.size, now - place.root.oldest_ns):
                    too_much.append((place.target, place.shard))
        self.give_up(too_much, out, True)
        for one, target in sorted(self.table.targets.items(), key=row_of):
            self.deliver(target, self.pace_of(one), now, out)
        return 0

    cdef int silence(self, Target target, object number, int64_t now) except -1:
        """A target that did not answer in time is sent less: once in a tick, whatever it did not answer."""
        cdef Pending *node
        cdef Pace pace
        cdef list late = []
        for address in target.under_way:
            node = <Pending *> <size_t> address
            if not 0 <= now - node.sent_ns <= self.limits.answer_within_ns:
                late.append(address)
        if late:
            pace = self.pace_of(number)
            pace.interval = after_silence(pace.interval)
            pace.due = now + pace.interval
        for address in late:
            self.table.arrived(<Pending *> <size_t> address)
        return 0

    cdef int deliver(self, Target target, Pace pace, int64_t now, list out) except -1:
        """What is due by now, one shard after the other, in each the oldest first (rule HANDOFF.R4).

        A write that is open is under way to its targets already.
        """
        cdef int64_t room = self.limits.most_under_way - len(target.under_way)
        cdef Py_ssize_t at
        cdef Pending *node
        pace.due = due_from(pace.due, now)
        while room > 0 and target.waiting and pace.due <= now:
            at = bisect_right(target.waiting, pace.shard)
            pace.shard = target.waiting[at if at < len(target.waiting) else 0]
            node = first_waiting((<Place> target.places[pace.shard]).root)
            self.table.sent(node, now)
            out.append(send_hint(node))
            pace.due += pace.interval
            room -= 1
        return 0

    cdef Pace pace_of(self, object target):
        cdef Pace pace = self.paces.get(target)
        if pace is None:
            pace = self.paces[target] = Pace.__new__(Pace)
            pace.interval = self.least_interval
            pace.shard = -1
        return pace

    # --- giving up ------------------------------------------------------------------------------------------

    cdef int give_up(self, list places, list out, bint tell) except -1:
        """Open a mark for each; when that is durable, their hints may go (rule HANDOFF.R5)."""
        places.sort()
        for place in places:
            self.set_mark(place, OPEN_MARK, out)
        if places and not self.least_write_quorum:
            self.set_least(self.setting.write_quorum, out)
        if places:
            self.coming_back.difference_update(places)
            self.forget_exchanges(frozenset(places))
        if tell:
            for place in places:
                out.append(about(MayDrop.__new__(MayDrop), place))
        return 0

    cdef int drop(self, tuple place, list out) except -1:
        """The writes that are open and lose their hint are covered by the mark, as those that have none."""
        cdef Mark mark = self.marks_by_place.get(place)
        cdef OpenWrite write
        if mark is None or not mark.is_open:
            return 0  # It was closed or paid meanwhile: what is kept is delivered.
        target, shard = place
        dropped = self.drop_all(place, out)
        for write in self.writes.values():
            if write.shard == shard and target not in write.left_out:
                if (write.row, number_of(write.at)) in dropped:
                    write.left_out |= {target}
                    self.left_out[place] = self.left_out.get(place, 0) + 1
        return 0

    cdef set drop_all(self, tuple place, list out):
        """The hints of a place are not kept any more; (row, version) of those whose write is open."""
        cdef Place there = self.table.place_of(place)
        cdef list found = [], paid = []
        cdef set of_open = set()
        cdef Pending *node
        if there is not None:
            collect(there.root, ORDER, found)
            for address in found:
                node = <Pending *> <size_t> address
                if node.is_open:
                    of_open.add((node.row, number_of(node.at)))
                self.table.remove(node, paid)
            pay(place[0], paid, out)
        return of_open

    cdef int keep_again(self, tuple place, list out) except -1:
        cdef Mark mark = self.marks_by_place.get(place)
        if mark is None or not mark.is_open:
            return 0
        self.coming_back.add(place)
        return self.close_marks(out)

    cdef int close_marks(self, list out) except -1:
        """Close each mark whose target is back, and under which no write is open (rule HANDOFF.R5)."""
        cdef list closed
        if not self.coming_back:
            return 0
        closed = [place for place in sorted(self.coming_back) if may_close(self.left_out.get(place, 0))]
        for place in closed:
            self.set_mark(place, CLOSED_MARK, out)
        self.coming_back.difference_update(closed)
        for place in closed:
            out.append(about(Repair.__new__(Repair), place))
        return 0

    cdef int owe_repairs(self, list places, list out) except -1:
        """Marks for targets that are up: hints are kept as before, and what they hold stays."""
        self.give_up(places, out, False)
        self.coming_back.update(places)
        return self.close_marks(out)

    # --- paying by exchange ---------------------------------------------------------------------------------

    cdef int begun(self, ExchangeBegun event) except -1:
        """What counts is the mark as it was when the exchange began (rule HANDOFF.R6)."""
        cdef Mark mark = self.marks_by_place.get(event.place)
        self.check_other(event)
        if mark is not None:
            self.exchanges[event.place, event.other] = not mark.is_open
        return 0

    cdef int exchanged(self, Exchanged event, list out) except -1:
        cdef Mark mark = self.marks_by_place.get(event.place)
        cdef Mark paid
        self.check_other(event)
        was_closed = self.exchanges.pop((event.place, event.other), False)
        if mark is None or mark.is_open or not was_closed:
            return 0
        paid = Mark.__new__(Mark)
        paid.heard = mark.heard | {event.other}
        if pays(self.setting, self.least_write_quorum, len(paid.heard)):
            paid = None
        self.set_mark(event.place, paid, out)
        return self.settle(out)

    cdef int check_other(self, WithOther event) except -1:
        others = self.setting.members - {event.place[0]}
        if event.other not in others:
            raise CallerError(f"replica {event.other} is none of the others: {sorted(others)}")
        return 0

    # --- settings and crashes -------------------------------------------------------------------------------

    cdef int adopt(self, Setting setting, list out) except -1:
        """What may be lacking was acknowledged by the least write quorum of all since (rule HANDOFF.R6)."""
        if setting.epoch <= self.setting.epoch:
            raise CallerError(
                f"epoch {setting.epoch} is not above {self.setting.epoch}: a setting never comes back"
            )
        self.setting = setting
        if self.least_write_quorum:
            self.set_least(least_of(self.least_write_quorum, setting.write_quorum), out)
        return 0

    cdef int crash(self, list out) except -1:
        """Marks that were open are open, and their hints may still be there: they may go as before."""
        cdef OpenWrite write
        cdef Mark mark
        cdef Version all_ = Version(<uint64_t> -1, <uint64_t> -1)
        cdef bint unused = False
        for place in self.closed:
            set_aside(self, place, all_, False, &unused)
        for write in self.writes.values():
            self.table.set_open(write.row, write.at, False)
        for target in self.table.targets.values():
            for address in list((<Target> target).under_way):
                self.table.arrived(<Pending *> <size_t> address)
        self.forget()
        self.settle(out)
        for place, mark in sorted(self.marks_by_place.items(), key=row_of):
            if mark.is_open and self.table.place_of(place) is not None:
                out.append(about(MayDrop.__new__(MayDrop), place))
        return 0

    # --- what is durable ------------------------------------------------------------------------------------

    cdef int settle(self, list out) except -1:
        """Where nothing is owed and nothing is open, the write quorums of the past do not matter any more."""
        if not (self.table.count or self.marks_by_place or self.writes):
            self.set_least(0, out)
        return 0

    cdef int set_mark(self, tuple place, Mark mark, list out) except -1:
        cdef Mark before_that = self.marks_by_place.get(place)
        cdef StoreMark store
        if mark is None:
            del self.marks_by_place[place]
        else:
            self.marks_by_place[place] = mark
            if mark == before_that:
                return 0
        store = StoreMark.__new__(StoreMark)
        store.place = place
        store.mark = mark
        out.append(store)
        return 0

    cdef int set_newcomer(self, tuple place, object newcomer, list out) except -1:
        cdef StoreMove store = StoreMove.__new__(StoreMove)
        if newcomer is None:
            del self.newcomers[place]
        else:
            self.newcomers[place] = newcomer
        store.place = place
        store.newcomer = newcomer
        out.append(store)
        return 0

    cdef int set_least(self, int write_quorum, list out) except -1:
        cdef StoreLeast store
        if write_quorum != self.least_write_quorum:
            self.least_write_quorum = write_quorum
            store = StoreLeast.__new__(StoreLeast)
            store.write_quorum = write_quorum
            out.append(store)
        return 0

    cdef int forget_exchanges(self, object places) except -1:
        """Those that are under way do not count any more."""
        if self.exchanges and places:
            self.exchanges = {key: was for key, was in self.exchanges.items() if key[0] not in places}
        return 0
