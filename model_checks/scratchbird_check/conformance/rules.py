"""Which rules to read when an answer differs: what an author of another store wants to know first."""

from __future__ import annotations

from typing import Any

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
FOREST: dict[str, tuple[int, ...]] = {
    "encode_key": (6,),
    "encode_row": (6,),
    "entry": (1, 4, 5),
    "tree": (4, 5),
    "window": (5, 7),
    "place_in_time": (3, 9),
    "advance": (1, 2, 3, 9),
    "rehash": (5, 10),
    "reshape": (7,),
    "begin": (12,),
    "again": (15,),
    "stop": (16,),
    "write": (1, 3, 9, 10),
    "merge": (1, 3, 9, 10),
    "past": (1, 8),
    "recovered_past": (1, 8),
    "all_converged": (8,),
    "purge": (8,),
    "crash": (10, 16),
    "lost_disk": (1,),
    "open": (7, 8, 10, 12),
    "ask_windows": (10, 13, 15),
    "ask_nodes": (13, 14, 15, 19),
    "ask_rows": (14, 15),
    "give": (9, 14, 15),
    "opened": (8, 10, 12),
    "refused": (16,),
    "windows": (11, 13, 15, 16),
    "nodes": (13, 14, 15, 16, 19),
    "rows": (14, 15, 16, 19),
    "took": (14, 15, 16, 19),
}
"""The same for ``spec/merkle_forest.md``, by the event, or by the message, question or reply."""


def in_order(part: str, effects: tuple[Json, ...]) -> tuple[Json, ...]:
    """Effects in the order in which they compare: that in which they are carried out, if it matters."""
    if part == "quorum":
        return quorum.in_order(effects)
    return handoff.in_order(effects) if part in ("handoff", "merkle_forest") else effects


def rules_of(part: str, event: Json, before: Json) -> list[str]:
    """A line that names the rules which decide on this event; none for a part whose rules are few.

    :param before: the state before the event, by the reference.
    """
    name, message = event.get("event"), event.get("message")
    if part == "handoff":
        return _of_handoff(event, before)
    if part == "merkle_forest":
        return _of_forest(event, before)
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


def _of_forest(event: Json, before: Json) -> list[str]:
    """Its own rules; those of handoff as well, where the event is one that part has."""
    name: Any = event.get("event")
    for within, key in (("asked", "question"), ("replied", "reply"), ("deliver", "message")):
        said = event.get(key)
        if name == within and isinstance(said, dict):
            name = said.get(key)
    numbers = FOREST.get(name) if isinstance(name, str) else None
    own = [_line(numbers, "merkle_forest")] if numbers else []
    return (_of_handoff(event, before) if "up" in before else []) + own


def _line(numbers: tuple[int, ...], part: str = "quorum") -> str:
    named = ", ".join(f"{part.upper()}.R{number}" for number in numbers)
    return f"  see {named} in spec/{part}.md"
