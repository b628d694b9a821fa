"""Scenarios of exchanges that go wrong: refusals, faults, lost messages, small ones, digests that deceive."""

from __future__ import annotations

from scratchbird_check.conformance.merkle_forest_scene import ALL_OF_IT, SMALL, Scene, at
from scratchbird_check.conformance.quorum_scene import held
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json


def refusals() -> Recorder:
    scene = Scene(
        "refusals",
        "Forests of two settings are not compared, nor those of two floors; what was refused has not "
        "succeeded (MERKLE_FOREST.R7, MERKLE_FOREST.R8, MERKLE_FOREST.R16).",
    )
    scene.advances(30, 1, 2)
    scene.writes(1, at(5), 1)
    scene.at(2, "reshape", shape={**SMALL, "number": 1})
    refused("setting", scene)
    scene.at(1, "reshape", shape={**SMALL, "number": 1, "window_ms": 20})  # The number is not the setting.
    refused("number", scene, 2)
    scene.at(1, "reshape", shape={**SMALL, "number": 2})
    scene.at(2, "reshape", shape={**SMALL, "number": 2})
    scene.settles(4, 1)
    refused("floor", scene, 3)
    scene.begins(2, 1, 4)  # The one that is behind drives: it is told, and may settle first.
    scene.asked(2, 1)
    scene.replied(1, 2, "failed")
    scene.settles(4, 2)
    scene.exchanges(1, 2, "ask_windows ask_nodes give", "succeeded, 1 moved", 5)
    scene.same(1, 2)
    return scene.run


def refused(_why: str, scene: Scene, number: int = 1) -> None:
    """An exchange that is refused when it is opened."""
    scene.begins(1, 2, number)
    scene.asked(1, 2, "reply refused")
    scene.replied(2, 1, "failed")


def closed_meanwhile() -> Recorder:
    scene = Scene(
        "closed_meanwhile",
        "An exchange during which either side closes a floor fails, and is begun again (MERKLE_FOREST.R16).",
    )
    scene.advances(30, 1, 2)
    scene.writes(1, at(5), 1)
    scene.writes(2, at(6), 2)
    scene.begins(1, 2)
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_windows>2")
    scene.at(2, "propose", f"closed {at(3)}", floor=at(3))
    scene.asked(1, 2, "reply refused")
    scene.replied(2, 1, "failed")
    scene.begins(1, 2, 2)
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_windows>2")
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_nodes>2")
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_rows>2")
    scene.asked(1, 2)
    scene.at(1, "propose", f"closed {at(3)}", floor=at(3))
    scene.replied(2, 1, "failed")  # The row came too late: who closes a floor counts on nothing older.
    scene.shows(1, r1=at(5))
    scene.exchanges(1, 2, ALL_OF_IT, "succeeded, 2 moved", 3)
    return scene.run


def forgotten() -> Recorder:
    scene = Scene(
        "forgotten",
        "A snapshot is forgotten after a crash, or where too many others were begun since; an exchange that "
        "goes on without one is refused (MERKLE_FOREST.R16).",
        most_exchanges=2,
    )
    scene.advances(30, 1, 2)
    scene.writes(1, at(5), 1)
    scene.begins(1, 3)
    for driver, number in ((2, 2), (1, 1), (2, 3)):
        if number != 1:
            scene.begins(driver, 3, number)
        scene.asked(driver, 3)
        if number == 2:
            scene.replied(3, 2, "ask ask_windows>3")
            scene.at(2, "stop", "failed")
        if number == 1:
            scene.replied(3, 1, "ask ask_windows>3")
    open_again: Json = {"question": "open", "exchange": "3", "shape": scene.forest(3)["shape"]}
    scene.takes(
        3, {"event": "asked", "question": {**open_again, "stable": at(30), "floor": "0"}}, "reply opened"
    )
    scene.expects(scene.run.state(3)["answering"], ["1", "3"])
    scene.at(3, "asked", "reply refused", question={"question": "ask_windows", "exchange": "2", "after": -1})
    scene.asked(1, 3)
    scene.replied(3, 1, "ask ask_nodes>3")
    scene.at(3, "crash")
    scene.at(3, "asked", "error", question={"question": "ask_windows", "exchange": "1", "after": -1})
    scene.at(3, "start")
    scene.expects(scene.run.state(3)["answering"], [])
    scene.asked(1, 3, "reply refused")
    scene.replied(3, 1, "failed")
    scene.begins(1, 3, 4)
    scene.at(1, "crash")
    scene.at(1, "start")
    scene.asked(1, 3)
    scene.replied(3, 1, "nothing")  # Who drove it knows of it no more.
    scene.exchanges(1, 3, "ask_windows ask_nodes give", "succeeded, 1 moved", 5)
    return scene.run


def lost_messages() -> Recorder:
    scene = Scene(
        "lost_messages",
        "What is lost is asked again, what is said twice counts once, and what an earlier exchange said "
        "counts for nothing (MERKLE_FOREST.R15, MERKLE_FOREST.R16).",
    )
    scene.advances(30, 1, 2)
    for row in range(6):
        scene.writes(row, at(5, row), 1 + row % 2)
    scene.at(1, "again", "error")
    scene.at(1, "stop", "error")
    scene.begins(1, 2)
    scene.begins(1, 2, 2, "error")
    scene.at(1, "stop", "failed")
    scene.begins(1, 2, 2)
    refusal = {"reply": "refused", "exchange": "1"}
    scene.hears(1, refusal, "nothing")
    asks = ("open", "ask_windows", "ask_nodes", "ask_nodes", "ask_rows", "give")
    for ask, following in zip(asks, (*asks[1:], ""), strict=True):
        scene.at(1, "again", f"ask {ask}>2")
        scene.asked(1, 2)
        scene.asked(1, 2)
        scene.replied(2, 1, f"ask {following}>2" if following else "succeeded, 6 moved")
        if following:  # A reply that comes again makes the same question come again, or none.
            again = "nothing" if ask in ("open", "ask_windows") else f"ask {following}>2"
            scene.replied(2, 1, again)
    scene.replied(2, 1, "nothing")
    scene.same(1, 2)
    return scene.run


def small_messages() -> Recorder:
    scene = Scene(
        "small_messages",
        "A message holds at least one item and no more than its bounds; what does not fit follows, from "
        "where the last one ended (MERKLE_FOREST.R15).",
        bounds={"items": 2, "size": 100},
    )
    scene.advances(60, 1, 2)
    for row in range(8):
        scene.writes(row, at(1 + 7 * row), 1 + row % 2, value="76" * (10 * row))
    scene.begins(1, 2)
    asks: list[str] = []
    while True:
        scene.asked(1, 2)
        step, reply = scene._replies[2]
        answer = scene.run.step(1, {"event": "replied", "reply": reply}, step)
        effect = answer.effects[0]
        if effect["effect"] != "ask":
            break
        scene._asks[1] = scene.run.steps, effect["question"]
        asks.append(effect["question"]["question"])
    scene.expects((effect["effect"], effect["moved"]), ("succeeded", 8))
    scene.expects({name: asks.count(name) for name in asks}, MESSAGES)
    scene.same(1, 2)
    for name, many in (("places", [[0, ""], [1, ""], [2, ""]]), ("rows", ["1", "2", "3"])):
        question = {"question": "ask_nodes" if name == "places" else "ask_rows", "exchange": "1", name: many}
        scene.at(2, "asked", f"reply {'nodes' if name == 'places' else 'rows'}", question=question)
    given = [
        {"entry": scene.entry(row, at(59, row)), "held": held(at(59, row), "76")} for row in (20, 21, 22)
    ]
    scene.at(2, "asked", "reply took", question={"question": "give", "exchange": "1", "given": given})
    return scene.run


MESSAGES = {"ask_windows": 2, "ask_nodes": 3, "ask_rows": 4, "give": 4}
"""How many questions of each kind a small exchange takes."""


def one_byte() -> Recorder:
    scene = Scene(
        "one_byte",
        "One item goes into each message, however small its bounds are (MERKLE_FOREST.R15).",
        bounds={"items": 5, "size": 1},
    )
    scene.advances(30, 1, 2)
    for row in range(4):
        scene.writes(row, at(5 + 10 * (row // 2), row), 1 + row % 2)
    asks = "ask_windows ask_windows ask_nodes ask_nodes ask_rows ask_rows give give"
    scene.exchanges(1, 2, asks, "succeeded, 4 moved")
    scene.same(1, 2)
    return scene.run


SHORT = (("1", "00000039cbe4"), ("2", "000000869d7b"))
"""Versions and values of one row whose leaves have one short digest: 21 million tries found them."""


def short_digests() -> Recorder:
    scene = Scene(
        "short_digests",
        "Nodes are told by short digests: two leaves that have one in common are found all the same, because "
        "what was told does not make the window's digest, and it is gone through once more in full "
        "(MERKLE_FOREST.R19).",
    )
    scene.advances(30, 1, 2)
    for row in (1, 2, 3):
        scene.writes(row, at(6), 1, 2)
    found = []
    for number, value in SHORT:
        leaf = [scene.entry(7, at(5, int(number)), value)]
        found.append(scene.asks("tree", "top", shape=SMALL, window=0, entries=leaf)["digest"])
    scene.expects((found[0][:12] == found[1][:12], found[0] == found[1]), (True, False))
    for replica, (number, value) in zip((1, 2), SHORT, strict=True):
        scene.writes(7, at(5, int(number)), replica, value=value)
    scene.exchanges(1, 2, "ask_windows ask_nodes ask_nodes+ ask_nodes+ ask_rows", "succeeded, 1 moved")
    scene.same(1, 2)
    return scene.run


def short_and_others() -> Recorder:
    scene = Scene(
        "short_and_others",
        "A row that was found by short digests and is seen again in full is asked for and given once "
        "(MERKLE_FOREST.R19).",
    )
    scene.advances(30, 1, 2)
    for row in (1, 2, 3):
        scene.writes(row, at(6), 1, 2)
    for replica, (number, value) in zip((1, 2), SHORT, strict=True):
        scene.writes(7, at(5, int(number)), replica, value=value)
    scene.writes(4, at(7), 1)
    scene.writes(5, at(8), 2)
    asks = "ask_windows ask_nodes ask_nodes ask_nodes+ ask_nodes+ ask_rows give"
    scene.exchanges(2, 1, asks, "succeeded, 3 moved")
    scene.same(1, 2)
    return scene.run


def damaged() -> Recorder:
    scene = Scene(
        "damaged",
        "A window whose digest is not that of what it shows is gone through in full, and then the exchange "
        "fails: it is damaged. What was found is dealt with before (MERKLE_FOREST.R19, MERKLE_FOREST.R16).",
    )
    scene.advances(30, 1, 2)
    scene.writes(1, at(5), 1, 2)
    scene.writes(2, at(6), 2)
    scene.begins(1, 2)
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_windows>2")
    scene.asked(1, 2)
    windows = {**scene._replies[2][1], "windows": [[0, "ab" * 32]]}
    scene.hears(1, windows, "ask ask_nodes>2")
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_nodes in full>2")
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_rows>2")
    scene.asked(1, 2)
    scene.replied(2, 1, "failed")
    scene.same(1, 2)
    scene.begins(1, 2, 2)
    scene.asked(1, 2)
    scene.replied(2, 1, "ask ask_windows>2")
    scene.hears(1, {**windows, "exchange": "2", "windows": []}, "ask ask_nodes>2")
    scene.goes_on(1, 2, "ask_nodes+", "failed")  # It was told to be empty.
    return scene.run


def malformed() -> Recorder:
    scene = Scene(
        "malformed",
        "A message that is none is an error, and changes nothing (MERKLE_FOREST.R15).",
    )
    scene.advances(30, 1, 2)
    scene.writes(1, at(5), 1)
    shape = scene.forest(1)["shape"]
    opening: Json = {"question": "open", "exchange": "1", "shape": shape, "stable": at(30), "floor": "0"}
    scene.takes(2, {"event": "asked", "question": opening}, "reply opened")
    for question in (
        {**opening, "exchange": 1},
        {**opening, "shape": {**shape, "window_ms": 0}},
        {key: value for key, value in opening.items() if key != "floor"},
        {"question": "ask_windows", "exchange": "1", "after": -2},
        {"question": "ask_nodes", "exchange": "1", "places": [[0, "g"]]},
        {"question": "ask_nodes", "exchange": "1", "places": [[0, "0" * 33]]},
        {"question": "ask_nodes", "exchange": "1", "places": [[0]]},
        {"question": "ask_rows", "exchange": "1", "rows": [1]},
        {"question": "give", "exchange": "1", "given": [{"entry": scene.entry(1, at(5))}]},
        {"question": "ask_all", "exchange": "1"},
    ):
        scene.takes(2, {"event": "asked", "question": question}, "error")
    scene.begins(1, 2)
    for reply in (
        {"reply": "opened", "exchange": "1", "stable": "0"},
        {"reply": "windows", "exchange": "1", "windows": [[0, "00"]], "last": True},
        {"reply": "nodes", "exchange": "1", "nodes": [{"place": [0, ""], "children": [""]}], "held": []},
        {"reply": "nodes", "exchange": "1", "nodes": [{"place": [0, ""]}], "held": []},
        {"reply": "took", "exchange": "1", "rows": [["1", held()]]},
        {"reply": "done", "exchange": "1"},
    ):
        scene.hears(1, reply, "error")
    scene.exchanges(2, 1, "ask_windows ask_nodes ask_rows", "succeeded, 1 moved", 2)
    return scene.run


SCENARIOS = (
    refusals,
    closed_meanwhile,
    forgotten,
    lost_messages,
    small_messages,
    one_byte,
    short_digests,
    short_and_others,
    damaged,
    malformed,
)
