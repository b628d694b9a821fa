"""Random steps of the reference clock, most of them at a boundary: a full counter, a bound, the last id.

A run starts with a node that is down, at a bound from anywhere, and goes on for some dozens of events. Each
event is drawn with an eye on the state, so that its times lie beside the places where a rule decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from scratchbird_reference.errors import CallerError
from scratchbird_reference.hlc import (
    Config,
    Confirm,
    Crash,
    Durable,
    Effects,
    Event,
    HybridLogicalClock,
    Observe,
    Persisted,
    Reserve,
    Retire,
    Stamp,
    Start,
    State,
    Stop,
    Tick,
    Volatile,
)
from scratchbird_reference.uuid8 import MAX_COUNTER, MAX_MS, MAX_RANDOM, Timestamp

CONFIGS = (
    Config(),
    Config(max_drift_ms=2, max_ahead_ms=1, max_skew_ms=1, reserve_ms=1, confirm_quorum=1),
    Config(max_drift_ms=40, max_ahead_ms=10, max_skew_ms=7, reserve_ms=5, confirm_quorum=2),
    Config(max_drift_ms=60_000, max_ahead_ms=50, max_skew_ms=9_000, reserve_ms=600, confirm_quorum=3),
)
PEERS = 3
"""How many peers a :class:`Confirm` asks at the most."""
STEPS_PER_RUN = 40
_COUNTERS = (0, 0, 1, 2, 7, MAX_COUNTER - 1, MAX_COUNTER, MAX_COUNTER)
_NEAR = (-2, -1, 0, 0, 0, 1, 2)
_UP = ("tick",) * 8 + ("observe",) * 7 + ("reserve",) * 3 + ("stamp",) * 3 + ("confirm",)
_RARE = ("stop", "crash", "start", "retire", "persisted")
_DOWN = ("start",) * 8 + ("retire", "tick", "crash")


@dataclass(frozen=True, slots=True)
class Sample:
    """One step, or an event that is impossible in its state (``effects`` is ``None``)."""

    config: Config
    before: State
    event: Event
    after: State
    effects: Effects | None


def samples(seed: int, count: int) -> Iterator[Sample]:
    """So many steps, the same ones for the same seed; and now and then an impossible event beside them."""
    random = Random(seed)
    left = count
    while left > 0:
        config = random.choice(CONFIGS)
        rules, state = HybridLogicalClock(config), _begin(random)
        for _ in range(STEPS_PER_RUN):
            if left == 0:
                return
            event = _event(random, config, state)
            try:
                after, effects = rules.step(state, event)
            except CallerError:
                yield Sample(config, state, event, state, None)
            else:
                yield Sample(config, state, event, after, effects)
                state = after
                left -= 1


def _begin(random: Random) -> State:
    ms = random.choice((0, 1_000, 1_750_000_000_000, MAX_MS - 700, MAX_MS - 3))
    used = tuple(random.sample(range(1, 9), random.choice((1, 1, 2, 4))))
    return State(Durable(used[0], Timestamp(ms, random.choice(_COUNTERS)), used[1:]))


def _event(random: Random, config: Config, state: State) -> Event:
    volatile = state.volatile
    if volatile is None:
        kind = random.choice(_DOWN)
        near = state.durable.bound.ms
        anchor = near // 2
    else:
        kind = _kind(random, volatile)
        near, anchor = volatile.last.ms, volatile.anchor
    match kind:
        case "persisted":
            return Persisted()
        case "stop":
            return Stop()
        case "crash":
            return Crash()
        case "retire":
            return Retire(random.randint(1, 9))
    wall = _clip(near + _offset(random, config))
    # Most monotonic readings fit the anchor; the others see a jump, or a wall clock that was set back.
    drift, skew = config.max_drift_ms, config.max_skew_ms
    away = random.choice((0, 0, 0, 0, 1, skew, skew + 1, drift, -drift, -drift - 1))
    monotonic = _clip(wall - anchor + away)
    match kind:
        case "start":
            return Start(wall, monotonic)
        case "tick":
            return Tick(wall, monotonic, random.randint(0, MAX_RANDOM))
        case "stamp":
            return Stamp(wall, monotonic)
        case "reserve":
            return Reserve(wall, monotonic)
        case "confirm":
            return _confirm(random, config, wall, monotonic)
    clock = random.choice((wall, _clip(monotonic + anchor)))
    return Observe(wall, monotonic, _remote(random, config, state, volatile, clock), random.randint(1, 9))


def _kind(random: Random, volatile: Volatile) -> str:
    """What comes next at a running node: what gets it out of a state that lasts comes more often."""
    if random.random() < 0.04:
        return random.choice(_RARE)
    if volatile.promised is not None and random.random() < 0.2:
        return "persisted"
    if volatile.stopping and random.random() < 0.3:
        return random.choice(("crash", "crash", "crash", "stop"))
    if volatile.suspended and random.random() < 0.3:
        return "confirm"
    return random.choice(_UP)


def _offset(random: Random, config: Config) -> int:
    """How far a wall clock is from the clock's own millisecond: beside one of the bounds."""
    steps = (0, 0, config.max_ahead_ms, config.max_drift_ms, config.max_skew_ms, config.reserve_ms)
    return random.choice((-1, -1, 1)) * random.choice(steps) + random.choice(_NEAR)


def _remote(random: Random, config: Config, state: State, volatile: Volatile | None, clock: int) -> Timestamp:
    """Beside the clock's own timestamps, or beside a bound on what lies past one of the two clocks."""
    last = volatile.last if volatile is not None else state.durable.bound
    bound = state.durable.bound
    past = random.choice((config.max_drift_ms, config.max_ahead_ms)) + random.choice(_NEAR)
    edge = Timestamp(_clip(clock + past), 0)
    base = random.choice((last, last, bound, bound, edge, Timestamp(clock, 0)))
    ms = _clip(base.ms + random.choice((0, 0, 0, 0, 1, -1, config.max_drift_ms)))
    counter = random.choice((base.counter, min(base.counter + 1, MAX_COUNTER), random.choice(_COUNTERS)))
    return Timestamp(ms, counter)


def _confirm(random: Random, config: Config, wall: int, monotonic: int) -> Confirm:
    nodes = random.sample(range(1, 9), random.randint(0, PEERS))
    skew = config.max_skew_ms
    off = (0, 0, skew, -skew, skew + 1, -skew - 1)
    peers = tuple((node, _clip(wall + random.choice(off))) for node in nodes)
    return Confirm(wall, monotonic, random.random() < 0.2, peers)


def _clip(value: int) -> int:
    return max(0, min(value, MAX_MS))
