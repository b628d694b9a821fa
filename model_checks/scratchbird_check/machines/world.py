"""The world in which a state machine lets clocks run: true time, wall clocks, messages, and who looks on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scratchbird_check.conformance.differences import compare, event_text, table
from scratchbird_check.conformance.drivers import Answer, Driver, Hello, ReferenceDriver, config_from_json
from scratchbird_check.conformance.recorder import outcome
from scratchbird_check.machines.promises import Message, Onlooker, PromiseBrokenError, Watched
from scratchbird_check.traces.hlc import Json
from scratchbird_check.traces.model import Arrow, Change, Step, Trace
from scratchbird_reference.uuid8 import MAX_MS


class DivergenceError(AssertionError):
    """The implementation under test and the reference gave different answers."""


@dataclass(slots=True)
class Node:
    """One clock of the world: under test, and as the reference has it."""

    number: int
    subject: Driver
    twin: ReferenceDriver | None
    watched: Watched
    offset: int = 0
    """Wall clock less true time, in ms."""
    fixed: int | None = None
    """A wall clock that stands still at a wild value."""
    booted: int = 0
    """True time at which the monotonic clock began."""

    @property
    def state(self) -> Json:
        return self.watched.state

    @property
    def up(self) -> bool:
        return bool(self.watched.state["up"])


@dataclass(frozen=True, slots=True)
class Taken:
    """One step of the run, as it is told when something went wrong."""

    lane: str
    event: Json
    before: Json
    answer: Answer
    from_step: int | None
    from_lane: str
    wrong: bool


class World:
    """Clocks under test, each beside its twin of the reference, and an onlooker.

    :param subject: makes the implementation under test of one node.
    :param twins: whether each node has a twin, whose answers the subject's must equal.
    :param demanded: the promises that are judged; all of them if empty.
    :param reached: counts the states that runs came to.
    """

    def __init__(
        self,
        config: Json,
        begin: int,
        subject: Callable[[], Driver],
        reached: Counter[str],
        nodes: int = 3,
        twins: bool = True,
        demanded: Sequence[str] = (),
    ) -> None:
        self.config = config_from_json(config)
        self.now = begin
        self.reached = reached
        self.messages: list[Message] = []
        self.taken: list[Taken] = []
        self.problem: AssertionError | None = None
        """What ended the run, if something did."""
        self._settings = config
        self._onlooker = Onlooker(self.config, demanded)
        self._delivered: dict[tuple[int, int], set[int]] = {}
        self._early: set[tuple[int, int, tuple[int, int]]] = set()
        self.nodes = [self._node(number, subject(), twins) for number in range(1, nodes + 1)]

    def _node(self, number: int, subject: Driver, twins: bool) -> Node:
        hello = Hello("hlc", self._settings, number)
        twin = ReferenceDriver() if twins else None
        for driver in (subject, twin):
            if driver is not None:
                driver.hello(hello)
        return Node(number, subject, twin, Watched(number, state=hello.state()), booted=self.now)

    # --- clocks -------------------------------------------------------------------------------------------

    def wall(self, node: Node) -> int:
        """The node's wall clock in ms."""
        return node.fixed if node.fixed is not None else min(max(self.now + node.offset, 0), MAX_MS)

    def monotonic(self, node: Node) -> int:
        """The node's monotonic clock in ms."""
        return min(self.now - node.booted, MAX_MS)

    def at(self, node: Node, kind: str, **more: object) -> Json:
        """An event that reads both clocks."""
        return {"event": kind, "wall": self.wall(node), "monotonic": self.monotonic(node), **more}

    # --- steps --------------------------------------------------------------------------------------------

    def take(self, node: Node, event: Json, message: Message | None = None) -> Answer:
        """Let a node take a step, compare, judge, and count what was reached.

        :raises DivergenceError: if the answers differ.
        :raises PromiseBrokenError: if a promise is broken.
        """
        before = node.state
        answer = node.subject.step(event)
        from_step = message.step if message is not None else None
        sender = f"n{message.sender}" if message is not None else ""
        problem: AssertionError | None = None
        try:
            if node.twin is not None and (found := compare(node.twin.step(event), answer)):
                raise DivergenceError(
                    "\n".join([event_text(event), *table(found, "reference", node.subject.name)])
                )
            self._onlooker.step(node.watched, event, answer, self.now, message)
        except (DivergenceError, PromiseBrokenError) as error:
            self.problem = problem = error
            raise
        finally:
            self.taken.append(
                Taken(f"n{node.number}", event, before, answer, from_step, sender, problem is not None)
            )
        self._count(node, event, before, answer, message)
        return answer

    def send(self, node: Node, event: Json) -> Answer:
        """Take a step, and send what it stamped or issued."""
        answer = self.take(node, event)
        for effect in answer.effects:
            if effect["effect"] in ("stamped", "issued"):
                step = len(self.taken)
                self.messages.append(self._onlooker.message(node.watched, event, effect, self.now, step))
        return answer

    def deliver(self, node: Node, message: Message) -> Answer:
        """Let a message arrive."""
        event = self.at(node, "observe", remote=list(message.clock), sender=message.sender)
        answer = self.take(node, event, message)
        if outcome(answer) == "refused:early":
            self._early.add((node.number, message.sender, message.clock))
        elif outcome(answer) == "merged" and (node.number, message.sender, message.clock) in self._early:
            self.reached["a message merged that had been early"] += 1
        if outcome(answer) == "merged" and message.step is not None:
            seen = self._delivered.setdefault((node.number, message.sender), set())
            if message.step in seen:
                self.reached["a message delivered twice"] += 1
            elif any(step > message.step for step in seen):
                self.reached["messages overtook each other"] += 1
            seen.add(message.step)
        return answer

    def finish(self) -> None:
        """Judge the whole run."""
        for node in self.nodes:
            node.subject.close()
        if self.problem is None:
            self._onlooker.finish()

    # --- what was reached -----------------------------------------------------------------------------------

    def _count(self, node: Node, event: Json, before: Json, answer: Answer, message: Message | None) -> None:
        kind, result = event["event"], outcome(answer)
        self.reached[f"{kind}: {result}"] += 1
        last = before.get("last", [0, 0])
        full = last[1] == self.config.counters_per_ms - 1
        match kind, result:
            case "tick", "issued":
                if full and answer.effects[0]["timestamp"] == [last[0] + 1, 0] and last[0] >= event["wall"]:
                    self.reached["a full counter carried"] += 1
            case "observe", "merged":
                if event["remote"][0] == last[0] and event["remote"][1] > last[1]:
                    self.reached["equal milliseconds merged with a larger counter"] += 1
                if before["suspended"]:
                    self.reached["merged while suspended"] += 1
            case "confirm", "confirmed" if before["suspended"]:
                by = "an operator" if event["operator"] else "peers"
                self.reached[f"a jump confirmed by {by}"] += 1
            case "crash", _ if before["stopping"]:
                kept = "before" if before["promised"] is not None else "after"
                self.reached[f"ended {kept} a clean stop was durable"] += 1
            case "crash", _ if before["promised"] is not None:
                self.reached["a crash lost a pending write"] += 1
            case "start", "nothing":
                if node.watched.restarted and event["wall"] < before["bound"][0]:
                    self.reached["restarted with the wall clock behind the bound"] += 1
                if before["retired"]:
                    self.reached["started under a new node id"] += 1

    # --- for people -----------------------------------------------------------------------------------------

    def trace(self, title: str, promise: str, verdict: str) -> Trace:
        """The run as a trace, its last step the wrong one."""
        steps = [Step(0, None, "Init", "the beginning", state=self._states({}))]
        states: dict[str, Json] = {}
        for number, taken in enumerate(self.taken, start=1):
            states = {**states, taken.lane: taken.answer.state}
            changes = tuple(
                Change(
                    f"{key}[{taken.lane}]", _shown(taken.before.get(key)), _shown(taken.answer.state.get(key))
                )
                for key in {**taken.before, **taken.answer.state}
                if taken.before.get(key) != taken.answer.state.get(key)
            )
            arrows: tuple[Arrow, ...] = ()
            if taken.from_step is not None:
                arrows = (Arrow(taken.from_step, taken.from_lane, _shown(taken.event["remote"])),)
            kind = taken.event["event"]
            steps.append(
                Step(
                    number,
                    taken.lane,
                    str(kind).title(),
                    f"{event_text(taken.event)}: {taken.answer.error or outcome(taken.answer)}",
                    changes,
                    arrows,
                    self._states(states),
                    wrong=taken.wrong,
                    event=taken.event,
                    effects=taken.answer.effects,
                )
            )
        lanes = tuple(f"n{node.number}" for node in self.nodes)
        return Trace(title, "Hypothesis", "hlc", lanes, tuple(steps), verdict, promise, self._settings)

    def _states(self, states: dict[str, Json]) -> dict[str, Json]:
        unused = {f"n{node.number}": Hello("hlc", {}, node.number).state() for node in self.nodes}
        return {**unused, **states}


def _shown(value: object) -> str:
    if isinstance(value, list) and len(value) == 2:
        return f"{value[0]}:{value[1]}"
    return "none" if value is None else str(value).lower()
