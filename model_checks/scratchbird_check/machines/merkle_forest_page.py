"""What is drawn and counted for ``docs/merkle-forest.md``: counterexamples, curves and tables.

The page is written by hand; what stands between its markers is written from here, and so are its pictures. A
counterexample is drawn where one can be played without another tool.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

from scratchbird_check import manifest, resources
from scratchbird_check.capacity import telling
from scratchbird_check.context import Context
from scratchbird_check.counterexamples import counterexample
from scratchbird_check.machines import merkle_forest_costs as costs
from scratchbird_check.manifest import Check
from scratchbird_check.report import plot, svg
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome

PAGE = "merkle-forest.md"
# Pictures of the page that are measured, not counted: a benchmark draws them, no check can say what is right.
MEASURED = frozenset({"merkle-forest-growth.svg"})
IN_TABLE = (1, 10, 100, 1_000, 10_000, 100_000)
COLORS = {"ours": svg.GREEN, "rank-shaped": svg.RED, "fixed depth 15": svg.BLUE, "fixed depth 20": svg.AMBER}
AMONG = f"{costs.ROWS:,} rows in {costs.WINDOWS} windows"
_MARK = re.compile(r"<!-- (picture|table): (.+?) -->\n.*?<!-- end -->", re.DOTALL)


def documents(docs: Path) -> dict[Path, str]:
    """The page and its pictures, each with the text that it should have; none if there is no page."""
    page = docs / PAGE
    if not page.exists():
        return {}
    text = filled(page.read_text(encoding="utf-8"))
    variants = [name for kind, name in re.findall(_MARK, text) if kind == "picture"]
    drawn = {docs / picture_name(name): svg.draw(trace) for name in variants if (trace := played(name))}
    return {page: text, **drawn, **{docs / name: text for name, text in curves().items()}}


def filled(text: str) -> str:
    """The page with what stands between its markers."""

    def between(mark: re.Match[str]) -> str:
        kind, name = mark.groups()
        made = picture(name) if kind == "picture" else "\n".join(table(name))
        return f"<!-- {kind}: {name} -->\n{made}\n<!-- end -->"

    return _MARK.sub(between, text)


# --- counterexamples ----------------------------------------------------------------------------------------


def picture_name(variant: str) -> str:
    """Of the file of a variant's picture."""
    return f"merkle-forest-{variant.replace('_', '-')}.svg"


def picture(variant: str) -> str:
    """In Markdown: the run of a variant, drawn; or how to have it told where another tool must find it."""
    trace = played(variant)
    if trace is None:
        checks = [check.id for check in checks_of(variant) if check.engine == "tlc"]
        if not checks:
            raise ValueError(f"no check of the manifest refutes {variant!r}: name another variant in {PAGE}")
        return f"(`scratchbird_check run --only {checks[0]} --verbose` finds it and prints it step by step.)"
    said = (trace.verdict or trace.title).replace("[", "(").replace("]", ")")
    return f"![{said}]({picture_name(variant)})"


@cache
def played(variant: str) -> Trace | None:
    """The run by which a variant breaks its promise, if it can be played without another tool."""
    if found := counterexample(variant):
        return found.refuted
    for check in checks_of(variant):
        if check.engine == "python":
            module, name = check.options["target"].split(":")
            outcome: Outcome = getattr(import_module(module), name)(check, Context(Path()))
            assert outcome.counterexample is not None, outcome.detail
            return outcome.counterexample
    return None


def checks_of(variant: str) -> list[Check]:
    """Those that refute a variant of the forest."""
    checks = manifest.parse(resources.manifest_text())
    return [check for check in checks if check.part == "merkle_forest" and check.variant == variant]


# --- costs --------------------------------------------------------------------------------------------------


def table(case: str) -> Iterable[str]:
    """In Markdown: bytes beside the rows, and rows moved, of each tree."""
    yield f"| rows {case} | {' | '.join(costs.SHAPES)} |"
    yield "|---" * (1 + len(costs.SHAPES)) + "|"
    for differ in IN_TABLE:
        cells = (costs.costs(case, shape, differ) for shape in costs.SHAPES)
        told = (f"{telling.size(cost.size)}, {cost.rows:,} row{'s' * (cost.rows > 1)}" for cost in cells)
        yield f"| {differ:,} | {' | '.join(told)} |"


@cache
def curves() -> Mapping[str, str]:
    """By file name: the drawings of what an exchange costs."""
    return {
        "merkle-forest-bytes-missing.svg": plot.draw(
            _bytes("missing", "Bytes beside the rows: rows that are missing at one side")
        ),
        "merkle-forest-bytes-overwritten.svg": plot.draw(
            _bytes("overwritten", "Bytes beside the rows: rows that were overwritten at one side")
        ),
        "merkle-forest-rows.svg": plot.draw(_rows("missing", "Rows moved to repair rows that are missing")),
    }


def _bytes(case: str, title: str) -> plot.Plot:
    found = []
    for shape, color in COLORS.items():
        counted = [(differ, costs.costs(case, shape, differ)) for differ in costs.COUNTED]
        found.append(plot.Curve(shape, color, [(differ, cost.size) for differ, cost in counted]))
        if any(cost.needless for _, cost in counted):
            whole = [(differ, cost.size + cost.needless * costs.ROW_BYTES) for differ, cost in counted]
            found.append(plot.Curve(shape, color, whole, faint=True))
    subtitle = (
        f"{AMONG}, counted. Solid: digests, entries and questions. Dotted: with the rows that are moved for "
        f"nothing, at {costs.ROW_BYTES} bytes each; ours moves none."
    )
    return plot.Plot(
        title, subtitle, f"rows {case}, of {costs.ROWS:,}", "bytes", found, "{:,}".format, telling.size
    )


def _rows(case: str, title: str) -> plot.Plot:
    found = [
        plot.Curve(
            shape, color, [(differ, costs.costs(case, shape, differ).rows) for differ in costs.COUNTED]
        )
        for shape, color in COLORS.items()
    ]
    subtitle = f"{AMONG}, counted, both directions together. Ours is the diagonal: as many rows as differ."
    return plot.Plot(
        title, subtitle, f"rows {case}, of {costs.ROWS:,}", "rows moved", found, "{:,}".format, "{:,}".format
    )
