"""What hints cost: appends with and without sync, replay, bytes, memory and start-up, on a real disk.

    python tests/bench/bench_hint_log.py [--quick] [--pending HINTS] [--bytes BYTES] [--folder FOLDER]

Appends are groups of one, 64 and 512 hints, each group written and synced together as the node does it; "no
sync" leaves the syncs out and shows what the code alone takes; "bare" writes and syncs as many bytes to a
plain file and shows what the disk alone takes. All take turns in every round; figures are medians over the
rounds, each with its quartiles. Replay reads every pending hint in order and checks it, from the cache of the
system; "and pays" marks every other one as paid as well, and makes that durable at the end.

Memory is the growth of the resident set of a process that appends HINTS, of one that opens them again, and of
that one when every other hint is paid, which is the most that it remembers. Start-up is measured for segments
that were closed in order, and for the same ones without their seals, as if a crash had cut off every single
one.

HINTS is 1,000,000 by default, 100,000 with --quick; 10,000,000 of 500 bytes take 5.4 GB of FOLDER, which is
the current one by default: name one on the disk that is meant, not one in memory.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchbird_node.files import Appending, Disk, DiskAppending
from scratchbird_node.hint_format import HEADER, RECORD
from scratchbird_node.hint_store import HintStore
from scratchbird_node.hint_words import Settings

VERSION = bytes(range(16))
GROUPS = (1, 64, 512)
TARGET = 7
TURN_S = 0.02
ROOMY = Settings(max_bytes=1 << 50)


class NoSync(Disk):
    """The disk, without waiting for it."""

    def append_to(self, path: Path, *, new: bool) -> Appending:
        class Unsynced(DiskAppending):
            def sync(self, what: str) -> None:
                pass

        return Unsynced(path, new=new)

    def sync_folder(self, folder: Path, what: str) -> None:
        pass


@dataclass
class Contestant:
    """One way to write groups of hints, and what was measured of it."""

    name: str
    group: int
    run: Callable[[], None]
    """Writes one group."""
    us: list[float] = field(default_factory=list)
    """Microseconds a group, one figure a round."""

    @property
    def median(self) -> float:
        return statistics.median(self.us)


def contestants(folder: Path, payload: bytes) -> list[Contestant]:
    found = []
    for number, group in enumerate(GROUPS):
        for name, files in (("store", Disk()), ("store, no sync", NoSync())):
            place = folder / f"{name}-{number}"
            place.mkdir()
            found.append(Contestant(name, group, storing(place, files, payload, group)))
        found.append(Contestant("bare", group, bare(folder / f"bare-{number}", payload, group)))
    return found


def storing(place: Path, files: Disk, payload: bytes, group: int) -> Callable[[], None]:
    store = HintStore(place, ROOMY, files=files, threaded=False)

    def done(sequence: int | None, error: Exception | None) -> None:
        if error is not None:
            raise error

    def run() -> None:
        for _ in range(group):
            store.append(TARGET, VERSION, payload, done)
        store.commit()

    return run


def bare(path: Path, payload: bytes, group: int) -> Callable[[], None]:
    file = Disk().append_to(path, new=True)
    data = bytes((RECORD.size + len(payload)) * group)

    def run() -> None:
        file.append(data)
        file.sync("bytes")

    return run


def measure(everybody: list[Contestant], rounds: int) -> None:
    """Let all take turns of about the same length."""
    counts = []
    for one in everybody:
        one.run()
        began = time.perf_counter()
        one.run()
        counts.append(max(1, round(TURN_S / (time.perf_counter() - began))))
    for _ in range(rounds):
        for one, count in zip(everybody, counts, strict=True):
            began = time.perf_counter()
            for _ in range(count):
                one.run()
            one.us.append((time.perf_counter() - began) * 1e6 / count)


def appends(everybody: list[Contestant]) -> list[str]:
    row = "{:>6} {:<16} {:>12} {:>16} {:>14} {:>12}".format
    lines = [row("group", "", "us a group", "quartiles", "hints/s", "to bare")]
    for one in everybody:
        base = next(each for each in everybody if each.group == one.group and each.name == "bare")
        low, _, high = statistics.quantiles(one.us, n=4)
        lines.append(
            row(
                one.group,
                one.name,
                f"{one.median:,.1f}",
                f"{low:,.0f} to {high:,.0f}",
                f"{one.group * 1e6 / one.median:,.0f}",
                f"{one.median / base.median:.2f}",
            )
        )
    return lines


# --- many pending hints -----------------------------------------------------------------------------------


def resident() -> int:
    """Bytes that this process has in memory, as Linux tells it; 0 elsewhere."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def fill(folder: Path, hints: int, payload: bytes) -> dict[str, float]:
    """Append so many hints, and leave them pending."""
    before = resident()
    store = HintStore(folder, ROOMY, threaded=False)
    began = time.perf_counter()

    def done(sequence: int | None, error: Exception | None) -> None:
        if error is not None:
            raise error

    for first in range(0, hints, 4096):
        for _ in range(first, min(first + 4096, hints)):
            store.append(TARGET, VERSION, payload, done)
        store.commit()
    seconds = time.perf_counter() - began
    grown = resident() - before
    store.close()
    return {"appends/s": hints / seconds, "memory": grown}


def reopen(folder: Path, hints: int, payload: bytes) -> dict[str, float]:
    """Open them again, read all, and pay every other one."""
    before = resident()
    began = time.perf_counter()
    store = HintStore(folder, ROOMY, threaded=False)
    opened = time.perf_counter() - began
    if store.pending(TARGET) != hints:
        raise SystemExit(f"{store.pending(TARGET)} hints are pending, not {hints}")
    grown = resident() - before
    reader = store.reader(TARGET)
    began = time.perf_counter()
    count = 0
    while found := reader.take(4096, 1 << 22):
        count += len(found)
    replayed = time.perf_counter() - began
    reader = store.reader(TARGET)
    began = time.perf_counter()
    while found := reader.take(4096, 1 << 22):
        store.pay(TARGET, [hint.sequence for hint in found[::2]])
    store.flush(TARGET, lambda error: None)
    store.commit()
    paid = time.perf_counter() - began
    half = resident() - before
    store.close()
    return {
        "start": opened,
        "memory": grown,
        "half": half,
        "replay/s": count / replayed,
        "paid/s": count / paid,
    }


def scan(folder: Path, hints: int, payload: bytes) -> dict[str, float]:
    """Take the seals away, and open once more."""
    for path in folder.glob("*.hints"):
        size = path.stat().st_size
        if size > HEADER.size:
            os.truncate(path, size - RECORD.size)
    before = resident()
    began = time.perf_counter()
    store = HintStore(folder, ROOMY, threaded=False)
    seconds = time.perf_counter() - began
    grown = resident() - before
    store.close()
    return {"start": seconds, "memory": grown}


STEPS = {"fill": fill, "reopen": reopen, "scan": scan}


def in_a_process(step: str, folder: Path, hints: int, size: int) -> dict[str, float]:
    """A step in a process of its own, whose memory holds nothing else."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    command += ["--pending", str(hints), "--bytes", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{step} failed: {done.stderr}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def many(folder: Path, hints: int, size: int) -> tuple[list[str], dict[str, Any]]:
    filled = in_a_process("fill", folder, hints, size)
    disk = sum(path.stat().st_size for path in folder.iterdir())
    opened = in_a_process("reopen", folder, hints, size)
    scanned = in_a_process("scan", folder, hints, size)
    giga = disk / 1e9
    each, paid, cut = disk / hints, opened["half"] / 1e6, scanned["memory"] / 1e6
    start, slow = opened["start"], scanned["start"]
    lines = [
        f"{hints:,} pending hints with payloads of {size} bytes: {disk:,} bytes on the disk",
        f"  bytes a hint            {each:.2f}, of which {each - size:.2f} beside the payload",
        f"                          (a hint of 500 bytes in all holds a payload of {500 - RECORD.size})",
        f"  appends in groups       {filled['appends/s']:,.0f} hints/s, 4096 a sync",
        f"  replay                  {opened['replay/s']:,.0f} hints/s; and pays {opened['paid/s']:,.0f}",
        f"  memory, appending       {filled['memory'] / 1e6:,.1f} MB more than before",
        f"  memory, opened again    {opened['memory'] / 1e6:,.1f} MB more; half paid {paid:,.1f} MB",
        f"  start, closed in order  {start * 1e3:,.1f} ms, {start / giga * 1e3:,.1f} a GB",
        f"  start, all cut off      {slow:,.2f} s, {slow / giga:,.2f} a GB; {cut:,.1f} MB more",
    ]
    return lines, {"disk_bytes": disk, "fill": filled, "reopen": opened, "scan": scanned}


# --- telling ----------------------------------------------------------------------------------------------


def machine(folder: Path) -> dict[str, str]:
    """What was measured on."""
    names = [line.partition(":")[2].strip() for line in lines_of("/proc/cpuinfo") if "model name" in line]
    mounts = [line.split()[1:3] for line in lines_of("/proc/mounts")]
    holding = [(where, kind) for where, kind in mounts if folder.resolve().is_relative_to(where)]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "file system": max(holding, key=lambda item: len(item[0]), default=("", "unknown"))[1],
    }


def lines_of(name: str) -> list[str]:
    path = Path(name)
    return path.read_text().splitlines() if path.exists() else []


def main(arguments: list[str] | None = None) -> int:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=summary, epilog=rest.rpartition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="few rounds and fewer hints")
    parser.add_argument("--pending", metavar="HINTS", type=int, help="how many hints are pending")
    parser.add_argument("--bytes", metavar="BYTES", type=int, default=500, help="of a payload (500)")
    parser.add_argument("--folder", metavar="FOLDER", type=Path, default=Path(), help="where the files are")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file as well")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"--folder {options.folder}: there is no such folder")
    if options.json is not None and not options.json.resolve().parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.resolve().parent} does not exist")
    hints = options.pending or (100_000 if options.quick else 1_000_000)
    if hints < 1 or options.bytes < 0:
        parser.error(f"--pending {hints} --bytes {options.bytes}: both must be positive")
    payload = bytes(options.bytes)
    if options.step is not None:
        print(json.dumps(STEPS[options.step](options.folder, hints, payload)))
        return 0

    rounds = 11 if options.quick else 41
    described = machine(options.folder)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        everybody = contestants(Path(name), payload)
        measure(everybody, rounds)
        pending = Path(name) / "pending"
        pending.mkdir()
        lines, figures = many(pending, hints, options.bytes)
    again = f"python tests/bench/bench_hint_log.py --pending {hints} --bytes {options.bytes}"
    print(", ".join(f"{key} {value}" for key, value in described.items()))
    print(
        f"Medians of {rounds} rounds in turns of {TURN_S * 1e3:.0f} ms. Again: {again}"
        + " --quick" * options.quick
    )
    print("\n".join(["", *appends(everybody), "", *lines]))
    if options.json is not None:
        report = {
            "machine": described,
            "appends": [{"name": one.name, "group": one.group, "us": one.us} for one in everybody],
            "pending": {"hints": hints, "payload_bytes": options.bytes, **figures},
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
