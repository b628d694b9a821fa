"""The file of one sealed window: how it is read when the store opens, and how it stands in memory.

When a store opens it reads the heads alone. A window is verified as a whole, each block against its checksum,
when it is opened to be used, and not block by block as it is looked at: who looks is compiled code with plain
pointers, which asks nobody. It is read for that, and not looked at in memory, because a page that the medium
does not give back is an error of a read, and the end of the process that looks. The reading also brings it
into the cache of the system; a window of 1,389 rows is 2 blocks, and one of a million 50 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scratchbird_node import forest_format
from scratchbird_node.errors import DamagedWindowError, DiskFaultError
from scratchbird_node.files import Files, Mapped, Reading, still_borrowed
from scratchbird_node.forest_format import BLOCK, Bad, Head
from scratchbird_node.forest_words import ENTRY_BYTES
from scratchbird_node.hint_format import checksum

FIRST_READ = 4096
"""Bytes: the head of any window up to 60 MB."""


@dataclass(eq=False)
class OpenWindow:
    """A sealed window in memory: what was saved, and the amendments since then, which go on top of it.

    Close it when nobody uses the arrays any more; a ``with`` block does.
    """

    head: Head
    records: memoryview
    """The entries that were saved, 48 bytes each, sorted by place; read-only."""
    levels: memoryview
    """The node digests of the levels 0 to ``head.depth``, 32 bytes each; empty if there are no entries."""
    amendments: Mapping[bytes, bytes | None]
    """By place: the entry that takes its place, or ``None`` where there is none any more."""
    _path: Path = field(repr=False)
    _mapped: Mapped = field(repr=False)
    _closed: Callable[[], None] = field(repr=False)

    @property
    def digest(self) -> bytes | None:
        """The digest of the window, 32 bytes, or none if it has no entries. ``None`` if there are amendments:
        it is dirty then, and hashed anew before its digest is told (rule MERKLE_FOREST.R10).
        """
        return None if self.amendments else self.head.digest

    def close(self) -> None:
        """Let go of the memory. Closing twice is no error.

        :raises CallerError: if somebody still has a part of the arrays; close it again then.
        """
        try:
            self.records.release()
            self.levels.release()
        except BufferError:
            raise still_borrowed(self._path) from None
        self._mapped.close()
        closed, self._closed = self._closed, _nothing
        closed()

    def __enter__(self) -> OpenWindow:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _nothing() -> None:
    pass


def load_head(files: Files, path: Path, window: int) -> Head:
    """What a window's file says of itself.

    :raises DamagedWindowError: if it can not be believed, or the file is not as long as it says.
    :raises FormatError: if the file is of a newer version.
    :raises FileError: if the disk refuses.
    """
    file = files.read_from(path)
    try:
        return _read_head(file, path, window, files.size(path))[0]
    finally:
        file.close()


def open_window(
    files: Files,
    path: Path,
    window: int,
    amendments: Callable[[Head], Mapping[bytes, bytes | None]],
    closed: Callable[[], None],
) -> OpenWindow:
    """Verify a window and map it. The file must not be replaced meanwhile.

    :param amendments: gives those that are not in the entries of this head.
    :param closed: is called when it is closed.
    :raises DamagedWindowError: if any block is not what was written.
    :raises FileError: if the disk refuses.
    """
    file = files.read_from(path)
    try:
        head, crcs = _read_head(file, path, window, files.size(path))
        _verify(file, path, head, crcs)
    finally:
        file.close()
    mapped = files.map(path)
    start = head.size
    return OpenWindow(
        head,
        mapped.view[start : start + head.entries * ENTRY_BYTES],
        mapped.view[start + head.levels_at : start + head.body_bytes],
        amendments(head),
        path,
        mapped,
        closed,
    )


def _read_head(file: Reading, path: Path, window: int, size: int) -> tuple[Head, tuple[int, ...]]:
    try:
        data = file.read(0, FIRST_READ)
        wanted = forest_format.head_size(data)
        if len(data) < wanted <= size:
            data += file.read(len(data), wanted - len(data))
        head, crcs = forest_format.decode_head(data, path)
    except (Bad, DiskFaultError) as error:
        raise DamagedWindowError(str(path), window, None, 0, min(size, FIRST_READ), str(error)) from error
    if head.window != window:
        raise DamagedWindowError(str(path), window, None, 0, size, f"it is the file of window {head.window}")
    if head.file_bytes != size:
        raise DamagedWindowError(
            str(path), window, None, 0, size, f"it has {size} bytes, and should have {head.file_bytes}"
        )
    return head, crcs


def _verify(file: Reading, path: Path, head: Head, crcs: tuple[int, ...]) -> None:
    for number, crc in enumerate(crcs):
        start = head.size + number * BLOCK
        end = min(start + BLOCK, head.file_bytes)
        try:
            fits = checksum(file.read(start, end - start)) == crc
        except DiskFaultError as error:
            raise DamagedWindowError(
                str(path), head.window, number, start, end, f"the disk does not give it back ({error.detail})"
            ) from error
        if not fits:
            raise DamagedWindowError(str(path), head.window, number, start, end, "its checksum does not fit")
