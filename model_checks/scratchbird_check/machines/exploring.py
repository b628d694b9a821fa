"""Running a part's state machine: the same for every part, and for the same seed."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, run_state_machine_as_test

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check


def run_machine(
    machine: type[RuleBasedStateMachine], examples: int, steps: int, seed_number: int, *, shrink: bool
) -> None:
    """So many runs of so many rules; raises what the smallest run raised that was found.

    :param shrink: whether to look for the smallest run that fails.
    """
    chosen = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        report_multiple_bugs=False,
        print_blob=False,
    )
    run_state_machine_as_test(seed(seed_number)(machine), settings=chosen)


def lacking(machine: type[RuleBasedStateMachine], rules: Iterable[str]) -> list[str]:
    """Those of these rules that a machine has not."""
    return sorted(name for name in rules if not hasattr(getattr(machine, name, None), RULE_MARKER))


def sizes(check: Check, context: Context) -> tuple[int, int]:
    """How many runs of how many rules: ``examples`` and ``steps`` are tables from profile to number."""
    return int(check.options["examples"][context.profile]), int(check.options["steps"][context.profile])
