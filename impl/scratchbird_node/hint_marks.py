"""Makes durable which hints of a segment are paid, in files beside it, and finds out again.

A process appends to a file of marks that it has made itself. One that another process left, one that grew too
long and one that could not be synced are each replaced by a file with all marks, of the next generation;
those before go when it is durable. Where a crash leaves several, a hint is paid that is marked in any of
them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from scratchbird_node.errors import FileMissingError
from scratchbird_node.files import Files
from scratchbird_node.hint_aside import Aside
from scratchbird_node.hint_format import (
    CHUNK,
    HEADER,
    MARK,
    MARKS_MAGIC,
    MAX_HEADER,
    Foreign,
    Name,
    check_header,
    checksum,
    encode_header,
    encode_mark,
    read_what_can_be_read,
)
from scratchbird_node.hint_segment import Segment
from scratchbird_node.hint_words import Damage

MARKS = "paid marks"
MARKS_NAME = "name of paid marks"

_BAD = "some marks are torn or damaged: the hints they name are delivered once more, which does no harm"


class Marks:
    """The files of marks of a target.

    :param guard: protects the segments' counters; it is not held while the disk is waited for.
    """

    def __init__(self, files: Files, folder: Path, aside: Aside, guard: threading.Lock) -> None:
        self._files = files
        self._folder = folder
        self._aside = aside
        self._guard = guard

    def load(self, segment: Segment, generations: list[int]) -> None:
        """Note in a segment what its marks say, when it is opened."""
        segment.generation = max(generations)
        for generation in generations:
            path = self._path(segment.name, generation)
            size = self._files.size(path)
            bad = False
            try:
                for run in read_marks(self._files, path, segment.name):
                    if run is None:
                        bad = True
                    else:
                        segment.pay_run(run[0], min(run[1], segment.count - 1))
            except Foreign as error:
                self._aside.put(path, str(error))
                continue
            segment.generations.append(generation)
            segment.marks_bytes += size
            if bad and size:  # A crash may leave an empty file, in which nothing is bad.
                self._aside.report(Damage(str(path), 0, size, _BAD))

    def write(self, segment: Segment) -> None:
        """Make all payments of a segment durable.

        :raises FileError: if the disk refuses; the next call writes all of them into a new file.
        """
        with self._guard:
            fresh = segment.needs_new_marks
            runs = segment.take_runs()
            if fresh:
                segment.needs_new_marks = False  # From here on payments are remembered as runs.
                segment.generation += 1
                segment.generations.append(segment.generation)
        data = b"".join(encode_mark(segment.name, first, last) for first, last in runs)
        if fresh:
            data = encode_header(segment.name, MARKS_MAGIC) + data
        try:
            file = self._files.append_to(self._path(segment.name, segment.generation), new=fresh)
            try:
                file.append(data)
                file.sync(MARKS)
            finally:
                file.close()
            if fresh:
                self._files.sync_folder(self._folder, MARKS_NAME)
        except BaseException:
            with self._guard:
                segment.marks_failed()
            raise
        with self._guard:
            segment.marks_written(len(data), fresh=fresh)
        if fresh:
            self.remove(segment, keep=segment.generation)

    def remove(self, segment: Segment, keep: int = 0) -> None:
        """Remove the files of a segment, but for the generation ``keep``."""
        for generation in [each for each in segment.generations if each != keep]:
            with contextlib.suppress(FileMissingError):
                self._files.remove(self._path(segment.name, generation))
            segment.generations.remove(generation)

    def remove_orphans(self, name: Name, generations: list[int]) -> None:
        """Remove the files of a segment that is gone."""
        for generation in generations:
            self._files.remove(self._path(name, generation))

    def _path(self, name: Name, generation: int) -> Path:
        return self._folder / name.marks(generation)


def read_marks(files: Files, path: Path, name: Name) -> Iterator[tuple[int, int] | None]:
    """The runs of paid indexes in a file of marks, both ends included, and ``None`` for each bad place.

    A mark that is bad is passed over: its hints are delivered once more, which does no harm.

    :raises FormatError: if the file is of a newer version.
    :raises Foreign: if it holds the marks of another segment.
    """
    file = files.read_from(path)
    try:
        header = read_what_can_be_read(file, 0, MAX_HEADER)
        if not check_header(header, name, MARKS_MAGIC, path):
            yield None
        marker, seed, at = name.marker, name.seed, HEADER.size
        while data := read_what_can_be_read(file, at, CHUNK // MARK.size * MARK.size):
            good = True
            for offset in range(0, len(data) - MARK.size + 1, MARK.size):
                found, crc, first, last = MARK.unpack_from(data, offset)
                tail = data[offset + 8 : offset + MARK.size]
                # Marks have one size and are never torn off but at the end, so that each has a fixed place.
                if found == marker and first <= last and checksum(tail, seed) == crc:
                    yield first, last
                else:
                    good = False
            if not good or len(data) % MARK.size:
                yield None
            at += len(data)
    finally:
        file.close()
