"""A cluster's own settings, out of its ``cluster.yaml``: which table has which N, W, R and mode.

What is read of the file is :data:`FORM`. Other sections are left alone. A word of these sections that is not
known is refused: what is misspelt would silently be something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from scratchbird_check.errors import UsageError
from scratchbird_check.manifest import suggest
from scratchbird_check.promises.options import LARGEST, MODES
from scratchbird_reference.errors import ConfigurationError
from scratchbird_reference.quorum_messages import Mode, Setting

FORM = """\
cluster:
  nodes:
    - {id: 1, datacenter: east}        # datacenter is optional; one for each node makes a placement
    - {id: 2, datacenter: west}
    - {id: 3, datacenter: north}
replication:
  default_mode: linearizable           # or eventual
  default_factor: 3                    # N; all nodes if it is missing
  write_quorum: 2
  read_quorum: 2
tables:                                # optional; what a table does not say is as above
  sensor_data: {mode: eventual, write_quorum: 1, read_quorum: 1}
"""
"""An example with every word that matters here."""
DEFAULTS = "replication"
_NUMBERS = ("factor", "write_quorum", "read_quorum")
_WORDS = {
    "cluster": ("name", "nodes"),
    "a node": ("id", "address", "datacenter"),
    DEFAULTS: (
        "default_mode",
        "default_factor",
        "write_quorum",
        "read_quorum",
        "write_timeout_ms",
        "read_timeout_ms",
        "hint_expiration_days",
    ),
    "a table": ("mode", *_NUMBERS),
}


@dataclass(frozen=True, slots=True)
class Table:
    """What one table is set to.

    :ivar placement: how many replicas each data centre has, if the file says it: where every node has one.
    """

    name: str
    setting: Setting
    placement: tuple[int, ...] = ()


class _Loader(yaml.SafeLoader):
    """Refuses a key that comes twice; YAML forbids it, and the parser takes the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{name!r} is there twice", key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def tables(text: str, source: str) -> tuple[Table, ...]:
    """The default, and each table.

    :raises UsageError: naming what is wrong, where, and what to write instead.
    """
    try:
        data = yaml.load(text, _Loader)  # A safe loader, with one more check.
    except (yaml.YAMLError, RecursionError, TypeError) as error:
        what = " ".join(str(error).split())
        raise UsageError(f"{source} is no YAML that can be read: {what}") from None
    top = _mapping(data, source)
    given = _section(top, DEFAULTS, source)
    if not given:
        raise UsageError(f"{source}: section {DEFAULTS!r} is missing: it says write_quorum and read_quorum")
    nodes = _nodes(_section(top, "cluster", source), source)
    defaults = {
        "mode": given.get("default_mode"),
        "factor": given.get("default_factor", len(nodes) or None),
        "write_quorum": given.get("write_quorum"),
        "read_quorum": given.get("read_quorum"),
    }
    found = [_table(DEFAULTS, defaults, nodes, source)]
    for name, entry in _mapping(top.get("tables") or {}, f"{source}: tables").items():
        own = _known(_mapping(entry, f"{source}: table {name!r}"), "a table", f"{source}: table {name!r}")
        found.append(_table(str(name), {**defaults, **own}, nodes, source))
    return tuple(found)


def _table(name: str, given: Mapping[str, Any], nodes: tuple[Mapping[str, Any], ...], source: str) -> Table:
    where = f"{source}: {name}"
    if given["mode"] not in MODES:
        raise UsageError(f"{where}: mode {given['mode']!r} is not judged here: write {' or '.join(MODES)}")
    numbers = []
    for key in _NUMBERS:
        value = given[key]
        if not isinstance(value, int) or isinstance(value, bool):
            said = "is missing" if value is None else f"is {value!r}"
            raise UsageError(f"{where}: {key} {said}: a whole number is expected")
        numbers.append(value)
    size, write, read = numbers
    if not 1 <= size <= LARGEST:
        raise UsageError(f"{where}: factor {size} is out of range: 1 to {LARGEST} replicas can be judged")
    if nodes and size > len(nodes):
        raise UsageError(f"{where}: factor {size} is more than the {len(nodes)} nodes of the cluster")
    try:
        setting = Setting(tuple(range(1, size + 1)), write, read, Mode(given["mode"]))
    except ConfigurationError as error:
        raise UsageError(f"{where}: {error}") from None
    return Table(name, setting, _placement(nodes) if size == len(nodes) else ())


def _placement(nodes: tuple[Mapping[str, Any], ...]) -> tuple[int, ...]:
    """How many nodes each data centre has; nothing if some node does not say where it is."""
    counts: dict[Any, int] = {}
    for node in nodes:
        if node.get("datacenter") is None:
            return ()
        counts[node["datacenter"]] = counts.get(node["datacenter"], 0) + 1
    return tuple(counts.values())


def _nodes(cluster: Mapping[str, Any], source: str) -> tuple[Mapping[str, Any], ...]:
    nodes = cluster.get("nodes") or []
    if not isinstance(nodes, list):
        raise UsageError(f"{source}: cluster: nodes must be a list")
    where = f"{source}: cluster: a node"
    found = tuple(_known(_mapping(node, where), "a node", where) for node in nodes)
    for node in found:
        place = node.get("datacenter")
        if not isinstance(place, str | int | None):
            raise UsageError(f"{where}: datacenter {place!r} must be a name")
    return found


def _section(top: Mapping[str, Any], name: str, source: str) -> Mapping[str, Any]:
    where = f"{source}: {name}"
    return _known(_mapping(top.get(name) or {}, where), name, where)


def _known(found: Mapping[str, Any], what: str, where: str) -> Mapping[str, Any]:
    for key in found:
        if key not in _WORDS[what]:
            raise UsageError(f"{where}: unknown word {str(key)!r}: {suggest(str(key), _WORDS[what])}")
    return found


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a list of words with values, as in 'write_quorum: 2'")
    return value
