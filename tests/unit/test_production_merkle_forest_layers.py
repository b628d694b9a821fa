"""Large windows of the production's forest: a middle layer is between their base and the last amendments.

From 65,536 rows on there is one; 1,024 amendments are merged into it, and it into the base if it would have
more than 4,096. Nothing of that is to be seen: a tree is compared with a ``dict`` and with one just made.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from scratchbird.errors import CallerError
from scratchbird.merkle_forest import ForestCore, Shape, WindowTree, is_tombstone, version_of

WIDE = Shape(window_ms=1 << 47)
"""All versions that occur here are of window 0."""
ROWS, BATCH, MIDDLE = 66_000, 1_024, 4_096
EACH = 49
"""Bytes of an amendment: a record, and what it does."""
Records = dict[bytes, bytes]
"""By place."""
CLUSTER = [b"\x5a" * 15 + bytes([last]) for last in range(24)]
"""Places that have all but two digits in common, some twice as many as a leaf may have."""


# --- what the tests make ----------------------------------------------------------------------------------


def record(place: bytes, version: int, *, deletes: bool = False) -> bytes:
    """An entry made by hand."""
    digest = sha256(place + version.to_bytes(16, "big")).digest()[:15]
    return place + version.to_bytes(16, "big") + digest + (b"\x01" if deletes else b"\x02")


def many(dice: random.Random, rows: int = ROWS, version: int = 1) -> Records:
    """Entries at places as hashes are."""
    middle = version.to_bytes(16, "big")
    noise = dice.randbytes(31 * rows)
    starts = range(0, len(noise), 31)
    return {
        noise[at : at + 16]: noise[at : at + 16] + middle + noise[at + 16 : at + 31] + b"\x02"
        for at in starts
    }


def fresh(records: Records) -> WindowTree:
    return WindowTree(WIDE, 0, b"".join(records.values()))


def digits(place: bytes, level: int) -> tuple[int, ...]:
    return tuple(place[each // 2] >> 4 * (1 - each % 2) & 15 for each in range(level))


def check_tree(tree: WindowTree, records: Records, prefixes: Iterable[tuple[int, ...]]) -> None:
    """A tree shows these records, and nothing else, above and below each of these prefixes."""
    expected = fresh(records)
    assert len(tree) == len(records)
    assert tree.digest() == expected.digest()
    assert tree.window_digest() == expected.window_digest()
    for prefix in prefixes:
        assert tree.under(prefix) == expected.under(prefix)
        assert tree.digest(prefix) == expected.digest(prefix)
        assert tree.node(prefix) == expected.node(prefix)
        if len(prefix) < 32:
            assert tree.child_digests(prefix) == expected.child_digests(prefix)


def below(place: bytes) -> list[tuple[int, ...]]:
    """Prefixes of a place of each length."""
    return [digits(place, level) for level in range(1, 33)]


class Played:
    """A tree, and what is to be in it. Some places are hot: they are removed and put again in all layers."""

    def __init__(self, tree: WindowTree, records: Records, dice: random.Random) -> None:
        self.tree, self.records, self.dice = tree, records, dice
        self.hot = [*dice.sample([*records], 40), *CLUSTER, *[dice.randbytes(16) for _ in range(20)]]
        self.cold = [*records]

    def change(self, version: int) -> None:
        dice = self.dice
        kind = dice.random()
        place = (
            dice.choice(self.hot)
            if kind < 0.1
            else dice.choice(self.cold)
            if kind < 0.5
            else dice.randbytes(16)
        )
        if dice.random() < (0.5 if kind < 0.1 else 0.3):
            assert self.tree.remove(place) == (place in self.records)
            self.records.pop(place, None)
            assert self.tree.get(place) is None
            return
        # Sometimes what was there before: then it is the base's again, or nothing changes.
        new = record(place, version if dice.random() < 0.7 else 2)
        assert self.tree.put(new) == (self.records.get(place) != new)
        self.records[place] = new
        assert self.tree.get(place) == new

    def play(self, steps: int, version: int) -> None:
        for step in range(steps):
            self.change(version + step)

    def check(self) -> None:
        some = self.dice.sample(self.hot, 3)
        for place in self.hot:
            assert self.tree.get(place) == self.records.get(place)
            assert self.tree.under(digits(place, 32)) == self.records.get(place, b"")
        check_tree(self.tree, self.records, [(), *itertools.chain(*map(below, some)), *below(CLUSTER[0])])

    def branch(self) -> Played:
        """A clone, with the same to be in it."""
        made = Played.__new__(Played)
        made.tree, made.records, made.dice = self.tree.clone(), dict(self.records), self.dice
        made.hot, made.cold = self.hot, self.cold
        return made


# --- trees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_a_large_tree_is_as_one_that_was_just_made(seed: int) -> None:
    """Through some twenty merges into the middle and four into the base."""
    print(f"seed {seed}")
    dice = random.Random(seed)
    records = many(dice, version=2)
    played = Played(fresh(records), records, dice)
    for turn in range(24):
        played.play(dice.randrange(600, 1_600), 1_000 + 10_000 * turn)
        if turn % 3 == 0:
            played.check()
    played.check()
    assert played.tree.under() == b"".join(played.records[place] for place in sorted(played.records))
    assert played.tree.nodes_buffer() == fresh(played.records).nodes_buffer()
    assert played.tree.entries_buffer() == fresh(played.records).entries_buffer()
    played.check()


def test_all_that_two_and_three_changes_of_a_place_do_together() -> None:
    """A place for each history: in the base or not; then put, removed or left alone, four times."""
    dice = random.Random(5)
    records = many(dice)
    acts = ("put", "remove", "")
    histories = [*itertools.product((True, False), *[acts] * 4)]
    places = {history: dice.randbytes(16) for history in histories}
    records.update({place: record(place, 1) for history, place in places.items() if history[0]})
    tree = fresh(records)
    filling = many(dice, 4 * BATCH, version=7)
    fillers = iter(filling.values())

    def check() -> None:
        for history, place in places.items():
            expected = records.get(place)
            assert tree.get(place) == expected, history
            assert tree.under(digits(place, 32)) == (expected or b""), history
        check_tree(tree, records, [(), *[digits(place, 5) for place in places.values()]])

    for time in range(1, 5):
        for history, place in places.items():
            if history[time] == "put":
                records[place] = record(place, 10 + time)
                assert tree.put(records[place])
            elif history[time] == "remove":
                assert tree.remove(place) == (records.pop(place, None) is not None), history
        check()
        if time < 3:  # What is above becomes part of the middle; the last two times meet in the amendments.
            for one in itertools.islice(fillers, BATCH):
                tree.put(one)
                records[one[:16]] = one
            check()
    tree.compact()
    check()
    assert tree.entries_buffer() == b"".join(records[place] for place in sorted(records))


def test_a_window_that_is_emptied_and_filled_again_layer_by_layer() -> None:
    dice = random.Random(6)
    records = many(dice)
    tree = fresh(records)
    gone = dice.sample([*records], MIDDLE + 2 * BATCH)
    kept = dict(records)
    for number, place in enumerate(gone):
        assert tree.remove(place)
        assert not tree.remove(place)
        del kept[place]
        if number in (BATCH - 1, BATCH, 3 * BATCH, MIDDLE + BATCH):
            check_tree(tree, kept, [(), digits(place, 4)])
    for number, place in enumerate(gone):
        assert tree.put(records[place])
        assert not tree.put(records[place])
        kept[place] = records[place]
        if number in (BATCH, MIDDLE + BATCH):
            check_tree(tree, kept, [(), digits(place, 4)])
    check_tree(tree, records, [()])
    assert tree.entries_buffer() == fresh(records).entries_buffer()


def test_what_is_added_and_removed_again_leaves_nothing() -> None:
    """What the middle added is removed: both are gone, and with them the middle."""
    dice = random.Random(7)
    records = many(dice)
    tree = fresh(records)
    tree.digest()
    digest, size = tree.digest(), tree.resident
    before = tree.entries_buffer()
    added = many(dice, BATCH, version=3)
    for one in added.values():
        tree.put(one)
    for number, place in enumerate(added):
        tree.remove(place)
        if number == 0:
            assert tree.digest() != digest
    tree.remove(next(iter(records)))
    tree.put(records[next(iter(records))])
    assert tree.digest() == digest
    check_tree(tree, records, [()])
    assert tree.entries_buffer() == before
    assert tree.resident == size


@pytest.mark.parametrize("seed", range(2))
def test_clones_of_a_large_tree_go_their_own_ways(seed: int) -> None:
    """They share base and middle, and each merges what it has into its own."""
    print(f"seed {seed}")
    dice = random.Random(100 + seed)
    records = many(dice, version=2)
    all_of_them = [Played(fresh(records), records, dice)]
    all_of_them[0].play(2 * BATCH + 500, 1_000)
    for turn in range(8):
        all_of_them.append(dice.choice(all_of_them).branch())
        untouched = dice.choice(all_of_them)
        before = (untouched.tree.digest(), untouched.tree.under((1, 2)))
        for one in dice.sample(all_of_them, 2):
            if one is not untouched:
                one.play(dice.randrange(BATCH // 2, 2 * BATCH), 10_000 * (turn + 1))
        assert (untouched.tree.digest(), untouched.tree.under((1, 2))) == before
    for one in all_of_them:
        one.check()
    for one in all_of_them[::2]:
        one.tree.compact()
    for one in all_of_them:
        one.check()


def test_large_borrowed_buffers_are_never_written(tmp_path: Path) -> None:
    dice = random.Random(8)
    records = many(dice, version=2)
    source = fresh(records)
    nodes, entries = source.nodes_buffer(), bytes(source.entries_buffer())
    file = tmp_path / "entries"
    file.write_bytes(entries)
    with file.open("rb") as opened:
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
    played = Played(WindowTree.from_buffers(WIDE, 0, mapped, nodes), dict(records), dice)
    assert played.tree.resident == 0
    played.play(2 * BATCH, 1_000)
    played.check()
    assert played.tree.resident < 48 * ROWS  # The base is borrowed still.
    clone = played.branch()
    played.play(MIDDLE + 2 * BATCH, 100_000)
    assert played.tree.resident > 48 * ROWS
    played.check()
    clone.check()
    clone.tree.rebuild(entries)
    check_tree(clone.tree, records, [()])
    assert nodes == source.nodes_buffer()
    assert file.read_bytes() == entries


def test_a_middle_is_counted_and_a_small_window_has_none() -> None:
    dice = random.Random(9)
    for rows, expected in ((64_000, 4_096), (66_000, 2_048 + 1_024)):
        tree = fresh(many(dice, rows))
        tree.digest()
        before = tree.resident
        for one in many(dice, 3_000, version=2).values():
            tree.put(one)
        tree.digest()
        assert tree.resident - before == EACH * expected
        clone = tree.clone()
        assert before < clone.resident <= tree.resident
        tree.compact()
        assert tree.resident / len(tree) < 54


def test_a_late_row_of_a_large_window_costs_one_path() -> None:
    dice = random.Random(10)
    tree = fresh(many(dice, 100_000))
    tree.digest()
    costs, before = [], tree.hashes
    for one in many(dice, 3 * BATCH, version=2).values():
        tree.put(one)
        tree.digest()
        costs.append(tree.hashes - before)
        before = tree.hashes
    assert max(costs) <= 80
    assert sum(costs) / len(costs) <= 40


# --- without memory ---------------------------------------------------------------------------------------


def test_a_middle_of_one_row_is_merged_as_any_other_one() -> None:
    dice = random.Random(21)
    records = many(dice)
    tree = fresh(records)
    late = many(dice, BATCH, version=3)
    kept, *others = late
    for each in late.values():
        tree.put(each)
    for place in others:  # The first of them has the others merged into a middle before.
        assert tree.remove(place)
    last = [record(kept, 4), record(dice.randbytes(16), 5)]
    for each in last:  # Before the second one the middle loses all but one.
        assert tree.put(each)
    records |= {each[:16]: each for each in last}
    check_tree(tree, records, below(kept))
    tree.compact()
    check_tree(tree, records, below(kept))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("rows", [500, ROWS])
def test_borrowed_entries_that_are_out_of_order_write_over_nothing(rows: int, seed: int) -> None:
    """They show what they show; what is merged with them is as many as there are said to be, or refused."""
    dice = random.Random(seed)
    entries = [*many(dice, rows).values()]
    tree = WindowTree.from_buffers(WIDE, 0, b"".join(entries))
    refused = 0
    for number in range(12 * BATCH):
        place = dice.choice(entries)[:16] if dice.random() < 0.7 else dice.randbytes(16)
        try:
            if dice.random() < 0.5:
                tree.remove(place)
            else:
                tree.put(record(place, 7 + number))
        except CallerError as error:
            refused += "not in the order of their places" in str(error)
    with contextlib.suppress(CallerError):
        assert len(tree.under()) == 48 * len(tree)
    tree.digest()
    with contextlib.suppress(CallerError):
        tree.compact()
    tree.rebuild(b"".join(entries))
    assert tree.digest() == fresh({each[:16]: each for each in entries}).digest()
    assert refused or rows == ROWS  # Few of so many changes meet the order of so many entries.


@contextlib.contextmanager
def memory_for(number: int, refused: int) -> Iterator[None]:
    """So many allocations succeed, some after them fail, and then all succeed again."""
    testing: Any = pytest.importorskip("_testcapi")
    tracer = sys.gettrace()
    sys.settrace(None)  # What measures coverage allocates as well, and is not to be the one that is refused.
    testing.set_nomemory(number, number + refused)
    try:
        yield
    finally:
        testing.remove_mem_hooks()
        sys.settrace(tracer)


@pytest.mark.parametrize(
    ("rows", "late", "act", "failures"),
    [
        (ROWS, 3 * BATCH, "put", 2),  # Into the middle.
        (ROWS, 3 * BATCH, "compact", 4),
        (ROWS, 3 * BATCH, "clone", 4),
        (ROWS, 3 * BATCH, "node", 4),
        (ROWS, MIDDLE + BATCH, "put", 4),  # Into the base.
        (ROWS, MIDDLE + BATCH, "remove", 4),
        (23_500, 1_468, "put", 2),  # A dense level more, which it can do without.
        (23_500, 1_468, "compact", 2),
    ],
)
@pytest.mark.parametrize("refused", [1, 3])
def test_a_tree_stays_as_it_was_if_there_is_no_memory(
    rows: int, late: int, act: str, failures: int, refused: int
) -> None:
    """What is done is the first that merges what came since; some of its allocations are refused."""
    dice = random.Random(11)
    records = many(dice, rows)
    tree = fresh(records)
    tree.digest()
    for late_one in many(dice, late, version=3).values():
        tree.put(late_one)
        records[late_one[:16]] = late_one
    place = next(iter(records))
    last = record(dice.randbytes(16), 9)
    acts: dict[str, Callable[[WindowTree], object]] = {
        "put": lambda one: one.put(last),
        "remove": lambda one: one.remove(place),
        "compact": WindowTree.compact,
        "clone": WindowTree.clone,
        "node": WindowTree.node,
    }
    changed = {
        "put": {**records, last[:16]: last},
        "remove": {one: content for one, content in records.items() if one != place},
    }.get(act, records)
    before, after = fresh(records), fresh(changed)
    failed, attempts = 0, 40 if act == "node" else 14
    for number in range(attempts):
        one = tree.clone()
        expected = after
        try:
            with memory_for(number, refused):
                acts[act](one)
        except MemoryError:
            failed += 1
            expected = before
        assert len(one) == len(expected)
        assert one.under() == expected.under()
        assert one.digest() == expected.digest()
        acts[act](one)
        assert one.nodes_buffer() == after.nodes_buffer()
        assert one.entries_buffer() == after.entries_buffer()
    assert failures <= failed < attempts  # So there was memory enough in the end.


# --- what is purged ---------------------------------------------------------------------------------------


def settled(records: Records, floor: int) -> Records:
    return {
        place: one for place, one in records.items() if not (is_tombstone(one) and version_of(one) <= floor)
    }


def large_core(dice: random.Random) -> tuple[ForestCore, Records]:
    """A forest of one window with deletes in each layer, and with some that a layer above covers."""
    records = many(dice)
    deleted = dice.sample([*records], 3_000)
    records.update({place: record(place, 100, deletes=True) for place in deleted})
    core = ForestCore(WIDE, stable=1_000_000, trees={0: fresh(records)}, dirty=[0])
    core.clean()
    for step in range(2 * BATCH + 300):
        place = (
            deleted[step]
            if step % 3 == 0
            else dice.randbytes(16)
            if step % 3 == 1
            else dice.choice([*CLUSTER])
        )
        held = version_of(records[place]) if place in records else 0
        new = record(place, 1_000 + step, deletes=step % 2 == 0)
        core.follow(new, held)
        records[place] = new
    return core, records


def test_a_large_window_loses_what_is_purged_in_each_layer() -> None:
    dice = random.Random(12)
    core, records = large_core(dice)
    snapshot = core.snapshot()
    assert core.settle(99) == ()  # Nothing is as old as that.
    for floor in (100, 1_000 + BATCH, 500_000):
        left = settled(records, floor)
        assert len(left) < len(records)
        core.clean()
        assert core.settle(floor) == (0,)
        tree, old = core.tree(0), snapshot.tree(0)
        assert tree is not None
        assert old is not None
        check_tree(tree, left, [(), *below(CLUSTER[0])])
        assert old.window_digest() == snapshot.digests[0]
        assert core.settle(floor) == ()
        for one in many(dice, 1_500, version=floor + 7).values():
            core.follow(one)
            left[one[:16]] = one
        check_tree(tree, left, [()])
        records = left


def test_a_snapshot_of_a_large_window_keeps_it_as_it_was() -> None:
    dice = random.Random(13)
    core, records = large_core(dice)
    snapshots = []
    for turn in range(5):
        core.clean()
        snapshots.append((core.snapshot(), dict(records)))
        for one in many(dice, BATCH + 500, version=10_000 + turn).values():
            core.follow(one)
            records[one[:16]] = one
    for snapshot, expected in snapshots:
        tree = snapshot.tree(0)
        assert tree is not None
        assert tree.window_digest() == snapshot.digests[0] == fresh(expected).window_digest()
        assert tree.under() == fresh(expected).under()


def core_at_a_level(dice: random.Random) -> tuple[ForestCore, Records]:
    """A forest of one window that has just enough rows for a dense level, and when it is purged too few."""
    records = many(dice, 24_600)
    records.update({place: record(place, 100, deletes=True) for place in dice.sample([*records], 5_000)})
    core = ForestCore(WIDE, stable=1_000_000, trees={0: fresh(records)}, dirty=[0])
    core.clean()
    return core, records


@pytest.mark.parametrize("make", [large_core, core_at_a_level])
def test_all_or_nothing_is_purged_if_there_is_no_memory(
    make: Callable[[random.Random], tuple[ForestCore, Records]],
) -> None:
    failed = 0
    for number in range(16):
        core, records = make(random.Random(14))
        expected = settled(records, 1_500)
        try:
            with memory_for(number, 1):
                core.settle(1_500)
        except MemoryError:
            failed += 1
            if len(core) == len(records):  # And not after it was done, when a step is told of.
                expected = records
        assert (core.floor == 1_500) == (expected is not records)
        tree = core.tree(0)
        assert tree is not None
        check_tree(tree, expected, [()])
        core.settle(1_600)
        tree = core.tree(0)
        assert tree is not None
        check_tree(tree, settled(records, 1_600), [()])
    assert failed
