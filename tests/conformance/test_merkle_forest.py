"""What the forest's vectors catch beside the known wrong rules: wrong encodings, digests, trees, forms."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from scratchbird_check import resources
from scratchbird_check.conformance.drivers import Hello, HelloRefusedError, ReferenceDriver
from scratchbird_check.conformance.merkle_forest_machine import machine_from_hello
from scratchbird_check.conformance.replay import replay
from scratchbird_check.conformance.rules import rules_of
from scratchbird_check.traces.merkle_forest_values import value_from_json
from scratchbird_check.variants.merkle_forest import Variant
from scratchbird_reference.merkle_forest import Entry, Rules, Shape
from scratchbird_reference.merkle_forest_replica import ForestReplica
from scratchbird_reference.merkle_forest_rows import Encoding

FILES = [
    item
    for item in resources.vectors().iterdir()
    if item.name.startswith("merkle_forest_") and "_mixed" not in item.name
]


def found_by(variant: Variant) -> set[str]:
    """The vectors on which it diverges."""
    found = set()
    for file in FILES:
        report = replay(io.BytesIO(file.read_bytes()), file.name, lambda: ReferenceDriver(forests=variant))
        if report.divergence is not None:
            found.add(file.name.removeprefix("merkle_forest_").removesuffix(".ndjson"))
    return found


# --- encodings ----------------------------------------------------------------------------------------------


def as_it_is(self: Encoding, value: float) -> bytes:
    return struct.pack(">d", value)


ENCODINGS: dict[str, tuple[str, Callable[..., Any], str]] = {
    "any NaN": ("float_bytes", as_it_is, "values"),
    "no negative zero": ("float_bytes", lambda self, value: as_it_is(self, value + 0.0), "values"),
    "a negative zero in a key": ("float_key_bytes", lambda self, value: self.float_bytes(value), "keys"),
    "1.00 is 1": (
        "decimal_bytes",
        lambda self, value: format(value.normalize() if value.is_finite() else value, "f").encode(),
        "values",
    ),
    "1.00 is another key": ("decimal_key_bytes", lambda self, value: self.decimal_bytes(value), "keys"),
    "text in upper case": ("text_bytes", lambda self, value: value.upper().encode(), "values"),
    "local time": ("time_bytes", lambda self, value: value.isoformat().encode(), "values"),
    "columns as they come": (
        "row_bytes",
        lambda self, schema, columns: b"".join(self.value_bytes(value) for value in columns.values()),
        "rows",
    ),
    "values one after another": (
        "key_bytes",
        lambda self, values: b"".join(self.value_bytes(value, in_key=True) for value in values),
        "keys",
    ),
}


@pytest.mark.parametrize("name", ENCODINGS)
def test_a_wrong_encoding_diverges(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """MRK-8."""
    method, wrong, vector = ENCODINGS[name]
    monkeypatch.setattr(Encoding, method, wrong)
    assert vector in found_by(Variant())


# --- digests and trees --------------------------------------------------------------------------------------


class NoDomains(Rules):
    """As published: the parts, one after another."""

    __slots__ = ()

    def hashed(self, what: str, *parts: bytes) -> bytes:
        return Rules.hashed(self, "", b"".join(parts))


class OtherWay(Rules):
    __slots__ = ()

    def leaf_digest(self, entries: Sequence[Entry]) -> bytes:
        return self.hashed("leaf", *(entry.record for entry in sorted(entries, reverse=True)))


class LeavesAreNodes(Rules):
    __slots__ = ()

    def leaf_digest(self, entries: Sequence[Entry]) -> bytes:
        return self.hashed("node", *(entry.record for entry in sorted(entries)))


class AnyWindow(Rules):
    __slots__ = ()

    def window_digest(self, shape: Shape, window: int, tree: bytes) -> bytes:
        return self.hashed("window", shape.identity, tree) if tree else b""


class AnySetting(Rules):
    __slots__ = ()

    def window_digest(self, shape: Shape, window: int, tree: bytes) -> bytes:
        return Rules.window_digest(self, Shape(), window, tree)


class EmptyHasOne(Rules):
    __slots__ = ()

    def window_digest(self, shape: Shape, window: int, tree: bytes) -> bytes:
        return self.hashed("window", shape.identity, window.to_bytes(8, "big"), tree)


class SmallLeaves(Rules):
    __slots__ = ()

    def is_leaf(self, shape: Shape, entries: int, depth: int) -> bool:
        return entries < shape.most_in_leaf or depth == 32


class NextWindow(Rules):
    __slots__ = ()

    def window_of(self, shape: Shape, version: int) -> int:
        return ((version >> 80) + 1) // shape.window_ms


class SealedSooner(Rules):
    __slots__ = ()

    def is_sealed(self, shape: Shape, window: int, stable: int, grace_ms: int) -> bool:
        return stable >> 80 >= (window + 1) * shape.window_ms


class WholeDigests(Rules):
    __slots__ = ()

    def short(self, digest: bytes) -> bytes:
        return digest


class ShortDigests(Rules):
    __slots__ = ()

    def short(self, digest: bytes) -> bytes:
        return digest[:4]


DIGESTS = {
    NoDomains: "digests",
    OtherWay: "digests",
    LeavesAreNodes: "digests",
    AnyWindow: "window_digests",
    AnySetting: "window_digests",
    EmptyHasOne: "window_digests",
    SmallLeaves: "trees",
    NextWindow: "windows",
    SealedSooner: "windows",
    WholeDigests: "both_ways",
    ShortDigests: "both_ways",
}


@pytest.mark.parametrize("wrong", DIGESTS, ids=lambda wrong: wrong.__name__)
def test_a_wrong_digest_or_tree_diverges(wrong: type[Rules]) -> None:
    """MRK-1, MRK-8, MRK-11."""
    assert DIGESTS[wrong] in found_by(Variant(ForestReplica(rules=wrong())))


# --- values, hellos and what is said ------------------------------------------------------------------------


def test_values_are_read_as_they_are_written() -> None:
    assert value_from_json(["null"]) is None
    assert value_from_json(["list", [["int", "-5"], ["list", []]]]) == (-5, ())
    assert str(value_from_json(["decimal", "1.00"])) == "1.00"
    assert value_from_json(["float", "bff0000000000000"]) == -1.0
    assert isinstance(value_from_json(["decimal", "Infinity"]), Decimal)
    assert value_from_json(["text", "a\n"]) == "a\n"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (None, "expected .kind, value."),
        ([], "expected .kind, value."),
        (["null", None], "the kinds are null, bool, list, int"),
        (["bool", 1], "the kinds are"),
        (["int", "0x5"], "'0x5' is no int"),
        (["float", "00"], "expected eight bytes"),
        (["decimal", "1,5"], "'1,5' is no decimal"),
        (["bytes", "0"], "is no bytes"),
        (["uuid", "018bcfe5"], "is no uuid"),
        (["time", "yesterday"], "is no time"),
        (["time", "2024-02-30T12:00:00+00:00"], "day"),
        (["list", "x"], "the kinds are"),
    ],
)
def test_what_is_no_value_is_named(wrong: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        value_from_json(wrong)


def test_lists_that_never_end_are_refused() -> None:
    value: list[Any] = ["null"]
    for _ in range(40):
        value = ["list", [value]]
    with pytest.raises(ValueError, match="the kinds are"):
        value_from_json(value)


def test_a_hello_goes_out_and_comes_back() -> None:
    for node in (1, 31, 41):
        hello = Hello("merkle_forest", {"shape": {"window_ms": 10}, "bounds": {"items": 3}}, node)
        again = Hello.from_json(hello.to_json())
        assert again.to_json() == hello.to_json()
        assert again.state() == hello.state()
    with pytest.raises(ValueError, match="expected machine encoding, digests, replica"):
        machine_from_hello({"machine": "clock"}, 1)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"no_such_key": 1}, "unknown setting 'no_such_key'"),
        ({"shape": {"window_ms": 0}}, "window_ms"),
        ({"shape": 5}, "expected an object"),
        ({"bounds": {"items": 0}}, "items"),
        ({"most_exchanges": 0}, "at least 1"),
        ({"grace_ms": -1}, "grace_ms"),
        ({"digests": "x"}, "lanes"),
    ],
)
def test_a_wrong_configuration_is_refused(config: dict[str, Any], words: str) -> None:
    with pytest.raises(HelloRefusedError, match=words):
        ReferenceDriver().hello(Hello("merkle_forest", config))


def test_every_event_question_and_reply_has_its_rules() -> None:
    """Whoever differs is told what to read."""
    shown: dict[str, Any] = {
        "asked": {"question": {"question": "give"}},
        "replied": {"reply": {"reply": "nodes"}},
        "deliver": {"message": {"message": "write"}},
        "advance": {},
        "tree": {},
    }
    for name, said in shown.items():
        (*_, last) = rules_of("merkle_forest", {"event": name, **said}, {"up": True})
        assert last.startswith("  see MERKLE_FOREST.R"), name
    assert rules_of("merkle_forest", {"event": 5}, {}) == []
    assert rules_of("merkle_forest", {"event": "propose"}, {"up": True}) == [
        "  see HANDOFF.R9 in spec/handoff.md"
    ]
