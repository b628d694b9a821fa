"""Scenarios of what outlives a process: the durable bound, restarts, clean stops, retirement; bad input."""

from __future__ import annotations

from scratchbird_check.conformance.recorder import Lane, Recorder
from scratchbird_check.conformance.scenarios_clock import FULL, SMALL, M, T
from scratchbird_check.traces.hlc import Json
from scratchbird_reference.uuid8 import MAX_MS, MAX_RANDOM


def crash_after_write() -> Recorder:
    run = Recorder(
        "hlc_crash", "After a crash ids go on above the durable bound, whatever the wall clock (HLC.R14)."
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.tick(T + 3, M + 3)
    a.crash()
    a.start(T - 100, 0)  # Another boot: the monotonic clock begins anew.
    a.tick(T - 100, 0, "refused:ahead")  # The bound is T + 1000.
    a.stamp(T - 100, 0, "refused:ahead")
    a.observe(T - 100, 0, (T + 300, 3), "refused:early")
    a.observe(T - 100, 0, (T + 149, 3))
    a.tick(T + 749, 849, "refused:ahead")
    a.stamp(T + 749, 849, "refused:ahead")
    a.stamp(T + 750, 850)
    a.tick(T + 750, 850, "persist deferred")
    a.persisted()
    a.tick(T + 750, 850)  # (T + 1000, 1)
    return run


def crash_before_write() -> Recorder:
    run = Recorder(
        "hlc_crash_pending",
        "A crash during a write leaves the old bound or the new one; both are safe (HLC.R13).",
    )
    lost, kept = Lane(run, 1), Lane(run, 2)
    for lane, reaches_disk in ((lost, False), (kept, True)):
        lane.ready(T, M)
        lane.reserve(T + 900, M + 900)
        lane.tick(T + 900, M + 900)
        if reaches_disk:
            lane.persisted()
        lane.crash()
        lane.start(T + 950, 50)
        lane.tick(T + 950, 50, "refused:ahead" if reaches_disk else "persist deferred")
    kept.tick(T + 1650, 750, "persist deferred")
    for lane in (lost, kept):
        lane.persisted()
        lane.tick(T + 1650, 750)
    return run


def merge_crash_tick() -> Recorder:
    run = Recorder(
        "hlc_merge_crash_tick", "The bound covers merges: merge, crash, tick does not go back (HLC.R12)."
    )
    a = Lane(run, 1)
    a.start(T, M)
    a.observe(T, M, (T + 240, 12), "persist deferred")
    a.observe(T, M, (T + 240, 12), "deferred")
    a.persisted()
    a.observe(T, M, (T + 240, 12))
    a.crash()
    a.start(T + 10, 0)
    a.tick(T + 10, 0, "refused:ahead")
    a.tick(T + 989, 979, "refused:ahead")
    a.tick(T + 990, 980, "persist deferred")
    a.persisted()
    a.tick(T + 990, 980)  # (T + 1240, 1)
    return run


def clean_stop() -> Recorder:
    run = Recorder(
        "hlc_stop", "A clean stop stores the exact timestamp: the next start waits for nothing (HLC.R15)."
    )
    a = Lane(run, 1)
    a.ready(T, M)
    a.tick(T, M)
    a.reserve(T + 100, M + 100)
    a.stop("deferred")  # One write at a time.
    a.tick(T + 100, M + 100)  # The stop has not begun.
    a.persisted()
    a.stop()
    a.tick(T + 100, M + 100, "refused:stopping")
    a.stamp(T + 100, M + 100, "refused:stopping")
    a.observe(T + 100, M + 100, (T, 1), "refused:stopping")
    a.reserve(T + 100, M + 100, "refused:stopping")
    a.confirm(T + 100, M + 100, "refused:stopping", operator=True)
    a.stop("refused:stopping")
    a.persisted()
    a.stop("refused:stopping")
    a.crash()  # The process ends.
    a.start(T + 101, 0)
    a.stamp(T + 101, 0)
    a.tick(T + 101, 0, "persist deferred")
    a.persisted()
    a.tick(T + 101, 0)
    a.stop()
    a.crash()  # It ends before the write is durable: the old bound stands.
    a.start(T + 102, 0)
    a.tick(T + 102, 0, "refused:ahead")
    return run


def crash_loop() -> Recorder:
    run = Recorder(
        "hlc_crash_loop", "A node that crashes again and again does not push its own bound away (HLC.R13)."
    )
    a = Lane(run, 1)
    a.start(T, M)
    a.reserve(T, M)
    a.persisted()
    for boot in range(1, 6):
        a.crash()
        a.start(T + boot, 0)
        a.reserve(T + boot, 0, "refused:ahead")
        a.tick(T + boot, 0, "refused:ahead")
    a.tick(T + 750, 745, "persist deferred")
    a.persisted()
    a.tick(T + 750, 745)
    return run


def retire() -> Recorder:
    run = Recorder("hlc_retire", "A poisoned bound is never lowered; a new node id helps (HLC.R16).")
    a = Lane(run, 1)
    a.start(T + 86_400_000, M)  # The wall clock is a day fast, and nobody knows yet.
    a.tick(T + 86_400_000, M, "persist deferred")
    a.persisted()
    a.tick(T + 86_400_000, M)
    a.retire(77, "error")  # Not while it is up.
    a.stop()
    a.persisted()
    a.crash()
    a.start(T, 0)
    a.tick(T, 0, "refused:ahead")
    a.stamp(T, 0, "refused:ahead")
    a.crash()
    a.retire(1, "error")
    a.retire(77)
    a.retire(1, "error")
    a.retire(77, "error")
    a.start(T + 1, 0)
    a.tick(T + 1, 0, "persist deferred")
    a.persisted()
    a.tick(T + 1, 0)
    a.crash()
    a.retire(65535)
    a.start(T + 2, 0)
    a.stamp(T + 2, 0)
    return run


def small_restarts() -> Recorder:
    run = Recorder(
        "hlc_small_restarts", "Crashes and stops under small bounds, with the counter full.", config=SMALL
    )
    a = Lane(run, 4)
    a.ready(10, 0)
    for _ in range(6):
        a.tick(10, 0)
    a.crash()
    a.start(8, 0)
    a.tick(8, 0, "refused:ahead")
    a.observe(8, 0, (10, 1))
    a.observe(8, 0, (13, 1), "refused:early")
    a.observe(8, 0, (14, 0), "refused:drift")
    a.tick(11, 3, "persist deferred")
    a.persisted()
    a.tick(11, 3)  # (14, 1)
    a.stop()
    a.persisted()
    a.crash()
    a.start(12, 0)
    a.tick(12, 0, "persist deferred")
    a.persisted()
    a.tick(12, 0)  # (15, 0)
    return run


def bad_input() -> Recorder:
    run = Recorder("hlc_bad_input", "What is impossible or malformed is an error, and changes nothing.")
    a = Lane(run, 1)
    at = {"wall": T, "monotonic": M}
    malformed: tuple[Json, ...] = (
        {"event": "tock", **at},
        {},
        {"event": None},
        {"event": ["tick"], **at},
        {"event": "tick", "wall": T},
        {"event": "tick", **at, "sender": 2},
        {"event": "tick", "wall": -1, "monotonic": M},
        {"event": "tick", "wall": MAX_MS + 1, "monotonic": M},
        {"event": "tick", "wall": T, "monotonic": -1},
        {"event": "tick", "wall": T, "monotonic": MAX_MS + 1},
        {"event": "tick", "wall": T + 0.5, "monotonic": M},
        {"event": "tick", "wall": str(T), "monotonic": M},
        {"event": "tick", "wall": None, "monotonic": M},
        {"event": "tick", "wall": True, "monotonic": M},
        {"event": "tick", **at, "random": MAX_RANDOM + 1},
        {"event": "tick", **at, "random": -1},
        {"event": "observe", **at, "remote": [T, FULL + 1], "sender": 2},
        {"event": "observe", **at, "remote": [T, -1], "sender": 2},
        {"event": "observe", **at, "remote": [MAX_MS + 1, 0], "sender": 2},
        {"event": "observe", **at, "remote": [-1, 0], "sender": 2},
        {"event": "observe", **at, "remote": [T], "sender": 2},
        {"event": "observe", **at, "remote": [T, 0, 0], "sender": 2},
        {"event": "observe", **at, "remote": T, "sender": 2},
        {"event": "observe", **at, "remote": [T, 0]},
        {"event": "observe", **at, "remote": [T, 0], "sender": 0},
        {"event": "observe", **at, "remote": [T, 0], "sender": 65536},
        {"event": "confirm", **at, "peers": [[2, T], [2, T]]},
        {"event": "confirm", **at, "peers": [[0, T]]},
        {"event": "confirm", **at, "peers": [[2, MAX_MS + 1]]},
        {"event": "confirm", **at, "peers": [2]},
        {"event": "confirm", **at, "peers": 2},
        {"event": "confirm", **at, "operator": "yes"},
        {"event": "crash", "wall": T},
    )
    for name in ("crash", "persisted", "stop"):
        a.takes({"event": name}, "error")  # The node is down.
    for name in ("tick", "stamp", "reserve"):
        a.takes({"event": name, **at}, "error")
    a.takes({"event": "start", "wall": -1, "monotonic": M}, "error")
    a.retire(0, "error")
    a.retire(65536, "error")
    a.ready(T, M)
    for event in malformed:
        a.takes(event, "error")
    a.takes({"event": "start", **at}, "error")  # The node is up.
    a.takes({"event": "persisted"}, "error")  # No write is under way.
    a.takes({"event": "confirm", **at, "peers": [[1, T], [2, T], [3, T]]}, "error")  # Its own word.
    a.tick(T, M)
    return run


SCENARIOS = (
    crash_after_write,
    crash_before_write,
    merge_crash_tick,
    clean_stop,
    crash_loop,
    retire,
    small_restarts,
    bad_input,
)
