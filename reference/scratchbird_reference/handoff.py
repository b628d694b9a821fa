"""The rules of handoff and of deletes, one method each: what is owed, and what may be forgotten.

``spec/handoff.md`` states the rules. The machines that follow them: what a coordinator owes,
:mod:`scratchbird_reference.handoff_hints`; up to where a replica has forgotten the past of a shard,
:mod:`scratchbird_reference.handoff_floor`, and how it answers from then on,
:mod:`scratchbird_reference.handoff_replica`; who has closed a floor and converged at it,
:mod:`scratchbird_reference.handoff_catalog`. A wrong rule is a subclass of
:class:`Rules` that replaces one method.

Why it is right, in one paragraph. A write's intent names every target before the write is acknowledged
(QUORUM.R11). A name is struck out only when the target holds the version, or under a durable mark that says
that a repair is owed (HANDOFF.R5); and a mark is paid only by an exchange with so many others that one of
them holds whatever was acknowledged (HANDOFF.R6). So the account is balanced in every state. What is deleted
stays deleted because nothing at or below a floor enters a shard once all its replicas have closed it, all of
them end with the same past, and what is absent from then on counts as deleted at the floor (HANDOFF.R9 to
R11).

Sources: DeCandia et al., *Dynamo*, SOSP 2007, section 4.6 (hints); the floor is our own.
"""

from __future__ import annotations

from dataclasses import dataclass

from scratchbird_reference.errors import ConfigurationError
from scratchbird_reference.quorum_messages import Held, Setting
from scratchbird_reference.uuid8 import is_whole, shown

SECOND_NS = 1_000_000_000
CATCH_UP_NS = 10_000_000
"""A delivery that is late by more is not caught up with: no target gets a day's worth of hints at once."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is kept for one target, and how fast it is delivered.

    :ivar per_second: hints that a target is sent in a second, at most (rule HANDOFF.R4).
    :ivar most_under_way: hints that a target was sent and has not answered.
    :ivar answer_within_ns: an answer that takes longer is late.
    :ivar most_hints: that are kept for a target and a shard (rule HANDOFF.R5).
    :ivar most_bytes: of values, that are kept for a target and a shard.
    :ivar most_age_ns: of the oldest hint of a target and a shard.
    :raises ConfigurationError: if a limit is no whole number above 0, or ``per_second`` is above 10^9.
    """

    per_second: int = 1_000
    most_under_way: int = 256
    answer_within_ns: int = SECOND_NS
    most_hints: int = 1_000_000
    most_bytes: int = 1 << 30
    most_age_ns: int = 7 * 24 * 3_600 * SECOND_NS

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not is_whole(value) or value < 1:
                raise ConfigurationError(f"{name} {shown(value)}: it must be a whole number, at least 1")
        if self.per_second > SECOND_NS:
            raise ConfigurationError(f"per_second {self.per_second}: at most one hint in a nanosecond")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules, without state. A wrong rule replaces one method."""

    # --- what is owed -------------------------------------------------------------------------------------

    def interval_ns(self, limits: Limits) -> int:
        """Nanoseconds between two deliveries to a target: at least 1, and never without end (HANDOFF.R4)."""
        return max(1, SECOND_NS // limits.per_second)

    def after_silence(self, interval_ns: int) -> int:
        """The interval when an answer did not come in time: twice as long, up to a second (HANDOFF.R4)."""
        return min(2 * interval_ns, SECOND_NS)

    def after_answer(self, interval_ns: int, least_ns: int) -> int:
        """The interval when an answer came in time: an eighth shorter, down to the limit's (HANDOFF.R4)."""
        return max(least_ns, interval_ns - max(1, interval_ns // 8))

    def due_ns(self, due_ns: int, now_ns: int) -> int:
        """Since when a delivery is due, at most :data:`CATCH_UP_NS` ago: the pace is kept (HANDOFF.R4).

        Nor more than a second ahead, which only a clock that was set back can say.
        """
        return min(max(due_ns, now_ns - CATCH_UP_NS), now_ns + SECOND_NS)

    def is_given_up(self, mark_is_open: bool, is_coming_back: bool) -> bool:
        """Whether a write's intent leaves a target out, because its mark covers the write (HANDOFF.R5)."""
        return mark_is_open and not is_coming_back

    def is_paid(self, held_version: int, hinted_version: int) -> bool:
        """Whether a target that says that it holds a version is owed a hint any more (HANDOFF.R3)."""
        return held_version >= hinted_version

    def waits_below(self, closed: int, hinted_version: int) -> bool:
        """Whether a hint waits, because its target has closed this floor (rules HANDOFF.R4, HANDOFF.R9)."""
        return hinted_version <= closed

    def is_too_much(self, limits: Limits, hints: int, size: int, oldest_ns: int) -> bool:
        """Whether a target is given up with so many hints, bytes, and an oldest of this age (HANDOFF.R5)."""
        return hints > limits.most_hints or size > limits.most_bytes or oldest_ns > limits.most_age_ns

    def may_drop(self, mark_is_open: bool) -> bool:
        """Whether hints for a target may go that it did not take (HANDOFF.R5)."""
        return mark_is_open

    def may_close(self, open_writes: int) -> bool:
        """Whether a mark may be closed while so many writes are open that began under it (HANDOFF.R5)."""
        return open_writes == 0

    def counts_for_a_mark(self, mark_is_closed: bool) -> bool:
        """Whether an exchange pays a part of a mark that was in this state when it began (HANDOFF.R6)."""
        return mark_is_closed

    def pays(self, replicas: int, write_quorum: int, others_heard: int) -> bool:
        """Whether a target that merged all that so many others hold is owed nothing more (HANDOFF.R6).

        The write quorum is the least that any write had which the target may lack.
        """
        return others_heard >= replicas - write_quorum

    # --- what may be forgotten ----------------------------------------------------------------------------

    def takes(self, closed: int, converged: int, held: Held, sent: Held) -> bool:
        """Whether a replica that has closed a floor takes or acknowledges this (HANDOFF.R9, HANDOFF.R12).

        What it holds already, or something newer, it acknowledges. The floor itself, deleted, comes from a
        replica that has settled: one that has converged will say the same, unless it holds a value.
        """
        if sent.version <= held.version or sent.version > closed:
            return True
        is_the_floor = sent == Held(converged, None) and converged == closed
        return is_the_floor and held.value is None

    def absent_as(self, floor: int) -> Held:
        """As what an absent row of a replica that has settled at this floor answers (HANDOFF.R11)."""
        return Held(floor, None) if floor else Held()

    def may_converge(self, all_closed: int, floor: int) -> bool:
        """Whether what others hold may be merged for a floor, when all have closed this one (HANDOFF.R10)."""
        return all_closed >= floor

    def tells_past(self, closed: int, floor: int) -> bool:
        """Whether a replica that has closed one floor tells others its past up to another (HANDOFF.R10).

        One that has not closed that may still change its past.
        """
        return closed >= floor

    def tells_row(self, floor: int, held: Held) -> bool:
        """Whether a row is part of the past up to a floor that a replica tells others (HANDOFF.R10).

        Each is. One that is newer may stand where something at or below the floor stood: an other that is
        not told of it would have neither.
        """
        return True

    def is_void(self, proposed: int, all_converged: int) -> bool:
        """Whether a disk that is lost now voids the proposed floor (rule HANDOFF.R13).

        What others merged from it may be gone from all that it will merge itself: what they say of
        converging says too little. A higher floor begins anew.
        """
        return proposed > all_converged

    def has_converged(self, setting: Setting, merged: frozenset[int]) -> bool:
        """Whether a replica that merged all of these others has converged (HANDOFF.R10)."""
        return len(merged) >= setting.size - 1

    def may_settle(self, converged: int, all_converged: int, floor: int) -> bool:
        """Whether a replica may settle at a floor and purge below it (HANDOFF.R11)."""
        return converged == floor and all_converged >= floor

    def may_purge(self, floor: int, held: Held) -> bool:
        """Whether what a settled replica holds of a row may go (HANDOFF.R11)."""
        return held.value is None and held.version <= floor

    def closed_at_start(self, proposed: int) -> int:
        """At which floor a replica is closed that starts on an empty disk (HANDOFF.R13)."""
        return proposed

    def believes_backup(self, closed: int, held: Held) -> bool:
        """Whether a row of a restored backup is merged without anybody else holding it (HANDOFF.R13)."""
        return held.version > closed
