"""Runs of the reference's replicas with forests and of their exchanges, or of a variant of them, as traces.

A run is a list of moves (``merkle_forest_moves.py``) on a stage (``merkle_forest_world.py``). A move that is
impossible under the rules that are played is left out. So one list of moves tells both how a wrong rule
breaks its promise and how the right one keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from scratchbird_check.machines.merkle_forest_pair import SHAPE, at
from scratchbird_check.traces import handoff as json_form
from scratchbird_check.traces import handoff_words, quorum_words
from scratchbird_check.traces import merkle_forest_words as words
from scratchbird_check.traces.merkle_forest_moves import Act, Move
from scratchbird_check.traces.merkle_forest_world import REPLICAS, Exchange, Pair, Turn, World, shown_ms
from scratchbird_check.traces.model import Arrow, Change, Step, Trace
from scratchbird_check.traces.quorum import Json, hexadecimal
from scratchbird_check.traces.quorum_lines import Line, value_of
from scratchbird_check.traces.quorum_words import lane
from scratchbird_check.traces.tla_values import frozen
from scratchbird_check.variants.merkle_forest import Variant
from scratchbird_reference import handoff_catalog as catalog
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica, quorum_replica
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import Entry, Inner, Prefix, Shape
from scratchbird_reference.quorum_messages import Held

Judge = Callable[[World, str, str], str]
"""What is wrong, in one sentence, from the lesson and the promise; empty if nothing is."""
EXCHANGE = "Exchange"
"""The action of what an exchange does after it has begun."""


class Run:
    """Plays moves, and keeps the steps of each; use :func:`play`."""

    def __init__(self, variant: Variant) -> None:
        self.world = World(variant)
        self.steps: list[Step] = []
        self.sent_at: dict[int, int] = {}
        """By version: the step in which it was written."""
        self._seen = self._noted()
        self._add(Step(0, None, "Init", "the beginning"))

    @property
    def number(self) -> int:
        return len(self.steps)

    def moves(self, move: Move) -> Iterator[None]:
        """Play a move, step by step; none if it is impossible."""
        for line in _ACTS[move.act](self, move):
            before, self._seen = self._seen, self._noted()
            changes = tuple(
                Change(name, before.get(name, quorum_words.NOTHING), now)
                for name, now in self._seen.items()
                if before.get(name, quorum_words.NOTHING) != now
            )
            self._add(
                Step(
                    self.number,
                    line.lane,
                    EXCHANGE if move.act is Act.GO_ON else move.act.value,
                    line.label,
                    changes,
                    tuple(line.arrows),
                    mark=line.mark,
                    kind=line.kind,
                    setup=move.setup,
                )
            )
            yield

    def _add(self, step: Step) -> None:
        state = {
            lane(name): frozen(
                {**json_form.replica_to_json(state.replica), "forest": _forest_of(state.forest)}
            )
            for name, state in self.world.states.items()
        }
        self.steps.append(replace(step, state=state))

    # --- names --------------------------------------------------------------------------------------------

    def what(self, version: int) -> str:
        """``"old"``: what was written under this version."""
        if not version:
            return quorum_words.NOTHING
        return value_of(self.world.written.get(version, (0, Held(version, None)))[1])

    def told(self, version: int) -> str:
        """``"old" at 5``"""
        return quorum_words.held(self.what(version), shown_ms(version))

    def _noted(self) -> dict[str, str]:
        """What changes are told of, by name."""
        noted: dict[str, str] = {}
        for name, state in self.world.states.items():
            for row in sorted({row for row, _ in self.world.written.values()}):
                where = lane(name) if row == 1 else f"{lane(name)}, row {row}"
                noted[f"holds[{where}]"] = self.told(self.world.held(name, row).version)
                noted[f"shows[{where}]"] = self.told(self.world.shown(name, row))
            noted[f"stable time[{lane(name)}]"] = str(shown_ms(state.forest.stable))
            dirty = state.forest.dirty
            noted[f"{words.TO_HASH}[{lane(name)}]"] = words.windows(dirty) if dirty else quorum_words.NOTHING
        return noted

    # --- rows and time ------------------------------------------------------------------------------------

    def write(self, move: Move) -> Iterator[Line]:
        version = at(move.ms)
        self.world.write(version, move.row, None if move.value is None else move.value.encode())
        self.sent_at[version] = self.number
        for name in move.replicas:
            self.world.arrive(name, version)
        line = Line(words.CLIENTS, mark=str(move.ms))
        stores = [name for name in move.replicas if self.world.held(name, move.row).version == version]
        line.parts.append(words.send(words.of_row(self.told(version), move.row), stores))
        line.arrows += [Arrow(self.number, lane(name), "stored") for name in stores]
        yield line

    def arrive(self, move: Move) -> Iterator[Line]:
        (name,), version = move.replicas, at(move.ms)
        before = self.world.held(name, move.row).version
        self.world.arrive(name, version)
        what, held = self.told(version), self.world.held(name, move.row).version
        line = Line(lane(name), mark=self.what(held))
        line.arrows.append(Arrow(self.sent_at[version], words.CLIENTS, self.what(version)))
        if held == version:
            line.parts.append(quorum_words.stores(words.of_row(what, move.row)))
        elif before < version:
            line.kind, line.mark = "refused", "refused"
            window = self.world.variant.forests.rules.window_of(SHAPE, version)
            line.parts.append(words.refuses_sealed(words.of_row(what, move.row), window))
        else:
            line.parts.append(quorum_words.keeps(self.told(held), what))
        yield line

    def rise(self, move: Move) -> Iterator[Line]:
        for name in move.replicas:
            self.world.at(name, forests.Advance(at(move.ms)))
            yield Line(lane(name), [words.rises(move.ms)], mark=str(move.ms), kind="step")

    def crash(self, move: Move) -> Iterator[Line]:
        (name,) = move.replicas
        self.world.at(name, quorum_replica.Crash())
        self.world.at(name, quorum_replica.Start())
        self.world.answering[name] = exchanges.Answering()
        yield Line(lane(name), [words.crashes()], kind="crash")

    def reshape(self, move: Move) -> Iterator[Line]:
        (name,), (number, window_ms) = move.replicas, move.setting
        shape = Shape(number, window_ms, SHAPE.most_in_leaf, SHAPE.encoding)
        self.world.at(name, forests.Reshape(shape))
        yield Line(lane(name), [words.builds_anew(number, window_ms)], kind="step")

    # --- the floor ----------------------------------------------------------------------------------------

    def propose(self, move: Move) -> Iterator[Line]:
        self.world.at_catalog(catalog.ProposeFloor(at(move.ms)))
        for name in move.replicas:
            self.world.at(name, floors.Propose(at(move.ms)))
        line = Line(handoff_words.CATALOG, [handoff_words.proposes(move.ms)], mark=str(move.ms))
        line.parts.append(handoff_words.close(move.replicas))
        line.arrows += [Arrow(self.number, lane(name), "closed") for name in move.replicas]
        yield line

    def pull(self, move: Move) -> Iterator[Line]:
        name, *others = move.replicas
        was = self.world.floor(name)
        held = {other: self.what(self.world.held(other, 1).version) for other in others}
        if heard := [other for other in others if self.world.pull(name, other)]:
            line = Line(lane(name), [handoff_words.merges_past(heard)])
            line.arrows += [Arrow(self.number, lane(other), held[other]) for other in heard]
            line.parts.append(handoff_words.converges())
            if self.world.floor(name) > was:
                line.parts.append(handoff_words.settle([name], name))
            yield line

    def settle(self, move: Move) -> Iterator[Line]:
        told = [name for name in move.replicas if name in self.world.converged]
        for name in told:
            self.world.at(name, self.world.converged.pop(name))
        if told:
            line = Line(handoff_words.CATALOG, [words.all_converged(), handoff_words.settle(told, 0)])
            line.arrows += [Arrow(self.number, lane(name), "settled") for name in told]
            yield line

    def purge(self, move: Move) -> Iterator[Line]:
        held = {name: self.world.held(name, 1).version for name in move.replicas}
        for name in move.replicas:
            self.world.at(name, handoff_replica.Purge())
        if gone := [name for name in held if held[name] and not self.world.held(name, 1).version]:
            where = lane(gone[0]) if len(gone) == 1 else None
            said = words.purges() if where else handoff_words.purge(gone)
            yield Line(where, [said], kind="step")

    # --- an exchange --------------------------------------------------------------------------------------

    def begin(self, move: Move) -> Iterator[Line]:
        """Up to what windows differ."""
        pair = _pair(move)
        one, other = pair
        self.world.begin(pair)
        item = self.world.exchanges[pair]
        theirs: dict[int, bytes] | None = None
        line = Line(lane(one), arrows=[Arrow(self.number, lane(other), "digests")])
        while item.driving is not None and not item.driving.windows_done:
            turn = self.world.turn(pair)
            if isinstance(turn.reply, messages.Windows):
                theirs = {**(theirs or {}), **dict(turn.reply.windows)}
        if isinstance(item.effect, exchanges.Failed):
            line.kind, line.arrows = "refused", [Arrow(self.number, lane(other), "refused")]
            line.parts.append(words.refused(other, _for_people(item.effect.reason)))
            yield line
            return
        if theirs is None:
            line.arrows = [Arrow(self.number, lane(other), "agreed")]
            line.parts.append(words.agrees(other))
        else:
            own = dict(self.world.states[one].forest.told)
            differ = {w for w in own.keys() | theirs.keys() if own.get(w) != theirs.get(w)}
            kept = {window for window, _ in item.driving.nodes} if item.driving else set()
            line.parts.append(words.compares_windows(other, differ, differ - kept))
            if differ and self.world.missing(pair, item) is None:
                self.world.needless.setdefault(pair, []).append(differ)
        yield line
        yield from self._ended(pair, item)

    def go_on(self, move: Move) -> Iterator[Line]:
        pair = _pair(move)
        item = self.world.exchanges[pair]
        while (driving := item.driving) is not None:
            compared = exchanges.Snapshot(self.world.compared(pair, driving))
            before = {name: self._rows(name) for name in pair}
            turn = self.world.turn(pair)
            match turn.question, turn.reply:
                case messages.AskNodes(in_full=again), messages.Nodes() as nodes:
                    yield self._looked(pair, turn, nodes, again, compared, before[pair[0]])
                case messages.AskRows(), messages.Rows():
                    yield self._taken(*pair, turn.before.wanted, before[pair[0]])
                case messages.Give(given=given), messages.Took():
                    yield self._taken(pair[1], pair[0], [entry for entry, _ in given], before[pair[1]])
            yield from self._ended(pair, item)

    def _ended(self, pair: Pair, item: Exchange) -> Iterator[Line]:
        one, other = pair
        match item.effect:
            case exchanges.Succeeded():
                self.world.succeeded.append((pair, item))
                yield Line(lane(one), [words.succeeded(other)], kind="step")
            case exchanges.Failed(reason=reason):
                yield Line(lane(one), [words.failed(other, _for_people(reason))], kind="refused")

    def _rows(self, name: int) -> dict[int, tuple[int, int]]:
        """What a replica holds and shows of each row."""
        rows = {row for row, _ in self.world.written.values()}
        return {row: (self.world.held(name, row).version, self.world.shown(name, row)) for row in rows}

    def _looked(
        self,
        pair: Pair,
        turn: Turn,
        nodes: messages.Nodes,
        in_full: bool,
        compared: exchanges.Snapshot,
        before: Mapping[int, tuple[int, int]],
    ) -> Line:
        """What the driver finds in some nodes."""
        one, other = pair
        machine, shape = self.world.variant.forests, self.world.states[one].forest.shape
        found: list[str] = []
        told: list[int] = []
        looked = {window for (window, _), _ in nodes.nodes}
        for (window, prefix), node in nodes.nodes:
            mine = exchanges.tree_of(machine, shape, compared, window).under(prefix)
            if isinstance(node, Inner):
                found.append(self._below(turn, window, prefix, in_full))
                continue
            own, theirs = ({entry.row: entry for entry in side} for side in (mine, node.entries))
            for row in sorted(own.keys() | theirs.keys()):
                ours, their = own.get(row), theirs.get(row)
                if ours == their:
                    continue
                told.append(_version(their))
                shows = (self.told(_version(ours)), other, self.told(_version(their)))
                said = words.row_differs(one, *shows, row, window if len(looked) > 1 else None)
                if self.world.shown(one, row) != before[row][1]:
                    said += f"; {words.takes_over(one)}"
                elif self._is_left_out(one, turn, ours, their):
                    said += f"; {words.leaves_out(one)}"
                found.append(said)
        again = () if turn.after is None else sorted(looked & turn.after.again - turn.before.again)
        found += [words.is_not_all(window) for window in again]
        arrow = Arrow(self.number, lane(other), self.what(max(told)) if told else "digests")
        return Line(lane(one), [words.looks_into(looked, found, again=in_full)], [arrow])

    @staticmethod
    def _below(turn: Turn, window: int, prefix: Prefix, in_full: bool) -> str:
        """How many of the subtrees below a node differ."""
        left = () if turn.after is None else (*turn.after.nodes, *turn.after.in_full)
        below = {place for where, place in left if where == window and place[: len(prefix)] == prefix}
        return words.subtrees_differ(len(below - {prefix}), in_full=in_full)

    def _is_left_out(self, one: int, turn: Turn, ours: Entry | None, their: Entry | None) -> bool:
        """Whether the driver leaves a row as it is that one side lacks."""
        if _version(their) > _version(ours):
            assert their is not None
            wanted = turn.after is not None and their in turn.after.wanted
            return not wanted and self.world.effective(one, their.row) < their.version
        return turn.after is None or ours not in turn.after.giving

    def _taken(
        self, taker: int, giver: int, entries: Iterable[Entry], before: Mapping[int, tuple[int, int]]
    ) -> Line:
        """What a side does with the rows, or the entries alone, that it is sent."""
        line = Line(lane(taker))
        for entry in entries:
            held, shown = self.world.held(taker, entry.row).version, self.world.shown(taker, entry.row)
            what, sent = self.told(entry.version), entry.version
            if held != before[entry.row][0]:
                said, sent = words.takes(self.told(held)), held
                line.mark = self.what(held)
            elif shown != before[entry.row][1]:
                said = words.takes_entry(what)
            elif self.world.effective(taker, entry.row) >= entry.version:
                said = words.needs_nothing(what)
            else:
                said, line.kind = words.takes_nothing(what), "refused"
            line.parts.append(words.of_row(said, entry.row))
            line.arrows.append(Arrow(self.number, lane(giver), self.what(sent)))
        return line


def _pair(move: Move) -> Pair:
    one, other = move.replicas
    return one, other


def _forest_of(forest: forests.Durable) -> Json:
    """What a step keeps of a forest: its entries by row, its digests by window."""
    return {
        "setting": forest.shape.number,
        "stable": hexadecimal(forest.stable),
        "entries": [[row, hexadecimal(entry.version)] for row, entry in forest.entries],
        "told": [[window, digest.hex()] for window, digest in forest.told],
        "dirty": sorted(forest.dirty),
    }


def _for_people(reason: str) -> str:
    """With milliseconds in the place of versions."""
    return re.sub(r"\d{20,}", lambda found: str(shown_ms(int(found[0]))), reason)


def _version(entry: Entry | None) -> int:
    return 0 if entry is None else entry.version


_ACTS: Mapping[Act, Callable[[Run, Move], Iterator[Line]]] = {
    Act.WRITE: Run.write,
    Act.ARRIVE: Run.arrive,
    Act.RISE: Run.rise,
    Act.CRASH: Run.crash,
    Act.RESHAPE: Run.reshape,
    Act.PROPOSE: Run.propose,
    Act.PULL: Run.pull,
    Act.SETTLE: Run.settle,
    Act.PURGE: Run.purge,
    Act.BEGIN: Run.begin,
    Act.GO_ON: Run.go_on,
}


def play(
    moves: Sequence[Move],
    *,
    variant: Variant,
    judge: Judge,
    promise: str,
    lesson: str,
    title: str,
    good: str = "",
) -> Trace:
    """Play moves until the promise is broken, or to their end.

    :param lesson: what is to be learnt if it is broken; it becomes the end of the verdict.
    :param good: the trace's verdict if nothing is broken.
    """
    run = Run(variant)
    sentence = ""
    for _ in (step for move in moves for step in run.moves(move)):
        if sentence := judge(run.world, lesson, promise):
            break
    steps = run.steps
    if sentence:
        steps = [*steps[:-1], replace(steps[-1], wrong=True)]
    used = {name for step in steps for name in (step.lane, *(arrow.from_lane for arrow in step.arrows))}
    every = (words.CLIENTS, handoff_words.CATALOG, *(lane(name) for name in REPLICAS))
    return Trace(
        title=title,
        engine="reference",
        part="merkle_forest",
        lanes=tuple(name for name in every if name in used or name.startswith("r")),
        steps=tuple(steps),
        verdict=sentence or good,
        promise=promise if sentence else "",
    )
