"""The production's messages of an exchange: values, bytes, and bytes that are none of the format's."""

from __future__ import annotations

import copy
import pickle
import random
from typing import Any

import pytest

from scratchbird.errors import CallerError, PeerError
from scratchbird.merkle_forest import Inner, Leaf, Shape
from scratchbird.merkle_forest_exchange import (
    AskNodes,
    AskRows,
    AskWindows,
    Give,
    Message,
    Nodes,
    Open,
    Opened,
    Refused,
    Row,
    Rows,
    Took,
    Windows,
)
from scratchbird.quorum import Held

MOST = (1 << 128) - 1
HEAD = bytes([1, 4]) + bytes(15) + b"\x07"


def some_leaf(dice: random.Random, prefix: tuple[int, ...], entries: int) -> Leaf:
    """Entries below these digits, of which some have places with more in common, and versions as well."""
    places: set[bytes] = set()
    start = "".join(f"{digit:x}" for digit in prefix)
    while len(places) < min(entries, 16 ** (32 - len(prefix))):
        tail = "".join(dice.choice("0123456789abcdef") for _ in range(32 - len(prefix)))
        common = dice.randrange(len(tail) + 1)
        places.add(bytes.fromhex(start + "0" * common + tail[common:]))
    version = dice.getrandbits(128)
    mask = dice.choice((0, 0xFF, 0xFF_FFFF << 80 | 0xFF, MOST))
    return Leaf(
        b"".join(
            place + (version ^ dice.getrandbits(128) & mask).to_bytes(16, "big") + dice.randbytes(16)
            for place in sorted(places)
        )
    )


def some_inner(dice: random.Random) -> Inner:
    size = dice.choice((6, 32))
    return Inner(tuple(dice.choice((b"", dice.randbytes(size))) for _ in range(16)))


def some_place(dice: random.Random) -> tuple[int, tuple[int, ...]]:
    digits = tuple(dice.randrange(16) for _ in range(dice.choice((0, 1, 2, 3, 8, 31, 32))))
    return dice.choice((0, 1, 500, 480_000, (1 << 48) - 1)), digits


def some_row(dice: random.Random, place: bytes | None = None) -> Row:
    value = None if dice.random() < 0.3 else dice.randbytes(dice.choice((0, 1, 127, 128, 300)))
    key = dice.randbytes(dice.choice((0, 8, 200)))
    version = dice.choice((1, 1 << 90, MOST) if place else (0, 1, MOST))
    return Row(place or dice.randbytes(16), key, Held(version, value))


def some_messages(dice: random.Random) -> list[Message]:
    """One of each kind."""
    number = dice.choice((0, 5, MOST))
    version = dice.choice((0, 1, MOST))
    many = dice.choice((0, 1, 2, 9))
    windows = sorted(dice.sample([0, 1, 2, 500, 1 << 40, (1 << 48) - 1, *range(10, 20)], many))
    places = [some_place(dice) for _ in range(many)]
    nodes = [
        (
            place,
            some_leaf(dice, place[1], dice.randrange(9))
            if len(place[1]) == 32 or dice.random() < 0.5
            else some_inner(dice),
        )
        for place in places
    ]
    rows = [dice.randbytes(16) for _ in range(many)]
    held = [(place, dice.choice((1, 1 << 100, MOST))) for place in sorted(rows)]
    given = [
        (record, None if dice.random() < 0.3 else some_row(dice, record[:16]))
        for record in (dice.randbytes(48) for _ in range(many))
    ]
    return [
        Open(number, Shape(dice.choice((0, 300, (1 << 63) - 1)), 10, 2, 1), version, MOST),
        Opened(number, version, 0),
        Refused(number, dice.choice(("", "setting 0 is not 1", "ß…" * 50))),
        AskWindows(number, dice.choice((-1, 0, 127, (1 << 48) - 1))),
        Windows(number, [(window, dice.randbytes(32)) for window in windows], dice.random() < 0.5),
        AskNodes(number, places, dice.random() < 0.5),
        Nodes(number, nodes, held),
        AskRows(number, rows),
        Rows(number, [some_row(dice) for _ in range(many)]),
        Give(number, given),
        Took(number, rows),
    ]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_is_read(seed: int) -> None:
    for message in some_messages(random.Random(seed)):
        packed = message.to_bytes()
        read = Message.from_bytes(packed)
        assert read == message
        assert type(read) is type(message)
        assert repr(read) == repr(message)
        assert hash(read) == hash(message)
        assert read.to_bytes() == packed


def test_messages_are_plain_values() -> None:
    record = bytes(range(48))
    row = Row(record[:16], b"k", Held(5, b"v"))
    message = Give(7, [(record, row), (record, None)])
    assert message.given == ((record, row), (record, None))
    for each in (message, row, AskNodes(1, [(2, (3, 4))], True), Windows(1, [(2, bytes(32))], False)):
        assert copy.deepcopy(each) == each
        assert pickle.loads(pickle.dumps(each)) == each
    assert AskNodes(1, [(2, (3, 4))], True).places == ((2, (3, 4)),)
    assert AskNodes(1, [(2, (3, 4))]) != AskNodes(1, [(2, (3, 4, 0))])
    assert Windows(1, [(2, bytes(32))], False).windows == ((2, bytes(32)),)
    assert repr(AskWindows(9, -1)) == "AskWindows(exchange=9, after=-1)"
    node = Nodes(1, [((2, (3,)), Leaf(b"\x30" + record[1:]))], [(bytes(16), 8)])
    assert node.nodes == (((2, (3,)), Leaf(b"\x30" + record[1:])),)
    assert node.held == ((bytes(16), 8),)


def test_the_form_is_compact() -> None:
    """What the page of the format says it takes."""
    head = 18
    assert len(AskWindows(1, -1).to_bytes()) == head + 1
    assert len(Windows(1, [(n, bytes(32)) for n in range(720)], True).to_bytes()) == head + 1 + 720 * 40
    assert (
        len(AskNodes(1, [(480_000, ()), (480_001, ()), (480_001, (1, 2))]).to_bytes()) == head + 1 + 4 + 2 + 3
    )
    children = tuple(bytes([n + 1]) * 6 if n % 2 else b"" for n in range(16))
    assert len(Nodes(1, [((1, (5,)), Inner(children))], []).to_bytes()) == head + 1 + 3 + 1 + 2 + 8 * 6
    records = b"".join(
        bytes([0x12, n]) + bytes(14) + b"\x01" * 3 + bytes([n]) * 3 + b"\x80\0\x80\0" + bytes([n]) * 22
        for n in range(5)
    )
    leaf = len(Nodes(1, [((1, (1, 2)), Leaf(records))], []).to_bytes())
    assert leaf == head + 1 + 3 + 1 + (2 + 7) + 5 * (15 + 9 + 16)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_cut_short_is_refused(seed: int) -> None:
    for message in some_messages(random.Random(seed)):
        packed = message.to_bytes()
        for length in range(len(packed)):
            try:
                read = Message.from_bytes(packed[:length])
            except PeerError:
                continue
            assert type(read) is type(message)  # Items of one size, fewer of them; or a shorter reason.
            assert read.to_bytes() == packed[:length]
        if not isinstance(message, Refused | AskRows | Took | Windows):
            with pytest.raises(PeerError):
                Message.from_bytes(packed + b"\x01")


@pytest.mark.parametrize("seed", range(60))
def test_what_is_damaged_is_refused_or_is_another_message(seed: int) -> None:
    """Whatever is read, is what it would be written as: no two forms, and nothing that was made up."""
    dice = random.Random(seed)
    accepted = 0
    for message in some_messages(dice):
        packed = message.to_bytes()
        for _ in range(60):
            damaged = bytearray(packed)
            for _ in range(dice.choice((1, 1, 2, 5))):
                damaged[dice.randrange(len(damaged))] ^= 1 << dice.randrange(8)
            if dice.random() < 0.2:
                at = dice.randrange(len(damaged))
                damaged[at:at] = dice.randbytes(dice.randrange(20))
            try:
                read = Message.from_bytes(bytes(damaged))
            except PeerError:
                continue
            accepted += 1
            assert read.to_bytes() == bytes(damaged)
            repr(read)
    assert accepted


@pytest.mark.parametrize("seed", range(30))
def test_noise_is_refused_without_harm(seed: int) -> None:
    dice = random.Random(seed)
    for kind in range(14):
        for size in (0, 1, 5, 40, 400):
            try:
                read = Message.from_bytes(bytes([1, kind]) + bytes(16) + dice.randbytes(size))
            except PeerError:
                continue
            assert Message.from_bytes(read.to_bytes()) == read


HUGE = b"\xff" * 8 + b"\x7f"
"""2^63 - 1."""


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        (0, b"", "no message of kind 0"),
        (12, b"", "no message of kind 12"),
        (1, b"\x00\x00\x01\x01" + bytes(32), "window_ms 0: it must be a whole number, at least 1"),
        (3, b"\xff", "no UTF-8 text"),
        (3, b"a" * 1001, "at most 1000 characters"),
        (4, b"\x80\x00", "in more bytes than it needs"),
        (4, HUGE, "window 9223372036854775806 is above"),
        (4, b"\xff" * 9, "above 2^63"),
        (4, b"\x05\x00", "1 bytes are too many"),
        (5, b"\x02", "is 2, neither 0 nor 1"),
        (5, b"\x01" + bytes(41), "41 bytes are left, and windows and their digests take 40 each"),
        (5, b"\x01" + bytes(80), "windows are not in order"),
        (5, b"\x01\x01" + bytes(39), "is above"),
        (6, b"\x00\x01\x00", "no window so far from window 0"),
        (6, b"\x00" + HUGE + b"\x00", "no window so far"),
        (6, b"\x00\x00\x21" + bytes(17), "33 digits"),
        (6, b"\x00\x00\x01\x11", "not filled with 0"),
        (6, b"\x00\x00\x05\x11\x11", "ends within the digits"),
        (7, HUGE, "ends within the window of a place"),
        (7, b"\x01\x00\x20" + bytes(16) + b"\x00\x00\x00", "32 digits deep has children"),
        (7, b"\x01\x00\x00\x00\x80\x00\x01", "ends within the digest of a child"),
        (
            7,
            b"\x01\x00\x00" + HUGE + b"\x00" + bytes(100),
            "ends within a leaf of 9223372036854775805 entries",
        ),
        (7, b"\x01\x00\x00\x03\x80", "ends within what versions have in common"),
        (7, b"\x01\x00\x00\x03\x00\x00" + bytes(16) + b"\x01" * 32, "other bytes in common"),
        (7, b"\x01\x00\x00\x04\xff\xff" + b"\x01" * 16 + bytes(64), "entries of a leaf are not in order"),
        (7, b"\x01\x00\x01\x10\x03\xff\xff" + bytes(16) + bytes(32), "not below the place of its node"),
        (7, b"\x01\x00\x00\x03\x00\x00" + bytes(48), "an entry has version 0"),
        (7, b"\x00" + bytes(32), "version 0 is no version that somebody holds"),
        (7, b"\x00" + 2 * (bytes(31) + b"\x01"), "places of rows are not in order"),
        (7, b"\x00" + bytes(31), "31 bytes are left"),
        (8, bytes(17), "17 bytes are left, and places of rows take 16 each"),
        (9, bytes(32) + HUGE + b"\x00", "ends within a value"),
        (9, bytes(32) + b"\x00" + HUGE, "ends within a key"),
        (10, b"\x01" * 48 + HUGE + b"\x01" * 16 + b"\x00", "ends within a value"),
        (10, b"\x01" * 48 + b"\x01" + bytes(16) + b"\x00", "a row of version 0 is not held"),
        (10, bytes(48) + b"\x00", "an entry has version 0"),
        (10, bytes(47), "ends within an entry"),
        (11, bytes(1), "1 bytes are left"),
    ],
)
def test_what_is_malformed_is_said(kind: int, body: bytes, reason: str) -> None:
    with pytest.raises(
        PeerError, match=f"byte \\d+ of a message of an exchange: .*{reason.replace('^', '.')}"
    ):
        Message.from_bytes(bytes([1, kind]) + bytes(16) + body)


def test_another_format_is_said() -> None:
    with pytest.raises(PeerError, match="its format is 2, not 1"):
        Message.from_bytes(b"\x02" + HEAD[1:])
    with pytest.raises(PeerError, match="ends within its format"):
        Message.from_bytes(b"")
    with pytest.raises(CallerError, match="is no bytes"):
        Message.from_bytes(bytearray(HEAD))  # type: ignore[arg-type]  # What a caller may pass.


RECORD = bytes(15) + b"\x01" * 33
WRONG: Any = None
"""What a caller may pass all the same."""


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Row(b"short", b"", Held()), "is no 16 bytes"),
        (lambda: Row(bytes(16), WRONG, Held()), "key None is no bytes"),
        (lambda: Row(bytes(16), b"", WRONG), "is no Held"),
        (lambda: Open(1, WRONG, 0, 0), "is no Shape"),
        (lambda: Open(-1, Shape(), 0, 0), "exchange|operation"),
        (lambda: Refused(1, "x" * 1001), "no text of at most 1000"),
        (lambda: AskWindows(1, -2), "after -2"),
        (lambda: Windows(1, [(2, bytes(32)), (2, bytes(32))], True), "window 2 follows window 2"),
        (lambda: Windows(1, [(2, b"x")], True), "is no 32 bytes"),
        (lambda: Windows(1, [], WRONG), "last None is no bool"),
        (lambda: AskNodes(1, [(2, (16,))]), "digit 16"),
        (lambda: AskNodes(1, [(2, (0,) * 33)]), "33 digits"),
        (lambda: AskNodes(1, [(1 << 48, ())]), "window 281474976710656"),
        (lambda: Nodes(1, [((1, ()), Inner((b"12345",) * 16))], []), "16 children"),
        (lambda: Nodes(1, [((1, ()), Inner((b"123456",) * 15))], []), "16 children"),
        (lambda: Nodes(1, [((1, ()), Inner((b"123456",) + (bytes(32),) * 15))], []), "16 children"),
        (lambda: Nodes(1, [((1, ()), Leaf(b"short"))], []), "5 bytes of records"),
        (lambda: Nodes(1, [((1, ()), Leaf(RECORD * 2))], []), "not in the order"),
        (lambda: Nodes(1, [((1, (1,)), Leaf(RECORD))], []), "not below the place"),
        (lambda: Nodes(1, [((1, ()), WRONG)], []), "is no Leaf"),
        (lambda: Nodes(1, [], [(bytes(16), 1), (bytes(16), 2)]), "ascending"),
        (lambda: AskRows(1, [b"x"]), "is no 16 bytes"),
        (lambda: Rows(1, [WRONG]), "is no Row"),
        (lambda: Nodes(1, [((1, ()), Leaf(bytes(48)))], []), "version 0"),
        (lambda: Give(1, [(b"x", None)]), "is no 48 bytes"),
        (lambda: Give(1, [(bytes(48), None)]), "version 0"),
        (lambda: Give(1, [(RECORD, Row(RECORD[:16], b"", Held()))]), "pass None for one that is not held"),
        (lambda: Give(1, [(RECORD, Row(bytes(16), b"", Held(1)))]), "not that of the record"),
    ],
)
def test_a_value_that_can_not_be_is_refused(make: Any, reason: str) -> None:
    with pytest.raises(CallerError, match=reason):
        make()
