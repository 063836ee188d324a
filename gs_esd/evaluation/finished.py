"""Finished runs and bare splats, as metrics are taken of them."""

import json
from dataclasses import dataclass
from pathlib import Path

from gs_esd.cameras.orbit import Orbit, make_orbit
from gs_esd.config.options import CamerasConfig
from gs_esd.errors import UserError
from gs_esd.export.ply import load_metadata


@dataclass(frozen=True)
class Finished:
    """A splat's file, what it is to show, and from where it was meant to be seen."""

    path: Path
    prompt: str
    orbit: Orbit


def find_finished(path: Path, prompt: str | None) -> list[Finished]:
    """A .ply, a run's folder, or every finished run below a folder, in the order of their names.

    prompt: of a .ply, needed where it does not say itself; runs know theirs.
    Raises UserError where there is nothing, or nobody says what a .ply shows.
    """
    if path.is_file():
        shown = prompt or load_metadata(path).get("prompt")
        if not isinstance(shown, str):
            raise UserError(f"{path} does not say what it shows: give --prompt, or a run's folder")
        return [Finished(path, shown, make_orbit(CamerasConfig()))]
    runs = [_of_run(file.parent) for file in sorted(path.rglob("metrics.json"))]
    if not runs:
        raise UserError(f"no finished run in {path}: a run's folder holds metrics.json at its end")
    return runs


def _of_run(folder: Path) -> Finished:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    cameras = {k: v for k, v in metrics["config"]["cameras"].items() if k != "kind"}
    return Finished(folder / "splats.ply", metrics["prompt"], make_orbit(CamerasConfig(**cameras)))
