"""Who waits for whom, and for how long (HLC-4): what merging less than max_ahead past our clock is for.

Two things wait. A message waits at its receiver until its clock lies less than ``max_ahead`` past the time
by which the receiver judges it: the wall clock, or what is believed where that was set back far. A node's own
ids and messages wait while its clock is further ahead than ``max_ahead``. The second wait would be in the
hands of every fast peer if the first were not.

A start is the exception: the clock then stands at the reserved bound, and the node waits for that
(``hlc.first_tick_waits_no_longer``, ``hlc.first_message_waits_no_longer``). "Between starts" below means from
there on; a start after a clean stop is none to wait for.
"""

from __future__ import annotations

from collections.abc import Sequence

import z3

from scratchbird_proofs.hlc_rules import (
    COUNTERS,
    READING,
    Node,
    Rules,
    any_node,
    counter_of,
    later,
    ms_of,
    pack,
    settings,
)
from scratchbird_proofs.hlc_time import Health, believed, health, in_range, passage, settled
from scratchbird_proofs.hlc_world import STEPS, Step, take
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """The theorems about these rules; about the right ones if none are given."""
    used = Rules(settings()) if rules is None else rules
    return (_messages(used), _belief(used), _room(used), _peers(used), _health(used))


def _near(node: Node, ms: Term) -> Formula:
    """The clock, if there is one, is no further than this."""
    return z3.Implies(node.up, ms_of(node.last) <= ms)


# --- a message at its receiver ----------------------------------------------------------------------------


def _messages(rules: Rules) -> Theorem:
    sent, skew = passage(rules), rules.settings.max_skew
    observe, age = sent.observe, sent.here.now - sent.there.now

    def waits() -> Sequence[Obligation]:
        return (
            waits_for("at a healthy node", sent.hears_healthily, skew + 1, z3.BoolVal(True)),
            waits_for("where the wall clock is wrong", sent.remembers, 2 * skew + 1, set_back(skew)),
            waits_for("where the wall clock is set back far", far_back, skew + 1, set_back(2 * skew)),
            waits_for("where the wall clock jumped", jumped, skew + 1, z3.BoolVal(True)),
        )

    def waits_for(name: str, hears: dict[str, Formula], longest: Term, reached: Formula) -> Obligation:
        early, wait = observe.ends_as("early"), observe.effects.retry_after
        patient = z3.And(
            z3.Not(observe.ends_as("drift")),
            z3.Implies(early, wait <= longest - age),
            z3.Implies(age >= longest, z3.Not(early)),
        )
        reaches = {"the longest wait": z3.And(early, wait == longest, reached)}
        return Obligation(name, {**sent.passes, **sent.sends_healthily, **hears}, patient, reaches)

    def set_back(by: Term) -> Formula:
        return observe.event.wall <= sent.here.now - by

    gone = believed(observe) - observe.event.wall > skew
    far_back = {**sent.remembers, "it is set back by more than max_skew": gone}
    jumped = {**sent.remembers, "it is suspended": observe.after.suspended}
    return Theorem(
        "hlc.healthy_message_waits_for_max_skew",
        "A message that a healthy node stamps waits at a healthy node for at most max_skew + 1 milliseconds "
        "of true time after it was stamped, and is then merged. Where the wall clock was healthy only when "
        "it was last trusted it is the same, but for one that is set back by no more than max_skew: there "
        "the message waits for at most 2 * max_skew + 1.",
        ("HLC-4",),
        ("HLC.R6", "HLC.R7"),
        waits,
        ("hlc.healthy_node_is_never_suspended",),
    )


# --- a node's own ids and messages, by what it believes ---------------------------------------------------


def _belief(rules: Rules) -> Theorem:
    before, configured = any_node("before"), rules.settings
    highest = z3.Int("highest_believed")
    held = {
        "the configuration is sound": configured.sound(),
        "its clock is in range": in_range(before),
        "its clock is near the highest time believed in": _near(before, highest + configured.max_ahead),
    }

    def stays() -> Sequence[Obligation]:
        return (
            *(keeps(kind) for kind in STEPS if kind != "start"),
            start(
                "a start after a clean stop", ms_of(before.bound) <= highest + configured.max_ahead, highest
            ),
            start(
                "a start at a reserved bound, waited out",
                before.bound <= pack(highest + configured.max_ahead + configured.reserve),
                highest + configured.reserve,
            ),
            held_up("stamp"),
            held_up("tick"),
        )

    def keeps(kind: str) -> Obligation:
        step = take(kind, rules, before)
        highest_now = later(highest, believed(step)) if kind in READING else highest
        conclusion = _near(step.after, highest_now + configured.max_ahead)
        edge, moved = believed(step) + configured.max_ahead, step.after.last > before.last
        farthest = {"tick": edge, "observe": edge - 1}.get(kind)
        moves = {}
        if farthest is not None:
            moves["as far as it may"] = z3.And(moved, ms_of(step.after.last) == farthest)
        return Obligation(kind, {**held, "it takes a step": step.taken}, conclusion, moves)

    def start(name: str, found: Formula, highest_then: Term) -> Obligation:
        step = take("start", rules, before)
        assumed = {**held, "it starts": step.taken, "it finds its bound": found}
        return Obligation(name, assumed, _near(step.after, highest_then + configured.max_ahead))

    def held_up(kind: str) -> Obligation:
        step = take(kind, rules, before)
        longest = highest - believed(step) if kind == "stamp" else highest + 1 - step.event.wall
        waits = {**held, "it is held up": z3.And(step.taken, step.ends_as("ahead"))}
        wait = step.effects.retry_after
        return Obligation(
            f"{kind}, what it is told",
            waits,
            z3.And(wait > 0, wait <= longest),
            {"just that": wait == longest},
        )

    return Theorem(
        "hlc.clock_is_near_what_was_believed",
        "Between starts, whatever it hears, a node's clock is at most max_ahead past the highest time that "
        "it has believed in. So a message is held back only while it believes in an earlier time than "
        "before, and for no longer than it takes to be back there; an id waits at most until 1 ms after "
        "the wall clock is back there.",
        ("HLC-4",),
        ("HLC.R4", "HLC.R6", "HLC.R7"),
        stays,
    )


# --- what a merge leaves to the node --------------------------------------------------------------------


def _room(rules: Rules) -> Theorem:
    before = any_node("before")

    def leaves() -> Sequence[Obligation]:
        merge = take("observe", rules, before, "_merge")
        tick = take("tick", rules, merge.after, "_tick")
        remote, at = merge.event.remote, merge.event
        assumed = {
            "the configuration is sound": rules.settings.sound(),
            "its clock is in range": in_range(before),
            "it merges what it hears": z3.And(merge.taken, merge.ends_as("merged")),
            "that moves its clock": merge.after.last > before.last,
            "it is awake, and set back by no more than max_skew": settled(merge, rules),
            "a tick comes at the same reading": z3.And(
                tick.taken, tick.event.wall == at.wall, tick.event.monotonic == at.monotonic
            ),
        }
        edge = ms_of(remote) == at.wall + rules.settings.max_ahead - 1
        full = z3.And(edge, counter_of(remote) == COUNTERS - 1)
        decided = z3.Or(tick.ends_as("issued"), tick.ends_as("deferred"), tick.ends_as("exhausted"))
        reaches = {
            "at the edge, the counter full, an id is issued": z3.And(full, tick.ends_as("issued")),
            "set back by max_skew": z3.And(edge, believed(merge) - at.wall == rules.settings.max_skew),
        }
        return (Obligation("merge and tick", assumed, decided, reaches),)

    return Theorem(
        "hlc.a_merge_leaves_room_for_a_tick",
        "After any merge that moved its clock, a full counter included, a node that is not suspended and "
        "whose wall clock is set back by no more than max_skew does not refuse a tick at the same reading as "
        "ahead: however fast a peer is, what it says does not keep a healthy node from issuing.",
        ("HLC-4",),
        ("HLC.R4", "HLC.R6"),
        leaves,
    )


# --- a node's own ids and messages, by its own wall clock -------------------------------------------------


def _peers(rules: Rules) -> Theorem:
    before, configured = any_node("before"), rules.settings
    highest, own = z3.Ints("highest_wall own")
    held = {
        "the configuration is sound": configured.sound(),
        "its clock is in range": in_range(before),
        "its clock is near its wall clock": near_wall(before, highest, own, configured.max_ahead),
    }

    def stays() -> Sequence[Obligation]:
        fresh = {"a node id never used": z3.And(before.bound == 0, highest >= 0, own == 0)}
        reserved = before.bound <= pack(highest + configured.max_ahead + configured.reserve)
        return (
            start("the first start", {**sound, **fresh}, highest),
            start("a start after a clean stop", {**sound, "it stored its clock": stored}, highest),
            start(
                "a start at a reserved bound, waited out",
                {**sound, "it finds its bound": z3.And(reserved, own <= before.bound)},
                highest + configured.reserve,
            ),
            *(keeps(kind) for kind in STEPS if kind != "start"),
            a_healthy_node(),
            *held_up(),
        )

    sound = {name: held[name] for name in ("the configuration is sound", "its clock is in range")}
    stopped = any_node("stopped")
    stored = z3.And(
        before.bound == stopped.last, stopped.up, near_wall(stopped, highest, own, configured.max_ahead)
    )

    def start(name: str, known: dict[str, Formula], highest_then: Term) -> Obligation:
        step = take("start", rules, before)
        conclusion = near_wall(step.after, highest_then, own, configured.max_ahead)
        return Obligation(name, {**known, "it starts": step.taken}, conclusion)

    def keeps(kind: str) -> Obligation:
        step = take(kind, rules, before)
        issued, merged = step.ends_as("issued"), step.ends_as("merged")
        highest_now = z3.If(z3.Or(issued, merged), later(highest, step.event.wall), highest)
        own_now = z3.If(issued, step.effects.timestamp, own)
        conclusion = near_wall(step.after, highest_now, own_now, configured.max_ahead)
        assumed = {**held, "it takes a step": step.taken}
        if kind in READING:
            assumed["it is awake, and set back by no more than max_skew"] = settled(step, rules)
        moved = z3.And(merged, step.after.last > before.last)
        edge = step.after.last == pack(step.event.wall + configured.max_ahead) - 1
        reaches = {"as far as it may, set back": z3.And(moved, edge, believed(step) > step.event.wall)}
        return Obligation(kind, assumed, conclusion, reaches if kind == "observe" else {})

    def a_healthy_node() -> Obligation:
        here, step = health("here"), take("tick", rules, before)
        clocks = z3.And(here.wall(step, rules), here.monotonic(step), here.anchor(before, rules))
        known = {
            "the configuration is sound": configured.sound(),
            "a healthy node takes a step": z3.And(
                step.taken, clocks, z3.Not(before.suspended), here.lost <= configured.max_ahead
            ),
        }
        farthest = {"set back by max_skew": believed(step) - step.event.wall == configured.max_skew}
        return Obligation(
            "a healthy node is awake and set back no further", known, settled(step, rules), farthest
        )

    def held_up() -> Sequence[Obligation]:
        tick, stamp = take("tick", rules, before), take("stamp", rules, before)
        wait, back = tick.effects.retry_after, highest - tick.event.wall
        waits = {**held, "it is held up": z3.And(tick.taken, tick.ends_as("ahead"))}
        burst = {"the last id of a burst is its own": before.last == own}
        heard = {"its clock is not its own last id": before.last != own}
        sends = {**held, "it is held up": z3.And(stamp.taken, stamp.ends_as("ahead"))}
        told = stamp.effects.retry_after
        return (
            Obligation("a tick after others", {**waits, **heard}, wait <= back, {"just that": wait == back}),
            Obligation(
                "a tick after its own id",
                {**waits, **burst},
                wait <= back + 1,
                {"just that": wait == back + 1},
            ),
            Obligation(
                "a message",
                sends,
                told <= highest - believed(stamp),
                {"just that": told == highest - believed(stamp)},
            ),
        )

    return Theorem(
        "hlc.fast_peers_silence_nobody",
        "Take a node that is not suspended and whose wall clock is never set back by more than max_skew: no "
        "healthy one is. Between starts, whatever it hears and however long, its clock is at most max_ahead "
        "past the highest wall clock at which it issued or merged, and only an id of its own is the last "
        "timestamp of that reach. So its tick is refused only until its own wall clock is back there, and "
        "for 1 ms more only after a burst of its own; its messages wait no longer than until it believes "
        "in that time again.",
        ("HLC-4",),
        ("HLC.R4", "HLC.R6", "HLC.R7"),
        stays,
        ("hlc.healthy_node_is_never_suspended",),
    )


def near_wall(node: Node, highest: Term, own: Term, max_ahead: Term) -> Formula:
    """The clock is within reach of the wall clock, and its successor as well unless it is an own id."""
    reach = pack(highest + max_ahead, COUNTERS - 1)
    return z3.Implies(node.up, z3.And(node.last <= reach, z3.Implies(node.last == reach, node.last == own)))


# --- a healthy node's own ids and messages, by true time --------------------------------------------------


def _health(rules: Rules) -> Theorem:
    before, configured = any_node("before"), rules.settings
    here, skew = health("here"), configured.max_skew
    farthest = here.now + skew + configured.max_ahead
    held = {
        "the configuration is sound": configured.sound(),
        "its clock is in range": in_range(before),
        "its clock is near true time": _near(before, farthest),
    }

    def waits() -> Sequence[Obligation]:
        later_on = z3.Int("now_later")
        passes = {**held, "time passes": later_on >= here.now}
        return (
            *(keeps(kind) for kind in STEPS if kind != "start"),
            start("a start after a clean stop", ms_of(before.bound) <= farthest),
            start("a start at a reserved bound, waited out", reserved_before()),
            Obligation("time", passes, _near(before, later_on + skew + configured.max_ahead)),
            *held_up("stamp", skew),
            *held_up("tick", skew + 1),
        )

    def healthy(step: Step) -> Formula:
        clocks = z3.And(here.wall(step, rules), here.monotonic(step), here.anchor(before, rules))
        return z3.And(step.taken, clocks, z3.Not(before.suspended), here.lost <= configured.max_ahead)

    def keeps(kind: str) -> Obligation:
        step = take(kind, rules, before)
        taken = healthy(step) if kind in READING else step.taken
        return Obligation(kind, {**held, "a healthy node takes a step": taken}, _near(step.after, farthest))

    def start(name: str, found: Formula) -> Obligation:
        step = take("start", rules, before)
        assumed = {**held, "it starts": step.taken, "it finds its bound": found}
        return Obligation(name, assumed, _near(step.after, farthest))

    def reserved_before() -> Formula:
        asked = z3.Int("asked_for_at")
        bound = pack(asked + skew + configured.max_ahead + configured.reserve)
        return z3.And(before.bound <= bound, here.now >= asked + configured.reserve)

    def held_up(kind: str, longest: Term) -> Sequence[Obligation]:
        merge = take("observe", rules, before, "_merge")
        merges = {
            "it merges what it hears": z3.And(healthy(merge), merge.ends_as("merged")),
            "that moves its clock": merge.after.last > before.last,
        }
        return (
            waits_from(kind, kind, longest, before, held),
            waits_from(f"{kind}, after a merge", kind, longest - 1, merge.after, {**held, **merges}),
        )

    def waits_from(name: str, kind: str, longest: Term, node: Node, known: dict[str, Formula]) -> Obligation:
        step = take(kind, rules, node, "_again")
        then = Health(z3.Int("now_again"), here.base, here.lost)
        age, ahead, wait = then.now - here.now, step.ends_as("ahead"), step.effects.retry_after
        goes_on = {
            "it goes on, then or later": z3.And(step.taken, age >= 0),
            "its wall clock is still healthy": z3.And(then.wall(step, rules), z3.Not(step.after.suspended)),
        }
        told = z3.Implies(ahead, wait <= longest - age)
        over = z3.Implies(age >= longest, z3.Not(ahead))
        reaches = {"the longest wait": z3.And(ahead, wait == longest)}
        return Obligation(name, {**known, **goes_on}, z3.And(told, over), reaches)

    return Theorem(
        "hlc.healthy_node_waits_for_max_skew",
        "Between starts, whatever it hears, a healthy node's clock is at most max_ahead + max_skew past true "
        "time. So it holds its messages back for at most max_skew milliseconds of true time after its last "
        "id, and its ids for at most 1 ms more; after a merge that moved its clock it is 1 ms less for "
        "either. Less than that is not true if a healthy wall clock goes back by max_skew.",
        ("HLC-4",),
        ("HLC.R4", "HLC.R6", "HLC.R7"),
        waits,
        ("hlc.healthy_node_is_never_suspended",),
    )
