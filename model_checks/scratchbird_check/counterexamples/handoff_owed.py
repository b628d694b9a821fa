"""What happens in each run against a wrong rule of what is owed, move by move."""

from __future__ import annotations

from collections.abc import Mapping

from scratchbird_check.counterexamples.quorum_scripts import MAJORITIES, OLD, THREE, WRITE_ONE, Script, same
from scratchbird_check.traces.handoff_judge import account
from scratchbird_check.traces.handoff_moves import (
    answer,
    give_up,
    hint,
    keep_again,
    look,
    passes,
    repair,
    start,
    stop,
)
from scratchbird_check.traces.quorum_moves import crash, hold, read, write
from scratchbird_reference.quorum_messages import Setting

WRITE_ONE_OF_TWO = Setting((1, 2), 1, 2)

SCRIPTS: Mapping[str, Script] = {
    "hints_in_memory_only": Script(
        "HNT-1",
        "Hints that a crash forgets",
        "what nobody knows is never paid",
        "The hint is on disk before the client has its reply: c1 finds it again, and pays.",
        same(MAJORITIES, "c1"),
        (write("w", "new", "c1", hears=(1, 2), holds=(1, 2)), crash("c1")),
        (start(coordinator="c1"), look("c1"), hint("c1", 3)),
        judge=account,
    ),
    "removed_on_send": Script(
        "HNT-1",
        "A hint that goes when it is sent, and the message is lost",
        "that it was sent does not mean that it arrived",
        "The hint goes when r3 has said that it holds the version, and is sent again until then.",
        same(MAJORITIES, "c1"),
        (write("w", "new", "c1", hears=(1, 2), holds=(1, 2)), look("c1")),
        (passes(1), look("c1"), passes(1), look("c1"), hint("c1", 3)),
        judge=account,
    ),
    "hint_counts": Script(
        "HNT-2",
        "A hint that counts as if its target held the version",
        "fewer than W replicas held what was acknowledged",
        "The write is acknowledged when two replicas hold it, and every read meets one of them.",
        same(MAJORITIES, "c1", "c2"),
        (
            *OLD,
            write("w", "new", "c1", hears=(1, 2)),
            hold("w", 1),
            read("r", "c2", hears=(2, 3)),
        ),
        (hold("w", 2), read("later", "c2", hears=(2, 3)), hold("later", 3)),
    ),
    "hint_overwrites": Script(
        "HNT-3",
        "A replica that keeps what came last, and an old hint that comes last",
        "a newer write was overwritten",
        'r3 compares the versions, and keeps "new", however late and often the hint comes.',
        same(MAJORITIES, "c1", "c2"),
        (
            write("first", "old", "c1", hears=(1, 2), holds=(1, 2)),
            look("c1"),
            write("second", "new", "c2", hears=(2, 3), holds=(2, 3)),
            hint("c1", 3),
            read("r", "c2", hears=(1, 3)),
        ),
        (hold("r", 1), hint("c1", 3)),
    ),
    "stops_without_mark": Script(
        "HNT-4",
        "Hints that expire after seven days",
        "whoever decides that a repair is done has nothing to decide by",
        "First the mark, then the hints go: r3 is owed a repair until it has merged what another one holds.",
        same(MAJORITIES, "c1"),
        (
            write("w", "new", "c1", hears=(1, 2), holds=(1, 2)),
            stop(3),
            passes(8),
            look("c1"),
        ),
        (start(3), keep_again("c1", 3), repair("c1", 3, 2)),
        judge=account,
    ),
    "cleared_by_one": Script(
        "HNT-4",
        "A repair that one other replica pays, N, W, R = 3, 1, 3",
        "the one that it heard lacks it as well",
        "N - W = 2 others pay: one of them holds whatever one replica of the others acknowledged.",
        same(WRITE_ONE, "c1"),
        (
            write("w", "new", "c1", hears=THREE, holds=(1,)),
            give_up("c1", 3),
            keep_again("c1", 3),
            repair("c1", 3, 2),
        ),
        (repair("c1", 3, 1),),
        judge=account,
    ),
    "cleared_by_an_earlier_exchange": Script(
        "HNT-4",
        "A repair that an exchange pays which began before",
        "what was written meanwhile is not in the answer",
        "An exchange counts that began after the mark was closed: then all that it covers was written.",
        same(WRITE_ONE_OF_TWO, "c1"),
        (
            write("first", "old", "c1", hears=(1, 2), holds=(1,)),
            give_up("c1", 2),
            answer("c1", 2, 1),
            write("second", "new", "c1", hears=(1, 2), holds=(1,)),
            keep_again("c1", 2),
            repair("c1", 2, 1),
        ),
        (repair("c1", 2, 1),),
        judge=account,
    ),
    "closes_over_open_writes": Script(
        "HNT-4",
        "A mark that is closed while a write is open which it covers",
        "it was acknowledged after the exchange that paid",
        "The mark is closed when the write has ended: an exchange from then on finds it.",
        same(MAJORITIES, "c1"),
        (
            write("first", "old", "c1", hears=(1, 2), holds=(1, 2)),
            give_up("c1", 3),
            write("second", "new", "c1", hears=(1, 2)),
            hold("second", 1),
            keep_again("c1", 3),
            repair("c1", 3, 2),
            hold("second", 2),
        ),
        (repair("c1", 3, 2),),
        judge=account,
    ),
}
