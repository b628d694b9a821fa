"""The vectors are what the reference writes, every line fits the schema, and production replays them."""

from __future__ import annotations

import io
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from scratchbird_check import resources
from scratchbird_check.conformance import vectors
from scratchbird_check.conformance.conform import may_decline
from scratchbird_check.conformance.drivers import DeclinedError, Driver, ProductionDriver, ReferenceDriver
from scratchbird_check.conformance.random_run import RandomQuestions, RandomRun
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.conformance.replay import replay
from scratchbird_check.conformance.scenarios_quorum_variants import VARIANT_SCENARIOS as QUORUM_SCENARIOS
from scratchbird_check.conformance.scenarios_variants import VARIANT_SCENARIOS
from scratchbird_check.traces import handoff as handoff_form
from scratchbird_check.traces import hlc as json_form
from scratchbird_check.traces import merkle_forest as forest_form
from scratchbird_check.traces import quorum as quorum_form
from scratchbird_check.traces import uuid8 as uuid8_form
from scratchbird_check.variants.handoff import RIGHT as RIGHT_HANDOFF
from scratchbird_check.variants.handoff import VARIANTS as HANDOFF_VARIANTS
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_check.variants.merkle_forest import VARIANTS as FOREST_VARIANTS
from scratchbird_check.variants.quorum import RIGHT, WRONG_SETTINGS
from scratchbird_check.variants.quorum import VARIANTS as QUORUM_VARIANTS
from scratchbird_reference import (
    handoff,
    handoff_catalog,
    handoff_floor,
    handoff_hints,
    handoff_replica,
    merkle_forest,
    merkle_forest_exchange,
    merkle_forest_messages,
    merkle_forest_replica,
    merkle_forest_rows,
    quorum,
    quorum_coordinator,
    quorum_replica,
)
from scratchbird_reference.hlc import Reason

FILES = sorted(
    (item for item in resources.vectors().iterdir() if item.name.endswith(".ndjson")),
    key=lambda item: item.name,
)
NAMES = [file.name for file in FILES]
SCHEMA = json.loads((resources.spec() / "trace.schema.json").read_text())


def lines(name: str) -> list[dict[str, Any]]:
    text = next(file for file in FILES if file.name == name).read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_the_vectors_are_fresh() -> None:
    assert vectors.stale(Path(str(resources.vectors()))) == []


def test_generating_twice_gives_the_same_bytes() -> None:
    assert vectors.generate() == vectors.generate()


def test_the_vectors_are_small() -> None:
    assert sum(len(text) for text in vectors.generate().values()) < 4_000_000


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", NAMES)
def test_every_line_fits_the_schema(name: str) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in lines(name):
        validator.validate(line)


def test_the_schema_refuses_what_is_wrong() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    header, first, *_ = lines("hlc_ticks.ndjson")
    event = first["event"]
    for wrong in (
        {},
        {**header, "version": 2},
        {**header, "part": "shipping"},
        {**header, "config": {"max_drift_ms": 0}},
        {**first, "step": 0},
        {**first, "node": 65536},
        {**first, "digest": "0"},
        {**first, "surplus": 1},
        {**first, "event": {**event, "wall": 1 << 48}},
        {**first, "event": {**event, "event": "tock"}},
        {**first, "effects": [{"effect": "issued"}]},
        {**first, "state": {**first["state"], "last": [0, 4096]}},
        {**first, "error": "and effects"},
    ):
        assert not validator.is_valid(wrong), wrong
    assert validator.is_valid(header)
    assert validator.is_valid(first)


def test_the_schema_knows_every_event_effect_and_reason() -> None:
    definitions = SCHEMA["$defs"]

    def named(definition: str, key: str) -> set[str]:
        return {form["properties"][key]["const"] for form in definitions[definition]["oneOf"]}

    assert named("hlc_event", "event") == set(json_form.EVENTS)
    assert named("uuid8_event", "event") == set(uuid8_form.EVENTS)
    assert named("quorum_event", "event") == set(quorum_form.EVENTS)
    assert named("quorum_effect", "effect") == set(quorum_form.EFFECTS)
    assert named("message", "message") == set(quorum_form.MESSAGES)
    assert named("handoff_event", "event") == set(handoff_form.EVENTS)
    assert named("handoff_effect", "effect") == set(handoff_form.EFFECTS)
    assert named("told", "event") == set(handoff_form.TOLD)
    own = {form["properties"]["event"]["const"] for form in definitions["forest_event"]["anyOf"][1]["oneOf"]}
    assert own | set(handoff_form.REPLICA_EVENTS) == set(forest_form.EVENTS)
    said = definitions["forest_effect"]["anyOf"][1]["oneOf"]
    effects = {form["properties"]["effect"]["const"] for form in said}
    assert effects | set(handoff_form.EFFECTS) == set(forest_form.EFFECTS)
    assert named("question", "question") == set(forest_form.QUESTIONS)
    assert named("forest_reply", "reply") == set(forest_form.REPLIES)
    messages = definitions["handoff_message"]["oneOf"]
    assert messages[0] == {"$ref": "#/$defs/message"}
    assert {form["properties"]["message"]["const"] for form in messages[1:]} | set(
        quorum_form.MESSAGES
    ) == set(handoff_form.MESSAGES)
    outcomes = definitions["quorum_effect"]["oneOf"][-1]["properties"]["outcome"]["enum"]
    assert tuple(outcomes) == quorum_form.OUTCOMES
    refused = definitions["hlc_effect"]["oneOf"][-1]["properties"]["reason"]["enum"]
    assert set(refused) == {reason.value for reason in Reason}


@pytest.mark.parametrize("driver", [ReferenceDriver, ProductionDriver], ids=["reference", "production"])
@pytest.mark.parametrize("name", NAMES)
def test_the_vectors_replay(name: str, driver: Callable[[], Driver]) -> None:
    text = next(file for file in FILES if file.name == name).read_bytes()
    header = lines(name)[0]
    try:
        report = replay(io.BytesIO(text), name, driver)
    except DeclinedError:
        assert driver is ProductionDriver
        assert may_decline(header["part"], header["config"], lines(name)[1]["node"])
        return
    assert report.divergence is None, "\n".join(report.lines())
    assert report.steps == len(lines(name)) - 1


def test_the_vectors_hold_every_event_every_effect_and_every_reason() -> None:
    steps = [line for name in NAMES for line in lines(name)[1:]]
    effects = [effect for line in steps for effect in line.get("effects", [])]
    assert {line["event"].get("event") for line in steps if "effects" in line} == {
        *json_form.EVENTS,
        *uuid8_form.EVENTS,
        *quorum_form.EVENTS,
        *handoff_form.EVENTS,
        *forest_form.EVENTS,
    }
    assert {effect["effect"] for effect in effects} == {
        "issued", "merged", "stamped", "confirmed", "persist", "deferred", "refused", "id", "fields", "order",
        *quorum_form.EFFECTS, *handoff_form.EFFECTS, *forest_form.EFFECTS,
    }  # fmt: skip
    assert {effect["outcome"] for effect in effects if effect["effect"] == "reply"} == {*quorum_form.OUTCOMES}
    assert {effect["message"]["message"] for effect in effects if effect["effect"] == "send"} == {
        *handoff_form.MESSAGES
    }
    assert {effect["reason"] for effect in effects if "reason" in effect} >= {
        reason.value for reason in Reason
    }


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_each_wrong_rule_diverges_on_its_vector(variant: str) -> None:
    text = VARIANT_SCENARIOS[variant]().text().encode()
    report = replay(io.BytesIO(text), variant, lambda: ReferenceDriver(VARIANTS[variant]))
    assert report.divergence is not None


@pytest.mark.parametrize("variant", sorted(QUORUM_SCENARIOS.keys() & QUORUM_VARIANTS.keys()))
def test_each_wrong_rule_of_quorums_diverges_on_its_vector(variant: str) -> None:
    text = QUORUM_SCENARIOS[variant]().text().encode()
    report = replay(io.BytesIO(text), variant, lambda: ReferenceDriver(quorums=QUORUM_VARIANTS[variant]))
    assert report.divergence is not None
    assert "see QUORUM.R" in report.lines()[-1]


def test_every_wrong_machine_of_quorums_has_its_vector() -> None:
    """Those that are wrong by their use, or by their setting, do as machines what they should."""
    wrong = {
        name
        for name, variant in QUORUM_VARIANTS.items()
        if (variant.coordinator, variant.replica) != (RIGHT.coordinator, RIGHT.replica)
    }
    assert wrong <= QUORUM_SCENARIOS.keys()
    assert QUORUM_VARIANTS.keys() - wrong == {
        "retry_with_new_version",
        "recovers_as_newest",
        "own_incarnation_only",
        *WRONG_SETTINGS,
    }


@pytest.mark.parametrize("variant", sorted(HANDOFF_VARIANTS))
def test_each_wrong_rule_of_handoff_diverges_on_a_vector(variant: str) -> None:
    wrong = HANDOFF_VARIANTS[variant]
    found = []
    for file in FILES:
        if file.name.startswith("handoff_") and "_mixed" not in file.name:
            text = file.read_bytes()
            report = replay(io.BytesIO(text), file.name, lambda: ReferenceDriver(handoff=wrong))
            found += [report] if report.divergence is not None else []
    if variant == "backup_is_believed" or wrong.coordinator != RIGHT_HANDOFF.coordinator:
        assert found == []  # Wrong by a machine of part quorum, or by what no event asks for.
    else:
        assert any("see HANDOFF.R" in report.lines()[-1] for report in found)


@pytest.mark.parametrize("variant", sorted(FOREST_VARIANTS))
def test_each_wrong_rule_of_forests_diverges_on_a_vector(variant: str) -> None:
    wrong = FOREST_VARIANTS[variant]
    found = []
    for file in FILES:
        if file.name.startswith("merkle_forest_") and "_mixed" not in file.name:
            text = file.read_bytes()
            report = replay(io.BytesIO(text), file.name, lambda: ReferenceDriver(forests=wrong))
            found += [report] if report.divergence is not None else []
    assert any("see MERKLE_FOREST.R" in report.lines()[-1] for report in found)


@pytest.mark.parametrize(("part", "count"), [("quorum", 16), ("handoff", 14), ("merkle_forest", 19)])
def test_every_rule_is_named_by_a_scenario(part: str, count: int) -> None:
    rules = set(re.findall(r"\*\*(R\d+) ", (resources.spec() / f"{part}.md").read_text()))
    named = {
        rule
        for name in NAMES
        if name.startswith(f"{part}_") and "_mixed" not in name
        for rule in re.findall(rf"{part.upper()}\.(R\d+)", lines(name)[0]["about"])
    }
    assert named == rules
    assert len(rules) == count


MACHINES = {
    "quorum": (quorum, quorum_replica, quorum_coordinator),
    "handoff": (handoff, handoff_hints, handoff_floor, handoff_replica, handoff_catalog),
    "merkle_forest": (
        merkle_forest,
        merkle_forest_rows,
        merkle_forest_messages,
        merkle_forest_replica,
        merkle_forest_exchange,
    ),
}


@pytest.mark.parametrize("part", MACHINES)
def test_every_line_of_the_machines_is_reached(part: str) -> None:
    """If it never ran, no vector would tell whether another store does it right.

    Half of a surrogate pair has no place in a vector: not every JSON library reads it.
    """
    files = {module.__file__: module for module in MACHINES[part]}
    seen: set[tuple[str, int]] = set()

    def look(frame: types.FrameType, event: str, argument: object) -> Any:
        if frame.f_code.co_filename not in files:
            return None
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        for name in NAMES:
            if name.startswith(f"{part}_"):
                replay(io.BytesIO(next(file for file in FILES if file.name == name).read_bytes()), name)
    finally:
        sys.settrace(before)
    missing = [
        f"{module.__name__} line {line}: {Path(str(file)).read_text().splitlines()[line - 1].strip()}"
        for file, module in files.items()
        for code in functions(module)
        for line in {line for _, _, line in code.co_lines() if line is not None} - {code.co_firstlineno}
        if (file, line) not in seen
    ]
    said = (
        "StartEmpty without a floor",
        "UnicodeEncodeError",
        "can not be written in UTF-8",
        "there is no encoding",
    )
    assert [line for line in missing if not any(words in line for words in said)] == []


def functions(module: types.ModuleType) -> Iterator[types.CodeType]:
    """The code of each function of the machines, but for those that no event leads to."""
    aside = {"always_meet", "compatible", "joint", "believes_backup", "admits_backup", "__post_init__"}
    aside |= {"first_state"}
    for item in vars(module).values():
        if getattr(item, "__module__", "") != module.__name__:
            continue
        for found in vars(item).values() if isinstance(item, type) else (item,):
            if not isinstance(found, types.FunctionType) or found.__name__ in aside:
                continue
            if found.__code__.co_filename == module.__file__:
                yield found.__code__


def test_a_wrong_rule_differs_in_what_it_says() -> None:
    """What a person sees: the step, the state before it, and the fields that differ."""
    text = VARIANT_SCENARIOS["stall_and_reset"]().text().encode()
    report = replay(io.BytesIO(text), "x", lambda: ReferenceDriver(VARIANTS["stall_and_reset"]))
    shown = "\n".join(report.lines())
    assert "step 6 (line 7), node 1: tick(wall=1700000000000" in shown
    assert "state before: up true" in shown
    assert "effects[0].timestamp[0]" in shown


def test_random_runs_are_the_same_for_the_same_seed() -> None:
    def draw(run: RandomRun | RandomQuestions, part: str) -> str:
        record = Recorder("x", "A random run.", part=part)
        for step in range(1, 60):
            node, event, from_step = run.event()
            run.answered(step, record.step(node, event, from_step))
        return record.text()

    assert draw(RandomRun(1, {}), "hlc") == draw(RandomRun(1, {}), "hlc") != draw(RandomRun(2, {}), "hlc")
    assert draw(RandomQuestions(1), "uuid8") == draw(RandomQuestions(1), "uuid8")
    assert draw(RandomQuestions(1), "uuid8") != draw(RandomQuestions(2), "uuid8")


def test_stale_vectors_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vectors.main(["--folder", str(tmp_path)]) == 0
    assert vectors.main(["--folder", str(tmp_path), "--check"]) == 0
    (tmp_path / "hlc_ticks.ndjson").write_text("")
    (tmp_path / "hlc_carry.ndjson").unlink()
    (tmp_path / "surplus.ndjson").write_text("")
    capsys.readouterr()
    assert vectors.main(["--folder", str(tmp_path), "--check"]) == 1
    said = capsys.readouterr().err
    assert "hlc_carry.ndjson is missing" in said
    assert "hlc_ticks.ndjson is not what the reference writes now" in said
    assert "surplus.ndjson belongs to no scenario" in said
    assert "make vectors" in said


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert vectors.main(["--folder", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capsys.readouterr().err
