"""The reference's ids, rule by rule (``spec/uuid8.md``)."""

from __future__ import annotations

import itertools
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scratchbird_reference.errors import CallerError, ReferenceLibraryError
from scratchbird_reference.uuid8 import (
    MAX_COUNTER,
    MAX_MS,
    MAX_NODE_ID,
    MAX_RANDOM,
    Timestamp,
    UuidV8,
    check_node_id,
    check_random,
    check_timestamp,
)

OURS = UuidV8(Timestamp(0x0123456789AB, 0xCDE), 0xF012, 0x0FEDCBA98765)

ids = st.builds(
    UuidV8,
    st.builds(Timestamp, st.integers(0, MAX_MS), st.integers(0, MAX_COUNTER)),
    st.integers(1, MAX_NODE_ID),
    st.integers(0, MAX_RANDOM),
)


def test_r1_each_field_stands_where_the_layout_has_it() -> None:
    """UUID8.R1: milliseconds 0-47, version 48-51, counter 52-63, variant 64-65, node 66-81, random 82-127."""
    bits = f"{int(OURS):0128b}"
    assert int(bits[0:48], 2) == OURS.timestamp.ms
    assert bits[48:52] == "1000"
    assert int(bits[52:64], 2) == OURS.timestamp.counter
    assert bits[64:66] == "10"
    assert int(bits[66:82], 2) == OURS.node_id
    assert int(bits[82:128], 2) == OURS.random


def test_r1_the_limits_fill_every_bit_but_those_of_version_and_variant() -> None:
    """UUID8.R1"""
    assert str(UuidV8(Timestamp(MAX_MS, MAX_COUNTER), MAX_NODE_ID, MAX_RANDOM)) == (
        "ffffffff-ffff-8fff-bfff-ffffffffffff"
    )
    assert str(UuidV8(Timestamp(0, 0), 1, 0)) == "00000000-0000-8000-8000-400000000000"


def test_r1_the_standard_library_reads_version_and_variant() -> None:
    """UUID8.R1: an id is a UUID of RFC 9562."""
    value = OURS.to_uuid()
    assert value.variant == uuid.RFC_4122
    assert value.version == 8


def test_r2_node_ids_are_1_to_65535() -> None:
    """UUID8.R2: 0 is reserved."""
    for node in (1, MAX_NODE_ID):
        check_node_id(node)
        assert UuidV8(Timestamp(0, 0), node, 0).node_id == node
    for node in (0, -1, MAX_NODE_ID + 1):
        with pytest.raises(CallerError, match=f"node id {node} is out of range: it must be from 1 to 65535"):
            check_node_id(node)
        with pytest.raises(CallerError):
            UuidV8(Timestamp(0, 0), node, 0)


@given(ids, ids)
@settings(derandomize=True, database=None)
def test_r3_byte_order_is_the_order_of_the_fields(a: UuidV8, b: UuidV8) -> None:
    """UUID8.R3: of bytes, of text, of numbers, and of the values themselves."""
    fields = (*a.timestamp, a.node_id, a.random) < (*b.timestamp, b.node_id, b.random)
    assert (a < b) == fields
    assert (bytes(a) < bytes(b)) == fields
    assert (str(a) < str(b)) == fields
    assert (int(a) < int(b)) == fields
    assert (a.to_uuid() < b.to_uuid()) == fields


def test_r3_a_field_that_stands_earlier_decides() -> None:
    """UUID8.R3"""
    rising = [
        UuidV8(Timestamp(5, 5), 5, 5),
        UuidV8(Timestamp(5, 5), 5, 6),
        UuidV8(Timestamp(5, 5), 6, 0),
        UuidV8(Timestamp(5, 6), 1, 0),
        UuidV8(Timestamp(6, 0), 1, 0),
    ]
    assert rising == sorted(rising, key=bytes)
    assert all(a < b for a, b in itertools.pairwise(rising))
    assert len({*rising, *rising}) == 5


@pytest.mark.parametrize("version", [*range(8), *range(9, 16)])
def test_r4_other_versions_are_refused(version: int) -> None:
    """UUID8.R4, and UUID8.R5: they can not be compared with ours."""
    foreign = int(OURS) & ~(0xF << 76) | version << 76
    with pytest.raises(CallerError, match=f"has version {version}, not 8"):
        UuidV8.from_int(foreign)


@pytest.mark.parametrize("variant", [0b00, 0b01, 0b11])
def test_r4_other_variants_are_refused(variant: int) -> None:
    """UUID8.R4"""
    foreign = int(OURS) & ~(0b11 << 62) | variant << 62
    with pytest.raises(CallerError, match=f"has variant bits {variant:02b}, not 10"):
        UuidV8.from_int(foreign)


def test_r4_a_node_id_of_zero_is_refused_when_it_is_read() -> None:
    """UUID8.R4, UUID8.R2"""
    with pytest.raises(CallerError, match="node id 0"):
        UuidV8.from_int(int(OURS) & ~(0xFFFF << 46))


@pytest.mark.parametrize(
    "foreign",
    [uuid.UUID(int=0), uuid.UUID(int=(1 << 128) - 1), uuid.UUID("919108f7-52d1-4320-9bac-f847db4148a8")],
)
def test_r4_foreign_uuids_are_refused_in_every_form(foreign: uuid.UUID) -> None:
    """UUID8.R4: nil, max, version 4."""
    with pytest.raises(CallerError, match="version"):
        UuidV8.from_uuid(foreign)
    with pytest.raises(CallerError, match="version"):
        UuidV8.from_bytes(foreign.bytes)
    with pytest.raises(CallerError, match="version"):
        UuidV8.from_int(foreign.int)
    with pytest.raises(CallerError, match="version"):
        UuidV8.parse(str(foreign))


@given(ids)
@settings(derandomize=True, database=None)
def test_r6_conversions_lose_nothing(made: UuidV8) -> None:
    """UUID8.R6"""
    assert UuidV8.from_int(int(made)) == made
    assert UuidV8.from_bytes(bytes(made)) == made
    assert UuidV8.from_uuid(made.to_uuid()) == made
    assert UuidV8.parse(str(made)) == made
    assert UuidV8.parse(str(made).upper()) == made
    assert hash(UuidV8.parse(str(made))) == hash(made)


@pytest.mark.parametrize("value", [-1, 1 << 128])
def test_r6_numbers_of_more_than_128_bits_are_refused(value: int) -> None:
    """UUID8.R6"""
    with pytest.raises(CallerError, match="128 bits"):
        UuidV8.from_int(value)


@pytest.mark.parametrize("length", [0, 15, 17, 36])
def test_r6_other_than_16_bytes_are_refused(length: int) -> None:
    """UUID8.R6"""
    with pytest.raises(CallerError, match=f"these are {length}"):
        UuidV8.from_bytes(b"\x80" * length)


@pytest.mark.parametrize(
    "text",
    [
        "",
        str(OURS)[:-1],
        str(OURS) + "0",
        str(OURS) + "\n",
        " " + str(OURS),
        str(OURS).replace("-", ""),
        "{" + str(OURS) + "}",
        "urn:uuid:" + str(OURS),
        "0123456789-ab-8cde-bc04-8fedcba98765",
        "g" + str(OURS)[1:],
        "\N{ARABIC-INDIC DIGIT ONE}" + str(OURS)[1:],
        "x" * 1_000_000,
        5,
        None,
    ],
)
def test_r6_malformed_text_is_refused_in_few_words(text: Any) -> None:
    """UUID8.R6"""
    with pytest.raises(CallerError, match="is no UUID text: expected 8-4-4-4-12") as caught:
        UuidV8.parse(text)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((-1, 0), "milliseconds -1 is out of range: it must be from 0 to 281474976710655"),
        ((MAX_MS + 1, 0), "milliseconds 281474976710656 is out of range"),
        ((0, -1), "counter -1 is out of range"),
        ((0, MAX_COUNTER + 1), "counter 4096 is out of range: it must be from 0 to 4095"),
        (("5", 0), "milliseconds '5' is no whole number: pass an int from 0 to"),
        ((5.0, 0), "milliseconds 5.0 is no whole number"),
        ((0, True), "counter True is no whole number"),
        ((None, 0), "milliseconds None is no whole number"),
    ],
)
def test_bad_timestamps_are_named(parts: tuple[Any, Any], message: str) -> None:
    timestamp = Timestamp(*parts)
    with pytest.raises(CallerError) as caught:
        check_timestamp(timestamp)
    assert message in str(caught.value)
    with pytest.raises(CallerError) as caught:
        UuidV8(timestamp, 1, 0)
    assert message in str(caught.value)


def test_bad_random_bits_are_named() -> None:
    check_random(MAX_RANDOM)
    for random in (-1, MAX_RANDOM + 1):
        with pytest.raises(CallerError, match=f"random {random} is out of range"):
            check_random(random)
        with pytest.raises(CallerError):
            UuidV8(Timestamp(0, 0), 1, random)


def test_errors_are_of_one_family() -> None:
    assert issubclass(CallerError, ReferenceLibraryError)
    assert issubclass(CallerError, ValueError)
