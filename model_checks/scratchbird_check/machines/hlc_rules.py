"""The rules of the clock's state machine: what can happen to three clocks, and to the messages between them.

Most rules first see to it that the node is up, or runs would spend their steps on nodes that are down; the
rule ``anything`` sends events whatever the state is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from scratchbird_check.conformance.drivers import Answer, Driver
from scratchbird_check.conformance.recorder import outcome
from scratchbird_check.machines.promises import Clock, Message
from scratchbird_check.machines.world import Node, World
from scratchbird_check.traces.hlc import Json
from scratchbird_reference.uuid8 import MAX_COUNTER, MAX_MS, MAX_RANDOM

SMALL: Json = {
    "max_drift_ms": 5,
    "max_ahead_ms": 3,
    "max_skew_ms": 2,
    "reserve_ms": 8,
    "confirm_quorum": 1,
}
FEW_COUNTERS: Json = {**SMALL, "counters_per_ms": 2}
"""Production has 4096 counters a millisecond, always; the reference and its variants can do with two."""

NODES = 3
nodes = st.integers(0, NODES - 1)
edges = st.sampled_from(["now", "last", "bound", "ahead", "drift", "remembered", "zero", "end"])
"""Where a millisecond is taken from: the values at which a rule changes its mind."""
moves = st.sampled_from([0, 0, 0, 1, -1])
counters = st.sampled_from([0, 1, -2, -1, MAX_COUNTER])
"""Negative: from the end of the millisecond."""


@dataclass(slots=True)
class Setup:
    """What a machine drives, and what it found."""

    subject: Callable[[], Driver]
    """Makes the implementation of one node."""
    twins: bool = True
    """Whether the reference runs beside it, and must give the same answers."""
    demanded: tuple[str, ...] = ()
    """The promises that are judged; all of them if empty."""
    configs: tuple[Json, ...] = ({}, SMALL)
    reached: Counter[str] = field(default_factory=Counter)
    failed: World | None = None
    """The world of the last run that failed: after shrinking, that of the smallest one."""


class ClockMachine(RuleBasedStateMachine):
    """Three clocks in one world. A subclass sets ``setup``."""

    setup: ClassVar[Setup]
    world: World

    @initialize(
        number=st.integers(0, 3),
        begin=st.sampled_from([1_000, 0, MAX_MS - 20]),
        shares=st.tuples(*[st.sampled_from([0, 1, -1])] * NODES),
    )
    def begin(self, number: int, begin: int, shares: tuple[int, ...]) -> None:
        setup = self.setup
        config = setup.configs[number % len(setup.configs)]
        self.world = World(config, begin, setup.subject, setup.reached, NODES, setup.twins, setup.demanded)
        for index, share in enumerate(shares):
            self.drift(index, share)

    # --- time and wall clocks -----------------------------------------------------------------------------

    @rule(ms=st.one_of(st.integers(0, 3), st.sampled_from(["ahead", "drift", "reserve"])))
    def pass_time(self, ms: int | str) -> None:
        config = self.world.config
        lengths = {"ahead": config.max_ahead_ms, "drift": config.max_drift_ms, "reserve": config.reserve_ms}
        self.world.now += ms if isinstance(ms, int) else lengths[ms]

    @rule(number=nodes, share=st.sampled_from([-1, 0, 1]))
    def drift(self, number: int, share: int) -> None:
        """A wall clock is off by no more than those of healthy nodes are."""
        node = self._node(number)
        node.fixed, node.offset = None, share * (self.world.config.max_skew_ms // 2)

    @rule(
        number=nodes,
        by=st.sampled_from(["ahead", "drift", "much"]),
        sign=st.sampled_from([-1, 1]),
        more=moves,
    )
    def step_wall(self, number: int, by: str, sign: int, more: int) -> None:
        """A wall clock is set, by as much as a rule still bears, or by far more."""
        node, config = self._node(number), self.world.config
        sizes = {"ahead": config.max_ahead_ms, "drift": config.max_drift_ms, "much": 3_600_000}
        node.fixed, node.offset = None, node.offset + sign * sizes[by] + more

    @rule(number=nodes, wall=st.sampled_from([0, 1, MAX_MS - 1, MAX_MS]))
    def wild_wall(self, number: int, wall: int) -> None:
        self._node(number).fixed = wall

    # --- ids and messages ---------------------------------------------------------------------------------

    @rule(number=nodes, random=st.sampled_from([0, 1, MAX_RANDOM]))
    def tick(self, number: int, random: int) -> None:
        node = self._awake(number)
        self.world.take(node, self.world.at(node, "tick", random=random))

    @rule(number=nodes, count=st.integers(1, 12))
    def burst(self, number: int, count: int) -> None:
        """Ids as fast as they are given, the bound being written at once."""
        node = self._awake(number)
        for _ in range(count):
            self._decided(node, lambda: self.world.take(node, self.world.at(node, "tick")))

    @rule(number=nodes, kinds=st.lists(st.sampled_from(["tick", "stamp"]), min_size=1, max_size=4))
    def send(self, number: int, kinds: list[str]) -> None:
        """Messages that carry the clock, or the id which was just issued."""
        node = self._awake(number)
        for kind in kinds:
            self._decided(node, partial(self._send, node, kind))

    @precondition(lambda self: self.world.messages)
    @rule(number=nodes, index=st.integers(0, 30), decided=st.booleans())
    def deliver(self, number: int, index: int, decided: bool) -> None:
        """Any message arrives; it may arrive again, at any node."""
        messages = self.world.messages
        message = messages[-1 - index % len(messages)]
        node = self._receiver(number, message)
        if decided:
            self._decided(node, lambda: self.world.deliver(node, message))
        else:
            self.world.deliver(node, message)

    @precondition(lambda self: self.world.messages)
    @rule(number=nodes, count=st.integers(1, 4), reverse=st.booleans())
    def deliver_some(self, number: int, count: int, reverse: bool) -> None:
        """The latest messages of one node arrive, in the order in which they were sent or the other one."""
        sender = self.world.messages[-1].sender
        latest = [message for message in self.world.messages if message.sender == sender][-count:]
        for message in latest[::-1] if reverse else latest:
            node = self._receiver(number, message)
            self._decided(node, partial(self.world.deliver, node, message))

    @rule(number=nodes, above=st.integers(0, 2), full=st.booleans(), again=st.booleans())
    def hear_early(self, number: int, above: int, full: bool, again: bool) -> None:
        """A message whose clock is ahead of what may be merged; it is kept, and arrives again when it may."""
        node, config = self._awake(number), self.world.config
        wall, remembered = self.world.wall(node), self.world.monotonic(node) + node.state["anchor"]
        present = remembered if remembered - wall > config.max_skew_ms else wall
        clock = min(present + config.max_ahead_ms + above, MAX_MS), full * (config.counters_per_ms - 1)
        answer = self._hear(node, clock)
        if again and outcome(answer) == "refused:early":
            self.world.now += answer.effects[0]["retry_after_ms"]
            self._decided(node, lambda: self._hear(node, clock))

    @precondition(lambda self: self.world.messages)
    @rule(index=st.integers(0, 30))
    def lose(self, index: int) -> None:
        del self.world.messages[index % len(self.world.messages)]
        self.world.reached["a message was lost"] += 1

    @rule(number=nodes, edge=edges, move=moves, counter=counters, decided=st.booleans())
    def hear_stranger(self, number: int, edge: str, move: int, counter: int, decided: bool) -> None:
        """A message from a node outside the run, its clock where a rule changes its mind."""
        node = self._awake(number)
        wall, state, config = self.world.wall(node), node.state, self.world.config
        places = {
            "now": wall,
            "last": state["last"][0],
            "bound": state["bound"][0],
            "ahead": wall + config.max_ahead_ms,
            "drift": wall + config.max_drift_ms,
            "remembered": self.world.monotonic(node) + state["anchor"] + config.max_drift_ms,
            "zero": 0,
            "end": MAX_MS,
        }
        full = counter if counter >= 0 else config.counters_per_ms + counter
        clock = min(max(places[edge] + move, 0), MAX_MS), full
        if decided:
            self._decided(node, lambda: self._hear(node, clock))
        else:
            self._hear(node, clock)

    @rule(number=nodes, below_full=st.integers(0, 5), ahead=st.booleans())
    def fill(self, number: int, below_full: int, ahead: bool) -> None:
        """The counter is nearly full: 4090 and more were used up elsewhere in this millisecond."""
        node, config = self._awake(number), self.world.config
        ms = self.world.wall(node) + (config.max_ahead_ms if ahead else 0)
        clock = min(ms, MAX_MS), max(config.counters_per_ms - 1 - below_full, 0)
        self._decided(node, lambda: self._hear(node, clock))
        for _ in range(below_full + 2):
            self._decided(node, lambda: self.world.take(node, self.world.at(node, "tick")))

    # --- processes and disks ------------------------------------------------------------------------------

    @rule(number=nodes, written=st.booleans(), reboot=st.booleans())
    def restart(self, number: int, written: bool, reboot: bool) -> None:
        """A crash, with the write under way on the disk or not, and a start."""
        node = self._awake(number)
        if written and node.state["promised"] is not None:
            self.world.take(node, {"event": "persisted"})
            self.world.reached["a crash kept a pending write"] += 1
        self.world.take(node, {"event": "crash"})
        if reboot:
            node.booted = self.world.now
        self._awake(number)

    @rule(number=nodes, times=st.integers(1, 4))
    def crash_loop(self, number: int, times: int) -> None:
        """A process that ends again and again as soon as it has reserved."""
        node = self._awake(number)
        for _ in range(times):
            if outcome(self.world.take(node, self.world.at(node, "reserve"))) == "persist":
                self.world.take(node, {"event": "persisted"})
            self.world.take(node, {"event": "crash"})
            self._awake(number)

    @rule(number=nodes)
    def crash(self, number: int) -> None:
        self.world.take(self._awake(number), {"event": "crash"})

    @rule(number=nodes)
    def reserve(self, number: int) -> None:
        node = self._awake(number)
        self.world.take(node, self.world.at(node, "reserve"))

    @rule(number=nodes)
    def persisted(self, number: int) -> None:
        self.world.take(self._awake(number), {"event": "persisted"})

    @rule(number=nodes, durable=st.booleans())
    def stop(self, number: int, durable: bool) -> None:
        """A clean stop begins, and may end."""
        node = self._awake(number)
        answer = self.world.take(node, {"event": "stop"})
        if durable and outcome(answer) == "persist":
            self.world.take(node, {"event": "persisted"})

    @rule(number=nodes, fresh=st.booleans())
    def retire(self, number: int, fresh: bool) -> None:
        """A node gives up its id for a new one, or for one that it had."""
        node = self._node(number)
        if node.up:
            self.world.take(node, {"event": "crash"})
        new = 1_000 * (len(node.state["retired"]) + 1) + number if fresh else node.state["node_id"]
        self.world.take(node, {"event": "retire", "new_node_id": new})

    # --- confirmation, and events whatever the state ------------------------------------------------------

    @rule(
        number=nodes,
        past=st.integers(0, 2),
        seen_by=st.sampled_from(["tick", "stamp", "reserve", "observe", "observe far", "nothing"]),
        peers=st.booleans(),
    )
    def jump(self, number: int, past: int, seen_by: str, peers: bool) -> None:
        """A wall clock jumps forward, past what is remembered by as much as may be, or by more.

        It is noticed at once or later, and peers confirm it at once or not.
        """
        node = self._awake(number)
        remembered = self.world.monotonic(node) + node.state["anchor"]
        wall = remembered + self.world.config.max_drift_ms + past
        node.fixed, node.offset = None, wall - self.world.now
        if seen_by.startswith("observe"):
            far = self.world.config.max_drift_ms if seen_by.endswith("far") else 0
            self._hear(node, (min(max(remembered + far, 0), MAX_MS), 0))
        elif seen_by != "nothing":
            self.world.take(node, self.world.at(node, seen_by))
        if peers:
            self.confirm_by_peers(number, 0, self.world.config.confirm_quorum, 0)

    @rule(number=nodes)
    def confirm_by_operator(self, number: int) -> None:
        node = self._awake(number)
        self.world.take(node, self.world.at(node, "confirm", operator=True, peers=[]))

    @rule(number=nodes, skew=st.sampled_from([0, 1, -1]), agree=st.integers(0, 3), others=st.integers(0, 2))
    def confirm_by_peers(self, number: int, skew: int, agree: int, others: int) -> None:
        """Peers report wall clocks: within the allowed skew or at its edge, and some past it."""
        node, most = self._awake(number), self.world.config.max_skew_ms
        wall = self.world.wall(node)
        walls = [wall + skew * most] * agree + [wall + (skew or 1) * (most + 1)] * others
        peers = [[50_000 + index, min(max(wall, 0), MAX_MS)] for index, wall in enumerate(walls)]
        self.world.take(node, self.world.at(node, "confirm", operator=False, peers=peers))

    @rule(
        number=nodes,
        kind=st.sampled_from(["start", "tick", "stamp", "reserve", "confirm", "stop", "persisted"]),
    )
    def anything(self, number: int, kind: str) -> None:
        """An event whatever the state is: many of these are errors, which change nothing."""
        node = self._node(number)
        reads_clocks = kind not in ("stop", "persisted")
        self.world.take(node, self.world.at(node, kind) if reads_clocks else {"event": kind})

    def teardown(self) -> None:
        """Judge the whole run, if it has begun."""
        if hasattr(self, "world"):
            if self.world.problem:
                self.setup.failed = self.world
            self.world.finish()

    # --- helpers ------------------------------------------------------------------------------------------

    def _node(self, number: int) -> Node:
        return self.world.nodes[number]

    def _awake(self, number: int) -> Node:
        """The node, which is up."""
        node = self._node(number)
        if not node.up:
            self.world.take(node, self.world.at(node, "start"))
        return node

    def _receiver(self, number: int, message: Message) -> Node:
        """The node, which is up, or the next one if the message is its own."""
        own = message.sender == self._node(number).state["node_id"]
        return self._awake((number + own) % NODES)

    def _send(self, node: Node, kind: str) -> Answer:
        return self.world.send(node, self.world.at(node, kind))

    def _hear(self, node: Node, clock: Clock) -> Answer:
        """A message from a node outside the run, all that happened before which is its clock."""
        return self.world.deliver(node, Message(clock, 60_000, clock, healthy=False, step=None))

    def _decided(self, node: Node, act: Callable[[], Answer]) -> None:
        """Act; if that needs a bound that is not durable yet, let it become durable and act again."""
        if any(effect["effect"] == "deferred" for effect in act().effects):
            self.world.take(node, {"event": "persisted"})
            act()
