"""Masks of photographs for other programs: white where the object is, black elsewhere."""

from pathlib import Path

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from gs_esd.export.photo_files import PhotoFiles
from gs_esd.system.atomic import atomic_write

SUFFIX = ".png"
"""Added to the whole name of a photograph, as COLMAP expects: a.jpg has the mask a.jpg.png."""


def save_masks(
    folder: Path,
    files: PhotoFiles,
    alpha: Float[Tensor, "M R R"],
    crops: Float[Tensor, "M 3"],
) -> tuple[str, ...]:
    """Write a mask for each photograph, in its size: 255 where alpha is at least 0.5, else 0.

    nerfstudio's masks have no values in between (docs/quickstart/data_conventions.md): there all
    that is not 0 is in.

    Args:
        folder: of the masks; created if need be.
        files: the photographs, whose names and sizes the masks have.
        alpha: of their squares, in [0, 1].
        crops: left, top and side of the squares, in pixels of the photographs.

    Returns:
        The names of the masks, relative to `folder`.

    Raises:
        UserError: a mask cannot be written.
    """
    names = tuple(f"{name}{SUFFIX}" for name in files.names)
    for name, square, crop, size in zip(names, alpha, crops, files.sizes, strict=True):
        mask = mask_of_square(square, crop, size)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as partial:
            mask.save(partial, format="PNG")
    return names


def mask_of_square(
    alpha: Float[Tensor, "R R"], crop: Float[Tensor, "3"], size: Int[Tensor, "2"]
) -> Image.Image:
    """The mask of a photograph from the alpha of its square, interpolated bilinearly."""
    width, height = size.tolist()
    left, top, side = crop.tolist()
    square = Image.fromarray((255 * alpha.detach().cpu()).round().to(torch.uint8).numpy())
    scale = square.width / side  # of the map from the photograph to the square
    mapped = square.transform(
        (width, height),
        Image.Transform.AFFINE,
        (scale, 0, -left * scale, 0, scale, -top * scale),
        Image.Resampling.BILINEAR,
    )
    return mapped.point(lambda value: 255 * (value >= 128))
