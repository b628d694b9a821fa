"""Version ids: a hybrid logical clock's timestamp inside a UUIDv8 (rules UUID8.R1 to UUID8.R6).

The layout is chosen so that **byte order is the order of the clock**: comparing two ids as 16 unsigned
bytes in network order compares (millisecond, counter, node, random), because every field that decides the
order stands before every field that decides it less, and the two constants that RFC 9562 demands (version
and variant) are the same in every id and so decide nothing.

    bits    0-47   milliseconds since the Unix epoch       48 bits
    bits   48-51   version, always 8                        4 bits   (RFC 9562 section 5.8)
    bits   52-63   counter within the millisecond          12 bits
    bits   64-65   variant, always binary 10                2 bits   (RFC 9562 section 4.1)
    bits   66-81   node id, 1 to 65535, 0 is reserved      16 bits
    bits  82-127   random                                  46 bits
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import NamedTuple, TypeGuard

from scratchbird_reference.errors import CallerError

MS_BITS = 48
COUNTER_BITS = 12
NODE_BITS = 16
RANDOM_BITS = 46

MAX_MS = (1 << MS_BITS) - 1
MAX_COUNTER = (1 << COUNTER_BITS) - 1
MAX_NODE_ID = (1 << NODE_BITS) - 1
MAX_RANDOM = (1 << RANDOM_BITS) - 1

VERSION = 0b1000
VARIANT = 0b10

_TEXT_FORM = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

_NODE_SHIFT = RANDOM_BITS
_VARIANT_SHIFT = _NODE_SHIFT + NODE_BITS
_COUNTER_SHIFT = 64
_VERSION_SHIFT = _COUNTER_SHIFT + COUNTER_BITS
_MS_SHIFT = _VERSION_SHIFT + 4


class Timestamp(NamedTuple):
    """A hybrid logical timestamp; its order is the tuple's order (rule HLC.R1)."""

    ms: int
    """Milliseconds since the Unix epoch, 0 to 2**48 - 1."""
    counter: int
    """Position within the millisecond, 0 to 4095."""


def check_timestamp(timestamp: Timestamp) -> None:
    """Raise :class:`CallerError` unless it is a :class:`Timestamp` with both parts in range."""
    if not isinstance(timestamp, Timestamp):
        raise CallerError(f"{shown(timestamp)} is no timestamp: pass Timestamp(milliseconds, counter)")
    check_range("milliseconds", timestamp.ms, 0, MAX_MS)
    check_range("counter", timestamp.counter, 0, MAX_COUNTER)


def check_node_id(node_id: int) -> None:
    """Raise :class:`CallerError` unless ``node_id`` is 1 to 65535 (0 is reserved: rule UUID8.R2)."""
    check_range("node id", node_id, 1, MAX_NODE_ID)


def check_random(random: int) -> None:
    """Raise :class:`CallerError` unless ``random`` fits into 46 bits."""
    check_range("random", random, 0, MAX_RANDOM)


def shown(value: object) -> str:
    """A value for an error message: short, and also where Python refuses to print a huge integer."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    return repr(value)[:80]


def is_whole(value: object) -> TypeGuard[int]:
    """Whether this is a whole number; True and False are none, although Python counts them as such."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raise :class:`CallerError` unless ``value`` is a whole number from ``low`` to ``high``."""
    if not is_whole(value):
        raise CallerError(f"{name} {shown(value)} is no whole number: pass an int from {low} to {high}")
    if not low <= value <= high:
        raise CallerError(f"{name} {shown(value)} is out of range: it must be from {low} to {high}")


@dataclass(frozen=True, slots=True, order=True)
class UuidV8:
    """One version id. Field order is byte order, so the generated comparison is the byte comparison."""

    timestamp: Timestamp
    node_id: int
    random: int

    def __post_init__(self) -> None:
        check_timestamp(self.timestamp)
        check_node_id(self.node_id)
        check_random(self.random)

    def __int__(self) -> int:
        return (
            self.timestamp.ms << _MS_SHIFT
            | VERSION << _VERSION_SHIFT
            | self.timestamp.counter << _COUNTER_SHIFT
            | VARIANT << _VARIANT_SHIFT
            | self.node_id << _NODE_SHIFT
            | self.random
        )

    def __bytes__(self) -> bytes:
        """The 16 bytes in network order: the form in which ids are stored and compared (rule UUID8.R3)."""
        return int(self).to_bytes(16, "big")

    def __str__(self) -> str:
        return str(self.to_uuid())

    def to_uuid(self) -> uuid.UUID:
        """The same 128 bits as a standard library UUID."""
        return uuid.UUID(int=int(self))

    @classmethod
    def from_int(cls, value: int) -> UuidV8:
        """Read 128 bits; :class:`CallerError` if they are no UUIDv8 of this layout (rule UUID8.R4)."""
        check_range("UUID of 128 bits", value, 0, (1 << 128) - 1)
        version = value >> _VERSION_SHIFT & 0xF
        variant = value >> _VARIANT_SHIFT & 0b11
        if version != VERSION:
            raise CallerError(
                f"{uuid.UUID(int=value)} has version {version}, not 8: it was not made by this clock, and "
                "versions of different kinds can not be compared (rule UUID8.R5)"
            )
        if variant != VARIANT:
            raise CallerError(
                f"{uuid.UUID(int=value)} has variant bits {variant:02b}, not 10: it is no RFC 9562 UUID"
            )
        return cls(
            timestamp=Timestamp(value >> _MS_SHIFT, value >> _COUNTER_SHIFT & MAX_COUNTER),
            node_id=value >> _NODE_SHIFT & MAX_NODE_ID,
            random=value & MAX_RANDOM,
        )

    @classmethod
    def from_bytes(cls, value: bytes) -> UuidV8:
        """Read 16 bytes in network order; :class:`CallerError` if there are not 16 or they are foreign."""
        if len(value) != 16:
            raise CallerError(f"a UUID is 16 bytes in network order, these are {len(value)}: {value[:20]!r}")
        return cls.from_int(int.from_bytes(value, "big"))

    @classmethod
    def from_uuid(cls, value: uuid.UUID) -> UuidV8:
        """Read a standard library UUID; :class:`CallerError` if it is foreign."""
        return cls.from_int(value.int)

    @classmethod
    def parse(cls, text: str) -> UuidV8:
        """Read the 36-character text form; :class:`CallerError` if it is malformed or foreign."""
        if not isinstance(text, str) or _TEXT_FORM.fullmatch(text) is None:
            raise CallerError(f"{str(text)[:60]!r} is no UUID text: expected 8-4-4-4-12 hexadecimal digits")
        return cls.from_int(int(text.replace("-", ""), 16))
