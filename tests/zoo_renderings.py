"""Animals of the zoo as `gs_esd.metrics` sees splats, from anywhere on the usual orbit."""

import torch
from torch import Tensor

from gs_esd.cameras import orbit_cameras
from gs_esd.config import CamerasConfig
from gs_esd.metrics.zoo_views import RESOLUTION
from gs_esd.parts import make_orbit
from gs_esd.toyzoo import build_animal, parse_prompt, trace
from gs_esd.views import composite

ORBIT = make_orbit(CamerasConfig())


def rendered_from(azimuth: Tensor, elevation: float, animal: str) -> Tensor:
    """The canonical animal over white, [V, H, W, 3]."""
    cameras = orbit_cameras(
        azimuth,
        torch.full_like(azimuth, elevation),
        distance=ORBIT.distance,
        fov=ORBIT.fov,
        resolution=RESOLUTION,
    )
    rgba = trace(build_animal(parse_prompt(animal)), cameras)
    return composite(rgba[..., :3], rgba[..., 3:], torch.ones(3))
