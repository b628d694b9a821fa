"""The one form into which every engine's counterexample is brought before anybody looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Change:
    """One variable that a step changed, in the words of the part (``last[n1]``, ``1:0``, ``1:1``)."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Arrow:
    """A message that arrives with a step: sent at step ``from_step`` by lane ``from_lane``."""

    from_step: int
    from_lane: str
    label: str


@dataclass(frozen=True, slots=True)
class Step:
    """One step; number 0 is the initial state."""

    number: int
    lane: str | None
    """Who took the step; ``None`` for the world (time passes)."""
    action: str
    """The action's name: ``Tick``, ``Observe``."""
    label: str
    """The step in a few words for a person: ``issues 1:1``."""
    changes: tuple[Change, ...] = ()
    arrows: tuple[Arrow, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)
    """The whole state after the step, as plain values (for ITF and NDJSON export)."""
    wrong: bool = False
    """Whether this is the step that breaks the promise."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A counterexample, or any run worth drawing."""

    title: str
    engine: str
    """Which tool found it: ``TLC``, ``Apalache``, ``Z3``, ``Hypothesis``, ``reference``."""
    part: str
    lanes: tuple[str, ...]
    steps: tuple[Step, ...]
    verdict: str = ""
    """One sentence that says what went wrong."""
