"""The stage of the forest's scenarios: replicas that exchange, and lanes that answer questions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scratchbird_check.conformance import handoff_scene
from scratchbird_check.conformance.drivers import Answer
from scratchbird_check.conformance.merkle_forest_machine import DIGESTS, ENCODING
from scratchbird_check.conformance.quorum_machine import MAJORITY
from scratchbird_check.conformance.quorum_scene import held
from scratchbird_check.conformance.recorder import Recorder
from scratchbird_check.traces.quorum import Json

SMALL: Json = {"window_ms": 10, "most_in_leaf": 2}
"""Few rows make a tree, and few milliseconds a window."""
GRACE_MS = 5
ALL_OF_IT = "ask_windows ask_nodes ask_rows give"
"""What is asked, after it was opened, in an exchange where each side lacks something."""
MS_SHIFT = 80
ROWS = (
    *(3, 143, 147, 182, 202, 215, 265, 277, 287, 303, 336, 374, 423, 439, 463, 488),
    *(538, 539, 541, 557, 571, 616, 619, 621, 638, 662, 761, 772, 777, 822, 852, 855),
)
"""The rows of scenarios and random runs, by a small number: their places ascend as they do.

Whether a store goes through the rows of a message by their keys or by their places is then the same.
"""


def at(ms: int, number: int = 0) -> str:
    """A version of this millisecond."""
    return f"{(ms << MS_SHIFT) + number:x}"


def number_of(row: int) -> int:
    """The row with this small number; one that is larger stands for itself."""
    return ROWS[row] if row < len(ROWS) else row


def words(answer: Answer) -> str:
    """What came of an event: ``ask open>2``, ``reply windows``, ``succeeded, 3 moved``, ``failed``."""
    return "error" if answer.error else effect_words(answer.effects)


def effect_words(effects: Sequence[Json]) -> str:
    """Effects in a few words; those of part handoff in its own."""
    if len(effects) == 1:
        effect = effects[0]
        match effect["effect"]:
            case "ask":
                full = " in full" * bool(effect["question"].get("in_full"))
                return f"ask {effect['question']['question']}{full}>{effect['to']}"
            case "answer":
                return f"reply {effect['reply']['reply']}"
            case "succeeded":
                return f"succeeded, {effect['moved']} moved"
            case "failed" | "encoded" | "entry" | "digest" | "top":
                return str(effect["effect"])
            case "window":
                return f"window {effect['window']}{' sealed' * effect['sealed']}"
    return handoff_scene.effect_words(effects)


class Scene:
    """One scenario. Each method takes steps and demands the words that are expected of the last of them."""

    def __init__(
        self,
        name: str,
        about: str,
        *,
        shape: Json | None = None,
        grace_ms: int = GRACE_MS,
        bounds: Json | None = None,
        most_exchanges: int | None = None,
    ) -> None:
        config: Json = {"setting": MAJORITY, "shape": shape or SMALL, "grace_ms": grace_ms}
        config |= {"bounds": bounds} if bounds else {}
        config |= {"most_exchanges": most_exchanges} if most_exchanges else {}
        self.run = Recorder(f"merkle_forest_{name}", about, part="merkle_forest", config=config)
        self._asks: dict[int, tuple[int, Json]] = {}
        """By who drives: the step in which it asked last, and the question."""
        self._replies: dict[int, tuple[int, Json]] = {}
        """By who answers: the same of its last reply."""
        self._numbers = 0

    def takes(self, node: int, event: Json, expects: str = "nothing", from_step: int | None = None) -> Answer:
        """Any event, malformed ones as well."""
        answer = self.run.step(node, event, from_step)
        self.run.demand(answer, words(answer), expects)
        for effect in answer.effects:
            if effect["effect"] == "ask":
                self._asks[node] = self.run.steps, effect["question"]
            if effect["effect"] == "answer":
                self._replies[node] = self.run.steps, effect["reply"]
        return answer

    def expects(self, what: Any, expected: Any) -> None:
        """:raises AssertionError: if something that the reference said is not what the scenario is about."""
        if what != expected:
            raise AssertionError(f"vector {self.run.name}, step {self.run.steps}: {what!r}, not {expected!r}")

    # --- questions ----------------------------------------------------------------------------------------

    def encodes(self, event: str, expects: str = "encoded", **parts: Any) -> str:
        """The bytes of a key or of a row; empty for what has none."""
        answer = self.takes(ENCODING, {"event": event, **parts}, expects)
        return "" if answer.error else str(answer.effects[0]["bytes"])

    def row(self, columns: list[Any], schema: int = 1, expects: str = "encoded") -> str:
        return self.encodes("encode_row", expects, schema=schema, columns=columns)

    def key(self, *values: Any, expects: str = "encoded") -> str:
        return self.encodes("encode_key", expects, values=list(values))

    def asks(self, event: str, expects: str = "digest", **parts: Any) -> Json:
        """A question about entries, digests and windows, and its answer."""
        return dict(self.takes(DIGESTS, {"event": event, **parts}, expects).effects[0])

    def entry(self, row: int, version: str, value: str | None = "76") -> Json:
        """The entry of a row that is held so, as it is said."""
        said: Json = self.asks("entry", "entry", row=f"{number_of(row):x}", held=held(version, value))[
            "entry"
        ]
        return said

    # --- one replica --------------------------------------------------------------------------------------

    def writes(
        self,
        row: int,
        version: str,
        *replicas: int,
        value: str | None = "76",
        expects: str = "acknowledgement",
    ) -> None:
        """A write, a write-back or a hint reaches these."""
        self._numbers += 1
        message: Json = {"message": "write", "operation": f"{self._numbers:x}", "epoch": 0}
        message["row"] = f"{number_of(row):x}"
        for replica in replicas:
            event = {"event": "deliver", "message": {**message, "held": held(version, value)}}
            self.takes(replica, event, expects)

    def at(self, replica: int, event: str, expects: str = "nothing", **parts: Any) -> None:
        """Any event of a replica."""
        self.takes(replica, {"event": event, **parts}, expects)

    def advances(self, ms: int, *replicas: int) -> None:
        """The stable time rises."""
        for replica in replicas:
            self.at(replica, "advance", stable=at(ms))

    def cleans(self, *replicas: int) -> None:
        """All dirty windows are hashed anew."""
        for replica in replicas:
            for window in self.forest(replica)["dirty"]:
                self.at(replica, "rehash", window=window)

    def settles(self, ms: int, *replicas: int) -> None:
        """A floor from its proposal to its end; what the others held below it is at hand already."""
        for replica in replicas:
            self.at(replica, "propose", f"closed {at(ms)}", floor=at(ms))
        self.settles_at(ms, *replicas)

    def settles_at(self, ms: int, *replicas: int) -> None:
        """The same, where the floor is closed already."""
        floor = at(ms)
        for replica in replicas:
            others = [other for other in MAJORITY["replicas"] if other != replica]
            self.at(replica, "all_closed", f"ask past>{others[0]},{others[1]}", floor=floor)
            for other in others:
                past = {"message": "past", "floor": floor, "incarnation": 1, "rows": []}
                last = f"converged {floor}" if other == others[-1] else "nothing"
                self.at(replica, "deliver", last, sender=other, message=past)
            self.at(replica, "all_converged", f"below {floor}", floor=floor)

    def forest(self, replica: int) -> Json:
        """What a forest shows by now."""
        state: Json = self.run.state(replica)["forest"]
        return state

    def shows(self, replica: int, **rows: str) -> None:
        """Demand which versions are shown: ``r7=at(5)``; a row that is not named is not shown."""
        entries = self.forest(replica)["entries"]
        shown = {f"r{ROWS.index(int(entry['row'], 16))}": entry["version"] for entry in entries}
        self.expects(shown, rows)

    def same(self, *replicas: int) -> None:
        """Demand that these hold and show the same."""
        states = [self.run.state(replica) for replica in replicas]
        for state in states[1:]:
            self.expects(state["rows"], states[0]["rows"])
            self.expects(state["forest"]["entries"], states[0]["forest"]["entries"])

    def meets(
        self, replica: int, entry: Json, row: Json | None, number: int, expects: str = "reply took"
    ) -> None:
        """In an exchange that is open at a replica another one gives an entry, and the row that it holds."""
        given = [{"entry": entry, "held": row}]
        question: Json = {"question": "give", "exchange": f"{number:x}", "given": given}
        self.takes(replica, {"event": "asked", "question": question}, expects)

    def opens(self, replica: int, number: int) -> None:
        """An exchange is opened at a replica by nobody who drives it."""
        state = self.run.state(replica)
        known = {"shape": state["forest"]["shape"], "stable": state["forest"]["stable"]}
        question = {"question": "open", "exchange": f"{number:x}", **known, "floor": state["floor"]}
        self.takes(replica, {"event": "asked", "question": question}, "reply opened")

    # --- exchanges ----------------------------------------------------------------------------------------

    def begins(self, driver: int, other: int, number: int = 1, expects: str = "") -> None:
        event: Json = {"event": "begin", "exchange": f"{number:x}", "other": other}
        self.takes(driver, event, expects or f"ask open>{other}")

    def asked(self, driver: int, other: int, expects: str = "") -> None:
        """The last question of the one arrives at the other, for the first time or again."""
        step, question = self._asks[driver]
        kind = question["question"]
        said = {"open": "opened", "give": "took"}.get(kind, kind.removeprefix("ask_"))
        self.takes(other, {"event": "asked", "question": question}, expects or f"reply {said}", step)

    def replied(self, other: int, driver: int, expects: str) -> None:
        """The last reply of the one arrives at the other, for the first time or again."""
        step, reply = self._replies[other]
        self.takes(driver, {"event": "replied", "reply": reply}, expects, step)

    def hears(self, driver: int, reply: Json, expects: str) -> None:
        """A reply that nobody gave."""
        self.takes(driver, {"event": "replied", "reply": reply}, expects)

    def goes_on(self, driver: int, other: int, asks: str, ends: str) -> None:
        """Questions and replies arrive, one after another: these questions, and this end."""
        for ask in [*asks.split(), ""]:
            self.asked(driver, other)
            self.replied(other, driver, f"ask {ask.replace('+', ' in full')}>{other}" if ask else ends)

    def exchanges(self, driver: int, other: int, asks: str, ends: str, number: int = 1) -> None:
        """A whole exchange, whose questions after ``open`` are these; ``ask_nodes+`` is in full."""
        self.begins(driver, other, number)
        self.goes_on(driver, other, asks, ends)
