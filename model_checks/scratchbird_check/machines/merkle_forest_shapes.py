"""What other trees would move, and which rows they would not tell apart: counted, and by a real collision.

A *rank-shaped* tree is the published one: the rows sorted, each two digests hashed to one, the odd one
promoted. It is compared from the top; where two leaves in the same place differ, both rows are moved. One row
more shifts all that follow, and so almost all are moved. Ours has the shape of the keys' hashes (rule
MERKLE_FOREST.R4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from scratchbird_check.context import Context
from scratchbird_check.manifest import Check
from scratchbird_check.traces.model import Arrow, Kind, Step, Trace
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_reference.merkle_forest import FAN_OUT, Entry, Inner, Leaf, Prefix, Rules, Shape, Tree
from scratchbird_reference.merkle_forest_rows import Encoding
from scratchbird_reference.quorum_messages import Held


@dataclass(frozen=True, slots=True)
class Cost:
    """What a comparison of two trees cost."""

    digests: int
    """That were told."""
    rows: int
    """That were moved, in both directions together."""


def entries_of(rows: Sequence[int]) -> tuple[Entry, ...]:
    """The entries of some rows of the same age, in the order of their places."""
    rules = Rules()
    return tuple(sorted(rules.entry_of(row, Held(1, b"row %d" % row)) for row in rows))


def ours(mine: Sequence[Entry], theirs: Sequence[Entry]) -> Cost:
    """From the root down where digests differ; of leaves, only the entries that differ are moved."""
    shape, rules = Shape(), Rules()
    here, there = Tree(rules, shape, tuple(mine)), Tree(rules, shape, tuple(theirs))
    digests, rows = 1, 0
    left: list[Prefix] = [()] if here.digest() != there.digest() else []
    while left:
        prefix = left.pop()
        node = there.node(prefix)
        if isinstance(node, Inner):
            digests += FAN_OUT
            below = [(*prefix, digit) for digit in range(FAN_OUT)]
            left += [child for child in below if here.digest(child) != node.children[child[-1]]]
        else:
            assert isinstance(node, Leaf)
            digests += len(node.entries)
            rows += len(set(node.entries) ^ set(here.under(prefix)))
    return Cost(digests, rows)


def rank_shaped(mine: Sequence[Entry], theirs: Sequence[Entry]) -> Cost:
    """The published tree, compared place by place from the top."""
    here, there = _levels(mine), _levels(theirs)
    digests, left = 1, [0] if here[-1] != there[-1] else []
    for depth in range(max(len(here), len(there)) - 1, 0, -1):
        below = sorted({child for place in left for child in (2 * place, 2 * place + 1)})
        told = [place for place in below if place < max(_width(here, depth - 1), _width(there, depth - 1))]
        digests += len(told)
        left = [place for place in told if _at(here, depth - 1, place) != _at(there, depth - 1, place)]
    pairs = [(_at(here, 0, place), _at(there, 0, place)) for place in left]
    return Cost(digests, sum((one is not None) + (other is not None) for one, other in pairs))


def _levels(entries: Sequence[Entry]) -> list[list[bytes]]:
    levels = [[entry.digest for entry in entries]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        pairs = [below[place : place + 2] for place in range(0, len(below), 2)]
        levels.append([sha256(b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs])
    return levels


def _width(levels: list[list[bytes]], depth: int) -> int:
    return len(levels[depth]) if depth < len(levels) else 0


def _at(levels: list[list[bytes]], depth: int, place: int) -> bytes | None:
    return levels[depth][place] if place < _width(levels, depth) else None


# --- as checks of the manifest ----------------------------------------------------------------------------


def run_rank(check: Check, context: Context) -> Outcome:
    """One row of so many is missing at one side: how many rows the two shapes move."""
    rows, missing = check.options["rows"], check.options["missing"]
    all_of_them = entries_of(range(rows))
    mine = [entry for place, entry in enumerate(all_of_them) if place != missing]
    rank, radix = rank_shaped(mine, all_of_them), ours(mine, all_of_them)
    figures = {
        "rank_rows": rank.rows,
        "rank_digests": rank.digests,
        "rows": radix.rows,
        "digests": radix.digests,
    }
    pinned = {name: check.options[name] for name in ("rank_rows", "rank_digests", "digests")}
    if radix.rows != 1 or any(figures[name] != value for name, value in pinned.items()):
        why = f"{figures}, pinned: {pinned} and one row"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures)
    detail = (
        f"one row of {rows:,} is missing: the rank-shaped tree moves {rank.rows:,} rows and tells "
        f"{rank.digests:,} digests, ours moves one row and tells {radix.digests}"
    )
    told = (
        Told("one", f"shows {rows:,} rows"),
        Told("two", f"shows the same, but not row {missing + 1} in their order"),
        Told("one", f"tells {rank.digests:,} digests: wherever nodes differ, those below them", sends=True),
        Told(
            "two",
            "finds that each leaf from there on stands where its neighbour stood: all differ",
            hears="digests",
            since=3,
        ),
        Told(
            "one",
            f"and two send each other {rank.rows:,} rows: one was missing",
            wrong=True,
            hears="rows",
            since=4,
        ),
    )
    trace = story("Two rank-shaped trees that differ in one row (rank_shaped)", told, detail, "MRK-3")
    return Outcome(check.id, Verdict.REFUTED, detail, check.properties, figures=figures, counterexample=trace)


@dataclass(frozen=True, slots=True)
class Told:
    """A step of a story of two replicas.

    :ivar hears: what a message brings that was sent at step ``since``; the first step is number 1.
    """

    lane: str
    label: str
    wrong: bool = False
    hears: str = ""
    since: int = 0
    sends: bool = False


def story(title: str, told: Sequence[Told], verdict: str, promise: str) -> Trace:
    """Told as a run that can be drawn."""
    steps = [Step(0, None, "Begin", "the beginning")]
    for number, item in enumerate(told, start=1):
        arrows = (Arrow(item.since, told[item.since - 1].lane, item.hears),) if item.hears else ()
        action = "Exchange" if item.sends or item.hears else "Hold"
        kind: Kind = "message" if item.sends else "step"
        steps.append(Step(number, item.lane, action, item.label, arrows=arrows, wrong=item.wrong, kind=kind))
    return Trace(title, "reference", "merkle_forest", ("one", "two"), tuple(steps), verdict, promise)


def published_row(columns: Sequence[str]) -> bytes:
    """As published: the digest of a row is that of its columns, one after the other."""
    return sha256("".join(columns).encode()).digest()


def published_node(left: bytes, right: bytes) -> bytes:
    """As published: the digest of a node is that of its children's, one after the other."""
    return sha256(left + right).digest()


def run_domains(check: Check, context: Context) -> Outcome:
    """Two different rows, and two different sets of rows, that the published hash does not tell apart."""
    columns = (("ab", "c"), ("a", "bc"))
    two_rows = [published_row(["one"]), published_row(["other"])]
    as_one_row = b"".join(two_rows)  # A row of one column of bytes, which anybody may write.
    collisions = {
        "two rows": published_row(columns[0]) == published_row(columns[1]),
        "a row and a node": sha256(as_one_row).digest() == published_node(*two_rows),
    }
    code, rules = Encoding(), Rules()
    apart = {
        "two rows": code.row_bytes(1, dict(enumerate(columns[0])))
        != code.row_bytes(1, dict(enumerate(columns[1]))),
        "a row and a node": rules.hashed("row", as_one_row) != rules.hashed("node", *two_rows),
    }
    if not all(collisions.values()) or not all(apart.values()):
        why = f"collisions of the published hash: {collisions}; told apart by ours: {apart}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties)
    detail = (
        'one digest for the rows ("ab", "c") and ("a", "bc"), and one for two rows and for a row whose bytes '
        "are their digests; ours tells both apart"
    )
    digests = [published_row(row).hex()[:8] for row in columns]
    told = (
        Told("one", f'holds the row ("ab", "c"): digest {digests[0]}'),
        Told("two", f'holds the row ("a", "bc"): digest {digests[1]}'),
        Told("two", "tells the digest of its window", sends=True),
        Told("one", "finds its own, and repairs nothing, ever", wrong=True, hears=digests[1], since=3),
    )
    trace = story("Two rows with one digest (no_domains)", told, detail, "MRK-8")
    figures = {"collisions": len(collisions)}
    return Outcome(check.id, Verdict.REFUTED, detail, check.properties, figures=figures, counterexample=trace)
