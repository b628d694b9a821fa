"""The production core's coordinator and replica behind the face of the kit.

Events are read as for the reference and made anew with the production core's classes, which have the same
names and fields; effects go the other way. What is out of range is left for the production core to refuse;
what is no event at all, and a setting that no rule allows, is refused as it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any

from scratchbird_check.conformance.quorum_machine import check_delivery, config_from_json
from scratchbird_check.traces import quorum as json_form
from scratchbird_check.traces.quorum import Json
from scratchbird_reference import quorum_messages, quorum_operations, quorum_replica


class ProductionQuorum:
    """One lane.

    :param module: ``scratchbird.quorum``.
    :raises ValueError: if the configuration is wrong.
    """

    def __init__(self, module: ModuleType, config: Json, node_id: int) -> None:
        self._module = module
        coordinators = config.get("coordinators", [])
        self._is_replica = node_id not in coordinators
        if self._is_replica:
            self._core = module.ReplicaCore(node_id)
        else:
            given = dict(config["setting"])
            mode = given.pop("mode", "linearizable")
            self._core = module.CoordinatorCore(module.Setting(**given, mode=module.Mode(mode)))
            config_from_json(config)
        self._core.step(module.Start())

    def step(self, event: Json) -> tuple[Json, ...]:
        """Take one step.

        :raises ValueError: if the event is malformed, or the core refuses it.
        """
        events = json_form.REPLICA_EVENTS if self._is_replica else json_form.COORDINATOR_EVENTS
        read = json_form.event_from_json(event, events)
        if isinstance(read, quorum_operations.Deliver):
            check_delivery(read)
        effects = self._core.step(made(read, lambda kind: getattr(self._module, kind.__name__)))
        return json_form.effects_to_json(tuple(known(effect, _REFERENCE) for effect in effects))

    def state(self) -> Json:
        """The state, in the form of ``spec/trace.schema.json``."""
        state: Json = self._core.state()
        return state


def made(value: Any, kind_of: Callable[[type], Any]) -> Any:
    """The same with the production core's classes.

    :param kind_of: the production core's class for one of the reference's.
    """
    if is_dataclass(value):
        kind = kind_of(type(value))
        return kind(**{item.name: made(getattr(value, item.name), kind_of) for item in fields(value)})
    if isinstance(value, Enum):
        return kind_of(type(value))(value.value)
    if isinstance(value, tuple | frozenset):
        return type(value)(made(item, kind_of) for item in value)
    return value


def known(value: Any, kinds: Mapping[str, Any]) -> Any:
    """The same with the reference's classes.

    :param kinds: these, by name.
    """
    if isinstance(value, Enum):
        return kinds[type(value).__name__](value.value)
    if isinstance(value, tuple | frozenset):
        return type(value)(known(item, kinds) for item in value)
    kind = kinds.get(type(value).__name__)
    if kind is None:
        return value
    return kind(**{item.name: known(getattr(value, item.name), kinds) for item in fields(kind)})


def classes(*modules: ModuleType) -> dict[str, Any]:
    """The reference's classes by name; of one name that of the last module."""
    return {
        name: item
        for module in modules
        for name, item in vars(module).items()
        if isinstance(item, type) and (is_dataclass(item) or issubclass(item, Enum))
    }


_REFERENCE = classes(quorum_messages, quorum_operations, quorum_replica)
