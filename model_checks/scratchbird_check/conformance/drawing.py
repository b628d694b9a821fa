"""How a random run draws its events: the same for the same seed on every Python."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from scratchbird_check.traces.quorum import Json

T = TypeVar("T")
Drawn = tuple[int, Json, int | None]
"""The lane, the event, and the step in which its message was sent, if it has one."""


class Drawing:
    """Draw :meth:`event`, let some implementation take it, and tell the run what came of it."""

    KINDS: ClassVar[tuple[tuple[int, Callable[[Any], Drawn | None]], ...]]
    """Kinds of events, tried in this order, each with a percentage."""

    def __init__(self, seed: int, config: Json) -> None:
        # Another run for each configuration: the same draws would soon lead to the same state.
        self._random = random.Random(f"{seed} {json.dumps(config, sort_keys=True)}")
        self._event: Drawn = (0, {}, None)

    def event(self) -> Drawn:
        """The next event: the lane, the event, and the step in which its message was sent, if it has one."""
        while True:
            for share, kind in self.KINDS:
                if self._below(100) < share and (drawn := kind(self)) is not None:
                    self._event = drawn
                    return drawn

    def _below(self, limit: int) -> int:
        """0 to ``limit - 1``; by 32 bits at a time, which no release of Python draws differently."""
        return self._random.getrandbits(32) * limit >> 32

    def _pick(self, items: Sequence[T]) -> T:
        return items[self._below(len(items))]
