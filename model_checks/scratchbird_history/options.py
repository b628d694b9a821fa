"""The options of ``scratchbird_check history``, without the imports that only the command needs."""

from __future__ import annotations

import argparse
from pathlib import Path

from scratchbird_history.errors import short
from scratchbird_history.limits import ENDLESS
from scratchbird_history.models import Model

FORMATS = ("auto", "ndjson", "edn")
EPILOG = """\
exit status: 0 yes, 1 no, 2 unreadable input or wrong use, 4 unknown

examples:
  scratchbird_check history run.ndjson
  scratchbird_check history --model sequential --svg why.svg jepsen/history.edn
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Put the options on the parser of the command."""
    parser.add_argument("file", metavar="FILE", help="the history; - reads standard input")
    parser.add_argument(
        "--model",
        choices=[model.value for model in Model],
        default=Model.LINEARIZABLE.value,
        help="what is promised (default: linearizable)",
    )
    parser.add_argument("--format", choices=FORMATS, default="auto", help="how it is written (default: auto)")
    parser.add_argument(
        "--initial", metavar="VALUE", help="of every key, as the file writes it (null or nil)"
    )
    parser.add_argument("--memory", type=_count, default=1024, metavar="MiB", help="for the search (1024)")
    parser.add_argument("--steps", type=_count, default=ENDLESS, metavar="N", help="of the search (no limit)")
    parser.add_argument("--seconds", type=_seconds, default=60.0, metavar="S", help="for the search (60)")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw there what cannot be explained")


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 13 and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{short(text)!r}: a whole number of at least 1 is expected")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if 0 < seconds < 1e9:
        return seconds
    raise argparse.ArgumentTypeError(f"{short(text)!r}: a number of seconds above 0 is expected")
