"""A PNG of all photographs as the optimiser gets them."""

import logging
import math
from pathlib import Path

import numpy as np
from PIL import Image

from gs_esd.photos.files import chosen_evenly
from gs_esd.photos.photo_set import PhotoSet
from gs_esd.system.atomic import atomic_write

MAX_SHOWN = 200
"""Photographs on a sheet; of more, so many evenly chosen ones."""
CELL_PIXELS = 128
GREY = 0.5

log = logging.getLogger(__name__)


def save_contact_sheet(photos: PhotoSet, path: Path) -> None:
    """Write a grid of the photographs over grey, row by row in the order of their names.

    Raises:
        UserError: the folder cannot be written.
    """
    shown = chosen_evenly(len(photos.names), MAX_SHOWN)
    columns = math.ceil(math.sqrt(1.5 * len(shown)))
    rows = math.ceil(len(shown) / columns)
    sheet = Image.new("RGB", (columns * CELL_PIXELS, rows * CELL_PIXELS), (128, 128, 128))
    for cell, i in enumerate(shown):
        rgb = photos.rgba[i, :3] + GREY * (1 - photos.rgba[i, 3:])
        pixels = (255 * rgb.permute(1, 2, 0)).round().byte().numpy()
        image = Image.fromarray(np.ascontiguousarray(pixels))
        image = image.resize((CELL_PIXELS, CELL_PIXELS), Image.Resampling.BOX)
        row, column = divmod(cell, columns)
        sheet.paste(image, (column * CELL_PIXELS, row * CELL_PIXELS))
    with atomic_write(path) as partial:
        sheet.save(partial)
    some = f"{len(shown)} of {len(photos.names)}" if len(shown) < len(photos.names) else "all"
    log.info(f"{path.name} shows {some} photographs as the optimiser gets them")
