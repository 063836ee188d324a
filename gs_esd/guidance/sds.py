"""Score distillation sampling."""

from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.objectives import Branches, NoisyViews, Predictions


class SdsSource:
    """ε, the noise that was drawn (DreamFusion, arXiv 2209.14988, Eq. 3)."""

    def branches(self, noisy: NoisyViews) -> Branches:
        """Nothing: q is not asked."""
        return Branches(null=False, camera=False)

    def __call__(self, eps: Predictions, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """The source of a noisy batch."""
        return noisy.eps
