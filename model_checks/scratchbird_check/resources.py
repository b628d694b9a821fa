"""The data that ships inside the package: rules, models, vectors, the manifest and the ledger.

Everything is read through :mod:`importlib.resources`, so that each command works from an installed wheel,
outside any checkout. In a checkout the same calls read ``spec/`` and ``tests/conformance/vectors/``.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from scratchbird_check.errors import CheckError


def spec() -> Traversable:
    """The folder of the specification: ``PART.md``, ``PART.tla``, ``properties.toml``, the trace schema."""
    return _folder("scratchbird_check.spec")


def models() -> Traversable:
    """The folder of the model checkers' wrappers and configurations: ``MC_PART.tla``, ``MC_PART.cfg``."""
    return _folder("scratchbird_check.tla")


def vectors() -> Traversable:
    """The folder of the conformance vectors, one NDJSON file each."""
    return _folder("scratchbird_check.vectors")


def manifest_text() -> str:
    """The text of ``manifest.toml``."""
    return _text(files("scratchbird_check") / "manifest.toml")


def ledger_text() -> str:
    """The text of ``properties.toml``."""
    return _text(spec() / "properties.toml")


def modules() -> dict[str, str]:
    """Every TLA+ module that ships, by name without ``.tla``."""
    return {
        item.name.removesuffix(".tla"): _text(item)
        for folder in (spec(), models())
        for item in sorted(folder.iterdir(), key=lambda item: item.name)
        if item.name.endswith(".tla")
    }


def copy_models(folder: Path) -> Path:
    """Copy every module and configuration into one folder, as the model checkers want them.

    :returns: the folder, which is made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in (spec(), models()):
        for item in source.iterdir():
            if item.name.endswith((".tla", ".cfg")):
                (folder / item.name).write_bytes(item.read_bytes())
    return folder


def checkout() -> Path | None:
    """The root of the checkout that this package is used from, or ``None`` for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and (root / "spec").is_dir() else None


def _folder(package: str) -> Traversable:
    try:
        return files(package)
    except ModuleNotFoundError:
        raise CheckError(
            f"the data package {package} is not installed: install scratchbird-replication again"
        ) from None


def _text(item: Traversable) -> str:
    try:
        return item.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise CheckError(
            f"{item.name} cannot be read ({error}): install scratchbird-replication again"
        ) from None
