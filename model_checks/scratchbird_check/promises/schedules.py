"""Named schedules: which message arrives when, for any N, W and R, played by the machines of the reference.

A schedule is the reason for a *no* in the guarantees table. It is a list of moves: a client asks a
coordinator, some messages arrive, others have not arrived yet. What clients see is recorded as a history,
and the history is judged (:mod:`promises.judging`), not the schedule. A schedule that does not fit a setting
(it needs two replicas, say) is no reason for anything there.

Only tables in eventual mode have schedules here: under the right rules none is known for linearizable ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from scratchbird_history.operations import History, Kind, Operation, Outcome
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replica
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Exchange,
    Held,
    Mode,
    Query,
    Send,
    Setting,
    Write,
)

ROW = 0
FAST, SLOW = 20, 10
"""What the clocks of two coordinators make of a version; they differ by less than is tolerated anywhere."""


class Clients(Enum):
    """How clients go about it."""

    ANYWHERE = "any coordinator, no token"
    ONE_COORDINATOR = "each client at one coordinator, no token"
    ONE_WRITER = "one coordinator for all writes of a row, or the token of the last one"
    TOKEN = "any coordinator, with token"


@dataclass(frozen=True, slots=True)
class Schedule:
    """One way for it to go wrong.

    :ivar clients: how its clients go about it: it is possible wherever clients may do so.
    :ivar loses_a_disk: whether a replica loses its disk in it.
    :ivar fits: whether it can happen in a setting.
    """

    name: str
    sentence: str
    clients: frozenset[Clients]
    loses_a_disk: bool
    fits: Callable[[Setting], bool]
    moves: Callable[[Play], None]


@dataclass
class Asked:
    """An operation of a client that has not returned."""

    client: str
    kind: Kind
    number: int
    value: str
    invoked: int
    sent: list[Send] = field(default_factory=list)
    early: bool = False
    """Whether some replicas answered in an earlier move."""


class Play:
    """Clients, coordinators and replicas of the reference; the script says what arrives."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.names = setting.replicas
        self.story: list[str] = []
        self._coordinators: dict[str, operations.State] = {}
        self._replicas = {name: replica.first_state(name) for name in self.names}
        self._incarnations = dict.fromkeys(self.names, 1)
        self._done: list[Operation] = []
        self._time = 0
        self._numbers = 0
        self._replies: dict[int, operations.Reply] = {}

    # --- moves --------------------------------------------------------------------------------------------

    def write(self, client: str, value: str, via: str, version: int, reaches: Iterable[int]) -> None:
        """A client writes through a coordinator whose clock makes this version; it reaches these replicas."""
        reached = tuple(reaches)
        asked = self._ask(client, via, value, version)
        self._arrive(asked, via, reached)
        returned = self._return(asked)
        self.story.append(
            f"{client} writes {value} through {via}, whose clock makes version {version}: it reaches "
            f"{_names(reached)} and is {'acknowledged' if returned else 'not acknowledged yet'}"
        )

    def read(self, client: str, via: str, answered: Iterable[int]) -> None:
        """A client reads; these replicas answer, in this order."""
        asked = self.begin_read(client, via, ())
        self.end_read(asked, via, answered)

    def begin_read(self, client: str, via: str, answered: Iterable[int]) -> Asked:
        """A client reads; these have answered, the others have not yet."""
        asked = self._ask(client, via)
        early = tuple(answered)
        self._arrive(asked, via, early)
        asked.early = bool(early)
        if early:
            self.story.append(f"{client} reads through {via}: {_answering(early)}, the others later")
        return asked

    def end_read(self, asked: Asked, via: str, answered: Iterable[int]) -> None:
        """These answer as well."""
        late = tuple(answered)
        what_it_does = "goes on reading" if asked.early else f"reads through {via}"
        self._arrive(asked, via, late)
        found = self._return(asked)
        what = f"the answer is {found.result}" if found else "there is no answer"
        self.story.append(f"{asked.client} {what_it_does}: {_answering(late)}, {what}")

    def lose_disk(self, name: int, others: Iterable[int]) -> None:
        """A replica loses its disk and recovers from these others (rule QUORUM.R13)."""
        told = tuple(others)
        self._incarnations[name] += 1
        one = replica.Replica()
        state, _ = one.step(self._replicas[name], replica.Crash())
        known = tuple(sorted(self._incarnations.items()))
        state, asks = one.step(state, replica.StartEmpty(self.setting, known))
        for ask in asks:
            if ask.to in told and isinstance(ask.message, Exchange):
                other, answers = one.step(self._replicas[ask.to], replica.Deliver(ask.message, name))
                self._replicas[ask.to] = other
                for answer in answers:
                    state, _ = one.step(state, replica.Deliver(answer.message, ask.to))
        self._replicas[name] = state
        self.story.append(f"replica {name} loses its disk and gets from {_names(told)} what they hold")

    # --- what clients saw ---------------------------------------------------------------------------------

    def history(self) -> History:
        """All operations; what did not return may still take effect, or never."""
        return History(tuple(sorted(self._done, key=lambda item: item.invoked)), "nothing")

    # --- machinery ----------------------------------------------------------------------------------------

    def _ask(self, client: str, via: str, value: str | None = None, version: int = 0) -> Asked:
        """A read, or a write of this value."""
        self._numbers += 1
        kind = Kind.READ if value is None else Kind.WRITE
        asked = Asked(client, kind, self._numbers, value or "", self._tick())
        request = (
            operations.Read(asked.number, ROW)
            if value is None
            else operations.PutValue(asked.number, ROW, value.encode())
        )
        self._take(asked, via, request, version)
        return asked

    def _take(self, asked: Asked, via: str, event: operations.Event, version: int = 0) -> None:
        state = self._coordinators.get(via, operations.State(self.setting))
        state, effects = Coordinator().step(state, event)
        self._coordinators[via] = state
        for effect in effects:
            match effect:
                case Send():
                    asked.sent.append(effect)
                case operations.Stamp(operation=number, above=above):
                    assert version > above, f"{via} makes {version}, {above} was seen"
                    self._take(asked, via, operations.Stamped(number, version))
                case operations.StoreIntent(operation=number, intent=intent):
                    self._take(asked, via, operations.IntentStored(number, intent))
                case operations.Reply(operation=number):
                    self._replies[number] = effect

    def _arrive(self, asked: Asked, via: str, reached: tuple[int, ...]) -> None:
        """What was sent so far arrives at these, in this order, and their answers arrive."""
        for name in reached:
            for send in [item for item in asked.sent if item.to == name]:
                asked.sent.remove(send)
                assert isinstance(send.message, Query | Write)
                state, answers = replica.Replica().step(self._replicas[name], replica.Deliver(send.message))
                self._replicas[name] = state
                for answer in answers:
                    assert isinstance(answer.message, Answer | Acknowledgement)
                    if asked.number not in self._replies:
                        self._take(asked, via, operations.Deliver(name, answer.message))

    def _return(self, asked: Asked) -> Operation | None:
        """Record the operation; ``None`` if it has no reply: it is then indeterminate."""
        reply = self._replies.get(asked.number)
        arguments = (asked.value,) if asked.kind is Kind.WRITE else ()
        result = _text(reply.held) if reply and asked.kind is Kind.READ else None
        done = Operation(
            asked.client,
            "row",
            asked.kind,
            arguments,
            result,
            asked.invoked,
            self._tick() if reply else None,
            Outcome.OK if reply else Outcome.INDETERMINATE,
        )
        self._done.append(done)
        return done if reply else None

    def _tick(self) -> int:
        self._time += 1
        return self._time - 1


def _names(reached: tuple[int, ...]) -> str:
    if not reached:
        return "no replica"
    return f"replica{'s' if len(reached) > 1 else ''} {', '.join(map(str, reached))}"


def _answering(reached: tuple[int, ...]) -> str:
    return f"{_names(reached)} answer{'s' if len(reached) == 1 else ''}"


def _text(held: Held) -> str:
    return "nothing" if held.value is None else held.value.decode()


def play(schedule: Schedule, setting: Setting) -> Play:
    """Play it in a setting that it fits.

    :raises ValueError: if it does not fit.
    """
    if not schedule.fits(setting):
        raise ValueError(f"schedule {schedule.name} does not fit {setting}")
    run = Play(setting)
    schedule.moves(run)
    return run


# --- the schedules ----------------------------------------------------------------------------------------


def _slow_clock(run: Play) -> None:
    run.write("ann", "a", "the fast coordinator", FAST, run.names)
    run.write("bob", "b", "the slow coordinator", SLOW, run.names)
    run.read("cem", "any coordinator", run.names)


def _own_slow_clock(run: Play) -> None:
    run.write("ann", "a", "the fast coordinator", FAST, run.names)
    run.write("ann", "b", "the slow coordinator", SLOW, run.names)
    run.read("ann", "any coordinator", run.names)


def _missed(run: Play) -> None:
    w, r = run.setting.write_quorum, run.setting.read_quorum
    run.write("ann", "a", "her coordinator", FAST, run.names[:w])
    run.read("ann", "her coordinator", run.names[-r:])


def _seen_and_missed(run: Play) -> None:
    r = run.setting.read_quorum
    run.write("ann", "a", "her coordinator", FAST, run.names[:1])
    run.read("bob", "his coordinator", run.names[:r])
    run.read("bob", "his coordinator", run.names[-r:])


def _seen_out_of_order(run: Play) -> None:
    """The reader asks before both writes; the replica that has the second one alone answers last."""
    *others, last = run.names
    asked = run.begin_read("bob", "his coordinator", others)
    run.write("ann", "a", "the fast coordinator", FAST, run.names[: run.setting.write_quorum])
    run.write("ann", "b", "the slow coordinator", SLOW, reversed(run.names))
    run.end_read(asked, "his coordinator", [last])
    run.read("bob", "his coordinator", run.names)


def _seen_then_lost(run: Play) -> None:
    setting = run.setting
    run.write("ann", "a", "her coordinator", FAST, run.names[:1])
    run.read("bob", "his coordinator", run.names)
    run.lose_disk(run.names[0], run.names[1 : setting.size - setting.write_quorum + 2])
    run.read("bob", "his coordinator", run.names)


def _eventual(setting: Setting) -> bool:
    return setting.mode is Mode.EVENTUAL


_ALL = frozenset({Clients.ANYWHERE})
_SETTLED = _ALL | {Clients.ONE_COORDINATOR, Clients.ONE_WRITER}

SCHEDULES: Mapping[str, Schedule] = {
    item.name: item
    for item in (
        Schedule(
            "slow clock",
            "a write through a coordinator whose clock is behind is acknowledged and never read",
            # Each client stays where it is; the row has two writers.
            _ALL | {Clients.ONE_COORDINATOR},
            False,
            _eventual,
            _slow_clock,
        ),
        Schedule(
            "own write, slow clock",
            "a client writes twice, through two coordinators, and reads what it wrote first",
            _ALL,
            False,
            _eventual,
            _own_slow_clock,
        ),
        Schedule(
            "missed",
            "W replicas acknowledge, R others are asked",
            _SETTLED,
            False,
            lambda s: _eventual(s) and s.write_quorum + s.read_quorum <= s.size,
            _missed,
        ),
        Schedule(
            "seen and missed",
            "one replica has the write; one read asks it, the next one does not",
            _SETTLED,
            False,
            lambda s: _eventual(s) and s.read_quorum < s.size,
            _seen_and_missed,
        ),
        Schedule(
            "seen out of order",
            "a client's second write has the lower version; a reader sees it at one replica, then the first",
            _ALL,
            False,
            lambda s: _eventual(s) and s.write_quorum < s.size and s.read_quorum == s.size,
            _seen_out_of_order,
        ),
        Schedule(
            "seen, then lost",
            "a write that one replica has is read; that replica loses its disk, and the others never had it",
            _SETTLED,
            True,
            lambda s: _eventual(s) and s.size > 1 and s.write_quorum > 1 and s.read_quorum == s.size,
            _seen_then_lost,
        ),
    )
}
