"""The clock's state machine: reference and production side by side, in a world where everything goes wrong.

``run`` is the check that both take the same steps and keep every promise. ``run_variant`` is the check that
the machine would notice if they did not: a variant of the reference takes the place of the production code,
and the promises alone, without the reference beside it, have to refute it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial

from scratchbird_check.conformance.drivers import (
    MissingImplementationError,
    ProductionDriver,
    ReferenceDriver,
)
from scratchbird_check.context import Context
from scratchbird_check.machines.exploring import lacking, run_machine, sizes
from scratchbird_check.machines.hlc_rules import FEW_COUNTERS, ClockMachine, Setup
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.machines.world import DivergenceError
from scratchbird_check.manifest import Check
from scratchbird_check.traces.model import Trace
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_check.verdicts import Outcome, Verdict

REQUIRED = frozenset(
    {
        "a full counter carried",
        "a message delivered twice",
        "a message was lost",
        "a jump confirmed by an operator",
        "a jump confirmed by peers",
        "a crash lost a pending write",
        "a crash kept a pending write",
        "ended before a clean stop was durable",
        "ended after a clean stop was durable",
        "equal milliseconds merged with a larger counter",
        "a message merged that had been early",
        "merged while suspended",
        "messages overtook each other",
        "restarted with the wall clock behind the bound",
        "started under a new node id",
        "confirm: refused:stopping",
        "confirm: refused:unconfirmed",
        "observe: deferred",
        "observe: merged",
        "observe: persist deferred",
        "observe: refused:drift",
        "observe: refused:early",
        "observe: refused:stopping",
        "observe: refused:suspended",
        "persisted: error",
        "reserve: nothing",
        "reserve: persist",
        "reserve: refused:ahead",
        "reserve: refused:exhausted",
        "reserve: refused:stopping",
        "reserve: refused:suspended",
        "retire: error",
        "stamp: refused:ahead",
        "stamp: refused:stopping",
        "stamp: stamped",
        "start: error",
        "stop: deferred",
        "stop: persist",
        "stop: refused:stopping",
        "tick: deferred",
        "tick: issued",
        "tick: persist deferred",
        "tick: refused:ahead",
        "tick: refused:exhausted",
        "tick: refused:stopping",
        "tick: refused:suspended",
    }
)
"""What the runs together must have reached."""
RULES = frozenset(
    {
        "anything",
        "burst",
        "confirm_by_operator",
        "confirm_by_peers",
        "crash",
        "crash_loop",
        "deliver",
        "deliver_some",
        "drift",
        "fill",
        "hear_early",
        "hear_stranger",
        "jump",
        "lose",
        "pass_time",
        "persisted",
        "reserve",
        "restart",
        "retire",
        "send",
        "step_wall",
        "stop",
        "tick",
        "wild_wall",
    }
)
"""The rules that the machine must have: what it reaches without one of them may look the same."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a number of runs came to."""

    reached: Counter[str]
    problem: AssertionError | None
    """The promise that was broken, or the divergence, of the smallest run that was found."""
    trace: Trace | None

    @property
    def steps(self) -> int:
        """How many events were taken."""
        return sum(count for state, count in self.reached.items() if ": " in state)

    @property
    def missed(self) -> list[str]:
        """What was required and not reached."""
        return sorted(REQUIRED - self.reached.keys())


def lost_rules(machine: type[ClockMachine]) -> list[str]:
    """The rules that a machine must have and has not."""
    return lacking(machine, RULES)


def explore(
    setup: Setup,
    examples: int,
    steps: int,
    seed_number: int,
    machine: type[ClockMachine] = ClockMachine,
    *,
    shrink: bool = True,
) -> Exploration:
    """Run the machine: so many runs of so many rules, the same for the same seed.

    :param shrink: whether to look for the smallest run that fails.
    """
    kind = type(machine.__name__, (machine,), {"setup": setup})
    try:
        run_machine(kind, examples, steps, seed_number, shrink=shrink)
    except (PromiseBrokenError, DivergenceError) as error:
        promise = error.promise if isinstance(error, PromiseBrokenError) else ""
        title = "the smallest run that was found"
        trace = setup.failed.trace(title, promise, str(error)) if setup.failed is not None else None
        return Exploration(setup.reached, error, trace)
    return Exploration(setup.reached, None, None)


def run(check: Check, context: Context) -> Outcome:
    """The engine ``hypothesis``: options ``examples`` and ``steps`` are tables from profile to number."""
    try:
        ProductionDriver()
    except MissingImplementationError as error:
        return Outcome(check.id, Verdict.NOT_RUN, "nothing to compare with", remedy=str(error))
    if lost := lost_rules(ClockMachine):
        return Outcome(check.id, Verdict.UNEXPECTED, f"the machine has lost its rules {', '.join(lost)}")
    examples, steps = sizes(check, context)
    found = explore(Setup(ProductionDriver), examples, steps, context.seed)
    outcome = partial(Outcome, check.id, properties=check.properties, figures=_figures(found))
    if found.problem is not None:
        return outcome(Verdict.UNEXPECTED, str(found.problem), counterexample=found.trace)
    if found.missed:
        return outcome(Verdict.UNEXPECTED, f"not reached: {', '.join(found.missed)}")
    return outcome(
        Verdict.CHECKED,
        f"{examples} runs of 3 nodes, {found.steps} events (seed {context.seed}): production equals the "
        f"reference and keeps every promise; all {len(REQUIRED)} required states were reached",
    )


def run_variant(check: Check, context: Context) -> Outcome:
    """A variant must break the promise that option ``breaks`` names."""
    examples, steps = sizes(check, context)
    broken = str(check.options["breaks"])
    found = explore(variant_setup(check.variant, broken), examples, steps, context.seed)
    outcome = partial(Outcome, check.id, properties=check.properties, figures=_figures(found))
    if found.problem is None:
        return outcome(Verdict.UNEXPECTED, f"{check.variant} kept {broken} in {examples} runs")
    return outcome(Verdict.REFUTED, str(found.problem), counterexample=found.trace)


def variant_setup(variant: str, broken: str) -> Setup:
    """A setup in which the variant is judged by one promise."""
    driver = partial(ReferenceDriver, VARIANTS[variant])
    return Setup(driver, twins=False, demanded=(broken,), configs=(FEW_COUNTERS,))


def _figures(found: Exploration) -> dict[str, int | float | str]:
    return {"events": found.steps, **dict(sorted(found.reached.items()))}
