"""The world of ``spec/hlc.tla`` around the reference: what a model's step is in events of the reference.

:func:`successors` gives, for a state of the model, every state that one step leads to, by asking the
*reference* what each node does. Faults, time and messages are the model's own and are repeated here; what a
node does is not. If model and reference take the same steps, these are exactly the model's successors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from scratchbird_check.traces.tla_values import Record
from scratchbird_reference.hlc import (
    Config,
    Confirm,
    Crash,
    Durable,
    Event,
    HybridLogicalClock,
    Issued,
    Merged,
    Observe,
    Persist,
    Persisted,
    Refused,
    Reserve,
    Stamp,
    Stamped,
    Start,
    State,
    Stop,
    Tick,
    Volatile,
)
from scratchbird_reference.uuid8 import Timestamp

VARIABLES = (
    "now", "off", "messages", "budget", "bound", "up", "last", "anchor", "promised", "suspended",
    "own", "past", "before", "sick", "broken",
)  # fmt: skip


class Message(NamedTuple):
    """One message: who sent it, the clock that it carries, the greatest id that happened before it."""

    sender: str
    at: int
    past: int


class World(NamedTuple):
    """A state of the model. Functions on nodes are tuples in the order of ``Instance.nodes``."""

    now: int
    off: tuple[int, ...]
    messages: frozenset[Message]
    budget: tuple[int, ...]
    states: tuple[State, ...]
    own: tuple[int, ...]
    past: tuple[int, ...]
    before: tuple[int, ...]
    sick: frozenset[str]
    broken: frozenset[str]


LIMITS = ("shifts", "crashes", "ticks", "sends", "early", "confirms")
SHIFTS, CRASHES, TICKS, SENDS, EARLY, CONFIRMS = range(len(LIMITS))


@dataclass(frozen=True)
class Instance:
    """The constants of one configuration, and the reference (or a wrong rule) that plays the nodes."""

    nodes: tuple[str, ...]
    config: Config
    base: int
    horizon: int
    offsets: tuple[int, ...]
    rules: type[HybridLogicalClock] = HybridLogicalClock

    @property
    def clock(self) -> HybridLogicalClock:
        return self.rules(self.config)

    def pack(self, timestamp: Timestamp) -> int:
        """A timestamp as the model writes it."""
        return timestamp.ms * self.config.counters_per_ms + timestamp.counter

    def unpack(self, packed: int) -> Timestamp:
        return Timestamp(*divmod(packed, self.config.counters_per_ms))

    def healthy(self, offset: int) -> bool:
        return 0 <= offset <= self.config.max_skew_ms


def from_model(instance: Instance, values: Mapping[str, Any]) -> World:
    """A state of the model, as :func:`scratchbird_check.traces.tla_values.parse_state` reads it.

    :raises ValueError: if a variable is missing or there is one more than this module knows: then the
        model was changed and the tie was not.
    """
    if set(values) != set(VARIABLES):
        raise ValueError(f"the model's variables are {sorted(values)}, the tie knows {sorted(VARIABLES)}")

    def on_nodes(name: str) -> tuple[Any, ...]:
        return tuple(values[name][node] for node in instance.nodes)

    def state(index: int, node: str) -> State:
        durable = Durable(index + 1, instance.unpack(values["bound"][node]))
        if not values["up"][node]:
            return State(durable)
        promised = values["promised"][node]
        return State(
            durable,
            Volatile(
                last=instance.unpack(values["last"][node]),
                anchor=values["anchor"][node] + instance.base,
                promised=instance.unpack(promised) if promised else None,
                suspended=values["suspended"][node],
            ),
        )

    return World(
        now=values["now"],
        off=on_nodes("off"),
        messages=frozenset(Message(m["from"], m["at"], m["past"]) for m in values["messages"]),
        budget=tuple(values["budget"][name] for name in LIMITS),
        states=tuple(state(index, node) for index, node in enumerate(instance.nodes)),
        own=on_nodes("own"),
        past=on_nodes("past"),
        before=on_nodes("before"),
        sick=frozenset(values["sick"]),
        broken=frozenset(values["broken"]),
    )


def to_model(instance: Instance, world: World) -> dict[str, Any]:
    """The same state in the model's variables."""

    def function(items: Iterator[Any]) -> Record:
        return Record(zip(instance.nodes, items, strict=True))

    def volatile(name: str, down: Any) -> Iterator[Any]:
        return (down if s.volatile is None else getattr(s.volatile, name) for s in world.states)

    return {
        "now": world.now,
        "off": function(iter(world.off)),
        "messages": frozenset(Record({"from": m.sender, "at": m.at, "past": m.past}) for m in world.messages),
        "budget": Record(zip(LIMITS, world.budget, strict=True)),
        "bound": function(instance.pack(s.durable.bound) for s in world.states),
        "up": function(s.volatile is not None for s in world.states),
        "last": function(instance.pack(t) for t in volatile("last", Timestamp(0, 0))),
        "anchor": function(a - instance.base for a in volatile("anchor", instance.base)),
        "promised": function(instance.pack(t or Timestamp(0, 0)) for t in volatile("promised", None)),
        "suspended": function(volatile("suspended", False)),
        "own": function(iter(world.own)),
        "past": function(iter(world.past)),
        "before": function(iter(world.before)),
        "sick": world.sick,
        "broken": world.broken,
    }


def initial(instance: Instance, limits: Mapping[str, int]) -> World:
    """The model's one initial state."""
    zeros = (0,) * len(instance.nodes)
    return World(
        now=0,
        off=zeros,
        messages=frozenset(),
        budget=tuple(limits[name] for name in LIMITS),
        states=tuple(State(Durable(index + 1)) for index in range(len(instance.nodes))),
        own=zeros,
        past=zeros,
        before=zeros,
        sick=frozenset(),
        broken=frozenset(),
    )


_T = TypeVar("_T")


def _put(items: tuple[_T, ...], index: int, item: _T) -> tuple[_T, ...]:
    return (*items[:index], item, *items[index + 1 :])


def successors(instance: Instance, world: World) -> Iterator[tuple[str, World]]:
    """Every (action, next state) that the model should have, the nodes' part played by the reference."""
    if world.now < instance.horizon:
        yield "Pass", world._replace(now=world.now + 1)
    for index, node in enumerate(instance.nodes):
        yield from _world_steps(instance, world, index, node)
        yield from _node_steps(instance, world, index, node)


def _spend(world: World, what: int) -> tuple[int, ...]:
    return _put(world.budget, what, world.budget[what] - 1)


def _world_steps(instance: Instance, world: World, index: int, node: str) -> Iterator[tuple[str, World]]:
    if world.budget[SHIFTS]:
        for offset in instance.offsets:
            if offset != world.off[index]:
                yield (
                    "Shift",
                    world._replace(
                        off=_put(world.off, index, offset),
                        sick=world.sick if instance.healthy(offset) else world.sick | {node},
                        budget=_spend(world, SHIFTS),
                    ),
                )


def _node_steps(instance: Instance, world: World, index: int, node: str) -> Iterator[tuple[str, World]]:
    state = world.states[index]
    wall, monotonic = instance.base + world.now + world.off[index], world.now

    def play(*events: Event) -> tuple[World, tuple[Any, ...]]:
        after: State = state
        effects: tuple[Any, ...] = ()
        for event in events:
            after, effects = instance.clock.step(after, event)
        return world._replace(states=_put(world.states, index, after)), effects

    if state.volatile is None:
        after, _ = play(Start(wall, monotonic))
        yield "Start", after._replace(before=_put(world.before, index, world.past[index]))
        return
    if world.budget[CRASHES]:
        yield "Crash", play(Crash())[0]._replace(budget=_spend(world, CRASHES))
        if state.volatile.promised is None:
            stopped, _ = play(Stop(), Persisted(), Crash())
            yield "Stop", stopped._replace(budget=_spend(world, CRASHES))
    if state.volatile.promised is not None:
        yield "Persisted", play(Persisted())[0]
    if world.budget[TICKS]:
        yield "Tick", _issue(instance, world, index, wall, *play(Tick(wall, monotonic)))
    if world.budget[EARLY]:
        after, effects = play(Reserve(wall, monotonic))
        asked = any(isinstance(effect, Persist) for effect in effects)
        yield "Reserve", after._replace(budget=_spend(world, EARLY)) if asked else after
    if world.budget[CONFIRMS] and instance.healthy(world.off[index]):
        after, _ = play(Confirm(wall, monotonic, operator=True))
        yield "Confirm", after._replace(budget=_spend(world, CONFIRMS))
    if world.budget[SENDS]:
        after, effects = play(Stamp(wall, monotonic))
        match effects:
            case (Stamped(clock=clock),):
                sent = Message(node, instance.pack(clock), world.past[index])
                after = after._replace(messages=world.messages | {sent}, budget=_spend(world, SENDS))
        yield "Send", after
    for message in world.messages:
        if message.sender != node:
            observe = Observe(
                wall, monotonic, instance.unpack(message.at), instance.nodes.index(message.sender) + 1
            )
            yield "Observe", _delivered(instance, world, index, message, *play(observe))


def _issue(
    instance: Instance, world: World, index: int, wall: int, after: World, effects: tuple[Any, ...]
) -> World:
    """The ghosts after a tick, as the model keeps them."""
    if not isinstance(effects[-1], Issued):
        return after
    timestamp = effects[-1].id.timestamp
    issued = instance.pack(timestamp)
    broken = set(world.broken)
    if issued <= world.before[index]:
        broken.add("HLC-5")
    elif issued <= world.own[index]:
        broken.add("HLC-1")
    elif issued <= world.past[index]:
        broken.add("HLC-3")
    if timestamp.ms > wall + instance.config.max_ahead_ms:
        broken.add("HLC-4 own")
    return after._replace(
        own=_put(world.own, index, issued),
        past=_put(world.past, index, max(world.past[index], issued)),
        budget=_spend(world, TICKS),
        broken=frozenset(broken),
    )


def _delivered(
    instance: Instance, world: World, index: int, message: Message, after: World, effects: tuple[Any, ...]
) -> World:
    """The ghosts after a message was merged or refused, as the model keeps them."""
    volatile = after.states[index].volatile
    assert volatile is not None
    monotonic = world.now
    wall = instance.base + world.now + world.off[index]
    match effects[-1]:
        case Merged():
            believed = instance.clock.believed(volatile, wall, monotonic)
            remote, ahead = instance.unpack(message.at), instance.config.max_ahead_ms
            before = world.states[index].volatile
            assert before is not None
            broken = set(world.broken)
            if remote.ms > believed + ahead:
                broken.add("HLC-4 remote")
            healthy = instance.nodes[index] not in world.sick
            if healthy and remote > before.last and instance.clock.successor(remote).ms > wall + ahead:
                broken.add("HLC-4 silenced")
            return after._replace(
                past=_put(world.past, index, max(world.past[index], message.past)),
                broken=frozenset(broken),
            )
        case Refused(reason=reason) if reason.value == "drift":
            right = instance.healthy(volatile.anchor - instance.base)
            wrong = message.sender not in world.sick and right
            return after._replace(broken=world.broken | {"HLC-4 healthy"} if wrong else world.broken)
    return after
