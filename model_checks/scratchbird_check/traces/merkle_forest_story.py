"""A behaviour of ``spec/merkle_forest.tla`` told for people.

What a step did is found from what changed, as in ``quorum_story.py``. The value of version 1 is called
``"a"``, that of the next one that is no delete ``"b"``. The answer to a question is in the same step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from scratchbird_check.traces import handoff_words, quorum_words
from scratchbird_check.traces import merkle_forest_words as words
from scratchbird_check.traces.model import Arrow, Behaviour, Change, Trace, finish
from scratchbird_check.traces.quorum_story import (
    State,
    Told,
    changed_in,
    function_of,
    read_state,
    steps_of,
)
from scratchbird_check.traces.quorum_words import lane

NEEDED = (
    *("written", "held", "entry", "stable", "closed", "converged", "settled", "shown", "dirty"),
    *("with", "windows", "rows", "snapshot", "succeeded", "crashed"),
)
"""The variables that a story reads."""


def tell_merkle_forest(behaviour: Behaviour, constants: Mapping[str, Any]) -> Trace:
    """See :func:`scratchbird_check.traces.parts.tell`. ``Floor`` and ``Tombstones`` are needed.

    :raises ValueError: if one of them, or a variable, is missing.
    """
    floor, deletes = constants.get("Floor"), constants.get("Tombstones")
    if not isinstance(floor, int):
        raise ValueError(f"the constant 'Floor' of the model of the forest is {floor!r}: name a number")
    if not isinstance(deletes, frozenset):
        raise ValueError(f"the constant 'Tombstones' of the model of the forest is {deletes!r}: name a set")
    states = [
        read_state(number, taken.state, NEEDED, "the forest") for number, taken in enumerate(behaviour.states)
    ]
    teller = _Teller(states, floor, deletes)
    is_endless = behaviour.loop_to is not None
    verdict = words.never_same() if is_endless else teller.verdict(behaviour.promise)
    return finish(behaviour, steps_of(behaviour, teller), teller.lanes(), verdict)


class _Teller:
    def __init__(self, states: list[State], floor: int, deletes: frozenset[int]) -> None:
        self.states = states
        self.floor = floor
        self.deletes = deletes
        self.sent: dict[int, int] = {}
        """By version: the step in which it was sent."""

    # --- names ----------------------------------------------------------------------------------------------

    def lanes(self) -> tuple[str, ...]:
        """The clients and the catalog if they act, and the replicas."""
        if not self.states:
            return ()
        told = {self.tell(number).lane for number in range(1, len(self.states))}
        acting = [name for name in (words.CLIENTS, handoff_words.CATALOG) if name in told]
        return (*acting, *(lane(r) for r in self.states[0]["held"]))

    def value(self, version: int) -> str:
        """``"a"``: what this version wrote."""
        if not version:
            return quorum_words.NOTHING
        if version in self.deletes or version == self.floor:
            return quorum_words.A_DELETE
        written: set[int] = set().union(*(state["written"][0] for state in self.states))
        return f'"{chr(ord("a") + sorted(written - self.deletes).index(version))}"'

    def held(self, version: int) -> str:
        return quorum_words.held(self.value(version), version)

    def effective(self, state: State, r: int, row: int) -> int:
        """As which version a replica answers, under the right rule."""
        return function_of(state["held"][r])[row] or (self.floor if r in state["settled"][0] else 0)

    def both(self, number: int) -> tuple[State, State]:
        return self.states[number - 1], self.states[number]

    # --- telling --------------------------------------------------------------------------------------------

    def tell(self, number: int) -> Told:
        """The step that led to this state."""
        before, after = self.both(number)
        for name, tell in _TELLERS.items():
            if changed := changed_in(before, after, name):
                return tell(self, number, changed[0])
        for r in before["held"]:
            if after["dirty"][r] != before["dirty"][r]:
                return Told(lane(r), words.hashes(before["dirty"][r] - after["dirty"][r]), kind="step")
        return Told(lane(1), "goes on, and nothing comes of it", kind="step")

    def written(self, number: int, key: int) -> Told:
        before, after = self.both(number)
        (version,) = after["written"][0] - before["written"][0]
        self.sent[version] = number
        return Told(words.CLIENTS, words.send(self.held(version), []), mark=str(version))

    def crashed(self, number: int, key: int) -> Told:
        """Who it was is seen if it forgot anything."""
        before, after = self.both(number)
        forgot = [r for name in ("dirty", "with", "windows", "rows") for r in changed_in(before, after, name)]
        return Told(lane((forgot or [1])[0]), words.crashes(), kind="crash")

    def snapshot(self, number: int, r: int) -> Told:
        """An exchange begins with one, and loses it when it ends."""
        _, after = self.both(number)
        return (self.begins if after["with"][r] else self.ends)(number, r)

    def begins(self, number: int, r: int) -> Told:
        _, after = self.both(number)
        other = after["with"][r]
        own, theirs = (function_of(after["shown"][side]) for side in (r, other))
        differ = {window for window in own if own[window] != theirs[window]}
        said = words.compares_windows(other, differ, differ - after["windows"][r])
        return Told(lane(r), said, [Arrow(number, lane(other), "digests")])

    def ends(self, number: int, r: int) -> Told:
        before, _ = self.both(number)
        return Told(lane(r), words.failed(before["with"][r]), kind="refused")

    def windows(self, number: int, r: int) -> Told:
        before, after = self.both(number)
        looked = before["windows"][r] - after["windows"][r]
        if not looked:
            return self.begins(number, r)
        other = after["with"][r]
        found, arrows = [], []
        for row in sorted(after["rows"][r] - before["rows"][r]):
            own, theirs = (self.held(self.shown(after, r, x, row)) for x in (r, other))
            found.append(words.row_differs(r, own, other, theirs, row))
            arrows.append(Arrow(number, lane(other), self.value(self.shown(after, r, other, row))))
        return Told(lane(r), words.looks_into(looked, found), arrows)

    @staticmethod
    def shown(state: State, r: int, side: int, row: int) -> int:
        """What a side of the exchange that r drives showed of a row when it began."""
        return int(function_of(function_of(state["snapshot"][r])[side])[row])

    def rows(self, number: int, r: int) -> Told:
        before, after = self.both(number)
        (row,) = before["rows"][r] - after["rows"][r]
        sides = {side: self.shown(after, r, side, row) for side in (r, after["with"][r])}
        giver = max(sides, key=lambda side: (sides[side], side != r))
        (taker,) = sides.keys() - {giver}
        was, now = (function_of(state["held"][taker])[row] for state in (before, after))
        entries = [function_of(state["entry"][taker])[row] for state in (before, after)]
        if now != was:
            said = words.takes(self.held(now))
        elif entries[0] != entries[1]:
            said = words.takes_entry(self.held(entries[1]))
        elif self.effective(after, taker, row) >= sides[giver]:
            said = words.needs_nothing(self.held(sides[giver]))
        else:
            said = words.takes_nothing(self.held(sides[giver]))
        sent = function_of(before["held"][giver])[row] if now != was else sides[giver]
        arrow = Arrow(number, lane(giver), self.value(sent))
        return Told(lane(taker), words.of_row(said, row), [arrow], mark=self.value(now))

    def succeeded(self, number: int, key: int) -> Told:
        before, after = self.both(number)
        if new := after["succeeded"][0] - before["succeeded"][0]:
            (r,) = new
            return Told(lane(r), words.succeeded(after["with"][r]), kind="step")
        (r,) = before["succeeded"][0] - after["succeeded"][0]
        return self.begins(number, r)

    def closed(self, number: int, key: int) -> Told:
        before, after = self.both(number)
        said = f"{handoff_words.proposes(self.floor)}; {handoff_words.close(list(after['held']))}"
        if dropped := [r for r in after["held"] if before["with"][r] and not after["with"][r]]:
            said += f"; {words.begun_again(dropped)}"
        arrows = [Arrow(number, lane(r), "closed") for r in after["held"]]
        return Told(handoff_words.CATALOG, said, arrows, mark=str(self.floor))

    def converged(self, number: int, key: int) -> Told:
        before, after = self.both(number)
        (r,) = after["converged"][0] - before["converged"][0]
        others = [q for q in after["held"] if q != r]
        arrows = [
            Arrow(number, lane(q), self.value(max(function_of(before["held"][q]).values()))) for q in others
        ]
        said = f"{handoff_words.merges_past(others)}; {handoff_words.converges()}"
        return Told(lane(r), said, arrows)

    def settled(self, number: int, key: int) -> Told:
        before, after = self.both(number)
        (r,) = after["settled"][0] - before["settled"][0]
        return Told(lane(r), handoff_words.settle([r], r), kind="step")

    def stable(self, number: int, r: int) -> Told:
        _, after = self.both(number)
        return Told(lane(r), words.rises(after["stable"][r]), kind="step", mark=str(after["stable"][r]))

    def hashed(self, number: int, r: int) -> Told:
        before, after = self.both(number)
        was, now = function_of(before["shown"][r]), function_of(after["shown"][r])
        return Told(lane(r), words.hashes(w for w in now if now[w] != was[w]), kind="step")

    def store(self, number: int, r: int) -> Told:
        before, after = self.both(number)
        was, now = function_of(before["held"][r]), function_of(after["held"][r])
        row = next(row for row in now if now[row] != was[row])
        if not now[row]:
            return Told(lane(r), words.purges(), kind="step")
        what = self.value(now[row])
        told = Told(lane(r), words.of_row(quorum_words.stores(self.held(now[row])), row), mark=what)
        if now[row] in self.sent:
            told.arrows.append(Arrow(self.sent[now[row]], words.CLIENTS, what))
        return told

    def changes(self, number: int) -> Iterable[Change]:
        """Of what replicas hold and show, and of windows whose digests lag behind."""
        before, after = self.both(number)
        for name, says in (("held", "holds"), ("entry", "shows")):
            for r in changed_in(before, after, name):
                was, now = function_of(before[name][r]), function_of(after[name][r])
                for row in now:
                    if now[row] != was[row]:
                        where = lane(r) if row == 1 else f"{lane(r)}, row {row}"
                        yield Change(f"{says}[{where}]", self.held(was[row]), self.held(now[row]))
        for r in changed_in(before, after, "dirty"):
            lagging = (_numbers(state["dirty"][r]) for state in (before, after))
            yield Change(f"{words.TO_HASH}[{lane(r)}]", *lagging)

    # --- the end --------------------------------------------------------------------------------------------

    def verdict(self, promise: str) -> str:
        """What the last state breaks, in one sentence; empty for a run that breaks nothing."""
        if not self.states or promise not in _VERDICTS:
            return ""
        return next(_VERDICTS[promise](self, self.states[-1], promise), "")

    def through(self, state: State, promise: str) -> Iterable[str]:
        for r in sorted(state["succeeded"][0]):
            sides = (r, state["with"][r])
            for x, y, row in (
                (x, y, row) for x in sides for y in sides for row in function_of(state["held"][r])
            ):
                showed = self.shown(state, r, x, row)
                if self.effective(state, y, row) < showed:
                    yield words.missed(x, y, words.of_row(self.held(showed), row), "", promise)
                elif function_of(state["entry"][y])[row] < showed and not (
                    state["settled"][0] and showed <= self.floor
                ):
                    yield words.shows_less(y, words.of_row(self.held(showed), row), promise)

    def same(self, state: State, promise: str) -> Iterable[str]:
        for r, q in ((r, q) for r in state["held"] for q in state["held"]):
            if state["shown"][r] != state["shown"][q] or state["stable"][r] != state["stable"][q]:
                continue
            for row, version in function_of(state["held"][r]).items():
                if self.effective(state, q, row) < version <= state["stable"][r]:
                    yield words.unseen(r, q, words.of_row(self.held(version), row), promise)

    def told(self, state: State, promise: str) -> Iterable[str]:
        """In which window an entry is that no window tells, the state does not say."""
        for r in state["held"]:
            shows = {item for item in function_of(state["entry"][r]).items() if item[1]}
            told = function_of(state["shown"][r])
            for window, content in told.items():
                for row, version in sorted(content - shows):
                    if window not in state["dirty"][r]:
                        what = words.of_row(self.held(version), row)
                        yield words.tells_still(r, window, what, promise)
            if not state["dirty"][r]:
                for row, version in sorted(shows.difference(*told.values())):
                    yield words.tells_without(r, words.of_row(self.held(version), row), promise)

    def agree(self, state: State, promise: str) -> Iterable[str]:
        settled = sorted(state["settled"][0])
        for r, q in ((r, q) for r in settled for q in settled):
            for row, version in function_of(state["held"][r]).items():
                theirs = function_of(state["held"][q])[row]
                is_past = 0 < version < self.floor and theirs < self.floor
                if is_past and theirs != version and version not in self.deletes:
                    yield handoff_words.disagree(r, words.of_row(self.held(version), row), q, promise)

    def past(self, state: State, promise: str) -> Iterable[str]:
        settled = sorted(state["settled"][0])
        for r, q in ((r, q) for r in settled for q in settled):
            for row, entry in function_of(state["entry"][r]).items():
                theirs = function_of(state["held"][q])[row]
                if 0 < entry < self.floor and theirs < self.floor and theirs != entry:
                    what = words.of_row(self.held(entry), row)
                    yield words.shows_past(r, what, self.floor, q, self.held(theirs), promise)


def _numbers(found: Iterable[int]) -> str:
    return words.windows(found) if found else quorum_words.NOTHING


_VERDICTS: Mapping[str, Callable[[_Teller, State, str], Any]] = {
    "Through": _Teller.through,
    "SameIsSame": _Teller.same,
    "ToldIsTrue": _Teller.told,
    "SettledAgree": _Teller.agree,
    "ShownPastAgrees": _Teller.past,
}
_TELLERS: Mapping[str, Callable[[_Teller, int, int], Told]] = {
    "crashed": _Teller.crashed,
    "written": _Teller.written,
    "closed": _Teller.closed,
    "converged": _Teller.converged,
    "settled": _Teller.settled,
    "snapshot": _Teller.snapshot,
    "with": _Teller.snapshot,
    "windows": _Teller.windows,
    "rows": _Teller.rows,
    "succeeded": _Teller.succeeded,
    "stable": _Teller.stable,
    "shown": _Teller.hashed,
    "held": _Teller.store,
}
"""By variable: what tells a step that changed it; the first that changed says what the step was."""
