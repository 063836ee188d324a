"""Variational score distillation."""

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.score_difference import NoisyViews
from gs_esd.rendered.base import RenderedScore


def vsd_source(rendered: RenderedScore, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
    """ε_ψ(c), the score of the camera's renderings (ProlificDreamer, arXiv 2305.16213, Eq. 9)."""
    marginal = torch.zeros_like(noisy.log_snr, dtype=torch.bool)
    return rendered.predict_noise(noisy.x_t, noisy.log_snr, noisy.views, marginal=marginal)
