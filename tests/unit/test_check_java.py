"""Java is found, not assumed."""

from __future__ import annotations

import resource
import struct
import zipfile
from pathlib import Path

import pytest

from scratchbird_check.engines import java, process
from scratchbird_check.engines.java import Java


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('openjdk version "25" 2025-09-16', 25),
        ('java version "1.8.0_392"', 8),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ("zsh: command not found: java", None),
    ],
)
def test_versions_are_read(text: str, version: int | None) -> None:
    assert java.parse_version(text) == version


def program(path: Path, version: str, status: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\nexit {status}\n")
    path.chmod(0o755)
    return path


def test_every_place_is_looked_at_once(tmp_path: Path) -> None:
    home = program(tmp_path / "home" / "bin" / "java", "11.0.1")
    on_path = program(tmp_path / "bin" / "java", "17.0.1")
    installed = program(tmp_path / "jvm" / "jdk-25" / "bin" / "java", "25")
    sdk = program(tmp_path / "user" / ".sdkman" / "candidates" / "java" / "21" / "bin" / "java", "21")
    (tmp_path / "jvm" / "default").symlink_to(tmp_path / "jvm" / "jdk-25")
    environ = {
        "JAVA_HOME": str(tmp_path / "home"),
        "PATH": str(tmp_path / "bin"),
        "HOME": str(tmp_path / "user"),
    }
    found = list(java.candidates(environ, (f"{tmp_path}/jvm/*", "~/.sdkman/candidates/java/*")))
    assert [path.resolve() for path in found] == [home, on_path, installed, sdk]


def test_a_program_that_is_no_java_is_left_out(tmp_path: Path) -> None:
    assert java.ask(program(tmp_path / "good", "17.0.1")) == Java(
        tmp_path / "good", 17, 'openjdk version "17.0.1"'
    )
    assert java.ask(program(tmp_path / "fails", "17.0.1", status=1)) is None
    assert java.ask(program(tmp_path / "odd", "new")) is None
    assert java.ask(tmp_path / "none") is None


def test_a_java_is_asked_without_the_limit_that_we_are_under(tmp_path: Path) -> None:
    """A Java machine cannot be started under a limit on its address space."""
    path = tmp_path / "java"
    path.write_text('#!/bin/sh\n[ "$(ulimit -v)" = "$(ulimit -Hv)" ] && echo \'version "17"\'\n')
    path.chmod(0o755)
    before = resource.getrlimit(resource.RLIMIT_AS)
    process.limit_address_space(64 * 1024)
    try:
        found = java.ask(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert found is not None


JAVAS = (Java(Path("/jvm/21/java"), 21, ""), Java(Path("/usr/bin/java"), 11, ""))


def test_the_newest_is_used_if_it_is_new_enough() -> None:
    assert java.find(17, JAVAS) == JAVAS[0]
    assert java.find(25, JAVAS) is None
    assert java.find(8, ()) is None
    assert java.missing(21, "Apalache 0.62.1", JAVAS) == ""


def test_a_wrong_java_is_said_plainly() -> None:
    assert java.missing(25, "It", JAVAS).startswith(
        "It needs Java 25 or newer; the newest found is Java 21 at /jvm/21/java: install one"
    )
    assert "there is no Java on this machine" in java.missing(8, "TLC", ())


def test_the_java_that_a_jar_needs_is_read_from_its_classes(tmp_path: Path) -> None:
    jar = tmp_path / "x.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("a/Main.class", struct.pack(">IHH", 0xCAFEBABE, 0, 65))
        archive.writestr("a/Bad.class", struct.pack(">IHH", 1, 0, 65))
        archive.writestr(
            "META-INF/MANIFEST.MF", "Manifest-Version: 1.0\r\nImplementation-Version: 0.62.1\r\n"
        )
    assert java.needed_by(jar, "a.Main", 8) == 21
    assert java.needed_by(jar, "a.Bad", 8) == 8
    assert java.needed_by(jar, "a.None", 8) == 8
    assert java.needed_by(tmp_path / "no.jar", "a.Main", 8) == 8
    assert java.holds(jar, "a.Main")
    assert not java.holds(jar, "a.None")
    assert not java.holds(tmp_path / "no.jar", "a.Main")
    assert java.jar_version(jar) == "0.62.1"
    assert java.jar_version(tmp_path / "no.jar") == ""
