"""The world in which the quorum part's state machine lets coordinators and replicas run.

Nothing is delivered by itself: what is not delivered is under way for ever, which is the same as lost. Clocks
make unique versions and differ as they like. Settings change as ``spec/quorum.md`` allows it, and clients do
what it asks of them. What clients see is kept as a history; who looks on is in ``quorum_onlooker.py``.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.machines.quorum_onlooker import Onlooker
from scratchbird_check.machines.quorum_parts import ROWS, Asked, Call, Pending, Plan, Sent, Taken
from scratchbird_check.variants.quorum import Variant
from scratchbird_history import operations as history
from scratchbird_history.models import Model
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum import compatible, joint
from scratchbird_reference.quorum_messages import (
    Acknowledgement,
    Answer,
    Held,
    Mode,
    OldEpoch,
    Send,
    Setting,
    incarnation_of,
)

NEVER_WRITTEN = "nothing"


class World:
    """Coordinators and replicas under some rules, clients, and an onlooker.

    :param demanded: the promises that are judged; all of them if empty.
    :param reached: counts the interesting things that happened.
    """

    def __init__(
        self,
        variant: Variant,
        plan: Plan,
        reached: Counter[str],
        demanded: Sequence[str] = (),
        coordinators: int = 3,
    ) -> None:
        self.variant = variant
        self.plan = plan
        self.reached = reached
        self.onlooker = Onlooker(demanded)
        self.taken: list[Taken] = []
        setting = plan.setting()
        self.names = tuple(f"c{number}" for number in range(1, coordinators + 1))
        self.coordinators = {name: operations.State(setting) for name in self.names}
        self.replicas = {name: replicas.first_state(name) for name in setting.replicas}
        self.incarnations = dict.fromkeys(setting.replicas, 1)
        self.in_force: list[Setting] = [setting]
        """Every setting that may be used, or under which something that counts was acknowledged."""
        self.planned: Setting | None = None
        """What follows the joint setting, the last one in force, once every row was read in its epoch."""
        self.read_in_joint: set[int] = set()
        self.clocks = dict.fromkeys(self.names, 1)
        self.slow_clocks: set[str] = set()
        self.slow_disks: set[str] = set()
        self.refusing_clocks: set[str] = set()
        self.stamps: list[tuple[str, operations.Stamp]] = []
        self.intents: list[Pending] = []
        self.messages: list[Sent] = []
        self.asked: dict[int, Asked] = {}
        self.calls: list[Call] = []
        self.tokens: dict[tuple[str, int], int] = {}
        self._versions: set[int] = set()
        self._stamped: dict[int, int] = {}
        """By operation: the version that its clock made."""
        self._events = 0
        self._values = 0
        self._unsure: set[str] = set()
        """Values, as the history has them, of writes that clients were told to be indeterminate."""

    @property
    def newest(self) -> Setting:
        """The newest setting that may be used."""
        return self.in_force[-1]

    @property
    def problem(self) -> PromiseBrokenError | None:
        """The promise that was broken, if one was."""
        return self.onlooker.problem

    @property
    def eventual(self) -> bool:
        return self.plan.mode is Mode.EVENTUAL

    # --- clients ------------------------------------------------------------------------------------------

    def new_value(self) -> bytes:
        """A value that no other write has."""
        self._values += 1
        return b"%d" % self._values

    def read(self, process: str, coordinator: str, row: int) -> int:
        """A client reads. Returns the operation's number, as the next ones do."""
        call = self._call(process, row, history.Kind.READ, None)
        return self._ask(coordinator, call, lambda number: operations.Read(number, row, self._token(call)))

    def write(self, process: str, coordinator: str, row: int, value: bytes | None) -> int:
        """A client writes, with no reservation."""
        call = self._call(process, row, history.Kind.WRITE, value)
        return self._put(coordinator, call)

    def reserve(self, process: str, coordinator: str, row: int, value: bytes | None) -> int:
        """A client reserves a version, for a write that it may repeat (rule QUORUM.R9)."""
        call = self._call(process, row, history.Kind.WRITE, value)
        if self.variant.repeats_under_new_version:
            return self._put(coordinator, call)
        return self._ask(coordinator, call, lambda number: operations.Reserve(number, row, self._token(call)))

    def put_reserved(self, call: Call, coordinator: str) -> int:
        """The write of this call under its version: for the first time, or again."""
        if any(isinstance(item.request, operations.PutValue) for item in self._attempts(call)):
            self.reached["a reserved write was repeated"] += 1
        return self._ask(
            coordinator,
            call,
            lambda number: operations.PutValue(number, call.row, call.value, reserved=call.version),
        )

    def repeat(self, call: Call, coordinator: str) -> int | None:
        """A client that has no reply asks again, if it may: under the version that it reserved."""
        if call.reserved:
            return self.put_reserved(call, coordinator)
        return self._put(coordinator, call) if self.variant.repeats_under_new_version else None

    def look_up(self, call: Call, coordinator: str) -> int:
        """Somebody asks what became of the version of this write (rule QUORUM.R10)."""
        look = self._call("a look-up", call.row, history.Kind.READ, None)
        return self._ask(
            coordinator, look, lambda number: operations.LookUp(number, call.row, call.version), call
        )

    def _put(self, coordinator: str, call: Call) -> int:
        return self._ask(
            coordinator,
            call,
            lambda number: operations.PutValue(number, call.row, call.value, self._token(call)),
        )

    def _call(self, process: str, row: int, kind: history.Kind, value: bytes | None) -> Call:
        if not self.eventual:  # Real time is all that counts: each call may be of a process of its own.
            process = f"{process}.{len(self.calls)}"
        for earlier in self.calls:
            earlier.left |= earlier.process == process and earlier.open
        call = Call(process, row, kind, value, self._now())
        self.calls.append(call)
        return call

    def _ask(
        self,
        coordinator: str,
        call: Call,
        request: Callable[[int], operations.Request],
        about: Call | None = None,
    ) -> int:
        self.awake(coordinator)
        number = len(self.asked) + 1
        event = request(number)
        setting = self.coordinators[coordinator].setting
        known = dict(self.incarnations)
        self.asked[number] = Asked(number, coordinator, event, call, setting, known, about)
        self.at_coordinator(coordinator, event)
        return number

    def _attempts(self, call: Call) -> list[Asked]:
        return [item for item in self.asked.values() if item.call is call]

    def _token(self, call: Call) -> int:
        return self.tokens.get((call.process, call.row), 0) if self.eventual else 0

    def _now(self) -> int:
        self._events += 1
        return self._events

    # --- coordinators -------------------------------------------------------------------------------------

    def awake(self, name: str) -> None:
        """A coordinator that is down starts; what its disk has follows."""
        if self.coordinators[name].volatile is None:
            self.at_coordinator(name, operations.Start())
            for pending in [item for item in self.intents if item.coordinator == name]:
                self.make_durable(pending)

    def at_coordinator(self, name: str, event: operations.Event, sent: Sent | None = None) -> None:
        """One event; clock and disk act at once, unless they are slow."""
        before = self.coordinators[name]
        after, effects = self.variant.coordinator.step(before, event)
        self.coordinators[name] = after
        self._took(Taken(name, event, effects, before, after, sent))
        self._note_effects(event, effects)
        if isinstance(event, operations.IntentStored):
            self.onlooker.vouch(self.asked[event.operation], event.intent.held, event.intent.targets)
        for effect in effects:
            match effect:
                case Send(to=int(to)):
                    self.messages.append(Sent(name, f"r{to}", effect.message, len(self.taken)))
                case operations.Reply():
                    self._reply(effect)
        for effect in effects:
            match effect:
                case operations.Stamp():
                    self.stamps.append((name, effect))
                    if name not in self.slow_clocks:
                        self.tick(len(self.stamps) - 1)
                case operations.StoreIntent(number, intent):
                    self.intents.append(Pending(name, number, intent))
                    if name not in self.slow_disks:
                        self.make_durable(self.intents[-1])
        self._judge()

    def tick(self, index: int) -> None:
        """A clock makes a version that was asked for, or refuses to."""
        name, stamp = self.stamps.pop(index)
        if self.coordinators[name].volatile is None:
            return
        if name in self.refusing_clocks:
            self.at_coordinator(name, operations.StampRefused(stamp.operation, "too far ahead"))
            return
        version = max(self.clocks[name], stamp.above + 1)
        if self.clocks[name] <= stamp.above:
            self.reached["a clock was behind what it was told"] += 1
        while version in self._versions:
            version += 1
        self._versions.add(version)
        self._stamped[stamp.operation] = version
        self.clocks[name] = version + 1
        self.at_coordinator(name, operations.Stamped(stamp.operation, version))

    def make_durable(self, pending: Pending) -> None:
        """An intent is on the disk, and its coordinator, which is up, is told so."""
        self.intents.remove(pending)
        operation = self.operation(pending.number)
        if operation is None:
            self.reached["an intent was durable after the deadline, or the crash"] += 1
        elif operation.intent_is_durable or (operation.row, operation.written) != (
            pending.intent.row,
            pending.intent.held,
        ):
            return  # Only a variant that sends its write anew comes here.
        self.at_coordinator(pending.coordinator, operations.IntentStored(pending.number, pending.intent))

    def crash(self, name: str, on_disk: bool) -> None:
        """A coordinator crashes. ``on_disk``: what it asked its disk to keep is there at the next start."""
        volatile = self.coordinators[name].volatile
        if volatile is None:
            return
        if any(operation.phase is not operations.Phase.DONE for _, operation in volatile.operations):
            self.reached["a coordinator crashed with open operations"] += 1
        self.at_coordinator(name, operations.Crash())
        if not on_disk:
            self.intents = [item for item in self.intents if item.coordinator != name]

    def operation(self, number: int) -> operations.Operation | None:
        """What its coordinator knows of it."""
        volatile = self.coordinators[self.asked[number].coordinator].volatile
        return None if volatile is None else dict(volatile.operations).get(number)

    def deadline(self, number: int) -> None:
        """The time of an operation is up."""
        if self.operation(number) is not None:
            self.at_coordinator(self.asked[number].coordinator, operations.Deadline(number))

    # --- replies ------------------------------------------------------------------------------------------

    def _reply(self, reply: operations.Reply) -> None:
        asked = self.asked[reply.operation]
        self.onlooker.replied(reply.operation)
        call, outcome = asked.call, reply.outcome
        self.reached[f"{type(asked.request).__name__}: {outcome.value}"] += 1
        if outcome is operations.Outcome.RESERVED:
            call.version, call.reserved = reply.held.version, True
            return
        if isinstance(asked.request, operations.LookUp):
            self._looked_up(asked, reply)
        elif outcome is operations.Outcome.NOT_APPLIED:
            self._not_applied(asked)
        elif call.open and not call.left:
            self._answered(asked, reply)

    def _answered(self, asked: Asked, reply: operations.Reply) -> None:
        call = asked.call
        match reply.outcome:
            case operations.Outcome.VALUE:
                self._ends(call, history.Outcome.OK, _shown(reply.held))
                self.tokens[call.process, call.row] = max(self._token(call), reply.held.version)
                if call.result in self._unsure:
                    self.reached["an indeterminate write was read"] += 1
                if self.planned is not None and asked.setting == self.newest:
                    self._read_in_joint(call.row)
            case operations.Outcome.COMMITTED:
                self._ends(call, history.Outcome.OK)
                call.version = reply.held.version
                self.onlooker.vouch(asked, reply.held, asked.setting.replicas)
                self.tokens[call.process, call.row] = max(self._token(call), call.version)
            case operations.Outcome.INDETERMINATE:
                call.version = reply.held.version
                self._unsure.add(shown_value(call.value))
            case _:
                self._ends(call, history.Outcome.FAIL)

    def _not_applied(self, asked: Asked) -> None:
        """Nobody was told of it, and nobody will be. Another attempt of the same call may still be open."""
        call = asked.call
        if len(self._attempts(call)) > 1 or not call.open:
            return
        if isinstance(asked.request, operations.PutValue):
            self.onlooker.not_applied(self._stamped.get(asked.number), call.value)
        self._ends(call, history.Outcome.FAIL)

    def _looked_up(self, asked: Asked, reply: operations.Reply) -> None:
        """It wrote back what it found, as a read does: so it counts as a read of that."""
        write = asked.about
        assert write is not None
        if reply.outcome in (operations.Outcome.COMMITTED, operations.Outcome.SUPERSEDED):
            self._ends(asked.call, history.Outcome.OK, _shown(reply.held))
            if reply.outcome is operations.Outcome.COMMITTED and write.open:
                self._ends(write, history.Outcome.OK)
        else:
            self._ends(asked.call, history.Outcome.FAIL)

    def _ends(self, call: Call, outcome: history.Outcome, result: str | None = None) -> None:
        call.returned, call.outcome, call.result = self._now(), outcome, result

    # --- messages -----------------------------------------------------------------------------------------

    def deliver(self, sent: Sent, *, again: bool = False) -> bool:
        """A message arrives; ``again``: it will once more. Returns whether somebody was there to take it."""
        if not again:
            self.messages.remove(sent)
        sent.arrived += 1
        self.reached["a message arrived twice"] += sent.arrived > 1
        if sent.receiver in self.coordinators:
            if self.coordinators[sent.receiver].volatile is None:
                return False
            body = sent.body
            assert isinstance(body, Answer | Acknowledgement | OldEpoch)
            self._note(sent, body)
            event = operations.Deliver(int(sent.sender[1:]), body)
            self.at_coordinator(sent.receiver, event, sent)
            return True
        name = int(sent.receiver[1:])
        if self.replicas[name].volatile is None:
            return False
        sender = None if sent.sender in self.coordinators else int(sent.sender[1:])
        self.at_replica(name, replicas.Deliver(sent.body, sender), sent)
        return True

    def _note(self, sent: Sent, body: Answer | Acknowledgement | OldEpoch) -> None:
        operation = self.operation(body.operation)
        done = operation is None or operation.phase is operations.Phase.DONE
        if isinstance(body, OldEpoch):
            self.reached["an old epoch was refused"] += not done
            return
        name = int(sent.sender[1:])
        if isinstance(body, Acknowledgement) and done:
            self.reached["a late acknowledgement"] += 1
        if incarnation_of(name, body.incarnations) < self.incarnations[name]:
            self.reached["a message from before a disk was lost"] += 1
        if isinstance(body, Answer) and operation is not None and operation.written is not None:
            late = operation.phase is operations.Phase.DONE and operation.kind is operations.Kind.READ
            self.reached["a late answer was repaired"] += (
                late and operation.written.version > body.held.version
            )

    # --- replicas -----------------------------------------------------------------------------------------

    def at_replica(self, name: int, event: replicas.Event, sent: Sent | None = None) -> None:
        """One event at a replica; its messages are under way."""
        before = self.replicas[name]
        after, sends = self.variant.replica.step(before, event)
        self.replicas[name] = after
        self._took(Taken(f"r{name}", event, sends, before, after, sent))
        self.onlooker.kept(name, before.durable, after.durable)
        for send in sends:
            message = send.message
            if send.to is not None:
                receiver = f"r{send.to}"
            else:
                assert isinstance(message, Answer | Acknowledgement | OldEpoch)
                receiver = self.asked[message.operation].coordinator
            self.messages.append(Sent(f"r{name}", receiver, message, len(self.taken)))
        if before.durable.recovering is not None and after.durable.recovering is None:
            self.reached["a replica recovered"] += 1
        self._judge()

    def restart(self, name: int) -> None:
        """A replica ends, and starts on the disk that it left."""
        if self.replicas[name].volatile is not None:
            self.at_replica(name, replicas.Crash())
        self.at_replica(name, replicas.Start())

    def may_lose(self) -> bool:
        """Whether one more disk may be lost: fewer than the least W at once (rule QUORUM.R13)."""
        recovering = sum(state.durable.recovering is not None for state in self.replicas.values())
        return recovering + 1 < min(setting.write_quorum for setting in self.in_force)

    def lose_disk(self, name: int) -> None:
        """A replica loses its disk, and starts on an empty one with what the catalog says."""
        self.reached["a disk was lost"] += 1
        self.incarnations[name] += 1
        if self.replicas[name].volatile is not None:
            self.at_replica(name, replicas.Crash())
        told = self.variant.hands_out(name, self.incarnations)
        under = self.variant.recovers_by(self.in_force)
        self.at_replica(name, replicas.StartEmpty(under, told, self.newest.epoch))

    # --- settings -----------------------------------------------------------------------------------------

    def change(self, write: int, read: int) -> bool:
        """Another W and R come: side by side where that may be, and else by way of a joint setting."""
        if self.planned is not None:
            return False
        old = self.newest
        new = replace(old, write_quorum=write, read_quorum=read, epoch=old.epoch + 1)
        if self.plan.online or self.eventual or compatible((*self.in_force, new)):
            self.in_force.append(new)
            self.reached["settings were used side by side"] += 1
            return True
        least = replace(
            old,
            write_quorum=min(setting.write_quorum for setting in self.in_force),
            read_quorum=min(setting.read_quorum for setting in self.in_force),
        )
        self.planned = replace(new, epoch=old.epoch + 2)
        self.in_force.append(joint(least, self.planned))
        self.read_in_joint = set()
        return True

    def adopt(self, name: str) -> None:
        """A coordinator learns of the newest setting."""
        self.awake(name)
        if self.coordinators[name].setting.epoch < self.newest.epoch:
            self.at_coordinator(name, operations.Adopt(self.newest))

    def _read_in_joint(self, row: int) -> None:
        self.read_in_joint.add(row)
        if self.read_in_joint == set(ROWS):
            assert self.planned is not None
            self.in_force = [self.newest, self.planned]
            self.planned = None
            self.reached["a barrier was passed"] += 1

    # --- what is judged -----------------------------------------------------------------------------------

    def _took(self, taken: Taken) -> None:
        self.taken.append(taken)
        self.reached["steps"] += 1

    def _note_effects(self, event: operations.Event, effects: operations.Effects) -> None:
        if not isinstance(event, operations.Deliver) or not isinstance(event.message, Answer):
            return
        number = event.message.operation
        request = self.asked[number].request
        operation = self.operation(number)
        if not isinstance(request, operations.Read) or operation is None:
            return
        if operation.phase is operations.Phase.ASKING:
            waits = len(operation.answers) >= operation.setting.read_quorum
            self.reached["an eventual read waited for its token"] += waits
        elif operation.phase is operations.Phase.WRITING and effects:
            self.reached["a read wrote back"] += 1

    def history(self) -> history.History:
        """What clients saw. A write without a reply may take effect at any later time, or never."""
        return history.History(tuple(_operation(call) for call in self.calls), NEVER_WRITTEN)

    def finish(self) -> None:
        """Judge the whole run by what its clients saw."""
        if self.eventual:
            models = (Model.READ_YOUR_WRITES, Model.MONOTONIC_READS)
            self.onlooker.finish(self.history(), models, "sessions")
        else:
            self.onlooker.finish(self.history(), (Model.LINEARIZABLE,), "linearizable")

    def _judge(self) -> None:
        self.onlooker.judge(self.coordinators.values(), self.replicas, self.incarnations)


def _operation(call: Call) -> history.Operation:
    arguments = () if call.kind is history.Kind.READ else (shown_value(call.value),)
    indeterminate = call.outcome is history.Outcome.INDETERMINATE
    return history.Operation(
        call.process,
        str(call.row),
        call.kind,
        arguments,
        call.result,
        call.invoked,
        None if indeterminate else call.returned,
        call.outcome,
    )


def _shown(held: Held) -> str:
    return shown_value(held.value) if held.version else NEVER_WRITTEN


def shown_value(value: bytes | None) -> str:
    """As the history has it."""
    return json.dumps(None if value is None else value.decode())
