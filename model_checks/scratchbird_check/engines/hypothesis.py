"""Hypothesis: state machines that drive the reference and the production core side by side.

``options.target`` names a function as for the engine ``python``; it takes seed and profile from the context.
The production core is compiled: where it is not, the check is *not run*, which is never a pass.
"""

from __future__ import annotations

import importlib
import importlib.util

from scratchbird_check.context import Context
from scratchbird_check.engines import python
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict


def missing() -> str:
    """Empty if Hypothesis is installed, else how to get it."""
    if importlib.util.find_spec("hypothesis") is None:
        return "Hypothesis is missing: pip install 'scratchbird-replication[check]'"
    return ""


def run(check: Check, context: Context) -> Outcome:
    """Call the target, if the part's production core is there. ``options.production = false`` needs none."""
    if check.options.get("production", True):
        try:
            importlib.import_module(f"scratchbird.{check.part}")
        except ImportError as error:
            return Outcome(
                check.id,
                Verdict.NOT_RUN,
                f"the production core of {check.part} is not built",
                check.properties,
                remedy=f"the production core is not compiled ({error}): install a C compiler, then "
                "install scratchbird-replication again",
            )
    return python.run(check, context)
