"""TLA+ values: what TLC prints is read, what is written can be read again, what is malformed is located."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchbird_check.traces.tla_values import (
    ModelValue,
    Record,
    TlaSyntaxError,
    format_state,
    format_value,
    parse_state,
    parse_value,
)

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(
    lambda name: name not in ("TRUE", "FALSE")
)
SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=8), NAMES.map(ModelValue))


def _composite(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.frozensets(inner, max_size=4),
        st.dictionaries(NAMES, inner, min_size=1, max_size=4).map(Record),
        st.dictionaries(NAMES.map(ModelValue), inner, min_size=1, max_size=4).map(Record),
    )


VALUES = st.recursive(SCALARS, _composite, max_leaves=12)


@given(VALUES)
def test_a_value_that_is_written_is_read_again(value: Any) -> None:
    assert parse_value(format_value(value)) == value


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=5))
def test_a_state_is_read_in_each_form_that_tlc_gives_it(state: dict[str, Any]) -> None:
    text = format_state(state)
    assert parse_state(text) == state
    label = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    assert parse_state(label) == state


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-3", -3),
        ("TRUE", True),
        ('"a\\"b\\\\c\\nd"', 'a"b\\c\nd'),
        ("n1", ModelValue("n1")),
        ("<< >>", ()),
        ("{}", frozenset()),
        ("1..3", frozenset({1, 2, 3})),
        ("-1..0", frozenset({-1, 0})),
        ("2..1", frozenset()),
        ('<<1, <<n1, "x">>>>', (1, (ModelValue("n1"), "x"))),
        ("(n1 :> 0 @@ n2 :> TRUE)", {"n1": 0, "n2": True}),
        ("(2 :> b @@ 1 :> a)", ("a", "b")),
        ("(0 :> a @@ 1 :> b)", {0: "a", 1: "b"}),
        ("(7)", 7),
        (
            "{ [ from |-> n1,\n    at |-> 0 ],\n  [from |-> n2, at |-> 1] }",
            frozenset({Record({"from": "n1", "at": 0}), Record({"from": "n2", "at": 1})}),
        ),
    ],
)
def test_what_tlc_prints_is_read(text: str, value: object) -> None:
    read = parse_value(text)
    assert read == value
    assert type(read) is type(value) or isinstance(read, Record)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{1, 2", "expected ',', found the end at line 1, column 6"),
        ("[a |-> ]", "expected a value, found ']' at line 1, column 8"),
        ("[1 |-> 2]", "expected a field name, found '1' at line 1, column 2"),
        ("[a |-> 1, b]", "expected '|->', found ']' at line 1, column 12"),
        ("<<1 2>>", "expected ',', found '2' at line 1, column 5"),
        ("(a :> 1 @@ )", "expected a value, found ')' at line 1, column 12"),
        ("(a :> 1, b)", "expected '@@', found ',' at line 1, column 8"),
        ("(a :> 1 @@ b)", "expected ':>', found ')' at line 1, column 13"),
        ("{1}\n  x", "expected the end of the value, found 'x' at line 2, column 3"),
        ("", "expected a value, found the end at line 1, column 1"),
        ("1..", "expected a number, found the end at line 1, column 4"),
        ("1..9999999", "expected an interval of fewer than"),
        ("  #", "unexpected '#' at line 1, column 3"),
        ('"abc', "unexpected '\"' at line 1, column 1"),
        ("{" * 100_000, "nested too deeply"),
    ],
)
def test_malformed_text_is_refused_with_its_position(text: str, problem: str) -> None:
    with pytest.raises(TlaSyntaxError) as caught:
        parse_value(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected a state, found nothing"),
        ("hello", "expected 'variable = value' at line 1, column 1"),
        ("/\\ x = 1\n/\\ y = {", "variable y: expected a value, found the end at line 2, column 9"),
        ("x = 1 2", "variable x: expected the end of the value, found '2' at line 1, column 7"),
    ],
)
def test_a_malformed_state_names_its_variable(text: str, problem: str) -> None:
    with pytest.raises(TlaSyntaxError) as caught:
        parse_state(text)
    assert problem in str(caught.value)


def test_the_forms_of_a_state() -> None:
    assert parse_state("x = 1") == {"x": 1}
    assert parse_state('x = \\"a\\"') == {"x": "a"}
    assert parse_state(r'/\ x = 1\n/\ y = <<"a", 2>>') == {"x": 1, "y": ("a", 2)}
    assert parse_state(r"/\\ x = \"a\\\"b\"\n/\\ y = 2") == {"x": 'a"b', "y": 2}


def test_states_share_values_that_nobody_can_change() -> None:
    first, second = (parse_state(f"/\\ last = [n1 |-> 0]\n/\\ now = {now}") for now in (1, 2))
    assert first["last"] is second["last"]
    changes: list[Callable[[Any], object]] = [
        lambda value: value.update(n1=1),
        lambda value: value.__setitem__("n1", 1),
        lambda value: value.pop("n1"),
        lambda value: value.clear(),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="cannot be changed"):
            change(first["last"])
    assert {first["last"]: 1}[second["last"]] == 1


def test_a_record_can_be_copied_and_sent_to_another_process() -> None:
    record = Record({"a": 1, "b": frozenset({Record({"c": 2})})})
    assert pickle.loads(pickle.dumps(record)) == record
    assert copy.deepcopy(record) == record
    assert hash(copy.copy(record)) == hash(record)


def test_only_values_of_tla_can_be_written() -> None:
    with pytest.raises(TypeError, match="is no TLA"):
        format_value(1.5)
    assert format_value(Record()) == "<<>>"
    assert repr(ModelValue("n1")) == "n1"
