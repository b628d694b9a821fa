"""TLA+ read without Java: names exist, and nothing is used that Apalache lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from scratchbird_check import ledger, resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tla_static
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Verdict

MODULE = """---- MODULE {name} ----
EXTENDS Integers
CONSTANT C
VARIABLE x
Init == x = 0
Next == x' = x + 1
Inv == \\A n \\in 1..3 : x # n
{more}
====
"""
CONFIG = "INIT Init\nNEXT Next\nCONSTANT C <- Three\nINVARIANT Inv\n"


def module(more: str = "Three == 3", name: str = "hlc") -> str:
    return MODULE.format(name=name, more=more)


def problems(more: str = "Three == 3", names: tuple[str, ...] = (), config: str = CONFIG) -> list[str]:
    return tla_static.problems({"hlc": module(more)}, {"HLC-1": names}, {"MC_hlc.cfg": config})


def test_what_is_in_order() -> None:
    assert problems(names=("Inv", "Init")) == []


def test_a_name_of_the_ledger_that_is_nowhere_defined() -> None:
    assert problems(names=("Invariant",)) == ["HLC-1 names Invariant, which no module defines"]


@pytest.mark.parametrize(
    ("construct", "words"),
    [
        ("RECURSIVE F(_)\nF(n) == IF n = 0 THEN 0 ELSE F(n - 1)", "RECURSIVE"),
        ("A == CHOOSE n \\in {1, 2} : n > 1", "CHOOSE"),
        ("A == ENABLED Next", "ENABLED"),
        ("A == WF_x(Next)", "fairness"),
        ("A == Init ~> Inv", "leads to"),
        ("A == \\E n \\in Int : n > x", "a variable that runs over Int"),
        ("A == \\E n \\in SUBSET Nat : n = {}", "a variable that runs over Nat"),
        ("A == [n \\in Nat |-> n]", "a variable that runs over Nat"),
        ("A == {n \\in Nat : n > 1}", "a variable that runs over Nat"),
        ("A == {n + 1 : n \\in Nat}", "a variable that runs over Nat"),
        ("A == \\A n : n = 1", "a variable without a bound"),
        ("A == Seq({1})", "Seq(S)"),
    ],
)
def test_constructs_that_apalache_lacks(construct: str, words: str) -> None:
    (found,) = problems(f"{construct}\nThree == 3")
    assert found.startswith(f"hlc.tla uses {words}")
    assert found.endswith("which Apalache lacks")


@pytest.mark.parametrize(
    "construct",
    ["A == \\E n \\in SUBSET {1, 2} : n = {}", "A == [{1} -> {2}]", "A == [][Next]_x", "A == x \\in Int"],
)
def test_constructs_that_it_has(construct: str) -> None:
    assert problems(f"{construct}\nThree == 3") == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (CONFIG.replace("Inv", "Inw"), "MC_hlc.cfg names Inw, which no module defines"),
        (CONFIG.replace("Three", "Four"), "MC_hlc.cfg names Four, which no module defines"),
        (CONFIG.replace("Next", "Nexxt"), "MC_hlc.cfg names Nexxt, which no module defines"),
        (CONFIG.replace("CONSTANT C", "CONSTANT D"), "MC_hlc.cfg names D, which no module defines"),
        (CONFIG + "CONSTRAINT Inv\n", "MC_hlc.cfg uses CONSTRAINT, which Apalache lacks"),
        (CONFIG + "SYMMETRY Inv\n", "MC_hlc.cfg uses SYMMETRY, which Apalache lacks"),
        (CONFIG + "VIEW Inv\n", "MC_hlc.cfg uses VIEW, which Apalache lacks"),
    ],
)
def test_names_of_configurations(config: str, words: str) -> None:
    assert problems(config=config) == [words]


def test_a_syntax_error_names_its_line() -> None:
    (found, *_) = problems("Three == == 3")
    assert found == "hlc.tla cannot be parsed: a syntax error near line 8"


def test_a_module_of_another_name() -> None:
    found = tla_static.problems({"hlc": module(name="clh")}, {}, {})
    assert found == ["hlc.tla holds the module clh"]
    assert tla_static.problems({}, {}, {}) == ["the part has no module"]


def test_modules_belong_to_parts() -> None:
    names = ("hlc", "MC_hlc", "MC_hlc__no_carry", "MC_shard_map_quick", "MC_other", "hlcx")
    assert [tla_static.part_of(name) for name in names] == ["hlc", "hlc", "hlc", "shard_map", "", ""]


CHECK = Check("python-hlc-tla-static", "hlc", "python", ("quick",), Verdict.CHECKED, ("HLC-1",))


def test_the_models_that_ship_are_in_order(tmp_path: Path) -> None:
    outcome = tla_static.check_part(CHECK, Context(tmp_path))
    assert outcome.verdict is Verdict.CHECKED, outcome.detail
    assert int(outcome.figures["modules"]) >= 2


def test_what_is_wrong_is_unexpected_with_a_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = {"hlc": module(), "MC_hlc_live": module("A == WF_x(Next)\nB == C"), "quorum": "no module at all"}
    monkeypatch.setattr(resources, "modules", lambda: text)
    item = ledger.Property("HLC-1", "hlc", "c", Verdict.CHECKED, "r", "e", tla=("Gone", "Lost"))
    monkeypatch.setattr(ledger, "parse", lambda text: (item,))
    models = tmp_path / "models"
    models.mkdir()
    monkeypatch.setattr(resources, "models", lambda: models)
    outcome = tla_static.check_part(CHECK, Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail == "HLC-1 names Gone, which no module defines (and 1 more)"
    assert outcome.log is not None
    assert len(outcome.log.read_text().splitlines()) == 2
