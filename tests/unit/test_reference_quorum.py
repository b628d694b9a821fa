"""The rules of quorums: settings, the order of versions, settings side by side, and the barrier."""

from __future__ import annotations

from itertools import combinations, product

import pytest

from scratchbird_reference.errors import CallerError, ConfigurationError
from scratchbird_reference.quorum import Rules, always_meet, compatible, joint
from scratchbird_reference.quorum_messages import (
    Held,
    Mode,
    Setting,
    check_value,
    check_version,
    incarnation_of,
    newest,
)

EVENTUAL = Mode.EVENTUAL


def setting(size: int, write: int, read: int, mode: Mode = EVENTUAL, epoch: int = 0) -> Setting:
    return Setting(tuple(range(size)), write, read, mode, epoch)


# --- settings ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "write", "read", "mode", "epoch", "message"),
    [
        ((), 1, 1, EVENTUAL, 0, "0 replicas: name 1 to 255"),
        (tuple(range(256)), 1, 1, EVENTUAL, 0, "256 replicas: name 1 to 255"),
        ((0, 1, 1), 2, 2, EVENTUAL, 0, "replica 1 is named 2 times"),
        ((0, -1), 2, 2, EVENTUAL, 0, "replica id -1: it must be a whole number, at least 0"),
        ((0, 1, 2), 0, 2, EVENTUAL, 0, "write_quorum 0: it must be a whole number, at least 1"),
        ((0, 1, 2), 4, 2, EVENTUAL, 0, "write_quorum is 4 of 3 replicas: no operation could succeed"),
        ((0, 1, 2), 2, 4, EVENTUAL, 0, "read_quorum is 4 of 3 replicas"),
        ((0, 1, 2), 2, True, EVENTUAL, 0, "read_quorum True: it must be a whole number"),
        ((0, 1, 2), 2, 2, EVENTUAL, -1, "epoch -1: it must be a whole number, at least 0"),
        ((0, 1, 2), 1, 2, Mode.LINEARIZABLE, 0, r"write_quorum 1 \+ read_quorum 2 is not more than 3"),
    ],
)
def test_a_setting_that_can_not_work_is_refused(
    replicas: tuple[int, ...], write: int, read: int, mode: Mode, epoch: int, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Setting(replicas, write, read, mode, epoch)


@pytest.mark.parametrize("size", range(1, 8))
def test_a_linearizable_setting_is_refused_exactly_where_quorums_can_miss_each_other(size: int) -> None:
    for write, read in product(range(1, size + 1), repeat=2):
        miss = any(
            not set(a) & set(b)
            for a in combinations(range(size), write)
            for b in combinations(range(size), read)
        )
        if miss:
            with pytest.raises(ConfigurationError):
                setting(size, write, read, Mode.LINEARIZABLE)
        else:
            assert setting(size, write, read, Mode.LINEARIZABLE).size == size


# --- order ------------------------------------------------------------------------------------------------


def test_the_greater_version_wins_then_the_delete_then_the_greater_bytes() -> None:
    held = [Held(), Held(1, b""), Held(1, b"a"), Held(1, b"b"), Held(1), Held(2, b"a")]
    rules = Rules()
    for (i, old), (j, new) in product(enumerate(held), repeat=2):
        assert rules.supersedes(new, old) == (j > i)


def test_values_and_versions_are_checked() -> None:
    check_value(b"x")
    check_value(None)
    check_version(1)
    with pytest.raises(CallerError, match="'x' is neither bytes nor None"):
        check_value("x")
    with pytest.raises(CallerError, match="version 0 is out of range"):
        check_version(0)


def test_the_highest_incarnation_of_each_replica_is_remembered() -> None:
    assert newest(((0, 1), (2, 5)), ((0, 3), (1, 1)), ((2, 4),)) == ((0, 3), (1, 1), (2, 5))
    assert incarnation_of(2, ((0, 3), (2, 5))) == 5
    assert incarnation_of(9, ((0, 3),)) == 0


# --- settings side by side --------------------------------------------------------------------------------


def by_trial(write: Setting, read: Setting) -> bool:
    """Whether all quorums meet, by looking at all of them."""
    return all(
        set(a) & set(b)
        for a in combinations(write.replicas, write.write_quorum)
        for b in combinations(read.replicas, read.read_quorum)
    )


def test_the_formula_is_exact_also_for_replica_sets_that_differ() -> None:
    sets = [(0, 1, 2), (0, 1, 2, 3), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0,)]
    seen = set()
    for ours, theirs in product(sets, repeat=2):
        for write, read in product(range(1, len(ours) + 1), range(1, len(theirs) + 1)):
            one, other = Setting(ours, write, 1, EVENTUAL), Setting(theirs, 1, read, EVENTUAL)
            assert always_meet(one, other) == by_trial(one, other)
            seen.add(always_meet(one, other))
    assert seen == {True, False}


def test_with_one_replica_set_the_least_quorums_decide() -> None:
    for n in range(1, 6):
        for w, r, v, q in product(range(1, n + 1), repeat=4):
            assert compatible([setting(n, w, r), setting(n, v, q)]) == (min(w, v) + min(r, q) > n)


def test_the_joint_setting_stands_beside_every_pair_that_is_safe_alone() -> None:
    for n in range(1, 6):
        for w, r, v, q in product(range(1, n + 1), repeat=4):
            old, new = setting(n, w, r), setting(n, v, q, epoch=2)
            between = joint(old, new)
            assert (between.epoch, between.mode) == (1, Mode.LINEARIZABLE)
            assert always_meet(old, between), "its reads find what the old setting acknowledged"
            assert always_meet(between, new), "its write-backs are found by the new setting"
            if w + r > n and v + q > n:
                assert compatible([old, between])
                assert compatible([between, new])


def test_there_is_no_joint_setting_across_replica_sets_or_without_an_epoch_for_it() -> None:
    with pytest.raises(ConfigurationError, match="change the replicas in a step of its own"):
        joint(setting(3, 2, 2), setting(4, 3, 2, epoch=2))
    with pytest.raises(ConfigurationError, match="epoch 1 leaves none for the joint setting: after 0 use 2"):
        joint(setting(3, 2, 2), setting(3, 3, 1, epoch=1))
