"""What a script of the forest part can say. Times and versions are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum


class Act(Enum):
    """What happens."""

    WRITE = "Write"
    ARRIVE = "Arrive"
    RISE = "Rise"
    CRASH = "Crash"
    RESHAPE = "Reshape"
    PROPOSE = "Propose"
    PULL = "Pull"
    SETTLE = "Settle"
    PURGE = "Purge"
    BEGIN = "Begin"
    GO_ON = "GoOn"


@dataclass(frozen=True, slots=True)
class Move:
    """One move; use the functions below.

    :ivar replicas: who does it; of an exchange the side that drives, then the other one.
    :ivar ms: the version, the stable time or the floor.
    :ivar value: what is written, ``None`` for a delete.
    :ivar setting: the number of a new setting, and the length of its windows.
    :ivar setup: whether it only sets the scene.
    """

    act: Act
    replicas: tuple[int, ...] = ()
    ms: int = 0
    value: str | None = None
    row: int = 1
    setting: tuple[int, int] = (0, 0)
    setup: bool = False


def unseen(*moves: Move) -> tuple[Move, ...]:
    """Moves that set the scene: drawings fold them away."""
    return tuple(replace(move, setup=True) for move in moves)


# --- rows and time ----------------------------------------------------------------------------------------


def write(value: str | None, ms: int, *replicas: int, row: int = 1) -> Move:
    """Clients write, at this version, and these replicas are reached at once; the others later or never."""
    return Move(Act.WRITE, replicas, ms, value, row)


def arrive(ms: int, replica: int, row: int = 1) -> Move:
    """A write reaches a replica late: by a hint, or by a slow message."""
    return Move(Act.ARRIVE, (replica,), ms, row=row)


def rise(ms: int, *replicas: int) -> Move:
    """Stable times rise."""
    return Move(Act.RISE, replicas, ms)


def crash(replica: int) -> Move:
    """A replica crashes and starts again; its disk is there."""
    return Move(Act.CRASH, (replica,))


def reshape(replica: int, number: int, window_ms: int) -> Move:
    """A replica builds its forest anew in another setting."""
    return Move(Act.RESHAPE, (replica,), setting=(number, window_ms))


# --- the floor --------------------------------------------------------------------------------------------


def propose(ms: int, *replicas: int) -> Move:
    """The catalog proposes a floor, and these replicas close it at once."""
    return Move(Act.PROPOSE, replicas, ms)


def pull(replica: int, *others: int) -> Move:
    """A replica merges what others hold below the floor."""
    return Move(Act.PULL, (replica, *others))


def settle(*replicas: int) -> Move:
    """These replicas hear that all have converged; left out as long as not all have."""
    return Move(Act.SETTLE, replicas)


def purge(*replicas: int) -> Move:
    """There is time to purge; left out where nothing may go."""
    return Move(Act.PURGE, replicas)


# --- an exchange ------------------------------------------------------------------------------------------


def begin(one: int, other: int) -> Move:
    """A replica begins an exchange with another one, and hears of its windows."""
    return Move(Act.BEGIN, (one, other))


def go_on(one: int, other: int) -> Move:
    """The exchange that is under way goes on to its end."""
    return Move(Act.GO_ON, (one, other))


def exchange(one: int, other: int) -> tuple[Move, Move]:
    """A whole exchange."""
    return begin(one, other), go_on(one, other)
