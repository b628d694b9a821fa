"""The version id, for all 2**128 values: byte order, reading back, RFC 9562, and what UUIDv7 is to it.

Ids are bit-vectors of 128 bits, network order, bit 0 of RFC 9562 the most significant. The form is built from
the table in ``scratchbird_reference.uuid8``; ``scratchbird_check.ties.layout`` holds it to the reference's
``int(...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import z3

from scratchbird_proofs.refutation import FoundPair, Refutation
from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem
from scratchbird_reference.uuid8 import (
    COUNTER_BITS,
    MS_BITS,
    NODE_BITS,
    RANDOM_BITS,
    VARIANT,
    VERSION,
)

VERSION_BITS, VARIANT_BITS = 4, 2
VERSION_7 = 7
SUB_MS_BITS, SHORT_RANDOM_BITS = 12, 34
"""Two fields of layout (b)."""


# --- forms ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fields:
    """What an id is made of, as bit-vectors."""

    ms: Term
    counter: Term
    node_id: Term
    random: Term

    @property
    def timestamp(self) -> Term:
        """Milliseconds, then counter: bit-vectors that order like the pairs."""
        return z3.Concat(self.ms, self.counter)


def any_fields(tag: str) -> Fields:
    """Any id whatever."""
    widths = {"ms": MS_BITS, "counter": COUNTER_BITS, "node_id": NODE_BITS, "random": RANDOM_BITS}
    return Fields(**{name: z3.BitVec(f"{name}_{tag}", bits) for name, bits in widths.items()})


def constant(value: int, bits: int) -> Term:
    """A number as so many bits."""
    return z3.BitVecVal(value, bits)


def layout_a(fields: Fields) -> Term:
    """UUID8.R1: our layout."""
    return _rfc(VERSION, fields)


def version_7(fields: Fields) -> Term:
    """A UUIDv7 (RFC 9562 section 5.7): 12 bits ``rand_a`` and 62 bits ``rand_b``, filled by anything."""
    return _rfc(VERSION_7, fields)


def _rfc(version: int, fields: Fields) -> Term:
    return z3.Concat(
        fields.ms,
        constant(version, VERSION_BITS),
        fields.counter,
        constant(VARIANT, VARIANT_BITS),
        fields.node_id,
        fields.random,
    )


def layout_b(fields: Fields, sub_ms: Term, forced: bool) -> Term:
    """The other published layout: the counter stands where RFC 9562 has the version.

    :param forced: whether a library then writes the RFC's version and variant over it, at their places.
    """
    random = z3.Extract(SHORT_RANDOM_BITS - 1, 0, fields.random)
    bits = z3.Concat(
        fields.ms,
        fields.counter,
        constant(VERSION, VERSION_BITS),
        sub_ms,
        constant(VARIANT, VARIANT_BITS),
        fields.node_id,
        random,
    )
    return with_rfc_bits(bits) if forced else bits


def with_rfc_bits(bits: Term) -> Term:
    """The same 128 bits with version 8 and the variant written where RFC 9562 reads them."""
    return z3.Concat(
        z3.Extract(127, 80, bits),
        constant(VERSION, VERSION_BITS),
        z3.Extract(75, 64, bits),
        constant(VARIANT, VARIANT_BITS),
        z3.Extract(61, 0, bits),
    )


def octet(bits: Term, number: int) -> Term:
    """The octet with this number; octet 0 is the first in network order."""
    return z3.Extract(127 - 8 * number, 120 - 8 * number, bits)


def bytes_before(a: Term, b: Term) -> Formula:
    """Whether the 16 octets of one come before those of the other: how a store compares keys."""
    before: Formula = z3.BoolVal(False)
    for number in reversed(range(16)):
        one, two = octet(a, number), octet(b, number)
        before = z3.Or(z3.ULT(one, two), z3.And(one == two, before))
    return before


def fields_before(a: Fields, b: Fields) -> Formula:
    """Whether (ms, counter, node id, random) of one comes before that of the other."""
    before: Formula = z3.BoolVal(False)
    for name in ("random", "node_id", "counter", "ms"):
        one, two = getattr(a, name), getattr(b, name)
        before = z3.Or(z3.ULT(one, two), z3.And(one == two, before))
    return before


def is_ours(bits: Term) -> Formula:
    """UUID8.R4: version 8 and variant 10, at the places of RFC 9562."""
    return z3.And(z3.Extract(79, 76, bits) == VERSION, z3.Extract(63, 62, bits) == VARIANT)


def read(bits: Term) -> Fields:
    """The fields of an id of ours."""
    return Fields(
        z3.Extract(127, 80, bits), z3.Extract(75, 64, bits), z3.Extract(61, 46, bits), z3.Extract(45, 0, bits)
    )


# --- theorems ---------------------------------------------------------------------------------------------


def theorems(layout: Callable[[Fields], Term] = layout_a) -> tuple[Theorem, ...]:
    """The theorems about this layout; about ours if none is given."""
    a, b = any_fields("a"), any_fields("b")
    one, two = layout(a), layout(b)

    def order() -> Sequence[Obligation]:
        same_ms, same_timestamp = a.ms == b.ms, a.timestamp == b.timestamp
        reaches = {"the counter decides": same_ms, "the node decides": same_timestamp}
        return (
            Obligation("bytes", {}, bytes_before(one, two) == fields_before(a, b), reaches),
            Obligation("numbers", {}, bytes_before(one, two) == z3.ULT(one, two)),
        )

    def round_trip() -> Sequence[Obligation]:
        bits, again = z3.BitVec("bits", 128), read(one)
        kept = z3.And(*(getattr(again, n) == getattr(a, n) for n in ("ms", "counter", "node_id", "random")))
        ours = {"version and variant are right": is_ours(bits)}
        return (
            Obligation("from fields and back", {}, kept),
            Obligation("from 128 bits and back", ours, layout(read(bits)) == bits),
        )

    def rfc() -> Sequence[Obligation]:
        version, variant = z3.Extract(7, 4, octet(one, 6)), z3.Extract(7, 6, octet(one, 8))
        return (Obligation("octets 6 and 8", {}, z3.And(version == VERSION, variant == VARIANT)),)

    def distinct() -> Sequence[Obligation]:
        other_node = {"other nodes": a.node_id != b.node_id}
        later = {"the same node, later": z3.And(a.node_id == b.node_id, z3.ULT(a.timestamp, b.timestamp))}
        same = {"the same id": one == two}
        all_equal = z3.And(a.timestamp == b.timestamp, a.node_id == b.node_id, a.random == b.random)
        return (
            Obligation("two nodes", other_node, one != two, {"at one moment": a.timestamp == b.timestamp}),
            Obligation("one node", later, z3.And(one != two, bytes_before(one, two))),
            Obligation("a collision", same, all_equal),
        )

    return (
        Theorem(
            "uuid8.byte_order_is_clock_order",
            "Comparing two ids as 16 bytes compares (millisecond, counter, node, random), and nothing else.",
            ("HLC-7",),
            ("UUID8.R1", "UUID8.R3"),
            order,
        ),
        Theorem(
            "uuid8.reading_gives_back_what_was_written",
            "Every id can be read back into its fields, and every 128 bits that pass for an id are one.",
            ("HLC-7",),
            ("UUID8.R4", "UUID8.R6"),
            round_trip,
        ),
        Theorem(
            "uuid8.every_id_is_an_rfc_9562_uuid",
            "Octet 6 begins with version 8 and octet 8 with the variant, in every id.",
            ("HLC-7",),
            ("UUID8.R1",),
            rfc,
        ),
        Theorem(
            "uuid8.ids_are_distinct",
            "Ids of two nodes differ, ids of one node differ because its timestamps increase, so ids "
            "collide only where a node id and a timestamp are used twice, and then only with equal random "
            "bits.",
            ("HLC-9",),
            ("UUID8.R1", "UUID8.R2"),
            distinct,
            ("uuid8.byte_order_is_clock_order", "hlc.ids_of_a_node_increase"),
        ),
        *_migration(),
    )


def _migration() -> tuple[Theorem, ...]:
    old, new = any_fields("v7"), any_fields("v8")
    seven, eight = version_7(old), layout_a(new)

    def one_ms() -> Sequence[Obligation]:
        same = {"in one millisecond": old.ms == new.ms}
        lower = {"the v8 has the lower counter": z3.ULT(new.counter, old.counter)}
        return (Obligation("v8 above v7", same, bytes_before(seven, eight), lower),)

    def to_v8() -> Sequence[Obligation]:
        starts = {"the v8 clock is at or past the v7's millisecond": z3.ULE(old.ms, new.ms)}
        return (Obligation("v8 above v7", starts, bytes_before(seven, eight), {"equal": old.ms == new.ms}),)

    def to_v7() -> Sequence[Obligation]:
        waits = {"the v7's millisecond is past the v8's": z3.ULT(new.ms, old.ms)}
        early = {"the v7's millisecond is that of the v8": old.ms == new.ms}
        return (
            Obligation("v7 above v8", waits, bytes_before(eight, seven)),
            Obligation("one millisecond earlier it is lost", early, bytes_before(seven, eight)),
        )

    return (
        Theorem(
            "uuid8.v8_beats_v7_of_its_millisecond",
            "In one millisecond every v8 id is above every v7 id, whichever was made first.",
            ("HLC-8",),
            ("UUID8.R5",),
            one_ms,
        ),
        Theorem(
            "uuid8.going_to_v8_is_safe_from_the_same_millisecond",
            "A v8 id whose timestamp is at or past a v7's millisecond is above it: on the way to v8 it is "
            "enough that the clock has seen every v7 in use.",
            ("HLC-8",),
            ("UUID8.R5",),
            to_v8,
        ),
        Theorem(
            "uuid8.going_back_to_v7_must_pass_the_last_millisecond",
            "A v7 id is above a v8 id if and only if its millisecond is strictly past the v8's: on the "
            "way back the first v7 must wait until then.",
            ("HLC-8",),
            ("UUID8.R5",),
            to_v7,
        ),
    )


# --- refutations ------------------------------------------------------------------------------------------


def refutations() -> tuple[Refutation, ...]:
    """The layout and the comparison that do not work."""
    return (
        Refutation(
            "uuid8.layout_b",
            "layout_b",
            "In layout (b) the version that RFC 9562 demands stands over the counter, and byte order is "
            "lost.",
            "HLC-7",
            ("HLC-7",),
            lambda: theorems(_layout_b)[0],
            lambda: _find_pair(_layout_b, _layout_b),
        ),
        Refutation(
            "uuid8.v7_beside_v8",
            "v7_beside_v8",
            "A v7 id that is written after a v8 id of its millisecond, and acknowledged, loses against it.",
            "HLC-8",
            ("HLC-8",),
            _later_wins,
            lambda: _find_pair(layout_a, version_7),
        ),
    )


def _layout_b(fields: Fields) -> Term:
    return layout_b(fields, constant(0, SUB_MS_BITS), forced=True)


def _later_wins() -> Theorem:
    early, late = any_fields("early"), any_fields("late")

    def obligations() -> Sequence[Obligation]:
        after = {"written later": z3.ULT(early.timestamp, late.timestamp)}
        return (Obligation("v7 after v8", after, bytes_before(layout_a(early), version_7(late))),)

    statement = "Of two ids the one made later is above the other, whatever their versions."
    return Theorem("uuid8.versions_do_not_matter", statement, ("HLC-8",), ("UUID8.R5",), obligations)


def _find_pair(first: Callable[[Fields], Term], second: Callable[[Fields], Term]) -> FoundPair | None:
    """Two timestamps, one after the other, whose ids are in the wrong order; the lowest counters."""
    early, late = any_fields("early"), any_fields("late")
    solver = z3.Solver()
    rest = [z3.And(item.node_id == 1, item.random == 0, item.ms == 1000) for item in (early, late)]
    solver.add(*rest, z3.ULT(early.timestamp, late.timestamp))
    solver.add(bytes_before(second(late), first(early)))
    for counter in (late.counter, early.counter):
        _lowest(solver, counter)
    if solver.check() != z3.sat:
        return None
    model = solver.model()

    def pair(fields: Fields) -> tuple[int, int]:
        return model[fields.ms].as_long(), model.eval(fields.counter, model_completion=True).as_long()

    return FoundPair(pair(early), pair(late))


def _lowest(solver: z3.Solver, term: Term) -> None:
    """Hold a term to the least value that it can have, bit by bit."""
    for bit in reversed(range(COUNTER_BITS)):
        clear = z3.Extract(bit, bit, term) == 0
        if solver.check(clear) == z3.sat:
            solver.add(clear)
