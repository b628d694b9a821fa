"""The quorum part's two machines behind the one face of the kit: JSON events in, JSON effects and state out.

A lane of a trace is a coordinator if the configuration names it under ``coordinators``, and otherwise the
replica with the lane's number, a founding member in incarnation 1. Every coordinator begins with ``setting``.
All of them are up at the beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchbird_check.traces import quorum as json_form
from scratchbird_check.traces.quorum import Json
from scratchbird_check.variants.quorum import RIGHT, Variant
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replica
from scratchbird_reference.quorum_messages import Acknowledgement, Answer, OldEpoch, Setting

MAJORITY: Json = {
    "replicas": [1, 2, 3],
    "write_quorum": 2,
    "read_quorum": 2,
    "mode": "linearizable",
    "epoch": 0,
}


@dataclass(frozen=True, slots=True)
class Config:
    """Who is what in a run."""

    setting: Setting
    coordinators: tuple[int, ...]


def config_from_json(value: Mapping[str, Any]) -> Config:
    """Read a configuration; the keys that are left out are those of one coordinator 11 and a majority of 3.

    :raises ValueError: naming the key or the setting that is wrong.
    """
    if surplus := sorted(set(value) - {"setting", "coordinators"}):
        raise ValueError(f"unknown setting {surplus[0]!r}: part quorum has setting and coordinators")
    coordinators = lanes(value.get("coordinators", [11]), "coordinators")
    return Config(json_form.setting_from_json(value.get("setting", MAJORITY)), coordinators)


def lanes(value: Any, name: str) -> tuple[int, ...]:
    """The lanes that a configuration names.

    :raises ValueError: if they are none.
    """
    if not isinstance(value, list) or not all(
        isinstance(item, int) and not isinstance(item, bool) for item in value
    ):
        raise ValueError(f"{name} {value!r}: expected a list of lanes")
    return tuple(value)


class QuorumMachine:
    """One lane.

    :raises ValueError: if the configuration is wrong.
    """

    def __init__(self, config: Mapping[str, Any], node_id: int, variant: Variant = RIGHT) -> None:
        read = config_from_json(config)
        self._variant = variant
        self._replica: replica.State | None = None
        self._coordinator: operations.State | None = None
        if node_id in read.coordinators:
            self._coordinator = operations.State(read.setting)
        else:
            self._replica = replica.first_state(node_id)

    def step(self, event: Json) -> tuple[Json, ...]:
        """Take one step.

        :raises ValueError: if the event is malformed, or impossible in this state, which is then unchanged.
        """
        if self._replica is not None:
            read = json_form.event_from_json(event, json_form.REPLICA_EVENTS)
            self._replica, sends = self._variant.replica.step(self._replica, read)
            return json_form.effects_to_json(sends)
        assert self._coordinator is not None
        read = json_form.event_from_json(event, json_form.COORDINATOR_EVENTS)
        if isinstance(read, operations.Deliver):
            check_delivery(read)
        self._coordinator, effects = self._variant.coordinator.step(self._coordinator, read)
        return json_form.effects_to_json(effects)

    def state(self) -> Json:
        """The state, in the form of ``spec/trace.schema.json``."""
        if self._replica is not None:
            return json_form.replica_to_json(self._replica)
        assert self._coordinator is not None
        return json_form.coordinator_to_json(self._coordinator)


def check_delivery(event: operations.Deliver) -> None:
    """What the reference's types say already, and JSON does not."""
    if event.sender is None:
        raise ValueError("a message to a coordinator comes from a replica: sender is missing")
    if not isinstance(event.message, Answer | Acknowledgement | OldEpoch):
        raise ValueError(f"{type(event.message).__name__} is a message to a replica, not to a coordinator")
