# Part of handoff.pyx: what becomes of a coordinator's account when targets and shards change.


cdef int lost_disk(HintCore core, int32_t target, list out) except -1:
    cdef Mark mark
    for place, mark in sorted(core.marks_by_place.items(), key=row_of):
        if place[0] == target and mark.heard:
            core.set_mark(place, OPEN_MARK if mark.is_open else CLOSED_MARK, out)
    return core.forget_exchanges([place for place, _ in core.exchanges if place[0] == target])


cdef int refused(HintCore core, Refused event) except -1:
    """What it does not take waits, and does not stand in the way of what it takes (rule HANDOFF.R4).

    It is not paid: the target may lack it until it has converged (HANDOFF.R10). When all have, it is. A floor
    that is no news has set all aside already that it sets aside: the hints are looked at once for each.
    """
    cdef object closed = number_of(event.at)
    cdef bint was_sent = False
    if closed > core.closed.get(event.place, 0):
        core.closed[event.place] = closed
        set_aside(core, event.place, event.at, True, &was_sent)
        if was_sent:
            core.answered(event.place[0])
    return 0


cdef int set_aside(HintCore core, tuple place, Version closed, bint is_aside, bint *was_sent) except -1:
    """Let the hints of a place wait that are not above a floor, or not any more."""
    cdef Place there = core.table.place_of(place)
    cdef list found = []
    cdef Pending *node
    if there is None:
        return 0
    collect(there.root, ORDER, found)
    for address in found:
        node = <Pending *> <size_t> address
        if waits_below(closed, node.at):
            node.is_aside = is_aside
            if node.is_under_way:
                was_sent[0] = True
                core.table.arrived(node)
            else:
                core.table.touch(node)
    return 0


cdef frozenset with_newcomers(HintCore core, int64_t shard, frozenset targets):
    """And who takes the place of one of them (rule HANDOFF.R7)."""
    if not core.newcomers:
        return targets
    return targets.union([
        core.newcomers[target, shard] for target in targets if (target, shard) in core.newcomers
    ])


cdef int move_begun(HintCore core, MoveBegun event, list out) except -1:
    """The newcomer is owed what the target is: hints, mark, and every write that is open.

    Also one that the target has acknowledged: the newcomer may copy from it what it held before. That the
    move has begun is stored last: a crash in between takes the step again.
    """
    cdef OpenWrite write
    cdef Hint hint
    target, shard = event.place
    taken = core.newcomers.get(event.place)
    if event.newcomer == target or (taken is not None and taken != event.newcomer):
        raise CallerError(
            f"newcomer {event.newcomer}: the place of target {target} in shard {shard} is taken by "
            f"{'another one' if taken is None else taken}"
        )
    if taken is not None:
        return 0  # The catalog said so before.
    owed = owed_to_newcomer(core, event.place, event.newcomer)
    core.room(len(owed))
    for address, operation in owed.values():
        if operation is None:
            hint = hint_of(<Pending *> <size_t> address)
            out.append(copy_hint(hint, event.newcomer))
            hint = hint_of(<Pending *> <size_t> address)
        else:
            write = core.writes[operation]
            out.append(store_hints(operation, (event.newcomer,)))
            hint = hint_of_write(write)
        hint.target = event.newcomer
        hint.number = UNKNOWN
        core.keep(hint)
    for write in core.writes.values():
        if write.shard == shard and target in write.targets:
            write.targets |= {event.newcomer}
    is_marked = event.place in core.marks_by_place
    core.owe_repairs([(event.newcomer, shard)] if is_marked else [], out)
    return core.set_newcomer(event.place, event.newcomer, out)


cdef dict owed_to_newcomer(HintCore core, tuple place, int32_t newcomer):
    """By row and version, what a newcomer has no hint of: of which hint it is, or of which open write."""
    cdef Place there = core.table.place_of(place)
    cdef list found = []
    cdef dict owed = {}
    cdef Pending *node
    cdef OpenWrite write
    target, shard = place
    if there is not None:
        collect(there.root, ORDER, found)
    for address in found:
        node = <Pending *> <size_t> address
        if core.table.find(node.row, newcomer, node.at) == NULL:
            owed[node.row, number_of(node.at)] = address, None
    for operation, write in core.writes.items():
        if write.shard == shard and target in write.targets:
            if core.table.find(write.row, newcomer, write.at) == NULL:
                owed[write.row, number_of(write.at)] = 0, operation
    return owed


cdef int move_done(HintCore core, tuple place, list out) except -1:
    """A coordinator that learns of this before it learned of the move has to take that step first."""
    cdef OpenWrite write
    target, shard = place
    if place not in core.newcomers:
        raise CallerError(f"target {target} is not leaving shard {shard}: deliver MoveBegun first")
    core.drop_all(place, out)
    if place in core.marks_by_place:
        core.set_mark(place, None, out)
    core.coming_back.discard(place)
    core.forget_exchanges((place,))
    for write in core.writes.values():
        if write.shard == shard:
            write.targets -= {target}
            write.left_out -= {target}
    core.left_out.pop(place, None)
    core.set_newcomer(place, None, out)
    return core.settle(out)


cdef int erased(HintCore core, Erased event, list out) except -1:
    """Nobody is owed what is at or below this version: such a hint is paid, whenever it was made."""
    cdef Pending *node
    cdef list found, paid
    for place in core.table.places():
        if place[1] == event.shard:
            found, paid = [], []
            collect(core.table.place_of(place).root, ORDER, found)
            for address in found:
                node = <Pending *> <size_t> address
                if is_paid(event.at, node.at):
                    core.table.remove(node, paid)
            pay(place[0], paid, out)
    return core.settle(out)
