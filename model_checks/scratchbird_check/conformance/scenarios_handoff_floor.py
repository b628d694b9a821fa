"""Scenarios of deletes that stay deleted: floors from proposal to purge, lost disks, late messages."""

from __future__ import annotations

from scratchbird_check.conformance.handoff_scene import REPLICAS, F, Scene
from scratchbird_check.conformance.quorum_machine import MAJORITY
from scratchbird_check.conformance.quorum_scene import ROW, held
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json


def rows(version: str, value: str | None) -> list[list[object]]:
    return [[ROW, held(version, value)]]


def tombstones() -> Recorder:
    scene = Scene(
        "tombstones",
        "A delete is a version without a value; of a value and a tombstone with one version the tombstone "
        "wins, however it comes (HANDOFF.R8).",
    )
    scene.writes("5", 1, 2, 3)
    scene.writes("6", 1, value=None)
    scene.writes("5", 1)
    scene.writes("6", 1, value="77")
    scene.reads("6 deleted", 1)
    scene.at(2, "merge", rows=rows("6", None))
    scene.at(2, "merge", rows=rows("6", "77"))
    scene.at(3, "merge", rows=rows("6", "77"))
    scene.reads("6=77", 3)
    scene.at(3, "merge", rows=rows("6", None))
    scene.reads("6 deleted", 2, 3)
    scene.at(3, "purge")  # No floor: nothing goes.
    return scene.run


def closing() -> Recorder:
    scene = Scene(
        "closing",
        "A replica that has closed a floor takes nothing at or below it that it does not hold, and says so; "
        "what is newer it takes as before (HANDOFF.R9).",
    )
    scene.writes("5", 1)
    scene.catalog("propose_floor", "propose a>1,2,3", floor=F)
    scene.closes(1, 2)
    scene.closes(1)  # Told again, it says so again.
    scene.writes("5", 1)
    scene.writes("4", 1)
    scene.writes("6", 1, expects="below floor")
    scene.writes("5", 2, expects="below floor")
    scene.writes("a", 2, value=None, expects="below floor")
    scene.writes("6", 3)
    scene.writes("b", 1, 2)
    scene.at(1, "crash")
    scene.at(1, "start")
    scene.writes("c", 1)
    scene.writes("7", 1)  # Below, and beaten by what it holds.
    scene.writes("7", 3)
    query = {"message": "query", "operation": "f", "epoch": 5, "row": ROW}
    scene.at(1, "deliver", "answer c=76", message=query)
    scene.at(1, "deliver", "old epoch", message={**query, "epoch": 4})
    write = {"message": "write", "operation": "f", "epoch": 4, "row": ROW, "held": held("6")}
    scene.at(1, "deliver", "old epoch", message=write)  # Of an older epoch first of all.
    return scene.run


def converging() -> Recorder:
    scene = Scene(
        "converging",
        "When all have closed a floor, each merges what every other one holds up to it, and converges when "
        "it has heard them all; one that has not closed tells nothing of its past (HANDOFF.R10).",
    )
    scene.writes("5", 1, 2)
    scene.writes("6", 2, value=None)
    scene.writes("7", 3)
    scene.catalog("propose_floor", "propose a>1,2,3", floor=F)
    scene.closes(1, 2)
    ask = {"message": "ask_past", "floor": F, "incarnation": 1}
    scene.at(3, "deliver", sender=1, message=ask)  # It has not closed.
    past = {"message": "past", "floor": F, "incarnation": 1, "rows": rows("7", "76")}
    scene.at(1, "deliver", sender=3, message=past)  # Merged, and not counted.
    scene.at(1, "deliver", sender=3, message={**past, "floor": "9"})
    scene.at(1, "deliver", sender=3, message={**past, "incarnation": 2})
    scene.closes(3, expects="all closed a>1,2,3")
    scene.told("all_closed", 1, expects="ask past>2,3")
    scene.hands(1, 2, "ask_past", "past>1")
    scene.hands(2, 1, "past")
    scene.hands(2, 1, "past")  # The same again is one.
    scene.told("all_closed", 1, expects="ask past>3")
    scene.at(1, "crash")
    scene.at(1, "start")
    scene.told("all_closed", 1, expects="ask past>2,3")  # What was merged was not remembered.
    scene.merges(1, 2, 3)
    scene.told("all_closed", 1, expects="converged a")
    scene.hands(3, 1, "past")
    scene.converges(2)
    scene.reads("7=76", 1, 2, 3)
    scene.at(2, "deliver", "error", sender=2, message=past)
    return scene.run


def whole_past() -> Recorder:
    scene = Scene(
        "whole_past",
        "What has taken the place of a version below the floor is told with the past (HANDOFF.R10).",
    )
    scene.writes("5", 1, 2, 3)
    scene.writes("6", 2, value=None)
    scene.all_close()
    scene.writes("b", 2)  # In the place of the tombstone.
    for replica in REPLICAS:
        scene.converges(replica, expects="all converged a>1,2,3" if replica == 3 else "nothing")
    scene.told("all_converged", *REPLICAS, expects="below a")
    scene.reads("b=76", 1, 2, 3)
    return scene.run


def settling() -> Recorder:
    scene = Scene(
        "settling",
        "When all have converged each may settle, and purges the tombstones at or below the floor; a row "
        "that is absent then answers as deleted at the floor, and nothing below comes back (HANDOFF.R11).",
    )
    scene.writes("5", *REPLICAS)
    scene.writes("6", 1, 2, value=None)
    scene.all_close()
    scene.converges(1)
    scene.converges(2)
    scene.at(1, "all_converged", "nothing", floor="9")  # Of an older floor.
    scene.at(1, "purge")
    scene.converges(3, expects="all converged a>1,2,3")
    scene.told("all_converged", *REPLICAS, expects="below a")
    scene.told("all_converged", 1, expects="nothing")
    scene.reads("6 deleted", 1)
    for replica in REPLICAS:
        scene.at(replica, "purge")
    scene.reads("a deleted", *REPLICAS)
    scene.writes("5", 1, expects="below floor")  # A late write, a hint, a write-back.
    scene.at(2, "merge", rows=rows("5", "76"))
    scene.reads("a deleted", 2)
    scene.writes("b", 3)
    scene.writes("c", 1, value=None)
    scene.at(1, "purge")  # Above the floor: it stays.
    scene.reads("c deleted", 1)
    return scene.run


def next_floor() -> Recorder:
    scene = Scene(
        "next_floor",
        "Floors rise: a new one is closed, converged and settled as the first, and what values hold stays "
        "(HANDOFF.R9, HANDOFF.R11).",
    )
    scene.writes("5", *REPLICAS)
    scene.all_settle()
    scene.at(1, "propose", "closed a", floor="9")  # Overtaken.
    scene.writes("c", 1, 3, value=None)
    scene.all_settle("f")
    for replica in REPLICAS:
        scene.at(replica, "purge")
    scene.reads("f deleted", *REPLICAS)
    return scene.run


def overtaken() -> Recorder:
    scene = Scene(
        "overtaken",
        "What is said of one floor does not count for another: of a past that is told, of who has closed and "
        "of who has converged (HANDOFF.R9, HANDOFF.R10, HANDOFF.R11).",
    )
    scene.writes("5", 1)
    scene.all_settle()
    scene.catalog("propose_floor", "propose f>1,2,3", floor="f")
    scene.closes(1, floor="f")
    scene.told("all_closed", 1, expects="nothing")  # That all have closed the old one.
    scene.at(1, "all_converged", floor=F)
    scene.hands(2, 1, "past")
    scene.hands(1, 2, "ask_past", "past>1")
    scene.catalog("closed", replica=2, floor=F)
    scene.catalog("converged", replica=2, floor=F, incarnation=1)
    scene.catalog("ask", "propose f>2 + all converged a>2", replica=2)
    scene.closes(2, floor="f")
    return scene.run


def floor_written_back() -> Recorder:
    scene = Scene(
        "floor_written_back",
        "Where a read finds that a row is deleted at the floor and writes that back, a replica that has "
        "converged and holds no value acknowledges it; one that holds a value does not (HANDOFF.R12).",
    )
    scene.all_close()
    scene.writes(F, 2, value=None, expects="below floor")  # It has not converged.
    scene.converges(1)
    scene.writes(F, 1, value="76", expects="below floor")
    scene.writes("9", 1, value=None, expects="below floor")
    scene.writes(F, 1, value=None)
    scene.reads("a deleted", 1)
    scene.converges(2)
    scene.converges(3, expects="all converged a>1,2,3")
    scene.told("all_converged", *REPLICAS, expects="below a")
    scene.at(1, "purge")
    scene.reads("a deleted", *REPLICAS)
    scene.writes(F, 3, value=None)
    return scene.run


def floor_beside_a_value() -> Recorder:
    scene = Scene(
        "floor_beside_a_value",
        "A value below the floor is held by all, and no write-back of the floor replaces it (HANDOFF.R12).",
    )
    scene.writes("5", 1)
    scene.all_settle()
    scene.writes(F, 1, 2, value=None, expects="below floor")
    scene.reads("5=76", *REPLICAS)
    return scene.run


def lost_disk() -> Recorder:
    scene = Scene(
        "lost_disk",
        "A replica that lost its disk starts closed at the highest floor that was proposed. Where not all "
        "had converged at it, that floor is void: nobody settles there, and a higher one begins anew "
        "(HANDOFF.R13).",
    )
    scene.writes("5", *REPLICAS)
    scene.writes("6", 1, 2, value=None)
    scene.all_close()
    scene.converges(3)
    scene.loses_disk(3, 2, F, "exchange>1,2 + closed a")
    scene.catalog("closed", replica=3, floor=F)
    scene.catalog("converged", replica=3, floor=F, incarnation=1)  # From before.
    scene.writes("5", 3, expects="below floor")
    scene.writes("b", 3)
    scene.at(3, "deliver", sender=1, message={"message": "ask_past", "floor": F, "incarnation": 1})
    scene.at(3, "all_closed", "ask past>1,2", floor=F)
    scene.hands(3, 1, "ask_past", "past>3")
    scene.hands(1, 3, "past")  # It has no vote yet.
    scene.hands(3, 1, "exchange", "recovered past>3")
    scene.hands(1, 3, "recovered_past")
    scene.hands(3, 2, "exchange", "recovered past>3")
    scene.hands(2, 3, "recovered_past")
    scene.hands(2, 3, "recovered_past")  # It has recovered: nothing more comes of it.
    scene.converges(1)
    scene.converges(2)
    scene.converges(3, incarnation=2)
    scene.catalog("ask", "propose a>1", replica=1)
    scene.all_close("f")
    scene.catalog("converged", replica=3, floor="f", incarnation=1)  # Of a life that is over.
    scene.converges(1, floor="f")
    scene.converges(2, floor="f")
    scene.converges(3, floor="f", incarnation=2, expects="all converged f>1,2,3")
    scene.told("all_converged", *REPLICAS, expects="below f")
    return scene.run


def lost_disk_of_a_settled() -> Recorder:
    scene = Scene(
        "lost_disk_of_a_settled",
        "With what it merges a replica that lost its disk learns that the others have settled, and settles "
        "as well: what is absent there is deleted (HANDOFF.R13).",
    )
    scene.writes("5", *REPLICAS)
    scene.writes("6", 1, 2, value=None)
    scene.all_settle()
    for replica in (1, 2):
        scene.at(replica, "purge")
    scene.loses_disk(3, 2, F, "exchange>1,2 + closed a")
    scene.hands(3, 1, "exchange", "recovered past>3")
    scene.hands(1, 3, "recovered_past")
    scene.at(3, "crash")
    scene.at(3, "start")
    scene.at(3, "ask", "exchange>1,2")
    for other in (1, 2):
        scene.hands(3, other, "exchange", "recovered past>3")
        scene.hands(other, 3, "recovered_past")
    scene.reads("a deleted", 3)
    scene.writes("5", 3, expects="below floor")
    scene.at(3, "ask")
    return scene.run


def waiting() -> Recorder:
    scene = Scene(
        "waiting",
        "A replica that is down holds the floor where it is, however long; the catalog says again what a "
        "replica has not heard (HANDOFF.R14).",
    )
    scene.catalog("ask", replica=1)
    scene.writes("5", 1, 2, value=None)
    scene.at(3, "crash")
    scene.catalog("propose_floor", "propose a>1,2,3", floor=F)
    scene.closes(1, 2)
    scene.catalog("propose_floor", "error", floor="f")  # Not all have converged at the first.
    scene.at(3, "start")
    scene.catalog("ask", "propose a>3", replica=3)
    scene.closes(3, expects="all closed a>1,2,3")
    scene.catalog("closed", replica=3, floor=F)
    scene.catalog("ask", "propose a>2 + all closed a>2", replica=2)
    for replica in REPLICAS:
        scene.converges(replica, expects="all converged a>1,2,3" if replica == 3 else "nothing")
    scene.catalog("converged", replica=3, floor=F, incarnation=1)
    scene.catalog("ask", "propose a>1 + all closed a>1 + all converged a>1", replica=1)
    scene.catalog("propose_floor", "error", floor=F)
    scene.catalog("propose_floor", "propose f>1,2,3", floor="f")
    scene.catalog("ask", "propose f>1 + all converged a>1", replica=1)
    return scene.run


def floor_mistakes() -> Recorder:
    scene = Scene(
        "floor_mistakes",
        "What can not be is an error, and changes nothing (HANDOFF.R9, HANDOFF.R13).",
    )
    start: Json = {"setting": MAJORITY, "incarnations": [[1, 2]], "epoch": 0}
    scene.catalog("propose_floor", "error", floor="0")
    scene.catalog("closed", "error", replica=4, floor=F)
    scene.catalog("lost_disk", "error", replica=1, incarnation=1)
    scene.catalog("purge", "error")
    scene.at(1, "propose", "closed a", floor=F)
    scene.at(1, "propose", "error", floor="0")
    scene.at(1, "all_closed", "error", floor="0")
    scene.at(1, "all_converged", "error", floor="0")
    scene.at(1, "start_empty", "error", **start)
    scene.at(1, "lost_disk", "error", **start, proposed=F)  # It is up.
    past = {"message": "past", "floor": F, "incarnation": 1, "rows": []}
    scene.at(1, "deliver", "error", message=past)
    exchanged = {"message": "exchanged", "epoch": 0, "incarnation": 1, "rows": [], "incarnations": []}
    scene.at(1, "deliver", "error", sender=2, message=exchanged)
    scene.at(
        1, "deliver", "error", sender=2, message={"message": "below_floor", "operation": "1", "closed": F}
    )
    scene.at(1, "crash")
    for event in ("purge", "ask", "crash"):
        scene.at(1, event, "error")
    scene.at(1, "lost_disk", "error", **start, proposed="9")  # Below what it had closed.
    scene.at(1, "lost_disk", "error", **{**start, "incarnations": [[1, 1]]}, proposed=F)
    scene.at(1, "propose", "error", floor=F)
    scene.at(1, "deliver", "error", sender=2, message=past)
    scene.at(1, "lost_disk", "exchange>2,3 + closed a", **start, proposed=F)
    return scene.run


SCENARIOS = (
    tombstones, closing, converging, whole_past, settling, next_floor, overtaken, floor_written_back,
    floor_beside_a_value, lost_disk, lost_disk_of_a_settled, waiting, floor_mistakes,
)  # fmt: skip
