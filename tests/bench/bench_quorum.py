"""How many operations a coordinator runs, and what the record of an intent costs, as ratios in one run.

    python tests/bench/bench_quorum.py [--quick] [--folder FOLDER] [--json FILE]

First the cores alone, three replicas of which two must answer: the reference, production one event at a time,
and production in batches, all with the same events. A write is ten events: the request, three answers, the
version, the durable intent, three acknowledgements, the deadline. A read is five: all replicas hold the same,
so that it is settled when two have answered. The events are made before the time is taken, because a decoder
makes them; one line tells what it is with the events made in Python.

Then the whole path of a write with its disks: three replicas that append what they take to a file each and
sync it before they acknowledge, and the coordinator's intent (rule QUORUM.R11) in a file of its own. A batch
is one sync a file: group commit. The intent's sync is left out, runs in parallel with those of the replicas,
or comes before the messages. The files are in FOLDER, by default the current one: name one on the disk that
is meant, not one in memory. All take turns in every round; figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from scratchbird import quorum as production
from scratchbird_reference import quorum_messages, quorum_operations
from scratchbird_reference.quorum_coordinator import Coordinator

REPLICAS = (1, 2, 3)
VALUE = b"v" * 100
FIRST = 0x0190_0000_0000_8000_8000_0000_0000_0000
"""Versions have the size of real ones."""
BATCH = 64
WRITES, READS = "linearizable write, N=3", "read, answers settled, N=3"
NONE, PARALLEL, BEFORE = "no intent stored", "intent in parallel", "intent before the messages"
GROUPS = (1, 64, 512)

Run = Callable[[], object]
Phases = Callable[["Side", range], list[list[Any]]]


@dataclass
class Contestant:
    """One way to run operations, and what was measured of it."""

    name: str
    kind: str
    prepare: Callable[[int], Run]
    """Makes ready for so many operations, whole batches; what it returns runs them, within the time taken."""
    size: int = 1
    """Of a batch."""
    ns: list[float] = field(default_factory=list)
    """Nanoseconds an operation, one figure a round."""

    @property
    def median(self) -> float:
        return statistics.median(self.ns)


# --- the cores alone --------------------------------------------------------------------------------------


class Side:
    """Makes the events of one library: they have the same names in both."""

    def __init__(self, kinds: dict[str, Any], told: Any, deliver: Callable[[int, Any], Any]) -> None:
        self.deliver = deliver
        self.told = told
        self.read, self.put, self.stamped = kinds["Read"], kinds["PutValue"], kinds["Stamped"]
        self.stored, self.intent, self.held = kinds["IntentStored"], kinds["Intent"], kinds["Held"]
        self.answer, self.acknowledge = kinds["Answer"], kinds["Acknowledgement"]
        self.deadline = kinds["Deadline"]
        self.before = self.held(FIRST, VALUE)
        self.targets = frozenset(REPLICAS)
        self.setting = kinds["Setting"](REPLICAS, 2, 2)

    def answers(self, number: int) -> list[Any]:
        return [self.deliver(replica, self.answer(number, self.before, self.told)) for replica in REPLICAS]

    def write_phases(self, numbers: range) -> list[list[Any]]:
        """The events of these writes, phase by phase; in a phase their order is free."""
        version = FIRST + 1
        stored = [
            self.stored(number, self.intent(number & 1023, self.held(version + number, VALUE), self.targets))
            for number in numbers
        ]
        acknowledged = [
            self.deliver(replica, self.acknowledge(number, version + number, self.told))
            for number in numbers
            for replica in REPLICAS
        ]
        return [
            [self.put(number, number & 1023, VALUE) for number in numbers],
            [answer for number in numbers for answer in self.answers(number)],
            [self.stamped(number, version + number) for number in numbers],
            stored + acknowledged,
            [self.deadline(number) for number in numbers],
        ]

    def read_phases(self, numbers: range) -> list[list[Any]]:
        return [
            [self.read(number, number & 1023) for number in numbers],
            [answer for number in numbers for answer in self.answers(number)],
            [self.deadline(number) for number in numbers],
        ]


def sides() -> tuple[Side, Side]:
    told = tuple((replica, 1) for replica in REPLICAS)
    reference = Side({**vars(quorum_messages), **vars(quorum_operations)}, told, quorum_operations.Deliver)
    ours = Side(
        vars(production),
        production.Incarnations(told),
        lambda sender, message: production.Deliver(message, sender),
    )
    return reference, ours


def cores() -> list[Contestant]:
    """Production in batches and one event at a time, the reference: writes, then reads."""
    reference, ours = sides()
    found = []
    for kind, phases in ((WRITES, Side.write_phases), (READS, Side.read_phases)):
        found += [
            Contestant("production, in batches", kind, batches(ours, phases), BATCH),
            Contestant("production, one by one", kind, one_by_one(ours, phases, started(ours).step)),
            Contestant("reference, one by one", kind, one_by_one(reference, phases, stepper(reference))),
            Contestant("in batches, with making the events", kind, made_and_run(ours, phases), BATCH),
        ]
    return found


def batches(side: Side, phases: Phases) -> Callable[[int], Run]:
    core, numbers = started(side), count(0, BATCH)

    def prepare(operations: int) -> Run:
        starts = [next(numbers) for _ in range(operations // BATCH)]
        ready = [phase for first in starts for phase in phases(side, range(first, first + BATCH))]

        def run() -> None:
            for phase in ready:
                core.step_many(phase)

        return run

    return prepare


def made_and_run(side: Side, phases: Phases) -> Callable[[int], Run]:
    prepare = batches(side, phases)
    return lambda operations: lambda: prepare(operations)()


def one_by_one(side: Side, phases: Phases, step: Callable[[Any], object]) -> Callable[[int], Run]:
    numbers = count()

    def prepare(operations: int) -> Run:
        starts = [next(numbers) for _ in range(operations)]
        ready = [
            event for first in starts for phase in phases(side, range(first, first + 1)) for event in phase
        ]

        def run() -> None:
            for event in ready:
                step(event)

        return run

    return prepare


def stepper(side: Side) -> Callable[[Any], object]:
    """The reference as something that keeps its state."""
    machine, state = Coordinator(), quorum_operations.State(side.setting)

    def step(event: Any) -> object:
        nonlocal state
        state, effects = machine.step(state, event)
        return effects

    return step


def started(side: Side) -> production.CoordinatorCore:
    core = production.CoordinatorCore(side.setting)
    core.step(production.Start())
    return core


# --- the path of a write with its disks -------------------------------------------------------------------


class Log:
    """A file that is appended to; on the disk when ``append`` returns."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def append(self, records: list[bytes]) -> None:
        os.write(self.file, b"".join(records))
        getattr(os, "fdatasync", os.fsync)(self.file)

    def close(self) -> None:
        os.close(self.file)


def record(row: int, held: production.Held, targets: bytes = b"") -> bytes:
    """Version, row, value and targets, with a checksum: what a log would hold of one write."""
    value = held.value or b""
    body = struct.pack(">QQQI", held.version >> 64, held.version & (1 << 64) - 1, row, len(value)) + value
    body += targets
    return struct.pack(">II", len(body), zlib.crc32(body)) + body


class Cluster:
    """One coordinator and three replicas, each with a file, in one process."""

    def __init__(self, folder: Path) -> None:
        self.setting = production.Setting(REPLICAS, 2, 2)
        self.coordinator = production.CoordinatorCore(self.setting)
        self.replicas = {replica: production.ReplicaCore(replica) for replica in REPLICAS}
        self.coordinator.step(production.Start())
        for replica in self.replicas.values():
            replica.step(production.Start())
        self.logs = {replica: Log(folder / f"replica-{replica}") for replica in REPLICAS}
        self.intents = Log(folder / "intents")
        self.threads = ThreadPoolExecutor(len(REPLICAS) + 1)
        self.numbers = count()
        self.last = FIRST

    def close(self) -> None:
        self.threads.shutdown()
        for log in (*self.logs.values(), self.intents):
            log.close()

    def write(self, size: int, when: str) -> None:
        """So many writes at once, until all are committed and forgotten."""
        numbers = [next(self.numbers) for _ in range(size)]
        queries = self.step([production.PutValue(number, number & 1023, VALUE) for number in numbers])
        stamps = self.step(self.answers(queries))
        versions = range(self.last + 1, self.last + 1 + size)
        self.last += size
        sent = self.step(
            [
                production.Stamped(stamp.operation, version)
                for stamp, version in zip(stamps, versions, strict=True)
            ]
        )
        intents = [effect for effect in sent if type(effect) is production.StoreIntent]
        storing = self.store(intents) if when != NONE else None
        if storing is not None and when == BEFORE:
            storing.result()
        taken = [
            self.threads.submit(
                self.take, replica, [send for send in sent if getattr(send, "to", 0) == replica]
            )
            for replica in REPLICAS
        ]
        acknowledgements = [event for future in taken for event in future.result()]
        if storing is not None:
            storing.result()
        stored = [production.IntentStored(effect.operation, effect.intent) for effect in intents]
        replies = self.step(stored + acknowledgements)
        assert len(replies) == size
        assert all(reply.outcome is production.Outcome.COMMITTED for reply in replies)
        self.step([production.Deadline(number) for number in numbers])

    def step(self, events: list[Any]) -> list[Any]:
        result = self.coordinator.step_many(events)
        assert not result.refused
        return result.effects

    def answers(self, queries: list[Any]) -> list[Any]:
        """What all replicas answer: nothing changes at them, so nothing is written."""
        events = []
        for replica in REPLICAS:
            answered = self.delivered(replica, [send for send in queries if send.to == replica])
            events += [production.Deliver(send.message, replica) for send in answered]
        return events

    def delivered(self, replica: int, sent: list[Any]) -> list[Any]:
        return self.replicas[replica].step_many([production.Deliver(send.message) for send in sent]).effects

    def take(self, replica: int, sent: list[Any]) -> list[Any]:
        """One replica takes its writes; they are on its disk before it acknowledges (rule QUORUM.R1)."""
        acknowledged = self.delivered(replica, sent)
        self.logs[replica].append([record(send.message.row, send.message.held) for send in sent])
        return [production.Deliver(send.message, replica) for send in acknowledged]

    def store(self, intents: list[Any]) -> Future[None]:
        records = [
            record(
                effect.intent.row,
                effect.intent.held,
                b"".join(target.to_bytes(2, "big") for target in sorted(effect.intent.targets)),
            )
            for effect in intents
        ]
        return self.threads.submit(self.intents.append, records)


def paths(cluster: Cluster) -> list[Contestant]:
    def path(size: int, when: str) -> Callable[[int], Run]:
        def run(operations: int) -> None:
            for _ in range(operations // size):
                cluster.write(size, when)

        return lambda operations: lambda: run(operations)

    return [
        Contestant(when, f"durable write, {size} at once", path(size, when), size)
        for size in GROUPS
        for when in (NONE, PARALLEL, BEFORE)
    ]


# --- measuring --------------------------------------------------------------------------------------------


def measure(everybody: list[Contestant], turn_ms: float, rounds: int) -> None:
    """Let all take turns, with the garbage collector out of the way."""
    counts = [calibrated(one, turn_ms) for one in everybody]
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for one, operations in zip(everybody, counts, strict=True):
                one.ns.append(timed(one, operations) / operations)
            gc.collect()
    finally:
        gc.enable()


def calibrated(one: Contestant, turn_ms: float) -> int:
    """How many operations fill a turn, whole batches; also the warm-up."""
    timed(one, one.size)
    each = timed(one, one.size) / one.size
    return max(1, round(turn_ms * 1e6 / each / one.size)) * one.size


def timed(one: Contestant, operations: int) -> int:
    run = one.prepare(operations)
    began = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - began


# --- telling ----------------------------------------------------------------------------------------------


def machine(folder: Path) -> dict[str, str]:
    """What was measured on."""
    names = [line.partition(":")[2].strip() for line in lines_of("/proc/cpuinfo") if "model name" in line]
    return {
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "python": sys.version.split()[0],
        "file system": file_system(folder),
    }


def file_system(folder: Path) -> str:
    """The type of the file system that the folder is on, as Linux tells it."""
    mounts = [line.split()[1:3] for line in lines_of("/proc/mounts")]
    holding = [(where, kind) for where, kind in mounts if folder.resolve().is_relative_to(where)]
    return max(holding, key=lambda item: len(item[0]), default=("", "unknown"))[1]


def lines_of(name: str) -> list[str]:
    path = Path(name)
    return path.read_text().splitlines() if path.exists() else []


def table(everybody: list[Contestant], kind: str) -> Iterator[str]:
    """The lines for one kind; ratios are to the first."""
    row = "{:<34} {:>15} {:>16} {:>14}".format
    first, *others = [one for one in everybody if one.kind == kind]
    yield row(kind, "us an operation", "operations/s", "time, ratio")
    for one in (first, *others):
        ratio = f"{one.median / first.median:.2f}"
        yield row(one.name, f"{one.median / 1e3:.2f}", f"{1e9 / one.median:,.0f}", ratio)


def judgement(everybody: list[Contestant]) -> Iterator[str]:
    """What the figures say in a line each."""
    by_name = {(one.kind, one.name): one for one in everybody}
    for kind in (WRITES, READS):
        reference = by_name[kind, "reference, one by one"].median
        single, batch = (by_name[kind, f"production, {how}"].median for how in ("one by one", "in batches"))
        yield (
            f"{kind}: production is {reference / single:.0f} times as fast as the reference, in batches of "
            f"{BATCH} {reference / batch:.0f} times"
        )
    for size in GROUPS:
        kind = f"durable write, {size} at once"
        without, parallel, before = (by_name[kind, when].median for when in (NONE, PARALLEL, BEFORE))
        yield (
            f"{kind}: the intent costs {100 * (parallel / without - 1):+.0f} % in parallel, "
            f"{100 * (before / without - 1):+.0f} % before the messages"
        )


def figures(one: Contestant) -> dict[str, Any]:
    return {"name": one.name, "kind": one.kind, "median_ns": one.median, "rounds_ns": one.ns}


def main(arguments: list[str] | None = None) -> int:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=summary, epilog=rest.rpartition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="few rounds and short turns")
    parser.add_argument("--folder", metavar="FOLDER", type=Path, default=Path(), help="where the files are")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(arguments)
    if not options.folder.is_dir():
        parser.error(f"--folder {options.folder}: there is no such folder")
    if options.json is not None and not options.json.resolve().parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.resolve().parent} does not exist")
    rounds, disk_rounds = (15, 7) if options.quick else (101, 41)

    alone = cores()
    measure(alone, 5.0, rounds)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        cluster = Cluster(Path(folder))
        with_disks = paths(cluster)
        measure(with_disks, 10.0, disk_rounds)
        cluster.close()
    everybody = [*alone, *with_disks]
    described = machine(options.folder)
    lines = [
        ", ".join(f"{name} {value}" for name, value in described.items()),
        f"Medians of {rounds} rounds in turns of about 5 ms, with disks of {disk_rounds} in turns of 10 ms.",
        f"Values of {len(VALUE)} bytes. Again: python tests/bench/bench_quorum.py"
        + " --quick" * options.quick,
        "",
    ]
    for kind in dict.fromkeys(one.kind for one in everybody):
        lines += [*table(everybody, kind), ""]
    print("\n".join([*lines, *judgement(everybody)]))
    if options.json is not None:
        report = {"machine": described, "figures": [figures(one) for one in everybody]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
