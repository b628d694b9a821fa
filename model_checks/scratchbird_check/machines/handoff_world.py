"""The world in which the handoff part's state machine lets accounts, floors and a catalog run.

It is the world of part quorum, with an account beside each coordinator, a floor beside each replica, and one
catalog. What replicas and the catalog tell each other are messages as all others: lost, doubled, late.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scratchbird_check.machines import quorum_world
from scratchbird_check.machines.handoff_onlooker import HandoffOnlooker, shown
from scratchbird_check.machines.handoff_parts import SHARD, Committed, Exchange, Plan
from scratchbird_check.machines.quorum_parts import ROWS, Pending, Sent, Taken
from scratchbird_check.traces.handoff import OF_THIS_PART
from scratchbird_check.variants.handoff import GRACE_DAYS, Variant
from scratchbird_history import operations as history
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalogs
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Held,
    Send,
    Write,
    incarnation_of,
)

CATALOG = "catalog"
HINT_NUMBERS = 1_000_000
"""Operations from this number on are deliveries of hints."""


class World(quorum_world.World):
    """Coordinators, accounts, replicas with floors, and a catalog under some rules; clients; an onlooker."""

    onlooker: HandoffOnlooker
    plan: Plan
    variant: Variant

    def __init__(
        self,
        variant: Variant,
        plan: Plan,
        reached: Counter[str],
        demanded: Sequence[str] = (),
    ) -> None:
        super().__init__(variant, plan, reached, demanded, plan.coordinators)
        self.names = tuple(self.names[place % plan.coordinators] for place in range(3))
        self.onlooker = HandoffOnlooker(demanded)
        setting = plan.setting()
        self.keepers = {name: account.State(setting, limits=plan.limits) for name in self.names}
        self.floors = {name: floors.State(setting, floors.Durable(name)) for name in setting.replicas}
        self.catalog = catalogs.State(setting, tuple((name, 1) for name in setting.replicas))
        self.now_ns = 1_000_000_000_000
        self.may_drop: list[tuple[str, account.Place]] = []
        """What a coordinator was told that it may drop; it does so at any later time, or never."""
        self.exchanges: list[Exchange] = []
        self.backups: dict[int, tuple[tuple[int, Held], ...]] = {}
        self.restoring: dict[int, tuple[tuple[int, Held], ...]] = {}
        """Backups to merge when their replicas have recovered."""
        self._hints: list[tuple[str, account.Hint]] = []
        """What was delivered, by the operation of the delivery."""
        self._judged: tuple[object, ...] = ()
        self._began: dict[int, int] = {}
        """By read: the newest version of its row that was committed before it began."""

    def state(self, name: int) -> handoff_replica.State:
        """A replica's rows and its floor."""
        return handoff_replica.State(self.replicas[name], self.floors[name])

    # --- clients ------------------------------------------------------------------------------------------

    def read(self, process: str, coordinator: str, row: int) -> int:
        before = self.onlooker.newest(row)
        number = super().read(process, coordinator, row)
        self._began[number] = before
        return number

    def deadline(self, number: int) -> None:
        super().deadline(number)
        self._ended(number)

    def crash(self, name: str, on_disk: bool) -> None:
        was_up = self.coordinators[name].volatile is not None
        super().crash(name, on_disk)
        if was_up:
            self.onlooker.begins(name)
            self.exchanges = [item for item in self.exchanges if item.coordinator != name]
            self.may_drop = [item for item in self.may_drop if item[0] != name]
            self.at_keeper(name, account.Crash())

    def make_durable(self, pending: Pending) -> None:
        """An intent and its hints are durable, in one step; then the coordinator is told."""
        name, number = pending.coordinator, pending.number
        if number not in dict(self.keepers[name].volatile.writes):
            self.at_keeper(name, account.Owe(number, SHARD, pending.intent, self.now_ns))
        super().make_durable(pending)
        operation = self.operation(number)
        if operation is None or operation.phase is operations.Phase.DONE:
            self._ended(number)

    def _reply(self, reply: operations.Reply) -> None:
        super()._reply(reply)
        asked = self.asked[reply.operation]
        if isinstance(asked.request, operations.PutValue):
            if reply.outcome is operations.Outcome.COMMITTED:
                self.onlooker.commit(Committed(asked.coordinator, asked.request.row, reply.held))
                self.reached["a delete was committed"] += reply.held.value is None
            self._ended(reply.operation)
        elif isinstance(asked.request, operations.Read) and reply.outcome is operations.Outcome.VALUE:
            before = self._began.get(reply.operation, 0)
            self.onlooker.demand(
                "fresh",
                reply.held.version >= before,
                f"a read returned version {reply.held.version} of row {asked.request.row}; version {before} "
                f"was committed before it began",
            )
            settled = any(state.durable.floor == reply.held.version for state in self.floors.values())
            self.reached["a read returned a floor"] += bool(reply.held.version) and settled

    def _ended(self, number: int) -> None:
        name = self.asked[number].coordinator
        if number in dict(self.keepers[name].volatile.writes):
            self.at_keeper(name, account.Ended(number))

    # --- accounts -----------------------------------------------------------------------------------------

    def at_keeper(self, name: str, event: account.Event) -> None:
        """One event at a coordinator's account."""
        before = self.keepers[name]
        after, effects = self.variant.keeper.step(before, event)
        self.keepers[name] = after
        self._took(Taken(f"h{name[1:]}", event, effects, before, after, None))
        for effect in effects:
            match effect:
                case account.SendHint(hint):
                    assert isinstance(event, account.Tick)
                    self._hints.append((name, hint))
                    number = HINT_NUMBERS + len(self._hints)
                    write = Write(number, after.setting.epoch, hint.row, hint.held)
                    self.messages.append(Sent(name, f"r{hint.target}", write, len(self.taken)))
                    self.onlooker.sends(name, hint, event.now_ns, after.limits)
                    self.reached["a hint was sent"] += 1
                case account.MayDrop(place):
                    self.may_drop.append((name, place))
        if isinstance(event, account.KeepAgain | account.Drop | account.Unreadable):
            self.onlooker.comes_back(name, event.place, after)
        self._note_account(event, before, after)
        self.onlooker.returns(name, after)
        self._judge()

    def _note_account(self, event: account.Event, before: account.State, after: account.State) -> None:
        was, now, reached = dict(before.durable.marks), dict(after.durable.marks), self.reached
        reached["a mark was opened"] += any(mark.is_open and place not in was for place, mark in now.items())
        reached["a mark was closed"] += any(
            was[place].is_open and not mark.is_open for place, mark in now.items() if place in was
        )
        reached["a mark was paid"] += len(now) < len(was)
        gone = len(after.durable.hints) < len(before.durable.hints)
        reached["hints were dropped under a mark"] += gone and isinstance(event, account.Drop)
        reached["a hint was paid"] += gone and isinstance(event, account.Acknowledged)
        if isinstance(event, account.Owe):
            writes = dict(after.volatile.writes)
            reached["a write left out a target that is given up"] += bool(writes[event.operation].left_out)
        if isinstance(event, account.KeepAgain):
            reached["a mark stayed open for a write"] += event.place in after.volatile.coming_back
        if isinstance(event, account.Tick):
            reached["a target was given up by a limit"] += len(now) > len(was)
            reached["a target was slow to answer"] += len(after.volatile.under_way) < len(
                before.volatile.under_way
            )

    def time_passes(self, by_ns: int) -> None:
        """For all coordinators; backwards as well."""
        self.now_ns = max(0, self.now_ns + by_ns)
        if by_ns < 0:
            self.reached["a clock was set back"] += 1
            self.onlooker.time_jumped()

    def ticks(self, name: str) -> None:
        """A coordinator looks what is due."""
        if self.coordinators[name].volatile is not None:
            self.at_keeper(name, account.Tick(self.now_ns))

    def drop(self, index: int, *, again: bool = False) -> None:
        """A coordinator drops what it was told that it may."""
        name, place = self.may_drop[index]
        if not again:
            del self.may_drop[index]
        if self.coordinators[name].volatile is not None:
            self.at_keeper(name, account.Drop(place))

    # --- exchanges that pay a mark ------------------------------------------------------------------------

    def begin_exchange(self, name: str, target: int, other: int) -> Exchange | None:
        """A coordinator has a target ask another replica: one exchange of the two at a time."""
        if self.coordinators[name].volatile is None or target == other:
            return None
        mine = Exchange(name, target, other)
        self.exchanges = [
            item
            for item in self.exchanges
            if (item.coordinator, item.target, item.other) != (name, target, other)
        ]
        self.exchanges.append(mine)
        self.at_keeper(name, account.ExchangeBegun((target, SHARD), other))
        return mine

    def answer_exchange(self, mine: Exchange) -> None:
        """The other one says all that it holds, if it is up and has a vote."""
        if self._votes(mine.other):
            mine.rows = self.replicas[mine.other].durable.rows

    def end_exchange(self, mine: Exchange) -> None:
        """What was answered is merged, and the coordinator hears of it, if it is up."""
        if mine.rows is None or not self._votes(mine.target):
            return
        self.exchanges.remove(mine)
        self.at_replica(mine.target, handoff_replica.Merge(mine.rows))
        self.at_keeper(mine.coordinator, account.Exchanged((mine.target, SHARD), mine.other))

    def _votes(self, name: int) -> bool:
        state = self.replicas[name]
        return state.volatile is not None and state.durable.recovering is None

    # --- messages -----------------------------------------------------------------------------------------

    def deliver(self, sent: Sent, *, again: bool = False) -> bool:
        body: Any = sent.body
        if sent.receiver == CATALOG:
            self._arrives(sent, again)
            self.at_catalog(body, sent)
            return True
        if sent.sender == CATALOG and sent.receiver in self.coordinators:
            self._arrives(sent, again)
            if self.coordinators[sent.receiver].volatile is not None:
                for target in self.replicas:  # What is paid is not waited for.
                    self.onlooker.answered(sent.receiver, target, None, body)
                self.at_keeper(sent.receiver, account.Erased(SHARD, body))
            return True
        if sent.sender == CATALOG:
            return self._arrives(sent, again) and self._told(int(sent.receiver[1:]), body, sent)
        if isinstance(body, handoff_replica.BelowFloor):
            self._arrives(sent, again)
            self.reached["a write was refused below the floor"] += 1
            if self.coordinators[sent.receiver].volatile is not None:
                place = int(sent.sender[1:]), SHARD
                self.onlooker.answered(sent.receiver, place[0], None, body.closed)
                self.at_keeper(sent.receiver, account.Refused(place, body.closed))
            return True
        state = self.coordinators.get(sent.receiver)
        if state is not None and state.volatile is not None and isinstance(body, Acknowledgement):
            self._acknowledged(sent, body)
        if state is not None and body.operation > HINT_NUMBERS:
            return self._arrives(sent, again)
        return super().deliver(sent, again=again)

    def _arrives(self, sent: Sent, again: bool) -> bool:
        if not again:
            self.messages.remove(sent)
        sent.arrived += 1
        return True

    def _acknowledged(self, sent: Sent, body: Acknowledgement) -> None:
        """To the account it counts only in the present incarnation, as far as the coordinator knows."""
        name, target = sent.receiver, int(sent.sender[1:])
        volatile = self.coordinators[name].volatile
        assert volatile is not None
        known = incarnation_of(target, volatile.incarnations)
        if incarnation_of(target, body.incarnations) < known:
            return
        if body.operation > HINT_NUMBERS:
            row = self._hints[body.operation - HINT_NUMBERS - 1][1].row
        else:
            row = self.asked[body.operation].call.row
        self.onlooker.answered(name, target, row, body.version)
        self.at_keeper(name, account.Acknowledged(target, row, body.version))

    def _told(self, name: int, what: Any, sent: Sent) -> bool:
        if self.replicas[name].volatile is None:
            return False
        self.at_replica(name, what, sent)
        return True

    # --- replicas -----------------------------------------------------------------------------------------

    def at_replica(self, name: int, event: Any, sent: Sent | None = None) -> None:
        """One event at a replica; its messages are under way."""
        message = getattr(event, "message", None)
        if isinstance(message, OF_THIS_PART):
            event = handoff_replica.Deliver(event.sender, message)
        before = self.state(name)
        after, effects = self.variant.floored.step(before, event)
        self.replicas[name], self.floors[name] = after.rows, after.floor
        self._took(Taken(f"r{name}", event, effects, before, after, sent))
        self.onlooker.kept_with_floor(name, before, after)
        for effect in effects:
            if not isinstance(effect, floors.PurgeBelow):
                self.messages.append(self._sent(name, effect))
        self._note_replica(before, after)
        if before.rows.durable.recovering is not None and after.rows.durable.recovering is None:
            self.reached["a replica recovered"] += 1
            self._restore(name)
        self._judge()

    def _sent(self, name: int, effect: Any) -> Sent:
        sender, step = f"r{name}", len(self.taken)
        match effect:
            case floors.SayClosed(floor):
                return Sent(sender, CATALOG, catalogs.Closed(name, floor), step)
            case floors.SayConverged(floor):
                incarnation = self.replicas[name].durable.incarnation
                return Sent(sender, CATALOG, catalogs.Converged(name, floor, incarnation), step)
        assert isinstance(effect, Send | handoff_replica.SendFloor)
        if effect.to is not None:
            return Sent(sender, f"r{effect.to}", effect.message, step)
        number = effect.message.operation  # type: ignore[union-attr]  # what a coordinator is sent has one
        if number > HINT_NUMBERS:
            return Sent(sender, self._hints[number - HINT_NUMBERS - 1][0], effect.message, step)
        return Sent(sender, self.asked[number].coordinator, effect.message, step)

    def _note_replica(self, before: handoff_replica.State, after: handoff_replica.State) -> None:
        was, now, reached = before.floor.durable, after.floor.durable, self.reached
        reached["a floor was closed"] += now.closed > was.closed
        reached["a replica converged"] += now.converged > was.converged
        reached["a replica settled"] += now.floor > was.floor
        reached["a tombstone was purged"] += len(after.rows.durable.rows) < len(
            before.rows.durable.rows
        ) and (after.rows.durable.incarnation == before.rows.durable.incarnation)

    def lose_disk(self, name: int) -> None:
        """A replica loses its disk, and starts on an empty one with what the catalog says of both parts."""
        self.reached["a disk was lost"] += 1
        self.incarnations[name] += 1
        if self.replicas[name].volatile is not None:
            self.at_replica(name, quorum_replica.Crash())
        self.onlooker.lost.add(name)
        self.restoring.pop(name, None)
        self.exchanges = [item for item in self.exchanges if item.target != name]
        self.at_catalog(catalogs.LostDisk(name, self.incarnations[name]))
        for coordinator in self.keepers:
            self.at_keeper(coordinator, account.TargetLostDisk(name))
        told = self.variant.hands_out(name, self.incarnations)
        start = quorum_replica.StartEmpty(self.variant.recovers_by(self.in_force), told, self.newest.epoch)
        self.at_replica(name, handoff_replica.LostDisk(start, self.catalog.proposed))

    def purge(self, name: int) -> None:
        """There is time to purge, if the replica is up; a wrong one asks for more than time."""
        if self.replicas[name].volatile is None:
            return
        tombstones = [
            (row, held.version) for row, held in self.replicas[name].durable.rows if held.value is None
        ]
        all_hold_it = all(
            shown(other.durable.held(row), self.floors[number].durable).version >= version
            for row, version in tombstones
            for number, other in self.replicas.items()
        )
        if self.variant.purges(GRACE_DAYS, all_hold_it):
            self.at_replica(name, handoff_replica.Purge())

    def restore(self, name: int) -> None:
        """A backup is a lost disk; what it holds is merged when the replica has recovered (HANDOFF.R13)."""
        rows = self.backups.pop(name)
        self.lose_disk(name)
        self.restoring[name] = rows

    def _restore(self, name: int) -> None:
        for row, held in self.restoring.pop(name, ()):
            others = max(
                (self._answer(other, row) for other in self.replicas if other != name), key=Held.rank
            )
            keeper = floors.FloorKeeper(self.variant.floored.rules)
            if keeper.admits_backup(self.floors[name].durable, others, held):
                self.reached["a backup was merged"] += 1
                self.at_replica(name, handoff_replica.Merge(((row, held),)))

    # --- the catalog --------------------------------------------------------------------------------------

    def at_catalog(self, event: catalogs.Event, sent: Sent | None = None) -> None:
        """One event at the catalog."""
        before = self.catalog
        self.catalog, told = catalogs.Catalog().step(before, event)
        self._took(Taken(CATALOG, event, told, before, self.catalog, sent))
        for item in told:
            self.messages.append(Sent(CATALOG, f"r{item.to}", item.what, len(self.taken)))
        if self.catalog.all_converged > before.all_converged:
            for name in self.keepers:
                self.messages.append(Sent(CATALOG, name, self.catalog.all_converged, len(self.taken)))

    def propose(self, ahead: int) -> bool:
        """A floor is proposed: below the newest versions, among them, or above all."""
        if self.catalog.proposed != self.catalog.all_converged and not self.catalog.void:
            return False
        floor = max(1, max(self._versions, default=1) + ahead)
        while floor in self._versions or floor <= self.catalog.proposed:
            floor += 1
        self._versions.add(floor)
        self.at_catalog(catalogs.ProposeFloor(floor))
        return True

    def adopt(self, name: str) -> None:
        super().adopt(name)
        if self.keepers[name].setting.epoch < self.newest.epoch:
            self.at_keeper(name, account.Adopt(self.newest))

    # --- what is judged -----------------------------------------------------------------------------------

    def history(self) -> history.History:
        """What clients saw. A row that was never written and one that was deleted are the same."""
        told = super().history()
        deleted = quorum_world.shown_value(None)
        never = quorum_world.NEVER_WRITTEN
        shown = tuple(
            replace(item, result=deleted) if item.result == never else item for item in told.operations
        )
        return history.History(shown, deleted)

    def _answer(self, name: int, row: int) -> Held:
        """What a query would be told."""
        durable = self.floors[name].durable
        return floors.FloorKeeper(self.variant.floored.rules).answer(
            durable, self.replicas[name].durable.held(row)
        )

    def _judge(self) -> None:
        now = (
            *self.replicas.values(),
            *self.floors.values(),
            *self.keepers.values(),
            *self.onlooker.committed.values(),
        )
        if len(now) == len(self._judged) and all(
            one is two for one, two in zip(now, self._judged, strict=True)
        ):
            return
        self._judged = now
        answers = {
            (name, row): self._answer(name, row)
            for name, state in self.replicas.items()
            if state.durable.recovering is None
            for row in ROWS
        }
        states = {name: self.state(name) for name in self.replicas}
        self.onlooker.look(self.newest, self.keepers, states, answers)
