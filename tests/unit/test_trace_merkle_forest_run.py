"""Scripted runs of the forest: each refutes its wrong rule, and a stage that is broken is noticed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from scratchbird_check.counterexamples import merkle_forest as runs
from scratchbird_check.counterexamples.model import NotRefutedError
from scratchbird_check.machines.merkle_forest_pair import at
from scratchbird_check.report.svg import draw
from scratchbird_check.report.text import render, shown_steps
from scratchbird_check.traces.merkle_forest_judge import agree, past, peace, through
from scratchbird_check.traces.merkle_forest_moves import (
    Move,
    arrive,
    begin,
    crash,
    exchange,
    go_on,
    propose,
    pull,
    purge,
    reshape,
    rise,
    settle,
    write,
)
from scratchbird_check.traces.merkle_forest_run import Judge, Run, play
from scratchbird_check.traces.model import Trace
from scratchbird_check.variants.merkle_forest import RIGHT, VARIANTS, Variant
from scratchbird_reference.merkle_forest import SHORT_BYTES, Rules
from scratchbird_reference.quorum_messages import Held

GOT = 'r2 takes "old" at 5'
QUIET = "r1 begins an exchange with r2: no window differs"
ENDS = {
    "immutable": GOT,
    "serves_stale": 'r2 takes "old" at 25',
    "forgets_dirt": GOT,
    "sealed_only": 'r2 takes "old" at 25',
    "samples_active": 'r2 takes "old" at 25 of row 2',
    "compares_as_it_is": 'r2 takes "new" at 25',
    "one_sided": GOT,
    "own_windows_only": 'r1 takes "old" at 5',
    "records_failure": GOT,
    "purges_by_itself": QUIET,
    "refreshes_nothing": "r2 begins an exchange with r1: no window differs",
    "takes_over_purged": "r2 begins an exchange with r1: no window differs",
    "keeps_overtaken": "r2 begins an exchange with r1: no window differs",
    "leaves_at_once": QUIET,
    "believes_short_digests": 'r1 takes "new 16921405" at 6',
    "refuses_for_sealed": QUIET,
    "compares_across_settings": QUIET,
}
"""What the right rules come to in each run, before the last exchange has succeeded."""

LACKS = "The exchange of r1 and r2 has succeeded, and r2 lacks"
AGAIN = "different once more, though neither lacks anything:"
VERDICTS = {
    "immutable": f'{LACKS} "old" at 5, which r1 held: a digest that never changes',
    "serves_stale": f'{LACKS} "old" at 25, which r1 held: the digest was that of',
    "forgets_dirt": f'{LACKS} "old" at 5, which r1 held: the row was on disk, and',
    "sealed_only": f'{LACKS} "old" at 25, which r1 held: what is in a window that is not',
    "samples_active": f'{LACKS} "old" at 25 of row 2, which r1 held: a sample says nothing',
    "compares_as_it_is": f'{LACKS} "old" at 5, which r1 held: it left a window that differed',
    "one_sided": f'{LACKS} "old" at 5, which r1 held: who drives',
    "own_windows_only": 'The exchange of r1 and r2 has succeeded, and r1 lacks "old" at 5, which r2 held:',
    "records_failure": f'{LACKS} "old" at 5, which r1 held: nothing had been compared',
    "purges_by_itself": 'r1 and r2 have both settled, and "old" at 3 is at r1 and not at r2: nothing will',
    "refreshes_nothing": f"r1 and r2 find window 0 {AGAIN} it shows the same",
    "takes_over_purged": "r2 shows a delete at 5, below the floor of 20, and r1, which has settled",
    "keeps_overtaken": f"r1 and r2 find window 0 {AGAIN} r2 has purged what",
    "leaves_at_once": f"r1 and r2 find window 0 {AGAIN} each write that is under way",
    "believes_short_digests": "The exchange of r1 and r2 has succeeded, and r1 lacks",
    "refuses_for_sealed": f'{LACKS} "old" at 5, which r1 held: by its own clock',
    "compares_across_settings": f"r1 and r2 find windows 0 and 1 {AGAIN} the numbers of",
}


def lines(trace: Trace) -> list[str]:
    return [f"{step.lane or 'all'} {step.label}" for step in shown_steps(trace)]


def played(moves: Sequence[Move], variant: Variant = RIGHT, judge: Judge = through) -> Trace:
    return play(moves, variant=variant, judge=judge, promise="MRK-0", lesson="so", title="a run", good="ok")


# --- the scripts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_what_the_wrong_rule_does_and_what_the_right_one_comes_to(variant: str) -> None:
    found = runs.counterexample(variant)
    assert found.refuted.verdict.startswith(VERDICTS[variant])
    assert found.refuted.verdict.endswith(f"({runs.SCRIPTS[variant].promise}).")
    *_, before, last = lines(found.corrected)
    assert before == ENDS[variant]
    assert last.endswith("it has succeeded")
    assert len(shown_steps(found.refuted)) <= 15


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_every_step_has_its_place_in_the_drawing(variant: str) -> None:
    found = runs.counterexample(variant)
    for trace in (found.refuted, found.corrected):
        assert all(step.lane in (None, *trace.lanes) for step in trace.steps)
        assert all(arrow.from_lane in trace.lanes for step in trace.steps for arrow in step.arrows)
        assert all(arrow.from_step <= step.number for step in trace.steps for arrow in step.arrows)
        assert draw(trace).count('class="step"') == len(shown_steps(trace))
        assert trace.title in render(trace, 200)
        assert all(step.state for step in trace.steps)


def test_every_wrong_rule_has_a_script_and_every_script_is_told_apart() -> None:
    assert runs.SCRIPTS.keys() == VARIANTS.keys() == ENDS.keys() == VERDICTS.keys()


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_a_wrong_rule_that_kept_its_promise_would_be_noticed(variant: str) -> None:
    script = runs.SCRIPTS[variant]
    with pytest.raises(NotRefutedError, match=f"{variant!r} keeps {script.promise} in the run"):
        runs.refute(variant, script, RIGHT, RIGHT)
    with pytest.raises(NotRefutedError, match=f"the right rule breaks {script.promise} in the run of"):
        runs.refute(variant, script, VARIANTS[variant], VARIANTS[variant])


def test_the_two_values_have_one_short_digest_and_two_whole_ones() -> None:
    rules = Rules()
    old, new = (
        rules.leaf_digest([rules.entry_of(1, Held(at(ms), value.encode()))])
        for ms, value in ((5, runs.OLD_SHORT), (6, runs.NEW_SHORT))
    )
    assert old != new
    assert rules.short(old) == rules.short(new)
    assert len(rules.short(old)) == SHORT_BYTES == 6


def test_a_hash_that_tells_the_rows_apart_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = runs.no_domains()
    assert found.refuted.wrong_step == found.refuted.steps[-1]
    assert found.corrected.wrong_step is None
    monkeypatch.setattr(runs, "published_row", lambda columns: str(columns).encode())
    with pytest.raises(NotRefutedError, match="the published hash tells the two rows apart"):
        runs.no_domains()


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_what_is_left_out_is_said_of_the_wrong_rule_alone(variant: str) -> None:
    found = runs.counterexample(variant)
    told = [line for line in lines(found.refuted) if "left out" in line or "leaves the row out" in line]
    assert told == {
        "sealed_only": ["r1 begins an exchange with r2: window 2 differs, and is left out"],
        "own_windows_only": ["r1 begins an exchange with r2: window 0 differs, and is left out"],
        "samples_active": [
            'r1 looks into window 2: of row 2 r1 showed "old" at 25, and r2 nothing; r1 leaves the row out'
        ],
    }.get(variant, [])
    assert not [line for line in lines(found.corrected) if "out" in line]


# --- the moves --------------------------------------------------------------------------------------------


def test_a_write_that_comes_late_is_stored_or_kept_out() -> None:
    told = lines(played([write("old", 5, 1), write("new", 9, 1), arrive(9, 2), arrive(5, 2)]))
    assert told[2:] == ['r2 stores "new" at 9', 'r2 keeps "new" at 9, newer than "old" at 5']


def test_what_can_not_be_is_left_out() -> None:
    assert lines(played([settle(1, 2), pull(1, 2), purge(1, 2)])) == []


def test_a_floor_is_closed_and_settled_step_by_step() -> None:
    moves = [
        rise(30, 1),
        write(None, 5, 1),
        propose(20, 1, 2),
        pull(1, 2),
        settle(1),
        pull(2, 1),
        settle(1),
        purge(1, 2),
        begin(1, 2),
    ]
    assert lines(played(moves))[2:] == [
        "catalog proposes a floor of 20; r1 and r2 close it",
        "r1 merges the past of r2; has converged",
        "r2 merges the past of r1; has converged",
        "catalog hears that all have converged; r1 settles",
        "r1 purges its tombstone",
        "r1 begins an exchange with r2, and is refused: floor 20 is not 0: settle first",
    ]


def test_changes_stand_with_the_steps() -> None:
    trace = played([rise(30, 2), write("x", 5, 2, row=3), *exchange(1, 2)])
    assert [(change.name, change.before, change.after) for change in trace.steps[2].changes] == [
        ("holds[r2, row 3]", "nothing", '"x" at 5'),
        ("shows[r2, row 3]", "nothing", '"x" at 5'),
        ("to be hashed[r2]", "nothing", "window 0"),
    ]
    assert ("stable time[r1]", "0", "30") in [(c.name, c.before, c.after) for c in trace.steps[3].changes]
    assert lines(trace)[-3:] == [
        'r1 looks into window 0: of row 3 r1 showed nothing, and r2 "x" at 5',
        'r1 takes "x" at 5 of row 3',
        "r1 has exchanged with r2: it has succeeded",
    ]


def test_a_row_that_both_have_is_not_told_of() -> None:
    moves = [rise(30, 1, 2), write("old", 5, 1, 2), write("x", 6, 1, row=2), *exchange(1, 2)]
    assert lines(played(moves))[-3:-1] == [
        'r1 looks into window 0: of row 2 r1 showed "x" at 6, and r2 nothing',
        'r2 takes "x" at 6 of row 2',
    ]


@pytest.mark.parametrize("variant", ["sealed_only", "own_windows_only", "samples_active"])
def test_who_leaves_windows_out_has_nothing_to_leave_out_of_equal_ones(variant: str) -> None:
    moves = [rise(30, 1, 2), write("old", 25, 1, 2), *exchange(1, 2)]
    assert lines(played(moves, VARIANTS[variant]))[-2] == QUIET


def test_the_state_of_a_step_holds_the_forest() -> None:
    trace = played([rise(30, 1, 2), write("old", 5, 1), begin(1, 2)])
    before, after = (step.state["r1"]["forest"] for step in trace.steps[-2:])
    assert (before["dirty"], before["told"]) == ((0,), ())
    assert (after["dirty"], [window for window, _ in after["told"]]) == ((), [0])
    assert after["entries"] == ((1, f"{at(5):x}"),)


def test_who_is_given_an_entry_and_holds_something_newer_takes_it_over() -> None:
    moves = [rise(30, 1, 2), write("old", 5, 1), write("new", 50, 1, 2), *exchange(1, 2)]
    assert lines(played(moves))[-2] == 'r2 holds something newer, and takes over the entry "old" at 5'


def test_an_exchange_of_which_the_other_side_forgot_has_failed() -> None:
    moves = [rise(30, 1, 2), write("old", 5, 1), begin(1, 2), crash(2), go_on(1, 2), go_on(1, 2)]
    assert lines(played(moves))[-1] == (
        "r1 ends the exchange with r2: it has failed: exchange 1 is not open here: it was too long ago, or "
        "before a restart"
    )


def test_a_row_that_is_overwritten_at_the_other_side_is_no_success_of_the_wrong_rule() -> None:
    """What was told of its window when the exchange began no longer comes out: that is noticed."""
    moves = [rise(30, 1, 2), write("old", 5, 2), begin(1, 2), write("new", 25, 2), go_on(1, 2)]
    told = lines(played(moves, VARIANTS["compares_as_it_is"]))
    assert "once more" in told[-2]
    assert told[-1].startswith(
        "r1 ends the exchange with r2: it has failed: window 0 of replica 2 has not the"
    )


def test_a_forest_is_built_anew() -> None:
    trace = played([rise(30, 1), write("old", 15, 1), reshape(1, 1, 5), begin(1, 2)])
    assert lines(trace)[-2:] == [
        "r1 builds its forest anew in setting 1, with windows of 5 ms",
        "r1 begins an exchange with r2, and is refused: setting 1 is not 0: build the older forest anew",
    ]
    assert trace.steps[-1].kind == "refused"


# --- the judges -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", [through, peace, agree, past])
def test_nothing_is_wrong_at_the_beginning(judge: Judge) -> None:
    assert judge(Run(RIGHT).world, "so", "MRK-0") == ""


def test_one_difference_that_neither_side_needs_is_no_lack_of_peace() -> None:
    moves = [rise(30, 1, 2), write("old", 5, 1), write("new", 50, 1, 2), *exchange(2, 1)]
    assert played(moves, VARIANTS["refreshes_nothing"], peace).verdict == "ok"
