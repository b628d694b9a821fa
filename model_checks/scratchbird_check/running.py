"""``scratchbird_check run``: choose the checks, run them, judge the promises, report."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchbird_check import ledger, manifest, places, resources, tools
from scratchbird_check.errors import ManifestError, UsageError
from scratchbird_check.files import check_writable_file, check_writable_folder
from scratchbird_check.ledger import Property
from scratchbird_check.manifest import ENGINES, Check, suggest
from scratchbird_check.report import console, html, json_report, junit
from scratchbird_check.results import Run, judge
from scratchbird_check.runner import Interrupted, Runner
from scratchbird_check.worker import missing

OK, UNEXPECTED, MISSING = 0, 1, 3
KEPT = ".scratchbird-kept"
"""Marks a folder whose contents are ours, so that nobody else's are removed."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for."""

    profile: str = "quick"
    parts: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    keep: Path | None = None
    jobs: int | None = None
    seed: int = 0
    verbose: bool = False
    manifest: Path | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """The engines without which the run makes no sense."""
        return ENGINES if self.profile == "ci" else self.require


def run(request: Request) -> int:
    """Run what was asked for; the exit status."""
    everything, properties = load(request)
    checks = select(everything, properties, request)
    _check_outputs(request)
    if lacking := [text for name in request.required if (text := missing(name))]:
        for text in lacking:
            print(f"scratchbird_check run: a required engine is missing: {text}", file=sys.stderr)
        return MISSING
    scope = in_scope(properties, checks, request)
    started = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    begun = time.monotonic()
    with _folder(request) as folder:
        try:
            with console.progress(len(checks)) as listener:
                outcomes = Runner(
                    checks,
                    folder,
                    listener,
                    profile=request.profile,
                    seed=request.seed,
                    jobs=request.jobs or os.cpu_count() or 1,
                    keep=request.keep is not None,
                    manifest=request.manifest,
                ).run()
        except Interrupted as interrupted:
            done = len(interrupted.outcomes)
            print(
                f"scratchbird_check run: {interrupted}; {done} of {len(checks)} checks had ended",
                file=sys.stderr,
            )
            if request.keep is None:
                shutil.rmtree(folder, ignore_errors=True)
            return 128 + interrupted.number
        result = Run(
            version=_version(),
            profile=request.profile,
            seed=request.seed,
            started=started,
            seconds=time.monotonic() - begun,
            machine=machine(),
            checks=tuple(checks),
            outcomes=outcomes,
            properties=tuple(judge(item, outcomes, everything) for item in scope),
            tools=tools.found(),
            folder=folder,
        )
        _write(result, request)
    print(console.summary(result, request.verbose, colour=console.colours(sys.stdout)))
    return status(result, request.required)


def status(result: Run, required: Sequence[str]) -> int:
    """1 if anything was unexpected, else 3 if a check of a required engine, or every check, was not run."""
    if not result.passed:
        return UNEXPECTED
    if len(result.not_run) == len(result.outcomes):
        return MISSING
    engines = {check.id: check.engine for check in result.checks}
    if any(engines[outcome.check] in required for outcome in result.not_run):
        return MISSING
    return OK


# --- what to run ------------------------------------------------------------------------------------------


def load(request: Request) -> tuple[tuple[Check, ...], tuple[Property, ...]]:
    """Manifest and ledger, which must know each other."""
    if request.manifest is None:
        text, source = resources.manifest_text(), "manifest.toml"
    else:
        source = str(request.manifest)
        try:
            text = request.manifest.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot read the manifest {source}: {why}; give the path of a TOML file with [[check]] "
                "tables, or leave --manifest out for the checks that ship"
            ) from None
    checks = manifest.parse(text, source)
    properties = ledger.parse(resources.ledger_text())
    known = [item.id for item in properties]
    for check in checks:
        for name in check.properties:
            if name not in known:
                raise ManifestError(
                    f"{source}: check {check.id!r}: unknown property {name!r}: {suggest(name, known)}"
                )
    return checks, properties


def select(checks: Sequence[Check], properties: Sequence[Property], request: Request) -> list[Check]:
    """The checks that all the given conditions leave.

    :raises UsageError: if a name is unknown, or nothing is left; it says why.
    """
    wanted = {_id(name, checks, properties) for name in request.only}
    chosen = [
        check
        for check in checks
        if (not wanted or check.id in wanted or wanted & set(check.properties))
        and (not request.parts or check.part in request.parts)
        and (not request.engines or check.engine in request.engines)
    ]
    in_profile = [check for check in chosen if request.profile in check.profiles]
    for name in sorted(wanted):
        mine = [check for check in chosen if name == check.id or name in check.properties]
        if mine and not any(check in in_profile for check in mine):
            others = " or ".join(sorted({profile for check in mine for profile in check.profiles}))
            raise UsageError(f"{name} is not in the profile {request.profile!r}: add --profile {others}")
    if not in_profile:
        raise UsageError(
            "no check is left: the manifest has none of this profile, part, engine and id together; "
            "`scratchbird_check list` shows them"
        )
    return in_profile


def _id(name: str, checks: Sequence[Check], properties: Sequence[Property]) -> str:
    known = [check.id for check in checks] + [item.id for item in properties]
    if name in known:
        return name
    if name.upper() in known:
        return name.upper()
    raise UsageError(f"--only {name!r} is no promise and no check: {suggest(name, known)}")


def in_scope(properties: Sequence[Property], checks: Sequence[Check], request: Request) -> list[Property]:
    """The promises of the table: those with evidence in this run, and all of a part that is run whole."""
    touched = {name for check in checks for name in check.properties}
    if request.only:
        asked = {name.upper() for name in request.only} & {item.id for item in properties}
        touched = asked or touched
    whole = not request.only and not request.engines
    return [
        item
        for item in properties
        if item.id in touched or (whole and (not request.parts or item.part in request.parts))
    ]


# --- around it --------------------------------------------------------------------------------------------


def _check_outputs(request: Request) -> None:
    for file in (request.json, request.junit):
        if file is not None:
            check_writable_file(file)
    if request.keep is not None:
        check_writable_folder(request.keep)
        if request.keep.is_dir() and any(request.keep.iterdir()) and not (request.keep / KEPT).is_file():
            raise UsageError(
                f"cannot keep logs in {request.keep}: it holds files that no run kept there, and folders "
                "named after checks are emptied; name a new or an empty folder"
            )
    if request.html is not None:
        html.check_folder(request.html)


@contextlib.contextmanager
def _folder(request: Request) -> Iterator[Path]:
    """Where the checks work. Without --keep it goes at the end, unless it still holds a log."""
    if request.keep is not None:
        request.keep.mkdir(exist_ok=True)
        (request.keep / KEPT).touch()
        yield request.keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="scratchbird-"))
    complete = False
    try:
        yield folder
        complete = True
    finally:
        if not complete or not folder.is_dir() or not any(folder.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)


def _write(result: Run, request: Request) -> None:
    """The reports that were asked for, and the last run for ``explain``."""
    try:
        if request.json is not None:
            json_report.write(result, request.json)
        if request.junit is not None:
            junit.write(result, request.junit)
        if request.html is not None:
            html.write(result, request.html)
    except OSError as error:
        raise UsageError(f"a report could not be written: {error}") from None
    # A convenience: a machine without a cache folder loses nothing but it.
    with contextlib.suppress(OSError):
        places.cache().mkdir(parents=True, exist_ok=True)
        json_report.write(result, places.last_run())


def machine() -> str:
    """The machine in one line, for the reports."""
    cores = os.cpu_count() or 1
    return f"{platform.system()} {platform.machine()}, {cores} cores, Python {platform.python_version()}"


def _version() -> str:
    from scratchbird_check.cli import package_version

    return package_version()
