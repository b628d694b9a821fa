"""The protocol, executable and readable: pure functions over frozen values, standard library only.

Start with :mod:`scratchbird_reference.hlc`, beside ``spec/hlc.md``, then take
:mod:`scratchbird_reference.quorum`, beside ``spec/quorum.md``.
"""

from scratchbird_reference import (
    errors,
    hlc,
    quorum,
    quorum_coordinator,
    quorum_messages,
    quorum_operations,
    quorum_replica,
    uuid8,
)

__all__ = [
    "errors",
    "hlc",
    "quorum",
    "quorum_coordinator",
    "quorum_messages",
    "quorum_operations",
    "quorum_replica",
    "uuid8",
]
