"""Premultiplied renderings over a background."""

from jaxtyping import Float
from torch import Tensor


def composite(
    rgb: Float[Tensor, "*B H W 3"], alpha: Float[Tensor, "*B H W 1"], background: Float[Tensor, "3"]
) -> Float[Tensor, "*B H W 3"]:
    """Images with premultiplied colours over a solid background."""
    return rgb + (1 - alpha) * background
