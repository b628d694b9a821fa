"""``scratchbird_check guarantees``: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from scratchbird_check import cli
from scratchbird_check.errors import UsageError
from scratchbird_check.promises.cluster import FORM, tables
from scratchbird_reference.quorum_messages import Mode

CLUSTER = """
cluster:
  name: prod
  nodes:
    - {id: 1, address: "a:5432", datacenter: east}
    - {id: 2, address: "b:5432", datacenter: east}
    - {id: 3, address: "c:5432", datacenter: west}
replication:
  default_mode: linearizable
  write_quorum: 2
  read_quorum: 2
  write_timeout_ms: 5000
tables:
  sensor_data: {mode: eventual, write_quorum: 1, read_quorum: 3}
anti_entropy: {interval_ms: 60000}
"""


def run(*arguments: str) -> int:
    return cli.main(["guarantees", *arguments])


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text(CLUSTER, encoding="utf-8")
    return path


def test_one_setting_with_its_placement(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--n", "5", "--w", "3", "--r", "3", "--mode", "linearizable", "--placement", "2,2,1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "N = 5, W = 3, R = 3, linearizable"
    assert lines[1].split()[:2] == ["linearizable", "yes"]
    assert "  replicas that may be down         reads 2, writes 2" in lines
    assert "  rounds                            read 1 to 2, write 2" in lines
    assert lines[-5:] == [
        "    down: one of 2                  reads and writes go on",
        "    down: one of 1                  reads and writes go on",
        "    down: one of 2 and one of 2     neither reads nor writes",
        "    down: one of 2 and one of 1     neither reads nor writes",
        "    all down                        neither reads nor writes",
    ]


def test_reads_may_go_on_where_writes_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--w", "3", "--r", "1", "--mode", "eventual", "--placement", "2,1") == 0
    out = capsys.readouterr().out
    assert "    down: one of 2                  reads go on, writes do not" in out
    assert run("--w", "1", "--r", "3", "--mode", "eventual", "--placement", "2,1") == 0
    assert "    down: one of 1                  writes go on, reads do not" in capsys.readouterr().out


def test_why_tells_theorems_and_schedules(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--w", "2", "--r", "3", "--mode", "eventual", "--why") == 0
    out = capsys.readouterr().out
    assert "proved by quorum.reads_of_all_never_go_back" in out
    assert "schedule 'seen, then lost'" in out
    assert "    5. r1: gets all that r2 and r3 hold, and has a vote again" in out
    assert "yes*: as long as no replica loses its disk" in out
    assert "reads_of_all_never_go_back; but schedule 'seen, then lost'" in out


def test_without_w_and_r_there_is_a_table_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "eventual tables"
    assert lines[3].split()[:6] == ["3", "1", "1", "no", "no", "no"]
    assert len([line for line in lines if line.startswith("3 ")]) == 9 + 6
    assert run("--n", "2", "--w", "1", "--mode", "linearizable") == 0
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("2 ")]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--w", "4", "--r", "1"), "--w 4 is more than the 3 replicas"),
        (("--n", "5", "--placement", "2,2"), "--placement 2,2 places 4 replicas, --n says 5"),
        (("--placement", "9,9"), "18 replicas: up to 15 can be judged"),
        (("--w", "1", "--r", "1", "--mode", "linearizable"), "is not more than 3 replicas"),
        (("--config", "x.yaml", "--n", "3"), "--config and --n: the file says it already"),
        (("--config", "no/such/file"), "no/such/file can not be read: No such file or directory"),
    ],
)
def test_what_can_not_be_is_refused(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [("--n", "0"), ("--n", "16"), ("--n", "²"), ("--placement", "2,,1"), ("--expect", "x")]
)
def test_malformed_options_are_refused(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(*arguments)


# --- expectations -----------------------------------------------------------------------------------------


def test_what_is_expected_and_holds_ends_well() -> None:
    assert run("--w", "2", "--r", "2", "--mode", "linearizable", "--expect", "linearizable") == 0


def test_what_is_expected_and_does_not_hold_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ("--expect", "read-your-writes-token", "--expect", "monotonic-reads-one-coordinator")
    assert run("--w", "2", "--r", "3", "--mode", "eventual", *wanted) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "scratchbird_check: N = 3, W = 2, R = 3, eventual: monotonic-reads-one-coordinator is expected"
    )
    assert "the answer is yes, as long as no disk is lost" in line


def test_a_cluster_is_held_against_what_it_expects(cluster: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--config", str(cluster), "--expect", "linearizable") == 1
    out, err = capsys.readouterr()
    assert "replication:\nN = 3, W = 2, R = 2, linearizable" in out
    assert "  data centres with 2, 1 replicas" in out
    assert err.startswith(
        "scratchbird_check: sensor_data: N = 3, W = 1, R = 3, eventual: linearizable is expected"
    )
    cluster.write_text(CLUSTER.replace("mode: eventual", "mode: linearizable"), encoding="utf-8")
    assert run("--config", str(cluster), "--expect", "linearizable") == 0


def test_a_cluster_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(CLUSTER.encode())))
    assert run("--config", "-") == 0


def test_what_is_no_text_or_too_long_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_bytes(b"\xff")
    assert run("--config", str(path)) == 2
    assert "is no text in UTF-8: byte 0" in capsys.readouterr().err
    path.write_bytes(b" " * ((1 << 20) + 1))
    assert run("--config", str(path)) == 2
    assert "has more than 1048576 bytes" in capsys.readouterr().err


# --- the file ---------------------------------------------------------------------------------------------


def test_a_table_takes_the_defaults_that_it_does_not_say() -> None:
    first, second = tables(CLUSTER, "f")
    assert (first.name, first.setting.size, first.placement) == ("replication", 3, (2, 1))
    assert (second.setting.mode, second.setting.write_quorum) == (Mode.EVENTUAL, 1)
    (alone,) = tables(
        "replication: {default_mode: eventual, default_factor: 2, write_quorum: 1, read_quorum: 1}", "f"
    )
    assert (alone.setting.size, alone.placement) == (2, ())


def test_the_example_in_the_document_is_one() -> None:
    first, second = tables(FORM, "f")
    assert (first.setting.mode, first.placement, second.name) == (Mode.LINEARIZABLE, (1, 1, 1), "sensor_data")


def test_a_placement_needs_every_node_to_say_where_it_is() -> None:
    (first, _) = tables(CLUSTER.replace(", datacenter: west", ""), "f")
    assert first.placement == ()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("replication:", "replicatoin:", "section 'replication' is missing"),
        ("write_quorum: 2", "write_quorom: 2", "f: replication: unknown word 'write_quorom': .*write_quorum"),
        (
            "default_mode: linearizable",
            "default_mode: primary_replica",
            "mode 'primary_replica' is not judged",
        ),
        ("  write_quorum: 2\n", "", "f: replication: write_quorum is missing: a whole number is expected"),
        ("write_quorum: 2", "write_quorum: true", "write_quorum is True: a whole number is expected"),
        ("write_quorum: 2", "write_quorum: two", "write_quorum is 'two': a whole number is expected"),
        (
            "write_quorum: 2",
            "write_quorum: 1",
            "f: replication: write_quorum 1 .* is not more than 3 replicas",
        ),
        ("write_quorum: 2", "default_factor: 4\n  write_quorum: 3", "factor 4 is more than the 3 nodes"),
        ("write_quorum: 2", "default_factor: 99\n  write_quorum: 2", "factor 99 is out of range: 1 to 15"),
        ("write_quorum: 2", "write_quorum: 2\n  write_quorum: 3", "'write_quorum' is there twice"),
        ("read_quorum: 3}", "rq: 3}", "f: table 'sensor_data': unknown word 'rq'"),
        (
            "{mode: eventual, write_quorum: 1, read_quorum: 3}",
            "eventual",
            "f: table 'sensor_data' must be a list",
        ),
        ("{id: 1,", "{idd: 1,", "f: cluster: a node: unknown word 'idd'"),
        ("datacenter: west", "datacenter: [west]", r"datacenter \['west'\] must be a name"),
        ("  name: prod\n", "  nmae: prod\n", "f: cluster: unknown word 'nmae': .*name"),
        ("cluster:", "cluster: [", "f is no YAML that can be read"),
        ("cluster:", "{[1]: 2}: 3\ncluster:", "f is no YAML that can be read"),
    ],
)
def test_what_is_wrong_in_the_file_is_named(old: str, new: str, message: str) -> None:
    assert old in CLUSTER
    with pytest.raises(UsageError, match=message):
        tables(CLUSTER.replace(old, new, 1), "f")


@pytest.mark.parametrize(
    "text", ["", "[]", "a", "cluster: {nodes: 3}\nreplication: {write_quorum: 1}", "[" * 10_000]
)
def test_what_is_no_configuration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^f"):
        tables(text, "f")
