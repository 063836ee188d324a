"""Do unposed photographs come out? Runs the documented command on sets of them, makes the table.

    python -m benchmarks.photographs FOLDER             every set in it, seeds 0 and 1, λ = 0 and 1
    ... FOLDER --sets shoe --seeds 0 --lambdas 1        some of them
    ... FOLDER --every 2                                every second photograph
    ... FOLDER --ordered prior.order=turntable          copies with names in order
    ... --coil FOLDER --objects 14 48                   objects of COIL-100, from its one folder
    ... --zoo corgi fox                                 zoo animals: one elevation, noise, long lens
    ... --zoo fox --taken by_hand                       at many elevations, distances, not evenly

A set is a folder with NAME.json beside it: azimuths in degrees by file name, up to one rotation and
sign, which the program does not see; see sets.py and zoo_sets.py. A run is

    python train.py prompt=NAME prior=images prior.path=FOLDER seed=0 lambda_esd=1

on one thread, judged by gs_esd/evaluation/photographs.py; its time is that of all processors, as
others may be busy. Run directories stay in --work-dir. Finished runs are kept in
results/photographs.jsonl and not made again; --name NAME keeps those with other options apart.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.kept import complete
from benchmarks.photographs.outcomes import Outcome, to_table
from benchmarks.photographs.sets import LabelledSet, coil_sets, find_sets, subset
from benchmarks.photographs.zoo_sets import Taken, zoo_set
from benchmarks.quality.evaluated_run import RESULTS, ROOT, add_study_options, parse_study
from gs_esd.evaluation.photographs import PhotographMeasures, measure_photographs
from gs_esd.export.camera_files import CAMERAS

REPORTED = ("held_out_psnr_db", "chi", "elevation_deg", "fov_deg")
"""Numbers that the program gives, in "photos" of metrics.json."""


def main() -> None:
    """Run what is not yet there and print the table."""
    options = parse_options(sys.argv[1:])
    sets = {photos.name: photos for photos in gather(options)}
    jobs = list(product(sets, options.seeds, options.lambdas))
    kept = RESULTS / f"{options.name}.jsonl"
    make = partial(run, sets=sets, work_dir=options.work_dir / "runs", overrides=options.overrides)
    table = to_table(complete(kept, Outcome, jobs, make, _job_of, options.processes))
    kept.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def parse_options(words: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; options of train.py become `overrides`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="with sets in it")
    parser.add_argument("--sets", nargs="+", help="names of those to run; all by default")
    parser.add_argument("--coil", type=Path, metavar="FOLDER", help="with COIL-100's files")
    parser.add_argument("--objects", nargs="+", type=int, default=[], help="of COIL-100; all")
    parser.add_argument("--zoo", nargs="+", metavar="ANIMAL", default=[], help="zoo animals")
    parser.add_argument(
        "--taken", choices=[each.value for each in Taken], default="turntable", help="of the zoo"
    )
    parser.add_argument("--every", type=int, default=1, help="take every so many photographs")
    parser.add_argument("--ordered", action="store_true", help="names in order of azimuth")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--lambdas", nargs="+", type=float, default=[0.0, 1.0])
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--work-dir", type=Path, default=ROOT / "outputs" / "photographs")
    add_study_options(parser, "photographs")
    options = parse_study(parser, words)
    if not (options.folder or options.coil or options.zoo):
        parser.error("name a folder of sets, --coil FOLDER, or --zoo ANIMAL ...")
    return options


def gather(options: argparse.Namespace) -> list[LabelledSet]:
    """The sets that the command line names, as the runs get them."""
    work_dir = options.work_dir / "sets"
    sets = [] if options.folder is None else find_sets(options.folder)
    if options.coil is not None:
        sets += coil_sets(options.coil, options.objects, work_dir)
    sets += [zoo_set(animal, work_dir, Taken(options.taken)) for animal in options.zoo]
    chosen = [photos for photos in sets if not options.sets or photos.name in options.sets]
    if not chosen:
        sys.exit("there is no such set: a set is a folder with NAME.json beside it")
    return [subset(each, work_dir, every=options.every, ordered=options.ordered) for each in chosen]


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


def _job_of(outcome: Outcome) -> tuple[str, int, float]:
    return outcome.set, outcome.seed, outcome.lambda_esd


if __name__ == "__main__":
    main()
