"""The handoff part's three machines behind the kit's one face: JSON events in, JSON effects and state out.

A lane of a trace is the account of a coordinator if the configuration names it under ``coordinators``, the
catalog if it names it so, and otherwise the replica with the lane's number: a founding member in incarnation
1, without a floor. All of them have ``setting``, and every account has ``limits``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from scratchbird_check.conformance.quorum_machine import MAJORITY, lanes
from scratchbird_check.traces import handoff as json_form
from scratchbird_check.traces.quorum import Json, setting_from_json
from scratchbird_check.variants.handoff import RIGHT, Variant
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import handoff_replica as replica
from scratchbird_reference.handoff import Limits
from scratchbird_reference.quorum_messages import Setting

CATALOG = 21
"""The lane of the catalog, if the configuration names no other."""
KEYS = ("setting", "limits", "coordinators", "catalog")


@dataclass(frozen=True, slots=True)
class Config:
    """Who is what in a run."""

    setting: Setting
    limits: Limits
    coordinators: tuple[int, ...]
    catalog: int

    def machine(self, node_id: int) -> str:
        """What this lane is."""
        if node_id == self.catalog:
            return "catalog"
        return "coordinator" if node_id in self.coordinators else "replica"


def config_from_json(value: Mapping[str, Any]) -> Config:
    """Read a configuration; the keys that are left out are those of one coordinator 11 and a majority of 3.

    :raises ValueError: naming the key, the setting or the limit that is wrong.
    """
    if surplus := sorted(set(value) - set(KEYS)):
        raise ValueError(f"unknown setting {surplus[0]!r}: part handoff has {', '.join(KEYS)}")
    limits = value.get("limits", {})
    known = [item.name for item in fields(Limits)]
    if not isinstance(limits, dict) or set(limits) - set(known):
        raise ValueError(f"limits {limits!r}: expected an object; the limits are {', '.join(known)}")
    (at,) = lanes([value.get("catalog", CATALOG)], "catalog")
    return Config(
        setting_from_json(value.get("setting", MAJORITY)),
        Limits(**limits),
        lanes(value.get("coordinators", [11]), "coordinators"),
        at,
    )


def limits_to_json(limits: Limits) -> Json:
    """All of them by name."""
    return {item.name: getattr(limits, item.name) for item in fields(Limits)}


class HandoffMachine:
    """One lane.

    :raises ValueError: if the configuration is wrong.
    """

    def __init__(self, config: Mapping[str, Any], node_id: int, variant: Variant = RIGHT) -> None:
        read = config_from_json(config)
        self._kind = read.machine(node_id)
        self._machine: Any
        self._state: Any
        if self._kind == "catalog":
            self._machine = variant.catalog
            self._state = catalog.State(
                read.setting, tuple((one, 1) for one in sorted(read.setting.replicas))
            )
        elif self._kind == "coordinator":
            self._machine = variant.keeper
            self._state = account.State(read.setting, limits=read.limits)
        else:
            self._machine = variant.floored
            self._state = replica.first_state(node_id, read.setting)

    def step(self, event: Json) -> tuple[Json, ...]:
        """Take one step.

        :raises ValueError: if the event is malformed, or impossible in this state, which is then unchanged.
        """
        read = json_form.event_from_json(event, EVENTS[self._kind])
        self._state, effects = self._machine.step(self._state, read)
        return json_form.effects_to_json(effects)

    def state(self) -> Json:
        """The state, in the form of ``spec/trace.schema.json``."""
        state: Json = STATES[self._kind](self._state)
        return state


EVENTS = {
    "coordinator": json_form.HINTS_EVENTS,
    "replica": json_form.REPLICA_EVENTS,
    "catalog": json_form.CATALOG_EVENTS,
}
STATES: dict[str, Any] = {
    "coordinator": json_form.hints_to_json,
    "replica": json_form.replica_to_json,
    "catalog": json_form.catalog_to_json,
}
