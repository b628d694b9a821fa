"""Manifest and ledger: what is wrong in them is said, with the name and the value."""

from __future__ import annotations

import re

import pytest

from scratchbird_check import ledger, manifest
from scratchbird_check.errors import ManifestError, UsageError
from scratchbird_check.manifest import suggest
from scratchbird_check.verdicts import Verdict

CHECK = {
    "id": '"z3-hlc-order"',
    "part": '"hlc"',
    "engine": '"z3"',
    "profiles": '["quick", "ci"]',
    "expect": '"proved"',
    "properties": '["HLC-1"]',
    "options.theorem": '"hlc.order"',
}
TLC = {
    **CHECK,
    "engine": '"tlc"',
    "expect": '"checked"',
    "options.module": '"MC_hlc"',
    "options.config": '"MC_hlc.cfg"',
    "options.invariants": '["HLC1"]',
    "options.min_distinct": "100",
}
del TLC["options.theorem"]
APALACHE = {
    **CHECK,
    "engine": '"apalache"',
    "options.module": '"MC_hlc"',
    "options.inv": '"HLC1"',
    "options.length": "8",
}
del APALACHE["options.theorem"]
PROPERTY = {
    "id": '"HLC-2"',
    "part": '"hlc"',
    "claim": '"It sleeps."',
    "verdict": '"refuted"',
    "rule": '"HLC.R2"',
    "explain": '"Ten lines."',
    "instead": '"It goes back."',
    "corrected": '"It carries."',
    "variants": '["stall_and_reset"]',
}


def toml(table: str, values: dict[str, str], **changes: str | None) -> str:
    entries = {**values, **{key.replace("__", "."): value for key, value in changes.items()}}
    lines = [f"{key} = {value}" for key, value in entries.items() if value is not None]
    return "\n".join([f"[[{table}]]", *lines, ""])


def test_a_check_is_read() -> None:
    (check,) = manifest.parse(toml("check", CHECK, timeout_s="7", memory_mb="99"))
    assert (check.id, check.part, check.engine) == ("z3-hlc-order", "hlc", "z3")
    assert check.profiles == ("quick", "ci")
    assert check.expect is Verdict.PROVED
    assert check.properties == ("HLC-1",)
    assert (check.variant, check.timeout_s, check.memory_mb) == ("", 7.0, 99)
    assert dict(check.options) == {"theorem": "hlc.order"}
    with pytest.raises(TypeError):
        check.options["theorem"] = "other"  # type: ignore[index]  # that it cannot be changed is the point


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (toml("check", CHECK, enigne='"z3"'), "unknown key 'enigne': did you mean 'engine'?"),
        (toml("check", CHECK, part=None), "'part' is missing"),
        (toml("check", CHECK, part='"hcl"'), "unknown part 'hcl': did you mean 'hlc'?"),
        (toml("check", CHECK, engine='"tlcc"'), "unknown engine 'tlcc': did you mean 'tlc'?"),
        (toml("check", CHECK, profiles='["quik"]'), "unknown profile 'quik': did you mean 'quick'?"),
        (toml("check", CHECK, profiles="[]"), "a list of at least one string"),
        (toml("check", CHECK, profiles='"quick"'), "a list of at least one string"),
        (toml("check", CHECK, properties='["A", "A"]'), "named twice"),
        (toml("check", CHECK, expect='"prooved"'), "unknown verdict 'prooved': did you mean 'proved'?"),
        (toml("check", CHECK, expect='"not run"'), "unknown verdict 'not run'"),
        (toml("check", CHECK, expect='"unexpected"'), "unknown verdict 'unexpected'"),
        (toml("check", CHECK, id='"Z3 order"'), "lower case words"),
        (toml("check", CHECK, id="3"), "wrong type"),
        (toml("check", CHECK, timeout_s="0"), "must be above 0"),
        (toml("check", CHECK, timeout_s="true"), "wrong type"),
        (toml("check", CHECK, memory_mb="-1"), "must be above 0"),
        (toml("check", CHECK, variant='"no_carry"'), "'variant' names the wrong rule"),
        (toml("check", CHECK, expect='"refuted as expected"'), "'variant' names the wrong rule"),
        (toml("check", CHECK, options__theorem=None), "options.theorem is missing: z3 needs it"),
        (toml("check", TLC, options__min_distnct="1"), "did you mean 'min_distinct'"),
        (toml("check", TLC, options__min_distinct=None), "no pin: give one of options"),
        (
            toml("check", TLC, options__min_distinct=None, options__invariant='"A"'),
            "no pin: give options.min",
        ),
        (toml("check", TLC, options__invariants=None), "options.invariants must list"),
        (toml("check", TLC, options__simulate="{num = 1, depth = 1}"), "give options.min_generated"),
        (
            toml("check", TLC, expect='"refuted as expected"', variant='"v"'),
            "options.invariant must name the property",
        ),
        (toml("check", APALACHE, options__length=None), "no pin"),
        (toml("check", APALACHE, options__inv=None), "options.inv or options.reach"),
        (toml("check", APALACHE, options__three_run="true"), "options.inductive"),
        (toml("check", CHECK) * 2, "two checks have the id 'z3-hlc-order'"),
        ("[[chek]]\n", "unknown table 'chek'"),
        ("[[check]\n", "manifest.toml: "),
    ],
)
def test_what_is_wrong_in_a_manifest_is_said(text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(words)) as caught:
        manifest.parse(text)
    assert str(caught.value).startswith("manifest.toml: ")


def test_what_is_right_passes() -> None:
    reach = toml(
        "check", TLC, options__min_distinct=None, options__invariants=None, options__reach='"NeverA"'
    )
    three = toml(
        "check", APALACHE, options__length=None, options__three_run="true", options__inductive='"Ind"'
    )
    for text in (toml("check", TLC), toml("check", APALACHE), reach, three):
        assert len(manifest.parse(text)) == 1


def test_a_property_is_read() -> None:
    (item,) = ledger.parse(toml("property", PROPERTY, tla='["HLC1"]'))
    assert (item.id, item.verdict, item.rule) == ("HLC-2", Verdict.REFUTED, "HLC.R2")
    assert (item.tla, item.theorems, item.variants) == (("HLC1",), (), ("stall_and_reset",))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (toml("property", PROPERTY, clam='""'), "unknown key 'clam': did you mean 'claim'?"),
        (toml("property", PROPERTY, claim=None), "'claim' is missing or empty"),
        (toml("property", PROPERTY, claim='""'), "'claim' is missing or empty"),
        (toml("property", PROPERTY, claim="1"), "wrong type"),
        (toml("property", PROPERTY, part='"hcl"'), "unknown part"),
        (toml("property", PROPERTY, verdict='"refuted as expected"'), "unknown verdict"),
        (toml("property", PROPERTY, instead=None), "a refuted claim needs 'instead'"),
        (toml("property", PROPERTY, corrected=None), "a refuted claim needs 'corrected'"),
        (toml("property", PROPERTY, variants=None), "a refuted claim needs 'variants'"),
        (toml("property", PROPERTY, tests='"a"'), "a list of at least one string"),
        (toml("property", PROPERTY) * 2, "two properties have the id 'HLC-2'"),
        ("[[check]]\n", "unknown table 'check'"),
        ("[[property]\n", "properties.toml: "),
    ],
)
def test_what_is_wrong_in_a_ledger_is_said(text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=re.escape(words)):
        ledger.parse(text)


def test_a_property_is_found_by_its_id_in_any_case() -> None:
    properties = ledger.parse(toml("property", PROPERTY))
    assert ledger.find(properties, "hlc-2").id == "HLC-2"
    with pytest.raises(UsageError, match=r"unknown property 'HLC-22': did you mean 'HLC-2'\?"):
        ledger.find(properties, "HLC-22")


def test_what_does_not_fit_together_is_found() -> None:
    properties = ledger.parse(toml("property", PROPERTY))
    right = toml(
        "check", CHECK, properties='["HLC-2"]', expect='"refuted as expected"', variant='"stall_and_reset"'
    )
    assert ledger.problems(properties, manifest.parse(right)) == []
    found = ledger.problems(properties, manifest.parse(toml("check", CHECK)))
    assert found == [
        "check 'z3-hlc-order' is evidence for 'HLC-1': did you mean 'HLC-2'?",
        "property 'HLC-2': no check of the manifest can say 'refuted as expected' of it",
    ]
    other = toml("check", CHECK, properties='["HLC-2"]', expect='"refuted as expected"', variant='"v"')
    assert ledger.problems(properties, manifest.parse(other)) == [
        "property 'HLC-2': no check of the manifest refutes its variant 'stall_and_reset'"
    ]


def test_near_names_are_suggested() -> None:
    assert suggest("TLC", ("tlc", "z3")) == "did you mean 'tlc'?"
    assert suggest("nonsense", ("b", "a")) == "known are a, b"
    assert suggest("x", ()) == "there are none"
    assert suggest("zz", [f"name{number:02}" for number in range(30)]).endswith("name19, ...")


def test_what_ships_can_be_read() -> None:
    from scratchbird_check import resources

    properties = ledger.parse(resources.ledger_text())
    checks = manifest.parse(resources.manifest_text())
    known = {item.id for item in properties}
    assert all(set(check.properties) <= known for check in checks)
