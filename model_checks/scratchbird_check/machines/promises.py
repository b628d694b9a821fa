"""What an onlooker who sees everything demands of a run of clocks, whoever implements them.

The onlooker knows true time, every wall clock and who heard of what. It looks at events, effects and states
alone and computes nothing by the rules of the reference, so that it can refute a wrong rule on its own. Each
promise has the id of the ledger, with a word that says which half of it where it has two: ``HLC-4 own``,
``HLC-4 remote``, ``HLC-4 healthy``, ``HLC-5 bound``. Those that begin with ``HLC.R`` are rules of the
mechanism, which a wrong rule may break without harm yet: they are demanded of the production code, and left
aside when a wrong rule is to be refuted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import networkx

from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.traces.hlc import Json
from scratchbird_reference.hlc import Config

Clock = tuple[int, int]
ZERO: Clock = (0, 0)


class PromiseBrokenError(AssertionError):
    """A promise was broken in the step that was just taken."""

    def __init__(self, promise: str, sentence: str) -> None:
        super().__init__(f"{promise}: {sentence}")
        self.promise = promise
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class Message:
    """A message under way. It is delivered any number of times, in any order, or never."""

    clock: Clock
    sender: int
    past: Clock
    """The greatest id that happened before it was sent."""
    healthy: bool
    """Whether its sender's clocks were right when it was stamped."""
    step: int | None
    """The step in which it was sent; ``None`` if a node outside the run sent it."""
    event: int | None = None
    """The node of the happens-before graph in which it was sent."""


@dataclass(slots=True)
class Watched:
    """What the onlooker knows of one node."""

    node_id: int
    past: Clock = ZERO
    """The greatest id that this node issued or heard of."""
    greatest: str = ""
    """The greatest id that was issued under this node id, as text, whose order is the byte order."""
    restarted: bool = False
    """Whether the process ended since that id was issued."""
    trusted: int = 0
    """Wall clock less true time, in ms, when the wall clock was last trusted."""
    jumped: bool = False
    highest: int = 0
    """The latest time that this node ever believed it to be."""
    stopping: bool = False
    tail: int | None = None
    """The node's last event in the happens-before graph."""
    state: Json = field(default_factory=dict)


class Onlooker:
    """Judges every step of a run.

    :param demanded: the promises to judge; all of them if empty.
    """

    def __init__(self, config: Config, demanded: Iterable[str] = ()) -> None:
        self._config = config
        self._demanded = frozenset(demanded)
        self._graph = networkx.DiGraph()

    def step(
        self, node: Watched, event: Json, answer: Answer, true_time: int, message: Message | None
    ) -> None:
        """Judge one step, and remember what came of it.

        :raises PromiseBrokenError: if it broke a promise that is demanded.
        """
        before, node.state = node.state, answer.state
        if answer.error:
            self._demand("unchanged", before == answer.state, "an event that is an error changed the state")
            return
        kind, effects = event["event"], answer.effects
        offset = event["wall"] - true_time if "wall" in event else 0
        match kind:
            case "start":
                node.trusted, node.jumped, node.stopping = offset, False, False
            case "crash":
                node.restarted = True
            case "stop":
                node.stopping |= any(effect["effect"] == "persist" for effect in effects)
            case "retire":
                node.node_id, node.past, node.greatest, node.tail = event["new_node_id"], ZERO, "", None
                node.highest = 0
        if "wall" in event and not node.stopping:
            node.jumped |= offset - node.trusted > self._config.max_drift_ms
            node.highest = max(node.highest, true_time + self._believed(node, offset))
        for effect in effects:
            self._effect(node, event, effect, before, true_time, offset, message)
        if effects and all(effect["effect"] == "refused" for effect in effects):
            same = {**before, "suspended": None} == {**answer.state, "suspended": None}
            self._demand("unchanged", same, "a refusal changed the state")
        if kind != "retire":
            lowered = _clock(answer.state["bound"]) < _clock(before["bound"])
            allowed = kind == "persisted" and node.stopping
            self._demand("HLC.R16", not lowered or allowed, "the durable bound was lowered, by no clean stop")

    def message(self, node: Watched, event: Json, effect: Json, true_time: int, step: int) -> Message:
        """The message that carries what was just stamped, or the id that was just issued."""
        offset, skew = event["wall"] - true_time, self._config.max_skew_ms
        if effect["effect"] == "issued":  # An id follows the wall clock, a stamp what is believed.
            return self._sent(node, _clock(effect["timestamp"]), 2 * offset <= skew, step)
        return self._sent(node, _clock(effect["clock"]), 2 * self._believed(node, offset) <= skew, step)

    def finish(self) -> None:
        """Judge the whole run: ids extend happens-before, along every path of its graph (HLC-3)."""
        graph = self._graph
        greatest: dict[int, tuple[Clock, int]] = {}
        for event in networkx.topological_sort(graph):
            earlier = max((greatest[item] for item in graph.predecessors(event)), default=(ZERO, event))
            issued = graph.nodes[event].get("issued")
            if issued is not None and earlier[0] != ZERO and issued <= earlier[0]:
                path = networkx.shortest_path(graph, earlier[1], event)
                self._demand("HLC-3", False, f"{issued} after {earlier[0]}, along {len(path) - 1} steps")
            greatest[event] = earlier if issued is None else max(earlier, (issued, event))

    # --- effects ------------------------------------------------------------------------------------------

    def _effect(
        self,
        node: Watched,
        event: Json,
        effect: Json,
        before: Json,
        true_time: int,
        offset: int,
        message: Message | None,
    ) -> None:
        config, wall = self._config, event.get("wall", 0)
        believed = true_time + self._believed(node, offset)
        match effect["effect"]:
            case "issued":
                self._issued(node, effect, before, wall)
            case "merged" if message is not None:
                clock = message.clock
                self._demand(
                    "HLC-4 remote",
                    clock[0] <= believed + config.max_ahead_ms,
                    f"{clock} was merged at {believed} ms, more than {config.max_ahead_ms} ms ahead",
                )
                self._demand(
                    "HLC.R12", clock <= _clock(before["bound"]), f"{clock} was merged above the bound"
                )
                full = clock[1] >= config.counters_per_ms - 1
                behind = believed - wall > config.max_skew_ms or node.jumped
                self._demand(
                    "HLC-4 silenced",
                    behind
                    or clock <= _clock(before["last"])
                    or clock[0] + full <= wall + config.max_ahead_ms,
                    f"{clock} was merged at the wall clock {wall}, where the next tick would be refused",
                )
                node.past = max(node.past, message.past)
                node.tail = self._happens(node, *([] if message.event is None else [message.event]))
            case "stamped":
                clock = _clock(effect["clock"])
                self._demand(
                    "HLC.R7",
                    clock[0] <= believed + config.max_ahead_ms,
                    f"a message carries {clock}, more than {config.max_ahead_ms} ms past {believed} ms",
                )
                self._demand("HLC.R7", clock >= node.past, f"a message carries {clock}, not {node.past}")
            case "confirmed":
                node.trusted, node.jumped = offset, False
                node.highest = max(node.highest, true_time + offset)
            case "persist" if event["event"] != "stop":
                limit = node.highest + config.max_ahead_ms + config.reserve_ms
                self._demand(
                    "HLC-5 bound",
                    effect["bound"][0] <= limit,
                    f"the bound {effect['bound']} is further ahead than {limit} ms, the most that a restart "
                    "may have to wait for",
                )
            case "refused" if effect["reason"] == "drift" and message is not None:
                healthy = 2 * self._believed(node, offset) >= -config.max_skew_ms
                self._demand(
                    "HLC-4 healthy",
                    not (healthy and message.healthy),
                    f"node {node.node_id} is healthy and refused {message.clock} of node {message.sender}, "
                    f"which was healthy, at {believed} ms",
                )

    def _issued(self, node: Watched, effect: Json, before: Json, wall: int) -> None:
        config, made, clock = self._config, effect["id"], _clock(effect["timestamp"])
        promise = "HLC-5" if node.restarted else "HLC-1"
        self._demand(
            promise,
            made > node.greatest,
            f"node {node.node_id} issued {clock} = {made} after {node.greatest}"
            + (", across a restart" if node.restarted else ""),
        )
        self._demand("HLC-3", clock > node.past, f"{clock} was issued after {node.past} had happened")
        self._demand(
            "HLC-4 own",
            clock[0] <= wall + config.max_ahead_ms,
            f"{clock} was issued at {wall} ms, more than {config.max_ahead_ms} ms ahead",
        )
        self._demand("HLC.R10", not node.jumped, f"{clock} was issued after a jump that nobody confirmed")
        self._demand("HLC.R12", clock <= _clock(before["bound"]), f"{clock} was issued above the bound")
        node.greatest, node.past, node.restarted = made, max(node.past, clock), False
        node.tail = self._happens(node, issued=clock)

    def _believed(self, node: Watched, offset: int) -> int:
        """How far what the node holds the time to be is from true time (HLC.R6)."""
        return node.trusted if node.jumped else max(offset, node.trusted)

    def _sent(self, node: Watched, clock: Clock, healthy: bool, step: int) -> Message:
        node.tail = event = self._happens(node)
        return Message(clock, node.node_id, node.past, healthy, step, event)

    def _happens(self, node: Watched, *causes: int, **attributes: Any) -> int:
        """A new event of the happens-before graph, after the node's last one and its causes."""
        number = len(self._graph)
        self._graph.add_node(number, **attributes)
        for cause in (*causes, *(() if node.tail is None else (node.tail,))):
            self._graph.add_edge(cause, number)
        return number

    def _demand(self, promise: str, kept: bool, sentence: str) -> None:
        if not kept and (not self._demanded or promise in self._demanded):
            raise PromiseBrokenError(promise, sentence)


def _clock(value: list[int]) -> Clock:
    return value[0], value[1]
