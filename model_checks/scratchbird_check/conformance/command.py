"""A process in any language as an implementation under test: one JSON line in, one JSON line out.

The child may do anything: end, hang, write garbage, write without end, start children of its own. So every
answer has a deadline and a longest line, what it writes to standard error is kept for the report, and at the
end its whole process group is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any

from scratchbird_check.conformance.differences import printable
from scratchbird_check.conformance.drivers import (
    Answer,
    DeclinedError,
    Hello,
    HelloRefusedError,
    ImplementationError,
)
from scratchbird_check.conformance.reading import MAX_LINE, parse_object
from scratchbird_check.errors import UsageError
from scratchbird_check.traces.hlc import Json

DEADLINE_S = 10.0
"""How long an implementation may take for one line, unless the caller says otherwise."""
GRACE_S = 2.0
"""How long it may take to end after its standard input was closed."""
BROKEN_GRACE_S = 0.5
"""The same for one that broke the protocol, and may still tell why it ends."""
_STDERR_TAIL = 2000
_STDOUT_HEAD = 2000
_CHUNK = 1 << 16


class CommandDriver:
    """A child process. It is started by the first :meth:`hello`, and again by the first one after it failed.

    Use it as a context manager, or call :meth:`close`.
    """

    def __init__(self, command: str, deadline_s: float = DEADLINE_S) -> None:
        self.name = command
        self._deadline_s = deadline_s
        try:
            self._arguments = shlex.split(command)
        except ValueError as error:
            raise UsageError(f"--command {command!r} cannot be read: {error}") from None
        if not self._arguments:
            raise UsageError("--command is empty: give the command that starts the implementation")
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the driver, see close()
        self._buffer = bytearray()
        self._left = bytearray()  # Of its standard output, when it was ended.
        self._state: Json = {}  # By the last answer; an error may leave it out.

    def __enter__(self) -> CommandDriver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- the protocol ---------------------------------------------------------------------------------

    def hello(self, hello: Hello) -> None:
        if self._process is None:
            self._start()
        reply = self._exchange({"hello": hello.to_json()})
        if "error" in reply:
            raise HelloRefusedError(str(reply["error"]))
        if reply.get("ok") is False:
            raise DeclinedError(str(reply.get("reason", "no reason given")))
        if reply.get("ok") is not True:
            raise self._broken(
                f"it answered hello with {_short(reply)}: expected "
                '{"ok": true}, {"ok": false, "reason": "..."} or {"error": "..."}'
            )
        self._state = hello.state()

    def step(self, event: Json) -> Answer:
        reply = self._exchange({"event": event})
        state = reply.get("state", self._state if "error" in reply else {})
        error = reply.get("error", "")
        effects = reply.get("effects", [])
        well_formed = (
            ("error" in reply) != ("effects" in reply)
            and isinstance(state, dict)
            and isinstance(error, str)
            and isinstance(effects, list)
            and all(isinstance(effect, dict) for effect in effects)
            and ("error" not in reply or error != "")
        )
        if not well_formed:
            raise self._broken(
                f"it answered an event with {_short(reply)}: expected "
                '{"effects": [...], "state": {...}} or {"error": "...", "state": {...}}'
            )
        self._state = state
        return Answer(tuple(effects), state, error)

    # --- the process ----------------------------------------------------------------------------------

    def _start(self) -> None:
        self._buffer.clear()
        self._stderr.seek(0)
        self._stderr.truncate()
        try:
            self._process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                bufsize=0,
                start_new_session=True,
            )
        except OSError as error:
            raise UsageError(
                f"--command cannot be started: {self._arguments[0]!r}: {error.strerror}; give a program on "
                "the PATH or its full path, in quotes with its arguments"
            ) from None
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def _exchange(self, request: Json) -> Json:
        process = self._process
        if process is None:
            raise ImplementationError("the implementation is not running")
        assert process.stdin is not None
        assert process.stdout is not None
        if self._buffer:
            surplus = _short(bytes(self._buffer))
            self._buffer.clear()
            raise self._broken(f"it wrote more than one line for one: {surplus}")
        until = time.monotonic() + self._deadline_s
        self._write(process.stdin.fileno(), json.dumps(request).encode() + b"\n", until)
        line = self._read_line(process.stdout.fileno(), until)
        try:
            return parse_object(line)
        except ValueError as error:
            raise self._broken(f"it answered {_short(line)}, which is no JSON object: {error}") from None

    def _write(self, pipe: int, data: bytes, until: float) -> None:
        while data:
            self._wait([], [pipe], until, "read its standard input")
            try:
                data = data[os.write(pipe, data[:_CHUNK]) :]
            except BrokenPipeError:
                raise self._broken("it closed its standard input") from None

    def _read_line(self, pipe: int, until: float) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE:
                self._buffer.clear()  # Nobody wants to see it.
                raise self._broken(f"it wrote a line longer than {MAX_LINE} bytes")
            self._wait([pipe], [], until, "answer")
            chunk = os.read(pipe, _CHUNK)
            if not chunk:
                raise self._broken("it ended, or closed its standard output, without an answer")
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _wait(self, readable: list[int], writable: list[int], until: float, what: str) -> None:
        ready = select.select(readable, writable, [], max(0.0, until - time.monotonic()))
        if not any(ready):
            raise self._broken(f"it did not {what} within {self._deadline_s:g} s")

    def _broken(self, what: str) -> ImplementationError:
        """The error for a child that can not be talked to any more; the child is ended."""
        code = self._end(BROKEN_GRACE_S)
        if code is None:
            what += "; it was still running and was ended"
        elif code >= 0:
            what += f"; exit code {code}"
        else:
            what += f"; ended by signal {-code}"
        if printed := self._left.decode(errors="replace").strip():
            what += "\nwhat else it wrote to its standard output:\n" + _inset(printed)
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_TAIL))
        if tail := self._stderr.read().decode(errors="replace").strip():
            what += "\nits standard error ends with:\n" + _inset(tail)
        return ImplementationError(what)

    def _end(self, grace_s: float = GRACE_S) -> int | None:
        """End the child and all its children.

        What it still says is kept for the report, as far as a person would read it.

        :returns: its exit code, negative for a signal; ``None`` if it did not end by itself.

        The group is killed before the leader is waited for: until then its number can not be used again.
        """
        process, self._process = self._process, None
        self._left, self._buffer = self._buffer, bytearray()
        if process is None:
            return 0
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        until = time.monotonic() + grace_s
        while time.monotonic() < until:  # Its output ends when it ends.
            if not select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                break
            if not (chunk := os.read(process.stdout.fileno(), _CHUNK)):
                _wait_for_end(process.pid, until)
                break
            self._left += chunk[: max(0, _STDOUT_HEAD - len(self._left))]
        del self._left[_STDOUT_HEAD:]
        by_itself = _has_ended(process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        code = process.wait()
        return code if by_itself else None

    def close(self) -> None:
        self._end()
        self._stderr.close()


def _wait_for_end(pid: int, until: float) -> None:
    """Wait until the process has ended, without taking its exit code away from ``Popen``."""
    while time.monotonic() < until:
        if _has_ended(pid):
            return
        time.sleep(0.005)  # Nothing can be waited for with a deadline and leave the exit code in place.


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


def _inset(text: str) -> str:
    return "\n".join(f"    {printable(line)}" for line in text.splitlines())


def _short(value: Any) -> str:
    text = printable(value.decode(errors="replace")) if isinstance(value, bytes) else json.dumps(value)
    return text if len(text) <= 200 else f"{text[:200]}... ({len(text)} characters)"
