"""The clock's steps in words. Model, solver and reference tell their runs with the same ones."""

from __future__ import annotations

from collections.abc import Iterable

from scratchbird_reference.uuid8 import Timestamp


def show(timestamp: Timestamp) -> str:
    """``1:0``: milliseconds, colon, counter."""
    return f"{timestamp.ms}:{timestamp.counter}"


def milliseconds(count: int) -> str:
    return f"{count} ms"


# --- steps ------------------------------------------------------------------------------------------------


def issues(timestamp: Timestamp) -> str:
    return f"issues {show(timestamp)}"


def merges(remote: Timestamp, sender: str, last: Timestamp) -> str:
    if last < remote:
        return f"hears {show(remote)} from {sender} and stays at {show(last)}"
    outcome = "" if last == remote else f" and stands at {show(last)}"
    return f"merges {show(remote)} from {sender}{outcome}"


def sends(clock: Timestamp) -> str:
    return f"sends a message that carries {show(clock)}"


def refuses_remote(remote: Timestamp, sender: str, past_clock_ms: int) -> str:
    return f"refuses {sender}'s {show(remote)}: {milliseconds(past_clock_ms)} past its clock"


def waits_for_time(remote: Timestamp, sender: str, wait_ms: int) -> str:
    return f"lets {sender}'s {show(remote)} wait for {milliseconds(wait_ms)}"


def refuses_ahead(what: str, ahead_ms: int, max_ahead_ms: int) -> str:
    return f"refuses {what}: it would be {milliseconds(ahead_ms)} past the wall clock, {max_ahead_ms} allowed"


def refuses_to_send(ahead_ms: int, max_ahead_ms: int) -> str:
    return f"holds a message back: its clock is {milliseconds(ahead_ms)} ahead, {max_ahead_ms} allowed"


def refuses_suspended(what: str) -> str:
    return f"refuses {what}: its wall clock jumped forward and nobody has confirmed it"


def asks_for_bound(bound: Timestamp, waiting: str = "") -> str:
    return f"asks for a durable bound of {show(bound)}" + (f": {waiting} waits for it" if waiting else "")


def lets_wait(waiting: str) -> str:
    return f"lets {waiting} wait: a bound is being written"


def has_bound(bound: Timestamp) -> str:
    return f"has the bound {show(bound)} on disk"


def starts(last: Timestamp, wall: int) -> str:
    return f"starts at {show(last)}, wall clock {wall}"


def moves_wall(before: int, after: int) -> str:
    return f"has its wall clock set {'back' if after < before else 'forward'} from {before} to {after}"


def passes(ms: int) -> str:
    return f"{milliseconds(ms)} {'passes' if ms == 1 else 'pass'}"


# --- verdicts ---------------------------------------------------------------------------------------------


def went_back(node: str, issued: Timestamp, own: Timestamp) -> str:
    how = "came again" if issued == own else "went back"
    return (
        f"{node} issued {show(issued)} after it had issued {show(own)}: ids of one node {how}, "
        "they must increase (HLC-1)."
    )


def below_its_past(node: str, issued: Timestamp, past: Timestamp) -> str:
    return (
        f"{node} issued {show(issued)} although {show(past)} had happened before it: "
        "an effect must be above its cause (HLC-3)."
    )


def below_before_restart(node: str, issued: Timestamp, before: Timestamp) -> str:
    return (
        f"{node} issued {show(issued)} after a restart, not above {show(before)}, which it had issued "
        "or seen before: the restart took its clock back (HLC-5)."
    )


def too_far_ahead(node: str, issued: Timestamp, wall: int, max_ahead_ms: int) -> str:
    return (
        f"{node} issued {show(issued)} when its wall clock stood at {wall}: "
        f"{milliseconds(issued.ms - wall)} ahead, {max_ahead_ms} are allowed (HLC-4)."
    )


def merged_too_far(node: str, remote: Timestamp, sender: str, believed: int, max_drift_ms: int) -> str:
    return (
        f"{node} merged {show(remote)} from {sender} when its own clock stood at {believed}: "
        f"{milliseconds(remote.ms - believed)} ahead, {max_drift_ms} are allowed, "
        "and everybody who hears from it is poisoned (HLC-4)."
    )


def silenced(node: str, remote: Timestamp, sender: str, next_tick: Timestamp, wall: int) -> str:
    return (
        f"{node} merged {show(remote)} from {sender}: its next tick would be {show(next_tick)}, "
        f"which is refused at wall clock {wall}: a peer silences it (HLC-4)."
    )


def merged_too_early(
    node: str, remote: Timestamp, sender: str, believed: int, max_ahead_ms: int, max_drift_ms: int
) -> str:
    """What is wrong with such a merge: the sender is merely fast, or its clock means nothing at all."""
    if remote.ms > believed + max_drift_ms:
        return merged_too_far(node, remote, sender, believed, max_drift_ms)
    return (
        f"{node} merged {show(remote)} from {sender}, {milliseconds(remote.ms - believed)} past the time it "
        f"believes in where {max_ahead_ms} are allowed: such a message has to wait (HLC-4)."
    )


def refused_healthy(node: str, remote: Timestamp, sender: str, believed: int, max_drift_ms: int) -> str:
    return (
        f"{node} refused {show(remote)} from {sender}, {milliseconds(remote.ms - believed)} past its clock "
        f"where {max_drift_ms} are allowed, although neither wall clock was ever wrong: "
        "healthy nodes must accept each other (HLC-4)."
    )


def deaf_after_set_back(node: str, remote: Timestamp, sender: str, wall: int) -> str:
    return (
        f"{node} refused {show(remote)} from {sender}, whose clock is right, because its own wall clock was "
        f"set back to {wall}: a clock that was set back must not cut a node off (HLC-4)."
    )


def bound_too_far(node: str, bound: Timestamp, highest: int, allowed_ms: int) -> str:
    return (
        f"{node} reserves up to {show(bound)}, {milliseconds(bound.ms - highest)} past any healthy clock "
        f"({highest}) where {allowed_ms} are allowed: each crash adds to what its first id must wait (HLC-5)."
    )


def listed(names: Iterable[str]) -> str:
    """``n1``, ``n1 and n2``, ``n1, n2 and n3``."""
    *rest, final = names
    return f"{', '.join(rest)} and {final}" if rest else final
