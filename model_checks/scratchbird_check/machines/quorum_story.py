"""A run of the quorum part's state machine as a trace for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from scratchbird_check.conformance.quorum_scene import effect_words
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.machines.quorum_parts import Taken
from scratchbird_check.machines.quorum_world import World
from scratchbird_check.traces import quorum as json_form
from scratchbird_check.traces.model import Arrow, Change, Kind, Step, Trace
from scratchbird_check.traces.quorum import Json
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum_messages import Answer, Held, Write

_KINDS: dict[str, Kind] = {"crash": "crash", "start": "start", "start_empty": "start", "deliver": "message"}


@dataclass(frozen=True, slots=True)
class Forms:
    """How a part tells of events, effects and states."""

    part: str
    event: Callable[[Any], Json]
    effect: Callable[[Any], Json]
    state: Callable[[Any], Json]
    words: Callable[[Sequence[Json]], str]


def tell(world: World, problem: PromiseBrokenError) -> Trace:
    """Every step of the run; the last is the wrong one."""
    lanes = (*world.names, *(f"r{name}" for name in world.replicas))
    forms = Forms("quorum", json_form.event_to_json, json_form.effect_to_json, _state, effect_words)
    return told(world, problem, lanes, forms)


def told(world: World, problem: PromiseBrokenError, lanes: tuple[str, ...], forms: Forms) -> Trace:
    """The same in the forms of any part."""
    steps = [Step(0, None, "Init", "the beginning")]
    for number, taken in enumerate(world.taken, start=1):
        steps.append(_step(number, taken, forms, wrong=number == len(world.taken)))
    config = {"setting": json_form.setting_to_json(world.plan.setting())}
    sentence = f"{problem.promise}: {problem.sentence}"
    title = "the smallest run that was found"
    return Trace(title, "Hypothesis", forms.part, lanes, tuple(steps), sentence, problem.promise, config)


def _step(number: int, taken: Taken, forms: Forms, *, wrong: bool) -> Step:
    event = forms.event(taken.event)
    effects = tuple(forms.effect(effect) for effect in taken.effects)
    before, after = forms.state(taken.before), forms.state(taken.after)
    changes = tuple(
        Change(f"{key}[{taken.lane}]", _shown(before.get(key)), _shown(after.get(key)))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    )
    arrows: tuple[Arrow, ...] = ()
    if taken.sent is not None:
        arrows = (Arrow(taken.sent.step, taken.sent.sender, _about(taken.sent.body)),)
    name = str(event["event"])
    what = f"{name} {_about(taken.sent.body)}" if taken.sent is not None else _asks(event)
    return Step(
        number,
        taken.lane,
        name.title().replace("_", ""),
        f"{what}: {forms.words(effects)}",
        changes,
        arrows,
        after,
        wrong,
        kind=_KINDS.get(name, "step"),
        event=event,
        effects=effects,
    )


def _state(state: operations.State | replicas.State) -> Json:
    if isinstance(state, operations.State):
        return json_form.coordinator_to_json(state)
    return json_form.replica_to_json(state)


def _about(message: Any) -> str:
    """A message in a few words: ``write 5 "1"``."""
    name = type(message).__name__.lower()
    if isinstance(message, Answer | Write):
        return f"{name} {_held(message.held)}"
    version = getattr(message, "version", None)
    return name if version is None else f"{name} {version:x}"


def _held(held: Held) -> str:
    return "nothing" if held.version == 0 else f"{held.version:x}={_value(held.value)}"


def _value(value: bytes | None) -> str:
    return "deleted" if value is None else value.decode()


def _asks(event: Json) -> str:
    told = ", ".join(
        f"{key} {value}" for key, value in event.items() if key in ("operation", "row", "version")
    )
    return f"{event['event']} ({told})" if told else str(event["event"])


def _shown(value: object) -> str:
    return "none" if value is None else str(value)
