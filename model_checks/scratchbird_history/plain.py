"""The search in Python: to read first, to use without a C compiler, and to compare the compiled one with.

Both searches go depth first and remember each configuration they have been in. Wing & Gong (1993) try the
operations that may come next; Lowe (2017) remembers (operations so far, state), and lets operations take
effect just in time: no earlier than some operation's return needs it. A read takes effect as soon as the
register has its value: that changes nothing for the others, so no order is lost.
"""

from __future__ import annotations

import time

from scratchbird_history.encoding import CAS, READ, WRITE, Programs, Timeline
from scratchbird_history.limits import Found, Limits

SEEN_BYTES = 200
"""What a remembered configuration costs here, about: a tuple, a set's entry, a big number."""
LOOK = 1024
"""Steps between looks at the clock."""


class _Budget:
    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.steps = 0
        self.bytes = 0

    def spent(self) -> str | None:
        """What is used up, if anything, after one more step."""
        self.steps += 1
        if self.steps > self.limits.steps:
            return "steps"
        if self.bytes > self.limits.bytes:
            return "memory"
        if self.steps % LOOK == 0 and time.monotonic() > self.limits.deadline:
            return "seconds"
        return None

    def end(self, answer: bool | None, exhausted: str | None = None, far: int = -1) -> Found:
        return Found(answer, exhausted, self.steps, self.bytes, far)


def linearizable(line: Timeline, limits: Limits) -> Found:
    """Whether one key has an order that respects real time."""
    coded, events, slot = line.coded, line.events, line.slot
    kind, seen, put = coded.kind, coded.seen, coded.put
    budget = _Budget(limits)
    been: set[tuple[int, int, int]] = set()
    stack: list[tuple[int, int, int, list[int]]] = []  # place, state, bits, what is still to be tried
    place, state, bits, far = 0, coded.initial, 0, -1
    while True:
        # Forward, to the next return of an operation that has not taken effect so far.
        while place < len(events):
            index = events[place] >> 1
            bit = 1 << slot[index]
            if not events[place] & 1:
                if kind[index] == READ and seen[index] == state:
                    bits |= bit
            elif bits & bit:
                bits ^= bit
            else:
                break
            place += 1
        else:
            return budget.end(True, far=far)
        far = max(far, place)
        if (place, state, bits) not in been:
            been.add((place, state, bits))
            budget.bytes += SEEN_BYTES + line.slots // 8
            stack.append((place, state, bits, _candidates(line, place, state, bits)))
        # The next thing to try, here or further back.
        while stack and not stack[-1][3]:
            stack.pop()
        if not stack:
            return budget.end(False, far=far)
        if exhausted := budget.spent():
            return budget.end(None, exhausted, far)
        place, state, bits, left = stack[-1]
        index = left.pop()
        if index < 0:
            place += 1
            continue
        bits |= 1 << slot[index]
        state = put[index]
        for other in line.open_[line.open_from[place] : line.open_to[place]]:
            if kind[other] == READ and seen[other] == state:
                bits |= 1 << slot[other]


def _candidates(line: Timeline, place: int, state: int, bits: int) -> list[int]:
    """What may take effect before the return at this place, the most promising last; -1: it never does."""
    coded, slot = line.coded, line.slot
    returning = line.events[place] >> 1
    found = []
    for number in range(line.endless_before[place]):
        index, twin = line.endless[number], line.twin[number]
        if coded.put[index] != state and (twin < 0 or bits >> slot[twin] & 1):
            found.append(index)
    for index in line.open_[line.open_from[place] : line.open_to[place]]:
        if coded.kind[index] != READ and (coded.must[index] or coded.put[index] != state):
            found.append(index)
    found = [
        index
        for index in found
        if not bits >> slot[index] & 1 and (coded.kind[index] == WRITE or coded.seen[index] == state)
    ]
    found.reverse()  # Those that never return go first: nobody needs them later as much as the others.
    wanted = coded.seen[returning] if coded.kind[returning] != WRITE else -1
    found.sort(key=lambda index: (index == returning, coded.put[index] == wanted))
    if not coded.must[returning]:
        found.append(-1)
    return found


def sequential(work: Programs, limits: Limits) -> Found:
    """Whether there is one order of all operations on all keys that respects each process's order."""
    coded, steps = work.coded, work.steps
    budget = _Budget(limits)
    been: set[tuple[tuple[int, ...], int, tuple[int, ...]]] = set()
    stack: list[tuple[list[int], int, list[int], list[tuple[int, int]]]] = []
    places, bits, states = [0] * len(steps), 0, [coded.initial] * coded.keys
    goal = [len(mine) for mine in steps]
    while True:
        for process, mine in enumerate(steps):
            while places[process] < len(mine):
                index = mine[places[process]]
                if coded.kind[index] != READ or coded.seen[index] != states[coded.key[index]]:
                    break
                places[process] += 1
        if places == goal:
            return budget.end(True)
        mark = (tuple(places), bits, tuple(states))
        if mark not in been:
            been.add(mark)
            budget.bytes += SEEN_BYTES + 8 * (len(places) + len(states)) + len(work.optional) // 8
            stack.append((places, bits, states, _next(work, places, bits, states)))
        while stack and not stack[-1][3]:
            stack.pop()
        if not stack:
            return budget.end(False)
        if exhausted := budget.spent():
            return budget.end(None, exhausted)
        places, bits, states, left = stack[-1]
        index, number = left.pop()
        places, states = list(places), list(states)
        if number < 0:
            places[-number - 1] += 1
        else:
            bits |= 1 << number
        states[coded.key[index]] = coded.put[index]


def _next(work: Programs, places: list[int], bits: int, states: list[int]) -> list[tuple[int, int]]:
    """What may come next, the most promising last: (operation, place in ``optional`` or -1 - process)."""
    coded = work.coded
    found = []
    for process, mine in enumerate(work.steps):
        if places[process] < len(mine):
            index = mine[places[process]]
            if coded.kind[index] == WRITE or (
                coded.kind[index] == CAS and coded.seen[index] == states[coded.key[index]]
            ):
                found.append((index, -1 - process))
    for number, index in enumerate(work.optional):
        state, twin = states[coded.key[index]], work.twin[number]
        if (
            not bits >> number & 1
            and places[work.owner[number]] >= work.after[number]
            and (twin < 0 or bits >> twin & 1)
            and coded.put[index] != state
            and (coded.kind[index] == WRITE or coded.seen[index] == state)
        ):
            found.append((index, number))
    found.sort(key=lambda one: -work.rank[one[0]])
    return found
