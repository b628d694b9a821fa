"""What an account of hints costs a coordinator: writes, ticks and memory, and replicas with a floor.

    python tests/bench/bench_handoff.py [--quick] [--pending HINTS] [--json FILE]

"a write": it is owed to three targets, all say that they hold it, it ends: five events. The reference,
production one event at a time, and production in batches, all with the same events, which are made before the
time is taken; first with nothing else pending, and then beside HINTS that wait for a target that is away, of
which the reference is given 300 only.

"a tick": HINTS wait for one target in 16 shards, or for 16 targets in one shard each. A target is sent what
is due, as many as may be under way at once, and answers all of it before the next tick; figures are for each
hint that is sent and paid. "and nothing is due" is the price of looking.

"a write at a replica": of a row that it has, with a floor and without one.

Memory is the growth of the resident set of a process that makes HINTS pending, by that number: values are not
held, so their size does not matter. HINTS is 1,000,000 by default, 100,000 with --quick. Times are those of
the processor, medians over rounds in which all take turns.
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
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from scratchbird import handoff as production
from scratchbird import quorum
from scratchbird_reference import handoff_account, handoff_replica, quorum_messages, quorum_operations
from scratchbird_reference.handoff_hints import HintKeeper
from scratchbird_reference.quorum_replica import Deliver

TARGETS = (1, 2, 3)
AWAY = 9
SHARDS = 16
FIRST = 0x0190_0000_0000_8000_8000_0000_0000_0000
"""Versions have the size of real ones."""
NOW = 1_700_000_000_000_000_000
VALUE = b"v" * 100
BATCH = 64
FEW = 300
"""Hints that the reference has beside it: each step looks at all of them."""
ALONE, BESIDE = "a write, nothing else pending", "a write beside hints that wait"
SHARDS_KIND, TARGETS_KIND = (
    "a tick: a hint sent and paid, 16 shards",
    "a tick: a hint sent and paid, 16 targets",
)
IDLE = "a tick, and nothing is due"
REPLICA = "a write at a replica"

Run = Callable[[], object]


@dataclass
class Contestant:
    """One way to do something, and what was measured of it."""

    name: str
    kind: str
    prepare: Callable[[int], Run]
    """Makes ready for so many, whole batches; what it returns does them, within the time taken."""
    size: int = 1
    """Of a batch."""
    ns: list[float] = field(default_factory=list)
    """Nanoseconds each, one figure a round."""

    @property
    def median(self) -> float:
        return statistics.median(self.ns)


# --- writes -----------------------------------------------------------------------------------------------


class Side:
    """Makes the events of one library: they have the same names in both."""

    def __init__(self, kinds: dict[str, Any]) -> None:
        self.owe, self.intent, self.held = kinds["Owe"], kinds["Intent"], kinds["Held"]
        self.acknowledged, self.ended = kinds["Acknowledged"], kinds["Ended"]
        self.targets = frozenset(TARGETS)
        self.setting = kinds["Setting"](TARGETS, 2, 2)

    def phases(self, numbers: range) -> list[list[Any]]:
        """The events of these writes, phase by phase; in a phase their order is free."""
        return [
            [
                self.owe(n, n % SHARDS, self.intent(n, self.held(FIRST + n, VALUE), self.targets), NOW)
                for n in numbers
            ],
            [self.acknowledged(target, n, FIRST + n) for n in numbers for target in TARGETS],
            [self.ended(n) for n in numbers],
        ]

    def waiting(self, number: int, target: int = AWAY, shards: int = SHARDS) -> list[Any]:
        """A write that one target misses."""
        intent = self.intent(number, self.held(FIRST + number, VALUE), frozenset({target}))
        return [self.owe(number, number % shards, intent, NOW), self.ended(number)]


OURS = Side({**vars(quorum), **vars(production)})
REFERENCE = Side({**vars(quorum_messages), **vars(quorum_operations), **vars(handoff_account)})


def account_with(
    pending: int, targets: tuple[int, ...] = (AWAY,), shards: int = SHARDS
) -> production.HintCore:
    limits = production.Limits(
        per_second=1_000_000_000, most_under_way=1_000, most_hints=1 << 40, most_bytes=1 << 60
    )
    core = production.HintCore(OURS.setting, limits, max_hints=1 << 40)
    for number in range(pending):
        for event in OURS.waiting((1 << 40) + number, targets[number % len(targets)], shards):
            core.step(event)
    return core


def writes(pending: int) -> list[Contestant]:
    core, kind = account_with(pending), BESIDE if pending else ALONE
    numbers = count(0, BATCH)

    def in_batches(operations: int) -> Run:
        starts = [next(numbers) for _ in range(operations // BATCH)]
        ready = [phase for first in starts for phase in OURS.phases(range(first, first + BATCH))]

        def run() -> None:
            for phase in ready:
                core.step_many(phase)

        return run

    return [
        Contestant("production, in batches", kind, in_batches, BATCH),
        Contestant("production, one by one", kind, one_by_one(OURS, account_with(pending).step)),
        Contestant("reference, one by one", kind, one_by_one(REFERENCE, stepper(min(pending, FEW)))),
    ]


def one_by_one(side: Side, step: Callable[[Any], object]) -> Callable[[int], Run]:
    numbers = count()

    def prepare(operations: int) -> Run:
        phases = [side.phases(range(n, n + 1)) for n in (next(numbers) for _ in range(operations))]
        ready = [event for each in phases for phase in each for event in phase]

        def run() -> None:
            for event in ready:
                step(event)

        return run

    return prepare


def stepper(pending: int) -> Callable[[Any], object]:
    """The reference as something that keeps its state."""
    machine, state = HintKeeper(), handoff_account.State(REFERENCE.setting)

    def step(event: Any) -> object:
        nonlocal state
        state, effects = machine.step(state, event)
        return effects

    for number in range(pending):
        for event in REFERENCE.waiting((1 << 40) + number):
            step(event)
    return step


# --- ticks ------------------------------------------------------------------------------------------------


def ticks(pending: int) -> list[Contestant]:
    everybody = tuple(range(AWAY, AWAY + 16))
    return [
        Contestant("production", SHARDS_KIND, delivering(account_with(pending), pending), 1_000),
        Contestant(
            "production", TARGETS_KIND, delivering(account_with(pending, everybody, 1), pending), 16_000
        ),
        Contestant("production", IDLE, idle(account_with(pending))),
    ]


def delivering(core: production.HintCore, pending: int) -> Callable[[int], Run]:
    """What was paid is owed anew between the turns, so that as many are pending in each."""
    now, fresh = count(NOW, 1_000_000_000), count(1 << 50)

    def prepare(hints: int) -> Run:
        for _ in range(pending - len(core)):
            number = next(fresh)
            targets = core.places()
            target = targets[number % len(targets)][0]
            for event in OURS.waiting(number, target, SHARDS if target == AWAY else 1):
                core.step(event)

        def run() -> None:
            sent = 0
            while sent < hints:
                effects: Any = core.step(production.Tick(next(now)))
                sent += len(effects)
                core.step_many(
                    [
                        production.Acknowledged(each.hint.target, each.hint.row, each.hint.version)
                        for each in effects
                    ]
                )

        return run

    return prepare


def idle(core: production.HintCore) -> Callable[[int], Run]:
    core.step(production.Tick(NOW))  # As many as may be are under way.
    event = production.Tick(NOW + 1)

    def run(times: int) -> None:
        for _ in range(times):
            core.step(event)

    return lambda times: lambda: run(times)


# --- replicas ---------------------------------------------------------------------------------------------


def replicas() -> list[Contestant]:
    setting = OURS.setting
    floored = production.FlooredReplicaCore(setting, 1, closed=FIRST, converged=FIRST, floor=FIRST)
    plain = quorum.ReplicaCore(1)
    floored.step(quorum.Start())
    plain.step(quorum.Start())
    machine = handoff_replica.FlooredReplica()
    state = handoff_replica.first_state(1, REFERENCE.setting)
    state = replace(
        state, floor=replace(state.floor, durable=replace(state.floor.durable, closed=FIRST, floor=FIRST))
    )

    def reference(event: Any) -> object:
        nonlocal state
        state, effects = machine.step(state, event)
        return effects

    def writing(step: Callable[[Any], object], make: Callable[[int], Any]) -> Callable[[int], Run]:
        numbers = count(1)

        def prepare(operations: int) -> Run:
            ready = [make(next(numbers)) for _ in range(operations)]

            def run() -> None:
                for event in ready:
                    step(event)

            return run

        return prepare

    def ours(n: int) -> Any:
        return quorum.Deliver(quorum.Write(n, 0, n & 255, quorum.Held(FIRST + n, VALUE)))

    def theirs(n: int) -> Any:
        held = quorum_messages.Held(FIRST + n, VALUE)
        return Deliver(quorum_messages.Write(n, 0, n & 255, held))

    return [
        Contestant("production, with a floor", REPLICA, writing(floored.step, ours)),
        Contestant("production, without", REPLICA, writing(plain.step, ours)),
        Contestant("reference, with a floor", REPLICA, writing(reference, theirs)),
    ]


# --- memory -----------------------------------------------------------------------------------------------


def bytes_per_hint(pending: int) -> float:
    """Measured in a process of its own."""
    told = subprocess.run(
        [sys.executable, __file__, "--memory", "--pending", str(pending)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONMALLOC": "pymalloc"},
    )
    return float(told.stdout)


def tell_memory(pending: int) -> None:
    core = account_with(1)
    gc.collect()
    before = resident()
    for number in range(pending):
        for event in OURS.waiting((1 << 41) + number):
            core.step(event)
    gc.collect()
    print((resident() - before) / pending)


def resident() -> int:
    """Bytes of this process that are in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- measuring and telling --------------------------------------------------------------------------------


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
    """How many fill a turn, whole batches; also the warm-up."""
    timed(one, one.size)
    each = timed(one, one.size) / one.size
    return max(1, round(turn_ms * 1e6 / each / one.size)) * one.size


def timed(one: Contestant, operations: int) -> int:
    run = one.prepare(operations)
    began = time.thread_time_ns()  # Nothing here waits: what other processes take does not count.
    run()
    return time.thread_time_ns() - began


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


def table(everybody: list[Contestant], kind: str) -> Iterator[str]:
    """The lines for one kind; ratios are to the first."""
    row = "{:<44} {:>12} {:>14} {:>12}".format
    first, *others = [one for one in everybody if one.kind == kind]
    yield row(kind, "us each", "a second", "time, ratio")
    for one in (first, *others):
        ratio = f"{one.median / first.median:.2f}"
        yield row(one.name, f"{one.median / 1e3:.2f}", f"{1e9 / one.median:,.0f}", ratio)


def judgement(everybody: list[Contestant], pending: int, memory: float | None) -> Iterator[str]:
    """What the figures say in a line each."""
    by_name = {(one.kind, one.name): one.median for one in everybody}
    for kind in (ALONE, BESIDE):
        reference = by_name[kind, "reference, one by one"]
        single, batch = (by_name[kind, f"production, {how}"] for how in ("one by one", "in batches"))
        beside = f" of which it has {FEW}, production {pending:,}" if kind == BESIDE else ""
        yield (
            f"{kind}{beside}: production is {reference / single:.0f} times as fast as the reference, in "
            f"batches of {BATCH} {reference / batch:.0f} times"
        )
    grows = by_name[BESIDE, "production, one by one"] / by_name[ALONE, "production, one by one"]
    yield f"{pending:,} hints that wait make a write {grows:.2f} times as slow"
    with_floor, without = (by_name[REPLICA, f"production, {how}"] for how in ("with a floor", "without"))
    yield f"a floor makes a write at a replica {100 * (with_floor / without - 1):+.0f} % slower"
    if memory is not None:
        yield f"a pending hint takes {memory:.0f} bytes of memory, with {pending:,} of them"


def main(arguments: list[str] | None = None) -> int:
    summary, _, rest = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(description=summary, epilog=rest.rpartition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="few rounds, and 100,000 hints")
    parser.add_argument("--pending", metavar="HINTS", type=int, help="hints that wait")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures to this file as well")
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.pending is not None and options.pending < 20_000:
        parser.error(f"--pending {options.pending}: at least 20000, or the ticks have nothing to send")
    if options.json is not None and not options.json.resolve().parent.is_dir():
        parser.error(f"--json {options.json}: the folder {options.json.resolve().parent} does not exist")
    pending = options.pending or (100_000 if options.quick else 1_000_000)
    if options.memory:
        tell_memory(pending)
        return 0
    rounds = 7 if options.quick else 41
    memory = bytes_per_hint(pending) if Path("/proc/self/statm").exists() else None
    everybody = [*writes(0), *writes(pending), *ticks(pending), *replicas()]
    measure(everybody, 5.0, rounds)
    described = machine()
    command = "python tests/bench/bench_handoff.py" + " --quick" * options.quick
    lines = [
        ", ".join(f"{name} {value}" for name, value in described.items()),
        f"Medians of {rounds} rounds in turns of about 5 ms; {pending:,} hints wait.",
        f"Again: {command}" + (f" --pending {options.pending}" if options.pending else ""),
        "",
    ]
    for kind in dict.fromkeys(one.kind for one in everybody):
        lines += [*table(everybody, kind), ""]
    print("\n".join([*lines, *judgement(everybody, pending, memory)]))
    if options.json is not None:
        figures = [
            {"name": one.name, "kind": one.kind, "median_ns": one.median, "rounds_ns": one.ns}
            for one in everybody
        ]
        report = {"machine": described, "pending": pending, "bytes_per_hint": memory, "figures": figures}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
