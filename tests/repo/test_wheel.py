"""From a wheel, outside any checkout, every command works; without a compiler all but production installs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODE_CLOCK = ROOT / "tests" / "conformance" / "node" / "clock.mjs"


class Installed:
    """A wheel, installed into an environment of its own, which borrows the libraries of this one.

    They are borrowed by a ``.pth`` that names their folder: the ``.pth`` files in there, and with them the
    editable installation of the checkout, are not read.
    """

    def __init__(self, folder: Path, *, compiler: bool) -> None:
        self.place = folder / "elsewhere"
        self.place.mkdir(parents=True)
        self.home = folder / "home"
        self.home.mkdir()
        source = folder / "source"
        shutil.copytree(
            ROOT,
            source,
            ignore=shutil.ignore_patterns(
                ".git",
                ".venv",
                "build",
                "dist",
                "*.so",
                "*.egg-info",
                "__pycache__",
                ".*_cache",
                "scratchbird-report",
            ),
        )
        environment = dict(os.environ)
        if not compiler:
            environment |= {"CC": "no-such-compiler", "CXX": "no-such-compiler"}
        subprocess.run(
            [
                sys.executable,
                "-m",
                "build",
                "--wheel",
                "--no-isolation",
                "--outdir",
                str(folder),
                str(source),
            ],
            env=environment,
            check=True,
            capture_output=True,
            timeout=600,
        )
        (self.wheel,) = folder.glob("*.whl")
        environment_folder = folder / "environment"
        venv.create(environment_folder, with_pip=False, symlinks=True)
        self.executable = environment_folder / "bin" / "python"
        install = ["--python", str(self.executable), "install", "--quiet", "--no-deps", str(self.wheel)]
        subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True, timeout=300)
        (self.site,) = environment_folder.glob("lib/python*/site-packages")
        (self.site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    def python(self, *arguments: str, code: int = 0) -> str:
        """Run Python with the wheel's packages; the exit status must be ``code``."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "COLUMNS": "100",
        }
        done = subprocess.run(
            [str(self.executable), *arguments],
            cwd=self.place,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def check(self, *arguments: str, code: int = 0) -> str:
        return self.python("-m", "scratchbird_check", *arguments, code=code)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"), compiler=True)


def test_the_packages_come_from_the_wheel(installed: Installed) -> None:
    names = (
        "scratchbird",
        "scratchbird_check",
        "scratchbird_history",
        "scratchbird_node",
        "scratchbird_proofs",
        "scratchbird_reference",
    )
    for name in names:
        where = installed.python("-c", f"import {name}; print({name}.__file__)")
        assert where.startswith(str(installed.site)), where
    assert "Clock" in installed.python("-c", "from scratchbird.hlc import Clock; print(Clock)")


def test_list_and_explain(installed: Installed) -> None:
    assert "HLC-9" in installed.check("list")
    assert "WRONG" in installed.check("explain", "HLC-2")


def test_run_with_solver_proof_and_report(installed: Installed) -> None:
    checks = ("z3-hlc-ids-increase", "python-hlc-tla-static", "z3-hlc-stall-and-reset")
    only = [word for name in checks for word in ("--only", name)]
    printed = installed.check("run", *only, "--html", "report", "--junit", "junit.xml", "--json", "run.json")
    assert "3 as expected" in printed
    for name in ("report/index.html", "junit.xml", "run.json"):
        assert (installed.place / name).is_file()


def test_trace_of_a_shipped_vector(installed: Installed) -> None:
    vectors = sorted((installed.site / "scratchbird_check" / "vectors").glob("hlc*.ndjson"))
    assert vectors
    installed.check("trace", str(vectors[0]))


HISTORY = """\
{"process": 0, "type": "invoke", "f": "read"}
{"process": 0, "type": "ok", "f": "read", "value": 1}
"""


def test_history_with_the_compiled_search(installed: Installed) -> None:
    (installed.place / "history.ndjson").write_text(HISTORY, encoding="utf-8")
    assert "compiled search is missing" not in installed.check("history", "history.ndjson", code=1)


def test_conform_and_tools(installed: Installed) -> None:
    assert "apalache" in installed.check("tools", "list").lower()
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the implementation in another language can not be run")
    shutil.copy(NODE_CLOCK, installed.place)
    parts = ("--part", "hlc", "--part", "uuid8")
    installed.check("conform", *parts, "--command", "node clock.mjs")
    printed = installed.check("conform", *parts, "--command", "node clock.mjs --bug stall-and-reset", code=1)
    assert "carry" in printed


def test_without_a_compiler_everything_but_production_installs(tmp_path: Path) -> None:
    bare = Installed(tmp_path, compiler=False)
    assert not list(bare.site.rglob("*.so"))
    assert "C compiler" in bare.python("-c", "import scratchbird.hlc", code=1)
    (bare.place / "history.ndjson").write_text(HISTORY, encoding="utf-8")
    assert "compiled search is missing" in bare.check("history", "history.ndjson", code=1)
    assert "refuted as expected" in bare.check("run", "--only", "z3-hlc-stall-and-reset")
    absent = ("hypothesis-hlc-machine", "python-hlc-vectors-production")
    printed = bare.check("run", *(word for name in absent for word in ("--only", name)), code=3)
    assert "the production core" in printed
    assert "0 as expected, 0 unexpected, 2 not run" in printed
