"""Every theorem and every refutation, by name."""

from __future__ import annotations

from fnmatch import fnmatchcase

from scratchbird_proofs import (
    handoff,
    handoff_account,
    handoff_refutations,
    hlc,
    hlc_behaviour,
    hlc_limits,
    hlc_refutations,
    hlc_time,
    hlc_waits,
    merkle_forest,
    merkle_forest_sealing,
    quorum,
    uuid8,
)
from scratchbird_proofs.refutation import Refutation
from scratchbird_proofs.theorem import Theorem, lemmas_in_order


def theorems() -> tuple[Theorem, ...]:
    """All theorems, each after its lemmas."""
    known = {
        item.id: item
        for module in (
            hlc,
            hlc_behaviour,
            hlc_time,
            hlc_waits,
            hlc_limits,
            uuid8,
            quorum,
            handoff,
            handoff_account,
            merkle_forest,
            merkle_forest_sealing,
        )
        for item in module.theorems()
    }
    return tuple(known[name] for name in lemmas_in_order(tuple(known.values())))


def refutations() -> tuple[Refutation, ...]:
    """All refutations."""
    modules = (hlc_refutations, uuid8, quorum, handoff_refutations)
    return tuple(item for module in modules for item in module.refutations())


def find_theorems(*patterns: str) -> tuple[Theorem, ...]:
    """The theorems with these ids; ``*`` stands for anything.

    :raises LookupError: if one of the patterns matches nothing, naming it.
    """
    known = theorems()
    names = {item.id for item in known}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise LookupError(f"no theorem is called {pattern!r}: known are {', '.join(sorted(names))}")
    return tuple(item for item in known if any(fnmatchcase(item.id, pattern) for pattern in patterns))


def find_refutation(name: str) -> Refutation:
    """The refutation with this id.

    :raises LookupError: if there is none, naming those that there are.
    """
    known = {item.id: item for item in refutations()}
    if name not in known:
        raise LookupError(f"no refutation is called {name!r}: known are {', '.join(sorted(known))}")
    return known[name]
