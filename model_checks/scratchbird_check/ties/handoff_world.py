"""The world of ``spec/handoff.tla`` around the reference: its states, in the model's variables and back.

A replica is one of :mod:`scratchbird_reference.handoff_replica`, what the coordinator owes is the account of
:mod:`scratchbird_reference.handoff_account`, and an operation is what the model remembers of it. What a
step is, :mod:`scratchbird_check.ties.handoff_moves` says.

Left out of these states, because the model has no notion of it: when something happened, who was told what
the catalog knows, in which incarnation a replica is (who loses its disk is discounted at once), and
exchanges that are under way. Each step hands the reference what it needs of that, and takes it away again.

The model has one floor. The reference has a higher one whenever a round is void (HANDOFF.R13): so its
versions are further apart than the model's, and of the floors that lie between the same two of them the last
is the model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from scratchbird_check.ties.graph import TieBroken
from scratchbird_reference import handoff_account as accounts
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import quorum_replica
from scratchbird_reference.handoff_catalog import Catalog
from scratchbird_reference.handoff_hints import HintKeeper
from scratchbird_reference.handoff_replica import FlooredReplica
from scratchbird_reference.handoff_replica import State as ReplicaState
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import NOTHING, Held, Incarnations, Setting

ROW = 0
SHARD = 0
ROOM = 10
"""How far apart versions are that the model has one after the other."""
NOW_NS = 10**10
"""Of every hint, and of every look at them: at each pace there is, some are due."""
VARIABLES = (
    "held", "closed", "merged", "converged", "settled", "recovering",
    "allClosed", "allConverged", "lost",
    "phase", "version", "answered", "best", "acked",
    "intended", "hinted", "leftOut", "owed", "heard", "givenUp",
)  # fmt: skip
_OF_VERSIONS = ("held", "version", "best")


class Op(NamedTuple):
    """An operation as the model sees it."""

    phase: str = "idle"
    version: int = 0
    answered: frozenset[int] = frozenset()
    best: int = 0
    acked: frozenset[int] = frozenset()


class World(NamedTuple):
    """A state of the model. Replicas and operations are numbered from 1."""

    replicas: tuple[ReplicaState, ...]
    all_closed: bool
    all_converged: bool
    lost: int
    ops: tuple[Op, ...]
    intended: frozenset[int]
    account: accounts.State
    given_up: int


@dataclass(frozen=True)
class Instance:
    """The constants of one configuration, and the machines (or wrong ones) that play it.

    :ivar kinds: of the operations, ``write`` or ``delete``.
    :ivar versions: that writes may take, and in :attr:`floor` one that they do not: :data:`ROOM` times the
        model's.
    :ivar has_floor: whether the catalog ever proposes one.
    """

    setting: Setting
    kinds: tuple[str, ...]
    versions: tuple[int, ...]
    floor: int
    losses: int
    given_up: int
    has_floor: bool = True
    coordinator: Coordinator = field(default_factory=Coordinator)
    replica: FlooredReplica = field(default_factory=FlooredReplica)
    keeper: HintKeeper = field(default_factory=HintKeeper)
    catalog: Catalog = field(default_factory=Catalog)

    @property
    def names(self) -> tuple[int, ...]:
        return self.setting.replicas

    @property
    def numbers(self) -> range:
        return range(1, len(self.kinds) + 1)

    @property
    def known(self) -> Incarnations:
        """The incarnations: of nobody another one than the first."""
        return tuple((r, 1) for r in self.names)

    def value(self, o: int) -> bytes | None:
        return None if self.kinds[o - 1] == "delete" else str(o).encode()


class StrangeStep(TieBroken):
    """The reference does something of which the model has no notion; the message says what."""


def numbers_in(text: str) -> tuple[int, ...]:
    """The numbers of a set as a configuration writes it."""
    return tuple(map(int, re.findall(r"\d+", text)))


# --- what is held of the row ------------------------------------------------------------------------------


def held_as(instance: Instance, ops: Iterable[Op], version: int) -> Held:
    """A version with the value of the operation that took it; the floor is a delete of nobody."""
    for o, op in enumerate(ops, start=1):
        if version and op.version == version:
            return Held(version, instance.value(o))
    return Held(version, None) if version == instance.floor else NOTHING


def version_of(state: ReplicaState) -> int:
    """What a replica holds of the row, 0 if it is absent."""
    return state.rows.durable.held(ROW).version


# --- one form of each state -------------------------------------------------------------------------------


def plain_replica(instance: Instance, state: ReplicaState) -> ReplicaState:
    """Without what the model does not know of a replica."""
    durable = replace(state.rows.durable, incarnations=instance.known)
    volatile = floors.Volatile(merged=state.floor.volatile.merged)
    return ReplicaState(
        quorum_replica.State(durable, quorum_replica.Volatile()), replace(state.floor, volatile=volatile)
    )


def plain_account(instance: Instance, state: accounts.State) -> accounts.State:
    """Without what the model does not know of an account; in one order."""
    writes = tuple(
        (o, replace(open_, targets=frozenset(instance.names))) for o, open_ in sorted(state.volatile.writes)
    )
    hints = tuple(sorted(state.durable.hints, key=lambda hint: hint.key))
    return replace(
        state,
        durable=replace(state.durable, hints=hints),
        volatile=accounts.Volatile(writes, state.volatile.coming_back),
    )


def with_last_floor(instance: Instance, state: ReplicaState, last: int) -> ReplicaState:
    """With this floor, the last that was proposed, as the instance's; what is closed or said of an older one
    is nothing any more."""
    durable = state.floor.durable
    at = {name: instance.floor * (getattr(durable, name) == last) for name in ("closed", "converged")}
    durable = replace(durable, floor=instance.floor * (durable.floor > 0), **at)
    return plain_replica(instance, replace(state, floor=replace(state.floor, durable=durable)))


# --- the model's variables --------------------------------------------------------------------------------


def initial(instance: Instance) -> World:
    """The model's one initial state."""
    nothing = floors.Volatile()
    return World(
        replicas=tuple(
            ReplicaState(
                quorum_replica.State(quorum_replica.Durable(r, instance.known), quorum_replica.Volatile()),
                floors.State(instance.setting, floors.Durable(r), nothing),
            )
            for r in instance.names
        ),
        all_closed=False,
        all_converged=False,
        lost=0,
        ops=(Op(),) * len(instance.kinds),
        intended=frozenset(),
        account=accounts.State(instance.setting),
        given_up=0,
    )


def from_model(instance: Instance, values: Mapping[str, Any]) -> World:
    """A state of the model, as :func:`scratchbird_check.traces.tla_values.parse_state` reads it.

    :raises ValueError: if a variable is missing or there is one more than this module knows: then the
        model was changed and the tie was not.
    """
    if set(values) != set(VARIABLES):
        raise ValueError(f"the model's variables are {sorted(values)}, the tie knows {sorted(VARIABLES)}")
    values = {**values, **{name: tuple(ROOM * v for v in values[name]) for name in _OF_VERSIONS}}
    ops = tuple(Op(*(values[name][o - 1] for name in Op._fields)) for o in instance.numbers)

    def one(r: int) -> ReplicaState:
        held = held_as(instance, ops, values["held"][r - 1])
        rows = quorum_replica.Durable(
            r,
            instance.known,
            rows=((ROW, held),) if held.version else (),
            recovering=instance.setting if values["recovering"][r - 1] else None,
        )
        at = {name: instance.floor * values[name][r - 1] for name in ("closed", "converged", "settled")}
        floor = floors.State(
            instance.setting,
            floors.Durable(r, at["closed"], at["converged"], at["settled"]),
            floors.Volatile(merged=frozenset(values["merged"][r - 1])),
        )
        return ReplicaState(quorum_replica.State(rows, quorum_replica.Volatile()), floor)

    return World(
        replicas=tuple(map(one, instance.names)),
        all_closed=values["allClosed"],
        all_converged=values["allConverged"],
        lost=values["lost"],
        ops=ops,
        intended=values["intended"],
        account=_account(instance, ops, values),
        given_up=values["givenUp"],
    )


def _account(instance: Instance, ops: tuple[Op, ...], values: Mapping[str, Any]) -> accounts.State:
    hints = [
        accounts.Hint(r, SHARD, ROW, held_as(instance, ops, ops[o - 1].version), NOW_NS)
        for o in instance.numbers
        for r in values["hinted"][o - 1]
    ]
    marks = tuple(
        ((r, SHARD), accounts.Mark(owed != "closed", frozenset(values["heard"][r - 1])))
        for r, owed in zip(instance.names, values["owed"], strict=True)
        if owed != "none"
    )
    writes = tuple((o, _open(instance, ops, o, values)) for o in sorted(values["intended"]))
    writes = tuple((o, open_) for o, open_ in writes if ops[o - 1].phase == "sending")
    back = frozenset(
        (r, SHARD) for r, owed in zip(instance.names, values["owed"], strict=True) if owed == "returning"
    )
    least = instance.setting.write_quorum if hints or marks or writes else 0
    durable = accounts.Durable(tuple(hints), marks, least_write_quorum=least)
    return plain_account(instance, accounts.State(instance.setting, durable, accounts.Volatile(writes, back)))


def _open(instance: Instance, ops: tuple[Op, ...], o: int, values: Mapping[str, Any]) -> accounts.Open:
    return accounts.Open(
        SHARD,
        ROW,
        held_as(instance, ops, ops[o - 1].version),
        NOW_NS,
        frozenset(instance.names),
        frozenset(values["leftOut"][o - 1]),
    )


def to_model(instance: Instance, world: World) -> dict[str, Any]:
    """The same state in the model's variables."""
    rows = [state.rows.durable for state in world.replicas]
    at = [state.floor.durable for state in world.replicas]
    hints = world.account.durable.hints
    opened = dict(world.account.volatile.writes)
    marks = dict(world.account.durable.marks)
    values: dict[str, Any] = {
        "held": tuple(map(version_of, world.replicas)),
        "closed": tuple(item.closed > 0 for item in at),
        "merged": tuple(state.floor.volatile.merged for state in world.replicas),
        "converged": tuple(item.converged > 0 for item in at),
        "settled": tuple(item.floor > 0 for item in at),
        "recovering": tuple(item.recovering is not None for item in rows),
        "allClosed": world.all_closed,
        "allConverged": world.all_converged,
        "lost": world.lost,
        **{name: tuple(getattr(op, name) for op in world.ops) for name in Op._fields},
        "intended": world.intended,
        "hinted": tuple(
            frozenset(hint.target for hint in hints if op.version and hint.held.version == op.version)
            for op in world.ops
        ),
        "leftOut": tuple(opened[o].left_out if o in opened else frozenset() for o in instance.numbers),
        "owed": tuple(_owed(world, (r, SHARD)) for r in instance.names),
        "heard": tuple(marks.get((r, SHARD), accounts.Mark()).heard for r in instance.names),
        "givenUp": world.given_up,
    }
    return {**values, **{name: tuple(v // ROOM for v in values[name]) for name in _OF_VERSIONS}}


def _owed(world: World, place: accounts.Place) -> str:
    mark = dict(world.account.durable.marks).get(place)
    if mark is None:
        return "none"
    if not mark.is_open:
        return "closed"
    return "returning" if place in world.account.volatile.coming_back else "open"
