"""The production core's account, floored replica and catalog behind the face of the kit.

The account keeps no values and asks its node to store what is owed: here a dictionary is the node.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from scratchbird_check.conformance.handoff_machine import EVENTS, config_from_json
from scratchbird_check.conformance.production_quorum import classes, known, made
from scratchbird_check.traces import handoff as json_form
from scratchbird_check.traces.quorum import Json, hexadecimal
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import (
    handoff_floor,
    handoff_replica,
    quorum_messages,
    quorum_operations,
    quorum_replica,
)
from scratchbird_reference.quorum_messages import Held

_OTHER_NAMES: dict[type, str] = {catalog.LostDisk: "ReplicaLostDisk", catalog.Ask: "AskFloor"}
_EFFECTS = frozenset(kind.__name__ for kind in json_form.EFFECTS.values())
"""Production has more, which make durable what is durable in the reference's state by itself."""
_REFERENCE = classes(
    account, catalog, handoff_floor, handoff_replica, quorum_replica, quorum_operations, quorum_messages
)


class ProductionHandoff:
    """One lane.

    :param module: ``scratchbird.handoff``.
    :param quorum: ``scratchbird.quorum``.
    :raises ValueError: if the configuration is wrong.
    """

    def __init__(self, module: ModuleType, quorum: ModuleType, config: Json, node_id: int) -> None:
        self._module, self._quorum = module, quorum
        read = config_from_json(config)
        self._kind = read.machine(node_id)
        setting = self._made(read.setting)
        self._values: dict[account.Key, bytes | None] = {}
        self._owed: dict[int, account.Owe] = {}
        self._stored = 0
        if self._kind == "catalog":
            founded = tuple((replica, 1) for replica in read.setting.replicas)
            self._core = module.FloorCatalog(setting, founded)
        elif self._kind == "coordinator":
            self._core = module.HintCore(setting, module.Limits(**config.get("limits", {})))
        else:
            self._core = module.FlooredReplicaCore(setting, node_id)
            self._core.step(quorum.Start())

    def step(self, event: Json) -> tuple[Json, ...]:
        """Take one step.

        :raises ValueError: if the event is malformed, or the core refuses it.
        """
        read = json_form.event_from_json(event, EVENTS[self._kind])
        effects = []
        taken = self._core.step(self._made(read))
        if isinstance(read, account.Owe):
            self._owed[read.operation] = read
        for effect in taken:
            name = type(effect).__name__
            if name == "StoreHints":
                owe = self._owed[effect.operation]
                held = owe.intent.held
                self._store(owe.shard, owe.intent.row, held.version, held.value, effect.targets)
            elif name == "CopyHint":
                hint = effect.hint
                value = self._value(hint.row, hint.version)
                self._store(hint.shard, hint.row, hint.version, value, effect.targets)
            elif name == "SendHint":
                effects.append(account.SendHint(self._hint(effect.hint)))
            elif name in _EFFECTS:
                effects.append(known(effect, _REFERENCE))
        return json_form.effects_to_json(tuple(effects))

    def state(self) -> Json:
        """The state, in the form of ``spec/trace.schema.json``."""
        state: Json = self._core.state()
        if self._kind == "coordinator":
            state["hints"] = [self._with_value(hint) for hint in state["hints"]]
        return state

    def _made(self, value: Any) -> Any:
        def kind_of(kind: type) -> Any:
            name = _OTHER_NAMES.get(kind, kind.__name__)
            mine = kind.__module__.rpartition(".")[2].startswith("handoff")
            ours = self._module if mine and hasattr(self._module, name) else self._quorum
            return getattr(ours, name)

        return made(value, kind_of)

    def _store(
        self, shard: int, row: int, version: int, value: bytes | None, targets: tuple[int, ...]
    ) -> None:
        """The node stores a hint for each target, one after another, and says where."""
        for target in targets:
            self._stored += 1
            self._values[target, row, version] = value
            self._core.located(target, shard, row, version, self._stored)

    def _value(self, row: int, version: int) -> bytes | None:
        """Of a hint that is copied."""
        return next(value for key, value in self._values.items() if key[1:] == (row, version))

    def _hint(self, hint: Any) -> account.Hint:
        held = Held(hint.version, self._values[hint.target, hint.row, hint.version])
        return account.Hint(hint.target, hint.shard, hint.row, held, hint.since_ns)

    def _with_value(self, hint: Json) -> Json:
        key = hint["target"], int(hint["row"], 16), int(hint["version"], 16)
        value = self._values[key]
        held = {"version": hexadecimal(key[2]), "value": None if value is None else value.hex()}
        return {name: hint[name] for name in ("target", "shard", "row", "since_ns")} | {"held": held}
