"""A replica whose past has a floor, and the catalog that knows how far all are."""

from __future__ import annotations

import pytest

from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import quorum_replica
from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff_floor import (
    AllClosed,
    AllConverged,
    Propose,
    PurgeBelow,
    SayClosed,
    SayConverged,
)
from scratchbird_reference.handoff_replica import (
    AskPast,
    BelowFloor,
    Deliver,
    Effect,
    Event,
    FlooredReplica,
    LostDisk,
    Merge,
    Past,
    Purge,
    RecoveredPast,
    SendFloor,
    State,
    first_state,
)
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

SETTING = Setting((1, 2, 3), 2, 2)
F = 10
VALUE, TOMB, NEW = Held(4, b"v"), Held(6, None), Held(12, b"n")
ALONE = ((1, 1),)


class Run:
    """A replica, step after step."""

    def __init__(self, replica: int = 1) -> None:
        self.state = first_state(replica, SETTING)

    def __call__(self, *events: Event) -> tuple[Effect, ...]:
        effects: tuple[Effect, ...] = ()
        for event in events:
            self.state, effects = FlooredReplica().step(self.state, event)
        return effects

    def write(self, held: Held, row: int = 0) -> tuple[Effect, ...]:
        return self(quorum_replica.Deliver(Write(1, 0, row, held)))

    def held(self, row: int = 0) -> Held:
        return self.state.rows.durable.held(row)

    def answered(self) -> Held:
        (effect,) = self(quorum_replica.Deliver(Query(2, 0, 0)))
        assert isinstance(effect, Send)
        assert isinstance(effect.message, Answer)
        return effect.message.held

    def settle(self) -> tuple[Effect, ...]:
        """All others are empty."""
        return self(
            Propose(F),
            AllClosed(F),
            Deliver(2, Past(F, 1, ())),
            Deliver(3, Past(F, 1, ())),
            AllConverged(F),
        )


def acknowledged(version: int) -> tuple[Effect, ...]:
    return (Send(None, Acknowledgement(1, version, ALONE)),)


# --- one replica ------------------------------------------------------------------------------------------


def test_without_a_floor_it_is_a_replica() -> None:
    run = Run()
    assert run.write(VALUE) == acknowledged(4)
    assert run.answered() == VALUE
    run(Purge())
    assert run.held() == VALUE


def test_what_is_below_a_closed_floor_is_refused_and_not_acknowledged() -> None:
    run = Run()
    assert run(Propose(F)) == (SayClosed(F),)
    assert run.write(VALUE) == (SendFloor(None, BelowFloor(1, F)),)
    assert run.held() == Held()
    assert run.write(NEW) == acknowledged(12)
    assert run.write(VALUE) == acknowledged(4)


def test_an_old_epoch_is_refused_as_such_below_the_floor_as_well() -> None:
    run = Run()
    run(quorum_replica.Deliver(Query(1, 3, 0)), Propose(F))
    assert run.write(VALUE) == (Send(None, OldEpoch(1, 3)),)
    assert run(quorum_replica.Deliver(Query(1, 0, 0))) == (Send(None, OldEpoch(1, 3)),)


def test_a_tombstone_below_the_floor_goes_and_the_row_stays_deleted() -> None:
    run = Run()
    run.write(TOMB)
    run.write(NEW, row=1)
    assert run.settle() == (PurgeBelow(F),)
    run(Purge())
    assert run.state.rows.durable.rows == ((1, NEW),)
    assert run.answered() == Held(F, None)
    assert run.write(VALUE) == (SendFloor(None, BelowFloor(1, F)),)
    assert run.write(Held(F, None)) == acknowledged(F)


def test_the_past_is_merged_from_each_of_the_others() -> None:
    run = Run()
    run.write(VALUE)
    run(Propose(F))
    assert run(AllClosed(F)) == (SendFloor(2, AskPast(F, 1)), SendFloor(3, AskPast(F, 1)))
    assert run(Deliver(2, Past(F, 1, ((0, TOMB), (1, VALUE))))) == ()
    assert run(Deliver(3, Past(F, 1, ((0, VALUE),)))) == (SayConverged(F),)
    assert run.state.rows.durable.rows == ((0, TOMB), (1, VALUE))


def test_only_one_that_has_closed_the_floor_says_what_its_past_is() -> None:
    run = Run(2)
    run.write(VALUE)
    run.write(NEW, row=1)
    assert run(Deliver(1, AskPast(F, 1))) == ()
    run(Propose(F))
    assert run(Deliver(1, AskPast(F, 7))) == (SendFloor(1, Past(F, 7, ((0, VALUE), (1, NEW)))),)
    assert run(Deliver(1, AskPast(F + 5, 7))) == ()


def test_what_took_the_place_of_something_below_the_floor_is_told_in_its_place() -> None:
    """Else two could settle with different pasts: one asked before it was replaced, the other after."""
    writer, early, late = Run(1), Run(2), Run(3)
    writer.write(VALUE)
    for run in (writer, early, late):
        run(Propose(F))
    (told,) = writer(Deliver(2, AskPast(F, 1)))
    assert isinstance(told, SendFloor)
    assert isinstance(told.message, Past)
    early(AllClosed(F), Deliver(1, told.message))
    (past,) = late(Deliver(2, AskPast(F, 1)))  # Before it has merged anything itself.
    assert isinstance(past, SendFloor)
    assert past.message == Past(F, 1, ())
    writer.write(NEW)
    (told,) = writer(Deliver(3, AskPast(F, 1)))
    assert isinstance(told, SendFloor)
    assert isinstance(told.message, Past)
    late(AllClosed(F), Deliver(1, told.message))
    assert early.held() == VALUE
    assert late.held() == NEW


def test_a_past_of_another_floor_or_to_an_earlier_life_is_not_counted() -> None:
    run = Run()
    run(Propose(F), AllClosed(F))
    run(Deliver(2, Past(F - 1, 1, ((0, VALUE),))), Deliver(2, Past(F, 0, ((0, VALUE),))))
    assert run.held() == Held()
    assert run.state.floor.volatile.merged == frozenset()


def test_anti_entropy_brings_nothing_back() -> None:
    run = Run()
    run(Merge(((0, VALUE), (1, VALUE))), Merge(((0, TOMB),)))
    assert run.state.rows.durable.rows == ((0, TOMB), (1, VALUE))
    run.settle()
    run(Purge(), Merge(((0, VALUE),)))
    assert run.held() == Held()


def test_a_crash_keeps_the_floor_and_forgets_what_was_merged() -> None:
    run = Run()
    run(Propose(F), AllClosed(F), Deliver(2, Past(F, 1, ())), quorum_replica.Crash())
    assert run.state.floor.volatile.merged == frozenset()
    with pytest.raises(CallerError, match="Propose at replica 1, which is down: start it"):
        run(Propose(F + 1))
    with pytest.raises(CallerError, match="Deliver at replica 1, which is down"):
        run.write(VALUE)
    run(quorum_replica.Start())
    assert run.write(VALUE) == (SendFloor(None, BelowFloor(1, F)),)


# --- lost disks -------------------------------------------------------------------------------------------


def lost(run: Run, proposed: int) -> tuple[Effect, ...]:
    empty = quorum_replica.StartEmpty(SETTING, ((1, 2), (2, 1), (3, 1)))
    return run(quorum_replica.Crash(), LostDisk(empty, proposed))


def recovered(settled: int, *rows: tuple[int, Held], incarnation: int = 2) -> RecoveredPast:
    return RecoveredPast(Exchanged(0, incarnation, rows, ((2, 1),)), settled)


def test_a_lost_disk_starts_closed_and_asks_for_all() -> None:
    run = Run()
    exchange = Exchange(0, ((1, 2), (2, 1), (3, 1)))
    assert lost(run, F) == (Send(2, exchange), Send(3, exchange), SayClosed(F))
    assert run.write(VALUE) == (SendFloor(None, BelowFloor(1, F)),)
    assert run(quorum_replica.Deliver(Query(2, 0, 0))) == ()
    assert run(Deliver(2, AskPast(F, 1))) == ()
    run(AllClosed(F))
    assert run(Deliver(2, Past(F, 2, ((0, VALUE),)))) == ()
    assert run.held() == Held()


def test_it_settles_where_one_of_those_has_settled_from_which_it_recovers() -> None:
    run = Run()
    lost(run, F)
    assert run(Deliver(2, recovered(F, (1, VALUE)))) == ()
    assert run(Deliver(3, recovered(0, (0, TOMB)))) == ()
    assert run.state.rows.durable.recovering is None
    assert run.state.rows.durable.rows == ((0, TOMB), (1, VALUE))
    run(Purge())
    assert run.answered() == Held(F, None)


def test_an_answer_to_an_earlier_life_says_nothing_of_floors() -> None:
    run = Run()
    lost(run, F)
    run(Deliver(2, recovered(F, incarnation=1)))
    assert run.state.floor.durable.floor == 0
    run = Run()
    run(Deliver(2, recovered(F, incarnation=1)))
    assert run.state.floor.durable.floor == 0


def test_one_that_has_settled_says_so_to_one_that_recovers() -> None:
    run = Run(2)
    run(
        Propose(F),
        AllClosed(F),
        Deliver(1, Past(F, 1, ())),
        Deliver(3, Past(F, 1, ())),
        AllConverged(F),
        quorum_replica.Deliver(Write(1, 0, 0, NEW)),
    )
    (effect,) = run(quorum_replica.Deliver(Exchange(0, ((1, 2),)), sender=1))
    assert effect == SendFloor(1, RecoveredPast(Exchanged(0, 2, ((0, NEW),), ((1, 2), (2, 1))), F))


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (quorum_replica.StartEmpty(SETTING, ALONE), "StartEmpty without a floor: deliver LostDisk"),
        (quorum_replica.Deliver(Exchanged(0, 1, (), ()), 2), "Exchanged without a floor: deliver Recovered"),
        (Deliver(1, Past(F, 1, ())), r"replica 1 is none of the others: \[2, 3\]"),
        (Propose(0), "version 0 is out of range"),
    ],
)
def test_events_that_can_not_be_are_refused(event: Event, message: str) -> None:
    run = Run()
    run(Propose(F), AllClosed(F))
    before = run.state
    with pytest.raises(CallerError, match=message):
        run(event)
    assert run.state == before


# --- the catalog ------------------------------------------------------------------------------------------


class Register:
    """The catalog's part, step after step."""

    def __init__(self) -> None:
        self.state = catalog.State(SETTING, ((1, 1), (2, 1), (3, 1)))

    def __call__(self, *events: catalog.Event) -> tuple[catalog.Tell, ...]:
        told: tuple[catalog.Tell, ...] = ()
        for event in events:
            self.state, told = catalog.Catalog().step(self.state, event)
        return told


def all_of(what: Propose | AllClosed | AllConverged) -> tuple[catalog.Tell, ...]:
    return tuple(catalog.Tell(replica, what) for replica in SETTING.replicas)


def converged(*replicas: int, floor: int = F) -> list[catalog.Event]:
    return [catalog.Converged(replica, floor, 1) for replica in replicas]


def closed(*replicas: int, floor: int = F) -> list[catalog.Event]:
    return [catalog.Closed(replica, floor) for replica in replicas]


def test_all_are_told_of_each_step_once_all_have_taken_the_last() -> None:
    register = Register()
    assert register(catalog.Ask(1)) == ()
    assert register(catalog.ProposeFloor(F)) == all_of(Propose(F))
    assert register(*closed(1, 2, 2)) == ()
    assert register(catalog.Ask(1)) == (catalog.Tell(1, Propose(F)),)
    assert register(*closed(3, floor=F - 1)) == ()
    assert register(*closed(3)) == all_of(AllClosed(F))
    assert register(*closed(3)) == ()
    assert register(*converged(1, 2)) == ()
    assert register(*converged(3)) == all_of(AllConverged(F))
    assert register(*converged(3)) == ()
    assert register(catalog.Ask(2)) == tuple(
        catalog.Tell(2, what) for what in (Propose(F), AllClosed(F), AllConverged(F))
    )


def test_a_disk_that_is_lost_before_all_have_converged_voids_the_floor_and_a_higher_one_begins_anew() -> None:
    register = Register()
    register(catalog.ProposeFloor(F), *closed(1, 2, 3), *converged(1, 2))
    assert register(catalog.LostDisk(1, 2)) == ()
    assert register(catalog.Converged(1, F, 2), *converged(2, 3), *closed(1, 2, 3)) == ()
    assert register(catalog.Ask(2)) == (catalog.Tell(2, Propose(F)),)
    assert register(catalog.ProposeFloor(F + 1)) == all_of(Propose(F + 1))
    assert register(*closed(1, 2, 3, floor=F + 1)) == all_of(AllClosed(F + 1))
    assert (
        register(catalog.Converged(1, F + 1, 1), *converged(2, 3, floor=F + 1)) == ()
    )  # Of its earlier life.
    assert register(catalog.Converged(1, F + 1, 2)) == all_of(AllConverged(F + 1))


def test_a_floor_that_all_have_converged_at_stays_so() -> None:
    register = Register()
    register(catalog.ProposeFloor(F), *closed(1, 2, 3), *converged(1, 2, 3), catalog.LostDisk(1, 2))
    assert register.state.all_converged == F
    register(catalog.ProposeFloor(F + 1))
    assert register(catalog.Ask(3)) == (
        catalog.Tell(3, Propose(F + 1)),
        catalog.Tell(3, AllConverged(F)),
    )


def test_events_the_catalog_refuses() -> None:
    register = Register()
    register(catalog.ProposeFloor(F), *converged(2))
    for event, message in (
        (catalog.ProposeFloor(0), "version 0 is out of range"),
        (catalog.ProposeFloor(F), "floor 10 is not above 10: floors rise"),
        (catalog.ProposeFloor(F + 1), r"not all replicas have converged at 10 yet; wait for \[1, 3\]"),
        (catalog.Ask(4), r"replica 4 is none of \(1, 2, 3\)"),
        (catalog.LostDisk(1, 1), "replica 1 is to start as incarnation 1, and was 1: pass a higher one"),
    ):
        before = register.state
        with pytest.raises(CallerError, match=message):
            register(event)
        assert register.state == before


def test_three_replicas_and_the_catalog_come_to_an_end_by_themselves() -> None:
    """Every effect delivered, whatever else is there: a floor from its proposal to the purge."""
    runs = {replica: Run(replica) for replica in SETTING.replicas}
    register = Register()
    runs[1].write(VALUE)
    runs[2].write(TOMB)
    runs[3].write(NEW, row=1)
    told = list(register(catalog.ProposeFloor(F)))
    events: list[tuple[int, Event]] = [(tell.to, tell.what) for tell in told]
    while events:
        replica, event = events.pop()
        for effect in runs[replica](event):
            match effect:
                case SendFloor(to, AskPast() | Past() as message) if to is not None:
                    events.append((to, Deliver(replica, message)))
                case SayClosed(floor):
                    events.extend((item.to, item.what) for item in register(catalog.Closed(replica, floor)))
                case SayConverged(floor):
                    said = register(catalog.Converged(replica, floor, 1))
                    events.extend((item.to, item.what) for item in said)
                case PurgeBelow():
                    events.append((replica, Purge()))
    assert {run.state.floor.durable.floor for run in runs.values()} == {F}
    assert [run.state.rows.durable.rows for run in runs.values()] == [((1, NEW),)] * 3


def test_states_are_values() -> None:
    assert first_state(1, SETTING) == first_state(1, SETTING)
    assert isinstance(first_state(1, SETTING), State)
