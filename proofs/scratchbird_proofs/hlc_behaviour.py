"""What the rules promise of single steps and short runs of one clock, whatever its state.

Each of these is something that a caller relies on: that a suspended node is quiet, that a refusal names the
right wait, that a deferred tick succeeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import z3

from scratchbird_proofs.hlc_rules import (
    KINDS,
    NONE,
    READING,
    Rules,
    any_event,
    any_node,
    ms_of,
    outcome,
    possible,
    settings,
)
from scratchbird_proofs.hlc_steps import cases, enabled
from scratchbird_proofs.hlc_world import (
    GREATEST,
    take,
)
from scratchbird_proofs.theorem import Obligation, Theorem
from scratchbird_reference.uuid8 import MAX_MS


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """The theorems about these rules; about the right ones if none are given."""
    return _theorems(Rules(settings()) if rules is None else rules)


def _theorems(rules: Rules) -> tuple[Theorem, ...]:
    before = any_node("before")
    sound = {"the configuration is sound": rules.settings.sound()}
    in_range = {"its clock is in range": z3.And(before.last >= 0, before.last <= GREATEST, before.bound >= 0)}

    def one_case() -> Sequence[Obligation]:
        made = []
        for kind in KINDS:
            event = any_event("event")
            ways = [case.when for case in cases(kind, rules, before, event)]
            assumed = {
                **sound,
                **in_range,
                "it can happen": z3.And(possible(event), enabled(kind, before, event)),
            }
            just_one = z3.And(z3.Or(*ways), *(z3.Not(z3.And(*two)) for two in combinations(ways, 2)))
            made.append(Obligation(kind, assumed, just_one))
        return made

    def durable_first() -> Sequence[Obligation]:
        used = []
        for kind, name in (("tick", "issued"), ("observe", "merged")):
            step = take(kind, rules, before)
            needed = step.effects.timestamp if kind == "tick" else step.event.remote
            assumed = {**sound, **in_range, "it steps": step.taken, f"it is {name}": step.ends_as(name)}
            used.append(Obligation(kind, assumed, needed <= before.bound))
        return used

    def suspended() -> Sequence[Obligation]:
        made = []
        for kind in READING:
            step = take(kind, rules, before)
            jumped = step.event.wall - step.event.monotonic - before.anchor > rules.settings.max_drift
            quiet = z3.And(step.effects.outcome != outcome("issued"), step.effects.asked == NONE)
            stays = z3.Or(step.after.suspended, step.ends_as("confirmed"))
            assumed = {
                **sound,
                "it steps, and no stop has begun": z3.And(step.taken, z3.Not(before.stopping)),
                "its wall clock jumped, now or earlier": z3.Or(jumped, before.suspended),
            }
            made.append(Obligation(kind, assumed, z3.And(quiet, stays), {"it jumped just now": jumped}))
        return made

    def confirmed() -> Sequence[Obligation]:
        step = take("confirm", rules, before)
        enough = z3.Or(step.event.operator, step.event.agreeing >= rules.settings.confirm_quorum)
        anchored = step.after.anchor + step.event.monotonic == step.event.wall
        assumed = {**sound, "it steps": step.taken, "it is confirmed": step.ends_as("confirmed")}
        return (Obligation("confirm", assumed, z3.And(enough, anchored, z3.Not(step.after.suspended))),)

    def set_back() -> Sequence[Obligation]:
        awake = {"it is awake": z3.And(z3.Not(before.suspended), z3.Not(before.stopping))}
        observe, stamp = take("observe", rules, before), take("stamp", rules, before)
        remembered = before.anchor + observe.event.monotonic
        far_back = remembered - observe.event.wall > rules.settings.max_skew
        judged_by = z3.If(far_back, remembered, observe.event.wall)
        near = ms_of(observe.event.remote) < judged_by + rules.settings.max_ahead
        behind = observe.event.wall < remembered
        heard = {
            **sound,
            **awake,
            "it hears": observe.taken,
            "of the present": near,
            "it is set back": behind,
        }
        own = ms_of(before.last) <= remembered + rules.settings.max_ahead
        says = {**sound, **awake, "it sends": stamp.taken, "its clock is near": own, "it is set back": behind}
        far = {"by more than ever": observe.event.wall + 2 * rules.settings.max_drift < remembered}
        return (
            Obligation(
                "observe",
                heard,
                z3.Or(observe.ends_as("merged"), observe.ends_as("deferred")),
                {**far, "by no more than healthy clocks differ": z3.Not(far_back)},
            ),
            Obligation("stamp", says, stamp.ends_as("stamped"), far),
        )

    def exact_wait() -> Sequence[Obligation]:
        first = take("tick", rules, before, "_refused")
        wait = first.effects.retry_after
        made = []
        for name, early in (("then", 0), ("one millisecond earlier", 1)):
            again = take("tick", rules, first.after, "_again")
            assumed = {
                **sound,
                **in_range,
                "a tick is refused": z3.And(first.taken, first.ends_as("ahead")),
                "it comes again": z3.And(again.taken, again.event.wall == first.event.wall + wait - early),
                "its wall clock did not jump": z3.Not(again.after.suspended),
            }
            refused = again.ends_as("ahead")
            right = z3.And(wait > 0, refused if early else z3.Not(refused))
            made.append(Obligation(name, assumed, right))
        return made

    def after_deferral() -> Sequence[Obligation]:
        tick = take("tick", rules, before, "_deferred")
        written = take("persisted", rules, tick.after, "_written")
        again = take("tick", rules, written.after, "_again")
        later_by = again.event.wall - tick.event.wall
        assumed = {
            **sound,
            **in_range,
            "a tick asks for a bound": z3.And(
                tick.taken, tick.ends_as("deferred"), tick.effects.asked != NONE
            ),
            "the bound is written": written.taken,
            "the tick comes again soon": z3.And(
                again.taken, later_by >= 0, later_by <= rules.settings.reserve, z3.Not(again.after.suspended)
            ),
        }
        return (Obligation("tick", assumed, again.ends_as("issued")),)

    def never_past_the_end() -> Sequence[Obligation]:
        step = take("tick", rules, before)
        assumed = {**in_range, "it steps": step.taken, "an id is issued": step.ends_as("issued")}
        end = {"the last millisecond is used": ms_of(step.effects.timestamp) == MAX_MS}
        return (Obligation("tick", assumed, step.effects.timestamp <= GREATEST, end),)

    return (
        Theorem(
            "hlc.exactly_one_case_applies",
            "To every event that is possible exactly one case of the rules applies: no step is left out "
            "and none is ambiguous.",
            ("HLC-1",),
            ("HLC.R3",),
            one_case,
        ),
        Theorem(
            "hlc.bound_is_durable_first",
            "Nothing is issued or merged before a bound at or above it is durable.",
            ("HLC-5",),
            ("HLC.R12",),
            durable_first,
        ),
        Theorem(
            "hlc.suspended_node_is_quiet",
            "A node whose wall clock jumped forward issues no id and asks for no bound until the clock is "
            "confirmed.",
            ("HLC-4",),
            ("HLC.R10",),
            suspended,
        ),
        Theorem(
            "hlc.only_evidence_confirms",
            "Only an operator, or the quorum of peers that agree, ends a suspension, and the wall clock "
            "is then the one that was looked at.",
            ("HLC-4",),
            ("HLC.R11",),
            confirmed,
        ),
        Theorem(
            "hlc.set_back_refuses_only_ticks",
            "A node whose wall clock is set back, however far, goes on sending its clock if that is at most "
            "max_ahead past the time that it remembers, and merging what lies less than max_ahead past it; "
            "while set back by no more than max_skew it merges what lies less than max_ahead past the wall "
            "clock.",
            ("HLC-4",),
            ("HLC.R6", "HLC.R9"),
            set_back,
        ),
        Theorem(
            "hlc.wait_is_exact",
            "A refused tick says after how many milliseconds it is no longer refused: not one too many, "
            "not one too few.",
            ("HLC-6",),
            ("HLC.R4",),
            exact_wait,
        ),
        Theorem(
            "hlc.deferred_tick_succeeds",
            "A tick that asks for a bound succeeds when the bound is written, unless that takes longer "
            "than the reservation.",
            ("HLC-5",),
            ("HLC.R13",),
            after_deferral,
        ),
        Theorem(
            "hlc.ids_end_with_the_range",
            "No id is issued past the 48-bit millisecond.",
            ("HLC-1",),
            ("HLC.R17",),
            never_past_the_end,
        ),
    )
