"""Two healthy replicas that hold the same, and two wrong rules by which they look different.

Replicas of the reference exchange under the wrong rule and under ours; what the same costs among a million
rows is counted (:mod:`scratchbird_check.machines.merkle_forest_costs`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from scratchbird_check.context import Context
from scratchbird_check.machines import merkle_forest_costs as costs
from scratchbird_check.machines.merkle_forest_pair import GRACE_MS, SHAPE, Pair, at, pair_of
from scratchbird_check.machines.merkle_forest_shapes import Told, story
from scratchbird_check.manifest import Check
from scratchbird_check.variants.merkle_forest import ComparesAcrossSettings, LeavesAtOnce
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_reference import merkle_forest_exchange as exchanges
from scratchbird_reference import merkle_forest_messages as messages
from scratchbird_reference import merkle_forest_replica as forests
from scratchbird_reference.merkle_forest import Rules

ROWS, STABLE_MS = 120, 1_000
"""Of the replicas that are played. Versions are made in the last ten windows before the stable time."""


@dataclass(frozen=True, slots=True)
class Played:
    """An exchange of two replicas.

    :ivar windows: in which they differed when it began.
    :ivar moved: rows, both directions together, also if it failed.
    :ivar reason: why it failed; empty if it succeeded.
    """

    windows: int
    moved: int
    reason: str = ""


def equal_pair(rules: Rules) -> Pair:
    """Two replicas that hold the same rows, and show them all."""
    both = pair_of(rules, STABLE_MS)
    for row in range(ROWS):
        for run in (both.one, both.two):
            run.write(row, at(STABLE_MS - 1 - row * 7 % 100, row + 1))
    both.two(forests.Advance(at(STABLE_MS)))
    for run in (both.one, both.two):
        run.clean()
    return both


def exchange(both: Pair) -> Played:
    """One exchange, driven by the first."""
    for run in (both.one, both.two):
        run.clean()
    mine, theirs = dict(both.one.state.forest.told), dict(both.two.state.forest.told)
    windows = sum(mine.get(window) != theirs.get(window) for window in mine.keys() | theirs.keys())
    moved = 0
    effect = both.begin()
    while isinstance(effect, exchanges.Ask):
        reply = both.answer(effect.question)
        if isinstance(reply, messages.Rows):
            moved += len(reply.rows)
        if isinstance(effect.question, messages.Give):
            moved += sum(held is not None for _, held in effect.question.given)
        effect = both.drive(exchanges.Deliver(reply))
    assert effect is not None
    return Played(windows, moved, effect.reason if isinstance(effect, exchanges.Failed) else "")


# --- rows leave at once -------------------------------------------------------------------------------------


def overwrites_under_way(rules: Rules, count: int) -> Played:
    """So many rows are overwritten, half of them here, half of them there; no write has arrived at both."""
    both = equal_pair(rules)
    for row in range(count):
        run = (both.one, both.two)[row % 2]
        run.write(row, at(STABLE_MS + 50, 1_000 + row))
    return exchange(both)


def run_leaves(check: Check, context: Context) -> Outcome:
    """Two healthy replicas under load: how many windows differ, and what an exchange moves for nothing."""
    rate, behind_ms = check.options["overwrites_per_s"], check.options["behind_ms"]
    count = rate * behind_ms // 1_000
    wrong, right = overwrites_under_way(LeavesAtOnce(), count), overwrites_under_way(Rules(), count)
    among = costs.forest()
    differ = costs.taken_out(among, count)
    cost = costs.ours(among, differ)
    figures = {"in_flight": count, "windows": len(differ), "rows": cost.rows, "bytes": cost.size}
    pinned = {name: check.options[name] for name in ("windows", "rows", "bytes")}
    as_played = wrong.windows > 0 and wrong.moved == cost.rows and right == Played(0, 0)
    if not as_played or any(figures[name] != value for name, value in pinned.items()):
        why = f"played: {wrong}, under our rule {right}; counted: {figures}, pinned: {pinned}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures)
    detail = (
        f"{rate:,} overwrites/s, {behind_ms} ms from one replica to the other: {count} rows are under way, "
        f"{len(differ)} of {costs.WINDOWS} windows differ, and each exchange tells {cost.size:,} bytes and "
        f"moves {cost.rows} rows of which none is missing; under our rule no window differs"
    )
    told = (
        Told("one", "shows row r in the window of 1 o'clock, and so does two"),
        Told("one", "is sent a write of r at 9 o'clock, and takes r out of that window at once"),
        Told("two", "has not got that write yet: it is under way"),
        Told("two", "tells the digest of the window of 1 o'clock", sends=True),
        Told("one", "finds another one: nothing is missing, and it looks diverged", hears="digest", since=4),
        Told(
            "one",
            f"finds as much in the next exchange: at {rate:,} overwrites/s some {count} rows are under way "
            "at any moment, and the two are never equal",
            wrong=True,
        ),
    )
    trace = story(
        "A row leaves its window before its next version is shown (leaves_at_once)", told, detail, "MRK-7"
    )
    return Outcome(check.id, Verdict.REFUTED, detail, check.properties, figures=figures, counterexample=trace)


# --- another setting ----------------------------------------------------------------------------------------


def restarted(rules: Rules, restarts: Callable[[Pair], None]) -> tuple[Pair, list[Played]]:
    """Two replicas that hold the same, one of them restarted with another setting; and two exchanges."""
    both = equal_pair(rules)
    restarts(both)
    return both, [exchange(both), exchange(both)]


def with_longer_windows(both: Pair) -> None:
    """The second replica has windows of twice the length from now on."""
    both.two(forests.Reshape(replace(SHAPE, number=1, window_ms=2 * SHAPE.window_ms)))


def with_longer_grace(both: Pair) -> None:
    """The second replica has a grace of ten times the length from now on."""
    state = both.two.state
    both.two.state = replace(state, forest=replace(state.forest, grace_ms=10 * GRACE_MS))


def run_settings(check: Check, context: Context) -> Outcome:
    """A rolling restart with another length of the windows, and one with another grace."""
    rows, windows = check.options["rows"], check.options["windows"]
    _, wrong = restarted(ComparesAcrossSettings(), with_longer_windows)
    both, right = restarted(Rules(), with_longer_windows)
    both.one(forests.Reshape(both.two.state.forest.shape))
    after = exchange(both)
    graced, grace = restarted(Rules(), with_longer_grace)
    sealed = [
        sum(run.forests.is_sealed(run.state, window) for window, _ in run.state.forest.told)
        for run in (graced.one, graced.two)
    ]
    among = costs.forest(rows, windows // 2)
    cost = costs.ours(among, costs.missing(among, rows))
    # Those of the side that drives are given: nothing is told of them but each row's entry and its name.
    size = cost.size + windows * costs.ASKED_BYTES + rows * (costs.ENTRY_BYTES + costs.NAMED_BYTES)
    figures = {
        "played_rows": ROWS,
        "played_moved": wrong[0].moved,
        "moved": 2 * cost.rows,
        "bytes": size,
        "sealed_here": sealed[0],
        "sealed_there": sealed[1],
    }
    moves_all = all(played.moved == 2 * ROWS and not played.reason for played in wrong)
    refuses = all(played.moved == 0 and "is not" in played.reason for played in right)
    is_well = after == Played(0, 0) and grace == [Played(0, 0)] * 2 and sealed[0] != sealed[1]
    pinned = {name: check.options[name] for name in ("moved", "bytes")}
    if not (moves_all and refuses and is_well) or any(
        figures[name] != value for name, value in pinned.items()
    ):
        why = (
            f"across settings: {wrong}; refused: {right}, and when both have it: {after}; another grace: "
            f"{grace}; counted: {figures}, pinned: {pinned}"
        )
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures)
    detail = (
        f"the same {rows:,} rows in {windows} windows of 1 h and in {windows // 2} of 2 h have no window in "
        f"common: every exchange moves {2 * cost.rows:,} rows for nothing, and tells {size:,} bytes; by our "
        "rule it is refused, until both have the new setting. Another grace changes nothing: "
        f"{sealed[0]} windows sealed here, {sealed[1]} there, no row moved"
    )
    told = (
        Told("one", f"shows {rows:,} rows in windows of 1 h"),
        Told("two", f"shows the same {rows:,} rows"),
        Told("two", "is restarted with windows of 2 h, as the first of a rolling restart"),
        Told("two", "tells its windows: their numbers are half of what they were", sends=True),
        Told(
            "one",
            "finds none of its own among them: all rows seem to be missing at both",
            hears="windows",
            since=4,
        ),
        Told("two", f"and one send each other all rows they have: {2 * cost.rows:,}", hears="rows", since=5),
        Told("one", "holds what it held, and finds the same difference in the next exchange", wrong=True),
    )
    trace = story("Two lengths of windows are compared (compares_across_settings)", told, detail, "MRK-12")
    return Outcome(check.id, Verdict.REFUTED, detail, check.properties, figures=figures, counterexample=trace)
