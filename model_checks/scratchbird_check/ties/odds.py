"""The odds of a collision (HLC-9), computed from the layout's constants."""

from __future__ import annotations

from fractions import Fraction

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs.collisions import odds_of_a_pair, odds_of_any, risks

CROWD = 1_000


def run(check: Check, context: Context) -> Outcome:
    """Compute the odds; those of two ids with one timestamp and node id must be 1 in 2**``options.bits``."""
    pair, wanted = odds_of_a_pair(), Fraction(1, 1 << int(check.options["bits"]))
    figures: dict[str, int | float | str] = {
        "odds of a pair": str(pair),
        f"odds among {CROWD} ids of one timestamp and node": float(odds_of_any(CROWD)),
        **{f"collisions a year, {risk.broken}": float(risk.collisions_per_year) for risk in risks()},
    }
    if pair != wanted:
        why = f"two ids with equal timestamp and node id are equal with odds {pair}, not {wanted}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures)
    found = {risk.broken: float(risk.collisions_per_year) for risk in risks()}
    detail = (
        "0 while each node id has one node and its bound; 1 in 2^"
        f"{check.options['bits']} for two ids of one timestamp and node; a reused node id at 50,000 ids/s: "
        f"{found['a reused node id']:.3f} a year; a lost upper bound is worse: its new ids are below old ones"
    )
    return Outcome(check.id, Verdict.COMPUTED, detail, check.properties, figures=figures)
