"""The layout's theorems hold, and they can fail; the odds are the ones that they should be."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import pytest
import z3

from scratchbird_check.ties import layout as tie
from scratchbird_proofs import uuid8
from scratchbird_proofs.collisions import expected_collisions, odds_of_a_pair, odds_of_any, risks
from scratchbird_proofs.theorem import Judgement, Term, Theorem, prove


@pytest.mark.parametrize("theorem", uuid8.theorems(), ids=lambda item: item.id)
def test_it_is_proved(theorem: Theorem) -> None:
    assert prove(theorem).why_not == ""


def node_first(fields: uuid8.Fields) -> Term:
    return uuid8.layout_a(uuid8.Fields(fields.ms, fields.counter, *_swapped(fields)))


def _swapped(fields: uuid8.Fields) -> tuple[Term, Term]:
    both = z3.Concat(fields.random, fields.node_id)
    return z3.Extract(61, 46, both), z3.Extract(45, 0, both)


def test_a_layout_with_the_node_behind_the_random_bits_is_not_ordered_by_node() -> None:
    order, *_ = uuid8.theorems(node_first)
    assert [item.judgement for item in prove(order).findings] == [Judgement.REFUTED, Judgement.PROVED]


def test_unforced_layout_b_is_ordered_but_no_uuid() -> None:
    def unforced(fields: uuid8.Fields) -> Term:
        return uuid8.layout_b(fields, uuid8.constant(0, uuid8.SUB_MS_BITS), forced=False)

    _, _, rfc, *_ = uuid8.theorems(unforced)
    assert prove(rfc).findings[0].judgement is Judgement.REFUTED


def test_nothing_is_found_against_the_right_layout() -> None:
    assert uuid8._find_pair(uuid8.layout_a, uuid8.layout_a) is None


def test_formulas_and_reference_agree() -> None:
    for version in tie.ids(Random(7), 40):
        assert tie.differences(version) == []
        assert tie.read_differently(int(version)) == ""


def test_a_difference_between_formulas_and_reference_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    version = next(tie.ids(Random(7), 1))
    monkeypatch.setattr(uuid8, "layout_a", uuid8.version_7)
    monkeypatch.setattr(uuid8, "is_ours", lambda bits: z3.BoolVal(False))
    assert "layout (a)" in tie.differences(version)[0]
    assert "is read as" in tie.read_differently(int(version))
    monkeypatch.setattr(uuid8, "is_ours", lambda bits: z3.BoolVal(True))
    assert "refused by the code alone" in tie.read_differently(int(version) ^ 1 << 63)


def test_two_ids_of_one_timestamp_and_node_share_46_bits() -> None:
    assert odds_of_a_pair() == Fraction(1, 2**46)


def test_the_birthday_problem() -> None:
    assert odds_of_any(0) == odds_of_any(1) == 0
    assert odds_of_any(2) == odds_of_a_pair()
    assert odds_of_any(3) == 1 - (1 - odds_of_a_pair()) * (1 - 2 * odds_of_a_pair())
    with pytest.raises(ValueError, match="-1 ids"):
        odds_of_any(-1)


def test_more_nodes_with_one_id_meet_more_often() -> None:
    assert expected_collisions(2**46, 1) == 1
    assert expected_collisions(2**46, 1, nodes=4) == 6
    with pytest.raises(ValueError, match="at least 2"):
        expected_collisions(1, 1, nodes=1)


def test_only_a_broken_rule_lets_ids_collide() -> None:
    none, reused, busiest, lost = risks()
    assert none.collisions_per_year == 0
    assert reused.collisions_per_year < busiest.collisions_per_year
    assert [risk.wrongly_ordered for risk in (none, reused, busiest, lost)] == [False, False, False, True]
