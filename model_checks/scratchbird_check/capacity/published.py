"""The capacity figures of the published operations text, each computed again from its assumptions (OPS-3).

A figure agrees if ours is within its own rounding, :data:`ROUNDING`, of it or of the range that it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from scratchbird_check.capacity import formulas
from scratchbird_check.capacity.answers import GRACE_S, LEAF_BYTES, WINDOW_BYTES, WINDOW_S, Cluster, Hints
from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict

ROUNDING = Fraction(5, 100)
"""1.92 TB may be called 2 TB, and 34,560 bytes 34 KB."""

WRITES_PER_S = 50_000
"""Of one shard."""
SHARD_ROWS = 1_000_000
SHARD_BYTES = (10 * 10**9, 50 * 10**9)
"""Of one replica of a shard, least and most."""
FACTOR = 3
HINT_BYTES = 500
LIMIT_PER_S = 1_000
EXPIRY_S = Fraction(7 * 86_400)
SEALED_WINDOWS = 720
DETECTION_S = Fraction(30)
"""Until gossip calls a node offline."""
OUTAGES_S = (Fraction(600), Fraction(3 * 3_600), Fraction(7 * 86_400))
"""Of HNT-6."""


@dataclass(frozen=True, slots=True)
class Size:
    """One of the three published clusters."""

    name: str
    nodes: int
    shards: int
    rows: int
    total_bytes: int


SIZES = (
    Size("small", 3, 16, 48_000_000, 500 * 10**9),
    Size("medium", 10, 64, 192_000_000, 2 * 10**12),
    Size("large", 50, 256, 768_000_000, 8 * 10**12),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """One published figure beside ours.

    :ivar published: the least and the greatest value that the text gives; equal if it gives one.
    :ivar unit: ``bytes``, ``rows``, ``windows`` or ``bit/s``.
    :ivar basis: from what ours is computed, all of it from the same text.
    """

    id: str
    what: str
    published: tuple[int, int]
    computed: int
    unit: str
    basis: str

    @property
    def agrees(self) -> bool:
        """Within the published figure's rounding."""
        least, most = self.published
        return least * (1 - ROUNDING) <= self.computed <= most * (1 + ROUNDING)

    @property
    def factor(self) -> Fraction:
        """Ours over theirs, or over the nearest end of their range. Above 1: theirs is too low."""
        least, most = self.published
        return Fraction(self.computed, most if self.computed > most else least)

    @property
    def verdict(self) -> str:
        """In words."""
        if self.agrees:
            return "agrees"
        if self.factor > 1:
            return f"too low by a factor of {_short(self.factor)}"
        return f"too high by a factor of {_short(1 / self.factor)}"


def _short(factor: Fraction) -> str:
    return f"{float(factor):.3g}" if factor < 1_000 else f"{round(factor):,}"


def figures() -> tuple[Figure, ...]:
    """The whole table."""
    return (*_clusters(), *_shard(), *_forest(), *_hint_log())


def _one(value: int) -> tuple[int, int]:
    return value, value


def _clusters() -> Iterable[Figure]:
    for size in SIZES:
        shape = f"{size.shards} shards of 1 M rows"
        rows = size.shards * SHARD_ROWS
        yield Figure(
            f"{size.name}-copies",
            f"{size.name} cluster, rows, copies counted",
            _one(size.rows),
            formulas.row_copies(rows, FACTOR),
            "rows",
            f"{shape}, {FACTOR} copies",
        )
        yield Figure(
            f"{size.name}-rows",
            f"{size.name} cluster, rows that a client sees",
            _one(size.rows),
            rows,
            "rows",
            f"{shape}; a copy is not another row",
        )
        for shard_bytes in SHARD_BYTES:
            gigabytes = shard_bytes // 10**9
            yield Figure(
                f"{size.name}-bytes-{gigabytes}",
                f"{size.name} cluster, total storage",
                _one(size.total_bytes),
                _cluster(size, shard_bytes).total_bytes,
                "bytes",
                f"{size.shards} shards of {gigabytes} GB, {FACTOR} copies, before compaction",
            )
        yield Figure(
            f"{size.name}-disk",
            f"{size.name} cluster, disk of a node",
            (10**12, 10 * 10**12),
            _cluster(size, SHARD_BYTES[1]).disk_bytes,
            "bytes",
            f"the fullest node's shards at {SHARD_BYTES[1] // 10**9} GB, and as much again to compact",
        )


def _cluster(size: Size, shard_bytes: int) -> Cluster:
    row_bytes = shard_bytes // SHARD_ROWS
    return Cluster(size.nodes, FACTOR, size.shards * SHARD_ROWS, row_bytes, shards=size.shards)


def _shard() -> Iterable[Figure]:
    small = SIZES[0]
    row_bytes = SHARD_BYTES[0] // SHARD_ROWS
    # On as many nodes as copies every write reaches every node, whoever coordinates it.
    for name, size_bytes, basis in (
        ("rows", row_bytes, f"rows of {row_bytes:,} bytes"),
        ("hints", HINT_BYTES, f"rows of {HINT_BYTES} bytes"),
    ):
        yield Figure(
            f"network-{name}",
            "small cluster, network of a node",
            (10**9, 10 * 10**9),
            8 * small.shards * WRITES_PER_S * size_bytes,
            "bit/s",
            f"{small.shards} shards, each with {WRITES_PER_S:,} writes/s, all of them on each node; {basis}",
        )
    for shard_bytes in SHARD_BYTES:
        gigabytes = shard_bytes // 10**9
        yield Figure(
            f"hint-{gigabytes}",
            "size of a hint, which holds the row",
            _one(HINT_BYTES),
            shard_bytes // SHARD_ROWS,
            "bytes",
            f"1 M rows in {gigabytes} GB",
        )


def _forest() -> Iterable[Figure]:
    rows = formulas.forest_bytes(SHARD_ROWS, 0, LEAF_BYTES, WINDOW_BYTES)
    yield Figure("active-tree", "active tree of 1 M rows", _one(48 * 10**6), rows, "bytes", "48 bytes a row")
    sealed = formulas.forest_bytes(0, SEALED_WINDOWS, LEAF_BYTES, WINDOW_BYTES)
    yield Figure("sealed-trees", "720 sealed trees", _one(34_000), sealed, "bytes", "48 bytes a tree")
    yield Figure("forest", "both together", _one(48 * 10**6), rows + sealed, "bytes", "their sum")
    yield Figure(
        "windows-30-days",
        "sealed trees of a shard",
        _one(SEALED_WINDOWS),
        formulas.windows_kept(30 * 86_400, WINDOW_S),
        "windows",
        "windows of 1 h over 30 days",
    )
    active = formulas.active_rows(WRITES_PER_S, WINDOW_S, GRACE_S)
    shard = formulas.forest_bytes(active, 0, LEAF_BYTES, WINDOW_BYTES)
    yield Figure(
        "active-tree-busy",
        "active tree of a shard at its published write rate",
        _one(48 * 10**6),
        shard,
        "bytes",
        f"{WRITES_PER_S:,} new rows/s, a window of 1 h and 10 minutes of grace, 48 bytes a row",
    )
    yield Figure(
        "memory-busy",
        "memory of a node",
        (32 * 10**9, 64 * 10**9),
        SIZES[0].shards * shard,
        "bytes",
        f"{SIZES[0].shards} such shards, as each node of the small cluster has; trees alone",
    )


def _hint_log() -> Iterable[Figure]:
    yield Figure(
        "hints-1000",
        "1,000 pending hints",
        _one(500_000),
        formulas.backlog_bytes(1_000, HINT_BYTES),
        "bytes",
        "500 bytes a hint",
    )
    yield Figure(
        "hint-log-week-1",
        "hint log in the first week, at most",
        (0, 10 * 10**6),
        hints(DETECTION_S).backlog_bytes,
        "bytes",
        f"{WRITES_PER_S:,} writes/s, and the 30 s until gossip calls a node offline",
    )


def hints(outage_s: Fraction) -> Hints:
    """The question of HNT-6 for one outage, with the published write rate, limit, size and expiry."""
    return Hints(outage_s, WRITES_PER_S, LIMIT_PER_S, HINT_BYTES, EXPIRY_S)


# --- as a check -------------------------------------------------------------------------------------------


def run(check: Check, context: Context) -> Outcome:
    """Compute the table and the drain times, and compare them with the pins.

    ``options.wrong`` maps each figure that is wrong to its verdict; all others must agree.
    ``options.drain_s`` lists how long the outages of HNT-6 take to drain, in seconds, and
    ``options.longest_outage_s`` is the longest one of which no hint expires.
    """
    table = figures()
    wrong = {item.id: item.verdict for item in table if not item.agrees}
    drains = [_seconds(hints(outage).cases[0][1]) for outage in OUTAGES_S]
    longest = _seconds(hints(OUTAGES_S[0]).longest_outage_s)
    found: dict[str, int | float | str] = {item.id: item.computed for item in table}
    for outage, took in zip(OUTAGES_S, drains, strict=True):
        found[f"seconds to drain an outage of {outage} s"] = took
    found["longest outage without expiry, in seconds"] = longest
    problems = [
        *_differences(wrong, dict(check.options["wrong"])),
        *([] if drains == check.options["drain_s"] else [f"outages drain in {drains} s"]),
        *([] if longest == check.options["longest_outage_s"] else [f"the longest outage is {longest} s"]),
    ]
    if problems:
        why = f"not as pinned: {'; '.join(problems)}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=found)
    detail = (
        f"{len(table) - len(wrong)} of {len(table)} published figures agree with what they assume, "
        f"{len(wrong)} do not; at {WRITES_PER_S:,} writes/s hints carry an outage of up to {longest:,} s"
    )
    return Outcome(check.id, Verdict.COMPUTED, detail, check.properties, figures=found)


def _seconds(value: Fraction | None) -> int:
    assert value is not None
    assert value.denominator == 1
    return int(value)


def _differences(found: dict[str, str], pinned: dict[str, str]) -> list[str]:
    names = sorted(found.keys() | pinned.keys())
    return [
        f"{name}: {found.get(name, 'agrees')}, pinned is {pinned.get(name, 'agrees')}"
        for name in names
        if found.get(name) != pinned.get(name)
    ]
