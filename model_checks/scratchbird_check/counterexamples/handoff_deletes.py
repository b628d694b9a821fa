"""What happens in each run against a wrong rule of deletes, move by move."""

from __future__ import annotations

from collections.abc import Mapping

from scratchbird_check.counterexamples.handoff_owed import WRITE_ONE_OF_TWO
from scratchbird_check.counterexamples.quorum_scripts import MAJORITIES, OLD, THREE, Script, same
from scratchbird_check.traces.handoff_moves import (
    answer,
    back_up,
    close,
    hint,
    look,
    passes,
    propose,
    pull,
    repair,
    restore,
    start,
    stop,
)
from scratchbird_check.traces.quorum_moves import (
    Move,
    crash,
    deadline,
    hold,
    lose,
    read,
    recover,
    repeat,
    store,
    unseen,
    write,
)
from scratchbird_reference.quorum_messages import Setting

WRITE_TWO_OF_FOUR = Setting((1, 2, 3, 4), 2, 3)
FLOOR = 10
BACK = "a deleted row is there again"
LOST = "a write that was acknowledged is gone"
KEPT = "There is no floor yet, so the tombstone stays"


def _delete(at: str, *holds: int) -> Move:
    """A client deletes the row, at these replicas."""
    return write("d", None, at, hears=(1, 2), holds=holds)


_ALL_SETTLE = (propose(FLOOR, *THREE), pull(1, 2, 3), pull(2, 1, 3), pull(3, 1, 2), passes(0, *THREE))
"""All close, converge, settle and purge."""

SCRIPTS: Mapping[str, Script] = {
    # --- purged without a floor
    "purges_by_time": Script(
        "HNT-5",
        "A tombstone that goes after a grace time, and a hint that was slow",
        BACK,
        "The tombstone goes when all have settled; from then on the floor keeps out what is late.",
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "old", "c1", hears=(1, 2), holds=(1, 2)),
            look("c1"),
            _delete("c2", *THREE),
            passes(6, *THREE),
            hint("c1", 3),
            read("r", "c2", hears=(1, 3)),
            hold("r", 1),
        ),
        (*_ALL_SETTLE, hint("c1", 3), read("later", "c2", hears=(1, 3))),
    ),
    "purges_by_time_kept_hint": Script(
        "HNT-5",
        "A tombstone that goes after a grace time, and a hint that was on the disk of a node that was down",
        BACK,
        f"{KEPT}: the hint finds something newer.",
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "old", "c1", hears=(1, 2), holds=(1, 2)),
            crash("c1"),
            _delete("c2", *THREE),
            passes(6, *THREE),
            start(coordinator="c1"),
            look("c1"),
            hint("c1", 3),
            read("r", "c2", hears=(1, 3)),
            hold("r", 1),
        ),
    ),
    "purges_by_time_dead_replica": Script(
        "HNT-5",
        "A tombstone that goes after a grace time, and a replica that was down for longer",
        BACK,
        "A replica that is down holds the floor where it is: r1 still has the tombstone, and r3 takes it.",
        same(MAJORITIES, "c1", "c2"),
        (
            *OLD,
            stop(3),
            _delete("c1", 1, 2),
            passes(8, 1, 2),
            look("c1"),
            start(3),
            read("r", "c2", hears=(1, 3)),
            hold("r", 1),
        ),
        (hold("r", 3),),
    ),
    "purges_by_time_backup": Script(
        "HNT-5",
        "A tombstone that goes after a grace time, and a backup that is restored",
        BACK,
        f"{KEPT}: what the backup holds is older than what r3 gets from the others.",
        same(MAJORITIES, "c1", "c2"),
        (
            *OLD,
            back_up(3),
            _delete("c1", *THREE),
            passes(6, *THREE),
            lose(3),
            restore(3),
            recover(3, 1, 2),
            read("r", "c2", hears=(1, 3)),
            hold("r", 1),
        ),
    ),
    "purges_by_evidence": Script(
        "HNT-5",
        "A tombstone that goes when all hold it, and the write-back of an old read",
        BACK,
        f"{KEPT}: the write-back finds something newer.",
        same(MAJORITIES, "c1", "c2"),
        (
            *unseen(write("before", "old", "c1", hears=(1, 2), holds=(1, 2))),
            read("first", "c2", hears=(1, 3)),
            hold("first", 2),
            _delete("c1", *THREE),
            passes(0, *THREE),
            store("first", 3),
            read("second", "c1", hears=(1, 3)),
            hold("second", 1),
        ),
    ),
    "purges_by_evidence_retry": Script(
        "HNT-5",
        "A tombstone that goes when all hold it, and a write that is repeated under its old version",
        BACK,
        f"{KEPT}: the write that is repeated stays where it is in the order.",
        same(MAJORITIES, "c1", "c2", "c3"),
        (
            write("w", "old", "c1", hears=(1, 2), reserve=True),
            store("w", 1),
            crash("c1"),
            read("first", "c2", hears=(1, 2), holds=(2,)),
            _delete("c2", *THREE),
            passes(0, *THREE),
            repeat("w", "c3", holds=(1, 2)),
            read("second", "c2", hears=(1, 2)),
        ),
    ),
    "purges_by_evidence_slow_clock": Script(
        "HNT-5",
        "A tombstone that goes when all hold it, and a write by a clock that is behind",
        LOST,
        f"{KEPT}: the write hears of it, and takes a version above.",
        same(MAJORITIES, "c1", "c2", clocks={"c1": 20, "c2": 5}),
        (
            *OLD,
            _delete("c1", *THREE),
            passes(0, 1, 2),
            write("w", "new", "c2", hears=(1, 2), holds=(1, 2)),
            read("r", "c1", hears=(1, 3)),
            hold("r", 1, 3),
        ),
    ),
    # --- the floor
    "takes_below_closed": Script(
        "HNT-5",
        "A replica that takes what is below the floor that it has closed, N, W, R = 2, 1, 2",
        LOST,
        "r1 says that it is below the floor, the client is told nothing, and writes again above it.",
        same(WRITE_ONE_OF_TWO, "c1", "c2"),
        (
            write("w", "new", "c1", hears=(1, 2), clock=5),
            propose(FLOOR, 1, 2),
            pull(1, 2),
            pull(2, 1),
            hold("w", 1),
            read("r", "c2", hears=(1, 2)),
        ),
        (
            deadline("w"),
            write("again", "new", "c1", hears=(1, 2), holds=(1,)),
            read("later", "c2", hears=(1, 2)),
        ),
    ),
    "pulls_before_all_closed": Script(
        "HNT-5",
        "A replica that merges for the floor before all have closed it, N, W, R = 2, 1, 2",
        LOST,
        "r1 merges what r2 holds when both have closed the floor: nothing enters below any more.",
        same(WRITE_ONE_OF_TWO, "c1", "c2"),
        (
            write("w", "new", "c1", hears=(1, 2), clock=5),
            propose(FLOOR, 1),
            pull(1, 2),
            hold("w", 2),
            close(2),
            pull(1, 2),
            pull(2, 1),
            read("r", "c2", hears=(1, 2)),
        ),
    ),
    "merges_only_below": Script(
        "HNT-5",
        "A replica that tells its past without what has taken its place since",
        "one merged it before, one after, and they differ for ever",
        'r1 tells r3 "new", which stands where "old" stood: whoever asks r3 hears of it.',
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "old", "c1", hears=(1, 2), clock=5),
            store("w", 1),
            propose(FLOOR, *THREE),
            pull(3, 2),
            pull(2, 1, 3),
            read("first", "c2", hears=(1, 2)),
            write("x", "new", "c1", hears=(1, 2), clock=12),
            store("x", 1),
            pull(3, 1),
            pull(1, 2, 3),
            read("second", "c2", hears=(2, 3)),
            hold("second", 1),
        ),
    ),
    "settles_alone": Script(
        "HNT-5",
        "A replica that settles when it has converged itself",
        BACK,
        "r1 and r2 keep the tombstone until r3 has converged: it gets it from them.",
        same(MAJORITIES, "c1", "c2"),
        (
            *OLD,
            _delete("c1", 1, 2),
            propose(FLOOR, *THREE),
            pull(1, 2, 3),
            pull(2, 1, 3),
            passes(0, 1, 2),
            pull(3, 1, 2),
            lose(1),
            recover(1, 2, 3),
            read("r", "c2", hears=(1, 3)),
        ),
        (passes(0, *THREE), read("later", "c2", hears=(1, 3))),
    ),
    "absent_is_nothing": Script(
        "HNT-5",
        "A settled replica that compares an absent row as if it had never been written, N, W, R = 2, 1, 2",
        BACK,
        "A row that is absent is deleted at the floor: what r2 held before is older.",
        same(WRITE_ONE_OF_TWO, "c1", "c2"),
        (
            *unseen(write("before", "old", "c1", hears=(1, 2), holds=(1, 2))),
            answer("c1", 1, 2),
            _delete("c1", 1, 2),
            propose(FLOOR, 1, 2),
            pull(1, 2),
            pull(2, 1),
            passes(0, 1, 2),
            repair("c1", 1, 2),
            read("r", "c2", hears=(1, 2)),
        ),
    ),
    "starts_open": Script(
        "HNT-5",
        "Two replicas that lost their disks and start without the floor, N, W, R = 4, 2, 3",
        LOST,
        "Who lost its disk is closed from its start: the write is below the floor everywhere.",
        same(WRITE_TWO_OF_FOUR, "c1"),
        (
            write("w", "new", "c1", hears=(1, 2, 3), clock=5),
            propose(FLOOR, 1, 2, 3, 4),
            pull(2, 1, 3, 4),
            pull(4, 1, 2, 3),
            lose(3),
            recover(3, 1, 2, 4),
            lose(1),
            recover(1, 2, 3, 4),
            hold("w", 1, 3),
            close(1),
            close(3),
            pull(1, 2, 3, 4),
            pull(3, 1, 2, 4),
            read("r", "c1", hears=(1, 2, 4)),
        ),
    ),
    "backup_is_believed": Script(
        "HNT-5",
        "A restored backup that is believed below the floor",
        BACK,
        "What a backup holds below the floor counts only where another replica holds it as well.",
        same(MAJORITIES, "c1", "c2"),
        (
            *OLD,
            back_up(3),
            _delete("c1", *THREE),
            *_ALL_SETTLE,
            lose(3),
            restore(3),
            recover(3, 1, 2),
            lose(1),
            recover(1, 2, 3),
            read("r", "c2", hears=(1, 3)),
        ),
    ),
}
