"""The production core: the rules of the reference over machine words, compiled.

Nothing here opens a file or a socket. For ids start with :class:`scratchbird.hlc.Clock`;
:class:`scratchbird.hlc.ClockCore` is the same clock with times and random bits as arguments, for checks. For
replicated rows see :mod:`scratchbird.quorum`; for what is owed to a replica that missed some of them, and for
deletes that stay deleted, :mod:`scratchbird.handoff`; for what two replicas do not share,
:mod:`scratchbird.merkle_forest`, which needs OpenSSL 3 as well.
"""

try:
    from scratchbird.hlc import Clock, ClockCore, retire
    from scratchbird.uuid8 import UuidV8
except ImportError as error:
    raise ImportError(
        f"the compiled core of scratchbird is missing, or was built for another Python ({error}). Install a "
        "C compiler (Debian: apt install gcc python3-dev; macOS: xcode-select --install), then: pip install "
        "--force-reinstall --no-cache-dir scratchbird-replication; in a checkout: pip install -e . The "
        "reference needs no compiler: import scratchbird_reference",
        name="scratchbird",
    ) from error

from scratchbird.store import BoundStore, Durable, VolatileBoundStore
from scratchbird.timestamp import Timestamp

__all__ = [
    "BoundStore",
    "Clock",
    "ClockCore",
    "Durable",
    "Timestamp",
    "UuidV8",
    "VolatileBoundStore",
    "retire",
]
