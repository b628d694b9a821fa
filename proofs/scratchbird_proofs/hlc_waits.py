"""Who waits for whom, and for how long (HLC-4): what merging no further than max_ahead is for.

Two things wait. A message waits at its receiver until its clock is at most ``max_ahead`` past the time that
the receiver believes in. A node's own ids and messages wait while its clock is further ahead than that. The
second wait would be in the hands of every fast peer if the first were not.

A start is the exception: the clock then stands at the reserved bound, and the node waits for that
(``hlc.first_tick_waits_no_longer``, ``hlc.first_message_waits_no_longer``). "Between starts" below means from
there on; a start after a clean stop is none to wait for.
"""

from __future__ import annotations

from collections.abc import Sequence

import z3

from scratchbird_proofs.hlc_rules import READING, Node, Rules, any_node, later, ms_of, pack, settings
from scratchbird_proofs.hlc_time import Health, believed, health, in_range, passage
from scratchbird_proofs.hlc_world import STEPS, Step, take
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """The theorems about these rules; about the right ones if none are given."""
    used = Rules(settings()) if rules is None else rules
    return (_messages(used), _belief(used), _health(used))


def _near(node: Node, ms: Term) -> Formula:
    """The clock, if there is one, is no further than this."""
    return z3.Implies(node.up, ms_of(node.last) <= ms)


# --- a message at its receiver ----------------------------------------------------------------------------


def _messages(rules: Rules) -> Theorem:
    sent, skew = passage(rules), rules.settings.max_skew
    observe, age = sent.observe, sent.here.now - sent.there.now

    def waits() -> Sequence[Obligation]:
        early, wait = observe.ends_as("early"), observe.effects.retry_after
        patient = z3.And(
            z3.Not(observe.ends_as("drift")),
            z3.Implies(early, wait <= skew - age),
            z3.Implies(age >= skew, z3.Not(early)),
        )
        longest = {"the longest wait": z3.And(early, wait == skew)}
        wrong = {
            "the longest wait, its wall clock set back": z3.And(
                early, wait == skew, observe.event.wall + 2 * rules.settings.max_drift < sent.here.now
            )
        }
        known = {**sent.passes, **sent.sends_healthily}
        return (
            Obligation("at a healthy node", {**known, **sent.hears_healthily}, patient, longest),
            Obligation("where the wall clock is wrong", {**known, **sent.remembers}, patient, wrong),
        )

    return Theorem(
        "hlc.healthy_message_waits_for_max_skew",
        "A message that a healthy node stamps waits at a healthy node for at most max_skew milliseconds of "
        "true time after it was stamped, and is then merged; also where the wall clock was healthy only "
        "when it was last trusted.",
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
        edge = ms_of(step.after.last) == believed(step) + configured.max_ahead
        moves = {"tick": {"as far as it may": edge}, "observe": {"as far as it may": edge}}.get(kind, {})
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
        merges = {"it merges what it hears": z3.And(healthy(merge), merge.ends_as("merged"))}
        pushed = merge.after.last > before.last
        return (
            waits_from(kind, kind, longest, before, held, z3.BoolVal(True)),
            waits_from(f"{kind}, after a merge", kind, longest, merge.after, {**held, **merges}, pushed),
        )

    def waits_from(
        name: str, kind: str, longest: Term, node: Node, known: dict[str, Formula], reached: Formula
    ) -> Obligation:
        step = take(kind, rules, node, "_again")
        then = Health(z3.Int("now_again"), here.base, here.lost)
        age, ahead, wait = then.now - here.now, step.ends_as("ahead"), step.effects.retry_after
        goes_on = {
            "it goes on, then or later": z3.And(step.taken, age >= 0),
            "its wall clock is still healthy": z3.And(then.wall(step, rules), z3.Not(step.after.suspended)),
        }
        told = z3.Implies(ahead, wait <= longest - age)
        over = z3.Implies(age >= longest, z3.Not(ahead))
        reaches = {"the longest wait": z3.And(ahead, wait == longest, reached)}
        return Obligation(name, {**known, **goes_on}, z3.And(told, over), reaches)

    return Theorem(
        "hlc.fast_peers_silence_nobody",
        "Between starts, whatever it hears, a healthy node's clock is at most max_ahead + max_skew past true "
        "time. So it holds its messages back for at most max_skew milliseconds of true time after its last "
        "merge or id, and its ids for at most 1 ms more; less than that is not true if a healthy wall clock "
        "goes back by max_skew.",
        ("HLC-4",),
        ("HLC.R4", "HLC.R6", "HLC.R7"),
        waits,
        ("hlc.healthy_node_is_never_suspended",),
    )
