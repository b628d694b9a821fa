"""TLA+ read without Java: the names of the ledger exist, and nothing is used that Apalache cannot do.

The target of the manifest's checks ``python-PART-tla-static``. It parses the modules with the package
``tla`` and looks at the syntax tree:

- every operator that the ledger names for the part is defined in one of the part's modules;
- every name in their configurations (INIT, NEXT, INVARIANT, PROPERTY, replaced constants) is defined too;
- no construct is used that Apalache lacks. Liveness needs such constructs: it stands in modules of its own,
  ``MC_PART_live``, which TLC alone reads, and which are not looked at.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scratchbird_check import ledger, resources
from scratchbird_check.context import Context
from scratchbird_check.engines import tlc_config
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict

_NODES = {
    "RecursiveOperators": "RECURSIVE",
    "Choose": "CHOOSE",
    "Fairness": "fairness (WF_, SF_)",
    "TemporalQuantification": "a temporal quantifier",
    "SetOfStrings": "STRING",
}
_OPERATORS = {
    "ENABLED": "ENABLED",
    "~>": "leads to (~>)",
    "-+->": "guarantees (-+->)",
    "\\cdot": "composed actions (\\cdot)",
    "Seq": "Seq(S), which has no bound",
}
_UNBOUNDED = ("Nat", "Int", "Real", "STRING")
_CONFIG = {"constraints": "CONSTRAINT", "symmetry": "SYMMETRY", "view": "VIEW"}
_BINDERS = ("Quantification", "SetComprehension", "SetSlice", "Function")


@dataclass(frozen=True, slots=True)
class Module:
    """What a module defines and uses."""

    name: str
    extends: tuple[str, ...]
    defines: frozenset[str]
    lacking: tuple[str, ...]
    """Constructs that Apalache lacks, with their lines."""


def check_part(check: Check, context: Context) -> Outcome:
    """The check's target: the modules and configurations of its part, against the ledger."""
    texts = {
        name: text
        for name, text in resources.modules().items()
        if part_of(name) == check.part and not name.endswith("_live")
    }
    named = {item.id: item.tla for item in ledger.parse(resources.ledger_text()) if item.part == check.part}
    configurations = {
        item.name: item.read_text(encoding="utf-8")
        for item in resources.models().iterdir()
        if item.name.endswith(".cfg") and part_of(item.name[:-4]) == check.part and "_live" not in item.name
    }
    found = problems(texts, named, configurations)
    if found:
        log = context.workdir / "tla-static.log"
        log.write_text("\n".join(found) + "\n", encoding="utf-8")
        words = found[0] if len(found) == 1 else f"{found[0]} (and {len(found) - 1} more)"
        return Outcome(check.id, Verdict.UNEXPECTED, words, check.properties, log=log)
    operators = sum(len(names) for names in named.values())
    detail = f"{len(texts)} modules, {len(configurations)} configurations, {operators} names of the ledger"
    figures = {"modules": len(texts), "configurations": len(configurations), "names": operators}
    return Outcome(check.id, check.expect, detail, check.properties, figures=figures)


def part_of(module: str) -> str:
    """``hlc`` for ``hlc``, ``MC_hlc``, ``MC_hlc_quick`` and ``MC_hlc__no_carry``."""
    from scratchbird_check.manifest import PARTS

    stem = module.removeprefix("MC_")
    fitting = [part for part in PARTS if stem == part or stem.startswith(f"{part}_")]
    return max(fitting, key=len, default="")


def problems(
    modules: Mapping[str, str],
    ledger_names: Mapping[str, Iterable[str]],
    configurations: Mapping[str, str],
) -> list[str]:
    """Everything that is wrong, one line each.

    :param modules: the text of each module, by name.
    :param ledger_names: the operators that each property names.
    :param configurations: the text of each configuration, by file name.
    """
    found: list[str] = []
    if not modules:
        return ["the part has no module"]
    defined: set[str] = set()
    for name, text in modules.items():
        try:
            module = read(text)
        except ValueError as error:
            found.append(f"{name}.tla cannot be parsed: {error}")
            continue
        if module.name != name:
            found.append(f"{name}.tla holds the module {module.name}")
        defined |= module.defines
        found += [f"{name}.tla uses {item}, which Apalache lacks" for item in module.lacking]
    for owner, names in ledger_names.items():
        found += [f"{owner} names {item}, which no module defines" for item in names if item not in defined]
    for name, text in configurations.items():
        found += _config_problems(name, tlc_config.parse(text), defined)
    return found


def _config_problems(name: str, config: tlc_config.TlcConfig, defined: set[str]) -> Iterator[str]:
    for section, words in _CONFIG.items():
        if section in config.sections:
            yield f"{name} uses {words}, which Apalache lacks"
    used = [*config.invariants, *config.properties]
    for section in ("init", "next", "specification"):
        used += config.sections.get(section, ())
    used += config.constants
    words_ = config.sections.get("constants", ())
    used += [words_[at + 1] for at, word in enumerate(words_[:-1]) if word == "<-"]
    for item in dict.fromkeys(used):
        if item not in defined:
            yield f"{name} names {item}, which no module defines"


def read(text: str) -> Module:
    """Parse a module.

    :raises ValueError: if it cannot be parsed; the message names the line.
    """
    import tla

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            tree = tla.parse(text)
        except (ValueError, AssertionError) as error:
            line = re.search(r"Next symbol in input:\s*Result\(.*?line=(\d+)", said.getvalue(), re.DOTALL)
            where = f"a syntax error near line {int(line[1]) + 1}" if line else str(error)
            raise ValueError(where) from None
    return Module(
        name=tree.name,
        extends=tuple(item.operator for item in tree.extendees or ()),
        defines=frozenset(_defined(tree)),
        lacking=tuple(_lacking(tree)),
    )


def _defined(tree: Any) -> Iterator[str]:
    """What the module defines or declares at its top level."""
    for unit in tree.units:
        match type(unit).__name__:
            case "OperatorDefinition":
                yield unit.name
            case "Constants" | "Variables":
                for item in unit.names:
                    yield item if isinstance(item, str) else getattr(item, "operator", None) or item.name


def _lacking(tree: Any) -> Iterator[str]:
    for node in _walk(tree):
        kind = type(node).__name__
        words = _NODES.get(kind, "")
        if kind == "OperatorApplication":
            words = _OPERATORS.get(node.operator, "")
        if kind in _BINDERS:
            words = _unbounded(node)
        if words:
            line = getattr(node.start, "line", None)  # Counted from 0.
            yield words if line is None else f"{words} (line {line + 1})"


def _unbounded(node: Any) -> str:
    """What a quantifier, a function or a set runs over without a bound, or an empty text."""
    declarations = getattr(node, "declarations", None) or [node.declaration]
    if not isinstance(declarations, list | tuple) or hasattr(declarations, "_fields"):
        declarations = [declarations]
    for item in _flat(declarations):
        if item.operator != "\\in":
            return "a variable without a bound"
        domain = item.arguments[-1]
        names = {getattr(part, "operator", "") for part in _walk(domain)}
        unbounded = sorted(names & set(_UNBOUNDED))
        if unbounded and getattr(domain, "operator", "") in (*_UNBOUNDED, "SUBSET"):
            return f"a variable that runs over {unbounded[0]}"
    return ""


def _flat(items: Any) -> Iterator[Any]:
    for item in items:
        if hasattr(item, "_fields"):
            yield item
        elif isinstance(item, list | tuple):
            yield from _flat(item)


def _walk(node: Any) -> Iterator[Any]:
    """Every node of the tree."""
    if isinstance(node, tuple | list):
        if hasattr(node, "symbol"):
            yield node
        for item in node:
            yield from _walk(item)
