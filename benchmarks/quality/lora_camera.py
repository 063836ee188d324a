"""How soon does a LoRA separate cameras? Compares it with the exact score of its renderings.

    python -m benchmarks.quality.lora_camera    the rates of variational=lora_short
    python -m benchmarks.quality.lora_camera --learning-rate 1e-2

λ acts through ε_ψ(c) - ε_ψ(∅) alone. Here renderings stand still: 512 true images of the pig from
all around, in the tiny prior's latents, on black. A LoRA on the tiny prior learns from batches of
them. After some updates its difference is laid beside the exact one,

    slope       <d, e> / <e, e> of its difference d and the exact e: 1 if it separates all cameras,
                0 if its answer for a camera is that for all of them

Writes results/lora_camera.md, a row for each rate; takes about three minutes a rate on one thread.
"""

import argparse
import re
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.quality.evaluated_run import RESULTS, configured
from gs_esd.build.distributions import build_prior
from gs_esd.cameras.orbit import Cameras, make_orbit
from gs_esd.cameras.views import Views
from gs_esd.diffusion.process import add_noise
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.render.compositing import composite
from gs_esd.render.renderings import Renderings
from gs_esd.system.rng import stream
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora import LoraScore

ANIMAL, IMAGES = "pig", 512
BATCH = 16
DROPOUT = 0.3
LEVELS = (-5.5, -4.0, -3.0)
"""Log SNRs where the exact difference is not small, and λ can act."""
UPDATES = (100, 200, 400)
EXAMINED = 48
UNSEEN = Renderings(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 1, 1), {})
"""Both scores depend on the encodings only."""


def main() -> None:
    """Train a LoRA, add a row to the table and print it."""
    rate = _options().learning_rate
    torch.set_num_threads(1)
    row = f"| {rate:g} | " + " | ".join(measure(rate)) + " |"
    print(row)
    _add(RESULTS / "lora_camera.md", row)


def measure(learning_rate: float) -> list[str]:
    """A cell for each of UPDATES: the slopes at each of LEVELS."""
    config = configured([f"prompt=a {ANIMAL}", "prior=tiny", "prior.view_prompts=off"])
    prior = build_prior(config, make_orbit(config.cameras))
    assert isinstance(prior, DiffusionModelPrior)
    assert isinstance(prior.denoiser, UnetDenoiser)
    x_0, cameras = still_renderings(prior)
    exact = ClosedFormLatentScore(IMAGES)
    exact.update(UNSEEN, x_0, Views(cameras, torch.zeros(3)))
    lora = LoraScore(
        prior.denoiser,
        prior.prompt,
        stream(0, "lora"),
        learning_rate=learning_rate,
        camera_dropout=DROPOUT,
    )
    cells, generator = [], stream(0, "batches")
    for update in range(1, max(UPDATES) + 1):
        rows = torch.randint(IMAGES, (BATCH,), generator=generator)
        lora.train_step(x_0[rows], cameras[rows])
        if update in UPDATES:
            some = slice(0, EXAMINED)
            found = slopes(lora, exact, x_0[some], cameras[some])
            cells.append(" / ".join(f"{slope:.2f}" for slope in found))
    return cells


def still_renderings(
    prior: DiffusionModelPrior,
) -> tuple[Float[Tensor, "M C h w"], Cameras]:
    """True images on black in a prior's latents, from cameras that favour no side."""
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
    return prior.encode(composite(rgb, alpha, torch.zeros(3))), cameras


def slopes(
    lora: LoraScore,
    exact: ClosedFormLatentScore,
    x_0: Float[Tensor, "B C h w"],
    cameras: Cameras,
) -> list[float]:
    """How far the LoRA's ε_ψ(c) - ε_ψ(∅) follows the exact one, at each of LEVELS."""
    views, generator = Views(cameras, torch.zeros(3)), stream(0, "examination")
    found = []
    for level in LEVELS:
        log_snr = torch.full((len(x_0),), level)
        x_t = add_noise(x_0, torch.randn(x_0.shape, generator=generator), log_snr)
        d, e = (_difference(score, x_t, log_snr, views) for score in (lora, exact))
        found.append(float((d * e).sum() / (e * e).sum()))
    return found


def _difference(
    score: LoraScore | ClosedFormLatentScore,
    x_t: Float[Tensor, "B C h w"],
    log_snr: Float[Tensor, " B"],
    views: Views,
) -> Float[Tensor, "B C h w"]:
    all_rows = torch.ones(len(x_t), dtype=torch.bool)
    of_camera = score.predict_noise(x_t, log_snr, views, uncond=~all_rows)
    return of_camera - score.predict_noise(x_t, log_snr, views, uncond=all_rows)


def _add(file: Path, row: str) -> None:
    """Put a row into the table, over an earlier one of the same rate."""
    levels = " / ".join(f"{level:g}" for level in LEVELS)
    heads = [f"slopes at log SNR {levels} after {UPDATES[0]}", *map(str, UPDATES[1:])]
    head = f"| learning rate | {' | '.join(heads)} |"
    kept = file.read_text(encoding="utf-8").splitlines()[2:] if file.exists() else []
    same = re.compile(re.escape(row.partition(" | ")[0]) + r" \|")
    rows = [*(each for each in kept if not same.match(each)), row]
    file.write_text("\n".join([head, "|---" * 4 + "|", *sorted(rows)]) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
