"""The production's quorums: the rules by hand, the bounds, batches, errors, and the ends of the ranges."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from scratchbird import UuidV8, quorum
from scratchbird.errors import (
    CallerError,
    ConfigurationError,
    OverloadError,
    TooManyIntentsError,
    TooManyOperationsError,
    TooManyRowsError,
)
from scratchbird.quorum import (
    MAX_REPLICAS,
    MAX_ROW,
    MAX_VERSION,
    NOTHING,
    Acknowledgement,
    Adopt,
    Answer,
    Ask,
    CoordinatorCore,
    CoordinatorEvent,
    Crash,
    Deadline,
    Deliver,
    Effect,
    Exchange,
    Exchanged,
    Held,
    Incarnations,
    Intent,
    IntentStored,
    LookUp,
    Mode,
    OldEpoch,
    Outcome,
    PutValue,
    Query,
    Read,
    ReplicaCore,
    ReplicaEvent,
    Reply,
    Reserve,
    Send,
    Setting,
    Stamp,
    Stamped,
    StampRefused,
    Start,
    StartEmpty,
    Steps,
    StoreIntent,
    Value,
    Write,
    always_meet,
    compatible,
    joint,
)
from scratchbird_reference import quorum as reference
from scratchbird_reference import quorum_messages as reference_messages

any_: Any = quorum
"""The module, for what types forbid."""
ROW = 7
LINEARIZABLE = Setting((1, 2, 3), 2, 2)
EVENTUAL = Setting((1, 2, 3), 2, 2, Mode.EVENTUAL)
A, B, C = Held(5, b"a"), Held(8, b"b"), Held(9, b"v")
INTENT = Intent(ROW, C, (1, 2, 3))
STORED = IntentStored(1, INTENT)
MAP = ((1, 1), (2, 1), (3, 1))


class Run:
    """A coordinator, step after step."""

    def __init__(self, setting: Setting = LINEARIZABLE, **bounds: int) -> None:
        self.core = CoordinatorCore(setting, **bounds)
        self.core.step(Start())

    def __call__(self, *events: CoordinatorEvent) -> tuple[Effect, ...]:
        """Take these steps; the effects are those of the last one."""
        effects: tuple[Effect, ...] = ()
        for event in events:
            effects = self.core.step(event)
        return effects


def answer(sender: int, held: Held, told: Any = MAP, operation: int = 1) -> Deliver:
    return Deliver(Answer(operation, held, told), sender)


def acknowledged(sender: int, version: int = 9, told: Any = MAP, operation: int = 1) -> Deliver:
    return Deliver(Acknowledgement(operation, version, told), sender)


def writes(held: Held, *replicas: int) -> tuple[Send, ...]:
    return tuple(Send(replica, Write(1, 0, ROW, held)) for replica in replicas)


def up(**durable: Any) -> ReplicaCore:
    core = ReplicaCore(1, **durable)
    core.step(Start())
    return core


def write(version: int, value: bytes | None = b"x", row: int = ROW, epoch: int = 0) -> Deliver:
    return Deliver(Write(1, epoch, row, Held(version, value)))


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "write", "read", "mode", "epoch"),
    [
        ((), 1, 1, "EVENTUAL", 0),
        (tuple(range(256)), 1, 1, "EVENTUAL", 0),
        ((0, 1, 1), 2, 2, "EVENTUAL", 0),
        ((0, -1), 2, 2, "EVENTUAL", 0),
        ((0, True), 2, 2, "EVENTUAL", 0),
        ((0, 1, 2), 0, 2, "EVENTUAL", 0),
        ((0, 1, 2), 4, 2, "EVENTUAL", 0),
        ((0, 1, 2), 2, 4, "EVENTUAL", 0),
        ((0, 1, 2), 2, True, "EVENTUAL", 0),
        ((0, 1, 2), 2, 2, "EVENTUAL", -1),
        ((0, 1, 2), 1, 2, "LINEARIZABLE", 0),
    ],
)
def test_a_setting_is_refused_in_the_words_of_the_reference(
    replicas: tuple[int, ...], write: int, read: int, mode: str, epoch: int
) -> None:
    with pytest.raises(Exception, match=r".") as theirs:
        reference_messages.Setting(replicas, write, read, reference_messages.Mode[mode], epoch)
    with pytest.raises(ConfigurationError) as ours:
        Setting(replicas, write, read, Mode[mode], epoch)
    assert (type(ours.value).__name__, str(ours.value)) == (type(theirs.value).__name__, str(theirs.value))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Setting((65536,), 1, 1), "replica id 65536: it must be at most 65535"),
        (lambda: Setting(3, 1, 1), "replicas 3 are no list"),  # type: ignore[arg-type]
        (lambda: Setting((1,), 1, 1, "eventual"), "mode 'eventual' is no Mode"),  # type: ignore[arg-type]
        (lambda: Setting((1,), 1, 1, epoch=1 << 63), "epoch 9223372036854775808: it must be at most"),
        (lambda: Setting((1,), 1 << 80, 1), "write_quorum 1208925819614629174706176: it must be at most"),
        (lambda: CoordinatorCore(LINEARIZABLE, max_operations=0), "max_operations 0: it must be a whole"),
        (lambda: CoordinatorCore(LINEARIZABLE, max_intents=0), "max_intents 0: it must be a whole number"),
        (lambda: ReplicaCore(1, max_rows=0), "max_rows 0: it must be a whole number, at least 1"),
    ],
)
def test_what_only_production_bounds_is_a_matter_of_configuration(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def theirs(setting: Setting) -> reference_messages.Setting:
    mode = reference_messages.Mode[setting.mode.name]
    return reference_messages.Setting(
        setting.replicas, setting.write_quorum, setting.read_quorum, mode, setting.epoch
    )


def test_settings_side_by_side_are_judged_as_the_reference_does() -> None:
    sets = [(0, 1, 2), (2, 1, 0), (0, 1, 2, 3), (2, 3, 4), (3, 4, 5), (0,)]
    every = [
        Setting(ids, write, read, Mode.EVENTUAL)
        for ids in sets
        for write, read in product(range(1, len(ids) + 1), repeat=2)
    ]
    seen = set()
    for one, two in product(every, repeat=2):
        met = always_meet(one, two)
        assert met == reference.always_meet(theirs(one), theirs(two))
        assert compatible((one, two)) == reference.compatible((theirs(one), theirs(two)))
        seen.add(met)
    assert seen == {True, False}


def test_the_joint_setting_is_the_reference_s() -> None:
    for ids in ((3, 1, 2), (5, 1)):
        for w, r, v, q in product(range(1, len(ids) + 1), repeat=4):
            old = Setting(ids, w, r, Mode.EVENTUAL, 4)
            new = Setting(tuple(reversed(ids)), v, q, Mode.EVENTUAL, 6)
            assert theirs(joint(old, new)) == reference.joint(theirs(old), theirs(new))


@pytest.mark.parametrize("new", [Setting((1, 2), 2, 2, epoch=2), Setting((1, 2, 3), 3, 1, epoch=1)])
def test_there_is_no_joint_setting_where_the_reference_has_none(new: Setting) -> None:
    with pytest.raises(Exception, match=r".") as refused:
        reference.joint(theirs(LINEARIZABLE), theirs(new))
    with pytest.raises(ConfigurationError) as ours:
        joint(LINEARIZABLE, new)
    assert str(ours.value) == str(refused.value)


def test_the_joint_setting_at_the_last_epochs() -> None:
    last = (1 << 63) - 1
    old, new = (Setting((1,), 1, 1, epoch=epoch) for epoch in (last - 1, last))
    with pytest.raises(ConfigurationError, match=f"after {last - 1} use {last + 1} or more"):
        joint(old, new)
    assert joint(Setting((1,), 1, 1, epoch=last - 2), new).epoch == last - 1


# --- values -----------------------------------------------------------------------------------------------

VALUES: tuple[Value, ...] = (
    Incarnations(MAP),
    LINEARIZABLE,
    Setting((1, 2), 1, 1, Mode.EVENTUAL, 3),
    A,
    Held(),
    INTENT,
    Query(1, 2, 3),
    Answer(1, A, MAP),
    Write(1, 2, 3, A),
    Acknowledgement(1, MAX_VERSION, MAP),
    OldEpoch(1, 2),
    Exchange(1, MAP),
    Exchanged(1, 2, ((3, A),), MAP),
    Deliver(Query(1, 2, 3), 1),
    Deliver(Query(1, 2, 3)),
    Crash(),
    Start(),
    StartEmpty(LINEARIZABLE, MAP, 4),
    Ask(),
    Read(1, 2, 3),
    Reserve(1, 2, 3),
    PutValue(1, 2, b"v", 3, 4),
    LookUp(1, 2, 3),
    Stamped(1, 2),
    StampRefused(1, "late"),
    STORED,
    Deadline(1),
    Adopt(LINEARIZABLE),
    Send(1, Query(1, 2, 3)),
    Stamp(1, 2),
    StoreIntent(1, INTENT),
    Reply(1, Outcome.VALUE, A, "why"),
    Steps([Stamp(1, 2)], [1], []),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_its_parts(value: Value) -> None:
    parts = [getattr(value, name) for name in value.__match_args__]
    again = type(value)(*parts)
    for copied in (again, pickle.loads(pickle.dumps(value)), copy.deepcopy(value)):
        assert copied == value
        assert repr(copied) == repr(value)
    assert value != object()
    assert [other for other in VALUES if other == value] == [value]
    if not isinstance(value, Steps):
        assert hash(again) == hash(value)
    assert repr(value).startswith(f"{type(value).__name__}(")


def test_values_can_be_taken_apart() -> None:
    match Deliver(Write(1, 0, ROW, A), 2):
        case Deliver(message=Write(held=Held(version=version, value=value)), sender=sender):
            assert (version, value, sender) == (5, b"a", 2)
        case _:
            pytest.fail("it is a delivery")


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_can_not_be_changed(value: Value) -> None:
    for name in value.__match_args__:
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


@pytest.mark.parametrize(
    "version", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, (1 << 64) + 1, 1 << 127, MAX_VERSION]
)
def test_versions_keep_all_their_bits(version: int) -> None:
    assert Held(version).version == version
    assert Acknowledgement(1, version, ()).version == version
    assert Read(version, 1, version) == Read(version, 1, version)
    assert Read(1, 1, version).token == version
    if version:
        assert LookUp(1, 1, version).version == version
        assert PutValue(1, 1, b"", reserved=version).reserved == version


def test_versions_are_ordered_across_the_border_of_their_words() -> None:
    versions = [1, (1 << 64) - 1, 1 << 64, (1 << 64) + 1, (1 << 65), MAX_VERSION]
    for (i, old), (j, new) in product(enumerate(versions), repeat=2):
        core = up()
        core.step(write(old, b"old"))
        core.step(write(new, b"new"))
        assert core.held(ROW).version == versions[max(i, j)]


def test_a_version_may_be_an_id() -> None:
    made = UuidV8((1_700_000_000_000, 5), 3, 77)
    assert Held(made) == Held(int(made))
    assert PutValue(made.int, 1, b"", made, made) == PutValue(made.int, 1, b"", made.int, made.int)
    assert Deadline(made).operation == made.int  # type: ignore[arg-type]
    run = Run(EVENTUAL)
    run(PutValue(1, ROW, b"v"))
    assert run(Stamped(1, made))[1:] == writes(Held(made.int, b"v"), 1, 2, 3)


def test_of_one_version_a_delete_wins_then_the_greater_bytes() -> None:
    values = [b"", b"\x00", b"a", b"aa", b"b", b"\xff", None]
    for (i, old), (j, new) in product(enumerate(values), repeat=2):
        core = up()
        core.step(write(5, old))
        core.step(write(5, new))
        assert core.held(ROW) == Held(5, values[max(i, j)])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: any_.Held(-1), "version -1 is out of range: it must be from 0 to 3402"),
        (lambda: any_.Held(1 << 128), "version 340282366920938463463374607431768211456 is out of range"),
        (lambda: any_.Held(1 << 9000), "version an integer of 9001 bits is out of range"),
        (lambda: any_.Held(True), "version True is no whole number: pass an int from 0 to 3402"),
        (lambda: any_.Held(1, "text"), "value 'text' is neither bytes nor None"),
        (lambda: any_.Held(1, bytearray(b"x")), r"value bytearray\(b'x'\) is neither bytes nor None"),
        (lambda: any_.Query("x", 0, 0), "operation 'x' is no whole number"),
        (lambda: any_.Query(1, -1, 0), "epoch -1 is out of range"),
        (lambda: any_.Query(1, 0, MAX_ROW + 1), "row 9223372036854775808 is out of range"),
        (lambda: any_.Answer(1, 5, ()), "held 5 is no Held: pass one"),
        (lambda: any_.Answer(1, A, ((1, 2), (1, 3))), "incarnations name replica 1 twice"),
        (lambda: any_.Answer(1, A, ((1, -1),)), "incarnation -1 is out of range"),
        (lambda: any_.Answer(1, A, ((65536, 1),)), "replica id 65536 is out of range"),
        (lambda: any_.Answer(1, A, (1,)), r"incarnations: 1 is no pair: pass \(replica, incarnation\)"),
        (lambda: any_.Answer(1, A, 5), "incarnations 5 is no list"),
        (lambda: any_.Exchanged(0, 1, ((1, 2),), ()), "held 2 is no Held"),
        (lambda: any_.Exchanged(0, 1, ((-1, A),), ()), "row -1 is out of range"),
        (lambda: any_.Exchanged(0, 1, (1,), ()), r"rows: 1 is no pair: pass \(row, Held\)"),
        (lambda: any_.Deliver("bytes"), "message 'bytes' is none of this part's: decode it first"),
        (lambda: any_.Deliver(any_.Query(1, 0, 0), -1), "sender -1 is out of range"),
        (lambda: any_.Intent(1, A, (70000,)), "target 70000 is out of range"),
        (lambda: any_.IntentStored(1, A), r"intent Held\(version=5, value=b'a'\) is no Intent: pass one"),
        (lambda: any_.StartEmpty(1, ()), "setting 1 is no Setting"),
        (lambda: any_.Adopt(None), "setting None is no Setting"),
        (lambda: any_.StampRefused(1, 2), "reason 2 is no str"),
        (lambda: any_.Reply(1, "value"), "outcome 'value' is no Outcome"),
        (lambda: any_.CoordinatorCore(1), "setting 1 is no Setting"),
        (lambda: any_.ReplicaCore(-1), "replica id -1 is out of range"),
        (lambda: any_.ReplicaCore(1, recovering=1), "recovering 1 is no Setting"),
        (lambda: any_.compatible(5), "settings 5 is no list"),
        (lambda: any_.Steps([], [1], []).of(1), "index 1 is out of range: it must be from 0 to 0"),
    ],
)
def test_a_part_that_is_malformed_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        make()


# --- replicas ---------------------------------------------------------------------------------------------


def test_a_replica_takes_what_is_newer_and_acknowledges_what_is_older() -> None:
    core = up()
    told = ((1, 1),)
    assert core.step(write(5)) == (Send(None, Acknowledgement(1, 5, told)),)
    assert core.step(write(3, b"old")) == (Send(None, Acknowledgement(1, 3, told)),)
    assert core.step(Deliver(Query(2, 0, ROW))) == (Send(None, Answer(2, Held(5, b"x"), told)),)
    assert core.step(Deliver(Query(2, 0, 8))) == (Send(None, Answer(2, NOTHING, told)),)
    assert len(core) == 1


def test_a_replica_begins_where_its_disk_was_left() -> None:
    core = up()
    core.step(write(5, epoch=3))
    core.step(Crash())
    restored = ReplicaCore(
        1,
        incarnations=core.incarnations,
        epoch=core.epoch,
        rows=((ROW, core.held(ROW)),),
        recovering=core.recovering,
    )
    assert restored.state() == core.state()
    assert not restored.up
    restored.step(Start())
    core.step(Start())
    assert restored.state() == core.state()
    for old in (Query(2, 2, ROW), Write(2, 2, ROW, B)):
        assert restored.step(Deliver(old)) == (Send(None, OldEpoch(2, 3)),)


def test_a_lost_disk_has_no_vote_before_enough_others_were_heard() -> None:
    core = up()
    core.step(write(5))
    core.step(Crash())
    told = ((1, 2), (2, 1), (3, 1))
    asked = core.step(StartEmpty(LINEARIZABLE, told, epoch=4))
    assert asked == tuple(Send(other, Exchange(4, told)) for other in (2, 3))
    assert core.epoch == 4
    rows = ((ROW, Held(4, b"z")),)
    for answer in (Exchanged(4, 1, rows, ()), Exchanged(4, 2, rows, ((9, 9),))):
        assert core.step(Deliver(answer, 2)) == ()
        assert core.step(Deliver(answer, 1)) == core.step(Deliver(answer, 4)) == ()
        assert core.step(Deliver(Query(2, 4, ROW))) == ()
    assert core.state()["heard"] == [2]
    assert core.step(Ask()) == tuple(Send(other, Exchange(4, (*told, (9, 9)))) for other in (2, 3))
    core.step(Deliver(Exchanged(4, 2, (), ()), 3))
    assert core.recovering is None
    answered = core.step(Deliver(Query(2, 4, ROW)))
    assert answered == (Send(None, Answer(2, Held(4, b"z"), (*told, (9, 9)))),)
    assert core.step(Deliver(Exchange(4, ((3, 5),)), 3)) == (
        Send(3, Exchanged(4, 5, rows, ((1, 2), (2, 1), (3, 5), (9, 9)))),
    )


@pytest.mark.parametrize(
    ("sender", "life"), [(1, 2), (9, 2), (2, 1)], ids=["itself", "a stranger", "to an earlier life"]
)
def test_an_exchange_that_does_not_count_tells_of_its_epoch_all_the_same(sender: int, life: int) -> None:
    core = up(incarnations=((1, 2),), recovering=LINEARIZABLE)
    assert core.step(Deliver(Exchanged(7, life, ((ROW, A),), ((3, 9),)), sender)) == ()
    assert (core.epoch, len(core), core.incarnations, core.state()["heard"]) == (7, 0, ((1, 2),), [])


def test_a_replica_that_recovers_remembers_who_began_anew() -> None:
    core = up(incarnations=((1, 2),), recovering=LINEARIZABLE)
    assert core.step(Deliver(Exchange(7, ((2, 3),)), 2)) == ()
    assert (core.epoch, core.incarnations) == (7, ((1, 2), (2, 3)))


def test_a_replica_shows_its_state_in_the_form_of_traces() -> None:
    core = ReplicaCore(1, rows=((17, Held(255, b"\x01")), (3, Held(1))), recovering=LINEARIZABLE, epoch=2)
    setting = {
        "replicas": [1, 2, 3],
        "write_quorum": 2,
        "read_quorum": 2,
        "mode": "linearizable",
        "epoch": 0,
    }
    assert core.state() == {
        "up": False,
        "replica": 1,
        "incarnations": [[1, 1]],
        "epoch": 2,
        "rows": [["3", {"version": "1", "value": None}], ["11", {"version": "ff", "value": "01"}]],
        "recovering": setting,
    }


# --- coordinators -----------------------------------------------------------------------------------------


def test_a_linearizable_write_asks_stamps_sends_and_waits_for_its_quorum_and_its_intent() -> None:
    run = Run()
    assert run(PutValue(1, ROW, b"v")) == tuple(Send(replica, Query(1, 0, ROW)) for replica in (1, 2, 3))
    assert run(answer(1, A)) == run(answer(1, A)) == ()
    assert run(answer(3, B)) == (Stamp(1, 8),)
    assert run(answer(2, B)) == ()
    assert run(Stamped(1, 9)) == (StoreIntent(1, INTENT), *writes(C, 1, 2, 3))
    assert run(STORED) == run(acknowledged(1)) == run(acknowledged(1)) == ()
    assert run.core.stored_intents() == [Intent(ROW, C, (2, 3))]
    assert run(acknowledged(3, 8)) == ()  # Of another version.
    assert run(acknowledged(3)) == (Reply(1, Outcome.COMMITTED, C),)
    assert run(acknowledged(2)) == run(Deadline(1)) == ()
    assert (run.core.stored_intents(), run.core.open_operations) == ([], 0)


def test_a_write_is_not_acknowledged_before_its_intent_is_durable() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9))
    assert run(acknowledged(1)) == run(acknowledged(2)) == run(acknowledged(3)) == ()
    assert run(STORED) == (Reply(1, Outcome.COMMITTED, C),)
    assert run.core.stored_intents() == []


def test_an_eventual_write_is_above_the_token_and_an_eventual_read_repairs_afterwards() -> None:
    run = Run(EVENTUAL)
    assert run(PutValue(1, ROW, b"v", token=8)) == (Stamp(1, 8),)
    with pytest.raises(CallerError, match="version 8 is not above 8: merge that into the clock first"):
        run(Stamped(1, 8))
    run(Deadline(1), Read(1, ROW, token=9), answer(3, A))
    assert run(answer(2, B)) == ()  # Neither is as new as the token.
    assert run(answer(1, C)) == (Reply(1, Outcome.VALUE, C), *writes(C, 3, 2))


@pytest.mark.parametrize(
    ("looked_up", "outcome"), [(9, Outcome.COMMITTED), (8, Outcome.SUPERSEDED), (10, Outcome.NOT_AT_A_QUORUM)]
)
def test_a_look_up_says_what_can_be_known(looked_up: int, outcome: Outcome) -> None:
    run = Run()
    run(LookUp(1, ROW, looked_up), answer(1, C))
    assert run(answer(2, C)) == (Reply(1, outcome, C),)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        (Deadline(1), "0 answers and 1 acknowledgements in time"),
        (Deliver(OldEpoch(1, 3), 2), "epoch 3 is in force, this operation began in 0"),
    ],
)
def test_what_did_not_reach_its_quorum_says_what_is_known(ending: CoordinatorEvent, reason: str) -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), acknowledged(1))
    assert run(ending) == (Reply(1, Outcome.INDETERMINATE, C, reason),)
    assert run(ending) == ()


def test_a_holder_that_answered_counts_with_those_that_acknowledged() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v"), answer(1, A), answer(3, B), answer(2, Held(30)), Stamped(1, 9), STORED)
    assert run(acknowledged(1)) == (Reply(1, Outcome.COMMITTED, C),)


def test_a_read_repairs_the_stale_before_it_asks_the_silent() -> None:
    run = Run(Setting((4, 2, 9, 3, 1), 4, 3))
    run(Read(1, ROW), answer(9, A), answer(4, B))
    assert run(answer(2, A)) == writes(B, 9, 2, 3, 1)
    assert run(acknowledged(3, 8), acknowledged(1, 8)) == ()
    assert run(acknowledged(9, 8)) == (Reply(1, Outcome.VALUE, B),)


def test_a_read_writes_back_to_who_lost_its_disk_since_it_answered() -> None:
    run = Run(Setting((1, 2), 2, 2))
    run(Read(1, ROW), answer(1, A, ((1, 1),)))
    assert run(answer(2, A, ((1, 2), (2, 1)))) == writes(A, 1)
    assert run(acknowledged(1, 5, ((1, 2),))) == (Reply(1, Outcome.VALUE, A),)


def test_what_was_said_before_a_disk_was_lost_is_not_counted() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), STORED, acknowledged(1, told=((1, 1),)))
    assert run(acknowledged(2, told=((1, 2), (2, 1)))) == run(acknowledged(1, told=((1, 1),))) == ()
    assert run(acknowledged(1, told=((1, 2),))) == (Reply(1, Outcome.COMMITTED, C),)
    assert run.core.incarnations == ((1, 2), (2, 1))


def test_an_acknowledgement_that_was_overtaken_does_not_take_the_place_of_the_later_one() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), STORED)
    run(acknowledged(1, told=((1, 2),)), acknowledged(1, told=((1, 1),)))
    assert run(acknowledged(2)) == (Reply(1, Outcome.COMMITTED, C),)


def test_an_intent_of_a_closed_operation_is_kept_and_merged() -> None:
    run = Run()
    run(PutValue(1, ROW, b"v", reserved=9), acknowledged(1), Deadline(1))
    assert run(STORED) == ()
    assert run.core.stored_intents() == [INTENT]
    run(acknowledged(2), IntentStored(5, Intent(ROW, Held(9, None), (2, 4, 300))))
    assert run.core.stored_intents() == [Intent(ROW, Held(9, None), (1, 2, 3, 4, 300))]
    run(IntentStored(5, Intent(ROW, C, ())))
    assert run.core.stored_intents() == [Intent(ROW, Held(9, None), (1, 2, 3, 4, 300))]
    run(*(acknowledged(replica) for replica in (1, 2, 3, 4)), acknowledged(300, told=()))
    assert run.core.stored_intents() == []
    run(IntentStored(5, Intent(ROW, C, ())))
    assert run.core.stored_intents() == []


def test_intents_survive_a_crash_and_are_shown_by_version() -> None:
    run = Run()
    for number, version in enumerate((1 << 64, 3, (1 << 64) - 1)):
        run(IntentStored(number, Intent(ROW, Held(version), (1,))))
    run(Read(1, ROW), Crash())
    assert run.core.votes(1) is None
    assert (run.core.up, run.core.open_operations, run.core.incarnations) == (False, 0, ())
    assert [one.held.version for one in run.core.stored_intents()] == [3, (1 << 64) - 1, 1 << 64]
    assert run.core.state()["intents"][0] == {
        "row": "7",
        "held": {"version": "3", "value": None},
        "targets": [1],
    }


def test_a_coordinator_shows_its_operations_in_the_form_of_traces() -> None:
    run = Run()
    run(Read(26, ROW), Adopt(Setting((1, 2, 3), 3, 1, epoch=2)), PutValue(3, 17, b"v", reserved=9))
    run(answer(2, A, operation=26))
    state = run.core.state()
    assert (state["up"], state["setting"]["epoch"], state["intents"]) == (True, 2, [])
    assert state["incarnations"] == [[1, 1], [2, 1], [3, 1]]
    assert state["operations"] == [
        {"operation": "3", "kind": "write", "phase": "writing"},
        {"operation": "1a", "kind": "read", "phase": "asking"},
    ]
    votes = run.core.votes(26)
    assert votes is not None
    assert (votes["row"], votes["setting"].epoch) == (ROW, 0)
    assert (votes["answers"], votes["acknowledged"], votes["written"]) == ([(2, A, 1)], [], None)


def test_255_replicas_vote() -> None:
    everybody = tuple(range(1000, 1000 + MAX_REPLICAS))
    told = Incarnations((replica, 1) for replica in everybody)
    run = Run(Setting(everybody, 128, 128))
    assert len(run(PutValue(1, ROW, b"v"))) == MAX_REPLICAS
    for replica in reversed(everybody[128:]):
        assert run(answer(replica, A, told)) == ()
    assert run(answer(everybody[0], B, told)) == (Stamp(1, 8),)
    assert len(run(Stamped(1, 9))) == 1 + MAX_REPLICAS
    run(STORED)
    for replica in everybody[:127]:
        assert run(acknowledged(replica, told=told)) == ()
    for replica in everybody[127:]:
        assert run(acknowledged(replica, told=told)) == (
            (Reply(1, Outcome.COMMITTED, C),) if replica == everybody[127] else ()
        )


def test_a_wrong_event_is_named() -> None:
    run, core = Run(), up()
    wrong: list[tuple[Any, str]] = [
        (5, "5 is no event of a coordinator"),
        (Ask(), r"Ask\(\) is no event of a coordinator"),
        (Deliver(Query(1, 0, ROW), 1), "Query is a message to a replica, not to a coordinator"),
        (Deliver(Answer(1, A, ())), "Answer to a coordinator comes from a replica: say from which"),
        (Start(), "Start at a coordinator that is up: deliver Crash first"),
    ]
    for event, message in wrong:
        before = run.core.state()
        with pytest.raises(CallerError, match=message):
            run(event)
        assert run.core.state() == before
    wrong = [
        (Read(1, 1), r"Read\(.*\) is no event of a replica"),
        (None, "None is no event of a replica"),
        (Deliver(Stamp(1, 2)), "Stamp is a message to a coordinator"),  # type: ignore[arg-type]
    ]
    for event, message in wrong:
        with pytest.raises(CallerError, match=message):
            core.step(event)
    with pytest.raises(CallerError, match="events 5 is no list: pass the events of this batch"):
        core.step_many(5)  # type: ignore[arg-type]


# --- bounds -----------------------------------------------------------------------------------------------


def test_a_coordinator_has_so_many_operations_open_and_no_more() -> None:
    run = Run(max_operations=2)
    run(Read(1, ROW), PutValue(2, ROW, b"v", reserved=9))
    before = run.core.state()
    requests: list[CoordinatorEvent] = [
        Read(3, ROW),
        PutValue(3, ROW, b"v"),
        Reserve(3, ROW),
        LookUp(3, ROW, 1),
    ]
    for request in requests:
        with pytest.raises(
            TooManyOperationsError, match=r"2 operations are open.* raise max_operations"
        ) as full:
            run(request)
        assert isinstance(full.value, OverloadError)
        assert full.value.limit == run.core.max_operations == 2
        assert run.core.state() == before
    with pytest.raises(CallerError, match="operation 1 is open already"):
        run(Read(1, ROW))
    run(answer(1, A), answer(2, A))
    with pytest.raises(TooManyOperationsError):
        run(Read(3, ROW))  # A reply does not end it: late answers are repaired until its deadline.
    run(Deadline(1))
    assert len(run(Read(3, ROW))) == 3


def test_a_coordinator_begins_no_write_while_too_many_intents_wait() -> None:
    run = Run(max_intents=1)
    run(PutValue(1, ROW, b"v", reserved=9), PutValue(2, ROW, b"w", reserved=8), STORED)
    with pytest.raises(TooManyIntentsError, match=r"1 writes wait for replicas.* raise max_intents"):
        run(PutValue(3, ROW, b"v"))
    assert run.core.open_operations == 2
    assert len(run(Read(4, ROW))) == len(run(Reserve(5, ROW))) == 3
    run(IntentStored(2, Intent(ROW, Held(8, b"w"), (1, 2, 3))))  # What is durable is kept all the same.
    assert len(run.core.stored_intents()) == 2
    for version in (8, 9):
        run(*(acknowledged(replica, version, operation=9) for replica in (1, 2, 3)))
    assert len(run(PutValue(3, ROW, b"v"))) == 3


def test_a_replica_holds_so_many_rows_and_no_more() -> None:
    core = up(max_rows=2)
    core.step(write(5, row=1))
    core.step(write(5, row=2))
    before = core.state()
    with pytest.raises(TooManyRowsError, match="2 rows are held and row 3 is new: raise max_rows") as full:
        core.step(write(5, row=3, epoch=9))
    assert (full.value.limit, full.value.row) == (2, 3)
    assert core.state() == before  # The epoch as well.
    core.step(write(6, row=2))
    assert core.held(2).version == 6
    with pytest.raises(TooManyRowsError):
        up(max_rows=1, rows=((1, A), (2, A)))


def test_a_replica_takes_all_rows_of_an_exchange_or_none() -> None:
    core = ReplicaCore(1, incarnations=((1, 2),), recovering=LINEARIZABLE, max_rows=2)
    core.step(Start())
    core.step(write(5, row=1))
    before = core.state()
    rows = tuple((row, Held(6, b"y")) for row in (1, 2, 3))
    with pytest.raises(TooManyRowsError):
        core.step(Deliver(Exchanged(7, 2, rows, ((9, 9),)), 2))
    assert core.state() == before
    core.step(Deliver(Exchanged(7, 2, rows[:2], ()), 2))
    assert core.state()["heard"] == [2]


@pytest.mark.parametrize("error", [TooManyOperationsError(2), TooManyIntentsError(2), TooManyRowsError(2, 3)])
def test_an_overload_survives_pickling(error: OverloadError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


# --- batches ----------------------------------------------------------------------------------------------


def coordinator_batch() -> list[CoordinatorEvent]:
    return [
        Read(1, ROW),
        Read(1, ROW),
        PutValue(2, ROW, b"v", reserved=9),
        answer(1, A),
        answer(2, A),
        Stamped(2, 5),
        IntentStored(1, INTENT),
        IntentStored(2, INTENT),
        acknowledged(1, operation=2),
        acknowledged(3, operation=2),
        Adopt(Setting((1, 2, 3), 3, 1)),
        Deadline(2),
        Crash(),
        Read(3, ROW),
        Start(),
        Read(4, ROW),
    ]


def test_a_batch_is_the_same_as_its_events_one_by_one() -> None:
    one, many = Run(max_operations=9).core, Run(max_operations=9).core
    expected: list[tuple[Effect, ...]] = []
    refused = []
    for index, event in enumerate(coordinator_batch()):
        try:
            expected.append(one.step(event))
        except CallerError as error:
            refused.append((index, str(error)))
            expected.append(())
    result = many.step_many(coordinator_batch())
    assert [tuple(result.of(index)) for index in range(len(expected))] == expected
    assert result.effects == [effect for effects in expected for effect in effects]
    assert [(index, str(error)) for index, error in result.refused] == refused
    assert [index for index, _ in refused] == [1, 6, 10, 13]
    assert many.state() == one.state()


def test_an_event_that_is_refused_does_not_stop_the_batch() -> None:
    core = up(max_rows=1)
    events: list[ReplicaEvent] = [
        write(5),
        write(6, row=8),
        Deliver(Exchange(0, ())),
        write(7),
        Crash(),
        Ask(),
    ]
    result = core.step_many(iter(events))
    assert result.effects == [Send(None, Acknowledgement(1, version, ((1, 1),))) for version in (5, 7)]
    assert result.ends == [1, 1, 1, 2, 2, 2]
    assert [(index, type(error)) for index, error in result.refused] == [
        (1, TooManyRowsError),
        (2, CallerError),
        (5, CallerError),
    ]
    assert not core.up
    assert core.step_many([]) == Steps([], [], [])


def test_what_is_no_event_is_refused_within_a_batch_too() -> None:
    result = up().step_many([write(5), "text", write(6)])  # type: ignore[list-item]
    assert [(index, str(error)) for index, error in result.refused] == [
        (1, "'text' is no event of a replica: pass one of this module's")
    ]
    assert len(result.effects) == 2


# --- memory and threads -----------------------------------------------------------------------------------


def test_values_are_unknown_to_the_garbage_collector() -> None:
    for value in VALUES:
        if not isinstance(value, Steps):
            assert not gc.is_tracked(value), value


def test_a_core_is_stepped_from_many_threads_at_once() -> None:
    core = up(max_rows=10_000)
    run = Run(EVENTUAL, max_operations=10_000)

    def work(first: int) -> None:
        for number in range(first, first + 500):
            core.step(write(number + 1, row=number))
            run.core.step_many([Read(number, ROW), Deadline(number), Reserve(number, ROW)])

    threads = [threading.Thread(target=work, args=(1000 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(core) == run.core.open_operations == 2000
