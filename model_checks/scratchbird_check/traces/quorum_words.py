"""The steps of quorums in words. Model, solver and reference tell their runs with the same ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scratchbird_check.traces.hlc_words import listed

NOTHING = "nothing"
"""What a row holds that was never written."""
A_DELETE = "a delete"
"""What a row holds that was deleted, as long as its version is kept."""
NULL = "null"
"""What a history calls the value that a delete writes, and that a read of a deleted row returns."""
NO_REGISTER = "no order of these operations is that of one register"
NO_REPAIR = "nobody will ever repair it"


def lane(replica: int) -> str:
    """``r1``: the lane of a replica."""
    return f"r{replica}"


def lanes(replicas: Iterable[int]) -> str:
    """``r1``, ``r1 and r2``, ``r1, r2 and r3``, in the order of their numbers."""
    return listed([lane(replica) for replica in sorted(replicas)])


def held(what: str, version: int) -> str:
    """``"new" at 2``: what somebody holds, and its version."""
    return f"{what} at {version}" if version else NOTHING


# --- coordinators -----------------------------------------------------------------------------------------


def reads() -> str:
    return "reads"


def begins_to_read() -> str:
    return "begins to read"


def begins_to_write() -> str:
    return "begins to write"


def writes(what: str) -> str:
    return "deletes the row" if what == NULL else f"writes {what}"


def has_written(what: str, to: Sequence[int]) -> str:
    done = "deleted the row at" if what == NULL else f"written {what} to"
    return f"has {done} {lanes(to)}"


def repeats(what: str, reserved: int) -> str:
    under = f"under its version {reserved}, and sends it to all" if reserved else "for the same client"
    return f"{writes(what)} again, {under}"


def hears(said: Sequence[tuple[int, str]]) -> str:
    """``hears "new" from r1 and "old" from r2 and r3``."""
    by_value: dict[str, list[int]] = {}
    for replica, what in sorted(said):
        by_value.setdefault(what, []).append(replica)
    return f"hears {listed([f'{what} from {lanes(who)}' for what, who in by_value.items()])}"


def sends(version: int, *, asked: bool, reserved: bool) -> str:
    if reserved:
        return f"tells the client its version {version}; sends it to all"
    return f"{'' if asked else 'asks nobody; '}sends it to all at version {version}"


def stamps_again(version: int) -> str:
    return f"stamps it again, at version {version}, and sends it to all"


def asks_all() -> str:
    return "asks all"


def finds(what: str) -> str:
    return f"finds that {what} is the newest"


def returns(what: str) -> str:
    return f"returns {what}"


def says(outcome: str) -> str:
    return f"says: {outcome}"


def hears_holders(replicas: Sequence[int], newer: Sequence[int]) -> str:
    """``newer``: those that hold something newer, which they say in the same words."""
    parts = [f"{lanes(replicas)} {verb('hold', replicas)} it"] if replicas else []
    parts += [f"{lanes(newer)} {verb('hold', newer)} something newer"] if newer else []
    return f"hears that {listed(parts)}"


def verb(name: str, who: Sequence[int]) -> str:
    """``hold``, or ``holds`` of one."""
    return f"{name}s" if len(who) == 1 else name


def hears_refusal(replicas: Sequence[int], epoch: int) -> str:
    return f"is refused by {lanes(replicas)}: epoch {epoch} is in force"


def hears_below(replicas: Sequence[int]) -> str:
    return f"hears from {lanes(replicas)} that it is below the floor"


def hears_stale(replicas: Sequence[int]) -> str:
    return f"hears from {lanes(replicas)} that it is stale"


def writes_back() -> str:
    return "writes it back before it replies"


def asks_on() -> str:
    return "needs a further answer"


def waits() -> str:
    return "does not reply yet"


def intent_is_durable() -> str:
    return "has the intent on disk"


def gives_up() -> str:
    return "gives up"


def crashes() -> str:
    return "crashes"


# --- replicas ---------------------------------------------------------------------------------------------


def stores(what: str) -> str:
    return f"stores {what}"


def keeps(newer: str, what: str) -> str:
    return f"keeps {newer}, newer than {what}"


def holds_already(what: str) -> str:
    return f"holds {what} already"


def acknowledges(before: int, version: int, sent: str, own: str) -> str:
    """What becomes of ``sent`` at a replica that held the version ``before`` and holds ``own`` now."""
    if before > version:
        return keeps(own, sent)
    return holds_already(sent) if before == version else stores(sent)


def refuses_stale(newer: str, what: str) -> str:
    return f"refuses {what}: it holds {newer}, which is newer"


def refuses_below(what: str, closed: int) -> str:
    return f"refuses {what}: it is below the floor of {closed}"


def refuses_epoch(requested: int, own: int) -> str:
    return f"refuses a request of epoch {requested}: epoch {own} is in force"


def takes_back(what: str) -> str:
    return f"takes {what} back"


def loses_disk() -> str:
    return "loses its disk and starts empty"


def tells(replica: int) -> str:
    return f"tells {lane(replica)} all that it holds"


def recovers(others: Sequence[int], *, has_vote: bool) -> str:
    vote = "a vote again" if has_vote else "no vote yet"
    return f"gets all that {lanes(others)} {verb('hold', others)}, and has {vote}"


# --- verdicts ---------------------------------------------------------------------------------------------


def had_returned(who: str, what: str) -> str:
    return f"{who} had returned {_read(what)}"


def had_acknowledged(what: str) -> str:
    done = "the delete" if what == NULL else f"the write of {what}"
    return f"{done} had been acknowledged"


def _read(what: str) -> str:
    return NOTHING if what == NULL else what


def too_old(who: str, what: str, before: Sequence[str], lesson: str, promise: str) -> str:
    after = f" after {listed(before)}" if before else ""
    return f"{who} returned {_read(what)}{after}: {lesson} ({promise})."


def nobody_knows(replica: int, what: str, lesson: str, promise: str) -> str:
    return (
        f"{lane(replica)} lacks {what}, which was acknowledged, and no intent names it: {lesson} ({promise})."
    )


def stops(who: str, outcome: str, lesson: str, promise: str, *, reads: bool) -> str:
    """A sentence about an operation that had no quorum."""
    return f"The {'read' if reads else 'write'} at {who} ended as {outcome!r}: {lesson} ({promise})."


def write_too_late(what: str, version: int, before: Sequence[str], lesson: str, promise: str) -> str:
    after = f" after {listed(before)}" if before else ""
    return f"The write of {what} took version {version}, and was acknowledged{after}: {lesson} ({promise})."


def session_broken(who: str, what: str, promise: str) -> str:
    return f"{who} came to {what}, behind what its client had seen or written ({promise})."


def not_honest(replica: int, what: str, promise: str) -> str:
    told = "the client was told that it is not applied and never will be"
    return f"{lane(replica)} holds {what}, of which {told} ({promise})."
