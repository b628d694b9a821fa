"""Which rules to read when an answer differs: what an author of another store wants to know first."""

from __future__ import annotations

from scratchbird_check.traces import handoff, quorum
from scratchbird_check.traces.hlc import Json

REPLICA: dict[str, tuple[int, ...]] = {
    "query": (13, 14, 15),
    "write": (1, 13, 14, 15),
    "exchange": (13, 14, 15),
    "exchanged": (1, 13, 14),
    "ask": (13,),
    "start_empty": (13, 14),
    "start": (1, 13),
    "crash": (1, 13),
}
"""The numbers of the rules of ``spec/quorum.md``, by the event, or by the message that a replica is sent."""
COORDINATOR: dict[str, tuple[int, ...]] = {
    "read": (4, 6, 7, 15),
    "reserve": (4, 5, 7, 9),
    "put": (4, 5, 7, 9, 11),
    "look_up": (4, 10),
    "stamped": (5, 7, 9, 11),
    "stamp_refused": (8,),
    "intent_stored": (5, 11),
    "deadline": (8, 12),
    "adopt": (15,),
    "start": (11, 12),
    "crash": (11, 12),
    "acknowledgement": (5, 6, 11, 14),
    "old_epoch": (8, 15),
}
"""The same for a coordinator."""
ANSWERED: dict[str, tuple[int, ...]] = {
    "read": (3, 4, 6, 7, 14),
    "write": (3, 5, 7),
    "reserve": (3, 5, 7, 9),
    "look up": (3, 4, 10, 14),
}
"""For an answer that a coordinator is sent: by the kind of the operation."""
HANDOFF_REPLICA: dict[str, tuple[int, ...]] = {
    "query": (11, 13),
    "write": (8, 9, 12),
    "exchange": (13,),
    "exchanged": (13,),
    "ask_past": (10,),
    "past": (8, 10, 11, 13),
    "recovered_past": (11, 13),
    "propose": (9,),
    "all_closed": (10, 14),
    "all_converged": (11,),
    "merge": (6, 8, 11),
    "purge": (11,),
    "lost_disk": (13,),
    "crash": (13,),
    "start": (13,),
    "ask": (13,),
}
"""The same for ``spec/handoff.md``: a replica with a floor."""
HANDOFF_COORDINATOR: dict[str, tuple[int, ...]] = {
    "owe": (1, 2, 5, 6),
    "ended": (5,),
    "acknowledged": (3, 4),
    "refused": (4, 9),
    "tick": (3, 4, 5),
    "give_up": (5,),
    "drop": (5,),
    "keep_again": (5,),
    "exchange_begun": (6,),
    "exchanged": (6,),
    "target_lost_disk": (6, 13),
    "move_begun": (7,),
    "move_done": (7,),
    "erased": (7,),
    "unreadable": (5, 7),
    "adopt": (6,),
    "crash": (1, 5),
}
HANDOFF_CATALOG: dict[str, tuple[int, ...]] = {
    "propose_floor": (9, 14),
    "closed": (9, 10, 14),
    "converged": (10, 11, 13),
    "lost_disk": (13,),
    "ask": (10, 11),
}


def in_order(part: str, effects: tuple[Json, ...]) -> tuple[Json, ...]:
    """Effects in the order in which they compare: that in which they are carried out, if it matters."""
    if part == "quorum":
        return quorum.in_order(effects)
    return handoff.in_order(effects) if part == "handoff" else effects


def rules_of(part: str, event: Json, before: Json) -> list[str]:
    """A line that names the rules which decide on this event; none for a part whose rules are few.

    :param before: the state before the event, by the reference.
    """
    name, message = event.get("event"), event.get("message")
    if part == "handoff":
        return _of_handoff(event, before)
    if part != "quorum":
        return []
    if name == "deliver" and isinstance(message, dict):
        name = message.get("message")
        if name == "answer" and "setting" in before:
            open_ones = {item["operation"]: item["kind"] for item in before.get("operations", [])}
            numbers = ANSWERED.get(open_ones.get(message.get("operation"), ""), (12, 14))
            return [_line(numbers)]
    numbers = (COORDINATOR if "setting" in before else REPLICA).get(name if isinstance(name, str) else "", ())
    return [_line(numbers)] if numbers else []


def _of_handoff(event: Json, before: Json) -> list[str]:
    name, message = event.get("event"), event.get("message")
    if name == "deliver" and isinstance(message, dict):
        name = message.get("message")
    kinds = HANDOFF_REPLICA if "up" in before else HANDOFF_COORDINATOR
    numbers = (HANDOFF_CATALOG if "proposed" in before else kinds).get(name if isinstance(name, str) else "")
    return [_line(numbers, "handoff")] if numbers else []


def _line(numbers: tuple[int, ...], part: str = "quorum") -> str:
    named = ", ".join(f"{part.upper()}.R{number}" for number in numbers)
    return f"  see {named} in spec/{part}.md"
