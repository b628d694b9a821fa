"""A replica's forest, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scratchbird_check.machines.merkle_forest_pair import (
    GRACE_MS,
    SETTING,
    SHAPE,
    ForestRun,
    at,
    empty_forest,
)
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.errors import CallerError
from scratchbird_reference.merkle_forest import Shape
from scratchbird_reference.quorum_messages import Held


def test_what_is_newer_than_the_stable_time_waits_outside() -> None:
    run = ForestRun()
    run.write(1, at(5))
    assert run.shown() == 0
    run(forests.Advance(at(5)))
    assert run.shown() == at(5)
    run.write(1, at(7))
    assert run.shown() == at(5)  # The old window goes on showing what was overwritten.
    run(forests.Advance(at(6)))
    assert run.shown() == at(5)
    run(forests.Advance(at(7)), forests.Advance(at(3)))
    assert run.shown() == at(7)
    assert run.state.forest.stable == at(7)


def test_a_row_leaves_its_old_window_and_enters_the_new_one_in_one_step() -> None:
    run = ForestRun()
    run(forests.Advance(at(50)))
    run.write(1, at(5))
    run.clean()
    told = dict(run.state.forest.told)
    assert set(told) == {0}
    run.write(1, at(25))
    assert run.state.forest.dirty == {0, 2}
    run.clean()
    assert set(dict(run.state.forest.told)) == {2}
    run(forests.Rehash(2))
    assert run.state.forest.dirty == frozenset()


def test_a_sealed_window_is_amended_and_counts_it() -> None:
    run = ForestRun()
    run(forests.Advance(at(14)))
    run.write(1, at(5))
    assert not run.forests.is_sealed(run.state, 0)
    run(forests.Advance(at(15)))
    assert run.forests.is_sealed(run.state, 0)
    assert not run.state.forest.amendments
    run.write(2, at(6))
    assert run.state.forest.amendments == ((0, 1),)
    run.write(1, at(7), None)
    assert run.state.forest.amendments == ((0, 2),)
    assert run.forests.tree(run.state, 0).digest() != b""


def test_a_far_future_row_opens_no_window() -> None:
    run = ForestRun()
    run(forests.Advance(at(20)))
    run.write(1, at(9_000_000))
    assert run.state.forest.entries == ()
    assert run.state.forest.dirty == frozenset()


def test_what_is_purged_is_not_shown_and_what_was_overtaken_below_the_floor_neither() -> None:
    run = ForestRun()
    run(forests.Advance(at(9)))
    run.write(1, at(3), None)
    run.write(2, at(4))
    run.write(2, at(12))
    run.write(3, at(5))
    assert [run.shown(row) for row in (1, 2, 3)] == [at(3), at(4), at(5)]
    run.settle(at(8))
    assert [run.shown(row) for row in (1, 2, 3)] == [0, 0, at(5)]
    run(handoff_replica.Purge(), forests.Advance(at(11)))
    assert [run.shown(row) for row in (1, 2, 3)] == [0, 0, at(5)]
    assert run.forests.effective(run.state, 1) == Held(at(8), None)


def test_a_lost_disk_loses_the_forest_as_well() -> None:
    run = ForestRun()
    run(forests.Advance(at(9)))
    run.write(1, at(3))
    empty = quorum_replica.StartEmpty(SETTING, ((1, 2),))
    run(quorum_replica.Crash(), handoff_replica.LostDisk(empty, 0))
    assert run.state.forest == forests.Durable(SHAPE, GRACE_MS)


def test_an_entry_is_met_by_the_row_or_by_what_is_held_newer() -> None:
    run = ForestRun()
    run(forests.Advance(at(9)))
    entry = run.entry(1, at(3))
    run(forests.Meet(entry, Held(at(3), b"v")))
    assert run.shown() == at(3)
    run.write(1, at(20))
    run(forests.Meet(run.entry(1, at(6))))
    assert run.shown() == at(6)  # Nothing was missing, and it will not look so again.
    run(forests.Meet(entry))
    assert run.shown() == at(6)
    run(forests.Meet(run.entry(2, at(4)), Held(at(15), b"n")))
    assert run.shown(2) == at(4)
    run(forests.Meet(run.entry(3, at(4)), Held()))
    assert run.shown(3) == 0


def test_two_values_of_one_version_end_as_one_everywhere() -> None:
    run = ForestRun()
    run(forests.Advance(at(9)))
    run.write(1, at(3), b"a")
    run(forests.Meet(run.entry(1, at(3), b"b"), Held(at(3), b"b")))
    assert run.state.replica.rows.durable.held(1) == Held(at(3), b"b")
    assert run.state.forest.entry(1) == run.entry(1, at(3), b"b")


def test_below_its_floor_a_settled_replica_takes_over_nothing() -> None:
    run = ForestRun()
    run(forests.Advance(at(9)))
    run.write(1, at(20))
    run.settle(at(6))
    run(forests.Meet(run.entry(1, at(5)), Held(at(5), b"v")))
    assert run.shown() == 0
    run(forests.Meet(run.entry(1, at(7))))
    assert run.shown() == at(7)


def test_another_setting_is_another_forest_of_the_same_rows() -> None:
    run = ForestRun()
    run(forests.Advance(at(99)))
    for row in range(6):
        run.write(row, at(10 * row))
    run.clean()
    before = run.state.forest
    run(forests.Reshape(replace(SHAPE, number=1, window_ms=20)))
    assert run.state.forest.dirty == {0, 1, 2}
    run.clean()
    assert len(run.state.forest.told) == 3
    assert run.state.forest.entries == before.entries
    with pytest.raises(CallerError, match="setting 1 is not above 1: a setting never comes back"):
        run(forests.Reshape(replace(SHAPE, number=1)))


def test_a_forest_begins_empty() -> None:
    run = ForestRun()
    run.write(1, at(3))
    assert forests.first_state(handoff_replica.first_state(2, SETTING)).forest == forests.Durable(Shape())
    assert forests.first_state(empty_forest(2).replica, SHAPE).forest.shape == SHAPE
    with pytest.raises(CallerError, match="replica 1 holds rows: its forest comes from them"):
        forests.first_state(run.state.replica)
    with pytest.raises(CallerError, match="version 0 is out of range"):
        run(forests.Advance(0))
