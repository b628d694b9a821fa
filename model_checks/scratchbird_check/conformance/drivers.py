"""One implementation under test, as an object: whatever it is written in, it takes events and gives answers.

Everything crosses this line as JSON values in the forms of ``spec/trace.schema.json``, so that the
reference, the production code, a deliberately wrong variant and a foreign process are driven and compared by
the same code.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Protocol

from scratchbird_check.conformance.handoff_machine import HandoffMachine, limits_to_json
from scratchbird_check.conformance.handoff_machine import config_from_json as handoff_config_from_json
from scratchbird_check.conformance.merkle_forest_machine import MerkleForestMachine
from scratchbird_check.conformance.merkle_forest_machine import (
    config_from_json as forest_config_from_json,
)
from scratchbird_check.conformance.merkle_forest_machine import machine_from_hello as forest_from_hello
from scratchbird_check.conformance.merkle_forest_machine import machine_to_hello as forest_to_hello
from scratchbird_check.conformance.parts import PARTS
from scratchbird_check.conformance.production_handoff import ProductionHandoff
from scratchbird_check.conformance.production_merkle_forest import ProductionMerkleForest
from scratchbird_check.conformance.production_quorum import ProductionQuorum
from scratchbird_check.conformance.quorum_machine import QuorumMachine
from scratchbird_check.conformance.quorum_machine import config_from_json as quorum_config_from_json
from scratchbird_check.traces import hlc, uuid8
from scratchbird_check.traces.hlc import Json
from scratchbird_check.traces.quorum import setting_to_json
from scratchbird_check.variants import handoff as handoff_variants
from scratchbird_check.variants import merkle_forest as forest_variants
from scratchbird_check.variants.quorum import RIGHT, Variant
from scratchbird_reference.hlc import Config, Durable, HybridLogicalClock, State
from scratchbird_reference.uuid8 import MAX_COUNTER, Timestamp


@dataclass(frozen=True, slots=True)
class Hello:
    """What a fresh implementation is told before the first event."""

    part: str
    config: Json = field(default_factory=dict)
    """The settings of the part; the ones left out have their defaults. Part ``uuid8`` has none.

    Of parts ``quorum``, ``handoff`` and ``merkle_forest`` they are those of the whole run, and say which
    machine ``node_id`` is (:mod:`scratchbird_check.conformance.quorum_machine` and so on).
    """
    node_id: int = 1
    bound: tuple[int, int] = (0, 0)
    """The durable bound that the node finds, ``(ms, counter)``. The node is down."""

    def to_json(self) -> Json:
        if self.part == "uuid8":
            return {"part": self.part}
        if self.part == "quorum":
            return {"part": self.part, **self._machine()}
        if self.part == "handoff":
            return {"part": self.part, **self._handoff_machine()}
        if self.part == "merkle_forest":
            return {"part": self.part, **forest_to_hello(self.config, self.node_id)}
        return {
            "part": self.part,
            "config": self.config,
            "node_id": self.node_id,
            "bound": list(self.bound),
        }

    @classmethod
    def from_json(cls, value: Json) -> Hello:
        """The hello that stands in a line of the protocol; ``ValueError`` that names what is wrong."""
        if not isinstance(value, dict) or not isinstance(value.get("part"), str):
            raise ValueError(f"hello {value!r}: expected an object with a part, one of {', '.join(PARTS)}")
        part, node = value["part"], value.get("node_id", 1)
        if part == "handoff":
            return cls(part, _handoff_config(value, node), node)
        if part == "merkle_forest":
            return cls(part, forest_from_hello(value, node), node)
        if part != "quorum":
            return cls(part, value.get("config", {}), node, tuple(value.get("bound", (0, 0))))
        if value.get("machine") == "replica":
            return cls(part, {"coordinators": []}, node)
        if value.get("machine") != "coordinator" or "setting" not in value:
            raise ValueError(f"hello {value!r}: expected machine replica, or coordinator with a setting")
        return cls(part, {"coordinators": [node], "setting": value["setting"]}, node)

    def _machine(self) -> Json:
        try:
            config = quorum_config_from_json(self.config)
            setting = setting_to_json(config.setting)
        except ValueError:  # It goes out as it is: that the other side refuses it is what is asked.
            setting = self.config["setting"]
        else:
            if self.node_id not in config.coordinators:
                return {"machine": "replica", "node_id": self.node_id}
        return {"machine": "coordinator", "node_id": self.node_id, "setting": setting}

    def _handoff_machine(self) -> Json:
        known: Json = {"setting": self.config.get("setting"), "limits": self.config.get("limits", {})}
        machine = "coordinator"
        try:
            config = handoff_config_from_json(self.config)
        except ValueError:  # As above.
            pass
        else:
            machine = config.machine(self.node_id)
            known = {"setting": setting_to_json(config.setting), "limits": limits_to_json(config.limits)}
        if machine != "coordinator":
            del known["limits"]
        return {"machine": machine, "node_id": self.node_id, **known}

    def state(self) -> Json:
        """The state of the fresh implementation."""
        if self.part == "uuid8":
            return {}
        if self.part == "quorum":
            return QuorumMachine(self.config, self.node_id).state()
        if self.part == "handoff":
            return HandoffMachine(self.config, self.node_id).state()
        if self.part == "merkle_forest":
            return MerkleForestMachine(self.config, self.node_id).state()
        return {"up": False, "node_id": self.node_id, "bound": list(self.bound), "retired": []}


def _handoff_config(value: Json, node: int) -> Json:
    """What a hello of part handoff says of one machine, as a configuration in which it is that."""
    machine = value.get("machine")
    if machine not in ("coordinator", "replica", "catalog") or "setting" not in value:
        raise ValueError(f"hello {value!r}: expected machine coordinator, replica or catalog, with a setting")
    return {
        "setting": value["setting"],
        "limits": value.get("limits", {}),
        "coordinators": [node] if machine == "coordinator" else [],
        "catalog": node if machine == "catalog" else 0,
    }


@dataclass(frozen=True, slots=True)
class Answer:
    """What an implementation says to one event. After an error the state is as it was before."""

    effects: tuple[Json, ...]
    state: Json
    error: str = ""
    """Why the event is impossible or malformed, in words; empty if it is neither. The words are free."""

    def to_json(self) -> Json:
        outcome: Json = {"error": self.error} if self.error else {"effects": list(self.effects)}
        return {**outcome, "state": self.state}


class HelloRefusedError(Exception):
    """The implementation says that the hello is wrong: a configuration that contradicts itself."""


class DeclinedError(Exception):
    """The implementation says that it does not do what the hello asks for."""


class ImplementationError(Exception):
    """The implementation crashed, hung or did not keep to the protocol."""


class MissingImplementationError(Exception):
    """The implementation cannot be had here; the message says what to do."""


class Driver(Protocol):
    """One clock, one coordinator or one replica under test."""

    name: str

    def hello(self, hello: Hello) -> None:
        """Forget everything and begin anew.

        :raises HelloRefusedError: if the configuration is wrong.
        :raises DeclinedError: if the implementation cannot be asked this.
        """

    def step(self, event: Json) -> Answer:
        """Take one event."""

    def close(self) -> None:
        """Let go of everything. The driver is not used again."""


def config_from_json(value: Mapping[str, Any]) -> Config:
    """Read a configuration; ``ValueError`` that names the unknown or contradictory setting."""
    known = dict.fromkeys(Config.__dataclass_fields__)
    if surplus := sorted(set(value) - set(known)):
        raise ValueError(f"unknown setting {surplus[0]!r}: the settings are {', '.join(known)}")
    return Config(**value)


class ReferenceDriver:
    """The reference, or a variant: of the clock by its class, of other parts by a variant's machines."""

    def __init__(
        self,
        rules: type[HybridLogicalClock] = HybridLogicalClock,
        quorums: Variant = RIGHT,
        handoff: handoff_variants.Variant = handoff_variants.RIGHT,
        forests: forest_variants.Variant = forest_variants.RIGHT,
    ) -> None:
        right = quorums is RIGHT and handoff is handoff_variants.RIGHT and forests is forest_variants.RIGHT
        self.name = "variant" if not right else "reference"
        if rules is not HybridLogicalClock:
            self.name = rules.__name__
        self._quorums = quorums
        self._handoff = handoff
        self._forests = forests
        self._machine: QuorumMachine | HandoffMachine | MerkleForestMachine | None = None
        self._kind = rules
        self._part = ""
        self._rules = rules(Config())
        self._state = State(Durable(1))

    def hello(self, hello: Hello) -> None:
        if hello.part not in PARTS:
            raise HelloRefusedError(f"unknown part {hello.part!r}: the parts are {', '.join(PARTS)}")
        try:
            self._machine = None
            if hello.part == "quorum":
                self._machine = QuorumMachine(hello.config, hello.node_id, self._quorums)
                return
            if hello.part == "handoff":
                self._machine = HandoffMachine(hello.config, hello.node_id, self._handoff)
                return
            if hello.part == "merkle_forest":
                self._machine = MerkleForestMachine(hello.config, hello.node_id, self._forests)
                return
            self._rules = self._kind(config_from_json(hello.config))
            self._state = State(Durable(hello.node_id, Timestamp(*hello.bound)))
        except ValueError as error:
            raise HelloRefusedError(str(error)) from None
        self._part = hello.part

    def step(self, event: Json) -> Answer:
        try:
            if self._machine is not None:
                return Answer(self._machine.step(event), self.state())
            if self._part == "uuid8":
                return Answer((uuid8.step(event),), {})
            self._state, effects = self._rules.step(self._state, hlc.event_from_json(event))
        except ValueError as error:  # The reference's CallerError is one too.
            return Answer((), self.state(), str(error))
        return Answer(tuple(hlc.effect_to_json(effect) for effect in effects), self.state())

    def state(self) -> Json:
        if self._machine is not None:
            return self._machine.state()
        return {} if self._part == "uuid8" else hlc.state_to_json(self._state)

    def close(self) -> None:
        pass


class ProductionDriver:
    """The production core: ``scratchbird.hlc``, ``uuid8``, ``quorum``, ``handoff`` and ``merkle_forest``.

    :raises MissingImplementationError: if the package is not built.
    """

    def __init__(self) -> None:
        self.name = "production"
        try:
            self._hlc = importlib.import_module("scratchbird.hlc")
            self._uuid8 = importlib.import_module("scratchbird.uuid8")
            self._quorum = importlib.import_module("scratchbird.quorum")
            self._handoff = importlib.import_module("scratchbird.handoff")
            self._forest = importlib.import_module("scratchbird.merkle_forest")
            self._exchange = importlib.import_module("scratchbird.merkle_forest_exchange")
        except ImportError as error:
            raise MissingImplementationError(
                f"the production package is not built here ({error}): it needs a C compiler; install one and "
                "install scratchbird-replication again"
            ) from None
        self._part = ""
        self._core: Any = None

    def hello(self, hello: Hello) -> None:
        self._part = hello.part
        if hello.part == "uuid8":
            return
        if hello.part in ("quorum", "handoff", "merkle_forest"):
            try:
                if hello.part == "quorum":
                    self._core = ProductionQuorum(self._quorum, hello.config, hello.node_id)
                elif hello.part == "merkle_forest":
                    self._core = self._made_forest(hello)
                else:
                    self._core = ProductionHandoff(self._handoff, self._quorum, hello.config, hello.node_id)
            except (ValueError, TypeError) as error:
                raise HelloRefusedError(str(error)) from None
            return
        settings = dict(hello.config)
        if settings.pop("counters_per_ms", MAX_COUNTER + 1) != MAX_COUNTER + 1:
            raise DeclinedError("the production clock has 4096 counters a millisecond, always")
        try:
            self._core = self._hlc.ClockCore(hello.node_id, bound=hello.bound, **settings)
        except (ValueError, TypeError) as error:
            raise HelloRefusedError(str(error)) from None

    def step(self, event: Json) -> Answer:
        try:
            if self._part == "uuid8":
                return Answer((uuid8.step(event, self._uuid8.UuidV8),), {})
            if isinstance(self._core, ProductionQuorum | ProductionHandoff | ProductionMerkleForest):
                return Answer(self._core.step(event), self.state())
            effects = self._call(event)
        except (ValueError, TypeError) as error:  # Its CallerError is a ValueError too.
            return Answer((), self.state(), str(error) or type(error).__name__)
        return Answer(tuple(_effect_to_json(effect) for effect in effects), self.state())

    def _made_forest(self, hello: Hello) -> ProductionMerkleForest:
        if forest_config_from_json(hello.config).machine(hello.node_id) == "encoding":
            raise DeclinedError("the production core is handed rows as bytes: it has no encoding of values")
        modules = self._forest, self._exchange, self._handoff, self._quorum
        return ProductionMerkleForest(*modules, hello.config, hello.node_id)

    def state(self) -> Json:
        return {} if self._part == "uuid8" else self._core.state()

    def close(self) -> None:
        self._core = None

    def _call(self, event: Json) -> tuple[Any, ...]:
        arguments = dict(event)
        name = arguments.pop("event", None)
        if not isinstance(name, str) or name not in hlc.EVENTS:
            raise ValueError(f"unknown event {name!r}")
        if not isinstance(arguments.get("operator", False), bool):  # Any Python value is true or false.
            raise ValueError(f"operator {arguments['operator']!r}: expected true or false")
        for key in ("remote", "peers"):
            arguments |= {key: _tuples(arguments[key])} if key in arguments else {}
        effects: tuple[Any, ...] = getattr(self._core, name)(**arguments)
        return effects


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _effect_to_json(effect: Any) -> Json:
    """An effect of the production code: the same names and fields as the reference's."""
    value: Json = {"effect": type(effect).__name__.lower()}
    for item in fields(effect):
        content = getattr(effect, item.name)
        if isinstance(content, tuple):
            value[item.name] = list(content)
        elif content is not None:
            value[item.name] = content.value if isinstance(content, Enum) else content
    if "id" in value:
        value |= {"id": str(value["id"]), "timestamp": list(value["id"].timestamp)}
    return value


__all__ = [
    "PARTS",
    "Answer",
    "DeclinedError",
    "Driver",
    "Hello",
    "HelloRefusedError",
    "ImplementationError",
    "MissingImplementationError",
    "ProductionDriver",
    "ReferenceDriver",
    "config_from_json",
]
