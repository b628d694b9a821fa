"""Writes ``docs/guarantees.md``, the README's verdict table and its picture, from ledger and manifest,
``docs/capacity.md`` from the formulas of sizing, and what is drawn and counted in ``docs/merkle-forest.md``.

The verdicts written are those that every run must find: a run that finds another one fails. So the documents
need no run to be written, and can not say what no check stands for.

    python -m scratchbird_check.guarantees [--check]      in a checkout; --check only compares
"""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from scratchbird_check import ledger, manifest, resources
from scratchbird_check.capacity import page as capacity
from scratchbird_check.counterexamples import counterexample
from scratchbird_check.ledger import Property
from scratchbird_check.machines import merkle_forest_page
from scratchbird_check.manifest import Check
from scratchbird_check.promises import page
from scratchbird_check.report.svg import draw
from scratchbird_check.verdicts import Verdict

BEGIN = "<!-- verdicts: written by `make docs` -->"
END = "<!-- end of verdicts -->"

_HEAD = """# Guarantees

Written by `make docs` from `spec/properties.toml` and the checker's manifest; do not edit. Each verdict below
is one that `make check` must find again on your machine: if it does not, the run fails.

- **proved**: by a solver, for any number of nodes and steps, within the stated assumptions
- **checked**: explored or sampled without a violation, within the stated bounds
- **refuted as expected**: the claim is false; a counterexample is found each time, and the corrected rule has
  evidence of its own
- **computed**: arithmetic, done by the machine from the constants of the code

`scratchbird_check explain HLC-2` shows a counterexample step by step. What N, W and R of a table promise,
setting by setting, stands [at the end](#what-n-w-and-r-promise).
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the documents, or with ``--check`` say which of them is not fresh."""
    parser = argparse.ArgumentParser(
        prog="python -m scratchbird_check.guarantees", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 if a document is stale")
    parser.add_argument(
        "--root", type=Path, default=Path.cwd(), help="the checkout (default: the current folder)"
    )
    options = parser.parse_args(arguments)
    stale = 0
    for path, fresh in documents(options.root).items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == fresh:
            continue
        stale += 1
        if options.check:
            names = (f"{path} (as it is)", f"{path} (as it should be)")
            sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), fresh.splitlines(True), *names))
            print(f"{path} is not fresh: run make docs")
        else:
            path.write_text(fresh, encoding="utf-8")
            print(f"wrote {path}")
    return 1 if options.check and stale else 0


def documents(root: Path) -> dict[Path, str]:
    """Each generated document of the checkout with the text that it should have."""
    properties = ledger.parse(resources.ledger_text())
    checks = manifest.parse(resources.manifest_text())
    readme = root / "README.md"
    return {
        root / "docs" / "guarantees.md": guarantees(properties, checks),
        readme: with_table(readme.read_text(encoding="utf-8"), table(properties)),
        root / "docs" / "capacity.md": capacity.document(),
        root / "docs" / "stall-and-reset.svg": picture("stall_and_reset"),
        **merkle_forest_page.documents(root / "docs"),
    }


def guarantees(properties: Iterable[Property], checks: Sequence[Check]) -> str:
    """The whole of ``docs/guarantees.md``."""
    properties = tuple(properties)
    pages = [_page(item, [check for check in checks if item.id in check.properties]) for item in properties]
    return "\n".join([_HEAD, table(properties), *pages, page.section()])


def picture(variant: str) -> str:
    """The space-time diagram of a variant's counterexample."""
    found = counterexample(variant)
    assert found is not None, f"{variant} has no counterexample"
    return draw(found.refuted)


def table(properties: Iterable[Property]) -> str:
    """One row for each promise."""
    rows = ["| | what was promised | verdict | what we build |", "|---|---|---|---|"]
    for item in properties:
        cells = (item.claim, f"**{item.verdict}**", f"{item.corrected or 'As promised.'} ({item.rule})")
        rows.append(f"| {item.id} | {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(rows) + "\n"


def with_table(readme: str, rows: str) -> str:
    """The README with the table between its two markers.

    :raises ValueError: if a marker is missing.
    """
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md lacks the marker {BEGIN if not begin else END}")
    return f"{head}{BEGIN}\n\n{rows}\n{END}{tail}"


def _page(item: Property, checks: Sequence[Check]) -> str:
    lines = [
        f"## {item.id}: {item.verdict}",
        "",
        *item.explain.strip().replace("\n", "\n\n").splitlines(),
        "",
    ]
    lines += ["| check | engine | finds | within |", "|---|---|---|---|"]
    lines += [f"| `{check.id}` | {check.engine} | {_finds(check)} | {_within(check)} |" for check in checks]
    return "\n".join(lines) + "\n"


def _finds(check: Check) -> str:
    return f"{check.expect}: `{check.variant}`" if check.variant else str(check.expect)


def _within(check: Check) -> str:
    """The pins that bound a check, in words."""
    options = check.options
    found = [f"profile {' and '.join(p for p in check.profiles if p != 'ci')}"]
    if check.expect is Verdict.PROVED and check.engine in ("z3", "cvc5"):
        found.append("any number of nodes and steps")
    for key, words in (
        ("distinct", "{:,} distinct states"),
        ("min_distinct", "at least {:,} distinct states"),
        ("edges", "{:,} edges"),
        ("behaviours", "{:,} behaviours"),
        ("runs", "{:,} runs"),
        ("examples", "{} examples"),
        ("steps", "{} steps"),
        ("length", "length {}"),
    ):
        if isinstance(options.get(key), int):
            found.append(words.format(options[key]))
    return ", ".join(found)


if __name__ == "__main__":
    raise SystemExit(main())
