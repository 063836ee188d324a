"""Drawn rectangles, and the images that `load_photos` makes of them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from gs_esd.config.options import Normalize
from gs_esd.photos.photo_set import load_photos

RED, WHITE, BLACK, TEAL = (220, 30, 20), (255, 255, 255), (0, 0, 0), (40, 150, 140)
RESOLUTION = 40

Box = tuple[int, int, int, int]


def drawn(
    size: tuple[int, int] = (80, 60),
    box: Box = (20, 10, 50, 50),
    ground: tuple[int, ...] = (0, 0, 0, 0),
    color: tuple[int, ...] = RED,
) -> Image.Image:
    """A rectangle of a colour on a ground: RGBA where the ground has alpha."""
    image = Image.new("RGBA" if len(ground) == 4 else "RGB", size, ground)
    image.paste(color, box)
    return image


def noise(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    width, height = size
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (height, width, 3), dtype=np.uint8)


def load(
    folder: Path, resolution: int = RESOLUTION, normalize: Normalize = Normalize.height
) -> Tensor:
    rgba = load_photos(str(folder), resolution, normalize).rgba
    check_is_a_bank(rgba, resolution)
    return rgba


def check_is_a_bank(rgba: Tensor, resolution: int) -> None:
    assert rgba.shape[1:] == (4, resolution, resolution)
    assert rgba.dtype == torch.float32
    assert rgba.amin() >= 0
    assert rgba.amax() <= 1
    assert (rgba[:, :3] <= rgba[:, 3:]).all(), "colours are not premultiplied"


def load_one(folder: Path, image: Image.Image, name: str = "a.png", **save: Any) -> Tensor:
    """Load one image, saved twice, because a folder must have two."""
    image.save(folder / name, **save)
    image.save(folder / f"z{name}", **save)
    rgba = load(folder)
    torch.testing.assert_close(rgba[0], rgba[1], rtol=0, atol=0)
    return rgba[0]


def extent(image: Tensor) -> Box:
    """Left, top, right, bottom of the opaque pixels."""
    rows, columns = (image[3] > 0.5).nonzero(as_tuple=True)
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) + 1, int(rows.max()) + 1


def size_of(image: Tensor) -> tuple[int, int]:
    left, top, right, bottom = extent(image)
    return right - left, bottom - top


def color_inside(image: Tensor) -> Tensor:
    left, top, right, bottom = extent(image)
    return image[:3, (top + bottom) // 2, (left + right) // 2]


def is_red(image: Tensor, tolerance: float = 0.02) -> bool:
    return bool((color_inside(image) - torch.tensor(RED) / 255).abs().amax() < tolerance)
