"""Weighting ω(t) of the noise levels in the gradient.

Notation (see also gs_esd/diffusion/process.py)
    ᾱ           alpha², sigmoid(log_snr); sigma² = 1 - ᾱ
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.process import alpha_sigma

WeightingFn = Callable[[Float[Tensor, " B"]], Float[Tensor, " B"]]
"""ω of each noise level (log_snr) of a batch."""


def one_minus_alpha_bar(log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """σ² = 1 - ᾱ, the weighting of DreamFusion and threestudio."""
    return (-log_snr).sigmoid()


def sigma_over_alpha(log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """σ/α, which makes the gradient a plain difference of denoised images: x_0 units."""
    return (-0.5 * log_snr).exp()


def one_minus_alpha(log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """1 - √ᾱ, what threestudio's unified guidance calls `dreamfusion`."""
    alpha, _ = alpha_sigma(log_snr)
    return 1 - alpha


def one(log_snr: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """1: a plain difference of predicted noises."""
    return torch.ones_like(log_snr)
