"""What anti-entropy costs: equal windows compared, bytes and round trips of a repair, a minute of it all.

    python tests/bench/bench_merkle_forest_exchange.py [--quick] [--rows ROWS] [--curve] [--json FILE]

"a compare": three replicas whose 720 windows are the same exchange, each two of them; with snapshots, and
with messages written to bytes and read. Nothing differs, so nothing but digests of windows is told.

"a repair": 1,000 rows of 500 bytes are missing at the replica that drives, or were overwritten where it did
not hear of it: their old entries are in any windows, their new ones in any later ones. Counted are the bytes
of all messages in both directions but for keys, versions and values of the rows that were moved; round trips;
and the time of both sides. --curve counts from 1 to 100,000 rows, and prints that as JSON.

"a minute": on each of three replicas 60,000 writes in a minute, half of which overwrite any of ROWS rows, of
which one in a thousand is missed by one replica; the stable time rises each second; at the end each two
replicas exchange. It is given as per cent of a core: processor seconds by 60. What holds the rows is not
counted.

ROWS is 1,000,000 by default, 100,000 with --quick, in 720 windows of an hour. Times are those of the
processor; of a compare the median over rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from scratchbird.merkle_forest import ForestCore, Shape, WindowTree, entries_of, entry_of, trees_of
from scratchbird.merkle_forest_exchange import (
    Amended,
    Ask,
    Begin,
    Bounds,
    Deliver,
    ExchangeAnswerer,
    ExchangeDriver,
    Give,
    Hashed,
    Message,
    Row,
    Rows,
    Succeeded,
)
from scratchbird.quorum import Held

WINDOWS = 720
SHAPE = Shape()
FIRST_MS = 480_000 * SHAPE.window_ms
"""A window of 2024: versions have the size of real ones."""
NODES = 3
"""That make versions."""
VALUE = b"v" * 500
KEYS_AT_ONCE = 1_000
CURVE = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
DIFFER = 1_000
SECONDS, WRITES, MISSED = 60, 1_000, 1_000
"""Of a minute; writes a second; one in so many is missed."""
MISSING, OVERWRITTEN = "missing", "overwritten"
MOST = {MISSING: 450_000, OVERWRITTEN: 900_000}
"""Bytes beyond the rows that 1,000 of a million may cost."""
MOST_TRIPS, MOST_COMPARE_NS = 8, 1_000_000


def key_of(number: int) -> bytes:
    return number.to_bytes(8, "big")


def version_of(dice: Random, window: int) -> int:
    """A new one of that window."""
    return version_at(dice, FIRST_MS + window * SHAPE.window_ms + dice.randrange(SHAPE.window_ms))


def version_at(dice: Random, ms: int) -> int:
    """As a clock makes it, whose counter is 0."""
    return ms << 80 | 8 << 76 | 2 << 62 | dice.randrange(1, NODES + 1) << 46 | dice.getrandbits(46)


@dataclass
class Base:
    """What the replicas have in common."""

    versions: bytes
    """16 bytes of each row."""
    trees: dict[int, WindowTree]
    told: dict[int, bytes]

    def version(self, row: int) -> int:
        return int.from_bytes(self.versions[16 * row : 16 * row + 16], "big")

    def forest(self, trees: dict[int, WindowTree] | None = None, dirty: Iterable[int] = ()) -> ForestCore:
        """A replica's own, at the end of the last window."""
        own = {window: tree.clone() for window, tree in (trees or self.trees).items()}
        stable = (FIRST_MS + WINDOWS * SHAPE.window_ms) << 80
        return ForestCore(SHAPE, stable=stable, trees=own, told=self.told, dirty=dirty)


def base_of(rows: int) -> Base:
    dice = Random(rows)
    versions, records = bytearray(), bytearray()
    for first in range(0, rows, KEYS_AT_ONCE):
        numbers = range(first, min(rows, first + KEYS_AT_ONCE))
        some = b"".join(version_of(dice, dice.randrange(WINDOWS)).to_bytes(16, "big") for _ in numbers)
        records += entries_of([key_of(number) for number in numbers], some, [VALUE] * len(numbers))
        versions += some
    trees = trees_of(SHAPE, records)
    told = {window: tree.window_digest() for window, tree in trees.items()}
    return Base(bytes(versions), trees, told)


class Store:
    """Rows that an exchange may ask for. It is no part of what is measured, and keeps no others."""

    closed = 0

    def __init__(self, forest: ForestCore, rows: Iterable[Row] = ()) -> None:
        self.forest = forest
        self.rows = {row.place: row for row in rows}

    def versions(self, places: bytes) -> bytes:
        rows = [self.rows.get(places[start : start + 16]) for start in range(0, len(places), 16)]
        return b"".join((0 if row is None else row.held.version).to_bytes(16, "big") for row in rows)

    def held(self, places: bytes) -> list[Row | None]:
        return [self.rows.get(places[start : start + 16]) for start in range(0, len(places), 16)]

    def merge(self, rows: list[Row]) -> set[int]:
        dirty: set[int] = set()
        records = entries_of(
            [row.key for row in rows], [row.held.version for row in rows], [row.held.value for row in rows]
        )
        for number, row in enumerate(rows):
            before = self.rows.get(row.place)
            self.rows[row.place] = row
            record = bytes(records[48 * number : 48 * number + 48])
            dirty.update(self.forest.follow(record, 0 if before is None else before.held.version))
        return dirty


def row_of(number: int, version: int, value: bytes = VALUE) -> tuple[bytes, Row]:
    """Its record, and how it is held."""
    record = entry_of(key_of(number), version, value)
    return record, Row(record[:16], key_of(number), Held(version, value))


@dataclass
class Cost:
    """What an exchange moved, and how long both sides took."""

    size: int = 0
    """Bytes beyond the rows."""
    round_trips: int = 0
    messages: int = 0
    rows: int = 0
    longest: int = 0
    """Bytes of the longest message, rows and all."""
    ns: int = 0


def exchange(one: Store, two: Store, bounds: Bounds | None = None) -> Cost:
    """All of it, with messages as bytes; it succeeds."""
    cost = Cost()
    driver = ExchangeDriver(one.forest, one, bounds)
    answerer = ExchangeAnswerer(two.forest, two, bounds)
    began = time.thread_time_ns()
    effect: Any = driver.step(Begin(1, 2))[-1]
    while isinstance(effect, Ask):
        question = effect.question.to_bytes()
        *early, tell = answerer.step(Message.from_bytes(question))  # type: ignore[arg-type]  # It is a question.
        answer = tell.reply.to_bytes()  # type: ignore[union-attr]  # The last effect tells.
        reply = Message.from_bytes(answer)
        *before, effect = driver.step(Deliver(reply))
        assert all(isinstance(each, Amended | Hashed) for each in (*early, *before))
        cost.round_trips += 1
        cost.messages += 2
        cost.size += len(question) + len(answer) - carried(effect_of(question)) - carried(reply)
        cost.longest = max(cost.longest, len(question), len(answer))
    cost.ns = time.thread_time_ns() - began
    assert isinstance(effect, Succeeded), effect
    cost.rows = effect.moved
    return cost


def effect_of(packed: bytes) -> Message | None:
    """A question that may carry rows."""
    return Message.from_bytes(packed) if packed[1] == 10 else None


def carried(message: Message | None) -> int:
    """Bytes of the rows in a message: key, version and value of each."""
    rows: list[Row | None] = []
    if isinstance(message, Rows):
        rows = list(message.rows)
    elif isinstance(message, Give):
        rows = [row for _, row in message.given]
    return sum(len(row.key) + 16 + len(row.held.value or b"") for row in rows if row is not None)


# --- repairs ----------------------------------------------------------------------------------------------


def repair(base: Base, rows: int, differ: int, kind: str) -> Cost:
    """The side that drives lacks so many rows, or what they were overwritten with."""
    dice = Random(differ)
    mine, theirs = dict(base.trees), dict(base.trees)
    have: list[Row] = []
    news: list[Row] = []
    changed: dict[str, dict[int, WindowTree]] = {"mine": {}, "theirs": {}}

    def amended(name: str, trees: dict[int, WindowTree], window: int) -> WindowTree:
        if window not in changed[name]:
            changed[name][window] = trees[window] = trees[window].clone()
        return trees[window]

    for number in dice.sample(range(rows), differ):
        _, row = row_of(number, base.version(number))
        window = SHAPE.window_of(row.held.version)
        if kind == MISSING:
            amended("mine", mine, window).remove(row.place)
            news.append(row)
            continue
        have.append(row)
        amended("theirs", theirs, window).remove(row.place)
        later = 480_000 + dice.randrange(window - 480_000, WINDOWS)
        newer = max(version_of(dice, later - 480_000), row.held.version + 1)
        new, row = row_of(number, newer, b"w" * 500)
        amended("theirs", theirs, SHAPE.window_of(newer)).put(new)
        news.append(row)
    one = Store(base.forest(mine, changed["mine"]), have)
    two = Store(base.forest(theirs, changed["theirs"]), news)
    for store in (one, two):
        store.forest.clean()
    cost = exchange(one, two)
    assert cost.rows == differ
    assert one.forest.snapshot().told() == two.forest.snapshot().told()
    return cost


# --- equal windows ----------------------------------------------------------------------------------------


def compare(base: Base, rounds: int) -> list[int]:
    """Nanoseconds in which three replicas compare each two of them, one figure a round."""
    stores = [Store(base.forest()) for _ in range(3)]
    figures = []
    for _ in range(rounds + 1):
        costs = [exchange(stores[one], stores[two]) for one, two in ((0, 1), (1, 2), (2, 0))]
        assert not any(cost.rows for cost in costs)
        figures.append(sum(cost.ns for cost in costs))
    return figures[1:]


# --- a minute ---------------------------------------------------------------------------------------------


@dataclass
class Minute:
    """Processor seconds of a minute."""

    writes: float = 0
    """Of all three replicas: entries hashed, put in, and shown."""
    hashing: float = 0
    """Of all three: dirty windows."""
    exchanges: float = 0
    """Of three exchanges, both sides."""
    rows: int = 0
    """Moved."""

    @property
    def percent(self) -> float:
        """Of a core, for all three replicas together."""
        return 100 * (self.writes + self.hashing + self.exchanges) / SECONDS


def minute(base: Base, rows: int) -> Minute:
    dice = Random(7)
    stores = [Store(base.forest()) for _ in range(3)]
    result, written = Minute(), 0
    start = FIRST_MS + WINDOWS * SHAPE.window_ms
    held: dict[int, int] = {}
    for second in range(SECONDS):
        keys, versions, before, missed = [], [], [], []
        for number in range(WRITES):
            written += 1
            row = dice.randrange(rows) if number % 2 else rows + written
            version = version_at(dice, start + second * 1_000 + number)
            before.append(held.get(row, base.version(row) if row < rows else 0))
            held[row] = version
            keys.append(key_of(row))
            versions.append(version)
            missed.append(dice.randrange(3) if dice.randrange(MISSED) == 0 else None)
        values = [VALUE] * WRITES
        for name, store in enumerate(stores):
            began = time.thread_time_ns()
            records = entries_of(keys, versions, values)
            result.writes += (time.thread_time_ns() - began) / 1e9
            ready = []
            for number in range(WRITES):
                place = bytes(records[48 * number : 48 * number + 16])
                known = store.rows.get(place)
                if missed[number] == name:
                    if known is None and before[number]:
                        store.rows[place] = Row(place, keys[number], Held(before[number], VALUE))
                    continue
                was = known.held.version if known is not None else before[number]
                store.rows[place] = Row(place, keys[number], Held(versions[number], VALUE))
                ready.append((bytes(records[48 * number : 48 * number + 48]), was))
            began = time.thread_time_ns()
            for record, was in ready:
                store.forest.follow(record, was)
            store.forest.advance((start + second * 1_000 - 5_000) << 80)
            result.writes += (time.thread_time_ns() - began) / 1e9
    began = time.thread_time_ns()
    for store in stores:
        store.forest.advance((start + SECONDS * 1_000) << 80)
        store.forest.clean()
    result.hashing = (time.thread_time_ns() - began) / 1e9
    for one, two in ((0, 1), (1, 2), (2, 0)):
        cost = exchange(stores[one], stores[two])
        result.exchanges += cost.ns / 1e9
        result.rows += cost.rows
    return result


# --- telling ----------------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What was measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
    }


def met(value: float, most: float) -> str:
    return "met" if value <= most else "MISSED"


def curve(base: Base, rows: int) -> dict[str, Any]:
    """Costs by how many rows differ, of both kinds."""
    return {
        kind: [
            {"differ": differ, **asdict(repair(base, rows, differ, kind))}
            for differ in CURVE
            if differ < rows
        ]
        for kind in (MISSING, OVERWRITTEN)
    }


def told(rows: int, compared: list[int], repairs: dict[str, Cost], whole: Minute) -> Iterator[str]:
    median = statistics.median(compared)
    yield (
        f"{WINDOWS} equal windows at three replicas, each two: {median / 1e6:.2f} ms (at most 1: "
        f"{met(median, MOST_COMPARE_NS)})"
    )
    for kind, cost in repairs.items():
        yield (
            f"{DIFFER:,} of {rows:,} rows {kind}: {cost.size / 1e3:,.0f} KB beyond the rows (at most "
            f"{MOST[kind] / 1e3:.0f}: {met(cost.size, MOST[kind])}), {cost.round_trips} round trips (at most "
            f"{MOST_TRIPS}: {met(cost.round_trips, MOST_TRIPS)}), {cost.ns / 1e6:.1f} ms of both sides"
        )
    yield (
        f"a minute of {WRITES:,} writes a second at three replicas: writes {whole.writes:.2f} s, hashing "
        f"{whole.hashing:.2f} s, three exchanges {whole.exchanges:.2f} s ({whole.rows} rows moved): "
        f"{whole.percent:.2f} % of a core, {whole.percent / 3:.2f} % each"
    )


def main(arguments: list[str] | None = None) -> int:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=summary, epilog=rest.rpartition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="few rounds, and 100,000 rows")
    parser.add_argument("--rows", metavar="ROWS", type=int, help="rows that a replica holds")
    parser.add_argument("--curve", action="store_true", help="count from 1 to 100,000 rows, as JSON, alone")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(arguments)
    if options.rows is not None and options.rows < 10_000:
        parser.error(f"--rows {options.rows}: at least 10000, or too few can differ")
    if options.json is not None and not options.json.resolve().parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.resolve().parent} does not exist")
    rows = options.rows or (100_000 if options.quick else 1_000_000)
    gc.collect()
    gc.disable()
    base = base_of(rows)
    if options.curve:
        points = {"machine": machine(), "rows": rows, "windows": WINDOWS, **curve(base, rows)}
        print(json.dumps(points, indent=1))
        if options.json is not None:
            options.json.write_text(json.dumps(points, indent=1) + "\n")
        return 0
    rounds = 21 if options.quick else 101
    compared = compare(base, rounds)
    repairs = {kind: repair(base, rows, DIFFER, kind) for kind in (MISSING, OVERWRITTEN)}
    whole = minute(base, rows)
    described = machine()
    command = "python tests/bench/bench_merkle_forest_exchange.py" + " --quick" * options.quick
    lines = [
        ", ".join(f"{name} {value}" for name, value in described.items()),
        f"{rows:,} rows; median of {rounds} compares, one repair of each kind, one minute.",
        f"Again: {command}" + (f" --rows {options.rows}" if options.rows else ""),
        "",
    ]
    print("\n".join([*lines, *told(rows, compared, repairs, whole)]))
    if options.json is not None:
        report = {
            "machine": described,
            "rows": rows,
            "compare_ns": compared,
            "repairs": {kind: asdict(cost) for kind, cost in repairs.items()},
            "minute": asdict(whole) | {"percent": whole.percent},
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
