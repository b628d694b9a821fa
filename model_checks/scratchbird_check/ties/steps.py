"""What both ties between a proof and the code do with their runs: take them, and wait for the wrong rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

from scratchbird_check.manifest import Check
from scratchbird_check.ties.graph import TieBroken
from scratchbird_check.verdicts import Outcome, Verdict

Play = Callable[[Random], Counter[str]]
"""One run, and how often it met each kind of step; :class:`TieBroken` at what is no step of the system."""


def judged(
    check: Check,
    seed: int,
    play: Play,
    kinds: Sequence[str],
    wrong: Sequence[str],
    caught_after: Callable[[str, int], int],
) -> Outcome:
    """Runs of the reference until ``steps`` of them were taken; and each wrong rule until it is caught.

    :param kinds: of steps, each of which must be met.
    :param caught_after: how many runs it takes until a wrong rule is caught, from its name and the seed; 0 if
        it never is.
    """
    dice = Random(seed)
    met: Counter[str] = Counter()
    runs = 0
    while met.total() < check.options["steps"]:
        try:
            met += play(dice)
        except TieBroken as error:
            return Outcome(check.id, Verdict.UNEXPECTED, f"run {runs}: {error}", check.properties)
        runs += 1
    if lacking := sorted(set(kinds) - set(met)):
        return Outcome(check.id, Verdict.UNEXPECTED, f"never met: {', '.join(lacking)}", check.properties)
    caught = {name: caught_after(name, seed) for name in wrong}
    if missed := [name for name, after in caught.items() if not after]:
        why = f"all that the wrong rule {missed[0]} does are steps of the system"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties)
    detail = f"{met.total():,} steps in {runs} runs of the reference, all of them the system's"
    figures = {"runs": runs, "steps": met.total()}
    figures |= {f"runs until {name} is caught": number for name, number in caught.items()}
    return Outcome(check.id, check.expect, detail, check.properties, figures=figures)


def runs_until_caught(play: Play, seed: int, most: int) -> int:
    """How many runs it takes until one does what is no step; 0 if none of so many does."""
    dice = Random(seed)
    for number in range(1, most + 1):
        try:
            play(dice)
        except TieBroken:
            return number
    return 0
