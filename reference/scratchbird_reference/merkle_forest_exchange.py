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
    Entry,
    Inner,
    Leaf,
    Node,
    Prefix,
    Shape,
    Tree,
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
MOST_ITEMS = 64
"""Windows, nodes or rows that one message names or carries."""

Place = tuple[int, Prefix]
"""A window and the digits below which a node of its tree is."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a replica showed when an exchange began: nothing that happens later changes it."""

    entries: tuple[Entry, ...] = ()
    told: tuple[tuple[int, bytes], ...] = ()
    """By window: its digest."""
    closed: int = 0
    """The floor that it had closed: one that closes the next takes nothing of it (HANDOFF.R10)."""


# --- messages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """Let us exchange, in this setting, at this stable time and floor (rule MERKLE_FOREST.R12)."""

    exchange: int
    shape: Shape
    stable: int
    floor: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A snapshot is taken, at this stable time and floor."""

    exchange: int
    stable: int
    floor: int


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no such exchange, or there can be none, and why."""

    exchange: int
    reason: str


@dataclass(frozen=True, slots=True)
class AskWindows:
    """Which windows do you show, after this one?"""

    exchange: int
    after: int


@dataclass(frozen=True, slots=True)
class Windows:
    """Some windows and their digests, in order; ``last`` if there are no more."""

    exchange: int
    windows: tuple[tuple[int, bytes], ...]
    last: bool


@dataclass(frozen=True, slots=True)
class AskNodes:
    """What do you show there?"""

    exchange: int
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Nodes:
    """That, of each. With an entry: the version in which its row is held."""

    exchange: int
    nodes: tuple[tuple[Place, Node], ...]
    held: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class AskRows:
    """How do you hold these rows?"""

    exchange: int
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """So."""

    exchange: int
    rows: tuple[tuple[int, Held], ...]


@dataclass(frozen=True, slots=True)
class Give:
    """I show these, and hold their rows so; a row that you hold newer is not sent."""

    exchange: int
    given: tuple[tuple[Entry, Held | None], ...]


@dataclass(frozen=True, slots=True)
class Took:
    """All these are dealt with, and durable."""

    exchange: int
    rows: tuple[int, ...]


Question = Open | AskWindows | AskNodes | AskRows | Give
Reply = Opened | Refused | Windows | Nodes | Rows | Took


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

    def step(
        self, state: Answering, replica: Replica, question: Question
    ) -> tuple[Answering, Replica, Reply]:
        """Answer a question."""
        if isinstance(question, Open):
            return self._open(state, replica, question)
        snapshot = dict(state.snapshots).get(question.exchange)
        if snapshot is None:
            reason = (
                f"exchange {question.exchange} is not open here: it was too long ago, or before a restart"
            )
            return state, replica, Refused(question.exchange, reason)
        if has_closed_since(replica, snapshot):
            return state, replica, Refused(question.exchange, CLOSED_SINCE)
        match question:
            case AskWindows():
                return state, replica, self._windows(snapshot, question)
            case AskNodes():
                return state, replica, self._nodes(snapshot, replica, question)
            case AskRows():
                rows = tuple((row, self.forests.effective(replica, row)) for row in question.rows)
                return state, replica, Rows(question.exchange, rows)
        return self._give(state, replica, question)

    def _open(self, state: Answering, replica: Replica, question: Open) -> tuple[Answering, Replica, Reply]:
        refusal = refused(self.forests, replica, question)
        if refusal is not None:
            return state, replica, refusal
        replica = ready(self.forests, replica, question.stable)
        kept = tuple(item for item in state.snapshots if item[0] != question.exchange)
        kept = (*kept, (question.exchange, snapshot_of(replica)))[-self.most_exchanges :]
        opened = Opened(question.exchange, replica.forest.stable, replica.replica.floor.durable.floor)
        return Answering(kept), replica, opened

    def _windows(self, snapshot: Snapshot, question: AskWindows) -> Windows:
        later = [item for item in snapshot.told if item[0] > question.after]
        return Windows(question.exchange, tuple(later[:MOST_ITEMS]), len(later) <= MOST_ITEMS)

    def _nodes(self, snapshot: Snapshot, replica: Replica, question: AskNodes) -> Nodes:
        nodes = tuple(
            ((window, prefix), tree_of(self.forests, replica.forest.shape, snapshot, window).node(prefix))
            for window, prefix in question.places[:MOST_ITEMS]
        )
        held = {
            entry.row: self.forests.effective(replica, entry.row).version
            for _, node in nodes
            if isinstance(node, Leaf)
            for entry in node.entries
        }
        return Nodes(question.exchange, nodes, tuple(sorted(held.items())))

    def _give(self, state: Answering, replica: Replica, question: Give) -> tuple[Answering, Replica, Reply]:
        given = question.given[:MOST_ITEMS]
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
        return (not self.windows_done) + len(self.nodes) + len(self.wanted) + len(self.giving)


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
        if state.is_open and has_closed_since(replica, state.snapshot):
            return None, replica, Failed(state.exchange, state.other, CLOSED_SINCE)
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
            question = AskNodes(number, state.nodes[:MOST_ITEMS])
        elif state.wanted:
            question = AskRows(number, tuple(entry.row for entry in state.wanted[:MOST_ITEMS]))
        elif state.giving:
            question = Give(
                number, tuple(self._given(state, replica, entry) for entry in state.giving[:MOST_ITEMS])
            )
        if question is not None and not (state.is_open and self.forests.rules.has_succeeded(state.left)):
            return state, replica, Ask(state.other, question)
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
        asked = [item for item in reply.nodes if item[0] in state.nodes]
        held = dict(reply.held)
        for place, node in asked:
            window, prefix = place
            mine = tree_of(self.forests, replica.forest.shape, state.snapshot, window)
            if isinstance(node, Inner):
                below = [(window, (*prefix, digit)) for digit in range(FAN_OUT)]
                differ = [(w, p) for w, p in below if mine.digest(p) != node.children[p[-1]]]
                state = replace(state, nodes=(*state.nodes, *differ))
            else:
                state, replica = self._leaf(state, replica, mine.under(prefix), node.entries, held)
        done = {place for place, _ in asked}
        state = replace(state, nodes=tuple(place for place in state.nodes if place not in done))
        return self._ask(state, replica)

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
    return Snapshot(entries, replica.forest.told, replica.replica.floor.durable.closed)


def has_closed_since(replica: Replica, snapshot: Snapshot) -> bool:
    """Whether it has closed another floor since an exchange began (rule HANDOFF.R10)."""
    return replica.replica.floor.durable.closed != snapshot.closed


def tree_of(forests: ForestReplica, shape: Shape, snapshot: Snapshot, window: int) -> Tree:
    """The tree of a window, as it was."""
    rules = forests.rules
    entries = (entry for entry in snapshot.entries if rules.window_of(shape, entry.version) == window)
    return Tree(rules, shape, tuple(entries))
