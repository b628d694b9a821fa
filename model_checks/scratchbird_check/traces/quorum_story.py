"""A behaviour of ``spec/quorum.tla`` told for people.

The model's actions take an operation and a replica, which TLC does not name: both are found from what
changed. So is what an operation is, a write or a read. The value of the write that is operation 1 is called
``"a"``, that of operation 2 ``"b"``. Where question and answer are one step of the model, they are one in
the drawing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from scratchbird_check.traces import quorum_words as words
from scratchbird_check.traces.model import Arrow, Behaviour, Change, Kind, Step, Trace, finish

NEEDED = (
    *("held", "epoch", "incarnation", "knows", "recovering", "heard"),
    *("phase", "setting", "version", "answered", "holder", "durable", "author", "returned", "after"),
)
"""The variables that a story reads."""

State = Mapping[str, dict[int, Any]]
"""By variable; what is no function is under key 0."""


@dataclass(slots=True)
class Told:
    """A step in words."""

    lane: str
    label: str
    arrows: list[Arrow] = field(default_factory=list)
    mark: str = ""
    kind: Kind = "message"


def tell_quorum(behaviour: Behaviour, constants: Mapping[str, Any]) -> Trace:
    """See :func:`scratchbird_check.traces.parts.tell`. No constant is needed."""
    states = [
        read_state(number, taken.state, NEEDED, "quorums") for number, taken in enumerate(behaviour.states)
    ]
    teller = _Teller(states)
    return finish(behaviour, steps_of(behaviour, teller), teller.lanes(), teller.verdict(behaviour.promise))


class Teller(Protocol):
    """Who tells the steps of a behaviour."""

    def tell(self, number: int) -> Told:
        """The step that led to this state."""

    def changes(self, number: int) -> Iterable[Change]:
        """What the step changed that its words do not say."""


def steps_of(behaviour: Behaviour, teller: Teller) -> list[Step]:
    """Each step of a behaviour, as it is told."""
    steps = []
    for number, taken in enumerate(behaviour.states):
        if number == 0:
            steps.append(Step(0, None, "Init", "the beginning", state=taken.state))
            continue
        told = teller.tell(number)
        steps.append(
            Step(
                number,
                told.lane,
                taken.action or "Next",
                told.label,
                tuple(teller.changes(number)),
                tuple(told.arrows),
                taken.state,
                mark=told.mark,
                kind=told.kind,
            )
        )
    return steps


def read_state(number: int, state: Mapping[str, Any], needed: Iterable[str], model: str) -> State:
    """These variables of a state.

    :raises ValueError: naming the one that it lacks, and the model that it is no state of.
    """
    for name in needed:
        if name not in state:
            raise ValueError(
                f"state {number} has no variable {name!r}: it is no state of the model of {model}"
            )
    return {name: function_of(state[name]) for name in needed}


def function_of(value: Any) -> dict[int, Any]:
    """A variable that is a function; on 1..n that is a sequence in TLA+."""
    if isinstance(value, tuple):
        return dict(enumerate(value, start=1))
    return dict(value) if isinstance(value, Mapping) else {0: value}


class _Teller:
    def __init__(self, states: list[State]) -> None:
        self.states = states
        self.sent: dict[int, int] = {}
        """By operation: the step in which it began to send."""
        first = states[0] if states else {name: {} for name in NEEDED}
        self.kinds = {o: self._kind(o) for o in first["phase"]}
        self.several = len({s for state in states for s in state["setting"].values() if s}) > 1

    # --- names ----------------------------------------------------------------------------------------------

    def _kind(self, o: int) -> str:
        """What an operation is, from what it does in this behaviour."""
        for before, after in zip(self.states, self.states[1:], strict=False):
            was, now = before["phase"][o], after["phase"][o]
            if (was, now) == ("idle", "sending"):
                return "retry"
            if was == "asking" and now in ("sending", "done"):
                if before["author"] == after["author"]:
                    return "read"
                return "write" if after["author"][after["version"][o]] == o else "retry"
            if now == "failed":
                return "write"
        return "operation"

    def name(self, o: int) -> str:
        """``write 1``"""
        return f"{self.kinds[o]} {o}"

    def lanes(self) -> tuple[str, ...]:
        """The operations that begin, then the replicas."""
        if not self.states:
            return ()
        begun = [o for o, phase in self.states[-1]["phase"].items() if phase != "idle"]
        return (*(self.name(o) for o in begun), *(words.lane(r) for r in self.states[0]["held"]))

    def writes(self, o: int) -> bool:
        return self.kinds[o] in ("write", "retry")

    @staticmethod
    def value(state: State, version: int) -> str:
        """``"a"``: of the write that took this version."""
        return words.NOTHING if version == 0 else f'"{chr(ord("a") - 1 + state["author"][version])}"'

    def held(self, state: State, version: int) -> str:
        return words.held(self.value(state, version), version)

    # --- telling --------------------------------------------------------------------------------------------

    def tell(self, number: int) -> Told:
        """The step that led to this state."""
        before, after = self.states[number - 1], self.states[number]
        for o in changed_in(before, after, "phase"):
            return self.phase(number, o, before, after)
        for o in sorted(after["durable"][0] - before["durable"][0]):
            return Told(self.name(o), words.intent_is_durable(), kind="step")
        for o in changed_in(before, after, "answered"):
            (r,) = after["answered"][o] - before["answered"][o]
            said = self.value(after, after["held"][r])
            return Told(self.name(o), words.hears([(r, said)]), [Arrow(number, words.lane(r), said)])
        for r in changed_in(before, after, "incarnation"):
            return Told(words.lane(r), words.loses_disk(), kind="crash")
        for r in (*changed_in(before, after, "recovering"), *changed_in(before, after, "heard")):
            return self.exchange(number, r, before, after)
        for o in changed_in(before, after, "holder"):
            return self.acknowledge(o, before, after)
        for r in changed_in(before, after, "held"):
            return self.store(r, before, after)
        return Told(self.lanes()[0], "goes on, and nothing comes of it", kind="step")

    def phase(self, number: int, o: int, before: State, after: State) -> Told:
        name, was, now = self.name(o), before["phase"][o], after["phase"][o]
        version = after["version"][o]
        what = self.value(after, version)
        if was == "idle":
            under = f", under setting {after['setting'][o]}" if self.several else ""
            if now == "sending":
                self.sent[o] = number
                return Told(name, words.repeats(what, version) + under, mark=str(version))
            doing = words.begins_to_write() if self.writes(o) else words.begins_to_read()
            return Told(name, doing + under)
        if now == "failed":
            return Told(name, words.gives_up(), kind="refused")
        if was == "asking":
            if now == "sending":
                self.sent[o] = number
            if before["author"] == after["author"]:
                return Told(name, words.finds(what))
            asked = bool(before["answered"][o])
            sends = words.sends(version, asked=asked, reserved=False).replace(" it ", f" {what} ", 1)
            return Told(name, sends, mark=str(version))
        if now == "asking":
            stale = [r for r, other in before["held"].items() if other > before["version"][o]][:1]
            return Told(
                name, words.hears_stale(stale), [Arrow(number, words.lane(r), "stale") for r in stale]
            )
        if self.writes(o):
            return Told(name, words.says("committed"))
        return Told(name, words.returns(what), mark=what)

    def acknowledge(self, o: int, before: State, after: State) -> Told:
        said, now = function_of(before["holder"][o]), function_of(after["holder"][o])
        (r,) = (replica for replica, incarnation in now.items() if incarnation != said[replica])
        version = after["version"][o]
        sent, own = self.held(after, version), self.held(after, after["held"][r])
        label = words.acknowledges(before["held"][r], version, sent, own)
        told = Told(words.lane(r), f"{label}, and says so", mark=self.value(after, after["held"][r]))
        if o in self.sent:
            told.arrows.append(Arrow(self.sent[o], self.name(o), self.value(after, version)))
        return told

    def store(self, r: int, before: State, after: State) -> Told:
        version = after["held"][r]
        if version == 0:
            back = self.value(after, before["held"][r])
            return Told(words.lane(r), words.takes_back(back), kind="refused")
        what = self.value(after, version)
        told = Told(words.lane(r), words.stores(self.held(after, version)), mark=what)
        for o, step in self.sent.items():
            if after["version"][o] == version:
                told.arrows.append(Arrow(step, self.name(o), what))
                break
        return told

    def exchange(self, number: int, r: int, before: State, after: State) -> Told:
        new = after["heard"][r] - before["heard"][r]
        # When it is done it forgets whom it heard: that is one who learnt of it, or holds what it has now.
        others = sorted(new) or changed_in(before, after, "knows")
        likely = [q for q in before["held"] if q != r and before["recovering"][q] == 0]
        likely = [q for q in likely if q not in before["heard"][r]]
        same = [q for q in likely if max(before["held"][q], before["held"][r]) == after["held"][r]]
        others = (others or same or likely)[:1]
        label = words.recovers(others, has_vote=after["recovering"][r] == 0)
        arrows = [Arrow(number, words.lane(q), self.value(after, before["held"][q])) for q in others]
        return Told(words.lane(r), label, arrows)

    def changes(self, number: int) -> Iterable[Change]:
        """Of the replicas; what an operation has heard is told in words."""
        before, after = self.states[number - 1], self.states[number]
        for r in changed_in(before, after, "held"):
            yield Change(
                f"holds[{words.lane(r)}]",
                self.held(before, before["held"][r]),
                self.held(after, after["held"][r]),
            )
        for name in ("incarnation", "epoch"):
            for r in changed_in(before, after, name):
                yield Change(f"{name}[{words.lane(r)}]", str(before[name][r]), str(after[name][r]))
        for r in changed_in(before, after, "recovering"):
            votes = ["no" if state["recovering"][r] else "yes" for state in (before, after)]
            yield Change(f"has a vote[{words.lane(r)}]", *votes)

    # --- the end --------------------------------------------------------------------------------------------

    def verdict(self, promise: str) -> str:
        """What the last step broke, in one sentence; empty for a run that breaks nothing."""
        if not promise or len(self.states) < 2:
            return ""
        before, after = self.states[-2], self.states[-1]
        match promise:
            case "Linearizable":
                for o in sorted(after["returned"][0] - before["returned"][0]):
                    return self._register(o, after, promise)
            case "SessionKeeps":
                for o in [*changed_in(before, after, "phase"), *changed_in(before, after, "version")]:
                    what = self.held(after, after["version"][o])
                    return words.session_broken(self.name(o), what, promise)
            case "OutcomesAreHonest":
                for r, version in after["held"].items():
                    if version and after["phase"][after["author"][version]] == "failed":
                        return words.not_honest(r, self.value(after, version), promise)
            case "IntentCovers":
                for r, version in after["held"].items():
                    for o, phase in after["phase"].items():
                        if self.writes(o) and phase == "done" and version < after["version"][o]:
                            what = self.value(after, after["version"][o])
                            return words.nobody_knows(r, what, words.NO_REPAIR, promise)
        return ""

    def _register(self, o: int, state: State, promise: str) -> str:
        version = state["version"][o]
        earlier = sorted(state["after"][o], key=lambda p: state["version"][p])
        newer = [p for p in earlier if state["version"][p] > version]
        told = newer or [p for p in earlier if state["version"][p] != version]
        before = [
            words.had_acknowledged(self.value(state, state["version"][p]))
            if self.writes(p)
            else words.had_returned(self.name(p), self.value(state, state["version"][p]))
            for p in told
        ]
        what, lesson = self.value(state, version), words.NO_REGISTER
        if self.writes(o):
            return words.write_too_late(what, version, before, lesson, promise)
        return words.too_old(self.name(o), what, before, lesson, promise)


def changed_in(before: State, after: State, name: str) -> list[int]:
    """For which keys a variable changed."""
    return [key for key, value in after[name].items() if before[name].get(key) != value]
