"""The hints for one target: what it has yet to be told, on disk, in order, until it is paid (QUORUM.R11).

A log is a row of segments (:mod:`scratchbird_node.hint_format`). Why no crash and no damage loses a hint that
was acknowledged:

- records are only ever appended, each group is synced before it is acknowledged, and a new segment's name is
  synced before its first group is;
- a segment that could not be written or synced is never appended to again, nor is one that an earlier process
  left;
- bad bytes cost the records they hit. Those around them are found by their marker and checksum, and the bytes
  are reported, and kept in a file of their own when the segment goes;
- a segment goes when everything in it is paid. Its marks go after its removal is durable: otherwise a power
  cut might bring back the segment and not the marks. The newest is never removed, so that numbers do not come
  again.

What is held in memory is a bit for each hint of the segments that are partly paid, and a few counters for
each segment; hints are read from the disk when they are asked for.

One thread at a time may write (:meth:`HintLog.begin` to :meth:`HintLog.acknowledge`, :meth:`HintLog.flush`,
:meth:`HintLog.close`); hints may be paid, counted and read in others meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scratchbird.errors import CallerError
from scratchbird_node import hint_format
from scratchbird_node.errors import DiskFaultError, FileError, FileMissingError
from scratchbird_node.files import Appending, Files
from scratchbird_node.hint_aside import ENDINGS, Aside
from scratchbird_node.hint_format import MAX_INDEX, MAX_NUMBER, RECORD, Foreign, Name, Scanner
from scratchbird_node.hint_marks import Marks
from scratchbird_node.hint_reader import HintReader
from scratchbird_node.hint_segment import Segment
from scratchbird_node.hint_words import Damage, Report, Settings

RECORDS = "hint records"
FOUND = "hint records found at the start"
SEGMENT_NAME = "name of a segment of hints"
REMOVAL = "removal of paid segments"

_BAD_BYTES = (
    "no hint can be read there: a crash cut it off, or the disk damaged it. The hints around it are "
    "delivered, and the bytes are kept; repair the ranges of this target if no crash explains it"
)


@dataclass(frozen=True, slots=True)
class Begun:
    """Hints that were appended and are not acknowledged yet."""

    segment: Segment
    file: Appending
    count: int


class HintLog:
    """The hints of one target.

    :param folder: where the files of all targets stand; the caller has locked it.
    :param names: the files of the target that are there, as :meth:`Files.names` lists them.
    :param report: is told of damage, once for each place and life of the log, in the thread that finds it.
    :param draw: makes random bytes, for the ids of segments.
    :raises FileError: if the disk refuses.
    :raises FormatError: if a file is of a newer version.
    """

    def __init__(
        self,
        files: Files,
        folder: Path,
        target: int,
        names: Sequence[str],
        settings: Settings,
        report: Report,
        draw: Callable[[int], bytes],
    ) -> None:
        self.target = target
        self._files = files
        self._folder = folder
        self._settings = settings
        self._report = report
        self._draw = draw
        self.guard = threading.Lock()  # For the segments' counters; never held while the disk is waited for.
        self._segments: dict[int, Segment] = {}  # In the order of their numbers.
        self._active: Appending | None = None
        self._active_segment: Segment | None = None
        self._last_number = 0
        self._aside = Aside(files, folder, report)
        self._marks = Marks(files, folder, self._aside, self.guard)
        self._load(names)

    # --- what is there ------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """How many hints are not paid. Hints that damage destroyed are not counted once they are missed."""
        with self.guard:
            return sum(segment.pending for segment in self._segments.values())

    @property
    def size(self) -> int:
        """What the target's files take on the disk, bad bytes kept aside included."""
        with self.guard:
            return self._aside.size + sum(
                segment.size + segment.marks_bytes for segment in self._segments.values()
            )

    @property
    def is_open(self) -> bool:
        """Whether a segment is held open to be appended to."""
        return self._active is not None

    @property
    def wants_flush(self) -> bool:
        """Whether enough was paid to make it durable, or a segment can go."""
        with self.guard:
            unsynced = sum(segment.unsynced for segment in self._segments.values())
            return unsynced >= self._settings.marks_every or any(
                segment.unsynced and not segment.pending and segment.closed
                for segment in self._segments.values()
            )

    # --- hints --------------------------------------------------------------------------------------------

    def begin(self, hints: Sequence[tuple[bytes, bytes]], place: int) -> Begun:
        """Append hints from ``place`` on, each a version of 16 bytes and a payload: as many as a segment
        takes, at least one.

        The caller syncs the file, and the folder if the segment's name is not durable, and then calls
        :meth:`acknowledge`, or :meth:`abandon` if that failed.

        :raises FileError: if the disk refuses. The hints may be found again at the next start all the same.
        """
        active, segment = self._open_active()
        try:
            count, data = self._encode(segment, hints, place, active.size)
            active.append(data)
        except BaseException:
            self.abandon()
            raise
        return Begun(segment, active, count)

    def acknowledge(self, begun: Begun) -> int:
        """Count hints that are durable now; the sequence number of the first. The others follow it."""
        segment, size = begun.segment, begun.file.size
        first = segment.name.number << 32 | segment.count
        with self.guard:
            segment.count += begun.count
            segment.end = segment.size = size
        if size >= self._settings.segment_bytes or segment.count > MAX_INDEX:
            self._seal()
        return first

    def abandon(self) -> None:
        """Append no more: after a failure nobody knows what the file holds behind the last sync."""
        segment, self._active_segment = self._active_segment, None
        if segment is not None:
            with self.guard:
                segment.closed = True
                if self._active is not None:
                    segment.size = self._active.size
        self.let_go_of_file()

    def pay(self, sequences: Iterable[int]) -> None:
        """Note that hints need not be delivered any more. What is paid or gone already is passed over.

        It becomes durable with the next :meth:`flush`. A hint whose payment a crash forgets is delivered
        again.

        :raises CallerError: if a number was never given to a hint.
        """
        with self.guard:
            for sequence in sequences:
                number, index = sequence >> 32, sequence & 0xFFFF_FFFF
                segment = self._segments.get(number)
                if segment is None:
                    if not 1 <= number <= self._last_number:
                        raise CallerError(
                            f"no hint of target {self.target} has the sequence number {sequence}"
                        )
                elif index >= segment.count:
                    raise CallerError(f"no hint of target {self.target} has the sequence number {sequence}")
                else:
                    segment.pay(index)

    def reader(self) -> HintReader:
        """Reads what is not paid, from the oldest hint on."""
        return HintReader(self)

    # --- making it smaller --------------------------------------------------------------------------------

    def flush(self) -> None:
        """Make all that was paid durable, and remove segments in which everything is.

        What can be done is done, even where something else fails: on a full disk, removals make room.

        :raises FileError: the first that occurred; what was paid stays paid in memory, and the next call
            tries again to make it durable.
        """
        failures: list[FileError] = []
        try:
            self._leave_if_paid()
        except FileError as error:
            failures.append(error)
        with self.guard:
            gone, unsynced = [], []
            for number, segment in self._segments.items():
                if segment.closed and not segment.pending and number != self._last_number:
                    gone.append(segment)
                elif segment.unsynced:
                    unsynced.append(segment)
        for segment in unsynced:
            try:
                self._marks.write(segment)
            except FileError as error:
                failures.append(error)
        try:
            self._remove(gone, failures)
        except FileError as error:
            failures.append(error)
        if failures:
            raise failures[0]

    def close(self) -> None:
        """Let go of all files, after a last flush. What is not paid is there when the log is opened again.

        :raises FileError: if the disk refuses; all files are let go of even so.
        """
        try:
            self.flush()
            self._seal()
        finally:
            self._let_go()

    def let_go_of_file(self) -> None:
        """Close the segment that is appended to, so that another log may have a file open."""
        if self._active is not None:
            self._active.close()
            self._active = None

    # --- opening ------------------------------------------------------------------------------------------

    def _load(self, names: Sequence[str]) -> None:
        marks: dict[Name, list[int]] = {}
        for text in names:
            parsed = hint_format.parse_name(text)
            if parsed is None:
                if text.endswith(ENDINGS):
                    self._aside.found(text)
            elif parsed[1] is not None:
                marks.setdefault(parsed[0], []).append(parsed[1])
                self._last_number = max(self._last_number, parsed[0].number)
            else:
                self._load_segment(parsed[0])
        self._segments = dict(sorted(self._segments.items()))
        for name, generations in marks.items():
            segment = self._segments.get(name.number)
            if segment is None or segment.name != name:
                self._marks.remove_orphans(name, generations)
            else:
                self._marks.load(segment, generations)

    def _load_segment(self, name: Name) -> None:
        path = self._folder / name.segment
        self._last_number = max(self._last_number, name.number)
        if name.number in self._segments:
            self._aside.put(path, f"segment {name.number} of target {name.target} is there twice")
            return
        size = self._files.size(path)
        segment = Segment(name, end=size, closed=True)
        try:
            segment.header_is_good, count = self._ends(path, name, size)
        except Foreign as error:
            self._aside.put(path, str(error))
            return
        self._segments[name.number] = segment
        if count is not None and segment.header_is_good:
            segment.count = count
        else:
            self._scan(segment)
            if size:
                self._sync_found(path)

    def _ends(self, path: Path, name: Name, size: int) -> tuple[bool, int | None]:
        """Whether a segment begins as it should, and how many records it has if it was closed in order."""
        file = self._files.read_from(path)
        try:
            header = file.read(0, hint_format.MAX_HEADER)
            good = hint_format.check_header(header, name, hint_format.SEGMENT_MAGIC, path)
            return good, hint_format.sealed_count(file, name, size)
        except DiskFaultError:
            return False, None
        finally:
            file.close()

    def _sync_found(self, path: Path) -> None:
        """An earlier process may have died before its sync: who finds a hint counts on it from now on."""
        file = self._files.append_to(path, new=False)
        try:
            file.sync(FOUND)
        finally:
            file.close()

    def _scan(self, segment: Segment) -> None:
        """Count the records of a segment that was not closed in order: a crash, or damage."""
        scanner = self.scanner(segment)
        try:
            while True:
                found = scanner.read(segment.end, 1 << 16, hint_format.CHUNK)
                segment.count = max(segment.count, scanner.next_index)
                self.note(segment, found)
                if not found.records:
                    return
        finally:
            scanner.close()

    # --- the segment that is appended to ------------------------------------------------------------------

    def _open_active(self) -> tuple[Appending, Segment]:
        if self._active_segment is None:
            self._begin_segment()
        segment = self._active_segment
        assert segment is not None
        if self._active is None:
            try:
                self._active = self._files.append_to(self._folder / segment.name.segment, new=False)
            except BaseException:
                self.abandon()
                raise
        return self._active, segment

    def _begin_segment(self) -> None:
        """Make the next segment; its name is not durable yet."""
        name = Name(self.target, self._last_number + 1, self._draw(hint_format.ID_BYTES))
        if name.number > MAX_NUMBER:
            raise CallerError(f"target {self.target} has used up its segment numbers: give it a new id")
        active = self._files.append_to(self._folder / name.segment, new=True)
        self._last_number = name.number
        segment = Segment(name, end=0, closed=False)
        segment.name_is_unsynced = True
        with self.guard:
            self._segments[name.number] = segment
        self._active, self._active_segment = active, segment
        try:
            active.append(hint_format.encode_header(name, hint_format.SEGMENT_MAGIC))
        except BaseException:
            self.abandon()
            raise
        segment.end = segment.size = active.size

    def _encode(
        self, segment: Segment, hints: Sequence[tuple[bytes, bytes]], begun: int, size: int
    ) -> tuple[int, bytes]:
        """The bytes of as many hints as the segment takes, at least one."""
        marker, seed, room = segment.name.marker, segment.name.seed, self._settings.segment_bytes - size
        encode, index = hint_format.encode_record, segment.count
        pieces: list[bytes] = []
        for place in range(begun, len(hints)):
            version, payload = hints[place]
            room -= RECORD.size + len(payload)
            if (room < 0 and pieces) or index > MAX_INDEX:
                break
            pieces.append(encode(marker, seed, index, version, payload))
            index += 1
        return len(pieces), b"".join(pieces)

    def _seal(self) -> None:
        """Close the active segment in order, so that the next start need not read it."""
        segment = self._active_segment
        if segment is None:
            return
        with contextlib.suppress(FileError):  # It only saves time; the records are durable already.
            active, _ = self._open_active()
            active.append(hint_format.encode_seal(segment.name, segment.count))
        self.abandon()

    def _leave_if_paid(self) -> None:
        """Begin another segment where all of the newest is paid, so that it can go."""
        with self.guard:
            newest = self._segments.get(self._last_number)
            useless = newest is None or newest.pending > 0 or newest.end < self._settings.keep_bytes
        if newest is None or useless or newest.count == 0:
            return
        self._seal()
        self._begin_segment()
        segment = self._active_segment
        assert segment is not None
        try:
            self._files.sync_folder(self._folder, SEGMENT_NAME)
        except BaseException:
            self.abandon()
            raise
        segment.name_is_unsynced = False

    def _let_go(self) -> None:
        self.let_go_of_file()
        self._active_segment = None

    # --- what goes, and what is kept ----------------------------------------------------------------------

    def _remove(self, gone: Sequence[Segment], failures: list[FileError]) -> None:
        removed = []
        for segment in gone:
            path = self._folder / segment.name.segment
            try:
                if segment.bad or segment.whole_is_bad:
                    self._aside.keep(segment, path)
                segment.removed = True
                with contextlib.suppress(FileMissingError):
                    self._files.remove(path)
                removed.append(segment)
            except FileError as error:
                failures.append(error)
        if not removed:
            return
        self._files.sync_folder(self._folder, REMOVAL)
        with self.guard:
            for segment in removed:
                del self._segments[segment.name.number]
        for segment in removed:
            self._marks.remove(segment)

    # --- what readers need --------------------------------------------------------------------------------

    def scanner(self, segment: Segment) -> Scanner:
        """Open a segment to read it from its beginning."""
        file = self._files.read_from(self._folder / segment.name.segment)
        return Scanner(file, segment.name, header_is_good=segment.header_is_good)

    def note(self, segment: Segment, found: hint_format.Found) -> None:
        """Remember what is bad or lost in a segment, and report what is new."""
        path = str(self._folder / segment.name.segment)
        with self.guard:
            bad = [place for place in found.bad if segment.note_bad(*place)]
            for first, last in found.lost:
                segment.lose_run(first, last)
        for start, end in bad:
            self._report(Damage(path, start, end, _BAD_BYTES))

    def next_segment(self, number: int) -> Segment | None:
        """The oldest segment with at least this number that has, or may get, hints that are not paid."""
        with self.guard:
            for at, segment in self._segments.items():
                if at >= number and (segment.pending or not segment.closed):
                    return segment
        return None

    def finish(self, segment: Segment, next_index: int) -> None:
        """A closed segment was read to its end: what it should hold beyond what it does is lost."""
        with self.guard:
            if next_index < segment.count:
                segment.lose_run(next_index, segment.count - 1)
