"""The conformance vectors: traces that the reference wrote, checked in for everybody who has no Python.

``python -m scratchbird_check.conformance.vectors`` writes them (``make vectors``), ``--check`` says whether
the ones that are there are what the reference would write now.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scratchbird_check import resources
from scratchbird_check.conformance import (
    scenarios_clock,
    scenarios_handoff,
    scenarios_handoff_floor,
    scenarios_merkle_forest,
    scenarios_merkle_forest_exchange,
    scenarios_merkle_forest_faults,
    scenarios_merkle_forest_replica,
    scenarios_quorum,
    scenarios_quorum_faults,
    scenarios_quorum_settings,
    scenarios_quorum_variants,
    scenarios_restart,
    scenarios_uuid8,
    scenarios_variants,
)
from scratchbird_check.conformance.quorum_scene import setting
from scratchbird_check.conformance.random_handoff import RandomHandoffRun
from scratchbird_check.conformance.random_merkle_forest import RandomMerkleForestRun
from scratchbird_check.conformance.random_quorum import RandomQuorumRun
from scratchbird_check.conformance.random_run import RandomRun
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.errors import CheckError
from scratchbird_check.traces.hlc import Json
from scratchbird_reference.uuid8 import MAX_MS

SMALL_BOUNDS: Json = {
    "max_drift_ms": 5,
    "max_ahead_ms": 3,
    "max_skew_ms": 2,
    "reserve_ms": 4,
    "confirm_quorum": 1,
}


QUORUM_RUNS: dict[str, Json] = {
    "majority of three": {"setting": setting(3, 2, 2), "coordinators": [11, 12]},
    "all write, one reads": {"setting": setting(3, 3, 1), "coordinators": [11, 12]},
    "one writes, all read": {"setting": setting(3, 1, 3), "coordinators": [11, 12]},
    "eventual": {"setting": setting(3, 1, 1, "eventual"), "coordinators": [11, 12]},
    "five": {"setting": setting(5, 4, 2), "coordinators": [11, 12, 13]},
}
"""The configurations of the random runs."""
SMALL_LIMITS: Json = {
    "per_second": 100,
    "most_under_way": 2,
    "answer_within_ns": 20_000_000,
    "most_hints": 4,
    "most_bytes": 3,
    "most_age_ns": 30_000_000_000,
}
HANDOFF_RUNS: dict[str, Json] = {
    "majority of three": {"setting": setting(3, 2, 2), "limits": SMALL_LIMITS},
    "one writes, all read": {"setting": setting(3, 1, 3), "limits": {**SMALL_LIMITS, "per_second": 1}},
    "five, the limits as they are": {"setting": setting(5, 3, 3), "coordinators": [11, 12]},
}
"""The same of part handoff."""
LONG_MS = 1 << 40
"""A grace in which no window is sealed: whether a message of many rows amends a window once, or once for each
row, is left open."""
FOREST_RUNS: dict[str, Json] = {
    "small windows": {"shape": {"window_ms": 10, "most_in_leaf": 2}, "grace_ms": LONG_MS},
    "small messages": {
        "shape": {"window_ms": 25, "most_in_leaf": 1},
        "grace_ms": LONG_MS,
        "bounds": {"items": 2, "size": 120},
        "most_exchanges": 2,
    },
    "one window": {"shape": {"window_ms": 1000}, "grace_ms": LONG_MS},
}
"""The same of part merkle_forest."""


def _mixed(name: str, about: str, config: Json, seed: int, begin: int, steps: int) -> Callable[[], Recorder]:
    def make() -> Recorder:
        record = Recorder(name, about, config=config, seed=seed, states=False)
        run = RandomRun(seed, config, begin=begin)
        for number in range(1, steps + 1):
            node, event, from_step = run.event()
            run.answered(number, record.step(node, event, from_step))
        return record

    return make


def _mixed_quorum(name: str, config: str, seed: int, steps: int) -> Callable[[], Recorder]:
    known = QUORUM_RUNS[config]
    about = f"A random run of quorums: {config}."
    return _drawn("quorum", RandomQuorumRun, name, about, known, seed, steps)


def _mixed_handoff(name: str, config: str, seed: int, steps: int) -> Callable[[], Recorder]:
    known = HANDOFF_RUNS[config]
    about = f"A random run of what is owed and of what may be forgotten: {config}."
    return _drawn("handoff", RandomHandoffRun, name, about, known, seed, steps)


def _mixed_forest(name: str, config: str, seed: int, steps: int) -> Callable[[], Recorder]:
    known = FOREST_RUNS[config]
    about = f"A random run of forests and exchanges: {config}."
    return _drawn("merkle_forest", RandomMerkleForestRun, name, about, known, seed, steps)


def _drawn(
    part: str,
    kind: type[RandomQuorumRun] | type[RandomHandoffRun] | type[RandomMerkleForestRun],
    name: str,
    about: str,
    config: Json,
    seed: int,
    steps: int,
) -> Callable[[], Recorder]:
    def make() -> Recorder:
        record = Recorder(name, about, part=part, config=config, seed=seed, states=False)
        run = kind(seed, record.config)
        for number in range(1, steps + 1):
            node, event, from_step = run.event()
            run.answered(number, record.step(node, event, from_step))
        return record

    return make


SCENARIOS: tuple[Callable[[], Recorder], ...] = (
    *scenarios_clock.SCENARIOS,
    *scenarios_restart.SCENARIOS,
    *scenarios_variants.SCENARIOS,
    *scenarios_uuid8.SCENARIOS,
    _mixed("hlc_mixed", "A random run under the default bounds.", {}, 8, 1_700_000_000_000, 120),
    _mixed("hlc_mixed_small", "A random run under small bounds.", SMALL_BOUNDS, 12, 40, 120),
    _mixed(
        "hlc_mixed_counter",
        "A random run under small bounds, with two counters a millisecond.",
        {**SMALL_BOUNDS, "counters_per_ms": 2},
        18,
        1_000,
        120,
    ),
    _mixed("hlc_mixed_end", "A random run at the end of the range.", SMALL_BOUNDS, 3, MAX_MS - 40, 60),
    *scenarios_quorum.SCENARIOS,
    *scenarios_quorum_faults.SCENARIOS,
    *scenarios_quorum_settings.SCENARIOS,
    *scenarios_quorum_variants.SCENARIOS,
    _mixed_quorum("quorum_mixed", "majority of three", 1, 300),
    _mixed_quorum("quorum_mixed_write_all", "all write, one reads", 2, 200),
    _mixed_quorum("quorum_mixed_write_one", "one writes, all read", 3, 200),
    _mixed_quorum("quorum_mixed_eventual", "eventual", 4, 200),
    _mixed_quorum("quorum_mixed_five", "five", 5, 300),
    *scenarios_handoff.SCENARIOS,
    *scenarios_handoff_floor.SCENARIOS,
    _mixed_handoff("handoff_mixed", "majority of three", 1, 300),
    _mixed_handoff("handoff_mixed_write_one", "one writes, all read", 2, 250),
    _mixed_handoff("handoff_mixed_five", "five, the limits as they are", 3, 250),
    *scenarios_merkle_forest.SCENARIOS,
    *scenarios_merkle_forest_replica.SCENARIOS,
    *scenarios_merkle_forest_exchange.SCENARIOS,
    *scenarios_merkle_forest_faults.SCENARIOS,
    _mixed_forest("merkle_forest_mixed", "small windows", 1, 300),
    _mixed_forest("merkle_forest_mixed_messages", "small messages", 2, 300),
    _mixed_forest("merkle_forest_mixed_window", "one window", 3, 200),
)


def generate() -> dict[str, str]:
    """Every vector: its file's name and its text."""
    made = [scenario() for scenario in SCENARIOS]
    files = {f"{record.name}.ndjson": record.text() for record in made}
    if len(files) != len(made):
        raise AssertionError("two vectors have the same name")
    return files


def stale(folder: Path) -> list[str]:
    """What is wrong with the vectors in a folder, a line each; empty if they are fresh."""
    files = generate()
    found = {path.name: path.read_text() for path in sorted(folder.glob("*.ndjson"))}
    return [
        *(f"{name} is missing" for name in sorted(files.keys() - found.keys())),
        *(f"{name} belongs to no scenario: delete it" for name in sorted(found.keys() - files.keys())),
        *(
            f"{name} is not what the reference writes now"
            for name in sorted(files.keys() & found.keys())
            if files[name] != found[name]
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the vectors, or check them: 0 if they are fresh, 1 if not, 2 if the folder cannot be written."""
    parser = argparse.ArgumentParser(
        prog="python -m scratchbird_check.conformance.vectors", description=__doc__
    )
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a vector is stale")
    parser.add_argument("--folder", type=Path, help="where they are (default: where the package has them)")
    options = parser.parse_args(arguments)
    where = options.folder or Path(str(resources.vectors()))
    try:
        if options.check:
            for line in (problems := stale(where)):
                print(f"{where}: {line}", file=sys.stderr)
            if problems:
                print("run make vectors, and look at what changed before you commit it", file=sys.stderr)
            return 1 if problems else 0
        files = generate()
        for name, text in files.items():
            (where / name).write_text(text)
    except OSError as error:
        print(f"{where}: {error.strerror}: give a folder that can be written by --folder", file=sys.stderr)
        return CheckError.exit_code
    print(f"{len(files)} vectors, {sum(map(len, files.values()))} bytes, in {where}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
