"""Curves on logarithmic axes: they stand alone, and every point and name is where it belongs."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from scratchbird_check.report import plot

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*curves: plot.Curve) -> ElementTree.Element:
    item = plot.Plot("Title & more", "A <subtitle>", "across", "up", curves, "{:,}".format, "{:,} b".format)
    text = plot.draw(item)
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    return ElementTree.fromstring(text)


def texts(root: ElementTree.Element) -> dict[str, tuple[float, float]]:
    return {
        item.text or "": (float(item.attrib["x"]), float(item.attrib["y"]))
        for item in root.iter(f"{SVG}text")
    }


def test_a_decade_is_as_wide_as_another_and_points_are_on_the_grid() -> None:
    root = drawn(plot.Curve("one", "#123456", [(1, 10), (10, 100), (100, 10_000)]))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in root.iter(f"{SVG}circle")]
    words = texts(root)
    assert [round(x) for x, _ in dots] == [round(words[name][0]) for name in ("1", "10", "100")]
    assert [round(y) for _, y in dots] == [
        round(words[name][1] - 4) for name in ("10 b", "100 b", "10,000 b")
    ]
    assert dots[1][0] - dots[0][0] == pytest.approx(dots[2][0] - dots[1][0], abs=0.2)
    assert 2 * (dots[0][1] - dots[1][1]) == pytest.approx(dots[1][1] - dots[2][1], abs=0.2)


def test_names_stand_at_the_ends_of_their_curves_and_not_on_each_other() -> None:
    ends = [1_000, 990, 980, 20, 10]
    curves = [plot.Curve(f"curve {end}", "#123456", [(1, 5), (9, end)]) for end in ends]
    words = texts(drawn(*curves))
    heights = [words[f"curve {end}"][1] for end in ends]
    assert all(below - above >= plot.LINE_GAP - 0.2 for above, below in pairwise(heights))
    alone = texts(drawn(curves[0], curves[4]))
    assert alone["curve 1000"][1] < heights[1]


def test_a_faint_curve_has_neither_dots_nor_a_name() -> None:
    root = drawn(
        plot.Curve("one", "#123456", [(1, 10), (10, 100)]),
        plot.Curve("ghost", "#123456", [(1, 20), (10, 50)], True),
    )
    assert "ghost" not in texts(root)
    assert len(list(root.iter(f"{SVG}circle"))) == 2
    assert sum("stroke-dasharray" in path.attrib for path in root.iter(f"{SVG}path")) == 1


def test_a_flat_curve_has_a_field_to_be_in() -> None:
    words = texts(drawn(plot.Curve("flat", "#123456", [(1, 100), (10, 100)])))
    assert {"100 b", "1,000 b"} <= set(words)


def test_nothing_lies_outside_the_drawing() -> None:
    root = drawn(plot.Curve("one", "#123456", [(1, 1), (99_999, 9_999_999)]))
    numbers = [
        float(number)
        for path in root.iter(f"{SVG}path")
        for number in re.findall(r"[\d.]+", path.attrib["d"])
    ]
    assert 0 <= min(numbers) <= max(numbers) <= plot.WIDTH


def test_a_name_without_room_is_an_error() -> None:
    with pytest.raises(AssertionError, match="no room"):
        drawn(plot.Curve("x" * 40, "#123456", [(1, 1), (10, 10)]))
