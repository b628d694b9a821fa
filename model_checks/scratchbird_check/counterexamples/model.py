"""What a counterexample for people consists of."""

from __future__ import annotations

from dataclasses import dataclass

from scratchbird_check.traces.model import Trace


@dataclass(frozen=True, slots=True)
class Counterexample:
    """One wrong rule, refuted, and the same events under the right rule."""

    variant: str
    promise: str
    """What the variant breaks: ``HLC-1``."""
    refuted: Trace
    """The run of the variant; its last step is the wrong one."""
    corrected: Trace
    """The same events under the right rule, and what comes of it; nothing is wrong."""


class NotRefutedError(AssertionError):
    """A variant kept its promise in the run that is there to refute it, or the right rule broke one."""
