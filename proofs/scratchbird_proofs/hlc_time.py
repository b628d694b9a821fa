"""What the clock promises against true time (HLC-4): bounds, health, and who is refused by whom.

True time never goes back, and nobody reads it. A wall clock is *healthy* while it is at true time or up to
``max_skew`` past it, so that two healthy wall clocks differ by ``max_skew`` at the most. The monotonic clock
counts at the rate of true time; where a theorem allows for a slow one it says so (``lost``). An anchor is
healthy if it was taken while the wall clock was.

Nothing is assumed of the nodes that are not named, so they may be as sick as they like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import z3

from scratchbird_proofs.hlc_rules import (
    Node,
    Rules,
    any_node,
    later,
    ms_of,
    settings,
)
from scratchbird_proofs.hlc_world import GREATEST, STEPS, Step, take
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """The theorems about these rules; about the right ones if none are given."""
    used = Rules(settings()) if rules is None else rules
    return (*_bounds(used), *_health(used), *_refusals(used))


def believed(step: Step) -> Term:
    """What the node holds the time to be at this step, written out here and not taken from the rules."""
    remembered = step.event.monotonic + step.before.anchor
    return z3.If(step.after.suspended, remembered, later(step.event.wall, remembered))


def present(step: Step, rules: Rules) -> Term:
    """The time by which the node judges what is early, written out here as well (rule HLC.R6)."""
    return z3.If(settled(step, rules), step.event.wall, believed(step))


def settled(step: Step, rules: Rules) -> Formula:
    """Whether the node is awake and its wall clock is set back by no more than healthy ones differ."""
    set_back = believed(step) - step.event.wall
    return z3.And(z3.Not(step.after.suspended), set_back <= rules.settings.max_skew)


def in_range(node: Node) -> Formula:
    """The ranges that every state keeps to."""
    return z3.And(node.last >= 0, node.last <= GREATEST, node.bound >= 0, node.bound <= GREATEST)


# --- the two bounds ---------------------------------------------------------------------------------------


def _bounds(rules: Rules) -> tuple[Theorem, ...]:
    before, configured = any_node("before"), rules.settings

    def ends(kind: str, name: str) -> tuple[Step, dict[str, Formula]]:
        step = take(kind, rules, before)
        return step, {
            "the configuration is sound": configured.sound(),
            "its clock is in range": in_range(before),
            f"it is {name}": z3.And(step.taken, step.ends_as(name)),
        }

    def issued() -> Sequence[Obligation]:
        step, assumed = ends("tick", "issued")
        ms, wall = ms_of(step.effects.timestamp), step.event.wall
        conclusion = z3.And(wall <= ms, ms <= wall + configured.max_ahead)
        return (
            Obligation("tick", assumed, conclusion, {"as far as it may": ms == wall + configured.max_ahead}),
        )

    def merged() -> Sequence[Obligation]:
        step, assumed = ends("observe", "merged")
        ms, edge = ms_of(step.event.remote), present(step, rules) + configured.max_ahead
        conclusion = z3.And(ms < edge, ms < believed(step) + configured.max_ahead)
        reaches = {
            "at the edge, by the wall clock": z3.And(ms == edge - 1, settled(step, rules)),
            "at the edge, set back far": z3.And(
                ms == edge - 1, z3.Not(settled(step, rules)), z3.Not(step.after.suspended)
            ),
            "at the edge, suspended": z3.And(ms == edge - 1, step.after.suspended),
        }
        return (Obligation("observe", assumed, conclusion, reaches),)

    def stamped() -> Sequence[Obligation]:
        step, assumed = ends("stamp", "stamped")
        ms, edge = ms_of(step.effects.timestamp), believed(step) + configured.max_ahead
        return (Obligation("stamp", assumed, ms <= edge, {"at the edge": ms == edge}),)

    return (
        Theorem(
            "hlc.issued_within_own_bound",
            "An id is issued no earlier than the wall clock and at most max_ahead past it.",
            ("HLC-4",),
            ("HLC.R3", "HLC.R4"),
            issued,
        ),
        Theorem(
            "hlc.merged_within_remote_bound",
            "What is merged lies less than max_ahead past the wall clock at that step; where the node is "
            "suspended or its wall clock set back by more than max_skew, less than max_ahead past the time "
            "that it believes in.",
            ("HLC-4",),
            ("HLC.R6",),
            merged,
        ),
        Theorem(
            "hlc.carried_within_own_bound",
            "The clock that a message carries lies at most max_ahead past the clock that its sender "
            "believes.",
            ("HLC-4",),
            ("HLC.R7",),
            stamped,
        ),
    )


# --- health -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Health:
    """True time at a step of one node, and what ties its clocks to it."""

    now: Term
    base: Term
    """True time less the monotonic clock when the anchor was taken."""
    lost: Term
    """How many milliseconds the monotonic clock has lost since then; 0 for a good one."""

    def wall(self, step: Step, rules: Rules) -> Formula:
        """Whether the wall clock that the step reads is healthy."""
        return z3.And(step.event.wall >= self.now, step.event.wall <= self.now + rules.settings.max_skew)

    def monotonic(self, step: Step) -> Formula:
        """Whether the monotonic clock counts as it should."""
        return z3.And(self.lost >= 0, step.event.monotonic == self.now - self.base - self.lost)

    def anchor(self, node: Node, rules: Rules) -> Formula:
        """Whether the anchor was taken while the wall clock was healthy."""
        return z3.And(node.anchor >= self.base, node.anchor <= self.base + rules.settings.max_skew)


def health(tag: str) -> Health:
    """Any true time, any base, any loss."""
    return Health(*z3.Ints(f"now_{tag} base_{tag} lost_{tag}"))


def _health(rules: Rules) -> tuple[Theorem, ...]:
    before, configured = any_node("before"), rules.settings
    sound = {"the configuration is sound": configured.sound()}
    state = health("reading")
    kept = z3.Implies(before.up, z3.And(state.anchor(before, rules), z3.Not(before.suspended)))

    def never_suspended() -> Sequence[Obligation]:
        return (
            Obligation("a node that is down", {"down": z3.Not(before.up)}, kept),
            *(healthy_step(kind) for kind in STEPS),
        )

    def healthy_step(kind: str) -> Obligation:
        step = take(kind, rules, before)
        anchored = z3.Or(kind == "start", step.ends_as("confirmed"))
        fresh = Health(state.now, state.now - step.event.monotonic, z3.IntVal(0))
        after = Health(state.now, z3.If(anchored, fresh.base, state.base), state.lost)
        held = z3.And(after.anchor(step.after, rules), z3.Not(step.after.suspended))
        assumed = {
            **sound,
            "its anchor is healthy and it is not suspended": kept,
            "it takes a step": step.taken,
            "its wall clock is healthy": state.wall(step, rules),
            "its monotonic clock lost little": z3.And(
                state.lost <= configured.max_ahead, z3.Or(kind == "start", state.monotonic(step))
            ),
        }
        return Obligation(kind, assumed, z3.Implies(step.after.up, held))

    def confirmed() -> Sequence[Obligation]:
        now, wall, peer = z3.Ints("now wall peer")
        skew = configured.max_skew
        assumed = {
            **sound,
            "a peer is healthy": z3.And(peer >= now, peer <= now + skew),
            "it agrees": z3.And(peer - wall <= skew, wall - peer <= skew),
        }
        near = z3.And(wall >= now - skew, wall <= now + 2 * skew)
        return (Obligation("one healthy peer", assumed, near, {"too far": wall > now + skew}),)

    return (
        Theorem(
            "hlc.healthy_node_is_never_suspended",
            "A node whose wall clock is healthy never takes it for one that jumped, even if its monotonic "
            "clock has lost up to max_ahead since the anchor was taken.",
            ("HLC-4",),
            ("HLC.R10", "HLC.R11"),
            never_suspended,
        ),
        Theorem(
            "hlc.one_healthy_peer_is_enough_to_confirm",
            "A wall clock with which one healthy peer agrees is at most max_skew before true time and at "
            "most twice that past it.",
            ("HLC-4",),
            ("HLC.R11",),
            confirmed,
        ),
    )


# --- who is refused by whom -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """A message from one node to another, stamped at one time and arriving then or later."""

    stamp: Step
    observe: Step
    there: Health
    here: Health
    passes: dict[str, Formula]
    """That it was stamped and arrives."""
    sends_healthily: dict[str, Formula]
    hears_healthily: dict[str, Formula]
    remembers: dict[str, Formula]
    """That the receiver's wall clock was healthy when it was last trusted, wherever it stands now."""


def passage(rules: Rules) -> Passage:
    """Any message between any two nodes."""
    sender, receiver = any_node("sender"), any_node("receiver")
    there, here = health("there"), health("here")
    stamp = take("stamp", rules, sender, "_stamp")
    observe = take("observe", rules, receiver, "_observe")
    anchored = z3.And(here.monotonic(observe), here.anchor(receiver, rules))
    return Passage(
        stamp,
        observe,
        there,
        here,
        passes={
            "the configuration is sound": rules.settings.sound(),
            "their clocks are in range": z3.And(in_range(sender), in_range(receiver)),
            "a message is stamped": z3.And(stamp.taken, stamp.ends_as("stamped")),
            "it arrives then or later": z3.And(
                observe.taken, observe.event.remote == stamp.effects.timestamp, here.now >= there.now
            ),
        },
        sends_healthily={
            "the sender's clocks are healthy": z3.And(
                there.wall(stamp, rules), there.monotonic(stamp), there.anchor(sender, rules)
            )
        },
        hears_healthily={
            "the receiver's clocks are healthy": z3.And(
                here.wall(observe, rules), anchored, here.lost <= rules.settings.max_ahead
            ),
            "it was not suspended": z3.Not(receiver.suspended),
        },
        remembers={"the receiver's anchor is healthy": z3.And(anchored, here.lost == 0)},
    )


def _refusals(rules: Rules) -> tuple[Theorem, ...]:
    configured, sent = rules.settings, passage(rules)
    stamp, observe, there, here = sent.stamp, sent.observe, sent.there, sent.here
    sender, receiver = stamp.before, observe.before
    refused = observe.ends_as("drift")

    def healthy_pair() -> Sequence[Obligation]:
        healthy = {**sent.passes, **sent.sends_healthily, **sent.hears_healthily}
        reaches = {
            "the receiver is behind by max_skew": stamp.event.wall
            == observe.event.wall + configured.max_skew,
            "the clock came from elsewhere": sender.last > sender.bound,
        }
        either = z3.And(z3.Not(refused), z3.Not(observe.ends_as("suspended")))
        return (Obligation("observe", healthy, either, reaches),)

    def wrong_wall() -> Sequence[Obligation]:
        remembers = {**sent.passes, **sent.sends_healthily, **sent.remembers}
        reaches = {
            "its wall clock is set back": observe.event.wall + 2 * configured.max_drift < here.now,
            "its wall clock jumped": observe.after.suspended,
        }
        return (Obligation("observe", remembers, z3.Not(refused), reaches),)

    def tight() -> Sequence[Obligation]:
        loose = z3.And(configured.max_ahead + configured.max_skew == configured.max_drift + 1)
        burst = take("tick", rules, any_node("bursting"), "_tick")
        run = {
            "the configuration is unsound by 1 ms": z3.And(
                loose, configured.max_ahead > 0, configured.max_skew > 0, configured.max_drift > 0
            ),
            "a burst runs ahead as far as it may": z3.And(
                burst.taken,
                burst.ends_as("issued"),
                ms_of(burst.effects.timestamp) == burst.event.wall + configured.max_ahead,
                in_range(burst.before),
            ),
            "the sender's wall clock is max_skew past true time": z3.And(
                there.now == here.now,
                burst.event.wall == there.now + configured.max_skew,
                stamp.event.wall == burst.event.wall,
                sender.last == burst.effects.timestamp,
            ),
            "the receiver's is at true time": observe.event.wall == here.now,
            "its anchor too": z3.And(receiver.anchor == here.base, here.lost == 0, here.monotonic(observe)),
            "no stop has begun": z3.Not(receiver.stopping),
        }
        assumed = {name: item for name, item in sent.passes.items() if name != "the configuration is sound"}
        return (Obligation("observe", {**assumed, **sent.sends_healthily, **run}, refused),)

    return (
        Theorem(
            "hlc.healthy_nodes_accept_each_other",
            "A message that a healthy node stamps is never refused by a healthy node for its clock, in a "
            "burst, relayed, doubled or late, whatever sick nodes there are.",
            ("HLC-4",),
            ("HLC.R6", "HLC.R7", "HLC.R8"),
            healthy_pair,
            ("hlc.healthy_node_is_never_suspended",),
        ),
        Theorem(
            "hlc.wrong_wall_clock_accepts_healthy_nodes",
            "A node whose wall clock was healthy when it was last trusted does not refuse healthy nodes "
            "for their clock, wherever its wall clock stands now.",
            ("HLC-4",),
            ("HLC.R6", "HLC.R9"),
            wrong_wall,
        ),
        Theorem(
            "hlc.configuration_is_tight",
            "With max_ahead + max_skew just 1 ms above max_drift a healthy node in a burst is refused by "
            "a healthy node.",
            ("HLC-4",),
            ("HLC.R8",),
            tight,
        ),
    )
