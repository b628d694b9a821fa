"""The stage of the handoff part's scenarios: a coordinator's account, replicas with floors, a catalog."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.conformance.handoff_machine import CATALOG
from scratchbird_check.conformance.quorum_machine import MAJORITY
from scratchbird_check.conformance.quorum_scene import ROW, held
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json

COORDINATOR = 11
REPLICAS = (1, 2, 3)
F = "a"
"""The floor of most scenarios."""
MS = 1_000_000
SECOND = 1_000 * MS


def words(answer: Answer) -> str:
    """What came of an event: ``kept``, ``hint 5>3``, ``closed a``, ``past>1``."""
    return "error" if answer.error else effect_words(answer.effects)


def effect_words(effects: Sequence[Json]) -> str:
    """Effects in a few words."""
    return " + ".join(map(_word, _together(effects))) or "nothing"


def _together(effects: Sequence[Json]) -> list[tuple[str, list[Any]]]:
    """Effects that differ in their receivers alone, as one."""
    found: dict[str, list[Any]] = {}
    for effect in effects:
        what, to = _said(effect)
        found.setdefault(what, []).append(to)
    return list(found.items())


def _word(item: tuple[str, list[Any]]) -> str:
    what, to = item
    named = [str(receiver) for receiver in to if receiver is not None]
    return what + (f">{','.join(named)}" if named else "")


def _said(effect: Json) -> tuple[str, Any]:
    match effect["effect"]:
        case "send":
            message = effect["message"]
            if message["message"] == "answer":
                return f"answer {shown(message['held'])}", None
            return message["message"].replace("_", " "), effect["to"]
        case "send_hint":
            return f"hint {effect['hint']['held']['version']}", effect["hint"]["target"]
        case "may_drop" | "repair":
            return effect["effect"].replace("_", " "), effect["place"][0]
        case "tell":
            return f"{effect['what']['event'].replace('_', ' ')} {effect['what']['floor']}", effect["to"]
        case "say_closed" | "say_converged" | "purge_below":
            return f"{effect['effect'].split('_')[-1]} {effect['floor']}", None
    return str(effect["effect"]), None


def shown(what: Json) -> str:
    """``5=76``, ``a deleted`` or ``nothing``."""
    if what["version"] == "0":
        return "nothing"
    return f"{what['version']} deleted" if what["value"] is None else f"{what['version']}={what['value']}"


class Scene:
    """One scenario. Each method takes steps and demands the words that are expected of the last of them."""

    def __init__(
        self, name: str, about: str, *, under: Json | None = None, limits: Json | None = None
    ) -> None:
        config: Json = {"setting": under or MAJORITY, "coordinators": [COORDINATOR], "catalog": CATALOG}
        if limits:
            config["limits"] = limits
        self.run = Recorder(f"handoff_{name}", about, part="handoff", config=config)
        self._sent: dict[tuple[int, int, str], tuple[int, Json]] = {}
        """By sender, receiver and kind: the step in which it was sent, and the message."""
        self._told: dict[tuple[int, str], tuple[int, Json]] = {}
        """What the catalog told a replica: the step, and the event."""
        self._operations = 0

    def takes(self, node: int, event: Json, expects: str = "nothing", from_step: int | None = None) -> Answer:
        """Any event, malformed ones as well."""
        answer = self.run.step(node, event, from_step)
        self.run.demand(answer, words(answer), expects)
        for effect in answer.effects:
            if effect["effect"] == "send" and effect["to"] is not None:
                message = effect["message"]
                self._sent[node, effect["to"], message["message"]] = self.run.steps, message
            if effect["effect"] == "tell":
                self._told[effect["to"], effect["what"]["event"]] = self.run.steps, effect["what"]
        return answer

    # --- the account --------------------------------------------------------------------------------------

    def account(self, event: str, expects: str = "nothing", **parts: Any) -> None:
        """Any event of the coordinator's account."""
        self.takes(COORDINATOR, {"event": event, **parts}, expects)

    def owe(
        self,
        number: str,
        version: str,
        *targets: int,
        value: str | None = "76",
        row: str = ROW,
        shard: int = 0,
        now: int = 0,
    ) -> None:
        """A write's intent is to be made durable."""
        intent = {"row": row, "held": held(version, value), "targets": list(targets or REPLICAS)}
        self.account("owe", "kept", operation=number, shard=shard, intent=intent, now_ns=f"{now:x}")

    def ended(self, number: str, expects: str = "nothing") -> None:
        self.account("ended", expects, operation=number)

    def acknowledged(self, version: str, *targets: int, row: str = ROW) -> None:
        for target in targets:
            self.account("acknowledged", target=target, row=row, version=version)

    def commits(self, number: str, version: str, *targets: int, row: str = ROW, shard: int = 0) -> None:
        """A write that these acknowledge, and that ends."""
        self.owe(number, version, row=row, shard=shard)
        self.acknowledged(version, *targets, row=row)
        self.ended(number)

    def tick(self, now: int, expects: str = "nothing") -> None:
        self.account("tick", expects, now_ns=f"{now:x}")

    def place(self, event: str, target: int, expects: str = "nothing", *, shard: int = 0) -> None:
        """``drop``, ``keep_again`` or ``unreadable``."""
        self.account(event, expects, place=[target, shard])

    def gives_up(self, target: int) -> None:
        """A target that is owed something is given up, and its hints go."""
        self.account("give_up", f"may drop>{target}", target=target)
        self.place("drop", target)

    def exchange(self, event: str, target: int, *others: int, expects: str = "nothing") -> None:
        """``exchange_begun`` or ``exchanged``."""
        for other in others:
            self.account(event, expects, place=[target, 0], other=other)

    def exchanges(self, target: int, *others: int) -> None:
        """Whole exchanges."""
        for other in others:
            self.exchange("exchange_begun", target, other)
            self.exchange("exchanged", target, other)

    # --- replicas -----------------------------------------------------------------------------------------

    def writes(
        self, version: str, *replicas: int, value: str | None = "76", expects: str = "acknowledgement"
    ) -> None:
        """A write, a write-back or a hint reaches these."""
        self._operations += 1
        message = {"message": "write", "operation": f"{self._operations:x}", "epoch": 0, "row": ROW}
        for replica in replicas:
            self.takes(
                replica, {"event": "deliver", "message": {**message, "held": held(version, value)}}, expects
            )

    def reads(self, expects: str, *replicas: int) -> None:
        """A query reaches these; what each holds is expected of it."""
        self._operations += 1
        message = {"message": "query", "operation": f"{self._operations:x}", "epoch": 0, "row": ROW}
        for replica in replicas:
            self.takes(replica, {"event": "deliver", "message": message}, f"answer {expects}")

    def at(self, replica: int, event: str, expects: str = "nothing", **parts: Any) -> None:
        """Any event of a replica."""
        self.takes(replica, {"event": event, **parts}, expects)

    def hands(self, sender: int, receiver: int, kind: str, expects: str = "nothing") -> None:
        """The last message of this kind arrives, for the first time or again."""
        step, message = self._sent[sender, receiver, kind]
        self.takes(receiver, {"event": "deliver", "sender": sender, "message": message}, expects, step)

    def merges(self, asking: int, *others: int, floor: str = F, expects: str = "") -> None:
        """Each of the others is asked for its past, and its reply arrives."""
        for other in others:
            self.hands(asking, other, "ask_past", f"past>{asking}")
            last = other == others[-1]
            self.hands(other, asking, "past", (expects or f"converged {floor}") if last else "nothing")

    def loses_disk(self, replica: int, incarnation: int, proposed: str, expects: str) -> None:
        """The process ends, the catalog hears of it, and the replica starts on an empty disk."""
        self.catalog("lost_disk", replica=replica, incarnation=incarnation)
        self.at(replica, "crash")
        known = [[one, incarnation if one == replica else 1] for one in REPLICAS]
        self.at(
            replica, "lost_disk", expects, setting=MAJORITY, incarnations=known, epoch=0, proposed=proposed
        )

    # --- the catalog --------------------------------------------------------------------------------------

    def catalog(self, event: str, expects: str = "nothing", **parts: Any) -> None:
        """Any event of the catalog."""
        self.takes(CATALOG, {"event": event, **parts}, expects)

    def told(self, what: str, *replicas: int, expects: str) -> None:
        """What the catalog told these arrives."""
        for replica in replicas:
            step, event = self._told[replica, what]
            self.takes(replica, event, expects, step)

    def closes(self, *replicas: int, floor: str = F, expects: str = "nothing") -> None:
        """These close the floor that is proposed, and the catalog hears of it."""
        for replica in replicas:
            self.told("propose", replica, expects=f"closed {floor}")
            last = replica == replicas[-1]
            self.catalog("closed", expects if last else "nothing", replica=replica, floor=floor)

    def all_close(self, floor: str = F) -> None:
        self.catalog("propose_floor", f"propose {floor}>1,2,3", floor=floor)
        self.closes(*REPLICAS, floor=floor, expects=f"all closed {floor}>1,2,3")

    def converges(
        self, replica: int, *, incarnation: int = 1, floor: str = F, expects: str = "nothing"
    ) -> None:
        """A replica hears that all have closed, merges what the others hold, and the catalog hears of it."""
        others = [other for other in REPLICAS if other != replica]
        self.told("all_closed", replica, expects=f"ask past>{others[0]},{others[1]}")
        self.merges(replica, *others, floor=floor)
        self.catalog("converged", expects, replica=replica, floor=floor, incarnation=incarnation)

    def all_settle(self, floor: str = F) -> None:
        """A floor from the proposal to its end: all settle, and nobody has purged yet."""
        self.all_close(floor)
        for replica in REPLICAS:
            last = replica == REPLICAS[-1]
            self.converges(
                replica, floor=floor, expects=f"all converged {floor}>1,2,3" if last else "nothing"
            )
        self.told("all_converged", *REPLICAS, expects=f"below {floor}")
