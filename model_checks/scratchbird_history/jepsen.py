"""Jepsen's logs of register and cas-register workloads, as EDN, with or without independent keys.

Either one vector of maps or a map after another; ``#jepsen.history.Op{...}`` is a map as well. Further fields
(``:time``, ``:index``, ``:error``, ...) are for people. Operations of ``:nemesis`` are faults that were made,
and no operations on a register: they are counted and reported.
"""

from __future__ import annotations

from scratchbird_history.edn import Form, parse
from scratchbird_history.errors import HistoryError, short
from scratchbird_history.operations import History
from scratchbird_history.pairing import Event, needs_value, pair


def read(text: str, initial: str | None = None) -> History:
    """The history in ``text``; ``initial`` is an EDN value (``nil`` if not given).

    :raises HistoryError: if the log is not as it must be; it names the line.
    """
    forms = [form.untagged() for form in parse(text)]
    if len(forms) == 1 and forms[0].kind in "[(":
        forms = [form.untagged() for form in forms[0].items]
    entries = [_entry(form) for form in forms]
    clients = [(form, fields) for form, fields in entries if str(fields[":process"]) != ":nemesis"]
    keyed = _independent(clients)
    operations = pair([_event(form, fields, keyed) for form, fields in clients])
    notes = []
    if len(clients) < len(entries):
        count = len(entries) - len(clients)
        notes.append(f"events of the nemesis, which are no operations: {count}")
    if keyed:
        notes.append("every value is a pair [key value]: read as independent keys")
    return History(tuple(operations), "nil" if initial is None else value(initial), tuple(notes))


def value(text: str) -> str:
    """The canonical text of one EDN value. :raises HistoryError: if it is none, or several."""
    forms = parse(text)
    if len(forms) != 1:
        raise HistoryError(f"{short(text)!r} is {len(forms)} EDN values: give one")
    return str(forms[0])


def _entry(form: Form) -> tuple[Form, dict[str, Form]]:
    if form.kind != "{":
        raise HistoryError(
            f"{short(str(form))} is no map: a log is maps such as {{:type :invoke ...}}", form.line
        )
    fields = form.fields()
    for name in (":process", ":type", ":f"):
        if name not in fields:
            raise HistoryError(f"the field {name} is missing: every event has one", form.line)
    return form, fields


def _independent(clients: list[tuple[Form, dict[str, Form]]]) -> bool:
    """Whether every value is a pair of key and value; only invocations decide, as they must say the key."""
    invoked = [fields for _, fields in clients if str(fields[":type"]) == ":invoke"]

    def keyed(fields: dict[str, Form]) -> bool:
        found = fields.get(":value")
        if found is None or not _is_pair(found):
            return False
        return str(fields[":f"]) != ":cas" or _is_pair(found.untagged().items[1])

    return bool(invoked) and all(map(keyed, invoked))


def _is_pair(form: Form) -> bool:
    form = form.untagged()
    return form.kind in "[(" and len(form.items) == 2


def _event(form: Form, fields: dict[str, Form], keyed: bool) -> Event:
    type_, function = str(fields[":type"]).lstrip(":"), str(fields[":f"]).lstrip(":")
    given = fields.get(":value")
    key = None
    if keyed and given is not None and str(given) != "nil":
        if not _is_pair(given):
            raise HistoryError(
                f"{short(str(given))} is no pair [key value], as the values of all invocations are", form.line
            )
        key, given = str(given.untagged().items[0]), given.untagged().items[1]
    return Event(
        line=form.line,
        process=str(fields[":process"]),
        type=type_,
        function=function,
        key=key,
        values=_values(given, type_, function, form.line),
    )


def _values(given: Form | None, type_: str, function: str, line: int) -> tuple[str, ...]:
    if given is None or (str(given) == "nil" and not needs_value(type_, function)):
        return ()
    if function != "cas":
        return (str(given),)
    if not _is_pair(given):
        raise HistoryError(f"a cas needs two values, as [expected new]; given was {short(str(given))}", line)
    return tuple(str(item) for item in given.untagged().items)
