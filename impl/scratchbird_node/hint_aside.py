"""What is bad or foreign is reported, and kept where no log looks: nobody but an operator removes it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from scratchbird_node.errors import DiskFaultError, FileMissingError
from scratchbird_node.files import Files
from scratchbird_node.hint_format import CHUNK
from scratchbird_node.hint_segment import Segment
from scratchbird_node.hint_words import Damage, Report

ASIDE = "bad bytes kept aside"
ASIDE_NAME = "name of bad bytes kept aside"
ENDINGS = (".bad", ".foreign")


class Aside:
    """Keeps what is bad.

    :param report: is told of damage.
    """

    def __init__(self, files: Files, folder: Path, report: Report) -> None:
        self.report = report
        self.size = 0
        """Bytes that are kept aside."""
        self._files = files
        self._folder = folder

    def found(self, name: str) -> None:
        """Count a file that is kept aside already."""
        self.size += self._files.size(self._folder / name)

    def put(self, path: Path, detail: str) -> None:
        """Put a file aside that does not belong here, and report it."""
        aside, size = self._rename(path, ".foreign")
        self.report(
            Damage(str(aside), 0, size, f"this file does not belong here and was put aside: {detail}")
        )

    def keep(self, segment: Segment, path: Path) -> None:
        """Copy what is bad in a segment that will go, or keep the whole of it where that can not be done.

        When this returns, the bytes survive a power cut.
        """
        try:
            for start, end in segment.bad:
                self._copy(path, start, end, path.with_name(f"{segment.name.stem}.{start}-{end}.bad"))
        except DiskFaultError:
            segment.whole_is_bad = True
        if segment.whole_is_bad:
            self._rename(path, ".bad")
        else:
            self._files.sync_folder(self._folder, ASIDE_NAME)
            self.size += sum(end - start for start, end in segment.bad)
        segment.bad.clear()
        segment.whole_is_bad = False

    def _rename(self, path: Path, ending: str) -> tuple[Path, int]:
        aside = path.with_name(f"{path.name}{ending}")
        size = self._files.size(path)
        self._files.rename(path, aside)
        self.size += size
        return aside, size

    def _copy(self, path: Path, start: int, end: int, to: Path) -> None:
        with contextlib.suppress(FileMissingError):
            self._files.remove(to)  # A crash cut an earlier copy off.
        source = self._files.read_from(path)
        try:
            file = self._files.append_to(to, new=True)
            try:
                for at in range(start, end, CHUNK):
                    file.append(source.read(at, min(CHUNK, end - at)))
                file.sync(ASIDE)
            finally:
                file.close()
        finally:
            source.close()
