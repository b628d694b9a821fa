"""What a run of the quorum part's state machine is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scratchbird_check.variants.quorum import UncheckedSetting
from scratchbird_history import operations as history
from scratchbird_reference import quorum_operations as operations
from scratchbird_reference.quorum_messages import Mode, Setting

ROWS = (7, 8)
"""The rows of every run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is about.

    :ivar sizes: N, W and R.
    :ivar unchecked: whether the setting is one that nobody checked (variant ``disjoint_quorums``).
    :ivar online: whether settings change without a joint one (variant ``online_change``).
    """

    sizes: tuple[int, int, int]
    mode: Mode = Mode.LINEARIZABLE
    unchecked: bool = False
    online: bool = False

    def setting(self) -> Setting:
        size, write, read = self.sizes
        kind = UncheckedSetting if self.unchecked else Setting
        return kind(tuple(range(1, size + 1)), write, read, self.mode)


@dataclass(slots=True)
class Call:
    """What a client asked for, once, and what it was told: one operation of the history."""

    process: str
    row: int
    kind: history.Kind
    value: bytes | None
    invoked: int
    version: int = 0
    """That was reserved, or that a reply named; 0 if neither."""
    reserved: bool = False
    left: bool = False
    """Whether its client, which does one thing after another, asked for something else before the reply."""
    returned: int | None = None
    outcome: history.Outcome = history.Outcome.INDETERMINATE
    result: str | None = None

    @property
    def open(self) -> bool:
        """Whether its client still waits, or does not know."""
        return self.returned is None


@dataclass(frozen=True, slots=True)
class Asked:
    """One operation at a coordinator."""

    number: int
    coordinator: str
    request: operations.Request
    call: Call
    setting: Setting
    incarnations: Mapping[int, int]
    """Of all replicas when it began."""
    about: Call | None = None
    """The write that a look-up is about."""


@dataclass(slots=True, eq=False)
class Sent:
    """A message under way. It arrives any number of times, or never."""

    sender: str
    receiver: str
    body: Any
    """A message of part quorum, or of a part that is tried in the same world."""
    step: int
    arrived: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """One step of the run, as it is told when something went wrong."""

    lane: str
    event: Any
    effects: tuple[Any, ...]
    before: Any
    after: Any
    sent: Sent | None


@dataclass(slots=True)
class Pending:
    """An intent that is not durable yet."""

    coordinator: str
    number: int
    intent: operations.Intent
