"""How much a search may use, and what it found."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

ENDLESS = 1 << 62
"""More steps than any search takes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one search may use at the most.

    :ivar bytes: of remembered configurations and of the way back.
    :ivar steps: operations that were tried in some place.
    :ivar deadline: reading of :func:`time.monotonic` in seconds.
    """

    bytes: int = 1 << 30
    steps: int = ENDLESS
    deadline: float = math.inf


class Found(NamedTuple):
    """What a search found.

    :ivar answer: whether there is an order; None if the search ended before it knew.
    :ivar exhausted: what was used up in that case: ``steps``, ``memory`` or ``seconds``.
    :ivar bytes: of memory that the search used.
    :ivar far: the furthest event that the search of one key stood before; -1 where there is no such thing.
    """

    answer: bool | None
    exhausted: str | None
    steps: int
    bytes: int
    far: int
