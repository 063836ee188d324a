"""The splats of a sweep in 3D: report_viewer.html beside the report, which links to it.

One page holds all splats, rather than one for each run: its program takes 3.2 MB, a splat of 2,400
Gaussians 0.2 MB. Splats are the runs' own .ply files in base64: the smaller formats round colours
or drop what depends on the view, and a page opened from a disk cannot fetch other files. Where one
page would be too large there are several, with the runs of a prompt on one if they fit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, groupby
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.run.particle_dirs import particle_dirs
from gs_esd.run.records import FINISHED, Run
from viewer.page import page_files
from viewer.scene.watch import MAX_CELLS, Watch
from viewer.shot import write_shot
from viewer.single_file import write_single_file

NAME = "report_viewer"
SPLATS = "splats.ply"
MAX_PAGE_BYTES = 100_000_000
"""Bytes of splats in one page: what a browser opens in seconds."""
CELL_PIXELS = 240
MIN_IMAGE_PIXELS, MAX_IMAGE_PIXELS = 480, 4096
"""Limits of either side of a page's image."""


@dataclass
class ViewerPages:
    """The viewer's pages beside the report.

    Attributes:
        pages: Names of the pages' files.
        images: Names of the files with an image of each page.
        links: By a run's key, the URL that shows its splats alone.
        why_not: Why some splats are not shown; empty if all are.
    """

    pages: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    why_not: str = ""


def write_viewer_pages(folder: Path, runs: Sequence[Run], with_images: bool) -> ViewerPages:
    """Write pages with all finished splats, replacing those of an earlier report.

    Args:
        folder: Where to write.
        runs: All runs of the report.
        with_images: Whether to take an image of each page as well.

    Raises:
        UserError: the folder cannot be written, or `with_images` and an image cannot be taken.
    """
    written = ViewerPages()
    for batch in batches([run for run in runs if _splats_of(run)]):
        stem = NAME if not written.pages else f"{NAME}_{len(written.pages) + 1}"
        try:
            _write(folder, stem, batch, with_images, written)
        except UserError as error:
            if with_images:
                raise
            written.why_not = str(error)
    for old in folder.glob(f"{NAME}*.html"):
        if old.name not in written.pages:
            old.unlink()
    return written


def batches(runs: Sequence[Run]) -> Iterator[list[Run]]:
    """Divide runs into pages, in order, with the runs of a prompt on one page if they fit."""
    batch: list[Run] = []
    for _, group in groupby(runs, lambda run: run.prompt):
        together = list(group)
        parts = [together] if _fits(together) else [[run] for run in together]
        for part in parts:
            if batch and not _fits(batch + part):
                yield batch
                batch = []
            batch = batch + part
    if batch:
        yield batch


def _write(
    folder: Path, stem: str, runs: Sequence[Run], with_images: bool, written: ViewerPages
) -> None:
    watch, files = Watch([run.path for run in runs]), page_files()
    shown = [cell for cell in watch.scene.cells if cell.problem is None]
    if not shown:
        return
    page = f"{stem}.html"
    write_single_file(watch, files, folder / page)
    written.pages.append(page)
    # A cell's id is the index of its splats among those of the runs given to the watch.
    ids = accumulate((len(particle_dirs(run.path)) for run in runs[:-1]), initial=0)
    can_be_shown = {cell.id for cell in shown}
    for run, id in zip(runs, ids, strict=True):
        if id in can_be_shown:
            written.links[run.key] = f"{page}#cell={id}"
    if with_images:
        write_shot(watch, files, folder / f"{stem}.png", _size(watch))
        written.images.append(f"{stem}.png")


def _size(watch: Watch) -> tuple[int, int]:
    sides = (CELL_PIXELS * len(watch.scene.columns), CELL_PIXELS * len(watch.scene.rows))
    width, height = (min(max(side, MIN_IMAGE_PIXELS), MAX_IMAGE_PIXELS) for side in sides)
    return width, height


def _splats_of(run: Run) -> bool:
    return run.status == FINISHED and (run.path / SPLATS).exists()


def _fits(runs: Sequence[Run]) -> bool:
    files = [folder / SPLATS for run in runs for folder in particle_dirs(run.path)]
    total = sum(file.stat().st_size for file in files if file.exists())
    return len(files) <= MAX_CELLS and total <= MAX_PAGE_BYTES
