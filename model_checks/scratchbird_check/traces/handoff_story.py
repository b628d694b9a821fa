"""A behaviour of ``spec/handoff.tla`` told for people.

What a step did is found from what changed, as in ``quorum_story.py``. All instances of the model have the
same operations: the second one deletes, the others write. The value of operation 1 is called ``"a"``. There
is one coordinator, and beside it each operation has a lane of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scratchbird_check.traces import handoff_words as words
from scratchbird_check.traces import quorum_words
from scratchbird_check.traces.model import Arrow, Behaviour, Change, Trace, finish
from scratchbird_check.traces.quorum_story import State, Told, changed_in, read_state, steps_of
from scratchbird_check.traces.quorum_words import lane

NEEDED = (
    *("held", "closed", "merged", "converged", "settled", "recovering"),
    *("allClosed", "allConverged", "lost"),
    *("phase", "version", "answered", "acked", "intended", "hinted", "owed", "heard"),
)
"""The variables that a story reads."""
COORDINATOR = "coordinator"
DELETES = (2,)
"""The operations that delete."""


def fits(behaviour: Behaviour) -> bool:
    """Whether it is one of this model: the part has others as well."""
    return all(name in taken.state for taken in behaviour.states for name in NEEDED)


def tell_handoff(behaviour: Behaviour, constants: Mapping[str, Any]) -> Trace:
    """See :func:`scratchbird_check.traces.parts.tell`. ``Floor`` and ``R`` are needed.

    :raises ValueError: if one of them, or a variable, is missing.
    """
    for name in ("Floor", "R"):
        if not isinstance(constants.get(name), int):
            given = constants.get(name)
            raise ValueError(f"the constant {name!r} of the model of handoff is {given!r}: name a number")
    states = [
        read_state(number, taken.state, NEEDED, "handoff") for number, taken in enumerate(behaviour.states)
    ]
    teller = _Teller(states, constants["Floor"], constants["R"])
    return finish(behaviour, steps_of(behaviour, teller), teller.lanes(), teller.verdict(behaviour.promise))


class _Teller:
    def __init__(self, states: list[State], floor: int, read_quorum: int) -> None:
        self.states = states
        self.floor = floor
        self.read_quorum = read_quorum
        self.sent: dict[int, int] = {}
        """By operation: the step in which it began to send."""

    # --- names ----------------------------------------------------------------------------------------------

    def name(self, o: int) -> str:
        """``write 1``"""
        return f"{'delete' if o in DELETES else 'write'} {o}"

    def lanes(self) -> tuple[str, ...]:
        """The operations that begin, the coordinator and the catalog if they act, and the replicas."""
        if not self.states:
            return ()
        begun = [self.name(o) for o, phase in self.states[-1]["phase"].items() if phase != "idle"]
        told = {self.tell(number).lane for number in range(1, len(self.states))}
        acting = [name for name in (COORDINATOR, words.CATALOG) if name in told]
        return (*begun, *acting, *(lane(r) for r in self.states[0]["held"]))

    def value(self, state: State, version: int) -> str:
        """``"a"``: what the operation wrote that took this version."""
        if version == self.floor:
            return quorum_words.A_DELETE
        author = next((o for o, taken in state["version"].items() if taken == version != 0), 0)
        if not author:
            return quorum_words.NOTHING
        return quorum_words.A_DELETE if author in DELETES else f'"{chr(ord("a") - 1 + author)}"'

    def held(self, state: State, version: int) -> str:
        return quorum_words.held(self.value(state, version), version)

    def effective(self, state: State, r: int) -> int:
        """As which version a replica answers, under the right rule."""
        return int(state["held"][r] or (self.floor if state["settled"][r] else 0))

    # --- telling --------------------------------------------------------------------------------------------

    def tell(self, number: int) -> Told:
        """The step that led to this state."""
        before, after = self.states[number - 1], self.states[number]
        if after["lost"] != before["lost"]:
            (r,) = changed_in(before, after, "recovering") or [
                r for r in after["held"] if not after["held"][r]
            ]
            return Told(lane(r), quorum_words.loses_disk(), kind="crash")
        for name, tell in _TELLERS.items():
            for key in changed_in(before, after, name):
                return tell(self, number, key)
        return Told(COORDINATOR, "goes on, and nothing comes of it", kind="step")

    def both(self, number: int) -> tuple[State, State]:
        return self.states[number - 1], self.states[number]

    def phase(self, number: int, o: int) -> Told:
        before, after = self.both(number)
        name, now, version = self.name(o), after["phase"][o], after["version"][o]
        match now:
            case "asking":
                return Told(name, "begins to delete" if o in DELETES else quorum_words.begins_to_write())
            case "failed":
                return Told(name, quorum_words.gives_up(), kind="refused")
            case "done":
                return Told(name, quorum_words.says("committed"))
        self.sent[o] = number
        sends = quorum_words.sends(version, asked=bool(before["answered"][o]), reserved=False)
        return Told(name, sends.replace(" it ", f" {self.value(after, version)} ", 1), mark=str(version))

    def answered(self, number: int, o: int) -> Told:
        before, after = self.both(number)
        (r,) = after["answered"][o] - before["answered"][o]
        said = self.value(after, self.effective(after, r))
        return Told(self.name(o), quorum_words.hears([(r, said)]), [Arrow(number, lane(r), said)])

    def intended(self, number: int, key: int) -> Told:
        before, after = self.both(number)
        (o,) = after["intended"][key] - before["intended"][key]
        owed = {self.held(after, after["version"][o]): after["hinted"][o]} if after["hinted"][o] else {}
        return Told(
            self.name(o), f"{quorum_words.intent_is_durable()}: it owes {words.owes(owed)}", kind="step"
        )

    def acked(self, number: int, o: int) -> Told:
        before, after = self.both(number)
        (r,) = after["acked"][o] - before["acked"][o]
        version = after["version"][o]
        sent, own = self.held(after, version), self.held(after, after["held"][r])
        label = quorum_words.acknowledges(before["held"][r], version, sent, own)
        told = Told(lane(r), f"{label}, and says so", mark=self.value(after, after["held"][r]))
        if o in self.sent:
            told.arrows.append(Arrow(self.sent[o], self.name(o), self.value(after, version)))
        return told

    def owed(self, number: int, r: int) -> Told:
        _, after = self.both(number)
        match after["owed"][r]:
            case "open":
                return Told(COORDINATOR, words.marks([r]), kind="step")
            case "returning":
                return Told(COORDINATOR, words.is_back(r), kind="step")
            case "closed":
                return Told(COORDINATOR, f"{words.is_back(r)}: {words.closes_mark()}", kind="step")
        return self.heard(number, r)

    def heard(self, number: int, r: int) -> Told:
        """An exchange that pays a mark, or a part of it. When it is paid nobody says with whom it was."""
        before, after = self.both(number)
        likely = [q for q in after["held"] if q != r and q not in before["heard"][r]]
        same = [q for q in likely if max(before["held"][q], before["held"][r]) == after["held"][r]]
        others = sorted(after["heard"][r] - before["heard"][r]) or (same or likely)[:1]
        paid = before["owed"][r] != "none" == after["owed"][r]
        rest = words.repair_paid("the coordinator") if paid else words.repair_goes_on("the coordinator")
        arrows = [Arrow(number, lane(q), self.value(after, before["held"][q])) for q in others]
        return Told(lane(r), f"{words.merges_all(others)}; {rest}", arrows)

    def hinted(self, number: int, o: int) -> Told:
        """They are dropped; or their target said that it holds what it is owed, of a write that is over."""
        before, after = self.both(number)
        gone = before["hinted"][o] - after["hinted"][o]
        paid = [r for r in gone if (after["held"][r] or 0) >= after["version"][o]]
        if len(paid) == len(gone) == 1:
            r, sent = paid[0], self.held(after, after["version"][o])
            stored = before["held"][r] != after["held"][r]
            label = quorum_words.stores(sent) if stored else quorum_words.holds_already(sent)
            return Told(lane(r), f"{label}, and says so", mark=self.value(after, after["held"][r]))
        is_past = after["allConverged"][0] and after["version"][o] <= self.floor
        if is_past and any(before["owed"][r] in ("none", "closed") for r in gone):
            return Told(COORDINATOR, words.pays_past(self.floor), kind="step")
        return Told(COORDINATOR, words.drops_hints(gone), kind="step")

    def recovering(self, number: int, r: int) -> Told:
        """It may have found an old copy of its disk: what nobody told it is from there."""
        before, after = self.both(number)
        others = [q for q in after["held"] if q != r and not after["recovering"][q]]
        arrows = [Arrow(number, lane(q), self.value(after, after["held"][q])) for q in others]
        label, held = quorum_words.recovers(others, has_vote=True), after["held"][r]
        if held and held not in [before["held"][q] for q in (r, *others)]:
            label = f"{words.restores(self.held(after, held))}; {label}"
        return Told(lane(r), label, arrows)

    def closed(self, number: int, r: int) -> Told:
        return Told(lane(r), words.closes(self.floor), kind="step")

    def noted(self, number: int, key: int) -> Told:
        before, after = self.both(number)
        done = "closed" if after["allClosed"] != before["allClosed"] else "converged"
        return Told(words.CATALOG, f"hears that all have {done}")

    def merged(self, number: int, r: int) -> Told:
        before, after = self.both(number)
        others = sorted(after["merged"][r] - before["merged"][r])
        if not others:
            return Told(lane(r), words.begins_anew(), kind="crash")
        arrows = [Arrow(number, lane(q), self.value(after, before["held"][q])) for q in others]
        return Told(lane(r), words.merges_past(others), arrows)

    def converged(self, number: int, r: int) -> Told:
        """When it has merged the past of the last of the others."""
        before, after = self.both(number)
        others = [q for q in after["held"] if q != r and q not in before["merged"][r]]
        if not others:
            return Told(lane(r), words.converges(), kind="step")
        arrows = [Arrow(number, lane(q), self.value(after, before["held"][q])) for q in others]
        return Told(lane(r), f"{words.merges_past(others)}; {words.converges()}", arrows)

    def settled(self, number: int, r: int) -> Told:
        return Told(lane(r), words.settle([r], r), kind="step")

    def store(self, number: int, r: int) -> Told:
        """What arrives and nobody takes note of; or a tombstone that goes."""
        _, after = self.both(number)
        version = after["held"][r]
        if not version:
            return Told(lane(r), "purges its tombstone", kind="step")
        what = self.value(after, version)
        told = Told(lane(r), quorum_words.stores(self.held(after, version)), mark=what)
        for o, step in self.sent.items():
            if after["version"][o] == version:
                told.arrows.append(Arrow(step, self.name(o), what))
        return told

    def changes(self, number: int) -> Iterable[Change]:
        """Of the replicas, and of what is owed to them."""
        before, after = self.both(number)
        for r in changed_in(before, after, "held"):
            versions = (self.held(state, state["held"][r]) for state in (before, after))
            yield Change(f"holds[{lane(r)}]", *versions)
        for r in changed_in(before, after, "owed"):
            yield Change(f"mark[{lane(r)}]", before["owed"][r], after["owed"][r])
        for r in changed_in(before, after, "recovering"):
            yield Change(
                f"has a vote[{lane(r)}]",
                *("no" if state["recovering"][r] else "yes" for state in (before, after)),
            )

    # --- the end --------------------------------------------------------------------------------------------

    def verdict(self, promise: str) -> str:
        """What the last state breaks, in one sentence; empty for a run that breaks nothing."""
        if not self.states:
            return ""
        last = self.states[-1]
        done = [o for o, phase in last["phase"].items() if phase == "done"]
        match promise:
            case "Account":
                for o in done:
                    for r in last["held"]:
                        if not self._is_accounted_for(last, o, r):
                            what = self.held(last, last["version"][o])
                            return words.nobody_owes(r, what, "it will never be paid", promise)
            case "Seen":
                for o in done:
                    version = last["version"][o]
                    behind = [
                        r
                        for r in last["held"]
                        if not last["recovering"][r] and (last["held"][r] or 0) < version
                    ]
                    if len(behind) >= self.read_quorum:
                        behind = behind[: self.read_quorum]
                        return words.misses(behind, self.held(last, version), promise)
            case "NothingIsLost":
                for o in done:
                    below = [r for r in last["held"] if self.effective(last, r) <= self.floor]
                    if o not in DELETES and last["version"][o] < self.floor and below:
                        return words.finds_deleted(below, self.held(last, last["version"][o]), promise)
            case "SettledAgree":
                past = {r: self.value(last, last["held"][r]) for r in last["held"] if last["settled"][r]}
                values = [r for r, what in past.items() if what.startswith('"')]
                others = [r for r, what in past.items() if what != past[values[0]]] if values else []
                if others:
                    return words.disagree(values[0], past[values[0]], others[0], promise)
        return ""

    def _is_accounted_for(self, state: State, o: int, r: int) -> bool:
        version = state["version"][o]
        return bool(
            state["held"][r] >= version
            or r in state["hinted"][o]
            or state["owed"][r] != "none"
            or (state["settled"][r] and version <= self.floor)
        )


_TELLERS: Mapping[str, Callable[[_Teller, int, int], Told]] = {
    "phase": _Teller.phase,
    "recovering": _Teller.recovering,
    "acked": _Teller.acked,
    "intended": _Teller.intended,
    "answered": _Teller.answered,
    "owed": _Teller.owed,
    "heard": _Teller.heard,
    "hinted": _Teller.hinted,
    "closed": _Teller.closed,
    "allClosed": _Teller.noted,
    "allConverged": _Teller.noted,
    "converged": _Teller.converged,
    "merged": _Teller.merged,
    "settled": _Teller.settled,
    "held": _Teller.store,
}
"""By variable: what tells a step that changed it; the first that changed says what the step was."""
