"""Does every side of every animal come out in its place? Runs the zoo and makes the table.

    python -m benchmarks.quality.zoo                      12 animals, 3 seeds, λ = 0 and 1
    python -m benchmarks.quality.zoo --animals corgi --seeds 0 --lambdas 1

A run is what `python train.py prompt="a corgi" seed=0` does, less the exported files. It is then
matched with the zoo's true views, which are not used in training; see view_evaluation.py.

Finished runs are kept in a file of JSON lines and not made again; delete it after a change.
"""

from dataclasses import dataclass
from itertools import product

import torch

from benchmarks.kept import complete
from benchmarks.quality.evaluated_run import RESULTS, job_options, train_and_evaluate
from gs_esd.config.options import Config, HardwareConfig

ANIMALS = (
    *("bear", "cat", "corgi", "elephant", "fox", "frog"),
    *("lion", "owl", "panda", "penguin", "pig", "rabbit"),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one run."""

    animal: str
    seed: int
    lambda_esd: float
    coherence: float
    psnr_db: float
    gaussians: int
    seconds: float


def main() -> None:
    """Run what is not yet there and print the table."""
    options = job_options(__doc__, ANIMALS, [0.0, 1.0]).parse_args()
    jobs = list(product(options.animals, options.seeds, options.lambdas))
    kept, processes = RESULTS / "zoo.jsonl", options.processes
    table = to_table(complete(kept, Outcome, jobs, run, _job_of, processes))
    (RESULTS / "zoo.md").write_text(table, encoding="utf-8")
    print(table)


def run(animal: str, seed: int, lambda_esd: float) -> Outcome:
    """Train splats on one thread and evaluate them."""
    hardware = HardwareConfig(threads=1)
    config = Config(prompt=f"a {animal}", seed=seed, lambda_esd=lambda_esd, hardware=hardware)
    image = RESULTS / "zoo" / f"{animal}-lam{lambda_esd:g}-seed{seed}.png"
    evaluated = train_and_evaluate(config, animal, image)
    return Outcome(
        animal,
        seed,
        lambda_esd,
        round(evaluated.views.coherence, 3),
        round(evaluated.views.psnr_db, 2),
        evaluated.gaussians,
        evaluated.seconds,
    )


def to_table(outcomes: list[Outcome]) -> str:
    """A Markdown table with a row an animal and a summary below."""
    lambdas = sorted({o.lambda_esd for o in outcomes})
    head = [f"coherence, λ={lam:g} | PSNR dB, λ={lam:g}" for lam in lambdas]
    lines = ["| animal | " + " | ".join(head) + " |", "|---" * (1 + 2 * len(lambdas)) + "|"]
    for animal in sorted({o.animal for o in outcomes}):
        cells = [
            _cells([o for o in outcomes if (o.animal, o.lambda_esd) == (animal, lam)])
            for lam in lambdas
        ]
        lines.append(f"| {animal} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(_summary(outcomes, lam) for lam in lambdas)]) + "\n"


def _job_of(outcome: Outcome) -> tuple[str, int, float]:
    return outcome.animal, outcome.seed, outcome.lambda_esd


def _cells(outcomes: list[Outcome]) -> str:
    ordered = sorted(outcomes, key=lambda o: o.seed)
    coherences = " / ".join(f"{o.coherence:.2f}" for o in ordered)
    return f"{coherences} | " + " / ".join(f"{o.psnr_db:.1f}" for o in ordered)


def _summary(outcomes: list[Outcome], lam: float) -> str:
    these = [o for o in outcomes if o.lambda_esd == lam]
    high = sum(o.coherence >= 0.95 for o in these)
    low = sum(o.coherence <= 0.5 for o in these)
    median = torch.tensor([o.psnr_db for o in these]).median()
    seconds = torch.tensor([o.seconds for o in these]).median()
    return (
        f"- λ={lam:g}: coherence ≥ 0.95 in {high} and ≤ 0.5 in {low} of {len(these)} runs; "
        f"median PSNR {median:.1f} dB; median {seconds:.0f} s a run on one thread"
    )


if __name__ == "__main__":
    main()
