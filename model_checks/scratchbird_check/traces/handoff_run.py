"""Runs of the reference's hint keepers and of its replicas with a floor, or of variants, as traces.

A run is a list of moves (``quorum_moves.py``, ``handoff_moves.py``) on a stage (``handoff_world.py``); what
``quorum_run.py`` says of a run holds here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, ClassVar

from scratchbird_check.traces import handoff_words as words
from scratchbird_check.traces import quorum_run, quorum_world
from scratchbird_check.traces.handoff_moves import Act, Move
from scratchbird_check.traces.handoff_world import SHARD, World
from scratchbird_check.traces.model import Arrow
from scratchbird_check.traces.quorum_lines import Line, value_of
from scratchbird_check.traces.quorum_words import held as told
from scratchbird_check.traces.quorum_words import holds_already, keeps, lane, refuses_below, stores, tells
from scratchbird_check.variants import quorum
from scratchbird_check.variants.handoff import Variant
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.handoff_replica import BelowFloor
from scratchbird_reference.quorum_messages import Held


class Run(quorum_run.Run):
    """Plays moves, and keeps a step for each; give it to :func:`quorum_run.play`."""

    PART: ClassVar[str] = "handoff"
    LANES: ClassVar[tuple[str, ...]] = (words.CATALOG,)
    world: World

    def __init__(self, variant: quorum.Variant, stage: quorum_world.Stage) -> None:
        self.hinted_at: dict[tuple[str, int], int] = {}
        """By (coordinator, target): the step in which the last hint was sent."""
        self.answered_at: dict[tuple[int, int], int] = {}
        """By (target of a repair, the other one): the step in which the other one answered."""
        self.proposed_at = 0
        super().__init__(variant, stage)

    def staged(self, variant: quorum.Variant, stage: quorum_world.Stage) -> World:
        assert isinstance(variant, Variant)
        return World(variant, stage)

    def acts(self) -> Mapping[Enum, Callable[[Any, Any], Line | None]]:
        return {**super().acts(), **_ACTS}

    # --- what is owed -------------------------------------------------------------------------------------

    def look(self, move: Move) -> Line | None:
        if self.world.coordinators[move.at].volatile is None:
            return None
        before, under_way = self._kept(move.at), self._under_way(move.at)
        sent_before = {key: len(sent) for key, sent in self.world.hints.items()}
        self.world.at_keeper(move.at, account.Tick(self.world.now_ns))
        sent = []
        for key, hints in self.world.hints.items():
            if new := [hint for _, hint in hints[sent_before.get(key, 0) :]]:
                self.hinted_at[key] = self.number
                sent += new
        line = Line(move.at)
        if silent := under_way - self._under_way(move.at):
            line.parts.append(words.hears_nothing(silent))
        # What is too old is sent once more and given up at once: that needs no words.
        most_age_ns = self.world.keepers[move.at].limits.most_age_ns
        if sent := [hint for hint in sent if self.world.now_ns - hint.since_ns <= most_age_ns]:
            line.parts.append(words.sends_hints(_by_held(sent)))
        line.kind = "message" if sent else "step"
        self._given_up(line, move.at, before)
        line.parts = line.parts or [words.sends_hints({})]
        return line

    def _under_way(self, name: str) -> set[int]:
        """Who was sent hints and has not answered."""
        return {key[0] for key, _ in self.world.keepers[name].volatile.under_way}

    def give_up(self, move: Move) -> Line:
        (name,) = move.replicas
        before = self._kept(move.at)
        self.world.at_keeper(move.at, account.GiveUp(name))
        line = Line(move.at, [words.removes(name)], kind="step", lead=True)
        self._given_up(line, move.at, before)
        return line

    def keep_again(self, move: Move) -> Line:
        (name,) = move.replicas
        self.world.at_keeper(move.at, account.KeepAgain((name, SHARD)))
        mark = dict(self.world.keepers[move.at].durable.marks).get((name, SHARD))
        line = Line(move.at, [words.is_back(name)], kind="step", lead=True)
        if mark is not None:
            line.parts.append(words.mark_stays_open() if mark.is_open else words.closes_mark())
        return line

    def _kept(self, name: str) -> tuple[set[int], set[int]]:
        """For whom hints are kept, and who has an open mark."""
        durable = self.world.keepers[name].durable
        marked = {place[0] for place, mark in durable.marks if mark.is_open}
        return {hint.target for hint in durable.hints}, marked

    def _given_up(self, line: Line, name: str, before: tuple[set[int], set[int]]) -> None:
        hinted, marked = self._kept(name)
        if new := marked - before[1]:
            line.parts.append(words.marks(new))
        if gone := before[0] - hinted:
            line.parts.append(words.drops_hints(gone))

    def hint(self, move: Move) -> Line | None:
        (name,) = move.replicas
        if not self.world.is_up(name):
            return None
        before = self.world.held(name)
        delivered = self.world.deliver_hint(move.at, name)
        if delivered is None:
            return None
        number, held = delivered
        what, own = told(value_of(held), held.version), told(value_of(before), before.version)
        line = Line(lane(name), mark=value_of(self.world.held(name)))
        if (move.at, name) in self.hinted_at:
            line.arrows.append(Arrow(self.hinted_at[move.at, name], move.at, value_of(held)))
        (said,) = self.world.responses.pop((number, name))
        if isinstance(said, BelowFloor):
            line.kind, line.mark = "refused", "below"
            line.parts.append(words.gets_hint(refuses_below(what, said.closed)))
        elif self.world.held(name) != held:
            line.parts.append(words.gets_hint(keeps(own, what)))
        elif before == held:
            line.parts.append(words.gets_hint(holds_already(what)))
        else:
            line.parts.append(words.gets_hint(stores(what)))
        if self.world.coordinators[move.at].volatile is not None:
            self.world.hear(move.at, name, said)
        return line

    def answer(self, move: Move) -> Line:
        (name,), (other,) = move.replicas, move.others
        self.world.begin_repair(move.at, name, other)
        self.answered_at[name, other] = self.number
        return Line(lane(other), [tells(name)])

    def repair(self, move: Move) -> Line | None:
        (name,), others = move.replicas, [item for item in move.others if self.world.is_up(item)]
        if not others or not self.world.is_up(name):
            return None
        place = (name, SHARD)
        was_owed = place in dict(self.world.keepers[move.at].durable.marks)
        line = Line(lane(name), [words.merges_all(others)])
        for other in others:
            if (move.at, name, other) not in self.world.repairs:
                self.world.begin_repair(move.at, name, other)
            rows = dict(self.world.repairs[move.at, name, other])
            said = value_of(rows.get(quorum_world.ROW, Held()))
            line.arrows.append(Arrow(self.answered_at.pop((name, other), self.number), lane(other), said))
            self.world.end_repair(move.at, name, other)
        if was_owed:
            is_owed = place in dict(self.world.keepers[move.at].durable.marks)
            line.parts.append(words.repair_goes_on(move.at) if is_owed else words.repair_paid(move.at))
        return line

    # --- processes, disks and time ------------------------------------------------------------------------

    def stop(self, move: Move) -> Line:
        (name,) = move.replicas
        self.world.at_replica(name, replicas.Crash())
        return Line(lane(name), [words.stops()], kind="crash")

    def start(self, move: Move) -> Line:
        for name in move.replicas:
            was = self.world.floors[name].durable.closed
            self.world.at_replica(name, replicas.Start())
            self.world.at_catalog(catalog.Ask(name))
            line = Line(lane(name), [words.starts()], kind="start")
            if (closed := self.world.floors[name].durable.closed) > was:
                line.parts.append(words.closes(closed))
            return line
        self.world.at_coordinator(move.at, operations.Start())
        return Line(move.at, [words.starts()], kind="start")

    def passes(self, move: Move) -> Line | None:
        self.world.now_ns += move.days * 86_400 * 10**9
        line = Line(None, kind="step")
        if move.days:
            line.parts.append(words.passes(move.days))
        held = [name for name in move.replicas if self._has_tombstone(name)]
        purged = [name for name in held if self.world.purge(name)]
        if purged:
            line.parts.append(words.purge(purged))
        if kept := [name for name in held if name not in purged]:
            line.parts.append(words.keep(kept))
        return line if line.parts else None

    def _has_tombstone(self, name: int) -> bool:
        held = self.world.held(name)
        return self.world.is_up(name) and held.version > 0 and held.value is None

    def back_up(self, move: Move) -> Line:
        (name,), held = move.replicas, self.world.held(move.replicas[0])
        self.world.backups[name] = self.world.replicas[name].durable.rows
        return Line(lane(name), [words.backs_up(told(value_of(held), held.version))], kind="step")

    def restore(self, move: Move) -> Line | None:
        (name,) = move.replicas
        held = self.world.restore(name)
        if held is None:
            return None
        what = told(value_of(held), held.version)
        if self.world.held(name) != held:
            return Line(lane(name), [words.restores_nothing(what)], kind="refused", mark="below")
        return Line(lane(name), [words.restores(what)], kind="step", mark=value_of(held))

    # --- the floor ----------------------------------------------------------------------------------------

    def propose(self, move: Move) -> Line:
        self.proposed_at = self.number
        self.world.at_catalog(catalog.ProposeFloor(move.floor))
        line = Line(words.CATALOG, [words.proposes(move.floor)], mark=str(move.floor))
        for name in move.replicas:
            self.world.close(name)
            line.arrows.append(Arrow(self.number, lane(name), "closed"))
        if move.replicas:
            line.parts.append(words.close(move.replicas))
        return line

    def close(self, move: Move) -> Line:
        (name,) = move.replicas
        was = self.world.floors[name].durable.closed
        line = Line(lane(name))
        if self.world.close(name):
            line.arrows.append(Arrow(self.proposed_at, words.CATALOG, str(self.world.catalog.proposed)))
        else:
            self.world.at_catalog(catalog.Ask(name))
            line.arrows.append(Arrow(self.number, words.CATALOG, str(self.world.catalog.proposed)))
        closed = self.world.floors[name].durable.closed
        line.parts.append(words.closes(closed) if closed > was else words.asks_catalog())
        return line

    def pull(self, move: Move) -> Line | None:
        (name,) = move.replicas
        settled = self._settled()
        was = self.world.floors[name].durable.converged
        line = Line(lane(name))
        heard = [other for other in move.others if self.world.ask_past(name, other)]
        for other in heard:
            line.arrows.append(Arrow(self.number, lane(other), value_of(self.world.held(other))))
            self.world.merge_past(name, other)
        if not heard:
            return None
        line.parts.append(words.merges_past(heard))
        if self.world.floors[name].durable.converged > was:
            line.parts.append(words.converges())
        if new := sorted(self._settled() - settled):
            line.parts.append(words.settle(new, name))
        return line

    def _settled(self) -> set[int]:
        floors = self.world.floors
        return {name for name, item in floors.items() if item.durable.floor == item.durable.closed > 0}

    # --- steps --------------------------------------------------------------------------------------------

    def down(self) -> tuple[str, ...]:
        return (*super().down(), *(lane(name) for name in self.world.replicas if not self.world.is_up(name)))

    def _noted(self) -> dict[str, str]:
        noted = super()._noted()
        for name, keeper in self.world.keepers.items():
            noted[f"owes[{name}]"] = words.owes(_by_held(keeper.durable.hints))
            marks = dict(keeper.durable.marks)
            for replica in self.world.replicas:
                mark = marks.get((replica, SHARD))
                state = "none" if mark is None else "open" if mark.is_open else "closed"
                noted[f"mark[{name}, {lane(replica)}]"] = state
        return noted


def _by_held(hints: Iterable[account.Hint]) -> dict[str, set[int]]:
    owed: dict[str, set[int]] = {}
    for hint in hints:
        owed.setdefault(told(value_of(hint.held), hint.held.version), set()).add(hint.target)
    return owed


_ACTS: Mapping[Enum, Callable[[Any, Any], Line | None]] = {
    Act.LOOK: Run.look,
    Act.HINT: Run.hint,
    Act.GIVE_UP: Run.give_up,
    Act.KEEP_AGAIN: Run.keep_again,
    Act.ANSWER: Run.answer,
    Act.REPAIR: Run.repair,
    Act.STOP: Run.stop,
    Act.START: Run.start,
    Act.TIME: Run.passes,
    Act.PROPOSE: Run.propose,
    Act.CLOSE: Run.close,
    Act.PULL: Run.pull,
    Act.BACK_UP: Run.back_up,
    Act.RESTORE: Run.restore,
}
