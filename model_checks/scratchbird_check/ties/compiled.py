"""Z3 formulas as Python functions, so that a hundred thousand steps can be judged in seconds.

The formula's graph is written out as Python source, each shared part once. ``ties.transition`` holds the
result to Z3's own evaluation of the same formula on some hundred samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import z3

from scratchbird_proofs.theorem import Term

_INFIX = {
    z3.Z3_OP_LE: "<=",
    z3.Z3_OP_GE: ">=",
    z3.Z3_OP_LT: "<",
    z3.Z3_OP_GT: ">",
    z3.Z3_OP_EQ: "==",
    z3.Z3_OP_ADD: "+",
    z3.Z3_OP_SUB: "-",
    z3.Z3_OP_MUL: "*",
    z3.Z3_OP_AND: "and",
    z3.Z3_OP_OR: "or",
    # Both round towards minus infinity where the divisor is positive, and here it is the constant 4096.
    z3.Z3_OP_IDIV: "//",
    z3.Z3_OP_MOD: "%",
}


def function(names: Sequence[str], terms: Sequence[Term]) -> Callable[..., int]:
    """A function from the values of the names, in order, to the position of the first term that is true.

    It returns -1 if none is. A set of numbers (an array from Int to Bool) is a ``frozenset``.

    :raises ValueError: if a term uses a name that is not listed, or an operation that is not known here.
    """
    source = _Source(names)
    body = [f"    if {source.text(term)}:\n        return {number}" for number, term in enumerate(terms)]
    arguments = ", ".join(source.arguments.values())
    shared = [f"    {line}" for line in source.lines]
    text = "\n".join([f"def judge({arguments}):", *shared, *body, "    return -1"])
    scope: dict[str, Any] = {}
    exec(compile(text, "<formula>", "exec"), scope)
    judge: Callable[..., int] = scope["judge"]
    return judge


class _Source:
    """Collects the parts of some terms; every part that is no leaf gets a name of its own."""

    def __init__(self, names: Sequence[str]) -> None:
        self.arguments = {name: f"a{number}" for number, name in enumerate(names)}
        self.lines: list[str] = []
        self.done: dict[int, str] = {}

    def text(self, term: Term) -> str:
        known = self.done.get(term.get_id())
        if known is not None:
            return known
        made = self._leaf(term)
        if not made:
            parts = [self.text(child) for child in term.children()]
            made = f"t{len(self.lines)}"
            self.lines.append(f"{made} = {self._operation(term, parts)}")
        self.done[term.get_id()] = made
        return made

    def _leaf(self, term: Term) -> str:
        if z3.is_true(term) or z3.is_false(term):
            return "True" if z3.is_true(term) else "False"
        if z3.is_int_value(term):
            return f"({term.as_long()})"
        if z3.is_const(term) and term.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            name = str(term.decl().name())
            if name not in self.arguments:
                raise ValueError(f"the formula speaks of {name!r}, which is no argument")
            return self.arguments[name]
        return ""

    def _operation(self, term: Term, parts: list[str]) -> str:
        kind = term.decl().kind()
        if kind in _INFIX:
            return f" {_INFIX[kind]} ".join(parts)
        match kind:
            case z3.Z3_OP_DISTINCT if len(parts) == 2:
                return f"{parts[0]} != {parts[1]}"
            case z3.Z3_OP_NOT:
                return f"not {parts[0]}"
            case z3.Z3_OP_UMINUS:
                return f"-{parts[0]}"
            case z3.Z3_OP_IMPLIES:
                return f"not {parts[0]} or {parts[1]}"
            case z3.Z3_OP_ITE:
                return f"{parts[1]} if {parts[0]} else {parts[2]}"
            case z3.Z3_OP_SELECT:
                return f"{parts[1]} in {parts[0]}"
            case z3.Z3_OP_STORE:
                return f"({parts[0]} | {{{parts[1]}}}) if {parts[2]} else ({parts[0]} - {{{parts[1]}}})"
            case z3.Z3_OP_CONST_ARRAY if parts == ["False"]:
                return "frozenset()"
        raise ValueError(f"no Python for the operation {term.decl().name()}")
