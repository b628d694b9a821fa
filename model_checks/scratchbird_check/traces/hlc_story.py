"""A behaviour of ``spec/hlc.tla`` told for people.

The model keeps no record of which node took a step, nor of which message it read: both are found from what
changed. Its ghost variables are not shown as changes; ``broken`` says which step is the wrong one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchbird_check.traces import hlc_words as words
from scratchbird_check.traces.model import Arrow, Behaviour, Change, Kind, Step, Taken, Trace, finish
from scratchbird_reference.uuid8 import Timestamp

BY_NODE = ("off", "bound", "up", "last", "anchor", "promised", "suspended", "own", "past", "before")
"""The variables that are functions on the nodes."""
SHOWN = ("bound", "up", "last", "anchor", "promised", "suspended")
_TIMES = ("bound", "last", "promised")
_OF_OBSERVE = frozenset({"HLC-4 healthy", "HLC-4 remote", "HLC-4 silenced"})
NEEDED = ("now", "off", "messages", "up", "last", "bound", "promised", "anchor", "suspended", "broken")

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Constants:
    """The constants of the model that a story needs."""

    counters: int
    base: int
    max_ahead: int
    max_drift: int
    max_skew: int
    reserve: int

    @classmethod
    def read(cls, constants: Mapping[str, Any]) -> Constants:
        """Pick them from a configuration; :class:`ValueError` that names the first one missing."""
        names = ("C", "Base", "MaxAhead", "MaxDrift", "MaxSkew", "ReserveMs")
        for name in names:
            if not isinstance(constants.get(name), int):
                raise ValueError(f"constant {name} of the model is missing: give its value with the trace")
        return cls(*(constants[name] for name in names))


def tell_hlc(behaviour: Behaviour, constants: Mapping[str, Any]) -> Trace:
    """See :func:`scratchbird_check.traces.parts.tell`."""
    teller = _Teller(Constants.read(constants), behaviour.promise)
    steps = [teller.tell(number, taken) for number, taken in enumerate(behaviour.states)]
    lanes = tuple(sorted(behaviour.states[0].state["up"])) if behaviour.states else ()
    return finish(behaviour, steps, lanes, teller.last_word())


@dataclass(frozen=True, slots=True)
class _Told:
    label: str
    mark: str = ""
    kind: Kind = "step"
    arrows: tuple[Arrow, ...] = ()


class _Teller:
    """Tells one step after the other, and remembers when each message was sent."""

    def __init__(self, constants: Constants, promise: str) -> None:
        self.constants = constants
        self.promise = promise
        self.wanted = promise.lower()
        """``hlc4silenced``: the promise ``HLC-4 silenced`` as the model's invariant."""
        self.sent: dict[Any, int] = {}
        self.verdict = ""
        self.before: State = {}
        self.after: State = {}

    def tell(self, number: int, taken: Taken) -> Step:
        for name in NEEDED:
            if name not in taken.state:
                raise ValueError(
                    f"state {number} has no variable {name!r}: it is no state of the clock's model"
                )
        self.before, self.after = self.after or taken.state, taken.state
        down = tuple(sorted(node for node, up in taken.state["up"].items() if not up))
        if number == 0:
            return Step(0, None, "Init", "the beginning", state=taken.state, down=down)
        action = taken.action if taken.action not in ("", "Next") else self.guess_action()
        node = taken.node or self.guess_node(action)
        told = self.told(action, node)
        new = sorted(taken.state["broken"] - self.before["broken"])
        if new and not self.verdict:
            asked = [name for name in new if name.replace("-", "").replace(" ", "").lower() == self.wanted]
            self.verdict = self.sentence((asked or new)[0], node)
        for message in taken.state["messages"] - self.before["messages"]:
            self.sent.setdefault(message, number)
        return Step(
            number,
            node,
            action,
            told.label,
            self.changes(),
            told.arrows,
            state=taken.state,
            wrong=bool(new),
            mark=told.mark,
            kind=told.kind,
            down=down,
        )

    # --- reading --------------------------------------------------------------------------------------

    def time(self, packed: int) -> Timestamp:
        return Timestamp(*divmod(packed, self.constants.counters))

    def wall(self, state: State, node: str) -> int:
        return int(self.constants.base + state["now"] + state["off"][node])

    def believed(self, node: str) -> int:
        off, anchor = self.before["off"][node], self.before["anchor"][node]
        suspended = self.after["suspended"][node]
        return int(self.constants.base + self.before["now"] + (anchor if suspended else max(off, anchor)))

    def present(self, node: str) -> int:
        """By which a node judges what is early (rule HLC.R6)."""
        believed, wall = self.believed(node), self.wall(self.before, node)
        far_back = believed - wall > self.constants.max_skew
        return believed if self.after["suspended"][node] or far_back else wall

    def moved(self, name: str) -> list[str]:
        """The nodes whose entry of a variable changed."""
        old, new = self.before.get(name, {}), self.after.get(name, {})
        return [node for node in new if old.get(node) != new[node]]

    def changes(self) -> tuple[Change, ...]:
        found: list[Change] = []
        if self.before["now"] != self.after["now"]:
            base = self.constants.base
            found.append(Change("true time", str(base + self.before["now"]), str(base + self.after["now"])))
        for node in self.moved("off"):
            clocks = str(self.wall(self.before, node)), str(self.wall(self.after, node))
            found.append(Change(f"wall clock[{node}]", *clocks))
        gone = set(self.moved("up"))
        for name in SHOWN:
            for node in self.moved(name):
                if name in ("up", "bound") or node not in gone:
                    values = self.before[name][node], self.after[name][node]
                    found.append(Change(f"{name}[{node}]", *(self.shown(name, value) for value in values)))
        return tuple(found)

    def shown(self, name: str, value: Any) -> str:
        if isinstance(value, bool):
            return "yes" if value else "no"
        if name == "promised" and value == 0:
            return "none"
        return words.show(self.time(value)) if name in _TIMES else str(value)

    # --- finding out who did what -----------------------------------------------------------------------

    def guess_action(self) -> str:
        """For engines that do not name the action."""
        before, after = self.before, self.after
        if before["now"] != after["now"]:
            return "Pass"
        if self.moved("off"):
            return "Shift"
        for node in self.moved("up"):
            if after["up"][node]:
                return "Start"
            stopped = before["promised"][node] == 0 and after["bound"][node] == before["last"][node]
            return "Stop" if stopped else "Crash"
        if before["messages"] != after["messages"]:
            return "Send"
        if self.moved("bound"):
            return "Persisted"
        if self.moved("anchor"):
            return "Confirm"
        if self.moved("own"):
            return "Tick"
        if self.moved("last") or self.moved("past"):
            return "Observe"
        if new := after["broken"] - before["broken"]:
            return "Observe" if new & _OF_OBSERVE else "Tick"
        for node in self.moved("promised"):
            if before.get("budget", {}).get("early") != after.get("budget", {}).get("early"):
                return "Reserve"
            next_ms = self.time(before["last"][node] + 1).ms
            own = max(next_ms, self.wall(before, node)) + self.constants.reserve
            return "Tick" if self.time(after["promised"][node]).ms == own else "Observe"
        return "Reading"

    def guess_node(self, action: str) -> str | None:
        if action == "Pass":
            return None
        for name in BY_NODE:
            if moved := self.moved(name):
                return moved[0]
        for message in self.after["messages"] - self.before["messages"]:
            return str(message["from"])
        up = [node for node, is_up in self.before["up"].items() if is_up]
        if action == "Observe" and (heard := {node: self.candidates(node) for node in up}):
            # A refusal changes nothing but the verdict: it is the node for which the message is the farthest.
            likely = [node for node in up if heard[node]]
            return max(likely, key=lambda node: self.gap(heard[node][0], node), default=None)
        return up[0] if len(up) == 1 else None

    def gap(self, message: Any, node: str) -> int:
        """How far, in ms, a message's clock lies past the lower of the two clocks of a node."""
        return self.time(message["at"]).ms - min(self.believed(node), self.wall(self.before, node))

    def candidates(self, node: str) -> list[Any]:
        """The messages that this node can have read in this step, the latest one sent first."""
        last, bound = self.before["last"][node], self.before["bound"][node]
        merged, past = self.after["last"][node], self.after.get("past", {}).get(node, 0)
        refused = "HLC-4 healthy" in self.after["broken"] - self.before["broken"]
        found = []
        for message in self.before["messages"]:
            if message["from"] == node:
                continue
            if refused:
                fits = message["from"] not in self.before.get("sick", ())
            elif merged != last:
                fits = message["at"] == merged or self.time(message["at"]).ms == self.time(merged).ms
            elif self.moved("promised"):
                fits = message["at"] > bound
            else:
                fits = message["past"] <= past
            if fits:
                found.append(message)
        if refused:
            return sorted(found, key=lambda item: -self.gap(item, node))
        exact = [item for item in found if item["at"] == merged]
        return sorted(exact or found, key=lambda item: (-self.sent.get(item, 0), item["from"]))

    # --- telling ----------------------------------------------------------------------------------------

    def told(self, action: str, node: str | None) -> _Told:
        before, after = self.before, self.after
        if action == "Pass":
            return _Told(words.passes(after["now"] - before["now"]))
        if node is None:
            return _Told(f"somewhere: {action}, and nothing comes of it")
        last = self.time(after["last"][node])
        match action:
            case "Shift":
                clocks = self.wall(before, node), self.wall(after, node)
                return _Told(words.moves_wall(*clocks), f"wall {clocks[1]}", "clock")
            case "Start":
                return _Told(words.starts(last, self.wall(after, node)), words.show(last), "start")
            case "Crash":
                return _Told("crashes", kind="crash")
            case "Stop":
                return _Told(f"stops and stores {words.show(self.time(after['bound'][node]))}", kind="crash")
            case "Persisted":
                return _Told(words.has_bound(self.time(after["bound"][node])))
            case "Confirm":
                return _Told("has its wall clock confirmed")
            case "Send":
                for message in after["messages"] - before["messages"]:
                    clock = self.time(message["at"])
                    return _Told(words.sends(clock), words.show(clock), "message")
                return self.nothing(node, "a message")
            case "Observe":
                return self.observed(node)
            case "Tick" if node in self.moved("last") or node in self.moved("own"):
                return _Told(words.issues(last), words.show(last))
        if self.after["promised"][node] != self.before["promised"][node]:
            waiting = "its tick" if action == "Tick" else ""
            return _Told(words.asks_for_bound(self.time(after["promised"][node]), waiting))
        return self.nothing(node, {"Tick": "its tick", "Reserve": "its reservation"}.get(action, ""))

    def nothing(self, node: str, what: str) -> _Told:
        if not what:
            return _Told("reads its clocks")
        if self.after["suspended"][node]:
            return _Told(words.refuses_suspended(what), "refused", "refused")
        return _Told(f"refuses {what}, or has it wait", "refused", "refused")

    def observed(self, node: str) -> _Told:
        read = next(iter(self.candidates(node)), None)
        if read is None:
            return _Told("reads a message")
        remote, sender = self.time(read["at"]), str(read["from"])
        arrows = (Arrow(self.sent[read], sender, words.show(remote)),) if read in self.sent else ()
        last, before = (self.time(state["last"][node]) for state in (self.after, self.before))
        if self.after["promised"][node] != self.before["promised"][node]:
            bound = self.time(self.after["promised"][node])
            return _Told(words.asks_for_bound(bound, f"{sender}'s {words.show(remote)}"), arrows=arrows)
        refused = "HLC-4 healthy" in self.after["broken"] - self.before["broken"]
        past = remote.ms - self.believed(node) if last == before else 0
        wait = remote.ms - self.present(node) - self.constants.max_ahead + 1 if last == before else 0
        if refused or past > self.constants.max_drift:
            label = words.refuses_remote(remote, sender, self.gap(read, node))
            return _Told(label, "refused", "refused", arrows)
        if wait > 0 and not self.moved("past"):
            return _Told(words.waits_for_time(remote, sender, wait), arrows=arrows)
        return _Told(words.merges(remote, sender, last), words.show(last), "message", arrows)

    # --- judging ----------------------------------------------------------------------------------------

    def sentence(self, promise: str, node: str | None) -> str:
        if node is None:
            return f"After this step {promise} is broken."
        issued, constants = self.time(self.after["last"][node]), self.constants
        ghost = {
            name: self.time(self.before.get(name, {}).get(node, 0)) for name in ("own", "past", "before")
        }
        match promise:
            case "HLC-1":
                return words.went_back(node, issued, ghost["own"])
            case "HLC-3":
                return words.below_its_past(node, issued, ghost["past"])
            case "HLC-5":
                return words.below_before_restart(node, issued, ghost["before"])
            case "HLC-4 own":
                return words.too_far_ahead(node, issued, self.wall(self.before, node), constants.max_ahead)
        for read in self.candidates(node):
            remote, sender, believed = self.time(read["at"]), str(read["from"]), self.believed(node)
            if promise == "HLC-4 remote":
                ahead, drift = constants.max_ahead, constants.max_drift
                return words.merged_too_early(node, remote, sender, believed, ahead, drift)
            if promise == "HLC-4 silenced":
                tick, wall = self.time(read["at"] + 1), self.wall(self.before, node)
                return words.silenced(node, remote, sender, tick, wall)
            if promise == "HLC-4 healthy" and node in self.before.get("sick", ()):
                return words.deaf_after_set_back(node, remote, sender, self.wall(self.before, node))
            if promise == "HLC-4 healthy":
                return words.refused_healthy(node, remote, sender, believed, constants.max_drift)
        return f"After {node}'s step {promise} is broken."

    def last_word(self) -> str:
        """The verdict, also for a promise that is a plain invariant of the states."""
        if self.verdict or self.promise != "BoundWithinReach" or not self.after:
            return self.verdict
        healthy = [node for node in self.after["bound"] if node not in self.after.get("sick", ())]
        reached = {node: max(self.after["bound"][node], self.after["promised"][node]) for node in healthy}
        node = max(healthy, key=lambda name: reached[name])
        highest = self.constants.base + self.after["now"] + self.constants.max_skew
        allowed = self.constants.max_ahead + self.constants.reserve
        return words.bound_too_far(node, self.time(reached[node]), highest, allowed)
