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
import sys
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

from benchmarks.kept import complete
from benchmarks.photographs.judged_run import run
from benchmarks.photographs.outcomes import Outcome, to_table
from benchmarks.photographs.sets import LabelledSet, coil_sets, find_sets, subset
from benchmarks.photographs.zoo_sets import Taken, zoo_set
from benchmarks.quality.evaluated_run import RESULTS, ROOT, add_study_options, parse_study


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


def _job_of(outcome: Outcome) -> tuple[str, int, float]:
    return outcome.set, outcome.seed, outcome.lambda_esd


if __name__ == "__main__":
    main()
