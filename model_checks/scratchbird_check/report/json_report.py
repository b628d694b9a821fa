"""A run as one JSON document: for other programs, and for ``explain``, which reads the last run's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from scratchbird_check.codec import outcome_from_json, outcome_to_json
from scratchbird_check.errors import UsageError
from scratchbird_check.files import write_atomically
from scratchbird_check.results import PropertyResult, Run
from scratchbird_check.verdicts import Outcome, Verdict

FORMAT = 1


class Reported(NamedTuple):
    """What is read of a report."""

    started: str
    """UTC, ISO 8601."""
    profile: str
    outcomes: tuple[Outcome, ...]


def to_json(run: Run) -> dict[str, Any]:
    """The whole run. ``passed``: nothing was unexpected; ``complete``: nothing is listed in ``not_run``."""
    return {
        "report": "scratchbird_check",
        "format": FORMAT,
        "version": run.version,
        "profile": run.profile,
        "seed": run.seed,
        "started": run.started,
        "seconds": round(run.seconds, 3),
        "machine": run.machine,
        "tools": dict(run.tools),
        "passed": run.passed,
        "complete": not run.not_run,
        "not_run": [outcome.check for outcome in run.not_run],
        "properties": [_property(item) for item in run.properties],
        "checks": [outcome_to_json(outcome) for outcome in run.outcomes],
    }


def _property(item: PropertyResult) -> dict[str, Any]:
    return {
        "id": item.promise.id,
        "part": item.promise.part,
        "claim": item.promise.claim,
        "verdict": item.verdict.value,
        "expected": item.promise.verdict.value,
        "as_expected": item.as_expected,
        "note": item.note,
        "rule": item.promise.rule,
        "checks": [outcome.check for outcome in item.outcomes],
        "seconds": round(item.seconds, 3),
    }


def write(run: Run, path: Path) -> None:
    """Write the report, whole or not at all."""
    write_atomically(path, json.dumps(to_json(run), indent=1, ensure_ascii=False) + "\n")


def read_outcomes(path: Path) -> Reported:
    """When a reported run was started, in which profile, and its outcomes.

    :raises UsageError: if this is no report of this format.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["report"] != "scratchbird_check" or value["format"] != FORMAT:
            raise ValueError("another format")
        outcomes = tuple(outcome_from_json(item) for item in value["checks"])
        return Reported(str(value["started"]), str(value["profile"]), outcomes)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no report of `scratchbird_check run --json`: {error}") from None


def shortest_counterexample(outcomes: tuple[Outcome, ...], property_id: str) -> Outcome | None:
    """The refutation of a property that is read most quickly."""
    found = [
        outcome
        for outcome in outcomes
        if property_id in outcome.properties
        and outcome.verdict is Verdict.REFUTED
        and outcome.counterexample is not None
    ]
    return min(
        found,
        key=lambda item: len(item.counterexample.steps) if item.counterexample else 0,
        default=None,
    )
