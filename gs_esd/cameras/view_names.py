"""Which side of the object a camera sees, in words that a prompt can use."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

VIEW_NAMES = ("front", "side", "back")
FRONT_OR_BACK = math.radians(45)
"""How far from the front's or the back's azimuth a view still counts as one."""


def angle_from_front(azimuth: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """How far around the object from its front, in [0, π], on either side."""
    return torch.atan2(azimuth.sin(), azimuth.cos()).abs()


def view_index(azimuth: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Indices into VIEW_NAMES of cameras at the given azimuths (radians)."""
    from_front = angle_from_front(azimuth)
    return (from_front > FRONT_OR_BACK).long() + (from_front > math.pi - FRONT_OR_BACK).long()
