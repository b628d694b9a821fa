"""Named schedules: which message arrives when, for any N, W and R, played by the machines of the reference.

A schedule is the reason for a *no* in the guarantees table. It is a list of moves, as in
``traces/quorum_moves.py``: a client asks a coordinator, some messages arrive, others do not yet. What
clients see is recorded as a history, and the history is judged (``judging.py``), not the schedule. A schedule
that does not fit a setting (it needs two replicas, say) is no reason for anything there.

Only tables in eventual mode have schedules here: under the right rules none is known for linearizable ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from scratchbird_check.traces.quorum_moves import Move, hear, lose, read, recover, store, write
from scratchbird_check.traces.quorum_run import Run
from scratchbird_check.traces.quorum_world import Stage
from scratchbird_check.variants.quorum import RIGHT
from scratchbird_history.operations import History
from scratchbird_reference.quorum_messages import Mode, Setting

CLOCKS = {"fast": 20, "slow": 10}
"""What the clocks of two coordinators make of a version; they differ by less than is tolerated anywhere."""
COORDINATORS = (*CLOCKS, "third")


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
    moves: Callable[[Setting], tuple[Move, ...]]


@dataclass(frozen=True, slots=True)
class Played:
    """A schedule that was played: what clients saw, and each move in words."""

    history: History
    story: tuple[str, ...]


def play(schedule: Schedule, setting: Setting) -> Played:
    """Play it in a setting that it fits.

    :raises ValueError: if it does not fit, or a move is not possible.
    """
    if not schedule.fits(setting):
        raise ValueError(f"schedule {schedule.name} does not fit {setting}")
    run = Run(RIGHT, Stage(dict.fromkeys(COORDINATORS, setting), clocks=CLOCKS, tokens=False))
    story = []
    for move in schedule.moves(setting):
        if not run.move(move):
            raise ValueError(f"schedule {schedule.name}: {move} is not possible in {setting}")
        step = run.steps[-1]
        who = f"{move.client} at the coordinator {move.at}" if move.client else step.lane
        story.append(f"{who}: {step.label}")
    return Played(run.world.history(), tuple(story))


# --- the schedules ----------------------------------------------------------------------------------------


def _asks(setting: Setting) -> tuple[int, ...]:
    return setting.replicas[: setting.read_quorum]


def _two_clocks(second: str, reader: str, at: str) -> Callable[[Setting], tuple[Move, ...]]:
    """Ann writes by the fast clock, somebody by the slow one; then somebody reads at a coordinator."""

    def moves(setting: Setting) -> tuple[Move, ...]:
        return (
            write("first", "a", "fast", client="ann", holds=setting.replicas),
            write("second", "b", "slow", client=second, holds=setting.replicas),
            read("read", at, client=reader, hears=_asks(setting)),
        )

    return moves


def _missed(setting: Setting) -> tuple[Move, ...]:
    return (
        write("write", "a", "fast", client="ann", holds=setting.replicas[: setting.write_quorum]),
        read("read", "fast", client="ann", hears=setting.replicas[-setting.read_quorum :]),
    )


def _seen_and_missed(setting: Setting) -> tuple[Move, ...]:
    return (
        write("write", "a", "fast", client="ann"),
        store("write", setting.replicas[0]),
        read("first", "third", client="bob", hears=_asks(setting)),
        read("second", "third", client="bob", hears=setting.replicas[-setting.read_quorum :]),
    )


def _seen_out_of_order(setting: Setting) -> tuple[Move, ...]:
    """The reader asks before both writes; the replica that has the second one alone answers last."""
    *others, last = setting.replicas
    return (
        read("first", "third", client="bob", hears=tuple(others)),
        write("one", "a", "fast", client="ann", holds=setting.replicas[: setting.write_quorum]),
        write("two", "b", "slow", client="ann", holds=(last, *others)),
        hear("first", last),
        read("second", "third", client="bob", hears=setting.replicas),
    )


def _seen_then_lost(setting: Setting) -> tuple[Move, ...]:
    first, *others = setting.replicas
    return (
        write("write", "a", "fast", client="ann"),
        store("write", first),
        read("first", "third", client="bob", hears=setting.replicas),
        lose(first),
        recover(first, *others[: setting.size - setting.write_quorum + 1]),
        read("second", "third", client="bob", hears=setting.replicas),
    )


def _eventual(setting: Setting) -> bool:
    return setting.mode is Mode.EVENTUAL


_ANYWHERE = frozenset({Clients.ANYWHERE})
_SETTLED = _ANYWHERE | {Clients.ONE_COORDINATOR, Clients.ONE_WRITER}

SCHEDULES: Mapping[str, Schedule] = {
    item.name: item
    for item in (
        Schedule(
            "slow clock",
            "a write through a coordinator whose clock is behind is acknowledged and never read",
            # Each client stays where it is; the row has two writers.
            _ANYWHERE | {Clients.ONE_COORDINATOR},
            False,
            _eventual,
            _two_clocks("bob", "cem", "third"),
        ),
        Schedule(
            "own write, slow clock",
            "a client writes twice, through two coordinators, and reads what it wrote first",
            _ANYWHERE,
            False,
            _eventual,
            _two_clocks("ann", "ann", "slow"),
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
            _ANYWHERE,
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
