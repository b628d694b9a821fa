"""What a script of the handoff part can say, beside what one of the quorum part can."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from scratchbird_check.traces import quorum_moves


class Act(Enum):
    """What happens."""

    LOOK = "Look"
    HINT = "Hint"
    GIVE_UP = "GiveUp"
    KEEP_AGAIN = "KeepAgain"
    ANSWER = "Answer"
    REPAIR = "Repair"
    STOP = "Stop"
    START = "Start"
    TIME = "Time"
    PROPOSE = "Propose"
    CLOSE = "Close"
    PULL = "Pull"
    BACK_UP = "BackUp"
    RESTORE = "Restore"


@dataclass(frozen=True, slots=True)
class Move(quorum_moves.Move):
    """One move; use the functions below.

    :ivar floor: that is proposed.
    :ivar days: that pass.
    """

    floor: int = 0
    days: int = 0


# --- what is owed -----------------------------------------------------------------------------------------


def look(coordinator: str) -> Move:
    """A coordinator looks what it owes: it sends hints, and gives up whom it owes too much."""
    return Move(Act.LOOK, at=coordinator)


def hint(coordinator: str, replica: int) -> Move:
    """The hint that was sent last to a replica arrives, and what that says arrives if anybody is there."""
    return Move(Act.HINT, replicas=(replica,), at=coordinator)


def give_up(coordinator: str, replica: int) -> Move:
    """An operator removes what a coordinator keeps for a replica."""
    return Move(Act.GIVE_UP, replicas=(replica,), at=coordinator)


def keep_again(coordinator: str, replica: int) -> Move:
    """A replica that was given up is back."""
    return Move(Act.KEEP_AGAIN, replicas=(replica,), at=coordinator)


def answer(coordinator: str, replica: int, other: int) -> Move:
    """A replica has asked another for all that it holds, for this coordinator; the answer is under way."""
    return Move(Act.ANSWER, replicas=(replica,), others=(other,), at=coordinator)


def repair(coordinator: str, replica: int, *others: int) -> Move:
    """What others answered arrives and is merged; they are asked now, if they were not before."""
    return Move(Act.REPAIR, replicas=(replica,), others=others, at=coordinator)


# --- processes, disks and time ----------------------------------------------------------------------------


def stop(replica: int) -> Move:
    """A replica's process ends."""
    return Move(Act.STOP, replicas=(replica,))


def start(*replicas: int, coordinator: str = "") -> Move:
    """A process starts again: a replica's, which asks the catalog for the floor, or a coordinator's."""
    return Move(Act.START, replicas=replicas, at=coordinator)


def passes(days: int, *purging: int) -> Move:
    """Time passes, and these replicas purge what they may."""
    return Move(Act.TIME, replicas=purging, days=days)


def back_up(replica: int) -> Move:
    """Somebody copies what is on the disk of a replica."""
    return Move(Act.BACK_UP, replicas=(replica,))


def restore(replica: int) -> Move:
    """A replica that lost its disk is given its backup."""
    return Move(Act.RESTORE, replicas=(replica,))


# --- the floor --------------------------------------------------------------------------------------------


def propose(floor: int, *replicas: int) -> Move:
    """The catalog proposes a floor, and these replicas close it at once."""
    return Move(Act.PROPOSE, replicas=replicas, floor=floor)


def close(replica: int) -> Move:
    """A replica hears of the floor, from the proposal or because it asks, and closes it."""
    return Move(Act.CLOSE, replicas=(replica,))


def pull(replica: int, *others: int) -> Move:
    """A replica gets what others hold below the floor, if it asked for that."""
    return Move(Act.PULL, replicas=(replica,), others=others)
