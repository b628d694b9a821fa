"""Do the searches agree with trying every order?

    python -m scratchbird_history.agreement --histories 100000

Random histories of up to seven operations, of all models and both searches; deterministic in the seed.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence

from scratchbird_history.brute_force import holds
from scratchbird_history.checking import IN_PYTHON, Answer, Engine, check
from scratchbird_history.encoding import code, programs
from scratchbird_history.limits import Limits
from scratchbird_history.models import Model
from scratchbird_history.operations import History, Kind, Operation, Outcome

ENGINES = {"compiled or Python": Engine(), "Python": IN_PYTHON}


def random_history(dice: random.Random, most: int = 7) -> History:
    """A history of one to ``most`` operations, some of which overlap; about half are linearizable."""
    keys = ["x", "y"][: dice.choice((1, 1, 2))]
    values = [str(number) for number in range(dice.choice((2, 3, 8)))]
    unique = iter(map(str, range(10, 30))) if dice.random() < 0.4 else None
    processes = [str(number) for number in range(dice.randint(1, 4))]
    real: dict[str, str] = {}
    open_: dict[str, tuple[Kind, str, tuple[str, ...], int]] = {}
    done: list[Operation] = []
    clock = begun = 0
    total = dice.randint(1, most)
    while begun < total or open_:
        process = dice.choice(processes)
        clock += 1
        if process in open_:
            kind, key, arguments, invoked = open_.pop(process)
            done.append(_completed(dice, real, values, process, kind, key, arguments, invoked, clock))
        elif begun < total:
            begun += 1
            key, kind = dice.choice(keys), dice.choice((Kind.READ, Kind.READ, Kind.WRITE, Kind.CAS))
            new = next(unique) if unique else dice.choice(values)
            old = real.get(key, "0") if dice.random() < 0.7 else dice.choice(values)
            arguments = {Kind.READ: (), Kind.WRITE: (new,), Kind.CAS: (old, new)}[kind]
            open_[process] = (kind, key, arguments, clock)
    return History(tuple(sorted(done, key=lambda one: one.invoked)), "0")


def _completed(
    dice: random.Random,
    real: dict[str, str],
    values: list[str],
    process: str,
    kind: Kind,
    key: str,
    arguments: tuple[str, ...],
    invoked: int,
    clock: int,
) -> Operation:
    """What a register would do that is sometimes wrong: a stale read, a cas that ignores what it expects."""
    wrong = dice.random() < 0.2
    now = real.get(key, "0")
    outcome = Outcome.INDETERMINATE if dice.random() < 0.2 else Outcome.OK
    result = None
    if kind is Kind.READ:
        result = (dice.choice([*values, *real.values()]) if wrong else now) if outcome is Outcome.OK else None
    elif kind is Kind.CAS and arguments[0] != now and not wrong:
        outcome = Outcome.FAIL if outcome is Outcome.OK else outcome
    elif outcome is Outcome.OK or dice.random() < 0.5:
        real[key] = arguments[-1]
    returned = None if outcome is Outcome.INDETERMINATE else clock
    return Operation(process, key, kind, arguments, result, invoked, returned, outcome)


def disagreements(histories: int, seed: int, most: int = 7) -> tuple[list[str], Counter[str]]:
    """What differs, in words, and how often each model gave which answer."""
    dice = random.Random(seed)
    found: list[str] = []
    counts: Counter[str] = Counter()
    for number in range(histories):
        history = random_history(dice, most)
        for model in Model:
            expected = holds(history.operations, history.initial, model)
            for name, engine in ENGINES.items():
                verdict = check(history, model, engine=engine, shrinking=1.0 if number % 20 == 0 else 0.0)
                if name != "Python":
                    counts[f"{model.value}: {verdict.answer.value}"] += 1
                allowed = {Answer.YES if expected else Answer.NO}
                if model in (Model.READ_YOUR_WRITES, Model.MONOTONIC_READS):
                    allowed.add(Answer.UNKNOWN)
                agrees = verdict.answer in allowed
                if model is Model.SEQUENTIAL:  # The search itself too, without the short way to a yes.
                    work = programs(code(history.operations, history.initial))
                    agrees = agrees and engine.sequential(work, Limits()).answer is expected
                if not agrees:
                    found.append(f"history {number}, {model.value}, {name}: {verdict} for {history}")
    return found, counts


def main(argv: Sequence[str] | None = None) -> int:
    """Compare, print the counts, and end with 1 if there is any difference."""
    parser = argparse.ArgumentParser(description="Do the searches agree with trying every order?")
    parser.add_argument("--histories", type=int, default=100_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    options = parser.parse_args(argv)
    found, counts = disagreements(options.histories, options.seed)
    for name, count in sorted(counts.items()):
        print(f"{name:28}{count:>10}")
    print(f"{options.histories} histories, seed {options.seed}: {len(found)} differences")
    for text in found[:10]:
        print(text)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
