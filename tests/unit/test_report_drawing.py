"""The drawings and the printed form of a trace."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from scratchbird_check.counterexamples import COUNTEREXAMPLES, counterexample
from scratchbird_check.report.svg import draw, measure, symbol, wrap
from scratchbird_check.report.text import (
    render,
    setup_sentence,
    shown_number,
    shown_steps,
    terminal_width,
    unbroken,
)
from scratchbird_check.traces.model import Arrow, Change, Step, Trace

SVG = "{http://www.w3.org/2000/svg}"
SPECIAL = "<b>&\"'\N{RIGHTWARDS ARROW}]]>"


def traces() -> list[Trace]:
    found = []
    for variant in COUNTEREXAMPLES:
        played = counterexample(variant)
        assert played is not None
        found += [played.refuted, played.corrected]
    return found


TRACES = traces()


def named(trace: Trace) -> str:
    return f"{trace.title}-{trace.verdict}"[:60]


def special() -> Trace:
    """A trace whose every word has to be escaped."""
    steps = (
        Step(0, None, "Init", "the beginning", down=("n2",)),
        Step(1, "n1", "Send", f"sends {SPECIAL}", mark=SPECIAL, kind="message", down=("n2",)),
        Step(2, "n2", "Start", "starts", kind="start"),
        Step(3, None, "Pass", "1 ms passes"),
        Step(4, "n1", "Shift", "clock", kind="clock", mark="wall 5"),
        Step(5, "n2", "Crash", "crashes", kind="crash", down=("n2",)),
        Step(
            6,
            "n1",
            "Observe",
            "refuses",
            (Change(SPECIAL, SPECIAL, SPECIAL),),
            (Arrow(1, "n1", SPECIAL), Arrow(1, "n1", "again"), Arrow(99, "n9", "unknown")),
            kind="refused",
            wrong=True,
            down=("n2",),
        ),
    )
    return Trace(SPECIAL, "TLC", "hlc", ("n1", "n2"), steps, f"{SPECIAL} went wrong")


# --- drawings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trace", [*TRACES, special()], ids=named)
def test_a_drawing_is_xml_with_one_mark_a_step_and_one_arrow_a_message(trace: Trace) -> None:
    root = ET.fromstring(draw(trace))
    marks = [item for item in root.iter(f"{SVG}g") if item.get("class") == "step"]
    arrows = [item for item in root.iter(f"{SVG}g") if item.get("class") == "message"]
    steps = shown_steps(trace)
    known = {step.number for step in steps}
    assert len(marks) == len(steps)
    assert len(arrows) == sum(arrow.from_step in known for step in steps for arrow in step.arrows)
    words = " ".join(item.text or "" for item in root.iter(f"{SVG}text"))
    for lane in trace.lanes:
        assert lane in words


@pytest.mark.parametrize("trace", [*TRACES, special()], ids=named)
def test_a_drawing_stands_alone(trace: Trace) -> None:
    text = draw(trace)
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    for element in ("<script", "<style", "<image", "<use", "href", "url(", " id="):
        assert element not in text
    root = ET.fromstring(text)
    background = root.find(f"{SVG}rect")
    assert background is not None
    assert background.get("fill") == "#ffffff"
    assert root.findtext(f"{SVG}title") == trace.title


@pytest.mark.parametrize("trace", [*TRACES, special()], ids=named)
def test_words_neither_overlap_nor_leave_the_page(trace: Trace) -> None:
    root = ET.fromstring(draw(trace))
    width, height = (float(root.get(name, "0")) for name in ("width", "height"))
    boxes = []
    for item in root.iter(f"{SVG}text"):
        x, y, size = (float(item.get(name, "0")) for name in ("x", "y", "font-size"))
        reach = measure(item.text or "", size)
        left = x - {"middle": reach / 2, "end": reach}.get(item.get("text-anchor", ""), 0)
        boxes.append((left, y - size * 0.72, left + reach, y, item.text))
    for left, top, right, bottom, text in boxes:
        assert left >= 0, text
        assert right <= width, text
        assert top >= 0, text
        assert bottom <= height, text
    for index, one in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
            assert apart, (one[4], other[4])


def test_downtime_is_a_broken_line() -> None:
    played = counterexample("no_upper_bound")
    assert played is not None
    assert 'stroke-dasharray="2 6"' in draw(played.refuted)
    other = counterexample("no_carry")
    assert other is not None
    assert 'stroke-dasharray="2 6"' not in draw(other.refuted)


def test_only_the_wrong_step_is_red() -> None:
    played = counterexample("no_carry")
    assert played is not None
    assert "#b3261e" in draw(played.refuted)
    assert "#b3261e" not in draw(played.corrected)


def test_a_trace_without_steps_or_lanes_can_be_drawn() -> None:
    ET.fromstring(draw(Trace("nothing", "TLC", "hlc", (), ())))
    ET.fromstring(draw(Trace("one", "TLC", "hlc", (), (Step(0, None, "Init", "b"), Step(1, "x", "A", "a")))))


def test_long_words_are_cut_and_every_symbol_is_xml() -> None:
    assert wrap("abc " + "x" * 50, 100, 10) == ("abc", *["x" * 17] * 2, "x" * 16)
    for kind in ("step", "message", "start", "crash", "clock", "refused"):
        ET.fromstring(f"<g>{symbol(kind, 1, 2, wrong=True)}</g>")


# --- text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trace", [*TRACES, special()], ids=named)
@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_printed_trace_fits_and_has_every_step(trace: Trace, width: int) -> None:
    text = render(trace, width)
    assert all(len(line) <= width or " " not in line.strip() for line in text.splitlines())
    for step in shown_steps(trace):
        number = shown_number(trace, step.number)
        assert re.search(rf"^[> ] +{number}  ", text, re.MULTILINE)
    flat = " ".join(text.split())
    assert trace.verdict in flat
    wrong = [step for step in trace.steps if step.wrong]
    assert text.count("^ this step is wrong") == len(wrong)
    assert text.count("\n>") == len(wrong)
    assert ("WRONG: " in text) == bool(wrong)


def test_colour_is_only_added() -> None:
    trace = TRACES[0]
    coloured = render(trace, 80, color=True)
    assert re.sub(r"\x1b\[\d+m", "", coloured) == render(trace, 80)
    assert coloured != render(trace, 80)


def test_what_only_sets_the_scene_is_one_sentence() -> None:
    played = counterexample("no_carry")
    assert played is not None
    said = setup_sentence(played.refuted)
    assert said == "Before: n1 starts at 0:0, wall clock 10, has the bound 14:0 on disk."
    assert [shown_number(played.refuted, step.number) for step in shown_steps(played.refuted)] == [1, 2, 3]
    assert setup_sentence(special()) == ""


def test_messages_say_in_which_step_they_were_sent() -> None:
    played = counterexample("layout_b")
    assert played is not None
    assert "<- sent in steps 1 and 2" in render(played.refuted, 100)


def test_lines_that_were_broken_are_made_whole() -> None:
    assert unbroken("\nClaimed: it goes\n on.\nSo:\nno\n\n\n\nend") == [
        "Claimed: it goes on.",
        "So:",
        "no",
        "",
        "end",
    ]
    assert unbroken("") == []


def test_endless_behaviours_say_so() -> None:
    trace = special()
    assert "nothing happens any more" in render(replace(trace, loop_to=6), 80)
    assert "from step 2 again" in render(replace(trace, loop_to=2), 80)


def test_the_width_of_the_terminal_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")
    assert terminal_width() == 50
    assert max(map(len, render(TRACES[0]).splitlines())) <= 50
