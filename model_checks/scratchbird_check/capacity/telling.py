"""The answers of ``scratchbird_check capacity``, for people: in a terminal and in the document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from scratchbird_check.capacity import formulas
from scratchbird_check.capacity.answers import RESIDENT_BYTES, Cluster, Hints
from scratchbird_check.capacity.published import OUTAGES_S, Figure, hints

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_YEARS_S = 36_525 * 864
"""365.25 days. From two of them on, days say nothing."""


def time(seconds: Fraction | int) -> str:
    """``6 d 6 h``, ``3 h 21 min 36 s``, ``0.4 s``: up to three units, and the last of them rounded."""
    if seconds >= 2 * _YEARS_S:
        return f"{round(seconds / _YEARS_S):,} years"
    if 0 < seconds < 60:
        return f"{float(seconds):.4g} s"
    first = next((number for number, (unit, _) in enumerate(_UNITS) if seconds >= unit), len(_UNITS) - 1)
    last = _UNITS[min(first + 2, len(_UNITS) - 1)][0]
    left = round(Fraction(seconds) / last) * last
    words = []
    for unit, name in _UNITS:
        count, left = divmod(left, unit)
        if count:
            words.append(f"{count} {name}")
    return " ".join(words) or "0 s"


def size(count: int) -> str:
    """``500 bytes``, ``270 GB``, ``15.12 TB``: decimal units, four digits."""
    for power, name in ((15, "PB"), (12, "TB"), (9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{_digits(Fraction(count, 10**power))} {name}"
    return f"{count} bytes"


def quantity(value: int, unit: str) -> str:
    """A figure of the table with its unit."""
    if unit == "bytes":
        return size(value)
    if unit == "bit/s":
        return f"{_digits(Fraction(value, 10**9))} Gbit/s"
    return f"{value:,} {unit}"


def _digits(value: Fraction) -> str:
    if value >= 1_000:
        return f"{round(value):,}"
    return f"{float(value):.4g}"


def rate(per_s: Fraction) -> str:
    """A share of a limit, which may be less than one a second."""
    if per_s >= 1:
        return f"{_digits(per_s)}/s"
    return f"one every {time(1 / per_s)}"


# --- hints ------------------------------------------------------------------------------------------------


def about_hints(item: Hints, shards: int | None = None) -> Iterator[str]:
    """The whole answer, line by line.

    :param shards: that divide the limit among them, if that is asked.
    """
    yield f"One target is down for {time(item.outage_s)} and misses {item.writes_per_s:,} writes/s."
    each = f"; {item.hints_each:,}, {size(item.bytes_each)} on each of {item.coordinators} coordinators"
    yield _line(
        "backlog",
        f"{item.backlog_hints:,} hints, {size(item.backlog_bytes)}{each if item.coordinators > 1 else ''}",
    )
    if item.room_bytes is not None:
        yield _line(
            "room",
            f"{size(item.room_bytes)} on each coordinator: {'enough' if item.fits else 'too small'}",
        )
    yield from _delivery(item, shards)
    for number, (ongoing, took) in enumerate(item.cases):
        yield _line("" if number else "drained", _case(item, ongoing, took))
    yield _line("expiry", _expiry(item))
    if item.limit_needed_per_s is not None and item.expired_hints:
        yield _line("limit needed", f"{item.limit_needed_per_s:,}/s, if none is to expire")
    yield _line("anti-entropy", _repair(item))
    if item.full_copy_s is not None:
        sooner = ", which is sooner" if item.full_copy_s < item.repair_s else ""
        yield _line("full copy", f"{time(item.full_copy_s)} for all {item.rows:,} rows{sooner}")
    faster = item.faster_from_s
    yield _line("sooner with it", "never" if faster is None else f"from an outage of {time(faster)} on")
    yield _line("hints carry", f"an outage of up to {time(item.must_give_up_s)}; past it some are lost")
    yield _line("better", advice(item))


def _line(name: str, text: str) -> str:
    return f"  {name:18}{text}"


def _delivery(item: Hints, shards: int | None) -> Iterator[str]:
    share = formulas.share_per_s(item.limit_per_s, item.coordinators)
    who = f" by {item.coordinators} coordinators, {rate(share)} each" if item.coordinators > 1 else ""
    bytes_per_s = size(item.limit_per_s * item.hint_bytes)
    yield _line("delivered", f"{item.limit_per_s:,}/s, {bytes_per_s}/s{who}")
    if shards is not None:
        share = formulas.share_per_s(item.limit_per_s, shards)
        rounded = formulas.rounded_share_per_s(item.limit_per_s, shards)
        warning = ", which never drains" if not rounded else ""
        yield _line(
            "a shard's share",
            f"{rate(share)} over {shards:,} shards; integer division makes {rounded}/s of it{warning}",
        )


def _case(item: Hints, ongoing: int, took: Fraction | None) -> str:
    if took is None:
        return (
            f"NEVER, if {ongoing:,} writes/s go on becoming hints: only {item.limit_per_s:,}/s are delivered"
        )
    if not ongoing:
        return f"in {time(took)}, if the target takes new writes itself"
    return f"in {time(took)}, if {ongoing:,} writes/s go on becoming hints"


def _expiry(item: Hints) -> str:
    expiry = time(item.expiry_s)
    if not item.expired_hints:
        oldest = time(item.oldest_s)
        return f"none of the outage's within {expiry}: the oldest is delivered at an age of {oldest}"
    share = Fraction(100 * item.expired_hints, item.backlog_hints)
    return f"{item.expired_hints:,} hints ({float(share):.3g} %) expire after {expiry}, before their turn"


def _repair(item: Hints) -> str:
    return (
        f"{time(item.repair_s)} for what was missed, at {size(item.bandwidth_bytes_per_s)}/s, "
        f"{time(item.interval_s)} to begin included"
    )


def advice(item: Hints) -> str:
    """Hints or anti-entropy, and why, in one line."""
    if item.expired_hints:
        return "anti-entropy: hints expire before their turn, so it has to run anyway"
    if not item.fits:
        return "anti-entropy: not all hints have room, so it has to run anyway"
    took = [took for _, took in item.cases if took is not None]
    if not took:
        return "anti-entropy: the hints never drain"
    # The least of the cases: if even then the hints are later, they are later in all.
    if item.repair_s < min(took):
        return f"anti-entropy: {time(item.repair_s)} instead of {time(min(took))}"
    if len(took) < len(item.cases):
        return "hints, if the target takes new writes itself; else anti-entropy"
    return f"hints: {time(max(took))}, anti-entropy {time(item.repair_s)}"


def outages() -> Iterator[str]:
    """HNT-6 as a table in Markdown."""
    yield (
        "| outage | hints | size | drained, new writes go to the target | … if they go on becoming hints | "
        "expire | anti-entropy |"
    )
    yield f"|{'---|' * 7}"
    for outage in OUTAGES_S:
        item = hints(outage)
        (_, alone), (_, beside) = item.cases
        lost = item.expired_hints
        share = f"{float(Fraction(100 * lost, item.backlog_hints)):.3g} %" if lost else "none"
        times = [time(took) if took is not None else "never" for took in (alone, beside)]
        cells = (time(outage), f"{item.backlog_hints:,}", size(item.backlog_bytes), *times, share)
        yield f"| {' | '.join(cells)} | {time(item.repair_s)} |"


# --- clusters ---------------------------------------------------------------------------------------------


def about_cluster(item: Cluster) -> Iterator[str]:
    """The whole answer, line by line."""
    shards = f", {item.shards:,} shards" if item.shards else ""
    rows = f"{item.rows:,} rows of {size(item.row_bytes)}"
    yield f"{item.nodes:,} nodes, {item.factor} replicas of {rows}{shards}."
    yield _line("row copies", f"{item.row_copies:,}, {size(item.total_bytes)} in all")
    on_node = f" in {item.shards_on_node:,} shards" if item.shards_on_node else ""
    yield _line("fullest node", f"{item.rows_on_node:,} rows{on_node}, {size(item.data_bytes)}")
    yield _line("disk of a node", f"{size(item.disk_bytes)}: {_parts(item)}")
    if item.disk_after_loss_bytes is None:
        yield _line("a node is lost", f"its copies have no place: {item.factor} replicas need as many nodes")
    else:
        yield _line("a node is lost", f"{size(item.disk_after_loss_bytes)} on each that is left")
    yield _line(
        "forest in memory",
        f"{size(item.forest_bytes)} if all rows are resident, at {RESIDENT_BYTES} bytes each "
        f"({size(item.published_forest_bytes)} by the published 48)",
    )
    if item.active_forest_bytes is not None:
        yield _line(
            "",
            f"{size(item.active_forest_bytes)} if only open windows are ({item.active_rows:,} rows at most)",
        )


def _parts(item: Cluster) -> str:
    parts = [
        f"rows {size(item.data_bytes)}",
        f"{item.headroom_percent} % more to compact",
    ]
    if item.writes_per_s is None:
        parts.append("no hints (give --writes)")
    else:
        parts.append(f"hints {size(item.hint_log_bytes)} for one node that is down for {time(item.outage_s)}")
    return ", ".join(parts)


# --- the published figures --------------------------------------------------------------------------------


def published_lines(table: Sequence[Figure]) -> Iterator[str]:
    """For a terminal."""
    for figure in table:
        yield f"{figure.what}: {figure.verdict}"
        yield (
            f"    published {_range(figure)}, computed {quantity(figure.computed, figure.unit)} "
            f"({figure.basis})"
        )
    yield ""
    wrong = sum(not figure.agrees for figure in table)
    yield f"{len(table) - wrong} of {len(table)} agree with what they assume, {wrong} do not."
    yield ""
    yield "Outages at the published 50,000 writes/s, 1,000 hints/s to a target and 7 days of expiry:"
    for outage in OUTAGES_S:
        item = hints(outage)
        yield f"    {time(outage):8}{item.backlog_hints:,} hints, {size(item.backlog_bytes)}"
        for ongoing, took in item.cases:
            yield f"            drained {_case(item, ongoing, took)}"
        yield f"            better is {advice(item)}"
    longest = time(hints(OUTAGES_S[0]).longest_outage_s)
    yield f"    Hints carry an outage of up to {longest}; past it some expire undelivered."


def published_markdown(table: Sequence[Figure]) -> Iterator[str]:
    """For the document."""
    yield "| figure | published | computed | verdict | computed from |"
    yield f"|{'---|' * 5}"
    for item in table:
        verdict = item.verdict if item.agrees else f"**{item.verdict}**"
        computed = quantity(item.computed, item.unit)
        yield f"| {item.what} | {_range(item)} | {computed} | {verdict} | {item.basis} |"


def _range(item: Figure) -> str:
    least, most = item.published
    if not least:
        return f"up to {quantity(most, item.unit)}"
    if least < most:
        return f"{quantity(least, item.unit)} to {quantity(most, item.unit)}"
    return quantity(least, item.unit)
