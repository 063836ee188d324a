"""Which sides of an object are in their place: azimuths that were matched beside those of cameras.

coherence   |mean exp(i (matched azimuth - camera azimuth))|, up to one rotation or mirroring of
            the whole: 1 if every side is in its place, about 0 if all sides are alike
in place    how many match within 30° of where they should, likewise; two views, each over half
            the circle, reach 6 of 16
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

MAX_DEVIATION = math.radians(30)
"""From its place, of a side that counts as in place."""


def coherence(matched: Float[Tensor, " B"], camera: Float[Tensor, " B"]) -> float:
    """How well matched azimuths follow the cameras' (radians) or their mirror image, in [0, 1]."""
    turns = (torch.exp(1j * (matched - sign * camera)).mean().abs() for sign in (1, -1))
    return max(float(turn) for turn in turns)


def count_in_place(matched: Float[Tensor, " B"], camera: Float[Tensor, " B"]) -> int:
    """Count matched azimuths within MAX_DEVIATION of the cameras' (radians).

    The whole is turned and mirrored for the highest count, among the turns that put one of the
    renderings exactly in its place.
    """
    most = 0
    for sign in (1, -1):
        turns = matched - sign * camera
        near = angle(turns[:, None] - turns).abs() < MAX_DEVIATION
        most = max(most, int(near.sum(dim=1).max()))
    return most


def azimuth_errors(fitted: Float[Tensor, " M"], truth: Float[Tensor, " M"]) -> Float[Tensor, " M"]:
    """By how much fitted azimuths are off, up to one rotation and sign, in radians, at least 0.

    The whole is turned and mirrored for the smallest mean error, among the turns that put one of
    them exactly in its place.
    """
    candidates = []
    for sign in (1, -1):
        turns = fitted - sign * truth
        apart = angle(turns[:, None] - turns).abs()  # [turn, M]
        candidates.append(apart[apart.mean(dim=1).argmin()])
    return min(candidates, key=lambda errors: float(errors.mean()))


def angle(radians: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """The same angles, in [-π, π]."""
    return torch.atan2(radians.sin(), radians.cos())
