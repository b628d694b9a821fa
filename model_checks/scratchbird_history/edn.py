"""Reads EDN, the notation of Clojure's data, as far as logs need it: every value, comments, tags, discards.

It goes without recursion, so that no nesting in a file can exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from scratchbird_history.errors import HistoryError, short

DEEPEST = 100
"""Levels of nesting; a log of registers has three or four."""

_TOKEN = re.compile(
    r"""(?P<space>[\s,]+|;[^\n]*)
      | (?P<open>\#\{|[\[({])
      | (?P<close>[\])}])
      | (?P<string>"(?:[^"\\]|\\.)*")
      | (?P<discard>\#_)
      | (?P<char>\\(?:newline|space|tab|return|formfeed|backspace|u[0-9A-Fa-f]{4}|.))
      | (?P<tag>\#[A-Za-z][\w.*+!?$%&=<>/-]*)
      | (?P<atom>\#\#(?:Inf|-Inf|NaN)|[^\s,;()\[\]{}"\\\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)
_WHOLE = re.compile(r"([+-]?)(0|[1-9][0-9]*)N?")
_FRACTION = r"(0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]+)?M?|[0-9]+/[0-9]+"
_CLOSING = {"[": "]", "(": ")", "{": "}", "#{": "}"}


@dataclass(slots=True)
class Form:
    """One value and where it stands.

    :ivar kind: ``atom``, ``string``, ``tag`` or the opening bracket of a collection.
    :ivar text: of an atom or a string its canonical text, of a tag its name.
    :ivar items: what a collection holds (of a map keys and values in turn), or the one value of a tag.
    """

    kind: str
    line: int
    text: str = ""
    items: list[Form] = field(default_factory=list)

    def untagged(self) -> Form:
        """The value without its tags: a record prints as a tagged map."""
        found = self
        while found.kind == "tag":
            found = found.items[0]
        return found

    def fields(self) -> dict[str, Form]:
        """The entries of a map by the canonical text of their keys."""
        return {str(key): value for key, value in zip(self.items[::2], self.items[1::2], strict=True)}

    def __str__(self) -> str:
        """The canonical text: vectors and lists alike as ``[...]``, as Clojure calls them equal."""
        if self.kind in ("atom", "string"):
            return self.text
        if self.kind == "tag":
            return f"#{self.text} {self.items[0]}"
        if self.kind == "{":
            return "{" + ", ".join(sorted(f"{key} {value}" for key, value in self.fields().items())) + "}"
        if self.kind == "#{":
            return "#{" + " ".join(sorted(map(str, self.items))) + "}"
        return "[" + " ".join(map(str, self.items)) + "]"


def parse(text: str) -> list[Form]:
    """Every value in ``text``.

    :raises HistoryError: if it is no EDN; it names the line.
    """
    top = Form("top", 1)
    stack = [top]
    for name, token, line in _tokens(text):
        if name == "open" or name in ("tag", "discard"):
            if len(stack) > DEEPEST:
                raise HistoryError(f"nested deeper than {DEEPEST} levels: this is no log of a register", line)
            kind = token if name == "open" else name
            stack.append(Form(kind, line, token[1:] if name == "tag" else ""))
            continue
        if name == "close":
            form = stack.pop() if len(stack) > 1 else top
            if _CLOSING.get(form.kind) != token:
                raise HistoryError(f"{token!r} closes nothing that is open here ({_opened(form)})", line)
            if form.kind == "{":
                _check_map(form)
        else:
            form = Form(name if name == "string" else "atom", line, _canonical(token, name, line))
        while True:  # A tag or a discard ends with the one value that it stands before.
            holder = stack[-1]
            if holder.kind != "discard":
                holder.items.append(form)
            if holder.kind not in ("tag", "discard"):
                break
            stack.pop()
            if holder.kind == "discard":
                break
            form = holder
    if len(stack) > 1:
        raise HistoryError(f"the file ends too early: {_opened(stack[-1])}", stack[-1].line)
    return top.items


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    place, line = 0, 1
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            what = "a text without its closing quote" if text[place] == '"' else "no EDN"
            raise HistoryError(f"{short(text[place:].splitlines()[0])} is {what}", line)
        token = match.group()
        if match.lastgroup != "space":
            yield match.lastgroup, token, line
        line += token.count("\n")
        place = match.end()


def _canonical(token: str, name: str, line: int) -> str:
    if name != "atom":
        return token
    whole = _WHOLE.fullmatch(token)
    if whole:
        sign = "-" if whole[1] == "-" and whole[2] != "0" else ""
        return sign + whole[2]
    if token[0].isdigit() and not re.fullmatch(_FRACTION, token):
        raise HistoryError(f"{short(token)} is no number of EDN", line)
    return token


def _check_map(form: Form) -> None:
    if len(form.items) % 2:
        raise HistoryError(f"a map with a key but no value for it: {short(str(form.items[-1]))}", form.line)
    keys = [str(key) for key in form.items[::2]]
    if len(set(keys)) != len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise HistoryError(f"a map with the key {short(twice)} twice", form.line)


def _opened(form: Form) -> str:
    if form.kind == "top":
        return "nothing was opened before"
    return (
        f"{form.kind if form.kind in _CLOSING else '#' + form.text!r} of line {form.line} waits for its end"
    )
