"""The kit for implementations in any language: it passes what is right, and catches what is wrong."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from scratchbird_check.conformance import command, conform, serve
from scratchbird_check.conformance.command import CommandDriver
from scratchbird_check.conformance.conform import Kit, Result
from scratchbird_check.conformance.drivers import Hello, ImplementationError
from scratchbird_check.conformance.scenarios_quorum_variants import VARIANT_SCENARIOS
from scratchbird_check.conformance.vectors import FOREST_RUNS, HANDOFF_RUNS, QUORUM_RUNS
from scratchbird_check.errors import UsageError
from scratchbird_check.variants.hlc import VARIANTS
from scratchbird_check.variants.quorum import VARIANTS as QUORUM_VARIANTS

NODE = shutil.which("node")
CLOCK = Path(__file__).parent / "node" / "clock.mjs"
VECTORS = Path(__file__).parent / "vectors"
CLOCK_ITEMS = sum(file.name.startswith(("hlc_", "uuid8_")) for file in VECTORS.glob("*.ndjson")) + 4
"""Every vector of the clock's parts, the configurations that must be refused, and three runs at random."""
QUORUM_ITEMS = len(list(VECTORS.glob("quorum_*.ndjson"))) + 1 + len(QUORUM_RUNS)
HANDOFF_ITEMS = len(list(VECTORS.glob("handoff_*.ndjson"))) + 1 + len(HANDOFF_RUNS)
FOREST_ITEMS = len(list(VECTORS.glob("merkle_forest_*.ndjson"))) + 1 + len(FOREST_RUNS)
ITEMS = CLOCK_ITEMS + QUORUM_ITEMS + HANDOFF_ITEMS + FOREST_ITEMS
"""Of all parts."""
WRONG = len(conform.WRONG_LIMITS) + len(conform.WRONG_SETTINGS)
needs_node = pytest.mark.skipif(
    NODE is None, reason="Node.js is not on the PATH: the clock in JavaScript is not tried (install node)"
)


def ours(name: str) -> str:
    """The command that serves an implementation of ours."""
    return shlex.join([sys.executable, "-m", "scratchbird_check.conformance.serve", name])


def judged(name: str, vector: str) -> Result:
    """An implementation of ours, by one vector."""
    kit = Kit(ours(name))
    try:
        file = VECTORS / f"{vector}.ndjson"
        return kit.vector(file.read_bytes(), file.name)
    finally:
        kit.close()


def script(code: str) -> str:
    """The command that runs a few lines of Python."""
    return shlex.join([sys.executable, "-c", code])


def test_the_reference_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.conform(ours("reference"), steps=200) == 0
    shown = capsys.readouterr().out
    assert "pass      hlc_carry: 13 steps" in shown
    assert "random run, hlc, the default settings, seed 0: 200 steps" in shown
    assert "random run, uuid8, seed 0: 200 steps" in shown
    assert shown.endswith(f"{ITEMS} pass, 0 FAIL, 0 declined\n")


def test_the_production_core_conforms_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.conform(ours("production"), steps=200) == 0
    assert f"{ITEMS - 7} pass, 0 FAIL, 7 declined" in capsys.readouterr().out


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_wrong_rule_is_caught(variant: str) -> None:
    kit = Kit(ours(variant))
    try:
        results = [make() for make in conform._tests(kit, ["hlc"], 50, 0)]
    finally:
        kit.close()
    wrong = {result.name for result in results if result.verdict == "FAIL"}
    assert f"hlc_variant_{variant}" in wrong


@pytest.mark.parametrize("variant", sorted(VARIANT_SCENARIOS.keys() & QUORUM_VARIANTS.keys()))
def test_every_wrong_rule_of_quorums_is_caught(variant: str) -> None:
    result = judged(variant, f"quorum_variant_{variant}")
    assert result.verdict == "FAIL"
    assert re.search(r"see QUORUM\.R\d+.* in spec/quorum\.md", "\n".join(result.lines))
    assert re.search(r"the rule: .*\(QUORUM\.R\d+", "\n".join(result.lines))


@pytest.mark.parametrize(
    ("variant", "vector", "says"),
    [
        ("removed_on_send", "delivery", r"state\.hints.*see HANDOFF\.R3, HANDOFF\.R4, HANDOFF\.R5 in"),
        ("cleared_by_one", "paying", r"state\.marks.*see HANDOFF\.R6 in.*the rule: A mark goes when"),
        (
            "settles_alone",
            "settling",
            r"purge_below.*see HANDOFF\.R8, HANDOFF\.R10, HANDOFF\.R11, HANDOFF\.R13 in",
        ),
        ("absent_is_nothing", "settling", r"effects\[0\]\.message\.held\.version.*see HANDOFF\.R11"),
    ],
)
def test_a_wrong_rule_of_handoff_is_caught(variant: str, vector: str, says: str) -> None:
    result = judged(variant, f"handoff_{vector}")
    assert result.verdict == "FAIL"
    assert re.search(says, "\n".join(result.lines), re.DOTALL), result.lines


def test_a_wrong_rule_of_handoff_fails_the_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.conform(ours("takes_below_closed"), ["handoff"], steps=50) == 1
    shown = capsys.readouterr().out
    assert "FAIL      handoff_closing: step" in shown
    assert "pass      handoff_account: " in shown
    assert f"pass      wrong configurations, handoff: {WRONG} refused" in shown


@pytest.mark.parametrize(
    ("variant", "vector", "says"),
    [
        ("immutable", "sealed", r"state\.forest\.amendments.*see .*MERKLE_FOREST\.R9.* in"),
        ("one_sided", "one_sided_windows", r"state\.rows.*see .*MERKLE_FOREST\.R14, MERKLE_FOREST\.R15 in"),
        ("believes_short_digests", "short_digests", r"effects\[0\].*MERKLE_FOREST\.R19 in.*the rule: Nodes"),
        ("keeps_overtaken", "floors", r"state\.forest\.entries.*see MERKLE_FOREST\.R8 in"),
    ],
)
def test_a_wrong_rule_of_forests_is_caught(variant: str, vector: str, says: str) -> None:
    result = judged(variant, f"merkle_forest_{vector}")
    assert result.verdict == "FAIL"
    assert re.search(says, "\n".join(result.lines), re.DOTALL), result.lines


def test_a_wrong_rule_of_forests_fails_the_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.conform(ours("compares_across_settings"), ["merkle_forest"], steps=50) == 1
    shown = capsys.readouterr().out
    assert "FAIL      merkle_forest_refusals: step" in shown
    assert "pass      merkle_forest_values: " in shown
    assert f"wrong configurations, merkle_forest: {len(conform.WRONG_FORESTS)} refused" in shown


@needs_node
def test_the_clock_in_javascript_conforms(capsys: pytest.CaptureFixture[str]) -> None:
    """It was written from the rules alone, in another language, with other numbers."""
    assert conform.conform(shlex.join([str(NODE), str(CLOCK)]), ["hlc", "uuid8"], steps=500) == 0
    assert capsys.readouterr().out.endswith(f"{CLOCK_ITEMS} pass, 0 FAIL, 0 declined\n")


@needs_node
@pytest.mark.parametrize("bug", ["stall-and-reset", "no-carry"])
def test_a_bug_of_the_clock_in_javascript_is_caught(bug: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.conform(shlex.join([str(NODE), str(CLOCK), "--bug", bug]), ["hlc"], steps=50) == 1
    shown = capsys.readouterr().out
    assert f"FAIL      hlc_variant_{bug.replace('-', '_')}: step" in shown
    assert "effects[0].timestamp[0]" in shown
    assert "state before: up true" in shown


def test_a_seed_and_the_number_of_steps_can_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.conform(ours("reference"), ["uuid8"], steps=7, seed=3) == 0
    shown = capsys.readouterr().out
    assert "random run, uuid8, seed 3: 7 steps" in shown
    assert "hlc_" not in shown


# --- implementations that do not keep to the protocol -----------------------------------------------------

HOSTILE = {
    "ends at once": ("pass", "(without an answer|closed its standard input); exit code 0"),
    "tells why on its output": (
        "input(); print('no such part', end='')",
        "exit code 0\nwhat else it wrote to its standard output:\n    no such part",
    ),
    "tells more than a line": (
        "input(); print('Oh\\nno \\x1b[2J', flush=True); raise SystemExit(5)",
        r"answered Oh, which is no JSON .*exit code 5\nwhat else .*\n    no \\x1b\[2J",
    ),
    "crashes": ("import sys; sys.exit('I fell over')", "exit code 1\n.*I fell over"),
    "is killed": (
        "import os, sys, signal; sys.stdin.readline(); os.kill(os.getpid(), signal.SIGTERM)",
        "ended by signal 15",
    ),
    "hangs": ("import sys\nfor line in sys.stdin: pass", "did not answer within 0.3 s"),
    "lives on": ("import signal; signal.pause()", "within 0.3 s; it was still running and was ended"),
    "writes garbage": ("input(); print('hello', flush=True); input()", "hello, which is no JSON object"),
    "writes no object": ("input(); print('[]', flush=True); input()", "expected an object, this is list"),
    "writes nothing": ("input(); print(flush=True); input()", "which is no JSON object"),
    "writes binary": ("import os; input(); os.write(1, b'\\xff\\n'); input()", "no JSON object"),
    "writes a line without end": (
        "import os; input()\nwhile True: os.write(1, b'x' * 65536)",
        "a line longer than 1048576 bytes",
    ),
    "answers something else": (
        "input(); print('{\"yes\": 1}', flush=True); input()",
        'answered hello with .*"yes"',
    ),
    "says too much": (
        "input(); print('{\"ok\": true}\\n{\"ok\": true}', flush=True); input()",
        "more than one line for one",
    ),
    "answers an event wrongly": (
        "input(); print('{\"ok\": true}', flush=True); input()\n"
        "print('{\"effects\": 5}', flush=True); input()",
        "answered an event with",
    ),
    "effects and error": (
        "input(); print('{\"ok\": true}', flush=True); input()\n"
        "print('{\"effects\": [], \"error\": \"x\"}', flush=True); input()",
        "answered an event with",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_implementation_that_breaks_the_protocol_is_named(kind: str) -> None:
    code, expected = HOSTILE[kind]
    deadline = 0.3 if kind in ("hangs", "lives on") else 10.0

    def talk(driver: CommandDriver) -> None:
        driver.hello(Hello("uuid8"))
        for _ in range(3):
            driver.step({"event": "decode", "id": ""})

    with CommandDriver(script(code), deadline) as driver, pytest.raises(ImplementationError) as caught:
        talk(driver)
    assert re.search(expected, str(caught.value), re.DOTALL), str(caught.value)


def test_a_child_that_does_not_read_is_ended() -> None:
    """Its pipe is full, so even writing has a deadline."""
    code = "print('{\"ok\": true}', flush=True)\nimport signal; signal.pause()"
    with CommandDriver(script(code), 0.5) as driver:
        driver.hello(Hello("uuid8"))
        with pytest.raises(ImplementationError, match="did not read its standard input"):
            driver.step({"event": "decode", "id": "x" * 1_000_000})


def test_a_driver_starts_again_after_a_failure(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = (
        f"import os, sys\nif not os.path.exists({str(flag)!r}):\n open({str(flag)!r}, 'w'); sys.exit(3)\n"
        "for line in sys.stdin: print('{\"ok\": true}', flush=True)"
    )
    with CommandDriver(script(code)) as driver:
        with pytest.raises(ImplementationError, match="exit code 3"):
            driver.hello(Hello("uuid8"))
        with pytest.raises(ImplementationError, match="not running"):
            driver.step({"event": "decode", "id": ""})
        driver.hello(Hello("uuid8"))


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="watching a process that is no child needs Linux")
def test_children_of_the_child_are_ended_too(tmp_path: Path) -> None:
    """The child starts one of its own, which holds no pipe of ours and would live on."""
    note = tmp_path / "pid"
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(['sleep', '600'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)\n"
        f"open({str(note)!r}, 'w').write(str(child.pid))\n"
        "for line in sys.stdin: print('{\"ok\": true}', flush=True)"
    )
    with CommandDriver(script(code)) as driver:
        driver.hello(Hello("uuid8"))
        grandchild = int(note.read_text())
        watched = os.pidfd_open(grandchild)
    try:
        ended, _, _ = select.select([watched], [], [], 10)
    finally:
        os.close(watched)
    assert ended, f"process {grandchild} is still there"


def test_an_implementation_that_always_fails_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    assert conform.conform(script("raise SystemExit('I fell over')")) == 1
    shown = capsys.readouterr().out
    assert "FAIL      hlc_carry: hello: the implementation failed\n" in shown
    assert shown.count("I fell over") == 1
    assert shown.count("  as before\n") == 2
    assert shown.count("FAIL") == 4  # Three vectors, and the count.
    assert "gave up: the implementation failed 3 times in a row" in shown


def test_an_implementation_that_declines_does_not_conform(capsys: pytest.CaptureFixture[str]) -> None:
    code = 'import sys\nfor line in sys.stdin: print(\'{"ok": false, "reason": "no"}\', flush=True)'
    assert conform.conform(script(code), steps=10) == 1
    shown = capsys.readouterr().out
    assert "FAIL      hlc_carry: declined (no)" in shown
    assert "--part" in shown
    assert "0 pass" in shown


def test_wrong_configurations_must_be_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys\nfor line in sys.stdin: print('{\"ok\": true}', flush=True)"
    kit = Kit(script(code))
    try:
        result = kit.wrong_configurations()
    finally:
        kit.close()
    assert (result.verdict, "HLC.R8" in result.detail) == ("FAIL", True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "empty"),
        ("'", "cannot be read: No closing quotation"),
        ("no-such-program-anywhere", "'no-such-program-anywhere': No such file or directory"),
        ("/", "Permission denied"),
    ],
)
def test_a_command_that_cannot_be_started_is_a_usage_error(words: str, expected: str) -> None:
    with pytest.raises(UsageError, match=expected) as caught:
        conform.conform(words)
    assert "--command" in str(caught.value)
    assert caught.value.exit_code == 2


def test_an_unknown_part_is_a_usage_error() -> None:
    with pytest.raises(
        UsageError, match="unknown part 'shipping': the parts are hlc, uuid8, quorum, handoff, merkle_forest"
    ):
        conform.conform(ours("reference"), ["shipping"])


def test_serving_something_unknown_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["nothing"]) == 2
    assert serve.main([]) == 2
    assert "give one of reference, production, no_carry" in capsys.readouterr().err


def test_what_is_shown_of_an_answer_is_bounded() -> None:
    assert len(command._short(b"x" * 10_000)) < 300
