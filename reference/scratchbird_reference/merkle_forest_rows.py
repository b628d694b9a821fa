"""One encoding for each row: the bytes that are hashed, and that replicas send each other.

Two rules (MERKLE_FOREST.R6). What a client can tell apart has different bytes, or a difference would go
unnoticed for ever; what it can not tell apart has the same, or replicas would send each other the same row
for ever. And in a *key* what SQL holds for equal has the same bytes, because it names one row.

Every value begins with its kind and, where its length is not fixed, its length. So no two lists of values
make one string of bytes: ``("ab", "c")`` and ``("a", "bc")`` differ, and so do NULL and the empty text.

Sources: RFC 8949, section 4.2 (one form for each value); IEEE 754-2019, sections 3.4 and 6.2 (floats, NaN).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from scratchbird_reference.errors import CallerError
from scratchbird_reference.uuid8 import check_range, shown

Value = None | bool | int | float | Decimal | str | bytes | UUID | datetime | tuple["Value", ...]

MAX_COLUMN = (1 << 32) - 1
MAX_DEPTH = 8
"""Of lists within lists."""

_NAN = b"\x7f\xf8" + bytes(6)
"""The one NaN; what a platform keeps in its other bits can not be seen in SQL."""
_MAX_EXPONENT = (1 << 31) - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Encoding:
    """How values become bytes. A wrong rule replaces one method.

    Version 1, the only one so far. A change of any method is a new version, and that is part of the setting
    which two replicas must share before they compare (rule MERKLE_FOREST.R7).
    """

    def float_bytes(self, value: float) -> bytes:
        """Eight bytes: one NaN, and −0.0 is not 0.0, which a client can tell apart."""
        return _NAN if math.isnan(value) else struct.pack(">d", value)

    def float_key_bytes(self, value: float) -> bytes:
        """As in a value, but −0.0 is 0.0: SQL holds them for equal."""
        return self.float_bytes(value + 0.0)

    def decimal_bytes(self, value: Decimal) -> bytes:
        """Sign, exponent and digits as they are: 1.0 and 1.00 are shown differently.

        :raises CallerError: if the exponent takes more than 32 bits.
        """
        if value.is_nan():
            return b"nan"
        sign, digits, exponent = value.as_tuple()
        if not isinstance(exponent, int):
            return b"-inf" if sign else b"+inf"
        if not -_MAX_EXPONENT - 1 <= exponent <= _MAX_EXPONENT:
            raise CallerError(f"decimal {shown(value)}: its exponent {exponent} takes more than 32 bits")
        number = 0
        for digit in digits:  # Python reads no text of more than 4,300 digits as a number, unless it is told to.
            number = number * 10 + digit
        mark = b"-" if sign and number else b"+"  # A decimal in SQL has no −0.
        return mark + exponent.to_bytes(4, "big", signed=True) + _whole(number)

    def decimal_key_bytes(self, value: Decimal) -> bytes:
        """Without zeros at the end: 1.0 and 1.00 are one key."""
        if not value.is_finite():
            return self.decimal_bytes(value)
        sign, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        kept = "".join(map(str, digits)).rstrip("0")
        if not kept:
            return self.decimal_bytes(Decimal(0))
        exponent += len(digits) - len(kept)
        return self.decimal_bytes(Decimal((sign, tuple(map(int, kept)), exponent)))

    def text_bytes(self, value: str) -> bytes:
        """UTF-8 as it is: texts that differ in bytes are different texts, also if they look alike.

        :raises CallerError: if the text holds half of a surrogate pair, which no text in UTF-8 does.
        """
        try:
            return value.encode()
        except UnicodeEncodeError as error:
            raise CallerError(f"text {shown(value)} can not be written in UTF-8: {error.reason}") from None

    def time_bytes(self, value: datetime) -> bytes:
        """Microseconds since 1970 in UTC, signed: one moment has one form, whatever its time zone.

        :raises CallerError: if the time has no time zone, because then it is no moment.
        """
        if value.utcoffset() is None:
            raise CallerError(f"time {shown(value)} has no time zone: say which, such as UTC")
        return ((value - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, "big", signed=True)

    def value_bytes(self, value: Value, *, in_key: bool = False, depth: int = 0) -> bytes:
        """A value with its kind.

        :raises CallerError: if there is no encoding for it.
        """
        match value:
            case None:
                return b"\x00"
            case bool():
                return b"\x01\x01" if value else b"\x01\x00"
            case int():
                return b"\x02" + _sized((b"-" if value < 0 else b"+") + _whole(abs(value)))
            case float():
                return b"\x03" + (self.float_key_bytes(value) if in_key else self.float_bytes(value))
            case Decimal():
                return b"\x04" + _sized(
                    self.decimal_key_bytes(value) if in_key else self.decimal_bytes(value)
                )
            case str():
                return b"\x05" + _sized(self.text_bytes(value))
            case bytes():
                return b"\x06" + _sized(value)
            case UUID():
                return b"\x07" + value.bytes
            case datetime():
                return b"\x08" + self.time_bytes(value)
            case tuple() if depth < MAX_DEPTH:
                parts = [self.value_bytes(each, in_key=in_key, depth=depth + 1) for each in value]
                return b"\x09" + len(parts).to_bytes(4, "big") + b"".join(parts)
            case tuple():
                raise CallerError(f"lists within lists, more than {MAX_DEPTH} deep: {shown(value)}")
        raise CallerError(f"{shown(value)} is a {type(value).__name__}: there is no encoding for it")

    def key_bytes(self, values: Sequence[Value]) -> bytes:
        """A row's key, in the order of its columns; what SQL holds for equal is the same."""
        return len(values).to_bytes(4, "big") + b"".join(
            self.value_bytes(each, in_key=True) for each in values
        )

    def row_bytes(self, schema: int, columns: Mapping[int, Value]) -> bytes:
        """A row: the version of its schema, then each column's number and value, in the order of numbers.

        A column that the schema has and the row lacks is not the same as NULL: the row was written before
        there was one, and what a client sees there is the schema's business.

        :param columns: by the number of the column, which never changes and never comes back.
        """
        check_range("schema version", schema, 0, MAX_COLUMN)
        parts = [schema.to_bytes(4, "big"), len(columns).to_bytes(4, "big")]
        for column in sorted(columns):
            check_range("column", column, 0, MAX_COLUMN)
            parts.append(column.to_bytes(4, "big") + self.value_bytes(columns[column]))
        return b"".join(parts)


def _whole(value: int) -> bytes:
    """A number of at least 0, without zeros before it."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def _sized(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value
