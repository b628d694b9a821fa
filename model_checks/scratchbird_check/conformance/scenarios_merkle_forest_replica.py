"""Scenarios of one replica's forest: what it shows of the rows that it holds, step by step."""

from __future__ import annotations

from scratchbird_check.conformance.merkle_forest_scene import ALL_OF_IT, SMALL, Scene, at, number_of
from scratchbird_check.conformance.quorum_machine import MAJORITY
from scratchbird_check.conformance.quorum_scene import held
from scratchbird_check.conformance.recorder import Recorder


def shown() -> Recorder:
    scene = Scene(
        "shown",
        "What is at or below the stable time is shown, and of a row that is held in a newer version an older "
        "one; the stable time only rises (MERKLE_FOREST.R1, MERKLE_FOREST.R2).",
    )
    scene.writes(7, at(5), 1)
    scene.shows(1)
    scene.advances(4, 1)
    scene.shows(1)
    scene.advances(5, 1)
    scene.shows(1, r7=at(5))
    scene.writes(7, at(8), 1)
    scene.shows(1, r7=at(5))
    scene.writes(7, at(6), 1)  # Older than what is held: it changes nothing.
    scene.writes(9, at(3), 1)  # Late, and shown at once.
    scene.shows(1, r7=at(5), r9=at(3))
    scene.advances(7, 1)
    scene.shows(1, r7=at(5), r9=at(3))
    scene.advances(9, 1)
    scene.shows(1, r7=at(8), r9=at(3))
    scene.advances(2, 1)
    scene.writes(7, at(9), 1, value=None)
    scene.writes(7, at(9, 1), 1)
    scene.shows(1, r7=at(9), r9=at(3))
    scene.writes(8, at(9_000_000), 1)  # From the far future: it opens no window.
    scene.shows(1, r7=at(9), r9=at(3))
    scene.at(1, "advance", "error", stable="0")
    scene.at(1, "advance", "error", stable=9)
    scene.at(1, "advance", "error")
    return scene.run


def superseded() -> Recorder:
    scene = Scene(
        "superseded",
        "When a row's entry changes it leaves its old window and enters the new one in one step, and both "
        "are dirty until they are hashed anew (MERKLE_FOREST.R3, MERKLE_FOREST.R10).",
    )
    scene.advances(50, 1)
    for row in (1, 2, 3, 4):
        scene.writes(row, at(5, row), 1)
    scene.cleans(1)
    scene.writes(1, at(25), 1)
    scene.expects(scene.forest(1)["dirty"], [0, 2])
    scene.at(1, "rehash", window=2)
    scene.at(1, "rehash", window=2)
    scene.at(1, "rehash", window=77)
    scene.at(1, "rehash", window=0)
    scene.writes(1, at(35), 1, value=None)
    scene.cleans(1)
    scene.expects([window for window, _ in scene.forest(1)["told"]], [0, 3])
    for row in (2, 3, 4):
        scene.writes(row, at(5, row), 1)  # Once more: nothing changes.
    scene.expects(scene.forest(1)["dirty"], [])
    scene.writes(2, at(36), 1)
    scene.writes(2, at(37), 1)
    scene.cleans(1)
    scene.at(1, "rehash", "error", window=-1)
    return scene.run


def sealed() -> Recorder:
    scene = Scene(
        "sealed",
        "A sealed window takes a late row, a row that leaves it and a delete, each as an amendment that is "
        "counted; one that is not sealed counts none (MERKLE_FOREST.R9).",
    )
    scene.advances(14, 1)
    for row in (1, 2):
        scene.writes(row, at(5, row), 1)
    scene.cleans(1)
    scene.expects(scene.forest(1)["amendments"], [])
    scene.advances(15, 1)
    scene.expects(scene.forest(1)["amendments"], [])
    scene.writes(3, at(6), 1)
    scene.expects(scene.forest(1)["amendments"], [[0, 1]])
    scene.writes(1, at(12), 1)  # It leaves, to a window that is not sealed.
    scene.writes(3, at(7), 1, value=None)  # It stays in its window.
    scene.writes(3, at(7), 1, value=None)  # Nothing changes.
    scene.writes(2, at(16), 1)  # Above the stable time: the old one stays.
    scene.expects(scene.forest(1)["amendments"], [[0, 3]])
    scene.cleans(1)
    scene.advances(16, 1)
    scene.expects(scene.forest(1)["amendments"], [[0, 4]])
    scene.cleans(1)
    scene.settles(12, 1)  # The tombstone is taken out.
    scene.expects(scene.forest(1)["amendments"], [[0, 5]])
    scene.cleans(1)
    return scene.run


def floors() -> Recorder:
    scene = Scene(
        "floors",
        "Who settles takes out, in that step, the tombstones at or below the floor and the entries there "
        "whose row it holds newer; nothing that was purged is shown again (MERKLE_FOREST.R8).",
    )
    scene.advances(30, 1)
    scene.writes(1, at(3), 1, value=None)
    scene.writes(2, at(4), 1)
    scene.writes(2, at(40), 1)
    scene.writes(3, at(5), 1)
    scene.writes(4, at(20), 1, value=None)
    scene.writes(5, at(10), 1, value=None)
    scene.shows(1, r1=at(3), r2=at(4), r3=at(5), r4=at(20), r5=at(10))
    scene.cleans(1)
    scene.at(1, "purge")  # It has not settled: nothing may go.
    scene.settles(10, 1)
    scene.shows(1, r3=at(5), r4=at(20))
    scene.cleans(1)
    scene.at(1, "purge")
    scene.writes(6, at(9), 1, expects="below floor")
    scene.writes(1, at(12), 1)
    scene.advances(45, 1)
    scene.shows(1, r1=at(12), r2=at(40), r3=at(5), r4=at(20))
    scene.settles(25, 1)
    merged = [[f"{number_of(4):x}", held(at(20), None)], [f"{number_of(8):x}", held(at(24), "76")]]
    scene.at(1, "merge", rows=merged)
    scene.shows(1, r1=at(12), r2=at(40), r3=at(5))
    scene.writes(4, at(26), 1, value=None)
    scene.shows(1, r1=at(12), r2=at(40), r3=at(5), r4=at(26))
    return scene.run


def crashes() -> Recorder:
    scene = Scene(
        "crashes",
        "That a window is dirty is durable in the step that changed its rows: after a crash it is hashed "
        "anew before it is told (MERKLE_FOREST.R10).",
    )
    scene.advances(30, 1)
    scene.writes(1, at(3), 1)
    scene.writes(2, at(13), 1)
    scene.at(1, "rehash", window=0)
    scene.writes(3, at(4), 1)
    scene.at(1, "crash")
    scene.at(1, "begin", "error", exchange="1", other=2)
    scene.expects(scene.forest(1)["dirty"], [0, 1])
    scene.at(1, "start")
    scene.cleans(1)
    scene.writes(4, at(33), 1)
    scene.at(1, "crash")
    scene.at(1, "start")
    scene.advances(34, 1)
    scene.shows(1, r1=at(3), r2=at(13), r3=at(4), r4=at(33))
    return scene.run


def lost_disk() -> Recorder:
    scene = Scene(
        "lost_disk",
        "A forest goes with the disk, and its replica begins an empty one under the same setting; what it "
        "recovers is shown as far as its stable time has come (MERKLE_FOREST.R1).",
    )
    scene.advances(30, 1)
    scene.writes(1, at(3), 1)
    scene.writes(2, at(33), 1)
    scene.at(1, "crash")
    scene.at(
        1,
        "lost_disk",
        "exchange>2,3",
        setting=MAJORITY,
        incarnations=[[1, 2], [2, 1], [3, 1]],
        proposed="0",
        epoch=0,
    )
    scene.shows(1)
    for sender in (2, 3):
        recovered = {"message": "recovered_past", "epoch": 0, "incarnation": 2, "settled": "0"}
        rows = [[f"{number_of(row):x}", held(at(ms), "76")] for row, ms in ((1, 3), (2, 33))]
        message = {**recovered, "rows": rows, "incarnations": [[1, 2], [2, 1], [3, 1]]}
        scene.at(1, "deliver", sender=sender, message=message)
    scene.shows(1)
    scene.advances(20, 1)
    scene.shows(1, r1=at(3))
    return scene.run


def met() -> Recorder:
    scene = Scene(
        "met",
        "Who meets an entry takes its row if that is newer than what is held; who holds a newer one already "
        "takes over the entry alone, unless it is at or below the floor (MERKLE_FOREST.R14).",
    )
    five, six, seven, old = (scene.entry(7, at(ms)) for ms in (5, 6, 7, 2))
    scene.advances(9, 1)
    scene.opens(1, 1)
    scene.meets(1, five, held(at(5), "76"), 1)
    scene.shows(1, r7=at(5))
    scene.meets(1, six, None, 1)  # Without the row: nothing newer is held here.
    scene.shows(1, r7=at(5))
    scene.writes(7, at(20), 1)
    scene.meets(1, six, None, 1)
    scene.shows(1, r7=at(6))
    scene.meets(1, five, None, 1)
    scene.meets(1, five, held(at(5), "76"), 1)
    scene.shows(1, r7=at(6))
    other, nine = scene.entry(8, at(4)), scene.entry(9, at(4), None)
    scene.meets(1, other, held(at(15), "6e"), 1)  # Overwritten since it was shown.
    scene.meets(1, nine, None, 1)  # Purged since.
    scene.shows(1, r7=at(6), r8=at(4))
    scene.meets(1, nine, held(at(4), None), 1)
    scene.shows(1, r7=at(6), r8=at(4), r9=at(4))
    scene.settles(6, 1)
    scene.shows(1)
    scene.meets(1, old, None, 1, "reply refused")
    scene.opens(1, 2)
    scene.meets(1, six, held(at(6), "76"), 2)
    scene.meets(1, old, None, 2)
    scene.shows(1)
    scene.meets(1, seven, held(at(7), "76"), 2)
    scene.shows(1, r7=at(7))
    scene.meets(1, {**seven, "digest": "00"}, None, 2, "error")
    scene.meets(1, {"row": "7", "version": at(7)}, None, 2, "error")
    scene.meets(1, seven, None, 3, "reply refused")
    return scene.run


def two_values() -> Recorder:
    scene = Scene(
        "two_values",
        "Two values of one version are a fault that is seen: whichever replica meets the other one ends with "
        "the same of the two (MERKLE_FOREST.R14).",
    )
    scene.advances(9, 1, 2)
    scene.writes(7, at(5), 1, value="61")
    scene.writes(7, at(5), 2, value="62")
    scene.exchanges(1, 2, ALL_OF_IT, "succeeded, 2 moved")
    scene.same(1, 2)
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved", 2)
    return scene.run


def reshaped() -> Recorder:
    scene = Scene(
        "reshaped",
        "A forest is built anew in a later setting, of the same entries: all windows are dirty, and "
        "amendments are counted from 0; a setting never comes back (MERKLE_FOREST.R7).",
    )
    scene.advances(99, 1)
    for row in range(1, 6):
        scene.writes(row, at(10 * row), 1)
    scene.cleans(1)
    scene.at(1, "reshape", "error", shape=SMALL)
    scene.at(1, "reshape", shape={**SMALL, "number": 1, "window_ms": 20})
    scene.expects(scene.forest(1)["dirty"], [0, 1, 2])
    scene.cleans(1)
    scene.writes(1, at(11), 1)
    scene.at(1, "reshape", "error", shape={"number": 1})
    scene.at(1, "reshape", "error", shape={"number": 2, "window_ms": 0})
    scene.at(1, "reshape", shape={"number": 7, "window_ms": 1, "most_in_leaf": 1})
    scene.cleans(1)
    return scene.run


SCENARIOS = (shown, superseded, sealed, floors, crashes, lost_disk, met, two_values, reshaped)
