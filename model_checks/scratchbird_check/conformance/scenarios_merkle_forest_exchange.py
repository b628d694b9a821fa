"""Scenarios of exchanges: two replicas find out what they do not share, message by message, and share it."""

from __future__ import annotations

from scratchbird_check.conformance.merkle_forest_scene import ALL_OF_IT, ROWS, Scene, at
from scratchbird_check.conformance.recorder import Recorder


def equal() -> Recorder:
    scene = Scene(
        "equal",
        "Two equal forests tell each other their windows and no more; windows differ in number and not in "
        "what is sealed, which is never compared (MERKLE_FOREST.R11, MERKLE_FOREST.R13, MERKLE_FOREST.R18).",
    )
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved")
    for row in range(5):
        scene.writes(row, at(1 + 9 * row), 1, 2)
    scene.advances(50, 2)
    scene.advances(18, 1)
    scene.cleans(1)
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved", 2)
    scene.same(1, 2)
    scene.exchanges(2, 1, "ask_windows", "succeeded, 0 moved", 3)
    return scene.run


def agreement() -> Recorder:
    scene = Scene(
        "agreement",
        "Both sides take over the greater stable time before they show anything, and hash what is dirty "
        "before they tell it (MERKLE_FOREST.R10, MERKLE_FOREST.R12).",
    )
    scene.writes(1, at(5), 1, 2)
    scene.writes(2, at(15), 1, 2)
    scene.advances(20, 1)
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved")  # The other one had shown nothing.
    scene.writes(3, at(25), 1, 2)
    scene.writes(4, at(6), 1, 2)
    scene.advances(40, 2)
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved", 2)
    scene.same(1, 2)
    return scene.run


def one_sided_windows() -> Recorder:
    scene = Scene(
        "one_sided_windows",
        "A window that one side alone has, sealed or active, is a difference as any other, and its rows go "
        "to the other side (MERKLE_FOREST.R13).",
    )
    scene.advances(100, 1)
    scene.writes(1, at(3), 1)
    scene.writes(2, at(99), 1)
    scene.writes(3, at(55), 2)
    scene.writes(4, at(96), 2, value=None)
    scene.exchanges(1, 2, ALL_OF_IT, "succeeded, 4 moved")
    scene.same(1, 2)
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved", 2)
    scene.writes(5, at(20), 1)
    scene.exchanges(1, 2, "ask_windows ask_nodes give", "succeeded, 1 moved", 3)
    scene.writes(6, at(21), 1)
    scene.exchanges(2, 1, "ask_windows ask_nodes ask_rows", "succeeded, 1 moved", 4)
    scene.same(1, 2)
    return scene.run


def active_windows() -> Recorder:
    scene = Scene(
        "active_windows",
        "Of a window that is not sealed every row is compared up to the stable time, and none is left out "
        "(MERKLE_FOREST.R13, MERKLE_FOREST.R17).",
    )
    scene.advances(27, 1, 2)
    for row in range(6):
        scene.writes(row, at(25, row), 1 + row % 2)
    scene.writes(6, at(28), 1)  # Above the stable time: it waits.
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_nodes ask_rows give", "succeeded, 6 moved")
    scene.expects([entry["row"] for entry in scene.forest(2)["entries"]], [f"{row:x}" for row in ROWS[:6]])
    scene.exchanges(2, 1, "ask_windows", "succeeded, 0 moved", 2)
    return scene.run


def both_ways() -> Recorder:
    scene = Scene(
        "both_ways",
        "Below a window that differs only nodes that differ are asked for; of a leaf's rows each side is "
        "sent what it lacks, and the newer of two versions (MERKLE_FOREST.R13, MERKLE_FOREST.R14, "
        "MERKLE_FOREST.R17).",
    )
    scene.advances(30, 1, 2)
    for row in range(12):
        scene.writes(row, at(5, row), *((1, 2) if row % 4 else (row % 8 // 4 + 1,)))
    scene.writes(1, at(6), 1)
    scene.writes(2, at(6), 2, value=None)
    scene.writes(3, at(7), 1, value="61")
    scene.writes(3, at(8), 2, value="62")
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_nodes ask_rows give", "succeeded, 6 moved")
    scene.same(1, 2)
    scene.exchanges(2, 1, "ask_windows", "succeeded, 0 moved", 2)
    return scene.run


def two_windows() -> Recorder:
    scene = Scene(
        "two_windows",
        "A row whose two entries are in two windows goes one way: all that differs is found before a row is "
        "sent (MERKLE_FOREST.R14).",
    )
    scene.advances(100, 1)
    for row in (1, 2, 3):
        scene.writes(row, at(5), 1, 2)
        scene.writes(row, at(50 + row), 2)
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_nodes ask_rows", "succeeded, 3 moved")
    scene.same(1, 2)
    scene.writes(1, at(80), 1)
    scene.writes(4, at(2), 2)
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_nodes ask_rows give", "succeeded, 2 moved", 2)
    scene.same(1, 2)
    return scene.run


def under_way() -> Recorder:
    scene = Scene(
        "under_way",
        "A write above the stable time is no difference; who holds a newer version takes over the entry that "
        "it lacks, and is not sent the row (MERKLE_FOREST.R1, MERKLE_FOREST.R14).",
    )
    scene.advances(50, 1, 2)
    scene.writes(1, at(5), 1, 2)
    scene.writes(1, at(60), 1)  # It has not reached the other side yet.
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved")
    for row, ms, replica in ((2, 7, 1), (3, 8, 2)):
        scene.writes(row, at(ms), replica)
        scene.writes(row, at(60, row), 1, 2)
    scene.shows(1, r1=at(5), r2=at(7))
    scene.shows(2, r1=at(5), r3=at(8))
    scene.exchanges(1, 2, "ask_windows ask_nodes give", "succeeded, 1 moved", 2)
    scene.shows(1, r1=at(5), r2=at(7), r3=at(8))
    scene.shows(2, r1=at(5), r2=at(7), r3=at(8))
    scene.writes(4, at(9), 1)
    for row in (4, 5):
        scene.writes(row, at(6, row), 2)
        scene.writes(row, at(60, row), 1, 2)
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_nodes give", "succeeded, 0 moved", 3)
    scene.shows(2, r1=at(5), r2=at(7), r3=at(8), r4=at(9), r5=at(6, 5))
    scene.advances(70, 1)
    scene.exchanges(2, 1, "ask_windows ask_nodes ask_nodes ask_rows", "succeeded, 1 moved", 4)
    scene.same(1, 2)
    return scene.run


def overwritten() -> Recorder:
    scene = Scene(
        "overwritten",
        "Both sides compare what they showed when the exchange began: a row that moves to another window "
        "meanwhile is not missed, and is sent as it is held by then (MERKLE_FOREST.R15).",
    )
    scene.advances(100, 1, 2)
    scene.writes(1, at(5), 1)
    scene.writes(2, at(6), 2)
    scene.begins(1, 2)
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_windows>2")
    scene.writes(1, at(45), 1)
    scene.writes(2, at(46), 2, value="6e6577")
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_nodes>2")
    scene.goes_on(1, 2, "ask_rows give", "succeeded, 2 moved")
    scene.same(1, 2)
    return scene.run


def under_way_meanwhile() -> Recorder:
    scene = Scene(
        "under_way_meanwhile",
        "A row that is overwritten above the stable time while an exchange goes on stays where it was shown, "
        "and the entry is shared with the newer row (MERKLE_FOREST.R14, MERKLE_FOREST.R15).",
    )
    scene.advances(30, 1, 2)
    scene.writes(1, at(5), 1)
    scene.writes(2, at(6), 2)
    scene.begins(1, 2)
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_windows>2")
    scene.writes(1, at(40), 1)
    scene.writes(2, at(41), 2)
    scene.goes_on(1, 2, "ask_nodes ask_rows give", "succeeded, 2 moved")
    scene.shows(1, r1=at(5), r2=at(6))
    scene.shows(2, r1=at(5), r2=at(6))
    return scene.run


def purged() -> Recorder:
    scene = Scene(
        "purged",
        "A tombstone that is purged while an exchange goes on is not sent, and the entry is not taken over "
        "without its row, whichever side showed it (MERKLE_FOREST.R8, MERKLE_FOREST.R14).",
    )
    for number, (purges, lacks, sends) in enumerate(((1, 2, "give"), (2, 1, "ask_rows")), 1):
        floor, row = 20 * number, 2 * number
        scene.advances(100, 1, 2)
        scene.writes(row, at(floor - 5), purges, value=None)
        scene.writes(row + 1, at(floor - 3), 1, 2)
        scene.at(purges, "propose", f"closed {at(floor)}", floor=at(floor))
        scene.begins(1, 2, number)
        scene.asked(1, 2)
        scene.replied(2, 1, "ask ask_windows>2")
        scene.settles_at(floor, purges)
        scene.at(purges, "purge")
        scene.goes_on(1, 2, f"ask_nodes {sends}", "succeeded, 1 moved")
        shown = [entry["row"] for entry in scene.forest(lacks)["entries"]]
        scene.expects(f"{ROWS[row]:x}" in shown, False)
        scene.settles(floor, lacks)
    scene.exchanges(1, 2, "ask_windows", "succeeded, 0 moved", 3)
    return scene.run


def settled_meanwhile() -> Recorder:
    scene = Scene(
        "settled_meanwhile",
        "Below its floor a replica takes over nothing, also where an exchange that began before shows it "
        "(MERKLE_FOREST.R8, MERKLE_FOREST.R14).",
    )
    scene.advances(30, 1, 2)
    scene.writes(1, at(5), 1)
    scene.writes(1, at(40), 2)
    scene.at(2, "propose", f"closed {at(20)}", floor=at(20))
    scene.begins(1, 2)
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_windows>2")
    scene.settles_at(20, 2)
    scene.goes_on(1, 2, "ask_nodes give", "succeeded, 1 moved")
    scene.shows(2)
    return scene.run


def amended() -> Recorder:
    scene = Scene(
        "amended",
        "A window that both have sealed takes the rows of an exchange as amendments (MERKLE_FOREST.R9, "
        "MERKLE_FOREST.R11).",
    )
    scene.writes(1, at(3), 1, 2)
    scene.advances(40, 1)
    scene.advances(12, 2)  # It has not sealed the window yet.
    scene.writes(2, at(4), 2)
    scene.cleans(1, 2)
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_rows", "succeeded, 1 moved")
    scene.writes(3, at(5), 1)
    scene.exchanges(1, 2, "ask_windows ask_nodes give", "succeeded, 1 moved", 2)
    scene.expects(
        [scene.forest(replica)["amendments"] for replica in (1, 2)], [[[0, 3]], [[0, 1]]]
    )  # Also what the stable time reached.
    scene.exchanges(2, 1, "ask_windows", "succeeded, 0 moved", 3)
    return scene.run


def three_replicas() -> Recorder:
    scene = Scene(
        "three_replicas",
        "When no more writes come, and every two exchange again and again, all hold and show the same, and "
        "then nothing moves any more (MERKLE_FOREST.R17, MERKLE_FOREST.R18).",
    )
    for row, replica in ((1, 1), (2, 2), (3, 3)):
        scene.writes(row, at(10 * row), replica)
    scene.writes(1, at(22), 3, value=None)
    scene.writes(4, at(5), 1, 2)
    scene.advances(50, 2)
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_rows give", "succeeded, 2 moved")
    scene.exchanges(2, 3, "ask_windows ask_nodes ask_rows give", "succeeded, 4 moved", 2)
    scene.exchanges(3, 1, "ask_windows ask_nodes give", "succeeded, 2 moved", 3)
    scene.same(1, 2, 3)
    for number, (one, other) in enumerate(((1, 2), (3, 2), (3, 1)), 4):
        scene.exchanges(one, other, "ask_windows", "succeeded, 0 moved", number)
    return scene.run


SCENARIOS = (
    equal,
    agreement,
    one_sided_windows,
    active_windows,
    both_ways,
    two_windows,
    under_way,
    overwritten,
    under_way_meanwhile,
    purged,
    settled_meanwhile,
    amended,
    three_replicas,
)
