"""What a step of ``spec/merkle_forest.tla`` is in events of the reference.

:func:`successors` gives, for a state of the model, every state that one step leads to, by asking the
*reference* what replicas, who drives and who answers do. Faults, and in which order windows and rows are
looked at, are the model's own and are repeated here. Where one step is more than one of the other side's:

* ``Begin``: an exchange is opened, both sides take their snapshots, and the digests of all windows are told.
  Where stable times differ or windows are dirty, the reference's opening is first the model's ``Advance`` and
  ``Rehash``, and then ``Begin``: that it is no more than these is checked wherever it is played.
* ``Compare``: the descent through one window, with short digests, to the entries and to the window's own
  digest again. Rows of which the driver's side holds something newer already are dealt with in the same step:
  that this is ``Compare`` and then ``Meet``, row by row, is checked as well.
* ``Meet``: the driver asks for the row and takes it, or gives it and is told that it was taken. Whether the
  row is sent or known not to be needed must come to the same.
* ``Converge``: a replica asks all others for their past, and merges one after the other.
* ``Close``: the catalog proposes the floor to all. An exchange that is under way then can only fail: here it
  has failed.

The model goes on with an exchange whose answering side has crashed: its last answers may be under way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import permutations
from typing import Any

from scratchbird_check.ties.merkle_forest_world import (
    Exchange,
    Instance,
    Plain,
    StrangeStep,
    World,
    bare,
    number,
    plain,
)
from scratchbird_check.variants.merkle_forest import Variant
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as replicas
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import quorum_replica
from scratchbird_reference.merkle_forest import Entry
from scratchbird_reference.merkle_forest_exchange import Answering, Driving, Snapshot
from scratchbird_reference.merkle_forest_replica import Advance, Event, Meet, Rehash, State
from scratchbird_reference.quorum_messages import Write

Steps = Iterator[tuple[str, World]]

EXCHANGE = 1
"""The number of each: there is no other one beside it."""
_MORE = Entry(bytes(16), -1, 1, bytes(16))
"""A row that is left to ask for, so that what was found before it is still there to be seen."""


def successors(instance: Instance, world: World) -> Steps:
    """Every (action, next state) that the model should have, played by the reference.

    :raises StrangeStep: if the reference does something that the model does not know.
    """
    closed = any(state.replica.floor.durable.closed for state in world.replicas)
    for version in instance.row_of:
        if version not in world.written and not (closed and version <= instance.floor):
            yield "Write", world._replace(written=world.written | {version})
    yield from _floor(instance, world)
    for r in instance.names:
        yield from _replica(instance, world, r)
        yield from _exchange(instance, world, r)


# --- a replica --------------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 16)
def _stepped(machines: Variant, state: State, *events: Event) -> tuple[Plain, tuple[Any, ...]]:
    """Some events at a replica: its state in one form, and what it asks for at the last of them."""
    effects: tuple[Any, ...] = ()
    for event in events:
        state, effects = machines.forests.step(state, event)
    return plain(state), effects


def _with(world: World, states: dict[int, Plain]) -> World:
    return world._replace(
        replicas=tuple(states.get(r, state) for r, state in enumerate(world.replicas, start=1))
    )


def _alone(instance: Instance, world: World, r: int, name: str, *events: Event) -> Steps:
    state, _ = _stepped(instance.machines, world.replicas[r - 1], *events)
    if state != world.replicas[r - 1]:
        yield name, _with(world, {r: state})


def _replica(instance: Instance, world: World, r: int) -> Steps:
    state = world.replicas[r - 1]
    for version in world.written:
        write = Write(0, 0, instance.row_of[version], instance.values[version])
        yield from _alone(instance, world, r, "Arrive", quorum_replica.Deliver(write))
    for time in instance.times:
        if time:
            yield from _alone(instance, world, r, "Advance", Advance(instance.of_time(time)))
    for window in instance.windows:
        yield from _alone(instance, world, r, "Rehash", Rehash(window))
    yield from _purge(instance, world, r)
    if world.crashed < instance.crashes:
        after, _ = _stepped(instance.machines, state, quorum_replica.Crash(), quorum_replica.Start())
        after_crash = _over(_with(world, {r: after}), r, None)
        yield "Crash", after_crash._replace(crashed=world.crashed + 1)


def _purge(instance: Instance, world: World, r: int) -> Steps:
    """All that may go goes in one step of the reference, and row by row in the model's."""
    before = world.replicas[r - 1]
    after, _ = _stepped(instance.machines, before, replicas.Purge())
    rows = dict(before.replica.rows.durable.rows)
    gone = rows.keys() - dict(after.replica.rows.durable.rows).keys()
    for row in gone:
        kept = tuple(item for item in before.replica.rows.durable.rows if item[0] != row)
        yield "Purge", _with(world, {r: with_rows(before, kept)})
    if after != with_rows(before, tuple(item for item in rows.items() if item[0] not in gone)):
        raise StrangeStep(f"replica {r} purges, and changes more than rows: {before} -> {after}")


def with_rows(state: State, rows: tuple[Any, ...]) -> Plain:
    """A replica with these rows."""
    durable = replace(state.replica.rows.durable, rows=rows)
    inner = replace(state.replica, rows=replace(state.replica.rows, durable=durable))
    return plain(replace(state, replica=inner))


# --- the floor --------------------------------------------------------------------------------------------


def _floor(instance: Instance, world: World) -> Steps:
    if not instance.has_floor:
        return
    floor, machines = instance.of_time(instance.floor), instance.machines
    at = {r: state.replica.floor.durable for r, state in zip(instance.names, world.replicas, strict=True)}
    if not all(durable.closed for durable in at.values()):
        closed = {r: _stepped(machines, world.replicas[r - 1], floors.Propose(floor))[0] for r in at}
        yield "Close", _overtaken(instance, _with(world, closed))
        return
    for r in instance.names:
        if not at[r].converged:
            for order in permutations(q for q in instance.names if q != r):
                yield "Converge", _with(world, {r: _converged(instance, world, r, order)})
        if all(durable.converged for durable in at.values()):
            yield from _alone(instance, world, r, "Settle", floors.AllConverged(floor))


def _converged(instance: Instance, world: World, r: int, order: tuple[int, ...]) -> Plain:
    """A replica that has asked all others for their past, and merged it in this order."""
    machines, floor = instance.machines, instance.of_time(instance.floor)
    told: list[Event] = [floors.AllClosed(floor)]
    _, asks = _stepped(machines, world.replicas[r - 1], *told)
    for q in order:
        ask = replicas.AskPast(floor, 1)
        if replicas.SendFloor(q, ask) not in asks:
            raise StrangeStep(f"replica {r} does not ask {q} for its past: {asks}")
        _, sent = _stepped(machines, world.replicas[q - 1], replicas.Deliver(r, ask))
        told += [
            replicas.Deliver(q, item.message)
            for item in sent
            if isinstance(item, replicas.SendFloor) and isinstance(item.message, replicas.Past)
        ]
    after, said = _stepped(machines, world.replicas[r - 1], *told)
    if floors.SayConverged(floor) not in said:
        raise StrangeStep(f"replica {r} has merged what all others told, and says {said}")
    return after


def _overtaken(instance: Instance, world: World) -> World:
    """Exchanges that are under way go on where the driver goes on at its next answer."""
    for r, exchange in zip(instance.names, world.exchanges, strict=True):
        if exchange is None or exchange.has_succeeded:
            continue
        nothing = exchanges.Deliver(messages.Took(EXCHANGE, ()))
        state, _, _ = _drive(instance, world.replicas[r - 1], _driving(instance, exchange, _MORE), nothing)
        if state is None:
            world = _over(world, r, None)
    return world


# --- exchange ---------------------------------------------------------------------------------------------


def _over(world: World, r: int, exchange: Exchange | None) -> World:
    return world._replace(exchanges=(*world.exchanges[: r - 1], exchange, *world.exchanges[r:]))


def _exchange(instance: Instance, world: World, r: int) -> Steps:
    exchange = world.exchanges[r - 1]
    if (exchange is None or exchange.has_succeeded) and world.begun < instance.exchanges:
        for q in instance.names:
            if q != r:
                yield from _begin(instance, world, r, q)
    if exchange is None:
        return
    yield "Fail", _over(world, r, None)
    if exchange.has_succeeded:
        return
    state, replica, effect = _drive(
        instance, world.replicas[r - 1], _driving(instance, exchange), exchanges.Again()
    )
    if isinstance(effect, exchanges.Succeeded):
        if state is not None or replica != world.replicas[r - 1]:
            raise StrangeStep(f"the exchange of replica {r} has succeeded, and that is not all")
        yield "Succeed", _over(world, r, _ended(exchange))
    for window in exchange.windows:
        yield "Compare", _compare(instance, world, r, exchange, window)
    for row in exchange.rows:
        yield "Meet", _meet(instance, world, r, exchange, row)


def _ended(exchange: Exchange) -> Exchange:
    """Whether a floor was closed when it began does not matter any more."""
    mine, theirs = (replace(side, closed=0) for side in (exchange.mine, exchange.theirs))
    return exchange._replace(mine=mine, theirs=theirs, has_succeeded=True)


# --- one exchange, played ---------------------------------------------------------------------------------

Driven = tuple[Driving | None, Plain, exchanges.Effect | None]


def _drive(
    instance: Instance,
    replica: State,
    state: Driving | None,
    event: exchanges.Begin | exchanges.Deliver | exchanges.Again | exchanges.Stop,
) -> Driven:
    state, replica, effect = instance.machines.drives().step(state, replica, event)
    return state, plain(replica), effect


class Play:
    """One exchange of two replicas, from some state of it on: questions and answers until it is stopped."""

    def __init__(
        self, instance: Instance, world: World, r: int, q: int, state: Driving | None, theirs: Snapshot | None
    ) -> None:
        self.instance = instance
        self.one, self.two = world.replicas[r - 1], world.replicas[q - 1]
        self.r, self.q = r, q
        self.driving = state
        self.answering = Answering(((EXCHANGE, theirs),) if theirs is not None else ())
        self.effect: exchanges.Effect | None = None
        self.asked: list[messages.Question] = []

    def drive(self, event: exchanges.Begin | exchanges.Deliver | exchanges.Again) -> None:
        """An event at the side that drives."""
        self.driving, self.one, self.effect = _drive(self.instance, self.one, self.driving, event)

    def goes_on(self, *kinds: type[Any]) -> None:
        """As long as the driver asks such questions, they are answered."""
        while isinstance(self.effect, exchanges.Ask) and isinstance(self.effect.question, kinds):
            self.asked.append(self.effect.question)
            answerer = self.instance.machines.answers()
            self.answering, two, reply = answerer.step(self.answering, self.two, self.effect.question)
            self.two = plain(two)
            self.drive(exchanges.Deliver(reply))

    def world(self, world: World) -> World:
        """With what became of the two."""
        return _with(world, {self.r: self.one, self.q: self.two})


def _opened(instance: Instance, world: World, r: int, q: int) -> Play:
    play = Play(instance, world, r, q, None, None)
    play.drive(exchanges.Begin(EXCHANGE, q))
    play.goes_on(messages.Open)
    return play


def _begin(instance: Instance, world: World, r: int, q: int) -> Steps:
    play = _opened(instance, world, r, q)
    if play.world(world) != world:
        _is_ready(instance, world, play)
        return
    if isinstance(play.effect, exchanges.Failed):
        return
    theirs = dict(play.answering.snapshots)[EXCHANGE]
    mine = play.driving.snapshot if play.driving is not None else theirs
    play.goes_on(messages.AskWindows)
    windows = (
        frozenset(window for window, _ in play.driving.nodes) if play.driving is not None else frozenset()
    )
    if play.world(world) != world:
        raise StrangeStep(f"replica {r} was told of the windows of {q}, and one of them has changed")
    exchange = Exchange(q, windows, frozenset(), bare(mine), bare(theirs))
    yield "Begin", _over(world, r, exchange)._replace(begun=world.begun + 1)


def _is_ready(instance: Instance, world: World, play: Play) -> None:
    """An opening that changes a replica is the model's ``Advance`` and ``Rehash`` there, and nothing else."""
    sides = {play.r: play.one, play.q: play.two}
    stable = max(world.replicas[x - 1].forest.stable for x in sides)
    for x, after in sides.items():
        state = world.replicas[x - 1]
        if after == state:
            continue
        if state.forest.stable < stable:
            state, _ = _stepped(instance.machines, state, Advance(stable))
        for window in sorted(state.forest.dirty):
            state, _ = _stepped(instance.machines, state, Rehash(window))
        if state != after:
            raise StrangeStep(f"replica {x} does more for an exchange than to be ready for it: {after}")


def _driving(
    instance: Instance, exchange: Exchange, *more: Entry, at: frozenset[int] | None = None
) -> Driving:
    """The driver of an exchange, with its windows (or these) and rows left, and these entries to ask for."""
    mine, theirs = _by_row(exchange.mine), _by_row(exchange.theirs)
    wanted, giving = [], []
    for row in sorted(exchange.rows):
        ours, their = mine.get(row), theirs.get(row)
        if their is not None and (ours is None or their.version > ours.version):
            wanted.append(their)
        elif ours is not None:
            giving.append(ours)
    windows = exchange.windows if at is None else at
    return Driving(
        EXCHANGE,
        exchange.other,
        exchange.mine,
        is_open=True,
        windows_done=True,
        after=max(instance.windows),
        theirs=exchange.theirs.told,
        nodes=tuple((window, ()) for window in sorted(windows)),
        wanted=(*wanted, *more),
        giving=tuple(giving),
    )


def _by_row(snapshot: Snapshot) -> dict[int, Entry]:
    return {entry.row: entry for entry in snapshot.entries}


def _compare(instance: Instance, world: World, r: int, exchange: Exchange, window: int) -> World:
    """One window, to its rows; what is found stands before a row that is left."""
    alone = exchange._replace(rows=frozenset())
    state = _driving(instance, alone, _MORE, at=frozenset({window}))
    play = Play(instance, world, r, exchange.other, state, exchange.theirs)
    play.drive(exchanges.Again())
    play.goes_on(messages.AskNodes)
    found = play.driving
    if found is None or found.again or found.damaged:
        raise StrangeStep(f"replica {r} looks into window {window}, and ends with {play.effect}")
    told = {entry.row for entry in found.shown}
    rows = told | {entry.row for entry in (*found.giving, *found.wanted) if entry != _MORE}
    after = exchange._replace(windows=exchange.windows - {window}, rows=exchange.rows | rows)
    at_once = told - {entry.row for entry in (*found.wanted, *found.giving)}
    _is_met_at_once(instance, world, play.world(world), r, exchange, at_once)
    return _over(world, r, after)


def _is_met_at_once(
    instance: Instance, world: World, found: World, r: int, exchange: Exchange, rows: set[int]
) -> None:
    """Rows that a leaf showed, and that were dealt with in that step, are dealt with as any other row."""
    then = world
    for row in sorted(rows):
        if _is_taken(exchange, row):
            then = _meet(instance, then, r, exchange._replace(rows=frozenset({row})), row)
    if then.replicas != found.replicas:
        raise StrangeStep(f"replica {r} looks into a window, and rows change that it does not meet")


def _is_taken(exchange: Exchange, row: int) -> bool:
    """Whether the newer entry of a row is the other side's."""
    ours, their = _by_row(exchange.mine).get(row), _by_row(exchange.theirs).get(row)
    return their is not None and (ours is None or their.version > ours.version)


def _meet(instance: Instance, world: World, r: int, exchange: Exchange, row: int) -> World:
    """One row, until both sides have said so."""
    alone = exchange._replace(windows=frozenset(), rows=frozenset({row}))
    state = _driving(instance, alone)
    found = [_met(instance, world, r, alone, state)]
    if state.giving:
        (entry,) = state.giving
        held = instance.machines.forests.effective(world.replicas[exchange.other - 1], row)
        if held.version > entry.version:
            found.append(_met(instance, world, r, alone, replace(state, sent_rows=(row,))))
    elif instance.machines.forests.effective(world.replicas[r - 1], row).version > state.wanted[0].version:
        met, _ = _stepped(instance.machines, world.replicas[r - 1], Meet(state.wanted[0]))
        found.append(_with(world, {r: met}))
    if any(other != found[0] for other in found):
        raise StrangeStep(f"row {row} is sent to a side that needs it not, and that makes a difference")
    after = exchange._replace(rows=exchange.rows - {row})
    return _over(found[0], r, after)


def _met(instance: Instance, world: World, r: int, alone: Exchange, state: Driving) -> World:
    play = Play(instance, world, r, alone.other, state, alone.theirs)
    play.drive(exchanges.Again())
    play.goes_on(messages.AskRows, messages.Give)
    if not isinstance(play.effect, exchanges.Succeeded) or len(play.asked) != 1:
        raise StrangeStep(f"replica {r} deals with a row in {play.asked}, and ends with {play.effect}")
    for state_after in (play.one, play.two):
        for _, held in state_after.replica.rows.durable.rows:
            number(instance, held.version)
    return play.world(world)
