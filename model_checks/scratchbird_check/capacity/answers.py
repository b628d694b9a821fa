"""The questions of ``scratchbird_check capacity`` and their answers, put together from the formulas.

Names say their units as there; an answer of ``None`` is *never*, or *not asked*.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from scratchbird_check.capacity import formulas

LEAF_BYTES = 48
"""Of a row in the forest, as published: an id of 16 bytes and a hash of 32. Inner nodes are not in it."""
WINDOW_BYTES = 48
"""Of a sealed window, as published."""
RESIDENT_BYTES = 56
"""Of a row in the forest: the bound that we build to, inner nodes included."""
WINDOW_S = 3_600
"""One hour, as published (``merkle_tree_window_hours``)."""
GRACE_S = 600
"""Ten minutes, as published (``sealing_grace_period_minutes``)."""


@dataclass(frozen=True, slots=True)
class Hints:
    """One target is down; what of its hints?

    :ivar writes_per_s: that the target misses.
    :ivar limit_per_s: hints that it is sent a second when it is back, by all coordinators together.
    :ivar room_bytes: for these hints on each coordinator, if there is a bound.
    :ivar rows: that the target holds, if it is known.
    """

    outage_s: Fraction
    writes_per_s: int
    limit_per_s: int = 1_000
    hint_bytes: int = 500
    expiry_s: Fraction = Fraction(7 * 86_400)
    coordinators: int = 1
    ongoing_per_s: tuple[int, ...] = ()
    room_bytes: int | None = None
    rows: int | None = None
    row_bytes: int = 500
    bandwidth_bytes_per_s: int = 25_000_000
    interval_s: Fraction = Fraction(60)

    @property
    def backlog_hints(self) -> int:
        """Over all coordinators."""
        return formulas.backlog_hints(self.writes_per_s, self.outage_s)

    @property
    def backlog_bytes(self) -> int:
        """Over all coordinators."""
        return formulas.backlog_bytes(self.backlog_hints, self.hint_bytes)

    @property
    def hints_each(self) -> int:
        """On each coordinator."""
        return -(-self.backlog_hints // self.coordinators)

    @property
    def bytes_each(self) -> int:
        """On each coordinator."""
        return formulas.backlog_bytes(self.hints_each, self.hint_bytes)

    @property
    def cases(self) -> tuple[tuple[int, Fraction | None], ...]:
        """Writes a second that still become hints, each with how long it takes to drain.

        If it is not said how many they are: none, and all.
        """
        asked = self.ongoing_per_s or (0, self.writes_per_s)
        return tuple(
            (ongoing, formulas.drain_s(self.backlog_hints, self.limit_per_s, ongoing)) for ongoing in asked
        )

    @property
    def oldest_s(self) -> Fraction:
        """The greatest age at delivery, if none expires."""
        return formulas.oldest_at_delivery_s(self.writes_per_s, self.outage_s, self.limit_per_s)

    @property
    def expired_hints(self) -> int:
        """Of those of the outage."""
        return formulas.expired_hints(self.writes_per_s, self.outage_s, self.limit_per_s, self.expiry_s)

    @property
    def limit_needed_per_s(self) -> int | None:
        """With which none expires; ``None`` if the outage alone is longer than the expiry."""
        if self.outage_s > self.expiry_s:
            return None
        return formulas.limit_needed_per_s(self.backlog_hints, self.expiry_s)

    @property
    def longest_outage_s(self) -> Fraction:
        """Of which none expires."""
        return formulas.longest_outage_s(self.writes_per_s, self.limit_per_s, self.expiry_s)

    @property
    def room_filled_s(self) -> Fraction | None:
        """The outage that fills the room, if there is a bound."""
        if self.room_bytes is None:
            return None
        whole = self.room_bytes * self.coordinators
        return formulas.outage_that_fills_s(whole, self.writes_per_s, self.hint_bytes)

    @property
    def fits(self) -> bool:
        """Whether each coordinator has the room."""
        return self.room_bytes is None or self.bytes_each <= self.room_bytes

    @property
    def must_give_up_s(self) -> Fraction:
        """The outage from which on hints are lost, by age or for want of room: anti-entropy has to run."""
        return min(item for item in (self.longest_outage_s, self.room_filled_s) if item is not None)

    @property
    def faster_from_s(self) -> Fraction | None:
        """The outage from which on anti-entropy is done sooner than the hints."""
        return formulas.faster_from_s(
            self.writes_per_s,
            self.limit_per_s,
            self.rows,
            self.row_bytes,
            self.bandwidth_bytes_per_s,
            self.interval_s,
        )

    @property
    def repair_s(self) -> Fraction:
        """Until anti-entropy has moved what the target missed."""
        return formulas.repair_s(
            self.backlog_hints, self.rows, self.row_bytes, self.bandwidth_bytes_per_s, self.interval_s
        )

    @property
    def full_copy_s(self) -> Fraction | None:
        """Until every row of the target is moved, if it is known how many there are."""
        if self.rows is None:
            return None
        return formulas.transfer_s(self.rows * self.row_bytes, self.bandwidth_bytes_per_s)

    @property
    def drains(self) -> bool:
        """Whether all of it fits, none expires and the last is delivered, in each case."""
        return self.fits and not self.expired_hints and all(took is not None for _, took in self.cases)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What does each node of a cluster hold?

    :ivar rows: as clients see them, without copies.
    :ivar shards: whole shards are placed; ``None``: rows are spread evenly.
    :ivar writes_per_s: in the whole cluster, if known.
    :ivar outage_s: of one node, whose hints the others keep, evenly.
    :ivar windows: sealed windows of a shard.
    """

    nodes: int
    factor: int
    rows: int
    row_bytes: int
    shards: int | None = None
    headroom_percent: int = 100
    writes_per_s: int | None = None
    outage_s: Fraction = Fraction(3 * 3_600)
    hint_bytes: int = 500
    windows: int = 720

    @property
    def row_copies(self) -> int:
        """Over all nodes."""
        return formulas.row_copies(self.rows, self.factor)

    @property
    def total_bytes(self) -> int:
        """Of all copies, without headroom."""
        return self.row_copies * self.row_bytes

    @property
    def shards_on_node(self) -> int | None:
        """On the fullest."""
        if self.shards is None:
            return None
        return formulas.shards_on_fullest_node(self.shards, self.factor, self.nodes)

    @property
    def rows_on_node(self) -> int:
        """On the fullest."""
        return self._rows_of(self.nodes)

    @property
    def rows_after_loss(self) -> int | None:
        """On the fullest, when a node is lost and its copies are made anew; ``None`` if there is no place."""
        return self._rows_of(self.nodes - 1) if self.nodes > self.factor else None

    def _rows_of(self, nodes: int) -> int:
        return formulas.rows_on_fullest_node(self.rows, self.shards or self.rows, self.factor, nodes)

    @property
    def data_bytes(self) -> int:
        """On the fullest node."""
        return self.rows_on_node * self.row_bytes

    @property
    def hint_log_bytes(self) -> int:
        """On each node, for one other node's outage; 0 if the writes are not known or there is no other."""
        if self.writes_per_s is None or self.nodes == 1:
            return 0
        missed = formulas.missed_per_s(self.writes_per_s, self.factor, self.nodes)
        hints = formulas.backlog_hints(missed, self.outage_s)
        return formulas.backlog_bytes(-(-hints // (self.nodes - 1)), self.hint_bytes)

    @property
    def disk_bytes(self) -> int:
        """Of the fullest node, with headroom and hints."""
        return self._disk(self.rows_on_node)

    @property
    def disk_after_loss_bytes(self) -> int | None:
        """The same when a node is lost."""
        return None if self.rows_after_loss is None else self._disk(self.rows_after_loss)

    def _disk(self, rows: int) -> int:
        return formulas.disk_bytes(rows, self.row_bytes, self.headroom_percent, self.hint_log_bytes)

    @property
    def windows_on_node(self) -> int:
        """Sealed windows; of one shard if shards are not counted."""
        return (self.shards_on_node or 1) * self.windows

    @property
    def forest_bytes(self) -> int:
        """Memory of the fullest node's forest if every leaf is resident, by the bound that we build to."""
        return formulas.forest_bytes(self.rows_on_node, self.windows_on_node, RESIDENT_BYTES, WINDOW_BYTES)

    @property
    def published_forest_bytes(self) -> int:
        """The same with the published 48 bytes a row."""
        return formulas.forest_bytes(self.rows_on_node, self.windows_on_node, LEAF_BYTES, WINDOW_BYTES)

    @property
    def active_rows(self) -> int | None:
        """Of the fullest node, in windows that are not sealed, if every write is a new row."""
        if self.writes_per_s is None:
            return None
        share = Fraction(self.factor, self.nodes)
        if self.shards is not None:
            share = Fraction(
                formulas.shards_on_fullest_node(self.shards, self.factor, self.nodes), self.shards
            )
        return min(self.rows_on_node, formulas.active_rows(self.writes_per_s * share, WINDOW_S, GRACE_S))

    @property
    def active_forest_bytes(self) -> int | None:
        """Memory if only those are resident, and the roots of the sealed windows."""
        if self.active_rows is None:
            return None
        return formulas.forest_bytes(self.active_rows, self.windows_on_node, RESIDENT_BYTES, WINDOW_BYTES)


def figures(item: Hints | Cluster) -> dict[str, object]:
    """Every answer by name, for JSON: its properties, fractions as floating point numbers."""
    names = [name for name, found in vars(type(item)).items() if isinstance(found, property)]
    return {name: _plain(getattr(item, name)) for name in names}


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    return value
