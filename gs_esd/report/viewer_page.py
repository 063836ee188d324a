"""The splats of a sweep to turn about: report_viewer.html beside the report, which links to it.

One page for all splats, rather than one a run: the program within has 3.2 MB, a splat of 2,400
Gaussians 0.2 MB. It holds the runs' own .ply files, in base64: the smaller formats would round
colours, or lose what depends on the view, and opened from a disk a page can fetch no other file.
Where one page would be too large there are several, prompts kept together.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.run.records import FINISHED, Run
from viewer.page import page_files
from viewer.scene.watch import MAX_CELLS, Watch
from viewer.shot import write_shot
from viewer.single_file import write_single_file

NAME = "report_viewer"
SPLATS = "splats.ply"
MOST_BYTES = 100_000_000
"""Of the splats in one page: what a browser opens in seconds."""
CELL_PIXELS = 240
SMALLEST, LARGEST = 480, 4096
"""Pixels of an image's sides."""


@dataclass
class ViewerPages:
    """What was written beside the report.

    pages, images: names of files.
    links: where a run's splat is shown alone, by the run's key.
    why_not: what kept some splat from being shown; empty if nothing did.
    """

    pages: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    why_not: str = ""


def write_viewer_pages(folder: Path, runs: Sequence[Run], with_images: bool) -> ViewerPages:
    """Write pages of all finished splats, and images of these pages if asked for.

    What an earlier report left is replaced, or removed. Raises UserError where the folder cannot
    be written, and where images are asked for and cannot be taken.
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
    """The runs in their order, as many together as a page holds, a prompt's on one if they fit."""
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
    watch, files = Watch([run.folder for run in runs]), page_files()
    shown = [cell for cell in watch.scene.cells if cell.problem is None]
    if not shown:
        return
    page = f"{stem}.html"
    write_single_file(watch, files, folder / page)
    written.pages.append(page)
    # A cell's number is its folder's place in what the watch was given.
    written.links |= {runs[cell.id].key: f"{page}#cell={cell.id}" for cell in shown}
    if with_images:
        write_shot(watch, files, folder / f"{stem}.png", _size(watch))
        written.images.append(f"{stem}.png")


def _size(watch: Watch) -> tuple[int, int]:
    sides = (CELL_PIXELS * len(watch.scene.columns), CELL_PIXELS * len(watch.scene.rows))
    width, height = (min(max(side, SMALLEST), LARGEST) for side in sides)
    return width, height


def _splats_of(run: Run) -> bool:
    return run.status == FINISHED and (run.folder / SPLATS).exists()


def _fits(runs: Sequence[Run]) -> bool:
    total = math.fsum((run.folder / SPLATS).stat().st_size for run in runs)
    return len(runs) <= MAX_CELLS and total <= MOST_BYTES
