"""What is asked of the second solver, and that it answers by itself."""

from __future__ import annotations

import z3

from scratchbird_check.engines.cvc5 import ask
from scratchbird_proofs.registry import find_theorems
from scratchbird_proofs.smtlib import questions, questions_of, script
from scratchbird_proofs.theorem import Obligation

x = z3.Int("x")


def test_every_question_of_an_obligation_is_asked() -> None:
    obligation = Obligation("sum", {"positive": x > 0}, x > 1, {"two": x == 2, "three": x == 3})
    asked = list(questions_of(obligation, "t"))
    assert [(item.name, item.expected) for item in asked] == [
        ("t: the assumptions can be met", "sat"),
        ("t: it is true", "unsat"),
        ("t: two can happen", "sat"),
        ("t: three can happen", "sat"),
    ]
    # The statement is false (x can be 1), and the second solver must be able to say so.
    assert [ask(item.text) for item in asked] == ["sat", "sat", "sat", "sat"]


def test_a_script_is_whole() -> None:
    text = script(x > 0)
    assert text.startswith("(set-logic ALL)\n")
    assert text.count("(check-sat)") == 1
    assert "(declare-fun x () Int)" in text


def test_a_theorem_of_several_obligations_asks_them_all() -> None:
    (theorem,) = find_theorems("hlc.chains_keep_the_order")
    names = [item.name for item in questions(theorem)]
    assert len(names) == 6
    assert names[0] == "hlc.chains_keep_the_order, no link: the assumptions can be met"


def test_what_is_no_script_is_answered_by_an_error() -> None:
    assert ask("(set-logic ALL)(assert (= x 1))(check-sat)").startswith("error: ")


def test_a_question_beyond_the_limit_is_unknown() -> None:
    # Sums of three cubes: nobody can say quickly, so that the limit is what ends it.
    a, b, c = z3.Ints("a b c")
    hard = script(a * a * a + b * b * b + c * c * c == 114, a > 1000, b < -1000)
    assert ask(hard, limit_ms=1).startswith("unknown")
