"""The paper's view collapse on the toy zoo: λ × animals × seeds, with exact scores.

    python -m examples.view_collapse                            4 animals, 3 seeds, five λ
    python -m examples.view_collapse --schedules constant noise_consistent
    python -m examples.view_collapse --animals corgi --seeds 0 --lambdas 1 --name try steps=100
    python -m examples.view_collapse --only-kept                makes nothing, tables what is there

A run is what `python train.py prompt="a corgi" lambda_esd=0.5 ...` does, with the overrides given
and less the exported files; benchmarks/quality/view_evaluation.py evaluates it. Finished runs are
kept in a file of JSON lines under benchmarks/results/, one a name, and not made again; the table is
beside it, and the image is docs/images/NAME.png.
"""

import argparse
import sys
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from statistics import median

from benchmarks.kept import complete, load
from benchmarks.quality.evaluated_run import (
    RESULTS,
    add_study_options,
    configured,
    job_options,
    parse_study,
    train_and_evaluate,
)
from benchmarks.quality.view_evaluation import NUM_RENDERINGS
from gs_esd.config.options import LambdaSchedule
from gs_esd.errors import UserError

WHOLE = 0.95
"""The coherence from which on every side counts as being in its place."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    schedule: str
    lambda_esd: float
    animal: str
    seed: int
    coherence: float
    in_place: int
    psnr_db: float
    gaussians: int
    seconds: float


def main() -> None:
    """Run what is not yet there, print the tables and draw the figure."""
    options = _options()
    kept = RESULTS / f"{options.name}.jsonl"
    outcomes = load(kept, Outcome) if options.only_kept else _complete(kept, options)
    if not outcomes:
        sys.exit(f"no run is kept in {kept}")
    table = to_tables(outcomes)
    kept.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)
    try:
        from examples.view_collapse_figure import draw  # here, as it needs matplotlib

        draw(outcomes, options.name)
    except UserError as error:
        sys.exit(str(error))


def run(
    schedule: str, lambda_esd: float, animal: str, seed: int, *, overrides: list[str], name: str
) -> Outcome:
    """Train splats on one thread and evaluate them."""
    chosen = [f"guidance.schedule={schedule}", f"lambda_esd={lambda_esd}", f"seed={seed}"]
    config = configured([f"prompt=a {animal}", "hardware.threads=1", *chosen, *overrides])
    evaluated = train_and_evaluate(
        config, animal, image_of(name, schedule, lambda_esd, animal, seed)
    )
    return Outcome(
        schedule,
        lambda_esd,
        animal,
        seed,
        round(evaluated.views.coherence, 3),
        evaluated.views.in_place,
        round(evaluated.views.psnr_db, 2),
        evaluated.gaussians,
        evaluated.seconds,
    )


def image_of(name: str, schedule: str, lambda_esd: float, animal: str, seed: int) -> Path:
    """Where a run's renderings are, eight in a row; not in the repository."""
    return RESULTS / name / f"{animal}-{schedule}-lam{lambda_esd:g}-seed{seed}.png"


def to_tables(outcomes: list[Outcome]) -> str:
    """Markdown: a table for each schedule, with a row a λ and a column an animal."""
    schedules = dict.fromkeys(outcome.schedule for outcome in outcomes)
    return "\n".join(
        _table(schedule, [outcome for outcome in outcomes if outcome.schedule == schedule])
        for schedule in schedules
    )


def _table(schedule: str, outcomes: list[Outcome]) -> str:
    animals = sorted({outcome.animal for outcome in outcomes})
    lambdas = sorted({outcome.lambda_esd for outcome in outcomes})
    seconds = median(outcome.seconds for outcome in outcomes)
    head = " | ".join(f"{animal}, sides" for animal in animals)
    return "\n".join(
        [
            f"λ {schedule.replace('_', '-')}: sides in place of {NUM_RENDERINGS} for each seed, "
            f"medians of all runs; {seconds:.0f} s a run on one thread",
            "",
            f"| λ | {head} | coherence | coherence ≥ {WHOLE} | PSNR dB |",
            "|---" * (4 + len(animals)) + "|",
            *(_row(lam, animals, [o for o in outcomes if o.lambda_esd == lam]) for lam in lambdas),
            "",
        ]
    )


def _row(lam: float, animals: list[str], outcomes: list[Outcome]) -> str:
    ordered = sorted(outcomes, key=lambda outcome: outcome.seed)
    sides = [" / ".join(f"{o.in_place}" for o in ordered if o.animal == each) for each in animals]
    coherence = median(outcome.coherence for outcome in outcomes)
    whole = sum(outcome.coherence >= WHOLE for outcome in outcomes)
    psnr = median(outcome.psnr_db for outcome in outcomes)
    cells = [*sides, f"{coherence:.2f}", f"{whole} of {len(outcomes)}", f"{psnr:.1f}"]
    return f"| {lam:g} | {' | '.join(cells)} |"


def _complete(kept: Path, options: argparse.Namespace) -> list[Outcome]:
    jobs = list(product(options.schedules, options.lambdas, options.animals, options.seeds))
    make = partial(run, overrides=options.overrides, name=options.name)
    return complete(kept, Outcome, jobs, make, _job_of, options.processes)


def _job_of(outcome: Outcome) -> tuple[str, float, str, int]:
    return outcome.schedule, outcome.lambda_esd, outcome.animal, outcome.seed


def _options() -> argparse.Namespace:
    parser = job_options(__doc__, ["corgi", "panda", "penguin", "pig"], [0, 0.25, 0.5, 0.75, 1])
    add_study_options(parser, "view_collapse")
    schedules = [schedule.value for schedule in LambdaSchedule]
    parser.add_argument("--schedules", nargs="+", choices=schedules, default=["constant"])
    parser.add_argument("--only-kept", action="store_true", help="make no runs")
    return parse_study(parser, sys.argv[1:])


if __name__ == "__main__":
    main()
