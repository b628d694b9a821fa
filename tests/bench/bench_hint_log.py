"""What hints cost: appends with and without sync, several targets, replay, bytes, memory and start-up.

    python tests/bench/bench_hint_log.py [--quick | --full] [--only PART] [--pending HINTS] [--bytes BYTES]
                                         [--folder FOLDER] [--json FILE]

All on a real disk. Each part prints the command that measures it again; figures are medians over rounds in
which all take turns, each with its quartiles.

"appends": groups of one, 64 and 512 hints for one target, each group written and synced together as the node
does it; "no sync" leaves the syncs out and shows what the code alone takes; "bare" writes and syncs as many
bytes to a plain file and shows what the disk alone takes.

"targets": a hint for each of 1, 3 and 16 targets in one commit, whose files are synced side by side, and the
same with their files synced one after another.

"pending": HINTS hints of one target. Replay reads every pending hint in order and checks it, from the cache
of the system where it has room; "and pays" marks every other one as paid as well, and makes that durable at
the end. Memory is the growth of the resident set of a process that appends them, of one that opens them
again, and of that one when every other hint is paid, which is the most that it remembers; it is told beside
that of a tenth of them. Start-up is measured for segments that were closed in order, and for the same ones
without their seals, as if a crash had cut off every single one.

HINTS is 1,000,000 by default, 100,000 with --quick. --full takes 10,000,000 hints of 1,000 bytes on the disk,
10 GB of FOLDER, which are removed afterwards. FOLDER is the current one by default: name one on the disk that
is meant, not one in memory. A part for which there is no room is left out, and says so.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scratchbird_node.files import Appending, Disk, DiskAppending
from scratchbird_node.hint_format import HEADER, RECORD
from scratchbird_node.hint_store import HintStore
from scratchbird_node.hint_words import Settings

VERSION = bytes(range(16))
GROUPS = (1, 64, 512)
TARGETS = (1, 3, 16)
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


class OneByOne(Disk):
    """The disk, one sync at a time."""

    max_syncs = 1


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
            found.append(Contestant(name, group, storing(place, files, payload, [TARGET] * group)))
        found.append(Contestant("bare", group, bare(folder / f"bare-{number}", payload, group)))
    return found


def several_targets(folder: Path, payload: bytes) -> list[Contestant]:
    found = []
    for count in TARGETS:
        for name, files in (("side by side", Disk()), ("one by one", OneByOne())):
            place = folder / f"{name}-{count}"
            place.mkdir()
            found.append(Contestant(name, count, storing(place, files, payload, range(1, count + 1))))
    return found


def storing(place: Path, files: Disk, payload: bytes, targets: Sequence[int]) -> Callable[[], None]:
    store = HintStore(place, ROOMY, files=files, threaded=False)

    def done(sequence: int | None, error: Exception | None) -> None:
        if error is not None:
            raise error

    def run() -> None:
        for target in targets:
            store.append(target, VERSION, payload, done)
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


def targets(everybody: list[Contestant]) -> list[str]:
    row = "{:>7} {:<14} {:>13} {:>16} {:>12} {:>14}".format
    lines = [row("targets", "synced", "us a commit", "quartiles", "to 1 target", "to one by one")]
    for one in everybody:
        single = next(each for each in everybody if each.name == one.name)
        slow = next(each for each in everybody if (each.group, each.name) == (one.group, "one by one"))
        low, _, high = statistics.quantiles(one.us, n=4)
        lines.append(
            row(
                one.group,
                one.name,
                f"{one.median:,.1f}",
                f"{low:,.0f} to {high:,.0f}",
                f"{one.median / single.median:.2f}",
                f"{one.median / slow.median:.2f}",
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
    tenth = folder / "tenth"
    tenth.mkdir()
    few = measured(tenth, max(1, hints // 10), size)
    shutil.rmtree(tenth)
    all_of_them = measured(folder, hints, size)
    opened, disk = all_of_them["reopen"], all_of_them["disk_bytes"]
    giga, each = disk / 1e9, disk / hints
    start, slow = opened["start"], all_of_them["scan"]["start"]

    def memory(step: str, what: str) -> str:
        more, less = all_of_them[step][what] / 1e6, few[step][what] / 1e6
        return f"{more:,.1f} MB more; a tenth as many hints {less:,.1f} MB"

    lines = [
        f"{hints:,} pending hints with payloads of {size} bytes: {disk:,} bytes on the disk",
        f"  bytes a hint            {each:.2f}, of which {each - size:.2f} beside the payload",
        f"                          (a hint of 500 bytes in all holds a payload of {500 - RECORD.size})",
        f"  appends in groups       {all_of_them['fill']['appends/s']:,.0f} hints/s, 4096 a sync",
        f"  replay                  {opened['replay/s']:,.0f} hints/s; and pays {opened['paid/s']:,.0f}",
        f"  memory, appending       {memory('fill', 'memory')}",
        f"  memory, opened again    {memory('reopen', 'memory')}",
        f"  memory, half paid       {memory('reopen', 'half')}",
        f"  memory, all cut off     {memory('scan', 'memory')}",
        f"  start, closed in order  {start * 1e3:,.1f} ms, {start / giga * 1e3:,.1f} a GB",
        f"  start, all cut off      {slow:,.2f} s, {slow / giga:,.2f} a GB",
    ]
    return lines, {"all": all_of_them, "tenth": few}


def measured(folder: Path, hints: int, size: int) -> dict[str, Any]:
    """All steps with so many hints, and the bytes that they took."""
    filled = in_a_process("fill", folder, hints, size)
    disk = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    opened = in_a_process("reopen", folder, hints, size)
    return {
        "disk_bytes": disk,
        "fill": filled,
        "reopen": opened,
        "scan": in_a_process("scan", folder, hints, size),
    }


def lacking(folder: Path, hints: int, size: int) -> str | None:
    """Why there is no room for so many hints, a tenth more, and a GB for everybody else; if there is none."""
    needed = round(hints * (size + RECORD.size) * 1.1) + 10**9
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return None
    return (
        f"not measured: {hints:,} pending hints need {needed / 1e9:,.1f} GB, and {folder.resolve()} has "
        f"{free / 1e9:,.1f} GB free; name another --folder, or fewer with --pending"
    )


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
    parser.add_argument("--full", action="store_true", help="10,000,000 pending hints, 10 GB")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    parser.add_argument("--pending", metavar="HINTS", type=int, help="how many hints are pending")
    parser.add_argument("--bytes", metavar="BYTES", type=int, help="of a payload (500; with --full 968)")
    parser.add_argument("--folder", metavar="FOLDER", type=Path, default=Path(), help="where the files are")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file as well")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"--folder {options.folder}: there is no such folder")
    if options.json is not None and not options.json.resolve().parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.resolve().parent} does not exist")
    if options.quick and options.full:
        parser.error("--quick --full: choose one")
    hints = 100_000 if options.quick else 10_000_000 if options.full else 1_000_000
    hints = hints if options.pending is None else options.pending
    size = (968 if options.full else 500) if options.bytes is None else options.bytes
    if hints < 1 or size < 0:
        parser.error(f"--pending {hints} --bytes {size}: both must be positive")
    if options.step is not None:
        print(json.dumps(STEPS[options.step](options.folder, hints, bytes(size))))
        return 0

    described = machine(options.folder)
    print(", ".join(f"{key} {value}" for key, value in described.items()))
    report: dict[str, Any] = {"machine": described}
    for part in options.only or PARTS:
        again = f"python tests/bench/bench_hint_log.py --only {part} --bytes {size}"
        again += f" --pending {hints}" if part == "pending" else " --quick" if options.quick else ""
        print(f"\n{part}. Again: {again}")
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            lines, report[part] = PARTS[part](Path(name), hints, size, 11 if options.quick else 41)
        print("\n".join(lines), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


def part_of_appends(folder: Path, hints: int, size: int, rounds: int) -> tuple[list[str], Any]:
    everybody = contestants(folder, bytes(size))
    return appends(raced(everybody, rounds)), told(everybody)


def part_of_targets(folder: Path, hints: int, size: int, rounds: int) -> tuple[list[str], Any]:
    everybody = several_targets(folder, bytes(size))
    return targets(raced(everybody, rounds)), told(everybody)


def part_of_pending(folder: Path, hints: int, size: int, rounds: int) -> tuple[list[str], Any]:
    reason = lacking(folder, hints, size)
    return ([reason], None) if reason else many(folder, hints, size)


PARTS = {"appends": part_of_appends, "targets": part_of_targets, "pending": part_of_pending}


def raced(everybody: list[Contestant], rounds: int) -> list[Contestant]:
    measure(everybody, rounds)
    return everybody


def told(everybody: list[Contestant]) -> list[dict[str, Any]]:
    return [{"name": one.name, "group": one.group, "us": one.us} for one in everybody]


if __name__ == "__main__":
    sys.exit(main())
