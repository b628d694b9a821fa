"""A run as JUnit XML, the form that continuous integration services show.

One test case for each check, in a suite for each part. *Not run* is skipped, with the remedy as its message;
*unexpected* is a failure, with the counterexample's steps and the name of the log.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from scratchbird_check.files import write_atomically
from scratchbird_check.manifest import Check
from scratchbird_check.results import PropertyResult, Run
from scratchbird_check.traces.model import Trace
from scratchbird_check.verdicts import Outcome, Verdict

_LEDGER = "ledger"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_xml(run: Run) -> str:
    """The report's text."""
    root = ET.Element("testsuites", name="scratchbird_check", time=f"{run.seconds:.3f}")
    paired = list(zip(run.checks, run.outcomes, strict=True))
    for part in dict.fromkeys(check.part for check in run.checks):
        suite = ET.SubElement(root, "testsuite", name=part, timestamp=run.started.removesuffix("Z"))
        for check, outcome in paired:
            if check.part == part:
                _case(suite, check, outcome)
        _count(suite)
    # A promise may fail without any check failing: no check of the manifest can give it its verdict.
    broken = [item for item in run.properties if item.verdict is Verdict.UNEXPECTED and not _failed(item)]
    if broken:
        suite = ET.SubElement(root, "testsuite", name=_LEDGER, timestamp=run.started.removesuffix("Z"))
        for item in broken:
            case = ET.SubElement(suite, "testcase", name=item.promise.id, classname=_LEDGER, time="0")
            ET.SubElement(case, "failure", message=_clean(item.note), type=item.verdict.value)
        _count(suite)
    _sum(root)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def write(run: Run, path: Path) -> None:
    """Write the report, whole or not at all."""
    write_atomically(path, to_xml(run))


def _case(suite: ET.Element, check: Check, outcome: Outcome) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        name=check.id,
        classname=f"scratchbird_check.{check.part}.{check.engine}",
        time=f"{outcome.seconds:.3f}",
    )
    properties = ET.SubElement(case, "properties")
    ET.SubElement(properties, "property", name="verdict", value=outcome.verdict.value)
    for name in outcome.properties:
        ET.SubElement(properties, "property", name="promise", value=name)
    for name, figure in outcome.figures.items():
        ET.SubElement(properties, "property", name=_clean(str(name)), value=_clean(str(figure)))
    match outcome.verdict:
        case Verdict.NOT_RUN:
            ET.SubElement(case, "skipped", message=_clean(outcome.remedy or outcome.detail))
        case Verdict.UNEXPECTED:
            failure = ET.SubElement(
                case, "failure", message=_clean(outcome.detail), type=outcome.verdict.value
            )
            lines = [outcome.detail, *_steps(outcome.counterexample)]
            lines += [f"log: {outcome.log}"] if outcome.log else []
            failure.text = _clean("\n".join(lines))
        case _:
            ET.SubElement(case, "system-out").text = _clean(f"{outcome.verdict.value}: {outcome.detail}")


def _steps(trace: Trace | None) -> Sequence[str]:
    if trace is None:
        return ()
    return [f"{step.number}. {step.lane or ''} {step.label}".rstrip() for step in trace.steps]


def _failed(item: PropertyResult) -> bool:
    return any(outcome.verdict is Verdict.UNEXPECTED for outcome in item.outcomes)


def _count(suite: ET.Element) -> None:
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", "0")
    suite.set("skipped", str(len(suite.findall("testcase/skipped"))))
    suite.set("time", f"{sum(float(case.get('time', '0')) for case in cases):.3f}")


def _sum(root: ET.Element) -> None:
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))


def _clean(text: str) -> str:
    """Without the characters that XML cannot hold, such as the escapes of colours in an engine's output."""
    return _NOT_XML.sub("�", text)
