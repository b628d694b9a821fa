"""The guarantees of a setting, for people: in a terminal and in the document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

from scratchbird_check.promises import answering
from scratchbird_check.promises.schedules import SCHEDULES, play
from scratchbird_check.promises.table import PROMISES, Answer, Cell, Row
from scratchbird_reference.quorum_messages import Mode, Setting

MARKS = {Answer.YES: "yes", Answer.UNLESS_LOST: "yes*", Answer.NO: "no", Answer.UNDECIDED: "?"}


def heading(setting: Setting) -> str:
    """In one line."""
    return f"N = {setting.size}, W = {setting.write_quorum}, R = {setting.read_quorum}, {setting.mode.value}"


def span(rounds: tuple[int, int]) -> str:
    """Least and most, as one number where they are the same."""
    least, most = rounds
    return str(least) if least == most else f"{least} to {most}"


def because(found: Cell) -> str:
    """The evidence in one line."""
    proofs = f"{found.theorems[0]}{_more(found.theorems)}" if found.theorems else ""
    schedule = f"schedule {found.schedule!r}" if found.schedule else ""
    return "; but ".join(item for item in (proofs, schedule) if item)


def _more(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def details(row: Row, placement: Sequence[int] = (), *, why: bool = False) -> Iterator[str]:
    """One setting, line by line."""
    yield heading(row.setting)
    for item in PROMISES:
        found = row.cells[item.name]
        yield f"  {item.name:34}{MARKS[found.answer]:5}{because(found)}"
    yield f"  {'replicas that may be down':34}reads {row.reads}, writes {row.writes}"
    yield f"  {'… for a read with token':34}{row.reads_with_token}, if the token is of an acknowledged write"
    yield f"  {'rounds':34}read {span(row.read_rounds)}, write {span(row.write_rounds)}"
    if placement:
        yield from _centres(row.setting, placement)
    if any(found.answer is Answer.UNLESS_LOST for found in row.cells.values()):
        yield "  yes*: as long as no replica loses its disk"
    if why:
        yield from _reasons(row)


def _reasons(row: Row) -> Iterator[str]:
    told: set[str] = set()
    for item in PROMISES:
        found = row.cells[item.name]
        if found.theorems:
            yield ""
            yield f"  {item.name}: {item.sentence}"
            yield f"    proved by {', '.join(found.theorems)}"
        if found.schedule in SCHEDULES and found.schedule not in told:
            told.add(found.schedule)
            schedule = SCHEDULES[found.schedule]
            yield ""
            yield f"  schedule {schedule.name!r}: {schedule.sentence}"
            for number, line in enumerate(play(schedule, row.setting).story, start=1):
                yield f"    {number}. {line}"


# --- data centres -----------------------------------------------------------------------------------------


def failures(setting: Setting, placement: Sequence[int]) -> Iterator[tuple[tuple[int, ...], bool, bool]]:
    """Each set of data centres that may be down, with whether reads and whether writes go on."""
    ends = [sum(placement[: number + 1]) for number in range(len(placement))]
    replicas = [set(setting.replicas[end - size : end]) for end, size in zip(ends, placement, strict=True)]
    for count in range(1, len(placement) + 1):
        for down in combinations(range(len(placement)), count):
            lost = set().union(*(replicas[number] for number in down))
            reads = answering.goes_on(setting, answering.READ, lost)
            yield down, reads, answering.goes_on(setting, answering.WRITE, lost)


def _centres(setting: Setting, placement: Sequence[int]) -> Iterator[str]:
    yield f"  data centres with {', '.join(map(str, placement))} replicas"
    seen: set[tuple[tuple[int, ...], bool, bool]] = set()
    for down, reads, writes in failures(setting, placement):
        sizes = tuple(sorted((placement[number] for number in down), reverse=True))
        if (sizes, reads, writes) in seen:
            continue  # Centres of equal size are alike.
        seen.add((sizes, reads, writes))
        yield f"    {down_words(sizes, placement):32}{what_goes_on(reads, writes)}"


def down_words(sizes: Sequence[int], placement: Sequence[int]) -> str:
    """Which centres are down, by their sizes."""
    if len(sizes) == len(placement):
        return "all down"
    return f"down: {' and '.join(f'one of {size}' for size in sizes)}"


def what_goes_on(reads: bool, writes: bool) -> str:
    """In words."""
    if reads and writes:
        return "reads and writes go on"
    if reads or writes:
        return f"{'reads' if reads else 'writes'} go on, {'writes' if reads else 'reads'} do not"
    return "neither reads nor writes"


# --- several settings -------------------------------------------------------------------------------------

_COLUMNS = (
    ("linearizable", "linear-\nizable"),
    ("regular", "regular"),
    ("regular-one-writer", "… one\nwriter"),
    ("read-your-writes", "own\nwrites"),
    ("read-your-writes-one-coordinator", "… one\ncoord."),
    ("read-your-writes-token", "… with\ntoken"),
    ("monotonic-reads", "mono-\ntonic"),
    ("monotonic-reads-one-coordinator", "… one\ncoord."),
    ("monotonic-reads-token", "… with\ntoken"),
)
_FIGURES = ("reads\nsurvive", "… with\ntoken", "writes\nsurvive", "read\nrounds", "write\nrounds")
_HEADS = ("N", "W", "R", *(title for _, title in _COLUMNS), *_FIGURES)


def cells(row: Row) -> tuple[str, ...]:
    """One row in short words."""
    setting = row.setting
    return (
        *map(str, (setting.size, setting.write_quorum, setting.read_quorum)),
        *(MARKS[row.cells[name].answer] for name, _ in _COLUMNS),
        *map(str, (row.reads, row.reads_with_token, row.writes)),
        *(span(item) for item in (row.read_rounds, row.write_rounds)),
    )


def grid(rows: Sequence[Row]) -> Iterator[str]:
    """A table for a terminal; all rows of one mode."""
    heads = [head.split("\n") for head in _HEADS]
    widths = [max(7 if len(head) > 1 else 3, *map(len, head)) + 1 for head in heads]
    yield f"{rows[0].setting.mode.value} tables"
    for line in range(2):
        texts = [head[line] if line < len(head) else "" for head in heads]
        yield "".join(f"{text:{width}}" for text, width in zip(texts, widths, strict=True)).rstrip()
    for row in rows:
        yield "".join(f"{text:{width}}" for text, width in zip(cells(row), widths, strict=True)).rstrip()


def markdown(rows: Sequence[Row]) -> Iterator[str]:
    """A table for the document."""
    yield f"| {' | '.join(head.replace('-' + chr(10), '').replace(chr(10), ' ') for head in _HEADS)} |"
    yield f"|{'---|' * len(_HEADS)}"
    for row in rows:
        yield f"| {' | '.join(cells(row))} |"


def by_mode(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """The rows of each mode, if there are any."""
    for mode in Mode:
        found = [row for row in rows if row.setting.mode is mode]
        if found:
            yield found
