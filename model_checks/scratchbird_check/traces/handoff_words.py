"""The steps of handoff and deletes in words, beside those of quorums; model and reference use the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from scratchbird_check.traces.quorum_words import NOTHING, lane, lanes, verb

NOBODY_OWES = "no hint and no mark says that it is owed"
CATALOG = "catalog"


# --- what is owed -----------------------------------------------------------------------------------------


def owes(hints: Mapping[str, Iterable[int]]) -> str:
    """``"new" at 2 to r3``; by what is owed, to whom."""
    return "; ".join(f"{what} to {lanes(who)}" for what, who in hints.items()) or NOTHING


def sends_hints(hints: Mapping[str, Iterable[int]]) -> str:
    return f"sends the hint of {owes(hints)}" if hints else "has no hint to send"


def hears_nothing(replicas: Iterable[int]) -> str:
    return f"has heard nothing from {lanes(replicas)} in time"


def drops_hints(replicas: Iterable[int]) -> str:
    return f"drops its hints for {lanes(replicas)}"


def pays_past(floor: int) -> str:
    return f"hears that all have converged, and owes nothing at or below {floor}"


def marks(replicas: Iterable[int]) -> str:
    return f"marks that {lanes(replicas)} is owed a repair"


def removes(replica: int) -> str:
    return f"is told to remove what it keeps for {lane(replica)}"


def is_back(replica: int) -> str:
    return f"hears that {lane(replica)} is back"


def closes_mark() -> str:
    return "closes its mark"


def mark_stays_open() -> str:
    return "a write is open, so its mark stays open"


def merges_all(others: Sequence[int]) -> str:
    return f"merges all that {lanes(others)} held"


def repair_paid(by: str) -> str:
    return f"{by} owes it nothing more"


def repair_goes_on(by: str) -> str:
    return f"{by} goes on owing it a repair"


def gets_hint(what: str) -> str:
    return f"gets the hint: {what}"


# --- processes, disks and time ----------------------------------------------------------------------------


def stops() -> str:
    return "goes down"


def starts() -> str:
    return "starts again"


def passes(days: int) -> str:
    return f"{days} day{'' if days == 1 else 's'} pass{'es' if days == 1 else ''}"


def purge(replicas: Sequence[int]) -> str:
    return f"{lanes(replicas)} {verb('purge', replicas)} the tombstone"


def keep(replicas: Sequence[int]) -> str:
    return f"{lanes(replicas)} {verb('keep', replicas)} the tombstone"


def backs_up(what: str) -> str:
    return f"is backed up with {what}"


def restores(what: str) -> str:
    return f"is given its backup, and takes {what} from it"


def restores_nothing(what: str) -> str:
    return f"is given its backup, and does not believe {what}"


# --- the floor --------------------------------------------------------------------------------------------


def proposes(floor: int) -> str:
    return f"proposes a floor of {floor}"


def close(replicas: Sequence[int]) -> str:
    return f"{lanes(replicas)} {verb('close', replicas)} it"


def closes(floor: int) -> str:
    return f"closes the floor of {floor}"


def asks_catalog() -> str:
    return "asks the catalog how far the floor is"


def merges_past(others: Sequence[int]) -> str:
    return f"merges the past of {lanes(others)}"


def begins_anew() -> str:
    return "crashes and starts, and asks all others anew"


def converges() -> str:
    return "has converged"


def settle(replicas: Sequence[int], who: int) -> str:
    return "settles" if list(replicas) == [who] else f"{lanes(replicas)} {verb('settle', replicas)}"


# --- verdicts ---------------------------------------------------------------------------------------------


def nobody_owes(replica: int, what: str, lesson: str, promise: str) -> str:
    return f"{lane(replica)} lacks {what}, which was acknowledged, and {NOBODY_OWES}: {lesson} ({promise})."


def misses(replicas: Sequence[int], what: str, promise: str) -> str:
    return f"A read that asks {lanes(replicas)} misses {what}, which was acknowledged ({promise})."


def finds_deleted(replicas: Sequence[int], what: str, promise: str) -> str:
    return (
        f"A read that asks {lanes(replicas)} finds the row deleted, and {what}, which was acknowledged, is "
        f"gone ({promise})."
    )


def disagree(holder: int, what: str, other: int, promise: str) -> str:
    return (
        f"{lane(holder)} and {lane(other)} have both settled, and {what} is at {lane(holder)} and not at "
        f"{lane(other)}: nothing will make them the same ({promise})."
    )
