"""The searches: agreement with trying every order, known histories, limits, and the core of a "no"."""

from __future__ import annotations

import random
import time
from itertools import chain
from pathlib import Path

import pytest

from scratchbird_history import checking, plain
from scratchbird_history.agreement import disagreements, random_history
from scratchbird_history.brute_force import holds
from scratchbird_history.checking import IN_PYTHON, Answer, Engine, check
from scratchbird_history.encoding import code, programs, timeline
from scratchbird_history.limits import Limits
from scratchbird_history.models import Model
from scratchbird_history.ndjson import read
from scratchbird_history.operations import History, Kind, Operation, Outcome, by_key
from scratchbird_history.shortest import shortest

ENGINES = {"fastest": Engine(), "plain": IN_PYTHON}


def history(*words: str, initial: str = "0") -> History:
    """From words such as ``p0 invoke write x 1``, ``p0 ok write x``, ``p1 ok read x 3``."""
    lines = []
    for line in words:
        process, type_, function, key, *values = line.split()
        value = f', "value": [{",".join(values)}]' if function == "cas" else f', "value": {"".join(values)}'
        lines.append(
            f'{{"process": "{process}", "type": "{type_}", "f": "{function}", "key": "{key}"'
            f"{value if values else ''}}}"
        )
    return read("\n".join(lines), initial)


STALE = (
    "a invoke write x 1",
    "a ok write x",
    "a invoke write x 2",
    "a ok write x",
    "b invoke read x",
    "b ok read x 1",
)
DEKKER = (
    # Each writes one register and then reads the other as it was before: no single order gives that.
    "a invoke write x 1",
    "b invoke write y 1",
    "a ok write x",
    "b ok write y",
    "a invoke read y",
    "b invoke read x",
    "a ok read y 0",
    "b ok read x 0",
)
TWO_WAYS = (
    # The first read may have seen either write of 1, and only one of these leaves the other for the last.
    "b invoke write x 1",
    "a invoke write x 1",
    "r invoke read x",
    "r ok read x 1",
    "a ok write x",
    "a invoke write x 2",
    "a ok write x",
    "r invoke read x",
    "r ok read x 2",
    "r invoke read x",
    "r ok read x 1",
    "b ok write x",
)


@pytest.mark.parametrize("seed", range(4))
def test_the_searches_agree_with_trying_every_order(seed: int) -> None:
    differences, counts = disagreements(600, seed)
    assert differences == []
    assert all(counts[f"{model.value}: {answer}"] > 30 for model in Model for answer in ("yes", "no"))


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize(
    ("words", "model", "answer"),
    [
        (STALE, Model.LINEARIZABLE, Answer.NO),
        (STALE, Model.SEQUENTIAL, Answer.YES),
        (TWO_WAYS, Model.LINEARIZABLE, Answer.YES),
        (DEKKER, Model.SEQUENTIAL, Answer.NO),
        (DEKKER, Model.LINEARIZABLE, Answer.NO),
        (DEKKER, Model.READ_YOUR_WRITES, Answer.YES),
        (DEKKER, Model.MONOTONIC_READS, Answer.YES),
        ((), Model.LINEARIZABLE, Answer.YES),
        ((), Model.SEQUENTIAL, Answer.YES),
    ],
)
def test_known_histories(name: str, words: tuple[str, ...], model: Model, answer: Answer) -> None:
    assert check(history(*words), model, engine=ENGINES[name]).answer is answer


def test_sequential_consistency_is_not_local() -> None:
    for key in ("x", "y"):
        alone = [line for line in DEKKER if f" {key}" in line]
        assert check(history(*alone), Model.SEQUENTIAL).answer is Answer.YES
    assert check(history(*DEKKER), Model.SEQUENTIAL).answer is Answer.NO


@pytest.mark.parametrize("ending", [(), ("a info write x",)])
def test_an_indeterminate_write_may_take_effect_late_or_never(ending: tuple[str, ...]) -> None:
    begun = ("a invoke write x 1", *ending, "b invoke read x", "b ok read x 0")
    assert check(history(*begun)).answer is Answer.YES
    late = (*begun, "b invoke read x", "b ok read x 1")
    assert check(history(*late)).answer is Answer.YES
    back = (*late, "b invoke read x", "b ok read x 0")
    assert check(history(*back)).answer is Answer.NO


def test_a_failed_write_never_takes_effect() -> None:
    words = ("a invoke write x 1", "a fail write x", "b invoke read x", "b ok read x 1")
    assert check(history(*words)).answer is Answer.NO
    assert check(history(*words), Model.SEQUENTIAL).answer is Answer.NO
    assert "nobody wrote" in check(history(*words), Model.MONOTONIC_READS).sentence


def test_an_indeterminate_read_constrains_nothing() -> None:
    assert check(history("a invoke read x", "a info read x 7")).answer is Answer.YES


def test_a_compare_and_set_needs_its_expected_value() -> None:
    words = ("a invoke cas x 0 1", "b invoke cas x 0 2", "a ok cas x", "b ok cas x")
    assert check(history(*words)).answer is Answer.NO
    assert check(history(*words[:2], words[2], "b fail cas x")).answer is Answer.YES


def test_session_guarantees() -> None:
    own = ("a invoke write x 1", "a ok write x", "a invoke read x", "a ok read x 0")
    verdict = check(history(*own), Model.READ_YOUR_WRITES)
    assert verdict.answer is Answer.NO
    assert [one.label() for one in verdict.core] == ["write 1", "read 0"]
    assert check(history(*own), Model.MONOTONIC_READS).answer is Answer.YES
    back = (*own[:2], "b invoke read x", "b ok read x 1", "b invoke read x", "b ok read x 0")
    assert check(history(*back), Model.MONOTONIC_READS).answer is Answer.NO
    assert check(history(*back), Model.READ_YOUR_WRITES).answer is Answer.YES


def test_two_sessions_that_disagree_about_the_order_of_versions() -> None:
    words = ["a invoke write x 1", "b invoke write x 2", "a ok write x", "b ok write x"]
    for process, values in (("c", "12"), ("d", "21")):
        for value in values:
            words += [f"{process} invoke read x", f"{process} ok read x {value}"]
    assert check(history(*words), Model.MONOTONIC_READS).answer is Answer.NO
    assert check(history(*words[:8]), Model.MONOTONIC_READS).answer is Answer.YES


def test_values_that_are_not_unique_are_unknown_unless_something_else_decides() -> None:
    twice = ("a invoke write x 1", "a ok write x", "b invoke write x 1", "b ok write x")
    read_it = ("a invoke read x", "a ok read x 1")
    verdict = check(history(*twice, *read_it), Model.READ_YOUR_WRITES)
    assert verdict.answer is Answer.UNKNOWN
    assert "more than once" in verdict.sentence
    assert check(history(*twice), Model.READ_YOUR_WRITES).answer is Answer.YES
    decided = (*twice, *read_it, "a invoke read x", "a ok read x 9")
    assert check(history(*decided), Model.READ_YOUR_WRITES).answer is Answer.NO


# --- limits -----------------------------------------------------------------------------------------------


def hard(writers: int = 14) -> History:
    """Writes that all overlap, then one that nobody can explain: every subset has to be tried."""
    words = [f"p{number} invoke write x {number % 7 + 1}" for number in range(writers)]
    words += [f"p{number} ok write x" for number in range(writers)]
    reads = [value for number in range(1, 8) for value in (number, 8 - number)]
    words += [line for value in reads for line in ("r invoke read x", f"r ok read x {value}")]
    return history(*words)


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("model", [Model.LINEARIZABLE, Model.SEQUENTIAL])
@pytest.mark.parametrize(
    ("limits", "word"),
    [
        (Limits(steps=20), "--steps"),
        (Limits(bytes=2000), "--memory"),
        (Limits(deadline=time.monotonic() - 1), "--seconds"),
    ],
)
def test_what_is_used_up_is_named(name: str, model: Model, limits: Limits, word: str) -> None:
    verdict = check(hard(), model, limits, ENGINES[name])
    assert verdict.answer is Answer.UNKNOWN
    assert word in verdict.sentence


def test_memory_stays_within_the_limit() -> None:
    limits = Limits(bytes=1 << 16)
    found = Engine().linearizable(timeline(code(hard().operations, "0")), limits)
    assert found.bytes <= limits.bytes


# --- what cannot be explained -----------------------------------------------------------------------------


def test_a_core_is_refuted_and_minimal() -> None:
    dice = random.Random(7)
    seen = 0
    while seen < 60:
        found = random_history(dice)
        verdict = check(found)
        if verdict.answer is not Answer.NO:
            continue
        seen += 1
        assert verdict.minimal
        assert not explained(found, verdict.core)
        for left_out in verdict.core:
            assert explained(found, [one for one in verdict.core if one is not left_out])


def explained(found: History, core: object) -> bool:
    """By trying every order of the core with every choice of the others that respects real time."""
    assert isinstance(core, list | tuple)
    others = [one for one in found.operations if one not in core and one.counts and one.written is not None]
    for bits in range(1 << len(others)):
        took = [one for number, one in enumerate(others) if bits >> number & 1]
        chosen = sorted([*core, *took], key=lambda one: one.invoked)
        parts = {key: [one for one in chosen if one.key == key] for key in {one.key for one in core}}
        if all(holds(part, found.initial, Model.LINEARIZABLE) for part in parts.values()):
            return True
    return False


def test_a_long_history_has_a_short_core() -> None:
    words = []
    for number in range(1, 300):
        words += [f"a invoke write x {number}", f"a ok write x {number}"]
        words += ["b invoke read x", f"b ok read x {number if number != 150 else 140}"]
    verdict = check(history(*words))
    assert verdict.answer is Answer.NO
    assert len(verdict.core) == 2
    assert verdict.core[-1].result == "140"
    sequential = check(history(*words), Model.SEQUENTIAL)
    assert sequential.answer is Answer.NO
    assert len(sequential.core) <= 4


def test_when_the_time_for_leaving_out_is_over_the_core_is_not_called_minimal() -> None:
    verdict = check(history(*STALE), shrinking=0.0)
    assert verdict.answer is Answer.NO
    assert verdict.core
    assert not verdict.minimal


def test_shortest_finds_the_pair() -> None:
    operations = [
        Operation("p", "x", Kind.WRITE, (str(number),), None, 2 * number, 2 * number + 1, Outcome.OK)
        for number in range(40)
    ]
    wrong = {operations[11], operations[23]}
    core, minimal = shortest(operations, lambda some: wrong <= set(some))
    assert set(core) == wrong
    assert minimal


# --- the searches are told apart from broken ones ---------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "(place, state, bits) not in been:\n            been.add((place, state, bits))",
            "(place, state) not in been:\n            been.add((place, state))",
        ),
        ("state = put[index]\n        for other", "for other"),
        ("bits |= 1 << slot[index]\n        state", "state"),
        ("if kind[other] == READ and seen[other] == state:", "if kind[other] == READ:"),
        ("        if not bits >> slot[index] & 1 and (coded.kind", "        if (coded.kind"),
        ("mark = (tuple(places), bits, tuple(states))", "mark = (tuple(places), bits, ())"),
        ("and places[work.owner[number]] >= work.after[number]", ""),
        ("if places == goal:", "if True:"),
    ],
)  # fmt: skip
def test_a_search_that_is_broken_on_purpose_is_noticed(before: str, after: str) -> None:
    source = Path(str(plain.__file__)).read_text(encoding="utf-8")
    assert source.count(before) == 1
    broken: dict[str, object] = {"__name__": "broken"}
    exec(compile(source.replace(before, after), "broken", "exec"), broken)
    engine = Engine(broken["linearizable"], broken["sequential"])  # type: ignore[arg-type]
    limits = Limits(steps=5_000)
    dice = random.Random(3)
    for found in chain([history(*TWO_WAYS)], (random_history(dice, 14) for _ in range(5000))):
        for operations in by_key(found.operations).values():
            line = timeline(code(operations, found.initial))
            if engine.linearizable(line, limits).answer is not plain.linearizable(line, Limits()).answer:
                return
        work = programs(code(found.operations, found.initial))
        if engine.sequential(work, limits).answer is not plain.sequential(work, Limits()).answer:
            return
    pytest.fail("no history told the broken search from the right one")


def test_the_compiled_search_takes_the_same_steps_as_the_plain_one() -> None:
    if not checking.COMPILED:
        pytest.skip("the compiled search is missing")
    dice = random.Random(11)
    for _ in range(300):
        found = random_history(dice, 12)
        operations = [one for one in found.operations if one.key == "x"]
        line = timeline(code(operations, found.initial))
        fast, slow = Engine().linearizable(line, Limits()), plain.linearizable(line, Limits())
        assert (fast.answer, fast.far) == (slow.answer, slow.far)
        work = programs(code(found.operations, found.initial))
        assert Engine().sequential(work, Limits()).answer is plain.sequential(work, Limits()).answer


@pytest.mark.parametrize("model", [Model.LINEARIZABLE, Model.SEQUENTIAL])
def test_a_search_that_takes_too_long_is_decided_by_a_contradiction_if_there_is_one(model: Model) -> None:
    begun = [f"p{number} invoke write x {number % 7 + 1}" for number in range(14)]
    never_written = [*begun, "r invoke read x", "r ok read x 2", "r invoke read x", "r ok read x 99"]
    verdict = check(history(*never_written), model, Limits(steps=3))
    assert verdict.answer is Answer.NO
    assert [one.label() for one in verdict.core] == ["read 99"]


def test_a_cycle_names_the_ends_of_what_a_process_did() -> None:
    words = [f"a {type_} write x {number}" for number in range(1, 9) for type_ in ("invoke", "ok")]
    words += ["b invoke read x", "b ok read x 8", "b invoke read x", "b ok read x 1"]
    verdict = check(history(*words), Model.MONOTONIC_READS)
    assert verdict.answer is Answer.NO
    assert [one.label() for one in verdict.core] == ["write 1", "write 8", "read 8", "read 1"]
