"""What it means that a wrong rule is refuted: no proof of it is possible, and here is what goes wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from scratchbird_proofs.theorem import Judgement, Obligation, Theorem, prove


class Found:
    """What a solver found against a wrong rule; what is in it depends on the part.

    It is no counterexample before the code has played it, which is up to whoever has the code.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class FoundPair(Found):
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
    """The name by which ledger, model and code know the wrong rule."""
    statement: str
    """What goes wrong, in one sentence."""
    promise: str
    """What is broken, by the name under which traces know it: ``HLC-1``, ``QRM-3``."""
    properties: tuple[str, ...]
    """The ledger's properties that it is evidence for."""
    fails: Callable[[], Theorem]
    """A theorem that holds of the right rule, stated of the wrong one."""
    find: Callable[[], Found | None]
    """Looks for what goes wrong; ``None`` if nothing was found."""


def no_longer_proved(refutation: Refutation) -> str:
    """How the theorem fails for the wrong rule, in words; empty if it does not, or nobody knows."""
    proof = prove(refutation.fails())
    for finding in proof.findings:
        if finding.judgement is Judgement.REFUTED:
            return f"{proof.theorem} fails in {finding.obligation}"
    return ""


def only(theorem: str, obligation: str, stated: Sequence[Theorem]) -> Theorem:
    """One theorem among these, with one of its obligations alone: the one that a wrong rule breaks.

    :raises LookupError: when the obligations are built, if there is none of this name.
    """
    whole = next(item for item in stated if item.id == theorem)

    def chosen() -> list[Obligation]:
        found = [item for item in whole.obligations() if item.name == obligation]
        if not found:
            raise LookupError(f"{theorem} has no obligation {obligation!r}")
        return found

    return replace(whole, obligations=chosen)
