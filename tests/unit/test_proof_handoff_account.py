"""The proof that the account is balanced holds, and fails for each wrong rule."""

from __future__ import annotations

import pytest
import z3

from scratchbird_proofs import handoff_account
from scratchbird_proofs.handoff_account import CLOSED, NONE, OPEN, Account, Rules
from scratchbird_proofs.theorem import Formula, Judgement, prove

THEOREMS = {item.id: item for item in handoff_account.theorems()}


@pytest.mark.parametrize("name", THEOREMS)
def test_it_is_proved(name: str) -> None:
    proof = prove(THEOREMS[name])
    assert proof.proved, proof.why_not


class StopsWithoutMark(Rules):
    def may_drop(self, s: Account) -> Formula:
        return z3.BoolVal(True)


class LeavesOutAlways(Rules):
    def leaves_out(self, s: Account) -> Formula:
        return z3.Or(s.mark == OPEN, s.mark == CLOSED)


class ClosesOverOpenWrites(Rules):
    def may_close(self, s: Account) -> Formula:
        return z3.BoolVal(True)


class ClearedByAnEarlierExchange(Rules):
    def counts(self, s: Account) -> Formula:
        return s.mark != NONE


class ClearedByAny(Rules):
    def pays(self, s: Account) -> Formula:
        return z3.BoolVal(True)


class RemovedOnSend(Rules):
    def is_paid(self, s: Account) -> Formula:
        return z3.BoolVal(True)


class AcknowledgesBeforeTheIntent(Rules):
    def acknowledges(self, s: Account) -> Formula:
        return z3.BoolVal(True)


@pytest.mark.parametrize(
    "rules",
    [
        StopsWithoutMark,
        LeavesOutAlways,
        ClosesOverOpenWrites,
        ClearedByAnEarlierExchange,
        ClearedByAny,
        RemovedOnSend,
        AcknowledgesBeforeTheIntent,
    ],
)
def test_a_wrong_rule_is_refuted(rules: type[Rules]) -> None:
    theorem = next(item for item in handoff_account.theorems(rules()) if item.id.endswith("is_kept"))
    proof = prove(theorem)
    assert Judgement.REFUTED in {item.judgement for item in proof.findings}
    assert not proof.proved
