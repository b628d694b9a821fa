"""The promises that a history can be held against."""

from __future__ import annotations

from enum import Enum


class Model(Enum):
    """What is asked. :mod:`scratchbird_history.sessions` defines the last two."""

    LINEARIZABLE = "linearizable"
    SEQUENTIAL = "sequential"
    READ_YOUR_WRITES = "read-your-writes"
    MONOTONIC_READS = "monotonic-reads"
