"""For each wrong rule of quorums: what a right implementation does on the very events on which it goes wrong.

Variants that are wrong by how machines are used (what a client repeats, what the catalog hands out, which
setting is chosen) have none: there the machines do what they are told.
"""

from __future__ import annotations

from collections.abc import Callable

from scratchbird_check.conformance.quorum_scene import Scene, setting
from scratchbird_check.conformance.recorder import Recorder

EVENTUAL = setting(3, 1, 1, "eventual")
SENDS = "intent + write>1,2,3"


def one_round() -> Recorder:
    scene = Scene(
        "quorum_variant_one_round",
        "A write through a coordinator whose clock is slow asks first, and so is not lost (QUORUM.R5).",
        coordinators=(11, 12),
    )
    scene.commits("1", "a", 1, 2, value="61")
    scene.put("2", value="62", at=12)  # Its clock is at 3.
    scene.asked("2", 2, 3, expects="stamp a")
    scene.stamped("2", "b")
    scene.stored("2")
    scene.told("2", 2, 3, expects="committed b")
    scene.read("3")
    scene.asked("3", 1, 2, expects="write>1,3")
    scene.told("3", 1, expects="value b")
    return scene.run


def needs_the_sum() -> Recorder:
    scene = Scene(
        "quorum_variant_needs_the_sum",
        "With one replica of three down, two are enough to write and to read: max(W, R), not W + R "
        "(QUORUM.R3).",
    )
    scene.put("1", value="61")
    scene.asked("1", 1, 2, expects="stamp 0")
    scene.stamped("1", "a")
    scene.stored("1")
    scene.told("1", 1, 2, expects="committed a")
    scene.read("2")
    scene.asked("2", 1, 2, expects="value a")
    return scene.run


def asynchronous_repair() -> Recorder:
    scene = Scene(
        "quorum_variant_asynchronous_repair",
        "A read that saw a write at one replica waits until a write quorum holds it, so that the next read "
        "does not miss it (QUORUM.R6).",
    )
    scene.reaches("1", "5", 1)
    scene.read("2")
    scene.asked("2", 1, 2, expects="write>2,3")
    scene.read("3")
    scene.asked("3", 2, 3, expects="value")  # Before the first read has its reply: nothing is promised yet.
    scene.told("2", 2, expects="value 5")
    return scene.run


def write_back_when_answers_disagree() -> Recorder:
    scene = Scene(
        "quorum_variant_write_back_when_answers_disagree",
        "Where 2R <= N answers that agree are not enough: the next R need not meet them (QUORUM.R6).",
        setting(4, 4, 1),
    )
    scene.reaches("1", "5", 1)
    scene.read("2", "query>1,2,3,4")
    scene.asked("2", 1, expects="write>2,3,4")
    scene.told("2", 2, 3, 4, expects="value 5")
    return scene.run


def settled_at_hitting_set() -> Recorder:
    scene = Scene(
        "quorum_variant_settled_at_hitting_set",
        "A read waits for W holders, and not for as many as meet every read quorum: a disk may be lost "
        "(QUORUM.R6).",
        setting(3, 3, 2),
    )
    scene.reaches("1", "5", 1, 2)
    scene.read("2")
    scene.asked("2", 1, 2, expects="write>3")
    scene.told("2", 3, expects="value 5")
    return scene.run


def ack_before_intent() -> Recorder:
    scene = Scene(
        "quorum_variant_ack_before_intent",
        "A write is not acknowledged before its intent is durable, for the coordinator may crash then "
        "(QUORUM.R11).",
    )
    scene.put("1", SENDS, reserved="5")
    scene.told("1", 1, 2)
    scene.crash(11)
    scene.start(11)
    scene.commits("2", "6", 1, 2)
    return scene.run


def empty_replica_votes() -> Recorder:
    scene = Scene(
        "quorum_variant_empty_replica_votes",
        "A replica that lost its disk answers no query, or it would say that it holds nothing (QUORUM.R13).",
    )
    scene.commits("1", "5", 1, 2)
    scene.lose_disk(1, setting(), [[1, 2], [2, 1], [3, 1]], "exchange>2,3")
    scene.read("2")
    scene.queried("2", 1, expects="nothing")
    scene.hands("exchange", 1, 2, "exchanged>1")
    scene.asked("2", 2, 3, expects="write>1,3")
    scene.told("2", 1, expects="value 5")
    return scene.run


def counts_old_incarnation() -> Recorder:
    scene = Scene(
        "quorum_variant_counts_old_incarnation",
        "An acknowledgement from before a disk was lost is not counted, once a replica that was asked says "
        "so (QUORUM.R14).",
    )
    scene.put("1", SENDS, reserved="5")
    scene.stored("1")
    scene.written("1", 1)
    scene.lose_disk(1, setting(), [[1, 2], [2, 1], [3, 1]], "exchange>2,3")
    scene.exchanged(1, 2, 3)  # They do not hold the write yet, and now neither does replica 1.
    scene.acknowledged("1", 1)
    scene.told("1", 2)  # Two acknowledgements, one holder.
    scene.told("1", 3, expects="committed 5")
    return scene.run


def recovers_from_one() -> Recorder:
    scene = Scene(
        "quorum_variant_recovers_from_one",
        "One other replica is too few to recover from: it may be the one that missed the write (QUORUM.R13).",
    )
    scene.commits("1", "5", 1, 2)
    scene.lose_disk(1, setting(), [[1, 2], [2, 1], [3, 1]], "exchange>2,3")
    scene.exchanged(1, 3)
    scene.read("2")
    scene.queried("2", 1, expects="nothing")
    scene.exchanged(1, 2)
    scene.queried("2", 1)
    scene.answered("2", 1)
    scene.asked("2", 3, expects="write>2,3")
    return scene.run


def too_few_others() -> Recorder:
    scene = Scene(
        "quorum_variant_too_few_others",
        "One other fewer than N - W + 1 is too few: those may all have missed the write (QUORUM.R13).",
        setting(5, 3, 3),
    )
    scene.commits("1", "5", 1, 2, 3)
    scene.lose_disk(1, setting(5, 3, 3), [[1, 2], [2, 1], [3, 1], [4, 1], [5, 1]], "exchange>2,3,4,5")
    scene.exchanged(1, 4, 5)
    scene.read("2", "query>1,2,3,4,5")
    scene.queried("2", 1, expects="nothing")
    scene.exchanged(1, 3)
    scene.queried("2", 1)
    return scene.run


def ignores_token() -> Recorder:
    scene = Scene(
        "quorum_variant_ignores_token",
        "An eventual read waits for an answer that is no older than what its client saw (QUORUM.R7).",
        EVENTUAL,
    )
    scene.commits("1", "5", 1)
    scene.read("2", token="5")
    scene.asked("2", 2)
    scene.asked("2", 1, expects="value 5 + write>2")
    return scene.run


def stamps_below_token() -> Recorder:
    scene = Scene(
        "quorum_variant_stamps_below_token",
        "An eventual write takes a version above what its client saw, whatever its coordinator's clock says "
        "(QUORUM.R7).",
        EVENTUAL,
        (11, 12),
    )
    scene.commits("1", "a", 1, value="61")
    scene.put("2", "stamp a", value="62", token="a", at=12)
    scene.stamped("2", "b")
    scene.stored("2")
    scene.told("2", 1, expects="committed b")
    scene.read("3", token="b")
    scene.asked("3", 1, expects="value b")
    return scene.run


def old_epoch_served() -> Recorder:
    scene = Scene(
        "quorum_variant_old_epoch_served",
        "A replica that took part in a newer epoch serves no request of an older one (QUORUM.R15, "
        "QUORUM.R16).",
        setting(2, 1, 2),
        (11, 12),
    )
    scene.put("1", "intent + write>1,2", reserved="5")
    scene.stored("1")
    scene.adopt(12, setting(2, 2, 2, epoch=1))
    scene.read("2", "query>1,2", at=12)
    scene.asked("2", 1, 2, expects="value")  # Now W = 2, R = 1 may be used.
    scene.written("1", 1, expects="old_epoch")
    scene.turned_down("1", 1, "indeterminate 5")
    return scene.run


def rollback() -> Recorder:
    scene = Scene(
        "quorum_variant_rollback",
        "A write that did not reach its quorum in time is indeterminate, and nothing takes it back "
        "(QUORUM.R8).",
    )
    scene.reaches("1", "5", 1)
    scene.stored("1")
    scene.read("2")
    scene.asked("2", 1, 2, expects="write>2,3")
    scene.told("2", 2, expects="value 5")
    scene.deadline("1", "indeterminate 5")
    scene.read("3")
    scene.asked("3", 1, 2, expects="value 5")
    return scene.run


def says_not_applied() -> Recorder:
    scene = Scene(
        "quorum_variant_says_not_applied",
        "Where a replica was told of the write, nobody may say that it was not applied (QUORUM.R8).",
    )
    scene.put("1")
    scene.asked("1", 1, 2, expects="stamp 0")
    scene.stamped("1", "5")
    scene.deadline("1", "indeterminate 5")
    scene.written("1", 2)
    scene.read("2")
    scene.asked("2", 2, 3, expects="write>1,3")
    scene.told("2", 1, expects="value 5")
    return scene.run


def stamp_again_on_stale() -> Recorder:
    scene = Scene(
        "quorum_variant_stamp_again_on_stale",
        "A replica that holds something newer acknowledges: the write keeps its one place in the order "
        "(QUORUM.R1, QUORUM.R5).",
        coordinators=(11, 12),
    )
    scene.put("1", value="61")
    scene.asked("1", 1, 2, expects="stamp 0")
    scene.stamped("1", "5")
    scene.stored("1")
    scene.told("1", 1)
    scene.commits("2", "6", 2, 3, at=12, value="62")
    scene.told("1", 3, expects="committed 5")
    return scene.run


VARIANT_SCENARIOS: dict[str, Callable[[], Recorder]] = {
    "one_round": one_round,
    "needs_the_sum": needs_the_sum,
    "asynchronous_repair": asynchronous_repair,
    "write_back_when_answers_disagree": write_back_when_answers_disagree,
    "settled_at_hitting_set": settled_at_hitting_set,
    "ack_before_intent": ack_before_intent,
    "empty_replica_votes": empty_replica_votes,
    "counts_old_incarnation": counts_old_incarnation,
    "recovers_from_one": recovers_from_one,
    "too_few_others": too_few_others,
    "ignores_token": ignores_token,
    "stamps_below_token": stamps_below_token,
    "old_epoch_served": old_epoch_served,
    "rollback": rollback,
    "says_not_applied": says_not_applied,
    "stamp_again_on_stale": stamp_again_on_stale,
}
SCENARIOS = tuple(VARIANT_SCENARIOS.values())
