"""The handoff part's state machine: what is owed, and deletes that stay deleted, where everything goes wrong.

``run`` is the check that the reference keeps what it promises, judged on what clients saw and on what is on
disks. ``run_variant`` is the check that the machine would notice if it did not.
"""

from __future__ import annotations

from dataclasses import replace

from scratchbird_check.context import Context
from scratchbird_check.machines import exploring, quorum
from scratchbird_check.machines.exploring import Exploration, explored, lacking, refuted, sizes
from scratchbird_check.machines.handoff_parts import Plan
from scratchbird_check.machines.handoff_rules import PLANS, HandoffMachine, Setup
from scratchbird_check.machines.handoff_story import tell
from scratchbird_check.machines.handoff_variants import VARIANTS
from scratchbird_check.manifest import Check
from scratchbird_check.variants.handoff import RIGHT
from scratchbird_check.verdicts import Outcome, Verdict

REQUIRED = frozenset(
    {
        "PutValue: committed",
        "PutValue: indeterminate",
        "PutValue: not applied",
        "Read: value",
        "a clock was set back",
        "a coordinator crashed with open operations",
        "a delete was committed",
        "a disk was lost",
        "a floor was closed",
        "a hint was paid",
        "a hint was sent",
        "a mark stayed open for a write",
        "a mark was closed",
        "a mark was opened",
        "a mark was paid",
        "a message overtook another",
        "a message was lost",
        "a read returned a floor",
        "a read wrote back",
        "a replica converged",
        "a replica recovered",
        "a replica settled",
        "a tombstone was purged",
        "a write left out a target that is given up",
        "a write was refused below the floor",
        "hints were dropped under a mark",
        *(f"N, W, R = {plan.sizes}" for plan in PLANS),
    }
)
"""What the runs together must have reached."""
LEFT_OUT = ("read_back", "clock", "forget", "look_up", "barrier")
"""Rules of part quorum that its own machine has: here they would only take the place of others."""
RULES = (quorum.RULES - set(LEFT_OUT)) | {
    "answer_exchange",
    "back_up",
    "begin_exchange",
    "close",
    "commit",
    "converge",
    "drop",
    "end_exchange",
    "give_up",
    "hints_arrive",
    "keep_again",
    "outage",
    "propose",
    "purge",
    "repair",
    "restore",
    "settle",
    "spoil",
    "tick",
    "whole_floor",
}
"""The rules that the machine must have: what it reaches without one of them may look the same."""

FLOOR = ("commit", "whole_floor")
MARKS = ("commit", "outage")
PACE = ("commit", "tick")
FOCUS: dict[str, tuple[str, ...]] = {
    "closes_over_open_writes": MARKS,
    "cleared_by_an_earlier_exchange": MARKS,
    "cleared_by_one": MARKS,
    "stops_without_mark": (*MARKS, "drop"),
    "leaves_out_while_coming_back": ("commit", "give_up", "keep_again", "go_on"),
    "paid_by_any_answer": ("commit", "store", "respond", "tick"),
    "makes_up_at_once": PACE,
    "removed_on_send": (*PACE, "hints_arrive"),
    "hints_in_memory_only": ("commit", "crash"),
    "hint_counts": ("commit",),
    "hint_overwrites": (*PACE, "deliver"),
    "takes_below_closed": (*FLOOR, "store", "deliver"),
    "absent_is_nothing": FLOOR,
    "pulls_before_all_closed": FLOOR,
    "converges_with_one": FLOOR,
    "merges_only_below": (*FLOOR, "propose", "store"),
    "settles_alone": FLOOR,
    "purges_by_time": (*FLOOR, "purge"),
    "purges_by_evidence": (*FLOOR, "purge", "store", "deliver"),
    "starts_open": FLOOR,
}
"""The rules of the runs of a variant: those by which it goes wrong, so that runs come there soon."""
ALONE = tuple(replace(plan, coordinators=1) for plan in PLANS)
"""One coordinator: there is one account in which a mark may be wrong."""
NARROW = tuple(plan for plan in ALONE if plan.sizes in ((3, 2, 2), (3, 1, 3)))
WIDE = tuple(plan for plan in ALONE if plan.sizes[0] - plan.sizes[1] > 1)
PLANS_OF: dict[str, tuple[Plan, ...]] = {
    **dict.fromkeys((name for name, kept in FOCUS.items() if kept[0] == "commit"), NARROW),
    "cleared_by_one": WIDE,
}
"""Where a wrong rule is wrong only with some numbers, or is soon found with few: else all."""


def explore(
    setup: Setup,
    examples: int,
    steps: int,
    seed_number: int,
    machine: type[HandoffMachine] = HandoffMachine,
    *,
    shrink: bool = True,
) -> Exploration:
    """Run the machine: so many runs of so many rules, the same for the same seed."""
    kind = type(machine.__name__, (machine,), dict.fromkeys(LEFT_OUT))
    return exploring.explore(
        setup, examples, steps, seed_number, kind, shrink=shrink, teller=tell, required=REQUIRED
    )


def run(check: Check, context: Context) -> Outcome:
    """The engine ``hypothesis``: options ``examples`` and ``steps`` are tables from profile to number."""
    if lost := lacking(HandoffMachine, RULES):
        return Outcome(check.id, Verdict.UNEXPECTED, f"the machine has lost its rules {', '.join(lost)}")
    examples, steps = sizes(check, context)
    found = explore(Setup(), examples, steps, context.seed)
    return explored(
        check,
        found,
        f"{examples} runs of {steps} rules, 2 to 5 replicas, {found.reached['steps']} steps (seed "
        f"{context.seed}): the account is balanced, clients saw what is promised, nothing was owed in the "
        f"end; all {len(REQUIRED)} required things happened",
    )


def run_variant(check: Check, context: Context) -> Outcome:
    """A variant must break the promise that option ``breaks`` names."""
    examples, steps = sizes(check, context)
    broken = str(check.options["breaks"])
    setup = variant_setup(check.variant, broken)
    found = explore(setup, examples, steps, context.seed, focused(check.variant))
    return refuted(check, found, f"{check.variant} kept {broken!r} in {examples} runs")


def variant_setup(variant: str, broken: str) -> Setup:
    """A setup in which the variant is judged by one promise."""
    return Setup(VARIANTS[variant], (broken,), PLANS_OF.get(variant, PLANS))


def right_setup(variant: str, broken: str) -> Setup:
    """The same runs under the right rules, which keep the promise."""
    return replace(variant_setup(variant, broken), variant=RIGHT)


def focused(variant: str) -> type[HandoffMachine]:
    """A machine with the few rules by which the variant goes wrong."""
    kept = FOCUS.get(variant, RULES)
    return type("HandoffMachine", (HandoffMachine,), dict.fromkeys(RULES - set(kept)))
