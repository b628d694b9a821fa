"""``scratchbird_check guarantees``: what a setting promises, and whether a cluster has what it expects."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scratchbird_check.errors import UsageError
from scratchbird_check.promises import telling
from scratchbird_check.promises.cluster import Table, tables
from scratchbird_check.promises.options import LARGEST, MODES
from scratchbird_check.promises.table import Answer, Row, row
from scratchbird_reference.errors import ConfigurationError
from scratchbird_reference.quorum_messages import Mode, Setting

LARGEST_CONFIG = 1 << 20
"""Bytes of a configuration that is read."""


def run(options: argparse.Namespace) -> int:
    """The whole command; its exit status.

    :raises UsageError: if options contradict each other, or a file can not be read or understood.
    """
    asked = _from_file(options) if options.config else _from_numbers(options)
    rows = [(table, row(table.setting)) for table in asked]
    if options.config or (options.w and options.r):
        blocks = [_block(table, found, options) for table, found in rows]
    else:
        blocks = ["\n".join(telling.grid(group)) for group in telling.by_mode([found for _, found in rows])]
        blocks.append("yes*: as long as no replica loses its disk. --w, --r and --why tell more.")
    print("\n\n".join(blocks))
    return _expected(rows, options.expect)


def _block(table: Table, found: Row, options: argparse.Namespace) -> str:
    lines = telling.details(found, table.placement, why=options.why)
    return "\n".join([f"{table.name}:" if table.name else "", *lines]).strip()


def _from_file(options: argparse.Namespace) -> tuple[Table, ...]:
    if given := [f"--{name}" for name in ("n", "w", "r", "mode", "placement") if getattr(options, name)]:
        raise UsageError(f"--config and {given[0]}: the file says it already; give one of the two")
    return tables(_text(options.config), str(options.config))


def _text(path: Path) -> str:
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as file:
            data = file.read(LARGEST_CONFIG + 1)
        if len(data) > LARGEST_CONFIG:
            raise UsageError(f"{path} has more than {LARGEST_CONFIG} bytes: this is no configuration")
        return data.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{path} can not be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8: byte {error.start}") from None


def _from_numbers(options: argparse.Namespace) -> tuple[Table, ...]:
    size = options.n or (sum(options.placement) if options.placement else 3)
    if size > LARGEST:
        raise UsageError(f"{size} replicas: up to {LARGEST} can be judged")
    if options.placement and sum(options.placement) != size:
        raise UsageError(
            f"--placement {','.join(map(str, options.placement))} places {sum(options.placement)} replicas, "
            f"--n says {size}"
        )
    for name in ("w", "r"):
        if (value := getattr(options, name)) and value > size:
            raise UsageError(f"--{name} {value} is more than the {size} replicas")
    modes = [options.mode] if options.mode else MODES
    writes = [options.w] if options.w else range(1, size + 1)
    reads = [options.r] if options.r else range(1, size + 1)
    found = []
    for mode in modes:
        for write in writes:
            for read in reads:
                try:
                    setting = Setting(tuple(range(1, size + 1)), write, read, Mode(mode))
                except ConfigurationError as error:
                    if options.w and options.r and options.mode:
                        raise UsageError(str(error)) from None
                    continue  # No such table can be made.
                found.append(Table("", setting, options.placement or ()))
    return tuple(found)


def _expected(rows: Sequence[tuple[Table, Row]], names: Sequence[str]) -> int:
    """1 if an expected promise does not hold for one of them, with a line for each."""
    status = 0
    for table, found in rows:
        for name in names:
            answer = found.cells[name].answer
            if answer is Answer.YES:
                continue
            status = 1
            what = f"{table.name}: " if table.name else ""
            reason = telling.because(found.cells[name])
            print(
                f"scratchbird_check: {what}{telling.heading(table.setting)}: {name} is expected, and the "
                f"answer is {answer.value} ({reason})",
                file=sys.stderr,
            )
    return status
