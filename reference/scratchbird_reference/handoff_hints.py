"""What a coordinator owes to the targets of its writes, as a state machine without input or output.

``HintKeeper(rules).step(state, event)`` returns the next state and the effects to carry out. It stands beside
the coordinator of :mod:`scratchbird_reference.quorum_coordinator`: that one's ``StoreIntent`` becomes
:class:`Owe`, and :class:`Kept` becomes its ``IntentStored``. What changed in ``state.durable`` must be
durable before an effect is carried out; events, effects and state stand in
:mod:`scratchbird_reference.handoff_account`.

Why the account is balanced in every state: a write names every target, or leaves it out under a mark that is
open. Whatever is dropped is dropped under such a mark. A mark is closed only when no write is open that was
left out or dropped under it, so that whatever such a write was acknowledged for is at a write quorum by then,
and an exchange that begins later with so many others finds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from scratchbird_reference.errors import CallerError
from scratchbird_reference.handoff import Rules
from scratchbird_reference.handoff_account import (
    Acknowledged,
    Adopt,
    Crash,
    Drop,
    Effects,
    Ended,
    Erased,
    Event,
    ExchangeBegun,
    Exchanged,
    GiveUp,
    Hint,
    KeepAgain,
    Kept,
    Mark,
    MayDrop,
    MoveBegun,
    MoveDone,
    Open,
    Owe,
    Pace,
    Place,
    Refused,
    Repair,
    SendHint,
    State,
    TargetLostDisk,
    Tick,
    Unreadable,
    Volatile,
)
from scratchbird_reference.quorum_messages import MAX_VERSION, check_row, check_version
from scratchbird_reference.uuid8 import check_range


@dataclass(frozen=True, slots=True)
class HintKeeper:
    """A coordinator's account under these rules. It holds no state."""

    rules: Rules = field(default_factory=Rules)

    def step(self, state: State, event: Event) -> tuple[State, Effects]:
        """Take one step.

        :raises CallerError: if the event is impossible in this state, or holds a value that is out of range.
            The state is then unchanged.
        """
        match event:
            case Owe():
                return self._owe(state, event)
            case Ended():
                return self._ended(state, event.operation)
            case Acknowledged():
                return self._acknowledged(state, event), ()
            case Refused():
                return self._refused(state, event), ()
            case Tick():
                return self._tick(state, event.now_ns)
            case GiveUp():
                places = {hint.place for hint in state.durable.hints if hint.target == event.target}
                return self._give_up(state, places)
            case Drop():
                return self._drop(state, event.place), ()
            case KeepAgain():
                return self._keep_again(state, event.place)
            case ExchangeBegun():
                return self._begun(state, event), ()
            case Exchanged():
                return self._exchanged(state, event), ()
            case TargetLostDisk():
                return self._lost_disk(state, event.target), ()
            case MoveBegun():
                return self._move_begun(state, event)
            case MoveDone():
                return self._move_done(state, event.place), ()
            case Erased():
                return self._erased(state, event), ()
            case Unreadable():
                return self._owe_repairs(state, {event.place})
            case Adopt():
                return self._adopt(state, event), ()
        assert isinstance(event, Crash)
        return self._crash(state)

    # --- writes -------------------------------------------------------------------------------------------

    def _owe(self, state: State, event: Owe) -> tuple[State, Effects]:
        """Name all targets but those that are given up, in one durable step (rules HANDOFF.R2, HANDOFF.R5).

        A write that is repeated under its version (QUORUM.R9) may find hints of its own: they stay.
        """
        intent = event.intent
        check_range("operation", event.operation, 0, MAX_VERSION)
        check_row(intent.row)
        check_version(intent.held.version)
        if event.operation in dict(state.volatile.writes):
            raise CallerError(f"operation {event.operation} is open already: number each of them anew")
        targets = self._with_newcomers(state, event.shard, intent.targets)
        left_out = frozenset(target for target in targets if self._is_given_up(state, (target, event.shard)))
        there = {hint.key for hint in state.durable.hints}
        hints = tuple(
            hint
            for target in sorted(targets - left_out)
            if (hint := Hint(target, event.shard, intent.row, intent.held, event.now_ns)).key not in there
        )
        durable = replace(
            state.durable,
            hints=(*state.durable.hints, *hints),
            least_write_quorum=_least(state.durable.least_write_quorum, state.setting.write_quorum),
        )
        opened = Open(event.shard, intent.row, intent.held, event.now_ns, targets, left_out)
        volatile = replace(state.volatile, writes=(*state.volatile.writes, (event.operation, opened)))
        return replace(state, durable=durable, volatile=volatile), (Kept(event.operation),)

    def _is_given_up(self, state: State, place: Place) -> bool:
        mark = _mark(state, place)
        is_open = mark is not None and mark.is_open
        return self.rules.is_given_up(is_open, place in state.volatile.coming_back)

    def _ended(self, state: State, operation: int) -> tuple[State, Effects]:
        writes = dict(state.volatile.writes)
        if writes.pop(operation, None) is None:
            return state, ()  # It was open when the process ended, or it never came so far.
        state = replace(state, volatile=replace(state.volatile, writes=tuple(writes.items())))
        return self._close_marks(_settled(state))

    def _acknowledged(self, state: State, event: Acknowledged) -> State:
        """Whatever the target is owed of this row up to this version is paid (rule HANDOFF.R3)."""
        check_range("version", event.version, 0, MAX_VERSION)
        of_the_row = {
            hint.key
            for hint in state.durable.hints
            if (hint.target, hint.row) == (event.target, event.row)
            and self.rules.is_paid(event.version, hint.held.version)
        }
        if any(
            (target, row) == (event.target, event.row) for (target, row, _), _ in state.volatile.under_way
        ):
            state = self._answered(state, event.target)
        return _without(state, of_the_row)

    def _answered(self, state: State, target: int) -> State:
        """A hint was answered in time (rule HANDOFF.R4)."""
        pace = self._pace(state, target)
        faster = self.rules.after_answer(pace.interval_ns, self.rules.interval_ns(state.limits))
        return _with_pace(state, target, replace(pace, interval_ns=faster))

    def _refused(self, state: State, event: Refused) -> State:
        """What it does not take waits, and does not stand in the way of what it takes (rule HANDOFF.R4).

        It is not paid: the target may lack it until it has converged (HANDOFF.R10). When all have, it is.
        """
        check_version(event.closed)
        closed = dict(state.volatile.closed)
        closed[event.place] = max(event.closed, closed.get(event.place, 0))
        waits = {
            hint.key
            for hint in state.durable.hints
            if hint.place == event.place and self.rules.waits_below(closed[event.place], hint.held.version)
        }
        under_way = tuple(item for item in state.volatile.under_way if item[0] not in waits)
        if under_way != state.volatile.under_way:
            state = self._answered(state, event.place[0])
        volatile = replace(state.volatile, closed=tuple(sorted(closed.items())), under_way=under_way)
        return replace(state, volatile=volatile)

    # --- delivery -----------------------------------------------------------------------------------------

    def _tick(self, state: State, now_ns: int) -> tuple[State, Effects]:
        state = self._silence(state, now_ns)
        state, dropped = self._give_up(state, self._too_much(state, now_ns))
        effects: Effects = ()
        for target in sorted({hint.target for hint in state.durable.hints}):
            state, sent = self._deliver(state, target, now_ns)
            effects += sent
        return state, dropped + effects

    def _silence(self, state: State, now_ns: int) -> State:
        """A target that did not answer in time is sent less: once in a tick, whatever it did not answer."""
        volatile, within = state.volatile, state.limits.answer_within_ns
        late = {key for key, sent_ns in volatile.under_way if not 0 <= now_ns - sent_ns <= within}
        left = tuple(item for item in volatile.under_way if item[0] not in late)
        state = replace(state, volatile=replace(volatile, under_way=left))
        for target in {target for target, _, _ in late}:
            pace = self._pace(state, target)
            slower = self.rules.after_silence(pace.interval_ns)
            state = _with_pace(state, target, replace(pace, interval_ns=slower, due_ns=now_ns + slower))
        return state

    def _deliver(self, state: State, target: int, now_ns: int) -> tuple[State, Effects]:
        """What is due by now, one shard after the other, in each the oldest first (rule HANDOFF.R4).

        A write that is open is under way to its targets already.
        """
        pace = self._pace(state, target)
        pace = replace(pace, due_ns=self.rules.due_ns(pace.due_ns, now_ns))
        under_way = dict(state.volatile.under_way)
        opened = {(write.row, write.held.version) for _, write in state.volatile.writes}
        closed = dict(state.volatile.closed)
        waiting: dict[int, list[Hint]] = {}
        for hint in state.durable.hints:
            if hint.target != target or hint.key in under_way or hint.key[1:] in opened:
                continue
            if not self.rules.waits_below(closed.get(hint.place, 0), hint.held.version):
                waiting.setdefault(hint.shard, []).append(hint)
        room = state.limits.most_under_way - sum(key[0] == target for key in under_way)
        sent: list[Hint] = []
        while waiting and room > len(sent) and pace.due_ns <= now_ns:
            shard = min((shard for shard in waiting if shard > pace.shard), default=min(waiting))
            sent.append(waiting[shard].pop(0))
            if not waiting[shard]:
                del waiting[shard]
            pace = replace(pace, due_ns=pace.due_ns + pace.interval_ns, shard=shard)
        under_way.update((hint.key, now_ns) for hint in sent)
        state = _with_pace(state, target, pace)
        state = replace(state, volatile=replace(state.volatile, under_way=tuple(under_way.items())))
        return state, tuple(SendHint(hint) for hint in sent)

    def _pace(self, state: State, target: int) -> Pace:
        return dict(state.volatile.paces).get(target, Pace(self.rules.interval_ns(state.limits), 0))

    # --- giving up ----------------------------------------------------------------------------------------

    def _too_much(self, state: State, now_ns: int) -> set[Place]:
        """For whom more is kept than the limits allow (rule HANDOFF.R5)."""
        kept: dict[Place, list[Hint]] = {}
        for hint in state.durable.hints:
            kept.setdefault(hint.place, []).append(hint)
        return {
            place
            for place, hints in kept.items()
            if self.rules.is_too_much(
                state.limits,
                len(hints),
                sum(hint.size for hint in hints),
                max(now_ns - hint.since_ns for hint in hints),
            )
        }

    def _give_up(self, state: State, places: Iterable[Place]) -> tuple[State, Effects]:
        """Open a mark for each; when that is durable, their hints may go (rule HANDOFF.R5)."""
        places = sorted(places)
        marks = {**dict(state.durable.marks), **dict.fromkeys(places, Mark())}
        least = state.durable.least_write_quorum or (state.setting.write_quorum if places else 0)
        volatile = replace(
            state.volatile,
            coming_back=state.volatile.coming_back - set(places),
            exchanges=tuple(item for item in state.volatile.exchanges if item[0] not in places),
        )
        durable = replace(state.durable, marks=_sorted(marks), least_write_quorum=least)
        return replace(state, durable=durable, volatile=volatile), tuple(map(MayDrop, places))

    def _drop(self, state: State, place: Place) -> State:
        """The writes that are open and lose their hint are covered by the mark, as those that have none."""
        mark = _mark(state, place)
        if not self.rules.may_drop(mark is not None and mark.is_open):
            return state  # It was closed or paid meanwhile: what is kept is delivered.
        target, shard = place
        dropped = {hint.key for hint in state.durable.hints if hint.place == place}
        state = _without(state, dropped)
        writes = tuple(
            (operation, replace(open_, left_out=open_.left_out | {target}))
            if open_.shard == shard and (target, open_.row, open_.held.version) in dropped
            else (operation, open_)
            for operation, open_ in state.volatile.writes
        )
        return replace(state, volatile=replace(state.volatile, writes=writes))

    def _keep_again(self, state: State, place: Place) -> tuple[State, Effects]:
        mark = _mark(state, place)
        if mark is None or not mark.is_open:
            return state, ()
        coming_back = state.volatile.coming_back | {place}
        return self._close_marks(replace(state, volatile=replace(state.volatile, coming_back=coming_back)))

    def _close_marks(self, state: State) -> tuple[State, Effects]:
        """Close each mark whose target is back, and under which no write is open (rule HANDOFF.R5)."""
        closed = [
            (target, shard)
            for target, shard in sorted(state.volatile.coming_back)
            if self.rules.may_close(
                sum(open_.shard == shard and target in open_.left_out for _, open_ in state.volatile.writes)
            )
        ]
        marks = {**dict(state.durable.marks), **dict.fromkeys(closed, Mark(is_open=False))}
        volatile = replace(state.volatile, coming_back=state.volatile.coming_back - set(closed))
        durable = replace(state.durable, marks=_sorted(marks))
        return replace(state, durable=durable, volatile=volatile), tuple(map(Repair, closed))

    # --- paying by exchange -------------------------------------------------------------------------------

    def _begun(self, state: State, event: ExchangeBegun) -> State:
        """What counts is the mark as it was when the exchange began (rule HANDOFF.R6)."""
        self._check_other(state, event)
        mark = _mark(state, event.place)
        if mark is None:
            return state
        others = tuple(item for item in state.volatile.exchanges if item[:2] != (event.place, event.other))
        exchanges = (*others, (event.place, event.other, not mark.is_open))
        return replace(state, volatile=replace(state.volatile, exchanges=exchanges))

    def _exchanged(self, state: State, event: Exchanged) -> State:
        self._check_other(state, event)
        began = [item for item in state.volatile.exchanges if item[:2] == (event.place, event.other)]
        left = tuple(item for item in state.volatile.exchanges if item not in began)
        state = replace(state, volatile=replace(state.volatile, exchanges=left))
        mark = _mark(state, event.place)
        if mark is None or mark.is_open or not any(self.rules.counts_for_a_mark(item[2]) for item in began):
            return state
        marks = dict(state.durable.marks)
        heard = mark.heard | {event.other}
        marks[event.place] = replace(mark, heard=heard)
        if self.rules.pays(state.setting.size, state.durable.least_write_quorum, len(heard)):
            del marks[event.place]
        return _settled(replace(state, durable=replace(state.durable, marks=_sorted(marks))))

    def _check_other(self, state: State, event: ExchangeBegun | Exchanged) -> None:
        others = set(state.setting.replicas) - {event.place[0]}
        if event.other not in others:
            raise CallerError(f"replica {event.other} is none of the others: {sorted(others)}")

    # --- targets and shards that change -------------------------------------------------------------------

    def _lost_disk(self, state: State, target: int) -> State:
        marks = {
            place: replace(mark, heard=frozenset()) if place[0] == target else mark
            for place, mark in state.durable.marks
        }
        exchanges = tuple(item for item in state.volatile.exchanges if item[0][0] != target)
        return replace(
            state,
            durable=replace(state.durable, marks=_sorted(marks)),
            volatile=replace(state.volatile, exchanges=exchanges),
        )

    def _with_newcomers(self, state: State, shard: int, targets: frozenset[int]) -> frozenset[int]:
        """And who takes the place of one of them (rule HANDOFF.R7)."""
        return targets | {
            newcomer for place, newcomer in state.durable.moves if place[1] == shard and place[0] in targets
        }

    def _move_begun(self, state: State, event: MoveBegun) -> tuple[State, Effects]:
        """The newcomer is owed what the target is: hints, mark, and every write that is open.

        Also one that the target has acknowledged: the newcomer may copy from it what it held before.
        """
        place, newcomer = event.place, event.newcomer
        target, shard = place
        moves = dict(state.durable.moves)
        if newcomer == target or moves.get(place, newcomer) != newcomer:
            raise CallerError(
                f"newcomer {newcomer}: the place of target {target} in shard {shard} is taken by "
                f"{moves.get(place, 'another one')}"
            )
        if place in moves:
            return state, ()  # The catalog said so before.
        there = {hint.key for hint in state.durable.hints}
        hints = [replace(hint, target=newcomer) for hint in state.durable.hints if hint.place == place]
        writes = []
        for operation, open_ in state.volatile.writes:
            if open_.shard == shard and target in open_.targets:
                hints.append(Hint(newcomer, shard, open_.row, open_.held, open_.since_ns))
                open_ = replace(open_, targets=open_.targets | {newcomer})
            writes.append((operation, open_))
        new = {hint.key: hint for hint in hints if hint.key not in there}
        durable = replace(
            state.durable,
            hints=(*state.durable.hints, *new.values()),
            moves=tuple(sorted({**moves, place: newcomer}.items())),
        )
        state = replace(state, durable=durable, volatile=replace(state.volatile, writes=tuple(writes)))
        return self._owe_repairs(state, {(newcomer, shard)} if _mark(state, place) is not None else set())

    def _move_done(self, state: State, place: Place) -> State:
        """A coordinator that learns of this before it learned of the move has to take that step first."""
        moves = dict(state.durable.moves)
        if moves.pop(place, None) is None:
            raise CallerError(f"target {place[0]} is not leaving shard {place[1]}: deliver MoveBegun first")
        durable = replace(
            state.durable,
            moves=tuple(sorted(moves.items())),
            marks=tuple(item for item in state.durable.marks if item[0] != place),
        )
        volatile = replace(
            state.volatile,
            coming_back=state.volatile.coming_back - {place},
            exchanges=tuple(item for item in state.volatile.exchanges if item[0] != place),
            writes=tuple(
                (operation, _without_target(open_, place)) for operation, open_ in state.volatile.writes
            ),
        )
        state = replace(state, durable=durable, volatile=volatile)
        return _without(state, {hint.key for hint in state.durable.hints if hint.place == place})

    def _owe_repairs(self, state: State, places: set[Place]) -> tuple[State, Effects]:
        """Marks for targets that are up: hints are kept as before, and what they hold stays."""
        state, _ = self._give_up(state, places)
        coming_back = state.volatile.coming_back | places
        return self._close_marks(replace(state, volatile=replace(state.volatile, coming_back=coming_back)))

    def _erased(self, state: State, event: Erased) -> State:
        """Nobody is owed what is at or below this version: such a hint is paid, whenever it was made."""
        check_version(event.version)
        return _without(
            state,
            {
                hint.key
                for hint in state.durable.hints
                if hint.shard == event.shard and self.rules.is_paid(event.version, hint.held.version)
            },
        )

    def _adopt(self, state: State, event: Adopt) -> State:
        """What may be lacking was acknowledged by the least write quorum of all since (rule HANDOFF.R6)."""
        if event.setting.epoch <= state.setting.epoch:
            raise CallerError(
                f"epoch {event.setting.epoch} is not above {state.setting.epoch}: a setting never comes back"
            )
        least = state.durable.least_write_quorum
        if least:
            least = _least(least, event.setting.write_quorum)
        durable = replace(state.durable, least_write_quorum=least)
        return replace(state, setting=event.setting, durable=durable)

    def _crash(self, state: State) -> tuple[State, Effects]:
        """Marks that were open are open, and their hints may still be there: they may go as before."""
        state = _settled(replace(state, volatile=Volatile()))
        kept = {hint.place for hint in state.durable.hints}
        return state, tuple(
            MayDrop(place) for place, mark in state.durable.marks if mark.is_open and place in kept
        )


def _mark(state: State, place: Place) -> Mark | None:
    return dict(state.durable.marks).get(place)


def _sorted(marks: dict[Place, Mark]) -> tuple[tuple[Place, Mark], ...]:
    return tuple(sorted(marks.items(), key=lambda item: item[0]))


def _least(so_far: int, write_quorum: int) -> int:
    return min(so_far, write_quorum) if so_far else write_quorum


def _with_pace(state: State, target: int, pace: Pace) -> State:
    paces = {**dict(state.volatile.paces), target: pace}
    return replace(state, volatile=replace(state.volatile, paces=tuple(sorted(paces.items()))))


def _without(state: State, keys: set[tuple[int, int, int]]) -> State:
    durable = replace(
        state.durable, hints=tuple(hint for hint in state.durable.hints if hint.key not in keys)
    )
    under_way = tuple(item for item in state.volatile.under_way if item[0] not in keys)
    return _settled(replace(state, durable=durable, volatile=replace(state.volatile, under_way=under_way)))


def _without_target(open_: Open, place: Place) -> Open:
    target, shard = place
    if open_.shard != shard:
        return open_
    return replace(open_, targets=open_.targets - {target}, left_out=open_.left_out - {target})


def _settled(state: State) -> State:
    """Where nothing is owed and nothing is open, the write quorums of the past do not matter any more."""
    durable = state.durable
    if durable.hints or durable.marks or state.volatile.writes:
        return state
    return replace(state, durable=replace(durable, least_write_quorum=0))
