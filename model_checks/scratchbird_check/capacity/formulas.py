"""The arithmetic of sizing: hints, anti-entropy, the Merkle forest, rows and disks.

Every name says its unit: ``_s`` seconds, ``_per_s`` a second, ``_bytes`` bytes, ``_hints`` and ``_rows``
counts. Values are whole numbers or fractions, so nothing overflows and no limit rounds to zero. ``None`` is
*never*. A value that makes no sense (negative, a limit of zero) raises :class:`UsageError` with its name.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from scratchbird_check.errors import UsageError

Number = int | Fraction
"""Exact."""

HASH_BYTES = 32
"""Of SHA-256, in a node of a Merkle tree."""
MOST_WRITES = 10**18
"""How far :func:`faster_from_s` looks."""


def _from(least: int, **values: Number) -> None:
    for name, value in values.items():
        if value < least:
            raise UsageError(f"{name} is {value}: at least {least} is expected")


def _above_zero(**values: Number) -> None:
    for name, value in values.items():
        if value <= 0:
            raise UsageError(f"{name} is {value}: more than 0 is expected")


# --- hints ------------------------------------------------------------------------------------------------


def backlog_hints(writes_per_s: Number, outage_s: Number) -> int:
    """Hints for one target after an outage: one for each write that it missed."""
    _from(0, writes_per_s=writes_per_s, outage_s=outage_s)
    return ceil(writes_per_s * outage_s)


def backlog_bytes(hints: int, hint_bytes: int) -> int:
    """What they weigh."""
    _from(0, hints=hints, hint_bytes=hint_bytes)
    return hints * hint_bytes


def drain_s(hints: int, limit_per_s: Number, ongoing_per_s: Number = 0) -> Fraction | None:
    """From the target's return until no hint is left; ``None``: never.

    :param limit_per_s: hints that the target takes a second.
    :param ongoing_per_s: writes a second that still become hints. None do if the target takes new writes
        itself. At the limit or above it the backlog does not shrink, however small it is.
    """
    _from(0, hints=hints, ongoing_per_s=ongoing_per_s)
    _above_zero(limit_per_s=limit_per_s)
    if ongoing_per_s >= limit_per_s:
        return None
    return Fraction(hints) / (limit_per_s - ongoing_per_s)


def oldest_at_delivery_s(writes_per_s: Number, outage_s: Number, limit_per_s: Number) -> Fraction:
    """The greatest age that a hint of the outage reaches, if all are kept and delivered oldest first.

    Hint number k was made k/writes after the outage began and is delivered k/limit after it ended, so its age
    is a straight line in k: the first hint's is the outage, the last one's is the time that draining takes.
    Hints that are made while it drains do not change this: they come behind.
    """
    _from(0, writes_per_s=writes_per_s, outage_s=outage_s)
    _above_zero(limit_per_s=limit_per_s)
    return max(Fraction(outage_s), Fraction(writes_per_s * outage_s) / limit_per_s)


def expired_hints(writes_per_s: Number, outage_s: Number, limit_per_s: Number, expiry_s: Number) -> int:
    """How many hints of the outage expire before their turn, if they are delivered oldest first.

    Of those made before the outage ended, what is older than the expiry is gone when the target returns. Of
    the rest the last expires one expiry later, and until then the limit lets limit x expiry through.
    """
    _above_zero(limit_per_s=limit_per_s, expiry_s=expiry_s)
    made = backlog_hints(writes_per_s, outage_s)
    alive = backlog_hints(writes_per_s, min(outage_s, expiry_s))
    return max(0, made - min(alive, ceil(limit_per_s * expiry_s)))


def longest_outage_s(writes_per_s: Number, limit_per_s: Number, expiry_s: Number) -> Fraction:
    """The longest outage of which no hint expires: beyond it anti-entropy has to run anyway."""
    _above_zero(writes_per_s=writes_per_s, limit_per_s=limit_per_s, expiry_s=expiry_s)
    return expiry_s * min(Fraction(1), Fraction(limit_per_s) / writes_per_s)


def outage_that_fills_s(room_bytes: int, writes_per_s: Number, hint_bytes: int) -> Fraction:
    """How long an outage may be until its hints need more than this room."""
    _above_zero(writes_per_s=writes_per_s, hint_bytes=hint_bytes)
    _from(0, room_bytes=room_bytes)
    return Fraction(room_bytes) / (writes_per_s * hint_bytes)


def limit_needed_per_s(hints: int, within_s: Number, ongoing_per_s: Number = 0) -> int:
    """The least whole limit with which a backlog is drained in this time."""
    _from(0, hints=hints, ongoing_per_s=ongoing_per_s)
    _above_zero(within_s=within_s)
    return max(1, ceil(hints / Fraction(within_s) + ongoing_per_s))


# --- a limit that is divided ------------------------------------------------------------------------------


def share_per_s(limit_per_s: Number, parts: int) -> Fraction:
    """Each part's share of a limit. It is above zero for any number of parts, and the shares add up."""
    _above_zero(limit_per_s=limit_per_s)
    _from(1, parts=parts)
    return Fraction(limit_per_s) / parts


def rounded_share_per_s(limit_per_s: int, parts: int) -> int:
    """What integer division makes of it: 0, which delivers nothing, where there are more parts than hints."""
    _above_zero(limit_per_s=limit_per_s)
    _from(1, parts=parts)
    return limit_per_s // parts


# --- anti-entropy -----------------------------------------------------------------------------------------


def exchange_bytes(differing_rows: int, rows: int, row_bytes: int) -> int:
    """What a partial exchange moves at most, for a binary tree over the rows with 32-byte hashes.

    The differing rows lie under at most d (1 + log2(n/d)) inner nodes, and at each the hashes of two children
    are compared. If all rows differ, as in the windows of an outage into which rows were only inserted, that
    is 64 bytes a row.

    :raises UsageError: if more rows differ than there are.
    """
    _from(0, differing_rows=differing_rows, row_bytes=row_bytes)
    if differing_rows > rows:
        raise UsageError(f"{differing_rows} of {rows} rows differ: it can not be more than all")
    if not differing_rows:
        return 0
    levels = ((rows - 1) // differing_rows).bit_length()
    return differing_rows * (row_bytes + 2 * HASH_BYTES * (1 + levels))


def transfer_s(size_bytes: int, bandwidth_bytes_per_s: Number) -> Fraction:
    """How long it takes to move them."""
    _from(0, size_bytes=size_bytes)
    _above_zero(bandwidth_bytes_per_s=bandwidth_bytes_per_s)
    return Fraction(size_bytes) / bandwidth_bytes_per_s


def repair_s(
    missed_writes: int, rows: int | None, row_bytes: int, bandwidth_bytes_per_s: Number, interval_s: Number
) -> Fraction:
    """Until anti-entropy has repaired what a target missed: the next round begins, then it moves the rows.

    :param rows: that the target holds. A row that was overwritten is moved once, so no more than these
        differ. ``None``: not known; every write is taken for a row of its own, in windows of its own.
    """
    _from(0, missed_writes=missed_writes, interval_s=interval_s)
    differing = missed_writes if rows is None else min(missed_writes, rows)
    size = exchange_bytes(differing, differing if rows is None else rows, row_bytes)
    return interval_s + transfer_s(size, bandwidth_bytes_per_s)


def faster_from_s(
    writes_per_s: Number,
    limit_per_s: Number,
    rows: int | None,
    row_bytes: int,
    bandwidth_bytes_per_s: Number,
    interval_s: Number,
) -> Fraction | None:
    """The outage from which on anti-entropy repairs sooner than the hints are drained; ``None``: never.

    Once it is sooner it stays so: the more rows differ, the fewer bytes each of them costs.
    """
    _above_zero(writes_per_s=writes_per_s, limit_per_s=limit_per_s)

    def sooner(missed: int) -> bool:
        found = repair_s(missed, rows, row_bytes, bandwidth_bytes_per_s, interval_s)
        return found < Fraction(missed) / limit_per_s

    if not sooner(MOST_WRITES):
        return None
    least, most = 0, MOST_WRITES
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if sooner(middle) else (middle, most)
    return Fraction(most) / writes_per_s


# --- the Merkle forest ------------------------------------------------------------------------------------


def forest_bytes(rows: int, windows: int, bytes_per_row: int, bytes_per_window: int) -> int:
    """Memory of a forest: the rows whose leaves are resident, and the root of each sealed window."""
    _from(0, rows=rows, windows=windows, bytes_per_row=bytes_per_row, bytes_per_window=bytes_per_window)
    return rows * bytes_per_row + windows * bytes_per_window


def windows_kept(kept_s: Number, window_s: Number) -> int:
    """Windows into which the rows of this span fall."""
    _from(0, kept_s=kept_s)
    _above_zero(window_s=window_s)
    return ceil(Fraction(kept_s) / window_s)


def active_rows(writes_per_s: Number, window_s: Number, grace_s: Number) -> int:
    """Rows of windows that are not sealed, just before one is, if every write is a new row."""
    _from(0, writes_per_s=writes_per_s, window_s=window_s, grace_s=grace_s)
    return ceil(writes_per_s * (window_s + grace_s))


# --- clusters ---------------------------------------------------------------------------------------------


def row_copies(rows: int, factor: int) -> int:
    """Rows over all replicas."""
    _from(0, rows=rows)
    _from(1, factor=factor)
    return rows * factor


def shards_on_fullest_node(shards: int, factor: int, nodes: int) -> int:
    """Replicas of shards on the fullest node, spread as evenly as whole shards can be.

    :raises UsageError: if there are fewer nodes than replicas of a shard.
    """
    _from(1, shards=shards, factor=factor, nodes=nodes)
    if factor > nodes:
        raise UsageError(f"{factor} replicas on {nodes} nodes: a replica needs a node of its own")
    return ceil(Fraction(shards * factor, nodes))


def rows_on_fullest_node(rows: int, shards: int, factor: int, nodes: int) -> int:
    """Rows there, if all shards are of one size."""
    _from(0, rows=rows)
    return ceil(Fraction(rows, shards) * shards_on_fullest_node(shards, factor, nodes))


def missed_per_s(writes_per_s: Number, factor: int, nodes: int) -> Fraction:
    """Writes a second that one node that is down misses, of those of the whole cluster."""
    _from(0, writes_per_s=writes_per_s)
    _from(1, factor=factor, nodes=nodes)
    return Fraction(writes_per_s) * Fraction(min(factor, nodes), nodes)


def disk_bytes(rows: int, row_bytes: int, headroom_percent: int, hint_log_bytes: int = 0) -> int:
    """A node's disk: its rows, room for a compaction to write beside them, and the hints for others.

    :param headroom_percent: of the rows; 100 for a compaction that rewrites all of them at once.
    """
    _from(0, rows=rows, row_bytes=row_bytes, headroom_percent=headroom_percent, hint_log_bytes=hint_log_bytes)
    data_bytes = rows * row_bytes
    return data_bytes + ceil(Fraction(data_bytes * headroom_percent, 100)) + hint_log_bytes
