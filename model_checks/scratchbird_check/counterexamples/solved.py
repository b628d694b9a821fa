"""What a solver found against a wrong rule, played by the code: only then is it a counterexample."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scratchbird_check.counterexamples import handoff as handoff_scripts
from scratchbird_check.counterexamples import handoff_solved, quorum_scripts, quorum_solved
from scratchbird_check.counterexamples.hlc import BlindHop
from scratchbird_check.counterexamples.model import NotRefutedError
from scratchbird_check.counterexamples.uuid8 import layout_b_counterexample, v7_beside_v8_counterexample
from scratchbird_check.traces import handoff_run, quorum_run
from scratchbird_check.traces.handoff_judge import account, agree
from scratchbird_check.traces.hlc import event_from_json
from scratchbird_check.traces.model import Trace
from scratchbird_check.traces.quorum_judge import Judge, linearizable
from scratchbird_check.traces.quorum_world import Stage
from scratchbird_check.traces.reference_run import Move, play
from scratchbird_check.variants import handoff as handoff_variants
from scratchbird_check.variants import quorum as quorum_variants
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_proofs.handoff_refutations import FoundPast, FoundRepair
from scratchbird_proofs.hlc_refutations import SCENARIOS
from scratchbird_proofs.hlc_runs import BASE, CONFIG, FoundRun
from scratchbird_proofs.quorum_loss_runs import FoundLoss
from scratchbird_proofs.quorum_refutations import FoundStory
from scratchbird_proofs.refutation import Found, FoundPair, Refutation
from scratchbird_reference.errors import CallerError
from scratchbird_reference.hlc import HybridLogicalClock
from scratchbird_reference.uuid8 import Timestamp

_RULES: dict[str, type[HybridLogicalClock]] = {**VARIANTS, "blind_hop": BlindHop}
_IDS = {"layout_b": layout_b_counterexample, "v7_beside_v8": v7_beside_v8_counterexample}


class NotPlayedError(AssertionError):
    """The code does something else than the formulas say."""


def played(refutation: Refutation, found: Found) -> Trace:
    """The trace of what was found, its last step the wrong one.

    :raises NotPlayedError: if the variant's code keeps the promise, or the right code breaks one.
    :raises TypeError: if nobody knows how to play what was found.
    """
    match found:
        case FoundPair():
            return _ids(refutation, found)
        case FoundRun():
            return _run(refutation, found)
        case FoundStory():
            return _quorums(refutation, quorum_solved.of_story(refutation.variant, found))
        case FoundLoss():
            return _quorums(refutation, quorum_solved.of_loss(found))
        case FoundRepair():
            return _handoff(refutation, handoff_solved.of_repair(found), account)
        case FoundPast():
            return _handoff(refutation, handoff_solved.of_past(found), agree)
    raise TypeError(f"{refutation.id} found a {type(found).__name__}: teach {__name__} to play it")


def _ids(refutation: Refutation, found: FoundPair) -> Trace:
    make = _IDS[refutation.variant]
    try:
        both = make(Timestamp(*found.early), Timestamp(*found.late))
    except NotRefutedError as error:
        raise NotPlayedError(str(error)) from error
    return replace(both.refuted, engine="Z3")


def _run(refutation: Refutation, found: FoundRun) -> Trace:
    scenario, variant = SCENARIOS[refutation.variant], refutation.variant
    wrong, right = _RULES[variant](CONFIG), HybridLogicalClock(CONFIG)
    moves = [
        Move(move.node, event_from_json(dict(move.event)), move.sends, move.receives, move.setup)
        for move in found.moves
    ]

    def under(rules: dict[int, HybridLogicalClock], promise: str = "") -> Trace:
        return play(
            moves,
            config=CONFIG,
            rules=lambda node: rules.get(node, right),
            base=BASE,
            title=f"{refutation.statement} ({variant})",
            engine="Z3",
            promise=promise,
        )

    nodes = {move.node for move in moves}
    try:
        trace = under(dict.fromkeys(scenario.wrong_at or nodes, wrong), refutation.promise)
    except CallerError as error:
        raise NotPlayedError(f"the code of {variant} can not take this run: {error}") from error
    if trace.promise != refutation.promise or not trace.steps[-1].wrong:
        raise NotPlayedError(
            f"the code of {variant} breaks {trace.promise or 'nothing'} in a run that should break "
            f"{refutation.promise}"
        )
    if kept := under({}).promise:
        raise NotPlayedError(f"the right rules break {kept} in the run found against {variant}")
    return trace


def _quorums(refutation: Refutation, run: quorum_solved.Played) -> Trace:
    variant = refutation.variant
    scripted = _Scripted(linearizable, quorum_scripts.SCRIPTS[variant].lesson, quorum_run.Run)
    return _played(refutation, run, scripted, quorum_variants.VARIANTS[variant], quorum_variants.RIGHT)


def _handoff(refutation: Refutation, run: quorum_solved.Played, judge: Judge) -> Trace:
    variant = refutation.variant
    scripted = _Scripted(judge, handoff_scripts.SCRIPTS[variant].lesson, handoff_run.Run)
    return _played(refutation, run, scripted, handoff_variants.VARIANTS[variant], handoff_variants.RIGHT)


@dataclass(frozen=True, slots=True)
class _Scripted:
    """How moves are played and judged."""

    judge: Judge
    lesson: str
    kind: type[quorum_run.Run]


def _played(
    refutation: Refutation,
    run: quorum_solved.Played,
    scripted: _Scripted,
    wrong: quorum_variants.Variant,
    right: quorum_variants.Variant,
) -> Trace:
    def under(variant: quorum_variants.Variant, stage: Stage) -> Trace:
        return quorum_run.play(
            run.moves,
            variant=variant,
            stage=stage,
            judge=scripted.judge,
            promise=refutation.promise,
            lesson=scripted.lesson,
            title=f"{refutation.statement} ({refutation.variant})",
            engine="Z3",
            kind=scripted.kind,
        )

    try:
        trace = under(wrong, run.wrong)
    except CallerError as error:
        raise NotPlayedError(f"the code of {refutation.variant} can not take this run: {error}") from error
    if trace.promise != refutation.promise:
        raise NotPlayedError(
            f"the code of {refutation.variant} breaks nothing in a run that should break {refutation.promise}"
        )
    if kept := under(right, run.right).promise:
        raise NotPlayedError(f"the right rules break {kept} in the run found against {refutation.variant}")
    return trace
