"""The wrong rules for the clock, as formulas. Each replaces one rule, under the variant's name everywhere."""

from __future__ import annotations

import z3

from scratchbird_proofs.hlc_rules import COUNTERS, Node, Rules, counter_of, later, ms_of, pack
from scratchbird_proofs.theorem import Formula, Term


class NoCarry(Rules):
    """A full counter wraps to 0 and leaves the millisecond alone."""

    __slots__ = ()

    def successor(self, timestamp: Term) -> Term:
        return pack(ms_of(timestamp), (counter_of(timestamp) + 1) % COUNTERS)


class StallAndReset(Rules):
    """A full counter sleeps 1 ms, then takes the wall clock and counter 0 (HLC-2, as published)."""

    __slots__ = ()

    def candidate(self, last: Term, wall: Term) -> Term:
        full = z3.And(counter_of(last) == COUNTERS - 1, ms_of(last) >= wall)
        return z3.If(full, pack(wall + 1), Rules.candidate(self, last, wall))


class MergeIgnoresCounter(Rules):
    """Equal milliseconds leave the own counter as it is."""

    __slots__ = ()

    def merge(self, last: Term, remote: Term) -> Term:
        return z3.If(ms_of(remote) > ms_of(last), remote, last)


class MergeResetsCounter(Rules):
    """The remote millisecond is taken, and its counter starts anew."""

    __slots__ = ()

    def merge(self, last: Term, remote: Term) -> Term:
        return later(last, pack(ms_of(remote)))


class NoRemoteBound(Rules):
    """Remote timestamps are merged however far ahead they are (HLC-4)."""

    __slots__ = ()

    def too_far_remote(self, remote: Term, believed: Term) -> Formula:
        return z3.BoolVal(False)

    def too_early(self, remote: Term, present: Term) -> Formula:
        return z3.BoolVal(False)


class MergesAtOnce(Rules):
    """Whatever the remote bound allows is merged at once: a fast peer silences all that hear it."""

    __slots__ = ()

    def too_early(self, remote: Term, present: Term) -> Formula:
        return z3.BoolVal(False)


class EarlyByBelief(Rules):
    """What is early is judged by the time believed in, to the very edge of what a tick may issue."""

    __slots__ = ()

    def too_early(self, remote: Term, present: Term) -> Formula:
        return ms_of(remote) > present + self.settings.max_ahead

    def present(self, node: Node, wall: Term, monotonic: Term) -> Term:
        return self.believed(node, wall, monotonic)


class OneBound(Rules):
    """A node may issue, and its messages may carry, as far ahead as it may merge."""

    __slots__ = ()

    def too_far_ahead(self, timestamp: Term, wall: Term) -> Formula:
        return ms_of(timestamp) > wall + self.settings.max_drift

    def too_early(self, remote: Term, present: Term) -> Formula:
        return ms_of(remote) > present + self.settings.max_drift

    def too_far_to_carry(self, last: Term, believed: Term) -> Formula:
        return ms_of(last) > believed + self.settings.max_drift


class NoUpperBound(Rules):
    """Nothing is durable before it is used."""

    __slots__ = ()

    def covers_issue(self, bound: Term, timestamp: Term) -> Formula:
        return z3.BoolVal(True)

    def covers_merge(self, bound: Term, timestamp: Term) -> Formula:
        return z3.BoolVal(True)


class BoundNotMerged(Rules):
    """The durable bound covers what was issued, but not what was merged."""

    __slots__ = ()

    def covers_merge(self, bound: Term, timestamp: Term) -> Formula:
        return z3.BoolVal(True)


class BelievesWall(Rules):
    """Peers are judged by the wall clock alone, also after it was set back."""

    __slots__ = ()

    def believed(self, node: Node, wall: Term, monotonic: Term) -> Term:
        return wall


class EagerReserve(Rules):
    """A bound may be reserved also where a tick would be refused."""

    __slots__ = ()

    def too_far_to_reserve(self, timestamp: Term, wall: Term) -> Formula:
        return z3.BoolVal(False)


class CarriesUnchecked(Rules):
    """A message carries the sender's clock however far ahead that is."""

    __slots__ = ()

    def too_far_to_carry(self, last: Term, believed: Term) -> Formula:
        return z3.BoolVal(False)


class BlindHop(Rules):
    """A proxy that hears a message, forwards its content, and keeps its own clock as it was."""

    __slots__ = ()

    def merge(self, last: Term, remote: Term) -> Term:
        return last


VARIANTS: dict[str, type[Rules]] = {
    "no_carry": NoCarry,
    "stall_and_reset": StallAndReset,
    "merge_ignores_counter": MergeIgnoresCounter,
    "merge_resets_counter": MergeResetsCounter,
    "no_remote_bound": NoRemoteBound,
    "merges_at_once": MergesAtOnce,
    "early_by_belief": EarlyByBelief,
    "one_bound": OneBound,
    "no_upper_bound": NoUpperBound,
    "bound_not_merged": BoundNotMerged,
    "believes_wall": BelievesWall,
    "eager_reserve": EagerReserve,
    "carries_unchecked": CarriesUnchecked,
    "blind_hop": BlindHop,
}
