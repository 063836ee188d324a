"""Variational score distillation."""

from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.objectives import Branches, NoisyViews, Predictions


class VsdSource:
    """ε_ψ(c), the score of the camera's renderings (ProlificDreamer, arXiv 2305.16213, Eq. 9)."""

    def branches(self, noisy: NoisyViews) -> Branches:
        """The camera's."""
        return Branches(null=False, camera=True)

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source of a noisy batch."""
        return eps.psi_camera
