"""Every model by trying every order: slow, short, and obviously what the model says. For tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations, product

from scratchbird_history.models import Model
from scratchbird_history.operations import Kind, Operation, Outcome


def holds(operations: Sequence[Operation], initial: str, model: Model) -> bool:
    """Whether the history is one that the model allows; for at most eight operations or so."""
    if model is Model.LINEARIZABLE or model is Model.SEQUENTIAL:
        return any(
            _legal(order, initial) and _respects(order, model)
            for chosen in _choices(operations)
            for order in permutations(chosen)
        )
    keys = dict.fromkeys(operation.key for operation in operations)
    return all(_session([one for one in operations if one.key == key], initial, model) for key in keys)


def _choices(operations: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Every way to say of each indeterminate write or cas whether it took effect."""
    sure = [one for one in operations if one.outcome is Outcome.OK]
    unsure = [one for one in operations if one.outcome is Outcome.INDETERMINATE and one.kind is not Kind.READ]
    for count in range(len(unsure) + 1):
        for took in combinations(unsure, count):
            yield (*sure, *took)


def _legal(order: Sequence[Operation], initial: str) -> bool:
    """Whether the registers, one operation after another, give these results."""
    values: dict[str, str] = {}
    for one in order:
        if one.observed is not None and values.get(one.key, initial) != one.observed:
            return False
        if one.written is not None:
            values[one.key] = one.written
    return True


def _respects(order: Sequence[Operation], model: Model) -> bool:
    for place, later in enumerate(order):
        for earlier in order[:place]:
            if model is Model.SEQUENTIAL and earlier.process != later.process:
                continue
            if later.returned is not None and later.returned < earlier.invoked:
                return False
    return True


def _session(operations: Sequence[Operation], initial: str, model: Model) -> bool:
    """Every order of the versions, and every version that a read may have seen."""
    operations = [one for one in operations if one.counts]
    writers = [index for index, one in enumerate(operations) if one.written is not None]
    readers = [
        index
        for index, one in enumerate(operations)
        if one.observed is not None and one.outcome is Outcome.OK
    ]
    versions = [
        [
            version
            for version in (-1, *writers)
            if (initial if version < 0 else operations[version].written) == operations[reader].observed
        ]
        for reader in readers
    ]
    for saw in product(*versions):
        source = dict(zip(readers, saw, strict=True))
        if any(_ordered(operations, (-1, *order), source, model) for order in permutations(writers)):
            return True
    return False


def _ordered(
    operations: Sequence[Operation], order: tuple[int, ...], source: dict[int, int], model: Model
) -> bool:
    age = {version: number for number, version in enumerate(order)}
    for index, later in enumerate(operations):
        if index in source and later.written is not None and age[source[index]] >= age[index]:
            return False
        for before, earlier in enumerate(operations[:index]):
            if earlier.process != later.process:
                continue
            wrote = earlier.written is not None and earlier.outcome is Outcome.OK
            if wrote and later.written is not None and age[before] >= age[index]:
                return False
            if index not in source:
                continue
            if model is Model.READ_YOUR_WRITES and wrote and age[source[index]] < age[before]:
                return False
            if (
                model is Model.MONOTONIC_READS
                and before in source
                and age[source[index]] < age[source[before]]
            ):
                return False
    return True
