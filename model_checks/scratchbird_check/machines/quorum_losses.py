"""Lost disks against one write: an adversary that delays, repeats and loses messages, run many times.

The promise is looked at in every state after the acknowledgement: fewer than R replicas that have a vote lack
the write, so that every read quorum meets one that has it (rules QUORUM.R13 and QUORUM.R14). The adversary
loses several disks, one after the other and at once, but never W at once: that is where recovery stops.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.variants.quorum import whole_map
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_reference import quorum_coordinator as coordinator
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replica
from scratchbird_reference.quorum import Rules
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Incarnations,
    Message,
    OldEpoch,
    Send,
    Setting,
    Write,
)

SETTINGS = ((3, 2, 2), (3, 3, 1), (4, 3, 2), (5, 3, 3), (5, 4, 2), (5, 5, 1))
ROW, VERSION, LOSSES, STEPS = 0, 9, 4, 80

Catalog = Callable[[int, Mapping[int, int]], Incarnations]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run came to."""

    seed: int
    committed: bool
    lost: int
    missing: tuple[int, ...] = ()
    """A read quorum of voting replicas without the acknowledged write; empty where the promise holds."""


def attack(seed: int, setting: Setting, rules: Rules, catalog: Catalog = whole_map) -> Run:
    """One run: the same seed is the same run."""
    chance = random.Random(seed)
    replicas, one = replica.Replica(rules), coordinator.Coordinator(rules)
    states = {name: replica.first_state(name) for name in setting.replicas}
    incarnations = dict.fromkeys(setting.replicas, 1)
    begin = operations.PutValue(1, ROW, b"value", reserved=VERSION)
    client, effects = one.step(operations.State(setting), begin)
    for stored in [effect for effect in effects if isinstance(effect, operations.StoreIntent)]:
        client, _ = one.step(client, operations.IntentStored(1, stored.intent))

    sent: list[tuple[int | None, Send]] = [(None, item) for item in effects if isinstance(item, Send)]
    committed, lost = False, 0
    for _ in range(STEPS):
        recovering = sum(state.durable.recovering is not None for state in states.values())
        if lost < LOSSES and recovering + 1 < setting.write_quorum and chance.random() < 0.12:
            name = chance.choice(setting.replicas)
            lost += 1
            incarnations[name] += 1
            states[name], _ = replicas.step(states[name], replica.Crash())
            start = replica.StartEmpty(setting, catalog(name, incarnations))
            states[name], asked = replicas.step(states[name], start)
            sent += [(name, send) for send in asked]
            continue
        if not sent:
            break
        index = chance.randrange(len(sent))
        sender, send = sent[index]
        if isinstance(send.message, Write) and chance.random() < 0.5:
            continue  # Writes are slow: this is where a lost disk hurts.
        if chance.random() < 0.8:  # Otherwise it arrives again later.
            sent.pop(index)
        if chance.random() < 0.1:
            continue  # Lost.
        if send.to is None:
            client, effects = one.step(client, operations.Deliver(*_answer(sender, send.message)))
            committed = committed or any(isinstance(effect, operations.Reply) for effect in effects)
        else:
            deliver = replica.Deliver(send.message, sender)
            states[send.to], answers = replicas.step(states[send.to], deliver)
            sent += [(send.to, answer) for answer in answers]
        missing = tuple(_without(states)) if committed else ()
        if len(missing) >= setting.read_quorum:
            return Run(seed, committed, lost, missing)
    return Run(seed, committed, lost)


def _answer(sender: int | None, message: Message) -> tuple[int, Answer | Acknowledgement | OldEpoch]:
    assert sender is not None
    assert isinstance(message, Answer | Acknowledgement | OldEpoch)
    return sender, message


def _without(states: dict[int, replica.State]) -> Iterator[int]:
    for name, state in states.items():
        if state.durable.recovering is None and state.durable.held(ROW).version < VERSION:
            yield name


def _setting(numbers: tuple[int, int, int]) -> Setting:
    size, write, read = numbers
    return Setting(tuple(range(size)), write, read)


def holds(check: Check, context: Context) -> Outcome:
    """The promise holds in every run: option ``runs`` is how many there are for each setting."""
    runs = int(check.options["runs"])
    figures = {"runs": 0, "committed": 0, "lost_disks": 0}
    for numbers in SETTINGS:
        for seed in range(context.seed, context.seed + runs):
            run = attack(seed, _setting(numbers), Rules())
            if run.missing:
                return Outcome(check.id, Verdict.UNEXPECTED, _words(numbers, run), check.properties)
            figures["runs"] += 1
            figures["committed"] += run.committed
            figures["lost_disks"] += run.lost
        context.progress(f"N, W, R = {numbers}")
    least = figures["runs"] // 10
    if figures["committed"] < least or figures["lost_disks"] < least:
        detail = f"too little happened: {figures}; a run that acknowledges nothing shows nothing"
        return Outcome(check.id, Verdict.UNEXPECTED, detail, check.properties, figures=figures)
    detail = (
        f"{figures['runs']} runs, {figures['committed']} acknowledged, {figures['lost_disks']} lost disks, "
        f"{len(SETTINGS)} settings of 3 to 5 replicas, seed {context.seed}"
    )
    return Outcome(check.id, Verdict.CHECKED, detail, check.properties, figures=figures)


def _words(numbers: tuple[int, int, int], run: Run) -> str:
    return (
        f"N, W, R = {numbers}, seed {run.seed}: the write is acknowledged, and replicas "
        f"{', '.join(map(str, run.missing))} have a vote and lack it"
    )
