"""The forest's state machine: three replicas with many rows, late hints, floors, crashes and exchanges.

``run`` is the check that production keeps what it promises with thousands of rows; ``run_reference`` that the
reference does with some dozens, its digests in messages cut to four bits; ``run_variant`` that the machine
would notice if it did not.
"""

from __future__ import annotations

from collections.abc import Sequence

from scratchbird_check.context import Context
from scratchbird_check.machines import exploring
from scratchbird_check.machines.exploring import Exploration, explored, lacking, refuted, sizes
from scratchbird_check.machines.merkle_forest_rules import ForestMachine, Setup
from scratchbird_check.machines.merkle_forest_sides import ProductionSide, ReferenceSide, with_short_digests
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.manifest import Check
from scratchbird_check.traces.model import Step, Trace
from scratchbird_check.variants.merkle_forest import RIGHT, VARIANTS, Variant
from scratchbird_check.verdicts import Outcome, Verdict

REQUIRED = frozenset(
    {
        "a floor took entries out",
        "a floor was closed during an exchange",
        "a hint arrived late",
        "a message was lost",
        "a question came twice",
        "a replica crashed with dirty windows",
        "a replica settled",
        "a row was overwritten",
        "a sealed window was amended",
        "a tombstone was purged",
        "a write waited above the stable time",
        "all were the same in the end",
        "an exchange failed: closed",
        "an exchange failed: floor",
        "an exchange failed: not open",
        "an exchange failed: setting",
        "an exchange moved nothing",
        "an exchange moved rows",
        "an exchange succeeded, with writes meanwhile",
        "an exchange was stopped",
        "every row was written",
        "forests were built anew",
        "replicas converged one after another",
        "rows went both ways",
        "the side that answered crashed",
        "the side that drove an exchange crashed",
        "two clean forests were compared",
        "two healthy replicas exchanged",
    }
)
"""What the runs together must have reached."""
MANY = "thousands of rows were the same in the end"
"""Of production alone: the reference's trees are slow."""
IN_FULL = "nodes were asked for in full"
"""Of the reference alone: production's short digests are too long to be the same by chance."""
RULES = frozenset(
    {
        "advance",
        "bulk",
        "close",
        "converge",
        "crash",
        "exchange",
        "hints",
        "meanwhile",
        "rehash",
        "reshape",
        "reshape_one",
        "settle",
        "some_messages",
        "time_passes",
        "write",
    }
)
"""The rules that the machine must have: what it reaches without one of them may look the same."""
FOCUS: dict[str, tuple[str, ...]] = {
    "leaves_at_once": ("write", "advance", "exchange"),
    "keeps_overtaken": ("write", "advance", "close", "settle", "exchange"),
    "takes_over_purged": ("write", "time_passes", "close", "settle", "exchange", "hints"),
    "purges_by_itself": ("write", "time_passes", "close", "converge", "settle", "exchange"),
    "believes_short_digests": ("bulk", "write", "advance", "exchange", "hints"),
    "compares_as_it_is": ("write", "advance", "meanwhile"),
    "refreshes_nothing": ("write", "advance", "hints", "exchange"),
    "compares_across_settings": ("write", "advance", "reshape_one", "exchange"),
    "forgets_dirt": ("write", "advance", "crash", "exchange"),
}
"""The rules of the runs of a variant: those by which it goes wrong, so that runs come there soon."""


def production_setup(rows: Sequence[int]) -> Setup:
    """Production, with one of these numbers of rows in each run."""
    return Setup(ProductionSide, rows=tuple(rows))


def reference_setup(variant: Variant = RIGHT, demanded: tuple[str, ...] = (), rows: int = 40) -> Setup:
    """The reference or a variant, with short digests of four bits."""
    short = with_short_digests(variant)
    return Setup(lambda name, shape, bounds: ReferenceSide(name, shape, bounds, short), demanded, (rows,))


def tell(machine: ForestMachine, problem: PromiseBrokenError) -> Trace:
    """A run that failed, for people."""
    told = [*machine.log, ("onlooker", problem.sentence)]
    steps = tuple(
        Step(number, lane, "Forest", label, wrong=number == len(told) - 1)
        for number, (lane, label) in enumerate(told)
    )
    lanes = tuple(dict.fromkeys(lane for lane, _ in told))
    title = "A run of the forest's state machine"
    return Trace(title, "reference", "merkle_forest", lanes, steps, str(problem), problem.promise)


def explore(
    setup: Setup,
    examples: int,
    steps: int,
    seed_number: int,
    machine: type[ForestMachine] = ForestMachine,
    *,
    shrink: bool = True,
    required: frozenset[str] = REQUIRED,
) -> Exploration:
    """Run the machine: so many runs of so many rules, the same for the same seed."""
    return exploring.explore(
        setup, examples, steps, seed_number, machine, shrink=shrink, teller=tell, required=required
    )


def focused(variant: str) -> type[ForestMachine]:
    """A machine with the few rules by which the variant goes wrong."""
    kept = FOCUS.get(variant, tuple(RULES))
    return type("ForestMachine", (ForestMachine,), dict.fromkeys(RULES - set(kept)))


def run(check: Check, context: Context) -> Outcome:
    """Production, with option ``rows``; ``examples`` and ``steps`` are tables from profile to number."""
    return _holds(check, context, production_setup(check.options["rows"]), REQUIRED | {MANY})


def run_reference(check: Check, context: Context) -> Outcome:
    """The same of the reference."""
    return _holds(check, context, reference_setup(), REQUIRED | {IN_FULL})


def _holds(check: Check, context: Context, setup: Setup, required: frozenset[str]) -> Outcome:
    if lost := lacking(ForestMachine, RULES):
        return Outcome(check.id, Verdict.UNEXPECTED, f"the machine has lost its rules {', '.join(lost)}")
    examples, steps = sizes(check, context)
    found = explore(setup, examples, steps, context.seed, required=required)
    return explored(
        check,
        found,
        f"{examples} runs of {steps} rules, {max(setup.rows):,} rows at most, 3 replicas (seed "
        f"{context.seed}): entries, digests and amendments are what they should be, exchanges that succeeded "
        f"joined what they should; all {len(required)} required things happened",
    )


def run_variant(check: Check, context: Context) -> Outcome:
    """A variant must break the promise that option ``breaks`` names."""
    examples, steps = sizes(check, context)
    broken = str(check.options["breaks"])
    setup = reference_setup(VARIANTS[check.variant], (broken,))
    found = explore(setup, examples, steps, context.seed, focused(check.variant))
    return refuted(check, found, f"{check.variant} kept {broken!r} in {examples} runs")
