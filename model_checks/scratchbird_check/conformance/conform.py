"""The conformance kit: an implementation in any language against the vectors and against the reference.

The implementation is a program that reads one JSON object a line from standard input and writes one JSON
object a line to standard output, in turn: one line in, one line out, each flushed. It ends when its input
ends. What it writes to standard error is shown when something goes wrong.

The first line, and any later one with ``hello``, says: forget everything, and be this clock, which is down::

    {"hello": {"part": "hlc", "config": {"max_drift_ms": 500}, "node_id": 7, "bound": [0, 0]}}
    {"hello": {"part": "uuid8"}}
    {"hello": {"part": "quorum", "machine": "replica", "node_id": 2}}
    {"hello": {"part": "quorum", "machine": "coordinator", "node_id": 11, "setting": {...}}}
    {"hello": {"part": "handoff", "machine": "catalog", "node_id": 21, "setting": {...}}}
    {"hello": {"part": "merkle_forest", "machine": "replica", "node_id": 2, "setting": {...}, "shape": {...}}}

``config`` may leave settings out, which then have the defaults of ``spec/hlc.md``; ``bound`` is the durable
bound that the node finds. The answer is one of::

    {"ok": true}
    {"error": "max_drift_ms is 0: ..."}            the configuration is wrong
    {"ok": false, "reason": "..."}                 right, but this implementation does not do that

A clock whose counter has 12 bits and no fewer may so decline every ``counters_per_ms`` but 4096, a store that
encodes rows in another way the questions about encodings, and nothing else. Then each line is an event, in
the form of ``spec/trace.schema.json``::

    {"event": {"event": "tick", "wall": 1700000000000, "monotonic": 5, "random": 0}}

and the answer is what comes of it, with the whole state after it, or, for an event that is malformed or
impossible in this state, an error, after which the state is as it was (and may be left out)::

    {"effects": [{"effect": "issued", "id": "...", "timestamp": [1700000000000, 0]}], "state": {"up": true}}
    {"error": "the node is down: start it"}

Effects and states are compared field by field; the words of an error are free. Part ``uuid8`` has no state.
Every event stands for what a test can not wait for: a crash is an event (drop what is volatile, keep what is
durable), and ``persisted`` says that the write which an effect ``persist`` asked for has reached the disk.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, TextIO

from scratchbird_check import resources
from scratchbird_check.conformance.command import DEADLINE_S, CommandDriver
from scratchbird_check.conformance.differences import compare, event_text, state_before, table
from scratchbird_check.conformance.drivers import (
    PARTS,
    Answer,
    DeclinedError,
    Hello,
    HelloRefusedError,
    ImplementationError,
    ReferenceDriver,
)
from scratchbird_check.conformance.merkle_forest_machine import ENCODING
from scratchbird_check.conformance.quorum_scene import setting
from scratchbird_check.conformance.random_handoff import RandomHandoffRun
from scratchbird_check.conformance.random_merkle_forest import RandomMerkleForestRun
from scratchbird_check.conformance.random_quorum import RandomQuorumRun
from scratchbird_check.conformance.random_run import RandomQuestions, RandomRun
from scratchbird_check.conformance.reading import Header, Line, read_trace
from scratchbird_check.conformance.rules import in_order, rules_of
from scratchbird_check.conformance.vectors import FOREST_RUNS, HANDOFF_RUNS, QUORUM_RUNS, SMALL_BOUNDS
from scratchbird_check.errors import UsageError
from scratchbird_check.traces.hlc import Json
from scratchbird_reference.uuid8 import MAX_COUNTER

GIVE_UP_AFTER = 3
"""So many vectors in a row on which the implementation crashes or hangs, and the rest is not tried."""
STEPS = 2000

WRONG_CLOCKS: tuple[Json, ...] = (
    {"max_drift_ms": 0},
    {"max_ahead_ms": 0},
    {"max_skew_ms": 0},
    {"reserve_ms": 0},
    {"confirm_quorum": 0},
    {"max_drift_ms": -1},
    {"max_drift_ms": 499},
    {"max_ahead_ms": 251},
    {"max_skew_ms": 251},
    {"max_drift_ms": 1 << 48},
    {"reserve_ms": 0.5},
    {"reserve_ms": "1000"},
    {"no_such_setting": 1},
)
WRONG_SETTINGS: tuple[Json, ...] = (
    setting(3, 1, 2),  # W + R is not more than N.
    setting(4, 2, 2),
    setting(5, 5, 0),
    setting(0, 1, 1),
    setting(3, 4, 1),
    setting(3, 1, 4, "eventual"),
    setting(3, 0, 3, "eventual"),
    setting([1, 2, 2], 2, 2),
    setting([-1, 1, 2], 2, 2),
    setting(256, 200, 200),
    setting(3, 2, 2, "strong"),
    setting(3, 2, 2, epoch=-1),
    {**setting(), "write_quorum": "2"},
    {**setting(), "read_quorum": 2.5},
    {**setting(), "replicas": 3},
    {"replicas": [1, 2, 3]},
    {**setting(), "no_such_setting": 1},
)
WRONG_LIMITS: tuple[Json, ...] = (
    {"per_second": 0},
    {"per_second": 1_000_000_001},
    {"per_second": 0.5},
    {"most_under_way": 0},
    {"answer_within_ns": -1},
    {"most_hints": "5"},
    {"most_bytes": 0},
    {"most_age_ns": 0},
    {"no_such_limit": 1},
)
WRONG_FORESTS: tuple[Json, ...] = (
    {"shape": {"window_ms": 0}},
    {"shape": {"window_ms": 0.5}},
    {"shape": {"most_in_leaf": 0}},
    {"shape": {"encoding": 0}},
    {"shape": {"number": -1}},
    {"shape": {"no_such_part": 1}},
    {"bounds": {"items": 0}},
    {"bounds": {"size": 0}},
    {"bounds": {"size": "100"}},
    {"grace_ms": -1},
    {"grace_ms": "5"},
    {"most_exchanges": 0},
)
WRONG_CONFIGURATIONS: dict[str, tuple[str, tuple[Json, ...]]] = {
    "hlc": ("no such clock may start (HLC.R8)", WRONG_CLOCKS),
    "quorum": (
        "no coordinator may use such a setting (QUORUM.R2, QUORUM.R3)",
        tuple({"setting": wrong, "coordinators": [11]} for wrong in WRONG_SETTINGS),
    ),
    "handoff": (
        "no coordinator may use such limits, or such a setting (HANDOFF.R4, HANDOFF.R5, QUORUM.R3)",
        (
            *({"setting": setting(), "limits": wrong} for wrong in WRONG_LIMITS),
            *({"setting": wrong} for wrong in WRONG_SETTINGS),
        ),
    ),
    "merkle_forest": (
        "no replica may have such a forest (MERKLE_FOREST.R4, MERKLE_FOREST.R15)",
        WRONG_FORESTS,
    ),
}
"""Of each part that has any: what an implementation that takes one is told, and the configurations."""

RANDOM_RUNS = {"quorum": QUORUM_RUNS, "handoff": HANDOFF_RUNS, "merkle_forest": FOREST_RUNS}
"""Of each part whose random runs are of named configurations."""
_OF_NAMED: dict[str, type[RandomQuorumRun] | type[RandomHandoffRun] | type[RandomMerkleForestRun]] = {
    "quorum": RandomQuorumRun,
    "handoff": RandomHandoffRun,
    "merkle_forest": RandomMerkleForestRun,
}
_Run = RandomRun | RandomQuestions | RandomQuorumRun | RandomHandoffRun | RandomMerkleForestRun


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one vector, or of one random run."""

    name: str
    verdict: str
    """``pass``, ``FAIL`` or ``declined``."""
    detail: str
    lines: tuple[str, ...] = ()
    """The first divergence, for a person."""
    broke: bool = False
    """Whether the implementation crashed, hung or broke the protocol."""


class _Source(Protocol):
    """Where the events come from: a vector, or a random run that looks at the answers."""

    def event(self) -> tuple[str, int, Json] | None:
        """Where we are in words, the lane, and the event; ``None`` at the end."""

    def answered(self, answer: Answer) -> None:
        """What the reference said to it."""


class _Vector:
    def __init__(self, lines: Iterator[Header | Line]) -> None:
        self._lines = lines

    def event(self) -> tuple[str, int, Json] | None:
        line = next(self._lines, None)
        if line is None or isinstance(line, Header):
            return None
        return f"step {line.step} (line {line.number})", line.node, line.event

    def answered(self, answer: Answer) -> None:
        """A vector's events stand fixed; that its answers are the reference's is checked elsewhere."""


class _Random:
    def __init__(self, run: _Run, steps: int) -> None:
        self._run = run
        self._steps = steps
        self._step = 0

    def event(self) -> tuple[str, int, Json] | None:
        if self._step == self._steps:
            return None
        self._step += 1
        node, event, _ = self._run.event()
        return f"step {self._step}", node, event

    def answered(self, answer: Answer) -> None:
        self._run.answered(self._step, answer)


class Kit:
    """Drives one command. Each lane of a vector is a process of its own, used again for the next vector."""

    def __init__(self, command: str, deadline_s: float = DEADLINE_S) -> None:
        self._command = command
        self._deadline_s = deadline_s
        self._pool: list[CommandDriver] = []

    def close(self) -> None:
        for driver in self._pool:
            driver.close()

    def vector(self, text: bytes, name: str) -> Result:
        """One vector."""
        lines = read_trace(io.BytesIO(text), name)
        header = next(lines)
        assert isinstance(header, Header)  # The first item always is.
        return self._drive(header.name, header.part, header.config, _Vector(lines), header.about)

    def random(self, part: str, config: Json, seed: int, steps: int) -> Result:
        """A random run, compared with the reference while it runs."""
        name = f"random run, {part}"
        run: _Run
        if part == "uuid8":
            run = RandomQuestions(seed)
        elif part in RANDOM_RUNS:
            run = _OF_NAMED[part](seed, config)
            name += "".join(f", {words}" for words, known in RANDOM_RUNS[part].items() if known == config)
        else:
            run = RandomRun(seed, config)
            settings = ", ".join(f"{key} {value}" for key, value in config.items())
            name += f", {settings or 'the default settings'}"
        return self._drive(f"{name}, seed {seed}", part, config, _Random(run, steps))

    def wrong_configurations(self, part: str = "hlc") -> Result:
        """Each configuration that contradicts itself must be refused."""
        name = "wrong configurations" if part == "hlc" else f"wrong configurations, {part}"
        why, configs = WRONG_CONFIGURATIONS[part]
        for config in configs:
            try:
                self._lane(0).hello(Hello(part, config, 1 if part == "hlc" else 11))
            except HelloRefusedError:
                continue
            except DeclinedError as error:
                return Result(name, "FAIL", f"{config}: declined ({error}), an error was expected")
            except ImplementationError as error:
                return Result(name, "FAIL", f"{config}: the implementation failed", _indented(error), True)
            return Result(name, "FAIL", f"{config} was taken: {why}")
        return Result(name, "pass", f"{len(configs)} refused")

    def _lane(self, index: int) -> CommandDriver:
        while len(self._pool) <= index:
            self._pool.append(CommandDriver(self._command, self._deadline_s))
        return self._pool[index]

    def _drive(self, name: str, part: str, config: Json, source: _Source, about: str = "") -> Result:
        lanes: dict[int, tuple[ReferenceDriver, CommandDriver]] = {}
        count, where, node = 0, "hello", 0
        try:
            while (item := source.event()) is not None:
                place, node, event = item
                where = "hello"
                if node not in lanes:
                    lanes[node] = ReferenceDriver(), self._lane(len(lanes))
                    for driver in lanes[node]:
                        driver.hello(Hello(part, config, node))
                where = place
                reference, subject = lanes[node]
                before = reference.state()
                expected = reference.step(event)
                answer = subject.step(event)
                answer = replace(answer, effects=in_order(part, answer.effects))
                if found := compare(expected, answer):
                    lines = [*state_before(before), *table(found, "reference", "command")]
                    lines += [*rules_of(part, event, before), *[f"  the rule: {about}"] * bool(about)]
                    return Result(name, "FAIL", f"{where}, node {node}: {event_text(event)}", (*lines,))
                source.answered(expected)
                count += 1
        except DeclinedError as error:
            if may_decline(part, config, node):
                return Result(name, "declined", str(error))
            return Result(
                name,
                "FAIL",
                f"declined ({error}): nothing but counters_per_ms and the encoding of rows may be declined; "
                f"if the implementation does not have part {part}, name those that it has with --part",
            )
        except HelloRefusedError as error:
            return Result(
                name,
                "FAIL",
                f"hello: the configuration {config} is right: {error}; if the implementation does not have "
                f"part {part}, name those that it has with --part",
            )
        except ImplementationError as error:
            return Result(name, "FAIL", f"{where}: the implementation failed", _indented(error), True)
        return Result(name, "pass", f"{count} steps")


def may_decline(part: str, config: Json, node: int) -> bool:
    """Whether an implementation may say that it does not do this.

    A clock whose counter is always full size, and a store whose rows have an encoding of their own, which
    then has a number of its own in each setting (rule MERKLE_FOREST.R7).
    """
    if part == "merkle_forest":
        return bool(node == config.get("encoding", ENCODING))
    return bool(config.get("counters_per_ms", MAX_COUNTER + 1) != MAX_COUNTER + 1)


def conform(
    command: str,
    parts: Sequence[str] = (),
    *,
    steps: int = STEPS,
    seed: int = 0,
    deadline_s: float = DEADLINE_S,
    out: TextIO | None = None,
) -> int:
    """``scratchbird_check conform --command COMMAND [--part P]...``

    :param parts: the parts to test; all of them if empty.
    :param steps: of each random run.
    :param deadline_s: how long the implementation may take for one line, in seconds.
    :returns: 0 if the implementation conforms, 1 if it does not.
    :raises UsageError: if the command cannot be started, or a part is unknown.
    """
    for part in parts:
        if part not in PARTS:
            raise UsageError(f"unknown part {part!r}: the parts are {', '.join(PARTS)}")
    kit = Kit(command, deadline_s)
    results: list[Result] = []
    shown: tuple[str, ...] = ()
    try:
        for make in _tests(kit, parts or PARTS, steps, seed):
            if all(result.broke for result in results[-GIVE_UP_AFTER:]) and len(results) >= GIVE_UP_AFTER:
                print(f"gave up: the implementation failed {GIVE_UP_AFTER} times in a row", file=out)
                break
            results.append(result := make())
            print(f"{result.verdict:<9} {result.name}: {result.detail}", file=out)
            for line in ("  as before",) if result.lines and result.lines == shown else result.lines:
                print(line, file=out)
            shown = result.lines
    finally:
        kit.close()
    count = Counter(result.verdict for result in results)
    print(", ".join(f"{count[word]} {word}" for word in ("pass", "FAIL", "declined")), file=out)
    return 1 if count["FAIL"] or not count["pass"] else 0


def _tests(kit: Kit, parts: Sequence[str], steps: int, seed: int) -> Iterator[Callable[[], Result]]:
    for part in parts:
        for file in sorted(resources.vectors().iterdir(), key=lambda item: item.name):
            if file.name.startswith(f"{part}_") and file.name.endswith(".ndjson"):
                yield partial(kit.vector, file.read_bytes(), file.name)
        if part in WRONG_CONFIGURATIONS:
            yield partial(kit.wrong_configurations, part)
        if part in RANDOM_RUNS:
            for config in RANDOM_RUNS[part].values():
                yield partial(kit.random, part, config, seed, steps)
            continue
        if part == "hlc":
            yield partial(kit.random, part, SMALL_BOUNDS, seed, steps)
        yield partial(kit.random, part, {}, seed, steps)


def _indented(error: Exception) -> tuple[str, ...]:
    return tuple(f"  {line}" for line in str(error).splitlines())
