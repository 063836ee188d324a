"""From where an animal of the toy zoo is seen in a rendering: the nearest of its true views.

Notation
    V, M        renderings, and true views on a grid of cameras
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit, orbit_cameras, turntable
from gs_esd.render.compositing import composite
from gs_esd.render.renderings import render
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.toyzoo.tracer import trace

RESOLUTION = 128
"""Pixels a side of renderings and views."""
ELEVATIONS_DEG = (7.5, 10, 12.5, 15, 17.5, 20, 22.5)
AZIMUTH_STEP_DEG = 2.0


ELEVATION = math.radians(15)
"""Of renderings; the middle of ELEVATIONS_DEG."""


@dataclass(frozen=True)
class Matches:
    """The true view nearest to each rendering: its azimuth in radians, and how near it is."""

    azimuth: Float[Tensor, " V"]
    mean_squared_error: Float[Tensor, " V"]


@torch.no_grad()
def render_around(
    splats: ParameterDict, orbit: Orbit, views: int, resolution: int = RESOLUTION
) -> Float[Tensor, "V H W 3"]:
    """Renderings over white from evenly spaced azimuths, 0 the first, RGB in [0, 1].

    resolution: pixels a side; `match_views` takes RESOLUTION.
    """
    cameras = turntable(views, ELEVATION, orbit, resolution)
    return render(splats, cameras).over(torch.ones(3)).clamp(0, 1)


def match_views(renderings: Float[Tensor, "V H W 3"], prompt: str, orbit: Orbit) -> Matches:
    """The nearest true views of the animal that a prompt names.

    renderings: over white, RGB in [0, 1], of RESOLUTION pixels a side, from about ELEVATION.
    orbit: the distance and field of view that they were rendered with.
    """
    views, azimuths = true_views(prompt, orbit)
    distances = torch.cdist(renderings.flatten(1), views.flatten(1)).square() / views[0].numel()
    error, nearest = distances.min(dim=1)
    return Matches(azimuths[nearest], error)


@lru_cache(maxsize=1)
def true_views(prompt: str, orbit: Orbit) -> tuple[Float[Tensor, "M H W 3"], Float[Tensor, " M"]]:
    """The canonical animal over white from a grid of cameras, and their azimuths."""
    azimuths = torch.arange(0, 360, AZIMUTH_STEP_DEG).deg2rad()
    model = build_animal(parse_prompt(prompt))
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
