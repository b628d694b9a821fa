"""TLA+ values as TLC prints them, read into Python values that cannot be changed, and written back.

    1, TRUE, "a"                    int, bool, str
    n1                              ModelValue, a str that prints without quotes
    {1, 2}, 1..3                    frozenset
    <<1, 2>>                        tuple
    [a |-> 1], (n1 :> 0 @@ n2 :> 1) Record, a dict that can stand in a set

A function on 1..n *is* a sequence in TLA+, so ``(1 :> a @@ 2 :> b)`` is read as ``<<a, b>>``; the empty
function is the empty sequence. :func:`parse_state` remembers the values that it has read, because the states
of one graph differ in few variables: they share their values, which is why none of them can be changed.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from functools import lru_cache
from typing import Any, Never


class TlaSyntaxError(ValueError):
    """The text is no TLA+ value or state; says what was expected, what was found, and where."""

    def __init__(self, problem: str, text: str, position: int) -> None:
        self.problem = problem
        self.text = text
        self.position = position
        line = text.count("\n", 0, position) + 1
        column = position - (text.rfind("\n", 0, position) + 1) + 1
        around = text[max(0, position - 20) : position + 20].replace("\n", " ").strip()
        super().__init__(f"{problem} at line {line}, column {column}, near {around!r}")


class ModelValue(str):
    """A value that is equal only to itself; TLC prints it as a bare name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Record(dict[Any, Any]):
    """A record, or a function on a finite set. It cannot be changed, so it can stand in a set."""

    __slots__ = ("_hash",)
    _hash: int

    def __hash__(self) -> int:  # type: ignore[override]  # dict says that it has none: ours does not change
        try:
            return self._hash
        except AttributeError:
            self._hash = hash(frozenset(self.items()))
            return self._hash

    def __reduce__(self) -> tuple[type[Record], tuple[dict[Any, Any]]]:
        return Record, (dict(self),)

    def _refuse(self, *_: object, **__: object) -> Never:
        raise TypeError("a value of a state cannot be changed: build a new Record from it")

    __setitem__ = __delitem__ = update = setdefault = pop = popitem = clear = __ior__ = _refuse


# --- reading ----------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?:
      ("(?:[^"\\]|\\.)*")                         # 1 a string
    | (\d*[A-Za-z_]\w*)                           # 2 a name
    | (-?\d+)                                     # 3 a number
    | (<<|>>|\|->|:>|@@|\.\.|[{}\[\](),])         # 4 a sign
    )""",
    re.VERBOSE | re.ASCII,
)
_STRING, _NAME, _NUMBER = 1, 2, 3
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "f": "\f", "r": "\r"}
_MAX_INTERVAL = 1_000_000


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), text) if "\\" in text else text


class _Parser:
    """Recursive descent, one token ahead."""

    __slots__ = ("end", "kind", "start", "text", "token")

    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.advance()

    def advance(self) -> None:
        match = _TOKEN.match(self.text, self.end)
        if match is None:
            rest = self.text[self.end :]
            self.start = self.end + len(rest) - len(rest.lstrip())
            if self.start < len(self.text):
                raise TlaSyntaxError(f"unexpected {self.text[self.start]!r}", self.text, self.start)
            self.kind, self.token = 0, ""
            return
        self.kind = match.lastindex or 0
        self.token = match[self.kind]
        self.start, self.end = match.start(self.kind), match.end()

    def error(self, expected: str) -> TlaSyntaxError:
        found = repr(self.token) if self.token else "the end"
        return TlaSyntaxError(f"expected {expected}, found {found}", self.text, self.start)

    def expect(self, sign: str) -> None:
        if self.token != sign:
            raise self.error(f"'{sign}'")
        self.advance()

    def value(self) -> Hashable:
        kind, token = self.kind, self.token
        if kind == _NUMBER:
            self.advance()
            return self.interval(int(token)) if self.token == ".." else int(token)
        if kind == _NAME:
            self.advance()
            return token == "TRUE" if token in ("TRUE", "FALSE") else ModelValue(token)
        if kind == _STRING:
            self.advance()
            return _unescape(token[1:-1])
        match token:
            case "<<":
                return tuple(self.items(">>"))
            case "{":
                return frozenset(self.items("}"))
            case "[":
                return self.record()
            case "(":
                return self.function()
            case _:
                raise self.error("a value")

    def interval(self, low: int) -> frozenset[int]:
        self.advance()
        if self.kind != _NUMBER:
            raise self.error("a number")
        high = int(self.token)
        if high - low >= _MAX_INTERVAL:
            raise self.error(f"an interval of fewer than {_MAX_INTERVAL} numbers")
        self.advance()
        return frozenset(range(low, high + 1))

    def items(self, close: str) -> list[Hashable]:
        self.advance()
        found: list[Hashable] = []
        while self.token != close:
            if found:
                self.expect(",")
            found.append(self.value())
        self.advance()
        return found

    def record(self) -> Record:
        self.advance()
        found: dict[Hashable, Hashable] = {}
        while True:
            if self.kind != _NAME:
                raise self.error("a field name")
            key = self.token
            self.advance()
            self.expect("|->")
            found[key] = self.value()
            if self.token == "]":
                self.advance()
                return Record(found)
            self.expect(",")

    def function(self) -> Hashable:
        self.advance()
        found: dict[Hashable, Hashable] = {}
        while True:
            key = self.value()
            if self.token == ")" and not found:  # A value in parentheses, and nothing more.
                self.advance()
                return key
            self.expect(":>")
            found[key] = self.value()
            if self.token == ")":
                self.advance()
                return _function(found)
            self.expect("@@")


def _function(pairs: Mapping[Hashable, Hashable]) -> Hashable:
    if all(type(key) is int for key in pairs) and pairs.keys() == set(range(1, len(pairs) + 1)):
        return tuple(pairs[key] for key in range(1, len(pairs) + 1))
    return Record(pairs)


def parse_value(text: str) -> Any:
    """Read one value.

    :raises TlaSyntaxError: a :class:`ValueError`, if the text is no value, or has more than one.
    """
    parser = _Parser(text)
    try:
        value = parser.value()
    except RecursionError:
        raise TlaSyntaxError("a value that is nested too deeply", text, 0) from None
    if parser.kind:
        raise parser.error("the end of the value")
    return value


_remembered = lru_cache(maxsize=1 << 16)(parse_value)
_CONJUNCT = re.compile(r"(?:^|\n)\s*/\\ ")
_VARIABLE = re.compile(r"\s*(\w+)\s*=\s*")


def parse_state(text: str) -> dict[str, Any]:
    r"""Read a state as TLC prints it: ``/\ x = 1`` and so on, one conjunct a line, or ``x = 1`` alone.

    The label of a node in ``-dump dot`` is the same text, escaped (``/\\ x = \"a\"\n/\\ y = 2``, where ``\n``
    is two characters): it is recognised and unescaped first.

    :raises TlaSyntaxError: a :class:`ValueError` that names the variable whose value cannot be read.
    """
    if text.lstrip().startswith("/\\\\ ") or '\\"' in text.split('"', 1)[0] + '"':
        text = _unescape(text)
    elif "\n" not in text and "\\n/\\ " in text:
        text = text.replace("\\n", "\n")
    state: dict[str, Any] = {}
    position = 0
    for conjunct in _CONJUNCT.split(text):
        if match := _VARIABLE.match(conjunct):
            name, value = match[1], conjunct[match.end() :]
            try:
                state[name] = _remembered(value)
            except TlaSyntaxError as error:
                position = text.find(conjunct, position) + match.end() + error.position
                raise TlaSyntaxError(f"variable {name}: {error.problem}", text, position) from None
        elif conjunct.strip():
            raise TlaSyntaxError("expected 'variable = value'", text, text.find(conjunct, position))
    if not state:
        raise TlaSyntaxError("expected a state, found nothing", text, 0)
    return state


# --- writing ----------------------------------------------------------------------------------------------

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SPECIAL = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\f": "\\f", "\r": "\\r"}


def sort_key(value: Any) -> tuple[int, int, str]:
    """An order over all values, so that sets and functions are always written in the same order."""
    if isinstance(value, int):
        return (0, value, "")
    return (1, 0, value if isinstance(value, str) else format_value(value))


def format_value(value: Any) -> str:
    """The value as TLC would print it, on one line, elements of sets and functions in a fixed order."""
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case int():
            return str(value)
        case ModelValue():
            return str(value)
        case str():
            return '"' + "".join(_SPECIAL.get(character, character) for character in value) + '"'
        case tuple() | list():
            return "<<" + ", ".join(format_value(item) for item in value) + ">>"
        case frozenset() | set():
            return "{" + ", ".join(format_value(item) for item in sorted(value, key=sort_key)) + "}"
        case Mapping():
            return _format_function(value)
    raise TypeError(f"{value!r} is no TLA+ value: expected int, bool, str, tuple, frozenset or Record")


def _format_function(value: Mapping[Any, Any]) -> str:
    keys = sorted(value, key=sort_key)
    if not keys:
        return "<<>>"
    if all(type(key) is str and _IDENTIFIER.fullmatch(key) for key in keys):
        return "[" + ", ".join(f"{key} |-> {format_value(value[key])}" for key in keys) + "]"
    return "(" + " @@ ".join(f"{format_value(key)} :> {format_value(value[key])}" for key in keys) + ")"


def format_state(state: Mapping[str, Any]) -> str:
    r"""A conjunction list, ``/\ x = 1`` and so on, that :func:`parse_state` reads."""
    return "\n".join(f"/\\ {name} = {format_value(value)}" for name, value in state.items())


def frozen(value: Any) -> Any:
    """JSON as values that cannot be changed, like those of a model's states."""
    if isinstance(value, dict):
        return Record((name, frozen(item)) for name, item in value.items())
    return tuple(frozen(item) for item in value) if isinstance(value, list) else value
