"""Runs checks side by side, each as a process group of its own, and ends every one of them, come what may.

One thread and one loop. Signals only set a flag and wake the loop, so that there is no moment at which a
child has been started and is not yet known. Whatever does not end with a readable outcome -- a crash, a
time-out, an engine that the system killed -- is *unexpected*, and its log is kept and named.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Protocol

from scratchbird_check import codec
from scratchbird_check.manifest import Check
from scratchbird_check.verdicts import Outcome, Verdict
from scratchbird_check.worker import OUTCOME

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GROUP_GRACE_S = 5.0
"""How long the children of a check that was killed may take to be gone: a large Java needs a while."""


class Interrupted(Exception):
    """A signal ended the run; every child is gone."""

    def __init__(self, number: int, outcomes: tuple[Outcome, ...]) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.number = number
        self.outcomes = outcomes
        """Of the checks that had ended."""


class Listener(Protocol):
    """Who watches a run."""

    def started(self, check: Check) -> None: ...

    def progress(self, check: Check, text: str) -> None: ...

    def ended(self, check: Check, outcome: Outcome) -> None: ...

    def refresh(self) -> None:
        """Called a few times a second while checks run."""


@dataclass(slots=True)
class _Running:
    check: Check
    child: subprocess.Popen[bytes]
    workdir: Path
    started: float
    progress: int
    """The end of a pipe from which the worker's lines are read."""
    rest: bytes = b""
    open: bool = True


@dataclass(slots=True)
class Runner:
    """What to run, and how."""

    checks: Sequence[Check]
    folder: Path
    """Each check works in a folder of its own inside; it must exist."""
    listener: Listener
    profile: str = "quick"
    seed: int = 0
    jobs: int = 1
    keep: bool = False
    """Keep every log and scratch file, not only the logs of what was unexpected."""
    manifest: Path | None = None
    """Another manifest than the one that ships."""
    _running: list[_Running] = field(default_factory=list)
    _signal: int = 0

    def run(self) -> tuple[Outcome, ...]:
        """Run every check.

        :returns: an outcome for each, in the order of ``checks``.
        :raises Interrupted: after SIGINT, SIGTERM or SIGHUP, when every child has been ended.
        """
        waiting = sorted(self.checks, key=lambda check: -check.timeout_s)  # The longest first.
        done: dict[str, Outcome] = {}
        with selectors.DefaultSelector() as selector, self._signals(selector):
            try:
                while (waiting or self._running) and not self._signal:
                    self._start(waiting, selector)
                    self._wait(selector)
                    for running in list(self._running):
                        if (outcome := self._look(running, selector)) is not None:
                            done[running.check.id] = outcome
                            self.listener.ended(running.check, outcome)
                    self.listener.refresh()
            finally:
                for running in self._running:
                    _end_group(running.child)
                    os.close(running.progress)
                self._running.clear()
        outcomes = tuple(done[check.id] for check in self.checks if check.id in done)
        if self._signal:
            raise Interrupted(self._signal, outcomes)
        return outcomes

    # --- the loop -----------------------------------------------------------------------------------------

    def _start(self, waiting: list[Check], selector: selectors.BaseSelector) -> None:
        """Start what fits. A check with several threads takes as many of the jobs."""
        for check in list(waiting):
            used = sum(self._cost(running.check) for running in self._running)
            if used + self._cost(check) <= self.jobs:
                waiting.remove(check)
                running = self._spawn(check)
                self._running.append(running)
                selector.register(running.progress, selectors.EVENT_READ, running)
                self.listener.started(check)

    def _cost(self, check: Check) -> int:
        workers = check.options.get("workers", 1)
        return self.jobs if workers == "auto" else max(1, min(int(workers), self.jobs))

    def _spawn(self, check: Check) -> _Running:
        workdir = self.folder / check.id
        shutil.rmtree(workdir, ignore_errors=True)  # Of an earlier run that was to be kept.
        workdir.mkdir()
        reading, writing = os.pipe()
        # -P: what lies about in the current folder is not imported.
        command = [sys.executable, "-P", "-m", "scratchbird_check.worker", check.id]
        command += ["--profile", self.profile, "--seed", str(self.seed), "--workdir", str(workdir)]
        command += ["--progress-fd", str(writing), "--with-runner"]
        if self.manifest is not None:
            command += ["--manifest", str(self.manifest)]
        try:
            with (workdir / "worker.log").open("wb") as log:
                child = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,  # Never written to: it ends when we do, and the worker with it.
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writing,),
                    # The order of sets is part of the seed: the same run again takes the same steps.
                    env={**os.environ, "PYTHONHASHSEED": "0"},
                    process_group=0,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return _Running(check, child, workdir, time.monotonic(), reading)

    def _wait(self, selector: selectors.BaseSelector) -> None:
        """Until a worker says something, a signal comes, or a short while has passed."""
        for key, _ in selector.select(0.2):
            running = key.data
            if not isinstance(running, _Running):
                continue  # The signal's wake-up; the flag is set.
            data = os.read(running.progress, 65536)
            if not data:
                selector.unregister(running.progress)
                running.open = False
                continue
            *lines, running.rest = (running.rest + data).split(b"\n")
            if lines:
                self.listener.progress(running.check, lines[-1].decode("utf-8", "replace"))

    def _look(self, running: _Running, selector: selectors.BaseSelector) -> Outcome | None:
        """The outcome of a check that has ended or is over its time, else ``None``."""
        seconds = time.monotonic() - running.started
        ended = not running.open or running.child.poll() is not None
        late = seconds > running.check.timeout_s
        if not ended and not late:
            return None
        status = _end_group(running.child)
        if running.open:
            selector.unregister(running.progress)
        os.close(running.progress)
        self._running.remove(running)
        if ended:
            outcome = self._read(running, status)
        else:
            words = f"time limit of {running.check.timeout_s:g} s reached"
            outcome = Outcome(running.check.id, Verdict.UNEXPECTED, words, running.check.properties)
        return self._tidy(running, replace(outcome, seconds=seconds))

    def _read(self, running: _Running, status: int) -> Outcome:
        check = running.check
        try:
            if status != 0:
                how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
                raise ValueError(f"the engine {check.engine} crashed: {how}")
            return codec.outcome_from_json(json.loads((running.workdir / OUTCOME).read_text("utf-8")))
        except FileNotFoundError:
            words = f"the engine {check.engine} ended without an outcome"
        except ValueError as error:
            words = str(error)
        return Outcome(check.id, Verdict.UNEXPECTED, words, check.properties)

    def _tidy(self, running: _Running, outcome: Outcome) -> Outcome:
        """Keep the log of what was unexpected; remove the rest unless all is to be kept."""
        workdir = running.workdir
        if outcome.verdict is Verdict.UNEXPECTED:
            log = outcome.log
            if log is None or not log.is_file():
                # Without an engine's own output: the newest log, which is the one that was being written.
                logs = sorted(workdir.glob("*.log"), key=lambda path: path.stat().st_mtime)
                log = next((path for path in reversed(logs) if path.stat().st_size), workdir / "worker.log")
            outcome = replace(outcome, log=log)
        if self.keep:
            return outcome
        for scratch in workdir.glob("*-scratch"):
            shutil.rmtree(scratch, ignore_errors=True)
        if outcome.verdict is not Verdict.UNEXPECTED:
            shutil.rmtree(workdir, ignore_errors=True)
            outcome = replace(outcome, log=None)
        return outcome

    # --- signals ------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals(self, selector: selectors.BaseSelector) -> Iterator[None]:
        """Let signals set a flag and wake the loop; put everything back afterwards."""
        receiving, sending = socket.socketpair()
        receiving.setblocking(False)
        sending.setblocking(False)
        selector.register(receiving, selectors.EVENT_READ)

        def note(number: int, frame: FrameType | None) -> None:
            self._signal = number

        before = {number: signal.signal(number, note) for number in SIGNALS}
        wakeup = signal.set_wakeup_fd(sending.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            selector.unregister(receiving)
            receiving.close()
            sending.close()


def _end_group(child: subprocess.Popen[bytes]) -> int:
    """End whatever is left of the group, wait until it is gone, and return the leader's exit status.

    The others are no children of ours, so they are asked for by their group: whoever removes their files
    while they die would have them made anew.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    status = child.wait()
    if child.stdin is not None:
        child.stdin.close()
    until = time.monotonic() + GROUP_GRACE_S
    while time.monotonic() < until and _is_there(child.pid):
        time.sleep(0.005)  # The end of processes that are no children of ours can only be asked for.
    return status


def _is_there(group: int) -> bool:
    """Whether any process of the group that was killed is left."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):  # Gone, or the number is somebody else's by now.
        return False
    return True
