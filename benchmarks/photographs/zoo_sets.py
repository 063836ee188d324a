"""Photographs of zoo animals, as a turntable would give them: one elevation, a long lens, noise."""

import math
import shutil
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from benchmarks.photographs.sets import LabelledSet, save_truth, unordered_name
from gs_esd.cameras.orbit import make_orbit, orbit_cameras
from gs_esd.config.options import CamerasConfig
from gs_esd.export.images import to_bytes
from gs_esd.render.compositing import composite
from gs_esd.system.rng import stream
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.toyzoo.tracer import trace

PHOTOGRAPHS = 60
"""Evenly spaced in azimuth, from a start of the animal's own."""
RESOLUTION = 256
"""Pixels a side."""
ELEVATION_DEG, FOV_DEG = 17.0, 28.0
"""Of all cameras; between those that the program begins with."""
NOISE = 0.01
"""Standard deviation, of values in [0, 1]."""
BACKGROUND = (0.1, 0.3, 0.8)
"""RGB behind the animal, blue: white animals are as grey in their shades as a white wall."""


def zoo_set(animal: str, work_dir: Path) -> LabelledSet:
    """Draw the photographs of an animal as PNG files, with names that tell no order.

    Args:
        animal: its name, such as corgi.
        work_dir: where the set goes.
    """
    name = f"zoo-{animal}"
    generator = stream(0, f"photographs of a {animal}")
    start = 2 * math.pi * float(torch.rand(1, generator=generator))
    azimuth = start + 2 * math.pi * torch.arange(PHOTOGRAPHS) / PHOTOGRAPHS
    folder = work_dir / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    truth = {}
    for i, image in enumerate(draw(animal, azimuth)):
        noisy = image + NOISE * torch.randn(image.shape, generator=generator)
        file = f"{unordered_name(name, i)}.png"
        Image.fromarray(to_bytes(noisy)).save(folder / file)
        truth[file] = math.degrees(float(azimuth[i])) % 360
    return save_truth(LabelledSet(name, folder, truth))


def draw(animal: str, azimuth: Float[Tensor, " M"]) -> Float[Tensor, "M H W 3"]:
    """The animal over blue from azimuths in radians, without noise, as large as in the zoo."""
    orbit = make_orbit(CamerasConfig())
    fov = torch.full_like(azimuth, math.radians(FOV_DEG))
    elevation = torch.full_like(azimuth, math.radians(ELEVATION_DEG))
    cameras = orbit_cameras(
        azimuth, elevation, distance=orbit.distance_at(fov), fov=fov, resolution=RESOLUTION
    )
    rgba = trace(build_animal(parse_prompt(f"a {animal}")), cameras)
    return composite(rgba[..., :3], rgba[..., 3:], torch.tensor(BACKGROUND))
