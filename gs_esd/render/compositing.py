"""Premultiplied renderings over a background."""

from jaxtyping import Float
from torch import Tensor


def composite(
    rgb: Float[Tensor, "*B H W 3"], alpha: Float[Tensor, "*B H W 1"], background: Float[Tensor, "3"]
) -> Float[Tensor, "*B H W 3"]:
    """Composite premultiplied colours over a solid background, RGB in [0, 1]."""
    return rgb + (1 - alpha) * background
