"""The ledger: every promise in one sentence, and what a machine is expected to say of it.

``spec/properties.toml`` holds the words and the pointers; which checks are evidence for a property stands in
the manifest, where each check lists its properties.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scratchbird_check.errors import ManifestError, UsageError
from scratchbird_check.manifest import PARTS, Check, require, strings, suggest, typed
from scratchbird_check.verdicts import Verdict

EXPECTED: Mapping[str, Verdict] = {
    "proved": Verdict.PROVED,
    "checked": Verdict.CHECKED,
    "refuted": Verdict.REFUTED,
    "computed": Verdict.COMPUTED,
    "measured": Verdict.MEASURED,
}


@dataclass(frozen=True, slots=True)
class Property:
    """One promise, and where its evidence stands."""

    id: str
    """``HLC-2``"""
    part: str
    claim: str
    """What was published, in one sentence."""
    verdict: Verdict
    """What a machine is expected to say of the claim."""
    rule: str
    """The rule that we build: ``HLC.R2``."""
    explain: str
    """About ten lines for a person."""
    suspect: str = ""
    """What made us doubt the claim."""
    instead: str = ""
    """What happens instead, for a refuted claim."""
    corrected: str = ""
    """The corrected rule, in one sentence."""
    tla: tuple[str, ...] = ()
    """Names of operators in the modules of the specification."""
    theorems: tuple[str, ...] = ()
    """``hlc.tick_is_above_last``: names in the proofs."""
    tests: tuple[str, ...] = ()
    """``tests/stateful/test_hlc.py::...``: paths in a checkout."""
    variants: tuple[str, ...] = ()
    """Wrong rules that the checks must go on refuting."""


_REQUIRED = ("id", "part", "claim", "verdict", "rule", "explain")
_TEXTS = ("suspect", "instead", "corrected")
_LISTS = ("tla", "theorems", "tests", "variants")


def parse(text: str, source: str = "properties.toml") -> tuple[Property, ...]:
    """Read the properties in a ledger's text.

    :raises ManifestError: naming the property, the key and the value that is wrong, and what was expected.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(f"{source}: {error}") from None
    if surplus := sorted(set(data) - {"property"}):
        raise ManifestError(f"{source}: unknown table {surplus[0]!r}: only [[property]] is known here")
    properties: dict[str, Property] = {}
    for number, entry in enumerate(data.get("property", []), start=1):
        item = _property(entry, f"{source}: property {entry.get('id', f'number {number}')!r}")
        if item.id in properties:
            raise ManifestError(f"{source}: two properties have the id {item.id!r}")
        properties[item.id] = item
    return tuple(properties.values())


def _property(entry: Mapping[str, Any], where: str) -> Property:
    for key in entry:
        require(key, (*_REQUIRED, *_TEXTS, *_LISTS), f"{where}: unknown key")
    for key in _REQUIRED:
        if not typed(entry, key, str, where, ""):
            raise ManifestError(f"{where}: {key!r} is missing or empty")
    verdict = EXPECTED[require(entry["verdict"], EXPECTED, f"{where}: unknown verdict")]
    texts = {key: typed(entry, key, str, where, "") for key in _TEXTS}
    lists = {key: strings(entry, key, where) if entry.get(key) else () for key in _LISTS}
    if verdict is Verdict.REFUTED:
        for key, given in (("instead", texts["instead"]), ("corrected", texts["corrected"])):
            if not given:
                raise ManifestError(f"{where}: a refuted claim needs {key!r}")
        if not lists["variants"]:
            raise ManifestError(f"{where}: a refuted claim needs 'variants', the wrong rules to be refuted")
    return Property(
        id=entry["id"],
        part=require(entry["part"], PARTS, f"{where}: unknown part"),
        claim=entry["claim"],
        verdict=verdict,
        rule=entry["rule"],
        explain=entry["explain"].strip("\n"),
        suspect=texts["suspect"],
        instead=texts["instead"],
        corrected=texts["corrected"],
        tla=lists["tla"],
        theorems=lists["theorems"],
        tests=lists["tests"],
        variants=lists["variants"],
    )


def find(properties: Iterable[Property], name: str) -> Property:
    """The property with this id, upper or lower case.

    :raises UsageError: naming the nearest ids.
    """
    known = {item.id: item for item in properties}
    if found := known.get(name.upper()):
        return found
    raise UsageError(f"unknown property {name!r}: {suggest(name, known)}")


def problems(properties: Iterable[Property], checks: Iterable[Check]) -> list[str]:
    """What manifest and ledger say that does not fit together; empty if all is well."""
    known = {item.id: item for item in properties}
    found: list[str] = []
    evidence: dict[str, list[Check]] = {name: [] for name in known}
    for check in checks:
        for name in check.properties:
            if name in known:
                evidence[name].append(check)
            else:
                found.append(f"check {check.id!r} is evidence for {name!r}: {suggest(name, known)}")
    for item in known.values():
        if gap := missing_evidence(item, evidence[item.id]):
            found.append(f"property {item.id!r}: {gap}")
    return found


def missing_evidence(item: Property, checks: Iterable[Check]) -> str:
    """Why these checks together cannot give the property its verdict; empty if they can.

    For a refuted claim each of its variants must be refuted by some check.
    """
    mine = [check for check in checks if item.id in check.properties]
    if item.verdict not in {check.expect for check in mine}:
        return f"no check of the manifest can say {item.verdict.value!r} of it"
    refuted = {check.variant for check in mine if check.variant}
    if left := [variant for variant in item.variants if variant not in refuted]:
        return f"no check of the manifest refutes its variant {left[0]!r}"
    return ""
