"""A cell of the page: one splat with what is known about it, or words about why there is none."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gs_esd.export.axes import FileAxes
from gs_esd.run.records import FAILED, FINISHED, Run, read_run
from viewer.files import Format, Splat, named_format
from viewer.sources import Source

LARGEST_WHOLE = 1 << 53
"""Beyond it JavaScript rounds whole numbers."""


@dataclass(frozen=True)
class Cell:
    """What the page is told of a splat.

    label: what tells it from the others.
    version: grows with each change of the file.
    up: the file's frame.
    step, steps: of a run that is under way, the step of the snapshot and how many are to be made.
    row, column: its place in the grid.
    problem: why there is no splat; the counts are 0 then.
    """

    id: int
    name: str
    version: int
    format: Format = "ply"
    bytes: int = 0
    gaussians: int = 0
    sh_degree: int = 0
    up: str = FileAxes.y_down.value
    prompt: str | None = None
    lambda_esd: float | None = None
    seed: int | None = None
    guidance: str | None = None
    step: int | None = None
    steps: int | None = None
    problem: str | None = None
    label: str = ""
    row: int = 0
    column: int = 0


def splat_cell(id: int, version: int, source: Source, splat: Splat) -> Cell:
    """The cell of a file that can be shown; a run's folder tells what the file does not."""
    told = _told(splat.metadata)
    if "prompt" not in told:
        told = _run_metadata(source) | told
    return Cell(
        id=id,
        name=source.file_name(),
        version=version,
        format=splat.format,
        bytes=splat.bytes,
        gaussians=splat.gaussians,
        sh_degree=splat.sh_degree,
        **told,
    )


def problem_cell(id: int, version: int, source: Source, problem: str) -> Cell:
    """The cell of a file that cannot be shown, or of a run that has none yet."""
    name = source.file_name()
    told = _run_metadata(source)
    return Cell(id, name, version, format=named_format(name), problem=problem, **told)


def missing(source: Source) -> str:
    """Why there is no file to show, in words."""
    if not source.is_run:
        return f"{source.name} is not there any more"
    run = _read(source)
    if run is None:
        return "the run's folder is not there any more"
    if run.status == FINISHED:
        return "no image: the run is finished, but its splats.ply is gone"
    if run.status == FAILED:
        return f"no image: the run failed: {run.error}"
    return f"no image yet, step {run.progress}" if run.progress else "no image yet"


def _run_metadata(source: Source) -> dict[str, Any]:
    run = _read(source)
    if run is None:
        return {}
    return _told(
        {name: getattr(run, name) for name in ("prompt", "lambda_esd", "seed", "guidance")}
    )


def _read(source: Source) -> Run | None:
    """What a run's folder tells; None of other files, and of folders that are gone."""
    if not source.is_run or not os.path.isdir(source.path):
        return None
    try:
        return read_run(source.path, source.path.parent)
    except OSError:  # it is being removed
        return None


def _told(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What metadata says that a cell knows of; values that make no sense are left out."""
    found = {
        "prompt": _text(metadata.get("prompt")),
        "guidance": _text(metadata.get("guidance")),
        "lambda_esd": _number(metadata.get("lambda_esd")),
        **{name: _whole(metadata.get(name)) for name in ("seed", "step", "steps")},
        "up": next((up.value for up in FileAxes if up.value == metadata.get("up")), None),
    }
    if found["guidance"] not in (None, "esd"):
        found["lambda_esd"] = None  # of the others it changes nothing
    return {name: value for name, value in found.items() if value is not None}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if type(value) is int and abs(value) <= LARGEST_WHOLE else None


def _number(value: Any) -> float | None:
    if type(value) not in (int, float) or not math.isfinite(value):
        return None
    return float(value)
