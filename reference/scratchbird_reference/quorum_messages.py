"""What the quorum part talks about: versions, settings and the messages between coordinator and replicas.

A *row* is a register. A *version* is the id of one write (see :mod:`scratchbird_reference.uuid8`), held here
as its 128-bit number; 0 stands for "never written". ``spec/quorum.md`` states the rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from scratchbird_reference.errors import CallerError, ConfigurationError
from scratchbird_reference.uuid8 import check_range, is_whole, shown

MAX_VERSION = (1 << 128) - 1
MAX_ROW = (1 << 63) - 1
MAX_REPLICAS = 255

Incarnations = tuple[tuple[int, int], ...]


class Mode(Enum):
    """What a table promises (rule QUORUM.R2)."""

    EVENTUAL = "eventual"
    """One round; the greatest version wins."""
    LINEARIZABLE = "linearizable"
    """A write looks before it stamps, a read replies only with what later reads must see."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Who holds a table's rows, and how many of them must answer.

    :raises ConfigurationError: if a number is out of range, a replica is named twice, or the mode is
        linearizable and a read quorum could miss a write quorum.
    """

    replicas: tuple[int, ...]
    write_quorum: int
    read_quorum: int
    mode: Mode = Mode.LINEARIZABLE
    epoch: int = 0
    """Which setting is newer (rule QUORUM.R15)."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.replicas) <= MAX_REPLICAS:
            raise ConfigurationError(f"{len(self.replicas)} replicas: name 1 to {MAX_REPLICAS}")
        for replica in self.replicas:
            _check_number(f"replica id {shown(replica)}", replica, 0)
        repeated = sorted({replica for replica in self.replicas if self.replicas.count(replica) > 1})
        if repeated:
            raise ConfigurationError(
                f"replica {repeated[0]} is named {self.replicas.count(repeated[0])} times: each replica has "
                f"one vote, name it once"
            )
        for name in ("write_quorum", "read_quorum"):
            value = getattr(self, name)
            _check_number(f"{name} {shown(value)}", value, 1)
            if value > self.size:
                raise ConfigurationError(
                    f"{name} is {value} of {self.size} replicas: no operation could succeed; lower it to "
                    f"at most {self.size}"
                )
        _check_number(f"epoch {shown(self.epoch)}", self.epoch, 0)
        if self.mode is Mode.LINEARIZABLE and self.write_quorum + self.read_quorum <= self.size:
            raise ConfigurationError(
                f"write_quorum {self.write_quorum} + read_quorum {self.read_quorum} is not more than "
                f"{self.size} replicas: a read could miss every replica that holds the last write; raise one "
                f"of them, or choose the mode eventual"
            )

    @property
    def size(self) -> int:
        """N, the number of replicas."""
        return len(self.replicas)


def _check_number(what: str, value: object, least: int) -> None:
    if not is_whole(value) or value < least:
        raise ConfigurationError(f"{what}: it must be a whole number, at least {least}")


@dataclass(frozen=True, slots=True)
class Held:
    """A version and its value. ``None`` is a delete: it has a version as every write has.

    Versions are unique, so the order is that of the versions. Should one version ever carry two values (a
    client that used a reserved version twice), there is still one winner everywhere (rule QUORUM.R1).
    """

    version: int = 0
    value: bytes | None = None

    def rank(self) -> tuple[int, bool, bytes]:
        """What decides which of two is newer: the version, then a delete, then the bytes."""
        return self.version, self.value is None, self.value or b""


NOTHING = Held()


# --- messages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Query:
    """A coordinator asks for what a replica holds."""

    operation: int
    epoch: int
    row: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What a replica held when it answered."""

    operation: int
    held: Held
    incarnations: Incarnations
    """Of every replica that the sender knows one of, its own included: (replica, incarnation)."""


@dataclass(frozen=True, slots=True)
class Write:
    """Hold this, unless you hold something newer. A write, a write-back and a repair are the same message."""

    operation: int
    epoch: int
    row: int
    held: Held


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """The sender holds ``version`` or a newer one, and that is durable (rule QUORUM.R1)."""

    operation: int
    version: int
    incarnations: Incarnations


@dataclass(frozen=True, slots=True)
class OldEpoch:
    """The request was of an older epoch than the sender's: nothing was done (rule QUORUM.R15)."""

    operation: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A replica that lost its disk asks another one for all that it holds (rule QUORUM.R13)."""

    epoch: int
    incarnations: Incarnations


@dataclass(frozen=True, slots=True)
class Exchanged:
    """All that the sender holds. (Production sends differences only; what counts is what is held after.)"""

    epoch: int
    incarnation: int
    """Of the replica that asked: an answer to an earlier life of it is not counted."""
    rows: tuple[tuple[int, Held], ...]
    incarnations: Incarnations


Message = Query | Answer | Write | Acknowledgement | OldEpoch | Exchange | Exchanged


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message to a replica, or to the coordinator of an operation (``to`` is ``None``)."""

    to: int | None
    message: Message


# --- incarnations -----------------------------------------------------------------------------------------


def newest(*maps: Iterable[tuple[int, int]]) -> Incarnations:
    """The highest incarnation of each replica in any of these maps."""
    highest: dict[int, int] = {}
    for known in maps:
        for replica, incarnation in known:
            highest[replica] = max(incarnation, highest.get(replica, 0))
    return tuple(sorted(highest.items()))


def incarnation_of(replica: int, known: Incarnations) -> int:
    """The incarnation of ``replica`` in this map; 0 if it names none."""
    return dict(known).get(replica, 0)


def check_version(version: int) -> None:
    """Raise :class:`CallerError` unless this is the number of an id."""
    check_range("version", version, 1, MAX_VERSION)


def check_row(row: int) -> None:
    """Raise :class:`CallerError` unless this is the number of a row."""
    check_range("row", row, 0, MAX_ROW)


def check_value(value: object) -> None:
    """Raise :class:`CallerError` unless this can be a row's value."""
    if value is not None and not isinstance(value, bytes):
        raise CallerError(f"value {shown(value)} is neither bytes nor None (a delete)")
