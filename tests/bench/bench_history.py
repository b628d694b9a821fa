"""How fast histories are checked: the compiled search beside the same search in Python and every order tried.

    python tests/bench/bench_history.py [--quick]

The histories are of one register, 10 clients and 10,000 operations (1,000 with --quick), deterministic in the
seed, and linearizable, as an operation takes effect at some moment between its invocation and its return. The
searches take turns in every round; figures are medians over the rounds, each with its ratio to the compiled
search in the same run. Trying every order is compared where it ends, on seven operations.
"""

from __future__ import annotations

import argparse
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from scratchbird_history.agreement import random_history
from scratchbird_history.brute_force import holds
from scratchbird_history.checking import COMPILED, IN_PYTHON, Answer, check
from scratchbird_history.models import Model
from scratchbird_history.operations import History, Kind, Operation, Outcome, by_key

CLIENTS = 10


@dataclass(frozen=True)
class Load:
    """What the clients do."""

    name: str
    weights: tuple[int, int, int]
    """Of reads, writes and compare-and-sets."""
    values: int | None
    """How many different values there are; None: every write has one of its own."""
    lost: float
    """The part of operations of which nobody knows the end."""


LOADS = (
    Load("ordinary: half reads, 5 values, 1 % lost", (2, 1, 1), 5, 0.01),
    Load("unique values, half reads", (2, 1, 1), None, 0.0),
    Load("crowded: one read in ten, 5 values, 1 % lost", (1, 8, 1), 5, 0.01),
    Load("crowded: one read in ten, unique values", (1, 8, 1), None, 0.0),
)


def record(load: Load, operations: int, seed: int) -> History:
    """What clients of one register would have recorded."""
    dice = random.Random(seed)
    done: list[Operation] = []
    open_: dict[str, tuple[Kind, tuple[str, ...], int]] = {}
    took: dict[str, tuple[Outcome, str | None]] = {}
    register = "0"
    clock = begun = 0
    while begun < operations or open_:
        process = str(dice.randrange(CLIENTS))
        clock += 1
        if process in took:
            kind, arguments, invoked = open_.pop(process)
            outcome, result = took.pop(process)
            returned = None if outcome is Outcome.INDETERMINATE else clock
            done.append(Operation(process, "x", kind, arguments, result, invoked, returned, outcome))
        elif process in open_:
            kind, arguments, _ = open_[process]
            fits = kind is not Kind.CAS or arguments[0] == register
            result = register if kind is Kind.READ else None
            register = arguments[-1] if arguments and fits else register
            if dice.random() < load.lost:
                took[process] = (Outcome.INDETERMINATE, None)
            else:
                took[process] = (Outcome.OK if fits else Outcome.FAIL, result)
        elif begun < operations:
            begun += 1
            kind = dice.choices((Kind.READ, Kind.WRITE, Kind.CAS), load.weights)[0]
            new = str(begun if load.values is None else dice.randrange(load.values))
            old = register if load.values is None else str(dice.randrange(load.values))
            given = {Kind.READ: (), Kind.WRITE: (new,), Kind.CAS: (old, new)}[kind]
            open_[process] = (kind, given, clock)
    return History(tuple(sorted(done, key=lambda one: one.invoked)), "0")


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the operations, fewer rounds")
    quick = parser.parse_args().quick
    operations, rounds = (1_000, 3) if quick else (10_000, 7)
    if not COMPILED:
        print("the compiled search is missing: there is nothing to compare; run make build", file=sys.stderr)
        return 1
    print(f"Python {platform.python_version()}, {platform.machine()}; medians of {rounds} rounds")
    print(f"reproduce: python {' '.join(sys.argv)}\n")
    print(
        f"{f'linearizable, {operations} operations':48}"
        f"{'compiled':>12}{'Python':>12}{'ratio':>8}{'steps':>10}"
    )
    for load in LOADS:
        history = record(load, operations, seed=1)
        verdict = check(history)
        assert verdict.answer is Answer.YES
        fast, slow = [], []
        for _ in range(rounds):
            fast.append(seconds(partial(check, history)))
            slow.append(seconds(partial(check, history, engine=IN_PYTHON)))
        _row(load.name, statistics.median(fast), statistics.median(slow), str(verdict.steps))
    dice = random.Random(1)
    small = [random_history(dice) for _ in range(20 if quick else 200)]
    keyed = [(one.initial, list(by_key(one.operations).values())) for one in small]
    fast, slow = [], []
    for _ in range(rounds):
        fast.append(seconds(lambda: [check(one, shrinking=-1.0) for one in small]))
        slow.append(
            seconds(lambda: [all(holds(one, at, Model.LINEARIZABLE) for one in parts) for at, parts in keyed])
        )
    print("\nbeside every order tried (second column), at most 7 operations")
    _row(f"{len(small)} histories", statistics.median(fast), statistics.median(slow), "")
    return 0


def _row(name: str, fast: float, slow: float, more: str) -> None:
    print(f"{name:48}{fast * 1e3:>9.1f} ms{slow * 1e3:>9.1f} ms{slow / fast:>8.1f}{more:>10}")


if __name__ == "__main__":
    raise SystemExit(main())
