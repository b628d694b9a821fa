"""From events to operations: each completion finds its invocation, or it is said what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from scratchbird_history.errors import HistoryError, short
from scratchbird_history.operations import Kind, Operation, Outcome

TYPES = ("invoke", "ok", "fail", "info")
KINDS = tuple(kind.value for kind in Kind)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a log.

    :ivar type: one of :data:`TYPES`.
    :ivar function: one of :data:`KINDS`; None for a completion that does not say.
    :ivar key: None for a completion that does not say.
    :ivar values: of a write one, of a cas two, of a read its result; empty where none was given.
    """

    line: int
    process: str
    type: str
    function: str | None
    key: str | None
    values: tuple[str, ...]


def needs_value(type_: str, function: str | None) -> bool:
    """Whether an event must say a value: a read when it is ok, anything else when it is invoked."""
    return type_ == ("ok" if function == Kind.READ.value else "invoke")


def pair(events: Iterable[Event]) -> list[Operation]:
    """The operations in order of invocation.

    :raises HistoryError: for a completion without invocation, a process that invokes while its last
        operation is open, an unknown type or function, a completion that contradicts its invocation, a
        write, cas or completed read without its values.
    """
    operations: list[Operation] = []
    open_: dict[str, int] = {}
    for position, event in enumerate(events):
        if event.type not in TYPES:
            raise HistoryError(f"unknown type {short(event.type)}: use one of {', '.join(TYPES)}", event.line)
        if event.function is not None and event.function not in KINDS:
            raise HistoryError(
                f"unknown operation {short(event.function)}: this checker knows {', '.join(KINDS)}; leave"
                " other operations out of the log, or check them with something that knows them",
                event.line,
            )
        if event.type == "invoke":
            if event.process in open_:
                raise HistoryError(
                    f"process {short(event.process)} invokes while its operation of line"
                    f" {operations[open_[event.process]].line} is still open: complete that one first"
                    " (info, if nobody knows how it ended), or give each client a process of its own",
                    event.line,
                )
            open_[event.process] = len(operations)
            operations.append(_invoked(event, position))
        else:
            if event.process not in open_:
                raise HistoryError(
                    f"{event.type} of process {short(event.process)}, which has no open operation: its"
                    " invocation is missing, or it was completed twice",
                    event.line,
                )
            index = open_.pop(event.process)
            operations[index] = _completed(operations[index], event, position)
    return operations


def _invoked(event: Event, position: int) -> Operation:
    if event.function is None:
        raise HistoryError("the operation is not named: give read, write or cas", event.line)
    kind = Kind(event.function)
    needed = {Kind.READ: 0, Kind.WRITE: 1, Kind.CAS: 2}[kind]
    if len(event.values) != needed:
        what = {
            Kind.READ: "a read is invoked without a value, it returns one",
            Kind.WRITE: "a write needs the value that it writes",
            Kind.CAS: "a cas needs two values, the expected and the new one, as [expected, new]",
        }[kind]
        raise HistoryError(f"{what}; given was {short(' '.join(event.values)) or 'nothing'}", event.line)
    return Operation(
        process=event.process,
        key="null" if event.key is None else event.key,
        kind=kind,
        arguments=event.values,
        result=None,
        invoked=position,
        returned=None,
        outcome=Outcome.INDETERMINATE,
        line=event.line,
    )


def _completed(operation: Operation, event: Event, position: int) -> Operation:
    if event.function is not None and event.function != operation.kind.value:
        raise HistoryError(
            f"process {short(event.process)} completes a {event.function}, but invoked a"
            f" {operation.kind.value} in line {operation.line}: is a line missing between them?",
            event.line,
        )
    if event.key is not None and event.key != operation.key:
        raise HistoryError(
            f"completed on key {short(event.key)}, but invoked on key {short(operation.key)} in line"
            f" {operation.line}: is a line missing between them?",
            event.line,
        )
    if operation.kind is not Kind.READ and event.values and event.values != operation.arguments:
        raise HistoryError(
            f"completed with {short(' '.join(event.values))}, but invoked with"
            f" {short(' '.join(operation.arguments))} in line {operation.line}: repeat the value, or"
            " leave it out",
            event.line,
        )
    if event.type == "info":
        return operation
    if event.type == "fail":
        return replace(operation, returned=position, outcome=Outcome.FAIL)
    if operation.kind is not Kind.READ:
        return replace(operation, returned=position, outcome=Outcome.OK)
    if len(event.values) != 1:
        raise HistoryError("a read that is ok needs the value that it returned", event.line)
    return replace(operation, returned=position, outcome=Outcome.OK, result=event.values[0])
