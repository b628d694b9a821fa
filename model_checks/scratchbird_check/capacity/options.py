"""The options of ``scratchbird_check capacity``, without the imports that only the command needs."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

LARGEST = 10**15
"""Of any number that is given."""
LONGEST_S = 100 * 365 * 86_400
"""A hundred years."""
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
BYTES = {
    "": 1,
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
    "TiB": 1 << 40,
}

EPILOG = """\
Durations are 30s, 10m, 3h, 7d or 2w; numbers may be 50000 or 1e9; sizes 500, 10MB or 2GiB.

examples:
  scratchbird_check capacity hints --outage 3h --writes 50000
  scratchbird_check capacity hints --outage 10m --writes 400 --ongoing 0 --must-drain
  scratchbird_check capacity cluster --nodes 9 --factor 3 --rows 1e9 --row-bytes 500
  scratchbird_check capacity published             the published figures, computed again

exit status: 0, or 1 if --must-drain does not hold, 2 wrong use
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Put the questions and their options on the parser of the command."""
    questions = parser.add_subparsers(dest="question", metavar="QUESTION", required=True)
    for name, text, add in (
        ("hints", "how many hints an outage leaves, how long they take, and when to give up", _hints),
        ("cluster", "what each node of a cluster holds", _cluster),
        ("published", "the figures of the published operations text, computed again", _published),
    ):
        sub = questions.add_parser(
            name,
            help=text,
            description=text,
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        sub.set_defaults(parser=sub)
        add(sub)
        sub.add_argument("--json", action="store_true", help="print JSON; units are in the names")


def _hints(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--outage", type=duration, required=True, metavar="TIME", help="how long one target is down"
    )
    sub.add_argument(
        "--writes", type=number(1), required=True, metavar="N", help="writes a second that it misses"
    )
    sub.add_argument(
        "--limit",
        type=number(1),
        default=1_000,
        metavar="N",
        help="hints a second that the target is sent, by all coordinators together (1000)",
    )
    sub.add_argument(
        "--limit-each", action="store_true", help="--limit is what each coordinator sends on its own"
    )
    sub.add_argument("--bytes", type=size, default=500, metavar="SIZE", help="of one hint (500)")
    sub.add_argument("--expiry", type=duration, default=duration("7d"), metavar="TIME", help="of a hint (7d)")
    sub.add_argument(
        "--coordinators", type=number(1), default=1, metavar="N", help="that hold the hints, evenly (1)"
    )
    sub.add_argument(
        "--ongoing",
        type=number(0),
        metavar="N",
        help="writes a second that still become hints while it drains; 0 if the target takes new writes "
        "itself (default: tell both, 0 and all of --writes)",
    )
    sub.add_argument("--room", type=size, metavar="SIZE", help="for these hints on each coordinator")
    sub.add_argument(
        "--shards", type=number(1), metavar="N", help="show what becomes of the limit if they divide it"
    )
    sub.add_argument("--rows", type=number(1), metavar="N", help="that the target holds, for a full exchange")
    sub.add_argument("--row-bytes", type=size, metavar="SIZE", help="of one row (default: as --bytes)")
    sub.add_argument(
        "--bandwidth",
        type=size,
        default=25_000_000,
        metavar="SIZE",
        help="a second for anti-entropy (25MB, that is 200 Mbit/s)",
    )
    sub.add_argument(
        "--interval",
        type=duration,
        default=duration("60s"),
        metavar="TIME",
        help="between rounds of anti-entropy (60s)",
    )
    sub.add_argument(
        "--must-drain",
        action="store_true",
        help="end with status 1 unless, in each case that is told, all hints fit, none expires and the last "
        "is delivered",
    )


def _cluster(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--nodes", type=number(1), required=True, metavar="N", help="in the cluster")
    sub.add_argument("--factor", type=number(1), required=True, metavar="N", help="replicas of a row")
    sub.add_argument(
        "--rows", type=number(1), required=True, metavar="N", help="as clients see them, without copies"
    )
    sub.add_argument("--row-bytes", type=size, required=True, metavar="SIZE", help="of one row on disk")
    sub.add_argument(
        "--shards", type=number(1), metavar="N", help="whole shards are placed (default: rows spread evenly)"
    )
    sub.add_argument(
        "--headroom", type=number(0), default=100, metavar="PERCENT", help="of the rows, to compact (100)"
    )
    sub.add_argument(
        "--writes", type=number(1), metavar="N", help="a second in the whole cluster, for hints and windows"
    )
    sub.add_argument(
        "--outage",
        type=duration,
        default=duration("3h"),
        metavar="TIME",
        help="of one node, whose hints the others keep (3h)",
    )
    sub.add_argument("--hint-bytes", type=size, metavar="SIZE", help="of one hint (default: as --row-bytes)")
    sub.add_argument("--windows", type=number(0), default=720, metavar="N", help="sealed, of a shard (720)")


def _published(sub: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


# --- values -----------------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(\d{1,40}(?:\.\d{1,40})?(?:[eE]\+?\d{1,3})?)([a-zA-Z]*)", re.ASCII)


def duration(text: str) -> Fraction:
    """Seconds of ``90s``, ``10m``, ``3h``, ``7d`` or ``2w``.

    :raises argparse.ArgumentTypeError: if it is none, zero, or longer than a hundred years.
    """
    found = _NUMBER.fullmatch(text)
    if not found or found[2] not in SECONDS:
        raise argparse.ArgumentTypeError(f"{text[:40]!r}: a duration such as 30s, 10m, 3h or 7d is expected")
    seconds = Fraction(Decimal(found[1])) * SECONDS[found[2]]
    if not 0 < seconds <= LONGEST_S:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r}: a duration above zero and up to 100 years is expected"
        )
    return seconds


def number(least: int) -> Callable[[str], int]:
    """A type for whole numbers from ``least`` on, such as ``50000`` or ``1e9``."""

    def take(text: str) -> int:
        return _whole(text, least, {"": 1}, f"a whole number from {least} to 1e15")

    return take


def size(text: str) -> int:
    """Bytes of ``500``, ``10MB`` or ``2GiB``.

    :raises argparse.ArgumentTypeError: if it is no such size, zero, or not a whole number of bytes.
    """
    return _whole(text, 1, BYTES, "a size above zero and up to 1000TB, such as 500, 10MB or 2GiB,")


def _whole(text: str, least: int, units: dict[str, int], expected: str) -> int:
    found = _NUMBER.fullmatch(text)
    if found and found[2] in units:
        value = Fraction(Decimal(found[1])) * units[found[2]]
        if value.denominator == 1 and least <= value <= LARGEST:
            return int(value)
    raise argparse.ArgumentTypeError(f"{text[:40]!r}: {expected} is expected")
