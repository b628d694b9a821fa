"""What it costs two replicas to find and move the rows that they do not share: counted for four trees.

Nothing is hashed here. Two subtrees have one digest exactly if they hold the same entries (rule
MERKLE_FOREST.R5), so from the entries that differ, and from how many rows stand beside them, follows all that
a descent tells. That makes a million rows countable in a second; tests hold the counts to real trees and to
exchanges of the reference.

*ours*: a radix trie for each window, as rules MERKLE_FOREST.R4, R13, R14 and R19 say.

*rank*: the published tree for each window: rows sorted, each two digests hashed to one, the odd one promoted.
Where two leaves in the same place differ, both rows are moved.

*fixed*: one tree over all rows, the range of tokens halved to a fixed depth, as the repair of Apache
Cassandra builds it. The tree is sent whole, and of each range that differs all rows go both ways. In
``org.apache.cassandra.utils.MerkleTree`` a leaf is told in 34 bytes (a digest of 32), an empty one in 2, an
inner node in 13. Earlier releases fixed the depth at 15 (CASSANDRA-5263); today it is the logarithm of the
number of partitions, at most 20 and at most what ``repair_session_space`` holds (CASSANDRA-14096, and
``ValidationManager.createMerkleTrees``). Both depths are counted, each row as a partition.

    python -m scratchbird_check.machines.merkle_forest_costs [--rows N] [--windows N] [--differ N ...]
"""

from __future__ import annotations

import argparse
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import groupby
from operator import itemgetter
from random import Random
from typing import NamedTuple

from scratchbird_reference.merkle_forest import DIGITS, FAN_OUT

ROWS, WINDOWS, SEED = 1_000_000, 720, 12
COUNTED = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
"""How many rows differ: the points of the drawings."""

PLACE_BITS = 4 * DIGITS
MOST_IN_LEAF = 8
WINDOW_BYTES, CHILD_BYTES, ENTRY_BYTES = 40, 6, 48
"""Of a window (number and digest), of a child's short digest, and of an entry less its prefix."""
ASKED_BYTES, NAMED_BYTES = 8, 16
"""Of a node that is asked for; of a row that is asked for, or said to be durable, by its place."""
DIGEST_BYTES = 32
TOLD_LEAF_BYTES, TOLD_EMPTY_BYTES, TOLD_INNER_BYTES, RANGE_BYTES = 34, 2, 13, 16
"""Of Cassandra's trees, with tokens of 8 bytes; and of a range of tokens that is to be sent."""
MESSAGE_BYTES = 1 << 20
"""A message holds at most so much."""
ROW_BYTES = 500
"""Of a row: only how many messages carry the rows depends on it."""


class Difference(NamedTuple):
    """An entry that one side alone shows.

    :ivar place: of 128 bits.
    :ivar mine: whether it is shown by the side that drives the exchange, else by the other one.
    :ivar in_base: whether it is among the rows of :class:`Forest`, in its window.
    :ivar newest: whether it is what both are to end with; else it was overwritten.
    """

    place: int
    mine: bool
    in_base: bool
    newest: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Rows of which nothing counts but where they are."""

    windows: tuple[tuple[int, ...], ...]
    """By window: places, sorted."""
    order: tuple[tuple[int, int, int], ...] = ()
    """By row, in an order that has nothing to do with either: place, window, and another window."""


_PLACE = itemgetter(0)

Differences = Mapping[int, Sequence[Difference]]
"""By window, sorted by place."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an exchange moves."""

    rows: int
    """That were moved, both directions together."""
    needless: int
    """Of those: what the receiver held already, or is too old for it."""
    digests: int
    """Of nodes and entries that were told."""
    size: int
    """Bytes beside the rows themselves; frames of the transport are not counted."""
    round_trips: int
    """One for each level, where the questions of a level do not wait for each other."""
    messages: int
    """Questions and answers, each of at most :data:`MESSAGE_BYTES`."""


@dataclass(slots=True)
class _Bill:
    """A cost that adds up, question by question."""

    size: int = 0
    digests: int = 0
    round_trips: int = 0
    messages: int = 0
    rows: int = 0
    needed: int = 0

    def ask(self, question: int, answer: int, carried: int = 0) -> None:
        """One level: bytes of what is asked, of what is told, and of the rows that go with it."""
        self.size += question + answer
        self.round_trips += 1
        self.messages += 2 * max(1, -(-question // MESSAGE_BYTES), -(-(answer + carried) // MESSAGE_BYTES))

    @property
    def cost(self) -> Cost:
        needless = self.rows - self.needed
        return Cost(self.rows, needless, self.digests, self.size, self.round_trips, self.messages)


# --- who differs in what ------------------------------------------------------------------------------------


@cache
def forest(rows: int = ROWS, windows: int = WINDOWS, seed: int = SEED) -> Forest:
    """Rows at random places in random windows."""
    dice = Random(seed)
    order = tuple(
        (
            dice.getrandbits(PLACE_BITS),
            dice.getrandbits(32) * windows >> 32,
            dice.getrandbits(32) * windows >> 32,
        )
        for _ in range(rows)
    )
    by_window: list[list[int]] = [[] for _ in range(windows)]
    for place, window, _ in order:
        by_window[window].append(place)
    return Forest(tuple(tuple(sorted(places)) for places in by_window), order)


def missing(rows: Forest, count: int, mine: bool = False) -> Differences:
    """So many rows, anywhere, are missing at the side that drives; ``mine``: at the other one."""
    return _by_window((window, Difference(place, mine, True)) for place, window, _ in rows.order[:count])


def missing_since(rows: Forest, count: int) -> Differences:
    """The newest rows are missing at the side that drives, as after an outage."""
    return _by_window((window, Difference(place, False, True)) for place, window, _ in _by_age(rows)[:count])


@cache
def _by_age(rows: Forest) -> list[tuple[int, int, int]]:
    """The newest first."""
    return sorted(rows.order, key=itemgetter(1), reverse=True)


def overwritten(rows: Forest, count: int, mine: bool = False) -> Differences:
    """So many rows, anywhere, were overwritten where the side that drives did not hear of it.

    Their old entries are in one window here, their new ones in another there; ``mine``: the other way round.
    """
    olds = (
        (window, Difference(place, not mine, True, newest=False)) for place, window, _ in rows.order[:count]
    )
    news = ((window, Difference(place, mine, False)) for place, _, window in rows.order[:count])
    return _by_window([*olds, *news])


def taken_out(rows: Forest, count: int) -> Differences:
    """So many writes are at one side and not yet at the other, and their rows' old entries left at once.

    The new entries are past the stable time: nobody shows them. By turns the side that drives has the write,
    and takes the old entry over alone, and the other one, which is given the old row.
    """
    return _by_window(
        (window, Difference(place, number % 2 == 1, True, newest=number % 2 == 1))
        for number, (place, window, _) in enumerate(rows.order[:count])
    )


def _by_window(differences: Iterable[tuple[int, Difference]]) -> Differences:
    found: dict[int, list[Difference]] = {}
    for window, difference in differences:
        found.setdefault(window, []).append(difference)
    return {window: sorted(found[window], key=_PLACE) for window in sorted(found)}


# --- ours ---------------------------------------------------------------------------------------------------


def ours(rows: Forest, differ: Differences, most_in_leaf: int = MOST_IN_LEAF) -> Cost:
    """A radix trie for each window, asked for from the top, level by level (rules MERKLE_FOREST.R4, R13)."""
    bill = _Bill()
    bill.ask(0, 0)  # To agree on a setting, a stable time and a floor.
    shown = sum(
        _count(rows.windows[w], 0, PLACE_BITS, differ.get(w, ())) > 0 for w in range(len(rows.windows))
    )
    bill.digests += shown
    bill.ask(0, shown * WINDOW_BYTES)
    level = [(window, 0, list(found)) for window, found in differ.items()]
    depth = 0
    while level:
        told, below = 0, []
        for window, prefix, found in level:
            shift = PLACE_BITS - 4 * depth
            count = _count(rows.windows[window], prefix, shift, found)
            if count <= most_in_leaf or depth == DIGITS:
                told += count * (ENTRY_BYTES - depth // 2)
                bill.digests += count
                continue
            told += FAN_OUT * CHILD_BYTES
            bill.digests += FAN_OUT
            for child, group in groupby(found, key=lambda item: item[0] >> (shift - 4)):
                below.append((window, child, list(group)))
        bill.ask(len(level) * ASKED_BYTES, told)
        level, depth = below, depth + 1
    newest = [item.mine for found in differ.values() for item in found if item.newest]
    for count in (newest.count(False), newest.count(True)):
        if count:
            bill.ask(count * NAMED_BYTES, count * ENTRY_BYTES, count * ROW_BYTES)
    bill.rows = bill.needed = len(newest)
    return bill.cost


def _count(base: Sequence[int], prefix: int, shift: int, found: Sequence[Difference]) -> int:
    """How many entries the side that answers shows below a prefix; all that differ there are given."""
    first = bisect_left(base, prefix << shift)
    count = bisect_left(base, (prefix + 1) << shift, first) - first
    for _, mine, in_base, _ in found:
        count += (not mine) - in_base
    return count


# --- the rank of a row decides ------------------------------------------------------------------------------


def rank_shaped(rows: Forest, differ: Differences) -> Cost:
    """The published tree for each window, compared from the top, place by place."""
    bill = _Bill()
    bill.ask(0, 0)
    bill.digests += len(rows.windows)
    bill.ask(0, len(rows.windows) * WINDOW_BYTES)
    asked, told = Counter[int](), Counter[int]()
    leaves = 0
    for window, found in differ.items():
        runs, mine, theirs = _unequal(rows.windows[window], found)
        most, depth = max(mine, theirs), 0
        while most > 1 << depth:
            depth += 1
        for level in range(depth, 0, -1):
            nodes, last = _merged(runs, level)
            has_odd_child = last == (most - 1) >> level and (most - 1) >> (level - 1) == 2 * last
            asked[depth - level] += nodes
            told[depth - level] += 2 * nodes - has_odd_child
        leaves += sum(end - begin for begin, end in runs)
        bill.rows += sum(max(0, min(end, side) - begin) for begin, end in runs for side in (mine, theirs))
    for step in sorted(asked):
        bill.digests += told[step]
        bill.ask(asked[step] * ASKED_BYTES, told[step] * DIGEST_BYTES)
    bill.needed = sum(item.newest for found in differ.values() for item in found)
    if leaves:
        bill.ask(leaves * ASKED_BYTES, 0, bill.rows * ROW_BYTES)
    return bill.cost


def _unequal(base: Sequence[int], found: Sequence[Difference]) -> tuple[list[tuple[int, int]], int, int]:
    """Where two leaves in the same place differ, as ranges of places; and how many leaves either side has.

    A row that both have stands in one place exactly if as many of the others stand before it at both sides.
    """
    equal: list[tuple[int, int]] = []
    mine = theirs = common = taken = 0
    for item in [*found, None]:
        # An entry that was overwritten within its window is before itself: so never less than before.
        until = max(common, (len(base) if item is None else bisect_left(base, item.place)) - taken)
        if mine == theirs and until > common:
            equal.append((common + mine, until + mine))
        common = until
        if item is not None:
            mine, theirs, taken = mine + item.mine, theirs + (not item.mine), taken + item.in_base
    runs, begin = [], 0
    for first, end in [*equal, (common + max(mine, theirs),) * 2]:
        if first > begin:
            runs.append((begin, first))
        begin = end
    return runs, common + mine, common + theirs


def _merged(runs: Sequence[tuple[int, int]], level: int) -> tuple[int, int]:
    """How many nodes of a level have a leaf in one of the ranges, and the last of them."""
    count, last = 0, -1
    for begin, end in runs:
        first = max(begin >> level, last + 1)
        last = (end - 1) >> level
        count += last - first + 1
    return count, last


# --- a fixed depth ------------------------------------------------------------------------------------------


def fixed(rows: Forest, differ: Differences, depth: int) -> Cost:
    """One tree over all rows, told whole; all rows of each range that differs go both ways."""
    bill = _Bill()
    shift = PLACE_BITS - depth
    held = _ranges(rows, shift)
    lacking = Counter[int]()
    touched: set[int] = set()
    for found in differ.values():
        for place, _, in_base, newest in found:
            touched.add(place >> shift)
            lacking[place >> shift] += in_base and newest
    full = len(held) - sum(held[leaf] == lacking[leaf] for leaf in touched)
    leaves = 1 << depth
    tree = full * TOLD_LEAF_BYTES + (leaves - full) * TOLD_EMPTY_BYTES + (leaves - 1) * TOLD_INNER_BYTES
    bill.digests = full
    bill.ask(0, tree)
    bill.rows = sum(2 * held[leaf] - lacking[leaf] for leaf in touched)
    bill.needed = sum(item.newest for found in differ.values() for item in found)
    bill.ask(len(touched) * RANGE_BYTES, 0, bill.rows * ROW_BYTES)
    return bill.cost


@cache
def _ranges(rows: Forest, shift: int) -> Counter[int]:
    """How many rows are in each range of places."""
    return Counter(place >> shift for places in rows.windows for place in places)


# --- side by side -------------------------------------------------------------------------------------------

SHAPES: Mapping[str, Callable[[Forest, Differences], Cost]] = {
    "ours": ours,
    "rank-shaped": rank_shaped,
    "fixed depth 15": partial(fixed, depth=15),
    "fixed depth 20": partial(fixed, depth=20),
}
CASES: Mapping[str, Callable[[Forest, int], Differences]] = {
    "missing": missing,
    "overwritten": overwritten,
    "missing since an outage": missing_since,
}


@cache
def costs(case: str, shape: str, differ: int, rows: int = ROWS, windows: int = WINDOWS) -> Cost:
    """Of one shape, where so many rows differ in this way."""
    return SHAPES[shape](forest(rows, windows), _differences(case, differ, rows, windows))


@lru_cache(maxsize=len(COUNTED))
def _differences(case: str, differ: int, rows: int, windows: int) -> Differences:
    return CASES[case](forest(rows, windows), differ)


def table(
    cases: Iterable[str] = CASES, differ: Sequence[int] = COUNTED, rows: int = ROWS, windows: int = WINDOWS
) -> list[str]:
    """In Markdown: what each shape costs, the more rows differ."""
    lines = [
        "| rows that differ | tree | bytes beside the rows | rows moved | of these needless | digests told "
        "| round trips | messages |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        for count in differ:
            for shape in SHAPES:
                cost = costs(case, shape, count, rows, windows)
                figures = (
                    cost.size,
                    cost.rows,
                    cost.needless,
                    cost.digests,
                    cost.round_trips,
                    cost.messages,
                )
                told = " | ".join(f"{figure:,}" for figure in figures)
                lines.append(f"| {count:,} {case} | {shape} | {told} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m scratchbird_check.machines.merkle_forest_costs")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of either replica (default: {ROWS:,})")
    parser.add_argument("--windows", type=int, default=WINDOWS, help=f"default: {WINDOWS}")
    parser.add_argument("--differ", type=int, nargs="+", default=COUNTED, help="how many rows differ")
    options = parser.parse_args(arguments)
    if not 0 < max(options.differ) <= options.rows:
        parser.error(
            f"--differ {max(options.differ)}: at least one row, at most the {options.rows} that there are"
        )
    print("\n".join(table(differ=options.differ, rows=options.rows, windows=options.windows)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
