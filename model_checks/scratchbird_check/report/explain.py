"""A promise in about ten lines for a person, and the shortest run that shows what is wrong with it."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from scratchbird_check import ledger, manifest, resources
from scratchbird_check.counterexamples import counterexample
from scratchbird_check.ledger import Property
from scratchbird_check.manifest import PARTS, Check
from scratchbird_check.report.json_report import Reported
from scratchbird_check.report.text import NARROWEST, render, terminal_width, unbroken
from scratchbird_check.traces.hlc_words import listed
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict

WIDEST = 100


def explain(property_id: str, run: Reported | None = None, width: int | None = None) -> str:
    """What was claimed, what happens instead, the rule that we build, what the evidence is, and a run.

    The run is played by the Python variant of the wrong rule, so that it needs no other tool; where there is
    none, the shortest counterexample among the outcomes is shown.

    :param run: the last one, to say what it found.
    :raises UsageError: if there is no such promise; it names the nearest.
    """
    item = ledger.find(ledger.parse(resources.ledger_text()), property_id)
    checks = [check for check in manifest.parse(resources.manifest_text()) if item.id in check.properties]
    return tell(item, checks, run, width)


def tell(item: Property, checks: Sequence[Check], run: Reported | None, width: int | None = None) -> str:
    """The explanation of one property; see :func:`explain`."""
    columns = max(NARROWEST, min(WIDEST, width if width is not None else terminal_width()))
    found = [outcome for outcome in run.outcomes if item.id in outcome.properties] if run else []
    lines = _paragraph(f"{item.id}: ", item.claim, columns)
    lines += _paragraph("Expected verdict: ", _verdict(item, run, found), columns)
    lines.append("")
    for line in unbroken(item.explain):
        lines += _paragraph("", line, columns) or [""]
    lines.append("")
    lines += _paragraph("Rule: ", f"{item.rule}, in spec/{_module(item)}.md", columns)
    lines += _paragraph("Evidence: ", _evidence(item, checks), columns)
    for said, shown in _runs(item, found):
        lines += ["", *_paragraph("", said, columns), "", render(shown, columns).rstrip("\n")]
    return "\n".join(lines) + "\n"


def _verdict(item: Property, run: Reported | None, found: Sequence[Outcome]) -> str:
    if run is None or not found:
        return f"{item.verdict.value}; `scratchbird_check run --only {item.id}` tries it now"
    counts = Counter(outcome.verdict for outcome in found)
    said = listed([f"{counts[verdict]} {verdict.value}" for verdict in Verdict if counts[verdict]])
    return f"{item.verdict.value}. Its checks in the last run (profile {run.profile}, {run.started}): {said}"


def _evidence(item: Property, checks: Sequence[Check]) -> str:
    """How much there is of each kind: the names are many, and stand in the reports."""
    engines = Counter(check.engine for check in checks)
    parts = []
    if checks:
        by = ", ".join(f"{engine} {count}" for engine, count in engines.items())
        parts.append(f"{_count(len(checks), 'check')} ({by})")
    for what, values in (("TLA+ formula", item.tla), ("theorem", item.theorems), ("test file", item.tests)):
        if values:
            parts.append(_count(len(values), what))
    if not parts:
        return "none is registered"
    return f"{listed(parts)}; `scratchbird_check list --part {item.part}` names the checks"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _runs(item: Property, found: list[Outcome]) -> list[tuple[str, Trace]]:
    """A run that breaks the promise, and the same events under the right rule, each with an introduction."""
    for variant in item.variants:
        if played := counterexample(variant):
            what = "How it fails" if item.verdict is Verdict.REFUTED else "What a wrong rule would do"
            return [
                (f"{what}, played by the variant {variant}:", played.refuted),
                ("And by the rule that we build:", played.corrected),
            ]
    traces = [
        (
            f"Found by {outcome.counterexample.engine} in the last run ({outcome.check}):",
            outcome.counterexample,
        )
        for outcome in found
        if outcome.counterexample is not None and outcome.verdict in (Verdict.REFUTED, Verdict.UNEXPECTED)
    ]
    return sorted(traces, key=lambda item: len(item[1].steps))[:1]


def _paragraph(head: str, text: str, columns: int) -> list[str]:
    return textwrap.wrap(
        head + text, columns, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False
    )


def _module(item: Property) -> str:
    """The part whose specification has the rule: that of its prefix, where there is one."""
    prefix = item.rule.partition(".")[0].lower()
    return prefix if prefix in PARTS else item.part
