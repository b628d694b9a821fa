"""The rules of a quorum system, one method each: what N, W and R really promise.

``spec/quorum.md`` states the rules. The two machines that follow them, a replica and a coordinator, stand in
:mod:`scratchbird_reference.quorum_replica` and :mod:`scratchbird_reference.quorum_coordinator`; the messages
in :mod:`scratchbird_reference.quorum_messages`. A wrong rule is a subclass of :class:`Rules` that replaces
one method.

Why it is right, in one paragraph. If W + R > N, every read quorum meets every write quorum (QUORUM.R3). A
write asks a read quorum before it takes its version, so its version is above that of every write that was
acknowledged before (QUORUM.R5). A read replies only when a write quorum holds its winner, so every later read
and write meets it (QUORUM.R6). So the order of versions extends the order in which operations happened, which
is linearizability. What an operation did when it did not reach its quorum is not known, and is said so
(QUORUM.R8). A replica that lost its disk has no vote before it holds again what it may have vouched for
(QUORUM.R13).

Sources: Gifford, *Weighted Voting for Replicated Data*, SOSP 1979; Attiya, Bar-Noy, Dolev, *Sharing Memory
Robustly in Message-Passing Systems*, JACM 1995; Lynch, Shvartsman, *Robust Emulation of Shared Memory Using
Dynamic Quorum-Acknowledged Broadcasts*, FTCS 1997.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product

from scratchbird_reference.errors import ConfigurationError
from scratchbird_reference.quorum_messages import (
    Held,
    Incarnations,
    Mode,
    Setting,
    incarnation_of,
    newest,
)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules, without state. A wrong rule replaces one method."""

    def supersedes(self, new: Held, old: Held) -> bool:
        """Whether a replica that holds ``old`` is to hold ``new`` instead (rule QUORUM.R1)."""
        return new.rank() > old.rank()

    def looks_first(self, setting: Setting) -> bool:
        """Whether a write asks a read quorum before it takes its version (rule QUORUM.R5)."""
        return setting.mode is Mode.LINEARIZABLE

    def enough_answers(self, setting: Setting, answers: int) -> bool:
        """Whether a winner may be chosen among so many answers (rule QUORUM.R3)."""
        return answers >= setting.read_quorum

    def enough_holders(self, setting: Setting, holders: int) -> bool:
        """Whether so many replicas that are known to hold a version are a write quorum (rule QUORUM.R3)."""
        return holders >= setting.write_quorum

    def read_may_reply(self, setting: Setting, answers: Mapping[int, Held], holders: int) -> bool:
        """Whether a read whose winner so many replicas are known to hold may reply (rule QUORUM.R6)."""
        return setting.mode is Mode.EVENTUAL or self.enough_holders(setting, holders)

    def write_may_reply(self, setting: Setting, holders: int, intent_is_durable: bool) -> bool:
        """Whether a write may be acknowledged (rules QUORUM.R5 and QUORUM.R11)."""
        return self.enough_holders(setting, holders) and intent_is_durable

    def fresh_enough(self, winner: Held, token: int) -> bool:
        """Whether a read may take this winner for a client that carries this token (rule QUORUM.R7)."""
        return winner.version >= token

    def stamp_above(self, setting: Setting, answers: Mapping[int, Held], token: int) -> int:
        """What the version of a write must be above (rules QUORUM.R5 and QUORUM.R7)."""
        return max([token, *(held.version for held in answers.values())])

    def current(self, replica: int, answered_as: Incarnations, known: Incarnations) -> bool:
        """Whether what ``replica`` said still binds it: it has not lost its disk since (rule QUORUM.R14)."""
        return incarnation_of(replica, answered_as) >= incarnation_of(replica, known)

    def has_vote(self, recovering: bool) -> bool:
        """Whether a replica may answer a query or an exchange (rule QUORUM.R13)."""
        return not recovering

    def has_recovered(self, setting: Setting, others_heard: int) -> bool:
        """Whether a replica that lost its disk has heard from enough others (rule QUORUM.R13)."""
        return others_heard >= setting.size - setting.write_quorum + 1

    def accepts_epoch(self, own: int, requested: int) -> bool:
        """Whether a replica serves a request of this epoch (rule QUORUM.R15)."""
        return requested >= own

    def remembered(self, own: Incarnations, told: Incarnations) -> Incarnations:
        """What a replica or a coordinator knows of incarnations after it was told (rule QUORUM.R14)."""
        return newest(own, told)


# --- settings side by side --------------------------------------------------------------------------------


def always_meet(write: Setting, read: Setting) -> bool:
    """Whether every write quorum of one setting meets every read quorum of the other (rule QUORUM.R15).

    The replica sets may differ. Quorums that avoid each other as far as they can take the replicas that only
    one of the settings has; what is left must be more than the replicas that both have.
    """
    common = len(set(write.replicas) & set(read.replicas))
    write_in_common = max(0, write.write_quorum - (write.size - common))
    read_in_common = max(0, read.read_quorum - (read.size - common))
    return write_in_common + read_in_common > common


def compatible(settings: Iterable[Setting]) -> bool:
    """Whether coordinators may use these settings side by side, in any mixture (rule QUORUM.R15)."""
    kept = tuple(settings)
    return all(always_meet(write, read) for write, read in product(kept, kept))


def joint(old: Setting, new: Setting) -> Setting:
    """The setting between two that may not be used side by side (rule QUORUM.R16).

    Its read quorum meets every write quorum of the old setting, and its write quorum every read quorum of the
    new one. It is linearizable whatever the table's mode, so that a read in it writes back what it finds.

    :raises ConfigurationError: if the replicas differ, or there is no epoch between the two.
    """
    if set(old.replicas) != set(new.replicas):
        raise ConfigurationError(
            f"replicas {old.replicas} and {new.replicas} differ: change the replicas in a step of its own"
        )
    if new.epoch < old.epoch + 2:
        raise ConfigurationError(
            f"epoch {new.epoch} leaves none for the joint setting: after {old.epoch} use {old.epoch + 2} "
            f"or more"
        )
    return Setting(
        replicas=old.replicas,
        write_quorum=max(old.write_quorum, new.write_quorum, new.size - new.read_quorum + 1),
        read_quorum=max(old.read_quorum, new.read_quorum, old.size - old.write_quorum + 1),
        mode=Mode.LINEARIZABLE,
        epoch=old.epoch + 1,
    )
