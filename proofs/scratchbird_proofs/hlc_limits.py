"""How far ahead and how fast: the wait after a crash (HLC-5, rule R14) and the rate of ids (HLC-6)."""

from __future__ import annotations

from collections.abc import Sequence

import z3

from scratchbird_proofs.hlc_rules import (
    COUNTERS,
    NONE,
    READING,
    Node,
    Rules,
    any_node,
    later,
    pack,
    settings,
)
from scratchbird_proofs.hlc_time import believed
from scratchbird_proofs.hlc_world import STEPS, Ghosts, Step, covered, take
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem
from scratchbird_reference.uuid8 import MAX_MS


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """The theorems about these rules; about the right ones if none are given."""
    used = Rules(settings()) if rules is None else rules
    return (*_wait(used), *_rate(used))


def _ghosts() -> Ghosts:
    return Ghosts(*z3.Ints("own past seen"))


# --- the wait after a crash -------------------------------------------------------------------------------


def _wait(rules: Rules) -> tuple[Theorem, ...]:
    before, configured = any_node("before"), rules.settings
    highest = z3.Int("highest_believed")
    reach = configured.max_ahead + configured.reserve
    sound = {"the configuration is sound": configured.sound(), "times are at least 0": highest >= 0}
    held = {
        "the clock is within its bound": covered(before, _ghosts()),
        "the bound is within reach": _within_reach(before, highest + reach),
    }

    def stays() -> Sequence[Obligation]:
        fresh = {"a node id never used": z3.And(before.bound == 0, z3.Not(before.writing))}
        return (
            Obligation(
                "at first",
                {**sound, **fresh},
                _within_reach(before, highest + reach),
            ),
            *(step_keeps(kind) for kind in STEPS),
        )

    def step_keeps(kind: str) -> Obligation:
        step = take(kind, rules, before)
        asks = step.effects.asked != NONE
        reading = z3.And(asks, kind in READING)
        highest_now = z3.If(reading, later(highest, believed(step)), highest)
        conclusion = _within_reach(step.after, highest_now + reach)
        taken = {"it takes a step": step.taken}
        reaches = {"it asks for a bound": asks} if kind in ("tick", "observe", "reserve", "stop") else {}
        return Obligation(kind, {**sound, **held, **taken}, conclusion, reaches)

    def begins(kind: str) -> tuple[Step, dict[str, Formula]]:
        start = take("start", rules, before, "_start")
        first = take(kind, rules, start.after, "_first")
        return first, {
            **sound,
            **held,
            "the node starts after a crash": start.taken,
            f"a {kind} comes": z3.And(first.taken, z3.Not(first.after.suspended)),
            "the 48-bit range is not used up": z3.And(highest + reach < MAX_MS, first.event.wall < MAX_MS),
        }

    def first_tick() -> Sequence[Obligation]:
        tick, run = begins("tick")
        soonest = highest + configured.reserve
        farthest = before.bound == pack(highest + reach)
        in_time = {"its wall clock has come this far": tick.event.wall >= soonest}
        too_soon = {
            "its wall clock is 1 ms short of that": tick.event.wall == soonest - 1,
            "its bound is as far as it may be": farthest,
        }
        reaches = {
            "the wall clock only just came this far": tick.event.wall == soonest,
            "and the bound is as far as it may be": z3.And(tick.event.wall == soonest, farthest),
        }
        allowed = z3.Or(tick.ends_as("issued"), tick.ends_as("deferred"))
        return (
            Obligation("start and tick", {**run, **in_time}, allowed, reaches),
            Obligation("one millisecond earlier", {**run, **too_soon}, tick.ends_as("ahead")),
        )

    def first_message() -> Sequence[Obligation]:
        stamp, run = begins("stamp")
        soonest = highest + configured.reserve
        in_time = {"the node believes in this time": believed(stamp) >= soonest}
        reaches = {
            "only just, and the bound is as far as it may be": z3.And(
                believed(stamp) == soonest, before.bound == pack(highest + reach)
            )
        }
        return (Obligation("start and stamp", {**run, **in_time}, stamp.ends_as("stamped"), reaches),)

    return (
        Theorem(
            "hlc.bound_stays_within_reach",
            "However often a node crashes, starts and reserves, its bound stays within max_ahead + "
            "reserve of the highest time that it believed in when it asked for one.",
            ("HLC-5",),
            ("HLC.R13", "HLC.R14"),
            stays,
            ("hlc.invariant_is_kept",),
        ),
        Theorem(
            "hlc.first_tick_waits_no_longer",
            "After a crash a tick is no longer refused once the wall clock is reserve past the highest "
            "time believed in before; 1 ms earlier it can be.",
            ("HLC-5",),
            ("HLC.R14",),
            first_tick,
            ("hlc.bound_stays_within_reach", "hlc.invariant_is_kept"),
        ),
        Theorem(
            "hlc.first_message_waits_no_longer",
            "After a crash a message is no longer held back once the node believes in a time that is "
            "reserve past the highest that it believed in before.",
            ("HLC-5",),
            ("HLC.R7", "HLC.R14"),
            first_message,
            ("hlc.bound_stays_within_reach", "hlc.invariant_is_kept"),
        ),
    )


def _within_reach(node: Node, ms: Term) -> Formula:
    return z3.And(node.bound <= pack(ms), z3.Implies(node.writing, node.promised <= pack(ms)))


# --- the rate of ids --------------------------------------------------------------------------------------


def _rate(rules: Rules) -> tuple[Theorem, ...]:
    before, ghosts, configured = any_node("before"), _ghosts(), rules.settings
    first_reading, span, count, newest = z3.Ints("first_reading span count newest")
    end = pack(first_reading + span + configured.max_ahead, COUNTERS - 1)
    limit = (span + configured.max_ahead + 1) * COUNTERS
    asked_of = {
        "the configuration is sound": configured.sound(),
        "a span of readings": z3.And(first_reading >= 0, span >= 0),
    }

    def counted(ids: Term, greatest: Term, own: Term) -> Formula:
        # ``ids`` were issued at readings within the span, the greatest of them last.
        some = z3.And(pack(first_reading) + ids - 1 <= greatest, greatest <= end, greatest <= own)
        return z3.And(ids >= 0, z3.Implies(ids > 0, some))

    def ids_in_span() -> Sequence[Obligation]:
        return (
            Obligation("at first", asked_of, counted(z3.IntVal(0), newest, ghosts.own)),
            *(counts(kind) for kind in STEPS),
            Obligation(
                "the limit",
                {**asked_of, "ids are counted": counted(count, newest, ghosts.own)},
                count <= limit,
                {"as many as there may be": z3.And(count == limit, span == 3)},
            ),
        )

    def counts(kind: str) -> Obligation:
        step = take(kind, rules, before)
        issued = step.ends_as("issued")
        within = z3.And(issued, first_reading <= step.event.wall, step.event.wall <= first_reading + span)
        conclusion = counted(
            z3.If(within, count + 1, count),
            z3.If(within, step.effects.timestamp, newest),
            z3.If(issued, step.effects.timestamp, ghosts.own),
        )
        assumed = {
            **asked_of,
            "the clock covers the past": covered(before, ghosts),
            "ids are counted": counted(count, newest, ghosts.own),
            "the node takes a step": step.taken,
        }
        return Obligation(kind, assumed, conclusion, {"one more": within} if kind == "tick" else {})

    def ticks(last: Term, reading: Term) -> tuple[Step, dict[str, Formula]]:
        step = take("tick", rules, before)
        ready = z3.And(z3.Not(before.stopping), before.last == last, step.event.wall == reading)
        return step, {
            **asked_of,
            "a tick at this reading": z3.And(step.taken, ready, z3.Not(step.after.suspended)),
            "the bound is far": z3.And(before.bound >= last + 1, before.bound >= pack(reading)),
            "the range too": reading + configured.max_ahead < MAX_MS,
        }

    def burst() -> Sequence[Obligation]:
        wall, done = first_reading, count
        most = (configured.max_ahead + 1) * COUNTERS
        step, assumed = ticks(pack(wall) + done - 1, wall)
        some = {"some are done": z3.And(done >= 1, done < most)}
        full = {"all are done": done == most}
        next_id = z3.And(step.ends_as("issued"), step.effects.timestamp == pack(wall) + done)
        refused = z3.And(step.ends_as("ahead"), step.effects.retry_after == 1)
        return (
            Obligation("one more", {**assumed, **some}, next_id),
            Obligation("the one too many", {**assumed, **full}, refused),
        )

    def sustained() -> Sequence[Obligation]:
        wall, done = first_reading, count
        step, assumed = ticks(pack(wall) + done - 1, wall)
        some = {"some of this millisecond are done": z3.And(done >= 1, done < COUNTERS)}
        next_id = z3.And(step.ends_as("issued"), step.effects.timestamp == pack(wall) + done)
        first, begun = ticks(before.last, wall)
        behind = {"the clock is behind": z3.And(before.last >= 0, before.last < pack(wall))}
        begins = z3.And(first.ends_as("issued"), first.effects.timestamp == pack(wall))
        over = {"all of this millisecond are done": before.last == pack(wall) + COUNTERS - 1}
        return (
            Obligation("the first of a millisecond", {**begun, **behind}, begins),
            Obligation("one more", {**assumed, **some}, next_id),
            Obligation("the next millisecond", over, before.last < pack(wall + 1)),
        )

    def one_ms() -> Sequence[Obligation]:
        ids = {"one reading": span == 0, "ids are counted": counted(count, newest, ghosts.own)}
        return (Obligation("the limit", {**asked_of, **ids}, count <= (configured.max_ahead + 1) * COUNTERS),)

    return (
        Theorem(
            "hlc.ids_in_a_span_of_time",
            "At readings that span T milliseconds a node issues at most (T + max_ahead + 1) * 4096 ids, "
            "whatever happened before: 4096 a millisecond, and one burst.",
            ("HLC-6",),
            ("HLC.R3", "HLC.R4"),
            ids_in_span,
            ("hlc.invariant_is_kept", "hlc.issued_within_own_bound"),
        ),
        Theorem(
            "hlc.ids_at_one_reading",
            "While the wall clock stands still a node issues at most (max_ahead + 1) * 4096 ids.",
            ("HLC-6",),
            ("HLC.R4",),
            one_ms,
            ("hlc.ids_in_a_span_of_time",),
        ),
        Theorem(
            "hlc.burst_limit_is_reached",
            "A clock that is not ahead does issue all of these, one after the other, and the next tick is "
            "told to come again in 1 ms.",
            ("HLC-6",),
            ("HLC.R2", "HLC.R4"),
            burst,
        ),
        Theorem(
            "hlc.sustained_rate_is_reached",
            "4096 ids in every millisecond can go on for ever without a refusal.",
            ("HLC-6",),
            ("HLC.R2", "HLC.R3"),
            sustained,
        ),
    )
