"""The world of ``spec/quorum.tla`` around the reference: what a model's step is in events of the reference.

:func:`successors` gives, for a state of the model, every state that one step leads to, by asking the
*reference* what coordinators and replicas do. Clients, faults, the catalog and what is remembered of the past
are the model's own and are repeated here.

A coordinator acts late in the model: what it heard is one step, what it does about it another. So the answers
of an operation that is asking are kept outside of it, and all are delivered when it chooses or stamps, the
highest first; and a reply that is due is asked for by repeating an acknowledgement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scratchbird_check.ties.graph import TieBroken
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum import compatible
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import (
    NOTHING,
    Acknowledgement,
    Answer,
    Exchange,
    Exchanged,
    Held,
    Incarnations,
    Message,
    Mode,
    Query,
    Send,
    Setting,
    Write,
    incarnation_of,
)

ROW = 0
VARIABLES = (
    "held", "epoch", "incarnation", "knows", "recovering", "heard",
    "phase", "setting", "version", "answered", "best", "holder", "told",
    "durable", "author", "returned", "after", "lost",
)  # fmt: skip

Counts = tuple[int, ...]
"""A number for each replica."""


class Op(NamedTuple):
    """An operation as the model sees it; incarnations are 0 where nothing was said."""

    phase: str
    setting: int
    version: int
    answered: frozenset[int]
    best: int
    holder: Counts
    told: Counts


class World(NamedTuple):
    """A state of the model. Replicas and operations are numbered from 1."""

    replicas: tuple[replicas.State, ...]
    ops: tuple[Op, ...]
    durable: frozenset[int]
    author: tuple[int, ...]
    returned: frozenset[int]
    after: tuple[frozenset[int], ...]
    lost: int


@dataclass(frozen=True)
class Instance:
    """The constants of one configuration, and the machines (or wrong ones) that play it.

    :ivar operations: what each is, and of which other one.
    :ivar settings: by epoch, from 1.
    """

    size: int
    operations: tuple[tuple[str, int], ...]
    settings: tuple[Setting, ...]
    max_version: int
    losses: int
    coordinator: Coordinator = field(default_factory=Coordinator)
    replica: replicas.Replica = field(default_factory=replicas.Replica)

    @property
    def names(self) -> range:
        return range(1, self.size + 1)

    @property
    def numbers(self) -> range:
        return range(1, len(self.operations) + 1)

    def kind(self, o: int) -> str:
        return self.operations[o - 1][0]

    def writes(self, o: int) -> bool:
        return self.kind(o) in ("write", "retry")

    def of(self, o: int) -> int:
        """The operation as clients count: a retry is the write that it retries."""
        return self.operations[o - 1][1] if self.kind(o) in ("retry", "look") else o


class StrangeStep(TieBroken):
    """The reference does something of which the model has no notion; the message says what."""


# --- states of the model ----------------------------------------------------------------------------------


def from_model(instance: Instance, values: Mapping[str, Any]) -> World:
    """A state of the model, as :func:`scratchbird_check.traces.tla_values.parse_state` reads it.

    :raises ValueError: if a variable is missing or there is one more than this module knows: then the
        model was changed and the tie was not.
    """
    if set(values) != set(VARIABLES):
        raise ValueError(f"the model's variables are {sorted(values)}, the tie knows {sorted(VARIABLES)}")

    def one(r: int) -> replicas.State:
        version, under = values["held"][r - 1], values["recovering"][r - 1]
        durable = replicas.Durable(
            r,
            _map(values["knows"][r - 1]),
            values["epoch"][r - 1],
            ((ROW, _held(values["author"], version)),) if version else (),
            instance.settings[under - 1] if under else None,
        )
        assert durable.incarnation == values["incarnation"][r - 1]
        return replicas.State(durable, replicas.Volatile(frozenset(values["heard"][r - 1])))

    names = Op._fields
    return World(
        replicas=tuple(map(one, instance.names)),
        ops=tuple(Op(*(values[name][o - 1] for name in names)) for o in instance.numbers),
        durable=values["durable"],
        author=values["author"],
        returned=values["returned"],
        after=values["after"],
        lost=values["lost"],
    )


def to_model(instance: Instance, world: World) -> dict[str, Any]:
    """The same state in the model's variables."""
    disks = [state.durable for state in world.replicas]
    volatile = [state.volatile or replicas.Volatile() for state in world.replicas]
    return {
        "held": tuple(disk.held(ROW).version for disk in disks),
        "epoch": tuple(disk.epoch for disk in disks),
        "incarnation": tuple(disk.incarnation for disk in disks),
        "knows": tuple(_counts(instance, disk.incarnations) for disk in disks),
        "recovering": tuple(disk.recovering.epoch if disk.recovering else 0 for disk in disks),
        "heard": tuple(item.heard for item in volatile),
        **{name: tuple(getattr(op, name) for op in world.ops) for name in Op._fields},
        "durable": world.durable,
        "author": world.author,
        "returned": world.returned,
        "after": world.after,
        "lost": world.lost,
    }


def initial(instance: Instance) -> World:
    """The model's one initial state."""
    known = tuple((r, 1) for r in instance.names)
    nobody = (0,) * instance.size
    idle = Op("idle", 0, 0, frozenset(), 0, nobody, nobody)
    return World(
        replicas=tuple(
            replicas.State(replicas.Durable(r, known, 1), replicas.Volatile()) for r in instance.names
        ),
        ops=(idle,) * len(instance.operations),
        durable=frozenset(),
        author=(0,) * instance.max_version,
        returned=frozenset(),
        after=(frozenset(),) * len(instance.operations),
        lost=0,
    )


def _map(counts: Sequence[int]) -> Incarnations:
    return tuple((r, count) for r, count in enumerate(counts, start=1) if count)


def _counts(instance: Instance, known: Incarnations) -> Counts:
    return tuple(incarnation_of(r, known) for r in instance.names)


def _held(author: Sequence[int], version: int) -> Held:
    """A version, with the number of the write that made it as its value."""
    return Held(version, str(author[version - 1]).encode()) if version else NOTHING


def _op(world: World, o: int, **changes: Any) -> World:
    ops = (*world.ops[: o - 1], world.ops[o - 1]._replace(**changes), *world.ops[o:])
    return world._replace(ops=ops)


def _replica(world: World, r: int, state: replicas.State) -> World:
    return world._replace(replicas=(*world.replicas[: r - 1], state, *world.replicas[r:]))


# --- successors -------------------------------------------------------------------------------------------


def successors(instance: Instance, world: World) -> Iterator[tuple[str, World]]:
    """Every (action, next state) that the model should have, played by the reference.

    :raises StrangeStep: if the reference sends or says something that the model does not know.
    """
    for o in instance.numbers:
        op = world.ops[o - 1]
        if op.phase == "idle":
            yield from _begin(instance, world, o)
        elif op.phase in ("asking", "sending"):
            yield from (_asking if op.phase == "asking" else _sending)(instance, world, o)
            if instance.kind(o) == "write":
                yield "GiveUp", _give_up(instance, world, o)
    for r in instance.names:
        yield from _replica_steps(instance, world, r)


def _token(instance: Instance, world: World, o: int, setting: Setting) -> int:
    before = instance.operations[o - 1][1]
    carries = instance.of(o) == o and before and setting.mode is Mode.EVENTUAL
    return world.ops[before - 1].version if carries else 0


def _request(instance: Instance, world: World, o: int, setting: Setting) -> operations.Request:
    token, version = _token(instance, world, o, setting), world.ops[instance.of(o) - 1].version
    match instance.kind(o):
        case "write":
            return operations.PutValue(o, ROW, str(o).encode(), token)
        case "retry":
            return operations.PutValue(o, ROW, str(instance.of(o)).encode(), reserved=version)
        case "look":
            return operations.LookUp(o, ROW, version)
    return operations.Read(o, ROW, token)


def _barriers(instance: Instance, world: World) -> set[int]:
    return {
        op.setting
        for o, op in enumerate(world.ops, start=1)
        if instance.kind(o) == "read" and op.phase == "done"
    }


def _side_by_side(instance: Instance, first: int, second: int) -> bool:
    one, other = instance.settings[first - 1], instance.settings[second - 1]
    return compatible((one, other)) if first != second else True


def _may_use(instance: Instance, e: int, barriers: set[int]) -> bool:
    """The catalog's rule (QUORUM.R15, QUORUM.R16)."""
    return all(
        _side_by_side(instance, d, e)
        or any(
            d < b < e and _side_by_side(instance, d, b) and _side_by_side(instance, b, e) for b in barriers
        )
        for d in range(1, e)
    )


def _begin(instance: Instance, world: World, o: int) -> Iterator[tuple[str, World]]:
    before = instance.operations[o - 1][1]
    own = instance.of(o) == o
    if not ((not before or before in world.returned) if own else world.ops[before - 1].version):
        return
    for setting in instance.settings:
        if not _may_use(instance, setting.epoch, _barriers(instance, world)):
            continue
        _, effects = instance.coordinator.step(
            operations.State(setting), _request(instance, world, o, setting)
        )
        asks = all(isinstance(item, Send) and isinstance(item.message, Query) for item in effects)
        stamps = len(effects) == 1 and isinstance(effects[0], operations.Stamp)
        version = 0
        if not (asks or stamps):
            version = _sent(instance, effects)
        after = _op(
            world, o, phase="sending" if version else "asking", setting=setting.epoch, version=version
        )
        mine = world.returned if own else frozenset()
        yield "Begin", after._replace(after=(*world.after[: o - 1], mine, *world.after[o:]))


def _sent(instance: Instance, effects: operations.Effects) -> int:
    """The version of a write that was sent to all, with its intent."""
    stored = [item.intent for item in effects if isinstance(item, operations.StoreIntent)]
    writes = [
        (item.to, item.message.held)
        for item in effects
        if isinstance(item, Send) and isinstance(item.message, Write)
    ]
    if len(stored) != 1 or writes != [(r, stored[0].held) for r in instance.names]:
        raise StrangeStep(f"a write sends {effects}")
    return stored[0].held.version


# --- a coordinator that asks ------------------------------------------------------------------------------


def _asking(instance: Instance, world: World, o: int) -> Iterator[tuple[str, World]]:
    op = world.ops[o - 1]
    setting = instance.settings[op.setting - 1]
    for r in instance.names:
        if r not in op.answered:
            yield from _answer(instance, world, o, r)
    state, effects = _told_all(instance, world, o)
    if stamp := next((item for item in effects if isinstance(item, operations.Stamp)), None):
        for version in range(stamp.above + 1, instance.max_version + 1):
            if not world.author[version - 1]:
                _, sent = instance.coordinator.step(state, operations.Stamped(o, version))
                author = (*world.author[: version - 1], instance.of(o), *world.author[version:])
                yield (
                    "Stamp",
                    _op(
                        world, o, phase="sending", version=_sent(instance, sent), answered=frozenset(), best=0
                    )._replace(author=author),
                )
        return
    assert state.volatile is not None
    mine = dict(state.volatile.operations)[o]
    if mine.phase is operations.Phase.ASKING:
        return
    if mine.written is None:
        (reply,) = effects
        assert isinstance(reply, operations.Reply)
        if reply.outcome is not operations.Outcome.NOT_AT_A_QUORUM:
            raise StrangeStep(f"operation {o} ends with {reply}")
        nobody = (0,) * instance.size
        yield (
            "Choose",
            _op(
                world, o, phase="done", version=reply.held.version, holder=nobody, told=nobody,
                answered=frozenset(), best=0,
            ),
        )  # fmt: skip
        return
    replied = any(isinstance(item, operations.Reply) for item in effects)
    asked = {item.to for item in effects if isinstance(item, Send)}
    owed = {r for r in instance.names if not op.holder[r - 1]}
    if not replied and not owed <= asked:
        raise StrangeStep(f"operation {o} of {setting} writes back to {asked}, and {owed} may lack it")
    yield "Choose", _op(world, o, phase="sending", version=mine.written.version, best=0)


def _told_all(instance: Instance, world: World, o: int) -> tuple[operations.State, operations.Effects]:
    """The operation as it began, with every answer that it has; the effects of the one that mattered."""
    op = world.ops[o - 1]
    setting = instance.settings[op.setting - 1]
    state, effects = instance.coordinator.step(
        operations.State(setting), _request(instance, world, o, setting)
    )
    if not any(isinstance(item, operations.Stamp) for item in effects):
        effects = ()
    # Who held less than the best is not remembered: it is as good as nothing. Of a write, nor who held it.
    best = _held(world.author, op.best)
    holds = {r for r in op.answered if op.holder[r - 1]} or set(sorted(op.answered)[:1])
    for r in sorted(op.answered, key=lambda r: r not in holds):
        known = tuple((other, count) for other, count in _map(op.told) if other != r)
        own = op.holder[r - 1] or op.told[r - 1]
        answer = Answer(o, best if r in holds else NOTHING, (*known, (r, own)))
        state, more = instance.coordinator.step(state, operations.Deliver(r, answer))
        effects = (*effects, *more)
    return state, effects


def _answer(instance: Instance, world: World, o: int, r: int) -> Iterator[tuple[str, World]]:
    op = world.ops[o - 1]
    state, message = _ask(instance, world, r, Query(o, op.setting, ROW))
    if not isinstance(message, Answer):
        # It refused an old epoch, which changes nothing, or has no vote, and may have heard of a new one.
        if state != world.replicas[r - 1]:
            yield "HearEpoch", _replica(world, r, state)
        return
    version, best, holder = message.held.version, op.best, op.holder
    if not instance.writes(o) and version >= best:
        kept = holder if version == best else (0,) * instance.size
        holder = (*kept[: r - 1], incarnation_of(r, message.incarnations), *kept[r:])
    after = _op(
        world, o, answered=op.answered | {r}, best=max(best, version), holder=holder,
        told=_newer(instance, op.told, message.incarnations),
    )  # fmt: skip
    yield "Answer", _replica(after, r, state)


def _newer(instance: Instance, told: Counts, known: Incarnations) -> Counts:
    return tuple(map(max, told, _counts(instance, known)))


def _ask(
    instance: Instance, world: World, r: int, message: Message, sender: int | None = None
) -> tuple[replicas.State, Message | None]:
    """A message to a replica; what it answers."""
    state, sends = instance.replica.step(world.replicas[r - 1], replicas.Deliver(message, sender))
    if len(sends) > 1:
        raise StrangeStep(f"replica {r} answers {message} with {sends}")
    return state, sends[0].message if sends else None


# --- a coordinator that has sent --------------------------------------------------------------------------


def _coordinator(instance: Instance, world: World, o: int) -> operations.State:
    """A coordinator whose operation has a version, built from what the model remembers of it."""
    op = world.ops[o - 1]
    setting = instance.settings[op.setting - 1]
    kinds = {"read": operations.Kind.READ, "look": operations.Kind.LOOK_UP}
    held = _held(world.author, op.version)
    operation = operations.Operation(
        kinds.get(instance.kind(o), operations.Kind.WRITE),
        ROW,
        setting,
        operations.Phase.WRITING,
        held.value,
        world.ops[instance.of(o) - 1].version if instance.kind(o) == "look" else 0,
        held,
        o in world.durable,
        tuple((r, held if op.holder[r - 1] else NOTHING, _said(op, r)) for r in sorted(op.answered)),
        tuple((r, _said(op, r)) for r in instance.names if op.holder[r - 1] and r not in op.answered),
    )
    return operations.State(
        setting, operations.Durable(), operations.Volatile(((o, operation),), _map(op.told))
    )


def _said(op: Op, r: int) -> Incarnations:
    """The incarnation in which a replica said that it holds the version."""
    return ((r, op.holder[r - 1]),)


def _holders(instance: Instance, op: Op) -> set[int]:
    """Who counts, by the reference's rule."""
    known = _map(op.told)
    return {
        r
        for r in instance.names
        if op.holder[r - 1] and instance.coordinator.rules.current(r, _said(op, r), known)
    }


def _sending(instance: Instance, world: World, o: int) -> Iterator[tuple[str, World]]:
    op, state = world.ops[o - 1], _coordinator(instance, world, o)
    held = _held(world.author, op.version)
    if instance.writes(o) and o not in world.durable:
        intent = operations.Intent(ROW, held, frozenset(instance.names))
        stored, _ = instance.coordinator.step(state, operations.IntentStored(o, intent))
        left = {r for _, item in stored.durable.intents for r in item.targets}
        if left != set(instance.names) - _holders(instance, op):
            raise StrangeStep(f"the intent of operation {o} names {left}")
        yield "RecordIntent", world._replace(durable=world.durable | {o})
    for r in set(instance.names) - _holders(instance, op):
        yield from _acknowledge(instance, world, o, r)
    said = [r for r in instance.names if op.holder[r - 1]]
    for r in said[:1]:
        again = Acknowledgement(o, op.version, _said(op, r))
        _, effects = instance.coordinator.step(state, operations.Deliver(r, again))
        if effects:
            yield "Reply", _replied(instance, world, o, effects)


def _acknowledge(instance: Instance, world: World, o: int, r: int) -> Iterator[tuple[str, World]]:
    op, held = world.ops[o - 1], _held(world.author, world.ops[o - 1].version)
    state, message = _ask(instance, world, r, Write(o, op.setting, ROW, held))
    if not isinstance(message, Acknowledgement):
        return
    after, _ = instance.coordinator.step(_coordinator(instance, world, o), operations.Deliver(r, message))
    assert after.volatile is not None
    mine = dict(dict(after.volatile.operations)[o].acknowledged)
    counted = incarnation_of(r, mine[r]) if r in mine else op.holder[r - 1]
    changed = _op(
        world,
        o,
        holder=(*op.holder[: r - 1], counted, *op.holder[r:]),
        told=_counts(instance, after.volatile.incarnations),
    )
    yield "Acknowledge", _replica(changed, r, state)


def _replied(instance: Instance, world: World, o: int, effects: operations.Effects) -> World:
    op, (reply,) = world.ops[o - 1], effects
    outcomes = {
        "read": (operations.Outcome.VALUE,),
        "look": (operations.Outcome.COMMITTED, operations.Outcome.SUPERSEDED),
    }
    assert isinstance(reply, operations.Reply)
    expected = outcomes.get(instance.kind(o), (operations.Outcome.COMMITTED,))
    if reply.outcome not in expected or reply.held != _held(world.author, op.version):
        raise StrangeStep(f"operation {o} replies {reply}")
    nobody = (0,) * instance.size
    holders = _holders(instance, op)
    kept = tuple(int(r in holders) for r in instance.names) if instance.writes(o) else nobody
    after = _op(world, o, phase="done", holder=kept, told=nobody, answered=frozenset())
    return after._replace(returned=world.returned | {instance.of(o)})


def _give_up(instance: Instance, world: World, o: int) -> World:
    op = world.ops[o - 1]
    if op.phase == "asking":
        state, _ = _told_all(instance, world, o)
    else:
        state = _coordinator(instance, world, o)
    _, effects = instance.coordinator.step(state, operations.Deadline(o))
    sent = op.version != 0
    outcome = operations.Outcome.INDETERMINATE if sent else operations.Outcome.NOT_APPLIED
    (reply,) = effects
    if not isinstance(reply, operations.Reply) or reply.outcome is not outcome:
        raise StrangeStep(f"operation {o} ends with {reply} when its time is up")
    nobody = (0,) * instance.size
    return _op(world, o, phase="failed", answered=frozenset(), best=0, holder=nobody, told=nobody)


# --- replicas ---------------------------------------------------------------------------------------------


def _replica_steps(instance: Instance, world: World, r: int) -> Iterator[tuple[str, World]]:
    state = world.replicas[r - 1]
    durable, volatile = state.durable, state.volatile
    assert volatile is not None
    for version in range(1, instance.max_version + 1):
        if world.author[version - 1]:
            after, _ = _ask(instance, world, r, Write(0, durable.epoch, ROW, _held(world.author, version)))
            if after != state:
                yield "Store", _replica(world, r, after)
    if world.lost < instance.losses:
        for setting in _recovers_as(instance, world):
            yield "LoseDisk", _lose_disk(instance, world, r, setting)
    if durable.recovering is not None:
        for q in instance.names:
            if q != r and q not in volatile.heard:
                yield from _exchange(instance, world, r, q)


def _in_force(instance: Instance, world: World) -> list[Setting]:
    """The settings of which something may be left that no barrier has seen: the catalog's knowledge."""
    newest = max([1, *(op.setting for op in world.ops)])
    barriers = _barriers(instance, world)
    return [
        setting
        for setting in instance.settings[:newest]
        if not any(setting.epoch < b and _side_by_side(instance, setting.epoch, b) for b in barriers)
    ]


def _recovers_as(instance: Instance, world: World) -> list[Setting]:
    """Those of them whose W is the least (rule QUORUM.R13)."""
    known = _in_force(instance, world)
    least = min(setting.write_quorum for setting in known)
    return [setting for setting in known if setting.write_quorum == least]


def _lose_disk(instance: Instance, world: World, r: int, setting: Setting) -> World:
    known = {state.durable.replica: state.durable.incarnation for state in world.replicas}
    known[r] += 1
    newest = max(item.epoch for item in _in_force(instance, world))
    down, _ = instance.replica.step(world.replicas[r - 1], replicas.Crash())
    state, _ = instance.replica.step(down, replicas.StartEmpty(setting, tuple(sorted(known.items())), newest))
    return _replica(world, r, state)._replace(lost=world.lost + 1)


def _exchange(instance: Instance, world: World, r: int, q: int) -> Iterator[tuple[str, World]]:
    _, asks = instance.replica.step(world.replicas[r - 1], replicas.Ask())
    (ask,) = [item.message for item in asks if item.to == q]
    assert isinstance(ask, Exchange)
    other, message = _ask(instance, world, q, ask, r)
    if not isinstance(message, Exchanged):
        return
    after = _replica(world, q, other)
    state, _ = _ask(instance, after, r, message, q)
    yield "Exchange", _replica(after, r, state)
