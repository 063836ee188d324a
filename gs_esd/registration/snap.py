"""Azimuths of a turntable: evenly spaced, in the order that was found.

A turntable takes n photographs 360°/n apart. Once their order is known, so are their azimuths, up
to a rotation of all. A smooth distortion around the circle, which a fit alone leaves, goes away.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Snap:
    """Azimuths moved to even spacing.

    Attributes:
        azimuth: in radians, in [0, 2π), in the order of the photographs.
        largest_move: in steps of 360°/n.
    """

    azimuth: Float[Tensor, " M"]
    largest_move: float


def snap(azimuth: Float[Tensor, " M"]) -> Snap:
    """The k-th of the sorted azimuths to k 360°/n, plus the offset that moves them least.

    Args:
        azimuth: in radians.
    """
    n, turn = len(azimuth), 2 * math.pi
    wrapped = azimuth.double() % turn
    order = wrapped.argsort(stable=True)
    even = torch.arange(n, dtype=torch.float64, device=azimuth.device) * (turn / n)
    moves = wrapped[order] - even
    offset = moves.mean()
    snapped = torch.empty_like(wrapped)
    snapped[order] = (even + offset) % turn
    largest = float((moves - offset).abs().max()) * n / turn
    return Snap(snapped.to(azimuth.dtype), largest)
