"""Scenarios of quorums whose settings change: epochs, adoption, the barrier, and recovery meanwhile."""

from __future__ import annotations

from scratchbird_check.conformance.quorum_scene import ROW, Scene, setting
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json

SENDS = "intent + write>1,2,3"
MAJORITY = setting()


def old_epochs() -> Recorder:
    scene = Scene(
        "quorum_old_epochs",
        "A replica refuses requests of an epoch lower than the highest that it saw; the operation ends by "
        "what was known of it (QUORUM.R8, QUORUM.R15).",
        coordinators=(11, 12),
    )
    later = setting(epoch=2)
    scene.put("1", SENDS, reserved="5")
    scene.read("2")
    scene.put("3")
    scene.queried("3", 1, 2)
    scene.queried("2", 1)
    scene.adopt(12, later)
    scene.read("4", at=12)
    scene.asked("4", 3, 1, expects="value")
    scene.written("1", 1, 3, expects="old_epoch")
    scene.queried("2", 3, expects="old_epoch")
    scene.queried("3", 3, expects="old_epoch")
    scene.turned_down("2", 3, "failed")
    scene.turned_down("2", 3, "nothing")
    scene.turned_down("3", 3, "not applied")
    scene.turned_down("1", 1, "indeterminate 5")
    scene.told("1", 2)  # One that has not seen the epoch still takes it.
    scene.stored("1")
    scene.put("5", at=12)
    scene.asked("5", 1, 3, expects="stamp 0")
    scene.stamped("5", "6")
    scene.takes(12, {"event": "deliver", "sender": 1, "message": _old("5", 2)})  # Not newer than its own.
    scene.told("5", 1, 2)
    scene.stored("5", "committed 6")
    scene.takes(12, {"event": "deliver", "sender": 1, "message": _old("5", 3)})  # It has its reply.
    return scene.run


def adopted() -> Recorder:
    scene = Scene(
        "quorum_adopted_setting",
        "A coordinator takes a newer setting for new operations; the open ones go on under theirs "
        "(QUORUM.R15).",
    )
    five = setting(5, 3, 3, epoch=3)
    scene.commits("1", "5", 1, 2)
    scene.read("2")
    scene.put("3")
    scene.asked("3", 1, 2, expects="stamp 5")
    scene.adopt(11, five)
    scene.adopt(11, five, "error")
    scene.adopt(11, setting(epoch=2), "error")
    scene.asked("2", 1, 2, expects="value 5")
    scene.stamped("3", "6", SENDS)
    scene.stored("3")
    scene.told("3", 1, 2, expects="committed 6")
    scene.read("4", "query>1,2,3,4,5")
    scene.asked("4", 4, 5)
    scene.asked("4", 2, expects="write>1,3,4,5")
    scene.told("4", 5)
    scene.told("4", 4, expects="value 6")
    scene.put("5", "intent + write>1,2,3,4,5", reserved="6")  # Repeated: the targets of both settings.
    scene.stored("5")
    scene.crash(11)
    scene.start(11)
    scene.read("6", "query>1,2,3,4,5")  # The setting is the catalog's, and stays.
    return scene.run


def barrier() -> Recorder:
    scene = Scene(
        "quorum_joint_setting",
        "From W = 1, R = 3 to W = 3, R = 1 through the joint setting: when a row has been read in its epoch, "
        "the new setting may be used (QUORUM.R16).",
        setting(3, 1, 3),
        (11, 12),
    )
    scene.commits("1", "5", 1)
    scene.reaches("2", "4", at=12, value="61")
    scene.adopt(11, setting(3, 3, 3, epoch=1))
    scene.read("3")
    scene.asked("3", 1, 2, 3, expects="write>2,3")  # Not settled before all three hold it.
    scene.told("3", 2)
    scene.told("3", 3, expects="value 5")
    scene.written("2", 2, expects="old_epoch")  # Of the old setting nothing is served any more.
    scene.turned_down("2", 2, "indeterminate 4")
    scene.adopt(11, setting(3, 3, 1, epoch=2))
    scene.adopt(12, setting(3, 3, 1, epoch=2))
    scene.read("4", at=12)
    scene.asked("4", 3, expects="write>1,2")
    scene.told("4", 1)
    scene.told("4", 2, expects="value 5")
    scene.put("5", at=12)
    scene.asked("5", 2, expects="stamp 5")
    return scene.run


def recovery_and_settings() -> Recorder:
    scene = Scene(
        "quorum_recovery_by_least_quorum",
        "Who recovers while W is changed counts by the least W in force, and refuses what is older than the "
        "newest (QUORUM.R13, QUORUM.R15).",
        setting(3, 2, 2),
    )
    scene.commits("1", "5", 1, 2)
    newer = setting(3, 3, 2, epoch=1)
    scene.adopt(11, newer)
    scene.read("2")
    scene.asked("2", 1, 3, expects="write>2,3")
    scene.lose_disk(2, MAJORITY, [[1, 1], [2, 2], [3, 1]], "exchange>1,3")  # W = 2 of the older setting.
    scene.exchanged(2, 3)
    scene.queried("2", 2, expects="nothing")
    scene.exchanged(2, 1)
    scene.queried("2", 2)
    scene.written("2", 2)
    old = {"message": "query", "operation": "9", "epoch": 0, "row": ROW}
    scene.takes(2, {"event": "deliver", "message": old}, "old_epoch")  # The others' epoch is its own now.
    scene.crash(3)
    empty = {
        "event": "start_empty",
        "setting": MAJORITY,
        "incarnations": [[1, 1], [2, 2], [3, 2]],
        "epoch": 1,
    }
    scene.takes(3, empty, "exchange>1,2")
    scene.takes(3, {"event": "deliver", "message": old}, "old_epoch")  # The catalog says what is newest.
    return scene.run


def _old(number: str, epoch: int) -> Json:
    return {"message": "old_epoch", "operation": number, "epoch": epoch}


SCENARIOS = (old_epochs, adopted, barrier, recovery_and_settings)
