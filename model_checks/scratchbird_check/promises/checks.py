"""The guarantees table as a check: each cell of each setting has evidence for one answer, and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scratchbird_check.context import Context
from scratchbird_check.counterexamples import counterexample
from scratchbird_check.manifest import Check
from scratchbird_check.promises import page, telling
from scratchbird_check.promises.table import Answer, Row, row, settings
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs import registry
from scratchbird_reference.quorum_messages import Mode, Setting


def decided(check: Check, context: Context) -> Outcome:
    """Fill the table up to N = ``largest``; a cell without evidence, or with too much, is unexpected.

    ``settings`` pins how many there are.
    """
    known = {item.id for item in registry.theorems()}
    count = cells = 0
    for setting in settings(check.options["largest"]):
        count += 1
        for name, found in row(setting).cells.items():
            cells += 1
            where = f"{telling.heading(setting)}: {name}"
            if found.answer is Answer.UNDECIDED:
                evidence = telling.because(found) or "no evidence"
                return Outcome(
                    check.id, Verdict.UNEXPECTED, f"{where} is undecided ({evidence})", check.properties
                )
            if strange := sorted(set(found.theorems) - known):
                return Outcome(
                    check.id, Verdict.UNEXPECTED, f"{where} rests on {strange[0]}, which is no theorem",
                    check.properties,
                )  # fmt: skip
    if count != check.options["settings"]:
        why = f"{count} settings, pinned: {check.options['settings']}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties)
    detail = f"{count} settings, {cells:,} cells: each a theorem's instance or a schedule that was played"
    figures = {"settings": count, "cells": cells}
    return Outcome(check.id, check.expect, detail, check.properties, figures=figures)


# --- what was published -----------------------------------------------------------------------------------


def _labelled(found: Row) -> bool:
    """QRM-6: three settings are strong, and their label says nothing of the mode."""
    setting = found.setting
    numbers = (setting.size, setting.write_quorum, setting.read_quorum)
    said = dict(page.SAID).get(numbers)
    return said is not None and (said == "strong") != (found.cells["linearizable"].answer is Answer.YES)


def _summed(found: Row) -> bool:
    """QRM-7: one replica may be down exactly if W + R <= N - 1."""
    said = found.setting.write_quorum + found.setting.read_quorum <= found.setting.size - 1
    return said != (min(found.reads, found.writes) >= 1)


def _placed(found: Row) -> bool:
    """QRM-8: of 2, 2 and 1 replicas two centres may be down, and reads go on."""
    if found.setting != Setting((1, 2, 3, 4, 5), 3, 3, Mode.LINEARIZABLE):
        return False
    return any(len(down) == 2 and not reads for down, reads, _ in telling.failures(found.setting, (2, 2, 1)))


def _parted(found: Row) -> bool:
    """QRM-9: a minority reads."""
    return found.setting.size % 2 == 1 and found.setting.size > 1 and not page.reads_in_minority(found)


CLAIMS: Mapping[str, Callable[[Row], bool]] = {
    "strong_by_label": _labelled,
    "needs_the_sum": _summed,
    "read_only_with_two_down": _placed,
    "minority_reads": _parted,
}
"""From a variant to whether a row of the table contradicts it."""


def contradicts(check: Check, context: Context) -> Outcome:
    """Hold a published statement against the whole table; ``rows`` pins of how many it is wrong."""
    wrong = CLAIMS[check.variant]
    against = [setting for setting in settings(check.options["largest"]) if wrong(row(setting))]
    if len(against) != check.options["rows"]:
        why = f"{len(against)} settings contradict it, pinned: {check.options['rows']}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties)
    played = counterexample(check.variant)
    assert played is not None
    detail = f"{len(against)} settings contradict it, such as {telling.heading(against[0])}"
    return Outcome(
        check.id,
        Verdict.REFUTED,
        detail,
        check.properties,
        figures={"rows": len(against)},
        counterexample=played.refuted,
    )
