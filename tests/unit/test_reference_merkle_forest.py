"""The forest's rules one by one, the encoding of rows, and trees: the same set, the same digest."""

from __future__ import annotations

import math
import random
import struct
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from uuid import UUID

import pytest

from scratchbird_reference.errors import CallerError, ConfigurationError
from scratchbird_reference.merkle_forest import (
    DIGITS,
    FAN_OUT,
    MS_SHIFT,
    NOTHING_THERE,
    Entry,
    Inner,
    Leaf,
    Prefix,
    Rules,
    Shape,
    Tree,
    digits,
)
from scratchbird_reference.merkle_forest_rows import MAX_DEPTH, Encoding, Value
from scratchbird_reference.quorum_messages import Held

RULES = Rules()
SHAPE = Shape(window_ms=10, most_in_leaf=2)
CODE = Encoding()


def entries(*rows: int, version: int = 5) -> tuple[Entry, ...]:
    return tuple(RULES.entry_of(row, Held(version, b"v%d" % row)) for row in rows)


def tree(rows: range | list[int]) -> Tree:
    return Tree(RULES, SHAPE, entries(*rows))


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["window_ms", "most_in_leaf", "encoding"])
@pytest.mark.parametrize("value", [0, -1, True, 1.5])
def test_a_setting_that_is_none_is_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Shape(**{name: value})  # type: ignore[arg-type]


def test_no_two_settings_have_a_window_in_common() -> None:
    shapes = [Shape(), Shape(number=1), Shape(window_ms=1), Shape(most_in_leaf=1), Shape(encoding=2)]
    digests = {RULES.window_digest(shape, 3, b"tree") for shape in shapes}
    assert len(digests) == len(shapes)
    assert not RULES.comparable(shapes[0], shapes[1])
    assert RULES.comparable(shapes[0], Shape())


def test_the_number_of_a_window_is_in_its_digest_and_an_empty_window_has_none() -> None:
    assert RULES.window_digest(SHAPE, 1, b"tree") != RULES.window_digest(SHAPE, 2, b"tree")
    assert RULES.window_digest(SHAPE, 1, NOTHING_THERE) == NOTHING_THERE


def test_a_window_is_that_of_a_versions_millisecond_and_sealed_some_time_after_its_end() -> None:
    assert [RULES.window_of(SHAPE, ms << MS_SHIFT) for ms in (0, 9, 10, 25)] == [0, 0, 1, 2]
    sealed = [RULES.is_sealed(SHAPE, 1, ms << MS_SHIFT, 5) for ms in (10, 20, 24, 25, 99)]
    assert sealed == [False, False, False, True, True]
    assert RULES.may_amend(is_sealed=True)


# --- digests ----------------------------------------------------------------------------------------------


def test_what_is_hashed_says_what_it_is_and_where_its_parts_end() -> None:
    different = [
        RULES.hashed("leaf", b"ab", b"c"),
        RULES.hashed("leaf", b"a", b"bc"),
        RULES.hashed("leaf", b"abc"),
        RULES.hashed("leaf", b"abc", b""),
        RULES.hashed("node", b"abc"),
        RULES.hashed("leafa", b"bc"),
        RULES.hashed("leaf"),
    ]
    assert len(set(different)) == len(different)


def test_the_bytes_that_are_hashed_are_those_of_the_specification() -> None:
    def cut(hashed: bytes, last_bit: int) -> bytes:
        digest = sha256(hashed).digest()[:16]
        return digest[:-1] + bytes([digest[-1] & 0xFE | last_bit])

    key, version = bytes(7) + b"\x09", bytes(15) + b"\x05"
    place = sha256(b"\x03key\x01\x08" + key).digest()[:16]
    assert RULES.place_of(9) == place
    row = b"\x03row\x04\x08" + key + b"\x10" + version
    there, gone = (RULES.entry_of(9, Held(5, value)) for value in (b"x" * 300, None))
    assert there.record == place + version + cut(row + b"\x05value\xac\x02" + b"x" * 300, 0)
    assert gone.record == place + version + cut(row + b"\x07deleted\x00", 1)
    first, second = sorted((there, RULES.entry_of(8, Held(7, b""))), key=lambda entry: entry.place)
    leaf = sha256(b"\x04leaf\x02\x30" + first.record + b"\x30" + second.record).digest()
    assert RULES.leaf_digest((second, first)) == leaf
    node = sha256(b"\x04node\x10\x20" + leaf + bytes(15)).digest()
    assert RULES.inner_digest((leaf, *[b""] * 15)) == node
    numbers = b"".join(number.to_bytes(8, "big") for number in (1, 1000, 4, 2))
    window = sha256(b"\x06window\x03\x20" + numbers + b"\x08" + bytes(7) + b"\x03\x20" + node).digest()
    assert RULES.window_digest(Shape(1, 1000, 4, 2), 3, node) == window


def test_a_length_is_told_as_short_as_can_be_and_none_begins_as_another_one_does() -> None:
    lengths = [
        *range(20_000),
        *(1 << bit for bit in range(14, 63)),
        *((1 << bit) - 1 for bit in range(14, 63)),
    ]
    written = sorted({RULES.length(length) for length in lengths})
    assert len(written) == len(set(lengths))
    assert not any(after.startswith(before) for before, after in pairwise(written))
    assert [RULES.length(length) for length in (0, 127, 128, 300)] == [b"\0", b"\x7f", b"\x80\1", b"\xac\2"]


def test_an_entry_is_of_the_row_the_version_and_what_was_written() -> None:
    held = [Held(5, b"x"), Held(6, b"x"), Held(5, b"y"), Held(5, b""), Held(5, None)]
    digests = {RULES.entry_of(row, each).digest for row in (1, 2) for each in held}
    assert len(digests) == 2 * len(held)
    assert RULES.entry_of(1, Held(5, None)).deletes
    older, newer = RULES.entry_of(1, Held(5, b"x")), RULES.entry_of(1, Held(6, b"a"))
    assert newer.rank > older.rank


def test_a_leaf_is_not_to_be_taken_for_a_node_nor_a_subtree_for_a_row() -> None:
    """A set whose leaf's bytes are a node's would have that node's digest, were it not for what it is."""
    one = entries(1)[0]
    leaf = RULES.leaf_digest((one,))
    assert leaf != RULES.inner_digest((one.place + one.digest,))
    assert leaf != RULES.hashed("row", one.place + one.digest)


# --- trees ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_set_has_one_digest_in_whatever_order_it_came(seed: int) -> None:
    rows = list(range(50))
    random.Random(seed).shuffle(rows)
    assert tree(rows).digest() == tree(range(50)).digest()


def test_every_set_of_rows_has_a_digest_of_its_own() -> None:
    digests = {tree([row for row in range(8) if mask >> row & 1]).digest() for mask in range(1 << 8)}
    assert len(digests) == 1 << 8
    assert tree([]).digest() == NOTHING_THERE


def test_a_row_more_changes_one_path() -> None:
    before, after = tree(range(400)), tree(range(401))
    place = digits(entries(400)[0].place)
    left: list[Prefix] = [()]
    different = 0
    while left:
        prefix = left.pop()
        if before.digest(prefix) == after.digest(prefix):
            continue
        different += 1
        assert prefix == place[: len(prefix)]
        if isinstance(after.node(prefix), Inner):
            left.extend((*prefix, digit) for digit in range(FAN_OUT))
    assert 2 <= different <= 5


def test_a_node_is_a_leaf_or_its_childrens_digests() -> None:
    many = tree(range(40))
    node = many.node()
    assert isinstance(node, Inner)
    assert node.children == tuple(many.digest((digit,)) for digit in range(FAN_OUT))
    assert many.digest() == RULES.inner_digest(node.children)
    few = tree([1, 2])
    assert few.node() == Leaf(tuple(sorted(entries(1, 2))))
    assert few.digest() == RULES.leaf_digest(entries(2, 1))
    assert few.node(digits(b"\xff")) in (Leaf(), Leaf(few.under(digits(b"\xff"))))


def test_places_that_are_the_same_end_in_one_leaf() -> None:
    """Two keys with one hash, if anybody ever finds them: no path without an end."""
    place = bytes(16)
    same = tuple(Entry(place, row, 5, b"d%d" % row) for row in range(5))
    clash = Tree(RULES, SHAPE, same)
    assert clash.digest() != Tree(RULES, SHAPE, same[:4]).digest()
    assert clash.node(digits(place)) == Leaf(same)
    assert len(digits(place)) == DIGITS


# --- what is shown ----------------------------------------------------------------------------------------


def test_what_is_shown_is_what_is_held_up_to_the_stable_time() -> None:
    old, new = entries(1, version=4)[0], entries(1, version=6)[0]
    assert RULES.shows(old, new, 6) == new
    assert RULES.shows(old, new, 5) == old
    assert RULES.shows(None, new, 5) is None


def test_what_is_purged_and_what_is_taken_out_with_it() -> None:
    value, tomb = entries(1, version=4)[0], RULES.entry_of(1, Held(4, None))
    assert [RULES.is_purged(floor, tomb) for floor in (3, 4)] == [False, True]
    assert not RULES.is_purged(9, value)
    assert RULES.is_taken_out(4, tomb, 4)
    assert RULES.is_taken_out(4, value, 9)
    assert not RULES.is_taken_out(4, value, 4)
    assert not RULES.is_taken_out(3, tomb, 9)


def test_the_rules_of_an_exchange() -> None:
    assert [RULES.may_tell(dirty) for dirty in (False, True)] == [True, False]
    assert [RULES.has_succeeded(left) for left in (0, 1)] == [True, False]
    assert [RULES.takes_over(floor, entries(1, version=4)[0]) for floor in (3, 4)] == [True, False]
    assert all(RULES.takes_part(drives) for drives in (False, True))


# --- rows -------------------------------------------------------------------------------------------------


NAN = struct.unpack(">d", b"\xff\xf8\x00\x00\x00\x00\x00\x07")[0]
MOMENT = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (math.nan, NAN),
        (Decimal("NaN"), Decimal("-NaN")),
        (Decimal("-0"), Decimal("0")),
        (MOMENT, MOMENT.astimezone(timezone(timedelta(hours=2)))),
    ],
)
def test_what_a_client_can_not_tell_apart_is_the_same(one: Value, other: Value) -> None:
    assert CODE.value_bytes(one) == CODE.value_bytes(other)
    assert CODE.key_bytes((one,)) == CODE.key_bytes((other,))


APART: list[Value] = [
    None, False, True, 0, 1, -1, 255, 256, -256, 1 << 80, 0.0, -0.0, 1.0, math.inf, -math.inf, math.nan,
    Decimal(0), Decimal("0.0"), Decimal("1.0"), Decimal("1.00"), Decimal("-1.0"), Decimal("10"),
    Decimal("1E+1"), Decimal("Infinity"), Decimal("-Infinity"), Decimal("NaN"),
    "", "a", "ab", "A", "é", "e\u0301", "\x00", b"", b"a", b"\x00", UUID(int=0), UUID(int=1),
    MOMENT, MOMENT + timedelta(microseconds=1), datetime(1969, 1, 1, tzinfo=UTC),
    (), ((),), (None,), (1, 2), (1, (2,)), ("ab", "c"), ("a", "bc"),
]  # fmt: skip


def test_what_a_client_can_tell_apart_is_different() -> None:
    written = [CODE.value_bytes(value) for value in APART]
    assert len(set(written)) == len(APART)
    pairs = [CODE.row_bytes(1, {1: one, 2: other}) for one in APART for other in APART]
    assert len(set(pairs)) == len(APART) ** 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.0, -0.0),
        (Decimal("1.0"), Decimal("1.00")),
        (Decimal("10"), Decimal("1E+1")),
        (Decimal("0.00"), Decimal("-0")),
        ((Decimal("2.50"),), (Decimal("2.5"),)),
    ],
)
def test_a_key_is_what_sql_holds_for_equal(one: Value, other: Value) -> None:
    assert CODE.key_bytes((one,)) == CODE.key_bytes((other,))
    assert CODE.key_bytes((one, "x")) != CODE.key_bytes((other, "y"))


def test_keys_that_are_not_equal_are_different() -> None:
    keys: list[Value] = [
        Decimal("1"),
        Decimal("10"),
        Decimal("0.1"),
        Decimal("-1"),
        Decimal(0),
        Decimal("Infinity"),
        1,
        1.0,
        "1",
    ]
    assert len({CODE.key_bytes((key,)) for key in keys}) == len(keys)
    assert CODE.key_bytes(("ab", "c")) != CODE.key_bytes(("a", "bc"))
    assert CODE.key_bytes(()) != CODE.key_bytes((None,))


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "00"),
        (True, "01 01"),
        (False, "01 00"),
        (0, "02 00000001 2b"),
        (-256, "02 00000003 2d 0100"),
        (-0.0, "03 8000000000000000"),
        (math.nan, "03 7ff8000000000000"),
        (Decimal("-1.00"), "04 00000006 2d fffffffe 64"),
        (Decimal("-0"), "04 00000005 2b 00000000"),
        (Decimal("-Infinity"), "04 00000004 2d696e66"),
        ("\u00e9", "05 00000002 c3a9"),
        (b"", "06 00000000"),
        (UUID(int=1), "07 00000000000000000000000000000001"),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), "08 fffffffffff0bdc0"),
        ((None, (7,)), "09 00000002 00 09 00000001 02 00000002 2b07"),
    ],
    ids=str,
)
def test_the_bytes_of_a_value_are_those_of_the_specification(value: Value, written: str) -> None:
    assert CODE.row_bytes(3, {5: value}) == bytes.fromhex("00000003 00000001 00000005" + written)
    in_key = {"-0.0": "03 0000000000000000", "-1.00": "04 00000006 2d 00000000 01"}.get(str(value), written)
    assert CODE.key_bytes((value,)) == bytes.fromhex("00000001" + in_key)


def test_a_row_is_its_schema_and_its_columns_in_the_order_of_their_numbers() -> None:
    assert CODE.row_bytes(1, {1: "a", 2: None}) == CODE.row_bytes(1, {2: None, 1: "a"})
    rows: list[tuple[int, dict[int, Value]]] = [
        (1, {1: "a"}),
        (2, {1: "a"}),
        (1, {2: "a"}),
        (1, {1: "a", 2: None}),
        (1, {1: "a", 2: ""}),
    ]
    assert len({CODE.row_bytes(schema, columns) for schema, columns in rows}) == len(rows)


def nested(depth: int) -> Value:
    value: Value = 1
    for _ in range(depth):
        value = (value,)
    return value


def test_a_decimal_may_have_more_digits_than_python_reads_as_a_number() -> None:
    number = 10**4_999 + 7
    written = number.to_bytes((number.bit_length() + 7) // 8, "big")
    value = Decimal((0, (1, *[0] * 4_998, 7), -3))
    sized = (1 + 4 + len(written)).to_bytes(4, "big") + b"+" + (-3).to_bytes(4, "big", signed=True) + written
    assert CODE.value_bytes(value) == CODE.value_bytes(value, in_key=True) == b"\x04" + sized
    assert CODE.key_bytes((Decimal((0, (0, 0), 3)),)) == CODE.key_bytes((Decimal(0),))


def test_what_has_no_encoding_is_refused() -> None:
    assert CODE.value_bytes(nested(MAX_DEPTH))
    for value, message in (
        (nested(MAX_DEPTH + 1), "more than 8 deep"),
        ("\ud800", "can not be written in UTF-8"),
        (datetime(2026, 11, 25), "has no time zone: say which"),
        (Decimal((0, (1,), 1 << 31)), "its exponent 2147483648 takes more than 32 bits"),
        (Decimal((0, (1,), -(1 << 31) - 1)), "its exponent -2147483649 takes more than 32 bits"),
        ({1: 2}, "is a dict: there is no encoding for it"),
    ):
        with pytest.raises(CallerError, match=message):
            CODE.value_bytes(value)  # type: ignore[arg-type]
    with pytest.raises(CallerError, match="schema version -1 is out of range"):
        CODE.row_bytes(-1, {})
    with pytest.raises(CallerError, match="column -1 is out of range"):
        CODE.row_bytes(1, {-1: None})
