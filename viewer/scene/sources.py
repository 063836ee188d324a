"""Find the splats to show: files, run directories, and folders with either below them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.run.particle_dirs import particle_dirs
from gs_esd.run.records import is_run

FINISHED_FILE, LIVE_FILE = "splats.ply", "live.ply"
SUFFIXES = (".ply", ".splat")


@dataclass(frozen=True)
class SplatSource:
    """A file or a run directory whose splats fill one cell of the page, whatever is there now.

    Args:
        path: The file's, or the run directory's.
        name: Shown on the page.
    """

    path: Path
    name: str
    is_run: bool

    def file(self) -> Path:
        """The file to show now; the latest snapshot of a run that is not finished."""
        if not self.is_run:
            return self.path
        finished = self.path / FINISHED_FILE
        return finished if os.path.exists(finished) else self.path / LIVE_FILE

    def file_name(self) -> str:
        """That file's name, as shown on the page."""
        return f"{self.name}/{self.file().name}" if self.is_run else self.name


class Sources:
    """The sources that the paths of a command line stand for."""

    def __init__(self, paths: Sequence[Path], expected: bool = False) -> None:
        """Check the paths; names will be relative to the folder that all of them share.

        Args:
            expected: Allow paths that do not exist yet.

        Raises:
            UserError: A path does not exist.
        """
        self._expected = expected
        for path in paths:
            if not (expected or os.path.exists(path)):
                raise UserError(f"there is no {path}: give splat files, or run directories")
        self._paths = paths
        places = [path if _is_collection(path) else path.parent for path in map(_absolute, paths)]
        self._base = os.path.commonpath(places)

    def find(self) -> list[SplatSource]:
        """Each source once, in the order of the paths, and of the names inside a folder.

        A folder stands for the run in it, else all runs below it, else the splat files in it.
        """
        found: dict[str, SplatSource] = {}
        for path in (path for given in self._paths for path in _in_path(_absolute(given))):
            name = path.relative_to(self._base).as_posix()
            source = SplatSource(path, name, is_run=os.path.isdir(path))
            found.setdefault(os.path.realpath(path), source)
        return list(found.values())

    def check(self) -> None:
        """Raise UserError for a folder with nothing to show, unless that is expected later."""
        for path in self._paths:
            if not self._expected and not list(_in_path(path)):
                raise UserError(
                    f"there is nothing to show in {path}: a run directory holds "
                    f"{FINISHED_FILE}; other folders may hold runs, or files named *"
                    f"{' or *'.join(SUFFIXES)}"
                )


def _in_path(path: Path) -> Iterable[Path]:
    if not os.path.isdir(path):
        return [path] if os.path.exists(path) else []
    return sorted(_runs(path)) or sorted(_splats(path))


def _is_collection(path: Path) -> bool:
    return os.path.isdir(path) and not _holds_run(path)


def _runs(folder: Path) -> Iterator[Path]:
    """The folder itself if it is a run directory, else those below it, each with its particles."""
    for place, subfolders, _ in os.walk(folder):
        if _holds_run(Path(place)):
            subfolders.clear()
            yield from particle_dirs(Path(place))
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]


def _holds_run(folder: Path) -> bool:
    return is_run(folder) or any(
        os.path.exists(folder / name) for name in (FINISHED_FILE, LIVE_FILE)
    )


def _splats(folder: Path) -> Iterator[Path]:
    for name in next(os.walk(folder), ("", [], []))[2]:
        if name.endswith(SUFFIXES) and not name.startswith("."):
            yield folder / name


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
