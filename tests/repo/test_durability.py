"""The page on what survives a power cut lists every sync of every store, and histories that need them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
NODE = ROOT / "impl" / "scratchbird_node"
PAGE = ROOT / "docs" / "durability.md"
CRASHES = [ROOT / "tests" / "unit" / f"test_node_{store}_crashes.py" for store in ("bound", "hint", "forest")]
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| `([^`]+)` \|$", re.MULTILINE)
WHERE = {"sync": 0, "sync_all": 1, "sync_folder": 1, "replace": 3}
"""Calls that make something durable, and which argument names it."""


def syncs_of(path: Path) -> set[str]:
    """The names of what a module makes durable, read from its calls."""
    module = importlib.import_module(f"scratchbird_node.{path.stem}")
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case (
                ast.Call(func=ast.Name(id="replace"))
                | ast.Call(func=ast.Attribute(attr="sync" | "sync_all" | "sync_folder"))
            ):
                call = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                argument = node.args[WHERE[call]]
                assert isinstance(argument, ast.Name), f"{path.name}:{node.lineno}: give the sync a constant"
                name = getattr(module, argument.id)
                found |= {name, f"name of {name}"} if call == "replace" else {name}
    return found


def in_code() -> dict[str, set[str]]:
    """The modules of each sync."""
    modules: dict[str, set[str]] = {}
    for path in NODE.glob("*.py"):
        for name in syncs_of(path) if path.name != "files.py" else ():
            modules.setdefault(name, set()).add(path.stem)
    return modules


def crash_test(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"durability_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Where its dataclasses look for it.
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tests() -> list[ModuleType]:
    return [crash_test(path) for path in CRASHES]


ROWS = ROW.findall(PAGE.read_text(encoding="utf-8"))


def test_the_page_lists_every_sync_and_its_modules() -> None:
    listed = {name: set(re.findall(r"`(\w+)`", modules)) for name, modules, _, _ in ROWS}
    assert listed == in_code()
    assert len(listed) == len(ROWS)


def test_every_sync_is_in_the_list_of_a_test(tests: list[ModuleType]) -> None:
    assert in_code().keys() == {name for test in tests for name in test.SYNCS}


def test_every_history_that_is_named_needs_the_sync(tests: list[ModuleType]) -> None:
    needed = {
        (what, script)
        for test in tests
        for script, number, what in test.NEEDED
        if (script, number) not in test.SPARE
    }
    for name, _, _, history in ROWS:
        assert (name, history) in needed, f"{history!r} does not need {name!r}"
