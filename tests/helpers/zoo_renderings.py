"""Zoo animals rendered as `gs_esd.evaluation` renders splats, from any azimuth."""

import torch
from torch import Tensor

from gs_esd.cameras.orbit import make_orbit, orbit_cameras
from gs_esd.config.options import CamerasConfig
from gs_esd.evaluation.zoo import RESOLUTION
from gs_esd.render.compositing import composite
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.toyzoo.tracer import trace

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
