"""What is wrong with a run of the quorum part: judged on what clients saw, or on what is on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from scratchbird_check.traces import quorum_words as words
from scratchbird_check.traces.quorum_world import Client, World
from scratchbird_history.checking import Answer, check
from scratchbird_history.models import Model
from scratchbird_history.operations import Kind, Operation, Outcome
from scratchbird_reference import quorum_operations as operations

Judge = Callable[[World, str, str], str]
"""From a run, what it teaches, and the promise's name to what went wrong: one sentence, or nothing."""


def linearizable(world: World, lesson: str, promise: str) -> str:
    """Clients see one register."""
    return _history(world, (Model.LINEARIZABLE,), lesson, promise)


def session(world: World, lesson: str, promise: str) -> str:
    """A client reads what it wrote, and does not go back (rule QUORUM.R7)."""
    return _history(world, (Model.READ_YOUR_WRITES, Model.MONOTONIC_READS), lesson, promise)


def goes_on(world: World, lesson: str, promise: str) -> str:
    """Every operation whose time was up had its quorum."""
    ended_well = (operations.Outcome.VALUE, operations.Outcome.COMMITTED)
    for client in world.clients.values():
        if client.reply is not None and client.reply.outcome not in ended_well:
            reads = client.kind is Kind.READ
            return words.stops(client.coordinator, client.reply.outcome.value, lesson, promise, reads=reads)
    return ""


def intents(world: World, lesson: str, promise: str) -> str:
    """Whoever lacks an acknowledged write is named in an intent, durable or of a coordinator that is up.

    One that lost its disk is not looked at: it has no vote, and will be told by others (rule QUORUM.R13).
    """
    for client in world.clients.values():
        if client.reply is None or client.reply.outcome is not operations.Outcome.COMMITTED:
            continue
        for replica in world.coordinators[client.coordinator].setting.replicas:
            durable = world.replicas[replica].durable
            lacks = world.held(replica).version < client.version and durable.recovering is None
            if lacks and world.operation(client) is None and not _named(world, client, replica):
                what = next(item.arguments[0] for item in _asked(world, client))
                return words.nobody_knows(replica, what, lesson, promise)
    return ""


def _named(world: World, client: Client, replica: int) -> bool:
    return any(
        version == client.version and replica in intent.targets
        for state in world.coordinators.values()
        for version, intent in state.durable.intents
    )


def _asked(world: World, client: Client) -> Sequence[Operation]:
    return [item for item in world.history().operations if item.invoked == client.invoked]


def _history(world: World, models: Sequence[Model], lesson: str, promise: str) -> str:
    history = world.history()
    for model in models:
        verdict = check(history, model)
        if verdict.answer is Answer.UNKNOWN:
            raise AssertionError(f"the history search gave up: {verdict.sentence}")
        if verdict.answer is Answer.NO:
            return _sentence(world, verdict.core, lesson, promise)
    return ""


def _sentence(world: World, core: Sequence[Operation], lesson: str, promise: str) -> str:
    """The read that returned last, after what the others of the core had brought about."""
    where = {client.invoked: client.coordinator for client in world.clients.values()}
    last = max((item for item in core if item.kind is Kind.READ), key=lambda item: item.returned or 0)
    others = [item for item in core if item is not last and item.arguments != (last.result,)]
    if not others:  # The core of a session is about the value that was read: what else did its client write?
        others = [
            item
            for item in world.history().operations
            if (item.process, item.kind, item.outcome) == (last.process, Kind.WRITE, Outcome.OK)
            and item.arguments != (last.result,)
        ]
    who = where[last.invoked]
    before = [
        words.had_returned("it" if where[item.invoked] == who else where[item.invoked], item.result or "")
        if item.kind is Kind.READ
        else words.had_acknowledged(item.arguments[0])
        for item in sorted(others, key=lambda item: item.returned or 0)
    ]
    return words.too_old(who, last.result or "", before, lesson, promise)
