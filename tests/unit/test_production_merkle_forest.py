"""The production's forest side by side with the reference: hashing, trees, and the forest of a replica."""

from __future__ import annotations

import contextlib
import gc
import mmap
import pickle
import random
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from scratchbird import UuidV8, merkle_forest
from scratchbird.errors import CallerError, ConfigurationError, OverloadError, TooManyWaitingError
from scratchbird.merkle_forest import (
    ForestCore,
    Inner,
    Leaf,
    Shape,
    WindowTree,
    entries_of,
    entry_of,
    is_tombstone,
    place_of,
    trees_of,
    version_of,
)
from scratchbird_check.machines.merkle_forest_pair import GRACE_MS, SHAPE, ForestRun, at
from scratchbird_reference import handoff_replica
from scratchbird_reference import merkle_forest as reference
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.quorum_messages import Held

any_: Any = merkle_forest
"""The module, for what types forbid."""
RULES = reference.Rules()
OURS = Shape(window_ms=SHAPE.window_ms, most_in_leaf=SHAPE.most_in_leaf)
WIDE = Shape(window_ms=1 << 47)
"""All versions that occur here are of window 0."""
Records = dict[bytes, bytes]
"""By place."""


# --- what the tests make ----------------------------------------------------------------------------------


def record(place: bytes, version: int, *, deletes: bool = False) -> bytes:
    """An entry made by hand."""
    digest = sha256(place + version.to_bytes(16, "big")).digest()[:15]
    return place + version.to_bytes(16, "big") + digest + (b"\x01" if deletes else b"\x02")


def theirs(records: Iterable[bytes], shape: reference.Shape) -> reference.Tree:
    """The reference's tree of these."""
    entries = tuple(
        reference.Entry(one[:16], number, int.from_bytes(one[16:32], "big"), one[32:])
        for number, one in enumerate(records)
    )
    return reference.Tree(RULES, shape, entries)


def packed(entries: Iterable[reference.Entry]) -> bytes:
    return b"".join(entry.record for entry in entries)


def as_theirs(shape: Shape) -> reference.Shape:
    return reference.Shape(shape.number, shape.window_ms, shape.most_in_leaf, shape.encoding)


def check_node(tree: WindowTree, expected: reference.Tree, prefix: tuple[int, ...]) -> None:
    """What both show below these digits."""
    assert tree.digest(prefix) == expected.digest(prefix)
    assert tree.under(bytes(prefix)) == packed(expected.under(prefix))
    node = expected.node(prefix)
    if isinstance(node, reference.Leaf):
        assert tree.node(prefix) == Leaf(packed(node.entries))
    else:
        assert tree.node(prefix) == Inner(node.children)
    if len(prefix) < reference.DIGITS:
        children = b"".join(
            expected.digest((*prefix, digit)) or bytes(32) for digit in range(reference.FAN_OUT)
        )
        assert tree.child_digests(prefix) == children


def check_tree(tree: WindowTree, records: Records, dice: random.Random, prefixes: int = 3) -> None:
    expected = theirs(records.values(), as_theirs(tree.shape))
    assert len(tree) == len(records)
    check_node(tree, expected, ())
    for _ in range(prefixes if records else 0):
        place = dice.choice([*records])
        digits = reference.digits(place)[: dice.randrange(reference.DIGITS + 1)]
        check_node(tree, expected, digits)
        check_node(tree, expected, (*digits[:-1], dice.randrange(16)))


def crowded(dice: random.Random) -> bytes:
    """A place that has many digits in common with others."""
    common = dice.choice([b"", bytes(1), bytes(3), bytes(15), b"\xff" * 7, b"\x0f" * 15])
    return (common + dice.choice([bytes(16), dice.randbytes(16)]))[:15] + bytes([dice.randrange(4)])


def hashed(dice: random.Random) -> bytes:
    """A place as hashes are."""
    return dice.randbytes(16)


# --- hashing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 7, 55, 500, 900, 1_023, 1_024, 1_025, 5_000, 70_000])
def test_rows_are_hashed_as_the_reference_does(size: int) -> None:
    value = random.Random(size).randbytes(size)
    for row, version in ((0, 1), (7, at(5)), ((1 << 63) - 1, (1 << 128) - 1)):
        key = row.to_bytes(8, "big")
        assert place_of(key) == RULES.place_of(row)
        assert entry_of(key, version, value) == RULES.entry_of(row, Held(version, value)).record
        assert entry_of(key, version, None) == RULES.entry_of(row, Held(version, None)).record
        assert version_of(entry_of(key, version, value)) == version
        assert not is_tombstone(entry_of(key, version, value))
        assert is_tombstone(entry_of(key, version, None))


def test_what_is_hashed_is_written_down() -> None:
    key, version = b"a longer key", (5).to_bytes(16, "big")
    place = sha256(b"\x03key\x01\x0ca longer key").digest()[:16]
    assert place_of(key) == place
    for value, length in (
        (b"", b"\x00"),
        (b"a" * 127, b"\x7f"),
        (b"a" * 128, b"\x80\x01"),
        (b"a" * 300, b"\xac\x02"),
    ):
        row = b"\x03row\x04\x0ca longer key\x10" + version + b"\x05value" + length + value
        digest = bytearray(sha256(row).digest()[:16])
        digest[-1] &= 0xFE
        assert entry_of(key, 5, value) == place + version + digest
    assert (
        entry_of(key, 5, b"a" * 70_000)[32:47]
        == sha256(
            b"\x03row\x04\x0ca longer key\x10" + version + b"\x05value\xf0\xa2\x04" + b"a" * 70_000
        ).digest()[:15]
    )


def test_many_rows_are_hashed_as_each_alone() -> None:
    dice = random.Random(3)
    keys = [dice.randbytes(dice.randrange(40)) for _ in range(1_000)]
    versions = [dice.randrange(1, 1 << 128) for _ in keys]
    values = [dice.choice([None, b"", dice.randbytes(dice.randrange(3_000))]) for _ in keys]
    expected = b"".join(map(entry_of, keys, versions, values))
    assert entries_of(keys, versions, values) == expected
    in_one_piece = b"".join(version.to_bytes(16, "big") for version in versions)
    assert entries_of(tuple(keys), in_one_piece, tuple(values)) == expected
    assert entries_of([], [], []) == b""
    with pytest.raises(CallerError, match="1000 keys, 999 versions and 1000 values"):
        entries_of(keys, versions[1:], values)
    with pytest.raises(CallerError, match="1000 keys, 1000 versions and 999 values"):
        entries_of(keys, versions, values[1:])
    with pytest.raises(CallerError, match="value 'v' is neither bytes nor None"):
        any_.entries_of([b"k"], [1], ["v"])
    with pytest.raises(CallerError, match="key 1 is no bytes"):
        any_.entries_of([1], [1], [b"v"])
    with pytest.raises(CallerError, match="version 0 of row 1"):
        entries_of(keys[:2], (1).to_bytes(16, "big") + bytes(16), values[:2])
    with pytest.raises(CallerError, match="version 0 is out of range"):
        entry_of(b"k", 0, b"v")


def test_a_version_may_be_an_id() -> None:
    version = UuidV8.from_int(at(7) | 8 << 76 | 2 << 62 | 5 << 46)
    assert entry_of(b"k", version, b"v") == entry_of(b"k", int(version), b"v")
    assert Shape(window_ms=2).window_of(version) == 3


@pytest.mark.parametrize("name", ["number", "window_ms", "most_in_leaf", "encoding"])
@pytest.mark.parametrize("value", [-1, True, 1.5, "1", None])
def test_a_setting_is_refused_in_the_words_of_the_reference(name: str, value: Any) -> None:
    with pytest.raises(Exception, match=name) as refused:
        reference.Shape(**{name: value})
    with pytest.raises(ConfigurationError) as ours:
        Shape(**{name: value})
    if name != "number":  # Where the reference names the wrong bound.
        assert str(ours.value) == str(refused.value)


def test_a_setting_is_the_reference_s() -> None:
    assert Shape() == Shape(0, 3_600_000, 8, 1)
    assert Shape().identity == reference.Shape().identity
    assert Shape(3, 4, 5, 6).identity == reference.Shape(3, 4, 5, 6).identity
    assert pickle.loads(pickle.dumps(Shape(3, 4, 5, 6))) == Shape(3, 4, 5, 6)
    with pytest.raises(ConfigurationError, match="window_ms 9223372036854775808: it must be at most"):
        Shape(window_ms=1 << 63)


# --- trees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most_in_leaf", [1, 2, 8, 50])
@pytest.mark.parametrize("where", [crowded, hashed])
@pytest.mark.parametrize("seed", range(4))
def test_a_tree_is_the_reference_s_after_every_change(
    seed: int, where: Callable[[random.Random], bytes], most_in_leaf: int
) -> None:
    dice = random.Random(seed)
    shape = Shape(window_ms=1 << 47, most_in_leaf=most_in_leaf)
    start = {place: record(place, 1) for place in (where(dice) for _ in range(dice.choice([0, 5, 120])))}
    scattered = dice.sample([*start.values()], len(start))
    tree, records = WindowTree(shape, 0, b"".join(scattered)), dict(start)
    for version in range(2, 120):
        place = dice.choice([*records]) if records and dice.random() < 0.6 else where(dice)
        if dice.random() < 0.5:
            new = record(place, version, deletes=dice.random() < 0.2)
            assert tree.put(new)
            assert not tree.put(new)
            records[place] = new
        else:
            assert tree.remove(place) == (place in records)
            records.pop(place, None)
        assert tree.get(place) == records.get(place)
        if dice.random() < 0.3:
            check_tree(tree, records, dice)
        if dice.random() < 0.05:
            tree.compact()
        if dice.random() < 0.05:
            tree = tree.clone()
    check_tree(tree, records, dice, 10)
    assert tree.under() == b"".join(records[place] for place in sorted(records))


@pytest.mark.parametrize("seed", range(2))
def test_a_tree_of_thousands_grows_and_shrinks(seed: int) -> None:
    """Amendments overflow many times, and dense levels come and go."""
    dice = random.Random(seed)
    shape = Shape(window_ms=1 << 47)
    tree, records = WindowTree(shape, 0), dict[bytes, bytes]()
    for growing in (True, False):
        while len(records) < 2_600 if growing else len(records) > 40:
            for _ in range(30):
                if (dice.random() < 0.85) is growing or not records:
                    place = hashed(dice)
                    records[place] = record(place, dice.randrange(1, 1 << 127))
                    tree.put(records[place])
                else:
                    place = dice.choice([*records])
                    assert tree.remove(place)
                    del records[place]
            assert len(tree) == len(records)
            if dice.random() < 0.1:
                fresh = WindowTree(shape, 0, b"".join(records.values()))
                assert tree.digest() == fresh.digest()
                assert tree.under() == fresh.under()
        check_tree(tree, records, dice)
    for place in [*records]:
        tree.remove(place)
    assert tree.digest() == b""
    assert tree.window_digest() == b""
    assert tree.nodes_buffer() == b""


@pytest.mark.parametrize("rows", [0, 1, 9, 95, 96, 97, 1_000, 1_535, 1_536])
def test_dense_levels_are_as_the_format_says(rows: int) -> None:
    dice = random.Random(rows)
    records = [record(hashed(dice), 1 + dice.randrange(1 << 100)) for _ in range(rows)]
    tree = WindowTree(WIDE, 0, b"".join(records))
    expected = theirs(records, as_theirs(WIDE))
    depth = max((d for d in range(9) if 16**d <= rows / 6), default=0)
    levels: list[bytes] = []
    for level in range(depth + 1 if rows else 0):
        for number in range(16**level):
            digits = tuple(number >> 4 * (level - 1 - place) & 15 for place in range(level))
            levels.append(expected.digest(digits) or bytes(32))
    assert tree.nodes_buffer() == b"".join(levels)
    assert tree.entries_buffer() == b"".join(sorted(records))
    again = WindowTree.from_buffers(WIDE, 0, tree.entries_buffer(), tree.nodes_buffer())
    assert again.hashes == 0
    assert again.digest() == expected.digest()
    assert again.hashes == 0


@pytest.mark.parametrize("rows", [96, 1_536])
def test_a_level_comes_and_goes_with_what_is_dirty(rows: int) -> None:
    """At the number of rows at which a dense level begins, one row is a level more or less."""
    dice = random.Random(rows)
    records = {place: record(place, 1) for place in (hashed(dice) for _ in range(rows))}
    tree = WindowTree(WIDE, 0, b"".join(records.values()))
    tree.digest()
    for _ in range(4):
        gone = dice.choice([*records])
        tree.remove(gone)
        fewer = b"".join(one for place, one in records.items() if place != gone)
        tree.compact()
        assert tree.nodes_buffer() == WindowTree(WIDE, 0, fewer).nodes_buffer()
        tree.put(records[gone])
        tree.compact()
        assert tree.nodes_buffer() == WindowTree(WIDE, 0, b"".join(records.values())).nodes_buffer()


def test_levels_below_a_leaf_are_there_as_well() -> None:
    shape = Shape(window_ms=1 << 47, most_in_leaf=500)
    dice = random.Random(1)
    records = {place: record(place, 5) for place in (hashed(dice) for _ in range(300))}
    tree = WindowTree(shape, 0, b"".join(records.values()))
    check_tree(tree, records, dice)
    assert isinstance(tree.node(), Leaf)
    assert tree.nodes_buffer()[32:64] == theirs(records.values(), as_theirs(shape)).digest((0,))


def test_what_shares_a_prefix_of_any_length_is_found() -> None:
    """Places that somebody made: all but the last digit is the same."""
    records = {
        place: record(place, 3)
        for place in (bytes(14) + bytes([high, low]) for high in range(9) for low in range(16))
    }
    tree = WindowTree(WIDE, 0, b"".join(records.values()))
    dice = random.Random(0)
    check_tree(tree, records, dice)
    for place in [*records][::3]:
        tree.remove(place)
        del records[place]
    check_tree(tree, records, dice, 20)
    expected = theirs(records.values(), as_theirs(WIDE))
    for depth in range(reference.DIGITS + 1):
        check_node(tree, expected, (0,) * depth)


def test_many_equal_beginnings_are_sorted() -> None:
    dice = random.Random(5)
    places = {b"\x77" * 8 + dice.randbytes(8) for _ in range(3_000)} | {
        dice.randbytes(16) for _ in range(500)
    }
    records = [record(place, 9) for place in dice.sample(sorted(places), len(places))]
    assert WindowTree(WIDE, 0, b"".join(records)).under() == b"".join(sorted(records))


def test_a_late_row_costs_one_path() -> None:
    dice = random.Random(8)
    tree = WindowTree(WIDE, 0, b"".join(record(hashed(dice), 1) for _ in range(20_000)))
    tree.digest()
    before = tree.hashes
    tree.digest()
    assert tree.hashes == before
    costs = []
    for _ in range(300):
        tree.put(record(hashed(dice), 2))
        tree.digest()
        costs.append(tree.hashes - before)
        before = tree.hashes
    assert (
        max(costs) <= 80
    )  # 20,000 entries are in 256 subtrees of 78 each: the most that there may be are 96.
    assert sum(costs) / len(costs) <= 40


def test_a_change_that_is_none_costs_nothing() -> None:
    dice = random.Random(8)
    records = [record(hashed(dice), 1) for _ in range(500)]
    tree = WindowTree(WIDE, 0, b"".join(records))
    tree.digest()
    before = tree.hashes
    assert not tree.put(records[7])
    assert not tree.remove(bytes(16))
    tree.digest()
    assert tree.hashes == before


def test_a_row_takes_few_bytes() -> None:
    dice = random.Random(8)
    for rows in (96, 1_389, 1_536, 24_576):
        tree = WindowTree(WIDE, 0, b"".join(record(hashed(dice), 1) for _ in range(rows)))
        tree.digest()
        assert tree.resident / rows < 54
        for _ in range(500):
            tree.put(record(hashed(dice), 2))
        tree.digest()
        tree.compact()
        assert tree.resident / len(tree) < 54


def test_a_clone_goes_its_own_way() -> None:
    dice = random.Random(2)
    records = {place: record(place, 1) for place in (hashed(dice) for _ in range(2_000))}
    tree = WindowTree(WIDE, 0, b"".join(records.values()))
    tree.put(record(bytes(16), 5))
    before = tree.digest()
    clone, another = tree.clone(), tree.clone()
    clone.put(record(bytes(16), 6))
    for place in [*records][:500]:
        tree.remove(place)
    assert another.digest() == before
    assert clone.digest() != before
    expected = {**records, bytes(16): record(bytes(16), 6)}
    check_tree(clone, expected, dice, 1)
    remaining = dict([*records.items()][500:])
    check_tree(tree, {**remaining, bytes(16): record(bytes(16), 5)}, dice, 1)


def test_borrowed_buffers_are_read_and_never_written(tmp_path: Path) -> None:
    dice = random.Random(4)
    records = {place: record(place, 1) for place in (hashed(dice) for _ in range(1_700))}
    tree = WindowTree(WIDE, 0, b"".join(records.values()))
    nodes, entries = tree.nodes_buffer(), bytes(tree.entries_buffer())
    file = tmp_path / "entries"
    file.write_bytes(entries)
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    borrowed = WindowTree.from_buffers(WIDE, 0, mapped, nodes)
    assert borrowed.resident == 0
    with pytest.raises(BufferError):
        mapped.close()  # The tree has it.
    check_tree(borrowed, records, dice, 1)
    for number in range(400):
        place = hashed(dice) if number % 3 else dice.choice([*records])
        records[place] = record(place, 2)
        borrowed.put(records[place])
        if number % 100 == 0:
            check_tree(borrowed, records, dice, 1)
    borrowed.compact()
    check_tree(borrowed, records, dice, 1)
    del borrowed
    gc.collect()
    mapped.close()  # Nobody has it any more.
    assert nodes == tree.nodes_buffer()
    assert file.read_bytes() == entries
    unhashed = WindowTree.from_buffers(WIDE, 0, bytearray(entries))
    assert unhashed.digest() == tree.digest()


def test_a_buffer_outlives_the_tree() -> None:
    tree = WindowTree(WIDE, 0, record(bytes(16), 1))
    buffer = tree.entries_buffer()
    tree.put(record(b"\x01" * 16, 2))
    tree.compact()
    del tree
    gc.collect()
    assert buffer == record(bytes(16), 1)
    assert buffer.readonly
    assert bytes(WindowTree(WIDE, 0).entries_buffer()) == b""


def test_what_is_no_tree_is_refused() -> None:
    one = record(bytes(16), at(5))
    with pytest.raises(CallerError, match="place 00000000000000000000000000000000 is there twice"):
        WindowTree(WIDE, 0, one + record(bytes(16), 9))
    with pytest.raises(CallerError, match="records of 47 bytes: they must be 48 for each"):
        WindowTree(WIDE, 0, one[1:])
    with pytest.raises(CallerError, match="records 7 has no bytes in one piece"):
        any_.WindowTree(WIDE, 0, 7)
    with pytest.raises(CallerError, match=r"record 1 has version \d+, which is not of window 0"):
        WindowTree(OURS, 0, one + record(b"\x01" * 16, at(10)))
    with pytest.raises(CallerError, match="window"):
        WindowTree(OURS, 1 << 48)
    tree = WindowTree(OURS, 0, one)
    with pytest.raises(CallerError, match="is of window 1, and not of 0"):
        tree.put(record(bytes(16), at(10)))
    with pytest.raises(CallerError, match="a record of 47 bytes"):
        tree.put(one[1:])
    with pytest.raises(CallerError, match="a record of version 0"):
        tree.put(record(bytes(16), 0))
    with pytest.raises(CallerError, match="a place of 48 bytes"):
        tree.get(one)
    with pytest.raises(CallerError, match="a place of 48 bytes"):
        tree.remove(one)
    with pytest.raises(CallerError, match="is there twice"):
        tree.rebuild(one + one)
    for prefix in (b"\x10", (-1,), (True,), (1.0,), "0"):
        with pytest.raises(CallerError, match="its digits must be whole numbers from 0 to 15"):
            any_.WindowTree.digest(tree, prefix)
    with pytest.raises(CallerError, match="prefix of more than 32 digits"):
        tree.node(bytes(33))
    with pytest.raises(CallerError, match="nothing is below 32 digits"):
        tree.child_digests(bytes(32))
    assert tree.under() == one
    with pytest.raises(CallerError, match="nodes of 2 digests: 1 entries have 1"):
        WindowTree.from_buffers(OURS, 0, one, bytes(64))
    with pytest.raises(CallerError, match="nodes of 33 bytes"):
        WindowTree.from_buffers(OURS, 0, one, bytes(33))
    tree.rebuild(b"")
    assert tree.digest() == b""
    tree.rebuild(one)
    assert tree.under() == one


class Longer(list[int]):
    """Says that it has no digits."""

    def __len__(self) -> int:
        return 0


class Fewer(list[bytes]):
    """Gives less than it says that it has, as a list does which another thread cuts."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index)[:1] if isinstance(index, slice) else super().__getitem__(index)


def test_nothing_is_read_or_written_beyond_what_there_is_whatever_lengths_are_said() -> None:
    tree = WindowTree(WIDE, 0, record(bytes(16), 1))
    for look in (tree.digest, tree.node, tree.under, tree.child_digests):
        with pytest.raises(CallerError, match="prefix of more than 32 digits"):
            look(Longer([0] * 5_000))
    many = [b"%d" % number for number in range(64)]
    for keys, values in ((Fewer(many), many), (many, Fewer(many))):
        with pytest.raises(CallerError, match="became fewer while they were hashed"):
            entries_of(keys, list(range(1, 65)), values)


def test_records_that_change_while_they_are_sorted_are_written_nowhere_else(
    in_threads: Callable[..., None],
) -> None:
    """Nobody may do so, and what is made of them is nobody's matter; but the process goes on."""
    dice = random.Random(7)
    rows, narrow = 200_000, Shape(window_ms=1 << 28)
    shared = bytearray(dice.randbytes(48 * rows))
    shared[16::48] = b"\x01" * rows
    done = threading.Event()

    def change() -> None:
        other = random.Random(8)
        while not done.is_set():
            at_row = 48 * other.randrange(rows)
            shared[at_row : at_row + 2] = other.randbytes(2)
            shared[at_row + 16 : at_row + 18] = bytes([1]) + other.randbytes(1)

    def sort() -> None:
        try:
            for _ in range(8):
                with contextlib.suppress(CallerError):
                    WindowTree(WIDE, 0, shared)
                with contextlib.suppress(CallerError):
                    trees_of(narrow, shared)
        finally:
            done.set()

    in_threads(change, sort)
    sorted_ = WindowTree(WIDE, 0, bytes(shared)).under()
    assert len(sorted_) == len(shared)


def test_trees_are_hashed_and_changed_by_threads(in_threads: Callable[..., None]) -> None:
    dice = random.Random(6)
    start = [record(hashed(dice), 1) for _ in range(6_000)]
    late = [[record(hashed(dice), 2) for _ in range(500)] for _ in range(4)]
    tree = WindowTree(WIDE, 0, b"".join(start))

    def change(mine: list[bytes]) -> None:
        for number, one in enumerate(mine):
            tree.put(one)
            if number % 50 == 0:
                assert tree.digest((3,))
                tree.clone().compact()
            if number % 100 == 0:
                tree.compact()

    in_threads(*[lambda mine=mine: change(mine) for mine in late])
    assert tree.digest() == WindowTree(WIDE, 0, b"".join([*start, *chain(*late)])).digest()


# --- the forest of a replica ------------------------------------------------------------------------------


class Mirror:
    """The reference's replica, and a forest that is told of what happens to its rows."""

    def __init__(self) -> None:
        self.run = ForestRun()
        self.core = ForestCore(OURS, grace_ms=GRACE_MS)

    @property
    def rows(self) -> dict[int, Held]:
        return dict(self.run.state.replica.rows.durable.rows)

    def __call__(self, act: Callable[[], object], after: Callable[[], Iterable[int]] = tuple) -> None:
        """Let the reference take a step, and then the forest; what became dirty is the same."""
        rows, dirty = self.rows, self.run.state.forest.dirty
        act()
        floor, became = self.run.state.replica.floor.durable.floor, list[int]()
        if floor:
            became += self.core.settle(floor)
        for row, held in self.rows.items():
            before = rows.get(row, Held())
            if held != before:
                became += self.core.follow(RULES.entry_of(row, held).record, before.version)
        became += after()
        assert sorted(became) == sorted(self.run.state.forest.dirty - dirty)

    def write(self, row: int, version: int, value: bytes | None = b"v") -> None:
        self(lambda: self.run.write(row, version, value))

    def settle(self, floor: int) -> None:
        self(lambda: self.run.settle(floor))

    def purge(self) -> None:
        self(lambda: self.run(handoff_replica.Purge()))

    def advance(self, stable: int) -> None:
        self(lambda: self.run(forests.Advance(stable)), lambda: self.core.advance(stable))

    def meet(self, entry: reference.Entry, held: Held | None) -> None:
        def after() -> tuple[int, ...]:
            here = self.rows.get(entry.row, Held())
            return self.core.meet_entry(entry.record, here.version)

        self(lambda: self.run(forests.Meet(entry, held)), after)

    def rehash(self, window: int) -> None:
        was = window in self.core.dirty
        self.run(forests.Rehash(window))
        assert self.core.rehash(window) == was

    def reshape(self, shape: Shape) -> None:
        self.run(forests.Reshape(as_theirs(shape)))
        assert set(self.core.reshape(shape)) == self.run.state.forest.dirty

    def check(self) -> None:
        check_forest(self.core, self.run, self.rows)


def check_forest(core: ForestCore, run: ForestRun, rows: dict[int, Held]) -> None:
    forest = run.state.forest
    assert core.stable == forest.stable
    assert core.floor == run.state.replica.floor.durable.floor
    assert core.dirty == forest.dirty
    assert core.amendments == forest.amendments
    assert core.told() == b"".join(window.to_bytes(8, "big") + digest for window, digest in forest.told)
    assert len(core) == len(forest.entries)
    for row in {*rows, *dict(forest.entries)}:
        held, entry = rows.get(row, Held()), forest.entry(row)
        assert core.entry(RULES.place_of(row), held.version) == (None if entry is None else entry.record)
    windows = {RULES.window_of(forest.shape, entry.version) for _, entry in forest.entries}
    assert core.windows == sorted(windows)
    for window in windows | {0}:
        tree, theirs_ = core.tree(window), run.forests.tree(run.state, window)
        digest = b"" if tree is None else tree.digest()
        assert digest == theirs_.digest()
        if tree is not None:
            assert tree.under() == packed(theirs_.under(()))
        assert core.is_sealed(window) == run.forests.is_sealed(run.state, window)
    waiting = {row: held for row, held in rows.items() if held.version > forest.stable}
    assert core.waiting == len(waiting)
    expected = []
    for row, held in waiting.items():
        shown = forest.entry(row)
        expected.append((RULES.entry_of(row, held).record, 0 if shown is None else shown.version))
    assert core.waiting_in_order() == sorted(expected)


def random_step(mirror: Mirror, dice: random.Random, rows: int) -> None:
    stable = mirror.core.stable >> 80
    row = dice.randrange(rows)
    version = at(max(1, stable + dice.randrange(-30, 20)), dice.randrange(3))
    value = dice.choice([None, b"a", b"b"])
    match dice.choices(range(8), [30, 12, 5, 2, 6, 6, 4, 1])[0]:
        case 0:
            mirror.write(row, version, value)
        case 1:
            mirror.advance(at(max(1, stable + dice.randrange(-2, 12)), dice.randrange(3)))
        case 2:
            dirty = sorted(mirror.core.dirty)
            mirror.rehash(dice.choice(dirty) if dirty else 5)
        case 3:
            mirror.settle(at(max(1, stable + dice.randrange(-30, 8)), 7))
        case 4:
            entry = RULES.entry_of(row, Held(version, value))
            mirror.meet(entry, None)
        case 5:
            entry = RULES.entry_of(row, Held(version, value))
            newer = version + (dice.randrange(9) << 80)
            held = Held(version, value) if newer == version else Held(newer, dice.choice([None, b"a", b"b"]))
            mirror.meet(entry, held)
        case 6:
            mirror.purge()
        case 7:
            number = mirror.core.shape.number + 1
            mirror.reshape(
                Shape(number, window_ms=dice.choice([3, 10, 40]), most_in_leaf=dice.choice([1, 2, 8]))
            )


@pytest.mark.parametrize("seed", range(30))
def test_a_forest_is_the_reference_s_after_every_step(seed: int) -> None:
    dice = random.Random(seed)
    mirror = Mirror()
    for _ in range(100):
        random_step(mirror, dice, dice.choice([3, 25]))
        mirror.check()
    for window in sorted(mirror.core.dirty):
        mirror.rehash(window)
    mirror.check()
    assert mirror.core.dirty == frozenset()


@pytest.mark.parametrize("seed", range(10))
def test_a_snapshot_stays_what_it_was(seed: int) -> None:
    dice = random.Random(seed)
    mirror = Mirror()
    kept: list[tuple[merkle_forest.Snapshot, dict[int, bytes], bytes, int, int]] = []
    for number in range(120):
        random_step(mirror, dice, 40)
        if number % 13 == 0:
            mirror.run.clean()
            snapshot = mirror.core.snapshot()
            assert mirror.core.dirty == frozenset()
            trees = {
                window: tree.under()
                for window in snapshot.windows
                if (tree := snapshot.tree(window)) is not None
            }
            kept.append((snapshot, trees, snapshot.told(), mirror.core.stable, mirror.core.floor))
            mirror.check()
        if len(kept) > 3:
            kept.pop(dice.randrange(len(kept)))
    for snapshot, trees, told, stable, floor in kept:
        assert (snapshot.told(), snapshot.stable, snapshot.floor) == (told, stable, floor)
        assert snapshot.windows == sorted(trees)
        for window, entries in trees.items():
            tree = snapshot.tree(window)
            assert tree is not None
            assert tree.under() == entries
            assert snapshot.digests[window] == tree.window_digest()
            assert WindowTree(snapshot.shape, window, entries).digest() == tree.digest()
        assert snapshot.tree(1 << 40) is None


def test_a_snapshot_is_taken_without_copying_and_a_window_copied_once() -> None:
    core = ForestCore(OURS, stable=at(100))
    for row in range(50):
        core.follow(entry_of(bytes([row]), at(row, 1), b"v"))
    first = core.tree(0)
    snapshot = core.snapshot()
    assert snapshot.tree(0) is first
    core.follow(entry_of(b"x", at(3), b"v"))
    second = core.tree(0)
    assert second is not first
    assert core.tree(1) is snapshot.tree(1)
    core.follow(entry_of(b"y", at(3), b"v"))
    assert core.tree(0) is second
    del snapshot
    core.follow(entry_of(b"z", at(15), b"v"))
    third = core.tree(1)
    assert core.snapshot() is not None  # It is gone at once: nobody keeps it.
    core.follow(entry_of(b"z2", at(15), b"v"))
    assert core.tree(1) is third


def test_a_forest_is_restored_from_its_parts() -> None:
    dice = random.Random(11)
    mirror = Mirror()
    for _ in range(150):
        random_step(mirror, dice, 30)
    for row in range(5):
        mirror.write(row, mirror.core.stable + at(row + 1))
    core = mirror.core
    trees = {window: tree.clone() for window in core.windows if (tree := core.tree(window)) is not None}
    told = core.told()
    digests = {
        int.from_bytes(told[start : start + 8], "big"): told[start + 8 : start + 40]
        for start in range(0, len(told), 40)
    }
    assert core.waiting
    assert any(older for _, older in core.waiting_in_order())
    mirror.core = ForestCore(
        core.shape,
        grace_ms=core.grace_ms,
        stable=core.stable,
        floor=core.floor,
        trees=trees,
        told=digests,
        dirty=core.dirty,
        amendments=dict(core.amendments),
        waiting=core.waiting_in_order(),
    )
    mirror.check()
    for _ in range(150):
        random_step(mirror, dice, 30)
        mirror.check()


def test_a_forest_of_parts_that_do_not_fit_is_refused() -> None:
    one = entry_of(b"k", at(5), b"v")
    newer = entry_of(b"k", at(200), b"w")

    def tree() -> WindowTree:
        return WindowTree(OURS, 0, one)

    digest = tree().window_digest()
    fine: dict[str, Any] = {"stable": at(100), "trees": {0: tree()}, "told": {0: digest}}
    ForestCore(OURS, **fine)
    with pytest.raises(CallerError, match="window 0 belongs to another forest"):
        ForestCore(OURS, **fine)
    wrong: dict[str, Any]
    for wrong, message in (
        ({"trees": {1: tree()}, "told": {1: digest}}, "the tree of window 1 is of window 0"),
        ({"trees": {0: WindowTree(WIDE, 0, one)}}, "both must be the forest's"),
        ({"trees": {0: one}}, "is no WindowTree"),
        ({"told": {}}, "window 0 has a tree or a digest alone, and is not dirty"),
        ({"told": {0: digest, 1: digest}}, "window 1 has a tree or a digest alone"),
        ({"told": {0: digest[1:]}}, "it must have 32 bytes"),
        ({"dirty": [-1]}, "window"),
        ({"amendments": {0: 0}}, "amendments"),
        ({"waiting": [(newer, at(4))]}, "and shown in"),
        ({"waiting": [(newer, at(50))]}, "no entry is shown of it"),
        ({"waiting": [(newer, at(150))]}, "one must be above it, and the other not"),
        ({"waiting": [(one, 0)]}, "one must be above it"),
        ({"waiting": [(newer, at(5)), (newer, at(5))]}, "waits twice"),
        ({"waiting": [("", 0)]}, "record '' is no bytes"),
    ):
        with pytest.raises(CallerError, match=message):
            ForestCore(OURS, **{**fine, "trees": {0: tree()}, **wrong})
    for wrong, message in (
        ({"grace_ms": -1}, "grace_ms -1"),
        ({"max_waiting": 0}, "max_waiting 0"),
        ({"max_waiting": 1 << 31}, "it must be at most"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            ForestCore(OURS, **{**fine, "trees": {0: tree()}, **wrong})
    waiting = ForestCore(OURS, **{**fine, "trees": {0: tree()}}, waiting=[(newer, at(5))])
    assert waiting.entry(place_of(b"k"), at(200)) == one


def test_an_impossible_step_is_refused_and_changes_nothing() -> None:
    core = ForestCore(OURS, stable=at(100))
    one, newer = entry_of(b"k", at(5), b"v"), entry_of(b"k", at(200), b"w")
    assert core.follow(one) == (0,)
    assert core.follow(one, at(5)) == ()  # Nothing changes.
    for act, message in (
        (lambda: core.follow(one, at(6)), "what is held only becomes newer"),
        (lambda: core.follow(newer, at(4)), "and shown in"),
        (lambda: core.follow(newer, at(40)), "no entry is shown of it"),
        (lambda: core.follow(newer, at(150)), "and does not wait"),
        (lambda: core.follow(entry_of(b"k", at(6), b"w")), "and said not to be"),
        (lambda: core.follow(one[:-1]), "a record of 47 bytes"),
        (lambda: core.advance(-1), "stable -1 is out of range"),
        (lambda: core.settle(1 << 128), "floor"),
        (lambda: core.meet_entry(one, at(150)), "and does not wait"),
        (lambda: core.entry(place_of(b"k"), at(150)), "and does not wait"),
        (lambda: core.entry(place_of(b"k"), at(6)), "and shown in"),
        (lambda: core.rehash(-1), "window"),
        (lambda: core.clean(0), "threads"),
        (lambda: core.reshape(OURS), "setting 0 is not above 0: a setting never comes back"),
        (lambda: any_.ForestCore.reshape(core, SHAPE), "is no Shape"),
    ):
        with pytest.raises(CallerError, match=message):
            act()
    assert core.follow(newer, at(5)) == ()
    with pytest.raises(CallerError, match="and waits in"):
        core.follow(newer, at(5))
    with pytest.raises(CallerError, match="and waits in"):
        core.entry(place_of(b"k"), at(5))
    tree = core.tree(0)
    assert tree is not None
    for change in (lambda: tree.put(one), lambda: tree.remove(one[:16]), lambda: tree.rebuild(b"")):
        with pytest.raises(CallerError, match="window 0 belongs to a forest"):
            change()
    assert (core.windows, core.dirty, core.waiting) == ([0], frozenset({0}), 1)
    assert tree.under() == one


def test_a_tombstone_that_is_purged_while_it_waits_is_no_matter_to_the_next_write() -> None:
    """The floor may be above the stable time."""
    core = ForestCore(OURS, stable=at(10))
    core.follow(entry_of(b"k", at(5), b"v"))
    core.follow(entry_of(b"k", at(20), None), at(5))
    core.settle(at(30))
    with pytest.raises(CallerError, match="and waits in"):
        core.follow(entry_of(b"k", at(40), b"w"), at(5))
    assert core.entry(place_of(b"k"), at(20)) is None
    assert core.waiting == 1
    core.follow(entry_of(b"k", at(40), b"w"))
    assert core.waiting == 1
    core.advance(at(50))
    found = core.entry(place_of(b"k"), at(40))
    assert found is not None
    assert (core.waiting, version_of(found)) == (0, at(40))
    core.follow(entry_of(b"l", at(60), None))
    with pytest.raises(CallerError, match="and waits in"):
        core.follow(entry_of(b"l", at(61), b"w"))  # It is above the floor: nobody has purged it.


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_stop_waiting_leave_the_others_in_their_order(seed: int) -> None:
    dice = random.Random(seed)
    core = ForestCore(OURS, stable=at(10))
    keys = [number.to_bytes(4, "big") for number in range(1_000)]
    held = {key: at(11) + dice.randrange(at(30)) for key in keys}
    deleted = {key for key in keys if held[key] <= at(25) and dice.random() < 0.7}
    for key in keys:
        core.follow(entry_of(key, held[key], None if key in deleted else b"v"))
    core.settle(at(25))
    for key in dice.sample(sorted(deleted), len(deleted)):  # Purged, and written again.
        held[key] = at(26) + dice.randrange(at(30))
        core.follow(entry_of(key, held[key], b"w"))
    for ms in range(11, 60, 3):
        core.advance(at(ms))
        assert core.waiting == sum(version > at(ms) for version in held.values())
        assert len(core) == len(keys) - core.waiting


def test_who_takes_the_place_of_one_that_waits_no_more_comes_in_its_turn() -> None:
    """The last of the heap, 14, comes below 24, which is above it."""
    core = ForestCore(OURS, stable=at(10))
    for ms in (11, 24, 12, 25, 26, 13, 14):
        core.follow(entry_of(b"%d" % ms, at(ms), None if ms == 25 else b"v"))
    core.settle(at(25))
    assert core.entry(place_of(b"25"), 0) is None
    for ms in (40, 41):
        core.follow(entry_of(b"%d" % ms, at(ms), b"v"))
    assert core.waiting == 8
    core.advance(at(20))
    assert core.waiting == 4


def test_as_many_rows_wait_as_may() -> None:
    core = ForestCore(OURS, stable=at(10), max_waiting=2)
    core.follow(entry_of(b"1", at(20), b"v"))
    core.follow(entry_of(b"2", at(21), b"v"))
    with pytest.raises(
        TooManyWaitingError, match="2 rows are held in versions above the stable time"
    ) as full:
        core.follow(entry_of(b"3", at(22), b"v"))
    assert isinstance(full.value, OverloadError)
    assert full.value.limit == 2
    core.follow(entry_of(b"2", at(23), b"w"), at(21))  # It waits already.
    core.follow(entry_of(b"3", at(9), b"v"))  # It needs not wait.
    assert core.advance(at(20)) == (2,)
    core.follow(entry_of(b"4", at(22), b"v"))
    assert core.waiting == 2
    with pytest.raises(TooManyWaitingError):
        ForestCore(OURS, waiting=[(entry_of(b"1", 5, b""), 0), (entry_of(b"2", 5, b""), 0)], max_waiting=1)


@pytest.mark.parametrize("seed", range(3))
def test_thousands_wait_and_come_in_their_order(seed: int) -> None:
    dice = random.Random(seed)
    core = ForestCore(OURS, grace_ms=0)
    held: dict[bytes, int] = {}
    shown: dict[bytes, int] = {}
    stable = 0
    for _ in range(40):
        for _ in range(200):
            key = dice.choice([*held]) if held and dice.random() < 0.4 else dice.randbytes(6)
            version = max(held.get(key, 0), at(stable + 1) + dice.randrange(at(40)))
            core.follow(entry_of(key, version, b"v"), held.get(key, 0))
            held[key] = version
        stable += dice.randrange(12)
        core.advance(at(stable))
        shown.update({key: version for key, version in held.items() if version <= at(stable)})
        assert len(core) == len(shown)
        assert core.waiting == sum(version > at(stable) for version in held.values())
    for key, version in held.items():
        entry = core.entry(place_of(key), version)
        assert (0 if entry is None else version_of(entry)) == shown.get(key, 0)


def test_a_settled_window_loses_many_at_once() -> None:
    core = ForestCore(WIDE, stable=at(1_000))
    keys = [number.to_bytes(4, "big") for number in range(3_000)]
    records = [
        entry_of(key, at(1 + number % 700), None if number % 3 else b"v") for number, key in enumerate(keys)
    ]
    for one in records:
        core.follow(one)
    core.clean()
    snapshot = core.snapshot()
    assert core.settle(at(400)) == (0,)
    left = [one for one in records if not (is_tombstone(one) and version_of(one) <= at(400))]
    tree = core.tree(0)
    assert tree is not None
    assert tree.under() == b"".join(sorted(left))
    assert tree.digest() == WindowTree(WIDE, 0, b"".join(left)).digest()
    assert core.settle(at(400)) == core.settle(at(1)) == ()
    old = snapshot.tree(0)
    assert old is not None
    assert len(old) == 3_000
    core.clean()
    assert core.follow(entry_of(b"late", at(300), None)) == ()  # It is purged already.
    assert core.settle(at(401)) == (0,)


def test_windows_are_hashed_by_threads_while_others_write(in_threads: Callable[..., None]) -> None:
    core = ForestCore(OURS, stable=at(1_000), grace_ms=0)
    keys = [[bytes([who]) + number.to_bytes(4, "big") for number in range(600)] for who in range(3)]
    records = [[entry_of(key, at(number % 97, 1), b"v") for number, key in enumerate(mine)] for mine in keys]

    def write(mine: list[bytes]) -> None:
        for one in mine:
            core.follow(one)

    def hash_all() -> None:
        for _ in range(20):
            core.clean(threads=3)
            snapshot = core.snapshot()
            for window in snapshot.windows:
                tree = snapshot.tree(window)
                assert tree is not None
                assert tree.window_digest() == snapshot.digests[window]

    in_threads(*[lambda mine=mine: write(mine) for mine in records], hash_all)
    told = core.clean(threads=4)
    assert core.dirty == frozenset()
    expected = trees_of(OURS, b"".join(chain(*records)))
    assert core.windows == sorted(expected)
    for window, tree in expected.items():
        ours = core.tree(window)
        assert ours is not None
        assert ours.digest() == tree.digest()
    assert dict(told).items() <= {window: tree.window_digest() for window, tree in expected.items()}.items()


def test_cleaning_says_what_it_hashed() -> None:
    core = ForestCore(OURS, stable=at(1_000))
    core.follow(entry_of(b"1", at(5), b"v"))
    core.follow(entry_of(b"2", at(15), b"v"))
    first = core.clean()
    assert [window for window, _ in first] == [0, 1]
    assert dict(first) == {
        window: RULES.window_digest(as_theirs(OURS), window, tree.digest())
        for window in (0, 1)
        if (tree := core.tree(window)) is not None
    }
    assert core.clean() == []
    core.follow(entry_of(b"1", at(16), b"w"), at(5))
    assert dict(core.clean(threads=2))[0] == b""
    assert core.windows == [1]


def test_trees_of_many_windows_are_made_at_once() -> None:
    dice = random.Random(9)
    records = [record(hashed(dice), at(dice.randrange(500), dice.randrange(9))) for _ in range(2_000)]
    trees = trees_of(OURS, b"".join(records))
    by_window: dict[int, list[bytes]] = {}
    for one in records:
        by_window.setdefault(OURS.window_of(version_of(one)), []).append(one)
    assert {window: tree.under() for window, tree in trees.items()} == {
        window: b"".join(sorted(some)) for window, some in by_window.items()
    }
    assert all(tree.window == window for window, tree in trees.items())
    assert trees_of(OURS, b"") == {}
    with pytest.raises(CallerError, match="is there twice"):
        trees_of(OURS, records[0] + records[0])


def test_replacing_a_shape_keeps_the_entries() -> None:
    mirror = Mirror()
    mirror.advance(at(400))
    dice = random.Random(2)
    for row in range(60):
        mirror.write(row, at(1 + dice.randrange(380)))
    mirror.reshape(replace_shape(OURS, 1, 50))
    mirror.check()
    for window in sorted(mirror.core.dirty):
        mirror.rehash(window)
    mirror.check()
    assert replace(as_theirs(OURS), number=1, window_ms=50) == mirror.run.state.forest.shape


def replace_shape(shape: Shape, number: int, window_ms: int) -> Shape:
    return Shape(number, window_ms, shape.most_in_leaf, shape.encoding)
