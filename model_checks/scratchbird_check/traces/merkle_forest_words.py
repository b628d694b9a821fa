"""The steps of forests and their exchanges in words, beside those of quorums and handoff.

Model and reference use the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scratchbird_check.traces.hlc_words import listed
from scratchbird_check.traces.quorum_words import lane, lanes, verb

CLIENTS = "clients"
NO_ROW = "finds no row that differs"

# --- rows, windows and time -------------------------------------------------------------------------------


def of_row(what: str, row: int) -> str:
    """``"old" at 5``, and which row it is if it is not the first one."""
    return what if row == 1 else f"{what} of row {row}"


def send(what: str, replicas: Sequence[int]) -> str:
    stores = f"{lanes(replicas)} {verb('store', replicas)} it" if replicas else "it is under way"
    return f"send {what}: {stores}"


def rises(stable: int) -> str:
    return f"lets its stable time rise to {stable}"


TO_HASH = "to be hashed"
"""Windows whose digest may lag behind what is in them."""


def windows(numbers: Iterable[int]) -> str:
    """``window 0``, ``windows 0 and 5``"""
    found = sorted(numbers)
    return f"window{'' if len(found) == 1 else 's'} {listed([str(number) for number in found])}"


def hashes(numbers: Iterable[int]) -> str:
    return f"hashes {windows(numbers)} anew"


def refuses_sealed(what: str, window: int) -> str:
    return f"refuses {what}: it has sealed window {window}"


def crashes() -> str:
    return "crashes and starts again"


def purges() -> str:
    return "purges its tombstone"


def all_converged() -> str:
    return "hears that all have converged"


def builds_anew(setting: int, window_ms: int) -> str:
    return f"builds its forest anew in setting {setting}, with windows of {window_ms} ms"


# --- an exchange ------------------------------------------------------------------------------------------


def compares_windows(other: int, differ: Iterable[int], left_out: Iterable[int] = ()) -> str:
    """Which windows differ; and of those, which are not gone through."""
    found, left = sorted(differ), sorted(left_out)
    said = f"{windows(found)} {'differs' if len(found) == 1 else 'differ'}" if found else "no window differs"
    if left:
        which = "" if left == found else f" {windows(left)}"
        said += f", and{which} {'is' if len(left) == 1 else 'are'} left out"
    return f"begins an exchange with {lane(other)}: {said}"


def agrees(other: int) -> str:
    return f"begins an exchange with {lane(other)}: both are at one stable time and floor"


def refused(other: int, reason: str) -> str:
    return f"begins an exchange with {lane(other)}, and is refused: {reason}"


def looks_into(numbers: Iterable[int], found: Sequence[str], *, again: bool = False) -> str:
    """``again``: because short digests did not say all."""
    return f"looks into {windows(numbers)}{' once more' if again else ''}: {'; '.join(found) or NO_ROW}"


def row_differs(one: int, own: str, other: int, theirs: str, row: int = 1, window: int | None = None) -> str:
    """What the two sides showed of a row when the exchange began."""
    which = "" if row == 1 else f"of row {row} "
    where = "" if window is None else f"in window {window} "
    return f"{where}{which}{lane(one)} showed {own}, and {lane(other)} {theirs}"


def subtrees_differ(count: int, *, in_full: bool) -> str:
    which = "whole" if in_full else "short"
    differ = "none of the subtrees differs" if not count else f"{count} subtree{'s' * (count > 1)} differ"
    return f"by their {which} digests {differ}{'s' * (count == 1)}"


def leaves_out(replica: int) -> str:
    return f"{lane(replica)} leaves the row out"


def is_not_all(window: int) -> str:
    return f"that does not make the digest of window {window}, so it is asked again, with whole digests"


def takes(what: str) -> str:
    return f"takes {what}"


def takes_entry(what: str) -> str:
    return f"holds something newer, and takes over the entry {what}"


def takes_over(replica: int) -> str:
    return f"{lane(replica)} holds something newer, and takes over the entry"


def takes_nothing(what: str) -> str:
    return f"is sent {what}, and takes nothing"


def needs_nothing(what: str) -> str:
    return f"is sent {what}, and has no need of it"


def succeeded(other: int) -> str:
    return f"has exchanged with {lane(other)}: it has succeeded"


def failed(other: int, reason: str = "") -> str:
    return f"ends the exchange with {lane(other)}: it has failed{': ' if reason else ''}{reason}"


def begun_again(drivers: Sequence[int]) -> str:
    return f"what {lanes(drivers)} had begun to exchange has failed"


# --- verdicts ---------------------------------------------------------------------------------------------


def missed(holder: int, other: int, what: str, lesson: str, promise: str) -> str:
    so = f": {lesson}" if lesson else ""
    return (
        f"The exchange of {lanes((holder, other))} has succeeded, and {lane(other)} lacks {what}, "
        f"which {lane(holder)} held{so} ({promise})."
    )


def unseen(holder: int, other: int, what: str, promise: str) -> str:
    return (
        f"{lane(holder)} and {lane(other)} tell the same digests, and {lane(other)} lacks {what}, which "
        f"{lane(holder)} holds: no exchange will find it ({promise})."
    )


def tells_still(replica: int, window: int, what: str, promise: str) -> str:
    return (
        f"{lane(replica)} tells a digest of window {window} as if {what} were still there, and nothing says "
        f"that it lags behind ({promise})."
    )


def tells_without(replica: int, what: str, promise: str) -> str:
    return (
        f"{lane(replica)} tells digests as if {what}, which it shows, were not there, and nothing says that "
        f"they lag behind ({promise})."
    )


def shows_less(replica: int, what: str, promise: str) -> str:
    return (
        f"The exchange has succeeded, and {lane(replica)} still does not show {what}: the next one finds the "
        f"same difference again ({promise})."
    )


def needless(one: int, other: int, numbers: Iterable[int], lesson: str, promise: str) -> str:
    found = sorted(numbers)
    return (
        f"{lanes((one, other))} find {windows(found)} different once more, though neither lacks "
        f"anything: {lesson} ({promise})."
    )


def shows_past(replica: int, what: str, floor: int, other: int, theirs: str, promise: str) -> str:
    return (
        f"{lane(replica)} shows {what}, below the floor of {floor}, and {lane(other)}, which has settled and "
        f"holds nothing newer, holds {theirs}: what was purged is there again ({promise})."
    )


def never_same() -> str:
    return "They exchange again and again, each time with success, and never show the same (EndTheSame)."
