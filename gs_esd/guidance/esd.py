"""Entropic score distillation."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.lambda_schedules import LambdaAt
from gs_esd.guidance.score_difference import NoisyViews
from gs_esd.rendered.base import RenderedScore


@dataclass(frozen=True)
class EsdSource:
    """λ ε_ψ(∅) + (1 - λ) ε_ψ(c) (arXiv 2401.00909, Eq. 6).

    A branch whose weight is zero in the whole batch is skipped.
    """

    lam: LambdaAt

    def __call__(self, rendered: RenderedScore, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source of a noisy batch."""
        lam = self.lam(noisy)[:, None, None, None]
        if bool((lam == 0).all()):
            return self._eps_psi(rendered, noisy, marginal=False)
        if bool((lam == 1).all()):
            return self._eps_psi(rendered, noisy, marginal=True)
        eps_psi_null = self._eps_psi(rendered, noisy, marginal=True)
        eps_psi_camera = self._eps_psi(rendered, noisy, marginal=False)
        return lam * eps_psi_null + (1 - lam) * eps_psi_camera

    def _eps_psi(
        self, rendered: RenderedScore, noisy: NoisyViews, *, marginal: bool
    ) -> Float[Tensor, "B C h w"]:
        return rendered.predict_noise(noisy.x_t, noisy.log_snr, noisy.views, marginal=marginal)
