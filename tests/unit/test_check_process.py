"""Children with a deadline, a limit on memory and on output."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest

from scratchbird_check.engines import process

HANGS = "import sys, threading; print('begun', flush=True); threading.Event().wait()"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_and_status_are_kept(tmp_path: Path) -> None:
    lines: list[str] = []
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(7)"
    ended = process.run(python(code), log=tmp_path / "log", timeout_s=60, on_line=lines.append)
    assert (ended.returncode, ended.why()) == (7, "")
    assert ended.text() == "out\nerr\n"
    assert lines == ["out", "err"]


def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    ended = process.run(python(HANGS), log=tmp_path / "log", timeout_s=0.2)
    assert ended.timed_out
    assert ended.why().startswith("time limit")
    assert ended.returncode == -9


def test_a_child_that_closes_its_output_and_hangs_is_ended(tmp_path: Path) -> None:
    code = "import os, threading; os.close(1); os.close(2); threading.Event().wait()"
    assert process.run(python(code), log=tmp_path / "log", timeout_s=0.5).timed_out


def test_a_grandchild_that_holds_the_output_does_not_hold_us(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {HANGS!r}])\n"
        "print(child.pid, flush=True)"
    )
    ended = process.run(python(code), log=tmp_path / "log", timeout_s=60)
    try:
        assert (ended.returncode, ended.why()) == (0, "")
    finally:
        import os
        import signal

        os.kill(int(ended.text().split()[0]), signal.SIGKILL)


def test_a_child_that_never_stops_writing_is_ended(tmp_path: Path) -> None:
    code = "import sys\nwhile True: sys.stdout.write('x' * 1000)"
    ended = process.run(python(code), log=tmp_path / "log", timeout_s=60, max_output=5000)
    assert ended.overflowed
    assert not ended.timed_out
    assert "output" in ended.why()
    assert (tmp_path / "log").stat().st_size == 5000


def test_a_crash_is_named(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert process.run(python(code), log=tmp_path / "log", timeout_s=60).why() == "killed by signal 11"


def test_memory_is_limited_and_our_own_limit_put_back(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    code = "x = bytearray(900 * 2**20)"
    ended = process.run(python(code), log=tmp_path / "log", timeout_s=60, memory_mb=600)
    assert ended.returncode == 1
    assert "MemoryError" in ended.text()
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_without_a_limit_the_childs_is_lifted(tmp_path: Path) -> None:
    """As Java needs it, which is started by a check that is itself under a limit."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_AS)[0])"
    process.limit_address_space(64 * 1024)
    try:
        ended = process.run(python(code), log=tmp_path / "log", timeout_s=60)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert int(ended.text()) == before[1]


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        process.run(["/no/such/program"], log=tmp_path / "log", timeout_s=1)
