"""Curves on two logarithmic axes, as an SVG that stands alone: on white, each curve's name at its end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from scratchbird_check.report.svg import FONT, GREY, INK, measure, wrap

WIDTH, HEIGHT = 760, 480
LEFT, RIGHT, BOTTOM = 88, 136, 58
"""Pixels beside and below the field: for the numbers, for the names of the curves, for the axis."""
NUMBER, NAME, TITLE = 11.5, 12.5, 16
LINE_GAP = 16
GRID, MINOR = "#d9dee4", "#eef1f4"


@dataclass(frozen=True, slots=True)
class Curve:
    """One curve.

    :ivar points: x and y, both above 0, from left to right.
    :ivar faint: drawn thin and dashed, without a name: what belongs to the curve before it.
    """

    name: str
    color: str
    points: Sequence[tuple[float, float]]
    faint: bool = False


@dataclass(frozen=True, slots=True)
class Plot:
    """What is drawn; ``x_number`` and ``y_number`` write the numbers at the axes."""

    title: str
    subtitle: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    x_number: Callable[[int], str]
    y_number: Callable[[int], str]


def draw(plot: Plot) -> str:
    """The plot as a standalone SVG document."""
    return _Drawing(plot).svg()


class _Drawing:
    def __init__(self, plot: Plot) -> None:
        self.plot = plot
        self.parts: list[str] = []
        self.lines = wrap(plot.subtitle, WIDTH - 44, NUMBER)
        self.top = 76 + len(self.lines) * NUMBER * 1.32
        points = [point for curve in plot.curves for point in curve.points]
        self.x_decades = _decades([x for x, _ in points])
        self.y_decades = _decades([y for _, y in points])

    def svg(self) -> str:
        plot = self.plot
        self.text(22, 32, plot.title, TITLE, INK, bold=True)
        for number, line in enumerate(self.lines):
            self.text(22, 52 + number * NUMBER * 1.32, line, NUMBER, GREY)
        self.grid()
        for curve in plot.curves:
            self.curve(curve)
        self.names()
        size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size} font-family={quoteattr(FONT)}>\n'
            f"<title>{escape(plot.title)}</title>\n<desc>{escape(plot.subtitle)}</desc>\n"
            f'<rect width="100%" height="100%" fill="#ffffff"/>\n' + "\n".join(self.parts) + "\n</svg>\n"
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a point is drawn."""
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * _along(self.x_decades, x),
            HEIGHT - BOTTOM - (HEIGHT - BOTTOM - self.top) * _along(self.y_decades, y),
        )

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float,
        fill: str,
        *,
        bold: bool = False,
        anchor: str = "start",
    ) -> None:
        extra = ' font-weight="600"' if bold else ""
        extra += f' text-anchor="{anchor}"' if anchor != "start" else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{extra}>{escape(text)}</text>'
        )

    def rule(self, begin: tuple[float, float], end: tuple[float, float], color: str) -> None:
        (x1, y1), (x2, y2) = begin, end
        self.parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{color}"/>')

    def grid(self) -> None:
        (first_x, last_x), (first_y, last_y) = self.x_decades, self.y_decades
        for decade in range(first_x, last_x):
            for digit in range(2, 10):
                x = digit * 10.0**decade
                self.rule(self.at(x, 10.0**first_y), self.at(x, 10.0**last_y), MINOR)
        for decade in range(first_x, last_x + 1):
            foot = self.at(10.0**decade, 10.0**first_y)
            self.rule(foot, self.at(10.0**decade, 10.0**last_y), GRID)
            self.text(foot[0], foot[1] + 18, self.plot.x_number(10**decade), NUMBER, GREY, anchor="middle")
        for decade in range(first_y, last_y + 1):
            foot = self.at(10.0**first_x, 10.0**decade)
            self.rule(foot, self.at(10.0**last_x, 10.0**decade), GRID)
            self.text(foot[0] - 8, foot[1] + 4, self.plot.y_number(10**decade), NUMBER, GREY, anchor="end")
        middle = (LEFT + WIDTH - RIGHT) / 2
        self.text(middle, HEIGHT - BOTTOM + 42, self.plot.x_label, NAME, INK, anchor="middle")
        self.text(22, self.top - 14, self.plot.y_label, NAME, INK)

    def curve(self, curve: Curve) -> None:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (self.at(*point) for point in curve.points))
        style = 'stroke-width="1.4" stroke-dasharray="3 4"' if curve.faint else 'stroke-width="2.4"'
        self.parts.append(
            f'<path d="M{path}" fill="none" stroke="{curve.color}" stroke-linejoin="round" {style}/>'
        )
        if not curve.faint:
            for x, y in (self.at(*point) for point in curve.points):
                self.parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{curve.color}"/>')

    def names(self) -> None:
        """Each at the end of its curve, and none on another one."""
        named = sorted(
            (self.at(*curve.points[-1])[1] + 4, curve.name, curve.color)
            for curve in self.plot.curves
            if not curve.faint
        )
        spread = _spread([y for y, _, _ in named])
        x = WIDTH - RIGHT + 12
        for y, (_, name, color) in zip(spread, named, strict=True):
            assert measure(name, NAME) < RIGHT - 12, f"no room for {name!r}"
            self.text(x, y, name, NAME, color, bold=True)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around the values."""
    first = math.floor(math.log10(min(values)))
    return first, max(first + 1, math.ceil(math.log10(max(values))))


def _along(decades: tuple[int, int], value: float) -> float:
    first, last = decades
    return (math.log10(value) - first) / (last - first)


def _spread(wanted: Sequence[float]) -> list[float]:
    """The heights of lines of text, from above, moved apart as little as makes room for each."""
    groups: list[list[float]] = []
    for y in wanted:
        groups.append([y])
        while len(groups) > 1 and _bottom(groups[-2]) + LINE_GAP > _top(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_top(group) + number * LINE_GAP for group in groups for number in range(len(group))]


def _top(group: Sequence[float]) -> float:
    return sum(group) / len(group) - (len(group) - 1) * LINE_GAP / 2


def _bottom(group: Sequence[float]) -> float:
    return _top(group) + (len(group) - 1) * LINE_GAP
