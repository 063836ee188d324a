"""Show a sweep on one page.

Writes report.html, report.csv and report.json into the folder, and report_viewer.html with all
splats in 3D. Runs of toy-zoo animals are measured first, unless their measures.json is up to date;
--no-measure leaves that out.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gs_esd.config.commands import program
from gs_esd.errors import UserError
from gs_esd.report.measuring import Measure, Measured, measure_zoo_run, measured
from gs_esd.report.page import page
from gs_esd.report.table import as_csv, as_json, rows
from gs_esd.report.viewer_page import write_viewer_pages
from gs_esd.run.records import Run, find_runs
from gs_esd.system.atomic import atomic_write


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Write the report that the command line asks for.

    Args:
        arguments: The words after the command; None for those of this process.
        prog: The command as the user typed it, for its help; None for how it was started.
    """
    options = _parse(arguments, prog or program("gs_esd.report"))
    try:
        measure = None if options.no_measure else measure_zoo_run
        written = write_report(options.folder, measure, options.shot)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(written)


def write_report(folder: Path, measure: Measure | None, shot: bool = False) -> Path:
    """Write report.html, its tables and the viewer's pages.

    Args:
        folder: Where to write, and below which the runs are.
        measure: How a finished run is measured; None shows no measures.
        shot: Whether to take an image of the viewer's page as well.

    Returns:
        The path of report.html.

    Raises:
        UserError: there are no runs, or the folder cannot be written.
    """
    runs = find_runs(folder)
    if not os.access(folder, os.W_OK):
        raise UserError(f"cannot write into {folder}: allow it, or copy the runs elsewhere")
    measures = _measures(runs, measure)
    table = rows(runs, measures)
    _write(folder / "report.csv", as_csv(table))
    _write(folder / "report.json", as_json(table))
    title = f"Sweep: {folder.resolve().name}"
    viewer = write_viewer_pages(folder, runs, shot)
    _write(folder / "report.html", page(title, runs, measures, viewer))
    return folder / "report.html"


def _measures(runs: Sequence[Run], measure: Measure | None) -> dict[str, Measured]:
    if measure is None:
        return {run.key: Measured() for run in runs}
    return {run.key: measured(run, measure) for run in runs}


def _write(file: Path, text: str) -> None:
    with atomic_write(file) as partial:
        partial.write_text(text, encoding="utf-8", errors="replace", newline="")


def _parse(arguments: Sequence[str] | None, prog: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder with runs below it, such as outputs")
    parser.add_argument("--no-measure", action="store_true", help="compute and show no measures")
    parser.add_argument(
        "--shot",
        action="store_true",
        help="also write report_viewer.png, all splats in one image, by Chromium",
    )
    return parser.parse_args(arguments)
