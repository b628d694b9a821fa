"""A long run of random events, the same for the same seed on every Python, much of it at the rules' edges.

The run is a small world: true time passes, wall clocks are set wrong, messages are lost, doubled and
overtaken, processes crash. It needs to know little of the rules, for the reference says what each event does;
what it does know is where the edges are, because values drawn at random would hardly ever meet them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from scratchbird_check.conformance.drivers import Answer, config_from_json
from scratchbird_check.traces.hlc import Json
from scratchbird_reference.uuid8 import MAX_COUNTER, MAX_MS, MAX_RANDOM

T = TypeVar("T")

_MESSAGES_KEPT = 20


@dataclass(slots=True)
class _Node:
    """What the world knows of one clock."""

    number: int
    offset: int = 0
    """Wall clock less true time, in ms."""
    booted: int = 0
    """True time at which the monotonic clock began."""
    state: Json = field(default_factory=dict)
    deferred: tuple[int, Json, int | None] | None = None
    """What is to be repeated when a bound is durable."""


class RandomRun:
    """Draw :meth:`event`, let some implementation take it, and tell the run by :meth:`answered`."""

    def __init__(self, seed: int, config: Json, nodes: int = 3, begin: int = 1_700_000_000_000) -> None:
        self._random = random.Random(seed)
        self._config = config_from_json(config)
        self._nodes = [_Node(number) for number in range(1, nodes + 1)]
        self._now = begin
        self._messages: list[tuple[int, list[int], int]] = []
        """Step at which each was sent, the clock that it carries, its sender."""
        self._node = self._nodes[0]
        self._burst = 0
        self._event: tuple[int, Json, int | None] = (1, {}, None)
        self._again: tuple[int, Json, int | None] | None = None

    def event(self) -> tuple[int, Json, int | None]:
        """The next event: the lane, the event, and the step in which its message was sent, if it has one."""
        self._event = drawn = self._draw()
        return drawn

    def _draw(self) -> tuple[int, Json, int | None]:
        if self._again is not None:
            drawn, self._again = self._again, None
            return drawn
        if self._burst:  # The counter is full only where many ids are asked for in one millisecond.
            self._burst -= 1
            return self._node.number, self._at("tick", random=0), None
        self._node = node = self._nodes[self._below(len(self._nodes))]
        self._pass_time(node)
        if self._below(40) == 0:
            return node.number, self._impossible(), None
        if not node.state.get("up"):
            if self._below(12) == 0:
                return node.number, {"event": "retire", "new_node_id": 100 + self._below(1 << 15)}, None
            if self._below(2) == 0:
                node.booted = self._now
            return node.number, self._at("start"), None
        if node.state["promised"] is not None and self._below(4):
            return node.number, {"event": "persisted"}, None
        if node.state["stopping"] and self._below(4):
            return node.number, {"event": "crash"}, None
        draw = self._below(100)
        for limit, kind in self._KINDS:
            if draw < limit:
                event, from_step = kind(self)
                return node.number, event, from_step
        raise AssertionError("the limits end at 100")

    def answered(self, step: int, answer: Answer) -> None:
        """What the reference said to the last event, which was step number ``step``."""
        node = self._node
        node.state = answer.state
        if any(effect["effect"] == "deferred" for effect in answer.effects):
            node.deferred = self._event
        elif self._event[1].get("event") == "persisted" and node.deferred is not None:
            self._again, node.deferred = (node.deferred if self._below(4) else None), None
        if not any(effect["effect"] == "issued" for effect in answer.effects):
            self._burst = 0
        for effect in answer.effects:
            clock = effect.get("timestamp", effect.get("clock"))
            if clock is not None and self._below(3):  # An id that was issued is as good as a message's clock.
                self._messages.append((step, list(clock), self._node.number))
                if len(self._messages) > _MESSAGES_KEPT:
                    del self._messages[self._below(_MESSAGES_KEPT)]

    # --- kinds of events --------------------------------------------------------------------------------

    def _tick(self) -> tuple[Json, int | None]:
        if self._below(4) == 0:
            self._burst = self._below(2 * min(self._config.counters_per_ms, 4) + 1)
        return self._at("tick", random=self._pick((0, MAX_RANDOM, self._random.getrandbits(46)))), None

    def _deliver(self) -> tuple[Json, int | None]:
        if not self._messages or self._below(3) == 0:
            return self._stranger(), None
        step, clock, sender = self._pick(self._messages)
        return self._at("observe", remote=clock, sender=sender), step

    def _stranger(self) -> Json:
        """A message from a node that is not of this run, its clock at an edge."""
        config, wall = self._config, self._wall()
        believed = max(wall, self._monotonic() + int(self._node.state["anchor"]))
        bound, last = self._node.state["bound"], self._node.state["last"]
        ms = self._pick(
            (wall, believed, last[0], bound[0], believed + config.max_drift_ms, wall + config.max_ahead_ms)
        )
        ms = self._pick((ms, ms, ms, ms - 1, ms + 1, 0, MAX_MS, ms + self._below(2 * config.max_drift_ms)))
        full = config.counters_per_ms - 1
        counter = self._pick((0, 1, full, full, max(0, full - 1), last[1], bound[1], MAX_COUNTER))
        return self._at("observe", remote=[self._clamp(ms), counter], sender=60_000 + self._below(5))

    def _confirm(self) -> tuple[Json, int | None]:
        skew, wall = self._config.max_skew_ms, self._wall()
        peers = [
            [50_000 + index, self._clamp(self._pick((wall, wall + skew, wall - skew, wall + skew + 1, 0)))]
            for index in range(self._below(self._config.confirm_quorum + 2))
        ]
        return self._at("confirm", operator=self._below(3) == 0, peers=peers), None

    _KINDS: tuple[tuple[int, Callable[[RandomRun], tuple[Json, int | None]]], ...] = (
        (42, _tick),
        (66, _deliver),
        (74, lambda self: (self._at("stamp"), None)),
        (82, lambda self: (self._at("reserve"), None)),
        (91, _confirm),
        (95, lambda self: ({"event": "stop"}, None)),
        (100, lambda self: ({"event": "crash"}, None)),
    )
    """Each with the percentage below which it is drawn."""

    def _impossible(self) -> Json:
        return self._pick(
            (
                {"event": "persisted"},
                {"event": "retire", "new_node_id": self._node.number},
                {"event": "start", "wall": self._wall(), "monotonic": -1},
                {"event": "tick", "wall": MAX_MS + 1, "monotonic": 0},
                {"event": "observe", "wall": 0, "monotonic": 0, "remote": [0, MAX_COUNTER + 1], "sender": 2},
            )
        )

    # --- the world --------------------------------------------------------------------------------------

    def _pass_time(self, node: _Node) -> None:
        config = self._config
        if self._below(3) == 0:
            self._now += self._pick(
                (1, 1, 2, config.max_ahead_ms, config.reserve_ms, config.max_drift_ms + 1)
            )
        if self._below(8) == 0:
            step = self._pick(
                (1, config.max_skew_ms, config.max_drift_ms, config.max_drift_ms + 1, 3_600_000)
            )
            node.offset = self._pick((0, 0, step, -step, node.offset + step, node.offset - step))

    def _at(self, kind: str, **more: object) -> Json:
        return {"event": kind, "wall": self._wall(), "monotonic": self._monotonic(), **more}

    def _wall(self) -> int:
        return self._clamp(self._now + self._node.offset)

    def _monotonic(self) -> int:
        return self._clamp(self._now - self._node.booted)

    @staticmethod
    def _clamp(ms: int) -> int:
        return min(max(ms, 0), MAX_MS)

    def _below(self, limit: int) -> int:
        """0 to ``limit - 1``; by 32 bits at a time, which no release of Python draws differently."""
        return self._random.getrandbits(32) * limit >> 32

    def _pick(self, items: Sequence[T]) -> T:
        return items[self._below(len(items))]


class RandomQuestions:
    """Random questions to part ``uuid8``, with the same face as :class:`RandomRun`."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._ids: list[str] = ["00000000-0000-8000-8000-400000000000"]

    def event(self) -> tuple[int, Json, int | None]:
        """The next question; every id that was made is asked about later, some with a digit changed."""
        bits = self._random.getrandbits
        draw = bits(3)
        if draw < 3:
            narrow = bits(6)  # Fields of few bits make ids that are near each other.
            fields = {"ms": 48 - narrow % 48, "counter": 12, "node_id": 16 - narrow % 16, "random": 46}
            values = {name: bits(width) for name, width in fields.items()}
            values["node_id"] += bits(4) > 0 and values["node_id"] == 0
            return 1, {"event": "encode", **values}, None
        if draw < 5:
            return 1, {"event": "compare", "a": self._id(), "b": self._id()}, None
        text = self._id()
        if bits(2) == 0:
            place = bits(32) * len(text) >> 32
            text = text[:place] + "0123456789abcdefABCDEF-g"[bits(32) * 24 >> 32] + text[place + 1 :]
        if draw == 5:
            return 1, {"event": "decode", "bytes": text.replace("-", "")}, None
        return 1, {"event": "decode", "id": text}, None

    def answered(self, step: int, answer: Answer) -> None:
        """Keep the ids that were made."""
        self._ids += [effect["id"] for effect in answer.effects if "id" in effect]

    def _id(self) -> str:
        return self._ids[self._random.getrandbits(32) * len(self._ids) >> 32]
