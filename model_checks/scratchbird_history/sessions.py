"""The session guarantees: read-your-writes and monotonic reads (Terry et al. 1994), decided exactly.

Each key has versions: its initial value and its writes (a cas writes too). The guarantee holds if there is
one order of the versions of each key, the same for all, such that

- the initial value is first; the writes of one process are in its order (one that is indeterminate comes
  after those before it, and anywhere as to those after it); a cas comes after the version it saw;
- read-your-writes: whoever reads after a write of its own that was ok sees that version or a later one;
- monotonic-reads: whoever reads twice sees the second time the same version or a later one.

What a cas expected counts as read. That an order exists means that these demands have no cycle. The demands
need to know which version a read saw. Where a value was written more than once (or is also the initial one)
they do not: the read then demands nothing, a cycle among the rest is still a "no", and no cycle is
*unknown*.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scratchbird_history.operations import Kind, Operation, Outcome

INITIAL = -1
"""The version that is there before the first write; others are numbered as the operations that write them."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The version ``earlier`` must be before ``later``, because of these operations."""

    earlier: int
    later: int
    because: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """One key.

    :ivar answer: None if it could not be decided.
    :ivar core: the operations that contradict each other.
    :ivar sentence: why not, or why it is unknown.
    """

    answer: bool | None
    core: tuple[Operation, ...] = ()
    sentence: str = ""


def judge(operations: Sequence[Operation], initial: str, *, monotonic: bool) -> Judged:
    """The operations of one key, in order of invocation, under one of the two guarantees."""
    operations = [operation for operation in operations if operation.counts]
    sources: dict[str, list[int]] = {initial: [INITIAL]}
    for index, operation in enumerate(operations):
        if operation.written is not None:
            sources.setdefault(operation.written, []).append(index)
    unsure: Operation | None = None
    saw: dict[int, int] = {}
    for index, operation in enumerate(operations):
        if operation.outcome is not Outcome.OK or operation.observed is None:
            continue
        found = sources.get(operation.observed, [])
        if operation.kind is Kind.CAS and operation.arguments[0] != operation.arguments[1]:
            found = [source for source in found if source != index]
        if not found:
            text = f"{operation.label()} saw {operation.observed}, which nobody wrote"
            return Judged(False, (operation,), text)
        if len(found) > 1:
            unsure = unsure or operation
        elif found[0] != index:
            saw[index] = found[0]
        else:
            return Judged(
                False, (operation,), f"{operation.label()} saw its own value, which nobody else wrote"
            )
    cycle = _merged(_cycle(list(_demands(operations, saw, monotonic=monotonic))))
    if cycle:
        named = dict.fromkeys(index for demand in cycle for index in demand.because)
        what = "; ".join(_told(operations, demand, initial) for demand in cycle)
        return Judged(False, tuple(operations[index] for index in sorted(named)), what)
    if unsure is not None:
        return Judged(
            None,
            (),
            f"{unsure.observed} was written more than once, so that nobody can tell which of these writes"
            f" the {unsure.label()} of line {unsure.line} saw: record histories in which every write has a"
            " value of its own",
        )
    return Judged(True)


def _demands(operations: list[Operation], saw: dict[int, int], *, monotonic: bool) -> Iterator[Demand]:
    wrote: dict[str, int] = {}
    read: dict[str, int] = {}
    for index, operation in enumerate(operations):
        process = operation.process
        if index in saw:
            seen = saw[index]
            before = read.get(process) if monotonic else wrote.get(process)
            if before is not None:
                needed = saw[before] if monotonic else before
                if needed != seen:
                    yield Demand(needed, seen, (before, index))
            read[process] = index
        if operation.written is not None:
            if index in saw:
                yield Demand(saw[index], index, (index,))
            if process in wrote:
                yield Demand(wrote[process], index, (wrote[process], index))
            if operation.outcome is Outcome.OK:
                wrote[process] = index
            yield Demand(INITIAL, index, (index,))


def _cycle(demands: list[Demand]) -> list[Demand]:
    """A cycle, as short as there is one through some demand; empty if there is none."""
    after: dict[int, list[Demand]] = {}
    for demand in demands:
        after.setdefault(demand.earlier, []).append(demand)
    best: list[Demand] = []
    for start in _on_cycles(after):
        came: dict[int, Demand] = {}
        todo = deque([start])
        while todo and start not in came:
            for demand in after.get(todo.popleft(), ()):
                if demand.later not in came:
                    came[demand.later] = demand
                    todo.append(demand.later)
        if start in came:
            path = [came[start]]
            while path[-1].earlier != start:
                path.append(came[path[-1].earlier])
            if not best or len(path) < len(best):
                best = path[::-1]
        if len(best) == 2:
            break
    return best


def _merged(cycle: list[Demand]) -> list[Demand]:
    """Of a chain of demands of one process its ends: of these two the definition demands it at once."""
    for turn in range(len(cycle)):
        if not _chained(cycle[turn - 1], cycle[turn]):
            cycle = cycle[turn:] + cycle[:turn]
            break
    merged: list[Demand] = []
    for demand in cycle:
        if merged and _chained(merged[-1], demand):
            first = merged.pop()
            demand = Demand(first.earlier, demand.later, (first.because[0], demand.because[1]))
        merged.append(demand)
    return merged


def _chained(first: Demand, second: Demand) -> bool:
    return len(first.because) == len(second.because) == 2 and first.because[1] == second.because[0]


def _on_cycles(after: dict[int, list[Demand]]) -> list[int]:
    """What is left when all that nothing leads to is taken away, again and again; empty without a cycle."""
    leading: dict[int, int] = dict.fromkeys(after, 0)
    for demands in after.values():
        for demand in demands:
            leading[demand.later] = leading.get(demand.later, 0) + 1
    todo = [version for version, count in leading.items() if count == 0]
    while todo:
        version = todo.pop()
        del leading[version]
        for demand in after.get(version, ()):
            leading[demand.later] -= 1
            if leading[demand.later] == 0:
                todo.append(demand.later)
    return sorted(version for version in leading if version in after)[:MOST_STARTS]


MOST_STARTS = 50
"""Versions from which a cycle is looked for; any one shows the contradiction, few make a short one likely."""


def _told(operations: list[Operation], demand: Demand, initial: str) -> str:
    names = [
        f"the initial value {initial}" if version == INITIAL else f"{operations[version].written}"
        for version in (demand.earlier, demand.later)
    ]
    who = " then ".join(f"{operations[index].label()}" for index in demand.because)
    return f"process {operations[demand.because[0]].process}, {who}: {names[0]} comes before {names[1]}"
