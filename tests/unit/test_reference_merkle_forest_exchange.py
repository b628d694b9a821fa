"""An exchange of two replicas, step by step."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from scratchbird_check.machines.merkle_forest_pair import SHAPE, ForestRun, Pair, at, pair_of
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.errors import CallerError, ConfigurationError
from scratchbird_reference.merkle_forest import Rules
from scratchbird_reference.quorum_messages import Held


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


def test_a_message_takes_what_fits_and_at_least_one_item() -> None:
    assert messages.Bounds(3, 10).fitting([1] * 9) == 3
    assert messages.Bounds(3, 10).fitting([6, 4, 1]) == 2
    assert messages.Bounds(3, 10).fitting([99, 1]) == 1
    assert messages.Bounds().fitting([]) == 0
    for wrong in (0, -1, True, 1.5):
        with pytest.raises(ConfigurationError, match=f"size {wrong}"):
            messages.Bounds(size=wrong)  # type: ignore[arg-type]  # What a configuration file may hold.


@pytest.mark.parametrize(
    "bounds", [messages.Bounds(1000, 1), messages.Bounds(1, 1000), messages.Bounds(5, 200)]
)
def test_an_exchange_comes_to_the_same_whatever_its_messages_hold(bounds: messages.Bounds) -> None:
    both = pair_of(bounds=bounds, stable_ms=5_000)
    for row in range(40):
        both.one.write(row, at(1 + row % 3, row))
    for row in range(20, 70):
        both.two.write(row, at(10 + row, row), b"v" * row)
    for question in (exchange := asked_by(both)):
        match question:
            case messages.AskNodes() | messages.AskRows() | messages.Give():
                named = {messages.AskNodes: "places", messages.AskRows: "rows", messages.Give: "given"}
                assert len(getattr(question, named[type(question)])) <= bounds.items
    assert exchange
    assert both.same


def asked_by(both: Pair) -> list[messages.Question]:
    """All that an exchange asks; it succeeds."""
    asked: list[messages.Question] = []
    effect = both.begin()
    while isinstance(effect, exchanges.Ask):
        asked.append(effect.question)
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    assert isinstance(effect, exchanges.Succeeded)
    return asked


def test_a_row_in_two_windows_goes_one_way() -> None:
    both = pair_of()
    for row in range(20):
        for run in (both.one, both.two):
            run.write(row, at(row))
        both.two.write(row, at(50 + row))
    asked = asked_by(both)
    assert not [question for question in asked if isinstance(question, messages.Give)]
    assert both.same
    both.one.write(1, at(90))
    assert [len(each.rows) for each in asked_by(both) if isinstance(each, messages.AskRows)] == []
    assert both.same


@dataclass(frozen=True, slots=True)
class ShortDigests(Rules):
    """One byte of a digest: in a few hundred subtrees two are the same."""

    def short(self, digest: bytes) -> bytes:
        return digest[:1]


@dataclass(frozen=True, slots=True)
class BelievesShortDigests(ShortDigests):
    def is_confirmed(self, told: bytes, found: bytes) -> bool:
        return True


def collision() -> Pair:
    """Two replicas that differ in values whose leaves have one short digest."""
    rules = ShortDigests()
    first, *rest = [row for row in range(200) if rules.place_of(row)[0] >> 4 == 0][:2]
    others = [row for row in range(200) if rules.place_of(row)[0] >> 4 == 1][:2]
    rows = [first, *rest, *others]
    values: dict[bytes, bytes] = {}
    for number in range(2000):
        value = b"%d" % number
        held = [Held(at(5), value), Held(at(5), b"v")]
        leaf = [rules.entry_of(row, each) for row, each in zip([first, *rest], held, strict=True)]
        short = rules.short(rules.leaf_digest(leaf))
        if short in values:
            break
        values[short] = value
    both = pair_of(rules)
    for row in rows:
        both.one.write(row, at(5), value if row == first else b"v")
        both.two.write(row, at(5), values[short] if row == first else b"v")
    return both


def test_what_short_digests_hide_is_found_with_whole_ones() -> None:
    both = collision()
    assert [question.in_full for question in asked_by(both) if isinstance(question, messages.AskNodes)] == [
        False,
        True,
        True,
    ]
    assert both.same
    both = collision()
    for run in (both.one, both.two):
        run.forests = forests.ForestReplica(rules=BelievesShortDigests())
    asked_by(both)
    assert not both.same


def test_a_window_whose_digest_is_not_its_own_is_damaged_and_said_so() -> None:
    both = pair_of()
    for row in range(3):
        both.one.write(row, at(5))
        both.two.write(row, at(5 + 10 * row))
    for run in (both.one, both.two):
        run(forests.Advance(at(100)))
        run.clean()
    wrong = ((0, b"x" * 32), (1, b"y" * 32))
    both.two.state = replace(both.two.state, forest=replace(both.two.state.forest, told=wrong))
    result = both.exchange()
    reason = (
        "window 0 of replica 2 has not the digest that is told of it, and 1 more: build it anew from its rows"
    )
    assert result == exchanges.Failed(1, 2, reason)


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


def test_an_opening_that_comes_twice_takes_no_other_snapshot() -> None:
    """A row that is overwritten in between would not be found where it was told of, and look like damage."""
    both = pair_of()
    both.two.write(1, at(5))
    first = effect = both.begin()
    for _ in range(2):
        assert isinstance(effect, exchanges.Ask)
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    both.two.write(1, at(40))
    assert isinstance(first, exchanges.Ask)
    assert both.answer(first.question) == messages.Opened(1, at(100), 0)
    assert both.finish(effect) == exchanges.Succeeded(1, 2, at(100), 0, 1)
    assert both.one.state.replica.rows.durable.held(1).version == at(40)
    both.begin()
    both.two(floors.Propose(at(90)))
    assert isinstance(both.answer(replace(first.question, exchange=1)), messages.Refused)


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


def test_a_row_that_was_purged_before_it_was_asked_for_is_not_told_of() -> None:
    """Who has purged it has settled: so the other side has converged, and holds it or something newer."""
    both = pair_of()
    both.two.write(1, at(5), None)
    for run in (both.one, both.two):
        run(floors.Propose(at(20)))
    effect = both.begin()
    while isinstance(effect, exchanges.Ask) and not isinstance(effect.question, messages.AskRows):
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    assert isinstance(effect, exchanges.Ask)
    gone = Held(at(5), None)
    past = handoff_replica.Past(at(20), 1, ((1, gone),))
    both.one(floors.AllClosed(at(20)), handoff_replica.Deliver(2, past))
    both.two.settle(at(20))
    both.two(handoff_replica.Purge())
    reply = both.answer(effect.question)
    assert reply == messages.Rows(1, ((1, Held()),))
    assert isinstance(both.drive(exchanges.Deliver(reply)), exchanges.Succeeded)
    assert both.one.state.replica.rows.durable.held(1) == gone


def test_who_holds_the_entry_itself_by_then_takes_the_row_that_is_newer() -> None:
    both = pair_of(stable_ms=50)
    both.two.write(1, at(5))
    effect = both.begin()
    while isinstance(effect, exchanges.Ask) and not isinstance(effect.question, messages.AskRows):
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    both.one.write(1, at(5))
    both.two.write(1, at(60))
    assert isinstance(both.finish(effect), exchanges.Succeeded)
    assert both.one.state.replica.rows.durable.held(1).version == at(60)
    assert both.one.shown() == at(5)


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


@pytest.mark.parametrize("side", ["one", "two"])
def test_an_exchange_during_which_the_setting_changes_is_begun_again(side: str) -> None:
    """In the new setting no window of what was shown is there any more."""
    both = pair_of()
    both.one.write(1, at(5))
    both.two.write(2, at(6))
    effect = both.begin()
    for _ in range(2):
        assert isinstance(effect, exchanges.Ask)
        effect = both.drive(exchanges.Deliver(both.answer(effect.question)))
    getattr(both, side)(forests.Reshape(replace(SHAPE, number=1)))
    assert both.finish(effect) == exchanges.Failed(1, 2, exchanges.RESHAPED_SINCE)


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
    question = messages.Open(0, SHAPE, at(1), 0)
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
    assert both.drive(exchanges.Deliver(messages.Refused(7, "of another"))) is None
