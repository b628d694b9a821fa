"""Scenarios of the running clock: issue, carry, bounds, merge, clock faults, messages, configurations."""

from __future__ import annotations

from scratchbird_check.conformance.recorder import Lane, Recorder
from scratchbird_reference.uuid8 import MAX_MS, MAX_RANDOM

T = 1_700_000_000_000
"""A wall clock reading in ms: November 2023."""
M = 5_000
"""The monotonic clock at that moment."""
FULL = 4095
SMALL = {
    "max_drift_ms": 5,
    "max_ahead_ms": 3,
    "max_skew_ms": 2,
    "reserve_ms": 4,
    "confirm_quorum": 1,
    "counters_per_ms": 2,
}
"""Small enough that a few events reach every rule."""


def ticks() -> Recorder:
    run = Recorder("hlc_ticks", "Ids follow the wall clock, and the counter within one millisecond (HLC.R3).")
    a = Lane(run, 1)
    a.ready(T, M)
    a.tick(T, M, random=1)
    a.tick(T, M, random=MAX_RANDOM)
    a.tick(T + 1, M + 1)
    a.tick(T + 1, M + 1, random=0x2AAAAAAAAAAA)
    a.tick(T + 500, M + 500)
    a.tick(T + 1000, M + 1000)
    a.tick(T + 1000, M + 1000, "persist deferred")  # The bound is (T + 1000, 0), inclusive.
    a.persisted()
    a.tick(T + 1000, M + 1000)
    return run


def carry() -> Recorder:
    run = Recorder("hlc_carry", "A full counter carries into the millisecond; it does not wrap (HLC.R2).")
    a = Lane(run, 1)
    a.ready(T, M)
    a.observe(T, M, (T, FULL - 2))
    a.tick(T, M)
    a.tick(T, M)  # Counter 4095.
    a.tick(T, M)  # (T + 1, 0), although the wall clock says T.
    a.tick(T, M)
    a.observe(T, M, (T + 7, FULL))
    a.tick(T, M)  # (T + 8, 0)
    a.tick(T + 8, M + 8)
    a.tick(T + 9, M + 9)
    return run


def own_bound() -> Recorder:
    run = Recorder(
        "hlc_own_bound",
        "More than max_ahead_ms past the wall clock nothing is issued; waiting helps (HLC.R4).",
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.observe(T, M, (T + 249, FULL))
    a.tick(T, M)  # (T + 250, 0): at the bound.
    a.tick(T - 1, M, "refused:ahead")  # Nothing changes; retry after 1 ms.
    a.tick(T - 1, M, "refused:ahead")
    a.stamp(T - 1, M)
    a.tick(T, M)
    a.observe(T + 1, M + 1, (T + 250, FULL))
    a.tick(T, M + 1, "refused:ahead")
    a.stamp(T, M + 1)  # Sending goes on where ticks are refused.
    a.tick(T + 1, M + 1)  # (T + 251, 0)
    return run


def merge() -> Recorder:
    run = Recorder(
        "hlc_merge", "A merge takes the later of both timestamps, counter included; the next id is above it."
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.observe(T, M, (T, 9))  # Equal milliseconds, larger counter.
    a.tick(T, M)  # (T, 10)
    a.observe(T, M, (T, 4))  # Equal milliseconds, smaller counter.
    a.tick(T, M)
    a.observe(T, M, (T, 11))  # Equal.
    a.tick(T, M)
    a.observe(T, M, (T + 3, 2))  # Later millisecond, smaller counter.
    a.tick(T, M)
    a.observe(T, M, (T - 1, FULL))  # Earlier millisecond, full counter.
    a.observe(T, M, (0, 0))
    a.observe(T, M, (T + 3, FULL))
    a.tick(T, M)  # (T + 4, 0)
    a.tick(T + 4, M + 4)
    a.tick(T + 5, M + 5)
    return run


def remote_bound() -> Recorder:
    run = Recorder(
        "hlc_remote_bound",
        "A clock more than max_drift_ms ahead is refused; one more than max_ahead_ms ahead waits (HLC.R6).",
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.observe(T, M, (T + 249, 17), sender=2)
    a.observe(T, M, (T + 250, 0), "refused:early", sender=2)
    a.tick(T, M)  # Early messages do not keep the node from issuing,
    a.stamp(T, M)  # nor from sending.
    a.observe(T + 1, M + 1, (T + 250, 0), sender=2)
    a.observe(T, M, (T + 500, 17), "refused:early", sender=3)
    a.observe(T, M, (T + 501, 0), "refused:drift", sender=3)
    a.observe(T, M, (3_786_912_000_000, 0), "refused:drift", sender=65535)  # The year 2090.
    a.observe(T, M, (MAX_MS, FULL), "refused:drift", sender=4)
    a.observe(T + 1, M + 1, (T + 501, 0), "refused:early", sender=3)
    a.observe(T + 252, M + 252, (T + 501, 0), sender=3)
    a.tick(T + 300, M + 300)
    return run


def set_back() -> Recorder:
    run = Recorder(
        "hlc_set_back", "A wall clock set back too far stops ticks; everything else goes on (HLC.R9)."
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.tick(T - 1, M + 10)  # A little: ids go on above the last one.
    a.tick(T - 250, M + 20)
    a.tick(T - 251, M + 21, "refused:ahead")
    a.tick(T - 3_600_000, M + 30, "refused:ahead")  # An hour.
    a.reserve(T - 3_600_000, M + 30, "refused:ahead")
    a.stamp(T - 3_600_000, M + 30)
    a.observe(T - 3_600_000, M + 30, (T + 200, 0))  # Peers with right clocks are not refused.
    a.observe(T - 3_600_000, M + 30, (T + 30 + 501, 0), "refused:drift")
    a.observe(T - 3_600_000, M + 600, (T + 1001, 0), "refused:early")
    a.observe(T - 3_600_000, M + 752, (T + 1001, 0), "persist deferred")
    a.persisted()
    a.observe(T - 3_600_000, M + 752, (T + 1001, 0))
    a.tick(T + 700, M + 700, "refused:ahead")
    a.tick(T + 752, M + 752)
    return run


def jump() -> Recorder:
    run = Recorder(
        "hlc_jump", "After a forward jump nothing is issued or reserved until it is confirmed (HLC.R10, R11)."
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.tick(T + 500, M)  # As much as max_drift_ms is no jump.
    hour = T + 3_600_000
    a.tick(hour, M + 1, "refused:suspended")
    a.tick(T + 2, M + 2, "refused:suspended")  # Setting it back is no confirmation.
    a.reserve(T + 2, M + 2, "refused:suspended")
    a.stamp(T + 2, M + 2, "refused:ahead")  # The last id is 500 ms ahead of what is remembered.
    a.stamp(hour, M + 260)
    a.observe(hour, M + 260, (T + 509, 1))
    a.observe(hour, M + 260, (T + 510, 0), "refused:early")
    a.observe(hour, M + 260, (T + 761, 0), "refused:drift")
    a.observe(hour, M + 751, (T + 1000, 1), "refused:suspended")  # It would need a new bound.
    a.confirm(hour, M + 600, "refused:unconfirmed")
    a.confirm(hour, M + 600, "refused:unconfirmed", peers=((2, hour), (3, hour - 251)))
    a.confirm(hour, M + 600, "refused:unconfirmed", peers=((2, hour - 251), (3, hour + 251)))
    a.confirm(hour, M + 600, peers=((2, hour - 250), (3, hour + 250), (4, T)))
    a.tick(hour, M + 600, "persist deferred")
    a.persisted()
    a.tick(hour, M + 600)
    day = hour + 86_400_000
    a.observe(day, M + 700, (hour, 5))  # Every reading looks for a jump, whatever it is made for.
    a.tick(hour + 101, M + 701, "refused:suspended")
    a.confirm(day, M + 702, operator=True)
    a.tick(day, M + 702, "persist deferred")
    a.persisted()
    a.tick(day, M + 702)
    a.confirm(day - 90_000, M + 703, operator=True)  # Confirming a clock that was set back is allowed, too.
    a.observe(day - 90_000, M + 703, (day, 0), "refused:drift")
    return run


def reservation() -> Recorder:
    run = Recorder(
        "hlc_reservation", "One write covers many ids; what needs a larger bound waits for it (HLC.R12, R13)."
    )
    a = Lane(run, 1)
    a.start(T, M)
    a.reserve(T, M)  # Before the first id: then no id waits for the disk.
    a.reserve(T, M, "nothing")  # One write at a time.
    a.tick(T, M, "deferred")
    a.observe(T, M, (T, 7), "deferred")
    a.persisted()
    a.reserve(T, M, "nothing")  # The bound is there already.
    a.tick(T, M)
    a.observe(T, M, (T, 7))
    a.reserve(T + 600, M + 600)
    a.tick(T + 600, M + 600)  # Under the old bound while the new one is written.
    a.tick(T + 1000, M + 1000)
    a.tick(T + 1001, M + 1001, "deferred")
    a.persisted()
    a.tick(T + 1001, M + 1001)
    a.observe(T + 1400, M + 1400, (T + 1649, FULL), "persist deferred")
    a.observe(T + 1400, M + 1400, (T + 1600, 0))  # The bound itself is covered,
    a.observe(T + 1400, M + 1400, (T + 1600, 1), "deferred")  # and nothing above it.
    return run


def messages() -> Recorder:
    run = Recorder(
        "hlc_messages", "Three nodes: every message carries its sender's clock, every hop merges it (HLC.R7)."
    )
    a, b, c = Lane(run, 1), Lane(run, 2), Lane(run, 3)
    a.ready(T + 200, 10)  # The walls of the three differ by as much as healthy ones may.
    b.ready(T, 20)
    c.ready(T - 49, 30)
    a.tick(T + 200, 10)
    step, clock = a.stamp(T + 200, 10)
    b.observe(T, 20, clock, sender=1, from_step=step)  # b is a proxy: it issues nothing.
    step, clock = b.stamp(T, 20)
    c.observe(T - 49, 30, clock, sender=2, from_step=step)
    c.tick(T - 49, 30)  # Above the id of a, of which c knows by b alone.
    again, older = c.stamp(T - 49, 30)
    c.tick(T - 49, 30)
    later, newer = c.stamp(T - 49, 30)
    a.observe(T + 200, 10, newer, sender=3, from_step=later)  # Out of order,
    a.observe(T + 200, 10, older, sender=3, from_step=again)
    a.observe(T + 200, 10, newer, sender=3, from_step=later)  # and twice.
    a.tick(T + 200, 10)
    b.tick(T, 20)
    return run


def end_of_range() -> Recorder:
    run = Recorder(
        "hlc_end_of_range", "Past the last 48-bit millisecond nothing is issued; nothing wraps (HLC.R17)."
    )
    a = Lane(run, 1)
    a.ready(MAX_MS - 1, M)  # The bound is cut to the last timestamp that there is.
    a.observe(MAX_MS - 1, M, (MAX_MS, FULL - 1))
    a.tick(MAX_MS - 1, M)
    a.tick(MAX_MS - 1, M, "refused:exhausted")
    a.tick(MAX_MS, M + 1, "refused:exhausted")
    a.reserve(MAX_MS, M + 1, "refused:exhausted")
    a.stamp(MAX_MS, M + 1)
    a.observe(MAX_MS, M + 1, (MAX_MS, FULL))
    b = Lane(run, 2)
    b.start(0, 0)  # And the other end.
    b.tick(0, 0, "persist deferred")
    b.persisted()
    b.tick(0, 0)  # (0, 1): the timestamp (0, 0) is where a clock begins, and is never issued.
    b.observe(0, 0, (249, 0))
    return run


def small_counter() -> Recorder:
    run = Recorder("hlc_small_config", "Small bounds and two counters a millisecond.", config=SMALL)
    a = Lane(run, 1)
    a.ready(100, 0)
    for _ in range(7):
        a.tick(100, 0)  # Up to (103, 1).
    a.tick(100, 0, "refused:ahead")
    a.tick(101, 1)  # (104, 0) is the bound.
    a.tick(101, 1, "persist deferred")
    a.persisted()
    a.tick(101, 1)
    a.observe(101, 1, (103, 1))
    a.observe(101, 1, (106, 1), "refused:early")
    a.observe(101, 1, (107, 0), "refused:drift")
    a.tick(104, 4)
    a.tick(109, 4, "persist deferred")  # Exactly max_drift_ms further than remembered: no jump.
    a.tick(110, 4, "refused:suspended")
    a.persisted()
    a.tick(109, 4, "refused:suspended")
    a.confirm(110, 4, peers=((2, 112),))
    a.tick(110, 4)
    return run


def one_counter() -> Recorder:
    config = {"max_drift_ms": 2, "max_ahead_ms": 1, "max_skew_ms": 1, "reserve_ms": 1, "counters_per_ms": 1}
    run = Recorder("hlc_smallest_config", "The smallest bounds there are: every id carries.", config=config)
    a = Lane(run, 1)
    a.ready(50, 0)
    a.tick(50, 0)
    a.tick(50, 0, "refused:ahead")
    a.tick(51, 1, "persist deferred")
    a.persisted()
    a.tick(51, 1)
    a.observe(51, 1, (52, 0), "refused:early")
    a.observe(51, 1, (51, 0))
    a.tick(51, 1, "refused:ahead")
    return run


def wide() -> Recorder:
    config = {
        "max_drift_ms": 120_000,
        "max_ahead_ms": 60_000,
        "max_skew_ms": 60_000,
        "reserve_ms": 600_000,
        "confirm_quorum": 3,
    }
    run = Recorder("hlc_wide_config", "Bounds of minutes, and three peers to confirm.", config=config)
    a = Lane(run, 1)
    a.ready(T, M)
    a.observe(T, M, (T + 59_999, FULL))
    a.tick(T - 1, M, "refused:ahead")
    a.tick(T + 60_001, M + 60_001)
    a.tick(T + 60_001 + 120_001, M + 60_001, "refused:suspended")
    a.confirm(T + 180_002, M + 60_001, "refused:unconfirmed", peers=((2, T + 180_002), (3, T + 180_002)))
    a.confirm(T + 180_002, M + 60_001, peers=((2, T + 180_002), (3, T + 200_000), (4, T + 240_002)))
    a.tick(T + 180_002, M + 60_001)
    return run


SCENARIOS = (
    ticks,
    carry,
    own_bound,
    merge,
    remote_bound,
    set_back,
    jump,
    reservation,
    messages,
    end_of_range,
    small_counter,
    one_counter,
    wide,
)
