"""What the clock promises about order, for any number of nodes, any clocks and any number of steps.

HLC-1 (ids of a node increase), HLC-3 (ids extend happens-before) and HLC-5 (both across a crash).
:mod:`scratchbird_proofs.hlc_behaviour` proves what the rules promise of single steps, and
:mod:`scratchbird_proofs.hlc_time` what depends on true time.

The whole argument is one invariant (:func:`scratchbird_proofs.hlc_world.covered`): what a node has seen is no
later than its clock, its clock no later than its durable bound. It holds at first, every step of every kind
keeps it, and given it every id lies strictly above everything that the node has seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import z3

from scratchbird_proofs.hlc_rules import (
    COUNTERS,
    NONE,
    Rules,
    any_node,
    counter_of,
    ms_of,
    pack,
    settings,
)
from scratchbird_proofs.hlc_steps import cases
from scratchbird_proofs.hlc_world import (
    MESSAGE,
    NODE,
    STEPS,
    Step,
    any_world,
    carried,
    covered,
    initial,
    next_world,
    take,
)
from scratchbird_proofs.theorem import Formula, Obligation, Theorem


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """The theorems about these rules; about the right ones if none are given."""
    used = Rules(settings()) if rules is None else rules
    return (*_timestamps(used), *_order(used), *_restart(used))


# --- timestamps as numbers --------------------------------------------------------------------------------


def _timestamps(rules: Rules) -> tuple[Theorem, ...]:
    ms, counter, other_ms, other_counter = z3.Ints("ms counter other_ms other_counter")
    fits = {"the counters fit": z3.And(counter >= 0, counter < COUNTERS)}
    both = {**fits, "the other fits": z3.And(other_counter >= 0, other_counter < COUNTERS)}
    first, second = pack(ms, counter), pack(other_ms, other_counter)

    def order() -> Sequence[Obligation]:
        pairs = z3.Or(ms < other_ms, z3.And(ms == other_ms, counter < other_counter))
        unpacked = z3.And(ms_of(first) == ms, counter_of(first) == counter)
        return (
            Obligation("order", both, (first < second) == pairs, {"the counter decides": ms == other_ms}),
            Obligation("unpacking", fits, unpacked),
        )

    def successor() -> Sequence[Obligation]:
        plain = counter < COUNTERS - 1
        carry = z3.And(counter == COUNTERS - 1, rules.successor(first) == pack(ms + 1, 0))
        kept = z3.And(plain, rules.successor(first) == pack(ms, counter + 1))
        return (
            Obligation("carry", fits, z3.Or(kept, carry), {"the counter is full": z3.Not(plain)}),
            Obligation("plus one", fits, rules.successor(first) == first + 1),
        )

    return (
        Theorem(
            "hlc.packed_order_is_timestamp_order",
            "Timestamps written as ms * 4096 + counter are ordered like the pairs (ms, counter).",
            ("HLC-1",),
            ("HLC.R1",),
            order,
        ),
        Theorem(
            "hlc.successor_is_plus_one",
            "With the carry, the successor of a timestamp is the very next one: nothing lies between.",
            ("HLC-1", "HLC-2"),
            ("HLC.R2",),
            successor,
            ("hlc.packed_order_is_timestamp_order",),
        ),
    )


# --- the invariant, and order ------------------------------------------------------------------------------


def _order(rules: Rules) -> tuple[Theorem, ...]:
    world = any_world()
    actor, anyone = z3.Consts("actor anyone", NODE)
    arriving, sent, anything = z3.Consts("arriving sent anything", MESSAGE)
    held = {
        "the invariant holds at the node that acts": covered(world.clock(actor), world.ghost(actor)),
        "it holds at an arbitrary node": covered(world.clock(anyone), world.ghost(anyone)),
        "it holds of the message that arrives": carried(world.message(arriving)),
        "it holds of an arbitrary message": carried(world.message(anything)),
    }

    def begins() -> Sequence[Obligation]:
        fresh = {"never used": initial(world.clock(anyone), world.ghost(anyone))}
        nothing = {"nothing was sent": z3.Not(world.message(anything).sent)}
        return (
            Obligation("nodes", fresh, covered(world.clock(anyone), world.ghost(anyone))),
            Obligation("messages", nothing, carried(world.message(anything))),
        )

    def keeps() -> Sequence[Obligation]:
        return tuple(keeps_in(kind) for kind in STEPS)

    def keeps_in(kind: str) -> Obligation:
        step = take(kind, rules, world.clock(actor))
        after = next_world(world, actor, step, world.message(arriving), sent)
        conclusion = z3.And(
            covered(after.clock(anyone), after.ghost(anyone)), carried(after.message(anything))
        )
        return Obligation(kind, {**held, **happens(step)}, conclusion, possible_endings(step, rules))

    def happens(step: Step) -> dict[str, Formula]:
        message = world.message(arriving)
        return {
            "the configuration is sound": rules.settings.sound(),
            f"the node takes a step: {step.kind}": step.taken,
            "what is merged was sent": z3.And(message.sent, step.event.remote == message.clock),
            "a new message is new": z3.Not(world.message(sent).sent),
        }

    def tick(claim: str) -> Sequence[Obligation]:
        step, ghosts = take("tick", rules, world.clock(actor)), world.ghost(actor)
        seen = {"own": ghosts.own, "past": ghosts.past, "seen": ghosts.seen}
        assumed = {**held, **happens(step), "an id is issued": step.ends_as("issued")}
        last = step.before.last
        reaches = {
            "the wall clock is behind": step.event.wall < ms_of(last),
            "the counter is full": counter_of(last) == COUNTERS - 1,
            "the wall clock is ahead": step.event.wall > ms_of(last),
            "something was merged after the last id": ghosts.own < ghosts.seen,
        }
        return (Obligation("tick", assumed, step.effects.timestamp > seen[claim], reaches),)

    def carries() -> Sequence[Obligation]:
        step = take("stamp", rules, world.clock(actor))
        assumed = {**held, **happens(step), "a message is stamped": step.ends_as("stamped")}
        clock, ghosts = step.effects.timestamp, world.ghost(actor)
        conclusion = z3.And(clock == step.before.last, clock >= ghosts.past, clock >= ghosts.own)
        behind = {"its last id is behind its past": ghosts.own < ghosts.past}
        return (Obligation("stamp", assumed, conclusion, behind),)

    invariant = ("hlc.invariant_holds_at_first", "hlc.invariant_is_kept")
    return (
        Theorem(
            "hlc.invariant_holds_at_first",
            "Before anything happens every clock and every message is within the invariant.",
            ("HLC-1", "HLC-3", "HLC-5"),
            ("HLC.R12",),
            begins,
        ),
        Theorem(
            "hlc.invariant_is_kept",
            "Whatever step any node takes, whatever its clocks read and whatever message arrives, what a "
            "node has seen stays at or below its clock, its clock at or below its durable bound, and what "
            "a message knows at or below the clock that it carries.",
            ("HLC-1", "HLC-3", "HLC-5"),
            ("HLC.R2", "HLC.R3", "HLC.R5", "HLC.R7", "HLC.R12", "HLC.R13", "HLC.R14", "HLC.R15"),
            keeps,
            ("hlc.successor_is_plus_one",),
        ),
        Theorem(
            "hlc.ids_of_a_node_increase",
            "Every id that a node issues is above every id that it issued before, whatever its wall clock "
            "does, restarts included.",
            ("HLC-1",),
            ("HLC.R3",),
            lambda: tick("own"),
            invariant,
        ),
        Theorem(
            "hlc.id_is_above_its_past",
            "Every id is above every id that happened before it, across any chain of messages and hops.",
            ("HLC-3",),
            ("HLC.R3", "HLC.R5", "HLC.R7"),
            lambda: tick("past"),
            invariant,
        ),
        Theorem(
            "hlc.id_is_above_all_seen",
            "Every id is above everything that its node ever issued or merged, before its last crash as "
            "well.",
            ("HLC-5",),
            ("HLC.R12", "HLC.R14"),
            lambda: tick("seen"),
            invariant,
        ),
        Theorem(
            "hlc.message_carries_the_past",
            "The clock that a message carries is no earlier than any id that happened before it was sent.",
            ("HLC-3",),
            ("HLC.R7",),
            carries,
            invariant,
        ),
        Theorem(
            "hlc.clock_never_goes_back",
            "No step of a running node takes its clock back, and a merge takes it to the message's clock "
            "at least.",
            ("HLC-1", "HLC-3"),
            ("HLC.R3", "HLC.R5"),
            lambda: _never_back(rules),
        ),
        Theorem(
            "hlc.chains_keep_the_order",
            "Along a chain of any length, each link a step of a node or a message that is merged, the "
            "clock at the end is no earlier than at its beginning; so an id issued at the end is above "
            "one issued there.",
            ("HLC-3",),
            ("HLC.R7",),
            _chain,
            ("hlc.clock_never_goes_back", "hlc.message_carries_the_past", "hlc.restart_goes_on_above"),
        ),
    )


def possible_endings(step: Step, rules: Rules) -> dict[str, Formula]:
    """Each case of a kind of step must be possible, or the proof speaks of a step that never happens."""
    return {case.name: case.when for case in cases(step.kind, rules, step.before, step.event)}


def _never_back(rules: Rules) -> Sequence[Obligation]:
    made = []
    for kind in STEPS:
        step = take(kind, rules, any_node("before"))
        runs = {"it runs": step.before.up, "its clock is in range": step.before.last >= 0}
        stays = z3.Implies(step.after.up, step.after.last >= step.before.last)
        merged = z3.Implies(step.ends_as("merged"), step.after.last >= step.event.remote)
        if kind != "start":
            made.append(Obligation(kind, {**runs, "it takes a step": step.taken}, z3.And(stays, merged)))
    return made


def _chain() -> Sequence[Obligation]:
    clock = z3.Function("clock_after_link", z3.IntSort(), z3.IntSort())
    link, first_id, last_id = z3.Ints("link first_id last_id")
    issued_there = {"the chain begins with an id": clock(0) == first_id}
    kept = {"so far the clock is no earlier": clock(link) >= clock(0)}
    next_link = {"no link takes the clock back": clock(link + 1) >= clock(link), "a link": link >= 0}
    ends = {"an id is issued at the end": last_id > clock(link)}
    return (
        Obligation("no link", issued_there, clock(0) >= clock(0)),
        Obligation("one more link", {**kept, **next_link}, clock(link + 1) >= clock(0)),
        Obligation("the end", {**issued_there, **kept, **ends}, last_id > first_id),
    )


# --- restart ------------------------------------------------------------------------------------------------


def _restart(rules: Rules) -> tuple[Theorem, ...]:
    world = any_world()
    node = z3.Const("node", NODE)
    before, ghosts = world.clock(node), world.ghost(node)
    held = {"the invariant holds": covered(before, ghosts), "it runs": before.up}

    def after_a_crash() -> Sequence[Obligation]:
        return tuple(left(kind) for kind in ("the old bound", "the bound that was being written"))

    def left(on_disk: str) -> Obligation:
        written = on_disk != "the old bound"
        bound = before.promised if written else before.bound
        down, crash = any_node("down"), take("crash", rules, before, "_crash")
        start = take("start", rules, down, "_start")
        found = {
            "it crashes": crash.taken,
            "the disk has one of the two": z3.And(
                z3.Not(down.up), down.bound == bound, before.writing == written
            ),
            "it starts, its wall clock anywhere": start.taken,
        }
        conclusion = z3.And(start.after.last >= before.last, start.after.last >= ghosts.seen)
        reaches = {"a clean stop had begun": before.stopping} if written else {}
        return Obligation(on_disk, {**held, **found}, conclusion, reaches)

    def clean() -> Sequence[Obligation]:
        stop = take("stop", rules, before, "_stop")
        written = take("persisted", rules, stop.after, "_written")
        end = take("crash", rules, written.after, "_end")
        start = take("start", rules, end.after, "_start")
        run = {
            "a stop that asks for its bound": z3.And(stop.taken, stop.effects.asked != NONE),
            "the bound is written, the process ends and starts": z3.And(
                written.taken, end.taken, start.taken
            ),
        }
        return (Obligation("stop and start", {**held, **run}, start.after.last == before.last),)

    def never_lowered() -> Sequence[Obligation]:
        kept = {"the invariant holds": covered(before, ghosts)}
        made = []
        for kind in STEPS:
            step = take(kind, rules, before)
            stopped = z3.And(kind == "persisted", before.stopping, step.after.bound == before.last)
            lowered = step.after.bound < before.bound
            reaches = {"it is lowered": lowered} if kind == "persisted" else {}
            taken = {"a step": step.taken}
            made.append(Obligation(kind, {**kept, **taken}, z3.Implies(lowered, stopped), reaches))
        return made

    return (
        Theorem(
            "hlc.restart_goes_on_above",
            "Whatever a crash leaves on the disk, the old bound or the one that was being written, the "
            "clock starts at or above everything that was issued or merged before, wherever the wall "
            "clock stands.",
            ("HLC-5",),
            ("HLC.R12", "HLC.R14"),
            after_a_crash,
            ("hlc.invariant_is_kept",),
        ),
        Theorem(
            "hlc.clean_stop_loses_nothing",
            "After a clean stop the clock goes on from exactly where it stood.",
            ("HLC-5",),
            ("HLC.R15",),
            clean,
            ("hlc.invariant_is_kept",),
        ),
        Theorem(
            "hlc.bound_is_lowered_only_by_a_clean_stop",
            "Nothing but a clean stop lowers a bound, and that to exactly what was issued or merged.",
            ("HLC-5",),
            ("HLC.R15", "HLC.R16"),
            never_lowered,
            ("hlc.invariant_is_kept",),
        ),
        Theorem(
            "hlc.a_retired_id_stays_retired",
            "A node that retires its id starts as a node id never used, and an id that was given up is "
            "never taken up again.",
            ("HLC-4", "HLC-5"),
            ("HLC.R16",),
            lambda: _retires(rules),
        ),
    )


def _retires(rules: Rules) -> Sequence[Obligation]:
    step, old = take("retire", rules, any_node("before")), z3.Int("given_up")
    given_up = z3.Or(old == step.before.node_id, z3.Select(step.before.retired, old))
    new = step.after
    fresh = z3.And(z3.Not(new.up), new.bound == 0, new.node_id != old, z3.Select(new.retired, old))
    return (Obligation("retire", {"it retires": step.taken, "an id was given up": given_up}, fresh),)
