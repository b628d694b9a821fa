"""Wrong rules for quorums. Each class replaces one method of the reference's rules, and nothing else.

So far those about lost disks; of the others the model has its own (``tla/MC_quorum.tla``).
"""

from __future__ import annotations

from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_messages import Incarnations, Setting


class CountsOldIncarnation(Rules):
    """What a replica said before it lost its disk is counted (variant ``counts_old_incarnation``)."""

    __slots__ = ()

    def current(self, replica: int, answered_as: Incarnations, known: Incarnations) -> bool:
        return True


class TooFewOthers(Rules):
    """One other fewer than N - W + 1 is heard (variant ``too_few_others``).

    Where W = N that is none at all: a replica that is answered once has recovered under either rule.
    """

    __slots__ = ()

    def has_recovered(self, setting: Setting, others_heard: int) -> bool:
        return others_heard >= setting.size - setting.write_quorum


VARIANTS: dict[str, type[Rules]] = {
    "counts_old_incarnation": CountsOldIncarnation,
    "too_few_others": TooFewOthers,
}
