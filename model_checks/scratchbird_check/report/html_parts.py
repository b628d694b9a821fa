"""The pieces of which the pages of a report are made: style, badges, tables."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from scratchbird_check.report.text import setup_sentence, shown_number, shown_steps, unbroken
from scratchbird_check.results import Run
from scratchbird_check.traces.model import Step, Trace
from scratchbird_check.verdicts import Outcome, Verdict

GENERATOR = "<meta name='generator' content='scratchbird_check'>"
"""By which a report is recognised as ours before it is replaced."""

_CLASSES = {
    Verdict.PROVED: "good",
    Verdict.CHECKED: "good",
    Verdict.COMPUTED: "good",
    Verdict.MEASURED: "good",
    Verdict.REFUTED: "refuted",
    Verdict.UNEXPECTED: "bad",
    Verdict.NOT_RUN: "open",
}

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #5b6773; --page: #ffffff; --line: #d5dbe1;
  --band: #f4f6f8; --link: #1d5fbf }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --soft: #a3adb8; --page: #14181d;
  --line: #38414b; --band: #1d232a; --link: #7fb0ff } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1.5rem clamp(.8rem, 4vw, 2.5rem) 4rem; max-width: 70rem; color: var(--ink);
  background: var(--page); font: 16px/1.5 system-ui, -apple-system, 'Segoe UI', Roboto, Arial, sans-serif }
h1 { font-size: 1.7rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin-top: 2rem } h3 { font-size: 1rem }
a { color: var(--link) } small { color: var(--soft) } code { font-size: .9em; overflow-wrap: anywhere }
.lead { font-size: 1.15rem } .counts { display: flex; flex-wrap: wrap; gap: .5rem 1.2rem; padding: 0;
  list-style: none }
.badge { display: inline-block; padding: .1rem .55rem; border-radius: 1rem; font-size: .85rem;
  font-weight: 600; white-space: nowrap; color: #ffffff; vertical-align: middle }
.good { background: #1e6b3a } .refuted { background: #1d5fbf } .bad { background: #b3261e }
.open { background: #6b5200 }
table { border-collapse: collapse; width: 100%; font-size: .95rem } th, td { padding: .5rem .6rem;
  border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; overflow-wrap: anywhere }
thead th { overflow-wrap: normal; background: var(--band); font-size: .85rem; color: var(--soft) }
th[scope=row] { white-space: nowrap } td.number { text-align: right; white-space: nowrap }
tr.wrong td, tr.wrong th { background: #fdeceb; color: #b3261e; font-weight: 600 }
figure { margin: 1rem 0; overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem;
  background: #ffffff } figure svg { display: block; max-width: 100%; height: auto }
details { margin: .8rem 0; border-left: 3px solid var(--line); padding-left: .8rem }
td details { margin: .3rem 0 } summary { cursor: pointer } .files { font-size: .9rem; color: var(--soft) }
.told { background: var(--band); padding: .2rem 1rem; border-radius: .5rem }
@media (max-width: 46rem) {
  thead { display: none } table, tbody, tr, td, th[scope=row] { display: block; width: 100% }
  tr { border-bottom: 1px solid var(--line); padding: .5rem 0 } td, th[scope=row] { border: 0;
    padding: .15rem 0 } td.number { text-align: left }
  td[data-label]:not(:empty)::before { content: attr(data-label) ": "; color: var(--soft) }
  figure svg { min-width: 26rem } }
@media print { details > * { display: block } }
"""


def text(value: object) -> str:
    """Anything as text that is safe in an element and in an attribute."""
    return escape(str(value), quote=True)


def page(title: str, body: str) -> str:
    """A whole document, with its style inside it."""
    return (
        f"<!DOCTYPE html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n{GENERATOR}\n"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>\n"
        f"<title>{text(title)} - scratchbird_check</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def badge(verdict: Verdict) -> str:
    """The verdict's word on its colour: the word says it, the colour only helps."""
    return f"<span class='badge {_CLASSES[verdict]}'>{text(verdict.value)}</span>"


def paragraphs(content: str) -> str:
    """Plain text, a paragraph for each of its lines."""
    lines = [f"<p>{text(line)}</p>" for line in unbroken(content) if line]
    return f"<div class='told'>{''.join(lines)}</div>" if lines else ""


def evidence_table(run: Run, outcomes: Iterable[Outcome]) -> str:
    """One row a check: what it is, what it said, how long it took, and how to run it alone."""
    rows = "".join(_evidence(run, outcome) for outcome in outcomes)
    if not rows:
        return "<p>No check of this run is evidence for it.</p>"
    return (
        "<table><thead><tr><th>Check</th><th>Verdict</th><th>Bounds, states, depth</th><th>Time</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


def _evidence(run: Run, outcome: Outcome) -> str:
    command = f"scratchbird_check run --profile {run.profile} --only {outcome.check}"
    figures = ", ".join(f"{name} {_figure(value)}" for name, value in outcome.figures.items())
    more = f"<details><summary>figures</summary><small>{text(figures)}</small></details>" if figures else ""
    if outcome.remedy:
        more += f"<div><small>{text(outcome.remedy)}</small></div>"
    if outcome.log is not None and outcome.verdict is Verdict.UNEXPECTED:
        more += f"<div><small>log: <code>{text(outcome.log)}</code></small></div>"
    return (
        f"<tr><th scope='row'><code>{text(outcome.check)}</code></th>"
        f"<td data-label='Verdict'>{badge(outcome.verdict)}</td>"
        f"<td data-label='Found'>{text(outcome.detail)}{more}"
        f"<div><small><code>{text(command)}</code></small></div></td>"
        f"<td class='number' data-label='Time'>{outcome.seconds:.1f} s</td></tr>"
    )


def _figure(value: float | str) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def step_table(trace: Trace) -> str:
    """The steps with what changed in each."""
    rows = "".join(_step(trace, step) for step in shown_steps(trace))
    setup = setup_sentence(trace)
    head = "<thead><tr><th>Step</th><th>Who</th><th>What</th><th>What changed</th></tr></thead>"
    before = f"<p><small>{text(setup)}</small></p>" if setup else ""
    return f"{before}<table>{head}<tbody>{rows}</tbody></table>"


def _step(trace: Trace, step: Step) -> str:
    sent = "".join(
        f"<br><small>sent by {text(arrow.from_lane)} in step {shown_number(trace, arrow.from_step)}</small>"
        for arrow in step.arrows
    )
    changes = "<br>".join(
        f"{text(change.name)}: {text(change.before)} → {text(change.after)}" for change in step.changes
    )
    wrong = " class='wrong'" if step.wrong else ""
    verdict = " (this step is wrong)" if step.wrong else ""
    return (
        f"<tr{wrong}><th scope='row'>{shown_number(trace, step.number)}</th>"
        f"<td data-label='Who'>{text(step.lane or 'the world')}</td>"
        f"<td data-label='What'>{text(step.label)}{verdict}{sent}</td>"
        f"<td data-label='What changed'>{changes}</td></tr>"
    )
