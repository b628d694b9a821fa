"""Outcomes as JSON and back: what a worker hands to the runner, and what reports are made of.

A counterexample is written in the form of :mod:`scratchbird_check.traces.itf`, which knows the values of
states that JSON lacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scratchbird_check.traces import itf
from scratchbird_check.verdicts import Outcome, Verdict

Json = dict[str, Any]


def outcome_to_json(outcome: Outcome) -> Json:
    """Every field of the outcome; those that are empty are left out."""
    value: Json = {
        "check": outcome.check,
        "verdict": outcome.verdict.value,
        "detail": outcome.detail,
        "properties": list(outcome.properties),
        "seconds": round(outcome.seconds, 3),
        "figures": dict(outcome.figures),
    }
    if outcome.counterexample is not None:
        value["counterexample"] = json.loads(itf.write(outcome.counterexample))
    if outcome.log is not None:
        value["log"] = str(outcome.log)
    if outcome.remedy:
        value["remedy"] = outcome.remedy
    return value


def outcome_from_json(value: Mapping[str, Any]) -> Outcome:
    """Read an outcome.

    :raises ValueError: if it is none; the message says what is wrong.
    """
    try:
        trace = value.get("counterexample")
        log = value.get("log")
        return Outcome(
            check=value["check"],
            verdict=Verdict(value["verdict"]),
            detail=value["detail"],
            properties=tuple(value["properties"]),
            seconds=float(value["seconds"]),
            figures=dict(value["figures"]),
            counterexample=None if trace is None else itf.read_trace(json.dumps(trace)),
            log=None if log is None else Path(log),
            remedy=value.get("remedy", ""),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no outcome of a check: {error!r}") from None
