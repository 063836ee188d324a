"""Where the splats to show are: files, run folders, and folders with either below them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.run.records import is_run

FINISHED_SPLAT, LIVE_SPLAT = "splats.ply", "live.ply"
ENDINGS = (".ply", ".splat")


@dataclass(frozen=True)
class Source:
    """A place that one splat is shown from, whatever is there at the moment.

    path: a file's or a run folder's.
    name: how the page calls it.
    """

    path: Path
    name: str
    is_run: bool

    def file(self) -> Path:
        """The file to show now; of a run that is not finished the latest snapshot."""
        if not self.is_run:
            return self.path
        finished = self.path / FINISHED_SPLAT
        return finished if os.path.exists(finished) else self.path / LIVE_SPLAT

    def file_name(self) -> str:
        """How the page calls that file."""
        return f"{self.name}/{self.file().name}" if self.is_run else self.name


class Sources:
    """What the paths of a command line mean."""

    def __init__(self, paths: Sequence[Path], expected: bool = False) -> None:
        """Names will be those below the folder that all paths have in common.

        expected: what is not there yet is no mistake.
        Raises UserError for a path where nothing is.
        """
        self._expected = expected
        for path in paths:
            if not (expected or os.path.exists(path)):
                raise UserError(f"there is no {path}: give splat files, or folders of runs")
        self._paths = paths
        places = [path if _is_collection(path) else path.parent for path in map(_absolute, paths)]
        self._base = os.path.commonpath(places)

    def find(self) -> list[Source]:
        """Each place once, in the order of the paths and of names in folders.

        A folder means the run in it, else all runs below it, else the splat files in it.
        """
        found: dict[str, Source] = {}
        for path in (each for given in self._paths for each in _in_path(_absolute(given))):
            name = path.relative_to(self._base).as_posix()
            found.setdefault(os.path.realpath(path), Source(path, name, os.path.isdir(path)))
        return list(found.values())

    def check(self) -> None:
        """Raise UserError for a folder where nothing can be shown, unless it is still to come."""
        for path in self._paths:
            if not self._expected and not list(_in_path(path)):
                raise UserError(
                    f"there is nothing to show in {path}: the folder of a run holds "
                    f"{FINISHED_SPLAT}; others may hold runs, or files named *"
                    f"{' or *'.join(ENDINGS)}"
                )


def _in_path(path: Path) -> Iterable[Path]:
    if not os.path.isdir(path):
        return [path] if os.path.exists(path) else []
    return sorted(_runs(path)) or sorted(_splats(path))


def _is_collection(path: Path) -> bool:
    return os.path.isdir(path) and not _holds_run(path)


def _runs(folder: Path) -> Iterator[Path]:
    """A folder itself if a run is in it, else the run folders below it."""
    for place, subfolders, _ in os.walk(folder):
        if _holds_run(Path(place)):
            subfolders.clear()
            yield Path(place)
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]


def _holds_run(folder: Path) -> bool:
    return is_run(folder) or any(
        os.path.exists(folder / name) for name in (FINISHED_SPLAT, LIVE_SPLAT)
    )


def _splats(folder: Path) -> Iterator[Path]:
    for name in next(os.walk(folder), ("", [], []))[2]:
        if name.endswith(ENDINGS) and not name.startswith("."):
            yield folder / name


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))
