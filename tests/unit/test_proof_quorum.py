"""The theorems of the quorum part hold, each of them can fail, and the wrong rules are refuted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import pytest
import z3

from scratchbird_check.engines.cvc5 import ask
from scratchbird_proofs import (
    quorum,
    quorum_counting,
    quorum_invariant,
    quorum_loss_runs,
    quorum_order,
    quorum_refutations,
    quorum_settings,
)
from scratchbird_proofs.quorum_invariant import CLAUSES, keeps
from scratchbird_proofs.quorum_loss_runs import FoundLoss, WrongLossRule
from scratchbird_proofs.quorum_losses import LOSS_STEPS, Disks, LossRules, LossStep
from scratchbird_proofs.quorum_refutations import SIZES, FoundStory, WrongRule
from scratchbird_proofs.quorum_system import KINDS, Event, Quorums, Rules, State, Step, any_quorums
from scratchbird_proofs.quorum_variants import WritesBackOnlyWhenAnswersDisagree
from scratchbird_proofs.smtlib import questions, questions_of
from scratchbird_proofs.theorem import (
    Formula,
    Judgement,
    Obligation,
    Term,
    Theorem,
    judge,
    lemmas_in_order,
    prove,
)

ALL = {item.id: item for item in quorum.theorems()}
REFUTATIONS, LOSSES = quorum_refutations.WRONG, quorum_loss_runs.WRONG
KEPT = "quorum.invariant_is_kept"
RULES = Rules(any_quorums())
ONE_WRITE = "a version is of one write"


def obligation(theorem: str, name: str) -> Obligation:
    (found,) = [item for item in ALL[theorem].obligations() if item.name == name]
    return found


def kept(kind: str, clause: str) -> Obligation:
    (found,) = [item for item in keeps(RULES, kind) if item.name == f"{kind}: {clause}"]
    return found


def without(given: Obligation, *names: str) -> Obligation:
    left = {name: item for name, item in given.assumptions.items() if name not in names}
    assert len(left) == len(given.assumptions) - len(names)
    return Obligation(given.name, left, given.conclusion)


def with_(given: Obligation, more: Mapping[str, Formula]) -> Obligation:
    return Obligation(given.name, {**given.assumptions, **more}, given.conclusion)


# --- they hold --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_it_is_proved(name: str) -> None:
    assert prove(ALL[name]).why_not == ""


@pytest.mark.parametrize("name", [name for name in ALL if name != KEPT])
def test_another_solver_agrees(name: str) -> None:
    asked = list(questions(ALL[name]))
    assert [(item.name, ask(item.text)) for item in asked] == [(item.name, item.expected) for item in asked]


@pytest.mark.parametrize("kind", KINDS)
def test_another_solver_agrees_on_each_kind_of_step(kind: str) -> None:
    known: dict[str, str] = {}
    for obligation in keeps(RULES, kind):
        for item in questions_of(obligation, obligation.name):
            if item.text not in known:  # All clauses share what is taken for granted.
                known[item.text] = ask(item.text)
            assert (item.name, known[item.text]) == (item.name, item.expected)


def test_lemmas_exist_and_come_first() -> None:
    assert tuple(ALL) == lemmas_in_order(quorum.theorems())


@pytest.mark.parametrize("theorem", ALL.values(), ids=lambda item: item.id)
def test_a_theorem_says_what_it_is(theorem: Theorem) -> None:
    assert theorem.statement.endswith(".")
    assert all(item.startswith("QRM-") for item in theorem.properties)
    assert all(item.startswith("QUORUM.R") for item in theorem.rules)


def test_every_kind_of_step_is_in_the_induction() -> None:
    names = [item.name for item in ALL[KEPT].obligations()]
    assert names == [f"{kind}: {clause.name}" for kind in KINDS for clause in CLAUSES]
    assert KINDS == ("begin", "answer", "hear", "find", "stamp", "apply", "count", "reply", "forget")


# --- each of them can fail --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theorem", "name", "given"),
    [
        ("quorum.two_sets_overlap", "shared: of one more", "what is known of each replica"),
        ("quorum.two_sets_overlap", "shared: of one more", "one more is counted"),
        ("quorum.two_sets_overlap", "shared: of one more", "the claim holds of the replicas counted so far"),
        ("quorum.what_counts_has_a_member", "members: of one more", "what is known of each replica"),
        ("quorum.write_quorum_meets_read_quorum", "they share one", "W + R > N"),
        ("quorum.write_quorum_meets_read_quorum", "they share one", "a write quorum"),
        ("quorum.write_quorum_meets_read_quorum", "they share one", "the overlap is counted"),
        ("quorum.an_interval_counts_its_length", "an interval: of one more", "what is known of each replica"),
        ("quorum.small_quorums_can_miss_each_other", "no replica is in both", "W + R <= N"),
        ("quorum.a_set_is_seen_by_every_read_if_and_only_if", "enough", "it has N - R + 1"),
        (
            "quorum.a_set_is_seen_by_every_read_if_and_only_if",
            "too few: a read quorum",
            "it has N - R or fewer",
        ),
        ("quorum.settings_meet_under_the_condition", "they share a replica", "the condition"),
        ("quorum.settings_can_miss_each_other_otherwise", "no replica is in both", "not the condition"),
        ("quorum.settings_of_the_same_replicas", "two settings", "one set of replicas"),
        ("quorum.joint_setting_is_compatible", "joint", "each is sound"),
        ("quorum.a_read_is_settled_at_as_many_as_reads_meet", "enough", "T + R > N"),
        ("quorum.a_read_is_settled_at_as_many_as_reads_meet", "too few", "T + R <= N"),
        ("quorum.others_heard_meet_the_holders", "they meet a holder", "N - T + 1 others were heard"),
        ("quorum.others_heard_meet_the_holders", "they meet a holder", "so many lost their disks"),
        ("quorum.others_heard_meet_the_holders", "others: of one more", "what is known of each replica"),
        (
            "quorum.recovery_counts_by_the_smallest_write_quorum",
            "N - W' + 1: none of those heard need hold it",
            "W' > W",
        ),
        (
            "quorum.recovery_counts_by_the_smallest_write_quorum",
            "R' others are N - W + 1, for each W",
            "they may be used side by side",
        ),
        ("quorum.one_other_fewer_is_not_enough", "none of them holds it", "heard"),
        ("quorum.a_read_needs_as_many_holders_as_a_write", "the shortcut", "the shortcut"),
        ("quorum.versions_extend_real_time", "versions", "a version is above what was settled"),
        ("quorum.versions_extend_real_time", "versions", "what replied before is below"),
        ("quorum.versions_extend_real_time", "versions", "one replied before the other began"),
        ("quorum.versions_extend_real_time", "the order", "what replied before is below"),
        (
            "quorum.operations_have_one_order",
            "writes have versions of their own",
            "a version is of one write",
        ),
        ("quorum.operations_have_one_order", "one of two is first", "invocations have an order"),
        ("quorum.reads_return_the_last_write", "its write exists", "every version was stamped"),
        ("quorum.reads_return_the_last_write", "no other write is between", ONE_WRITE),
        (
            "quorum.reads_return_the_last_write",
            "no write is before a read of nothing",
            "a version is of one write",
        ),
    ],
)
def test_without_what_it_rests_on_there_is_no_proof(theorem: str, name: str, given: str) -> None:
    assert judge(without(obligation(theorem, name), given)).judgement is Judgement.REFUTED


ABOVE = "a version is above what was settled"


@pytest.mark.parametrize(
    ("kind", "clause", "given"),
    [
        ("stamp", ABOVE, "quorums meet"),
        ("find", ABOVE, "quorums meet"),
        ("stamp", ABOVE, "the highest answer is no lower"),
        ("stamp", ABOVE, "a step: stamp"),
        ("stamp", ABOVE, "what replied is held by enough"),
        ("find", ABOVE, "what replied is held by enough"),
        ("hear", "the highest answer is no lower", "they answer with it, or more"),
        ("hear", "the highest answer is no lower", "a step: hear"),
        ("answer", "they answer with it, or more", "they go on holding it"),
        ("begin", "they answer with it, or more", "who has not begun heard nothing"),
        ("begin", "they go on holding it", "those hold what is settled"),
        ("begin", "what replied before is below", "what replied is settled"),
        ("count", "who is counted holds the version", "what was told is held"),
        ("count", "who is counted holds the version", "a step: count"),
        ("reply", "those hold what is settled", "who is counted holds the version"),
        ("reply", "what replied is held by enough", "a step: reply"),
        ("stamp", "who is counted holds the version", "who has no version counted nobody"),
        ("stamp", "a version is of one write", "a step: stamp"),
        ("apply", "every version was stamped", "a step: apply"),
        ("forget", "who has no version counted nobody", "nobody"),
    ],
)
def test_without_what_a_step_rests_on_the_invariant_is_lost(kind: str, clause: str, given: str) -> None:
    assert judge(without(kept(kind, clause), given)).judgement is Judgement.REFUTED


def test_breaking_the_intersection_in_place_fails_the_theorem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rules, "meet", lambda self, readers, holders: z3.BoolVal(True))
    broken = [item.obligation for item in prove(ALL[KEPT]).findings if item.judgement is Judgement.REFUTED]
    assert broken == [f"find: {ABOVE}", f"stamp: {ABOVE}"]


def test_replicas_that_take_older_versions_break_the_invariant(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that takes what comes last, not what is newest."""
    right = Rules.step

    def wrong(self: Rules, kind: str, s: State, e: Event) -> Step:
        step = right(self, kind, s, e)
        if kind != "apply":
            return step
        after = replace(step.after, durable=z3.Store(s.durable, e.replica, e.version))
        return Step(step.possible, after)

    monkeypatch.setattr(Rules, "step", wrong)
    assert judge(kept("apply", "those hold what is settled")).judgement is Judgement.REFUTED


def test_an_assumption_too_many_is_noticed() -> None:
    given = kept("stamp", ABOVE)
    never = {"and it does not happen": z3.Not(given.assumptions["a step: stamp"])}
    assert judge(with_(given, never)).judgement is Judgement.VACUOUS


def test_writes_need_not_meet_writes() -> None:
    """2W > N is no assumption: the case without it is reached, and proved."""
    name = "quorum.write_quorum_meets_read_quorum"
    given = obligation(name, "they share one")
    apart = {"2W <= N": 2 * quorum_counting.write <= quorum_counting.replicas}
    assert judge(with_(given, apart)).judgement is Judgement.PROVED


# --- numbers, once more by hand ---------------------------------------------------------------------------


def value(formula: Formula, **numbers: int) -> bool:
    names: list[tuple[Term, Term]] = [(z3.Int(name), z3.IntVal(number)) for name, number in numbers.items()]
    return bool(z3.is_true(z3.simplify(z3.substitute(formula, *names))))


@pytest.mark.parametrize(
    ("w", "first", "r", "second", "meet"),
    [
        (2, {0, 1, 2}, 2, {0, 1, 2}, True),
        (2, {0, 1, 2}, 2, {1, 2, 3}, False),
        (3, {0, 1, 2}, 2, {1, 2, 3}, True),
        (3, {0, 1, 2}, 1, {0, 1, 2, 3}, False),
        (2, {0, 1}, 3, {0, 1, 2, 3}, True),
        (1, {0}, 1, {1}, False),
    ],
)
def test_the_condition_is_that_of_small_sets(
    w: int, first: set[int], r: int, second: set[int], meet: bool
) -> None:
    sizes = {"left": len(first - second), "common": len(first & second), "right": len(second - first)}
    q, c = quorum_settings, quorum_counting
    condition = q.always_meet(c.write, c.read, q.left, q.common, q.right)
    assert value(condition, write=w, read=r, **sizes) is meet
    assert meet is all(set(a) & set(b) for a in combinations(first, w) for b in combinations(second, r))


# --- wrong rules ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", REFUTATIONS)
def test_a_wrong_rule_breaks_the_proof(name: str) -> None:
    (broken,) = REFUTATIONS[name].fails().obligations()
    assert broken.name == REFUTATIONS[name].breaks
    assert judge(broken).judgement is Judgement.REFUTED


def test_an_obligation_that_does_not_exist_is_not_broken() -> None:
    with pytest.raises(LookupError, match="has no obligation 'stamp: nothing'"):
        replace(REFUTATIONS["one_round"], breaks="stamp: nothing").fails().obligations()


@pytest.mark.parametrize("name", REFUTATIONS)
def test_a_wrong_rule_breaks_the_promise_in_a_run(name: str) -> None:
    found = REFUTATIONS[name].find()
    assert isinstance(found, FoundStory)
    n, w, r = found.sizes
    assert (w + r > n) is (name != "disjoint_quorums")
    assert found.version <= found.settled
    last = found.steps[-1]
    assert (last.kind, found.version < found.settled) in (("find", True), ("stamp", True), ("stamp", False))


def with_the_right_rule(refutation: WrongRule) -> WrongRule:
    return replace(refutation, rules=lambda now, later, seen: RightRules(now))


class RightRules(Rules):
    """The right rules, which know of no lost disk and no undoing: those steps do nothing."""

    def step(self, kind: str, s: State, e: Event) -> Step:
        if kind in KINDS:
            return Rules.step(self, kind, s, e)
        return Step(z3.BoolVal(True), s)


@pytest.mark.parametrize("name", [name for name in REFUTATIONS if name != "disjoint_quorums"])
def test_the_right_rule_breaks_nothing_in_the_same_run(name: str) -> None:
    assert with_the_right_rule(REFUTATIONS[name]).find() is None


def test_the_right_rules_let_a_write_and_a_read_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps are not so narrow that nothing ever happens: a whole history is possible."""

    def reads_what_was_written(s: State, op: Term) -> Formula:
        found, start = z3.Select(s.version, op), z3.Select(s.start, op)
        return z3.And(z3.Select(s.done, op), found == start, found > 0)

    monkeypatch.setattr(quorum_refutations, "_too_low", reads_what_was_written)
    hears, holds = "answer {0}, hear {0}", "apply {0}, count {0}"
    write = f"begin 0, {hears}, {hears}, stamp 0, {holds}, {holds}, reply 0".format(0)
    read = f"begin 1, {hears}, forget 1, {hears}, {hears}, find 1, {holds}, count 1, reply 1".format(1)
    story = quorum_refutations.Scenario((True, False), f"{write}, {read}", z3.BoolVal(True))
    rules = Rules(SIZES.now)
    found = quorum_refutations.search(story, rules, z3.And(SIZES.sound(), SIZES.n == 3, SIZES.w == 2))
    assert found is not None
    assert found.sizes[:2] == (3, 2)


def test_quorums_that_meet_break_nothing_in_the_run_of_those_that_do_not() -> None:
    anything = replace(
        REFUTATIONS["disjoint_quorums"],
        scenario=replace(REFUTATIONS["disjoint_quorums"].scenario, sizes=z3.BoolVal(True)),
    )
    assert anything.find() is not None
    assert anything.find(SIZES.sound()) is None


def test_answers_that_agree_are_enough_where_two_reads_meet() -> None:
    """2R > N: a read quorum that holds a version is seen by every read, as a write quorum is."""
    q = any_quorums()
    either = Quorums(q.reads, lambda held: z3.Or(q.holds(held), q.reads(held)))

    class TwoReadsMeet(WritesBackOnlyWhenAnswersDisagree):
        def may_reply(self, s: State, e: Event) -> Formula:
            return WritesBackOnlyWhenAnswersDisagree(q).may_reply(s, e)

    clauses = [item for item in CLAUSES if item.name == "what replied is held by enough"]
    (right,), (wrong,) = (keeps(TwoReadsMeet(item), "reply", clauses) for item in (either, q))
    assert judge(right).judgement is Judgement.PROVED
    assert judge(wrong).judgement is Judgement.REFUTED


def test_answers_that_agree_break_nothing_where_two_reads_meet() -> None:
    refutation = REFUTATIONS["write_back_when_answers_disagree"]
    anything = replace(refutation.scenario, sizes=z3.BoolVal(True))
    free = replace(refutation, scenario=anything)
    assert free.find(z3.And(SIZES.sound(), 2 * SIZES.r <= SIZES.n)) is not None
    assert free.find(z3.And(SIZES.sound(), 2 * SIZES.r > SIZES.n)) is None


def test_the_shortcut_breaks_nothing_where_it_is_as_large_as_a_write_quorum() -> None:
    refutation = REFUTATIONS["settled_at_hitting_set"]
    anything = replace(refutation.scenario, sizes=SIZES.w == SIZES.n)
    free = replace(refutation, scenario=anything)
    assert free.find(z3.And(SIZES.sound(), SIZES.w + SIZES.r > SIZES.n + 1)) is not None
    assert free.find(z3.And(SIZES.sound(), SIZES.w + SIZES.r == SIZES.n + 1)) is None


# --- lost disks -------------------------------------------------------------------------------------------

VOTES = "who is counted and has a vote holds it"
OLD = "or his acknowledgement is known as old"
OUTLIVES = "quorum.what_replied_outlives_lost_disks"


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (f"recover: {OLD}", "a recovery set meets those counted"),
        (f"recover: {OLD}", "those counted are enough"),
        (f"recover: {OLD}", "who was told, was told of it, or is known as new"),
        (f"recover: {VOTES}", "who acknowledged and kept his disk holds it"),
        (f"recover: {OLD}", "a step: recover"),
        ("tell: who was told, was told of it, or is known as new", VOTES),
        (f"lose: {OLD}", "who told knows the incarnation"),
        ("learn: who told knows the incarnation", "a step: learn"),
    ],
)
def test_without_what_it_rests_on_a_lost_disk_loses_a_write(name: str, given: str) -> None:
    weaker = without(obligation("quorum.losses_invariant_is_kept", name), given)
    assert judge(weaker).judgement is Judgement.REFUTED


@pytest.mark.parametrize(
    "given",
    [
        "who answers has a vote",
        "no acknowledgement is known as old",
        "all those counted acknowledged",
        "those counted are enough",
        "quorums meet",
        VOTES,
        OLD,
    ],
)
def test_without_each_rule_a_read_misses_what_replied(given: str) -> None:
    weaker = without(obligation(OUTLIVES, "one who answers holds it"), given)
    assert judge(weaker).judgement is Judgement.REFUTED


def test_who_tells_must_remember(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the memory of incarnations (QUORUM.R14) the old acknowledgement is not known as old."""
    right = LOSS_STEPS["tell"]

    def forgets(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
        step = right(rules, s, x, y)
        return replace(step, after=replace(step.after, knows=s.knows))

    monkeypatch.setitem(LOSS_STEPS, "tell", forgets)
    broken = {item.obligation for item in prove(ALL["quorum.losses_invariant_is_kept"]).findings if item.why}
    assert "tell: who told knows the incarnation" in broken


def test_the_catalog_must_tell_the_incarnations(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that lost its disk lost its memory of the others' incarnations, too."""
    right = LOSS_STEPS["lose"]

    def alone(rules: LossRules, s: Disks, x: Term, y: Term) -> LossStep:
        step = right(rules, s, x, y)
        blank = z3.Const("blank", step.after.incarnation.sort())
        return replace(step, after=replace(step.after, knows=z3.Store(s.knows, x, blank)))

    monkeypatch.setitem(LOSS_STEPS, "lose", alone)
    broken = {item.obligation for item in prove(ALL["quorum.losses_invariant_is_kept"]).findings if item.why}
    assert f"lose: {OLD}" in broken


@pytest.mark.parametrize("refutation", LOSSES.values(), ids=list(LOSSES))
def test_a_wrong_rule_for_lost_disks_is_refuted(refutation: WrongLossRule) -> None:
    (broken,) = refutation.fails().obligations()
    assert broken.name == refutation.breaks
    assert judge(broken).judgement is Judgement.REFUTED
    found = refutation.find()
    assert isinstance(found, FoundLoss)
    assert ("lose", found.without) in [(kind, replica) for kind, replica, _ in found.steps]
    assert found.sizes == (3, 2, 2)
    right = replace(refutation, rules=lambda rules: rules)
    assert right.find() is None


def test_a_theorem_of_other_rules_can_be_stated() -> None:
    mine = [item.id for module in (quorum_invariant, quorum_order) for item in module.theorems(RULES)]
    assert set(mine) <= set(ALL)
    names = [item.id for item in quorum.refutations()]
    assert names == [f"quorum.{name}" for name in (*REFUTATIONS, *LOSSES)]
