"""Of a history that cannot be explained: few operations that cannot be explained already.

The notion is this. A set of completed operations is *refuted* if no order explains their results even if
every operation outside the set is optional: it may have taken effect (between its invocation and its
return, or, for sequential consistency, at any time after its process came to it), or not, and what it
returned is ignored. Every order that explains the whole history explains every such set, so a refuted set
is a proof. More operations are refuted if fewer are; so a window, the operations that were invoked and
returned between two events, can be found by halving. First the end of the window comes as early as
possible, then its beginning as late as possible, then operations within it are left out until none can be:
the *core*.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scratchbird_history.operations import Operation

Refuted = Callable[[Sequence[Operation]], bool | None]
"""Whether a set is refuted; None if that took too long, which counts as no and makes the core not minimal."""


def shortest(operations: Sequence[Operation], refuted: Refuted) -> tuple[list[Operation], bool]:
    """The core, in order of invocation, and whether it is minimal: nothing in it can be left out.

    :param operations: completed ones that are refuted together.
    """
    sure = True

    def ask(some: Sequence[Operation]) -> bool:
        nonlocal sure
        answer = refuted(some)
        sure = sure and answer is not None
        return bool(answer)

    core = sorted(operations, key=lambda one: one.returned or 0)
    core = core[: _least(len(core), lambda count: ask(core[:count]))]
    core.sort(key=lambda one: one.invoked)
    core = core[len(core) - _least(len(core), lambda count: ask(core[len(core) - count :])) :]
    size = max(1, len(core) // 2)
    while core:
        place = 0
        while place < len(core):
            rest = core[:place] + core[place + size :]
            if ask(rest):
                core = rest
            else:
                place += size
        if size == 1:
            break
        size = max(1, size // 2)
    return core, sure


def _least(most: int, enough: Callable[[int], bool]) -> int:
    """The least count that is enough; ``most`` is known to be."""
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if enough(middle):
            high = middle
        else:
            low = middle + 1
    return high
