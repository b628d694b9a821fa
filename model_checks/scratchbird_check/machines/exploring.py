"""Running a part's state machine: the same for every part, and for the same seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.stateful import RULE_MARKER, RuleBasedStateMachine, run_state_machine_as_test

from scratchbird_check.context import Context
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.manifest import Check
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict


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


@dataclass(frozen=True, slots=True)
class Exploration:
    """What a number of runs came to."""

    reached: Counter[str]
    problem: PromiseBrokenError | None
    """The promise that was broken, of the smallest run that was found."""
    trace: Trace | None
    required: frozenset[str]

    @property
    def missed(self) -> list[str]:
        """What was required and not reached."""
        return sorted(name for name in self.required if not self.reached[name])


def explore(
    setup: Any,
    examples: int,
    steps: int,
    seed_number: int,
    machine: type[RuleBasedStateMachine],
    *,
    shrink: bool,
    teller: Callable[[Any, PromiseBrokenError], Trace],
    required: frozenset[str],
) -> Exploration:
    """Run the machine: so many runs of so many rules, the same for the same seed.

    :param setup: what the machine drives: ``reached`` counts what happened, ``failed`` is the world of a run
        that failed, or ``None``.
    :param shrink: whether to look for the smallest run that fails.
    :param teller: tells the world of a run that failed.
    """
    kind = type(machine.__name__, (machine,), {"setup": setup})
    try:
        run_machine(kind, examples, steps, seed_number, shrink=shrink)
    except PromiseBrokenError as error:
        trace = teller(setup.failed, error) if setup.failed is not None else None
        return Exploration(setup.reached, error, trace, required)
    return Exploration(setup.reached, None, None, required)


def explored(check: Check, found: Exploration, said: str) -> Outcome:
    """What comes of runs under the right rules; ``said`` if all is well."""
    outcome = partial(Outcome, check.id, properties=check.properties, figures=figures(found))
    if found.problem is not None:
        return outcome(Verdict.UNEXPECTED, str(found.problem), counterexample=found.trace)
    if found.missed:
        return outcome(Verdict.UNEXPECTED, f"not reached: {', '.join(found.missed)}")
    return outcome(Verdict.CHECKED, said)


def refuted(check: Check, found: Exploration, kept: str) -> Outcome:
    """What comes of runs under a wrong rule; ``kept`` if it went unnoticed."""
    outcome = partial(Outcome, check.id, properties=check.properties, figures=figures(found))
    if found.problem is None:
        return outcome(Verdict.UNEXPECTED, kept)
    return outcome(Verdict.REFUTED, str(found.problem), counterexample=found.trace)


def figures(found: Exploration) -> dict[str, int | float | str]:
    """What was reached, by name."""
    return dict(sorted(found.reached.items()))
