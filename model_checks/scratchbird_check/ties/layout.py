"""The tie between proof and code for version ids: the proofs' bit-vectors are the reference's bytes.

Sampled ids, most of them with fields at their least and greatest, are built by the reference (and by the two
wrong forms of ``variants/uuid8.py``) and by the formulas of ``scratchbird_proofs.uuid8``; they must be equal
bit by bit. What the formulas take for an id of ours must be what the reference reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import z3

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.variants.uuid8 import layout_b, version_7
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_proofs import uuid8 as proofs
from scratchbird_proofs.theorem import Term
from scratchbird_reference.errors import CallerError
from scratchbird_reference.uuid8 import (
    COUNTER_BITS,
    MAX_COUNTER,
    MAX_MS,
    MAX_NODE_ID,
    MAX_RANDOM,
    MS_BITS,
    NODE_BITS,
    RANDOM_BITS,
    Timestamp,
    UuidV8,
)


def ids(random: Random, count: int) -> Iterator[UuidV8]:
    """So many ids, every field at an end of its range half of the time."""

    def pick(low: int, high: int) -> int:
        return random.choice((low, high, random.randint(low, high), random.randint(low, high)))

    for _ in range(count):
        timestamp = Timestamp(pick(0, MAX_MS), pick(0, MAX_COUNTER))
        yield UuidV8(timestamp, pick(1, MAX_NODE_ID), pick(0, MAX_RANDOM))


def value(term: Term) -> int:
    """The number that a term without free names is."""
    return int(z3.simplify(term).as_long())


def fields(version: UuidV8) -> proofs.Fields:
    """The fields of an id as bit-vectors."""
    return proofs.Fields(
        z3.BitVecVal(version.timestamp.ms, MS_BITS),
        z3.BitVecVal(version.timestamp.counter, COUNTER_BITS),
        z3.BitVecVal(version.node_id, NODE_BITS),
        z3.BitVecVal(version.random, RANDOM_BITS),
    )


def differences(version: UuidV8) -> list[str]:
    """How formulas and code differ about one id; empty if they agree."""
    found, parts = [], fields(version)
    short = UuidV8(version.timestamp, version.node_id, version.random & ((1 << 34) - 1))
    forms: dict[str, tuple[int, Term]] = {
        "layout (a)": (int(version), proofs.layout_a(parts)),
        "layout (b)": (
            int.from_bytes(layout_b(version.timestamp, version.node_id, short.random), "big"),
            proofs.layout_b(parts, z3.BitVecVal(0, proofs.SUB_MS_BITS), forced=True),
        ),
        "version 7": (
            int.from_bytes(version_7(version.timestamp, version.node_id, version.random), "big"),
            proofs.version_7(parts),
        ),
    }
    for name, (code, formula) in forms.items():
        if code != value(formula):
            made = f"the code makes {code:032x}, the formula {value(formula):032x}"
            found.append(f"{name} of {version!r}: {made}")
    return found


def read_differently(bits: int) -> str:
    """How formulas and code differ in reading 128 bits; empty if they agree."""
    term = z3.BitVecVal(bits, 128)
    ours = z3.is_true(z3.simplify(proofs.is_ours(term)))
    parts = proofs.read(term)
    try:
        version = UuidV8.from_int(bits)
    except CallerError as error:
        # Node id 0 is reserved (UUID8.R2): a form of ours, but nobody's id.
        return f"{bits:032x} is refused by the code alone: {error}" if ours and value(parts.node_id) else ""
    seen = tuple(value(part) for part in (parts.ms, parts.counter, parts.node_id, parts.random))
    if not ours or seen != (*version.timestamp, version.node_id, version.random):
        return f"{bits:032x} is read as {version!r} by the code and as {seen} by the formulas"
    return ""


def run(check: Check, context: Context) -> Outcome:
    """Compare ``options.ids`` ids, and as many neighbours that differ from one in a single bit."""
    wanted, random = int(check.options["ids"]), Random(context.seed)
    problems: list[str] = []
    refused = 0
    for version in ids(random, wanted):
        bit = random.choice((random.randrange(128), random.choice((62, 63, 76, 79))))
        neighbour = int(version) ^ 1 << bit
        problems += differences(version)
        problems += [text for bits in (int(version), neighbour) if (text := read_differently(bits))]
        refused += not z3.is_true(z3.simplify(proofs.is_ours(z3.BitVecVal(neighbour, 128))))
    figures: dict[str, int | float | str] = {"ids": wanted, "foreign ids": refused}
    if not problems and refused:
        detail = f"{wanted:,} ids equal bit by bit, in two wrong forms too; {refused:,} foreign ones refused"
        return Outcome(check.id, Verdict.CHECKED, detail, check.properties, figures=figures)
    why = problems[0] if problems else f"no foreign id among {wanted} neighbours: sample more"
    return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures)
