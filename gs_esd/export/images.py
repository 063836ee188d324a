"""Images of splats from all around, contact sheets and PNG files.

Notation
    B       number of images
    H, W    pixels down and across
    rgb     [B, H, W, 3], in [0, 1]; values outside are clipped when written
"""

import os
from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit, turntable
from gs_esd.render.renderings import render
from gs_esd.system.atomic import atomic_write

BACKGROUND = (0.9, 0.9, 0.9)
"""RGB, light grey: white animals and dark ones both stand out."""
BATCH_IMAGES = 8
"""Images rendered at once, which bounds the memory of a long turntable."""


def preview(
    splats: ParameterDict, orbit: Orbit, resolution: int, views: int = 8
) -> Float[Tensor, "H W 3"]:
    """Contact sheet of `views` images all around, in two rows, azimuth 0 at the top left.

    Args:
        splats: raw parameters.
        orbit: where cameras stand.
        resolution: pixels a side of each image.
        views: number of images.
    """
    rgb = torch.cat(list(orbit_images(splats, orbit, resolution, views)))
    return contact_sheet(rgb, columns=-(-views // 2))


def orbit_images(
    splats: ParameterDict, orbit: Orbit, resolution: int, views: int
) -> Iterator[Float[Tensor, "B H W 3"]]:
    """Render images evenly around the object, from azimuth 0, at the orbit's middle elevation.

    Args:
        splats: raw parameters.
        orbit: where cameras stand.
        resolution: pixels a side; it need not be that of the training.
        views: number of images.

    Yields:
        Batches of at most `BATCH_IMAGES` images over `BACKGROUND`, without gradients.
    """
    elevation = 0.5 * (orbit.elevation_min + orbit.elevation_max)
    cameras = turntable(views, elevation, orbit, resolution)
    background = torch.tensor(BACKGROUND).to(splats["means"])
    for start in range(0, views, BATCH_IMAGES):
        batch = cameras[start : start + BATCH_IMAGES].to(background.device)
        with torch.no_grad():
            rgb = render(splats, batch).over(background)
        yield rgb


def contact_sheet(rgb: Float[Tensor, "B H W 3"], columns: int) -> Float[Tensor, "H2 W2 3"]:
    """Tile images row by row; places left over in the last row are white."""
    b, h, w, _ = rgb.shape
    rows = -(-b // columns)
    blank = rgb.new_ones(rows * columns - b, h, w, 3)
    grid = torch.cat([rgb, blank]).reshape(rows, columns, h, w, 3)
    return grid.transpose(1, 2).reshape(rows * h, columns * w, 3)


def save_png(path: str | os.PathLike[str], rgb: Float[Tensor, "H W 3"]) -> None:
    """Write one image; an old file is replaced only when all is written.

    Raises:
        UserError: the folder cannot be written.
    """
    with atomic_write(path) as partial:
        Image.fromarray(to_bytes(rgb)).save(partial, format="PNG")


def to_bytes(rgb: Float[Tensor, "*B H W 3"]) -> NDArray[np.uint8]:
    """Convert colours in [0, 1] to display bytes, clipped and rounded; no gamma is applied."""
    return (255 * rgb.detach().clamp(0, 1)).round().to(torch.uint8).cpu().numpy()
