"""A child process with a deadline, a limit on its output, and its output in a log.

A check runs in a process group of its own (see :mod:`scratchbird_check.worker`), and its children stay in
that group: whoever ends the check, at Ctrl-C or at a time-out, ends them with it. So nothing here starts a
new group; :func:`run` itself ends its child when the deadline has passed or the output is too long.
"""

from __future__ import annotations

import contextlib
import os
import resource
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of output after which a child is ended: it has gone mad, and would fill the disk."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended."""

    returncode: int
    """Negative for a signal, as in :mod:`subprocess`."""
    seconds: float
    log: Path
    timed_out: bool = False
    overflowed: bool = False
    """Whether it was ended because it wrote more than the limit."""

    def text(self) -> str:
        """The output, both streams in order of arrival."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def why(self) -> str:
        """Why this is no orderly end, in a few words; empty if it is one."""
        if self.timed_out:
            return f"time limit reached after {self.seconds:.0f} s"
        if self.overflowed:
            return f"wrote more than {MAX_OUTPUT // 2**20} MiB of output"
        if self.returncode < 0:
            return f"killed by signal {-self.returncode}"
        return ""


def run(
    argv: Sequence[str],
    *,
    log: Path,
    timeout_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    memory_mb: int | None = None,
    on_line: Callable[[str], None] | None = None,
    max_output: int = MAX_OUTPUT,
) -> Ended:
    """Run a program to its end, or end it at the deadline.

    :param log: receives standard output and standard error.
    :param env: replaces the environment; ``None`` hands down our own.
    :param memory_mb: limit on the address space. ``None`` lifts the limit that the check itself is under, as
        a Java virtual machine needs: it reserves far more than it uses, and is limited by ``-Xmx``.
    :param on_line: is called with every line of output as it comes.
    :raises FileNotFoundError: if there is no such program; :class:`PermissionError` if it cannot be run.
    """
    started = time.monotonic()
    with log.open("wb") as sink, address_space(memory_mb):
        child = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert child.stdout is not None
        with child.stdout as stream:
            try:
                complete, overflowed = _copy(child, stream, sink, started + timeout_s, max_output, on_line)
            finally:
                if child.poll() is None:
                    child.kill()
                    child.wait()
    return Ended(
        returncode=child.returncode,
        seconds=time.monotonic() - started,
        log=log,
        timed_out=not complete and not overflowed,
        overflowed=overflowed,
    )


def _copy(
    child: subprocess.Popen[bytes],
    stream: IO[bytes],
    sink: IO[bytes],
    deadline: float,
    left: int,
    on_line: Callable[[str], None] | None,
) -> tuple[bool, bool]:
    """Copy the output until the child has ended; whether it did in time, and whether it wrote too much."""
    rest = b""
    open_ = True
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while open_:
            wait = deadline - time.monotonic()
            if wait <= 0:
                return False, False
            # A child of the child may hold the stream open after the child's end: look at both.
            if not selector.select(min(wait, 0.5)):
                if child.poll() is not None:
                    return True, False
                continue
            data = os.read(stream.fileno(), 65536)
            open_ = bool(data)
            sink.write(data[:left])
            sink.flush()
            if len(data) > left:
                return False, True
            left -= len(data)
            *lines, rest = (rest + data).split(b"\n")
            if on_line is not None:
                for line in lines:
                    on_line(line.decode("utf-8", "replace"))
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False, False
    return True, False


@contextlib.contextmanager
def address_space(memory_mb: int | None) -> Iterator[None]:
    """Children inherit the soft limit that holds while they are started; ours is put back afterwards.

    ``None`` lifts the limit that we are under ourselves: a Java machine cannot even say its version under it.

    A function that runs in the child before the program would do the same, but is not safe beside threads.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit_address_space(memory_mb)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def limit_address_space(memory_mb: int | None) -> None:
    """Set our own soft limit, as far as the hard one allows; ``None`` lifts it up to the hard one.

    Systems that do not know this limit (macOS) may refuse it: then there is none.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = hard if memory_mb is None else memory_mb * 2**20
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
