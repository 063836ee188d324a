"""Is every side of the splats in its place? Matches renderings with the zoo's true views.

coherence and sides in place are those of gs_esd/evaluation/sides.py, of 16 evenly spaced
renderings; PSNR is the median over them, each against its matched true view, at 128² over white.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit
from gs_esd.evaluation.evaluate import render_around
from gs_esd.evaluation.sides import coherence, count_in_place
from gs_esd.evaluation.zoo import RESOLUTION, match_views

NUM_RENDERINGS = 16


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
