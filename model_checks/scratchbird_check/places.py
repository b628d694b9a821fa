"""Where the checker keeps what it downloads and what it remembers, by the XDG rules."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path


def cache(environ: Mapping[str, str] = os.environ) -> Path:
    """``$XDG_CACHE_HOME/scratchbird``, by default ``~/.cache/scratchbird``. Nothing in it is needed."""
    base = environ.get("XDG_CACHE_HOME", "")
    # A relative path is invalid by the XDG rules, and is to be ignored.
    root = Path(base) if base and Path(base).is_absolute() else Path(environ.get("HOME", "/"), ".cache")
    return root / "scratchbird"


def tools(environ: Mapping[str, str] = os.environ) -> Path:
    """Where ``scratchbird_check tools install`` puts what it downloads."""
    return cache(environ) / "tools"


def last_run(environ: Mapping[str, str] = os.environ) -> Path:
    """The JSON report of the last run, from which ``explain`` takes its counterexamples."""
    return cache(environ) / "last-run.json"


def version_key(name: str) -> tuple[int, ...]:
    """For sorting by version: ``apalache-0.62.1`` is ``(0, 62, 1)``."""
    return tuple(int(number) for number in re.findall(r"\d+", name))
