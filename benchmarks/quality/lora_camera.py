"""How soon does a LoRA separate cameras? Compares it with the exact score of its renderings.

    python -m benchmarks.quality.lora_camera    the rates of variational=lora_camera
    ... --steps-per-update 4 --replay 64        with more training steps, on earlier ones too

λ acts through ε_ψ(c) - ε_ψ(∅) alone. Here renderings stand still: 512 true images of the pig from
all around, in the tiny prior's latents, on black and on white. A LoRA on the tiny prior learns from
batches of them, each on one of the two, at noise levels where the exact difference is not small.
After some updates its difference is laid beside the exact one,

    slope       <d, e> / <e, e> of its difference d and the exact e: 1 if it separates all cameras,
                0 if its answer for a camera is that for all of them

Writes results/lora_camera.md, a row for each choice of options; takes some four minutes on one
thread for each training step an update.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.quality.evaluated_run import RESULTS, configured
from gs_esd.build.distributions import build_prior
from gs_esd.cameras.orbit import Cameras, make_orbit
from gs_esd.cameras.views import Views
from gs_esd.config.learned import LoraCameraVariationalConfig
from gs_esd.diffusion.process import add_noise
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.render.compositing import composite
from gs_esd.render.renderings import Renderings
from gs_esd.system.rng import stream
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.variational.base import NeededPredictions, VariationalScore
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora import CameraLoraScore
from gs_esd.variational.lora_options import LoraOptions

ANIMAL, IMAGES = "pig", 512
BATCH = 16
TRAINED_LEVELS = (-6.5, -2.0)
LEVELS = (-5.5, -4.0, -3.0)
"""Log SNRs where the exact difference is not small, and λ can act."""
UPDATES = (100, 200, 400)
EXAMINED = 48
BACKGROUNDS = (torch.zeros(3), torch.ones(3))
UNSEEN = Renderings(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 1, 1), {})
"""Both scores depend on the encodings only."""
BOTH = NeededPredictions(uncond=True, cond=True)


def main() -> None:
    """Train a LoRA, add a row to the table and print it."""
    options = _options()
    torch.set_num_threads(1)
    cells = measure(
        LoraOptions(
            learning_rate=options.learning_rate,
            modulation_learning_rate=options.modulation_learning_rate,
            steps_per_update=options.steps_per_update,
            train_batch=options.train_batch,
            replay=options.replay,
            draw_levels=lambda levels, generator: levels,
        ),
        options.camera_dropout,
    )
    row = _first_cells(options) + " | ".join(cells) + " |"
    print(row)
    _add(RESULTS / "lora_camera.md", row)


def measure(options: LoraOptions, camera_dropout: float) -> list[str]:
    """A cell for each of UPDATES: the slopes at each of LEVELS."""
    config = configured([f"prompt=a {ANIMAL}", "prior=tiny", "prior.view_prompts=off"])
    prior = build_prior(config, make_orbit(config.cameras))
    assert isinstance(prior, DiffusionModelPrior)
    assert isinstance(prior.denoiser, UnetDenoiser)
    lora = CameraLoraScore(
        prior.denoiser,
        prior.prompt,
        stream(0, "lora"),
        options,
        camera_dropout=camera_dropout,
    )
    images, cameras = still_renderings(prior)
    exact = [
        exact_score(x_0, cameras, color) for x_0, color in zip(images, BACKGROUNDS, strict=True)
    ]
    cells, generator = [], stream(0, "batches")
    for update in range(1, max(UPDATES) + 1):
        rows = torch.randint(IMAGES, (BATCH,), generator=generator)
        which = int(torch.randint(2, (), generator=generator))
        low, high = TRAINED_LEVELS
        log_snr = low + (high - low) * torch.rand(BATCH, generator=generator)
        views = Views(cameras[rows], BACKGROUNDS[which])
        lora.update(UNSEEN, images[which][rows], views, log_snr)
        if update in UPDATES:
            found = mean_slopes(lora, exact, images, cameras)
            cells.append(" / ".join(f"{slope:.2f}" for slope in found))
    return cells


def still_renderings(
    prior: DiffusionModelPrior,
) -> tuple[list[Float[Tensor, "M C h w"]], Cameras]:
    """True images on each background in a prior's latents, from cameras that favour no side."""
    orbit = make_orbit(configured([f"prompt={ANIMAL}"]).cameras)
    rgba, cameras = draw_bank(
        parse_prompt(ANIMAL),
        IMAGES,
        64,
        front_bias=0.0,
        elevation=(orbit.elevation_min, orbit.elevation_max),
        distance=orbit.distance,
        fov=orbit.fov,
        generator=stream(0, "bank"),
    )
    rgb, alpha = rgba.permute(0, 2, 3, 1).split([3, 1], dim=-1)
    return [prior.encode(composite(rgb, alpha, color)) for color in BACKGROUNDS], cameras


def exact_score(
    x_0: Float[Tensor, "M C h w"], cameras: Cameras, background: Float[Tensor, "3"]
) -> ClosedFormLatentScore:
    """The exact score of renderings on one background."""
    exact = ClosedFormLatentScore(IMAGES)
    exact.update(UNSEEN, x_0, Views(cameras, background), torch.zeros(len(x_0)))
    return exact


def mean_slopes(
    lora: VariationalScore,
    exact: list[ClosedFormLatentScore],
    images: list[Float[Tensor, "M C h w"]],
    cameras: Cameras,
) -> list[float]:
    """The mean of `slopes` over the backgrounds."""
    some = slice(0, EXAMINED)
    found = [
        slopes(lora, score, x_0[some], Views(cameras[some], color))
        for score, x_0, color in zip(exact, images, BACKGROUNDS, strict=True)
    ]
    return torch.tensor(found).mean(0).tolist()


def slopes(
    lora: VariationalScore,
    exact: ClosedFormLatentScore,
    x_0: Float[Tensor, "B C h w"],
    views: Views,
) -> list[float]:
    """How far the LoRA's ε_ψ(c) - ε_ψ(∅) follows the exact one, at each of LEVELS."""
    generator = stream(0, "examination")
    found = []
    for level in LEVELS:
        log_snr = torch.full((len(x_0),), level)
        x_t = add_noise(x_0, torch.randn(x_0.shape, generator=generator), log_snr)
        d, e = (_difference(score, x_t, log_snr, views) for score in (lora, exact))
        found.append(float((d * e).sum() / (e * e).sum()))
    return found


def _difference(
    score: VariationalScore,
    x_t: Float[Tensor, "B C h w"],
    log_snr: Float[Tensor, " B"],
    views: Views,
) -> Float[Tensor, "B C h w"]:
    uncond, cond = score.predict_noise(x_t, log_snr, views, BOTH)
    return cond - uncond


def _first_cells(options: argparse.Namespace) -> str:
    rates = f"{options.learning_rate:g}, {options.modulation_learning_rate:g}"
    steps = f"{options.steps_per_update} of {options.train_batch}, {options.replay}"
    return f"| {rates} | {steps} | {options.camera_dropout:g} | "


def _add(file: Path, row: str) -> None:
    """Put a row into the table, over an earlier one of the same options."""
    levels = " / ".join(f"{level:g}" for level in LEVELS)
    heads = [
        *("learning rates", "steps of renderings, replay", "dropout"),
        f"slopes at log SNR {levels} after {UPDATES[0]}",
        *map(str, UPDATES[1:]),
    ]
    kept = file.read_text(encoding="utf-8").splitlines()[2:] if file.exists() else []
    same = _options_of(row)
    rows = [*(each for each in kept if _options_of(each) != same), row]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *sorted(rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _options_of(row: str) -> list[str]:
    return row.split(" | ")[:3]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    defaults = LoraCameraVariationalConfig()
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument(
        "--modulation-learning-rate", type=float, default=defaults.modulation_learning_rate
    )
    parser.add_argument("--steps-per-update", type=int, default=defaults.steps_per_update)
    parser.add_argument("--train-batch", type=int, default=BATCH, help="renderings of a step")
    parser.add_argument("--replay", type=int, default=0, help="earlier renderings to train on")
    parser.add_argument("--camera-dropout", type=float, default=defaults.camera_dropout)
    return parser.parse_args()


if __name__ == "__main__":
    main()
