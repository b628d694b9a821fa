"""The stage for runs of the handoff part: coordinators that keep hints, replicas with a floor, a catalog.

It is the stage of the quorum part (``quorum_world.py``), and beside each coordinator stands what it owes, in
each replica its floor. As there nothing is delivered by itself, with three exceptions that no script needs
otherwise: what replicas say to the catalog, and its answer that all have closed or converged, arrive at once
wherever the process is up; and hints go as soon as their mark is durable. Time passes when a script says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scratchbird_check.traces import quorum_world
from scratchbird_check.traces.quorum_words import NULL
from scratchbird_check.traces.quorum_world import NEVER_WRITTEN, ROW, Stage
from scratchbird_check.variants.handoff import Variant
from scratchbird_history import operations as history
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as floored
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum_messages import Acknowledgement, Held, Send, Write

SHARD = 0
"""The one shard of every run."""
DAY_NS = 86_400 * 10**9
Rows = tuple[tuple[int, Held], ...]


class World(quorum_world.World):
    """Who owes what to whom, and up to where who has forgotten, beside what the quorum part keeps."""

    variant: Variant

    def __init__(self, variant: Variant, stage: Stage) -> None:
        super().__init__(variant, stage)
        settings = stage.settings
        setting = next(iter(settings.values()))
        self.keepers = {name: account.State(setting) for name, setting in settings.items()}
        self.floors = {name: floors.State(setting, floors.Durable(name)) for name in stage.replicas}
        self.catalog = catalog.State(setting, tuple(sorted(self.incarnations.items())))
        self.now_ns = DAY_NS
        self.stamped_at: dict[int, int] = {}
        """By version: when it was made."""
        self.lost_disks = 0
        self.hints: dict[tuple[str, int], list[tuple[int, account.Hint]]] = {}
        """By (coordinator, target): the operation as which it was sent, and the hint; the oldest first."""
        self.proposed: set[int] = set()
        """Replicas to which the catalog has proposed a floor, and that have not heard of it."""
        self.asked: dict[tuple[int, int], floored.AskPast] = {}
        """By (who asks, whom), as ``past``, what was answered."""
        self.past: dict[tuple[int, int], floored.Past] = {}
        self.settled: dict[tuple[int, int], int] = {}
        """What goes with ``exchanged``: the floor at which the sender has settled."""
        self.repairs: dict[tuple[str, int, int], Rows] = {}
        """By (coordinator that owes it, target, the other one): what that answered."""
        self.backups: dict[int, Rows] = {}
        self._holders: dict[int, set[int]] = {}
        """By version of a tombstone: who is known to have held it, or something newer."""

    # --- coordinators -------------------------------------------------------------------------------------

    def at_coordinator(self, name: str, event: operations.Event) -> None:
        """As in the quorum part; and what concerns the account is told to who keeps it."""
        super().at_coordinator(name, event)
        match event:
            case operations.Crash():
                self.at_keeper(name, account.Crash())
            case operations.Deliver(sender, Acknowledgement() as said):
                volatile = self.coordinators[name].volatile
                assert volatile is not None
                rules = self.variant.coordinator.rules
                if rules.current(sender, said.incarnations, volatile.incarnations):
                    self.at_keeper(name, account.Acknowledged(sender, ROW, said.version))

    def make_durable(self, name: str, number: int) -> None:
        """The disk has the intent: that is, all its hints (rule HANDOFF.R2)."""
        self.at_keeper(name, account.Owe(number, SHARD, self.intents[number], self.now_ns))

    def at_keeper(self, name: str, event: account.Event) -> None:
        """One event at who keeps what a coordinator owes; what is durable, is so at once."""
        state, effects = self.variant.keeper.step(self.keepers[name], event)
        self.keepers[name] = state
        for effect in effects:
            match effect:
                case account.Kept(operation):
                    super().make_durable(name, operation)
                case account.SendHint(hint):
                    self.hints.setdefault((name, hint.target), []).append((self._next(), hint))
                case account.MayDrop(place):
                    self.at_keeper(name, account.Drop(place))
                case account.Repair():
                    pass  # When the target exchanges, and with whom, is the script's.

    def _stamp(self, name: str, above: int) -> int:
        version = super()._stamp(name, above)
        self.stamped_at[version] = self.now_ns
        return version

    def _reply(self, reply: operations.Reply) -> None:
        (name,) = (item.coordinator for item in self.clients.values() if item.number == reply.operation)
        super()._reply(reply)
        self.at_keeper(name, account.Ended(reply.operation))

    # --- hints and repairs --------------------------------------------------------------------------------

    def deliver_hint(self, name: str, replica: int) -> tuple[int, Held] | None:
        """The hint that was sent last reaches its target, which answers.

        :return: as which operation it went, and what it held; ``None`` if none was sent.
        """
        sent = self.hints.get((name, replica), ())
        if not sent:
            return None
        number, hint = sent[-1]
        epoch = self.keepers[name].setting.epoch
        self.at_replica(replica, replicas.Deliver(Write(number, epoch, hint.row, hint.held)))
        return number, hint.held

    def begin_repair(self, name: str, replica: int, other: int) -> None:
        """A target asks another replica for all that it holds; the answer is under way (HANDOFF.R6)."""
        self.at_keeper(name, account.ExchangeBegun((replica, SHARD), other))
        self.repairs[name, replica, other] = self.replicas[other].durable.rows

    def end_repair(self, name: str, replica: int, other: int) -> bool:
        """The answer arrives, and is merged. Returns whether there was one."""
        rows = self.repairs.pop((name, replica, other), None)
        if rows is None:
            return False
        self.at_replica(replica, floored.Merge(rows))
        self.at_keeper(name, account.Exchanged((replica, SHARD), other))
        return True

    # --- replicas -----------------------------------------------------------------------------------------

    def at_replica(self, name: int, event: floored.Event) -> None:
        """One event at a replica; its messages are under way, and what it says to the catalog arrives."""
        if isinstance(event, replicas.StartEmpty):
            event = floored.LostDisk(event, self.catalog.proposed)
        before = floored.State(self.replicas[name], self.floors[name])
        state, effects = self.variant.floored.step(before, event)
        self.replicas[name], self.floors[name] = state.rows, state.floor
        for effect in effects:
            match effect:
                case Send():
                    self._leaves(name, effect)
                case floored.SendFloor(to, message):
                    self._floor_leaves(name, to, message)
                case floors.SayClosed(floor):
                    self.at_catalog(catalog.Closed(name, floor))
                case floors.SayConverged(floor):
                    incarnation = state.rows.durable.incarnation
                    self.at_catalog(catalog.Converged(name, floor, incarnation))
                case floors.PurgeBelow():
                    pass  # When there is time to purge is the script's.

    def _floor_leaves(
        self,
        name: int,
        to: int | None,
        message: floored.BelowFloor | floored.AskPast | floored.Past | floored.RecoveredPast,
    ) -> None:
        if isinstance(message, floored.BelowFloor):
            self.responses.setdefault((message.operation, name), []).append(message)
            return
        assert to is not None
        match message:
            case floored.AskPast():
                self.asked[name, to] = message
            case floored.Past():
                self.past[to, name] = message
            case floored.RecoveredPast(rows, settled):
                self.exchanged[to, name] = rows
                self.settled[to, name] = settled

    def is_up(self, name: int) -> bool:
        """Whether a replica's process is running."""
        return self.replicas[name].volatile is not None

    def lose_disk(self, name: int) -> None:
        """The catalog and whoever owes it something hear of it before it starts (HANDOFF.R13)."""
        self.lost_disks += 1
        self.at_catalog(catalog.LostDisk(name, self.incarnations[name] + 1))
        super().lose_disk(name)
        self.asked = {pair: message for pair, message in self.asked.items() if pair[0] != name}
        for keeper in self.keepers:
            self.at_keeper(keeper, account.TargetLostDisk(name))

    def merge(self, name: int, others: Sequence[int]) -> list[int]:
        """As in the quorum part; with the rows comes the floor at which the sender has settled."""
        heard = []
        for other in others:
            if rows := self.exchanged.pop((name, other), None):
                message = floored.RecoveredPast(rows, self.settled.pop((name, other)))
                self.at_replica(name, floored.Deliver(other, message))
                heard.append(other)
        return heard

    def restore(self, name: int) -> Held | None:
        """A replica that lost its disk merges of its backup what it may (HANDOFF.R13).

        :return: what the backup holds of the row, ``None`` if there is no backup.
        """
        rows = self.backups.get(name)
        if rows is None:
            return None
        keeper = floors.FloorKeeper(self.variant.floored.rules)
        others = [other for other in self.replicas if other != name]
        newest = max((self.held(other) for other in others), key=Held.rank)
        durable = self.floors[name].durable
        admitted = tuple(item for item in rows if keeper.admits_backup(durable, newest, item[1]))
        self.at_replica(name, floored.Merge(admitted))
        return dict(rows).get(ROW, Held())

    # --- the floor ----------------------------------------------------------------------------------------

    def at_catalog(self, event: catalog.Event) -> None:
        """One event at the catalog. A floor that it proposes is under way, the rest arrives at once."""
        self.catalog, tells = self.variant.catalog.step(self.catalog, event)
        for tell in tells:
            if isinstance(tell.what, floors.Propose) and isinstance(event, catalog.ProposeFloor):
                self.proposed.add(tell.to)
            elif self.is_up(tell.to):
                self.at_replica(tell.to, tell.what)

    def close(self, name: int) -> bool:
        """The floor that was proposed reaches a replica. Returns whether one was under way to it."""
        if name not in self.proposed:
            return False
        self.proposed.discard(name)
        self.at_replica(name, floors.Propose(self.catalog.proposed))
        return True

    def ask_past(self, name: int, other: int) -> bool:
        """What a replica asks another one for its floor arrives, and what that answers is under way.

        :return: whether there is an answer.
        """
        if self.is_up(other) and (message := self.asked.pop((name, other), None)):
            self.at_replica(other, floored.Deliver(name, message))
        return (name, other) in self.past

    def merge_past(self, name: int, other: int) -> None:
        """The answer arrives."""
        self.at_replica(name, floored.Deliver(other, self.past.pop((name, other))))

    def purge(self, name: int) -> bool:
        """There is time to purge. Returns whether the replica held a tombstone and holds it no more."""
        held = self.held(name)
        if not held.version or held.value is not None:
            return False
        age_days = (self.now_ns - self.stamped_at[held.version]) / DAY_NS
        if self.variant.purges(age_days, self._known_to_all(held)):
            self.at_replica(name, floored.Purge())
        return not self.held(name).version

    def _known_to_all(self, held: Held) -> bool:
        """Whether all hold it or something newer, or held it and have purged it."""
        self._holders.setdefault(held.version, set()).update(
            name for name in self.replicas if self.held(name).version >= held.version
        )
        return self._holders[held.version] == set(self.replicas)

    # --- what clients saw ---------------------------------------------------------------------------------

    def history(self) -> history.History:
        """A row that was never written reads as one that was deleted."""
        seen = super().history()
        as_deleted = (
            replace(item, result=NULL) if item.result == NEVER_WRITTEN else item for item in seen.operations
        )
        return history.History(tuple(as_deleted), NULL)
