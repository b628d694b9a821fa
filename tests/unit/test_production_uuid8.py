"""The production id: its layout, its order, and every value that it refuses, beside the reference."""

from __future__ import annotations

import copy
import pickle
import random
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest

from scratchbird.errors import CallerError, ScratchbirdError
from scratchbird.timestamp import MAX_COUNTER, MAX_MS, MAX_NODE_ID, MAX_RANDOM
from scratchbird.uuid8 import Timestamp, UuidV8
from scratchbird_reference import errors as reference_errors
from scratchbird_reference import uuid8 as reference

CORNERS = [
    ((0, 0), 1, 0),
    ((MAX_MS, MAX_COUNTER), MAX_NODE_ID, MAX_RANDOM),
    ((1, 0), 1, 0),
    ((0, 1), 1, 0),
    ((0, MAX_COUNTER), 1, MAX_RANDOM),
    ((0x123456789ABC, 0xDEF), 0x1234, 0x3FEDCBA98765),
    ((1 << 47, 1 << 11), 1 << 15, 1 << 45),
]


def sample(count: int) -> list[tuple[tuple[int, int], int, int]]:
    dice = random.Random(8)
    drawn = [
        (
            (dice.getrandbits(dice.choice([1, 2, 48])), dice.getrandbits(dice.choice([1, 12]))),
            dice.randint(1, dice.choice([2, MAX_NODE_ID])),
            dice.getrandbits(dice.choice([1, 46])),
        )
        for _ in range(count)
    ]
    return CORNERS + drawn


def pairs() -> list[tuple[UuidV8, reference.UuidV8]]:
    return [(UuidV8(t, n, r), reference.UuidV8(reference.Timestamp(*t), n, r)) for t, n, r in sample(200)]


def test_layout_is_the_references() -> None:
    for mine, theirs in pairs():
        assert bytes(mine) == mine.bytes == bytes(theirs)
        assert int(mine) == mine.int == int(theirs)
        assert str(mine) == str(theirs)
        assert (mine.timestamp, mine.node_id, mine.random) == (
            theirs.timestamp,
            theirs.node_id,
            theirs.random,
        )
        assert (mine.ms, mine.counter) == mine.timestamp
        assert isinstance(mine.timestamp, Timestamp)


def test_forms_are_those_of_the_standard_library() -> None:
    for mine, _ in pairs():
        standard = mine.to_uuid()
        assert type(standard) is uuid.UUID
        for form in ("int", "bytes", "hex", "urn", "version", "variant"):
            assert getattr(mine, form) == getattr(standard, form)
        assert str(mine) == str(standard)
        assert repr(mine) == f"UuidV8('{standard}')"


def test_every_form_reads_back() -> None:
    for mine, _ in pairs():
        assert UuidV8.from_int(mine.int) == mine
        assert UuidV8.from_bytes(mine.bytes) == mine
        assert UuidV8.from_bytes(bytearray(mine.bytes)) == mine
        assert UuidV8.from_bytes(memoryview(mine.bytes)) == mine
        assert UuidV8.from_uuid(mine.to_uuid()) == mine
        assert UuidV8.parse(str(mine)) == mine
        assert UuidV8.parse(str(mine).upper()) == mine


def test_order_is_the_order_of_fields_and_of_bytes() -> None:
    drawn = sample(120)
    ids = [UuidV8(*parts) for parts in drawn]
    for parts, mine in zip(drawn, ids, strict=True):
        for other_parts, other in zip(drawn, ids, strict=True):
            assert (mine < other) == (parts < other_parts) == (mine.bytes < other.bytes)
            assert (mine <= other) == (parts <= other_parts)
            assert (mine > other) == (parts > other_parts)
            assert (mine >= other) == (parts >= other_parts)
            assert (mine == other) == (parts == other_parts)
            assert (mine != other) == (parts != other_parts)
    assert [mine.bytes for mine in sorted(ids)] == sorted(mine.bytes for mine in ids)


def test_words_are_compared_without_a_sign() -> None:
    """The top bit of either half decides, as in bytes: a signed comparison would turn the order round."""
    assert UuidV8((1 << 47, 0), 1, 0) > UuidV8(((1 << 47) - 1, 0), 1, 0)
    low, high = UuidV8((0, 0), 1, 0), UuidV8((0, 0), 1 << 15, 0)
    assert low < high


def test_interoperates_with_uuid() -> None:
    ids = [UuidV8(*parts) for parts in sample(60)]
    for mine in ids:
        standard = mine.to_uuid()
        assert mine == standard
        assert standard == mine
        assert hash(mine) == hash(standard)
        assert {mine: 1}[standard] == 1
        for other in ids:
            assert (mine < other.to_uuid()) == (mine < other)
            assert (mine.to_uuid() < other) == (mine < other)
            assert (mine.to_uuid() >= other) == (mine >= other)
            assert (mine != other.to_uuid()) == (mine != other)
    lowest, highest = uuid.UUID(int=0), uuid.UUID(int=(1 << 128) - 1)
    assert lowest < ids[0] < highest
    assert ids[0] != highest


def test_hash_is_equal_for_equal_ids_only_in_a_sample() -> None:
    ids = {UuidV8(*parts) for parts in sample(2000)}
    assert len({hash(mine) for mine in ids}) == len(ids)


@pytest.mark.parametrize("other", [5, "x", None, b"0" * 16, (1, 2)])
def test_is_not_equal_to_and_not_comparable_with_anything_else(other: object) -> None:
    mine = UuidV8((1, 2), 3, 4)
    assert mine != other
    with pytest.raises(TypeError):
        assert mine < other  # type: ignore[operator]  # That is what the test is about.


def test_pickles_and_copies() -> None:
    for mine, _ in pairs():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(mine, protocol)) == mine
        assert copy.copy(mine) is mine
        assert copy.deepcopy([mine])[0] is mine


def test_a_forged_pickle_is_refused() -> None:
    forged = pickle.dumps(UuidV8((1, 2), 3, 4), 2).replace(UuidV8((1, 2), 3, 4).bytes, bytes(16))
    if forged == pickle.dumps(UuidV8((1, 2), 3, 4), 2):  # Protocol 2 writes bytes as text.
        forged = pickle.dumps(UuidV8((1, 2), 3, 4), 4).replace(UuidV8((1, 2), 3, 4).bytes, bytes(16))
    with pytest.raises(CallerError, match="version 0"):
        pickle.loads(forged)


def test_is_immutable() -> None:
    mine = UuidV8((1, 2), 3, 4)
    for name in ("ms", "counter", "node_id", "random", "int", "bytes", "high", "anything"):
        with pytest.raises(AttributeError):
            setattr(mine, name, 5)
    with pytest.raises(TypeError, match="can not be changed"):
        mine.__init__((5, 6), 7, 8)  # type: ignore[misc]  # That is what the test is about.
    assert mine == UuidV8((1, 2), 3, 4)
    with pytest.raises(TypeError):
        type("Sub", (UuidV8,), {})


def test_takes_parts_by_name_as_the_reference_does() -> None:
    assert UuidV8(timestamp=Timestamp(1, 2), node_id=3, random=4).timestamp == (1, 2)


@pytest.mark.parametrize(
    ("timestamp", "node_id", "bits"),
    [
        ((-1, 0), 1, 0),
        ((MAX_MS + 1, 0), 1, 0),
        ((1 << 200, 0), 1, 0),
        ((0, -1), 1, 0),
        ((0, MAX_COUNTER + 1), 1, 0),
        ((0, 0), 0, 0),
        ((0, 0), MAX_NODE_ID + 1, 0),
        ((0, 0), -1, 0),
        ((0, 0), 1, -1),
        ((0, 0), 1, MAX_RANDOM + 1),
        ((0, 0), 1, 1 << 64),
        ((True, 0), 1, 0),
        ((0, 0), True, 0),
        ((0, 0), 1, 0.0),
        ((0, 0), "1", 0),
        ((None, 0), 1, 0),
    ],
)
def test_refuses_the_parts_that_the_reference_refuses(
    timestamp: object, node_id: object, bits: object
) -> None:
    with pytest.raises(reference_errors.CallerError) as theirs:
        reference.UuidV8(reference.Timestamp(*timestamp), node_id, bits)  # type: ignore[misc, arg-type]  # Bad input.
    with pytest.raises(CallerError) as mine:
        UuidV8(timestamp, node_id, bits)  # type: ignore[arg-type]  # Bad input.
    assert str(mine.value) == str(theirs.value)
    assert isinstance(mine.value, ValueError)
    assert isinstance(mine.value, ScratchbirdError)


@pytest.mark.parametrize("timestamp", [5, (1,), (1, 2, 3), None, "12", [1, 2]])
def test_refuses_what_is_no_timestamp(timestamp: object) -> None:
    with pytest.raises(CallerError, match="is no timestamp: pass"):
        UuidV8(timestamp, 1, 0)  # type: ignore[arg-type]  # Bad input.


FOREIGN = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "01890a5d-ac96-774b-bcce-b302099a8057",  # version 7
    "3d813cbb-47fb-42ba-91df-831e1593ac29",  # version 4
    "01890a5d-ac96-874b-4cce-b302099a8057",  # variant 01
    "01890a5d-ac96-874b-0cce-b302099a8057",  # variant 00
    "01890a5d-ac96-874b-fcce-b302099a8057",  # variant 11
    "01890a5d-ac96-874b-8000-3302099a8057",  # node id 0
]


@pytest.mark.parametrize("text", FOREIGN)
def test_refuses_foreign_uuids_in_the_words_of_the_reference(text: str) -> None:
    standard = uuid.UUID(text)
    with pytest.raises(reference_errors.CallerError) as theirs:
        reference.UuidV8.from_uuid(standard)
    for read in (
        lambda: UuidV8.from_uuid(standard),
        lambda: UuidV8.from_bytes(standard.bytes),
        lambda: UuidV8.from_int(standard.int),
        lambda: UuidV8.parse(text),
    ):
        with pytest.raises(CallerError) as mine:
            read()
        assert str(mine.value) == str(theirs.value)


GOOD = "00000000-0005-8006-8001-c00000000008"


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD[:-1],
        GOOD + "0",
        GOOD.replace("-", ""),
        GOOD.replace("-", "_"),
        "{" + GOOD + "}",
        "urn:uuid:" + GOOD,
        GOOD[:-1] + "g",
        GOOD[:-1] + "\n",
        " " + GOOD[1:],
        "+" + GOOD[1:],
        GOOD[:-1] + "\u0661",  # a digit, but no hexadecimal one
        GOOD[:9] + "-" + GOOD[10:],
        "-" * 36,
        "\ud800" * 36,
        "x" * 100_000,
    ],
)
def test_refuses_malformed_text_in_the_words_of_the_reference(text: str) -> None:
    with pytest.raises(reference_errors.CallerError) as theirs:
        reference.UuidV8.parse(text)
    with pytest.raises(CallerError, match="is no UUID text") as mine:
        UuidV8.parse(text)
    assert str(mine.value) == str(theirs.value)
    assert len(str(mine.value)) < 400


def test_text_with_any_one_character_replaced_is_read_as_the_reference_reads_it() -> None:
    for position in range(36):
        for character in "-09afAFgG/:@`\x00~":
            text = GOOD[:position] + character + GOOD[position + 1 :]
            try:
                expected: str | None = str(reference.UuidV8.parse(text))
            except reference_errors.CallerError:
                expected = None
            try:
                got: str | None = str(UuidV8.parse(text))
            except CallerError:
                got = None
            assert got == expected, text


@pytest.mark.parametrize("value", [b"", bytes(15), bytes(17), b"x" * 1000])
def test_refuses_other_lengths_in_the_words_of_the_reference(value: bytes) -> None:
    with pytest.raises(reference_errors.CallerError) as theirs:
        reference.UuidV8.from_bytes(value)
    with pytest.raises(CallerError) as mine:
        UuidV8.from_bytes(value)
    assert str(mine.value) == str(theirs.value)


@pytest.mark.parametrize("value", [-1, 1 << 128, 1 << 5000, "5", None, 1.5, True])
def test_refuses_numbers_that_are_no_128_bits(value: object) -> None:
    with pytest.raises(CallerError) as mine:
        UuidV8.from_int(value)  # type: ignore[arg-type]  # Bad input.
    assert len(str(mine.value)) < 400


@pytest.mark.parametrize(
    ("read", "value"),
    [
        (UuidV8.parse, None),
        (UuidV8.parse, GOOD.encode()),
        (UuidV8.from_bytes, "0" * 16),
        (UuidV8.from_bytes, None),
        (UuidV8.from_bytes, [0] * 16),
        (UuidV8.from_uuid, GOOD),
        (UuidV8.from_uuid, None),
    ],
)
def test_refuses_other_types_by_name(read: object, value: object) -> None:
    with pytest.raises(CallerError):
        read(value)  # type: ignore[operator]  # Bad input.


def test_huge_numbers_are_described_and_not_printed() -> None:
    with pytest.raises(CallerError, match="random an integer of 40001 bits is out of range"):
        UuidV8((0, 0), 1, 1 << 40_000)


def test_ids_may_be_made_and_dropped_in_many_threads() -> None:
    """The free list is shared: no two live ids are one object."""
    wrong: list[UuidV8] = []

    def work(node_id: int) -> None:
        for _ in range(200):
            ids = [UuidV8((ms, 0), node_id, 7) for ms in range(50)]
            wrong.extend(mine for ms, mine in enumerate(ids) if mine.timestamp != (ms, 0))
            wrong.extend(mine for mine in ids if mine.node_id != node_id)

    threads = [threading.Thread(target=work, args=(node_id,)) for node_id in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_without_the_compiled_core_the_import_says_what_to_do(tmp_path: Path) -> None:
    """As on a machine without a C compiler: the package is there, its extensions are not."""
    import scratchbird

    package = tmp_path / "scratchbird"
    package.mkdir()
    for source in Path(str(scratchbird.__file__)).parent.glob("*.py"):
        (package / source.name).write_bytes(source.read_bytes())
    code = "import sys; sys.path.insert(0, sys.argv[1]); import scratchbird.hlc"
    command = [sys.executable, "-E", "-S", "-c", code, str(tmp_path)]  # -S: no editable installation either.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError: the compiled core of scratchbird is missing" in done.stderr
    assert "C compiler" in done.stderr
    assert "scratchbird_reference" in done.stderr
