"""Wrong ways to lay out a version id, and to compare ids of different kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scratchbird_reference.uuid8 import Timestamp

_ALL = (1 << 128) - 1


def _field(value: int, first_bit: int, bits: int) -> int:
    """The value placed so that it starts at a bit, counted from the most significant one as RFC 9562 does."""
    return (value & ((1 << bits) - 1)) << (128 - first_bit - bits)


def layout_b(timestamp: Timestamp, node_id: int, random: int) -> bytes:
    """The other published layout: the counter stands where RFC 9562 puts the version (HLC-7).

    Milliseconds in bits 0-47, counter in 48-59, its version in 60-63, its variant in 76-77, node id in 78-93,
    random in 94-127. A library that makes UUIDs of it forces the version of RFC 9562 into bits 48-51 and the
    variant into bits 64-65, over the counter.
    """
    own = (
        _field(timestamp.ms, 0, 48)
        | _field(timestamp.counter, 48, 12)
        | _field(8, 60, 4)
        | _field(0b10, 76, 2)
        | _field(node_id, 78, 16)
        | _field(random, 94, 34)
    )
    mask = _ALL ^ _field(0xF, 48, 4) ^ _field(0b11, 64, 2)
    return (own & mask | _field(8, 48, 4) | _field(0b10, 64, 2)).to_bytes(16, "big")


def version_7(timestamp: Timestamp, node_id: int, random: int) -> bytes:
    """A UUIDv7 of the same millisecond, the counter in its 12 bits ``rand_a`` (RFC 9562 section 5.7)."""
    value = (
        _field(timestamp.ms, 0, 48)
        | _field(7, 48, 4)
        | _field(timestamp.counter, 52, 12)
        | _field(0b10, 64, 2)
        | _field(node_id, 66, 16)
        | _field(random, 82, 46)
    )
    return value.to_bytes(16, "big")


VARIANTS: Mapping[str, Callable[[Timestamp, int, int], bytes]] = {
    "layout_b": layout_b,
    "v7_beside_v8": version_7,
}
"""From (timestamp, node id, random) to 16 bytes; ``v7_beside_v8`` compares them with ids of this clock."""
