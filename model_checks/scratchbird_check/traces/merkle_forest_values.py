"""The values of a row's columns as JSON, and back: each with its kind, because JSON has too few of its own.

    ["null"]  ["bool", true]  ["int", "-5"]  ["float", "8000000000000000"]  ["decimal", "1.00"]
    ["text", "é"]  ["bytes", "00ff"]  ["uuid", "018bcfe5-6800-8000-8001-c00000000000"]
    ["time", "2024-02-29T12:00:00+02:00"]  ["list", [["int", "1"], ["null"]]]

A whole number is its decimal digits, a float its eight bytes in hexadecimal, a decimal the digits that are
shown: a JSON number would be read as whatever a library makes of it, and −0.0, NaN and 1.00 would be lost.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from scratchbird_reference.merkle_forest_rows import Value

_INT = re.compile(r"-?[0-9]{1,1000}")
_DECIMAL = re.compile(r"-?[0-9]{1,1000}(\.[0-9]{1,1000})?(E[+-]?[0-9]{1,10})?|NaN|-?Infinity")
_HEX = re.compile(r"(?:[0-9a-f]{2})*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?([+-]\d\d:\d\d)?")
MAX_DEPTH = 32
"""Of lists within lists that are read: more than there is an encoding for."""


def value_from_json(value: Any, depth: int = 0) -> Value:
    """Read a value.

    :raises ValueError: naming it, if it is none.
    """
    if isinstance(value, list) and value == ["null"]:
        return None
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[0], str):
        raise ValueError(f'value {value!r}: expected [kind, value], or ["null"]')
    kind, content = value
    if kind == "list" and isinstance(content, list) and depth < MAX_DEPTH:
        return tuple(value_from_json(item, depth + 1) for item in content)
    if kind == "bool" and isinstance(content, bool):
        return content
    pattern, read = _KINDS.get(kind, (None, None))
    if pattern is None or read is None or not isinstance(content, str):
        raise ValueError(f"value {value!r}: the kinds are null, bool, list, {', '.join(_KINDS)}")
    if pattern.fullmatch(content) is None:
        raise ValueError(f"value {value!r}: {content!r} is no {kind}")
    return read(content)


def _float(text: str) -> float:
    if len(text) != 16:
        raise ValueError(f"float {text!r}: expected eight bytes")
    number: float = struct.unpack(">d", bytes.fromhex(text))[0]
    return number


_KINDS: dict[str, tuple[re.Pattern[str], Callable[[str], Value]]] = {
    "int": (_INT, int),
    "float": (_HEX, _float),
    "decimal": (_DECIMAL, Decimal),
    "text": (re.compile(r".*", re.DOTALL), str),
    "bytes": (_HEX, bytes.fromhex),
    "uuid": (_UUID, UUID),
    "time": (_TIME, datetime.fromisoformat),
}


def values_from_json(value: Any, name: str) -> tuple[Value, ...]:
    """A key: values in the order of its columns."""
    if not isinstance(value, list):
        raise ValueError(f"{name} {value!r}: expected a list of values")
    return tuple(value_from_json(item) for item in value)


def columns_from_json(value: Any, name: str) -> Mapping[int, Value]:
    """A row: ``[[column, value], ...]`` in any order, each column once."""
    if not isinstance(value, list) or not all(
        isinstance(item, list)
        and len(item) == 2
        and isinstance(item[0], int)
        and not isinstance(item[0], bool)
        for item in value
    ):
        raise ValueError(f"{name} {value!r}: expected a list of [column, value]")
    columns = {column: value_from_json(item) for column, item in value}
    if len(columns) != len(value):
        raise ValueError(f"{name}: a column stands there twice")
    return columns
