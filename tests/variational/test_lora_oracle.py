"""The LoRA against the closed form, for two cameras.

φ is trained on four images. The renderings are two of them, so ψ has to unlearn the other two, and
to separate the two by the camera. Noise levels are those at which λ has an effect: view KL =
SNR D²/2 about 1.

Errors are relative to the distance of ε_ψ(c) and ε_ψ(∅): at 1, the direction of λ is random.
"""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, mse_loss

from gs_esd.diffusion.parameterization import training_target
from gs_esd.diffusion.process import add_noise
from gs_esd.priors.unet import UnetDenoiser
from gs_esd.variational.base import NeededPredictions
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora import CameraLoraScore, LoraScore
from gs_esd.variational.lora_options import LoraOptions
from gs_esd.variational.lora_training import TrainedLora
from tests.helpers.small_images import learn, views_from
from tests.helpers.tiny_models import tiny_denoiser, tiny_schedule, tiny_text

BATCH = 16
VIEW_KLS = (0.15, 0.5, 1.0)
IMAGES = 3 * interpolate(
    torch.randn(4, 4, 2, 2, generator=torch.Generator().manual_seed(0)), size=4, mode="bilinear"
)
WORLD = IMAGES[:2]
DISTANCE_SQ = float((WORLD[0] - WORLD[1]).square().sum())
"""D²."""
TWO_CAMERAS = views_from(torch.tensor([0.0, math.pi]))
WHICH = torch.arange(2).repeat(BATCH // 2)
"""Index of the image and camera of each row of a batch."""


def _log_snr(view_kl: float) -> float:
    return math.log(2 * view_kl / DISTANCE_SQ)


def _levels(log_snr: Tensor, generator: torch.Generator) -> Tensor:
    """log_snr uniform from view KL = 0.15 to 4."""
    low, high = _log_snr(0.15), _log_snr(4.0)
    return low + (high - low) * torch.rand(len(log_snr), generator=generator)


def _trained_phi(steps: int) -> UnetDenoiser:
    """A denoiser of IMAGES at these levels."""
    denoiser = tiny_denoiser(
        "v_prediction",
        sample_size=4,
        block_out_channels=(32,),
        down_block_types=("CrossAttnDownBlock2D",),
        up_block_types=("CrossAttnUpBlock2D",),
        mid_block_type=None,
        attention_head_dim=4,
    )
    # At the last level of Stable Diffusion's schedule such images are still visible.
    denoiser.schedule = tiny_schedule(rescale_betas_zero_snr=True)
    denoiser.unet.requires_grad_(True)
    optimizer = torch.optim.AdamW(denoiser.unet.parameters())
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x_0 = IMAGES[torch.randint(len(IMAGES), (BATCH,), generator=generator)]
        log_snr = _levels(torch.zeros(BATCH), generator)
        eps = torch.randn(x_0.shape, generator=generator)
        v = denoiser.predict(add_noise(x_0, eps, log_snr), log_snr, tiny_text().expand(BATCH))
        mse_loss(v, training_target(x_0, eps, log_snr, "v_prediction")).backward()
        optimizer.step()
        optimizer.zero_grad()
        rates.step()
    return denoiser


def _train(score: TrainedLora, steps: int) -> None:
    for _ in range(steps):
        learn(score, WORLD[WHICH], TWO_CAMERAS[WHICH])


def _errors(score: TrainedLora) -> tuple[float, float]:
    """Relative errors of ε_ψ(c) and ε_ψ(∅) against the oracle, over VIEW_KLS and 128 draws each."""
    oracle = ClosedFormLatentScore(buffer_size=0)
    learn(oracle, WORLD, TWO_CAMERAS)
    generator = torch.Generator().manual_seed(5)
    which = torch.arange(2).repeat(64 * len(VIEW_KLS))
    log_snr = torch.tensor([_log_snr(view_kl) for view_kl in VIEW_KLS]).repeat_interleave(128)
    eps = torch.randn(len(which), 4, 4, 4, generator=generator)
    x_t, views = add_noise(WORLD[which], eps, log_snr), TWO_CAMERAS[which]

    def distance(one: Tensor, other: Tensor) -> float:
        """RMS distance in units of x_0, in which every noise level counts equally."""
        return float(((-log_snr).exp() * (one - other).square().sum((1, 2, 3))).mean().sqrt())

    both = NeededPredictions(uncond=True, cond=True)
    exact, learned = (each.predict_noise(x_t, log_snr, views, both) for each in (oracle, score))
    scale = distance(*exact)
    return (
        distance(learned.cond, exact.cond) / scale,
        distance(learned.uncond, exact.uncond) / scale,
    )


def _score(denoiser: UnetDenoiser, learning_rate: float, dropout: float) -> TrainedLora:
    """A LoRA with camera conditioning, or one for ∅ alone where cameras are always dropped."""
    options = LoraOptions(
        rank=8,
        learning_rate=learning_rate,
        modulation_learning_rate=learning_rate,
        draw_levels=_levels,
    )
    arguments = (denoiser, tiny_text(), torch.Generator().manual_seed(2), options)
    if dropout == 1:
        return LoraScore(*arguments)
    return CameraLoraScore(*arguments, camera_dropout=dropout)


@pytest.mark.parametrize("dropout", [0.5, 1.0])
def test_error_to_oracle_falls(dropout: float) -> None:
    score = _score(_trained_phi(steps=400), 4e-3, dropout)
    errors = []
    for _ in range(5):
        _train(score, steps=120 if errors else 1)
        errors.append(_errors(score))
    cond, uncond = zip(*errors, strict=True)
    assert uncond[0] > 0.9
    assert uncond[4] < 0.6
    if dropout == 1:
        assert max(cond) < 1e-3
    else:
        assert cond[0] > 1.2
        assert cond[1] < 0.75
        assert cond[4] < 0.6


@pytest.mark.slow
def test_error_to_oracle_after_long_training() -> None:
    score = _score(_trained_phi(steps=2500), 2e-3, 0.5)
    _train(score, steps=2500)
    cond, uncond = _errors(score)
    assert cond < 0.25
    assert uncond < 0.35
