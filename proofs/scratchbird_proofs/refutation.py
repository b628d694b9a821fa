"""What it means that a wrong rule is refuted: no proof of it is possible, and here is what goes wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scratchbird_proofs.hlc_runs import FoundRun
from scratchbird_proofs.theorem import Judgement, Theorem, prove


@dataclass(frozen=True, slots=True)
class FoundPair:
    """Two ids, made one after the other, whose bytes are in the wrong order."""

    early: tuple[int, int]
    """(ms, counter)"""
    late: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Refutation:
    """A wrong rule, and how it is refuted."""

    id: str
    """``hlc.no_carry``"""
    variant: str
    """Its name in ``model_checks/scratchbird_check/variants``."""
    statement: str
    """What goes wrong, in one sentence."""
    promise: str
    """What is broken, by the name under which traces know it: ``HLC-1``."""
    properties: tuple[str, ...]
    """The ledger's properties that it is evidence for."""
    fails: Callable[[], Theorem]
    """A theorem that holds of the right rule, stated of the wrong one."""
    find: Callable[[], FoundRun | FoundPair | None]
    """Looks for what goes wrong; ``None`` if nothing was found."""


def no_longer_proved(refutation: Refutation) -> str:
    """How the theorem fails for the wrong rule, in words; empty if it does not, or nobody knows."""
    proof = prove(refutation.fails())
    for finding in proof.findings:
        if finding.judgement is Judgement.REFUTED:
            return f"{proof.theorem} fails in {finding.obligation}"
    return ""
