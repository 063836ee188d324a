"""Is every side of a splat in its place? Matches renderings with the zoo's true views.

coherence   |mean exp(i (matched azimuth - camera azimuth))| over 16 evenly spaced renderings,
            up to one rotation or mirroring of the whole: 1 if every side is in its place,
            about 0 if all look alike
in place    how many of the 16 match a view within 30° of where it should be, likewise; two
            views, each all over its half, can get to 6
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
from gs_esd.evaluation.zoo_views import match_views, render_around

RENDERINGS = 16
NEAR = math.radians(30)


@dataclass(frozen=True)
class Verdict:
    """What came of a splat, and the renderings that were judged, RGB in [0, 1]."""

    coherence: float
    in_place: int
    psnr_db: float
    renderings: Float[Tensor, "B H W 3"]


def judge(splats: ParameterDict, orbit: Orbit, animal: str) -> Verdict:
    """Render a splat from all around and compare it with an animal's true views."""
    renderings = render_around(splats, orbit, RENDERINGS)
    azimuths = 2 * math.pi * torch.arange(RENDERINGS) / RENDERINGS
    matches = match_views(renderings, animal, orbit)
    return Verdict(
        coherence(matches.azimuth, azimuths),
        in_place(matches.azimuth, azimuths),
        float((-10 * matches.mean_squared_error.log10()).median()),
        renderings,
    )


def coherence(matched: Float[Tensor, " B"], camera: Float[Tensor, " B"]) -> float:
    """How evenly matched azimuths follow the cameras' (radians) or their mirror, in [0, 1]."""
    turns = (torch.exp(1j * (matched - sign * camera)).mean().abs() for sign in (1, -1))
    return max(float(turn) for turn in turns)


def in_place(matched: Float[Tensor, " B"], camera: Float[Tensor, " B"]) -> int:
    """How many matched azimuths are NEAR the cameras' (radians) after the best turn or mirroring.

    The best turn is looked for among those that put one of the renderings exactly in its place.
    """
    most = 0
    for sign in (1, -1):
        turns = matched - sign * camera
        apart = turns[:, None] - turns
        near = torch.atan2(apart.sin(), apart.cos()).abs() < NEAR
        most = max(most, int(near.sum(dim=1).max()))
    return most
