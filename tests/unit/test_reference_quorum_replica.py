"""One replica: what it holds, when it answers, and what a lost disk costs it."""

from __future__ import annotations

import pytest

from scratchbird_reference.errors import CallerError
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Exchange,
    Exchanged,
    Held,
    OldEpoch,
    Query,
    Send,
    Setting,
    Write,
)
from scratchbird_reference.quorum_replica import (
    Ask,
    Crash,
    Deliver,
    Event,
    Replica,
    Start,
    StartEmpty,
    State,
    first_state,
)

SETTING = Setting((0, 1, 2), 2, 2, epoch=4)
FIVE = Setting(tuple(range(5)), 3, 3)
ONE = ((0, 1),)
MAP = ((0, 2), (1, 1), (2, 1))
REPLICA = Replica()


def after(state: State, *events: Event) -> State:
    for event in events:
        state, _ = REPLICA.step(state, event)
    return state


def write(version: int, value: bytes = b"x", row: int = 7, epoch: int = 0) -> Deliver:
    return Deliver(Write(1, epoch, row, Held(version, value)))


def test_it_takes_what_is_newer_and_acknowledges_what_is_older() -> None:
    state, sent = REPLICA.step(first_state(0), write(5))
    assert sent == (Send(None, Acknowledgement(1, 5, ONE)),)
    state, sent = REPLICA.step(state, write(3, b"old"))
    assert sent == (Send(None, Acknowledgement(1, 3, ONE)),)
    _, sent = REPLICA.step(state, Deliver(Query(2, 0, 7)))
    assert sent == (Send(None, Answer(2, Held(5, b"x"), ONE)),)
    _, sent = REPLICA.step(state, Deliver(Query(2, 0, 8)))
    assert sent == (Send(None, Answer(2, Held(), ONE)),)


def test_rows_do_not_depend_on_the_order_of_messages() -> None:
    writes = [write(5), write(9, row=1), write(6, b"y"), write(2, row=1)]
    assert after(first_state(0), *writes) == after(first_state(0), *reversed(writes))


def test_a_crash_loses_nothing_that_was_acknowledged() -> None:
    state = after(first_state(0), write(5), Crash())
    assert state.volatile is None
    assert after(state, Start()).durable.held(7) == Held(5, b"x")


def test_the_highest_epoch_stays_and_older_requests_are_refused() -> None:
    state = after(first_state(0), write(5, epoch=3), Crash(), Start())
    for message in (Query(2, 2, 7), Write(2, 2, 7, Held(6, b"y"))):
        refused, sent = REPLICA.step(state, Deliver(message))
        assert (refused, sent) == (state, (Send(None, OldEpoch(2, 3)),))
    assert after(state, write(6, epoch=3)).durable.held(7).version == 6


@pytest.mark.parametrize(("setting", "needed"), [(SETTING, 2), (FIVE, 3), (Setting((0, 1, 2), 3, 1), 1)])
def test_after_a_lost_disk_it_has_no_vote_before_n_minus_w_plus_1_others_were_heard(
    setting: Setting, needed: int
) -> None:
    state, sent = REPLICA.step(after(first_state(0), write(5), Crash()), StartEmpty(setting, MAP))
    others = setting.replicas[1:]
    assert sent == tuple(Send(other, Exchange(setting.epoch, MAP)) for other in others)
    assert state.durable.held(7) == Held()
    for heard in range(needed):
        assert REPLICA.step(state, Deliver(Query(2, setting.epoch, 7)))[1] == ()
        assert REPLICA.step(state, Deliver(Exchange(4, ((1, 2),)), sender=1))[1] == ()
        answer = Exchanged(setting.epoch, 2, ((7, Held(4 + heard, b"z")),), ((1, 3),))
        state, sent = REPLICA.step(state, Deliver(answer, sender=others[heard]))
        state = after(state, Deliver(answer, sender=others[heard]))  # Twice is once.
        assert sent == ()
    _, sent = REPLICA.step(state, Deliver(Query(2, setting.epoch, 7)))
    assert sent == (Send(None, Answer(2, Held(3 + needed, b"z"), ((0, 2), (1, 3), (2, 1)))),)
    assert REPLICA.step(state, Ask())[1] == ()


def test_a_crash_while_it_recovers_begins_the_asking_anew() -> None:
    answer = Exchanged(4, 2, (), ())
    state = after(first_state(0), Crash(), StartEmpty(SETTING, MAP), Deliver(answer, 1), Crash(), Start())
    assert [send.to for send in REPLICA.step(state, Ask())[1]] == [1, 2]
    assert after(state, Deliver(answer, 2)).durable.recovering == SETTING
    assert after(state, Deliver(answer, 2), Deliver(answer, 1)).durable.recovering is None


def test_while_it_recovers_it_vouches_for_what_it_takes_from_now_on() -> None:
    state = after(first_state(0), Crash(), StartEmpty(SETTING, MAP))
    state, sent = REPLICA.step(state, write(8, epoch=4))
    assert sent == (Send(None, Acknowledgement(1, 8, MAP)),)
    assert state.durable.held(7) == Held(8, b"x")


def test_it_goes_on_refusing_the_epochs_that_the_newest_setting_ended() -> None:
    state = after(first_state(0), Crash(), StartEmpty(SETTING, MAP, epoch=7))
    assert state.durable.recovering == SETTING
    assert REPLICA.step(state, write(8, epoch=6))[1] == (Send(None, OldEpoch(1, 7)),)
    assert after(first_state(0), Crash(), StartEmpty(SETTING, MAP)).durable.epoch == SETTING.epoch


def test_an_answer_to_an_earlier_life_does_not_count() -> None:
    state = after(first_state(0), Crash(), StartEmpty(SETTING, MAP))
    old = Exchanged(4, 1, ((7, Held(9)),), ())
    assert after(state, Deliver(old, 1), Deliver(old, 2)) == state


def test_only_the_other_replicas_of_its_setting_are_heard() -> None:
    state = after(first_state(0), Crash(), StartEmpty(SETTING, MAP))
    answer = Exchanged(4, 2, ((7, Held(9)),), ())
    assert after(state, Deliver(answer, 0), Deliver(answer, 3)) == state


def test_who_is_asked_remembers_who_began_anew_and_sends_all_that_it_holds() -> None:
    state, sent = REPLICA.step(after(first_state(1), write(5)), Deliver(Exchange(0, MAP), sender=0))
    assert sent == (Send(0, Exchanged(0, 2, ((7, Held(5, b"x")),), MAP)),)
    assert REPLICA.step(state, write(6))[1] == (Send(None, Acknowledgement(1, 6, MAP)),)


def test_events_that_can_not_be_are_refused() -> None:
    up, down = first_state(0), after(first_state(0), Crash())
    exchanged, acknowledgement = Exchanged(0, 1, (), ()), Acknowledgement(1, 5, ())
    for state, event, message in [
        (up, Start(), "Start at replica 0, which is up"),
        (down, write(5), "Deliver at replica 0, which is down: start it"),
        (
            down,
            StartEmpty(SETTING, ONE),
            "lost its disk in incarnation 1 and is to start as 1",
        ),
        (down, StartEmpty(Setting((1, 2), 2, 1), MAP), r"replica 0 is none of \(1, 2\)"),
        (up, Deliver(Exchange(0, ONE)), "Exchange comes from a replica: say from which"),
        (up, Deliver(exchanged), "Exchanged comes from a replica: say from which"),
        (up, Deliver(acknowledgement), "Acknowledgement is a message to a coordinator"),
        (up, write(5, row=-1), "row -1 is out of range"),
    ]:
        with pytest.raises(CallerError, match=message):
            REPLICA.step(state, event)
