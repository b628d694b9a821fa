"""Scripted runs of quorums: each refutes its wrong rule alone, and a script that is broken is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from scratchbird_check.context import Context
from scratchbird_check.counterexamples import checks, counterexample
from scratchbird_check.counterexamples import quorum as runs
from scratchbird_check.counterexamples.model import NotRefutedError
from scratchbird_check.counterexamples.quorum_scripts import MAJORITIES, SCRIPTS, Script
from scratchbird_check.errors import ManifestError
from scratchbird_check.manifest import Check
from scratchbird_check.report.svg import draw
from scratchbird_check.report.text import render, shown_steps
from scratchbird_check.traces import quorum_judge, quorum_words
from scratchbird_check.traces.model import Trace
from scratchbird_check.traces.quorum_judge import intents, linearizable, session
from scratchbird_check.traces.quorum_moves import (
    Move,
    acknowledged,
    crash,
    deadline,
    durable,
    hear,
    hold,
    lose,
    read,
    recover,
    repeat,
    store,
    tell,
    undo,
    unseen,
    write,
)
from scratchbird_check.traces.quorum_run import Run, play
from scratchbird_check.traces.quorum_world import Stage, World
from scratchbird_check.variants.quorum import RIGHT, VARIANTS, Variant
from scratchbird_check.verdicts import Verdict
from scratchbird_history import operations as history
from scratchbird_history.checking import Answer
from scratchbird_history.checking import Verdict as Judged
from scratchbird_history.models import Model
from scratchbird_reference.errors import CallerError, ConfigurationError
from scratchbird_reference.quorum_messages import Mode, Query, Setting, Write

ENDS = {
    "disjoint_quorums": 'c2 hears that r3 holds it; returns "new"',
    "one_round": 'c3 reads: hears "b" from r1 and r2; returns "b"',
    "asynchronous_repair": 'c3 hears that r3 holds it; returns "new"',
    "write_back_when_answers_disagree": 'c2 hears that r1 and r4 hold it; returns "new"',
    "settled_at_hitting_set": 'c2 hears that r1 and r2 hold it; returns "new"',
    "ignores_token": 'c2 hears "new" from r1; returns "new"',
    "stamps_below_token": 'c2 reads: hears "b" from r1; returns "b"',
    "rollback": 'c2 reads: hears "new" from r1 and r2; returns "new"',
    "says_not_applied": 'c2 hears that r2 holds it; returns "new"',
    "ack_before_intent": "c1 crashes",
    "online_change": 'c2 hears that r2 and r3 hold it; returns "new"',
    "old_epoch_served": "c3 hears that r1 and r3 hold it; returns nothing",
    "retry_with_new_version": 'c2 reads: hears "b" from r1 and r2; returns "b"',
    "stamp_again_on_stale": 'c2 hears that r1 holds it; returns "b"',
    "empty_replica_votes": 'c2 hears that r3 holds it; returns "new"',
    "counts_old_incarnation": 'hears that r3 holds it; returns "new"',
    "own_incarnation_only": 'hears that r3 holds it; returns "new"',
    "recovers_from_one": 'c2 hears that r3 holds it; returns "new"',
    "recovers_as_newest": 'c2 hears that r2 and r3 hold it; returns "new"',
}
"""What the right rules come to in each run."""


def lines(trace: Trace) -> list[str]:
    return [f"{step.lane} {step.label}" for step in shown_steps(trace)]


def played(
    moves: Sequence[Move],
    setting: Setting = MAJORITIES,
    variant: Variant = RIGHT,
    judge: quorum_judge.Judge = linearizable,
) -> Trace:
    stage = Stage(dict.fromkeys(("c1", "c2"), setting))
    return play(
        moves,
        variant=variant,
        stage=stage,
        judge=judge,
        promise="QRM-0",
        lesson="so",
        title="a run",
        good="ok",
    )


# --- the scripts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ENDS)
def test_the_right_rules_end_well(variant: str) -> None:
    assert lines(runs.counterexample(variant).corrected)[-1].endswith(ENDS[variant])


@pytest.mark.parametrize("variant", SCRIPTS)
def test_a_variant_that_kept_its_promise_would_be_noticed(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: Script = replace(SCRIPTS[variant], wrong_stage=None)
    monkeypatch.setitem(SCRIPTS, variant, script)
    monkeypatch.setitem(VARIANTS, variant, RIGHT)
    with pytest.raises(NotRefutedError, match=f"{variant!r} keeps {script.promise}"):
        runs.counterexample(variant)


@pytest.mark.parametrize("variant", SCRIPTS)
def test_a_script_without_its_last_move_would_be_noticed(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = SCRIPTS[variant]
    possible = len(runs.counterexample(variant).refuted.steps) - 1
    assert possible <= len(script.moves)
    shorter = replace(script, moves=script.moves[:-1])
    monkeypatch.setitem(SCRIPTS, variant, shorter)
    with pytest.raises(NotRefutedError, match="in the run that should refute it"):
        runs.counterexample(variant)


@pytest.mark.parametrize("variant", [name for name, script in SCRIPTS.items() if script.wrong_stage is None])
def test_a_right_rule_that_broke_a_promise_would_be_noticed(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "RIGHT", VARIANTS[variant])
    with pytest.raises(NotRefutedError, match=f"the right rule breaks {SCRIPTS[variant].promise}"):
        runs.counterexample(variant)


def test_settings_whose_quorums_miss_each_other_are_refused() -> None:
    wrong = SCRIPTS["disjoint_quorums"].wrong_stage
    assert wrong is not None
    setting = wrong.settings["c1"]
    with pytest.raises(ConfigurationError, match="is not more than 3 replicas"):
        Setting(setting.replicas, setting.write_quorum, setting.read_quorum)


def test_reads_that_go_back_are_shown_in_five_steps() -> None:
    found = counterexample("asynchronous_repair")
    assert found is not None
    assert lines(found.refuted) == [
        'c1 writes "new": hears "old" from r1 and r2; sends it to all at version 2',
        'r1 stores "new" at 2',
        'c2 reads: hears "new" from r1 and "old" from r2; returns "new"',
        'c3 reads: hears "old" from r2 and r3; returns "old"',
    ]
    assert (
        found.refuted.verdict
        == 'c3 returned "old" after c2 had returned "new": reads go back in time (QRM-3).'
    )
    assert 'Before: c1 has written "old" to r1, r2 and r3.' in render(found.refuted, 100)


@pytest.mark.parametrize(
    ("variant", "verdict"),
    [
        ("one_round", 'c3 returned "a" after the write of "b" had been acknowledged: '),
        ("stamps_below_token", 'c2 returned "a" after the write of "b" had been acknowledged: '),
        (
            "stamp_again_on_stale",
            'c2 returned "a" after it had returned "a" and the write of "b" had been ack',
        ),
        ("says_not_applied", 'c2 returned "new": the client was told that it is not applied'),
        ("ack_before_intent", 'r3 lacks "new", which was acknowledged, and no intent names it: nobody will'),
    ],
)
def test_the_verdict_says_what_clients_saw(variant: str, verdict: str) -> None:
    assert runs.counterexample(variant).refuted.verdict.startswith(verdict)


def test_a_lost_disk_is_the_next_life_of_a_replica() -> None:
    (lost,) = [
        step for step in runs.counterexample("recovers_from_one").refuted.steps if step.action == "Lose"
    ]
    assert [(change.name, change.before, change.after) for change in lost.changes] == [
        ("holds[r1]", '"new" at 1', "nothing"),
        ("incarnation[r1]", "1", "2"),
        ("has a vote[r1]", "yes", "no"),
    ]


def test_an_answer_within_a_step_is_drawn_from_its_replica() -> None:
    found = counterexample("asynchronous_repair")
    assert found is not None
    asked = [
        arrow
        for step in shown_steps(found.refuted)
        for arrow in step.arrows
        if arrow.from_step == step.number
    ]
    assert len(asked) == 6
    assert draw(found.refuted).count('r="3"') == 6
    assert "sent in step" not in render(found.refuted, 100).split("> 4")[1]


# --- as checks --------------------------------------------------------------------------------------------


def check(variant: str, *properties: str) -> Check:
    return Check("it", "quorum", "python", ("quick",), Verdict.REFUTED, properties, variant)


def test_a_run_is_a_check(tmp_path: Path) -> None:
    outcome = checks.refutes(check("one_round", "QRM-2", "QRM-13"), Context(tmp_path))
    assert outcome.verdict is Verdict.REFUTED
    assert outcome.figures == {"steps": 3, "steps_of_the_right_rule": 3}
    assert outcome.counterexample is not None
    assert "played by the code, 3 steps" in outcome.detail


def test_a_run_that_refutes_nothing_is_unexpected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(VARIANTS, "one_round", RIGHT)
    outcome = checks.refutes(check("one_round", "QRM-2"), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert "keeps QRM-2" in outcome.detail


def test_a_run_that_refutes_something_else_is_unexpected(tmp_path: Path) -> None:
    outcome = checks.refutes(check("one_round", "QRM-5"), Context(tmp_path))
    assert outcome.verdict is Verdict.UNEXPECTED
    assert outcome.detail == "the run of one_round breaks QRM-2, none of QRM-5"


def test_a_variant_without_a_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no run is written for the variant 'no_such_rule'"):
        checks.refutes(check("no_such_rule", "QRM-2"), Context(tmp_path))


# --- the stage --------------------------------------------------------------------------------------------

BEGUN = write("w", "a", "c1", hears=(1, 2))


def test_what_was_never_sent_is_never_delivered() -> None:
    assert lines(
        played([read("r", "c1"), hold("r", 1), store("r", 1), acknowledged("r", 1), undo("r", 1)])
    ) == ["c1 reads: asks all"]
    run = Run(RIGHT, Stage({"c1": MAJORITIES}))
    assert run.move(BEGUN)
    assert not run.move(durable("w"))
    assert not run.move(recover(1, 2))
    assert not run.move(tell(1, 2))


def test_a_move_of_an_operation_that_did_not_begin_is_an_error() -> None:
    with pytest.raises(CallerError, match="Hear of 'r', which did not begin: read or write first"):
        played([hear("r", 1)])


def test_what_a_crashed_coordinator_is_sent_is_lost() -> None:
    assert lines(
        played([BEGUN, store("w", 1), crash("c1"), acknowledged("w", 1), deadline("w"), crash("c1")])
    ) == [
        'c1 writes "a": hears nothing from r1 and r2; sends it to all at version 1',
        'r1 stores "a" at 1',
        "c1 crashes",
    ]
    with pytest.raises(CallerError, match="Read at a coordinator that is down"):
        played([crash("c1"), read("r", "c1")])


def test_a_message_may_arrive_again() -> None:
    assert lines(played([BEGUN, store("w", 1), store("w", 1), hold("w", 1), hold("w", 2)]))[1:] == [
        'r1 stores "a" at 1',
        'r1 stores "a" at 1',
        "c1 hears that r1 holds it",
        "c1 hears that r2 holds it; says: committed",
    ]


def test_what_was_said_earlier_stays_under_way() -> None:
    run = Run(RIGHT, Stage({"c1": MAJORITIES}))
    for move in (BEGUN, store("w", 1), hold("w", 1)):
        assert run.move(move)
    assert run.move(acknowledged("w", 1))
    assert run.steps[-1].arrows[0].from_step == 2
    assert not run.move(acknowledged("w", 1))


def test_a_slow_disk_keeps_the_client_waiting() -> None:
    slow = replace(BEGUN, slow_disk=True)
    trace = played([slow, hold("w", 1, 2), durable("w"), crash("c1")], judge=intents)
    assert lines(trace)[1:] == [
        "c1 hears that r1 and r2 hold it",
        "c1 has the intent on disk; says: committed",
        "c1 crashes",
    ]
    assert [(c.name, c.before, c.after) for c in trace.steps[3].changes] == [("intent[c1]", "none", "r3")]
    assert trace.verdict == "ok"


def test_a_replica_that_lost_its_disk_is_not_one_that_lacks_a_write() -> None:
    moves = [replace(BEGUN, slow_disk=True), hold("w", 1, 2, 3), lose(3), crash("c1")]
    assert played(moves, variant=VARIANTS["ack_before_intent"], judge=intents).verdict == "ok"


def test_an_operation_that_is_refused_says_so() -> None:
    newer = replace(MAJORITIES, epoch=1)
    trace = play(
        [read("new", "c2", hears=(1, 2)), read("old", "c1", hears=(1,)), hear("old", 2)],
        variant=RIGHT,
        stage=Stage({"c1": MAJORITIES, "c2": newer}),
        judge=linearizable,
        promise="QRM-0",
        lesson="so",
        title="a run",
        good="ok",
    )
    assert lines(trace)[1:] == [
        "c1 reads: is refused by r1: epoch 1 is in force; says: failed",
        "c1 is refused by r2: epoch 1 is in force",
    ]


def test_a_client_that_reserved_repeats_under_its_version() -> None:
    trace = played(
        [replace(BEGUN, reserve=True), crash("c1"), repeat("w", "c2", holds=(1, 2))],
    )
    assert lines(trace) == [
        'c1 writes "a": hears nothing from r1 and r2; tells the client its version 1; sends it to all',
        "c1 crashes",
        'c2 writes "a" again, under its version 1, and sends it to all: hears that r1 and r2 hold it; '
        "says: committed",
    ]


def test_versions_are_never_used_twice() -> None:
    world = World(RIGHT, Stage(dict.fromkeys(("c1", "c2"), Setting((1,), 1, 1, Mode.EVENTUAL))))
    for number, coordinator in enumerate(("c1", "c2", "c1")):
        world.ask(f"w{number}", "ann", coordinator, history.Kind.WRITE, b"x")
    assert world.stamped == {1, 2, 3}


def test_a_client_carries_its_token_where_the_table_is_eventual() -> None:
    one = Setting((1, 2), 1, 1, Mode.EVENTUAL)
    world = World(RIGHT, Stage({"c1": one}))
    client = world.ask("w", "ann", "c1", history.Kind.WRITE, b"x")
    assert world.deliver(client, 1, Query) is None
    assert world.deliver(client, 1, Write) is not None
    assert world.respond(client, 1)
    assert world.tokens == {"ann": 1}
    reading = world.operation(world.ask("r", "ann", "c1", history.Kind.READ))
    assert reading is not None
    assert reading.token == 1
    other = world.operation(world.ask("s", "bob", "c1", history.Kind.READ))
    assert other is not None
    assert other.token == 0


# --- judging ----------------------------------------------------------------------------------------------


def test_a_history_says_what_clients_saw() -> None:
    run = Run(RIGHT, Stage(dict.fromkeys(("c1", "c2"), MAJORITIES)))
    moves = [
        read("empty", "c1", hears=(1, 2)),
        BEGUN,
        read("open", "c2"),
        hold("w", 1, 2),
        write("failed", "b", "c2"),
        deadline("failed"),
        write("perhaps", "c", "c2", hears=(1, 2)),
        deadline("perhaps"),
    ]
    for move in moves:
        assert run.move(move)
    seen = {one.process: one for one in run.world.history().operations}
    assert {name: (one.label(), one.outcome.value) for name, one in seen.items()} == {
        "empty": ("read nothing", "ok"),
        "w": ('write "a"', "ok"),
        "open": ("read ?", "indeterminate"),
        "failed": ('write "b" failed', "fail"),
        "perhaps": ('write "c" ?', "indeterminate"),
    }
    assert seen["perhaps"].returned is None
    assert run.world.history().initial == "nothing"


def test_a_search_that_gives_up_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = Judged(Answer.UNKNOWN, Model.LINEARIZABLE, sentence="too much")
    monkeypatch.setattr(quorum_judge, "check", lambda *_: unknown)
    with pytest.raises(AssertionError, match="the history search gave up: too much"):
        played([BEGUN])


def test_a_session_is_judged_by_both_guarantees() -> None:
    one = Setting((1, 2), 1, 1, Mode.EVENTUAL)
    moves = [
        write("w", "new", "c1", holds=(1,)),
        read("first", "c2", client="ann", hears=(1,)),
        read("second", "c2", client="ann", hears=(2,)),
    ]
    wrong = played(moves, one, VARIANTS["ignores_token"], session)
    assert wrong.verdict.endswith('and it had returned "new": so (QRM-0).')
    assert played(moves, one, RIGHT, session).verdict == "ok"
    # Another client may be behind: it promised itself nothing.
    others = [moves[0], moves[1], read("second", "c2", client="bob", hears=(2,))]
    assert played(others, one, VARIANTS["ignores_token"], session).verdict == "ok"


def test_moves_that_only_set_the_scene_are_told_in_one_sentence() -> None:
    trace = played([*unseen(write("w", "a", "c1", hears=(1, 2), holds=(2, 1))), read("r", "c2")])
    assert 'Before: c1 has written "a" to r1 and r2.' in render(trace, 100)
    assert [step.setup for step in trace.steps] == [False, True, False]


def test_replicas_are_named_in_the_order_of_their_numbers() -> None:
    assert quorum_words.lanes((3, 1, 2)) == "r1, r2 and r3"
    assert quorum_words.hears([(3, "x"), (1, "y"), (2, "x")]) == "hears y from r1 and x from r2 and r3"
