"""What a solver found against a wrong rule, played by the code: only then is it a counterexample."""

from __future__ import annotations

from dataclasses import replace

from scratchbird_check.counterexamples.hlc import BlindHop
from scratchbird_check.counterexamples.model import NotRefutedError
from scratchbird_check.counterexamples.uuid8 import layout_b_counterexample, v7_beside_v8_counterexample
from scratchbird_check.traces.hlc import event_from_json
from scratchbird_check.traces.model import Trace
from scratchbird_check.traces.reference_run import Move, play
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_proofs.hlc_refutations import SCENARIOS
from scratchbird_proofs.hlc_runs import BASE, CONFIG, FoundRun
from scratchbird_proofs.refutation import FoundPair, Refutation
from scratchbird_reference.errors import CallerError
from scratchbird_reference.hlc import HybridLogicalClock
from scratchbird_reference.uuid8 import Timestamp

_RULES: dict[str, type[HybridLogicalClock]] = {**VARIANTS, "blind_hop": BlindHop}
_IDS = {"layout_b": layout_b_counterexample, "v7_beside_v8": v7_beside_v8_counterexample}


class NotPlayedError(AssertionError):
    """The code does something else than the formulas say."""


def played(refutation: Refutation, found: FoundRun | FoundPair) -> Trace:
    """The trace of what was found, its last step the wrong one.

    :raises NotPlayedError: if the variant's code keeps the promise, or the right code breaks one.
    """
    if isinstance(found, FoundPair):
        return _ids(refutation, found)
    return _run(refutation, found)


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
