"""The wrong rules for lost disks, refuted by the theorem that they break and by a run of a few replicas."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product

import z3

from scratchbird_proofs import quorum_losses
from scratchbird_proofs.quorum_losses import (
    COUNTED,
    LOSS_STEPS,
    Disks,
    LossRules,
    any_disks,
    any_loss_rules,
    fresh,
)
from scratchbird_proofs.quorum_refutations import MOST, SIZES, number_in
from scratchbird_proofs.quorum_system import NUMBER, YES, Quorums, at, nobody
from scratchbird_proofs.refutation import Found, Refutation, only
from scratchbird_proofs.theorem import TIMEOUT_MS, Formula, Term, Theorem


class CountsOldIncarnation(LossRules):
    """An acknowledgement counts, whatever became of the disk of the replica that sent it."""

    def counts(self, s: Disks, replica: Term, other: Term) -> Formula:
        """Always."""
        return YES


class RecoversFromAnybody(LossRules):
    """A replica has its vote back when one other has told it all, however large the quorums are."""

    def may_recover(self, s: Disks, replica: Term) -> Formula:
        """Somebody told it."""
        return z3.Or(*(at(s.told, replica, z3.IntVal(other)) for other in range(MOST)))


class OwnIncarnationOnly(LossRules):
    """The catalog tells a replica that lost its disk its own new incarnation, and nobody else's."""

    def handed_out(self, incarnation: Term, replica: Term) -> Term:
        """All others begin where everybody began."""
        return z3.Store(z3.K(NUMBER, z3.IntVal(0)), replica, at(incarnation, replica))


@dataclass(frozen=True, slots=True)
class FoundLoss(Found):
    """A run after which a replica is counted as a holder, has a vote, and does not hold the version."""

    sizes: tuple[int, int, int]
    """(N, W, R)"""
    steps: tuple[tuple[str, int, int], ...]
    """What happens, to which replica, and by which other one."""
    without: int
    """The replica that does not hold what replied."""


@dataclass(frozen=True, slots=True)
class WrongLossRule:
    """A wrong rule for lost disks."""

    statement: str
    """What goes wrong, in one sentence."""
    theorem: str
    """The theorem that fails."""
    breaks: str
    """Its obligation that fails."""
    rules: Callable[[LossRules], LossRules]
    """The wrong rule in the place of the right one."""
    kinds: tuple[str, ...]
    """The steps of the run, whose replicas the solver chooses."""

    def fails(self) -> Theorem:
        """The obligation that holds of the right rules, stated of the wrong one."""
        return only(self.theorem, self.breaks, quorum_losses.theorems(self.rules(any_loss_rules())))

    def find(self) -> FoundLoss | None:
        """A run in which the promise is broken."""
        enough = SIZES.at_least(SIZES.w)
        right = LossRules(Quorums(SIZES.at_least(SIZES.n - SIZES.w + 1), enough), SIZES.now)
        return search(self.kinds, self.rules(right))


def search(kinds: tuple[str, ...], rules: LossRules) -> FoundLoss | None:
    """A run of these steps, of three replicas, that goes wrong, or ``None``."""
    state = any_disks()
    small = [z3.IntVal(number) for number in range(MOST)]
    solver = z3.Solver()
    solver.set("timeout", TIMEOUT_MS)
    solver.add(SIZES.sound(), SIZES.n == 3, SIZES.w == 2, SIZES.r == 2)
    solver.add(*(nobody(number) for number in small), *(fresh(state, x, y) for x, y in product(small, small)))
    solver.add(*(z3.Not(at(state.holds, number)) for number in small))
    chosen: list[tuple[Term, Term]] = []
    for number, kind in enumerate(kinds):
        actor, peer = z3.Ints(f"actor_{number} peer_{number}")
        step = LOSS_STEPS[kind](rules, state, actor, peer)
        solver.add(*(z3.And(place >= 0, place < SIZES.n) for place in (actor, peer)), step.possible)
        chosen.append((actor, peer))
        state = step.after
    members = small[:3]
    replied = [z3.Implies(at(COUNTED, x), at(state.acked, x)) for x in members]
    counted = [
        z3.Implies(z3.And(at(COUNTED, x), at(COUNTED, y)), rules.counts(state, x, y))
        for x, y in product(members, members)
    ]
    without = z3.Int("without")
    votes = z3.And(
        at(COUNTED, without), without >= 0, without < SIZES.n, z3.Not(at(state.recovering, without))
    )
    solver.add(*replied, *counted, SIZES.now.holds(COUNTED), votes, z3.Not(at(state.holds, without)))
    if solver.check() != z3.sat:
        return None
    model = solver.model()
    number_of = partial(number_in, model)
    steps = tuple((k, number_of(x), number_of(y)) for k, (x, y) in zip(kinds, chosen, strict=True))
    sizes = (number_of(SIZES.n), number_of(SIZES.w), number_of(SIZES.r))
    return FoundLoss(sizes, steps, number_of(without))


WRONG: Mapping[str, WrongLossRule] = {
    "counts_old_incarnation": WrongLossRule(
        "An acknowledgement from before a loss counts, though its sender no longer holds the version.",
        "quorum.what_replied_outlives_lost_disks",
        "one who answers holds it",
        lambda right: CountsOldIncarnation(right.recovers, right.reading),
        ("ack", "lose", "tell", "tell", "recover", "ack"),
    ),
    "own_incarnation_only": WrongLossRule(
        "A replica that lost its disk forgets who began anew before it, and an old acknowledgement counts.",
        "quorum.losses_invariant_is_kept",
        "lose: or his acknowledgement is known as old",
        lambda right: OwnIncarnationOnly(right.recovers, right.reading),
        ("ack", "lose", "tell", "tell", "recover", "lose", "ack"),
    ),
    "recovers_from_one": WrongLossRule(
        "A replica that hears fewer than N - W + 1 others votes without what replied.",
        "quorum.losses_invariant_is_kept",
        "recover: or his acknowledgement is known as old",
        lambda right: RecoversFromAnybody(right.recovers, right.reading),
        ("ack", "ack", "lose", "tell", "recover"),
    ),
}
"""By the name of the variant."""


def refutations() -> tuple[Refutation, ...]:
    """One for each wrong rule."""
    return tuple(
        Refutation(f"quorum.{name}", name, it.statement, "QRM-14", ("QRM-14",), it.fails, it.find)
        for name, it in WRONG.items()
    )
