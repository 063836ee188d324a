"""Photographs of zoo animals: of a turntable, at two elevations, by hand, or mostly of the front.

All have noise and the same lens, and blue behind the animal.
"""

import math
import shutil
from dataclasses import dataclass
from enum import Enum
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
from gs_esd.toyzoo.bank import sample_bank_cameras
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.toyzoo.tracer import trace

PHOTOGRAPHS = 60
"""Evenly spaced in azimuth, from a start of the animal's own."""
RESOLUTION = 256
"""Pixels a side."""
ELEVATION_DEG, FOV_DEG = 17.0, 28.0
"""Of a turntable's cameras; between those that the program begins with."""
TWO_ELEVATIONS_DEG = 10.0, 32.0
"""Half of the photographs at each."""
BY_HAND_STEPS, BY_HAND_ELEVATION_DEG, BY_HAND_DISTANCE, BY_HAND_AIM = 0.35, 6.0, 0.08, 0.03
"""Standard deviations by hand: of azimuths in steps of 360°/n, elevations, relative distances, and
the middle of the image as a fraction of the frame."""
FRONT_BIASED_PHOTOGRAPHS, FRONT_BIAS, FRONT_BIASED_ELEVATIONS_DEG = 600, 1.0, (0.0, 30.0)
"""Many more from the front than from behind, as of pictures that are found."""
NOISE = 0.01
"""Standard deviation, of values in [0, 1]."""
BACKGROUND = (0.1, 0.3, 0.8)
"""RGB behind the animal, blue: white animals are as grey in their shades as a white wall."""


class Taken(Enum):
    """How photographs are taken."""

    turntable = "turntable"
    two_elevations = "two_elevations"
    by_hand = "by_hand"
    front_biased = "front_biased"


@dataclass(frozen=True)
class Shots:
    """Cameras of photographs.

    Attributes:
        azimuth: in radians.
        elevation: in radians.
        distance: relative to that at which the animal is as large as in the zoo.
        aim: shift of the image to the right and down, as a fraction of the frame.
    """

    azimuth: Float[Tensor, " M"]
    elevation: Float[Tensor, " M"]
    distance: Float[Tensor, " M"]
    aim: Float[Tensor, "M 2"]


def zoo_set(animal: str, work_dir: Path, taken: Taken = Taken.turntable) -> LabelledSet:
    """Draw the photographs of an animal as PNG files, with names that tell no order.

    Args:
        animal: its name, such as corgi.
        work_dir: where the set goes.
        taken: from which cameras.
    """
    name = f"zoo-{animal}" + (f"-{taken.value}" if taken != Taken.turntable else "")
    generator = stream(0, f"photographs of a {animal}")
    shots = draw_shots(taken, generator)
    folder = work_dir / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    truth = {}
    for i, image in enumerate(draw(animal, shots)):
        noisy = image + NOISE * torch.randn(image.shape, generator=generator)
        file = f"{unordered_name(name, i)}.png"
        Image.fromarray(to_bytes(noisy)).save(folder / file)
        truth[file] = math.degrees(float(shots.azimuth[i])) % 360
    return save_truth(LabelledSet(name, folder, truth))


def draw_shots(taken: Taken, generator: torch.Generator) -> Shots:
    """Cameras that photographs are taken from."""
    start, turn = 2 * math.pi * float(torch.rand(1, generator=generator)), 2 * math.pi
    n = FRONT_BIASED_PHOTOGRAPHS if taken == Taken.front_biased else PHOTOGRAPHS
    azimuth = start + turn * torch.arange(n) / n
    elevation = torch.full((n,), math.radians(ELEVATION_DEG))
    distance, aim = torch.ones(n), torch.zeros(n, 2)
    match taken:
        case Taken.two_elevations:
            azimuth = start + turn * torch.arange(n) / (n // 2)
            elevation = torch.tensor(TWO_ELEVATIONS_DEG).deg2rad().repeat_interleave(n // 2)
        case Taken.by_hand:
            deviations = torch.randn(5, n, generator=generator)
            azimuth = azimuth + turn / n * BY_HAND_STEPS * deviations[0]
            elevation = elevation + math.radians(BY_HAND_ELEVATION_DEG) * deviations[1]
            distance = 1 + BY_HAND_DISTANCE * deviations[2]
            aim = BY_HAND_AIM * deviations[3:].T
        case Taken.front_biased:
            low, high = (math.radians(degrees) for degrees in FRONT_BIASED_ELEVATIONS_DEG)
            drawn = sample_bank_cameras(
                n,
                front_bias=FRONT_BIAS,
                elevation=(low, high),
                distance=1.0,
                fov=math.radians(FOV_DEG),
                resolution=RESOLUTION,
                generator=generator,
            )
            azimuth, elevation = drawn.azimuth, drawn.elevation
    return Shots(azimuth, elevation, distance, aim)


def draw(animal: str, shots: Shots) -> Float[Tensor, "M H W 3"]:
    """The animal over blue, without noise."""
    orbit = make_orbit(CamerasConfig())
    fov = torch.full_like(shots.azimuth, math.radians(FOV_DEG))
    cameras = orbit_cameras(
        shots.azimuth,
        shots.elevation,
        distance=orbit.distance_at(fov) * shots.distance,
        fov=fov,
        resolution=RESOLUTION,
    )
    cameras.Ks[:, :2, 2] += RESOLUTION * shots.aim
    rgba = trace(build_animal(parse_prompt(f"a {animal}")), cameras)
    return composite(rgba[..., :3], rgba[..., 3:], torch.tensor(BACKGROUND))
