"""The hybrid logical timestamp and the limits of its parts (rules HLC.R1 and UUID8.R1)."""

from __future__ import annotations

from typing import NamedTuple

MAX_MS = (1 << 48) - 1
MAX_COUNTER = (1 << 12) - 1
MAX_NODE_ID = (1 << 16) - 1
MAX_RANDOM = (1 << 46) - 1


class Timestamp(NamedTuple):
    """A hybrid logical timestamp; its order is the tuple's order (rule HLC.R1)."""

    ms: int
    """Milliseconds since the Unix epoch, 0 to 2**48 - 1."""
    counter: int
    """Position within the millisecond, 0 to 4095."""


ZERO = Timestamp(0, 0)


def shown(value: object) -> str:
    """A value for an error message: short, and also where Python refuses to print a huge integer."""
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    try:
        return repr(value)[:80]
    except ValueError:  # A container of huge integers, or a class that can not print itself.
        return f"a {type(value).__name__} that can not be printed"
