"""An exchange of two replicas, as two state machines without input or output: one drives, one answers.

``Driver(forests).step(...)`` and ``Answerer(forests).step(...)`` stand each beside a replica with a forest
(:mod:`scratchbird_reference.merkle_forest_replica`) and return its next state with theirs. The driver asks,
compares and decides; the answerer keeps a snapshot of what it showed, and answers. Messages are bounded; what
does not fit is asked for again. What changed in a replica's durable half must be durable before the effect,
or the answer, is carried out: so whoever says that it took a row has it.

It ends: each node is asked for once, and below a node that is the same nothing is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scratchbird_reference.errors import CallerError
from scratchbird_reference.merkle_forest import (
    FAN_OUT,
    NOTHING_THERE,
    Entry,
    Inner,
    Leaf,
    Node,
    Prefix,
    Rules,
    Shape,
    Tree,
)
from scratchbird_reference.merkle_forest_messages import (
    WINDOW_SIZE,
    AskNodes,
    AskRows,
    AskWindows,
    Bounds,
    Give,
    Nodes,
    Open,
    Opened,
    Place,
    Question,
    Refused,
    Reply,
    Rows,
    Took,
    Windows,
    size_of_node,
    size_of_row,
)
from scratchbird_reference.merkle_forest_replica import (
    Advance,
    ForestReplica,
    Meet,
    Rehash,
)
from scratchbird_reference.merkle_forest_replica import State as Replica
from scratchbird_reference.quorum_messages import Held

CLOSED_SINCE = "a floor was closed since it began: begin again"
RESHAPED_SINCE = "the setting was changed since it began: begin again"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a replica showed when an exchange began: nothing that happens later changes it."""

    entries: tuple[Entry, ...] = ()
    told: tuple[tuple[int, bytes], ...] = ()
    """By window: its digest."""
    closed: int = 0
    """The floor that it had closed: one that closes the next takes nothing of it (HANDOFF.R10)."""
    stable: int = 0
    floor: int = 0
    """At which it had settled."""
    shape: Shape = field(default_factory=Shape)
    """The setting that it was in: in another one no window of it is there any more."""


# --- who answers ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answering:
    """What an answerer keeps, all of it volatile: the snapshots of exchanges, by number, the newest last."""

    snapshots: tuple[tuple[int, Snapshot], ...] = ()


@dataclass(frozen=True, slots=True)
class Answerer:
    """Answers another replica's questions. It holds no state.

    :ivar most_exchanges: whose snapshots are kept; with one more the oldest is forgotten, and refused.
    """

    forests: ForestReplica = field(default_factory=ForestReplica)
    most_exchanges: int = 4
    bounds: Bounds = field(default_factory=Bounds)

    def step(
        self, state: Answering, replica: Replica, question: Question
    ) -> tuple[Answering, Replica, Reply]:
        """Answer a question. Whoever opens an exchange a second time is told of the same snapshot."""
        snapshot = dict(state.snapshots).get(question.exchange)
        if snapshot is None and isinstance(question, Open):
            return self._open(state, replica, question)
        if snapshot is None:
            reason = (
                f"exchange {question.exchange} is not open here: it was too long ago, or before a restart"
            )
            return state, replica, Refused(question.exchange, reason)
        changed = changed_since(replica, snapshot)
        if changed is not None:
            return state, replica, Refused(question.exchange, changed)
        match question:
            case Open():
                return state, replica, Opened(question.exchange, snapshot.stable, snapshot.floor)
            case AskWindows():
                return state, replica, self._windows(snapshot, question)
            case AskNodes():
                return state, replica, self._nodes(snapshot, replica, question)
            case AskRows():
                return state, replica, self._rows(replica, question)
        return self._give(state, replica, question)

    def _open(self, state: Answering, replica: Replica, question: Open) -> tuple[Answering, Replica, Reply]:
        refusal = refused(self.forests, replica, question)
        if refusal is not None:
            return state, replica, refusal
        replica = ready(self.forests, replica, question.stable)
        snapshot = snapshot_of(replica)
        kept = (*state.snapshots, (question.exchange, snapshot))[-self.most_exchanges :]
        opened = Opened(question.exchange, snapshot.stable, snapshot.floor)
        return Answering(kept), replica, opened

    def _windows(self, snapshot: Snapshot, question: AskWindows) -> Windows:
        later = [item for item in snapshot.told if item[0] > question.after]
        count = self.bounds.fitting(WINDOW_SIZE for _ in later)
        return Windows(question.exchange, tuple(later[:count]), len(later) <= count)

    def _nodes(self, snapshot: Snapshot, replica: Replica, question: AskNodes) -> Nodes:
        nodes = [
            (place, self._node(snapshot, replica, place, question.in_full))
            for place in question.places[: self.bounds.items]
        ]
        told = tuple(nodes[: self.bounds.fitting(size_of_node(node) for _, node in nodes)])
        held = {
            entry.row: version
            for _, node in told
            if isinstance(node, Leaf)
            for entry in node.entries
            if (version := self.forests.effective(replica, entry.row).version) > entry.version
        }
        return Nodes(question.exchange, told, tuple(sorted(held.items())))

    def _node(self, snapshot: Snapshot, replica: Replica, place: Place, in_full: bool) -> Node:
        window, prefix = place
        node = tree_of(self.forests, replica.forest.shape, snapshot, window).node(prefix)
        if in_full or isinstance(node, Leaf):
            return node
        return Inner(tuple(self.forests.rules.short(child) for child in node.children))

    def _rows(self, replica: Replica, question: AskRows) -> Rows:
        rows = [(row, replica.replica.rows.durable.held(row)) for row in question.rows[: self.bounds.items]]
        count = self.bounds.fitting(size_of_row(held) for _, held in rows)
        return Rows(question.exchange, tuple(rows[:count]))

    def _give(self, state: Answering, replica: Replica, question: Give) -> tuple[Answering, Replica, Reply]:
        given = question.given[: self.bounds.items]
        for entry, held in given:
            if self.forests.rules.takes_part(drives=False):
                replica, _ = self.forests.step(replica, Meet(entry, held))
        return state, replica, Took(question.exchange, tuple(entry.row for entry, _ in given))


# --- who drives -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Driving:
    """One exchange at the side that drives it, all of it volatile. Work is done from the front."""

    exchange: int
    other: int
    snapshot: Snapshot = Snapshot()
    stable: int = 0
    floor: int = 0
    is_open: bool = False
    windows_done: bool = False
    after: int = -1
    theirs: tuple[tuple[int, bytes], ...] = ()
    """The other side's windows and their digests, as far as they were told."""
    nodes: tuple[Place, ...] = ()
    """To be asked for."""
    in_full: tuple[Place, ...] = ()
    """To be asked for once more, in full: short digests were the same of nodes that differ."""
    heard: tuple[tuple[Place, Node], ...] = ()
    """What was told of nodes of windows that are not confirmed yet."""
    again: frozenset[int] = frozenset()
    """Windows that are, or were, asked for in full."""
    damaged: tuple[int, ...] = ()
    """Windows of theirs whose digest is not that of what they show."""
    shown: tuple[Entry, ...] = ()
    """Theirs that differ from ours."""
    wanted: tuple[Entry, ...] = ()
    """Of theirs, whose rows are to be asked for."""
    giving: tuple[Entry, ...] = ()
    """Of ours, to be given."""
    sent_rows: tuple[int, ...] = ()
    """Of those, the rows that the other side is known to hold as new: only the entry is given."""
    moved: int = 0
    """How many rows were moved, in either direction."""

    @property
    def left(self) -> int:
        """How much is known to be left to do."""
        to_ask = len(self.nodes) + len(self.in_full)
        return (not self.windows_done) + to_ask + len(self.wanted) + len(self.giving)


@dataclass(frozen=True, slots=True)
class Begin:
    """Begin an exchange, with a number never used before."""

    exchange: int
    other: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """The other side has answered."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Again:
    """No answer came in time: ask once more."""


@dataclass(frozen=True, slots=True)
class Stop:
    """It took too long, or the node is to stop: it has not succeeded."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the other side this question."""

    other: int
    question: Question


@dataclass(frozen=True, slots=True)
class Succeeded:
    """Both sides hold, as it was or newer, whatever either showed up to this stable time.

    Rule MERKLE_FOREST.R17.
    """

    exchange: int
    other: int
    stable: int
    floor: int
    moved: int


@dataclass(frozen=True, slots=True)
class Failed:
    """It did not succeed, and nothing is recorded as if it had."""

    exchange: int
    other: int
    reason: str


Effect = Ask | Succeeded | Failed
Step = tuple[Driving | None, Replica, Effect | None]


@dataclass(frozen=True, slots=True)
class Driver:
    """Drives exchanges. It holds no state: :meth:`step` is a function of state, replica and event."""

    forests: ForestReplica = field(default_factory=ForestReplica)
    bounds: Bounds = field(default_factory=Bounds)

    def step(self, state: Driving | None, replica: Replica, event: Begin | Deliver | Again | Stop) -> Step:
        """Take one step; the state is ``None`` when no exchange is under way.

        :raises CallerError: if the event is impossible in this state.
        """
        if isinstance(event, Begin):
            if state is not None:
                raise CallerError(f"exchange {state.exchange} is under way: end it before another begins")
            return self._ask(Driving(event.exchange, event.other), replica)
        if state is None:
            if isinstance(event, Deliver):
                return None, replica, None  # Of an exchange that has ended.
            raise CallerError(f"{type(event).__name__} where no exchange is under way")
        match event:
            case Stop():
                return None, replica, Failed(state.exchange, state.other, "it was stopped")
            case Again():
                return self._ask(state, replica)
        reply = event.reply
        if reply.exchange != state.exchange:
            return state, replica, None
        changed = changed_since(replica, state.snapshot) if state.is_open else None
        if changed is not None:
            return None, replica, Failed(state.exchange, state.other, changed)
        return self._deliver(state, replica, reply)

    def _ask(self, state: Driving, replica: Replica) -> Step:
        """What is to be asked next; the end, if nothing is."""
        number = state.exchange
        question: Question | None = None
        if not state.is_open:
            floor = replica.replica.floor.durable.floor
            question = Open(number, replica.forest.shape, replica.forest.stable, floor)
        elif not state.windows_done:
            question = AskWindows(number, state.after)
        elif state.nodes:
            question = AskNodes(number, state.nodes[: self.bounds.items])
        elif state.in_full:
            question = AskNodes(number, state.in_full[: self.bounds.items], in_full=True)
        elif state.wanted:
            question = AskRows(number, tuple(entry.row for entry in state.wanted[: self.bounds.items]))
        elif state.giving:
            given = [self._given(state, replica, entry) for entry in state.giving[: self.bounds.items]]
            count = self.bounds.fitting(size_of_row(held) for _, held in given)
            question = Give(number, tuple(given[:count]))
        if question is not None and not (state.is_open and self.forests.rules.has_succeeded(state.left)):
            return state, replica, Ask(state.other, question)
        if state.damaged:
            window, *more = state.damaged
            reason = (
                f"window {window} of replica {state.other} has not the digest that is told of it"
                f"{f', and {len(more)} more' if more else ''}: build it anew from its rows"
            )
            return None, replica, Failed(number, state.other, reason)
        done = Succeeded(number, state.other, state.stable, state.floor, state.moved)
        return None, replica, done

    def _given(self, state: Driving, replica: Replica, entry: Entry) -> tuple[Entry, Held | None]:
        """The row as it is held by now; nothing if it was purged, or is not needed."""
        held = replica.replica.rows.durable.held(entry.row)
        needed = entry.row not in state.sent_rows and held.version >= entry.version
        return entry, held if needed else None

    def _deliver(self, state: Driving, replica: Replica, reply: Reply) -> Step:
        match reply:
            case Refused():
                return None, replica, Failed(state.exchange, state.other, reply.reason)
            case Opened() if not state.is_open:
                return self._opened(state, replica, reply)
            case Windows() if state.is_open and not state.windows_done:
                return self._windows(state, replica, reply)
            case Nodes():
                return self._nodes(state, replica, reply)
            case Rows():
                return self._rows(state, replica, reply)
            case Took():
                return self._took(state, replica, reply)
        return state, replica, None  # Said a second time.

    def _opened(self, state: Driving, replica: Replica, reply: Opened) -> Step:
        mine = replica.replica.floor.durable.floor
        if mine != reply.floor:
            reason = f"the other side has settled at {reply.floor}, this one at {mine}: settle first"
            return None, replica, Failed(state.exchange, state.other, reason)
        replica = ready(self.forests, replica, reply.stable)
        state = replace(
            state, is_open=True, snapshot=snapshot_of(replica), stable=reply.stable, floor=reply.floor
        )
        return self._ask(state, replica)

    def _windows(self, state: Driving, replica: Replica, reply: Windows) -> Step:
        """When all are told: those that differ, also those that one side alone has.

        Rule MERKLE_FOREST.R13.
        """
        theirs = (*state.theirs, *(item for item in reply.windows if item[0] > state.after))
        after = max([state.after, *(window for window, _ in reply.windows)])
        state = replace(state, theirs=theirs, after=after, windows_done=reply.last)
        if reply.last:
            mine, told = dict(state.snapshot.told), dict(theirs)
            differ = sorted(w for w in mine.keys() | told.keys() if mine.get(w) != told.get(w))
            state = replace(state, nodes=tuple((window, ()) for window in differ))
        return self._ask(state, replica)

    def _nodes(self, state: Driving, replica: Replica, reply: Nodes) -> Step:
        asked = [item for item in reply.nodes if item[0] in state.nodes or item[0] in state.in_full]
        held = dict(reply.held)
        for place, node in asked:
            window, prefix = place
            mine = tree_of(self.forests, replica.forest.shape, state.snapshot, window)
            if isinstance(node, Inner):
                state = self._inner(state, mine, place, node)
            else:
                state, replica = self._leaf(state, replica, mine.under(prefix), node.entries, held)
        done = {place for place, _ in asked}
        windows = {window for window, _ in done}
        state = replace(
            state,
            nodes=tuple(place for place in state.nodes if place not in done),
            in_full=tuple(place for place in state.in_full if place not in done),
            heard=(*state.heard, *asked),
        )
        for window in sorted(windows - {window for window, _ in (*state.nodes, *state.in_full)}):
            state = self._confirm(state, replica, window)
        if not state.nodes and not state.in_full:
            state = self._to_give(state)
        return self._ask(state, replica)

    def _inner(self, state: Driving, mine: Tree, place: Place, node: Inner) -> Driving:
        """The children that differ are to be asked for, as this one was."""
        window, prefix = place
        in_full = place in state.in_full
        told = [mine.digest((*prefix, digit)) for digit in range(FAN_OUT)]
        short = told if in_full else [self.forests.rules.short(digest) for digest in told]
        differ = [
            (window, (*prefix, digit))
            for digit, (ours, theirs) in enumerate(zip(short, node.children, strict=True))
            if ours != theirs
        ]
        if in_full:
            return replace(state, in_full=(*state.in_full, *differ))
        return replace(state, nodes=(*state.nodes, *differ))

    def _confirm(self, state: Driving, replica: Replica, window: int) -> Driving:
        """Whether all that differs in a window was found, though digests were short; else once more, in full.

        Rule MERKLE_FOREST.R19.
        """
        rules, shape = self.forests.rules, replica.forest.shape
        heard = {prefix: node for (where, prefix), node in state.heard if where == window}
        found = digest_as_heard(rules, tree_of(self.forests, shape, state.snapshot, window), heard)
        told = dict(state.theirs).get(window, NOTHING_THERE)
        state = replace(state, heard=tuple(item for item in state.heard if item[0][0] != window))
        if rules.is_confirmed(told, rules.window_digest(shape, window, found)):
            return state
        if window in state.again:
            return replace(state, damaged=(*state.damaged, window))
        return replace(state, in_full=(*state.in_full, (window, ())), again=state.again | {window})

    def _to_give(self, state: Driving) -> Driving:
        """Of ours, what the other side does not show in a newer version, in this window or in another one.

        Rule MERKLE_FOREST.R14.
        """
        theirs = {entry.row: entry for entry in sorted(state.shown, key=lambda entry: entry.rank)}
        giving = tuple(
            entry for entry in state.giving if self.forests.rules.is_given(entry, theirs.get(entry.row))
        )
        return replace(state, giving=giving)

    def _leaf(
        self,
        state: Driving,
        replica: Replica,
        mine: tuple[Entry, ...],
        theirs: tuple[Entry, ...],
        held: dict[int, int],
    ) -> tuple[Driving, Replica]:
        """Entry by entry: the newer one is what both are to end with (rule MERKLE_FOREST.R14).

        Should one version have two values, each side is sent the other's, and both keep the same.
        """
        own, other = {entry.row: entry for entry in mine}, {entry.row: entry for entry in theirs}
        for row in sorted(own.keys() | other.keys()):
            ours, their = own.get(row), other.get(row)
            if ours == their:
                continue
            if their is not None:
                state = replace(state, shown=(*state.shown, their))
            if their in state.wanted or ours in state.giving:
                continue  # It is being looked at a second time, in full.
            if their is not None and (ours is None or their.version >= ours.version):
                if self.forests.effective(replica, row).version > their.version:
                    replica, _ = self.forests.step(replica, Meet(their))
                else:
                    state = replace(state, wanted=(*state.wanted, their))
            if ours is not None and (their is None or ours.version >= their.version):
                known = held.get(row, 0) > ours.version
                state = replace(
                    state,
                    giving=(*state.giving, ours),
                    sent_rows=(*state.sent_rows, row) if known else state.sent_rows,
                )
        return state, replica

    def _rows(self, state: Driving, replica: Replica, reply: Rows) -> Step:
        rows = dict(reply.rows)
        for entry in state.wanted:
            if entry.row in rows and self.forests.rules.takes_part(drives=True):
                replica, _ = self.forests.step(replica, Meet(entry, rows[entry.row]))
        left = tuple(entry for entry in state.wanted if entry.row not in rows)
        moved = state.moved + len(state.wanted) - len(left)
        return self._ask(replace(state, wanted=left, moved=moved), replica)

    def _took(self, state: Driving, replica: Replica, reply: Took) -> Step:
        given = [entry for entry in state.giving if entry.row in reply.rows]
        moved = sum(entry.row not in state.sent_rows for entry in given)
        state = replace(
            state,
            giving=tuple(entry for entry in state.giving if entry not in given),
            moved=state.moved + moved,
        )
        return self._ask(state, replica)


# --- both sides -------------------------------------------------------------------------------------------


def digest_as_heard(rules: Rules, mine: Tree, heard: dict[Prefix, Node], prefix: Prefix = ()) -> bytes:
    """The digest of the other side's subtree: of what was heard, and of ours where they are the same."""
    node = heard.get(prefix)
    if node is None:
        return mine.digest(prefix)
    if isinstance(node, Leaf):
        return rules.leaf_digest(node.entries) if node.entries else NOTHING_THERE
    below = [(*prefix, digit) for digit in range(FAN_OUT)]
    return rules.inner_digest([digest_as_heard(rules, mine, heard, child) for child in below])


def refused(forests: ForestReplica, replica: Replica, question: Open) -> Refused | None:
    """Why there can be no exchange, if so (rules MERKLE_FOREST.R7 and MERKLE_FOREST.R8)."""
    shape, floor = replica.forest.shape, replica.replica.floor.durable.floor
    if not forests.rules.comparable(shape, question.shape):
        reason = f"setting {question.shape.number} is not {shape.number}: build the older forest anew"
        return Refused(question.exchange, reason)
    if floor < question.floor:
        reason = f"floor {question.floor} is not {floor}: settle first"
        return Refused(question.exchange, reason)
    return None


def ready(forests: ForestReplica, replica: Replica, stable: int) -> Replica:
    """At that stable time or a later one, and no window dirty.

    Rules MERKLE_FOREST.R10, MERKLE_FOREST.R12.
    """
    if stable > replica.forest.stable:
        replica, _ = forests.step(replica, Advance(stable))
    for window in sorted(replica.forest.dirty):
        if not forests.rules.may_tell(is_dirty=True):
            replica, _ = forests.step(replica, Rehash(window))
    return replica


def snapshot_of(replica: Replica) -> Snapshot:
    """What it shows now."""
    entries = tuple(entry for _, entry in replica.forest.entries)
    forest, floor = replica.forest, replica.replica.floor.durable
    return Snapshot(entries, forest.told, floor.closed, forest.stable, floor.floor, forest.shape)


def changed_since(replica: Replica, snapshot: Snapshot) -> str | None:
    """Why an exchange can not go on: another floor was closed (HANDOFF.R10), or the setting changed (R7)."""
    if replica.replica.floor.durable.closed != snapshot.closed:
        return CLOSED_SINCE
    return None if replica.forest.shape == snapshot.shape else RESHAPED_SINCE


def tree_of(forests: ForestReplica, shape: Shape, snapshot: Snapshot, window: int) -> Tree:
    """The tree of a window, as it was."""
    rules = forests.rules
    entries = (entry for entry in snapshot.entries if rules.window_of(shape, entry.version) == window)
    return Tree(rules, shape, tuple(entries))
