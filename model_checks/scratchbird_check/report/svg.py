"""A trace as a space-time diagram: one line down the page for each node, a message as an arrow between them.

Time goes down, one row a step. What happened stands in words in a column of its own at the right, so that no
label can lie on another; beside the dot stands only the timestamp, or what else decides. The drawing stands
alone: no style sheet, no font and no identifier from outside, on white, so that it can be pasted anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from scratchbird_check.report.text import setup_sentence, shown_number, shown_steps
from scratchbird_check.traces.model import Arrow, Kind, Step, Trace

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', Arial, sans-serif"
INK, GREY, LINE, BLUE = "#1f2933", "#66727f", "#3e4c59", "#1d5fbf"
RED, RED_LIGHT, GREEN, GREEN_LIGHT, AMBER = "#b3261e", "#fdeceb", "#1e6b3a", "#e9f6ee", "#a15c00"

MARGIN, NUMBERS, LANE_GAP, GUTTER, WORDS = 22, 34, 128, 80, 390
"""Widths in pixels: border, step numbers, from lane to lane, from the last lane to the words, the words."""
ANSWER = 26
"""By how many pixels an answer within a step begins above the step's dot."""
LABEL, SMALL, TITLE = 13.5, 11.5, 16
"""Font sizes in pixels."""
LETTER = 0.57
"""A letter's mean width, as a part of the font size; on the wide side."""


@dataclass(frozen=True, slots=True)
class Row:
    """Where a step is drawn, and its words, already broken into lines."""

    step: Step
    y: float
    top: float
    height: float
    label: tuple[str, ...]
    details: tuple[str, ...]


def draw(trace: Trace) -> str:
    """The diagram as a standalone SVG document. An empty trace gives a diagram without rows."""
    return _Drawing(trace).svg()


class _Drawing:
    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.lane_x = {
            lane: MARGIN + NUMBERS + 26 + index * LANE_GAP for index, lane in enumerate(trace.lanes)
        }
        last_lane = max(self.lane_x.values(), default=MARGIN + NUMBERS)
        self.words_x = last_lane + GUTTER
        self.width = self.words_x + WORDS + MARGIN
        self.parts: list[str] = []
        self.labels: list[tuple[float, float, float]] = []
        """Of the messages, and what else they must not lie on: middle, base line, half the width."""
        self.y = float(MARGIN)

    def svg(self) -> str:
        trace = self.trace
        self.heading()
        lanes_top = self.y
        self.y += 34
        rows = self.rows()
        self.bands(rows)
        self.lines(rows, lanes_top + 24)
        for lane, x in self.lane_x.items():
            self.lane_head(lane, x, lanes_top)
        by_number = {row.step.number: row for row in rows}
        for row in rows:
            self.words(row)
            if row.step.lane in self.lane_x:  # No label may lie on a step either.
                self.labels.append((self.lane_x[row.step.lane], row.y + 4, 8))
        delivered: set[tuple[int, str, str]] = set()
        for row in rows:
            for arrow in row.step.arrows:
                if arrow.from_step in by_number and row.step.lane in self.lane_x:
                    delivery = (arrow.from_step, arrow.from_lane, row.step.lane)
                    self.arrow(by_number[arrow.from_step], row, arrow, again=delivery in delivered)
                    delivered.add(delivery)
        answered = {arrow.from_step for row in rows for arrow in row.step.arrows}
        for row in rows:
            self.dot(row, has_arrow=row.step.number in answered)
        self.legend(rows)
        self.verdict()
        height = self.y + MARGIN - 8
        size = f'width="{self.width:.0f}" height="{height:.0f}" viewBox="0 0 {self.width:.0f} {height:.0f}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family={quoteattr(FONT)}>\n'
            f"<title>{escape(trace.title)}</title>\n<desc>{escape(trace.verdict or trace.title)}</desc>\n"
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )

    # --- text ---------------------------------------------------------------------------------------------

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = LABEL,
        fill: str = INK,
        *,
        bold: bool = False,
        anchor: str = "start",
        halo: bool = False,
    ) -> None:
        extra = ' font-weight="600"' if bold else ""
        extra += f' text-anchor="{anchor}"' if anchor != "start" else ""
        if halo:
            extra += ' stroke="#ffffff" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{extra}>{escape(text)}</text>'
        )

    def block(self, lines: Iterable[str], size: float, fill: str, *, bold: bool = False) -> None:
        for line in lines:
            self.y += size * 1.32
            self.text(MARGIN, self.y, line, size, fill, bold=bold)

    def heading(self) -> None:
        room = self.width - 2 * MARGIN
        self.y -= 4
        self.block(wrap(self.trace.title, room, TITLE), TITLE, INK, bold=True)
        if setup := setup_sentence(self.trace):
            self.y += 3
            self.block(wrap(setup, room, SMALL), SMALL, GREY)
        self.y += 16

    # --- rows ---------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        rows = []
        for step in shown_steps(self.trace):
            who = f"{step.lane} " if step.lane else ""
            label = wrap(who + step.label, WORDS, LABEL)
            changes = ", ".join(
                f"{change.name} {change.before} \N{RIGHTWARDS ARROW} {change.after}"
                for change in step.changes
                if not change.name.startswith("up[")
            )
            details = wrap(changes, WORDS, SMALL) if changes else ()
            # Answers within the step come from above its dot, and need room there.
            above = ANSWER if any(arrow.from_step == step.number for arrow in step.arrows) else 0
            height = max(40.0, 18 + len(label) * LABEL * 1.25 + len(details) * SMALL * 1.3) + above
            rows.append(Row(step, self.y + 23 + above, self.y, height, label, details))
            self.y += height
        self.y += 6
        return rows

    def bands(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if row.step.wrong:
                self.parts.append(
                    f'<rect x="{MARGIN - 10}" y="{row.top:.1f}" width="{self.width - 2 * MARGIN + 20:.1f}" '
                    f'height="{row.height:.1f}" rx="5" fill="{RED_LIGHT}"/>'
                )

    def lines(self, rows: Sequence[Row], top: float) -> None:
        """The life of each lane: a line, broken and grey where the node is down."""
        begin = [step for step in self.trace.steps if step.number == 0 or step.setup]
        for lane, x in self.lane_x.items():
            down = bool(begin) and lane in begin[-1].down
            y = top
            for row in rows:
                if (lane in row.step.down) != down:
                    self.segment(x, y, row.y, down)
                    y, down = row.y, not down
            self.segment(x, y, self.y, down)

    def segment(self, x: float, top: float, bottom: float, down: bool) -> None:
        style = 'stroke="#b6bec8" stroke-dasharray="2 6"' if down else f'stroke="{LINE}"'
        self.parts.append(
            f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" {style} stroke-width="2"/>'
        )

    def lane_head(self, lane: str, x: float, top: float) -> None:
        width = max(40.0, measure(lane, LABEL) + 18)
        self.parts.append(
            f'<rect x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="24" rx="6" '
            f'fill="#eef1f4" stroke="{LINE}"/>'
        )
        self.text(x, top + 16.5, lane, LABEL, INK, bold=True, anchor="middle")

    def words(self, row: Row) -> None:
        step, color = row.step, RED if row.step.wrong else INK
        number = str(shown_number(self.trace, step.number))
        self.text(MARGIN + 14, row.y + 4.5, number, SMALL, color if step.wrong else GREY, anchor="end")
        if step.lane is None and self.lane_x:
            left, right = min(self.lane_x.values()) - 18, max(self.lane_x.values()) + 18
            self.parts.append(
                f'<line x1="{left}" y1="{row.y:.1f}" x2="{right}" y2="{row.y:.1f}" stroke="#b6bec8" '
                'stroke-width="1" stroke-dasharray="5 4"/>'
            )
        y = row.y + 4.5
        for line in row.label:
            self.text(self.words_x, y, line, LABEL, color if step.lane else GREY, bold=step.wrong)
            y += LABEL * 1.25
        for line in row.details:
            self.text(self.words_x, y, line, SMALL, GREY)
            y += SMALL * 1.3

    def dot(self, row: Row, has_arrow: bool) -> None:
        step = row.step
        if step.lane not in self.lane_x:
            self.parts.append('<g class="step"/>')
            return
        x, y = self.lane_x[step.lane], row.y
        self.parts.append(f'<g class="step">{symbol(step.kind, x, y, wrong=step.wrong)}</g>')
        fits = measure(step.mark, 12) < GUTTER - 20
        if step.mark and fits and not (has_arrow and step.kind == "message" and not step.arrows):
            from_right = any(self.lane_x.get(arrow.from_lane, 0) > x for arrow in step.arrows)
            color = RED if step.wrong else AMBER if step.kind in ("clock", "refused") else INK
            below = y + 17 if from_right else y - 6  # Clear of the message that arrives.
            self.text(x + 12, below, step.mark, 12, color, bold=True, halo=not step.wrong)

    def arrow(self, sent: Row, received: Row, arrow: Arrow, *, again: bool) -> None:
        """A message; broken and without its label where it is delivered again."""
        x1, y1 = self.lane_x.get(arrow.from_lane, self.lane_x[self.trace.lanes[0]]), sent.y
        x2, y2 = self.lane_x[received.step.lane or ""], received.y
        answer = sent is received
        if answer:
            y1 -= ANSWER
        length = max(1.0, ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5)
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        tip_x, tip_y = x2 - dx * 9, y2 - dy * 9
        base_x, base_y = tip_x - dx * 10, tip_y - dy * 10
        points = (
            f"{tip_x:.1f},{tip_y:.1f} {base_x - dy * 4.5:.1f},{base_y + dx * 4.5:.1f} "
            f"{base_x + dy * 4.5:.1f},{base_y - dx * 4.5:.1f}"
        )
        broken = ' stroke-dasharray="7 4"' if again else ""
        self.parts.append(
            f'<g class="message"><line x1="{x1 + dx * 6:.1f}" y1="{y1 + dy * 6:.1f}" x2="{base_x:.1f}" '
            f'y2="{base_y:.1f}" stroke="{BLUE}" stroke-width="1.8"'
            f"{broken}/>"
            f'<polygon points="{points}" fill="{BLUE}"/>'
            + (f'<circle cx="{x1:.1f}" cy="{y1:.1f}" r="3" fill="{BLUE}"/>' if answer else "")
            + "</g>"
        )
        if again or measure(arrow.label, 12) > LANE_GAP:
            return
        part = 0.45 if y2 - y1 < 60 else 0.3
        if answer and x1 != x2:  # Between the sender's lane and the next, where no other answer's label is.
            part = LANE_GAP / 2 / abs(x2 - x1)
        places = [
            (x1 + (x2 - x1) * along, y1 + (y2 - y1) * along - 6) for along in (part, 0.55, 0.65, 0.75, 0.2)
        ]
        half = measure(arrow.label, 12) / 2 + 2
        free = [place for place in places if self.is_free(*place, half)]
        x, y = (free or places)[0]
        self.labels.append((x, y, half))
        self.text(x, y, arrow.label, 12, BLUE, bold=True, anchor="middle", halo=True)

    def is_free(self, x: float, y: float, half: float) -> bool:
        """Whether a message's label of this half width would lie on none of those that are drawn already."""
        return all(abs(x - left) > half + other or abs(y - top) > 14 for left, top, other in self.labels)

    # --- below --------------------------------------------------------------------------------------------

    def legend(self, rows: Sequence[Row]) -> None:
        """What the symbols mean, those alone that this drawing has."""
        entries: list[tuple[Kind, str]] = [
            ("step", "a step"),
            ("message", "a message sent or received"),
            ("start", "the process starts"),
            ("crash", "the process ends"),
            ("clock", "the wall clock is set"),
            ("refused", "refused: nothing changes"),
        ]
        used = {row.step.kind for row in rows if row.step.lane}
        x = float(MARGIN + 6)
        self.y += 22
        for kind, meaning in entries:
            if kind not in used:
                continue
            width = 14 + measure(meaning, SMALL) + 20
            if x + width > self.width - MARGIN and x > MARGIN + 6:
                x, self.y = float(MARGIN + 6), self.y + 20
            self.parts.append(symbol(kind, x, self.y - 4))
            self.text(x + 14, self.y, meaning, SMALL, GREY)
            x += width

    def verdict(self) -> None:
        trace = self.trace
        if not trace.verdict:
            return
        bad = any(step.wrong for step in trace.steps)
        color, fill = (RED, RED_LIGHT) if bad else (GREEN, GREEN_LIGHT)
        lines = wrap(trace.verdict, self.width - 2 * MARGIN - 26, LABEL)
        self.y += 14
        height = len(lines) * LABEL * 1.35 + 16
        self.parts.append(
            f'<rect x="{MARGIN - 10}" y="{self.y:.1f}" width="{self.width - 2 * MARGIN + 20:.1f}" '
            f'height="{height:.1f}" rx="5" fill="{fill}"/><rect x="{MARGIN - 10}" y="{self.y:.1f}" width="5" '
            f'height="{height:.1f}" rx="2" fill="{color}"/>'
        )
        y = self.y + 8
        for line in lines:
            y += LABEL * 1.35
            self.text(MARGIN + 8, y - 4, line, LABEL, color, bold=True)
        self.y += height + 4


def symbol(kind: Kind, x: float, y: float, *, wrong: bool = False) -> str:
    """The mark of a step."""
    ink = RED if wrong else INK
    ring = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="10" fill="none" stroke="{RED}" stroke-width="2"/>'
        if wrong
        else ""
    )
    match kind:
        case "start":
            mark = (
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="#ffffff" stroke="{ink}" stroke-width="2.2"/>'
            )
        case "crash":
            mark = (
                f'<path d="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12" stroke="{ink}" stroke-width="3" '
                'stroke-linecap="round"/>'
            )
        case "clock":
            mark = (
                f'<path d="M{x:.1f} {y - 7.5:.1f}l7.5 7.5l-7.5 7.5l-7.5 -7.5z" fill="#ffffff" '
                f'stroke="{RED if wrong else AMBER}" stroke-width="2.2"/>'
            )
        case "refused":
            color = RED if wrong else AMBER
            mark = (
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6.5" fill="#ffffff" stroke="{color}" '
                'stroke-width="2.2"/>'
                f'<path d="M{x - 4.2:.1f} {y + 4.2:.1f}l8.4 -8.4" stroke="{color}" stroke-width="2.2"/>'
            )
        case _:
            color = ink if wrong or kind == "step" else BLUE
            mark = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{color}"/>'
    return ring + mark


def measure(text: str, size: float) -> float:
    """About how wide a text is, in pixels."""
    return len(text) * size * LETTER


def wrap(text: str, width: float, size: float) -> tuple[str, ...]:
    """The text in lines that fit; a word that is longer than a line is cut into pieces."""
    room = max(8, int(width / (size * LETTER)))
    lines: list[str] = []
    for word in text.split():
        while len(word) > room:
            lines.append(word[:room])
            word = word[room:]
        if lines and len(lines[-1]) + 1 + len(word) <= room:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return tuple(lines)
