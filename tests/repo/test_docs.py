"""Generated documents are fresh, and what the documents point at exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scratchbird_check import guarantees, tools

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
DOCUMENTS = sorted(
    [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "spec").glob("*.md")]
)


def test_generated_documents_are_fresh() -> None:
    for path, fresh in guarantees.documents(ROOT).items():
        assert path.read_text(encoding="utf-8") == fresh, f"{path.name} is not fresh: run make docs"


def test_a_stale_document_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(f"{guarantees.BEGIN}\nold\n{guarantees.END}\n", encoding="utf-8")
    assert guarantees.main(["--check", "--root", str(tmp_path)]) == 1
    assert "is not fresh" in capsys.readouterr().out
    assert guarantees.main(["--root", str(tmp_path)]) == 0
    assert guarantees.main(["--check", "--root", str(tmp_path)]) == 0


def test_a_readme_without_its_markers_is_an_error() -> None:
    with pytest.raises(ValueError, match="lacks the marker"):
        guarantees.with_table("# no table here\n", "| |\n")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        if not target.startswith(("http:", "https:")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
    for named in re.findall(r"`((?:spec|reference|model_checks|impl|tests|proofs|docs)/[\w./-]+\w)`", text):
        assert "PART" in named or (ROOT / named).exists(), f"{path.name} names {named}"


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for path in DOCUMENTS:
        for words in re.findall(r"`make ([a-z ]+)`", path.read_text(encoding="utf-8")):
            assert set(words.split()) <= targets, f"{path.name} names make {words}"


def test_the_python_in_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("scratchbird.hlc", reason="the compiled core is missing")
    pytest.importorskip("scratchbird.merkle_forest", reason="the compiled core is missing")
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})


def test_the_comments_in_the_readme_are_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    block = BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    exec(compile(block, "README.md", "exec"), {})
    said = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == said


def test_the_pinned_apalache_is_the_same_everywhere() -> None:
    workflow = (ROOT / ".github" / "workflows" / "model-checks.yml").read_text(encoding="utf-8")
    assert f"apalache-{tools.APALACHE_VERSION}" in workflow
