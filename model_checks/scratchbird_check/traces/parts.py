"""From the states of a model to a trace for people, by the part's own story where it has one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scratchbird_check.traces import handoff_story
from scratchbird_check.traces.hlc_story import tell_hlc
from scratchbird_check.traces.merkle_forest_story import tell_merkle_forest
from scratchbird_check.traces.model import Behaviour, Change, Step, Trace, finish
from scratchbird_check.traces.quorum_story import tell_quorum
from scratchbird_check.traces.tla_values import format_value

Teller = Callable[[Behaviour, Mapping[str, Any]], Trace]


def _tell_handoff(behaviour: Behaviour, constants: Mapping[str, Any]) -> Trace:
    """The part has several models; one of them has a story."""
    fits = handoff_story.fits(behaviour)
    return (handoff_story.tell_handoff if fits else _tell_plainly)(behaviour, constants)


STORIES: Mapping[str, Teller] = {
    "hlc": tell_hlc,
    "quorum": tell_quorum,
    "handoff": _tell_handoff,
    "merkle_forest": tell_merkle_forest,
}
"""From a part's stem to its story; the other parts are told variable by variable."""


def tell(behaviour: Behaviour, constants: Mapping[str, Any] | None = None) -> Trace:
    """The behaviour as a trace: who did what in each step, what changed, which messages arrived.

    :param constants: of the model, by name; a story says which it needs.
    :raises ValueError: if a state lacks a variable, or a constant is missing.
    """
    return STORIES.get(behaviour.part, _tell_plainly)(behaviour, constants or {})


def _tell_plainly(behaviour: Behaviour, constants: Mapping[str, Any]) -> Trace:
    steps: list[Step] = []
    for number, taken in enumerate(behaviour.states):
        before = behaviour.states[number - 1].state if number else taken.state
        changes = changed(before, taken.state)
        label = "the beginning" if number == 0 else taken.action or "a step"
        lane = taken.node or None
        steps.append(Step(number, lane, taken.action or "Next", label, changes, state=taken.state))
    return finish(behaviour, steps, ())


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs, variable by variable; entry by entry where it is a function."""
    found: list[Change] = []
    for name, new in after.items():
        old = before.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys():
            found += [
                Change(f"{name}[{key}]", format_value(old[key]), format_value(new[key]))
                for key in new
                if old[key] != new[key]
            ]
        else:
            found.append(Change(name, "none" if old is None else format_value(old), format_value(new)))
    return tuple(found)
