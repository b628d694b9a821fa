"""A history in the small whole numbers that the search works on.

Some operations may be *optional*: they may have taken effect or not. Indeterminate ones are, and, for the
question which few operations cannot be explained (:mod:`scratchbird_history.shortest`), all but a chosen few.
An optional operation whose value no other needs is left out: an order in which it takes effect is still one
without it, since whatever comes next overwrites the value unseen.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from scratchbird_history.operations import Kind, Operation, Outcome

READ, WRITE, CAS = 0, 1, 2
_CODE = {Kind.READ: READ, Kind.WRITE: WRITE, Kind.CAS: CAS}


@dataclass(slots=True)
class Coded:
    """Operations as columns: the i-th of each list belongs to operation i.

    :ivar seen: the value a read returned or a cas expects; 0 for a write.
    :ivar put: the value afterwards; 0 for a read.
    :ivar must: whether it has to take effect.
    """

    chosen: list[Operation] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    key: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    put: list[int] = field(default_factory=list)
    must: list[bool] = field(default_factory=list)
    initial: int = 0
    keys: int = 0


def code(operations: Sequence[Operation], initial: str, core: Collection[Operation] | None = None) -> Coded:
    """The columns; operations outside ``core`` (None: all are in it) are optional."""
    coded = Coded()
    numbers: dict[str, int] = {}
    keys: dict[str, int] = {}
    coded.initial = numbers.setdefault(initial, 0)
    for operation in _needed(operations, core):
        coded.chosen.append(operation)
        coded.kind.append(_CODE[operation.kind])
        coded.key.append(keys.setdefault(operation.key, len(keys)))
        for column, text in ((coded.seen, operation.observed), (coded.put, operation.written)):
            column.append(0 if text is None else numbers.setdefault(text, len(numbers)))
        coded.must.append(_obliged(operation, core))
    coded.keys = len(keys)
    return coded


def _obliged(operation: Operation, core: Collection[Operation] | None) -> bool:
    return operation.outcome is Outcome.OK and (core is None or operation in core)


def _needed(operations: Sequence[Operation], core: Collection[Operation] | None) -> list[Operation]:
    """Without what failed, reads that are optional, and optional values which nobody needs."""
    obliged: list[Operation] = []
    optional: dict[tuple[str, str | None], list[Operation]] = {}
    for operation in operations:
        if operation.counts and _obliged(operation, core):
            obliged.append(operation)
        elif operation.counts and operation.kind is not Kind.READ:
            optional.setdefault((operation.key, operation.written), []).append(operation)
    kept = list(obliged)
    waiting = [(operation.key, operation.observed) for operation in obliged if operation.observed is not None]
    while waiting:
        for operation in optional.pop(waiting.pop(), ()):
            kept.append(operation)
            if operation.observed is not None:
                waiting.append((operation.key, operation.observed))
    return sorted(kept, key=lambda operation: operation.invoked)


@dataclass(slots=True)
class Timeline:
    """One key in the order of its events, for linearizability.

    :ivar events: twice the operation's number, plus one for its return.
    :ivar slot: the operation's bit. Operations that return share bits, one after another; the bits of those
        that never do follow after.
    :ivar open_from, open_to: for each event that is a return: the part of ``open_`` with what is then
        between invocation and return, itself included.
    :ivar endless: the operations that never return, in order of invocation.
    :ivar endless_before: how many of those were invoked before the event.
    :ivar twin: for each of those, the one before it that does the same; -1 if there is none. They are
        tried in this order only.
    """

    coded: Coded
    events: list[int]
    slot: list[int]
    slots: int
    open_: list[int]
    open_from: list[int]
    open_to: list[int]
    endless: list[int]
    endless_before: list[int]
    twin: list[int]


def timeline(coded: Coded) -> Timeline:
    """The events of one key, and who is open when."""
    chosen = coded.chosen
    marks = [(operation.invoked, 2 * index) for index, operation in enumerate(chosen)]
    marks += [
        (operation.returned, 2 * index + 1)
        for index, operation in enumerate(chosen)
        if operation.returned is not None
    ]
    events = [event for _, event in sorted(marks)]
    endless = [index for index, operation in enumerate(chosen) if operation.returned is None]
    found = Timeline(coded, events, [0] * len(chosen), 0, [], [], [], endless, [], [])
    free: list[int] = []
    now_open: dict[int, None] = {}
    endless_now = 0
    for event in events:
        index = event >> 1
        found.endless_before.append(endless_now)
        found.open_from.append(len(found.open_))
        if event & 1:
            found.open_.extend(now_open)
            del now_open[index]
            heappush(free, found.slot[index])
        elif chosen[index].returned is None:
            endless_now += 1
        else:
            if not free:
                heappush(free, found.slots)
                found.slots += 1
            found.slot[index] = heappop(free)
            now_open[index] = None
        found.open_to.append(len(found.open_))
    last: dict[tuple[int, int, int], int] = {}
    for index in endless:
        found.slot[index] = found.slots
        found.slots += 1
        what = (coded.kind[index], coded.seen[index], coded.put[index])
        found.twin.append(last.get(what, -1))
        last[what] = index
    return found


@dataclass(slots=True)
class Programs:
    """All keys, process by process, for sequential consistency.

    :ivar steps: for each process the operations that must take effect, in the process's order.
    :ivar optional: those which need not, and may do so at any time after they were invoked.
    :ivar owner, after: for each of those, its process and how many of that process's steps come before.
    :ivar twin: for each of those, the place in ``optional`` of the one before it that does the same; or -1.
    :ivar rank: for each operation, the order in which to try: as they returned.
    """

    coded: Coded
    steps: list[list[int]]
    optional: list[int]
    owner: list[int]
    after: list[int]
    twin: list[int]
    rank: list[int]


def programs(coded: Coded) -> Programs:
    """Each process's operations in its order."""
    processes: dict[str, int] = {}
    found = Programs(coded, [], [], [], [], [], [0] * len(coded.chosen))
    last: dict[tuple[int, int, int, int, int], int] = {}
    for index, operation in enumerate(coded.chosen):
        process = processes.setdefault(operation.process, len(processes))
        if process == len(found.steps):
            found.steps.append([])
        if coded.must[index]:
            found.steps[process].append(index)
            continue
        what = (process, coded.kind[index], coded.key[index], coded.seen[index], coded.put[index])
        found.twin.append(last.get(what, -1))
        last[what] = len(found.optional)
        found.optional.append(index)
        found.owner.append(process)
        found.after.append(len(found.steps[process]))
    tried = sorted(
        range(len(coded.chosen)),
        key=lambda index: (not coded.must[index], coded.chosen[index].returned or 0, index),
    )
    for rank, index in enumerate(tried):
        found.rank[index] = rank
    return found
