"""The production's handoff: the account, floors and the catalog by hand, the bounds, batches and errors."""

from __future__ import annotations

import copy
import gc
import pickle
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest

from scratchbird import UuidV8, handoff, quorum
from scratchbird.errors import (
    CallerError,
    ConfigurationError,
    OverloadError,
    TooManyHintsError,
    TooManyOperationsError,
    TooManyRowsError,
)
from scratchbird.handoff import (
    CATCH_UP_NS,
    SECOND_NS,
    Acknowledged,
    AllClosed,
    AllConverged,
    AskFloor,
    AskFor,
    AskPast,
    BelowFloor,
    Closed,
    Converged,
    CopyHint,
    Drop,
    Ended,
    Erased,
    ExchangeBegun,
    Exchanged,
    FloorCatalog,
    FloorCore,
    FlooredReplicaCore,
    FloorLost,
    GiveUp,
    Hint,
    HintCore,
    HintEvent,
    KeepAgain,
    Kept,
    Limits,
    LostDisk,
    Mark,
    MayDrop,
    Merge,
    Merged,
    MoveBegun,
    MoveDone,
    Owe,
    Past,
    Pay,
    Propose,
    ProposeFloor,
    Purge,
    PurgeBelow,
    Recovered,
    RecoveredPast,
    Refused,
    Repair,
    ReplicaLostDisk,
    SayClosed,
    SayConverged,
    SendHint,
    StoreHints,
    StoreLeast,
    StoreMark,
    StoreMove,
    TargetLostDisk,
    Tell,
    Tick,
    Unreadable,
)
from scratchbird.quorum import (
    MAX_VERSION,
    Adopt,
    Ask,
    Crash,
    Deliver,
    Held,
    Intent,
    Mode,
    Send,
    Setting,
    Start,
    StartEmpty,
    Value,
)
from scratchbird_reference import handoff as reference

any_: Any = handoff
"""The module, for what types forbid."""
SETTING = Setting((1, 2, 3), 2, 2)
SHARD, ROW, NOW = 5, 7, 10**18
F = 10
VALUE, TOMB, NEW = Held(4, b"v"), Held(6, None), Held(12, b"n")


def owe(operation: int, version: int = 0, row: int = ROW, now: int = NOW, value: bytes | None = b"v") -> Owe:
    held = Held(version or operation, value)
    return Owe(operation, SHARD, Intent(row, held, (1, 2, 3)), now)


def run(core: Any, *events: Any) -> tuple[Any, ...]:
    """Take these steps; the effects are those of the last one."""
    effects: tuple[Any, ...] = ()
    for event in events:
        effects = core.step(event)
    return effects


def versions(effects: tuple[Any, ...], target: int = 3) -> list[int]:
    """The hints that are sent to a target."""
    sent = [effect.hint for effect in effects if isinstance(effect, SendHint)]
    return [hint.version for hint in sent if hint.target == target]


# --- limits and values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", Limits.__match_args__)
@pytest.mark.parametrize("value", [0, -1, True, 1.5, "1"])
def test_a_limit_is_refused_in_the_words_of_the_reference(name: str, value: Any) -> None:
    with pytest.raises(Exception, match=name) as theirs:
        reference.Limits(**{name: value})
    with pytest.raises(ConfigurationError) as ours:
        Limits(**{name: value})
    assert (type(ours.value).__name__, str(ours.value)) == (type(theirs.value).__name__, str(theirs.value))


def test_limits_have_the_reference_s_defaults_and_bounds() -> None:
    defaults = reference.Limits()
    assert {name: getattr(Limits(), name) for name in Limits.__match_args__} == {
        name: getattr(defaults, name) for name in Limits.__match_args__
    }
    with pytest.raises(ConfigurationError, match="per_second 1000000001: at most one hint in a nanosecond"):
        Limits(per_second=SECOND_NS + 1)
    with pytest.raises(ConfigurationError, match="most_bytes 9223372036854775808: it must be at most"):
        Limits(most_bytes=1 << 63)
    assert Limits(per_second=SECOND_NS).per_second == SECOND_NS
    assert (SECOND_NS, CATCH_UP_NS) == (reference.SECOND_NS, reference.CATCH_UP_NS)


EXCHANGED = quorum.Exchanged(0, 1, ((7, VALUE),), ((1, 1),))
HINT = Hint(1, SHARD, ROW, 9, 3, NOW, 4)
VALUES: tuple[Value, ...] = (
    Limits(),
    HINT,
    Hint(1, SHARD, ROW, 9, 3, NOW),
    Mark(),
    Mark(False, (2, 3)),
    owe(1),
    Ended(1),
    Acknowledged(1, ROW, 0),
    Refused((1, SHARD), F),
    Tick(NOW),
    GiveUp(1),
    Drop((1, SHARD)),
    KeepAgain((1, SHARD)),
    ExchangeBegun((1, SHARD), 2),
    Exchanged((1, SHARD), 2),
    TargetLostDisk(1),
    MoveBegun((1, SHARD), 2),
    MoveDone((1, SHARD)),
    Erased(SHARD, 9),
    Unreadable((1, SHARD)),
    StoreHints(1, (1, 2)),
    CopyHint(HINT, 2),
    Pay(1, (4, 5)),
    StoreMark((1, SHARD), Mark()),
    StoreMark((1, SHARD), None),
    StoreMove((1, SHARD), 2),
    StoreMove((1, SHARD), None),
    StoreLeast(2),
    Kept(1),
    SendHint(HINT),
    MayDrop((1, SHARD)),
    Repair((1, SHARD)),
    Propose(F),
    AllClosed(F),
    AllConverged(F),
    Merged(2),
    FloorLost(0),
    Recovered(0),
    SayClosed(F),
    AskFor(2, F),
    SayConverged(F),
    PurgeBelow(F),
    BelowFloor(1, F),
    AskPast(F, 1),
    Past(F, 1, ((7, VALUE),)),
    RecoveredPast(EXCHANGED, F),
    LostDisk(StartEmpty(SETTING, ((1, 2),)), F),
    Purge(),
    Merge(((7, VALUE),)),
    ProposeFloor(F),
    Closed(1, F),
    Converged(1, F, 1),
    ReplicaLostDisk(1, 2),
    AskFloor(1),
    Tell(1, Propose(F)),
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_its_parts(value: Value) -> None:
    parts = [getattr(value, name) for name in value.__match_args__]
    same = type(value)(*parts)
    assert same == value
    assert hash(same) == hash(value)
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert repr(value).startswith(f"{type(value).__name__}(")
    assert all(f"{name}=" in repr(value) for name in value.__match_args__)
    assert [other for other in VALUES if other == value] == [value]
    assert not gc.is_tracked(value) or not value.__match_args__
    for name in value.__match_args__:
        with pytest.raises(AttributeError):
            setattr(value, name, 1)


def test_what_a_value_is_shown_as_besides_its_parts() -> None:
    assert HINT.place == (1, SHARD)
    assert Hint(1, SHARD, ROW, UuidV8.from_int(0x0190_0000_0000_8000_8000_4000_0000_0001), 0, 0).version >> 64
    with pytest.raises(TypeError):
        Tell(1, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Hint(65536, 0, 0, 1, 0, 0), "target 65536 is out of range: it must be from 0 to 65535"),
        (lambda: Hint(1, -1, 0, 1, 0, 0), "shard -1 is out of range"),
        (lambda: Hint(1, 0, 1 << 63, 1, 0, 0), "row 9223372036854775808 is out of range"),
        (lambda: Hint(1, 0, 0, 0, 0, 0), "version 0 is out of range: it must be from 1"),
        (lambda: Hint(1, 0, 0, 1, -1, 0), "size -1 is out of range"),
        (lambda: Hint(1, 0, 0, 1, 0, (1 << 62) + 1), "since_ns 4611686018427387905 is out of range"),
        (lambda: Hint(1, 0, 0, 1, 0, 0, -1), "sequence -1 is out of range"),
        (lambda: Mark(1), "is_open 1 is no bool"),  # type: ignore[arg-type]
        (lambda: Mark(True, 3), "heard 3 is no list: pass replica ids"),  # type: ignore[arg-type]
        (lambda: Mark(True, (-1,)), "replica id -1 is out of range"),
        (lambda: Owe(1, 0, None, 0), "intent None is no Intent"),  # type: ignore[arg-type]
        (lambda: Owe(1, 0, Intent(7, Held(), ()), 0), "version 0 is out of range"),
        (lambda: Owe(1, 0, Intent(7, VALUE, ()), -1), "now_ns -1 is out of range"),
        (lambda: Tick(0.5), "now_ns 0.5 is no whole number"),  # type: ignore[arg-type]
        (lambda: Tick((1 << 62) + 1), "now_ns 4611686018427387905 is out of range"),
        (lambda: GiveUp(-1), "target -1 is out of range"),
        (lambda: Refused((1, 2), 0), "version 0 is out of range: it must be from 1"),
        (lambda: Drop(3), "place: 3 is no pair: pass .target, shard."),  # type: ignore[arg-type]
        (lambda: Drop((1, 2, 3)), "is no pair"),  # type: ignore[arg-type]
        (lambda: Drop((-1, 2)), "target -1 is out of range"),
        (lambda: KeepAgain((1, 1 << 63)), "shard 9223372036854775808 is out of range"),
        (lambda: Exchanged((1, 2), -1), "replica id -1 is out of range"),
        (lambda: MoveBegun((1, 2), 65536), "newcomer 65536 is out of range"),
        (lambda: MoveDone((1, -1)), "shard -1 is out of range"),
        (lambda: StoreMove((1, 2), -1), "newcomer -1 is out of range"),
        (lambda: HintCore(SETTING, moves=(((1, 2), -1),)), "newcomer -1 is out of range"),
        (lambda: Erased(0, 0), "version 0 is out of range: it must be from 1"),
        (lambda: Ended("x"), "operation 'x' is no whole number"),  # type: ignore[arg-type]
        (lambda: SendHint(None), "hint None is no Hint"),  # type: ignore[arg-type]
        (lambda: CopyHint(None, 1), "hint None is no Hint"),  # type: ignore[arg-type]
        (lambda: StoreMark((1, 2), 3), "mark 3 is no Mark"),  # type: ignore[arg-type]
        (lambda: StoreLeast(256), "write_quorum 256 is out of range"),
        (lambda: Propose(0), "version 0 is out of range: it must be from 1"),
        (lambda: AllClosed(MAX_VERSION + 1), "is out of range"),
        (lambda: Recovered(-1), "version -1 is out of range: it must be from 1"),
        (lambda: FloorLost(-1), "version -1 is out of range: it must be from 0"),
        (lambda: Merged(1 << 16), "replica id 65536 is out of range"),
        (lambda: AskPast(F, -1), "incarnation -1 is out of range"),
        (lambda: Past(F, 0, ((7, None),)), "held None is no Held"),  # type: ignore[arg-type]
        (lambda: RecoveredPast(None, 0), "rows None is no Exchanged"),  # type: ignore[arg-type]
        (lambda: RecoveredPast(EXCHANGED, -1), "version -1 is out of range"),
        (lambda: LostDisk(None, 0), "rows None is no StartEmpty"),  # type: ignore[arg-type]
        (lambda: Merge(((-1, VALUE),)), "row -1 is out of range"),
        (lambda: Closed(1, -1), "version -1 is out of range"),
        (lambda: Converged(1, F, -1), "incarnation -1 is out of range"),
        (lambda: HintCore(None), "setting None is no Setting"),  # type: ignore[arg-type]
        (lambda: HintCore(SETTING, 3), "limits 3 is no Limits"),  # type: ignore[arg-type]
        (lambda: HintCore(SETTING, marks=(((1, 2), 3),)), "mark 3 is no Mark"),  # type: ignore[arg-type]
        (lambda: HintCore(SETTING, marks=(((1, 2), Mark()),)), "marks without a least write quorum"),
        (lambda: HintCore(SETTING, least_write_quorum=256), "least_write_quorum 256 is out of range"),
        (lambda: FloorCore(None, 1), "setting None is no Setting"),  # type: ignore[arg-type]
        (lambda: FloorCore(SETTING, -1), "replica id -1 is out of range"),
        (lambda: FloorCore(SETTING, 1, closed=1, converged=2), "closed 1, converged 2, floor 0: a replica"),
        (lambda: FloorCore(SETTING, 1, closed=2, converged=1, floor=2), "settles where it has converged"),
        (lambda: FloorCatalog(None, ()), "setting None is no Setting"),  # type: ignore[arg-type]
        (lambda: FloorCatalog(SETTING, ((1, 1), (1, 2))), "incarnations name replica 1 twice"),
        (lambda: FlooredReplicaCore(SETTING, 1, floor=1), "closed 0, converged 0, floor 1"),
    ],
)
def test_a_part_that_is_malformed_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(CallerError, match=message):
        make()


@pytest.mark.parametrize("name", ["max_hints", "max_operations"])
def test_a_bound_that_is_none_is_a_matter_of_configuration(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} 0: it must be a whole number, at least 1"):
        HintCore(SETTING, **{name: 0})  # type: ignore[arg-type]


# --- what is owed -----------------------------------------------------------------------------------------


def test_a_write_is_owed_to_each_target_until_it_says_that_it_holds_it() -> None:
    core = HintCore(SETTING)
    assert core.step(owe(9)) == (StoreHints(9, (1, 2, 3)), StoreLeast(2), Kept(9))
    assert core.located(1, SHARD, ROW, 9, 100)
    assert core.step(Acknowledged(1, ROW, 8)) == ()
    assert core.step(Acknowledged(1, ROW + 1, 9)) == ()
    assert core.step(Acknowledged(1, ROW, 9)) == (Pay(1, (100,)),)
    assert core.step(Acknowledged(2, ROW, MAX_VERSION)) == ()  # Where it is kept the node has not said.
    assert not core.located(2, SHARD, ROW, 9, 100)
    assert core.hints(3, SHARD) == [Hint(3, SHARD, ROW, 9, 1, NOW)]
    assert core.places() == [(3, SHARD)]
    assert len(core) == 1
    assert core.step(Ended(9)) == core.step(Ended(9)) == ()
    assert core.step(Acknowledged(3, ROW, 9)) == (StoreLeast(0),)
    assert len(core) == core.open_operations == core.least_write_quorum == 0


def test_a_hint_is_located_once_and_in_its_shard() -> None:
    core = HintCore(SETTING)
    core.step(owe(9))
    assert not core.located(1, SHARD + 1, ROW, 9, 1)
    assert not core.located(4, SHARD, ROW, 9, 1)
    assert core.located(1, SHARD, ROW, 9, 0)
    assert not core.located(1, SHARD, ROW, 9, 2)
    assert [hint.sequence for hint in core.hints(1, SHARD)] == [0]
    for wrong in ((-1, SHARD, ROW, 9, 1), (1, -1, ROW, 9, 1), (1, SHARD, -1, 9, 1), (1, SHARD, ROW, 0, 1)):
        with pytest.raises(CallerError, match="out of range"):
            core.located(*wrong)
    with pytest.raises(CallerError, match="sequence -1"):
        core.located(1, SHARD, ROW, 9, -1)


def test_an_acknowledgement_pays_all_that_is_older_of_its_row_and_nothing_else() -> None:
    core = HintCore(SETTING)
    order = [3, 1 << 100, 1, 5, 1 << 64, 2, (1 << 64) - 1]
    for number, version in enumerate(order):
        run(core, owe(number, version), owe(number + 100, version, ROW + 1))
        for row in (ROW, ROW + 1):
            assert core.located(2, SHARD, row, version, number)
    paid = core.step(Acknowledged(2, ROW, 1 << 64))
    assert paid == (Pay(2, (2, 5, 0, 3, 6, 4)),)  # By ascending version.
    left = [(hint.row, hint.version) for hint in core.hints(2, SHARD)]
    assert left == [(row, at) for at in order for row in (ROW, ROW + 1) if row != ROW or at == 1 << 100]
    assert len(core.hints(1, SHARD)) == len(core.hints(3, SHARD)) == 14


def test_hints_are_sent_at_their_pace_the_oldest_first_and_shards_take_turns() -> None:
    core = HintCore(SETTING, Limits(per_second=1_000, most_under_way=5))
    for number in range(1, 9):
        intent = Intent(number, Held(number, None), (3,))
        run(core, Owe(number, number % 2, intent, NOW), Ended(number))
    assert versions(core.step(Tick(NOW))) == [2, 1, 4, 3, 6]  # The clock was never so early: it catches up.
    assert core.step(Tick(NOW + 10**6)) == ()  # As many are under way as may be.
    run(core, Acknowledged(3, 2, 2), Acknowledged(3, 1, 1))
    assert versions(core.step(Tick(NOW + 2 * 10**6))) == [5, 8]


def test_a_write_that_is_open_is_not_sent_a_second_time() -> None:
    core = HintCore(SETTING)
    run(core, owe(1), owe(2), owe(3, 2))
    assert core.step(Tick(NOW)) == ()
    run(core, Ended(1), Ended(2))
    assert versions(core.step(Tick(NOW))) == [1]
    run(core, Ended(3))
    assert versions(core.step(Tick(NOW + 10**6))) == [2]


def test_a_silent_target_is_sent_less_and_one_that_answers_more() -> None:
    core = HintCore(SETTING, Limits(answer_within_ns=10))
    for number in range(1, 30):
        run(core, Owe(number, SHARD, Intent(number, Held(number), (3,)), NOW), Ended(number))

    def interval() -> int:
        ((_, interval_ns, _, _),) = core.progress()["paces"]
        return int(interval_ns)

    now = NOW
    assert len(versions(core.step(Tick(now)))) == 11  # What is due since 10 ms, and now.
    for doubled in (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000):
        now += SECOND_NS
        core.step(Tick(now))
        assert interval() == doubled * 10**6
        now += SECOND_NS
        assert versions(core.step(Tick(now)))
    run(core, Acknowledged(3, 1, 0))
    assert interval() == 875 * 10**6
    run(core, Acknowledged(3, 29, 0))  # That one was not sent.
    assert interval() == 875 * 10**6


@pytest.mark.parametrize(
    "limits",
    [Limits(most_hints=2), Limits(most_bytes=8), Limits(most_age_ns=99)],
    ids=["hints", "bytes", "age"],
)
def test_a_target_is_given_up_when_a_limit_is_passed_and_not_before(limits: Limits) -> None:
    core = HintCore(SETTING, limits)
    for number in (1, 2):
        run(core, owe(number, now=NOW + number, value=b"four"), Ended(number))
    assert MayDrop((3, SHARD)) not in core.step(Tick(NOW + 100))
    for target in (1, 2):
        core.step(Acknowledged(target, ROW, 9))
    run(core, owe(3, now=NOW + 50, value=b"four"), Ended(3))
    assert core.step(Tick(NOW + 101))[:2] == (StoreMark((3, SHARD), Mark()), MayDrop((3, SHARD)))
    assert core.step(Tick(NOW + 101))[:1] == (MayDrop((3, SHARD)),)  # Until they are dropped.
    core.step(Acknowledged(3, ROW, 2))  # The oldest ones go: what is left is within all limits.
    assert MayDrop((3, SHARD)) not in core.step(Tick(NOW + 102))


def test_a_mark_waits_for_writes_that_lost_their_hint_or_had_none() -> None:
    core = HintCore(SETTING)
    core.step(owe(1))
    assert core.located(3, SHARD, ROW, 1, 50)
    assert core.step(GiveUp(3)) == (StoreMark((3, SHARD), Mark()), MayDrop((3, SHARD)))
    assert core.step(Drop((3, SHARD))) == (Pay(3, (50,)),)
    assert core.step(owe(2)) == (StoreHints(2, (1, 2)), Kept(2))
    assert core.step(KeepAgain((3, SHARD))) == ()
    assert core.step(owe(4)) == (StoreHints(4, (1, 2, 3)), Kept(4))
    assert run(core, Ended(4), Ended(1)) == ()
    assert core.step(Ended(2)) == (StoreMark((3, SHARD), Mark(False)), Repair((3, SHARD)))
    assert core.step(Drop((3, SHARD))) == core.step(KeepAgain((3, SHARD))) == ()
    assert [hint.version for hint in core.hints(3, SHARD)] == [4]


def test_a_target_that_is_given_up_again_is_not_coming_back() -> None:
    core = HintCore(SETTING)
    run(core, owe(1), GiveUp(3), Drop((3, SHARD)), owe(2), KeepAgain((3, SHARD)), owe(4))
    assert core.state()["coming_back"] == [[3, SHARD]]
    assert core.step(GiveUp(3)) == (MayDrop((3, SHARD)),)
    assert run(core, Ended(4), Ended(2), Ended(1)) == ()
    assert core.marks() == [((3, SHARD), Mark())]


def test_an_exchange_that_began_before_a_target_was_given_up_again_pays_nothing() -> None:
    core = closed_mark()
    run(core, ExchangeBegun((3, SHARD), 1), owe(2), Ended(2), GiveUp(3))
    assert run(core, KeepAgain((3, SHARD)))[-1] == Repair((3, SHARD))
    assert core.step(Exchanged((3, SHARD), 1)) == ()
    assert core.marks() == [((3, SHARD), Mark(False))]


def closed_mark(setting: Setting = SETTING) -> HintCore:
    core = HintCore(setting)
    run(core, owe(1), Ended(1), GiveUp(3), Drop((3, SHARD)), KeepAgain((3, SHARD)))
    return core


def test_a_mark_is_paid_by_exchanges_that_began_after_it_was_closed() -> None:
    core = HintCore(SETTING)
    run(core, owe(1), Ended(1), GiveUp(3), ExchangeBegun((3, SHARD), 1), KeepAgain((3, SHARD)))
    assert core.step(Exchanged((3, SHARD), 1)) == ()
    assert core.step(Exchanged((3, SHARD), 2)) == ()  # It never began.
    assert run(core, ExchangeBegun((3, SHARD), 2)) == ()
    assert core.step(Exchanged((3, SHARD), 2)) == (StoreMark((3, SHARD), None),)
    assert core.marks() == []
    for event in (ExchangeBegun((3, SHARD), 3), Exchanged((3, SHARD), 9)):
        with pytest.raises(CallerError, match=r"is none of the others: \[1, 2\]"):
            core.step(event)


def test_the_least_write_quorum_of_all_since_anything_was_owed_decides_who_pays() -> None:
    core = closed_mark()
    wide = Setting((1, 2, 3), 1, 3, epoch=1)
    assert core.step(Adopt(wide)) == (StoreLeast(1),)
    assert core.step(Adopt(Setting((1, 2, 3), 3, 1, epoch=2))) == ()
    run(core, ExchangeBegun((3, SHARD), 1))
    assert core.step(Exchanged((3, SHARD), 1)) == (StoreMark((3, SHARD), Mark(False, (1,))),)
    assert run(core, ExchangeBegun((3, SHARD), 1), Exchanged((3, SHARD), 1)) == ()
    run(core, ExchangeBegun((3, SHARD), 2))
    assert core.step(TargetLostDisk(3)) == (StoreMark((3, SHARD), Mark(False)),)
    assert core.step(Exchanged((3, SHARD), 2)) == ()  # What it merged was gone.
    for other in (1, 2):
        effects = run(core, ExchangeBegun((3, SHARD), other), Exchanged((3, SHARD), other))
    assert effects == (StoreMark((3, SHARD), None),)
    with pytest.raises(CallerError, match="epoch 2 is not above 2: a setting never comes back"):
        core.step(Adopt(Setting((1, 2, 3), 3, 1, epoch=2)))


def test_what_is_erased_is_paid_for_all_targets_of_the_shard() -> None:
    core = HintCore(SETTING)
    for number in (1, 2, 3):
        run(core, owe(number), Ended(number))
        core.step(Owe(number + 10, SHARD + 1, Intent(ROW + 1, Held(number), (1,)), NOW))
        for target in (1, 2, 3):
            core.located(target, SHARD, ROW, number, number)
    assert core.step(Erased(SHARD, 2)) == tuple(Pay(target, (1, 2)) for target in (1, 2, 3))
    assert [hint.version for hint in core.hints(2, SHARD)] == [3]
    assert len(core.hints(1, SHARD + 1)) == 3


def test_bytes_that_can_not_be_read_cost_a_repair_and_no_hint() -> None:
    core = HintCore(SETTING)
    core.step(owe(1))
    place = (3, SHARD)
    assert core.step(Unreadable(place)) == (
        StoreMark(place, Mark()),
        StoreMark(place, Mark(False)),
        Repair(place),
    )
    assert len(core.hints(*place)) == 1


def test_after_a_crash_what_was_marked_may_go_and_what_was_sent_is_sent_again() -> None:
    core = HintCore(SETTING)
    run(core, owe(1), Ended(1), owe(2, row=8))
    assert versions(core.step(Tick(NOW))) == [1]
    run(core, GiveUp(3))
    assert core.step(Crash()) == (MayDrop((3, SHARD)),)
    assert core.open_operations == 0
    assert versions(core.step(Tick(NOW))) == [1, 2]
    assert core.state()["under_way"][0] == {"target": 1, "row": "7", "version": "1"}


def test_a_start_finds_what_the_disk_holds() -> None:
    core = HintCore(SETTING, marks=[((3, SHARD), Mark())], least_write_quorum=1)
    for version in (5, 4):
        hint = Hint(3, SHARD, ROW, version, 1, NOW, version + 10)
        assert core.restore(hint)
        assert not core.restore(hint)
    assert core.step(Crash()) == (MayDrop((3, SHARD)),)
    assert core.step(KeepAgain((3, SHARD))) == (StoreMark((3, SHARD), Mark(False)), Repair((3, SHARD)))
    sent = core.step(Tick(NOW))
    assert [
        (effect.hint.version, effect.hint.sequence) for effect in sent if isinstance(effect, SendHint)
    ] == [
        (5, 15),
        (4, 14),
    ]
    assert core.least_write_quorum == 1
    with pytest.raises(TypeError):
        core.restore(None)  # type: ignore[arg-type]
    assert HintCore(SETTING).step(Crash()) == ()


def test_an_account_shows_its_state_in_the_form_of_traces() -> None:
    core = HintCore(SETTING)
    run(core, owe(10), owe(11, row=8), Ended(11), Tick(NOW), GiveUp(2), KeepAgain((2, SHARD)))
    run(core, Acknowledged(1, 8, 11), Acknowledged(2, 8, 11), Acknowledged(1, ROW, 10))
    state = core.state()
    assert state["hints"] == [
        {"target": 2, "shard": SHARD, "row": "7", "version": "a", "size": 1, "since_ns": f"{NOW:x}"},
        {"target": 3, "shard": SHARD, "row": "7", "version": "a", "size": 1, "since_ns": f"{NOW:x}"},
        {"target": 3, "shard": SHARD, "row": "8", "version": "b", "size": 1, "since_ns": f"{NOW:x}"},
    ]
    assert state["marks"] == [{"place": [2, SHARD], "open": False, "heard": []}]
    assert state["open"] == ["a"]
    assert state["least_write_quorum"] == 2
    assert state["coming_back"] == []
    assert state["under_way"] == [{"target": 3, "row": "8", "version": "b"}]
    assert state["setting"]["replicas"] == [1, 2, 3]
    assert core.progress()["writes"] == [(10, SHARD, ROW, 10, frozenset({1, 2, 3}), frozenset())]


# --- bounds -----------------------------------------------------------------------------------------------


def test_an_account_keeps_so_many_hints_and_no_more() -> None:
    core = HintCore(SETTING, max_hints=7)
    run(core, owe(1), owe(2))
    before = core.state(), core.progress()
    with pytest.raises(TooManyHintsError, match="7 hints wait for targets") as caught:
        core.step(owe(3))
    assert caught.value.limit == 7
    assert (core.state(), core.progress()) == before
    assert core.step(owe(3, 2)) == (Kept(3),)  # Under a version that has its hints already.
    with pytest.raises(TooManyHintsError):
        core.step(MoveBegun((3, SHARD), 4))
    assert core.moves() == []
    core.step(Acknowledged(3, ROW, 1))
    assert core.step(owe(4, 1)) == (StoreHints(4, (3,)), Kept(4))
    for version in range(10, 20):
        assert core.restore(Hint(1, SHARD, ROW, version, 0, NOW))  # What is durable is never dropped.
    assert len(core) == 16


def test_an_account_has_so_many_writes_open_and_no_more() -> None:
    core = HintCore(SETTING, max_operations=2)
    run(core, owe(1), owe(2))
    with pytest.raises(TooManyOperationsError):
        core.step(owe(3))
    with pytest.raises(CallerError, match="operation 1 is open already: number each of them anew"):
        core.step(owe(1))
    run(core, Ended(1), owe(3))


def test_an_overload_survives_pickling() -> None:
    error: OverloadError = pickle.loads(pickle.dumps(TooManyHintsError(9)))
    assert (error.limit, str(error)[:22]) == (9, "9 hints wait for targe")


@pytest.mark.parametrize("order", ["ascending", "descending", "mixed", "one row"])
def test_no_order_of_hints_makes_it_slow(order: str) -> None:
    """Steps that looked at all hints would take minutes here."""
    count = 30_000
    numbers = list(range(1, count + 1))
    if order == "descending":
        numbers.reverse()
    if order == "mixed":
        random.Random(1).shuffle(numbers)
    core = HintCore(SETTING)
    events: list[HintEvent] = []
    for number in numbers:
        row = ROW if order == "one row" else number
        events += [Owe(number, SHARD, Intent(row, Held(number), (3,)), NOW - number), Ended(number)]
    assert not core.step_many(events).refused
    assert len(core) == count
    assert core.hints(3, SHARD)[0].version == numbers[0]
    due = [Tick(NOW + number * 10**6) for number in range(2_000)]
    assert len(core.step_many(due).effects) == Limits().most_under_way
    paid = [Acknowledged(3, ROW if order == "one row" else number, number) for number in sorted(numbers)]
    assert not core.step_many(paid).refused
    assert len(core) == 0
    assert core.state()["under_way"] == []


def test_the_age_of_the_oldest_is_known_whichever_goes_first() -> None:
    core = HintCore(SETTING, Limits(most_age_ns=1_000))
    dice = random.Random(3)
    since = {}
    for number in range(1, 400):
        since[number] = NOW + dice.randrange(5_000)
        run(core, Owe(number, SHARD, Intent(number, Held(number), (3,)), since[number]), Ended(number))
    while since:
        oldest = min(since.values())
        for now, too_old in ((oldest + 1_000, False), (oldest + 1_001, True)):
            assert (MayDrop((3, SHARD)) in core.step(Tick(now))) is too_old
        gone = dice.choice(sorted(since))
        del since[gone]
        core.step(Acknowledged(3, gone, gone))


# --- batches and threads ----------------------------------------------------------------------------------


def test_a_batch_is_the_same_as_its_events_one_by_one() -> None:
    events: list[HintEvent] = [owe(1), owe(1), owe(2), Acknowledged(1, ROW, 1), Ended(1), Tick(NOW)]
    one, all_ = HintCore(SETTING), HintCore(SETTING)
    result = all_.step_many(events)
    assert [index for index, _ in result.refused] == [1]
    assert "operation 1 is open already" in str(result.refused[0][1])
    for index, event in enumerate(events):
        if index != 1:
            assert list(result.of(index)) == list(one.step(event))
    assert result.of(1) == []
    assert one.state() == all_.state()
    with pytest.raises(CallerError, match="events 3 is no list"):
        all_.step_many(3)  # type: ignore[arg-type]


def test_a_batch_at_a_replica_with_a_floor_is_the_same_as_its_events_one_by_one() -> None:
    one, all_ = replica(), replica()
    events: list[Any] = [write(VALUE), Propose(F), write(TOMB), Start(), Deliver(quorum.Query(1, 0, ROW))]
    result = all_.step_many(events)
    assert [index for index, _ in result.refused] == [3]
    for index, event in enumerate(events):
        if index != 3:
            assert tuple(result.of(index)) == one.step(event)
    assert one.state() == all_.state()


@pytest.mark.parametrize("kind", ["account", "floor", "replica", "catalog"])
def test_what_is_no_event_is_refused(kind: str) -> None:
    core: Any = {
        "account": HintCore(SETTING),
        "floor": FloorCore(SETTING, 1),
        "replica": replica(),
        "catalog": FloorCatalog(SETTING, ()),
    }[kind]
    before = core.state()
    for event in (None, 3, Kept(1), Repair((1, 2)), quorum.Read(1, 7), any_.OfReplica(1), Purge):
        with pytest.raises(CallerError, match="is no event of"):
            core.step(event)
    assert core.state() == before


def test_an_account_is_stepped_from_many_threads_at_once() -> None:
    core = HintCore(SETTING)
    failures: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(thread * 1_000 + 1, thread * 1_000 + 500):
                run(core, owe(number, row=number), Ended(number), Tick(NOW + number))
                for target in (1, 2, 3):
                    core.located(target, SHARD, number, number, number)
                    core.step(Acknowledged(target, number, number))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(core) == core.open_operations == core.least_write_quorum == 0


def test_what_an_account_keeps_goes_with_it() -> None:
    gc.collect()
    for _ in range(50):
        core = HintCore(SETTING)
        core.step_many([owe(number, row=number) for number in range(1, 200)])
        del core
    assert gc.collect() < 1_000


# --- moves ------------------------------------------------------------------------------------------------


def test_a_newcomer_is_owed_what_the_target_is_before_the_target_leaves() -> None:
    core = HintCore(SETTING)
    place, newcomer = (3, SHARD), (4, SHARD)
    run(core, owe(1), Ended(1), Owe(2, SHARD, Intent(8, Held(2, b"xy"), (3, 4)), NOW + 1))
    run(core, owe(5, row=9), Acknowledged(3, 9, 5))
    run(core, Owe(6, SHARD + 1, Intent(8, Held(6), (3,)), NOW))
    assert core.located(3, SHARD, ROW, 1, 30)
    assert core.step(MoveBegun(place, 4)) == (
        CopyHint(Hint(3, SHARD, ROW, 1, 1, NOW, 30), 4),
        StoreHints(5, (4,)),  # Acknowledged, and perhaps after the newcomer had copied the row.
        StoreMove(place, 4),
    )
    assert core.hints(*newcomer) == [
        Hint(4, SHARD, 8, 2, 2, NOW + 1),
        Hint(4, SHARD, ROW, 1, 1, NOW),
        Hint(4, SHARD, 9, 5, 1, NOW),
    ]
    assert core.step(MoveBegun(place, 4)) == ()
    assert core.moves() == [(place, 4)]
    assert core.step(owe(7)) == (StoreHints(7, (1, 2, 3, 4)), Kept(7))
    assert versions(core.step(Tick(NOW)), 4) == [1]  # The others are open still.
    assert core.step(MoveDone(place)) == (Pay(3, (30,)), StoreMove(place, None))
    assert core.places() == [(1, SHARD), (2, SHARD), (3, SHARD + 1), newcomer]
    assert core.moves() == []
    assert all(3 not in write[4] for write in core.progress()["writes"] if write[1] == SHARD)
    for event, message in (
        (MoveDone(place), "target 3 is not leaving shard 5: deliver MoveBegun first"),
        (MoveBegun(place, 3), "newcomer 3: the place of target 3 in shard 5 is taken by another one"),
    ):
        with pytest.raises(CallerError, match=message):
            core.step(event)
    core.step(MoveBegun(place, 0))
    with pytest.raises(CallerError, match="newcomer 9: the place of target 3 in shard 5 is taken by 0"):
        core.step(MoveBegun(place, 9))


def test_a_newcomer_is_owed_a_repair_where_the_target_is() -> None:
    core = closed_mark()
    place, newcomer = (3, SHARD), (4, SHARD)
    assert core.step(MoveBegun(place, 4)) == (
        StoreMark(newcomer, Mark()),
        StoreMark(newcomer, Mark(False)),
        Repair(newcomer),
        StoreMove(place, 4),  # Last: what is owed is stored before.
    )
    assert core.step(MoveDone(place)) == (StoreMark(place, None), StoreMove(place, None))
    assert core.marks() == [(newcomer, Mark(False))]
    again = HintCore(SETTING, marks=core.marks(), moves=[(place, 4)], least_write_quorum=2)
    assert again.moves() == [(place, 4)]
    assert again.state()["moves"] == [{"place": [3, SHARD], "newcomer": 4}]
    assert again.step(owe(1)) == (StoreHints(1, (1, 2, 3, 4)), Kept(1))


def test_a_move_that_is_done_closes_no_mark_of_the_target_that_left() -> None:
    core = HintCore(SETTING)
    place = (3, SHARD)
    run(core, owe(1), GiveUp(3), Drop(place), KeepAgain(place), owe(2), MoveBegun(place, 4))
    assert core.state()["coming_back"] == [list(place)]
    run(core, MoveDone(place))
    assert core.state()["coming_back"] == []
    assert run(core, Ended(1), Ended(2)) == ()


def test_a_hint_below_a_closed_floor_waits_and_lets_newer_ones_pass() -> None:
    core = HintCore(SETTING, Limits(per_second=1, most_under_way=1))
    for number in range(1, 7):
        run(core, Owe(number, SHARD, Intent(number, Held(number), (3,)), NOW), Ended(number))
    assert versions(core.step(Tick(NOW))) == [1]
    assert core.step(Refused((3, SHARD), 3)) == ()
    assert core.step(Refused((3, SHARD), 2)) == ()
    assert core.progress()["closed"] == [((3, SHARD), 3)]
    assert core.progress()["under_way"] == []
    assert versions(core.step(Tick(NOW + SECOND_NS))) == [4]
    run(core, Acknowledged(3, 4, 4), Owe(7, SHARD, Intent(7, Held(3), (3,)), NOW), Ended(7))
    assert versions(core.step(Tick(NOW + 2 * SECOND_NS))) == [5]
    assert len(core) == 6  # They are kept until all have converged.
    assert core.step(Crash()) == ()
    assert versions(core.step(Tick(NOW + 2 * SECOND_NS))) == [1]
    core.step(Erased(SHARD, 3))
    assert [hint.version for hint in core.hints(3, SHARD)] == [5, 6]


# --- floors -----------------------------------------------------------------------------------------------


def test_a_floor_is_closed_converged_at_settled_and_purged_below() -> None:
    core = FloorCore(SETTING, 1)
    assert core.step(AllClosed(F)) == ()
    assert core.step(Propose(F)) == (SayClosed(F),)
    assert core.step(Propose(F - 1)) == (SayClosed(F),)
    core = FloorCore(SETTING, 1, closed=F)
    assert core.step(Merged(2)) == ()  # Before all have closed it, that is not the whole past.
    assert core.step(AllClosed(F - 1)) == ()
    assert core.step(AllClosed(F)) == (AskFor(2, F), AskFor(3, F))
    assert run(core, Merged(2), Merged(2)) == ()
    assert core.step(AllClosed(F)) == (AskFor(3, F),)
    assert core.state()["merged"] == [2]
    assert core.step(AllConverged(F)) == ()
    assert core.step(Merged(3)) == (SayConverged(F), PurgeBelow(F))
    assert core.step(AllClosed(F)) == (SayConverged(F),)
    assert (core.closed, core.converged, core.floor) == (F, F, F)
    assert core.answer(Held()) == Held(F, None)
    assert core.answer(VALUE) == VALUE
    assert not core.admits(Held(), Held(F - 1, b"x"))
    assert core.admits(Held(), Held(F, None))
    assert not core.admits(VALUE, Held(F, None))
    assert not core.admits(Held(), Held(F, b"x"))
    assert core.admits_backup(VALUE, Held(4, b"v"))
    assert not core.admits_backup(Held(), VALUE)
    with pytest.raises(CallerError, match=r"replica 1 is none of the others: \[2, 3\]"):
        core.step(Merged(1))
    with pytest.raises(CallerError, match="floor 0 is below 10, which replica 1 had closed"):
        core.step(FloorLost(0))
    assert run(core, Crash(), FloorLost(F + 1)) == (SayClosed(F + 1),)
    assert core.state() == {
        "closed": "b",
        "converged": "0",
        "floor": "0",
        "all_closed": "0",
        "all_converged": "0",
        "merged": [],
    }
    run(core, Recovered(F))
    assert (core.closed, core.converged, core.floor) == (F + 1, F, F)
    assert (core.replica, core.setting) == (1, SETTING)


def test_what_was_merged_for_an_older_floor_does_not_count() -> None:
    core = FloorCore(SETTING, 1)
    run(core, Propose(F), AllClosed(F), Merged(2), Propose(F + 1))
    assert core.step(AllClosed(F + 1)) == (AskFor(2, F + 1), AskFor(3, F + 1))


def test_one_that_recovers_settled_is_closed_there() -> None:
    core = FloorCore(SETTING, 1)
    assert run(core, Recovered(F)) == ()
    assert (core.closed, core.converged, core.floor) == (F, F, F)


def replica(**durable: Any) -> FlooredReplicaCore:
    core = FlooredReplicaCore(SETTING, 1, **durable)
    core.step(Start())
    return core


def write(held: Held, row: int = ROW) -> Deliver:
    return Deliver(quorum.Write(1, 0, row, held))


def settled(**durable: Any) -> FlooredReplicaCore:
    return replica(closed=F, converged=F, floor=F, **durable)


def test_a_settled_replica_takes_nothing_below_its_floor_and_answers_with_it() -> None:
    core = settled(rows=[(1, VALUE), (2, TOMB), (3, Held(12, None))])
    assert core.step(write(Held(9, b"late"))) == (Send(None, BelowFloor(1, F)),)
    assert core.held(ROW) == Held()
    assert core.answer(ROW) == Held(F, None)
    (told,) = core.step(Deliver(quorum.Query(1, 0, ROW)))
    assert told == Send(None, quorum.Answer(1, Held(F, None), ((1, 1),)))
    assert type(core.step(write(NEW))[0].message) is quorum.Acknowledgement  # type: ignore[union-attr]
    assert type(core.step(write(VALUE, 1))[0].message) is quorum.Acknowledgement  # type: ignore[union-attr]
    assert core.step(Purge()) == ()
    assert [core.held(row) for row in (1, 2, 3)] == [VALUE, Held(), Held(12, None)]
    assert (len(core), core.floor, core.closed, core.converged) == (3, F, F, F)
    assert core.admits_backup(VALUE, VALUE)
    assert (core.replica, core.setting, core.epoch, core.max_rows) == (1, SETTING, 0, 1_000_000)


def test_an_old_epoch_is_said_before_a_floor() -> None:
    core = settled(epoch=3)
    assert core.step(write(Held(9, b"late"))) == (Send(None, quorum.OldEpoch(1, 3)),)
    assert core.step(Deliver(quorum.Query(1, 2, ROW))) == (Send(None, quorum.OldEpoch(1, 3)),)


def test_replicas_merge_one_another_s_past() -> None:
    core = replica(rows=[(1, VALUE), (2, NEW)], closed=F)
    assert core.step(AllClosed(F)) == (Send(2, AskPast(F, 1)), Send(3, AskPast(F, 1)))
    assert core.step(Deliver(AskPast(F, 7), 2)) == (Send(2, Past(F, 7, ((1, VALUE), (2, NEW)))),)
    assert core.step(Deliver(AskPast(F + 1, 7), 2)) == ()
    rows = ((1, TOMB), (2, VALUE), (3, VALUE), (3, TOMB), (3, VALUE))
    for past in (Past(F - 1, 1, rows), Past(F, 2, rows)):
        assert core.step(Deliver(past, 2)) == ()
        assert core.held(3) == Held()
    with pytest.raises(CallerError, match="replica 9 is none of the others"):
        core.step(Deliver(Past(F, 1, rows), 9))
    assert core.held(3) == Held()
    assert core.step(Deliver(Past(F, 1, rows), 2)) == ()
    assert [core.held(row) for row in (1, 2, 3)] == [TOMB, NEW, TOMB]
    assert core.step(Deliver(Past(F, 1, ()), 3)) == (SayConverged(F),)
    assert core.step(AllConverged(F)) == (PurgeBelow(F),)
    for message in (AskPast(F, 7), Past(F, 1, ()), RecoveredPast(EXCHANGED, 0)):
        with pytest.raises(CallerError, match=f"{type(message).__name__} comes from a replica"):
            core.step(Deliver(message))


def test_what_is_merged_is_compared_with_what_a_query_is_told() -> None:
    core = settled()
    core.step(Merge(((1, VALUE), (2, Held(F, None)), (3, NEW), (4, Held(F, b"v")))))
    assert [core.held(row) for row in (1, 2, 3, 4)] == [Held(), Held(), NEW, Held()]


def test_a_lost_disk_starts_closed_and_settles_with_the_others() -> None:
    other = settled(rows=[(7, NEW)])
    (sent,) = other.step(Deliver(quorum.Exchange(0, ((2, 5),)), 2))
    assert sent == Send(2, RecoveredPast(quorum.Exchanged(0, 5, ((7, NEW),), ((1, 1), (2, 5))), F))
    core = settled(rows=[(1, VALUE)])
    start = StartEmpty(SETTING, ((1, 2), (2, 1), (3, 1)))
    with pytest.raises(CallerError, match="StartEmpty at replica 1, which is up"):
        core.step(LostDisk(start, F))
    core.step(Crash())
    before = core.state()
    with pytest.raises(CallerError, match="floor 9 is below 10"):
        core.step(LostDisk(start, F - 1))
    with pytest.raises(CallerError, match="pass a higher one"):
        core.step(LostDisk(StartEmpty(SETTING, ((1, 1),)), F - 1))
    assert core.state() == before
    asked = core.step(LostDisk(start, F + 1))
    assert [effect.to for effect in asked if isinstance(effect, Send)] == [2, 3]
    assert asked[-1] == SayClosed(F + 1)
    assert (core.closed, core.converged, core.floor, core.recovering) == (F + 1, 0, 0, SETTING)
    assert core.step(Deliver(AskPast(1, 1), 2)) == ()  # It knows no past yet.
    assert core.step(Deliver(Past(F + 1, 2, ((1, NEW),)), 2)) == ()
    assert core.step(Ask()) == asked[:-1]
    for sender in (2, 3):
        exchanged = quorum.Exchanged(0, 2, ((7, NEW),), ((sender, 1),))
        core.step(Deliver(RecoveredPast(exchanged, F), sender))
        assert (core.closed, core.converged, core.floor) == (F + 1, F, F)
    assert core.recovering is None
    assert core.held(7) == NEW
    assert core.incarnations == ((1, 2), (2, 1), (3, 1))


def test_a_replica_with_a_floor_is_told_what_it_can_not_take() -> None:
    core = FlooredReplicaCore(SETTING, 1)
    assert not core.up
    for event in (Propose(F), Purge(), Merge(()), Deliver(AskPast(F, 1), 2), write(NEW), Crash()):
        with pytest.raises(
            CallerError, match=f"{type(event).__name__} at replica 1, which is down: start it"
        ):
            core.step(event)
    with pytest.raises(CallerError, match="Exchanged without a floor: deliver RecoveredPast"):
        core.step(Deliver(EXCHANGED, 2))
    with pytest.raises(CallerError, match="StartEmpty without a floor: deliver LostDisk"):
        core.step(StartEmpty(SETTING, ()))  # type: ignore[arg-type]


def test_a_replica_with_a_floor_holds_so_many_rows_and_no_more() -> None:
    core = replica(max_rows=2, closed=F, rows=[(1, VALUE)])
    core.step(AllClosed(F))
    before = core.state()
    for event in (
        Merge(((2, NEW), (3, NEW), (1, NEW))),
        Deliver(Past(F, 1, ((1, NEW), (3, NEW), (2, NEW))), 2),
    ):
        with pytest.raises(TooManyRowsError, match="2 rows are held and row 2 is new"):
            core.step(event)
        assert core.state() == before
    core.step(Merge(((1, NEW), (3, NEW), (3, VALUE))))
    assert len(core) == 2


# --- the catalog ------------------------------------------------------------------------------------------


def test_the_catalog_proposes_one_floor_after_the_other() -> None:
    core = FloorCatalog(SETTING, ((1, 1), (2, 1), (3, 1)))
    assert core.step(AskFloor(1)) == ()
    assert core.step(ProposeFloor(F)) == tuple(Tell(one, Propose(F)) for one in (1, 2, 3))
    assert run(core, Closed(1, F), Closed(1, F), Closed(2, F), Closed(3, F - 1)) == ()
    assert core.step(AskFloor(1)) == (Tell(1, Propose(F)),)
    assert core.step(Closed(3, F)) == tuple(Tell(one, AllClosed(F)) for one in (1, 2, 3))
    assert core.step(Closed(3, F)) == ()
    assert run(core, Converged(1, F, 1), Converged(2, F, 1), Converged(3, F, 2), Converged(3, F - 1, 1)) == ()
    with pytest.raises(CallerError, match=r"not all replicas have converged at 10 yet; wait for \[3\]"):
        core.step(ProposeFloor(F + 1))
    assert core.step(Converged(3, F, 1)) == tuple(Tell(one, AllConverged(F)) for one in (1, 2, 3))
    assert core.step(Converged(2, F, 1)) == ()
    run(core, ReplicaLostDisk(2, 2))
    assert not core.voided  # All had converged: each may settle there.
    assert core.step(Converged(2, F, 1)) == ()  # What it said before it lost its disk does not count.
    assert core.converged == ((1, 1), (2, 1), (3, 1))
    assert core.step(Converged(2, F, 2)) == ()
    assert core.closed == {1, 2, 3}
    assert core.converged == ((1, 1), (2, 2), (3, 1))
    assert core.incarnations == ((1, 1), (2, 2), (3, 1))
    assert core.step(ProposeFloor(F + 1))[0] == Tell(1, Propose(F + 1))
    assert core.step(AskFloor(2)) == (Tell(2, Propose(F + 1)), Tell(2, AllConverged(F)))
    for event, message in (
        (ProposeFloor(F + 1), "floor 11 is not above 11: floors rise"),
        (Closed(9, F), r"replica 9 is none of \(1, 2, 3\)"),
        (AskFloor(9), "replica 9 is none of"),
        (ReplicaLostDisk(2, 2), "replica 2 is to start as incarnation 2, and was 2"),
    ):
        with pytest.raises(CallerError, match=message):
            core.step(event)
    assert core.state() == {
        "setting": quorum.ReplicaCore(1, recovering=SETTING).state()["recovering"],
        "incarnations": [[1, 1], [2, 2], [3, 1]],
        "proposed": "b",
        "closed": [],
        "converged": [],
        "all_converged": "a",
        "void": False,
    }
    again = FloorCatalog(
        SETTING,
        core.incarnations,
        proposed=core.proposed,
        closed=core.closed,
        converged=core.converged,
        all_converged=core.all_converged,
    )
    assert again.state() == core.state()
    assert again.setting == SETTING


def test_a_floor_is_void_when_a_disk_is_lost_before_all_have_converged() -> None:
    core = FloorCatalog(SETTING, ((1, 1), (2, 1), (3, 1)))
    run(core, ProposeFloor(F), Closed(1, F), Closed(2, F), Closed(3, F), Converged(1, F, 1))
    assert run(core, ReplicaLostDisk(2, 2)) == ()
    assert (core.voided, core.closed, core.converged) == (True, frozenset(), ())
    for event in (Closed(1, F), Closed(2, F), Closed(3, F), Converged(1, F, 1)):
        assert core.step(event) == ()
    assert (core.closed, core.converged) == (frozenset(), ())
    assert core.step(AskFloor(1)) == (Tell(1, Propose(F)),)
    again = FloorCatalog(SETTING, core.incarnations, proposed=F, voided=True)
    assert again.state() == core.state()
    assert core.step(ProposeFloor(F + 1)) == tuple(Tell(one, Propose(F + 1)) for one in (1, 2, 3))
    assert not core.voided
    with pytest.raises(CallerError, match="voided 1 is no bool"):
        FloorCatalog(SETTING, (), voided=1)  # type: ignore[arg-type]


def test_settings_may_be_eventual() -> None:
    core = HintCore(Setting((1, 2), 1, 1, Mode.EVENTUAL))
    assert core.step(owe(1))[1] == StoreLeast(1)
    assert core.setting.size == 2
    assert core.limits == Limits()
    assert (core.max_hints, core.max_operations) == (1_000_000, 65_536)
