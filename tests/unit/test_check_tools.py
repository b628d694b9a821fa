"""Installing Apalache: verified, unpacked safely, and whole or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from email.message import Message
from http.client import IncompleteRead
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest

from scratchbird_check import tools
from scratchbird_check.errors import ToolError

NAME = f"apalache-{tools.APALACHE_VERSION}"


def archive(*members: tuple[str, bytes | str]) -> bytes:
    """An archive of files; a text is the target of a link."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                tar.addfile(member)
            else:
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


GOOD = archive((f"{NAME}/lib/apalache.jar", b"jar"), (f"{NAME}/bin/apalache-mc", b"#!/bin/sh\n"))


class Web:
    """Stands in for the release page."""

    def __init__(self, content: bytes, checksum: str | None = None) -> None:
        self.content = content
        self.checksum = hashlib.sha256(content).hexdigest() if checksum is None else checksum
        self.asked: list[str] = []

    def __call__(self, address: str, file: Path, until: float) -> None:
        self.asked.append(address.removeprefix(tools.RELEASES))
        if address.endswith("sha256sum.txt"):
            file.write_text(f"{'0' * 64}  {NAME}.zip\n{self.checksum}  {NAME}.tgz\n")
        else:
            file.write_bytes(self.content)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "scratchbird" / "tools"


def test_the_release_is_installed(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    web = Web(GOOD)
    assert tools.install(web) == 0
    assert (cache / NAME / "lib" / "apalache.jar").read_bytes() == b"jar"
    assert [item.name for item in cache.iterdir()] == [NAME]
    version = tools.APALACHE_VERSION
    assert web.asked == [f"/v{version}/sha256sum.txt", f"/v{version}/{NAME}.tgz"]
    assert f"Apalache {version} is installed" in capsys.readouterr().out
    assert tools.install(web) == 0
    assert "is there" in capsys.readouterr().out
    assert len(web.asked) == 2


@pytest.mark.parametrize(
    ("web", "words"),
    [
        (Web(GOOD, "f" * 64), "published is ffff"),
        (Web(GOOD, "short"), "do not name"),
        (Web(GOOD[:100]), "cannot be unpacked"),
        (Web(b"no archive"), "cannot be unpacked"),
        (Web(archive(("x/readme", b""))), "holds no lib/apalache.jar"),
        (Web(archive((f"{NAME}/lib/apalache.jar", b""), ("../outside", b"bad"))), "cannot be unpacked"),
        (
            Web(archive((f"{NAME}/lib/apalache.jar", b""), ("/tmp/outside", b"bad"), ("a/../../b", b""))),
            "unpacked",
        ),
        (
            Web(archive((f"{NAME}/lib/apalache.jar", b""), ("link", "../../../etc/passwd"))),
            "cannot be unpacked",
        ),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(cache: Path, web: Web, words: str) -> None:
    with pytest.raises(ToolError, match=words) as caught:
        tools.install(web)
    assert caught.value.exit_code == 1
    assert list(cache.iterdir()) == []
    assert not (cache.parent / "outside").exists()


def test_a_full_disk_is_said(cache: Path) -> None:
    def full(address: str, file: Path, until: float) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(ToolError, match="No space left on device; make room"):
        tools.install(full)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null/x")
    with pytest.raises(ToolError, match="could not be installed into /dev/null/x/scratchbird/tools"):
        tools.install(Web(GOOD))


# --- downloading ------------------------------------------------------------------------------------------


class Answer(io.BytesIO):
    def __init__(self, content: bytes, breaks: bool = False) -> None:
        super().__init__(content)
        self.breaks = breaks

    def read(self, size: int | None = -1) -> bytes:
        if self.breaks:
            raise IncompleteRead(b"", 10)
        return super().read(size)


def download(monkeypatch: pytest.MonkeyPatch, file: Path, answer: Any, until: float | None = None) -> None:
    def urlopen(address: str, timeout: float) -> Any:
        assert timeout > 0
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    tools.download("https://example.org/x", file, time.monotonic() + 60 if until is None else until)


def test_a_file_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    download(monkeypatch, tmp_path / "x", Answer(b"x" * 600_000))
    assert (tmp_path / "x").stat().st_size == 600_000


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (URLError("no route"), r"cannot be reached \(no route\): nothing was installed; download"),
        (TimeoutError("timed out"), r"cannot be reached \(timed out\)"),
        (Answer(b"", breaks=True), r"cannot be reached \(IncompleteRead"),
    ],
)
def test_a_network_that_fails_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any, words: str
) -> None:
    with pytest.raises(ToolError, match=words):
        download(monkeypatch, tmp_path / "x", answer)


def test_a_server_that_refuses_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = HTTPError("https://example.org/x", 404, "Not Found", Message(), io.BytesIO())
    with error, pytest.raises(ToolError, match="the server says 404 Not Found"):
        download(monkeypatch, tmp_path / "x", error)


def test_a_download_has_a_deadline_and_a_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="took longer than 600 s"):
        download(monkeypatch, tmp_path / "x", Answer(b"x"), until=time.monotonic() - 1)
    monkeypatch.setattr(tools, "MAX_BYTES", 10)
    with pytest.raises(ToolError, match="is larger than"):
        download(monkeypatch, tmp_path / "x", Answer(b"x" * 11))
