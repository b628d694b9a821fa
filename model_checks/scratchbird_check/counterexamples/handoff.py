"""One short run for each way in which a wrong rule of handoff or deletes goes wrong.

Each is written as moves of ``traces/quorum_moves.py`` and ``traces/handoff_moves.py``, and judged by what
clients saw or by the account of what is owed. Coordinators are ``c1``, ``c2`` and so on, replicas ``r1``,
``r2``. The scripts themselves stand in ``handoff_owed.py`` and ``handoff_deletes.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from scratchbird_check.counterexamples import handoff_deletes, handoff_owed
from scratchbird_check.counterexamples.model import Counterexample
from scratchbird_check.counterexamples.quorum import refute
from scratchbird_check.counterexamples.quorum_scripts import Script
from scratchbird_check.traces.handoff_run import Run
from scratchbird_check.variants.handoff import RIGHT, VARIANTS

SCRIPTS: dict[str, Script] = {**handoff_owed.SCRIPTS, **handoff_deletes.SCRIPTS}


def counterexample(variant: str) -> Counterexample:
    """Play the run of a variant under the wrong rule and under the right one.

    :raises NotRefutedError: if the wrong rule keeps its promise, or the right one breaks it.
    """
    return refute(variant, SCRIPTS[variant], VARIANTS[variant], RIGHT, Run)


COUNTEREXAMPLES: Mapping[str, Callable[[], Counterexample]] = {
    variant: partial(counterexample, variant) for variant in SCRIPTS
}
