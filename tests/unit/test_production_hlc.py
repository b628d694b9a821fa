"""The production clock's state machine beside the reference's, and at the ends of its ranges."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from scratchbird import Clock, ClockCore, Timestamp, UuidV8, VolatileBoundStore
from scratchbird import effects as production_effects
from scratchbird.errors import (
    CallerError,
    ConfigurationError,
)
from scratchbird.hlc import _contend, _contend_ticks
from scratchbird.timestamp import MAX_COUNTER, MAX_MS
from scratchbird_check.traces.hlc import EVENTS, effect_to_json, event_to_json, state_to_json
from scratchbird_reference import errors as reference_errors
from scratchbird_reference import hlc as reference

NOW = 1_700_000_000_000


# --- the core beside the reference ------------------------------------------------------------------------


def effects_to_json(effects: production_effects.Effects) -> list[dict[str, Any]]:
    """As ``effect_to_json`` does for the reference: equal in meaning is equal here."""
    values = []
    for effect in effects:
        value: dict[str, Any] = {"effect": type(effect).__name__.lower()}
        if isinstance(effect, production_effects.Issued):
            value |= {"id": str(effect.id), "timestamp": list(effect.id.timestamp)}
        else:
            for item in dataclasses.fields(effect):
                part = getattr(effect, item.name)
                if part is not None:
                    part = part.value if isinstance(part, production_effects.Reason) else part
                    value[item.name] = list(part) if isinstance(part, tuple) else part
        values.append(value)
    return values


def draw_event(dice: random.Random, wall: int, monotonic: int, drift: int) -> reference.Event:
    near = max(0, wall + dice.randint(-3, 3))
    name = dice.choices(
        ["start", "tick", "observe", "stamp", "reserve", "persisted", "confirm", "stop", "crash", "retire"],
        [2, 10, 6, 2, 2, 5, 1, 0.2, 0.3, 0.1],
    )[0]
    match name:
        case "start":
            return reference.Start(wall, monotonic)
        case "tick":
            return reference.Tick(wall, monotonic, dice.choice([0, (1 << 46) - 1, 1 << 46, -1]))
        case "stamp":
            return reference.Stamp(wall, monotonic)
        case "observe":
            ms = min(MAX_MS + 1, max(0, wall + dice.randint(-3, drift + 2)))
            remote = reference.Timestamp(ms, dice.choice([0, 1, MAX_COUNTER - 1, MAX_COUNTER, MAX_COUNTER]))
            return reference.Observe(wall, monotonic, remote, dice.choice([1, 2, 65535, 0]))
        case "reserve":
            return reference.Reserve(wall, monotonic)
        case "persisted":
            return reference.Persisted()
        case "confirm":
            peers = tuple((dice.choice([1, 2, 3, 4, 7]), near) for _ in range(dice.randint(0, 3)))
            return reference.Confirm(wall, monotonic, dice.random() < 0.3, peers)
        case "stop":
            return reference.Stop()
        case "crash":
            return reference.Crash()
        case _:
            return reference.Retire(dice.choice([7, 8, 9, 10]))


def deliver(core: ClockCore, event: reference.Event) -> list[dict[str, Any]] | str:
    arguments = event_to_json(event)
    method = getattr(core, arguments.pop("event"))
    for name in ("remote", "peers"):
        if name in arguments:
            arguments[name] = getattr(event, name)
    try:
        return effects_to_json(method(**arguments))
    except CallerError:
        return "impossible"


@pytest.mark.parametrize("seed", range(60))
def test_core_does_what_the_reference_does(seed: int) -> None:
    dice = random.Random(seed)
    drift = dice.choice([2, 5, 500])
    ahead = dice.randint(1, drift - 1)
    settings = {
        "max_drift_ms": drift,
        "max_ahead_ms": ahead,
        "max_skew_ms": drift - ahead,
        "reserve_ms": dice.choice([1, 3, 1000]),
        "confirm_quorum": dice.choice([1, 2]),
    }
    rules = reference.HybridLogicalClock(reference.Config(**settings))
    state = reference.State(reference.Durable(7))
    core = ClockCore(7, **settings)
    wall, monotonic = dice.choice([0, 1000, MAX_MS - 20]), dice.choice([0, 5000])
    for _ in range(400):
        jump = drift + 2 if dice.random() < 0.02 else dice.choice([0, 0, 0, 0, 1, 1, 2, -1, -5])
        wall = min(MAX_MS + (dice.random() < 0.01), max(0, wall + jump))
        monotonic = max(0, monotonic + dice.choice([0, 0, 1, 1, 2]))
        event = draw_event(dice, wall, monotonic, drift)
        expected: list[dict[str, Any]] | str
        try:
            state, effects = rules.step(state, event)
            expected = [effect_to_json(effect) for effect in effects]
        except reference_errors.CallerError:
            expected = "impossible"
        assert deliver(core, event) == expected, event
        assert core.state() == state_to_json(state), event


def test_core_has_every_event_effect_and_reason_of_the_reference() -> None:
    for name in EVENTS:
        assert callable(getattr(ClockCore, name))
    assert {reason.value for reason in production_effects.Reason} == {r.value for r in reference.Reason}
    for effect in reference.Effect.__args__:
        mine = getattr(production_effects, effect.__name__)
        names = [item.name for item in dataclasses.fields(effect)]
        assert [item.name for item in dataclasses.fields(mine)] == names


def started(bound: tuple[int, int] = (0, 0), wall: int = NOW, **settings: int) -> ClockCore:
    """A core that has started, with a bound that a first tick has reserved."""
    core = ClockCore(7, bound=bound, **settings)
    core.start(wall, 0)
    if isinstance(core.tick(wall, 0)[0], production_effects.Persist):
        core.persisted()
    return core


def issued(core: ClockCore, wall: int = NOW) -> Timestamp:
    (effect,) = core.tick(wall, 0)
    assert isinstance(effect, production_effects.Issued)
    return effect.id.timestamp


def test_full_counter_carries() -> None:
    core = started()
    issues = [issued(core) for _ in range(2 * 4096 + 2)]
    expected = [Timestamp(NOW + ms, counter) for ms in range(3) for counter in range(4096)]
    assert issues == expected[: len(issues)]


def test_merge_takes_the_counter_too() -> None:
    core = started()
    assert core.observe(NOW, 0, (NOW, MAX_COUNTER), 2) == (
        production_effects.Merged(Timestamp(NOW, MAX_COUNTER)),
    )
    assert issued(core) == (NOW + 1, 0)
    core.observe(NOW, 0, (NOW, 5), 2)
    assert issued(core) == (NOW + 1, 1)


def test_the_end_of_the_range_is_refused_and_nothing_overflows() -> None:
    core = started(wall=MAX_MS)
    assert core.bound == (MAX_MS, MAX_COUNTER)
    for counter in range(4096):
        assert issued(core, MAX_MS) == (MAX_MS, counter)
    for _ in range(2):
        before = core.state()
        (refused,) = core.tick(MAX_MS, 0)
        assert refused == production_effects.Refused(production_effects.Reason.EXHAUSTED, wall=MAX_MS)
        assert core.state() == before
    assert core.observe(MAX_MS, 0, (MAX_MS, MAX_COUNTER), 2)[0] == production_effects.Merged(
        Timestamp(MAX_MS, MAX_COUNTER)
    )


def test_the_widest_settings_do_not_overflow() -> None:
    core = ClockCore(
        1, max_drift_ms=MAX_MS, max_ahead_ms=MAX_MS - 1, max_skew_ms=1, reserve_ms=MAX_MS, bound=(MAX_MS, 0)
    )
    core.start(0, MAX_MS)
    assert core.state()["anchor"] == -MAX_MS
    core.tick(1, MAX_MS)
    core.persisted()
    (effect,) = core.tick(1, MAX_MS)
    assert effect == production_effects.Issued(UuidV8((MAX_MS, 1), 1, 0))
    assert not core.suspended


@pytest.mark.parametrize(
    "settings",
    [
        {"max_drift_ms": 0},
        {"max_ahead_ms": 0},
        {"max_skew_ms": -1},
        {"reserve_ms": 0},
        {"confirm_quorum": 0},
        {"max_drift_ms": 1 << 48},
        {"reserve_ms": 1 << 100},
        {"max_drift_ms": 1.5},
        {"max_ahead_ms": True},
        {"confirm_quorum": None},
        {"max_drift_ms": 499},
        {"max_ahead_ms": 300, "max_skew_ms": 201},
    ],
)
def test_contradictory_settings_are_refused_in_the_words_of_the_reference(settings: dict[str, Any]) -> None:
    with pytest.raises(reference_errors.ConfigurationError) as theirs:
        reference.Config(**settings)
    with pytest.raises(ConfigurationError) as mine:
        ClockCore(7, **settings)
    assert str(mine.value) == str(theirs.value)
    with pytest.raises(ConfigurationError):
        Clock(node_id=7, store=VolatileBoundStore(), **settings)


@pytest.mark.parametrize(
    "call",
    [
        lambda core: core.tick(-1, 0),
        lambda core: core.tick(MAX_MS + 1, 0),
        lambda core: core.tick(1 << 70, 0),
        lambda core: core.tick(NOW, -1),
        lambda core: core.tick(NOW, 1.0),
        lambda core: core.tick(True, 0),
        lambda core: core.tick(NOW, 0, 1 << 46),
        lambda core: core.observe(NOW, 0, (NOW, 4096), 2),
        lambda core: core.observe(NOW, 0, (1 << 48, 0), 2),
        lambda core: core.observe(NOW, 0, "12", 2),
        lambda core: core.observe(NOW, 0, (NOW, 0), 0),
        lambda core: core.observe(NOW, 0, (NOW, 0), 65536),
        lambda core: core.confirm(NOW, 0, peers=[(7, NOW)]),
        lambda core: core.confirm(NOW, 0, peers=[(2, NOW), (2, NOW)]),
        lambda core: core.confirm(NOW, 0, peers=[(2, -1)]),
        lambda core: core.confirm(NOW, 0, peers=[2]),
        lambda core: core.confirm(NOW, 0, peers=5),
        lambda core: core.start(NOW, 0),
        lambda core: core.persisted(),
        lambda core: core.retire(8),
        lambda core: core.retire(0),
    ],
)
def test_impossible_calls_leave_the_core_as_it_was(call: Callable[[ClockCore], object]) -> None:
    core = started()
    before = core.state()
    with pytest.raises(CallerError) as refused:
        call(core)
    assert str(refused.value)
    assert core.state() == before


HUGE = 10**5000
"""More digits than Python prints: ``str`` of it is a ValueError."""


@pytest.mark.parametrize("huge", [HUGE, -HUGE], ids=["high", "low"])
@pytest.mark.parametrize(
    "call",
    [
        lambda huge: ClockCore(huge),
        lambda huge: ClockCore(7, max_drift_ms=huge),
        lambda huge: ClockCore(7, confirm_quorum=huge),
        lambda huge: ClockCore(7, bound=(huge, 0)),
        lambda huge: ClockCore(7, bound=[huge, 0]),
        lambda huge: ClockCore(7, retired=huge),
        lambda huge: ClockCore(7, retired=(huge,)),
        lambda huge: ClockCore(7).retire(huge),
        lambda huge: ClockCore(7).start(huge, 0),
        lambda huge: ClockCore(7).start(NOW, huge),
        lambda huge: started().tick(NOW, 0, huge),
        lambda huge: started().observe(NOW, 0, (NOW, huge), 2),
        lambda huge: started().observe(NOW, 0, (huge, 0, 0), 2),
        lambda huge: started().observe(NOW, 0, (NOW, 0), huge),
        lambda huge: started().confirm(NOW, 0, huge),
        lambda huge: started().confirm(NOW, 0, peers=huge),
        lambda huge: started().confirm(NOW, 0, peers=[huge]),
        lambda huge: started().confirm(NOW, 0, peers=[(huge, NOW)]),
        lambda huge: started().confirm(NOW, 0, peers=[(2, huge)]),
        lambda huge: started().confirm(NOW, 0, peers=[(2, huge, 3)]),
        lambda huge: Clock(node_id=huge, store=VolatileBoundStore()),
        lambda huge: Clock(node_id=7, store=VolatileBoundStore(), write_timeout_ms=huge),
        lambda huge: Clock(node_id=7, store=VolatileBoundStore(), wall=lambda: huge),
        lambda huge: Clock(node_id=7, store=VolatileBoundStore()).tick_many(huge),
        lambda huge: Clock(node_id=7, store=VolatileBoundStore()).observe(huge, 2),
        lambda huge: Clock(node_id=7, store=VolatileBoundStore()).observe([huge], 2),
        lambda huge: UuidV8((huge, 0), 1, 0),
        lambda huge: UuidV8([huge], 1, 0),
        lambda huge: UuidV8.from_int(huge),
        lambda huge: UuidV8.from_bytes(huge),
        lambda huge: UuidV8.from_uuid(huge),
        lambda huge: UuidV8.parse(huge),
    ],
)
def test_integers_too_long_to_print_are_refused_like_any_other(
    call: Callable[[int], object], huge: int
) -> None:
    with pytest.raises((CallerError, ConfigurationError)) as refused:
        call(huge)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("node_id", [0, 65536, -1, "7", None, 7.0, True])
def test_foreign_node_ids_are_refused(node_id: Any) -> None:
    with pytest.raises(CallerError, match="node id"):
        ClockCore(node_id)


@pytest.mark.parametrize("arguments", [{"bound": 5}, {"bound": (1, 4096)}, {"retired": (0,)}, {"retired": 5}])
def test_foreign_durable_values_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(CallerError):
        ClockCore(7, **arguments)


def test_a_retired_node_id_can_not_be_given_to_a_core() -> None:
    with pytest.raises(CallerError, match="node id 7 was used here before"):
        ClockCore(7, retired=(3, 7))


# --- threads ----------------------------------------------------------------------------------------------


def gathered(in_threads: Any, contend: Callable[[], bytes]) -> list[memoryview]:
    """What three threads that contend at once have got, each as a run of packed timestamps."""
    batches: list[memoryview] = []
    in_threads(*[lambda: batches.append(memoryview(contend()).cast("Q"))] * 3)
    return batches


def all_different(batches: list[memoryview], last: Timestamp) -> bool:
    """Whether the timestamps of all batches, as one run of numbers, end at ``last`` without a gap."""
    end = last.ms << 12 | last.counter
    count = sum(map(len, batches))
    increasing = all(a < b for batch in batches for a, b in itertools.pairwise(batch))
    return increasing and sum(map(sum, batches)) == count * (2 * end - count + 1) // 2


LIFTED = {"max_ahead_ms": MAX_MS // 4, "max_drift_ms": MAX_MS // 2, "reserve_ms": MAX_MS // 8}


def test_contention_without_the_gil_loses_and_repeats_nothing(in_threads: Any) -> None:
    """Without the lock in ``ClockCore.claim`` several threads issue the same timestamp, and this fails.

    A lost update leaves the clock behind the number of ids, which is checked in every round; that no id is
    there twice follows, and is checked by itself in the last one.
    """
    count = 1_000_000
    for _ in range(15):
        core = started(**LIFTED)
        batches = gathered(in_threads, partial(_contend, core, NOW, 0, count))
        last = core.last
        assert last == (NOW + (3 * count - 1) // 4096, (3 * count - 1) % 4096)
    assert all_different(batches, last)


def test_contention_for_a_clock_without_the_gil_loses_and_repeats_nothing(in_threads: Any) -> None:
    """The same for ``Clock.tick``, whose lock is taken in another place."""
    count = 1_000_000
    for _ in range(15):
        clock = Clock(node_id=7, store=VolatileBoundStore(), **LIFTED)
        # Far ahead of the wall clock, so that each tick is the successor of the one before.
        start = clock.observe((clock.read_clocks()[0] + 3_600_000, 0), sender=2)
        batches = gathered(in_threads, partial(_contend_ticks, clock, count))
        last = clock.last
        assert last == (start.ms + 3 * count // 4096, 3 * count % 4096)
    assert all_different(batches, last)


def test_a_clock_in_many_threads_is_strictly_increasing_in_each(in_threads: Any) -> None:
    clock = Clock(node_id=7, store=VolatileBoundStore())
    runs: list[list[UuidV8]] = []

    def tick() -> None:
        ids = []
        for number in range(3000):
            ids.append(clock.tick())
            if number % 100 == 0:
                batch = clock.tick_many(3)
                ids.extend(UuidV8.from_bytes(batch[at : at + 16]) for at in range(0, 48, 16))
        runs.append(ids)

    def observe() -> None:
        for _ in range(3000):
            clock.observe(clock.last, sender=8)

    in_threads(tick, tick, tick, observe)
    for ids in runs:
        assert all(a < b for a, b in itertools.pairwise(ids))
    timestamps = [mine.timestamp for ids in runs for mine in ids]
    assert len(set(timestamps)) == len(timestamps)
    clock.stop()
