"""A long run of random events for forests, the same for the same seed on every Python.

The run is a small world: three replicas take writes, late ones as well, close floors, settle, crash and begin
exchanges; messages are lost, doubled and overtaken. It knows little of the rules, for the reference says what
each event does; and it does things that a node never would.
"""

from __future__ import annotations

from scratchbird_check.conformance.drawing import Drawing, Drawn
from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.conformance.merkle_forest_machine import config_from_json
from scratchbird_check.conformance.merkle_forest_scene import MS_SHIFT, ROWS, at
from scratchbird_check.traces import merkle_forest as json_form
from scratchbird_check.traces.quorum import Json

MOST_ROWS = 16
VALUES = ("61", "62", "", None)
LATE_MS = 30
_KEPT = 24
FLOOR_NUMBER = (1 << 80) - 1
"""No write has this version within its millisecond."""


class RandomMerkleForestRun(Drawing):
    """Draw :meth:`event`, let some implementation take it, and tell the run by :meth:`answered`."""

    def __init__(self, seed: int, config: Json) -> None:
        read = config_from_json(config)
        super().__init__(seed, config)
        self._replicas = read.setting.replicas
        self._shape = json_form.shape_to_json(read.shape)
        self._stable = dict.fromkeys(self._replicas, 0)
        """In ms, as far as the run knows: at least that."""
        self._down: set[int] = set()
        self._driving: dict[int, int] = {}
        """By replica that drives: with whom, as far as the run knows."""
        self._messages: list[tuple[int, int, Json]] = []
        """Step at which each was sent, its receiver, and the event that it makes."""
        self._writes: list[Json] = []
        self._floors: dict[str, dict[str, set[int]]] = {}
        """Of each floor, who has closed it and who has converged at it."""
        self._numbers = 0
        self._now = 20
        self._floor = 0

    def answered(self, step: int, answer: Answer) -> None:
        """What the event that was drawn last brought about, and its number in the trace."""
        node, event, _ = self._event
        if answer.error:
            return
        if event["event"] == "advance":
            self._stable[node] = max(self._stable[node], int(event["stable"], 16) >> MS_SHIFT)
        if event["event"] == "crash":
            self._down.add(node)
            self._driving.pop(node, None)
        if event["event"] == "start":
            self._down.discard(node)
        for effect in answer.effects:
            self._effect(step, node, event, effect)

    def _effect(self, step: int, node: int, event: Json, effect: Json) -> None:
        match effect["effect"]:
            case "ask":
                self._driving[node] = effect["to"]
                asked = {"event": "asked", "question": effect["question"]}
                self._sent(step, effect["to"], asked)
            case "answer":
                for driver in [one for one, other in self._driving.items() if other == node]:
                    self._sent(step, driver, {"event": "replied", "reply": effect["reply"]})
            case "succeeded" | "failed":
                self._driving.pop(node, None)
            case "send" if effect["to"] is not None:
                message = {"event": "deliver", "sender": node, "message": effect["message"]}
                self._sent(step, effect["to"], message)
            case "say_closed":
                self._said(step, effect["floor"], "closed", node)
            case "say_converged":
                self._said(step, effect["floor"], "converged", node)

    def _said(self, step: int, floor: str, what: str, node: int) -> None:
        """The catalog of this run is quick: who is the last tells all."""
        said = self._floors.setdefault(floor, {"closed": set(), "converged": set()})[what]
        said.add(node)
        if len(said) == len(self._replicas):
            for replica in self._replicas:
                self._sent(step, replica, {"event": f"all_{what}", "floor": floor})

    def _sent(self, step: int, to: int, event: Json) -> None:
        if self._below(20) == 0:
            return  # Lost.
        self._messages.append((step, to, event))
        if len(self._messages) > _KEPT:
            del self._messages[self._below(_KEPT // 2)]

    # --- kinds of events ----------------------------------------------------------------------------------

    def _deliver(self) -> Drawn | None:
        if not self._messages:
            return None
        newest = len(self._messages) - 1
        index = newest - (self._below(len(self._messages)) if self._below(3) == 0 else 0)
        step, receiver, event = self._messages[index]
        if self._below(8):  # Otherwise it comes again later.
            del self._messages[index]
        if receiver in self._down and self._below(8):
            return None
        if event["event"] == "reshape" and (receiver in self._down or self._driving):
            return None
        return receiver, event, step or None

    def _write(self) -> Drawn:
        self._now += self._below(3)
        self._numbers += 1
        late = self._below(LATE_MS) if self._below(4) == 0 else 0
        version = at(max(1, self._now - late), self._numbers)
        held = {"version": version, "value": self._pick(VALUES)}
        row = f"{ROWS[self._below(MOST_ROWS)]:x}"
        message = {
            "message": "write",
            "operation": f"{self._numbers:x}",
            "epoch": 0,
            "row": row,
            "held": held,
        }
        self._writes.append({"event": "deliver", "message": message})
        del self._writes[:-8]
        return self._pick(self._replicas), self._writes[-1], None

    def _write_again(self) -> Drawn | None:
        """It reaches another replica, or the same one again."""
        return (self._pick(self._replicas), self._pick(self._writes), None) if self._writes else None

    def _advance(self) -> Drawn | None:
        node = self._pick(self._replicas)
        stable = at(max(1, self._now - self._below(8)), self._below(2) * FLOOR_NUMBER)
        return (node, {"event": "advance", "stable": stable}, None) if node not in self._down else None

    def _rehash(self) -> Drawn | None:
        node = self._pick(self._replicas)
        window = max(0, self._now - self._below(2 * LATE_MS)) // int(self._shape["window_ms"])
        return (node, {"event": "rehash", "window": window}, None) if node not in self._down else None

    def _begin(self) -> Drawn | None:
        node = self._pick(self._replicas)
        if node in self._driving and self._below(10):
            return None
        other = self._pick([one for one in self._replicas if one != node])
        self._numbers += 1
        return node, {"event": "begin", "exchange": f"{self._numbers:x}", "other": other}, None

    def _again(self) -> Drawn | None:
        if not self._driving:
            return None
        return self._pick(sorted(self._driving)), {"event": "again" if self._below(6) else "stop"}, None

    def _propose(self) -> Drawn | None:
        """A floor that all replicas are told of, the others by messages; none is above their time."""
        floor = max(self._floor + 1, self._now - 10 - self._below(15))
        if floor >= min(self._stable.values()):
            return None
        self._floor = floor
        event: Json = {"event": "propose", "floor": at(self._floor, FLOOR_NUMBER)}
        node = self._pick(self._replicas)
        self._messages += [(0, other, event) for other in self._replicas if other != node]
        return node, event, None

    def _purge(self) -> Drawn:
        return self._pick(self._replicas), {"event": "purge"}, None

    def _crash(self) -> Drawn | None:
        node = self._pick(self._replicas)
        return (node, {"event": "crash"}, None) if node not in self._down else None

    def _start(self) -> Drawn | None:
        return (self._pick(sorted(self._down)), {"event": "start"}, None) if self._down else None

    def _reshape(self) -> Drawn | None:
        """Another setting; the others hear of it by messages."""
        node = self._pick(self._replicas)
        number = 1 + self._numbers // 60
        shape = {**self._shape, "number": number, "most_in_leaf": 1 + number % 3}
        if node in self._down or self._driving:
            return None
        event: Json = {"event": "reshape", "shape": shape}
        self._messages += [(0, other, event) for other in self._replicas if other != node]
        return node, event, None

    def _impossible(self) -> Drawn:
        node = self._pick(self._replicas)
        errors: tuple[Json, ...] = (
            {"event": "advance", "stable": "0"},
            {"event": "advance", "stable": 7},
            {"event": "rehash", "window": -1},
            {"event": "replied", "reply": {"reply": "took", "exchange": "1"}},
            {"event": "asked", "question": {"question": "ask_windows", "exchange": "1"}},
            {"event": "deliver", "message": {"message": "past", "floor": "1"}},
        )
        return node, self._pick(errors), None

    KINDS = (
        (1, _impossible),
        (1, _crash),
        (1, _reshape),
        (2, _propose),
        (2, _purge),
        (25, _start),
        (4, _advance),
        (4, _rehash),
        (8, _write),
        (6, _write_again),
        (2, _again),
        (12, _begin),
        (95, _deliver),
        (50, _write),
    )
