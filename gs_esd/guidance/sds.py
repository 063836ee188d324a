"""Score distillation sampling."""

from jaxtyping import Float
from torch import Tensor

from gs_esd.guidance.score_difference import NoisyViews
from gs_esd.rendered.base import RenderedScore


def sds_source(rendered: RenderedScore, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
    """ε, the noise that was drawn (DreamFusion, arXiv 2209.14988, Eq. 3)."""
    return noisy.eps
