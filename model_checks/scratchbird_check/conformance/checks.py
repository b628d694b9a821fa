"""The conformance kit as checks of the manifest (engine ``python``)."""

from __future__ import annotations

import io
import shlex
import sys
from collections.abc import Callable

from scratchbird_check import resources
from scratchbird_check.conformance.conform import conform
from scratchbird_check.conformance.drivers import (
    DeclinedError,
    Driver,
    MissingImplementationError,
    ProductionDriver,
    ReferenceDriver,
)
from scratchbird_check.conformance.replay import replay
from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict


def replay_reference(check: Check, context: Context) -> Outcome:
    """Every vector of the parts that option ``parts`` names replays: ``vectors`` is how many there are."""
    return _replay(check, ReferenceDriver)


def replay_production(check: Check, context: Context) -> Outcome:
    """Every vector replays through the production core, but for those of clocks with a smaller counter."""
    try:
        ProductionDriver()
    except MissingImplementationError as error:
        return Outcome(check.id, Verdict.NOT_RUN, "nothing to replay", check.properties, remedy=str(error))
    return _replay(check, ProductionDriver)


def kit(check: Check, context: Context) -> Outcome:
    """The kit passes a command that is right, and catches each wrong one that option ``catches`` names."""
    log = context.workdir / "conform.log"
    with log.open("w") as out:
        for name in ("reference", *check.options["catches"]):
            print(f"--- {name}", file=out)
            command = shlex.join([sys.executable, "-m", "scratchbird_check.conformance.serve", name])
            steps = int(check.options["steps"])
            code = conform(command, check.options["parts"], steps=steps, seed=context.seed, out=out)
            if code != (name != "reference"):
                detail = f"conform ended with {code} for the command that serves {name}"
                return Outcome(check.id, Verdict.UNEXPECTED, detail, check.properties, log=log)
            context.progress(name)
    caught = ", ".join(check.options["catches"])
    return Outcome(
        check.id,
        Verdict.CHECKED,
        f"a command that is right conforms; one with {caught} does not",
        check.properties,
    )


def _replay(check: Check, driver: Callable[[], Driver]) -> Outcome:
    traces = steps = declined = 0
    for file in sorted(resources.vectors().iterdir(), key=lambda item: item.name):
        if not file.name.startswith(tuple(f"{part}_" for part in check.options["parts"])):
            continue
        try:
            report = replay(io.BytesIO(file.read_bytes()), file.name, driver)
        except DeclinedError:
            declined += 1
            continue
        if report.divergence is not None:
            detail = " / ".join(line.strip() for line in report.lines())
            return Outcome(check.id, Verdict.UNEXPECTED, detail, check.properties)
        traces += 1
        steps += report.steps
    figures = {"vectors": traces, "steps": steps, "declined": declined}
    pinned = int(check.options["vectors"])
    if traces != pinned:
        detail = f"{traces} vectors replayed, pinned are {pinned}"
        return Outcome(check.id, Verdict.UNEXPECTED, detail, check.properties, figures=figures)
    detail = f"{traces} vectors, {steps} steps" + (f", {declined} declined" if declined else "")
    return Outcome(check.id, Verdict.CHECKED, detail, check.properties, figures=figures)
