"""A run of the handoff part's state machine as a trace for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scratchbird_check.conformance import handoff_scene, quorum_scene
from scratchbird_check.machines.handoff_world import CATALOG, World
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.machines.quorum_story import Forms, told
from scratchbird_check.traces import handoff, quorum
from scratchbird_check.traces.model import Trace
from scratchbird_check.traces.quorum import Json
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import quorum_operations as operations

_OF_COORDINATORS = tuple(quorum.COORDINATOR_EVENTS.values())
_OWN = (operations.Stamp, operations.StoreIntent, operations.Reply)


def tell(world: World, problem: PromiseBrokenError) -> Trace:
    """Every step of the run; the last is the wrong one."""
    names = list(dict.fromkeys(world.names))
    accounts = [f"h{name[1:]}" for name in names]
    lanes = (*names, *accounts, *(f"r{name}" for name in world.replicas), CATALOG)
    return told(world, problem, lanes, Forms("handoff", _event, _effect, _state, _words))


def _event(event: Any) -> Json:
    if isinstance(event, _OF_COORDINATORS):
        return quorum.event_to_json(event)
    return handoff.event_to_json(event)


def _effect(effect: Any) -> Json:
    return quorum.effect_to_json(effect) if isinstance(effect, _OWN) else handoff.effect_to_json(effect)


def _state(state: Any) -> Json:
    if isinstance(state, operations.State):
        return quorum.coordinator_to_json(state)
    if isinstance(state, account.State):
        return handoff.hints_to_json(state)
    return (
        handoff.catalog_to_json(state) if isinstance(state, catalog.State) else handoff.replica_to_json(state)
    )


def _words(effects: Sequence[Json]) -> str:
    """A coordinator's effects in the words of part quorum, all others in those of part handoff."""
    own = [effect for effect in effects if effect["effect"] in ("stamp", "store_intent", "reply")]
    others = [effect for effect in effects if effect not in own]
    said = [quorum_scene.effect_words(own)] * bool(own) + [handoff_scene.effect_words(others)] * bool(others)
    return " + ".join(said) or "nothing"
