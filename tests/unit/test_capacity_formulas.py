"""The arithmetic of sizing, against figures done by hand and against queues that are played step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scratchbird_check.capacity import formulas
from scratchbird_check.capacity.answers import Cluster, Hints
from scratchbird_check.errors import UsageError

DAY_S = 86_400
counts = st.integers(1, 12)


def play(writes: int, outage: int, limit: int, expiry: int, ongoing: int) -> tuple[int, int, int | None]:
    """A queue of hints, second by second: hints that expired, greatest age at delivery, seconds to drain.

    A hint's age is counted from the end of the second in which it was made. It may be delivered at the age of
    the expiry, not beyond.
    """
    queue: deque[int] = deque()
    expired = oldest = 0
    for second in range(1, outage + 1):
        queue.extend([second] * writes)
    for second in range(outage + 1, outage + 2_000):
        while queue and second - queue[0] > expiry:
            expired += queue.popleft() <= outage
        for _ in range(min(limit, len(queue))):
            made = queue.popleft()
            if made <= outage:
                oldest = max(oldest, second - made)
        queue.extend([second] * ongoing)
        if len(queue) <= ongoing and limit > ongoing:
            return expired, oldest, second - outage
    return expired, oldest, None


# --- hints ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outage_s", "hints", "took_s"),
    [(600, 30_000_000, 30_000), (10_800, 540_000_000, 540_000), (7 * DAY_S, 30_240_000_000, 30_240_000)],
)
def test_the_outages_of_the_published_limit(outage_s: int, hints: int, took_s: int) -> None:
    assert formulas.backlog_hints(50_000, outage_s) == hints
    assert formulas.drain_s(hints, 1_000) == took_s
    assert formulas.drain_s(hints, 1_000, 50_000) is None


def test_at_the_limit_nothing_is_ever_drained() -> None:
    assert formulas.drain_s(1, 1_000, 1_000) is None
    assert formulas.drain_s(1, 1_000, 999) == 1
    assert formulas.drain_s(0, 1_000) == 0


def test_the_longest_outage_that_hints_carry() -> None:
    assert formulas.longest_outage_s(50_000, 1_000, 7 * DAY_S) == 3 * 3_600 + 21 * 60 + 36
    assert formulas.longest_outage_s(500, 1_000, 7 * DAY_S) == 7 * DAY_S


@given(writes=counts, outage=counts, limit=counts, expiry=counts)
def test_what_expires_is_what_a_queue_loses(writes: int, outage: int, limit: int, expiry: int) -> None:
    expired, _, _ = play(writes, outage, limit, expiry, 0)
    # Whole seconds against a continuous rate: they differ by what is made in one second.
    assert abs(formulas.expired_hints(writes, outage, limit, expiry) - expired) <= writes + limit


@given(writes=counts, outage=counts, limit=counts, ongoing=counts)
def test_draining_takes_as_long_as_a_queue_does(writes: int, outage: int, limit: int, ongoing: int) -> None:
    expected = formulas.drain_s(writes * outage, limit, ongoing)
    _, oldest, took = play(writes, outage, limit, 10**6, ongoing)
    assert (took is None) == (expected is None)
    if took is not None and expected is not None:
        assert expected - ongoing - 1 <= took <= expected + 1
    assert abs(formulas.oldest_at_delivery_s(writes, outage, limit) - oldest) <= 1


@given(writes=counts, outage=st.fractions(Fraction(1, 9), 50), limit=counts, expiry=st.fractions(1, 50))
def test_none_expires_up_to_the_longest_outage_and_some_past_it(
    writes: int, outage: Fraction, limit: int, expiry: Fraction
) -> None:
    longest = formulas.longest_outage_s(writes, limit, expiry)
    lost = formulas.expired_hints(writes, outage, limit, expiry)
    if outage <= longest:
        assert lost == 0
        assert formulas.oldest_at_delivery_s(writes, outage, limit) <= expiry
    else:
        assert formulas.oldest_at_delivery_s(writes, outage, limit) > expiry
        assert lost >= writes * (outage - longest) - 1


def test_a_limit_that_is_needed() -> None:
    assert formulas.limit_needed_per_s(540_000_000, 7 * DAY_S) == 893
    assert formulas.limit_needed_per_s(540_000_000, 7 * DAY_S, 50_000) == 50_893
    assert formulas.limit_needed_per_s(0, 1) == 1


@given(hints=st.integers(0, 10**12), within=st.integers(1, 10**6), ongoing=st.integers(0, 10**6))
def test_the_limit_that_is_needed_is_the_least(hints: int, within: int, ongoing: int) -> None:
    limit = formulas.limit_needed_per_s(hints, within, ongoing)
    took = formulas.drain_s(hints, limit, ongoing)
    assert took is None or took <= within
    if limit > 1:
        less = formulas.drain_s(hints, limit - 1, ongoing)
        assert less is None or less > within


def test_an_outage_fills_the_room() -> None:
    assert formulas.outage_that_fills_s(10_000_000, 50_000, 500) == Fraction(2, 5)


@given(limit=st.integers(1, 10**6), parts=st.integers(1, 10**6))
def test_a_share_is_never_nothing_and_shares_add_up(limit: int, parts: int) -> None:
    share = formulas.share_per_s(limit, parts)
    assert share > 0
    assert share * parts == limit
    assert formulas.rounded_share_per_s(limit, parts) <= share


def test_integer_division_makes_nothing_of_a_small_share() -> None:
    assert formulas.rounded_share_per_s(1_000, 4_096) == 0
    assert 1 / formulas.share_per_s(1_000, 4_096) == Fraction("4.096")


# --- anti-entropy -----------------------------------------------------------------------------------------


def test_an_exchange_of_all_rows_moves_each_with_two_hashes() -> None:
    assert formulas.exchange_bytes(1_000, 1_000, 500) == 1_000 * (500 + 64)
    assert formulas.exchange_bytes(0, 1_000, 500) == 0
    # One of 1,024 rows: the root and ten levels below it, each with both children's hashes.
    assert formulas.exchange_bytes(1, 1_024, 500) == 500 + 64 * 11


@given(differing=st.integers(1, 60), rows=st.integers(1, 64), data=st.data())
def test_no_tree_walk_compares_more_than_the_bound(differing: int, rows: int, data: st.DataObject) -> None:
    differing = min(differing, rows)
    chosen = data.draw(st.sets(st.integers(0, rows - 1), min_size=differing, max_size=differing))

    def compared(first: int, last: int) -> int:
        """Hashes that are compared below a node over the leaves from first up to last."""
        if last - first < 2 or not any(first <= leaf < last for leaf in chosen):
            return 0
        middle = (first + last + 1) // 2
        return 2 + compared(first, middle) + compared(middle, last)

    assert 32 * compared(0, rows) <= formulas.exchange_bytes(differing, rows, 0)


def test_more_than_all_rows_can_not_differ() -> None:
    with pytest.raises(UsageError, match="2 of 1 rows differ"):
        formulas.exchange_bytes(2, 1, 500)


def test_a_row_that_is_overwritten_is_moved_once() -> None:
    assert formulas.repair_s(10**9, 1_000, 436, 500_000, 60) == 61
    assert formulas.repair_s(10**9, None, 436, 500_000, 60) == 60 + 10**6


@given(
    writes=st.integers(1, 10**5),
    limit=st.integers(1, 10**5),
    rows=st.none() | st.integers(1, 10**9),
    bandwidth=st.integers(10**3, 10**9),
    interval=st.integers(0, 600),
)
def test_anti_entropy_is_sooner_from_there_on_and_not_before(
    writes: int, limit: int, rows: int | None, bandwidth: int, interval: int
) -> None:
    found = formulas.faster_from_s(writes, limit, rows, 500, bandwidth, interval)

    def sooner(missed: int) -> bool:
        return formulas.repair_s(missed, rows, 500, bandwidth, interval) < Fraction(missed) / limit

    if found is None:
        assert not any(sooner(10**power) for power in range(18))
        return
    first = found * writes
    assert first.denominator == 1
    assert sooner(int(first))
    assert sooner(10 * int(first))
    assert first == 1 or not sooner(int(first) - 1)


def test_anti_entropy_is_sooner_after_a_second_at_the_published_rates() -> None:
    found = formulas.faster_from_s(50_000, 1_000, None, 500, 25_000_000, 60)
    assert found is not None
    assert round(float(found), 3) == 1.228
    assert formulas.faster_from_s(50_000, 10**9, None, 500, 25_000_000, 60) is None


# --- forests and clusters ---------------------------------------------------------------------------------


def test_a_forest_of_a_million_rows() -> None:
    assert formulas.forest_bytes(10**6, 720, 48, 48) == 48_034_560
    assert formulas.forest_bytes(10**6, 0, 56, 48) == 56_000_000
    assert formulas.windows_kept(30 * DAY_S, 3_600) == 720
    assert formulas.windows_kept(30 * DAY_S, 4 * 3_600) == 180
    assert formulas.active_rows(50_000, 3_600, 600) == 210_000_000


def test_whole_shards_are_placed() -> None:
    assert formulas.shards_on_fullest_node(64, 3, 10) == 20
    assert formulas.rows_on_fullest_node(64_000_000, 64, 3, 10) == 20_000_000
    assert formulas.shards_on_fullest_node(16, 3, 3) == 16
    with pytest.raises(UsageError, match="3 replicas on 2 nodes"):
        formulas.shards_on_fullest_node(1, 3, 2)


@given(nodes=st.integers(1, 50), factor=st.integers(1, 7), rows=st.integers(1, 10**9))
def test_the_nodes_together_hold_every_copy(nodes: int, factor: int, rows: int) -> None:
    factor = min(factor, nodes)
    cluster = Cluster(nodes, factor, rows, 500)
    assert cluster.rows_on_node * nodes >= cluster.row_copies > (cluster.rows_on_node - 1) * nodes
    assert cluster.rows_on_node <= rows
    assert (cluster.rows_after_loss is None) == (nodes == factor)
    assert cluster.disk_bytes == 2 * cluster.data_bytes


def test_a_cluster_keeps_the_hints_of_one_node_that_is_down() -> None:
    cluster = Cluster(9, 3, 10**9, 500, writes_per_s=50_000)
    # A third of the writes are missed for three hours, and eight nodes keep their hints.
    assert cluster.hint_log_bytes == 180_000_000 // 8 * 500
    assert cluster.active_rows == 50_000 * 4_200 // 3
    assert Cluster(1, 1, 10, 500, writes_per_s=5).hint_log_bytes == 0
    assert Cluster(3, 3, 10, 500, writes_per_s=50_000).active_rows == 10
    busy = Cluster(10, 3, 64_000_000_000, 500, shards=64, writes_per_s=64_000)
    assert busy.active_rows == 20 * 1_000 * 4_200
    assert busy.windows_on_node == 20 * 720


def test_hints_are_spread_over_coordinators() -> None:
    item = Hints(Fraction(10), 100, coordinators=3, room_bytes=167_000)
    assert (item.hints_each, item.bytes_each) == (334, 167_000)
    assert item.fits
    assert item.room_filled_s == Fraction(501_000, 50_000)
    assert item.must_give_up_s == item.room_filled_s
    assert not Hints(Fraction(10), 100, coordinators=3, room_bytes=166_999).fits


def test_a_limit_helps_no_hint_that_expired_during_the_outage() -> None:
    item = Hints(Fraction(8 * DAY_S), 10)
    assert item.limit_needed_per_s is None
    assert item.expired_hints == 10 * DAY_S


# --- what makes no sense ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: formulas.backlog_hints(-1, 1), "writes_per_s is -1: at least 0 is expected"),
        (lambda: formulas.drain_s(1, 0), "limit_per_s is 0: more than 0 is expected"),
        (lambda: formulas.share_per_s(1_000, 0), "parts is 0: at least 1 is expected"),
        (lambda: formulas.share_per_s(0, 1), "limit_per_s is 0"),
        (lambda: formulas.transfer_s(1, 0), "bandwidth_bytes_per_s is 0"),
        (lambda: formulas.limit_needed_per_s(1, 0), "within_s is 0"),
        (lambda: formulas.row_copies(1, 0), "factor is 0"),
        (lambda: formulas.disk_bytes(1, 1, -1), "headroom_percent is -1"),
        (lambda: formulas.windows_kept(1, 0), "window_s is 0"),
    ],
)
def test_what_makes_no_sense_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
