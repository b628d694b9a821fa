# Part of quorum.pyx: what a coordinator works on.

cdef tuple KINDS = ("read", "write", "reserve", "look up")
cdef tuple PHASES = ("asking", "stamping", "writing", "done")
cdef object VALUE = Outcome.VALUE
cdef object RESERVED = Outcome.RESERVED
cdef object COMMITTED = Outcome.COMMITTED
cdef object NOT_APPLIED = Outcome.NOT_APPLIED
cdef object INDETERMINATE = Outcome.INDETERMINATE
cdef object SUPERSEDED = Outcome.SUPERSEDED
cdef object NOT_AT_A_QUORUM = Outcome.NOT_AT_A_QUORUM
cdef object FAILED = Outcome.FAILED


@cython.final
@cython.no_gc
cdef class Members:
    """The replicas of a setting, with the incarnations that one coordinator knows of them.

    All operations that began under the setting share it. ``CoordinatorCore.lives_in`` keeps it up to date.
    """

    def __cinit__(self, Setting setting):
        self.setting = setting
        self.lives = <int64_t *> allocated(setting.size, sizeof(int64_t))

    def __dealloc__(self):
        PyMem_Free(self.lives)


@cython.final
@cython.no_gc
cdef class Operation:
    """One operation that is open. Lost when the coordinator crashes."""

    def __cinit__(self, Members members):
        cdef int size = members.setting.size
        cdef int position
        self.members = members
        self.answers = []
        # One allocation for both: the votes, and after them the order of the answers.
        self.votes = <Vote *> allocated(size, sizeof(Vote) + 1)
        self.order = <uint8_t *> (self.votes + size)
        for position in range(size):
            self.votes[position].answered_as = ABSENT
            self.votes[position].acknowledged_as = ABSENT

    def __dealloc__(self):
        PyMem_Free(self.votes)


@cython.final
@cython.no_gc
cdef class StoredIntent:
    """An intent that is durable. Its targets become fewer as they acknowledge, and the last one ends it."""


cdef dict votes_of(Operation operation):
    """See :meth:`CoordinatorCore.votes`."""
    cdef Setting setting = operation.members.setting
    cdef int position
    cdef Py_ssize_t index
    cdef list answers = [], acknowledged = []
    for index in range(len(operation.answers)):
        position = operation.order[index]
        answers.append((setting.replicas[position], operation.answers[index], operation.votes[position].answered_as))
    for position in range(setting.size):
        if operation.votes[position].acknowledged_as != ABSENT:
            acknowledged.append((setting.replicas[position], operation.votes[position].acknowledged_as))
    return {
        "row": operation.row,
        "setting": setting,
        "value": operation.value,
        "token": number_of(operation.token),
        "written": operation.written,
        "intent_is_durable": operation.intent_is_durable,
        "answers": answers,
        "acknowledged": sorted(acknowledged),
    }


cdef Reply ended(Operation operation, str reason):
    """What is known of an operation that did not reach its quorum (rule QUORUM.R8). Nothing is undone."""
    if operation.kind == READ or operation.kind == LOOK_UP:
        return reply(operation.number, FAILED, NOTHING_HELD, reason)
    if operation.written is None:
        return reply(operation.number, NOT_APPLIED, NOTHING_HELD, reason)
    return reply(operation.number, INDETERMINATE, operation.written, reason)


cdef Write write_of(Operation operation):
    """The message that brings a replica what was written."""
    cdef Write message = Write.__new__(Write)
    message.operation = operation.number
    message.epoch = operation.members.setting.epoch
    message.row = operation.row
    message.held = operation.written
    return message


cdef inline bint equal(Held one, Held other) noexcept:
    return one is other or not (supersedes(one, other) or supersedes(other, one))


cdef inline bint acknowledged_now(Vote *vote, int64_t life) noexcept nogil:
    """Whether it acknowledged what was written, and that still binds it (rule QUORUM.R14)."""
    return vote.acknowledged_as != ABSENT and current(vote.acknowledged_as, life)


cdef inline bint holds_now(Vote *vote, int64_t life) noexcept nogil:
    """Whether it holds what was written, or something newer, as far as it said so and that still binds it."""
    if vote.answered_as != ABSENT and vote.holds and current(vote.answered_as, life):
        return True
    return acknowledged_now(vote, life)
