"""For each refuted rule: the corrected behaviour on the very events on which the wrong rule goes wrong.

The models refute the wrong rules with counterexamples; these scenarios are what an implementation does
instead. A test replays each through its variant and demands that the variant diverges, so that no scenario
is beside the point.
"""

from __future__ import annotations

from collections.abc import Callable

from scratchbird_check.conformance.recorder import Lane, Recorder
from scratchbird_check.conformance.scenarios_clock import FULL, M, T


def no_carry() -> Recorder:
    run = Recorder("hlc_variant_no_carry", "Where a counter that wraps repeats ids, it carries (HLC-1).")
    a = Lane(run, 1)
    a.ready(T, M)
    a.observe(T, M, (T, FULL))
    a.tick(T, M)
    a.tick(T, M)
    return run


def stall_and_reset() -> Recorder:
    run = Recorder(
        "hlc_variant_stall_and_reset",
        "Where sleeping 1 ms and starting at counter 0 goes back behind a merged clock, it carries (HLC-2).",
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.observe(T, M, (T + 40, FULL))  # A peer's clock is 40 ms ahead, its counter full.
    a.tick(T, M)  # (T + 41, 0), and not (T + 1, 0).
    a.tick(T, M)
    return run


def merge_ignores_counter() -> Recorder:
    run = Recorder(
        "hlc_variant_merge_ignores_counter",
        "Equal milliseconds merge with the larger counter, so that the next id is above the message (HLC-3).",
    )
    a, b = Lane(run, 1), Lane(run, 2)
    a.ready(T, M)
    for _ in range(3):
        a.tick(T, M)
    b.ready(T, 7)
    step, clock = a.stamp(T, M)
    b.observe(T, 7, clock, sender=1, from_step=step)
    b.tick(T, 7)
    return run


def merge_resets_counter() -> Recorder:
    run = Recorder(
        "hlc_variant_merge_resets_counter",
        "A merge keeps the remote counter, so that the next id is above the message (HLC-3).",
    )
    a, b = Lane(run, 1), Lane(run, 2)
    a.ready(T + 9, M)
    a.tick(T + 9, M)
    a.tick(T + 9, M)
    b.ready(T, 7)
    step, clock = a.stamp(T + 9, M)
    b.observe(T, 7, clock, sender=1, from_step=step)
    b.tick(T, 7)
    return run


def no_remote_bound() -> Recorder:
    run = Recorder(
        "hlc_variant_no_remote_bound",
        "One node in the year 2090 is refused, and does not poison the others (HLC-4).",
    )
    sick, healthy = Lane(run, 1), Lane(run, 2)
    sick.ready(3_786_912_000_000, M)
    healthy.ready(T, 7)
    step, clock = sick.stamp(3_786_912_000_000, M)
    healthy.observe(T, 7, clock, "refused:drift", sender=1, from_step=step)
    healthy.tick(T, 7)
    return run


def merges_at_once() -> Recorder:
    run = Recorder(
        "hlc_variant_merges_at_once",
        "A peer that is fast by less than the remote bound waits, and keeps nobody from issuing (HLC-4).",
    )
    fast, healthy = Lane(run, 1), Lane(run, 2)
    fast.ready(T + 400, M)
    healthy.ready(T, 7)
    fast.tick(T + 400, M)
    step, clock = fast.stamp(T + 400, M)
    healthy.observe(T, 7, clock, "refused:early", sender=1, from_step=step)
    healthy.tick(T, 7)
    healthy.stamp(T, 7)
    healthy.observe(T + 151, 158, clock, sender=1, from_step=step)
    healthy.tick(T + 151, 158)
    return run


def early_by_belief() -> Recorder:
    run = Recorder(
        "hlc_variant_early_by_belief",
        "After a merge the next tick is not refused, also where the wall clock went back a little (HLC-4).",
    )
    fast, healthy = Lane(run, 1), Lane(run, 2)
    fast.ready(T + 400, M)
    healthy.ready(T + 250, 7)
    fast.tick(T + 400, M)
    step, clock = fast.stamp(T + 400, M)
    # Its wall clock went back by 250, which is as much as healthy ones differ.
    healthy.observe(T, 7, clock, "refused:early", sender=1, from_step=step)
    healthy.observe(T + 150, 157, clock, "refused:early", sender=1, from_step=step)
    healthy.observe(T + 151, 158, clock, sender=1, from_step=step)
    healthy.tick(T + 151, 158)
    healthy.observe(T + 151, 158, (T + 400, FULL), sender=1)
    healthy.tick(T + 151, 158)  # (T + 401, 0): a millisecond is left for a full counter.
    return run


def one_bound() -> Recorder:
    run = Recorder(
        "hlc_variant_one_bound",
        "A burst ends at max_ahead_ms, so that a healthy peer with a slower clock takes its ids (HLC-4).",
    )
    fast, slow = Lane(run, 1), Lane(run, 2)
    fast.ready(T, M)
    fast.observe(T + 1, M + 1, (T + 250, FULL))  # As far as a burst takes it.
    fast.tick(T, M, "refused:ahead")  # With one bound for all this would be (T + 251, 0).
    slow.ready(T - 250, 7)
    step, clock = fast.stamp(T, M)
    slow.observe(T - 250, 7, clock, "refused:early", sender=1, from_step=step)
    slow.observe(T + 1, 258, clock, sender=1, from_step=step)
    return run


def no_upper_bound() -> Recorder:
    run = Recorder(
        "hlc_variant_no_upper_bound",
        "The wall clock was set back while the node was down: ids do not go back (HLC-5).",
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.crash()
    a.start(T - 60_000, 0)
    a.tick(T - 60_000, 0, "refused:ahead")
    a.tick(T + 750, 60_750, "persist deferred")
    a.persisted()
    a.tick(T + 750, 60_750)
    return run


def bound_not_merged() -> Recorder:
    run = Recorder(
        "hlc_variant_bound_not_merged",
        "Merge, crash, tick: the id is above the merged clock, for a merge waits for the bound too (HLC-5).",
    )
    a = Lane(run, 1)
    a.start(T, M)
    a.observe(T, M, (T + 200, 5), "persist deferred")
    a.crash()  # Not merged, so the message was not handled, and nothing depends on it.
    a.start(T + 1, 0)
    a.observe(T + 1, 0, (T + 200, 5), "persist deferred")
    a.persisted()
    a.observe(T + 1, 0, (T + 200, 5))
    a.crash()
    a.start(T + 2, 0)
    a.tick(T + 2, 0, "refused:ahead")
    return run


def believes_wall() -> Recorder:
    run = Recorder(
        "hlc_variant_believes_wall",
        "A node whose wall clock was set back goes on taking the messages of healthy peers (HLC-4).",
    )
    a, b = Lane(run, 1), Lane(run, 2)
    a.ready(T, M)
    b.ready(T, 7)
    step, clock = b.stamp(T, 7)
    a.observe(T - 10_000, M, clock, sender=2, from_step=step)
    return run


def eager_reserve() -> Recorder:
    run = Recorder(
        "hlc_variant_eager_reserve",
        "A reservation is refused where a tick would be: a crash loop does not push the bound away (HLC-5).",
    )
    a = Lane(run, 1)
    a.ready(T, M)
    for boot in range(1, 4):
        a.crash()
        a.start(T + boot, 0)
        a.reserve(T + boot, 0, "refused:ahead")
    return run


def carries_unchecked() -> Recorder:
    run = Recorder(
        "hlc_variant_carries_unchecked",
        "After a crash a message waits until its clock is one that healthy peers accept (HLC-4).",
    )
    a, b = Lane(run, 1), Lane(run, 2)
    a.ready(T, M)
    b.ready(T, 7)
    a.crash()
    a.start(T, 0)
    a.stamp(T, 0, "refused:ahead")  # It would carry the bound, 1000 ms ahead.
    step, clock = a.stamp(T + 750, 750)
    b.observe(T + 751, 758, clock, sender=1, from_step=step)
    return run


VARIANT_SCENARIOS: dict[str, Callable[[], Recorder]] = {
    "no_carry": no_carry,
    "stall_and_reset": stall_and_reset,
    "merge_ignores_counter": merge_ignores_counter,
    "merge_resets_counter": merge_resets_counter,
    "no_remote_bound": no_remote_bound,
    "merges_at_once": merges_at_once,
    "early_by_belief": early_by_belief,
    "one_bound": one_bound,
    "no_upper_bound": no_upper_bound,
    "bound_not_merged": bound_not_merged,
    "believes_wall": believes_wall,
    "eager_reserve": eager_reserve,
    "carries_unchecked": carries_unchecked,
}
SCENARIOS = tuple(VARIANT_SCENARIOS.values())
