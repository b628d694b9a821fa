# Part of handoff.pyx: what the catalog knows of a shard's floor.


# --- events and effects -------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class ProposeFloor(AtFloor):
    """A node wants a floor, well in the past, that no write takes (rule HANDOFF.R9)."""


@cython.no_gc
cdef class OfReplica(Value):
    """What a replica says, or what happened to it."""

    __match_args__ = ("replica",)

    def __init__(self, replica):
        self.replica = target_number(replica, "replica id")


@cython.final
@cython.no_gc
cdef class Closed(OfReplica):
    """A replica has closed this floor, durably."""

    __match_args__ = ("replica", "floor")

    def __init__(self, replica, floor):
        self.replica = target_number(replica, "replica id")
        read_version(floor, "version", 0, &self.at)

    @property
    def floor(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class Converged(OfReplica):
    """A replica has converged at this floor, in this incarnation."""

    __match_args__ = ("replica", "floor", "incarnation")

    def __init__(self, replica, floor, incarnation):
        self.replica = target_number(replica, "replica id")
        read_version(floor, "version", 0, &self.at)
        self.incarnation = whole(incarnation, "incarnation", 0, MAX_NUMBER)

    @property
    def floor(self):
        """The 128-bit number."""
        return number_of(self.at)


@cython.final
@cython.no_gc
cdef class ReplicaLostDisk(OfReplica):
    """A replica starts on an empty disk, in this incarnation, which is above each that it ever had."""

    __match_args__ = ("replica", "incarnation")

    def __init__(self, replica, incarnation):
        self.replica = target_number(replica, "replica id")
        self.incarnation = whole(incarnation, "incarnation", 0, MAX_NUMBER)


@cython.final
@cython.no_gc
cdef class AskFloor(OfReplica):
    """A replica asks how far the floor is: at its start, and from time to time."""


@cython.final
@cython.no_gc
cdef class Tell(Value):
    """Tell this replica so."""

    __match_args__ = ("to", "what")

    def __init__(self, to, AtFloor what not None):
        self.to = target_number(to, "replica id")
        self.what = what


# --- the machine --------------------------------------------------------------------------------------------


@cython.final
cdef class FloorCatalog:
    """The catalog's part in the floor of one shard, as a state machine: who has closed it, who has converged.

    All of its state is durable: what changed must be so before an effect of the same step is carried out. It says
    the same again whenever it is asked, because a replica may have crashed meanwhile.

    :param setting: who holds the shard.
    :param incarnations: of every replica, the present one (rule QUORUM.R14).
    :param proposed: the highest floor that was ever proposed, or 0.
    :param closed: the replicas that have closed it.
    :param converged: (replica, incarnation) of each that has converged at it.
    :param all_converged: the highest floor at which all have converged, or 0.
    :param voided: whether a disk was lost before all had converged at the proposed floor (rule HANDOFF.R13).
    :raises CallerError: if a value is out of range.
    """

    def __cinit__(self, setting, incarnations, *, proposed=0, closed=(), converged=(), all_converged=0, voided=False):
        check_is(setting, Setting, "setting")
        self.setting = setting
        self.lives = dict(told_by(incarnations).pairs)
        read_version(proposed, "proposed", 0, &self.proposed_at)
        read_version(all_converged, "all_converged", 0, &self.all_converged_at)
        check_is(voided, bool, "voided")
        self.voided = voided
        self.closed_by = set(replica_set(closed, "closed"))
        self.converged_as = dict(told_by(converged).pairs)

    def step(self, event):
        """Take one step: a tuple of :class:`Tell`.

        :raises CallerError: if a floor does not rise or comes too soon, a replica is none of the setting's, or an
            incarnation is not above the last. The state is then unchanged.
        """
        cdef list out = []
        with cython.critical_section(self):
            self.take(event, out)
        return tuple(out)

    # Looking at it.

    @property
    def incarnations(self):
        """(replica, incarnation) of each, ascending."""
        return tuple(sorted(self.lives.items()))

    @property
    def proposed(self):
        """The highest floor that was ever proposed; 0 if there is none."""
        return number_of(self.proposed_at)

    @property
    def closed(self):
        """Who has closed it. Who loses its disk starts closed at it (rule HANDOFF.R13)."""
        return frozenset(self.closed_by)

    @property
    def converged(self):
        """(replica, incarnation) of each that has converged at it, ascending."""
        return tuple(sorted(self.converged_as.items()))

    @property
    def all_converged(self):
        """The highest floor at which all have converged: replicas may settle there, whatever happens later."""
        return number_of(self.all_converged_at)

    def state(self):
        """The whole state as plain values, in the form that traces use."""
        with cython.critical_section(self):
            return {
                "setting": setting_to_plain(self.setting),
                "incarnations": pairs_of(self.lives),
                "proposed": f"{number_of(self.proposed_at):x}",
                "closed": sorted(self.closed_by),
                "converged": pairs_of(self.converged_as),
                "all_converged": f"{number_of(self.all_converged_at):x}",
                "void": self.voided,
            }

    # Steps.

    cdef int take(self, object event, list out) except -1:
        cdef object kind = type(event)
        if kind is ProposeFloor:
            return self.propose((<ProposeFloor> event).at, out)
        if not isinstance(event, OfReplica):
            raise CallerError(f"{shown(event)} is no event of the catalog: pass one of this module's")
        if (<OfReplica> event).replica not in self.setting.members:
            raise CallerError(f"replica {event.replica} is none of {self.setting.replicas}")
        if kind is Closed:
            return self.closed_one(event, out)
        if kind is Converged:
            return self.converged_one(event, out)
        if kind is ReplicaLostDisk:
            return self.lost_disk(event)
        if kind is AskFloor:
            return self.answer((<AskFloor> event).replica, out)
        raise CallerError(f"{shown(event)} is no event of the catalog: pass one of this module's")

    cdef int propose(self, Version floor, list out) except -1:
        """One floor after the other: the next one when all have converged at this one, or none will.

        A replica that closes the next one has to merge the past anew. So nothing but the end of it depends on
        this: a floor that rises too fast would never be reached.
        """
        if not below(self.proposed_at, floor):
            raise CallerError(f"floor {number_of(floor)} is not above {self.proposed}: floors rise")
        if not same(self.proposed_at, self.all_converged_at) and not self.voided:
            raise CallerError(
                f"floor {number_of(floor)}: not all replicas have converged at {self.proposed} yet; wait for "
                f"{sorted(self.setting.members.difference(self.converged_as))}"
            )
        self.proposed_at = floor
        self.closed_by = set()
        self.converged_as = {}
        self.voided = False
        return self.tell_all(at_floor(Propose.__new__(Propose), floor), out)

    cdef int closed_one(self, Closed event, list out) except -1:
        cdef bint was_closed = self.all_closed()
        if self.voided or not same(event.at, self.proposed_at):
            return 0  # Nothing comes of that floor, or it is an older one.
        self.closed_by.add(event.replica)
        if self.all_closed() and not was_closed:
            self.tell_all(at_floor(AllClosed.__new__(AllClosed), self.proposed_at), out)
        return 0

    cdef int converged_one(self, Converged event, list out) except -1:
        """What a replica said before it lost its disk is not counted (rule HANDOFF.R13)."""
        if self.voided or not same(event.at, self.proposed_at):
            return 0
        if event.incarnation != self.lives.get(event.replica, 0):
            return 0
        self.converged_as[event.replica] = max(event.incarnation, self.converged_as.get(event.replica, 0))
        if same(self.all_converged_at, self.proposed_at) or len(self.converged_as) < self.setting.size:
            return 0
        self.all_converged_at = self.proposed_at
        return self.tell_all(at_floor(AllConverged.__new__(AllConverged), self.proposed_at), out)

    cdef int lost_disk(self, ReplicaLostDisk event) except -1:
        was = self.lives.get(event.replica, 0)
        if event.incarnation <= was:
            raise CallerError(
                f"replica {event.replica} is to start as incarnation {event.incarnation}, and was {was}: pass a "
                f"higher one, or what it said before still counts"
            )
        self.lives[event.replica] = event.incarnation
        if is_void(self.proposed_at, self.all_converged_at):
            self.closed_by = set()
            self.converged_as = {}
            self.voided = True
        return 0

    cdef int answer(self, int32_t replica, list out) except -1:
        if not is_version(self.proposed_at):
            return 0
        out.append(tell(replica, at_floor(Propose.__new__(Propose), self.proposed_at)))
        if self.all_closed():
            out.append(tell(replica, at_floor(AllClosed.__new__(AllClosed), self.proposed_at)))
        if is_version(self.all_converged_at):
            out.append(tell(replica, at_floor(AllConverged.__new__(AllConverged), self.all_converged_at)))
        return 0

    cdef bint all_closed(self) noexcept:
        return is_version(self.proposed_at) and len(self.closed_by) == self.setting.size

    cdef int tell_all(self, AtFloor what, list out) except -1:
        for replica in self.setting.replicas:
            out.append(tell(replica, what))
        return 0


cdef inline Tell tell(int32_t replica, AtFloor what):
    cdef Tell made = Tell.__new__(Tell)
    made.to = replica
    made.what = what
    return made


cdef list pairs_of(dict lives):
    return [list(pair) for pair in sorted(lives.items())]
