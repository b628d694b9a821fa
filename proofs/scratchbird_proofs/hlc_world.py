"""A cluster of any number of clocks, and the invariant that carries the proofs.

The nodes are the elements of a set of which nothing is known, and so are the messages; a variable of the
state is an array from nodes to values. One step of the cluster is one step of some node: an array changes
at that node and nowhere else. What is wanted of *every* node is shown of an arbitrary one, given that the
invariant held before at that node, at the node that takes the step and of the message that arrives. These
are instances of "it held everywhere", so the proof is the stronger for using no more; and without
quantifiers both solvers decide every question.

Messages are never taken away and arrive whenever the world likes: one that never arrives is lost, one that
arrives twice is doubled, and any order is possible.

A retired node id is one that never starts again, and the id that takes its place starts like every other
(``hlc.a_retired_id_stays_retired``), so one node here is one node id, for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import z3

from scratchbird_proofs.hlc_rules import (
    KINDS,
    Effects,
    Event,
    Node,
    Rules,
    any_effects,
    any_event,
    any_node,
    later,
    outcome,
    pack,
    possible,
)
from scratchbird_proofs.hlc_steps import relation
from scratchbird_proofs.theorem import Formula, Term
from scratchbird_reference.uuid8 import MAX_COUNTER, MAX_MS

NODE = z3.DeclareSort("Node")
MESSAGE = z3.DeclareSort("Message")

GREATEST = pack(MAX_MS, MAX_COUNTER)
"""The greatest timestamp there is."""

STEPS = tuple(kind for kind in KINDS if kind != "retire")
"""What one identity can do."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of one clock, with every name in it free."""

    kind: str
    before: Node
    event: Event
    effects: Effects
    after: Node
    taken: Formula
    """That the event has values in range and the rules allow just this."""

    def ends_as(self, name: str) -> Formula:
        """Whether the outcome is this one."""
        return self.effects.outcome == outcome(name)


def take(kind: str, rules: Rules, before: Node, tag: str = "") -> Step:
    """Any step of this kind from that state. ``tag`` keeps the names of several steps apart."""
    event, effects, after = any_event(f"event{tag}"), any_effects(f"effects{tag}"), any_node(f"after{tag}")
    taken = z3.And(possible(event), relation(kind, rules, before, event, effects, after))
    return Step(kind, before, event, effects, after, taken)


# --- the cluster ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ghosts:
    """What no rule reads: what a node has done, as seen from outside. A crash does not take it away."""

    own: Term
    """The id that the node issued last; 0 if it issued none, for no node ever issues 0."""
    past: Term
    """The greatest id that happened before the node's present."""
    seen: Term
    """The greatest timestamp that the node issued or merged."""


@dataclass(frozen=True, slots=True)
class Message:
    """What one message carries."""

    sent: Formula
    clock: Term
    past: Term
    """Ghost: the greatest id that happened before it was sent."""


@dataclass(frozen=True, slots=True)
class World:
    """Every node and every message at one moment."""

    clocks: Node
    """Each field an array from nodes to values."""
    ghosts: Ghosts
    messages: Message
    """Each field an array from messages to values."""

    def clock(self, node: Term) -> Node:
        """The state of this node's clock."""
        return Node(*(z3.Select(getattr(self.clocks, item.name), node) for item in fields(Node)))

    def ghost(self, node: Term) -> Ghosts:
        """What this node has done."""
        return Ghosts(*(z3.Select(getattr(self.ghosts, item.name), node) for item in fields(Ghosts)))

    def message(self, message: Term) -> Message:
        """What this message carries."""
        return Message(*(z3.Select(getattr(self.messages, item.name), message) for item in fields(Message)))


_Record = TypeVar("_Record", Node, Ghosts, Message)


def any_world() -> World:
    """Any cluster whatever."""
    shape = any_node("shape")
    clocks = {item.name: z3.Array(item.name, NODE, getattr(shape, item.name).sort()) for item in fields(Node)}
    ghosts = (z3.Array(item.name, NODE, z3.IntSort()) for item in fields(Ghosts))
    messages = {"clock": z3.IntSort(), "past": z3.IntSort(), "sent": z3.BoolSort()}
    carried = {name: z3.Array(f"message.{name}", MESSAGE, sort) for name, sort in messages.items()}
    return World(Node(**clocks), Ghosts(*ghosts), Message(**carried))


def next_world(world: World, actor: Term, step: Step, arriving: Message, new: Term) -> World:
    """The cluster after ``actor`` took a step: it may have merged what arrived, or sent something new."""
    old, after = world.ghost(actor), step.after
    issued, merged, stamped = (step.ends_as(name) for name in ("issued", "merged", "stamped"))
    timestamp = step.effects.timestamp
    ghosts = Ghosts(
        own=z3.If(issued, timestamp, old.own),
        past=z3.If(
            issued, later(old.past, timestamp), z3.If(merged, later(old.past, arriving.past), old.past)
        ),
        seen=z3.If(
            issued, later(old.seen, timestamp), z3.If(merged, later(old.seen, arriving.clock), old.seen)
        ),
    )
    was = world.message(new)
    message = Message(
        sent=z3.Or(was.sent, stamped),
        clock=z3.If(stamped, timestamp, was.clock),
        past=z3.If(stamped, old.past, was.past),
    )
    return World(
        clocks=_stored(world.clocks, actor, after),
        ghosts=_stored(world.ghosts, actor, ghosts),
        messages=_stored(world.messages, new, message),
    )


def _stored(arrays: _Record, index: Term, record: _Record) -> _Record:
    stored = {
        item.name: z3.Store(getattr(arrays, item.name), index, getattr(record, item.name))
        for item in fields(arrays)
    }
    return replace(arrays, **stored)


# --- the invariant ----------------------------------------------------------------------------------------


def covered(clock: Node, ghosts: Ghosts) -> Formula:
    """The clock covers everything in the node's past, and the durable bound covers the clock.

    So does the bound that is being written: whichever of the two a crash leaves on the disk, it will do.
    """
    running = z3.And(
        ghosts.seen <= clock.last,
        clock.last <= clock.bound,
        z3.Implies(clock.writing, z3.And(clock.last <= clock.promised, clock.promised <= GREATEST)),
        # Before a clean stop the bound only grows; for the stop it comes down to exactly the clock.
        z3.Implies(z3.And(clock.writing, z3.Not(clock.stopping)), clock.bound <= clock.promised),
        z3.Implies(z3.And(clock.writing, clock.stopping), clock.promised == clock.last),
    )
    return z3.And(
        ghosts.own >= 0,
        ghosts.own <= ghosts.past,
        ghosts.past <= ghosts.seen,
        ghosts.seen <= clock.bound,
        clock.bound <= GREATEST,
        z3.Implies(clock.up, running),
    )


def carried(message: Message) -> Formula:
    """A message carries at least what happened before it was sent (rule HLC.R7)."""
    in_range = z3.And(message.past >= 0, message.clock <= GREATEST)
    return z3.Implies(message.sent, z3.And(message.past <= message.clock, in_range))


def initial(clock: Node, ghosts: Ghosts) -> Formula:
    """A node id that was never used: it is down, its bound is 0, nothing has happened."""
    return z3.And(z3.Not(clock.up), clock.bound == 0, *(getattr(ghosts, g.name) == 0 for g in fields(Ghosts)))
