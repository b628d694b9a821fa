"""The wrong rules of linearizable mode, each refuted twice.

First by proof: with the wrong rule, the invariant is no longer kept. That alone could be the fault of an
invariant that says too much. So then by a run from the beginning, of a few replicas, in which an operation
has a lower version than one that replied before it was invoked. The kinds of steps are given; the solver
finds N, W, R, which replica does what, and which versions are stamped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import z3

from scratchbird_proofs import quorum_invariant
from scratchbird_proofs.quorum_system import (
    SET,
    Event,
    Quorums,
    Rules,
    State,
    any_event,
    any_quorums,
    any_state,
    at,
    initial,
    nobody,
)
from scratchbird_proofs.quorum_variants import (
    AsynchronousRepair,
    DisjointQuorums,
    EmptyReplicaVotes,
    OneRound,
    OnlineChange,
    Rollback,
    SettledAtHittingSet,
    WritesBackOnlyWhenAnswersDisagree,
)
from scratchbird_proofs.refutation import Found, Refutation, only
from scratchbird_proofs.theorem import TIMEOUT_MS, Formula, Term, Theorem

MOST = 5
"""The largest N of a run."""


# --- runs -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sizes:
    """N, W and R of a run; and W and R after a change."""

    n: Term
    w: Term
    r: Term
    w_later: Term
    r_later: Term

    def at_least(self, number: Term) -> Callable[[Term], Formula]:
        """Whether a set has so many replicas."""

        def counted(members: Term) -> Formula:
            each = (z3.And(place < self.n, at(members, z3.IntVal(place))) for place in range(MOST))
            return z3.Sum([z3.If(member, 1, 0) for member in each]) >= number

        return counted

    @property
    def now(self) -> Quorums:
        """By W and R."""
        return Quorums(self.at_least(self.r), self.at_least(self.w))

    @property
    def later(self) -> Quorums:
        """By W and R after the change."""
        return Quorums(self.at_least(self.r_later), self.at_least(self.w_later))

    @property
    def seen(self) -> Quorums:
        """Enough holders are N - R + 1."""
        return Quorums(self.at_least(self.r), self.at_least(self.n - self.r + 1))

    def sound(self) -> Formula:
        """Each setting is well formed, and sound for itself."""
        pairs = ((self.w, self.r), (self.w_later, self.r_later))
        each = (z3.And(w >= 1, w <= self.n, r >= 1, r <= self.n, w + r > self.n) for w, r in pairs)
        return z3.And(self.n >= 1, self.n <= MOST, *each)


SIZES = Sizes(*z3.Ints("N W R W_later R_later"))


@dataclass(frozen=True, slots=True)
class FoundStep:
    """One step of a run that was found."""

    kind: str
    op: int
    replica: int
    version: int


@dataclass(frozen=True, slots=True)
class FoundStory(Found):
    """A run in which the last operation is behind what was settled before it was invoked."""

    sizes: tuple[int, int, int]
    """(N, W, R)"""
    later: tuple[int, int]
    """(W, R) after a change; as before if there is none."""
    steps: tuple[FoundStep, ...]
    settled: int
    """What an operation had replied, when the last one was invoked."""
    version: int
    """The version of the last operation, which is too low."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Which kinds of steps, in which order: ``begin 0``, of operation 0."""

    writes: tuple[bool, ...]
    steps: str
    sizes: Formula
    """What is asked of N, W and R, beside ``sound``."""
    sound: Formula = field(default_factory=SIZES.sound)
    """Each setting is well formed and W + R > N; only what refutes W + R = N says something else."""


def search(scenario: Scenario, rules: Rules, sound: Formula) -> FoundStory | None:
    """A run of the scenario that goes wrong in its last operation, or ``None``."""
    plan = [(kind, int(op)) for kind, op in (step.split() for step in scenario.steps.split(", "))]
    state = any_state()
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    small = [z3.IntVal(number) for number in range(MOST)]
    solver.add(sound, scenario.sizes, *(nobody(number) for number in small))
    ops = [z3.IntVal(op) for op in range(len(scenario.writes))]
    solver.add(*(initial(state, *each) for each in product(ops, small, small)))
    solver.add(*(at(state.writes, op) == wanted for op, wanted in zip(ops, scenario.writes, strict=True)))
    events: list[Event] = []
    for number, (kind, op) in enumerate(plan):
        event = any_event(str(number))
        step = rules.step(kind, state, event)
        places = z3.And(event.replica >= 0, event.replica < SIZES.n, event.version >= 0, event.version < MOST)
        solver.add(event.op == op, places, step.possible)
        if kind == "recover":
            solver.add(event.version < SIZES.n)
        events.append(event)
        state = step.after
    solver.add(_too_low(state, ops[-1]))
    if solver.check() != z3.sat:
        return None
    return _found(solver.model(), plan, events, state, ops[-1])


def _too_low(s: State, op: Term) -> Formula:
    mine, start = at(s.version, op), at(s.start, op)
    return z3.And(at(s.chosen, op), z3.If(at(s.writes, op), mine <= start, mine < start))


def number_in(model: z3.ModelRef, term: Term) -> int:
    """What a number is in a model; any, if the model leaves it open."""
    return int(str(model.eval(term, model_completion=True)))


def _found(
    model: z3.ModelRef, plan: Sequence[tuple[str, int]], events: Sequence[Event], s: State, op: Term
) -> FoundStory:
    number = partial(number_in, model)
    steps = tuple(
        FoundStep(kind, op, number(event.replica), number(event.version))
        for (kind, op), event in zip(plan, events, strict=True)
    )
    return FoundStory(
        (number(SIZES.n), number(SIZES.w), number(SIZES.r)),
        (number(SIZES.w_later), number(SIZES.r_later)),
        steps,
        number(at(s.start, op)),
        number(at(s.version, op)),
    )


# --- scenarios --------------------------------------------------------------------------------------------


def _all(op: int, kind: str, times: int) -> str:
    return ", ".join([f"{kind} {op}"] * times)


def _hears(op: int, times: int) -> str:
    return ", ".join([f"answer {op}, hear {op}"] * times)


def _holds(op: int, times: int) -> str:
    return ", ".join([f"apply {op}, count {op}"] * times)


def _same() -> Formula:
    return z3.And(SIZES.w_later == SIZES.w, SIZES.r_later == SIZES.r)


def _of(n: int, w: int, r: int) -> Formula:
    return z3.And(SIZES.n == n, SIZES.w == w, SIZES.r == r)


def _write(op: int, answers: int, holders: int) -> str:
    return f"begin {op}, {_hears(op, answers)}, stamp {op}, {_holds(op, holders)}, reply {op}"


def _read(op: int, answers: int) -> str:
    return f"begin {op}, {_hears(op, answers)}, find {op}"


_UNFINISHED = f"begin 0, {_hears(0, 2)}, stamp 0"
_THREE = z3.And(_same(), _of(3, 2, 2))
_RULES: dict[str, Callable[[Quorums, Quorums, Quorums], Rules]] = {
    "one_round": lambda now, later, seen: OneRound(now),
    "asynchronous_repair": lambda now, later, seen: AsynchronousRepair(now),
    "write_back_when_answers_disagree": lambda now, later, seen: WritesBackOnlyWhenAnswersDisagree(now),
    "disjoint_quorums": lambda now, later, seen: DisjointQuorums(now),
    "online_change": lambda now, later, seen: OnlineChange(now, later),
    "empty_replica_votes": lambda now, later, seen: EmptyReplicaVotes(now),
    "rollback": lambda now, later, seen: Rollback(now),
    "settled_at_hitting_set": lambda now, later, seen: SettledAtHittingSet(now, seen),
}
SCENARIOS = {
    "one_round": Scenario(
        (True, True), f"begin 0, stamp 0, {_holds(0, 2)}, reply 0, begin 1, stamp 1", _THREE
    ),
    "asynchronous_repair": Scenario(
        (True, False, False), f"{_UNFINISHED}, apply 0, {_read(1, 2)}, reply 1, {_read(2, 2)}", _THREE
    ),
    "write_back_when_answers_disagree": Scenario(
        (True, False, False),
        f"{_UNFINISHED}, {_all(0, 'apply', 2)}, {_read(1, 2)}, {_all(1, 'count', 2)}, reply 1, {_read(2, 2)}",
        z3.And(_same(), _of(4, 3, 2)),
    ),
    "disjoint_quorums": Scenario(
        (True, False),
        f"{_write(0, 2, 2)}, {_read(1, 2)}",
        z3.And(_same(), _of(4, 2, 2)),
        z3.And(SIZES.w + SIZES.r == SIZES.n, SIZES.n <= MOST),
    ),
    "online_change": Scenario(
        (True, False, False),
        f"{_write(0, 3, 2)}, {_read(2, 2)}",
        z3.And(_of(4, 2, 3), SIZES.w_later == 3, SIZES.r_later == 2),
    ),
    "empty_replica_votes": Scenario((True, False), f"{_write(0, 2, 2)}, lose 1, {_read(1, 2)}", _THREE),
    "rollback": Scenario(
        (True, False, False),
        f"{_UNFINISHED}, {_all(0, 'apply', 2)}, {_read(1, 2)}, {_all(1, 'count', 2)}, reply 1, "
        f"{_all(0, 'undo', 2)}, {_read(2, 2)}",
        _THREE,
    ),
    "settled_at_hitting_set": Scenario(
        (True, False, False),
        f"{_UNFINISHED}, {_all(0, 'apply', 2)}, {_read(1, 2)}, {_all(1, 'count', 2)}, reply 1, "
        f"recover 2, {_read(2, 2)}",
        z3.And(_same(), _of(3, 3, 2)),
    ),
}


# --- the refutations --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WrongRule:
    """A wrong rule of linearizable mode."""

    statement: str
    """What goes wrong, in one sentence."""
    properties: tuple[str, ...]
    """The promise that it breaks, and others that it is evidence for."""
    breaks: str
    """The obligation of ``quorum.invariant_is_kept`` that fails."""
    rules: Callable[[Quorums, Quorums, Quorums], Rules]
    """The wrong rule, given what is enough: now, after a change, and to be seen by every read."""
    scenario: Scenario

    def fails(self) -> Theorem:
        """The obligation that holds of the right rules, stated of the wrong one."""
        later = Quorums(*(z3.Function(f"{name}_later", *_PREDICATE) for name in ("reads", "holds")))
        seen = Quorums(any_quorums().reads, z3.Function("are_seen", *_PREDICATE))
        stated = quorum_invariant.theorems(self.rules(any_quorums(), later, seen))
        return only("quorum.invariant_is_kept", self.breaks, stated)

    def find(self, sound: Formula | None = None) -> FoundStory | None:
        """A run in which the promise is broken."""
        rules = self.rules(SIZES.now, SIZES.later, SIZES.seen)
        return search(self.scenario, rules, self.scenario.sound if sound is None else sound)


_PREDICATE = (SET, z3.BoolSort())
_ABOVE = "a version is above what was settled"
_FENCES, _HELD = "what replied is held by enough", "those hold what is settled"


WRONG: Mapping[str, WrongRule] = {
    "one_round": WrongRule(
        "A write that asks nobody takes a version that is not above one that replied before.",
        ("QRM-2", "QRM-13"),
        f"stamp: {_ABOVE}",
        _RULES["one_round"],
        SCENARIOS["one_round"],
    ),
    "asynchronous_repair": WrongRule(
        "A read that replies at R answers shows a version that the next read misses.",
        ("QRM-3", "QRM-13"),
        f"reply: {_FENCES}",
        _RULES["asynchronous_repair"],
        SCENARIOS["asynchronous_repair"],
    ),
    "write_back_when_answers_disagree": WrongRule(
        "Where 2R <= N, R answers that agree are missed by the next read.",
        ("QRM-3",),
        f"reply: {_FENCES}",
        _RULES["write_back_when_answers_disagree"],
        SCENARIOS["write_back_when_answers_disagree"],
    ),
    "disjoint_quorums": WrongRule(
        "Where W + R = N, a read can miss a write that replied.",
        ("QRM-1",),
        f"find: {_ABOVE}",
        _RULES["disjoint_quorums"],
        SCENARIOS["disjoint_quorums"],
    ),
    "online_change": WrongRule(
        "Two settings, each sound, miss each other when they are used side by side.",
        ("QRM-10",),
        f"find: {_ABOVE}",
        _RULES["online_change"],
        SCENARIOS["online_change"],
    ),
    "empty_replica_votes": WrongRule(
        "A replica that lost its disk answers with nothing, and the read misses what replied.",
        ("QRM-14",),
        f"lose: {_HELD}",
        _RULES["empty_replica_votes"],
        SCENARIOS["empty_replica_votes"],
    ),
    "rollback": WrongRule(
        "A write that is undone may have been read: the next read goes back.",
        ("QRM-4",),
        f"undo: {_HELD}",
        _RULES["rollback"],
        SCENARIOS["rollback"],
    ),
    "settled_at_hitting_set": WrongRule(
        "Where W + R > N + 1, what N - R + 1 replicas hold is missed after one of them recovered.",
        ("QRM-3", "QRM-14"),
        f"recover: {_HELD}",
        _RULES["settled_at_hitting_set"],
        SCENARIOS["settled_at_hitting_set"],
    ),
}
"""By the name of the variant."""


def refutations() -> tuple[Refutation, ...]:
    """One for each wrong rule."""
    return tuple(
        Refutation(f"quorum.{name}", name, it.statement, it.properties[0], it.properties, it.fails, it.find)
        for name, it in WRONG.items()
    )
