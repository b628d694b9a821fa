"""What a solver found against a wrong rule of the quorums, as moves that the code plays.

The formulas know no messages that are under way, only that they were sent; so a step of a coordinator that
counts is where the message arrives. They stop where a version is too low: in the code, whoever has it goes on
until a client sees it. Operation 0 of the formulas is run by ``c1``, replica 0 is ``r1``, and so on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scratchbird_check.traces.quorum_moves import (
    Act,
    Move,
    acknowledged,
    deadline,
    hear,
    hold,
    lose,
    read,
    recover,
    store,
    tell,
    undo,
    write,
)
from scratchbird_check.traces.quorum_world import Stage
from scratchbird_check.variants.quorum import UncheckedSetting
from scratchbird_proofs.quorum_loss_runs import FoundLoss
from scratchbird_proofs.quorum_refutations import SCENARIOS, FoundStep, FoundStory
from scratchbird_reference.quorum import joint
from scratchbird_reference.quorum_messages import Setting

CHANGES_AT = 2
"""From this operation on the later setting is used, if there are two."""


@dataclass(frozen=True, slots=True)
class Played:
    """The moves, and on which stage the wrong rule and the right one play them."""

    moves: tuple[Move, ...]
    wrong: Stage
    right: Stage


def of_story(variant: str, found: FoundStory) -> Played:
    """A run of reads and writes.

    :raises ValueError: if the run has a step that the code does not know.
    """
    writes = SCENARIOS[variant].writes
    moves: list[Move] = []
    for number, step in enumerate(found.steps):
        _add(moves, _moves(step, found.steps[:number], found.steps[number:], writes))
    replicas = tuple(range(1, found.sizes[0] + 1))
    last, coordinators = len(writes) - 1, [_coordinator(op) for op, _ in enumerate(writes)]
    moves.append(hold(_name(last), *replicas))
    if writes[last]:
        coordinators.append(_coordinator(last + 1))
        moves += [read("after", coordinators[-1], hears=replicas), hold("after", *replicas)]
    return Played(tuple(moves), *_stages(found, replicas, coordinators))


def of_loss(found: FoundLoss) -> Played:
    """A run of lost disks: at its end the coordinator counts what was said, and somebody reads."""
    n, w, r = found.sizes
    replicas = tuple(range(1, n + 1))
    moves = [write("w", "new", "c1", hears=replicas[:r])]
    told: dict[int, list[int]] = {}
    acks = []
    for kind, actor, peer in found.steps:
        name, other = actor + 1, peer + 1
        match kind:
            case "ack":
                moves.append(store("w", name))
                acks.append(name)
            case "lose":
                moves.append(lose(name))
                told[name] = []
            case "tell":
                moves.append(tell(name, other))
                told[name].append(other)
            case "recover":
                moves.append(recover(name, *told[name]))
            case _:
                raise ValueError(f"step {kind!r} is none that the code knows: ack, lose, tell or recover")
    without = [found.without + 1, *(name for name in replicas if name not in acks)]
    moves += [acknowledged("w", *acks), read("r", "c2", hears=tuple(without)), hold("r", *replicas)]
    stage = Stage(dict.fromkeys(("c1", "c2"), Setting(replicas, w, r)))
    return Played(tuple(moves), stage, stage)


def _stages(found: FoundStory, replicas: tuple[int, ...], coordinators: Sequence[str]) -> tuple[Stage, Stage]:
    """With the sizes that were found, and with those that the rules allow."""
    n, w, r = found.sizes
    if w + r <= n:
        wrong: Setting = UncheckedSetting(replicas, w, r)
        return (
            Stage(dict.fromkeys(coordinators, wrong)),
            Stage(dict.fromkeys(coordinators, Setting(replicas, w, n - w + 1))),
        )
    now = Setting(replicas, w, r)
    if found.later == (w, r):
        stage = Stage(dict.fromkeys(coordinators, now))
        return stage, stage
    later = Setting(replicas, *found.later, epoch=2)
    both = [
        {name: then if op >= CHANGES_AT else now for op, name in enumerate(coordinators)}
        for then in (later, joint(now, later))
    ]
    return Stage(both[0]), Stage(both[1])


def _moves(
    step: FoundStep, before: Sequence[FoundStep], left: Sequence[FoundStep], writes: Sequence[bool]
) -> list[Move]:
    name, replica = _name(step.op), step.replica + 1
    match step.kind:
        case "begin" if writes[step.op]:
            version = next((item.version for item in left if (item.kind, item.op) == ("stamp", step.op)), 0)
            return [write(name, chr(ord("a") + step.op), _coordinator(step.op), clock=version)]
        case "begin":
            return [read(name, _coordinator(step.op))]
        case "hear":
            return [hear(name, replica)]
        case "apply":
            return [store(name, replica)]
        case "count" if writes[step.op]:
            return [acknowledged(name, replica)]
        case "count":
            return [hold(name, replica)]
        case "lose":
            return [lose(replica)]
        case "recover":
            return [lose(replica), recover(replica, step.version + 1)]
        case "undo":
            begun = any((item.kind, item.op) == ("undo", step.op) for item in before)
            return [*([] if begun else [deadline(name)]), undo(name, replica)]
        case "answer" | "stamp" | "find" | "reply":
            return []  # The code does these by itself, as soon as it may.
    raise ValueError(f"step {step.kind!r} is none that the code knows")


def _add(moves: list[Move], more: Sequence[Move]) -> None:
    """Steps that belong together become one line of the drawing."""
    for move in more:
        last = moves[-1] if moves else None
        if last is None or last.op != move.op:
            moves.append(move)
        elif move.act is Act.HEAR and last.act in (Act.READ, Act.WRITE):
            moves[-1] = replace(last, hears=(*last.hears, *move.replicas))
        elif (move.act, last.act) == (Act.ACKNOWLEDGED, Act.STORE) and move.replicas == last.replicas:
            moves.pop()
            _add(moves, [hold(move.op, *move.replicas)])
        elif move.act is Act.HOLD and last.act is Act.HOLD:
            moves[-1] = hold(move.op, *last.replicas, *move.replicas)
        else:
            moves.append(move)


def _name(op: int) -> str:
    return f"operation {op}"


def _coordinator(op: int) -> str:
    return f"c{op + 1}"
