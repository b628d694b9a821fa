"""The guarantees table as a check: each cell of each setting has evidence for one answer, and no other."""

from __future__ import annotations

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.promises import telling
from scratchbird_check.promises.table import Answer, row, settings
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs import registry


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
