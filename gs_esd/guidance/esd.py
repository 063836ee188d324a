"""Entropic score distillation."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.guidance.lambda_schedules import LambdaAt
from gs_esd.guidance.score_difference import NoisyViews
from gs_esd.rendered.base import RenderedScore


@dataclass(frozen=True)
class EsdSource:
    """λ ε_ψ(∅) + (1 - λ) ε_ψ(c) (arXiv 2401.00909, Eq. 6).

    A branch is evaluated only for the pictures in which it has weight.
    """

    lam: LambdaAt

    def __call__(self, rendered: RenderedScore, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source of a noisy batch."""
        lam = self.lam(noisy)
        eps_psi_null, eps_psi_camera = both_branches(
            rendered, noisy, null=lam != 0, camera=lam != 1
        )
        lam = lam[:, None, None, None]
        return lam * eps_psi_null + (1 - lam) * eps_psi_camera


def both_branches(
    rendered: RenderedScore,
    noisy: NoisyViews,
    *,
    null: Bool[Tensor, " B"],
    camera: Bool[Tensor, " B"],
) -> tuple[Float[Tensor, "B C h w"], Float[Tensor, "B C h w"]]:
    """ε_ψ(∅) of the pictures in `null` and ε_ψ(c) of those in `camera`, by one call.

    Where a picture is not in one of them, zeros stand for its answer.
    """
    wanted = torch.cat([null, camera])  # [2B]
    rows = torch.arange(len(wanted), device=wanted.device)[wanted]
    marginal, of = rows < len(null), rows % len(null)
    eps_psi = noisy.x_t.new_zeros(len(wanted), *noisy.x_t.shape[1:])
    eps_psi[rows] = rendered.predict_noise(
        noisy.x_t[of], noisy.log_snr[of], noisy.views[of], marginal=marginal
    )
    return eps_psi[: len(null)], eps_psi[len(null) :]
