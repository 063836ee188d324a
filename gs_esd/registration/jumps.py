"""Photographs that change places at once: those that jump, and neighbours around the circle."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

JUMP_GAIN = 0.9
"""A photograph jumps if its mean squared error elsewhere is below this fraction of that here."""
MAX_JUMPS = 0.1
"""Of the photographs, that jump at a search: those that gain most."""


def jumping(ratio: Float[Tensor, " M"]) -> Tensor:
    """Indices of the photographs that jump, by their error elsewhere relative to that here."""
    most = max(1, int(MAX_JUMPS * len(ratio)))
    rows = ratio.argsort(stable=True)[:most]
    return rows[ratio[rows] < JUMP_GAIN]


def neighbours(azimuth: Float[Tensor, " M"], first: int) -> tuple[Int[Tensor, " P"], ...]:
    """Indices of the two of each pair of neighbours around the circle, from that of rank `first`.

    Every photograph is in one pair, but the last one of an odd number.
    """
    order = azimuth.argsort(stable=True).roll(-first)
    return order[: len(order) // 2 * 2].view(-1, 2).unbind(dim=1)


def angles_between(a: Float[Tensor, " M"], b: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """Absolute angles, in [0, π]."""
    return torch.atan2((a - b).sin(), (a - b).cos()).abs()
