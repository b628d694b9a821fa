"""A long run of random events for handoff, the same for the same seed on every Python.

The run is a small world: writes are owed, acknowledged and given up; replicas close floors, merge each
other's past, settle, crash and lose their disks; messages are lost, doubled and overtaken. It knows little of
the rules, for the reference says what each event does; and it does things that a node never would.
"""

from __future__ import annotations

from scratchbird_check.conformance.drawing import Drawing, Drawn
from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.conformance.handoff_machine import config_from_json
from scratchbird_check.traces.quorum import Json, setting_to_json

ROWS = ("7", "7", "7", "8")
VALUES = ("61", "62", "", None, None)
SHARDS = (0, 0, 0, 5)
STEPS_NS = (
    0,
    1,
    1_000_000,
    1_000_000,
    20_000_000,
    1_000_000_000,
    1_000_000_000,
    5_000_000_000,
    -2_000_000_000,
)
_KEPT = 40


class RandomHandoffRun(Drawing):
    """Draw :meth:`event`, let some implementation take it, and tell the run by :meth:`answered`."""

    def __init__(self, seed: int, config: Json) -> None:
        read = config_from_json(config)
        super().__init__(seed, config)
        self._setting = read.setting
        self._epoch = read.setting.epoch
        self._coordinators = read.coordinators
        self._catalog = read.catalog
        self._replicas = read.setting.replicas
        self._incarnations = dict.fromkeys(self._replicas, 1)
        self._down: set[int] = set()
        self._messages: list[tuple[int, int, int, Json]] = []
        """Step at which each was sent, its sender, its receiver, and itself; of the catalog's an event."""
        self._drops: list[tuple[int, list[int]]] = []
        self._marks: list[tuple[int, list[int]]] = []
        """Coordinator and place of the latest ones."""
        self._writes: list[tuple[int, str, str, str]] = []
        """Coordinator, operation, row and version of the latest ones."""
        self._numbers = 0
        self._version = 0
        self._proposed = 0
        self._now = 1_700_000_000_000_000_000

    def answered(self, step: int, answer: Answer) -> None:
        """What the event that was drawn last brought about, and its number in the trace."""
        node, event, _ = self._event
        if answer.error:
            return
        match event["event"]:
            case "crash" if node in self._replicas:
                self._down.add(node)
            case "start" | "lost_disk" if node in self._replicas:
                self._down.discard(node)
        for effect in answer.effects:
            self._effect(step, node, effect)

    def _effect(self, step: int, node: int, effect: Json) -> None:
        match effect["effect"]:
            case "send" if effect["to"] is not None:
                self._sent(step, node, effect["to"], effect["message"])
            case "send" if effect["message"]["message"] == "acknowledgement":
                message = effect["message"]
                for coordinator, number, row, _ in self._writes:
                    if number == message["operation"]:
                        told: Json = {"event": "acknowledged", "target": node, "row": row}
                        self._sent(step, node, coordinator, {**told, "version": message["version"]})
            case "say_closed":
                told = {"event": "closed", "replica": node, "floor": effect["floor"]}
                self._sent(step, node, self._catalog, told)
            case "say_converged":
                told = {"event": "converged", "replica": node, "floor": effect["floor"]}
                told["incarnation"] = self._incarnations[node]
                self._sent(step, node, self._catalog, told)
            case "tell":
                if effect["what"]["event"] == "propose":
                    self._proposed = int(effect["what"]["floor"], 16)
                self._sent(step, node, effect["to"], effect["what"])
            case "may_drop":
                self._drops.append((node, effect["place"]))
                self._marks.append((node, effect["place"]))
            case "repair":
                self._marks.append((node, effect["place"]))
            case "send_hint":
                hint = effect["hint"]
                number = next((one[1] for one in self._writes if one[3] == hint["held"]["version"]), "0")
                write = {"message": "write", "operation": number, "epoch": 0, "row": hint["row"]}
                self._sent(step, node, hint["target"], {**write, "held": hint["held"]})

    def _sent(self, step: int, node: int, to: int, message: Json) -> None:
        if self._below(12) == 0:
            return  # Lost.
        self._messages.append((step, node, to, message))
        if len(self._messages) > _KEPT:
            del self._messages[self._below(_KEPT // 2)]

    # --- kinds of events ----------------------------------------------------------------------------------

    def _deliver(self) -> Drawn | None:
        if not self._messages:
            return None
        index = self._below(len(self._messages))
        step, sender, receiver, message = self._messages[index]
        if self._below(5):  # Otherwise it comes again later.
            del self._messages[index]
        if receiver in self._down and self._below(8):
            return None
        if "event" in message:
            return receiver, message, step or None
        event: Json = {"event": "deliver", "message": message}
        if sender in self._replicas:
            event["sender"] = sender if self._below(40) else self._pick((*self._replicas, 99))
        return receiver, event, step or None

    def _owe(self) -> Drawn:
        node, row = self._pick(self._coordinators), self._pick(ROWS)
        self._numbers += 1
        self._version += 1 + self._below(3)
        number, version = f"{self._numbers:x}", f"{self._version:x}"
        written = {"version": version, "value": self._pick(VALUES)}
        self._writes.append((node, number, row, version))
        del self._writes[:-12]
        write = {"message": "write", "operation": number, "epoch": 0, "row": row, "held": written}
        for replica in self._replicas:
            self._sent(0, node, replica, write)
        intent = {"row": row, "held": written, "targets": sorted(self._replicas)}
        if self._below(4) == 0:
            intent["targets"] = sorted(self._replicas)[1:]
        event: Json = {"event": "owe", "operation": number, "shard": self._pick(SHARDS), "intent": intent}
        return node, {**event, "now_ns": f"{self._now:x}"}, None

    def _ended(self) -> Drawn | None:
        if not self._writes:
            return None
        node, number, _, _ = self._pick(self._writes)
        return node, {"event": "ended", "operation": number}, None

    def _tick(self) -> Drawn:
        self._now += self._pick(STEPS_NS)
        return self._pick(self._coordinators), {"event": "tick", "now_ns": f"{self._now:x}"}, None

    def _of_a_mark(self) -> Drawn:
        node, place = self._place()
        events: tuple[Json, ...] = (
            {"event": "give_up", "target": place[0]},
            {"event": "give_up", "target": place[0]},
            {"event": "keep_again", "place": place},
            {"event": "keep_again", "place": place},
            {"event": "keep_again", "place": place},
            {"event": "unreadable", "place": place},
            {"event": "drop", "place": place},
            {"event": "move_begun", "place": place, "newcomer": self._pick((*self._replicas, 4, 99))},
            {"event": "move_done", "place": place},
        )
        return node, self._pick(events), None

    def _drop(self) -> Drawn | None:
        if not self._drops:
            return None
        node, place = self._drops.pop(self._below(len(self._drops)))
        return node, {"event": "drop", "place": place}, None

    def _exchange(self) -> Drawn:
        node, place = self._place()
        other = self._pick((*self._replicas, *self._replicas, 99))
        return (
            node,
            {"event": self._pick(("exchange_begun", "exchanged")), "place": place, "other": other},
            None,
        )

    def _place(self) -> tuple[int, list[int]]:
        """A coordinator and a place, mostly one with a mark."""
        if self._marks and self._below(5):
            return self._pick(self._marks[-3:])
        return self._pick(self._coordinators), [self._pick(self._replicas), self._pick(SHARDS)]

    def _of_an_account(self) -> Drawn:
        node = self._pick(self._coordinators)
        match self._below(5):
            case 0:
                return node, {"event": "crash"}, None
            case 1 | 2:
                self._epoch += self._below(2)
                size = len(self._replicas)
                write = 1 + self._below(size)
                under = {**setting_to_json(self._setting), "write_quorum": write, "epoch": self._epoch}
                under["read_quorum"] = size
                return node, {"event": "adopt", "setting": under}, None
        version = max(1, self._version - self._below(6))
        return node, {"event": "erased", "shard": self._pick(SHARDS), "version": f"{version:x}"}, None

    def _merge(self) -> Drawn:
        held = {"version": f"{max(1, self._version - self._below(9)):x}", "value": self._pick(VALUES)}
        return self._pick(self._replicas), {"event": "merge", "rows": [[self._pick(ROWS), held]]}, None

    def _query(self) -> Drawn:
        query = {"message": "query", "operation": "0", "epoch": 0, "row": self._pick(ROWS)}
        return self._pick(self._replicas), {"event": "deliver", "message": query}, None

    def _purge(self) -> Drawn:
        return self._pick(self._replicas), {"event": self._pick(("purge", "purge", "ask"))}, None

    def _crash(self) -> Drawn | None:
        node = self._pick(self._replicas)
        return (node, {"event": "crash"}, None) if node not in self._down else None

    def _start(self) -> Drawn | None:
        if not self._down:
            return None
        node = self._pick(sorted(self._down))
        if self._below(6):
            return node, {"event": "start"}, None
        self._incarnations[node] += 1
        known = [[replica, number] for replica, number in sorted(self._incarnations.items())]
        lost: Json = {"event": "lost_disk", "replica": node, "incarnation": self._incarnations[node]}
        self._messages.append((0, node, self._catalog, lost))
        for coordinator in self._coordinators:
            self._messages.append((0, node, coordinator, {"event": "target_lost_disk", "target": node}))
        event: Json = {"event": "lost_disk", "setting": setting_to_json(self._setting), "incarnations": known}
        return node, {**event, "epoch": 0, "proposed": f"{self._proposed:x}"}, None

    def _propose(self) -> Drawn:
        floor = max(1, self._version - self._below(4))
        return self._catalog, {"event": "propose_floor", "floor": f"{floor:x}"}, None

    def _ask_catalog(self) -> Drawn:
        return self._catalog, {"event": "ask", "replica": self._pick((*self._replicas,) * 9 + (99,))}, None

    def _impossible(self) -> Drawn:
        coordinator, replica = self._pick(self._coordinators), self._pick(self._replicas)
        errors: tuple[tuple[int, Json], ...] = (
            (coordinator, {"event": "tick", "now_ns": 5}),
            (coordinator, {"event": "exchanged", "place": [1, 0], "other": 1}),
            (coordinator, {"event": "propose", "floor": "1"}),
            (replica, {"event": "propose", "floor": "0"}),
            (replica, {"event": "deliver", "message": {"message": "past", "floor": "1"}}),
            (self._catalog, {"event": "closed", "replica": 99, "floor": "1"}),
            (self._catalog, {"event": "crash"}),
        )
        node, event = self._pick(errors)
        return node, event, None

    KINDS = (
        (3, _impossible),
        (2, _crash),
        (3, _of_an_account),
        (3, _propose),
        (2, _merge),
        (6, _purge),
        (6, _query),
        (25, _start),
        (10, _of_a_mark),
        (16, _exchange),
        (18, _drop),
        (14, _tick),
        (14, _ask_catalog),
        (14, _owe),
        (16, _ended),
        (90, _deliver),
    )
