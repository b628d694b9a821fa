"""A long run of random events for quorums, the same for the same seed on every Python.

The run is a small world: clients ask coordinators, messages are lost, doubled and overtaken, processes crash,
disks are lost, settings change, deadlines come early. It knows little of the rules, for the reference says
what each event does; and it does things that a node never would, because an answer is due to these as well.
"""

from __future__ import annotations

from dataclasses import replace

from scratchbird_check.conformance.drawing import Drawing, Drawn
from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.conformance.quorum_machine import config_from_json
from scratchbird_check.traces.quorum import Json, setting_to_json
from scratchbird_reference.errors import ConfigurationError
from scratchbird_reference.quorum_messages import Mode, Setting

_MESSAGES_KEPT = 40
_OPERATIONS_KEPT = 12
ROWS = ("7", "7", "7", "8")
VALUES = ("61", "62", "", None)


class RandomQuorumRun(Drawing):
    """Draw :meth:`event`, let some implementation take it, and tell the run by :meth:`answered`."""

    def __init__(self, seed: int, config: Json) -> None:
        read = config_from_json(config)
        super().__init__(seed, config)
        self._coordinators = read.coordinators
        self._replicas = read.setting.replicas
        self._settings = dict.fromkeys(read.coordinators, read.setting)
        self._newest = read.setting
        self._clocks = dict.fromkeys(read.coordinators, 0)
        self._incarnations = dict.fromkeys(read.setting.replicas, 1)
        self._down: set[int] = set()
        self._messages: list[tuple[int, int, int, Json]] = []
        """Step at which each was sent, its sender, its receiver, and itself."""
        self._operations: list[tuple[str, int]] = []
        """Number and coordinator of the latest ones."""
        self._stamps: list[tuple[int, str, int]] = []
        """Coordinator, operation, and what the version is to be above."""
        self._intents: list[tuple[int, str, Json]] = []
        self._versions: list[str] = ["1"]
        self._numbers = 0

    def answered(self, step: int, answer: Answer) -> None:
        """What the reference said to the last event, which was step number ``step``."""
        node, event, _ = self._event
        if answer.error:
            return
        match event["event"]:
            case "crash":
                self._down.add(node)
            case "start" | "start_empty":
                self._down.discard(node)
        for effect in answer.effects:
            match effect["effect"]:
                case "send":
                    self._sent(step, node, effect)
                case "stamp":
                    self._stamps.append((node, effect["operation"], int(effect["above"], 16)))
                case "store_intent":
                    self._intents.append((node, effect["operation"], effect["intent"]))
                case "reply" if effect["held"]["version"] != "0":
                    self._versions.append(effect["held"]["version"])

    def _sent(self, step: int, node: int, effect: Json) -> None:
        message, to = effect["message"], effect["to"]
        if to is None:
            to = dict(self._operations).get(message["operation"])
        if to is None or self._below(12) == 0:
            return  # Lost.
        self._messages.append((step, node, to, message))
        if len(self._messages) > _MESSAGES_KEPT:
            del self._messages[self._below(_MESSAGES_KEPT // 2)]

    # --- kinds of events --------------------------------------------------------------------------------

    def _request(self) -> Drawn | None:
        node = self._pick(self._coordinators)
        if node in self._down:
            return None
        self._numbers += 1
        number, row = f"{self._numbers:x}", self._pick(ROWS)
        self._operations.append((number, node))
        del self._operations[:-_OPERATIONS_KEPT]
        event: Json = {"event": self._pick(("read", "read", "put", "put", "put", "reserve", "look_up"))}
        event |= {"operation": number, "row": row}
        if event["event"] == "look_up":
            return node, {**event, "version": self._version()}, None
        event["token"] = self._version() if self._below(3) == 0 else "0"
        if event["event"] == "put":
            event |= {"value": self._pick(VALUES), "reserved": "0"}
            if self._below(4) == 0:
                event["reserved"] = self._version()
        return node, event, None

    def _deliver(self) -> Drawn | None:
        if not self._messages:
            return None
        index = self._below(len(self._messages))
        step, sender, receiver, message = self._messages[index]
        if self._below(5):  # Otherwise it comes again later.
            del self._messages[index]
        if receiver in self._down and self._below(8):
            return None
        event: Json = {"event": "deliver", "message": message}
        if receiver in self._coordinators or message["message"].startswith("exchange"):
            event["sender"] = sender
            if self._below(40) == 0:
                event["sender"] = self._pick((*self._replicas, 99))
        return receiver, event, step

    def _stamped(self) -> Drawn | None:
        if not self._stamps:
            return None
        node, number, above = self._stamps.pop(self._below(len(self._stamps)))
        if node in self._down:
            return None
        if self._below(12) == 0:
            return node, {"event": "stamp_refused", "operation": number, "reason": "no"}, None
        clock = max(self._clocks[node], above) + 1 + self._below(3)
        self._clocks[node] = clock
        if self._below(12) == 0 and above:
            clock = above  # Not above it: an error.
            self._stamps.append((node, number, above))
        return node, {"event": "stamped", "operation": number, "version": f"{clock:x}"}, None

    def _stored(self) -> Drawn | None:
        if not self._intents:
            return None
        index = self._below(len(self._intents))
        node, number, intent = self._intents[index]
        if node in self._down:
            return None
        if self._below(10):
            del self._intents[index]
        return node, {"event": "intent_stored", "operation": number, "intent": intent}, None

    def _deadline(self) -> Drawn | None:
        if not self._operations:
            return None
        number, node = self._pick(self._operations)
        return (node, {"event": "deadline", "operation": number}, None) if node not in self._down else None

    def _crash(self) -> Drawn | None:
        node = self._pick((*self._replicas, *self._coordinators))
        return (node, {"event": "crash"}, None) if node not in self._down else None

    def _start(self) -> Drawn | None:
        if not self._down:
            return None
        node = self._pick(sorted(self._down))
        if node in self._coordinators or self._below(3):
            return node, {"event": "start"}, None
        self._incarnations[node] += 1
        under = min(self._settings.values(), key=lambda setting: setting.write_quorum)
        known = [[replica, number] for replica, number in sorted(self._incarnations.items())]
        event: Json = {"event": "start_empty", "setting": setting_to_json(under), "incarnations": known}
        return node, {**event, "epoch": self._newest.epoch}, None

    def _ask(self) -> Drawn | None:
        node = self._pick(self._replicas)
        return (node, {"event": "ask"}, None) if node not in self._down else None

    def _adopt(self) -> Drawn | None:
        node = self._pick(self._coordinators)
        if node in self._down:
            return None
        if self._settings[node] == self._newest:
            same = replace(self._newest, epoch=self._newest.epoch + 1)
            self._newest = self._other() if self._below(3) == 0 else same
        self._settings[node] = self._newest
        return node, {"event": "adopt", "setting": setting_to_json(self._newest)}, None

    def _other(self) -> Setting:
        size = len(self._replicas)
        while True:
            write, read = 1 + self._below(size), 1 + self._below(size)
            mode = self._pick((self._newest.mode, self._newest.mode, *Mode))
            try:
                return Setting(self._replicas, write, read, mode, self._newest.epoch + 1)
            except ConfigurationError:
                continue

    def _impossible(self) -> Drawn:
        replica, coordinator = self._pick(self._replicas), self._pick(self._coordinators)
        setting = setting_to_json(self._settings[coordinator])
        start: Json = {"event": "start"}
        errors: tuple[tuple[int, Json], ...] = (
            (coordinator, {"event": "adopt", "setting": setting}),
            (coordinator, {"event": "crash"} if coordinator in self._down else start),
            (coordinator, {"event": "read", "operation": "1", "row": "g", "token": "0"}),
            (coordinator, {"event": "look_up", "operation": "1", "row": "7", "version": "0"}),
            (replica, {"event": "ask"} if replica in self._down else start),
            (replica, {"event": "deliver", "message": {"message": "old_epoch"}}),
            (replica, {"event": "start_empty", "setting": setting, "incarnations": []}),
        )
        node, event = self._pick(errors)
        return node, event, None

    KINDS = (
        (55, _deliver),
        (22, _request),
        (40, _stamped),
        (40, _stored),
        (9, _deadline),
        (30, _start),
        (4, _crash),
        (6, _ask),
        (2, _adopt),
        (3, _impossible),
    )

    def _version(self) -> str:
        return self._pick(self._versions[-6:])
