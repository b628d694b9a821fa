"""What a coordinator owes, step after step: named, delivered, given up, paid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff import CATCH_UP_NS, SECOND_NS, Limits
from scratchbird_reference.handoff_account import (
    Acknowledged,
    Adopt,
    Crash,
    Drop,
    Durable,
    Effects,
    Ended,
    Erased,
    Event,
    ExchangeBegun,
    Exchanged,
    GiveUp,
    Hint,
    KeepAgain,
    Kept,
    Mark,
    MayDrop,
    MoveBegun,
    MoveDone,
    Owe,
    Refused,
    Repair,
    SendHint,
    State,
    TargetLostDisk,
    Tick,
    Unreadable,
    Volatile,
)
from scratchbird_reference.handoff_hints import HintKeeper
from scratchbird_reference.quorum_messages import MAX_VERSION, Held, Setting
from scratchbird_reference.quorum_operations import Intent

KEEPER = HintKeeper()
SETTING = Setting((1, 2, 3), 2, 2)
MS = 1_000_000


class Run:
    """An account, step after step."""

    def __init__(self, setting: Setting = SETTING, **limits: int) -> None:
        self.state = State(setting, limits=Limits(**limits))

    def __call__(self, *events: Event) -> Effects:
        effects: Effects = ()
        for event in events:
            self.state, effects = KEEPER.step(self.state, event)
        return effects

    @property
    def owed(self) -> list[tuple[int, int]]:
        """(target, version) of the hints, in order."""
        return [(hint.target, hint.held.version) for hint in self.state.durable.hints]

    def mark(self, target: int, shard: int = 0) -> Mark | None:
        return dict(self.state.durable.marks).get((target, shard))


def owe(version: int, *targets: int, shard: int = 0, row: int = 0, now_ns: int = 0) -> Owe:
    intent = Intent(row, Held(version, b"v"), frozenset(targets or SETTING.replicas))
    return Owe(version, shard, intent, now_ns)


# --- hints ------------------------------------------------------------------------------------------------


def test_a_write_names_every_target_before_it_may_be_acknowledged() -> None:
    run = Run()
    assert run(owe(5)) == (Kept(5),)
    assert run.owed == [(1, 5), (2, 5), (3, 5)]
    assert run.state.durable.least_write_quorum == 2


def test_a_target_that_holds_it_or_something_newer_is_owed_nothing() -> None:
    run = Run()
    run(owe(5), owe(7))
    run(Acknowledged(1, 0, 5), Acknowledged(2, 0, 7), Acknowledged(3, 0, 4), Acknowledged(3, 1, 9))
    assert run.owed == [(3, 5), (1, 7), (3, 7)]
    run(Acknowledged(3, 0, 0))
    assert run.owed == [(3, 5), (1, 7), (3, 7)]


def test_nothing_owed_and_nothing_open_forgets_the_write_quorum() -> None:
    run = Run()
    run(owe(5, 1), Acknowledged(1, 0, 5))
    assert run.state.durable == Durable(least_write_quorum=2)  # The write is open.
    run(Ended(5))
    assert run.state == Run().state
    assert run(Ended(5)) == ()


def test_a_write_that_is_repeated_under_its_version_has_its_hints_once() -> None:
    run = Run()
    run(owe(5), Ended(5), Owe(6, 0, Intent(0, Held(5, b"v"), frozenset({2, 4})), 9))
    assert run.owed == [(1, 5), (2, 5), (3, 5), (4, 5)]
    assert run.state.durable.hints[1].since_ns == 0


def test_a_crash_keeps_what_is_owed() -> None:
    run = Run()
    run(owe(5), GiveUp(3), owe(6, 1))
    assert run(Crash()) == (MayDrop((3, 0)),)
    assert run.owed == [(1, 5), (2, 5), (3, 5), (1, 6)]
    assert run.state.volatile == Volatile()


# --- delivery ---------------------------------------------------------------------------------------------


def sent(effects: Effects) -> list[tuple[int, int]]:
    return [(effect.hint.target, effect.hint.row) for effect in effects if isinstance(effect, SendHint)]


def test_a_write_that_is_open_is_not_sent_a_second_time() -> None:
    run = Run()
    run(owe(5, 1))
    assert run(Tick(SECOND_NS)) == ()
    run(Ended(5))
    assert run(Tick(SECOND_NS)) == (SendHint(Hint(1, 0, 0, Held(5, b"v"), 0)),)


def pending(run: Run, hints: int, *, shards: int = 1, target: int = 1) -> None:
    """So many hints for a target, each of a row of its own, the shards in turn."""
    for number in range(1, hints + 1):
        run(owe(number, target, row=number, shard=number % shards), Ended(number))


def test_the_pace_is_the_limit_and_what_was_missed_is_not_made_up_for() -> None:
    run = Run()
    pending(run, 100)
    at_first = len(sent(run(Tick(SECOND_NS))))
    assert at_first == CATCH_UP_NS // MS + 1
    counts = [len(sent(run(Tick(SECOND_NS + after * MS)))) for after in (1, 1, 2, 5)]
    assert counts == [1, 0, 1, 3]
    assert run(Tick(SECOND_NS - MS)) == ()


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    run = Run()
    pending(run, 10)
    assert len(sent(run(Tick(3_600 * SECOND_NS)))) == 10
    assert run(Tick(0)) == ()
    again = [len(sent(run(Tick(after * MS)))) for after in (1_500, 2_100, 4_000)]
    assert sum(again) > 0


def test_shards_take_turns() -> None:
    run = Run()
    pending(run, 2, shards=1)
    for number in range(11, 14):
        run(owe(number, 1, row=number, shard=number), Ended(number))
    assert [row for _, row in sent(run(Tick(SECOND_NS)))] == [1, 11, 12, 13, 2]


def test_only_so_many_are_under_way() -> None:
    run = Run(most_under_way=3)
    pending(run, 9)
    pending(run, 2, target=2)
    assert len(sent(run(Tick(SECOND_NS)))) == 3 + 2
    assert sent(run(Tick(SECOND_NS + 100 * MS))) == []
    run(Acknowledged(1, 1, 1))
    assert sent(run(Tick(SECOND_NS + 200 * MS))) == [(1, 4)]


def test_a_silent_target_is_probed_once_a_second_and_one_that_answers_comes_back_to_its_limit() -> None:
    run = Run(most_under_way=1)
    pending(run, 200)
    now = SECOND_NS
    for _ in range(40):
        run(Tick(now))
        now += 2 * SECOND_NS
    assert dict(run.state.volatile.paces)[1].interval_ns == SECOND_NS
    assert len(sent(run(Tick(now)))) <= 1
    for _ in range(150):
        now += 3 * SECOND_NS
        for target, row in sent(run(Tick(now))):
            run(Acknowledged(target, row, row))
    assert dict(run.state.volatile.paces)[1].interval_ns == MS


def test_what_a_target_has_closed_against_waits_and_does_not_stand_in_the_way() -> None:
    """Else hints that a target will never take fill what may be under way, and it gets nothing newer."""
    run = Run(most_under_way=3)
    pending(run, 9)
    assert len(sent(run(Tick(SECOND_NS)))) == 3
    run(Refused((1, 0), 6))
    assert len(run.owed) == 9  # The target may lack them until it has converged.
    assert dict(run.state.volatile.paces)[1].interval_ns == MS
    assert sent(run(Tick(2 * SECOND_NS))) == [(1, 7), (1, 8), (1, 9)]
    run(Refused((1, 0), 2), Refused((1, 1), 99))
    assert sent(run(Tick(5 * SECOND_NS))) == []  # Late, and then as the pace allows: none below.
    run(Erased(0, 6))
    assert [version for _, version in run.owed] == [7, 8, 9]
    assert run.state.volatile.closed == (((1, 0), 6), ((1, 1), 99))
    run(Crash())
    assert not run.state.volatile.closed


def test_an_answer_of_a_write_says_nothing_of_the_pace() -> None:
    run = Run()
    run(owe(5, 1), Acknowledged(1, 0, 5))
    assert run.state.volatile.paces == ()


# --- giving up --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "now_ns"),
    [({"most_hints": 2}, 0), ({"most_bytes": 2}, 0), ({"most_age_ns": 10}, 11)],
)
def test_a_target_that_is_owed_too_much_is_given_up(limits: dict[str, int], now_ns: int) -> None:
    run = Run(SETTING, **limits)
    pending(run, 3)
    effects = run(Tick(now_ns))
    assert effects[0] == MayDrop((1, 0))
    assert run.mark(1) == Mark()
    assert len(run.owed) == 3  # They go when the mark is durable, and not before.
    assert run(Drop((1, 0))) == ()
    assert run.owed == []


def test_a_write_leaves_out_a_target_that_is_given_up() -> None:
    run = Run()
    run(owe(5), GiveUp(3), Drop((3, 0)), Ended(5), owe(6))
    assert run.owed == [(1, 5), (2, 5), (1, 6), (2, 6)]
    run(KeepAgain((3, 0)), owe(7, 3))
    assert run.owed[-1] == (3, 7)
    assert run.mark(3) == Mark()  # Write 6 is open: what it is acknowledged for, 3 would lack.
    assert run(Ended(6)) == (Repair((3, 0)),)
    assert run.mark(3) == Mark(is_open=False)


def test_a_write_whose_hint_was_dropped_holds_the_mark_open_as_well() -> None:
    run = Run()
    run(owe(5), owe(6, 3, shard=1), GiveUp(3), Drop((3, 0)))
    assert run(KeepAgain((3, 0))) == ()
    assert run(KeepAgain((3, 1))) == (Repair((3, 1)),)
    assert run(Ended(5)) == (Repair((3, 0)),)


def test_a_write_that_the_target_holds_already_does_not_hold_its_mark_open() -> None:
    run = Run()
    run(owe(5), owe(6), Acknowledged(3, 0, 5), GiveUp(3), Drop((3, 0)), KeepAgain((3, 0)))
    assert run.mark(3) == Mark()
    assert run(Ended(6)) == (Repair((3, 0)),)  # Write 5 is open, and 3 needs nothing of it.


def test_only_under_an_open_mark_hints_go() -> None:
    run = Run()
    run(owe(5), Drop((3, 0)))
    assert len(run.owed) == 3
    run(GiveUp(3), KeepAgain((3, 0)), Drop((3, 0)))
    assert len(run.owed) == 3
    assert run.mark(3) == Mark(is_open=False)
    assert run(KeepAgain((3, 0))) == run(KeepAgain((1, 0))) == ()


def test_a_target_without_hints_is_not_given_up() -> None:
    run = Run()
    assert run(GiveUp(3)) == ()
    assert run.state == Run().state


def test_a_closed_mark_is_opened_again() -> None:
    run = Run(Setting((1, 2, 3, 4), 2, 3))
    run(owe(5), GiveUp(3), KeepAgain((3, 0)), ExchangeBegun((3, 0), 1), Exchanged((3, 0), 1))
    assert run.mark(3) == Mark(is_open=False, heard=frozenset({1}))
    run(ExchangeBegun((3, 0), 2), GiveUp(3), KeepAgain((3, 0)), Exchanged((3, 0), 2))
    assert run.mark(3) == Mark(is_open=False)


# --- paying by exchange -----------------------------------------------------------------------------------


def given_up(setting: Setting) -> Run:
    run = Run(setting)
    run(owe(5), GiveUp(3), Drop((3, 0)), Ended(5), KeepAgain((3, 0)))
    return run


def test_so_many_others_pay_a_mark_and_one_fewer_does_not() -> None:
    run = given_up(Setting((1, 2, 3, 4, 5), 2, 4))
    for other in (1, 2, 2):
        run(ExchangeBegun((3, 0), other), Exchanged((3, 0), other))
        assert run.mark(3) is not None
    run(ExchangeBegun((3, 0), 4), Exchanged((3, 0), 4))
    assert run.mark(3) is None


def test_an_exchange_that_began_before_the_mark_was_closed_pays_nothing() -> None:
    run = Run()
    run(owe(5), GiveUp(3), Drop((3, 0)), ExchangeBegun((3, 0), 1), Ended(5), KeepAgain((3, 0)))
    run(Exchanged((3, 0), 1))
    assert run.mark(3) == Mark(is_open=False)
    run(Exchanged((3, 0), 1))  # None began, as far as this process knows.
    assert run.mark(3) == Mark(is_open=False)
    run(ExchangeBegun((3, 0), 1), Exchanged((3, 0), 1))
    assert run.mark(3) is None
    run(ExchangeBegun((3, 0), 1), Exchanged((3, 0), 1))
    assert run.state.volatile.exchanges == ()


def test_the_least_write_quorum_of_all_since_decides() -> None:
    run = Run(Setting((1, 2, 3), 1, 3, epoch=1))
    run(
        owe(5), Adopt(Setting((1, 2, 3), 2, 2, epoch=2)), GiveUp(3), Drop((3, 0)), Ended(5), KeepAgain((3, 0))
    )
    run(ExchangeBegun((3, 0), 1), Exchanged((3, 0), 1))
    assert run.mark(3) == Mark(is_open=False, heard=frozenset({1}))
    run(ExchangeBegun((3, 0), 2), Exchanged((3, 0), 2))
    assert run.mark(3) is None


def test_a_setting_that_nothing_was_written_under_decides_nothing() -> None:
    run = Run(Setting((1, 2, 3), 1, 3, epoch=1))
    run(Adopt(SETTING_2))
    assert run.state.durable.least_write_quorum == 0
    with pytest.raises(CallerError, match="epoch 2 is not above 2: a setting never comes back"):
        run(Adopt(SETTING_2))


SETTING_2 = Setting((1, 2, 3), 2, 2, epoch=2)


def test_a_target_that_lost_its_disk_has_to_hear_all_again() -> None:
    run = given_up(Setting((1, 2, 3, 4, 5), 2, 4))
    run(ExchangeBegun((3, 0), 1), Exchanged((3, 0), 1), ExchangeBegun((3, 0), 2))
    run(TargetLostDisk(4))
    assert run.mark(3) == Mark(is_open=False, heard=frozenset({1}))
    run(TargetLostDisk(3), Exchanged((3, 0), 2))
    assert run.mark(3) == Mark(is_open=False)


# --- targets that change ----------------------------------------------------------------------------------


def test_a_newcomer_is_owed_what_the_target_is_whose_place_it_takes() -> None:
    run = Run()
    run(owe(5), owe(6, 3, shard=1), Ended(5), Ended(6), MoveBegun((3, 0), 4))
    assert run.owed == [(1, 5), (2, 5), (3, 5), (3, 6), (4, 5)]
    run(owe(7, 3, row=1))
    assert run.owed[-2:] == [(3, 7), (4, 7)]
    assert run(MoveBegun((3, 0), 4)) == ()
    run(Acknowledged(3, 0, 5), MoveDone((3, 0)))
    assert run.owed == [(1, 5), (2, 5), (3, 6), (4, 5), (4, 7)]
    run(Ended(7), owe(8, 3, row=2))
    assert run.owed[-1] == (3, 8)  # Under the new setting no write names it; this one is of another life.


def test_a_newcomer_is_owed_each_write_that_is_open_also_one_that_the_target_has_acknowledged() -> None:
    run = Run()
    run(owe(5, now_ns=7), owe(6, 1, row=1), Acknowledged(3, 0, 5), MoveBegun((3, 0), 4))
    assert run.owed == [(1, 5), (2, 5), (1, 6), (4, 5)]
    assert run.state.durable.hints[-1].since_ns == 7
    run(MoveDone((3, 0)))
    assert dict(run.state.volatile.writes)[5].targets == {1, 2, 4}
    assert dict(run.state.volatile.writes)[6].targets == {1}


def test_a_mark_of_the_target_is_one_of_the_newcomer_as_well() -> None:
    run = Run()
    run(owe(5), GiveUp(3), Drop((3, 0)), owe(9, 1, shard=1))
    assert run(MoveBegun((3, 0), 4)) == (Repair((4, 0)),)
    assert run.mark(3) == Mark()
    assert run.mark(4) == Mark(is_open=False)
    assert (4, 5) in run.owed  # The write is open: nobody knows yet whether others hold it.
    run(MoveDone((3, 0)))
    assert run.mark(3) is None
    assert run.mark(4) == Mark(is_open=False)


def test_a_move_is_one_and_is_begun_before_it_is_done() -> None:
    run = Run()
    with pytest.raises(CallerError, match="target 3 is not leaving shard 0: deliver MoveBegun first"):
        run(MoveDone((3, 0)))
    run(MoveBegun((3, 0), 4))
    for newcomer in (3, 5):
        with pytest.raises(CallerError, match=f"newcomer {newcomer}: the place of target 3 in shard 0"):
            run(MoveBegun((3, 0), newcomer))


def test_what_was_erased_is_paid_and_what_is_newer_is_not() -> None:
    run = Run()
    run(owe(5, 1), owe(7, 1), owe(4, 1, shard=1, row=3))
    run(Erased(0, 6))
    assert run.owed == [(1, 7), (1, 4)]


def test_bytes_that_can_not_be_read_cost_a_repair() -> None:
    run = Run()
    run(owe(5), Ended(5))
    assert run(Unreadable((3, 0))) == (Repair((3, 0)),)
    assert run.owed == [(1, 5), (2, 5), (3, 5)]
    assert Run()(Unreadable((3, 0))) == (Repair((3, 0)),)


# --- events that can not be -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (owe(5), "operation 5 is open already: number each of them anew"),
        (replace(owe(6), operation=-1), "operation -1 is out of range"),
        (owe(MAX_VERSION + 1), "operation an integer|out of range"),
        (replace(owe(6), intent=Intent(-1, Held(6, b"v"), frozenset({1}))), "row -1 is out of range"),
        (replace(owe(6), intent=Intent(0, Held(), frozenset({1}))), "version 0 is out of range"),
        (Acknowledged(1, 0, -1), "version -1 is out of range"),
        (Erased(0, 0), "version 0 is out of range"),
        (Refused((1, 0), 0), "version 0 is out of range"),
        (ExchangeBegun((1, 0), 1), r"replica 1 is none of the others: \[2, 3\]"),
        (Exchanged((1, 0), 4), r"replica 4 is none of the others: \[2, 3\]"),
    ],
)
def test_events_that_can_not_be_are_refused(event: Event, message: str) -> None:
    run = Run()
    run(owe(5))
    before = run.state
    with pytest.raises(CallerError, match=message):
        run(event)
    assert run.state == before
