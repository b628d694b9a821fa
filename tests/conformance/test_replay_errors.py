"""Traces that are wrong: the message names line, value and remedy, and nothing is read without end."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from scratchbird_check.conformance import reading, replay
from scratchbird_check.conformance.reading import TraceError
from scratchbird_check.conformance.scenarios_clock import merge, messages
from scratchbird_check.conformance.scenarios_uuid8 import encode
from scratchbird_check.errors import UsageError
from scratchbird_check.traces.digest import digest

LINES = [json.loads(line) for line in merge().text().splitlines()]


def text(*changed: tuple[int, Any]) -> bytes:
    """The trace with some lines replaced, by number."""
    lines: list[Any] = list(LINES)
    for number, value in changed:
        lines[number - 1] = value
    return b"".join(line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n" for line in lines)


def with_key(number: int, **keys: Any) -> tuple[int, Any]:
    return number, {**LINES[number - 1], **keys}


def without_key(number: int, key: str) -> tuple[int, Any]:
    return number, {name: value for name, value in LINES[number - 1].items() if name != key}


def check(data: bytes) -> replay.Report:
    return replay.replay(io.BytesIO(data), "run.ndjson")


def test_a_name_cannot_command_the_terminal() -> None:
    (line,) = check(text(with_key(1, name="a\x1b[2J\nb"))).lines()
    assert line.startswith(r"a\x1b[2J\nb: ")


def test_a_trace_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text())))
    assert replay.main(Path("-")) == 0


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "run.ndjson is empty"),
        (b"\n", "run.ndjson, line 1: '' is no JSON object"),
        (b"hello\n", "line 1: 'hello' is no JSON object"),
        (b"[]\n", "expected an object, this is list"),
        (b"\xff\xfe\n", "line 1: "),
        (b"{}\n", "line 1: no header"),
        (text()[len(json.dumps(LINES[0])) + 1 :], "line 1: no header"),
        (text(with_key(1, version=2)), "version 2 of the trace format: this program reads version 1"),
        (text(without_key(1, "version")), "version None"),
        (text(with_key(1, part="shipping")), "unknown part 'shipping': expected one of hlc, uuid8"),
        (text(without_key(1, "about")), "line 1: 'about' is missing"),
        (text(with_key(1, config=5)), "config is 5: expected an object"),
        (text(with_key(1, config={"max_drift_ms": 0})), "config: max_drift_ms is 0"),
        (text(with_key(1, config={"drift": 1})), "unknown setting 'drift': the settings are max_drift_ms"),
        (text(with_key(1, seed="x")), "seed is 'x': expected a whole number"),
        (text(with_key(1, colour=1)), "line 1: unknown key 'colour'"),
        (text(with_key(3, colour=1)), "line 3: unknown key 'colour'"),
        (text(with_key(3, step=7)), "line 3: step 7, expected 2"),
        (text(with_key(3, step=True)), "line 3: step is True: expected a whole number"),
        (text(without_key(3, "step")), "line 3: 'step' is missing"),
        (text(with_key(3, node=0)), "line 3: node 0 is out of range"),
        (text(with_key(3, event=1)), "line 3: event is 1: expected an object"),
        (text(with_key(3, event={"event": "tock"})), "line 3: unknown event 'tock': expected one of start"),
        (text(with_key(3, error="x")), "line 3: a step has either 'effects' or 'error'"),
        (text(without_key(3, "effects")), "line 3: a step has either 'effects' or 'error'"),
        (text(with_key(3, effects={})), "line 3: effects is {}: expected a list"),
        (text(with_key(3, effects=[1])), "line 3: effects [1]: expected a list of objects"),
        (text(with_key(3, digest="xyz")), "line 3: digest 'xyz': expected 16 lower case hexadecimal"),
        (text(with_key(3, state=[])), "line 3: state is []: expected an object"),
        (text(with_key(3, from_step=2)), "line 3: from_step 2: a message was sent at a step before 2"),
        (text((3, b'{"step":2,"step":2}\n')), "line 3: .* the key 'step' stands there twice"),
        (text((3, b'{"step":NaN}\n')), "line 3: .* NaN is no JSON value"),
        (text((3, b"[" * 100_000 + b"\n")), "line 3: .* nested too deeply"),
        (text((3, b'{"step":' + b"9" * 5000 + b"}\n")), "line 3: "),
        (text()[:-30], "line 19: .* the file ends here in the middle of a line: it was cut off"),
    ],
)
def test_a_wrong_trace_is_named(data: bytes, expected: str) -> None:
    with pytest.raises(TraceError) as caught:
        check(data)
    pattern = ".*".join(re.escape(part) for part in expected.split(".*"))
    assert re.search(pattern, str(caught.value), re.DOTALL), str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_huge_line_is_refused_before_it_is_read() -> None:
    class Endless(io.RawIOBase):
        """A line without end: reading more of it than the limit is a failure."""

        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            self.given += len(buffer)
            assert self.given < 4 * reading.MAX_LINE
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    with pytest.raises(TraceError, match="longer than 1048576 bytes"):
        replay.replay(io.BufferedReader(Endless()), "x")


def test_a_huge_trace_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_BYTES", 1000)
    with pytest.raises(TraceError, match="larger than 1000 bytes: split it"):
        check(text())


def test_the_first_divergence_is_shown_field_by_field() -> None:
    state = {**LINES[5]["state"], "last": [LINES[5]["state"]["last"][0], 8]}
    effects = [{"effect": "merged", "last": state["last"]}]
    report = check(text(with_key(6, state=state, effects=effects, digest=digest(state))))
    assert report.divergence is not None
    assert (report.divergence.line, report.divergence.step, report.divergence.node) == (6, 5, 1)
    shown = report.lines()
    assert shown[0].startswith("hlc_merge: step 5 (line 6), node 1: observe(wall=1700000000000")
    assert shown[2:] == [
        "  effects[0].last[1]  reference  9",
        "                      trace      8",
        "  state.last[1]       reference  9",
        "                      trace      8",
    ]


def test_a_digest_alone_is_enough_to_diverge() -> None:
    number = next(number for number, line in enumerate(LINES, 1) if "step" in line and "state" in line)
    lines = [without_key(number, "state")]
    lines[0][1]["digest"] = "0" * 16
    report = check(text(*lines))
    assert report.divergence is not None
    assert [item.field for item in report.divergence.differences] == ["digest"]


def test_an_error_where_the_reference_has_none_diverges_and_the_other_way_round() -> None:
    line = {**LINES[5], "error": "no"}
    del line["effects"]
    report = check(text((6, line)))
    assert report.divergence is not None
    assert report.divergence.differences[0].field == "outcome"
    report = check(text(with_key(2, event={"event": "crash"})))
    assert report.divergence is not None
    assert "down" in report.divergence.differences[0].expected


def test_lanes_are_clocks_of_their_own() -> None:
    report = replay.replay(io.BytesIO(messages().text().encode()), "x")
    assert report.divergence is None
    assert report.lanes == (1, 2, 3)
    assert report.lines() == ["hlc_messages: 26 steps of node 1, 2, 3 agree with the reference"]


def test_the_command_says_whether_a_file_agrees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = tmp_path / "good.ndjson", tmp_path / "bad.ndjson"
    good.write_text(encode().text())
    bad.write_bytes(text(with_key(6, effects=[])))
    assert replay.main(good) == 0
    assert replay.main(bad) == 1
    assert "agree with the reference" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"none\.ndjson cannot be read: No such file"):
        replay.main(tmp_path / "none.ndjson")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        replay.main(tmp_path)
