"""Entropic score distillation."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.lambda_schedules import LambdaAt
from gs_esd.guidance.score_difference import NoisyViews
from gs_esd.rendered.base import RenderedScore


@dataclass(frozen=True)
class EsdSource:
    """λ ε_ψ(∅) + (1 - λ) ε_ψ(c) (arXiv 2401.00909, Eq. 6).

    A branch without weight is not evaluated.
    """

    lam: LambdaAt

    def __call__(self, rendered: RenderedScore, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source of a noisy batch."""
        lam = self.lam(noisy)
        if isinstance(lam, Tensor):
            # Whether one of them is 0 or 1 is not asked: that would wait for the GPU.
            eps_psi_null, eps_psi_camera = branches(rendered, noisy, null=True, camera=True)
            lam = lam[:, None, None, None]
        else:
            eps_psi_null, eps_psi_camera = branches(rendered, noisy, null=lam != 0, camera=lam != 1)
        return lam * eps_psi_null + (1 - lam) * eps_psi_camera


def branches(
    rendered: RenderedScore, noisy: NoisyViews, *, null: bool, camera: bool
) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B C h w"]]:
    """ε_ψ(∅) if `null`, ε_ψ(c) if `camera`, by one call; zeros stand for what is not asked."""
    n = len(noisy.x_t)
    rows = torch.arange((null + camera) * n, device=noisy.x_t.device)
    of, marginal = rows % n, rows < null * n
    eps_psi = rendered.predict_noise(
        noisy.x_t[of], noisy.log_snr[of], noisy.views[of], marginal=marginal
    )
    zeros = torch.zeros_like(noisy.x_t)
    return eps_psi[:n] if null else zeros, eps_psi[-n:] if camera else zeros
