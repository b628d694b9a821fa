"""Scenarios of part ``uuid8``: the layout, foreign UUIDs, and why layouts and versions do not mix."""

from __future__ import annotations

import itertools

from scratchbird_check.conformance.recorder import Lane, Recorder
from scratchbird_check.traces.hlc import Json
from scratchbird_reference.uuid8 import MAX_COUNTER, MAX_MS, MAX_NODE_ID, MAX_RANDOM, Timestamp, UuidV8

OURS = "018bcfe5-6800-8007-801c-00000000002a"
V4 = "919108f7-52d1-4320-9bac-f847db4148a8"  # RFC 9562, appendix A.3
V7 = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"  # RFC 9562, appendix A.6
NIL = "00000000-0000-0000-0000-000000000000"
MAX = "ffffffff-ffff-ffff-ffff-ffffffffffff"


def _begin(name: str, about: str) -> Lane:
    return Lane(Recorder(name, about, part="uuid8"), 1)


def _encode(ms: int, counter: int, node_id: int, random: int) -> Json:
    return {"event": "encode", "ms": ms, "counter": counter, "node_id": node_id, "random": random}


def encode() -> Recorder:
    lane = _begin("uuid8_encode", "Fields into text and bytes, each field at its limits (UUID8.R1).")
    lane.takes(_encode(0, 0, 1, 0), "id")
    lane.takes(_encode(MAX_MS, MAX_COUNTER, MAX_NODE_ID, MAX_RANDOM), "id")
    lane.takes(_encode(1_700_000_000_000, 7, 112, 42), "id")
    for bit in (0, 1, 11, 12, 31, 32, 47):
        lane.takes(_encode(1 << bit, 0, 1, 0), "id")
    for bit in (0, 7, 8, 11):
        lane.takes(_encode(0, 1 << bit, 1, 0), "id")
    for bit in (1, 5, 6, 13, 14, 15):
        lane.takes(_encode(0, 0, 1 << bit, 0), "id")
    for bit in (0, 29, 30, 44, 45):
        lane.takes(_encode(0, 0, 1, 1 << bit), "id")
    return lane.run


def decode() -> Recorder:
    lane = _begin(
        "uuid8_decode", "Text and bytes into fields; foreign and malformed ones are refused (UUID8.R4)."
    )
    for made in (
        UuidV8(Timestamp(0, 0), 1, 0),
        UuidV8(Timestamp(MAX_MS, MAX_COUNTER), MAX_NODE_ID, MAX_RANDOM),
        UuidV8(Timestamp(0x0123456789AB, 0xCDE), 0xF012, 0x0FEDCBA98765),
    ):
        lane.takes({"event": "decode", "id": str(made)}, "fields")
        lane.takes({"event": "decode", "id": str(made).upper()}, "fields")
        lane.takes({"event": "decode", "bytes": bytes(made).hex()}, "fields")
    lane.takes({"event": "decode", "id": OURS}, "fields")
    refused = {
        "version": (V4, V7, NIL, MAX, OURS[:14] + "9" + OURS[15:], OURS[:14] + "0" + OURS[15:]),
        "variant": tuple(OURS[:19] + digit + OURS[20:] for digit in "07cdef"),
        "node_id": ("018bcfe5-6800-8007-8000-00000000002a", "018bcfe5-6800-8007-8000-3fffffffffff"),
        "malformed": (
            "",
            OURS[:-1],
            OURS + "0",
            OURS.replace("-", ""),
            "{" + OURS + "}",
            "urn:uuid:" + OURS,
            " " + OURS,
            OURS + "\n",
            "g" + OURS[1:],
            "018bcfe56-800-8007-801c-00000000002a",
            "018bcfe5-6800-8007-801c-0000000000-a",
        ),
    }
    for reason, texts in refused.items():
        for text in texts:
            lane.takes({"event": "decode", "id": text}, f"refused:{reason}")
    for text in ("", "00", OURS.replace("-", "") + "00", OURS, "zz" * 16, "0" * 31):
        lane.takes({"event": "decode", "bytes": text}, "refused:malformed")
    lane.takes({"event": "decode", "bytes": V4.replace("-", "")}, "refused:version")
    return lane.run


def compare() -> Recorder:
    lane = _begin(
        "uuid8_compare", "The order of the bytes is that of millisecond, counter, node, random (UUID8.R3)."
    )
    rising = (
        UuidV8(Timestamp(0, 0), 1, 0),
        UuidV8(Timestamp(0, 0), 1, 1),
        UuidV8(Timestamp(0, 0), 1, MAX_RANDOM),
        UuidV8(Timestamp(0, 0), 2, 0),
        UuidV8(Timestamp(0, 0), MAX_NODE_ID, MAX_RANDOM),
        UuidV8(Timestamp(0, 1), 1, 0),
        UuidV8(Timestamp(0, MAX_COUNTER), MAX_NODE_ID, MAX_RANDOM),
        UuidV8(Timestamp(1, 0), 1, 0),
        UuidV8(Timestamp(1 << 47, 0), 1, 0),
        UuidV8(Timestamp(MAX_MS, MAX_COUNTER), MAX_NODE_ID, MAX_RANDOM),
    )
    for lower, higher in itertools.pairwise(rising):
        lane.takes({"event": "compare", "a": str(lower), "b": str(higher)}, "order")
        lane.takes({"event": "compare", "a": str(higher), "b": str(lower)}, "order")
    lane.takes({"event": "compare", "a": OURS, "b": OURS.upper()}, "order")
    lane.takes({"event": "compare", "a": OURS, "b": V4}, "refused:version")
    lane.takes({"event": "compare", "a": NIL, "b": OURS}, "refused:version")
    lane.takes({"event": "compare", "a": OURS, "b": "x"}, "refused:malformed")
    return lane.run


def bad_input() -> Recorder:
    lane = _begin("uuid8_bad_input", "What is out of range or malformed is an error.")
    for event in (
        _encode(-1, 0, 1, 0),
        _encode(MAX_MS + 1, 0, 1, 0),
        _encode(0, -1, 1, 0),
        _encode(0, MAX_COUNTER + 1, 1, 0),
        _encode(0, 0, 0, 0),
        _encode(0, 0, MAX_NODE_ID + 1, 0),
        _encode(0, 0, 1, -1),
        _encode(0, 0, 1, MAX_RANDOM + 1),
        {"event": "encode", "ms": "0", "counter": 0, "node_id": 1, "random": 0},
        {"event": "encode", "ms": 0.5, "counter": 0, "node_id": 1, "random": 0},
        {"event": "encode", "ms": 0, "counter": 0, "node_id": 1},
        {"event": "decode"},
        {"event": "decode", "id": 5},
        {"event": "decode", "bytes": None},
        {"event": "decode", "id": OURS, "bytes": OURS.replace("-", "")},
        {"event": "compare", "a": OURS},
        {"event": "compare", "a": OURS, "b": 7},
        {"event": "order", "a": OURS, "b": OURS},
        {},
    ):
        lane.takes(event, "error")
    return lane.run


def variant_layout_b() -> Recorder:
    lane = _begin(
        "uuid8_variant_layout_b",
        "Where layout (b) with the RFC's bits forced orders wrongly: a counter of 12 whole bits (HLC-7).",
    )
    # Forcing the version over bits 48-51 overwrites the counter's highest bits in layout (b).
    for lower, higher in ((0x0FF, 0x100), (0x7FF, 0x800), (0x0FF, 0xF00), (0x8FF, 0x900)):
        a, b = UuidV8(Timestamp(5, lower), 1, MAX_RANDOM), UuidV8(Timestamp(5, higher), 1, 0)
        lane.takes(_encode(5, lower, 1, MAX_RANDOM), "id")
        lane.takes(_encode(5, higher, 1, 0), "id")
        lane.takes({"event": "compare", "a": str(a), "b": str(b)}, "order")
    return lane.run


def variant_v7_beside_v8() -> Recorder:
    lane = _begin(
        "uuid8_variant_v7_beside_v8",
        "In one millisecond the version would decide, not the time: v7 beside v8 is refused (HLC-8).",
    )
    earlier = UuidV8(Timestamp(0x017F22E279B0, 0), 1, 0)
    lane.takes({"event": "decode", "id": str(earlier)}, "fields")
    lane.takes({"event": "compare", "a": str(earlier), "b": V7}, "refused:version")
    lane.takes({"event": "compare", "a": V7, "b": str(earlier)}, "refused:version")
    return lane.run


SCENARIOS = (encode, decode, compare, bad_input, variant_layout_b, variant_v7_beside_v8)
