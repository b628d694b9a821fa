"""The tie between proof and code: what the reference's floor does is steps of the system that is proved.

``scratchbird_proofs.handoff`` follows one row at all replicas from the moment at which all have closed a
floor. Here replicas and the catalog of the reference run at random, with messages that are lost, doubled and
overtaken, and crashes; and whatever happens from that moment on is played as steps of the system, of which
each must be possible, and lead to what the reference holds. The formulas are evaluated by Z3 on the values
of the run. A wrong rule must be caught, and every kind of step must be met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any

import z3

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.ties.graph import TieBroken
from scratchbird_check.ties.steps import judged, runs_until_caught
from scratchbird_check.variants.handoff import RIGHT, VARIANTS, Variant
from scratchbird_check.verdicts import Outcome
from scratchbird_proofs import handoff as proof
from scratchbird_proofs.handoff import KINDS, Past, Rules
from scratchbird_proofs.quorum_system import at
from scratchbird_proofs.theorem import Formula, Term
from scratchbird_reference import handoff_catalog as catalogs
from scratchbird_reference import handoff_floor as floors
from scratchbird_reference import handoff_replica as replicas
from scratchbird_reference import quorum_replica
from scratchbird_reference.quorum_messages import NOTHING, Held, Setting, Write

ROW = 0
FLOOR = 10
VERSIONS = 14
"""What is written has one of these versions, but for the floor."""
MOVES = 90
"""Of one run, at most."""
CAUGHT = ("takes_below_closed", "pulls_before_all_closed", "merges_only_below", "settles_alone")
"""Wrong rules whose steps the system has none for."""


# --- the system, on values --------------------------------------------------------------------------------


def _nobody(sort: z3.SortRef) -> Term:
    if sort == z3.IntSort():
        return z3.IntVal(0)
    if sort == z3.BoolSort():
        return z3.BoolVal(False)
    return z3.K(sort.domain(), _nobody(sort.range()))


@dataclass
class System:
    """A state of the system, moved along with the reference since all replicas have closed the floor."""

    names: tuple[int, ...]
    join: Held
    """The newest at or below the floor."""
    holder: int
    state: Past
    rules: Rules = field(default_factory=Rules)
    met: Counter[str] = field(default_factory=Counter)

    def take(self, kind: str, r: int, other: int = 0, version: int = 0) -> None:
        """One step.

        :raises TieBroken: if it is not possible.
        """
        step = self.rules.step(kind, self.state, *map(z3.IntVal, (r, other, version)))
        if not z3.is_true(self._here(step.possible)):
            raise TieBroken(f"{kind} of replica {r}, with {other}, version {version} is impossible")
        self._become(step.after)
        self.met[kind] += 1

    def note(self) -> None:
        """The catalog says that all have converged.

        :raises TieBroken: if they have not.
        """
        if lacking := [r for r in self.names if not self.value(self.state.converged, r)]:
            raise TieBroken(f"the catalog says that all have converged, and {lacking} have not")
        self._become(proof.noted(self.state))

    def value(self, array: Term, *path: int) -> Any:
        """What an array has at this place: a number or a truth value."""
        found = self._here(at(array, *map(z3.IntVal, path)))
        return found.as_long() if z3.is_int_value(found) else z3.is_true(found)

    def broken(self) -> list[str]:
        """The clauses of the invariant that do not hold."""
        return [
            f"{name} (replica {r})"
            for r in self.names
            for name, clause in proof.invariant(self.state, z3.IntVal(r)).items()
            if not z3.is_true(self._here(clause))
        ]

    def _become(self, after: Past) -> None:
        self.state = Past(**{item.name: self._here(getattr(after, item.name)) for item in fields(Past)})

    def _here(self, formula: Formula) -> Any:
        """In this run: with its floor, its join, and who held that."""
        values = (
            (proof.floor, z3.IntVal(FLOOR)),
            (proof.join, z3.IntVal(self.join.version)),
            (proof.holder, z3.IntVal(self.holder)),
            (proof.deleted, z3.BoolVal(self.join.value is None)),
        )
        return z3.simplify(z3.substitute(formula, *values))


def beginning(held: dict[int, Held], rules: Rules) -> System:
    """All have closed the floor, and hold this."""
    below = [item for item in held.values() if item.version <= FLOOR]
    join = max(below, key=Held.rank, default=NOTHING)
    holder = next((r for r in held if held[r].version >= join.version), 0)
    kinds = {item.name: getattr(proof.any_past(), item.name).sort() for item in fields(Past)}
    values: dict[str, Any] = {name: _nobody(sort) for name, sort in kinds.items()}
    for r, item in held.items():
        values["held"] = z3.Store(values["held"], r, item.version)
    return System(tuple(held), join, holder, Past(**values), rules)


# --- the reference, beside it -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Told:
    """Rows of an exchange that are under way, and whose they are."""

    sender: int
    rows: tuple[tuple[int, Held], ...]


class Run:
    """Plays at random."""

    def __init__(self, dice: Random, size: int, variant: Variant, rules: Rules) -> None:
        self.dice = dice
        self.machine = variant.floored
        self.rules = rules
        names = tuple(range(1, size + 1))
        setting = Setting(names, size, 1)
        self.replicas = {r: replicas.first_state(r, setting) for r in names}
        self.catalog = catalogs.State(setting, tuple((r, 1) for r in names))
        self.pool = [
            Held(version, None if dice.random() < 0.4 else str(version).encode())
            for version in sorted(dice.sample(range(1, VERSIONS + 1), 3))
            if version != FLOOR
        ]
        self.system: System | None = None
        self.under_way: list[tuple[int, replicas.Event | Told]] = []
        """To a replica."""
        self.said: list[catalogs.Event] = []
        """To the catalog."""

    def play(self) -> Counter[str]:
        """One run, compared after every move; how often each kind of step was met."""
        for _ in range(MOVES):
            moves = list(self._moves())
            if not moves:
                continue
            move, *arguments = self.dice.choice(moves)
            move(*arguments)
            self._compare()
        self._check_invariant()
        return self.system.met if self.system else Counter()

    def _check_invariant(self) -> None:
        """It is proved of every state: a run that begins or ends in another one is none of the system's."""
        if self.system and (broken := self.system.broken()):
            raise TieBroken(f"the invariant is broken: {broken[0]}")

    def _moves(self) -> Iterator[tuple[Any, ...]]:
        r = self.dice.choice(list(self.replicas))
        has_settled = any(state.floor.durable.floor for state in self.replicas.values())
        if self.pool and self._sometimes(0.5):
            yield self._write, r, self.dice.choice(self.pool)
        if has_settled:
            yield self._purge, r
            yield self._write, r, Held(FLOOR, None)
        if self.system and self._sometimes(0.3):
            yield self._ask_for_rows, r
        if self._sometimes(0.1):
            yield self._crash, r
        if not self.catalog.proposed:
            yield self._hear, catalogs.ProposeFloor(FLOOR)
        elif (not self.under_way and not self.said) or self._sometimes(0.1):
            yield self._hear, catalogs.Ask(r)
        yield from ((self._arrives, number) for number in range(len(self.under_way)))
        yield from ((self._says, number) for number in range(len(self.said)))

    def _sometimes(self, odds: float) -> bool:
        return self.dice.random() < odds

    def _held(self, r: int) -> Held:
        return self.replicas[r].rows.durable.held(ROW)

    def _take(self, kind: str, r: int, other: int = 0, version: int = 0) -> None:
        if self.system:
            self.system.take(kind, r, other, version)

    def _step(self, r: int, *events: replicas.Event) -> None:
        """Some events at a replica, and what they ask for."""
        for event in events:
            settled = self.replicas[r].floor.durable.floor
            self.replicas[r], effects = self.machine.step(self.replicas[r], event)
            for effect in effects:
                match effect:
                    case floors.SayClosed(floor=floor):
                        self.said.append(catalogs.Closed(r, floor))
                    case floors.SayConverged(floor=floor):
                        self.said.append(catalogs.Converged(r, floor, 1))
                    case replicas.SendFloor(to, replicas.AskPast() | replicas.Past() as message) if to:
                        if isinstance(message, replicas.Past):
                            self._tells(r, message.rows)
                        self.under_way.append((to, replicas.Deliver(r, message)))
            self._begins()
            if self.replicas[r].floor.durable.floor != settled and not isinstance(event, replicas.Deliver):
                self._take("settle", r)

    def _tells(self, r: int, rows: tuple[tuple[int, Held], ...]) -> None:
        self._take("tell", r, version=dict(rows).get(ROW, NOTHING).version)

    def _begins(self) -> None:
        """The system begins when all have closed the floor."""
        states = [state.floor for state in self.replicas.values()]
        if self.system or not all(state.durable.closed for state in states):
            return
        if any(state.durable.converged or state.volatile.merged for state in states):
            raise TieBroken("a replica has merged for the floor before all had closed it")
        self.system = beginning({r: self._held(r) for r in self.replicas}, self.rules)
        self._check_invariant()

    # --- moves --------------------------------------------------------------------------------------------

    def _write(self, r: int, held: Held) -> None:
        before = self._held(r)
        self._step(r, quorum_replica.Deliver(Write(0, 0, ROW, held)))
        if self._held(r) != before:
            self._take("write_back" if held.version == FLOOR else "take", r, version=held.version)

    def _purge(self, r: int) -> None:
        before = self._held(r)
        self._step(r, replicas.Purge())
        if self._held(r) != before:
            self._take("purge", r)

    def _ask_for_rows(self, r: int) -> None:
        """For an exchange: another one tells all that it holds."""
        q = self.dice.choice([q for q in self.replicas if q != r])
        rows = self.replicas[q].rows.durable.rows
        self._tells(q, rows)
        self.under_way.append((r, Told(q, rows)))

    def _crash(self, r: int) -> None:
        self._step(r, quorum_replica.Crash(), quorum_replica.Start())

    def _hear(self, event: catalogs.Event) -> None:
        noted = self.catalog.all_converged
        self.catalog, told = catalogs.Catalog().step(self.catalog, event)
        if self.catalog.all_converged != noted and self.system:
            self.system.note()
        self.under_way += [(item.to, item.what) for item in told]

    def _says(self, number: int) -> None:
        self._hear(self._one(self.said, number))

    def _arrives(self, number: int) -> None:
        r, event = self._one(self.under_way, number)
        if self._sometimes(0.1):
            return  # Lost.
        if isinstance(event, Told):
            self._step(r, replicas.Merge(event.rows))
            self._merged("exchange", r, event.sender, event.rows)
        elif isinstance(event, replicas.Deliver) and isinstance(event.message, replicas.Past):
            self._past_arrives(r, event, event.message)
        else:
            self._step(r, event)

    def _one(self, messages: list[Any], number: int) -> Any:
        """This message; most are then gone."""
        found = messages[number]
        if self._sometimes(0.7):
            del messages[number]
        return found

    def _past_arrives(self, r: int, event: replicas.Deliver, past: replicas.Past) -> None:
        """A past that is not counted is an exchange; a replica may converge and settle in the same step."""
        before = self.replicas[r].floor
        self._step(r, event)
        after = self.replicas[r].floor
        has_converged = after.durable.converged != before.durable.converged
        counted = has_converged or after.volatile.merged != before.volatile.merged
        self._merged("merge" if counted else "exchange", r, event.sender, past.rows)
        if has_converged:
            self._take("converge", r)
        if after.durable.floor != before.durable.floor:
            self._take("settle", r)

    def _merged(self, kind: str, r: int, other: int, rows: tuple[tuple[int, Held], ...]) -> None:
        version = dict(rows).get(ROW, NOTHING).version
        late = version != self._held(other).version
        self._take(f"{kind}_late" if late else kind, r, other, version)

    # --- comparison ---------------------------------------------------------------------------------------

    def _compare(self) -> None:
        """What the reference holds is what the system holds.

        :raises TieBroken: naming what differs.
        """
        if not self.system:
            return
        system, s = self.system, self.system.state
        for r, state in self.replicas.items():
            durable = state.floor.durable
            self._same(f"what replica {r} holds", system.value(s.held, r), self._held(r).version)
            self._same(f"whether {r} has converged", system.value(s.converged, r), durable.converged > 0)
            self._same(f"whether {r} has settled", system.value(s.settled, r), durable.floor > 0)
            if system.holder in state.floor.volatile.merged:
                self._same(f"whether {r} has merged the join", system.value(s.merged, r), True)

    @staticmethod
    def _same(what: str, system: Any, reference: Any) -> None:
        if system != reference:
            raise TieBroken(f"{what}: {system} in the system, {reference} in the reference")


# --- the check --------------------------------------------------------------------------------------------


def met_in(dice: Random, variant: Variant, rules: Rules | None = None) -> Counter[str]:
    """One run.

    :raises TieBroken: if the reference does what is no step of the system.
    """
    return Run(dice, dice.choice((2, 3, 3, 4)), variant, rules or Rules()).play()


def run(check: Check, context: Context) -> Outcome:
    """Runs of the reference until so many steps were taken; and each wrong rule until it is caught."""
    return judged(check, context.seed, lambda dice: met_in(dice, RIGHT), KINDS, CAUGHT, caught_after)


MOST_RUNS = 400


def caught_after(variant: str, seed: int) -> int:
    """How many runs it takes until a wrong rule does what is no step; 0 if it never does."""
    return runs_until_caught(lambda dice: met_in(dice, VARIANTS[variant]), seed, MOST_RUNS)
