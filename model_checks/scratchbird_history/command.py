"""What ``scratchbird_check history`` does: read, check, tell, draw.

Exit status: 0 the model allows the history, 1 it does not, 2 the input or the request is unusable, 4 unknown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from scratchbird_history import drawing, jepsen, ndjson
from scratchbird_history.checking import COMPILED, Answer, Verdict, check
from scratchbird_history.errors import HistoryError, printable, short
from scratchbird_history.limits import Limits
from scratchbird_history.models import Model
from scratchbird_history.operations import History, Outcome
from scratchbird_history.options import add_arguments

STATUS = {Answer.YES: 0, Answer.NO: 1, Answer.UNKNOWN: 4}
MOST_TOLD = 20
"""Operations of a core that are listed one by one."""


def run(options: argparse.Namespace) -> int:
    """The whole command; the exit status.

    :raises OSError: if the drawing cannot be written.
    """
    try:
        history = read(options.file, options.format, options.initial)
    except HistoryError as error:
        where = "standard input" if options.file == "-" else options.file
        print(printable(f"scratchbird_check history: {where}: {error}"), file=sys.stderr)
        return 2
    limits = Limits(
        bytes=options.memory << 20,
        steps=options.steps,
        deadline=monotonic() + options.seconds,
    )
    model = Model(options.model)
    verdict = check(history, model, limits)
    print(printable(told(history, verdict)))
    if options.svg is not None:
        if verdict.core:
            title = f"not {model.value}" + (f": key {short(verdict.key)}" if verdict.key else "")
            drawn = drawing.svg(history.operations, verdict.core, title, f"{verdict.sentence}.")
            options.svg.write_text(drawn, encoding="utf-8")
            print(f"drawn in {options.svg}")
        else:
            print(f"{options.svg} is not written: there is nothing to draw")
    return STATUS[verdict.answer]


def read(file: str, form: str = "auto", initial: str | None = None) -> History:
    """The history in a file, or on standard input for ``-``.

    :raises HistoryError: if it cannot be read, or is not as it must be.
    """
    try:
        raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except (OSError, ValueError) as error:
        raise HistoryError(f"it cannot be read: {error}") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise HistoryError(
            f"byte {raw[error.start]:#04x} is not UTF-8: write the log as UTF-8", line
        ) from None
    if form == "auto":
        form = guess(text)
    if initial is not None:
        try:
            _ = ndjson.value(initial, None) if form == "ndjson" else jepsen.value(initial)
        except HistoryError as error:
            raise HistoryError(f"--initial must be a value as the file has them ({form}): {error}") from None
    found = ndjson.read(text, initial) if form == "ndjson" else jepsen.read(text, initial)
    if not found.operations:
        raise HistoryError("there is no operation in it, and a yes about nothing would help nobody")
    return found


def guess(text: str) -> str:
    """``edn`` or ``ndjson``: after its first brace a JSON object has a quote, an EDN event a keyword."""
    start = text.lstrip()
    inside = start.lstrip("{[( \t\r\n,")
    return "edn" if start[:1] in ("[", "(", "#", ";") or inside.startswith((":", ";", "#")) else "ndjson"


def told(history: History, verdict: Verdict) -> str:
    """The verdict for people: the answer first, then why, then what was looked at."""
    model = verdict.model.value
    lines = {
        Answer.YES: [f"yes: the history is {model}"],
        Answer.NO: [f"no: the history is not {model}"],
        Answer.UNKNOWN: [f"unknown: whether the history is {model}"],
    }[verdict.answer]
    if verdict.key is not None and history.several_keys:
        lines[0] += f" (key {short(verdict.key)})"
    if verdict.sentence:
        lines.append(short(verdict.sentence, 2000))
    if verdict.core:
        lines += ["", drawing.text(history.operations, verdict.core), "", *_core(verdict)]
    lines += ["", *_counts(history, verdict)]
    return "\n".join(lines)


def _core(verdict: Verdict) -> list[str]:
    lines = []
    if verdict.model in (Model.LINEARIZABLE, Model.SEQUENTIAL):
        lines.append(
            f"These {len(verdict.core)} operations cannot be explained, whatever of the others took effect:"
            if len(verdict.core) > 1
            else "This operation cannot be explained, whatever of the others took effect:"
        )
    for one in verdict.core[:MOST_TOLD]:
        place = f"line {one.line}: " if one.line else ""
        lines.append(
            f"  {place}process {short(one.process)}, key {short(one.key)}: {short(one.label(), 200)}"
        )
    if len(verdict.core) > MOST_TOLD:
        lines.append(f"  ... and {len(verdict.core) - MOST_TOLD} more")
    if verdict.model in (Model.LINEARIZABLE, Model.SEQUENTIAL):
        lines.append(
            "None of them can be left out."
            if verdict.minimal
            else "There may be fewer: the time for leaving some out was used up."
        )
    return lines


def _counts(history: History, verdict: Verdict) -> list[str]:
    outcomes = [one.outcome for one in history.operations]
    keys = len({one.key for one in history.operations})
    lines = [
        f"{_several(len(outcomes), 'operation')} on {_several(keys, 'key')}:"
        f" {outcomes.count(Outcome.OK)} ok, {outcomes.count(Outcome.FAIL)} failed,"
        f" {outcomes.count(Outcome.INDETERMINATE)} indeterminate; {verdict.steps} steps,"
        f" {verdict.bytes / 2**20:.1f} MiB"
    ]
    lines += [f"note: {note}" for note in history.notes]
    if not COMPILED:
        lines.append(
            "note: the compiled search is missing (no C compiler at the installation): this was slower"
        )
    return lines


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m scratchbird_history.command``: the command without the rest of the checker."""
    parser = argparse.ArgumentParser(prog="scratchbird_history", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    raise SystemExit(main())
