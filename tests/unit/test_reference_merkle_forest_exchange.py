"""An exchange of two replicas, step by step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scratchbird_check.machines.merkle_forest_pair import SHAPE, ForestRun, at, pair_of
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.errors import CallerError


def test_rows_go_both_ways_whatever_windows_they_are_in() -> None:
    both = pair_of()
    both.one.write(1, at(3))
    both.two.write(2, at(55))
    both.one.write(3, at(4))
    both.two.write(3, at(30))
    result = both.exchange()
    assert isinstance(result, exchanges.Succeeded)
    assert (result.moved, result.stable) == (3, at(100))
    assert both.same
    assert both.exchange() == replace(result, exchange=2, moved=0)


def test_equal_forests_cost_a_question_for_windows_and_no_more() -> None:
    both = pair_of()
    for row in range(5):
        for run in (both.one, both.two):
            run.write(row, at(row))
    both.exchange()
    assert both.asked == 2


def test_many_rows_take_more_messages_of_the_same_size() -> None:
    both = pair_of(stable_ms=5_000)
    for row in range(200):
        both.one.write(row, at(1 + row % 3, row))
    for row in range(200, 290):
        both.two.write(row, at(10 * (row - 199), row))
    assert isinstance(both.exchange(), exchanges.Succeeded)
    assert both.same
    assert len(both.two.state.replica.rows.durable.rows) == 290


def test_a_write_under_way_is_no_difference_and_one_that_was_missed_is() -> None:
    both = pair_of(stable_ms=50)
    both.two(forests.Advance(at(50)))
    for run in (both.one, both.two):
        run.write(1, at(5))
    both.one.write(1, at(60))
    assert both.exchange() == exchanges.Succeeded(1, 2, at(50), 0, 0)
    assert both.two.shown() == at(5)
    both.one(forests.Advance(at(70)))
    result = both.exchange()
    assert isinstance(result, exchanges.Succeeded)
    assert result.moved == 1
    assert both.same


@pytest.mark.parametrize("swapped", [False, True])
def test_who_holds_something_newer_already_takes_over_the_entry(swapped: bool) -> None:
    both = pair_of(stable_ms=50)
    ahead, behind = (both.two, both.one) if swapped else (both.one, both.two)
    both.two(forests.Advance(at(50)))
    for run in (both.one, both.two):
        run.write(1, at(60))
        run.write(2, at(7))
    ahead.write(1, at(5))  # Too old to be held, and shown nowhere.
    ahead(forests.Meet(ahead.entry(1, at(5))))
    assert (ahead.shown(), behind.shown()) == (at(5), 0)
    result = both.exchange()
    assert isinstance(result, exchanges.Succeeded)
    assert result.moved == (0 if swapped else 1)  # To ask whether it is needed costs as much as to send it.
    assert behind.shown() == at(5)
    assert both.exchange() == replace(result, exchange=2, moved=0)


def test_two_values_of_one_version_are_found_and_one_wins() -> None:
    both = pair_of()
    both.one.write(1, at(5), b"a")
    both.two.write(1, at(5), b"b")
    assert isinstance(both.exchange(), exchanges.Succeeded)
    assert both.same
    assert both.one.state.replica.rows.durable.held(1).value == b"b"


def test_forests_of_different_settings_are_not_compared() -> None:
    both = pair_of()
    both.two(forests.Reshape(replace(SHAPE, number=1)))
    result = both.exchange()
    assert result == exchanges.Failed(1, 2, "setting 0 is not 1: build the older forest anew")


def test_forests_of_different_floors_are_not_compared() -> None:
    both = pair_of()
    both.one.settle(at(20))
    assert both.exchange() == exchanges.Failed(1, 2, f"floor {at(20)} is not 0: settle first")
    both.one, both.two = ForestRun(1), ForestRun(2)
    both.two.settle(at(20))
    reason = f"the other side has settled at {at(20)}, this one at 0: settle first"
    assert both.exchange() == exchanges.Failed(2, 2, reason)


def test_a_row_that_is_overwritten_meanwhile_is_not_missed() -> None:
    """It leaves a window that differed for one that did not: what counts is what was shown at first."""
    both = pair_of()
    both.one.write(1, at(5))
    effect = both.begin()
    for _ in range(2):
        assert isinstance(effect, exchanges.Ask)
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    both.one.write(1, at(40))
    assert isinstance(both.finish(effect), exchanges.Succeeded)
    assert both.two.state.replica.rows.durable.held(1).version == at(40)


def test_a_row_that_is_purged_meanwhile_is_not_sent() -> None:
    both = pair_of()
    both.one.write(1, at(5), None)
    both.one(floors.Propose(at(20)))
    effect = both.begin()
    for _ in range(2):
        assert isinstance(effect, exchanges.Ask)
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    both.one.settle(at(20))
    both.one(handoff_replica.Purge())
    assert isinstance(both.finish(effect), exchanges.Succeeded)
    assert both.two.shown() == 0


@pytest.mark.parametrize("side", ["one", "two"])
def test_an_exchange_during_which_a_floor_is_closed_is_begun_again(side: str) -> None:
    """An answer may be of a replica that has lost its disk since: nobody else would merge that."""
    both = pair_of()
    both.one.write(1, at(5))
    both.two.write(2, at(6))
    effect = both.begin()
    for _ in range(2):
        assert isinstance(effect, exchanges.Ask)
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    getattr(both, side)(floors.Propose(at(20)))
    result = both.finish(effect)
    assert result == exchanges.Failed(1, 2, "a floor was closed since it began: begin again")
    assert isinstance(both.exchange(), exchanges.Succeeded)
    assert both.same


def test_what_is_lost_is_asked_again_and_what_is_said_twice_counts_once() -> None:
    both = pair_of()
    for row in range(9):
        both.one.write(row, at(row))
        both.two.write(row + 100, at(row))
    effect = both.begin()
    while isinstance(effect, exchanges.Ask):
        assert both.drive(exchanges.Again()) == effect
        reply = both.answer(effect.question)
        effect = both.drive(exchanges.Deliver(reply))
        if self_driving := both.driving:
            again = both.drive(exchanges.Deliver(reply))
            assert again is None or isinstance(again, exchanges.Ask)
            assert both.driving == self_driving or both.driving is None
    assert isinstance(effect, exchanges.Succeeded)
    assert both.same


def test_an_exchange_that_was_stopped_or_forgotten_did_not_succeed() -> None:
    both = pair_of()
    both.one.write(1, at(5))
    effect = both.begin()
    assert both.drive(exchanges.Stop()) == exchanges.Failed(1, 2, "it was stopped")
    effect = both.begin()
    assert isinstance(effect, exchanges.Ask)
    reply = both.answer(effect.question)
    effect = both.drive(exchanges.Deliver(reply))
    both.answering = exchanges.Answering()
    result = both.finish(effect)
    reason = "exchange 2 is not open here: it was too long ago, or before a restart"
    assert result == exchanges.Failed(2, 2, reason)
    assert both.drive(exchanges.Deliver(reply)) is None


def test_only_so_many_snapshots_are_kept() -> None:
    both = pair_of()
    question = exchanges.Open(0, SHAPE, at(1), 0)
    for number in range(6):
        both.answer(replace(question, exchange=number))
    assert [number for number, _ in both.answering.snapshots] == [2, 3, 4, 5]


def test_events_that_can_not_be_are_refused() -> None:
    both = pair_of()
    with pytest.raises(CallerError, match="Again where no exchange is under way"):
        both.drive(exchanges.Again())
    both.begin()
    with pytest.raises(CallerError, match="exchange 1 is under way: end it before another begins"):
        both.begin()
    assert both.drive(exchanges.Deliver(exchanges.Refused(7, "of another"))) is None
