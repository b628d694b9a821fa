# Part of handoff.pyx: one replica and one shard, up to where its past is forgotten.


# --- events and effects -------------------------------------------------------------------------------------


@cython.no_gc
cdef class AtFloor(Value):
    """What is about a floor: a version that no write takes (rule HANDOFF.R9).

    :raises CallerError: if it is no version, 1 to 2**128 - 1.
    """

    __match_args__ = ("floor",)

    def __init__(self, floor):
        read_version(floor, "version", 1, &self.at)

    @property
    def floor(self):
        """The 128-bit number."""
        return number_of(self.at)


cdef inline AtFloor at_floor(AtFloor made, Version floor):
    made.at = floor
    return made


@cython.final
@cython.no_gc
cdef class Propose(AtFloor):
    """The catalog proposes a floor (rule HANDOFF.R9)."""


@cython.final
@cython.no_gc
cdef class AllClosed(AtFloor):
    """The catalog has heard from all replicas that they have closed this floor."""


@cython.final
@cython.no_gc
cdef class AllConverged(AtFloor):
    """The catalog has heard from all replicas, in their present incarnations, that they have converged."""


@cython.final
@cython.no_gc
cdef class Merged(Value):
    """The past of this other replica up to the closed floor is merged, and durable."""

    __match_args__ = ("other",)

    def __init__(self, other):
        self.other = target_number(other, "replica id")


@cython.final
@cython.no_gc
cdef class FloorLost(Value):
    """It starts on an empty disk; ``proposed`` is the highest floor that was ever proposed, or 0 (HANDOFF.R13)."""

    __match_args__ = ("proposed",)

    def __init__(self, proposed):
        read_version(proposed, "version", 0, &self.at)

    @property
    def proposed(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class Recovered(Value):
    """It has merged what enough others hold (QUORUM.R13); ``settled`` is the highest floor at which one of them
    settled, or 0."""

    __match_args__ = ("settled",)

    def __init__(self, settled):
        settled_floor(settled, &self.at)

    @property
    def settled(self):
        """The 128-bit number."""
        return number_of(self.at)


cdef int settled_floor(value, Version *into) except -1:
    """0, or a version."""
    read_version(value, "version", 0 if type(value) is int and value == 0 else 1, into)
    return 0


@cython.final
@cython.no_gc
cdef class SayClosed(AtFloor):
    """Tell the catalog that this floor is closed here."""


@cython.final
@cython.no_gc
cdef class AskFor(AtFloor):
    """Ask this replica for its past up to the floor."""

    __match_args__ = ("other", "floor")

    def __init__(self, other, floor):
        self.other = target_number(other, "replica id")
        read_version(floor, "version", 1, &self.at)


@cython.final
@cython.no_gc
cdef class SayConverged(AtFloor):
    """Tell the catalog, with the present incarnation, that this replica has converged at the floor."""


@cython.final
@cython.no_gc
cdef class PurgeBelow(AtFloor):
    """Tombstones at or below the floor may go, whenever there is time (rule HANDOFF.R11)."""


# --- the machine --------------------------------------------------------------------------------------------


@cython.final
cdef class FloorCore:
    """One replica's floor as a state machine, beside the rows that it holds.

    ``closed``, ``converged`` and ``floor`` are durable: what changed in them must be so before any effect of the
    same step is carried out. They go when the disk is lost. :class:`FlooredReplicaCore` has one, with the rows.

    :param setting: who holds the shard.
    :param replica: its node id, 0 to 65535.
    :param closed: the highest floor below which nothing enters any more, or 0.
    :param converged: the highest floor at which it holds what all hold, or 0.
    :param floor: the floor at which it has settled, or 0.
    :raises CallerError: if a value is out of range.
    """

    def __cinit__(self, setting, replica, *, closed=0, converged=0, floor=0):
        check_is(setting, Setting, "setting")
        self.setting = setting
        self.replica = target_number(replica, "replica id")
        self.others = self.setting.members - {self.replica}
        read_version(closed, "closed", 0, &self.closed_at)
        read_version(converged, "converged", 0, &self.converged_at)
        read_version(floor, "floor", 0, &self.floor_at)
        if below(self.closed_at, self.converged_at) or below(self.converged_at, self.floor_at):
            raise CallerError(
                f"closed {closed}, converged {converged}, floor {floor}: a replica settles where it has converged, "
                f"and converges where it has closed"
            )
        self.merged = set()

    def step(self, event):
        """Take one step: a tuple of effects.

        :raises CallerError: if the event is impossible in this state, which is then unchanged.
        """
        cdef list out = []
        with cython.critical_section(self):
            self.take(event, out)
        return tuple(out)

    # Beside the replica.

    def admits(self, Held held not None, Held sent not None):
        """Whether a write, write-back or hint is taken and acknowledged; else it is *below the floor*.

        ``held`` is what is there, and not what a query is told: an absent row at a settled replica vouches for
        nothing, or a write would be acknowledged that nobody will ever read.
        """
        with cython.critical_section(self):
            return self.takes(held, sent)

    def answer(self, Held held not None):
        """What a query is told of a row of which this is held (rule HANDOFF.R11)."""
        with cython.critical_section(self):
            return self.told(held)

    def admits_backup(self, Held others not None, Held held not None):
        """Whether a backup's row is merged, when ``others`` is the newest that anybody else holds."""
        with cython.critical_section(self):
            return believes_backup(self.closed_at, held) or held == others

    # Looking at it.

    @property
    def closed(self):
        """The highest floor below which nothing enters any more; 0 if there is none."""
        return number_of(self.closed_at)

    @property
    def converged(self):
        """The highest floor at which it holds what all hold; 0 if there is none."""
        return number_of(self.converged_at)

    @property
    def floor(self):
        """The floor at which it has settled: what is absent is deleted at this version; 0 if there is none."""
        return number_of(self.floor_at)

    def state(self):
        """The whole state as plain values, in the form that traces use."""
        with cython.critical_section(self):
            return {**self.durable_to_plain(), **self.volatile_to_plain()}

    cdef dict durable_to_plain(self):
        return {
            "closed": f"{number_of(self.closed_at):x}",
            "converged": f"{number_of(self.converged_at):x}",
            "floor": f"{number_of(self.floor_at):x}",
        }

    cdef dict volatile_to_plain(self):
        return {
            "all_closed": f"{number_of(self.all_closed_at):x}",
            "all_converged": f"{number_of(self.all_converged_at):x}",
            "merged": sorted(self.merged),
        }

    # What the rules say here.

    cdef bint takes(self, Held held, Held sent) noexcept:
        return takes(self.closed_at, self.converged_at, held, sent)

    cdef Held told(self, Held held):
        """An absent row of a replica that has settled is deleted at its floor (rule HANDOFF.R11)."""
        if is_version(held.at) or not is_version(self.floor_at):
            return held
        return held_at(self.floor_at, None)

    # Steps.

    cdef int take(self, object event, list out) except -1:
        cdef object kind = type(event)
        if kind is Propose:
            return self.close((<Propose> event).at, out)
        if kind is AllClosed:
            return self.all_closed_now((<AllClosed> event).at, out)
        if kind is Merged:
            self.check_merged((<Merged> event).other)
            return self.merged_one((<Merged> event).other, out)
        if kind is AllConverged:
            return self.all_converged_now((<AllConverged> event).at, out)
        if kind is Crash:
            return self.crash()
        if kind is FloorLost:
            self.check_lost((<FloorLost> event).at)
            return self.lost((<FloorLost> event).at, out)
        if kind is Recovered:
            return self.recovered((<Recovered> event).at)
        raise CallerError(f"{shown(event)} is no event of a floor: pass one of this module's")

    cdef int close(self, Version floor, list out) except -1:
        if below(self.closed_at, floor):
            self.closed_at = floor
            self.merged.clear()
        # If it was closed already, it may not have been heard.
        out.append(at_floor(SayClosed.__new__(SayClosed), self.closed_at))
        return 0

    cdef int all_closed_now(self, Version floor, list out) except -1:
        cdef AskFor ask
        if below(self.all_closed_at, floor):
            self.all_closed_at = floor
        if same(self.converged_at, self.closed_at) and is_version(self.closed_at):
            # It may not have been heard.
            out.append(at_floor(SayConverged.__new__(SayConverged), self.converged_at))
            return 0
        if not is_version(self.closed_at) or below(self.all_closed_at, self.closed_at):
            return 0  # Of an older floor than is closed here (rule HANDOFF.R10), or none is.
        for other in sorted(self.others - self.merged):
            ask = AskFor.__new__(AskFor)
            ask.other = other
            out.append(at_floor(ask, self.closed_at))
        return 0

    cdef int check_merged(self, int32_t other) except -1:
        if other not in self.others:
            raise CallerError(f"replica {other} is none of the others: {sorted(self.others)}")
        return 0

    cdef int merged_one(self, int32_t other, list out) except -1:
        """What was merged before all had closed is not the whole past (rule HANDOFF.R10)."""
        if same(self.converged_at, self.closed_at) or below(self.all_closed_at, self.closed_at):
            return 0
        self.merged.add(other)
        if not has_converged(self.setting, len(self.merged)):
            return 0
        self.converged_at = self.closed_at
        self.merged.clear()
        out.append(at_floor(SayConverged.__new__(SayConverged), self.converged_at))
        return self.settle(out)

    cdef int all_converged_now(self, Version floor, list out) except -1:
        if below(self.all_converged_at, floor):
            self.all_converged_at = floor
        return self.settle(out)

    cdef int settle(self, list out) except -1:
        if not may_settle(self.converged_at, self.all_converged_at, self.closed_at):
            return 0
        if not below(self.floor_at, self.closed_at):
            return 0
        self.floor_at = self.closed_at
        out.append(at_floor(PurgeBelow.__new__(PurgeBelow), self.floor_at))
        return 0

    cdef int crash(self) except -1:
        self.all_closed_at.high = self.all_closed_at.low = 0
        self.all_converged_at.high = self.all_converged_at.low = 0
        self.merged.clear()
        return 0

    cdef int check_lost(self, Version proposed) except -1:
        """Refuse what can not be, before anything is changed, here or at the rows."""
        if below(proposed, self.closed_at):
            raise CallerError(
                f"floor {number_of(proposed)} is below {number_of(self.closed_at)}, which replica {self.replica} "
                f"had closed: the catalog names the highest that was ever proposed"
            )
        return 0

    cdef int lost(self, Version proposed, list out) except -1:
        """It starts closed at what the others may have closed (rule HANDOFF.R13)."""
        self.crash()
        self.closed_at = proposed
        self.converged_at.high = self.converged_at.low = 0
        self.floor_at.high = self.floor_at.low = 0
        if is_version(proposed):
            out.append(at_floor(SayClosed.__new__(SayClosed), proposed))
        return 0

    cdef int recovered(self, Version settled) except -1:
        if below(self.closed_at, settled):
            self.closed_at = settled
        if below(self.converged_at, settled):
            self.converged_at = settled
        if below(self.floor_at, settled):
            self.floor_at = settled
        return 0
