"""What sealed windows on disk cost: saving, opening, and an amendment for each row.

    python tests/bench/bench_forest_store.py [--quick] [--only PART] [--rows ROWS] [--folder FOLDER]
                                             [--json FILE]

All on a real disk, with made-up entries: nothing is hashed here. Each part prints the command that measures
it again; figures are medians over rounds in which all take turns, each with its quartiles.

"save": one window of ROWS entries (1,000,000 by default, 100,000 with --quick) is written, made durable and
put in its place; "bare" writes as many bytes to a plain file and syncs it.

"open": 720 windows of 1,389 entries. "heads" opens the store, which reads the head of each; "windows" opens
each of them, which verifies all blocks and maps the file; "read" reads the same files, from the cache of the
system as both others do.

"amend": groups of 1, 64 and 512 amendments, each group synced together, of one row each; "no sync" leaves the
syncs out and shows what the code alone takes; "bare" writes and syncs as many bytes to a plain file.

FOLDER is the current one by default: name one on the disk that is meant, not one in memory.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from scratchbird_node.files import Appending, Disk, DiskAppending
from scratchbird_node.forest_format import AMENDMENT, BATCH, levels_bytes, window_name
from scratchbird_node.forest_store import ForestStore
from scratchbird_node.forest_words import ENTRY_BYTES, PLACE_BYTES, Amendment, Settings

IDENTITY = bytes(32)
GROUPS = (1, 64, 512)
WINDOWS, ROWS_EACH = 720, 1389
ROOMY = Settings(max_log_bytes=1 << 40, max_open_windows=WINDOWS)


class NoSync(Disk):
    """The disk, without waiting for it."""

    def append_to(self, path: Path, *, new: bool) -> Appending:
        class Unsynced(DiskAppending):
            def sync(self, what: str) -> None:
                pass

        return Unsynced(path, new=new)

    def sync_folder(self, folder: Path, what: str) -> None:
        pass


def depth_of(rows: int) -> int:
    """The greatest d with 16**d <= rows / 6, at least 0."""
    depth = 0
    while 6 * 16 ** (depth + 1) <= rows:
        depth += 1
    return depth


def arrays(rows: int) -> tuple[bytes, bytes, bytes]:
    """Entries, node digests and a digest, all of random bytes."""
    chance = random.Random(rows)
    return chance.randbytes(rows * ENTRY_BYTES), chance.randbytes(levels_bytes(depth_of(rows))), bytes(32)


def take_turns(everybody: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each, one figure a round, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in everybody}
    for number in range(rounds + 1):
        for name, run in everybody.items():
            began = time.perf_counter()
            run()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def lines_of(seconds: dict[str, list[float]], base: str, unit: float, name: str) -> list[str]:
    row = "  {:<24} {:>12} {:>20} {:>10}".format
    lines = [row("", name, "quartiles", f"to {base.split(',')[0]}")]
    for each, figures in seconds.items():
        low, middle, high = statistics.quantiles(figures, n=4)
        ratio = statistics.median(figures) / statistics.median(seconds[base])
        lines.append(
            row(each, f"{middle * unit:,.1f}", f"{low * unit:,.1f} to {high * unit:,.1f}", f"{ratio:.2f}")
        )
    return lines


def bare(folder: Path, data: bytes) -> Callable[[], None]:
    """Write and sync so many bytes to a plain file that takes the place of the last one."""

    def run() -> None:
        path = folder / "plain"
        path.unlink(missing_ok=True)
        file = Disk().append_to(path, new=True)
        file.append(data)
        file.sync("bytes")
        file.close()

    return run


def save(folder: Path, rows: int, rounds: int) -> tuple[list[str], dict[str, list[float]]]:
    entries, levels, digest = arrays(rows)
    with ForestStore(folder, IDENTITY, ROOMY) as store:

        def run() -> None:
            if not store.save(store.mark(1), entries, levels, digest):
                raise SystemExit("the window was not saved")

        run()
        size = (folder / window_name(1)).stat().st_size
        seconds = take_turns({"save": run, "bare": bare(folder, bytes(size))}, rounds)
    lines = [f"one window of {rows:,} entries, {size:,} bytes, {size / rows:.2f} an entry"]
    return lines + lines_of(seconds, "bare", 1e3, "ms"), seconds


def open_all(folder: Path, rounds: int) -> tuple[list[str], dict[str, list[float]]]:
    with ForestStore(folder, IDENTITY, ROOMY, files=NoSync()) as store:
        content = arrays(ROWS_EACH)
        for window in range(WINDOWS):
            store.save(store.mark(window), *content)
    os.sync()

    stores = [ForestStore(folder, IDENTITY, ROOMY)]

    def heads() -> None:
        stores.pop().close()
        stores.append(ForestStore(folder, IDENTITY, ROOMY))

    def read() -> None:
        for window in range(WINDOWS):
            (folder / window_name(window)).read_bytes()

    def windows() -> None:
        opened = [stores[0].open(window) for window in range(WINDOWS)]
        for each in opened:
            each.close()

    seconds = take_turns({"heads": heads, "windows": windows, "read": read}, rounds)
    stores.pop().close()
    lines = [f"{WINDOWS} windows of {ROWS_EACH:,} entries"]
    return lines + lines_of(seconds, "read", 1e3, "ms"), seconds


def amend(folder: Path, rounds: int) -> tuple[list[str], dict[str, list[float]]]:
    lines, all_seconds = [], dict[str, list[float]]()
    chance = random.Random(1)
    for count in GROUPS:
        everybody: dict[str, Callable[[], None]] = {}
        stores = []
        for name, files in (("store", Disk()), ("store, no sync", NoSync())):
            place = folder / f"{name}-{count}"
            place.mkdir()
            store = ForestStore(place, IDENTITY, ROOMY, files=files)
            store.save(store.mark(1), b"", b"", b"")
            stores.append(store)
            everybody[name] = amending(store, [chance.randbytes(ENTRY_BYTES) for _ in range(count)])
        file = Disk().append_to(folder / f"bare-{count}", new=True)
        data = bytes(count * (BATCH.size + AMENDMENT.size))

        def append(file: Appending = file, data: bytes = data) -> None:
            file.append(data)
            file.sync("bytes")

        everybody["bare"] = append
        seconds = take_turns(everybody, rounds)
        lines += [f"groups of {count}, {len(data):,} bytes", *lines_of(seconds, "bare", 1e6, "us a group")]
        all_seconds |= {f"{name} {count}": figures for name, figures in seconds.items()}
        for store in stores:
            store.close()
        file.close()
    return lines, all_seconds


def amending(store: ForestStore, entries: list[bytes]) -> Callable[[], None]:
    def run() -> None:
        for entry in entries:
            group = store.append([Amendment(1, entry[:PLACE_BYTES], entry)])
        store.sync(group)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer rows and rounds")
    parser.add_argument("--only", choices=("save", "open", "amend"), help="one part")
    parser.add_argument("--rows", type=int, help="entries of the window that is saved")
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where the files go, for a while")
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    rows = options.rows or (100_000 if options.quick else 1_000_000)
    rounds = 5 if options.quick else 15
    parts: dict[str, Callable[[Path], tuple[list[str], dict[str, list[float]]]]] = {
        "save": lambda folder: save(folder, rows, rounds),
        "open": lambda folder: open_all(folder, rounds),
        "amend": lambda folder: amend(folder, 20 * rounds),
    }
    figures = {}
    print("Sealed windows of a Merkle forest on disk")
    for name, part in parts.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="forest-", dir=options.folder) as folder:
                lines, figures[name] = part(Path(folder))
            print(f"\n{name}: python tests/bench/bench_forest_store.py --only {name}")
            print("\n".join(lines))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "seconds": figures}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
