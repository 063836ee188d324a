"""A cell of the page: one set of splats with its metadata, or the reason why there is none."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gs_esd.config.kinds import uses_lambda
from gs_esd.export.axes import FileAxes
from gs_esd.run.records import FAILED, FINISHED, Run, read_run
from viewer.scene.files import Format, Splat, named_format
from viewer.scene.sources import SplatSource

MAX_SAFE_INTEGER = 1 << 53
"""Beyond it JavaScript rounds whole numbers."""


@dataclass(frozen=True)
class Cell:
    """What the page gets of one source; its fields are those of the JSON.

    Args:
        label: Distinguishes it from the other cells.
        version: Grows with each change of the file.
        up: The file's axes.
        particle: Its number, from 1, where a run has several sets of splats.
        step: Of a run that is under way, the step of the snapshot.
        steps: How many there will be.
        row: Its place in the grid.
        column: Its place in the grid.
        problem: Why there are no splats; the counts are 0 then.
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
    particle: int | None = None
    guidance: str | None = None
    step: int | None = None
    steps: int | None = None
    problem: str | None = None
    label: str = ""
    row: int = 0
    column: int = 0


def splat_cell(id: int, version: int, source: SplatSource, splat: Splat) -> Cell:
    """The cell of a file that can be shown; what its metadata lacks is read from its run."""
    metadata = _cell_fields(splat.metadata)
    if "prompt" not in metadata:
        metadata = _run_metadata(source) | metadata
    return Cell(
        id=id,
        name=source.file_name(),
        version=version,
        format=splat.format,
        bytes=splat.bytes,
        gaussians=splat.gaussians,
        sh_degree=splat.sh_degree,
        **metadata,
    )


def problem_cell(id: int, version: int, source: SplatSource, problem: str) -> Cell:
    """The cell of a file that cannot be shown, or of a run that has none yet."""
    name = source.file_name()
    metadata = _run_metadata(source)
    return Cell(id, name, version, format=named_format(name), problem=problem, **metadata)


def why_missing(source: SplatSource) -> str:
    """Why there is no file to show, in words."""
    if not source.is_run:
        return f"{source.name} is not there any more"
    run = _read(source)
    if run is None:
        return "the run directory is not there any more"
    if run.status == FINISHED:
        return "no image: the run is finished, but its splats.ply is gone"
    if run.status == FAILED:
        return f"no image: the run failed: {run.error}"
    return f"no image yet, step {run.progress}" if run.progress else "no image yet"


def _run_metadata(source: SplatSource) -> dict[str, Any]:
    run = _read(source)
    if run is None:
        return {}
    names = ("prompt", "lambda_esd", "seed", "guidance")
    return _cell_fields({name: getattr(run, name) for name in names})


def _read(source: SplatSource) -> Run | None:
    """The record of a run directory; None for other files, and for one that is gone."""
    if not source.is_run or not os.path.isdir(source.path):
        return None
    try:
        return read_run(source.path, source.path.parent)
    except OSError:  # it is being removed
        return None


def _cell_fields(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a cell that metadata has; values of a wrong type are left out."""
    found = {
        "prompt": _text(metadata.get("prompt")),
        "guidance": _text(metadata.get("guidance")),
        "lambda_esd": _number(metadata.get("lambda_esd")),
        **{name: _integer(metadata.get(name)) for name in ("seed", "particle", "step", "steps")},
        "up": next((up.value for up in FileAxes if up.value == metadata.get("up")), None),
    }
    guidance = found["guidance"]
    if isinstance(guidance, str) and not uses_lambda(guidance):
        found["lambda_esd"] = None  # the other objectives do not use it
    return {name: value for name, value in found.items() if value is not None}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: Any) -> int | None:
    return value if type(value) is int and abs(value) <= MAX_SAFE_INTEGER else None


def _number(value: Any) -> float | None:
    if type(value) not in (int, float) or not math.isfinite(value):
        return None
    return float(value)
