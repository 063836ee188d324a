"""Do particles part? Several sets of splats, and images of several individuals of a kind.

    python -m benchmarks.quality.particles         2 animals, 2 seeds, three λ, 4 particles
    python -m benchmarks.quality.particles --animals corgi --seeds 0 --lambdas 1

The zoo's images show INDIVIDUALS animals of a kind in turn, of other proportions and colours, and q
is the closed form over particles and cameras. A run is what

    python train.py prompt="a corgi" particles=4 prior.individuals=4 lambda_esd=1

does, less the exported files. Each particle is taken for the individual whose true views its
renderings match best. For comparison, `together=False` is as many runs of one particle each, of
other seeds. Finished runs are kept in results/particles.jsonl and not made again.
"""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import torch
from torch.nn import ParameterDict

from benchmarks.kept import complete
from benchmarks.quality.evaluated_run import (
    RESULTS,
    configured,
    job_options,
    median,
    train_and_evaluate,
)
from benchmarks.quality.view_evaluation import ViewEvaluation, evaluate_views
from gs_esd.cameras.orbit import Orbit, make_orbit
from gs_esd.export.images import contact_sheet, save_png

PARTICLES = INDIVIDUALS = 4
COLUMNS = (
    *("particles", "λ", "runs", "individuals in each run", "on average"),
    *("particles with every side", "coherence", "PSNR dB", "s a run"),
)
"""Of the table."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run of PARTICLES particles, or of as many runs of one."""

    animal: str
    seed: int
    lambda_esd: float
    together: bool
    individuals: list[int]
    coherences: list[float]
    psnrs_db: list[float]
    seconds: float


def main() -> None:
    """Run what is not yet there and print the table."""
    options = job_options(__doc__, ["corgi", "pig"], [0.0, 0.5, 1.0]).parse_args()
    jobs = list(product(options.animals, options.seeds, options.lambdas, (True, False)))
    kept = RESULTS / "particles.jsonl"
    outcomes = complete(kept, Outcome, jobs, run, _job_of, options.processes)
    table = to_table(outcomes)
    kept.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def run(animal: str, seed: int, lambda_esd: float, together: bool) -> Outcome:
    """Train particles on one thread and find the individual that each shows."""
    name = f"{animal}-lam{lambda_esd:g}-seed{seed}-{'together' if together else 'alone'}"
    shared = [f"prompt=a {animal}", f"lambda_esd={lambda_esd}", "hardware.threads=1"]
    shared += [f"prior.individuals={INDIVIDUALS}"]
    runs = [[f"seed={seed}", f"particles={PARTICLES}"]]
    if not together:
        runs = [[f"seed={1000 * seed + 100 + i}"] for i in range(PARTICLES)]
    configs = [configured([*shared, *overrides]) for overrides in runs]
    image = RESULTS / "particles" / f"{name}.png"
    trained = [train_and_evaluate(config, animal, image) for config in configs]
    particles = [splats for each in trained for splats in each.particles]
    orbit = make_orbit(configs[0].cameras)
    individuals, views = zip(*(nearest(splats, orbit, animal) for splats in particles), strict=True)
    _save_image(image, list(views))
    return Outcome(
        animal,
        seed,
        lambda_esd,
        together,
        list(individuals),
        [round(each.coherence, 3) for each in views],
        [round(each.psnr_db, 2) for each in views],
        round(sum(each.seconds for each in trained), 1),
    )


def nearest(splats: ParameterDict, orbit: Orbit, animal: str) -> tuple[int, ViewEvaluation]:
    """The individual whose views splats match best, and how well."""
    of_each = [evaluate_views(splats, orbit, animal, i) for i in range(INDIVIDUALS)]
    best = max(range(INDIVIDUALS), key=lambda i: of_each[i].psnr_db)
    return best, of_each[best]


def _save_image(path: Path, views: list[ViewEvaluation]) -> None:
    """A row of eight renderings for each particle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_png(path, contact_sheet(torch.cat([each.renderings[::2] for each in views]), columns=8))


def to_table(outcomes: list[Outcome]) -> str:
    """A Markdown table with a row for each λ, together and alone."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for together, lam in sorted({(o.together, o.lambda_esd) for o in outcomes}, reverse=True):
        these = [o for o in outcomes if (o.together, o.lambda_esd) == (together, lam)]
        distinct = sorted(len(set(o.individuals)) for o in these)
        coherences = [c for o in these for c in o.coherences]
        cells = [
            "together" if together else "alone",
            f"{lam:g}",
            str(len(these)),
            ", ".join(map(str, distinct)),
            f"{sum(distinct) / len(distinct):.2f}",
            f"{sum(c >= 0.9 for c in coherences)} of {len(coherences)}",
            f"{median(coherences):.2f}",
            f"{median([p for o in these for p in o.psnrs_db]):.1f}",
            f"{median([o.seconds for o in these]):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _job_of(outcome: Outcome) -> tuple[str, int, float, bool]:
    return outcome.animal, outcome.seed, outcome.lambda_esd, outcome.together


if __name__ == "__main__":
    main()
