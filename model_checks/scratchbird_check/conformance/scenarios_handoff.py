"""Scenarios of handoff: what a coordinator owes, how it delivers it, gives up, and is paid by exchanges."""

from __future__ import annotations

from scratchbird_check.conformance.handoff_scene import MS, SECOND, Scene
from scratchbird_check.conformance.quorum_scene import setting
from scratchbird_check.conformance.recorder import Recorder

SLOW = {"per_second": 100, "most_under_way": 2, "answer_within_ns": 20 * MS}
"""Ten milliseconds between two deliveries."""


def account() -> Recorder:
    scene = Scene(
        "account",
        "An intent and its hints are durable in one step; who acknowledges is owed nothing more, and the "
        "others are, whatever becomes of the write (HANDOFF.R1).",
    )
    scene.owe("1", "5")
    scene.acknowledged("5", 1)
    scene.acknowledged("5", 2, 2)
    scene.ended("1")
    scene.ended("1")
    scene.owe("2", "8", value=None)
    scene.ended("2")  # Nobody acknowledged in time.
    scene.acknowledged("8", 1, 2, 3)
    scene.acknowledged("5", 3)
    return scene.run


def no_votes() -> Recorder:
    scene = Scene(
        "no_votes",
        "A hint is no vote: that it is durable is all the coordinator is told of it, and an acknowledgement "
        "is counted where it comes from (HANDOFF.R2).",
    )
    scene.owe("1", "5", 2, 3)  # Replica 1 acknowledged before the intent was durable.
    scene.account("adopt", setting=setting(3, 3, 1, epoch=1))
    scene.owe("2", "6")
    scene.acknowledged("6", 9)
    scene.ended("1")
    scene.ended("2")
    scene.account("crash")
    return scene.run


def repeated() -> Recorder:
    scene = Scene(
        "repeated",
        "A write that is repeated under its version finds hints of its own, which stay as they are "
        "(HANDOFF.R2, HANDOFF.R3).",
    )
    scene.owe("1", "5", now=1)
    scene.acknowledged("5", 2)
    scene.ended("1")
    scene.owe("2", "5", now=9)
    scene.acknowledged("5", 1, 2)
    scene.ended("2")
    scene.tick(SECOND, "hint 5>3")
    return scene.run


def delivery() -> Recorder:
    scene = Scene(
        "delivery",
        "A hint is delivered as the write that it is, any number of times, and goes when its target says "
        "that it holds the version or a newer one (HANDOFF.R3).",
    )
    scene.commits("1", "5", 1, 2)
    scene.commits("2", "6", 1, 2)
    scene.commits("3", "7", 1, 2, row="8")
    scene.tick(SECOND, "hint 5>3 + hint 6>3 + hint 7>3")
    scene.acknowledged("4", 3)  # Of an older write: it pays nothing.
    scene.tick(SECOND + MS)
    scene.tick(3 * SECOND)  # They are late; the next one is due in a while.
    scene.tick(3 * SECOND + 2 * MS, "hint 5>3")  # Sent is not delivered: it is sent again.
    scene.acknowledged("5", 3)
    scene.acknowledged("7", 3)  # Of this row version 6 is paid, and not what is owed of another row.
    scene.acknowledged("7", 3, row="8")
    return scene.run


def pace() -> Recorder:
    scene = Scene(
        "pace",
        "Two deliveries to a target are so far apart as its limit says, and only so many are under way; an "
        "answer that does not come in time doubles the time between two, one that comes shortens it "
        "(HANDOFF.R4).",
        limits=SLOW,
    )
    for number in range(1, 7):
        scene.commits(f"{number:x}", f"{number:x}", 1, 2, row=f"{number:x}")
    scene.tick(SECOND, "hint 1>3 + hint 2>3")  # What was missed is made up for by one.
    scene.tick(SECOND + 9 * MS)
    scene.tick(SECOND + 11 * MS)  # Two are under way.
    scene.acknowledged("1", 3, row="1")
    scene.tick(SECOND + 11 * MS, "hint 3>3")
    scene.tick(SECOND + 21 * MS)  # One is late now: the next is due in 20 ms.
    scene.tick(SECOND + 40 * MS)
    scene.tick(SECOND + 41 * MS)
    scene.tick(SECOND + 81 * MS, "hint 2>3")
    scene.acknowledged("3", 3, row="3")  # Late, and not under way: it pays, and shortens nothing.
    scene.acknowledged("2", 3, row="2")
    scene.tick(SECOND + 120 * MS, "hint 4>3")
    scene.acknowledged("4", 3, row="4")
    scene.tick(5 * SECOND, "hint 5>3")
    scene.acknowledged("5", 3, row="5")
    scene.tick(4 * SECOND)  # The clock was set back: at most a second is waited for.
    scene.tick(5 * SECOND, "hint 6>3")
    return scene.run


def waiting_aside() -> Recorder:
    scene = Scene(
        "waiting_aside",
        "Hints below a floor that their target has closed wait, and stand in the way of none that is newer; "
        "when all have converged they are paid (HANDOFF.R4, HANDOFF.R9, HANDOFF.R11).",
        limits={"most_under_way": 1},
    )
    scene.commits("1", "5", 1, 2)
    scene.commits("2", "b", 1, 2)
    scene.tick(SECOND, "hint 5>3")
    scene.account("refused", place=[3, 0], closed="9")
    scene.account("refused", place=[3, 0], closed="8")  # Overtaken.
    scene.account("refused", "error", place=[3, 0], closed="0")
    scene.account("refused", place=[2, 0], closed="f")  # Nothing is under way to it.
    scene.tick(2 * SECOND, "hint b>3")
    scene.acknowledged("b", 3, row="8")
    scene.account("erased", shard=0, version="9")
    scene.account("crash")
    scene.tick(3 * SECOND, "hint b>3")
    return scene.run


def silence() -> Recorder:
    scene = Scene(
        "silence",
        "A target that is down is asked once a second, and not less (HANDOFF.R4).",
        limits={"per_second": 1_000_000_000, "most_under_way": 1, "answer_within_ns": 1},
    )
    scene.commits("1", "5", 1, 2)
    now = SECOND
    scene.tick(now, "hint 5>3")
    for doubled in range(1, 31):
        wait = min(1 << doubled, SECOND)
        scene.tick(now + 2)
        if doubled in (1, 2, 29, 30):
            scene.tick(now + 2 + wait - 1)
        now = now + 2 + wait
        scene.tick(now, "hint 5>3")
    return scene.run


def turns() -> Recorder:
    scene = Scene(
        "turns",
        "Shards take turns, in each the oldest hint first; a write that is open is not sent a second time "
        "(HANDOFF.R4).",
        limits={"per_second": 1, "most_under_way": 9, "answer_within_ns": 100 * SECOND},
    )
    scene.commits("1", "1", 1, 2, row="1", shard=7)
    scene.commits("2", "2", 1, 2, row="2", shard=7)
    scene.commits("3", "3", 1, 2, row="3", shard=0)
    scene.commits("4", "4", 1, row="4", shard=300)
    scene.owe("5", "5", 3, row="5", shard=0)
    now = 10 * SECOND
    for expected in ("hint 4>2 + hint 3>3", "hint 1>3", "hint 4>3", "hint 2>3", "nothing"):
        scene.tick(now, expected)
        now += SECOND
    scene.ended("5")
    scene.tick(now, "hint 5>3")
    return scene.run


def giving_up() -> Recorder:
    scene = Scene(
        "giving_up",
        "A target is given up when too many hints are kept for it, too many bytes, or a hint that is too "
        "old: first a mark is durable, then hints go (HANDOFF.R5).",
        limits={"most_hints": 2, "most_bytes": 3, "most_age_ns": 10 * SECOND},
    )
    for number in ("1", "2", "3"):
        scene.owe(number, number, 3, value=None, row=number)
    scene.tick(0, "may drop>3")
    scene.place("drop", 3)
    scene.owe("4", "4", 2, value="76767676")
    scene.tick(0, "may drop>2")
    scene.owe("5", "5", 1, now=SECOND)
    scene.tick(10 * SECOND, "may drop>2")  # Again, as long as its hint is there.
    scene.tick(11 * SECOND, "may drop>2")
    scene.tick(11 * SECOND + 1, "may drop>1,2")
    scene.place("drop", 1)
    scene.place("drop", 2)
    scene.owe("6", "6", shard=1)  # Another shard: nobody is given up there.
    scene.owe("7", "7")  # Nobody is hinted: the marks cover it.
    for number in ("1", "2", "3", "4", "5", "6", "7"):
        scene.ended(number)
    return scene.run


def coming_back() -> Recorder:
    scene = Scene(
        "coming_back",
        "While a target is given up its mark covers what is written; when it is back, hints are kept again, "
        "and the mark is closed as soon as every write has ended that it covers (HANDOFF.R5).",
    )
    scene.commits("1", "5", 1, 2)
    scene.owe("2", "6")  # Its hint is dropped while it is open.
    scene.account("give_up", "may drop>3", target=3)
    scene.place("drop", 3)
    scene.owe("3", "7")  # Left out.
    scene.place("keep_again", 3)
    scene.owe("4", "8")  # Hinted again.
    scene.ended("2")
    scene.ended("4")
    scene.acknowledged("7", 1, 2)
    scene.ended("3", "repair>3")
    scene.place("drop", 3)  # Late: what is kept since is delivered.
    scene.place("keep_again", 3)
    scene.tick(SECOND, "hint 8>1,2,3")
    return scene.run


def given_up_again() -> Recorder:
    scene = Scene(
        "given_up_again",
        "Who is given up again while it comes back, or when its mark is closed, begins anew (HANDOFF.R5).",
    )
    scene.commits("1", "5", 1, 2)
    scene.gives_up(3)
    scene.owe("2", "6")
    scene.place("keep_again", 3)
    scene.commits("3", "7", 1, 2)
    scene.gives_up(3)
    scene.ended("2")
    scene.place("keep_again", 3, "repair>3")
    scene.exchange("exchange_begun", 3, 1)
    scene.commits("4", "8", 1, 2)
    scene.gives_up(3)
    scene.exchange("exchanged", 3, 1)
    scene.account("give_up", "nothing", target=3)  # Nothing is kept for it.
    return scene.run


def open_at_a_crash() -> Recorder:
    scene = Scene(
        "open_at_a_crash",
        "A crash ends the writes that are open and leaves marks as they are: what may be dropped may be "
        "dropped still (HANDOFF.R1, HANDOFF.R5).",
    )
    scene.commits("1", "5", 1, 2)
    scene.account("give_up", "may drop>3", target=3)
    scene.owe("2", "6")
    scene.place("keep_again", 3)
    scene.account("crash", "may drop>3")
    scene.ended("2")
    scene.place("drop", 3)
    scene.account("crash")
    scene.place("keep_again", 3, "repair>3")
    scene.tick(SECOND, "hint 6>1,2")
    scene.account("crash")
    return scene.run


def paying() -> Recorder:
    scene = Scene(
        "paying",
        "A mark goes when its target has merged what N - W others hold, each by an exchange that began when "
        "the mark was closed (HANDOFF.R6).",
        under=setting(5, 3, 3),
    )
    scene.owe("1", "5", 1, 2, 3, 4, 5)
    scene.acknowledged("5", 1, 2, 3)
    scene.ended("1")
    scene.gives_up(5)
    scene.exchange("exchange_begun", 5, 4, 3)
    scene.exchange("exchanged", 5, 3)
    scene.place("keep_again", 5, "repair>5")
    scene.exchange("exchanged", 5, 4)  # It began too soon.
    scene.exchange("exchanged", 5, 2)  # It never began.
    scene.exchanges(5, 4)
    scene.exchanges(5, 4)  # The same one again is one.
    scene.exchanges(5, 1)
    scene.exchanges(5, 2)  # The mark is gone.
    scene.exchanges(4, 2)  # There never was one.
    return scene.run


def paid_by_one() -> Recorder:
    scene = Scene(
        "paid_by_one",
        "One other replica is enough only where W = N - 1; what counts is the least W of all settings since "
        "anything was owed (HANDOFF.R6).",
    )
    scene.commits("1", "5", 1, 2)
    scene.gives_up(3)
    scene.place("keep_again", 3, "repair>3")
    scene.exchanges(3, 2)
    scene.commits("2", "6", 1, 2)
    scene.account("adopt", setting=setting(3, 1, 3, epoch=1))
    scene.account("adopt", setting=setting(3, 2, 2, epoch=2))
    scene.gives_up(3)
    scene.place("keep_again", 3, "repair>3")
    scene.exchanges(3, 2)
    scene.exchanges(3, 1)
    scene.acknowledged("6", 3)
    scene.account("adopt", setting=setting(3, 3, 1, epoch=3))
    scene.account("adopt", "error", setting=setting(3, 2, 2, epoch=3))
    scene.commits("3", "7", 1)
    scene.gives_up(2)
    scene.place("keep_again", 2, "repair>2")
    scene.exchanges(2, 3)
    return scene.run


def lost_target() -> Recorder:
    scene = Scene(
        "lost_target",
        "What a target merged before it lost its disk is not counted, nor is an exchange that was under way "
        "(HANDOFF.R6, HANDOFF.R13).",
        under=setting(3, 1, 3),
    )
    scene.commits("1", "5", 1)
    scene.gives_up(3)
    scene.place("keep_again", 3, "repair>3")
    scene.exchanges(3, 1)
    scene.exchange("exchange_begun", 3, 2)
    scene.account("target_lost_disk", target=2)
    scene.account("target_lost_disk", target=3)
    scene.exchange("exchanged", 3, 2)
    scene.exchanges(3, 2)
    scene.exchanges(3, 1)
    return scene.run


def what_changes() -> Recorder:
    scene = Scene(
        "what_changes",
        "Dropping or truncating a table pays the hints at or below its version, and no others; hints that "
        "can not be read cost a mark (HANDOFF.R7).",
    )
    scene.commits("1", "5", 1, 2)
    scene.commits("2", "6", 1, 2, row="8")
    scene.commits("3", "4", 1, 2, row="9", shard=1)
    scene.account("erased", shard=0, version="5")
    scene.owe("4", "7")
    scene.place("unreadable", 3, "repair>3")
    scene.tick(SECOND, "hint 6>3 + hint 4>3")
    scene.place("unreadable", 2, "repair>2", shard=1)
    scene.exchanges(3, 2)
    return scene.run


def moving() -> Recorder:
    scene = Scene(
        "moving",
        "Who takes a target's place is owed all that the target is, its hints, its mark and every write that "
        "is open, before it copies; the target is owed nothing any more when the move is done (HANDOFF.R7).",
    )
    scene.commits("1", "5", 1, 2)
    scene.owe("2", "6")
    scene.acknowledged("6", 3)
    scene.place("unreadable", 3, "repair>3")
    scene.account("move_begun", "repair>4", place=[3, 0], newcomer=4)
    scene.account("move_begun", place=[3, 0], newcomer=4)  # The catalog said so before.
    scene.account("move_begun", "error", place=[3, 0], newcomer=5)
    scene.account("move_begun", "error", place=[3, 0], newcomer=3)
    scene.account("move_done", "error", place=[2, 0])
    scene.owe("3", "7")
    scene.owe("4", "7", row="8", shard=1)  # Of another shard.
    scene.account("crash")
    scene.owe("5", "8")
    scene.owe("6", "9", shard=1)
    scene.tick(SECOND, "hint 6>1,2,4 + hint 7>1,1,2,2,3,3,4")
    scene.account("move_done", place=[3, 0])
    scene.acknowledged("8", 1, 2, 4)
    scene.ended("5")
    scene.tick(5 * SECOND)
    return scene.run


def moving_to_one_that_is_owed() -> Recorder:
    scene = Scene(
        "moving_to_one_that_is_owed",
        "A hint that the newcomer has already is one, and a target without a mark leaves none (HANDOFF.R7).",
    )
    scene.commits("1", "5", 1, 2)
    scene.owe("2", "5", 4)
    scene.ended("2")
    scene.account("move_begun", place=[3, 0], newcomer=4)
    scene.commits("3", "6", 1, 2)
    scene.gives_up(3)
    scene.account("move_done", place=[3, 0])
    scene.acknowledged("6", 4)
    return scene.run


def mistakes() -> Recorder:
    scene = Scene(
        "mistakes",
        "What can not be is an error, and changes nothing (HANDOFF.R2, HANDOFF.R6).",
    )
    scene.owe("1", "5")
    intent = {"row": "7", "held": {"version": "5", "value": "76"}, "targets": [1]}
    for wrong in (
        {"event": "owe", "operation": "1", "shard": 0, "intent": intent, "now_ns": "0"},
        {"event": "owe", "operation": "2", "shard": 0, "intent": intent},
        {"event": "owe", "operation": "2", "shard": 0, "intent": intent, "now_ns": 0},
        {
            "event": "owe",
            "operation": "2",
            "shard": 0,
            "intent": {**intent, "held": {"version": "0", "value": None}},
            "now_ns": "0",
        },
        {
            "event": "owe",
            "operation": "2",
            "shard": 0,
            "intent": {**intent, "row": "8000000000000000"},
            "now_ns": "0",
        },
        {"event": "owe", "operation": "2", "shard": -1, "intent": intent, "now_ns": "0"},
        {"event": "exchange_begun", "place": [3, 0], "other": 3},
        {"event": "exchanged", "place": [3, 0], "other": 4},
        {"event": "drop", "place": [3]},
        {"event": "drop", "place": {"target": 3, "shard": 0}},
        {"event": "erased", "shard": 0, "version": "0"},
        {"event": "start"},
        {"event": "nothing"},
    ):
        scene.takes(11, wrong, "error")
    return scene.run


SCENARIOS = (
    account, no_votes, repeated, delivery, pace,
    waiting_aside, silence, turns, giving_up, coming_back,
    given_up_again, open_at_a_crash, paying, paid_by_one, lost_target, what_changes, moving,
    moving_to_one_that_is_owed, mistakes,
)  # fmt: skip
