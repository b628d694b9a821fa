"""The odds that two ids are equal (HLC-9), as exact fractions.

Two ids can be equal only if millisecond, counter and node id are (``uuid8.ids_are_distinct``): never, as long
as a node id has one node and that node's clock never goes back. So the question is what happens when one of
these is broken. Then 46 random bits are left between two ids of one timestamp.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from scratchbird_reference.uuid8 import MAX_COUNTER, RANDOM_BITS

VALUES = 1 << RANDOM_BITS
SECONDS_PER_YEAR = 365 * 24 * 60 * 60


def odds_of_a_pair() -> Fraction:
    """That two ids with one timestamp and one node id are equal."""
    return Fraction(1, VALUES)


def odds_of_any(ids: int) -> Fraction:
    """That among so many ids with one timestamp and one node id two are equal (the birthday problem).

    :raises ValueError: if ``ids`` is negative.
    """
    if ids < 0:
        raise ValueError(f"{ids} ids: pass 0 or more")
    all_differ = Fraction(1)
    for taken in range(ids):
        all_differ *= Fraction(max(0, VALUES - taken), VALUES)
    return 1 - all_differ


def expected_collisions(seconds: int, ids_per_second: int, nodes: int = 2) -> Fraction:
    """How many equal pairs to expect when ``nodes`` nodes use one node id, at worst.

    At worst their clocks agree and each id of one meets an id with the same timestamp of every other.

    :raises ValueError: if there are fewer than two nodes, or something is negative.
    """
    if nodes < 2 or seconds < 0 or ids_per_second < 0:
        raise ValueError(f"{nodes} nodes, {seconds} s, {ids_per_second} ids/s: pass at least 2, 0 and 0")
    pairs = nodes * (nodes - 1) // 2
    return seconds * ids_per_second * pairs * odds_of_a_pair()


@dataclass(frozen=True, slots=True)
class Risk:
    """What goes wrong when a rule is broken, and how often."""

    broken: str
    collisions_per_year: Fraction
    wrongly_ordered: bool
    """Whether ids are also in the wrong order, which needs no luck at all."""


def risks(ids_per_second: int = 50_000) -> tuple[Risk, ...]:
    """The two ways to use a timestamp and a node id twice, at this rate and at the highest there is.

    A *reused node id*: two nodes share it, all year. A *lost upper bound*: once a day a node crashes and then
    repeats the timestamps of one second. The odds of a collision are lower, but that is not the point: its
    new ids are then certainly below ids that were seen before (the variant ``no_upper_bound``).
    """
    most = (MAX_COUNTER + 1) * 1000
    repeated = 365 * expected_collisions(1, ids_per_second)
    return (
        Risk("no rule", Fraction(0), False),
        Risk("a reused node id", expected_collisions(SECONDS_PER_YEAR, ids_per_second), False),
        Risk("a reused node id, at the highest rate", expected_collisions(SECONDS_PER_YEAR, most), False),
        Risk("a lost upper bound", repeated, True),
    )
