"""The rules of handoff one by one, and a replica's floor from the proposal to the purge."""

from __future__ import annotations

import random
from itertools import product

import pytest

from scratchbird_reference.errors import CallerError, ConfigurationError
from scratchbird_reference.handoff import SECOND_NS, Limits, Rules
from scratchbird_reference.handoff_floor import (
    AllClosed,
    AllConverged,
    AskFor,
    Crash,
    Durable,
    Effects,
    Event,
    FloorKeeper,
    LostDisk,
    Merged,
    Propose,
    PurgeBelow,
    Recovered,
    SayClosed,
    SayConverged,
    State,
    Volatile,
)
from scratchbird_reference.quorum_messages import Held, Setting

RULES = Rules()
KEEPER = FloorKeeper()
SETTING = Setting((1, 2, 3), 2, 2)
F = 10
VALUE, TOMB, NEW = Held(4, b"v"), Held(6, None), Held(12, b"n")


class Run:
    """A replica's floor, step after step."""

    def __init__(self, replica: int = 1, setting: Setting = SETTING) -> None:
        self.state = State(setting, Durable(replica))

    def __call__(self, *events: Event) -> Effects:
        effects: Effects = ()
        for event in events:
            self.state, effects = KEEPER.step(self.state, event)
        return effects


# --- rules ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_second", "interval"), [(1, SECOND_NS), (1_000, 1_000_000), (SECOND_NS, 1)])
def test_a_limit_is_an_interval_that_never_stops(per_second: int, interval: int) -> None:
    assert RULES.interval_ns(Limits(per_second)) == interval


@pytest.mark.parametrize("per_second", [0, -1, True, 1.5, SECOND_NS + 1])
def test_a_limit_that_is_none_is_refused(per_second: int) -> None:
    with pytest.raises(ConfigurationError, match="per_second"):
        Limits(per_second)


def test_a_target_that_is_silent_is_asked_once_a_second_and_one_that_answers_comes_back_to_its_limit() -> (
    None
):
    least = RULES.interval_ns(Limits())
    interval = least
    for _ in range(20):
        interval = RULES.after_silence(interval)
    assert interval == SECOND_NS
    for _ in range(100):
        shorter = RULES.after_answer(interval, least)
        assert least <= shorter < interval or shorter == least
        interval = shorter
    assert interval == least
    assert RULES.after_answer(2, 1) == 1


def test_what_is_paid_what_is_too_much_and_what_may_go() -> None:
    assert [RULES.is_paid(held, 5) for held in (4, 5, 6)] == [False, True, True]
    limits = Limits(most_hints=2, most_bytes=5, most_age_ns=10)
    kept = ((2, 5, 10), (3, 0, 0), (0, 6, 0), (0, 0, 11))
    assert [RULES.is_too_much(limits, *item) for item in kept] == [False, True, True, True]
    assert [RULES.may_drop(mark) for mark in (False, True)] == [False, True]
    assert [RULES.may_close(writes) for writes in (0, 1)] == [True, False]
    assert [RULES.counts_for_a_mark(closed) for closed in (False, True)] == [False, True]


def test_a_mark_is_paid_by_so_many_others_that_one_of_them_holds_whatever_was_acknowledged() -> None:
    """Brute force: W holders among the others, in every way."""
    for size in range(1, 6):
        for write in range(1, size):
            others = range(1, size)
            for holders in (set(item) for item in _subsets(others) if len(item) == write):
                for heard in (set(item) for item in _subsets(others)):
                    if RULES.pays(size, write, len(heard)):
                        assert heard & holders
            fewer = size - write - 1
            assert not RULES.pays(size, write, fewer)


def _subsets(items: range) -> list[tuple[int, ...]]:
    return [
        tuple(item for item, taken in zip(items, mask, strict=True) if taken)
        for mask in product((False, True), repeat=len(items))
    ]


@pytest.mark.parametrize(
    ("closed", "converged", "held", "sent", "taken"),
    [
        (0, 0, Held(), VALUE, True),
        (F, 0, Held(), VALUE, False),
        (F, 0, VALUE, VALUE, True),
        (F, 0, TOMB, VALUE, True),
        (F, 0, VALUE, TOMB, False),
        (F, 0, VALUE, NEW, True),
        (F, 0, Held(), Held(F, None), False),
        (F, F, Held(), Held(F, None), True),
        (F, F, TOMB, Held(F, None), True),
        (F, F, VALUE, Held(F, None), False),
        (F, F, TOMB, Held(F, b"x"), False),
        (F + 1, F, TOMB, Held(F, None), False),
    ],
)
def test_what_a_closed_replica_takes(
    closed: int, converged: int, held: Held, sent: Held, *, taken: bool
) -> None:
    assert RULES.takes(closed, converged, held, sent) is taken


# --- the floor --------------------------------------------------------------------------------------------


def test_a_floor_is_closed_converged_at_settled_and_purged_below() -> None:
    run = Run()
    assert run(Propose(F)) == (SayClosed(F),)
    assert run(Merged(2)) == ()  # Before all have closed it, that is not the whole past.
    assert run(AllClosed(F)) == (AskFor(2, F), AskFor(3, F))
    assert run(Merged(2), Merged(2)) == ()
    assert run(AllClosed(F)) == (AskFor(3, F),)
    assert run(Merged(3)) == (SayConverged(F),)
    assert run(AllClosed(F)) == (SayConverged(F),)
    assert run(Merged(2)) == ()
    assert run(AllConverged(F)) == (PurgeBelow(F),)
    assert run(AllConverged(F)) == ()
    assert run.state.durable == Durable(1, F, F, F)


def test_all_may_have_converged_when_the_last_one_says_so_itself() -> None:
    run = Run()
    run(Propose(F), AllClosed(F), AllConverged(F), Merged(2))
    assert run(Merged(3)) == (SayConverged(F), PurgeBelow(F))


def test_what_is_absent_is_deleted_at_the_floor_from_then_on() -> None:
    run = Run()
    assert KEEPER.answer(run.state.durable, Held()) == Held()
    run(Propose(F), AllClosed(F), Merged(2), Merged(3), AllConverged(F))
    assert KEEPER.answer(run.state.durable, Held()) == Held(F, None)
    assert KEEPER.answer(run.state.durable, VALUE) == VALUE
    # Nobody would ever read it: it is not acknowledged, although what a query is told is newer.
    assert not KEEPER.admits(run.state.durable, Held(), Held(F - 1, b"x"))
    assert KEEPER.admits(run.state.durable, Held(), Held(F, None))
    assert KEEPER.admits(run.state.durable, Held(), NEW)
    assert [RULES.may_purge(F, held) for held in (TOMB, VALUE, Held(12, None))] == [True, False, False]


def test_a_floor_is_closed_once_and_said_again() -> None:
    run = Run()
    run(Propose(F))
    assert run(Propose(F - 1)) == run(Propose(F)) == (SayClosed(F),)
    assert run(Propose(F + 5)) == (SayClosed(F + 5),)
    assert run(AllClosed(F)) == ()  # An older floor.
    assert Run()(AllClosed(F)) == ()  # It has closed none: it asks for nothing.


def test_a_crash_forgets_what_was_merged() -> None:
    run = Run()
    run(Propose(F), AllClosed(F), Merged(2), Crash(), Merged(3))
    assert run.state == State(SETTING, Durable(1, F), Volatile())
    assert run(AllClosed(F)) == (AskFor(2, F), AskFor(3, F))


def test_a_lost_disk_starts_closed_and_settles_with_the_others() -> None:
    run = Run()
    run(Propose(F), AllClosed(F), Merged(2), Merged(3))
    with pytest.raises(CallerError, match="floor 0 is below 10, which replica 1 had closed"):
        run(LostDisk(0))
    assert run(LostDisk(F)) == (SayClosed(F),)
    assert run.state.durable == Durable(1, F)
    assert run(Recovered(0)) == ()
    assert run(Recovered(F)) == ()
    assert run.state.durable == Durable(1, F, F, F)
    assert Run()(LostDisk(0)) == ()


def test_of_a_backup_only_what_is_above_the_floor_or_held_by_others_is_believed() -> None:
    durable = Durable(1, F)
    assert KEEPER.admits_backup(durable, Held(), NEW)
    assert not KEEPER.admits_backup(durable, Held(), VALUE)
    assert KEEPER.admits_backup(durable, VALUE, VALUE)


def test_events_that_can_not_be_are_refused() -> None:
    run = Run()
    for event, message in (
        (Propose(0), "version 0 is out of range"),
        (AllClosed(-1), "version -1 is out of range"),
        (AllConverged(0), "version 0 is out of range"),
        (Recovered(-1), "version -1 is out of range"),
        (Merged(1), r"replica 1 is none of the others: \[2, 3\]"),
        (Merged(4), "replica 4 is none of the others"),
    ):
        before = run.state
        with pytest.raises(CallerError, match=message):
            run(event)
        assert run.state == before


@pytest.mark.parametrize("seed", range(30))
def test_three_replicas_agree_on_the_past_whatever_arrives_when(seed: int) -> None:
    """What the model explores, over the machines: nothing below the floor differs once two have settled."""
    dice = random.Random(seed)
    floors = {name: State(SETTING, Durable(name)) for name in SETTING.replicas}
    rows = dict.fromkeys(SETTING.replicas, Held())
    sent = [VALUE, TOMB, NEW]
    for _ in range(400):
        name = dice.choice(SETTING.replicas)
        state = floors[name]
        match dice.randrange(5):
            case 0:
                message = dice.choice(sent)
                now = KEEPER.answer(state.durable, rows[name])
                if KEEPER.admits(state.durable, rows[name], message) and message.rank() > now.rank():
                    rows[name] = message
            case 1:
                floors[name], _ = KEEPER.step(state, Propose(F))
            case 2 if all(item.durable.closed for item in floors.values()):
                floors[name], asked = KEEPER.step(state, AllClosed(F))
                for ask in asked:
                    if isinstance(ask, AskFor) and dice.random() < 0.5:
                        theirs = rows[ask.other]
                        if theirs.rank() > KEEPER.answer(floors[name].durable, rows[name]).rank():
                            rows[name] = theirs
                        floors[name], _ = KEEPER.step(floors[name], Merged(ask.other))
            case 3 if all(item.durable.converged for item in floors.values()):
                floors[name], _ = KEEPER.step(state, AllConverged(F))
            case 4 if state.durable.floor and RULES.may_purge(state.durable.floor, rows[name]):
                rows[name] = Held()
        settled = [other for other in SETTING.replicas if floors[other].durable.floor]
        past = {
            Held() if rows[other].value is None else rows[other]
            for other in settled
            if rows[other].version <= F
        }
        assert len(past) <= 1
