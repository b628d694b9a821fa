"""The wrong rules of the clock, each refuted twice.

First by proof: with the wrong rule in the place of the right one, a named theorem no longer holds. Then by a
run from the beginning, with the settings of production, in which a promise is broken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import z3

from scratchbird_proofs import hlc, hlc_behaviour, hlc_limits, hlc_time, hlc_waits
from scratchbird_proofs.hlc_rules import NONE, Rules, counter_of, ms_of, pack, settings
from scratchbird_proofs.hlc_runs import BASE, HOUR, SETTINGS, FoundRun, Planned, Run, Scenario, search
from scratchbird_proofs.hlc_variants import VARIANTS
from scratchbird_proofs.refutation import Refutation
from scratchbird_proofs.theorem import Formula, Theorem
from scratchbird_reference.uuid8 import MAX_COUNTER

# --- pieces of scenarios ----------------------------------------------------------------------------------


def at(node: int, *kinds: str, setup: bool = False, healthy: bool = True) -> tuple[Planned, ...]:
    """One step of each of these kinds, in this order."""
    return tuple(Planned(node, (kind,), healthy, setup) for kind in kinds)


def ready(node: int, healthy: bool = True) -> tuple[Planned, ...]:
    """The node is up and has a bound on disk."""
    return at(node, "start", "reserve", "persisted", setup=True, healthy=healthy)


def alone(*kinds: str, healthy: bool = True) -> Planned:
    """One step of node 1, of a kind that the solver chooses."""
    return Planned(1, kinds, healthy)


def _last_goes_back(run: Run) -> Formula:
    """The last step issues an id that is not above an earlier one of the same node."""
    last = run[-1]
    before = [
        z3.And(step.ends_as("issued"), step.effects.timestamp >= last.effects.timestamp) for step in run[:-1]
    ]
    return z3.And(last.ends_as("issued"), z3.Or(*before))


def _back_after_restart(run: Run) -> Formula:
    restarts = [step.is_("start") for step in run[2:-1]]
    return z3.And(_last_goes_back(run), z3.Or(*restarts))


def _last_below(cause: int) -> Callable[[Run], Formula]:
    """The last step issues an id below the one that was issued in the given step; no message was early."""

    def wrong(run: Run) -> Formula:
        last, first = run[-1], run[cause]
        order = last.effects.timestamp < first.effects.timestamp
        heard = [
            z3.Or(step.ends_as("merged"), step.ends_as("deferred"))
            for step in run
            if step.planned.kinds == ("observe",)
        ]
        return z3.And(last.ends_as("issued"), first.ends_as("issued"), order, *heard)

    return wrong


def _last_refuses(run: Run) -> Formula:
    return run[-1].ends_as("drift")


def _last_merges_the_future(run: Run) -> Formula:
    last = run[-1]
    edge = BASE + last.now + SETTINGS.max_skew + SETTINGS.max_drift
    return z3.And(last.ends_as("merged"), ms_of(last.event.remote) > edge)


def _last_is_silenced(run: Run) -> Formula:
    """The last step moves a clock to where its own next tick is refused."""
    last = run[-1]
    refused = ms_of(last.event.remote + 1) > last.event.wall + SETTINGS.max_ahead
    return z3.And(last.ends_as("merged"), last.event.remote > last.before.last, refused)


def _steps_back(run: Run) -> Sequence[Formula]:
    """The hearing node's wall clock is max_skew past true time at first, and at true time when it hears."""
    *before, last = run
    hears, fast = ([s for s in before if s.planned.node == node] for node in (1, 2))
    return [
        *(step.event.wall == BASE + step.now + SETTINGS.max_skew for step in hears),
        *(step.event.wall == BASE + step.now + FAST for step in fast),
        last.event.wall == BASE + last.now,
    ]


def _bound_runs_away(run: Run) -> Formula:
    last = run[-1]
    reach = BASE + last.now + SETTINGS.max_skew + SETTINGS.max_ahead + SETTINGS.reserve
    return z3.And(last.effects.asked != NONE, last.effects.asked > pack(reach))


def _full_counter_shown(run: Run) -> Sequence[Formula]:
    """A reader sees the counter full before the step that goes wrong."""
    full = counter_of(run[-1].before.last) == MAX_COUNTER
    near = [z3.Implies(step.is_("observe"), ms_of(step.event.remote) == BASE + 1) for step in run]
    return [run[-2].is_("tick"), full, *near]


def _millisecond_lost(run: Run) -> Sequence[Formula]:
    """A reader sees a wall clock so far behind the full counter that the very millisecond goes back."""
    last = run[-1]
    full = counter_of(last.before.last) == MAX_COUNTER
    lower = ms_of(last.effects.timestamp) < ms_of(last.before.last)
    near = [z3.Implies(step.is_("observe"), ms_of(step.event.remote) == BASE + 10) for step in run]
    return [run[-2].is_("tick"), full, lower, *near]


def _wall(number: int, ms: int) -> Callable[[Run], Sequence[Formula]]:
    """The wall clock of the node that takes this step, from this step on, is this far from true time."""

    def wishes(run: Run) -> Sequence[Formula]:
        node = run[number].planned.node
        steps = [step for step in run[number:] if step.planned.node == node]
        return [step.event.wall == BASE + step.now + ms for step in steps]

    return wishes


FAST = 400
"""Milliseconds by which a wall clock is wrong, and yet within the remote bound."""
_BOTH = (*ready(1), *ready(2))
_TICKS = at(1, "tick", "tick", "tick")

SCENARIOS: dict[str, Scenario] = {
    "no_carry": Scenario(
        ready(1), _last_goes_back, _full_counter_shown, alone("tick", "observe", "reserve", "persisted"), 4
    ),
    "stall_and_reset": Scenario(
        ready(1), _last_goes_back, _millisecond_lost, alone("tick", "observe", "reserve", "persisted"), 4
    ),
    "merge_ignores_counter": Scenario(
        (*_BOTH, *_TICKS, *at(2, "tick"), *at(1, "stamp"), *at(2, "observe", "tick")), _last_below(8)
    ),
    "merge_resets_counter": Scenario(
        (*_BOTH, *_TICKS, *at(1, "stamp"), *at(2, "observe", "tick")), _last_below(8)
    ),
    "no_remote_bound": Scenario(
        (
            *ready(1, healthy=False),
            *ready(2),
            *at(1, "tick", "stamp", healthy=False),
            *at(2, "observe", "persisted", "observe"),
        ),
        _last_merges_the_future,
        _wall(0, HOUR),
    ),
    "merges_at_once": Scenario(
        (
            *ready(1),
            *ready(2, healthy=False),
            *at(2, "tick", "stamp", healthy=False),
            *at(1, "observe"),
        ),
        _last_is_silenced,
        _wall(3, FAST),
    ),
    "early_by_belief": Scenario(
        (
            *ready(1),
            *ready(2, healthy=False),
            *at(2, "tick", "stamp", healthy=False),
            *at(1, "observe"),
        ),
        _last_is_silenced,
        _steps_back,
    ),
    "one_bound": Scenario(
        (
            *_BOTH,
            *at(1, "crash", "start", "tick", "persisted", "tick", "stamp"),
            *at(2, "observe"),
        ),
        _last_refuses,
    ),
    "no_upper_bound": Scenario(
        at(1, "start", setup=True),
        _back_after_restart,
        free=alone("start", "tick", "observe", "reserve", "persisted", "crash"),
        most=5,
    ),
    "bound_not_merged": Scenario(
        (
            *ready(1),
            *at(2, "start", setup=True),
            *at(1, "tick", "stamp"),
            *at(2, "observe", "crash", "start", "tick", "persisted", "tick"),
        ),
        _last_below(4),
    ),
    "believes_wall": Scenario(
        (*_BOTH, *at(1, "tick", "stamp"), *at(2, "observe", healthy=False)), _last_refuses, _wall(8, -5000)
    ),
    "eager_reserve": Scenario(
        at(1, "start", setup=True),
        _bound_runs_away,
        free=alone("start", "tick", "reserve", "persisted", "crash"),
        most=6,
    ),
    "carries_unchecked": Scenario(
        (*_BOTH, *at(1, "crash", "start", "stamp"), *at(2, "observe")), _last_refuses
    ),
    "blind_hop": Scenario(
        (*_BOTH, *ready(3), *at(1, "tick", "stamp"), *at(2, "observe", "stamp"), *at(3, "observe", "tick")),
        _last_below(9),
        wrong_at=(2,),
    ),
}


# --- the refutations ----------------------------------------------------------------------------------------


def _find(name: str) -> FoundRun | None:
    return search(SCENARIOS[name], Rules(SETTINGS), VARIANTS[name](SETTINGS))


def _with_variant(name: str, theorem: str) -> Theorem:
    rules = VARIANTS[name](settings())
    known = (
        *hlc.theorems(rules),
        *hlc_behaviour.theorems(rules),
        *hlc_time.theorems(rules),
        *hlc_waits.theorems(rules),
        *hlc_limits.theorems(rules),
    )
    return {item.id: item for item in known}[theorem]


def _refute(name: str, promise: str, properties: tuple[str, ...], fails: str, statement: str) -> Refutation:
    return Refutation(
        id=f"hlc.{name}",
        variant=name,
        statement=statement,
        promise=promise,
        properties=properties,
        fails=lambda: _with_variant(name, fails),
        find=lambda: _find(name),
    )


def refutations() -> tuple[Refutation, ...]:
    """One for each wrong rule."""
    kept, healthy = "hlc.invariant_is_kept", "hlc.healthy_nodes_accept_each_other"
    room = "hlc.a_merge_leaves_room_for_a_tick"
    return (
        _refute(
            "no_carry",
            "HLC-1",
            ("HLC-1", "HLC-2"),
            "hlc.ids_of_a_node_increase",
            "A full counter that wraps to 0 gives an id that is not above the one before it.",
        ),
        _refute(
            "stall_and_reset",
            "HLC-1",
            ("HLC-1", "HLC-2"),
            "hlc.ids_of_a_node_increase",
            "A full counter that starts again from the wall clock goes back when the clock was ahead of it.",
        ),
        _refute(
            "merge_ignores_counter",
            "HLC-3",
            ("HLC-3",),
            kept,
            "A merge that compares milliseconds alone lets an effect come before its cause.",
        ),
        _refute(
            "merge_resets_counter",
            "HLC-3",
            ("HLC-3",),
            kept,
            "A merge that starts the counter anew lets an effect come before its cause.",
        ),
        _refute(
            "no_remote_bound",
            "HLC-4 remote",
            ("HLC-4",),
            "hlc.merged_within_remote_bound",
            "Without a bound on what is merged one node's wrong clock is everybody's.",
        ),
        _refute(
            "merges_at_once",
            "HLC-4 silenced",
            ("HLC-4",),
            room,
            "A node that merges at once whatever it does not refuse is silenced by one fast peer.",
        ),
        _refute(
            "early_by_belief",
            "HLC-4 silenced",
            ("HLC-4",),
            room,
            "A node that judges what is early by the time it believes in, to the very edge, is silenced by "
            "one fast peer when its wall clock has stepped back a little.",
        ),
        _refute(
            "one_bound",
            "HLC-4 healthy",
            ("HLC-4",),
            healthy,
            "A node that may issue as far ahead as it may merge is refused by healthy peers, healthy itself.",
        ),
        _refute(
            "no_upper_bound",
            "HLC-5",
            ("HLC-5",),
            "hlc.bound_is_durable_first",
            "Without a durable bound an id comes again after a crash.",
        ),
        _refute(
            "bound_not_merged",
            "HLC-5",
            ("HLC-5",),
            kept,
            "A bound that leaves out what was merged lets an id after a crash be below what was seen before.",
        ),
        _refute(
            "believes_wall",
            "HLC-4 healthy",
            ("HLC-4",),
            "hlc.wrong_wall_clock_accepts_healthy_nodes",
            "A node whose wall clock was set back, and that judges by it, refuses healthy peers.",
        ),
        _refute(
            "eager_reserve",
            "HLC-5 bound",
            ("HLC-5",),
            "hlc.bound_stays_within_reach",
            "A node that reserves at each start pushes its bound ever further from the wall clock.",
        ),
        _refute(
            "carries_unchecked",
            "HLC-4 healthy",
            ("HLC-4",),
            healthy,
            "A node that sends as soon as it has restarted is refused by healthy peers, healthy itself.",
        ),
        _refute(
            "blind_hop",
            "HLC-3",
            ("HLC-3",),
            kept,
            "A proxy that does not merge what it forwards lets an effect come before its cause.",
        ),
    )
