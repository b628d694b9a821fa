"""Reads and writes at quorums: every theorem and every refutation of this part.

Counting comes first (:mod:`quorum_counting`, :mod:`quorum_settings`), for any number of replicas. What it
gives, that quorums meet, is the only thing that the protocol's proof (:mod:`quorum_system`,
:mod:`quorum_invariant`, :mod:`quorum_order`) knows of quorums. So that proof speaks of any setting whose
quorums meet, and of several that are used side by side if those of each meet those of the others. Lost
disks have a proof of their own, on the same ground (:mod:`quorum_losses`). What one client sees of a table in
eventual mode is :mod:`quorum_sessions`.
"""

from __future__ import annotations

from scratchbird_proofs import (
    quorum_counting,
    quorum_invariant,
    quorum_loss_runs,
    quorum_losses,
    quorum_order,
    quorum_refutations,
    quorum_sessions,
    quorum_settings,
)
from scratchbird_proofs.refutation import Refutation
from scratchbird_proofs.theorem import Theorem


def theorems() -> tuple[Theorem, ...]:
    """All of them, each after its lemmas."""
    modules = (
        quorum_counting,
        quorum_settings,
        quorum_invariant,
        quorum_order,
        quorum_losses,
        quorum_sessions,
    )
    return tuple(item for module in modules for item in module.theorems())


def refutations() -> tuple[Refutation, ...]:
    """All of them."""
    return (*quorum_refutations.refutations(), *quorum_loss_runs.refutations())
