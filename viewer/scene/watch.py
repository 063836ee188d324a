"""Check again and again whether the files on show have changed, and keep what was read of them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gs_esd.errors import UserError
from viewer.scene.cells import Cell, problem_cell, splat_cell, why_missing
from viewer.scene.files import Signature, Splat, inspect, open_file, signature
from viewer.scene.layout import Scene, arrange
from viewer.scene.sources import Sources, SplatSource

MAX_CELLS = 64
"""More would be too small to see, and too much for most graphics cards."""

NO_FILE: Signature = (0, 0, 0, 0)


@dataclass(frozen=True)
class FileState:
    """What was found at one time: a version of the file and its content, None if unusable."""

    signature: Signature
    splat: Splat | None
    cell: Cell


@dataclass
class WatchedSource:
    """A source, and the state of its file at the last check.

    Args:
        unsettled: A version with a problem that was seen only once; it may be half written.
    """

    source: SplatSource
    state: FileState
    unsettled: Signature | None = None


class Watch:
    """All that is shown. One thread at a time may refresh; any may open files.

    Attributes:
        scene: The result of the last check.
        left_out: How many splats that appeared since the beginning find no place.
    """

    def __init__(self, paths: Sequence[Path], expected: bool = False) -> None:
        """Read what the paths stand for.

        Args:
            expected: Allow paths that do not exist yet; one must.

        Raises:
            UserError: A path does not exist, there are too many splats, or none of them can be
                shown and no run is under way that could bring some.
        """
        self._sources = Sources(paths, expected)
        self._sources.check()
        sources = self._sources.find()
        if len(sources) > MAX_CELLS:
            raise UserError(
                f"these are {len(sources)} splats, and a page shows {MAX_CELLS} at most: give "
                f"fewer paths. The first without a place is {sources[MAX_CELLS].path}"
            )
        self._watched = [
            WatchedSource(source, _read_state(source, id, version=1))
            for id, source in enumerate(sources)
        ]
        self.left_out = 0
        self.scene = self._arranged()
        _check_any_shown(self._watched)

    def refresh(self, thorough: bool) -> None:
        """Check the files, and arrange the scene anew.

        Args:
            thorough: Also search folders for new runs, and read why splats are missing, which takes
                longer.
        """
        for watched in self._watched:
            _refresh(watched, thorough)
        if thorough:
            self._find_new()
        self.scene = self._arranged()

    def open(self, id: int) -> tuple[BinaryIO, Splat]:
        """Open the file of a cell, as it is now, and inspect it; the caller closes it.

        Raises:
            KeyError: There is no such cell.
            UserError: There is no file to show.
        """
        watched = dict(enumerate(self._watched))[id]
        state, name = watched.state, watched.source.file_name()
        file = open_file(watched.source.file(), name)
        try:
            if state.splat and signature(os.fstat(file.fileno())) == state.signature:
                return file, state.splat
            return file, inspect(file, name)
        except UserError:
            file.close()
            raise

    def _find_new(self) -> None:
        known = {watched.source.path for watched in self._watched}
        new = [source for source in self._sources.find() if source.path not in known]
        for source in new[: MAX_CELLS - len(known)]:
            state = _read_state(source, len(self._watched), version=1)
            self._watched.append(WatchedSource(source, state))
        self.left_out = max(len(known) + len(new) - MAX_CELLS, 0)

    def _arranged(self) -> Scene:
        return arrange([watched.state.cell for watched in self._watched])


def _refresh(watched: WatchedSource, thorough: bool) -> None:
    version = _signature(watched.source)
    cell = watched.state.cell
    if version == watched.state.signature:
        if version == NO_FILE and thorough:
            watched.state = _read_state(watched.source, cell.id, cell.version)
        return
    state = _read_state(watched.source, cell.id, cell.version + 1)
    if state.cell.problem and watched.unsettled != version:
        watched.unsettled = version
    else:
        watched.state = state


def _read_state(source: SplatSource, id: int, version: int) -> FileState:
    before, name = _signature(source), source.file_name()
    if before == NO_FILE:
        return FileState(NO_FILE, None, problem_cell(id, version, source, why_missing(source)))
    try:
        with open_file(source.file(), name) as file:
            before = signature(os.fstat(file.fileno()))
            splat = inspect(file, name)
        return FileState(before, splat, splat_cell(id, version, source, splat))
    except UserError as error:
        return FileState(before, None, problem_cell(id, version, source, str(error)))


def _signature(source: SplatSource) -> Signature:
    try:
        return signature(os.stat(source.file()))
    except OSError:
        return NO_FILE


def _check_any_shown(sources: Sequence[WatchedSource]) -> None:
    """Raise UserError unless there is something to show, or a run that may bring it."""
    problems = [each.state.cell.problem for each in sources if not each.source.is_run]
    if len(problems) == len(sources) and all(problems):
        raise UserError("\n".join(filter(None, problems)))
