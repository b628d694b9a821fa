"""``scratchbird_check capacity``: hints and outages, clusters, and the published figures computed again."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from scratchbird_check.capacity import formulas, published, telling
from scratchbird_check.capacity.answers import Cluster, Hints, figures


def run(options: argparse.Namespace) -> int:
    """The whole command; its exit status.

    :raises UsageError: if the numbers contradict each other.
    """
    questions: dict[str, Callable[[argparse.Namespace], int]] = {
        "hints": _hints,
        "cluster": _cluster,
        "published": _published,
    }
    return questions[options.question](options)


def _hints(options: argparse.Namespace) -> int:
    item = Hints(
        outage_s=options.outage,
        writes_per_s=options.writes,
        limit_per_s=options.limit * (options.coordinators if options.limit_each else 1),
        hint_bytes=options.bytes,
        expiry_s=options.expiry,
        coordinators=options.coordinators,
        ongoing_per_s=() if options.ongoing is None else (options.ongoing,),
        room_bytes=options.room,
        rows=options.rows,
        row_bytes=options.row_bytes or options.bytes,
        bandwidth_bytes_per_s=options.bandwidth,
        interval_s=options.interval,
    )
    if options.json:
        found = _answer(item)
        if options.shards:
            found["share_per_s"] = float(formulas.share_per_s(item.limit_per_s, options.shards))
            found["rounded_share_per_s"] = formulas.rounded_share_per_s(item.limit_per_s, options.shards)
        _json(item, found)
    else:
        _print(telling.about_hints(item, options.shards))
    if options.must_drain and not item.drains:
        print(f"scratchbird_check: the hints must drain, and do not: {_why(item)}", file=sys.stderr)
        return 1
    return 0


def _answer(item: Hints) -> dict[str, Any]:
    """With names for the cases, and the advice."""
    cases = [
        {"ongoing_per_s": ongoing, "drain_s": None if took is None else float(took)}
        for ongoing, took in item.cases
    ]
    return {**figures(item), "cases": cases, "better": telling.advice(item)}


def _why(item: Hints) -> str:
    reasons = [
        f"with {ongoing:,} writes/s that go on becoming hints they never do"
        for ongoing, took in item.cases
        if took is None
    ]
    if item.expired_hints:
        reasons.insert(0, f"{item.expired_hints:,} expire before their turn")
    if not item.fits:
        reasons.insert(0, f"{telling.size(item.bytes_each)} do not fit into --room")
    return "; ".join(reasons)


def _cluster(options: argparse.Namespace) -> int:
    item = Cluster(
        nodes=options.nodes,
        factor=options.factor,
        rows=options.rows,
        row_bytes=options.row_bytes,
        shards=options.shards,
        headroom_percent=options.headroom,
        writes_per_s=options.writes,
        outage_s=options.outage,
        hint_bytes=options.hint_bytes or options.row_bytes,
        windows=options.windows,
    )
    if options.json:
        _json(item, figures(item))
    else:
        _print(telling.about_cluster(item))
    return 0


def _published(options: argparse.Namespace) -> int:
    table = published.figures()
    if options.json:
        rows = [
            {**dataclasses.asdict(item), "verdict": item.verdict, "factor": float(item.factor)}
            for item in table
        ]
        outages = [
            {"outage_s": float(outage), **_answer(published.hints(outage))} for outage in published.OUTAGES_S
        ]
        print(json.dumps({"figures": rows, "outages": outages}, indent=2))
    else:
        _print(telling.published_lines(table))
    return 0


def _print(lines: Iterable[str]) -> None:
    # All of it or nothing: an error in the middle must not leave half an answer.
    print("\n".join(list(lines)))


def _json(item: Hints | Cluster, found: dict[str, Any]) -> None:
    asked = dataclasses.asdict(item)
    print(json.dumps({"asked": asked, "answer": found}, indent=2, default=_float))


def _float(value: object) -> float:
    assert isinstance(value, Fraction)
    return float(value)
