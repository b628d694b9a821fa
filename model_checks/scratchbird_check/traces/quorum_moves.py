"""What a script of the quorum part can say: one move is one line of the drawing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar


class Act(Enum):
    """What happens."""

    READ = "Read"
    WRITE = "Write"
    REPEAT = "Repeat"
    HEAR = "Hear"
    STORE = "Store"
    HOLD = "Hold"
    ACKNOWLEDGED = "Acknowledged"
    DURABLE = "Durable"
    DEADLINE = "Deadline"
    CRASH = "Crash"
    UNDO = "Undo"
    LOSE = "Lose"
    TELL = "Tell"
    RECOVER = "Recover"


@dataclass(frozen=True, slots=True)
class Move:
    """One move; use the functions below.

    :ivar act: one of :class:`Act`, or of another part's.
    :ivar value: that a write writes; ``None`` deletes.
    :ivar op: the name of a client's operation.
    :ivar replicas: whom the move is about; of a move at one replica, this one.
    :ivar others: whom a replica that recovers hears.
    :ivar at: the coordinator.
    :ivar hears: replicas that answer at once; ``holds``: those that store and acknowledge at once.
    :ivar clock: what the coordinator's clock reads now, as a version; as it runs by itself if it is 0.
    """

    act: Enum
    op: str = ""
    replicas: tuple[int, ...] = ()
    others: tuple[int, ...] = ()
    at: str = ""
    client: str = ""
    value: str | None = ""
    hears: tuple[int, ...] = ()
    holds: tuple[int, ...] = ()
    reserve: bool = False
    slow_disk: bool = False
    clock: int = 0
    setup: bool = False


M = TypeVar("M", bound=Move)


def unseen(*moves: M) -> tuple[M, ...]:
    """The same moves, which only set the scene."""
    return tuple(replace(move, setup=True) for move in moves)


# --- clients ----------------------------------------------------------------------------------------------


def read(
    op: str,
    at: str,
    *,
    client: str = "",
    hears: tuple[int, ...] = (),
    holds: tuple[int, ...] = (),
) -> Move:
    """A client reads at this coordinator; ``client`` is who, somebody of its own if not named."""
    return Move(Act.READ, op, at=at, client=client or op, hears=hears, holds=holds)


def write(
    op: str,
    value: str | None,
    at: str,
    *,
    client: str = "",
    hears: tuple[int, ...] = (),
    holds: tuple[int, ...] = (),
    reserve: bool = False,
    slow_disk: bool = False,
    clock: int = 0,
) -> Move:
    """A client writes, ``None`` deletes; with ``reserve`` as one that may repeat it (rule QUORUM.R9)."""
    return Move(
        Act.WRITE,
        op,
        at=at,
        client=client or op,
        value=value,
        hears=hears,
        holds=holds,
        reserve=reserve,
        slow_disk=slow_disk,
        clock=clock,
    )


def repeat(op: str, at: str, *, hears: tuple[int, ...] = (), holds: tuple[int, ...] = ()) -> Move:
    """The client of a write that has no reply asks again, through this coordinator."""
    return Move(Act.REPEAT, op, at=at, hears=hears, holds=holds)


# --- coordinators -----------------------------------------------------------------------------------------


def hear(op: str, *replicas: int) -> Move:
    """The query reaches these replicas, and their answers the coordinator."""
    return Move(Act.HEAR, op, replicas)


def hold(op: str, *replicas: int) -> Move:
    """What is written, or written back, reaches these replicas, and they acknowledge it."""
    return Move(Act.HOLD, op, replicas)


def acknowledged(op: str, *replicas: int) -> Move:
    """What these replicas said to it, when they stored it, arrives at the coordinator."""
    return Move(Act.ACKNOWLEDGED, op, replicas)


def durable(op: str) -> Move:
    """The slow disk of the coordinator has the intent of this write."""
    return Move(Act.DURABLE, op)


def deadline(op: str) -> Move:
    """The time of this operation is up."""
    return Move(Act.DEADLINE, op)


def crash(coordinator: str) -> Move:
    """A coordinator crashes; what was not durable is gone."""
    return Move(Act.CRASH, at=coordinator)


# --- replicas ---------------------------------------------------------------------------------------------


def store(op: str, replica: int) -> Move:
    """What is written reaches a replica; what that says is under way."""
    return Move(Act.STORE, op, (replica,))


def undo(op: str, replica: int) -> Move:
    """The message that takes a write back reaches a replica, if one was sent."""
    return Move(Act.UNDO, op, (replica,))


def lose(replica: int) -> Move:
    """A replica loses its disk, and starts on an empty one."""
    return Move(Act.LOSE, replicas=(replica,))


def tell(replica: int, other: int) -> Move:
    """The question of a replica that recovers reaches another; the answer is under way."""
    return Move(Act.TELL, replicas=(replica,), others=(other,))


def recover(replica: int, *others: int) -> Move:
    """A replica that recovers gets what these others hold; they are asked now, if they were not before."""
    return Move(Act.RECOVER, replicas=(replica,), others=others)
