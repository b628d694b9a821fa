"""What is wrong with a run of the handoff part: what nobody owes, and where replicas disagree.

What clients saw is judged as in the quorum part.
"""

from __future__ import annotations

from scratchbird_check.traces import handoff_words as words
from scratchbird_check.traces import quorum_world
from scratchbird_check.traces.handoff_world import SHARD, World
from scratchbird_check.traces.quorum_lines import value_of
from scratchbird_check.traces.quorum_words import held as told
from scratchbird_check.traces.quorum_world import ROW, Client
from scratchbird_reference.quorum_messages import Held
from scratchbird_reference.quorum_operations import Outcome


def account(world: quorum_world.World, lesson: str, promise: str) -> str:
    """Whatever was acknowledged is at each replica, or owed to it, or below its floor (rule HANDOFF.R1)."""
    assert isinstance(world, World)
    if world.lost_disks:
        return ""
    for client in world.clients.values():
        if client.reply is None or client.reply.outcome is not Outcome.COMMITTED:
            continue
        for replica in world.coordinators[client.coordinator].setting.replicas:
            if not is_accounted_for(world, client, replica):
                what = value_of(Held(client.version, client.value))
                return words.nobody_owes(replica, told(what, client.version), lesson, promise)
    return ""


def agree(world: quorum_world.World, lesson: str, promise: str) -> str:
    """Replicas that have settled hold the same past (rule HANDOFF.R11): nothing would ever mend it."""
    assert isinstance(world, World)
    past: dict[int, Held] = {}
    for replica, state in world.floors.items():
        held, floor = world.held(replica), state.durable.floor
        if floor == world.catalog.proposed > 0 and held.version < floor:
            past[replica] = Held() if held.value is None else held
    for replica, held in past.items():
        for other, theirs in past.items():
            if held.version and held != theirs:
                what = told(value_of(held), held.version)
                return words.disagree(replica, what, other, promise)
    return ""


def is_accounted_for(world: World, client: Client, replica: int) -> bool:
    """Whether a replica holds what a client was acknowledged, or it is known that it does not."""
    if world.held(replica).version >= client.version:
        return True
    if world.floors[replica].durable.floor >= client.version:
        return True
    place = (replica, SHARD)
    return any(
        (replica, ROW, client.version) in {hint.key for hint in keeper.durable.hints}
        or place in dict(keeper.durable.marks)
        for keeper in world.keepers.values()
    )
