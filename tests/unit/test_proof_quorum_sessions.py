"""The theorems about what one client sees can fail, and the table asks of a setting what they ask."""

from __future__ import annotations

import pytest
import z3

from scratchbird_proofs import quorum, quorum_sessions
from scratchbird_proofs.theorem import Judgement, Obligation, judge, prove

THEOREMS = {item.id: item for item in quorum_sessions.theorems()}
IDLE = {
    "sizes",
    "what is given",
    "there are three",
    "what is known of each replica",
    # These matter in the other obligations of their theorems.
    "QUORUM.R7 in it still covers them",
    "the client keeps the higher one in a read does not go back",
    "the client keeps the higher one in a write is above them",
    "it takes what is newer (QUORUM.R1) in nobody takes it",
    "a lower one is sent in and none goes below",
}
"""Assumptions without which the conclusion holds all the same: they say what the names stand for."""


@pytest.mark.parametrize("name", THEOREMS)
def test_it_is_proved_and_registered(name: str) -> None:
    assert prove(THEOREMS[name]).why_not == ""
    assert name in {item.id for item in quorum.theorems()}


@pytest.mark.parametrize("name", THEOREMS)
def test_without_what_it_rests_on_there_is_no_proof(name: str) -> None:
    for given in THEOREMS[name].obligations():
        for left_out in given.assumptions:
            left = {key: item for key, item in given.assumptions.items() if key != left_out}
            found = judge(Obligation(given.name, left, given.conclusion)).judgement
            idle = {left_out, f"{left_out} in {given.name}"} & IDLE
            assert found is (Judgement.PROVED if idle else Judgement.REFUTED), (given.name, left_out)


def test_a_client_that_forgets_its_token_goes_back() -> None:
    (_, read, _) = THEOREMS["quorum.a_token_keeps_the_session"].obligations()
    wrong = {**read.assumptions, "QUORUM.R7": z3.BoolVal(True)}
    assert judge(Obligation(read.name, wrong, read.conclusion)).judgement is Judgement.REFUTED


def test_replicas_that_take_what_comes_last_do_not_agree() -> None:
    a, b, c = z3.Ints("a b c")

    def last(held: object, new: object) -> object:
        return new

    wrong = Obligation("in any order", {"three": a >= 0}, last(last(a, b), c) == last(last(a, c), b))
    assert judge(wrong).judgement is Judgement.REFUTED
