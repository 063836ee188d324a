"""Images drawn from a prior: what it would make by itself, without a splat."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.process import add_noise, alpha_sigma
from gs_esd.diffusion.schedule import NoiseSchedule

PredictNoise = Callable[[Float[Tensor, "B C h w"], Float[Tensor, " B"]], Float[Tensor, "B C h w"]]
"""ε in x_t at log_snr."""


def trailing_levels(schedule: NoiseSchedule, steps: int) -> Float[Tensor, " S"]:
    """Noise levels to sample at, evenly spaced in timesteps, the noisiest of all first.

    Starting anywhere else fails models with zero terminal SNR (arXiv 2305.08891, section 3.3).
    """
    return schedule.t_to_log_snr(1 - torch.arange(steps) / steps)


def ddim(
    predict_noise: PredictNoise, x_t: Float[Tensor, "B C h w"], levels: Float[Tensor, " S"]
) -> Float[Tensor, "B C h w"]:
    """x_0 by deterministic steps from level to level (DDIM, arXiv 2010.02502, η = 0).

    x_t: at the first of the levels, or pure noise where that is nearly the same.
    """
    for level, following in zip(levels, [*levels[1:], None], strict=True):
        log_snr = level.to(x_t).expand(len(x_t))
        alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
        eps = predict_noise(x_t, log_snr)
        x_t = (x_t - sigma * eps) / alpha  # x_0, as it looks from here
        if following is not None:
            x_t = add_noise(x_t, eps, following.to(x_t).expand(len(x_t)))
    return x_t
