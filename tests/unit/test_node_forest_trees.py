"""Trees of the production core on files of the store: what was saved is borrowed, amendments go on top."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchbird.errors import CallerError
from scratchbird.merkle_forest import Shape, WindowTree, entry_of, place_of
from scratchbird_node.forest_store import ForestStore
from scratchbird_node.forest_window import OpenWindow
from scratchbird_node.forest_words import Amendment

SHAPE = Shape(number=1)
WINDOW = 470_000
FIRST = (WINDOW * SHAPE.window_ms << 80) + (8 << 76) + (2 << 62)
"""A version in that window."""


def key(number: int) -> bytes:
    return b"key %d" % number


def entry(number: int, more: int = 0) -> bytes:
    return entry_of(key(number), FIRST + (more << 20) + number, b"value %d" % more)


def save(store: ForestStore, tree: WindowTree) -> None:
    mark = store.mark(tree.window)
    assert store.save(mark, tree.entries_buffer(), tree.nodes_buffer(), tree.window_digest())


def tree_on(opened: OpenWindow) -> WindowTree:
    tree = WindowTree.from_buffers(SHAPE, opened.head.window, opened.records, opened.levels)
    for place, value in opened.amendments.items():
        if value is None:
            tree.remove(place)
        else:
            tree.put(value)
    return tree


@pytest.mark.parametrize("count", [0, 1, 95, 96, 1389, 3000])
def test_a_tree_that_was_saved_is_opened_without_hashing_and_has_the_same_digest(
    tmp_path: Path, count: int
) -> None:
    tree = WindowTree(SHAPE, WINDOW)
    for number in range(count):
        tree.put(entry(number))
    with ForestStore(tmp_path, SHAPE.identity) as store:
        save(store, tree)
        assert store.digest(WINDOW) == tree.window_digest()
    with ForestStore(tmp_path, SHAPE.identity) as store, store.open(WINDOW) as opened:
        again = tree_on(opened)
        assert again.window_digest() == tree.window_digest() == opened.digest
        assert again.digest(b"\x07") == tree.digest(b"\x07")
        assert again.hashes <= 20  # Of the window, and at most what is below one node of the deepest level.
        assert bytes(again.entries_buffer()) == bytes(tree.entries_buffer())
        if count:
            with pytest.raises(CallerError, match="still in use"):
                opened.close()
        del again


def test_what_was_amended_since_is_hashed_anew_and_the_digest_is_that_of_all_entries(tmp_path: Path) -> None:
    tree = WindowTree(SHAPE, WINDOW)
    for number in range(1389):
        tree.put(entry(number))
    with ForestStore(tmp_path, SHAPE.identity) as store:
        save(store, tree)
        before = store.digest(WINDOW)
        batch = [Amendment(WINDOW, place_of(key(number)), entry(number, 1)) for number in range(5)]
        batch += [Amendment(WINDOW, place_of(key(number)), None) for number in range(5, 9)]
        batch += [Amendment(WINDOW, place_of(key(2000)), entry(2000))]
        for _, place, value in batch:
            if value is None:
                tree.remove(place)
            else:
                tree.put(value)
        store.sync(store.append(batch))
    with ForestStore(tmp_path, SHAPE.identity) as store:
        assert store.digest(WINDOW) is None
        with store.open(WINDOW) as opened:
            again = tree_on(opened)
            assert again.window_digest() == tree.window_digest() != before
            save(store, again)
            assert store.digest(WINDOW) == tree.window_digest()
    with ForestStore(tmp_path, SHAPE.identity) as store, store.open(WINDOW) as opened:
        assert bytes(opened.records) == bytes(tree.entries_buffer())
        assert opened.digest == tree.window_digest()
