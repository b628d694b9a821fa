"""The runs for people as checks of the manifest: each plays one, which must refute the wrong rule."""

from __future__ import annotations

from scratchbird_check.context import Context
from scratchbird_check.counterexamples import counterexample
from scratchbird_check.counterexamples.model import NotRefutedError
from scratchbird_check.errors import ManifestError
from scratchbird_check.manifest import Check
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict


def refutes(check: Check, context: Context) -> Outcome:
    """The run of the check's variant breaks its promise, and the right rules break none on the same events.

    :raises ManifestError: if there is no run for the variant.
    """
    try:
        played = counterexample(check.variant)
    except NotRefutedError as error:
        return Outcome(check.id, Verdict.UNEXPECTED, str(error), check.properties)
    if played is None:
        raise ManifestError(f"check {check.id!r}: no run is written for the variant {check.variant!r}")
    if played.promise.split()[0] not in check.properties:
        why = f"the run of {check.variant} breaks {played.promise}, none of {', '.join(check.properties)}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties)
    figures = {"steps": _steps(played.refuted), "steps_of_the_right_rule": _steps(played.corrected)}
    detail = f"{played.refuted.verdict} (played by the code, {figures['steps']} steps)"
    return Outcome(
        check.id, Verdict.REFUTED, detail, check.properties, figures=figures, counterexample=played.refuted
    )


def _steps(trace: Trace) -> int:
    return sum(1 for step in trace.steps if step.number and not step.setup)
