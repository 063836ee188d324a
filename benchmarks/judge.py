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
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras import Orbit, orbit_cameras, turntable
from gs_esd.render import render
from gs_esd.toyzoo import build_animal, parse_prompt, trace
from gs_esd.views import composite

RESOLUTION = 128
RENDERINGS = 16
ELEVATIONS_DEG = (7.5, 10, 12.5, 15, 17.5, 20, 22.5)
AZIMUTH_STEP_DEG = 2.0
NEAR = math.radians(30)


@dataclass(frozen=True)
class Verdict:
    """What came of a splat, and the renderings that were judged, RGB in [0, 1]."""

    coherence: float
    in_place: int
    psnr_db: float
    renderings: Float[Tensor, "B H W 3"]


def judge(cloud: ParameterDict, orbit: Orbit, animal: str) -> Verdict:
    """Render a splat from all around and compare it with an animal's true views."""
    white = torch.ones(3)
    cameras = turntable(RENDERINGS, math.radians(15), orbit, RESOLUTION)
    with torch.no_grad():
        renderings = render(cloud, cameras).over(white).clamp(0, 1)
    views, azimuths = true_views(animal, orbit)
    distances = torch.cdist(renderings.flatten(1), views.flatten(1)).square() / views[0].numel()
    error, nearest = distances.min(dim=1)
    matched = azimuths[nearest]
    return Verdict(
        coherence(matched, cameras.azimuth),
        in_place(matched, cameras.azimuth),
        float((-10 * error.log10()).median()),
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


@lru_cache(maxsize=1)
def true_views(animal: str, orbit: Orbit) -> tuple[Float[Tensor, "M H W 3"], Float[Tensor, " M"]]:
    """The canonical animal over white from a grid of cameras, and their azimuths."""
    azimuths = torch.arange(0, 360, AZIMUTH_STEP_DEG).deg2rad()
    model = build_animal(parse_prompt(animal))
    views = []
    for elevation in ELEVATIONS_DEG:
        cameras = orbit_cameras(
            azimuths,
            torch.full_like(azimuths, math.radians(elevation)),
            distance=orbit.distance,
            fov=orbit.fov,
            resolution=RESOLUTION,
        )
        rgba = trace(model, cameras)
        views.append(composite(rgba[..., :3], rgba[..., 3:], torch.ones(3)))
    return torch.cat(views), azimuths.repeat(len(ELEVATIONS_DEG))
