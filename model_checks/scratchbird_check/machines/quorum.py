"""The quorum part's state machine: coordinators, replicas and clients in a world where everything goes wrong.

``run`` is the check that the reference keeps what it promises, judged on what clients saw and on what is on
disks, without a second implementation beside it. ``run_variant`` is the check that the machine would notice
if it did not: a wrong rule has to break the promise that is named.
"""

from __future__ import annotations

from dataclasses import replace

from scratchbird_check.context import Context
from scratchbird_check.machines import exploring
from scratchbird_check.machines.exploring import Exploration, explored, lacking, refuted, sizes
from scratchbird_check.machines.quorum_parts import Plan
from scratchbird_check.machines.quorum_rules import EVENTUAL, LINEARIZABLE, QuorumMachine, Setup
from scratchbird_check.machines.quorum_story import tell
from scratchbird_check.manifest import Check
from scratchbird_check.variants.quorum import VARIANTS
from scratchbird_check.verdicts import Outcome, Verdict

REQUIRED = frozenset(
    {
        "LookUp: committed",
        "LookUp: failed",
        "LookUp: not at a quorum",
        "LookUp: superseded",
        "PutValue: committed",
        "PutValue: indeterminate",
        "PutValue: not applied",
        "Read: failed",
        "Read: value",
        "Reserve: not applied",
        "Reserve: reserved",
        "a barrier was passed",
        "a clock was behind what it was told",
        "a coordinator crashed with open operations",
        "a disk was lost",
        "a late acknowledgement",
        "a late answer was repaired",
        "a message arrived twice",
        "a message from before a disk was lost",
        "a message overtook another",
        "a message was lost",
        "a read wrote back",
        "a replica recovered",
        "a reserved write was repeated",
        "an eventual read waited for its token",
        "an indeterminate write was read",
        "an intent was durable after the deadline, or the crash",
        "an old epoch was refused",
        "settings were used side by side",
        *(f"N, W, R = {plan.sizes}, {plan.mode.value}" for plan in LINEARIZABLE + EVENTUAL),
    }
)
"""What the runs together must have reached."""
RULES = frozenset(
    {
        "adopt",
        "barrier",
        "change",
        "clock",
        "crash",
        "deadline",
        "deliver",
        "deliver_some",
        "disk",
        "forget",
        "go_on",
        "look_up",
        "lose",
        "lose_disk",
        "read",
        "read_back",
        "read_edge",
        "recover",
        "repeat",
        "reserve",
        "respond",
        "restart",
        "skew",
        "stop",
        "store",
        "write",
    }
)
"""The rules that the machine must have: what it reaches without one of them may look the same."""

UNCHECKED = (Plan((3, 1, 1), unchecked=True), Plan((2, 1, 1), unchecked=True))
ONLINE = (Plan((3, 1, 3), online=True), Plan((3, 2, 2), online=True), Plan((3, 3, 1), online=True))
PLANS: dict[str, tuple[Plan, ...]] = {
    "disjoint_quorums": UNCHECKED,
    "online_change": ONLINE,
    "ignores_token": EVENTUAL,
    "stamps_below_token": EVENTUAL,
    "settled_at_hitting_set": (Plan((3, 3, 2)),),
    "write_back_when_answers_disagree": (Plan((3, 3, 1)), Plan((4, 4, 1))),
    "recovers_from_one": (Plan((3, 2, 2)), Plan((5, 3, 3))),
    "counts_old_incarnation": (Plan((3, 2, 2)),),
    "empty_replica_votes": (Plan((3, 2, 2)),),
    "old_epoch_served": (Plan((2, 1, 2)),),
    "recovers_as_newest": (Plan((3, 2, 2)),),
    "own_incarnation_only": (Plan((5, 3, 3)),),
}
"""Where a wrong rule is wrong only with some numbers: the plans of its runs. Else all linearizable ones."""


FOCUS: dict[str, tuple[str, ...]] = {
    "settled_at_hitting_set": ("write", "store", "read_edge", "lose_disk"),
    "counts_old_incarnation": ("write", "forget", "recover", "read_edge"),
    "own_incarnation_only": ("write", "forget", "lose_disk", "go_on", "respond", "read_edge"),
    "old_epoch_served": ("write", "change", "barrier", "go_on", "read_edge"),
    "stamp_again_on_stale": ("write", "go_on", "skew", "read", "read_edge"),
    "recovers_as_newest": ("write", "change", "lose_disk", "read_edge"),
    "online_change": ("write", "change", "read_edge"),
}
"""The rules of the runs of a variant that takes a few steps in one order; else all."""


def lost_rules(machine: type[QuorumMachine]) -> list[str]:
    """The rules that a machine must have and has not."""
    return lacking(machine, RULES)


def explore(
    setup: Setup,
    examples: int,
    steps: int,
    seed_number: int,
    machine: type[QuorumMachine] = QuorumMachine,
    *,
    shrink: bool = True,
) -> Exploration:
    """Run the machine: so many runs of so many rules, the same for the same seed."""
    return exploring.explore(
        setup, examples, steps, seed_number, machine, shrink=shrink, teller=tell, required=REQUIRED
    )


def run(check: Check, context: Context) -> Outcome:
    """The engine ``hypothesis``: options ``examples`` and ``steps`` are tables from profile to number."""
    if lost := lost_rules(QuorumMachine):
        return Outcome(check.id, Verdict.UNEXPECTED, f"the machine has lost its rules {', '.join(lost)}")
    examples, steps = sizes(check, context)
    found = explore(Setup(), examples, steps, context.seed)
    return explored(
        check,
        found,
        f"{examples} runs of {steps} rules, 1 to 5 replicas, {found.reached['steps']} steps (seed "
        f"{context.seed}): clients saw what is promised; all {len(REQUIRED)} required things happened",
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
    return Setup(VARIANTS[variant], (broken,), PLANS.get(variant, LINEARIZABLE))


def focused(variant: str) -> type[QuorumMachine]:
    """A machine with the few rules by which the variant goes wrong, so that runs come there soon."""
    kept = FOCUS.get(variant, RULES)
    return type("QuorumMachine", (QuorumMachine,), dict.fromkeys(RULES - set(kept)))


def right_setup(variant: str, broken: str) -> Setup:
    """The same runs under the right rules and settings, which keep the promise."""
    plans = tuple(replace(plan, online=False) for plan in PLANS.get(variant, LINEARIZABLE))
    return Setup(
        demanded=(broken,), plans=tuple(plan for plan in plans if not plan.unchecked) or LINEARIZABLE
    )
