"""What happens in each run against a wrong rule of the quorums, move by move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scratchbird_check.traces.quorum_judge import Judge, goes_on, intents, linearizable, session
from scratchbird_check.traces.quorum_moves import (
    Move,
    acknowledged,
    crash,
    deadline,
    hear,
    hold,
    lose,
    read,
    recover,
    repeat,
    store,
    undo,
    unseen,
    write,
)
from scratchbird_check.traces.quorum_world import Stage
from scratchbird_check.variants.quorum import UncheckedSetting
from scratchbird_reference.quorum import joint
from scratchbird_reference.quorum_messages import Mode, Setting

THREE = (1, 2, 3)
MAJORITIES = Setting(THREE, 2, 2)


@dataclass(frozen=True, slots=True)
class Script:
    """One list of moves, played by the wrong rule and by the right one."""

    promise: str
    title: str
    lesson: str
    """What is wrong, in a few words; it ends the verdict."""
    good: str
    """How it ends under the right rule, in one sentence."""
    stage: Stage
    moves: tuple[Move, ...]
    afterwards: tuple[Move, ...] = ()
    """Further moves under the right rule, to show that it goes on."""
    judge: Judge = linearizable
    wrong_stage: Stage | None = None
    """Where it is a setting that is wrong: the stage with that one."""


def same(setting: Setting, *names: str, clocks: Mapping[str, int] | None = None) -> Stage:
    """These coordinators, all with this setting."""
    return Stage(dict.fromkeys(names, setting), clocks=clocks or {})


OLD = unseen(write("before", "old", "c1", hears=(1, 2), holds=THREE))
"""Everybody holds "old"."""
ALL_READ_ONE = Setting(THREE, 3, 1, epoch=2)
WRITE_ONE = Setting(THREE, 1, 3)
BETWEEN = joint(WRITE_ONE, ALL_READ_ONE)
"""From W, R = 1, 3 to 3, 1 there is no way but by 3, 3."""
EVENTUAL = Setting(THREE, 1, 1, Mode.EVENTUAL)

FIVE = (1, 2, 3, 4, 5)
MAJORITIES_OF_FIVE = Setting(FIVE, 3, 3)

SCRIPTS: Mapping[str, Script] = {
    "disjoint_quorums": Script(
        "QRM-1",
        "W + R = N: one replica of three for a write, two for a read",
        "quorums that miss each other make reads stale",
        "W + R = 4 is more than N = 3: one acknowledgement is not enough, and every read meets the write.",
        same(MAJORITIES, "c1", "c2"),
        (
            *OLD,
            write("w", "new", "c1", hears=(1, 2)),
            hold("w", 1),
            read("r", "c2", hears=(2, 3)),
        ),
        (hold("w", 2), read("later", "c2", hears=(2, 3)), hold("later", 3)),
        wrong_stage=same(UncheckedSetting(THREE, 1, 2), "c1", "c2"),
    ),
    "one_round": Script(
        "QRM-2",
        "A write that asks nobody, by a coordinator whose clock is behind",
        "the later write has the lower version, and is lost",
        "c2 asks first, and takes a version above the one that it hears of: the later write wins.",
        same(MAJORITIES, "c1", "c2", "c3", clocks={"c1": 20, "c2": 10}),
        (
            write("first", "a", "c1", hears=(1, 2), holds=(1, 2)),
            write("second", "b", "c2", hears=(1, 2), holds=(1, 2)),
            read("r", "c3", hears=(1, 2)),
        ),
    ),
    "asynchronous_repair": Script(
        "QRM-3",
        "A read that replies first and repairs later",
        "reads go back in time",
        'The first read replies when two replicas hold "new": every later read meets one of them.',
        same(MAJORITIES, "c1", "c2", "c3"),
        (
            *OLD,
            write("w", "new", "c1", hears=(1, 2)),
            store("w", 1),
            read("first", "c2", hears=(1, 2)),
            read("second", "c3", hears=(2, 3)),
        ),
        (hold("first", 2), read("third", "c3", hears=(2, 3)), hold("third", 3)),
    ),
    "write_back_when_answers_disagree": Script(
        "QRM-3",
        "A read that replies at once where its answers agree, N = 4, W = 3, R = 2",
        "two that agree are missed by the next two",
        'The first read replies when three replicas hold "new": every later read meets one of them.',
        same(Setting((1, 2, 3, 4), 3, 2), "c1", "c2"),
        (
            *unseen(write("before", "old", "c1", hears=(1, 2), holds=(1, 2, 3, 4))),
            write("w", "new", "c1", hears=(1, 2)),
            store("w", 1),
            store("w", 2),
            read("first", "c2", hears=(1, 2)),
            read("second", "c2", hears=(3, 4)),
        ),
        (hold("first", 3), read("third", "c2", hears=(3, 4)), hold("third", 4, 1)),
    ),
    "settled_at_hitting_set": Script(
        "QRM-3",
        "A read that replies at N - R + 1 holders, N = 3, W = 3, R = 2",
        "one of too few holders lost its disk, and recovered from one who never held it",
        'The first read replies when three replicas hold "new": whoever recovers hears of it.',
        same(Setting(THREE, 3, 2), "c1", "c2"),
        (
            *OLD,
            write("w", "new", "c1", hears=(1, 2)),
            store("w", 1),
            read("first", "c2", hears=(1, 2)),
            hold("first", 2),
            lose(1),
            recover(1, 3),
            read("second", "c2", hears=(1, 3)),
        ),
        (hold("first", 3), deadline("first"), read("third", "c2", hears=(1, 3)), hold("third", 1, 2)),
    ),
    "ignores_token": Script(
        "QRM-3",
        "A read of an eventual table that does not wait for what its client has seen",
        "a client does not read what it wrote",
        "The read waits for an answer that is no older than its client's token.",
        same(EVENTUAL, "c1", "c2"),
        (
            write("w", "new", "c1", client="ann", holds=(1,)),
            read("r", "c2", client="ann", hears=(2,)),
        ),
        (hear("r", 1),),
        judge=session,
    ),
    "stamps_below_token": Script(
        "QRM-3",
        "A write of an eventual table below what its client has seen, by a clock that is behind",
        "a client does not read what it wrote last",
        "The second write takes a version above its client's token, whatever the clock says.",
        same(EVENTUAL, "c1", "c2", clocks={"c1": 20, "c2": 10}),
        (
            write("first", "a", "c1", client="ann", holds=(1,)),
            write("second", "b", "c2", client="ann", holds=(1,)),
            read("r", "c2", client="ann", hears=(1,)),
        ),
        judge=session,
    ),
    "rollback": Script(
        "QRM-4",
        "A write that is taken back where it was applied",
        "what was read was never written",
        'Nothing is taken back: what has been read stays, and the client was told "indeterminate".',
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "new", "c1", hears=(1, 2)),
            store("w", 1),
            read("first", "c2", hears=(1, 2), holds=(2,)),
            deadline("w"),
            undo("w", 1),
            undo("w", 2),
            read("second", "c2", hears=(1, 2)),
        ),
    ),
    "says_not_applied": Script(
        "QRM-4",
        'A write without a quorum, of which the client is told "not applied"',
        "the client was told that it is not applied and never will be",
        'The client was told "indeterminate": it may take effect later, and it does.',
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "new", "c1", hears=(1, 2)),
            store("w", 1),
            deadline("w"),
            read("r", "c2", hears=(1, 2)),
            hold("r", 2),
        ),
    ),
    "ack_before_intent": Script(
        "QRM-5",
        "A write that is acknowledged before its intent is on disk",
        "nobody will ever repair it",
        "Before the intent is on disk the client is told nothing: no acknowledged write is left behind.",
        same(MAJORITIES, "c1"),
        (
            write("w", "new", "c1", hears=(1, 2), slow_disk=True),
            hold("w", 1, 2),
            crash("c1"),
        ),
        judge=intents,
    ),
    "online_change": Script(
        "QRM-10",
        "From W, R = 1, 3 to 3, 1 at once: each is safe alone",
        "a write under the old setting is missed by a read under the new one",
        "The change goes through W, R = 3, 3: its reads meet every write of the old setting.",
        Stage({"c1": WRITE_ONE, "c2": BETWEEN}),
        (
            write("w", "new", "c1", hears=THREE),
            hold("w", 1),
            read("r", "c2", hears=(2,)),
            hold("r", 1, 3),
        ),
        (hear("r", 1, 3), hold("r", 2, 3)),
        wrong_stage=Stage({"c1": WRITE_ONE, "c2": ALL_READ_ONE}),
    ),
    "old_epoch_served": Script(
        "QRM-10",
        "From W, R = 1, 3 to 3, 1 by way of 3, 3, and a replica that still serves the old setting",
        "a write under the old setting was served after the barrier, and is missed",
        "Replicas that took part in the barrier refuse what is left of the old setting.",
        Stage({"c1": WRITE_ONE, "c2": BETWEEN, "c3": ALL_READ_ONE}),
        (
            write("w", "new", "c1", hears=THREE),
            read("barrier", "c2", hears=THREE),
            store("w", 1),
            acknowledged("w", 1),
            read("r", "c3", hears=(2,)),
            hold("r", 1, 3),
        ),
    ),
    "retry_with_new_version": Script(
        "QRM-11",
        "A write that is repeated through another coordinator, under a new version",
        "one write took effect twice",
        "The client reserved its version, and repeats the write under it: it stays where it is in the order.",
        same(MAJORITIES, "c1", "c2", "c3"),
        (
            write("w", "a", "c1", hears=(1, 2), reserve=True),
            store("w", 1),
            crash("c1"),
            read("first", "c2", hears=(1, 2), holds=(2,)),
            write("other", "b", "c2", hears=(1, 2), holds=(1, 2)),
            repeat("w", "c3", hears=(1, 2), holds=(1, 2)),
            read("second", "c2", hears=(1, 2)),
        ),
    ),
    "stamp_again_on_stale": Script(
        "QRM-12",
        "A write that is stamped again when a replica says STALE",
        "one write took effect twice",
        "A version is taken once: the write is overtaken, and stays where it is in the order.",
        same(MAJORITIES, "c1", "c2", "c3"),
        (
            write("w", "a", "c1", hears=(1, 2)),
            store("w", 1),
            read("first", "c2", hears=(1, 2), holds=(2,)),
            write("other", "b", "c3", hears=(1, 2), holds=(2, 3), clock=10),
            store("w", 3),
            acknowledged("w", 3),
            hold("w", 1, 2),
            read("second", "c2", hears=(1, 2)),
        ),
        (hold("second", 1),),
    ),
    "empty_replica_votes": Script(
        "QRM-14",
        "A replica that lost its disk answers at once",
        "its empty answer counted as a vote",
        "A replica that lost its disk gives no answer before two others told it all that they hold.",
        same(MAJORITIES, "c1", "c2"),
        (
            *OLD,
            write("w", "new", "c1", hears=(1, 2)),
            hold("w", 1, 2),
            lose(1),
            read("r", "c2", hears=(1, 3)),
            hold("r", 1),
        ),
        (recover(1, 2, 3), hear("r", 2), hold("r", 3)),
    ),
    "counts_old_incarnation": Script(
        "QRM-14",
        "An acknowledgement from before the loss of a disk",
        "one was counted as a holder that had lost what it held",
        "r2's acknowledgement says that r1 began anew: what r1 said before is not counted.",
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "new", "c1", hears=(1, 2)),
            store("w", 1),
            lose(1),
            recover(1, 2, 3),
            store("w", 2),
            acknowledged("w", 1, 2),
            read("r", "c2", hears=(1, 3)),
        ),
        (hold("w", 1), read("later", "c2", hears=(1, 3), holds=(3,))),
    ),
    "own_incarnation_only": Script(
        "QRM-14",
        "A catalog that tells a replica its own incarnation alone",
        "one was counted as a holder that had lost what it held, and who knew had forgotten",
        "r2 knows from the catalog that r1 began anew, and says so: what r1 said before is not counted.",
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "new", "c1", hears=(1, 2)),
            store("w", 1),
            lose(1),
            recover(1, 2, 3),
            lose(2),
            store("w", 2),
            acknowledged("w", 1, 2),
            read("r", "c2", hears=(1, 3)),
        ),
        (hold("w", 1), read("later", "c2", hears=(1, 3), holds=(3,))),
    ),
    "recovers_from_one": Script(
        "QRM-14",
        "A replica that lost its disk recovers from one other",
        "the one whom it heard never held the write",
        "r1 hears N - W + 1 = 2 others before it has a vote: one of them holds the write.",
        same(MAJORITIES, "c1", "c2"),
        (
            write("w", "new", "c1", hears=(1, 2), holds=(1, 2)),
            lose(1),
            recover(1, 3),
            read("r", "c2", hears=(1, 3)),
        ),
        (recover(1, 2), hear("r", 1), hold("r", 3)),
    ),
    "recovers_as_newest": Script(
        "QRM-14",
        "A replica recovers by the newest setting, W = 3, while W = 2 is in force",
        "the one whom it heard never held the write",
        "The smallest W in force counts: r1 hears two others, and one of them holds the write.",
        Stage(
            {"c1": MAJORITIES, "c2": joint(MAJORITIES, ALL_READ_ONE)},
        ),
        (
            write("w", "new", "c1", hears=(1, 2), holds=(1, 2)),
            lose(1),
            recover(1, 3),
            read("r", "c2", hears=(1, 3)),
            hold("r", 2),
        ),
        (recover(1, 2), hear("r", 1), hold("r", 3, 2)),
    ),
    "strong_by_label": Script(
        "QRM-6",
        "A table is called strong because N, W, R = 3, 2, 2; its mode is eventual",
        "the numbers are the same in both modes, and the promise is not",
        "In linearizable mode the second write asks first, and takes the higher version.",
        same(MAJORITIES, "c1", "c2", "c3", clocks={"c1": 20, "c2": 10}),
        (
            write("first", "a", "c1", hears=(1, 2), holds=(1, 2)),
            write("second", "b", "c2", hears=(1, 2), holds=(1, 2)),
            read("r", "c3", hears=(1, 2)),
        ),
        wrong_stage=same(Setting(THREE, 2, 2, Mode.EVENTUAL), "c1", "c2", "c3", clocks={"c1": 20, "c2": 10}),
    ),
    "needs_the_sum": Script(
        "QRM-7",
        "N, W, R = 3, 2, 2, r3 is down, and an operation needs W + R replicas",
        "two replicas are enough for either, and the rule stops at the first failure",
        "Two replicas answer the query, and two hold the write: that is max(W, R).",
        same(MAJORITIES, "c1"),
        (write("w", "new", "c1", hears=(1, 2), holds=(1, 2)), deadline("w")),
        (read("r", "c1", hears=(1, 2)),),
        judge=goes_on,
    ),
    "read_only_with_two_down": Script(
        "QRM-8",
        "N, W, R = 5, 3, 3 over centres of 2, 2 and 1, and both centres of 2 are down",
        "a read needs three as a write does",
        "One replica answers where R = 1: such a table can be read there, and what is read may be old.",
        same(Setting(FIVE, 3, 1, Mode.EVENTUAL), "c1", "c2"),
        (
            *unseen(write("before", "old", "c1", hears=(1, 2, 3), holds=FIVE)),
            read("r", "c2", hears=(5,)),
            deadline("r"),
        ),
        judge=goes_on,
        wrong_stage=same(MAJORITIES_OF_FIVE, "c1", "c2"),
    ),
    "minority_reads": Script(
        "QRM-9",
        "N, W, R = 5, 3, 3, and a partition leaves r4 and r5 alone with a coordinator",
        "R exceeds the minority",
        "Two replicas answer where R = 2: such a table can be read there, and what is read may be old.",
        same(Setting(FIVE, 3, 2, Mode.EVENTUAL), "c1", "c2"),
        (
            *unseen(write("before", "old", "c1", hears=(1, 2, 3), holds=FIVE)),
            read("r", "c2", hears=(4, 5)),
            deadline("r"),
        ),
        judge=goes_on,
        wrong_stage=same(MAJORITIES_OF_FIVE, "c1", "c2"),
    ),
}
