"""The stage for runs of the forest part: replicas with forests, their exchanges, a catalog.

Nothing is delivered by itself, with three exceptions that no script needs otherwise: what replicas say to the
catalog arrives, and so does its answer that all have closed the floor; the answer to a question that a
replica asks in an exchange comes at once. A script says when an exchange goes on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scratchbird_check.machines.merkle_forest_pair import GRACE_MS, SHAPE
from scratchbird_check.variants.merkle_forest import ComparesAsItIs, Variant
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as floored
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference import quorum_replica
from scratchbird_reference.merkle_forest import MS_SHIFT, Entry
from scratchbird_reference.quorum_messages import Held, Setting, Write

REPLICAS = (1, 2)
SETTING = Setting(REPLICAS, 2, 2)

Pair = tuple[int, int]
"""Of an exchange: who drives it, then the other side."""


@dataclass(slots=True)
class Exchange:
    """One exchange, and what its two sides held of what it is about when it began.

    :ivar promised: by side and row, what is at or below the stable time that both agreed on.
    """

    driving: exchanges.Driving | None = None
    effect: exchanges.Effect | None = None
    promised: dict[tuple[int, int], Held] = field(default_factory=dict)


@dataclass(slots=True)
class Turn:
    """A question, its answer, and the driver's state before and after."""

    question: messages.Question
    reply: messages.Reply
    before: exchanges.Driving
    after: exchanges.Driving | None


class World:
    """Replicas under one variant, and what is under way between them."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.driver = variant.drives()
        self.answerer = variant.answers()
        self.states = {
            name: forests.State(floored.first_state(name, SETTING), forests.Durable(SHAPE, GRACE_MS))
            for name in REPLICAS
        }
        self.answering = dict.fromkeys(REPLICAS, exchanges.Answering())
        self.begun = 0
        self.exchanges: dict[Pair, Exchange] = {}
        self.succeeded: list[tuple[Pair, Exchange]] = []
        self.needless: dict[Pair, list[set[int]]] = {}
        """By pair: the windows that differed in an exchange that neither side needed."""
        self.catalog = catalog.State(SETTING, tuple((name, 1) for name in REPLICAS))
        self.converged: dict[int, floors.AllConverged] = {}
        """To whom it is under way that all have converged."""
        self.asked: dict[Pair, floored.AskPast] = {}
        self.past: dict[Pair, floored.Past] = {}
        """By (who asks, whom)."""
        self.written: dict[int, tuple[int, Held]] = {}
        """By version: the row, and what was written."""

    # --- replicas -----------------------------------------------------------------------------------------

    def at(self, name: int, event: forests.Event) -> None:
        """One event at a replica; what it says to others is under way."""
        self.states[name], effects = self.variant.forests.step(self.states[name], event)
        for effect in effects:
            match effect:
                case floors.SayClosed(floor):
                    self.at_catalog(catalog.Closed(name, floor))
                case floors.SayConverged(floor):
                    self.at_catalog(catalog.Converged(name, floor, 1))
                case floored.SendFloor(int(to), floored.AskPast() as message):
                    self.asked[name, to] = message
                case floored.SendFloor(int(to), floored.Past() as message):
                    self.past[to, name] = message

    def at_catalog(self, event: catalog.Event) -> None:
        """One event at the catalog."""
        self.catalog, tells = catalog.Catalog().step(self.catalog, event)
        for tell in tells:
            match tell.what:
                case floors.AllConverged() as told:
                    self.converged[tell.to] = told
                case floors.AllClosed() as told:
                    self.at(tell.to, told)

    def write(self, version: int, row: int, value: bytes | None) -> None:
        """Clients write; nobody is reached yet."""
        self.written[version] = row, Held(version, value)

    def arrive(self, name: int, version: int) -> None:
        """What was written reaches a replica."""
        row, held = self.written[version]
        self.at(name, quorum_replica.Deliver(Write(len(self.written), 0, row, held)))

    def held(self, name: int, row: int) -> Held:
        """What a replica holds of a row."""
        return self.states[name].replica.rows.durable.held(row)

    def effective(self, name: int, row: int) -> int:
        """As which version it answers."""
        return self.variant.forests.effective(self.states[name], row).version

    def shown(self, name: int, row: int) -> int:
        """The version that its forest shows of a row; 0 if none."""
        entry = self.states[name].forest.entry(row)
        return 0 if entry is None else entry.version

    def floor(self, name: int) -> int:
        """At which floor it has settled."""
        return self.states[name].replica.floor.durable.floor

    def pull(self, name: int, other: int) -> bool:
        """A replica hears another one's past, if it has asked for it."""
        asked = self.asked.pop((name, other), None)
        if asked is not None:
            self.at(other, floored.Deliver(name, asked))
        told = self.past.pop((name, other), None)
        if told is not None:
            self.at(name, floored.Deliver(other, told))
        return told is not None

    # --- exchanges ----------------------------------------------------------------------------------------

    def begin(self, pair: Pair) -> None:
        """A side begins one; its first question is under way."""
        self.begun += 1
        self.exchanges[pair] = Exchange()
        self._drive(pair, exchanges.Begin(self.begun, pair[1]))

    def _drive(self, pair: Pair, event: exchanges.Begin | exchanges.Deliver) -> None:
        item = self.exchanges[pair]
        item.driving, self.states[pair[0]], effect = self.driver.step(
            item.driving, self.states[pair[0]], event
        )
        item.effect = effect

    def turn(self, pair: Pair) -> Turn:
        """The question that is under way arrives, and its answer."""
        item = self.exchanges[pair]
        assert item.driving is not None
        assert isinstance(item.effect, exchanges.Ask)
        other, question, before = pair[1], item.effect.question, item.driving
        self.answering[other], self.states[other], reply = self.answerer.step(
            self.answering[other], self.states[other], question
        )
        if isinstance(reply, messages.Opened):
            item.promised = {
                (side, row): held
                for side in pair
                for row, held in self.states[side].replica.rows.durable.rows
                if held.version <= reply.stable
            }
        self._drive(pair, exchanges.Deliver(reply))
        return Turn(question, reply, before, item.driving)

    def compared(self, pair: Pair, driving: exchanges.Driving) -> tuple[Entry, ...]:
        """What the side that drives holds its entries to be."""
        if isinstance(self.driver, ComparesAsItIs):
            return tuple(entry for _, entry in self.states[pair[0]].forest.entries)
        return driving.snapshot.entries

    def missing(self, pair: Pair, exchange: Exchange) -> tuple[int, int, int, Held] | None:
        """What one side held when the exchange began and the other one lacks now.

        :return: who held it, who lacks it, the row and what it was.
        """
        for (holder, row), held in exchange.promised.items():
            (other,) = set(pair) - {holder}
            if self.effective(other, row) < held.version:
                return holder, other, row, held
        return None


def shown_ms(version: int) -> int:
    """A version for people: its millisecond."""
    return version >> MS_SHIFT
