"""More wrong rules of handoff, for the state machine: those that no script and no model has."""

from __future__ import annotations

from collections.abc import Mapping

from scratchbird_check.variants import handoff
from scratchbird_check.variants.handoff import Variant
from scratchbird_reference.handoff import Rules
from scratchbird_reference.handoff_hints import HintKeeper
from scratchbird_reference.handoff_replica import FlooredReplica
from scratchbird_reference.quorum_messages import Setting


class LeavesOutWhileComingBack(Rules):
    """A write leaves a target out until its mark is closed, also when it is back."""

    __slots__ = ()

    def is_given_up(self, mark_is_open: bool, is_coming_back: bool) -> bool:
        return mark_is_open


class PaidByAnyAnswer(Rules):
    """A hint is paid by whatever its target says of the row."""

    __slots__ = ()

    def is_paid(self, held_version: int, hinted_version: int) -> bool:
        return True


class MakesUp(Rules):
    """What was missed while a target was down is sent at once when it is back."""

    __slots__ = ()

    def due_ns(self, due_ns: int, now_ns: int) -> int:
        return due_ns


class WaitsWithoutEnd(Rules):
    """The time between two deliveries doubles without end."""

    __slots__ = ()

    def after_silence(self, interval_ns: int) -> int:
        return 1024 * interval_ns


class ConvergesWithOne(Rules):
    """A replica has converged when it has merged what one other holds."""

    __slots__ = ()

    def has_converged(self, setting: Setting, merged: frozenset[int]) -> bool:
        return len(merged) >= min(1, setting.size - 1)


VARIANTS: Mapping[str, Variant] = {
    **handoff.VARIANTS,
    "leaves_out_while_coming_back": Variant(keeper=HintKeeper(LeavesOutWhileComingBack())),
    "paid_by_any_answer": Variant(keeper=HintKeeper(PaidByAnyAnswer())),
    "makes_up_at_once": Variant(keeper=HintKeeper(MakesUp())),
    "waits_without_end": Variant(keeper=HintKeeper(WaitsWithoutEnd())),
    "converges_with_one": Variant(floored=FlooredReplica(rules=ConvergesWithOne())),
}
"""By name, with those that part handoff has everywhere."""
