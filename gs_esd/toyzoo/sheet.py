"""Contact sheet of the toy zoo, a row per animal: python -m gs_esd.toyzoo --out zoo.png."""

import argparse
import math

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.tracer import trace

VIEWS = 8
"""Images in a row, evenly around the animal."""
ELEVATION_DEG = 15.0
BACKGROUND_GREY = 0.94
AZIMUTH_RGB, NAME_RGB = (90, 90, 90), (40, 40, 40)


def zoo_row(subject: ZooSubject, resolution: int) -> np.ndarray:
    """Draw the canonical animal from all around, the front first, as 8-bit RGB [H, VIEWS W, 3]."""
    azimuth = 2 * math.pi * torch.arange(VIEWS) / VIEWS
    elevation = torch.full((VIEWS,), math.radians(ELEVATION_DEG))
    cameras = orbit_cameras(
        azimuth, elevation, distance=3.0, fov=math.radians(40), resolution=resolution
    )
    rgba = trace(build_animal(subject), cameras, supersampling=3)
    rgb = rgba[..., :3] + BACKGROUND_GREY * (1 - rgba[..., 3:])
    return np.concatenate(list((rgb * 255).round().byte().numpy()), axis=1)


def zoo_sheet(names: list[str], resolution: int) -> Image.Image:
    """Draw a labelled sheet with one row per animal.

    Args:
        names: keys of ANIMALS.
        resolution: pixels a side of each image.
    """
    margin = resolution * 3 // 4
    rows = [zoo_row(ZooSubject(name), resolution) for name in names]
    shade = round(BACKGROUND_GREY * 255)
    size = (margin + VIEWS * resolution, margin // 3 + len(names) * resolution)
    sheet = Image.new("RGB", size, (shade,) * 3)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=resolution / 7)
    for view in range(VIEWS):
        at = margin + (view + 0.5) * resolution, margin / 6
        draw.text(at, f"{360 * view // VIEWS}°", fill=AZIMUTH_RGB, font=font, anchor="mm")
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        top = margin // 3 + number * resolution
        sheet.paste(Image.fromarray(row), (margin, top))
        at = margin / 2, top + resolution / 2
        draw.text(at, name, fill=NAME_RGB, font=font, anchor="mm")
    return sheet


def main() -> None:
    """Parse the command line and write the sheet."""
    parser = argparse.ArgumentParser(
        prog="python -m gs_esd.toyzoo", description="Draw every animal of the toy zoo."
    )
    parser.add_argument("--out", default="zoo.png", help="image to write")
    parser.add_argument("--resolution", type=int, default=128, help="pixels per view")
    arguments = parser.parse_args()
    zoo_sheet(list(ANIMALS), arguments.resolution).save(arguments.out)
