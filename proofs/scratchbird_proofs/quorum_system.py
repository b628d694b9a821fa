"""Reads and writes of one row in linearizable mode: every step, for any number of replicas and operations.

Replicas, operations and versions are numbers; a set is an array of booleans. Nothing is said of how many
there are, nor of W and R: what counts as a read quorum, and what counts as enough holders, are two
predicates over sets. A message that was sent is never removed: it arrives late, twice or never, as the
solver likes. A coordinator forgets at any time what it heard (``forget``: it crashed, or another one takes
up a reserved version). A replica's version is durable before it is told, so that its crash changes nothing
here; lost disks are another matter.

The protocol is that of Attiya, Bar-Noy and Dolev, "Sharing Memory Robustly in Message-Passing Systems"
(JACM 1995), with the query before a write of Lynch and Shvartsman (FTCS 1997), and versions that clocks
make.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace

import z3

from scratchbird_proofs.theorem import Formula, Term

NUMBER = z3.IntSort()
SET = z3.ArraySort(NUMBER, z3.BoolSort())
RELATION = z3.ArraySort(NUMBER, SET)
NUMBERS = z3.ArraySort(NUMBER, NUMBER)
INITIAL = z3.IntVal(0)
"""The version of a row that nobody wrote."""


@dataclass(frozen=True, slots=True)
class State:
    """Everything there is. Of an operation: by its number. Ghosts steer nothing: they are for the proof."""

    durable: Term
    """Replica -> the version that it holds."""
    began: Term
    """Operations that were invoked; for a reserved version: at the reservation."""
    writes: Term
    """Operations that are writes; the others are reads (and look-ups)."""
    answered: Term
    """Operation -> replica -> versions: the answers that were ever sent."""
    heard: Term
    """Operation -> replicas whose answer its coordinator counted."""
    top: Term
    """Operation -> the highest version among those."""
    chosen: Term
    """Operations that have a version: stamped by the write, found by the read."""
    version: Term
    """Operation -> that version."""
    sent: Term
    """Versions that were ever sent to the replicas."""
    acked: Term
    """Replica -> versions: the acknowledgements that were ever sent."""
    held: Term
    """Operation -> replicas that are known to hold its version or a newer one."""
    done: Term
    """Operations that replied."""
    issued: Term
    """Ghost: versions that were stamped."""
    writer: Term
    """Ghost: version -> the write that it was stamped for."""
    settled: Term
    """Ghost: the highest version of an operation that replied."""
    fence: Term
    """Ghost: the replicas that were known to hold it."""
    start: Term
    """Ghost: operation -> what was settled when it was invoked."""
    fence_of: Term
    """Ghost: operation -> the fence when it was invoked."""
    before: Term
    """Ghost: operation -> the operations that had replied when it was invoked."""
    order: Term
    """Ghost: operation -> how many were invoked before it."""
    now: Term
    """Ghost: how many were invoked."""


_SORTS = {
    "durable": NUMBERS,
    "answered": z3.ArraySort(NUMBER, RELATION),
    "top": NUMBERS,
    "version": NUMBERS,
    "writer": NUMBERS,
    "settled": NUMBER,
    "start": NUMBERS,
    "order": NUMBERS,
    "now": NUMBER,
    **dict.fromkeys(("heard", "acked", "held", "fence_of", "before"), RELATION),
}


def any_state() -> State:
    """Any state whatever."""
    return State(**constants(State, _SORTS))


def constants(of: type, sorts: Mapping[str, z3.SortRef]) -> dict[str, Term]:
    """One constant for each field of this class, by its name; a field without a sort of its own is a set."""
    return {item.name: z3.Const(item.name, sorts.get(item.name, SET)) for item in fields(of)}


@dataclass(frozen=True, slots=True)
class Event:
    """Who acts: an operation's coordinator, a replica; and a version."""

    op: Term
    replica: Term
    version: Term


def any_event(tag: str) -> Event:
    """Any event whatever."""
    return Event(*(z3.Int(f"{name}_{tag}") for name in ("op", "replica", "version")))


@dataclass(frozen=True, slots=True)
class Quorums:
    """What is enough."""

    reads: Callable[[Term], Formula]
    """Whether a winner may be chosen among the answers of this set (QUORUM.R3)."""
    holds: Callable[[Term], Formula]
    """Whether an operation may reply when this set is known to hold its version (QUORUM.R5, QUORUM.R6)."""


def any_quorums() -> Quorums:
    """Any sets whatever; what is known of them is :func:`meeting`."""
    return Quorums(
        z3.Function("is_read_quorum", SET, z3.BoolSort()),
        z3.Function("are_enough_holders", SET, z3.BoolSort()),
    )


def common(readers: Term, holders: Term) -> Term:
    """A replica that is in both, if the sets are quorums."""
    return z3.Function("common", SET, SET, NUMBER)(readers, holders)


def meeting(quorums: Quorums, readers: Term, holders: Term) -> Formula:
    """The only thing that is known of quorums, said of two of them: they meet."""
    member = common(readers, holders)
    both = z3.And(z3.Select(readers, member), z3.Select(holders, member))
    return z3.Implies(z3.And(quorums.reads(readers), quorums.holds(holders)), both)


# --- steps --------------------------------------------------------------------------------------------------

NOBODY = z3.Const("nobody", SET)
"""The empty set: :func:`nobody` says so. (Not every solver has arrays that are the same everywhere.)"""


def nobody(number: Term) -> Formula:
    """Whoever this is, he is not in the empty set."""
    return z3.Not(z3.Select(NOBODY, number))


def at(array: Term, *path: Term) -> Term:
    """What an array of arrays has at this place."""
    for place in path:
        array = z3.Select(array, place)
    return array


def put(array: Term, value: Term, first: Term, *path: Term) -> Term:
    """An array of arrays that has something else at this place."""
    inner = put(z3.Select(array, first), value, *path) if path else value
    return z3.Store(array, first, inner)


YES, NO = z3.BoolVal(True), z3.BoolVal(False)


@dataclass(frozen=True, slots=True)
class Step:
    """When an event is possible, and what the state is afterwards."""

    possible: Formula
    after: State


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they stand; a wrong rule overrides one of them."""

    quorums: Quorums

    def may_choose(self, s: State, e: Event) -> Formula:
        """QUORUM.R3: a read quorum answered."""
        return self.quorums.reads(at(s.heard, e.op))

    def may_stamp(self, s: State, e: Event) -> Formula:
        """QUORUM.R5: a write takes a version above all that a read quorum answered."""
        return z3.And(self.may_choose(s, e), e.version > at(s.top, e.op))

    def may_reply(self, s: State, e: Event) -> Formula:
        """QUORUM.R5, QUORUM.R6: enough replicas are known to hold the version or a newer one."""
        return self.quorums.holds(at(s.held, e.op))

    def meet(self, readers: Term, holders: Term) -> Formula:
        """What is known of these two sets."""
        return meeting(self.quorums, readers, holders)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind of step."""
        return KINDS

    def step(self, kind: str, s: State, e: Event) -> Step:
        """What an event of this kind does."""
        return _STEPS[kind](self, s, e)


def _begin(rules: Rules, s: State, e: Event) -> Step:
    after = replace(
        s,
        began=put(s.began, YES, e.op),
        start=put(s.start, s.settled, e.op),
        fence_of=put(s.fence_of, s.fence, e.op),
        before=put(s.before, s.done, e.op),
        order=put(s.order, s.now, e.op),
        top=put(s.top, INITIAL, e.op),
        now=s.now + 1,
    )
    return Step(z3.Not(at(s.began, e.op)), after)


def _answer(rules: Rules, s: State, e: Event) -> Step:
    told = at(s.durable, e.replica)
    return Step(at(s.began, e.op), replace(s, answered=put(s.answered, YES, e.op, e.replica, told)))


def _hear(rules: Rules, s: State, e: Event) -> Step:
    waits = z3.And(at(s.began, e.op), z3.Not(at(s.chosen, e.op)))
    top = at(s.top, e.op)
    highest = z3.If(e.version > top, e.version, top)
    after = replace(s, heard=put(s.heard, YES, e.op, e.replica), top=put(s.top, highest, e.op))
    return Step(z3.And(waits, at(s.answered, e.op, e.replica, e.version)), after)


def _find(rules: Rules, s: State, e: Event) -> Step:
    waits = z3.And(at(s.began, e.op), z3.Not(at(s.chosen, e.op)), z3.Not(at(s.writes, e.op)))
    winner = at(s.top, e.op)
    after = replace(
        s,
        chosen=put(s.chosen, YES, e.op),
        version=put(s.version, winner, e.op),
        sent=put(s.sent, YES, winner),
    )
    return Step(z3.And(waits, rules.may_choose(s, e)), after)


def _stamp(rules: Rules, s: State, e: Event) -> Step:
    waits = z3.And(at(s.began, e.op), z3.Not(at(s.chosen, e.op)), at(s.writes, e.op))
    new = z3.And(e.version > INITIAL, z3.Not(at(s.issued, e.version)))  # HLC-1, UUID8: no id comes twice.
    after = replace(
        s,
        chosen=put(s.chosen, YES, e.op),
        version=put(s.version, e.version, e.op),
        sent=put(s.sent, YES, e.version),
        issued=put(s.issued, YES, e.version),
        writer=put(s.writer, e.op, e.version),
    )
    return Step(z3.And(waits, new, rules.may_stamp(s, e)), after)


def _apply(rules: Rules, s: State, e: Event) -> Step:
    mine = at(s.durable, e.replica)
    newer = z3.If(e.version > mine, e.version, mine)  # QUORUM.R1
    after = replace(
        s, durable=put(s.durable, newer, e.replica), acked=put(s.acked, YES, e.replica, e.version)
    )
    return Step(at(s.sent, e.version), after)


def _count(rules: Rules, s: State, e: Event) -> Step:
    mine = at(s.version, e.op)
    acked = at(s.acked, e.replica, mine)
    answered = z3.And(at(s.answered, e.op, e.replica, e.version), e.version >= mine)
    possible = z3.And(at(s.chosen, e.op), z3.Or(acked, answered))
    return Step(possible, replace(s, held=put(s.held, YES, e.op, e.replica)))


def _reply(rules: Rules, s: State, e: Event) -> Step:
    mine = at(s.version, e.op)
    higher = mine > s.settled
    after = replace(
        s,
        done=put(s.done, YES, e.op),
        settled=z3.If(higher, mine, s.settled),
        fence=z3.If(higher, at(s.held, e.op), s.fence),
    )
    return Step(z3.And(at(s.chosen, e.op), rules.may_reply(s, e)), after)


def _forget(rules: Rules, s: State, e: Event) -> Step:
    after = replace(
        s,
        heard=put(s.heard, NOBODY, e.op),
        top=put(s.top, INITIAL, e.op),
        held=put(s.held, NOBODY, e.op),
    )
    return Step(YES, after)


_STEPS: dict[str, Callable[[Rules, State, Event], Step]] = {
    "begin": _begin,
    "answer": _answer,
    "hear": _hear,
    "find": _find,
    "stamp": _stamp,
    "apply": _apply,
    "count": _count,
    "reply": _reply,
    "forget": _forget,
}
KINDS = tuple(_STEPS)


def initial(s: State, op: Term, replica: Term, version: Term) -> Formula:
    """Nothing was invoked, and every replica holds the initial version: what that says of these."""
    nothing = z3.Or(
        *(at(item, op) for item in (s.began, s.chosen, s.done)),
        *(at(item, version) for item in (s.sent, s.issued)),
        *(at(item, op, replica) for item in (s.heard, s.held)),
        at(s.acked, replica, version),
        at(s.answered, op, replica, version),
    )
    lowest = z3.And(at(s.durable, replica) == INITIAL, at(s.top, op) == INITIAL, s.settled == INITIAL)
    return z3.And(z3.Not(nothing), lowest, at(s.fence, replica), s.now == 0)
