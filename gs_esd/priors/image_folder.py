"""prior=images: a folder of the user's own images of one object.

Normalisation (prior.normalize) to square images:
    height   silhouettes are centred by their bounding boxes and scaled to equal heights; for
             cameras that are about level
    common   silhouettes are centred, and all images scaled by one factor, so that the largest
             silhouette fills the frame; for a turntable
    none     neither centred nor scaled: images are padded to squares

Silhouettes come from the alpha channel, or else by removing a uniform background: pixels of the
border's colour that are connected to the border become transparent. Images without either keep
their background.
Subfolders front, side and back label the views of their images (prior.view_prompts).
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageOps
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.config.options import ImagesPriorConfig, Normalize
from gs_esd.errors import UserError
from gs_esd.priors.image_files import check_bank_fits, image_files

MAX_INPUT_PIXELS = 512
"""Longer side to which larger images are reduced when they are read."""
MAX_HEIGHT_FRACTION, MAX_WIDTH_FRACTION = 0.7, 0.9
"""Largest extent of a silhouette relative to the frame."""
OPAQUE_ALPHA = 0.98
"""An alpha channel above this everywhere is no foreground mask."""
BORDER_TOLERANCE = 0.04
"""Largest deviation of a uniform border from its median colour, for values in [0, 1]."""
BORDER_QUANTILE = 0.95
"""Fraction of the border's pixels that must be within BORDER_TOLERANCE."""
FOREGROUND_THRESHOLD = 0.08
"""Distance from the border's colour above which a pixel is foreground, for values in [0, 1]."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MaskedImage:
    """An RGBA image, and whether its alpha separates the object from the background."""

    rgba: Image.Image
    has_foreground_mask: bool


def load_images(
    config: ImagesPriorConfig, resolution: int
) -> tuple[Float[Tensor, "M 4 H W"], Int[Tensor, " M"] | None]:
    """Load all images below a folder, without their background where possible.

    Args:
        config: the folder, its normalisation, and whether its subfolders are views.
        resolution: pixels a side of the result.

    Returns:
        Premultiplied RGBA in [0, 1], and the index into VIEW_NAMES of each image, or None unless
        `config.view_prompts`.

    Raises:
        UserError: there are fewer than two images, one cannot be read or is empty, they take too
            much memory, or a view has no image.
    """
    files = image_files(Path(config.path))
    labels = view_labels(files) if config.view_prompts else None
    check_bank_fits(len(files), resolution, "Use fewer images")
    images = [remove_background(read_image(file)) for file in files]
    _warn_of_backgrounds(files, images)
    boxes = [silhouette_box(image.rgba, file) for image, file in zip(images, files, strict=True)]
    if config.normalize == Normalize.none:
        boxes = [(0, 0, *image.rgba.size) for image in images]
    sides = crop_sides(boxes, config.normalize)
    crops = [
        crop_and_resize(image.rgba, box, side, resolution)
        for image, box, side in zip(images, boxes, sides, strict=True)
    ]
    return torch.stack(crops), labels


def _warn_of_backgrounds(files: list[Path], images: list[MaskedImage]) -> None:
    unmasked = [
        file for file, image in zip(files, images, strict=True) if not image.has_foreground_mask
    ]
    if unmasked:
        log.warning(
            f"{len(unmasked)} of {len(files)} images have neither alpha nor a border of one colour "
            f"(the first: {unmasked[0].name}): their background stays, and will be part of the "
            "splats. Remove it first, e.g. with rembg."
        )


def read_image(file: Path) -> Image.Image:
    """Read an image as RGBA, upright, with at most MAX_INPUT_PIXELS a side.

    Raises:
        UserError: the file is damaged or not an image.
    """
    size = (MAX_INPUT_PIXELS, MAX_INPUT_PIXELS)
    try:
        with Image.open(file) as image:
            image.draft("RGB", size)  # decodes large JPEGs at a lower resolution
            upright = ImageOps.exif_transpose(to_8_bit(image)).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read ({error}). Fix or remove the file.") from error
    upright.thumbnail(size, Image.Resampling.LANCZOS)
    return upright


def to_8_bit(image: Image.Image) -> Image.Image:
    """Scale a 16-bit grey image to 8 bits, which Pillow would clip; others are unchanged."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def remove_background(image: Image.Image) -> MaskedImage:
    """Make a uniform background transparent, unless the image has an alpha channel in use."""
    rgba = torch.from_numpy(np.array(image)).float() / 255  # [H, W, 4]
    if rgba[..., 3].amin() < OPAQUE_ALPHA:
        return MaskedImage(image, has_foreground_mask=True)
    rgb = rgba[..., :3]
    border = torch.cat([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    color = border.median(0).values
    if (border - color).abs().amax(-1).quantile(BORDER_QUANTILE) > BORDER_TOLERANCE:
        return MaskedImage(image, has_foreground_mask=False)
    distance = (rgb - color).abs().amax(-1)
    background = connected_to_border(distance < FOREGROUND_THRESHOLD)
    rgba[..., 3] = torch.where(background, 0.0, 1.0)
    masked = Image.fromarray((255 * rgba).round().to(torch.uint8).numpy())
    return MaskedImage(masked, has_foreground_mask=True)


def connected_to_border(mask: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Pixels of a mask that are 4-connected to the image's border (flood fill)."""
    reached = torch.zeros_like(mask)
    reached[[0, -1]], reached[:, [0, -1]] = mask[[0, -1]], mask[:, [0, -1]]
    while True:
        grown = fill_row_runs(fill_row_runs(reached, mask).T, mask.T).T
        if torch.equal(grown, reached):
            return reached
        reached = grown


def fill_row_runs(reached: Bool[Tensor, "H W"], mask: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Runs of a mask along its rows that contain a reached pixel."""
    height, width = mask.shape
    # The id of a run: the number of pixels before it that are not in the mask, offset by row.
    run_ids = (~mask).long().cumsum(dim=1) + (width + 1) * torch.arange(height)[:, None]
    is_reached = torch.zeros(height * (width + 1), dtype=torch.bool)
    is_reached[run_ids[reached]] = True
    return mask & is_reached[run_ids]


def silhouette_box(image: Image.Image, file: Path) -> tuple[int, int, int, int]:
    """Bounding box (left, top, right, bottom) of the pixels with alpha of at least 0.5.

    Raises:
        UserError: there are none.
    """
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha >= 128)).getbbox()
    if box is None:
        raise UserError(
            f"{file} is empty: it is transparent or of one colour. Replace or remove the file."
        )
    return box


def crop_sides(boxes: list[tuple[int, int, int, int]], normalize: Normalize) -> list[float]:
    """Side in pixels of the square crop around each bounding box (left, top, right, bottom)."""
    widths = np.array([right - left for left, _, right, _ in boxes])
    heights = np.array([bottom - top for _, top, _, bottom in boxes])
    match normalize:
        case Normalize.height:
            max_width = MAX_WIDTH_FRACTION * float((heights / widths).min())
            return (heights / min(MAX_HEIGHT_FRACTION, max_width)).tolist()
        case Normalize.common:
            height, width = float(heights.max()), float(widths.max())
            return [max(height / MAX_HEIGHT_FRACTION, width / MAX_WIDTH_FRACTION)] * len(boxes)
        case Normalize.none:
            return np.maximum(widths, heights).astype(float).tolist()


def crop_and_resize(
    image: Image.Image, box: tuple[int, int, int, int], side: float, resolution: int
) -> Float[Tensor, "4 H W"]:
    """Crop a square around a box's centre, and resize it.

    Args:
        image: RGBA with straight alpha.
        box: left, top, right, bottom in pixels.
        side: of the crop in pixels; outside the image it is transparent.
        resolution: pixels a side of the result.

    Returns:
        Premultiplied RGBA in [0, 1].
    """
    left, top, right, bottom = box
    x, y = 0.5 * (left + right - side), 0.5 * (top + bottom - side)
    premultiplied = image.convert("RGBa")
    crop = premultiplied.crop((round(x), round(y), round(x + side), round(y + side)))
    # Neither filter overshoots, so no colour exceeds its alpha.
    resample = Image.Resampling.BOX if side >= resolution else Image.Resampling.BILINEAR
    resized = crop.resize((resolution, resolution), resample)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255


def view_labels(files: list[Path]) -> Int[Tensor, " M"]:
    """Index into VIEW_NAMES of each file, by the name of its folder.

    Raises:
        UserError: a file is in another folder, or a view has no image.
    """
    names = [file.parent.name.lower() for file in files]
    missing = [name for name in VIEW_NAMES if name not in names]
    strays = [file for file, name in zip(files, names, strict=True) if name not in VIEW_NAMES]
    if missing or strays:
        raise UserError(
            f"prior.view_prompts=true needs images in the subfolders {', '.join(VIEW_NAMES)}; "
            + (
                f"without images: {', '.join(missing)}"
                if missing
                else f"in another folder: {strays[0]}"
            )
        )
    return torch.tensor([VIEW_NAMES.index(name) for name in names])
