"""ITF: values and whole traces survive the way there and back, Apalache's files are read, others refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchbird_check.counterexamples import COUNTEREXAMPLES, counterexample
from scratchbird_check.traces import itf
from scratchbird_check.traces.tla_values import ModelValue, Record

RECORDED = Path(__file__).parent / "recorded"

SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=6))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), inner, max_size=3).map(Record),
    ),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_survives(value: Any) -> None:
    assert itf.decode(json.loads(json.dumps(itf.encode(value)))) == value


def test_a_state_of_the_reference_may_have_an_entry_without_a_value() -> None:
    value = Record({"promised": None})
    assert itf.decode(itf.encode(value)) == value


def test_the_forms_that_apalache_writes() -> None:
    value = {
        "#map": [
            ["n1", {"#tup": [{"#bigint": "-12345678901234567890"}, {"#set": [1, 1]}]}],
            ["n2", {"a": [True, "x"], "b": {"#unserializable": "Nat"}}],
        ]
    }
    assert itf.decode(value) == {
        "n1": (-12345678901234567890, frozenset({1})),
        "n2": {"a": (True, "x"), "b": ModelValue("Nat")},
    }


@pytest.mark.parametrize(
    "value",
    [1.5, {"#bigint": "x"}, {"#bigint": 5}, {"#set": 1}, {"#map": [[1]]}, {"#other": 1}, [{"a": 0.5}]],
)
def test_a_malformed_value_is_located(value: Any) -> None:
    with pytest.raises(itf.ItfError, match=r"^state\S*: .* is no ITF value"):
        itf.decode(value, "state")


def test_a_file_of_apalache() -> None:
    found = itf.read((RECORDED / "apalache-0.62.1-inv.itf.json").read_text(), "hlc", "Inv", "violated")
    assert (found.engine, found.promise, found.problem) == ("Apalache", "Inv", "violated")
    assert all(isinstance(taken.state, dict) and taken.state for taken in found.states)
    assert not any(taken.action for taken in found.states)


@pytest.mark.parametrize("variant", COUNTEREXAMPLES)
def test_a_trace_that_we_wrote_comes_back_as_it_was(variant: str) -> None:
    played = counterexample(variant)
    assert played is not None
    for trace in (played.refuted, played.corrected):
        assert itf.read_trace(itf.write(trace)) == trace


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "no JSON: .* at line 1, column 2"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "an object with a list 'states'"),
        ('{"states": []}', "at least one state"),
        ('{"states": [1]}', r"states\[0\] is no object"),
        ('{"states": [{"x": {"#set": 1}}]}', r"states\[0\]\.x: .* is no ITF value"),
    ],
)
def test_what_is_no_itf_is_refused(text: str, problem: str) -> None:
    with pytest.raises(itf.ItfError, match=problem):
        itf.read(text, "hlc")


def test_a_foreign_file_is_not_taken_for_our_own() -> None:
    with pytest.raises(itf.ItfError, match="not written by us"):
        itf.read_trace('{"states": [{"x": 1}]}')


def test_a_value_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError, match="has no form in ITF"):
        itf.encode(1.5)
