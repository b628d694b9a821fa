"""One operation of the reference while some replicas are silent: does it end, and after how many rounds?

Nothing here counts quorums. A coordinator and replicas of the reference run until nothing is left to deliver,
from every state of the row that the answer can depend on. Replicas are alike (no rule asks which one it is),
so that numbers of them are tried: how many are silent, how many are asked first, how many of either hold the
newer version.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from scratchbird_reference import quorum_operations as operations
from scratchbird_reference import quorum_replica as replica
from scratchbird_reference.quorum_coordinator import Coordinator
from scratchbird_reference.quorum_messages import Acknowledgement, Answer, Held, Send, Setting

ROW = 0
OLD, NEW, STAMPED = Held(1, b"old"), Held(2, b"new"), 3
ENDED_WELL = (operations.Outcome.VALUE, operations.Outcome.COMMITTED)
READ = operations.Read(1, ROW)
READ_WITH_TOKEN = operations.Read(1, ROW, token=NEW.version)
WRITE = operations.PutValue(1, ROW, b"newest")


@dataclass(frozen=True, slots=True)
class Ended:
    """How an operation ended.

    :ivar well: whether it reached its quorum; if not, its deadline would end it.
    :ivar rounds: messages there and back, one after the other, until then.
    """

    well: bool
    rounds: int


def play(
    setting: Setting,
    request: operations.Request,
    up: Sequence[int],
    holders: Set[int],
    first: Set[int] = frozenset(),
) -> Ended:
    """Play one operation.

    :param up: the replicas that answer.
    :param holders: those that hold the newer of two versions; the others hold the older one.
    :param first: those that are asked at once; the others when nothing else is left. All, if empty.
    """
    run = _Run(setting, {name: NEW if name in holders else OLD for name in up})
    run.take(request)
    late = [send for send in run.sent if first and send.to not in first]
    run.sent = [send for send in run.sent if send not in late]
    rounds = 0
    while not run.ended and (run.sent or late):
        if not run.sent:
            run.sent, late = late, []
        rounds += 1
        run.deliver()
    return Ended(run.ended, rounds)


@dataclass
class _Run:
    """A coordinator with one operation, and the replicas that answer."""

    setting: Setting
    held: dict[int, Held]
    sent: list[Send] = field(default_factory=list)
    ended: bool = False

    def __post_init__(self) -> None:
        self._state = operations.State(self.setting)
        self._replicas = {
            name: replica.State(
                replica.Durable(name, ((name, 1),), self.setting.epoch, ((ROW, held),)), replica.Volatile()
            )
            for name, held in self.held.items()
        }

    def take(self, event: operations.Event) -> None:
        """One event at the coordinator. Its clock and its disk answer at once: they are no round."""
        self._state, effects = Coordinator().step(self._state, event)
        for effect in effects:
            match effect:
                case Send():
                    self.sent.append(effect)
                case operations.Stamp(operation=number):
                    self.take(operations.Stamped(number, STAMPED))
                case operations.StoreIntent(operation=number, intent=intent):
                    self.take(operations.IntentStored(number, intent))
                case operations.Reply(outcome=outcome):
                    self.ended = outcome in ENDED_WELL

    def deliver(self) -> None:
        """All that was sent arrives, and all answers to it."""
        sends, self.sent = self.sent, []
        answers = []
        for send in sends:
            if send.to is None or send.to not in self._replicas:
                continue
            name = send.to
            self._replicas[name], back = replica.Replica().step(
                self._replicas[name], replica.Deliver(send.message)
            )
            answers += [operations.Deliver(name, _answer(item)) for item in back]
        for answer in answers:
            if not self.ended:
                self.take(answer)


def _answer(send: Send) -> Answer | Acknowledgement:
    assert isinstance(send.message, Answer | Acknowledgement)
    return send.message


# --- questions --------------------------------------------------------------------------------------------


def goes_on(setting: Setting, request: operations.Request, down: Set[int]) -> bool:
    """Whether this operation ends well while these replicas are down, whoever of the others holds what."""
    up = [name for name in setting.replicas if name not in down]
    return all(play(setting, request, up, holders).well for holders in _states(setting, request, up))


def _states(setting: Setting, request: operations.Request, up: Sequence[int]) -> Iterator[frozenset[int]]:
    """Who may hold the newer version: any number, or what is left of W where a token names it."""
    least = 0
    if request == READ_WITH_TOKEN:
        least = max(0, setting.write_quorum - (setting.size - len(up)))
    for count in range(least, len(up) + 1):
        yield frozenset(up[:count])


def survives(setting: Setting, request: operations.Request) -> int:
    """How many replicas may be down, whichever they are, so that this operation still ends well."""
    count = 0
    while goes_on(setting, request, set(setting.replicas[: count + 1])):
        count += 1
    return count


def rounds(setting: Setting, request: operations.Request) -> tuple[int, int]:
    """The least and the most rounds that it takes when all replicas are up, whoever holds what.

    A read may hear R replicas early and the others a round later, or all at once.
    """
    names = setting.replicas
    everybody = frozenset(names)
    early = frozenset(names[: setting.read_quorum]) if isinstance(request, operations.Read) else everybody
    taken = set()
    for of_early in range(len(early) + 1):
        for of_others in range(setting.size - len(early) + 1):
            holders = {*names[:of_early], *names[len(early) : len(early) + of_others]}
            for first in (early, everybody):
                taken.add(play(setting, request, names, holders, first).rounds)
    return min(taken), max(taken)
