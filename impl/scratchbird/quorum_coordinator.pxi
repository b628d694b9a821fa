# Part of quorum.pyx: one coordinator.


@cython.final
cdef class CoordinatorCore:
    """One coordinator as a state machine: it runs the operations of its clients. It starts down.

    It need not be a replica. It reads no clock: it asks for a version with :class:`Stamp` and is given one
    with :class:`Stamped`. Every operation ends with exactly one :class:`Reply`, unless the coordinator
    crashes, and stays open until its :class:`Deadline`, because late answers are still repaired.

    :param setting: the newest of the catalog.
    :param max_operations: the most operations that are open at once. At least the requests a second times the
        seconds until a deadline.
    :param max_intents: the most durable intents with which a further write is begun. Operations that are open
        then may still add theirs, and those that a start finds are kept: none that is durable is ever dropped.
    :raises ConfigurationError: if a bound is no whole number above 0.
    """

    def __cinit__(self, setting, *, max_operations=65_536, max_intents=1_000_000):
        check_is(setting, Setting, "setting")
        self.setting = setting
        self.members = Members(setting)
        self.max_operations = bound_of("max_operations", max_operations)
        self.max_intents = bound_of("max_intents", max_intents)
        self.intents = {}
        self.operations = {}
        self.known = Incarnations()
        self.members.known = self.known

    def step(self, event):
        """Take one step: a tuple of effects.

        :raises CallerError: if the event is impossible in this state.
        :raises TooManyOperationsError: if ``max_operations`` are open and it would begin one.
        :raises TooManyIntentsError: if it is a write and ``max_intents`` are durable.

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
        """(replica, incarnation) of each that any replica named since the start, ascending."""
        return self.known.pairs

    @property
    def open_operations(self):
        """How many operations are open, those with a reply included."""
        return len(self.operations)

    def stored_intents(self):
        """The durable intents, by ascending version."""
        with cython.critical_section(self):
            return self.intents_in_order()

    def state(self):
        """The whole state as plain values, in the form that traces use.

        It leaves out what each coordinator may keep in a way of its own: see :meth:`votes`.
        """
        cdef Operation operation
        cdef Intent intent
        with cython.critical_section(self):
            value = {
                "up": self.up,
                "setting": setting_to_plain(self.setting),
                "intents": [
                    {"row": f"{intent.row:x}", "held": held_to_plain(intent.held), "targets": sorted(intent.targets)}
                    for intent in self.intents_in_order()
                ],
            }
            if self.up:
                value["incarnations"] = incarnations_to_plain(self.known)
                value["operations"] = [
                    {
                        "operation": f"{number:x}",
                        "kind": KINDS[operation.kind],
                        "phase": PHASES[operation.phase],
                    }
                    for number, operation in sorted(self.operations.items(), key=row_of)
                ]
        return value

    def votes(self, number):
        """What was heard for an open operation, as plain values; ``None`` if it is not open.

        Answers are (replica, :class:`Held`, incarnation) in the order of arrival, acknowledgements (replica,
        incarnation) by ascending replica.
        """
        cdef Operation operation
        with cython.critical_section(self):
            operation = self.operations.get(number)
            return None if operation is None else votes_of(operation)

    cdef list intents_in_order(self):
        cdef StoredIntent stored
        return [Intent(stored.row, stored.held, stored.targets) for _, stored in sorted(self.intents.items())]

    # Steps.

    cdef int take(self, object event, list out) except -1:
        cdef object kind = type(event)
        cdef Operation operation
        if kind is Start:
            if self.up:
                raise CallerError("Start at a coordinator that is up: deliver Crash first")
            self.up = True
            return 0
        if not self.up:
            raise CallerError(f"{kind.__name__} at a coordinator that is down: start it")
        if kind is Deliver:
            return self.deliver(event, out)
        if isinstance(event, Request):
            return self.begin(event, out)
        if kind is Stamped:
            operation = self.operations.get((<Stamped> event).operation)
            return 0 if operation is None else self.stamped(operation, (<Stamped> event).at, out)
        if kind is IntentStored:
            return self.intent_stored(event, self.operations.get((<IntentStored> event).operation), out)
        if kind is Deadline:
            operation = self.operations.get((<Deadline> event).operation)
            return 0 if operation is None else self.deadline(operation, out)
        if kind is StampRefused:
            operation = self.operations.get((<StampRefused> event).operation)
            return 0 if operation is None else self.stamp_refused(operation, (<StampRefused> event).reason, out)
        if kind is Adopt:
            return self.adopt((<Adopt> event).setting)
        if kind is Crash:
            self.up = False
            self.operations = {}
            self.known = Incarnations()
            return 0
        raise CallerError(f"{shown(event)} is no event of a coordinator: pass one of this module's")

    cdef int adopt(self, Setting setting) except -1:
        if setting.epoch <= self.setting.epoch:
            raise CallerError(
                f"epoch {setting.epoch} is not above {self.setting.epoch}: a setting never comes back"
            )
        self.members = Members(setting)
        self.setting = setting
        return 0

    # --- requests -----------------------------------------------------------------------------------------------

    cdef int begin(self, Request event, list out) except -1:
        cdef Operation operation
        cdef Query query
        cdef object kind = type(event)
        if event.operation in self.operations:
            raise CallerError(f"operation {event.operation} is open already: number each of them anew")
        if len(self.operations) >= self.max_operations:
            raise TooManyOperationsError(self.max_operations)
        if kind is PutValue and len(self.intents) >= self.max_intents:
            raise TooManyIntentsError(self.max_intents)
        operation = Operation.__new__(Operation, self.members)
        operation.number = event.operation
        operation.row = event.row
        operation.phase = ASKING
        if kind is Read:
            operation.kind = READ
            operation.token = (<Read> event).above
        elif kind is PutValue:
            operation.kind = WRITE
            operation.token = (<PutValue> event).above
            operation.value = (<PutValue> event).value
        elif kind is Reserve:
            operation.kind = RESERVE
            operation.token = (<Reserve> event).above
        elif kind is LookUp:
            operation.kind = LOOK_UP
            operation.token = (<LookUp> event).at
        else:
            raise CallerError(f"{shown(event)} is no request: pass Read, PutValue, Reserve or LookUp")
        self.operations[operation.number] = operation
        if kind is PutValue and ((<PutValue> event).at.high or (<PutValue> event).at.low):
            return self.write(operation, (<PutValue> event).at, out)
        if operation.kind in (WRITE, RESERVE) and not looks_first(self.setting):
            return self.ask_for_stamp(operation, out)
        query = Query.__new__(Query)
        query.operation = operation.number
        query.epoch = self.setting.epoch
        query.row = operation.row
        for replica in self.setting.replicas:
            out.append(send_to(replica, query))
        return 0

    cdef int ask_for_stamp(self, Operation operation, list out) except -1:
        """What is asked for now is what is checked then: answers that come meanwhile do not raise it."""
        cdef Stamp stamp = Stamp.__new__(Stamp)
        operation.token = stamp_above(operation.answers, operation.token)
        operation.phase = STAMPING
        stamp.operation = operation.number
        stamp.at = operation.token
        out.append(stamp)
        return 0

    cdef int stamped(self, Operation operation, Version version, list out) except -1:
        if operation.phase != STAMPING:
            return 0
        if not below(operation.token, version):
            raise CallerError(
                f"version {number_of(version)} is not above {number_of(operation.token)}: merge that into the "
                f"clock first"
            )
        if operation.kind == RESERVE:
            operation.phase = DONE
            out.append(reply(operation.number, RESERVED, held_at(version, None), ""))
            return 0
        return self.write(operation, version, out)

    cdef int stamp_refused(self, Operation operation, str reason, list out) except -1:
        if operation.phase != STAMPING:
            return 0
        operation.phase = DONE
        out.append(reply(operation.number, NOT_APPLIED, NOTHING_HELD, reason))
        return 0

    cdef int write(self, Operation operation, Version version, list out) except -1:
        """The intent and the messages leave together (rule QUORUM.R11)."""
        cdef Setting setting = operation.members.setting
        cdef Intent intent = Intent.__new__(Intent)
        cdef StoreIntent store = StoreIntent.__new__(StoreIntent)
        cdef Held held = held_at(version, operation.value)
        cdef Write message
        self.wrote(operation, held)
        intent.row = operation.row
        intent.held = held
        intent.targets = setting.members
        store.operation = operation.number
        store.intent = intent
        out.append(store)
        message = write_of(operation)
        for replica in setting.replicas:
            out.append(send_to(replica, message))
        return 0

    cdef int wrote(self, Operation operation, Held held) except -1:
        """From here on it is known what holders hold; who answered it already is one."""
        cdef Py_ssize_t index
        operation.phase = WRITING
        operation.written = held
        for index in range(len(operation.answers)):
            operation.votes[operation.order[index]].holds = not supersedes(held, operation.answers[index])
        return 0

    # --- answers ------------------------------------------------------------------------------------------------

    cdef int deliver(self, Deliver event, list out) except -1:
        cdef Operation operation
        cdef int position
        cdef object kind = type(event.message)
        if event.replica == ABSENT:
            raise CallerError(f"{kind.__name__} to a coordinator comes from a replica: say from which")
        if kind is Acknowledgement:
            self.known = remembered(self.known, (<Acknowledgement> event.message).told)
            self.cancel(event.replica, <Acknowledgement> event.message)
            operation = self.operations.get((<Acknowledgement> event.message).operation)
        elif kind is Answer:
            self.known = remembered(self.known, (<Answer> event.message).told)
            operation = self.operations.get((<Answer> event.message).operation)
        elif kind is OldEpoch:
            operation = self.operations.get((<OldEpoch> event.message).operation)
        else:
            raise CallerError(f"{kind.__name__} is a message to a replica, not to a coordinator")
        if operation is None:
            return 0
        position = position_of(event.replica, operation.members.setting)
        if position == ABSENT:
            return 0
        if kind is Acknowledgement:
            return self.acknowledgement(operation, position, <Acknowledgement> event.message, out)
        if kind is Answer:
            return self.answer(operation, position, <Answer> event.message, out)
        return self.old_epoch(operation, <OldEpoch> event.message, out)

    cdef int answer(self, Operation operation, int position, Answer message, list out) except -1:
        cdef Vote *vote = &operation.votes[position]
        cdef Held written = operation.written
        if vote.answered_as != ABSENT:
            return 0
        vote.answered_as = incarnation_of(operation.members.setting.ids[position], message.told)
        operation.order[len(operation.answers)] = position
        operation.answers.append(message.held)
        if written is not None:
            vote.holds = not supersedes(written, message.held)
        if operation.phase == ASKING:
            return self.choose(operation, out)
        if written is None or operation.kind == WRITE or operation.kind == RESERVE:
            return 0
        if not vote.holds:  # A late answer still repairs (rule QUORUM.R4).
            out.append(send_to(operation.members.setting.replicas[position], write_of(operation)))
            return 0
        return self.settle(operation, out)

    cdef int choose(self, Operation operation, list out) except -1:
        """Enough answers: what is the newest that they hold?"""
        cdef Setting setting = operation.members.setting
        cdef Held winner = None
        cdef Held held
        cdef Py_ssize_t index
        cdef int64_t *lives
        cdef Vote *vote
        cdef int position
        cdef bint replied
        cdef Write message
        if not enough_answers(setting, len(operation.answers)):
            return 0
        if operation.kind == WRITE or operation.kind == RESERVE:
            return self.ask_for_stamp(operation, out)
        for held in operation.answers:
            if winner is None or supersedes(held, winner):
                winner = held
        if operation.kind == LOOK_UP and below(winner.at, operation.token):
            operation.phase = DONE
            out.append(reply(operation.number, NOT_AT_A_QUORUM, winner, ""))
            return 0
        if operation.kind == READ and not fresh_enough(winner, operation.token):
            return 0  # Another replica may know better: all were asked.
        self.wrote(operation, winner)
        self.settle(operation, out)
        message = write_of(operation)
        # If it could reply at once, only those are repaired that are known to need it. Otherwise who held it and
        # lost its disk since is asked as well: what it said is not counted (rule QUORUM.R14).
        replied = operation.phase == DONE
        lives = self.lives_in(operation.members)
        for index in range(len(operation.answers)):
            position = operation.order[index]
            vote = &operation.votes[position]
            if not (vote.holds if replied else holds_now(vote, lives[position])):
                out.append(send_to(setting.replicas[position], message))
        if replied:
            return 0
        for position in range(setting.size):
            if operation.votes[position].answered_as == ABSENT:
                out.append(send_to(setting.replicas[position], message))
        return 0

    cdef int acknowledgement(
        self, Operation operation, int position, Acknowledgement message, list out
    ) except -1:
        cdef Vote *vote = &operation.votes[position]
        cdef int64_t told = incarnation_of(operation.members.setting.ids[position], message.told)
        if operation.written is None or not same(message.at, operation.written.at):
            return 0
        if told < vote.acknowledged_as:
            return 0  # A message from before its disk was lost, overtaken by a later one.
        operation.acknowledged += vote.acknowledged_as == ABSENT
        vote.acknowledged_as = told
        return self.settle(operation, out)

    cdef int intent_stored(self, IntentStored event, Operation operation, list out) except -1:
        """An intent that is durable is kept, also when its operation is over (rule QUORUM.R11)."""
        cdef Intent intent = event.intent
        if operation is None:
            # Who acknowledged is forgotten: all targets are named, and one that holds it will say so again.
            return self.keep(intent, None)
        if (
            operation.kind != WRITE
            or operation.intent_is_durable
            or operation.written is None
            or operation.row != intent.row
            or not equal(operation.written, intent.held)
        ):
            raise CallerError(f"IntentStored for operation {event.operation}, which is not storing this one")
        operation.intent_is_durable = True
        self.keep(intent, operation)
        return self.settle(operation, out)

    cdef int keep(self, Intent intent, Operation operation) except -1:
        """With this intent, without those targets that are known to hold it.

        The write may have been repeated under its version (rule QUORUM.R9), by another setting: then there is
        one intent for both, and it names the targets of both.
        """
        cdef bytes version = bytes_of(intent.held.at)
        cdef StoredIntent stored = self.intents.get(version)
        cdef StoredIntent fresh = StoredIntent.__new__(StoredIntent)
        cdef int64_t *lives
        cdef Setting setting
        cdef int position
        fresh.row = intent.row
        fresh.held = intent.held
        fresh.targets = set(intent.targets)
        if stored is not None:
            fresh.targets |= stored.targets
            if supersedes(stored.held, fresh.held):
                fresh.held = stored.held
        if operation is not None:
            setting = operation.members.setting
            lives = self.lives_in(operation.members)
            for position in range(setting.size):
                if acknowledged_now(&operation.votes[position], lives[position]):
                    fresh.targets.discard(setting.replicas[position])
        if fresh.targets:
            self.intents[version] = fresh
        elif stored is not None:
            del self.intents[version]
        return 0

    cdef int settle(self, Operation operation, list out) except -1:
        """Reply if enough replicas are known to hold it (rules QUORUM.R5 and QUORUM.R6)."""
        cdef Setting setting = operation.members.setting
        cdef object outcome
        cdef bint may
        cdef int holders
        if operation.phase != WRITING:
            return 0
        holders = self.holders(operation)
        if operation.kind == WRITE:
            may = write_may_reply(setting, holders, operation.intent_is_durable)
            outcome = COMMITTED
        elif operation.kind == READ:
            may = read_may_reply(setting, holders)
            outcome = VALUE
        else:
            may = enough_holders(setting, holders)
            outcome = COMMITTED if same(operation.written.at, operation.token) else SUPERSEDED
        if may:
            operation.phase = DONE
            out.append(reply(operation.number, outcome, operation.written, ""))
        return 0

    cdef int holders(self, Operation operation) except -1:
        """How many are known to hold what was written, or something newer, and have not lost their disk since."""
        cdef int64_t *lives = self.lives_in(operation.members)
        cdef Vote *vote = operation.votes
        cdef int position, count = 0
        for position in range(operation.members.setting.size):
            count += holds_now(&vote[position], lives[position])
        return count

    cdef int64_t *lives_in(self, Members members) noexcept:
        """The incarnations that are known of the members, by position."""
        cdef int position
        if members.known is not self.known:
            for position in range(members.setting.size):
                members.lives[position] = incarnation_of(members.setting.ids[position], self.known)
            members.known = self.known
        return members.lives

    cdef int cancel(self, int32_t sender, Acknowledgement message) except -1:
        """An acknowledgement cancels its part of the intent, and the last one all of it (rule QUORUM.R11)."""
        cdef bytes version
        cdef StoredIntent stored
        if not self.intents:
            return 0
        version = bytes_of(message.at)
        stored = self.intents.get(version)
        if stored is None or not current(incarnation_of(sender, message.told), incarnation_of(sender, self.known)):
            return 0
        stored.targets.discard(sender)
        if not stored.targets:
            del self.intents[version]
        return 0

    # --- endings ------------------------------------------------------------------------------------------------

    cdef int old_epoch(self, Operation operation, OldEpoch message, list out) except -1:
        cdef int64_t began = operation.members.setting.epoch
        if operation.phase == DONE or message.epoch <= began:
            return 0
        reason = f"epoch {message.epoch} is in force, this operation began in {began}"
        out.append(ended(operation, reason))
        operation.phase = DONE
        return 0

    cdef int deadline(self, Operation operation, list out) except -1:
        if operation.phase != DONE:
            reason = f"{len(operation.answers)} answers and {operation.acknowledged} acknowledgements in time"
            out.append(ended(operation, reason))
        del self.operations[operation.number]
        return 0
