"""Which rules to read when an answer differs: what an author of another store wants to know first."""

from __future__ import annotations

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


def rules_of(part: str, event: Json, before: Json) -> list[str]:
    """A line that names the rules which decide on this event; none for a part whose rules are few.

    :param before: the state before the event, by the reference.
    """
    if part != "quorum":
        return []
    name, message = event.get("event"), event.get("message")
    if name == "deliver" and isinstance(message, dict):
        name = message.get("message")
        if name == "answer" and "setting" in before:
            open_ones = {item["operation"]: item["kind"] for item in before.get("operations", [])}
            numbers = ANSWERED.get(open_ones.get(message.get("operation"), ""), (12, 14))
            return [_line(numbers)]
    numbers = (COORDINATOR if "setting" in before else REPLICA).get(name if isinstance(name, str) else "", ())
    return [_line(numbers)] if numbers else []


def _line(numbers: tuple[int, ...]) -> str:
    return f"  see {', '.join(f'QUORUM.R{number}' for number in numbers)} in spec/quorum.md"
