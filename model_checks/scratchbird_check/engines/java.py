"""Finds the newest suitable Java on this machine: the default one says nothing about which ones exist.

Looked at, in this order: ``JAVA_HOME``, the ``PATH``, then the folders where Linux distributions, macOS,
SDKMAN, asdf and jenv put their virtual machines. The newest is used if it is new enough; where two are
equal, the first found.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scratchbird_check.engines.process import address_space

PLACES = (
    "/usr/lib/jvm/*",
    "/usr/java/*",
    "/opt/java/*",
    "/opt/jdk*",
    "/opt/homebrew/opt/openjdk*",
    "/usr/local/opt/openjdk*",
    "/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/Library/Java/JavaVirtualMachines/*/Contents/Home",
    "~/.sdkman/candidates/java/*",
    "~/.asdf/installs/java/*",
    "~/.jenv/versions/*",
    "~/.jdks/*",
)

SHORT = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""For runs of seconds: the optimizing compiler and several collectors cost more than they bring."""
LONG = ("-XX:+UseParallelGC",)
"""For runs of minutes."""


@dataclass(frozen=True, slots=True)
class Java:
    """One Java that works."""

    path: Path
    """The ``java`` program itself."""
    version: int
    """The feature release: 8, 11, 17, 21, ..."""
    text: str
    """The first line of ``java -version``."""


def parse_version(text: str) -> int | None:
    """The feature release in the output of ``java -version``: ``"17.0.15"`` is 17, ``"1.8.0_392"`` is 8."""
    found = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    if found is None:
        return None
    major, minor = int(found[1]), int(found[2] or 0)
    return minor if major == 1 else major


def ask(program: Path) -> Java | None:
    """The version of this program, or ``None`` if it is no Java that works."""
    try:
        with address_space(None):
            answer = subprocess.run(
                [str(program), "-version"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=30,
                check=False,
            )
    except (OSError, subprocess.TimeoutExpired):
        return None
    text = answer.stderr + answer.stdout
    version = parse_version(text)
    if answer.returncode != 0 or version is None:
        return None
    return Java(program, version, next(line for line in text.splitlines() if 'version "' in line))


def candidates(environ: Mapping[str, str], places: tuple[str, ...] = PLACES) -> Iterator[Path]:
    """Every ``java`` program on the machine, each real file once."""
    seen: set[Path] = set()
    found: list[Path] = []
    if home := environ.get("JAVA_HOME"):
        found.append(Path(home, "bin", "java"))
    if on_path := shutil.which("java", path=environ.get("PATH", "")):
        found.append(Path(on_path))
    for place in places:
        pattern = Path(place.replace("~", environ.get("HOME", "/nonexistent"), 1))
        root = Path(pattern.anchor)
        found += [folder / "bin" / "java" for folder in sorted(root.glob(str(pattern.relative_to(root))))]
    for program in found:
        real = program.resolve()
        if real not in seen and os.access(real, os.X_OK):
            seen.add(real)
            yield program


@cache
def all_javas() -> tuple[Java, ...]:
    """Every Java on this machine, the newest first."""
    javas = [java for program in candidates(os.environ) if (java := ask(program)) is not None]
    return tuple(sorted(javas, key=lambda java: -java.version))


def find(at_least: int, javas: tuple[Java, ...] | None = None) -> Java | None:
    """The newest Java if it is new enough."""
    known = all_javas() if javas is None else javas
    return known[0] if known and known[0].version >= at_least else None


def missing(at_least: int, what: str, javas: tuple[Java, ...] | None = None) -> str:
    """Why there is no suitable Java and what to do, or an empty text if there is one."""
    known = all_javas() if javas is None else javas
    if find(at_least, known) is not None:
        return ""
    remedy = "install one, for example from https://adoptium.net, or set JAVA_HOME to it"
    if not known:
        return f"{what} needs Java {at_least} or newer, and there is no Java on this machine: {remedy}"
    newest = known[0]
    return (
        f"{what} needs Java {at_least} or newer; the newest found is Java {newest.version} "
        f"at {newest.path}: {remedy}"
    )


def needed_by(jar: Path, main_class: str, otherwise: int) -> int:
    """The least feature release that can load a class of this jar, from the class file's own version.

    Version 52 is Java 8, and each release counts one up (Java Virtual Machine Specification, table 4.1-A).
    """
    try:
        with zipfile.ZipFile(jar) as archive, archive.open(main_class.replace(".", "/") + ".class") as file:
            magic, _, major = struct.unpack(">IHH", file.read(8))
    except (OSError, KeyError, struct.error, zipfile.BadZipFile):
        return otherwise
    return int(major) - 44 if magic == 0xCAFEBABE else otherwise


def holds(jar: Path, main_class: str) -> bool:
    """Whether this is a jar with this class in it."""
    try:
        with zipfile.ZipFile(jar) as archive:
            return main_class.replace(".", "/") + ".class" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


def jar_version(jar: Path) -> str:
    """What the jar's manifest says of its version; empty if it says nothing."""
    try:
        with zipfile.ZipFile(jar) as archive:
            text = archive.read("META-INF/MANIFEST.MF").decode("utf-8", "replace")
    except (OSError, KeyError, zipfile.BadZipFile):
        return ""
    found = re.search(r"^Implementation-Version: *(\S+)", text, re.MULTILINE)
    return found[1] if found else ""
