"""One short run for each wrong rule of the quorums, judged by the history that clients saw.

Each run is written as moves of ``traces/quorum_moves.py``: the script is the network, and says which message
reaches whom. Coordinators are ``c1``, ``c2`` and so on, replicas ``r1``, ``r2``. The scripts themselves stand
in ``quorum_scripts.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from scratchbird_check.counterexamples.model import Counterexample, NotRefutedError
from scratchbird_check.counterexamples.quorum_scripts import SCRIPTS, Script
from scratchbird_check.traces.model import Trace
from scratchbird_check.traces.quorum_moves import Move
from scratchbird_check.traces.quorum_run import Run, play
from scratchbird_check.traces.quorum_world import Stage
from scratchbird_check.variants.quorum import RIGHT, VARIANTS, Variant


def _play(
    script: Script, moves: tuple[Move, ...], variant: Variant, stage: Stage, title: str, kind: type[Run]
) -> Trace:
    return play(
        moves,
        variant=variant,
        stage=stage,
        judge=script.judge,
        promise=script.promise,
        lesson=script.lesson,
        title=title,
        good=script.good,
        kind=kind,
    )


def counterexample(variant: str) -> Counterexample:
    """Play the run of a variant under the wrong rule and under the right one.

    :raises NotRefutedError: if the wrong rule keeps its promise, or the right one breaks it.
    """
    return refute(variant, SCRIPTS[variant], VARIANTS[variant], RIGHT)


def refute(
    variant: str, script: Script, wrong: Variant, right: Variant, kind: type[Run] = Run
) -> Counterexample:
    """Play a script by wrong rules and by right ones.

    :param kind: whose moves they are.
    :raises NotRefutedError: if the wrong rules keep the promise, or the right ones break it.
    """
    stage = script.wrong_stage or script.stage
    refuted = _play(script, script.moves, wrong, stage, f"{script.title} ({variant})", kind)
    if not refuted.promise:
        raise NotRefutedError(f"variant {variant!r} keeps {script.promise} in the run that should refute it")
    moves = (*script.moves, *script.afterwards)
    corrected = _play(script, moves, right, script.stage, "The same events under the right rule", kind)
    if corrected.promise:
        raise NotRefutedError(f"the right rule breaks {corrected.promise} in the run of variant {variant!r}")
    return Counterexample(variant, script.promise, refuted, corrected)


COUNTEREXAMPLES: Mapping[str, Callable[[], Counterexample]] = {
    variant: partial(counterexample, variant) for variant in SCRIPTS
}
