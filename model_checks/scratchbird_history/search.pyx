# cython: freethreading_compatible=True
"""The search of :mod:`scratchbird_history.plain`, compiled: the same steps, on words of 64 bits.

A configuration is a row of words. Remembered ones lie in one open-addressing table, those on the way back in
one stack; both grow as needed, and what they take is counted against the limit before it is taken.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy

import time
from array import array
from itertools import accumulate

from scratchbird_history.limits import Found

cdef enum:
    READ = 0
    WRITE = 1
    CAS = 2
    LOOK = 16384  # steps between looks at the clock and for an interrupt from the keyboard


cdef class Memory:
    """The remembered configurations and the stack, each row ``width`` words; the stack's have a word more."""

    cdef uint64_t *rows
    cdef uint64_t *hashes
    cdef uint64_t *stack
    cdef size_t width, slots, used, depth, room
    cdef uint64_t limit

    def __cinit__(self, size_t width, limit):
        self.width = width
        self.limit = <uint64_t>min(limit, 1 << 62)
        self.slots = 0
        self.room = 0
        self.used = self.depth = 0

    def __dealloc__(self):
        free(self.rows)
        free(self.hashes)
        free(self.stack)

    cdef uint64_t bytes(self) noexcept:
        return self.slots * (self.width + 1) * 8 + self.room * (self.width + 1) * 8

    cdef bint grow_table(self) noexcept:
        cdef size_t slots = self.slots * 2 if self.slots else 64
        cdef uint64_t *rows
        cdef uint64_t *hashes
        cdef size_t old, new
        if self.bytes() + slots * (self.width + 1) * 8 > self.limit:
            return False
        rows = <uint64_t *>calloc(slots * self.width, 8)
        hashes = <uint64_t *>calloc(slots, 8)
        if rows == NULL or hashes == NULL:
            free(rows)
            free(hashes)
            return False
        for old in range(self.slots):
            if self.hashes[old]:
                new = self.hashes[old] & (slots - 1)
                while hashes[new]:
                    new = (new + 1) & (slots - 1)
                hashes[new] = self.hashes[old]
                memcpy(rows + new * self.width, self.rows + old * self.width, self.width * 8)
        free(self.rows)
        free(self.hashes)
        self.rows, self.hashes, self.slots = rows, hashes, slots
        return True

    cdef int add(self, const uint64_t *row) noexcept:
        """1 if the row is new, 0 if it was remembered, -1 if there is no memory left for it."""
        cdef uint64_t mixed = 0x9E3779B97F4A7C15ULL
        cdef size_t place, word
        if self.used * 3 >= self.slots * 2 and not self.grow_table():
            return -1
        for word in range(self.width):
            mixed = (mixed ^ row[word]) * 0xFF51AFD7ED558CCDULL
            mixed ^= mixed >> 32
        mixed |= 1ULL << 63  # Zero stands for an empty slot.
        place = mixed & (self.slots - 1)
        while self.hashes[place]:
            if self.hashes[place] == mixed and not memcmp(self.rows + place * self.width, row, self.width * 8):
                return 0
            place = (place + 1) & (self.slots - 1)
        self.hashes[place] = mixed
        memcpy(self.rows + place * self.width, row, self.width * 8)
        self.used += 1
        return 1

    cdef bint push(self, const uint64_t *row) noexcept:
        """Put the row on the stack, with zero in its further word; False if there is no memory left."""
        cdef size_t room
        cdef uint64_t *grown
        if self.depth == self.room:
            room = self.room * 2 if self.room else 64
            if self.bytes() + room * (self.width + 1) * 8 > self.limit:
                return False
            grown = <uint64_t *>realloc(self.stack, room * (self.width + 1) * 8)
            if grown == NULL:
                return False
            self.stack, self.room = grown, room
        memcpy(self.stack + self.depth * (self.width + 1), row, self.width * 8)
        self.stack[self.depth * (self.width + 1) + self.width] = 0
        self.depth += 1
        return True

    cdef uint64_t *top(self) noexcept:
        return self.stack + (self.depth - 1) * (self.width + 1)


cdef int32_t[::1] column(values):
    """The numbers as C has them, never empty, so that there is always something to point at."""
    return array("i", values) if len(values) else array("i", [0])


cdef inline bint has(const uint64_t *bits, int32_t bit) noexcept:
    return bits[bit >> 6] >> (bit & 63) & 1


cdef inline void put_in(uint64_t *bits, int32_t bit) noexcept:
    bits[bit >> 6] |= 1ULL << (bit & 63)


def linearizable(line, limits):
    """Whether one key has an order that respects real time. A row: place and state, then a bit a slot."""
    coded = line.coded
    cdef int32_t[::1] kind = column(coded.kind), seen = column(coded.seen), put = column(coded.put)
    cdef int32_t[::1] must = column(coded.must), events = column(line.events), slot = column(line.slot)
    cdef int32_t[::1] open_ = column(line.open_), open_from = column(line.open_from)
    cdef int32_t[::1] open_to = column(line.open_to), endless = column(line.endless)
    cdef int32_t[::1] endless_before = column(line.endless_before), twin = column(line.twin)
    cdef int32_t count = len(line.events), place = 0, state = coded.initial, far = -1
    cdef int32_t index, returning, wanted, other, number, opened, later, tries, rounds, candidate
    cdef size_t width = 1 + (line.slots + 63) // 64
    cdef int64_t steps = 0, most = min(limits.steps, 1 << 62)
    cdef Memory memory = Memory(width, limits.bytes)
    cdef uint64_t[::1] row = array("Q", [0] * width)
    cdef uint64_t *now = &row[0]
    cdef uint64_t *bits = now + 1
    cdef uint64_t *frame
    cdef bint taken
    cdef int known
    while True:
        while place < count:
            index = events[place] >> 1
            if not events[place] & 1:
                if kind[index] == READ and seen[index] == state:
                    put_in(bits, slot[index])
            elif has(bits, slot[index]):
                bits[slot[index] >> 6] &= ~(1ULL << (slot[index] & 63))
            else:
                break
            place += 1
        if place == count:
            return Found(True, None, steps, memory.bytes(), far)
        far = max(far, place)
        now[0] = <uint64_t>place << 32 | <uint64_t>state
        known = memory.add(now)
        if known < 0 or (known and not memory.push(now)):
            return Found(None, "memory", steps, memory.bytes(), far)
        taken = False
        while memory.depth and not taken:
            frame = memory.top()
            place, state = <int32_t>(frame[0] >> 32), <int32_t>(frame[0] & 0xFFFFFFFF)
            returning = events[place] >> 1
            wanted = -1 if kind[returning] == WRITE else seen[returning]
            opened = open_to[place] - open_from[place]
            later = endless_before[place]
            # First: never (if that may be), or the one that returns; then what it waits for; then the others.
            rounds = 2 + 2 * (opened + later)
            while frame[width] < <uint64_t>rounds and not taken:
                candidate = <int32_t>frame[width]
                frame[width] += 1
                if candidate == 0:
                    if must[returning]:
                        continue
                    index = -1
                elif candidate == 1:
                    index = returning
                else:
                    tries = (candidate - 2) % (opened + later)
                    if tries >= later:
                        index = open_[open_from[place] + tries - later]
                        if index == returning:
                            continue
                    else:
                        # Those that never return go first: nobody needs them later as much as the others.
                        index, number = endless[tries], tries
                        if twin[number] >= 0 and not has(frame + 1, slot[twin[number]]):
                            continue
                    # The first round takes those that give the value waited for, the second the rest.
                    if (candidate - 2 < opened + later) != (put[index] == wanted):
                        continue
                if index >= 0 and (
                    kind[index] == READ
                    or has(frame + 1, slot[index])
                    or (kind[index] == CAS and seen[index] != state)
                    or (not must[index] and put[index] == state)
                ):
                    continue
                taken = True
            if not taken:
                memory.depth -= 1
        if not taken:
            return Found(False, None, steps, memory.bytes(), far)
        steps += 1
        if steps > most:
            return Found(None, "steps", steps, memory.bytes(), far)
        if steps % LOOK == 0:
            PyErr_CheckSignals()
            if time.monotonic() > limits.deadline:
                return Found(None, "seconds", steps, memory.bytes(), far)
        memcpy(now, frame, width * 8)
        if index < 0:
            place += 1
            continue
        put_in(bits, slot[index])
        state = put[index]
        for number in range(open_from[place], open_to[place]):
            other = open_[number]
            if kind[other] == READ and seen[other] == state:
                put_in(bits, slot[other])


def sequential(work, limits):
    """Whether one order of everything respects each process's order.

    A row: the place of each process, the state of each key (32 bits each), then a bit an optional operation.
    """
    coded = work.coded
    cdef int32_t[::1] kind = column(coded.kind), seen = column(coded.seen), put = column(coded.put)
    cdef int32_t[::1] key = column(coded.key), rank = column(work.rank)
    cdef int32_t[::1] starts, flat, optional = column(work.optional), owner = column(work.owner)
    cdef int32_t[::1] after = column(work.after), twin = column(work.twin)
    cdef int32_t processes = len(work.steps), keys = coded.keys, options = len(work.optional)
    cdef int32_t process, index, number, best, best_index, best_rank, last, state
    cdef size_t halves = (processes + keys + 1) // 2
    cdef size_t width = max(1, halves + (options + 63) // 64)
    cdef int64_t steps = 0, most = min(limits.steps, 1 << 62)
    cdef Memory memory = Memory(width, limits.bytes)
    cdef uint64_t[::1] row = array("Q", [0] * width)
    cdef uint64_t *now = &row[0]
    cdef int32_t *places = <int32_t *>now
    cdef int32_t *states = places + processes
    cdef uint64_t *frame
    cdef bint done
    cdef int known
    starts = column(list(accumulate((len(mine) for mine in work.steps), initial=0)))
    flat = column([index for mine in work.steps for index in mine])
    for number in range(keys):
        states[number] = coded.initial
    while True:
        done = True
        for process in range(processes):
            while starts[process] + places[process] < starts[process + 1]:
                index = flat[starts[process] + places[process]]
                if kind[index] != READ or seen[index] != states[key[index]]:
                    done = False
                    break
                places[process] += 1
        if done:
            return Found(True, None, steps, memory.bytes(), -1)
        known = memory.add(now)
        if known < 0 or (known and not memory.push(now)):
            return Found(None, "memory", steps, memory.bytes(), -1)
        best = -1
        while memory.depth:
            # Of all that may come next the one of the least rank above the last one tried.
            frame = memory.top()
            memcpy(now, frame, width * 8)
            last = <int32_t>frame[width] - 1
            best, best_index, best_rank = -1, -1, 0x7FFFFFFF
            for process in range(processes):
                if starts[process] + places[process] < starts[process + 1]:
                    index = flat[starts[process] + places[process]]
                    if rank[index] > last and rank[index] < best_rank and kind[index] != READ:
                        if kind[index] == WRITE or seen[index] == states[key[index]]:
                            best, best_index, best_rank = process, index, rank[index]
            for number in range(options):
                index = optional[number]
                if rank[index] <= last or rank[index] >= best_rank or has(now + halves, number):
                    continue
                state = states[key[index]]
                if places[owner[number]] < after[number] or put[index] == state:
                    continue
                if twin[number] >= 0 and not has(now + halves, twin[number]):
                    continue
                if kind[index] == WRITE or seen[index] == state:
                    best, best_index, best_rank = processes + number, index, rank[index]
            if best >= 0:
                frame[width] = <uint64_t>best_rank + 1
                break
            memory.depth -= 1
        if best < 0:
            return Found(False, None, steps, memory.bytes(), -1)
        steps += 1
        if steps > most:
            return Found(None, "steps", steps, memory.bytes(), -1)
        if steps % LOOK == 0:
            PyErr_CheckSignals()
            if time.monotonic() > limits.deadline:
                return Found(None, "seconds", steps, memory.bytes(), -1)
        if best < processes:
            places[best] += 1
        else:
            put_in(now + halves, best - processes)
        states[key[best_index]] = put[best_index]
