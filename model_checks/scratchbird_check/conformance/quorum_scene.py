"""The stage of the quorum part's scenarios: coordinators, replicas, and the messages that they have sent.

A scenario says who is handed which message, and what must come of it; the stage keeps the last message of
each kind that one has sent another about an operation. It may be handed over at any time, and again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.conformance.quorum_machine import MAJORITY
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json

ROW = "7"


def setting(
    replicas: int | list[int] = 3,
    write: int = 2,
    read: int = 2,
    mode: str = "linearizable",
    epoch: int = 0,
) -> Json:
    """A setting; a number of replicas stands for 1, 2, 3 and so on."""
    names = list(range(1, replicas + 1)) if isinstance(replicas, int) else replicas
    return {"replicas": names, "write_quorum": write, "read_quorum": read, "mode": mode, "epoch": epoch}


def held(version: str = "0", value: str | None = None) -> Json:
    return {"version": version, "value": value}


def words(answer: Answer) -> str:
    """What came of an event: ``query>1,2,3``, ``stamp 8``, ``intent + write>1,2,3``, ``committed 9``."""
    return "error" if answer.error else effect_words(answer.effects)


def effect_words(effects: Sequence[Json]) -> str:
    """Effects in a few words."""
    sent: dict[str, list[Any]] = {}
    said = []
    for effect in effects:
        match effect["effect"]:
            case "send":
                sent.setdefault(effect["message"]["message"], []).append(effect["to"])
            case "stamp":
                said.append(f"stamp {effect['above']}")
            case "store_intent":
                said.append("intent")
            case "reply":
                version = effect["held"]["version"]
                said.append(effect["outcome"] + (f" {version}" if version != "0" else ""))
    for message, receivers in sent.items():
        named = [str(receiver) for receiver in receivers if receiver is not None]
        said.append(message + (f">{','.join(named)}" if named else ""))
    return " + ".join(said) or "nothing"


class Scene:
    """One scenario. Each method takes steps and demands the words that are expected of the last of them."""

    def __init__(
        self, name: str, about: str, under: Json | None = None, coordinators: tuple[int, ...] = (11,)
    ) -> None:
        config = {"setting": under or MAJORITY, "coordinators": list(coordinators)}
        self.run = Recorder(name, about, part="quorum", config=config)
        self._at: dict[str, int] = {}
        """The coordinator of each operation."""
        self._sent: dict[tuple[int, int, str, str], tuple[int, Json]] = {}
        """By sender, receiver, kind and operation: the step in which it was sent, and the message."""
        self._intents: dict[str, Json] = {}
        self._first = coordinators[0]

    def takes(self, node: int, event: Json, expects: str = "nothing", from_step: int | None = None) -> Answer:
        """Any event, malformed ones as well."""
        answer = self.run.step(node, event, from_step)
        self.run.demand(answer, words(answer), expects)
        for effect in answer.effects:
            if effect["effect"] == "store_intent":
                self._intents[effect["operation"]] = effect["intent"]
            if effect["effect"] == "send":
                message = effect["message"]
                number = message.get("operation", "")
                to = self._at.get(number, 0) if effect["to"] is None else effect["to"]
                self._sent[node, to, message["message"], number] = self.run.steps, message
        return answer

    # --- requests -----------------------------------------------------------------------------------------

    def read(self, number: str, expects: str = "query>1,2,3", *, token: str = "0", at: int = 0) -> None:
        self._begin({"event": "read", "operation": number, "row": ROW, "token": token}, expects, at)

    def reserve(self, number: str, expects: str = "query>1,2,3", *, token: str = "0", at: int = 0) -> None:
        self._begin({"event": "reserve", "operation": number, "row": ROW, "token": token}, expects, at)

    def put(
        self,
        number: str,
        expects: str = "query>1,2,3",
        *,
        value: str | None = "76",
        token: str = "0",
        reserved: str = "0",
        at: int = 0,
    ) -> None:
        event = {"event": "put", "operation": number, "row": ROW, "value": value}
        self._begin({**event, "token": token, "reserved": reserved}, expects, at)

    def look_up(self, number: str, version: str, expects: str = "query>1,2,3", *, at: int = 0) -> None:
        self._begin({"event": "look_up", "operation": number, "row": ROW, "version": version}, expects, at)

    def _begin(self, event: Json, expects: str, at: int) -> None:
        node = self._at[event["operation"]] = at or self._first
        self.takes(node, event, expects)

    # --- what happens to an operation ---------------------------------------------------------------------

    def stamped(self, number: str, version: str, expects: str = "intent + write>1,2,3") -> None:
        event = {"event": "stamped", "operation": number, "version": version}
        self.takes(self._at[number], event, expects)

    def refused(self, number: str, expects: str = "not applied") -> None:
        event = {"event": "stamp_refused", "operation": number, "reason": "the clock is ahead"}
        self.takes(self._at[number], event, expects)

    def stored(self, number: str, expects: str = "nothing") -> None:
        """The intent that it asked for is durable."""
        event = {"event": "intent_stored", "operation": number, "intent": self._intents[number]}
        self.takes(self._at[number], event, expects)

    def deadline(self, number: str, expects: str = "nothing") -> None:
        self.takes(self._at[number], {"event": "deadline", "operation": number}, expects)

    # --- messages -----------------------------------------------------------------------------------------

    def queried(self, number: str, *replicas: int, expects: str = "answer") -> None:
        """The query reaches each of these replicas."""
        for replica in replicas:
            self._hand("query", number, self._at[number], replica, expects)

    def answered(self, number: str, *replicas: int, expects: str = "nothing") -> None:
        """The answers reach the coordinator; what is expected comes of the last one."""
        self._back("answer", number, replicas, expects)

    def asked(self, number: str, *replicas: int, expects: str = "nothing") -> None:
        self.queried(number, *replicas)
        self.answered(number, *replicas, expects=expects)

    def written(self, number: str, *replicas: int, expects: str = "acknowledgement") -> None:
        """The write, or what is written back, reaches each of these replicas."""
        for replica in replicas:
            self._hand("write", number, self._at[number], replica, expects)

    def acknowledged(self, number: str, *replicas: int, expects: str = "nothing") -> None:
        """The acknowledgements reach the coordinator; what is expected comes of the last one."""
        self._back("acknowledgement", number, replicas, expects)

    def told(self, number: str, *replicas: int, expects: str = "nothing") -> None:
        self.written(number, *replicas)
        self.acknowledged(number, *replicas, expects=expects)

    def turned_down(self, number: str, replica: int, expects: str) -> None:
        """The reply that the epoch is old reaches the coordinator."""
        self._back("old_epoch", number, (replica,), expects)

    def exchanged(self, asking: int, *others: int, expects: str = "nothing") -> None:
        """Each of the others is asked for all that it holds, and its reply arrives."""
        for other in others:
            self._hand("exchange", "", asking, other, f"exchanged>{asking}")
            self._hand("exchanged", "", other, asking, expects if other == others[-1] else "nothing")

    def _back(self, kind: str, number: str, replicas: tuple[int, ...], expects: str) -> None:
        for replica in replicas:
            last = replica == replicas[-1]
            self._hand(kind, number, replica, self._at[number], expects if last else "nothing")

    def _hand(self, kind: str, number: str, sender: int, receiver: int, expects: str) -> None:
        step, message = self._sent[sender, receiver, kind, number]
        event: Json = {"event": "deliver", "message": message}
        if number == "" or receiver == self._at[number]:
            event["sender"] = sender
        self.takes(receiver, event, expects, step)

    def hands(self, kind: str, sender: int, receiver: int, expects: str, number: str = "") -> None:
        """Any message that was sent, at any time."""
        self._hand(kind, number, sender, receiver, expects)

    def kept(self, sender: int, receiver: int, kind: str, number: str = "") -> tuple[int, Json]:
        """The last such message and the step of its sending, to be handed over with :meth:`late`."""
        return self._sent[sender, receiver, kind, number]

    def late(self, message: tuple[int, Json], receiver: int, sender: int, expects: str = "nothing") -> None:
        """A message that was kept arrives, after later ones."""
        step, body = message
        self.takes(receiver, {"event": "deliver", "message": body, "sender": sender}, expects, step)

    # --- processes, disks, settings -----------------------------------------------------------------------

    def crash(self, node: int) -> None:
        self.takes(node, {"event": "crash"})

    def start(self, node: int) -> None:
        self.takes(node, {"event": "start"})

    def lose_disk(self, node: int, under: Json, incarnations: list[list[int]], expects: str) -> None:
        """The process ends, and starts on an empty disk."""
        self.crash(node)
        self.takes(node, {"event": "start_empty", "setting": under, "incarnations": incarnations}, expects)

    def adopt(self, node: int, under: Json, expects: str = "nothing") -> None:
        self.takes(node, {"event": "adopt", "setting": under}, expects)

    # --- whole operations, where they are only the scene -------------------------------------------------

    def commits(
        self, number: str, version: str, *replicas: int, value: str | None = "76", at: int = 0
    ) -> None:
        """A write under a reserved version, which reaches these replicas and is acknowledged by them."""
        node = at or self._first
        everybody = "intent + write>" + ",".join(map(str, self._replicas(node)))
        self.put(number, everybody, value=value, reserved=version, at=node)
        self.stored(number)
        self.told(number, *replicas, expects=f"committed {version}")

    def reaches(self, number: str, version: str, *replicas: int, value: str = "76", at: int = 0) -> None:
        """A write under a reserved version, which reaches these replicas; nobody hears their replies."""
        node = at or self._first
        everybody = "intent + write>" + ",".join(map(str, self._replicas(node)))
        self.put(number, everybody, value=value, reserved=version, at=node)
        self.written(number, *replicas)

    def _replicas(self, node: int) -> list[int]:
        replicas: list[int] = sorted(self.run.state(node)["setting"]["replicas"])
        return replicas
