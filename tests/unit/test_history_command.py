"""The command: what it reads and refuses, how it ends, what it draws; the documentation's example runs."""

from __future__ import annotations

import io
import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from scratchbird_check import cli
from scratchbird_history import command, drawing, jepsen, ndjson
from scratchbird_history.checking import check
from scratchbird_history.errors import HistoryError
from scratchbird_history.operations import Kind, Outcome

DOCUMENT = Path(__file__).parents[2] / "docs" / "history.md"
WRITE = '{"process": 0, "type": "invoke", "f": "write", "value": 1}\n'
READ = '{"process": 1, "type": "invoke", "f": "read"}\n'


def run(text: str | bytes, tmp_path: Path, *options: str) -> int:
    path = tmp_path / "history"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return cli.main(["history", str(path), *options])


def example() -> str:
    found = re.search(r"```json\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("model", "code"),
    [("linearizable", 1), ("sequential", 1), ("read-your-writes", 0), ("monotonic-reads", 1)],
)
def test_the_example_of_the_documentation(
    model: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(example(), tmp_path, "--model", model) == code
    printed = capsys.readouterr().out
    assert "5 operations on 1 key: 3 ok, 1 failed, 1 indeterminate" in printed
    assert ("read 2" in printed) == (code == 1)


def test_yes_no_unknown_and_unreadable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    completed = WRITE + '{"process": 0, "type": "ok", "f": "write"}\n' + READ
    answer = '{"process": 1, "type": "ok", "f": "read", "value": %s}\n'
    assert run(completed + answer % 1, tmp_path) == 0
    assert run(completed + answer % "null", tmp_path) == 1
    assert run(completed + answer % "null", tmp_path, "--initial", "1") == 1
    assert run(READ + answer % "1", tmp_path, "--initial", "1") == 0
    capsys.readouterr()
    assert run("{", tmp_path) == 2
    assert "line 1" in capsys.readouterr().err


def test_unknown_has_a_status_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [WRITE.replace("0", str(number), 1).replace("1}", f"{number}}}") for number in range(5)]
    reads = [
        line
        for value in (1, 2, 3, 4)
        for line in ('{"process": 9, "type": "invoke", "f": "read"}\n', _ok(9, value))
    ]
    assert run("".join(lines + reads), tmp_path, "--steps", "2") == 4
    assert "--steps" in capsys.readouterr().out


def _ok(process: int, value: int) -> str:
    return f'{{"process": {process}, "type": "ok", "f": "read", "value": {value}}}\n'


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(example().encode())))
    assert cli.main(["history", "-"]) == 1
    assert "no: the history is not linearizable" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["--memory", "--steps", "--seconds"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "nan", "9" * 400])
def test_limits_that_are_none(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        run(example(), tmp_path, f"{name}={value}")
    assert ended.value.code == 2


# --- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ('{"a', 1, "no JSON"),
        ("\n" + '{"process": 0}', 2, "'type' is missing"),
        ('{"process": 0, "type": "invoke"}', 1, "'f' is missing"),
        ("7", 1, "no JSON object"),
        ('{"process": 0, "type": 1, "f": "read"}', 1, "must be a text"),
        (WRITE.replace("value", "vlaue"), 1, "unknown field 'vlaue'"),
        (WRITE.replace("1}", "1, \"value\": 2}"), 1, "occurs twice"),
        (WRITE.replace("1}", "NaN}"), 1, "NaN"),
        (WRITE.replace("1}", "9" * 5000 + "}"), 1, "4300 digits"),
        (WRITE.replace("1}", "[" * 50_000 + "}"), 1, "nested too deeply"),
        (WRITE.replace("invoke", "begin"), 1, "unknown type begin"),
        (WRITE.replace("write", "append"), 1, "unknown operation append"),
        (WRITE.replace("invoke", "ok"), 1, "no open operation"),
        (WRITE.replace(', "value": 1', ""), 1, "needs the value"),
        (READ.replace("}", ', "value": 3}'), 1, "invoked without a value"),
        (WRITE.replace("write", "cas"), 1, "two values"),
        (WRITE.replace("write", "cas").replace("1}", "[1, 2, 3]}"), 1, "two values"),
        (WRITE + WRITE, 2, "still open"),
        (WRITE + '{"process": 0, "type": "ok", "f": "read", "value": 1}', 2, "but invoked a write"),
        (WRITE + '{"process": 0, "type": "ok", "f": "write", "value": 2}', 2, "completed with 2"),
        (WRITE + '{"process": 0, "type": "ok", "f": "write", "key": 2}', 2, "completed on key 2"),
        (READ + '{"process": 1, "type": "ok", "f": "read"}', 2, "needs the value that it returned"),
        (READ + 2 * '{"process": 1, "type": "fail", "f": "read"}\n', 3, "completed twice"),
    ],
)  # fmt: skip
def test_broken_ndjson(text: str, line: int, word: str) -> None:
    with pytest.raises(HistoryError, match=re.escape(word)) as raised:
        ndjson.read(text)
    assert raised.value.line == line
    assert len(str(raised.value)) < 400


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("{:type :invoke", 1, "ends too early"),
        ("\n]", 2, "closes nothing"),
        ("{:type]", 1, "closes nothing"),
        ('{:a "x}', 1, "closing quote"),
        ("{:a}", 1, "no value for it"),
        ("{:a 1 :a 2}", 1, "twice"),
        ("[" * 200, 1, "nested deeper"),
        ("#a " * 200, 1, "nested deeper"),
        ("[7]", 1, "is no map"),
        ("{:type :invoke :f :read}", 1, ":process is missing"),
        ("{:type :invoke :f :append :value 1 :process 0}", 1, "unknown operation append"),
        ("{:type :invoke :f :cas :value 1 :process 0}", 1, "two values"),
        ("{:type :invoke :f :write :value 08 :process 0}", 1, "no number"),
        (2 * "{:type :invoke :f :write :value 1 :process 0}\n", 2, "still open"),
        (
            "{:type :invoke :f :read :value [1 nil] :process 0}\n{:type :ok :f :read :value 3 :process 0}",
            2,
            "no pair",
        ),
    ],
)  # fmt: skip
def test_broken_edn(text: str, line: int, word: str) -> None:
    with pytest.raises(HistoryError, match=re.escape(word)) as raised:
        jepsen.read(text)
    assert raised.value.line == line


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"\n\xff", "line 2: byte 0xff is not UTF-8"),
        (b"", "no operation"),
        (b"{:type :info :f :kill :process :nemesis}", "no operation"),
    ],
)
def test_unusable_files(raw: bytes, word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raw, tmp_path) == 2
    assert word in capsys.readouterr().err


def test_a_file_that_is_not_there_and_a_wrong_initial_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["history", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert run(example(), tmp_path, "--initial", "{") == 2
    assert "--initial" in capsys.readouterr().err


# --- Jepsen -----------------------------------------------------------------------------------------------

REGISTER = """
; a comment, and commas are white space
#jepsen.history.Op{:index 0, :time 1, :type :invoke, :process 0, :f :write, :value 3}
{:type :info, :process :nemesis, :f :start-partition, :value {:a #{1 2}}}
{:type :invoke, :process 1, :f :cas, :value [3 4], :extra "say \\"hi\\"" #_ {:left out}}
{:type :ok, :process 0, :f :write, :value 3, :error [:a "b"]}
{:type :info, :process 1, :f :cas, :value [3 4], :error :timeout}
{:type :invoke, :process 2, :f :read, :value nil}
{:type :ok, :process 2, :f :read, :value 4N}
"""


def test_a_cas_register_log() -> None:
    found = jepsen.read(REGISTER)
    assert [one.label() for one in found.operations] == ["write 3", "cas 3→4 ?", "read 4"]
    assert [one.line for one in found.operations] == [3, 5, 8]
    assert found.initial == "nil"
    assert any("nemesis" in note for note in found.notes)
    assert command.guess(REGISTER) == "edn"
    assert jepsen.read(f"[{REGISTER}]").operations == found.operations


def test_independent_keys() -> None:
    found = jepsen.read(
        "[{:type :invoke :process 0 :f :write :value [7 1]}"
        "{:type :invoke :process 1 :f :cas :value [8 [1 2]]}"
        "{:type :ok :process 0 :f :write :value [7 1]}{:type :fail :process 1 :f :cas :value [8 [1 2]]}"
        "{:type :invoke :process 0 :f :read :value [7 nil]}{:type :ok :process 0 :f :read :value [7 1]}]"
    )
    assert [(one.key, one.kind, one.arguments) for one in found.operations] == [
        ("7", Kind.WRITE, ("1",)),
        ("8", Kind.CAS, ("1", "2")),
        ("7", Kind.READ, ()),
    ]
    assert found.operations[1].outcome is Outcome.FAIL
    assert found.operations[2].result == "1"


def test_values_are_compared_as_they_are_written() -> None:
    assert len({ndjson.value(text, 1) for text in ("1", "1.0", '"1"', "true", "null", "[1]")}) == 6
    assert ndjson.value('{"b": 1, "a": 2}', 1) == ndjson.value('{"a":2,"b":1}', 1)
    assert jepsen.value("(1, 2)") == jepsen.value("[1 2N]") == "[1 2]"
    assert jepsen.value("#{2 1}") == jepsen.value("#{1 2}")
    assert jepsen.value("-0") == "0"
    assert jepsen.value("9" * 9000) == "9" * 9000


# --- drawings ---------------------------------------------------------------------------------------------


def test_the_drawing_in_text() -> None:
    found = ndjson.read(example())
    drawn = drawing.text(found.operations, check(found).core)
    assert drawn.splitlines() == ["0  [------write 2 ?------->", "1    [=read 2=] [=read 1=]"]


def test_the_svg_stands_alone_and_holds_any_value(tmp_path: Path) -> None:
    target = tmp_path / "why.svg"
    nasty = example().replace('"x"', '"<&\\u0000\\ud800\\u001b[31m"')
    assert run(nasty, tmp_path, "--svg", str(target)) == 1
    root = ET.parse(target).getroot()
    texts = "".join(root.itertext())
    assert "read 1" in texts
    assert "fits into no order" in texts
    assert "href" not in target.read_text(encoding="utf-8")


def test_nothing_is_drawn_for_a_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "why.svg"
    assert run(WRITE, tmp_path, "--svg", str(target)) == 0
    assert not target.exists()
    assert "nothing to draw" in capsys.readouterr().out


def test_a_terminal_is_not_steered_by_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '{:type :invoke :process 0 :f :read}{:type :ok :process 0 :f :read :value "\x1b[31m"}'
    assert run(text, tmp_path) == 1
    assert "\x1b" not in capsys.readouterr().out
