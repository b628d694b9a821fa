"""How fast the production clock issues ids, beside the UUID libraries that people use, in one run.

    python tests/bench/bench_hlc.py [--quick] [--json FILE]

All take turns of about equal length in every round, so that whatever else the machine does hits them alike;
figures are medians over the rounds. Order is judged on the ids themselves: consecutive ids of one
millisecond, compared as 16 bytes, must increase. A peer that is not installed is listed as missing.
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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module, metadata
from itertools import pairwise, repeat
from pathlib import Path
from typing import Any

from scratchbird import Clock, VolatileBoundStore

LIFTED_MS = 1 << 40
MOST_A_TURN = 200_000
PER_CALL = "one id a call"
IN_BATCHES = "ids in batches"
CLOCK_SOURCE = "/sys/devices/system/clocksource/clocksource0/current_clocksource"

Call = Callable[[], Any]


@dataclass
class Contestant:
    """One way to make ids, and what was measured of it."""

    name: str
    kind: str
    make: Callable[[int], object]
    """Makes that many ids."""
    sample: Callable[[int], list[bytes]]
    """The same, as bytes."""
    random: bool = False
    """Whether the ids have no order at all."""
    ns: list[float] = field(default_factory=list)
    """Nanoseconds an id, one figure a round."""
    violations: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.ns)


# --- who takes part ---------------------------------------------------------------------------------------

PEERS: list[tuple[str, str, Callable[[Any], Call]]] = [
    ("uuid_utils", "uuid_utils.uuid7", lambda module: module.uuid7),
    ("lastuuid", "lastuuid.uuid7", lambda module: module.uuid7),
    ("fastuuidv7", "fastuuidv7.uuid7", lambda module: module.uuid7),
    ("fastuuidv7", "fastuuidv7.uuid7_with_count", lambda module: module.uuid7_with_count),
    ("fastuuidv7", "fastuuidv7.SequentialGenerator", lambda module: module.SequentialGenerator().next_uuid),
    ("uuid", "uuid.uuid4", lambda module: module.uuid4),
    ("uuid", "uuid.uuid7", lambda module: module.uuid7),
]


def contestants() -> tuple[list[Contestant], list[str]]:
    """Everybody who can take part, ours first in each kind, and why the others can not."""
    ours = Clock(node_id=1, store=VolatileBoundStore())
    lifted = Clock(
        node_id=2,
        store=VolatileBoundStore(),
        max_ahead_ms=LIFTED_MS,
        max_drift_ms=2 * LIFTED_MS,
        reserve_ms=LIFTED_MS,
    )
    single = [one_by_one("scratchbird Clock.tick", ours.tick)]
    batch = [
        Contestant(
            "scratchbird Clock.tick_many", IN_BATCHES, lifted.tick_many, lambda n: cut(lifted.tick_many(n))
        )
    ]
    missing = []
    for module, name, find in PEERS:
        try:
            call = find(import_module(module))
        except ImportError:
            missing.append(f"{name}: not installed (pip install {module})")
        except AttributeError:
            missing.append(f"{name}: not in this version of {module} (Python {platform.python_version()})")
        else:
            single.append(one_by_one(name, call))
            batch.append(in_a_list(name, call))
    return [*single, *batch], missing


def one_by_one(name: str, call: Call) -> Contestant:
    """Makes ids and drops them: the loop costs everybody the same."""

    def make(count: int) -> None:
        for _ in repeat(None, count):
            call()

    return Contestant(name, PER_CALL, make, sampled(call), random=name.endswith("uuid4"))


def in_a_list(name: str, call: Call) -> Contestant:
    """Makes a batch with a library that knows only single ids."""
    make: Callable[[int], object] = lambda count: [call() for _ in repeat(None, count)]  # noqa: E731  # Typed.
    return Contestant(name, IN_BATCHES, make, sampled(call), random=name.endswith("uuid4"))


def sampled(call: Call) -> Callable[[int], list[bytes]]:
    return lambda count: [made.bytes for made in [call() for _ in repeat(None, count)]]


def cut(data: bytes) -> list[bytes]:
    return [data[at : at + 16] for at in range(0, len(data), 16)]


# --- measuring --------------------------------------------------------------------------------------------


def measure(everybody: list[Contestant], turn_ms: float, rounds: int) -> None:
    """Let all take turns, with the garbage collector out of the way."""
    counts = [calibrated(one, turn_ms) for one in everybody]
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for one, count in zip(everybody, counts, strict=True):
                one.ns.append(timed(one, count) / count)
    finally:
        gc.enable()


def calibrated(one: Contestant, turn_ms: float) -> int:
    """How many ids fill a turn; also the warm-up. A clock must catch up during the turns of the others."""
    timed(one, 100)
    return min(max(1, round(1000 * turn_ms * 1e6 / timed(one, 1000))), MOST_A_TURN)


def timed(one: Contestant, count: int) -> int:
    began = time.perf_counter_ns()
    one.make(count)
    return time.perf_counter_ns() - began


def violations(ids: list[bytes]) -> int:
    """Consecutive ids of one millisecond that do not increase."""
    return sum(a[:6] == b[:6] and a >= b for a, b in pairwise(ids))


# --- telling ----------------------------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What was measured on."""
    names = [line.partition(":")[2].strip() for line in lines_of("/proc/cpuinfo") if "model name" in line]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "clock source": "".join(lines_of(CLOCK_SOURCE)) or "unknown",
    }


def lines_of(name: str) -> list[str]:
    path = Path(name)
    return path.read_text().splitlines() if path.exists() else []


def version(name: str) -> str:
    try:
        return metadata.version(name.partition(".")[0])
    except metadata.PackageNotFoundError:
        return ""


def table(everybody: list[Contestant], kind: str) -> Iterator[str]:
    """The lines for one kind; ratios are to ours, which is first."""
    row = "{:<40} {:>9} {:>10} {:>18}   {}".format
    ours, *peers = [one for one in everybody if one.kind == kind]
    yield row(kind, "ns an id", "million/s", "ours is faster", "out of order within a millisecond")
    for one in (ours, *peers):
        factor = "" if one is ours else f"{one.median / ours.median:.2f} times"
        order = "random ids have no order" if one.random else f"{one.violations:,}"
        label = f"{one.name} {version(one.name)}".strip()
        yield row(label, f"{one.median:.1f}", f"{1000 / one.median:.2f}", factor, order)


def judgement(everybody: list[Contestant]) -> Iterator[str]:
    """What the figures say of the targets."""
    ours, *peers = [one for one in everybody if one.kind == PER_CALL]
    batch = next(one for one in everybody if one.kind == IN_BATCHES)
    faster = [peer for peer in peers if peer.median < ours.median]
    in_order = ", ".join(peer.name for peer in faster if not peer.random and not peer.violations)
    rate = 1000 / batch.median
    yield f"per call, ahead of every peer that keeps order: {'no, behind ' + in_order if in_order else 'yes'}"
    yield f"per call, faster than ours in any order: {', '.join(peer.name for peer in faster) or 'nobody'}"
    yield f"tick_many, 50 million ids a second or more: {'yes' if rate >= 50 else 'no'}, {rate:.0f} million"
    yield f"ours out of order: {ours.violations + batch.violations}"


def figures(one: Contestant) -> dict[str, Any]:
    return {
        "name": one.name,
        "version": version(one.name),
        "kind": one.kind,
        "median_ns": one.median,
        "violations": None if one.random else one.violations,
        "rounds_ns": one.ns,
    }


def main(arguments: list[str] | None = None) -> int:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=summary, epilog=rest.rpartition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="few rounds and short turns")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(arguments)
    if options.json is not None and not options.json.resolve().parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.resolve().parent} does not exist")
    turn_ms, rounds, sample = (0.2, 25, 20_000) if options.quick else (1.0, 301, 200_000)

    everybody, missing = contestants()
    measure(everybody, turn_ms, rounds)
    for one in everybody:
        one.violations = violations(one.sample(sample))
    described = machine()
    lines = [
        ", ".join(f"{name} {value}" for name, value in described.items()),
        f"Medians of {rounds} rounds, in which all take turns of about {turn_ms} ms.",
        f"Order is judged on {sample:,} ids of each.",
        "Clock.tick: default settings, nothing lifted; a store in memory.",
        f"Clock.tick_many: own bound lifted (max_ahead_ms {LIFTED_MS}), one reservation for the whole run.",
        "With the default settings a node can keep up 4,096 ids a millisecond, and issue 1,024,000 at once.",
        "Peers know no batches: theirs are lists of single ids, ours are contiguous bytes.",
        "",
        *table(everybody, PER_CALL),
        "",
        *table(everybody, IN_BATCHES),
        "",
        *(f"missing: {line}" for line in missing),
        *judgement(everybody),
    ]
    print("\n".join(lines))
    if options.json is not None:
        report = {
            "machine": described,
            "rounds": rounds,
            "turn_ms": turn_ms,
            "figures": [figures(one) for one in everybody],
            "missing": missing,
        }
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
