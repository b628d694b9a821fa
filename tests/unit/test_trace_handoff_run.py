"""Scripted runs of handoff: each refutes its wrong rule alone, and a stage that is broken is noticed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from scratchbird_check.counterexamples import handoff as runs
from scratchbird_check.counterexamples.model import NotRefutedError
from scratchbird_check.counterexamples.quorum_scripts import MAJORITIES, OLD, THREE
from scratchbird_check.report.svg import draw
from scratchbird_check.report.text import render, shown_steps
from scratchbird_check.traces import quorum_world
from scratchbird_check.traces.handoff_judge import account
from scratchbird_check.traces.handoff_moves import (
    answer,
    back_up,
    close,
    give_up,
    hint,
    keep_again,
    look,
    passes,
    propose,
    pull,
    repair,
    restore,
    start,
    stop,
)
from scratchbird_check.traces.handoff_run import Run
from scratchbird_check.traces.handoff_world import SHARD, World
from scratchbird_check.traces.model import Trace
from scratchbird_check.traces.quorum_judge import linearizable
from scratchbird_check.traces.quorum_moves import Move, crash, hold, lose, read, recover, write
from scratchbird_check.traces.quorum_run import play
from scratchbird_check.traces.quorum_world import ROW, Stage
from scratchbird_check.variants.handoff import RIGHT, VARIANTS, Variant
from scratchbird_reference import handoff_account
from scratchbird_reference.errors import CallerError
from scratchbird_reference.quorum_messages import Held

ENDS = {
    "hints_in_memory_only": 'r3 gets the hint: stores "new" at 1',
    "removed_on_send": 'r3 gets the hint: stores "new" at 1',
    "hint_counts": 'c2 hears that r3 holds it; returns "new"',
    "hint_overwrites": 'r3 gets the hint: keeps "new" at 2, newer than "old" at 1',
    "stops_without_mark": "r3 merges all that r2 held; c1 owes it nothing more",
    "cleared_by_one": "r3 merges all that r1 held; c1 owes it nothing more",
    "cleared_by_an_earlier_exchange": "r2 merges all that r1 held; c1 owes it nothing more",
    "closes_over_open_writes": "r3 merges all that r2 held; c1 owes it nothing more",
    "purges_by_time": "c2 reads: hears a delete from r1 and r3; returns nothing",
    "purges_by_time_kept_hint": "c2 reads: hears a delete from r1 and r3; returns nothing",
    "purges_by_time_dead_replica": "c2 hears that r3 holds it; returns nothing",
    "purges_by_time_backup": "c2 reads: hears a delete from r1 and r3; returns nothing",
    "purges_by_evidence": "c1 reads: hears a delete from r1 and r3; returns nothing",
    "purges_by_evidence_retry": "c2 reads: hears a delete from r1 and r2; returns nothing",
    "purges_by_evidence_slow_clock": 'c1 hears that r3 holds it; returns "new"',
    "takes_below_closed": 'c2 reads: hears "new" from r1 and a delete from r2; returns "new"',
    "pulls_before_all_closed": 'c2 reads: hears "new" from r1 and r2; returns "new"',
    "merges_only_below": 'c2 hears that r1 holds it; returns "new"',
    "settles_alone": "c2 reads: hears a delete from r1 and r3; returns nothing",
    "absent_is_nothing": "c2 reads: hears a delete from r1 and r2; returns nothing",
    "starts_open": "c1 reads: hears a delete from r1, r2 and r4; returns nothing",
    "counts_across_a_loss": 'c2 hears that r1 and r3 hold it; returns "new"',
    "backup_is_believed": "c2 reads: hears a delete from r1 and r3; returns nothing",
}
"""What the right rules come to in each run."""

OWED = "and no hint and no mark says that it is owed: "
BACK = 'returned "old" after the delete had been acknowledged: a deleted row is there again (HNT-5).'
LOST = (
    'returned nothing after the write of "new" had been acknowledged: a write that was acknowledged is gone'
)
VERDICTS = {
    "hints_in_memory_only": f'r3 lacks "new" at 1, which was acknowledged, {OWED}what nobody knows is never',
    "removed_on_send": f'r3 lacks "new" at 1, which was acknowledged, {OWED}that it was sent does not mean',
    "hint_counts": 'c2 returned "old" after the write of "new" had been acknowledged: fewer than W',
    "hint_overwrites": 'c2 returned "old" after the write of "new" had been acknowledged: a newer write was',
    "stops_without_mark": f'r3 lacks "new" at 1, which was acknowledged, {OWED}whoever decides that',
    "cleared_by_one": f'r3 lacks "new" at 1, which was acknowledged, {OWED}the one that it heard lacks',
    "cleared_by_an_earlier_exchange": f'r2 lacks "new" at 2, which was acknowledged, {OWED}what was written',
    "closes_over_open_writes": f'r3 lacks "new" at 2, which was acknowledged, {OWED}it was acknowledged',
    "purges_by_time": f"c2 {BACK}",
    "purges_by_time_kept_hint": f"c2 {BACK}",
    "purges_by_time_dead_replica": f"c2 {BACK}",
    "purges_by_time_backup": f"c2 {BACK}",
    "purges_by_evidence": f"c1 {BACK}",
    "purges_by_evidence_retry": 'c2 returned "old" after it had returned "old" and the delete had been ack',
    "purges_by_evidence_slow_clock": f"c1 {LOST}",
    "takes_below_closed": f"c2 {LOST}",
    "pulls_before_all_closed": f"c2 {LOST}",
    "merges_only_below": 'c2 returned nothing after it had returned "old": one merged it before, one after',
    "settles_alone": f"c2 {BACK}",
    "absent_is_nothing": f"c2 {BACK}",
    "starts_open": f"c1 {LOST}",
    "counts_across_a_loss": 'r1 and r2 have both settled, and "new" at 5 is at r1 and not at r2: nothing',
    "backup_is_believed": f"c2 {BACK}",
}


def lines(trace: Trace) -> list[str]:
    return [f"{step.lane or 'time'} {step.label}" for step in shown_steps(trace)]


def played(
    moves: Sequence[Move],
    variant: Variant = RIGHT,
    judge: Callable[[Any, str, str], str] = account,
) -> Trace:
    return play(
        moves,
        variant=variant,
        stage=Stage(dict.fromkeys(("c1", "c2"), MAJORITIES)),
        judge=judge,
        promise="HNT-0",
        lesson="so",
        title="a run",
        good="ok",
        kind=Run,
    )


# --- the scripts ------------------------------------------------------------------------------------------


def test_every_variant_has_its_verdict_and_its_good_end() -> None:
    assert set(ENDS) == set(VERDICTS) == set(runs.SCRIPTS) == set(VARIANTS)


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_the_verdict_says_what_went_wrong_and_the_right_rules_end_well(variant: str) -> None:
    found = runs.counterexample(variant)
    assert found.refuted.verdict.startswith(VERDICTS[variant])
    assert found.corrected.verdict == runs.SCRIPTS[variant].good
    assert lines(found.corrected)[-1] == ENDS[variant]
    assert found.refuted.part == found.corrected.part == "handoff"


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_a_variant_that_kept_its_promise_would_be_noticed(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VARIANTS, variant, RIGHT)
    with pytest.raises(NotRefutedError, match=f"{variant!r} keeps {runs.SCRIPTS[variant].promise}"):
        runs.counterexample(variant)


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_a_script_without_its_last_move_would_be_noticed(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = runs.SCRIPTS[variant]
    monkeypatch.setitem(runs.SCRIPTS, variant, replace(script, moves=script.moves[:-1]))
    with pytest.raises(NotRefutedError, match="in the run that should refute it"):
        runs.counterexample(variant)


@pytest.mark.parametrize("variant", runs.SCRIPTS)
def test_a_right_rule_that_broke_a_promise_would_be_noticed(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RIGHT", VARIANTS[variant])
    with pytest.raises(NotRefutedError, match=f"the right rule breaks {runs.SCRIPTS[variant].promise}"):
        runs.counterexample(variant)


def test_a_resurrection_is_told_step_by_step() -> None:
    found = runs.counterexample("purges_by_time")
    assert lines(found.refuted) == [
        'c1 writes "old": hears nothing from r1 and r2; sends it to all at version 1; hears that r1 and r2 '
        "hold it; says: committed",
        'c1 sends the hint of "old" at 1 to r3',
        'c2 deletes the row: hears "old" from r1 and r2; sends it to all at version 2; hears that r1, r2 and '
        "r3 hold it; says: committed",
        "time 6 days pass; r1, r2 and r3 purge the tombstone",
        'r3 gets the hint: stores "old" at 1',
        'c2 reads: hears nothing from r1 and "old" from r3; writes it back before it replies',
        'c2 hears that r1 holds it; returns "old"',
    ]
    assert lines(found.corrected)[6:12] == [
        "catalog proposes a floor of 10; r1, r2 and r3 close it",
        "r1 merges the past of r2 and r3; has converged",
        "r2 merges the past of r1 and r3; has converged",
        "r3 merges the past of r1 and r2; has converged; r1, r2 and r3 settle",
        "time r1, r2 and r3 purge the tombstone",
        'r3 gets the hint: refuses "old" at 1: it is below the floor of 10',
    ]
    assert found.corrected.lanes == ("c1", "c2", "catalog", "r1", "r2", "r3")
    assert found.refuted.lanes == ("c1", "c2", "r1", "r2", "r3")
    for trace in (found.refuted, found.corrected):
        assert draw(trace).count('class="step"') == len(shown_steps(trace))
    assert "5  r3  gets the hint: stores" in render(found.refuted, 100)
    assert "<- sent in step 2" in render(found.refuted, 100)


def test_a_replica_that_is_down_has_a_broken_lane() -> None:
    trace = runs.counterexample("purges_by_time_dead_replica").refuted
    assert [step.down for step in shown_steps(trace)] == [("r3",)] * 4 + [()] * 3
    assert "stroke-dasharray" in draw(trace)


def test_what_is_owed_stands_beside_the_steps() -> None:
    changes = {
        (step.number, change.name): (change.before, change.after)
        for step in runs.counterexample("closes_over_open_writes").corrected.steps
        for change in step.changes
        if not change.name.startswith("holds")
    }
    assert changes == {
        (1, "owes[c1]"): ("nothing", '"old" at 1 to r3'),
        (2, "owes[c1]"): ('"old" at 1 to r3', "nothing"),
        (2, "mark[c1, r3]"): ("none", "open"),
        (3, "owes[c1]"): ("nothing", '"new" at 2 to r1 and r2'),
        (4, "owes[c1]"): ('"new" at 2 to r1 and r2', '"new" at 2 to r2'),
        (7, "owes[c1]"): ('"new" at 2 to r2', "nothing"),
        (7, "mark[c1, r3]"): ("open", "closed"),
        (8, "mark[c1, r3]"): ("closed", "none"),
    }


# --- the stage is no better than it should be -------------------------------------------------------------

BEGUN = write("w", "new", "c1", hears=(1, 2), holds=(1, 2))


def test_a_stage_that_keeps_no_hints_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator is told that its intent is durable, and nobody keeps a hint."""
    monkeypatch.setattr(World, "make_durable", quorum_world.World.make_durable)
    assert played([BEGUN]).verdict == f'r3 lacks "new" at 1, which was acknowledged, {OWED}so (HNT-0).'
    for variant in ("hints_in_memory_only", "removed_on_send", "stops_without_mark"):
        with pytest.raises(NotRefutedError, match="the right rule breaks"):
            runs.counterexample(variant)


def test_a_stage_that_says_for_a_replica_that_it_holds_it_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever pays a hint that did not arrive puts the account out of balance."""
    right = World.at_coordinator

    def pays_all(self: World, name: str, event: Any) -> None:
        right(self, name, event)
        self.at_keeper(name, handoff_account.Acknowledged(3, ROW, 1))

    monkeypatch.setattr(World, "at_coordinator", pays_all)
    assert "r3 lacks" in played([BEGUN]).verdict


def test_a_stage_that_loses_a_tombstone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def purges_anyhow(self: World, name: int) -> bool:
        rows = self.replicas[name].durable
        self.replicas[name] = replace(self.replicas[name], durable=replace(rows, rows=()))
        return True

    monkeypatch.setattr(World, "purge", purges_anyhow)
    for variant in ("purges_by_time", "purges_by_evidence", "purges_by_evidence_slow_clock", "settles_alone"):
        with pytest.raises(NotRefutedError, match="the right rule breaks HNT-5"):
            runs.counterexample(variant)


def test_a_stage_that_believes_every_backup_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def takes_all(self: World, name: int) -> Held:
        rows = self.replicas[name].durable
        backed_up = replace(rows, rows=self.backups[name])
        self.replicas[name] = replace(self.replicas[name], durable=backed_up)
        return backed_up.held(ROW)

    monkeypatch.setattr(World, "restore", takes_all)
    with pytest.raises(NotRefutedError, match="the right rule breaks HNT-5"):
        runs.counterexample("backup_is_believed")


def test_a_lost_disk_ends_the_account() -> None:
    """What a lost disk held comes back by other means (rule QUORUM.R13): nobody owes it."""
    assert played([BEGUN, hold("w", 3), lose(3)]).verdict == "ok"
    assert played([BEGUN, hold("w", 3), lose(3)], VARIANTS["hints_in_memory_only"]).verdict == "ok"


def test_a_floor_above_it_accounts_for_a_version() -> None:
    """A replica that has settled above a version does not lack it."""
    moves = [
        BEGUN,
        write("d", None, "c1", hears=(1, 2), holds=(1, 2)),
        propose(10, *THREE),
        *(pull(name, *(other for other in THREE if other != name)) for name in THREE),
        passes(0, *THREE),
        crash("c1"),
    ]
    assert played(moves, VARIANTS["hints_in_memory_only"]).verdict == "ok"
    run = Run(RIGHT, Stage({"c1": MAJORITIES}))
    for move in moves[:-1]:
        assert run.move(move)
    assert [run.world.held(name).version for name in THREE] == [0, 0, 0]
    assert account(run.world, "so", "HNT-0") == ""


# --- the moves --------------------------------------------------------------------------------------------


def test_what_was_never_sent_is_never_delivered() -> None:
    run = Run(RIGHT, Stage({"c1": MAJORITIES}))
    for move in (hint("c1", 3), pull(1, 2, 3), restore(3), passes(0, 1), repair("c1", 3)):
        assert not run.move(move)
    assert run.move(stop(3))
    assert not run.move(hint("c1", 3))
    assert not run.move(repair("c1", 3, 1))
    assert not run.move(repair("c1", 1, 3))
    assert run.move(crash("c1"))
    assert not run.move(look("c1"))


def test_a_coordinator_tells_what_it_does_about_what_it_owes() -> None:
    assert lines(
        played(
            [
                BEGUN,
                look("c1"),
                hint("c1", 3),
                hint("c1", 3),
                look("c1"),
                give_up("c1", 3),
                keep_again("c1", 3),
                answer("c1", 3, 1),
                repair("c1", 3, 1),
            ]
        )
    )[1:] == [
        'c1 sends the hint of "new" at 1 to r3',
        'r3 gets the hint: stores "new" at 1',
        'r3 gets the hint: holds "new" at 1 already',
        "c1 has no hint to send",
        "c1 is told to remove what it keeps for r3",
        "c1 hears that r3 is back",
        "r1 tells r3 all that it holds",
        "r3 merges all that r1 held",
    ]


def test_a_hint_that_a_crashed_coordinator_sent_arrives_and_nobody_hears_of_it() -> None:
    run = Run(RIGHT, Stage({"c1": MAJORITIES}))
    for move in (BEGUN, look("c1"), crash("c1"), hint("c1", 3)):
        assert run.move(move)
    (owed,) = run.world.keepers["c1"].durable.hints
    assert (owed.target, owed.shard, owed.held) == (3, SHARD, run.world.held(3))


def test_a_replica_that_was_down_asks_how_far_the_floor_is() -> None:
    told = lines(played([*OLD, stop(3), propose(10, 1, 2), passes(1, 1), start(3), pull(3, 1, 2)]))
    assert told == [
        "r3 goes down",
        "catalog proposes a floor of 10; r1 and r2 close it",
        "time 1 day passes",
        "r3 starts again; closes the floor of 10",
        "r3 merges the past of r1 and r2; has converged",
    ]
    assert "r1 asks the catalog how far the floor is" in lines(played([propose(10, *THREE), close(1)]))
    assert "catalog proposes a floor of 10" in lines(played([propose(10)]))


def test_a_backup_above_the_floor_is_merged() -> None:
    moves = [*OLD, back_up(3), lose(3), restore(3), recover(3, 1, 2)]
    assert lines(played(moves))[2] == 'r3 is given its backup, and takes "old" at 1 from it'


def test_a_deleted_row_reads_as_one_that_was_never_written() -> None:
    moves = [
        read("empty", "c1", hears=(1, 2)),
        write("d", None, "c1", hears=(1, 2), holds=(1, 2)),
        read("after", "c2", hears=(1, 2)),
    ]
    assert played(moves, judge=linearizable).verdict == "ok"
    assert [item.result for item in Run(RIGHT, Stage({"c1": MAJORITIES})).world.history().operations] == []


def test_a_move_of_an_operation_that_did_not_begin_is_an_error() -> None:
    with pytest.raises(CallerError, match="Hold of 'w', which did not begin"):
        played([hold("w", 1)])
