"""One run of the documented command on a set of photographs, judged by the truth.

Not in __main__.py, which processes that are spawned cannot import.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.photographs.outcomes import Outcome
from benchmarks.photographs.sets import LabelledSet
from benchmarks.quality.evaluated_run import ROOT
from gs_esd.evaluation.photographs import PhotographMeasures, measure_photographs
from gs_esd.export.camera_files import CAMERAS

REPORTED = ("held_out_psnr_db", "chi", "elevation_deg", "fov_deg")
"""Numbers that the program gives, in "photos" of metrics.json."""


def run(
    name: str,
    seed: int,
    lambda_esd: float,
    *,
    sets: dict[str, LabelledSet],
    work_dir: Path,
    overrides: Sequence[str],
) -> Outcome:
    """Run the documented command on a set and judge what comes of it."""
    photos = sets[name]
    run_dir = work_dir / f"{name}-lam{lambda_esd:g}-seed{seed}"
    shutil.rmtree(run_dir, ignore_errors=True)
    command = [
        *(sys.executable, "train.py", f"prompt={name}", "prior=images"),
        *(f"prior.path='{photos.folder.resolve()}'", f"seed={seed}", f"lambda_esd={lambda_esd:g}"),
        *("hardware.threads=1", f"hydra.run.dir='{run_dir.resolve()}'", *overrides),
    ]
    before = os.times()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    after = os.times()
    used = after.children_user + after.children_system
    seconds = used - before.children_user - before.children_system
    printed = (done.stderr or done.stdout).strip().splitlines()
    return judge(
        photos,
        run_dir,
        seed=seed,
        lambda_esd=lambda_esd,
        exit_status=done.returncode,
        processor_s=round(seconds, 1),
        last_line=printed[-1] if printed else "",
    )


def judge(
    photos: LabelledSet,
    run_dir: Path,
    *,
    seed: int,
    lambda_esd: float,
    exit_status: int,
    processor_s: float,
    last_line: str,
) -> Outcome:
    """The outcome of a run directory; `last_line` is the reason where nothing was written."""
    metrics = run_dir / "metrics.json"
    reported: dict[str, Any] = {}
    measures: PhotographMeasures | None = None
    if metrics.exists():
        reported = json.loads(metrics.read_text("utf-8")).get("photos", {})
    if (run_dir / CAMERAS).exists():
        measures = measure_photographs(run_dir, photos.truth)
    return Outcome(
        photos.name,
        seed,
        lambda_esd,
        len(photos.truth),
        None if measures is None else measures.sides_in_place,
        None if measures is None else round(measures.azimuth_coherence, 4),
        None if measures is None else round(measures.azimuth_error_deg, 3),
        None if measures is None else round(measures.azimuth_within_10_deg, 3),
        **{key: reported.get(key) for key in REPORTED},
        last_snap_steps=next(iter(reported.get("moves", [])[-1:]), None),
        verdict=reported.get("verdict"),
        reason="; ".join(reported.get("reasons", [])) if metrics.exists() else last_line,
        exit_status=exit_status,
        processor_s=processor_s,
    )
