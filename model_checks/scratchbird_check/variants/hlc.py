"""Wrong rules for the clock. Each class replaces one method of the reference, and nothing else."""

from __future__ import annotations

from scratchbird_reference.hlc import HybridLogicalClock, Volatile
from scratchbird_reference.uuid8 import Timestamp


class NoCarry(HybridLogicalClock):
    """A full counter wraps to 0 and leaves the millisecond alone."""

    __slots__ = ()

    def successor(self, timestamp: Timestamp) -> Timestamp:
        return Timestamp(timestamp.ms, (timestamp.counter + 1) % self.config.counters_per_ms)


class StallAndReset(HybridLogicalClock):
    """The published rule (HLC-2): a full counter sleeps 1 ms, then takes the wall clock and counter 0."""

    __slots__ = ()

    def candidate(self, last: Timestamp, wall: int) -> Timestamp:
        if last.counter == self.config.counters_per_ms - 1 and last.ms >= wall:
            return Timestamp(wall + 1, 0)
        return HybridLogicalClock.candidate(self, last, wall)


class MergeIgnoresCounter(HybridLogicalClock):
    """A merge that looks at the milliseconds alone: equal ones leave the own counter as it is."""

    __slots__ = ()

    def merge(self, last: Timestamp, remote: Timestamp) -> Timestamp:
        return remote if remote.ms > last.ms else last


class MergeResetsCounter(HybridLogicalClock):
    """A merge that takes the remote millisecond and starts its counter anew."""

    __slots__ = ()

    def merge(self, last: Timestamp, remote: Timestamp) -> Timestamp:
        return max(last, Timestamp(remote.ms, 0))


class NoRemoteBound(HybridLogicalClock):
    """Remote timestamps are merged however far ahead they are (HLC-4)."""

    __slots__ = ()

    def too_far_remote(self, remote: Timestamp, believed: int) -> bool:
        return False

    def too_early(self, remote: Timestamp, present: int) -> bool:
        return False


class MergesAtOnce(HybridLogicalClock):
    """Whatever the remote bound allows is merged at once: a fast peer silences all that hear it."""

    __slots__ = ()

    def too_early(self, remote: Timestamp, present: int) -> bool:
        return False


class EarlyByBelief(HybridLogicalClock):
    """What is early is judged by the time believed in, to the very edge of what a tick may issue."""

    __slots__ = ()

    def too_early(self, remote: Timestamp, present: int) -> bool:
        return remote.ms > present + self.config.max_ahead_ms

    def present(self, volatile: Volatile, wall: int, monotonic: int) -> int:
        return self.believed(volatile, wall, monotonic)


class OneBound(HybridLogicalClock):
    """One bound for own and remote timestamps: a node may issue as far ahead as it may merge."""

    __slots__ = ()

    def too_far_ahead(self, timestamp: Timestamp, wall: int) -> bool:
        return timestamp.ms > wall + self.config.max_drift_ms

    def too_early(self, remote: Timestamp, present: int) -> bool:
        return remote.ms > present + self.config.max_drift_ms

    def too_far_to_carry(self, last: Timestamp, believed: int) -> bool:
        return last.ms > believed + self.config.max_drift_ms


class NoUpperBound(HybridLogicalClock):
    """Nothing is durable: after a restart the clock starts at the wall clock."""

    __slots__ = ()

    def covers_issue(self, bound: Timestamp, timestamp: Timestamp) -> bool:
        return True

    def covers_merge(self, bound: Timestamp, timestamp: Timestamp) -> bool:
        return True


class BoundNotMerged(HybridLogicalClock):
    """The upper bound covers what was issued, but not what was merged."""

    __slots__ = ()

    def covers_merge(self, bound: Timestamp, timestamp: Timestamp) -> bool:
        return True


class BelievesWall(HybridLogicalClock):
    """Peers are judged by the wall clock alone, also after it was set back."""

    __slots__ = ()

    def believed(self, volatile: Volatile, wall: int, monotonic: int) -> int:
        return wall


class EagerReserve(HybridLogicalClock):
    """A bound may be reserved also where a tick would be refused: a crash loop pushes it ever further."""

    __slots__ = ()

    def too_far_to_reserve(self, timestamp: Timestamp, wall: int) -> bool:
        return False


class CarriesUnchecked(HybridLogicalClock):
    """A message carries the sender's clock however far ahead that is: healthy peers refuse it."""

    __slots__ = ()

    def too_far_to_carry(self, last: Timestamp, believed: int) -> bool:
        return False


VARIANTS: dict[str, type[HybridLogicalClock]] = {
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
}
