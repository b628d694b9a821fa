"""One short run for each wrong rule about version ids: two ids are made, then somebody compares them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scratchbird_check.counterexamples.model import Counterexample, NotRefutedError
from scratchbird_check.traces import uuid8 as json_form
from scratchbird_check.traces.hlc_words import show
from scratchbird_check.traces.model import Arrow, Change, Step, Trace
from scratchbird_check.variants.uuid8 import layout_b, version_7
from scratchbird_reference.errors import CallerError
from scratchbird_reference.uuid8 import Timestamp, UuidV8

NODE, RANDOM = 1, 0
MAKER, STORE = "n1", "store"
BELOW_256, AT_256 = Timestamp(1000, 0x0FF), Timestamp(1000, 0x100)
FIRST, EIGHTH = Timestamp(1000, 0), Timestamp(1000, 7)


@dataclass(frozen=True, slots=True)
class Made:
    """An id, how it was made, and when."""

    name: str
    timestamp: Timestamp
    value: bytes
    how: str

    @property
    def text(self) -> str:
        return str(uuid.UUID(bytes=self.value))


def _version_8(timestamp: Timestamp) -> bytes:
    return bytes(UuidV8(timestamp, NODE, RANDOM))


def layout_b_counterexample(early: Timestamp = BELOW_256, late: Timestamp = AT_256) -> Counterexample:
    """Layout (b) orders counters 255 and 256 the wrong way round, for the version stands over the counter."""
    wrong = [Made(name, at, layout_b(at, NODE, RANDOM), "in layout (b)") for name, at in _named(early, late)]
    right = [Made(name, at, _version_8(at), "in layout (a)") for name, at in _named(early, late)]
    if not wrong[1].value < wrong[0].value:
        raise NotRefutedError("variant 'layout_b' keeps the order of the clock in the run against it")
    verdict = (
        f"A was made at {show(early)} and B after it at {show(late)}, but B's bytes are lower: the version "
        "that RFC 9562 demands stands over the counter's highest bits (HLC-7)."
    )
    good = "The version stands between milliseconds and counter, so byte order is the order of the clock."
    return Counterexample(
        "layout_b",
        "HLC-7",
        _trace("The counter under the version (layout_b)", wrong, "puts B before A", True, verdict, "HLC-7"),
        _trace("The same ids in our layout", right, _compared(right), False, good),
    )


def v7_beside_v8_counterexample(early: Timestamp = FIRST, late: Timestamp = EIGHTH) -> Counterexample:
    """A UUIDv7 is below every UUIDv8 of its millisecond, also one that was made before it."""
    made = [
        Made("A", early, _version_8(early), "as UUIDv8"),
        Made("B", late, version_7(late, NODE, RANDOM), "as UUIDv7"),
    ]
    if not made[1].value < made[0].value:
        raise NotRefutedError("variant 'v7_beside_v8' keeps the order of time in the run against it")
    verdict = (
        f"B was written after A and acknowledged, but the store keeps A: in one millisecond ({early.ms}) the "
        "version decides, and every v8 is above every v7 (HLC-8)."
    )
    try:
        UuidV8.from_bytes(made[1].value)
    except CallerError:
        label = "refuses B: a version 7 id cannot be compared with A"
    else:
        raise NotRefutedError("the right rule compares a UUIDv7 with its own ids")
    good = (
        "Ids of different kinds are never compared as versions: B gets an id of this clock first (UUID8.R5)."
    )
    return Counterexample(
        "v7_beside_v8",
        "HLC-8",
        _trace("UUIDv7 beside UUIDv8 (v7_beside_v8)", made, "keeps A, the higher", True, verdict, "HLC-8"),
        _trace("The same ids under the right rule", made, label, False, good),
    )


def _named(early: Timestamp, late: Timestamp) -> tuple[tuple[str, Timestamp], ...]:
    return (("A", early), ("B", late))


def _compared(made: list[Made]) -> str:
    first, second = (item.text for item in made)
    effect = json_form.step({"event": "compare", "a": first, "b": second})
    if effect.get("order") != -1:
        raise NotRefutedError(f"the right rule says {effect} of {first} and {second}")
    return "puts A before B"


def _trace(title: str, made: list[Made], outcome: str, wrong: bool, verdict: str, promise: str = "") -> Trace:
    steps = [Step(0, None, "Init", "the beginning")]
    for item in made:
        label = f"makes {item.name} at {show(item.timestamp)} {item.how}: {item.text}"
        change = Change(f"id {item.name}", "none", item.value.hex(" ", 2))
        steps.append(Step(len(steps), MAKER, "Encode", label, (change,)))
    arrows = tuple(Arrow(number, MAKER, item.name) for number, item in enumerate(made, start=1))
    refused = outcome.startswith("refuses")
    steps.append(
        Step(
            len(steps),
            STORE,
            "Compare",
            outcome,
            arrows=arrows,
            wrong=wrong,
            kind="refused" if refused else "message",
            mark="refused" if refused else "",
        )
    )
    return Trace(title, "reference", "uuid8", (MAKER, STORE), tuple(steps), verdict, promise)


COUNTEREXAMPLES: Mapping[str, Callable[[], Counterexample]] = {
    "layout_b": layout_b_counterexample,
    "v7_beside_v8": v7_beside_v8_counterexample,
}
