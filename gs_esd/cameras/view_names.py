"""Front, side and back views by azimuth, under the names that prompts use."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

VIEW_NAMES = ("front", "side", "back")
FRONT_BACK_HALF_ANGLE = math.radians(45)
"""Largest angle, in radians, between a front view and azimuth 0, or a back view and azimuth π."""


def angle_from_front(azimuth: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Absolute angle from azimuth 0, in [0, π]."""
    return torch.atan2(azimuth.sin(), azimuth.cos()).abs()


def view_index(azimuth: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Indices into VIEW_NAMES of cameras at azimuths in radians."""
    from_front = angle_from_front(azimuth)
    is_not_front = from_front > FRONT_BACK_HALF_ANGLE
    is_back = from_front > math.pi - FRONT_BACK_HALF_ANGLE
    return is_not_front.long() + is_back.long()
