"""The rules of the handoff part's state machine, beside those of part quorum's, which it has all.

A rule says how far it gets at once: a floor is closed by some and not by others, a target merges what some
others hold. What is under way besides arrives by other rules later, in any order, or never.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from scratchbird_check.machines.handoff_parts import LIMITS, MS, SHARD, Exchange, Plan
from scratchbird_check.machines.handoff_world import CATALOG, HINT_NUMBERS, World
from scratchbird_check.machines.quorum_parts import ROWS
from scratchbird_check.machines.quorum_rules import (
    COORDINATORS,
    QuorumMachine,
    indices,
    latest,
    members,
    places,
    rows,
    some,
)
from scratchbird_check.variants.handoff import RIGHT, Variant
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalogs
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import quorum_replica
from scratchbird_reference.handoff import SECOND_NS
from scratchbird_reference.handoff_replica import AskPast, Past, RecoveredPast
from scratchbird_reference.quorum_messages import Exchange as Ask

PLANS = (
    Plan((3, 2, 2)),
    Plan((3, 2, 2), limits=LIMITS[1]),
    Plan((3, 1, 3), limits=LIMITS[2]),
    Plan((3, 3, 1)),
    Plan((2, 1, 2), limits=LIMITS[1]),
    Plan((2, 2, 1)),
    Plan((4, 2, 3), limits=LIMITS[2]),
    Plan((5, 3, 3)),
)
EVERYBODY = (0, 1, 2, 3, 4)
targets = st.sampled_from((0, 1, 2, 2, 2, 3, 4))
"""Replicas that are owed something: what some take at once leaves out the last ones most."""
passed = st.sampled_from(
    (1, MS, 20 * MS, 20 * MS, SECOND_NS, SECOND_NS, 4 * SECOND_NS, -SECOND_NS, 70 * SECOND_NS)
)
few_or_all = st.sampled_from(
    (EVERYBODY, EVERYBODY, (0, 1), (1, 2), (0, 2), (0,), (1,), (2,), (3, 4), (2, 1, 0))
)
orders = st.sampled_from((EVERYBODY, EVERYBODY[::-1], (1, 2, 0, 4, 3), (2, 0, 1, 3, 4)))
begun = st.sampled_from(((), (), (), (0,), (1,), (0, 1), EVERYBODY))
"""Who stores at once what has just begun."""
takers = st.sampled_from(
    (EVERYBODY, (0, 1), (0, 1), (0, 1), (0, 1, 2), (0, 1, 2), (1, 2), (0, 2), (0,), (1,), ())
)
"""Who stores a write at once."""
STAGES = tuple(
    order
    for order in permutations(
        ("a write begins", "it goes on", "the target is back", "exchanges begin", "exchanges end")
    )
    if order.index("a write begins") < order.index("it goes on")
    and order.index("exchanges begin") < order.index("exchanges end")
)
ROUNDS = 60
"""So many seconds are enough for the few hints of a run."""


@dataclass(slots=True)
class Setup:
    """What a machine drives, and what it found."""

    variant: Variant = RIGHT
    demanded: tuple[str, ...] = ()
    """The promises that are judged; all of them if empty."""
    plans: tuple[Plan, ...] = PLANS
    reached: Counter[str] = field(default_factory=Counter)
    failed: Any = None
    """The world of the last run that failed: after shrinking, that of the smallest one."""


class HandoffMachine(QuorumMachine):
    """Coordinators with accounts, replicas with floors, and a catalog in one world."""

    setup: ClassVar[Setup]  # type: ignore[assignment]  # of this part, not of quorums
    exchanges = (Ask, RecoveredPast)
    may_lose_disks: ClassVar[bool] = True
    """Whether a rule that does several things may lose a disk among them."""
    world: World

    @initialize(
        plan=st.integers(0, 35),
        skews=st.tuples(*[st.sampled_from([1, 1, 10, 100])] * COORDINATORS),
        slow=st.sets(places, max_size=1),
    )
    def begin(self, plan: int, skews: tuple[int, ...], slow: set[int]) -> None:
        chosen = self.setup.plans[plan % len(self.setup.plans)]
        self.world = World(self.setup.variant, chosen, self.setup.reached, self.setup.demanded)
        self.world.reached[f"N, W, R = {chosen.sizes}"] += 1
        self.world.clocks = dict(zip(self.world.names, skews, strict=True))
        self.world.slow_disks = {self.world.names[place] for place in slow}

    @rule(place=places, row=rows, holds=takers, delete=st.booleans(), replies=st.booleans())
    def commit(self, place: int, row: int, holds: Sequence[int], delete: bool, replies: bool) -> None:
        """A write that asks all, is stored by these, and mostly committed; the others are owed it."""
        world = self.world
        name, value = world.names[place], None if delete else world.new_value()
        number = world.write("s1", name, ROWS[row], value)
        self._advance(number, EVERYBODY, holds if replies else ())
        if not replies:
            self._requests(number, holds, ())

    # --- accounts -----------------------------------------------------------------------------------------

    @rule(place=places, member=targets, drops=st.booleans(), back=st.booleans())
    def give_up(self, place: int, member: int, drops: bool, back: bool) -> None:
        """An operator removes what is kept for a target; it may go at once, and be kept again at once."""
        name, target = self._of(place, member)
        self.world.at_keeper(name, account.GiveUp(target))
        if drops:
            self._drop_all(name)
        if back:
            self.world.at_keeper(name, account.KeepAgain((target, SHARD)))

    @rule(
        place=places,
        member=targets,
        row=rows,
        stages=st.sampled_from(STAGES),
        holds=begun,
        hears=few_or_all,
        goes_on=st.one_of(st.none(), takers),
        drops=st.booleans(),
    )
    def outage(
        self,
        place: int,
        member: int,
        row: int,
        stages: Sequence[str],
        holds: Sequence[int],
        hears: Sequence[int],
        goes_on: Sequence[int] | None,
        drops: bool,
    ) -> None:
        """A target misses a write, and is given up.

        Meanwhile, or when it is back, another write begins, and exchanges do, in any order. It goes on to
        these, or to all but the target.
        """
        name, target = self._of(place, member)
        world, number = self.world, 0
        asked: list[Exchange | None] = []
        others = [other - 1 for other in world.replicas if other != target]
        self._advance(world.write("s1", name, ROWS[row], world.new_value()), EVERYBODY, others)
        world.at_keeper(name, account.GiveUp(target))
        if drops:
            self._drop_all(name)
        for stage in stages:
            if stage == "a write begins":
                number = world.write("s1", name, ROWS[row], world.new_value())
                self._advance(number, EVERYBODY, holds)
            elif stage == "it goes on":
                self._advance(number, (), others if goes_on is None else goes_on)
            elif stage == "the target is back":
                world.at_keeper(name, account.KeepAgain((target, SHARD)))
            elif stage == "exchanges begin":
                asked = [self._exchange(name, target, other) for other in hears]
            else:
                for mine in asked:
                    if mine is not None:
                        world.end_exchange(mine)

    @rule(place=places, member=targets)
    def spoil(self, place: int, member: int) -> None:
        """Bytes of the log are destroyed that held hints for this target."""
        name, target = self._of(place, member)
        self.world.at_keeper(name, account.Unreadable((target, SHARD)))

    @rule(place=places, member=targets)
    def keep_again(self, place: int, member: int) -> None:
        name, target = self._of(place, member)
        self.world.at_keeper(name, account.KeepAgain((target, SHARD)))

    @precondition(lambda self: self.world.may_drop)
    @rule(index=indices, again=st.booleans())
    def drop(self, index: int, again: bool) -> None:
        """At any time after it was told that it may, also twice."""
        self.world.drop(-1 - index % len(self.world.may_drop), again=again)

    @rule(place=places, member=targets, other=members, answers=st.booleans())
    def begin_exchange(self, place: int, member: int, other: int, answers: bool) -> None:
        name, target = self._of(place, member)
        with_whom = self._member(other)
        mine = None if with_whom is None else self.world.begin_exchange(name, target, with_whom)
        if mine is not None and answers:
            self.world.answer_exchange(mine)

    @precondition(lambda self: self.world.exchanges)
    @rule(index=indices)
    def answer_exchange(self, index: int) -> None:
        self.world.answer_exchange(latest(self.world.exchanges, index))

    @precondition(lambda self: self.world.exchanges)
    @rule(index=indices)
    def end_exchange(self, index: int) -> None:
        self.world.end_exchange(latest(self.world.exchanges, index))

    @rule(place=places, member=targets, hears=few_or_all)
    def repair(self, place: int, member: int, hears: Sequence[int]) -> None:
        """A target merges all that these others hold."""
        name, target = self._of(place, member)
        self._repair(name, target, hears)

    @rule(place=places, after=passed, arrive=st.sampled_from((True, True, False, None)))
    def tick(self, place: int, after: int, arrive: bool | None) -> None:
        """Time passes or goes back; a coordinator sends what is due, to arrive at once, late, or not yet."""
        name = self.world.names[place]
        self.world.time_passes(after)
        self.world.ticks(name)
        if arrive is None:
            self.world.time_passes(self.world.plan.limits.answer_within_ns + 1)
            self.world.ticks(name)
        if arrive:
            self._hints_arrive(EVERYBODY)

    @rule(reached=some)
    def hints_arrive(self, reached: Sequence[int]) -> None:
        """Hints that were sent reach these targets, and what they say arrives."""
        self._hints_arrive(reached)

    # --- floors -------------------------------------------------------------------------------------------

    @rule(ahead=st.sampled_from((-3, -1, 0, 0, 2)), closes=few_or_all)
    def propose(self, ahead: int, closes: Sequence[int]) -> None:
        """A floor is proposed, and some close it."""
        if self.world.propose(ahead):
            self._close(closes)

    @rule(closes=few_or_all)
    def close(self, closes: Sequence[int]) -> None:
        self._close(closes)

    @rule(converge=few_or_all, hears=few_or_all)
    def converge(self, converge: Sequence[int], hears: Sequence[int]) -> None:
        """Some hear that all have closed, and merge what some others hold."""
        for member in converge:
            self._converge(member, hears)

    @rule(settle=few_or_all, purges=st.booleans())
    def settle(self, settle: Sequence[int], purges: bool) -> None:
        """Some hear that all have converged, settle, and may purge at once."""
        self._settle(settle, purges)

    @rule(purges=few_or_all)
    def purge(self, purges: Sequence[int]) -> None:
        for member in purges:
            self._purge(member)

    @rule(
        ahead=st.sampled_from((0, 0, 0, -1)),
        begins=st.booleans(),
        first=few_or_all,
        sooner=few_or_all,
        loses=st.sampled_from((None, None, 0, 1, 2)),
        late=few_or_all,
        hears=orders,
        purges=st.booleans(),
    )
    def whole_floor(
        self,
        ahead: int,
        begins: bool,
        first: Sequence[int],
        sooner: Sequence[int],
        loses: int | None,
        late: Sequence[int],
        hears: Sequence[int],
        purges: bool,
    ) -> None:
        """A floor from the proposal to the purge, where some are sooner than the others.

        A write may be under way meanwhile, which reaches some when some have closed the floor and some have
        converged, and one may have lost its disk.
        """
        world = self.world
        if begins:
            self._advance(world.write("s1", world.names[0], ROWS[0], world.new_value()), EVERYBODY, ())
        world.propose(ahead)
        self._close(first)
        for member in sooner:
            self._converge(member, hears)
        name = None if loses is None else self._member(loses)
        if name is not None and world.may_lose() and self.may_lose_disks:
            (world.restore if name in world.backups else world.lose_disk)(name)
            self._exchanges(name, EVERYBODY)
        if world.asked:
            self._requests(latest(list(world.asked), 0), late, ())
        self._close(EVERYBODY)
        for member in EVERYBODY:
            self._converge(member, hears)
            if purges:
                self._purge(member)
        self._settle(EVERYBODY, True)

    # --- backups ------------------------------------------------------------------------------------------

    @rule(member=members)
    def back_up(self, member: int) -> None:
        if (name := self._member(member)) is not None:
            self.world.backups[name] = self.world.replicas[name].durable.rows

    @precondition(lambda self: self.world.backups and self.world.may_lose())
    @rule(index=indices, hears=few_or_all)
    def restore(self, index: int, hears: Sequence[int]) -> None:
        """A replica is restored from a backup, and hears some of the others at once."""
        name = latest(sorted(self.world.backups), index)
        self.world.restore(name)
        self._exchanges(name, hears)

    # --- the end ------------------------------------------------------------------------------------------

    def _last_things(self) -> None:
        if self.world.onlooker.judges("drained"):
            self._drain()
        if self.world.onlooker.judges("linearizable", "fresh"):
            super()._last_things()

    def _drain(self) -> None:
        """All is up and messages arrive: what is owed is paid."""
        world = self.world
        world.slow_clocks.clear()
        world.refusing_clocks.clear()
        world.slow_disks.clear()
        for index in range(len(world.stamps) - 1, -1, -1):
            world.tick(index)
        for name in world.keepers:
            world.awake(name)
            world.adopt(name)
            for pending in [item for item in world.intents if item.coordinator == name]:
                world.make_durable(pending)
        for number in world.asked:
            world.deadline(number)
        self._up()
        for second in range(ROUNDS):
            if not self._owed():
                break
            self._quiet_second(last=second >= ROUNDS // 2)
        owed = self._owed()
        world.onlooker.demand("drained", not owed, f"after {ROUNDS} quiet rounds is owed: {'; '.join(owed)}")

    def _quiet_second(self, *, last: bool) -> None:
        """A second passes, or so many that a hint below the floor, which nobody takes, is given up."""
        world = self.world
        refused = last and world.catalog.proposed
        world.time_passes(world.plan.limits.most_age_ns + 1 if refused else SECOND_NS)
        for name, keeper in world.keepers.items():
            self._drop_all(name)
            for (target, shard), mark in keeper.durable.marks:
                if mark.is_open:
                    world.at_keeper(name, account.KeepAgain((target, shard)))
                self._repair(name, target, EVERYBODY)
            world.ticks(name)
        self._up()

    def _up(self) -> None:
        """Everybody is up, asks what there is to ask, and every message arrives."""
        world = self.world
        for name in world.replicas:
            if world.replicas[name].volatile is None:
                world.restart(name)
            world.at_replica(name, quorum_replica.Ask())
            world.at_catalog(catalogs.Ask(name))
        while world.messages:
            world.deliver(world.messages[0])
        for name in world.replicas:
            world.purge(name)

    def _owed(self) -> list[str]:
        return [
            *(
                f"version {hint.held.version} of row {hint.row} to r{hint.target} by {name}"
                for name, keeper in self.world.keepers.items()
                for hint in keeper.durable.hints
            ),
            *(
                f"a repair to r{target} by {name}"
                for name, keeper in self.world.keepers.items()
                for (target, _), _ in keeper.durable.marks
            ),
        ]

    # --- helpers ------------------------------------------------------------------------------------------

    def _of(self, place: int, member: int) -> tuple[str, int]:
        """A coordinator that is up, and a replica."""
        name, replicas = self.world.names[place], list(self.world.replicas)
        self.world.awake(name)
        return name, replicas[member % len(replicas)]

    def _drop_all(self, name: str) -> None:
        for index in range(len(self.world.may_drop) - 1, -1, -1):
            if self.world.may_drop[index][0] == name:
                self.world.drop(index)

    def _repair(self, name: str, target: int, hears: Sequence[int]) -> None:
        for other in hears:
            if (mine := self._exchange(name, target, other)) is not None:
                self.world.end_exchange(mine)

    def _exchange(self, name: str, target: int, other: int) -> Exchange | None:
        """An exchange that is begun, and answered."""
        with_whom = self._member(other)
        mine = None if with_whom is None else self.world.begin_exchange(name, target, with_whom)
        if mine is not None:
            self.world.answer_exchange(mine)
        return mine

    def _hints_arrive(self, reached: Sequence[int]) -> None:
        names = {f"r{member + 1}" for member in reached}
        for what in ("receiver", "sender"):
            for sent in list(self.world.messages):
                if getattr(sent.body, "operation", 0) > HINT_NUMBERS and getattr(sent, what) in names:
                    self.world.deliver(sent)

    def _close(self, closes: Sequence[int]) -> None:
        for member in closes:
            if (name := self._asks_catalog(member)) is not None:
                self._pass(CATALOG, f"r{name}", floors.Propose)
                self._pass(f"r{name}", CATALOG, catalogs.Closed)

    def _converge(self, member: int, hears: Sequence[int]) -> None:
        if (name := self._asks_catalog(member)) is None:
            return
        self._pass(CATALOG, f"r{name}", floors.AllClosed)
        for one in hears:
            other = self._member(one)
            self._pass(f"r{name}", f"r{other}", AskPast)
            self._pass(f"r{other}", f"r{name}", Past)
        self._pass(f"r{name}", CATALOG, catalogs.Converged)

    def _settle(self, settle: Sequence[int], purges: bool) -> None:
        for member in settle:
            if (name := self._asks_catalog(member)) is not None:
                self._pass(CATALOG, f"r{name}", floors.AllConverged)
                if purges:
                    self._purge(member)

    def _purge(self, member: int) -> None:
        if (name := self._member(member)) is not None:
            self.world.purge(name)

    def _asks_catalog(self, member: int) -> int | None:
        """A replica that is up asks how far the floor is."""
        name = self._member(member)
        if name is None or self.world.replicas[name].volatile is None:
            return None
        self.world.at_catalog(catalogs.Ask(name))
        return name

    def _pass(self, sender: str, receiver: str, kind: type) -> None:
        """The latest such message arrives."""
        for sent in [
            item
            for item in self.world.messages
            if (item.sender, item.receiver) == (sender, receiver) and isinstance(item.body, kind)
        ][-1:]:
            self.world.deliver(sent)
