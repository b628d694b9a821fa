"""The account is balanced in every state: an inductive invariant, for any number of replicas and hints.

It is about one write and one target, any of them: what other writes do can only keep a mark from being
closed. A replica *has* the write if it holds its version or a newer one; no disk is lost here (HANDOFF.R1).
``holders`` are those that had it when it was acknowledged. That W holders and the N - W others that pay a
mark have one in common is a theorem of its own, and the only thing that is said of how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import z3

from scratchbird_proofs.quorum_system import SET, at, constants, put
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

IDLE, SENDING, DONE, FAILED = range(4)
NONE, OPEN, RETURNING, CLOSED = range(4)

target, other, common = z3.Ints("target other common")
"""The target; another replica; one that holders and heard have in common, if they have."""
_YES, _NO = z3.BoolVal(True), z3.BoolVal(False)
_NOBODY = z3.Const("nobody", SET)
"""The empty set; that nobody is in it is said where it matters, because cvc5 knows no constant arrays."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is known of one write and one target."""

    phase: Term
    """Of the write: idle, sending, done (acknowledged) or failed."""
    intended: Term
    """Its intent is durable."""
    hinted: Term
    """A hint for the target is."""
    left_out: Term
    """It has none because the target's mark covers it. Volatile."""
    mark: Term
    """Of the target: none, open, returning (hints are kept again) or closed."""
    has: Term
    """Replicas that hold the version or a newer one."""
    holders: Term
    """Those that did when it was acknowledged."""
    heard: Term
    """Others of which the target has merged all, asked for since the mark was closed."""


_SORTS = {
    "phase": z3.IntSort(), "mark": z3.IntSort(), "intended": z3.BoolSort(), "hinted": z3.BoolSort(),
    "left_out": z3.BoolSort(), "has": SET, "holders": SET, "heard": SET,
}  # fmt: skip


def any_account() -> Account:
    """Any state whatever."""
    return Account(**constants(Account, _SORTS))


def invariant(s: Account, q: Term) -> Mapping[str, Formula]:
    """What holds in every state, clause by clause; ``q`` is any replica."""
    has = at(s.has, target)
    covered = z3.And(s.left_out, z3.Or(s.mark == OPEN, s.mark == RETURNING))
    return {
        "what is acknowledged is held, hinted or marked": z3.Implies(
            s.phase == DONE, z3.Or(has, s.hinted, s.mark != NONE)
        ),
        "what may be acknowledged is held, hinted or covered": z3.Implies(
            z3.And(s.intended, s.phase == SENDING), z3.Or(has, s.hinted, covered)
        ),
        "no write is acknowledged without an intent": z3.Implies(s.phase == DONE, s.intended),
        "who held it holds it": z3.Implies(z3.And(s.phase == DONE, at(s.holders, q)), at(s.has, q)),
        "none that was heard was a holder, if the target lacks it": z3.Implies(
            z3.And(s.mark == CLOSED, s.phase == DONE, z3.Not(has), z3.Not(s.hinted), at(s.heard, q)),
            z3.Not(at(s.holders, q)),
        ),
    }


class Rules:
    """The rules as they stand; a wrong rule overrides one of them."""

    def leaves_out(self, s: Account) -> Formula:
        """HANDOFF.R5: whether an intent leaves the target out."""
        return s.mark == OPEN

    def may_drop(self, s: Account) -> Formula:
        """HANDOFF.R5: under which marks hints go."""
        return z3.Or(s.mark == OPEN, s.mark == RETURNING)

    def may_close(self, s: Account) -> Formula:
        """HANDOFF.R5: not while a write is open that the mark covers."""
        return z3.Not(z3.And(s.left_out, s.phase == SENDING))

    def counts(self, s: Account) -> Formula:
        """HANDOFF.R6: which exchanges count."""
        return s.mark == CLOSED

    def is_paid(self, s: Account) -> Formula:
        """HANDOFF.R3: when a hint goes."""
        return at(s.has, target)

    def pays(self, s: Account) -> Formula:
        """HANDOFF.R6: so many were heard that a holder is among them, if the target is none itself."""
        return z3.Implies(
            z3.And(s.phase == DONE, z3.Not(at(s.has, target))),
            z3.And(at(s.heard, common), at(s.holders, common)),
        )

    def acknowledges(self, s: Account) -> Formula:
        """QUORUM.R11: not before the intent is durable."""
        return s.intended


Step = tuple[Formula, Account]
"""When it is possible, and what is after it."""


def _send(rules: Rules, s: Account) -> Step:
    return s.phase == IDLE, replace(s, phase=z3.IntVal(SENDING))


def _intend(rules: Rules, s: Account) -> Step:
    out = rules.leaves_out(s)
    hinted = z3.And(z3.Not(out), z3.Not(at(s.has, target)))
    possible = z3.And(s.phase == SENDING, z3.Not(s.intended))
    return possible, replace(s, intended=_YES, hinted=z3.Or(s.hinted, hinted), left_out=out)


def _store(rules: Rules, s: Account) -> Step:
    return s.phase != IDLE, replace(s, has=put(s.has, _YES, other))


def _acknowledge(rules: Rules, s: Account) -> Step:
    possible = z3.And(s.phase == SENDING, rules.acknowledges(s))
    return possible, replace(s, phase=z3.IntVal(DONE), holders=s.has)


def _fail(rules: Rules, s: Account) -> Step:
    return s.phase == SENDING, replace(s, phase=z3.IntVal(FAILED))


def _pay_hint(rules: Rules, s: Account) -> Step:
    return z3.And(s.hinted, rules.is_paid(s)), replace(s, hinted=_NO)


def _give_up(rules: Rules, s: Account) -> Step:
    return _YES, replace(s, mark=z3.IntVal(OPEN), heard=_NOBODY)


def _drop(rules: Rules, s: Account) -> Step:
    out = z3.Or(s.left_out, z3.And(s.hinted, s.phase == SENDING))
    return rules.may_drop(s), replace(s, hinted=_NO, left_out=out)


def _return(rules: Rules, s: Account) -> Step:
    return s.mark == OPEN, replace(s, mark=z3.IntVal(RETURNING))


def _close(rules: Rules, s: Account) -> Step:
    possible = z3.And(s.mark == RETURNING, rules.may_close(s))
    return possible, replace(s, mark=z3.IntVal(CLOSED), heard=s.heard)


def _exchange(rules: Rules, s: Account) -> Step:
    """The target merges all that another one holds."""
    has = put(s.has, z3.Or(at(s.has, target), at(s.has, other)), target)
    heard = z3.If(rules.counts(s), put(s.heard, _YES, other), s.heard)
    return other != target, replace(s, has=has, heard=heard)


def _pay_mark(rules: Rules, s: Account) -> Step:
    possible = z3.And(s.mark == CLOSED, rules.pays(s))
    return possible, replace(s, mark=z3.IntVal(NONE), heard=_NOBODY)


def _crash(rules: Rules, s: Account) -> Step:
    """What is volatile goes: the write, who was left out, and that a target is coming back."""
    phase = z3.If(s.phase == SENDING, z3.IntVal(FAILED), s.phase)
    mark = z3.If(s.mark == RETURNING, z3.IntVal(OPEN), s.mark)
    return _YES, replace(s, phase=phase, mark=mark, left_out=_NO)


STEPS: dict[str, Callable[[Rules, Account], Step]] = {
    "send": _send,
    "intend": _intend,
    "store": _store,
    "acknowledge": _acknowledge,
    "fail": _fail,
    "pay a hint": _pay_hint,
    "give up": _give_up,
    "drop": _drop,
    "return": _return,
    "close": _close,
    "exchange": _exchange,
    "pay a mark": _pay_mark,
    "crash": _crash,
}


def _at_first() -> Sequence[Obligation]:
    s = any_account()
    given = {
        "nothing was sent": s.phase == IDLE,
        "nothing is owed": z3.And(z3.Not(s.hinted), s.mark == NONE, z3.Not(s.intended)),
    }
    return tuple(Obligation(name, given, clause) for name, clause in invariant(s, other).items())


def _known(s: Account) -> dict[str, Formula]:
    """The invariant of the replicas of a step, and that others are heard under closed marks only."""
    found: dict[str, Formula] = {
        "phases and marks": z3.And(s.phase >= IDLE, s.phase <= FAILED, s.mark >= NONE, s.mark <= CLOSED),
        "nothing is intended before it is sent": z3.Implies(s.phase == IDLE, z3.Not(s.intended)),
    }
    for name, q in (("other", other), ("common", common), ("any", z3.Int("any"))):
        found |= {f"{clause} ({name})": formula for clause, formula in invariant(s, q).items()}
        found[f"nobody is nobody ({name})"] = z3.Not(at(_NOBODY, q))
        found[f"only under a closed mark others are heard ({name})"] = z3.Implies(
            at(s.heard, q), s.mark == CLOSED
        )
    return found


def _kept(rules: Rules) -> Sequence[Obligation]:
    s, anybody = any_account(), z3.Int("any")
    found = []
    for kind, step in STEPS.items():
        possible, then = step(rules, s)
        given = {**_known(s), f"a step: {kind}": possible}
        clauses = {
            **invariant(then, anybody),
            "only under a closed mark others are heard": z3.Implies(
                at(then.heard, anybody), then.mark == CLOSED
            ),
        }
        live = {"an acknowledged one": then.phase == DONE} if kind not in ("send", "intend", "fail") else {}
        found += [Obligation(f"{kind}: {name}", given, clause, live) for name, clause in clauses.items()]
    return tuple(found)


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """All of the account, of the rules as they stand or of others."""
    given = rules or Rules()
    return (
        Theorem(
            "handoff.account_holds_at_first",
            "Before anything is sent, the account is balanced.",
            ("HNT-1",),
            ("HANDOFF.R1",),
            _at_first,
        ),
        Theorem(
            "handoff.account_is_kept",
            "Every write, hint, exchange, crash, and every target given up or taken back, keeps it balanced.",
            ("HNT-1",),
            ("HANDOFF.R1", "HANDOFF.R3", "HANDOFF.R5", "HANDOFF.R6"),
            lambda: _kept(given),
            ("handoff.a_repair_is_paid_by_so_many_others",),
        ),
    )
