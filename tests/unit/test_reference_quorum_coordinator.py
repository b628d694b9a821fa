"""One coordinator: how each kind of operation goes, and how each ends."""

from __future__ import annotations

import pytest

from scratchbird_reference.errors import CallerError
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Held,
    Incarnations,
    Mode,
    OldEpoch,
    Query,
    Send,
    Setting,
    Write,
)
from scratchbird_reference.quorum_operations import (
    Adopt,
    Crash,
    Deadline,
    Deliver,
    Durable,
    Effect,
    Event,
    Intent,
    IntentStored,
    LookUp,
    Outcome,
    PutValue,
    Read,
    Reply,
    Reserve,
    Stamp,
    Stamped,
    StampRefused,
    Start,
    State,
    StoreIntent,
)

ROW = 7
LINEARIZABLE = Setting((0, 1, 2), 2, 2)
EVENTUAL = Setting((0, 1, 2), 2, 2, Mode.EVENTUAL)
A, B, C = Held(5, b"a"), Held(8, b"b"), Held(9, b"v")
INTENT = Intent(ROW, C, frozenset({0, 1, 2}))
STORED = IntentStored(1, INTENT)


class Run:
    """A coordinator, step after step."""

    def __init__(self, setting: Setting = LINEARIZABLE) -> None:
        self.state = State(setting)

    def __call__(self, *events: Event) -> tuple[Effect, ...]:
        """Take these steps; the effects are those of the last one."""
        effects: tuple[Effect, ...] = ()
        for event in events:
            self.state, effects = Coordinator().step(self.state, event)
        return effects


def answer(sender: int, held: Held, incarnations: Incarnations = (), operation: int = 1) -> Deliver:
    return Deliver(sender, Answer(operation, held, incarnations))


def acknowledged(
    sender: int, version: int = 9, incarnations: Incarnations = (), operation: int = 1
) -> Deliver:
    return Deliver(sender, Acknowledgement(operation, version, incarnations))


def queries(epoch: int = 0) -> tuple[Send, ...]:
    return tuple(Send(replica, Query(1, epoch, ROW)) for replica in (0, 1, 2))


def writes(held: Held, *replicas: int) -> tuple[Send, ...]:
    return tuple(Send(replica, Write(1, 0, ROW, held)) for replica in replicas)


def committed(held: Held = C) -> tuple[Reply, ...]:
    return (Reply(1, Outcome.COMMITTED, held),)


# --- writes -----------------------------------------------------------------------------------------------


def test_a_linearizable_write_asks_stamps_sends_and_waits_for_its_quorum_and_its_intent() -> None:
    run = Run()
    assert run(PutValue(1, ROW, b"v")) == queries()
    assert run(answer(0, A)) == ()
    assert run(answer(0, A)) == ()  # A repeated answer is one answer.
    assert run(answer(2, B)) == (Stamp(1, 8),)
    assert run(answer(1, Held(30))) == ()  # Too late to raise what the version must be above.
    assert run(Stamped(1, 9)) == (StoreIntent(1, INTENT), *writes(C, 0, 1, 2))
    assert run(acknowledged(0), acknowledged(0), acknowledged(2)) == ()
    assert run(STORED) == committed()
    assert run.state.durable.intents == ((9, Intent(ROW, C, frozenset({1}))),)
    assert run(acknowledged(1)) == ()
    assert run.state.durable == Durable()
    assert run(Deadline(1)) == ()
    assert run.state.volatile is not None
    assert run.state.volatile.operations == ()


def test_the_intent_may_be_durable_first() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v"), answer(0, A), answer(1, A), Stamped(1, 9))
    assert run(STORED) == ()
    assert run(acknowledged(0)) == ()
    assert run(acknowledged(1)) == committed()
    assert run.state.durable.intents == ((9, Intent(ROW, C, frozenset({2}))),)


def test_an_eventual_write_takes_one_round_and_a_version_above_the_token() -> None:
    run = Run(EVENTUAL)
    assert run(PutValue(1, ROW, b"v", token=8)) == (Stamp(1, 8),)
    assert run(Stamped(1, 9))[1:] == writes(C, 0, 1, 2)
    assert run(STORED, acknowledged(0), acknowledged(1)) == committed()


def test_a_reserved_version_is_written_by_any_coordinator() -> None:
    run = Run()
    assert run(Reserve(1, ROW), answer(0, A), answer(1, B)) == (Stamp(1, 8),)
    assert run(Stamped(1, 9)) == (Reply(1, Outcome.RESERVED, Held(9)),)
    assert run(Stamped(1, 10)) == run(StampRefused(1, "late")) == ()
    assert run(answer(2, A)) == run(acknowledged(0)) == ()  # There is nothing to repair or to count.
    for _ in range(2):
        run = Run()
        run(PutValue(1, ROW, b"v", reserved=9))
        assert run(STORED, acknowledged(0), acknowledged(1)) == committed()


def test_what_was_said_before_a_disk_was_lost_is_not_counted() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), STORED)
    run(acknowledged(0, incarnations=((0, 1),)))
    assert run(acknowledged(1, incarnations=((0, 2), (1, 1)))) == ()
    assert run(acknowledged(0, incarnations=((0, 1),))) == ()
    assert run(acknowledged(0, incarnations=((0, 2),))) == committed()
    run(acknowledged(0, incarnations=((0, 1),)))  # It does not take the place of the later one.
    assert run.state.durable.intents == ((9, Intent(ROW, C, frozenset({2}))),)


def test_a_read_writes_back_to_who_lost_its_disk_since_it_answered() -> None:
    run = Run(Setting((0, 1), 2, 2))
    run(Read(1, ROW), answer(0, A, ((0, 1),)))
    assert run(answer(1, A, ((0, 2), (1, 1)))) == writes(A, 0)
    assert run(acknowledged(0, version=5, incarnations=((0, 2),))) == (Reply(1, Outcome.VALUE, A),)


def test_an_intent_keeps_the_replica_that_lost_what_it_acknowledged() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), acknowledged(0, incarnations=((0, 1),)))
    run(acknowledged(1, incarnations=((0, 2),)), STORED, acknowledged(0, incarnations=((0, 1),)))
    assert run.state.durable.intents == ((9, Intent(ROW, C, frozenset({0, 2}))),)


def test_an_intent_that_is_durable_after_its_deadline_is_kept() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), acknowledged(0), Deadline(1))
    assert run(STORED) == ()
    # Who acknowledged is forgotten by then: it is asked once more.
    assert run.state.durable.intents == ((9, INTENT),)
    run(acknowledged(0), acknowledged(1), acknowledged(2))
    assert run.state.durable == Durable()


def test_an_intent_that_is_found_at_the_start_is_kept() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), Crash(), Start())
    run(STORED)
    assert run.state.durable.intents == ((9, INTENT),)


def test_an_intent_that_is_durable_when_all_have_acknowledged_names_nobody_and_goes() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9))
    assert run(acknowledged(0), acknowledged(1), acknowledged(2), STORED) == committed()
    assert run.state.durable == Durable()


def test_the_intent_of_a_repeated_write_names_the_targets_of_both() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), STORED, acknowledged(0), Deadline(1))
    run(Adopt(Setting((1, 2, 3), 2, 2, epoch=1)), PutValue(2, ROW, b"v", reserved=9))
    run(acknowledged(1, operation=2), IntentStored(2, Intent(ROW, C, frozenset({1, 2, 3}))))
    assert run.state.durable.intents == ((9, Intent(ROW, C, frozenset({2, 3}))),)


# --- reads ------------------------------------------------------------------------------------------------


def test_a_read_replies_at_once_where_a_write_quorum_holds_the_winner() -> None:
    run = Run()
    assert run(Read(1, ROW)) == queries()
    assert run(answer(0, C), answer(2, C)) == (Reply(1, Outcome.VALUE, C),)
    assert run(answer(1, A)) == writes(C, 1)


def test_a_read_of_a_row_that_was_never_written_has_version_0() -> None:
    run = Run()
    assert run(Read(1, ROW), answer(0, Held()), answer(1, Held())) == (Reply(1, Outcome.VALUE, Held()),)


def test_a_read_writes_back_before_it_replies() -> None:
    run = Run()
    assert run(Read(1, ROW), answer(0, A), answer(2, C)) == writes(C, 0, 1)
    assert run(acknowledged(1, 5)) == ()  # Of another version: it says nothing of this one.
    assert run(acknowledged(1)) == (Reply(1, Outcome.VALUE, C),)
    assert run(acknowledged(0)) == ()


def test_a_late_answer_counts_as_a_holder() -> None:
    run = Run()
    run(Read(1, ROW), answer(0, A), answer(2, C))
    assert run(answer(1, Held(12, b"newer"))) == (Reply(1, Outcome.VALUE, C),)


def test_an_eventual_read_replies_first_and_repairs_afterwards() -> None:
    run = Run(EVENTUAL)
    assert run(Read(1, ROW), answer(0, A), answer(2, C)) == (Reply(1, Outcome.VALUE, C), *writes(C, 0))
    assert run(answer(1, A)) == writes(C, 1)


def test_a_read_with_a_token_waits_for_a_replica_that_knows_it() -> None:
    run = Run(EVENTUAL)
    assert run(Read(1, ROW, token=9), answer(0, A), answer(2, B)) == ()
    assert run(answer(1, C))[0] == Reply(1, Outcome.VALUE, C)
    run(Read(2, ROW, token=9), answer(0, A, operation=2), answer(1, B, operation=2))
    assert run(answer(2, A, operation=2)) == ()
    assert run(Deadline(2)) == (Reply(2, Outcome.FAILED, reason="3 answers and 0 acknowledgements in time"),)


# --- look-ups ---------------------------------------------------------------------------------------------


def test_a_look_up_says_what_can_be_known() -> None:
    run = Run()
    assert run(LookUp(1, ROW, 9), answer(0, A), answer(1, B)) == (Reply(1, Outcome.NOT_AT_A_QUORUM, B),)
    run = Run()
    assert run(LookUp(1, ROW, 9), answer(0, A), answer(1, C)) == writes(C, 0, 2)
    assert run(acknowledged(0)) == committed()
    run = Run()
    assert run(LookUp(1, ROW, 5), answer(0, A), answer(1, C)) == writes(C, 0, 2)
    assert run(answer(2, A)) == writes(C, 2)
    assert run(acknowledged(2)) == (Reply(1, Outcome.SUPERSEDED, C),)


# --- endings ----------------------------------------------------------------------------------------------


def test_without_a_quorum_the_outcome_says_whether_replicas_were_told() -> None:
    run = Run()
    assert run(PutValue(1, ROW, b"v"), answer(0, A), Deadline(1)) == (
        Reply(1, Outcome.NOT_APPLIED, reason="1 answers and 0 acknowledgements in time"),
    )
    assert run(answer(1, A)) == run(Stamped(1, 9)) == run(Deadline(1)) == ()
    run(PutValue(1, ROW, b"v", reserved=9), STORED, acknowledged(0))
    assert run(Deadline(1)) == (
        Reply(1, Outcome.INDETERMINATE, C, "0 answers and 1 acknowledgements in time"),
    )
    assert dict(run.state.durable.intents)[9].targets == {1, 2}  # Nothing is rolled back.
    assert run(Read(1, ROW), Deadline(1))[0] == Reply(
        1, Outcome.FAILED, reason="0 answers and 0 acknowledgements in time"
    )


def test_where_the_clock_makes_no_version_nothing_is_written() -> None:
    run = Run(EVENTUAL)
    assert run(PutValue(1, ROW, b"v"), StampRefused(1, "the clock is suspended")) == (
        Reply(1, Outcome.NOT_APPLIED, reason="the clock is suspended"),
    )


def test_a_newer_epoch_ends_an_operation_as_a_deadline_would() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9))
    assert run(Deliver(0, OldEpoch(1, 0))) == ()
    reason = "epoch 3 is in force, this operation began in 0"
    assert run(Deliver(0, OldEpoch(1, 3))) == (Reply(1, Outcome.INDETERMINATE, C, reason),)
    assert run(Deliver(1, OldEpoch(1, 3))) == run(Deliver(1, OldEpoch(2, 3))) == ()
    newer = Setting((0, 1, 2), 3, 1, epoch=3)
    assert run(Deadline(1), Adopt(newer), Read(1, ROW)) == queries(epoch=3)
    with pytest.raises(CallerError, match="epoch 3 is not above 3: a setting never comes back"):
        run(Adopt(newer))


def test_a_crash_loses_the_operations_and_keeps_the_intents() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), STORED, Crash(), Start())
    assert run.state == State(LINEARIZABLE, Durable(((9, Intent(ROW, C, frozenset({0, 1, 2}))),)))
    assert run(acknowledged(0)) == ()
    assert run.state.durable.intents == ((9, Intent(ROW, C, frozenset({1, 2}))),)


def test_answers_of_strangers_are_not_counted() -> None:
    run = Run()
    assert run(Read(1, ROW), answer(0, A), answer(3, A), answer(3, A)) == ()
    assert run(Deliver(3, OldEpoch(1, 3))) == ()


def test_events_that_can_not_be_are_refused() -> None:
    down = Run()
    down(Crash())
    with pytest.raises(CallerError, match="Read at a coordinator that is down: start it"):
        down(Read(1, ROW))
    run = Run()
    run(Read(1, ROW), Reserve(2, ROW), answer(0, A, operation=2), answer(1, A, operation=2))
    run(PutValue(3, ROW, b"v", reserved=9))
    events: list[tuple[Event, str]] = [
        (Start(), "Start at a coordinator that is up"),
        (Read(1, ROW), "operation 1 is open already: number each of them anew"),
        (Read(-1, ROW), "operation -1 is out of range"),
        (Read(4, -1), "row -1 is out of range"),
        (Read(4, ROW, token=-1), "token -1 is out of range"),
        (PutValue(4, ROW, b"v", token=-1), "token -1 is out of range"),
        (PutValue(4, ROW, "v"), "'v' is neither bytes nor None"),  # type: ignore[arg-type]
        (PutValue(4, ROW, b"v", reserved=-1), "version -1 is out of range"),
        (LookUp(4, ROW, 0), "version 0 is out of range"),
        (STORED, "IntentStored for operation 1, which is not storing this one"),
        (IntentStored(3, Intent(ROW, A, frozenset({0}))), "IntentStored for operation 3, which is not"),
        (Stamped(2, 5), "version 5 is not above 5: merge that into the clock first"),
    ]
    for event, message in events:
        before = run.state
        with pytest.raises(CallerError, match=message):
            run(event)
        assert run.state == before
    assert run(Stamped(1, 9)) == ()  # Nobody asked for it.
