"""What a move of a script comes to, on its way to becoming a step: the words, the arrows, who said what."""

from __future__ import annotations

from dataclasses import dataclass, field

from scratchbird_check.traces import quorum_words as words
from scratchbird_check.traces.model import Arrow, Kind
from scratchbird_check.traces.quorum_world import Response, shown
from scratchbird_check.variants.quorum import Stale
from scratchbird_reference.handoff_replica import BelowFloor
from scratchbird_reference.quorum_messages import Answer, Held, OldEpoch


def value_of(held: Held) -> str:
    """``"new"``, ``nothing`` or ``a delete``."""
    if held.value is None:
        return words.A_DELETE if held.version else words.NOTHING
    return shown(held.value)


def returned(held: Held) -> str:
    """``"new"``, or ``nothing``: what a client is told of a deleted row."""
    return words.NOTHING if held.value is None else shown(held.value)


@dataclass(slots=True)
class Line:
    """What one move comes to, until it is a step."""

    lane: str | None
    parts: list[str] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    mark: str = ""
    kind: Kind = "message"
    lead: bool = False
    """Whether the first part says what the rest is about."""

    @property
    def label(self) -> str:
        """``reads: hears "new" from r1; returns "new"``"""
        if self.lead and len(self.parts) > 1:
            return f"{self.parts[0]}: {'; '.join(self.parts[1:])}"
        return "; ".join(self.parts)


@dataclass(slots=True)
class Heard:
    """What replicas said to a coordinator in one step."""

    said: list[tuple[int, str]] = field(default_factory=list)
    holders: list[int] = field(default_factory=list)
    newer: list[int] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)
    refusing: dict[int, list[int]] = field(default_factory=dict)
    below: list[int] = field(default_factory=list)

    @property
    def any(self) -> bool:
        """Whether anybody said anything."""
        return bool(self.said or self.holders or self.newer or self.stale or self.refusing or self.below)

    def take(self, name: int, message: Response, *, newer: bool) -> str:
        """Note one message; in a word. ``newer``: the replica holds something newer than what it was sent."""
        match message:
            case Answer():
                what = value_of(message.held)
                self.said.append((name, what))
                return what
            case OldEpoch():
                self.refusing.setdefault(message.epoch, []).append(name)
                return "refused"
            case Stale():
                self.stale.append(name)
                return "stale"
            case BelowFloor():
                self.below.append(name)
                return "below"
        (self.newer if newer else self.holders).append(name)
        return "has newer" if newer else "holds it"

    def told(self) -> list[str]:
        """In words."""
        parts = [words.hears(self.said)] if self.said else []
        if self.holders or self.newer:
            parts.append(words.hears_holders(self.holders, self.newer))
        parts += [words.hears_refusal(who, epoch) for epoch, who in self.refusing.items()]
        parts += [words.hears_below(self.below)] if self.below else []
        return parts + ([words.hears_stale(self.stale)] if self.stale else [])
