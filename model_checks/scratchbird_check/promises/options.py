"""The options of ``scratchbird_check guarantees``, without the imports that only the command needs."""

from __future__ import annotations

import argparse
from pathlib import Path

NAMES = (
    "linearizable",
    "regular",
    "regular-one-writer",
    "read-your-writes",
    "read-your-writes-one-coordinator",
    "read-your-writes-token",
    "monotonic-reads",
    "monotonic-reads-one-coordinator",
    "monotonic-reads-token",
    "eventual",
)
"""The columns of the table, as ``--expect`` takes them."""
MODES = ("linearizable", "eventual")
LARGEST = 15
"""N of the largest setting that the command takes; its questions are answered by playing them."""

EPILOG = """\
A yes is an instance of proved theorems, a no is a schedule that was played; --why tells them.

examples:
  scratchbird_check guarantees --n 5 --w 3 --r 3 --placement 2,2,1
  scratchbird_check guarantees --n 3 --w 2 --r 2 --mode eventual --why
  scratchbird_check guarantees --n 3                                  every W and R
  scratchbird_check guarantees --config cluster.yaml --expect linearizable

exit status: 0, or 1 if something that is expected does not hold, 2 wrong use or an unreadable file
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Put the options on the parser of the command."""
    parser.add_argument("--n", type=_count, metavar="N", help=f"replicas of a row, up to {LARGEST} (3)")
    parser.add_argument("--w", type=_count, metavar="W", help="of them acknowledge a write")
    parser.add_argument("--r", type=_count, metavar="R", help="of them answer a read")
    parser.add_argument("--mode", choices=MODES, help="of the table (default: both)")
    parser.add_argument(
        "--placement", type=_placement, metavar="2,2,1", help="how many replicas each data centre has"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="judge the tables of a cluster.yaml; - reads standard input",
    )
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        choices=NAMES,
        metavar="PROMISE",
        help=f"end with status 1 where it does not hold (may be given several times): {', '.join(NAMES)}",
    )
    parser.add_argument("--why", action="store_true", help="name the theorems and tell the schedules")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 4 and 1 <= int(text) <= LARGEST:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text[:20]!r}: a whole number from 1 to {LARGEST} is expected")


def _placement(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if all(part.isascii() and part.isdigit() and len(part) < 4 and int(part) > 0 for part in parts):
        return tuple(int(part) for part in parts)
    raise argparse.ArgumentTypeError(
        f"{text[:40]!r}: numbers of replicas are expected, one for each data centre, such as 2,2,1"
    )
