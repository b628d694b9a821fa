"""The configurations of the model checkers (``.cfg``): read for what they promise, and derived.

A check names the invariants that it stands for. An engine that ran a configuration from which one was dropped
would find nothing wrong, so what the file says is compared with the manifest before anything is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_KEYWORDS = {
    "CONSTANT": "constants",
    "CONSTANTS": "constants",
    "INIT": "init",
    "NEXT": "next",
    "SPECIFICATION": "specification",
    "INVARIANT": "invariants",
    "INVARIANTS": "invariants",
    "PROPERTY": "properties",
    "PROPERTIES": "properties",
    "CONSTRAINT": "constraints",
    "CONSTRAINTS": "constraints",
    "ACTION_CONSTRAINT": "constraints",
    "ACTION_CONSTRAINTS": "constraints",
    "SYMMETRY": "symmetry",
    "VIEW": "view",
    "CHECK_DEADLOCK": "deadlock",
    "ALIAS": "alias",
    "POSTCONDITION": "postcondition",
}
_TOKEN = re.compile(r"<-|=|\{[^}]*\}|\"[^\"]*\"|[^\s={}]+")


@dataclass(frozen=True, slots=True)
class TlcConfig:
    """What a configuration says."""

    constants: Mapping[str, str]
    """``C`` to ``2``, ``Node`` to ``ThreeNodes``, whether assigned or replaced."""
    invariants: tuple[str, ...]
    properties: tuple[str, ...]
    sections: Mapping[str, tuple[str, ...]]
    """Every section's words, by its name in lower case."""


def parse(text: str) -> TlcConfig:
    """Read a configuration. What TLC would refuse is not looked for: TLC will say it."""
    text = re.sub(r"\(\*.*?\*\)", " ", text, flags=re.DOTALL)
    text = re.sub(r"\\\*.*", " ", text)
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for token in _TOKEN.findall(text):
        if token in _KEYWORDS:
            current = sections.setdefault(_KEYWORDS[token], [])
        else:
            current.append(token)
    words = sections.get("constants", [])
    constants = {
        words[at - 1]: words[at + 1]
        for at, word in enumerate(words)
        if word in ("=", "<-") and 0 < at < len(words) - 1
    }
    return TlcConfig(
        constants=constants,
        invariants=tuple(sections.get("invariants", ())),
        properties=tuple(sections.get("properties", ())),
        sections={name: tuple(items) for name, items in sections.items()},
    )


def with_invariant(text: str, invariant: str) -> str:
    """The same configuration with this invariant and no other promise: to show that a state is reached."""
    kept: list[str] = []
    keep = True
    for line in text.splitlines():
        word = line.split(maxsplit=1)[0] if line.strip() else ""
        if word in _KEYWORDS:
            keep = _KEYWORDS[word] not in ("invariants", "properties")
        if keep:
            kept.append(line)
    return "\n".join([*kept, f"INVARIANT {invariant}", ""])


def differences(config: TlcConfig, options: Mapping[str, Any]) -> str:
    """How the configuration differs from what the manifest pins; empty if it does not."""
    wanted: Sequence[str] = options.get("invariants", ())
    has = {*config.invariants, *config.properties}
    if wanted and (lost := sorted(set(wanted) - has)):
        return f"the configuration no longer checks {', '.join(lost)}"
    if wanted and (new := sorted(has - set(wanted))):
        return f"the configuration checks {', '.join(new)}, which options.invariants does not name"
    for name, value in options.get("constants", {}).items():
        if (found := config.constants.get(name)) != str(value):
            return f"the configuration sets {name} to {found}, the manifest pins {value}"
    return ""
