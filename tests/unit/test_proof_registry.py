"""Every theorem has its name, its sentence and its place among the checks."""

from __future__ import annotations

from fnmatch import fnmatchcase
from importlib import resources
from pathlib import Path

import pytest

from scratchbird_check import ledger, manifest
from scratchbird_check.ledger import Property
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Verdict
from scratchbird_proofs.registry import find_refutation, find_theorems, refutations, theorems
from scratchbird_proofs.theorem import lemmas_in_order

LEDGER = ledger.parse((Path(__file__).parents[2] / "spec/properties.toml").read_text(encoding="utf-8"))
CHECKS = manifest.parse(resources.files("scratchbird_check").joinpath("manifest.toml").read_text())


def named(check: Check) -> list[str]:
    theorem = check.options["theorem"]
    return [theorem] if isinstance(theorem, str) else list(theorem)


def proofs(engine: str) -> list[Check]:
    return [check for check in CHECKS if check.engine == engine and check.expect is Verdict.PROVED]


def test_lemmas_come_before_what_rests_on_them() -> None:
    known = theorems()
    assert tuple(item.id for item in known) == lemmas_in_order(known)
    assert len({item.id for item in known}) == len(known)


@pytest.mark.parametrize("theorem", theorems(), ids=lambda item: item.id)
def test_a_theorem_says_what_it_is(theorem: object) -> None:
    (stated,) = [item for item in theorems() if item == theorem or item.id == getattr(theorem, "id", "")]
    assert stated.statement.endswith(".")
    assert stated.properties
    parts = {rule.split(".")[0] for rule in stated.rules}
    assert parts <= {"HLC", "UUID8", "QUORUM", "HANDOFF", "MERKLE_FOREST"}


@pytest.mark.parametrize("engine", ["z3", "cvc5"])
@pytest.mark.parametrize("name", [item.id for item in theorems()])
def test_a_theorem_is_checked_for_each_of_its_properties(name: str, engine: str) -> None:
    mine = [check for check in proofs(engine) if any(fnmatchcase(name, item) for item in named(check))]
    assert mine, f"no check of {engine} proves {name}"


@pytest.mark.parametrize("refutation", refutations(), ids=lambda item: item.id)
def test_a_refutation_is_checked(refutation: object) -> None:
    known = {item.id: item for item in refutations()}
    stated = known[getattr(refutation, "id", "")]
    (mine,) = [check for check in CHECKS if check.engine == "z3" and named(check) == [stated.id]]
    assert (mine.expect, mine.variant) == (Verdict.REFUTED, stated.variant)
    assert mine.properties == stated.properties


@pytest.mark.parametrize("item", LEDGER, ids=lambda item: item.id)
def test_the_ledger_names_every_theorem_that_is_evidence(item: Property) -> None:
    assert list(item.theorems) == [stated.id for stated in theorems() if item.id in stated.properties]


def test_a_pattern_finds_all_that_match() -> None:
    assert [item.id for item in find_theorems("uuid8.going_*")] == [
        "uuid8.going_to_v8_is_safe_from_the_same_millisecond",
        "uuid8.going_back_to_v7_must_pass_the_last_millisecond",
    ]


def test_a_name_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"no theorem is called 'hlc\.nothing': known are handoff\."):
        find_theorems("hlc.*", "hlc.nothing")
    with pytest.raises(LookupError, match=r"no refutation is called 'no_carry': known are handoff\."):
        find_refutation("no_carry")
