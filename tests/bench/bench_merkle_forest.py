"""What a forest costs: to build it, beside the bare hash of the same rows; its memory; late rows; writes.

    python tests/bench/bench_merkle_forest.py [--quick] [--grow] [--plot FILE] [--rows ROWS] [--json FILE]

"build": ROWS rows of 500 bytes, from their keys, versions and values to the digest of the tree, in one window
and in 720; beside it SHA-256 of the values alone, in C through libcrypto, and pymerkle, which is given fewer
rows: its figure is for each of those. Both hash the same chunks of rows, in turns, on one thread.

"a late row": one row into a sealed window of ROWS, and the digest of the window after it; the mean over
thousands, so that the merges of amendments into the base are in it. "in batches": a digest after 256 rows.

"a write": of a row of a forest of 720 windows, whose newer version waits, until the stable time reaches it;
the windows that changed are hashed after 1,000 rows.

Memory is the growth of the resident set of a process that makes the trees, by their rows. ROWS is 1,000,000
by default, 100,000 with --quick; --grow measures ten times as many as well, once, and --plot a tenth too: it
draws what a row costs in all three. Times are those of the processor, medians over rounds. The bare hash
needs a C compiler and the headers of OpenSSL 3.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from scratchbird.merkle_forest import ForestCore, Shape, WindowTree, entries_of, trees_of
from scratchbird_check.report.plot import Curve, Plot, draw

VALUE_BYTES = 500
WINDOWS = 720
CHUNK = 50_000
"""Rows that are there with their values at a time: what they take does not grow with ROWS."""
FEW = 20_000
"""Rows that pymerkle is given."""
BATCH = 256
SHAPE = Shape()
FIRST_WINDOW = 480_000
STEP = SHAPE.window_ms << 80
FIRST = FIRST_WINDOW * STEP
BARE_HASH = """
#include <openssl/evp.h>
int bare_hash(const unsigned char **values, long count, long size, unsigned char *into) {
    EVP_MD *sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    int fine = sha256 != NULL && context != NULL && EVP_DigestInit_ex2(context, sha256, NULL);
    for (long i = 0; fine && i < count; i++)
        fine = EVP_DigestInit_ex2(context, NULL, NULL) && EVP_DigestUpdate(context, values[i], size)
            && EVP_DigestFinal_ex(context, into, NULL);
    EVP_MD_CTX_free(context);
    EVP_MD_free(sha256);
    return fine;
}
"""


@dataclass
class Figure:
    """What was measured, and what it is meant to be."""

    name: str
    value: float
    unit: str
    target: float | None = None
    is_least: bool = False
    """Whether the target is the least that it should be, and not the most."""

    @property
    def is_met(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.is_least else self.value <= self.target


# --- building ---------------------------------------------------------------------------------------------


@dataclass
class Rows:
    """Some rows with their values, in two forms."""

    keys: list[bytes]
    versions: bytes
    values: list[bytes]
    pointers: Any


def rows_of(first: int, count: int, windows: int, dice: random.Random) -> Rows:
    """These rows; each goes to one of the windows."""
    keys = [number.to_bytes(8, "big") for number in range(first, first + count)]
    versions = b"".join(
        (FIRST + number % windows * STEP + number).to_bytes(16, "big")
        for number in range(first, first + count)
    )
    values = [dice.randbytes(VALUE_BYTES) for _ in keys]
    return Rows(keys, versions, values, (ctypes.c_char_p * count)(*values))


def bare_hash() -> Callable[[Rows], object] | None:
    """SHA-256 of values in C; ``None`` if it can not be compiled."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "bare.c", Path(folder) / "bare.so"
        source.write_text(BARE_HASH)
        command = [compiler, "-O3", "-shared", "-fPIC", str(source), "-o", str(library), "-lcrypto"]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return None
        compiled = ctypes.CDLL(str(library))
    compiled.bare_hash.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_char_p]
    into = ctypes.create_string_buffer(32)

    def run(rows: Rows) -> None:
        if not compiled.bare_hash(rows.pointers, len(rows.values), VALUE_BYTES, into):
            raise RuntimeError("libcrypto refused to hash with SHA-256")

    return run


def spent(act: Callable[[], object]) -> int:
    """Nanoseconds of the processor."""
    began = time.thread_time_ns()
    act()
    return time.thread_time_ns() - began


@dataclass
class Built:
    """Nanoseconds a row, in one round."""

    bare: float | None
    hashing: float
    sorting: float
    digests: float

    @property
    def total(self) -> float:
        return self.hashing + self.sorting + self.digests


def build_round(rows: int, windows: int, bare: Callable[[Rows], object] | None, seed: int) -> Built:
    """Build a forest once. Values are made in chunks, outside of the time that is taken."""
    dice, records = random.Random(seed), bytearray()
    bare_ns = hashing = 0
    for first in range(0, rows, CHUNK):
        chunk = rows_of(first, min(CHUNK, rows - first), windows, dice)
        if bare is not None and first // CHUNK % 2:  # In turns the first one, for whom less is in the caches.
            bare_ns += spent(lambda chunk=chunk: bare(chunk))  # type: ignore[misc]  # The default is the chunk.
        began = time.thread_time_ns()
        some = entries_of(chunk.keys, chunk.versions, chunk.values)
        hashing += time.thread_time_ns() - began
        records += some
        if bare is not None and not first // CHUNK % 2:
            bare_ns += spent(lambda chunk=chunk: bare(chunk))  # type: ignore[misc]  # The default is the chunk.
    made: dict[int, WindowTree] = {}

    def sort() -> None:
        if windows == 1:
            made[0] = WindowTree(SHAPE, FIRST_WINDOW, records)
        else:
            made.update(trees_of(SHAPE, records))

    sorting = spent(sort)
    digests = spent(lambda: [tree.digest() for tree in made.values()])
    return Built(bare_ns / rows if bare is not None else None, hashing / rows, sorting / rows, digests / rows)


def pymerkle_us() -> float | None:
    """Microseconds a row of pymerkle; ``None`` if it is not installed."""
    try:
        kind = import_module("pymerkle").InmemoryTree
    except ImportError:
        return None
    tree, dice = kind(algorithm="sha256"), random.Random(0)
    values = [dice.randbytes(VALUE_BYTES) for _ in range(FEW)]

    def build() -> None:
        for value in values:
            tree.append_entry(value)
        tree.get_root()

    return spent(build) / FEW / 1e3


def building(rows: int, rounds: int) -> Iterator[Figure]:
    bare = bare_hash()
    for windows in (1, WINDOWS):
        built = [build_round(rows, windows, bare, seed) for seed in range(rounds)]
        where = f"build, {rows:,} rows in {windows} window{'s' * (windows > 1)}"
        for part in ("hashing", "sorting", "digests", "total"):
            yield Figure(
                f"{where}: {part}", statistics.median(getattr(one, part) for one in built), "ns a row"
            )
        if bare is not None:
            alone = statistics.median(one.bare or 0.0 for one in built)
            yield Figure(f"{where}: bare hash of the values", alone, "ns a row")
            ratio = statistics.median((one.bare or 0.0) / one.total for one in built)
            yield Figure(f"{where}: speed, of the bare hash", ratio, "x", 0.5, is_least=True)
    them = pymerkle_us()
    if them is not None:
        yield Figure(f"build, pymerkle {metadata.version('pymerkle')}, {FEW:,} rows", them, "us a row")


# --- late rows --------------------------------------------------------------------------------------------


def random_records(count: int, seed: int, version: int = FIRST) -> bytearray:
    """Entries at random places: as if rows had been hashed."""
    dice = random.Random(seed)
    at, records = version.to_bytes(16, "big"), bytearray()
    for _ in range(0, count, CHUNK):
        noise = dice.randbytes(32 * CHUNK)
        records += b"".join(
            noise[start : start + 16] + at + noise[start + 16 : start + 32]
            for start in range(0, len(noise), 32)
        )
    return records[: 48 * count]


def late_rows(rows: int, rounds: int) -> Iterator[Figure]:
    start = random_records(rows, 1)
    # All rows are copied when what came since is more than a 64th of them, at least 4,096, and 1,024 more. So
    # many make that happen twice, the second time near the end.
    count = 2 * (max(4_096, rows // 64) + 1_024) + 2_048
    each, batched, hashes = [], [], []
    for number in range(rounds):
        tree = WindowTree(SHAPE, FIRST_WINDOW, start)
        tree.digest()
        some = random_records(2 * count, 2 + number)
        late = [bytes(some[start : start + 48]) for start in range(0, len(some), 48)]
        before = tree.hashes

        def one_by_one(tree: WindowTree = tree, late: list[bytes] = late[:count]) -> None:
            for record in late:
                tree.put(record)
                tree.digest()

        def in_batches(tree: WindowTree = tree, late: list[bytes] = late[count:]) -> None:
            for first in range(0, count, BATCH):
                for record in late[first : first + BATCH]:
                    tree.put(record)
                tree.digest()

        each.append(spent(one_by_one) / count / 1e3)
        hashes.append((tree.hashes - before) / count)
        batched.append(spent(in_batches) / count / 1e3)
    where = f"a late row, window of {rows:,}"
    yield Figure(f"{where}: hashes", statistics.median(hashes), "", 40)
    yield Figure(f"{where}: with its digest", statistics.median(each), "us", 50)
    yield Figure(f"{where}: in batches of {BATCH}", statistics.median(batched), "us")
    clones = [spent(tree.clone) for _ in range(rounds)]
    yield Figure(f"a window of {rows:,}: copied after a snapshot", statistics.median(clones) / 1e3, "us")


# --- rows that wait ---------------------------------------------------------------------------------------


def writes(rows: int, rounds: int) -> Iterator[Figure]:
    """Rows are overwritten, wait, and are shown."""
    versions = {number: FIRST + number % WINDOWS * STEP + number + 1 for number in range(rows)}
    keys = [number.to_bytes(8, "big") for number in range(rows)]
    held = [version.to_bytes(16, "big") for version in versions.values()]
    start = entries_of(keys, b"".join(held), [b"v"] * rows)
    trees = trees_of(SHAPE, start)
    stable = FIRST + WINDOWS * STEP
    core = ForestCore(SHAPE, stable=stable, trees=trees, dirty=[*trees])
    core.clean()
    dice = random.Random(5)
    following, showing, hashing = [], [], []
    for _ in range(rounds):
        chosen = dice.sample(range(rows), min(rows, 10_000))
        newer = range(stable + 1, stable + 1 + len(chosen))
        records = entries_of([keys[row] for row in chosen], [*newer], [b"w"] * len(chosen))
        work = [
            (bytes(records[48 * at : 48 * at + 48]), versions[row], version)
            for at, (row, version) in enumerate(zip(chosen, newer, strict=True))
        ]

        def follow(work: list[tuple[bytes, int, int]] = work) -> None:
            for record, before, _ in work:
                core.follow(record, before)

        following.append(spent(follow) / len(work) / 1e3)
        shown = hashed = 0
        for first in range(0, len(work), 1_000):
            upto = work[min(first + 999, len(work) - 1)][2]
            shown += spent(lambda upto=upto: core.advance(upto))  # type: ignore[misc]  # The default is the version.
            hashed += spent(core.clean)
        showing.append(shown / len(work) / 1e3)
        hashing.append(hashed / len(work) / 1e3)
        versions.update(zip(chosen, newer, strict=True))
        stable = newer[-1]
    where = f"a write, {rows:,} rows in {WINDOWS} windows"
    yield Figure(f"{where}: it waits", statistics.median(following), "us")
    yield Figure(f"{where}: it is shown", statistics.median(showing), "us")
    yield Figure(f"{where}: two windows are hashed, 1,000 rows at once", statistics.median(hashing), "us")


# --- memory -----------------------------------------------------------------------------------------------


def bytes_a_row(rows: int, windows: int) -> float:
    """Measured in a process of its own."""
    told = subprocess.run(
        [sys.executable, __file__, "--memory", str(windows), "--rows", str(rows)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONMALLOC": "pymalloc"},
    )
    return float(told.stdout)


def tell_memory(rows: int, windows: int) -> None:
    each = rows // windows
    libc = ctypes.CDLL(None)

    def settled() -> int:
        gc.collect()
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)  # What made the rows is gone, and is not to be counted.
        return resident()

    def make(number: int) -> WindowTree:
        tree = WindowTree(SHAPE, FIRST_WINDOW + number, random_records(each, number, FIRST + number * STEP))
        tree.digest()
        return tree

    make(0)
    before = settled()
    trees = [make(number) for number in range(windows)]
    print((settled() - before) / sum(map(len, trees)))


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def memory(rows: int) -> Iterator[Figure]:
    if Path("/proc/self/statm").exists():
        for windows in (1, WINDOWS):
            where = f"memory, {rows:,} rows in {windows} window{'s' * (windows > 1)}"
            yield Figure(where, bytes_a_row(rows, windows), "bytes a row", 56)


# --- telling ----------------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What was measured on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "load at the start": load,
    }


def line(figure: Figure) -> str:
    judged = {True: "met", False: "NOT met", None: ""}[figure.is_met]
    target = ""
    if figure.target is not None:
        target = f"{'at least' if figure.is_least else 'at most'} {figure.target:g}"
    value = f"{figure.value:,.2f}" if figure.value < 1_000 else f"{figure.value:,.0f}"
    return f"{figure.name:<72} {value:>10} {figure.unit:<12} {target:<13} {judged}".rstrip()


def growth(figures: list[Figure], rows: int) -> Iterator[Figure]:
    """The same at ten times as many rows, by what it is at so many."""
    by_name = {figure.name: figure for figure in figures}
    for figure in [one for one in figures if f"{10 * rows:,}" in one.name]:
        before = by_name.get(figure.name.replace(f"{10 * rows:,}", f"{rows:,}"))
        if before is not None and before.unit != "x":
            yield Figure(f"at ten times the rows: {figure.name}", figure.value / before.value, "x")


PLOTTED = (
    ("build, 1 window", "#b3261e", "build, {} rows in 1 window: total", 1),
    ("build, 720", "#1f5fbf", "build, {} rows in 720 windows: total", 1),
    ("a late row", "#9a5b00", "a late row, window of {}: with its digest", 1_000),
    ("256 at once", "#1b6e3c", "a late row, window of {}: in batches of 256", 1_000),
)
"""Curves: name, colour, which figures, and how many nanoseconds their unit has."""


def drawn(figures: list[Figure], sizes: Sequence[int], described: dict[str, str]) -> str:
    """What a row costs, by how many there are, as an SVG."""
    by_name = {figure.name: figure.value for figure in figures}
    memory = [by_name.get(f"memory, {size:,} rows in {WINDOWS} windows") for size in sizes]
    said = ", ".join("not measured" if value is None else f"{value:.1f}" for value in memory)
    plot = Plot(
        "What a row costs, by how many there are",
        f"Measured on one thread: {described['cpu']}, Python {described['python']}. "
        f"Rows of {VALUE_BYTES} bytes. "
        f"Late rows come into one window of all rows. Memory in {WINDOWS} windows, bytes a row: {said}.",
        "rows of the forest",
        "processor time a row",
        [
            Curve(name, color, [(size, by_name[of.format(f"{size:,}")] * ns) for size in sizes])
            for name, color, of, ns in PLOTTED
        ],
        "{:,}".format,
        lambda ns: f"{ns:,} ns" if ns < 1_000 else f"{ns // 1_000:,} us",
    )
    return draw(plot)


def measured(rows: int, rounds: int) -> Iterator[Figure]:
    yield from building(rows, rounds)
    yield from memory(rows)
    yield from late_rows(rows, rounds)


def main(arguments: list[str] | None = None) -> int:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=summary, epilog=rest.rpartition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="few rounds, and 100,000 rows")
    parser.add_argument("--grow", action="store_true", help="ten times as many rows as well")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw what a row costs, as an SVG")
    parser.add_argument("--rows", metavar="ROWS", type=int, help="rows of the forest")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file as well")
    parser.add_argument("--memory", metavar="WINDOWS", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.rows is not None and options.rows < WINDOWS:
        parser.error(f"--rows {options.rows}: at least {WINDOWS}, or there are windows without any")
    for name, path in (("json", options.json), ("plot", options.plot)):
        if path is not None and not path.resolve().parent.is_dir():
            parser.error(f"--{name} {path}: the folder {path.resolve().parent} does not exist")
    rows = options.rows or (100_000 if options.quick else 1_000_000)
    if options.memory:
        tell_memory(rows, options.memory)
        return 0
    rounds = 3 if options.quick else 7
    described = machine()
    command = (
        "python tests/bench/bench_merkle_forest.py" + " --quick" * options.quick + " --grow" * options.grow
    ) + (f" --plot {options.plot}" if options.plot else "")
    gc.collect()
    gc.disable()
    figures = [*measured(rows, rounds), *writes(min(rows, 100_000), rounds)]
    if options.grow or options.plot:
        figures += measured(10 * rows, 1)
        figures += growth(figures, rows)
    if options.plot:
        figures += measured(rows // 10, rounds)
    gc.enable()
    print(", ".join(f"{name} {value}" for name, value in described.items()))
    print(f"Medians of {rounds} rounds, times of the processor, one thread; rows of {VALUE_BYTES} bytes.")
    print(f"Again: {command}" + (f" --rows {options.rows}" if options.rows else ""), end="\n\n")
    print("\n".join(line(figure) for figure in figures))
    if options.plot is not None:
        options.plot.write_text(drawn(figures, (rows // 10, rows, 10 * rows), described), encoding="utf-8")
    if options.json is not None:
        told = [{**asdict(figure), "is_met": figure.is_met} for figure in figures]
        options.json.write_text(
            json.dumps({"machine": described, "rows": rows, "figures": told}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
