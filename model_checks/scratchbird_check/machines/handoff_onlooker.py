"""The onlooker of the handoff part's state machine: it sees every state, and what clients saw, and demands

- ``account``: as long as no disk was lost, each replica holds what a writer was told to be committed, or
  something newer; or the writer's coordinator has a durable hint or a durable mark for it; or it is at or
  below the floor at which the replica has settled (HANDOFF.R1),
- ``seen``: so many replicas as are a read quorum never all answer older than what was committed (QUORUM.R3),
- ``agree``: replicas that settled at the highest floor hold the same past below it (HANDOFF.R10, R11),
- ``fresh``: a read never returns what was beaten before it began by a write that was committed (HANDOFF.R11),
- ``linearizable``: an order explains what clients saw,
- ``paced``: no target is sent more hints than its limit allows, nor more before it answers (HANDOFF.R4),
- ``returns``: a mark is closed when its target is back and all writes have ended that were open then
  (HANDOFF.R5),
- ``drained``: when all is up and messages arrive, nothing is owed in the end (HANDOFF.R1),
- ``honest``, ``once`` and ``kept`` as in part quorum; what was purged counts as deleted at the floor.

It computes nothing by the rules: only how a replica answers a query is asked of the replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scratchbird_check.machines.handoff_parts import Committed
from scratchbird_check.machines.quorum_onlooker import Onlooker
from scratchbird_check.machines.quorum_parts import Asked
from scratchbird_reference import handoff_account as account
from scratchbird_reference import handoff_replica as replicas
from scratchbird_reference.handoff import CATCH_UP_NS, SECOND_NS, Limits
from scratchbird_reference.handoff_floor import Durable as Floor
from scratchbird_reference.quorum_messages import Held, Setting

PROMISES = (
    "account", "seen", "agree", "fresh", "linearizable", "paced", "returns", "drained",
    "honest", "once", "kept",
)  # fmt: skip
KEPT_TIMES = 60

Place = account.Place


@dataclass(slots=True)
class _Sent:
    """What one coordinator sent one target since the clock jumped or the process began."""

    times: list[int] = field(default_factory=list)
    under_way: dict[account.Key, int] = field(default_factory=dict)


class HandoffOnlooker(Onlooker):
    """Judges every step of a run, and the whole of it."""

    def __init__(self, demanded: Sequence[str] = ()) -> None:
        super().__init__(demanded)
        self.committed: dict[tuple[str, int], Committed] = {}
        """By coordinator and row, the newest."""
        self.lost: set[int] = set()
        """The replicas that lost a disk: what they are owed of old is theirs to recover."""
        self._sent: dict[tuple[str, int], _Sent] = {}
        self._awaited: dict[tuple[str, Place], frozenset[int]] = {}
        """By coordinator and mark whose target is back: the writes that were open then."""

    def judges(self, *promises: str) -> bool:
        """Whether one of these is judged."""
        return not self._demanded or bool(self._demanded & set(promises))

    def newest(self, row: int) -> int:
        """The newest version of a row that any writer was told to be committed."""
        return max((item.held.version for item in self.committed.values() if item.row == row), default=0)

    def commit(self, written: Committed) -> None:
        """A writer was told that this is committed."""
        key = written.coordinator, written.row
        if key not in self.committed or self.committed[key].held.version < written.held.version:
            self.committed[key] = written

    def vouch(self, asked: Asked, held: Held, targets: Iterable[int]) -> None:
        """Part quorum's account is kept by intents alone; here it is :meth:`_accounts`."""

    # --- every state --------------------------------------------------------------------------------------

    def look(
        self,
        setting: Setting,
        keepers: Mapping[str, account.State],
        states: Mapping[int, replicas.State],
        answers: Mapping[tuple[int, int], Held],
    ) -> None:
        """What must hold in every state.

        :param answers: by replica and row: what a query would be told by each that has a vote.
        """
        for written in self.committed.values():
            if not self.lost:
                self._accounts(written, keepers[written.coordinator], states)
            older = [
                name
                for (name, row), held in answers.items()
                if row == written.row and held.version < written.held.version
            ]
            self.demand(
                "seen",
                len(older) < setting.read_quorum,
                f"replicas {older} answer older than version {written.held.version} of row {written.row}, "
                f"which is committed",
            )
        self._agrees(states)

    def _accounts(
        self, written: Committed, keeper: account.State, states: Mapping[int, replicas.State]
    ) -> None:
        version = written.held.version
        hinted = {
            hint.target
            for hint in keeper.durable.hints
            if hint.row == written.row and hint.held.version >= version
        } | {target for (target, _), _ in keeper.durable.marks}
        for name, state in states.items():
            holds = shown(state.rows.durable.held(written.row), state.floor.durable).version >= version
            self.demand(
                "account",
                holds or name in hinted,
                f"r{name} lacks version {version} of row {written.row}, and {written.coordinator}, whose "
                f"writer was told that it is committed, owes it nothing",
            )

    def _agrees(self, states: Mapping[int, replicas.State]) -> None:
        settled = {
            name: state
            for name, state in states.items()
            if state.floor.durable.floor and state.rows.durable.recovering is None
        }
        highest = max((state.floor.durable.floor for state in settled.values()), default=0)
        pasts: dict[int, dict[Held, int]] = {}
        for row in {row for state in settled.values() for row, _ in state.rows.durable.rows}:
            for name, state in settled.items():
                held = state.rows.durable.held(row)
                if state.floor.durable.floor == highest and held.version <= highest:
                    pasts.setdefault(row, {})[Held() if held.value is None else held] = name
        for row, past in pasts.items():
            self.demand(
                "agree",
                len(past) == 1,
                f"replicas {sorted(past.values())} settled at {highest} and differ below it in row {row}: "
                f"{', '.join(f'{held.version}={held.value!r}' for held in past)}",
            )

    def kept_with_floor(self, name: int, before: replicas.State, after: replicas.State) -> None:
        """What a replica holds, before and after a step; what it purged counts as deleted at its floor."""
        was, now = before.rows.durable, after.rows.durable
        self.tells_the_truth(name, now)
        if now.incarnation != was.incarnation:
            return
        for row in {row for row, _ in was.rows}:
            old, new = shown(was.held(row), before.floor.durable), shown(now.held(row), after.floor.durable)
            self.demand(
                "kept",
                new.rank() >= old.rank(),
                f"r{name} went from version {old.version} of row {row} to {new.version}",
            )

    # --- pace ---------------------------------------------------------------------------------------------

    def time_jumped(self) -> None:
        """What was sent before is of another time: a window does not reach across."""
        for sent in self._sent.values():
            sent.times.clear()

    def begins(self, coordinator: str) -> None:
        """A coordinator's process ended: it does not know any more what is under way."""
        self._sent = {key: sent for key, sent in self._sent.items() if key[0] != coordinator}
        self._awaited = {key: numbers for key, numbers in self._awaited.items() if key[0] != coordinator}

    def answered(self, coordinator: str, target: int, row: int | None, version: int) -> None:
        """A target said that it holds this; without a row: that it takes nothing at or below this floor."""
        if sent := self._sent.get((coordinator, target)):
            for key in [key for key in sent.under_way if row in (None, key[1]) and key[2] <= version]:
                del sent.under_way[key]

    def sends(self, coordinator: str, hint: account.Hint, now_ns: int, limits: Limits) -> None:
        """A hint is sent, at this time of the coordinator's clock."""
        sent = self._sent.setdefault((coordinator, hint.target), _Sent())
        late = limits.answer_within_ns
        sent.under_way = {key: at for key, at in sent.under_way.items() if 0 <= now_ns - at <= late}
        sent.under_way[hint.key] = now_ns
        self.demand(
            "paced",
            len(sent.under_way) <= limits.most_under_way,
            f"{len(sent.under_way)} hints are under way from {coordinator} to r{hint.target}, the limit is "
            f"{limits.most_under_way}",
        )
        sent.times = [*sent.times, now_ns][-KEPT_TIMES:]
        least = max(1, SECOND_NS // limits.per_second)
        for index, begin in enumerate(sent.times):
            count = len(sent.times) - index
            self.demand(
                "paced",
                count <= (now_ns - begin + CATCH_UP_NS) // least + 1,
                f"{coordinator} sent r{hint.target} {count} hints in {now_ns - begin} ns, the limit is "
                f"{limits.per_second} in a second",
            )

    # --- coming back --------------------------------------------------------------------------------------

    def comes_back(self, coordinator: str, place: Place, state: account.State) -> None:
        """Hints are kept again for a target, or dropped meanwhile: so many writes are open now."""
        if place in state.volatile.coming_back:
            still = frozenset(number for number, _ in state.volatile.writes)
            self._awaited[coordinator, place] = still | self._awaited.get((coordinator, place), frozenset())

    def returns(self, coordinator: str, state: account.State) -> None:
        """After each step of a coordinator's account."""
        still = {number for number, _ in state.volatile.writes}
        for (name, place), numbers in list(self._awaited.items()):
            if name != coordinator:
                continue
            if place not in state.volatile.coming_back:  # It is closed, or given up once more.
                del self._awaited[name, place]
                continue
            self.demand(
                "returns",
                bool(numbers & still),
                f"r{place[0]} is back, and every write has ended that was open then: {coordinator} leaves "
                f"its mark open",
            )


def shown(held: Held, floor: Floor) -> Held:
    """As what a row counts of which this is held: absent at a settled replica is deleted at its floor."""
    return held if held.version else Held(floor.floor)
