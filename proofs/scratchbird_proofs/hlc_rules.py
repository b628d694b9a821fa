"""The rules of ``spec/hlc.md`` as formulas: what a node's clock may do in one step.

A timestamp is one whole number, ``ms * 4096 + counter``; :mod:`scratchbird_proofs.hlc` proves that this
keeps the order of the pairs. The successor carries explicitly, as the code does, and that it then equals
``t + 1`` is proved, not assumed.

Each method of :class:`Rules` is one rule, named as in the reference, and a variant replaces one of them.
:mod:`scratchbird_proofs.hlc_steps` composes them into steps.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import z3

from scratchbird_proofs.theorem import Formula, Term
from scratchbird_reference.uuid8 import MAX_COUNTER, MAX_MS

COUNTERS = MAX_COUNTER + 1
"""Counters in one millisecond."""

KINDS = (
    "start",
    "tick",
    "observe",
    "stamp",
    "reserve",
    "persisted",
    "confirm",
    "stop",
    "crash",
    "retire",
)
"""The kinds of events, named as in the reference."""

READING = ("tick", "observe", "stamp", "reserve", "confirm")
"""The kinds that read the clocks of a running node."""

OUTCOMES = (
    "nothing",
    "issued",
    "merged",
    "stamped",
    "confirmed",
    "deferred",
    "ahead",
    "drift",
    "early",
    "suspended",
    "unconfirmed",
    "stopping",
    "exhausted",
)
"""What comes of an event; from ``ahead`` on they are refusals, named as the reference's reasons."""

NONE = -1
"""Stands for "not there" where a time, an id or a timestamp would be; all of those are at least 0."""


# --- timestamps -------------------------------------------------------------------------------------------


def pack(ms: Term, counter: Term = 0) -> Term:
    """The pair as one number."""
    return ms * COUNTERS + counter


def ms_of(timestamp: Term) -> Term:
    """The milliseconds of a packed timestamp."""
    return timestamp / COUNTERS


def counter_of(timestamp: Term) -> Term:
    """The counter of a packed timestamp."""
    return timestamp % COUNTERS


def later(a: Term, b: Term) -> Term:
    """The greater of two numbers."""
    return z3.If(a >= b, a, b)


# --- settings, state, events, effects ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration: names for whole numbers, so that what is proved holds for every one of them."""

    max_drift: Term
    max_ahead: Term
    max_skew: Term
    reserve: Term
    confirm_quorum: Term

    def sound(self) -> Formula:
        """What the reference demands of a configuration (rule HLC.R8)."""
        positive = [item > 0 for item in values(self)]
        return z3.And(*positive, self.max_ahead + self.max_skew <= self.max_drift)


@dataclass(frozen=True, slots=True)
class Node:
    """The state of one clock. Of a node that is down everything volatile is 0 or false."""

    node_id: Term
    retired: Term
    """The set of node ids that were given up here (rule HLC.R16)."""
    bound: Term
    up: Formula
    last: Term
    anchor: Term
    writing: Formula
    """Whether a bound is being written, ..."""
    promised: Term
    """... and which; 0 if none is."""
    suspended: Formula
    stopping: Formula


@dataclass(frozen=True, slots=True)
class Event:
    """An event of any kind: each kind uses the fields that it has in the reference."""

    wall: Term
    monotonic: Term
    remote: Term
    sender: Term
    random: Term
    operator: Formula
    agreeing: Term
    """How many of the asked peers are within ``max_skew`` of our wall clock."""
    asks_itself: Formula
    """Whether the node itself is among the peers that are to confirm it."""
    new_node_id: Term


@dataclass(frozen=True, slots=True)
class Effects:
    """What comes of an event. Times and ids that an outcome has not got are :data:`NONE`."""

    outcome: Term
    """A position in :data:`OUTCOMES`."""
    timestamp: Term = NONE
    """What was issued or stamped, what the clock is after a merge, what a deferred event needs."""
    node_id: Term = NONE
    """The node id in the issued id, or the sender that a refusal names."""
    random: Term = NONE
    """The random bits of the issued id."""
    asked: Term = NONE
    """The bound that is to be written."""
    retry_after: Term = NONE
    wall: Term = NONE
    remote: Term = NONE


def outcome(name: str) -> int:
    """The number of an outcome."""
    return OUTCOMES.index(name)


def values(record: Settings | Node | Event | Effects) -> tuple[Term, ...]:
    """The fields of a record, in order."""
    return tuple(getattr(record, item.name) for item in fields(record))


def same(a: Node | Effects, b: Node | Effects) -> Formula:
    """Whether two states, or two sets of effects, are equal in every field."""
    return z3.And(*(left == right for left, right in zip(values(a), values(b), strict=True)))


def settings() -> Settings:
    """Any configuration."""
    return Settings(*z3.Ints("max_drift max_ahead max_skew reserve confirm_quorum"))


_FLAGS = frozenset({"up", "writing", "suspended", "stopping", "operator", "asks_itself"})


def names(kind: type[Node] | type[Event] | type[Effects], prefix: str) -> dict[str, Term]:
    """A fresh name for each field of a record."""
    made: dict[str, Term] = {}
    for item in fields(kind):
        name = f"{prefix}.{item.name}"
        if item.name == "retired":
            made[item.name] = z3.Array(name, z3.IntSort(), z3.BoolSort())
        else:
            made[item.name] = z3.Bool(name) if item.name in _FLAGS else z3.Int(name)
    return made


def any_node(prefix: str) -> Node:
    """Any state whatever."""
    return Node(**names(Node, prefix))


def any_event(prefix: str) -> Event:
    """Any event whatever."""
    return Event(**names(Event, prefix))


def any_effects(prefix: str) -> Effects:
    """Any effects whatever."""
    return Effects(**names(Effects, prefix))


def possible(event: Event) -> Formula:
    """The ranges that the reference demands of an event's values."""
    timestamps = z3.And(event.remote >= 0, event.remote <= pack(MAX_MS, MAX_COUNTER))
    clocks = [z3.And(item >= 0, item <= MAX_MS) for item in (event.wall, event.monotonic)]
    return z3.And(timestamps, *clocks, event.agreeing >= 0, event.random >= 0, event.sender >= 1)


# --- the rules --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for one configuration, as terms. Named as in the reference, where they are explained."""

    settings: Settings

    def successor(self, timestamp: Term) -> Term:
        """HLC.R2: a full counter carries."""
        full = counter_of(timestamp) >= COUNTERS - 1
        return z3.If(full, pack(ms_of(timestamp) + 1), timestamp + 1)

    def candidate(self, last: Term, wall: Term) -> Term:
        """HLC.R3"""
        return later(self.successor(last), pack(wall))

    def merge(self, last: Term, remote: Term) -> Term:
        """HLC.R5"""
        return later(last, remote)

    def too_far_ahead(self, timestamp: Term, wall: Term) -> Formula:
        """HLC.R4"""
        return ms_of(timestamp) > wall + self.settings.max_ahead

    def too_far_remote(self, remote: Term, believed: Term) -> Formula:
        """HLC.R6"""
        return ms_of(remote) > believed + self.settings.max_drift

    def too_early(self, remote: Term, present: Term) -> Formula:
        """HLC.R6"""
        return ms_of(remote) >= present + self.settings.max_ahead

    def present(self, node: Node, wall: Term, monotonic: Term) -> Term:
        """HLC.R6"""
        believed = self.believed(node, wall, monotonic)
        set_back = believed - wall > self.settings.max_skew
        return z3.If(z3.Or(node.suspended, set_back), believed, wall)

    def too_far_to_carry(self, last: Term, believed: Term) -> Formula:
        """HLC.R7"""
        return ms_of(last) > believed + self.settings.max_ahead

    def believed(self, node: Node, wall: Term, monotonic: Term) -> Term:
        """HLC.R6"""
        remembered = monotonic + node.anchor
        return z3.If(node.suspended, remembered, later(wall, remembered))

    def covers_issue(self, bound: Term, timestamp: Term) -> Formula:
        """HLC.R12"""
        return timestamp <= bound

    def covers_merge(self, bound: Term, timestamp: Term) -> Formula:
        """HLC.R12"""
        return timestamp <= bound

    def too_far_to_reserve(self, timestamp: Term, wall: Term) -> Formula:
        """HLC.R13"""
        return self.too_far_ahead(timestamp, wall)

    def reservation(self, ms: Term) -> Term:
        """HLC.R13"""
        target = ms + self.settings.reserve
        return z3.If(target > MAX_MS, pack(MAX_MS, MAX_COUNTER), pack(target))

    def first_last(self, bound: Term) -> Term:
        """HLC.R14"""
        return bound
