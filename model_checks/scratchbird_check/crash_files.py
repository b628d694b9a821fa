"""A disk in memory that shows every state in which a power cut may leave it, for tests of stores.

:class:`CrashFiles` is a :class:`scratchbird_node.files.Files`. It records each call, and remembers apart what
is durable and what is not. :meth:`CrashFiles.images` then enumerates what may be found after a crash right
now:

- of the bytes that were appended to a file and not synced, any prefix is there; or they are cut into blocks,
  and any subset of the blocks is there, with zeros for those that are not (the order of appends is not kept);
- of the names that were made, changed and removed in a folder since its last sync, any subset took effect,
  whatever became of other folders and of the contents. A rename takes effect wholly or not at all;
- bytes that were synced are there: a disk that loses those needs repair, not a log.

A crash within a call is among them: an append that is cut off left a prefix, a sync that is cut off left a
subset.

The enumeration is exhaustive where a moment has no more images than the bound. Beyond that it is a sample of
so many, drawn with a seed: first the extremes (all or nothing of names and contents), then each file and each
name by chance.
"""

from __future__ import annotations

import errno
import itertools
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scratchbird_node.errors import FileError, FileLockedError, file_error
from scratchbird_node.files import Appending, Lock, Mapped, Reading, still_borrowed

Image = dict[str, bytes]
"""What is on the disk: the contents of each file, by its path."""

MAX_BLOCKS = 4
"""With more unsynced blocks than this in a file, subsets of them are drawn by chance."""


class Node:
    """The contents of a file, apart from its names."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.unsynced = b""
        self.is_broken = False
        """A sync has failed: the system believes the contents written, and will not write them any more."""

    @property
    def all(self) -> bytes:
        return self.durable + self.unsynced


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A change of names that is not durable: ``node`` loses the name ``old`` and gets the name ``new``."""

    folder: str
    old: str | None
    new: str | None
    node: Node

    def apply(self, names: dict[str, Node]) -> None:
        if self.old is not None and names.get(self.old) is self.node:
            del names[self.old]
        if self.new is not None:
            names[self.new] = self.node


@dataclass
class Sync:
    """A call that made something durable."""

    what: str
    needed: bool
    """Whether there was something that was not durable before."""


@dataclass
class CrashFiles:
    """See the module.

    :param contents: what is there, durably.
    :param after: is called after each call that changes something, and before its result is given back.
    :param skip: the number of a sync that does nothing, counted from 0.
    :param fail: is given each call as ``"append PATH"``, ``"sync WHAT"`` and the like, before it has any
        effect; the number of an error (``errno.EIO``) makes it fail. A failed append leaves half of its
        bytes; what a failed sync should have made durable never becomes so, and later syncs of the file
        succeed.
    :param block: bytes of a block.
    """

    contents: Mapping[str, bytes] = field(default_factory=dict)
    after: Callable[[], None] = lambda: None
    skip: int | None = None
    fail: Callable[[str], int | None] = lambda call: None
    block: int = 64

    def __post_init__(self) -> None:
        self.calls: list[str] = []
        self.syncs: list[Sync] = []
        self.open_files = 0
        self._durable_names = {path: Node(data) for path, data in self.contents.items()}
        self._names = dict(self._durable_names)
        self._changes: list[Change] = []
        self._locked: set[str] = set()

    # --- crashes ------------------------------------------------------------------------------------------

    def image(self) -> Image:
        """What a reader sees now, durable or not."""
        return {path: node.all for path, node in self._names.items()}

    def killed(self) -> CrashFiles:
        """The disk after the process, and not the machine, has ended: all is there, and not yet durable."""
        copy = CrashFiles(block=self.block)
        nodes: dict[Node, Node] = {}
        for node in (*self._durable_names.values(), *(change.node for change in self._changes)):
            nodes.setdefault(node, Node(node.durable)).unsynced = node.unsynced
        copy._durable_names = {path: nodes[node] for path, node in self._durable_names.items()}
        copy._names = {path: nodes[node] for path, node in self._names.items()}
        copy._changes = [Change(each.folder, each.old, each.new, nodes[each.node]) for each in self._changes]
        return copy

    def take_over(self, other: CrashFiles) -> None:
        """Go on with the disk of ``other``, which must not be used any more; what was recorded here stays."""
        self._durable_names, self._names, self._changes = other._durable_names, other._names, other._changes

    def images(self, limit: int, seed: int) -> Iterator[Image]:
        """What a power cut may leave now, each once: all of it, or a sample of about ``limit`` where there
        is more.
        """
        seen: set[tuple[tuple[str, bytes], ...]] = set()
        for image in self._exhaustive() if self._count() <= limit else self._sample(limit, seed):
            key = tuple(sorted(image.items()))
            if key not in seen:
                seen.add(key)
                yield image

    def _unsynced(self) -> list[Node]:
        known = dict.fromkeys((*self._durable_names.values(), *(change.node for change in self._changes)))
        return [node for node in known if node.unsynced]

    def _count(self) -> int:
        count = 1 << len(self._changes)
        for node in self._unsynced():
            blocks = len(self._blocks(node))
            count *= len(node.unsynced) + 1 + (1 << min(blocks, 64))
        return count

    def _exhaustive(self) -> Iterator[Image]:
        nodes = self._unsynced()
        for contents in itertools.product(*(self._contents(node) for node in nodes)):
            chosen = dict(zip(nodes, contents, strict=True))
            for kept in itertools.product((False, True), repeat=len(self._changes)):
                yield self._make(chosen, kept)

    def _sample(self, limit: int, seed: int) -> Iterator[Image]:
        chance = random.Random(seed)
        nodes = self._unsynced()
        for data, name in itertools.product((False, True), repeat=2):
            yield self._make(
                {node: node.all if data else node.durable for node in nodes}, [name] * len(self._changes)
            )
        for _ in range(limit):
            chosen = {node: self._draw(node, chance) for node in nodes}
            likely = chance.choice((0.1, 0.5, 0.9))
            yield self._make(chosen, [chance.random() < likely for _ in self._changes])

    def _make(self, contents: Mapping[Node, bytes], kept: Sequence[bool]) -> Image:
        names = dict(self._durable_names)
        for change, keep in zip(self._changes, kept, strict=True):
            if keep:
                change.apply(names)
        return {path: contents.get(node, node.durable) for path, node in names.items()}

    def _blocks(self, node: Node) -> list[tuple[int, int]]:
        """Where the unsynced bytes of a file stand, cut at multiples of the block's size."""
        at, end, blocks = len(node.durable), len(node.durable) + len(node.unsynced), []
        while at < end:
            stop = min((at // self.block + 1) * self.block, end)
            blocks.append((at, stop))
            at = stop
        return blocks

    def _contents(self, node: Node) -> Iterator[bytes]:
        whole = node.all
        for length in range(len(node.durable), len(whole) + 1):
            yield whole[:length]
        blocks = self._blocks(node)
        for kept in itertools.product((False, True), repeat=len(blocks)):
            yield _with_blocks(whole, blocks, kept)

    def _draw(self, node: Node, chance: random.Random) -> bytes:
        whole, blocks = node.all, self._blocks(node)
        match chance.randrange(4):
            case 0:
                return node.durable
            case 1:
                return whole
            case 2:
                return whole[: chance.randint(len(node.durable), len(whole))]
            case _:
                torn = _with_blocks(whole, blocks, [chance.random() < 0.5 for _ in blocks])
                return torn[: chance.choice((len(whole), chance.randint(len(node.durable), len(whole))))]

    # --- calls --------------------------------------------------------------------------------------------

    def append_to(self, path: Path, *, new: bool) -> Appending:
        name = str(path)
        self._call("create" if new else "open", path)
        if new:
            if name in self._names:
                raise file_error(OSError(errno.EEXIST, "File exists"), path, "be made")
            node = Node()
            self._change(Change(str(path.parent), None, name, node))
        else:
            node = self._node(path)
        return CrashAppending(self, path, node)

    def read_from(self, path: Path) -> Reading:
        self._call("read", path)
        return CrashReading(self, path, self._node(path))

    def map(self, path: Path) -> Mapped:
        self._call("map", path)
        return CrashMapped(self, path, self._node(path))

    def size(self, path: Path) -> int:
        return len(self._node(path).all)

    def real_path(self, path: Path) -> Path:
        return path  # No link leads anywhere else.

    def names(self, folder: Path) -> list[str]:
        return sorted(Path(path).name for path in self._names if Path(path).parent == folder)

    def rename(self, old: Path, new: Path) -> None:
        self._call("rename", old)
        self._change(Change(str(old.parent), str(old), str(new), self._node(old)))

    def remove(self, path: Path) -> None:
        self._call("remove", path)
        self._change(Change(str(path.parent), str(path), None, self._node(path)))

    def sync_all(self, files: Sequence[Appending], what: str) -> list[FileError | None]:
        failures: list[FileError | None] = []
        for file in files:  # One after another, so that a power cut may come between any two.
            try:
                file.sync(what)
                failures.append(None)
            except FileError as error:
                failures.append(error)
        return failures

    def sync_folder(self, folder: Path, what: str) -> None:
        self._call("sync", what, folder)
        mine = [change for change in self._changes if change.folder == str(folder)]
        if self._sync(what, needed=bool(mine)):
            for change in mine:
                change.apply(self._durable_names)
            self._changes = [change for change in self._changes if change not in mine]
        self.after()

    def lock(self, path: Path) -> Lock:
        name = str(path)
        self._call("lock", path)
        if name in self._locked:
            raise FileLockedError(name, "it is in use")
        if name not in self._names:
            self._change(Change(str(path.parent), None, name, Node()))
        self._locked.add(name)
        return CrashLock(self, path, self._node(path))

    def _call(self, verb: str, what: Path | str, path: Path | None = None) -> None:
        call = f"{verb} {what.name if isinstance(what, Path) else what}"
        self.calls.append(call)
        number = self.fail(call)
        if number is not None:
            where = path or (what if isinstance(what, Path) else Path("folder"))
            raise file_error(OSError(number, errno.errorcode[number]), where, verb)

    def _node(self, path: Path) -> Node:
        try:
            return self._names[str(path)]
        except KeyError:
            raise file_error(OSError(errno.ENOENT, "No such file"), path, "be found") from None

    def _change(self, change: Change) -> None:
        change.apply(self._names)
        self._changes.append(change)
        self.after()

    def _sync(self, what: str, *, needed: bool) -> bool:
        """Whether this sync takes effect."""
        self.syncs.append(Sync(what, needed))
        return len(self.syncs) - 1 != self.skip


def _with_blocks(whole: bytes, blocks: Sequence[tuple[int, int]], kept: Sequence[bool]) -> bytes:
    """Zeros where a block was not kept; the file ends with the last one that was."""
    data, end = bytearray(whole), blocks[0][0] if blocks else len(whole)
    for (start, stop), keep in zip(blocks, kept, strict=True):
        if keep:
            end = stop
        else:
            data[start:stop] = bytes(stop - start)
    return bytes(data[:end])


class _Open:
    """A file of :class:`CrashFiles` that somebody has open."""

    def __init__(self, files: CrashFiles, path: Path, node: Node) -> None:
        self._files = files
        self._path = path
        self._node = node
        self._closed = False
        files.open_files += 1

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._files.open_files -= 1

    def _check_open(self, doing: str) -> None:
        if self._closed:
            raise file_error(OSError(errno.EBADF, "Bad file descriptor"), self._path, doing)


class CrashAppending(_Open):
    """A file of :class:`CrashFiles` that grows."""

    @property
    def size(self) -> int:
        return len(self._node.all)

    def append(self, data: bytes | memoryview) -> None:
        self._check_open("be written to")
        try:
            self._files._call("append", self._path)
        except BaseException:
            self._node.unsynced += data[: len(data) // 2]
            raise
        self._node.unsynced += data
        self._files.after()

    def sync(self, what: str) -> None:
        self._check_open(f"make the {what} durable")
        node = self._node
        try:
            self._files._call("sync", what, self._path)
        except BaseException:
            node.is_broken = True
            raise
        if self._files._sync(what, needed=bool(node.unsynced)) and not node.is_broken:
            node.durable, node.unsynced = node.all, b""
        self._files.after()


class CrashReading(_Open):
    """A file of :class:`CrashFiles` that is read."""

    def read(self, offset: int, length: int) -> bytes:
        self._check_open(f"be read at byte {offset}")
        self._files._call(f"pread {offset} {offset + length}", self._path)
        return self._node.all[offset : offset + length]


class CrashMapped(_Open):
    """A file of :class:`CrashFiles` that stands in memory."""

    def __init__(self, files: CrashFiles, path: Path, node: Node) -> None:
        super().__init__(files, path, node)
        self._data = bytearray(node.all)
        self._view = memoryview(self._data).toreadonly()

    @property
    def view(self) -> memoryview:
        return self._view

    def close(self) -> None:
        if self._closed:
            return
        try:
            self._view.release()
            self._data.clear()  # As the real one, it notices whether somebody still looks.
        except BufferError:
            self._view = memoryview(self._data).toreadonly()
            raise still_borrowed(self._path) from None
        super().close()


class CrashLock(CrashAppending):
    """The lock of a folder or file of :class:`CrashFiles`."""

    def check(self) -> None:
        if self._files._names.get(str(self._path)) is not self._node:
            raise FileError(str(self._path), "it was removed or replaced")

    def close(self) -> None:
        if not self._closed:
            self._files._locked.discard(str(self._path))
        super().close()
