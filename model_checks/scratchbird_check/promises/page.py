"""The quorum section of ``docs/guarantees.md``: what each N, W and R promises, beside what was published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scratchbird_check.promises import telling
from scratchbird_check.promises.cluster import FORM
from scratchbird_check.promises.schedules import SCHEDULES, Schedule, play
from scratchbird_check.promises.table import LARGEST, PROMISES, Row, row, settings
from scratchbird_reference.quorum_messages import Mode, Setting

_HEAD = f"""## What N, W and R promise

Every setting with up to {LARGEST} replicas, in both modes, through lost, repeated and overtaken messages,
crashes, lost disks and clocks that differ. `scratchbird_check guarantees` tells the same of one setting, of
placements over data centres, and of a cluster's own file; `--expect` makes it a test.

- **yes** is an instance of theorems that were proved for all N, W and R: the numbers are put into what they
  ask.
- **no** is a schedule that was played by the reference, and whose history the history checker refuses.
- **yes\\*** is yes as long as no replica loses its disk, with a theorem for that and a schedule for the rest.
- **survive** is how many replicas may be down, whichever they are, and **rounds** how many messages there and
  back an operation takes at least and at most: both by playing the operation from every state of the row.

No formula fills a cell. A test compares them with the formulas that one would expect.

`--config` reads this of a `cluster.yaml`, and leaves other sections alone:

```yaml
{FORM}```
"""

SAID = (
    ((3, 2, 2), "strong"),
    ((3, 1, 3), "eventual"),
    ((3, 3, 1), "eventual"),
    ((5, 3, 3), "strong"),
    ((5, 2, 4), "eventual"),
)
"""The labels of the published table (QRM-6)."""
PLACEMENTS = ((1, 1, 1), (2, 2, 1), (3, 1, 1), (2, 2, 2), (3, 2, 2))


def section() -> str:
    """The whole section, in Markdown."""
    rows = [row(setting) for setting in settings()]
    parts = [_HEAD, _promises(), _schedules(), _answers(rows)]
    parts += [_table(group) for group in telling.by_mode(rows)]
    return "\n".join(parts)


def _promises() -> str:
    lines = ["| promise | what it says |", "|---|---|"]
    lines += [f"| {item.name} | {item.sentence} |" for item in PROMISES]
    return "\n".join(lines) + "\n"


def _schedules() -> str:
    lines = [
        "### The schedules",
        "",
        "Each is told for the smallest setting that it fits; for others it is generated in the same way.",
        "",
    ]
    for schedule in SCHEDULES.values():
        setting = smallest(schedule)
        lines += [f"**{schedule.name}**: {schedule.sentence}. {telling.heading(setting)}:", ""]
        lines += [f"{number}. {line}" for number, line in enumerate(play(schedule, setting).story, start=1)]
        lines.append("")
    return "\n".join(lines)


def smallest(schedule: Schedule) -> Setting:
    """The first setting of two replicas or more that a schedule fits."""
    return next(setting for setting in settings() if setting.size > 1 and schedule.fits(setting))


def _table(rows: Iterable[Row]) -> str:
    group = list(rows)
    title = f"### {group[0].setting.mode.value.capitalize()} tables"
    return "\n".join([title, "", *telling.markdown(group)]) + "\n"


# --- the published statements -----------------------------------------------------------------------------


def _answers(rows: Iterable[Row]) -> str:
    known = {
        (item.setting.size, item.setting.write_quorum, item.setting.read_quorum, item.setting.mode): item
        for item in rows
    }
    return "\n".join(
        [
            "### What was published, and what is",
            "",
            *_labels(known),
            "",
            *_sums(known.values()),
            "",
            *_placements(),
            "",
            *_minorities(known),
            "",
        ]
    )


_Rows = dict[tuple[int, int, int, Mode], Row]


def _labels(known: _Rows) -> Iterator[str]:
    """QRM-6."""
    yield "**The labels (QRM-6).** A label of numbers alone says nothing: the mode decides."
    yield ""
    yield "| N, W, R | published as | linearizable table | eventual table | reads and writes survive |"
    yield "|---|---|---|---|---|"
    for numbers, label in SAID:
        strong, weak = known[(*numbers, Mode.LINEARIZABLE)], known[(*numbers, Mode.EVENTUAL)]
        yield (
            f"| {', '.join(map(str, numbers))} | {label} | linearizable: {_mark(strong)} | linearizable: "
            f"{_mark(weak)} | {strong.reads} and {strong.writes}; eventual {weak.reads} and {weak.writes} |"
        )


def _mark(found: Row) -> str:
    return telling.MARKS[found.cells["linearizable"].answer]


def _sums(rows: Iterable[Row]) -> Iterator[str]:
    """QRM-7: one replica down."""
    right = wrong = 0
    default = ""
    for found in rows:
        setting = found.setting
        said = setting.write_quorum + setting.read_quorum <= setting.size - 1
        is_so = min(found.reads, found.writes) >= 1
        right, wrong = right + (said == is_so), wrong + (said != is_so)
        if setting == Setting((1, 2, 3), 2, 2):
            default = f"one replica down, and reads and writes {'go on' if is_so else 'stop'}"
    yield (
        f"**One node down (QRM-7).** “Go on if W + R ≤ N − 1” is wrong of {wrong} settings and right of "
        f"{right}. Of the default (3, 2, 2) it says that they stop; played: {default}. They go on as long as "
        "enough replicas answer: a linearizable table needs max(W, R) for either, an eventual one R to read "
        "and W to write."
    )


def _placements() -> Iterator[str]:
    """QRM-8."""
    yield "**Whole data centres (QRM-8).** Majorities, linearizable, by where the replicas are."
    yield ""
    yield "| placement | W, R | down | reads | writes |"
    yield "|---|---|---|---|---|"
    for placement in PLACEMENTS:
        size = sum(placement)
        half = size // 2 + 1
        setting = Setting(tuple(range(1, size + 1)), half, half)
        seen = set()
        for down, reads, writes in telling.failures(setting, placement):
            sizes = tuple(sorted((placement[number] for number in down), reverse=True))
            if len(sizes) == len(placement) or sizes in seen:
                continue
            seen.add(sizes)
            yield (
                f"| {', '.join(map(str, placement))} | {half}, {half} | {' and '.join(map(str, sizes))} | "
                f"{'go on' if reads else 'stop'} | {'go on' if writes else 'stop'} |"
            )


def _minorities(known: _Rows) -> Iterator[str]:
    """QRM-9."""
    odd = [found for found in known.values() if found.setting.size in (3, 5, 7)]
    count = {
        (mode, can): sum(found.setting.mode is mode and (reads_in_minority(found) is can) for found in odd)
        for mode in Mode
        for can in (True, False)
    }
    linearizable, strong = _sum(count, Mode.LINEARIZABLE), count[Mode.LINEARIZABLE, True]
    yield (
        f"**The minority side of a partition (QRM-9).** It has at most ⌊N/2⌋ replicas. Of the {linearizable} "
        f"linearizable tables with 3, 5 or 7 replicas {strong or 'none'} can be read there; of the "
        f"{_sum(count, Mode.EVENTUAL)} eventual ones {count[Mode.EVENTUAL, True]} can, those with R ≤ ⌊N/2⌋. "
        "And where W ≤ ⌊N/2⌋ both sides write."
    )


def _sum(count: dict[tuple[Mode, bool], int], mode: Mode) -> int:
    return count[mode, True] + count[mode, False]


def reads_in_minority(found: Row) -> bool:
    """Whether ⌊N/2⌋ replicas are enough to read."""
    return found.reads >= found.setting.size - found.setting.size // 2
