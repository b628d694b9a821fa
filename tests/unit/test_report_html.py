"""The report for the browser: complete, safe to open anywhere, written as a whole or not at all."""

from __future__ import annotations

import json
import os
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scratchbird_check.counterexamples import counterexample
from scratchbird_check.errors import UsageError
from scratchbird_check.ledger import Property
from scratchbird_check.report import html
from scratchbird_check.results import PropertyResult, Run
from scratchbird_check.traces.model import Step, Trace
from scratchbird_check.verdicts import Outcome, Verdict

SPECIAL = "<script>alert('&\"')</script>"
VOID = {"meta", "br", "rect", "line", "circle", "path", "polygon", "link", "img"}


def _found(name: str, verdict: Verdict = Verdict.REFUTED) -> Outcome:
    played = counterexample("no_carry")
    assert played is not None
    return Outcome(
        name,
        verdict,
        f"refuted in 6 steps {SPECIAL}",
        ("HLC-1",),
        4.2,
        {"distinct states": 123456},
        played.refuted,
    )


def make_run(*, unexpected: bool = False, left_out: bool = True) -> Run:
    outcomes = [
        _found("tlc-hlc-no-carry", Verdict.UNEXPECTED if unexpected else Verdict.REFUTED),
        Outcome("z3-hlc-tick", Verdict.PROVED, "for any number of nodes", ("HLC-1",), 0.25),
    ]
    if left_out:
        outcomes.append(
            Outcome("apalache-hlc", Verdict.NOT_RUN, "not run", ("HLC-1",), remedy=f"install it {SPECIAL}")
        )
    promises = (
        Property(
            "HLC-1",
            "hlc",
            f"Ids increase {SPECIAL}",
            Verdict.PROVED,
            "HLC.R3",
            f"First line {SPECIAL}\nsecond line",
            tla=("HLC1",),
            variants=("no_carry", "unknown_variant"),
        ),
        Property(
            "HLC-2",
            "hlc",
            "The node sleeps 1 ms",
            Verdict.REFUTED,
            "HLC.R2",
            "words",
            instead=f"Ids go back {SPECIAL}",
            corrected=f"It carries {SPECIAL}",
            variants=("stall_and_reset",),
        ),
    )
    verdict = Verdict.UNEXPECTED if unexpected else Verdict.PROVED
    return Run(
        version="1.2.3",
        profile="quick",
        seed=7,
        started="2026-01-02T03:04:05Z",
        seconds=12.5,
        machine=f"a machine {SPECIAL}",
        checks=(),
        outcomes=tuple(outcomes),
        properties=(
            PropertyResult(promises[0], verdict, tuple(outcomes), f"a note {SPECIAL}"),
            PropertyResult(promises[1], Verdict.NOT_RUN, ()),
        ),
        tools={"java": "17"},
    )


class Balanced(HTMLParser):
    """Fails on tags that do not match, and collects what a browser would load."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.links: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def read(page: str) -> Balanced:
    parser = Balanced()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize("unexpected", [False, True])
def test_every_page_is_well_formed_and_loads_nothing_from_outside(unexpected: bool) -> None:
    files = html.build(make_run(unexpected=unexpected))
    for name, content in files.items():
        if not name.endswith(".html"):
            continue
        page = read(content)
        assert page.scripts == 0
        assert "alert(" in content or "HLC-2" in name
        assert all(link in files for link in page.links), page.links
        assert "url(" not in content
        assert "@import" not in content
        assert "http" not in content.replace('xmlns="http://www.w3.org/2000/svg"', "")


def test_the_first_page_counts_and_says_what_is_missing() -> None:
    index = html.build(make_run())["index.html"]
    for words in ("HLC-1", "HLC-2", "proved", "not run", "It carries", "(HLC.R2)", "a note", "install it"):
        assert words in index
    assert "As expected, as far as it was run: not run were 1 of 3." in index
    assert "Something was unexpected." in html.build(make_run(unexpected=True))["index.html"]
    assert "Everything was as expected." in html.build(make_run(left_out=False))["index.html"]


def test_a_page_has_claim_evidence_drawings_and_files() -> None:
    files = html.build(make_run())
    page = files["HLC-1.html"]
    for words in (
        "Ids increase",
        "The claim as it stands (HLC.R3)",
        "second line",
        "tlc-hlc-no-carry",
        "distinct states 123,456",
        "scratchbird_check run --profile quick --only z3-hlc-tick",
        "Found by reference in this run",
        "The right rule on the same events",
        "(this step is wrong)",
        "<code>HLC1</code>",
    ):
        assert words in page
    assert page.count("<svg") == 3
    assert page.index("Counterexamples") < page.index("Evidence")
    assert "<details open>" not in page
    assert "<details open>" in html.build(make_run(unexpected=True))["HLC-1.html"]
    for stem in ("no_carry", "no_carry-corrected", "tlc-hlc-no-carry"):
        assert json.loads(files[f"traces/{stem}.itf.json"])["states"]
        assert all(json.loads(line) for line in files[f"traces/{stem}.ndjson"].splitlines())
        assert files[f"traces/{stem}.svg"].startswith("<svg")
    assert "Ids go back" in files["HLC-2.html"]
    assert "No check of this run is evidence for it." in files["HLC-2.html"]


def test_names_of_files_are_safe() -> None:
    trace = Trace("t", "TLC", "hlc", ("n1",), (Step(0, None, "Init", "b"),))
    run = make_run()
    outcome = Outcome("../../etc/x y", Verdict.REFUTED, "d", ("HLC-1",), counterexample=trace)
    files = html.build(
        Run(
            **{
                **{name: getattr(run, name) for name in ("version", "profile", "seed", "started", "seconds")},
                "machine": "m",
                "checks": (),
                "outcomes": (outcome,),
                "properties": (PropertyResult(run.properties[0].promise, Verdict.REFUTED, (outcome,)),),
            }
        )
    )
    assert all(re.fullmatch(r"(traces/)?[A-Za-z0-9_-][A-Za-z0-9._-]*", name) for name in files)


# --- writing ----------------------------------------------------------------------------------------------


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_the_folder_is_made_and_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    run = make_run()
    html.write(run, folder)
    first = tree(folder)
    assert set(html.build(run)) <= set(first)
    (folder / "notes.txt").write_text("mine")
    (folder / "HLC-9.html").write_text((folder / "HLC-1.html").read_text())
    (folder / "traces" / "old.svg").write_text("old")
    html.write(run, folder)
    assert tree(folder) == sorted([*first, "notes.txt"])
    assert tree(tmp_path) == sorted(["report", *(f"report/{name}" for name in [*first, "notes.txt"])])


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    html.write(make_run(), tmp_path)
    assert (tmp_path / "index.html").is_file()
    assert not [name for name in tree(tmp_path) if name.startswith(".")]


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("my own page")
    with pytest.raises(UsageError, match="holds files that are no report"):
        html.write(make_run(), tmp_path)
    assert tree(tmp_path) == ["index.html"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        with pytest.raises(UsageError, match="cannot"):
            html.write(make_run(), tmp_path / "report")
    finally:
        tmp_path.chmod(stat.S_IRWXU)
    assert tree(tmp_path) == []


@pytest.mark.parametrize("place", ["file", "file/report", "none/report"])
def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / place))):
        html.write(make_run(), tmp_path / place)
    assert tree(tmp_path) == ["file"]


@pytest.mark.parametrize("exists", [False, True])
def test_a_disk_that_fills_up_leaves_nothing_half_written(
    tmp_path: Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "report"
    if exists:
        html.write(make_run(), folder)
    before = {name: (tmp_path / name).read_text() for name in tree(tmp_path) if (tmp_path / name).is_file()}
    real = Path.write_text

    def full(self: Path, data: str, encoding: str | None = None) -> int:
        if self.name == "HLC-2.html":
            raise OSError(28, "No space left on device")
        return real(self, data, encoding=encoding)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(UsageError, match="No space left on device"):
        html.write(make_run(unexpected=True), folder)
    monkeypatch.undo()
    after = {name: (tmp_path / name).read_text() for name in tree(tmp_path) if (tmp_path / name).is_file()}
    assert after == before
