"""The part of a history that cannot be explained: one row a process, a bar from invocation to return.

As text for a terminal, and as an SVG that stands alone. Operations of the core are marked; the others in the
window are drawn lighter, as they may have taken effect or not without making a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from scratchbird_history.errors import printable, short
from scratchbird_history.operations import Operation

MOST = 40
"""Operations that are drawn at the most; the core comes first."""
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
LETTER, HEIGHT, ROW, NAMES, MARGIN = 7.2, 26, 44, 110, 20
"""Pixels: a letter's width, a bar's height, from row to row, the names of the processes, the border."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One operation in columns of the text drawing; ``end`` is None if it never returned."""

    operation: Operation
    row: int
    begin: int
    end: int | None
    label: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """The bars, the processes row by row, the columns in all, and how many operations were left out."""

    bars: tuple[Bar, ...]
    rows: tuple[str, ...]
    width: int
    left_out: int


def window(operations: Iterable[Operation], core: Sequence[Operation]) -> list[Operation]:
    """What overlaps the time from the core's first invocation to its last return, failed operations too."""
    begin = min(one.invoked for one in core)
    end = max(begin if one.returned is None else one.returned for one in core)
    keys = {one.key for one in core}
    return [
        one
        for one in operations
        if one.key in keys and one.invoked <= end and (one.returned is None or one.returned >= begin)
    ]


def lay_out(operations: Iterable[Operation], core: Sequence[Operation]) -> Picture:
    """Columns for the events, wide enough for every label. An empty core gives an empty picture."""
    if not core:
        return Picture((), (), 0, 0)
    within = window(operations, core)
    chosen = set(core)
    # What began long before is only drawn if there is room: the nearest to the core first.
    near = sorted((one for one in within if one not in chosen), key=lambda one: -one.invoked)
    shown = sorted([*core, *near[: max(0, MOST - len(core))]], key=lambda one: one.invoked)
    keys = len({one.key for one in core}) > 1
    texts = {one: short(f"{one.key}: {one.label()}" if keys else one.label(), 30) for one in shown}
    marks = sorted(
        {one.invoked for one in shown} | {one.returned for one in shown if one.returned is not None}
    )
    begins = {one.invoked: one for one in shown}
    returns = {one.returned: one for one in shown if one.returned is not None}
    column: dict[int, int] = {}
    next_free = 0
    for mark in marks:
        if mark in returns:  # Not before its label has room.
            next_free = max(next_free, column[returns[mark].invoked] + len(texts[returns[mark]]) + 3)
        column[mark] = next_free
        next_free += 2
    width = next_free
    for mark, one in begins.items():
        if one.returned is None:
            width = max(width, column[mark] + len(texts[one]) + 4)
    rows = tuple(dict.fromkeys(one.process for one in shown))
    bars: list[Bar] = []
    for one in shown:
        stop = column[one.returned] if one.returned is not None else None
        bars.append(Bar(one, rows.index(one.process), column[one.invoked], stop, texts[one], one in chosen))
    return Picture(tuple(bars), rows, width, len(within) - len(shown))


def text(operations: Iterable[Operation], core: Sequence[Operation]) -> str:
    """In characters: the core's bars are ``[=...=]``, others ``[-...-]``; endless ones end in ``>``."""
    picture = lay_out(operations, core)
    lines = []
    most = max((len(short(name, 16)) for name in picture.rows), default=0)
    for number, name in enumerate(picture.rows):
        cells = [" "] * picture.width
        for bar in picture.bars:
            if bar.row != number:
                continue
            fill = "=" if bar.marked else "-"
            stop = picture.width - 1 if bar.end is None else bar.end
            cells[bar.begin : stop + 1] = _bar(bar, fill, stop - bar.begin + 1)
        lines.append(f"{short(name, 16):>{most}}  {''.join(cells).rstrip()}")
    if picture.left_out:
        lines.append(f"({picture.left_out} more operations of this time are not drawn)")
    return "\n".join(lines)


def _bar(bar: Bar, fill: str, width: int) -> list[str]:
    inner = bar.label[: max(0, width - 2)].center(width - 2, fill)
    return list(f"[{inner}{'>' if bar.end is None else ']'}")


def svg(operations: Iterable[Operation], core: Sequence[Operation], title: str, sentence: str) -> str:
    """The drawing as a standalone SVG document, on white; the sentence stands below."""
    picture = lay_out(operations, core)
    words = [line for part in sentence.splitlines() for line in _wrapped(part, 100)]
    width = MARGIN * 2 + NAMES + max(picture.width, 92) * LETTER
    top = MARGIN + 34
    bottom = top + ROW * len(picture.rows)
    height = bottom + 20 * len(words) + MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}" font-size="13" role="img">',
        f"<title>{_safe(title)}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 12}" font-size="16" font-weight="600" fill="#1f2933">'
        f"{_safe(title)}</text>",
    ]
    left = MARGIN + NAMES
    for number, name in enumerate(picture.rows):
        y = top + ROW * number + HEIGHT / 2
        parts.append(
            f'<text x="{MARGIN}" y="{y + 5:.1f}" fill="#1f2933">process {_safe(short(name, 8))}</text>'
            f'<line x1="{left}" y1="{y:.1f}" x2="{width - MARGIN:.1f}" y2="{y:.1f}" stroke="#d5dbe1"/>'
        )
    # Those that never return go first, so that what comes later in their row lies above them.
    for bar in sorted(picture.bars, key=lambda bar: bar.end is not None):
        x = left + bar.begin * LETTER
        stop = left + ((picture.width if bar.end is None else bar.end + 1) * LETTER)
        line, fill, ink = (
            ("#b3261e", "#fdeceb", "#b3261e") if bar.marked else ("#66727f", "#f4f6f8", "#3e4c59")
        )
        dashed = ' stroke-dasharray="5 4"' if bar.end is None else ""
        y = top + ROW * bar.row
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{stop - x:.1f}" height="{HEIGHT}" rx="4" fill="{fill}"'
            f' stroke="{line}" stroke-width="1.4"{dashed}/>'
            f'<text x="{(x + stop) / 2:.1f}" y="{y + 17.5}" text-anchor="middle" fill="{ink}">'
            f"{_safe(bar.label)}</text>"
        )
    for number, words_line in enumerate(words):
        parts.append(
            f'<text x="{MARGIN}" y="{bottom + 14 + 20 * number}" fill="#1f2933">{_safe(words_line)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _wrapped(line: str, most: int) -> list[str]:
    lines = [""]
    for word in line.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= most:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _safe(given: str) -> str:
    return escape(printable(given))
