"""The guarantees table: for a setting, what holds, and why.

A *yes* is an instance of proved theorems: what they ask of N, W and R is a formula of the proofs, and the
setting's numbers are put into it. A *no* is a schedule that the reference played and whose history breaks the
promise. Where there is neither, or both, the cell says that, and no formula decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cache

import z3

from scratchbird_check.promises import answering, judging
from scratchbird_check.promises.judging import Judge
from scratchbird_check.promises.schedules import SCHEDULES, Clients, Schedule, play
from scratchbird_history.operations import History
from scratchbird_proofs import quorum_counting as numbers
from scratchbird_proofs import quorum_sessions as sessions
from scratchbird_proofs.theorem import Formula
from scratchbird_reference.quorum_messages import Mode, Setting

LARGEST = 7
"""N of the largest settings in the document."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Why a promise holds.

    :ivar asks: what the theorems ask of N, W and R, as a formula of the proofs.
    :ivar despite_losses: whether it holds also when replicas lose their disks (rule QUORUM.R13).
    """

    theorems: tuple[str, ...]
    asks: Formula
    despite_losses: bool = True


@dataclass(frozen=True, slots=True)
class Promise:
    """One column.

    :ivar clients: how the clients go about it that it is promised to.
    :ivar grounds: why it may hold, for each mode.
    """

    name: str
    sentence: str
    clients: Clients
    kept: Judge
    grounds: Mapping[Mode, tuple[Ground, ...]]


class Answer(Enum):
    """What a cell says."""

    YES = "yes"
    UNLESS_LOST = "yes, as long as no disk is lost"
    NO = "no"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Cell:
    """One answer and its evidence: theorems for what holds, a schedule for what does not."""

    answer: Answer
    theorems: tuple[str, ...] = ()
    schedule: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """All that the table says of one setting.

    :ivar reads, reads_with_token, writes: how many replicas may be down, whichever they are.
    :ivar read_rounds, write_rounds: least and most messages there and back.
    """

    setting: Setting
    cells: Mapping[str, Cell]
    reads: int
    reads_with_token: int
    writes: int
    read_rounds: tuple[int, int]
    write_rounds: tuple[int, int]


_ORDER = (
    "quorum.versions_extend_real_time",
    "quorum.operations_have_one_order",
    "quorum.reads_return_the_last_write",
    "quorum.what_replied_outlives_lost_disks",
)
_LINEARIZABLE = Ground(_ORDER, sessions.QUORUMS_MEET)
_LASTS = "quorum.what_replied_outlives_lost_disks"
_NO_RECOVERY = "quorum.others_heard_meet_the_holders"
"""When W or more disks are lost there are not enough others, and with R = N nothing is read any more."""
_LOSES_ALL = z3.And(numbers.write == 1, sessions.READS_ASK_ALL)


def _eventual(*grounds: Ground) -> Mapping[Mode, tuple[Ground, ...]]:
    return {Mode.LINEARIZABLE: (_LINEARIZABLE,), Mode.EVENTUAL: grounds}


_TOKEN = Ground(("quorum.a_token_keeps_the_session",), sessions.ALWAYS)
_FROM_ALL = "quorum.reads_of_all_never_go_back"

PROMISES: tuple[Promise, ...] = (
    Promise(
        "linearizable",
        "Every operation takes effect at one moment between its call and its reply.",
        Clients.ANYWHERE,
        judging.linearizable,
        _eventual(),
    ),
    Promise(
        "regular",
        "A read returns the last write that ended before it began, or one under way.",
        Clients.ANYWHERE,
        judging.regular,
        _eventual(),
    ),
    Promise(
        "regular-one-writer",
        "A read returns the last write that ended before it began, or one under way, if all writes of a row "
        "go through one coordinator or carry the token of the last one.",
        Clients.ONE_WRITER,
        judging.regular,
        _eventual(Ground(("quorum.one_writer_is_regular", _LASTS), sessions.QUORUMS_MEET)),
    ),
    Promise(
        "read-your-writes",
        "A client that wrote reads its write or a later one, whichever coordinator it asks.",
        Clients.ANYWHERE,
        judging.read_your_writes,
        _eventual(),
    ),
    Promise(
        "read-your-writes-one-coordinator",
        "A client that stays at one coordinator reads what it wrote or a later write.",
        Clients.ONE_COORDINATOR,
        judging.read_your_writes,
        _eventual(Ground(("quorum.one_coordinator_keeps_own_writes", _LASTS), sessions.QUORUMS_MEET)),
    ),
    Promise(
        "read-your-writes-token",
        "A client that carries its token reads what it wrote or a later write.",
        Clients.TOKEN,
        judging.read_your_writes,
        _eventual(_TOKEN),
    ),
    Promise(
        "monotonic-reads",
        "A client that reads twice does not read an earlier write the second time, whoever it asks.",
        Clients.ANYWHERE,
        judging.monotonic_reads,
        _eventual(
            Ground((_FROM_ALL, "quorum.what_all_hold_hides_lower_versions"), sessions.ALL_ASK_ALL, False),
            Ground((_FROM_ALL, _NO_RECOVERY), z3.And(sessions.ALL_ASK_ALL, _LOSES_ALL)),
        ),
    ),
    Promise(
        "monotonic-reads-one-coordinator",
        "Where each client stays at one coordinator, none reads an earlier write the second time.",
        Clients.ONE_COORDINATOR,
        judging.monotonic_reads,
        _eventual(
            Ground((_FROM_ALL,), sessions.READS_ASK_ALL, False),
            Ground((_FROM_ALL, _NO_RECOVERY), _LOSES_ALL),
        ),
    ),
    Promise(
        "monotonic-reads-token",
        "A client that carries its token does not read an earlier write the second time.",
        Clients.TOKEN,
        judging.monotonic_reads,
        _eventual(_TOKEN),
    ),
    Promise(
        "eventual",
        "Replicas that were told the same writes, in whatever order and way, hold the same.",
        Clients.ANYWHERE,
        # No history of a client can break it: it says nothing of when.
        lambda history: True,
        {
            mode: (Ground(("quorum.replicas_that_were_told_the_same_agree",), sessions.ALWAYS),)
            for mode in Mode
        },
    ),
)


# --- cells ------------------------------------------------------------------------------------------------


def holds_of(formula: Formula, setting: Setting) -> bool:
    """Whether a formula of the proofs is true of a setting's numbers."""
    given = (
        (numbers.replicas, setting.size),
        (numbers.write, setting.write_quorum),
        (numbers.read, setting.read_quorum),
    )
    put = z3.substitute(formula, *((name, z3.IntVal(value)) for name, value in given))
    found = z3.simplify(put)
    assert z3.is_true(found) or z3.is_false(found), f"{formula} speaks of more than N, W and R"
    return bool(z3.is_true(found))


def cell(asked: Promise, setting: Setting) -> Cell:
    """The evidence decides; a promise that is both proved and refuted, or neither, is undecided."""
    grounds = [item for item in asked.grounds[setting.mode] if holds_of(item.asks, setting)]
    firm = next((item for item in grounds if item.despite_losses), None)
    weak = next((item for item in grounds if not item.despite_losses), None)
    plain = _broken_by(asked, setting, loses_a_disk=False)
    lost = _broken_by(asked, setting, loses_a_disk=True)
    match firm, weak, plain, lost:
        case Ground(), _, None, None:
            return Cell(Answer.YES, firm.theorems)
        case None, Ground(), None, Schedule():
            return Cell(Answer.UNLESS_LOST, weak.theorems, lost.name)
        case None, None, Schedule(), _:
            return Cell(Answer.NO, (), plain.name)
    return Cell(
        Answer.UNDECIDED,
        tuple(name for ground in grounds for name in ground.theorems),
        ", ".join(item.name for item in (plain, lost) if item),
    )


def _broken_by(asked: Promise, setting: Setting, *, loses_a_disk: bool) -> Schedule | None:
    """The first schedule that is open to these clients and whose history breaks the promise."""
    for schedule in SCHEDULES.values():
        if (
            schedule.loses_a_disk == loses_a_disk
            and asked.clients in schedule.clients
            and schedule.fits(setting)
            and not asked.kept(_seen(schedule.name, setting))
        ):
            return schedule
    return None


@cache
def _seen(schedule: str, setting: Setting) -> History:
    """What clients saw; most schedules are asked about several promises."""
    return play(SCHEDULES[schedule], setting).history


# --- rows -------------------------------------------------------------------------------------------------


@cache
def row(setting: Setting) -> Row:
    """All that the table says of a setting."""
    return Row(
        setting,
        {item.name: cell(item, setting) for item in PROMISES},
        answering.survives(setting, answering.READ),
        answering.survives(setting, answering.READ_WITH_TOKEN),
        answering.survives(setting, answering.WRITE),
        answering.rounds(setting, answering.READ),
        answering.rounds(setting, answering.WRITE),
    )


def settings(largest: int = LARGEST) -> Iterator[Setting]:
    """Every setting with up to so many replicas, in both modes as far as they may be set."""
    for mode in (Mode.LINEARIZABLE, Mode.EVENTUAL):
        for size in range(1, largest + 1):
            for write in range(1, size + 1):
                for read in range(1, size + 1):
                    if mode is Mode.EVENTUAL or write + read > size:
                        yield Setting(tuple(range(1, size + 1)), write, read, mode)
