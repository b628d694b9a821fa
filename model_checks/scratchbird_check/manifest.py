"""The manifest: every check that a run makes, what it must find, and the figures that pin it.

``manifest.toml`` is data, and data that is wrong must not pass for a check that succeeds. So every key is
known or an error, every name is one of those listed, and a check whose engine counts something without saying
the least count that it accepts (its *pin*) is refused: a model that explores one state would otherwise be
"checked".
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from scratchbird_check.errors import ManifestError
from scratchbird_check.verdicts import Verdict

PARTS = (
    "hlc",
    "uuid8",
    "quorum",
    "handoff",
    "merkle_forest",
    "catalog",
    "membership",
    "shard_map",
    "primary",
    "transactions",
)
ENGINES = ("z3", "cvc5", "tlc", "apalache", "hypothesis", "python")
PROFILES = ("quick", "full", "ci")
EXPECTED = (Verdict.PROVED, Verdict.CHECKED, Verdict.REFUTED, Verdict.COMPUTED, Verdict.MEASURED)


@dataclass(frozen=True, slots=True)
class Check:
    """One entry of the manifest."""

    id: str
    """Unique, kebab-case: engine, part, what."""
    part: str
    engine: str
    profiles: tuple[str, ...]
    """In which profiles it is run."""
    expect: Verdict
    properties: tuple[str, ...]
    """Ids of the ledger's properties that it is evidence for."""
    variant: str = ""
    """The wrong rule that it must refute; empty everywhere else."""
    timeout_s: float = 60.0
    memory_mb: int = 2048
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Engine specific."""


@dataclass(frozen=True, slots=True)
class OptionRules:
    """Which options an engine takes. ``pins`` are alternatives, one of which must be given."""

    required: frozenset[str]
    known: frozenset[str] | None
    """``None``: the target takes whatever options it likes."""
    pins: frozenset[str] = frozenset()


_TLC = (
    "invariants",
    "constants",
    "module",
    "config",
    "invariant",
    "min_distinct",
    "distinct",
    "min_generated",
    "depth",
    "reach",
    "deadlock",
    "workers",
    "simulate",
    "heap_mb",
)
_APALACHE = (
    "module",
    "config",
    "constants",
    "length",
    "init",
    "next",
    "inv",
    "three_run",
    "inductive",
    "start",
    "reach",
    "deadlock",
    "heap_mb",
)

OPTIONS: Mapping[str, OptionRules] = {
    "z3": OptionRules(frozenset({"theorem"}), None),
    "cvc5": OptionRules(frozenset({"theorem"}), None),
    "tlc": OptionRules(
        frozenset({"module", "config"}),
        frozenset(_TLC),
        frozenset({"min_distinct", "distinct", "min_generated", "invariant", "reach"}),
    ),
    "apalache": OptionRules(frozenset({"module"}), frozenset(_APALACHE), frozenset({"length", "three_run"})),
    "hypothesis": OptionRules(frozenset({"target"}), None),
    "python": OptionRules(frozenset({"target"}), None),
}

_REQUIRED = ("id", "part", "engine", "profiles", "expect", "properties")
_KNOWN = (*_REQUIRED, "variant", "timeout_s", "memory_mb", "options")


def parse(text: str, source: str = "manifest.toml") -> tuple[Check, ...]:
    """Read the checks in a manifest's text.

    :raises ManifestError: naming the check, the key and the value that is wrong, and what was expected.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{source}: {error}") from None
    if surplus := sorted(set(data) - {"check"}):
        raise ManifestError(f"{source}: unknown table {surplus[0]!r}: only [[check]] is known here")
    checks: list[Check] = []
    seen: set[str] = set()
    for number, entry in enumerate(data.get("check", []), start=1):
        check = _check(entry, f"{source}: check {entry.get('id', f'number {number}')!r}")
        if check.id in seen:
            raise ManifestError(f"{source}: two checks have the id {check.id!r}")
        seen.add(check.id)
        checks.append(check)
    return tuple(checks)


def _check(entry: Mapping[str, Any], where: str) -> Check:
    for key in entry:
        require(key, _KNOWN, f"{where}: unknown key")
    for key in _REQUIRED:
        if key not in entry:
            raise ManifestError(f"{where}: {key!r} is missing")
    name = typed(entry, "id", str, where)
    if not name or name != name.lower() or not name.replace("-", "").isalnum():
        raise ManifestError(f"{where}: an id is lower case words, digits and hyphens")
    part = require(typed(entry, "part", str, where), PARTS, f"{where}: unknown part")
    engine = require(typed(entry, "engine", str, where), ENGINES, f"{where}: unknown engine")
    profiles = strings(entry, "profiles", where)
    for profile in profiles:
        require(profile, PROFILES, f"{where}: unknown profile")
    expect = Verdict(require(typed(entry, "expect", str, where), EXPECTED, f"{where}: unknown verdict"))
    variant = typed(entry, "variant", str, where, "")
    if (expect is Verdict.REFUTED) != bool(variant):
        raise ManifestError(
            f"{where}: 'variant' names the wrong rule of a check that expects {Verdict.REFUTED.value!r}, "
            f"and of no other; expect is {expect.value!r}, variant is {variant!r}"
        )
    timeout = float(typed(entry, "timeout_s", (int, float), where, 60))
    memory = typed(entry, "memory_mb", int, where, 2048)
    if timeout <= 0 or memory <= 0:
        raise ManifestError(f"{where}: timeout_s {timeout:g} and memory_mb {memory} must be above 0")
    options = typed(entry, "options", dict, where, {})
    _options(engine, expect, options, where)
    return Check(
        id=name,
        part=part,
        engine=engine,
        profiles=profiles,
        expect=expect,
        properties=strings(entry, "properties", where),
        variant=variant,
        timeout_s=timeout,
        memory_mb=memory,
        options=MappingProxyType(options),
    )


def _options(engine: str, expect: Verdict, options: Mapping[str, Any], where: str) -> None:
    rules = OPTIONS[engine]
    for key in options:
        if rules.known is not None:
            require(key, rules.known, f"{where}: unknown option of {engine}")
    for key in sorted(rules.required):
        if key not in options:
            raise ManifestError(f"{where}: options.{key} is missing: {engine} needs it")
    if rules.pins and not rules.pins & set(options):
        raise ManifestError(f"{where}: no pin: give one of options {', '.join(sorted(rules.pins))}")
    if engine == "tlc":
        _tlc_options(expect, options, where)
    if engine == "apalache":
        _apalache_options(options, where)


def _tlc_options(expect: Verdict, options: Mapping[str, Any], where: str) -> None:
    if "reach" in options:
        return
    if expect is Verdict.REFUTED:
        if "invariant" not in options:
            raise ManifestError(f"{where}: options.invariant must name the property that the variant breaks")
        return
    if "invariants" not in options:
        raise ManifestError(f"{where}: options.invariants must list what the configuration checks")
    pins = ("min_distinct", "distinct") if "simulate" not in options else ("min_generated",)
    if not any(pin in options for pin in pins):
        raise ManifestError(f"{where}: no pin: give options.{' or options.'.join(pins)}")


def _apalache_options(options: Mapping[str, Any], where: str) -> None:
    if "inv" not in options and "reach" not in options:
        raise ManifestError(f"{where}: options.inv or options.reach must name an invariant")
    if options.get("three_run") and "inductive" not in options:
        raise ManifestError(f"{where}: options.inductive must name the inductive invariant of the three runs")


# --- helpers that the ledger uses too ---------------------------------------------------------------------


def require(value: str, known: Iterable[str], what: str) -> str:
    """The value itself if it is known, else :class:`ManifestError` with the nearest known names."""
    names = [str(name) for name in known]
    if value in names:
        return value
    raise ManifestError(f"{what} {value!r}: {suggest(value, names)}")


def suggest(value: str, names: Iterable[str]) -> str:
    """``did you mean 'quick'?``, or all the names if none is near."""
    known = sorted(names)
    folded = {name.lower(): name for name in known}
    near = difflib.get_close_matches(value.lower(), list(folded), n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(repr(folded[name]) for name in near)}?"
    if not known:
        return "there are none"
    return f"known are {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"


def typed(entry: Mapping[str, Any], key: str, kind: Any, where: str, default: Any = None) -> Any:
    """The value of a key if it has the type, the default if it is not there."""
    if key not in entry:
        return default
    value = entry[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ManifestError(f"{where}: {key} is {value!r}, which has the wrong type")
    return value


def strings(entry: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    """A list of at least one string, each once."""
    value = entry[key]
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise ManifestError(f"{where}: {key} is {value!r}: a list of at least one string is expected")
    if len(set(value)) != len(value):
        raise ManifestError(f"{where}: {key} is {value!r}: something is named twice")
    return tuple(value)
