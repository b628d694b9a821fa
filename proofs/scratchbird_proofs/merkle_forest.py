"""The descent through two trees, and what two entries of a row become, for any number of rows and replicas.

The descent is proved by induction on the prefix, from the longest to the empty one. A theorem about a subtree
takes for granted the same theorem about its sixteen children, and shows it of the subtree itself; at the
longest prefix every subtree is a leaf. ``row`` is any row below the prefix, ``mine`` and ``theirs`` are its
entries at the two sides (0 if there is none).

That no two different strings of bytes have one digest is an assumption, and it is written as three: the
digest of a leaf has its entries back, the digest of an inner node has its children's back, and no leaf's is
an inner node's (MERKLE_FOREST.R5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import z3

from scratchbird_proofs.theorem import Formula, Obligation, Term, Theorem

FAN_OUT = 16
LONGEST = 32
"""Digits of a place (MERKLE_FOREST.R4)."""
MOST_IN_LEAF = 8

# --- digests ----------------------------------------------------------------------------------------------

DIGEST = z3.DeclareSort("Digest")
LISTING = z3.DeclareSort("Listing")
"""What a leaf's digest is of: its entries."""

nothing = z3.Const("nothing", DIGEST)
leaf_digest = z3.Function("leaf_digest", LISTING, DIGEST)
entries_of = z3.Function("entries_of", DIGEST, LISTING)
inner_digest = z3.Function("inner_digest", *[DIGEST] * FAN_OUT, DIGEST)
child_of = [z3.Function(f"child_{digit}_of", DIGEST, DIGEST) for digit in range(FAN_OUT)]
kind = z3.Function("kind", DIGEST, z3.IntSort())
"""0 nothing, 1 a leaf's, 2 an inner node's."""
entry_in = z3.Function("entry_in", LISTING, z3.IntSort(), z3.IntSort())
SHORT = z3.DeclareSort("Short")
short = z3.Function("short", DIGEST, SHORT)
"""A digest as it is told below a window: two may be told alike."""

row, depth, digit = z3.Ints("row depth digit")
"""Any row below the prefix; how long the prefix is; the row's digit after it."""


@dataclass(frozen=True, slots=True)
class Side:
    """A subtree as one replica has it."""

    count: Term
    """Of entries below the prefix."""
    entry: Term
    """The version that it shows of ``row``, 0 if none."""
    listing: Term
    children: tuple[Term, ...]
    """The digests of the sixteen subtrees below."""


def side(name: str) -> Side:
    """Any subtree whatever."""
    return Side(
        z3.Int(f"count_{name}"),
        z3.Int(f"entry_{name}"),
        z3.Const(f"listing_{name}", LISTING),
        tuple(z3.Const(f"child_{each}_{name}", DIGEST) for each in range(FAN_OUT)),
    )


class Rules:
    """The rules as they stand; a wrong rule overrides one of them."""

    def is_leaf(self, count: Term) -> Formula:
        """MERKLE_FOREST.R4: whether a subtree of so many entries is one leaf."""
        return z3.Or(count <= MOST_IN_LEAF, depth == LONGEST)

    def kinds_differ(self) -> bool:
        """MERKLE_FOREST.R5: whether what is hashed says what it is."""
        return True

    def asks_below(self, mine: Term, theirs: Term) -> Formula:
        """MERKLE_FOREST.R13: whether a child is looked into, with these digests at the two sides."""
        return mine != theirs

    def confirms(self, told: Term, found: Term) -> Formula:
        """MERKLE_FOREST.R19: whether what was heard is believed, of which this digest was found."""
        return told == found

    def compares(self, mine: Term, theirs: Term) -> Formula:
        """MERKLE_FOREST.R13: whether a row of a leaf is dealt with, with these entries at the two sides."""
        return mine != theirs

    def takes(self, s: Met) -> Formula:
        """MERKLE_FOREST.R14: whether who meets an entry takes its row, which may be newer than the entry."""
        return s.effective <= s.met

    def takes_over(self, s: Met) -> Formula:
        """MERKLE_FOREST.R14: whether who holds a newer version takes over the entry."""
        return z3.Not(z3.And(s.settled, s.met <= s.floor))


def digest(rules: Rules, s: Side) -> Term:
    """Of a subtree (MERKLE_FOREST.R5)."""
    leaf = z3.If(rules.is_leaf(s.count), leaf_digest(s.listing), inner_digest(*s.children))
    return z3.If(s.count == 0, nothing, leaf)


def _hashing(rules: Rules, *sides: Side) -> dict[str, Formula]:
    """What is assumed of the hash, of the digests that occur."""
    found: dict[str, Formula] = {"nothing is nothing": kind(nothing) == 0}
    for number, s in enumerate(sides):
        leaf, inner = leaf_digest(s.listing), inner_digest(*s.children)
        found[f"a leaf's digest has its entries back ({number})"] = entries_of(leaf) == s.listing
        found[f"an inner digest has its children's back ({number})"] = z3.And(
            *(child_of[each](inner) == s.children[each] for each in range(FAN_OUT))
        )
        of_a_leaf, of_a_node = (1, 2) if rules.kinds_differ() else (1, 1)
        found[f"digests say what they are of ({number})"] = z3.And(
            kind(leaf) == of_a_leaf, kind(inner) == of_a_node
        )
    return found


def _subtree(s: Side, name: str) -> dict[str, Formula]:
    """What a subtree is: how many entries it has, and that of the row."""
    return {
        f"a count is a count ({name})": s.count >= 0,
        f"an entry counts ({name})": z3.And(s.entry >= 0, z3.Implies(s.entry > 0, s.count > 0)),
        f"a leaf lists its entries ({name})": entry_in(s.listing, row) == s.entry,
    }


A, B = side("mine"), side("theirs")
_PREFIX = z3.And(depth >= 0, depth <= LONGEST, digit >= 0, digit < FAN_OUT)


def _child(s: Side) -> Term:
    """The digest of the child that the row is below."""
    return _at_its_digit(s.children)


def _at_its_digit(values: Sequence[Term]) -> Term:
    """Of sixteen children's values that of the child which the row is below."""
    found = values[0]
    for each in range(1, FAN_OUT):
        found = z3.If(digit == each, values[each], found)
    return found


def _given(rules: Rules) -> dict[str, Formula]:
    return {
        "the prefix": _PREFIX,
        **_hashing(rules, A, B),
        **_subtree(A, "mine"),
        **_subtree(B, "theirs"),
    }


def _cases(rules: Rules) -> dict[str, Formula]:
    leaves = [z3.And(s.count > 0, rules.is_leaf(s.count)) for s in (A, B)]
    return {
        "two leaves": z3.And(*leaves),
        "two inner nodes": z3.And(*(z3.And(s.count > 0, z3.Not(rules.is_leaf(s.count))) for s in (A, B))),
        "at the longest prefix": z3.And(depth == LONGEST, *leaves),
    }


def _same(rules: Rules) -> Sequence[Obligation]:
    """Equal digests, equal entries: of the children it is given."""
    given = {
        **_given(rules),
        "it is so of the children": z3.Implies(_child(A) == _child(B), A.entry == B.entry),
        "the digests are the same": digest(rules, A) == digest(rules, B),
    }
    return (Obligation("the row has the same entry", given, A.entry == B.entry, _cases(rules)),)


def _differ(rules: Rules) -> Sequence[Obligation]:
    """Equal entries, equal digests: whoever looks below looks where something differs."""
    all_same = z3.And(*(mine == theirs for mine, theirs in zip(A.children, B.children, strict=True)))
    given = {
        **_given(rules),
        "the entries are the same, and as many": z3.And(
            A.count == B.count, A.listing == B.listing, A.entry == B.entry
        ),
        "it is so of the children": all_same,
    }
    conclusion = digest(rules, A) == digest(rules, B)
    return (Obligation("the digests are the same", given, conclusion, _cases(rules)),)


# --- the descent ------------------------------------------------------------------------------------------

below = z3.Bool("the_row_is_dealt_with_in_the_child")
"""By the descent into the child that the row is below, if there is one."""


def _dealt(rules: Rules) -> Formula:
    """Whether a descent that comes to this subtree deals with the row.

    Where the other side has a leaf, its entries and ours are compared one by one, however many ours are;
    where it has an inner node, its children are looked into.
    """
    theirs_is_leaf = z3.Or(B.count == 0, rules.is_leaf(B.count))
    looked_into = z3.And(rules.asks_below(_child(A), _child(B)), below)
    return z3.If(theirs_is_leaf, rules.compares(A.entry, B.entry), looked_into)


def _reaches(rules: Rules) -> Sequence[Obligation]:
    """A row that differs is dealt with; of the children it is given."""
    given = {
        **_given(rules),
        "equal digests, equal entries: below": z3.Implies(_child(A) == _child(B), A.entry == B.entry),
        "it is so of the children": z3.Implies(A.entry != B.entry, below),
        "the row differs": A.entry != B.entry,
    }
    cases = {
        "only here": z3.And(A.entry > 0, B.entry == 0),
        "only there": z3.And(A.entry == 0, B.entry > 0),
        "there is nothing there": z3.And(B.count == 0, A.count > MOST_IN_LEAF),
        "there is nothing here": z3.And(A.count == 0, B.count > MOST_IN_LEAF, depth < LONGEST),
    }
    return (Obligation("it is dealt with", given, _dealt(rules), cases),)


def _moves(rules: Rules) -> Sequence[Obligation]:
    """Nothing else is."""
    given = {
        **_given(rules),
        "it is so of the children": z3.Implies(below, A.entry != B.entry),
        "the row is dealt with": _dealt(rules),
    }
    return (Obligation("the row differs", given, A.entry != B.entry),)


def _ends(rules: Rules) -> Sequence[Obligation]:
    """Who looks below looks at a longer prefix, and none is longer than a place."""
    theirs_is_inner = z3.And(B.count > 0, z3.Not(rules.is_leaf(B.count)))
    given = {**_given(rules), "the other side has an inner node": theirs_is_inner}
    return (
        Obligation("the child's prefix is one longer", given, depth + 1 <= LONGEST, {"it may": depth == 31}),
    )


# --- short digests ----------------------------------------------------------------------------------------

found_below = tuple(z3.Const(f"found_{each}", DIGEST) for each in range(FAN_OUT))
"""The digests that are computed of the children that were asked for."""


def _heard_below() -> list[Term]:
    """By child: the digest that is computed of the other side's, where told alike one's own."""
    return [
        z3.If(short(mine) != short(theirs), found, mine)
        for mine, theirs, found in zip(A.children, B.children, found_below, strict=True)
    ]


def heard(rules: Rules) -> Term:
    """The digest of the other side's subtree, computed of what was heard of it (MERKLE_FOREST.R19)."""
    leaf = z3.If(rules.is_leaf(B.count), leaf_digest(B.listing), inner_digest(*_heard_below()))
    return z3.If(B.count == 0, nothing, leaf)


def _confirmed(rules: Rules) -> Sequence[Obligation]:
    """Where what was heard makes the digest that was told, a row that differs is dealt with.

    Children are asked for whose digests are told differently; of the children it is given.
    """
    asked = short(_child(A)) != short(_child(B))
    theirs_is_leaf = z3.Or(B.count == 0, rules.is_leaf(B.count))
    dealt = z3.If(theirs_is_leaf, rules.compares(A.entry, B.entry), z3.And(asked, below))
    inner = inner_digest(*_heard_below())
    given = {
        **_given(rules),
        "the digest of what was heard has its children's back": z3.And(
            *(child_of[each](inner) == child for each, child in enumerate(_heard_below()))
        ),
        "equal digests, equal entries: below": z3.Implies(_child(A) == _child(B), A.entry == B.entry),
        "it is so of the children": z3.Implies(
            z3.And(A.entry != B.entry, rules.confirms(_child(B), _at_its_digit(found_below))), below
        ),
        "it is confirmed": rules.confirms(digest(rules, B), heard(rules)),
        "the row differs": A.entry != B.entry,
    }
    inner_there = z3.Not(theirs_is_leaf)
    cases = {
        "its child is told differently": z3.And(inner_there, asked),
        "another child is told alike": z3.And(
            inner_there, digit == 0, short(A.children[1]) == short(B.children[1])
        ),
        "the other side has a leaf": theirs_is_leaf,
    }
    return (Obligation("it is dealt with", given, dealt, cases),)


# --- what a row becomes -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Met:
    """One row at a replica that meets an entry of another one, in an exchange."""

    held: Term
    entry: Term
    stable: Term
    floor: Term
    settled: Term
    met: Term
    """The entry that the other side showed when the exchange began."""
    sent: Term
    """The version in which the other side holds the row by now."""
    tombstone: Term
    """Whether what is held is a tombstone."""

    @property
    def effective(self) -> Term:
        """As which version the row compares (HANDOFF.R11)."""
        return z3.If(z3.And(self.held == 0, self.settled), self.floor, self.held)


def met() -> Met:
    """Any row whatever."""
    names = ("held", "entry", "stable", "floor", "met", "sent")
    numbers = {name: z3.Int(f"row_{name}") for name in names}
    return Met(settled=z3.Bool("row_settled"), tombstone=z3.Bool("row_tombstone"), **numbers)


def shown(s: Met) -> Mapping[str, Formula]:
    """MERKLE_FOREST.R1 of one row, clause by clause: an invariant of every step."""
    purged = z3.And(s.settled, s.tombstone, s.held <= s.floor)
    return {
        "an entry is no newer than the stable time": s.entry <= s.stable,
        "an entry is no newer than the row": s.entry <= s.effective,
        "what is held up to the stable time is shown": z3.Implies(
            z3.And(s.held > 0, s.held <= s.stable), s.entry == z3.If(purged, 0, s.held)
        ),
        "what is shown is held, or something newer": z3.Implies(s.entry > 0, s.held > 0),
        "what was overtaken below the floor is not shown": z3.Implies(
            z3.And(s.settled, s.entry > 0, s.entry <= s.floor), z3.Or(s.entry == s.held, s.held > s.floor)
        ),
        "no tombstone below the floor is shown": z3.Implies(
            z3.And(s.settled, s.tombstone, s.held <= s.floor), s.entry == 0
        ),
    }


def after(rules: Rules, s: Met) -> Met:
    """What the row becomes."""
    takes = z3.And(rules.takes(s), s.met <= s.sent)
    held = z3.If(takes, s.sent, s.held)
    tombstone = z3.If(takes, z3.Bool("sent_tombstone"), s.tombstone)
    purged = z3.And(s.settled, tombstone, held <= s.floor)
    follows = z3.If(z3.And(takes, held <= s.stable), z3.If(purged, 0, held), s.entry)
    over = z3.And(held > s.stable, s.met > follows, s.met <= s.stable, rules.takes_over(s))
    return replace(s, held=held, tombstone=tombstone, entry=z3.If(over, s.met, follows))


def _meets(rules: Rules) -> Sequence[Obligation]:
    s = met()
    then = after(rules, s)
    given = {
        **shown(s),
        "versions are not negative": z3.And(s.held >= 0, s.entry >= 0, s.met > 0, s.floor >= 0),
        "the other side holds it, or purged it": z3.Or(s.sent >= s.met, s.sent == 0),
        "it purged it only below a floor at which this side holds the past": z3.Implies(
            s.sent == 0, s.effective >= s.met
        ),
        "who has settled takes what is above the floor (HANDOFF.R9)": z3.Implies(
            z3.And(s.settled, then.held != s.held), then.held > s.floor
        ),
        "the stable time is that of the exchange or later": s.met <= s.stable,
    }
    cases = {
        "the row is taken": then.held > s.held,
        "the entry is taken over": z3.And(then.held == s.held, then.entry > s.entry),
        "the row is deleted below the floor": z3.And(s.held == 0, s.settled, s.met < s.floor),
    }
    found = [
        Obligation("this side ends with it or something newer", given, then.effective >= s.met, cases),
        Obligation("nothing is given up", given, then.effective >= s.effective),
        Obligation(
            "it does not look so again",
            given,
            z3.Or(then.entry >= s.met, z3.And(s.settled, s.met <= s.floor)),
        ),
    ]
    found += [Obligation(f"kept: {name}", given, clause) for name, clause in shown(then).items()]
    return tuple(found)


later, higher = z3.Ints("later higher")
"""The next stable time, and the floor at which a replica settles next."""
deletes = z3.Bool("the_entry_deletes")


def reached_by(s: Met) -> Met:
    """What the row becomes when the stable time rises to ``later``."""
    purged = z3.And(s.settled, s.tombstone, s.held <= s.floor)
    reached = z3.And(s.held > 0, s.held <= later)
    return replace(s, stable=later, entry=z3.If(reached, z3.If(purged, 0, s.held), s.entry))


def settled_at(s: Met) -> Met:
    """What the row becomes when its replica settles at the floor ``higher``."""
    out = z3.And(s.entry <= higher, z3.Or(deletes, s.held > s.entry))
    return replace(s, settled=z3.BoolVal(True), floor=higher, entry=z3.If(out, 0, s.entry))


def _advances() -> Sequence[Obligation]:
    """The stable time rises to any later one."""
    s = met()
    reached = z3.And(s.held > 0, s.held <= later)
    then = reached_by(s)
    given = {**shown(s), "later": later > s.stable, "not negative": z3.And(s.held >= 0, s.entry >= 0)}
    cases = {"it is reached": reached, "it waits": s.held > later}
    return tuple(Obligation(name, given, clause, cases) for name, clause in shown(then).items())


def _settles() -> Sequence[Obligation]:
    """Tombstones below the floor go, and what was overtaken there."""
    s = met()
    then = settled_at(s)
    given = {
        **shown(s),
        "a floor is above the one before": z3.Implies(s.settled, higher > s.floor),
        "the entry is of what is held, where it is that": z3.Implies(
            s.entry == s.held, deletes == s.tombstone
        ),
        "not negative": z3.And(s.held >= 0, s.entry >= 0, s.floor >= 0, higher > 0),
    }
    cases = {
        "it goes": z3.And(then.entry == 0, s.entry > 0),
        "it stays": then.entry > 0,
        "it had settled before": z3.And(s.settled, then.entry == 0, s.entry > 0),
    }
    found = [Obligation(name, given, clause, cases) for name, clause in shown(then).items()]
    purged = replace(s, held=z3.IntVal(0), tombstone=z3.BoolVal(False))
    given = {
        **shown(s),
        "a tombstone below the floor is purged": z3.And(
            s.settled, s.tombstone, s.held > 0, s.held <= s.floor
        ),
        "not negative": z3.And(s.entry >= 0, s.stable >= 0),
    }
    found += [Obligation(f"purged: {name}", given, clause) for name, clause in shown(purged).items()]
    return tuple(found)


def _agree(rules: Rules) -> Sequence[Obligation]:
    """Two sides, one row, no new versions: what this side shows after an exchange is what the other shows."""
    here = met()
    names = ("held", "entry")
    there = replace(
        here, tombstone=z3.Bool("their_tombstone"), **{name: z3.Int(f"their_{name}") for name in names}
    )
    here = replace(here, met=there.entry, sent=there.held)
    then = after(rules, here)
    given = {
        **{f"here: {name}": clause for name, clause in shown(here).items()},
        **{f"there: {name}": clause for name, clause in shown(there).items()},
        "versions are not negative": z3.And(here.held >= 0, here.entry >= 0, there.held >= 0),
        "one version is one write": z3.And(
            z3.Implies(here.held == there.held, here.tombstone == there.tombstone),
            z3.Bool("sent_tombstone") == there.tombstone,
        ),
        "the other side shows something newer": here.entry < there.entry,
        "at or below one floor both show the same (HANDOFF.R11)": z3.Implies(
            z3.And(here.settled, there.entry <= here.floor), here.entry == there.entry
        ),
    }
    cases = {
        "its row is taken": then.held > here.held,
        "its entry is taken over": z3.And(then.held == here.held, then.entry > here.entry),
        "its row is under way": there.held > there.stable,
        "both have settled": here.settled,
    }
    return (Obligation("both show the same", given, then.entry == there.entry, cases),)


def theorems(rules: Rules | None = None) -> tuple[Theorem, ...]:
    """All of this part, of the rules as they stand or of others."""
    given = rules or Rules()
    return (
        Theorem(
            "merkle_forest.equal_digests_equal_entries",
            "Where the digests of two subtrees are the same, they show the same of every row.",
            ("MRK-1", "MRK-8"),
            ("MERKLE_FOREST.R4", "MERKLE_FOREST.R5"),
            lambda: _same(given),
        ),
        Theorem(
            "merkle_forest.equal_entries_equal_digests",
            "Two subtrees that show the same have one digest, in whatever order it came to be.",
            ("MRK-1",),
            ("MERKLE_FOREST.R4", "MERKLE_FOREST.R5"),
            lambda: _differ(given),
        ),
        Theorem(
            "merkle_forest.the_descent_reaches_what_differs",
            "A row that two sides show differently is dealt with, also if only one side has its subtree.",
            ("MRK-4", "MRK-5"),
            ("MERKLE_FOREST.R13",),
            lambda: _reaches(given),
            ("merkle_forest.equal_digests_equal_entries",),
        ),
        Theorem(
            "merkle_forest.what_is_confirmed_is_all",
            "Where what was heard makes the digest that was told, all that differs is dealt with, though "
            "other digests may be told alike.",
            ("MRK-8",),
            ("MERKLE_FOREST.R13", "MERKLE_FOREST.R19"),
            lambda: _confirmed(given),
            ("merkle_forest.equal_digests_equal_entries",),
        ),
        Theorem(
            "merkle_forest.the_descent_moves_only_what_differs",
            "A row of which two sides show the same is not dealt with.",
            ("MRK-3", "MRK-9"),
            ("MERKLE_FOREST.R13",),
            lambda: _moves(given),
        ),
        Theorem(
            "merkle_forest.the_descent_ends",
            "Below an inner node there is always a longer prefix, and no prefix is longer than a place.",
            ("MRK-6",),
            ("MERKLE_FOREST.R4", "MERKLE_FOREST.R13"),
            lambda: _ends(given),
        ),
        Theorem(
            "merkle_forest.entries_meet",
            "Who meets a newer entry ends with that row or a newer one, gives nothing up, and meets it once.",
            ("MRK-6", "MRK-7"),
            ("MERKLE_FOREST.R1", "MERKLE_FOREST.R14"),
            lambda: _meets(given),
        ),
        Theorem(
            "merkle_forest.nothing_moves_twice",
            "If no new versions come, a row that an exchange has dealt with is the same at both sides.",
            ("MRK-7",),
            ("MERKLE_FOREST.R14", "MERKLE_FOREST.R18"),
            lambda: _agree(given),
        ),
        Theorem(
            "merkle_forest.entries_follow_the_stable_time",
            "When the stable time rises, the forest shows what is held up to it.",
            ("MRK-11",),
            ("MERKLE_FOREST.R1", "MERKLE_FOREST.R2"),
            _advances,
        ),
        Theorem(
            "merkle_forest.entries_survive_the_floor",
            "A replica that settles goes on showing what it holds, but for what is purged.",
            ("MRK-7",),
            ("MERKLE_FOREST.R1", "MERKLE_FOREST.R8"),
            _settles,
        ),
    )
