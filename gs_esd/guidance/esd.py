"""Entropic score distillation."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.lambda_schedules import LambdaAt
from gs_esd.guidance.objectives import Branches, NoisyViews, Predictions


@dataclass(frozen=True)
class EsdSource:
    """λ ε_ψ(∅) + (1 - λ) ε_ψ(c) (arXiv 2401.00909, Eq. 6)."""

    lam: LambdaAt

    def branches(self, noisy: NoisyViews) -> Branches:
        """Both, but for one without weight."""
        lam = self.lam(noisy)
        if isinstance(lam, Tensor):
            # Whether one of them is 0 or 1 is not asked: that would wait for the GPU.
            return Branches(null=True, camera=True)
        return Branches(null=lam != 0, camera=lam != 1)

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source of a noisy batch."""
        lam = self.lam(noisy)
        if isinstance(lam, Tensor):
            lam = lam[:, None, None, None]
        return lam * eps.psi_null + (1 - lam) * eps.psi_camera
