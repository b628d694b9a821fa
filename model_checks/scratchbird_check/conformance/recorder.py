"""Writes a trace while the reference takes the steps; scenarios say what they expect of each."""

from __future__ import annotations

import json
from typing import Any

from scratchbird_check.conformance.drivers import Answer, Hello, ReferenceDriver
from scratchbird_check.conformance.reading import VERSION
from scratchbird_check.traces.digest import digest
from scratchbird_check.traces.hlc import Json


class Recorder:
    """One trace in the making."""

    def __init__(
        self,
        name: str,
        about: str,
        *,
        part: str = "hlc",
        config: Json | None = None,
        seed: int | None = None,
        states: bool = True,
    ) -> None:
        """A trace without ``states`` has the digests alone, which is enough to replay it."""
        self.name = name
        self.part = part
        self.config = config or {}
        header: Json = {"trace": "scratchbird", "version": VERSION, "part": part, "name": name}
        header |= {"about": about, "config": self.config}
        if seed is not None:
            header["seed"] = seed
        self._lines = [header]
        self._lanes: dict[int, ReferenceDriver] = {}
        self._states = states
        self._shown: dict[int, Json] = {}

    @property
    def steps(self) -> int:
        """How many steps were recorded; also the number of the last one."""
        return len(self._lines) - 1

    def step(self, node: int, event: Json, from_step: int | None = None) -> Answer:
        """Let the reference take one step in a lane, and record it, the state only where it has changed."""
        answer = self._lane(node).step(event)
        line: Json = {"step": self.steps + 1, "node": node, "event": event, **answer.to_json()}
        state = line.pop("state")
        line["digest"] = digest(state)
        if self._states and state != self._shown.get(node, {}):
            line["state"] = self._shown[node] = state
        if from_step is not None:
            line["from_step"] = from_step
        self._lines.append(line)
        return answer

    def demand(self, answer: Answer, said: str, expects: str) -> None:
        """:raises AssertionError: if the last step's answer, in words, is not what its scenario expects."""
        if said != expects:
            raise AssertionError(
                f"vector {self.name}, step {self.steps}: expected {expects!r}, the reference says {said!r}: "
                f"{answer}"
            )

    def state(self, node: int) -> Json:
        """The state of a lane."""
        return self._lane(node).state()

    def _lane(self, node: int) -> ReferenceDriver:
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = ReferenceDriver()
            lane.hello(Hello(self.part, self.config, node))
        return lane

    def text(self) -> str:
        """The trace file."""
        return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in self._lines)


def outcome(answer: Answer) -> str:
    """An answer in a few words: ``persist deferred``, ``refused:ahead``, ``error``, ``nothing``."""
    if answer.error:
        return "error"
    words = (
        f"{effect['effect']}:{effect['reason']}" if "reason" in effect else str(effect["effect"])
        for effect in answer.effects
    )
    return " ".join(words) or "nothing"


class Lane:
    """One clock of a scenario. Each method takes a step and demands the outcome that is expected."""

    def __init__(self, run: Recorder, node: int) -> None:
        self.run = run
        self._node = node

    def takes(self, event: Json, expects: str, from_step: int | None = None) -> Answer:
        """Any event, malformed ones as well."""
        answer = self.run.step(self._node, event, from_step)
        self.run.demand(answer, outcome(answer), expects)
        return answer

    def start(self, wall: int, monotonic: int) -> None:
        self.takes({"event": "start", "wall": wall, "monotonic": monotonic}, "nothing")

    def tick(self, wall: int, monotonic: int, expects: str = "issued", random: int = 0) -> None:
        self.takes({"event": "tick", "wall": wall, "monotonic": monotonic, "random": random}, expects)

    def observe(
        self,
        wall: int,
        monotonic: int,
        remote: tuple[int, int],
        expects: str = "merged",
        sender: int = 9,
        from_step: int | None = None,
    ) -> None:
        event = {"event": "observe", "wall": wall, "monotonic": monotonic, "remote": list(remote)}
        self.takes({**event, "sender": sender}, expects, from_step)

    def stamp(self, wall: int, monotonic: int, expects: str = "stamped") -> tuple[int, tuple[int, int]]:
        """The step's number and the clock that the message carries."""
        answer = self.takes({"event": "stamp", "wall": wall, "monotonic": monotonic}, expects)
        clock: Any = answer.effects[0].get("clock", [0, 0])
        return self.run.steps, (clock[0], clock[1])

    def reserve(self, wall: int, monotonic: int, expects: str = "persist") -> None:
        self.takes({"event": "reserve", "wall": wall, "monotonic": monotonic}, expects)

    def persisted(self, expects: str = "nothing") -> None:
        self.takes({"event": "persisted"}, expects)

    def confirm(
        self,
        wall: int,
        monotonic: int,
        expects: str = "confirmed",
        operator: bool = False,
        peers: tuple[tuple[int, int], ...] = (),
    ) -> None:
        event = {"event": "confirm", "wall": wall, "monotonic": monotonic, "operator": operator}
        self.takes({**event, "peers": [list(peer) for peer in peers]}, expects)

    def stop(self, expects: str = "persist") -> None:
        self.takes({"event": "stop"}, expects)

    def crash(self) -> None:
        self.takes({"event": "crash"}, "nothing")

    def retire(self, new_node_id: int, expects: str = "nothing") -> None:
        self.takes({"event": "retire", "new_node_id": new_node_id}, expects)

    def ready(self, wall: int, monotonic: int) -> None:
        """Start, and issue the first id, for which a bound must be written first."""
        self.start(wall, monotonic)
        self.tick(wall, monotonic, "persist deferred")
        self.persisted()
        self.tick(wall, monotonic)
