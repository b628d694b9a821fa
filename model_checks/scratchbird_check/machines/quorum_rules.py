"""The rules of the quorum part's state machine: what can happen to coordinators, replicas and their messages.

A rule that begins or goes on with an operation says how far it gets at once: which replicas are asked and
answer, and which are sent what is written and acknowledge it. The rest stays under way, to arrive by other
rules later, in any order, or never. So runs of a few dozen rules come to where quorums go wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from scratchbird_check.machines.quorum_parts import ROWS, Asked, Call, Plan, Sent
from scratchbird_check.machines.quorum_world import World
from scratchbird_check.variants.quorum import RIGHT, Variant
from scratchbird_history.operations import Kind
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Exchange,
    Exchanged,
    Mode,
    OldEpoch,
    Query,
)

T = TypeVar("T")

COORDINATORS = 3
SESSIONS = ("s1", "s2")

places = st.integers(0, COORDINATORS - 1)
members = st.integers(0, 4)
SOME = (
    *[()] * 5,
    *[(0,), (1,), (2,)] * 2,
    *[(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)] * 2,
    *[(0, 1, 2), (2, 1, 0)] * 2,
    *[(0, 1, 2, 3, 4)] * 3,
    (2, 3, 4),
    (0, 3, 4),
    (1, 2, 3),
    (3, 4),
    (3,),
    (4,),
)
MOST = (
    *[(0, 1), (0, 2), (1, 2), (1, 0), (2, 0), (2, 1)] * 2,
    *[(0, 1, 2, 3, 4), (4, 3, 2, 1, 0), (2, 3, 4, 0, 1)] * 2,
    (2, 3, 4),
    (0, 3, 4),
    (0,),
    (),
)
some = st.sampled_from(SOME)
"""Replicas, in the order in which they are reached; those that a run does not have are left out."""
most = st.sampled_from(MOST)
"""The same, for what is asked first: mostly as many as are needed."""
rows = st.sampled_from((0, 0, 0, 1))
indices = st.sampled_from((0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 6, 9, 14))
"""Counted from the end: the latest are the most interesting."""

LINEARIZABLE = (
    Plan((3, 2, 2)),
    Plan((3, 2, 2)),
    Plan((3, 3, 2)),
    Plan((3, 3, 1)),
    Plan((3, 1, 3)),
    Plan((1, 1, 1)),
    Plan((2, 2, 1)),
    Plan((4, 3, 2)),
    Plan((5, 3, 3)),
)
EVENTUAL = (Plan((3, 1, 1), Mode.EVENTUAL), Plan((3, 2, 2), Mode.EVENTUAL), Plan((2, 1, 1), Mode.EVENTUAL))


@dataclass(slots=True)
class Setup:
    """What a machine drives, and what it found."""

    variant: Variant = RIGHT
    demanded: tuple[str, ...] = ()
    """The promises that are judged; all of them if empty."""
    plans: tuple[Plan, ...] = LINEARIZABLE + EVENTUAL
    reached: Counter[str] = field(default_factory=Counter)
    failed: Any = None
    """The world of the last run that failed: after shrinking, that of the smallest one."""


class QuorumMachine(RuleBasedStateMachine):
    """Coordinators and replicas in one world. A subclass sets ``setup``."""

    setup: ClassVar[Setup]
    exchanges: ClassVar[tuple[type, type]] = (Exchange, Exchanged)
    """What a replica asks others that recovers, and what they answer."""
    world: World

    @initialize(
        plan=st.integers(0, 35),
        skews=st.tuples(*[st.sampled_from([1, 1, 10, 100])] * COORDINATORS),
        slow=st.sets(places, max_size=1),
    )
    def begin(self, plan: int, skews: tuple[int, ...], slow: set[int]) -> None:
        setup = self.setup
        chosen = setup.plans[plan % len(setup.plans)]
        self.world = World(setup.variant, chosen, setup.reached, setup.demanded, COORDINATORS)
        self.world.reached[f"N, W, R = {chosen.sizes}, {chosen.mode.value}"] += 1
        self.world.clocks = dict(zip(self.world.names, skews, strict=True))
        self.world.slow_disks = {self.world.names[place] for place in slow}

    # --- clients ------------------------------------------------------------------------------------------

    @rule(place=places, row=rows, hears=most, holds=some, session=st.sampled_from(SESSIONS))
    def read(self, place: int, row: int, hears: Sequence[int], holds: Sequence[int], session: str) -> None:
        self._advance(self.world.read(session, self.world.names[place], ROWS[row]), hears, holds)

    @rule(place=places, row=rows, stale=st.booleans(), holds=some, session=st.sampled_from(SESSIONS))
    def read_edge(self, place: int, row: int, stale: bool, holds: Sequence[int], session: str) -> None:
        """A read that is answered first by those that hold the oldest, or the newest."""
        number = self.world.read(session, self.world.names[place], ROWS[row])
        self._advance(number, self._by_age(ROWS[row], stale), holds)

    @rule(place=places, row=rows, hears=most, holds=some, session=st.sampled_from(SESSIONS))
    def read_back(
        self, place: int, row: int, hears: Sequence[int], holds: Sequence[int], session: str
    ) -> None:
        """A write, and a read that those which took it answer first, and the others after its reply."""
        name = self.world.names[place]
        number = self.world.write(session, name, ROWS[row], self.world.new_value())
        self._advance(number, hears, holds)
        number = self.world.read(session, name, ROWS[row])
        order = self._by_age(ROWS[row], stale=False)
        self._advance(number, order, ())
        self._advance(number, order, (), late=True)

    @rule(
        place=places,
        row=rows,
        hears=most,
        holds=some,
        delete=st.sampled_from([False, False, False, True]),
        session=st.sampled_from(SESSIONS),
    )
    def write(
        self, place: int, row: int, hears: Sequence[int], holds: Sequence[int], delete: bool, session: str
    ) -> None:
        value = None if delete and not self.world.eventual else self.world.new_value()
        number = self.world.write(session, self.world.names[place], ROWS[row], value)
        self._advance(number, hears, holds)

    @rule(place=places, row=rows, hears=most, holds=some, at_once=st.booleans())
    def reserve(
        self, place: int, row: int, hears: Sequence[int], holds: Sequence[int], at_once: bool
    ) -> None:
        """A client reserves a version, and writes under it at once or later."""
        name = self.world.names[place]
        number = self.world.reserve("s3", name, ROWS[row], self.world.new_value())
        self._advance(number, hears, holds)
        call = self.world.asked[number].call
        if call.reserved and at_once:
            self._advance(self.world.put_reserved(call, name), hears, holds)

    @precondition(lambda self: any(call.reserved or self._repeats(call) for call in self.world.calls))
    @rule(index=indices, place=places, hears=most, holds=some)
    def repeat(self, index: int, place: int, hears: Sequence[int], holds: Sequence[int]) -> None:
        """A client writes what it reserved, once more or for the first time, anywhere."""
        calls = [call for call in self.world.calls if call.reserved or self._repeats(call)]
        number = self.world.repeat(latest(calls, index), self.world.names[place])
        if number is not None:
            self._advance(number, hears, holds)

    @precondition(lambda self: not self.world.eventual and any(call.version for call in self.world.calls))
    @rule(index=indices, older=st.booleans(), place=places, hears=most, holds=some)
    def look_up(
        self, index: int, older: bool, place: int, hears: Sequence[int], holds: Sequence[int]
    ) -> None:
        """Somebody asks what became of a write, one of the first or one of the last."""
        calls = [call for call in self.world.calls if call.version and call.kind is Kind.WRITE]
        if calls:
            chosen = latest(calls[::-1] if older else calls, index)
            self._advance(self.world.look_up(chosen, self.world.names[place]), hears, holds)

    # --- messages -----------------------------------------------------------------------------------------

    @precondition(lambda self: self.world.asked)
    @rule(index=indices, hears=some, holds=some)
    def go_on(self, index: int, hears: Sequence[int], holds: Sequence[int]) -> None:
        """An operation goes on."""
        self._advance(latest(list(self.world.asked), index), hears, holds)

    @precondition(lambda self: self.world.asked)
    @rule(index=indices, reached=some)
    def store(self, index: int, reached: Sequence[int]) -> None:
        """What is written reaches replicas; what they say is under way."""
        self._requests(latest(list(self.world.asked), index), reached, ())

    @precondition(lambda self: self.world.asked)
    @rule(index=indices, reached=some)
    def respond(self, index: int, reached: Sequence[int]) -> None:
        """What replicas said to an operation arrives."""
        self._responses(latest(list(self.world.asked), index), reached)

    @precondition(lambda self: self.world.messages)
    @rule(index=st.integers(0, 60), again=st.booleans())
    def deliver(self, index: int, again: bool) -> None:
        """Any message arrives; it may arrive again."""
        messages = self.world.messages
        chosen = latest(messages, index)
        if any(other.step < chosen.step and other.receiver == chosen.receiver for other in messages):
            self.world.reached["a message overtook another"] += 1
        self.world.deliver(chosen, again=again)

    @precondition(lambda self: self.world.messages)
    @rule(index=st.integers(0, 60), count=st.integers(1, 6))
    def deliver_some(self, index: int, count: int) -> None:
        """Messages arrive in the order in which they were sent, from some place on."""
        start = index % len(self.world.messages)
        for sent in self.world.messages[start : start + count]:
            self.world.deliver(sent)

    @precondition(lambda self: self.world.messages)
    @rule(index=st.integers(0, 60))
    def lose(self, index: int) -> None:
        self.world.messages.remove(latest(self.world.messages, index))
        self.world.reached["a message was lost"] += 1

    # --- time, clocks and disks -----------------------------------------------------------------------------

    @precondition(lambda self: self.world.asked)
    @rule(index=indices)
    def deadline(self, index: int) -> None:
        self.world.deadline(latest(list(self.world.asked), index))

    @rule(place=places, slow=st.booleans(), refuses=st.booleans())
    def clock(self, place: int, slow: bool, refuses: bool) -> None:
        """A clock is slow to make versions, or refuses to, or neither; what waited is made."""
        name, world = self.world.names[place], self.world
        (world.slow_clocks.add if slow else world.slow_clocks.discard)(name)
        (world.refusing_clocks.add if refuses and not slow else world.refusing_clocks.discard)(name)
        for index in range(len(world.stamps) - 1, -1, -1):
            if world.stamps[index][0] == name and not slow:
                world.tick(index)

    @rule(place=places, ahead=st.sampled_from([-50, 0, 1, 50]))
    def skew(self, place: int, ahead: int) -> None:
        """A clock is set: behind the others or ahead of them."""
        most = max(self.world.clocks.values())
        self.world.clocks[self.world.names[place]] = max(1, most + ahead)

    @rule(place=places, slow=st.booleans())
    def disk(self, place: int, slow: bool) -> None:
        """A coordinator's disk is slow, or no more: what waited becomes durable."""
        name, world = self.world.names[place], self.world
        (world.slow_disks.add if slow else world.slow_disks.discard)(name)
        if not slow and world.coordinators[name].volatile is not None:
            for pending in [item for item in world.intents if item.coordinator == name]:
                world.make_durable(pending)

    @rule(place=places, on_disk=st.booleans(), starts=st.booleans())
    def crash(self, place: int, on_disk: bool, starts: bool) -> None:
        """A coordinator crashes, with what it asked its disk to keep on it or not."""
        self.world.crash(self.world.names[place], on_disk)
        if starts:
            self.world.awake(self.world.names[place])

    @rule(member=members)
    def restart(self, member: int) -> None:
        if (name := self._member(member)) is not None:
            self.world.restart(name)

    @rule(member=members)
    def stop(self, member: int) -> None:
        """A replica ends; the rule ``restart`` starts it."""
        name = self._member(member)
        if name is not None and self.world.replicas[name].volatile is not None:
            self.world.at_replica(name, replicas.Crash())

    @precondition(lambda self: self.world.may_lose())
    @rule(member=members, hears=some)
    def lose_disk(self, member: int, hears: Sequence[int]) -> None:
        """A replica loses its disk, and hears some of the others at once."""
        if (name := self._member(member)) is not None:
            self.world.lose_disk(name)
            self._exchanges(name, hears)

    @precondition(lambda self: self.world.asked and self.world.may_lose())
    @rule(index=indices, member=members, hears=some, goes_on=some)
    def forget(self, index: int, member: int, hears: Sequence[int], goes_on: Sequence[int]) -> None:
        """A replica stores what is written, and loses its disk while its acknowledgement is under way."""
        if (name := self._member(member)) is None:
            return
        number = latest(list(self.world.asked), index)
        self._requests(number, (member,), ())
        self.world.lose_disk(name)
        self._exchanges(name, hears)
        self._responses(number, (member,))
        self._advance(number, (), goes_on)

    @rule(member=members, hears=some)
    def recover(self, member: int, hears: Sequence[int]) -> None:
        """A replica that recovers asks again, and hears some of the others."""
        name = self._member(member)
        if name is None or self.world.replicas[name].durable.recovering is None:
            return
        if self.world.replicas[name].volatile is None:
            self.world.restart(name)
        self.world.at_replica(name, replicas.Ask())
        self._exchanges(name, hears)

    # --- settings -----------------------------------------------------------------------------------------

    @rule(write=st.integers(1, 5), read=st.integers(1, 5), places=st.sets(places))
    def change(self, write: int, read: int, places: set[int]) -> None:
        """Another W and R come, and some coordinators learn of it."""
        size = len(self.world.replicas)
        write, read = 1 + write % size, 1 + read % size
        if not self.world.eventual and write + read <= size:
            read = size - write + 1
        if self.world.change(write, read):
            for place in sorted(places):
                self.world.adopt(self.world.names[place])

    @rule(place=places)
    def adopt(self, place: int) -> None:
        self.world.adopt(self.world.names[place])

    @precondition(lambda self: self.world.planned is not None)
    @rule(place=places, hears=most, holds=some)
    def barrier(self, place: int, hears: Sequence[int], holds: Sequence[int]) -> None:
        """Every row is read once in the joint epoch; then the new setting is used."""
        name = self.world.names[place]
        self.world.adopt(name)
        for row in ROWS:
            self._advance(self.world.read("barrier", name, row), hears, holds)
        if self.world.planned is None:
            self.world.adopt(name)

    def teardown(self) -> None:
        """Read what there is through different quorums, and judge the whole run, if it has begun."""
        if hasattr(self, "world"):
            try:
                if self.world.problem is None:
                    self._last_things()
            finally:
                if self.world.problem is not None:
                    self.setup.failed = self.world

    def _last_things(self) -> None:
        self._read_all()
        self.world.finish()

    # --- helpers ------------------------------------------------------------------------------------------

    def _read_all(self) -> None:
        """Every row by each coordinator, from those that hold the oldest on: there a write is missed."""
        world = self.world
        for replica in world.replicas:
            if world.replicas[replica].volatile is None:
                world.restart(replica)
        for row in ROWS[: 1 + any(call.row == ROWS[1] for call in world.calls)]:
            for name in world.names:
                if name == world.names[-1]:
                    world.adopt(name)
                for session in SESSIONS if world.eventual else SESSIONS[:1]:
                    order = self._by_age(row, True)
                    self._advance(world.read(session, name, row), order, order)

    def _by_age(self, row: int, stale: bool) -> list[int]:
        """All replicas, those that hold the oldest first, or the newest."""
        states = self.world.replicas
        names = sorted(states, key=lambda name: states[name].durable.held(row).rank(), reverse=not stale)
        return [name - 1 for name in names]

    def _member(self, member: int) -> int | None:
        names = list(self.world.replicas)
        return names[member] if member < len(names) else None

    def _repeats(self, call: Call) -> bool:
        return self.world.variant.repeats_under_new_version and call.kind is Kind.WRITE and call.open

    def _advance(
        self, number: int, hears: Sequence[int], holds: Sequence[int], *, late: bool = False
    ) -> None:
        """Ask these replicas, one after another, and send those what is written; each answers at once."""
        for member in hears:
            self._requests(number, (member,), (Query,))
            self._responses(number, (member,), Answer, OldEpoch)
            if not late and not self._still(number, operations.Phase.ASKING):
                break  # What is asked beyond a quorum arrives later, or never.
        for member in holds:
            self._requests(number, (member,), ())
            self._responses(number, (member,))

    def _still(self, number: int, phase: operations.Phase) -> bool:
        operation = self.world.operation(number)
        return operation is not None and operation.phase is phase

    def _requests(self, number: int, members: Sequence[int], kinds: tuple[type, ...]) -> None:
        """What an operation sent to these replicas arrives; without ``kinds`` all but queries."""
        for member in members:
            for sent in [item for item in self.world.messages if item.receiver == f"r{member + 1}"]:
                if getattr(sent.body, "operation", 0) != number:
                    continue
                wanted = isinstance(sent.body, kinds) if kinds else not isinstance(sent.body, Query)
                if wanted:
                    self.world.deliver(sent)

    def _responses(self, number: int, members: Sequence[int], *kinds: type) -> None:
        """What these replicas said to an operation arrives, the latest of it."""
        asked: Asked = self.world.asked[number]
        for member in members:
            said: list[Sent] = [
                item
                for item in self.world.messages
                if item.sender == f"r{member + 1}"
                and item.receiver == asked.coordinator
                and isinstance(item.body, Answer | Acknowledgement | OldEpoch)
                and item.body.operation == number
                and (not kinds or isinstance(item.body, kinds))
            ]
            for sent in said[-1:]:
                self.world.deliver(sent)

    def _exchanges(self, name: int, hears: Sequence[int]) -> None:
        for member in hears:
            other = self._member(member)
            asks, answers = self.exchanges
            for kind, sender, receiver in ((asks, name, other), (answers, other, name)):
                for sent in [
                    item
                    for item in self.world.messages
                    if isinstance(item.body, kind)
                    and (item.sender, item.receiver) == (f"r{sender}", f"r{receiver}")
                ][-1:]:
                    self.world.deliver(sent)


def latest(items: Sequence[T], index: int) -> T:
    """One of these, counted from the end."""
    return items[-1 - index % len(items)]
