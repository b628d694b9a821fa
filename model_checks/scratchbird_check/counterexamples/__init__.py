"""The shortest run that we know by which each wrong rule breaks its promise, beside what the right rule does.

The model checkers and the solvers find counterexamples of their own. These are written by hand, for people,
and need no other tool: they are played by the variant and by the reference each time they are asked for, and
a run that no longer breaks its promise is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scratchbird_check.counterexamples.handoff import COUNTEREXAMPLES as HANDOFF
from scratchbird_check.counterexamples.hlc import COUNTEREXAMPLES as CLOCK
from scratchbird_check.counterexamples.merkle_forest import COUNTEREXAMPLES as FORESTS
from scratchbird_check.counterexamples.model import Counterexample
from scratchbird_check.counterexamples.quorum import COUNTEREXAMPLES as QUORUMS
from scratchbird_check.counterexamples.uuid8 import COUNTEREXAMPLES as IDS

__all__ = ["COUNTEREXAMPLES", "Counterexample", "counterexample"]

COUNTEREXAMPLES: Mapping[str, Callable[[], Counterexample]] = {
    **CLOCK,
    **IDS,
    **QUORUMS,
    **HANDOFF,
    **FORESTS,
}
"""From the variant's name to what plays its run."""


def counterexample(variant: str) -> Counterexample | None:
    """Play the run of a variant; ``None`` if there is none for it."""
    make = COUNTEREXAMPLES.get(variant)
    return make() if make is not None else None
