"""What a check is given beside its own entry in the manifest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def silent(text: str) -> None:
    """The progress callable of a check that nobody watches."""


@dataclass(frozen=True, slots=True)
class Context:
    """Where a check works and how hard it tries."""

    workdir: Path
    """A folder of this check alone, for logs and scratch files. It exists."""
    profile: str = "quick"
    """``quick``, ``full`` or ``ci``."""
    seed: int = 0
    """Every random choice of a check comes from this."""
    progress: Callable[[str], None] = silent
    """Call it with a few words now and then: ``progress("1,200,000 states")``."""
