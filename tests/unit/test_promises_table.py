"""The guarantees table: every cell is decided by its evidence, which is compared with formulas here alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import z3

from scratchbird_check.promises import answering, judging, page, table
from scratchbird_check.promises.options import NAMES
from scratchbird_check.promises.schedules import SCHEDULES, Clients, play
from scratchbird_check.promises.table import (
    PROMISES,
    Answer,
    Ground,
    Promise,
    Row,
    cell,
    holds_of,
    row,
    settings,
)
from scratchbird_proofs import quorum, quorum_sessions, registry
from scratchbird_proofs.quorum_counting import replicas, write
from scratchbird_reference.quorum_messages import Mode, Setting

ALL = {item.id: item for item in registry.theorems()}
SETTINGS = tuple(settings(5))


def promise(name: str) -> Promise:
    return next(item for item in PROMISES if item.name == name)


def eventual(size: int, w: int, r: int) -> Setting:
    return Setting(tuple(range(1, size + 1)), w, r, Mode.EVENTUAL)


def expected(setting: Setting) -> dict[str, Answer]:
    """What one would write down without evidence."""
    n, w, r = setting.size, setting.write_quorum, setting.read_quorum
    yes, no = Answer.YES, Answer.NO
    if setting.mode is Mode.LINEARIZABLE:
        return dict.fromkeys(NAMES, yes)
    meet = yes if w + r > n else no
    until_lost = Answer.UNLESS_LOST if w > 1 else yes
    return {
        "linearizable": no,
        "regular": no,
        "regular-one-writer": meet,
        "read-your-writes": no,
        "read-your-writes-one-coordinator": meet,
        "read-your-writes-token": yes,
        "monotonic-reads": until_lost if w == r == n else no,
        "monotonic-reads-one-coordinator": until_lost if r == n else no,
        "monotonic-reads-token": yes,
        "eventual": yes,
    }


# --- cells ------------------------------------------------------------------------------------------------


def test_every_cell_up_to_seven_replicas_is_as_the_formulas_say() -> None:
    count = 0
    for setting in settings():
        count += 1
        found = {name: item.answer for name, item in row(setting).cells.items()}
        assert found == expected(setting), setting
    assert count == 84 + 140


def test_the_command_takes_the_columns_of_the_table() -> None:
    assert tuple(item.name for item in PROMISES) == NAMES


def test_what_is_named_as_evidence_exists() -> None:
    for setting in SETTINGS:
        for found in row(setting).cells.values():
            assert set(found.theorems) <= set(ALL)
            assert found.schedule == "" or found.schedule in SCHEDULES
            assert bool(found.theorems) == (found.answer is not Answer.NO)


def _asked_by(name: str) -> list[z3.ExprRef]:
    """What a theorem and its lemmas take for granted."""
    theorem = ALL[name]
    found = [given for item in theorem.obligations() for given in item.assumptions.values()]
    return found + [given for lemma in theorem.lemmas for given in _asked_by(lemma)]


def test_what_the_table_asks_of_a_setting_is_what_the_theorems_ask() -> None:
    asked = {
        quorum_sessions.QUORUMS_MEET: "quorum.write_quorum_meets_read_quorum",
        quorum_sessions.READS_ASK_ALL: "quorum.reads_of_all_never_go_back",
        quorum_sessions.ALL_ASK_ALL: "quorum.what_all_hold_hides_lower_versions",
    }
    for formula, theorem in asked.items():
        assert any(formula.eq(given) for given in _asked_by(theorem)), theorem
    for item in PROMISES:
        for grounds in item.grounds.values():
            for ground in grounds:
                if ground.asks.eq(quorum_sessions.QUORUMS_MEET):
                    given = [one for name in ground.theorems for one in _asked_by(name)]
                    assert any(ground.asks.eq(one) for one in given), item.name


def test_a_formula_that_speaks_of_something_else_is_no_answer() -> None:
    setting = eventual(3, 2, 2)
    assert holds_of(write + write > replicas, setting)
    assert not holds_of(write > replicas, setting)
    with pytest.raises(AssertionError, match="speaks of more than N, W and R"):
        holds_of(z3.Int("something") > 0, setting)


def test_a_promise_that_is_both_proved_and_refuted_is_undecided() -> None:
    setting = eventual(3, 2, 2)
    asked = promise("linearizable")
    too_much = Ground(("quorum.one_writer_is_regular",), quorum_sessions.QUORUMS_MEET)
    assert cell(asked, setting).answer is Answer.NO
    both = cell(replace(asked, grounds={Mode.EVENTUAL: (too_much,)}), setting)
    assert (both.answer, both.theorems, both.schedule) == (
        Answer.UNDECIDED,
        ("quorum.one_writer_is_regular",),
        "slow clock",
    )


def test_a_promise_that_is_neither_is_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "SCHEDULES", {})
    assert cell(promise("linearizable"), eventual(3, 2, 2)).answer is Answer.UNDECIDED


# --- schedules --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_does_not_fit_a_linearizable_table(name: str) -> None:
    with pytest.raises(ValueError, match=f"schedule {name} does not fit"):
        play(SCHEDULES[name], Setting((0, 1, 2), 2, 2))


@pytest.mark.parametrize("name", SCHEDULES)
def test_each_schedule_breaks_something_wherever_it_fits(name: str) -> None:
    schedule = SCHEDULES[name]
    broken = [item for item in PROMISES if item.clients in schedule.clients]
    fits = [setting for setting in SETTINGS if schedule.fits(setting)]
    assert fits
    for setting in fits:
        history = play(schedule, setting).history
        assert not all(item.kept(history) for item in broken), setting


def test_no_schedule_is_open_to_clients_that_carry_their_token() -> None:
    assert all(Clients.TOKEN not in item.clients for item in SCHEDULES.values())


def test_a_story_says_what_happened() -> None:
    story = play(SCHEDULES["seen and missed"], eventual(3, 2, 2)).story
    assert story == (
        'ann at the coordinator fast: writes "a": asks nobody; sends it to all at version 20',
        'r1: stores "a" at 20',
        'bob at the coordinator third: reads: hears "a" from r1 and nothing from r2; returns "a"',
        "bob at the coordinator third: reads: hears nothing from r2 and r3; returns nothing",
    )


def test_regular_is_less_than_linearizable_and_more_than_nothing() -> None:
    inversion = play(SCHEDULES["seen and missed"], eventual(3, 2, 2)).history
    assert judging.regular(inversion)
    assert not judging.linearizable(inversion)
    assert not judging.regular(play(SCHEDULES["missed"], eventual(2, 1, 1)).history)


# --- failures and rounds ----------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
def test_failures_and_rounds_are_as_the_formulas_say(setting: Setting) -> None:
    n, w, r = setting.size, setting.write_quorum, setting.read_quorum
    found = row(setting)
    if setting.mode is Mode.LINEARIZABLE:
        both = n - max(w, r)
        assert (found.reads, found.reads_with_token, found.writes) == (both, both, both)
        assert (found.read_rounds, found.write_rounds) == ((1, 1 if w == 1 else 2), (2, 2))
    else:
        assert (found.reads, found.reads_with_token, found.writes) == (n - r, min(n - r, w - 1), n - w)
        assert (found.read_rounds, found.write_rounds) == ((1, 1), (1, 1))


def test_which_replicas_are_down_makes_no_difference() -> None:
    for setting in (Setting((4, 7, 9), 2, 2), eventual(3, 1, 2), Setting((0, 1, 2), 3, 1)):
        for request in (answering.READ, answering.WRITE):
            for count in range(1 << setting.size):
                down = {name for bit, name in enumerate(setting.replicas) if count >> bit & 1}
                like = set(setting.replicas[: len(down)])
                assert answering.goes_on(setting, request, down) == answering.goes_on(setting, request, like)


# --- the document -----------------------------------------------------------------------------------------


def _of(size: int, w: int, r: int, mode: Mode) -> Row:
    return row(Setting(tuple(range(1, size + 1)), w, r, mode))


def test_the_document_answers_what_was_published() -> None:
    text = page.section()
    assert "| 3, 1, 3 | eventual | linearizable: yes | linearizable: no | 0 and 0; eventual 0 and 2 |" in text
    assert "wrong of 91 settings and right of 133" in text
    assert "played: one replica down, and reads and writes go on." in text
    assert "| 2, 2, 1 | 3, 3 | 2 and 1 | stop | stop |" in text
    assert "| 3, 1, 1 | 3, 3 | 1 and 1 | go on | go on |" in text
    assert "| 3, 1, 1 | 3, 3 | 3 | stop | stop |" in text
    assert "Of the 49 linearizable tables with 3, 5 or 7 replicas none can be read there" in text
    assert "of the 83 eventual ones 34 can" in text
    assert all(f"**{name}**" in text for name in SCHEDULES)
    assert text.count("\n| 7 | ") == 49 + 28


def test_the_minority_reads_where_a_read_asks_no_more_than_it_has() -> None:
    for setting in settings(7):
        enough = setting.read_quorum <= setting.size // 2
        if setting.mode is Mode.LINEARIZABLE:
            enough = enough and setting.write_quorum <= setting.size // 2
        if setting.size % 2:
            assert page.reads_in_minority(row(setting)) == enough


def test_the_theorems_of_the_sessions_are_all_used() -> None:
    used = {
        name
        for item in PROMISES
        for grounds in item.grounds.values()
        for one in grounds
        for name in one.theorems
    }
    lemmas = {lemma for name in used for lemma in ALL[name].lemmas}
    assert {item.id for item in quorum_sessions.theorems()} <= used | lemmas
    assert used <= {item.id for item in quorum.theorems()}
    assert _of(5, 3, 3, Mode.LINEARIZABLE).cells["linearizable"].theorems[0] in used
