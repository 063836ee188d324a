"""Noise levels of the variance-preserving forward process.

Notation
    x_0, x_t    a clean and a noisy picture (or latent), x_t = alpha x_0 + sigma eps
    eps         standard normal noise of the picture's shape
    log_snr     log(alpha² / sigma²), the one variable that stands for "t" in this project
    alpha²      sigmoid(log_snr), which the literature also calls ᾱ_t
    sigma²      1 - alpha² = sigmoid(-log_snr)

A discrete schedule, such as Stable Diffusion's, is a list of values of log_snr.
"""

from jaxtyping import Float
from torch import Tensor


def alpha_sigma(log_snr: Float[Tensor, "*B"]) -> tuple[Float[Tensor, "*B"], Float[Tensor, "*B"]]:
    """The signal's and the noise's factors at a noise level; alpha² + sigma² = 1."""
    return log_snr.sigmoid().sqrt(), (-log_snr).sigmoid().sqrt()


def add_noise(
    x_0: Float[Tensor, "B C h w"], eps: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"]
) -> Float[Tensor, "B C h w"]:
    """x_t = alpha x_0 + sigma eps, a noise level a picture."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    return alpha * x_0 + sigma * eps


def noise_from_denoised(
    x_t: Float[Tensor, "B C h w"], x_0: Float[Tensor, "B C h w"], log_snr: Float[Tensor, " B"]
) -> Float[Tensor, "B C h w"]:
    """The noise that x_t holds if x_0 is the clean picture: eps = (x_t - alpha x_0) / sigma."""
    alpha, sigma = alpha_sigma(log_snr[:, None, None, None])
    return (x_t - alpha * x_0) / sigma
