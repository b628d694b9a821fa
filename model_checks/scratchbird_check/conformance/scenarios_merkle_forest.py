"""Scenarios of the forest without replicas: encodings, entries, digests, trees and windows."""

from __future__ import annotations

import struct
from typing import Any

from scratchbird_check.conformance.merkle_forest_scene import SMALL, Scene, at
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json

NULL = ["null"]
DEFAULT: Json = {"window_ms": 3_600_000, "most_in_leaf": 8}


def text(value: str) -> list[Any]:
    return ["text", value]


def number(value: float) -> list[Any]:
    return ["float", struct.pack(">d", value).hex()]


def decimal(value: str) -> list[Any]:
    return ["decimal", value]


def nested(depth: int) -> list[Any]:
    """A list in a list in a list."""
    value: list[Any] = ["list", []]
    for _ in range(depth - 1):
        value = ["list", [value]]
    return value


# --- encodings --------------------------------------------------------------------------------------------


def values() -> Recorder:
    scene = Scene(
        "values",
        "What a client can tell apart has different bytes, and what it can not has the same "
        "(MERKLE_FOREST.R6).",
    )
    apart = [
        NULL,
        ["bool", False],
        ["bool", True],
        *(
            ["int", value]
            for value in ("0", "1", "-1", "255", "256", "-256", "9007199254740993", "-" + "9" * 40)
        ),
        *map(number, (0.0, -0.0, 1.0, -1.0, 0.1, 5e-324, float("inf"), float("-inf"), float("nan"))),
        *map(decimal, ("0", "0.0", "1", "1.0", "1.00", "-1.0", "10", "1E+1", "0E+3", "1E-400", "NaN")),
        *map(decimal, ("Infinity", "-Infinity", "123456789012345678901234567890.5", "1E-2147483648")),
        *map(text, ("", "\0", "a", "A", "é", "e\u0301", "ß", "ss", "😀", "null", "a ", "ﬁ")),
        *(["bytes", value] for value in ("", "00", "61", "ff")),
        ["uuid", "018bcfe5-6800-8000-8001-c00000000000"],
        ["uuid", "018bcfe5-6800-8000-8001-c00000000001"],
        ["time", "2024-02-29T12:00:00+00:00"],
        ["time", "2024-02-29T12:00:00.000001+00:00"],
        ["time", "1969-12-31T23:59:59.999999+00:00"],
        ["list", []],
        ["list", [NULL]],
        ["list", [text("")]],
        ["list", [text("a"), text("b")]],
        ["list", [["list", [text("a")]], text("b")]],
        nested(8),
    ]
    made = [scene.row([[1, value]]) for value in apart]
    scene.expects(len(set(made)), len(apart))
    for one, other in (
        (["float", "7ff8000000000000"], ["float", "fff0000000000001"]),
        (["float", "7ff8000000000000"], ["float", "7fffffffffffffff"]),
        (decimal("0.0"), decimal("-0.0")),
        (["time", "2024-02-29T12:00:00+00:00"], ["time", "2024-02-29T14:30:00+02:30"]),
        (["int", "0"], ["int", "-0"]),
    ):
        scene.expects(scene.row([[1, one]]), scene.row([[1, other]]))
    for wrong in (["time", "2024-02-29T12:00:00"], nested(9), ["int", "1.5"], ["text", 1], ["float", "00"]):
        scene.row([[1, wrong]], expects="error")
    for beyond in map(decimal, ("1E+2147483648", "-1E-2147483649")):
        scene.row([[1, beyond]], expects="error")
    return scene.run


def keys() -> Recorder:
    scene = Scene(
        "keys",
        "In a key what SQL holds for equal is the same; in a value it is not (MERKLE_FOREST.R6).",
    )
    for same in (
        (number(0.0), number(-0.0)),
        (["float", "7ff8000000000000"], ["float", "7ff8000000000001"]),
        tuple(map(decimal, ("1", "1.0", "1.000"))),
        tuple(map(decimal, ("10", "1E+1", "10.0", "1000E-2"))),
        tuple(map(decimal, ("0", "0.00", "-0.0", "0E+7"))),
        (decimal("NaN"), decimal("NaN")),
        (["list", [number(0.0), decimal("2.50")]], ["list", [number(-0.0), decimal("2.5")]]),
    ):
        scene.expects(len({scene.key(value) for value in same}), 1)
        scene.key(*same)
    apart = (
        (),
        (NULL,),
        (text(""),),
        (text("ab"), text("c")),
        (text("a"), text("bc")),
        (text("abc"),),
        (text("c"), text("ab")),
        (["int", "1"],),
        (decimal("1"),),
        (number(1.0),),
        (text("1"),),
        (["bool", True],),
        (decimal("-1.5"), decimal("Infinity")),
    )
    scene.expects(len({scene.key(*values) for values in apart}), len(apart))
    scene.key(["time", "2024-02-29T12:00:00"], expects="error")
    return scene.run


def rows() -> Recorder:
    scene = Scene(
        "rows",
        "A row's columns stand in the order of their numbers; a column that the row lacks is not NULL; the "
        "version of the schema counts (MERKLE_FOREST.R6).",
    )
    one, two, ten = [1, text("ab")], [2, text("c")], [10, ["int", "5"]]
    scene.expects(scene.row([one, two, ten]), scene.row([ten, one, two]))
    apart = [
        scene.row([]),
        scene.row([], 0),
        scene.row([], (1 << 32) - 1),
        scene.row([one]),
        scene.row([one], 2),
        scene.row([one, [2, NULL]]),
        scene.row([one, [2, text("")]]),
        scene.row([[2, text("ab")]]),
        scene.row([[1, text("ab")], [2, text("c")]]),
        scene.row([[1, text("a")], [2, text("bc")]]),
        scene.row([[(1 << 32) - 1, NULL]]),
    ]
    scene.expects(len(set(apart)), len(apart))
    scene.row([one, one], expects="error")
    scene.row([[-1, NULL]], expects="error")
    scene.row([[1 << 32, NULL]], expects="error")
    scene.row([one], 1 << 32, expects="error")
    return scene.run


# --- digests ----------------------------------------------------------------------------------------------


def entries() -> Recorder:
    scene = Scene(
        "entries",
        "An entry is the place of its row, its version, and a digest of both and of what was written, whose "
        "last bit says whether that deletes (MERKLE_FOREST.R1, MERKLE_FOREST.R4, MERKLE_FOREST.R5).",
    )
    found = [
        scene.entry(7, at(5), "76"),
        scene.entry(7, at(5), ""),
        scene.entry(7, at(5), None),
        scene.entry(7, at(5, 1), "76"),
        scene.entry(8, at(5), "76"),
        scene.entry(0, "1", "76"),
        scene.entry((1 << 63) - 1, f"{(1 << 128) - 1:x}", "76" * 300),
    ]
    scene.expects(len({entry["digest"] for entry in found}), len(found))
    scene.expects([int(entry["digest"], 16) & 1 for entry in found], [0, 0, 1, 0, 0, 0, 0])
    scene.expects(len({entry["place"] for entry in found}), 4)
    return scene.run


def digests() -> Recorder:
    scene = Scene(
        "digests",
        "What is hashed says what it is and how many parts follow, each with its length: one entry, many, "
        "none and those of an inner node have different digests (MERKLE_FOREST.R5).",
    )
    one, two, three = (scene.entry(row, at(5, row), value) for row, value in ((7, "76"), (8, ""), (9, None)))
    found = []
    for entries in ([], [one], [two], [one, two], [two, one], [one, three], [one, two, three]):
        found.append(scene.asks("tree", "top", shape=SMALL, window=0, entries=entries)["digest"])
    scene.expects(found[3], found[4])
    scene.expects(len(set(found)), len(found) - 1)
    scene.expects(found[0], "")
    tree: Json = {"event": "tree", "shape": SMALL, "window": 0}
    scene.takes(31, {**tree, "entries": [{**one, "place": "00"}]}, "error")
    scene.takes(31, {**tree, "entries": [one, {**one, "version": at(6)}]}, "error")  # A row has one entry.
    scene.takes(31, {**tree, "window": 1, "entries": [one]}, "error")
    scene.takes(31, {**tree, "entries": [one], "prefix": "g"}, "error")
    return scene.run


def trees() -> Recorder:
    scene = Scene(
        "trees",
        "The digest of a set of rows is the same whatever the order of their arrival: at most so many "
        "entries are a leaf, and more have 16 children by the next digit of their places (MERKLE_FOREST.R4).",
    )
    found = [scene.entry(1000 + row, at(1 + row % 9, row), f"{row:02x}") for row in range(24)]
    orders = (found, found[::-1], found[1::2] + found[::2])
    for shape in (SMALL, {**DEFAULT, "window_ms": 10}):
        tops = [scene.asks("tree", "top", shape=shape, window=0, entries=order) for order in orders]
        scene.expects(tops[1:], tops[:-1])
        for count in (1, 2, 3, 8, 9):
            scene.asks("tree", "top", shape=shape, window=0, entries=found[:count])
    whole = {"window_ms": 10, "most_in_leaf": 24}
    scene.asks("tree", "top", shape=whole, window=0, entries=found)
    single = {"window_ms": 10, "most_in_leaf": 1}
    first = found[0]["place"]
    for prefix in (first[0], first[:2], first[:31], "0123"):
        scene.asks("tree", "top", shape=single, window=0, entries=found[:12], prefix=prefix)
    scene.asks("tree", "top", shape=SMALL, window=0, entries=found[:17] + found[18:])
    return scene.run


def deep() -> Recorder:
    scene = Scene(
        "deep",
        "Places that begin with the same digits make a path of inner nodes, each with one child, down to "
        "where they differ (MERKLE_FOREST.R4).",
    )
    one, two, three = (scene.entry(row, at(row)) for row in (1, 2, 3))
    single = {"window_ms": 10, "most_in_leaf": 1}
    for digits in (31, 16, 3, 1):
        other = "0" if one["place"][digits] != "0" else "1"
        near = {**two, "place": one["place"][:digits] + other + two["place"][digits + 1 :]}
        for entries in ([one, near], [three, near, one]):
            scene.asks("tree", "top", shape=single, window=0, entries=entries)
        for prefix in (one["place"][:digits], one["place"][: digits - 1]):
            scene.asks("tree", "top", shape=single, window=0, entries=[one, near], prefix=prefix)
    return scene.run


def windows() -> Recorder:
    scene = Scene(
        "windows",
        "A version's window is that of its millisecond, and sealed when the stable time has passed its end "
        "by the grace (MERKLE_FOREST.R3, MERKLE_FOREST.R9).",
    )

    def asks(version: str, stable: str, expects: str, shape: Json = SMALL, grace_ms: int = 5) -> None:
        scene.asks("place_in_time", expects, shape=shape, version=version, stable=stable, grace_ms=grace_ms)

    asks(at(0, 1), "0", "window 0")
    asks(at(9, (1 << 80) - 1), at(14, (1 << 80) - 1), "window 0")
    asks(at(9), at(15), "window 0 sealed")
    asks(at(10), at(15), "window 1")
    asks(at(10), at(25), "window 1 sealed")
    asks(at(25), at(30), "window 2 sealed", grace_ms=0)
    asks(at(25), at(29, 5), "window 2", grace_ms=0)
    asks(at(25), at(30), "window 25", {"window_ms": 1})
    asks(at(25), at(31), "window 25 sealed", {"window_ms": 1})
    hour = 3_600_000
    asks(at(hour - 1), at(hour + 600_000), "window 0 sealed", DEFAULT, 600_000)
    asks(at(hour), at(hour + 600_000), "window 1", DEFAULT, 600_000)
    asks(f"{(1 << 128) - 1:x}", f"{(1 << 128) - 1:x}", f"window {((1 << 48) - 1) // 10}")
    return scene.run


def window_digests() -> Recorder:
    scene = Scene(
        "window_digests",
        "The digest of a window covers its number and the whole setting; a window without entries has none "
        "(MERKLE_FOREST.R5, MERKLE_FOREST.R7).",
    )
    entry = [scene.entry(7, at(5))]
    shapes = [
        SMALL,
        {**SMALL, "number": 1},
        {**SMALL, "window_ms": 11},
        {**SMALL, "most_in_leaf": 3},
        {**SMALL, "encoding": 2},
    ]
    found = [scene.asks("window", shape=shape, window=0, entries=entry)["digest"] for shape in shapes]
    for window in (1, (1 << 48) // 10 - 1):
        other = [{**entry[0], "version": at(10 * window + 5)}]
        found.append(scene.asks("window", shape=SMALL, window=window, entries=other)["digest"])
    many = [scene.entry(row, at(5, row)) for row in range(4)]
    for shape in shapes:
        found.append(scene.asks("window", shape=shape, window=0, entries=many)["digest"])
    scene.expects(len(set(found)), len(found))
    scene.expects(scene.asks("window", shape=SMALL, window=0, entries=[])["digest"], "")
    wrongs: list[Any] = [{"window_ms": 0}, {"number": -1}, {"most_in_leaf": 1.5}, {"depth": 3}, []]
    for wrong in wrongs:
        scene.takes(31, {"event": "window", "shape": wrong, "window": 0, "entries": entry}, "error")
    return scene.run


SCENARIOS = (values, keys, rows, entries, digests, trees, deep, windows, window_digests)
