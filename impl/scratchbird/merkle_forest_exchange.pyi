from collections.abc import Iterable, Sequence
from typing import Final, Protocol, final

from scratchbird.merkle_forest import ForestCore, Inner, Leaf, Shape
from scratchbird.quorum import Held, Value
from scratchbird.uuid8 import UuidV8

CLOSED_SINCE: Final[str]
RESHAPED_SINCE: Final[str]

_Version = int | UuidV8
_Place = tuple[int, tuple[int, ...]]

class Store(Protocol):
    """What an exchange asks of who holds a replica's rows. Places are packed, 16 bytes each."""

    @property
    def closed(self) -> _Version:
        """The floor that the replica has closed, 0 if it has none (rule HANDOFF.R9)."""

    def versions(self, places: bytes, /) -> bytes:
        """The version in which each row is held, 16 bytes in network byte order; zeros if it is absent."""

    def held(self, places: bytes, /) -> Sequence[Row | None]:
        """How each row is held; ``None`` if it is absent."""

    def merge(self, rows: list[Row], /) -> Iterable[int]:
        """Take rows as an exchange brings them (rules HANDOFF.R9, HANDOFF.R10), and let the forest follow.

        Which of them are newer is for the store to judge, as ``handoff.Merge`` does. It returns the windows
        that became dirty by it, as ``ForestCore.follow`` names them; that all of it is durable is waited for
        where :class:`Amended` says so.
        """

# --- messages ---------------------------------------------------------------------------------------------

class Message(Value):
    __match_args__: tuple[str, ...]
    @property
    def exchange(self) -> int: ...
    def to_bytes(self) -> bytes: ...
    @staticmethod
    def from_bytes(packed: bytes) -> Message: ...

@final
class Row(Value):
    __match_args__ = ("place", "key", "held")
    def __init__(self, place: bytes, key: bytes, held: Held) -> None: ...
    @property
    def place(self) -> bytes: ...
    @property
    def key(self) -> bytes: ...
    @property
    def held(self) -> Held: ...

@final
class Open(Message):
    __match_args__ = ("exchange", "shape", "stable", "floor")
    def __init__(self, exchange: _Version, shape: Shape, stable: _Version, floor: _Version) -> None: ...
    @property
    def shape(self) -> Shape: ...
    @property
    def stable(self) -> int: ...
    @property
    def floor(self) -> int: ...

@final
class Opened(Message):
    __match_args__ = ("exchange", "stable", "floor")
    def __init__(self, exchange: _Version, stable: _Version, floor: _Version) -> None: ...
    @property
    def stable(self) -> int: ...
    @property
    def floor(self) -> int: ...

@final
class Refused(Message):
    __match_args__ = ("exchange", "reason")
    def __init__(self, exchange: _Version, reason: str) -> None: ...
    @property
    def reason(self) -> str: ...

@final
class AskWindows(Message):
    __match_args__ = ("exchange", "after")
    def __init__(self, exchange: _Version, after: int) -> None: ...
    @property
    def after(self) -> int: ...

@final
class Windows(Message):
    __match_args__ = ("exchange", "windows", "last")
    def __init__(self, exchange: _Version, windows: Iterable[tuple[int, bytes]], last: bool) -> None: ...
    @property
    def windows(self) -> tuple[tuple[int, bytes], ...]: ...
    @property
    def last(self) -> bool: ...
    @property
    def packed(self) -> bytes: ...

@final
class AskNodes(Message):
    __match_args__ = ("exchange", "places", "in_full")
    def __init__(
        self, exchange: _Version, places: Iterable[tuple[int, Sequence[int]]], in_full: bool = False
    ) -> None: ...
    @property
    def places(self) -> tuple[_Place, ...]: ...
    @property
    def in_full(self) -> bool: ...
    @property
    def packed(self) -> bytes: ...

@final
class Nodes(Message):
    __match_args__ = ("exchange", "nodes", "held")
    def __init__(
        self,
        exchange: _Version,
        nodes: Iterable[tuple[tuple[int, Sequence[int]], Inner | Leaf]],
        held: Iterable[tuple[bytes, _Version]],
    ) -> None: ...
    @property
    def nodes(self) -> tuple[tuple[_Place, Inner | Leaf], ...]: ...
    @property
    def held(self) -> tuple[tuple[bytes, int], ...]: ...
    @property
    def packed(self) -> bytes: ...
    @property
    def newer(self) -> bytes: ...
    @property
    def count(self) -> int: ...

@final
class AskRows(Message):
    __match_args__ = ("exchange", "rows")
    def __init__(self, exchange: _Version, rows: Iterable[bytes]) -> None: ...
    @property
    def rows(self) -> tuple[bytes, ...]: ...
    @property
    def packed(self) -> bytes: ...

@final
class Rows(Message):
    __match_args__ = ("exchange", "rows")
    def __init__(self, exchange: _Version, rows: Iterable[Row]) -> None: ...
    @property
    def rows(self) -> tuple[Row, ...]: ...

@final
class Give(Message):
    __match_args__ = ("exchange", "given")
    def __init__(self, exchange: _Version, given: Iterable[tuple[bytes, Row | None]]) -> None: ...
    @property
    def given(self) -> tuple[tuple[bytes, Row | None], ...]: ...

@final
class Took(Message):
    __match_args__ = ("exchange", "rows")
    def __init__(self, exchange: _Version, rows: Iterable[bytes]) -> None: ...
    @property
    def rows(self) -> tuple[bytes, ...]: ...
    @property
    def packed(self) -> bytes: ...

Question = Open | AskWindows | AskNodes | AskRows | Give
Reply = Opened | Refused | Windows | Nodes | Rows | Took

# --- bounds, events and effects ---------------------------------------------------------------------------

@final
class Bounds(Value):
    __match_args__ = ("items", "size")
    def __init__(self, items: int = 4096, size: int = 1 << 20) -> None: ...
    @property
    def items(self) -> int: ...
    @property
    def size(self) -> int: ...

@final
class Begin(Value):
    __match_args__ = ("exchange", "other")
    def __init__(self, exchange: _Version, other: int) -> None: ...
    @property
    def exchange(self) -> int: ...
    @property
    def other(self) -> int: ...

@final
class Deliver(Value):
    __match_args__ = ("reply",)
    def __init__(self, reply: Message) -> None: ...
    @property
    def reply(self) -> Reply: ...

@final
class Again(Value):
    def __init__(self) -> None: ...

@final
class Stop(Value):
    def __init__(self) -> None: ...

@final
class Amended(Value):
    __match_args__ = ("windows",)
    def __init__(self, windows: Iterable[int]) -> None: ...
    @property
    def windows(self) -> tuple[int, ...]: ...

@final
class Hashed(Value):
    __match_args__ = ("digests",)
    def __init__(self, digests: Iterable[tuple[int, bytes]]) -> None: ...
    @property
    def digests(self) -> tuple[tuple[int, bytes], ...]: ...

@final
class Ask(Value):
    __match_args__ = ("other", "question")
    def __init__(self, other: int, question: Message) -> None: ...
    @property
    def other(self) -> int: ...
    @property
    def question(self) -> Question: ...

@final
class Tell(Value):
    __match_args__ = ("reply",)
    def __init__(self, reply: Message) -> None: ...
    @property
    def reply(self) -> Reply: ...

@final
class Succeeded(Value):
    __match_args__ = ("exchange", "other", "stable", "floor", "moved")
    def __init__(
        self, exchange: _Version, other: int, stable: _Version, floor: _Version, moved: int
    ) -> None: ...
    @property
    def exchange(self) -> int: ...
    @property
    def other(self) -> int: ...
    @property
    def stable(self) -> int: ...
    @property
    def floor(self) -> int: ...
    @property
    def moved(self) -> int: ...

@final
class Failed(Value):
    __match_args__ = ("exchange", "other", "reason")
    def __init__(self, exchange: _Version, other: int, reason: str) -> None: ...
    @property
    def exchange(self) -> int: ...
    @property
    def other(self) -> int: ...
    @property
    def reason(self) -> str: ...

Event = Begin | Deliver | Again | Stop
Effect = Amended | Hashed | Ask | Succeeded | Failed

# --- the machines -----------------------------------------------------------------------------------------

class Side:
    @property
    def forest(self) -> ForestCore: ...
    @property
    def rows(self) -> Store: ...
    @property
    def bounds(self) -> Bounds: ...

@final
class ExchangeAnswerer(Side):
    def __init__(
        self, forest: ForestCore, rows: Store, bounds: Bounds | None = None, *, most_exchanges: int = 4
    ) -> None: ...
    @property
    def most_exchanges(self) -> int: ...
    @property
    def open_exchanges(self) -> tuple[int, ...]: ...
    def step(self, question: Question) -> tuple[Amended | Hashed | Tell, ...]: ...
    def crash(self) -> None: ...

@final
class ExchangeDriver(Side):
    def __init__(self, forest: ForestCore, rows: Store, bounds: Bounds | None = None) -> None: ...
    @property
    def exchange(self) -> int | None: ...
    @property
    def left(self) -> int: ...
    def step(self, event: Event) -> tuple[Effect, ...]: ...
    def crash(self) -> None: ...
