"""One stem for each part, the same in every folder; a fixed top level; nothing left over."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from scratchbird_check import ledger, manifest, resources

ROOT = Path(__file__).parents[2]
TLA = ROOT / "model_checks" / "scratchbird_check" / "tla"
PROPERTIES = ledger.parse(resources.ledger_text())
CHECKS = manifest.parse(resources.manifest_text())
PARTS = sorted({item.part for item in PROPERTIES})

TOP_LEVEL = {
    ".ci", ".github", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "docs", "impl",
    "model_checks", "proofs", "pyproject.toml", "reference", "setup.py", "spec", "tests",
}  # fmt: skip

UNFINISHED: set[str] = set()
"""What is known to be missing of a part whose other layers are already evidence; the changelog says so."""


def tracked() -> list[str]:
    """The paths that git tracks; the test is of a checkout and is skipped in an unpacked archive."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    return listed.stdout.splitlines()


def test_the_top_level_is_fixed() -> None:
    assert {path.split("/")[0] for path in tracked()} <= TOP_LEVEL


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    "place",
    [
        "spec/{}.md",
        "reference/scratchbird_reference/{}.py",
        "impl/scratchbird/{}.pyx",
        "impl/scratchbird/{}.pxd",
        "impl/scratchbird/{}.pyi",
        "proofs/scratchbird_proofs/{}.py",
        "model_checks/scratchbird_check/traces/{}.py",
        "tests/unit/test_reference_{}.py",
        "tests/unit/test_production_{}.py",
    ],
)
def test_a_part_has_the_same_stem_everywhere(part: str, place: str) -> None:
    there = (ROOT / place.format(part)).is_file()
    if place.format(part) in UNFINISHED:
        assert not there, f"{place.format(part)} is there now: take it out of UNFINISHED"
    else:
        assert there, f"{part} lacks {place.format(part)}"


def test_a_stem_is_a_known_part() -> None:
    known = set(manifest.PARTS)
    of_a_part = {".tla": r"_(history|targets)$", ".pyx": r"_exchange$", ".md": r"$"}
    for folder, pattern in (("spec", "*.md"), ("spec", "*.tla"), ("impl/scratchbird", "*.pyx")):
        for path in (ROOT / folder).glob(pattern):
            stem = re.sub(of_a_part[path.suffix], "", path.stem)
            assert stem in known, f"{path.relative_to(ROOT)} is none of {sorted(known)}"
    for path in TLA.glob("*.tla"):
        assert path.stem.startswith("MC_"), path.name
        assert any(path.stem.removeprefix("MC_").startswith(part) for part in known), path.name


def test_every_configuration_is_run_and_every_variant_is_in_the_ledger() -> None:
    used = {check.options.get("config") for check in CHECKS}
    variants = {name for item in PROPERTIES for name in item.variants}
    for path in TLA.glob("*.cfg"):
        assert path.name in used, f"no check runs {path.name}"
        if "__" in path.stem:
            assert path.stem.split("__")[1] in variants, path.name


def test_ledger_and_manifest_fit_together() -> None:
    assert ledger.problems(PROPERTIES, CHECKS) == []


def test_every_claim_about_the_clock_is_judged() -> None:
    assert {f"HLC-{number}" for number in range(1, 10)} <= {item.id for item in PROPERTIES}


@pytest.mark.parametrize("item", PROPERTIES, ids=lambda item: item.id)
def test_a_ledger_entry_points_at_things_that_exist(item: ledger.Property) -> None:
    for test in item.tests:
        assert (ROOT / test.split("::")[0]).is_file(), f"{item.id} names {test}"
    rule = re.search(r"R\d+$", item.rule)
    assert rule is not None
    spec = (ROOT / "spec" / f"{item.rule.split('.')[0].lower()}.md").read_text(encoding="utf-8")
    assert f"**{rule[0]} " in spec, f"{item.id} names {item.rule}"


def test_rules_that_the_code_cites_exist() -> None:
    stated = {
        f"{stem.upper()}.{rule}"
        for stem in PARTS
        for rule in re.findall(r"\*\*(R\d+) ", (ROOT / "spec" / f"{stem}.md").read_text(encoding="utf-8"))
    } | {
        f"HLC.{rule}" for rule in re.findall(r"\*\*(R18)\*\*", (ROOT / "spec" / "hlc.md").read_text("utf-8"))
    }
    for folder in ("reference", "impl", "proofs", "model_checks", "spec", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".pyx", ".pxd", ".pxi", ".pyi", ".tla"):
                cited = set(re.findall(r"\b(?:HLC|UUID8)\.R\d+\b", path.read_text(encoding="utf-8")))
                assert cited <= stated, f"{path.relative_to(ROOT)} cites {sorted(cited - stated)}"


def test_modules_read_like_chapters() -> None:
    for name in tracked():
        path = ROOT / name
        if path.suffix in (".py", ".pyx", ".tla") and not name.startswith("tests/"):
            lines = len(path.read_text(encoding="utf-8").splitlines())
            assert lines <= 600, f"{name} has {lines} lines: split it"


def test_the_reference_needs_nothing_but_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["dependencies"] == []
    assert {"check", "node", "dev"} <= set(project["optional-dependencies"])


def test_every_package_is_typed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    for package, folder in setuptools["package-dir"].items():
        if "." not in package:
            assert (ROOT / folder / "py.typed").is_file(), f"{package} lacks py.typed"
    for package, folder in setuptools["package-dir"].items():
        for found in (ROOT / folder).rglob("__init__.py"):
            dotted = ".".join((package, *found.parent.relative_to(ROOT / folder).parts))
            assert dotted in setuptools["packages"], f"pyproject.toml does not ship {dotted}"
