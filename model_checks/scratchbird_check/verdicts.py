"""What a check can say, and the form in which it says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scratchbird_check.traces.model import Trace


class Verdict(StrEnum):
    """The words of the verdict table. Only *unexpected* fails a run; *not run* is never counted as passed."""

    PROVED = "proved"
    """By a solver, for any number of nodes and steps, within the stated assumptions."""
    CHECKED = "checked"
    """Explored or sampled without a violation, with the bounds that the detail names."""
    REFUTED = "refuted as expected"
    """A variant that is known to be wrong was refuted, with a counterexample."""
    COMPUTED = "computed"
    """Arithmetic, done by the machine from the constants of the code."""
    MEASURED = "measured"
    """Run and timed; the detail names the command and the machine."""
    UNEXPECTED = "unexpected"
    """Anything else: a violation, a variant not refuted, *unknown*, a crash, a time-out, a pin not met."""
    NOT_RUN = "not run"
    """A tool is missing; the remedy says which, and how to get it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check of the manifest produced."""

    check: str
    """The check's id in ``manifest.toml``."""
    verdict: Verdict
    detail: str
    """One line for a person: bounds, states, depth, or what was unexpected."""
    properties: tuple[str, ...] = ()
    """Ids of the ledger's properties that this check is evidence for."""
    seconds: float = 0.0
    figures: Mapping[str, int | float | str] = field(default_factory=dict)
    """Numbers behind the detail, for the JSON report: distinct states, depth, steps, ..."""
    counterexample: Trace | None = None
    """For a refuted variant, or an unexpected violation."""
    log: Path | None = None
    """The engine's own output, kept where something was unexpected."""
    remedy: str = ""
    """For *not run*: which tool is missing and how to get it."""
