"""``explain``: a person learns in a few lines what was claimed, what happens instead, and what we build."""

from __future__ import annotations

import pytest

from scratchbird_check import resources
from scratchbird_check.counterexamples import counterexample
from scratchbird_check.errors import UsageError
from scratchbird_check.ledger import Property
from scratchbird_check.manifest import Check
from scratchbird_check.report.explain import explain, tell
from scratchbird_check.report.json_report import Reported
from scratchbird_check.verdicts import Outcome, Verdict

REFUTED = Property(
    "HLC-2",
    "hlc",
    "When the counter is full the node sleeps 1 ms and starts again from the wall clock.",
    Verdict.REFUTED,
    "HLC.R2",
    "A first line.\n\nA second line that goes on\nin the next. One more that is so long that it is broken.",
    instead="Ids go back.",
    corrected="A full counter carries.",
    tla=("HLC1",),
    theorems=("hlc.tick",),
    tests=("tests/stateful/test_hlc.py",),
    variants=("stall_and_reset",),
)
CHECK = Check("z3-hlc-tick", "hlc", "z3", ("quick",), Verdict.PROVED, ("HLC-2",))


def ran(*outcomes: Outcome) -> Reported:
    return Reported("2026-01-02T03:04:05Z", "full", outcomes)


def test_a_refuted_claim_is_explained_with_both_runs() -> None:
    text = tell(REFUTED, [CHECK], None, 90)
    flat = " ".join(text.split())
    for words in (
        "HLC-2: When the counter is full",
        "Expected verdict: refuted as expected; `scratchbird_check run --only HLC-2` tries it now",
        "A first line. A second line",
        "Rule: HLC.R2, in spec/hlc.md",
        "Evidence: 1 check (z3 1), 1 TLA+ formula, 1 theorem and 1 test file; "
        "`scratchbird_check list --part hlc` names the checks",
        "How it fails, played by the variant stall_and_reset:",
        "WRONG: n2 issued 11:0 after it had issued 11:1",
        "And by the rule that we build:",
        "So: The full counter carries",
    ):
        assert words in flat


@pytest.mark.parametrize("width", [10, 40, 100, 500])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    widest = max(map(len, tell(REFUTED, [CHECK], None, width).splitlines()))
    assert widest <= max(40, min(100, width))


def test_a_promise_that_holds_shows_what_a_wrong_rule_would_do() -> None:
    held = Property(
        "HLC-1", "hlc", "Ids increase.", Verdict.PROVED, "HLC.R3", "x", variants=("none", "no_carry")
    )
    text = tell(held, [], ran(Outcome("z3", Verdict.PROVED, "d", ("HLC-1",))), 90)
    flat = " ".join(text.split())
    assert (
        "Expected verdict: proved. Its checks in the last run (profile full, 2026-01-02T03:04:05Z): 1 proved"
    ) in flat
    assert "Rule: HLC.R3, in spec/hlc.md" in text
    assert "What a wrong rule would do, played by the variant no_carry:" in text
    assert "Evidence: none is registered" in text


def test_without_a_variant_the_shortest_counterexample_of_the_last_run_is_shown() -> None:
    plain = Property("QRM-1", "quorum", "Quorums meet.", Verdict.PROVED, "QRM.R1", "x")
    runs = [counterexample(name) for name in ("stall_and_reset", "no_carry")]
    outcomes = [
        Outcome(f"tlc-{index}", Verdict.REFUTED, "d", ("QRM-1",), counterexample=run.refuted)
        for index, run in enumerate(runs)
        if run is not None
    ]
    text = tell(plain, [], ran(*outcomes), 90)
    assert "Found by reference in the last run (tlc-1):" in text
    assert "stall_and_reset" not in text
    assert "Expected verdict: proved; `scratchbird_check run --only QRM-1` tries it now" in tell(
        plain, [], ran(Outcome("z3", Verdict.PROVED, "d", ("HLC-1",))), 90
    )
    assert "Rule: QRM.R1, in spec/quorum.md" in text


def test_a_promise_is_found_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = """
[[property]]
id = "HLC-1"
part = "hlc"
claim = "Ids increase."
verdict = "proved"
rule = "HLC.R3"
explain = "They do."
"""
    monkeypatch.setattr(resources, "ledger_text", lambda: ledger)
    monkeypatch.setattr(resources, "manifest_text", lambda: "")
    outcomes = [Outcome("a", Verdict.PROVED, "d", ("HLC-1",)), Outcome("b", Verdict.CHECKED, "d", ("HLC-9",))]
    text = explain("hlc-1", ran(*outcomes), 80)
    assert "1 proved" in text
    assert "1 checked" not in text
    with pytest.raises(UsageError, match="unknown property 'HLC-99': did you mean 'HLC-1'"):
        explain("HLC-99")
