"""Sampling images from a diffusion model (DDIM)."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.diffusion.schedule import NoiseSchedule

PredictNoiseFn = Callable[[Float[Tensor, "B C h w"], Float[Tensor, " B"]], Float[Tensor, "B C h w"]]
"""ε of x_t at log_snr, one noise level per image."""


def trailing_levels(schedule: NoiseSchedule, steps: int) -> Float[Tensor, " S"]:
    """Noise levels for sampling, evenly spaced in timesteps, from the noisiest downwards.

    This is "trailing" spacing: models with zero terminal SNR must be sampled from their last
    timestep (arXiv 2305.08891, section 3.3).
    """
    return schedule.t_to_log_snr(1 - torch.arange(steps) / steps)


def ddim(
    predict_noise: PredictNoiseFn, x_t: Float[Tensor, "B C h w"], levels: Float[Tensor, " S"]
) -> Float[Tensor, "B C h w"]:
    """Sample deterministically (DDIM, arXiv 2010.02502, η = 0).

    Args:
        predict_noise: the model.
        x_t: noise to start from, at the first of the levels.
        levels: log_snr at each step, rising; the last step ends at x_0.

    Returns:
        x_0, as decoded by a prior's codec.
    """
    for level, next_level in zip(levels, [*levels[1:], None], strict=True):
        log_snr = level.to(x_t).expand(len(x_t))
        alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
        eps = predict_noise(x_t, log_snr)
        x_0 = (x_t - sigma * eps) / alpha
        if next_level is not None:
            x_t = add_noise(x_0, eps, next_level.to(x_t).expand(len(x_t)))
    return x_0
