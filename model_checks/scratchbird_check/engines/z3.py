"""Z3: the theorems of ``scratchbird_proofs``, and the runs by which it refutes the wrong rules.

``options.theorem`` is the id of a theorem, a list of ids or patterns (``hlc.*``), or, for a check that
expects a refutation, the id of one. Everything but a proof is *unexpected*: a counterexample, assumptions
that contradict each other, a case that cannot happen, *unknown*, a wrong rule for which the theorem still
holds, a run that the reference plays differently than the formulas say.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchbird_check.context import Context
from scratchbird_check.errors import ManifestError
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict

if TYPE_CHECKING:
    from scratchbird_proofs.theorem import Proof, Theorem


def missing() -> str:
    """Empty if Z3 is installed, else how to get it."""
    if importlib.util.find_spec("z3") is None:
        return "Z3 is missing: pip install 'scratchbird-replication[check]'"
    return ""


def run(check: Check, context: Context) -> Outcome:
    """Prove the theorems that the check names, or refute its variant."""
    return _refute(check) if check.expect is Verdict.REFUTED else _prove(check, context)


def chosen(check: Check) -> tuple[Theorem, ...]:
    """The theorems that a check names.

    :raises ManifestError: if one does not exist, or none is named.
    """
    from scratchbird_proofs.registry import find_theorems

    named: Any = check.options["theorem"]
    patterns = [named] if isinstance(named, str) else named
    if not patterns or not all(isinstance(item, str) for item in patterns):
        raise ManifestError(f"check {check.id!r}: options.theorem is {named!r}: name a theorem, or several")
    try:
        return find_theorems(*patterns)
    except LookupError as error:
        raise ManifestError(f"check {check.id!r}: {error}") from None


# --- proofs -----------------------------------------------------------------------------------------------


def _prove(check: Check, context: Context) -> Outcome:
    from scratchbird_proofs.theorem import prove

    proofs: list[Proof] = []
    for theorem in chosen(check):
        context.progress(theorem.id)
        proofs.append(prove(theorem))
    obligations = sum(len(proof.findings) for proof in proofs)
    figures: dict[str, int | float | str] = {"theorems": len(proofs), "obligations": obligations}
    for proof in proofs:
        verdict = "proved" if proof.proved else proof.why_not
        figures[proof.theorem] = f"{verdict}, {len(proof.findings)} obligations, {proof.seconds:.2f} s"
    open_ = [proof for proof in proofs if not proof.proved]
    if open_:
        log = _log(context.workdir / f"{check.id}.json", open_)
        why = "; ".join(proof.why_not for proof in open_[:3])
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures, log=log)
    detail = (
        f"{_count(len(proofs), 'theorem')}, {_count(obligations, 'obligation')}, each shown to be possible"
    )
    return Outcome(check.id, Verdict.PROVED, detail, check.properties, figures=figures)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _log(path: Path, proofs: list[Proof]) -> Path:
    """Every finding with its model, for whoever has to find out what is wrong."""
    findings = [
        {
            "theorem": proof.theorem,
            "obligation": item.obligation,
            "judgement": item.judgement,
            "why": item.why,
            "model": dict(item.model),
        }
        for proof in proofs
        for item in proof.findings
    ]
    path.write_text(json.dumps(findings, indent=2) + "\n", encoding="utf-8")
    return path


# --- refutations ------------------------------------------------------------------------------------------


def _refute(check: Check) -> Outcome:
    from scratchbird_check.counterexamples.solved import NotPlayedError, played
    from scratchbird_proofs.refutation import no_longer_proved
    from scratchbird_proofs.registry import find_refutation

    try:
        refutation = find_refutation(str(check.options["theorem"]))
    except LookupError as error:
        raise ManifestError(f"check {check.id!r}: {error}") from None
    if refutation.variant != check.variant:
        raise ManifestError(
            f"check {check.id!r}: {refutation.id} refutes {refutation.variant!r}, not {check.variant!r}"
        )

    def unexpected(why: str) -> Outcome:
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties)

    failing = no_longer_proved(refutation)
    if not failing:
        return unexpected(f"the theorem that {check.variant} should break has no counterexample")
    found = refutation.find()
    if found is None:
        return unexpected(f"no run was found in which {check.variant} breaks {refutation.promise}")
    try:
        trace = played(refutation, found)
    except NotPlayedError as error:
        return unexpected(str(error))
    figures: dict[str, int | float | str] = {"steps": len(trace.steps) - 1, "fails": failing}
    detail = f"{refutation.statement} ({failing}.)"
    return Outcome(check.id, Verdict.REFUTED, detail, check.properties, figures=figures, counterexample=trace)
