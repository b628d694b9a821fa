"""A run as a report for the browser: a folder that needs no network and can be sent to anybody.

``index.html`` has the counts and the verdict table, ``HLC-2.html`` and so on a page for each promise, and
``traces/`` every counterexample as NDJSON, ITF and SVG. The folder appears as a whole or not at all.
"""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from pathlib import Path

from scratchbird_check.counterexamples import Counterexample, counterexample
from scratchbird_check.errors import UsageError
from scratchbird_check.files import check_writable_folder
from scratchbird_check.ledger import Property
from scratchbird_check.report.html_parts import (
    GENERATOR,
    badge,
    evidence_table,
    page,
    paragraphs,
    step_table,
    text,
)
from scratchbird_check.report.svg import draw
from scratchbird_check.results import PropertyResult, Run
from scratchbird_check.traces import itf, ndjson
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict

INDEX = "index.html"
TRACES = "traces"

Files = dict[str, str]
"""The report's files: path inside the folder, content."""


def write(run: Run, folder: Path) -> None:
    """Write the report; a report that is already there is replaced.

    :raises UsageError: before anything is written, if the folder cannot be made or written, or holds files
        that are no report of ours.
    """
    check_folder(folder)
    files = build(run)
    exists = folder.is_dir()
    staging = folder if exists else folder.absolute().parent
    try:
        with tempfile.TemporaryDirectory(dir=staging, prefix=".report-") as scratch:
            fresh = Path(scratch) / "new"
            for name, content in files.items():
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
            if exists:
                _replace(fresh, folder, files)
            else:
                fresh.rename(folder)
    except OSError as error:
        raise UsageError(f"cannot write the report to {folder}: {error.strerror or error}") from None


def check_folder(folder: Path) -> None:
    """Raise :class:`UsageError` if no report can be written there."""
    check_writable_folder(folder)
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder / "index.html"):
        raise UsageError(f"{folder} holds files that are no report: name an empty folder, or a new one")


def _is_ours(file: Path) -> bool:
    try:
        with file.open(encoding="utf-8", errors="replace") as opened:
            return GENERATOR in opened.read(1000)
    except OSError:
        return False


def _replace(fresh: Path, folder: Path, files: Files) -> None:
    """Put the new report over the old one, the page that leads to all others last.

    File by file: the folder itself may be one that cannot be renamed, such as a volume of a container.
    """
    (folder / TRACES).mkdir(exist_ok=True)
    for name in sorted(files, key=lambda name: name == INDEX):
        (fresh / name).replace(folder / name)
    stale = [page for page in folder.glob("*.html") if _is_ours(page)]
    for old in (*stale, *(folder / TRACES).iterdir()):
        if old.relative_to(folder).as_posix() not in files:
            old.unlink()


# --- content ----------------------------------------------------------------------------------------------


def build(run: Run) -> Files:
    """Every file of the report."""
    files: Files = {}
    for result in run.properties:
        files[f"{_slug(result.promise.id)}.html"] = _property_page(run, result, files)
    return {**files, INDEX: _index(run)}


def _index(run: Run) -> str:
    counts = Counter(result.verdict for result in run.properties)
    summary = "".join(
        f"<li>{badge(verdict)} <b>{counts[verdict]}</b></li>" for verdict in Verdict if counts[verdict]
    )
    if run.unexpected or not run.passed:
        headline = "Something was unexpected."
    elif run.not_run:
        headline = (
            f"As expected, as far as it was run: not run were {len(run.not_run)} of {len(run.outcomes)}."
        )
    else:
        headline = "Everything was as expected."
    rows = "".join(_row(result) for result in run.properties)
    missing = "".join(
        f"<li><code>{text(outcome.check)}</code>: {text(outcome.remedy or outcome.detail)}</li>"
        for outcome in run.not_run
    )
    tools = "".join(f"<li>{text(name)} {text(version)}</li>" for name, version in run.tools.items())
    body = [
        f"<h1>Verdicts</h1><p class='lead'>{text(headline)}</p><ul class='counts'>{summary}</ul>",
        "<table class='verdicts'><thead><tr><th>Promise</th><th>Claim</th><th>Verdict</th><th>What we build"
        f"</th></tr></thead><tbody>{rows}</tbody></table>",
        f"<h2>Not run</h2><ul>{missing}</ul>" if missing else "",
        f"<h2>All checks</h2>{evidence_table(run, run.outcomes)}",
        f"<h2>This run</h2><ul><li>profile {text(run.profile)}, seed {run.seed}, started "
        f"{text(run.started)}, {run.seconds:.1f} s</li><li>scratchbird_check {text(run.version)}</li>"
        f"<li>{text(run.machine)}</li>{tools}</ul>",
    ]
    return page("Verdicts", "".join(body))


def _row(result: PropertyResult) -> str:
    item = result.promise
    link = f"<a href='{_slug(item.id)}.html'>{text(item.id)}</a>"
    note = f"<br><small>{text(result.note)}</small>" if result.note else ""
    built = item.corrected or "The claim as it stands."
    return (
        f"<tr><th scope='row'>{link}</th><td data-label='Claim'>{text(item.claim)}</td>"
        f"<td data-label='Verdict'>{badge(result.verdict)}{note}</td>"
        f"<td data-label='What we build'>{text(built)} <small>({text(item.rule)})</small></td></tr>"
    )


def _property_page(run: Run, result: PropertyResult, files: Files) -> str:
    item = result.promise
    note = f"<p>{text(result.note)}</p>" if result.note else ""
    body = [
        "<p class='up'><a href='index.html'>All verdicts</a></p>",
        f"<h1>{text(item.id)} {badge(result.verdict)}</h1>",
        note,
        f"<h2>Claimed</h2><p class='lead'>{text(item.claim)}</p>",
        f"<h2>What happens instead</h2><p>{text(item.instead)}</p>" if item.instead else "",
        f"<h2>What we build</h2><p>{text(item.corrected)} <small>({text(item.rule)})</small></p>"
        if item.corrected
        else f"<h2>What we build</h2><p>The claim as it stands ({text(item.rule)}).</p>",
        paragraphs(item.explain),
    ]
    refuted = [played for variant in item.variants if (played := counterexample(variant)) is not None]
    found = [outcome for outcome in result.outcomes if outcome.counterexample is not None]
    if refuted or found:
        body.append("<h2>Counterexamples</h2>")
    body += [_played(played, files) for played in refuted]
    body += [_found(outcome, files) for outcome in found]
    body.append(f"<h2>Evidence</h2>{evidence_table(run, result.outcomes)}{_names(item)}")
    return page(item.id, "".join(body))


def _found(outcome: Outcome, files: Files) -> str:
    """A counterexample of this run, folded unless it is unexpected."""
    trace = outcome.counterexample
    if trace is None:
        return ""
    opened = " open" if outcome.verdict is Verdict.UNEXPECTED else ""
    heading = f"Found by {trace.engine} in this run: {outcome.check}"
    return (
        f"<details{opened}><summary>{text(heading)} {badge(outcome.verdict)}</summary>"
        f"{_trace(trace, outcome.check, files)}</details>"
    )


def _names(item: Property) -> str:
    """Where the evidence stands in the sources."""
    kinds = (("TLA+", item.tla), ("Theorems", item.theorems), ("Tests", item.tests))
    entries = "".join(
        f"<li>{kind}: {', '.join(f'<code>{text(name)}</code>' for name in names)}</li>"
        for kind, names in kinds
        if names
    )
    return f"<ul>{entries}</ul>" if entries else ""


def _played(shown: Counterexample, files: Files) -> str:
    return (
        f"<section><h3>The wrong rule <code>{text(shown.variant)}</code></h3>"
        f"{_trace(shown.refuted, shown.variant, files)}<h3>The right rule on the same events</h3>"
        f"{_trace(shown.corrected, f'{shown.variant}-corrected', files)}</section>"
    )


def _trace(trace: Trace, name: str, files: Files) -> str:
    """The drawing, its steps as a table, and the files to take away."""
    drawing = draw(trace)
    stem = f"{TRACES}/{_slug(name)}"
    files[f"{stem}.svg"] = drawing
    files[f"{stem}.ndjson"] = ndjson.write(trace)
    files[f"{stem}.itf.json"] = itf.write(trace)
    links = ", ".join(
        f"<a href='{stem}.{ending}' download>{label}</a>"
        for ending, label in (("ndjson", "NDJSON"), ("itf.json", "ITF"), ("svg", "SVG"))
    )
    return (
        f"<figure>{drawing}</figure><p class='files'>Take it away as {links}.</p>"
        f"<details><summary>Step by step</summary>{step_table(trace)}</details>"
    )


def _slug(name: str) -> str:
    """A file name of letters, digits, hyphens, dots and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") or "trace"
