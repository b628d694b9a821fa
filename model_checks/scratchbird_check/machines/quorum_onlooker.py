"""The onlooker of the quorum part's state machine: it sees every state, and what clients saw, and demands

- ``linearizable``: an order explains what the clients of a linearizable table saw (QUORUM.R5, R6, R8, R9),
- ``sessions``: a client of an eventual table, with its tokens, reads what it wrote and does not go back
  (QUORUM.R7),
- ``accountable``: once an intent is durable, and at the latest when a write is acknowledged, every target
  holds the version or a newer one, lost its disk, or is named in a durable intent (QUORUM.R11),
- ``honest``: what was said not to be applied is held by nobody, ever (QUORUM.R8),
- ``once``: an operation has one reply at the most,
- ``kept``: what a replica holds of a row never goes back as long as it keeps its disk (QUORUM.R1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scratchbird_check.machines.promises import PromiseBrokenError
from scratchbird_check.machines.quorum_parts import Asked
from scratchbird_history.checking import Answer as Judged
from scratchbird_history.checking import check
from scratchbird_history.models import Model
from scratchbird_history.operations import History
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replicas
from scratchbird_reference.quorum_messages import Held

PROMISES = ("linearizable", "sessions", "accountable", "honest", "once", "kept")


@dataclass(frozen=True, slots=True)
class Vouched:
    """A write of which nobody who was asked may be forgotten: (target, its incarnation when it was asked)."""

    row: int
    targets: tuple[tuple[int, int], ...]


class Onlooker:
    """Judges every step of a run, and the whole of it.

    :param demanded: the promises that are judged; all of them if empty.
    """

    def __init__(self, demanded: Sequence[str] = ()) -> None:
        self.problem: PromiseBrokenError | None = None
        self._demanded = frozenset(demanded)
        self._vouched: dict[int, Vouched] = {}
        self._forbidden: set[int] = set()
        """Versions of writes that were said not to be applied."""
        self._forbidden_values: set[bytes] = set()
        self._replied: set[int] = set()

    def demand(self, promise: str, kept: bool, sentence: str) -> None:
        """:raises PromiseBrokenError: if it is broken, and demanded."""
        if not kept and (not self._demanded or promise in self._demanded):
            self.problem = PromiseBrokenError(promise, sentence)
            raise self.problem

    def replied(self, number: int) -> None:
        """An operation ended."""
        self.demand("once", number not in self._replied, f"operation {number} ended twice")
        self._replied.add(number)

    def not_applied(self, version: int | None, value: bytes | None) -> None:
        """A client was told that nobody knows of this write, and nobody ever will."""
        if version is not None:
            self._forbidden.add(version)
        if value is not None:
            self._forbidden_values.add(value)

    def vouch(self, asked: Asked, held: Held, targets: Iterable[int]) -> None:
        """From now on each of these owes the version: the intent is durable, or the write is acknowledged."""
        owing = {(target, asked.incarnations[target]) for target in targets}
        before = self._vouched.get(held.version)
        if before is not None:
            owing |= set(before.targets)
        self._vouched[held.version] = Vouched(asked.call.row, tuple(sorted(owing)))

    def judge(
        self,
        coordinators: Iterable[operations.State],
        states: Mapping[int, replicas.State],
        incarnations: Mapping[int, int],
    ) -> None:
        """What must hold in every state."""
        named = {
            (version, target)
            for state in coordinators
            for version, intent in state.durable.intents
            for target in intent.targets
        }
        for version, vouched in self._vouched.items():
            for target, incarnation in vouched.targets:
                if incarnations[target] > incarnation or (version, target) in named:
                    continue
                self.demand(
                    "accountable",
                    states[target].durable.held(vouched.row).version >= version,
                    f"r{target} lacks version {version} of row {vouched.row}, and no intent names it",
                )

    def kept(self, name: int, before: replicas.Durable, after: replicas.Durable) -> None:
        """What a replica holds, before and after a step."""
        self.tells_the_truth(name, after)
        if after.incarnation == before.incarnation:
            for row, held in before.rows:
                self.demand(
                    "kept",
                    after.held(row).rank() >= held.rank(),
                    f"r{name} went from version {held.version} of row {row} to {after.held(row).version}",
                )

    def tells_the_truth(self, name: int, after: replicas.Durable) -> None:
        """Nobody holds what was said not to be applied."""
        for row, held in after.rows:
            told = held.version not in self._forbidden and held.value not in self._forbidden_values
            self.demand(
                "honest",
                told,
                f"r{name} holds version {held.version} of row {row}, which was said not to be applied",
            )

    def finish(self, history: History, models: Sequence[Model], promise: str) -> None:
        """Hold what clients saw against each of these models."""
        for model in models:
            verdict = check(history, model, shrinking=0.5)
            if verdict.answer is Judged.UNKNOWN:
                raise AssertionError(f"the history search gave up: {verdict.sentence}")
            self.demand(promise, verdict.answer is Judged.YES, f"row {verdict.key}: {verdict.sentence}")
