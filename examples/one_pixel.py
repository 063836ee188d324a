"""Images of one pixel: what the objectives take, as little of it as there can be."""

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.cameras.views import Views
from gs_esd.render.renderings import Renderings


def views_from(azimuth: Float[Tensor, " B"]) -> Views:
    """Cameras that differ by their azimuths (radians) alone."""
    level = torch.zeros_like(azimuth)
    cameras = orbit_cameras(azimuth, level, distance=3.0, fov=0.7, resolution=1)
    return Views(cameras, torch.ones(3))


def renderings_of(x_0: Float[Tensor, "B 3 1 1"]) -> Renderings:
    """Opaque pixels as a renderer would have given them, of colours x_0 in the range [-1, 1]."""
    rgb = (0.5 * (x_0 + 1)).permute(0, 2, 3, 1)
    return Renderings(rgb, torch.ones_like(rgb[..., :1]), {})
