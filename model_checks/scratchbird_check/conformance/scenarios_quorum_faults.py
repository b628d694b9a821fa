"""Scenarios of quorums under faults: crashes, lost disks, and what is malformed."""

from __future__ import annotations

from typing import Any

from scratchbird_check.conformance.quorum_scene import ROW, Scene, held, setting
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json

SENDS = "intent + write>1,2,3"
MAJORITY = setting()


def doubled() -> Recorder:
    scene = Scene(
        "quorum_doubled_messages",
        "Messages that come twice, or overtake each other, count once (QUORUM.R1, QUORUM.R3).",
    )
    scene.put("1")
    scene.queried("1", 1, 1)
    scene.answered("1", 1, 1)
    scene.asked("1", 3, expects="stamp 0")
    scene.answered("1", 3)
    scene.stamped("1", "5")
    scene.stored("1")
    scene.written("1", 2, 2)
    scene.acknowledged("1", 2, 2)
    scene.queried("1", 2)  # The query arrives after the write.
    scene.answered("1", 2)  # A write does not count answers as holders.
    scene.told("1", 1, expects="committed 5")
    scene.acknowledged("1", 1, 2)
    scene.read("2")
    scene.asked("2", 3)
    scene.asked("2", 1, expects="write>2,3")
    scene.told("2", 3, expects="value 5")
    scene.told("2", 3, 2)
    return scene.run


def coordinator_crash() -> Recorder:
    scene = Scene(
        "quorum_coordinator_crash",
        "A crash drops open operations and keeps intents, which go on being cancelled; an intent that the "
        "disk has and the state has not is told at the start (QUORUM.R8, QUORUM.R11).",
    )
    scene.reaches("1", "5", 1, 2)
    scene.stored("1")
    scene.reaches("2", "6", 2)
    scene.put("3")
    scene.queried("3", 1, 2)
    scene.crash(11)
    scene.takes(11, {"event": "read", "operation": "9", "row": ROW}, "error")
    scene.answered("3", 1, expects="error")
    scene.start(11)
    scene.takes(11, {"event": "start"}, "error")
    scene.stored("2")  # Found on the disk: its targets are all named.
    scene.answered("3", 1, 2)  # Nobody waits for it.
    scene.acknowledged("1", 1)
    scene.acknowledged("2", 2)
    scene.stamped("3", "7", "nothing")
    scene.deadline("1")
    scene.put("1", SENDS, reserved="5")  # The client repeats what it reserved, under a number of old.
    scene.stored("1")  # One intent, which names the targets of both.
    scene.told("1", 3)
    scene.told("1", 1, expects="committed 5")
    return scene.run


def replica_crash() -> Recorder:
    scene = Scene(
        "quorum_replica_crash",
        "A replica that starts on the disk that it left has what it acknowledged, and a vote (QUORUM.R1).",
    )
    scene.reaches("1", "5", 1)
    scene.crash(1)
    scene.takes(1, {"event": "crash"}, "error")
    scene.takes(1, {"event": "ask"}, "error")
    scene.hands("write", 11, 1, "error", "1")
    scene.start(1)
    scene.takes(1, {"event": "start"}, "error")
    scene.takes(1, {"event": "ask"})  # It does not recover, and asks nobody.
    scene.read("2")
    scene.asked("2", 2, 1, expects="write>2,3")
    scene.told("2", 2, expects="value 5")
    return scene.run


def recovery() -> Recorder:
    scene = Scene(
        "quorum_recovery",
        "A replica that lost its disk takes writes and answers no query, until N - W + 1 others have told it "
        "all that they hold (QUORUM.R13).",
    )
    scene.commits("1", "5", 1, 2)
    scene.commits("2", "6", 2, 3, value="62")
    scene.lose_disk(2, MAJORITY, [[1, 1], [2, 2], [3, 1]], "exchange>1,3")
    scene.read("3")
    scene.queried("3", 2, expects="nothing")
    scene.put("4", SENDS, reserved="4")
    scene.written("4", 2)  # It vouches for what it holds from now on.
    scene.exchanged(2, 1)
    scene.exchanged(2, 1)  # The same one again is one.
    scene.queried("3", 2, expects="nothing")
    scene.takes(2, {"event": "ask"}, "exchange>1,3")
    scene.exchanged(2, 3)  # That was the second.
    scene.queried("3", 2)
    scene.answered("3", 2, expects="nothing")
    scene.asked("3", 1, expects="write>1,3")
    scene.takes(2, {"event": "ask"})
    scene.hands("exchanged", 3, 2, "nothing")  # Too late to matter.
    return scene.run


def recovery_and_crash() -> Recorder:
    scene = Scene(
        "quorum_recovery_and_crash",
        "A crash while recovering keeps what was merged, and forgets who was heard (QUORUM.R13).",
    )
    scene.commits("1", "5", 1, 3)
    scene.lose_disk(2, MAJORITY, [[1, 1], [2, 2], [3, 1]], "exchange>1,3")
    scene.exchanged(2, 1)
    scene.crash(2)
    scene.start(2)
    scene.exchanged(2, 3)
    scene.read("2")
    scene.queried("2", 2, expects="nothing")
    scene.takes(2, {"event": "ask"}, "exchange>1,3")
    scene.exchanged(2, 1)
    scene.queried("2", 2)
    scene.asked("2", 1, expects="nothing")
    scene.answered("2", 2, expects="value 5")
    return scene.run


def two_lost_disks() -> Recorder:
    scene = Scene(
        "quorum_two_lost_disks",
        "A replica that recovers tells nobody what it holds, and an answer to an earlier life is not counted "
        "(QUORUM.R13, QUORUM.R14).",
        setting(5, 4, 2),
    )
    scene.commits("1", "5", 1, 2, 3, 4)
    scene.lose_disk(1, setting(5, 4, 2), [[1, 2], [2, 1], [3, 1], [4, 1], [5, 1]], "exchange>2,3,4,5")
    scene.hands("exchange", 1, 2, "exchanged>1")
    first = scene.kept(2, 1, "exchanged")
    scene.lose_disk(1, setting(5, 4, 2), [[1, 3], [2, 1], [3, 1], [4, 1], [5, 1]], "exchange>2,3,4,5")
    scene.late(first, 1, 2)  # It was asked in incarnation 2.
    scene.lose_disk(2, setting(5, 4, 2), [[1, 3], [2, 2], [3, 1], [4, 1], [5, 1]], "exchange>1,3,4,5")
    scene.hands("exchange", 2, 1, "nothing")
    scene.hands("exchange", 1, 2, "nothing")
    scene.exchanged(1, 5)
    scene.exchanged(1, 3)  # Two others: it has its vote.
    scene.takes(1, {"event": "ask"})
    scene.exchanged(2, 1)  # Now it answers.
    scene.exchanged(2, 5)
    scene.read("2", "query>1,2,3,4,5")
    scene.asked("2", 1, 2, expects="write>3,4,5")
    return scene.run


def recovery_from_one() -> Recorder:
    scene = Scene(
        "quorum_recovery_where_all_write",
        "Where W = N any one other has all that was acknowledged (QUORUM.R13).",
        setting(3, 3, 1),
    )
    scene.commits("1", "5", 1, 2, 3)
    scene.lose_disk(3, setting(3, 3, 1), [[1, 1], [2, 1], [3, 2]], "exchange>1,2")
    scene.exchanged(3, 2)
    scene.read("2")
    scene.asked("2", 3, expects="write>1,2")  # W = 3: it is not known yet that the others hold it.
    scene.told("2", 1)
    scene.told("2", 2, expects="value 5")
    return scene.run


def no_recovery() -> Recorder:
    scene = Scene(
        "quorum_no_recovery_where_one_writes",
        "Where W = 1 no others can know what a lost disk held: recovery does not end (QUORUM.R13).",
        setting(3, 1, 3),
    )
    scene.commits("1", "5", 1)
    scene.lose_disk(1, setting(3, 1, 3), [[1, 2], [2, 1], [3, 1]], "exchange>2,3")
    scene.exchanged(1, 2, 3)
    scene.exchanged(1, 2, 3)
    scene.read("2")
    scene.queried("2", 1, expects="nothing")
    return scene.run


def strangers() -> Recorder:
    scene = Scene(
        "quorum_strangers",
        "What replicas say that are none of the setting's, or not about this version, is not counted "
        "(QUORUM.R3, QUORUM.R13).",
    )
    scene.put("1", SENDS, reserved="5")
    scene.stored("1")
    said: Json = {"message": "acknowledgement", "operation": "1", "version": "5", "incarnations": [[4, 1]]}
    scene.takes(11, {"event": "deliver", "sender": 4, "message": said})
    scene.takes(11, {"event": "deliver", "sender": 5, "message": {**said, "incarnations": []}})
    scene.takes(11, {"event": "deliver", "sender": 3, "message": {**said, "version": "4"}})
    scene.told("1", 1)
    scene.takes(11, {"event": "deliver", "sender": 2, "message": {**said, "operation": "2"}})
    scene.told("1", 2, expects="committed 5")  # The one about another operation cancelled its intent.
    scene.read("3")
    answer = {"message": "answer", "operation": "3", "held": held("9", "ff"), "incarnations": [[4, 1]]}
    scene.takes(11, {"event": "deliver", "sender": 4, "message": answer})
    scene.asked("3", 1, 2, expects="value 5")
    old = {"message": "old_epoch", "operation": "3", "epoch": 7}
    scene.takes(11, {"event": "deliver", "sender": 4, "message": old})
    scene.read("4")
    scene.takes(11, {"event": "deliver", "sender": 4, "message": {**old, "operation": "4"}})
    scene.takes(11, {"event": "deliver", "sender": 1, "message": {**old, "operation": "5"}})
    scene.asked("4", 1, 2, expects="value 5")
    scene.lose_disk(3, MAJORITY, [[1, 1], [2, 1], [3, 2]], "exchange>1,2")
    scene.hands("exchange", 3, 1, "exchanged>3")
    step, told = scene.kept(1, 3, "exchanged")
    scene.late((step, told), 3, 4)
    scene.late((step, told), 3, 3)
    scene.late((step, {**told, "incarnation": 1}), 3, 1)
    return scene.run


def old_incarnation() -> Recorder:
    scene = Scene(
        "quorum_incarnations",
        "What a replica said before it lost its disk is not counted once anybody names its new incarnation, "
        "and does not cancel an intent (QUORUM.R11, QUORUM.R14).",
    )
    everybody = [[1, 1], [2, 1], [3, 2]]
    scene.put("1", SENDS, reserved="5")
    scene.stored("1")
    scene.told("1", 3)
    before = scene.kept(3, 11, "acknowledgement", "1")
    scene.lose_disk(3, MAJORITY, everybody, "exchange>1,2")
    scene.hands("exchange", 3, 1, "exchanged>3")
    scene.told("1", 1)  # Replica 1 was asked, and names incarnation 2: replica 3 no longer counts.
    scene.written("1", 3)
    scene.late(before, 11, 3)  # Once more, late.
    scene.acknowledged("1", 3, expects="committed 5")
    scene.late(before, 11, 3)  # It does not take the place of the later one.
    scene.put("2", SENDS, reserved="6")
    scene.told("2", 3, 1)
    scene.lose_disk(3, MAJORITY, [[1, 1], [2, 1], [3, 3]], "exchange>1,2")
    scene.hands("exchange", 3, 2, "exchanged>3")
    scene.read("3")
    scene.asked("3", 2)
    scene.stored("2")  # Of the acknowledgements only that of replica 1 counts.
    scene.late(before, 11, 3)
    scene.told("2", 2, expects="committed 6")
    return scene.run


def answer_of_old_incarnation() -> Recorder:
    scene = Scene(
        "quorum_answers_and_incarnations",
        "An answer of an earlier life chooses no holder: a read writes back where it counted on one that "
        "lost its disk (QUORUM.R6, QUORUM.R14).",
        setting(5, 3, 3),
    )
    scene.reaches("1", "5", 1, 2, 3)
    scene.read("2", "query>1,2,3,4,5")
    scene.queried("2", 1, 2)
    scene.answered("2", 1, 2)
    scene.lose_disk(1, setting(5, 3, 3), [[1, 2], [2, 1], [3, 1], [4, 1], [5, 1]], "exchange>2,3,4,5")
    scene.hands("exchange", 1, 3, "exchanged>1")
    scene.asked("2", 3, expects="write>1,4,5")  # Three held it, one of them no more.
    scene.told("2", 4, expects="value 5")
    return scene.run


def overtaken_acknowledgement() -> Recorder:
    scene = Scene(
        "quorum_acknowledgement_overtaken",
        "Of two acknowledgements of one replica the one of its later life is kept, whichever comes last "
        "(QUORUM.R14).",
    )
    scene.put("1", SENDS, reserved="5")
    scene.written("1", 3)
    before = scene.kept(3, 11, "acknowledgement", "1")
    scene.lose_disk(3, MAJORITY, [[1, 1], [2, 1], [3, 2]], "exchange>1,2")
    scene.told("1", 3)
    scene.late(before, 11, 3)
    scene.stored("1")
    scene.told("1", 1, expects="committed 5")
    return scene.run


def memory_of_others() -> Recorder:
    scene = Scene(
        "quorum_who_began_anew",
        "Who began anew is told by exchanges, by their answers and by the catalog, and named in every answer "
        "(QUORUM.R14).",
        setting(5, 3, 3),
    )
    five = setting(5, 3, 3)
    scene.lose_disk(1, five, [[1, 2], [2, 1], [3, 1], [4, 1], [5, 1]], "exchange>2,3,4,5")
    scene.hands("exchange", 1, 2, "exchanged>1")
    scene.lose_disk(3, five, [[1, 2], [2, 1], [3, 2], [4, 1], [5, 1]], "exchange>1,2,4,5")
    scene.hands("exchange", 3, 4, "exchanged>3")
    scene.exchanged(1, 4)  # Replica 4 passes on that 3 began anew.
    scene.hands("exchange", 3, 1, "nothing")  # It recovers and does not answer, but remembers.
    scene.read("1", "query>1,2,3,4,5")
    scene.queried("1", 2, 4)
    scene.answered("1", 2, 4)
    scene.takes(2, {"event": "crash"})
    scene.start(2)
    scene.queried("1", 2)
    return scene.run


def bad_requests() -> Recorder:
    scene = Scene(
        "quorum_bad_requests",
        "Requests and answers that are malformed or impossible are errors, and change nothing (QUORUM.R9).",
    )
    read: Json = {"event": "read", "operation": "1", "row": ROW, "token": "0"}
    put: Json = {**read, "event": "put", "value": "76", "reserved": "0"}
    big = "1" + "0" * 32
    for event in (
        {},
        {"event": "write"},
        {"event": 1},
        {"event": "ask"},  # A replica's.
        {"event": "start"},
        {**read, "surplus": 1},
        _without(read, "row"),
        _without(put, "value"),
        {**read, "operation": 1},
        {**read, "operation": "-1"},
        {**read, "operation": "A"},
        {**read, "operation": "01"},
        {**read, "operation": big},
        {**read, "row": "8" + "0" * 15},
        {**read, "row": ""},
        {**read, "token": big},
        {**read, "token": None},
        {**put, "value": "7"},
        {**put, "value": "xy"},
        {**put, "value": 7},
        {**put, "reserved": big},
        {**put, "token": "-5"},
        {"event": "look_up", "operation": "1", "row": ROW, "version": "0"},
        {"event": "look_up", "operation": "1", "row": ROW, "version": big},
        {"event": "adopt", "setting": setting()},
        {"event": "adopt", "setting": setting(3, 1, 1, epoch=1)},
        {"event": "adopt", "setting": {**setting(epoch=1), "write_quorum": 4}},
        {"event": "adopt", "setting": {**setting(epoch=1), "mode": "strong"}},
    ):
        scene.takes(11, event, "error")
    scene.put("1")
    scene.takes(11, read, "error")  # The number is taken.
    scene.takes(11, {"event": "stamped", "operation": "9", "version": "5"})  # Nobody's, or long over.
    scene.takes(11, {"event": "stamp_refused", "operation": "1", "reason": "x"})  # It did not ask yet.
    scene.takes(11, {"event": "stamped", "operation": "1", "version": "5"})
    scene.asked("1", 1, 2, expects="stamp 0")
    scene.takes(11, {"event": "stamped", "operation": "1", "version": "0"}, "error")
    scene.takes(11, {"event": "stamped", "operation": "1", "version": big}, "error")
    scene.takes(11, {"event": "stamp_refused", "operation": "1", "reason": 5}, "error")
    intent: Json = {"row": ROW, "held": held("5", "76"), "targets": [1, 2, 3]}
    stored: Json = {"event": "intent_stored", "operation": "1", "intent": intent}
    scene.takes(11, stored, "error")  # It is not storing one yet.
    scene.stamped("1", "5")
    scene.takes(11, {**stored, "intent": {**intent, "row": "8"}}, "error")
    scene.takes(11, {**stored, "intent": {**intent, "held": held("6", "76")}}, "error")
    scene.takes(11, {**stored, "intent": {**intent, "targets": 3}}, "error")
    scene.takes(11, {**stored, "intent": _without(intent, "held")}, "error")
    scene.takes(11, stored)
    scene.takes(11, stored, "error")  # Twice.
    for message in (
        None,
        {},
        _query("1"),
        {"message": "answer", "operation": "1", "held": held("5", "76")},
        {"message": "answer", "operation": "1", "held": {"version": "5"}, "incarnations": []},
        {"message": "acknowledgement", "operation": "1", "version": 5, "incarnations": []},
        {"message": "acknowledgement", "operation": "1", "version": "5", "incarnations": [[1]]},
        {"message": "acknowledgement", "operation": "1", "version": "5", "incarnations": [[1, 1], [1, 2]]},
        {"message": "acknowledgement", "operation": "1", "version": "5", "incarnations": [[1, -1]]},
        {"message": "old_epoch", "operation": "1", "epoch": "1"},
    ):
        scene.takes(11, {"event": "deliver", "sender": 1, "message": message}, "error")
    scene.told("1", 1)
    scene.takes(11, {"event": "deliver", "message": _acknowledgement("1")}, "error")  # Of whom?
    scene.takes(11, {"event": "deliver", "sender": "2", "message": _acknowledgement("1")}, "error")
    scene.told("1", 2, expects="committed 5")
    return scene.run


def bad_messages() -> Recorder:
    scene = Scene(
        "quorum_bad_messages",
        "What a replica is sent and cannot read is an error, and changes nothing (QUORUM.R1, QUORUM.R13).",
    )
    write: Json = {"message": "write", "operation": "1", "epoch": 0, "row": ROW, "held": held("5", "76")}
    exchange: Json = {"message": "exchange", "epoch": 0, "incarnations": [[2, 2]]}
    told: Json = {**exchange, "message": "exchanged", "incarnation": 1, "rows": []}
    for message in (
        None,
        {},
        {"message": "undo"},
        _acknowledgement("1"),
        {"message": "old_epoch", "operation": "1", "epoch": 0},
        {**write, "row": "8" + "0" * 15},
        {**write, "row": 7},
        {**write, "epoch": -1},
        {**write, "held": None},
        {**write, "held": held("g", "76")},
        {**write, "held": held("5", "767")},
        {**write, "surplus": 0},
        _without(write, "epoch"),
        {**exchange, "incarnations": None},
        exchange,  # From whom?
        told,
        {**told, "rows": [["7"]]},
    ):
        scene.takes(1, {"event": "deliver", "message": message}, "error")
    scene.takes(1, {"event": "deliver", "message": exchange, "sender": 2}, "exchanged>2")
    scene.takes(1, {"event": "deliver", "message": told, "sender": 2})  # It recovers from nothing.
    scene.takes(1, {"event": "read", "operation": "1", "row": ROW}, "error")  # A coordinator's.
    empty: Json = {"event": "start_empty", "setting": MAJORITY, "incarnations": [[1, 2], [2, 2], [3, 1]]}
    scene.takes(1, empty, "error")  # It is up.
    scene.crash(1)
    scene.takes(1, {"event": "deliver", "message": write}, "error")
    scene.takes(1, {**empty, "incarnations": [[1, 1], [2, 2]]}, "error")  # Not raised.
    scene.takes(1, {**empty, "incarnations": [[2, 2]]}, "error")  # Not named.
    scene.takes(1, {**empty, "setting": setting([2, 3, 4])}, "error")  # None of them.
    scene.takes(1, {**empty, "setting": setting(3, 1, 2)}, "error")  # No setting.
    scene.takes(1, _without(empty, "incarnations"), "error")
    scene.takes(1, {**empty, "epoch": -1}, "error")
    scene.takes(1, empty, "exchange>2,3")
    scene.takes(1, empty, "error")
    return scene.run


def _query(number: str) -> Json:
    return {"message": "query", "operation": number, "epoch": 0, "row": ROW}


def _acknowledgement(number: str) -> Json:
    return {"message": "acknowledgement", "operation": number, "version": "5", "incarnations": [[1, 1]]}


def _without(value: Json, key: str) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name != key}


SCENARIOS = (
    doubled,
    coordinator_crash,
    replica_crash,
    recovery,
    recovery_and_crash,
    two_lost_disks,
    recovery_from_one,
    no_recovery,
    strangers,
    old_incarnation,
    answer_of_old_incarnation,
    overtaken_acknowledgement,
    memory_of_others,
    bad_requests,
    bad_messages,
)
