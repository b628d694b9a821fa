"""The counts of what an exchange costs, held to real trees, to real exchanges, and by brute force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import pytest

from scratchbird_check.machines import merkle_forest_costs as costs
from scratchbird_check.machines import merkle_forest_shapes as shapes
from scratchbird_check.machines.merkle_forest_pair import SHAPE, Pair, at, pair_of
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference.merkle_forest import Entry, Inner, Rules

STABLE_MS = 100
CASES = ("missing here", "missing there", "overwritten there", "overwritten here")


def place(row: int) -> int:
    return int.from_bytes(Rules().place_of(row), "big")


def forest_of(places: Sequence[tuple[int, int, int]], windows: int) -> costs.Forest:
    by_window: list[list[int]] = [[] for _ in range(windows)]
    for where, window, _ in places:
        by_window[window].append(where)
    return costs.Forest(tuple(tuple(sorted(window)) for window in by_window), tuple(places))


# --- beside real trees --------------------------------------------------------------------------------------


def one_window(seed: int) -> tuple[costs.Forest, costs.Differences, list[Entry], list[Entry]]:
    """Up to 300 rows; some are missing here, some there, some were overwritten within the window."""
    dice = Random(seed)
    rows = list(range(dice.randrange(1, 300)))
    all_of_them = shapes.entries_of(rows)
    count = dice.randrange(len(rows) + 1)
    few = dice.randrange(12)
    mine, theirs, found = [], [], []
    for entry in all_of_them:
        where = int.from_bytes(entry.place, "big")
        fate = dice.randrange(4) if entry.row < min(count, few) else 3
        newer = replace(entry, version=2, digest=b"%16d" % entry.row)
        if fate != 0:
            mine.append(entry)
        if fate != 1:
            theirs.append(newer if fate == 2 else entry)
        if fate < 2:
            found.append(costs.Difference(where, fate == 1, in_base=True))
        if fate == 2:
            found.append(costs.Difference(where, True, in_base=True, newest=False))
            found.append(costs.Difference(where, False, in_base=False))
    forest = forest_of([(int.from_bytes(entry.place, "big"), 0, 0) for entry in all_of_them], 1)
    return forest, {0: found} if found else {}, mine, theirs


@pytest.mark.parametrize("seed", range(60))
def test_one_window_costs_what_real_trees_tell_and_move(seed: int) -> None:
    forest, differ, mine, theirs = one_window(seed)
    if not theirs:
        return  # A window that is not shown is not told either: other trees have no such case.
    rank, radix = costs.rank_shaped(forest, differ), costs.ours(forest, differ)
    real = shapes.rank_shaped(mine, theirs)
    assert (rank.digests, rank.rows) == (real.digests, real.rows)
    real = shapes.ours(mine, theirs)
    overwritten = sum(not item.newest for found in differ.values() for item in found)
    assert (radix.digests, radix.rows) == (real.digests, real.rows - overwritten)


def test_the_samples_are_no_idle_ones() -> None:
    sizes = [
        (len(mine), len(theirs), sum(map(len, differ.values())))
        for _, differ, mine, theirs in map(one_window, range(60))
    ]
    assert sum(differ > 2 for _, _, differ in sizes) > 20
    assert sum(mine == theirs and differ > 0 for mine, theirs, differ in sizes) > 5


# --- beside exchanges of the reference ----------------------------------------------------------------------


def played(case: str, rows: int, differ: int) -> tuple[Pair, costs.Forest, costs.Differences]:
    """Two replicas, and the same as a forest to be counted."""
    both = pair_of(stable_ms=STABLE_MS)
    ahead, behind = (
        (both.two, both.one) if case.endswith(("missing here", "overwritten there")) else (both.one, both.two)
    )
    places = []
    for row in range(rows):
        ms = row * 7 % (60 if row < differ else STABLE_MS)
        later = 60 + row * 11 % 40
        ahead.write(row, at(ms, row + 1))
        if row >= differ or case.startswith("overwritten"):
            behind.write(row, at(ms, row + 1))
        if row < differ and case.startswith("overwritten"):
            ahead.write(row, at(later, row + 1))
        places.append((place(row), ms // SHAPE.window_ms, later // SHAPE.window_ms))
    forest = forest_of(places, STABLE_MS // SHAPE.window_ms)
    count = costs.overwritten if case.startswith("overwritten") else costs.missing
    return both, forest, count(forest, differ, mine=ahead is both.one)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("rows", "differ"), [(3, 1), (40, 1), (120, 5), (120, 60), (250, 9)])
def test_an_exchange_of_the_reference_tells_and_moves_as_much(case: str, rows: int, differ: int) -> None:
    both, forest, found = played(case, rows, differ)
    counted = costs.ours(forest, found, most_in_leaf=SHAPE.most_in_leaf)
    size = digests = deepest = named = 0
    effect = both.begin()
    while isinstance(effect, exchanges.Ask):
        reply = both.answer(effect.question)
        match effect.question, reply:
            case _, messages.Windows(_, windows, _):
                digests += len(windows)
                size += costs.WINDOW_BYTES * len(windows)
            case messages.AskNodes(_, asked, in_full), messages.Nodes(_, nodes, _):
                assert not in_full
                assert len(asked) == len(nodes)
                for (_, prefix), node in nodes:
                    size += costs.ASKED_BYTES
                    deepest = max(deepest, len(prefix))
                    if isinstance(node, Inner):
                        size += costs.CHILD_BYTES * len(node.children)
                        digests += len(node.children)
                    else:
                        size += sum(costs.ENTRY_BYTES - len(prefix) // 2 for _ in node.entries)
                        digests += len(node.entries)
            case messages.AskRows(_, asked_rows), messages.Rows():
                named += len(asked_rows)
            case messages.Give(_, given), messages.Took():
                named += len(given)
        effect = both.drive(exchanges.Deliver(reply))
    assert isinstance(effect, exchanges.Succeeded)
    assert both.same
    assert (effect.moved, named) == (counted.rows, counted.rows)
    assert digests == counted.digests
    assert size + named * (costs.NAMED_BYTES + costs.ENTRY_BYTES) == counted.size
    assert counted.round_trips == 2 + deepest + 1 + (differ > 0)


# --- by brute force -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", [costs.missing, costs.overwritten, costs.missing_since])
@pytest.mark.parametrize("depth", [1, 4, 7])
def test_a_fixed_tree_moves_all_rows_of_the_ranges_that_differ(case: object, depth: int) -> None:
    assert callable(case)
    forest = costs.forest(rows=300, windows=7, seed=depth)
    differ = case(forest, 5)
    # A row has one version at each side, whatever window it is in.
    here = {where: "old" for where, _, _ in forest.order}
    there = dict(here)
    for found in differ.values():
        for item in found:
            if item.newest and not item.in_base:
                there[item.place] = "new"
            elif item.newest:
                del here[item.place]
    moved = 0
    ranges = range(1 << depth)
    sides = [
        [{row for row in side.items() if row[0] >> 128 - depth == leaf} for leaf in ranges]
        for side in (here, there)
    ]
    for mine, theirs in zip(*sides, strict=True):
        moved += len(mine) + len(theirs) if mine != theirs else 0
    cost = costs.fixed(forest, differ, depth)
    assert (cost.rows, cost.needless) == (moved, moved - 5)
    told = sum(34 if leaf else 2 for leaf in sides[0]) + 13 * ((1 << depth) - 1)
    touched = sum(mine != theirs for mine, theirs in zip(*sides, strict=True))
    assert cost.size == told + 16 * touched


def test_windows_add_up() -> None:
    forest = costs.forest(rows=400, windows=3, seed=5)
    differ = costs.overwritten(forest, 6)
    for shape in (costs.ours, costs.rank_shaped):
        whole = shape(forest, differ)
        alone = [shape(forest, {window: found}) for window, found in differ.items()]
        assert whole.digests - 3 == sum(cost.digests - 3 for cost in alone)
        if shape is costs.rank_shaped:
            assert whole.rows == sum(cost.rows for cost in alone)


def test_a_row_that_is_overwritten_within_its_window_is_where_it_was() -> None:
    forest = costs.forest(rows=50, windows=1, seed=3)
    assert costs.rank_shaped(forest, costs.overwritten(forest, 4)).rows == 2 * 4


def test_a_message_more_for_what_does_not_fit() -> None:
    rows = costs.MESSAGE_BYTES // (costs.ROW_BYTES + costs.ENTRY_BYTES)
    forest = costs.forest(rows=rows + 1, windows=40)
    few, more = (costs.ours(forest, costs.missing(forest, count)) for count in (rows, rows + 1))
    assert more.messages == few.messages + 2
    assert more.round_trips == few.round_trips


# --- the table ----------------------------------------------------------------------------------------------


def test_the_table_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert costs.main(["--rows", "200", "--windows", "4", "--differ", "1", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(costs.CASES) * 2 * len(costs.SHAPES)
    cost = costs.costs("missing", "ours", 20, 200, 4)
    assert f"| 20 missing | ours | {cost.size:,} | 20 | 0 | {cost.digests:,} |" in "\n".join(lines)


def test_more_differences_than_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("21", "0"):
        with pytest.raises(SystemExit):
            costs.main(["--rows", "20", "--differ", wrong])
        assert f"--differ {wrong}" in capsys.readouterr().err
