"""Noise levels of the variance-preserving forward process.

Notation
    x_0, x_t    a clean and a noisy image (or latent), x_t = alpha x_0 + sigma eps
    eps         standard normal noise of the image's shape
    log_snr     log(alpha² / sigma²): the noise level, used in place of a timestep everywhere here
    alpha²      sigmoid(log_snr), which the literature also calls ᾱ_t
    sigma²      1 - alpha² = sigmoid(-log_snr)

A discrete schedule, such as Stable Diffusion's, is a list of values of log_snr.
"""

from jaxtyping import Float
from torch import Tensor


def alpha_sigma(log_snr: Float[Tensor, "*B"]) -> tuple[Float[Tensor, "*B"], Float[Tensor, "*B"]]:
    """Signal and noise factors at a noise level, with alpha² + sigma² = 1."""
    return log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()


def add_noise(
    x_0: Float[Tensor, "B C h w"], eps: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"]
) -> Float[Tensor, "B C h w"]:
    """Forward process: x_t = alpha x_0 + sigma eps, with one noise level per image."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    return alpha * x_0 + sigma * eps


def eps_from_x_0(
    x_t: Float[Tensor, "B C h w"], x_0: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"]
) -> Float[Tensor, "B C h w"]:
    """Noise of x_t, given its clean image: eps = (x_t - alpha x_0) / sigma."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    return (x_t - alpha * x_0) / sigma
