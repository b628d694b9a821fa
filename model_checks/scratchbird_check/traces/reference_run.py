"""Runs of the reference clock, or of a variant of it, as traces for people.

A run is a list of moves: an event at a node, and which message it sends or receives. The clock that a message
carries is whatever the rules under test stamped it with, so one list of moves tells both how a wrong rule
breaks its promise and how the right one keeps it. Beside the run the promises are judged as ``spec/hlc.tla``
does it, on what can be seen from outside: the ids that were issued, and which happened before which.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scratchbird_check.traces import hlc as json_form
from scratchbird_check.traces import hlc_words as words
from scratchbird_check.traces.hlc_effects import tell
from scratchbird_check.traces.model import Arrow, Change, Step, Trace
from scratchbird_check.traces.tla_values import frozen
from scratchbird_reference.hlc import (
    ZERO,
    Config,
    Deferred,
    Durable,
    Effects,
    Event,
    HybridLogicalClock,
    Issued,
    Merged,
    Observe,
    Persist,
    Persisted,
    Reason,
    Refused,
    Stamped,
    Start,
    State,
    Tick,
)
from scratchbird_reference.uuid8 import Timestamp


@dataclass(frozen=True, slots=True)
class Move:
    """One event at one node."""

    node: int
    event: Event
    sends: str = ""
    """A name for the message that carries the clock which this :class:`Stamp` gives."""
    receives: str = ""
    """The message that this :class:`Observe` merges; it replaces the event's remote clock and sender."""
    setup: bool = False
    """Whether it only sets the scene."""


@dataclass(frozen=True, slots=True)
class Message:
    clock: Timestamp
    past: Timestamp
    """The greatest id that happened before the message."""
    sender: int
    step: int


@dataclass(frozen=True, slots=True)
class Broken:
    """A promise that a step broke."""

    promise: str
    sentence: str


@dataclass(slots=True)
class Watch:
    """What an onlooker knows of one node: the ghost variables of ``spec/hlc.tla``."""

    own: Timestamp = ZERO
    past: Timestamp = ZERO
    before: Timestamp = ZERO
    offset: int | None = None
    sick: bool = False


class Run:
    """The stage on which moves are played; use :func:`play`."""

    def __init__(
        self,
        config: Config,
        rules: Callable[[int], HybridLogicalClock],
        nodes: Sequence[int],
        base: int,
        promise: str = "",
    ) -> None:
        self.config = config
        self.rules = rules
        self.base = base
        self.promise = promise
        self.now = 0
        self.states = {node: State(Durable(node)) for node in nodes}
        self.watched = {node: Watch() for node in nodes}
        self.messages: dict[str, Message] = {}
        self.steps: list[Step] = []
        self.broken: list[Broken] = []
        self._add(Step(0, None, "Init", "the beginning"))

    # --- playing ------------------------------------------------------------------------------------------

    def move(self, move: Move) -> None:
        """Play a move, and whatever it takes until its event is decided: a bound is written at once."""
        event, message = move.event, None
        if move.receives:
            message = self.messages.get(move.receives)
            if message is None or not isinstance(event, Observe):
                return  # It was never sent: the rules under test held it back.
            event = replace(event, remote=message.clock, sender=message.sender)
        self._notice_clocks(move.node, event, move.setup)
        effects = self._step(replace(move, event=event), message)
        if any(isinstance(effect, Persist) for effect in effects) and not self.broken:
            self._step(Move(move.node, Persisted(), setup=move.setup), None)
            if any(isinstance(effect, Deferred) for effect in effects):
                self._step(replace(move, event=event), message)

    def _step(self, move: Move, message: Message | None) -> Effects:
        before = self.states[move.node]
        after, effects = self.rules(move.node).step(before, move.event)
        self.states[move.node] = after
        number = len(self.steps)
        broken = self._judge(move, before, effects, message)
        if move.sends:
            for effect in effects:
                if isinstance(effect, Stamped):
                    past = self.watched[move.node].past
                    self.messages[move.sends] = Message(effect.clock, past, move.node, number)
        told = tell(self.config, move.event, before, after, effects)
        arrows: tuple[Arrow, ...] = ()
        if message is not None:
            arrows = (Arrow(message.step, lane(message.sender), words.show(message.clock)),)
        self._add(
            Step(
                number,
                lane(move.node),
                type(move.event).__name__,
                told.label,
                tuple(_changes(lane(move.node), before, after)),
                arrows,
                wrong=bool(broken),
                mark=told.mark,
                kind=told.kind,
                setup=move.setup,
                event=json_form.event_to_json(move.event),
                effects=tuple(json_form.effect_to_json(effect) for effect in effects),
            )
        )
        self.broken += broken
        return effects

    def _notice_clocks(self, node: int, event: Event, setup: bool) -> None:
        """Draw time that passed, and a wall clock that was moved since the node last read it."""
        wall, monotonic = getattr(event, "wall", None), getattr(event, "monotonic", None)
        if wall is None or monotonic is None:
            return
        if monotonic > self.now:
            change = Change("true time", str(self.base + self.now), str(self.base + monotonic))
            label = words.passes(monotonic - self.now)
            self._add(Step(len(self.steps), None, "Pass", label, (change,), setup=setup))
            self.now = monotonic
        watch, offset = self.watched[node], wall - monotonic
        # Forward within the skew is how a wall clock runs; every step back is worth a look.
        if watch.offset is not None and not 0 <= offset - watch.offset <= self.config.max_skew_ms:
            before = monotonic + watch.offset
            label = words.moves_wall(before, wall)
            change = Change(f"wall clock[{lane(node)}]", str(before), str(wall))
            step = Step(len(self.steps), lane(node), "Shift", label, (change,), kind="clock", setup=setup)
            self._add(replace(step, mark=f"wall {wall}"))
        watch.offset = offset
        watch.sick |= not 0 <= offset - self.base <= self.config.max_skew_ms

    def _add(self, step: Step) -> None:
        down = tuple(lane(node) for node, state in self.states.items() if state.volatile is None)
        state = {lane(node): frozen(json_form.state_to_json(state)) for node, state in self.states.items()}
        self.steps.append(replace(step, down=down, state=state))

    # --- judging ------------------------------------------------------------------------------------------

    def _judge(self, move: Move, before: State, effects: Effects, message: Message | None) -> list[Broken]:
        broken: list[Broken] = []
        watch, event = self.watched[move.node], move.event
        if isinstance(event, Start):
            watch.before = watch.past
        for effect in effects:
            if isinstance(effect, Issued) and isinstance(event, Tick):
                broken += self._issued(move.node, effect.id.timestamp, event.wall)
            elif isinstance(effect, Merged) and isinstance(event, Observe):
                broken += self._merged(move.node, event, before)
                if message is not None:
                    watch.past = max(watch.past, message.past)
            elif isinstance(effect, Refused) and isinstance(event, Observe) and effect.reason is Reason.DRIFT:
                broken += self._refused(move.node, event, before)
            elif isinstance(effect, Persist) and (monotonic := getattr(event, "monotonic", None)) is not None:
                broken += self._reserved(move.node, effect.bound, monotonic)
        return [item for item in broken if self.promise in ("", item.promise)]

    def _issued(self, node: int, issued: Timestamp, wall: int) -> list[Broken]:
        watch, name, broken = self.watched[node], lane(node), []
        if issued <= watch.before:
            broken.append(Broken("HLC-5", words.below_before_restart(name, issued, watch.before)))
        elif issued <= watch.own:
            broken.append(Broken("HLC-1", words.went_back(name, issued, watch.own)))
        elif issued <= watch.past:
            broken.append(Broken("HLC-3", words.below_its_past(name, issued, watch.past)))
        if issued.ms > wall + self.config.max_ahead_ms:
            sentence = words.too_far_ahead(name, issued, wall, self.config.max_ahead_ms)
            broken.append(Broken("HLC-4 own", sentence))
        watch.own, watch.past = issued, max(watch.past, issued)
        return broken

    def _merged(self, node: int, event: Observe, before: State) -> list[Broken]:
        broken, believed = [], self._believed(before, event)
        ahead, drift = self.config.max_ahead_ms, self.config.max_drift_ms
        name, sender = lane(node), lane(event.sender)
        if event.remote.ms > believed + ahead:
            sentence = words.merged_too_early(name, event.remote, sender, believed, ahead, drift)
            broken.append(Broken("HLC-4 remote", sentence))
        moved = before.volatile is not None and event.remote > before.volatile.last
        tick = HybridLogicalClock(self.config).successor(event.remote)
        if moved and not self.watched[node].sick and tick.ms > event.wall + ahead:
            sentence = words.silenced(name, event.remote, sender, tick, event.wall)
            broken.append(Broken("HLC-4 silenced", sentence))
        return broken

    def _refused(self, node: int, event: Observe, before: State) -> list[Broken]:
        by = self.watched.get(event.sender)  # Of a sender that is not on stage nothing is known.
        if by is None or by.sick or before.volatile is None:
            return []
        if not 0 <= before.volatile.anchor - self.base <= self.config.max_skew_ms:
            return []
        name, sender, drift = lane(node), lane(event.sender), self.config.max_drift_ms
        if self.watched[node].sick:
            sentence = words.deaf_after_set_back(name, event.remote, sender, event.wall)
        else:
            believed = self._believed(before, event)
            sentence = words.refused_healthy(name, event.remote, sender, believed, drift)
        return [Broken("HLC-4 healthy", sentence)]

    def _reserved(self, node: int, bound: Timestamp, monotonic: int) -> list[Broken]:
        config, highest = self.config, self.base + monotonic + self.config.max_skew_ms
        allowed = config.max_ahead_ms + config.reserve_ms
        if self.watched[node].sick or bound.ms <= highest + allowed:
            return []
        return [Broken("HLC-5 bound", words.bound_too_far(lane(node), bound, highest, allowed))]

    def _believed(self, before: State, event: Observe) -> int:
        if before.volatile is None:
            return event.wall
        return HybridLogicalClock(self.config).believed(before.volatile, event.wall, event.monotonic)


def play(
    moves: Sequence[Move],
    *,
    config: Config,
    rules: Callable[[int], HybridLogicalClock],
    base: int,
    title: str,
    engine: str = "reference",
    promise: str = "",
    good: str = "",
) -> Trace:
    """Play moves until a promise is broken, or to their end.

    :param rules: the rules by which a node goes, from its id.
    :param base: the right wall clock when the monotonic clocks stand at 0, in ms; the monotonic clock of
        every move is true time.
    :param promise: judge this promise alone; all of them if it is empty.
    :param good: the trace's verdict if nothing is broken.
    :raises CallerError: if a move is impossible where it stands, such as a tick of a node that is down.
    """
    nodes = sorted({move.node for move in moves})
    run = Run(config, rules, nodes, base, promise)
    for move in moves:
        run.move(move)
        if run.broken:
            break
    first = run.broken[0] if run.broken else Broken("", good)
    return Trace(
        title=title,
        engine=engine,
        part="hlc",
        lanes=tuple(lane(node) for node in nodes),
        steps=tuple(run.steps),
        verdict=first.sentence,
        promise=first.promise,
        config=json_form.config_to_json(config),
    )


def lane(node: int) -> str:
    """``n1``: the lane of node id 1."""
    return f"n{node}"


def _changes(name: str, before: State, after: State) -> list[Change]:
    """What changed, as far as a reader wants to know it: not what is implied by going down or coming up."""
    changes: list[Change] = []
    old, new = before.volatile, after.volatile
    if before.durable.node_id != after.durable.node_id:
        changes.append(Change(f"node id[{name}]", str(before.durable.node_id), str(after.durable.node_id)))
    if before.durable.bound != after.durable.bound:
        changes.append(
            Change(f"bound[{name}]", words.show(before.durable.bound), words.show(after.durable.bound))
        )
    if (old is None) != (new is None):
        changes.append(Change(f"up[{name}]", "no" if old is None else "yes", "no" if new is None else "yes"))
    if old is not None and new is not None:
        for item, shown in (
            ("last", words.show),
            ("promised", lambda value: "none" if value is None else words.show(value)),
            ("anchor", str),
            ("suspended", _yes),
            ("stopping", _yes),
        ):
            one, two = getattr(old, item), getattr(new, item)
            if one != two:
                changes.append(Change(f"{item}[{name}]", shown(one), shown(two)))
    return changes


def _yes(value: bool) -> str:
    return "yes" if value else "no"
