"""What a step of ``spec/handoff.tla`` is in events of the reference.

:func:`successors` gives, for a state of the model, every state that one step leads to, by asking the
*reference* what coordinator, account, replicas and catalog do. Clients, faults and the order of messages are
the model's own and are repeated here. Where the model's step is more than one of the reference's:

* The catalog hears from a replica that it has closed, or converged, when it hears it from all.
* A replica asks for the past of another, hears it and merges it at once; so with exchanges, and with all of
  a recovery. But exchanges that began under an open mark end after it was closed, and then count for nothing.
* A disk that is lost before all have converged voids the round: at once the catalog proposes the next floor,
  and those that had closed the last close it and say so, if they had been heard to have closed.
* A write's intent names those that have not acknowledged it when it becomes durable, and a write ends for
  the account when its client has its reply.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, combinations
from typing import Any

from scratchbird_check.ties.handoff_world import (
    NOW_NS,
    ROW,
    SHARD,
    Instance,
    Op,
    StrangeStep,
    World,
    held_as,
    plain_account,
    plain_replica,
    with_last_floor,
)
from scratchbird_reference import handoff_account as accounts
from scratchbird_reference import handoff_catalog as catalogs
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as replicas
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica
from scratchbird_reference.quorum_messages import (
    NOTHING,
    Acknowledgement,
    Answer,
    Exchange,
    Held,
    Query,
    Send,
    Write,
)

Steps = Iterator[tuple[str, World]]


def successors(instance: Instance, world: World) -> Steps:
    """Every (action, next state) that the model should have, played by the reference.

    :raises StrangeStep: if the reference sends or says something that the model does not know.
    """
    for o in instance.numbers:
        op = world.ops[o - 1]
        if op.phase == "idle":
            yield from _begin(instance, world, o)
        elif op.phase == "asking":
            yield from _asking(instance, world, o)
        elif op.phase == "sending":
            yield from _sending(instance, world, o)
        if op.phase in ("asking", "sending"):
            yield "GiveUp", _give_up(instance, world, o)
        if op.version:
            for r in instance.names:
                yield from _acknowledge(instance, world, o, r)
    yield from _crash(instance, world)
    yield from _send_hints(instance, world)
    yield from _catalog(instance, world)
    for r in instance.names:
        yield from _target(instance, world, r)
        yield from _replica(instance, world, r)


# --- the parts of a world ---------------------------------------------------------------------------------


def _op(world: World, o: int, **changes: Any) -> World:
    ops = (*world.ops[: o - 1], world.ops[o - 1]._replace(**changes), *world.ops[o:])
    return world._replace(ops=ops)


def _with(instance: Instance, world: World, r: int, state: replicas.State) -> World:
    state = plain_replica(instance, state)
    return world._replace(replicas=(*world.replicas[: r - 1], state, *world.replicas[r:]))


def _play(
    instance: Instance, world: World, r: int, *events: replicas.Event
) -> tuple[replicas.State, tuple[replicas.Effect, ...]]:
    """Some events at a replica: its state, and what it asks for at the last of them."""
    state: replicas.State = world.replicas[r - 1]
    effects: tuple[replicas.Effect, ...] = ()
    for event in events:
        state, effects = instance.replica.step(state, event)
    return state, effects


def _told(effects: tuple[replicas.Effect, ...], kind: type[Any]) -> Any:
    """The message of this kind among the effects, or ``None``."""
    messages = [item.message for item in effects if isinstance(item, Send | replicas.SendFloor)]
    return next((message for message in messages if isinstance(message, kind)), None)


def _owing(
    instance: Instance, world: World, *events: accounts.Event
) -> tuple[World, tuple[accounts.Effect, ...]]:
    """Some events at the account, and what it asks for at the last of them."""
    state, effects = world.account, ()  # type: accounts.State, accounts.Effects
    for event in events:
        state, effects = instance.keeper.step(state, event)
    return world._replace(account=plain_account(instance, state)), effects


def _over_exchanges(instance: Instance, world: World, event: accounts.Event) -> World:
    """An event that may close marks, while exchanges are under way that began before."""
    pairs = [
        (place, q)
        for place, mark in world.account.durable.marks
        for q in instance.names
        if mark.is_open and q != place[0]
    ]
    before = [accounts.ExchangeBegun(*pair) for pair in pairs]
    after = [accounts.Exchanged(*pair) for pair in pairs]
    return _owing(instance, world, *before, event, *after)[0]


def _changed(name: str, world: World, after: World) -> Steps:
    if after != world:
        yield name, after


# --- operations -------------------------------------------------------------------------------------------


def _first(instance: Instance, o: int) -> tuple[operations.State, operations.Effects]:
    request = operations.PutValue(o, ROW, instance.value(o))
    return instance.coordinator.step(operations.State(instance.setting), request)


def _begin(instance: Instance, world: World, o: int) -> Steps:
    _, effects = _first(instance, o)
    asked = [item.to for item in effects if isinstance(item, Send) and isinstance(item.message, Query)]
    if asked != list(instance.names):
        raise StrangeStep(f"operation {o} begins with {effects}")
    yield "Begin", _op(world, o, phase="asking")


def _told_all(instance: Instance, world: World, o: int) -> tuple[operations.State, operations.Effects]:
    """The operation as it began, with every answer that it has: one of them is the best."""
    op = world.ops[o - 1]
    state, effects = _first(instance, o)
    effects = ()
    for place, r in enumerate(sorted(op.answered)):
        held = NOTHING if place else held_as(instance, world.ops, op.best)
        answer = Answer(o, held, instance.known)
        state, more = instance.coordinator.step(state, operations.Deliver(r, answer))
        effects = (*effects, *more)
    return state, effects


def _asking(instance: Instance, world: World, o: int) -> Steps:
    op = world.ops[o - 1]
    for r in set(instance.names) - op.answered:
        _, effects = _play(instance, world, r, quorum_replica.Deliver(Query(o, 0, ROW)))
        if answer := _told(effects, Answer):
            best = max(op.best, answer.held.version)
            yield "Answer", _op(world, o, answered=op.answered | {r}, best=best)
    state, stamps = _told_all(instance, world, o)
    for stamp in stamps:
        assert isinstance(stamp, operations.Stamp)
        for version in instance.versions:
            if version > stamp.above and all(other.version != version for other in world.ops):
                _, sent = instance.coordinator.step(state, operations.Stamped(o, version))
                held = Held(version, instance.value(o))
                if {item.to for item in sent if isinstance(item, Send)} != set(instance.names) or not any(
                    isinstance(item, operations.StoreIntent) and item.intent.held == held for item in sent
                ):
                    raise StrangeStep(f"operation {o} sends {sent}")
                changes = {"phase": "sending", "version": version, "answered": frozenset(), "best": 0}
                yield "Stamp", _op(world, o, **changes)


def _coordinator(instance: Instance, world: World, o: int) -> operations.State:
    """A coordinator that has sent, built from what the model remembers of it."""
    op = world.ops[o - 1]
    held = held_as(instance, world.ops, op.version)
    operation = operations.Operation(
        operations.Kind.WRITE,
        ROW,
        instance.setting,
        operations.Phase.WRITING,
        held.value,
        written=held,
        intent_is_durable=o in world.intended,
        acknowledged=tuple((r, ((r, 1),)) for r in sorted(op.acked)),
    )
    return operations.State(instance.setting, volatile=operations.Volatile(((o, operation),)))


def _sending(instance: Instance, world: World, o: int) -> Steps:
    op = world.ops[o - 1]
    held = held_as(instance, world.ops, op.version)
    if o not in world.intended:
        intent = operations.Intent(ROW, held, frozenset(instance.names) - op.acked)
        after, effects = _owing(instance, world, accounts.Owe(o, SHARD, intent, NOW_NS))
        if effects != (accounts.Kept(o),):
            raise StrangeStep(f"the intent of operation {o} leads to {effects}")
        yield "RecordIntent", after._replace(intended=world.intended | {o})
    for r in sorted(op.acked)[:1]:
        again = Acknowledgement(o, op.version, ((r, 1),))
        _, replies = instance.coordinator.step(_coordinator(instance, world, o), operations.Deliver(r, again))
        if not replies:
            continue
        if replies != (operations.Reply(o, operations.Outcome.COMMITTED, held),):
            raise StrangeStep(f"operation {o} replies {replies}")
        yield "Reply", _ended(instance, world, o, "done")


def _ended(instance: Instance, world: World, o: int, how: str) -> World:
    after = _over_exchanges(instance, world, accounts.Ended(o))
    return _op(after, o, phase=how, answered=frozenset(), best=0, acked=frozenset())


def _give_up(instance: Instance, world: World, o: int) -> World:
    sent = world.ops[o - 1].version != 0
    state = _coordinator(instance, world, o) if sent else _told_all(instance, world, o)[0]
    _, effects = instance.coordinator.step(state, operations.Deadline(o))
    outcome = operations.Outcome.INDETERMINATE if sent else operations.Outcome.NOT_APPLIED
    (reply,) = effects
    if not isinstance(reply, operations.Reply) or reply.outcome is not outcome:
        raise StrangeStep(f"operation {o} ends with {reply} when its time is up")
    return _ended(instance, world, o, "failed")


def _crash(instance: Instance, world: World) -> Steps:
    if not any(op.phase in ("asking", "sending") for op in world.ops):
        return
    after, _ = _owing(instance, world, accounts.Crash())
    ops = tuple(Op("failed", op.version) if op.phase in ("asking", "sending") else op for op in world.ops)
    yield "Crash", after._replace(ops=ops)


# --- what is sent arrives ---------------------------------------------------------------------------------


def _tick(instance: Instance, world: World) -> tuple[World, list[accounts.Hint]]:
    after, effects = _owing(instance, world, accounts.Tick(NOW_NS))
    return after, [item.hint for item in effects if isinstance(item, accounts.SendHint)]


def _send_hints(instance: Instance, world: World) -> Steps:
    """Nothing that the model knows of changes when hints are sent."""
    yield from _changed("SendHint", world, _tick(instance, world)[0])


def _acknowledge(instance: Instance, world: World, o: int, r: int) -> Steps:
    """The write arrives; where a hint is kept of one that is over, the hint does."""
    op = world.ops[o - 1]
    held, is_open = held_as(instance, world.ops, op.version), op.phase == "sending"
    kept = [hint.held for hint in world.account.durable.hints if hint.target == r]
    sent = [hint.held for hint in _tick(instance, world)[1] if hint.target == r]
    if held in kept and held not in sent and not is_open:
        return
    state, effects = _play(instance, world, r, quorum_replica.Deliver(Write(o, 0, ROW, held)))
    if below := _told(effects, replicas.BelowFloor):
        # The hint waits, and nothing that the model knows of changes.
        refused = accounts.Refused((r, SHARD), below.closed)
        yield from _changed("Refused", world, _owing(instance, world, refused)[0])
    said = _told(effects, Acknowledgement)
    if said is None:
        return
    after, _ = _owing(instance, world, accounts.Acknowledged(r, ROW, said.version))
    if is_open:
        heard, _ = instance.coordinator.step(_coordinator(instance, world, o), operations.Deliver(r, said))
        assert heard.volatile is not None
        mine = dict(heard.volatile.operations)[o]
        after = _op(after, o, acked=frozenset(dict(mine.acknowledged)))
    if after != world:
        yield "Acknowledge", _with(instance, after, r, state)


# --- targets that are given up ----------------------------------------------------------------------------


def _target(instance: Instance, world: World, r: int) -> Steps:
    place = (r, SHARD)
    others = [q for q in instance.names if q != r]
    if world.given_up < instance.given_up:
        begun = [accounts.ExchangeBegun(place, q) for q in others]
        after, effects = _owing(instance, world, *begun, accounts.GiveUp(r))
        if after != world:
            if effects != (accounts.MayDrop(place),):
                raise StrangeStep(f"target {r} is given up, and that leads to {effects}")
            yield "MarkOpen", after._replace(given_up=world.given_up + 1)
    yield from _changed("DropHints", world, _owing(instance, world, accounts.Drop(place))[0])
    yield from _changed("KeepAgain", world, _over_exchanges(instance, world, accounts.KeepAgain(place)))
    for q in others:
        yield from _exchange(instance, world, r, q)


def _rows(instance: Instance, world: World, r: int, q: int) -> replicas.RecoveredPast | None:
    """What a replica tells another that asks for all its rows; nothing if it has no vote."""
    ask = quorum_replica.Deliver(Exchange(0, instance.known), r)
    answer = _told(_play(instance, world, q, ask)[1], replicas.RecoveredPast)
    assert answer is None or isinstance(answer, replicas.RecoveredPast)
    return answer


def _exchange(instance: Instance, world: World, r: int, q: int) -> Steps:
    """A replica that recovers is no target of exchanges: it merges more than these would bring."""
    answer = _rows(instance, world, r, q)
    if answer is None or world.replicas[r - 1].rows.durable.recovering is not None:
        return
    state, _ = _play(instance, world, r, replicas.Merge(answer.rows.rows))
    place = (r, SHARD)
    after, _ = _owing(instance, world, accounts.ExchangeBegun(place, q), accounts.Exchanged(place, q))
    yield from _changed("Exchange", world, _with(instance, after, r, state))


# --- the floor --------------------------------------------------------------------------------------------


def _catalog_state(instance: Instance, **known: Any) -> catalogs.State:
    return catalogs.State(instance.setting, instance.known, instance.floor, **known)


def _hears(
    instance: Instance, state: catalogs.State, *events: catalogs.Event
) -> tuple[catalogs.State, set[type[Any]]]:
    """What the catalog tells all replicas when it has heard this."""
    told: list[catalogs.Tell] = []
    for event in events:
        state, more = instance.catalog.step(state, event)
        told += more
    return state, {type(item.what) for item in told if {other.to for other in told} == set(instance.names)}


def _catalog(instance: Instance, world: World) -> Steps:
    """Each says again what it said; the catalog hears it from all."""
    floor = instance.floor
    closed, converged = [], []
    for r in instance.names:
        if world.replicas[r - 1].floor.durable.closed:
            _, effects = _play(instance, world, r, floors.Propose(floor))
            closed += [
                catalogs.Closed(r, item.floor) for item in effects if isinstance(item, floors.SayClosed)
            ]
        _, effects = _play(instance, world, r, floors.AllClosed(floor))
        converged += [
            catalogs.Converged(r, item.floor, 1) for item in effects if isinstance(item, floors.SayConverged)
        ]
    if not world.all_closed and floors.AllClosed in _hears(instance, _catalog_state(instance), *closed)[1]:
        yield "NoteClosed", world._replace(all_closed=True)
    if world.all_converged:
        erased = accounts.Erased(SHARD, floor)
        yield from _changed("PayBelow", world, _owing(instance, world, erased)[0])
        return
    if floors.AllConverged in _hears(instance, _catalog_state(instance), *converged)[1]:
        yield "NoteConverged", world._replace(all_converged=True)


def _replica(instance: Instance, world: World, r: int) -> Steps:
    for op in world.ops:
        if op.version:
            write = Write(0, 0, ROW, held_as(instance, world.ops, op.version))
            yield from _alone(instance, world, r, "Store", quorum_replica.Deliver(write))
    if instance.has_floor:
        yield from _alone(instance, world, r, "Close", floors.Propose(instance.floor))
    yield from _alone(instance, world, r, "Purge", replicas.Purge())
    yield from _alone(instance, world, r, "Restart", quorum_replica.Crash(), quorum_replica.Start())
    if world.all_converged:
        yield from _alone(instance, world, r, "Settle", floors.AllConverged(instance.floor))
    for q in instance.names:
        if q != r:
            yield from _merge(instance, world, r, q)
    if world.lost < instance.losses:
        yield "LoseDisk", _lose_disk(instance, world, r)
    yield from _recover(instance, world, r)


def _alone(instance: Instance, world: World, r: int, name: str, *events: replicas.Event) -> Steps:
    yield from _changed(name, world, _with(instance, world, r, _play(instance, world, r, *events)[0]))


def _merge(instance: Instance, world: World, r: int, q: int) -> Steps:
    """Once it was told that all have closed, a replica asks. A past that does not count is an exchange."""
    told = [floors.AllClosed(instance.floor)] if world.all_closed else []
    ask = replicas.AskPast(instance.floor, 1)
    if told:
        _, asks = _play(instance, world, r, *told)
        if replicas.SendFloor(q, ask) not in asks:
            return
    past = _told(_play(instance, world, q, replicas.Deliver(r, ask))[1], replicas.Past)
    if past is not None:
        state, _ = _play(instance, world, r, *told, replicas.Deliver(q, past))
        after = _with(instance, world, r, state)
        if after.replicas[r - 1].floor != world.replicas[r - 1].floor:
            yield "Merge", after


# --- disks ------------------------------------------------------------------------------------------------


def _lose_disk(instance: Instance, world: World, r: int) -> World:
    """Its next incarnation is the second of the instance; what it said in the first counts no more."""
    known = tuple((other, 1 + (other == r)) for other in instance.names)
    catalog, last = _after_a_loss(instance, world, r)
    start = quorum_replica.StartEmpty(instance.setting, known)
    lost = (quorum_replica.Crash(), replicas.LostDisk(start, last))
    next_floor = (floors.Propose(last),)
    states, said = [], []
    for q, before in zip(instance.names, world.replicas, strict=True):
        begins_anew = q == r or (last > instance.floor and before.floor.durable.closed)
        state, effects = (
            _play(instance, world, q, *(lost if q == r else next_floor)) if begins_anew else (before, ())
        )
        states.append(with_last_floor(instance, state, last))
        said += [catalogs.Closed(q, item.floor) for item in effects if isinstance(item, floors.SayClosed)]
    all_closed = world.all_closed
    if last > instance.floor and all_closed:
        all_closed = floors.AllClosed in _hears(instance, catalog, *said)[1]
    after, _ = _owing(instance, world, accounts.TargetLostDisk(r))
    counts = instance.coordinator.rules.current
    return after._replace(
        replicas=tuple(states),
        all_closed=all_closed,
        lost=world.lost + 1,
        ops=tuple(
            op._replace(acked=frozenset(other for other in op.acked if counts(other, ((other, 1),), known)))
            for op in world.ops
        ),
    )


def _after_a_loss(instance: Instance, world: World, r: int) -> tuple[catalogs.State, int]:
    """The catalog, and the last floor that it has proposed; what was said before counts no more."""
    floor = instance.floor
    at = [(q, state.floor.durable) for q, state in zip(instance.names, world.replicas, strict=True)]
    before = _catalog_state(
        instance,
        closed=frozenset(q for q, durable in at if durable.closed),
        converged=tuple((q, 1) for q, durable in at if durable.converged),
        all_converged=floor * world.all_converged,
    )
    late = [
        event
        for q in instance.names
        for event in (catalogs.Closed(q, floor), catalogs.Converged(q, floor, 1))
    ]
    catalog, told = _hears(instance, before, catalogs.LostDisk(r, 2), *late)
    if told or (not world.all_converged and (r, 1) in catalog.converged):
        raise StrangeStep(f"replica {r} lost its disk, and the catalog counts what it said: {catalog}")
    if not catalog.void:
        return catalog, floor
    catalog, told = _hears(instance, catalog, catalogs.ProposeFloor(floor + 1))
    if told != {floors.Propose}:
        raise StrangeStep(f"the catalog proposes the next floor, and tells {told}")
    return catalog, floor + 1


def _recover(instance: Instance, world: World, r: int) -> Steps:
    """From as many others as it takes, and from what a backup may hold of the row."""
    if world.replicas[r - 1].rows.durable.recovering is None:
        return
    others = [q for q in instance.names if q != r]
    answers = {q: answer for q in others if (answer := _rows(instance, world, r, q))}
    for group in chain.from_iterable(combinations(answers, size) for size in range(1, len(others) + 1)):
        heard = [replicas.Deliver(q, answers[q]) for q in group]
        before, _ = _play(instance, world, r, *heard[:-1])
        state, _ = instance.replica.step(before, heard[-1])
        if before.rows.durable.recovering is None or state.rows.durable.recovering is not None:
            continue
        yield "Recover", _with(instance, world, r, state)
        keeper = floors.FloorKeeper(instance.replica.rules)
        newest = state.rows.durable.held(ROW)
        for backup in (held_as(instance, world.ops, op.version) for op in world.ops if op.version):
            if keeper.admits_backup(state.floor.durable, newest, backup):
                merged, _ = instance.replica.step(state, replicas.Merge(((ROW, backup),)))
                yield "Recover", _with(instance, world, r, merged)
