"""A history: operations on registers, each from its invocation to its completion.

Values and keys are canonical texts (``1``, ``"a"``, ``null``, ``[1 2]``), made by the readers, so that equal
means the same everywhere: ``1``, ``1.0`` and ``true`` are three values, although Python calls them equal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What an operation asks for."""

    READ = "read"
    WRITE = "write"
    CAS = "cas"


class Outcome(Enum):
    """How an operation ended.

    ``FAIL`` says that it did not take effect, and nothing else. ``INDETERMINATE`` says that nobody knows: it
    may have taken effect, may do so at any later time, or never will.
    """

    OK = "ok"
    FAIL = "fail"
    INDETERMINATE = "indeterminate"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one register.

    :ivar process: who asked; a process has one operation at a time.
    :ivar arguments: nothing for a read, the value for a write, the expected and the new value for a cas.
    :ivar result: what a read returned; None for anything else.
    :ivar invoked: position of the invocation among all events of the history, from 0.
    :ivar returned: position of the completion; None if it never came or said ``info``, because the
        operation may then take effect at any later time.
    :ivar line: line of the invocation in the file, from 1; 0 if the history came from no file.
    """

    process: str
    key: str
    kind: Kind
    arguments: tuple[str, ...]
    result: str | None
    invoked: int
    returned: int | None
    outcome: Outcome
    line: int = 0

    @property
    def observed(self) -> str | None:
        """The value that the register had if this operation was completed: read, or expected by a cas."""
        return self.arguments[0] if self.kind is Kind.CAS else self.result

    @property
    def written(self) -> str | None:
        """The value that the register has afterwards; None for a read."""
        return self.arguments[-1] if self.arguments else None

    @property
    def counts(self) -> bool:
        """Whether it can make a difference: it did not fail, and is no read of which nothing is known."""
        if self.outcome is Outcome.FAIL:
            return False
        return self.outcome is Outcome.OK or self.kind is not Kind.READ

    def label(self) -> str:
        """In a few characters, such as ``write 1``, ``read 2``, ``cas 1→2 ?``."""
        what = "→".join(self.arguments) if self.kind is not Kind.READ else self.result
        mark = {Outcome.OK: "", Outcome.FAIL: " failed", Outcome.INDETERMINATE: " ?"}[self.outcome]
        return f"{self.kind.value} {what}{mark}" if what is not None else f"{self.kind.value}{mark}"


@dataclass(frozen=True, slots=True)
class History:
    """What was read.

    :ivar initial: the value of every register before the first operation.
    :ivar notes: what was read and is no operation, in sentences.
    """

    operations: tuple[Operation, ...]
    initial: str
    notes: tuple[str, ...] = field(default=())

    @property
    def several_keys(self) -> bool:
        return len({operation.key for operation in self.operations}) > 1


def by_key(operations: Iterable[Operation]) -> dict[str, list[Operation]]:
    """The operations of each key, keys in the order of their first invocation."""
    found: dict[str, list[Operation]] = {}
    for operation in operations:
        found.setdefault(operation.key, []).append(operation)
    return found
