"""Photographs of one object as square images without background."""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class PhotoSet:
    """Photographs of one object as square images."""

    names: tuple[str, ...]
    """Of each file, relative to the folder, in natural order."""
    rgba: Float[Tensor, "M 4 R R"]
    """Premultiplied, in [0, 1]; lower resolutions by avg_pool2d."""
    framed_singly: bool
    """Every photograph was centred and scaled by itself, so that cameras need a shift and scale."""
    crops: Float[Tensor, "M 3"]
    """Left, top and side of the square in pixels of the upright original."""
    sizes: Int[Tensor, "M 2"]
    """Width and height of the upright original in pixels."""
