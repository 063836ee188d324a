"""Looks again and again whether what is shown has changed, and keeps what is known of it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gs_esd.errors import UserError
from viewer.cells import Cell, missing, problem_cell, splat_cell
from viewer.files import Signature, Splat, inspect, open_file, signature
from viewer.scene import Scene, arrange
from viewer.sources import Source, Sources

MOST_CELLS = 64
"""More would be too small to see, and too much for most graphics cards."""

NO_FILE: Signature = (0, 0, 0, 0)


@dataclass(frozen=True)
class Found:
    """What was there at one time: a file's version and what it holds, None if not a splat."""

    signature: Signature
    splat: Splat | None
    cell: Cell


@dataclass
class Shown:
    """A source, and what was found there when it was last looked at.

    unsettled: of a version with a problem that was seen only once; it may be half written.
    """

    source: Source
    found: Found
    unsettled: Signature | None = None


class Watch:
    """All that is shown. One thread at a time may look; any may open.

    scene: what was found by the last look.
    left_out: how many splats that appeared since the beginning find no place.
    """

    def __init__(self, paths: Sequence[Path], expected: bool = False) -> None:
        """Look at what the paths mean for the first time.

        expected: what is not there yet is no mistake; something must be.
        Raises UserError for paths where nothing is, for too many splats, and where none can be
        shown nor is yet to come.
        """
        self._sources = Sources(paths, expected)
        self._sources.check()
        sources = self._sources.find()
        if len(sources) > MOST_CELLS:
            raise UserError(
                f"these are {len(sources)} splats, and a page shows {MOST_CELLS} at most: give "
                f"fewer paths. The first without a place is {sources[MOST_CELLS].path}"
            )
        self._shown = [Shown(each, _look_at(each, id, 1)) for id, each in enumerate(sources)]
        self.left_out = 0
        self.scene = self._arranged()
        _check_any(self._shown)

    def look(self, thorough: bool) -> None:
        """Look again.

        thorough: also for new runs in folders, and why splats are missing, which takes longer.
        """
        for shown in self._shown:
            _look_again(shown, thorough)
        if thorough:
            self._look_for_more()
        self.scene = self._arranged()

    def open(self, id: int) -> tuple[BinaryIO, Splat]:
        """Open the file of a cell, as it is now, and say what it holds; who calls closes it.

        Raises KeyError for ids that are none, UserError where there is no file to show.
        """
        shown = dict(enumerate(self._shown))[id]
        found, name = shown.found, shown.source.file_name()
        file = open_file(shown.source.file(), name)
        try:
            if found.splat and signature(os.fstat(file.fileno())) == found.signature:
                return file, found.splat
            return file, inspect(file, name)
        except UserError:
            file.close()
            raise

    def _look_for_more(self) -> None:
        known = {shown.source.path for shown in self._shown}
        more = [source for source in self._sources.find() if source.path not in known]
        for source in more[: MOST_CELLS - len(known)]:
            self._shown.append(Shown(source, _look_at(source, len(self._shown), 1)))
        self.left_out = max(len(known) + len(more) - MOST_CELLS, 0)

    def _arranged(self) -> Scene:
        return arrange([shown.found.cell for shown in self._shown])


def _look_again(shown: Shown, thorough: bool) -> None:
    version = _signature(shown.source)
    cell = shown.found.cell
    if version == shown.found.signature:
        if version == NO_FILE and thorough:
            shown.found = _look_at(shown.source, cell.id, cell.version)
        return
    found = _look_at(shown.source, cell.id, cell.version + 1)
    if found.cell.problem and shown.unsettled != version:
        shown.unsettled = version
    else:
        shown.found = found


def _look_at(source: Source, id: int, version: int) -> Found:
    before, name = _signature(source), source.file_name()
    if before == NO_FILE:
        return Found(NO_FILE, None, problem_cell(id, version, source, missing(source)))
    try:
        with open_file(source.file(), name) as file:
            before = signature(os.fstat(file.fileno()))
            splat = inspect(file, name)
        return Found(before, splat, splat_cell(id, version, source, splat))
    except UserError as error:
        return Found(before, None, problem_cell(id, version, source, str(error)))


def _signature(source: Source) -> Signature:
    try:
        return signature(os.stat(source.file()))
    except OSError:
        return NO_FILE


def _check_any(all_shown: Sequence[Shown]) -> None:
    """Raise UserError unless there is something to see, or a run that may still bring it."""
    problems = [shown.found.cell.problem for shown in all_shown if not shown.source.is_run]
    if len(problems) == len(all_shown) and all(problems):
        raise UserError("\n".join(filter(None, problems)))
