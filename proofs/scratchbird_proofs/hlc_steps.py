"""What a node's clock does in one step, as formulas over the rules.

The steps are written as *cases*: when a case applies, what the state is afterwards, and what comes of the
event. ``scratchbird_check.ties.transition`` holds them to the reference, step by step, and
:mod:`scratchbird_proofs.hlc` proves that exactly one case applies to each event that is possible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import z3

from scratchbird_proofs.hlc_rules import (
    READING,
    Effects,
    Event,
    Node,
    Rules,
    ms_of,
    outcome,
    same,
)
from scratchbird_proofs.theorem import Formula, Term
from scratchbird_reference.uuid8 import MAX_MS


@dataclass(frozen=True, slots=True)
class Case:
    """One way in which an event can end."""

    name: str
    when: Formula
    after: Node
    effects: Effects


def enabled(kind: str, node: Node, event: Event) -> Formula:
    """Whether the event is possible in this state; where it is not, the reference raises an error."""
    match kind:
        case "start":
            return z3.Not(node.up)
        case "retire":
            fresh = z3.Not(z3.Select(node.retired, event.new_node_id))
            return z3.And(z3.Not(node.up), event.new_node_id != node.node_id, fresh)
        case "persisted":
            return z3.And(node.up, node.writing)
        case "confirm":
            return z3.And(node.up, z3.Or(node.stopping, z3.Not(event.asks_itself)))
    return node.up


def cases(kind: str, rules: Rules, node: Node, event: Event) -> tuple[Case, ...]:
    """All the ways in which an event that is enabled can end. Exactly one of them applies."""
    if kind in READING:
        jumped = event.wall - event.monotonic - node.anchor > rules.settings.max_drift  # HLC.R10
        reading = replace(node, suspended=z3.Or(node.suspended, jumped))
        refused = Case("stopping", node.stopping, node, _refused("stopping"))
        running = _CASES[kind](rules, reading, event)
        return (refused, *(replace(c, when=z3.And(z3.Not(node.stopping), c.when)) for c in running))
    return tuple(_CASES[kind](rules, node, event))


def relation(kind: str, rules: Rules, node: Node, event: Event, effects: Effects, after: Node) -> Formula:
    """Whether the event takes the first state to the second, with these effects."""
    return z3.And(
        enabled(kind, node, event),
        z3.Or(*(applies(case, effects, after) for case in cases(kind, rules, node, event))),
    )


def applies(case: Case, effects: Effects, after: Node) -> Formula:
    """Whether this is the case that happened."""
    return z3.And(case.when, same(after, case.after), same(effects, case.effects))


def _refused(reason: str, **told: Term) -> Effects:
    return Effects(outcome(reason), **told)


def _start(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    started = replace(
        _down(node),
        up=z3.BoolVal(True),
        last=rules.first_last(node.bound),
        anchor=event.wall - event.monotonic,
    )
    yield Case("started", z3.BoolVal(True), started, Effects(outcome("nothing")))


def _down(node: Node) -> Node:
    no, zero = z3.BoolVal(False), z3.IntVal(0)
    volatile = {"last": zero, "anchor": zero, "writing": no, "promised": zero}
    return replace(node, up=no, suspended=no, stopping=no, **volatile)


def _tick(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    timestamp = rules.candidate(node.last, event.wall)
    too_far = rules.too_far_ahead(timestamp, event.wall)
    yield from _why_not(rules, node, event, timestamp, too_far)
    allowed = z3.And(z3.Not(node.suspended), ms_of(timestamp) <= MAX_MS, z3.Not(too_far))
    covered = rules.covers_issue(node.bound, timestamp)
    issued = Effects(outcome("issued"), timestamp, node.node_id, event.random)
    yield Case("issued", z3.And(allowed, covered), replace(node, last=timestamp), issued)
    yield from _defer(rules, node, timestamp, z3.And(allowed, z3.Not(covered)))


def _reserve(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    timestamp = rules.candidate(node.last, event.wall)
    too_far = rules.too_far_to_reserve(timestamp, event.wall)
    yield from _why_not(rules, node, event, timestamp, too_far)
    allowed = z3.And(z3.Not(node.suspended), ms_of(timestamp) <= MAX_MS, z3.Not(too_far))
    bound = rules.reservation(ms_of(timestamp))
    needless = z3.Or(node.writing, bound <= node.bound)
    yield Case("needless", z3.And(allowed, needless), node, Effects(outcome("nothing")))
    asked = Effects(outcome("nothing"), asked=bound)
    yield Case("asked", z3.And(allowed, z3.Not(needless)), _writes(node, bound), asked)


def _why_not(rules: Rules, node: Node, event: Event, timestamp: Term, too_far: Formula) -> Iterable[Case]:
    awake = z3.Not(node.suspended)
    yield Case("suspended", node.suspended, node, _refused("suspended", wall=event.wall))
    exhausted = ms_of(timestamp) > MAX_MS
    yield Case("exhausted", z3.And(awake, exhausted), node, _refused("exhausted", wall=event.wall))
    wait = ms_of(timestamp) - rules.settings.max_ahead - event.wall
    ahead = _refused("ahead", retry_after=wait, wall=event.wall)
    yield Case("ahead", z3.And(awake, z3.Not(exhausted), too_far), node, ahead)


def _observe(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    believed = rules.believed(node, event.wall, event.monotonic)
    too_far = rules.too_far_remote(event.remote, believed)
    told = {"wall": event.wall, "remote": event.remote, "node_id": event.sender}
    wait = ms_of(event.remote) - rules.settings.max_drift - believed
    yield Case("drift", too_far, node, _refused("drift", retry_after=wait, **told))
    present = rules.present(node, event.wall, event.monotonic)
    too_early = z3.And(z3.Not(too_far), rules.too_early(event.remote, present))
    wait = ms_of(event.remote) - rules.settings.max_ahead - present + 1
    set_back = believed - event.wall > rules.settings.max_skew
    for name, judged in (  # One case, told apart by the clock that it is judged by.
        ("early, by the wall clock", z3.And(z3.Not(node.suspended), z3.Not(set_back))),
        ("early, set back far", z3.And(z3.Not(node.suspended), set_back)),
        ("early, suspended", node.suspended),
    ):
        early = _refused("early", retry_after=wait, **told)
        yield Case(name, z3.And(too_early, judged), node, early)
    near = z3.Not(z3.Or(too_far, too_early))
    covered = rules.covers_merge(node.bound, event.remote)
    merged = rules.merge(node.last, event.remote)
    yield Case(
        "merged", z3.And(near, covered), replace(node, last=merged), Effects(outcome("merged"), merged)
    )
    uncovered = z3.And(near, z3.Not(covered))
    yield Case("suspended", z3.And(uncovered, node.suspended), node, _refused("suspended", **told))
    awake = z3.And(uncovered, z3.Not(node.suspended))
    yield from _defer(rules, node, event.remote, awake)


def _defer(rules: Rules, node: Node, timestamp: Term, when: Formula) -> Iterable[Case]:
    waits = Effects(outcome("deferred"), timestamp)
    yield Case("waits", z3.And(when, node.writing), node, waits)
    bound = rules.reservation(ms_of(timestamp))
    asks = replace(waits, asked=bound)
    yield Case("asks", z3.And(when, z3.Not(node.writing)), _writes(node, bound), asks)


def _writes(node: Node, bound: Term) -> Node:
    return replace(node, writing=z3.BoolVal(True), promised=bound)


def _stamp(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    believed = rules.believed(node, event.wall, event.monotonic)
    too_far = rules.too_far_to_carry(node.last, believed)
    wait = ms_of(node.last) - rules.settings.max_ahead - believed
    yield Case("ahead", too_far, node, _refused("ahead", retry_after=wait, wall=event.wall))
    yield Case("stamped", z3.Not(too_far), node, Effects(outcome("stamped"), node.last))


def _confirm(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    trusted = z3.Or(event.operator, event.agreeing >= rules.settings.confirm_quorum)
    yield Case("unconfirmed", z3.Not(trusted), node, _refused("unconfirmed", wall=event.wall))
    anchored = replace(node, anchor=event.wall - event.monotonic, suspended=z3.BoolVal(False))
    yield Case("confirmed", trusted, anchored, Effects(outcome("confirmed")))


def _persisted(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    durable = replace(node, bound=node.promised, writing=z3.BoolVal(False), promised=z3.IntVal(0))
    yield Case("persisted", z3.BoolVal(True), durable, Effects(outcome("nothing")))


def _stop(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    yield Case("stopping", node.stopping, node, _refused("stopping"))
    waits = z3.And(z3.Not(node.stopping), node.writing)
    yield Case("waits", waits, node, Effects(outcome("deferred"), node.last))
    asks = z3.And(z3.Not(node.stopping), z3.Not(node.writing))
    stopping = replace(_writes(node, node.last), stopping=z3.BoolVal(True))
    yield Case("asks", asks, stopping, Effects(outcome("nothing"), asked=node.last))


def _crash(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    yield Case("crashed", z3.BoolVal(True), _down(node), Effects(outcome("nothing")))


def _retire(rules: Rules, node: Node, event: Event) -> Iterable[Case]:
    retired = z3.Store(node.retired, node.node_id, z3.BoolVal(True))
    new = replace(_down(node), node_id=event.new_node_id, retired=retired, bound=z3.IntVal(0))
    yield Case("retired", z3.BoolVal(True), new, Effects(outcome("nothing")))


_CASES = {
    "start": _start,
    "tick": _tick,
    "observe": _observe,
    "stamp": _stamp,
    "reserve": _reserve,
    "persisted": _persisted,
    "confirm": _confirm,
    "stop": _stop,
    "crash": _crash,
    "retire": _retire,
}
