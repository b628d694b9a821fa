"""Imports point one way: the reference sees nobody, and nobody sees the checker."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FOLDERS = {
    "scratchbird_reference": ROOT / "reference" / "scratchbird_reference",
    "scratchbird": ROOT / "impl" / "scratchbird",
    "scratchbird_node": ROOT / "impl" / "scratchbird_node",
    "scratchbird_proofs": ROOT / "proofs" / "scratchbird_proofs",
    "scratchbird_history": ROOT / "model_checks" / "scratchbird_history",
}
ALLOWED = {
    "scratchbird_reference": {"scratchbird_reference"},
    "scratchbird": {"scratchbird", "cython", "cpython", "libc", "posix"},
    "scratchbird_node": {"scratchbird_node", "scratchbird", "google_crc32c"},
    "scratchbird_proofs": {"scratchbird_proofs", "scratchbird_reference", "z3"},
    "scratchbird_history": {"scratchbird_history", "cpython", "libc"},
}
_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports, wherever in the module it does."""
    text = path.read_text(encoding="utf-8")
    if path.suffix not in (".py", ".pyi"):
        return {(a or b).split(".")[0] for a, b in _IMPORT.findall(text)}
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.split(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module.split(".")[0])
            case ast.ImportFrom():
                found.add("(a relative import)")
    return found


@pytest.mark.parametrize("package", FOLDERS)
def test_a_package_imports_only_what_stands_below_it(package: str) -> None:
    modules = [
        path for path in FOLDERS[package].rglob("*") if path.suffix in (".py", ".pyi", ".pyx", ".pxd", ".pxi")
    ]
    assert modules
    for path in modules:
        foreign = imported(path) - ALLOWED[package] - set(sys.stdlib_module_names)
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


@pytest.mark.parametrize("package", ["scratchbird_reference", "scratchbird"])
def test_the_core_does_no_input_or_output(package: str) -> None:
    forbidden = {"socket", "asyncio", "subprocess", "shutil", "tempfile", "pathlib", "io"}
    for path in FOLDERS[package].rglob("*.py*"):
        if path.suffix != ".pyc":
            assert not imported(path) & forbidden, path.relative_to(ROOT)


def test_stores_reach_the_disk_through_one_door() -> None:
    """Only then does a test that stands in the place of the door see all that a power cut may leave."""
    forbidden = {"fcntl", "io", "mmap", "os", "shutil", "tempfile"}
    reaching = {"open", "read_bytes", "read_text", "unlink", "write_bytes", "write_text"}
    for path in FOLDERS["scratchbird_node"].rglob("*.py"):
        if path.name == "files.py":
            continue
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Import(names=names):
                    found |= {alias.name for alias in names}
                case ast.ImportFrom(module=str(module), names=names):
                    found |= {f"{module}.{alias.name}" for alias in names}
                case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in reaching:
                    found.add(f"io.{name}")
        bad = {name for name in found if name.split(".")[0] in forbidden} - {"os.PathLike"}
        assert not bad, f"{path.name} uses {sorted(bad)}: go through scratchbird_node.files"


def test_the_scan_sees_imports_of_every_form(tmp_path: Path) -> None:
    python = tmp_path / "a.py"
    python.write_text(
        "import z3.z3 as z\ndef f():\n    from scratchbird_check import ledger\nfrom . import b\n"
    )
    assert imported(python) == {"z3", "scratchbird_check", "(a relative import)"}
    cython = tmp_path / "a.pyx"
    cython.write_text(
        "cimport cython\nfrom libc.stdint cimport uint64_t\nfrom scratchbird_reference import hlc\n"
    )
    assert imported(cython) == {"cython", "libc", "scratchbird_reference"}
