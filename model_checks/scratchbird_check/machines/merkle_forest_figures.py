"""What a repair moves, and what a forest weighs: the published figures, counted again.

A window is kept as one array of entries of 48 bytes, sorted by place, and one of the digests of its nodes, 32
bytes each, dense in levels 0 to D, the deepest with at most a sixth as many nodes as there are entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from scratchbird_check.context import Context
from scratchbird_check.machines import merkle_forest_costs as costs
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_reference.merkle_forest import FAN_OUT

ROWS_A_NODE = 6
"""On the average, at least, in the deepest level whose digests are kept."""
DIGEST_BYTES = 32


def window_bytes(rows: int) -> int:
    """Of a window's entries and digests, as they are kept."""
    if not rows:
        return 0
    nodes, level = 1, FAN_OUT
    while level * ROWS_A_NODE <= rows:
        nodes, level = nodes + level, level * FAN_OUT
    return rows * costs.ENTRY_BYTES + nodes * DIGEST_BYTES


def heaviest_row(least: int, most: int) -> float:
    """The most bytes a row in any window of so many rows."""
    return max(window_bytes(rows) / rows for rows in range(least, most + 1))


def run_repair(check: Check, context: Context) -> Outcome:
    """What it takes to repair so many rows, that are missing or were overwritten."""
    rows, windows, differ = (check.options[name] for name in ("rows", "windows", "differ"))
    cases = ("missing", "overwritten")
    found = {case: asdict(costs.costs(case, "ours", differ, rows, windows)) for case in cases}
    figures = {f"{case}_{name}": value for case, cost in found.items() for name, value in cost.items()}
    if wrong := [case for case in cases if found[case] != dict(check.options[case])]:
        why = f"{wrong[0]}: counted {found[wrong[0]]}, pinned {dict(check.options[wrong[0]])}"
        return Outcome(check.id, Verdict.UNEXPECTED, why, check.properties, figures=figures)
    told = "; ".join(_told(case, found[case], differ) for case in cases)
    detail = f"{differ:,} rows that differ of {rows:,} in {windows} windows: {told}"
    return Outcome(check.id, Verdict.COMPUTED, detail, check.properties, figures=figures)


def _told(case: str, cost: Mapping[str, int], differ: int) -> str:
    return (
        f"if {case}, {cost['rows']:,} rows are moved, {cost['needless']:,} of them needless, and told are "
        f"{cost['digests']:,} digests in {cost['size']:,} bytes ({cost['size'] / differ:.0f} a row), "
        f"{cost['messages']} messages and {cost['round_trips']} round trips"
    )


def run_room(check: Check, context: Context) -> Outcome:
    """What a row weighs in a window, and what is told of all windows."""
    rows, windows = check.options["rows"], check.options["windows"]
    figures = {
        "bytes_a_row_mean_window": round(window_bytes(rows // windows) / (rows // windows), 2),
        "bytes_a_row_one_window": round(window_bytes(rows) / rows, 2),
        "bytes_a_row_at_most": round(heaviest_row(ROWS_A_NODE, 30_000), 2),
        "bytes_told": windows * costs.WINDOW_BYTES,
    }
    pinned = {name: check.options[name] for name in figures}
    if figures != pinned:
        return Outcome(
            check.id, Verdict.UNEXPECTED, f"{figures}, pinned: {pinned}", check.properties, figures=figures
        )
    detail = (
        f"a row has {figures['bytes_a_row_mean_window']} bytes in a window of {rows // windows:,} rows, "
        f"{figures['bytes_a_row_one_window']} in one of {rows:,}, at most {figures['bytes_a_row_at_most']} "
        f"from {ROWS_A_NODE} rows on; of {windows} windows {figures['bytes_told']:,} bytes are told"
    )
    return Outcome(check.id, Verdict.COMPUTED, detail, check.properties, figures=figures)
