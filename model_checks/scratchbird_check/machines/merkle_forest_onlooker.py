"""The onlooker of the forest's state machine: it sees rows, entries and digests of all replicas, and demands

- ``entries``: an entry is a version of its row that was written, at most the stable time, with the digest of
what was   written; where the row is held at most at the stable time it is that one, unless it is purged
(MERKLE_FOREST.R1, R8), - ``stays``: an entry goes only for a newer one, or where a floor takes it out
(MERKLE_FOREST.R1, R8), - ``past``: who settles shows no tombstone at or below the floor, and no entry there
whose row it holds newer; and   nothing at or below its floor comes back (MERKLE_FOREST.R8, R14),
- ``lag``: a window whose digest is not that of its entries is dirty (MERKLE_FOREST.R10),
- ``told``: after it was hashed, a window's digest is that of a tree freshly built from its entries in another
order,   and two replicas' digests are the same exactly where their entries are (MERKLE_FOREST.R4, R5),
- ``counted``: a sealed window that changed has one amendment more (MERKLE_FOREST.R9),
- ``kept``: a replica never goes back to an older version (HANDOFF.R10),
- ``settings``: an exchange of two settings never succeeds (MERKLE_FOREST.R7),
- ``sound``: no exchange takes a window for damaged (MERKLE_FOREST.R19),
- ``healthy``: where all took all writes an exchange moves nothing (MERKLE_FOREST.R1),
- ``through``: after an exchange at T that succeeded each side has what the other one held and showed at or
below T when   it began (MERKLE_FOREST.R17),
- ``again``: after an exchange that nothing disturbed both show the same above their floor
(MERKLE_FOREST.R14), - ``end``: when no new versions come, all hold and show the same, and exchanges move
nothing (MERKLE_FOREST.R18).
It computes nothing by the rules of an exchange: a dictionary of what was written, and what each replica
holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scratchbird_check.machines.merkle_forest_sides import RULES, Ended, Side, Written, place_of
from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_reference.merkle_forest import MS_SHIFT, Shape
from scratchbird_reference.quorum_messages import Held

PROMISES = (
    "entries", "stays", "lag", "told", "counted", "kept", "settings", "sound", "healthy", "through", "end",
    "past", "again",
)  # fmt: skip


@dataclass(slots=True)
class _Seen:
    """What was seen of a replica when it was looked at last."""

    entries: dict[bytes, bytes] = field(default_factory=dict)
    rows: dict[int, Written] = field(default_factory=dict)
    amendments: dict[int, int] = field(default_factory=dict)
    sealed: frozenset[int] = frozenset()
    shape: Shape = field(default_factory=Shape)
    floor: int = 0
    dirty: frozenset[int] = frozenset()


class Onlooker:
    """Judges what is seen; with ``demanded`` only these promises."""

    def __init__(self, demanded: Sequence[str], grace_ms: int, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._demanded = frozenset(demanded)
        self._grace_ms = grace_ms
        self._records: dict[tuple[int, int], bytes] = {}
        """By row and version: the entry."""
        self._row_at: dict[bytes, int] = {}
        self._seen: dict[int, _Seen] = {}

    def demand(self, promise: str, holds: bool, sentence: str) -> None:
        """:raises PromiseBrokenError: if it does not hold, and is judged."""
        if not holds and (not self._demanded or promise in self._demanded):
            self._failed()
            raise PromiseBrokenError(promise, sentence)

    def written(self, row: int, written: Written) -> None:
        """A client wrote this."""
        self._row_at[place_of(row)] = row
        self._records[row, written[0]] = RULES.entry_of(row, Held(*written)).record

    def row_at(self, place: bytes) -> int:
        """The row of a place; −1 if nobody wrote it."""
        return self._row_at.get(place, -1)

    # --- one replica ----------------------------------------------------------------------------------------

    def look(self, side: Side) -> None:
        """What must hold of a replica in every state."""
        entries, rows, name = side.entries(), dict(side.rows()), f"r{side.name}"
        for place, record in entries.items():
            row, version = self._row_at.get(place, -1), int.from_bytes(record[16:32], "big")
            self.demand(
                "entries",
                self._records.get((row, version)) == record,
                f"{name} shows {record.hex()} of row {row}, which nobody wrote",
            )
            self.demand(
                "entries",
                version <= min(side.stable, effective(rows, row, side.floor)),
                f"{name} shows version {version:x} of row {row}: it is newer than what is held, or than S",
            )
        for row, (version, value) in rows.items():
            if version <= side.stable:
                purged = value is None and version <= side.floor
                there = entries.get(place_of(row))
                expected = None if purged else self._records[row, version]
                self.demand(
                    "entries", there == expected, f"{name} holds {version:x} of row {row}, and shows not that"
                )
        self._stays(side, entries, rows, name)
        self._windows(side, entries, name)

    def _stays(self, side: Side, entries: dict[bytes, bytes], rows: dict[int, Written], name: str) -> None:
        seen = self._seen.setdefault(side.name, _Seen(shape=side.shape))
        for place, old in seen.entries.items():
            new, version = entries.get(place), int.from_bytes(old[16:32], "big")
            gone = new is None and version <= side.floor
            self.demand(
                "stays",
                gone or (new is not None and new[16:] >= old[16:]),
                f"{name} showed version {version:x} of row {self._row_at[place]}, and does not any more",
            )
        for place, record in entries.items():
            version = int.from_bytes(record[16:32], "big")
            self.demand(
                "past",
                place in seen.entries or version > side.floor or seen.floor < side.floor,
                f"{name} has settled at {side.floor:x}, and shows version {version:x} of row "
                f"{self._row_at[place]} again",
            )
        seen.floor = side.floor
        for row in seen.rows:
            was, now = seen.rows[row][0], effective(rows, row, side.floor)
            self.demand("kept", now >= was, f"{name} went from version {was:x} of row {row} to {now:x}")
        seen.rows = rows

    def _windows(self, side: Side, entries: dict[bytes, bytes], name: str) -> None:
        seen = self._seen[side.name]
        now, told, dirty = by_window(side.shape, entries), side.told(), side.dirty()
        amended, same_shape = side.amendments(), seen.shape == side.shape
        was = by_window(side.shape, seen.entries)
        for window in now.keys() | was.keys() | told.keys():
            changed = now.get(window, frozenset()) != was.get(window, frozenset())
            if window in seen.sealed and changed and same_shape:
                more = amended.get(window, 0) > seen.amendments.get(window, 0)
                self.demand(
                    "counted", more, f"{name} changed its sealed window {window}, and counted nothing"
                )
            if window not in dirty and (changed or window in seen.dirty or not same_shape):
                self._fresh(side, window, now.get(window, frozenset()), told.get(window, b""), "lag")
        for window in amended:
            is_sealed = side.stable >> MS_SHIFT >= (window + 1) * side.shape.window_ms + self._grace_ms
            self.demand(
                "counted", is_sealed, f"{name} counts an amendment of window {window}, which is active"
            )
        seen.entries, seen.amendments, seen.shape = entries, amended, side.shape
        seen.dirty = dirty
        stable = side.stable >> MS_SHIFT
        ends = side.shape.window_ms, self._grace_ms
        seen.sealed = frozenset(w for w in now.keys() | was.keys() if stable >= (w + 1) * ends[0] + ends[1])

    def _fresh(self, side: Side, window: int, records: frozenset[bytes], told: bytes, promise: str) -> None:
        fresh = side.fresh_digest(window, sorted(records)) if records else b""
        self.demand(
            promise, told == fresh, f"r{side.name}: the digest of window {window} is not that of its entries"
        )

    def clean(self, side: Side) -> None:
        """A replica has hashed everything: no window is dirty, and each digest is that of its entries."""
        told, now = side.told(), by_window(side.shape, side.entries())
        self.demand(
            "told", not side.dirty(), f"r{side.name} has hashed all, and {sorted(side.dirty())} are dirty"
        )
        for window in told.keys() | now.keys():
            self._fresh(side, window, now.get(window, frozenset()), told.get(window, b""), "told")

    def settled(self, side: Side) -> None:
        """A replica has just settled."""
        rows = side.rows()
        for place, record in side.entries().items():
            row, version = self._row_at[place], int.from_bytes(record[16:32], "big")
            gone = record[-1] & 1 or rows[row][0] > version
            self.demand(
                "past",
                not gone or version > side.floor,
                f"r{side.name} settled, and shows version {version:x} of row {row}",
            )

    # --- two replicas ---------------------------------------------------------------------------------------

    def compare(self, one: Side, other: Side) -> None:
        """Of two that have hashed everything digests are the same exactly where entries are."""
        if one.shape != other.shape or one.dirty() or other.dirty():
            return
        here, there = (by_window(side.shape, side.entries()) for side in (one, other))
        told = one.told(), other.told()
        for window in here.keys() | there.keys():
            equal = here.get(window) == there.get(window)
            digests = told[0].get(window) == told[1].get(window)
            self.demand(
                "told",
                equal == digests,
                f"window {window} of r{one.name} and r{other.name}: entries and digests do not agree "
                f"on whether they differ",
            )

    def quiet(self, one: Side, other: Side) -> None:
        """An exchange succeeded, and nothing else happened meanwhile."""
        floor = min(one.floor, other.floor)
        shown = [
            {record for record in side.entries().values() if int.from_bytes(record[16:32], "big") > floor}
            for side in (one, other)
        ]
        self.demand(
            "again",
            shown[0] == shown[1],
            f"r{one.name} and r{other.name} have just exchanged, and show {len(shown[0] ^ shown[1])} entries "
            f"that are not the same",
        )

    def through(
        self, one: Side, other: Side, before: tuple[Mapping[int, Written], ...], ended: Ended
    ) -> None:
        """An exchange succeeded; ``before`` is what both held, and what both showed, when it was opened."""
        self.demand(
            "settings",
            one.shape == other.shape,
            f"an exchange of settings {one.shape} and {other.shape} succeeded",
        )
        for side in (one, other):
            rows = side.rows()
            for known in before:
                for row, (version, _) in known.items():
                    self.demand(
                        "through",
                        version > ended.stable or effective(rows, row, side.floor) >= version,
                        f"an exchange succeeded, and r{side.name} lacks version {version:x} of row {row}, "
                        f"which the other one had when it began",
                    )


def effective(rows: Mapping[int, Written], row: int, floor: int) -> int:
    """The version that a row counts as held in: absent is deleted at the floor (HANDOFF.R11)."""
    return rows[row][0] if row in rows else floor


def by_window(shape: Shape, entries: Mapping[bytes, bytes]) -> dict[int, frozenset[bytes]]:
    """The entries of each window."""
    found: dict[int, set[bytes]] = {}
    for record in entries.values():
        window = (int.from_bytes(record[16:32], "big") >> MS_SHIFT) // shape.window_ms
        found.setdefault(window, set()).add(record)
    return {window: frozenset(records) for window, records in found.items()}
