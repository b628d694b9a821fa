"""The words of the quorum part: what a table promises, and how an operation ended.

Equal in meaning to those of the reference: the same names, the same texts.
"""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    """What a table promises (rule QUORUM.R2)."""

    EVENTUAL = "eventual"
    """One round; the greatest version wins."""
    LINEARIZABLE = "linearizable"
    """A write looks before it stamps, a read replies only with what later reads must see."""


class Outcome(Enum):
    """How an operation ended (rules QUORUM.R8 to QUORUM.R10)."""

    VALUE = "value"
    """A read: ``held`` is what the row holds, version 0 if it was never written."""
    RESERVED = "reserved"
    """The version is the client's; nothing was written."""
    COMMITTED = "committed"
    """A write quorum holds this version or a newer one."""
    NOT_APPLIED = "not applied"
    """No replica was told of the write, and none will be."""
    INDETERMINATE = "indeterminate"
    """Replicas were told, and too few said that they hold it. It may take effect at any later time."""
    SUPERSEDED = "superseded"
    """A look-up: a write quorum holds a newer version. Nobody will read the old one any more."""
    NOT_AT_A_QUORUM = "not at a quorum"
    """A look-up: it is not committed now, and may still appear."""
    FAILED = "failed"
    """A read or a look-up that did not reach its quorum."""
