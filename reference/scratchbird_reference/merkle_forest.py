"""The rules of the forest, one method each, and the digest of a set of rows.

``spec/merkle_forest.md`` states the rules. The machines that follow them: a replica's forest,
:mod:`scratchbird_reference.merkle_forest_replica`, and an exchange of two,
:mod:`scratchbird_reference.merkle_forest_exchange`; how a row becomes bytes stands in
:mod:`scratchbird_reference.merkle_forest_rows`. A wrong rule is a subclass of :class:`Rules` that replaces
one method.

Why it is right, in one paragraph. A tree's shape and digests depend on its set of entries alone, and no two
sets have one digest (MERKLE_FOREST.R4 and R5); so where digests are equal, entries are, and a descent that
skips equal subtrees skips nothing that differs. What it finds, both sides end with in the newer version
(R14). It works on what the two sides showed when it began, so that a row which moves to another window
meanwhile is not missed (R15).

Sources: Merkle, *A Digital Signature Based on a Conventional Encryption Function*, CRYPTO 1987; RFC 6962,
section 2.1 (a leaf is not to be taken for a node); Auvolat, Taïani, *Merkle Search Trees*, SRDS 2019 (a shape
that depends on the set alone); DeCandia et al., *Dynamo*, SOSP 2007, section 4.7 (anti-entropy).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from scratchbird_reference.errors import ConfigurationError
from scratchbird_reference.quorum_messages import Held
from scratchbird_reference.uuid8 import is_whole, shown

PLACE_BYTES = 16
"""Of the hash of a row's key that decides where the row is in a tree."""
DIGITS = 2 * PLACE_BYTES
"""Of a place, each of four bits: no path is longer."""
VERSION_BYTES = 16
ENTRY_BYTES = 16
"""Of the digest of what was written, in an entry. A version is made once: they show what a fault made."""
SHORT_BYTES = 6
"""Of a node's digest in a message (rule MERKLE_FOREST.R19)."""
FAN_OUT = 16
MS_SHIFT = 80
"""A version's highest 48 bits are its millisecond (rule UUID8.R1)."""
NOTHING_THERE = b""
"""The digest of no entry at all."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What two forests must have in common to be compared (rule MERKLE_FOREST.R7).

    :ivar number: of this setting; each change gets a higher one.
    :ivar window_ms: the length of a window.
    :ivar most_in_leaf: entries of a subtree that is still one leaf.
    :ivar encoding: the version of the encoding of rows.
    :raises ConfigurationError: if a value is no whole number of at least 1 (0 for ``number``).
    """

    number: int = 0
    window_ms: int = 3_600_000
    most_in_leaf: int = 8
    encoding: int = 1

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not is_whole(value) or value < (0 if name == "number" else 1):
                raise ConfigurationError(f"{name} {shown(value)}: it must be a whole number, at least 1")

    @property
    def identity(self) -> bytes:
        """What goes into each digest of a window, so that no two settings have one in common."""
        return (
            _number(self.number)
            + _number(self.window_ms)
            + _number(self.most_in_leaf)
            + _number(self.encoding)
        )


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """What a forest shows of a row (rule MERKLE_FOREST.R1)."""

    place: bytes
    """Where it is in its tree: the hash of the row's key."""
    row: int
    version: int
    digest: bytes
    """Of the version and what was written; its last bit says whether the version deletes."""

    @property
    def deletes(self) -> bool:
        """Whether the version deletes the row."""
        return self.digest[-1] & 1 == 1

    @property
    def record(self) -> bytes:
        """What is hashed of it and kept of it: place, version and digest, 48 bytes."""
        return self.place + self.version.to_bytes(VERSION_BYTES, "big") + self.digest

    @property
    def rank(self) -> tuple[int, bytes]:
        """Which of two is newer. Two digests of one version are a fault that must not go unnoticed."""
        return self.version, self.digest


@dataclass(frozen=True, slots=True)
class Leaf:
    """A subtree of few entries: they are told themselves."""

    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class Inner:
    """A subtree of many: the digests of its children, nothing for one that is empty."""

    children: tuple[bytes, ...]


Node = Leaf | Inner
Prefix = tuple[int, ...]
"""Digits that the places of a subtree have in common."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules, without state. A wrong rule replaces one method."""

    # --- digests ------------------------------------------------------------------------------------------

    def hashed(self, what: str, *parts: bytes) -> bytes:
        """The digest of some parts, said to be this: no other parts make the same bytes.

        Rule MERKLE_FOREST.R5.
        """
        head = self.length(len(what)) + what.encode() + self.length(len(parts))
        return sha256(head + b"".join(self.length(len(part)) + part for part in parts)).digest()

    def length(self, number: int) -> bytes:
        """In unsigned LEB128, as short as it can be: no other one begins with these bytes (MERKLE_FOREST.R5).

        Most take one byte: with eight a row of 500 bytes, and a leaf of one entry, is a block of SHA-256 more.
        """
        return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + self.length(number >> 7)

    def place_of(self, row: int) -> bytes:
        """Where a row is in its tree (rule MERKLE_FOREST.R4)."""
        return self.hashed("key", _number(row))[:PLACE_BYTES]

    def entry_of(self, row: int, held: Held) -> Entry:
        """How a forest shows a version of a row."""
        kind = b"deleted" if held.value is None else b"value"
        version = held.version.to_bytes(VERSION_BYTES, "big")
        digest = bytearray(self.hashed("row", _number(row), version, kind, held.value or b"")[:ENTRY_BYTES])
        digest[-1] = digest[-1] & 0xFE | (held.value is None)
        return Entry(self.place_of(row), row, held.version, bytes(digest))

    def leaf_digest(self, entries: Sequence[Entry]) -> bytes:
        """The digest of a leaf: of its entries, in their order (rule MERKLE_FOREST.R5)."""
        return self.hashed("leaf", *(entry.record for entry in sorted(entries)))

    def inner_digest(self, children: Sequence[bytes]) -> bytes:
        """The digest of an inner node: of its children's (rule MERKLE_FOREST.R5)."""
        return self.hashed("node", *children)

    def window_digest(self, shape: Shape, window: int, tree: bytes) -> bytes:
        """The digest of a window, which covers the setting and its number.

        Rules MERKLE_FOREST.R5, MERKLE_FOREST.R7.
        """
        return self.hashed("window", shape.identity, _number(window), tree) if tree else NOTHING_THERE

    # --- trees --------------------------------------------------------------------------------------------

    def window_of(self, shape: Shape, version: int) -> int:
        """The window of a version (rule MERKLE_FOREST.R3)."""
        return (version >> MS_SHIFT) // shape.window_ms

    def is_leaf(self, shape: Shape, entries: int, depth: int) -> bool:
        """Whether a subtree of so many entries is one leaf (rule MERKLE_FOREST.R4)."""
        return entries <= shape.most_in_leaf or depth == DIGITS

    # --- entries ------------------------------------------------------------------------------------------

    def shows(self, before: Entry | None, now: Entry, stable: int) -> Entry | None:
        """The entry of a row of which this is held now (rule MERKLE_FOREST.R1)."""
        return now if now.version <= stable else before

    def is_purged(self, floor: int, entry: Entry) -> bool:
        """Whether an entry is not shown, because what it deletes is gone below the floor.

        Rule MERKLE_FOREST.R8.
        """
        return entry.deletes and entry.version <= floor

    def is_taken_out(self, floor: int, entry: Entry, held: int) -> bool:
        """Whether a replica that settles takes out an entry whose row it holds so (rule MERKLE_FOREST.R8)."""
        return entry.version <= floor and (entry.deletes or held > entry.version)

    def is_sealed(self, shape: Shape, window: int, stable: int, grace_ms: int) -> bool:
        """Whether a window takes amendments only, from this stable time on (rule MERKLE_FOREST.R9)."""
        return stable >> MS_SHIFT >= (window + 1) * shape.window_ms + grace_ms

    def may_amend(self, is_sealed: bool) -> bool:
        """Whether a window that is, or is not, sealed may change (rule MERKLE_FOREST.R9)."""
        return True

    def may_tell(self, is_dirty: bool) -> bool:
        """Whether the digest of a window is told that is, or is not, dirty (rule MERKLE_FOREST.R10)."""
        return not is_dirty

    # --- exchange -----------------------------------------------------------------------------------------

    def comparable(self, mine: Shape, theirs: Shape) -> bool:
        """Whether two forests may be compared (rule MERKLE_FOREST.R7)."""
        return mine == theirs

    def takes_over(self, floor: int, entry: Entry) -> bool:
        """Whether who has settled at this floor, and holds a newer version, takes over an entry (R14).

        Below the floor its past is complete: what another one showed before it settled may have been purged.
        """
        return entry.version > floor

    def short(self, digest: bytes) -> bytes:
        """A node's digest as it is told (rule MERKLE_FOREST.R19)."""
        return digest[:SHORT_BYTES]

    def is_confirmed(self, told: bytes, found: bytes) -> bool:
        """Whether what was heard of a window makes the digest that was told (rule MERKLE_FOREST.R19)."""
        return told == found

    def is_given(self, entry: Entry, theirs: Entry | None) -> bool:
        """Whether an entry of ours is given, where the other side shows this in any window (R14).

        Of two values of one version each side is sent the other's: which one stays is the rows' matter.
        """
        return theirs is None or entry.version >= theirs.version

    def takes_part(self, drives: bool) -> bool:
        """Whether the side that drives an exchange, or the other one, takes rows (rule MERKLE_FOREST.R13)."""
        return True

    def has_succeeded(self, left: int) -> bool:
        """Whether an exchange has, with so much left that was not dealt with (rule MERKLE_FOREST.R16)."""
        return left == 0


@dataclass(frozen=True, slots=True)
class Tree:
    """The tree of a set of entries: slow and plain, it is computed anew for each question."""

    rules: Rules
    shape: Shape
    entries: tuple[Entry, ...] = field(default=())

    def under(self, prefix: Prefix) -> tuple[Entry, ...]:
        """The entries whose places begin with these digits, in order."""
        return tuple(sorted(entry for entry in self.entries if digits(entry.place)[: len(prefix)] == prefix))

    def digest(self, prefix: Prefix = ()) -> bytes:
        """The digest of the subtree below these digits; nothing if there is no entry."""
        return _digest(self.rules, self.shape, self.under(prefix), len(prefix))

    def node(self, prefix: Prefix = ()) -> Node:
        """The top of the subtree below these digits: its entries, or its children's digests."""
        entries = self.under(prefix)
        if self.rules.is_leaf(self.shape, len(entries), len(prefix)):
            return Leaf(entries)
        return Inner(_children(self.rules, self.shape, entries, len(prefix)))


def _digest(rules: Rules, shape: Shape, entries: Sequence[Entry], depth: int) -> bytes:
    if not entries:
        return NOTHING_THERE
    if rules.is_leaf(shape, len(entries), depth):
        return rules.leaf_digest(entries)
    return rules.inner_digest(_children(rules, shape, entries, depth))


def _children(rules: Rules, shape: Shape, entries: Iterable[Entry], depth: int) -> tuple[bytes, ...]:
    children: list[list[Entry]] = [[] for _ in range(FAN_OUT)]
    for entry in entries:
        children[digits(entry.place)[depth]].append(entry)
    return tuple(_digest(rules, shape, child, depth + 1) for child in children)


def digits(place: bytes) -> Prefix:
    """A place, or the beginning of one, in digits of four bits."""
    return tuple(digit for byte in place for digit in (byte >> 4, byte & 0xF))


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")
