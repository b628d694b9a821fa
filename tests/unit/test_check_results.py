"""The verdict of a property: nothing unexpected or not run ever counts as passed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scratchbird_check.ledger import Property
from scratchbird_check.manifest import Check
from scratchbird_check.results import PropertyResult, Run, judge
from scratchbird_check.verdicts import Outcome, Verdict

V = Verdict
PROVED = Property("P-1", "hlc", "It holds.", V.PROVED, "HLC.R1", "...", variants=("v",))
REFUTED = Property(
    "P-2", "hlc", "It is so.", V.REFUTED, "HLC.R2", "...", "", "It is not.", "Otherwise.", variants=("v",)
)


def check(name: str, expect: Verdict, variant: str = "") -> Check:
    return Check(name, "hlc", "python", ("quick",), expect, ("P-1", "P-2"), variant)


MANIFEST = (check("proof", V.PROVED), check("model", V.CHECKED), check("wrong", V.REFUTED, "v"))


def outcomes(**verdicts: Verdict) -> list[Outcome]:
    return [Outcome(name, verdict, "", ("P-1", "P-2"), 1.5) for name, verdict in verdicts.items()]


@pytest.mark.parametrize(
    ("item", "found", "verdict", "note"),
    [
        (PROVED, {"proof": V.PROVED, "model": V.CHECKED, "wrong": V.REFUTED}, V.PROVED, ""),
        (PROVED, {"proof": V.PROVED, "model": V.UNEXPECTED}, V.UNEXPECTED, "unexpected: model"),
        (PROVED, {"proof": V.PROVED, "model": V.NOT_RUN, "wrong": V.REFUTED}, V.PROVED, "not run: model"),
        (PROVED, {"proof": V.PROVED}, V.PROVED, "variant not tried in this run: v"),
        (PROVED, {"proof": V.NOT_RUN}, V.NOT_RUN, "not run: proof"),
        (PROVED, {"proof": V.NOT_RUN, "wrong": V.REFUTED}, V.NOT_RUN, "not run: proof"),
        (PROVED, {"wrong": V.REFUTED}, V.NOT_RUN, "only variants were tried in this run"),
        (PROVED, {"model": V.CHECKED}, V.CHECKED, "not proved in this run"),
        (
            PROVED,
            {"proof": V.NOT_RUN, "model": V.CHECKED},
            V.CHECKED,
            "not proved in this run; not run: proof",
        ),
        (PROVED, {}, V.NOT_RUN, "none of its checks is in this run"),
        (REFUTED, {"wrong": V.REFUTED}, V.REFUTED, ""),
        (REFUTED, {"wrong": V.REFUTED, "proof": V.PROVED}, V.REFUTED, ""),
        (REFUTED, {"wrong": V.NOT_RUN, "proof": V.PROVED}, V.NOT_RUN, "not run: wrong"),
        (REFUTED, {"proof": V.PROVED}, V.NOT_RUN, "no variant of it was tried in this run"),
        (REFUTED, {}, V.NOT_RUN, "none of its checks is in this run"),
        (REFUTED, {"wrong": V.UNEXPECTED, "proof": V.PROVED}, V.UNEXPECTED, "unexpected: wrong"),
    ],
)
def test_the_verdict_of_a_property(
    item: Property, found: dict[str, Verdict], verdict: Verdict, note: str
) -> None:
    result = judge(item, outcomes(**found), MANIFEST)
    assert (result.verdict, result.note) == (verdict, note)
    assert result.as_expected == (verdict is item.verdict and not note)
    assert result.seconds == 1.5 * len(found)


def test_a_property_that_no_check_can_decide_is_unexpected() -> None:
    result = judge(PROVED, outcomes(model=V.CHECKED), MANIFEST[1:])
    assert result.verdict is V.UNEXPECTED
    assert result.note == "no check of the manifest can say 'proved' of it"
    result = judge(PROVED, outcomes(proof=V.PROVED), MANIFEST[:2])
    assert result.note == "no check of the manifest refutes its variant 'v'"


def test_outcomes_of_other_properties_do_not_count() -> None:
    other = [replace(outcome, properties=("P-9",)) for outcome in outcomes(proof=V.PROVED)]
    assert judge(PROVED, other, MANIFEST).verdict is V.NOT_RUN


def run_of(*results: PropertyResult, found: list[Outcome]) -> Run:
    return Run("0", "quick", 0, "", 1.0, "", (), tuple(found), results)


def test_a_run_passes_if_nothing_was_unexpected() -> None:
    good = outcomes(proof=V.PROVED, model=V.NOT_RUN)
    run = run_of(judge(PROVED, good, MANIFEST), found=good)
    assert run.passed
    assert [outcome.check for outcome in run.not_run] == ["model"]
    bad = outcomes(proof=V.UNEXPECTED)
    assert not run_of(found=bad).passed
    assert not run_of(judge(PROVED, [], ()), found=good).passed


def test_long_lists_are_cut_short() -> None:
    found = [Outcome(f"c-{number}", V.NOT_RUN, "", ("P-1",)) for number in range(5)]
    assert judge(PROVED, found, MANIFEST).note == "not run: c-0, c-1 and 3 more"
