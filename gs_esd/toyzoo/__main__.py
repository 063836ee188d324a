"""Draw the whole zoo on one sheet: a row per animal, eight sides each.

python -m gs_esd.toyzoo --out zoo.png --resolution 128
"""

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

SIDES = 8
ELEVATION_DEG = 15.0
BACKGROUND = 0.94


def row_of_sides(subject: ZooSubject, resolution: int, individual: int = 0) -> np.ndarray:
    """One animal from eight azimuths, the front first, as 8-bit RGB [H, 8 W, 3]."""
    azimuth = 2 * math.pi * torch.arange(SIDES) / SIDES
    elevation = torch.full((SIDES,), math.radians(ELEVATION_DEG))
    cameras = orbit_cameras(
        azimuth, elevation, distance=3.0, fov=math.radians(40), resolution=resolution
    )
    rgba = trace(build_animal(subject, individual), cameras, supersampling=3)
    rgb = rgba[..., :3] + BACKGROUND * (1 - rgba[..., 3:])
    return np.concatenate(list((rgb * 255).round().byte().numpy()), axis=1)


def contact_sheet(names: list[str], resolution: int) -> Image.Image:
    """A labelled sheet with one row per animal."""
    margin = resolution * 3 // 4
    rows = [row_of_sides(ZooSubject(name), resolution) for name in names]
    shade = round(BACKGROUND * 255)
    size = (margin + SIDES * resolution, margin // 3 + len(names) * resolution)
    sheet = Image.new("RGB", size, (shade,) * 3)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=resolution / 7)
    for side in range(SIDES):
        at = margin + (side + 0.5) * resolution, margin / 6
        draw.text(at, f"{360 * side // SIDES}°", fill=(90, 90, 90), font=font, anchor="mm")
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        top = margin // 3 + number * resolution
        sheet.paste(Image.fromarray(row), (margin, top))
        at = margin / 2, top + resolution / 2
        draw.text(at, name, fill=(40, 40, 40), font=font, anchor="mm")
    return sheet


def main() -> None:
    """Parse the command line and write the sheet."""
    parser = argparse.ArgumentParser(description="Draw every animal of the toy zoo.")
    parser.add_argument("--out", default="zoo.png", help="image to write")
    parser.add_argument("--resolution", type=int, default=128, help="pixels per view")
    arguments = parser.parse_args()
    contact_sheet(list(ANIMALS), arguments.resolution).save(arguments.out)


if __name__ == "__main__":
    main()
