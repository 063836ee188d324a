"""What does λ do where both scores are networks? Runs `prior=tiny` and makes the table.

    python -m benchmarks.quality.tiny_prior    4 animals, 3 seeds, five λ, LoRA and closed form
    ... --variational lora_short --lambdas 0 1 --seeds 0 --animals corgi
    ... --name tiny_unguided prior.guidance_scale=1
    ... --name tiny_exact --exact              with an exact score as the prior

A run is what `python train.py prompt="a corgi" ...` does with STUDY and the overrides given, less
the exported files. Views are not named in prompts, so that λ alone is to tell them apart. Their
evaluation is that of view_evaluation.py. `view_kl` is the geometric mean over the first fifth of
the run (see gs_esd/guidance/view_kl.py). Finished runs are kept in a file of JSON lines under
results/, one a name, and not made again.
"""

import argparse
import math
import sys
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import torch

from benchmarks.kept import complete
from benchmarks.quality.evaluated_run import (
    RESULTS,
    add_study_options,
    configured,
    job_options,
    median,
    parse_study,
    train_and_evaluate,
)
from benchmarks.quality.exact_prior import ExactPrior
from benchmarks.quality.view_evaluation import NUM_RENDERINGS
from gs_esd.build.components import Components, build_components
from gs_esd.config.options import Config
from gs_esd.evaluation.statistics import wilson_interval
from gs_esd.priors.diffusion_model import DiffusionModelPrior

STUDY = [
    *("prior=tiny", "prior.view_prompts=off", "timesteps=dreamtime_tiny", "hardware.threads=1"),
    *(f"stages.{stage}.views=16" for stage in ("coarse", "middle", "fine")),
]
"""Given to every run. With 8 views a step an exact prior placed 9 sides of a panda, with 16 all."""
EARLY = 0.2
"""The part of a run over which view KL is averaged."""
COLUMNS = (
    *("q", "λ", "runs", "every side", "95 % interval", "coherence ≥ 0.9", "coherence"),
    *("sides in place", "PSNR dB", "view KL", "s a run"),
)
"""Of the table."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    animal: str
    seed: int
    variational: str
    lambda_esd: float
    coherence: float
    in_place: int
    psnr_db: float
    view_kl: float
    seconds: float


def main() -> None:
    """Run what is not yet there and print the table."""
    options = _options()
    kept = RESULTS / f"{options.name}.jsonl"
    jobs = list(product(options.seeds, options.animals, options.variational, options.lambdas))
    make = partial(run, overrides=options.overrides, name=options.name, exact=options.exact)
    table = to_table(complete(kept, Outcome, jobs, make, _job_of, options.processes))
    kept.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def run(
    seed: int,
    animal: str,
    variational: str,
    lambda_esd: float,
    *,
    overrides: list[str],
    name: str,
    exact: bool,
) -> Outcome:
    """Train splats on one thread and evaluate them."""
    chosen = [f"seed={seed}", f"variational={variational}", f"lambda_esd={lambda_esd}"]
    config = configured([f"prompt=a {animal}", *STUDY, *chosen, *overrides])
    image = RESULTS / name / f"{animal}-{variational}-lam{lambda_esd:g}-seed{seed}.png"
    log_view_kls = []

    def watch(step: int, scalars: dict[str, float]) -> None:
        if step <= EARLY * config.steps:
            log_view_kls.append(math.log(scalars["view_kl"]))

    make = partial(_exact_parts, animal=animal) if exact else build_components
    evaluated = train_and_evaluate(config, animal, image, make=make, watch=watch)
    return Outcome(
        animal,
        seed,
        variational,
        lambda_esd,
        round(evaluated.views.coherence, 3),
        evaluated.views.in_place,
        round(evaluated.views.psnr_db, 2),
        round(math.exp(torch.tensor(log_view_kls).mean()), 2),
        evaluated.seconds,
    )


def _exact_parts(config: Config, animal: str) -> Components:
    components = build_components(config)
    assert isinstance(components.prior, DiffusionModelPrior)
    return replace(components, prior=ExactPrior(components.prior, animal, components.orbit))


def to_table(outcomes: list[Outcome]) -> str:
    """A Markdown table with a row for each q and λ: medians over animals and seeds."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for variational, lam in sorted({(o.variational, o.lambda_esd) for o in outcomes}):
        these = [o for o in outcomes if (o.variational, o.lambda_esd) == (variational, lam)]
        counts = [f"{len(these)}", *_count_whole(these)]
        counts.append(f"{sum(o.coherence >= 0.9 for o in these)}")
        cells = [
            f"{median([getattr(o, key) for o in these]):.{digits}f}"
            for key, digits in (
                ("coherence", 2),
                ("in_place", 1),
                ("psnr_db", 1),
                ("view_kl", 1),
                ("seconds", 0),
            )
        ]
        lines.append(f"| {variational} | {lam:g} | {' | '.join([*counts, *cells])} |")
    return "\n".join(lines) + "\n"


def _count_whole(outcomes: list[Outcome]) -> tuple[str, str]:
    """Runs with every side in place, and the Wilson interval of their rate."""
    whole = sum(outcome.in_place == NUM_RENDERINGS for outcome in outcomes)
    low, high = wilson_interval(whole, len(outcomes))
    return f"{whole}", f"{100 * low:.0f}–{100 * high:.0f} %"


def _job_of(outcome: Outcome) -> tuple[int, str, str, float]:
    return outcome.seed, outcome.animal, outcome.variational, outcome.lambda_esd


def _options() -> argparse.Namespace:
    parser = job_options(__doc__, ["corgi", "panda", "penguin", "pig"], [0, 0.25, 0.5, 0.75, 1])
    add_study_options(parser, "tiny_prior")
    parser.add_argument("--variational", nargs="+", default=["lora_short", "closed_form"])
    parser.add_argument("--exact", action="store_true", help="see exact_prior.py")
    return parse_study(parser, sys.argv[1:])


if __name__ == "__main__":
    main()
