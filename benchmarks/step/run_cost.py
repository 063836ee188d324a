"""Counts what whole runs of Stable Diffusion 2.1-base cost, without a GPU.

    python -m benchmarks.step.run_cost          the default, and experiment=sd_ten_minutes

Operations of the networks for one view (floor.py) times the views of a run. Rendering is not
counted. Minutes are for an assumed rate.
"""

from pathlib import Path

from benchmarks.quality.evaluated_run import configured
from benchmarks.step.floor import step_flops
from benchmarks.step.memory import networks_without_contents, views_of
from gs_esd.config.options import Config, MemoryConfig
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.variational.base import VariationalScore
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora import CameraLoraScore

RESULTS = Path(__file__).parents[1] / "results" / "run_cost.md"
ASSUMED_FLOPS_PER_S = 50e12
RUNS = {
    "`prior=sd21`": ("prior=sd21",),
    "`experiment=sd_ten_minutes`": ("experiment=sd_ten_minutes",),
}
LORA, CAMERA_LORA = "ESD, `variational=lora`", "ESD, `variational=lora_camera`, 0 < λ < 1"
HEAD = (
    *("run", "steps", "views in all", "objective"),
    *("TFLOP a view", "PFLOP a run", "minutes at 50 TFLOP/s"),
)


def views_of_run(config: Config) -> int:
    """The renderings of all steps of a run."""
    return sum(config.stages.at(step / config.steps).views for step in range(config.steps))


def flops_of_objectives() -> dict[str, int]:
    """Operations of the networks for one view, by objective."""
    prior, lora = networks_without_contents(MemoryConfig())
    conditioned = networks_without_contents(MemoryConfig(), CameraLoraScore)
    return {
        LORA: _flops(prior, lora, 0.5),
        CAMERA_LORA: _flops(*conditioned, 0.5),
        "SDS": _flops(prior, ClosedFormLatentScore(0), 0.0),
    }


def _flops(prior: DiffusionModelPrior, variational: VariationalScore, lambda_esd: float) -> int:
    return step_flops(prior, variational, views_of(1), lambda_esd)


def cost_rows(flops: dict[str, int]) -> list[tuple[str, ...]]:
    """The table's rows, without its head.

    Args:
        flops: operations for one view, by objective.
    """
    rows: list[tuple[str, ...]] = []
    for name, overrides in RUNS.items():
        config = configured(["prompt=x", *overrides])
        views = views_of_run(config)
        for objective, each in flops.items():
            counts = (f"{config.steps:,}", f"{views:,}", objective, f"{each / 1e12:.2f}")
            minutes = views * each / ASSUMED_FLOPS_PER_S / 60
            rows.append((name, *counts, f"{views * each / 1e15:.0f}", f"{minutes:.0f}"))
    return rows


def main() -> None:
    """Count, print and write the table."""
    rows = [HEAD, ("---",) * len(HEAD), *cost_rows(flops_of_objectives())]
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
    print(text)
    RESULTS.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
