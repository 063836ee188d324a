"""Is every side of the splats in its place? Matches renderings with the zoo's true views.

coherence   |mean exp(i (matched azimuth - camera azimuth))| over 16 evenly spaced renderings,
            up to one rotation or mirroring of the whole: 1 if every side is in its place,
            about 0 if all sides are alike
in place    how many of the 16 match a view within 30° of where it should be, likewise; two
            views, each over half the circle, reach 6
PSNR        the median over the 16 renderings, each against its matched true view, at 128²
            over white
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit
from gs_esd.evaluation.evaluate import render_around
from gs_esd.evaluation.zoo import RESOLUTION, match_views

NUM_RENDERINGS = 16
MAX_DEVIATION = math.radians(30)
"""From its place, of a side that counts as in place."""


@dataclass(frozen=True)
class ViewEvaluation:
    """How well the sides of splats are in place, and the evaluated renderings, RGB in [0, 1]."""

    coherence: float
    in_place: int
    psnr_db: float
    renderings: Float[Tensor, "B H W 3"]


def evaluate_views(
    splats: ParameterDict, orbit: Orbit, animal: str, individual: int = 0
) -> ViewEvaluation:
    """Render splats from all around and compare them with an animal's true views."""
    renderings = render_around(splats, orbit, NUM_RENDERINGS, RESOLUTION)
    azimuths = 2 * math.pi * torch.arange(NUM_RENDERINGS) / NUM_RENDERINGS
    matches = match_views(renderings, animal, orbit, individual)
    return ViewEvaluation(
        coherence(matches.azimuth, azimuths),
        count_in_place(matches.azimuth, azimuths),
        matches.psnr_db,
        renderings,
    )


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
        apart = turns[:, None] - turns
        near = torch.atan2(apart.sin(), apart.cos()).abs() < MAX_DEVIATION
        most = max(most, int(near.sum(dim=1).max()))
    return most
