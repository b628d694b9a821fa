"""Scenarios of quorums: each kind of operation, how it goes and how it ends, in both modes."""

from __future__ import annotations

from scratchbird_check.conformance.quorum_scene import ROW, Scene, held, setting
from scratchbird_check.conformance.recorder import Recorder

EVENTUAL = setting(3, 1, 1, "eventual")
ALL = "query>1,2,3"
SENDS = "intent + write>1,2,3"


def write() -> Recorder:
    scene = Scene(
        "quorum_write",
        "A write asks a read quorum, takes a version above, sends it to all, and is committed when a write "
        "quorum holds it and its intent is durable (QUORUM.R4, QUORUM.R5, QUORUM.R11).",
    )
    scene.commits("1", "5", 1, 2, value="61")
    scene.put("2")
    scene.asked("2", 1)
    scene.asked("2", 3, expects="stamp 5")  # Replica 3 was never told; replica 1 was.
    scene.asked("2", 2)  # Too late to raise what the version must be above.
    scene.stamped("2", "9", SENDS)
    scene.told("2", 3)
    scene.stored("2")
    scene.told("2", 1, expects="committed 9")
    scene.told("2", 2)  # The last acknowledgement cancels the rest of the intent.
    scene.acknowledged("1", 2)  # One of an older write, again: its operation is still open.
    scene.deadline("2")
    scene.deadline("1")
    scene.put("3")
    scene.asked("3", 2, 3, expects="stamp 9")
    return scene.run


def intent_first() -> Recorder:
    scene = Scene(
        "quorum_intent_first",
        "The intent may be durable before any acknowledgement, or after all of them; the reply waits for "
        "both (QUORUM.R11).",
    )
    scene.put("1")
    scene.asked("1", 1, 2, expects="stamp 0")
    scene.stamped("1", "5")
    scene.stored("1")
    scene.told("1", 1)
    scene.told("1", 2, expects="committed 5")
    scene.put("2")
    scene.asked("2", 2, 3, expects="stamp 5")
    scene.stamped("2", "6")
    scene.told("2", 1, 2, 3)
    scene.stored("2", "committed 6")  # All hold it: nothing is left of the intent.
    return scene.run


def read() -> Recorder:
    scene = Scene(
        "quorum_read",
        "A read replies when a write quorum is known to hold its winner: at once where it answered so, else "
        "after writing back (QUORUM.R3, QUORUM.R6).",
    )
    scene.read("1")
    scene.asked("1", 1)
    scene.asked("1", 1)  # The same answer again is one answer.
    scene.asked("1", 2, expects="value")  # Never written.
    scene.commits("2", "5", 1, 2)
    scene.read("3")
    scene.asked("3", 1, 2, expects="value 5")
    scene.read("4")
    scene.asked("4", 3, 1, expects="write>2,3")  # Replica 3 is behind, replica 2 silent.
    scene.told("4", 3, expects="value 5")
    scene.told("4", 2)
    scene.read("5")
    scene.asked("5", 2, 3, expects="value 5")
    for number in "12345":
        scene.deadline(number)
    return scene.run


def delete() -> Recorder:
    scene = Scene("quorum_delete", "A delete is a write without a value; it has a version (QUORUM.R1).")
    scene.commits("1", "5", 1, 2)
    scene.put("2", value=None)
    scene.asked("2", 1, 2, expects="stamp 5")
    scene.stamped("2", "6")
    scene.stored("2")
    scene.told("2", 1, 3, expects="committed 6")
    scene.read("3")
    scene.asked("3", 1, 3, expects="value 6")
    scene.read("4")
    scene.asked("4", 2, 3, expects="write>1,2")
    scene.told("4", 2, expects="value 6")
    return scene.run


def late_answers() -> Recorder:
    scene = Scene(
        "quorum_late_answers",
        "Who answers late with something old is sent what is newer, until the deadline; then what comes is "
        "ignored (QUORUM.R4, QUORUM.R12).",
        setting(5, 3, 3),
    )
    scene.commits("1", "5", 1, 2, 3)
    scene.read("2", "query>1,2,3,4,5")
    scene.queried("2", 4, 5)
    scene.asked("2", 1, 2, 3, expects="value 5")
    scene.answered("2", 4, expects="write>4")
    scene.told("2", 4)
    scene.read("3", "query>1,2,3,4,5")
    scene.queried("3", 5)
    scene.asked("3", 4, 1, 2, expects="value 5")
    scene.deadline("3")
    scene.answered("3", 5)
    scene.deadline("2")
    scene.answered("2", 5)
    scene.deadline("2")  # Known no more, and no error.
    return scene.run


def answers_while_writing_back() -> Recorder:
    scene = Scene(
        "quorum_answers_while_writing_back",
        "While a read writes back, late answers count as holders or are repaired; something newer than the "
        "winner counts, and does not become the winner (QUORUM.R4, QUORUM.R6).",
        setting(5, 4, 2),
    )
    scene.reaches("1", "5", 1)
    scene.read("2", "query>1,2,3,4,5")
    scene.asked("2", 1, 2, expects="write>2,3,4,5")
    scene.reaches("3", "6", 3, 4)
    scene.asked("2", 3, 4)  # Two that hold something newer.
    scene.asked("2", 5, expects="write>5")
    scene.told("2", 2, expects="value 5")
    scene.told("2", 5)
    return scene.run


def reserve() -> Recorder:
    scene = Scene(
        "quorum_reserve",
        "A reserved version is given to the client before any replica is told; the write under it may be "
        "repeated by anybody, and takes effect once (QUORUM.R9).",
        coordinators=(11, 12),
    )
    scene.commits("1", "5", 1, 2, value="61")
    scene.reserve("2")
    scene.asked("2", 2)
    scene.asked("2", 3, expects="stamp 5")
    scene.stamped("2", "8", "reserved 8")
    scene.stamped("2", "9", "nothing")  # It has one.
    scene.asked("2", 1)
    scene.put("3", SENDS, value="62", reserved="8")
    scene.stored("3")
    scene.told("3", 3)
    scene.put("4", SENDS, value="62", reserved="8", at=12)
    scene.told("4", 3)
    scene.stored("4")
    scene.told("4", 1, expects="committed 8")
    scene.told("3", 1, expects="committed 8")
    scene.put("5", SENDS, value="62", reserved="8")  # Once more at the first: there is one intent for both.
    scene.stored("5")
    scene.told("5", 2)
    scene.told("5", 1, expects="committed 8")
    scene.read("6")
    scene.asked("6", 1, 2, expects="value 8")
    scene.reserve("7")
    scene.asked("7", 1, 2, expects="stamp 8")
    scene.refused("7")
    scene.stamped("7", "9", "nothing")
    return scene.run


def superseded_reservation() -> Recorder:
    scene = Scene(
        "quorum_superseded_reservation",
        "If others wrote since the reservation, the write is committed and superseded at once (QUORUM.R9).",
    )
    scene.reserve("1")
    scene.asked("1", 1, 2, expects="stamp 0")
    scene.stamped("1", "4", "reserved 4")
    scene.commits("2", "5", 2, 3)
    scene.commits("3", "4", 1, 2, value="61")  # Replica 2 holds something newer: it acknowledges.
    scene.read("4")
    scene.asked("4", 1, 2, expects="write>1,3")
    scene.told("4", 1, expects="value 5")
    scene.look_up("5", "4")
    scene.asked("5", 1, 2, expects="superseded 5")
    return scene.run


def look_up() -> Recorder:
    scene = Scene(
        "quorum_look_up",
        "What became of a version: committed after it is written back, superseded, not at a quorum, or the "
        "look-up failed (QUORUM.R10).",
    )
    scene.reaches("1", "5", 1)
    scene.look_up("2", "5")
    scene.asked("2", 2, 3, expects="not at a quorum")
    scene.asked("2", 1)  # After the reply nothing changes.
    scene.look_up("3", "5")
    scene.asked("3", 1, 3, expects="write>2,3")
    scene.told("3", 3, expects="committed 5")
    scene.queried("3", 2)
    scene.answered("3", 2, expects="write>2")  # A late answer is repaired.
    scene.look_up("4", "5")
    scene.asked("4", 1, 3, expects="committed 5")  # Nothing has to be written back.
    scene.reaches("5", "6", 2)
    scene.look_up("6", "5")
    scene.asked("6", 1, 2, expects="write>1,3")  # Something newer, which is written back.
    scene.told("6", 1, expects="superseded 6")
    scene.look_up("7", "7")
    scene.asked("7", 1, 2, expects="not at a quorum 6")
    scene.look_up("8", "6")
    scene.asked("8", 1)
    scene.deadline("8", "failed")
    scene.look_up("9", "6")
    scene.asked("9", 1, 3, expects="write>2,3")
    scene.deadline("9", "failed")
    return scene.run


def outcomes() -> Recorder:
    scene = Scene(
        "quorum_outcomes",
        "Not applied where no replica was told, indeterminate where some were, failed for a read; an "
        "indeterminate write may take effect later, and nothing is taken back (QUORUM.R8).",
    )
    scene.put("1")
    scene.asked("1", 1)
    scene.deadline("1", "not applied")
    scene.answered("1", 1)
    scene.put("2")
    scene.asked("2", 1, 2, expects="stamp 0")
    scene.deadline("2", "not applied")
    scene.stamped("2", "4", "nothing")  # Nobody waits for it any more.
    scene.put("3")
    scene.asked("3", 1, 2, expects="stamp 0")
    scene.refused("3")
    scene.refused("3", "nothing")
    scene.deadline("3")
    scene.put("4")
    scene.asked("4", 1, 2, expects="stamp 0")
    scene.stamped("4", "5")
    scene.stored("4")
    scene.told("4", 3)
    scene.deadline("4", "indeterminate 5")
    scene.read("5")
    scene.asked("5", 1, 2, expects="value")
    scene.read("6")
    scene.asked("6", 1, 3, expects="write>1,2")  # It takes effect now.
    scene.told("6", 1, expects="value 5")
    scene.told("4", 2)  # The write itself arrives still, and cancels its part of the intent.
    scene.read("7")
    scene.asked("7", 1)
    scene.deadline("7", "failed")
    scene.reserve("8")
    scene.asked("8", 2)
    scene.deadline("8", "not applied")
    return scene.run


def indeterminate_without_intent() -> Recorder:
    scene = Scene(
        "quorum_deadline_before_intent",
        "An intent that becomes durable after the deadline is kept and names all targets; acknowledgements "
        "that come later cancel it (QUORUM.R8, QUORUM.R11, QUORUM.R12).",
    )
    scene.put("1", SENDS, reserved="5")
    scene.told("1", 1, 2)
    scene.deadline("1", "indeterminate 5")
    scene.stored("1")  # Who acknowledged is forgotten.
    scene.acknowledged("1", 2)
    scene.told("1", 3)
    scene.acknowledged("1", 1)
    scene.put("2", SENDS, reserved="6")
    scene.stored("2")
    scene.deadline("2", "indeterminate 6")
    scene.stored("2")  # Again: it is the same intent.
    return scene.run


def eventual() -> Recorder:
    scene = Scene(
        "quorum_eventual",
        "In an eventual table a write takes one round, and a read replies first and repairs afterwards "
        "(QUORUM.R2, QUORUM.R5, QUORUM.R6).",
        EVENTUAL,
    )
    scene.put("1", "stamp 0", value="61")
    scene.stamped("1", "5")
    scene.stored("1")
    scene.told("1", 1, expects="committed 5")
    scene.read("2")
    scene.asked("2", 2, expects="value")  # Quorums need not meet.
    scene.asked("2", 1)  # It holds more than the winner.
    scene.read("3")
    scene.queried("3", 3)
    scene.asked("3", 1, expects="value 5")
    scene.answered("3", 3, expects="write>3")
    scene.told("3", 3)
    scene.put("4", "stamp 0", value="62")  # The clock alone says what is newer.
    scene.stamped("4", "4")
    scene.stored("4")
    scene.told("4", 1, expects="committed 4")
    scene.read("5")
    scene.asked("5", 1, expects="value 5")
    return scene.run


def eventual_repairs() -> Recorder:
    scene = Scene(
        "quorum_eventual_repairs",
        "An eventual read that replies at R answers repairs those of them that are behind (QUORUM.R6).",
        setting(3, 1, 2, "eventual"),
    )
    scene.reaches("1", "5", 1)
    scene.read("2")
    scene.asked("2", 2, 1, expects="value 5 + write>2")
    scene.told("2", 2)
    scene.asked("2", 3, expects="write>3")
    return scene.run


def tokens() -> Recorder:
    scene = Scene(
        "quorum_tokens",
        "A token makes a read wait for an answer that is no older, and a write take a version above it "
        "(QUORUM.R7).",
        EVENTUAL,
    )
    scene.commits("1", "5", 1)
    scene.read("2", token="5")
    scene.asked("2", 2, 3)  # Not new enough.
    scene.asked("2", 1, expects="value 5 + write>2,3")
    scene.read("3", token="6")
    scene.asked("3", 1, 2, 3)
    scene.deadline("3", "failed")
    scene.put("4", "stamp 5", token="5")
    scene.stamped("4", "5", "error")  # Not above: the clock was not merged.
    scene.stamped("4", "6")
    scene.reserve("5", "stamp 6", token="6")
    scene.stamped("5", "7", "reserved 7")
    scene.put("6", "stamp ff", token="ff")
    scene.refused("6")
    return scene.run


def tokens_and_answers() -> Recorder:
    scene = Scene(
        "quorum_tokens_and_answers",
        "A write that asks first is above the highest answer and above the token (QUORUM.R5, QUORUM.R7).",
    )
    scene.commits("1", "5", 1, 2)
    scene.put("2", token="9")
    scene.asked("2", 1, 2, expects="stamp 9")
    scene.stamped("2", "9", "error")
    scene.stamped("2", "a")
    scene.put("3", token="3")
    scene.asked("3", 1, 3, expects="stamp 5")
    scene.stamped("3", "5", "error")
    scene.stamped("3", "6")
    scene.reserve("4", token="c")
    scene.asked("4", 1, 3, expects="stamp c")
    scene.stamped("4", "d", "reserved d")
    return scene.run


def order() -> Recorder:
    scene = Scene(
        "quorum_order",
        "A replica takes what is newer and keeps what it holds otherwise; it acknowledges in both cases. Of "
        "one version a delete wins, and the greater bytes (QUORUM.R1).",
    )
    for number, version, value in (
        ("1", "5", "62"),
        ("2", "6", "61"),  # Newer, with lesser bytes.
        ("3", "5", "63"),  # Older.
        ("4", "6", "61"),  # The same.
        ("5", "6", "60ff"),  # One version with another value: the lesser bytes,
        ("6", "6", "6100"),  # the greater ones (longer),
        ("7", "6", "62"),  # the greater ones,
        ("8", "6", ""),  # none,
        ("9", "6", None),  # and a delete.
        ("a", "6", "ff"),
        ("b", "10", ""),  # Hexadecimal: sixteen.
        ("c", "f", "ff"),
    ):
        scene.put(number, SENDS, value=value, reserved=version)
        scene.written(number, 1)
    scene.read("d")
    scene.asked("d", 2, 1, expects="write>2,3")
    return scene.run


def one_winner() -> Recorder:
    scene = Scene(
        "quorum_one_winner",
        "Should a version come with two values, coordinators choose and repair by the same order, and one "
        "intent keeps the winner (QUORUM.R1).",
    )
    scene.reaches("1", "5", 1, value="61")
    scene.reaches("2", "5", 2, 3, value="62")
    scene.stored("1")
    scene.stored("2")
    scene.read("3")
    scene.asked("3", 1, 2, expects="write>1,3")  # 62 wins; that replica 3 holds it is not known.
    scene.asked("3", 3, expects="value 5")
    scene.told("3", 1)
    scene.read("4")
    scene.asked("4", 1, 2, expects="value 5")
    scene.reaches("5", "5", 3, value="60")
    scene.stored("5")  # The lesser value does not take the winner's place in the intent.
    return scene.run


def one_replica() -> Recorder:
    scene = Scene("quorum_one_replica", "N = W = R = 1 is a register too (QUORUM.R3).", setting(1, 1, 1))
    scene.put("1", "query>1")
    scene.asked("1", 1, expects="stamp 0")
    scene.stamped("1", "5", "intent + write>1")
    scene.told("1", 1)
    scene.stored("1", "committed 5")
    scene.read("2", "query>1")
    scene.asked("2", 1, expects="value 5")
    return scene.run


def write_one_read_all() -> Recorder:
    scene = Scene(
        "quorum_write_one_read_all",
        "W = 1 and R = N: write quorums need not meet, for a write asks before it takes its version "
        "(QUORUM.R3, QUORUM.R5).",
        setting(3, 1, 3),
    )
    scene.commits("1", "5", 1)
    scene.put("2")
    scene.asked("2", 2, 3)
    scene.asked("2", 1, expects="stamp 5")
    scene.stamped("2", "6")
    scene.stored("2")
    scene.told("2", 3, expects="committed 6")
    scene.read("3")
    scene.asked("3", 1, 2, 3, expects="value 6 + write>1,2")
    return scene.run


def limits() -> Recorder:
    scene = Scene(
        "quorum_limits",
        "Versions, tokens and operations have 128 bits, rows 63; replica 0 and an empty value are as good as "
        "others (QUORUM.R1).",
        setting([1, 200, 255], 2, 2),
    )
    last = "f" * 32
    scene.commits("1", "18bcfe568008007801c00000000002a", 1, 200, value="")
    scene.put(last, "query>1,200,255", value="00" * 70, token="f" * 31)
    scene.asked(last, 1, 255, expects="stamp " + "f" * 31)
    scene.stamped(last, last, "intent + write>1,200,255")
    scene.told(last, 200, 255)
    scene.stored(last, f"committed {last}")
    row = "7" + "f" * 15
    query = {"message": "query", "operation": "3", "epoch": 0, "row": row}
    scene.takes(1, {"event": "deliver", "message": query}, "answer")
    write = {"message": "write", "operation": "3", "epoch": 0, "row": row, "held": held("5", "ff")}
    scene.takes(1, {"event": "deliver", "message": write}, "acknowledgement")
    scene.takes(1, {"event": "deliver", "message": {**write, "row": "0"}}, "acknowledgement")
    scene.takes(1, {"event": "deliver", "message": query}, "answer")
    return scene.run


def side_by_side() -> Recorder:
    scene = Scene(
        "quorum_operations_side_by_side",
        "Operations of one coordinator, also on one row, do not mix (QUORUM.R4).",
    )
    scene.put("1", value="61")
    scene.read("2")
    scene.put("3", value="62")
    scene.takes(11, {"event": "read", "operation": "4", "row": "8"}, ALL)
    scene.queried("1", 1, 2, 3)
    scene.queried("2", 1, 2, 3)
    scene.queried("3", 1, 2, 3)
    scene.answered("1", 1)
    scene.answered("3", 1)
    scene.answered("2", 3)
    scene.answered("1", 2, expects="stamp 0")
    scene.answered("3", 2, expects="stamp 0")
    scene.stamped("3", "5")
    scene.stamped("1", "6")
    scene.told("1", 1)
    scene.told("3", 1)
    scene.stored("3")
    scene.answered("2", 1, expects="value")
    scene.told("3", 2, expects="committed 5")
    scene.stored("1")
    scene.told("1", 3, expects="committed 6")
    scene.answered("2", 2)
    scene.takes(11, {"event": "read", "operation": "5", "row": ROW}, ALL)
    scene.takes(11, {"event": "deadline", "operation": "4"}, "failed")
    return scene.run


SCENARIOS = (
    write,
    intent_first,
    read,
    delete,
    late_answers,
    answers_while_writing_back,
    reserve,
    superseded_reservation,
    look_up,
    outcomes,
    indeterminate_without_intent,
    eventual,
    eventual_repairs,
    tokens,
    tokens_and_answers,
    order,
    one_winner,
    one_replica,
    write_one_read_all,
    limits,
    side_by_side,
)
